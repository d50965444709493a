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
from catalogue.hazards import FORMS, shape_of
from catalogue.multiplied import MODELS
from catalogue.ways import WAYS, Way
from strategies.operands import STRATA, broadcast_cases

__all__ = ["every_small", "strata_of", "way_cases"]

_MAX_SIZE = 6

_FITTED = ("(B,T)", "(B,1)", "(B,)")  # masks that are fitted to the output's rank
_PERMUTED = "(B,1,T)"
_HOW = ("fitting", "refused", "coinciding")
_SYMBOLIC = "symbolic "
_MODEL = "output of "
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
    others = [f"{_MODEL}{name}" for name, one in MODELS.items() if {*one.ranks} & {*found.ranks}]
    if not found.symbolic and (found.takes_symbols(keras) or not accepted):
        hows = [how for how in _HOW if not (accepted and how == "refused")]
        others += [f"{_SYMBOLIC}{how}" for how in hows if any(s.endswith(how) for s in shapes)]
        others.append(f"{_SYMBOLIC}output of a model")
    return (*shapes, *(f"mask of {dtype}" for dtype in dtypes), *others)


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
    dtype, and the output any; in `output of ...` the output is a recurrent model's; what is
    `symbolic` is run as a Functional model. Shrinks towards few axes, small sizes, known shapes,
    float32.
    """
    if stratum not in strata_of(way):
        raise InvalidArgument(f"stratum={stratum!r} must be one of {', '.join(strata_of(way))}")
    found = WAYS[way]
    if stratum.startswith(_SYMBOLIC):
        return _symbolic(way, stratum.removeprefix(_SYMBOLIC), mode, static, keras)
    if stratum.startswith(_MODEL):
        cases = _of_models(found, stratum.removeprefix(_MODEL))
    elif stratum.startswith("mask of "):
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


def _symbolic(
    way: str, how: str, mode: Mode, static: bool | None, keras: int
) -> st.SearchStrategy[BroadcastCase]:
    """What a way meets otherwise, as symbolic tensors; the batch is known or not."""
    if how == "output of a model":
        names = [name for name in strata_of(way, keras=keras) if name.startswith(_MODEL)]
    else:
        names = [name for name in strata_of(way, keras=keras) if name.endswith(f" {how}")]
        names = [name for name in names if not name.startswith(_SYMBOLIC)]
    known = st.booleans().map(lambda drawn: not drawn)
    return st.builds(
        lambda case, static: msgspec.structs.replace(
            case, symbolic=True, static=static, mask=case.mask or (1,)
        ),
        st.sampled_from(names).flatmap(
            lambda name: way_cases(way=way, stratum=name, mode=mode, keras=keras)
        ),
        known if static is None else st.just(static),
    )


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
    mask = shape_of(form, sizes)
    if how == "refused":
        other = draw(st.integers(2, _MAX_SIZE + 1).filter(lambda size: size != sizes[0]))
        mask = (other, *mask[1:])
    return BroadcastCase(sizes, mask, FORMS[form], dtype=draw(_dtypes(way)))


@st.composite
def _of_models(draw: st.DrawFn, way: Way, name: str) -> BroadcastCase:
    """The output of a model, and masks of its first axes, with ones behind them or without."""
    model = MODELS[name]
    rank = draw(st.sampled_from([rank for rank in model.ranks if rank in way.ranks]))
    alike = draw(st.booleans(), label="sizes coincide")
    output = (draw(st.integers(2, 3)),) * rank if alike else draw(_sizes(rank))
    met = draw(st.integers(1, 2), label="axes that the mask has")
    most = met if way.rule == "leading" else min(way.most, rank)
    mask: Shape = (*output[:met], *(1,) * draw(st.integers(max(0, way.least - met), most - met)))
    if way.fit == "permuted":
        mask = (output[0], 1, output[1])
    if draw(st.integers(0, 3), label="another batch") == 3:
        mask = (output[0] + 1, *mask[1:])
    dtypes = DTYPES if model.floats and not way.layered else DTYPES[:1]
    return BroadcastCase(
        output,
        mask[: way.most],
        (0, 1)[:met],
        dtype=draw(st.sampled_from(dtypes)),
        mask_dtype="bool" if way.dtypes == "condition" else "",
        model=name,
    )


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
    return [form for form in _FITTED if way.least <= _rank(form) <= way.most]


def _rank(form: str) -> int:
    return len(shape_of(form, (1, 1)))


# -- all that is small -----------------------------------------------------------------------


def every_small(
    way: str, mode: Mode, keras: int, ranks: tuple[int, ...] = (2, 3, 4)
) -> Iterator[BroadcastCase]:
    """Every mask for every output, over sizes 1 to 4.

    Outputs of `ranks`; masks of every rank up to the output's plus one, which are meant for
    (batch, step), or for (batch) where they have one axis, or one above 1 and that the first.
    Outputs of rank 4 come up to renaming of the sizes above 1: the first such size that is met
    is 2, the next one 3, and the last one 4. Shapes are not known when a graph is traced, nor
    the batch of symbolic tensors.
    """
    found = WAYS[way]
    static = mode == "eager" and not found.symbolic
    mask_dtype = "bool" if found.dtypes == "condition" else ""
    for rank in ranks:
        if rank not in found.ranks:
            continue
        masks = range(max(found.least, int(found.symbolic)), min(found.most, rank + 1) + 1)
        for mask_rank in masks:
            for sizes in itertools.product(range(1, 5), repeat=rank + mask_rank):
                if rank > 3 and not _in_order(sizes):
                    continue
                mask = sizes[rank:]
                alone = mask_rank == 1 or set(mask[1:]) == {1}
                yield BroadcastCase(
                    sizes[:rank],
                    mask,
                    (0,) if alone else (0, 1),
                    static=static,
                    mode=mode,
                    way=way,
                    mask_dtype=mask_dtype,  # type: ignore[arg-type]
                    keras=keras,  # type: ignore[arg-type]
                )


def _in_order(sizes: Shape) -> bool:
    """Whether the sizes above 1 are first met in the order 2, 3, 4."""
    most = 1
    for size in sizes:
        if size > most + 1:
            return False
        most = max(most, size)
    return True
