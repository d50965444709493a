"""What is counted, how hard a run tries, and what a run asks of the ledger."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

from execution.running import Execution
from properties.alternatives import NAMES
from properties.families import FAMILIES
from properties.registry import PROPERTIES
from properties.strata import THINNED
from reports.ledger import Ledger as LedgerOnFile
from reports.ledger_file import LedgerError, load_ledger

__all__ = ["QUICK", "STANDARD", "Cell", "Ledger", "Profile", "cells", "load_checked"]


@dataclasses.dataclass(frozen=True)
class Cell:
    """A property, a layer and an execution: what is counted."""

    property: str
    layer: str
    execution: Execution

    def __str__(self) -> str:
        return f"{self.layer}-{self.execution}"


@dataclasses.dataclass(frozen=True)
class Profile:
    """How hard a run tries.

    `examples` for each stratum, and Hypothesis' `plainest` one besides, which is always met by
    properties that ask something of it alone; `rounds` through the strata, the sampled
    configurations new in each; `seconds` after which a cell begins no further round. With `thin`
    every `thin`-th configuration is met.
    """

    name: str
    examples: int
    rounds: int = 1
    seconds: float = 0.0
    thin: int = 1
    plainest: bool = True


# The plainest takes a fifth of the time: of 890 cells that deviate four did not without it.
QUICK = Profile("quick", examples=1, thin=THINNED, plainest=False)
STANDARD = Profile("standard", examples=1)


class Ledger(Protocol):
    """What a run asks of the ledger of known deviations."""

    def excuses(
        self, property: str, layer: str, comparison: str, kind: str, facts: frozenset[str]
    ) -> Iterable[Any]:
        """The entries that know this deviation."""

    def concerning(self, property: str, layer: str) -> list[Any]:
        """The entries that speak of a property of a layer."""

    def deadly(self, property: str, layer: str) -> list[Any]:
        """The entries of which no case may be run in this process."""

    def pins(
        self, property: str, layer: str, mode: str, device: str = "cpu:0"
    ) -> list[tuple[Any, Any]]:
        """The entries, each with a pinned case, to be replayed in this cell."""


def cells(
    layers: set[str] | None = None,
    properties: set[str] | None = None,
    devices: tuple[str, ...] = ("cpu:0",),
    mode: str | None = None,
    keras: str | None = None,
    *,
    explores: bool = False,
) -> list[Cell]:
    """All cells, or those of the given names, layer by layer, so that a layer's share traces.

    With a version of `keras` those of the layers that it has. A run that `explores` has more modes.
    """
    found = []
    for family in FAMILIES.values():
        for layer in family.layers:
            if keras is not None and not family.has(layer, keras):
                continue
            for device in devices:
                modes = (*family.modes, *(family.explored if explores else ()))
                for one in (mode,) if mode else modes:
                    found += [
                        Cell(property.name, layer, Execution(device, one))
                        for property in PROPERTIES.values()
                        if property.family == family.name and property.of(layer)
                    ]
    return [
        cell
        for cell in found
        if (layers is None or cell.layer in layers)
        and (properties is None or cell.property in properties)
    ]


def load_checked(path: str | os.PathLike[str]) -> LedgerOnFile:
    """The ledger in a file, its pinned cases looked at too; LedgerError in one sentence."""
    known = {
        name: tuple(filter(one.of, FAMILIES[one.family].layers)) for name, one in PROPERTIES.items()
    }
    ledger = load_ledger(path, properties=known, alternatives=NAMES)
    for deviation in ledger:
        for pin in deviation.pins:
            problem = _pin_problem(deviation, pin)
            if problem:
                raise LedgerError(f"{path}: deviation {deviation.id!r}: {problem}")
    return ledger


def _pin_problem(deviation: Any, pin: Any) -> str | None:
    """Why a pinned case is none of its entry's, in half a sentence, or None."""
    family = FAMILIES[PROPERTIES[pin.property].family]
    try:
        case: Any = msgspec.convert(pin.case, family.case_type)
    except (msgspec.ValidationError, ValueError) as error:
        return f"a pinned case of {pin.property} is none: {error}"
    device = "gpu:0" if pin.device == "gpu" else "cpu:0"
    if not deviation.region.covers(
        family.facts(case, device, pin.mode, [pin.cpu] if pin.cpu else [])
    ):
        return f"matches nothing: its pinned case of {pin.property} lies outside its region"
    if not PROPERTIES[pin.property].applies(case):
        return f"a pinned case is one that {pin.property} says nothing about"
    return None
