"""What stands behind each layer of a chain: masks, values, and nothing of padding."""

from __future__ import annotations

from typing import Any

import numpy as np

from catalogue.cases import FINITE_CONTENTS
from catalogue.chain_shapes import features
from catalogue.chains import ChainCase
from catalogue.expressions import Expression, Output, expression, literal
from catalogue.steps import SymbolicCall
from properties.chain_setting import ChainSetting
from properties.comparisons import Agrees, Comparison, Level, Plan, Runs
from properties.registry import declare
from properties.symbolic import masks_there, shapes

__all__ = ["in_order", "masks_behind", "truths_behind"]

_GUIDE = "keras.io/guides/understanding_masking_and_padding"
_MOST_ALONE = 3  # rows of a case that are looked at alone


def _called(case: ChainCase) -> ChainSetting:
    """The setting of a case, its model called as `y` for all outputs."""
    setting = ChainSetting(case)
    setting.call("y", setting.model(all_outputs=True), outputs=len(setting.visible))
    return setting


@declare(
    family="chains",
    source=f"{_GUIDE}, Mask propagation in the Sequential and Functional API",
    share=3,
)
def prediction(case: ChainCase) -> Plan:
    """The mask behind each layer of a chain is the one that the layers' contracts give."""
    setting = _called(case)
    return in_order(setting, masks_behind(setting), [])


@declare(family="chains", source="the pages of the layers: what each computes, one after the other")
def chain_truth(case: ChainCase) -> Plan:
    """Behind each layer of a chain stands what the NumPy references of the layers give."""
    setting = _called(case)
    return in_order(setting, masks_behind(setting), truths_behind(setting))


def _symbolic(case: Any) -> bool:
    """Whether a chain is built as a model that takes symbolic tensors."""
    functions = any(nest.kind == "tf.function" for nest in case.nests)
    return case.way != "layer by layer" and not functions


@declare(
    family="chains",
    source="keras.io/guides/functional_api: a model is called on symbolic tensors as on others; "
    f"{_GUIDE}, Mask propagation in the Sequential and Functional API",
    level="should",
    applies=_symbolic,
    share=8,
    dear=True,
)
def chain_symbolic(case: ChainCase) -> Plan:
    """Called on symbolic tensors a model says, behind each layer, what a call on others gives:
    its shape, and whether a mask comes out."""
    setting = ChainSetting(case)
    model = setting.model(all_outputs=True)
    call = setting.call("y", model, outputs=len(setting.visible), mode="eager")
    setting.steps.append(SymbolicCall("symbolic", call))
    comparisons: list[Comparison] = []
    for index, place in enumerate(setting.visible):
        for what, sides in (("shape", shapes(index)), ("mask", masks_there(index))):
            name = f"{what} behind {setting.labels[place]}"
            comparisons.append(Agrees(name, *sides, None, "should"))
    return Plan(tuple(setting.steps), tuple(comparisons))


@declare(
    family="chains",
    source=f"{_GUIDE}, Introduction ('should be skipped when processing the data')",
    of=lambda layer: layer != "chain: MaskedLSTMModel",  # `Masking` says what padding is
    choices=("other",),
)
def chain_isolation(case: ChainCase) -> Plan:
    """What masked steps of a chain's inputs hold changes nothing valid behind any layer.

    Behind a layer (or a plain operation) that loses the mask the property has nothing to say.
    """
    setting = _called(case)
    model = setting.model(all_outputs=True)
    setting.call("z", model, content=case.other, outputs=len(setting.visible))
    contents = {case.other, *(tensor.content for tensor in case.tensors)}
    level: Level = "must" if contents <= set(FINITE_CONTENTS) else "should"
    outputs: list[Agrees | None] = []
    for place in setting.visible:
        one, other = (setting.at_valid(call, place) for call in ("z", "y"))
        isolated = setting.stages[place].isolated
        label = f"output of {setting.labels[place]}"
        outputs.append(Agrees(label, one, other, None, level) if isolated else None)
    return in_order(setting, masks_behind(setting), outputs)


def _compact(case: Any) -> bool:
    """Whether rows can be cut to their valid steps: one mask, sizes that are not known."""
    masked = {tensor.mask if tensor.masked else None for tensor in case.tensors}
    same = len(masked) == 1
    return bool(same and case.sizes == "unknown" and not case.given)


@declare(
    family="chains",
    source=f"{_GUIDE}, Introduction: masked steps are skipped, as if they were not there",
    applies=_compact,
    share=3,
)
def chain_compaction(case: ChainCase) -> Plan:
    """Behind each layer a row of a chain has what it has on its valid steps alone.

    Looks at three rows of a case, of other lengths where it can be.
    """
    setting = _called(case)
    valid = case.tensors[0].valid
    steps = {row: np.flatnonzero(one).tolist() for row, one in enumerate(valid)}
    rows = {len(own): row for row, own in steps.items() if own}
    alone = sorted(rows.values())[-_MOST_ALONE:]
    model = setting.model(all_outputs=True)
    for row in alone:
        at = f"{row}:{row + 1}, {steps[row]}"
        setting.call(f"row{row}", model, outputs=len(setting.visible), at=at)
    outputs: list[Agrees | None] = []
    for index, place in enumerate(setting.visible):
        stage = setting.stages[place]
        # Plain operations may take steps away: then those of a row are no longer its own.
        whole = stage.isolated and stage.output.shape[1] == valid.shape[1]
        timed = bool(features(case)[len(case.tensors) + place])
        if not alone or not stage.isolated or (timed and not whole):
            outputs.append(None)
            continue
        pairs = [_row(index, row, steps[row] if timed else None) for row in alone]
        left, right = (_joined([pair[side] for pair in pairs]) for side in (0, 1))
        label = f"output of {setting.labels[place]}"
        outputs.append(Agrees(label, left, right, setting.tolerances[place]))
    return in_order(setting, masks_behind(setting), outputs)


def _row(index: int, row: int, steps: list[int] | None) -> tuple[Expression, Expression]:
    """A row by itself, and the same among others, at its valid steps."""
    at = f"{row}" if steps is None else f"{row}, {steps}"
    return (
        expression("a[0].ravel()", a=Output(f"row{row}", index)),
        expression(f"y[{at}].ravel()", y=Output("y", index)),
    )


def _joined(several: list[Expression]) -> Expression:
    names: dict[str, Any] = {f"r{place}": one for place, one in enumerate(several)}
    return expression(f"np.concatenate([{', '.join(names)}])", **names)


@declare(
    family="chains",
    source="contracts: a call leaves its inputs, their masks and the layer as they were",
    share=4,
)
def chain_second_call(case: ChainCase) -> Plan:
    """A second call of a model on the same arrays gives what the first gave, masks included."""
    setting = _called(case)
    model = setting.model(all_outputs=True)
    setting.call("z", model, outputs=len(setting.visible), twice=True)
    masks: list[Agrees] = []
    outputs: list[Agrees | None] = []
    for index, place in enumerate(setting.visible):
        label = setting.labels[place]
        after, before = (Output(f"{name}.mask", index) for name in ("z", "y"))
        masks.append(Agrees(f"mask behind {label}", after, before))
        again, once = setting.at_valid("z", place), setting.at_valid("y", place)
        outputs.append(Agrees(f"output of {label}", again, once))
    return in_order(setting, masks, outputs)


def masks_behind(setting: ChainSetting) -> list[Agrees]:
    """Behind each layer stands the mask that the contracts give."""
    return [
        Agrees(
            f"mask behind {setting.labels[place]}",
            Output("y.mask", index),
            literal(setting.stages[place].mask, "expected"),
        )
        for index, place in enumerate(setting.visible)
    ]


def truths_behind(setting: ChainSetting) -> list[Agrees | None]:
    """Behind each layer stands what the references give, where they say something."""
    return [
        Agrees(
            f"output of {setting.labels[place]}",
            *setting.known("y", place, index),
            setting.tolerances[place],
        )
        for index, place in enumerate(setting.visible)
    ]


def in_order(setting: ChainSetting, masks: list[Agrees], outputs: list[Agrees | None]) -> Plan:
    """A plan whose first failure is at the layer that is to blame, of which all others follow."""
    comparisons: list[Comparison] = [Runs("runs", "y")]
    for place, mask in enumerate(masks):
        comparisons.append(mask)
        comparisons += [one for one in outputs[place : place + 1] if one is not None]
    return Plan(tuple(setting.steps), tuple(comparisons), first_only=True)
