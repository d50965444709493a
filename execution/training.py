"""Compiles small models and trains or evaluates them: built once, given many batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from catalogue import weights as drawn_weights
from catalogue.custom_measures import CUSTOM_MEASURES, PADDED
from catalogue.specs import Spec
from catalogue.training_cases import LOOPS, TRAINS
from catalogue.training_steps import Batch, Head, Measure, Model, Train
from execution.implementation import Implementation, variable_of
from execution.results import Counters

__all__ = ["Models"]


@dataclasses.dataclass
class _Compiled:
    """A live model, the losses that it is compiled with, its weights, and its traced steps.

    Weights stand output by output, in the order of the step's heads.
    """

    model: Any
    losses: list[Any]
    weights: list[Any]
    step: Model
    primed: bool = False
    traces: dict[Any, Callable[..., Any]] = dataclasses.field(default_factory=dict)


class Models:
    """The models that a runner has compiled so far; they and their traces are kept."""

    def __init__(self, implementation: Implementation, mode: str, counters: Counters) -> None:
        self.implementation, self.mode, self.counters = implementation, mode, counters
        self._models: dict[Any, _Compiled] = {}
        self._tf = implementation.tensorflow
        self._names: dict[str, Any] = {
            "keras": implementation.keras,
            "tf": self._tf,
            "np": np,
            "__name__": "custom_measures",
        }
        for text in (*CUSTOM_MEASURES.values(), PADDED):
            exec(text, self._names)  # our own text only

    def clear(self) -> None:
        """Drop all models."""
        self._models.clear()

    # -- the model -----------------------------------------------------------------------

    def built(self, step: Model) -> _Compiled:
        """The compiled model, with its weights at the start and no metrics seen."""
        key = (repr(step.heads), step.nest, step.loss_weights)
        compiled = self._models.get(key)
        if compiled is None:
            with self.counters.of("compile"):
                compiled = self._models[key] = self._compiled(step)
        compiled.step = step
        return compiled

    def _compiled(self, step: Model) -> _Compiled:
        keras = self.implementation.keras
        inputs: list[Any] = []
        outputs, weights = [], []
        for name, head in zip(step.names, step.heads, strict=True):
            tensor = keras.Input((None, *head.rest))
            inputs.append(tensor)
            if head.masked:
                inputs.append(keras.Input((None,), dtype="bool"))
                tensor = self.implementation.layer_class("Travelling")()(inputs[-2:])
            layer: Any = None
            for spec in _named(head, name if len(step.heads) > 1 else ""):
                layer = self._layer(spec)
                tensor = layer(tensor)
            outputs.append(tensor)
            weights += layer.weights
        several = len(step.heads) > 1
        model = self.implementation.overrides.get("Model", keras.Model)(
            inputs if len(inputs) > 1 else inputs[0], outputs if several else outputs[0]
        )
        losses = [self._measure(head.loss) for head in step.heads]
        options: dict[str, Any] = {}
        if several and step.loss_weights:
            options["loss_weights"] = _nested(step, list(step.loss_weights), list)
        model.compile(
            optimizer=keras.optimizers.SGD(1.0),
            loss=_nested(step, losses, list),
            metrics=self._measures(step, [head.metrics for head in step.heads]),
            weighted_metrics=self._measures(step, [head.weighted_metrics for head in step.heads]),
            run_eagerly=self.mode == "eager",
            jit_compile=self.mode == "xla",
            **options,
        )
        return _Compiled(model, losses, weights, step)

    def _layer(self, spec: Spec) -> Any:
        return self.implementation.layer_class(spec.layer)(**spec.arguments)

    def _measures(self, step: Model, measures: list[tuple[Measure, ...]]) -> Any:
        if not any(measures):
            return None
        return _nested(step, [[self._measure(one) for one in each] for each in measures], list)

    def _measure(self, measure: Measure) -> Any:
        override = self.implementation.overrides.get(f"{measure.kind}.{measure.name}")
        module = getattr(self.implementation.keras, measure.kind)
        if measure.given_as == "name":
            return override or measure.name
        found = override or self._names.get(measure.name) or getattr(module, measure.name)
        if measure.given_as == "function":
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
        try:
            return self._trained(step, compiled)
        except Exception:
            if len(compiled.step.heads) > 1:  # Keras leaves a model half compiled behind
                compiled.__dict__.update(vars(self._compiled(compiled.step)))
            raise

    def _plain(self, value: Any) -> np.ndarray:
        """A number as an array: of a scalar of bfloat16 NumPy makes nothing."""
        narrow = getattr(value, "dtype", None) == self._tf.bfloat16
        return np.asarray(self._tf.cast(value, "float32") if narrow else value)

    def _trained(self, step: Train, compiled: _Compiled) -> dict[str, tuple[Any, ...]]:
        model = compiled.model
        shapes = [tuple(weight.shape) for weight in compiled.weights]
        drawn = drawn_weights.drawn(compiled.step.weights, shapes)
        for weight, value in zip(compiled.weights, drawn, strict=True):
            weight.assign(value)
        model.reset_metrics()
        state: list[Any] = []
        if step.way in LOOPS:
            losses = []
            for batch in step.given:
                loss, gradients = self._traced(compiled, step, batch)(*self._tensors(batch))
                losses.append(self._plain(loss))
                state += [np.asarray(gradient) for gradient in gradients]
            return {step.name: tuple(losses), f"{step.name}.state": tuple(state)}
        if step.way in ("train step", "test step"):
            logs: Mapping[str, Any] = {}
            for batch in step.given:
                logs = self._traced(compiled, step, batch)(*self._tensors(batch))
        else:
            with self.counters.of(step.way):
                logs = self._called(compiled, step)
        numbers = {name: self._plain(value) for name, value in logs.items()}
        if step.way in TRAINS:
            state = [np.asarray(weight) for weight in compiled.weights]
        loss = numbers.pop("loss")
        each: list[Any] = []
        if len(compiled.step.heads) > 1:
            names = compiled.step.names
            each = [numbers.pop(f"{name}_loss") for name in names if f"{name}_loss" in numbers]
        return {
            step.name: (loss,),
            f"{step.name}.each": tuple(each),
            f"{step.name}.metric": tuple(numbers[name] for name in _in_order(numbers)),
            f"{step.name}.state": tuple(state),
        }

    def _called(self, compiled: _Compiled, step: Train) -> Mapping[str, Any]:
        """Call a method of the model, on the arrays of the only batch or on a dataset."""
        model = compiled.model
        options: dict[str, Any] = {}
        if step.class_weight:
            options["class_weight"] = dict(enumerate(step.class_weight))
        if step.way in ("train_on_batch", "test_on_batch"):
            (batch,) = step.given
            arrays = [array.value() for given in batch for array in given.arrays()]
            inputs, labels, *weights = _structured(compiled.step, batch, arrays, list)
            if weights:
                options["sample_weight"] = weights[0]
            found: Mapping[str, Any] = getattr(model, step.way)(
                inputs, labels, return_dict=True, **options
            )
            return found
        data = self._dataset(compiled.step, step)
        if step.way.endswith("evaluate"):
            found = model.evaluate(data, verbose=0, return_dict=True)
            return found
        history = model.fit(data, verbose=0, shuffle=False, **options).history
        return {name: values[-1] for name, values in history.items()}

    def _dataset(self, model: Model, step: Train) -> Any:
        """The batches as a `tf.data.Dataset`, of sizes that are not known, or padded by it."""
        data = self._tf.data
        batches = step.given
        if step.way.startswith("padded") and all(one.lengths for batch in batches for one in batch):
            found: Any = None
            for batch in batches:
                each = [
                    self._names["padded"](
                        one.lengths,
                        *(a.value() for a in one.arrays()),
                        whole=one.without_steps(head),
                    )
                    for head, one in zip(model.heads, batch, strict=True)
                ]
                zipped = data.Dataset.zip(tuple(each))
                one = zipped.map(
                    lambda *heads, batch=batch: _structured(
                        model, batch, self._tf.nest.flatten(heads), tuple
                    )
                )
                found = one if found is None else found.concatenate(one)
        else:
            values = [
                _structured(model, one, [a.value() for g in one for a in g.arrays()], tuple)
                for one in batches
            ]
            specs = _structured(model, batches[0], self._specs(model, batches[0]), tuple)
            found = data.Dataset.from_generator(lambda: iter(values), output_signature=specs)
        # Else training warns at the end that there was no more data.
        return found.apply(data.experimental.assert_cardinality(len(batches)))

    def _specs(self, model: Model, batch: Batch) -> list[Any]:
        found = []
        for head, given in zip(model.heads, batch, strict=True):
            whole = given.without_steps(head)
            for place, array in enumerate(given.arrays()):
                value = np.asarray(array.value())
                unknown = min(value.ndim, 1 if place in whole else 2)
                shape = (*[None] * unknown, *value.shape[unknown:])
                found.append(self._tf.TensorSpec(shape, value.dtype))
        return found

    def _tensors(self, batch: Batch) -> list[Any]:
        return [self._tf.constant(array.value()) for given in batch for array in given.arrays()]

    # -- traced steps --------------------------------------------------------------------

    def _traced(self, compiled: _Compiled, step: Train, batch: Batch) -> Callable[..., Any]:
        """A step of the model, traced once for batches of any size."""
        specs = self._specs(compiled.step, batch)
        there = tuple((given.mask is None, given.weights is None) for given in batch)
        key = (step.way, there, repr(specs))
        found = compiled.traces.get(key)
        if found is None:
            if not compiled.primed:
                self._prime(compiled, batch, specs)
            function = self._step_of(compiled, step, batch)
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

    def _step_of(self, compiled: _Compiled, step: Train, batch: Batch) -> Callable[..., Any]:
        model, tf = compiled.model, self._tf

        def looped(*tensors: Any) -> Any:
            data = _structured(compiled.step, batch, list(tensors), tuple)
            with tf.GradientTape() as tape:
                predictions = model(data[0], training=True)
                if step.way == "compute_loss":
                    weights = data[2] if len(data) > 2 else None
                    loss = model.compute_loss(*data[:2], predictions, weights)
                else:
                    explicit = step.way == "mask as weights"
                    loss = self._by_hand(compiled, data[1:], predictions, explicit)
            return loss, tape.gradient(loss, [variable_of(w) for w in compiled.weights])

        def stepped(*tensors: Any) -> Any:
            data = _structured(compiled.step, batch, list(tensors), tuple)
            return model.train_step(data) if step.way == "train step" else model.test_step(data)

        return looped if step.way in LOOPS else stepped

    def _by_hand(
        self, compiled: _Compiled, data: tuple[Any, ...], predictions: Any, explicit: bool
    ) -> Any:
        """The losses of all outputs, called one by one; with the mask among the weights."""
        flat, names = self._tf.nest.flatten(predictions), compiled.step.names
        weights = _flat(data[1], names) if len(data) > 1 else [None] * len(flat)
        total: Any = 0.0
        for place, label in enumerate(_flat(data[0], names)):
            prediction, weight = flat[place], weights[place]
            if explicit:
                mask = getattr(prediction, "_keras_mask", None)
                prediction = self._tf.identity(prediction)
                if mask is not None:
                    mask = self._tf.cast(mask, "float32")
                    if weight is not None and len(weight.shape) == 1:
                        weight = weight[:, None]  # one of a row
                    weight = mask if weight is None else mask * weight
            given = () if weight is None else (weight,)
            loss = compiled.losses[place](label, prediction, *given)
            if len(flat) == 1:
                return loss
            factors = compiled.step.loss_weights
            total = total + (factors[place] * loss if factors else loss)
        return total

    def _prime(self, compiled: _Compiled, batch: Batch, specs: list[Any]) -> None:
        """Have the model make all its variables: a traced step could not."""
        zeros = [
            self._tf.zeros([1 if size is None else size for size in spec.shape], spec.dtype)
            for spec in specs
        ]
        model = compiled.model
        with self.counters.of("prime"):
            model.optimizer.build(model.trainable_variables)
            # Without weights: a custom loop is to run where these are refused.
            model.test_step(_structured(compiled.step, batch, zeros, tuple)[:2])
            model.reset_metrics()
        compiled.primed = True


def _named(head: Head, name: str) -> list[Spec]:
    """The layers of an output, the last one of this name."""
    *before, last = head.layers
    return [*before, last.replace(name=name) if name else last]


def _nested(model: Model, items: list[Any], sequence: Callable[[Any], Any]) -> Any:
    """Something for each output as `compile` and `fit` take it; of one output alone, itself."""
    if len(items) == 1:
        return items[0]
    return dict(zip(model.names, items, strict=True)) if model.nest == "dict" else sequence(items)


def _flat(nested: Any, names: tuple[str, ...]) -> list[Any]:
    """What `_nested` nested."""
    if isinstance(nested, dict):
        return [nested[name] for name in names]
    return list(nested) if isinstance(nested, list | tuple) else [nested]


def _in_order(numbers: Mapping[str, Any]) -> list[str]:
    """The names of metrics, those of the first output first: versions differ in their order."""
    return sorted(numbers, key=lambda name: name.partition("_")[0] if name[1:2] == "_" else "")


def _structured(
    model: Model, batch: Batch, arrays: list[Any], sequence: Callable[[Any], Any]
) -> tuple[Any, ...]:
    """Inputs (with their masks, where there are some), labels, and weights where there are some.

    What is several is a list, or a tuple where a dataset gives it.
    """
    rest = iter(arrays)
    inputs, labels, weights = [], [], []
    for given in batch:
        inputs.append(next(rest))
        if given.mask is not None:
            inputs.append(next(rest))
        labels.append(next(rest))
        weights.append(None if given.weights is None else next(rest))
    first = inputs[0] if len(inputs) == 1 else sequence(inputs)
    found = (first, _nested(model, labels, sequence))
    if all(one is None for one in weights):
        return found
    return (*found, _nested(model, weights, sequence))
