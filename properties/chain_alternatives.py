"""What happens instead in chains where a known deviation departs from a property."""

from __future__ import annotations

import functools

import msgspec
import numpy as np

from catalogue.cases import CONTENTS
from catalogue.chain_inputs import Form
from catalogue.chain_shapes import ways_of
from catalogue.chains import ChainCase, Stage, folded
from catalogue.expressions import Output, expression, literal
from catalogue.layer_cases import LayerCase
from properties.chain_inputs import twice
from properties.chain_setting import ChainSetting, called_again
from properties.comparisons import Agrees, Comparison, Plan, Raises, Runs

__all__ = ["CHAIN_ALTERNATIVES"]


def _or(case: LayerCase) -> np.ndarray | None:
    """The steps that are valid in some tensor; none beside a tensor without a mask.

    Concatenate takes such a tensor for one that is valid everywhere.
    """
    masks = [mask for mask in case.masks if mask is not None]
    if not masks:
        return None
    if len(masks) < len(case.masks):
        return np.ones_like(masks[0]) if case.spec.layer == "Concatenate" else None
    return np.asarray(functools.reduce(np.logical_or, masks))


_JOINED_BY_OR = dict.fromkeys(
    ("Add", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"), _or
)

_HUGE = frozenset(CONTENTS).difference(("zeros", "ones", "tenth", "noise"))


def as_if_masks_were_joined_by_or(case: ChainCase) -> Plan:
    """Behind a merging layer stands the OR of the masks that meet, and all else follows from it.

    Outputs are looked at where they follow from valid steps alone. Masks may travel, or be given to
    the model.
    """
    setting = ChainSetting(case)
    plan = _stands(setting, setting.stages_with(passages=_JOINED_BY_OR))
    if case.maker != "travelling" or "functional" not in ways_of(case):
        return plan
    given = called_again(case, "again")
    stage = given.stages_with(passages=_JOINED_BY_OR)[-1]
    last = len(case.nodes) - 1
    mask = Agrees("mask, given", Output("again.mask", 1), literal(stage.mask))
    sides = given.known("again", last, 1, stage)
    output = Agrees("output, given", *sides, given.tolerances[last])
    return Plan((*plan.steps, *given.steps), (*plan.comparisons, mask, output))


def as_if_heads_took_masks(case: ChainCase) -> Plan:
    """What MultiHeadAttention is called on has no mask for the layers that are called later.

    A Functional model hands masks to those that take one as an argument, whatever became of it.
    Outputs are not looked at where heads multiply padding that is huge.
    """
    setting = ChainSetting(case)
    stages = setting.stages_with(
        taking=("MultiHeadAttention",),
        passages=_JOINED_BY_OR,
        keeping=case.way == "functional" and not case.nests,
    )
    plan = _stands(setting, stages)
    if _HUGE.intersection(tensor.content for tensor in case.tensors):
        masks = (one for one in plan.comparisons if not one.name.startswith("output of "))
        plan = Plan(plan.steps, tuple(masks))
    return plan


def as_if_the_mask_were_given_again(case: ChainCase) -> Plan:
    """A model that was called with `mask=` gives the same when it is called without one."""
    setting = called_again(case)
    mask = Agrees("mask", Output("y.mask", 2), Output("y.mask", 1))
    return Plan(tuple(setting.steps), (mask, Agrees("output", Output("y", 2), Output("y", 1))))


def as_if_heads_left_what_was_given(case: ChainCase) -> Plan:
    """A model that was called with `mask=` gives without one what the second mask alone gives.

    Heads took the first, that of their query, off the caller's own tensor: what it holds counts.
    """
    setting = called_again(case)
    first, *others = setting.case.tensors
    tensors = (msgspec.structs.replace(first, masked=False), *others)
    left = msgspec.structs.replace(setting.case, tensors=tensors)
    arrays = [np.asarray(setting.holding(place).value()) for place in range(len(tensors))]
    stage, last = folded(left, arrays, "float64")[-1], len(case.nodes) - 1
    mask = Agrees("mask", Output("y.mask", 2), literal(stage.mask))
    sides = setting.known("y", last, 2, stage)
    return Plan(tuple(setting.steps), (mask, Agrees("output", *sides, setting.tolerances[last])))


def as_the_mask_of_the_first_input(case: ChainCase) -> Plan:
    """`compute_mask` of a model hands back the mask that it is given first."""
    setting = called_again(case)
    mask = case.masks[0]
    first = literal(np.float32(-1) if mask is None else mask.astype(np.float32), "first")
    return Plan(tuple(setting.steps), (Agrees("compute_mask", Output("y", 3), first),))


def as_over_as_many_steps_as_rows(case: ChainCase) -> Plan:
    """TimeDistributed hands on as many steps as there are rows; with fewer steps it raises.

    The mask stays what it was: what follows uses as much of it as there are steps.
    """
    setting = ChainSetting(case)
    rows, steps = case.tensors[0].steps
    if rows > steps:
        setting.call("y", setting.model(all_outputs=True), outputs=len(setting.visible))
        return Plan(tuple(setting.steps), (Raises("runs", "y", ("InvalidArgumentError",)),))
    (tensor,) = case.tensors
    shorter = msgspec.structs.replace(tensor, mask=tuple(row[:rows] for row in tensor.mask))
    cut = msgspec.structs.replace(case, tensors=(shorter,))
    arrays = [array[:, :rows] for array in setting.arrays]
    return _stands(setting, folded(cut, arrays, "float64"), masks=setting.stages)


def as_if_masks_were_those_known_before(case: ChainCase) -> Plan:
    """Layers that take a mask are given the one that the model knew when it was built.

    What comes with the call beside it is left out, but where they are told of `training`.
    """
    setting = ChainSetting(case)
    setting.call("z", setting.model_given("one inside"), outputs=3, mode="eager")
    setting.call("kept", setting.model_given("one inside, kept"), outputs=2, mode="eager")
    return _alike(setting, ("z", 0), ("kept", 0), ("z", 1), ("kept", 0), ("z", 2), ("kept", 1))


def as_if_names_were_sorted_for_masks(case: ChainCase) -> Plan:
    """Given by name, inputs have the masks of each other: these come in the alphabet's order."""
    setting = ChainSetting(case)
    setting.call("z", setting.model_given("by name, sorted"), outputs=4, mode="eager")
    return _alike(setting, ("z", 0), ("z", 1), ("z", 2), ("z", 3))


def as_if_the_last_mask_were_of_both(case: ChainCase) -> Plan:
    """A tensor that is given twice has in both places the mask that is given last."""
    setting = twice(case)
    form: Form = "one tensor twice, last mask"
    setting.call("z", setting.model_given(form), outputs=2, mode="eager")
    return _alike(setting, ("z", 1), ("z", 0))


def as_if_the_shorter_list_ended_it(case: ChainCase) -> Plan:
    """A mask too many is left out, and for one too few stands None."""
    setting = ChainSetting(case)
    forms: tuple[Form, ...] = ("a mask more", "a mask less")
    pairs: list[tuple[str, int]] = []
    for form in forms[: len(case.tensors)]:
        name = form.replace(" ", "_")
        setting.call(name, setting.model_given(form), outputs=2, mode="eager")
        pairs += [(name, 0), (name, 1)]
    return _alike(setting, *pairs)


def as_where_tensors_carry_no_masks(case: ChainCase) -> Plan:
    """`predict` and `predict_on_batch` give what a call on tensors without masks gives.

    Not looked at where padding is huge: a graph that is traced multiplies it in another order.
    """
    setting = ChainSetting(case)
    setting.call("z", setting.model_given("run"), outputs=3, mode="eager")
    unmasked = ChainSetting(msgspec.structs.replace(case, maker="none"))
    unmasked.call("plain", unmasked.model("functional", name="unmasked"), mode="eager")
    tolerance = unmasked.tolerances[-1]
    huge = _HUGE.intersection(tensor.content for tensor in case.tensors)
    comparisons = [
        Agrees("output", Output("z", index), Output("plain"), tolerance)
        for index in (() if huge else (1, 2))
    ]
    return Plan((*setting.steps, *unmasked.steps), tuple(comparisons))


def _alike(setting: ChainSetting, *several: tuple[str, int]) -> Plan:
    """Outputs of calls agree, each with the one after it."""
    comparisons = [
        Agrees("output", Output(*one), Output(*other), setting.tolerances[-1])
        for one, other in zip(several[::2], several[1::2], strict=True)
    ]
    return Plan(tuple(setting.steps), tuple(comparisons))


def _stands(setting: ChainSetting, stages: list[Stage], masks: list[Stage] | None = None) -> Plan:
    """Behind each layer stands what these stages say."""
    setting.call("y", setting.model(all_outputs=True), outputs=len(setting.visible))
    comparisons: list[Comparison] = [Runs("runs", "y")]
    for index, place in enumerate(setting.visible):
        mask = (masks or stages)[place].mask
        label = setting.labels[place]
        behind = Agrees(f"mask behind {label}", Output("y.mask", index), literal(mask))
        found, said = setting.known("y", place, index, stages[place])
        tolerance = setting.tolerances[place]
        comparisons += [behind, Agrees(f"output of {label}", found, said, tolerance)]
        shape = expression("y.shape", y=Output("y", index))
        comparisons.append(Agrees(f"shape of {label}", shape, literal(stages[place].output.shape)))
    return Plan(tuple(setting.steps), tuple(comparisons))


CHAIN_ALTERNATIVES = (
    as_if_masks_were_joined_by_or,
    as_if_heads_took_masks,
    as_if_the_mask_were_given_again,
    as_if_heads_left_what_was_given,
    as_the_mask_of_the_first_input,
    as_over_as_many_steps_as_rows,
    as_if_masks_were_those_known_before,
    as_if_names_were_sorted_for_masks,
    as_if_the_last_mask_were_of_both,
    as_if_the_shorter_list_ended_it,
    as_where_tensors_carry_no_masks,
)
