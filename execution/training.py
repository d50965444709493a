"""Compiles small models and trains or evaluates them: built once, given many batches."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from catalogue import weights as drawn_weights
from catalogue.custom_measures import CUSTOM_MEASURES
from catalogue.specs import Spec
from catalogue.training_cases import DATASETS, LOOPS, TRAINS
from catalogue.training_steps import TEACHER, Batch, Head, Measure, Model, Train
from execution.implementation import Implementation, variable_of
from execution.products import Inapplicable
from execution.results import Counters
from execution.training_data import Datasets, flat, nested, parted, specs_of, structured, values_of

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
    ranks: tuple[int, ...] | None = None  # of the arrays that its methods were given last
    sound: bool = True  # what Keras fails to trace may leave a model half compiled behind
    holds: int | None = None  # the seed of the weights that it has, where none was updated since
    traces: dict[Any, Callable[..., Any] | Exception] = dataclasses.field(default_factory=dict)


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
        for text in CUSTOM_MEASURES.values():
            exec(text, self._names)  # our own text only
        self._datasets = Datasets(self._tf, implementation.keras)

    def clear(self) -> None:
        """Drop all models."""
        self._models.clear()

    # -- the model -----------------------------------------------------------------------

    def built(self, step: Model) -> _Compiled:
        """The compiled model, with its weights at the start and no metrics seen."""
        key = (
            *(repr(step.heads), step.nest, step.loss_weights),
            *(step.saved, step.compiled, step.distilled),
        )
        compiled = self._models.get(key)
        if compiled is None:
            with self.counters.of("compile"):
                compiled = self._models[key] = self._compiled(step)
        compiled.step = step
        return compiled

    def _compiled(self, step: Model) -> _Compiled:
        keras = self.implementation.keras
        model, lasts = self._network(step)
        if step.distilled is not None:
            model, lasts = self._student(step, model, lasts)
        losses = [self._measure(head.loss) for head in step.heads]
        options = step.options(self.mode)
        if len(step.heads) > 1 and step.loss_weights:
            options["loss_weights"] = nested(step, list(step.loss_weights), list)
        model.compile(
            optimizer=keras.optimizers.SGD(1.0),
            loss=nested(step, losses, list),
            metrics=self._measures(step, [head.metrics for head in step.heads]),
            weighted_metrics=self._measures(step, [head.weighted_metrics for head in step.heads]),
            **options,
        )
        if step.saved:
            with self.counters.of("save and load"):
                model = self._saved_and_loaded(model)
            lasts = [model.get_layer(layer.name) for layer in lasts]
        return _Compiled(model, losses, [one for layer in lasts for one in layer.weights], step)

    def _network(self, step: Model) -> tuple[Any, list[Any]]:
        """The model, not compiled, and the last layer of each of its outputs."""
        keras = self.implementation.keras
        inputs: list[Any] = []
        outputs, lasts = [], []
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
            lasts.append(layer)
        found = nested(step, outputs, list) if step.nest == "dict outputs" else outputs
        model = self.implementation.overrides.get("Model", keras.Model)(
            inputs if len(inputs) > 1 else inputs[0], found if len(outputs) > 1 else outputs[0]
        )
        return model, lasts

    def _student(self, step: Model, student: Any, lasts: list[Any]) -> tuple[Any, list[Any]]:
        """A Distiller of a student, and the student's last layers; the teacher's are of its own."""
        distillation = getattr(self.implementation.keras, "distillation", None)
        if distillation is None:
            raise Inapplicable("there is no Distiller")
        teacher, taught = self._network(step)
        weights = [one for layer in taught for one in layer.weights]
        shapes = [tuple(weight.shape) for weight in weights]
        for weight, value in zip(weights, drawn_weights.drawn(TEACHER, shapes), strict=True):
            weight.assign(value)
        loss = distillation.LogitsDistillation()
        distiller = self.implementation.overrides.get("Distiller", distillation.Distiller)
        return distiller(teacher, student, loss, student_loss_weight=step.distilled), lasts

    def _saved_and_loaded(self, model: Any) -> Any:
        """A compiled model as it comes back from its file."""
        customs = {name: self._names[name] for name in CUSTOM_MEASURES}
        overrides = self.implementation.custom_layers
        customs |= {name.rpartition(".")[2]: one for name, one in overrides.items()}
        keras = self.implementation.keras
        with tempfile.TemporaryDirectory() as folder:
            model.save(f"{folder}/model.keras")
            with keras.utils.custom_object_scope(customs):
                return keras.models.load_model(f"{folder}/model.keras")

    def _layer(self, spec: Spec) -> Any:
        return self.implementation.layer_class(spec.layer)(**spec.arguments)

    def _measures(self, step: Model, measures: list[tuple[Measure, ...]]) -> Any:
        if not any(measures):
            return None
        # An output without any has none in a list, and no name in a dict.
        made = [[self._measure(one) for one in each] or None for each in measures]
        found = nested(step, made, list)
        if isinstance(found, dict):
            return {name: one for name, one in found.items() if one is not None}
        return found

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
        compiled.sound = True
        try:
            return self._trained(step, compiled)
        except Exception:
            if len(compiled.step.heads) > 1 and not compiled.sound:
                failed = {
                    key: one for key, one in compiled.traces.items() if isinstance(one, Exception)
                }
                compiled.__dict__.update(vars(self._compiled(compiled.step)))
                compiled.traces |= failed
            raise

    def _plain(self, value: Any) -> np.ndarray:
        """A number as an array: of a scalar of bfloat16 NumPy makes nothing."""
        narrow = getattr(value, "dtype", None) == self._tf.bfloat16
        return np.asarray(self._tf.cast(value, "float32") if narrow else value)

    def _trained(self, step: Train, compiled: _Compiled) -> dict[str, tuple[Any, ...]]:
        model = compiled.model
        if compiled.holds != compiled.step.weights:
            shapes = [tuple(weight.shape) for weight in compiled.weights]
            drawn = drawn_weights.drawn(compiled.step.weights, shapes)
            for weight, value in zip(compiled.weights, drawn, strict=True):
                weight.assign(value)
        compiled.holds = None if step.way in TRAINS else compiled.step.weights
        if step.way not in (*LOOPS, *DATASETS):  # `fit` and `evaluate` do so by themselves
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
                if step.afresh:
                    model.reset_metrics()
                logs = self._traced(compiled, step, batch)(*self._tensors(batch))
        else:
            compiled.sound = False
            with self.counters.of(step.way):
                logs = self._called(compiled, step)
        numbers = {name: self._plain(value) for name, value in logs.items()}
        if step.way in TRAINS:
            state = [np.asarray(weight) for weight in compiled.weights]
            if not all(np.isfinite(one).all() for one in state):
                self._forget(model.optimizer)
        validation = {
            name.removeprefix("val_"): numbers.pop(name)
            for name in list(numbers)
            if name.startswith("val_")
        }
        loss, each, metrics = parted(numbers, compiled.step)
        found = {
            step.name: (loss,),
            f"{step.name}.each": each,
            f"{step.name}.metric": metrics,
            f"{step.name}.state": tuple(state),
        }
        if validation:
            loss, _, metrics = parted(validation, compiled.step)
            found[f"{step.name}.validation"] = (loss, *metrics)
        return found

    def _forget(self, optimizer: Any) -> None:
        """Take NaN out of an optimizer: plain SGD of Keras 2 multiplies a last update by 0."""
        kept = optimizer.variables
        for one in kept() if callable(kept) else kept:
            value = np.asarray(one)
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                one.assign(self._tf.zeros(value.shape, value.dtype))

    def _called(self, compiled: _Compiled, step: Train) -> Mapping[str, Any]:
        """Call a method of the model, on the arrays of the only batch or on a dataset."""
        model = compiled.model
        ranks = tuple(array.ndim for array in values_of(step.given[0]))
        fresh = compiled.step.compiled == "afresh"
        if fresh or compiled.ranks not in (None, ranks):  # else for any rank, which fails
            model.make_train_function(force=True)
            model.make_test_function(force=True)
        compiled.ranks = ranks
        options: dict[str, Any] = {}
        if step.class_weight:
            options["class_weight"] = step.classes
        if step.way in ("train_on_batch", "test_on_batch"):
            (batch,) = step.given
            method = getattr(model, step.way)
            found: Mapping[str, Any] = {}
            for one in (*step.before, batch):
                inputs, labels, *weights = structured(compiled.step, one, values_of(one), list)
                weighed = {"sample_weight": weights[0]} if weights else {}
                found = method(inputs, labels, return_dict=True, **weighed, **options)
            return found
        if step.epochs > 1:
            options["epochs"] = step.epochs
        if step.split or step.form == "arrays":
            return self._whole(compiled, step, options)
        data = self._datasets.of(compiled.step, step, step.given)
        if step.way.endswith("evaluate"):
            found = model.evaluate(data, verbose=0, return_dict=True)
            return found
        if step.validation:
            options["validation_data"] = self._datasets.of(compiled.step, step, step.validation)
        history = model.fit(data, verbose=0, shuffle=False, **options).history
        return {name: values[-1] for name, values in history.items()}

    def _whole(
        self, compiled: _Compiled, step: Train, options: dict[str, Any]
    ) -> Mapping[str, Any]:
        """Evaluate arrays, or train on their first rows, and validate on the others."""
        (batch,) = step.given
        arrays = values_of(batch)
        inputs, labels, *weights = structured(compiled.step, batch, arrays, list)
        rows, model = len(arrays[0]), compiled.model
        options |= {"sample_weight": weights[0] if weights else None, "batch_size": rows}
        if not step.split:
            found: Mapping[str, Any] = model.evaluate(
                inputs, labels, verbose=0, return_dict=True, **options
            )
            return found
        options["validation_split"] = 1 - (step.split + 0.5) / rows  # cut to whole rows
        history = model.fit(inputs, labels, verbose=0, shuffle=False, **options).history
        return {name: values[-1] for name, values in history.items()}

    def _tensors(self, batch: Batch) -> list[Any]:
        return list(map(self._tf.constant, values_of(batch)))

    # -- traced steps --------------------------------------------------------------------

    def _traced(self, compiled: _Compiled, step: Train, batch: Batch) -> Callable[..., Any]:
        """A step of the model, traced once for batches of any size."""
        specs = specs_of(self._tf, compiled.step, batch)
        there = tuple((one.mask is None, one.weights is None, one.for_all) for one in batch)
        key = (step.way, there, repr(specs), step.eager)
        found = compiled.traces.get(key)
        if found is None:
            compiled.sound = False
            if not compiled.primed:
                self._prime(compiled, batch, specs)
            found = self._step_of(compiled, step, batch)
            # Optimizers of Keras 2 compile each update for XLA where they are called eagerly.
            plain = step.eager and self.implementation.keras_major > 2
            if self.mode != "eager" and not plain:
                with self.counters.of("trace"):
                    found = self._concrete(found, specs)
            compiled.traces[key] = found
        if isinstance(found, Exception):
            raise found
        compiled.sound = not (step.eager or self.mode == "eager")
        return found

    def _concrete(
        self, function: Callable[..., Any], specs: list[Any]
    ) -> Callable[..., Any] | Exception:
        """The traced function, or what tracing it raised: it cannot be traced again either."""
        try:
            traced: Callable[..., Any] = self._tf.function(
                function,
                input_signature=specs,
                autograph=False,
                jit_compile=True if self.mode == "xla" else None,
            ).get_concrete_function()
        except Exception as error:
            return error.with_traceback(None)
        return traced

    def _step_of(self, compiled: _Compiled, step: Train, batch: Batch) -> Callable[..., Any]:
        model, tf = compiled.model, self._tf

        def looped(*tensors: Any) -> Any:
            data = structured(compiled.step, batch, list(tensors), tuple)
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
            data = structured(compiled.step, batch, list(tensors), tuple)
            return model.train_step(data) if step.way == "train step" else model.test_step(data)

        return looped if step.way in LOOPS else stepped

    def _by_hand(
        self, compiled: _Compiled, data: tuple[Any, ...], predictions: Any, explicit: bool
    ) -> Any:
        """The losses of all outputs, called one by one; with the mask among the weights."""
        several, names = self._tf.nest.flatten(predictions), compiled.step.names
        weights = flat(data[1], names) if len(data) > 1 else [None] * len(several)
        total: Any = 0.0
        for place, label in enumerate(flat(data[0], names)):
            prediction, weight = several[place], weights[place]
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
            if len(several) == 1:
                return loss
            loss = self._tf.cast(loss, "float32")  # losses may differ in precision
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
            model.test_step(structured(compiled.step, batch, zeros, tuple)[:2])
            model.reset_metrics()
        compiled.primed = True


def _named(head: Head, name: str) -> list[Spec]:
    """The layers of an output, the last one of this name."""
    *before, last = head.layers
    return [*before, last.replace(name=name) if name else last]
