"""The family of chains: strata, facts, and what makes a case simpler."""

from __future__ import annotations

import functools
import random
import zlib
from collections.abc import Callable, Iterator

import msgspec
from hypothesis import strategies as st

from catalogue.cases import RaggedBatch
from catalogue.chain_shapes import features, fits, settled, ways_of
from catalogue.chains import ChainCase, Node, entry_of_node
from catalogue.layer_cases import Tensor
from catalogue.traits import batch_traits
from properties.registry import Property
from properties.strata import Strata, Stratum
from strategies.chains import FAMILIES_OF_CHAINS, JOINS, layer_chains
from strategies.ragged import KINDS

__all__ = ["CHAINS", "chain_facts", "chain_strata", "chain_traits", "simpler_chain"]

CHAINS = tuple(FAMILIES_OF_CHAINS)
_TURNS = 6
_MEETING = ("chain: branch", "chain: two inputs")
_SHARED = 3  # of so many chains of two inputs one has a layer that is called on both
_STRATA = 24  # chains of a cell, before it is thinned out
# A graph of TimeDistributed over unknown steps costs ten times as much as another.
_DEAR = {
    "chain: TimeDistributed before a recurrent layer": 2,
    "chain: several consumers": 2,
    "chain: nested models": 2,
    "chain: plain operations": 2,
    "chain: MaskedLSTMModel": 2,
}


def chain_strata(property: Property, layer: str, keras_major: int, mode: str, seed: int) -> Strata:
    """What a cell meets: chains, each with a batch of another kind."""
    rng = random.Random(f"{property.name} {layer} {seed}")
    # A model of Keras 2 costs several times as much.
    cost = property.share * _DEAR.get(layer, 1) * (2 if keras_major == 2 else 1)
    count = max(1, _STRATA // cost)  # and Hypothesis' plainest chain besides each
    kinds = [kind for kind in KINDS if kind not in ("tall", "long")] if property.dear else KINDS
    pool: list[str] = []
    strata = []
    # The plainest chain of a stratum is the same with each seed: where masks meet, one layer after
    # the other merges them, first another one in each property.
    # In the last, where all that merge have been met, one input has no mask; of few, in half.
    first = zlib.crc32(property.name.encode())
    for place in range(count):
        pool = pool or rng.sample(kinds, len(kinds))
        join = JOINS[(first + place) % len(JOINS)] if layer in _MEETING else ""
        chains = layer_chains(
            family=layer,
            kind=pool.pop(),
            choices=property.choices,
            join=join,
            beside=place == count - 1 if count > len(JOINS) else place % 2 == 1,
            shared=(first + place) % _SHARED == 0 and FAMILIES_OF_CHAINS[layer][0] == 2,
        )
        # What is looked at on a share of the chains goes by their weights: each in its turn.
        turned = chains.filter(property.applies).map(
            functools.partial(_turned, place + CHAINS.index(layer))
        )
        strata.append(Stratum(f"{place}", st.tuples(turned)))
    return Strata(tuple(strata))


def _turned(place: int, case: ChainCase) -> ChainCase:
    weights = case.weights - case.weights % _TURNS + place % _TURNS
    return msgspec.structs.replace(case, weights=weights)


def chain_traits(case: ChainCase) -> frozenset[str]:
    """The traits of a case: those of its inputs, and what there is on the way."""
    found: set[str] = set()
    masked = [tensor for tensor in case.tensors if tensor.masked]
    for tensor in masked:
        found |= batch_traits(RaggedBatch(tensor.mask, tensor.content, tensor.seed))
    masks = {tensor.mask for tensor in masked}
    named = {
        "masks_differ": len(masks) > 1,
        "unmasked_tensor": len(masked) < len(case.tensors),
        "row_without_a_value": _rows_without_values(case),
        "cast": _casts(case),
        "infinite_padding": case.other in ("inf", "-inf"),
        "nan_padding": case.other == "nan",
        "largest_padding": case.other == "largest",
        "several_consumers": _several_consumers(case),
        "rows_equal_steps": len(case.tensors[0].mask) == len(case.tensors[0].mask[0]),
        "nested_twice": _nested_twice(case),
        "several_dtypes": len({node.policy for node in case.nodes}) > 1,
        "shared_layer": any(node.again is not None for node in case.nodes),
        "mask_stops": any(entry_of_node(node).stops for node in case.nodes),
        "plain_operation": any(node.operation is not None for node in case.nodes),
        "ends_without_steps": features(case)[-1] == (),
        "last_batch_smaller": len(case.tensors[0].mask) % 2 == 1,
        "join": any(len(node.inputs) > 1 for node in case.nodes),
        "travelling_mask": True,
    }
    found |= {name for name, holds in named.items() if holds}
    found |= {f"{len(case.nodes)} layers", f"sizes={case.sizes}", f"way={case.way}"}
    found |= {f"join={node.spec.layer}" for node in case.nodes if len(set(node.inputs)) > 1}
    found |= {f"nest={nest.kind}" for nest in case.nests}
    found |= {f"operation={node.spec.layer}" for node in case.nodes if node.operation}
    return frozenset(found)


def _rows_without_values(case: ChainCase) -> bool:
    """Whether a row is masked whole in the second input, which is attended to, and not in the
    first."""
    query, *values = (tensor.valid.any(axis=1) for tensor in case.tensors)
    return any((query & ~one).any() for one in values)


def _nested_twice(case: ChainCase) -> bool:
    return any(
        inner is not outer and outer.first <= inner.first and inner.end <= outer.end
        for outer in case.nests
        for inner in case.nests
    )


def _casts(case: ChainCase) -> bool:
    """Whether some layer computes in another dtype than one of its inputs has."""
    dtypes = [case.dtype] * len(case.tensors)
    casts = False
    for node in case.nodes:
        policy = node.policy.removeprefix("mixed_")
        casts |= any(dtypes[number] != policy for number in node.inputs)
        dtypes.append(node.policy.removeprefix("mixed_"))
    return casts


def _several_consumers(case: ChainCase) -> bool:
    used = [number for node in case.nodes for number in set(node.inputs)]
    return len(used) > len(set(used))


def chain_facts(case: ChainCase, device: str, mode: str) -> frozenset[str]:
    """What a region may speak of: traits, and `name=value` of layers, maker and execution."""
    found = set(chain_traits(case))
    found |= {f"layer={node.spec.layer}" for node in case.nodes}
    found |= {f"policy={node.policy}" for node in case.nodes}
    found |= {f"content={tensor.content}" for tensor in case.tensors if tensor.masked}
    if case.other is not None:
        found.add(f"content={case.other}")
    return frozenset(
        found
        | {
            f"layers={len(case.nodes)}",
            f"given={bool(case.given)}",
            f"maker={case.maker}",
            f"device={device}",
            f"mode={mode}",
        }
    )


def simpler_chain(case: ChainCase) -> Iterator[ChainCase]:
    """The cases that are one step simpler: fewer layers first, then a smaller batch."""
    replace = msgspec.structs.replace
    for place in range(len(case.nodes)):
        yield from filter(None, [_without(case, place)])
    for place in range(len(case.nests)):
        flatter = replace(case, nests=(*case.nests[:place], *case.nests[place + 1 :]))
        if case.way in ways_of(flatter):
            yield flatter
    for place, node in enumerate(case.nodes):
        if node.policy != "float32" and node.has_layer:
            nodes = tuple(
                replace(one, policy="float32") if place in (other, one.again) else one
                for other, one in enumerate(case.nodes)
            )
            yield from filter(None, [settled(replace(case, nodes=nodes))])
        if node.again is not None:
            nodes = (*case.nodes[:place], replace(node, again=None), *case.nodes[place + 1 :])
            yield replace(case, nodes=nodes)
    if case.sizes != "unknown":
        yield replace(case, sizes="unknown")
    if case.way != "functional" and "functional" in ways_of(case) and case.maker != "optional":
        yield replace(case, way="functional")
    yield from _with_other_masks(case)
    rows = range(len(case.tensors[0].mask))
    if len(rows) > 1:
        half = len(rows) // 2
        for kept in (rows[:half], rows[half:], *([r for r in rows if r != out] for out in rows)):
            yield _with_masks(case, functools.partial(_rows, list(kept)))
    if len(case.tensors[0].mask[0]) > 1:
        yield _with_masks(case, lambda tensor: tuple(row[1:] for row in tensor.mask))
        yield _with_masks(case, lambda tensor: tuple(row[:-1] for row in tensor.mask))
    if any(tensor.content != "zeros" for tensor in case.tensors) and case.other != "zeros":
        yield replace(case, tensors=tuple(replace(t, content="zeros") for t in case.tensors))
    if case.other not in (None, "ones") and all(t.content != "ones" for t in case.tensors):
        yield replace(case, other="ones")
    if any(tensor.seed for tensor in case.tensors):
        yield replace(case, tensors=tuple(replace(t, seed=0) for t in case.tensors))
    if case.weights:
        yield replace(case, weights=0)


def _with_other_masks(case: ChainCase) -> Iterator[ChainCase]:
    """No mask that is given to the model, and a mask on each of its inputs."""
    replace = msgspec.structs.replace
    if case.given:
        yield replace(case, given=())
    if not all(tensor.masked for tensor in case.tensors):
        yield replace(case, tensors=tuple(replace(one, masked=True) for one in case.tensors))


def _rows(kept: list[int], tensor: Tensor) -> tuple[str, ...]:
    return tuple(tensor.mask[row] for row in kept)


def _with_masks(case: ChainCase, mask_of: Callable[[Tensor], tuple[str, ...]]) -> ChainCase:
    replace = msgspec.structs.replace
    tensors = tuple(replace(tensor, mask=mask_of(tensor)) for tensor in case.tensors)
    given = mask_of(Tensor(case.given)) if case.given else ()
    return replace(case, tensors=tensors, given=given)


def _without(case: ChainCase, place: int) -> ChainCase | None:
    """The chain without a layer, whose first input stands in for it; None where that cannot be."""
    gone = len(case.tensors) + place
    stands_in = case.nodes[place].inputs[0]

    def renumbered(number: int) -> int:
        number = stands_in if number == gone else number
        return number - 1 if number > gone else number

    def again(node: Node) -> int | None:
        if node.again is None or node.again == place:
            return None
        return node.again - (node.again > place)

    nodes = tuple(
        msgspec.structs.replace(node, inputs=tuple(map(renumbered, node.inputs)), again=again(node))
        for other, node in enumerate(case.nodes)
        if other != place
    )
    if not nodes:
        return None
    nests = []
    for nest in case.nests:
        first, end = nest.first - (place < nest.first), nest.end - (place < nest.end)
        if first < end:
            nests.append(msgspec.structs.replace(nest, first=first, end=end))
    shorter = settled(msgspec.structs.replace(case, nodes=nodes, nests=tuple(nests)))
    if shorter is None or not fits(shorter) or case.way not in ways_of(shorter):
        return None
    return shorter if case.maker != "optional" or place else None
