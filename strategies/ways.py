"""Strategies for what each way to multiply an output by a mask is given."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from catalogue.broadcasting import (
    DTYPES,
    MASK_DTYPES,
    BroadcastCase,
    Dtype,
    Mode,
    Shape,
    result_dtype,
)
from catalogue.ways import WAYS, Way
from strategies.operands import STRATA, broadcast_cases

__all__ = ["every_small", "strata_of", "way_cases"]

_MAX_SIZE = 6

# Masks that are fitted to the output's rank: sizes, and the axes that they are meant for.
_FORMS: dict[str, tuple[int, ...]] = {
    "(B,T)": (0, 1),
    "(B,1)": (0,),
    "(B,)": (0,),
    "(B,1,T)": (0, 1),
}
_PERMUTED = "(B,1,T)"
_HOW = ("fitting", "refused", "coinciding")
_PREFIXES = ("prefix fitting", "prefix refused", "prefix coinciding", "too long refused")


def strata_of(way: str, *, keras: int = 3, accepted: bool = False) -> tuple[str, ...]:
    """The names of what a way meets; with `accepted` without those that are always refused."""
    if way not in WAYS:
        raise InvalidArgument(f"way={way!r} must be one of {', '.join(WAYS)}")
    found = WAYS[way]
    if found.rule == "leading":
        shapes: tuple[str, ...] = _PREFIXES
    elif found.fit != "none":
        shapes = tuple(f"{form} {how}" for form in _forms(found) for how in _HOW)
    else:
        shapes = STRATA
    # What is selected by no bool is not documented.
    dtypes = MASK_DTYPES if found.rule != "leading" else ("bool",)
    if accepted:
        shapes = tuple(name for name in shapes if not name.endswith(" refused"))
        if found.fit == "repeated":  # steps lie where features are
            shapes = tuple(name for name in shapes if name.endswith(" coinciding"))
        dtypes = tuple(
            dtype
            for dtype in dtypes
            if any(result_dtype(found, output, dtype, keras=keras) for output in DTYPES)
        )
    return (*shapes, *(f"mask of {dtype}" for dtype in dtypes))


def way_cases(
    *,
    way: str = "multiply",
    stratum: str = "any",
    mode: Mode = "graph",
    static: bool | None = None,
    keras: int = 3,
) -> st.SearchStrategy[BroadcastCase]:
    """Cases of one way to multiply, of one of `strata_of(way)`, to be run in `mode`.

    Ways that broadcast meet the strata of `broadcast_cases`; a tensor of a layer has a batch
    axis, so that masks of rank 0 become masks of rank 1. Ways that fit the mask's rank meet
    outputs of rank 2 to 4, with the masks that people fit: `fitting` (all sizes differ),
    `refused` (the mask is of another batch or of other steps) and `coinciding`. A selection
    meets masks that are a prefix of the output's shape, or not. In `mask of ...` the mask has a
    dtype, and the output any. Shrinks towards few axes, small sizes, known shapes, float32.
    """
    if stratum not in strata_of(way):
        raise InvalidArgument(f"stratum={stratum!r} must be one of {', '.join(strata_of(way))}")
    found = WAYS[way]
    if stratum.startswith("mask of "):
        cases = _of_dtypes(found, stratum.removeprefix("mask of "))
    elif found.rule == "leading":
        cases = _prefixes(stratum)
    elif found.fit != "none":
        cases = _fitted(found, *stratum.split(" "))
    else:
        return broadcast_cases(stratum=stratum, mode=mode, static=static).map(
            lambda case: _as(found, case, keras)
        )
    known = st.booleans().map(lambda drawn: not drawn)
    if mode == "eager" and not found.symbolic:
        known = st.just(True)
    elif static is not None:
        known = st.just(static)
    return st.builds(
        lambda case, static, seed: msgspec.structs.replace(
            case, static=static, seed=seed, mode=mode, way=way, keras=keras
        ),
        cases,
        known,
        st.integers(0, 2**16 - 1),
    )


def _as(way: Way, case: BroadcastCase, keras: int) -> BroadcastCase:
    """The same operands, for another way."""
    changes = {"way": way.name, "keras": keras}
    if way.dtypes == "condition":
        changes["mask_dtype"] = "bool"
    if len(case.mask) < way.least:
        changes["mask"] = (1,)
    return msgspec.structs.replace(case, **changes)


# A case is made for the plainest way first, and then given the one that it is for: shapes alone
# are drawn here.


@st.composite
def _of_dtypes(draw: st.DrawFn, way: Way, dtype: Any) -> BroadcastCase:
    """A mask of a dtype, on outputs of each, of shapes that fit or do not."""
    rank = 3 if 3 in way.ranks else 2
    batch, step, features = draw(_sizes(3))
    if way.fit == "repeated":  # steps lie where features are
        features = step
    output: Shape = (batch, step, features)[:rank]
    mask: Shape = (batch, step, 1)
    if way.rule == "leading":
        mask = (batch, step)
    elif way.fit != "none":
        mask = {2: (batch, step), 3: (batch, 1, step)}[min(max(2, way.least), way.most)]
    drawn = draw(st.sampled_from(DTYPES), label="dtype")
    return BroadcastCase(
        output, mask, (0, 1), dtype=drawn, mask_dtype="" if dtype == drawn else dtype
    )


@st.composite
def _fitted(draw: st.DrawFn, way: Way, form: str, how: str) -> BroadcastCase:
    rank = draw(st.sampled_from([one for one in way.ranks if one >= max(2, _rank(form))]))
    if how == "coinciding":
        sizes = (draw(st.integers(1, _MAX_SIZE), label="every size"),) * rank
    else:
        sizes = draw(_sizes(rank))
    mask = _mask(form, sizes)
    if how == "refused":
        other = draw(st.integers(2, _MAX_SIZE + 1).filter(lambda size: size != sizes[0]))
        mask = (other, *mask[1:])
    return BroadcastCase(sizes, mask, _FORMS[form], dtype=draw(_dtypes(way)))


@st.composite
def _prefixes(draw: st.DrawFn, stratum: str) -> BroadcastCase:
    kind = stratum.removesuffix(" fitting").removesuffix(" refused").removesuffix(" coinciding")
    rank = draw(st.integers(1, 4))
    if stratum.endswith("coinciding"):
        sizes = (draw(st.integers(1, 4), label="every size"),) * rank
    else:
        sizes = draw(_sizes(rank))
    if kind == "too long":
        mask = (*sizes, draw(st.integers(1, 3)))
    else:
        mask = sizes[: draw(st.integers(1, rank))]
    if stratum == "prefix refused":
        place = draw(st.integers(0, len(mask) - 1))
        other = draw(st.integers(1, _MAX_SIZE).filter(lambda size: size != sizes[place]))
        mask = (*mask[:place], other, *mask[place + 1 :])
    return BroadcastCase(sizes, mask, mask_dtype="bool", dtype=draw(st.sampled_from(DTYPES)))


def _sizes(rank: int) -> st.SearchStrategy[Shape]:
    """Sizes above 1 that all differ."""
    return st.lists(st.integers(2, _MAX_SIZE), min_size=rank, max_size=rank, unique=True).map(tuple)


def _dtypes(way: Way) -> st.SearchStrategy[Dtype]:
    # What a layer hands on is float32, which multiplies no other.
    return st.sampled_from(DTYPES[:1] if way.layered else DTYPES)


def _forms(way: Way) -> list[str]:
    """The masks that a way fits to the output."""
    if way.fit == "permuted":
        return [_PERMUTED]
    return [form for form in _FORMS if form != _PERMUTED and way.least <= _rank(form) <= way.most]


def _rank(form: str) -> int:
    return len(_letters(form))


def _letters(form: str) -> list[str]:
    return [letter for letter in form.strip("()").split(",") if letter]


def _mask(form: str, sizes: Shape) -> Shape:
    named = {"B": sizes[0], "T": sizes[1], "1": 1}
    return tuple(named[letter] for letter in _letters(form))


# -- all that is small -----------------------------------------------------------------------


def every_small(way: str, mode: Mode, keras: int) -> Iterator[BroadcastCase]:
    """Every mask that is meant for (batch, step) or (batch), over sizes 1 to 4.

    Outputs of rank 2 to 4; masks of shapes (B,T,1), (B,T), (B,1,1), (B,1) and (B,), and with
    axes between. Shapes are not known when a graph is traced, nor the batch of symbolic tensors.
    """
    found = WAYS[way]
    forms = {"(B,T,1)": (0, 1), "(B,1,1)": (0,), **_FORMS}
    for rank in (2, 3, 4):
        if rank not in found.ranks:
            continue
        for sizes in itertools.product(range(1, 5), repeat=rank):
            for form, intended in forms.items():
                if found.least <= _rank(form) <= found.most:
                    yield BroadcastCase(
                        sizes,
                        _mask(form, sizes),
                        intended,
                        static=mode == "eager" and not found.symbolic,
                        mode=mode,
                        way=way,
                        mask_dtype="bool" if found.dtypes == "condition" else "",
                        keras=keras,  # type: ignore[arg-type]
                    )
