"""Bugs that Keras has mended are looked for where they were, and where they are no more."""

from __future__ import annotations

import configparser
import re
from typing import Any

import pytest

from execution.implementation import Implementation
from properties.families import FAMILIES
from properties.registry import PROPERTIES
from reports.ledger import KINDS
from selftest.history import BUGS, Bug, main, seen
from selftest.test_bad_input import ROOT


@pytest.mark.parametrize("bug", BUGS, ids=[f"{bug.thread} {bug.layer}" for bug in BUGS])
def test_names_what_there_is(bug: Bug) -> None:
    """Environments of tox.ini, a property, a layer that it speaks of, kinds."""
    ini = configparser.ConfigParser(interpolation=None)
    ini.read(ROOT / "tox.ini")
    pairs = dict(re.findall(r"(py311-tf\d+)-\{([\w,]+)\}", ini["tox"]["labels"].split("matrix")[1]))
    for environment in (bug.fails, bug.passes):
        tensorflow, _, keras = environment.rpartition("-")
        assert keras in pairs[tensorflow].split(",")
    property = PROPERTIES[bug.property]
    assert bug.layer in FAMILIES[property.family].layers
    assert property.of(bug.layer)
    assert set(bug.kinds) <= set(KINDS)


def test_sees_a_bug_that_is_there_and_none_that_is_not(found: Implementation) -> None:
    """Normalization that takes no notice of its mask is seen; as it is installed it is not."""
    bug = next(bug for bug in BUGS if bug.thread == "keras#18921")
    assert seen(bug, found) is None

    class Unmasked(found.keras.layers.BatchNormalization):  # type: ignore[misc]
        def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            return super().call(inputs, training=training)

    planted = Implementation(found.installed, {"BatchNormalization": Unmasked})
    finding = seen(bug, planted)
    assert finding is not None
    assert (finding["comparison"], finding["kind"]) == ("output", "wrong value")


def test_refuses_a_thread_that_is_not_in_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence with the name, and those that can be chosen."""
    with pytest.raises(SystemExit) as stopped:
        main(["keras#1"])
    assert stopped.value.code == 2
    assert "keras#1: choose from keras#18921" in capsys.readouterr().err
