"""Planted defects in which a recurrent layer makes something of a mask that does not fit."""

from __future__ import annotations

from typing import Any

from selftest.defective import Defect, Invocation

__all__ = ["MISFIT_DEFECTS"]

_SEEN = ("misfit_mask_refused",)


def _of_rows_alone(call: Invocation) -> Any:
    """A mask of rows is one of all their steps."""
    mask, tf = call.mask, call.tf
    if mask is not None and mask.shape.rank == 1:
        mask = tf.repeat(mask[:, None], tf.shape(call.inputs)[1], axis=1)
    return call.real(mask=mask)


def _over_again(call: Invocation) -> Any:
    """A mask of half the rows is that of the other half, too."""
    mask, tf = call.mask, call.tf
    if mask is not None:
        times = tf.maximum(1, tf.shape(call.inputs)[0] // tf.maximum(1, tf.shape(mask)[0]))
        mask = tf.repeat(mask, times, axis=0)
    return call.real(mask=mask)


def _none_of_none(call: Invocation) -> Any:
    """A mask of no step is none."""
    empty = call.mask is not None and tuple(call.mask.shape[1:]) == (0,)
    return call.real(mask=None if empty else call.mask)


def _of_any_feature(call: Invocation) -> Any:
    """A mask of features is one of the steps of which any feature is valid."""
    mask, tf = call.mask, call.tf
    if mask is not None and mask.shape.rank == 3:
        mask = tf.reduce_any(tf.cast(mask, "bool"), axis=-1)
    return call.real(mask=mask)


MISFIT_DEFECTS = [
    Defect(
        "mask of rows taken",
        "A mask without the axis of steps is that of all steps of a row.",
        _SEEN,
        "LSTM",
        _of_rows_alone,
    ),
    Defect(
        "mask of half the rows repeated",
        "A mask of half the rows is used for the others once more.",
        _SEEN,
        "LSTM",
        _over_again,
    ),
    Defect(
        "mask of no step ignored",
        "A mask without steps is taken for none at all.",
        _SEEN,
        "LSTM",
        _none_of_none,
    ),
    Defect(
        "mask of features reduced",
        "A step is valid where a mask of features has any that is.",
        _SEEN,
        "LSTM",
        _of_any_feature,
    ),
]
