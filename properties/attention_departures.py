"""What attention is known to give where values are masked, or where a step may see none."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np

from catalogue.activations import softmax
from catalogue.attention_reference import Attending, allowed, attending, number_of_heads, scored
from catalogue.head_attention_reference import heads
from catalogue.layer_cases import Given
from catalogue.layer_reference import by_chance
from properties.departures import (
    ELSEWHERE,
    Answer,
    Asked,
    Masks,
    only_rows_that_hold_padding,
    rows_of_huge_padding,
    without_rows,
)

__all__ = [
    "heads_weigh_what_is_masked",
    "masks_of_rows_act_on_heads",
    "scores_of_masked_values_are_shifted",
]


def _as_it_is(asked: Asked, dtype: str, masks: Masks) -> tuple[Given, Attending, np.ndarray]:
    """A call with its masks, the roles of its tensors as they are, and where they may attend."""
    # A single tensor is query and value, each with a mask of its own.
    valid = [None if mask is None else mask.astype(bool) for mask in masks]
    given = asked.setting.given(asked.inputs, valid, dtype)
    uncleared = asked.setting.given(asked.inputs, [None] * len(masks), dtype)
    masked, whole = attending(given), attending(uncleared)
    roles = dataclasses.replace(
        masked, query=whole.query, value=whole.value, key=whole.key, key_mask=None
    )
    return given, roles, allowed(given)


def scores_of_masked_values_are_shifted(asked: Asked) -> Answer | None:
    """A large number is taken from scores of masked values; a mask of the key means nothing.

    Nothing is said of rows where values or keys hold huge padding, nor of masked steps of a query
    whose scores overflow: some versions multiply these by zero.
    """
    if not asked.whole or by_chance("dropout")(asked.case):
        return None
    dtype_of_layer = asked.setting.compute_dtype
    shift = 65504.0 if dtype_of_layer == "float16" else 1e9

    def outputs(dtype: str) -> list[np.ndarray]:
        masks = [*asked.masks[:2], None][: len(asked.masks)]
        given, roles, may = _as_it_is(asked, dtype, masks)
        # Where all are shifted what is left of scores is a matter of the layer's own dtype.
        scores = scored(given, roles).astype(dtype_of_layer)
        scores = np.where(may, scores, scores - scores.dtype.type(shift))
        shares = softmax(scores.astype(dtype))
        output = shares @ roles.value
        if roles.query_mask is not None:
            with np.errstate(invalid="ignore"):
                output = output * roles.query_mask[:, :, None]
        unsaid = rows_of_huge_padding(asked, first=1 if len(asked.inputs) > 1 else 0)
        return without_rows(unsaid, [output, shares][: asked.outputs])

    return Answer(outputs=outputs)


def heads_weigh_what_is_masked(asked: Asked) -> Answer | None:
    """Values are weighted and not left out; of a step that may attend to nothing, evenly.

    Not where scores are asked for, or in more axes, or with dropout: there it has no share of
    any. The mask of the query is the one that travels, and takes part. Nothing is said of rows
    of huge padding.
    """
    if not asked.whole or by_chance("dropout")(asked.case) or len(asked.inputs[0].shape) > 3:
        return only_rows_that_hold_padding(asked)
    masks = _masks_of_rows(asked)

    def outputs(dtype: str) -> list[np.ndarray]:
        given, roles, may = _as_it_is(asked, dtype, masks)
        if roles.query_mask is not None:
            seeing = roles.query_mask[:, :, None]
            may = may & (seeing[:, None] if may.ndim > seeing.ndim else seeing)
        # For a step that may attend to none each value has a share: an even one where it is fused.
        fused = asked.outputs == 1 and not asked.case.spec.get("dropout")
        return _weighed(asked, given, roles, may, 1 / may.shape[-1] if fused else 0.0)

    return Answer(outputs=outputs)


def masks_of_rows_act_on_heads(asked: Asked) -> Answer | None:
    """A mask with an axis of heads has those of rows beside it by the last axes: rows for heads.

    With as many rows as heads, each head is given the masks of another row in all of them; with
    others, but for a single row, the call is refused. Values are weighted and not left out, as
    above. Nothing is said of a step that may attend to nothing in some head.
    """
    case, masks = asked.case, _masks_of_rows(asked)
    rows = max((len(mask) for mask in masks if mask is not None), default=1)
    if not case.heads:
        return ELSEWHERE
    count = number_of_heads(case.spec)
    if rows == 0 and count == 1:
        return None  # some kernels take no rows for one head, others do not
    if rows not in (1, count):
        return Answer(refused=("InvalidArgumentError", "ValueError"))
    # A mask that does not fit its tensor may be of as many rows as there are heads.
    fit = rows in (1, len(asked.inputs[0])) and asked.whole
    if not fit or by_chance("dropout")(case):
        return None

    def outputs(dtype: str) -> list[np.ndarray]:
        given, roles, _ = _as_it_is(asked, dtype, masks)
        case_of_rows = msgspec.structs.replace(given.case, element=None)
        may = allowed(dataclasses.replace(given, case=case_of_rows))
        if roles.query_mask is not None:
            may = may & roles.query_mask[:, :, None]
        assert given.element is not None
        return _weighed(asked, given, roles, given.element & may[:rows], np.nan)

    return Answer(outputs=outputs)


def _masks_of_rows(asked: Asked) -> Masks:
    """The masks that heads attend by: that of the query is the one that travels."""
    query, *others = asked.masks
    if asked.case.spec.layer == "MultiHeadAttention":
        query = asked.travelling[0]
    return [query, *others]


def _weighed(
    asked: Asked, given: Given, roles: Attending, may: np.ndarray, of_nothing: float
) -> list[np.ndarray]:
    """What heads find where the mask of the query takes part like any other."""
    found = heads(given, dataclasses.replace(roles, query_mask=None), may, of_nothing)
    return without_rows(rows_of_huge_padding(asked), found)
