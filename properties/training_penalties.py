"""What must hold of penalties that a layer adds to the loss for what it gives out."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import numpy as np

from catalogue.cases import Content
from catalogue.expressions import literal
from catalogue.training_cases import LOOPS, TrainingCase, Way
from properties.comparisons import Agrees, Comparison, Level, Plan
from properties.registry import declare
from properties.training_setting import TrainingSetting

__all__: list[str] = []

_PAGE = "keras.io/api/layers/regularizers"
# What is added to a loss is the same code for all.
_OF = ("MeanSquaredError",)


def _single(case: Any) -> bool:
    return bool(
        case.reduction is not None
        and case.policy == "float32"
        and not (case.pooled or case.inner)
        # Which are another matter.
        and case.mask != "weights"
        and case.sample_weight != "rows"
    )


@declare(
    family="training",
    source=f"{_PAGE} (activity_regularizer: 'apply a penalty on the layer's output', which 'gets "
    "divided by the input batch size'); masked steps 'should be skipped' (guide on masking)",
    level="should",
    of=lambda layer: layer in _OF,
    applies=_single,
    share=3,
)
def activity_penalty(case: TrainingCase) -> Plan:
    """A penalty on what a layer gives out is of valid steps, divided by the number of rows."""
    way: Way = "test step" if case.way in LOOPS else case.way
    case = msgspec.structs.replace(
        case, way=way, penalty=False, activity=True, batches=case.batches[:1]
    )
    setting = TrainingSetting(case)
    setting.model()
    setting.train("a")
    loss = setting.results("a")["loss"]
    comparisons: list[Comparison] = []
    expected, tolerance = setting.expected()
    added, rounding = setting.activity()
    whole = bool(case.counted(0).all())
    if not np.isnan(expected):
        assert tolerance.rounding is not None
        bound = dataclasses.replace(tolerance, rounding=tolerance.rounding + rounding)
        level: Level = "must" if whole else "should"
        right = literal(expected + added, "expected")
        comparisons.append(Agrees("loss", loss, right, bound, level))
    if not whole:
        other: Content = "tenth" if case.batches[0].content == "ones" else "ones"
        setting.train("b", setting.given(inputs=other))
        comparisons.append(
            Agrees("loss of other padding", setting.results("b")["loss"], loss, None, "should")
        )
    return Plan(tuple(setting.steps), tuple(comparisons))
