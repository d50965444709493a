"""Gathers the lines of a script, and the names that it gives to arrays and outputs."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from catalogue.expressions import Expression, Output, literal
from catalogue.steps import Build, Define
from catalogue.training_steps import Model
from execution.products import substituted

__all__ = ["Printer"]

_SMALL = 12  # values that are written out


class Printer:
    """The lines so far, and what was named: those who write steps add to them."""

    def __init__(self, mode: str, asked: Collection[str] = ()) -> None:
        self.mode = mode
        self.asked = asked  # of which outputs the mask, or what was told, is asked for
        self.lines: list[str] = []
        self.preamble: list[str] = []
        self.taken: set[str] = {"np", "tf", "keras", "rng", "w"}
        self.outputs: dict[str, int] = {}  # how many a step has, where it is not one
        self.builds: dict[str, Build | Define] = {}
        self.lists: set[str] = set()  # steps of which all that is kept comes in lists
        self.models: dict[str, Model] = {}
        self._names: dict[int, str] = {}

    def name(self, hint: str) -> str:
        """A name like the hint that nothing has yet."""
        name, number = hint, 2
        while name in self.taken:
            name, number = f"{hint}{number}", number + 1
        self.taken.add(name)
        return name

    def operand(self, operand: Expression | Output) -> str:
        """The text that stands for an array: a variable, or an expression over variables."""
        if isinstance(operand, Output):
            step, dot, what = operand.step.partition(".")
            if dot and step in self.lists:
                return f"{step}_{what}[{operand.index}]"
            if dot:
                several = what in ("mask", "lengths") and self.outputs.get(step, 1) > 1
                several = several or what == "left"
                return f"{step}_{what}[{operand.index}]" if several else f"{step}_{what}"
            single = self.outputs.get(operand.step, 1) == 1
            return operand.step if single else f"{operand.step}[{operand.index}]"
        known = self._names.get(id(operand))
        if known is not None:
            return known
        source = _short(operand)
        if source is None:
            texts = {name: self.operand(inner) for name, inner in operand.operands.items()}
            source = substituted(operand.source, texts)
        if operand.hint is None:
            return source
        name = self.name(operand.hint)
        self._names[id(operand)] = name
        self.lines.append(f"{name} = {source}")
        return name


def _short(operand: Expression) -> str | None:
    """A small array written out, which says more than how it was drawn."""
    if operand.hint is None or any(True for _ in operand.outputs()):
        return None
    value = operand.value()
    if not isinstance(value, np.ndarray) or not 0 < value.size <= _SMALL:
        return None
    return literal(value).source
