"""How soon planted defects are seen: `python -m selftest.planting --seeds 10` prints a table."""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import msgspec

from execution.implementation import Implementation, Installed, installed
from execution.running import Execution, Runner
from properties.cells import QUICK, STANDARD, Cell, Profile, load_checked
from properties.families import FAMILIES
from properties.running import CellRunner
from properties.test_conformance import PROPERTIES
from reports.ledger import Ledger
from selftest.defects import PLANTED, Planted, equivalent

__all__ = [
    "EXECUTION",
    "LEDGER",
    "Ground",
    "Sight",
    "first_sight",
    "known_of",
    "new_deviations",
    "outcome_of",
]

_PROFILES = {"standard": STANDARD, "quick": QUICK}
EXECUTION = Execution("cpu:0", "graph")
LEDGER = Path(__file__).parents[1] / "reports" / "ledger.toml"


def known_of(found: Installed) -> Ledger:
    """What the ledger says of a version, without its pinned cases.

    These are traced anew with every defect, and say nothing of it.
    """
    ledger = load_checked(LEDGER).affected(found.name, found.keras, found.tensorflow)
    return Ledger(tuple(msgspec.structs.replace(one, pins=()) for one in ledger))


@dataclasses.dataclass(frozen=True)
class Ground:
    """Where defects are planted: an implementation, what is known of it, and how hard to try."""

    implementation: Implementation
    ledger: Ledger
    profile: Profile = STANDARD

    @classmethod
    def of(cls, name: str = "keras") -> Ground:
        """The installed implementation of this name, with the ledger as far as it speaks of it."""
        implementation = Implementation(installed(name))
        found = implementation.installed
        return cls(implementation, known_of(found))

    def planted(self, defect: Planted) -> Ground:
        """The same with a defect in it."""
        found = self.implementation.installed
        overridden = Implementation(found, defect.overrides(self.implementation))
        return dataclasses.replace(self, implementation=overridden)

    def entries(
        self, layer: str, properties: Iterable[str], seed: int
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """The entry of each cell of a layer, with the name of its property."""
        runner = Runner(self.implementation, EXECUTION)
        try:
            for property in properties:
                cell = Cell(property, layer, EXECUTION)
                running = CellRunner(cell, runner, self.ledger, self.profile, seed, explain=False)
                try:
                    entry = running.run()
                except hypothesis.errors.Flaky as error:
                    # What failed once did not fail again: the cell breaks off, saying nothing.
                    reason = str(error).partition("\n")[0]
                    entry = {"outcome": "broken", "reason": reason, "findings": []}
                yield property, entry
        finally:
            runner.forget()


@dataclasses.dataclass(frozen=True)
class Sight:
    """The first new deviation that a cell finds: by what, and after how much.

    `examples` and `batches` are those of the cell that saw it; `seconds` count from the
    first cell on.
    """

    property: str
    comparison: str
    kind: str
    message: str
    examples: int
    batches: int
    seconds: float


def first_sight(defect: Planted, seed: int, ground: Ground) -> Sight | None:
    """What the first of the properties that name a defect says of it; None if none sees it."""
    started = time.perf_counter()
    for property, entry in ground.planted(defect).entries(defect.layer, defect.properties, seed):
        if entry["outcome"] == "new":
            finding = entry["findings"][0]
            return Sight(
                property,
                finding["comparison"],
                finding["kind"],
                finding["message"],
                entry["examples"],
                entry["batches"],
                time.perf_counter() - started,
            )
    return None


def outcome_of(
    implementation: Implementation,
    layer: str,
    property: str,
    ledger: Ledger,
    seed: int,
    profile: Profile = STANDARD,
) -> str:
    """How one cell ends, by default drawn as `standard` draws."""
    runner = Runner(implementation, EXECUTION)
    cell = Cell(property, layer, EXECUTION)
    running = CellRunner(cell, runner, ledger, profile, seed, explain=False)
    outcome: str = running.run()["outcome"]
    return outcome


def new_deviations(
    ground: Ground, layer: str, seed: int, properties: Iterable[str] | None = None
) -> list[str]:
    """What properties (or those of these names) find new in a layer, a line each."""
    names = properties or [
        name
        for name, one in PROPERTIES.items()
        if layer in FAMILIES[one.family].layers and one.of(layer)
    ]
    found = []
    for property, entry in ground.entries(layer, names, seed):
        if entry["outcome"] in ("holds", "deviates", "fixed"):
            continue
        found += [
            f"{property}, {finding['comparison']}: {finding['message']} in {finding['case_text']}"
            for finding in entry["findings"]
        ] or [f"{property}: {entry['outcome']}, {entry['reason']}"]
    return found


# -- the command -----------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Print the table, or with `--healthy` what is found where there is no defect."""
    parser = argparse.ArgumentParser(prog="python -m selftest.planting", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="how many (10)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="the first seed (0)")
    parser.add_argument("--family", default="recurrent", choices=PLANTED, help="(recurrent)")
    parser.add_argument("--defect", action="append", metavar="NAME", help="only this one")
    parser.add_argument("--implementation", default="keras", metavar="NAME")
    parser.add_argument("--healthy", action="store_true", help="no defect: nothing may be seen")
    parser.add_argument("--layer", action="append", metavar="NAME", help="of --healthy (all)")
    parser.add_argument(
        "--profile", default="standard", choices=_PROFILES, help="how to draw (standard)"
    )
    options = parser.parse_args(arguments)
    defects = PLANTED[options.family]
    known = [defect.name for defect in defects]
    for name in options.defect or ():
        if name not in known:
            parser.error(f"--defect {name}: choose from {', '.join(known)}")
    ground = dataclasses.replace(
        Ground.of(options.implementation), profile=_PROFILES[options.profile]
    )
    seeds = range(options.first, options.first + options.seeds)
    print(f"{ground.implementation.installed}, {len(seeds)} seeds", flush=True)
    if options.healthy:
        layers = options.layer or FAMILIES[options.family].layers
        return 1 if _healthy(ground, layers, seeds) else 0
    chosen = [defect for defect in defects if not options.defect or defect.name in options.defect]
    return 1 if _table(ground, chosen, seeds) else 0


def _table(ground: Ground, defects: list[Planted], seeds: range) -> int:
    """Print a row for each defect; how many were missed by some seed."""
    missed = 0
    width = max(len(defect.name) for defect in defects)
    row = f"{{:{width}}}  {{:18}}  {{:26}}  {{:>5}}  {{:>8}}  {{:>7}}"
    print(row.format("defect", "layer", "property", "seen", "examples", "seconds"))
    for defect in defects:
        sights = [first_sight(defect, seed, ground) for seed in seeds]
        seen = [sight for sight in sights if sight is not None]
        missed += len(seen) < len(seeds)
        by = ", ".join(dict.fromkeys(s.property for s in seen)) or ", ".join(defect.properties)
        examples, seconds = (
            f"{statistics.median(values):.{digits}f}" if values else "-"
            for values, digits in (
                ([sight.examples for sight in seen], 0),
                ([sight.seconds for sight in seen], 2),
            )
        )
        count = f"{len(seen)}/{len(seeds)}"
        print(row.format(defect.name, defect.layer, by, count, examples, seconds), flush=True)
        without = [seed for seed, sight in zip(seeds, sights, strict=True) if sight is None]
        if without:
            print(f"    not seen with seeds {without}: {defect.description}", flush=True)
    print(f"{len(defects) - missed} of {len(defects)} defects seen with every seed")
    return missed


def _healthy(ground: Ground, layers: Iterable[str], seeds: range) -> int:
    """Print what is found new in the real layers, and in those that are re-implemented."""
    total = 0
    for layer in layers:
        grounds = {"as installed": ground}
        if layer in FAMILIES["recurrent"].layers:
            grounds["re-implemented"] = ground.planted(equivalent(layer))
        for name, each in grounds.items():
            for seed in seeds:
                started = time.perf_counter()
                found = new_deviations(each, layer, seed)
                total += len(found)
                spent = time.perf_counter() - started
                print(f"{layer} {name}, seed {seed}: {len(found)} new, {spent:.0f} s", flush=True)
                for line in found:
                    print(f"    {line}", flush=True)
    return total


if __name__ == "__main__":
    sys.exit(main())
