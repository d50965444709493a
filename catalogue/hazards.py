"""Masks that people write, and where each way to multiply lets them act on what was not meant."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Literal

from catalogue.broadcasting import BroadcastCase, MaskDtype, Mode, Shape, misplaced
from catalogue.claims import Sizes, condition_of
from catalogue.ways import WAYS

__all__ = [
    "FORMS",
    "accepted_when",
    "astray_when",
    "case_of",
    "forms_of",
    "shape_of",
    "witness",
    "witnesses",
]

# Masks for an output of shape (B, T, F), each with the axes that it is meant for.
FORMS: dict[str, tuple[int, ...]] = {
    "(B,T,1)": (0, 1),
    "(B,T)": (0, 1),
    "(B,1,T)": (0, 1),
    "(B,1,1)": (0,),
    "(B,1)": (0,),
    "(B,)": (0,),
}
_SIZES = range(1, 5)


def shape_of(form: str, sizes: Shape) -> Shape:
    """The shape of a mask that is written with B, T and 1, for these sizes."""
    named = {"B": sizes[0], "T": sizes[1], "1": 1}
    return tuple(named[letter] for letter in form.strip("()").split(",") if letter)


def forms_of(way: str) -> list[str]:
    """The masks that a way may be given; one that fits the rank is given those that need it."""
    found = WAYS[way]
    most = 2 if found.fit == "trailing" else found.most
    return [form for form in FORMS if found.least <= len(shape_of(form, (1, 1))) <= most]


def case_of(way: str, form: str, sizes: Shape, **more: object) -> BroadcastCase:
    """An output of these sizes and the mask for it."""
    dtype: MaskDtype | Literal[""] = "bool" if WAYS[way].dtypes == "condition" else ""
    return BroadcastCase(
        sizes,
        shape_of(form, sizes),
        FORMS[form],
        way=way,
        mask_dtype=dtype,
        **more,  # type: ignore[arg-type]
    )


@functools.cache
def _cases(way: str, form: str) -> tuple[BroadcastCase, ...]:
    """All outputs of sizes 1 to 4, the smallest first."""
    sizes = sorted(
        itertools.product(_SIZES, repeat=3), key=lambda one: (one[0] * one[1] * one[2], one)
    )
    return tuple(case_of(way, form, one) for one in sizes)


def accepted_when(way: str, form: str) -> str:
    """The condition on B, T and F under which a mask is accepted: `always`, `never`, or another."""
    cases = _cases(way, form)
    return _condition(cases, [case for case in cases if case.result is not None])


def astray_when(way: str, form: str) -> str:
    """The condition, where it is accepted, under which a mask acts on what was not meant."""
    accepted = [case for case in _cases(way, form) if case.result is not None]
    return _condition(accepted, [case for case in accepted if misplaced(case)])


def _condition(cases: Sequence[BroadcastCase], true: Sequence[BroadcastCase]) -> str:
    if len(true) in (0, len(cases)):
        return "always" if true else "never"
    sizes = {case.output: Sizes(*case.output) for case in cases}  # type: ignore[arg-type]
    chosen = [sizes.pop(case.output) for case in true]
    found = condition_of(chosen, list(sizes.values()))
    if found is None:
        raise ValueError(f"no condition tells {chosen} from the others")
    return found


def witness(way: str, form: str, *, wide: bool = False) -> BroadcastCase | None:
    """The smallest case in which a mask acts on what was not meant, None where it never does.

    `wide` asks for sizes above 1, where nothing but sizes that coincide is to blame.
    """
    for case in _cases(way, form):
        if misplaced(case) and not (wide and 1 in case.output):
            return case
    return None


def witnesses(way: str, mode: Mode, keras: int) -> Iterator[BroadcastCase]:
    """The smallest witnesses of each of a way's hazards, to be run in a mode."""
    for form in forms_of(way):
        for wide in (False, True):
            found = witness(way, form, wide=wide)
            if found is not None:
                yield case_of(
                    way, form, found.output, mode=mode, keras=keras, static=mode == "eager"
                )
