"""That README tells the truth where a machine can tell."""

from __future__ import annotations

import pytest

from conftest import pytest_addoption
from selftest.readme import README, written


def test_the_table_of_properties_is_the_generated_one() -> None:
    """README's table is what `python -m selftest.readme` writes."""
    text = README.read_text()
    assert written(text) == text


def test_every_option_is_in_the_table_of_options() -> None:
    """Each option that conftest.py adds has a row in README, and no row speaks of another."""
    parser = pytest.Parser(_ispytest=True)
    pytest_addoption(parser)
    added = {
        name for group in parser._groups for option in group.options for name in option.names()
    }
    rows = [line for line in README.read_text().splitlines() if line.startswith("| `--")]
    named = {
        word.split("=")[0]
        for row in rows
        for word in row.split("|")[1].replace("`", "").split(", ")
    }
    assert {name.strip() for name in named} == added
