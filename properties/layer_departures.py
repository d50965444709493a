"""What Keras is known to give where a layer departs from its contract, as the ledger names it."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from catalogue.layer_reference import beside
from catalogue.layers_makers import mask_value
from catalogue.specs import Spec
from catalogue.wrapper_reference import bidirectional
from properties.alignment_departures import (
    a_mask_of_steps_is_added_to_features,
    a_mask_of_steps_is_taken_for_one_of_features,
    a_mask_of_steps_weighs_features,
    masks_get_one_axis_more,
)
from properties.attention_departures import (
    heads_weigh_what_is_masked,
    masks_of_rows_act_on_heads,
    scores_of_masked_values_are_shifted,
)
from properties.departures import (
    ELSEWHERE,
    Answer,
    Asked,
    Departure,
    Masks,
    only_rows_that_hold_padding,
    rows_of_huge_padding,
    without_rows,
)
from properties.layer_setting import LayerSetting

__all__ = ["DEPARTURES"]


# -- masks that go out -----------------------------------------------------------------------


def masks_are_joined_by_or(asked: Asked) -> Answer | None:
    """A step is valid in the output where it is valid in any of the inputs."""
    masks = [
        np.ones(x.shape[:2], bool) if mask is None else mask
        for x, mask in zip(asked.inputs, asked.masks, strict=True)
    ]
    return Answer(mask=functools.reduce(np.logical_or, masks))


def the_mask_goes_out_as_it_came_in(asked: Asked) -> Answer | None:
    """The mask keeps its order, its axes and its dtype, whatever the layer does to the steps.

    A mask of floats may come cast to the layer's own dtype, as other arguments do.
    """
    mask = asked.masks[0]
    floats = mask is not None and mask.dtype.kind == "f"
    return Answer(mask=mask, cast=asked.setting.compute_dtype if floats else "")


def the_travelling_mask_goes_out(asked: Asked) -> Answer | None:
    """The mask that goes out is the one that travels, or none, whatever is given explicitly."""
    return Answer(mask=asked.travelling[0])


def a_mask_is_made_of_values_alone(asked: Asked) -> Answer | None:
    """The mask is that of the values that are compared, as float32, along the last axis."""
    return _made_of_values(asked, "float32")


def a_mask_is_made_of_cast_values_alone(asked: Asked) -> Answer | None:
    """The mask is that of the values that are compared, in the layer's dtype, on the last axis."""
    return _made_of_values(asked, asked.setting.compute_dtype)


def _made_of_values(asked: Asked, dtype_of_value: str) -> Answer:
    (x,), spec = asked.inputs, asked.case.spec
    if spec.layer != "Masking":
        return Answer(mask=x != 0 if spec.get("mask_zero") else None)
    value = mask_value(spec)
    with np.errstate(over="ignore"):
        compared = x.astype(asked.setting.compute_dtype)
        wanted = np.asarray(value, dtype_of_value).astype("float64")
        mask = np.any(compared.astype("float64") != wanted, axis=-1)
    return Answer(
        outputs=lambda dtype: np.where(mask[..., None], compared, 0).astype(dtype), mask=mask
    )


def no_travelling_mask_arrives(asked: Asked) -> Answer | None:
    """A custom layer that notes its mask notes that there is none, but for one that is given."""
    x, mask = asked.inputs[0], asked.explicit[0]
    noted = -np.ones(x.shape[:2]) if mask is None else mask.astype("float64")
    return Answer(outputs=lambda dtype: [asked.given(dtype).inputs[0], noted.astype(dtype)])


def a_stateless_call_knows_no_masks(asked: Asked) -> Answer | None:
    """A call that is handed the layer's variables sees explicit masks alone, and gives none out.

    Nothing is said of outputs in rows of huge padding.
    """
    if not asked.stateless:
        return None
    huge, found = rows_of_huge_padding(asked), asked.reference(asked.explicit)
    return Answer(outputs=lambda dtype: without_rows(huge, found(dtype)), mask=None)


def a_flag_of_numpy_takes_masks_away(asked: Asked) -> Answer | None:
    """A call with a flag of NumPy's computes as if no mask travelled.

    Nothing is said of outputs in rows of huge padding.
    """
    if not asked.of_numpy:
        return None
    if asked.setting.entry.reference is None:
        return no_travelling_mask_arrives(asked)
    huge, found = rows_of_huge_padding(asked), asked.reference(asked.explicit)
    return Answer(outputs=lambda dtype: without_rows(huge, found(dtype)))


def several_axes_become_the_last(asked: Asked) -> Answer | None:
    """A layer that has been in an HDF5 file has the last axis in place of several."""
    reference = asked.setting.entry.reference
    if asked.file != "h5" or reference is None:
        return None
    last = msgspec.structs.replace(asked.case, spec=asked.case.spec.replace(axis=-1))
    return Answer(
        outputs=lambda dtype: reference(dataclasses.replace(asked.given(dtype), case=last))
    )


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
    """The outputs are those of the inputs without masks, padding and all.

    Nothing is said of rows of huge padding, nor of any beside them where all rows are mixed, nor
    of what chance decides.
    """
    if not asked.whole or asked.setting.entry.random(asked.case):
        return None
    if asked.setting.entry.reference is None:  # what it computes is its own matter
        return Answer()
    huge = rows_of_huge_padding(asked)
    if asked.case.spec.layer == "BatchNormalization":
        huge |= huge.any()
    found = asked.reference(masks=[None] * len(asked.inputs))
    return Answer(outputs=lambda dtype: without_rows(huge, found(dtype)))


def a_second_call_sees_no_masks(asked: Asked) -> Answer | None:
    """Called again on the same tensors, the layer gives what it gives without masks.

    Nothing is said of outputs in rows of huge padding.
    """
    if not asked.twice:
        return None
    huge, found = rows_of_huge_padding(asked), asked.reference(masks=[None] * len(asked.inputs))
    return Answer(outputs=lambda dtype: without_rows(huge, found(dtype)), mask=None)


def masked_steps_hold_anything(asked: Asked) -> Answer | None:
    """Outputs with steps are the documented ones at valid steps, in either order of them."""
    mask = asked.masks[0]
    if mask is None or not asked.whole or asked.setting.entry.random(asked.case):
        return None
    steps = asked.case.spec.get("merge_mode", "concat") is not None or 2
    valid, inner = mask.astype(bool), asked.case.spec.get("layer")
    if isinstance(inner, Spec) and inner.get("go_backwards"):
        valid = valid & valid[:, ::-1]

    def outputs(dtype: str) -> list[np.ndarray]:
        found = without_rows(np.zeros(len(mask), bool), asked.reference()(dtype))
        return [
            np.where(beside(valid, y), y, y.dtype.type(np.nan)) if k < steps else y
            for k, y in enumerate(found)
        ]

    return Answer(outputs=outputs)


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
    return Answer(outputs=lambda dtype: without_rows(rows_of_huge_padding(asked), found(dtype)))


def masks_of_outer_steps_are_split(asked: Asked) -> Answer | None:
    """A mask of outer steps is reshaped as if it had inner ones: refused where it cannot be."""
    (x,), mask = asked.inputs, asked.masks[0]
    if mask is not None and mask.size % x.shape[2]:
        return Answer(refused=("InvalidArgumentError", "ValueError"))
    return None


# -- masks that do not fit -------------------------------------------------------------------


def masks_are_made_to_fit(asked: Asked) -> Answer | None:
    """A mask of a single row is that of all rows, and of one of more steps the first ones count.

    Nothing is said of rows of huge padding, nor of what goes backwards: there a mask is cut when
    it is reversed already.
    """
    spec = asked.case.spec
    pairs = zip(asked.inputs, asked.explicit, strict=True)
    cut = any(mask is not None and mask.shape[1] > x.shape[1] for x, mask in pairs)
    if cut and (spec.layer == "Bidirectional" or spec.get("go_backwards")):
        return None
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


def _of_both_directions(asked: Asked) -> Callable[[str], Any] | None:
    """What sequences of a Bidirectional convolution hold where a step is valid.

    And what unrolled layers give.
    """
    mask, inner = asked.masks[0], asked.case.spec.get("layer")
    if isinstance(inner, Spec) and inner.get("unroll"):
        unrolled = zeros_of_the_backward_layer_are_mirrored(asked)
        return None if unrolled is None else unrolled.outputs
    convolutional = isinstance(inner, Spec) and inner.layer == "ConvLSTM1D"
    if mask is None or not convolutional or mask.shape != asked.inputs[0].shape[:2]:
        return None
    assert isinstance(inner, Spec)
    held = masked_steps_hold_anything(asked) if inner.get("return_sequences") else None
    return held.outputs if held is not None else None


def zeros_of_the_backward_layer_are_mirrored(asked: Asked) -> Answer | None:
    """The backward layer's output is zero at the masked steps of the order that it turned round."""

    def outputs(dtype: str) -> list[np.ndarray] | None:
        return bidirectional(asked.given(dtype), mirrored=True)

    return None if asked.setting.entry.random(asked.case) else Answer(outputs=outputs)


def _as_usual(asked: Asked) -> Answer | None:
    """What a layer gives of masks that fit."""
    layer = asked.case.spec.layer
    if layer in ("Attention", "AdditiveAttention"):
        return scores_of_masked_values_are_shifted(asked)
    if layer in ("MultiHeadAttention", "GroupQueryAttention"):
        return heads_weigh_what_is_masked(asked)
    if layer == "TimeDistributed":
        return None  # what it gives of masks that fit is another matter
    if asked.setting.entry.random(asked.case):
        return None
    huge = rows_of_huge_padding(asked)
    if layer == "Softmax":  # what rows without anything valid give is another matter
        used = next((mask for mask in asked.masks if mask is not None), None)
        huge |= np.zeros_like(huge) if used is None else ~used.reshape(len(huge), -1).any(axis=1)
    # Masked steps of some layers are not documented.
    setting = LayerSetting(asked.given("float64").case)
    documented = _of_both_directions(asked) or asked.reference()

    def outputs(dtype: str) -> list[np.ndarray]:
        found = without_rows(huge, documented(dtype))
        for k, y in enumerate(found):
            valid = setting.positions(k)
            if valid is not None:
                valid = valid.reshape(*valid.shape, *[1] * (y.ndim - valid.ndim))
                found[k] = np.where(valid, y, y.dtype.type(np.nan))
        return found

    return Answer(outputs=outputs)


_ALL: tuple[Departure, ...] = (
    a_flag_of_numpy_takes_masks_away,
    a_mask_is_made_of_cast_values_alone,
    a_mask_is_made_of_values_alone,
    a_mask_of_steps_is_added_to_features,
    a_mask_of_steps_is_taken_for_one_of_features,
    a_mask_of_steps_weighs_features,
    a_mask_of_the_key_means_nothing,
    a_mask_of_the_query_means_nothing,
    a_second_call_sees_no_masks,
    a_stateless_call_knows_no_masks,
    as_if_no_mask_had_come,
    as_many_steps_as_there_are_rows,
    heads_weigh_what_is_masked,
    masked_steps_hold_anything,
    masks_are_joined_by_or,
    masks_are_made_to_fit,
    masks_get_one_axis_more,
    masks_of_outer_steps_are_split,
    masks_of_rows_act_on_heads,
    no_rows_keep_their_steps,
    no_travelling_mask_arrives,
    only_rows_that_hold_padding,
    scores_of_masked_values_are_shifted,
    several_axes_become_the_last,
    the_mask_goes_out_as_it_came_in,
    the_travelling_mask_goes_out,
    zeros_of_the_backward_layer_are_mirrored,
)

DEPARTURES: dict[str, Departure] = {
    function.__name__.replace("_", " "): function for function in _ALL
}
"""By the names that the ledger gives them."""
