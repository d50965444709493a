"""Runs a cell: pinned cases first, then every stratum, and describes what does not hold."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import time
import zlib
from typing import Any, Protocol

import hypothesis
import msgspec
from hypothesis import HealthCheck, Phase, settings
from hypothesis.database import DirectoryBasedExampleDatabase

from execution.running import Execution, Runner
from properties.comparisons import Mismatch, mismatches
from properties.deaths import Deaths
from properties.explaining import described
from properties.families import FAMILIES, Stratum
from properties.journal import SILENT, Journal
from properties.registry import PROPERTIES, Property

__all__ = ["Cell", "CellRunner", "Ledger", "Profile", "cells", "pin_problem"]


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

    `examples` for each stratum, Hypothesis' plainest one besides; `seed` of all that is
    drawn; `rounds` through the strata, the sampled configurations new in each; `seconds`
    after which a cell begins no further round.
    """

    name: str
    examples: int
    rounds: int = 1
    seconds: float = 0.0


class Ledger(Protocol):
    """What a run asks of the ledger of known deviations."""

    def excuse(
        self, property: str, layer: str, comparison: str, kind: str, facts: frozenset[str]
    ) -> Any:
        """The entry that knows this deviation, or None."""

    def deadly(self, property: str, layer: str) -> list[Any]:
        """The entries of which no case may be run in this process."""

    def pins(self, property: str, layer: str, mode: str) -> list[tuple[Any, Any]]:
        """The entries, each with a pinned case, to be replayed in this cell."""


def cells(
    layers: set[str] | None = None,
    properties: set[str] | None = None,
    devices: tuple[str, ...] = ("cpu:0",),
    mode: str | None = None,
) -> list[Cell]:
    """All cells, or those of the given names, layer by layer, so that a layer's share traces."""
    found = []
    for family in FAMILIES.values():
        for layer in family.layers:
            for device in devices:
                for one in (mode,) if mode else family.modes:
                    found += [
                        Cell(property.name, layer, Execution(device, one))
                        for property in PROPERTIES.values()
                        if property.family == family.name
                    ]
    return [
        cell
        for cell in found
        if (layers is None or cell.layer in layers)
        and (properties is None or cell.property in properties)
    ]


class _NewDeviation(Exception):
    """A comparison failed that the ledger does not excuse."""

    def __init__(self, case: Any, mismatch: Mismatch) -> None:
        super().__init__(mismatch.message)
        self.case, self.mismatch = case, mismatch


class CellRunner:
    """Runs one cell on a runner and gathers what its entry in the record says."""

    shrink_seconds = 20.0

    def __init__(
        self,
        cell: Cell,
        runner: Runner,
        ledger: Ledger,
        profile: Profile,
        seed: int,
        *,
        explain: bool = True,
        journal: Journal = SILENT,
    ) -> None:
        self.cell, self.runner, self.ledger = cell, runner, ledger
        self.profile, self.seed = profile, seed
        self.explain = explain  # make what is found simpler, and write its script
        self.property: Property = PROPERTIES[cell.property]
        if profile.name == "nightly":  # every configuration, however dear
            self.property = dataclasses.replace(self.property, share=1)
        self.family = FAMILIES[self.property.family]
        self.journal = journal
        self.traits: collections.Counter[str] = collections.Counter()
        self.excused: collections.Counter[str] = collections.Counter()
        module = runner.implementation.installed.name
        self.deaths = Deaths(cell, module, ledger, journal, self.excused)
        self.seen: dict[str, tuple[Any, Mismatch]] = {}
        self.examples = self.batches = self.met = 0
        self.silent = 0  # batches of which the property has nothing to say
        self.checking = self.drawing = self._asked = 0.0

    # -- the whole cell ------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        """Run the cell and give its entry's fields, all plain values."""
        started = time.perf_counter()
        before = self._costs()
        findings, fixed, reason, total = [], [], "", 0
        outcome = "holds"
        try:
            fixed = self._replayed()
            for round_ in range(self.profile.rounds):
                strata = self._strata(round_)
                total = max(total, len(strata))
                finding = next(filter(None, (self._met(s, round_) for s in strata)), None)
                if finding is not None:
                    findings.append(finding)
                    break
                if round_ and time.perf_counter() - started > self.profile.seconds:
                    break
            outcome = self._outcome(findings, fixed)
        except MemoryError as error:
            outcome, reason = "broken", f"out of memory: {error}"
        if outcome == "holds" and self.batches == self.silent:
            outcome, reason = "broken", "no example could run"
        return {
            "property": self.cell.property,
            "layer": self.cell.layer,
            "device": self.cell.execution.device,
            "mode": self.cell.execution.mode,
            "level": self.property.level,
            "statement": self.property.statement,
            "source": self.property.source,
            "outcome": outcome,
            "reason": reason,
            "findings": findings
            or [self._described(case, found, id_) for id_, (case, found) in self.seen.items()]
            + list(self.deaths.findings.values()),
            "deviations": dict(sorted(self.excused.items())),
            "fixed": fixed,
            "examples": self.examples,
            "batches": self.batches - self.silent,
            "configurations": self.met,
            "configurations_total": total,
            "traits": dict(sorted(self.traits.items())),
            **self._spent(before, time.perf_counter() - started),
        }

    def _outcome(self, findings: list[dict[str, Any]], fixed: list[str]) -> str:
        if findings:
            return "blocked" if findings[0]["kind"] == "blocked" else "new"
        if fixed:
            return "fixed"
        return "deviates" if self.excused else "holds"

    def _costs(self) -> dict[str, tuple[int, float]]:
        counters = self.runner.counters
        return {name: (counters.counts[name], counters.seconds[name]) for name in counters.counts}

    def _spent(self, before: dict[str, tuple[int, float]], total: float) -> dict[str, Any]:
        counts, seconds = {}, {}
        for name, (count, spent) in self._costs().items():
            earlier = before.get(name, (0, 0.0))
            if count > earlier[0]:
                counts[name], seconds[name] = count - earlier[0], spent - earlier[1]
        seconds["draw"], seconds["check"] = self.drawing, self.checking
        seconds["total"] = total
        return {"counts": counts, "seconds": {k: round(v, 4) for k, v in seconds.items()}}

    # -- pinned cases --------------------------------------------------------------------

    def _replayed(self) -> list[str]:
        """Replay the pinned cases of the ledger; the ids of those that deviate no more."""
        fixed = []
        cell = self.cell
        for deviation, pin in self.ledger.pins(cell.property, cell.layer, cell.execution.mode):
            case: Any = msgspec.convert(pin.case, self.family.case_type)
            if deviation in self.deaths.known:
                if not self.deaths.replay(deviation, case) and deviation.id not in fixed:
                    fixed.append(deviation.id)
                continue
            if self.deaths.excuse(case):
                continue
            found = [
                mismatch
                for mismatch in self._mismatches(case)
                if pin.comparison in ("*", mismatch.comparison.name)
                and mismatch.kind == deviation.kind
            ]
            if found:
                self.excused[deviation.id] += 1
                self.seen.setdefault(deviation.id, (case, found[0]))
            elif deviation.id not in fixed:
                fixed.append(deviation.id)
        return fixed

    # -- strata --------------------------------------------------------------------------

    def _strata(self, round_: int) -> list[Stratum]:
        execution = self.cell.execution
        return self.family.strata(
            self.property,
            self.cell.layer,
            self.runner.implementation.keras_major,
            execution.mode,
            self.seed + round_,
        )

    def _met(self, stratum: Stratum, round_: int) -> dict[str, Any] | None:
        """Meet one stratum; the description of a new deviation, or None."""
        deadline: list[float] = []
        known: dict[Any, _NewDeviation] = {}

        def body(examples: tuple[Any, ...]) -> None:
            self.drawing += time.perf_counter() - self._asked
            self.examples += 1
            for case in examples:
                if deadline and time.perf_counter() > deadline[0]:
                    # Shrinking has had its time: only what is known already fails.
                    failure = known.get(repr(case))
                else:
                    failure = self._failure(case)
                if failure is not None:
                    known[repr(case)] = failure
                    if not deadline:
                        deadline.append(time.perf_counter() + self.shrink_seconds)
                    raise failure
            self._asked = time.perf_counter()

        # A name of its own gives the stratum its own sequence and its own database key.
        name = f"{self.cell.property}[{self.cell}] {stratum.name} {round_}"
        own = zlib.crc32(name.encode())
        body.__name__ = body.__qualname__ = f"{self.cell.property}_{own:08x}"
        test = settings(
            max_examples=self.profile.examples + 1,
            phases=self._phases(),
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            database=_database() if self.profile.name == "nightly" else None,
        )(hypothesis.seed(own ^ self.seed)(hypothesis.given(stratum.examples)(body)))
        self._asked = time.perf_counter()
        try:
            with contextlib.redirect_stdout(None):
                test()
        except _NewDeviation as found:
            return self._explained(found)
        except hypothesis.errors.Flaky:
            # It failed, and not again: the layer remembers what happened to it before.
            self.runner.forget()
            return self._explained(next(iter(known.values())), shrink=False)
        self.met += 1
        return None

    def _phases(self) -> list[Phase]:
        phases = [Phase.reuse] if self.profile.name == "nightly" else []
        return [*phases, Phase.generate, *([Phase.shrink] if self.explain else [])]

    def _failure(self, case: Any) -> _NewDeviation | None:
        """The first comparison of a case that fails and that the ledger does not excuse."""
        if self.deaths.excuse(case):
            return None
        self.batches += 1
        traits = self.family.traits(case)
        self.traits.update(traits)
        found = self._mismatches(case)
        if not found:
            return None
        facts = self._facts(case)
        for mismatch in found:
            deviation = self.ledger.excuse(
                self.cell.property, self.cell.layer, mismatch.comparison.name, mismatch.kind, facts
            )
            if deviation is None:
                return _NewDeviation(case, mismatch)
            self.excused[deviation.id] += 1
            self.seen.setdefault(deviation.id, (case, mismatch))
        return None

    def _mismatches(self, case: Any) -> list[Mismatch]:
        plan = self.property.function(case)
        if not plan.comparisons:
            self.silent += 1
            return []
        with self.journal.running(case):
            results = self.runner.run(plan.steps)
        started = time.perf_counter()
        try:
            return list(mismatches(plan, results))
        finally:
            self.checking += time.perf_counter() - started

    def _facts(self, case: Any) -> frozenset[str]:
        execution = self.cell.execution
        return self.family.facts(case, execution.device, execution.mode)

    def _explained(self, found: _NewDeviation, *, shrink: bool = True) -> dict[str, Any]:
        case, mismatch = found.case, found.mismatch
        if self.explain and shrink:
            case, mismatch = self._simplest(case, mismatch)
        with self.journal.running(case):  # its script runs in this process too
            return self._described(case, mismatch, None)

    def _described(self, case: Any, mismatch: Mismatch, deviation: str | None) -> dict[str, Any]:
        finding = described(
            self.property.function(case),
            mismatch,
            self.runner.implementation.installed.name,
            modes=("eager", self.cell.execution.mode),
            executed=self.explain and deviation is None,
        )
        return {
            **finding,
            "deviation": deviation,
            "case": msgspec.to_builtins(case),
            "case_text": repr(case),
            "facts": sorted(self._facts(case)),
        }

    def _simplest(self, case: Any, mismatch: Mismatch) -> tuple[Any, Mismatch]:
        """Make a failing case simpler, argument by argument, while the same comparison fails."""
        until = time.perf_counter() + self.shrink_seconds
        tried = {repr(case)}
        progress = True
        while progress:
            progress = False
            for simpler in self.family.simpler(case):
                if repr(simpler) in tried or not self.property.applies(simpler):
                    continue
                if time.perf_counter() > until:
                    return case, mismatch
                tried.add(repr(simpler))
                with contextlib.suppress(ValueError):  # a case that is none
                    failure = self._failure(simpler)
                    if failure is not None and _same(failure.mismatch, mismatch):
                        case, mismatch, progress = simpler, failure.mismatch, True
                        break
        return case, mismatch


def pin_problem(deviation: Any, pin: Any) -> str | None:
    """Why a pinned case is none of its entry's, in half a sentence, or None."""
    family = FAMILIES[PROPERTIES[pin.property].family]
    try:
        case: Any = msgspec.convert(pin.case, family.case_type)
    except (msgspec.ValidationError, ValueError) as error:
        return f"a pinned case of {pin.property} is none: {error}"
    if not deviation.region.covers(family.facts(case, "cpu:0", pin.mode)):
        return f"matches nothing: its pinned case of {pin.property} lies outside its region"
    if not PROPERTIES[pin.property].applies(case):
        return f"a pinned case is one that {pin.property} says nothing about"
    return None


def _database() -> Any:
    # Named, for with the variable CI set Hypothesis keeps no examples by itself.
    return DirectoryBasedExampleDatabase(".hypothesis/examples")


def _same(one: Mismatch, other: Mismatch) -> bool:
    return (one.comparison.name, one.kind, one.exception) == (
        other.comparison.name,
        other.kind,
        other.exception,
    )
