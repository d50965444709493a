"""What every layer that is given sequences must do with their masks."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from catalogue.attention_reference import number_of_heads
from catalogue.cases import FINITE_CONTENTS
from catalogue.chance import by_seed
from catalogue.custom_layers import CUSTOM_LAYERS
from catalogue.expressions import Expression, Output, expression, literal
from catalogue.layer_cases import LayerCase
from catalogue.layer_reference import batch_normalized_after_training, merged_where_valid
from catalogue.layers import LAYER_ENTRIES, entry_of
from properties.comparisons import Agrees, Comparison, Level, Plan, Tells, Tolerance
from properties.layer_setting import LayerSetting
from properties.registry import declare

__all__ = ["certain", "decided", "reaches"]

_GUIDE = "keras.io/guides/understanding_masking_and_padding"
_ELEMENTWISE = ("Add", "Multiply", "Average", "Maximum", "Minimum")


def reaches(case: Any) -> bool:
    """Whether a mask reaches the layer in this case."""
    return bool(
        case.form in ("travelling", "explicit") and any(tensor.masked for tensor in case.tensors)
    )


def certain(case: Any) -> bool:
    """Whether chance has no part in what comes out."""
    return not entry_of(case).random(case)


def decided(case: Any) -> bool:
    """Whether chance has no part, or a seed decides what it does."""
    return certain(case) or by_seed(case.spec)


@declare(
    family="layers",
    source=f"{_GUIDE}, Mask propagation; the layer's page; where it says nothing, the rules that "
    "a step is valid if all it was computed from was, and that a mask that comes in goes out",
)
def passage(case: LayerCase) -> Plan:
    """The mask on the output is the one that the layer's contract gives, of dtype bool.

    States have no steps, and carry none.
    """
    setting = LayerSetting(case)
    setting.call("y")
    level: Level = "should" if _by_rules(case) else "must"
    out, expected = Output("y.mask"), literal(setting.passed, "expected")
    if setting.entry.stops:  # where none goes out the user is told: another property
        kept = expression("expected if mask is None else mask", mask=out, expected=expected)
        return Plan(tuple(setting.steps), (Agrees("mask", kept, expected, None, level),))
    agree = [Agrees("mask", out, expected, None, level)]
    carriers = setting.entry.carriers(case)
    states = "recurrent" in setting.entry.page
    for place in range(1, setting.entry.outputs(case) if states else carriers):
        right = expected if place < carriers else literal(None)
        carried = Output("y.mask", place)
        agree.append(Agrees(f"mask of output {place}", carried, right, None, level))
    return Plan(tuple(setting.steps), tuple(agree))


def _by_rules(case: LayerCase) -> bool:
    """Whether no page says what becomes of the mask, and the rules alone do."""
    several = len(case.tensors) > 1 or case.spec.get("signs")
    return "merging" in entry_of(case).page or (case.spec.layer == "Opting" and bool(several))


@declare(
    family="layers",
    source="keras.io/api/layers/core_layers/masking ('If any downstream layer does not support "
    "masking yet receives such an input mask, an exception will be raised'); a warning tells too",
    share=2,
)
def told(case: LayerCase) -> Plan:
    """Where a mask stops its user is told, and nowhere else."""
    setting = LayerSetting(case)
    setting.call("y")
    stops = setting.entry.stops and reaches(case)
    return Plan(tuple(setting.steps), (Tells("told", "y", None if stops else False),))


@declare(
    family="layers",
    source=f"{_GUIDE}, Introduction ('should be skipped when processing the data')",
    applies=lambda case: reaches(case) and decided(case),
    of=lambda layer: LAYER_ENTRIES[layer].isolates,
    choices=("other",),
    chance="seeded",
)
def layer_isolation(case: LayerCase) -> Plan:
    """What masked steps hold changes nothing at valid steps of the output, bitwise."""
    setting = LayerSetting(case)
    setting.call("y")
    setting.call("z", content=case.other, layer=None if certain(case) else setting.again())
    contents = {case.other, *(tensor.content for tensor in case.tensors if tensor.masked)}
    level: Level = "must" if contents <= set(FINITE_CONTENTS) else "should"
    agree = [
        Agrees(name, setting.at_valid("z", k), setting.at_valid("y", k), None, level)
        for k, name in enumerate(setting.names)
    ]
    return Plan(tuple(setting.steps), tuple(agree))


@declare(
    family="layers",
    source="keras.io/api/layers/normalization_layers/batch_normalization: in training the layer "
    "updates moving_mean and moving_var, with which it normalizes in inference; `mask`",
    applies=lambda case: reaches(case) and case.training is True,
    of=lambda layer: LAYER_ENTRIES[layer].layer == "BatchNormalization",
    choices=("other",),
)
def moving_statistics(case: LayerCase) -> Plan:
    """What masked steps hold in training changes nothing in what inference gives afterwards,
    which equals the NumPy reference."""
    setting = LayerSetting(case)
    trained = setting.call("y")
    inference = {**trained.kwargs, "training": False}
    after = dataclasses.replace(trained, name="after", kwargs=inference)
    setting.steps.append(after)
    other = setting.call("z", content=case.other, layer=setting.layer(another=True))
    setting.steps.append(dataclasses.replace(after, name="after_other", layer=other.layer))
    contents = {case.other, *(tensor.content for tensor in case.tensors if tensor.masked)}
    level: Level = "must" if contents <= set(FINITE_CONTENTS) else "should"
    # Where the call in training was refused there is no inference after it.
    one, varied = (
        expression("(trained, after)[1]", trained=Output(trained), after=setting.at_valid(after))
        for trained, after in (("y", "after"), ("z", "after_other"))
    )
    agree = [Agrees("output after training", varied, one, None, level)]
    expected, tolerance = setting.expected(batch_normalized_after_training)
    if expected is not None:
        told = expression("(trained, after)[1]", trained=Output("y"), after=Output("after"))
        agree.append(_as_said("truth after training", told, expected[0], setting, tolerance))
    return Plan(tuple(setting.steps), tuple(agree))


@declare(
    family="layers",
    source="the layer's page: what it computes, and what it does with masks",
    applies=certain,
    of=lambda layer: LAYER_ENTRIES[layer].reference is not None,
    kinds=("coinciding",),
)
def layer_truth(case: LayerCase) -> Plan:
    """Outputs at valid steps equal the NumPy reference, in the dtype that the layer computes in.

    Eagerly too where sizes coincide: an eager call knows them all, and may take one for another.
    """
    setting = LayerSetting(case)
    expected, tolerance = setting.expected()
    comparisons: list[Comparison] = []
    if expected is None:
        return Plan((), ())
    for call, mode in (("y", None), *([("eager", "eager")] if _sizes_coincide(case) else [])):
        setting.call(call, mode=mode)
        for k, (name, array) in enumerate(zip(setting.names, expected, strict=True)):
            y = Output(call, k)
            shape = name.replace("output", "shape")
            comparisons.append(Agrees(shape, expression("np.shape(y)", y=y), literal(array.shape)))
            comparisons.append(_as_said(name, Output(call, k), array, setting, tolerance, k))
            if setting.entry.layer not in CUSTOM_LAYERS:  # which choose for themselves
                dtype = name.replace("output", "dtype")
                computed = case.policy.removeprefix("mixed_")
                same = expression(f"y.dtype.name == {computed!r}", y=y)
                comparisons.append(Agrees(dtype, same, literal(True)))
    return Plan(tuple(setting.steps), tuple(comparisons))


def _sizes_coincide(case: LayerCase) -> bool:
    """Whether there are as many rows as steps, or as heads, which a graph does not know."""
    rows, steps, *_ = case.tensors[0].steps
    return not case.static and rows in (steps, number_of_heads(case.spec))


def _as_said(
    name: str,
    y: Output | Expression,
    expected: np.ndarray,
    setting: LayerSetting,
    tolerance: Tolerance,
    k: int = 0,
) -> Agrees:
    """An output of a call equals a reference where it is valid.

    Where nothing is documented the reference has no number.
    """
    said = ~np.isnan(expected)
    positions = setting.positions(k)
    if positions is not None:
        said &= np.broadcast_to(_spread(positions, expected.ndim), said.shape)
    left = expression("y[said]", y=y, said=literal(said, "said"))
    return Agrees(name, left, literal(expected[said], "expected"), tolerance)


@declare(
    family="layers",
    source="a layer whose output carries a mask isolates padding: rule 2 of contracts; pages of "
    "merging layers say nothing of masks",
    level="should",
    applies=reaches,
    of=lambda layer: layer in _ELEMENTWISE,
)
def partly_masked_steps(case: LayerCase) -> Plan:
    """What the output's own mask calls valid, though some of the tensors are masked there, is
    merged of those that are not."""
    setting = LayerSetting(case)
    setting.call("y")
    expected, tolerance = setting.expected(merged_where_valid)
    assert expected is not None
    said = ~np.isnan(expected[0])
    if not said.any():
        return Plan((), ())
    own = expression(
        "(e if mask is None else np.where(mask.reshape(*mask.shape, *[1] * (y.ndim - mask.ndim)), "
        "y, e))[said]",
        y=Output("y"),
        mask=Output("y.mask"),
        e=literal(expected[0], "merged"),
        said=literal(said, "partly"),
    )
    right = literal(expected[0][said], "expected")
    return Plan(tuple(setting.steps), (Agrees("output", own, right, tolerance, "should"),))


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
    agree = []
    for k, name in enumerate(setting.names):
        y = setting.at_valid("y", k)
        count = expression("np.isfinite(y).sum()", y=y)
        finite = name.replace("output", "finite values")
        agree.append(Agrees(finite, count, expression("np.size(y)", y=y)))
    return Plan(tuple(setting.steps), tuple(agree))


@declare(
    family="layers",
    source="keras.io/guides/writing_a_custom_training_loop_in_tensorflow: tf.function",
    applies=certain,
    kinds=("coinciding",),  # an eager call knows all sizes: where they are one, it may mix them
    dear=True,
    share=6,
    apart=True,
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
            *(
                Agrees(name, setting.at_valid("z", k), setting.at_valid("y", k), setting.tolerance)
                for k, name in enumerate(setting.names)
            ),
        ),
    )


def _spread(mask: np.ndarray, rank: int) -> np.ndarray:
    """A mask with axes of size 1 behind it, up to a rank."""
    return mask.reshape(*mask.shape, *[1] * (rank - mask.ndim))
