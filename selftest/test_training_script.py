"""Scripts of training fail just where the comparison does."""

from __future__ import annotations

import dataclasses

import pytest

from catalogue.cases import RaggedBatch
from catalogue.training_cases import TrainingCase
from properties.comparisons import Agrees, Plan
from properties.registry import PROPERTIES
from selftest.test_script import check

TRAINING = [name for name, one in PROPERTIES.items() if one.family == "training"]
BATCH = RaggedBatch(("110", "100"), "tenth", 5)
CASES = {
    "on a batch": TrainingCase(
        "MeanSquaredError", (BATCH,), sample_weight="steps", varied="inputs", other="ones"
    ),
    "in a loop": TrainingCase(
        "MeanSquaredError",
        (BATCH, RaggedBatch(("1",))),
        {"reduction": "sum"},
        way="custom loop",
        varied="labels",
        other="ones",
        inserted=2,
    ),
    "of a dataset": TrainingCase(
        "CategoricalCrossentropy",
        (BATCH, RaggedBatch(("10",))),
        {"label_smoothing": 0.2},
        way="fit",
        varied="inputs",
        other="ones",
        inserted=1,
    ),
    "tested": TrainingCase(
        "metric MeanSquaredError",
        (BATCH,),
        mask="weights",
        weighted=True,
        way="test step",
        varied="labels",
        other="ones",
        inserted=1,
    ),
    "for each threshold": TrainingCase(
        "metric Recall",
        (BATCH,),
        {"thresholds": (0.3, 0.6)},
        mask="absent",
        sample_weight="steps",
        weighted=True,
        way="test step",
        units=1,
    ),
    "evaluated": TrainingCase(
        "metric SparseCategoricalAccuracy",
        (BATCH, RaggedBatch(("10",))),
        mask="masking",
        way="evaluate",
        varied="labels",
        other="ones",
        inserted=1,
    ),
    "of rows": TrainingCase(
        "MeanSquaredError",
        (BATCH,),
        sample_weight="rows",
        units=1,
        varied="inputs",
        other="ones",
        inserted=1,
        pooled=True,
    ),
    "of two outputs": TrainingCase(
        "metric MeanSquaredError",
        (BATCH,),
        sample_weight="steps",
        way="test step",
        beside=(
            TrainingCase(
                "metric CategoricalAccuracy",
                (RaggedBatch(("11", "10")),),
                sample_weight="steps",
                weighted=True,
                way="test step",
                units=3,
            ),
        ),
        varied="inputs",
        other="ones",
        inserted=1,
    ),
}


_IN_TURN = 2  # so many of its cases are run of each property, others of the next


def _cases(name: str) -> list[str]:
    """The cases that a property is run on: some of those that it speaks of, in turn."""
    property = PROPERTIES[name]
    spoken_of = [
        key for key, case in CASES.items() if property.of(case.measure) and property.applies(case)
    ]
    start = TRAINING.index(name)
    turned = [spoken_of[(start + place) % len(spoken_of)] for place in range(len(spoken_of))]
    return turned[:_IN_TURN]


@pytest.mark.parametrize(
    ("name", "key"), [(name, key) for name in TRAINING for key in _cases(name)]
)
def test_a_script_fails_just_where_its_comparison_does(name: str, key: str) -> None:
    """What holds runs to its end, and what departs does not."""
    property, case = PROPERTIES[name], CASES[key]
    plan = property.function(case)
    agreeing = Plan(plan.steps, tuple(one for one in plan.comparisons if isinstance(one, Agrees)))
    check(dataclasses.replace(property, function=lambda case: agreeing), case, "graph")


def test_every_case_is_one_of_some_property() -> None:
    """In turn, all cases come to be run."""
    assert {key for name in TRAINING for key in _cases(name)} == set(CASES)
