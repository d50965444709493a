"""The family of layers that are given sequences: strata, facts, and what makes a case simpler."""

from __future__ import annotations

import itertools
import random
import zlib
from collections.abc import Callable, Iterator

import msgspec
import numpy as np

from catalogue.cases import RaggedBatch
from catalogue.chance import seeded
from catalogue.layer_cases import LayerCase, Tensor
from catalogue.layers import LAYER_ENTRIES, entry_of
from catalogue.specs import Spec
from catalogue.traits import batch_traits
from properties.registry import Property
from properties.strata import THINNED, Strata, Stratum, domains_of
from strategies.layers import (
    AS_MANY_AS_HEADS,
    LayerConfiguration,
    kinds_in_turn,
    layer_configurations,
    layer_examples,
    plain_case,
)

__all__ = ["layer_facts", "layer_strata", "layer_traits", "simpler_layer"]

_BATCHES = 3  # ragged batches for each configuration that is drawn
_FEWEST = 5  # configurations of a property that is thinned out to a third
_FEWER = 4  # and of a layer of which a trace takes a second
_LONG = ("Bidirectional(", "ConvLSTM", "TimeDistributed(")
_LEFT_TO_CHANCE = 4  # configurations in which something is dropped, where it is what is looked at
_SEEDS = 10  # with which configurations are drawn until one suits a property


def layer_strata(property: Property, layer: str, keras_major: int, mode: str, seed: int) -> Strata:
    """What a cell meets: each configuration with several kinds of batches."""
    found: list[LayerConfiguration] = []
    for other in range(_SEEDS):  # few configurations may hold none that the property speaks of
        drawn = layer_configurations(LAYER_ENTRIES[layer], seed=seed + 10**6 * other)
        if property.chance and keras_major > 2:
            drawn = [msgspec.structs.replace(one, spec=_by_seed(one)) for one in drawn]
        found += [one for one in drawn if property.applies(plain_case(one))]
        if len(found) >= (_LEFT_TO_CHANCE if property.chance == "any" else 1):
            break
    found = _covering(layer, found) if property.covering and property.share > 1 else found
    found = found if property.covering else _share(property, layer, found)
    rng = random.Random(f"{property.name} {layer} {seed}")
    turns = kinds_in_turn(len(found), 1 if property.dear else _BATCHES, rng)
    dear = layer.startswith(_LONG) and (property.dear or property.apart)
    if dear:
        # Long sequences take seconds where each step is called eagerly.
        turns = [tuple("mixed" if kind == "long" else kind for kind in kinds) for kinds in turns]
    strata = []
    coincide = ("coinciding", AS_MANY_AS_HEADS if LAYER_ENTRIES[layer].heads else "coinciding")
    kinds_of_eager, kinds_of_known = (
        itertools.cycle(one) for one in (coincide, (*coincide, "long", ""))
    )
    for place, (configuration, kinds) in enumerate(zip(found, turns, strict=True)):
        if configuration.static:
            # Each batch of known size is a trace of its own. Where all sizes are one, what goes by
            # them may take one axis for another.
            kind = next(kinds_of_known)
            kind = "" if kind == "long" and dear else kind
            kinds = (kind,) if kind else _telling(kinds)[:1]  # noqa: PLW2901
        elif "coinciding" in property.kinds:
            kinds = (*kinds[:-1], next(kinds_of_eager))  # noqa: PLW2901
        kinds = (*kinds, *(one for one in property.kinds if one != "coinciding"))  # noqa: PLW2901
        examples = layer_examples(
            configuration=configuration, kinds=kinds, choices=property.choices
        )
        strata.append(Stratum(f"{place}: {configuration.spec!r}", examples, configuration.chosen))
    return Strata(tuple(strata), domains_of([one.chosen for one in found]))


def _telling(kinds: tuple[str, ...]) -> tuple[str, ...]:
    """Kinds of batches of which some steps are masked and others are not, where there are any."""
    return tuple(one for one in kinds if one not in _ALIKE) or kinds


_ALIKE = ("all valid", "fully masked batch")


def _by_seed(configuration: LayerConfiguration) -> Spec:
    """The layer, with a seed where chance decides."""
    case = plain_case(configuration)
    return seeded(case.spec) if entry_of(case).random(case) else case.spec


def _share(
    property: Property, layer: str, found: list[LayerConfiguration]
) -> list[LayerConfiguration]:
    """The configurations that a property meets: the first, which meet most pairs, and share traces.

    One that is `apart` meets others, all through the list.
    """
    if not property.apart:
        fewest = _FEWER if layer.startswith(_LONG) else _FEWEST
        # One less where all are thinned out, but for heads that may have masks of their own.
        fewest -= property.thinned and not LAYER_ENTRIES[layer].heads
        fewest = fewest if property.share <= THINNED else 1
        return found[: max(fewest, -(-len(found) // property.share))]
    count = max(1, min(property.share, len(found)))
    return found[zlib.crc32(property.name.encode()) % count :: property.share]


def _covering(layer: str, found: list[LayerConfiguration]) -> list[LayerConfiguration]:
    """Few configurations that give each value to each argument of the constructor; one at least.

    Of a layer that is dear, fewer.
    """
    entry = LAYER_ENTRIES[layer]
    values = {id(one): {(name, repr(one.chosen[name])) for name in entry.domains} for one in found}
    pool, kept, met = list(found), list[LayerConfiguration](), set[tuple[str, str]]()
    while pool and len(kept) < max(1, entry.most // 3):
        best = max(pool, key=lambda one: len(values[id(one)] - met))
        if kept and values[id(best)] <= met:
            break
        pool.remove(best)
        kept.append(best)
        met |= values[id(best)]
    return kept


def layer_traits(case: LayerCase) -> frozenset[str]:
    """The traits of a case: those of its masked tensors, and what tensors have in common."""
    masked = [tensor for tensor in case.tensors if tensor.masked]
    found: set[str] = set()
    for tensor in masked:
        batch = RaggedBatch(_outer_rows(tensor), tensor.content, tensor.seed)
        found |= batch_traits(batch)
    contents = {case.other, *(tensor.content for tensor in masked if _padded_inside(tensor))}
    named = {
        "no_mask": case.form == "absent" or not masked,
        "travelling_mask": case.form == "travelling" and bool(masked),
        "explicit_mask": case.form == "explicit" and bool(masked),
        "unmasked_tensor": 0 < len(masked) < len(case.tensors),
        "key_and_value_masks_differ": _key_differs(case),
        "masks_differ": len({tensor.mask for tensor in masked}) > 1,
        "cast": case.policy.removeprefix("mixed_") != case.dtype,
        "nested_sequences": any(tensor.fold for tensor in case.tensors),
        "inner_padding": any(map(_padded_inside, masked)),
        "element_mask": case.element is not None,
        "known_sizes": case.static,
        "single_feature": all(tensor.rest[-1:] == (1,) for tensor in case.tensors),
        "nested_features": any(len(tensor.rest) > 1 for tensor in case.tensors),
        "features_differ": len({tensor.rest for tensor in case.tensors}) > 1,
        "infinite_padding": not contents.isdisjoint(("inf", "-inf")),
        "nan_padding": "nan" in contents,
        "largest_padding": "largest" in contents,
    }
    found |= entry_of(case).traits(case)
    return frozenset(found | {name for name, holds in named.items() if holds})


def _padded_inside(tensor: Tensor) -> bool:
    """Whether some outer step has inner ones that are masked, and others that are not."""
    if not tensor.fold:
        return False
    return bool((tensor.valid.any(axis=2) & ~tensor.valid.all(axis=2)).any())


def _outer_rows(tensor: Tensor) -> tuple[str, ...]:
    """The rows of a mask; of nested sequences their outer steps, valid where any inner one is."""
    if not tensor.fold:
        return tensor.mask
    outer = np.asarray(tensor.valid.any(axis=2))
    return tuple("".join("01"[int(step)] for step in row) for row in outer)


def _key_differs(case: LayerCase) -> bool:
    """Whether a key, where there is one, has a mask, and another one than its value."""
    if len(case.tensors) != 3 or entry_of(case).sequences.same_steps:
        return False
    value, key = (tensor.mask if tensor.masked else None for tensor in case.tensors[1:])
    return case.form != "absent" and key is not None and value != key


def layer_facts(case: LayerCase, device: str, mode: str) -> frozenset[str]:
    """What a region may speak of: traits, and `name=value` of arguments, form and execution."""
    entry = entry_of(case)
    found = set(layer_traits(case))
    for name, values in entry.domains.items():
        value = case.spec.get(name, values[0])
        found.add(f"{name}={value.layer if isinstance(value, Spec) else value}")
    for name, value in case.spec.arguments.items():
        inner = value.arguments if isinstance(value, Spec) else {}
        found |= {f"{name}.{argument}={each}" for argument, each in inner.items()}
    found |= {f"{name}={case.arguments.get(name, False)}" for name in entry.call_domains}
    found |= {
        f"layer={case.spec.layer}",
        f"mask={case.form}",
        f"tensors={len(case.tensors)}",
        f"rank={len(case.tensors[0].shape)}",
        f"training={case.training}",
        f"dtype={case.dtype}",
        f"policy={case.policy}",
        f"mask_dtype={case.mask_dtype}",
        f"keywords={case.keywords}",
        f"shared={case.shared}",
        f"heads={case.heads}",
        f"device={device}",
        f"mode={mode}",
        *(f"content={tensor.content}" for tensor in case.tensors if tensor.masked),
    }
    if case.other is not None:
        found.add(f"content={case.other}")
    return frozenset(found)


def simpler_layer(case: LayerCase) -> Iterator[LayerCase]:
    """The cases that are one step simpler."""
    replace = msgspec.structs.replace
    entry = entry_of(case)
    for name in case.spec.arguments:
        if name not in entry.fixed:
            yield replace(case, spec=entry.complete(case.spec.without(name)))
    plainest = Spec(entry.layer, dict(entry.fixed))
    for name in entry.domains:
        if "." in name and case.spec.get(name) != plainest.get(name):
            plain = plainest.get(name)
            simpler = (
                case.spec.without(name) if plain is None else case.spec.replace(**{name: plain})
            )
            yield replace(case, spec=entry.complete(simpler))
    for name in case.arguments:
        if False not in entry.call_domains.get(name, (False,)):
            continue  # without it the entry is another
        rest = {key: value for key, value in case.arguments.items() if key != name}
        yield replace(case, arguments=rest)
    if case.training is not None:
        yield replace(case, training=None)
    if case.policy != "float32" or case.dtype != "float32":
        yield replace(case, policy="float32", dtype="float32")
        yield replace(case, policy="float32")
        yield replace(case, dtype="float32")
    if case.static and not entry.sequences.known and not entry.unrolled(case.spec):
        yield replace(case, static=False)
    if case.keywords:
        yield replace(case, keywords=False)
    yield from _simpler_elements(case)
    if case.mask_dtype != "bool":
        yield replace(case, mask_dtype="bool")
    if len(case.tensors) > min(entry.sequences.counts):
        yield replace(case, tensors=case.tensors[:-1])
    yield from _simpler_tensors(case)


def _simpler_elements(case: LayerCase) -> Iterator[LayerCase]:
    """Without what a mask of single elements has besides them, and without it."""
    replace = msgspec.structs.replace
    if case.shared:
        yield replace(case, shared=False)
    for heads in (1, 0):
        if case.heads > heads:
            yield replace(case, heads=heads)
    if case.element is not None:
        yield replace(case, element=None, shared=False, heads=0)


def _simpler_tensors(case: LayerCase) -> Iterator[LayerCase]:
    replace = msgspec.structs.replace
    tensors = case.tensors

    def with_all(change: Callable[[Tensor], Tensor]) -> LayerCase:
        return replace(case, tensors=tuple(map(change, tensors)))

    def of_rows(kept: list[int]) -> Callable[[Tensor], Tensor]:
        return lambda tensor: replace(tensor, mask=tuple(tensor.mask[row] for row in kept))

    def cut(first: int, last: int) -> Callable[[Tensor], Tensor]:
        def shorter(tensor: Tensor) -> Tensor:
            inner = tensor.fold or 1
            rows = (row[first * inner : len(row) - last * inner] for row in tensor.mask)
            return replace(tensor, mask=tuple(rows))

        return shorter

    rows = list(range(len(tensors[0].mask)))
    if len(rows) > 1:
        half = len(rows) // 2
        for kept in (rows[:half], rows[half:], *([r for r in rows if r != out] for out in rows)):
            yield with_all(of_rows(kept))
    if min(tensor.steps[1] for tensor in tensors) > entry_of(case).sequences.least:
        yield with_all(cut(0, 1))
        yield with_all(cut(1, 0))
    sizes = entry_of(case).sequences.rests
    for rest in sorted(sizes, key=lambda rest: (len(rest), rest)):
        if all((len(rest), rest) < (len(tensor.rest), tensor.rest) for tensor in tensors):
            yield with_all(lambda t, rest=rest: replace(t, rest=rest))  # type: ignore[misc]
    for place, tensor in enumerate(tensors):
        for simpler in _simpler_tensor(tensor):
            if case.other == simpler.content:
                continue
            yield replace(case, tensors=(*tensors[:place], simpler, *tensors[place + 1 :]))
    if case.other not in (None, "ones") and all(t.content != "ones" for t in tensors):
        yield replace(case, other="ones")
    if case.weights:
        yield replace(case, weights=0)


def _simpler_tensor(tensor: Tensor) -> Iterator[Tensor]:
    replace = msgspec.structs.replace
    if tensor.content != "zeros":
        yield replace(tensor, content="zeros")
    if tensor.seed:
        yield replace(tensor, seed=0)
    full = tuple("1" * len(row) for row in tensor.mask)
    if tensor.mask != full:
        yield replace(tensor, mask=full)
