"""What must hold of what methods of a model do besides: epochs, validation, classes, files."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import numpy as np

from catalogue.expressions import Expression, Output, expression, literal
from catalogue.training import OUTPUTS, STANDING, measure_of
from catalogue.training_cases import LOOPS, TrainingCase, Way, split_apart
from catalogue.training_steps import Compiled, Form, Given
from properties.comparisons import Agrees, Plan
from properties.registry import declare
from properties.training_setting import TrainingSetting, halves

__all__: list[str] = []

_APIS = "keras.io/api/models/model_training_apis"


def _plain(case: Any) -> bool:
    """Whether one number comes out in float32, and what has fewer axes than a loss, or is given by
    name, is no matter."""
    weighed = case.pooled or case.sample_weight != "rows"
    number = case.reduction is not None and case.policy == "float32"
    return bool(not case.inner and weighed and case.nest == "list" and number)


def _stands(layer: str) -> bool:
    """Whether a measure stands for others, and its model has weights."""
    return layer in STANDING and measure_of(layer).activation != "identity"


# -- files -----------------------------------------------------------------------------------


@declare(
    family="training",
    source="keras.io/guides/serialization_and_saving (what `compile` was given is saved with the "
    "model, and a loaded one 'can be used to resume training')",
    applies=_plain,
    choices=("ragged",),  # of a single step all reductions are alike
    dear=True,
)
def saved_training(case: TrainingCase) -> Plan:
    """A compiled model that was saved and loaded has the same loss and metrics, and learns the
    same."""
    case = msgspec.structs.replace(case, way="train step" if case.trains else "test step")
    setting = TrainingSetting(case)
    setting.model()
    setting.train("a", eager=True)
    setting.model(name="loaded", saved=True)
    setting.train("b", model="loaded", eager=True)
    return Plan(tuple(setting.steps), tuple(setting.agree("b", "a", setting.tolerance)))


# -- epochs and validation -------------------------------------------------------------------


@declare(
    family="training",
    source=f"{_APIS} (fit: 'epochs: ... an iteration over the entire x and y data provided'; "
    "'validation_data: data on which to evaluate the loss and any model metrics at the end of each "
    "epoch', to which 'validation_split' sets 'the last samples' apart)",
    of=_stands,
    applies=_plain,
    choices=("ragged",),
    dear=True,
)
def epochs_and_validation(case: TrainingCase) -> Plan:
    """`fit` counts each epoch by itself, and masks and weighs what it validates on as a test
    step does: a dataset, or rows of arrays that it sets apart; so does `evaluate` with arrays."""
    arrays = split_apart(case)
    case = msgspec.structs.replace(case, way="fit")
    rows = case.batches[0].batch
    if rows == 1:
        return Plan((), ())
    setting = TrainingSetting(case)
    setting.model()
    whole = setting.batch(setting.given())
    first, second = halves(setting)
    for name, batches in (("a", (first, first)), ("after", (first, first, second))):
        setting.train(name, *batches, way="train step", afresh=True)
    if arrays:
        setting.train("b", whole, epochs=2, split=rows // 2)
    else:
        setting.train("b", first, epochs=2, validation=(second,))
    metric = setting.entry.kind == "metrics"
    evaluated = []
    if arrays:
        setting.train("tested", whole, way="test step", eager=True)
        setting.train("evaluated", whole, way="evaluate", form="arrays")
        evaluated = [
            dataclasses.replace(one, name=f"{one.name}, arrays evaluated")
            for one in setting.agree("evaluated", "tested", setting.tolerance)
            if "weights" not in one.name
        ]
    after = setting.results("after")["metric" if metric else "loss"]
    validated = Output("b.validation", 1 + setting.metric if metric else 0)
    validation = Agrees("validation", validated, after, setting.tolerance)
    found = setting.agree("b", "a", setting.tolerance)
    return Plan(tuple(setting.steps), (*found, validation, *evaluated))


# -- ways to compile -------------------------------------------------------------------------


@declare(
    family="training",
    source=f"{_APIS} (compile: 'run_eagerly', 'jit_compile: whether to use XLA compilation when "
    "compiling a model'; 'steps_per_execution: the number of batches to run "
    "during each single compiled function call')",
    of=_stands,
    applies=_plain,
    choices=("ragged",),
    dear=True,
)
def compiled_alike(case: TrainingCase) -> Plan:
    """However a model is compiled, it has the same loss and metrics, and learns the same: for
    eager calls, by XLA, or to run several batches at once.

    XLA may refuse ("may not necessarily work for all models", says Keras 2 of `jit_compile`).
    """
    case = msgspec.structs.replace(case, way="fit" if case.trains else "evaluate")
    if case.batches[0].batch == 1:
        return Plan((), ())
    setting = TrainingSetting(case)
    batches = halves(setting)
    setting.model()
    setting.train("a", *batches)
    found = []
    ways: tuple[tuple[str, Compiled], ...] = (
        ("eager", "eagerly"),
        ("xla", "by XLA"),
        ("twos", "two batches at once"),
    )
    for name, compiled in ways:
        setting.model(name=f"{name}_model", compiled=compiled)
        setting.train(name, *batches, model=f"{name}_model")
        found += [
            dataclasses.replace(
                one,
                name=f"{one.name}, {compiled}",
                refusable=compiled == "by XLA",
                refusals=("InvalidArgumentError",),
            )
            for one in setting.agree(name, "a", setting.tolerance)
        ]
    return Plan(tuple(setting.steps), tuple(found))


# -- ways to give batches ----------------------------------------------------------------------

# Each is traced anew, and what counts batches is the same code for all.
_GIVEN = ("MeanSquaredError", "metric RootMeanSquaredError", "two outputs")


@declare(
    family="training",
    source=f"{_APIS} (fit and evaluate: x 'could be ... a tf.data.Dataset ... a Python generator "
    "function yielding (inputs, targets)'; test_on_batch: 'Test the model on a single batch of "
    "samples')",
    of=lambda layer: layer in _GIVEN,
    applies=_plain,
    choices=("ragged",),
    dear=True,
    share=8,
)
def given_alike(case: TrainingCase) -> Plan:
    """However batches are given, loss and metrics are the same: in a dataset of which nobody knows
    how many there are, by a generator or a PyDataset, or one after the other by `test_on_batch`."""
    case = msgspec.structs.replace(case, way="fit" if case.trains else "evaluate")
    if case.batches[0].batch == 1:
        return Plan((), ())
    setting = TrainingSetting(case)
    first, second = halves(setting)
    setting.model()
    setting.train("a", first, first)
    found = []
    forms: tuple[tuple[Form, str], ...] = (
        ("uncounted", "of unknown number"),
        ("generator", "by a generator"),
        ("PyDataset", "by a PyDataset"),
    )
    setting.model(name="fresh", compiled="afresh")  # one traced for any sizes looks at no others
    for form, what in forms:
        setting.train(form, first, first, form=form, model="fresh")
        found += [
            dataclasses.replace(one, name=f"{one.name}, {what}")
            for one in setting.agree(form, "a", setting.tolerance)
        ]
    setting.train("alone", first, way="test_on_batch")
    setting.train("behind", first, way="test_on_batch", before=(second,))
    found += [
        dataclasses.replace(one, name=f"{one.name}, behind another batch")
        for one in setting.agree("behind", "alone", setting.tolerance)
        if "weight" not in one.name
    ]
    return Plan(tuple(setting.steps), tuple(found))


# -- weights of classes ----------------------------------------------------------------------

_CLASSES = (0.5, 2.0, 1.25)  # the weights of classes 0, 1 and 2


def _has_classes(case: Any) -> bool:
    entry = measure_of(case.measure)
    classes = case.units == 1 if entry.labels == "binary" else entry.labels in ("one-hot", "sparse")
    fits = case.reduction is not None and not (case.inner or case.beside)
    # The model is the same whatever weights of samples there are: it is given others.
    alone = case.sample_weight == "absent" or case.pooled or case.mask == "absent"
    plain = case.policy == "float32" and alone
    return bool(classes and fits and plain and case.mask != "weights")


@declare(
    family="training",
    source="keras.io/api/models/model_training_apis (class_weight: 'a weight to apply to the "
    "model's loss for the samples from this class'; of a rank of 2 or more labels are one-hot or "
    "have a last dimension of 1)",
    of=lambda layer: (
        layer not in OUTPUTS
        and measure_of(layer).kind == "losses"
        and measure_of(layer).weighable
        and measure_of(layer).labels in ("one-hot", "sparse", "binary")
    ),
    applies=_has_classes,
    choices=("ragged",),
    dear=True,
    share=2,
)
def class_weights(case: TrainingCase) -> Plan:
    """A class weight acts on the steps that have its label, as a sample weight of that step
    does; one that is left out is 1, and weights of samples beside them are factors, unless they
    are refused."""
    if case.way in LOOPS:  # methods add the penalty, and count no weights that stand for a mask
        case = msgspec.structs.replace(case, way="train step")
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
    each: tuple[float | None, ...] = _CLASSES[: max(2, case.units)]

    def weighing(each: tuple[float | None, ...]) -> Expression:
        counted = tuple(1.0 if one is None else one for one in each)
        return expression(f"np.float32({counted})[numbers]", "weights", numbers=numbers)

    weights = weighing(each)
    setting.train("b", Given(given.inputs, labels, given.mask, weights), way="train step")
    expected, tolerance = setting.expected(weights)
    ways: tuple[Way, ...] = ("fit", "train_on_batch")
    forms: tuple[tuple[Way, Form], ...] = (
        *((way, "dataset") for way in ways),
        ("fit", "PyDataset"),
    )
    found = []
    plain = Given(given.inputs, labels, given.mask)
    for way, form in forms:
        called = way if form == "dataset" else form
        setting.train(called, plain, way=way, form=form, class_weight=each)
        if not np.isnan(expected):
            right = literal(expected, "expected")
            found.append(Agrees(f"loss of {called}", Output(called), right, tolerance))
        for k in range(2):
            left, right_ = Output(f"{called}.state", k), Output("b.state", k)
            found.append(Agrees(f"weights {k} of {called}", left, right_, setting.tolerance))
    # A configuration looks at one of these: each costs as much as all before.
    name, acting = "beside weights of samples", weights
    weighed = case.mask == "absent" or case.pooled
    if weighed:
        w = expression("np.float32(1) + numbers", "w", numbers=numbers)
        plain, acting = dataclasses.replace(plain, weights=w), expression("v * w", v=weights, w=w)
    elif case.mask == "travelling":
        name, each = "without the first class", (None, *each[1:])
    else:
        name, each = "without the last class", (*each[:-1], None)
    more: list[tuple[Way, str, Given, tuple[float | None, ...], Expression]] = [
        (way, name, plain, each, acting if weighed else weighing(each))
        for way in (ways if case.pooled else ways[:1])
    ]
    if case.pooled:  # arrays are weighed by other code than datasets are
        left_out = (None, *each[1:])
        bare = Given(given.inputs, labels, given.mask)
        more.append(
            ("train_on_batch", "without the first class", bare, left_out, weighing(left_out))
        )
    for way, name, plain, each, acting in more:
        step = setting.train(f"{way} {name}".replace(" ", "_"), plain, way=way, class_weight=each)
        expected, tolerance = setting.expected(acting)
        if not np.isnan(expected):
            right = literal(expected, "expected")
            found.append(
                Agrees(
                    f"loss of {way} {name}",
                    Output(step.name),
                    right,
                    tolerance,
                    "should",
                    refusable=True,
                    refusals=("ValueError", "TypeError"),
                )
            )
    return Plan(tuple(setting.steps), tuple(found))
