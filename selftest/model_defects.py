"""Defects planted in what makes models of layers: Functional and Sequential ones, and files."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from execution.implementation import Implementation

__all__ = [
    "IN_MODELS",
    "ModelDefect",
    "Patches",
    "is_symbolic",
    "model_classes",
    "replaced",
    "unmasked",
]

Patches = Iterator[None]


@dataclasses.dataclass(frozen=True)
class ModelDefect:
    """Something wrong in models; `patched` puts it into the Keras that runs, for a while.

    It is looked for in `families` of chains, one after the other.
    """

    name: str
    families: tuple[str, ...]
    property: str
    patched: Callable[[Implementation], contextlib.AbstractContextManager[Any]]


def model_classes(found: Implementation) -> tuple[type, type, type]:
    """Functional, Sequential and Model."""
    keras = found.keras
    inputs = keras.Input((None, 1))
    functional = type(keras.Model(inputs, keras.layers.ReLU()(inputs)))
    return functional, keras.Sequential, keras.Model


def replaced(owner: Any, name: str, made: Callable[[Any], Any]) -> Any:
    """What puts in place of a method, for a while, what is made of it."""
    real = getattr(owner, name)
    return mock.patch.object(owner, name, functools.wraps(real)(made(real)))


def unmasked(found: Implementation, outputs: Any) -> Any:
    """The outputs on tensors that carry no mask."""
    return found.tensorflow.nest.map_structure(
        lambda one: one if is_symbolic(one) else found.tensorflow.identity(one), outputs
    )


def is_symbolic(tensor: Any) -> bool:
    """Whether a tensor stands for those that a model will be called on."""
    return type(tensor).__name__ == "KerasTensor"


def _drops_nested(found: Implementation) -> Any:
    """A Functional model that is called on a tensor with a mask hands on none."""
    functional, _, _ = model_classes(found)

    def made(real: Any) -> Any:
        def call(self: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            masked = kwargs.get("mask") is not None or any(
                getattr(one, "_keras_mask", None) is not None
                for one in found.tensorflow.nest.flatten(inputs)
            )
            outputs = real(self, inputs, *args, **kwargs)
            return unmasked(found, outputs) if masked else outputs

        return call

    return replaced(functional, "call", made)


def _sequential_drops(found: Implementation) -> Any:
    """The output of a Sequential carries no mask."""
    _, sequential, _ = model_classes(found)

    def made(real: Any) -> Any:
        return lambda self, *args, **kwargs: unmasked(found, real(self, *args, **kwargs))

    return replaced(sequential, "call", made)


def _ignores_argument(found: Implementation) -> Any:
    """A Functional model takes no notice of `mask=`."""
    functional, _, _ = model_classes(found)

    def made(real: Any) -> Any:
        def call(self: Any, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            return real(self, inputs, training=training)

        return call

    return replaced(functional, "call", made)


def _inverts_compute_mask(found: Implementation) -> Any:
    """`compute_mask` of a model says masked where it is valid."""
    functional, sequential, _ = model_classes(found)
    stack = contextlib.ExitStack()

    def made(real: Any) -> Any:
        def compute_mask(self: Any, inputs: Any, mask: Any = None, **more: Any) -> Any:
            mask = more.get("previous_mask", mask)
            masks = real(self, inputs, mask)
            nest = found.tensorflow.nest
            return nest.map_structure(
                lambda one: None if one is None else found.tensorflow.logical_not(one), masks
            )

        return compute_mask

    for one in (functional, sequential):
        stack.enter_context(replaced(one, "compute_mask", made))
    return stack


def _clears_its_input(found: Implementation) -> Any:
    """Dense takes the mask off the tensor that it is called on."""

    def made(real: Any) -> Any:
        def call(self: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            outputs = real(self, inputs, *args, **kwargs)
            mask = getattr(inputs, "_keras_mask", None)
            if mask is not None and not is_symbolic(inputs):
                outputs._keras_mask = mask
                inputs._keras_mask = None
            return outputs

        return call

    return replaced(found.keras.layers.Dense, "__call__", made)


def _mixes_last_batch(found: Implementation) -> Any:
    """`predict` gives the rows of a smaller last batch what the row before them got."""
    *_, model = model_classes(found)

    def made(real: Any) -> Any:
        def predict(self: Any, x: Any, batch_size: Any = None, **kwargs: Any) -> Any:
            found = real(self, x, batch_size=batch_size, **kwargs)
            rest = len(found) % (batch_size or 32)
            if 0 < rest < len(found):
                found[-rest:] = found[-rest - 1]
            return found

        return predict

    return replaced(model, "predict", made)


def _remembers_masks(found: Implementation) -> Any:
    """A Masking layer keeps the mask that it made first, as long as its shape fits."""
    tensorflow = found.tensorflow

    def made(real: Any) -> Any:
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            outputs = real(self, *args, **kwargs)
            mask = getattr(outputs, "_keras_mask", None)
            if hasattr(mask, "numpy"):
                held = self.__dict__.setdefault("held", mask)
                rows = min(held.shape[0], mask.shape[0])
                if held.shape[1] == mask.shape[1]:
                    outputs._keras_mask = tensorflow.concat([held[:rows], mask[rows:]], 0)
            return outputs

        return call

    return replaced(found.keras.layers.Masking, "__call__", made)


def _tells_nobody(found: Implementation) -> Any:
    """No warning is given."""
    return mock.patch("warnings.warn", lambda *args, **kwargs: None)


def _tells_twice(found: Implementation) -> Any:
    """What is warned of is warned of twice."""
    real = warnings.warn

    def twice(*args: Any, **kwargs: Any) -> None:
        real(*args, **kwargs)
        real(*args, **kwargs)

    return mock.patch("warnings.warn", twice)


def _loads_without_value(found: Implementation) -> Any:
    """A loaded Masking masks zeros, whatever it was told to mask."""

    def made(real: Any) -> Any:
        return lambda self: {**real(self), "mask_value": 0.5}

    return replaced(found.keras.layers.Masking, "get_config", made)


def _loses_masks_in_hdf5(found: Implementation) -> Any:
    """A model that is loaded from HDF5 gives its output without a mask."""

    def made(real: Any) -> Any:
        def load_model(path: str, **options: Any) -> Any:
            model = real(path, **options)
            if not path.endswith(".h5"):
                return model
            return lambda inputs: found.tensorflow.identity(model(inputs))

        return load_model

    return replaced(found.keras.models, "load_model", made)


def _hands_on_first(found: Implementation) -> Any:
    """A Functional model gives its output the mask of its input, whatever became of it."""
    functional, _, _ = model_classes(found)

    def made(real: Any) -> Any:
        def call(self: Any, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            outputs = real(self, inputs, training=training, mask=mask)
            first = found.tensorflow.nest.flatten(mask)[0] if mask is not None else None
            if first is not None and not is_symbolic(outputs):
                outputs = found.tensorflow.identity(outputs)
                outputs._keras_mask = first
            return outputs

        return call

    return replaced(functional, "call", made)


def _symbols_of_another_shape(found: Implementation) -> Any:
    """A Functional model says of symbolic tensors that its outputs have a feature more."""
    functional, _, _ = model_classes(found)

    def wider(one: Any) -> Any:
        return found.keras.KerasTensor((*one.shape[:-1], one.shape[-1] + 1), one.dtype)

    def made(real: Any) -> Any:
        def compute_output_spec(self: Any, *args: Any, **kwargs: Any) -> Any:
            return found.keras.tree.map_structure(wider, real(self, *args, **kwargs))

        return compute_output_spec

    return replaced(functional, "compute_output_spec", made)


def _all_or_none(found: Implementation) -> Any:
    """A Functional model takes no notice of masks where one of several inputs has none."""
    functional, _, _ = model_classes(found)

    def made(real: Any) -> Any:
        def call(self: Any, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            masks = mask if isinstance(mask, list | tuple) else [mask]
            if any(one is None for one in masks):
                inputs, mask = unmasked(found, inputs), None
            return real(self, inputs, training=training, mask=mask)

        return call

    return replaced(functional, "call", made)


def _loses_beside_unmasked(found: Implementation) -> Any:
    """A dense attention layer is handed no mask where one of its tensors carries none."""

    def made(real: Any) -> Any:
        def call(self: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            if any(getattr(one, "_keras_mask", None) is None for one in inputs):
                inputs = unmasked(found, inputs)
            return real(self, inputs, *args, **kwargs)

        return call

    return replaced(found.keras.layers.Attention, "__call__", made)


_PLAIN = ("sequence", "residual", "branch", "two inputs")
_TWO = ("two inputs",)
_ALL = (*_PLAIN, "several consumers", "nested models")
IN_MODELS = (
    ModelDefect("nested models drop masks", ("nested models",), "prediction", _drops_nested),
    ModelDefect("Sequential drops its mask", _PLAIN, "builds_agree", _sequential_drops),
    ModelDefect("mask= is ignored", _PLAIN, "chain_mask_argument", _ignores_argument),
    ModelDefect("mask= with None is ignored", _TWO, "chain_mask_argument", _all_or_none),
    ModelDefect("attention to one mask alone", _TWO, "chain_truth", _loses_beside_unmasked),
    ModelDefect("compute_mask is inverted", _PLAIN, "chain_mask_argument", _inverts_compute_mask),
    ModelDefect("the input's mask is handed on", _PLAIN, "chain_mask_argument", _hands_on_first),
    ModelDefect("Dense clears its input's mask", _PLAIN, "consumers_agree", _clears_its_input),
    ModelDefect("predict mixes the last batch", _PLAIN, "runs_agree", _mixes_last_batch),
    ModelDefect("Masking remembers its first mask", _PLAIN, "runs_agree", _remembers_masks),
    ModelDefect("Masking is loaded otherwise", _ALL, "runs_agree", _loads_without_value),
    ModelDefect("HDF5 loses the mask", _PLAIN, "runs_agree", _loses_masks_in_hdf5),
    ModelDefect("nobody is told", _PLAIN, "chain_told", _tells_nobody),
    ModelDefect("all is told twice", _PLAIN, "chain_told", _tells_twice),
    ModelDefect("symbols are wider", _PLAIN, "chain_symbolic", _symbols_of_another_shape),
)
