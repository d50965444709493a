"""The right answer in NumPy of attention with heads: projections, shares, and back."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from catalogue.activations import ACTIVATIONS, softmax
from catalogue.attention_reference import Attending, allowed, attending
from catalogue.layer_cases import Given
from catalogue.layer_reference import by_chance
from catalogue.specs import Spec

__all__ = ["attention_axes", "group_query_attention", "heads", "multi_head_attention"]

_Answer = np.ndarray | list[np.ndarray] | None


def multi_head_attention(given: Given) -> _Answer:
    """Attention in every head by itself, the heads put together by a last projection.

    Tensors have shape (batch, step, *places, dim), the output (batch, step, *places, *output
    dims), the scores that are asked for (batch, *places, head, query step, value step).
    Attention is over `attention_axes`: over steps, for each place by itself, or, where none are
    given, "over all axes, but batch, heads, and features", which are steps and places at once;
    then scores have (batch, head, query step, query place, value step, value place). Source:
    the page of MultiHeadAttention; for the scale it names the paper: one over the root of
    `key_dim`. It says nothing of a masked query, nor of one that may attend to nothing: NaN.
    In training with dropout chance decides: None.
    """
    axes, places = attention_axes(given.case.spec), given.inputs[0].shape[2:-1]
    if not places or axes == (1,):
        return _heads(given)
    if axes not in (None, (1, 2)) or len(places) > 1:
        raise ValueError(f"attention_axes={axes!r} of {len(places)} places has no reference")
    return _heads(given, flat=places[0])


def group_query_attention(given: Given) -> _Answer:
    """As `multi_head_attention`; each head of key and value is that of several of the query.

    Source: the page of GroupQueryAttention: `key` and `value` "are repeated to match the number
    of heads of `query`", each of them for neighbouring heads as in the paper that it names.
    """
    return _heads(given)


def attention_axes(spec: Spec) -> tuple[int, ...] | None:
    """The axes of (batch, step, place, feature) that are attended over, counted from the front."""
    axes = spec.get("attention_axes")
    if not isinstance(axes, tuple):
        return None
    return tuple(axis % 4 for axis in axes if isinstance(axis, int))


def heads(
    given: Given, roles: Attending, may: np.ndarray, of_nothing: float = np.nan, *, flat: int = 0
) -> _Answer:
    """The answer where each step of the query may attend to some of the value.

    `may` has shape (batch, query step, value step), or, where heads do not all see the same,
    (batch, head, query step, value step); one that may attend to nothing has the
    share `of_nothing` of every value. With `flat` places attention is over these and the steps
    at once.
    """
    case = given.case
    if by_chance("dropout")(case):
        return None
    bias, rest = bool(case.spec.get("use_bias", True)), iter(given.weights)
    query = _to_heads(roles.query, rest, bias)
    key = _to_heads(roles.key, rest, bias)
    gate = ACTIVATIONS["sigmoid"](_to_heads(roles.query, rest, bias)) if _gated(given) else None
    value = _to_heads(roles.value, rest, bias)
    heads = query.shape[-2]
    key, value = (np.repeat(x, heads // x.shape[-2], axis=-2) for x in (key, value))
    if flat:
        query, key, value = (x.reshape(len(x), -1, *x.shape[3:]) for x in (query, key, value))
        may = may.repeat(flat, axis=1).repeat(flat, axis=2)
    # Steps beside the features of a head, all else before them: (batch, *places, head, step, dim).
    query, key, value = (np.moveaxis(x, 1, -2) for x in (query, key, value))
    scores = query @ key.swapaxes(-1, -2) / query.dtype.type(np.sqrt(query.shape[-1]))
    if may.ndim < 4:
        may = may.reshape(len(may), *[1] * (scores.ndim - 3), *may.shape[1:])
    shares = softmax(np.where(may, scores, scores.dtype.type(-np.inf)))
    shares = np.where(may.any(axis=-1, keepdims=True), shares, shares.dtype.type(of_nothing))
    found = np.moveaxis(shares @ value, -2, 1)  # (batch, step, *places, head, dim)
    batch, steps = roles.query.shape[:2]
    if flat:
        found = found.reshape(batch, steps, flat, *found.shape[2:])
        values = roles.value.shape[1]
        shares = shares.reshape(batch, heads, steps, flat, values, flat)
    if gate is not None:
        found = found * gate
    kernel = next(rest)
    output = np.tensordot(found, kernel, axes=2)
    if bias:
        output = output + next(rest)
    answer = [output, shares]
    if roles.query_mask is not None:
        # The step of the query is the second axis of the output; of the scores the last but
        # one, or before the places of query and value.
        steps_at = (1, 2 if flat else shares.ndim - 2)
        answer = [
            _said(x, roles.query_mask, axis) for x, axis in zip(answer, steps_at, strict=True)
        ]
    return answer if case.arguments.get("return_attention_scores") else answer[0]


def _heads(given: Given, flat: int = 0) -> _Answer:
    return heads(given, attending(given), allowed(given), flat=flat)


def _gated(given: Given) -> bool:
    return bool(given.case.spec.get("use_gate"))


def _to_heads(x: np.ndarray, weights: Iterator[np.ndarray], bias: bool) -> np.ndarray:
    """A projection by a kernel of shape (dim, head, head dim), and a bias where there is one."""
    found = np.tensordot(x, next(weights), axes=1)
    return found + next(weights) if bias else found


def _said(x: np.ndarray, mask: np.ndarray, axis: int) -> np.ndarray:
    """NaN where the mask, of shape (batch, step), is False; steps lie along an axis of x."""
    sizes = [size if place in (0, axis) else 1 for place, size in enumerate(x.shape)]
    return np.where(mask.reshape(sizes), x, x.dtype.type(np.nan))
