"""What must hold of losses, metrics and updates under masks: nothing of padding in them."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from catalogue.cases import FINITE_CONTENTS
from catalogue.expressions import Expression, Output, expression, literal
from catalogue.metric_reference import unknown
from catalogue.training import OUTPUTS, STANDING, measure_of
from catalogue.training_cases import TrainingCase
from catalogue.training_steps import Given
from properties.comparisons import Agrees, Comparison, Level, Plan, Raises
from properties.registry import declare
from properties.training_forms import for_all_outputs, in_a_column, many_steps
from properties.training_setting import TrainingSetting, halves, longer, still

__all__ = ["by_valid_steps", "masked"]

_GUIDE = "keras.io/guides/understanding_masking_and_padding"
_WEIGHTS = "keras.io/guides/training_with_built_in_methods (Sample weights)"


def masked(case: TrainingCase) -> bool:
    """Whether some way of masking reaches the loss or metric."""
    if case.mask == "weights" and measure_of(case.measure).kind == "metrics":
        return case.weighted
    return case.mask != "absent"


def by_valid_steps(case: TrainingCase) -> bool:
    """Whether what comes out depends on valid steps and their number alone.

    Where weights of 0 are the mask, a mean divides by all samples, as documented.
    """
    if case.weighs and measure_of(case.measure).kind == "losses":
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
    # Positions of an ignored class may be taken out, so that kernels block the others otherwise.
    taken_out = case.varied == "labels" and case.arguments.get("ignore_class") is not None
    tolerance = setting.tolerance if taken_out else None
    return Plan(tuple(setting.steps), tuple(setting.agree("b", "a", tolerance, level)))


def _known(measure: str) -> bool:
    return measure_of(measure).whole is not unknown


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
    reduction; of thousands of valid steps as well."""
    setting = TrainingSetting(case)
    found = [*_equals_reference(setting), *many_steps(setting)]
    return Plan(tuple(setting.steps), tuple(found))


@declare(
    family="training",
    source="keras.io/api/models/model_training_apis (sample_weight: 'a 1D array that has the same "
    "length as the input samples (1:1 mapping between weights and samples)', or 'a 2D array with "
    "shape (samples, sequence_length)')",
    of=lambda layer: _known(layer) and measure_of(layer).weighable,
    applies=lambda case: _referenced(case) and case.sample_weight != "absent",
    choices=("coinciding",),
    share=2,
)
def weights_alignment(case: TrainingCase) -> Plan:
    """A weight of shape `(batch,)` acts on rows, one of shape `(batch, step)` on steps, also
    where sizes coincide; rows without steps may have it in a column, several outputs one array."""
    setting = TrainingSetting(case)
    found = _equals_reference(setting)
    found += [*in_a_column(setting), *for_all_outputs(setting)]
    return Plan(tuple(setting.steps), tuple(found))


def _equals_reference(setting: TrainingSetting) -> list[Agrees]:
    setting.model()
    setting.train("a")
    metric = setting.entry.kind == "metrics"
    named = {"metric" if metric else "loss": setting.expected()}
    if setting.beside:
        (other,) = setting.beside
        both = {"own": setting.expected(), "other": other.expected()}
        if metric:
            named["other metric"] = both["other"]
        else:
            named = {"loss": setting.total()}
            named |= {f"{which} loss": one for which, one in both.items()}
    results = setting.results("a")
    if setting.case.twin:
        expected, tolerance, results["twin metric"] = setting.twin()
        named["twin metric"] = expected, tolerance
    found = []
    for name, (expected, tolerance) in named.items():
        said = ~np.isnan(expected)
        if not said.any() or name not in results:
            continue
        result = results[name]
        if expected.ndim:  # a loss at each position, or a metric for each threshold
            at = literal(said, "said")
            result = expression("a[said]", a=result if metric else Output("a"), said=at)
        right = literal(expected[said] if expected.ndim else expected, "expected")
        found.append(Agrees(name, result, right, tolerance))
    return found


@declare(
    family="training",
    source=f"{_GUIDE}: padding is what makes rows as long as the longest of their batch",
    applies=by_valid_steps,
    choices=("inserted", "several"),
    share=2,
)
def training_extension(case: TrainingCase) -> Plan:
    """More padding in a batch changes no loss, no metric, no gradient and no updated weight."""
    # The loss that a metric stands beside divides by all steps where weights are the mask.
    setting = TrainingSetting(still(case) if case.weighs else case)
    setting.model()
    setting.train("a")
    first, *others = (setting.given(k) for k in range(len(case.batches)))
    setting.train("b", longer(first, case), *others)
    return Plan(tuple(setting.steps), tuple(setting.agree("b", "a", setting.tolerance)))


def _regrouped(case: TrainingCase) -> bool:
    fits = case.pooled or (case.sample_weight != "rows" and not case.inner)
    return bool(fits and case.reduction is not None)


@declare(
    family="training",
    source="keras.io/api/models/model_training_apis (evaluate: 'Computation is done in batches'); "
    "keras.io/api/metrics (metrics are computed over all samples that they have seen)",
    level="should",
    of=lambda layer: layer in STANDING,  # what adds batches up is the same code for others
    applies=_regrouped,
    share=4,
)
def training_grouping(case: TrainingCase) -> Plan:
    """Whatever batches rows are grouped into, metrics are the same, and the loss is the mean of
    the batches' losses, each counted by its rows."""
    if case.way != "evaluate":  # in training the second batch would meet other weights
        case = msgspec.structs.replace(case, way="test step", nest="list")
    setting = TrainingSetting(case)
    rows = case.batches[0].batch
    if rows == 1:
        return Plan((), ())
    setting.model()
    half = rows // 2
    parts = halves(setting)
    setting.train("a")
    setting.train("b", *parts)
    setting.train("first", parts[0])
    setting.train("second", parts[1])
    found = []
    results = {name: setting.results(name) for name in ("a", "b", "first", "second")}
    for name, left in results["b"].items():
        right = results["a"][name]
        if not name.endswith("metric"):
            if setting.entry.kind == "metrics":
                continue
            right = expression(
                f"({half} * a + {rows - half} * b) / {rows}",
                a=results["first"][name],
                b=results["second"][name],
            )
        found.append(Agrees(name, left, right, setting.tolerance))
    return Plan(tuple(setting.steps), tuple(found))


@declare(
    family="training",
    source=f"{_GUIDE}; a step without anything valid has nothing to learn from: rule of contracts",
    level="should",
    of=lambda layer: layer != "metric R2Score",  # of less than two samples there is no variance
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
        if name.startswith(("other", "own")):
            continue  # there may be valid steps elsewhere
        if name.startswith(("gradient", "weights")):
            if case.pooled:
                continue  # rows count, whatever of them is masked
            # Without a valid step there is no gradient; an update by SGD leaves the weights.
            start = literal(setting.started(int(name[-1]) % 2), "start")
            tolerance = setting.tolerance if case.penalized else None
            agree.append(Agrees(name, result, start, tolerance, "should"))
        else:
            # Zero where it is finite, so that a comparison shows what it is where it is not.
            held = expression("np.where(np.isfinite(a), 0, a)", a=result)
            zeros = expression("np.zeros(np.shape(a))", a=result)
            agree.append(Agrees(f"finite {name}", held, zeros, None, "should"))
    return Plan(tuple(setting.steps), tuple(agree))


@declare(
    family="training",
    source="SGD updates by the gradient of the loss (keras.io/api/optimizers/sgd), which is over "
    "valid steps",
    of=lambda layer: measure_of(layer).kind == "losses" and measure_of(layer).stepped,
    applies=lambda case: (
        case.trains and by_valid_steps(case) and all(map(_compactable, (case, *case.beside)))
    ),
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
    setting.train("b", tuple(map(_compact, setting.batch(setting.given()), setting.masks())))
    found = setting.agree("a", "b", setting.tolerance)
    kept = [one for one in found if not (setting.unreduced and one.name == "loss")]
    return Plan(tuple(setting.steps), tuple(kept))


def _compactable(case: TrainingCase) -> bool:
    """Whether valid steps can be given by themselves, all in one row."""
    by_steps = by_valid_steps(case) or case.mask == "absent"
    return by_steps and case.sample_weight != "rows" and not case.pooled


def _compact(given: Given, mask: Expression) -> Given:
    """The valid steps alone, of all rows in a row."""

    def compact(array: Expression) -> Expression:
        return expression("a[mask][None]", f"{array.hint}_valid", a=array, mask=mask)

    return Given(
        compact(given.inputs),
        compact(given.labels),
        None if given.mask is None else compact(given.mask),
        None if given.weights is None else compact(given.weights),
    )


def _same_everywhere(case: Any) -> bool:
    plain = case.sample_weight == "absent" and not case.inner and not case.pooled
    return bool(case.mask == "travelling" and plain and case.way != "mask as weights")


@declare(
    family="training",
    source=f"{_WEIGHTS} ('When the weights used are ones and zeros, the array can be used as a "
    f"mask for the loss function'); {_GUIDE}: a mask means the same, whichever layer makes it",
    of=lambda layer: measure_of(layer).activation != "identity" and measure_of(layer).stepped,
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
    setting.train("b", *given, model="masking", eager=True)
    agree += [
        Agrees(f"{one.name} by Masking", one.left, one.right, one.tolerance)
        for one in setting.agree("b", "a", setting.tolerance)
    ]
    summed = case.reduction in ("sum", "mean_with_sample_weight")
    weighs = (case.weighted and metric) or (summed and not metric)
    if weighs and case.nest == "list":  # by names weights are another matter
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
        setting.train("c", *weighted, model="plain", eager=True)
        agree += [
            Agrees(f"{one.name} by weights", one.left, one.right, one.tolerance)
            for one in setting.agree("c", "a", setting.tolerance)
        ]
    return Plan(tuple(setting.steps), tuple(agree))


# -- weights that fit, and those that do not -------------------------------------------------

_FIT = (
    "keras.io/api/models/model_training_apis (sample_weight: as long as the inputs, or of shape "
    "(samples, sequence_length)"
)


@declare(
    family="training",
    source=f"{_FIT}); a shape that fits no documented form is refused, never broadcast or cut",
    level="should",
    of=lambda layer: (
        layer not in OUTPUTS and measure_of(layer).stepped and measure_of(layer).weighable
    ),
    applies=lambda case: (
        not (case.inner or case.pooled or case.beside)
        and not case.way.endswith(("on_batch", "fit", "evaluate"))
    ),
    share=8,  # what multiplies weights is the same code for all
    dear=True,  # each shape is traced anew
    kinds=("single step",),  # of which more are broadcast
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
        step = setting.train(
            what,
            Given(given.inputs, given.labels, given.mask, weights),
            eager=case.measure not in STANDING,
        )
        found.append(Raises(f"too many {what}", step.name, (), "should"))
    return Plan(tuple(setting.steps), tuple(found))
