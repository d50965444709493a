"""Entries of layers that take each step by itself: activations, regularization, dense ones."""

from __future__ import annotations

from typing import Any

from catalogue import layer_reference as reference
from catalogue.activations import ACTIVATIONS
from catalogue.contracts import kept
from catalogue.layer_cases import LayerEntry, Sequences
from catalogue.specs import Argument, Spec

__all__ = ["ENTRIES"]

_Shapes = list[tuple[int, ...]]


def _dense_weights(spec: Spec, shapes: _Shapes) -> _Shapes:
    """Kernel, and bias with `use_bias`."""
    units = spec.get("units")
    assert isinstance(units, int)
    bias = [(units,)] if spec.get("use_bias", True) else []
    return [(shapes[0][-1], units), *bias]


def _random_layer(
    name: str,
    page: str,
    rate: str = "rate",
    sequences: Sequences | None = None,
    noise_shapes: tuple[Argument, ...] = (None,),
) -> LayerEntry:
    """A layer of noise or dropout, all of which work alike; the rate has no default.

    `seed` is given where what chance decides is compared.
    """
    shaped = {"noise_shape": noise_shapes} if len(noise_shapes) > 1 else {}
    return LayerEntry(
        name,
        f"layers/regularization_layers/{page}",
        kept,
        reference.unchanged_unless_random(rate),
        fixed={rate: 0.5},
        domains={rate: (0.5, 0.0), **shaped},
        sequences=sequences or Sequences(),
        applies=lambda spec, shapes: spec.get("noise_shape") is None or len(shapes[0]) == 3,
        trainings=(None, False, True),
        random=reference.by_chance(rate),
    )


# Of several axes shares are computed otherwise, of a mask that is given.
_OVER_BOTH: dict[str, Any] = {"axis": (1, 2), "fold": 2, "form": "explicit"}

ENTRIES = (
    LayerEntry(
        "Activation",
        "layers/core_layers/activation",
        kept,
        reference.activated,
        fixed={"activation": "tanh"},
        domains={"activation": (*ACTIVATIONS, "softmax")},
    ),
    LayerEntry(
        "ReLU",
        "layers/activation_layers/relu",
        kept,
        reference.relu,
        domains={
            "max_value": (None, 0.6),
            "negative_slope": (0.0, 0.2),
            "threshold": (0.0, 0.25),
        },
    ),
    # The slope is `alpha` in Keras 2 and `negative_slope` in 3: left at its default.
    LayerEntry("LeakyReLU", "layers/activation_layers/leaky_relu", kept, reference.leaky_relu),
    LayerEntry(
        "ELU",
        "layers/activation_layers/elu",
        kept,
        reference.elu,
        domains={"alpha": (1.0, 0.5)},
    ),
    # Steps have no number when the layer is built, so their axis is always shared.
    LayerEntry(
        "PReLU",
        "layers/activation_layers/prelu",
        kept,
        reference.prelu,
        fixed={"shared_axes": (1,)},
        weights=lambda spec, shapes: [(1, *shapes[0][2:])],
    ),
    # A travelling mask has shape (batch, step) and a mask that is given "broadcasts to inputs":
    # the page does not say that they differ. So none is given, and one that travels stands for
    # steps. Inputs of shape (batch, step) are scores of steps: there both mean the same.
    LayerEntry(
        "Softmax",
        "layers/activation_layers/softmax",
        kept,
        reference.softmax_of,
        sequences=Sequences(rests=((2,), (1,), (3,), (2, 3), ())),
    ),
    # A mask that is given has "the same shape as `inputs`", and masks elements: their share is 0.
    # Inputs of rank 3 are nested sequences, along each axis or along both.
    LayerEntry(
        "Softmax(mask of elements)",
        "layers/activation_layers/softmax",
        kept,
        reference.masked_softmax,
        of="Softmax",
        domains={"axis": (-1, 1, (1, 2), (1,))},
        mask_dtypes=("bool", "int32"),  # "1 to keep and 0 to mask"
        sequences=Sequences(rests=((),), folds=(0, 2)),
        applies=lambda spec, shapes: spec.get("axis") != (1, 2) or len(shapes[0]) > 2,
        explicit=True,
        positions=lambda case: [None],
        together=(_OVER_BOTH, _OVER_BOTH),
        most=14,
    ),
    # One mask for all steps of a row, says the page's example.
    _random_layer("Dropout", "dropout", noise_shapes=(None, (None, 1, None))),
    _random_layer(
        "SpatialDropout1D", "spatial_dropout1d", sequences=Sequences(rests=((2,), (1,), (3,)))
    ),
    _random_layer("GaussianNoise", "gaussian_noise", rate="stddev"),
    _random_layer("GaussianDropout", "gaussian_dropout"),
    _random_layer("AlphaDropout", "alpha_dropout", noise_shapes=(None, (1, 1, 1))),
    LayerEntry(
        "ActivityRegularization",
        "layers/regularization_layers/activity_regularization",
        kept,
        reference.unchanged,
        domains={"l1": (0.0, 0.1), "l2": (0.0, 0.1)},
    ),
    LayerEntry("Identity", "layers/core_layers/identity", kept, reference.unchanged),
    LayerEntry(
        "Dense",
        "layers/core_layers/dense",
        kept,
        reference.dense,
        fixed={"units": 3},
        domains={"activation": (None, "relu", "tanh", "softmax"), "use_bias": (True, False)},
        weights=_dense_weights,
    ),
)
