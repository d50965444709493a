"""Who sees the masks of a chain, and who is told where they stop."""

from __future__ import annotations

import msgspec
import numpy as np

from catalogue.chain_source import consumers
from catalogue.chains import ChainCase
from catalogue.expressions import Output, expression, literal
from properties.chain_setting import ChainSetting
from properties.comparisons import Agrees, Comparison, Plan, Tells
from properties.registry import declare

__all__: list[str] = []

_GUIDE = "keras.io/guides/understanding_masking_and_padding"
_OPERATIONS = "chain: plain operations"
_ALONE = ("Activation", "LayerNormalization", "ReLU", "Dense", "Dropout")


@declare(
    family="chains",
    source="contracts: a call leaves its inputs, their masks and the layer as they were",
    applies=lambda case: not case.nests,
    of=lambda layer: layer not in ("chain: nested models", "chain: MaskedLSTMModel"),
    share=4,
)
def consumers_agree(case: ChainCase) -> Plan:
    """A tensor's mask is the same for each of its consumers, in any order of calls."""
    setting = ChainSetting(case)
    masks = [*case.masks, *(stage.mask for stage in setting.stages)]
    shapes = [
        *(tensor.shape for tensor in case.tensors),
        *(stage.output.shape for stage in setting.stages),
    ]
    names = [
        *(f"input {number}" for number in range(len(case.tensors))),
        *setting.labels,
    ]
    comparisons: list[Comparison] = []
    for name, backwards in (("forwards", False), ("backwards", True)):
        noted = consumers(case, backwards=backwards)
        model = setting.model_of_consumers(backwards=backwards)
        setting.call(name, model, outputs=1 + len(noted))
        for place, (number, label) in enumerate(noted):
            mask = masks[number]
            said = np.full(shapes[number][:2], -1) if mask is None else mask
            after = f" after {label}" if label else ""
            expected = literal(said.astype(np.float32), "expected")
            what = f"mask of {names[number]}{after}, {name}"
            comparisons.append(Agrees(what, Output(name, 1 + place), expected))
    last = len(case.nodes) - 1
    one, other = (setting.at_valid(name, last, 0) for name in ("backwards", "forwards"))
    comparisons.append(Agrees("output, backwards", one, other, setting.tolerances[last]))
    return Plan(tuple(setting.steps), tuple(comparisons), first_only=True)


@declare(
    family="chains",
    source="keras.io/api/layers/core_layers/masking ('If any downstream layer does not support "
    "masking yet receives such an input mask, an exception will be raised'); a warning tells too",
    choices=("stops",),
    share=4,
)
def chain_told(case: ChainCase) -> Plan:
    """Where the mask stops inside a chain its user is told, once, of the layer, and else nowhere.

    Behind a plain operation or a function of TensorFlow no mask is left that could stop.
    """
    setting = ChainSetting(case)
    setting.call("y", setting.model())
    places = [place for place, stage in enumerate(setting.stages) if stage.told]
    told = Output("y.told")
    if not places:
        return Plan(tuple(setting.steps), (Tells("told", "y", False),))
    comparisons: list[Comparison] = [Tells("told", "y", True)]
    for place in places:
        layer = case.nodes[place].spec.layer
        # The warning names a layer by its class too: a name of its own no layer has here.
        times = expression(f"sum('{layer}' in one for one in told)", told=told)
        alike = sum(case.nodes[other].spec.layer == layer for other in places)
        comparisons.append(Agrees(f"told of {place} {layer}", times, literal(alike)))
    total = expression("len(told)", told=told)
    comparisons.append(Agrees("told once each", total, literal(len(places))))
    return Plan(tuple(setting.steps), tuple(comparisons), first_only=True)


@declare(
    family="chains",
    level="hazard",
    source=f"{_GUIDE}, Opting-in to mask propagation: Keras knows masks in layers, and cannot tell "
    "what is safe elsewhere",
    of=lambda layer: layer == _OPERATIONS,
    applies=lambda case: case.maker == "travelling",
    share=2,
)
def silent_losses(case: ChainCase) -> Plan:
    """A plain operation or a `tf.function` between layers drops the mask, and nobody is told.

    What follows gives what it gives where nothing was masked: padding takes part.
    """
    setting = ChainSetting(case)
    places = [place for place, stage in enumerate(setting.stages) if stage.lost]
    if not places:
        return Plan((), ())
    unmasked = ChainSetting(msgspec.structs.replace(case, maker="none"))
    setting.call("y", setting.model(all_outputs=True), outputs=len(setting.visible))
    name = unmasked.model(name="unmasked", all_outputs=True)
    unmasked.call("z", name, outputs=len(setting.visible))
    comparisons: list[Comparison] = [Tells("told", "y", False)]
    alike = _steps_alone(case, places[0])
    for index, place in enumerate(setting.visible):
        if place < places[0]:
            continue
        label = setting.labels[place]
        mask = Output("y.mask", index)
        comparisons.append(Agrees(f"mask behind {label}", mask, literal(None), None, "hazard"))
        if alike:
            sides = (Output("y", index), Output("z", index))
            tolerance = setting.tolerances[place]
            comparisons.append(Agrees(f"output of {label}", *sides, tolerance, "hazard"))
    return Plan((*setting.steps, *unmasked.steps), tuple(comparisons))


def _steps_alone(case: ChainCase, place: int) -> bool:
    """Whether all layers before a place give for each step what they give without a mask."""
    return all(node.spec.layer in _ALONE or node.operation for node in case.nodes[:place])
