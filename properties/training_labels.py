"""What must hold of labels that have an axis more or less than the losses' pages say."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec

from catalogue.expressions import Expression, expression
from catalogue.training import STANDING
from catalogue.training_cases import TrainingCase
from catalogue.training_steps import Given
from properties.comparisons import Agrees, Plan
from properties.registry import declare
from properties.training_forms import traced_step
from properties.training_setting import TrainingSetting, some_rows

__all__ = ["with_other_labels"]

# Ranks are adjusted by the same code for all losses, and for all metrics that are means.
_OF = (
    "MeanSquaredError",
    "BinaryCrossentropy",
    "SparseCategoricalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "metric MeanSquaredError",
    "metric BinaryAccuracy",
    "metric SparseCategoricalAccuracy",
)


def _single(case: Any) -> bool:
    plain = case.policy == "float32" and case.way != "mask as weights"
    return bool(case.reduction is not None and plain and not case.inner)


@declare(
    family="training",
    source="tf.keras.losses.Loss (y_true: 'shape = [batch_size, d0, .. dN], except sparse loss "
    "functions', of which it is [batch_size, d0, .. dN-1]), and a shape that fits no documented "
    "form is refused; keras.losses.categorical_generalized_cross_entropy ('[batch_size] or "
    "[batch_size, 1]')",
    level="should",
    of=lambda layer: layer in _OF,
    applies=_single,
    share=4,
    dear=True,
)
def labels_of_other_rank(case: TrainingCase) -> Plan:
    """Labels of one unit without their last axis, and labels that name classes with one of size 1,
    are refused or change nothing."""
    setting = with_other_labels(case)
    found = []
    for step, name in (("", ""), ("_first", " of one row")):
        found += [
            dataclasses.replace(one, name=f"{one.name}{name}", refusable=True)
            for one in _told_apart(setting, f"b{step}", f"a{step}")
        ]
    return Plan(tuple(setting.steps), tuple(found))


def with_other_labels(case: TrainingCase) -> TrainingSetting:
    """Steps `a` with labels as documented, `b` with an axis more or less; `_first` of one row."""
    case = msgspec.structs.replace(case, way=traced_step(case), penalty=False)
    setting = TrainingSetting(case)
    sparse = setting.entry.labels == "sparse"
    if not sparse and case.units != 1:
        setting = TrainingSetting(msgspec.structs.replace(case, units=1))
    setting.model()
    setting.model(name="other_model")  # what was traced for one rank is traced for any next
    eager = case.measure not in STANDING
    whole = setting.given()
    for step, given in (("", whole), ("_first", some_rows(whole, slice(0, 1)))):
        setting.train(f"a{step}", given, eager=eager)
        other = dataclasses.replace(given, labels=_reshaped(given, sparse))
        setting.train(f"b{step}", other, model="other_model", eager=eager)
    return setting


def _told_apart(setting: TrainingSetting, left: str, right: str) -> list[Agrees]:
    """The loss or the metric; what a training step makes of it is another matter."""
    name = "metric" if setting.entry.kind == "metrics" else "loss"
    found = setting.agree(left, right, setting.tolerance, "should")
    return [one for one in found if one.name == name]


def _reshaped(given: Given, sparse: bool) -> Expression:
    text = "y[..., None]" if sparse else "y[..., 0]"
    return expression(text, f"{given.labels.hint}_reshaped", y=given.labels)
