"""What Keras is known to give where a layer departs from its contract, as the ledger names it."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from typing import Any

import numpy as np

from catalogue.activations import softmax
from catalogue.attention_reference import Attending, allowed, attending, scored
from catalogue.head_attention_reference import heads
from catalogue.layer_cases import Given
from catalogue.layer_reference import beside, by_chance
from properties.departures import ELSEWHERE, Answer, Asked, Departure, Masks

__all__ = ["DEPARTURES"]

_NO_FIT = ("InvalidArgumentError", "ValueError")  # where a shape is found out, when run or traced


# -- masks that go out -----------------------------------------------------------------------


def masks_are_joined_by_or(asked: Asked) -> Answer | None:
    """A step is valid in the output where it is valid in any of the inputs."""
    masks = [
        np.ones(x.shape[:2], bool) if mask is None else mask
        for x, mask in zip(asked.inputs, asked.masks, strict=True)
    ]
    return Answer(mask=functools.reduce(np.logical_or, masks))


def the_mask_goes_out_as_it_came_in(asked: Asked) -> Answer | None:
    """The mask keeps its order, its axes and its dtype, whatever the layer does to the steps."""
    return Answer(mask=asked.masks[0])


def a_mask_is_made_of_values_alone(asked: Asked) -> Answer | None:
    """The mask is that of the values that are compared, as float32, along the last axis."""
    (x,), spec = asked.inputs, asked.case.spec
    if spec.layer != "Masking":
        return Answer(mask=x != 0 if spec.get("mask_zero") else None)
    value = spec.get("mask_value", 0.0)
    assert isinstance(value, float)
    with np.errstate(over="ignore"):
        compared = x.astype(asked.setting.compute_dtype)
        mask = np.any(compared.astype("float64") != np.float64(np.float32(value)), axis=-1)
    return Answer(outputs=lambda dtype: np.where(mask[..., None], x, 0).astype(dtype), mask=mask)


# -- masks of steps that are aligned from the right ------------------------------------------


def a_mask_of_steps_is_taken_for_one_of_features(asked: Asked) -> Answer | None:
    """A mask of shape (batch, step) is broadcast against the inputs as it is, or refused."""
    (x,), mask = asked.inputs, asked.masks[0]
    assert mask is not None
    try:
        shape = np.broadcast_shapes(mask.shape, x.shape)
    except ValueError:
        return Answer(refused=_NO_FIT)
    if asked.sized and shape != x.shape:
        return Answer(refused=_NO_FIT)

    def outputs(dtype: str) -> np.ndarray:
        (array,) = asked.given(dtype).inputs
        low = -3e4 if asked.setting.compute_dtype == "float16" else -1e9
        kept = softmax(np.where(mask, array, array.dtype.type(low)))
        return np.where(mask, kept, array.dtype.type(0))

    return Answer(outputs=outputs)


def a_mask_of_steps_weighs_features(asked: Asked) -> Answer | None:
    """A mask of shape (batch, step) is broadcast to the inputs as it is, or refused.

    Nothing is said of outputs that come of it.
    """
    (x,), mask = asked.inputs, asked.masks[0]
    try:
        np.broadcast_to(np.zeros(() if mask is None else mask.shape), x.shape)
    except ValueError:
        return Answer(refused=_NO_FIT)
    return None


def masks_get_one_axis_more(asked: Asked) -> Answer | None:
    """A mask of shape (batch, step) becomes (batch, step, 1), whatever the rank of its tensor."""
    pairs = list(zip(asked.inputs, asked.masks, strict=True))
    if asked.case.spec.layer == "Concatenate":
        return _concatenated(asked)
    try:
        spread = [
            None if mask is None else np.broadcast_to(mask[..., None], x.shape) for x, mask in pairs
        ]
    except ValueError:
        return Answer(refused=_NO_FIT)
    merge = _multiplied if asked.case.spec.layer == "Multiply" else _bounded

    def outputs(dtype: str) -> np.ndarray:
        return merge(asked.case.spec.layer, asked.given(dtype).inputs, spread)

    joined = None
    if all(mask is not None for mask in spread):
        joined = np.any(np.logical_or.reduce([m for m in spread if m is not None]), axis=-1)
    return Answer(outputs=outputs, mask=joined)


def _concatenated(asked: Asked) -> Answer:
    axis = asked.case.spec.get("axis", -1)
    assert isinstance(axis, int)
    try:
        masks = [
            np.ones(x.shape, bool) if mask is None else mask[..., None] | np.zeros(x.shape, bool)
            for x, mask in zip(asked.inputs, asked.masks, strict=True)
        ]
        mask = np.any(np.concatenate(masks, axis=axis), axis=-1)
    except ValueError:
        return Answer(refused=_NO_FIT)
    return Answer(
        outputs=lambda dtype: np.concatenate(asked.given(dtype).inputs, axis=axis), mask=mask
    )


def _multiplied(layer: str, inputs: list[np.ndarray], masks: Masks) -> np.ndarray:
    """Masked positions count as ones; zero where all of them are masked."""
    pairs = zip(inputs, masks, strict=True)
    factors = [x if mask is None else np.where(mask, x, x.dtype.type(1)) for x, mask in pairs]
    product = functools.reduce(np.multiply, factors)
    if any(mask is None for mask in masks):
        return product
    return np.where(np.logical_or.reduce(masks), product, product.dtype.type(0))  # type: ignore[arg-type]


def _bounded(layer: str, inputs: list[np.ndarray], masks: Masks) -> np.ndarray:
    """Masked positions take the value of the other tensor."""
    bound = np.maximum if layer == "Maximum" else np.minimum
    output, valid = inputs[0], masks[0]
    for x, mask in zip(inputs[1:], masks[1:], strict=True):
        other = x if mask is None else np.where(mask, x, output)
        output = bound(output if valid is None else np.where(valid, output, other), other)
        valid = None if mask is None or valid is None else valid | mask
    return output


def no_travelling_mask_arrives(asked: Asked) -> Answer | None:
    """A custom layer that notes its mask notes that there is none, but for one that is given."""
    x, mask = asked.inputs[0], asked.explicit[0]
    noted = -np.ones(x.shape[:2]) if mask is None else mask.astype("float64")
    return Answer(outputs=lambda dtype: [asked.given(dtype).inputs[0], noted.astype(dtype)])


def no_rows_keep_their_steps(asked: Asked) -> Answer | None:
    """A batch without rows has as many steps as it came with, whatever a convolution takes off."""
    (x,), spec = asked.inputs, asked.case.spec
    if len(x):
        return None
    steps = x.shape[1]
    if spec.get("padding") == "causal":  # the steps in front are there by then
        kernel, apart = spec.get("kernel_size"), spec.get("dilation_rate", 1)
        assert isinstance(kernel, int) and isinstance(apart, int)
        steps += apart * (kernel - 1)
    return Answer(steps=steps)


# -- padding that takes part -----------------------------------------------------------------


def as_if_no_mask_had_come(asked: Asked) -> Answer | None:
    """The outputs are those of the inputs without masks, padding and all."""
    if not asked.whole:
        return None
    return Answer(outputs=asked.reference(masks=[None] * len(asked.inputs)))


def a_second_call_sees_no_masks(asked: Asked) -> Answer | None:
    """Called again on the same tensors, the layer gives what it gives without masks."""
    if not asked.twice:
        return None
    return Answer(outputs=asked.reference(masks=[None] * len(asked.inputs)), mask=None)


def only_rows_that_hold_padding(asked: Asked) -> Answer | None:
    """Rows without a masked step give what is documented."""
    if not asked.whole:
        return None
    masked = _padded_rows(asked)
    return Answer(outputs=lambda dtype: _without(masked, asked.reference()(dtype)))


def masked_steps_hold_anything(asked: Asked) -> Answer | None:
    """Outputs with steps are the documented ones at valid steps."""
    mask = asked.masks[0]
    if mask is None or not asked.whole:
        return None
    steps = asked.case.spec.get("merge_mode", "concat") is not None or 2

    def outputs(dtype: str) -> list[np.ndarray]:
        found = _without(np.zeros(len(mask), bool), asked.reference()(dtype))
        return [
            np.where(beside(mask.astype(bool), y), y, y.dtype.type(np.nan)) if k < steps else y
            for k, y in enumerate(found)
        ]

    return Answer(outputs=outputs)


def _padded_rows(asked: Asked) -> np.ndarray:
    masks = [mask.astype(bool) for mask in asked.masks if mask is not None]
    rows = [~mask.reshape(len(mask), -1).all(axis=1) for mask in masks]
    return np.asarray(np.logical_or.reduce([np.zeros(len(asked.inputs[0]), bool), *rows]))


def _without(rows: np.ndarray, found: Any) -> list[np.ndarray]:
    """Outputs with NaN in some rows; none where chance decides."""
    if found is None:
        return []
    outputs = found if isinstance(found, list) else [found]
    return [
        np.where(rows.reshape(-1, *[1] * (y.ndim - 1)), y.dtype.type(np.nan), y) for y in outputs
    ]


# -- TimeDistributed -------------------------------------------------------------------------


def as_many_steps_as_there_are_rows(asked: Asked) -> Answer | None:
    """Where sizes are not known, so many first steps come out, or none where there are fewer.

    Around another TimeDistributed so many inner steps, too.
    """
    (x,), rows = asked.inputs, len(asked.inputs[0])
    masks = asked.masks
    if asked.sized:
        axes = 0
    elif asked.case.tensors[0].fold and "TimeDistributed" in str(asked.case.spec.get("layer")):
        axes = 2
    else:
        axes = 1
    if not rows or any(rows > size for size in x.shape[1 : 1 + axes]):
        return Answer(refused=("InvalidArgumentError",)) if axes else None
    if asked.case.form == "made" and not asked.whole:
        return None
    first = tuple(itertools.repeat(slice(rows), axes))
    cut = [None if m is None else m[(slice(None), *first[: m.ndim - 1])] for m in masks]
    found = asked.reference(masks=cut, inputs=[x[(slice(None), *first)]])
    if "GlobalAveragePooling1D" not in str(asked.case.spec.get("layer")):
        return Answer(outputs=found)
    # Of huge padding the layer inside has a departure of its own.
    return Answer(outputs=lambda dtype: _without(_of_huge_padding(asked), found(dtype)))


# -- attention -------------------------------------------------------------------------------

_ORDINARY = 100.0  # what padding is up to where shares of it are predicted


def _as_it_is(asked: Asked, dtype: str, masks: Masks) -> tuple[Given, Attending, np.ndarray]:
    """A call with its masks, the roles of its tensors as they are, and where they may attend."""
    given = asked.given(dtype, masks)
    uncleared = asked.given(dtype, [None] * len(masks))
    masked, whole = attending(given), attending(uncleared)
    roles = dataclasses.replace(
        masked, query=whole.query, value=whole.value, key=whole.key, key_mask=None
    )
    return given, roles, allowed(given)


def _of_huge_padding(asked: Asked) -> np.ndarray:
    """The rows that hold something huge, infinite or NaN."""
    huge = np.zeros(len(asked.inputs[0]), bool)
    for x in asked.inputs:
        with np.errstate(invalid="ignore"):
            huge |= ~(np.abs(x) <= _ORDINARY).reshape(len(x), -1).all(axis=1)
    return huge


def scores_of_masked_values_are_shifted(asked: Asked) -> Answer | None:
    """A large number is taken from scores of masked values; a mask of the key means nothing.

    Nothing is said of rows of huge padding.
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
            output = np.where(roles.query_mask[:, :, None], output, output.dtype.type(0))
        return _without(_of_huge_padding(asked), [output, shares][: asked.outputs])

    return Answer(outputs=outputs)


def heads_weigh_what_is_masked(asked: Asked) -> Answer | None:
    """Values are weighted and not left out; of a step that may attend to nothing, evenly.

    Not where scores are asked for, or in more axes, or with dropout: there it has no share of
    any. The mask of the query is the one that travels, and takes part. Nothing is said of rows
    of huge padding.
    """
    case = asked.case
    if not asked.whole or by_chance("dropout")(case) or len(asked.inputs[0].shape) > 3:
        return only_rows_that_hold_padding(asked)
    query, *others = asked.masks
    if case.spec.layer == "MultiHeadAttention":
        query = asked.travelling[0]
    fused = asked.outputs == 1 and not case.spec.get("dropout")

    def outputs(dtype: str) -> list[np.ndarray]:
        given, roles, may = _as_it_is(asked, dtype, [query, *others])
        if roles.query_mask is not None:
            may = may & roles.query_mask[:, :, None]
        roles = dataclasses.replace(roles, query_mask=None)
        found = heads(given, roles, may, 1 / may.shape[-1] if fused else 0.0)
        return _without(_of_huge_padding(asked), found)

    return Answer(outputs=outputs)


# -- masks that do not fit -------------------------------------------------------------------


def masks_are_made_to_fit(asked: Asked) -> Answer | None:
    """A mask of a single row is that of all rows, and of one of more steps the first ones count.

    Nothing is said of rows of huge padding.
    """
    return _as_usual(dataclasses.replace(asked, explicit=_fitted(asked)))


def a_mask_of_the_query_means_nothing(asked: Asked) -> Answer | None:
    """A mask of the query that does not fit is not looked at."""
    return _unless(asked, 0)


def a_mask_of_the_key_means_nothing(asked: Asked) -> Answer | None:
    """A mask of the key that does not fit is not looked at."""
    return _unless(asked, 2)


def _unless(asked: Asked, place: int) -> Answer | None:
    """The answer without the mask at a place, where it is the one that does not fit."""
    steps = [x.shape[:2] for x in asked.inputs]
    wrong = [k for k, m in enumerate(asked.explicit) if m is not None and m.shape != steps[k]]
    if wrong != [place]:
        return ELSEWHERE
    explicit = [None if k == place else mask for k, mask in enumerate(asked.explicit)]
    return _as_usual(dataclasses.replace(asked, explicit=explicit))


def _fitted(asked: Asked) -> Masks:
    """Explicit masks cut to the steps, and broadcast to the rows, of their tensors."""
    found: Masks = []
    for x, mask in zip(asked.inputs, asked.explicit, strict=True):
        if mask is None:
            found.append(None)
            continue
        cut = mask[:, : x.shape[1]]
        found.append(np.broadcast_to(cut, (len(x), *cut.shape[1:])) if len(cut) == 1 else cut)
    return found


def _as_usual(asked: Asked) -> Answer | None:
    """What a layer gives of masks that fit."""
    layer = asked.case.spec.layer
    if layer in ("Attention", "AdditiveAttention"):
        return scores_of_masked_values_are_shifted(asked)
    if layer in ("MultiHeadAttention", "GroupQueryAttention"):
        return heads_weigh_what_is_masked(asked)
    if layer == "TimeDistributed":
        return as_many_steps_as_there_are_rows(asked)
    huge = _of_huge_padding(asked)
    return Answer(outputs=lambda dtype: _without(huge, asked.reference()(dtype)))


_ALL: tuple[Departure, ...] = (
    a_mask_is_made_of_values_alone,
    a_mask_of_steps_is_taken_for_one_of_features,
    a_mask_of_steps_weighs_features,
    a_mask_of_the_key_means_nothing,
    a_mask_of_the_query_means_nothing,
    a_second_call_sees_no_masks,
    as_if_no_mask_had_come,
    as_many_steps_as_there_are_rows,
    heads_weigh_what_is_masked,
    masked_steps_hold_anything,
    masks_are_joined_by_or,
    masks_are_made_to_fit,
    masks_get_one_axis_more,
    no_rows_keep_their_steps,
    no_travelling_mask_arrives,
    only_rows_that_hold_padding,
    scores_of_masked_values_are_shifted,
    the_mask_goes_out_as_it_came_in,
)

DEPARTURES: dict[str, Departure] = {
    function.__name__.replace("_", " "): function for function in _ALL
}
"""By the names that the ledger gives them."""
