"""Layers that give a sequence another shape: their masks and the right answer in NumPy.

They compute nothing: each value of the output is one of the inputs', so by rule 1 it is valid
where that one is. Where steps are no axis of their own any more, the mask has one value for each
value of the output, as far as its axes tell them apart.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

from catalogue.activations import activation
from catalogue.contracts import kept
from catalogue.layer_cases import Given, LayerCase
from catalogue.layer_reference import beside, cleared
from catalogue.specs import Spec
from catalogue.windows import gathered, said, settled, through_windows, whole, windows

__all__ = [
    "doubled",
    "einsum_over_features",
    "einsum_over_steps",
    "flattened",
    "flattened_mask",
    "inner_dense",
    "moved",
    "normalized",
    "padded",
    "padded_positions",
    "permuted",
    "permuted_mask",
    "repeated",
    "repeated_mask",
    "rescaled",
    "reshaped",
    "reshaped_mask",
    "settled_rows",
    "thresholded",
    "zeroed",
]

_Passage = Callable[[LayerCase], np.ndarray | None]
_Function = Callable[[Spec, np.ndarray, list[np.ndarray]], np.ndarray]


def _where_valid(passage: _Passage) -> Callable[[_Function], Callable[[Given], np.ndarray]]:
    """The reference of a layer whose valid outputs come from valid inputs alone."""

    def of(function: _Function) -> Callable[[Given], np.ndarray]:
        @functools.wraps(function)
        def reference(given: Given) -> np.ndarray:
            (x,) = cleared(given)
            return said(function(given.case.spec, x, given.weights), passage(given.case))

        return reference

    return of


# -- masks -----------------------------------------------------------------------------------


def flattened_mask(case: LayerCase) -> np.ndarray | None:
    """Each step's mask as often as it has values: they stand one after the other."""
    (mask,) = case.masks
    return None if mask is None else mask.repeat(math.prod(case.tensors[0].rest), axis=1)


def reshaped_mask(case: LayerCase) -> np.ndarray | None:
    """Each step's mask as often as it becomes new steps: their size divides its own."""
    (mask,) = case.masks
    target = case.spec.get("target_shape")
    assert isinstance(target, tuple)
    inner = math.prod(size for size in target[1:] if isinstance(size, int))
    return None if mask is None else mask.repeat(math.prod(case.tensors[0].rest) // inner, axis=1)


def permuted_mask(case: LayerCase) -> np.ndarray | None:
    """The mask with its axis of steps where that went, alike along axes that stand before it."""
    (mask,) = case.masks
    if mask is None:
        return None
    dims, shape = _dims(case.spec), case.tensors[0].shape
    beside = mask.reshape(*mask.shape, *[1] * (len(shape) - 2))
    spread = np.broadcast_to(beside, shape).transpose(0, *dims)
    behind = len(dims) - 1 - dims.index(1)
    return np.ascontiguousarray(spread.reshape(*spread.shape[: spread.ndim - behind], -1)[..., 0])


def repeated_mask(case: LayerCase) -> np.ndarray | None:
    """For inputs (batch, step): the mask once for each repetition."""
    (mask,) = case.masks
    return None if mask is None else mask[:, None].repeat(whole(case.spec, "n", 1), axis=1)


# -- values ----------------------------------------------------------------------------------


@_where_valid(flattened_mask)
def flattened(spec: Spec, x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """Source: the page of Flatten: "Does not affect the batch size"."""
    return x.reshape(len(x), -1)


@_where_valid(reshaped_mask)
def reshaped(spec: Spec, x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """Source: the page of Reshape: `(batch_size, *target_shape)`, -1 is inferred."""
    target = spec.get("target_shape")
    assert isinstance(target, tuple)
    return x.reshape(len(x), *[size for size in target if isinstance(size, int)])


@_where_valid(permuted_mask)
def permuted(spec: Spec, x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """Source: the page of Permute: dims do "not include the batch dimension", and start at 1."""
    return x.transpose(0, *_dims(spec))


@_where_valid(repeated_mask)
def repeated(spec: Spec, x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """Source: the page of RepeatVector: `(batch_size, n, features)`."""
    return x[:, None].repeat(whole(spec, "n", 1), axis=1)


@_where_valid(through_windows)
def moved(spec: Spec, x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """Source: the pages of Cropping1D and UpSampling1D: steps as they are."""
    return gathered(x, windows(spec, x.shape[1]))[:, :, 0]


def padded(given: Given) -> np.ndarray:
    """Source: the page of ZeroPadding1D: steps as they are, zeros before and behind them."""
    (x,) = cleared(given)
    output = gathered(x, windows(given.case.spec, x.shape[1]))[:, :, 0]
    return said(output, padded_positions(given.case)[0])


def padded_positions(case: LayerCase) -> list[np.ndarray | None]:
    """Of the output of ZeroPadding1D all is known but what masked steps of the input hold."""
    valid = through_windows(case)
    if valid is None:
        return [None]
    added = windows(case.spec, case.tensors[0].shape[1])[:, 0] < 0
    return [(valid | added)[:, :, None]]


def _dims(spec: Spec) -> list[int]:
    dims = spec.get("dims")
    assert isinstance(dims, tuple)
    return [axis for axis in dims if isinstance(axis, int)]


# -- the rest of keras.layers ----------------------------------------------------------------


def _einsum(spec: Spec, x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """Source: the page of EinsumDense: the equation, the bias of `bias_axes`, the activation."""
    kernel, *bias = weights
    equation = spec.get("equation")
    assert isinstance(equation, str)
    output = np.einsum(equation, x, kernel)
    return activation(spec.get("activation"))(output + bias[0] if bias else output)


einsum_over_features = _where_valid(kept)(_einsum)


def einsum_over_steps(given: Given) -> np.ndarray:
    """As `einsum_over_features`, where the steps are summed over: padding takes part."""
    (x,) = given.inputs
    return said(_einsum(given.case.spec, x, given.weights), settled_rows(given.case)[0])


def settled_rows(case: LayerCase) -> list[np.ndarray | None]:
    """As `settled`, where no steps are left: of shape (batch, 1)."""
    (valid,) = settled(case)
    return [None if valid is None else valid[:, :, 0]]


@_where_valid(kept)
def inner_dense(spec: Spec, x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """Source: the page of SpectralNormalization: its layer, here Dense; training normalizes."""
    kernel, bias = weights
    return np.asarray(x @ kernel + bias)


@_where_valid(kept)
def doubled(spec: Spec, x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """Source: the page of Lambda: its function, here `2 * inputs`."""
    return 2 * x


def zeroed(given: Given) -> np.ndarray:
    """Source: the page of Lambda: its function, here `2 * inputs`, and zeros at masked steps."""
    (x,) = cleared(given)
    (mask,) = given.masks
    return 2 * x if mask is None else np.where(beside(mask, x), 2 * x, x.dtype.type(0))


@_where_valid(kept)
def thresholded(spec: Spec, x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """Source: the formula on the page of ThresholdedReLU (Keras 2): x where x > theta, else 0."""
    return np.where(x > _number(spec, "theta", 1.0), x, x.dtype.type(0))


@_where_valid(kept)
def rescaled(spec: Spec, x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """Source: the page of Rescaling: `inputs * scale + offset`."""
    return x * _number(spec, "scale", 1.0) + _number(spec, "offset", 0.0)


@_where_valid(kept)
def normalized(spec: Spec, x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """Source: the page of Normalization: `(input - mean) / sqrt(var)`, or its inverse."""
    mean, deviation = _number(spec, "mean", 0.0), _number(spec, "variance", 1.0) ** 0.5
    return np.asarray(mean + x * deviation if spec.get("invert") else (x - mean) / deviation)


def _number(spec: Spec, argument: str, default: float) -> float:
    value = spec.get(argument, default)
    assert isinstance(value, int | float)
    return value
