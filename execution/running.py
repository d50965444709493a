"""Runs lists of steps on a device in a mode, trace once and run many, and hands back NumPy."""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from catalogue import weights as drawn_weights
from catalogue.custom_layers import CUSTOM_LAYERS
from catalogue.expressions import Expression, Output
from catalogue.specs import Spec
from catalogue.steps import (
    Build,
    Call,
    Define,
    Gradient,
    Multiply,
    Operand,
    OutputShape,
    Ragged,
    ResetState,
    Step,
    SymbolicCall,
    SymbolicShape,
    Through,
)
from catalogue.training_steps import Model, Train
from execution.anatomy import (
    layers_of,
    leaves_of,
    outputs_of,
    pattern_of,
    roles_of,
    shapes_to_call,
    structure_of,
    value_of,
)
from execution.implementation import Implementation, variable_of
from execution.products import Products
from execution.ragged import lengths_of, padded, ragged
from execution.results import MODES, Counters, Execution, Failure, Results
from execution.symbols import saved_and_loaded, symbolic_inputs
from execution.training import Models

__all__ = ["MODES", "Counters", "Execution", "Failure", "Misplaced", "Results", "Runner"]


@dataclasses.dataclass
class _Built:
    """A live layer, the seed of the weights that it holds, and its traced functions."""

    layer: Any
    build: Build | Define
    seed: int | None = None
    started: list[np.ndarray] = dataclasses.field(default_factory=list)
    parts: list[Any] = dataclasses.field(default_factory=list)  # the layers of a chain
    traces: dict[Any, _Traced | Exception] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class _Traced:
    function: Callable[..., Any]
    masks: list[bool]  # which outputs carry a mask, known once traced
    told: list[str]  # what tracing warned of masks


class Misplaced(Exception):
    """An output lies on another device than the one under test: what was tested is not known."""


class Runner:
    """Runs steps on one implementation; layers and traces are kept until `forget`."""

    def __init__(self, implementation: Implementation, execution: Execution) -> None:
        self.implementation = implementation
        self.execution = execution
        self.counters = Counters()
        self._layers: dict[Any, _Built] = {}
        self._products = Products(implementation, execution.mode, self.counters)
        self._symbols: list[Any] = []
        self._models = Models(implementation, execution.mode, self.counters)
        self._tf = implementation.tensorflow
        self._device = "/" + execution.device

    def forget(self) -> None:
        """Drop all layers and traces, so that memory stays flat from layer to layer."""
        self._layers.clear()
        self._products.clear()
        self._symbols.clear()
        self._models.clear()
        self.implementation.keras.backend.clear_session()

    def run(self, steps: tuple[Step, ...]) -> Results:
        """Run the steps in order; a step that needs a failed one fails with it."""
        results = Results({}, {})
        scope: dict[str, _Built] = {}
        models: dict[str, Any] = {}
        # What Keras warns of is no failure; a run of the suite may have made warnings errors.
        with self._tf.device(self._device), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for step in steps:
                self._run(step, scope, models, results)
        return results

    # -- one step ------------------------------------------------------------------------

    def _run(
        self, step: Step, scope: dict[str, _Built], models: dict[str, Any], results: Results
    ) -> None:
        name = step.layer if isinstance(step, ResetState) else step.name
        needed = [*layers_of(step), *(output.step for output in outputs_of(step))]
        for other in needed:
            if other in results.failures:
                results.failures[name] = results.failures[other]
                return
        try:
            if isinstance(step, Build):
                scope[step.name] = self._build(step)
            elif isinstance(step, Define):
                scope[step.name] = self._define(step)
            elif isinstance(step, Model):
                models[step.name] = self._models.built(step)
            elif isinstance(step, Train):
                results.outputs |= self._models.trained(step, models[step.model])
            elif isinstance(step, Multiply):
                results.outputs[step.name] = (self._products.product(step, results.outputs),)
            else:
                self._asked(step, scope, results)
        except Misplaced:
            raise
        except Exception as error:  # whatever a documented call raises is a finding
            if type(error).__name__ == "ResourceExhaustedError":
                raise MemoryError(_said(error)) from error  # the machine's fault, not the layer's
            # What refuses a reset could be built: it is another step than the build of its name.
            step_name = f"{name}.reset" if isinstance(step, ResetState) else name
            results.failures[name] = Failure(step_name, type(error).__name__, _said(error))

    def _asked(
        self,
        step: Call | Gradient | OutputShape | SymbolicShape | SymbolicCall | ResetState,
        scope: Mapping[str, _Built],
        results: Results,
    ) -> None:
        """What is asked of a layer that is there."""
        if isinstance(step, Call):
            self._call(step, scope, results)
        elif isinstance(step, Gradient):
            self._gradient(step, scope, results)
        elif isinstance(step, OutputShape):
            shape = scope[step.layer].layer.compute_output_shape(step.input_shape)
            results.outputs[step.name] = tuple(_flat_shapes(shape))
        elif isinstance(step, SymbolicShape):
            results.outputs[step.name] = self._symbolic(step, scope)
        elif isinstance(step, SymbolicCall):
            self._symbolic_call(step, scope, results)
        else:
            _reset(scope[step.layer].layer)

    def _build(self, step: Build) -> _Built:
        key = (step.spec.key, step.input_shape, step.restored, step.another)
        built = self._layers.get(key)
        if built is None:
            with self.counters.of("build"):
                layer = self._argument(step.spec)
                if step.restored:
                    layer = type(layer).from_config(layer.get_config())
                if step.called:
                    layer(*map(self._tf.zeros, shapes_to_call(step)))
                elif step.spec.layer not in CUSTOM_LAYERS:
                    several = isinstance(step.input_shape[0], tuple)
                    layer.build(list(step.input_shape) if several else step.input_shape)
                built = _Built(layer, step, started=_values(layer))
            self._layers[key] = built
        elif step.spec.get("stateful") or step.spec.get("layer.stateful"):
            # Not by the layer's own reset, which is under test.
            for state in self._tf.nest.flatten(_states(built.layer)):
                state.assign(self._tf.zeros(state.shape, state.dtype))
        elif built.started:  # what training moves starts afresh
            for weight, value in zip(built.layer.non_trainable_weights, built.started, strict=True):
                weight.assign(value)
        if step.weights is not None and built.seed != step.weights:
            with self.counters.of("set weights"):
                _set_weights(built.layer, step.weights)
            built.seed = step.weights
        return built

    def _define(self, step: Define) -> _Built:
        key = (step.name, step.source)
        if key not in self._layers:
            with self.counters.of("build"):
                names = self.implementation.defined(step.source, step.customs)
                self._layers[key] = _Built(names[step.name], step, parts=names["layers"])
        built = self._layers[key]
        if built.seed != step.weights:
            with self.counters.of("set weights"):
                for place, layer in enumerate(built.parts):
                    _set_weights(layer, step.weights + place)
            built.seed = step.weights
        return built

    def _argument(self, value: Any) -> Any:
        """What a spec, or an argument of one, is in the implementation."""
        if isinstance(value, tuple):
            return [self._argument(item) for item in value]
        if isinstance(value, Spec):
            arguments = {name: self._argument(inner) for name, inner in value.arguments.items()}
            return self.implementation.layer_class(value.layer)(**arguments)
        return value

    # -- calls ---------------------------------------------------------------------------

    def _call(self, step: Call, scope: Mapping[str, _Built], results: Results) -> None:
        values = [value_of(leaf, results.outputs) for leaf in leaves_of(step)]
        mode = step.mode or self.execution.mode
        told: list[str]
        if step.method:
            with self.counters.of(step.method):
                given = values[0] if len(values) == 1 else values
                quiet = {"verbose": 0} if step.method == "predict" else {}
                found = getattr(scope[step.layer].layer, step.method)(given, **quiet)
                arrays = [np.asarray(array) for array in self._tf.nest.flatten(found)]
                told, presence, mask_arrays = [], [False] * len(arrays), []
        elif step.saved:
            with self.counters.of("save and load"):
                inputs, outputs, _ = self._on_symbols(step, scope, results)
                model = saved_and_loaded(self.implementation, inputs, outputs)
                tensors = self._tf.nest.flatten(model([self._tensor(v) for v in values]))
                masks = [getattr(tensor, "_keras_mask", None) for tensor in tensors]
                told = []
                presence = [mask is not None for mask in masks]
                arrays = self._hand_back(tensors)
                mask_arrays = [np.asarray(mask) for mask in masks if mask is not None]
        elif mode == "eager":
            with self.counters.of("eager call"):
                with warnings.catch_warnings(record=True) as warned:
                    warnings.simplefilter("always")
                    tensors, masks = self._apply(step, scope, [self._tensor(v) for v in values])
                told = _of_masks(warned)
                presence = [mask is not None for mask in masks]
                results.outputs[f"{step.name}.lengths"] = tuple(map(lengths_of, tensors))
                arrays = self._hand_back(list(map(padded, tensors)))
                mask_arrays = [np.asarray(padded(mask)) for mask in masks if mask is not None]
        else:
            traced = self._traced(step, scope, values, mode)
            with self.counters.of("traced call"):
                tensors, mask_tensors = traced.function(*map(self._tensor, values))
                arrays = self._hand_back(tensors)
                mask_arrays = [t.numpy() for t in mask_tensors]
            presence, told = traced.masks, traced.told
        results.outputs[step.name] = tuple(arrays)
        results.outputs[f"{step.name}.told"] = (told,)
        rest = iter(mask_arrays)
        results.outputs[f"{step.name}.mask"] = tuple(next(rest) if p else None for p in presence)

    def _gradient(self, step: Gradient, scope: Mapping[str, _Built], results: Results) -> None:
        values = [value_of(leaf, results.outputs) for leaf in leaves_of(step.call)]
        values += [np.asarray(where.value()) for where in step.where if where is not None]
        mode = step.call.mode or self.execution.mode
        if mode == "eager":
            with self.counters.of("eager gradient"):
                gradients = self._differentiate(step, scope, [self._tensor(v) for v in values])
        else:
            traced = self._traced(step.call, scope, values, mode, gradient=step)
            with self.counters.of("traced gradient"):
                gradients = traced.function(*map(self._tensor, values))
        results.outputs[step.name] = tuple(self._hand_back(gradients))

    def _hand_back(self, tensors: list[Any]) -> list[np.ndarray]:
        for tensor in tensors:
            # TensorFlow quietly places elsewhere what it cannot place as asked.
            if tensor.dtype.is_floating and not tensor.device.lower().endswith(self._device[1:]):
                raise Misplaced(f"asked for {self._device}, got an output on {tensor.device}")
        return [np.asarray(tensor) for tensor in tensors]

    def _tensor(self, value: np.ndarray) -> Any:
        return self._tf.constant(value)

    def _apply(
        self, step: Call, scope: Mapping[str, _Built], tensors: list[Any]
    ) -> tuple[list[Any], list[Any]]:
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
            if isinstance(operand, Through):
                inner = [live(item) for item in operand.operands]
                return scope[operand.layer].layer(inner[0] if len(inner) == 1 else inner)
            if isinstance(operand, list):
                return [live(item) for item in operand]
            return operand

        args = [live(operand) for operand in step.args]
        kwargs = {name: live(operand) for name, operand in step.kwargs.items()}
        layer = scope[step.layer].layer
        if step.twice or step.after:
            (scope[step.after].layer if step.after else layer)(*args, **kwargs)
        outputs = self._tf.nest.flatten(layer(*args, **kwargs))
        return outputs, [getattr(tensor, "_keras_mask", None) for tensor in outputs]

    def _differentiate(
        self, step: Gradient, scope: Mapping[str, _Built], tensors: list[Any]
    ) -> list[Any]:
        tf = self._tf
        sources = [tensors[place] for place in step.sources]
        given = len(leaves_of(step.call))
        wheres = iter(tensors[given:])
        with tf.GradientTape() as tape:
            for source in sources:
                tape.watch(source)
            outputs, _ = self._apply(step.call, scope, tensors[:given])
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

    def _traced(
        self,
        step: Call,
        scope: Mapping[str, _Built],
        values: list[np.ndarray],
        mode: str,
        gradient: Gradient | None = None,
    ) -> _Traced:
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
        scope: Mapping[str, _Built],
        signature: tuple[tuple[str, tuple[int | None, ...]], ...],
        mode: str,
        gradient: Gradient | None,
    ) -> _Traced:
        tf = self._tf
        presence: list[bool] = []

        def plain(*tensors: Any) -> Any:
            outputs, masks = self._apply(step, scope, list(tensors))
            presence[:] = [mask is not None for mask in masks]
            kept = [tf.identity(mask) for mask in masks if mask is not None]
            return [tf.identity(tensor) for tensor in outputs], kept

        def differentiated(*tensors: Any) -> Any:
            assert gradient is not None
            return self._differentiate(gradient, scope, list(tensors))

        function = tf.function(
            differentiated if gradient else plain,
            input_signature=[tf.TensorSpec(shape, dtype) for dtype, shape in signature],
            jit_compile=True if mode == "xla" else None,
        )
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            concrete = function.get_concrete_function()
        return _Traced(concrete, presence, _of_masks(warned))

    # -- the other steps -----------------------------------------------------------------

    def _symbolic(self, step: SymbolicShape, scope: Mapping[str, _Built]) -> tuple[Any, ...]:
        symbolic = self.implementation.keras.Input(shape=step.shape, batch_size=step.batch)
        with self.counters.of("symbolic call"):
            return tuple(_flat_shapes(_shapes(scope[step.layer].layer(symbolic))))

    def _symbolic_call(
        self, step: SymbolicCall, scope: Mapping[str, _Built], results: Results
    ) -> None:
        with self.counters.of("symbolic call"):
            _, outputs, masks = self._on_symbols(step.call, scope, results)
        results.outputs[step.name] = tuple(map(tuple, (tensor.shape for tensor in outputs)))
        results.outputs[f"{step.name}.dtype"] = tuple(
            getattr(tensor.dtype, "name", tensor.dtype) for tensor in outputs
        )
        results.outputs[f"{step.name}.mask"] = tuple(
            None if mask is None else tuple(mask.shape) for mask in masks
        )

    def _on_symbols(
        self, call: Call, scope: Mapping[str, _Built], results: Results
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """Symbolic inputs for the arrays of a call, the outputs of it, and their masks."""
        build = scope[call.layer].build
        values = [value_of(leaf, results.outputs) for leaf in leaves_of(call)]
        inputs = symbolic_inputs(self.implementation, values, roles_of(call), build)
        found = (inputs, *self._apply(call, scope, inputs))
        self._symbols.append(found)  # Keras tells symbolic tensors apart by their address
        return found


# -- where Keras 2 and 3 say the same thing in two ways --------------------------------------


def _values(layer: Any) -> list[np.ndarray]:
    return [np.asarray(weight) for weight in layer.non_trainable_weights]


def _states(layer: Any) -> list[Any]:
    """The states of a stateful layer, or of the two inside a Bidirectional."""
    parts = [getattr(layer, name, None) for name in ("forward_layer", "backward_layer")]
    return [part.states for part in parts if part is not None] or [layer.states]


def _set_weights(layer: Any, seed: int) -> None:
    # Assigned one by one: `Layer.set_weights` costs as much as a traced call.
    targets = layer.trainable_weights
    drawn = drawn_weights.drawn(seed, [tuple(weight.shape) for weight in targets])
    for weight, value in zip(targets, drawn, strict=True):
        weight.assign(value)


def _of_masks(warned: list[warnings.WarningMessage] | None) -> list[str]:
    """The warnings that tell a user something of masks."""
    return [str(one.message) for one in warned or () if "mask" in str(one.message)]


def _reset(layer: Any) -> None:
    (layer.reset_state if hasattr(layer, "reset_state") else layer.reset_states)()


def _shapes(outputs: Any) -> Any:
    if isinstance(outputs, list | tuple):
        return [_shapes(output) for output in outputs]
    return outputs.shape


def _flat_shapes(shape: Any) -> list[tuple[int | None, ...]]:
    """Every shape in a nest of shapes, as plain tuples."""
    if hasattr(shape, "as_list"):
        return [tuple(shape.as_list())]
    shape = list(shape)
    if all(size is None or isinstance(size, int | np.integer) for size in shape):
        return [tuple(shape)]
    return [flat for inner in shape for flat in _flat_shapes(inner)]


def _said(error: Exception) -> str:
    """The line of an exception's text that says what is wrong.

    Keras puts the name of the layer before it and the call's arguments behind, TensorFlow a
    traceback before it.
    """
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    text = re.split(r"(Call a|A)rguments received by", text)[0]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("Exception encountered when")] or lines
    if not lines:
        return "no message"
    node = next((place for place, line in enumerate(lines) if "{{node" in line), 0)
    if lines[0].startswith("Graph execution error") and node:
        return lines[node - 1][:300]
    raised = [line for line in lines if re.match(r"\w+(Error|Exception): ", line)]
    return (raised[-1].split(": ", 1)[1] if raised else lines[0])[:300]
