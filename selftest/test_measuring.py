"""A version that was measured stands in the ledger where it belongs."""

from __future__ import annotations

import tomllib

import pytest

from selftest.measuring import entered

LEDGER = """\
# Known.
[[deviation]]
id = "one"
deviating = ["keras 3.15.1"]
pins = [
  { property = "length", layer = "GRU", comparison = "*", case = { a = 1 } },
  { property = "length", layer = "LSTM", comparison = "*", case = { a = { b = 1 } } },
]

[[deviation]]
id = "two"
deviating = ["keras 3.15.1"]
healthy = ["keras 2.15.0"]
"""


@pytest.mark.parametrize(
    ("found", "old", "new"),
    [
        (
            {"one": [True, True]},
            'deviating = ["keras 3.15.1"]\npins',
            'deviating = ["keras 3.15.1", "keras 3.15.0"]\npins',
        ),
        (
            {"one": [False]},
            'deviating = ["keras 3.15.1"]\npins',
            'deviating = ["keras 3.15.1"]\nhealthy = ["keras 3.15.0"]\npins',
        ),
        (
            {"two": [False]},
            'healthy = ["keras 2.15.0"]',
            'healthy = ["keras 2.15.0", "keras 3.15.0"]',
        ),
    ],
)
def test_enters_a_version(found: dict[str, list[bool | None]], old: str, new: str) -> None:
    """All pinned cases deviate, or none does: the version is entered, and nothing else changes."""
    text = entered(LEDGER, "keras 3.15.0", found)
    assert text == LEDGER.replace(old, new)
    assert entered(text, "keras 3.15.0", found) == text


def test_enters_the_version_of_tensorflow_where_an_entry_follows_that() -> None:
    """Whichever Keras was measured on it."""
    ledger = LEDGER.replace('"keras 3.15.1"', '"tensorflow 2.21.0"', 1)
    text = entered(ledger, "keras 3.13.2", {"one": [True, True], "two": [False]}, "2.20.0")
    one, two = tomllib.loads(text)["deviation"]
    assert one["deviating"] == ["tensorflow 2.21.0", "tensorflow 2.20.0"]
    assert two["healthy"] == ["keras 2.15.0", "keras 3.13.2"]


def test_says_which_pinned_cases_do_not_deviate() -> None:
    """Where others do, something comes before the cause: these are not replayed there."""
    text = entered(LEDGER, "keras 3.15.0", {"one": [True, False], "two": []})
    text = entered(text, "keras 3.14.1", {"one": [None, True]})
    text = entered(text, "keras 3.14.0", {"one": [True, False]})
    one = tomllib.loads(text)["deviation"][0]
    versions = ["keras 3.15.1", "keras 3.15.0", "keras 3.14.1", "keras 3.14.0"]
    assert one["deviating"] == versions
    assert [pin.get("not_on") for pin in one["pins"]] == [None, ["keras 3.15.0", "keras 3.14.0"]]
    assert one["pins"][1]["case"] == {"a": {"b": 1}}


def test_says_nothing_of_layers_that_are_not_there() -> None:
    """A version that has none of an entry's layers is entered nowhere."""
    assert entered(LEDGER, "keras 3.15.0", {"one": [None, None]}) == LEDGER


def test_says_it_of_versions_that_are_entered() -> None:
    """A pinned case that came later, and that does not deviate on a version that others do."""
    text = entered(LEDGER, "keras 3.15.1", {"one": [True, False], "two": [False]})
    assert entered(text, "keras 3.15.1", {"one": [True, False]}) == text
    one, two = tomllib.loads(text)["deviation"]
    assert (one["deviating"], two["deviating"]) == (["keras 3.15.1"], ["keras 3.15.1"])
    assert [pin.get("not_on") for pin in one["pins"]] == [None, ["keras 3.15.1"]]
