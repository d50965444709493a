"""What becomes of masks on their way through a layer: the mask that its output carries.

Each function gives the mask of the output, of dtype bool and a shape that is a prefix of the
output's, or None where the output carries none. Source, unless a function names another: the
guide "Understanding masking & padding", and where it and the layer's page are silent, the rules:
(1) a step is valid only if everything that it was computed from was; (2) a layer whose output
carries a mask isolates padding; (3) a mask that comes in goes out, or its user is told.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from catalogue.layer_cases import LayerCase

__all__ = ["concatenated", "crossed", "dropped", "joined", "kept", "of_query"]


def kept(case: LayerCase) -> np.ndarray | None:
    """The first tensor's mask, as it came in; None if none comes in.

    Source: the guide, on layers that leave the time dimension as it is, and rule 3.
    """
    return case.masks[0]


def dropped(case: LayerCase) -> None:
    """No mask: no steps are left. Source: the shape of the output."""
    return None


def joined(case: LayerCase) -> np.ndarray | None:
    """The steps that are valid in every tensor; None only where no tensor has a mask.

    Source: rule 1. A tensor without a mask is valid everywhere, so it takes nothing away.
    """
    masks = [mask for mask in case.masks if mask is not None]
    return functools.reduce(np.logical_and, masks) if masks else None


def concatenated(case: LayerCase) -> np.ndarray | None:
    """For the axis of steps the masks one after the other, else as `joined`.

    Source: rule 1. Along axis 1 (-2 of tensors of rank 3) each step comes from one tensor alone; a
    tensor without a mask is valid everywhere. Along another axis each step comes from all tensors.
    """
    axis = case.spec.get("axis", -1)
    assert isinstance(axis, int)
    if axis % len(case.tensors[0].shape) != 1:
        return joined(case)
    if all(mask is None for mask in case.masks):
        return None
    return np.concatenate(_complete(case), axis=1)


def crossed(case: LayerCase) -> np.ndarray | None:
    """For each step of the first tensor the steps of the second: valid where both are.

    The mask has shape (batch, step of the first, step of the second). Source: rules 1 and 3.
    """
    if all(mask is None for mask in case.masks):
        return None
    first, second = _complete(case)
    return np.asarray(first[:, :, None] & second[:, None, :])


def of_query(case: LayerCase) -> np.ndarray | None:
    """The mask of the query, the first tensor; None where it has none.

    Source: the pages of the attention layers: the output has the steps of the query. What is
    masked in values and keys is left out of each of these steps, and makes none of them invalid.
    """
    return case.masks[0]


def turned(inside: str = "") -> Callable[[LayerCase], np.ndarray | None]:
    """Of a recurrent layer, or of one that holds one in its argument `inside`.

    No mask without `return_sequences`, for no steps are left. With `go_backwards` the steps of
    the mask in reversed order. Source: the pages of the recurrent layers, which "process the
    input sequence backwards and return the reversed sequence", and rule 1.
    """
    path = f"{inside}." if inside else ""

    def passage(case: LayerCase) -> np.ndarray | None:
        mask = case.masks[0]
        if mask is None or not case.spec.get(f"{path}return_sequences"):
            return None
        return np.asarray(mask[:, ::-1]) if case.spec.get(f"{path}go_backwards") else mask

    return passage


def _complete(case: LayerCase) -> list[np.ndarray]:
    """The masks, all True for a tensor that has none."""
    pairs = zip(case.masks, case.tensors, strict=True)
    return [np.ones(t.shape[:2], bool) if mask is None else mask for mask, t in pairs]
