"""What many tests are given: the Keras that is installed, and what is known of it."""

from __future__ import annotations

import pytest

from execution.implementation import Implementation, installed
from properties.cells import load_checked
from reports.ledger import Ledger
from selftest.planting import LEDGER


@pytest.fixture(scope="module")
def found() -> Implementation:
    """The Keras that is installed, imported once."""
    return Implementation(installed())


@pytest.fixture(scope="module")
def ledger(found: Implementation) -> Ledger:
    """What is known of it."""
    here = found.installed
    return load_checked(LEDGER).affected(here.name, here.keras, here.tensorflow)
