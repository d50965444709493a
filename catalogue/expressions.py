"""NumPy expressions that are evaluated and printed from one source text."""

import ast
import functools
import math
import types
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

__all__ = ["Expression", "Output", "expression", "literal"]


class Output:
    """A tensor that a step hands back: the `index`-th one of the step named `step`."""

    __slots__ = ("index", "step")

    def __init__(self, step: str, index: int = 0) -> None:
        self.step = step
        self.index = index

    def __repr__(self) -> str:
        return f"Output({self.step!r}, {self.index})"


class Expression:
    """A NumPy expression over named operands, evaluated at most once.

    `source` is one Python expression; `np` and the operands' names are all it may use.
    Operands are expressions themselves, or outputs of steps. `hint` is the name that
    a script gives to the value.
    """

    __slots__ = ("_source", "_value", "hint", "operands")

    def __init__(
        self, source: str, operands: Mapping[str, "Expression | Output"], hint: str | None
    ) -> None:
        self._source: str | None = source
        self.operands = dict(operands)
        self.hint = hint
        self._value: Any = None

    @classmethod
    def literal(cls, value: Any, hint: str | None = None) -> "Expression":
        """An array or a number; it is written out where its source is asked for, and not before."""
        found = cls("", {}, hint)
        found._source, found._value = None, value
        return found

    @property
    def source(self) -> str:
        """The text that a script prints."""
        if self._source is None:
            self._source = _written(self._value)
        return self._source

    def value(self, outputs: Mapping[str, Any] | None = None) -> Any:
        """The value; `outputs` maps a step's name to the sequence that it handed back."""
        if self._value is None:
            names = {name: _resolve(operand, outputs) for name, operand in self.operands.items()}
            self._value = eval(_compiled(self.source), {"np": np, **names})  # our own text only
        return self._value

    def expressions(self) -> Iterator["Expression"]:
        """Itself and all that it is made of, operands first; one may come twice."""
        for operand in self.operands.values():
            if isinstance(operand, Expression):
                yield from operand.expressions()
        yield self

    def outputs(self) -> Iterator[Output]:
        """The outputs of steps that the value depends on; one may come twice."""
        for operand in self.operands.values():
            if isinstance(operand, Output):
                yield operand
            else:
                yield from operand.outputs()

    def renamed(self, names: Mapping[str, str]) -> str:
        """The source text with its operands called otherwise."""
        if all(old == new for old, new in names.items()):
            return self.source
        tree = ast.parse(self.source, mode="eval")
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id in names:
                node.id = names[node.id]
        return ast.unparse(tree)

    def __repr__(self) -> str:
        return f"<{self.hint or 'expression'}: {self.source}>"


def expression(source: str, hint: str | None = None, **operands: Expression | Output) -> Expression:
    """An expression over `operands`, for instance `expression("x[:, ::-1]", x=inputs)`."""
    return Expression(source, operands, hint)


def literal(value: Any, hint: str | None = None) -> Expression:
    """An array or a number written out."""
    return Expression.literal(value, hint)


def _written(value: Any) -> str:
    if not isinstance(value, np.ndarray):
        if isinstance(value, float) and not math.isfinite(value):
            return f"{'-' if value < 0 else ''}np.{abs(value)!s}"
        return repr(value)
    if not value.size:
        return f'np.zeros({value.shape}, "{value.dtype.name}")'
    values: Any = value.astype(int) if value.dtype == bool else value
    text = np.array2string(
        values,
        separator=", ",
        threshold=value.size + 1,
        max_line_width=10**6,
        floatmode="unique",
    )
    text = " ".join(text.split()).replace("nan", "np.nan").replace("inf", "np.inf")
    return f'np.array({text}, "{value.dtype.name}")'


def _resolve(operand: Expression | Output, outputs: Mapping[str, Any] | None) -> Any:
    if isinstance(operand, Expression):
        return operand.value(outputs)
    if outputs is None:
        raise LookupError(f"the output {operand!r} is not known before its step has run")
    return outputs[operand.step][operand.index]


@functools.lru_cache(maxsize=4096)
def _compiled(source: str) -> types.CodeType:
    return compile(source, "<expression>", "eval")
