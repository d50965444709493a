"""Measures examples a second against the naive way, where the time goes, and memory.

    python -m selftest.benchmark [--layer LSTM] [--seconds 60] [--examples 10000]

An example is one ragged batch with all checks of its property. The naive way draws the same
cases and makes the same checks, with a new layer and eager calls for each.
"""

from __future__ import annotations

import argparse
import gc
import time
from pathlib import Path
from typing import Any

import psutil

import properties.test_conformance  # noqa: F401 (declares the properties)
from execution.implementation import Implementation, installed
from execution.results import Execution, Results
from execution.running import Runner
from properties.cells import Profile, cells, load_checked
from properties.running import CellRunner

_PROPERTIES = ("truth", "held_state", "padding_content", "row_order", "compaction")
_LEDGER = Path(__file__).parent.parent / "reports" / "ledger.toml"


class NaiveRunner(Runner):
    """A runner that keeps nothing: each list of steps builds its layers and calls eagerly."""

    def run(self, steps: Any) -> Results:
        """Run the steps on new layers."""
        self._layers.clear()
        return super().run(steps)


def _ledger(found: Any) -> Any:

    return load_checked(_LEDGER).affected(found.name, found.keras, found.tensorflow)


def _measured(runner: Runner, ledger: Any, layer: str, seconds: float) -> dict[str, Any]:
    """Meet cell after cell, round after round, until the time is up."""
    total: dict[str, Any] = {"batches": 0, "counts": {}, "seconds": {}}
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        for cell in cells({layer}, set(_PROPERTIES)):
            # One seed: configurations stay, as within a run, and so do the batches.
            entry = CellRunner(cell, runner, ledger, Profile("standard", 1), 0, explain=False).run()
            total["batches"] += entry["batches"]
            for part in ("counts", "seconds"):
                for name, value in entry[part].items():
                    total[part][name] = total[part].get(name, 0) + value
            if time.perf_counter() - started >= seconds:
                break
    total["elapsed"] = time.perf_counter() - started
    return total


def _printed(name: str, total: dict[str, Any]) -> float:
    rate = total["batches"] / total["elapsed"]
    counts, seconds = total["counts"], total["seconds"]
    known = sum(value for what, value in seconds.items() if what != "total")
    print(f"{name}: {total['batches']} examples in {total['elapsed']:.0f} s, {rate:.0f} a second")
    for what, value in sorted(seconds.items(), key=lambda item: -item[1]):
        if what != "total":
            count = f"{counts[what]} x " if what in counts else ""
            print(f"  {what:16s} {value:7.1f} s  {count}")
    print(
        f"  {'the rest':16s} {seconds['total'] - known:7.1f} s  (expressions, traits, Hypothesis)"
    )
    return float(rate)


def main() -> None:
    """Run the three measurements and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layer", default="LSTM")
    parser.add_argument("--seconds", type=float, default=60, help="for each way")
    parser.add_argument("--examples", type=int, default=10_000, help="for the memory's course")
    arguments = parser.parse_args()
    found = installed()
    implementation, ledger = Implementation(found), _ledger(found)
    print(f"{found}; layer {arguments.layer}; properties {', '.join(_PROPERTIES)}")
    ours = Runner(implementation, Execution("cpu:0", "graph"))
    rate = _printed("traced", _measured(ours, ledger, arguments.layer, arguments.seconds))
    naive = NaiveRunner(implementation, Execution("cpu:0", "eager"))
    slow = _printed("naive", _measured(naive, ledger, arguments.layer, arguments.seconds))
    naive.forget()
    print(f"ratio: {rate / slow:.1f} times as many examples a second")
    _memory(ours, ledger, arguments.layer, arguments.examples)


def _memory(runner: Runner, ledger: Any, layer: str, examples: int) -> None:
    process, done, step = psutil.Process(), 0, max(1, examples // 10)
    print(f"memory over {examples} examples, in MB:")
    after = 0
    while done < examples:
        for cell in cells({layer}, {"truth", "row_order"}):
            done += CellRunner(
                cell, runner, ledger, Profile("standard", 1), 0, explain=False
            ).run()["batches"]
            if done >= after:
                gc.collect()
                print(f"  {done:6d}  {process.memory_info().rss / 2**20:7.0f}")
                after += step


if __name__ == "__main__":
    main()
