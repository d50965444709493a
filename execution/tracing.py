"""Calls layers on tensors, and differentiates the calls: traced once, called with every batch."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from catalogue.expressions import Expression, Output
from catalogue.steps import Call, Gradient, Operand, Padded, Ragged, Through
from execution.anatomy import layers_of, leaves_of, pattern_of, roles_of, structure_of
from execution.implementation import Implementation, variable_of
from execution.layers import Built
from execution.products import Inapplicable
from execution.ragged import padded_sequences, ragged
from execution.results import Counters

__all__ = ["Calls", "Traced", "of_masks"]


@dataclasses.dataclass
class Traced:
    """A traced function, from tensors to tensors."""

    function: Callable[..., Any]
    masks: list[bool]  # which outputs carry a mask, known once traced
    told: list[str]  # what tracing warned of masks


class Calls:
    """Makes the calls of steps on tensors, symbolic ones too; traces are kept at their layers."""

    def __init__(self, implementation: Implementation, counters: Counters) -> None:
        self.counters = counters
        self.left: list[Any] = []  # the masks of what the last call was made on, after it
        self._tf = implementation.tensorflow
        self._pad = implementation.pad_sequences

    def apply(
        self, step: Call, scope: Mapping[str, Built], tensors: list[Any]
    ) -> tuple[list[Any], list[Any]]:
        """The outputs of a call whose arrays are these tensors, and the mask of each, or None."""
        rest = iter(tensors)
        known: dict[int, Any] = {}  # in a shared call: the tensor of each operand

        def live(operand: Operand) -> Any:
            made = made_anew(operand)
            if not step.shared or isinstance(operand, list | int | None):
                return made
            return known.setdefault(id(operand), made)

        def made_anew(operand: Operand) -> Any:
            if isinstance(operand, Expression | Output):
                return next(rest)
            if isinstance(operand, Ragged):
                return ragged(self._tf, next(rest), next(rest))
            if isinstance(operand, Padded):
                return padded_sequences(self._pad, next(rest), next(rest), operand.options)
            if isinstance(operand, Through):
                inner = [live(item) for item in operand.operands]
                return scope[operand.layer].layer(inner[0] if len(inner) == 1 else inner)
            if isinstance(operand, list):
                return [live(item) for item in operand]
            return operand

        args = [live(operand) for operand in step.args]
        kwargs = {name: live(operand) for name, operand in step.kwargs.items()}
        layer = scope[step.layer].layer
        if step.method == "compute_mask":
            return [], self._tf.nest.flatten(layer.compute_mask(*args, **kwargs))[:1]
        if step.twice or step.after:
            (scope[step.after].layer if step.after else layer)(*args, **kwargs)
        found = _without_state if step.method == "stateless_call" else _called
        outputs = self._tf.nest.flatten(found(layer, args, kwargs))
        given = filter(self._tf.is_tensor, self._tf.nest.flatten([args, kwargs]))
        self.left = [getattr(tensor, "_keras_mask", None) for tensor in given] if step.twice else []
        return outputs, [getattr(tensor, "_keras_mask", None) for tensor in outputs]

    def differentiate(
        self, step: Gradient, scope: Mapping[str, Built], tensors: list[Any]
    ) -> list[Any]:
        """Gradients of a sum over the outputs: those of the sources, then those of weights.

        Behind the tensors of the call stand the masks that say which outputs count.
        """
        tf = self._tf
        sources = [tensors[place] for place in step.sources]
        given = len(leaves_of(step.call))
        wheres = iter(tensors[given:])
        with tf.GradientTape() as tape:
            for source in sources:
                tape.watch(source)
            outputs, _ = self.apply(step.call, scope, tensors[:given])
            counted = []
            for place, tensor in enumerate(outputs):
                if place < len(step.where) and step.where[place] is not None:
                    mask = next(wheres)
                    behind = [1] * (tensor.shape.rank - mask.shape.rank)
                    mask = tf.reshape(mask, tf.concat([tf.shape(mask), behind], 0))
                    tensor = tf.where(mask, tensor, tf.zeros_like(tensor))  # noqa: PLW2901
                counted.append(tf.reduce_sum(tf.sin(tensor)))
            total = tf.add_n(counted)
        variables = [
            variable_of(weight) for weight in scope[step.call.layer].layer.trainable_weights
        ]
        zero = tf.UnconnectedGradients.ZERO
        gradients: list[Any] = tape.gradient(
            total, [*sources, *variables], unconnected_gradients=zero
        )
        return [tf.convert_to_tensor(gradient) for gradient in gradients]  # some are sparse

    def traced(
        self,
        step: Call,
        scope: Mapping[str, Built],
        values: list[np.ndarray],
        mode: str,
        gradient: Gradient | None = None,
    ) -> Traced:
        """The traced call (or gradient) of a step; what tracing raised is raised again."""
        built = scope[step.layer]
        static = mode == "xla"
        roles = roles_of(step)
        roles += [True] * (len(values) - len(roles))  # where outputs count
        signature = tuple(
            (
                value.dtype.name,
                tuple(value.shape) if static else pattern_of(value, within, built.build),
            )
            for value, within in zip(values, roles, strict=True)
        )
        makers = tuple(id(scope[name]) for name in layers_of(step))
        of = gradient and (gradient.sources, tuple(one is None for one in gradient.where))
        key = (structure_of(step), makers, signature, mode, of)
        traced = built.traces.get(key)
        if traced is None:
            with self.counters.of("trace"):
                try:
                    traced = self._trace(step, scope, signature, mode, gradient)
                except Exception as error:  # what cannot be traced cannot be traced again
                    traced = error.with_traceback(None)
            built.traces[key] = traced
        if isinstance(traced, Exception):
            raise traced
        return traced

    def _trace(
        self,
        step: Call,
        scope: Mapping[str, Built],
        signature: tuple[tuple[str, tuple[int | None, ...]], ...],
        mode: str,
        gradient: Gradient | None,
    ) -> Traced:
        tf = self._tf
        presence: list[bool] = []

        def plain(*tensors: Any) -> Any:
            outputs, masks = self.apply(step, scope, list(tensors))
            presence[:] = [mask is not None for mask in masks]
            kept = [tf.identity(mask) for mask in masks if mask is not None]
            return [tf.identity(tensor) for tensor in outputs], kept

        def differentiated(*tensors: Any) -> Any:
            assert gradient is not None
            return self.differentiate(gradient, scope, list(tensors))

        function = tf.function(
            differentiated if gradient else plain,
            input_signature=[tf.TensorSpec(shape, dtype) for dtype, shape in signature],
            jit_compile=True if mode == "xla" else None,
        )
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            concrete = function.get_concrete_function()
        return Traced(concrete, presence, of_masks(warned))


def _called(layer: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    return layer(*args, **kwargs)


def _without_state(layer: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """What a layer gives that is handed its variables."""
    if not hasattr(layer, "stateless_call"):
        raise Inapplicable("layers of Keras 2 have no stateless_call")
    kinds = layer.trainable_variables, layer.non_trainable_variables
    values = [[variable.value for variable in variables] for variables in kinds]
    return layer.stateless_call(*values, *args, **kwargs)[0]


def of_masks(warned: list[warnings.WarningMessage] | None) -> list[str]:
    """The warnings that tell a user something of masks."""
    return [str(one.message) for one in warned or () if "mask" in str(one.message)]
