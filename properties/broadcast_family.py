"""What cells of ways to multiply meet, and what makes a case of them simpler."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from hypothesis import strategies as st

from catalogue.broadcasting import BroadcastCase
from properties.registry import Property
from properties.strata import Strata, Stratum
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
        strata.append(Stratum(", ".join(together), examples))
    if property.name == "intended_axes" and property.share == 1:
        found = [case for case in every_small(layer, mode, keras_major) if property.applies(case)]  # type: ignore[arg-type]
        for first in range(0, len(found), _CHUNK):
            chunk = tuple(found[first : first + _CHUNK])
            strata.append(Stratum(f"sizes 1 to 4, from {first}", st.just(chunk)))
    return Strata(tuple(strata))


def simpler_product(case: BroadcastCase) -> Iterator[BroadcastCase]:
    """A seed of 0, then operands of one dtype, known shapes."""
    replace = msgspec.structs.replace
    if case.seed:
        yield replace(case, seed=0)
    if case.dtype != "float32":
        yield replace(case, dtype="float32")
    if case.mask_dtype:
        yield replace(case, mask_dtype="")
    if not case.static:
        yield replace(case, static=True)
