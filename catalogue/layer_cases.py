"""Cases of layers that are given sequences, and the entry that describes such a layer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec
import numpy as np

from catalogue.cases import Content
from catalogue.specs import Argument, Spec

__all__ = ["Given", "LayerCase", "LayerEntry", "Sequences", "Tensor", "TensorMask"]

TensorMask = Literal["travelling", "explicit", "absent"]
Shapes = list[tuple[int, ...]]


class Tensor(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    repr_omit_defaults=True,
    omit_defaults=True,
):
    """One of the tensors that a layer is called on, of shape `(batch, step, *rest)`.

    `mask` holds one string a row, as in a ragged batch. `masked` says whether the mask is given
    to the layer at all: a tensor without one is valid everywhere. `content` is what masked steps
    hold (where it has a mask), `seed` what values are drawn from.
    """

    mask: tuple[str, ...]
    rest: tuple[int, ...] = (2,)
    masked: bool = True
    content: Content = "zeros"
    seed: int = 0

    @property
    def valid(self) -> np.ndarray:
        """The mask of shape (batch, step); all True where the tensor has none."""
        rows = np.array([[step == "1" for step in row] for row in self.mask], bool)
        return rows if self.masked else np.ones_like(rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape."""
        return (len(self.mask), len(self.mask[0]), *self.rest)


class LayerCase(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    repr_omit_defaults=True,
    omit_defaults=True,
):
    """A layer and one call of it.

    Several tensors are given as a list. `form` says how masks reach the layer: they travel with
    the tensors, or are given by `mask=` (a list where there are several tensors; None stands for
    a tensor without one). `arguments` are further keyword arguments of the call, `training` is
    passed on where it is not None. `other` is a second content of masked steps.
    """

    spec: Spec
    tensors: tuple[Tensor, ...]
    form: TensorMask = "travelling"
    arguments: dict[str, bool] = {}
    training: bool | None = None
    weights: int = 0
    dtype: str = "float32"
    policy: str = "float32"
    other: Content | None = None

    @property
    def masks(self) -> list[np.ndarray | None]:
        """The masks that reach the layer, None where there is none."""
        if self.form == "absent":
            return [None] * len(self.tensors)
        return [tensor.valid if tensor.masked else None for tensor in self.tensors]


@dataclasses.dataclass(frozen=True)
class Given:
    """What a reference is given: a case's arrays in one floating dtype, its masks and weights."""

    case: LayerCase
    inputs: list[np.ndarray]
    masks: list[np.ndarray | None]
    weights: list[np.ndarray]


@dataclasses.dataclass(frozen=True)
class Sequences:
    """How the tensors of a call may look: how many, what stands behind (batch, step).

    With `same_steps` all of them have one number of steps; without, the first has its own.
    `same_rest` as well: equal last sizes.
    """

    counts: tuple[int, ...] = (1,)
    rests: tuple[tuple[int, ...], ...] = ((2,), (1,), (3,), (2, 3))
    same_steps: bool = True


@dataclasses.dataclass(frozen=True)
class LayerEntry:
    """A public layer: what Keras documents of it, and what it does with masks.

    `fixed` arguments are always given, `domains` maps further constructor arguments to their
    values, the documented default first; `call_domains` the same for keyword arguments of the
    call. `explicit` says whether the call has a `mask` argument. `trainings` are the values of
    `training` that are passed (None: not passed).

    `passage` gives the mask that the output carries, of a shape that is a prefix of the output's,
    or None where it carries none. `isolates` says whether outputs at valid steps (all of them,
    where no mask comes out) do not depend on what masked steps hold. `reference` gives the
    output in NumPy, or is None where chance decides (dropout in training). `weights` gives the
    shapes of trainable weights for the shapes of the inputs, in Keras' order. `applies` leaves
    out what cannot be built. `since` is the first version of Keras that has the layer.
    """

    name: str
    page: str
    passage: Callable[[LayerCase], np.ndarray | None]
    reference: Callable[[Given], np.ndarray | None] | None
    isolates: bool = True
    fixed: Mapping[str, Argument] = dataclasses.field(default_factory=dict)
    domains: Mapping[str, tuple[Argument, ...]] = dataclasses.field(default_factory=dict)
    call_domains: Mapping[str, tuple[bool, ...]] = dataclasses.field(default_factory=dict)
    sequences: Sequences = Sequences()
    explicit: bool = False
    trainings: tuple[bool | None, ...] = (None,)
    weights: Callable[[Spec, Shapes], list[tuple[int, ...]]] = lambda spec, shapes: []
    applies: Callable[[Spec, Shapes], bool] = lambda spec, shapes: True
    since: str = "2.12"
    random: Callable[[LayerCase], bool] = lambda case: False

    def shapes(self, case: LayerCase) -> list[tuple[int, ...]]:
        """The shapes of a case's tensors."""
        return [tensor.shape for tensor in case.tensors]
