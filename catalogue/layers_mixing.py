"""Entries of layers that mix steps: normalization and pooling."""

from __future__ import annotations

from typing import Any

import numpy as np

from catalogue import layer_reference
from catalogue.contracts import dropped, kept
from catalogue.layer_cases import LayerCase, LayerEntry, Sequences
from catalogue.specs import Argument, Spec

__all__ = ["ENTRIES"]

_Shapes = list[tuple[int, ...]]

_FLAT = ((2,), (1,), (3,))
_SCALED: dict[str, tuple[Argument, ...]] = {
    "epsilon": (1e-3, 1e-2),
    "center": (True, False),
    "scale": (True, False),
}


_OVER_STEPS: tuple[Argument, ...] = (1, (1, 2))
# One axis of a step, the last or the one before: `axis` counts from the batch's on.
_AXIS: tuple[Argument, ...] = (-1, 2)


def _scale_and_center(spec: Spec, shapes: _Shapes) -> _Shapes:
    """Gamma and beta, as far as the layer has them."""
    return _along(spec, shapes) * sum(bool(spec.get(name, True)) for name in ("scale", "center"))


def _along_all(spec: Spec, shapes: _Shapes) -> _Shapes:
    """Gamma and beta of the axes behind steps, as far as the layer has them."""
    return [shapes[0][2:]] * sum(bool(spec.get(name, True)) for name in ("scale", "center"))


def _along(spec: Spec, shapes: _Shapes) -> _Shapes:
    """The shape of a weight along `axis`."""
    axis = spec.get("axis", -1)
    assert isinstance(axis, int)
    return [(shapes[0][axis],)]


def _kept_with_one(case: LayerCase) -> np.ndarray | None:
    """The mask as it was given: of shape (batch, step, 1)."""
    mask = kept(case)
    return None if mask is None else mask[..., None]


def _at_steps(mask: np.ndarray | None) -> np.ndarray | None:
    """A mask of shape (batch, step) as an array that broadcasts to an output of rank 4."""
    return None if mask is None else mask[..., None, None]


# Statistics of valid steps are those of batches in training, where a mask comes in and no cast
# loses it.
_MASKED_IN_TRAINING: tuple[dict[str, Any], ...] = tuple(
    {
        "training": True,
        "form": form,
        "rest": rest,
        "dtypes": ("float32", "float32"),
        "static": static,
        "axis": -1,
    }
    for form, rest, static in (
        ("travelling", (2,), False),
        ("explicit", (3,), True),
        ("explicit", (3,), False),
        ("explicit", (2, 3), False),
    )
)

ENTRIES = (
    LayerEntry(
        "LayerNormalization",
        "layers/normalization_layers/layer_normalization",
        kept,
        layer_reference.layer_normalized,
        domains={**_SCALED, "axis": _AXIS},
        weights=_scale_and_center,
    ),
    # "The axis or axes to normalize across": steps too. They have no number when the layer is
    # built, so that it has neither gamma nor beta.
    LayerEntry(
        "LayerNormalization(over steps)",
        "layers/normalization_layers/layer_normalization",
        kept,
        layer_reference.layer_normalized,
        of="LayerNormalization",
        fixed={"axis": 1, "center": False, "scale": False},
        domains={"axis": _OVER_STEPS, "epsilon": _SCALED["epsilon"]},
        sequences=Sequences(rests=_FLAT),
        most=8,
    ),
    # Gamma and beta have the axes in their order along the tensor, however they are named.
    LayerEntry(
        "LayerNormalization(several axes)",
        "layers/normalization_layers/layer_normalization",
        kept,
        layer_reference.layer_normalized,
        of="LayerNormalization",
        fixed={"axis": (2, 3)},
        domains={**_SCALED, "axis": ((2, 3), (3, 2), (-1, -2))},
        sequences=Sequences(rests=((3, 2), (2, 1), (1, 3))),
        weights=_along_all,
        most=8,
    ),
    LayerEntry(
        "UnitNormalization",
        "layers/normalization_layers/unit_normalization",
        kept,
        layer_reference.unit_normalized,
        domains={"axis": _AXIS},
    ),
    LayerEntry(
        "UnitNormalization(over steps)",
        "layers/normalization_layers/unit_normalization",
        kept,
        layer_reference.unit_normalized,
        of="UnitNormalization",
        fixed={"axis": 1},
        domains={"axis": _OVER_STEPS},
        sequences=Sequences(rests=_FLAT),
        most=8,
    ),
    # Says nothing of masks: by rule 3 the mask goes out, or the user is told that it does not.
    LayerEntry(
        "RMSNormalization",
        "layers/normalization_layers/rms_normalization",
        kept,
        layer_reference.rms_normalized,
        domains={"epsilon": (1e-6, 1e-2), "axis": _AXIS},
        stops=True,
        weights=_along,
        since="3.9",
    ),
    # Mixes all steps of a row, and hands their mask on: rule 2. The default of 32 groups would
    # need as many features.
    LayerEntry(
        "GroupNormalization",
        "layers/normalization_layers/group_normalization",
        kept,
        layer_reference.group_normalized,
        fixed={"groups": 1},
        domains={"groups": (1, -1), **_SCALED, "axis": _AXIS},
        weights=_scale_and_center,
    ),
    # `momentum` moves the statistics that inference normalizes by, not the output of one call.
    LayerEntry(
        "BatchNormalization",
        "layers/normalization_layers/batch_normalization",
        kept,
        layer_reference.batch_normalized,
        domains={**_SCALED, "momentum": (0.99, 0.5), "axis": _AXIS},
        explicit=True,
        uses_mask=lambda case: case.training is True,
        broadcasts=True,  # "Binary tensor of shape broadcastable to `inputs`"
        trainings=(None, True, False, True),
        weights=_scale_and_center,
        together=_MASKED_IN_TRAINING,
        most=20,
    ),
    # The same, of a mask with an axis of size 1: one for all positions of a step.
    LayerEntry(
        "BatchNormalization(broadcast mask)",
        "layers/normalization_layers/batch_normalization",
        _kept_with_one,
        layer_reference.batch_normalized,
        of="BatchNormalization",
        domains={"axis": _AXIS},
        sequences=Sequences(rests=((3, 2), (2, 1))),
        explicit=True,
        uses_mask=lambda case: case.training is True,
        broadcasts=True,
        ones=1,
        positions=lambda case: [_at_steps(kept(case))],
        trainings=(True, True, False),
        weights=_scale_and_center,
        most=8,
    ),
    # Corrects what comes out by statistics of its own, which must not move: else each call in
    # training would give something else.
    LayerEntry(
        "BatchNormalization(renorm)",
        "layers/normalization_layers/batch_normalization",
        kept,
        layer_reference.batch_normalized,
        of="BatchNormalization",
        fixed={"renorm": True, "renorm_momentum": 1.0},
        domains={**_SCALED, "momentum": (0.99, 0.5)},
        sequences=Sequences(rests=_FLAT),
        explicit=True,
        uses_mask=lambda case: case.training is True,
        broadcasts=True,
        trainings=(True, True, False),
        weights=_scale_and_center,
        most=8,
        since="3.14",
    ),
    # A fully masked row has no mean, and the page does not say what it gives instead.
    LayerEntry(
        "GlobalAveragePooling1D",
        "layers/pooling_layers/global_average_pooling1d",
        dropped,
        layer_reference.masked_mean,
        domains={"keepdims": (False, True)},
        sequences=Sequences(rests=_FLAT, longest=300),
        explicit=True,
    ),
    # The same, of steps that stand behind the features: its mask is of shape (batch, step) too.
    LayerEntry(
        "GlobalAveragePooling1D(features first)",
        "layers/pooling_layers/global_average_pooling1d",
        dropped,
        layer_reference.masked_mean,
        of="FeaturesFirst",
        domains={"keepdims": (False, True)},
        sequences=Sequences(rests=_FLAT),
        explicit=True,
        most=8,
    ),
    LayerEntry(
        "GlobalAveragePooling1D(by keyword)",
        "layers/pooling_layers/global_average_pooling1d",
        dropped,
        layer_reference.masked_mean,
        of="GlobalAveragePooling1D",
        sequences=Sequences(rests=_FLAT),
        parameters=("inputs",),
        most=6,
    ),
    # A layer that is made in a `keras.RematScope` "is fully rematerialized", which "trades memory
    # for computation": what is computed stays the same.
    LayerEntry(
        "GlobalAveragePooling1D(rematerialized)",
        "layers/pooling_layers/global_average_pooling1d",
        dropped,
        layer_reference.masked_mean,
        of="RematerializedMean",
        sequences=Sequences(rests=_FLAT),
        explicit=True,
        since="3.9",
        most=6,
    ),
    # Knows no mask: padding takes part, and by rule 3 its user has to be told.
    LayerEntry(
        "GlobalMaxPooling1D",
        "layers/pooling_layers/global_max_pooling1d",
        dropped,
        layer_reference.maximum_over_steps,
        isolates=False,
        stops=True,
        domains={"keepdims": (False, True)},
        sequences=Sequences(rests=_FLAT),
    ),
)
