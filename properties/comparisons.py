"""What two sides must have in common, and how a departure from it is described."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from typing import Any, Literal

import numpy as np

from catalogue.expressions import Expression, Output
from catalogue.steps import Build, Step
from catalogue.training_steps import Model
from execution.results import Failure, Results

__all__ = [
    "Agrees",
    "Comparison",
    "Level",
    "Mismatch",
    "Plan",
    "Raises",
    "Runs",
    "Tells",
    "Tolerance",
    "mismatches",
    "observed",
    "rounding_between",
]

Level = Literal["must", "should", "hazard"]
Side = Expression | Output


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """How far two sides may lie apart: the one place where a bound is derived.

    Each side is the result of sums of `terms` products in a dtype of machine epsilon
    `epsilon`; rounding adds up to at most `terms x epsilon x scale` a side, where scale
    is the largest magnitude on the right side, and at least 1 (the inputs' own). Where
    `rounding` is given, it is |reference in the dtype - reference in float64|, and four
    times that is allowed besides.
    """

    terms: int
    epsilon: float
    rounding: np.ndarray | None = None

    def of(self, right: np.ndarray) -> Any:
        """The bound for values compared with `right`."""
        finite = np.abs(right[np.isfinite(right)]) if right.size else right
        scale = max(1.0, float(finite.max())) if finite.size else 1.0
        bound = 2 * self.terms * self.epsilon * scale
        return bound if self.rounding is None else bound + 4 * self.rounding


def rounding_between(rounded: np.ndarray, exact: np.ndarray) -> float:
    """How far a reference in some dtype lies from that in float64, where both are finite."""
    with np.errstate(invalid="ignore"):
        apart = np.abs(rounded.astype(np.float64) - exact)
    apart = apart[np.isfinite(apart)]
    return float(apart.max()) if apart.size else 0.0


@dataclasses.dataclass(frozen=True)
class Agrees:
    """`left` equals `right` in shape and value, exactly where `tolerance` is None.

    Exactly is bitwise but for the sign of zero; NaN equals NaN. What is compared may be
    arrays or plain values (shapes); masks that are absent are None. Where both are `sums` over
    the rows of a batch, or of calls on sequences of other lengths, this is the bound on a device
    other than a CPU: a GPU adds them up in another order. What is `refusable` may raise instead
    (one of the `refusals`, where these are named); the record says whether it did.
    """

    name: str
    left: Side
    right: Side
    tolerance: Tolerance | None = None
    level: Level = "must"
    sums: Tolerance | None = None
    refusable: bool = False
    refusals: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Raises:
    """The step called `step` raises one of `exceptions` (class names); whichever, without any.

    With a `moment` at that one: `construction`, `tracing` or `run`.
    """

    name: str
    step: str
    exceptions: tuple[str, ...]
    level: Level = "must"
    moment: str = ""


@dataclasses.dataclass(frozen=True)
class Runs:
    """The step called `step` raises nothing."""

    name: str
    step: str
    level: Level = "must"


@dataclasses.dataclass(frozen=True)
class Tells:
    """The step called `step` tells its user of masks where that is `expected`, and else does not.

    It tells by a warning that speaks of masks, or by an exception. None stands for: where its
    first output carries no mask.
    """

    name: str
    step: str
    expected: bool | None = None
    level: Level = "must"


Comparison = Agrees | Raises | Runs | Tells


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a property asks of an implementation for one case, and what it then compares.

    With `first_only` a comparison that fails makes those after it meaningless.
    """

    steps: tuple[Step, ...]
    comparisons: tuple[Comparison, ...]
    first_only: bool = False


@dataclasses.dataclass(frozen=True)
class Mismatch:
    """A comparison that does not hold.

    `left` and `right` are the values compared, or None where a step raised; `where` marks
    the positions that differ, `difference` is the largest one and `bound` what was allowed.
    """

    comparison: Comparison
    kind: str  # wrong value, wrong shape, wrong mask, lost mask, refused, no warning, ...
    message: str
    left: Any = None
    right: Any = None
    where: Any = None
    difference: float | None = None
    bound: float | None = None
    exception: str | None = None


def mismatches(plan: Plan, results: Results) -> Iterator[Mismatch]:
    """The comparisons of a plan that the results do not meet, in their order.

    A step that raised fails the comparisons that need it, of which the first is reported.
    """
    blamed: set[str] = set()
    builds = {step.name for step in plan.steps if isinstance(step, Build | Model)}
    for comparison in plan.comparisons:
        if isinstance(comparison, Raises):
            found = _not_refused(comparison, results)
        elif isinstance(comparison, Runs):
            failure = results.failure_of(comparison.step)
            found = None if failure is None else _refused(comparison, failure, builds)
        elif isinstance(comparison, Tells):
            found = _not_told(comparison, results, builds)
        else:
            failure = _failure(comparison, results)
            if failure is not None:
                named = not comparison.refusals or failure.exception in comparison.refusals
                if (comparison.refusable and named) or failure.step in blamed:
                    continue
                blamed.add(failure.step)
                found = _refused(comparison, failure, builds)
            else:
                found = _disagreement(comparison, results)
        if found is not None:
            yield found
            if plan.first_only:
                return


def observed(plan: Plan, results: Results) -> set[str]:
    """What an implementation did where it is free to choose: taken or refused, how it tells."""
    found = set()
    for comparison in plan.comparisons:
        if isinstance(comparison, Tells):
            failure = results.failure_of(comparison.step)
            if failure is not None:
                found.add(f"told by {failure.exception}")
            elif results.outputs[f"{comparison.step}.told"][0]:
                found.add("told by a warning")
            elif (
                comparison.expected is None
                and results.outputs[f"{comparison.step}.mask"][0] is None
            ):
                found.add("not told")
        elif isinstance(comparison, Agrees) and comparison.refusable:
            failure = _failure(comparison, results)
            found.add("taken" if failure is None else f"refused by {failure.exception}")
    return found


def _failure(comparison: Agrees, results: Results) -> Failure | None:
    for side in (comparison.left, comparison.right):
        outputs = [side] if isinstance(side, Output) else list(side.outputs())
        for output in outputs:
            failure = results.failure_of(output.step.partition(".")[0])
            if failure is not None:
                return failure
    return None


def _refused(comparison: Comparison, failure: Failure, builds: Collection[str]) -> Mismatch:
    message = f"raised {failure.exception}: {failure.message}"
    kind = "blocked" if failure.step in builds else "refused"
    return Mismatch(comparison, kind, message, exception=failure.exception)


def _not_refused(comparison: Raises, results: Results) -> Mismatch | None:
    failure = results.failure_of(comparison.step)
    expected = " or ".join(comparison.exceptions) or "an exception"
    if failure is None:
        value = results.outputs[comparison.step]
        shapes = ", ".join(str(np.shape(item)) for item in value)
        message = f"returned a result of shape {shapes} where {expected} was expected"
        return Mismatch(comparison, "not refused", message, left=value[0])
    if comparison.exceptions and failure.exception not in comparison.exceptions:
        message = f"raised {failure.exception}, not {expected}: {failure.message}"
        return Mismatch(comparison, "refused", message, exception=failure.exception)
    if comparison.moment and failure.moment != comparison.moment:
        message = f"raised {failure.exception} at {failure.moment}, not at {comparison.moment}"
        return Mismatch(comparison, "refused", message, exception=failure.exception)
    return None


def _not_told(comparison: Tells, results: Results, builds: Collection[str]) -> Mismatch | None:
    failure = results.failure_of(comparison.step)
    if failure is not None:
        told = comparison.expected is not False and failure.step not in builds
        return None if told else _refused(comparison, failure, builds)
    (warned,) = results.outputs[f"{comparison.step}.told"]
    expected = comparison.expected
    if expected is None:
        expected = results.outputs[f"{comparison.step}.mask"][0] is None
    if expected:
        said = "neither a warning that speaks of the mask nor an exception"
        return None if warned else Mismatch(comparison, "no warning", said)
    return Mismatch(comparison, "needless warning", warned[0]) if warned else None


def _disagreement(comparison: Agrees, results: Results) -> Mismatch | None:
    try:
        left, right = (
            results.outputs[side.step][side.index]
            if isinstance(side, Output)
            else side.value(results.outputs)
            for side in (comparison.left, comparison.right)
        )
    except (IndexError, ValueError, KeyError) as error:
        # An output of another shape, or one that is missing: the expression does not fit it.
        message = f"the result does not have the documented form: {error}"
        return Mismatch(comparison, "wrong shape", message)
    if left is None or right is None:
        if left is None and right is None:
            return None
        kind = "lost mask" if left is None else "wrong mask"
        return Mismatch(comparison, kind, f"{left!r} against {right!r}", left, right)
    left, right = np.asarray(left), np.asarray(right)
    if right.dtype == bool != left.dtype:
        message = f"dtype {left.dtype.name} against bool"
        return Mismatch(comparison, "wrong dtype", message, left, right)
    if left.shape != right.shape:
        message = f"shape {left.shape} against {right.shape}"
        return Mismatch(comparison, "wrong shape", message, left, right)
    equal = _equal(left, right)
    if equal.all():
        return None
    bound = 0.0
    tolerance = comparison.tolerance
    if tolerance is None and not results.device.startswith("cpu"):
        tolerance = comparison.sums
    if tolerance is not None:
        allowed = tolerance.of(right)
        with np.errstate(invalid="ignore", over="ignore"):
            close = np.abs(left.astype(float) - right.astype(float)) <= allowed
        if (equal | close).all():
            return None
        equal, bound = equal | close, float(np.max(allowed))
    kind = "wrong mask" if left.dtype == bool else "wrong value"
    return _described(comparison, kind, left, right, ~equal, bound)


def _equal(left: np.ndarray, right: np.ndarray) -> Any:
    if left.dtype.kind in "biufc" and right.dtype.kind in "biufc":
        return (left == right) | (np.isnan(left) & np.isnan(right))
    # bfloat16 and whatever else NumPy does not know by itself, and plain objects (shapes).
    if object in (left.dtype, right.dtype):
        return np.asarray(left == right)
    return _equal(left.astype(np.float32), right.astype(np.float32))


def _described(
    comparison: Comparison, kind: str, left: Any, right: Any, where: Any, bound: float
) -> Mismatch:
    difference = None
    if left.dtype.kind in "iufc":
        with np.errstate(invalid="ignore", over="ignore"):
            apart = np.abs(left.astype(float) - right.astype(float))[where]
        difference = float("nan") if np.isnan(apart).any() else float(apart.max())
    position = tuple(int(axis[0]) for axis in np.nonzero(where)) if where.ndim else ()
    at = f" at {list(position)}" if position else ""
    message = (
        f"{_text(left[position])} against {_text(right[position])}{at}; "
        f"{int(where.sum())} of {where.size} values differ"
    )
    if difference is not None:
        message += f", by at most {difference:.3g}"
    if bound:
        message += f" where {bound:.3g} is allowed"
    return Mismatch(comparison, kind, message, left, right, where, difference, bound)


def _text(value: Any) -> str:
    return repr(value.item() if hasattr(value, "item") else value)
