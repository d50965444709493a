"""Planted defects in what several tensors have in common: names, lists, a Sequential, a cell."""

from __future__ import annotations

import functools
from typing import Any
from unittest import mock

import pytest

from execution.implementation import Implementation
from selftest.test_makers_defects import Planted, has, outcomes

DELIVERY = ("layer_delivery",)


def _by_name(base: Any, tf: Any) -> type:
    """The custom layer with outputs by name, whose masks are exchanged."""

    class Naming(base):  # type: ignore[misc]
        def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
            return {"whole": mask, "each": None}

    return Naming


def _silent(base: Any, tf: Any) -> type:
    """The custom layer that is given a dict, which tells nobody that masks stop."""

    class PlainDict(base):  # type: ignore[misc]
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.inside.supports_masking = True

    return PlainDict


def _remembering(base: Any, tf: Any) -> type:
    """The custom layer with a list by name, none of which brings its mask."""

    class NotingMemory(base):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            query, *memory = inputs
            return super().call([query, *map(tf.identity, memory)])

    return NotingMemory


def _of_state_size(keras: Any, tf: Any) -> type:
    """RNN, which takes its cell's first state for its output where shapes are asked for."""

    class RNN(keras.layers.RNN):  # type: ignore[misc]
        def compute_output_shape(self, *args: Any, **kwargs: Any) -> Any:
            size = self.cell.output_size
            self.cell.output_size = self.cell.state_size
            try:
                return super().compute_output_shape(*args, **kwargs)
            finally:
                self.cell.output_size = size

    return RNN


def _zeroed(keras: Any, tf: Any) -> type:
    """Multiply, to which masked steps are zeros, and steps valid where any of the tensors is."""

    def valid(x: Any) -> Any:
        mask = getattr(x, "_keras_mask", None)
        if mask is None:
            return x
        axes = [1] * (x.shape.rank - mask.shape.rank)
        return tf.where(tf.reshape(mask, tf.concat([tf.shape(mask), axes], 0)), x, 0)

    class Multiply(keras.layers.Multiply):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            return functools.reduce(tf.multiply, map(valid, inputs))

        def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
            given = [one for one in mask or [] if one is not None]
            return functools.reduce(tf.logical_or, given) if given else None

    return Multiply


DEFECTS = [
    Planted(
        "multiplies valid steps by zero where others are masked",
        "Multiply",
        "partly_masked_steps",
        lambda keras, tf, found: _zeroed(keras, tf),
    ),
    Planted(
        "hands over no masks of a list by name",
        "NotingMemory",
        "layer_delivery",
        lambda keras, tf, found: _remembering(found.layer_class("NotingMemory"), tf),
    ),
    Planted(
        "exchanges the masks of outputs by name",
        "Naming",
        "passage",
        lambda keras, tf, found: _by_name(found.layer_class("Naming"), tf),
    ),
    Planted(
        "stops masks of a dict, and tells nobody",
        "PlainDict",
        "told",
        lambda keras, tf, found: _silent(found.layer_class("PlainDict"), tf),
    ),
    Planted(
        "takes a cell's state for its output",
        "RNN(cell of one's own)",
        "layer_symbolic",
        lambda keras, tf, found: _of_state_size(keras, tf),
    ),
]


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_planted_defect_is_seen(defect: Planted, seed: int, found: Implementation) -> None:
    """Masks of the wrong output or none, silence, a wrong shape: new, by the property named."""
    if not has(found, defect.entry):
        pytest.skip(f"{defect.entry} is of other versions")
    assert outcomes(found, defect.entry, defect.make, (defect.property,), seed) == ["new"]


def test_a_sequential_that_drops_masks_of_several_tensors_is_seen(
    seed: int, found: Implementation
) -> None:
    """Its first layer is given none, though the model is."""
    sequential = found.keras.Sequential
    real = sequential.call

    def call(self: Any, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        return real(self, inputs, mask=None if isinstance(inputs, list) else mask)

    with mock.patch.object(sequential, "call", call):
        found_outcomes = outcomes(
            found, "NotingList", lambda *given: found.layer_class("NotingList"), DELIVERY, seed
        )
    assert found_outcomes == ["new"]
