"""Ragged batches: lengths, masks, and what masked steps hold."""

from __future__ import annotations

import functools

from hypothesis import strategies as st

from catalogue.cases import CONTENTS, FINITE_CONTENTS, Content, RaggedBatch

__all__ = [
    "KINDS",
    "MOST_ROWS",
    "contents",
    "kinds_for",
    "mask_rows",
    "masks",
    "ragged_batches",
    "ragged_lengths",
]

# The members that every cell meets: each a way in which a batch is ragged.
KINDS = (
    "right",
    "left",
    "gaps",
    "fully masked row",
    "mixed",
    "single row",
    "coinciding",
    "tall",
    "all valid",
    "long",
    "single step",
    "fully masked batch",
)

MOST_ROWS, _MAX_LEN = 6, 9  # of batches that are not tall, of sequences that are not long
# Around powers of two; the plainest example takes the first.
_EDGES = (65, 130, 100, 127, 128, 129, 17, 33)
_ANY_CONTENT = st.sampled_from(CONTENTS)
_SEEDS = st.integers(0, 2**16 - 1)
_PADDINGS = ("right", "left", "gaps")


def _positive(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name}={value!r} must be at least 1")


def _between(name: str, value: int, max_len: int) -> None:
    if not 0 <= value <= max_len:
        raise ValueError(f"{name}={value!r} must lie between 0 and max_len={max_len!r}")


def ragged_lengths(*, batch: int, max_len: int, min_len: int = 0) -> st.SearchStrategy[list[int]]:
    """Lengths of `batch` rows, each from `min_len` to `max_len`, both included.

    Shrinks towards rows of `min_len` steps.
    """
    _positive("batch", batch)
    _positive("max_len", max_len)
    _between("min_len", min_len, max_len)
    return st.lists(st.integers(min_len, max_len), min_size=batch, max_size=batch)


@functools.cache  # a strategy that is there already has been validated
def mask_rows(*, max_len: int, padding: str = "any", min_len: int = 0) -> st.SearchStrategy[str]:
    """One row of a mask, such as `"110"`, of `max_len` steps with at least `min_len` valid ones.

    `padding` is `right`, `left`, `gaps` (anywhere) or `any` of these. Shrinks towards right
    padding and few valid steps.
    """
    _positive("max_len", max_len)
    _between("min_len", min_len, max_len)
    if padding == "any":
        return st.one_of(
            *(mask_rows(max_len=max_len, padding=each, min_len=min_len) for each in _PADDINGS)
        )
    lengths = st.integers(min_len, max_len)
    if padding == "right":
        return lengths.map(lambda length: "1" * length + "0" * (max_len - length))
    if padding == "left":
        return lengths.map(lambda length: "0" * (max_len - length) + "1" * length)
    if padding == "gaps":
        steps = st.text("01", min_size=max_len, max_size=max_len)
        return steps.map(lambda row: row.replace("0", "1", max(0, min_len - row.count("1"))))
    raise ValueError(f"padding={padding!r} must be any or one of {', '.join(_PADDINGS)}")


@functools.cache
def masks(
    *, batch: int, max_len: int, padding: str = "any", min_len: int = 0
) -> st.SearchStrategy[tuple[str, ...]]:
    """Masks of `batch` rows of `max_len` steps; arguments as for `mask_rows`.

    Tall masks repeat a few drawn rows, the first of which has a valid step: what is wrong
    with a tall batch is wrong with its height. Shrinks as its rows do.
    """
    _positive("batch", batch)
    rows = mask_rows(max_len=max_len, padding=padding, min_len=min_len)
    if batch <= MOST_ROWS:
        return st.lists(rows, min_size=batch, max_size=batch).map(tuple)
    some = mask_rows(max_len=max_len, padding=padding, min_len=max(1, min_len))
    few = st.tuples(some, st.lists(rows, min_size=1, max_size=MOST_ROWS - 1))
    return few.map(lambda drawn: _repeated((drawn[0], *drawn[1]), batch))


def _repeated(rows: tuple[str, ...], batch: int) -> tuple[str, ...]:
    return tuple(rows[place % len(rows)] for place in range(batch))


@functools.cache
def contents(*, finite: bool = False) -> st.SearchStrategy[Content]:
    """What masked steps hold: zeros up to the dtype's largest and, unless `finite`, inf and NaN.

    Shrinks towards zeros.
    """
    return st.sampled_from(FINITE_CONTENTS if finite else CONTENTS)


def kinds_for(*, batch: int | None, max_len: int | None) -> tuple[str, ...]:
    """The members of `KINDS` that can be drawn where sizes are given beforehand."""
    left_out: set[str] = set()
    if batch is not None:
        left_out |= {"single row", "tall", "coinciding"}
    if max_len is not None:
        left_out |= {"single step", "long", "coinciding"}
    return tuple(kind for kind in KINDS if kind not in left_out)


@functools.cache
@st.composite
def ragged_batches(
    draw: st.DrawFn,
    *,
    kind: str = "mixed",
    features: int = 1,
    batch: int | None = None,
    max_len: int | None = None,
    contents: st.SearchStrategy[Content] = _ANY_CONTENT,
) -> RaggedBatch:
    """Ragged batches of one of `KINDS`, with the given sizes where they are given.

    `coinciding` ones have as many rows as steps as features. Shrinks towards few rows, few
    steps, right padding and zeros.
    """
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r} must be one of {', '.join(KINDS)}")
    for name, size in (("features", features), ("batch", batch), ("max_len", max_len)):
        if size is not None:
            _positive(name, size)
    if kind not in kinds_for(batch=batch, max_len=max_len):
        raise ValueError(f"kind={kind!r} cannot be drawn with {batch=} and {max_len=}")
    batch, max_len = draw(_sizes(kind, features, batch, max_len))
    padding = kind if kind in _PADDINGS else "any"
    if kind == "all valid":
        rows: tuple[str, ...] = ("1" * max_len,) * batch
    elif kind == "fully masked batch":
        rows = ("0" * max_len,) * batch
    elif kind == "fully masked row":
        row = draw(st.integers(0, batch - 1), label="masked row")
        rows = draw(masks(batch=batch, max_len=max_len))
        rows = (*rows[:row], "0" * max_len, *rows[row + 1 :])
    elif kind == "single step":
        rows = draw(masks(batch=batch, max_len=1, padding="right"))
    else:
        rows = draw(masks(batch=batch, max_len=max_len, padding=padding))
    if kind == "coinciding" and rows == tuple(map("".join, zip(*rows, strict=True))):
        # Where nobody could tell rows from steps: valid steps in the first row alone.
        rows = ("1" * max_len, *rows[1:-1], "0" * max_len)
    return RaggedBatch(rows, draw(contents, label="content"), draw(_SEEDS, label="seed"))


@functools.cache
@st.composite
def _sizes(
    draw: st.DrawFn, kind: str, features: int, batch: int | None, max_len: int | None
) -> tuple[int, int]:
    if kind == "coinciding" and batch is None and max_len is None:
        size = features if features > 1 else draw(st.integers(2, 4))
        return size, size
    if batch is None:
        rows = st.just(1) if kind == "single row" else st.integers(1, MOST_ROWS)
        batch = draw(st.sampled_from(_EDGES) if kind == "tall" else rows, label="batch")
    if max_len is None:
        steps = st.just(1) if kind == "single step" else st.integers(1, _MAX_LEN)
        max_len = draw(st.sampled_from(_EDGES) if kind == "long" else steps, label="max_len")
    return batch, max_len
