"""What must hold of losses, metrics and updates under masks: nothing of padding in them."""

from __future__ import annotations

from typing import Any

import numpy as np

from catalogue.cases import FINITE_CONTENTS
from catalogue.expressions import Expression, Output, expression, literal
from catalogue.training import MEASURES
from catalogue.training_cases import TRAINS, TrainingCase
from catalogue.training_steps import Given
from properties.comparisons import Agrees, Level, Plan
from properties.registry import declare
from properties.training_setting import TrainingSetting

__all__ = ["by_valid_steps", "masked"]

_GUIDE = "keras.io/guides/understanding_masking_and_padding"
_WEIGHTS = "keras.io/guides/training_with_built_in_methods (Sample weights)"
_MEANS = (None, "sum_over_batch_size", "mean", "auto")


def masked(case: TrainingCase) -> bool:
    """Whether some way of masking reaches the loss or metric."""
    if case.mask == "weights" and MEASURES[case.measure].kind == "metrics":
        return case.weighted
    return case.mask != "absent"


def by_valid_steps(case: TrainingCase) -> bool:
    """Whether what comes out depends on valid steps and their number alone.

    Where weights of 0 are the mask, a mean divides by all samples, as documented.
    """
    if case.mask == "weights" and MEASURES[case.measure].kind == "losses":
        reduction = case.arguments.get("reduction", "mean")
        return reduction in ("sum", "mean_with_sample_weight")
    return masked(case)


@declare(
    family="training",
    source=f"{_GUIDE} ('certain timesteps in an input are missing, and thus should be skipped'); "
    f"{_WEIGHTS} ('entirely discarding the contribution of certain samples to the total loss')",
    applies=masked,
    choices=("other",),
)
def training_isolation(case: TrainingCase) -> Plan:
    """What predictions, labels and weights of samples hold at masked steps changes no loss, no
    metric, no gradient and no updated weight."""
    setting = TrainingSetting(case)
    setting.model()
    setting.train("a")
    assert case.varied is not None and case.other is not None
    setting.train(
        "b", *(setting.given(k, **{case.varied: case.other}) for k in range(len(case.batches)))
    )
    finite = case.other in FINITE_CONTENTS
    level: Level = "must" if finite else "should"
    return Plan(tuple(setting.steps), tuple(setting.agree("b", "a", None, level)))


def _referenced(case: TrainingCase) -> bool:
    entry = MEASURES[case.measure]
    # Predictions of float16 round before anything is computed from them.
    known = entry.values is not None or entry.whole is not None
    return known and case.policy == "float32"


@declare(
    family="training",
    source="keras.io/api/losses (reduction); the page of the loss or metric; the guide on masking",
    applies=_referenced,
)
def training_reduction(case: TrainingCase) -> Plan:
    """The loss, or the metric, equals the NumPy reference over valid steps, by the documented
    reduction."""
    return _equals_reference(case)


@declare(
    family="training",
    source="keras.io/api/models/model_training_apis (sample_weight: 'a 1D array that has the same "
    "length as the input samples (1:1 mapping between weights and samples)', or 'a 2D array with "
    "shape (samples, sequence_length)')",
    applies=lambda case: _referenced(case) and case.sample_weight != "absent",
    choices=("coinciding",),
)
def weights_alignment(case: TrainingCase) -> Plan:
    """A weight of shape `(batch,)` acts on rows, one of shape `(batch, step)` on steps, also
    where sizes coincide."""
    return _equals_reference(case)


def _equals_reference(case: TrainingCase) -> Plan:
    setting = TrainingSetting(case)
    setting.model()
    setting.train("a")
    expected, tolerance = setting.expected()
    said = ~np.isnan(expected)
    if not said.any():
        return Plan(tuple(setting.steps), ())
    what = "metric" if setting.entry.kind == "metrics" else "loss"
    result: Output | Expression = Output("a.metric" if what == "metric" else "a")
    if expected.ndim:
        result = expression("a[said]", a=result, said=literal(said, "said"))
    right = literal(expected[said] if expected.ndim else expected, "expected")
    return Plan(tuple(setting.steps), (Agrees(what, result, right, tolerance),))


@declare(
    family="training",
    source=f"{_GUIDE}: padding is what makes rows as long as the longest of their batch",
    applies=by_valid_steps,
    choices=("inserted", "several"),
)
def training_extension(case: TrainingCase) -> Plan:
    """More padding in a batch changes no loss, no metric, no gradient and no updated weight."""
    setting = TrainingSetting(case)
    setting.model()
    setting.train("a")
    first, *others = (setting.given(k) for k in range(len(case.batches)))
    setting.train("b", _longer(first, case), *others)
    return Plan(tuple(setting.steps), tuple(setting.agree("b", "a", setting.tolerance)))


def _longer(given: Given, case: TrainingCase) -> Given:
    """A batch with masked steps appended to each row: zeros, and weights of 1 or 0."""

    def longer(array: Expression, fill: str) -> Expression:
        width = f"[(0, 0), (0, {case.inserted})] + [(0, 0)] * (a.ndim - 2)"
        return expression(
            f"np.pad(a, {width}, constant_values={fill})", f"{array.hint}_longer", a=array
        )

    weights = given.weights
    if weights is not None and case.sample_weight != "rows":
        weights = longer(weights, "0" if case.mask == "weights" else "1")
    return Given(
        longer(given.inputs, "0"),
        longer(given.labels, "0"),
        None if given.mask is None else longer(given.mask, "False"),
        weights,
    )


@declare(
    family="training",
    source=f"{_GUIDE}; a step without anything valid has nothing to learn from: rule of contracts",
    level="should",
    applies=masked,
    choices=("all masked",),
)
def all_masked(case: TrainingCase) -> Plan:
    """A batch without a valid step gives a finite loss and finite metrics, and leaves the weights
    as they were."""
    setting = TrainingSetting(case)
    setting.model()
    setting.train("a")
    agree = []
    for name, result in setting.results("a").items():
        metric = setting.entry.kind == "metrics"
        if metric and name != "metric":
            continue
        if name.startswith(("gradient", "weights")):
            # Without a valid step there is no gradient; an update by SGD leaves the weights.
            start = setting.drawn[int(name[-1]) % 2].astype("float32")
            start = start if case.way in TRAINS else np.zeros_like(start)
            agree.append(Agrees(name, result, literal(start, "start"), None, "should"))
        else:
            finite = expression("np.isfinite(a).all()", a=result)
            agree.append(Agrees(f"finite {name}", finite, literal(True), None, "should"))
    return Plan(tuple(setting.steps), tuple(agree))


@declare(
    family="training",
    source="SGD updates by the gradient of the loss (keras.io/api/optimizers/sgd), which is over "
    "valid steps",
    of=lambda layer: MEASURES[layer].kind == "losses",
    applies=lambda case: case.trains and by_valid_steps(case) and case.sample_weight != "rows",
)
def training_compaction(case: TrainingCase) -> Plan:
    """One step of plain SGD on a padded batch equals the step that is computed from valid steps
    alone."""
    setting = TrainingSetting(case)
    if not case.valid(0).any():
        return Plan((), ())
    setting.model()
    setting.train("a")
    given, mask = setting.given(), setting.mask()

    def compact(array: Expression) -> Expression:
        return expression("a[mask][None]", f"{array.hint}_valid", a=array, mask=mask)

    weights = given.weights
    setting.train(
        "b",
        Given(
            compact(given.inputs),
            compact(given.labels),
            None if given.mask is None else compact(given.mask),
            None if weights is None else compact(weights),
        ),
    )
    found = setting.agree("a", "b", setting.tolerance)
    kept = [one for one in found if not (setting.unreduced and one.name == "loss")]
    return Plan(tuple(setting.steps), tuple(kept))


def _same_everywhere(case: Any) -> bool:
    return bool(case.mask == "travelling" and case.sample_weight == "absent" and not case.inner)


@declare(
    family="training",
    source=f"{_WEIGHTS} ('When the weights used are ones and zeros, the array can be used as a "
    f"mask for the loss function'); {_GUIDE}: a mask means the same, whichever layer makes it",
    applies=_same_everywhere,
    dear=True,
)
def same_mask_same_loss(case: TrainingCase) -> Plan:
    """The same mask gives the same loss, metric and update, from whichever layer it comes, and
    from weights of zeros and ones where the reduction divides by no count."""
    setting = TrainingSetting(case)
    setting.model()
    setting.train("a")
    agree = []
    metric = setting.entry.kind == "metrics"
    places = range(len(case.batches))
    if setting.entry.activation != "identity":
        setting.model("masking", "masking")
        zeros = [setting.inputs(k, "zeros") for k in places]
        given = (Given(x, setting.labels(k)) for k, x in enumerate(zeros))
        setting.train("b", *given, model="masking")
        agree += [
            Agrees(f"{one.name} by Masking", one.left, one.right, one.tolerance)
            for one in setting.agree("b", "a", setting.tolerance)
        ]
    summed = case.arguments.get("reduction") in ("sum", "mean_with_sample_weight")
    if (case.weighted and metric) or (summed and not metric):
        setting.model("absent", "plain")
        weighted = (
            Given(
                setting.inputs(k),
                setting.labels(k),
                None,
                expression("mask.astype('float32')", "weights", mask=setting.mask(k)),
            )
            for k in places
        )
        setting.train("c", *weighted, model="plain")
        agree += [
            Agrees(f"{one.name} by weights", one.left, one.right, one.tolerance)
            for one in setting.agree("c", "a", setting.tolerance)
        ]
    return Plan(tuple(setting.steps), tuple(agree))
