"""The right answer in NumPy of dense attention: what a query may look at, and what it finds."""

from __future__ import annotations

import numpy as np

from catalogue.activations import softmax
from catalogue.layer_cases import Given
from catalogue.layer_reference import by_chance, cleared

__all__ = ["additive_attention", "attention"]


def attention(given: Given) -> np.ndarray | None:
    """Scores of query and key by `score_mode`, softmax, and that share of each value.

    Query, value and key have shape (batch, step, dim), the output that of the query. Source: the
    page of Attention. It calls the mode `concat` "the hyperbolic tangent of the concatenation
    of the query and key vectors" and gives no formula: this is the one that Keras computes.
    """
    query, _, key = _tensors(given)
    weights = iter(given.weights)
    spec = given.case.spec
    scale = next(weights) if spec.get("use_scale") else query.dtype.type(1)
    if spec.get("score_mode", "dot") == "dot":
        return _attended(given, query @ key.swapaxes(1, 2) * scale)
    pairs = np.tanh(scale * (query[:, :, None, :] + key[:, None, :, :]))
    return _attended(given, next(weights) * pairs.sum(axis=-1))


def additive_attention(given: Given) -> np.ndarray | None:
    """Scores `reduce_sum(tanh(query + key))`, times a scale for each feature; then as above.

    Source: the page of AdditiveAttention.
    """
    query, _, key = _tensors(given)
    pairs = np.tanh(query[:, :, None, :] + key[:, None, :, :])
    if given.weights:
        pairs = given.weights[0] * pairs
    return _attended(given, pairs.sum(axis=-1))


def _tensors(given: Given) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Query, value and key; the value is the key where there is none."""
    query, value, *key = cleared(given)
    return query, value, key[0] if key else value


def _attended(given: Given, scores: np.ndarray) -> np.ndarray | None:
    """Values in the shares of their scores; scores have shape (batch, query step, value step).

    Source: both pages. Where the mask of the query is False, "the output will be zero"; where
    that of the values is, they "do not contribute to the result"; with `use_causal_mask`
    "position `i` cannot attend to positions `j > i`". A mask of the key is not spoken of: by
    rule 2 a position whose key is padding does not contribute either. Nothing is said of a
    query that may look at no position: NaN. In training with dropout chance decides: None.
    """
    case = given.case
    if by_chance("dropout")(case):
        return None
    query_mask, *others = given.masks
    allowed = np.ones(scores.shape, bool)
    for mask in others:
        if mask is not None:
            allowed &= mask[:, None, :]
    if case.arguments.get("use_causal_mask"):
        allowed &= np.tri(*scores.shape[1:]) > 0
    shares = softmax(np.where(allowed, scores, scores.dtype.type(-np.inf)))
    _, value, _ = _tensors(given)
    output: np.ndarray = shares @ value
    if query_mask is None:
        return output
    return np.where(query_mask[:, :, None], output, output.dtype.type(0))
