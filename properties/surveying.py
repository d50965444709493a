"""All distinct deviations of a cell, and what failing cases share that passing ones do not."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

from properties.comparisons import Mismatch, Plan

__all__ = ["Distinct", "Rule", "Survey", "separating"]

_MOST_RULES = 3
_MOST_FACTS = 6


@dataclasses.dataclass(frozen=True)
class Rule:
    """A conjunction of facts: every one of `all`, none of `none`."""

    all: tuple[str, ...] = ()
    none: tuple[str, ...] = ()

    def covers(self, facts: frozenset[str]) -> bool:
        """Whether a case with these facts is meant."""
        return facts.issuperset(self.all) and facts.isdisjoint(self.none)


@dataclasses.dataclass(frozen=True)
class Distinct:
    """One of the distinct deviations of a cell: its plainest case, and its account as data.

    The account holds how many cases were `failing` and `passing`, the facts that failing ones
    `shared` and not all passing ones have, and `regions`, rules that tell the two apart.
    """

    case: Any
    mismatch: Mismatch
    account: dict[str, Any]


class Survey:
    """Every case that a cell ran, by what came of each of its comparisons."""

    def __init__(self) -> None:
        self._failing: dict[Any, list[tuple[Any, Mismatch, frozenset[str]]]] = {}
        self._passing: dict[str, list[frozenset[str]]] = {}

    def note(
        self,
        case: Any,
        facts: frozenset[str],
        plan: Plan,
        unknown: Iterable[Mismatch],
        failed: Iterable[Mismatch],
    ) -> None:
        """Take in a case: what failed in it, and what of that the ledger does not know."""
        for one in unknown:
            key = (one.comparison.name, one.kind, one.exception)
            self._failing.setdefault(key, []).append((case, one, facts))
        departed = {one.comparison.name for one in failed}
        # A step that raised fails all that needs it, and only the first is reported.
        if any(one.exception for one in failed):
            return
        for name in {comparison.name for comparison in plan.comparisons} - departed:
            self._passing.setdefault(name, []).append(facts)

    def distinct(self) -> list[Distinct]:
        """The distinct deviations, by comparison, kind and exception, in order of their sight."""
        found = []
        for (name, _, _), several in self._failing.items():
            case, mismatch, _ = min(several, key=lambda one: len(repr(one[0])))
            failing = [facts for _, _, facts in several]
            passing = self._passing.get(name, [])
            shared = frozenset.intersection(*failing)
            if passing:
                shared -= frozenset.intersection(*passing)
            account = {
                "failing": len(failing),
                "passing": len(passing),
                "shared": sorted(shared),
                "regions": [
                    {"all": list(rule.all), "none": list(rule.none)}
                    for rule in separating(failing, passing)
                ],
            }
            found.append(Distinct(case, mismatch, account))
        return found


def separating(failing: Sequence[frozenset[str]], passing: Sequence[frozenset[str]]) -> list[Rule]:
    """Few rules that cover failing cases and as few passing ones as can be.

    Separate and conquer: each rule grows by the fact that gains most information (FOIL), is
    relieved of the facts that it does not need, and takes away the cases that it covers.
    """
    rules: list[Rule] = []
    left = list(failing)
    while left and len(rules) < _MOST_RULES:
        rule = _relieved(_grown(left, passing), passing)
        rules.append(rule)
        left = [facts for facts in left if not rule.covers(facts)]
    return rules


def _grown(failing: Sequence[frozenset[str]], passing: Sequence[frozenset[str]]) -> Rule:
    rule = Rule()
    while passing and len(rule.all) + len(rule.none) < _MOST_FACTS:
        named = sorted(frozenset.union(*failing) - set(rule.all))
        absent = sorted(frozenset.union(*passing) - set(rule.none))
        steps = [Rule((*rule.all, fact), rule.none) for fact in named]
        steps += [Rule(rule.all, (*rule.none, fact)) for fact in absent]
        best = max(steps, key=lambda step: _gain(step, failing, passing))
        if _gain(best, failing, passing) <= 0:
            break
        rule = best
        failing = [facts for facts in failing if rule.covers(facts)]
        passing = [facts for facts in passing if rule.covers(facts)]
    return rule


def _gain(
    rule: Rule, failing: Sequence[frozenset[str]], passing: Sequence[frozenset[str]]
) -> float:
    kept = sum(map(rule.covers, failing))
    if not kept:
        return -math.inf
    wrong = sum(map(rule.covers, passing))
    before = math.log2(len(failing) / (len(failing) + len(passing)))
    return kept * (math.log2(kept / (kept + wrong)) - before)


def _relieved(rule: Rule, passing: Sequence[frozenset[str]]) -> Rule:
    wrong = sum(map(rule.covers, passing))
    for name in ("none", "all"):
        for fact in getattr(rule, name):
            fewer = tuple(one for one in getattr(rule, name) if one != fact)
            without = dataclasses.replace(rule, **{name: fewer})
            if sum(map(without.covers, passing)) <= wrong:
                rule = without
    return rule
