"""What happens instead where a known deviation departs from a property."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from catalogue.cases import Content, RecurrentCase
from catalogue.expressions import Expression, expression
from execution.running import Runner
from properties.comparisons import Agrees, Mismatch, Plan, mismatches
from properties.recurrent_setting import Setting
from properties.training_alternatives import TRAINING_ALTERNATIVES

__all__ = ["ALTERNATIVES", "VALUES", "happens_instead"]

VALUES = ("nan", "zeros")
"""What may stand at the positions that differ, on one side of the comparison."""


def as_without_a_mask(case: RecurrentCase) -> Plan:
    """The call gives what it gives without any mask; `Masking` hands on zeros at masked steps."""
    setting = Setting(case)
    made = case.form.mask == "masking"
    inputs = setting.holding("zeros") if made else setting.inputs
    agree = _agrees_unmasked(setting, inputs, case.batch.content)
    return Plan(setting.plan_steps(), tuple(agree))


def as_if_nothing_were_masked(case: RecurrentCase) -> Plan:
    """The call gives what it gives without `Masking` of values that float32 does not have."""
    setting = Setting(case)
    agree: list[Agrees] = []
    for content in dict.fromkeys((case.batch.content, case.other or case.batch.content)):
        value = setting.mask_value(content)
        with np.errstate(over="ignore"):
            if np.float32(value) != value:
                agree += _agrees_unmasked(setting, setting.holding(content), content)
    return Plan(setting.plan_steps(), tuple(agree))


def _agrees_unmasked(setting: Setting, inputs: Expression, content: Content) -> list[Agrees]:
    own = content == setting.case.batch.content
    given = None if own else setting.holding(content)
    one = setting.call(f"y_{content}", inputs=given, content=content)
    other = setting.call(f"z_{content}", masked="absent", inputs=inputs, mode="eager")
    return setting.all_agree(one, other, tolerance=setting.tolerance)


def zeros_at_mirrored_steps(case: RecurrentCase) -> Plan:
    """The output is zero at the masked steps of the order that was not processed."""
    setting = Setting(case)
    return _zero_at(setting, expression("~mask", "masked", mask=setting.mask))


def zero_last_output(case: RecurrentCase) -> Plan:
    """The last output is zero in the rows whose last step is masked."""
    setting = Setting(case)
    return _zero_at(setting, expression("~mask[:, -1]", "masked", mask=setting.processed))


def _zero_at(setting: Setting, masked: Expression) -> Plan:
    setting.call("y")
    at = expression("y[masked]", y=setting.output("y"), masked=masked)
    zeros = expression("np.zeros_like(a)", a=at)
    return Plan(setting.plan_steps(), (Agrees("output", at, zeros),))


ALTERNATIVES: dict[str, Callable[[Any], Plan]] = {
    function.__name__.replace("_", " "): function
    for function in (
        as_without_a_mask,
        as_if_nothing_were_masked,
        zeros_at_mirrored_steps,
        zero_last_output,
    )
} | TRAINING_ALTERNATIVES


def happens_instead(
    instead: Any, case: Any, mismatch: Mismatch, runner: Runner, thoroughly: bool
) -> bool:
    """Whether a departure is what an entry of the ledger says of it (where it says anything).

    `exception` is a class name (or several, joined by "or"), `values` one of VALUES, `like` one
    of ALTERNATIVES: that one calls the layer, and is looked at where the check is thorough. Where
    both are named either may happen: what is raised is one of the classes, or nothing is.
    """
    if instead is None:
        return True
    if instead.exception and (mismatch.exception is not None or not instead.like):
        return mismatch.exception in instead.exception.split(" or ")
    if instead.values and not _hold(instead.values, mismatch):
        return False
    if instead.like and thoroughly:
        plan = ALTERNATIVES[instead.like](case)
        return not list(mismatches(plan, runner.run(plan.steps)))
    return True


def _hold(values: str, mismatch: Mismatch) -> bool:
    if mismatch.where is None:
        return False
    left, right = (np.asarray(side)[mismatch.where] for side in (mismatch.left, mismatch.right))
    hold = np.isnan if values == "nan" else np.logical_not
    return bool((hold(left) | hold(right)).all())
