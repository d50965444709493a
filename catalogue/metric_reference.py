"""Metrics of all positions together in NumPy, from the formulas on Keras' pages.

All are given labels and predictions of shape `(position, units)`, the weights of positions and the
constructor's arguments; NaN stands for what rounding may decide, or no page says. Source of each:
its page in keras.io/api/metrics.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from catalogue.training_reference import MARGIN, Arguments, near, undecided

__all__ = [
    "area",
    "area_of_labels",
    "binary_overlap",
    "count_of",
    "determination",
    "f_score",
    "one_hot_overlap",
    "overlap",
    "precision",
    "recall",
    "root_mean_squared",
    "sum_of_predicted",
    "unknown",
]


def _counts(y: np.ndarray, p: np.ndarray, w: np.ndarray, threshold: float) -> dict[str, Any] | None:
    """True and false positives and negatives, weighted; None where rounding may decide, or where
    it is not known whether something is predicted (NaN)."""
    if (near(p, threshold) | np.isnan(p)).any():
        return None
    weights = np.broadcast_to(w[:, None], p.shape)
    said, true = p > threshold, y > 0.5
    return {
        "true positives": weights[said & true].sum(),
        "false positives": weights[said & ~true].sum(),
        "true negatives": weights[~said & ~true].sum(),
        "false negatives": weights[~said & true].sum(),
    }


def _at_each(
    y: np.ndarray,
    p: np.ndarray,
    w: np.ndarray,
    arguments: Arguments,
    value: Callable[[dict[str, Any]], Any],
) -> Any:
    """What is made of the counts: a number, or one for each of the `thresholds`."""
    thresholds = arguments.get("thresholds")
    found = []
    for threshold in (0.5,) if thresholds is None else thresholds:
        counts = _counts(y, p, w, threshold)
        found.append(np.nan if counts is None else value(counts))
    return found[0] if thresholds is None else np.array(found)


def count_of(what: str) -> Any:
    """The metric that counts, for instance, `true positives`."""

    def counted(y: np.ndarray, p: np.ndarray, w: np.ndarray, arguments: Arguments) -> Any:
        return _at_each(y, p, w, arguments, lambda counts: counts[what])

    return counted


def precision(y: np.ndarray, p: np.ndarray, w: np.ndarray, arguments: Arguments) -> Any:
    """True positives by all predicted ones, of one class or of the likeliest where these are asked
    for."""
    y, p = _asked_for(y, p, arguments)
    return _at_each(y, p, w, arguments, lambda counts: _share(counts, "false positives"))


def recall(y: np.ndarray, p: np.ndarray, w: np.ndarray, arguments: Arguments) -> Any:
    """True positives by all labelled ones, of one class or of the likeliest where these are asked
    for."""
    y, p = _asked_for(y, p, arguments)
    return _at_each(y, p, w, arguments, lambda counts: _share(counts, "false negatives"))


def _asked_for(y: np.ndarray, p: np.ndarray, arguments: Arguments) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions of `class_id`; with `top_k` the likeliest count as predicted.

    With `thresholds` beside it these count where they are above ("if neither thresholds nor top_k
    are set, the default is ...": both may be). Of two that are alike nobody says which comes first:
    whether they are predicted is not known (NaN).
    """
    top, one = arguments.get("top_k"), arguments.get("class_id")
    if top:
        ordered = np.sort(p, axis=-1)
        least = ordered[..., -top][..., None]
        near = np.zeros_like(p, bool)
        if p.shape[-1] > top:
            near |= np.abs(least - ordered[..., -top - 1][..., None]) < 1e-3
        said = np.ones_like(p) if arguments.get("thresholds") is None else p
        p = np.where(near, np.nan, np.where(p >= least, said, 0)).astype(p.dtype)
    if one is not None:
        y, p = y[..., one : one + 1], p[..., one : one + 1]
    return y, p


def _share(counts: dict[str, Any], others: str, what: str = "true positives") -> Any:
    of = counts[what] + counts[others]
    return counts[what] / of if of else np.nan


def area(y: np.ndarray, p: np.ndarray, w: np.ndarray, arguments: Arguments) -> Any:
    """The area under the curve of true positive rates over false positive ones, which is straight
    between thresholds ("interpolation" applies the mid-point summation scheme for ROC).

    These are linearly spaced, or as given, and one below and one above all predictions.
    """
    number = arguments.get("num_thresholds", 200)
    between = arguments.get("thresholds") or np.arange(1, number - 1) / (number - 1)
    points = []
    for threshold in (-1.0, *sorted(between), 2.0):
        counts = _counts(y, p, w, threshold)
        if counts is None:
            return np.nan
        true = _share(counts, "false negatives")
        points.append((true, _share(counts, "true negatives", "false positives")))
    trues, falses = np.array(points).T
    return ((falses[:-1] - falses[1:]) * (trues[:-1] + trues[1:]) / 2).sum()


def area_of_labels(y: np.ndarray, p: np.ndarray, w: np.ndarray, arguments: Arguments) -> Any:
    """The mean of the areas of each label by itself ("computed separately for each label and then
    averaged across labels")."""
    each = [area(y[:, [k]], p[:, [k]], w, arguments) for k in range(y.shape[-1])]
    return np.mean(each)


def f_score(y: np.ndarray, p: np.ndarray, w: np.ndarray, arguments: Arguments) -> Any:
    """`(1 + beta**2) * precision * recall / (beta**2 * precision + recall)`, of labels or over all.

    Without a threshold the likeliest label is predicted. The average "weighted" is "by the number
    of true instances for each label"; what has no instance on either side is 0 in some versions.
    """
    threshold, average = arguments.get("threshold"), arguments.get("average")
    if (undecided(p) if threshold is None else near(p, threshold)).any():
        return np.nan
    said = p > threshold if threshold is not None else p == p.max(-1, keepdims=True)
    true, square = y > 0.5, arguments.get("beta", 1.0) ** 2
    axis = None if average == "micro" else 0
    hits, extra, missed = (
        np.sum(w[:, None] * one, axis=axis) for one in (said & true, said & ~true, ~said & true)
    )
    # Without any instance there is neither precision nor recall.
    whole = (1 + square) * hits + square * missed + extra
    each = np.where(whole > 0, (1 + square) * hits / np.where(whole > 0, whole, 1), np.nan)
    if average == "weighted":
        share = (hits + missed) / np.sum(hits + missed)
        return np.sum(np.where(share > 0, each, 0) * share)
    return np.mean(each) if average == "macro" else each


def root_mean_squared(y: np.ndarray, p: np.ndarray, w: np.ndarray, arguments: Arguments) -> Any:
    """The root of the weighted mean of squares."""
    total = w.sum(dtype=p.dtype)
    mean = (np.square(y - p).mean(-1) * w).sum(dtype=p.dtype) / total if total else np.nan
    return np.sqrt(mean)


def sum_of_predicted(y: np.ndarray, p: np.ndarray, w: np.ndarray, arguments: Arguments) -> Any:
    """The weighted sum of predictions."""
    return (p * w.reshape(-1, *[1] * (p.ndim - 1))).sum(dtype=p.dtype)


def determination(y: np.ndarray, p: np.ndarray, w: np.ndarray, arguments: Arguments) -> Any:
    """`1 - sum((y - p) ** 2) / sum((y - mean(y)) ** 2)` of each output, or their aggregate.

    Labels that hardly differ leave nothing to divide by: what rounds is up to 50 times as much.
    """
    w = w[:, None]
    count = w.sum()
    total = (w * np.square(y - (w * y).sum(0) / count)).sum(0) if count else np.zeros(1)
    if (total < 0.02 * (w * np.square(y)).sum(0) + MARGIN).any():
        return np.nan
    scores = 1 - (w * np.square(y - p)).sum(0) / total
    how = arguments.get("class_aggregation", "uniform_average")
    if how == "uniform_average":
        scores = scores.mean()
    elif how == "variance_weighted_average":
        scores = (scores * total).sum() / total.sum()
    return scores


def binary_overlap(y: np.ndarray, p: np.ndarray, w: np.ndarray, arguments: Arguments) -> Any:
    """The mean over both classes of `true positives / (true positives + both false ones)`."""
    if near(p, 0.5).any():
        return np.nan
    return _overlap((y > 0.5).astype(int)[..., 0], (p > 0.5).astype(int)[..., 0], w, (0, 1))


def one_hot_overlap(y: np.ndarray, p: np.ndarray, w: np.ndarray, arguments: Arguments) -> Any:
    """The same over classes, both sides being one-hot."""
    if undecided(p).any():
        return np.nan
    classes = arguments.get("target_class_ids") or range(arguments["num_classes"])
    return _overlap(*_considered(y.argmax(-1), p.argmax(-1), w, arguments), classes)


def overlap(y: np.ndarray, p: np.ndarray, w: np.ndarray, arguments: Arguments) -> Any:
    """The same over classes, both sides naming a class."""
    classes = arguments.get("target_class_ids") or range(arguments["num_classes"])
    return _overlap(*_considered(y[..., 0], p[..., 0], w, arguments), classes)


def _considered(
    y: np.ndarray, p: np.ndarray, w: np.ndarray, arguments: Arguments
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The positions whose label is not of the class that is ignored.

    Nobody says whether a prediction of that class counts elsewhere: then weights are NaN.
    """
    ignored = arguments.get("ignore_class")
    if ignored is None:
        return y, p, w
    kept = y != ignored
    y, p, w = y[kept], p[kept], w[kept]
    return y, p, np.full_like(w, np.nan) if (p == ignored).any() else w


def _overlap(y: np.ndarray, p: np.ndarray, w: np.ndarray, classes: Any) -> Any:
    shares = []
    for one in classes:
        both, either = w[(y == one) & (p == one)].sum(), w[(y == one) | (p == one)].sum()
        if either:  # a class that nobody names does not count
            shares.append(both / either)
    return np.mean(shares) if shares else np.nan


def unknown(y: np.ndarray, p: np.ndarray, w: np.ndarray, arguments: Arguments) -> Any:
    """NaN: a metric that only approximates what it computes, or whose mean is of its own kind."""
    return np.nan
