"""The right answer in NumPy of dense attention: what a query may look at, and what it finds."""

from __future__ import annotations

import dataclasses

import numpy as np

from catalogue.activations import softmax
from catalogue.layer_cases import Given, LayerCase
from catalogue.layer_reference import by_chance, cleared
from catalogue.specs import Spec

__all__ = [
    "Attending",
    "additive_attention",
    "allowed",
    "attending",
    "attention",
    "attention_traits",
    "number_of_heads",
    "scored",
]


@dataclasses.dataclass(frozen=True)
class Attending:
    """The three roles of a call, each with its mask, None where it has none.

    Shapes are (batch, step, *rest); masked steps hold zeros. A value is its own key where no
    key is given, and a query its own value where it is the only tensor.
    """

    query: np.ndarray
    value: np.ndarray
    key: np.ndarray
    query_mask: np.ndarray | None
    value_mask: np.ndarray | None
    key_mask: np.ndarray | None


def attending(given: Given) -> Attending:
    """Query, value and key of a call, with what may stand for them."""
    tensors, masks = cleared(given), list(given.masks)
    while len(tensors) < 3:
        tensors.append(tensors[-1])
        masks.append(masks[-1])
    return Attending(*tensors, *masks)


def allowed(given: Given) -> np.ndarray:
    """Which steps of the value each step of the query may attend to.

    Of shape (batch, query step, value step), or, where an `attention_mask` has an axis of heads,
    (batch, head, query step, value step), with one head for all where it has one. Source: the
    pages of the attention layers. Where
    the mask of the values is False, they "do not contribute to the result"; with
    `use_causal_mask` "position `i` cannot attend to positions `j > i`"; an `attention_mask` has
    "1 indicates attention and 0 indicates no attention", and "broadcasting can happen for the
    missing batch dimensions and the head dimension". A mask of the key is not spoken of: by
    rule 2 a position whose key is padding does not contribute either. With a `sliding_window`
    a position attends "within `sliding_window - 1` of itself".
    """
    case, roles = given.case, attending(given)
    batch, queries = roles.query.shape[:2]
    values = roles.value.shape[1]
    found = np.ones((batch, queries, values), bool)
    for mask in (roles.value_mask, roles.key_mask):
        if mask is not None:
            found &= mask[:, None, :]
    if case.arguments.get("use_causal_mask"):
        found &= np.tri(queries, values) > 0
    window = case.spec.get("sliding_window")
    if isinstance(window, int):
        found &= np.abs(np.arange(queries)[:, None] - np.arange(values)) < window
    if given.element is None:
        return found
    return given.element & (found[:, None] if given.element.ndim > found.ndim else found)


def attention_traits(case: LayerCase) -> frozenset[str]:
    """Whether a valid step of the query may attend to no step at all, in some head.

    And whether a mask of single elements has an axis of heads, and rows are as many as these.
    """
    given = Given(case, [np.zeros(tensor.shape) for tensor in case.tensors], case.masks, [])
    query = attending(given).query_mask
    blind = ~allowed(given).any(axis=-1)
    if query is not None:
        blind &= query[:, None] if blind.ndim > query.ndim else query
    named = {
        "nothing_to_attend_to": blind.any(),
        "mask_of_heads": case.heads > 0,
        "as_many_rows_as_heads": case.heads > 0
        and case.tensors[0].steps[0] == number_of_heads(case.spec),
    }
    return frozenset(name for name, holds in named.items() if holds)


def number_of_heads(spec: Spec) -> int:
    """How many heads of the query a layer has, 0 where it has none."""
    heads = spec.get("num_query_heads", spec.get("num_heads"))
    return heads if isinstance(heads, int) else 0


def attention(given: Given) -> np.ndarray | list[np.ndarray] | None:
    """Scores of query and key by `score_mode`, softmax, and that share of each value.

    Query, value and key have shape (batch, step, dim), the output that of the query. Source: the
    page of Attention. It calls the mode `concat` "the hyperbolic tangent of the concatenation
    of the query and key vectors" and gives no formula: this is the one that Keras computes.
    """
    roles = attending(given)
    return _attended(given, roles, scored(given, roles))


def additive_attention(given: Given) -> np.ndarray | list[np.ndarray] | None:
    """Scores `reduce_sum(tanh(query + key))`, times a scale for each feature; then as above.

    Source: the page of AdditiveAttention.
    """
    roles = attending(given)
    return _attended(given, roles, scored(given, roles))


def scored(given: Given, roles: Attending) -> np.ndarray:
    """The scores of both layers, of shape (batch, query step, value step), before any mask."""
    weights = iter(given.weights)
    spec = given.case.spec
    if spec.layer == "AdditiveAttention":
        pairs = np.tanh(roles.query[:, :, None, :] + roles.key[:, None, :, :])
        return np.asarray((pairs * given.weights[0] if given.weights else pairs).sum(axis=-1))
    scale = next(weights) if spec.get("use_scale") else roles.query.dtype.type(1)
    if spec.get("score_mode", "dot") == "dot":
        return np.asarray(roles.query @ roles.key.swapaxes(1, 2) * scale)
    pairs = np.tanh(scale * (roles.query[:, :, None, :] + roles.key[:, None, :, :]))
    return np.asarray(next(weights) * pairs.sum(axis=-1))


def _attended(
    given: Given, roles: Attending, scores: np.ndarray
) -> np.ndarray | list[np.ndarray] | None:
    """Values in the shares of their scores; scores have shape (batch, query step, value step).

    Source: both pages. Where the mask of the query is False, "the output will be zero". The
    scores that `return_attention_scores` asks for are those "after masking and softmax": shares,
    0 for what is masked. Nothing is said of a query that may look at no position, nor of the
    shares of a masked query: NaN. In training with dropout chance decides: None.
    """
    case = given.case
    if by_chance("dropout")(case):
        return None
    shares = softmax(np.where(allowed(given), scores, scores.dtype.type(-np.inf)))
    output: np.ndarray = shares @ roles.value
    if roles.query_mask is not None:
        said = roles.query_mask[:, :, None]
        output = np.where(said, output, output.dtype.type(0))
        shares = np.where(said, shares, shares.dtype.type(np.nan))
    return [output, shares] if case.arguments.get("return_attention_scores") else output
