"""Steps that compile a small model and train or evaluate it: data that is run or printed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from catalogue.custom_measures import CUSTOM_MEASURES
from catalogue.expressions import Expression
from catalogue.specs import Argument, Spec
from catalogue.training_cases import GivenAs, Kind, Nest, Way

__all__ = ["TEACHER", "Batch", "Compiled", "Form", "Given", "Head", "Measure", "Model", "Train"]

Compiled = Literal["", "eagerly", "by XLA", "two batches at once", "afresh"]
"""How a model is compiled: for the mode that it is run in, or otherwise; or so that nothing of it
has been traced."""

TEACHER = 77
"""The seed of the weights of every teacher."""

Form = Literal["dataset", "uncounted", "generator", "PyDataset", "arrays"]
"""How `fit` and `evaluate` are given several batches, or a single one as arrays."""


@dataclasses.dataclass(frozen=True)
class Measure:
    """A loss or a metric, as `compile` is given it: an object, a function, or the name of one."""

    kind: Kind
    name: str
    arguments: Mapping[str, Argument]
    given_as: GivenAs = "object"

    def source(self) -> str:
        """The Keras expression."""
        if self.given_as == "name":
            return repr(self.name)
        custom = self.name in CUSTOM_MEASURES
        if self.given_as == "function":
            return self.name if custom else f"keras.{self.kind}.{self.name}"
        text = Spec(self.name, dict(self.arguments)).source(f"keras.{self.kind}")
        return text.removeprefix(f"keras.{self.kind}.") if custom else text


@dataclasses.dataclass(frozen=True)
class Head:
    """One output of a model: the layers that lead to it, and what it is compiled with.

    The input has the shape `(batch, step, *rest)`, batch and step unknown. A `masked` one has a
    mask beside it, of shape `(batch, step)`, which travels with it. The last layer has the weights,
    and gives the output its name.
    """

    layers: tuple[Spec, ...]
    rest: tuple[int, ...]
    loss: Measure
    metrics: tuple[Measure, ...] = ()
    weighted_metrics: tuple[Measure, ...] = ()
    masked: bool = False


@dataclasses.dataclass(frozen=True)
class Model:
    """Build a model of some outputs, compile it, and give it the weights drawn from a seed.

    The optimizer is plain SGD of learning rate 1: an update is the gradient. Several outputs are
    spoken of by place or by name (`nest`), and called `a`, `b`, ... ; their losses are weighed by
    `loss_weights`, where there are any. A `saved` model is one that was saved and loaded since.
    A model may be `compiled` otherwise than for the mode that it is run in. A `distilled` one is
    the student of a Distiller, which weighs the student's own loss by this number, and by the rest
    to one how far it is from a teacher of the same layers and other weights.
    """

    name: str
    heads: tuple[Head, ...]
    weights: int = 0
    nest: Nest = "list"
    loss_weights: tuple[float, ...] = ()
    saved: bool = False
    compiled: Compiled = ""
    distilled: float | None = None

    def options(self, mode: str) -> dict[str, Any]:
        """What `compile` is told of how to run."""
        if self.compiled == "by XLA":
            return {"jit_compile": True}
        if mode == "eager" or self.compiled == "eagerly":
            return {"run_eagerly": True}
        several = {"steps_per_execution": 2} if self.compiled == "two batches at once" else {}
        return {"jit_compile": mode == "xla", **several}

    @property
    def names(self) -> tuple[str, ...]:
        """What the outputs are called."""
        return tuple("abcdefgh"[: len(self.heads)])


@dataclasses.dataclass(frozen=True)
class Given:
    """What an output is given of one batch: inputs, their mask, labels, weights of samples.

    `lengths` are those of the rows, where a pipeline shall pad them. Weights may be `for_all`
    outputs, as the single array that is given: others have none then.
    """

    inputs: Expression
    labels: Expression
    mask: Expression | None = None
    weights: Expression | None = None
    lengths: tuple[int, ...] = ()
    for_all: bool = False

    def arrays(self) -> list[Expression]:
        """The arrays that are there: inputs, mask, labels, weights."""
        found = (self.inputs, self.mask, self.labels, self.weights)
        return [array for array in found if array is not None]

    def without_steps(self, head: Head) -> list[int]:
        """The places of the arrays that have no steps: labels and weights of a row as a whole."""
        if not any(spec.layer == "MaskedSum" for spec in head.layers):
            return []
        whole = (self.labels, self.weights)
        return [place for place, array in enumerate(self.arrays()) if array in whole]


Batch = tuple[Given, ...]
"""What a model is given of one batch: for each of its outputs, in their order."""


@dataclasses.dataclass(frozen=True)
class Train:
    """Give a model batches, one after the other; its weights and metrics start afresh.

    Hands back the loss under the step's name, metrics under `<name>.metric`, and under
    `<name>.state` the weights after training, or the gradients of a custom loop; where there are
    several outputs, the loss of each under `<name>.each`, and all of it in their order.
    `class_weight` are the weights of the classes 0, 1, ..., of which some may be left out.

    An `eager` step is run as it is, whatever the mode: tracing it would cost more than its batches.
    Metrics of several batches are of all of them, or of the last one where they start `afresh` with
    each. `fit` may go through the batches `epochs` times, and hands back what the last one gave;
    with `validation` batches it gives under `<name>.validation` their loss, and then their metrics.
    With a `split` the only batch is given as arrays: so many rows to train on, and the others for
    validation. Batches come as a dataset of known number and unknown sizes, or in another `form`:
    `uncounted` is one of known sizes and unknown number; as `arrays` there is one batch. What was
    given `before` to the same method of a single batch shall be forgotten.
    """

    name: str
    model: str
    way: Way
    given: tuple[Batch, ...]
    class_weight: tuple[float | None, ...] = ()
    eager: bool = False
    afresh: bool = False
    epochs: int = 1
    validation: tuple[Batch, ...] = ()
    split: int = 0
    form: Form = "dataset"
    before: tuple[Batch, ...] = ()

    @property
    def classes(self) -> dict[int, float]:
        """The weights of classes as methods take them."""
        return {k: weight for k, weight in enumerate(self.class_weight) if weight is not None}
