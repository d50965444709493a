"""The states that a call of a recurrent layer is given: drawn, as NumPy expressions."""

from __future__ import annotations

import numpy as np

from catalogue.expressions import expression
from catalogue.layer_cases import Given, LayerCase

__all__ = ["ARGUMENT", "given_states", "held_rows", "sources", "without_output"]

ARGUMENT = "initial_state"


def sources(case: LayerCase, shapes: list[tuple[int, ...]]) -> list[str]:
    """The expressions of states of these shapes, rows first.

    In the dtype that the layer computes in: only inputs are documented to be cast.
    """
    seed, dtype = case.tensors[0].seed, case.policy.removeprefix("mixed_")
    return [
        f"np.random.default_rng({seed + 200 + place}).uniform(-1, 1, {shape}).astype({dtype!r})"
        for place, shape in enumerate(shapes)
    ]


def given_states(given: Given, shapes: list[tuple[int, ...]]) -> list[np.ndarray] | None:
    """The states that a case's call is given, in the dtype of the inputs; None where none are."""
    if not given.case.arguments.get(ARGUMENT):
        return None
    dtype = given.inputs[0].dtype
    return [expression(source).value().astype(dtype) for source in sources(given.case, shapes)]


def without_output(given: Given) -> np.ndarray | None:
    """The rows, of shape (batch,), whose last output nothing is documented of; None: no row.

    The output of a masked step is that of the step before. Where no step is valid there is none:
    zeros, as the states are, or what the states are that were given.
    """
    mask = given.masks[0]
    if mask is None or not given.case.arguments.get(ARGUMENT):
        return None
    return np.asarray(~mask.any(axis=1))


def held_rows(case: LayerCase) -> np.ndarray | None:
    """The rows, of shape (batch,), that end in their initial states: no step of them is valid."""
    mask = case.masks[0]
    return None if mask is None else np.asarray(~mask.any(axis=1))
