"""What counts as equal, and how a departure from it is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from catalogue.expressions import Output, expression, literal
from execution.results import Failure, Results
from properties.comparisons import (
    Agrees,
    Comparison,
    Mismatch,
    Plan,
    Raises,
    Runs,
    Tolerance,
    mismatches,
    rounding_between,
)
from properties.explaining import described

NAN, INF = float("nan"), float("inf")


def compared(left: Any, right: Any, tolerance: Tolerance | None = None) -> Mismatch | None:
    """What is wrong with two sides that must agree, or None."""
    results = Results({"left": (left,), "right": (right,)}, {})
    agrees = Agrees("sides", Output("left"), Output("right"), tolerance)
    return next(mismatches(Plan((), (agrees,)), results), None)


def told(results: Results, *comparisons: Comparison) -> list[tuple[str, str]]:
    """The names and kinds of what does not hold."""
    found = mismatches(Plan((), comparisons), results)
    return [(one.comparison.name, one.kind) for one in found]


# -- exactly ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64"])
def test_nan_equals_nan(dtype: str) -> None:
    """Two sides that are NaN at the same places agree."""
    assert compared(np.array([1, NAN], dtype), np.array([1, NAN], dtype)) is None


@pytest.mark.parametrize(("left", "right"), [(NAN, 0.0), (0.0, NAN), (NAN, INF), (INF, -INF)])
def test_nan_and_infinity_equal_nothing_else(left: float, right: float) -> None:
    """Neither side may be NaN or infinite alone, whatever is allowed."""
    assert compared(np.array([left]), np.array([right])) is not None
    allowed = Tolerance(10**9, 1.0)
    assert compared(np.array([left]), np.array([right]), allowed) is not None


def test_infinity_equals_infinity_of_its_sign() -> None:
    """Exactly and within a bound."""
    sides = np.array([INF, -INF]), np.array([INF, -INF])
    assert compared(*sides) is None
    assert compared(*sides, Tolerance(1, 1e-7)) is None


def test_zeros_are_equal_whatever_their_sign() -> None:
    """The sign of zero is no difference."""
    assert compared(np.array([0.0]), np.array([-0.0])) is None


def test_the_last_bit_is_a_difference_where_nothing_is_allowed() -> None:
    """Without a tolerance sides agree bit by bit."""
    found = compared(np.array([1.0]), np.array([np.nextafter(1.0, 2)]))
    assert found is not None
    assert (found.kind, found.bound) == ("wrong value", 0.0)


# -- shapes and dtypes -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "right"),
    [((2, 3), (3, 2)), ((1,), ()), ((2, 1), (2, 2)), ((0, 3), (0, 4)), ((3,), (1, 3))],
)
def test_shapes_are_compared_and_never_broadcast(
    left: tuple[int, ...], right: tuple[int, ...]
) -> None:
    """Sides of different shapes differ, even where every value would be equal."""
    found = compared(np.zeros(left), np.zeros(right))
    assert found is not None
    assert found.kind == "wrong shape"
    assert found.message == f"shape {left} against {right}"


def test_two_empty_sides_agree() -> None:
    """Where there is nothing to compare, nothing differs."""
    assert compared(np.zeros((0, 3)), np.zeros((0, 3))) is None


@pytest.mark.parametrize("left", ["bool", "int32", "uint8", "float16", "float32", "float64"])
@pytest.mark.parametrize("right", ["int32", "float16", "float64"])
def test_values_are_compared_across_dtypes(left: str, right: str) -> None:
    """Dtypes are compared where a property says so, values everywhere."""
    assert compared(np.array([0, 1], left), np.array([0, 1], right)) is None
    assert compared(np.array([0, 1], left), np.array([1, 1], right)) is not None


def test_a_mask_that_is_not_bool_has_a_wrong_dtype() -> None:
    """Ones and zeros are no mask where one of yes and no is expected."""
    assert compared(np.array([True, False]), np.array([True, False])) is None
    found = compared(np.array([1.0, 0.0]), np.array([True, False]))
    assert found is not None
    assert (found.kind, found.message) == ("wrong dtype", "dtype float64 against bool")


def test_shapes_with_unknown_sizes_are_plain_values() -> None:
    """None is a size that equals None only."""
    assert compared((None, 3), (None, 3)) is None
    found = compared((2, 3), (None, 3))
    assert found is not None
    assert found.message.startswith("2 against None at [0]; 1 of 2 values differ")


def test_an_absent_mask_equals_an_absent_mask_only() -> None:
    """None where a mask is expected is a lost one, and a mask where there is none a wrong one."""
    assert compared(None, None) is None
    mask = np.array([True])
    for sides, kind in (((None, mask), "lost mask"), ((mask, None), "wrong mask")):
        found = compared(*sides)
        assert found is not None
        assert found.kind == kind


def test_masks_that_differ_are_wrong_masks() -> None:
    """A mismatch of yes and no has no difference in numbers."""
    found = compared(np.array([True, False]), np.array([True, True]))
    assert found is not None
    assert (found.kind, found.difference) == ("wrong mask", None)
    assert found.message == "False against True at [1]; 1 of 2 values differ"


# -- bounds ----------------------------------------------------------------------------------


def test_a_bound_is_worked_out_from_terms_epsilon_and_scale() -> None:
    """Two sides, each of ten roundings of 0.001, of values up to four."""
    assert Tolerance(10, 0.001).of(np.array([4.0, -2.0])) == pytest.approx(0.08)


def test_the_scale_of_a_bound_is_at_least_one_and_finite() -> None:
    """Small values, empty sides and infinities give the scale of the inputs."""
    bound = Tolerance(10, 0.001)
    for right in ([0.1], [], [INF, NAN], [0.5, INF]):
        assert bound.of(np.array(right)) == pytest.approx(0.02)


def test_what_the_reference_loses_is_allowed_four_times() -> None:
    """Rounding of the reference adds to the bound, position by position."""
    bound = Tolerance(10, 0.001, np.array([0.0, 0.25])).of(np.array([1.0, 1.0]))
    assert bound == pytest.approx([0.02, 1.02])


def test_what_a_dtype_cannot_hold_allows_nothing_elsewhere() -> None:
    """A reference that overflows in a narrow dtype says nothing of how it rounds."""
    exact = np.array([1.0, 1e6, np.nan])
    rounded = np.array([1.25, np.inf, np.nan], "float16")
    assert rounding_between(rounded, exact) == 0.25
    assert rounding_between(rounded[1:], exact[1:]) == 0.0


@pytest.mark.parametrize(("left", "agrees"), [(1.0625, True), (0.9375, True), (1.0626, False)])
def test_a_bound_is_kept_on_both_sides_and_holds_at_its_edge(left: float, agrees: bool) -> None:
    """A difference of just the bound is allowed, more is not."""
    bound = Tolerance(1, 0.03125)
    assert (compared(np.array([left]), np.array([1.0]), bound) is None) == agrees


def test_a_mismatch_tells_where_how_far_and_what_was_allowed() -> None:
    """The first position, both values, how many differ, by how much at most."""
    found = compared(
        np.array([[0.0, 0.5], [2.0, 1.0]]), np.array([[0.0, 0.0], [0.0, 1.0]]), Tolerance(1, 0.0625)
    )
    assert found is not None
    assert found.where.tolist() == [[False, True], [True, False]]
    assert (found.difference, found.bound) == (2.0, 0.125)
    assert found.message == (
        "0.5 against 0.0 at [0, 1]; 2 of 4 values differ, by at most 2 where 0.125 is allowed"
    )


def test_a_difference_from_nan_is_nan() -> None:
    """A number that cannot be subtracted is not hidden behind one that can."""
    found = compared(np.array([NAN, 3.0]), np.array([0.0, 0.0]))
    assert found is not None
    assert found.difference is not None
    assert np.isnan(found.difference)


def test_what_does_not_have_the_documented_form_is_a_wrong_shape() -> None:
    """An expression that does not fit the output is a finding, not an error of ours."""
    results = Results({"y": (np.zeros(2),)}, {})
    sequence = expression("y[:, -1]", y=Output("y"))
    assert told(results, Agrees("last", sequence, Output("y"))) == [("last", "wrong shape")]
    assert told(results, Agrees("state", Output("y", 1), Output("y"))) == [("state", "wrong shape")]


# -- what raises -----------------------------------------------------------------------------

FAILED = Results({"x": (np.zeros(2),)}, {"y": Failure("y", "ValueError", "no such shape")})


def test_a_step_that_raises_refuses_what_needs_it() -> None:
    """The class and the first line of the exception are told."""
    (found,) = mismatches(Plan((), (Agrees("output", Output("y"), Output("x")),)), FAILED)
    assert (found.kind, found.exception) == ("refused", "ValueError")
    assert found.message == "raised ValueError: no such shape"


def test_a_failed_step_is_blamed_once() -> None:
    """Of all comparisons that need it the first is reported, and others go on."""
    assert told(
        FAILED,
        Agrees("output", Output("y"), Output("x")),
        Agrees("state", Output("x"), Output("y", 1)),
        Agrees("mask", Output("y.mask"), Output("x")),
        Agrees("deep", expression("a", a=expression("b", b=Output("y"))), Output("x")),
        Agrees("other", Output("x"), literal(np.ones(2))),
    ) == [("output", "refused"), ("other", "wrong value")]


def test_two_failed_steps_are_blamed_each() -> None:
    """A second cause is not hidden by the first."""
    results = Results({}, {name: Failure(name, "TypeError", "no") for name in "yz"})
    comparisons = (
        Agrees("one", Output("y"), Output("z")),
        Agrees("two", Output("y"), literal(0)),
        Agrees("three", Output("z"), literal(0)),
    )
    assert told(results, *comparisons) == [("one", "refused"), ("three", "refused")]


def test_runs_holds_where_nothing_is_raised() -> None:
    """A step that must run does."""
    assert told(FAILED, Runs("accepted", "x")) == []
    assert told(FAILED, Runs("accepted", "y")) == [("accepted", "refused")]


def test_raises_holds_for_its_classes_only() -> None:
    """Another class is a mismatch, and so is a result."""
    assert told(FAILED, Raises("refused", "y", ("TypeError", "ValueError"))) == []
    assert told(FAILED, Raises("refused", "y", ("TypeError",))) == [("refused", "refused")]
    (found,) = mismatches(Plan((), (Raises("refused", "x", ("ValueError",)),)), FAILED)
    assert found.kind == "not refused"
    assert found.message == "returned a result of shape (2,) where ValueError was expected"


def test_mismatches_come_in_the_order_of_their_comparisons() -> None:
    """The first of them is what a report shows."""
    results = Results({"x": (np.zeros(1),)}, {})
    one = literal(np.ones(1))
    names = ["c", "a", "b"]
    assert [name for name, _ in told(results, *(Agrees(n, Output("x"), one) for n in names))] == (
        names
    )


# -- as a finding ----------------------------------------------------------------------------


def finding_of(left: Any, right: Any) -> dict[str, Any]:
    """What a finding says of two sides that differ."""
    agrees = Agrees("sides", literal(left), literal(right))
    plan = Plan((), (agrees,))
    (mismatch,) = mismatches(plan, Results({}, {}))
    return described(plan, mismatch, "keras", modes=("eager",), executed=False)


def test_a_finding_says_where_its_sides_differ() -> None:
    """The shape of what was compared, and the indices that differ, in order."""
    found = finding_of(np.array([[1.0, 2.0], [3.0, NAN]]), np.array([[1.0, 0.0], [3.0, 4.0]]))
    assert (found["shape"], found["differing"]) == ([2, 2], [[0, 1], [1, 1]])


def test_a_finding_keeps_the_first_of_many_positions() -> None:
    """Thousands of indices would say no more than some hundred."""
    found = finding_of(np.zeros((30, 30)), np.ones((30, 30)))
    assert len(found["differing"]) == 200
    assert found["differing"][:2] == [[0, 0], [0, 1]]


def test_a_finding_of_sides_without_one_shape_has_no_positions() -> None:
    """Where shapes differ there are no positions to compare."""
    assert "differing" not in finding_of(np.zeros(2), np.zeros(3))


@pytest.mark.parametrize(("device", "agree"), [("cpu:0", False), ("gpu:0", True)])
def test_sums_over_rows_are_exact_on_a_cpu_alone(device: str, agree: bool) -> None:
    """A GPU adds up in another order in each call; a difference beyond rounding is seen there."""
    one = np.ones(3, "float32")
    for apart, expected in ((np.float32(2**-23), agree), (1e-3, False)):
        results = Results({"left": (one + apart,), "right": (one,)}, {}, device)
        sides = Agrees("sums", Output("left"), Output("right"), sums=Tolerance(4, 2**-23))
        assert (next(mismatches(Plan((), (sides,)), results), None) is None) is expected
