"""What every layer that is given sequences must do with their masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from catalogue.cases import FINITE_CONTENTS
from catalogue.expressions import Output, expression, literal
from catalogue.layer_cases import LayerCase
from catalogue.layers import LAYER_ENTRIES
from properties.comparisons import Agrees, Comparison, Level, Plan
from properties.layer_setting import LayerSetting
from properties.registry import declare

__all__: list[str] = []

_GUIDE = "keras.io/guides/understanding_masking_and_padding"


def _reaches(case: Any) -> bool:
    return bool(case.form != "absent" and any(tensor.masked for tensor in case.tensors))


def _certain(case: Any) -> bool:
    return not LAYER_ENTRIES[case.spec.layer].random(case)


@declare(
    family="layers",
    source=f"{_GUIDE}, Mask propagation; the layer's page; where it says nothing, the rules that "
    "a step is valid if all it was computed from was, and that a mask that comes in goes out",
)
def passage(case: LayerCase) -> Plan:
    """The mask on the output is the one that the layer's contract gives, of dtype bool."""
    setting = LayerSetting(case)
    setting.call("y")
    level: Level = "should" if "merging" in setting.entry.page else "must"
    mask = Agrees("mask", Output("y.mask"), literal(setting.passed, "expected"), None, level)
    return Plan(tuple(setting.steps), (mask,))


@declare(
    family="layers",
    source=f"{_GUIDE}, Introduction ('should be skipped when processing the data')",
    applies=lambda case: _reaches(case) and _certain(case),
    of=lambda layer: LAYER_ENTRIES[layer].isolates,
    choices=("other",),
)
def layer_isolation(case: LayerCase) -> Plan:
    """What masked steps hold changes nothing at valid steps of the output, bitwise."""
    setting = LayerSetting(case)
    setting.call("y")
    setting.call("z", content=case.other)
    contents = {case.other, *(tensor.content for tensor in case.tensors if tensor.masked)}
    level: Level = "must" if contents <= set(FINITE_CONTENTS) else "should"
    agree = Agrees("output", setting.at_valid("z"), setting.at_valid("y"), None, level)
    return Plan(tuple(setting.steps), (agree,))


@declare(
    family="layers",
    source="the layer's page: what it computes, and what it does with masks",
    applies=_certain,
    of=lambda layer: LAYER_ENTRIES[layer].reference is not None,
)
def layer_truth(case: LayerCase) -> Plan:
    """Outputs at valid steps equal the NumPy reference."""
    setting = LayerSetting(case)
    expected, tolerance = setting.expected()
    comparisons: list[Comparison] = []
    if expected is not None:
        setting.call("y")
        comparisons.append(
            Agrees("shape", expression("np.shape(y)", y=Output("y")), literal(expected.shape))
        )
        # Where nothing is documented the reference has no number.
        said = ~np.isnan(expected)
        if setting.passed is not None:
            said &= _spread(setting.passed, expected.ndim)
        comparisons.append(
            Agrees(
                "output",
                expression("y[said]", y=Output("y"), said=literal(said, "said")),
                literal(expected[said], "expected"),
                tolerance,
            )
        )
    return Plan(tuple(setting.steps), tuple(comparisons))


@declare(
    family="layers",
    source="a layer that isolates padding has nothing to be NaN from: rule of contracts",
    applies=lambda case: all(tensor.content in FINITE_CONTENTS[:4] for tensor in case.tensors),
    choices=("finite",),
)
def finite_output(case: LayerCase) -> Plan:
    """Finite inputs give finite outputs at valid steps, fully masked rows included."""
    setting = LayerSetting(case)
    setting.call("y")
    count = expression("np.isfinite(y).sum()", y=setting.at_valid("y"))
    agree = Agrees("finite values", count, expression("np.size(y)", y=setting.at_valid("y")))
    return Plan(tuple(setting.steps), (agree,))


@declare(
    family="layers",
    source="keras.io/guides/writing_a_custom_training_loop_in_tensorflow: tf.function",
    applies=_certain,
    share=3,
    dear=True,
)
def layer_eager_graph(case: LayerCase) -> Plan:
    """An eager call and a traced one give the same output and the same mask."""
    setting = LayerSetting(case)
    setting.call("y", mode="eager")
    setting.call("z", mode="graph")
    return Plan(
        tuple(setting.steps),
        (
            Agrees("mask", Output("z.mask"), Output("y.mask")),
            Agrees("output", setting.at_valid("z"), setting.at_valid("y"), setting.tolerance),
        ),
    )


def _spread(mask: np.ndarray, rank: int) -> np.ndarray:
    """A mask with axes of size 1 behind it, up to a rank."""
    return mask.reshape(*mask.shape, *[1] * (rank - mask.ndim))
