"""Cases of training under masks, and the entry that describes a loss or a metric."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
import numpy as np

from catalogue.cases import Content, RaggedBatch
from catalogue.specs import Argument

__all__ = ["Kind", "MaskWay", "MeasureEntry", "SampleWeight", "TrainingCase", "Varied", "Way"]

Kind = Literal["losses", "metrics"]
# How a model comes to know of masked steps: its output carries the mask, made by a layer of its
# own or by `Masking`, or they have a sample weight of 0; or it has none.
MaskWay = Literal["travelling", "masking", "weights", "absent"]
SampleWeight = Literal["absent", "rows", "steps"]
# The first three are traced once, for sizes that are not known; the others are called as they are.
Way = Literal[
    "train step", "test step", "custom loop", "train_on_batch", "test_on_batch", "fit", "evaluate"
]
Varied = Literal["inputs", "labels", "weights"]

TRAINS = ("train step", "train_on_batch", "fit")
"""The ways that update the model's weights; a custom loop hands back their gradients."""


class TrainingCase(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    repr_omit_defaults=True,
    omit_defaults=True,
):
    """A loss or a metric, a small model that is compiled with it, and batches that it is given.

    `measure` is its name in the catalogue, `arguments` those of its constructor; a `function` is
    given as such, without arguments. Inputs have the shape `(batch, step, 2)`, or with an `inner`
    size `(batch, step, inner, 2)`; outputs have `units` in place of the 2, masks are of shape
    `(batch, step)`. `batches` go through the model one after the other; the content of each is
    what inputs hold at masked steps, `labels_hold` and `weights_hold` say it of labels and sample
    weights. `sample_weight` says of what shape weights are: `(batch,)` or `(batch, step)`.
    `weighted` says whether a metric is one of `weighted_metrics`. `weights` is the seed of the
    model's weights. What only some properties choose: `other`, a second content for what is
    `varied`; `inserted`, how many masked steps are appended to each row of the first batch.
    """

    measure: str
    batches: tuple[RaggedBatch, ...]
    arguments: dict[str, bool | int | float | str | None] = {}
    function: bool = False
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

    @property
    def reduction(self) -> str | None:
        """How a loss is reduced: the default, too, by its name; None where it is not."""
        given: Any = self.arguments.get("reduction", "sum_over_batch_size")
        return None if given == "none" else "sum_over_batch_size" if given == "auto" else given

    @property
    def trains(self) -> bool:
        """Whether gradients come back, or weights that they have updated."""
        return self.way in (*TRAINS, "custom loop")

    def valid(self, place: int) -> np.ndarray:
        """The valid steps of a batch, of shape (batch, step)."""
        valid = self.batches[place].valid
        return np.ones_like(valid) if self.mask == "absent" else valid

    def lead(self, place: int) -> tuple[int, ...]:
        """The shape of a batch without its features: a position has one loss."""
        batch = self.batches[place]
        return (batch.batch, batch.max_len, *((self.inner,) if self.inner else ()))


Values = Callable[[np.ndarray, np.ndarray, Mapping[str, Any]], np.ndarray]
Whole = Callable[[np.ndarray, np.ndarray, np.ndarray, Mapping[str, Any]], Any]


@dataclasses.dataclass(frozen=True)
class MeasureEntry:
    """A public loss or metric: what labels and predictions it takes, and what it computes.

    `labels` names a kind of labels, `activation` that of the model's last layer (`identity`: the
    model hands on its inputs, which are classes). `domains` maps constructor arguments to their
    values, the documented default first. `values` gives a number for each position from labels
    and predictions of shape `(..., units)`. A metric that is no mean of such has a `whole`: one
    number from the positions of shape `(position, units)` and their weights, NaN where a
    prediction lies so close to a threshold that rounding decides. `function` is the name under
    which it is a plain function, `scale` how large a number may come out for inputs around 1.
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
    domains: Mapping[str, tuple[Argument, ...]] = dataclasses.field(default_factory=dict)
    fixed: Mapping[str, Argument] = dataclasses.field(default_factory=dict)
    units: tuple[int, ...] = (2, 3)
    scale: float = 1.0
    ranks: tuple[int, ...] = (3, 4)
    since: str = ""
    until: str = ""
