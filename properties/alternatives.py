"""What happens instead where a known deviation departs from a property."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from catalogue.cases import RecurrentCase
from catalogue.expressions import Expression, expression
from execution.running import Runner
from properties.comparisons import Agrees, Mismatch, Plan, mismatches
from properties.recurrent_setting import Setting

__all__ = ["ALTERNATIVES", "VALUES", "happens_instead"]

VALUES = ("nan", "zeros")
"""What may stand at the positions that differ, on one side of the comparison."""


def as_without_a_mask(case: RecurrentCase) -> Plan:
    """The call gives what it gives without any mask; `Masking` hands on zeros at masked steps."""
    setting = Setting(case)
    made = case.form.mask == "masking"
    return _unmasked(setting, setting.holding("zeros") if made else setting.inputs)


def as_if_nothing_were_masked(case: RecurrentCase) -> Plan:
    """The call gives what it gives for the same inputs without `Masking`."""
    setting = Setting(case)
    return _unmasked(setting, setting.inputs)


def _unmasked(setting: Setting, inputs: Expression) -> Plan:
    one = setting.call("y")
    two = setting.call("z", masked="absent", inputs=inputs, mode="eager")
    agree = setting.all_agree(one, two, tolerance=setting.tolerance)
    return Plan(setting.plan_steps(), tuple(agree))


def zeros_at_mirrored_steps(case: RecurrentCase) -> Plan:
    """The output is zero at the masked steps of the order that was not processed."""
    setting = Setting(case)
    setting.call("y")
    masked = expression("~mask", "masked", mask=setting.mask)
    at = expression("y[masked]", y=setting.output("y"), masked=masked)
    zeros = expression("np.zeros_like(a)", a=at)
    return Plan(setting.plan_steps(), (Agrees("output", at, zeros),))


def zero_last_output(case: RecurrentCase) -> Plan:
    """The last output is zero in the rows whose last step is masked."""
    setting = Setting(case)
    setting.call("y")
    masked = expression("~mask[:, -1]", "masked", mask=setting.processed)
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
}


def happens_instead(
    instead: Any, case: Any, mismatch: Mismatch, runner: Runner, thoroughly: bool
) -> bool:
    """Whether a departure is what an entry of the ledger says of it (where it says anything).

    `exception` is a class name, `values` one of VALUES, `like` one of ALTERNATIVES: that one
    calls the layer, and is looked at where the check is to be thorough.
    """
    if instead is None:
        return True
    if instead.exception and mismatch.exception != instead.exception:
        return False
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
