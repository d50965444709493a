"""Runs lists of steps on a device in a mode, and hands back NumPy."""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from catalogue.steps import (
    Build,
    Call,
    Configuration,
    Define,
    Gradient,
    Multiply,
    OutputShape,
    ResetState,
    Step,
    SymbolicCall,
    SymbolicShape,
)
from catalogue.training_steps import Model, Train
from execution.anatomy import (
    layers_of,
    leaves_of,
    outputs_of,
    roles_of,
    value_of,
)
from execution.implementation import Implementation
from execution.layers import Built, Layers
from execution.products import Inapplicable, Products
from execution.ragged import lengths_of, padded
from execution.results import MODES, Counters, Execution, Failure, Results
from execution.symbols import cloned, cut, handed_on, saved_and_loaded, symbolic_inputs
from execution.tracing import Calls, of_masks
from execution.training import Models

__all__ = ["MODES", "Counters", "Execution", "Failure", "Misplaced", "Results", "Runner"]


_RAISED = re.compile(r"\w+(Error|Exception): ")
# What stands around the line that says what is wrong.
_FRAME = re.compile(r"(\w+(Error|Exception): )?Exception encountered when |in user code:")


class Misplaced(Exception):
    """An output lies on another device than the one under test: what was tested is not known."""


class Runner:
    """Runs steps on one implementation; layers and traces are kept until `forget`."""

    def __init__(self, implementation: Implementation, execution: Execution) -> None:
        self.implementation = implementation
        self.execution = execution
        self.counters = Counters()
        self._layers = Layers(implementation, self.counters)
        self._calls = Calls(implementation, self.counters)
        self._products = Products(implementation, execution.mode, self.counters)
        self._symbols: list[Any] = []
        self._models = Models(implementation, execution.mode, self.counters)
        self._tf = implementation.tensorflow
        self._device = "/" + execution.device

    def forget(self) -> None:
        """Drop all layers and traces, so that memory stays flat from layer to layer."""
        self.drop()
        self.implementation.clear_session()

    def drop(self) -> None:
        """Let go of all layers and traces; the session, which runners share, is left to others."""
        self._layers.clear()
        self._products.clear()
        self._symbols.clear()
        self._models.clear()

    def run(self, steps: tuple[Step, ...]) -> Results:
        """Run the steps in order; a step that needs a failed one fails with it."""
        results = Results({}, {}, self.execution.device)
        scope: dict[str, Built] = {}
        models: dict[str, Any] = {}
        # What Keras warns of is no failure; a run of the suite may have made warnings errors.
        with self._tf.device(self._device), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for step in steps:
                self._run(step, scope, models, results)
        return results

    # -- one step ------------------------------------------------------------------------

    def _run(
        self, step: Step, scope: dict[str, Built], models: dict[str, Any], results: Results
    ) -> None:
        name = step.layer if isinstance(step, ResetState) else step.name
        needed = [*layers_of(step), *(output.step for output in outputs_of(step))]
        for other in needed:
            if other in results.failures:
                results.failures[name] = results.failures[other]
                return
        try:
            if isinstance(step, Build):
                scope[step.name] = self._layers.built(step)
            elif isinstance(step, Define):
                scope[step.name] = self._layers.defined(step)
            elif isinstance(step, Model):
                models[step.name] = self._models.built(step)
            elif isinstance(step, Train):
                results.outputs |= self._models.trained(step, models[step.model])
            elif isinstance(step, Multiply):
                results.outputs[step.name] = self._products.product(step, results.outputs)
            else:
                self._asked(step, scope, results)
        except Misplaced:
            raise
        except Inapplicable as reason:
            results.inapplicable = str(reason)
        except Exception as error:  # whatever a documented call raises is a finding
            if type(error).__name__ == "ResourceExhaustedError":
                raise MemoryError(_said(error)) from error  # the machine's fault, not the layer's
            # What refuses a reset could be built: it is another step than the build of its name.
            step_name = f"{name}.reset" if isinstance(step, ResetState) else name
            moment = self._products.moment if isinstance(step, Multiply) else ""
            results.failures[name] = Failure(step_name, type(error).__name__, _said(error), moment)

    def _asked(
        self,
        step: Call
        | Gradient
        | OutputShape
        | Configuration
        | SymbolicShape
        | SymbolicCall
        | ResetState,
        scope: Mapping[str, Built],
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
        elif isinstance(step, Configuration):
            config = scope[step.layer].layer.get_config()
            results.outputs[step.name] = tuple(
                np.uint8(name in config and config[name] == value)
                for name, value in step.arguments.items()
            )
        elif isinstance(step, SymbolicShape):
            results.outputs[step.name] = self._symbolic(step, scope)
        elif isinstance(step, SymbolicCall):
            self._symbolic_call(step, scope, results)
        else:
            _reset(scope[step.layer].layer)

    # -- calls ---------------------------------------------------------------------------

    def _call(self, step: Call, scope: Mapping[str, Built], results: Results) -> None:
        values = [value_of(leaf, results.outputs) for leaf in leaves_of(step)]
        mode = step.mode or self.execution.mode
        told: list[str]
        if step.method in ("predict", "predict_on_batch"):
            with self.counters.of(step.method):
                given = values[0] if len(values) == 1 else values
                quiet = {"verbose": 0} if step.method == "predict" else {}
                options = {**quiet, **step.kwargs}
                found = getattr(scope[step.layer].layer, step.method)(given, **options)
                arrays = [np.asarray(array) for array in self._tf.nest.flatten(found)]
                told, presence, mask_arrays = [], [False] * len(arrays), []
        elif step.saved or step.cloned or step.cut:
            again: Callable[..., Any]
            if step.saved:
                what = f"save and load {step.saved}"
                again = functools.partial(saved_and_loaded, file=step.saved)
            else:
                what, again = ("clone", cloned) if step.cloned else ("cut", cut)
            with self.counters.of(what):
                inputs, outputs, _ = self._on_symbols(step, scope, results)
                model = again(self.implementation, inputs, outputs)
                tensors = self._tf.nest.flatten(model([self._tensor(v) for v in values]))
                masks = [getattr(tensor, "_keras_mask", None) for tensor in tensors]
                told = []
                presence = [mask is not None for mask in masks]
                arrays = self._hand_back(tensors)
                mask_arrays = [np.asarray(mask) for mask in masks if mask is not None]
        elif mode == "eager" or step.method:
            with self.counters.of("eager call"):
                with warnings.catch_warnings(record=True) as warned:
                    warnings.simplefilter("always")
                    tensors, masks = self._calls.apply(
                        step, scope, [self._tensor(v) for v in values]
                    )
                told = of_masks(warned)
                presence = [mask is not None for mask in masks]
                results.outputs[f"{step.name}.lengths"] = tuple(map(lengths_of, tensors))
                results.outputs[f"{step.name}.left"] = tuple(
                    None if mask is None else np.asarray(mask) for mask in self._calls.left
                )
                arrays = self._hand_back(tensors)
                mask_arrays = [np.asarray(padded(mask)) for mask in masks if mask is not None]
        else:
            traced = self._calls.traced(step, scope, values, mode)
            with self.counters.of("traced call"):
                tensors, mask_tensors = traced.function(*map(self._tensor, values))
                arrays = self._hand_back(tensors)
                mask_arrays = [t.numpy() for t in mask_tensors]
            presence, told = traced.masks, traced.told
        results.outputs[step.name] = tuple(arrays)
        results.outputs[f"{step.name}.told"] = (told,)
        rest = iter(mask_arrays)
        results.outputs[f"{step.name}.mask"] = tuple(next(rest) if p else None for p in presence)

    def _gradient(self, step: Gradient, scope: Mapping[str, Built], results: Results) -> None:
        values = [value_of(leaf, results.outputs) for leaf in leaves_of(step.call)]
        values += [np.asarray(where.value()) for where in step.where if where is not None]
        mode = step.call.mode or self.execution.mode
        if mode == "eager":
            with self.counters.of("eager gradient"):
                gradients = self._calls.differentiate(
                    step, scope, [self._tensor(v) for v in values]
                )
        else:
            traced = self._calls.traced(step.call, scope, values, mode, gradient=step)
            with self.counters.of("traced gradient"):
                gradients = traced.function(*map(self._tensor, values))
        results.outputs[step.name] = tuple(self._hand_back(gradients))

    def _hand_back(self, tensors: list[Any]) -> list[np.ndarray]:
        for tensor in tensors:
            if hasattr(tensor, "flat_values"):
                continue  # most kernels for ragged tensors are there for CPUs alone
            # TensorFlow quietly places elsewhere what it cannot place as asked.
            if tensor.dtype.is_floating and not tensor.device.lower().endswith(self._device[1:]):
                raise Misplaced(f"asked for {self._device}, got an output on {tensor.device}")
        return [np.asarray(padded(tensor)) for tensor in tensors]

    def _tensor(self, value: np.ndarray) -> Any:
        return self._tf.constant(value)

    # -- the other steps -----------------------------------------------------------------

    def _symbolic(self, step: SymbolicShape, scope: Mapping[str, Built]) -> tuple[Any, ...]:
        symbolic = self.implementation.keras.Input(shape=step.shape, batch_size=step.batch)
        with self.counters.of("symbolic call"):
            return tuple(_flat_shapes(_shapes(scope[step.layer].layer(symbolic))))

    def _symbolic_call(
        self, step: SymbolicCall, scope: Mapping[str, Built], results: Results
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
        self, call: Call, scope: Mapping[str, Built], results: Results
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """Symbolic inputs for the arrays of a call, the outputs of it, and their masks."""
        build = scope[call.layer].build
        values = [value_of(leaf, results.outputs) for leaf in leaves_of(call)]
        inputs = symbolic_inputs(self.implementation, values, roles_of(call), build)
        if call.cut:
            inputs = handed_on(self.implementation, inputs)
        found = (inputs, *self._calls.apply(call, scope, inputs))
        self._symbols.append(found)  # Keras tells symbolic tensors apart by their address
        return found


# -- where Keras 2 and 3 say the same thing in two ways --------------------------------------


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
    text = re.sub(r'^( *)File ".*", line \d+.*\n(\1 +.*\n)?', "", text, flags=re.MULTILINE)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not _FRAME.match(line)] or lines
    if not lines:
        return "no message"
    node = next((place for place, line in enumerate(lines) if "{{node" in line), 0)
    if lines[0].startswith("Graph execution error") and node:
        return lines[node - lines[node].startswith("[[")][:300]
    raised = [line for line in lines if _RAISED.match(line)]
    return (raised[-1].split(": ", 1)[1] if raised else lines[0])[:300]
