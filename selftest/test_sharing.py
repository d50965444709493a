"""Planted defects in layers that share tensors with others, or keep states from call to call."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from catalogue.cases import Content
from catalogue.layer_cases import LayerCase, Tensor
from catalogue.specs import Spec
from catalogue.steps import Call, Through
from execution.implementation import Implementation, installed
from properties.test_conformance import PROPERTIES
from selftest.test_ragged import ran


@pytest.fixture(scope="module")
def found() -> Implementation:
    """The implementation that is installed."""
    return Implementation(installed("keras"))


def test_a_mask_taken_off_a_shared_memory_is_seen(found: Implementation) -> None:
    """The layer that comes second sees no mask on the memory."""

    class Taking(found.keras.layers.Attention):  # type: ignore[misc, name-defined]
        def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            output = super().__call__(inputs, *args, **kwargs)
            for tensor in inputs:
                if getattr(tensor, "_keras_mask", None) is not None:
                    tensor._keras_mask = None
            return output

    outcome = ran({"Attention": Taking}, "Attention", "shared_tensors")
    assert "second layer" in outcome["findings"][0]["comparison"]


def test_one_object_that_is_taken_for_no_value_is_seen(found: Implementation) -> None:
    """A layer that sees one object as query and value, and then asks for no mask, is new."""

    class Forgetting(found.keras.layers.Attention):  # type: ignore[misc, name-defined]
        def call(self, inputs: Any, mask: Any = None, **kwargs: Any) -> Any:
            same = inputs[0] is inputs[1]
            return super().call(inputs, mask=None if same else mask, **kwargs)

    outcome = ran({"Attention": Forgetting}, "Attention", "shared_tensors")
    assert "one object" in outcome["findings"][0]["comparison"]


@pytest.mark.parametrize("content", ["ones", "noise"])
def test_copies_of_one_tensor_hold_the_same(content: Content) -> None:
    """At masked steps too, where a query of large values holds others than its value does."""
    tensor = Tensor(("10", "11"), (1,), content=content, seed=2521)
    case = LayerCase(Spec("MultiHeadAttention", {"num_heads": 1, "key_dim": 2}), (tensor,))
    plan = PROPERTIES["shared_tensors"].function(case)
    (copies,) = (step for step in plan.steps if getattr(step, "name", "") == "copies")
    assert isinstance(copies, Call)
    held = [one.operands[0].value() for one in copies.args if isinstance(one, Through)]
    assert len(held) == 2
    np.testing.assert_array_equal(*held)


def test_a_state_that_is_not_reset_is_seen(found: Implementation) -> None:
    """After a reset the backward half goes on where it was."""

    class Half(found.keras.layers.Bidirectional):  # type: ignore[misc, name-defined]
        def reset_state(self) -> None:
            self.forward_layer.reset_state()

        reset_states = reset_state

    outcome = ran({"Bidirectional": Half}, "Bidirectional(GRU)", "layer_stateful")
    assert "after a reset" in outcome["findings"][0]["comparison"]


def test_states_that_are_lost_between_chunks_are_seen(found: Implementation) -> None:
    """A layer that begins each call anew gives other outputs for the second chunk."""

    class Anew(found.keras.layers.ConvLSTM1D):  # type: ignore[misc, name-defined]
        def call(self, *args: Any, **kwargs: Any) -> Any:
            if self.stateful and getattr(self, "states", None) and self.states[0] is not None:
                for state in self.states:
                    state.assign(found.tensorflow.zeros(state.shape, state.dtype))
            return super().call(*args, **kwargs)

    outcome = ran({"ConvLSTM1D": Anew}, "ConvLSTM1D", "layer_stateful")
    assert "in chunks" in outcome["findings"][0]["comparison"]
