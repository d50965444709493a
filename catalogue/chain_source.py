"""The code of a chain, as a user would write it: it is run and printed from one text."""

from __future__ import annotations

import textwrap

from catalogue.chains import ChainCase, Maker, Node, Way
from catalogue.specs import Spec

__all__ = ["chain_source", "given_to"]


def given_to(maker: Maker) -> int:
    """How many arrays a model is given for each of its inputs: the values, and their mask."""
    return 2 if maker == "travelling" else 1


def chain_source(
    case: ChainCase, *, way: Way, name: str, mask_value: float = 0.0, all_outputs: bool = False
) -> str:
    """Code that defines `name`, a model (or a function) of a list of arrays, and `layers`.

    The arrays are, for each input, its values and (where its mask is told) its mask. What is
    handed back is the last output, or with `all_outputs` a list of every layer's.
    """
    makers = [f"mask_{number} = {_maker(case, mask_value)}" for number in range(len(case.tensors))]
    layers = [f"    {node.spec.with_policy(node.policy).source()}," for node in case.nodes]
    lines = [*makers, "layers = [", *layers, "]"]
    build = {
        "functional": _functional,
        "sequential": _sequential,
        "subclassed": _subclassed,
        "nested": _nested,
        "layer by layer": _layer_by_layer,
    }[way]
    return "\n".join([*lines, *build(case, name, all_outputs)])


def _maker(case: ChainCase, mask_value: float) -> str:
    if case.maker == "travelling":
        return Spec("Travelling").with_policy(case.dtype).source()
    return Spec("Masking", {"mask_value": mask_value}).with_policy(case.dtype).source()


def _inputs(case: ChainCase) -> list[str]:
    """Symbolic inputs, of unknown rows and steps."""
    found = []
    for tensor in case.tensors:
        found.append(f"keras.Input({(None, *tensor.rest)}, dtype={case.dtype!r})")
        if case.maker == "travelling":
            found.append("keras.Input((None,), dtype='bool')")
    return found


def _masked(case: ChainCase, given: str) -> list[str]:
    """Lines that make t0, t1, ... of the arrays in the list called `given`."""
    each = given_to(case.maker)
    lines = []
    for number in range(len(case.tensors)):
        place = number * each
        arrays = f"{given}[{place}]" if each == 1 else f"[{given}[{place}], {given}[{place + 1}]]"
        lines.append(f"t{number} = mask_{number}({arrays})")
    return lines


def _calls(nodes: tuple[Node, ...], first: int, layers: str, offset: int = 0) -> list[str]:
    """Lines that call the layers; the first node's output has the number `first`."""
    lines = []
    for place, node in enumerate(nodes):
        tensors = ", ".join(f"t{number}" for number in node.inputs)
        given = tensors if len(node.inputs) == 1 else f"[{tensors}]"
        lines.append(f"t{first + place} = {layers}[{offset + place}]({given})")
    return lines


def _result(case: ChainCase, all_outputs: bool) -> str:
    first, last = len(case.tensors), len(case.tensors) + len(case.nodes) - 1
    if not all_outputs or first == last:
        return f"t{last}"
    return f"[{', '.join(f't{n}' for n in range(first, last + 1))}]"


def _functional(case: ChainCase, name: str, all_outputs: bool) -> list[str]:
    return [
        f"inputs = [{', '.join(_inputs(case))}]",
        *_masked(case, "inputs"),
        *_calls(case.nodes, len(case.tensors), "layers"),
        f"{name} = keras.Model(inputs, {_result(case, all_outputs)})",
    ]


def _sequential(case: ChainCase, name: str, all_outputs: bool) -> list[str]:
    if not case.linear or case.maker != "masking" or all_outputs:
        raise ValueError("way='sequential' is for a chain behind Masking, and its end")
    first = _inputs(case)[0]
    return [
        f"stack = keras.Sequential([{first}, mask_0, *layers])",
        f"{name} = lambda arrays: stack(arrays[0])",
    ]


def _subclassed(case: ChainCase, name: str, all_outputs: bool) -> list[str]:
    body = [
        *_masked(case, "arrays"),
        *_calls(case.nodes, len(case.tensors), "self.parts"),
        f"return {_result(case, all_outputs)}",
    ]
    makers = ", ".join(f"mask_{number}" for number in range(len(case.tensors)))
    return [
        "class Chain(keras.Model):",
        "    def __init__(self):",
        "        super().__init__()",
        "        self.parts = layers",
        f"        self.makers = [{makers}]",
        "",
        "    def call(self, arrays):",
        *(textwrap.indent(_own(line), "        ") for line in body),
        "",
        f"{name} = Chain()",
        _first_call(case, name),
    ]


def _own(line: str) -> str:
    """A line in which the makers are those of the model."""
    head, equals, rest = line.partition(" = mask_")
    return f"{head} = self.makers[{rest[0]}]{rest[1:]}" if equals else line


def _nested(case: ChainCase, name: str, all_outputs: bool) -> list[str]:
    """The second half of a linear chain is a model of its own, used as a layer."""
    if not case.linear or all_outputs or len(case.nodes) < 2:
        raise ValueError("way='nested' is for a chain of two layers or more, one after the other")
    half = len(case.nodes) // 2
    head, tail = case.nodes[:half], case.nodes[half:]
    return [
        f"inputs = [{', '.join(_inputs(case))}]",
        *_masked(case, "inputs"),
        *_calls(head, 1, "layers"),
        f"inner = keras.Input(t{half}.shape[1:], dtype=t{half}.dtype)",
        f"last = inner\nfor layer in layers[{half}:]:\n    last = layer(last)",
        f"tail = keras.Model(inner, last)  # {len(tail)} of the layers",
        f"{name} = keras.Model(inputs, tail(t{half}))",
    ]


def _layer_by_layer(case: ChainCase, name: str, all_outputs: bool) -> list[str]:
    body = [
        *_masked(case, "arrays"),
        *_calls(case.nodes, len(case.tensors), "layers"),
        f"return {_result(case, all_outputs)}",
    ]
    lines = [f"def {name}(arrays):", *(f"    {line}" for line in body), ""]
    return [*lines, _first_call(case, name)]


def _first_call(case: ChainCase, name: str) -> str:
    """A line that builds the layers, which know no shapes before they are called."""
    arrays = []
    for tensor in case.tensors:
        arrays.append(f"tf.zeros({(1, 1, *tensor.rest)}, {case.dtype!r})")
        if case.maker == "travelling":
            arrays.append("tf.ones((1, 1), 'bool')")
    return f"{name}([{', '.join(arrays)}])  # builds the layers"
