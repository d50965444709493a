"""Which input steps each output step is computed from, where layers move or mix steps.

A table of windows has shape (output steps, places) and holds numbers of input steps, -1 where a
place of the window lies outside of the sequence. Convolution, pooling, cropping, padding and
repetition are all told by such a table: of their masks, and of their values.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from catalogue.cases import FINITE_CONTENTS
from catalogue.layer_cases import LayerCase
from catalogue.specs import Spec

__all__ = ["gathered", "said", "settled", "through_windows", "whole", "windows"]

_MODEST = FINITE_CONTENTS[:4]  # contents of which no sum overflows


def windows(spec: Spec, steps: int) -> np.ndarray:
    """The input steps of each output step, of shape (output steps, places), -1 for none.

    Source: the pages of the layers. Where "same" padding is uneven, the larger half stands
    behind the sequence (tensorflow.org/api_docs/python/tf/nn, Notes on padding).
    """
    table = _TABLES[spec.layer](spec, steps)
    return np.where((table >= 0) & (table < steps), table, -1)


def gathered(x: np.ndarray, table: np.ndarray) -> np.ndarray:
    """The steps of each window, (batch, output step, place, features); zeros for none."""
    return np.where(table[:, :, None] >= 0, x[:, table], x.dtype.type(0))


def through_windows(case: LayerCase) -> np.ndarray | None:
    """A step is valid where all steps of its window are; None where no mask comes in.

    Source: rule 1. A step that is computed from no input at all is padding, and "padding is a
    special form of masking where the masked steps are at the start or the end of a sequence"
    (the guide, Introduction): it is masked.
    """
    (mask,) = case.masks
    if mask is None:
        return None
    table = windows(case.spec, mask.shape[1])
    inside = table >= 0
    return np.asarray((mask[:, table] | ~inside).all(axis=2) & inside.any(axis=1))


def settled(case: LayerCase) -> list[np.ndarray | None]:
    """Where outputs of sums over padding can be compared: all, unless padding may overflow.

    Where it may, the rows without padding: kernels of convolutions that transform a whole row
    (by Fourier, say) may spread what is not finite within it.
    """
    (mask,), (tensor,) = case.masks, case.tensors
    if mask is None or tensor.content in _MODEST:
        return [None]
    return [np.asarray(mask.all(axis=1))[:, None, None]]


def said(output: np.ndarray, valid: np.ndarray | None) -> np.ndarray:
    """The output with NaN where nothing is said of it: where `valid`, of its first axes, is not."""
    if valid is None:
        return output
    beside = valid.reshape(*valid.shape, *[1] * (output.ndim - valid.ndim))
    return np.where(beside, output, output.dtype.type(np.nan))


# -- tables ----------------------------------------------------------------------------------


def _slid(spec: Spec, steps: int, size: int, stride: int) -> np.ndarray:
    """A window that slides along the steps: convolution and pooling."""
    rate, padding = whole(spec, "dilation_rate", 1), spec.get("padding", "valid")
    reach = (size - 1) * rate + 1
    left, count = 0, -(-steps // stride)
    if padding == "valid":
        count = max(0, (steps - reach) // stride + 1)
    elif padding == "causal":
        left = reach - 1
    else:
        left = max((count - 1) * stride + reach - steps, 0) // 2
    starts = np.arange(count) * stride - left
    return np.asarray(starts[:, None] + rate * np.arange(size))


def _convolved(spec: Spec, steps: int) -> np.ndarray:
    return _slid(spec, steps, whole(spec, "kernel_size", 1), whole(spec, "strides", 1))


def _pooled(spec: Spec, steps: int) -> np.ndarray:
    """Strides are by default as long as the pool."""
    size = whole(spec, "pool_size", 2)
    return _slid(spec, steps, size, whole(spec, "strides", size))


def _transposed(spec: Spec, steps: int) -> np.ndarray:
    """What a convolution from the output steps to the input steps would have read, turned round.

    Place `t` of the window of output step `o` is the input step `i` whose place `t` lies on `o`.
    """
    size, stride = whole(spec, "kernel_size", 1), whole(spec, "strides", 1)
    surplus = max(size - stride, 0)
    same = spec.get("padding", "valid") == "same"
    count = steps * stride + (0 if same else surplus)
    left = surplus // 2 if same else 0
    apart = np.arange(count)[:, None] + left - np.arange(size)
    return np.where(apart % stride == 0, apart // stride, -1)


def _adapted(spec: Spec, steps: int) -> np.ndarray:
    """So many windows that together cover all steps, each as short as can be."""
    count = whole(spec, "output_size", 1)
    starts = np.arange(count) * steps // count
    ends = -(-(np.arange(count) + 1) * steps // count)
    table = starts[:, None] + np.arange((ends - starts).max())
    return np.where(table < ends[:, None], table, -1)


def _cropped(spec: Spec, steps: int) -> np.ndarray:
    left, right = _both_sides(spec, "cropping")
    return np.arange(left, max(left, steps - right))[:, None]


def _padded(spec: Spec, steps: int) -> np.ndarray:
    left, right = _both_sides(spec, "padding")
    return np.arange(-left, steps + right)[:, None]


def _repeated(spec: Spec, steps: int) -> np.ndarray:
    return np.arange(steps).repeat(whole(spec, "size", 2))[:, None]


_TABLES: dict[str, Callable[[Spec, int], np.ndarray]] = {
    "Conv1D": _convolved,
    "SeparableConv1D": _convolved,
    "DepthwiseConv1D": _convolved,
    "LocallyConnected1D": _convolved,
    "Conv1DTranspose": _transposed,
    "MaxPooling1D": _pooled,
    "AveragePooling1D": _pooled,
    "AdaptiveMaxPooling1D": _adapted,
    "AdaptiveAveragePooling1D": _adapted,
    "Cropping1D": _cropped,
    "ZeroPadding1D": _padded,
    "UpSampling1D": _repeated,
}


def whole(spec: Spec, name: str, default: int) -> int:
    """An argument that is a number; the default where it is None or not given."""
    value = spec.get(name)
    if value is None:
        return default
    assert isinstance(value, int)
    return value


def _both_sides(spec: Spec, name: str) -> tuple[int, int]:
    """One number for both sides, or two."""
    value = spec.get(name, 1)
    if isinstance(value, tuple):
        left, right = value
        assert isinstance(left, int)
        assert isinstance(right, int)
        return left, right
    assert isinstance(value, int)
    return value, value
