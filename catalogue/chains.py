"""Chains: layers joined into a model, and what their contracts say of each tensor on the way."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Literal

import msgspec
import numpy as np

from catalogue import weights as drawn_weights
from catalogue.cases import Content
from catalogue.chain_operations import OPERATIONS, Operation
from catalogue.contracts import dropped, kept
from catalogue.layer_cases import Given, LayerCase, LayerEntry, Shapes, Tensor
from catalogue.layers import LAYER_ENTRIES
from catalogue.recurrent_reference import reference, weight_shapes
from catalogue.specs import Spec

__all__ = [
    "WAYS",
    "ChainCase",
    "Maker",
    "Nest",
    "NestKind",
    "Node",
    "Passage",
    "Sizes",
    "Stage",
    "Way",
    "entry_of_node",
    "folded",
]

Way = Literal["functional", "sequential", "subclassed", "layer by layer"]
WAYS: tuple[Way, ...] = ("functional", "sequential", "subclassed", "layer by layer")
Maker = Literal["travelling", "masking", "argument", "optional", "none"]
Passage = Callable[[LayerCase], np.ndarray | None]
NestKind = Literal["functional", "sequential", "subclassed", "tf.function"]
Sizes = Literal["unknown", "steps", "known"]


class Node(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    repr_omit_defaults=True,
    omit_defaults=True,
):
    """A layer of a chain and the tensors that it is called on, by their numbers.

    The chain's inputs have the first numbers, then each node's output has the next. A node with
    a `policy` of its own computes in that dtype. A plain operation is a node too, whose spec has
    its source for a name and whose `policy` is the dtype of what it gives. A node that is `again`
    an earlier one, by its place, calls that one's very layer, and has its spec and policy.
    """

    spec: Spec
    inputs: tuple[int, ...] = (0,)
    policy: str = "float32"
    again: int | None = None

    @property
    def operation(self) -> Operation | None:
        """The plain operation that the node is, where it is no layer."""
        return OPERATIONS.get(self.spec.layer)

    @property
    def has_layer(self) -> bool:
        """Whether the node has a layer of its own."""
        return self.operation is None and self.again is None


class Nest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nodes from `first` up to `end`, without it, that are a model of their own, used as a layer.

    One of kind `tf.function` is no model, but a function that is traced by itself.
    """

    first: int
    end: int
    kind: NestKind = "functional"


class ChainCase(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    repr_omit_defaults=True,
    omit_defaults=True,
):
    """A model of some layers, its inputs, and what its property chose.

    `tensors` are the inputs, of shape (batch, step, features). Masks are put on them (on one that
    is not `masked`, none is) by a layer:
    one that is told the mask (`travelling`, which leaves the content of masked steps free), or
    `Masking`; or they are an `argument` of the model's call, or there are `none`. An `optional`
    mask is that of a subclassed model with `Masking` inside, whose call has `mask=None`: it is
    `given` in rows, or not (no rows), and is handed to the first layer where it is. Layer number k
    draws its weights from the seed `weights + k`. `other` is a second content of masked steps.
    `nests` are models used as layers, the outer one first where one lies in the other. Steps, or
    rows and steps, are known when the model is built where `sizes` says so. `way` is how the
    model is built, where a property does not compare ways.
    """

    nodes: tuple[Node, ...]
    tensors: tuple[Tensor, ...]
    maker: Maker = "travelling"
    weights: int = 0
    dtype: str = "float32"
    other: Content | None = None
    nests: tuple[Nest, ...] = ()
    sizes: Sizes = "unknown"
    way: Way = "functional"
    given: tuple[str, ...] = ()

    @property
    def masks(self) -> list[np.ndarray | None]:
        """The masks of the inputs, as the first layers see them."""
        if self.maker == "none":
            return [None] * len(self.tensors)
        if self.given:
            return [Tensor(self.given).valid]
        return [tensor.valid if tensor.masked else None for tensor in self.tensors]

    @property
    def linear(self) -> bool:
        """Whether each node is called on the output of the one before it, and on nothing else."""
        return len(self.tensors) == 1 and all(
            node.inputs == (place,) for place, node in enumerate(self.nodes)
        )

    def layer_of(self, place: int) -> int:
        """The number, among the chain's layers, of the one that a node calls."""
        again = self.nodes[place].again
        if again is not None:
            return self.layer_of(again)
        return sum(node.has_layer for node in self.nodes[:place])


@dataclasses.dataclass(frozen=True)
class Stage:
    """What stands behind a node: its output (NaN where nothing is said), and its mask.

    `isolated` says whether its valid steps know nothing of what masked steps hold. Masks are
    `lost` at it where its contract hands none on though one came in: `told` says whether its user
    is to be told.
    """

    node: Node
    case: LayerCase
    output: np.ndarray
    mask: np.ndarray | None
    isolated: bool = True
    lost: bool = False
    told: bool = False


def _sequence(given: Given) -> np.ndarray:
    """The sequence or the last output of a recurrent layer; nothing is said of masked steps."""
    case, (x,), (mask,) = given.case, given.inputs, given.masks
    found = reference(case.spec, given.weights, x, mask, dtype=x.dtype)
    if not case.spec.get("return_sequences"):
        return found.last
    if mask is None:
        return found.sequence
    return np.where(mask[:, :, None], found.sequence, x.dtype.type(np.nan))


def _recurrent_weights(spec: Spec, shapes: Shapes) -> Shapes:
    return weight_shapes(spec, shapes[0][-1])


_PAGES = {"SimpleRNN": "simple_rnn", "LSTM": "lstm", "GRU": "gru"}
_RECURRENT: Mapping[str, LayerEntry] = {
    name: LayerEntry(
        name,
        f"layers/recurrent_layers/{page}",
        lambda case: kept(case) if case.spec.get("return_sequences") else dropped(case),
        _sequence,
        weights=_recurrent_weights,
        explicit=True,
    )
    for name, page in _PAGES.items()
}


def entry_of_node(node: Node) -> LayerEntry:
    """What is documented of a node's layer; KeyError where chains have no such layer."""
    if node.operation is not None:
        return node.operation.entry
    return _RECURRENT.get(node.spec.layer) or LAYER_ENTRIES[node.spec.layer]


def folded(
    case: ChainCase,
    inputs: list[np.ndarray],
    dtype: str | None = None,
    passages: Mapping[str, Passage] = MappingProxyType({}),
    taking: Collection[str] = (),
    keeping: bool = False,
) -> list[Stage]:
    """The contracts and references of a chain's layers, one after the other.

    `inputs` are arrays as the chain is given them. Each layer computes in the dtype of its
    policy, or all of them in `dtype`, of what their policies leave of their inputs and weights.
    `passages` are contracts of masks other than the documented ones, by the layer's name; what
    layers of the names `taking` are called on has lost its mask for those that come later, unless
    it is cast before; where the graph is `keeping` masks, not for those that take a single one as
    an argument and need no cast.
    """
    handed: dict[int, _Known] = {}  # along an edge of the graph, with its mask
    tensors = [_Known(array, mask, True) for array, mask in zip(inputs, case.masks, strict=True)]
    stages: list[Stage] = []
    kinds = [case.dtype] * len(tensors)
    same = list(range(len(tensors)))  # the number of the tensor that each of them is
    with np.errstate(all="ignore"):
        for place, node in enumerate(case.nodes):
            entry = entry_of_node(node)
            kind = node.policy.removeprefix("mixed_")
            cast = kinds[node.inputs[0]] != kind
            takes = entry.explicit and len(node.inputs) == 1 and not cast
            there = [
                handed.get(number, tensors[number]) if takes else tensors[number]
                for number in node.inputs
            ]
            given = [
                _unmasked(one) if _crosses(case, number, place) else one
                for number, one in zip(node.inputs, there, strict=True)
            ]
            masked = any(one.mask is not None for one in given)
            crossed = any(
                one.mask is None and tensors[number].mask is not None
                for one, number in zip(given, node.inputs, strict=True)
            )
            loses = node.operation is not None or entry.stops
            if loses:
                given = [_unmasked(one) for one in given]
            seed = case.weights + case.layer_of(place)
            stage = _stage(node, entry, given, seed, dtype, passages.get(node.spec.layer))
            found = _Known(stage.output, stage.mask, stage.isolated)
            if _leaves(case, place):
                crossed = crossed or stage.mask is not None
                found = _unmasked(found)
            stages.append(
                dataclasses.replace(
                    stage,
                    output=found.array,
                    mask=found.mask,
                    isolated=found.isolated,
                    lost=crossed or (loses and masked),
                    told=entry.stops and masked,
                )
            )
            if node.spec.layer in taking:
                taken = {same[number] for number in node.inputs if kinds[number] == kind}
                for number in (number for number, one in enumerate(same) if one in taken):
                    if keeping:
                        handed.setdefault(number, tensors[number])
                    tensors[number] = _unmasked(tensors[number])
                    before = number - len(case.tensors)
                    if before >= 0:  # the model hands on the same tensor
                        array = tensors[number].array
                        stages[before] = dataclasses.replace(
                            stages[before], output=array, mask=None
                        )
            # At inference Dropout hands back the very tensor that it is given.
            itself = node.spec.layer == "Dropout" and not cast
            same.append(same[node.inputs[0]] if itself else len(tensors))
            tensors.append(found)
            kinds.append(kind)
    return stages


@dataclasses.dataclass(frozen=True)
class _Known:
    """What is known of a tensor."""

    array: np.ndarray
    mask: np.ndarray | None
    isolated: bool


def _unmasked(known: _Known) -> _Known:
    """A tensor that has lost its mask: masked steps hold what nobody knows, and count."""
    if known.mask is None:
        return known
    behind = [1] * (known.array.ndim - known.mask.ndim)
    at = known.mask.reshape(*known.mask.shape, *behind)
    array = np.where(at, known.array, known.array.dtype.type(np.nan))
    return _Known(array, None, known.isolated and bool(known.mask.all()))


def _stage(
    node: Node,
    entry: LayerEntry,
    inputs: list[_Known],
    seed: int,
    dtype: str | None,
    passage: Passage | None,
) -> Stage:
    cast = node.policy.removeprefix("mixed_")
    given = LayerCase(
        node.spec, tuple(_tensor(one.array, one.mask) for one in inputs), policy=node.policy
    )
    drawn = drawn_weights.drawn(seed, entry.weights(node.spec, entry.shapes(given)))
    passed = None if entry.stops else (passage or entry.passage)(given)
    assert entry.reference is not None
    output = entry.reference(
        Given(
            given,
            [_as(one.array, cast, dtype) for one in inputs],
            [one.mask for one in inputs],
            [_as(weight, cast, dtype) for weight in drawn],
        )
    )
    output = output[0] if isinstance(output, list) else output
    assert isinstance(output, np.ndarray)
    isolates = entry.isolates or all(one.mask is None for one in inputs)
    return Stage(node, given, output, passed, isolates and all(one.isolated for one in inputs))


def _within(case: ChainCase, place: int) -> list[Nest]:
    """The functions of their own that a node is in."""
    return [
        nest for nest in case.nests if nest.kind == "tf.function" and nest.first <= place < nest.end
    ]


def _crosses(case: ChainCase, number: int, place: int) -> bool:
    """Whether a tensor comes to a node from outside of a function that the node is in."""
    source = number - len(case.tensors)
    return any(not nest.first <= source < nest.end for nest in _within(case, place))


def _leaves(case: ChainCase, place: int) -> bool:
    """Whether a node's output is what a function of its own hands back."""
    return any(nest.end == place + 1 for nest in _within(case, place))


def _as(array: np.ndarray, cast: str, dtype: str | None) -> np.ndarray:
    """An array as a layer of a dtype has it; with a `dtype` that of the computation."""
    rounded = array.astype(cast)
    return rounded if dtype is None else rounded.astype(dtype)


def _tensor(array: np.ndarray, mask: np.ndarray | None) -> Tensor:
    rows = np.ones(array.shape[:2], bool) if mask is None else mask
    texts = tuple("".join("1" if step else "0" for step in row) for row in rows)
    return Tensor(texts, array.shape[2:], mask is not None)
