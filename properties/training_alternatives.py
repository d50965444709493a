"""What losses and metrics give instead, where a known deviation departs from a property."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from catalogue.expressions import Expression, Output, expression, literal
from catalogue.training import STANDING
from catalogue.training_cases import TrainingCase
from catalogue.training_steps import Given
from properties.comparisons import Agrees, Plan
from properties.training_forms import traced_step
from properties.training_labels import with_other_labels
from properties.training_setting import TrainingSetting, halves, longer, still
from properties.training_weights import rows_and_square

__all__ = ["TRAINING_ALTERNATIVES"]


def _variants(setting: TrainingSetting) -> dict[str, tuple[Given, ...]]:
    """The batches that a property gives: the case's own, with other content, with more steps.

    A pipeline does not pad the last ones: what it would put behind a row need not be what is there.
    """
    case = setting.case
    places = range(len(case.batches))
    own = tuple(map(setting.given, places))
    found = {"own": own}
    if case.varied is not None and case.other is not None:
        found["other"] = tuple(setting.given(k, **{case.varied: case.other}) for k in places)
    if case.inserted:
        appended = dataclasses.replace(longer(own[0], case), lengths=())
        found["longer"] = (appended, *own[1:])
    return found


def padding_counted_as_valid(case: TrainingCase) -> Plan:
    """The metric is what it is of the same model without any mask."""
    return _as_without_mask(case, lambda weighed: True)


def padding_counted_where_nothing_is_weighed(case: TrainingCase) -> Plan:
    """A metric that is given no weights is what it is of the same model without any mask."""
    return _as_without_mask(case, lambda weighed: not weighed)


def _as_without_mask(case: TrainingCase, counts: Callable[[bool], bool]) -> Plan:
    setting = TrainingSetting(still(case))
    setting.model()
    setting.model("absent", "plain")
    agree = []
    for name, batches in _variants(setting).items():
        setting.train(name, *batches)
        unmasked = (dataclasses.replace(one, mask=None) for one in batches)
        setting.train(f"{name}_plain", *unmasked, model="plain", way=traced_step(setting.case))
        weights = setting.case.sample_weight != "absent"
        if counts(weights and case.weighted):
            agree += _same_metric(setting, name, f"{name}_plain")
        if case.twin and counts(weights and not case.weighted):
            *_, twin = setting.twin()
            left, right = (Output(f"{one}.metric", twin.index) for one in (name, f"{name}_plain"))
            agree.append(Agrees("twin metric", left, right, setting.tolerance))
    return Plan(tuple(setting.steps), tuple(agree))


def weights_cut_to_whole_numbers(case: TrainingCase) -> Plan:
    """The metric is what it is with weights of samples without their fractions."""
    return _with_weights(case, lambda weights, given: expression("np.trunc(w)", w=weights))


def weights_of_rows_on_steps(case: TrainingCase) -> Plan:
    """All is as with weights of steps, that of a row beside each row's step of the same number.

    Where there is a single step, rows are weighed by all rows' weights, each in turn.
    """

    def broadcast(weights: Expression, given: Given) -> Expression:
        shape = "np.broadcast_shapes(m.shape[:2], w.shape)"
        return expression(f"np.broadcast_to(w, {shape})", "w_behind", w=weights, m=given.inputs)

    return _with_weights(case, broadcast)


def _with_weights(case: TrainingCase, change: Callable[[Expression, Given], Expression]) -> Plan:
    """All is as with other weights of samples."""
    setting = TrainingSetting(still(case))
    setting.model()
    agree = []
    for name, batches in _variants(setting).items():
        setting.train(name, *batches)
        changed = []
        for one in batches:
            assert one.weights is not None
            changed.append(dataclasses.replace(one, weights=change(one.weights, one)))
        setting.train(f"{name}_changed", *changed, way=traced_step(setting.case))
        agree += setting.agree(name, f"{name}_changed", setting.tolerance)
    return Plan(tuple(setting.steps), tuple(agree))


def masks_multiplied_last_axes_side_by_side(case: TrainingCase) -> Plan:
    """All is as without a mask, weights times the mask in place of weights, as NumPy has it."""
    setting = TrainingSetting(still(case))
    setting.model()
    setting.model("absent", "plain")
    mean = case.reduction == "sum_over_batch_size"
    agree = []
    for name, batches in _variants(setting).items():
        setting.train(name, *batches)
        changed = []
        for place, one in enumerate(batches):
            # Of a longer batch too: what was appended is masked.
            mask = expression(
                "np.pad(m, [(0, 0), (0, x.shape[1] - m.shape[1])])",
                m=setting.mask(place),
                x=one.inputs,
            )
            # Means count valid positions: each has the share of all that they leave.
            factor = " * (m.size / max(m.sum(), 1))" if mean else ""
            operands = {"m": mask}
            text = f"(m{factor})"
            if one.weights is not None:
                operands["w"] = one.weights
                text += " * w"
            if setting.entry.kind == "losses":
                # Like a tensor of the losses' own shape, whatever axes that makes.
                lead = (*case.lead(place)[:1], one.inputs.value().shape[1], *case.lead(place)[2:])
                text = f"np.broadcast_to({text}, np.broadcast_shapes({text}.shape, {lead}))"
            weights = expression(f"({text}).astype('float32')", "w_masked", **operands)
            changed.append(dataclasses.replace(one, mask=None, weights=weights))
        setting.train(f"{name}_changed", *changed, model="plain", way=traced_step(setting.case))
        agree += setting.agree(name, f"{name}_changed", setting.tolerance)
    return Plan(tuple(setting.steps), tuple(agree))


def batches_counted_by_their_share_of_valid_steps(case: TrainingCase) -> Plan:
    """The metric of several batches is the mean of theirs, each by its weights over its steps."""
    setting = TrainingSetting(still(case))
    setting.model()
    root = setting.entry.cls == "RootMeanSquaredError"
    agree = []
    for name, batches in _variants(setting).items():
        setting.train(name, *batches)
        shares: list[float] = []
        metrics: dict[str, Any] = {}
        for place, one in enumerate(batches):
            setting.train(
                f"{name}_{place}", setting.batch(one, place), way=traced_step(setting.case)
            )
            metrics[f"m{place}"] = Output(f"{name}_{place}.metric", setting.metric)
            shares.append(_share(setting, place, one))
        each = [f"m{place} ** 2" if root else f"m{place}" for place in range(len(batches))]
        total = sum(shares)
        terms = " + ".join(
            f"{share / total!r} * {text}" for share, text in zip(shares, each, strict=True)
        )
        mean = f"np.sqrt({terms})" if root else terms
        right = expression(mean, **metrics)
        result = setting.results(name)["metric"]
        agree.append(Agrees("metric", result, right, setting.tolerance))
    return Plan(tuple(setting.steps), tuple(agree))


def _share(setting: TrainingSetting, place: int, given: Given) -> float:
    """The weights of a batch's valid steps, by the number of its steps."""
    mask = setting.case.valid(place)
    weights = mask.astype(float)
    if given.weights is not None and setting.case.weighted:
        found = given.weights.value()
        if found.ndim > 1:
            weights = np.where(mask, found[:, : mask.shape[1]], 0)
        elif len(found) in (1, mask.shape[1]):  # those of rows act on steps, or on all of one row
            weights = np.where(mask, found, 0)
    return float(weights.sum()) / int(given.inputs.value().shape[1])


def _same_metric(setting: TrainingSetting, left: str, right: str) -> list[Agrees]:
    ones, others = setting.results(left), setting.results(right)
    return [Agrees("metric", ones["metric"], others["metric"], setting.tolerance)]


def batches_of_any_rows_counted_alike(case: TrainingCase) -> Plan:
    """The loss of each output is the plain mean of what it is in the batches by themselves."""
    setting = TrainingSetting(msgspec.structs.replace(case, way="test step", nest="list"))
    setting.model()
    parts = halves(setting)
    setting.train("b", *parts)
    for name, part in zip(("first", "second"), parts, strict=True):
        setting.train(name, part)
    agree = []
    for name, found in setting.results("b").items():
        if name.endswith(" loss"):
            first, second = (setting.results(one)[name] for one in ("first", "second"))
            mean = expression("(first + second) / 2", first=first, second=second)
            agree.append(Agrees(name, found, mean, setting.tolerance))
    return Plan(tuple(setting.steps), tuple(agree))


def weights_of_more_steps_repeat_the_loss(case: TrainingCase) -> Plan:
    """The loss is that of weights of a half, as often as weights are repeated."""
    batch, steps = case.lead(0)[:2]
    return _repeated(case, (batch, steps + 1))


def weights_of_units_repeat_the_loss(case: TrainingCase) -> Plan:
    """The loss is that of weights of a half, as often as weights are repeated."""
    return _repeated(case, (*case.lead(0)[:2], case.units))


def _repeated(case: TrainingCase, shape: tuple[int, ...]) -> Plan:
    setting = TrainingSetting(still(case))
    setting.model()
    given = setting.given()
    half = expression(f"np.full({shape}, 0.5, 'float32')", "weights")
    eager = case.measure not in STANDING
    setting.train("a", dataclasses.replace(given, weights=half), eager=eager)
    setting.train("plain", dataclasses.replace(given, weights=None), eager=eager)
    if setting.unreduced:
        return Plan(tuple(setting.steps), ())
    # Of a metric's model the loss has the reduction of every loss.
    reduction = case.reduction if setting.entry.kind == "losses" else "sum_over_batch_size"
    repeated = math.prod(np.broadcast_shapes(shape, case.lead(0)))
    factor = 0.5
    if reduction == "mean_with_sample_weight":
        # Divided by the sum of the weights as given, or as a mask has stretched them.
        factor = 1.0 if case.mask in ("travelling", "masking") else repeated / math.prod(shape)
    elif reduction == "sum":
        factor = 0.5 * repeated / math.prod(case.lead(0))
    penalty = setting.penalty
    plain = expression(f"{factor!r} * (a - {penalty!r}) + {penalty!r}", a=Output("plain"))
    return Plan(tuple(setting.steps), (Agrees("loss", Output("a"), plain, setting.tolerance),))


def rows_weighed_by_columns_of_the_mask(case: TrainingCase) -> Plan:
    """The number of a row counts as often as the step of its number is valid in all rows."""
    settings = rows_and_square(case)
    setting = settings["square"]
    weights = setting.weights()
    rows = setting.of_rows()
    valid = setting.case.valid(0)
    factors = (valid * (1 if weights is None else weights.value())).sum(0)
    total = (rows * factors).sum()
    if setting.case.reduction != "sum":
        by_weights = setting.case.reduction == "mean_with_sample_weight"
        total = total / (factors.sum() if by_weights else valid.sum())
    right = literal(np.float64(total + setting.penalty), "expected")
    loss = setting.results("square")["loss"]
    found = Agrees("loss, square", loss, right, setting.tolerance)
    return Plan((*settings["drawn"].steps, *setting.steps), (found,))


def labels_without_units_averaged_over_steps(case: TrainingCase) -> Plan:
    """A row has the mean of its steps, masked or not, and weights are multiplied by that."""
    setting = with_other_labels(case)
    values, mask, weights = setting.of_rows(), setting.case.valid(0), setting.weights()
    found = []
    for step, name, rows in (("b", "loss", slice(None)), ("b_first", "loss of one row", slice(1))):
        each, factors = values[rows].mean(axis=1), np.ones(())
        if case.mask in ("travelling", "masking"):
            factors = mask[rows].astype(float)
            if case.reduction == "sum_over_batch_size" and factors.any():
                factors *= factors.size / factors.sum()
        weighed = np.ones(()) if weights is None else weights.value()[rows]
        try:
            total = (each * factors * weighed).sum()
        except ValueError:
            continue  # these do not fit, and are refused
        factors = factors * weighed
        if case.reduction != "sum":
            by_weights = case.reduction == "mean_with_sample_weight"
            count = factors.sum() if by_weights else (each * factors).size
            total = total / count if count else 0.0
        right = literal(np.float64(total), "expected")
        found.append(Agrees(name, Output(step), right, setting.tolerance))
    return Plan(tuple(setting.steps), tuple(found))


def arguments_forgotten_in_files(case: TrainingCase) -> Plan:
    """A model that was saved and loaded is one whose loss has but its reduction from its user."""
    case = msgspec.structs.replace(case, way="train step" if case.trains else "test step")
    kept = {name: one for name, one in case.arguments.items() if name == "reduction"}
    setting = TrainingSetting(case)
    setting.model(name="loaded", saved=True)
    setting.train("b", model="loaded", eager=True)
    plain = TrainingSetting(msgspec.structs.replace(case, arguments=kept))
    plain.model(name="plain")
    setting.steps += plain.steps
    setting.train("c", model="plain", eager=True)
    return Plan(tuple(setting.steps), tuple(setting.agree("b", "c", setting.tolerance)))


TRAINING_ALTERNATIVES: dict[str, Callable[[TrainingCase], Plan]] = {
    function.__name__.replace("_", " "): function
    for function in (
        padding_counted_as_valid,
        padding_counted_where_nothing_is_weighed,
        weights_cut_to_whole_numbers,
        weights_of_rows_on_steps,
        masks_multiplied_last_axes_side_by_side,
        batches_counted_by_their_share_of_valid_steps,
        batches_of_any_rows_counted_alike,
        weights_of_more_steps_repeat_the_loss,
        weights_of_units_repeat_the_loss,
        arguments_forgotten_in_files,
        rows_weighed_by_columns_of_the_mask,
        labels_without_units_averaged_over_steps,
    )
}
