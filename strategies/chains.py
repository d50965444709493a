"""Chains of layers: drawn node by node, such that shapes fit and references exist."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import msgspec
from hypothesis import strategies as st

from catalogue.cases import CONTENTS, FINITE_CONTENTS, Content
from catalogue.chain_operations import OPERATIONS
from catalogue.chain_shapes import can_nest, nested_in, ways_of
from catalogue.chains import ChainCase, Maker, Nest, NestKind, Node, Sizes, Way
from catalogue.layer_cases import Tensor
from catalogue.specs import Argument, Spec
from strategies.ragged import masks, ragged_batches

__all__ = ["FAMILIES_OF_CHAINS", "JOINS", "layer_chains"]

_SEEDS = st.integers(0, 2**16 - 1)
_MOST = 6  # layers of a chain
JOINS = ("Add", "Multiply", "Average", "Maximum", "Minimum", "Concatenate")
"""The layers that merge tensors of equal features."""
_ENDS = ("", "", "recurrent", "average")  # what takes the steps away
_POLICIES = (*["float32"] * 6, "float64", "float64", "mixed_float16")
_SIZES: tuple[Sizes, ...] = ("unknown", "unknown", "unknown", "steps", "known")
_WAYS: tuple[Way, ...] = ("functional", "functional", "subclassed", "layer by layer")
_SHARED_SIZES: tuple[Sizes, ...] = ("steps", "unknown", "known")
_MODELS: tuple[NestKind, ...] = ("functional", "sequential", "subclassed")
# Which of two inputs something puts a mask on.
_MASKED = ((True, True), (True, False), (False, True))


@dataclasses.dataclass
class _Growing:
    """A chain that is being drawn: its nodes, and the features of each tensor so far."""

    draw: st.DrawFn
    features: list[int]
    nodes: list[Node] = dataclasses.field(default_factory=list)
    dtypes: list[str] = dataclasses.field(default_factory=list)
    nests: list[Nest] = dataclasses.field(default_factory=list)
    joins: tuple[str, ...] = JOINS
    ends: tuple[str, ...] = _ENDS
    attends: tuple[bool, ...] = (False, True)
    shared: tuple[bool, ...] = (False, True, False)

    def __post_init__(self) -> None:
        self.dtypes += ["float32"] * len(self.features)

    def add(
        self, name: str, inputs: tuple[int, ...], features: int, /, **arguments: Argument
    ) -> int:
        """Add a node; the number of its output."""
        policy = self.draw(st.sampled_from(_POLICIES), label="policy")
        self.nodes.append(Node(Spec(name, arguments), inputs, policy))
        self.features.append(features)
        self.dtypes.append(policy.removeprefix("mixed_"))
        return len(self.features) - 1

    def each(self, size: int) -> tuple[int, int]:
        """A layer on each of two inputs, or one on both."""
        if not self.draw(st.sampled_from(self.shared), label="one layer for both"):
            return self.one(0, size), self.one(1, size)
        recurrent = self.draw(st.sampled_from((True, False)), label="a recurrent one")
        first = self.recurrent(0, size) if recurrent else self.one(0, size)
        place = len(self.nodes) - 1
        node = msgspec.structs.replace(self.nodes[place], inputs=(1,), again=place)
        self.nodes.append(node)
        self.features.append(size)
        self.dtypes.append(node.policy.removeprefix("mixed_"))
        return first, len(self.features) - 1

    def operation(self, tensor: int) -> int:
        """A plain operation on a tensor; the number of what it gives."""
        casts = [name for name, one in OPERATIONS.items() if one.dtype != self.dtypes[tensor]]
        name = self.draw(st.sampled_from(casts), label="operation")
        operation = OPERATIONS[name]
        dtype = operation.dtype or self.dtypes[tensor]
        self.nodes.append(Node(Spec(name), (tensor,), dtype))
        self.features.append(operation.features(self.features[tensor]))
        self.dtypes.append(dtype)
        return len(self.features) - 1

    def pointwise(self, tensor: int) -> int:
        """A layer that takes each step by itself."""
        names = ("Activation", "LayerNormalization", "Dense")
        name = self.draw(st.sampled_from(names), label="layer of single steps")
        if name == "Dense":
            return self.add(name, (tensor,), 2, units=2)
        more: dict[str, Argument] = {"activation": "tanh"} if name == "Activation" else {}
        return self.add(name, (tensor,), self.features[tensor], **more)

    def stop(self, tensor: int) -> int:
        """A layer at which masks stop."""
        if self.draw(st.booleans(), label="a convolution"):
            more: dict[str, Argument] = {"filters": 2, "kernel_size": 2, "padding": "same"}
            return self.add("Conv1D", (tensor,), 2, **more)
        return self.add("Plain", (tensor,), self.features[tensor])

    def consumer(self, tensor: int) -> int:
        """A layer on a tensor that others are called on too; its features stay."""
        have = self.features[tensor]
        heads: dict[str, Argument] = {"num_heads": 1, "key_dim": 2}
        choices: list[Callable[[], int]] = [
            lambda: self.one(tensor, have),
            lambda: self.recurrent(tensor, have),
            lambda: self.add("Attention", (tensor, tensor), have),
            lambda: self.add("MultiHeadAttention", (tensor, tensor), have, **heads),
        ]
        return self.draw(st.sampled_from(choices))()

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
        name = self.draw(st.sampled_from(self.joins), label="join")
        total = sum(self.features[tensor] for tensor in tensors)
        wide = total if name == "Concatenate" else self.features[tensors[0]]
        return self.add(name, tensors, wide)

    def end(self, tensor: int) -> None:
        """Perhaps a layer that takes the steps away."""
        end = self.draw(st.sampled_from(self.ends), label="end")
        if end == "recurrent":
            self.recurrent(tensor, 2, sequences=False)
        elif end == "average":
            self.add("GlobalAveragePooling1D", (tensor,), self.features[tensor])


def _dense(units: int) -> Spec:
    return Spec("Dense", {"units": units})


def _sequence(chain: _Growing) -> None:
    last = 0
    for _ in range(chain.draw(st.integers(1, _MOST - 1), label="layers")):
        last = chain.one(last)
    chain.end(last)


def _stopping(chain: _Growing) -> None:
    """A sequence in which the mask stops somewhere, perhaps."""
    length = chain.draw(st.integers(1, 3), label="layers")
    _stopping_at(chain, length, chain.draw(st.integers(0, length), label="where the mask stops"))


def _stopping_at(chain: _Growing, length: int, place: int) -> int:
    """So many layers, at one of which, where there is one of this place, the mask stops."""
    last = 0
    for here in range(length):
        last = chain.stop(last) if here == place else chain.one(last)
    return last


def _several_consumers(chain: _Growing) -> None:
    first = chain.one(0, chain.draw(st.integers(2, 3), label="features"))
    count = chain.draw(st.integers(2, 3), label="consumers")
    several = tuple(chain.consumer(first) for _ in range(count))
    chain.join(several)


def _nested(chain: _Growing) -> None:
    """A sequence whose middle is a model in a model; the mask stops somewhere, perhaps."""
    length = chain.draw(st.integers(2, _MOST - 1), label="layers")
    place = chain.draw(st.integers(0, 2 * length), label="where the mask stops")
    chain.end(_stopping_at(chain, length, 2 * length - place))  # simplest: nowhere
    _nests(chain, least=1)


def _nests(chain: _Growing, least: int = 0) -> None:
    """Some nodes as a model of their own, and perhaps some of these as another one."""
    count = len(chain.nodes)
    case = ChainCase(tuple(chain.nodes), (Tensor(("1",)),) * (len(chain.features) - count))
    levels = chain.draw(st.integers(least, 2), label="models in models")
    first, end = 0, count
    for _ in range(levels):
        choices = [
            Nest(start, stop, kind)
            for start in range(first, end)
            for stop in range(start + 1, end + 1)
            for kind in _MODELS
            if can_nest(case, Nest(start, stop, kind))
        ]
        nest = chain.draw(st.sampled_from(choices), label="model")
        assert all(nested_in(outer, nest) for outer in chain.nests)
        chain.nests.append(nest)
        first, end = nest.first, nest.end


def _plain_operations(chain: _Growing) -> None:
    """Layers, what drops their mask, and layers behind it."""
    last = 0
    for _ in range(chain.draw(st.integers(0, 2), label="layers before")):
        last = chain.pointwise(last)
    if chain.draw(st.booleans(), label="tf.function"):
        first = len(chain.nodes)
        for _ in range(chain.draw(st.integers(1, 2), label="layers in the function")):
            last = chain.one(last)
        chain.nests.append(Nest(first, len(chain.nodes), "tf.function"))
    else:
        last = chain.operation(last)
    if chain.draw(st.booleans(), label="a layer behind"):
        last = chain.one(last)
    chain.end(last)


def _optional_mask(chain: _Growing) -> None:
    """The article's model, whose first layer is given the mask; perhaps a layer behind it."""
    last = chain.recurrent(0, 2)
    if chain.draw(st.booleans(), label="a layer behind"):
        chain.one(last)


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
    both = chain.each(size)
    if chain.draw(st.sampled_from(chain.attends), label="attention"):
        heads: dict[str, Argument] = {"num_heads": 1, "key_dim": 2}
        name = chain.draw(st.sampled_from(("Attention", "MultiHeadAttention")))
        joined = chain.add(name, both, size, **(heads if name == "MultiHeadAttention" else {}))
    else:
        joined = chain.join(both)
    chain.end(joined)


def _meeting(chain: _Growing) -> None:
    """Two inputs whose masks meet, and a layer that uses what comes of them."""
    size = chain.draw(st.integers(1, 3), label="features of both")
    both = chain.each(size)
    name = chain.draw(st.sampled_from(("Concatenate", "Attention", "")), label="where they meet")
    if name == "Attention":
        joined = chain.add("Attention", both, size)
    elif name == "Concatenate":
        joined = chain.add("Concatenate", both, 2 * size)
    else:
        joined = chain.join(both)
    chain.ends = ("recurrent", "average")
    chain.end(joined)


def _time_distributed(chain: _Growing) -> None:
    size = chain.draw(st.integers(1, 3), label="features")
    last = chain.add("TimeDistributed", (0,), size, layer=_dense(size))
    sequences = chain.draw(st.booleans(), label="return_sequences")
    last = chain.recurrent(last, 2, sequences=sequences)


FAMILIES_OF_CHAINS: dict[str, tuple[int, Callable[[_Growing], None]]] = {
    "chain: sequence": (1, _sequence),
    "chain: residual": (1, _residual),
    "chain: branch": (1, _branch),
    "chain: two inputs": (2, _two_inputs),
    "chain: TimeDistributed before a recurrent layer": (1, _time_distributed),
    "chain: several consumers": (1, _several_consumers),
    "chain: nested models": (1, _nested),
    "chain: plain operations": (1, _plain_operations),
    "chain: MaskedLSTMModel": (1, _optional_mask),
}
"""How many inputs a family of chains has, and what draws it."""


@st.composite
def layer_chains(
    draw: st.DrawFn,
    *,
    family: str,
    kind: str = "mixed",
    choices: tuple[str, ...] = (),
    join: str = "",
    beside: bool = False,
    shared: bool = False,
) -> ChainCase:
    """Chains of one to six layers, of one of `FAMILIES_OF_CHAINS`, with a ragged batch.

    `choices` may name `other`, a second content of masked steps, `nests`, models in models,
    `stops`, a layer at which the mask stops, `meeting`, two inputs before a layer that uses what
    comes of their masks, and `apart`, masks of both that need not be the same. Shrinks towards few
    layers, few rows and few steps; where tensors meet and a `join` is named, towards this one of
    masked tensors in a Functional model, with a layer behind it that uses the mask; where one
    input has none `beside` the other, towards attention to it; with a `shared` layer, towards a
    recurrent one that is called on both inputs, of as many steps.
    """
    inputs, grow = FAMILIES_OF_CHAINS[family]
    if "stops" in choices and family == "chain: sequence":
        grow = _stopping
    if "meeting" in choices:
        grow = _meeting
    features = draw(st.integers(1, 3), label="features of the input")
    maker: Maker = draw(st.sampled_from(("travelling", "masking")), label="maker")
    if {"other", "meeting"}.intersection(choices) or family == "chain: plain operations":
        maker = "travelling"
    if family == "chain: MaskedLSTMModel":
        maker = "optional"
    chain = _Growing(draw, [features] * inputs)
    if join:
        chain.joins = (join, *(one for one in JOINS if one != join))
        chain.ends = tuple(sorted(_ENDS, key=lambda end: end != "recurrent"))
    chain.attends = (True, False) if beside else chain.attends
    chain.shared = (True, False) if shared else chain.shared
    grow(chain)
    if "nests" in choices and not chain.nests:
        _nests(chain)
    contents: st.SearchStrategy[Content] = st.sampled_from(
        CONTENTS if maker == "travelling" else ("zeros", "ones")  # what Masking masks by its value
    )
    first = draw(ragged_batches(kind=kind, features=features, contents=contents))
    tensors = [Tensor(first.mask, (features,), content=first.content, seed=first.seed)]
    if inputs == 2:
        same = "apart" not in choices and draw(st.booleans(), label="the same mask")
        rows = first.mask
        if not same:
            rows = draw(masks(batch=first.batch, max_len=first.max_len))
        patterns = (*_MASKED[1:], _MASKED[0]) if beside else _MASKED
        which = st.sampled_from(_MASKED[:1] if "apart" in choices else patterns)
        masked = draw(which, label="which of them have a mask")
        second = Tensor(rows, (features,), masked[1], first.content, first.seed + 1)
        tensors = [msgspec.structs.replace(tensors[0], masked=masked[0]), second]
    given: tuple[str, ...] = ()
    if maker == "optional" and draw(st.booleans(), label="a mask is given"):
        given = draw(masks(batch=first.batch, max_len=first.max_len))
    other = None
    if "other" in choices:
        finite = st.sampled_from(FINITE_CONTENTS if "finite" in choices else CONTENTS)
        other = draw(finite.filter(lambda one: one != first.content), label="other content")
    case = ChainCase(
        nodes=tuple(chain.nodes),
        tensors=tuple(tensors),
        maker=maker,
        weights=draw(_SEEDS, label="weights"),
        other=other,
        nests=tuple(chain.nests),
        sizes=draw(st.sampled_from(_SHARED_SIZES if shared else _SIZES), label="sizes"),
        given=given,
    )
    ways = [way for way in _WAYS if way in ways_of(case)]
    if maker == "optional":
        ways = ["subclassed"]
    return msgspec.structs.replace(case, way=draw(st.sampled_from(ways), label="way"))
