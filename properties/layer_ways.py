"""That a layer is the same without side effects, and with flags that say nothing new."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from catalogue.layer_cases import LayerCase
from catalogue.layers import entry_of
from catalogue.steps import Operand
from properties.comparisons import Comparison, Level, Plan
from properties.layer_calls import outputs_agree
from properties.layer_setting import LayerSetting
from properties.layers import certain
from properties.registry import declare

__all__: list[str] = []

_LAYER = "keras.io/api/layers/base_layer"
# Each for others like it: what keeps its mask, makes one, uses one, has one for each tensor, has
# states inside.
_STATELESS = (
    "Dense",
    "Masking",
    "Embedding",
    "GlobalAveragePooling1D",
    "Attention",
    "RNN(cell of one's own)",
)


@declare(
    family="layers",
    source=f"{_LAYER}, stateless_call ('Call the layer without any side effects'), which says "
    "nothing of masks; a mask that comes in goes out: rule 3 of contracts",
    level="should",
    applies=certain,
    of=lambda layer: layer in _STATELESS,
    share=4,
    dear=True,
    apart=True,
)
def layer_stateless(case: LayerCase) -> Plan:
    """Handed its variables, by `stateless_call`, a layer gives what it gives when it is called."""
    setting = LayerSetting(case)
    setting.call("y", mode="eager")
    setting.call("z", mode="eager", method="stateless_call")
    agree = outputs_agree(setting, "z", "y", level="should")
    return Plan(tuple(setting.steps), tuple(agree))


def _flags(case: Any) -> dict[str, bool]:
    """The flags that a call may be given, each with its value or its default."""
    entry = entry_of(case)
    found = {
        name: bool(case.arguments.get(name, False))
        for name, values in entry.call_domains.items()
        if name not in entry.operands and (name in case.arguments or not values[0])
    }
    if len(entry.trainings) > 1:
        found["training"] = bool(case.training)
    return found


@declare(
    family="layers",
    source=f"{_LAYER}, call, `training`; the layer's page, call arguments ('Boolean'); contracts: "
    "passing a default explicitly changes nothing; of NumPy's bool, which a comparison of arrays "
    "gives, no page speaks",
    applies=certain,
    of=lambda layer: layer in ("Attention", "Noting"),
    dear=True,
    apart=True,
)
def flags_change_nothing(case: LayerCase) -> Plan:
    """A flag that is passed with its default, or as NumPy's bool, changes nothing."""
    setting = LayerSetting(case)
    call = setting.call("y", mode="eager")
    flags: dict[str, Operand] = {**_flags(case)}
    of_numpy: dict[str, Operand] = {name: np.bool_(flag) for name, flag in _flags(case).items()}
    comparisons: list[Comparison] = []
    ways: tuple[tuple[str, dict[str, Operand], str, Level], ...] = (
        ("z", flags, "", "must"),
        ("n", of_numpy, ", NumPy's flags", "should"),
    )
    for name, given, how, level in ways:
        kwargs = {**call.kwargs, **given}
        setting.steps.append(dataclasses.replace(call, name=name, kwargs=kwargs))
        for agree in outputs_agree(setting, name, "y", level=level):
            comparisons.append(dataclasses.replace(agree, name=f"{agree.name}{how}"))
    return Plan(tuple(setting.steps), tuple(comparisons))
