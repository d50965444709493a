"""Expressions: one source text that is evaluated and printed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from catalogue.expressions import Output, expression, literal

BARE = {"np": np, "__builtins__": {}}


def test_an_expression_is_evaluated_over_its_operands() -> None:
    """Operands are named in the source, and may be expressions themselves."""
    mask = literal(np.array([True, False]))
    values = expression("np.arange(2.0) + 1")
    total = expression("np.where(mask, values, 0).sum()", mask=mask, values=values)
    assert total.value() == 1.0


def test_an_expression_is_evaluated_once() -> None:
    """What is random gives the same array each time it is asked for."""
    drawn = expression("np.random.default_rng().uniform(size=3)")
    assert drawn.value() is drawn.value()
    twice = expression("a - b", a=drawn, b=drawn)
    assert not twice.value().any()


def test_outputs_of_steps_are_looked_up_by_name_and_place() -> None:
    """An output stands for the tensor that its step handed back."""
    state = expression("y + 1", y=Output("call", 1))
    assert state.value({"call": (np.zeros(2), np.ones(2))}).tolist() == [2, 2]


def test_an_output_is_not_known_before_its_step_has_run() -> None:
    """The error names the output."""
    with pytest.raises(LookupError, match=r"Output\('call', 0\)"):
        expression("y", y=Output("call")).value()


def test_an_expression_knows_nothing_but_numpy_and_its_operands() -> None:
    """A name that is no operand is an error, not a variable of somebody else's."""
    with pytest.raises(NameError, match="stranger"):
        expression("stranger + 1").value()


def test_expressions_come_operands_first() -> None:
    """What is written in this order is defined before it is used."""
    inner = expression("np.ones(2)", "inner")
    middle = expression("a * 2", "middle", a=inner)
    outer = expression("a + b", "outer", a=middle, b=inner)
    assert list(outer.expressions()) == [inner, middle, inner, outer]


def test_the_outputs_that_a_value_depends_on_are_found_at_any_depth() -> None:
    """An expression over an expression over an output depends on that output."""
    y, z = Output("y"), Output("z", 2)
    outer = expression("a + b", a=expression("y[0]", y=y), b=z)
    assert list(outer.outputs()) == [y, z]


@pytest.mark.parametrize(
    ("source", "names", "printed"),
    [
        ("x[:, ::-1]", {"x": "values"}, "values[:, ::-1]"),
        ("x + y", {"x": "y", "y": "x"}, "y + x"),
        ("np.where(x, x.max(), 'x')", {"x": "z"}, "np.where(z, z.max(), 'x')"),
        ("f(x=x)", {"x": "z"}, "f(x=z)"),
    ],
)
def test_operands_are_renamed_and_nothing_else_is(
    source: str, names: dict[str, str], printed: str
) -> None:
    """Attributes, keywords and strings that look like an operand stay."""
    assert expression(source).renamed(names) == printed


def test_a_name_that_stays_leaves_the_text_as_it_was_written() -> None:
    """Nobody's spaces and quotes are changed without need."""
    source = 'x [ 0 ]  +  np.array( "1" )'
    assert expression(source).renamed({"x": "x"}) == source


def test_an_expression_prints_as_its_hint_and_source() -> None:
    """In a debugger one sees what a value is."""
    assert repr(expression("x + 1", "longer", x=Output("y"))) == "<longer: x + 1>"
    assert repr(expression("1")) == "<expression: 1>"
    assert repr(Output("y", 1)) == "Output('y', 1)"


LITERALS = {
    "bool": np.array([[True, False], [False, False]]),
    "no bool": np.array([], bool),
    "int32": np.array([[-3, 0, 7]], "int32"),
    "int64": np.array([2**62]),
    "float16": np.array([0.1, 6e-8, 65504], "float16"),
    "float32": np.array([0.1, 1e-45, 3.4028235e38], "float32"),
    "float64": np.array([0.1, 5e-324, 1.7976931348623157e308]),
    "nan": np.array([1.0, np.nan]),
    "inf": np.array([[np.inf, -np.inf]], "float16"),
    "all of them": np.array([np.nan, np.inf, -np.inf, -0.0, 0.1], "float32"),
    "one number": np.array(2.5),
    "many": np.random.default_rng(0).uniform(-1, 1, (40, 30)),
}


@pytest.mark.parametrize("value", LITERALS.values(), ids=LITERALS)
def test_an_array_is_written_out_to_the_last_bit(value: np.ndarray) -> None:
    """What a literal prints evaluates to the array, dtype, signs and bits included."""
    written = eval(literal(value).source, dict(BARE))
    assert written.dtype == value.dtype
    assert written.shape == value.shape
    assert written.tobytes() == value.tobytes() or np.isnan(value).any()
    np.testing.assert_array_equal(written, value)


@pytest.mark.parametrize("value", [(1, 2), (None, 3, 4), True, 0.1, -2, "float32", [0, 1], None])
def test_a_plain_value_is_written_as_python_does(value: object) -> None:
    """Shapes, numbers and words evaluate to themselves."""
    written = eval(literal(value).source, dict(BARE))
    assert written == value
    assert type(written) is type(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_written_so_that_it_evaluates(value: float) -> None:
    """A plain NaN or infinity evaluates to itself."""
    np.testing.assert_array_equal(literal(value).value(), value)


def test_an_array_without_values_keeps_its_shape() -> None:
    """No rows of three steps are not the same as no numbers."""
    assert literal(np.zeros((0, 3), "float32")).value().shape == (0, 3)


def test_a_literal_does_not_depend_on_how_numpy_prints() -> None:
    """A user's print options change no value."""
    value = np.array([1 / 3, 1e-12, np.nan])
    with np.printoptions(precision=2, suppress=True, threshold=1):
        np.testing.assert_array_equal(literal(value).value(), value)
