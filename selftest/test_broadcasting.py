"""Broadcasting: the oracle is NumPy's, strategies reach everything, wrong rules are seen."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from catalogue.broadcasting import (
    TRAITS,
    WITNESS,
    BroadcastCase,
    Mode,
    broadcast_shape,
    facts,
    masked_axes,
    misplaced,
    traits,
)
from catalogue.multiplied import MODELS
from catalogue.refusals import refusal
from catalogue.ways import WAYS
from execution.implementation import Implementation, installed
from execution.running import Execution, Runner
from properties.comparisons import Mismatch, mismatches
from properties.test_conformance import PROPERTIES  # declares them
from strategies.operands import STRATA, broadcast_cases, mask_shapes, output_shapes

declared = [name for name, one in PROPERTIES.items() if one.family == "broadcasting"]
EXECUTIONS: list[tuple[Mode, bool]] = [("eager", True), ("graph", True), ("graph", False)]
in_all_modes = pytest.mark.parametrize(
    ("mode", "static"), EXECUTIONS, ids=["eager", "graph_known", "graph_unknown"]
)


def minimal(strategy: st.SearchStrategy[Any], condition: Callable[[Any], bool]) -> Any:
    """The smallest value of a strategy that meets a condition."""
    settings = hypothesis.settings(max_examples=2000, derandomize=True, database=None)
    return hypothesis.find(strategy, condition, settings=settings)


def drawn(strategy: st.SearchStrategy[Any], count: int) -> list[Any]:
    """The first examples of a strategy, the same ones each time."""
    values: list[Any] = []

    @hypothesis.settings(
        max_examples=count, derandomize=True, database=None, phases=[hypothesis.Phase.generate]
    )
    @hypothesis.given(strategy)
    def collect(value: Any) -> None:
        values.append(value)

    collect()
    return values


def shapes(sizes: tuple[int, ...], ranks: range) -> Iterator[tuple[int, ...]]:
    """All shapes of some sizes and ranks."""
    for rank in ranks:
        yield from itertools.product(sizes, repeat=rank)


def runner(multiply: Callable[[Any, Any], Any] | None = None) -> Runner:
    """A runner of the installed implementation, or of one that multiplies otherwise."""
    overrides = {} if multiply is None else {"multiply": multiply}
    return Runner(Implementation(installed(), overrides), Execution("cpu:0", "eager"))


def seen(runs: Runner, name: str, case: BroadcastCase) -> list[Mismatch]:
    """What a property finds wrong with a case, nothing where it says nothing about it."""
    if not PROPERTIES[name].applies(case):
        return []
    plan = PROPERTIES[name].function(case)
    return list(mismatches(plan, runs.run(plan.steps)))


@functools.cache
def cases(mode: Mode, static: bool) -> list[BroadcastCase]:
    """Some cases of every stratum, to be run in one way."""
    return [
        case
        for stratum in STRATA
        for case in drawn(broadcast_cases(stratum=stratum, mode=mode, static=static), 6)
    ]


# -- the oracle ------------------------------------------------------------------------------


def test_broadcast_shape_is_numpys_for_all_small_shapes() -> None:
    """The rules written out agree with NumPy for all shapes up to rank 3, sizes 0 to 3."""
    every = list(shapes((0, 1, 2, 3), range(4)))
    for left, right in itertools.product(every, every):
        try:
            expected = np.broadcast_shapes(left, right)
        except ValueError:
            expected = None
        assert broadcast_shape(left, right) == expected, (left, right)


def test_masked_axes_are_those_along_which_numpys_product_varies() -> None:
    """The axes that a mask acts on are read off NumPy's own product, for all small shapes."""
    every = list(shapes((1, 2, 3), range(4)))
    for output, mask in itertools.product(every, every):
        if broadcast_shape(output, mask) is None:
            with pytest.raises(ValueError, match="is refused"):
                masked_axes(output, mask)
            continue
        product = np.ones(output) * np.arange(np.prod(mask)).reshape(mask)
        varies = tuple(
            axis for axis in range(product.ndim) if (product != product.take([0], axis)).any()
        )
        assert masked_axes(output, mask) == varies, (output, mask)


def test_misplaced_is_what_the_hazard_states_for_the_masks_of_the_article() -> None:
    """The conditions in the docstring of `intended_axes` are the oracle's, sizes 1 to 4."""
    for b, t, f in itertools.product(range(1, 5), repeat=3):
        accepted = (1 in (b, t) or b == t) and (1 in (t, f) or t == f)
        stated = {
            ((b, t, 1), (0, 1)): False,
            ((b, t), (0, 1)): accepted and (b > 1 or t > 1),
            ((b, 1, 1), (0,)): False,
            ((b, 1), (0,)): b > 1 and t in (1, b),
            ((b,), (0,)): b > 1 and f in (1, b),
        }
        for (mask, intended), expected in stated.items():
            case = BroadcastCase(output=(b, t, f), mask=mask, intended=intended)
            assert misplaced(case) == expected, case


def test_the_witness_is_the_smallest_wide_mask_that_goes_astray() -> None:
    """With all sizes above 1, a (batch, step) mask goes astray just where all are equal."""
    for b, t, f in itertools.product(range(2, 5), repeat=3):
        case = BroadcastCase(output=(b, t, f), mask=(b, t), intended=(0, 1))
        assert misplaced(case) == (b == t == f)
    assert minimal(broadcast_cases(stratum="(B,T) coinciding"), misplaced) == WITNESS


def test_a_case_with_impossible_shapes_is_refused() -> None:
    """Sizes below 1 and axes that are not there raise with name and value."""
    with pytest.raises(ValueError, match=r"mask must have sizes of at least 1, got \(0,\)"):
        BroadcastCase(output=(2,), mask=(0,))
    with pytest.raises(ValueError, match=r"intended must name axes .* got \(1,\)"):
        BroadcastCase(output=(2,), mask=(2,), intended=(1,))
    with pytest.raises(ValueError, match="unknown mode 'lazy'"):
        refusal("lazy", True)


def test_facts_add_the_execution_to_the_traits() -> None:
    """Facts are the traits with device and mode."""
    added = facts(WITNESS, "cpu:0", "graph") - traits(WITNESS)
    assert added == {"device=cpu:0", "mode=graph"}
    assert {"accepted", "misplaced", "sizes_coincide", "mask_rank=2"} <= traits(WITNESS)


# -- strategies ------------------------------------------------------------------------------


def test_any_reaches_every_trait_() -> None:
    """Two hundred cases of all shapes show every trait but those of other ways and dtypes."""
    reached = frozenset().union(*map(traits, drawn(broadcast_cases(), 200)))
    others = {"dtypes_differ", "mask_dtype=bool", "mask_dtype=int32"}
    others |= {f"way={way}" for way in WAYS if way != "multiply"}
    others |= {"symbolic", "of_a_model", *(f"model={name}" for name in MODELS)}
    assert reached == set(TRAITS) - others


@pytest.mark.parametrize("stratum", STRATA)
def test_every_case_of_a_stratum_is_what_the_stratum_says(stratum: str) -> None:
    """A stratum holds what its name promises and nothing else."""
    for case in drawn(broadcast_cases(stratum=stratum), 30):
        names = traits(case)
        if stratum.endswith(" fitting"):
            assert "accepted" in names, case
            assert "misplaced" not in names, case
        elif stratum.endswith(" refused"):
            assert "refused" in names, case
        elif stratum.endswith(" coinciding"):
            short = len(case.mask) < len(case.output)
            assert {"accepted", "sizes_coincide"} <= names, case
            assert ("misplaced" in names) == short, case
        elif stratum == "rank grows":
            assert {"accepted", "rank_grows", "misplaced"} <= names, case
        elif stratum == "stretched":
            assert {"accepted", "stretched", "misplaced"} <= names, case


@pytest.mark.parametrize("rank", range(5))
def test_mask_rank_and_relation_narrow_any(rank: int) -> None:
    """Masks have the rank that was asked for, and fit or do not fit as asked."""
    accepted = drawn(broadcast_cases(mask_rank=rank, relation="accepted"), 30)
    assert all(len(case.mask) == rank and case.result is not None for case in accepted)
    if rank:
        refused = drawn(broadcast_cases(mask_rank=rank, relation="refused"), 30)
        assert all(len(case.mask) == rank and case.result is None for case in refused)


def test_cases_are_to_be_run_as_asked() -> None:
    """Mode, known shapes and dtype are the caller's where the caller says them."""
    case = minimal(broadcast_cases(mode="xla", static=False, dtype="float16"), lambda case: True)
    assert (case.mode, case.static, case.dtype) == ("xla", False, "float16")
    assert all(case.static for case in drawn(broadcast_cases(mode="eager"), 30))


def test_shapes_shrink_to_the_smallest() -> None:
    """The smallest output and mask have one axis and none."""
    assert minimal(output_shapes(), lambda shape: True) == (1,)
    assert minimal(mask_shapes(output=(2, 3)), lambda shape: True) == ()
    assert minimal(mask_shapes(output=(2, 3), relation="refused"), lambda shape: True) == (2,)


def test_cases_shrink_to_something_small() -> None:
    """The smallest refused case has one axis, the smallest that grows has two."""
    strategy = broadcast_cases()
    assert minimal(strategy, lambda case: True) == BroadcastCase(output=(1,), mask=())
    refused = minimal(strategy, lambda case: case.result is None)
    assert refused == BroadcastCase(output=(2,), mask=(3,))
    grown = minimal(strategy, lambda case: "rank_grows" in traits(case))
    assert grown == BroadcastCase(output=(1,), mask=(1, 1))


@pytest.mark.parametrize(
    ("strategy", "arguments", "message"),
    [
        (output_shapes, {"max_rank": 0}, "max_rank=0 must be an integer of at least 1"),
        (output_shapes, {"min_rank": 3, "max_rank": 2}, "min_rank=3 must be at most 2"),
        (mask_shapes, {"output": ()}, r"output=\(\) must be a tuple of positive integers"),
        (mask_shapes, {"output": (2,), "rank": -1}, "rank=-1 must be an integer of at least 0"),
        (mask_shapes, {"output": (1, 1), "relation": "refused"}, "relation='refused' cannot"),
        (mask_shapes, {"output": (2, 1), "rank": 1, "relation": "refused"}, "of rank=1 meets no"),
        (broadcast_cases, {"stratum": "all"}, "stratum='all' must be one of"),
        (broadcast_cases, {"mode": "lazy"}, "mode='lazy' must be one of eager, graph, xla"),
        (broadcast_cases, {"dtype": "int8"}, "dtype='int8' must be one of float32"),
        (broadcast_cases, {"mask_rank": 5}, "mask_rank=5 must be at most 4"),
        (broadcast_cases, {"mask_rank": 0, "relation": "refused"}, "mask_rank=0 is never"),
        (broadcast_cases, {"stratum": "stretched", "mask_rank": 1}, "narrow stratum='any'"),
    ],
)
def test_bad_arguments_raise_with_name_and_value(
    strategy: Callable[..., Any], arguments: dict[str, Any], message: str
) -> None:
    """A strategy with an argument that cannot be says which one, when it is made."""
    with pytest.raises(InvalidArgument, match=message):
        strategy(**arguments)


@in_all_modes
@pytest.mark.parametrize("name", declared)
def test_no_property_sees_anything_in_the_installed_implementation(
    name: str, mode: Mode, static: bool
) -> None:
    """The installed TensorFlow multiplies as NumPy does, in every mode."""
    runs = runner()
    found = [(case, seen(runs, name, case)) for case in cases(mode, static)]
    assert [(case, problems) for case, problems in found if problems] == []


@pytest.mark.parametrize("static", [True, False], ids=["known", "unknown"])
def test_xla_multiplies_and_refuses_as_graphs_do(static: bool) -> None:
    """The table of refusals and the values hold under XLA, on a few shapes."""
    runs = runner()
    for mask in ((2, 3, 1), (3, 1), (2, 3), (4,), ()):
        for dtype in ("float32", "float16"):
            case = BroadcastCase(
                (2, 3, 4), mask, intended=(0, 1), static=static, dtype=dtype, mode="xla"
            )
            assert [problem for name in declared for problem in seen(runs, name, case)] == []


@in_all_modes
def test_the_witness_acts_on_step_and_features_and_not_on_batch(mode: Mode, static: bool) -> None:
    """A mask meant for (batch, step) acts on (step, features) where all sizes coincide."""
    case = BroadcastCase((2, 2, 2), (2, 2), (0, 1), static=static, mode=mode)
    plan = PROPERTIES["intended_axes"].function(case)
    results = runner().run(plan.steps)
    assert list(mismatches(plan, results)) == []
    (product,) = results.outputs["product"]
    assert product.tolist() == [[[1, 2], [3, 4]], [[1, 2], [3, 4]]]


def test_float16_products_are_numpys_for_every_float16() -> None:
    """One multiplication rounds the same: all float16 values, eagerly and in a graph."""
    runs = runner()
    tf = runs.implementation.tensorflow

    def product(left: Any, right: Any) -> Any:
        return left * right

    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    other = np.random.default_rng(0).permutation(every)
    with np.errstate(all="ignore"):
        expected = every * other
    for multiply in (product, tf.function(product)):
        found = multiply(tf.constant(every), tf.constant(other)).numpy()
        np.testing.assert_array_equal(found, expected)


# -- planted wrong rules ---------------------------------------------------------------------


@functools.cache
def _tf() -> Any:
    return runner().implementation.tensorflow


def _left_aligned(left: Any, right: Any) -> Any:
    tf = _tf()
    rank = max(left.shape.rank, right.shape.rank)

    def padded(tensor: Any) -> Any:
        ones = tf.ones([rank - tensor.shape.rank], tf.int32)
        return tf.reshape(tensor, tf.concat([tf.shape(tensor), ones], 0))

    return padded(left) * padded(right)


def _ones_not_broadcast(left: Any, right: Any) -> Any:
    tf = _tf()
    rank = min(left.shape.rank, right.shape.rank)
    if rank:
        sizes = tf.shape(left)[-rank:], tf.shape(right)[-rank:]
        tf.debugging.assert_equal(*sizes)
    return left * right


def _rank_grown(left: Any, right: Any) -> Any:
    return (left * right)[None]


def _dtype_truncated(left: Any, right: Any) -> Any:
    tf = _tf()
    return tf.cast(tf.cast(left, tf.float16) * tf.cast(right, tf.float16), left.dtype)


def _dtype_changed(left: Any, right: Any) -> Any:
    tf = _tf()
    return tf.cast(left * right, tf.float64 if left.dtype == tf.float32 else tf.float32)


def _never_refused(left: Any, right: Any) -> Any:
    tf = _tf()
    if right.shape.rank == 0:
        return left * right
    # A mask that is too short or too long starts again, or is cut.
    places = tf.range(tf.shape(left)[-1]) % tf.shape(right)[-1]
    return left * tf.gather(right, places, axis=-1)


def _mask_ignored(left: Any, right: Any) -> Any:
    return left * _tf().ones_like(right)


# Each with the property that names it; others may see it besides.
DEFECTS = [
    (_left_aligned, "product_outcome"),
    (_left_aligned, "product_values"),
    (_left_aligned, "intended_axes"),
    (_ones_not_broadcast, "product_outcome"),
    (_rank_grown, "product_values"),
    (_rank_grown, "intended_axes"),
    (_dtype_truncated, "product_values"),
    (_dtype_changed, "product_values"),
    (_never_refused, "product_outcome"),
    (_mask_ignored, "product_values"),
    (_mask_ignored, "intended_axes"),
]


@in_all_modes
@pytest.mark.parametrize(
    ("multiply", "name"), DEFECTS, ids=[f"{made.__name__[1:]}-{name}" for made, name in DEFECTS]
)
def test_a_planted_wrong_rule_is_seen_by_the_property_that_names_it(
    multiply: Callable[[Any, Any], Any], name: str, mode: Mode, static: bool
) -> None:
    """Some case of the strata shows the wrong rule to its property."""
    runs = runner(multiply)
    assert any(seen(runs, name, case) for case in cases(mode, static))


@in_all_modes
def test_an_equivalent_way_to_multiply_is_seen_by_none(mode: Mode, static: bool) -> None:
    """A product written as `tf.multiply` of the operands the other way round is healthy."""
    runs = runner(lambda left, right: _tf().multiply(right, left))
    found = [seen(runs, name, case) for name in declared for case in cases(mode, static)]
    assert not any(found)


@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_a_refusal_of_another_class_is_seen(mode: Mode) -> None:
    """A product refused with a TypeError is not what TensorFlow documents."""

    def multiply(left: Any, right: Any) -> Any:
        try:
            return left * right
        except Exception as error:
            raise TypeError("planted") from error

    case = BroadcastCase((2,), (3,), mode=mode)
    (problem,) = seen(runner(multiply), "product_outcome", case)
    assert (problem.kind, problem.exception) == ("refused", "TypeError")
