"""Cases of layers that are given sequences, and the entry that describes such a layer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
import numpy as np

from catalogue.cases import Content, MaskDtype
from catalogue.specs import Argument, Spec

__all__ = ["Given", "LayerCase", "LayerEntry", "Sequences", "Tensor", "TensorMask"]

TensorMask = Literal["travelling", "explicit", "absent", "made"]
Features = Literal["alike", "own", "one"]
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
    hold (where it has a mask), `seed` what values are drawn from. With a `fold` sequences are
    nested: each row is cut into outer steps of so many inner ones, and the tensor has the shape
    `(batch, outer, fold, *rest)`, its mask `(batch, outer, fold)`.
    """

    mask: tuple[str, ...]
    rest: tuple[int, ...] = (2,)
    masked: bool = True
    content: Content = "zeros"
    seed: int = 0
    fold: int = 0

    @property
    def valid(self) -> np.ndarray:
        """The mask, of shape (batch, step); all True where the tensor has none."""
        rows = np.array([[step == "1" for step in row] for row in self.mask], bool)
        return (rows if self.masked else np.ones_like(rows)).reshape(self.steps)

    @property
    def steps(self) -> tuple[int, ...]:
        """The shape of the mask: (batch, step), or (batch, outer, inner)."""
        batch, length = len(self.mask), len(self.mask[0])
        return (batch, length // self.fold, self.fold) if self.fold else (batch, length)

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape."""
        return (*self.steps, *self.rest)


class LayerCase(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    repr_omit_defaults=True,
    omit_defaults=True,
):
    """A layer and one call of it.

    Several tensors are given as a list, or one by one where the layer's entry names them, then
    with `keywords` by these names. `form` says how masks reach the layer: they travel with
    the tensors, or are given (by `mask=`, a list where there are several tensors; None stands for
    a tensor without one), as arrays of `mask_dtype`; `made` is for layers that make them.
    `arguments` are further keyword arguments of the call, `training` is passed on where it is not
    None. `element` is the seed of a mask of single elements, for each step of the first tensor
    the steps of the second (its own, where it is the only one), given for each row or, where they
    are `shared`, without an axis of rows. With `heads` there is an axis of so many behind that of
    rows: 1 for a mask that all heads have, or as many as there are, each with a mask of its own.
    `other` is a second content of masked steps. With `static` rows and steps are known when the
    layer is built and traced. `entry` is the layer's name in the catalogue where it is not that of
    its class.
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
    mask_dtype: MaskDtype = "bool"
    keywords: bool = False
    element: int | None = None
    shared: bool = False
    heads: int = 0
    static: bool = False
    entry: str = ""

    @property
    def name(self) -> str:
        """The layer's name in the catalogue."""
        return self.entry or self.spec.layer

    @property
    def masks(self) -> list[np.ndarray | None]:
        """The masks that reach the layer, None where there is none."""
        if self.form == "absent":
            return [None] * len(self.tensors)
        return [tensor.valid if tensor.masked else None for tensor in self.tensors]

    @property
    def elements(self) -> np.ndarray | None:
        """The mask of single elements, where there is one.

        Of shape (batch, step of the first, step of the second), with `heads` (batch, heads, step of
        the first, step of the second).
        """
        if self.element is None:
            return None
        first, second = self.tensors[0], self.tensors[:2][-1]
        heads = (self.heads,) if self.heads else ()
        shape = (first.steps[0], *heads, *first.steps[1:], second.steps[1])
        drawn = np.random.default_rng(self.element).random(shape[self.shared :]) < 0.7
        return np.broadcast_to(drawn, shape)


@dataclasses.dataclass(frozen=True)
class Given:
    """What a reference is given: a case's arrays in one floating dtype, its masks and weights."""

    case: LayerCase
    inputs: list[np.ndarray]
    masks: list[np.ndarray | None]
    weights: list[np.ndarray]

    @property
    def element(self) -> np.ndarray | None:
        """The mask of single elements, of the shape that its case gives it."""
        return self.case.elements


@dataclasses.dataclass(frozen=True)
class Sequences:
    """How the tensors of a call may look: how many, what stands behind (batch, step).

    With `same_steps` all of them have one number of steps; without, the first has its own.
    `folds` are the numbers of inner steps of nested sequences, 0 for plain ones. Rows are cut to
    `most_steps` where each step costs much (0: they are not cut). There are `least` steps or
    more, a `multiple` of so many; with `known` their number is always known when the layer is
    built. `features` are those of all tensors, or each has its `own`, one more than the one before
    it, or those behind the first have `one`. Long sequences are over and over again until they
    have `longest` steps; where one is `single` the first tensor has a step alone, and the others
    have more. `masked` says which of several tensors have a mask; where roles tell them apart, the
    `patterns` do, one for each call, with `m` for a tensor that has one, `-` for one that has not.
    """

    counts: tuple[int, ...] = (1,)
    rests: tuple[tuple[int, ...], ...] = ((2,), (1,), (3,), (2, 3))
    same_steps: bool = True
    folds: tuple[int, ...] = (0,)
    most_steps: int = 0
    least: int = 1
    multiple: int = 1
    known: bool = False
    features: tuple[Features, ...] = ("alike",)
    longest: int = 0
    single: tuple[bool, ...] = (False,)
    masked: tuple[str, ...] = ("all", "all", "first", "last", "none")
    patterns: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class LayerEntry:
    """A public layer: what Keras documents of it, and what it does with masks.

    `of` is the class where it is not the name: layers that hold others stand in the catalogue
    once for each kind of layer inside. `fixed` arguments are always given, `domains` maps further
    constructor arguments to their values, the documented default first; `call_domains` the same
    for keyword arguments of the call. Arguments of a layer inside go by their path, such as
    `layer.units`; `complete` makes arguments agree that have to. `operands` gives, for keyword
    arguments that are lists of arrays where the case has them as True, the NumPy expressions of
    these, nested as they are given. `parameters` names the tensors of a layer that is given them
    one by one, and not as a list. A call takes `least` tensors or more: a case with fewer gives
    its last one for the rest too. `explicit` says whether masks can be given: by `mask`, or, with
    `parameters`, by `<parameter>_mask`; in one of `mask_dtypes`; with `given` they are given
    alone, for another entry has those that travel. A list of masks holds one for
    each tensor, but where `masks` says how many are enough, it ends with the last that there is.
    `element` names the argument that takes a mask of single elements; where that may have an axis
    of heads, `heads` names the one that says how many there are. `trainings` are the values
    of `training` that are passed (None: not passed).

    `passage` gives the mask that the output carries, of a shape that is a prefix of the output's,
    or None where it carries none. Where it carries none and masks are not used up on the way
    either, it `stops` them, and the user has to be told. `isolates` says whether outputs at valid
    steps (all of them, where no mask comes out) do not depend on what masked steps hold.
    `outputs` counts the tensors that a call hands back, `carriers` those of them, the first, that
    carry the mask; `positions` gives, for each of them, what
    is valid of it, as an array that broadcasts to it, or None where all is; by default the first
    is valid where its mask says, the others everywhere. `reference` gives the output (a list,
    where there are several) in NumPy, or is None where chance decides (dropout in training).
    `weights` gives the shapes of trainable weights for the shapes of the inputs, in Keras' order.
    `together` are assignments, each of several arguments and of how the layer is called, that some
    configuration has whole: where a layer takes another path only if all of them meet.
    `most` is the number of configurations that a cell meets at most, `statics` how often sizes
    are known: fewer for a layer whose every trace takes a second; where it is `unrolled` they
    always are, and steps are few. `source` gives the NumPy
    expressions of a tensor's values and of its padding, where they are not free (an empty one for
    padding that is). `autocast` says whether inputs are cast to the dtype that the layer computes
    in: tokens are not. `uses_mask` says whether a call makes use of a mask that it is given,
    `broadcasts` that a mask may be smaller than its tensor; `ones` counts axes of size 1 that a
    mask is given behind its own. `applies` leaves out what cannot be built. `since` is the first
    version of Keras that has the layer, `until` the first that has it no more. `traits` names
    facts that a case of this layer alone may have. `restores` says whether the layer may be
    restored from its configuration and from a file. `held` says where, in each output, masks alone
    decide what is there, whatever chance does: arrays as those of `positions`, None for nowhere.
    """

    name: str
    page: str
    passage: Callable[[LayerCase], np.ndarray | None]
    reference: Callable[[Given], np.ndarray | list[np.ndarray] | None] | None
    isolates: bool = True
    stops: bool = False
    of: str = ""
    fixed: Mapping[str, Argument] = dataclasses.field(default_factory=dict)
    domains: Mapping[str, tuple[Argument, ...]] = dataclasses.field(default_factory=dict)
    call_domains: Mapping[str, tuple[bool, ...]] = dataclasses.field(default_factory=dict)
    complete: Callable[[Spec], Spec] = lambda spec: spec
    operands: Mapping[str, Callable[[LayerCase], list[Any]]] = dataclasses.field(
        default_factory=dict
    )
    sequences: Sequences = Sequences()
    parameters: tuple[str, ...] = ()
    least: int = 1
    explicit: bool = False
    given: bool = False
    masks: int | None = None
    made: bool = False
    mask_dtypes: tuple[MaskDtype, ...] = ("bool",)
    uses_mask: Callable[[LayerCase], bool] = lambda case: True
    broadcasts: bool = False
    ones: int = 0
    element: str = ""
    heads: str = ""
    trainings: tuple[bool | None, ...] = (None,)
    # A layer is traced anew for each batch of known size, so that few are.
    statics: tuple[bool, ...] = (False, False, False, True)
    unrolled: Callable[[Spec], bool] = lambda spec: False
    outputs: Callable[[LayerCase], int] = lambda case: 1
    carriers: Callable[[LayerCase], int] = lambda case: 1
    positions: Callable[[LayerCase], list[np.ndarray | None]] | None = None
    weights: Callable[[Spec, Shapes], list[tuple[int, ...]]] = lambda spec, shapes: []
    source: Callable[[LayerCase, int, Content], tuple[str, str]] | None = None
    autocast: bool = True
    applies: Callable[[Spec, Shapes], bool] = lambda spec, shapes: True
    traits: Callable[[LayerCase], frozenset[str]] = lambda case: frozenset()
    together: tuple[Mapping[str, Any], ...] = ()
    most: int = 16
    since: str = ""
    until: str = ""
    random: Callable[[LayerCase], bool] = lambda case: False
    restores: bool = True
    held: Callable[[LayerCase], list[np.ndarray | None]] | None = None

    @property
    def layer(self) -> str:
        """The name of the class in `keras.layers`."""
        return self.of or self.name

    def shapes(self, case: LayerCase) -> list[tuple[int, ...]]:
        """The shapes of a case's tensors."""
        return [tensor.shape for tensor in case.tensors]
