"""Defects planted in chains: in one layer of four, and in what makes models of layers.

`python -m selftest.chain_defects --seeds 10` prints for each how many seeds see it, and whether
the failure names the layer.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from catalogue.chains import ChainCase, Node
from catalogue.layer_cases import Tensor
from catalogue.specs import Spec
from execution.implementation import Implementation, installed
from execution.running import Runner
from properties.cells import Cell, Profile, load_checked
from properties.comparisons import mismatches
from properties.registry import PROPERTIES
from properties.running import CellRunner
from reports.ledger import Ledger
from selftest.defective import Defect
from selftest.planting import EXECUTION, LEDGER

__all__ = ["IN_LAYERS", "IN_MODELS", "ModelDefect", "named", "planted_in", "sight"]

NAMING = ("prediction", "chain_truth", "chain_isolation")
"""The properties that name the layer to blame."""

# -- in one layer of four --------------------------------------------------------------------


def _loses(keras: Any, tf: Any) -> type:
    class LayerNormalization(keras.layers.LayerNormalization):  # type: ignore[misc]
        def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
            return None

        def call(self, inputs: Any) -> Any:
            return tf.identity(super().call(inputs))

    return LayerNormalization


def _shifts(keras: Any, tf: Any) -> type:
    class Activation(keras.layers.Activation):  # type: ignore[misc]
        def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
            roll = keras.ops.roll if hasattr(keras, "ops") else tf.roll
            return None if mask is None else roll(mask, 1, axis=1)

        def call(self, inputs: Any) -> Any:
            return super().call(tf.identity(inputs))

    return Activation


def _leaks(keras: Any, tf: Any) -> type:
    class Dense(keras.layers.Dense):  # type: ignore[misc]
        def call(self, inputs: Any, **kwargs: Any) -> Any:
            mean = 1e-2 * tf.reduce_mean(tf.abs(tf.tanh(inputs)), axis=(1, 2), keepdims=True)
            return super().call(inputs, **kwargs) + mean

    return Dense


_MADE: dict[str, Callable[[Any, Any], type]] = {
    "LayerNormalization": _loses,
    "Activation": _shifts,
    "Dense": _leaks,
}
IN_LAYERS = (*_MADE, "LSTM")
_FOUR = {
    "Dense": Spec("Dense", {"units": 2}),
    "LayerNormalization": Spec("LayerNormalization"),
    "Activation": Spec("Activation", {"activation": "tanh"}),
    "LSTM": Spec("LSTM", {"units": 2, "return_sequences": True}),
}


def planted_in(found: Implementation, layer: str) -> Implementation:
    """Keras with a defect in one layer; the one in LSTM is that masks are ignored."""
    if layer == "LSTM":
        ignored = Defect("", "", (), "LSTM", lambda call: call.real(mask=None))
        return Implementation(found.installed, ignored.overrides(found))
    return Implementation(found.installed, {layer: _MADE[layer](found.keras, found.tensorflow)})


def four(seed: int) -> ChainCase:
    """A chain of the four layers in an order of its own, on a batch of its own."""
    rng = random.Random(seed)
    names = rng.sample(sorted(_FOUR), len(_FOUR))
    nodes = tuple(Node(_FOUR[name], (place,)) for place, name in enumerate(names))
    rows = ["".join(rng.choice("01") for _ in range(5)) for _ in range(3)]
    mask = (*rows, "01101", "11000", "11111")
    other = rng.choice(("ones", "tenth", "noise"))
    tensors = (Tensor(mask, (2,), seed=rng.randrange(2**16)),)
    return ChainCase(nodes, tensors, weights=rng.randrange(2**16), other=other)  # type: ignore[arg-type]


def named(planted: Implementation, seed: int) -> set[str]:
    """The layers that the failures in a chain of four name: the first of each property."""
    runner, case, found = Runner(planted, EXECUTION), four(seed), set()
    for name in NAMING:
        plan = PROPERTIES[name].function(case)
        first = next(mismatches(plan, runner.run(plan.steps)), None)
        if first is not None:
            found.add(first.comparison.name.split()[-1])
    return found


# -- in what makes models --------------------------------------------------------------------

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


def _model_classes(found: Implementation) -> tuple[type, type, type]:
    """Functional, Sequential and Model."""
    keras = found.keras
    inputs = keras.Input((None, 1))
    functional = type(keras.Model(inputs, keras.layers.ReLU()(inputs)))
    return functional, keras.Sequential, keras.Model


def _replaced(owner: Any, name: str, made: Callable[[Any], Any]) -> Any:
    real = getattr(owner, name)
    return mock.patch.object(owner, name, functools.wraps(real)(made(real)))


def _unmasked(found: Implementation, outputs: Any) -> Any:
    """The outputs on tensors that carry no mask."""
    return found.tensorflow.nest.map_structure(
        lambda one: one if _symbolic(one) else found.tensorflow.identity(one), outputs
    )


def _symbolic(tensor: Any) -> bool:
    return type(tensor).__name__ == "KerasTensor"


def _drops_nested(found: Implementation) -> Any:
    """A Functional model that is called on a tensor with a mask hands on none."""
    functional, _, _ = _model_classes(found)

    def made(real: Any) -> Any:
        def call(self: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            masked = kwargs.get("mask") is not None or any(
                getattr(one, "_keras_mask", None) is not None
                for one in found.tensorflow.nest.flatten(inputs)
            )
            outputs = real(self, inputs, *args, **kwargs)
            return _unmasked(found, outputs) if masked else outputs

        return call

    return _replaced(functional, "call", made)


def _sequential_drops(found: Implementation) -> Any:
    """The output of a Sequential carries no mask."""
    _, sequential, _ = _model_classes(found)

    def made(real: Any) -> Any:
        return lambda self, *args, **kwargs: _unmasked(found, real(self, *args, **kwargs))

    return _replaced(sequential, "call", made)


def _ignores_argument(found: Implementation) -> Any:
    """A Functional model takes no notice of `mask=`."""
    functional, _, _ = _model_classes(found)

    def made(real: Any) -> Any:
        def call(self: Any, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            return real(self, inputs, training=training)

        return call

    return _replaced(functional, "call", made)


def _inverts_compute_mask(found: Implementation) -> Any:
    """`compute_mask` of a model says masked where it is valid."""
    functional, sequential, _ = _model_classes(found)
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
        stack.enter_context(_replaced(one, "compute_mask", made))
    return stack


def _clears_its_input(found: Implementation) -> Any:
    """Dense takes the mask off the tensor that it is called on."""

    def made(real: Any) -> Any:
        def call(self: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            outputs = real(self, inputs, *args, **kwargs)
            mask = getattr(inputs, "_keras_mask", None)
            if mask is not None and not _symbolic(inputs):
                outputs._keras_mask = mask
                inputs._keras_mask = None
            return outputs

        return call

    return _replaced(found.keras.layers.Dense, "__call__", made)


def _mixes_last_batch(found: Implementation) -> Any:
    """`predict` gives the rows of a smaller last batch what the row before them got."""
    *_, model = _model_classes(found)

    def made(real: Any) -> Any:
        def predict(self: Any, x: Any, batch_size: Any = None, **kwargs: Any) -> Any:
            found = real(self, x, batch_size=batch_size, **kwargs)
            rest = len(found) % (batch_size or 32)
            if 0 < rest < len(found):
                found[-rest:] = found[-rest - 1]
            return found

        return predict

    return _replaced(model, "predict", made)


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

    return _replaced(found.keras.layers.Masking, "__call__", made)


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

    return _replaced(found.keras.layers.Masking, "get_config", made)


def _loses_masks_in_hdf5(found: Implementation) -> Any:
    """A model that is loaded from HDF5 gives its output without a mask."""

    def made(real: Any) -> Any:
        def load_model(path: str, **options: Any) -> Any:
            model = real(path, **options)
            if not path.endswith(".h5"):
                return model
            return lambda inputs: found.tensorflow.identity(model(inputs))

        return load_model

    return _replaced(found.keras.models, "load_model", made)


def _hands_on_first(found: Implementation) -> Any:
    """A Functional model gives its output the mask of its input, whatever became of it."""
    functional, _, _ = _model_classes(found)

    def made(real: Any) -> Any:
        def call(self: Any, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            outputs = real(self, inputs, training=training, mask=mask)
            first = found.tensorflow.nest.flatten(mask)[0] if mask is not None else None
            if first is not None and not _symbolic(outputs):
                outputs = found.tensorflow.identity(outputs)
                outputs._keras_mask = first
            return outputs

        return call

    return _replaced(functional, "call", made)


def _symbols_of_another_shape(found: Implementation) -> Any:
    """A Functional model says of symbolic tensors that its outputs have a feature more."""
    functional, _, _ = _model_classes(found)

    def wider(one: Any) -> Any:
        return found.keras.KerasTensor((*one.shape[:-1], one.shape[-1] + 1), one.dtype)

    def made(real: Any) -> Any:
        def compute_output_spec(self: Any, *args: Any, **kwargs: Any) -> Any:
            return found.keras.tree.map_structure(wider, real(self, *args, **kwargs))

        return compute_output_spec

    return _replaced(functional, "compute_output_spec", made)


def _all_or_none(found: Implementation) -> Any:
    """A Functional model takes no notice of masks where one of several inputs has none."""
    functional, _, _ = _model_classes(found)

    def made(real: Any) -> Any:
        def call(self: Any, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            masks = mask if isinstance(mask, list | tuple) else [mask]
            if any(one is None for one in masks):
                inputs, mask = _unmasked(found, inputs), None
            return real(self, inputs, training=training, mask=mask)

        return call

    return _replaced(functional, "call", made)


def _loses_beside_unmasked(found: Implementation) -> Any:
    """A dense attention layer is handed no mask where one of its tensors carries none."""

    def made(real: Any) -> Any:
        def call(self: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            if any(getattr(one, "_keras_mask", None) is None for one in inputs):
                inputs = _unmasked(found, inputs)
            return real(self, inputs, *args, **kwargs)

        return call

    return _replaced(found.keras.layers.Attention, "__call__", made)


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


def sight(defect: ModelDefect, found: Implementation, ledger: Ledger, seed: int) -> str | None:
    """The comparison that shows a defect, drawn as `standard` draws; None where none does."""
    for family in defect.families:
        cell = Cell(defect.property, f"chain: {family}", EXECUTION)
        with defect.patched(found):
            runner = Runner(Implementation(found.installed), EXECUTION)
            running = CellRunner(
                cell, runner, ledger, Profile("standard", examples=1), seed, explain=False
            )
            entry = running.run()
        if entry["outcome"] == "new":
            shown: str = entry["findings"][0]["comparison"]
            return shown
    return None


# -- the command -----------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Print a row for each defect; 0 where every seed sees it and names the layer."""
    parser = argparse.ArgumentParser(prog="python -m selftest.chain_defects", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="how many (10)")
    parser.add_argument("--models", action="store_true", help="defects in models, too")
    options = parser.parse_args(arguments)
    found = Implementation(installed())
    ledger = load_checked(LEDGER).affected(
        found.installed.name, found.installed.keras, found.installed.tensorflow
    )
    missed = 0
    print(f"{found.installed}, {options.seeds} seeds", flush=True)
    for layer in IN_LAYERS:
        planted = planted_in(found, layer)
        right = sum(named(planted, seed) == {layer} for seed in range(options.seeds))
        missed += right < options.seeds
        print(f"{layer}, in a chain of four: named {right}/{options.seeds}", flush=True)
    for defect in IN_MODELS if options.models else ():
        sights = [sight(defect, found, ledger, seed) for seed in range(options.seeds)]
        seen = [one for one in sights if one is not None]
        missed += len(seen) < options.seeds
        by = ", ".join(sorted(set(seen)))
        print(f"{defect.name}: seen {len(seen)}/{options.seeds}, {by}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
