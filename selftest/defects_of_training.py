"""Defects that are planted in losses, metrics and models, and the properties that name them."""

from __future__ import annotations

import dataclasses
from typing import Any

from execution.implementation import Implementation
from selftest import defective_customs as customs
from selftest import defective_measures as measures
from selftest import defective_models as models
from selftest.defective_measures import Overrides

__all__ = ["TRAINING_DEFECTS", "TrainingDefect"]


@dataclasses.dataclass(frozen=True)
class TrainingDefect:
    """A loss, a metric or a model with something wrong in it, and the properties that name it.

    `layer` is the name in reports; `make` gives, of Keras and TensorFlow, what stands in for what.
    """

    name: str
    description: str
    properties: tuple[str, ...]
    layer: str
    make: Overrides

    def overrides(self, implementation: Implementation) -> dict[str, Any]:
        """What an implementation with this defect has in place of the real ones."""
        return self.make(implementation.keras, implementation.tensorflow)


_SUM, _METRIC, _BOTH = "MeanSquaredError", "metric MeanSquaredError", "two outputs"
_ISOLATION, _REDUCTION = "training_isolation", "training_reduction"


def _defect(
    name: str, description: str, properties: str | tuple[str, ...], layer: str, make: Overrides
) -> TrainingDefect:
    named = (properties,) if isinstance(properties, str) else properties
    return TrainingDefect(name, description, named, layer, make)


TRAINING_DEFECTS: list[TrainingDefect] = [
    _defect(
        "rows by length",
        "A number for each row counts as often as the row has valid steps.",
        "number_for_each_row",
        "FourthPower",
        customs.rows_by_length,
    ),
    _defect(
        "labels without units shifted",
        "Labels without an axis of units are those of the step before.",
        "labels_of_other_rank",
        _SUM,
        measures.loss(customs.labels_shifted),
    ),
    _defect(
        "student unmasked",
        "The loss of a student in a Distiller knows no mask.",
        "distilled_alike",
        _SUM,
        customs.student_unmasked,
    ),
    _defect(
        "mean of one's own forgets the mask",
        "A metric of one's own uses weights of samples, and not the mask beside them.",
        (_REDUCTION, "weights_alignment"),
        "metric PredictionMean",
        customs.mean_forgets_the_mask,
    ),
    _defect("mask ignored", "All steps count.", _REDUCTION, _SUM, measures.loss(measures.ignored)),
    _defect(
        "divided by all steps",
        "The mean of a masked loss divides by padding too.",
        _REDUCTION,
        _SUM,
        measures.loss(measures.all_steps),
    ),
    _defect(
        "mask shifted",
        "The mask is one step late.",
        "training_compaction",
        _SUM,
        measures.loss(measures.shifted),
    ),
    _defect(
        "mask inverted", "Padding alone counts.", _REDUCTION, _SUM, measures.loss(measures.inverted)
    ),
    _defect(
        "mask of Masking shifted",
        "Masking gives a mask that is one step late.",
        "same_mask_same_loss",
        _SUM,
        models.masking_shifted,
    ),
    _defect(
        "mask of the first row",
        "What is valid in the first row is so in all.",
        _REDUCTION,
        _SUM,
        measures.loss(measures.first_row),
    ),
    _defect(
        "loss leaks",
        "Padding enters the loss a little.",
        _ISOLATION,
        _SUM,
        measures.loss(measures.leaks),
    ),
    _defect(
        "gradient leaks",
        "Padding enters the gradient, and not the loss.",
        _ISOLATION,
        _SUM,
        measures.loss(measures.gradient_leaks),
    ),
    _defect(
        "gradient leaks, padding longer",
        "Padding enters the gradient, and not the loss.",
        "training_extension",
        _SUM,
        measures.loss(measures.gradient_leaks),
    ),
    _defect(
        "weights ignored",
        "Weights of samples weigh nothing.",
        "weights_alignment",
        _SUM,
        measures.loss(measures.weights_ignored),
    ),
    _defect(
        "weights of zero masked",
        "A valid step whose sample weight is 0 is not counted.",
        ("weights_alignment", _REDUCTION),
        _SUM,
        measures.loss(measures.weights_of_zero_masked),
    ),
    _defect(
        "weights along the wrong axis",
        "Where sizes coincide, rows and steps of weights change places.",
        "weights_alignment",
        _SUM,
        measures.loss(measures.transposed),
    ),
    _defect(
        "weights of rows ignored",
        "Of outputs without steps, weights of rows weigh nothing.",
        "weights_alignment",
        _SUM,
        measures.loss(measures.rows_ignored),
    ),
    _defect(
        "weights replace the mask",
        "Where samples have weights, the mask is forgotten.",
        (_REDUCTION, _ISOLATION),
        _SUM,
        measures.loss(measures.replaced_by_weights),
    ),
    _defect(
        "mask multiplied twice",
        "A masked mean is divided by the share of valid steps twice.",
        _REDUCTION,
        _SUM,
        measures.only("sum_over_batch_size", measures.twice),
    ),
    _defect(
        "sum divided",
        "The sum of a masked loss is divided by the number of valid steps.",
        _REDUCTION,
        _SUM,
        measures.only("sum", measures.sum_divided),
    ),
    _defect(
        "mask counted in 8 bits",
        "The number of valid steps is what 8 bits hold of it.",
        (_REDUCTION, "training_extension", "training_compaction", _ISOLATION),
        _SUM,
        measures.loss(measures.counted_in_8_bits),
    ),
    _defect(
        "a function averages over steps",
        "A loss given as a function has the mean of a row for each of its steps.",
        (_REDUCTION, _ISOLATION, "training_extension"),
        _SUM,
        measures.averaged_by_a_function,
    ),
    _defect(
        "no valid step is NaN",
        "Without a valid step the loss is NaN.",
        "all_masked",
        _SUM,
        measures.loss(measures.nothing_is_nan),
    ),
    _defect(
        "mask lost in the model",
        "The model forgets the mask.",
        _ISOLATION,
        _SUM,
        models.model(models.lost),
    ),
    _defect(
        "mask lost in tests",
        "The mask is used in training steps, and not in test steps.",
        (_ISOLATION, _REDUCTION),
        _SUM,
        models.model(models.lost_in_tests),
    ),
    _defect(
        "batches count alike",
        "The loss of several batches is their mean, whatever rows each has.",
        "training_grouping",
        _SUM,
        models.batches_alike,
    ),
    _defect(
        "metric unmasked",
        "A metric counts padding.",
        _ISOLATION,
        _METRIC,
        measures.metric("MeanSquaredError", measures.unmasked),
    ),
    _defect(
        "metric unmasked, its number",
        "A metric counts padding.",
        _REDUCTION,
        _METRIC,
        measures.metric("MeanSquaredError", measures.unmasked),
    ),
    _defect(
        "metric unweighted",
        "Weights of samples weigh nothing in a weighted metric.",
        "weights_alignment",
        _METRIC,
        measures.metric("MeanSquaredError", measures.unweighted),
    ),
    _defect(
        "metric's mask shifted",
        "A metric's mask is one step late.",
        _REDUCTION,
        "metric BinaryAccuracy",
        measures.metric_shifted,
    ),
    _defect(
        "class weights ignored",
        "Weights of classes weigh nothing.",
        "class_weights",
        "CategoricalCrossentropy",
        measures.loss(measures.weights_ignored, "CategoricalCrossentropy"),
    ),
    _defect(
        "mask of the other output",
        "Each of two outputs has the other's mask.",
        (_REDUCTION, _ISOLATION),
        _BOTH,
        models.model(models.exchanged),
    ),
    _defect(
        "outputs by name unmasked",
        "Outputs that are given by name have no masks.",
        (_REDUCTION, _ISOLATION),
        _BOTH,
        models.model(models.lost_by_name),
    ),
    _defect(
        "weights of the first output",
        "All outputs have the first one's weights of samples.",
        (_REDUCTION, "weights_alignment"),
        _BOTH,
        models.model(models.weights_of_the_first),
    ),
    _defect(
        "loss weights ignored",
        "The losses of several outputs are added up unweighed.",
        _REDUCTION,
        _BOTH,
        models.loss_weights_ignored,
    ),
    _defect(
        "penalty masked",
        "What layers add to the loss counts by the share of valid steps.",
        (_REDUCTION, "training_extension", _ISOLATION),
        _SUM,
        models.model(models.penalty_masked),
    ),
    _defect(
        "penalty of all rows",
        "A penalty of what a layer gives out is not divided by the number of rows.",
        "activity_penalty",
        _SUM,
        models.penalty_of_all_rows,
    ),
    _defect(
        "metrics weighed beside others",
        "Metrics that stand beside weighted ones are weighted as well.",
        (_REDUCTION, "weights_alignment"),
        _METRIC,
        models.metrics_weighed_beside,
    ),
    _defect(
        "reduction forgotten in files",
        "A loss that was saved and loaded has the default reduction.",
        "saved_training",
        _SUM,
        measures.forgotten,
    ),
    _defect(
        "epochs added up",
        "Loss and metrics of an epoch are those of all epochs so far.",
        "epochs_and_validation",
        _SUM,
        models.epochs_added_up,
    ),
    _defect(
        "validation unweighed",
        "Weights of samples weigh nothing in validation.",
        "epochs_and_validation",
        _SUM,
        models.validation_unweighed,
    ),
    _defect(
        "single batches go on",
        "Of a single batch the loss and metrics of all so far are handed back.",
        "given_alike",
        _SUM,
        models.single_batches_go_on,
    ),
    _defect(
        "mask lost by XLA",
        "A model that is compiled by XLA forgets the mask.",
        "compiled_alike",
        _SUM,
        models.model(models.lost_by_xla),
    ),
    _defect(
        "mask lost eagerly",
        "A model that runs eagerly forgets the mask.",
        "compiled_alike",
        _SUM,
        models.model(models.lost_eagerly),
    ),
    _defect(
        "mask lost in several batches",
        "A model that runs several batches at once forgets the mask.",
        "compiled_alike",
        _SUM,
        models.model(models.lost_in_several_batches),
    ),
    _defect(
        "classes left out weigh nothing",
        "A class without a weight counts nothing.",
        "class_weights",
        "CategoricalCrossentropy",
        models.classes_left_out_weigh_nothing,
    ),
    _defect(
        "class weights replace weights of samples",
        "Weights of samples are forgotten where classes have weights.",
        "class_weights",
        "CategoricalCrossentropy",
        models.classes_replace_weights,
    ),
    _defect(
        "weights counted once",
        "Weights of a metric of which no reference is known count as ones.",
        "weights_repeat",
        "metric PrecisionAtRecall",
        measures.metric("PrecisionAtRecall", measures.counted_once),
    ),
    _defect(
        "weights shifted beside thresholds",
        "With several thresholds a metric's weights are one position late.",
        (_REDUCTION, "weights_alignment", _ISOLATION, "weights_repeat"),
        "metric Recall",
        measures.thresholds_shifted,
    ),
    _defect(
        "weights forgotten beside an ignored class",
        "A metric of overlap that ignores a class ignores weights as well.",
        (_ISOLATION, "weights_repeat", _REDUCTION, "weights_alignment"),
        "metric MeanIoU",
        measures.unweighed_beside_ignored,
    ),
    _defect(
        "weights of positions by steps",
        "Weights of positions inside steps are those of their step's first one.",
        "weights_of_positions",
        _METRIC,
        measures.metric("MeanSquaredError", measures.of_first_positions),
    ),
    _defect(
        "weights in a column stand beside rows",
        "Weights of shape (batch, 1) give each row the weights of all rows.",
        "weights_alignment",
        _SUM,
        models.columns_beside_rows,
    ),
    _defect(
        "mask counted in half precision",
        "The number of valid steps is what half precision holds of it.",
        _REDUCTION,
        _SUM,
        measures.loss(measures.counted_in_half_precision),
    ),
    _defect(
        "marks are classes",
        "A mark that is ignored, and no class, is not ignored.",
        _REDUCTION,
        "SparseCategoricalCrossentropy",
        measures.marks_not_ignored,
    ),
    _defect(
        "the first class is not ignored",
        "A metric of overlap that ignores the class 0 ignores none.",
        "weights_repeat",
        "metric MeanIoU",
        measures.first_class_not_ignored,
    ),
    _defect(
        "areas of labels unweighted",
        "Weights of samples weigh nothing in the areas of several labels.",
        (_REDUCTION, "weights_alignment"),
        "metric AUC(multi_label)",
        measures.metric("AUC", measures.unweighted),
    ),
    _defect(
        "scores unweighted",
        "Weights of samples weigh nothing in scores of labels.",
        (_REDUCTION, "weights_alignment"),
        "metric F1Score",
        measures.metric("F1Score", measures.unweighted),
    ),
    _defect(
        "one array for the first output",
        "A single array of weights weighs the first output alone.",
        "weights_alignment",
        _BOTH,
        models.model(models.one_array_for_the_first),
    ),
    _defect(
        "metrics of the other output",
        "Where one of two outputs has no metrics, it has the other's.",
        (_REDUCTION, "weights_alignment"),
        "two outputs with metrics",
        models.metrics_of_the_other_output,
    ),
    _defect(
        "class weights of datasets alone",
        "Weights of classes weigh nothing where batches come one by one.",
        "class_weights",
        "CategoricalCrossentropy",
        models.class_weights_of_datasets_alone,
    ),
    _defect(
        "arrays evaluated unweighed",
        "Weights of samples weigh nothing where arrays are evaluated.",
        "epochs_and_validation",
        _SUM,
        models.arrays_unweighed,
    ),
    # What is wrong where the ledger knows of something that is wrong already.
    _defect(
        "known: weights of rows turned",
        "Weights of rows act on steps, which is known, from the last one on.",
        ("weights_alignment", _REDUCTION),
        _SUM,
        measures.loss(measures.rows_turned),
    ),
    _defect(
        "known: positions inside steps",
        "A mask that fits no positions inside steps, which is known, doubles the loss.",
        ("training_extension", _ISOLATION, "training_compaction"),
        _SUM,
        measures.loss(measures.inside_steps),
    ),
    _defect(
        "weights cut to fit",
        "Weights of more steps than there are lose the last ones.",
        "misfit_refused",
        _SUM,
        measures.loss(measures.cut_to_fit),
    ),
    _defect(
        "known: infinite",
        "Padding that is not finite, which is known to give NaN, gives infinity.",
        _ISOLATION,
        _SUM,
        measures.loss(measures.infinite),
    ),
    _defect(
        "known: padding alone",
        "A metric that is known to count padding counts nothing else.",
        (_REDUCTION, _ISOLATION),
        "metric TruePositives",
        measures.metric("TruePositives", measures.padding_alone),
    ),
    _defect(
        "known: rounded up",
        "Weights that are known to be cut to whole numbers are rounded up.",
        (_REDUCTION, "weights_alignment"),
        "metric OneHotIoU",
        measures.metric("OneHotIoU", measures.rounded_up),
    ),
    _defect(
        "known: longer counts less",
        "Batches that are known to count by their lengths do so twice.",
        "training_extension",
        _METRIC,
        measures.metric("MeanSquaredError", measures.longer_counts_less),
    ),
]
