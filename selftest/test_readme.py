"""That README tells the truth where a machine can tell."""

from __future__ import annotations

import pytest

from selftest.readme import README, written


def test_the_table_of_properties_is_the_generated_one() -> None:
    """README's table is what `python -m selftest.readme` writes."""
    text = README.read_text()
    assert written(text) == text


def test_every_option_is_in_the_table_of_options(pytestconfig: pytest.Config) -> None:
    """Each option that conftest.py adds has a row in README, and no row speaks of another."""
    options = pytestconfig.pluginmanager.get_plugin(str(README.parent / "conftest.py"))
    assert options is not None
    parser = pytest.Parser(_ispytest=True)
    options.pytest_addoption(parser)
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
