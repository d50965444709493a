"""What must hold of a model that learns from another one: padding is no part of what it learns."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec

from catalogue.cases import Content
from catalogue.training_cases import TrainingCase
from properties.comparisons import Agrees, Comparison, Plan
from properties.registry import declare
from properties.training_setting import TrainingSetting

__all__: list[str] = []

_PAGE = "keras.io/api/distillation"
# What a Distiller makes of a loss is the same code for all.
_OF = ("MeanSquaredError", "CategoricalCrossentropy")


def _single(case: Any) -> bool:
    plain = case.policy == "float32" and not case.inner and not case.pooled
    # Weights of samples are "currently unused", by its page; one that is masked by them is none.
    unweighed = case.sample_weight == "absent" and case.mask != "weights"
    return bool(
        case.reduction is not None and plain and unweighed and case.way != "mask as weights"
    )


@declare(
    family="training",
    source=f"{_PAGE} (Distiller: 'student_loss_weight: weight for the student's supervised loss "
    "component', which `compile` is given 'like any Keras model'); masked steps 'should be "
    "skipped' (guide on masking)",
    level="should",
    of=lambda layer: layer in _OF,
    applies=_single,
    choices=("ragged",),
    share=8,
    dear=True,
)
def distilled_alike(case: TrainingCase) -> Plan:
    """A student has the loss in a Distiller that it has by itself, where that is all that counts,
    and how far it is from its teacher at masked steps does not count."""
    case = msgspec.structs.replace(
        case,
        way="test step",
        penalty=False,
        batches=case.batches[:1],
        units=max(2, case.units),  # of one unit there are no logits to be apart
    )
    comparisons: list[Comparison] = []
    steps: list[Any] = []
    for form in ("object", "name"):
        named = {"given_as": form, "arguments": case.arguments if form == "object" else {}}
        setting = TrainingSetting(msgspec.structs.replace(case, **named))
        by_itself, student = f"by_itself_{form}", f"student_{form}"
        setting.model(name=by_itself)
        setting.train(f"a_{form}", model=by_itself, eager=True)
        setting.model(name=student, distilled=1.0)
        setting.train(f"b_{form}", model=student, eager=True)
        steps += setting.steps
        for one in setting.agree(f"b_{form}", f"a_{form}", setting.tolerance, "should"):
            if one.name == "loss":
                comparisons.append(dataclasses.replace(one, name=f"loss as {form}"))
    setting = TrainingSetting(case)
    if not case.counted(0).all() and case.mask == "travelling":
        other: Content = "tenth" if case.batches[0].content == "ones" else "ones"
        setting.model(name="taught", distilled=0.0)
        setting.train("c", model="taught", eager=True)
        setting.train("d", setting.given(inputs=other), model="taught", eager=True)
        left, right = (setting.results(name)["loss"] for name in ("d", "c"))
        comparisons.append(Agrees("distance to the teacher", left, right, None, "should"))
    return Plan((*steps, *setting.steps), tuple(comparisons))
