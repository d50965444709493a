"""The right answer in NumPy of layers that take each step by itself, pool, merge or normalize.

Each reference takes what a case gives and hands back the output of the layer, in the dtype of
the inputs. What masked steps hold is never looked at. The output is NaN where nothing is
documented: at the steps that the layer's contract calls invalid, unless the page says what is
there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from catalogue.activations import activation, softmax
from catalogue.contracts import concatenated, crossed, joined, kept
from catalogue.layer_cases import Given, LayerCase
from catalogue.specs import Spec

__all__ = [
    "activated",
    "batch_normalized",
    "batch_normalized_after_training",
    "beside",
    "by_chance",
    "cleared",
    "concatenation",
    "dense",
    "dot",
    "elu",
    "group_normalized",
    "layer_normalized",
    "leaky_relu",
    "masked_mean",
    "masked_softmax",
    "maximum_over_steps",
    "merged",
    "prelu",
    "relu",
    "rms_normalized",
    "softmax_of",
    "unchanged",
    "unchanged_unless_random",
    "unit_normalized",
]


# -- what masks do to arrays -----------------------------------------------------------------


def cleared(given: Given) -> list[np.ndarray]:
    """The inputs with zeros at masked steps, so that nothing can depend on what is there."""
    pairs = zip(given.inputs, given.masks, strict=True)
    return [
        x if mask is None else np.where(beside(mask, x), x, x.dtype.type(0)) for x, mask in pairs
    ]


def beside(mask: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A mask with axes of size 1 behind it, so that it broadcasts along x."""
    return mask.reshape(*mask.shape, *[1] * (x.ndim - mask.ndim))


def _unsaid(output: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """The output with NaN at the steps that are not valid."""
    if mask is None:
        return output
    return np.where(beside(mask, output), output, output.dtype.type(np.nan))


_Function = Callable[[Spec, np.ndarray, list[np.ndarray]], np.ndarray]


def _each_step(function: _Function) -> Callable[[Given], np.ndarray]:
    """The reference of a layer that computes every step from itself alone."""

    @functools.wraps(function)
    def reference(given: Given) -> np.ndarray:
        (x,) = cleared(given)
        with np.errstate(over="ignore"):
            output = function(given.case.spec, x, given.weights)
        return _unsaid(output, kept(given.case))

    return reference


# -- activations -----------------------------------------------------------------------------


@_each_step
def activated(spec: Spec, x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """Source: the page of Activation."""
    return activation(spec.get("activation"))(x)


@_each_step
def relu(spec: Spec, x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """Source: the formula on the page of ReLU."""
    threshold, most = _number(spec, "threshold", 0.0), spec.get("max_value")
    output = np.where(x >= threshold, x, _number(spec, "negative_slope", 0.0) * (x - threshold))
    return output if most is None else np.minimum(output, _number(spec, "max_value", 0.0))


@_each_step
def leaky_relu(spec: Spec, x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """Source: the page of LeakyReLU, with the slope of 0.3 that both versions document."""
    return np.where(x >= 0, x, 0.3 * x)


@_each_step
def elu(spec: Spec, x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """Source: the formula on the page of ELU."""
    return np.where(x >= 0, x, _number(spec, "alpha", 1.0) * np.expm1(np.minimum(x, 0)))


@_each_step
def prelu(spec: Spec, x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """Source: the formula on the page of PReLU; alpha has size 1 along shared axes."""
    (alpha,) = weights
    return np.where(x >= 0, x, alpha * x)


def softmax_of(given: Given) -> np.ndarray:
    """The softmax along the last axis.

    Source: the page of Softmax. Over features each step stands by itself. Inputs of shape
    (batch, step) have a mask of their own shape: "1 to keep and 0 to mask", and the page of
    Keras 2 shows zeros where it masks. Nothing is said of a row in which all is masked.
    """
    (x,) = cleared(given)
    (mask,) = given.masks
    if x.ndim > 2 or mask is None:
        return _unsaid(softmax(x), mask)
    return softmax(np.where(mask, x, x.dtype.type(-np.inf)))


def masked_softmax(given: Given) -> np.ndarray:
    """The softmax over the elements that are kept, and nothing for those that are not.

    Source: the page of Softmax: "1 to keep and 0 to mask". An element that is masked has no
    share, where all beside it are masked too. `axis` may name several axes.
    """
    (x,) = cleared(given)
    (mask,) = given.masks
    axis: Any = given.case.spec.get("axis", -1)  # a number, or a tuple of them
    if mask is None:
        return softmax(x, axis)
    with np.errstate(invalid="ignore"):
        shares = softmax(np.where(mask, x, x.dtype.type(-np.inf)), axis)
    return np.where(mask, shares, x.dtype.type(0))


# -- regularization and core -----------------------------------------------------------------


@_each_step
def unchanged(spec: Spec, x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """Source: the pages of Identity and ActivityRegularization: the output is the input."""
    return x


def by_chance(rate: str) -> Callable[[LayerCase], bool]:
    """Whether chance decides: in training, with a rate above 0, named by an argument."""
    return lambda case: case.training is True and _number(case.spec, rate, 0.0) > 0


def unchanged_unless_random(rate: str) -> Callable[[Given], np.ndarray | None]:
    """The input; None where chance decides.

    Source: the pages of the layers of noise and dropout: "only active at training time".
    """
    random = by_chance(rate)
    return lambda given: None if random(given.case) else unchanged(given)


def _dense(spec: Spec, x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    kernel, *bias = weights
    output = x @ kernel
    return activation(spec.get("activation"))(output + bias[0] if bias else output)


@_each_step
def dense(spec: Spec, x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """Source: the page of Dense: `activation(dot(input, kernel) + bias)`, along the last axis."""
    return _dense(spec, x, weights)


# -- normalization ---------------------------------------------------------------------------


def layer_normalized(given: Given) -> np.ndarray:
    """By mean and variance along `axis`: of the valid steps, where these are one of the axes.

    Source: the equations on the page of LayerNormalization, and rule 2: its output carries the
    mask, so what it normalizes by is of valid steps alone.
    """
    (x,) = cleared(given)
    return _normalized(given, x, *_moments(x, given.masks[0], _axes(given.case.spec, x)))


def _normalized(given: Given, x: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """By these statistics, then scaled; nothing is said of masked steps."""
    spec = given.case.spec
    normalized = (x - mean) / np.sqrt(variance + _number(spec, "epsilon", 1e-3))
    return _unsaid(_scaled(spec, normalized.astype(x.dtype), given.weights), kept(given.case))


def unit_normalized(given: Given) -> np.ndarray:
    """Source: the page of UnitNormalization: an L2 norm of 1 along `axis`, and rule 2.

    What is zero stays as it is; masked steps add nothing to a norm of several.
    """
    (x,) = cleared(given)
    return _unsaid(_unit(x, _axes(given.case.spec, x)), kept(given.case))


def rms_normalized(given: Given) -> np.ndarray:
    """Source: the equation on the page of RMSNormalization, along `axis`."""
    (x,) = cleared(given)
    spec = given.case.spec
    square = np.square(x).mean(axis=_axes(spec, x), keepdims=True)
    normalized = np.asarray(x / np.sqrt(square + _number(spec, "epsilon", 1e-6)))
    return _unsaid(_beside_axes(spec, normalized, given.weights)[0] * normalized, kept(given.case))


def _axes(spec: Spec, x: np.ndarray) -> tuple[int, ...]:
    """What `axis` says, the last one by default."""
    axis = spec.get("axis", -1)
    axes = axis if isinstance(axis, tuple) else (axis,)
    assert all(isinstance(one, int) for one in axes)
    return tuple(one % x.ndim for one in axes if isinstance(one, int))


def _beside_axes(spec: Spec, x: np.ndarray, weights: list[np.ndarray]) -> list[np.ndarray]:
    """Weights with axes of size 1 where `axis` names none, so that they broadcast along x."""
    axes = _axes(spec, x)
    shape = [size if place in axes else 1 for place, size in enumerate(x.shape)]
    return [one.reshape(shape) for one in weights]


def group_normalized(given: Given) -> np.ndarray:
    """Each group of features over all valid steps of a row.

    Source: the page of GroupNormalization, and rule 2: its output carries the mask, so what it
    normalizes by is of valid steps alone. (The page of Keras 2 says so itself: `mask` is "the
    weight for each position in the input tensor when computing the mean and variance".)
    """
    (x,) = cleared(given)
    (mask,) = given.masks
    spec = given.case.spec
    (axis,) = _axes(spec, x)
    last = np.moveaxis(x, axis, -1)
    groups, features = spec.get("groups"), last.shape[-1]
    assert isinstance(groups, int)
    count = features if groups == -1 else groups
    grouped = last.reshape(*last.shape[:-1], count, features // count)
    axes = (*range(1, x.ndim - 1), grouped.ndim - 1)
    mean, variance = _moments(grouped, mask, axes)
    normalized = (grouped - mean) / np.sqrt(variance + _number(spec, "epsilon", 1e-3))
    normalized = np.moveaxis(normalized.reshape(last.shape), -1, axis)
    return _unsaid(_scaled(spec, normalized, given.weights), kept(given.case))


def batch_normalized(given: Given) -> np.ndarray:
    """In training by the statistics of the valid steps, else by the moving ones: 0 and 1.

    Source: the page of BatchNormalization: mask has "`True` values indicating the positions for
    which mean and variance should be computed". The layer is fresh, so it has seen no batch. With
    `renorm` what comes out is corrected to what the moving statistics would give ("the correction
    `(r, d)` is used as `corrected_value = normalized_value * r + d`").
    """
    (x,) = cleared(given)
    spec = given.case.spec
    mean, variance = x.dtype.type(0), x.dtype.type(1)
    if given.case.training:
        mean, variance = _of_batch(given, x)
    deviation = np.sqrt(variance + _number(spec, "epsilon", 1e-3))
    normalized = (x - mean) / deviation
    if given.case.training and spec.get("renorm"):
        normalized = normalized * deviation + mean
    return _unsaid(_scaled(spec, normalized.astype(x.dtype), given.weights), kept(given.case))


def batch_normalized_after_training(given: Given) -> np.ndarray | None:
    """What inference gives after one call in training: by statistics moved towards the batch's.

    Source: the page of BatchNormalization: `moving_mean = moving_mean * momentum + mean(batch) *
    (1 - momentum)`, and the same of `moving_var`. Of a batch without a valid step it says nothing,
    nor what moves with `renorm`.
    """
    (x,) = cleared(given)
    spec, (mask,) = given.case.spec, given.masks
    if spec.get("renorm") or (mask is not None and not mask.any()):
        return None
    mean, variance = _of_batch(given, x)
    moved = x.dtype.type(1 - _number(spec, "momentum", 0.99))
    return _normalized(given, x, moved * mean, (1 - moved) + moved * variance)


def _of_batch(given: Given, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of valid steps for each place along `axis`."""
    (axis,) = _axes(given.case.spec, x)
    return _moments(x, given.masks[0], tuple(one for one in range(x.ndim) if one != axis))


def _moments(
    x: np.ndarray, mask: np.ndarray | None, axes: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance along axes over valid steps; zeros where there are none."""
    valid = np.ones(x.shape, bool) if mask is None else np.broadcast_to(beside(mask, x), x.shape)
    count = np.maximum(valid.sum(axis=axes, keepdims=True), 1).astype(x.dtype)
    mean = np.where(valid, x, 0).sum(axis=axes, keepdims=True) / count
    square = np.where(valid, np.square(x - mean), 0).sum(axis=axes, keepdims=True)
    return np.asarray(mean), np.asarray(square / count)


def _scaled(spec: Spec, x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """Times gamma with `scale`, plus beta with `center`, each along `axis`."""
    rest = iter(_beside_axes(spec, x, weights))
    if spec.get("scale", True):
        x = x * next(rest)
    if spec.get("center", True):
        x = x + next(rest)
    return x


# -- pooling ---------------------------------------------------------------------------------


def masked_mean(given: Given) -> np.ndarray:
    """The mean over valid steps; NaN for a row without any, of which the page says nothing.

    Source: the page of GlobalAveragePooling1D: a masked step is "excluded from the average".
    """
    (x,) = cleared(given)
    (mask,) = given.masks
    keepdims = bool(given.case.spec.get("keepdims"))
    if mask is None:
        return np.asarray(x.mean(axis=1, keepdims=keepdims))
    count = mask.sum(axis=1).astype(x.dtype).reshape(-1, *[1] * (x.ndim - 1 - (not keepdims)))
    with np.errstate(invalid="ignore"):
        return np.asarray(x.sum(axis=1, keepdims=keepdims) / count)


def maximum_over_steps(given: Given) -> np.ndarray:
    """The maximum over all steps, masked ones too.

    Source: the page of GlobalMaxPooling1D, which knows no mask. The mask does not go out either,
    so by rule 3 its user has to be told, and nothing promises that padding is left out.
    """
    (x,) = given.inputs
    return np.asarray(x.max(axis=1, keepdims=bool(given.case.spec.get("keepdims"))))


# -- merging ---------------------------------------------------------------------------------

_MERGES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "Add": np.add,
    "Subtract": np.subtract,
    "Multiply": np.multiply,
    "Average": np.add,
    "Maximum": np.maximum,
    "Minimum": np.minimum,
}


def merged(given: Given) -> np.ndarray:
    """The tensors merged element by element, where all of them are valid.

    Source: the pages of the merging layers. They say nothing of masks: by rule 1 the steps
    where one tensor is masked are masked.
    """
    output = functools.reduce(_MERGES[given.case.spec.layer], cleared(given))
    if given.case.spec.layer == "Average":
        output = output / len(given.inputs)
    return _unsaid(output, joined(given.case))


def merged_where_valid(given: Given) -> np.ndarray:
    """Of tensors that are valid in part, those that are, merged element by element.

    A layer whose output calls such a step valid has to compute it from what is (rule 2). NaN where
    all are valid, which is another matter, or none is, or half of a pair is left to subtract.
    """
    layer = given.case.spec.layer
    valid = [
        np.ones(x.shape[:2], bool) if mask is None else mask
        for x, mask in zip(given.inputs, given.masks, strict=True)
    ]
    count = np.sum(valid, axis=0)
    neutral = _NEUTRAL.get(layer, np.nan)
    kept = (
        np.where(beside(mask, x), x, x.dtype.type(neutral))
        for x, mask in zip(given.inputs, valid, strict=True)
    )
    output = functools.reduce(_MERGES[layer], kept)
    if layer == "Average":
        output = output / beside(np.maximum(count, 1), output).astype(output.dtype)
    partly = (count > 0) & (count < len(valid))
    return np.where(beside(partly, output), output, output.dtype.type(np.nan))


_NEUTRAL = {"Add": 0, "Average": 0, "Multiply": 1, "Maximum": -np.inf, "Minimum": np.inf}


def concatenation(given: Given) -> np.ndarray:
    """Source: the page of Concatenate; of masks it says nothing, rule 1."""
    axis = given.case.spec.get("axis", -1)
    assert isinstance(axis, int)
    return _unsaid(np.concatenate(cleared(given), axis=axis), concatenated(given.case))


def dot(given: Given) -> np.ndarray:
    """The dot products of all pairs of steps, of shape (batch, first's step, second's step).

    Source: the page of Dot with `axes=2`; `normalize` makes it "the cosine proximity". Of masks
    it says nothing: by rule 1 a pair is valid where both steps are.
    """
    first, second = cleared(given)
    if given.case.spec.get("normalize"):
        first, second = _unit(first), _unit(second)
    return _unsaid(first @ second.swapaxes(1, 2), crossed(given.case))


def _unit(x: np.ndarray, axes: tuple[int, ...] = (-1,)) -> np.ndarray:
    norm = np.sqrt(np.square(x).sum(axis=axes, keepdims=True))
    return np.asarray(x / np.where(norm > 0, norm, 1).astype(x.dtype))


def _number(spec: Spec, argument: str, default: float) -> float:
    value = spec.get(argument, default)
    assert isinstance(value, int | float)
    return value
