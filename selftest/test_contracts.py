"""What becomes of masks on their way through a layer, worked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from catalogue.layer_cases import LayerCase, Tensor
from catalogue.layers import LAYER_ENTRIES
from catalogue.specs import Argument, Spec
from catalogue.weights import drawn


def passed(layer: str, *masks: str | None, steps: int = 3, **arguments: Argument) -> Any:
    """The mask on the output for one row of each tensor, as nested lists of 0 and 1, or None."""
    entry = LAYER_ENTRIES[layer]
    tensors = tuple(Tensor((mask or "1" * steps,), masked=mask is not None) for mask in masks)
    spec = Spec(entry.layer, {**entry.fixed, **arguments})
    mask = entry.passage(LayerCase(spec, tensors, entry=layer))
    if mask is None:
        return None
    assert mask.dtype == bool
    return mask.astype(int).tolist()


@pytest.mark.parametrize("layer", ["Dense", "Dropout", "GroupNormalization", "TimeDistributed"])
def test_hands_the_mask_on_as_it_came(layer: str) -> None:
    """A layer that leaves steps as they are keeps their mask, and makes none of its own."""
    assert passed(layer, "101") == [[1, 0, 1]]
    assert passed(layer, None) is None


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("layer", ["GlobalAveragePooling1D", "GlobalMaxPooling1D"])
def test_pooling_leaves_no_mask(layer: str, keepdims: bool) -> None:
    """Where no steps are left there is no mask."""
    assert passed(layer, "110", keepdims=keepdims) is None


@pytest.mark.parametrize("layer", ["Add", "Maximum", "Concatenate"])
def test_joins_masks(layer: str) -> None:
    """A step is valid where all tensors are; one without a mask is valid everywhere."""
    assert passed(layer, "110", "011") == [[0, 1, 0]]
    assert passed(layer, "110", None, "111") == [[1, 1, 0]]
    assert passed(layer, None, "011") == [[0, 1, 1]]
    assert passed(layer, None, None) is None


def test_concatenates_masks_along_steps() -> None:
    """Along axis 1 masks stand one after the other."""
    assert passed("Concatenate", "110", "011", axis=1) == [[1, 1, 0, 0, 1, 1]]
    assert passed("Concatenate", None, "011", axis=1) == [[1, 1, 1, 0, 1, 1]]
    assert passed("Concatenate", None, None, axis=1) is None


def test_crosses_masks_of_a_dot_product() -> None:
    """A pair of steps is valid where both are."""
    assert passed("Dot", "10", "011") == [[[0, 1, 1], [0, 0, 0]]]
    assert passed("Dot", None, "011", steps=2) == [[[0, 1, 1], [0, 1, 1]]]
    assert passed("Dot", None, None) is None


@pytest.mark.parametrize("layer", ["Attention", "AdditiveAttention"])
def test_attention_has_the_mask_of_the_query(layer: str) -> None:
    """What is masked in values and keys makes no step of the query invalid."""
    assert passed(layer, "110", "001") == [[1, 1, 0]]
    assert passed(layer, None, "001", "111") is None


def test_a_mask_that_does_not_reach_the_layer_does_not_leave_it() -> None:
    """In the form `absent` no tensor has a mask."""
    case = LayerCase(Spec("Identity"), (Tensor(("10",)),), form="absent")
    assert LAYER_ENTRIES["Identity"].passage(case) is None


@pytest.mark.parametrize("name", LAYER_ENTRIES)
def test_starts_domains_with_what_is_given_anyway(name: str) -> None:
    """Of an argument that is always given, the first value of its domain is the one."""
    entry = LAYER_ENTRIES[name]
    assert entry.page.startswith("layers/")
    for argument in entry.fixed.keys() & entry.domains.keys():
        assert entry.domains[argument][0] == entry.fixed[argument]


def test_specs_of_axes_print_and_survive_policies() -> None:
    """A tuple of numbers prints as a list, is part of the key, and is no list of cells."""
    spec = Spec("PReLU", {"shared_axes": (1,)})
    assert spec.source() == "keras.layers.PReLU(shared_axes=[1])"
    assert spec.key != spec.replace(shared_axes=(2,)).key
    assert spec.with_policy("float64").get("shared_axes") == (1,)


def test_a_single_number_is_a_weight_too() -> None:
    """A weight of shape () is drawn like others, and does not divide by a size it lacks."""
    (weight,) = drawn(0, [()])
    assert np.shape(weight) == () and -1 <= weight <= 1
