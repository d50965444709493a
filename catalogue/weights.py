"""Weights drawn from a seed, bounded so that no layer amplifies rounding from step to step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["SOURCE", "drawn"]

# What a script writes for the same weights; `rng` is `np.random.default_rng(seed)`.
SOURCE = "rng.uniform(-1, 1, w.shape) / (*w.shape, 1)[0]"


def drawn(seed: int, shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
    """Weights of these shapes, float64, in the order in which the layer has them.

    Every column of a kernel sums to at most 1 in absolute value, so that a linear step
    never grows a state and rounding errors add up instead of multiplying. A weight may be a
    single number, of shape `()`.
    """
    rng = np.random.default_rng(seed)
    return [rng.uniform(-1, 1, shape) / (*shape, 1)[0] for shape in shapes]
