"""Wrong rules planted in each way to multiply: `python -m selftest.wrong_rules --seeds 10`.

Each is looked for as `standard` looks, with the ledger that is checked in; what is printed is how
many seeds see it, by which properties, and after how many examples (the median).
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from packaging.version import Version

from catalogue.ways import WAYS, written
from execution.implementation import Implementation, installed
from execution.running import Execution, Runner
from properties.cells import Cell, Profile, load_checked
from properties.registry import PROPERTIES
from properties.running import CellRunner
from properties.test_conformance import FAMILIES
from reports.ledger import Ledger
from selftest.planting import LEDGER

__all__ = ["RULES", "first_sight", "healthy", "ways_of", "wrong_rules"]

RULES = ("aligned at the wrong end", "ones not broadcast", "rank grown", "dtype truncated")
Multiplies = Callable[[Any, Any], Any]


def ways_of(implementation: Implementation) -> list[str]:
    """The ways to multiply that an implementation has."""
    here = Version(implementation.installed.keras)
    return [name for name, way in WAYS.items() if not way.since or here >= Version(way.since)]


def healthy(implementation: Implementation, way: str) -> Multiplies:
    """The way as it is written, which no property may see."""
    names = {"tf": implementation.tensorflow, "keras": implementation.keras}

    def multiplied(output: Any, mask: Any) -> Any:
        text = written(WAYS[way], tuple(output.shape), mask.shape.rank)
        return eval(text, {**names, "output": output, "mask": mask})

    return multiplied


def wrong_rules(implementation: Implementation, way: str) -> dict[str, Multiplies]:
    """The way with each of RULES planted."""
    tf, well = implementation.tensorflow, healthy(implementation, way)

    def padded(tensor: Any, rank: int) -> Any:
        ones = tf.ones([rank - tensor.shape.rank], tf.int32)
        return tf.reshape(tensor, tf.concat([tf.shape(tensor), ones], 0))

    def left_aligned(output: Any, mask: Any) -> Any:
        rank = max(output.shape.rank, mask.shape.rank)
        return padded(output, rank) * tf.cast(padded(mask, rank), output.dtype)

    def right_aligned(output: Any, mask: Any) -> Any:
        return output * tf.cast(mask, output.dtype)

    def ones_not_broadcast(output: Any, mask: Any) -> Any:
        rank = min(output.shape.rank, mask.shape.rank)
        if rank and output.shape[-rank:] != mask.shape[-rank:]:
            raise ValueError("planted")
        return output * tf.cast(mask, output.dtype)

    # Aligned left is right for what appends axes and for a selection.
    fits = WAYS[way].fit in ("trailing", "repeated and permuted") or WAYS[way].rule == "leading"
    rules = (
        right_aligned if fits else left_aligned,
        ones_not_broadcast,
        lambda output, mask: well(output, mask)[None],
        lambda output, mask: tf.cast(tf.cast(well(output, mask), "float16"), "float32"),
    )
    return dict(zip(RULES, rules, strict=True))


def first_sight(
    implementation: Implementation, way: str, rule: str, ledger: Ledger, seed: int
) -> tuple[str, int] | None:
    """The property that sees a planted rule, and after how many examples; None where none does."""
    planted = {way: wrong_rules(implementation, way)[rule]}
    runner = Runner(Implementation(implementation.installed, planted), Execution("cpu:0", "eager"))
    examples = 0
    for name, property in PROPERTIES.items():
        if property.family != "broadcasting" or not property.of(way):
            continue
        cell = Cell(name, way, runner.execution)
        profile = Profile("standard", examples=1)
        entry = CellRunner(cell, runner, ledger, profile, seed, explain=False).run()
        examples += entry["examples"]
        if entry["outcome"] == "new":
            return name, examples
    return None


def main(arguments: Iterable[str] | None = None) -> int:
    """Print the table; its exit status is 1 where some seed sees nothing."""
    parser = argparse.ArgumentParser(prog="python -m selftest.wrong_rules", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="how many (10)")
    parser.add_argument("--way", action="append", metavar="NAME", help="only this one (all)")
    parser.add_argument("--implementation", default="keras", metavar="NAME")
    options = parser.parse_args(None if arguments is None else list(arguments))
    implementation = Implementation(installed(options.implementation))
    here = implementation.installed
    ledger = load_checked(LEDGER).affected(here.name, here.keras, here.tensorflow)
    print(f"{here}, {options.seeds} seeds", flush=True)
    missed = total = 0
    for way in options.way or ways_of(implementation):
        assert way in FAMILIES["broadcasting"].layers, way
        for rule in RULES:
            sights = [
                first_sight(implementation, way, rule, ledger, seed)
                for seed in range(options.seeds)
            ]
            seen = [sight for sight in sights if sight is not None]
            total += 1
            missed += len(seen) < len(sights)
            by = ", ".join(f"{name} {count}" for name, count in Counter(n for n, _ in seen).items())
            after = statistics.median(count for _, count in seen) if seen else "-"
            print(f"{way:24} {rule:26} {len(seen)}/{len(sights)}  {after:>5}  {by}", flush=True)
    print(f"{total - missed} of {total} seen with every seed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
