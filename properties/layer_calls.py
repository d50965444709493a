"""What a layer's calls must have in common: with one another, with symbolic ones, when restored."""

from __future__ import annotations

import dataclasses
from typing import Any

from catalogue.expressions import Expression, Output, expression, literal
from catalogue.layer_cases import LayerCase
from catalogue.layers import LAYER_ENTRIES
from catalogue.steps import Call, Gradient, Operand, SymbolicCall, Through
from properties.comparisons import Agrees, Comparison, Level, Plan
from properties.layer_setting import LayerSetting
from properties.layers import certain, reaches
from properties.registry import declare
from properties.symbolic import HDF5, masks_there, shapes

__all__ = ["outputs_agree", "sources_of"]

_LAYER = "keras.io/api/layers/base_layer"
_TRACED = 6  # of so many cases one
_DEAR = ("Bidirectional", "ConvLSTM", "TimeDistributed")
_SAVING = "keras.io/guides/serialization_and_saving"


def outputs_agree(setting: LayerSetting, left: str, right: str, **bound: Any) -> list[Agrees]:
    """All outputs of two calls agree where they are valid, and so do their masks."""
    level: Level = bound.get("level", "must")
    mask = Agrees("mask", Output(f"{left}.mask"), Output(f"{right}.mask"), level=level)
    return [
        mask,
        *(
            Agrees(name, setting.at_valid(left, k), setting.at_valid(right, k), **bound)
            for k, name in enumerate(setting.names)
        ),
    ]


@declare(
    family="layers",
    source=f"{_LAYER}: a call transforms inputs into outputs; contracts: it leaves its inputs, "
    "their masks and the layer as they were",
    applies=certain,
    share=4,
    apart=True,
    plainest=True,
)
def no_trace(case: LayerCase) -> Plan:
    """A call gives what it gives of a fresh layer, whatever was called before, mask included.

    Before it come a call on other rows and steps that builds the layer, one with masks or without,
    and one on the same tensors, which have the masks afterwards that they had. A sixth is traced
    behind these.
    """
    setting = LayerSetting(case)
    setting.layer(fresh=True)
    # What a call leaves behind it leaves in Python: a graph would cost twenty times as much.
    setting.call("y", mode="eager")
    # A stateful layer would begin with the states of that call.
    stateful = case.spec.get("stateful") or case.spec.get("layer.stateful")
    used = setting.layer(another=True, fresh=True, called=not stateful)
    setting.call_elsewhere(used)
    # The plainest case of each configuration is among these, where a trace does not take a second.
    traced = case.weights % _TRACED == case.spec.layer.startswith(_DEAR)
    call = setting.call("z", layer=used, twice=True, mode="graph" if traced else "eager")
    tolerance = setting.tolerance if traced else None
    comparisons = outputs_agree(setting, "z", "y", tolerance=tolerance)
    if not traced:  # inside a graph nobody looks at the tensors afterwards
        comparisons += [
            Agrees(f"mask left on tensor {place}", Output("z.left", place), carried)
            for place, carried in enumerate(_carried(call))
        ]
    return Plan(tuple(setting.steps), tuple(comparisons))


def _carried(call: Call) -> list[Any]:
    """The masks that the tensors of a call carry when they are given to it."""
    pending: list[Operand] = [*call.args, *(value for _, value in sorted(call.kwargs.items()))]
    found: list[Any] = []
    while pending:
        one = pending.pop(0)
        if isinstance(one, list):
            pending[:0] = one
        elif isinstance(one, Through):
            found.append(one.operands[1])
        elif isinstance(one, Expression):
            found.append(literal(None))
    return found


@declare(
    family="layers",
    source=f"{_LAYER}, call: on symbolic tensors it gives what it gives on others",
    dear=True,
    share=3,
)
def layer_symbolic(case: LayerCase) -> Plan:
    """A symbolic call agrees with a traced one on shapes, dtypes and on which mask comes out."""
    setting = LayerSetting(case)
    call = setting.call("y")
    setting.steps.append(SymbolicCall("symbolic", call))
    comparisons: list[Comparison] = []
    for k, name in enumerate(setting.names):
        shape, dtype = name.replace("output", "shape"), name.replace("output", "dtype")
        y = Output("y", k)
        comparisons.append(Agrees(shape, *shapes(k)))
        same = expression("dtype == y.dtype.name", dtype=Output("symbolic.dtype", k), y=y)
        comparisons.append(Agrees(dtype, same, literal(True)))
    comparisons.append(Agrees("mask is there", *masks_there()))
    return Plan(tuple(setting.steps), tuple(comparisons))


def _differentiable(case: Any) -> bool:
    return bool(certain(case) and reaches(case) and "16" not in case.policy)


@declare(
    family="layers",
    source="keras.io/guides/understanding_masking_and_padding, Introduction ('should be skipped "
    "when processing the data'): what is skipped has no gradient and gives none",
    applies=_differentiable,
    of=lambda layer: LAYER_ENTRIES[layer].isolates and not LAYER_ENTRIES[layer].made,
    choices=("other", "finite"),
    share=4,
    apart=True,
)
def layer_gradient(case: LayerCase) -> Plan:
    """Gradients of valid outputs are zero at masked steps of inputs, and do not see padding."""
    setting = LayerSetting(case)
    outputs = range(len(setting.names))
    where = tuple(
        None if setting.positions(k) is None else literal(setting.positions(k), f"counts{k or ''}")
        for k in outputs
    )
    for name, content in (("y", None), ("z", case.other)):
        call = setting.call(name, content=content)
        setting.steps[-1] = Gradient(f"d{name}", call, sources_of(case), where)
    comparisons: list[Comparison] = []
    for place, tensor in enumerate(case.tensors):
        suffix = f" {place}" if len(case.tensors) > 1 else ""
        one, other = (Output(name, place) for name in ("dz", "dy"))
        comparisons.append(Agrees(f"gradient of input{suffix}", one, other))
        if tensor.masked:
            mask = setting.mask(place)
            at = expression("d[~mask]", d=other, mask=mask)
            zeros = expression("np.zeros_like(a)", a=at)
            comparisons.append(Agrees(f"gradient at masked steps{suffix}", at, zeros))
    for k in range(len(setting.weight_shapes)):
        one, other = (Output(name, len(case.tensors) + k) for name in ("dz", "dy"))
        comparisons.append(Agrees(f"gradient of weight {k}", one, other, sums=setting.tolerance))
    return Plan(tuple(setting.steps), tuple(comparisons))


def sources_of(case: LayerCase) -> tuple[int, ...]:
    """The places of the tensors among all that is given: each may bring its mask with it."""
    found, place = [], 0
    for tensor in case.tensors:
        found.append(place)
        place += 2 if tensor.masked and case.form == "travelling" else 1
    return tuple(found)


@declare(
    family="layers",
    source="rows of a batch are samples of their own; an empty batch is one of no rows",
    applies=lambda case: not case.static,
    of=lambda layer: not LAYER_ENTRIES[layer].sequences.known,
    share=3,
)
def zero_rows(case: LayerCase) -> Plan:
    """A batch of no rows gives outputs and a mask of no rows, of the same shape otherwise.

    Traced, and eagerly, where sizes are known and other kernels take them.
    """
    setting = LayerSetting(case)
    setting.call("y")
    setting.call("none", at=":0")
    setting.call("eager", at=":0", mode="eager")
    comparisons: list[Comparison] = []
    for call, how in (("none", ""), ("eager", ", eager")):
        for k, name in enumerate(setting.names):
            shape = expression("(0, *y.shape[1:])", y=Output("y", k))
            found = expression("y.shape", y=Output(call, k))
            comparisons.append(Agrees(f"{name.replace('output', 'shape')}{how}", found, shape))
        mask = expression("None if mask is None else mask[:0]", mask=Output("y.mask"))
        comparisons.append(Agrees(f"mask{how}", Output(f"{call}.mask"), mask))
    return Plan(tuple(setting.steps), tuple(comparisons))


@declare(
    family="layers",
    source="rows of a batch are samples of their own",
    applies=lambda case: certain(case) and case.training is not True and not case.static,
    of=lambda layer: not LAYER_ENTRIES[layer].sequences.known,
    share=3,
)
def row_alone(case: LayerCase) -> Plan:
    """A row by itself gives what it gives among others."""
    setting = LayerSetting(case)
    row = case.weights % case.tensors[0].shape[0]
    at = f"{row}:{row + 1}"
    setting.call("y")
    setting.call("alone", at=at)
    comparisons: list[Comparison] = []
    for k, name in enumerate(setting.names):
        valid, whole = setting.positions(k), expression(f"y[{at}]", y=Output("y", k))
        alone = Output("alone", k)
        if valid is not None:
            kept = valid[row : row + 1] if valid.shape[0] > 1 else valid
            said = literal(kept, f"valid{k or ''}")
            index = (
                "y[valid]"
                if setting.entry.positions is None
                else ("y[np.broadcast_to(valid, y.shape)]")
            )
            pair = [expression(index, y=side, valid=said) for side in (alone, whole)]
        else:
            pair = [alone, whole]  # type: ignore[list-item]
        comparisons.append(Agrees(name, pair[0], pair[1], setting.tolerance))
    mask = expression(f"None if mask is None else mask[{at}]", mask=Output("y.mask"))
    comparisons.append(Agrees("mask", Output("alone.mask"), mask))
    return Plan(tuple(setting.steps), tuple(comparisons))


@declare(
    family="layers",
    source="the layer's page, call argument `mask`: it is the mask that the layer uses",
    applies=lambda case: certain(case) and case.form == "explicit" and reaches(case),
    of=lambda layer: LAYER_ENTRIES[layer].explicit,
)
def layer_mask_precedence(case: LayerCase) -> Plan:
    """An explicit mask beats the one that travels with the tensor."""
    setting = LayerSetting(case)
    setting.call("y")

    def other(place: int) -> Any:
        return expression("~mask", "travelling_mask", mask=setting.mask(place))

    setting.call("z", travelling=other)
    comparisons: list[Comparison] = [
        Agrees(name, setting.at_valid("z", k), setting.at_valid("y", k))
        for k, name in enumerate(setting.names)
    ]
    comparisons.append(Agrees("mask", Output("z.mask"), Output("y.mask")))
    return Plan(tuple(setting.steps), tuple(comparisons))


@declare(
    family="layers",
    source=f"{_SAVING}: a layer restored from its configuration, or with its model from a file, "
    f"is the same layer; {HDF5}; keras.io/api/models/model ('you can create additional Functional "
    "models from intermediate tensors')",
    applies=certain,
    of=lambda layer: LAYER_ENTRIES[layer].restores,
    dear=True,
    share=5,
    covering=True,
    plainest=True,
)
def round_trip(case: LayerCase) -> Plan:
    """Restored from its configuration or from a file, of the native format or of HDF5, cloned with
    its model, or in a model that begins at intermediate tensors, a layer gives the same, masks
    included.

    The native file holds the configuration as it is, and HDF5 writes and reads it with a code of
    its own: a third of what is drawn goes into files, the plainest case of each configuration
    among it; a third is cloned, and a third cut off from its inputs. What has a list among its
    arguments always goes into HDF5, which reads lists in a way of its own.
    """
    setting = LayerSetting(case)
    setting.layer(fresh=True)  # a layer that has been called may remember it
    setting.call("y", mode="eager")
    restored = setting.layer(restored=True, fresh=True)
    setting.call("restored_y", layer=restored, mode="eager")
    ways = [("restored", "restored_y")]
    if case.weights % 3 == 0:
        setting.call("saved_y", saved="keras")
        ways.append(("saved", "saved_y"))
    elif case.weights % 3 == 1:
        setting.call("cloned_y", cloned=True)
        ways.append(("cloned", "cloned_y"))
    else:
        setting.call("cut_y", cut=True)
        ways.append(("cut", "cut_y"))
    lists = any(isinstance(value, tuple) for value in case.spec.arguments.values())
    if lists or case.weights % 3 == 0:
        setting.call("hdf5_y", saved="h5")
        ways.append(("loaded from HDF5", "hdf5_y"))
    comparisons: list[Comparison] = []
    for what, name in ways:
        for one in outputs_agree(setting, name, "y", tolerance=setting.tolerance):
            level: Level = "should" if name == "hdf5_y" else "must"
            said = f"{what} {one.name}"
            comparisons.append(dataclasses.replace(one, name=said, level=level))
    return Plan(tuple(setting.steps), tuple(comparisons))
