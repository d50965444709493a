"""Layers that keep states from call to call: in chunks, and after a reset, under masks."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec

from catalogue.expressions import Expression, Output, expression, literal
from catalogue.layer_cases import LayerCase
from catalogue.steps import Call, Operand, ResetState, Through
from properties.comparisons import Agrees, Comparison, Plan
from properties.layer_setting import LayerSetting
from properties.layers import certain
from properties.registry import declare

__all__: list[str] = []

_RNN_PAGE = "keras.io/api/layers/recurrent_layers/rnn"


def _keeps(layer: str) -> bool:
    """Whether a layer (or the one inside it) has the documented argument `stateful`."""
    return layer.startswith(("ConvLSTM", "Bidirectional("))


def _applies(case: Any) -> bool:
    """Without chance and initial states, and such that chunks can be put together: forwards."""
    path = _path(case)
    forwards = not case.spec.get(f"{path}go_backwards")
    return bool(certain(case) and not case.arguments and forwards)


def _path(case: LayerCase) -> str:
    return "layer." if case.spec.layer == "Bidirectional" else ""


@declare(
    family="layers",
    source=f"{_RNN_PAGE}, Note on using statefulness in RNNs; the pages of the ConvLSTM layers, "
    "`stateful`",
    applies=_applies,
    of=_keeps,
    share=1,
    dear=True,
    apart=True,
)
def layer_stateful(case: LayerCase) -> Plan:
    """A stateful layer gives in chunks what it gives for the whole, and the same after a reset.

    Of two directions the forward one does so in chunks; the other begins anew at each chunk's end.
    """
    path = _path(case)
    # What comes in chunks can be seen of states, or of the forward outputs alone.
    told: dict[str, Any] = {"return_sequences": True} if path else {"return_state": True}
    changed = {"stateful": True, **(told if not path or case.weights % 2 else {})}
    arguments = {f"{path}{name}": value for name, value in changed.items()}
    if path and case.spec.get("backward_layer") is not None:
        arguments |= {f"backward_layer.{name}": value for name, value in changed.items()}
    if path and case.weights % 2:
        arguments["merge_mode"] = None
    spec = case.spec.replace(**arguments)
    case = msgspec.structs.replace(case, spec=spec, static=True)
    setting = LayerSetting(case)
    call = setting.call("y", mode="eager")
    steps = case.tensors[0].steps[1]
    cut = 1 + case.weights % max(1, steps - 1)
    places = [(0, cut), (cut, steps)] if steps > 1 else [(0, 1)]
    setting.steps.append(ResetState("layer"))
    chunks = [_chunk(call, f"chunk{first}", first, last) for first, last in places]
    setting.steps += [*chunks, ResetState("layer"), dataclasses.replace(call, name="z")]
    comparisons: list[Comparison] = [
        Agrees(f"{name} after a reset", Output("z", k), Output("y", k), None)
        for k, name in enumerate(setting.names)
    ]
    if path and spec.get("merge_mode", "concat") is not None:
        return Plan(tuple(setting.steps), tuple(comparisons))
    # Of two directions: outputs, then states, the forward ones first.
    counted = setting.entry.outputs(case)
    states = range(2, 2 + (counted - 2) // 2) if path else range(1, counted)
    if spec.get(f"{path}return_sequences"):
        parts: dict[str, Any] = {one.name: Output(one.name) for one in chunks}
        joined = expression(f"np.concatenate([{', '.join(parts)}], 1)", "joined", **parts)
        mask = case.masks[0]
        sides: list[Expression | Output] = [joined, Output("y")]
        if mask is not None:  # what a masked step holds is each call's own affair
            valid = literal(mask, "valid")
            sides = [expression("y[valid]", y=side, valid=valid) for side in sides]
        comparisons.append(Agrees("output in chunks", sides[0], sides[1], setting.tolerance))
    for k in states:
        ends = Output(chunks[-1].name, k), Output("y", k)
        comparisons.append(Agrees(f"output {k} in chunks", *ends, setting.tolerance))
    return Plan(tuple(setting.steps), tuple(comparisons))


def _chunk(call: Call, name: str, first: int, last: int) -> Call:
    """The same call on some steps of each array."""

    def cut(operand: Operand) -> Operand:
        if isinstance(operand, Through):
            return Through(operand.layer, tuple(map(cut, operand.operands)))
        if isinstance(operand, Expression):
            return expression(f"x[:, {first}:{last}]", x=operand)
        return operand

    kwargs = {key: cut(value) for key, value in call.kwargs.items()}
    return dataclasses.replace(call, name=name, args=tuple(map(cut, call.args)), kwargs=kwargs)
