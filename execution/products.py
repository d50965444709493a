"""Runs and writes the ways to multiply an output by a mask."""

from __future__ import annotations

import ast
import functools
import types
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from catalogue.steps import Multiply
from catalogue.ways import WAYS, written
from execution.implementation import Implementation
from execution.results import Counters

__all__ = ["Products", "product_lines", "substituted"]

Sizes = tuple[int | None, ...]


class Products:
    """The traced functions and the models that multiply, kept until `clear`."""

    def __init__(self, implementation: Implementation, mode: str, counters: Counters) -> None:
        self.implementation, self.mode, self.counters = implementation, mode, counters
        self._tf = implementation.tensorflow
        self._made: dict[Any, Any] = {}

    def clear(self) -> None:
        """Drop all that is kept."""
        self._made.clear()

    def product(self, step: Multiply, outputs: Mapping[str, Any]) -> np.ndarray:
        """What comes out of one step; whatever the way raises comes through."""
        tf = self._tf
        left, right = step.left.value(outputs), step.right.value(outputs)
        mode = step.mode or self.mode
        multiply = self._way(step, left, right)
        if WAYS[step.way].symbolic:
            multiply = self._model(step, left, right, multiply)
        if mode != "eager":
            multiply = self._traced(step, left, right, multiply, mode)
        with self.counters.of("eager call" if mode == "eager" else "traced call"):
            return np.asarray(multiply(tf.constant(left), tf.constant(right)))

    def _way(self, step: Multiply, left: Any, right: Any) -> Callable[[Any, Any], Any]:
        """The way as a function of output and mask; a planted one stands in for it."""
        override = self.implementation.overrides.get(step.way)
        if override is not None and not WAYS[step.way].symbolic:
            return override  # type: ignore[no-any-return]
        keras = self.implementation.keras
        if override is not None:
            # On symbolic tensors nothing but a layer may be planted.
            return lambda output, mask: keras.layers.Lambda(
                lambda pair: override(*pair), autocast=False
            )([output, mask])
        code = _compiled(written(WAYS[step.way], left.shape, right.ndim))
        names = {"tf": self._tf, "keras": keras}
        return lambda output, mask: eval(code, {**names, "output": output, "mask": mask})

    def _model(
        self, step: Multiply, left: Any, right: Any, multiply: Callable[[Any, Any], Any]
    ) -> Callable[[Any, Any], Any]:
        """The Functional model of a way; of an unknown batch where the step is not static."""
        patterns = [_batch_pattern(value, step.static) for value in (left, right)]
        key = ("model", step.way, *patterns, left.dtype.name, right.dtype.name)
        if key not in self._made:
            keras = self.implementation.keras
            with self.counters.of("build"):
                inputs = [
                    keras.Input(shape=sample, batch_size=rows, dtype=value.dtype.name)
                    for value, (rows, *sample) in zip((left, right), patterns, strict=True)
                ]
                self._made[key] = keras.Model(inputs, multiply(*inputs))
        model = self._made[key]
        return lambda output, mask: model([output, mask])

    def _traced(
        self,
        step: Multiply,
        left: Any,
        right: Any,
        multiply: Callable[[Any, Any], Any],
        mode: str,
    ) -> Callable[[Any, Any], Any]:
        tf = self._tf
        shapes = traced_patterns(step, left, right)
        # What is written depends on the output's sizes in some ways.
        source = written(WAYS[step.way], left.shape, right.ndim)
        key = (step.way, source, *shapes, left.dtype.name, right.dtype.name, step.static, mode)
        if key not in self._made:
            with self.counters.of("trace"):
                function = tf.function(
                    multiply,
                    input_signature=[
                        tf.TensorSpec(shape, value.dtype)
                        for shape, value in zip(shapes, (left, right), strict=True)
                    ],
                    jit_compile=True if mode == "xla" else None,
                    autograph=False,
                )
                self._made[key] = function.get_concrete_function()
        traced: Callable[[Any, Any], Any] = self._made[key]
        return traced


def _batch_pattern(value: Any, static: bool) -> Sizes:
    return tuple(value.shape) if static else (None, *value.shape[1:])


def traced_patterns(step: Multiply, left: Any, right: Any) -> list[Sizes]:
    """The sizes of both operands that are known when a graph is traced."""
    if WAYS[step.way].symbolic:
        return [_batch_pattern(value, step.static) for value in (left, right)]
    return [tuple(v.shape) if step.static else (None,) * v.ndim for v in (left, right)]


@functools.cache
def _compiled(source: str) -> types.CodeType:
    return compile(source, "<way>", "eval")


# -- as a script -----------------------------------------------------------------------------


def product_lines(step: Multiply, operands: tuple[str, str], mode: str) -> list[str]:
    """The lines of a script that make the product of two named arrays."""
    values = [np.asarray(side.value()) for side in (step.left, step.right)]
    way = WAYS[step.way]
    source = written(way, values[0].shape, values[1].ndim)
    given = [f"tf.constant({operand})" for operand in operands]
    lines = []
    if way.symbolic:
        inputs = ", ".join(
            f"keras.Input({tuple(sample)}, {rows}, dtype={value.dtype.name!r})"
            for value in values
            for rows, *sample in [_batch_pattern(value, step.static)]
        )
        symbolic = substituted(source, {"output": "inputs[0]", "mask": "inputs[1]"})
        lines = [f"inputs = [{inputs}]", f"model = keras.Model(inputs, {symbolic})"]
        source = "model([output, mask])"
    if mode == "eager":
        called = substituted(source, dict(zip(("output", "mask"), given, strict=True)))
        return [*lines, f"{step.name} = np.array({called})"]
    signature = ", ".join(
        f"tf.TensorSpec({list(shape)}, {value.dtype.name!r})"
        for shape, value in zip(traced_patterns(step, *values), values, strict=True)
    )
    jit = ", jit_compile=True" if mode == "xla" else ""
    function = f"tf.function(lambda output, mask: {source}, input_signature=[{signature}]{jit})"
    return [*lines, f"{step.name} = np.array({function}({', '.join(operands)}))"]


def substituted(source: str, texts: dict[str, str]) -> str:
    """The source with operands written as their texts."""
    if all(name == text for name, text in texts.items()):
        return source
    replaced = {name: ast.parse(text, mode="eval").body for name, text in texts.items()}

    class Substitute(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> Any:
            return replaced.get(node.id, node)

    tree = Substitute().visit(ast.parse(source, mode="eval"))
    return ast.unparse(tree)
