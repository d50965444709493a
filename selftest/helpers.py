"""What a strategy shrinks to, and what it reaches; and whether a file is being written."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any, TypeVar

import hypothesis
from hypothesis import Phase
from hypothesis import strategies as st

__all__ = ["find_any", "in_hdf5", "minimal"]

Value = TypeVar("Value")


def _everything(value: Any) -> bool:
    return True


def minimal(
    strategy: st.SearchStrategy[Value], condition: Callable[[Value], bool] = _everything
) -> Value:
    """The value that a strategy shrinks to among those that meet a condition.

    Raises NoSuchExample where none of 5,000 does.
    """
    settings = hypothesis.settings(max_examples=5_000, derandomize=True, database=None)
    return hypothesis.find(strategy, condition, settings=settings)


def find_any(
    strategy: st.SearchStrategy[Value], condition: Callable[[Value], bool] = _everything
) -> Value:
    """The first value of a strategy that meets a condition, as it was drawn.

    Raises NoSuchExample where none of 5,000 does.
    """
    settings = hypothesis.settings(
        max_examples=5_000, derandomize=True, database=None, phases=[Phase.generate]
    )
    return hypothesis.find(strategy, condition, settings=settings)


def in_hdf5() -> bool:
    """Whether Keras is writing an HDF5 file just now, or loading one."""
    return any("5_format" in frame.f_code.co_filename for frame, _ in traceback.walk_stack(None))
