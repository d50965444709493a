"""What must arrive inside a layer that asks for masks: custom layers note it and hand it back."""

from __future__ import annotations

import dataclasses

from catalogue.expressions import Expression, Output, expression, literal
from catalogue.layer_cases import LayerCase
from catalogue.layers_custom import NOTING, noted
from catalogue.steps import Operand
from properties.comparisons import Agrees, Comparison, Level, Plan
from properties.layer_setting import LayerSetting
from properties.registry import declare

__all__: list[str] = []


@declare(
    family="layers",
    source="keras.io/guides/understanding_masking_and_padding, Writing layers that need mask "
    "information ('The mask associated with the inputs will be passed to your layer whenever it "
    "is available') and Passing mask tensors directly to layers",
    of=lambda layer: layer in NOTING,
)
def layer_delivery(case: LayerCase) -> Plan:
    """The mask that arrives inside a layer is the one that travels with its input.

    Whatever else is passed: flags, other tensors, masks of other tensors. One that is given
    explicitly takes its place.
    """
    setting = LayerSetting(case)
    call = setting.call("y")
    level: Level = "should" if case.name == "NotingNamed" else "must"
    expected = [literal(mask, f"expected{k}") for k, mask in enumerate(noted(case))]
    comparisons: list[Comparison] = [
        Agrees(f"mask of {name}", Output("y", 1 + k), expected[k], None, level)
        for k, name in enumerate(_names(case))
    ]
    explicit = _explicit(setting)
    setting.steps.append(dataclasses.replace(call, name="z", kwargs={**call.kwargs, **explicit}))
    given = [mask for value in explicit.values() for mask in _masks(value)]
    for k, name in enumerate(_names(case)):
        if k < len(given):
            right = expression("np.asarray(given, 'float32')", given=given[k])
            comparisons.append(Agrees(f"given mask of {name}", Output("z", 1 + k), right))
        else:
            beside = f"mask of {name} beside a given one"
            comparisons.append(Agrees(beside, Output("z", 1 + k), expected[k], None, level))
    return Plan(tuple(setting.steps), tuple(comparisons))


def _names(case: LayerCase) -> list[str]:
    """What the tensors are called whose masks are noted."""
    count = len(noted(case))
    if case.name == "NotingNamed":
        return ["query", "value", "key"][:count]
    return ["inputs"] if count == 1 else [f"inputs {k}" for k in range(count)]


def _explicit(setting: LayerSetting) -> dict[str, Operand]:
    """The argument that gives masks other than those that travel: of a first, or of a list."""
    case = setting.case
    others = [_inverted(setting, place) for place in range(len(case.tensors))]
    if case.name == "NotingNamed":
        return {"query_mask": others[0]}
    return {"mask": list(others) if case.name == "NotingList" else others[0]}


def _inverted(setting: LayerSetting, place: int) -> Expression:
    return expression("~mask", f"given{place}", mask=setting.mask(place))


def _masks(value: Operand) -> list[Expression]:
    masks = value if isinstance(value, list) else [value]
    return [mask for mask in masks if isinstance(mask, Expression)]
