"""Chains: layers joined into a model, and what their contracts say of each tensor on the way."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import msgspec
import numpy as np

from catalogue import weights as drawn_weights
from catalogue.cases import Content
from catalogue.contracts import dropped, kept
from catalogue.layer_cases import Given, LayerCase, LayerEntry, Shapes, Tensor
from catalogue.layers import LAYER_ENTRIES
from catalogue.recurrent_reference import reference, weight_shapes
from catalogue.specs import Spec

__all__ = ["WAYS", "ChainCase", "Maker", "Node", "Stage", "Way", "entry_of_node", "folded"]

Way = Literal["functional", "sequential", "subclassed", "nested", "layer by layer"]
WAYS: tuple[Way, ...] = ("functional", "sequential", "subclassed", "nested", "layer by layer")
Maker = Literal["travelling", "masking"]


class Node(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    repr_omit_defaults=True,
    omit_defaults=True,
):
    """A layer of a chain and the tensors that it is called on, by their numbers.

    The chain's inputs have the first numbers, then each node's output has the next. A node with
    a `policy` of its own computes in that dtype.
    """

    spec: Spec
    inputs: tuple[int, ...] = (0,)
    policy: str = "float32"


class ChainCase(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    repr_omit_defaults=True,
    omit_defaults=True,
):
    """A model of some layers, its inputs, and what its property chose.

    `tensors` are the inputs, of shape (batch, step, features); masks are put on them by a layer:
    one that is told the mask (`travelling`, which leaves the content of masked steps free), or
    `Masking`. Layer number k draws its weights from the seed `weights + k`. `other` is a second
    content of masked steps.
    """

    nodes: tuple[Node, ...]
    tensors: tuple[Tensor, ...]
    maker: Maker = "travelling"
    weights: int = 0
    dtype: str = "float32"
    other: Content | None = None

    @property
    def linear(self) -> bool:
        """Whether each node is called on the output of the one before it, and on nothing else."""
        return len(self.tensors) == 1 and all(
            node.inputs == (place,) for place, node in enumerate(self.nodes)
        )


@dataclasses.dataclass(frozen=True)
class Stage:
    """What stands behind a node: its output (NaN where nothing is said), and its mask."""

    node: Node
    case: LayerCase
    output: np.ndarray
    mask: np.ndarray | None


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
    )
    for name, page in _PAGES.items()
}


def entry_of_node(node: Node) -> LayerEntry:
    """What is documented of a node's layer; KeyError where chains have no such layer."""
    return _RECURRENT.get(node.spec.layer) or LAYER_ENTRIES[node.spec.layer]


def folded(case: ChainCase, inputs: list[np.ndarray], dtype: str | None = None) -> list[Stage]:
    """The contracts and references of a chain's layers, one after the other.

    `inputs` are arrays as the chain is given them. Each layer computes in the dtype of its
    policy, or all of them in `dtype`, of what their policies leave of their inputs and weights.
    """
    arrays = list(inputs)
    masks: list[np.ndarray | None] = [t.valid if t.masked else None for t in case.tensors]
    stages: list[Stage] = []
    with np.errstate(all="ignore"):
        for place, node in enumerate(case.nodes):
            cast = node.policy.removeprefix("mixed_")
            entry = entry_of_node(node)
            tensors = tuple(_tensor(arrays[number], masks[number]) for number in node.inputs)
            given = LayerCase(node.spec, tensors, policy=node.policy)
            shapes = entry.shapes(given)
            drawn = drawn_weights.drawn(case.weights + place, entry.weights(node.spec, shapes))
            passed = entry.passage(given)
            assert entry.reference is not None
            output = entry.reference(
                Given(
                    given,
                    [_as(arrays[number], cast, dtype) for number in node.inputs],
                    [masks[number] for number in node.inputs],
                    [_as(weight, cast, dtype) for weight in drawn],
                )
            )
            assert isinstance(output, np.ndarray)
            stages.append(Stage(node, given, output, passed))
            arrays.append(output)
            masks.append(passed)
    return stages


def _as(array: np.ndarray, cast: str, dtype: str | None) -> np.ndarray:
    """An array as a layer of a dtype has it; with a `dtype` that of the computation."""
    rounded = array.astype(cast)
    return rounded if dtype is None else rounded.astype(dtype)


def _tensor(array: np.ndarray, mask: np.ndarray | None) -> Tensor:
    rows = np.ones(array.shape[:2], bool) if mask is None else mask
    texts = tuple("".join("1" if step else "0" for step in row) for row in rows)
    return Tensor(texts, array.shape[2:], mask is not None)
