"""Tensors that several share: the roles of one attention layer, or two layers with one memory."""

from __future__ import annotations

import dataclasses

import msgspec

from catalogue.expressions import Output
from catalogue.layer_cases import LayerCase
from catalogue.steps import Operand
from properties.comparisons import Agrees, Comparison, Plan
from properties.layer_setting import LayerSetting
from properties.layers import certain
from properties.registry import declare

__all__: list[str] = []


def _attends(layer: str) -> bool:
    return layer.partition("(")[0].endswith("Attention")


@declare(
    family="layers",
    source="keras.io/api/layers/attention_layers/multi_head_attention ('If query, key, value are "
    "the same, then this is self-attention'); contracts: a call leaves its inputs and their masks "
    "as they were",
    applies=certain,
    of=_attends,
    share=3,
    apart=True,
)
def shared_tensors(case: LayerCase) -> Plan:
    """A tensor that several roles, or several layers, are given is what copies of it would be.

    One object is query and value (and key), against copies of it with the same mask. And a layer
    that comes second, behind another one on the same query and memory, gives what it gives alone.
    """
    setting = LayerSetting(case)
    setting.call("y", mode="eager")
    other = setting.layer(another=True)
    setting.call("second", mode="eager", after=other)
    masked = any(tensor.masked for tensor in case.tensors)  # then the one that is shared is
    first = msgspec.structs.replace(case.tensors[0], masked=masked)
    if first.content == "ones":  # of which a query may have others than its value
        first = msgspec.structs.replace(first, content="tenth")
    alike = tuple(msgspec.structs.replace(first) for _ in case.tensors)
    single = LayerSetting(msgspec.structs.replace(case, tensors=alike))
    copies = single.call("copies", mode="eager")
    named = single.entry.parameters
    one: list[Operand] = list(copies.args)
    if one and isinstance(one[0], list):
        one = [[one[0][0]] * len(one[0])]
    elif one:
        one = [one[0]] * len(one)
    tensors = [copies.kwargs[name] for name in named if name in copies.kwargs]
    kwargs = {key: tensors[0] if key in named else v for key, v in copies.kwargs.items()}
    single.steps.append(
        dataclasses.replace(copies, name="one", args=tuple(one), kwargs=kwargs, shared=True)
    )
    comparisons: list[Comparison] = []
    for what, by, left, right in (
        ("second layer", setting, "second", "y"),
        ("one object", single, "one", "copies"),
    ):
        masks = Output(f"{left}.mask"), Output(f"{right}.mask")
        comparisons.append(Agrees(f"mask of {what}", *masks))
        for k, name in enumerate(by.names):
            sides = by.at_valid(left, k), by.at_valid(right, k)
            comparisons.append(Agrees(f"{name} of {what}", *sides, by.tolerance))
    return Plan((*setting.steps, *single.steps), tuple(comparisons))
