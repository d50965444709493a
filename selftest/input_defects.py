"""Defects planted in how models take their inputs and the masks of these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from execution.implementation import Implementation
from selftest.model_defects import ModelDefect, is_symbolic, model_classes, replaced, unmasked

__all__ = ["IN_INPUTS"]


def _calls(found: Implementation, change: Callable[[Any, Any], tuple[Any, Any]]) -> Any:
    """A Functional model is called on other inputs and masks than it is given."""
    functional, _, _ = model_classes(found)

    def made(real: Any) -> Any:
        def call(self: Any, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            inputs, mask = change(inputs, mask)
            return real(self, inputs, training=training, mask=mask)

        return call

    return replaced(functional, "call", made)


def _leaves_out_what_comes(found: Implementation) -> Any:
    """A Functional model takes no notice of masks where one of several inputs has none."""

    def change(inputs: Any, mask: Any) -> tuple[Any, Any]:
        masks = mask if isinstance(mask, list | tuple) else [mask]
        some = any(one is None for one in masks)
        return (unmasked(found, inputs), None) if some else (inputs, mask)

    return _calls(found, change)


def _names_without_masks(found: Implementation) -> Any:
    """Inputs that are given by name have no masks."""

    def change(inputs: Any, mask: Any) -> tuple[Any, Any]:
        named = isinstance(inputs, dict)
        return (unmasked(found, inputs), None) if named else (inputs, mask)

    return _calls(found, change)


def _given_twice_unmasked(found: Implementation) -> Any:
    """A tensor that is given twice has no mask."""

    def change(inputs: Any, mask: Any) -> tuple[Any, Any]:
        several = inputs if isinstance(inputs, list) else [inputs]
        again = len({id(one) for one in several}) < len(several)
        return (unmasked(found, inputs), None) if again else (inputs, mask)

    return _calls(found, change)


def _miscounted_masks_ignored(found: Implementation) -> Any:
    """A list of masks that is longer or shorter than that of the inputs is taken for none."""
    flatten = found.tensorflow.nest.flatten

    def change(inputs: Any, mask: Any) -> tuple[Any, Any]:
        miscounted = len(flatten(inputs)) != len(flatten(mask))
        return (unmasked(found, inputs), None) if miscounted else (inputs, mask)

    return _calls(found, change)


def _refuses_masked_tensors(found: Implementation) -> Any:
    """No Functional model begins at a tensor that carries a mask."""
    functional, _, _ = model_classes(found)

    def made(real: Any) -> Any:
        def init(self: Any, inputs: Any, *given: Any, **options: Any) -> None:
            if any(
                getattr(one, "_keras_mask", None) is not None
                for one in found.tensorflow.nest.flatten(inputs)
            ):
                raise TypeError("Inputs are not to be masked.")
            real(self, inputs, *given, **options)

        return init

    return replaced(functional, "__init__", made)


def _predicts_more(found: Implementation) -> Any:
    """`predict` gives one more than it should."""
    *_, model = model_classes(found)

    def made(real: Any) -> Any:
        return lambda self, x, **options: 1 + real(self, x, **options)

    return replaced(model, "predict", made)


def _absent_for_valid(found: Implementation) -> Any:
    """An optional mask that is absent stands for one that is valid everywhere."""

    def change(inputs: Any, mask: Any) -> tuple[Any, Any]:
        if isinstance(inputs, list) and any(one is None for one in inputs):
            valid = found.tensorflow.ones_like(inputs[0][..., 0], "bool")
            inputs = [valid if one is None else one for one in inputs]
        return inputs, mask

    return _calls(found, change)


def _shared_unmasked(found: Implementation) -> Any:
    """A recurrent layer that is called twice in a Functional model takes no notice of masks."""

    def made(real: Any) -> Any:
        def call(self: Any, sequences: Any, *given: Any, **options: Any) -> Any:
            nodes = getattr(self, "_inbound_nodes", ())
            if len(nodes) > 1 and not is_symbolic(sequences):
                sequences = unmasked(found, sequences)
                options.pop("mask", None)
            return real(self, sequences, *given, **options)

        return call

    return replaced(found.keras.layers.RNN, "__call__", made)


_TWO = ("two inputs",)
_BOTH = ("sequence", "two inputs")
IN_INPUTS = (
    ModelDefect("shared layers", _TWO, "chain_truth", _shared_unmasked),
    ModelDefect("what comes with a call", _TWO, "inputs_agree", _leaves_out_what_comes),
    ModelDefect("names have no masks", _TWO, "names_agree", _names_without_masks),
    ModelDefect("given twice", _TWO, "one_tensor_twice", _given_twice_unmasked),
    ModelDefect("masks miscounted", _BOTH, "number_of_masks_refused", _miscounted_masks_ignored),
    ModelDefect("masked begin", _BOTH, "intermediate_tensors_agree", _refuses_masked_tensors),
    ModelDefect("predict gives more", ("sequence",), "masked_tensors_run", _predicts_more),
    ModelDefect("None is valid", ("MaskedLSTMModel",), "optional_masks_agree", _absent_for_valid),
)
