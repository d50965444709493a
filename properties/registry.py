"""The list of properties, and the one record that describes each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

from properties.comparisons import Level, Plan

__all__ = ["PROPERTIES", "Chance", "Property", "declare"]

Chance = Literal["", "any", "seeded"]


@dataclasses.dataclass(frozen=True)
class Property:
    """A statement that must hold for every case of a family.

    `statement` is one sentence, the function's docstring; `source` is where it is
    documented (an article's section or a page of Keras). `applies` says of a case whether
    the property says anything about it; `choices` names what the property draws besides
    the call: `other`, `order`, `inserted`, `chunks`; `kinds`, of ragged batches, those that each
    configuration meets before others. `share` thins out configurations
    where a check costs much: every `share`-th is met, in pairs instead of in full. One that
    looks at them `apart` begins elsewhere than the others, for it could share no trace with
    these: together they meet more. A `covering` one meets instead, wherever it is thinned out, the
    fewest that give each value to each argument of the constructor. A `dear` property looks at one
    batch of each example instead of several. `of` says of which of the family's layers the
    property speaks at all. `chance` says whether it speaks of what is dropped in training too:
    of `any`, or of what is `seeded`, which makes it the same once more (the pages of Keras 3).
    Where something is only asked of some cases, the `plainest` among them, that one is always met.
    One that is `thinned` is so by the profile, not by its share alone.
    """

    name: str
    family: str
    level: Level
    source: str
    statement: str
    function: Callable[[Any], Plan]
    applies: Callable[[Any], bool]
    choices: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    share: int = 1
    dear: bool = False
    of: Callable[[str], bool] = lambda layer: True
    apart: bool = False
    covering: bool = False
    chance: Chance = ""
    plainest: bool = False
    thinned: bool = False


PROPERTIES: dict[str, Property] = {}


def declare(
    *,
    family: str,
    source: str,
    level: Level = "must",
    applies: Callable[[Any], bool] = lambda case: True,
    choices: tuple[str, ...] = (),
    kinds: tuple[str, ...] = (),
    share: int = 1,
    dear: bool = False,
    of: Callable[[str], bool] = lambda layer: True,
    apart: bool = False,
    covering: bool = False,
    chance: Chance = "",
    plainest: bool = False,
) -> Callable[[Callable[[Any], Plan]], Callable[[Any], Plan]]:
    """Enter a function from a case to a plan as the property of its name.

    Its docstring's first paragraph is the statement that reports print.
    """

    def enter(function: Callable[[Any], Plan]) -> Callable[[Any], Plan]:
        statement = " ".join((function.__doc__ or "").strip().split("\n\n")[0].split())
        if not statement.endswith("."):
            raise ValueError(f"property {function.__name__!r} states no sentence: {statement!r}")
        PROPERTIES[function.__name__] = Property(
            function.__name__,
            family,
            level,
            source,
            statement,
            function,
            applies,
            choices,
            kinds,
            share,
            dear,
            of,
            apart,
            covering,
            chance,
            plainest,
        )
        return function

    return enter
