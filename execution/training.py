"""Compiles small models and trains or evaluates them: built once, given many batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from catalogue import weights as drawn_weights
from catalogue.specs import Spec
from catalogue.training_cases import TRAINS
from catalogue.training_steps import Given, Measure, Model, Train
from execution.implementation import Implementation, variable_of
from execution.results import Counters

__all__ = ["Models"]


@dataclasses.dataclass
class _Compiled:
    """A live model, the loss that it is compiled with, and its traced steps."""

    model: Any
    loss: Any
    step: Model
    primed: bool = False
    traces: dict[Any, Callable[..., Any]] = dataclasses.field(default_factory=dict)


class Models:
    """The models that a runner has compiled so far; they and their traces are kept."""

    def __init__(self, implementation: Implementation, mode: str, counters: Counters) -> None:
        self.implementation, self.mode, self.counters = implementation, mode, counters
        self._models: dict[Any, _Compiled] = {}
        self._tf = implementation.tensorflow

    def clear(self) -> None:
        """Drop all models."""
        self._models.clear()

    # -- the model -----------------------------------------------------------------------

    def built(self, step: Model) -> _Compiled:
        """The compiled model, with its weights at the start and no metrics seen."""
        measures = (step.loss, *step.metrics, None, *step.weighted_metrics)
        key = (tuple(spec.key for spec in step.layers), step.rest, step.masked, repr(measures))
        compiled = self._models.get(key)
        if compiled is None:
            with self.counters.of("compile"):
                compiled = self._models[key] = self._compiled(step)
        compiled.step = step
        return compiled

    def _compiled(self, step: Model) -> _Compiled:
        keras = self.implementation.keras
        inputs: Any = keras.Input((None, *step.rest))
        tensor = inputs
        if step.masked:
            inputs = [inputs, keras.Input((None,), dtype="bool")]
            tensor = self.implementation.layer_class("Travelling")()(inputs)
        for spec in step.layers:
            tensor = self._layer(spec)(tensor)
        model = self.implementation.overrides.get("Model", keras.Model)(inputs, tensor)
        loss = self._measure(step.loss)
        model.compile(
            optimizer=keras.optimizers.SGD(1.0),
            loss=loss,
            metrics=[self._measure(one) for one in step.metrics],
            weighted_metrics=[self._measure(one) for one in step.weighted_metrics],
            run_eagerly=self.mode == "eager",
            jit_compile=self.mode == "xla",
        )
        return _Compiled(model, loss, step)

    def _layer(self, spec: Spec) -> Any:
        return self.implementation.layer_class(spec.layer)(**spec.arguments)

    def _measure(self, measure: Measure) -> Any:
        override = self.implementation.overrides.get(f"{measure.kind}.{measure.name}")
        module = getattr(self.implementation.keras, measure.kind)
        found = override or getattr(module, measure.name)
        if measure.function:
            return found
        # A tuple stands for a list, as in specs of layers.
        arguments = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in measure.arguments.items()
        }
        return found(**arguments)

    # -- what is done with it ------------------------------------------------------------

    def trained(self, step: Train, compiled: _Compiled) -> dict[str, tuple[Any, ...]]:
        """What a step hands back, by name."""
        model = compiled.model
        shapes = [tuple(weight.shape) for weight in model.weights]
        drawn = drawn_weights.drawn(compiled.step.weights, shapes)
        for weight, value in zip(model.weights, drawn, strict=True):
            weight.assign(value)
        model.reset_metrics()
        state: list[Any] = []
        if step.way == "custom loop":
            losses = []
            for given in step.given:
                loss, gradients = self._traced(compiled, step, given)(*self._tensors(given))
                losses.append(np.asarray(loss))
                state += [np.asarray(gradient) for gradient in gradients]
            return {step.name: tuple(losses), f"{step.name}.state": tuple(state)}
        if step.way in ("train step", "test step"):
            logs: Mapping[str, Any] = {}
            for given in step.given:
                logs = self._traced(compiled, step, given)(*self._tensors(given))
        else:
            with self.counters.of(step.way):
                logs = self._called(compiled.model, step)
        numbers = {name: np.asarray(value) for name, value in logs.items()}
        if step.way in TRAINS:
            state = [np.asarray(weight) for weight in model.weights]
        loss = numbers.pop("loss")
        return {
            step.name: (loss,),
            f"{step.name}.metric": tuple(numbers.values()),
            f"{step.name}.state": tuple(state),
        }

    def _called(self, model: Any, step: Train) -> Mapping[str, Any]:
        """Call a method of the model, on the arrays of the only batch or on a dataset."""
        options: dict[str, Any] = {}
        if step.class_weight:
            options["class_weight"] = dict(enumerate(step.class_weight))
        if step.way in ("train_on_batch", "test_on_batch"):
            (given,) = step.given
            inputs, labels, *weights = _structured(given, [a.value() for a in given.arrays()])
            if weights:
                options["sample_weight"] = weights[0]
            inputs = list(inputs) if isinstance(inputs, tuple) else inputs
            found: Mapping[str, Any] = getattr(model, step.way)(
                inputs, labels, return_dict=True, **options
            )
            return found
        data = self._dataset(step.given)
        if step.way == "evaluate":
            found = model.evaluate(data, verbose=0, return_dict=True)
            return found
        history = model.fit(data, verbose=0, shuffle=False, **options).history
        return {name: values[-1] for name, values in history.items()}

    def _dataset(self, given: tuple[Given, ...]) -> Any:
        """The batches as a `tf.data.Dataset`, of sizes that are not known."""
        values = [_structured(one, [a.value() for a in one.arrays()]) for one in given]
        specs = _structured(given[0], self._specs(given[0]))
        data = self._tf.data
        found = data.Dataset.from_generator(lambda: iter(values), output_signature=specs)
        # Else training warns at the end that there was no more data.
        return found.apply(data.experimental.assert_cardinality(len(values)))

    def _specs(self, given: Given) -> list[Any]:
        values = [np.asarray(array.value()) for array in given.arrays()]
        return [
            self._tf.TensorSpec((*[None] * min(2, value.ndim), *value.shape[2:]), value.dtype)
            for value in values
        ]

    def _tensors(self, given: Given) -> list[Any]:
        return [self._tf.constant(array.value()) for array in given.arrays()]

    # -- traced steps --------------------------------------------------------------------

    def _traced(self, compiled: _Compiled, step: Train, given: Given) -> Callable[..., Any]:
        """A step of the model, traced once for batches of any size."""
        specs = self._specs(given)
        key = (step.way, given.mask is None, given.weights is None, repr(specs))
        found = compiled.traces.get(key)
        if found is None:
            if not compiled.primed:
                self._prime(compiled, given, specs)
            function = self._step_of(compiled, step, given)
            with self.counters.of("trace"):
                if self.mode != "eager":
                    function = self._tf.function(
                        function,
                        input_signature=specs,
                        autograph=False,
                        jit_compile=True if self.mode == "xla" else None,
                    )
            found = compiled.traces[key] = function
        return found

    def _step_of(self, compiled: _Compiled, step: Train, given: Given) -> Callable[..., Any]:
        model, tf = compiled.model, self._tf

        def looped(*tensors: Any) -> Any:
            inputs, labels, *weights = _structured(given, list(tensors))
            with tf.GradientTape() as tape:
                loss = compiled.loss(labels, model(inputs, training=True), *weights)
            return loss, tape.gradient(loss, [variable_of(w) for w in model.trainable_weights])

        def stepped(*tensors: Any) -> Any:
            data = _structured(given, list(tensors))
            return model.train_step(data) if step.way == "train step" else model.test_step(data)

        return looped if step.way == "custom loop" else stepped

    def _prime(self, compiled: _Compiled, given: Given, specs: list[Any]) -> None:
        """Have the model make all its variables: a traced step could not."""
        zeros = [
            self._tf.zeros([1 if size is None else size for size in spec.shape], spec.dtype)
            for spec in specs
        ]
        model = compiled.model
        with self.counters.of("prime"):
            model.optimizer.build(model.trainable_variables)
            model.test_step(_structured(given, zeros))
            model.reset_metrics()
        compiled.primed = True


def _structured(given: Given, arrays: list[Any]) -> tuple[Any, ...]:
    """Inputs (with their mask, where there is one), labels, and weights where there are some."""
    rest = iter(arrays)
    inputs = next(rest)
    if given.mask is not None:
        inputs = (inputs, next(rest))
    return (inputs, *rest)
