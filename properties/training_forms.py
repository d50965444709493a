"""Other forms of what training is given: weights in a column, or one array for all outputs."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np

from catalogue.expressions import expression, literal
from catalogue.training import STANDING
from catalogue.training_cases import LOOPS, TRAINS, TrainingCase, Way, without_axis
from catalogue.training_steps import Given
from properties.comparisons import Agrees
from properties.training_setting import TrainingSetting

__all__ = ["for_all_outputs", "in_a_column", "many_steps", "traced_step"]


def traced_step(case: TrainingCase) -> Way:
    """The step that does what a method does: methods take no weights of another rank."""
    if case.way in LOOPS:
        return case.way
    return "train step" if case.way in TRAINS else "test step"


def in_a_column(setting: TrainingSetting) -> list[Agrees]:
    """Weights of shape `(batch, 1)` weigh rows without steps as those of `(batch,)` do in step `a`.

    Keras 2 documents it (tf.keras.losses.Loss: of a sample_weight whose shape 'can be broadcasted'
    to that of the losses), as pages of metrics do ('the same rank as y_true, and must be
    broadcastable to y_true').
    """
    case, given = setting.case, setting.given()
    weighed = case.pooled and case.sample_weight == "rows"
    if not weighed or setting.beside:
        return []
    assert given.weights is not None
    column = expression("w[:, None]", "w_column", w=given.weights)
    # A function that has been traced for one rank is traced for any next.
    setting.model(name="other_model")
    setting.train(
        "column",
        dataclasses.replace(given, weights=column),
        model="other_model",
        way=traced_step(case),
        eager=case.measure not in STANDING,
    )
    found = []
    for one in setting.agree("column", "a", setting.tolerance, "should"):
        left = one.left
        if setting.unreduced and one.name == "loss":
            left = expression("a.ravel()", a=left)  # losses may stand in a column as well
        found.append(dataclasses.replace(one, name=f"{one.name}, weights in a column", left=left))
    return found


def for_all_outputs(setting: TrainingSetting) -> list[Agrees]:
    """A single array of weights of rows weighs the rows of each output, in its loss and metric.

    Its outputs have lost their steps, so that each takes weights of rows.
    """
    replace = msgspec.structs.replace
    if not setting.beside:
        return []
    metric = setting.entry.kind == "metrics"

    def rows_of(case: TrainingCase) -> TrainingCase:
        return replace(
            case,
            pooled=True,
            mask="travelling",
            policy="float32",
            weighted=metric,
            penalty=False,
            arguments=without_axis(case.arguments),
            beside=tuple(map(rows_of, case.beside)),
        )

    own = replace(setting.case, way="test step", nest="list", sample_weight="rows")
    others = tuple(replace(one, way="test step", sample_weight="absent") for one in own.beside)
    rows = TrainingSetting(rows_of(replace(own, beside=others)))
    (other,) = rows.beside
    rows.model(name="rows")
    given = dataclasses.replace(rows.given(), for_all=True)
    assert given.weights is not None
    rows.train("for_all", given, model="rows", eager=True)
    setting.steps += rows.steps
    named = {"own": rows.expected(given.weights), "other": other.expected(given.weights)}
    if metric:
        named = {"metric": named["own"], "other metric": named["other"]}
    else:
        named = {f"{which} loss": one for which, one in named.items()}
        named["loss"] = rows.total(given.weights)
    results = rows.results("for_all")
    return [
        Agrees(
            f"{name}, one array for all",
            results[name],
            literal(expected, "expected"),
            tolerance,
            "should",
        )
        for name, (expected, tolerance) in named.items()
        if not np.isnan(expected)
    ]


_ROWS, _STEPS, _VALID = 2, 2400, 4099  # more than half precision counts, and no number that it has


def many_steps(setting: TrainingSetting) -> list[Agrees]:
    """Of thousands of valid steps that each have a loss of 1 the mean is 1."""
    case, entry = setting.case, setting.entry
    plain = case.sample_weight == "absent" and case.mask == "travelling" and case.way in _TRACED
    if entry.cls != "MeanSquaredError" or setting.beside or not plain:
        return []
    if case.inner or case.pooled or case.policy != "float32" or case.reduction in (None, "sum"):
        return []
    shape = (_ROWS, _STEPS)
    mask = expression(f"(np.arange({_ROWS * _STEPS}) < {_VALID}).reshape({shape})", "many")
    inputs = expression(f"np.zeros({(*shape, *setting.rest)}, 'float32')", "x_many")
    # Inputs of zeros leave the bias: whole numbers add up exactly.
    one_more = literal(setting.drawn[1].astype("float32") + np.float32(1), "one_more")
    labels = expression(f"np.tile(y, {(*shape, 1)})", "y_many", y=one_more)
    setting.train("many", Given(inputs, labels, mask))
    expected = literal(np.asarray(1.0 + setting.penalty), "expected")
    name = "metric" if entry.kind == "metrics" else "loss"
    tolerance = dataclasses.replace(setting.tolerance, terms=64)
    found = setting.results("many")[name]
    return [Agrees(f"{name} of many steps", found, expected, tolerance)]


_TRACED = ("train step", "test step", "custom loop", "compute_loss")
