"""What must hold of weights of samples beside those that methods of a model document."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import numpy as np

from catalogue.expressions import Expression, expression, literal
from catalogue.metric_reference import root_mean_squared
from catalogue.training import OF_ROWS, OUTPUTS, STANDING, measure_of
from catalogue.training_cases import GivenAs, TrainingCase, without_axis
from catalogue.training_steps import Given
from properties.comparisons import Agrees, Plan
from properties.registry import declare
from properties.training_setting import TrainingSetting

__all__ = ["rows_and_square"]

_INNER = 2  # positions inside each step


def _counting(layer: str) -> bool:
    """Whether a metric counts positions by their weights, one code for each of its form.

    What is a mean of a number for each position, or its root, is compared with the reference,
    weighed too; how batches of other weights are added up in it is another matter.
    """
    entry = measure_of(layer)
    whole = entry.kind == "metrics" and entry.whole not in (None, root_mean_squared)
    return layer not in OUTPUTS and entry.stepped and whole


@declare(
    family="training",
    source="keras.io/api/metrics: classification_metrics (TruePositives: 'If sample_weight is "
    "given, calculates the sum of the weights of true positives', of which others are computed), "
    "segmentation_metrics ('accumulated in a confusion matrix, weighted by sample_weight', and "
    "ignore_class: 'the ID of a class to be ignored during metric computation')",
    level="should",
    of=_counting,
    # Without a mask, which is another matter.
    applies=lambda case: case.mask == "absent" and case.policy == "float32",
    choices=("several",),  # of few positions many weights make the same number
    share=8,
)
def weights_repeat(case: TrainingCase) -> Plan:
    """A step of weight 2 counts for a metric as that step twice, and one whose label is of a class
    that is ignored not at all."""
    case = msgspec.structs.replace(case, way="test step", weighted=True, twin=False)
    setting = TrainingSetting(case)
    weighed, repeated = _weighed_and_repeated(setting)
    setting.model()
    setting.train("a", *weighed)
    setting.train("b", *repeated)
    left, right = (setting.results(name)["metric"] for name in ("a", "b"))
    found = [Agrees("metric", left, right, setting.tolerance, "should")]
    found += _ignoring(setting)
    return Plan(tuple(setting.steps), tuple(found))


def _weighed_and_repeated(setting: TrainingSetting) -> tuple[list[Given], list[Given]]:
    """The case's batches with weights of 2 and 1 by turns, and with the steps of weight 2 twice."""

    def again(array: Expression) -> Expression:
        return expression("np.concatenate([a, a[:, ::2]], 1)", f"{array.hint}_again", a=array)

    weighed, repeated = [], []
    for place in range(len(setting.case.batches)):
        given, (batch, steps) = setting.given(place), setting.case.lead(place)[:2]
        # Whole numbers: some metrics cut weights to these, which is known.
        weights = f"np.float32([2, 1] * {steps})[:{steps}]"
        twos = expression(f"np.tile({weights}, ({batch}, 1))", "twos")
        ones = expression(f"np.ones(({batch}, {steps + (steps + 1) // 2}), 'float32')", "ones")
        weighed.append(dataclasses.replace(given, weights=twos))
        inputs, labels = again(given.inputs), again(given.labels)
        repeated.append(dataclasses.replace(given, inputs=inputs, labels=labels, weights=ones))
    return weighed, repeated


def _ignoring(setting: TrainingSetting) -> list[Agrees]:
    """The metric equals its reference for each class that may be ignored, and counts weights as the
    same steps again.

    Where it is compared with its reference steps are neither masked nor weighed, as much is known
    of both.
    """
    found = []
    for place, ignored in enumerate(setting.entry.domains.get("ignore_class", ())[1:]):
        arguments: dict[str, Any] = {**setting.case.arguments, "ignore_class": ignored}
        case = msgspec.structs.replace(setting.case, arguments=arguments, sample_weight="absent")
        one = TrainingSetting(case)
        one.model(name=f"ignoring{place}")
        one.train(f"ignored{place}", one.given(), model=f"ignoring{place}", eager=True)
        expected, tolerance = one.expected()
        if not np.isnan(expected):
            result = one.results(f"ignored{place}")["metric"]
            right = literal(expected, "expected")
            found.append(Agrees(f"metric ignoring {ignored}", result, right, tolerance))
        left, again = (
            one.results(one.train(f"{name}{place}", *given, model=f"ignoring{place}").name)
            for name, given in zip(("weighed", "repeated"), _weighed_and_repeated(one), strict=True)
        )
        name = f"metric ignoring {ignored}, weighed"
        sides = left["metric"], again["metric"]
        found.append(Agrees(name, *sides, one.tolerance, "should"))
        setting.steps += one.steps
    return found


def _of_positions(layer: str) -> bool:
    """Whether a measure has a number for each position, and stands for others."""
    return layer in STANDING and layer not in OUTPUTS and measure_of(layer).values is not None


@declare(
    family="training",
    source="tf.keras.losses.Loss and update_state of metrics that are means, in Keras 2 (of a "
    "sample_weight of shape '[batch_size, d0, .. dN-1]' each value scales the loss of its element);"
    " Keras 3 takes it too, and documents nothing else",
    level="should",
    of=_of_positions,
    applies=lambda case: case.reduction is not None and not case.pooled,
    share=4,
)
def weights_of_positions(case: TrainingCase) -> Plan:
    """Weights of the shape `(batch, step, inner)` weigh each position inside steps, in a loss
    that is called by hand and in a metric."""
    metric = measure_of(case.measure).kind == "metrics"
    case = msgspec.structs.replace(
        case,
        given_as="object",
        arguments=without_axis(case.arguments),
        mask="absent",  # which is another matter
        policy="float32",
        # Methods document weights of rows and steps alone: a loss is called as it is.
        way="test step" if metric else "custom loop",
        weighted=metric,
        twin=False,
        sample_weight="absent",
        inner=_INNER,
    )
    setting = TrainingSetting(case)
    given, shape = setting.given(), case.lead(0)
    rng = f"np.random.default_rng({case.batches[0].seed + 2})"
    weights = expression(f"{rng}.uniform(0.5, 2, {shape}).astype('float32')", "w_positions")
    setting.model()
    setting.train("a", dataclasses.replace(given, weights=weights))
    name = "metric" if metric else "loss"
    expected, tolerance = setting.expected(weights)
    if np.isnan(expected):
        return Plan(tuple(setting.steps), ())
    right = literal(expected, "expected")
    found = Agrees(name, setting.results("a")[name], right, tolerance, "should")
    return Plan(tuple(setting.steps), (found,))


@declare(
    family="training",
    source="tf.keras.Model.compile (a loss of one's own gives 'per-sample or per-timestep loss "
    "values'); a mask whose shape fits no documented form is refused, never broadcast",
    level="should",
    of=lambda layer: layer in OF_ROWS,
    applies=lambda case: (
        case.reduction is not None
        and case.policy == "float32"
        and case.mask != "weights"
        and case.sample_weight != "steps"
        and case.way != "mask as weights"
    ),
    share=2,
    dear=True,
)
def number_for_each_row(case: TrainingCase) -> Plan:
    """Where a loss or metric gives a number for each row, the mask of steps is refused, or rows
    count alike; also where there are as many rows as steps."""
    steps, found = [], []
    for step, setting in rows_and_square(case).items():
        steps += setting.steps
        # Nobody says whether a row of nothing counts.
        either = []
        for setting.every_row in (False, True):
            expected, tolerance = setting.expected()
            either.append(expected)
        if np.isnan(either).any():
            continue
        name = "metric" if setting.entry.kind == "metrics" else "loss"
        left = setting.results(step)[name]
        nearer = expression(
            "e[np.abs(e - a).argmin()]", e=literal(np.array(either), "either"), a=left
        )
        masked = case.mask != "absent" and not case.pooled
        name += ", square" if step == "square" else ""
        found.append(Agrees(name, left, nearer, tolerance, "should", refusable=masked))
    return Plan(tuple(steps), tuple(found))


def rows_and_square(case: TrainingCase) -> dict[str, TrainingSetting]:
    """A model with a measure of rows given the case's batch, and one of as many rows as steps."""
    entry = OF_ROWS[case.measure]
    given_as: GivenAs = "function" if entry.plain else "object"
    case = msgspec.structs.replace(case, measure=entry.name, given_as=given_as)
    first = case.batches[0]
    rows = min(max(first.batch, 3), 5)
    square = tuple("1" * (row + 1) + "0" * (rows - row - 1) for row in range(rows))
    found = {}
    for step, mask in (("drawn", first.mask), ("square", square)):
        batch = msgspec.structs.replace(first, mask=mask)
        found[step] = TrainingSetting(msgspec.structs.replace(case, batches=(batch,)))
        if step == "drawn":
            found[step].model()
        found[step].train(step)
    return found
