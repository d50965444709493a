"""That every public layer is in the catalogue or excluded, and that the table says what is so."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from catalogue.custom_layers import CUSTOM_LAYERS
from catalogue.exclusions import ALIASES, EXCLUDED, covered, unaccounted
from catalogue.layers import LAYER_ENTRIES
from execution.implementation import Implementation, installed
from properties.families import FAMILIES
from selftest.coverage import PAGE, table


@pytest.fixture(scope="module")
def found() -> Implementation:
    """The Keras that is installed, imported once."""
    return Implementation(installed())


def classes(found: Implementation) -> dict[str, Any]:
    """The public classes of `keras.layers`."""
    module = found.keras.layers
    names = [name for name in dir(module) if not name.startswith("_")]
    return {name: one for name in names if inspect.isclass(one := getattr(module, name))}


def test_every_public_layer_is_in_the_catalogue_or_excluded(found: Implementation) -> None:
    """A version that brings a layer brings work: an entry, or a reason why there is none."""
    assert unaccounted(classes(found)) == []


def test_a_new_layer_is_seen() -> None:
    """What nobody has heard of is not accounted for; what has an entry, or another name, is."""
    assert unaccounted(["Dense", "AvgPool1D", "Conv2D", "Lambda", "LSTM"]) == []
    assert unaccounted(["Dense", "Telepathy"]) == ["Telepathy"]


def test_nothing_stands_in_two_places() -> None:
    """What has an entry is not excluded, no other name, and not to come."""
    places = [covered(), frozenset(EXCLUDED), frozenset(ALIASES)]
    for place, one in enumerate(places):
        for other in places[place + 1 :]:
            assert not one & other


def test_other_names_are_of_the_same_class(found: Implementation) -> None:
    """An alias stands for its class in the installed version too."""
    there = classes(found)
    for alias, name in ALIASES.items():
        assert name in covered() | set(EXCLUDED)
        if alias in there:
            assert there[alias] is there[name], alias


def test_reasons_are_a_clause() -> None:
    """A verb first, for the name before it, and no full stop."""
    assert {reason.split()[0] for reason in EXCLUDED.values()} <= {
        "is", "prepares", "runs", "takes", "turns",
    }  # fmt: skip
    assert not any(reason.endswith(".") for reason in EXCLUDED.values())


@pytest.mark.parametrize("name", LAYER_ENTRIES)
def test_an_entry_is_of_the_versions_that_it_says(name: str, found: Implementation) -> None:
    """`since` and `until` agree with the installed version."""
    entry = LAYER_ENTRIES[name]
    if entry.layer in CUSTOM_LAYERS:
        pytest.skip("a custom layer is there in every version")
    has = FAMILIES["layers"].has(name, found.installed.keras)
    assert hasattr(found.keras.layers, entry.layer) == has


def test_the_table_is_the_generated_one() -> None:
    """`catalogue/LAYERS.md` is what `python -m selftest.coverage` writes."""
    assert PAGE.read_text("utf-8") == table()
