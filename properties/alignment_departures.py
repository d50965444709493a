"""What is known to come of masks of steps that are aligned with their tensors from the right."""

from __future__ import annotations

import functools

import numpy as np

from catalogue.activations import softmax
from properties.departures import Answer, Asked, Masks, rows_of_huge_padding, without_rows

__all__ = [
    "a_mask_of_steps_is_added_to_features",
    "a_mask_of_steps_is_taken_for_one_of_features",
    "a_mask_of_steps_weighs_features",
    "masks_get_one_axis_more",
]

_NO_FIT = ("InvalidArgumentError", "ValueError")  # where a shape is found out, when run or traced


def a_mask_of_steps_is_taken_for_one_of_features(asked: Asked) -> Answer | None:
    """A mask of shape (batch, step) is broadcast against the inputs as it is, or refused."""
    (x,), mask = asked.inputs, asked.masks[0]
    assert mask is not None
    try:
        shape = np.broadcast_shapes(mask.shape, x.shape)
    except ValueError:
        return Answer(refused=_NO_FIT)
    if asked.sized and shape != x.shape:
        return Answer(refused=_NO_FIT)

    def outputs(dtype: str) -> np.ndarray:
        (array,) = asked.given(dtype).inputs
        low = -3e4 if asked.setting.compute_dtype == "float16" else -1e9
        kept = softmax(np.where(mask, array, array.dtype.type(low)))
        return np.where(mask, kept, array.dtype.type(0))

    return Answer(outputs=outputs)


def a_mask_of_steps_is_added_to_features(asked: Asked) -> Answer | None:
    """A mask of shape (batch, step) is broadcast as it is, and takes a large number off features.

    Nothing is said of rows of huge padding, nor of outputs that have become larger.
    """
    (x,), mask = asked.inputs, asked.masks[0]
    assert mask is not None
    try:
        shape = np.broadcast_shapes(mask.shape, x.shape)
    except ValueError:
        return Answer(refused=_NO_FIT)
    if shape != x.shape:
        return None
    layer = asked.setting.compute_dtype

    def outputs(dtype: str) -> list[np.ndarray]:
        (array,) = asked.given(dtype).inputs
        low = array.astype(layer).dtype.type(-65504.0 if layer == "float16" else -1e9)
        # What is left of features is a matter of the layer's own dtype.
        shifted = array.astype(layer) + np.where(mask, low.dtype.type(0), low)
        return without_rows(rows_of_huge_padding(asked), softmax(shifted.astype(dtype)))

    return Answer(outputs=outputs)


def a_mask_of_steps_weighs_features(asked: Asked) -> Answer | None:
    """A mask of shape (batch, step) is broadcast to the inputs as it is, or refused.

    Nothing is said of outputs that come of it.
    """
    (x,), mask = asked.inputs, asked.masks[0]
    try:
        np.broadcast_to(np.zeros(() if mask is None else mask.shape), x.shape)
    except ValueError:
        return Answer(refused=_NO_FIT)
    return None


def masks_get_one_axis_more(asked: Asked) -> Answer | None:
    """A mask of shape (batch, step) becomes (batch, step, 1), whatever the rank of its tensor."""
    pairs = list(zip(asked.inputs, asked.masks, strict=True))
    if asked.case.spec.layer == "Concatenate":
        return _concatenated(asked)
    try:
        spread = [
            None if mask is None else np.broadcast_to(mask[..., None], x.shape) for x, mask in pairs
        ]
    except ValueError:
        return Answer(refused=_NO_FIT)
    merge = _multiplied if asked.case.spec.layer == "Multiply" else _bounded

    def outputs(dtype: str) -> np.ndarray:
        return merge(asked.case.spec.layer, asked.given(dtype).inputs, spread)

    joined = None
    if all(mask is not None for mask in spread):
        masks = [mask for mask in spread if mask is not None]
        joined = np.any(functools.reduce(np.logical_or, masks), axis=-1)
    return Answer(outputs=outputs, mask=joined)


def _concatenated(asked: Asked) -> Answer:
    axis = asked.case.spec.get("axis", -1)
    assert isinstance(axis, int)
    try:
        masks = [
            np.ones(x.shape, bool) if mask is None else mask[..., None] | np.zeros(x.shape, bool)
            for x, mask in zip(asked.inputs, asked.masks, strict=True)
        ]
        mask = np.any(np.concatenate(masks, axis=axis), axis=-1)
    except ValueError:
        return Answer(refused=_NO_FIT)
    return Answer(
        outputs=lambda dtype: np.concatenate(asked.given(dtype).inputs, axis=axis), mask=mask
    )


def _multiplied(layer: str, inputs: list[np.ndarray], masks: Masks) -> np.ndarray:
    """Masked positions count as ones; zero where all of them are masked."""
    pairs = zip(inputs, masks, strict=True)
    factors = [x if mask is None else np.where(mask, x, x.dtype.type(1)) for x, mask in pairs]
    product = functools.reduce(np.multiply, factors)
    if any(mask is None for mask in masks):
        return product
    return np.where(functools.reduce(np.logical_or, masks), product, product.dtype.type(0))  # type: ignore[arg-type]


def _bounded(layer: str, inputs: list[np.ndarray], masks: Masks) -> np.ndarray:
    """Masked positions take the value of the other tensor."""
    bound = np.maximum if layer == "Maximum" else np.minimum
    output, valid = inputs[0], masks[0]
    for x, mask in zip(inputs[1:], masks[1:], strict=True):
        other = x if mask is None else np.where(mask, x, output)
        output = bound(output if valid is None else np.where(valid, output, other), other)
        valid = None if mask is None or valid is None else valid | mask
    return output
