"""What a property asks of an implementation: steps, as data that is run or printed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from catalogue.expressions import Expression, Output
from catalogue.specs import Spec

__all__ = [
    "Build",
    "Call",
    "Gradient",
    "Multiply",
    "Operand",
    "OutputShape",
    "ResetState",
    "Step",
    "SymbolicShape",
    "Through",
    "operand_leaves",
]


@dataclasses.dataclass(frozen=True)
class Through:
    """A tensor that has passed through another layer first, and so carries that layer's mask."""

    layer: str
    operands: tuple[Operand, ...]


InputShape = tuple[int | None, ...] | tuple[tuple[int | None, ...], ...]

# What a call is given: an array, another layer's output, a list of such, or a plain constant.
Operand = Expression | Output | Through | list[Any] | None | bool | int | float | str


@dataclasses.dataclass(frozen=True)
class Build:
    """Build `spec` for inputs of `input_shape` and give it the weights drawn from a seed.

    In `input_shape`, `None` stands for a size that is not known beforehand; a layer that is
    given several tensors has a tuple of shapes. `weights` is the seed; a layer without weights
    needs none. A stateful layer starts with states of zero. What is `called` is built by a call
    on tensors of zeros, one by one, with a single row and step where sizes are not known.
    """

    name: str
    spec: Spec
    input_shape: InputShape
    weights: int | None = None
    called: bool = False


@dataclasses.dataclass(frozen=True)
class Call:
    """Call the layer that `layer` names; hands back its `outputs` tensors, in their order.

    Their masks come back too, under the name `<name>.mask`, and under `<name>.told` the warnings
    that speak of masks. `mode` overrides the mode of the execution (an agreement property runs
    one call in both).
    """

    name: str
    layer: str
    args: tuple[Operand, ...]
    kwargs: dict[str, Operand]
    outputs: int = 1
    mode: str | None = None


@dataclasses.dataclass(frozen=True)
class Gradient:
    """Gradients of `sum(sin(every output of the call))`.

    Hands back the gradient with respect to the call's first argument and then those
    with respect to the layer's trainable weights, in their order.
    """

    name: str
    call: Call


@dataclasses.dataclass(frozen=True)
class OutputShape:
    """Ask `compute_output_shape` of the layer; hands back one tuple for each output."""

    name: str
    layer: str
    input_shape: tuple[int | None, ...]


@dataclasses.dataclass(frozen=True)
class SymbolicShape:
    """Call the layer on a symbolic `keras.Input`; hands back one tuple for each output.

    `shape` is the shape of one sample, `batch` the batch size or `None`.
    """

    name: str
    layer: str
    shape: tuple[int | None, ...]
    batch: int | None = None


@dataclasses.dataclass(frozen=True)
class ResetState:
    """Reset the states of a stateful layer."""

    layer: str


@dataclasses.dataclass(frozen=True)
class Multiply:
    """Multiply two float tensors with the operator `*`; hands back the product.

    With `static` the shapes are known when a graph is traced, else only the ranks are.
    `mode` overrides the mode of the execution.
    """

    name: str
    left: Expression
    right: Expression
    static: bool = True
    mode: str | None = None


Step = Build | Call | Gradient | OutputShape | SymbolicShape | ResetState | Multiply


def operand_leaves(operand: Operand) -> Iterator[Expression | Output]:
    """The arrays and outputs that an operand of a call is made of, from left to right."""
    if isinstance(operand, Expression | Output):
        yield operand
    elif isinstance(operand, Through):
        for inner in operand.operands:
            yield from operand_leaves(inner)
    elif isinstance(operand, list):
        for inner in operand:
            yield from operand_leaves(inner)
