"""What models are given: arrays in their structure, and datasets of batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from catalogue.custom_measures import BATCHES, PADDED
from catalogue.training_steps import Batch, Model, Train

__all__ = ["Datasets", "flat", "nested", "parted", "specs_of", "structured", "values_of"]


def nested(model: Model, items: list[Any], sequence: Callable[[Any], Any]) -> Any:
    """Something for each output as `compile` and `fit` take it; of one output alone, itself."""
    if len(items) == 1:
        return items[0]
    return sequence(items) if model.nest == "list" else dict(zip(model.names, items, strict=True))


def flat(items: Any, names: tuple[str, ...]) -> list[Any]:
    """What `nested` nested."""
    if isinstance(items, dict):
        return [items[name] for name in names]
    return list(items) if isinstance(items, list | tuple) else [items]


def structured(
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
    found = (first, nested(model, labels, sequence))
    if all(one is None for one in weights):
        return found
    if any(given.for_all for given in batch):
        (weights,) = ([one] for one in weights if one is not None)
    return (*found, nested(model, weights, sequence))


def specs_of(tensorflow: Any, model: Model, batch: Batch) -> list[Any]:
    """What is known of the shapes of a batch's arrays before it comes: no rows and no steps."""
    found = []
    for head, given in zip(model.heads, batch, strict=True):
        whole = given.without_steps(head)
        for place, array in enumerate(given.arrays()):
            value = np.asarray(array.value())
            unknown = min(value.ndim, 1 if place in whole else 2)
            shape = (*[None] * unknown, *value.shape[unknown:])
            found.append(tensorflow.TensorSpec(shape, value.dtype))
    return found


class Datasets:
    """Makes datasets of batches: of sizes that are not known, or of rows that they pad.

    No function is part of them, but where nobody shall know their number: each would be traced, and
    each iterator makes it ready again.
    """

    def __init__(self, tensorflow: Any, keras: Any = None) -> None:
        self._tf = tensorflow
        self._names: dict[str, Any] = {"tf": tensorflow, "np": np, "keras": keras}
        exec(PADDED, self._names)  # our own text only

    def of(self, model: Model, step: Train, batches: tuple[Batch, ...]) -> Any:
        """The batches, padded by the dataset where the step has them so."""
        if step.form == "generator":
            return (structured(model, batch, values_of(batch), tuple) for batch in batches)
        if step.form == "PyDataset":
            if "Batches" not in self._names:
                exec(BATCHES, self._names)  # our own text only
            return self._names["Batches"](
                [structured(model, batch, values_of(batch), tuple) for batch in batches]
            )
        padded = step.way.startswith("padded")
        if padded and all(one.lengths for batch in batches for one in batch):
            found, *others = (self._padded(model, batch) for batch in batches)
        elif step.form == "uncounted":
            found, *others = self._each(model, batches)
        else:
            found, *others = self._whole(model, batches)
        for one in others:
            found = found.concatenate(one)
        return found.filter(lambda *batch: True) if step.form == "uncounted" else found

    def _whole(self, model: Model, batches: tuple[Batch, ...]) -> Iterator[Any]:
        """A dataset for each batch, and before them an empty one of other sizes: none is known."""
        data = self._tf.data.Dataset
        specs = specs_of(self._tf, model, batches[0])
        others = [
            np.zeros(
                [size + (known is None) for size, known in zip(shape, spec.shape, strict=True)]
            )
            for shape, spec in zip(map(np.shape, values_of(batches[0])), specs, strict=True)
        ]
        typed = [
            other.astype(spec.dtype.as_numpy_dtype)
            for other, spec in zip(others, specs, strict=True)
        ]
        yield data.from_tensors(structured(model, batches[0], typed, tuple)).take(0)
        yield from self._each(model, batches)

    def _each(self, model: Model, batches: tuple[Batch, ...]) -> Iterator[Any]:
        """A dataset for each batch, of the sizes that it has."""
        for batch in batches:
            arrays = structured(model, batch, values_of(batch), tuple)
            yield self._tf.data.Dataset.from_tensors(arrays)

    def _padded(self, model: Model, batch: Batch) -> Any:
        """Rows of their own lengths, padded to those of their batch."""
        lengths: list[tuple[int, ...] | None] = []
        for head, one in zip(model.heads, batch, strict=True):
            whole = one.without_steps(head)
            lengths += [
                None if place in whole or np.ndim(array.value()) < 2 else one.lengths
                for place, array in enumerate(one.arrays())
            ]
        return self._names["padded"](
            lengths, values_of(batch), lambda arrays: structured(model, batch, arrays, tuple)
        )


def values_of(batch: Batch) -> list[np.ndarray]:
    """The arrays of a batch."""
    return [array.value() for given in batch for array in given.arrays()]


def parted(numbers: dict[str, Any], model: Model) -> tuple[Any, tuple[Any, ...], tuple[Any, ...]]:
    """The loss, that of each of several outputs, and the metrics."""
    loss = numbers.pop("loss")
    names = [f"{name}_loss" for name in model.names if len(model.heads) > 1]
    each = tuple(numbers.pop(name) for name in names if name in numbers)
    return loss, each, tuple(numbers[name] for name in _in_order(numbers))


def _in_order(numbers: Mapping[str, Any]) -> list[str]:
    """The names of metrics, those of the first output first: versions differ in their order."""
    return sorted(numbers, key=lambda name: name.partition("_")[0] if name[1:2] == "_" else "")
