"""Pictures of a case as inline SVG: its mask, and where two sides differ.

What a square means is told by its mark, not by its colour alone: a valid step is filled, a masked
one is struck through, a position that differs is crossed. Colours come from the page.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup, escape

__all__ = ["difference_picture", "mask_picture"]

_SIDE = 16
_GAP = 3
_LABELS = 26
_HEAD = 16
_ROWS = 24
_COLUMNS = 40

Place = tuple[int, int]


def mask_picture(case: dict[str, Any]) -> Markup | None:
    """The mask of a case's ragged batch, a row of squares a row; None where it has none."""
    batch = case.get("batch")
    mask = batch.get("mask") if isinstance(batch, dict) else None
    if not isinstance(mask, list) or not mask:
        return None
    if not all(isinstance(row, str) and row and not row.strip("01") for row in mask):
        return None
    return _mask(tuple(mask))


# Small cases look alike: the cells of a page share a few hundred pictures.
@functools.lru_cache(maxsize=1024)
def _mask(mask: tuple[str, ...]) -> Markup:
    size = len(mask), max(map(len, mask))
    places: dict[str, list[Place]] = {"1": [], "0": []}
    for row, steps in enumerate(mask):
        for step, one in enumerate(steps):
            places[one].append((row, step))
    said = "; ".join(f"row {row}: {steps[:_COLUMNS]}" for row, steps in enumerate(mask[:_ROWS]))
    return _picture(
        size,
        f"mask of {size[0]} x {size[1]} (1 valid, 0 masked): {said}",
        [("valid", places["1"], _square), ("masked", places["0"], _struck)],
    )


def difference_picture(shape: Sequence[int], differing: Sequence[Sequence[int]]) -> Markup | None:
    """Where two sides of one shape differ, over their first two axes; None where unknown.

    A square stands for all values along the axes after the second.
    """
    if not differing or any(len(index) != len(shape) for index in differing):
        return None
    if any(not 0 <= at < end for index in differing for at, end in zip(index, shape, strict=True)):
        return None
    return _difference(tuple(shape), tuple(map(tuple, differing)))


@functools.lru_cache(maxsize=1024)
def _difference(shape: tuple[int, ...], differing: tuple[tuple[int, ...], ...]) -> Markup:
    # Of one axis, the values lie side by side; a single value is one square.
    size = (shape[0], shape[1]) if len(shape) > 1 else (1, shape[0] if shape else 1)
    crossed = dict.fromkeys(
        (index[0], index[1]) if len(shape) > 1 else (0, index[0] if index else 0)
        for index in differing
    )
    shown = min(size[0], _ROWS), min(size[1], _COLUMNS)
    others = [
        (row, column)
        for row in range(shown[0])
        for column in range(shown[1])
        if (row, column) not in crossed
    ]
    said = ", ".join(str(list(index)) for index in differing[:20])
    return _picture(
        size,
        f"the sides differ at {said}{' and more' if len(differing) > 20 else ''}",
        [("same", others, _square), ("differs", list(crossed), _crossed)],
    )


def _picture(size: Place, label: str, layers: Iterable[tuple[str, list[Place], Any]]) -> Markup:
    rows, columns = min(size[0], _ROWS), min(size[1], _COLUMNS)
    step = _SIDE + _GAP
    width, height = _LABELS + columns * step, _HEAD + rows * step
    parts = [
        f'<svg class="grid" role="img" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" aria-label="{escape(label)}">'
        f"<title>{escape(label)}</title>"
    ]
    for name, places, draw in layers:
        # One path a layer: a page holds thousands of pictures.
        seen = [place for place in places if place[0] < rows and place[1] < columns]
        squares, marks = zip(*(draw(place) for place in seen), strict=True) if seen else ((), ())
        parts.append(f'<path class="{name}" d="{"".join(squares)}"/>')
        if any(marks):
            parts.append(f'<path class="{name} mark" d="{"".join(marks)}"/>')
    parts += [
        f'<text x="{_LABELS - 6}" y="{_HEAD + row * step + 12}" text-anchor="end">{row}</text>'
        for row in range(rows)
    ]
    parts += [
        f'<text x="{_LABELS + column * step + _SIDE // 2}" y="11" text-anchor="middle">{column}'
        "</text>"
        for column in range(0, columns, 1 if columns < 12 else 5)
    ]
    cut = ""
    if (rows, columns) != size:
        cut = f'<span class="note">the first {rows} x {columns} of {size[0]} x {size[1]}</span>'
    return Markup("".join(parts) + "</svg>" + cut)


def _corner(place: Place) -> Place:
    step = _SIDE + _GAP
    return _LABELS + place[1] * step, _HEAD + place[0] * step


def _square(place: Place) -> tuple[str, str]:
    x, y = _corner(place)
    return f"M{x} {y}h{_SIDE}v{_SIDE}h-{_SIDE}z", ""


def _struck(place: Place) -> tuple[str, str]:
    x, y = _corner(place)
    return _square(place)[0], f"M{x} {y + _SIDE}l{_SIDE}-{_SIDE}"


def _crossed(place: Place) -> tuple[str, str]:
    x, y = _corner(place)
    inner = _SIDE - 8
    return (
        _square(place)[0],
        f"M{x + 4} {y + 4}l{inner} {inner}M{x + 4} {y + 4 + inner}l{inner}-{inner}",
    )
