"""What a cell meets, member by member."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

__all__ = ["THINNED", "Strata", "Stratum", "domains_of"]

THINNED = 3
"""The share of all configurations, or of what a property meets, that `quick` meets: a third."""


@dataclasses.dataclass(frozen=True)
class Stratum:
    """A member that a cell must meet: its name, and what draws examples (tuples of cases).

    `chosen` holds the value that its examples have of each argument. What is to be met `once` is
    left out of further rounds, which may bring others.
    """

    name: str
    examples: st.SearchStrategy[tuple[Any, ...]]
    chosen: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    once: bool = False


@dataclasses.dataclass(frozen=True)
class Strata:
    """All members that a cell meets, and the values of each argument that it could meet."""

    members: tuple[Stratum, ...]
    domains: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)


def domains_of(chosen: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The values of each argument among some configurations."""
    values: dict[str, dict[str, Any]] = collections.defaultdict(dict)
    for one in chosen:
        for name, value in one.items():
            values[name][repr(value)] = value
    return {name: list(several.values()) for name, several in values.items()}
