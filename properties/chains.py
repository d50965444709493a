"""What chains of layers must do with masks, however they are built and run."""

from __future__ import annotations

import numpy as np

from catalogue.cases import FINITE_CONTENTS
from catalogue.chains import ChainCase, Way
from catalogue.expressions import Output, expression, literal
from properties.chain_setting import ChainSetting
from properties.comparisons import Agrees, Comparison, Level, Plan, Runs
from properties.registry import declare

__all__: list[str] = []

_GUIDE = "keras.io/guides/understanding_masking_and_padding"
_BUILDING = "keras.io/guides/functional_api, keras.io/guides/sequential_model: the same layers"
_RUNNING = "keras.io/api/models/model_training_apis, predict and predict_on_batch"


@declare(family="chains", source=f"{_GUIDE}, Mask propagation in the Sequential and Functional API")
def prediction(case: ChainCase) -> Plan:
    """The mask behind each layer of a chain is the one that the layers' contracts give."""
    setting = ChainSetting(case)
    setting.call("y", setting.model(all_outputs=True), outputs=len(case.nodes))
    return _in_order(setting, _masks(setting), [])


@declare(family="chains", source="the pages of the layers: what each computes, one after the other")
def chain_truth(case: ChainCase) -> Plan:
    """Behind each layer of a chain stands what the NumPy references of the layers give."""
    setting = ChainSetting(case)
    setting.call("y", setting.model(all_outputs=True), outputs=len(case.nodes))
    outputs = []
    for place, (label, stage) in enumerate(zip(setting.labels(), setting.stages, strict=True)):
        said = ~np.isnan(stage.output)
        if stage.mask is not None:
            behind = [1] * (stage.output.ndim - stage.mask.ndim)
            said &= stage.mask.reshape(*stage.mask.shape, *behind)
        outputs.append(
            Agrees(
                f"output of {label}",
                expression("y[said]", y=Output("y", place), said=literal(said, "said")),
                literal(stage.output[said], "expected"),
                setting.tolerances[place],
            )
        )
    return _in_order(setting, _masks(setting), outputs)


@declare(
    family="chains",
    source=f"{_GUIDE}, Introduction ('should be skipped when processing the data')",
    choices=("other",),
)
def chain_isolation(case: ChainCase) -> Plan:
    """What masked steps of a chain's inputs hold changes nothing valid behind any layer."""
    setting = ChainSetting(case)
    model = setting.model(all_outputs=True)
    setting.call("y", model, outputs=len(case.nodes))
    setting.call("z", model, content=case.other, outputs=len(case.nodes))
    contents = {case.other, *(tensor.content for tensor in case.tensors)}
    level: Level = "must" if contents <= set(FINITE_CONTENTS) else "should"
    outputs = [
        Agrees(
            f"output of {label}",
            setting.at_valid("z", place),
            setting.at_valid("y", place),
            None,
            level,
        )
        for place, label in enumerate(setting.labels())
    ]
    return _in_order(setting, _masks(setting), outputs)


@declare(family="chains", source=_BUILDING, share=3, dear=True)
def builds_agree(case: ChainCase) -> Plan:
    """Built in any way, the same layers with the same weights give the same values and masks."""
    setting = ChainSetting(case)
    setting.call("y", setting.model())
    ways: list[Way] = ["subclassed", "layer by layer"]
    if case.linear and case.maker == "masking":
        ways.append("sequential")
    if case.linear and len(case.nodes) > 1:
        ways.append("nested")
    comparisons: list[Comparison] = []
    for way in ways:
        name = way.split()[0]
        setting.call(name, setting.model(way))
        comparisons += _agree(setting, way, name)
    return Plan(tuple(setting.steps), tuple(comparisons))


@declare(family="chains", source=_RUNNING, share=3, dear=True)
def runs_agree(case: ChainCase) -> Plan:
    """Run in any way, a model gives the same: traced, eagerly, by `predict`, or from a file."""
    setting = ChainSetting(case)
    model = setting.model()
    setting.call("y", model, mode="graph")
    setting.call("eager", model, mode="eager")
    setting.call("batch", model, method="predict_on_batch")
    comparisons = _agree(setting, "eager", "eager")
    comparisons += _agree(setting, "predict_on_batch", "batch", masks=False)
    if case.weights % 3 == 0:  # the dear ones, on a share
        setting.call("predicted", model, method="predict")
        comparisons += _agree(setting, "predict", "predicted", masks=False)
    if case.weights % 3 == 1:
        setting.call("saved", model, saved=True)
        comparisons += _agree(setting, "saved and loaded", "saved")
    return Plan(tuple(setting.steps), tuple(comparisons))


@declare(
    family="chains",
    source="contracts: a call leaves its inputs, their masks and the layer as they were",
    share=2,
)
def chain_second_call(case: ChainCase) -> Plan:
    """A second call of a model on the same arrays gives what the first gave, masks included."""
    setting = ChainSetting(case)
    model = setting.model(all_outputs=True)
    setting.call("y", model, outputs=len(case.nodes))
    setting.call("z", model, outputs=len(case.nodes), twice=True)
    masks, outputs = [], []
    for place, label in enumerate(setting.labels()):
        after, before = (Output(f"{name}.mask", place) for name in ("z", "y"))
        masks.append(Agrees(f"mask behind {label}", after, before))
        again, once = setting.at_valid("z", place), setting.at_valid("y", place)
        outputs.append(Agrees(f"output of {label}", again, once))
    return _in_order(setting, masks, outputs)


def _agree(setting: ChainSetting, what: str, name: str, *, masks: bool = True) -> list[Comparison]:
    """The last output of a call, and its mask, are those of the call `y`."""
    last = len(setting.case.nodes) - 1
    tolerance = setting.tolerances[last]
    one, other = (setting.at_valid(call, last, 0) for call in (name, "y"))
    found: list[Comparison] = [Agrees(f"output, {what}", one, other, tolerance)]
    if masks:
        found.insert(0, Agrees(f"mask, {what}", Output(f"{name}.mask"), Output("y.mask")))
    return found


def _masks(setting: ChainSetting) -> list[Agrees]:
    """Behind each layer stands the mask that the contracts give."""
    return [
        Agrees(f"mask behind {label}", Output("y.mask", place), literal(stage.mask, "expected"))
        for place, (label, stage) in enumerate(zip(setting.labels(), setting.stages, strict=True))
    ]


def _in_order(setting: ChainSetting, masks: list[Agrees], outputs: list[Agrees]) -> Plan:
    """A plan whose first failure is at the layer that is to blame, of which all others follow."""
    comparisons: list[Comparison] = [Runs("runs", "y")]
    for place, mask in enumerate(masks):
        comparisons += [mask, *outputs[place : place + 1]]
    return Plan(tuple(setting.steps), tuple(comparisons), first_only=True)
