"""Defects planted in chains: in one layer of four, and in what makes models of layers.

`python -m selftest.chain_defects --seeds 10` prints for each how many seeds see it, and whether
the failure names the layer.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable
from typing import Any

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
from selftest.input_defects import IN_INPUTS
from selftest.model_defects import IN_MODELS, ModelDefect
from selftest.planting import EXECUTION, LEDGER

__all__ = ["IN_LAYERS", "named", "planted_in", "sight"]

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
    for defect in (*IN_MODELS, *IN_INPUTS) if options.models else ():
        sights = [sight(defect, found, ledger, seed) for seed in range(options.seeds)]
        seen = [one for one in sights if one is not None]
        missed += len(seen) < options.seeds
        by = ", ".join(sorted(set(seen)))
        print(f"{defect.name}: seen {len(seen)}/{options.seeds}, {by}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
