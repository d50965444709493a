"""Ways to build and to run a chain: they agree, whatever they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from catalogue.chain_shapes import ways_of, without_nests
from catalogue.chains import ChainCase
from catalogue.expressions import Output, expression, literal
from properties.chain_setting import ChainSetting, called_again
from properties.comparisons import Agrees, Comparison, Level, Plan
from properties.registry import declare
from properties.symbolic import HDF5

__all__: list[str] = []

_BUILDING = "keras.io/guides/functional_api, keras.io/guides/sequential_model: the same layers"
_RUNNING = "keras.io/api/models/model_training_apis, predict and predict_on_batch"


@declare(family="chains", source=_BUILDING, choices=("nests",), share=4, dear=True)
def builds_agree(case: ChainCase) -> Plan:
    """Built in any way, the same layers with the same weights give the same values and masks.

    Functional, subclassed, Sequential, layer by layer, and with models in models.
    """
    flat = ChainSetting(without_nests(case))
    ways = ways_of(flat.case)
    flat.call("y", flat.model(ways[0]))
    comparisons: list[Comparison] = []
    for way in ways[1:]:
        name = way.split()[0]
        flat.call(name, flat.model(way))
        comparisons += _agree(flat, way, name)
    steps = list(flat.steps)
    if _models(case):
        nested = ChainSetting(case)
        several = ways_of(case)
        outer = several[case.weights % len(several)]
        nested.call("nested", nested.model(outer, name=f"nested_{outer.split()[0]}"))
        steps += nested.steps
        comparisons += _agree(flat, f"nested in {outer}", "nested")
    return Plan(tuple(steps), tuple(comparisons))


def _models(case: ChainCase) -> bool:
    """Whether there are models in models, and nothing at whose border masks are lost."""
    return bool(case.nests) and all(nest.kind != "tf.function" for nest in case.nests)


def _known_by_name(case: ChainCase) -> bool:
    """Whether a file says all of a model: one of a class of our own it cannot."""
    return not any(nest.kind in ("subclassed", "tf.function") for nest in case.nests)


@declare(
    family="chains",
    source=f"{_RUNNING}; {HDF5}",
    applies=lambda case: "functional" in ways_of(case),
    share=4,
    dear=True,
)
def runs_agree(case: ChainCase) -> Plan:
    """Run in any way, a model gives the same: in a graph, eagerly, by `predict_on_batch`, in groups
    of rows, from HDF5, and, a third of the chains each, by `predict`, from a native file or
    compiled by XLA; and so does its clone.

    `predict` makes two batches, of which the last is smaller.
    """
    setting = ChainSetting(case)
    model = setting.model("functional")
    setting.call("y", model, mode="graph")
    setting.call("eager", model, mode="eager")
    setting.call("batch", model, method="predict_on_batch")
    comparisons = _agree(setting, "eager", "eager")
    comparisons += _agree(setting, "predict_on_batch", "batch", masks=False)
    rows = len(case.tensors[0].mask)
    if case.sizes != "known" and rows > 1:
        # Eagerly: a graph's Python, where a mask could be remembered, runs once.
        setting.call("first", model, mode="eager", at=f":{rows // 2}")
        setting.call("rest", model, mode="eager", at=f"{rows // 2}:")
        comparisons += _in_groups(setting)
    if case.weights % 2 and _known_by_name(case):
        setting.call("clone", model, cloned=True)
        comparisons += _agree(setting, "cloned", "clone")
    if _known_by_name(case):
        setting.call("legacy", model, saved="h5")
        comparisons += _agree(setting, "loaded from HDF5", "legacy", level="should")
    if case.weights % 3 == 0:  # the dear ones, on a share
        options = {} if case.sizes == "known" else {"batch_size": rows // 2 + 1}
        setting.call("predicted", model, method="predict", options=options)
        comparisons += _agree(setting, "predict", "predicted", masks=False)
    elif case.weights % 3 == 1 and _known_by_name(case):
        setting.call("saved", model, saved="keras")
        comparisons += _agree(setting, "saved and loaded", "saved")
    elif case.weights % 3 == 2:
        setting.call("compiled", model, mode="xla")
        comparisons += _agree(setting, "compiled", "compiled")
    return Plan(tuple(setting.steps), tuple(comparisons))


def _in_groups(setting: ChainSetting) -> list[Comparison]:
    """Rows in two groups give what they give in one batch."""
    groups: dict[str, Any] = {name: Output(name) for name in ("first", "rest")}
    y = expression("np.concatenate([first, rest])", **groups)
    whole: Output = Output("y")
    last = len(setting.case.nodes) - 1
    mask = setting.stages[last].mask
    left, right = y, expression("y", y=whole)
    if mask is not None:
        valid = literal(mask, "valid")
        left, right = (expression("y[valid]", y=one, valid=valid) for one in (y, whole))
    masks: dict[str, Any] = {name: Output(f"{name}.mask") for name in ("first", "rest")}
    joined = expression("None if first is None else np.concatenate([first, rest])", **masks)
    return [
        Agrees("mask, in groups of rows", joined, Output("y.mask")),
        Agrees("output, in groups of rows", left, right, setting.tolerances[last]),
    ]


@declare(
    family="chains",
    source="keras.io/api/models/model, call ('mask: a mask or list of masks. A mask can be either "
    "a boolean tensor or None'); contracts: a call leaves its inputs as they were",
    applies=lambda case: case.maker in ("travelling", "optional") and "functional" in ways_of(case),
    share=6,
    dear=True,
)
def chain_mask_argument(case: ChainCase) -> Plan:
    """A model called with `mask=` has the masks of its inputs, and forgets them afterwards.

    The output and its mask are those of inputs that carry the masks, `compute_mask` says the same,
    and a call without a mask on the same tensors gives what it gave before.
    """
    setting = called_again(case)
    last = len(case.nodes) - 1
    stage, tolerance = setting.stages[last], setting.tolerances[last]
    comparisons: list[Comparison] = [
        Agrees("mask, given", Output("y.mask", 1), literal(stage.mask, "expected")),
        Agrees("output, given", *setting.known("y", last, 1), tolerance),
        Agrees("mask, again without", Output("y.mask", 2), Output("y.mask", 0)),
        Agrees("output, again without", Output("y", 2), Output("y", 0), tolerance),
    ]
    if case.maker != "optional":
        said = np.float32(-1) if stage.mask is None else stage.mask.astype(np.float32)
        expected = literal(said, "expected")
        comparisons.append(Agrees("compute_mask", Output("y", 3), expected, None, "should"))
    if case.maker != "optional" and "sequential" in ways_of(case):
        other = called_again(case, "other", turn=1)
        comparisons += [
            Agrees("mask, given in another way", Output("other.mask", 1), literal(stage.mask)),
            Agrees("output, given in another way", *other.known("other", last, 1), tolerance),
        ]
        return Plan((*setting.steps, *other.steps), tuple(comparisons))
    return Plan(tuple(setting.steps), tuple(comparisons))


def _agree(
    setting: ChainSetting, what: str, name: str, *, masks: bool = True, level: Level = "must"
) -> list[Comparison]:
    """The last output of a call, and its mask, are those of the call `y`."""
    last = len(setting.case.nodes) - 1
    tolerance = setting.tolerances[last]
    one, other = (setting.at_valid(call, last, 0) for call in (name, "y"))
    found: list[Comparison] = [Agrees(f"output, {what}", one, other, tolerance, level)]
    if masks:
        pair = Output(f"{name}.mask"), Output("y.mask")
        found.insert(0, Agrees(f"mask, {what}", *pair, None, level))
    return found
