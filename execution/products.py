"""Runs and writes the ways to multiply an output by a mask."""

from __future__ import annotations

import ast
import functools
import types
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from catalogue import weights
from catalogue.multiplied import RecurrentOutput
from catalogue.steps import Multiply
from catalogue.ways import WAYS, written
from execution.implementation import Implementation
from execution.results import Counters

__all__ = ["Inapplicable", "Products", "product_lines", "substituted"]

Sizes = tuple[int | None, ...]


class Inapplicable(Exception):
    """The implementation makes no operand of a dtype: nothing is said of what it does with it."""


class Products:
    """The traced functions and the models that multiply, kept until `clear`.

    `moment` is where the last product was when it came back or raised: `construction`, `tracing`
    or `run`.
    """

    def __init__(self, implementation: Implementation, mode: str, counters: Counters) -> None:
        self.implementation, self.mode, self.counters = implementation, mode, counters
        self.moment = ""
        self._tf = implementation.tensorflow
        self._made: dict[Any, Any] = {}
        self._seeds: dict[Any, int] = {}
        self._makes: dict[str, str] = {}  # dtypes: why there are no tensors of them, if so

    def clear(self) -> None:
        """Drop all that is kept."""
        self._made.clear()
        self._seeds.clear()

    def product(self, step: Multiply, outputs: Mapping[str, Any]) -> tuple[np.ndarray, ...]:
        """What comes out of one step; whatever the way raises comes through."""
        tf = self._tf
        self.moment = "construction"
        left, right = step.left.value(outputs), step.right.value(outputs)
        self._applies(left.dtype.name, right.dtype.name)
        mode = step.mode or self.mode
        multiply = self._way(step, left, right)
        if step.model is not None:
            multiply = self._behind(step.model, left, multiply)
        if is_symbolic(step):
            multiply = self._functional(step, left, right, multiply)
        if mode != "eager":
            self.moment = "tracing"
            multiply = self._traced(step, left, right, multiply, mode)
        self.moment = "run"
        with self.counters.of("eager call" if mode == "eager" else "traced call"):
            found = multiply(tf.constant(left), tf.constant(right))
            return tuple(np.asarray(each) for each in tf.nest.flatten(found))

    def _applies(self, *dtypes: str) -> None:
        for dtype in dtypes:
            if dtype not in self._makes:
                self._makes[dtype] = ""
                try:
                    self._tf.constant(np.zeros((1,), dtype))
                except Exception as error:
                    why = f"{type(error).__name__}, {str(error).splitlines()[0]}"
                    self._makes[dtype] = (
                        f"{self.implementation.installed} makes no tensor of {dtype}: {why}"
                    )
            if self._makes[dtype]:
                raise Inapplicable(self._makes[dtype])

    def _way(self, step: Multiply, left: Any, right: Any) -> Callable[[Any, Any], Any]:
        """The way as a function of output and mask; a planted one stands in for it."""
        override = self.implementation.overrides.get(step.way)
        if override is not None and not is_symbolic(step):
            return override  # type: ignore[no-any-return]
        keras = self.implementation.keras
        if override is not None and not step.symbolic:
            # On symbolic tensors nothing but a layer may be planted, which takes other dtypes:
            # only where a way has no other operands.
            return lambda output, mask: keras.layers.Lambda(
                lambda pair: override(*pair), autocast=False
            )([output, mask])
        code = _compiled(written(WAYS[step.way], multiplied_shape(step, left), right.ndim))
        names = {"tf": self._tf, "keras": keras}
        return lambda output, mask: eval(code, {**names, "output": output, "mask": mask})

    def _behind(
        self, made: RecurrentOutput, inputs: Any, multiply: Callable[[Any, Any], Any]
    ) -> Callable[[Any, Any], Any]:
        """A way behind a model; gives the product and the model's output."""
        keras = self.implementation.keras
        key = ("recurrent", made.source)
        if key not in self._made:
            with self.counters.of("build"):
                self._made[key] = eval(_compiled(made.source), {"keras": keras})
                self._made[key](self._tf.constant(inputs))
        model = self._made[key]
        if self._seeds.get(key) != made.weights:
            shapes = [weight.shape for weight in model.get_weights()]
            model.set_weights(weights.drawn(made.weights, shapes))
            self._seeds[key] = made.weights

        def multiplied(inputs: Any, mask: Any) -> Any:
            output = model(inputs)
            return [multiply(output, mask), output]

        return multiplied

    def _functional(
        self, step: Multiply, left: Any, right: Any, multiply: Callable[[Any, Any], Any]
    ) -> Callable[[Any, Any], Any]:
        """The Functional model of a way; of an unknown batch where the step is not static."""
        patterns = traced_patterns(step, left, right)
        # What is written depends on the output's sizes in some ways.
        key = ("functional", *_key(step, left, right), *patterns)
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
        key = (*_key(step, left, right), *shapes, step.static, mode)
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


def is_symbolic(step: Multiply) -> bool:
    """Whether a step multiplies symbolic tensors."""
    return step.symbolic or WAYS[step.way].symbolic


def multiplied_shape(step: Multiply, left: Any) -> tuple[int, ...]:
    """The shape of the output that a step multiplies."""
    return tuple(left.shape) if step.model is None else step.model.shape


def _key(step: Multiply, left: Any, right: Any) -> tuple[Any, ...]:
    """What a function, or a model, of a step depends on besides the sizes of its operands."""
    source = written(WAYS[step.way], multiplied_shape(step, left), right.ndim)
    made = "" if step.model is None else step.model.source
    return step.way, source, made, is_symbolic(step), left.dtype.name, right.dtype.name


def traced_patterns(step: Multiply, left: Any, right: Any) -> list[Sizes]:
    """The sizes of both operands that are known when a graph is traced, or a model is made."""
    if step.static:
        return [tuple(left.shape), tuple(right.shape)]
    if is_symbolic(step):
        return [(None, *value.shape[1:]) for value in (left, right)]
    unknown = (None,) * left.ndim if step.model is None else step.model.known
    return [unknown, (None,) * right.ndim]


@functools.cache
def _compiled(source: str) -> types.CodeType:
    return compile(source, "<way>", "eval")


# -- as a script -----------------------------------------------------------------------------


def product_lines(step: Multiply, operands: tuple[str, str], mode: str) -> list[str]:
    """The lines of a script that make the product of two named arrays."""
    values = [np.asarray(side.value()) for side in (step.left, step.right)]
    source = written(WAYS[step.way], multiplied_shape(step, values[0]), values[1].ndim)
    lines = [] if step.model is None else _model_lines(step.model, operands[0])
    patterns = traced_patterns(step, *values)
    if is_symbolic(step):
        inputs = ", ".join(
            f"keras.Input({tuple(sample)}, {rows}, dtype={value.dtype.name!r})"
            for value, (rows, *sample) in zip(values, patterns, strict=True)
        )
        lines.append(f"inputs = [{inputs}]")
        symbolic = substituted(source, {"output": "inputs[0]", "mask": "inputs[1]"})
        if step.model is not None:
            lines.append("output = recurrent(inputs[0])")
            symbolic = f"[{substituted(source, {'output': 'output', 'mask': 'inputs[1]'})}, output]"
        lines.append(f"model = keras.Model(inputs, {symbolic})")
        source = "model([output, mask])"
    elif step.model is not None:
        lines += ["def multiplied(inputs, mask):", "    output = recurrent(inputs)"]
        lines.append(f"    return {source}, output")
        source = "multiplied(output, mask)"
    if mode == "eager":
        given = [f"tf.constant({operand})" for operand in operands]
        called = substituted(source, dict(zip(("output", "mask"), given, strict=True)))
    else:
        signature = ", ".join(
            f"tf.TensorSpec({list(shape)}, {value.dtype.name!r})"
            for shape, value in zip(patterns, values, strict=True)
        )
        jit = ", jit_compile=True" if mode == "xla" else ""
        function = f"lambda output, mask: {source}"
        called = f"tf.function({function}, input_signature=[{signature}]{jit})"
        called = f"{called}({', '.join(operands)})"
    if step.model is None:
        return [*lines, f"{step.name} = np.array({called})"]
    return [*lines, f"{step.name} = [np.array(each) for each in {called}]"]


def _model_lines(made: RecurrentOutput, inputs: str) -> list[str]:
    """The lines that make a model and give it its weights."""
    return [
        f"recurrent = {made.source}",
        f"recurrent(tf.constant({inputs}))",
        f"rng = np.random.default_rng({made.weights})",
        f"recurrent.set_weights([{weights.SOURCE} for w in recurrent.get_weights()])",
    ]


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
