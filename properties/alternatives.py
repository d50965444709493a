"""What happens instead where a known deviation departs from a property."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from catalogue.cases import Content, RecurrentCase
from catalogue.expressions import Expression, Output, expression
from execution.results import Results
from execution.running import Runner
from properties.chain_alternatives import CHAIN_ALTERNATIVES
from properties.comparisons import Agrees, Mismatch, Plan, mismatches
from properties.departures import are_predicted
from properties.layer_departures import DEPARTURES
from properties.product_alternatives import (
    added_as_a_bias,
    batches_stretched,
    selected_in_row_major_order,
    truths_of_whole_numbers,
)
from properties.recurrent_setting import Setting
from properties.training_alternatives import TRAINING_ALTERNATIVES

__all__ = ["ALTERNATIVES", "NAMES", "VALUES", "Seen", "happens_instead"]

VALUES = ("nan", "zeros")
"""What may stand at the positions that differ, on one side of the comparison."""


def as_without_a_mask(case: RecurrentCase) -> Plan:
    """The call gives what it gives without any mask; `Masking` hands on zeros at masked steps."""
    setting = Setting(case)
    made = case.form.mask == "masking"
    inputs = setting.holding("zeros") if made else setting.inputs
    agree = _agrees_unmasked(setting, inputs, case.batch.content)
    return Plan(setting.plan_steps(), tuple(agree))


def as_without_a_mask_beside_a_flag_of_numpy(case: RecurrentCase) -> Plan:
    """With a flag of NumPy the call gives what it gives without any mask."""
    setting = Setting(case)
    inputs = setting.holding("zeros") if case.form.mask == "masking" else setting.inputs
    one = setting.call("y", mode="eager", training=np.bool_(False))
    other = setting.call("z", masked="absent", inputs=inputs, mode="eager")
    agree = setting.all_agree(one, other, tolerance=setting.tolerance)
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
    # Made once more, each of them drops the same.
    one = setting.call(f"y_{content}", layer=setting.again(), inputs=given, content=content)
    unmasked: dict[str, Any] = {"masked": "absent", "inputs": inputs, "mode": "eager"}
    other = setting.call(f"z_{content}", layer=setting.again(), **unmasked)
    return setting.all_agree(one, other, tolerance=setting.tolerance)


def zeros_at_mirrored_steps(case: RecurrentCase) -> Plan:
    """The output is zero at the masked steps of the order that was not processed."""
    setting = Setting(case)
    return _zero_at(setting, expression("~mask", "masked", mask=setting.mask))


def zero_last_output(case: RecurrentCase) -> Plan:
    """The last output is zero in the rows whose last step is masked."""
    setting = Setting(case)
    return _zero_at(setting, expression("~mask[:, -1]", "masked", mask=setting.processed))


def mask_as_it_came_in(case: RecurrentCase) -> Plan:
    """The mask goes out in the order of the inputs, whatever the order of the outputs."""
    setting = Setting(case)
    setting.call("y")
    out = expression("np.asarray(mask, bool)", mask=Output("y.mask"))
    came = setting.transposed(setting.mask)
    return Plan(setting.plan_steps(), (Agrees("mask", out, came),))


def misfits_are_made_to_fit(case: RecurrentCase) -> Plan:
    """A mask of a single row is that of all rows, and an axis more of single places is none.

    Unrolled, of one of more steps the first ones count; nothing is said of sequences that go
    backwards, where it is cut when it is reversed already, nor of zeros at masked steps.
    """
    setting, spec = Setting(case), case.spec
    pairs = [("mask[..., None]", "mask"), ("mask[:1]", "np.repeat(mask[:1], len(mask), 0)")]
    if spec.get("unroll") and not (spec.get("go_backwards") or spec.get("zero_output_for_mask")):
        pairs.append(("np.concatenate([mask, mask[:, :1]], 1)", "mask"))
    agree: list[Agrees] = []
    for place, pair in enumerate(pairs):
        names = [f"{side}{place}" for side in ("wrong", "right")]
        for name, source in zip(names, pair, strict=True):
            setting.call(name, mask=expression(source, mask=setting.mask), mode="eager")
        agree += setting.all_agree(*names, tolerance=setting.tolerance)
    return Plan(setting.plan_steps(), tuple(agree))


def _zero_at(setting: Setting, masked: Expression) -> Plan:
    setting.call("y")
    at = expression("y[masked]", y=setting.output("y"), masked=masked)
    zeros = expression("np.zeros_like(a)", a=at)
    return Plan(setting.plan_steps(), (Agrees("output", at, zeros),))


ALTERNATIVES: dict[str, Callable[[Any], Plan]] = {
    function.__name__.replace("_", " "): function
    for function in (
        as_without_a_mask,
        as_without_a_mask_beside_a_flag_of_numpy,
        as_if_nothing_were_masked,
        zeros_at_mirrored_steps,
        zero_last_output,
        mask_as_it_came_in,
        misfits_are_made_to_fit,
        truths_of_whole_numbers,
        added_as_a_bias,
        batches_stretched,
        selected_in_row_major_order,
        *CHAIN_ALTERNATIVES,
    )
} | TRAINING_ALTERNATIVES

NAMES = (*ALTERNATIVES, *DEPARTURES)
"""What an entry may call `like`."""


@dataclasses.dataclass(frozen=True)
class Seen:
    """A departure, and all that the plan of its case gave."""

    mismatch: Mismatch
    plan: Plan
    results: Results


def happens_instead(instead: Any, case: Any, seen: Seen, runner: Runner, thoroughly: bool) -> bool:
    """Whether a departure is what an entry of the ledger says of it (where it says anything).

    `exception` is a class name (or several, joined by "or"), `says` a part of its message; what
    is said beside them is of cases in which nothing is raised. `values` is one of VALUES. `like`
    is one of DEPARTURES, which predict what the calls of the plan gave, or of ALTERNATIVES: these
    call the layer, and are looked at where the check is thorough.
    """
    if instead is None:
        return True
    mismatch = seen.mismatch
    if instead.exception and (mismatch.exception or not (instead.values or instead.like)):
        raised = mismatch.exception in instead.exception.split(" or ")
        return raised and instead.says in mismatch.message
    if instead.values and not _hold(instead.values, mismatch):
        return False
    if instead.like in DEPARTURES:
        departure = DEPARTURES[instead.like]
        mode = runner.execution.mode
        return are_predicted(
            departure, case, mismatch.comparison, seen.plan.steps, seen.results, mode
        )
    if instead.like and thoroughly:
        plan = ALTERNATIVES[instead.like](case)
        results = runner.run(plan.steps)
        with np.errstate(all="ignore"):  # what a sum of NaN is, is no matter
            return not list(mismatches(plan, results))
    return True


def _hold(values: str, mismatch: Mismatch) -> bool:
    if mismatch.where is None:
        return False
    left, right = (np.asarray(side)[mismatch.where] for side in (mismatch.left, mismatch.right))
    hold = np.isnan if values == "nan" else np.logical_not
    return bool((hold(left) | hold(right)).all())
