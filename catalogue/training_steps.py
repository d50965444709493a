"""Steps that compile a small model and train or evaluate it: data that is run or printed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from catalogue.expressions import Expression
from catalogue.specs import Argument, Spec
from catalogue.training_cases import Kind, Way

__all__ = ["Given", "Measure", "Model", "Train"]


@dataclasses.dataclass(frozen=True)
class Measure:
    """A loss or a metric, as `compile` is given it: an object of a class, or a plain function."""

    kind: Kind
    name: str
    arguments: Mapping[str, Argument]
    function: bool = False

    def source(self) -> str:
        """The Keras expression."""
        if self.function:
            return f"keras.{self.kind}.{self.name}"
        return Spec(self.name, dict(self.arguments)).source(f"keras.{self.kind}")


@dataclasses.dataclass(frozen=True)
class Model:
    """Build a model of `layers`, compile it, and give it the weights drawn from a seed.

    Inputs have the shape `(batch, step, *rest)`, batch and step unknown. A `masked` model has the
    mask as a second input, of shape `(batch, step)`, which travels with the first. The optimizer
    is plain SGD of learning rate 1: an update is the gradient.
    """

    name: str
    layers: tuple[Spec, ...]
    rest: tuple[int, ...]
    loss: Measure
    metrics: tuple[Measure, ...] = ()
    weighted_metrics: tuple[Measure, ...] = ()
    masked: bool = False
    weights: int = 0


@dataclasses.dataclass(frozen=True)
class Given:
    """What a model is given of one batch: inputs, their mask, labels, weights of samples."""

    inputs: Expression
    labels: Expression
    mask: Expression | None = None
    weights: Expression | None = None

    def arrays(self) -> list[Expression]:
        """The arrays that are there: inputs, mask, labels, weights."""
        found = (self.inputs, self.mask, self.labels, self.weights)
        return [array for array in found if array is not None]


@dataclasses.dataclass(frozen=True)
class Train:
    """Give a model batches, one after the other; its weights and metrics start afresh.

    Hands back the loss under the step's name, metrics under `<name>.metric`, and under
    `<name>.state` the weights after training, or the gradients of a custom loop. `class_weight`
    are the weights of the classes 0, 1, ... .
    """

    name: str
    model: str
    way: Way
    given: tuple[Given, ...]
    class_weight: tuple[float, ...] = ()
