"""Chains of layers: drawn node by node, such that shapes fit and references exist."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from hypothesis import strategies as st

from catalogue.cases import CONTENTS, FINITE_CONTENTS, Content
from catalogue.chains import ChainCase, Maker, Node
from catalogue.layer_cases import Tensor
from catalogue.specs import Argument, Spec
from strategies.ragged import masks, ragged_batches

__all__ = ["FAMILIES_OF_CHAINS", "layer_chains"]

_SEEDS = st.integers(0, 2**16 - 1)
_MOST = 6  # layers of a chain
_JOINS = ("Add", "Multiply", "Average", "Maximum", "Minimum", "Concatenate")
_POLICIES = ("float32", "float32", "float32", "float32", "float64")


@dataclasses.dataclass
class _Growing:
    """A chain that is being drawn: its nodes, and the features of each tensor so far."""

    draw: st.DrawFn
    features: list[int]
    nodes: list[Node] = dataclasses.field(default_factory=list)

    def add(
        self, name: str, inputs: tuple[int, ...], features: int, /, **arguments: Argument
    ) -> int:
        """Add a node; the number of its output."""
        policy = self.draw(st.sampled_from(_POLICIES), label="policy")
        self.nodes.append(Node(Spec(name, arguments), inputs, policy))
        self.features.append(features)
        return len(self.features) - 1

    def one(self, tensor: int, features: int | None = None) -> int:
        """A layer on one tensor, of so many features where they are given."""
        choices: list[Callable[[], int]] = []
        have = self.features[tensor]
        wanted = features or self.draw(st.integers(1, 3), label="features")
        if features in (None, have):
            choices += [
                lambda: self.add("Activation", (tensor,), have, activation="tanh"),
                lambda: self.add("LayerNormalization", (tensor,), have),
                lambda: self.add("Dropout", (tensor,), have, rate=0.5),
                lambda: self.add("ReLU", (tensor,), have),
            ]
        choices += [
            lambda: self.add("Dense", (tensor,), wanted, units=wanted),
            lambda: self.recurrent(tensor, wanted),
        ]
        return self.draw(st.sampled_from(choices))()

    def recurrent(self, tensor: int, units: int, *, sequences: bool = True) -> int:
        """A recurrent layer, of sequences or of last outputs."""
        name = self.draw(st.sampled_from(("LSTM", "GRU", "SimpleRNN")), label="recurrent layer")
        more: dict[str, Argument] = {"return_sequences": True} if sequences else {}
        return self.add(name, (tensor,), units, units=units, **more)

    def join(self, tensors: tuple[int, ...]) -> int:
        """A layer that merges tensors of equal features."""
        name = self.draw(st.sampled_from(_JOINS), label="join")
        total = sum(self.features[tensor] for tensor in tensors)
        wide = total if name == "Concatenate" else self.features[tensors[0]]
        return self.add(name, tensors, wide)

    def end(self, tensor: int) -> None:
        """Perhaps a layer that takes the steps away."""
        end = self.draw(st.sampled_from(("", "recurrent", "average")), label="end")
        if end == "recurrent":
            self.recurrent(tensor, 2, sequences=False)
        elif end == "average":
            self.add("GlobalAveragePooling1D", (tensor,), self.features[tensor])


def _sequence(chain: _Growing) -> None:
    last = 0
    for _ in range(chain.draw(st.integers(1, _MOST - 1), label="layers")):
        last = chain.one(last)
    chain.end(last)


def _residual(chain: _Growing) -> None:
    first = chain.one(0)
    inner = first
    for _ in range(chain.draw(st.integers(1, 2), label="layers inside")):
        inner = chain.one(inner, chain.features[first])
    order = chain.draw(st.sampled_from(((first, inner), (inner, first))), label="order")
    chain.end(chain.join(order))


def _branch(chain: _Growing) -> None:
    first = chain.one(0) if chain.draw(st.booleans(), label="a layer before") else 0
    size = chain.draw(st.integers(1, 3), label="features of branches")
    branches = tuple(chain.one(first, size) for _ in range(2))
    if chain.draw(st.booleans(), label="attention"):
        joined = chain.add("Attention", branches, size)
    else:
        joined = chain.join(branches)
    chain.end(joined)


def _two_inputs(chain: _Growing) -> None:
    size = chain.draw(st.integers(1, 3), label="features of both")
    both = tuple(chain.one(number, size) for number in range(2))
    chain.end(chain.join(both))


def _time_distributed(chain: _Growing) -> None:
    size = chain.draw(st.integers(1, 3), label="features")
    inner = Spec("Dense", {"units": size})
    last = chain.add("TimeDistributed", (0,), size, layer=inner)
    sequences = chain.draw(st.booleans(), label="return_sequences")
    last = chain.recurrent(last, 2, sequences=sequences)


FAMILIES_OF_CHAINS: dict[str, tuple[int, Callable[[_Growing], None]]] = {
    "chain: sequence": (1, _sequence),
    "chain: residual": (1, _residual),
    "chain: branch": (1, _branch),
    "chain: two inputs": (2, _two_inputs),
    "chain: TimeDistributed before a recurrent layer": (1, _time_distributed),
}
"""How many inputs a family of chains has, and what draws it."""


@st.composite
def layer_chains(
    draw: st.DrawFn, *, family: str, kind: str = "mixed", choices: tuple[str, ...] = ()
) -> ChainCase:
    """Chains of one to six layers, of one of `FAMILIES_OF_CHAINS`, with a ragged batch.

    `choices` may name `other`, a second content of masked steps, and `linear`. Shrinks towards
    few layers, few rows and few steps.
    """
    inputs, grow = FAMILIES_OF_CHAINS[family]
    features = draw(st.integers(1, 3), label="features of the input")
    maker: Maker = draw(st.sampled_from(("travelling", "masking")), label="maker")
    if "other" in choices:
        maker = "travelling"
    chain = _Growing(draw, [features] * inputs)
    grow(chain)
    contents: st.SearchStrategy[Content] = st.sampled_from(
        ("zeros", "ones") if maker == "masking" else CONTENTS  # what Masking masks by its value
    )
    first = draw(ragged_batches(kind=kind, features=features, contents=contents))
    tensors = [Tensor(first.mask, (features,), content=first.content, seed=first.seed)]
    if inputs == 2:
        same = draw(st.booleans(), label="the same mask")
        rows = first.mask
        if not same:
            rows = draw(masks(batch=first.batch, max_len=first.max_len))
        # A tensor without a mask is one that nothing has put a mask on.
        tensors.append(Tensor(rows, (features,), content=first.content, seed=first.seed + 1))
    other = None
    if "other" in choices:
        finite = st.sampled_from(FINITE_CONTENTS if "finite" in choices else CONTENTS)
        other = draw(finite.filter(lambda one: one != first.content), label="other content")
    return ChainCase(
        nodes=tuple(chain.nodes),
        tensors=tuple(tensors),
        maker=maker,
        weights=draw(_SEEDS, label="weights"),
        other=other,
    )
