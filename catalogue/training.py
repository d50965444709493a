"""The catalogue of losses and metrics: every public one, or why it is left out."""

from __future__ import annotations

import dataclasses
from typing import Any

from catalogue import training_reference as reference
from catalogue.training_cases import MeasureEntry
from catalogue.training_metrics import METRIC_ENTRIES

__all__ = [
    "ALIASES",
    "EXCLUDED",
    "FUNCTIONS_EXCLUDED",
    "MEASURES",
    "OF_ROWS",
    "OUTPUTS",
    "STANDING",
    "measure_of",
]

_LOSSES = "keras.io/api/losses"
_LOGITS = {"from_logits": (False, True)}
_AXIS = {"axis": (-1, 2)}  # the last one, of outputs that are steps: counted from either end


def _loss(cls: str, page: str, labels: str, activation: str, **options: Any) -> MeasureEntry:
    return MeasureEntry(cls, "losses", cls, f"{_LOSSES}/{page}", labels, activation, **options)


_REGRESSION, _PROBABILISTIC, _HINGE = "regression_losses", "probabilistic_losses", "hinge_losses"

_LOSS_ENTRIES = (
    _loss(
        "MeanSquaredError",
        _REGRESSION,
        "real",
        "linear",
        values=reference.squared,
        function="mean_squared_error",
        units=(1, 2, 3),
    ),
    _loss(
        "MeanAbsoluteError",
        _REGRESSION,
        "real",
        "linear",
        values=reference.absolute,
        function="mean_absolute_error",
        units=(1, 2, 3),
    ),
    _loss(
        "MeanAbsolutePercentageError",
        _REGRESSION,
        "positive",
        "linear",
        values=reference.percentage,
        function="mean_absolute_percentage_error",
        scale=1000.0,
    ),
    _loss(
        "MeanSquaredLogarithmicError",
        _REGRESSION,
        "positive",
        "sigmoid",
        values=reference.logarithmic,
        function="mean_squared_logarithmic_error",
    ),
    _loss(
        "Huber",
        _REGRESSION,
        "real",
        "linear",
        values=reference.huber,
        function="huber",
        domains={"delta": (1.0, 0.3)},
    ),
    _loss("LogCosh", _REGRESSION, "real", "linear", values=reference.log_cosh, function="log_cosh"),
    _loss(
        "CosineSimilarity",
        _REGRESSION,
        "positive",
        "sigmoid",
        values=reference.cosine_loss,
        function="cosine_similarity",
        domains=_AXIS,
    ),
    _loss(
        "BinaryCrossentropy",
        _PROBABILISTIC,
        "binary",
        "sigmoid",
        values=reference.binary_crossentropy,
        function="binary_crossentropy",
        domains={**_LOGITS, "label_smoothing": (0.0, 0.2), **_AXIS},
        units=(1, 2, 3),
    ),
    _loss(
        "BinaryFocalCrossentropy",
        _PROBABILISTIC,
        "binary",
        "sigmoid",
        values=reference.binary_focal,
        function="binary_focal_crossentropy",
        domains={**_LOGITS, "apply_class_balancing": (False, True), **_AXIS},
        units=(1, 2),
    ),
    _loss(
        "CategoricalCrossentropy",
        _PROBABILISTIC,
        "one-hot",
        "softmax",
        values=reference.categorical_crossentropy,
        function="categorical_crossentropy",
        domains={**_LOGITS, "label_smoothing": (0.0, 0.2), **_AXIS},
    ),
    _loss(
        "CategoricalFocalCrossentropy",
        _PROBABILISTIC,
        "one-hot",
        "softmax",
        values=reference.categorical_focal,
        function="categorical_focal_crossentropy",
        domains={**_LOGITS, **_AXIS},
        since="2.13",
    ),
    _loss(
        "SparseCategoricalCrossentropy",
        _PROBABILISTIC,
        "sparse",
        "softmax",
        values=reference.sparse_crossentropy,
        function="sparse_categorical_crossentropy",
        domains={**_LOGITS, "ignore_class": (None, -1, 0)},
    ),
    _loss(
        "KLDivergence",
        _PROBABILISTIC,
        "distribution",
        "softmax",
        values=reference.divergence,
        function="kl_divergence",
    ),
    _loss(
        "Poisson",
        _PROBABILISTIC,
        "positive",
        "sigmoid",
        values=reference.poisson,
        function="poisson",
    ),
    # "Tuple for which dimensions the loss is calculated": by default all of them, which gives a
    # single number for a batch.
    *(
        _loss(
            name,
            _REGRESSION,
            "one-hot",
            "softmax",
            values=reference.dice,
            fixed={"axis": (-1,)},
            since="3.8",
        )
        for name in ("Dice", "Tversky")
    ),
    *(
        dataclasses.replace(
            _loss(
                cls,
                _REGRESSION,
                "one-hot",
                "softmax",
                whole=reference.dice_of_all,
                function=cls.lower(),
                since="3.8",
            ),
            name=f"{cls}(of all)",
        )
        for cls in ("Dice", "Tversky")
    ),
    # "With shape [batch_size, num_classes]".
    _loss(
        "CategoricalGeneralizedCrossEntropy",
        _PROBABILISTIC,
        "sparse",
        "softmax",
        values=reference.generalized,
        domains={"q": (0.5, 0.9)},
        ranks=(2,),
        since="3.12",
    ),
    _loss("Hinge", _HINGE, "sign", "linear", values=reference.hinge, function="hinge"),
    _loss(
        "SquaredHinge",
        _HINGE,
        "sign",
        "linear",
        values=reference.squared_hinge,
        function="squared_hinge",
    ),
    _loss(
        "CategoricalHinge",
        _HINGE,
        "one-hot",
        "linear",
        values=reference.categorical_hinge,
        function="categorical_hinge",
    ),
    # -- losses of one's own: catalogue/custom_measures.py -------------------------------------
    _loss(
        "fourth_power",
        "",
        "real",
        "linear",
        values=reference.fourth_power,
        function="fourth_power",
    ),
    _loss("FourthPower", "", "real", "linear", values=reference.fourth_power),
)

OF_ROWS: dict[str, MeasureEntry] = {
    "FourthPower": _loss(
        "RowPower", "", "real", "linear", values=reference.fourth_power_of_rows, of_rows=True
    ),
    "metric fourth_power": MeasureEntry(
        "metric row_power",
        "metrics",
        "row_power",
        "",
        "real",
        "linear",
        values=reference.fourth_power_of_rows,
        function="row_power",
        of_rows=True,
    ),
}
"""Beside one's own losses and metrics of positions, those that give a number for each row."""

MEASURES: dict[str, MeasureEntry] = {
    entry.name: entry for entry in (*_LOSS_ENTRIES, *METRIC_ENTRIES)
}

_ENTRIES = {**MEASURES, **{entry.name: entry for entry in OF_ROWS.values()}}

OUTPUTS: dict[str, tuple[str, ...]] = {
    "two outputs": ("MeanSquaredError", "CategoricalCrossentropy"),
    "two outputs with metrics": ("metric MeanSquaredError", "metric CategoricalAccuracy"),
}
"""Models of several outputs: the loss or metric of each. What combines them looks at none."""

STANDING = frozenset(
    {
        "MeanSquaredError",
        "BinaryCrossentropy",
        "CategoricalCrossentropy",
        "SparseCategoricalCrossentropy",
        "metric MeanSquaredError",
        "metric BinaryAccuracy",
        "metric SparseCategoricalCrossentropy",
        "metric RootMeanSquaredError",
        "metric Recall",
        "metric OneHotIoU",
        *OUTPUTS,
    }
)
"""Losses and metrics that stand for others of their form.

What is done with masks and weights is one code for all losses, one for means, and one for each form
of other metrics.
"""

_BASE = "the base class of others"
_MATRIX = "documented for outputs of shape (batch, units) alone"
_ROWS = "one number for a whole row: there is none for each of its steps"
_OWN = "takes values, not labels and predictions: no model can be compiled with it"
_INHERITED = "takes values, not labels and predictions: `Prediction{}` is made of it"

EXCLUDED: dict[str, dict[str, str]] = {
    "losses": {
        "Loss": _BASE,
        "Reduction": "the names of reductions, of Keras 2",
        "CTC": _ROWS,
        "Circle": _MATRIX,
    },
    "metrics": {
        "Metric": _BASE,
        "Mean": _INHERITED.format("Mean"),
        "MeanTensor": _OWN,
        "Sum": _INHERITED.format("Sum"),
        "MeanMetricWrapper": "what metrics given as functions become: they are given so too",
        "MeanRelativeError": "takes a normalizer of the shape of the labels, so of one length",
    },
}
"""Public classes of `keras.losses` and `keras.metrics` that are not in the catalogue, and why."""


_PLUMBING = "makes one of another, or of its configuration"
_SAME = "is the function of the same name in `keras.losses`, which is an entry there"
_FIXED = "has a k of 5, by which of so few classes all are hit; the class is given another"

FUNCTIONS_EXCLUDED: dict[str, dict[str, str]] = {
    "losses": {
        **dict.fromkeys(("deserialize", "get", "serialize"), _PLUMBING),
        "ctc": _ROWS,
        "circle": _MATRIX,
        "categorical_generalized_cross_entropy": "has no default of `q`, which nobody gives",
    },
    "metrics": {
        **dict.fromkeys(("deserialize", "get", "serialize"), _PLUMBING),
        **dict.fromkeys(
            (
                "binary_focal_crossentropy",
                "categorical_focal_crossentropy",
                "categorical_hinge",
                "huber",
                "log_cosh",
            ),
            _SAME,
        ),
        **dict.fromkeys(
            ("sparse_top_k_categorical_accuracy", "top_k_categorical_accuracy"), _FIXED
        ),
    },
}
"""Public functions that are not in the catalogue, and why."""

_SHORT = {
    "kl_divergence": "KLD kld kullback_leibler_divergence",
    "mean_absolute_error": "MAE mae",
    "mean_absolute_percentage_error": "MAPE mape",
    "mean_squared_error": "MSE mse",
    "mean_squared_logarithmic_error": "MSLE msle",
    "log_cosh": "logcosh",
}
ALIASES: dict[str, str] = {alias: name for name, all_ in _SHORT.items() for alias in all_.split()}
"""Other names of functions, of Keras 2."""


def measure_of(name: str) -> MeasureEntry:
    """The entry of a loss or metric, of several outputs that of the first; ValueError for none."""
    name = OUTPUTS.get(name, (name,))[0]
    found = _ENTRIES.get(name)
    if found is None:
        raise ValueError(f"measure {name!r} is not in the catalogue")
    return found
