"""What a step is made of: its layers, its arrays, and what a trace of it depends on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from catalogue.expressions import Expression, Output
from catalogue.steps import (
    Build,
    Call,
    Configuration,
    Define,
    Gradient,
    Multiply,
    Operand,
    OutputShape,
    Padded,
    Ragged,
    ResetState,
    Step,
    SymbolicCall,
    SymbolicShape,
    Through,
    operand_leaves,
)
from catalogue.training_steps import Train

__all__ = [
    "layers_of",
    "leaf_patterns",
    "leaves_of",
    "outputs_of",
    "pattern_of",
    "roles_of",
    "shapes_to_call",
    "structure_of",
    "value_of",
]


def layers_of(step: Step) -> list[str]:
    """The names of the layers that a step needs."""
    if isinstance(step, Gradient | SymbolicCall):
        step = step.call
    if isinstance(step, Call):
        makers = [name for operand in _operands(step) for name in _through(operand)]
        return [step.layer, *makers, *([step.after] if step.after else [])]
    if isinstance(step, OutputShape | Configuration | SymbolicShape | ResetState):
        return [step.layer]
    return [step.model] if isinstance(step, Train) else []


def _through(operand: Operand) -> Iterator[str]:
    if isinstance(operand, Through):
        yield operand.layer
        for inner in operand.operands:
            yield from _through(inner)
    elif isinstance(operand, list):
        for inner in operand:
            yield from _through(inner)


def _operands(step: Call) -> list[Operand]:
    return [*step.args, *step.kwargs.values()]


def leaves_of(step: Call) -> list[Expression | Output]:
    """The arrays and outputs that a call is given, from left to right."""
    return [leaf for operand in _operands(step) for leaf in operand_leaves(operand)]


def roles_of(step: Call) -> list[bool]:
    """For each leaf whether it has the inputs' time axis: tensors in lists are states."""
    return [
        not isinstance(operand, list)
        for operand in _operands(step)
        for _ in operand_leaves(operand)
    ]


def outputs_of(step: Step) -> list[Output]:
    """The outputs of earlier steps that a step needs."""
    if isinstance(step, Gradient | SymbolicCall):
        step = step.call
    leaves: list[Any] = []
    if isinstance(step, Call):
        leaves = list(leaves_of(step))
    elif isinstance(step, Multiply):
        leaves = [step.left, step.right]
    found: list[Output] = []
    for leaf in leaves:
        found += [leaf] if isinstance(leaf, Output) else leaf.outputs()
    return found


def value_of(leaf: Expression | Output, outputs: Mapping[str, Any]) -> np.ndarray:
    """The array that a leaf stands for, given the outputs of the steps before."""
    if isinstance(leaf, Output):
        return np.asarray(outputs[leaf.step][leaf.index])
    return np.asarray(leaf.value(outputs))


_OF_STEPS = 2  # axes of a mask of steps, of known number or not


def leaf_patterns(
    step: Call, builds: Mapping[str, Build | Define]
) -> tuple[list[Expression | Output], list[tuple[int | None, ...]]]:
    """The arrays of a call and the shapes that its trace is made for, None where unknown."""
    build = builds[step.layer]
    patterns = [
        pattern_of(np.asarray(leaf.value()), timed, build)
        if isinstance(leaf, Expression) and not any(True for _ in leaf.outputs())
        else ()
        for leaf, timed in zip(leaves_of(step), roles_of(step), strict=True)
    ]
    return leaves_of(step), patterns


def pattern_of(value: np.ndarray, timed: bool, build: Build | Define) -> tuple[int | None, ...]:
    """The shape that a trace is made for: unknown where the layer was built for unknown sizes."""
    shape: list[int | None] = list(value.shape)
    sizes = build.input_shape
    if isinstance(sizes[0], tuple):  # several tensors, all of known or unknown rows and steps
        if sizes[0][0] is not None:
            return tuple(value.shape)
        # What stands behind the steps is known of tensors; masks have nothing there.
        timed_axes = sum(size is None for size in sizes[0])
        if value.dtype == bool and value.ndim > max(timed_axes, _OF_STEPS):
            # Of single elements: rows, heads where they have an axis, and steps of two tensors.
            return (None, *value.shape[1:-2], None, None)
        return (*[None] * min(timed_axes, value.ndim), *value.shape[timed_axes:])
    # A state has rows and no steps; the inputs of a `time_major` layer have steps before rows.
    assert isinstance(build, Build)
    axes = tuple(range(len(sizes))) if timed else (1,) if build.spec.get("time_major") else (0,)
    for axis, of_inputs in zip(range(len(shape)), axes, strict=False):
        if sizes[of_inputs] is None:
            shape[axis] = None
    return tuple(shape)


def shapes_to_call(build: Build | Define) -> list[list[int]]:
    """The shapes of the tensors of zeros that a layer is built by a call on."""
    shapes = build.input_shape if isinstance(build.input_shape[0], tuple) else (build.input_shape,)
    return [[1 if size is None else size for size in shape] for shape in shapes]


def structure_of(step: Call) -> Any:
    """The call without its arrays: what a trace depends on besides their dtypes and shapes."""

    def shape_of(operand: Operand) -> Any:
        if isinstance(operand, Expression | Output):
            return "*"
        if isinstance(operand, Ragged):
            return "ragged"
        if isinstance(operand, Padded):
            return ("padded", *sorted(operand.options.items()))
        if isinstance(operand, Through):
            return (operand.layer, *(shape_of(inner) for inner in operand.operands))
        if isinstance(operand, list):
            return ("list", *(shape_of(inner) for inner in operand))
        return type(operand).__name__, repr(operand)

    return (
        tuple(map(shape_of, step.args)),
        tuple((name, shape_of(operand)) for name, operand in sorted(step.kwargs.items())),
        step.twice,
        step.after,
        step.shared,
    )
