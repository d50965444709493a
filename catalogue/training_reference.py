"""Losses and metrics over valid steps in NumPy, from the formulas on Keras' pages.

All are given labels and predictions of shape `(..., units)`, sparse labels `(...)`, and the
constructor's arguments. Source of each: its page in keras.io/api/losses or keras.io/api/metrics.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["MARGIN", "Arguments", "mean_metric", "near", "reduced", "undecided"]

_EPSILON = 1e-7  # keras.config.epsilon
MARGIN = 1e-4  # predictions nearer to a threshold than this may fall on either side of it
Arguments = Mapping[str, Any]


# -- reductions ------------------------------------------------------------------------------


def reduced(
    values: np.ndarray,
    valid: np.ndarray,
    weights: np.ndarray | None,
    reduction: str | None,
) -> np.ndarray:
    """A loss over valid positions, by its reduction; NaN where the documentation leaves it open.

    `values` has the shape `(batch, step)` or `(batch, step, inner)`, `valid` and `weights` that of
    a prefix of it or its own. Source: keras.io/api/losses ("sum" sums the loss,
    "sum_over_batch_size" and "mean" sum the loss and divide by the sample size,
    "mean_with_sample_weight" divides by the sum of the sample weights); the samples are the valid
    positions, for masked ones "should be skipped" (guide on masking and padding). Where rows have
    weights and their sum is asked for, or positions inside steps have none of their own, it is
    not said which sum of weights divides.
    """
    valid = np.broadcast_to(_spread(valid, values.ndim), values.shape)
    factors = np.ones_like(values)
    if weights is not None:
        factors = np.broadcast_to(_spread(weights, values.ndim), values.shape).astype(values.dtype)
    with np.errstate(invalid="ignore"):
        weighted = np.where(valid, values * factors, 0)
    if reduction is None:
        return np.where(valid, weighted, np.nan)
    total: np.ndarray = weighted.sum(dtype=values.dtype)
    if reduction == "sum":
        return total
    if reduction == "mean_with_sample_weight":
        own = weights is not None and weights.ndim == values.ndim > 1
        if not own and (values.ndim > 2 or weights is not None):
            return np.array(np.nan)
        count = np.where(valid, factors, 0).sum(dtype=values.dtype)
    else:
        count = valid.sum().astype(values.dtype)
    return np.asarray(total / count) if count else np.array(np.nan)


def mean_metric(values: np.ndarray, valid: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """The weighted mean of values over valid positions.

    Shapes as in `reduced`. Source: keras.io/api/metrics/reduction_metrics (Mean: with
    `sample_weight` `[1, 1, 0, 0]` the mean of `[1, 3, 5, 7]` is 2).
    """
    factors = np.broadcast_to(_spread(valid, values.ndim), values.shape).astype(values.dtype)
    if weights is not None:
        factors = factors * _spread(weights, values.ndim).astype(values.dtype)
    count = factors.sum(dtype=values.dtype)
    total = np.where(factors > 0, values * factors, 0).sum(dtype=values.dtype)
    return np.asarray(total / count) if count else np.array(np.nan)


def _spread(array: np.ndarray, rank: int) -> Any:
    """An array with axes of size 1 behind it, up to a rank."""
    return array.reshape(*array.shape, *[1] * (rank - array.ndim))


# -- regression ------------------------------------------------------------------------------


def squared(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> Any:
    """`mean(square(y_true - y_pred))`."""
    return np.square(y - p).mean(-1)


def fourth_power(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> Any:
    """The fourth power, as losses of one's own compute it (`catalogue/custom_measures.py`)."""
    return ((y - p) ** 4).mean(-1)


def fourth_power_of_rows(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> Any:
    """The mean of fourth powers of each row, as losses of one's own compute it."""
    return ((y - p) ** 4).mean(tuple(range(1, p.ndim)))


def predicted(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> Any:
    """The mean of predictions."""
    return p.mean(-1)


def absolute(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> Any:
    """`mean(abs(y_true - y_pred))`."""
    return np.abs(y - p).mean(-1)


def percentage(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> Any:
    """`100 * mean(abs((y_true - y_pred) / y_true))`."""
    return 100 * np.abs((y - p) / np.maximum(np.abs(y), _EPSILON)).mean(-1)


def logarithmic(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> Any:
    """`mean(square(log(y_true + 1) - log(y_pred + 1)))`."""
    logs = [np.log(np.maximum(side, _EPSILON) + 1) for side in (y, p)]
    return np.square(logs[0] - logs[1]).mean(-1)


def huber(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> Any:
    """Half the square up to `delta`, linear beyond."""
    delta = arguments.get("delta", 1.0)
    error = np.abs(y - p)
    beyond = delta * error - 0.5 * delta**2
    return np.where(error <= delta, 0.5 * error**2, beyond).mean(-1)


def log_cosh(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> Any:
    """`mean(log(cosh(y_pred - y_true)))`."""
    return np.log(np.cosh(p - y)).mean(-1)


def cosine(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> Any:
    """The scalar product of both, each divided by its length."""
    return (_unit(y) * _unit(p)).sum(-1)


def cosine_loss(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> Any:
    """The negative of the cosine."""
    return -cosine(y, p, arguments)


def pearson(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> Any:
    """Pearson's coefficient: the mean product of both, each less its mean and by its deviation."""
    y, p = (side - side.mean(-1, keepdims=True) for side in (y, p))
    return (y * p).mean(-1) / (y.std(-1) * p.std(-1))


def concordance(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> Any:
    """`2 * covariance / (var(y) + var(p) + square(mean(y) - mean(p)))`."""
    apart = y.mean(-1) - p.mean(-1)
    y, p = (side - side.mean(-1, keepdims=True) for side in (y, p))
    return 2 * (y * p).mean(-1) / (y.var(-1) + p.var(-1) + apart**2 + _EPSILON)


def _unit(x: np.ndarray) -> Any:
    return x / np.sqrt(np.maximum(np.square(x).sum(-1, keepdims=True), 1e-12))


# -- probabilities ---------------------------------------------------------------------------


def binary_crossentropy(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> Any:
    """`mean(-(y log p + (1 - y) log(1 - p)))`; labels are smoothed towards a half."""
    y, p = _binary(y, p, arguments)
    return _entropy(y, p).mean(-1)


def binary_focal(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> Any:
    """The crossentropy times `(1 - p of the true class) ** gamma`."""
    y, p = _binary(y, p, arguments)
    gamma, alpha = arguments.get("gamma", 2.0), arguments.get("alpha", 0.25)
    true = y * p + (1 - y) * (1 - p)
    values = (1 - true) ** gamma * _entropy(y, p)
    if arguments.get("apply_class_balancing"):
        values = values * (y * alpha + (1 - y) * (1 - alpha))
    return values.mean(-1)


def categorical_crossentropy(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> Any:
    """`-sum(y log p)`; labels are smoothed towards all classes alike."""
    smoothing = arguments.get("label_smoothing", 0)
    y = y * (1 - smoothing) + smoothing / y.shape[-1]
    return -(y * np.log(_probabilities(p, arguments))).sum(-1)


def categorical_focal(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> Any:
    """`sum(alpha * (1 - p) ** gamma * -y log p)`."""
    gamma, alpha = arguments.get("gamma", 2.0), arguments.get("alpha", 0.25)
    p = _probabilities(p, arguments)
    return (alpha * (1 - p) ** gamma * -y * np.log(p)).sum(-1)


def sparse_crossentropy(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> Any:
    """`-log p` of the class that the label names."""
    return -np.log(_of_class(_probabilities(p, arguments), y))


def generalized(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> Any:
    """`(1 - p ** q) / q` of the class that the label names."""
    q = arguments.get("q", 0.5)
    return (1 - _of_class(p, y) ** q) / q


def divergence(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> Any:
    """`sum(y log(y / p))`."""
    y, p = (np.clip(side, _EPSILON, 1) for side in (y, p))
    return (y * np.log(y / p)).sum(-1)


def dice(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> Any:
    """`1 - 2 sum(y p) / (sum(y) + sum(p))`; so is the loss of Tversky, of which both weights are a
    half."""
    return 1 - 2 * (y * p).sum(-1) / (y.sum(-1) + p.sum(-1) + _EPSILON)


def dice_of_all(y: np.ndarray, p: np.ndarray, w: np.ndarray, arguments: Arguments) -> Any:
    """The same of all positions together; nobody says what weights of samples do there."""
    if (w != 1).any():
        return np.nan
    return dice(y.reshape(-1), p.reshape(-1), arguments)


def poisson(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> Any:
    """`mean(p - y log p)`."""
    return (p - y * np.log(p + _EPSILON)).mean(-1)


def _entropy(y: np.ndarray, p: np.ndarray) -> Any:
    return -(y * np.log(p) + (1 - y) * np.log(1 - p))


def _binary(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> tuple[Any, Any]:
    if arguments.get("from_logits"):
        p = 1 / (1 + np.exp(-p))
    smoothing = arguments.get("label_smoothing", 0)
    return y * (1 - smoothing) + 0.5 * smoothing, p


def _probabilities(p: np.ndarray, arguments: Arguments) -> Any:
    if arguments.get("from_logits"):
        p = np.exp(p - p.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def _of_class(p: np.ndarray, y: np.ndarray) -> Any:
    inside = np.clip(y, 0, p.shape[-1] - 1)[..., None]
    return np.take_along_axis(p, inside, -1)[..., 0]


# -- hinges ----------------------------------------------------------------------------------


def hinge(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> Any:
    """`mean(maximum(1 - y * p, 0))`."""
    return np.maximum(1 - y * p, 0).mean(-1)


def squared_hinge(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> Any:
    """`mean(square(maximum(1 - y * p, 0)))`."""
    return np.square(np.maximum(1 - y * p, 0)).mean(-1)


def categorical_hinge(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> Any:
    """`maximum(max((1 - y) * p) - sum(y * p) + 1, 0)`."""
    return np.maximum(((1 - y) * p).max(-1) - (y * p).sum(-1) + 1, 0)


# -- hits ------------------------------------------------------------------------------------


def equal(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> Any:
    """How many labels equal their predictions."""
    return np.asarray(y == p, p.dtype).mean(-1)


def binary_hits(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> Any:
    """How many predictions lie on the side of a half that their label names."""
    hits = np.asarray((p > 0.5) == (y > 0.5), p.dtype).mean(-1)
    return np.where(near(p, 0.5).any(-1), np.nan, hits)


def categorical_hits(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> Any:
    """Whether the largest prediction stands where the label does."""
    return sparse_hits(y.argmax(-1), p, arguments)


def sparse_hits(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> Any:
    """Whether the largest prediction is that of the class that the label names."""
    hits = np.asarray(p.argmax(-1) == y, p.dtype)
    return np.where(undecided(p), np.nan, hits)


def top_hits(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> Any:
    """Whether the label's prediction is among the `k` largest."""
    return sparse_top_hits(y.argmax(-1), p, arguments)


def sparse_top_hits(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> Any:
    """The same for labels that name a class."""
    own = _of_class(p, y)[..., None]
    better = (p > own + MARGIN).sum(-1)
    near = (np.abs(p - own) <= MARGIN).sum(-1) > 1
    return np.where(near, np.nan, np.asarray(better < arguments.get("k", 5), p.dtype))


def near(p: np.ndarray, threshold: float) -> Any:
    """Which predictions lie so close to a threshold that rounding decides."""
    return np.abs(p - threshold) < MARGIN


def undecided(p: np.ndarray) -> Any:
    """Where the two likeliest classes are so close that rounding decides."""
    top = np.sort(p, -1)
    return top[..., -1] - top[..., -2] < MARGIN
