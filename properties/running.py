"""Runs a cell: pinned cases first, then every stratum, and describes what does not hold."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import itertools
import time
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import hypothesis
import msgspec
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase

from execution.running import Runner
from properties.alternatives import Seen, happens_instead
from properties.cells import Cell, Ledger, Profile
from properties.comparisons import Mismatch, Plan, mismatches, observed
from properties.deaths import Deaths
from properties.explaining import described
from properties.families import FAMILIES
from properties.journal import SILENT, Journal
from properties.registry import PROPERTIES, Property
from properties.strata import Strata, Stratum
from properties.surveying import Distinct, Survey
from strategies.configurations import covered_pairs

__all__ = ["CellRunner"]

_ATTEMPTS = 6  # to draw a batch outside of what the ledger knows


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
        survey: bool = False,
        journal: Journal = SILENT,
    ) -> None:
        self.cell, self.runner, self.ledger = cell, runner, ledger
        self.profile, self.seed = profile, seed
        self.explain = explain  # make what is found simpler, and write its script
        self.property: Property = PROPERTIES[cell.property]
        if profile.name == "nightly":  # every configuration, however dear
            self.property = dataclasses.replace(self.property, share=1)
        elif profile.thin > 1:
            share = self.property.share * profile.thin
            self.property = dataclasses.replace(self.property, share=share, thinned=True)
        self.family = FAMILIES[self.property.family]
        self.survey = Survey() if survey else None  # goes on after the first failure
        self._over: set[str] = set()  # strata that were to be met once, by name
        self._blocked: dict[str, Any] | None = None  # the first that cannot be built: others can
        self.regions = [one.region for one in ledger.concerning(cell.property, cell.layer)]
        self.journal = journal
        self.traits: collections.Counter[str] = collections.Counter()
        self.excused: collections.Counter[str] = collections.Counter()
        module = runner.implementation.installed.name
        self.deaths = Deaths(cell, module, ledger, journal, self.excused)
        self.observed: collections.Counter[str] = collections.Counter()
        self.seen: dict[str, tuple[Any, Mismatch]] = {}
        self.examples = self.batches = self.met = 0
        self.outside = 0  # batches that lie outside every region of the ledger
        self._tried: set[tuple[str, str]] = set()  # what happens instead, once a configuration
        self.chosen: list[Mapping[str, Any]] = []  # arguments of the configurations met
        self.inapplicable: collections.Counter[str] = collections.Counter()  # why, how often
        self.silent = 0  # batches of which the property has nothing to say
        self.checking = self.drawing = self._asked = 0.0

    # -- the whole cell ------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        """Run the cell and give its entry's fields, all plain values."""
        started = time.perf_counter()
        before = self._costs()
        findings, fixed, reason, total = [], [], "", 0
        domains: Mapping[str, Sequence[Any]] = {}
        outcome = "holds"
        try:
            fixed = self._replayed()
            for round_ in range(self.profile.rounds):
                strata = self._strata(round_)
                total, domains = max(total, len(strata.members)), strata.domains or domains
                members = [one for one in strata.members if one.name not in self._over]
                self._over.update(one.name for one in members if one.once)
                finding = next(filter(None, (self._met(s, round_) for s in members)), None)
                if finding is not None:
                    findings.append(finding)
                    break
                if self.survey is not None:
                    findings = [self._surveyed(one) for one in self.survey.distinct()]
                    if findings:
                        break
                if (round_ and time.perf_counter() - started > self.profile.seconds) or not members:
                    break
            if self._blocked is not None and not findings:
                findings.append(self._blocked)
            outcome = self._outcome(findings, fixed)
        except MemoryError as error:
            outcome, reason = "broken", f"out of memory: {error}"
        if self.inapplicable and not reason:
            reason = "; ".join(
                f"not applicable, {count} cases: {why}" for why, count in self.inapplicable.items()
            )
        elif outcome == "holds" and self.batches == self.silent:
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
            **dict(zip(("pairs", "pairs_total"), covered_pairs(self.chosen, domains), strict=True)),
            "traits": dict(sorted(self.traits.items())),
            "observed": dict(sorted(self.observed.items())),
            "outside": self.outside,
            **self._spent(before, time.perf_counter() - started),
        }

    def _outcome(self, findings: list[dict[str, Any]], fixed: list[str]) -> str:
        if any(one["kind"] != "blocked" for one in findings):
            return "new"
        if fixed:
            return "fixed"
        if findings:
            return "blocked"
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
        execution = cell.execution
        for deviation, pin in self.ledger.pins(
            cell.property, cell.layer, execution.mode, execution.device
        ):
            case: Any = msgspec.convert(pin.case, self.family.case_type)
            if deviation in self.deaths.known:
                if not self.deaths.replay(deviation, case) and deviation.id not in fixed:
                    fixed.append(deviation.id)
                continue
            if self.deaths.excuse(case):
                continue
            inapplicable = self.inapplicable.total()
            found = [
                seen.mismatch
                for seen in self._seen(case)
                if pin.comparison in ("*", seen.mismatch.comparison.name)
                and seen.mismatch.kind in deviation.kinds
                and happens_instead(deviation.instead, case, seen, self.runner, True)
            ]
            if found:
                self.excused[deviation.id] += 1
                self.seen.setdefault(deviation.id, (case, found[0]))
            elif pin.cpu:
                continue  # instructions alone do not say which kernels a CPU takes
            elif deviation.id not in fixed and self.inapplicable.total() == inapplicable:
                fixed.append(deviation.id)
        return fixed

    # -- strata --------------------------------------------------------------------------

    def _strata(self, round_: int) -> Strata:
        found = self.family.strata(
            self.property,
            self.cell.layer,
            self.runner.implementation.keras_major,
            self.cell.execution.mode,
            self.seed + round_,
        )
        keras = self.runner.implementation.installed.keras
        taken = [one for one in found.members if self.family.takes(one.chosen, keras)]
        return dataclasses.replace(found, members=tuple(taken)) if taken else found

    def _met(self, stratum: Stratum, round_: int) -> dict[str, Any] | None:
        """Meet one stratum; the description of a new deviation, or None."""
        outside = self.outside
        finding = self._drawn(stratum.examples, f"{stratum.name} {round_}")
        if finding is None and self.regions and self.outside == outside:
            finding = self._drawn_around(stratum, round_)
        if finding is not None and finding["kind"] == "blocked":
            self._blocked = finding
            finding = self._drawn(stratum.examples, f"{stratum.name} {round_} built")
        if finding is None:
            self.met += 1
            self.chosen.append(stratum.chosen)
        return finding

    def _drawn_around(self, stratum: Stratum, round_: int) -> dict[str, Any] | None:
        """Draw again, outside what the ledger knows, where that is a matter of the batch."""
        if not any(self.family.of_batch(fact) for one in self.regions for fact in one.facts):
            return None
        attempts = itertools.count()

        def outside(cases: tuple[Any, ...]) -> bool:
            # Where it may well be that all of it lies inside, that is not looked for for long.
            return next(attempts) > _ATTEMPTS or any(
                self._lies_outside(self._facts(case)) for case in cases
            )

        try:
            return self._drawn(stratum.examples.filter(outside), f"{stratum.name} {round_} outside")
        except hypothesis.errors.Unsatisfiable:  # all that there is lies inside
            return None

    def _lies_outside(self, facts: frozenset[str]) -> bool:
        return not any(region.covers(facts) for region in self.regions)

    def _drawn(self, examples: st.SearchStrategy[Any], name: str) -> dict[str, Any] | None:
        """Draw some examples; the description of a new deviation, or None."""
        deadline: list[float] = []
        known: dict[Any, _NewDeviation] = {}
        # Hypothesis begins with the plainest: where not asked for, it is met if it is alone.
        begun = self.profile.plainest or self.property.plainest or self.family.structures
        plainest: list[tuple[Any, ...]] = []

        def body(cases: tuple[Any, ...]) -> None:
            nonlocal begun
            self.drawing += time.perf_counter() - self._asked
            if not begun:
                begun = True
                plainest.append(cases)
                self._asked = time.perf_counter()
                return
            plainest.clear()
            self.examples += 1
            for case in cases:
                if deadline and time.perf_counter() > deadline[0]:
                    # Shrinking has had its time: only what is known already fails.
                    failure = known.get(repr(case))
                else:
                    failure = self._failure(case)
                if failure is not None and self.survey is None:
                    known[repr(case)] = failure
                    if not deadline:
                        deadline.append(time.perf_counter() + self.shrink_seconds)
                    raise failure
            self._asked = time.perf_counter()

        # A name of its own gives the stratum its own sequence and its own database key.
        own = zlib.crc32(f"{self.cell.property}[{self.cell}] {name}".encode())
        body.__name__ = body.__qualname__ = f"{self.cell.property}_{own:08x}"
        # Hypothesis would read and clean its source each time, for the same key: 1.5 milliseconds.
        body.__code__ = body.__code__.replace(co_filename="<stratum>")
        test: Any = settings(
            max_examples=self.profile.examples + 1,
            phases=self._phases(),
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            database=_database() if self.profile.name == "nightly" else None,
        )(hypothesis.seed(own ^ self.seed)(hypothesis.given(examples)(body)))
        self._asked = time.perf_counter()
        try:
            with contextlib.redirect_stdout(None):
                test()
                for cases in plainest[:]:
                    body(cases)
        except _NewDeviation as found:
            return self._explained(found)
        except Exception as error:
            # It failed, and not again: the layer remembers what happened to it before, or the
            # device rounds otherwise in each call. Hypothesis says so as Flaky, or stumbles.
            if not known or isinstance(error, MemoryError):
                raise
            self.runner.forget()
            return self._explained(next(iter(known.values())), shrink=False)
        return None

    def _phases(self) -> list[Phase]:
        phases = [Phase.reuse] if self.profile.name == "nightly" else []
        return [*phases, Phase.generate, *([Phase.shrink] if self.explain else [])]

    def _failure(self, case: Any) -> _NewDeviation | None:
        """The first comparison of a case that fails and that the ledger does not excuse."""
        unknown = self._unknown(case)
        return _NewDeviation(case, unknown[0]) if unknown else None

    def _unknown(self, case: Any) -> list[Mismatch]:
        """The comparisons of a case that fail and that the ledger does not excuse."""
        if self.deaths.excuse(case):
            return []
        self.batches += 1
        self.traits.update(self.family.traits(case))
        facts: frozenset[str] = self._facts(case) if self.regions or self.survey else frozenset()
        self.outside += self._lies_outside(facts)
        plan = self.property.function(case)
        found = self._seen(case, plan)
        if not found and self.survey is None:
            return []
        facts = facts or self._facts(case)
        unknown = [one.mismatch for one in found if not self._excused(case, one, facts)]
        if self._blocked is not None:  # said once, and no reason to look at nothing else
            unknown = [one for one in unknown if one.kind != "blocked"]
        if self.survey is not None:
            self.survey.note(case, facts, plan, unknown, [one.mismatch for one in found])
        return unknown

    def _excused(self, case: Any, seen: Seen, facts: frozenset[str]) -> bool:
        """Whether an entry of the ledger knows a departure, and what happens instead with it."""
        mismatch = seen.mismatch
        cell, name = self.cell, mismatch.comparison.name
        for one in self.ledger.excuses(cell.property, cell.layer, name, mismatch.kind, facts):
            # What needs calls of its own is looked at once a configuration of a layer.
            key = (one.id, repr(getattr(case, "spec", case)))
            with self.journal.running(case):
                fits = happens_instead(one.instead, case, seen, self.runner, key not in self._tried)
            if fits:
                self._tried.add(key)
                self.excused[one.id] += 1
                self.seen.setdefault(one.id, (case, mismatch))
                return True
        return False

    def _seen(self, case: Any, plan: Plan | None = None) -> list[Seen]:
        replayed = plan is None
        plan = self.property.function(case) if plan is None else plan
        if not plan.comparisons:
            self.silent += 1
            return []
        with self.journal.running(case):
            results = self.runner.run(plan.steps)
        if results.inapplicable:
            self.silent += 1
            self.inapplicable[results.inapplicable] += 1
            return []
        if not replayed:  # what is pinned is another for each version
            self.observed.update(observed(plan, results))
        started = time.perf_counter()
        try:
            return [Seen(one, plan, results) for one in mismatches(plan, results)]
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

    def _surveyed(self, found: Distinct) -> dict[str, Any]:
        """Describe one of all distinct deviations, and what its failing cases share."""
        survey, self.survey = self.survey, None  # what shrinking tries is no part of it
        case, mismatch = found.case, found.mismatch
        if self.explain:
            case, mismatch = self._simplest(case, mismatch)
        self.survey = survey
        return {**self._described(case, mismatch, None), **found.account}

    def _described(self, case: Any, mismatch: Mismatch, deviation: str | None) -> dict[str, Any]:
        finding = described(
            self.property.function(case),
            mismatch,
            self.runner.implementation.installed.name,
            modes=("eager", self.cell.execution.mode),
            device=self.cell.execution.device,
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
                    same = [one for one in self._unknown(simpler) if _same(one, mismatch)]
                    if same:
                        case, mismatch, progress = simpler, same[0], True
                        break
        return case, mismatch


def _database() -> Any:
    # Named, for with the variable CI set Hypothesis keeps no examples by itself.
    return DirectoryBasedExampleDatabase(".hypothesis/examples")


def _same(one: Mismatch, other: Mismatch) -> bool:
    return (one.comparison.name, one.kind, one.exception) == (
        other.comparison.name,
        other.kind,
        other.exception,
    )
