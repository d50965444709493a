"""Every planted defect is seen by the property that names it, and a mere rewriting by none."""

from __future__ import annotations

import dataclasses

import pytest

from properties.cells import QUICK
from properties.registry import PROPERTIES
from selftest.defects import DEFECTS, Defect, equivalent
from selftest.planting import Ground, first_sight, new_deviations

SEED = 0
# A few cells of the layer that is written otherwise: all of them take minutes.
TELLING = {
    "LSTM": ("held_state",),
    "GRU": ("padding_gradient",),
    "SimpleRNN": ("mask_precedence", "stateful_chunks"),
    "RNN(stacked cells)": ("unrolled_equals_looped",),
}


@pytest.fixture(scope="module")
def ground() -> Ground:
    """The installed Keras, as it is."""
    return Ground.of("keras")


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name.replace(" ", "-"))
def test_is_seen_by_the_property_that_names_it(defect: Defect, seed: int, ground: Ground) -> None:
    """A planted defect is a new deviation of the property that says what is wrong with it."""
    sight = first_sight(defect, seed, ground)
    assert sight is not None, f"{defect.description} None of {', '.join(defect.properties)} saw it"
    assert sight.kind != "refused", f"a defect must be wrong in silence: {sight.message}"


@pytest.mark.parametrize("layer", TELLING)
def test_does_not_see_a_layer_that_is_only_written_otherwise(layer: str, ground: Ground) -> None:
    """A layer run step by step through its cell, as documented, deviates in nothing."""
    quick = dataclasses.replace(ground, profile=QUICK)
    rewritten = quick.planted(equivalent(layer))
    assert new_deviations(rewritten, layer, SEED, TELLING[layer]) == []


def test_every_property_of_recurrent_layers_has_a_defect() -> None:
    """No property is without a defect that only it is named for."""
    named = {property for defect in DEFECTS for property in defect.properties}
    recurrent = {name for name, one in PROPERTIES.items() if one.family == "recurrent"}
    # What Keras 3 refuses is seen by a defect in an implementation of test_ragged's own.
    assert recurrent - named == {"ragged"}


def test_defects_have_names_of_their_own() -> None:
    """Two defects never share a name, so that a table's rows can be told apart."""
    names = [defect.name for defect in DEFECTS]
    assert len(names) == len(set(names))
