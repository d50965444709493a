"""The family of chains: strata, facts, and what makes a case simpler."""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec
from hypothesis import strategies as st

from catalogue.cases import RaggedBatch
from catalogue.chains import ChainCase, Node
from catalogue.specs import Spec
from catalogue.traits import batch_traits
from properties.registry import Property
from properties.strata import Strata, Stratum
from strategies.chains import FAMILIES_OF_CHAINS, layer_chains
from strategies.ragged import KINDS

__all__ = ["CHAINS", "chain_facts", "chain_strata", "chain_traits", "simpler_chain"]

CHAINS = tuple(FAMILIES_OF_CHAINS)
_STRATA = 24  # chains of a cell, before it is thinned out
# A graph of TimeDistributed over unknown steps costs ten times as much as another.
_DEAR = {"chain: TimeDistributed before a recurrent layer": 2}


def chain_strata(property: Property, layer: str, keras_major: int, mode: str, seed: int) -> Strata:
    """What a cell meets: chains, each with a batch of another kind."""
    rng = random.Random(f"{property.name} {layer} {seed}")
    # A model of Keras 2 costs several times as much.
    cost = property.share * _DEAR.get(layer, 1) * (2 if keras_major == 2 else 1)
    count = max(2, _STRATA // cost)
    kinds = [kind for kind in KINDS if kind not in ("tall", "long")] if property.dear else KINDS
    pool: list[str] = []
    strata = []
    for place in range(count):
        pool = pool or rng.sample(kinds, len(kinds))
        chains = layer_chains(family=layer, kind=pool.pop(), choices=property.choices)
        strata.append(Stratum(f"{place}", st.tuples(chains)))
    return Strata(tuple(strata))


def chain_traits(case: ChainCase) -> frozenset[str]:
    """The traits of a case: those of its inputs, and what there is on the way."""
    found: set[str] = set()
    for tensor in case.tensors:
        found |= batch_traits(RaggedBatch(tensor.mask, tensor.content, tensor.seed))
    masks = {tensor.mask for tensor in case.tensors}
    named = {
        "masks_differ": len(masks) > 1,
        "cast": _casts(case),
        "infinite_padding": case.other in ("inf", "-inf"),
        "nan_padding": case.other == "nan",
        "largest_padding": case.other == "largest",
        "several_consumers": _several_consumers(case),
        "join": any(len(node.inputs) > 1 for node in case.nodes),
        "travelling_mask": True,
    }
    return frozenset(found | {name for name, holds in named.items() if holds})


def _casts(case: ChainCase) -> bool:
    """Whether some layer computes in another dtype than one of its inputs has."""
    dtypes = [case.dtype] * len(case.tensors)
    casts = False
    for node in case.nodes:
        casts |= any(dtypes[number] != node.policy for number in node.inputs)
        dtypes.append(node.policy)
    return casts


def _several_consumers(case: ChainCase) -> bool:
    used = [number for node in case.nodes for number in set(node.inputs)]
    return len(used) > len(set(used))


def chain_facts(case: ChainCase, device: str, mode: str) -> frozenset[str]:
    """What a region may speak of: traits, and `name=value` of layers, maker and execution."""
    found = set(chain_traits(case))
    found |= {f"layer={node.spec.layer}" for node in case.nodes}
    found |= {f"policy={node.policy}" for node in case.nodes}
    found |= {f"content={tensor.content}" for tensor in case.tensors}
    if case.other is not None:
        found.add(f"content={case.other}")
    return frozenset(
        found
        | {
            f"layers={len(case.nodes)}",
            f"maker={case.maker}",
            f"device={device}",
            f"mode={mode}",
        }
    )


def simpler_chain(case: ChainCase) -> Iterator[ChainCase]:
    """The cases that are one step simpler: fewer layers first, then a smaller batch."""
    replace = msgspec.structs.replace
    for place in range(len(case.nodes)):
        without = _without(case, place)
        if without is not None:
            yield without
    for place, node in enumerate(case.nodes):
        if node.policy != "float32":
            nodes = (*case.nodes[:place], replace(node, policy="float32"), *case.nodes[place + 1 :])
            yield replace(case, nodes=nodes)
    rows = range(len(case.tensors[0].mask))
    if len(rows) > 1:
        half = len(rows) // 2
        for kept in (rows[:half], rows[half:], *([r for r in rows if r != out] for out in rows)):
            yield _with_masks(case, lambda tensor, kept=kept: tuple(tensor.mask[r] for r in kept))
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


def _with_masks(case: ChainCase, mask_of: object) -> ChainCase:
    replace = msgspec.structs.replace
    tensors = tuple(replace(t, mask=mask_of(t)) for t in case.tensors)  # type: ignore[operator]
    return replace(case, tensors=tensors)


def _without(case: ChainCase, place: int) -> ChainCase | None:
    """The chain without a layer, whose first input stands in for it; None where that cannot be."""
    gone = len(case.tensors) + place
    stands_in = case.nodes[place].inputs[0]

    def renumbered(number: int) -> int:
        number = stands_in if number == gone else number
        return number - 1 if number > gone else number

    nodes = tuple(
        msgspec.structs.replace(node, inputs=tuple(map(renumbered, node.inputs)))
        for other, node in enumerate(case.nodes)
        if other != place
    )
    if not nodes:
        return None
    shorter = msgspec.structs.replace(case, nodes=nodes)
    return shorter if _fits(shorter) else None


def _fits(case: ChainCase) -> bool:
    """Whether each layer can be called on what it is given."""
    shapes: list[tuple[int, ...]] = [tensor.rest for tensor in case.tensors]
    for node in case.nodes:
        given = [shapes[number] for number in node.inputs]
        if any(shape == () for shape in given):
            return False  # no steps are left
        if len(set(given)) > 1 and node.spec.layer != "Concatenate":
            return False
        shapes.append(_behind(node, given))
    return True


def _behind(node: Node, given: list[tuple[int, ...]]) -> tuple[int, ...]:
    """What stands behind (batch, step) in a node's output; nothing where no steps are left."""
    spec = node.spec
    if spec.layer in ("LSTM", "GRU", "SimpleRNN") and not spec.get("return_sequences"):
        return ()
    if spec.layer == "GlobalAveragePooling1D":
        return ()
    if spec.layer == "Concatenate":
        return (sum(shape[-1] for shape in given),)
    inner = spec.get("layer", spec)
    assert isinstance(inner, Spec)
    units = inner.get("units")
    return (units,) if isinstance(units, int) else given[0]
