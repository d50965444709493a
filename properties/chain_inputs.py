"""Ways to give a model its inputs and their masks: they agree, or are refused."""

from __future__ import annotations

import dataclasses

import msgspec

from catalogue.chain_inputs import Form
from catalogue.chains import ChainCase, entry_of_node
from catalogue.expressions import Output
from properties.chain_setting import ChainSetting
from properties.comparisons import Agrees, Level, Plan, Raises
from properties.registry import declare

__all__ = ["twice"]

_MODEL = "keras.io/api/models/model"
_TRAINING = "keras.io/api/models/model_training_apis"
_GUIDE = "keras.io/guides/understanding_masking_and_padding"
_SEQUENCE, _TWO = "chain: sequence", "chain: two inputs"
_OPTIONAL = "chain: MaskedLSTMModel"


def _travelling(case: ChainCase) -> bool:
    """Whether the masks of a chain are told, so that they can come in any way, and all are used."""
    used, first = {len(case.tensors) + len(case.nodes) - 1}, len(case.tensors)
    for place in reversed(range(len(case.nodes))):
        used.update(case.nodes[place].inputs if first + place in used else ())
    return case.maker == "travelling" and used.issuperset(range(first))


def _using(case: ChainCase) -> bool:
    """Whether a layer of such a chain takes the mask as an argument."""
    return _travelling(case) and any(entry_of_node(node).explicit for node in case.nodes)


@declare(
    family="chains",
    source=f"{_MODEL}, call ('mask: a mask or list of masks'); {_GUIDE}, Mask propagation in the "
    "Sequential and Functional API; contracts: a default that is given explicitly changes nothing",
    of=lambda layer: layer == _TWO,
    applies=_travelling,
    choices=("meeting", "apart"),
    share=2,
    dear=True,
)
def inputs_agree(case: ChainCase) -> Plan:
    """A mask that comes with a call, on its tensor or as `mask=`, meets one that is made inside
    of the model as if both were made inside, also where layers are told their defaults."""
    setting = ChainSetting(case)
    setting.call("y", setting.model("functional"), mode="eager")
    setting.call("z", setting.model_given("one inside"), outputs=3, mode="eager")
    comparisons = [*_agree(setting, "travelling", ("z", 0)), *_agree(setting, "given", ("z", 1))]
    told = _agree(setting, "training=False given", ("z", 2), ("z", 1))
    return Plan(tuple(setting.steps), (*comparisons, *told))


@declare(
    family="chains",
    source=f"{_TRAINING} ('a dict mapping input names to the corresponding array/tensors, if the "
    "model has named inputs'); rule 3: a mask that comes in goes out",
    of=lambda layer: layer == _TWO,
    applies=_travelling,
    choices=("meeting",),
    share=4,
    dear=True,
)
def names_agree(case: ChainCase) -> Plan:
    """Inputs that are given by name bring their masks with them as in a list."""
    setting = ChainSetting(case)
    setting.call("z", setting.model_given("by name"), outputs=3, mode="eager")
    comparisons = [
        *_agree(setting, "by name", ("z", 1), ("z", 0)),
        *_agree(setting, "masks by name", ("z", 2), ("z", 0)),
    ]
    return Plan(tuple(setting.steps), tuple(comparisons))


@declare(
    family="chains",
    source=f"{_MODEL}, call ('mask: a mask or list of masks'), of its inputs; contracts: a call "
    "leaves inputs and their masks as they were",
    of=lambda layer: layer == _TWO,
    applies=_travelling,
    choices=("meeting",),
    share=2,
    dear=True,
)
def one_tensor_twice(case: ChainCase) -> Plan:
    """A tensor that is given for two inputs has the mask of each in its place."""
    setting = twice(case)
    setting.call("z", setting.model_given("one tensor twice"), outputs=2, mode="eager")
    return Plan(tuple(setting.steps), tuple(_agree(setting, "twice", ("z", 1), ("z", 0))))


def twice(case: ChainCase) -> ChainSetting:
    """The case with inputs of the same shape, of which each second step of the last is masked."""
    first, second = case.tensors
    other = tuple(("10" * len(row))[: len(row)] for row in first.mask)
    replace = msgspec.structs.replace
    first = replace(first, masked=True)
    second = replace(second, rest=first.rest, mask=other, masked=True)
    return ChainSetting(replace(case, tensors=(first, second)))


@declare(
    family="chains",
    source=f"{_MODEL}, call ('mask: a mask or list of masks'), of its inputs; contracts: a mask "
    "that fits no documented form is refused, never cut or ignored",
    level="should",
    of=lambda layer: layer in (_SEQUENCE, _TWO),
    applies=_travelling,
    share=12,
    dear=True,
)
def number_of_masks_refused(case: ChainCase) -> Plan:
    """A list of masks that is longer or shorter than that of a model's inputs is refused."""
    setting = ChainSetting(case)
    comparisons = []
    several: tuple[Form, ...] = ("a mask more", "a mask less")
    for form in several[: len(case.tensors)]:
        name = form.replace(" ", "_")
        setting.call(name, setting.model_given(form), outputs=2, mode="eager")
        comparisons.append(Raises(form, name, (), "should"))
    return Plan(tuple(setting.steps), tuple(comparisons))


@declare(
    family="chains",
    source=f"{_MODEL} ('you can create additional Functional models from intermediate tensors')",
    of=lambda layer: layer in (_SEQUENCE, _TWO, _OPTIONAL),
    applies=lambda case: bool(case.given) or _using(case),
    share=6,
    dear=True,
)
def intermediate_tensors_agree(case: ChainCase) -> Plan:
    """A model that begins at intermediate tensors which carry masks gives, on tensors that carry
    such, what its layers give behind those; so does one that is given the mask besides."""
    setting = ChainSetting(case)
    form: Form = "from within, mask given" if case.given else "from within"
    setting.call("y", setting.model(None if case.given else "functional"), mode="eager")
    setting.call("z", setting.model_given(form), mode="eager")
    comparisons = _agree(setting, "from intermediate tensors", ("z", 0))
    return Plan(tuple(setting.steps), tuple(comparisons))


@declare(
    family="chains",
    source=f"{_TRAINING}, predict and predict_on_batch (x: 'a backend-native tensor'); rule 3: a "
    "mask that comes in goes out, or its user is told that it does not",
    level="should",
    of=lambda layer: layer == _SEQUENCE,
    applies=_using,
    share=12,
    dear=True,
)
def masked_tensors_run(case: ChainCase) -> Plan:
    """Given tensors that carry masks `predict` and `predict_on_batch` give what a call gives."""
    setting = ChainSetting(case)
    setting.call("z", setting.model_given("run"), outputs=3, mode="eager")
    comparisons: list[Agrees] = []
    for index, what in ((1, "predict_on_batch"), (2, "predict")):
        output = _agree(setting, what, ("z", index), ("z", 0), "should")[-1]
        comparisons.append(output)  # what these hand back carries no mask
    return Plan(tuple(setting.steps), tuple(comparisons))


@declare(
    family="chains",
    source="keras.io/api/layers/core_layers/input ('An optional input can accept None values'); "
    "keras.models.clone_model: a clone has the layers of its model",
    of=lambda layer: layer == _OPTIONAL,
    share=4,
    dear=True,
)
def optional_masks_agree(case: ChainCase) -> Plan:
    """A model whose mask is an optional input, and its clone, give with a mask and with None what
    a model with an optional argument gives.

    A Keras that knows no optional inputs refuses them.
    """
    setting = ChainSetting(case)
    setting.call("y", setting.model(), mode="eager")
    setting.call("z", setting.model_given("optional"), mode="eager")
    setting.call("clone", setting.model_given("optional, cloned"), mode="eager")
    comparisons = [
        *_agree(setting, "optional", ("z", 0)),
        *_agree(setting, "cloned", ("clone", 0)),
    ]
    unknown = [
        dataclasses.replace(one, refusable=True, refusals=("TypeError",)) for one in comparisons
    ]
    return Plan(tuple(setting.steps), tuple(unknown))


def _agree(
    setting: ChainSetting,
    what: str,
    left: tuple[str, int],
    right: tuple[str, int] = ("y", 0),
    level: Level = "must",
) -> list[Agrees]:
    """The mask of one call's output, and the output, are those of another's."""
    last = len(setting.case.nodes) - 1
    one, other = (setting.at_valid(call, last, index) for call, index in (left, right))
    masks = [Output(f"{call}.mask", index) for call, index in (left, right)]
    return [
        Agrees(f"mask, {what}", masks[0], masks[1], None, level),
        Agrees(f"output, {what}", one, other, setting.tolerances[last], level),
    ]
