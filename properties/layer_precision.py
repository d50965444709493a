"""What half precision makes of masked scores: numbers, in outputs and in gradients."""

from __future__ import annotations

from typing import Any

import msgspec

from catalogue.expressions import Expression, Output, expression, literal
from catalogue.layer_cases import LayerCase
from catalogue.steps import Gradient
from properties.comparisons import Agrees, Comparison, Plan
from properties.layer_calls import sources_of
from properties.layer_setting import LayerSetting
from properties.layers import certain
from properties.registry import declare

__all__: list[str] = []


# Each way to set numbers in place of scores that are masked, in the fewest configurations.
_WEIGHING = (
    "Attention",
    "MultiHeadAttention(explicit masks)",
    "Softmax(mask of elements)",
)


def _in_half(case: Any) -> bool:
    return bool(case.policy == "mixed_float16" and certain(case))


@declare(
    family="layers",
    source="keras.io/guides/mixed_precision; pages of attention: masked positions 'will not "
    "contribute to the result', 'the output will be set to zero'; a layer that isolates padding "
    "has nothing to be NaN from: rule of contracts",
    applies=_in_half,
    of=lambda layer: layer in _WEIGHING,
)
def finite_in_half_precision(case: LayerCase) -> Plan:
    """In half precision inputs of some units give finite outputs at valid steps, and finite
    gradients, fully masked rows included.

    Called eagerly, where padding is ones and one row is masked as a whole.
    """
    setting = LayerSetting(_of_some_units(case))
    call = setting.call("y", content="ones", mode="eager")
    where = tuple(
        None if setting.positions(k) is None else literal(setting.positions(k), f"counts{k or ''}")
        for k in range(len(setting.names))
    )
    setting.steps.append(Gradient("dy", call, sources_of(case), where))
    comparisons = [
        _finite(name.replace("output", "finite values"), setting.at_valid("y", k))
        for k, name in enumerate(setting.names)
    ]
    count = len(case.tensors) + len(setting.weight_shapes)
    comparisons += [
        _finite(f"finite gradient {place}", Output("dy", place)) for place in range(count)
    ]
    return Plan(tuple(setting.steps), tuple(comparisons))


def _of_some_units(case: LayerCase) -> LayerCase:
    """The same call on values of some units, which attention has for every fourth seed.

    The first row of what has a mask is masked as a whole.
    """
    replace, more = msgspec.structs.replace, (1 - case.tensors[0].seed) % 4
    tensors = []
    for one in case.tensors:
        first, *rows = one.mask
        tensors.append(replace(one, seed=one.seed + more, mask=("0" * len(first), *rows)))
    return replace(case, tensors=tuple(tensors))


def _finite(name: str, numbers: Expression | Output) -> Comparison:
    """All of some numbers are finite."""
    found = expression("np.isfinite(x).sum()", x=numbers)
    return Agrees(name, found, expression("np.size(x)", x=numbers))
