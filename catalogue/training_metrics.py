"""The metrics of the catalogue: what labels and predictions each takes, and what it computes."""

from __future__ import annotations

import dataclasses
from typing import Any

from catalogue import metric_reference
from catalogue import training_reference as reference
from catalogue.specs import Argument
from catalogue.training_cases import MeasureEntry

__all__ = ["METRIC_ENTRIES"]

_METRICS = "keras.io/api/metrics"
_LOGITS = {"from_logits": (False, True)}
_THRESHOLDS: dict[str, tuple[Argument, ...]] = {"thresholds": (None, (0.3, 0.6))}
_ASKED_FOR: dict[str, tuple[Argument, ...]] = {"class_id": (None, 0), "top_k": (None, 1)}
# A mark that is no class, of labels alone, as it is common, or a class; one-hot labels have no room
# for a mark.
_VOID: dict[str, tuple[Argument, ...]] = {"ignore_class": (None, -1, 0)}
_AVERAGE: dict[str, tuple[Argument, ...]] = {
    "average": (None, "micro", "macro", "weighted"),
    "threshold": (None, 0.6),
}


def _metric(cls: str, page: str, labels: str, activation: str, **options: Any) -> MeasureEntry:
    name = f"metric {cls}"
    return MeasureEntry(name, "metrics", cls, f"{_METRICS}/{page}", labels, activation, **options)


METRIC_ENTRIES: tuple[MeasureEntry, ...] = (
    # -- metrics that are means of a number for each position --------------------------------
    _metric(
        "MeanSquaredError",
        "regression_metrics",
        "real",
        "linear",
        values=reference.squared,
        function="mean_squared_error",
    ),
    _metric(
        "MeanAbsoluteError",
        "regression_metrics",
        "real",
        "linear",
        values=reference.absolute,
        function="mean_absolute_error",
    ),
    _metric(
        "MeanAbsolutePercentageError",
        "regression_metrics",
        "positive",
        "linear",
        values=reference.percentage,
        function="mean_absolute_percentage_error",
        scale=1000.0,
    ),
    _metric(
        "MeanSquaredLogarithmicError",
        "regression_metrics",
        "positive",
        "sigmoid",
        values=reference.logarithmic,
        function="mean_squared_logarithmic_error",
    ),
    _metric("LogCoshError", "regression_metrics", "real", "linear", values=reference.log_cosh),
    _metric(
        "CosineSimilarity", "regression_metrics", "positive", "sigmoid", values=reference.cosine
    ),
    _metric(
        "RootMeanSquaredError",
        "regression_metrics",
        "real",
        "linear",
        whole=metric_reference.root_mean_squared,
    ),
    _metric(
        "BinaryCrossentropy",
        "probabilistic_metrics",
        "binary",
        "sigmoid",
        values=reference.binary_crossentropy,
        function="binary_crossentropy",
        domains=_LOGITS,
    ),
    _metric(
        "CategoricalCrossentropy",
        "probabilistic_metrics",
        "one-hot",
        "softmax",
        values=reference.categorical_crossentropy,
        function="categorical_crossentropy",
        domains=_LOGITS,
    ),
    _metric(
        "SparseCategoricalCrossentropy",
        "probabilistic_metrics",
        "sparse",
        "softmax",
        values=reference.sparse_crossentropy,
        function="sparse_categorical_crossentropy",
        domains=_LOGITS,
    ),
    _metric(
        "KLDivergence",
        "probabilistic_metrics",
        "distribution",
        "softmax",
        values=reference.divergence,
        function="kl_divergence",
    ),
    _metric(
        "Poisson",
        "probabilistic_metrics",
        "positive",
        "sigmoid",
        values=reference.poisson,
        function="poisson",
    ),
    _metric("Hinge", "hinge_metrics", "sign", "linear", values=reference.hinge, function="hinge"),
    _metric(
        "SquaredHinge",
        "hinge_metrics",
        "sign",
        "linear",
        values=reference.squared_hinge,
        function="squared_hinge",
    ),
    _metric(
        "CategoricalHinge",
        "hinge_metrics",
        "one-hot",
        "linear",
        values=reference.categorical_hinge,
    ),
    _metric(
        "fourth_power",
        "",
        "real",
        "linear",
        values=reference.fourth_power,
        function="fourth_power",
    ),
    *(
        _metric(
            cls,
            "regression_metrics",
            "real",
            "linear",
            values=values,
            function=function,
            units=(3,),  # of two the one correlation is 1 or -1, whatever they are
            since="3.7",
        )
        for cls, function, values in (
            ("PearsonCorrelation", "pearson_correlation", reference.pearson),
            ("ConcordanceCorrelation", "concordance_correlation", reference.concordance),
        )
    ),
    _metric("PredictionMean", "", "real", "linear", values=reference.predicted),
    _metric("Accuracy", "accuracy_metrics", "classes", "identity", values=reference.equal),
    _metric(
        "BinaryAccuracy",
        "accuracy_metrics",
        "binary",
        "sigmoid",
        values=reference.binary_hits,
        function="binary_accuracy",
        units=(1, 2),
    ),
    _metric(
        "CategoricalAccuracy",
        "accuracy_metrics",
        "one-hot",
        "softmax",
        values=reference.categorical_hits,
        function="categorical_accuracy",
        word="accuracy",
    ),
    _metric(
        "SparseCategoricalAccuracy",
        "accuracy_metrics",
        "sparse",
        "softmax",
        values=reference.sparse_hits,
        function="sparse_categorical_accuracy",
        word="accuracy",
    ),
    _metric(
        "TopKCategoricalAccuracy",
        "accuracy_metrics",
        "one-hot",
        "softmax",
        values=reference.top_hits,
        fixed={"k": 2},
        units=(3,),
    ),
    _metric(
        "SparseTopKCategoricalAccuracy",
        "accuracy_metrics",
        "sparse",
        "softmax",
        values=reference.sparse_top_hits,
        fixed={"k": 2},
        units=(3,),
    ),
    # -- metrics of all positions together ---------------------------------------------------
    _metric("PredictionSum", "", "real", "linear", whole=metric_reference.sum_of_predicted),
    # "2D inputs with shape (batch_size, output_dim)".
    _metric(
        "R2Score",
        "regression_metrics",
        "real",
        "linear",
        whole=metric_reference.determination,
        domains={"class_aggregation": ("uniform_average", "variance_weighted_average", None)},
        ranks=(2,),
        units=(1, 3),
        scale=50.0,
        since="2.13",
    ),
    *(
        _metric(
            cls,
            "classification_metrics",
            "binary",
            "sigmoid",
            whole=metric_reference.count_of(what),
            domains=_THRESHOLDS,
            ranks=(2, 3),
            units=(1, 2),
        )
        for cls, what in (
            ("TruePositives", "true positives"),
            ("FalsePositives", "false positives"),
            ("TrueNegatives", "true negatives"),
            ("FalseNegatives", "false negatives"),
        )
    ),
    _metric(
        "Precision",
        "classification_metrics",
        "binary",
        "sigmoid",
        whole=metric_reference.precision,
        domains={**_ASKED_FOR, **_THRESHOLDS},
        ranks=(2, 3),
        units=(1, 2),
    ),
    _metric(
        "Recall",
        "classification_metrics",
        "binary",
        "sigmoid",
        whole=metric_reference.recall,
        domains={**_ASKED_FOR, **_THRESHOLDS},
        ranks=(2, 3),
        units=(1, 2),
    ),
    _metric(
        "AUC",
        "classification_metrics",
        "binary",
        "sigmoid",
        whole=metric_reference.area,
        fixed={"num_thresholds": 20},
        ranks=(2, 3),
        units=(1,),
    ),
    # Of labels that do not exclude each other, "computed separately for each label and then
    # averaged": these are of shape (batch, label).
    dataclasses.replace(
        _metric(
            "AUC",
            "classification_metrics",
            "alternating",
            "sigmoid",
            whole=metric_reference.area_of_labels,
            fixed={"num_thresholds": 20, "multi_label": True, "num_labels": 2},
            ranks=(2,),
            units=(2,),
        ),
        name="metric AUC(multi_label)",
    ),
    *(
        _metric(
            cls,
            "classification_metrics",
            "one-hot",
            "softmax",
            whole=metric_reference.f_score,
            fixed=fixed,
            domains=_AVERAGE,
            ranks=(2,),
            units=(3,),
            since="2.13",
        )
        for cls, fixed in (("F1Score", {}), ("FBetaScore", {"beta": 2.0}))
    ),
    # These approximate a curve by thresholds: what number comes out is theirs.
    *(
        _metric(
            cls,
            "classification_metrics",
            "binary",
            "sigmoid",
            whole=metric_reference.unknown,
            fixed=fixed,
            ranks=(2, 3),
            units=(1,),
        )
        for cls, fixed in (
            ("PrecisionAtRecall", {"recall": 0.5}),
            ("RecallAtPrecision", {"precision": 0.5}),
            ("SensitivityAtSpecificity", {"specificity": 0.5}),
            ("SpecificityAtSensitivity", {"sensitivity": 0.5}),
        )
    ),
    _metric(
        "BinaryIoU",
        "segmentation_metrics",
        "classes",
        "sigmoid",
        whole=metric_reference.binary_overlap,
        ranks=(2, 3),
        units=(1,),
    ),
    _metric(
        "OneHotIoU",
        "segmentation_metrics",
        "one-hot",
        "softmax",
        whole=metric_reference.one_hot_overlap,
        fixed={"num_classes": 3, "target_class_ids": (0, 2)},
        ranks=(2, 3),
        units=(3,),
    ),
    _metric(
        "OneHotMeanIoU",
        "segmentation_metrics",
        "one-hot",
        "softmax",
        whole=metric_reference.one_hot_overlap,
        fixed={"num_classes": 3},
        ranks=(2, 3),
        units=(3,),
    ),
    _metric(
        "IoU",
        "segmentation_metrics",
        "classes",
        "identity",
        whole=metric_reference.overlap,
        fixed={"num_classes": 3, "target_class_ids": (0, 2)},
        domains=_VOID,
        ranks=(2, 3),
        units=(1,),
    ),
    _metric(
        "MeanIoU",
        "segmentation_metrics",
        "classes",
        "identity",
        whole=metric_reference.overlap,
        fixed={"num_classes": 3},
        domains=_VOID,
        ranks=(2, 3),
        units=(1,),
    ),
)
