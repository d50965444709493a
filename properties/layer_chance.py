"""What masks decide in training, whatever is dropped, and whatever was called before."""

from __future__ import annotations

import functools

import msgspec
import numpy as np

from catalogue.expressions import Output, expression, literal
from catalogue.layer_cases import LayerCase
from catalogue.layers import LAYER_ENTRIES
from properties.comparisons import Agrees, Comparison, Plan
from properties.layer_setting import LayerSetting
from properties.layers import certain
from properties.registry import declare
from strategies.layers import layer_configurations, plain_case

__all__: list[str] = []


@functools.cache
def _drops(layer: str) -> bool:
    """Whether some call of the layer is left to chance."""
    entry = LAYER_ENTRIES[layer]
    cases = (plain_case(one) for one in layer_configurations(entry))
    return True in entry.trainings and entry.reference is not None and not all(map(certain, cases))


@declare(
    family="layers",
    source="keras.io/guides/understanding_masking_and_padding, Introduction ('should be skipped "
    "when processing the data'); the layer's page, `dropout`: it is of what is computed",
    applies=lambda case: not certain(case),
    of=_drops,
    chance="any",
    apart=True,
)
def layer_chance(case: LayerCase) -> Plan:
    """Dropout in training changes no shape, and nothing that masks alone decide.

    Not behind a call on other rows and steps either.
    """
    setting = LayerSetting(case)
    setting.call_elsewhere(setting.layer(fresh=True))
    setting.call("y", mode="eager")
    expected, _ = LayerSetting(msgspec.structs.replace(case, training=False)).expected()
    assert expected is not None
    held = setting.entry.held(case) if setting.entry.held is not None else [None] * len(expected)
    comparisons: list[Comparison] = []
    for k, (name, array, where) in enumerate(zip(setting.names, expected, held, strict=True)):
        y = Output("y", k)
        shape = name.replace("output", "shape")
        comparisons.append(Agrees(shape, expression("np.shape(y)", y=y), literal(array.shape)))
        if where is None:
            continue
        at = where.reshape(*where.shape, *[1] * (array.ndim - where.ndim))
        said = np.broadcast_to(at, array.shape) & ~np.isnan(array)
        found = expression("y[held]", y=y, held=literal(said, "held"))
        comparisons.append(Agrees(f"held {name}", found, literal(array[said], "expected")))
    return Plan(tuple(setting.steps), tuple(comparisons))
