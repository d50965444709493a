"""Cases of training under masks, and the entry that describes a loss or a metric."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
import numpy as np

from catalogue.cases import Content, RaggedBatch
from catalogue.custom_measures import CUSTOM_MEASURES
from catalogue.specs import Argument

__all__ = [
    "DATASETS",
    "LOOPS",
    "TRAINS",
    "GivenAs",
    "Kind",
    "MaskWay",
    "MeasureEntry",
    "Nest",
    "SampleWeight",
    "TrainingCase",
    "Varied",
    "Way",
    "split_apart",
    "without_axis",
]

Kind = Literal["losses", "metrics"]
# How a model comes to know of masked steps: its output carries the mask, made by a layer of its
# own or by `Masking`, or they have a sample weight of 0; or it has none.
MaskWay = Literal["travelling", "masking", "weights", "absent"]
SampleWeight = Literal["absent", "rows", "steps"]
# The first five are traced once, for sizes that are not known; the others are called as they are. A
# custom loop calls the loss, or `compute_loss`, or hands the loss the predictions' mask as weights.
Way = Literal[
    "train step",
    "test step",
    "custom loop",
    "compute_loss",
    "mask as weights",
    "train_on_batch",
    "test_on_batch",
    "fit",
    "evaluate",
    "padded fit",
    "padded evaluate",
]
Varied = Literal["inputs", "labels", "weights"]
# How `compile` is given a loss or metric: an object of its class, a function, the name of one.
GivenAs = Literal["object", "function", "name"]
# How several outputs are spoken of: by their place, or by their name, by which the model may give
# them as well.
Nest = Literal["list", "dict", "dict outputs"]

TRAINS = ("train step", "train_on_batch", "fit", "padded fit")
"""The ways that update the model's weights; a custom loop hands back their gradients."""
LOOPS = ("custom loop", "compute_loss", "mask as weights")
"""The custom loops."""
DATASETS = ("fit", "evaluate", "padded fit", "padded evaluate")
"""The ways that are given a `tf.data.Dataset`; what is padded is so by `padded_batch`."""


class TrainingCase(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    repr_omit_defaults=True,
    omit_defaults=True,
):
    """A loss or a metric, a small model that is compiled with it, and batches that it is given.

    `measure` is its name in the catalogue, `arguments` those of its constructor; what is
    `given_as` a function or by its name has none. Inputs have the shape `(batch, step, 2)`, or with
    an `inner` size `(batch, step, inner, 2)`; outputs have `units` in place of the 2, masks are of
    shape `(batch, step)`. With `pooled` the model adds valid steps up: outputs have the shape
    `(batch, units)`, and no mask. `batches` go through the model one after the other; the content
    of each is what inputs hold at masked steps, `labels_hold` and `weights_hold` say it of labels
    and sample weights. `sample_weight` says of what shape these are: `(batch,)` or `(batch, step)`.
    `weighted` says whether a metric is one of `weighted_metrics`; with a `twin` it is one of the
    other kind as well. `weights` is the seed of the
    model's weights. With a `penalty` the last layer adds that of its kernel to the loss, whatever
    is masked. What only some properties choose: `other`, a second content for what is
    `varied`; `inserted`, how many masked steps are appended to each row of the first batch;
    `activity`, whether the last layer adds a penalty of its outputs.

    A model of several outputs has a case for each of those `beside` its own, of the same number of
    rows, in the same way; `turned` says that its own comes last. They are given by place or by name
    (`nest`), their losses weighed by `loss_weights` (own first; all count alike without).
    """

    measure: str
    batches: tuple[RaggedBatch, ...]
    arguments: dict[str, bool | int | float | str | tuple[float, ...] | None] = {}
    given_as: GivenAs = "object"
    mask: MaskWay = "travelling"
    sample_weight: SampleWeight = "absent"
    weighted: bool = False
    way: Way = "train step"
    units: int = 2
    inner: int = 0
    policy: str = "float32"
    weights: int = 0
    labels_hold: Content = "zeros"
    weights_hold: Content = "ones"
    varied: Varied | None = None
    other: Content | None = None
    inserted: int = 0
    pooled: bool = False
    penalty: bool = False
    activity: bool = False
    twin: bool = False
    beside: tuple[TrainingCase, ...] = ()
    turned: bool = False
    nest: Nest = "list"
    loss_weights: tuple[float, ...] = ()

    @property
    def reduction(self) -> str | None:
        """How a loss is reduced: the default, too, by its name; None where it is not."""
        given: Any = self.arguments.get("reduction", "sum_over_batch_size")
        if given == "none":
            return None
        return "sum_over_batch_size" if given in ("auto", "mean") else given

    @property
    def penalized(self) -> bool:
        """Whether the loss that comes back has the penalty in it: one called by hand has not."""
        return self.penalty and self.way not in ("custom loop", "mask as weights")

    @property
    def trains(self) -> bool:
        """Whether gradients come back, or weights that they have updated."""
        return self.way in (*TRAINS, *LOOPS)

    @property
    def weighs(self) -> bool:
        """Whether a loss knows of masked steps by weights of 0, over which it counts them."""
        return self.mask == "weights" or self.way == "mask as weights"

    def valid(self, place: int) -> np.ndarray:
        """The valid steps of a batch's inputs, of shape (batch, step)."""
        valid = self.batches[place].valid
        return np.ones_like(valid) if self.mask == "absent" else valid

    def counted(self, place: int) -> np.ndarray:
        """What is valid of a batch's outputs: (batch, step), or (batch,) where steps are gone."""
        valid = self.valid(place)
        return np.ones(valid.shape[:1], bool) if self.pooled else valid

    def lead(self, place: int) -> tuple[int, ...]:
        """The shape of a batch without its features: a position has one loss."""
        batch = self.batches[place]
        if self.pooled:
            return (batch.batch,)
        return (batch.batch, batch.max_len, *((self.inner,) if self.inner else ()))


def split_apart(case: Any) -> bool:
    """Whether `fit` is given arrays of which it sets rows apart to validate on, or two datasets.

    Each costs a trace of training and one of validation: a configuration has one of them.
    """
    return case.way in (*TRAINS, "evaluate")


def without_axis(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments for outputs of another rank, of which another axis is the last."""
    return {name: value for name, value in arguments.items() if name != "axis"}


Values = Callable[[np.ndarray, np.ndarray, Mapping[str, Any]], np.ndarray]
Whole = Callable[[np.ndarray, np.ndarray, np.ndarray, Mapping[str, Any]], Any]


@dataclasses.dataclass(frozen=True)
class MeasureEntry:
    """A public loss or metric: what labels and predictions it takes, and what it computes.

    `labels` names a kind of labels, `activation` that of the model's last layer (`identity`: the
    model hands on its inputs, which are classes). `domains` maps constructor arguments to their
    values, the documented default first. `values` gives a number for each position from labels
    and predictions of shape `(..., units)`. What is no mean of such has a `whole`: one
    number, or one for each threshold, from the positions of shape `(position, units)` and their
    weights, NaN where a prediction lies so close to a threshold that rounding decides. `function`
    is the name under which it is a plain function, `word` another by which `compile` knows it,
    `scale` how large a number may come out for inputs around 1. One `of_rows` has `values` that
    give a number for each row, from labels and predictions of shape `(batch, ..., units)`.
    """

    name: str
    kind: Kind
    cls: str
    page: str
    labels: str
    activation: str
    values: Values | None = None
    whole: Whole | None = None
    function: str = ""
    word: str = ""
    domains: Mapping[str, tuple[Argument, ...]] = dataclasses.field(default_factory=dict)
    fixed: Mapping[str, Argument] = dataclasses.field(default_factory=dict)
    units: tuple[int, ...] = (2, 3)
    scale: float = 1.0
    ranks: tuple[int, ...] = (2, 3, 4)
    of_rows: bool = False
    since: str = ""
    until: str = ""

    @property
    def custom(self) -> bool:
        """Whether it is one of one's own, and not Keras'."""
        return self.cls in CUSTOM_MEASURES

    @property
    def weighable(self) -> bool:
        """Whether it is said what weights of samples do: of one loss for a batch it is not."""
        return self.kind == "metrics" or self.values is not None

    @property
    def stepped(self) -> bool:
        """Whether its outputs may have steps: else they are of shape `(batch, units)`."""
        return max(self.ranks) > 2

    @property
    def plain(self) -> bool:
        """Whether it is a function and nothing else."""
        return self.cls == self.function
