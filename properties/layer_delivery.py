"""What must arrive inside a layer that asks for masks: custom layers note it and hand it back."""

from __future__ import annotations

import dataclasses

import numpy as np

from catalogue.expressions import Expression, Output, expression, literal
from catalogue.layer_cases import LayerCase
from catalogue.layers import LAYER_ENTRIES
from catalogue.layers_custom import NOTING, noted
from catalogue.specs import Spec
from catalogue.steps import Build, Call, Operand
from properties.comparisons import Agrees, Comparison, Level, Plan
from properties.layer_setting import LayerSetting
from properties.layers import certain
from properties.registry import declare

__all__: list[str] = []

_NOT_SAID = ("NotingNamed", "NotingMemory")  # of masks by names no page speaks


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
    explicitly takes its place, be it for some of the tensors alone. The first layer of a Sequential
    is given what that is given.
    """
    setting = LayerSetting(case)
    call = setting.call("y")
    level: Level = "should" if case.name in _NOT_SAID else "must"
    expected = [literal(mask, f"expected{k}") for k, mask in enumerate(noted(case))]
    comparisons: list[Comparison] = [
        Agrees(f"mask of {name}", Output("y", 1 + k), expected[k], None, level)
        for k, name in enumerate(_names(case))
    ]
    if not (setting.entry.parameters or setting.entry.explicit):  # inside none are given
        return Plan(tuple(setting.steps), tuple(comparisons))
    given = _given(setting)
    explicit = _explicit(case, given)
    setting.steps.append(dataclasses.replace(call, name="z", kwargs={**call.kwargs, **explicit}))
    for k, name in enumerate(_names(case)):
        if k in given:
            right = expression("np.asarray(given, 'float32')", given=given[k])
            comparisons.append(Agrees(f"given mask of {name}", Output("z", 1 + k), right))
        elif case.name == "NotingList":  # which is given a list, with None in this place
            none = literal(np.full(case.tensors[k].steps, -1, np.float32), f"none{k}")
            comparisons.append(Agrees(f"no given mask of {name}", Output("z", 1 + k), none))
        else:
            beside = f"mask of {name} beside a given one"
            comparisons.append(Agrees(beside, Output("z", 1 + k), expected[k], None, level))
    if case.name == "NotingList" and case.weights % 2 and case.dtype == "float32":
        comparisons += _first_of_a_sequential(setting, explicit)
    return Plan(tuple(setting.steps), tuple(comparisons))


@declare(
    family="layers",
    source="keras.io/guides/understanding_masking_and_padding, Passing mask tensors directly to "
    "layers ('mask = self.embedding.compute_mask(inputs)') and Supporting masking in your custom "
    "layers (compute_mask 'generates a new mask given an input and the current mask')",
    # Layers that name their tensors have a signature of their own.
    of=lambda layer: len(LAYER_ENTRIES[layer].parameters) < 2 and not LAYER_ENTRIES[layer].stops,
    applies=certain,
    share=4,
    apart=True,
)
def computed_mask(case: LayerCase) -> Plan:
    """Where an output carries the mask that it is to carry, `compute_mask`, given what the layer is
    called on and its masks, gives it too."""
    setting = LayerSetting(case)
    setting.call("y", mode="eager")
    arrays = [setting.holding(place) for place in range(len(case.tensors))]
    masks: list[Operand] = [
        None if mask is None or case.form == "made" else setting.given_mask(place)
        for place, mask in enumerate(case.masks)
    ]
    several = len(arrays) > 1
    given: tuple[Operand, ...] = (list(arrays), masks) if several else (arrays[0], masks[0])
    setting.steps.append(
        Call("computed", setting.layer(), given, {}, mode="eager", method="compute_mask")
    )
    level: Level = "must" if setting.entry.made else "should"
    expected = literal(setting.passed, "expected")
    computed = expression(
        "computed if np.array_equal(mask, expected) "
        "and np.asarray(mask).dtype == np.asarray(expected).dtype else expected",
        computed=Output("computed.mask"),
        mask=Output("y.mask"),
        expected=expected,
    )
    # A call that is refused is a matter of other properties; what makes masks refuses none here.
    refusable = not setting.entry.made
    agree = Agrees("mask", computed, expected, None, level, refusable=refusable)
    return Plan(tuple(setting.steps), (agree,))


def _first_of_a_sequential(setting: LayerSetting, explicit: dict[str, Operand]) -> list[Comparison]:
    """What arrives at the first layer of a Sequential, which hands on all that it is given.

    No page has one that is called on several tensors; Keras tolerates it. Its own dtype is float32.
    """
    spec = Spec("NotingFirst").with_policy(setting.case.policy)
    together = Build("first", spec, setting.input_shape, called=True, together=True)
    setting.steps.append(together)
    comparisons: list[Comparison] = []
    for what, alone, kwargs in (("mask", "y", {}), ("given mask", "z", explicit)):
        call = setting.call(f"first_{alone}", layer="first")
        setting.steps[-1] = dataclasses.replace(call, kwargs={**call.kwargs, **kwargs})
        for k, name in enumerate(_names(setting.case)):
            sides = Output(call.name, 1 + k), Output(alone, 1 + k)
            said = f"{what} of {name}, first of a Sequential"
            comparisons.append(Agrees(said, *sides, None, "should"))
    return comparisons


def _names(case: LayerCase) -> list[str]:
    """What the tensors are called whose masks are noted."""
    count = len(noted(case))
    if case.name == "NotingNamed":
        return ["query", "value", "key"][:count]
    return ["inputs"] if count == 1 else [f"inputs {k}" for k in range(count)]


def _given(setting: LayerSetting) -> dict[int, Expression]:
    """Masks other than those that travel, by the places of the tensors that are given one.

    By turns of the first, of the last or of all of those that the layer notes.
    """
    case, last = setting.case, len(noted(setting.case)) - 1
    places = ((0,), (last,), range(last + 1))[case.weights % 3]
    return {place: _inverted(setting, place) for place in places}


def _explicit(case: LayerCase, given: dict[int, Expression]) -> dict[str, Operand]:
    """The arguments that give these masks."""
    if case.name == "NotingNamed":
        return {f"{_names(case)[place]}_mask": mask for place, mask in given.items()}
    if case.name == "NotingList":
        return {"mask": [given.get(place) for place in range(len(case.tensors))]}
    return {"mask": given[0]}


def _inverted(setting: LayerSetting, place: int) -> Expression:
    return expression("~mask", f"given{place}", mask=setting.mask(place))
