"""What is found with an empty ledger: `python -m selftest.findings` counts, and asks how soon.

A cell, drawn as `quick` draws, finds something where it is new with nothing known. How many
examples it takes is the median over seeds and cells. What was found before, on each version,
stands in `findings.toml`; what is found must not become less (`--enter` writes what it is now, of
a whole run).
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import statistics
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

from execution.implementation import Implementation, installed
from execution.running import Runner
from properties.cells import QUICK, Cell, load_checked
from properties.families import FAMILIES
from properties.running import CellRunner
from properties.test_conformance import PROPERTIES
from reports.ledger import Ledger
from selftest.planting import EXECUTION, LEDGER

__all__ = ["FOUND", "Sighting", "counted", "fewer", "sightings"]

FOUND = Path(__file__).with_name("findings.toml")

_FAMILIES = ("recurrent", "layers")


@dataclasses.dataclass(frozen=True)
class Sighting:
    """A cell that finds something with an empty ledger.

    `entries` are the ids of the ledger that know what is found (none: nobody does), `examples`
    those drawn until it was found.
    """

    property: str
    layer: str
    seed: int
    examples: int
    entries: tuple[str, ...]


def sightings(
    implementation: Implementation, layers: Iterable[str] | None, seeds: Iterable[int]
) -> Iterable[Sighting]:
    """The cells of these layers (all) that find something, by each seed."""
    found = implementation.installed
    known = load_checked(LEDGER).affected(found.name, found.keras)
    names = [FAMILIES[family].layers for family in _FAMILIES]
    wanted = list(layers) if layers is not None else [one for family in names for one in family]
    for layer in wanted:
        family = next(name for name in _FAMILIES if layer in FAMILIES[name].layers)
        if not FAMILIES[family].has(layer, found.keras):
            continue
        runner = Runner(implementation, EXECUTION)
        for property in PROPERTIES.values():
            if (
                property.family != family
                or not property.of(layer)
                or known.deadly(property.name, layer)
            ):
                continue
            for seed in seeds:
                cell = Cell(property.name, layer, EXECUTION)
                running = CellRunner(cell, runner, Ledger(()), QUICK, seed, explain=False)
                entry = running.run()
                if entry["outcome"] != "new":
                    continue
                (finding, *_) = entry["findings"]
                excusing = known.excuses(
                    property.name,
                    layer,
                    finding["comparison"],
                    finding["kind"],
                    frozenset(finding["facts"]),
                )
                ids = tuple(one.id for one in excusing)
                yield Sighting(property.name, layer, seed, entry["examples"], ids)
        runner.forget()


def counted(found: Iterable[Sighting]) -> dict[str, int]:
    """How many cells find something, with some seed, and how many entries of the ledger that is."""
    found = list(found)
    return {
        "cells": len({(one.property, one.layer) for one in found}),
        "deviations": len({id_ for one in found for id_ in one.entries}),
    }


def fewer(now: dict[str, int], before: dict[str, int]) -> list[str]:
    """What is less than it was, a sentence each."""
    return [
        f"{now[name]} {name} where {before[name]} were found before"
        for name in now
        if now[name] < before.get(name, 0)
    ]


# -- the command -----------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Print what is found; 1 where less is than before."""
    parser = argparse.ArgumentParser(prog="python -m selftest.findings", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="how many (1)")
    parser.add_argument("--layer", action="append", metavar="NAME", help="only this one")
    parser.add_argument("--implementation", default="keras", metavar="NAME")
    parser.add_argument("--enter", action="store_true", help="write it down, of all layers")
    options = parser.parse_args(arguments)
    known = [layer for family in _FAMILIES for layer in FAMILIES[family].layers]
    for layer in options.layer or ():
        if layer not in known:
            parser.error(f"--layer {layer}: choose from {', '.join(known)}")
    if options.enter and options.layer:
        parser.error("--enter writes what all layers show: leave --layer out")
    implementation = Implementation(installed(options.implementation))
    found: list[Sighting] = []
    by_layer: dict[str, list[Sighting]] = collections.defaultdict(list)
    print(f"{implementation.installed}, an empty ledger, {options.seeds} seeds", flush=True)
    for one in sightings(implementation, options.layer, range(options.seeds)):
        if one.layer not in by_layer and by_layer:
            _row(*list(by_layer.items())[-1])
        by_layer[one.layer].append(one)
        found.append(one)
    if by_layer:
        _row(*list(by_layer.items())[-1])
    now = counted(found)
    median = statistics.median([one.examples for one in found]) if found else 0
    print(f"{now['deviations']} deviations in {now['cells']} cells, median {median:g} examples")
    name = f"{implementation.installed.name} {implementation.installed.keras}"
    table = tomllib.loads(FOUND.read_text()) if FOUND.exists() else {}
    if options.enter:
        table[name] = now
        FOUND.write_text("\n".join(_written(version, table[version]) for version in sorted(table)))
        return 0
    if options.layer:
        return 0
    less = fewer(now, table.get(name, {}))
    for sentence in less:
        print(sentence)
    return 1 if less else 0


def _row(layer: str, found: list[Sighting]) -> None:
    properties = dict.fromkeys(one.property for one in found)
    median = statistics.median([one.examples for one in found])
    ids = sorted({id_ for one in found for id_ in one.entries})
    print(
        f"{layer}: {len(properties)} cells, median {median:g} examples: {', '.join(ids)}",
        flush=True,
    )


def _written(version: str, numbers: dict[str, int]) -> str:
    lines = "\n".join(f"{name} = {number}" for name, number in numbers.items())
    return f'["{version}"]\n{lines}\n'


if __name__ == "__main__":
    sys.exit(main())
