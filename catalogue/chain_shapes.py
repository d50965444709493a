"""What fits in a chain: features and dtypes of its tensors, its nested models, ways to build it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import msgspec

from catalogue.chains import WAYS, ChainCase, Nest, Node, Way
from catalogue.specs import Spec

__all__ = [
    "Unit",
    "can_nest",
    "dtypes",
    "features",
    "fits",
    "inputs_of",
    "nested_in",
    "settled",
    "units",
    "visible",
    "ways_of",
    "without_nests",
]

_STEPLESS = ("GlobalAveragePooling1D", "Flatten")
_RECURRENT = ("LSTM", "GRU", "SimpleRNN")


@dataclasses.dataclass(frozen=True)
class Unit:
    """What is called at one level of a model: a node, or a nest of several.

    `inputs` are the numbers of the tensors that it is given, `place` is that of its last node.
    """

    first: int
    end: int
    nest: int | None
    inputs: tuple[int, ...]

    @property
    def place(self) -> int:
        """The node whose output comes out."""
        return self.end - 1


def units(case: ChainCase, nest: int | None = None) -> list[Unit]:
    """What is called, in order: in the model itself, or in a nest of this number."""
    level = Nest(0, len(case.nodes)) if nest is None else case.nests[nest]
    inner = [
        (number, one)
        for number, one in enumerate(case.nests)
        if (nest is None or number > nest) and level.first <= one.first and one.end <= level.end
    ]
    found, place = [], level.first
    while place < level.end:
        held = next(((number, one) for number, one in inner if one.first == place), None)
        if held is None:
            found.append(Unit(place, place + 1, None, case.nodes[place].inputs))
        else:
            number, one = held
            found.append(Unit(one.first, one.end, number, inputs_of(case, one)))
        place = found[-1].end
    return found


def inputs_of(case: ChainCase, nest: Nest) -> tuple[int, ...]:
    """The numbers of the tensors that a nest is given, in the order in which it uses them."""
    own = range(len(case.tensors) + nest.first, len(case.tensors) + nest.end)
    used = [number for node in case.nodes[nest.first : nest.end] for number in node.inputs]
    return tuple(dict.fromkeys(number for number in used if number not in own))


def visible(case: ChainCase) -> list[int]:
    """The places whose outputs the model itself sees: those inside of nests it does not."""
    return [unit.place for unit in units(case)]


def can_nest(case: ChainCase, nest: Nest) -> bool:
    """Whether these nodes can be a model: only its last output is used outside of it."""
    outputs = range(len(case.tensors) + nest.first, len(case.tensors) + nest.end - 1)
    outside = [*case.nodes[: nest.first], *case.nodes[nest.end :]]
    if any(number in outputs for node in outside for number in node.inputs):
        return False
    if nest.kind != "sequential":
        return True
    start = len(case.tensors) + nest.first - 1
    nodes = case.nodes[nest.first : nest.end]
    first = nodes[0].inputs
    return len(first) == 1 and all(
        node.operation is None and (place == 0 or node.inputs == (start + place,))
        for place, node in enumerate(nodes)
    )


def nested_in(outer: Nest, inner: Nest) -> bool:
    """Whether a nest lies in another, or is apart from it."""
    within = outer.first <= inner.first and inner.end <= outer.end
    return within or inner.end <= outer.first or outer.end <= inner.first


def ways_of(case: ChainCase) -> tuple[Way, ...]:
    """The ways in which a chain can be built."""
    found = list(WAYS)
    plain = all(node.operation is None for node in case.nodes)
    if not (case.linear and plain and case.maker in ("masking", "argument", "travelling")):
        found.remove("sequential")
    if any(nest.kind == "tf.function" for nest in case.nests):
        # No symbolic tensor goes into a function of TensorFlow.
        found = [way for way in found if way not in ("functional", "sequential")]
    if case.maker == "argument":
        found = [way for way in found if way in ("functional", "sequential")]
    return tuple(found)


def without_nests(case: ChainCase) -> ChainCase:
    """The same layers, all in one model."""
    return msgspec.structs.replace(case, nests=())


def features(case: ChainCase) -> list[tuple[int, ...]]:
    """What stands behind (batch, step) in each tensor: its features; nothing without steps."""
    found: list[tuple[int, ...]] = [tensor.rest for tensor in case.tensors]
    for node in case.nodes:
        found.append(_behind(node, [found[number] for number in node.inputs]))
    return found


def dtypes(case: ChainCase) -> list[str]:
    """The dtype of each tensor."""
    computed = [node.policy.removeprefix("mixed_") for node in case.nodes]
    return [case.dtype] * len(case.tensors) + computed


def fits(case: ChainCase) -> bool:
    """Whether each layer can be called on what it is given, and each nest is one."""
    shapes: list[tuple[int, ...]] = [tensor.rest for tensor in case.tensors]
    for node in case.nodes:
        given = [shapes[number] for number in node.inputs]
        if any(shape == () for shape in given):
            return False  # no steps are left
        if len(set(given)) > 1 and node.spec.layer != "Concatenate":
            return False
        again = node if node.again is None else case.nodes[node.again]
        if given != [shapes[number] for number in again.inputs]:
            return False  # a layer is built for one number of features
        shapes.append(_behind(node, given))
    return all(can_nest(case, nest) for nest in case.nests)


def settled(case: ChainCase) -> ChainCase | None:
    """The case with the dtypes that plain operations then give; None where a cast is none."""
    nodes: list[Node] = []
    found = [case.dtype] * len(case.tensors)
    for node in case.nodes:
        if node.operation is not None:
            given = found[node.inputs[0]]
            if node.operation.dtype == given:
                return None
            node = msgspec.structs.replace(node, policy=node.operation.dtype or given)  # noqa: PLW2901
        nodes.append(node)
        found.append(node.policy.removeprefix("mixed_"))
    return msgspec.structs.replace(case, nodes=tuple(nodes))


def _behind(node: Node, given: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """What stands behind (batch, step) in a node's output; nothing where no steps are left."""
    spec = node.spec
    if spec.layer in _RECURRENT and not spec.get("return_sequences"):
        return ()
    if spec.layer in _STEPLESS or not given[0]:
        return ()
    if node.operation is not None:
        return (node.operation.features(given[0][-1]),)
    if spec.layer == "Concatenate":
        return (sum(shape[-1] for shape in given),)
    return next(_sizes(spec), given[0])


def _sizes(spec: Spec) -> Iterator[tuple[int, ...]]:
    """The number of features that a layer is asked for, where it is."""
    inner = spec.get("layer", spec)
    assert isinstance(inner, Spec)
    for name in ("units", "filters"):
        size = inner.get(name)
        if isinstance(size, int):
            yield (size,)
