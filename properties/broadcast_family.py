"""What cells of ways to multiply meet, and what makes a case of them simpler."""

from __future__ import annotations

import functools
import itertools
import zlib
from collections.abc import Callable, Iterator

import msgspec
from hypothesis import strategies as st

from catalogue.broadcasting import BroadcastCase
from catalogue.hazards import witnesses
from properties.registry import Property
from properties.strata import THINNED, Strata, Stratum
from strategies.ways import every_small, strata_of, way_cases

__all__ = ["product_strata", "simpler_product"]

_TOGETHER = 5  # strata of an example: one by one, Hypothesis would cost more than the products
_CHUNK = 500
_ABOUT = {"intended_axes": False, "product_dtype": True}  # of strata of dtypes, or of the others


def product_strata(
    property: Property, layer: str, keras_major: int, mode: str, seed: int
) -> Strata:
    """Each stratum of a way; in full also all that is small, for what has a `share` then of 1."""
    # Where all is refused nothing comes out that could be compared.
    accepted = property.name in ("product_values", "product_dtype")
    names = [
        name
        for name in strata_of(layer, keras=keras_major, accepted=accepted)
        # Dtypes have nothing to do with axes, nor shapes with dtypes.
        if property.name not in _ABOUT or name.startswith("mask of ") == _ABOUT[property.name]
    ]
    models = [name for name in names if name.startswith("output of ")]
    names = [
        name for name in names if name not in models and (mode == "eager" or "symb" not in name)
    ]
    if property.name == "intended_axes":  # it needs operands of its own choice
        names = [name for name in names if "output of " not in name]
    elif mode != "xla" and models:
        # Models are dear: a third of them in each round, and one where each shape is traced, or
        # where little is met (`quick`). Each way and property begins elsewhere.
        first = seed + zlib.crc32(f"{property.name} {layer}".encode())
        few = mode == "graph" or property.share >= THINNED
        count = 1 if few else -(-len(models) // 3)
        names += [models[(first + place) % len(models)] for place in range(count)]
    if mode == "xla":  # which compiles for each shape: a third, another one in each round
        names = names[seed % 3 :: 3] or names
    strata = []
    for first in range(0, len(names), _TOGETHER):
        together = names[first : first + _TOGETHER]
        cases = [
            way_cases(way=layer, stratum=name, mode=mode, keras=keras_major)  # type: ignore[arg-type]
            for name in together
        ]
        examples = st.tuples(*(one.filter(property.applies) for one in cases))
        # Each shape is compiled anew, and stays in memory.
        strata.append(Stratum(", ".join(together), examples, once=mode == "xla"))
    if property.name == "intended_axes":
        smallest = tuple(witnesses(layer, mode, keras_major))  # type: ignore[arg-type]
        if smallest:
            strata.insert(0, Stratum("smallest witnesses", st.just(smallest), once=True))
        if property.share == 1 and mode != "xla":
            strata += _enumerated(layer, mode, keras_major)
    return Strata(tuple(strata))


def _enumerated(layer: str, mode: str, keras_major: int) -> Iterator[Stratum]:
    """All that is small, in chunks, made one after the other as they are met."""
    for rank in (2, 3, 4):
        every = functools.partial(every_small, layer, mode, keras_major, (rank,))  # type: ignore[arg-type]
        chunk = _chunks(every())
        for first in range(0, sum(1 for _ in every()), _CHUNK):
            examples = st.just(first).map(chunk)
            yield Stratum(f"rank {rank}, sizes 1 to 4, from {first}", examples, once=True)


def _chunks(cases: Iterator[BroadcastCase]) -> Callable[[int], tuple[BroadcastCase, ...]]:
    """The next cases for each number that is new; the last ones are kept, to be met again."""
    kept: dict[int, tuple[BroadcastCase, ...]] = {}

    def chunk(first: int) -> tuple[BroadcastCase, ...]:  # Hypothesis looks into a plain function
        if first not in kept:
            kept.clear()
            kept[first] = tuple(itertools.islice(cases, _CHUNK))
        return kept[first]

    return chunk


def simpler_product(case: BroadcastCase) -> Iterator[BroadcastCase]:
    """A seed of 0, then operands of one dtype, known shapes, plain arrays."""
    replace = msgspec.structs.replace
    if case.seed:
        yield replace(case, seed=0)
    if case.dtype != "float32":
        yield replace(case, dtype="float32")
    if case.mask_dtype:
        yield replace(case, mask_dtype="")
    if not case.static:
        yield replace(case, static=True)
    if case.model:
        yield replace(case, model="")
    if case.symbolic:
        yield replace(case, symbolic=False)
