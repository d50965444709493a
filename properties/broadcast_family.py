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

_MOST = 4  # cases of an example
_CHUNK = 500


def product_strata(
    property: Property, layer: str, keras_major: int, mode: str, seed: int
) -> Strata:
    """Each stratum of a way; in full also all that is small, for what has a `share` then of 1."""
    strata = []
    # Where all is refused nothing comes out that could be compared.
    accepted = property.name in ("product_values", "product_dtype")
    for stratum in strata_of(layer, keras=keras_major, accepted=accepted):
        cases = way_cases(way=layer, stratum=stratum, mode=mode, keras=keras_major)  # type: ignore[arg-type]
        cases = cases.filter(property.applies)
        strata.append(Stratum(stratum, st.lists(cases, min_size=1, max_size=_MOST).map(tuple)))
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
