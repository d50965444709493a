"""What must hold of losses, metrics and updates under masks: nothing of padding in them."""

from __future__ import annotations

from typing import Any

import numpy as np

from catalogue.cases import FINITE_CONTENTS
from catalogue.expressions import Expression, Output, expression, literal
from catalogue.training import MEASURES
from catalogue.training_cases import TRAINS, TrainingCase, Way
from catalogue.training_reference import unknown
from catalogue.training_steps import Given
from properties.comparisons import Agrees, Comparison, Level, Plan, Raises
from properties.registry import declare
from properties.training_setting import TrainingSetting

__all__ = ["by_valid_steps", "masked"]

_GUIDE = "keras.io/guides/understanding_masking_and_padding"
_WEIGHTS = "keras.io/guides/training_with_built_in_methods (Sample weights)"


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
        return case.reduction in ("sum", "mean_with_sample_weight")
    return masked(case)


@declare(
    family="training",
    source=f"{_GUIDE} ('certain timesteps in an input are missing, and thus should be skipped'); "
    f"{_WEIGHTS} ('entirely discarding the contribution of certain samples to the total loss')",
    applies=masked,
    choices=("other",),
    share=2,
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


def _known(measure: str) -> bool:
    return MEASURES[measure].whole is not unknown


def _referenced(case: TrainingCase) -> bool:
    # Predictions of float16 round before anything is computed from them.
    return case.policy == "float32"


@declare(
    family="training",
    source="keras.io/api/losses (reduction); the page of the loss or metric; the guide on masking",
    of=_known,
    applies=_referenced,
    share=2,
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
    of=_known,
    applies=lambda case: _referenced(case) and case.sample_weight != "absent",
    choices=("coinciding",),
    share=2,
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
    share=2,
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
    share=2,
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
    choices=("ragged",),
    share=2,
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
    of=lambda layer: MEASURES[layer].activation != "identity",
    applies=_same_everywhere,
    choices=("ragged",),
    dear=True,
    share=2,
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
    setting.model("masking", "masking")
    zeros = [setting.inputs(k, "zeros") for k in places]
    given = (Given(x, setting.labels(k)) for k, x in enumerate(zeros))
    setting.train("b", *given, model="masking")
    agree += [
        Agrees(f"{one.name} by Masking", one.left, one.right, one.tolerance)
        for one in setting.agree("b", "a", setting.tolerance)
    ]
    summed = case.reduction in ("sum", "mean_with_sample_weight")
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


# -- weights that fit, and those that do not -------------------------------------------------

_CLASSES = (0.5, 2.0, 1.25)  # the weights of classes 0, 1 and 2
_FIT = (
    "keras.io/api/models/model_training_apis (sample_weight: as long as the inputs, or of shape "
    "(samples, sequence_length)"
)


@declare(
    family="training",
    source=f"{_FIT}); a shape that fits no documented form is refused, never broadcast or cut",
    level="should",
    applies=lambda case: not case.inner and not case.way.endswith(("on_batch", "fit", "evaluate")),
    share=4,  # what multiplies weights is the same code for all
    dear=True,  # each shape is traced anew
)
def misfit_refused(case: TrainingCase) -> Plan:
    """Sample weights for more steps than there are, or with an axis too many, are refused."""
    setting = TrainingSetting(case)
    batch, steps = case.lead(0)[:2]
    setting.model()
    given = setting.given()
    shapes: dict[str, tuple[int, ...]] = {"steps": (batch, steps + 1)}
    if case.units > 1:
        shapes["axes"] = (batch, steps, case.units)
    found: list[Comparison] = []
    for what, shape in shapes.items():
        weights = expression(f"np.full({shape}, 0.5, 'float32')", f"weights_{what}")
        step = setting.train(what, Given(given.inputs, given.labels, given.mask, weights))
        found.append(Raises(f"too many {what}", step.name, (), "should"))
    return Plan(tuple(setting.steps), tuple(found))


def _has_classes(case: Any) -> bool:
    entry = MEASURES[case.measure]
    classes = case.units == 1 if entry.labels == "binary" else entry.labels in ("one-hot", "sparse")
    fits = case.reduction is not None and not case.inner
    plain = case.policy == "float32" and case.sample_weight == "absent"
    return bool(classes and fits and plain and case.mask != "weights")


@declare(
    family="training",
    source="keras.io/api/models/model_training_apis (class_weight: 'a weight to apply to the "
    "model's loss for the samples from this class'; of a rank of 2 or more labels are one-hot or "
    "have a last dimension of 1)",
    of=lambda layer: (
        MEASURES[layer].kind == "losses"
        and MEASURES[layer].labels in ("one-hot", "sparse", "binary")
    ),
    applies=_has_classes,
    choices=("ragged",),
    dear=True,
    share=2,
)
def class_weights(case: TrainingCase) -> Plan:
    """A class weight acts on the steps that have its label, as a sample weight of that step
    does."""
    setting = TrainingSetting(case)
    setting.model()
    given, entry = setting.given(labels="zeros"), setting.entry
    labels = given.labels
    numbers = labels
    if entry.labels == "sparse":
        labels = expression("y[..., None]", "y_last", y=labels)
    elif entry.labels == "one-hot":
        numbers = expression("y.argmax(-1)", y=labels)
    else:
        numbers = expression("y[..., 0].astype(int)", y=labels)
    each = _CLASSES[: max(2, case.units)]
    weights = expression(f"np.float32({each})[numbers]", "weights", numbers=numbers)
    setting.train("b", Given(given.inputs, labels, given.mask, weights), way="train step")
    expected, tolerance = setting.expected(weights)
    ways: tuple[Way, ...] = ("fit", "train_on_batch")
    found = []
    for way in ways:
        plain = Given(given.inputs, labels, given.mask)
        setting.train(way, plain, way=way, class_weight=each)
        if not np.isnan(expected):
            right = literal(expected, "expected")
            found.append(Agrees(f"loss of {way}", Output(way), right, tolerance))
        for k in range(2):
            left, right_ = Output(f"{way}.state", k), Output("b.state", k)
            found.append(Agrees(f"weights {k} of {way}", left, right_, setting.tolerance))
    return Plan(tuple(setting.steps), tuple(found))
