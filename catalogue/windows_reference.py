"""The right answer in NumPy of convolution and pooling along steps, from tables of windows.

Of masks the pages say nothing: inputs are taken as they are, padding takes part. The output is
NaN where padding may overflow, as `settled` says.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from catalogue.activations import activation
from catalogue.layer_cases import Given
from catalogue.specs import Spec
from catalogue.windows import gathered, said, settled, whole, windows

__all__ = [
    "adapted_average",
    "adapted_maximum",
    "average",
    "convolution",
    "depthwise_convolution",
    "local_convolution",
    "maximum",
    "separable_convolution",
    "transposed_convolution",
]

_Function = Callable[[Spec, np.ndarray, np.ndarray, list[np.ndarray]], np.ndarray]


def _of_windows(function: _Function) -> Callable[[Given], np.ndarray]:
    """The reference of a layer that is told by its windows: (spec, inputs, table, weights)."""

    @functools.wraps(function)
    def reference(given: Given) -> np.ndarray:
        (x,) = given.inputs
        spec = given.case.spec
        output = function(spec, x, windows(spec, x.shape[1]), given.weights)
        return said(output, settled(given.case)[0])

    return reference


def _activated(spec: Spec, output: np.ndarray, bias: list[np.ndarray]) -> np.ndarray:
    """`activation(output + bias)`, the bias with `use_bias` alone."""
    return activation(spec.get("activation"))(output + bias[0] if bias else output)


# -- convolution -----------------------------------------------------------------------------


@_of_windows
def convolution(
    spec: Spec, x: np.ndarray, table: np.ndarray, weights: list[np.ndarray]
) -> np.ndarray:
    """Source: the page of Conv1D: `activation(conv1d(inputs, kernel) + bias)`."""
    kernel, *bias = weights
    return _activated(spec, np.einsum("botc,tcf->bof", gathered(x, table), kernel), bias)


@_of_windows
def transposed_convolution(
    spec: Spec, x: np.ndarray, table: np.ndarray, weights: list[np.ndarray]
) -> np.ndarray:
    """Source: the page of Conv1DTranspose: `activation(conv1d_transpose(inputs, kernel) + bias)`.

    It goes "in the opposite direction of a normal convolution" (Keras 2): the table is that
    of a convolution turned round, and the kernel has features behind filters.
    """
    kernel, *bias = weights
    return _activated(spec, np.einsum("botc,tfc->bof", gathered(x, table), kernel), bias)


def _by_depth(x: np.ndarray, table: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Each feature by kernels of its own, their outputs one after the other."""
    output = np.einsum("botc,tcm->bocm", gathered(x, table), kernel)
    return np.asarray(output.reshape(*output.shape[:2], -1))


@_of_windows
def depthwise_convolution(
    spec: Spec, x: np.ndarray, table: np.ndarray, weights: list[np.ndarray]
) -> np.ndarray:
    """Source: the three steps on the page of DepthwiseConv1D."""
    kernel, *bias = weights
    return _activated(spec, _by_depth(x, table, kernel), bias)


@_of_windows
def separable_convolution(
    spec: Spec, x: np.ndarray, table: np.ndarray, weights: list[np.ndarray]
) -> np.ndarray:
    """Source: the page of SeparableConv1D: depthwise, then pointwise."""
    by_depth, pointwise, *bias = weights
    return _activated(spec, _by_depth(x, table, by_depth) @ pointwise[0], bias)


@_of_windows
def local_convolution(
    spec: Spec, x: np.ndarray, table: np.ndarray, weights: list[np.ndarray]
) -> np.ndarray:
    """Source: the page of LocallyConnected1D: "weights are unshared", a kernel for each window.

    Kernels have shape (output steps, places x features, filters), as the page of Keras 2 says
    of `implementation=1`; the bias has a row for each output step.
    """
    kernel, *bias = weights
    taken = gathered(x, table)
    taken = taken.reshape(*taken.shape[:2], -1)
    return _activated(spec, np.einsum("bop,opf->bof", taken, kernel), bias)


# -- pooling ---------------------------------------------------------------------------------


@_of_windows
def maximum(spec: Spec, x: np.ndarray, table: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """Source: the page of MaxPooling1D; with "same" padding what is outside takes no part."""
    lowest = x.dtype.type(-np.inf)
    return np.asarray(np.where(table[:, :, None] >= 0, x[:, table], lowest).max(axis=2))


@_of_windows
def average(spec: Spec, x: np.ndarray, table: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """Source: the page of AveragePooling1D; its last example: what is outside is not counted."""
    count = (table >= 0).sum(axis=1).astype(x.dtype)
    return np.asarray(gathered(x, table).sum(axis=2) / count[:, None])


def _where_even(reference: Callable[[Given], np.ndarray]) -> Callable[[Given], np.ndarray]:
    """Only where the steps part evenly: the pages do not say how long windows are elsewhere."""

    @functools.wraps(reference)
    def even(given: Given) -> np.ndarray:
        output = reference(given)
        steps = given.inputs[0].shape[1]
        if steps % whole(given.case.spec, "output_size", 1) == 0:
            return output
        return np.full_like(output, np.nan)

    return even


adapted_maximum = _where_even(maximum)
adapted_average = _where_even(average)
