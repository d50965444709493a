"""Entries of layers that mix steps: normalization, pooling and attention."""

from __future__ import annotations

from catalogue import attention_reference, layer_reference
from catalogue.contracts import dropped, kept, of_query
from catalogue.layer_cases import LayerEntry, Sequences
from catalogue.specs import Argument, Spec

__all__ = ["ENTRIES"]

_Shapes = list[tuple[int, ...]]

_FLAT = ((2,), (1,), (3,))
_SCALED: dict[str, tuple[Argument, ...]] = {
    "epsilon": (1e-3, 1e-2),
    "center": (True, False),
    "scale": (True, False),
}
# Query and value, or query, value and key: values and keys have a number of steps of their own.
_ATTENDED = Sequences(counts=(2, 3), rests=_FLAT, same_steps=False)


def _scale_and_center(spec: Spec, shapes: _Shapes) -> _Shapes:
    """Gamma and beta, as far as the layer has them."""
    return [(shapes[0][-1],) for name in ("scale", "center") if spec.get(name, True)]


def _attention_weights(spec: Spec, shapes: _Shapes) -> _Shapes:
    """Two single numbers: a scale, and in the mode `concat` a weight of the scores."""
    scale: _Shapes = [()] if spec.get("use_scale") else []
    return scale + ([()] if spec.get("score_mode") == "concat" else [])


def _additive_weights(spec: Spec, shapes: _Shapes) -> _Shapes:
    return [(shapes[0][-1],)] if spec.get("use_scale", True) else []


ENTRIES = (
    LayerEntry(
        "LayerNormalization",
        "layers/normalization_layers/layer_normalization",
        kept,
        layer_reference.layer_normalized,
        domains=_SCALED,
        weights=_scale_and_center,
    ),
    LayerEntry(
        "UnitNormalization",
        "layers/normalization_layers/unit_normalization",
        kept,
        layer_reference.unit_normalized,
    ),
    # Says nothing of masks: by rule 3 the mask goes out, or the user is told that it does not.
    LayerEntry(
        "RMSNormalization",
        "layers/normalization_layers/rms_normalization",
        kept,
        layer_reference.rms_normalized,
        domains={"epsilon": (1e-6, 1e-2)},
        stops=True,
        weights=lambda spec, shapes: [(shapes[0][-1],)],
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
        domains={"groups": (1, -1), **_SCALED},
        weights=_scale_and_center,
    ),
    # `momentum` moves the statistics that inference normalizes by, not the output of one call.
    LayerEntry(
        "BatchNormalization",
        "layers/normalization_layers/batch_normalization",
        kept,
        layer_reference.batch_normalized,
        domains={**_SCALED, "momentum": (0.99, 0.5)},
        explicit=True,
        uses_mask=lambda case: case.training is True,
        broadcasts=True,  # "Binary tensor of shape broadcastable to `inputs`"
        trainings=(None, False, True),
        weights=_scale_and_center,
    ),
    # A fully masked row has no mean, and the page does not say what it gives instead.
    LayerEntry(
        "GlobalAveragePooling1D",
        "layers/pooling_layers/global_average_pooling1d",
        dropped,
        layer_reference.masked_mean,
        domains={"keepdims": (False, True)},
        sequences=Sequences(rests=_FLAT),
        explicit=True,
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
    # A query that may look at nothing (all values masked; with a causal mask, all so far) has
    # no documented output.
    LayerEntry(
        "Attention",
        "layers/attention_layers/attention",
        of_query,
        attention_reference.attention,
        domains={
            "use_scale": (False, True),
            "score_mode": ("dot", "concat"),
            "dropout": (0.0, 0.4),
        },
        call_domains={"use_causal_mask": (False, True)},
        sequences=_ATTENDED,
        explicit=True,
        trainings=(None, False, True),
        weights=_attention_weights,
        random=layer_reference.by_chance("dropout"),
    ),
    LayerEntry(
        "AdditiveAttention",
        "layers/attention_layers/additive_attention",
        of_query,
        attention_reference.additive_attention,
        domains={"use_scale": (True, False), "dropout": (0.0, 0.4)},
        call_domains={"use_causal_mask": (False, True)},
        sequences=_ATTENDED,
        explicit=True,
        trainings=(None, False, True),
        weights=_additive_weights,
        random=layer_reference.by_chance("dropout"),
    ),
)
