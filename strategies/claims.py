"""Strategies for the sizes at which a statement of an article is looked at."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from catalogue.claims import Sizes

__all__ = ["claim_sizes"]


@st.composite
def claim_sizes(draw: st.DrawFn, *, max_size: int = 7, mode: str = "eager") -> Sizes:
    """Batch, steps and features from 1 to `max_size`: all different, two of a size, or all.

    Shrinks towards 1.
    """
    if max_size < 3:
        raise InvalidArgument(f"max_size={max_size!r} must be at least 3")
    size = st.integers(1, max_size)
    kind = draw(st.sampled_from(("different", "two alike", "alike")), label="kind")
    if kind == "alike":
        one = draw(size)
        return Sizes(one, one, one, mode)
    few, more = draw(st.lists(size, min_size=2, max_size=2, unique=True))
    if kind == "two alike":
        batch, step, features = draw(st.permutations((few, few, more)))
        return Sizes(batch, step, features, mode)
    third = draw(size.filter(lambda one: one not in (few, more)))
    return Sizes(few, more, third, mode)
