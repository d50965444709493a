"""Strategies for the shapes of a model's output and of a mask that multiplies it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from catalogue.broadcasting import DTYPES, BroadcastCase, Dtype, Mode, Shape

__all__ = ["STRATA", "broadcast_cases", "mask_shapes", "output_shapes"]

MAX_RANK = 4
MAX_SIZE = 6

Relation = Literal["accepted", "refused"]
_RELATIONS = ("accepted", "refused")

# The masks that the article names, each with the axes that it is meant for.
_FORMS: dict[str, tuple[int, ...]] = {
    "(B,T,1)": (0, 1),
    "(B,T)": (0, 1),
    "(B,1,1)": (0,),
    "(B,1)": (0,),
    "(B,)": (0,),
}

STRATA: tuple[str, ...] = (
    *(f"{form} {how}" for form in _FORMS for how in ("fitting", "refused", "coinciding")),
    "rank grows",
    "stretched",
    "any",
)


# -- shapes ----------------------------------------------------------------------------------


def output_shapes(
    *, min_rank: int = 1, max_rank: int = MAX_RANK, max_size: int = MAX_SIZE
) -> st.SearchStrategy[Shape]:
    """Shapes of a model's output: rank `min_rank` to `max_rank`, sizes from 1 to `max_size`.

    Sizes are drawn freely, or all equal, or all different: sizes that coincide hide which
    axis a mask acts on. Shrinks towards few axes and sizes of 1.
    """
    _check_integer("max_size", max_size, 1, None)
    _check_integer("max_rank", max_rank, 1, None)
    _check_integer("min_rank", min_rank, 1, max_rank)
    sizes = st.integers(1, max_size)

    def of_rank(rank: int) -> st.SearchStrategy[Shape]:
        free = st.lists(sizes, min_size=rank, max_size=rank).map(tuple)
        same = sizes.map(lambda size: (size,) * rank)
        if rank > max_size:
            return st.one_of(free, same)
        distinct = st.lists(sizes, min_size=rank, max_size=rank, unique=True).map(tuple)
        return st.one_of(free, same, distinct)

    return st.integers(min_rank, max_rank).flatmap(of_rank)


def mask_shapes(
    *,
    output: Shape,
    rank: int | None = None,
    relation: Relation | None = None,
    max_rank: int = MAX_RANK,
    max_size: int = MAX_SIZE,
) -> st.SearchStrategy[Shape]:
    """Shapes of a mask for an output of shape `output`: rank 0 to `max_rank`, or just `rank`.

    Every size is 1, one of the output's, or alien (up to `max_size`). With `relation` the
    product is one that NumPy accepts, or one that it refuses; a refused one needs an axis
    of the output above 1. Shrinks towards few axes and sizes of 1.
    """
    _check_shape("output", output)
    _check_integer("max_rank", max_rank, 0, None)
    _check_integer("max_size", max_size, 3, None)
    _check_integer("rank", rank, 0, max_rank)
    _check_member("relation", relation, _RELATIONS)
    least = 0
    if relation == "refused":  # the mask must meet an axis above 1, counted from the last one
        wide = [k for k, size in enumerate(reversed(output), 1) if size > 1]
        most = max_rank if rank is None else rank
        if not wide or most < wide[0]:
            raise InvalidArgument(
                f"relation={relation!r} cannot be met: a mask of rank={most!r} meets no axis "
                f"above 1 of output={output!r}"
            )
        least = wide[0]
    ranks = st.integers(least, max_rank) if rank is None else st.just(rank)
    return ranks.flatmap(lambda chosen: _masks(output, chosen, relation, max_size))


def _masks(
    output: Shape, rank: int, relation: Relation | None, max_size: int
) -> st.SearchStrategy[Shape]:
    anything = st.one_of(st.just(1), st.sampled_from(sorted(output)), st.integers(1, max_size))
    aligned = [output[-k] if k <= len(output) else 1 for k in range(rank, 0, -1)]
    if relation == "accepted":
        fitting = [anything if size == 1 else st.sampled_from((1, size)) for size in aligned]
        return st.tuples(*fitting)
    if relation == "refused":
        clashes = [axis for axis, size in enumerate(aligned) if size > 1]

        def clashing(axis: int) -> st.SearchStrategy[Shape]:
            other = st.integers(2, max_size).filter(lambda size: size != aligned[axis])
            return st.tuples(*(other if axis == k else anything for k in range(rank)))

        return st.sampled_from(clashes).flatmap(clashing)
    return st.tuples(*[anything] * rank)


# -- cases -----------------------------------------------------------------------------------


def broadcast_cases(
    *,
    stratum: str = "any",
    mask_rank: int | None = None,
    relation: Relation | None = None,
    mode: Mode = "graph",
    static: bool | None = None,
    dtype: Dtype | None = None,
) -> st.SearchStrategy[BroadcastCase]:
    """Cases of `output * mask`, of one of `STRATA`, to be run in `mode`.

    The strata cross the masks that the article names with how they meet an output of
    shape (batch, step, features): `fitting` (accepted and acting as meant; masks with
    fewer axes meet an output of as many), `refused` (sizes differ; for masks with as many
    axes as the output, the mask is of another batch) and `coinciding` (batch, step and
    features are one size above 1). In `rank grows` the mask has more axes than the
    output, in `stretched` it lengthens an axis of size 1, `any` holds all shapes up to
    rank 4. `mask_rank` and `relation` narrow `any`. Where `static` or `dtype` is None
    both ways and all of the catalogue's dtypes are drawn; eagerly shapes are always
    known. Shrinks towards few axes, small sizes, known shapes, float32, seed 0.
    """
    _check_member("stratum", stratum, STRATA)
    _check_member("mode", mode, ("eager", "graph", "xla"))
    _check_member("dtype", dtype, DTYPES)
    _check_integer("mask_rank", mask_rank, 0, MAX_RANK)
    _check_member("relation", relation, _RELATIONS)
    if relation == "refused" and mask_rank == 0:
        raise InvalidArgument(f"mask_rank={mask_rank!r} is never refused: relation={relation!r}")
    if stratum != "any" and (mask_rank is not None or relation is not None):
        raise InvalidArgument(
            f"mask_rank={mask_rank!r} and relation={relation!r} narrow stratum='any', "
            f"not stratum={stratum!r}"
        )
    known = st.booleans().map(lambda drawn: not drawn)
    return _cases(
        _operands(stratum, mask_rank, relation),
        mode,
        st.just(True) if mode == "eager" else known if static is None else st.just(static),
        st.sampled_from(DTYPES) if dtype is None else st.just(dtype),
    )


_Operands = tuple[Shape, Shape, tuple[int, ...]]


@st.composite
def _cases(
    draw: st.DrawFn,
    operands: st.SearchStrategy[_Operands],
    mode: Mode,
    statics: st.SearchStrategy[bool],
    dtypes: st.SearchStrategy[Dtype],
) -> BroadcastCase:
    output, mask, intended = draw(operands, label="output, mask, intended")
    return BroadcastCase(
        output=output,
        mask=mask,
        intended=intended,
        static=draw(statics, label="static"),
        seed=draw(st.integers(0, 2**16 - 1), label="seed"),
        dtype=draw(dtypes, label="dtype"),
        mode=mode,
    )


def _operands(
    stratum: str, mask_rank: int | None, relation: Relation | None
) -> st.SearchStrategy[_Operands]:
    if stratum == "any":
        return _any(mask_rank, relation)
    if stratum == "rank grows":
        return _growing()
    if stratum == "stretched":
        return _stretching()
    form, how = stratum.split(" ")
    return _named(form, how)


@st.composite
def _any(draw: st.DrawFn, mask_rank: int | None, relation: Relation | None) -> _Operands:
    relations: tuple[Relation | None, ...] = (None, "accepted", "refused")
    if relation is not None:
        relations = (relation,)
    elif mask_rank == 0:
        relations = (None,)  # a scalar is never refused
    chosen = draw(st.sampled_from(relations), label="relation")
    output = draw(output_shapes())
    met = MAX_RANK if mask_rank is None else mask_rank
    if chosen == "refused" and set(output[-met:]) <= {1}:
        output = (*output[:-1], 2)
    mask = draw(mask_shapes(output=output, rank=mask_rank, relation=chosen))
    intended = draw(st.sampled_from(((), *((0, 1)[:k] for k in (1, 2) if k <= len(output)))))
    return output, mask, intended


@st.composite
def _growing(draw: st.DrawFn) -> _Operands:
    output = draw(output_shapes(max_rank=MAX_RANK - 1))
    rank = draw(st.integers(len(output) + 1, MAX_RANK))
    mask = draw(mask_shapes(output=output, rank=rank, relation="accepted"))
    return output, mask, tuple(range(min(2, len(output))))


@st.composite
def _stretching(draw: st.DrawFn) -> _Operands:
    output = draw(output_shapes())
    axis = draw(st.integers(0, len(output) - 1))
    output = (*output[:axis], 1, *output[axis + 1 :])
    rank = draw(st.integers(len(output) - axis, len(output)))
    mask = draw(mask_shapes(output=output, rank=rank, relation="accepted"))
    longer = rank - len(output) + axis
    size = draw(st.integers(2, MAX_SIZE))
    return output, (*mask[:longer], size, *mask[longer + 1 :]), (0, 1)[: len(output)]


@st.composite
def _named(draw: st.DrawFn, form: str, how: str) -> _Operands:
    wide = st.integers(2, MAX_SIZE)
    if how == "coinciding":
        batch = step = features = draw(wide, label="batch = step = features")
    else:
        # All different, so that NumPy accepts nothing by accident.
        batch, step, features = draw(st.lists(wide, min_size=3, max_size=3, unique=True))
    output: Shape = (batch, step, features)
    mask = _written(form, batch, step)
    if how == "fitting":
        output = output[: len(mask)]
    elif how == "refused" and len(mask) == len(output):
        others = st.integers(2, MAX_SIZE).filter(lambda size: size != batch)
        mask = (draw(others, label="batch of the mask"), *mask[1:])
    return output, mask, _FORMS[form]


def _written(form: str, batch: int, step: int) -> Shape:
    sizes = {"B": batch, "T": step, "1": 1}
    return tuple(sizes[letter] for letter in form.strip("()").split(",") if letter)


# -- arguments -------------------------------------------------------------------------------


def _check_integer(name: str, value: int | None, least: int, most: int | None) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidArgument(f"{name}={value!r} must be an integer of at least {least}")
    if most is not None and value > most:
        raise InvalidArgument(f"{name}={value!r} must be at most {most}")


def _check_shape(name: str, value: Any) -> None:
    sizes = isinstance(value, tuple) and all(isinstance(size, int) and size > 0 for size in value)
    if not sizes or not value:
        raise InvalidArgument(f"{name}={value!r} must be a tuple of positive integers")


def _check_member(name: str, value: Any, members: Sequence[str]) -> None:
    if value is not None and value not in members:
        raise InvalidArgument(f"{name}={value!r} must be one of {', '.join(members)}")
