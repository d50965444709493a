"""The code of a chain, as a user would write it: it is run and printed from one text."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

from catalogue.chain_operations import HELPER
from catalogue.chain_shapes import Unit, dtypes, features, inputs_of, units, visible, ways_of
from catalogue.chains import ChainCase, Nest, Way, entry_of_node
from catalogue.specs import Spec

__all__ = [
    "again_source",
    "calls_of",
    "chain_source",
    "consumers",
    "consumers_source",
    "first_call",
    "parts_of",
    "places_of",
    "sizes_of",
]


def places_of(case: ChainCase) -> list[tuple[int, int | None]]:
    """Where, among the arrays that a model is given, each input's values are, and its mask.

    None where the model is told no mask of the input: it makes one itself, or there is none.
    """
    told = case.maker in ("travelling", "argument") or bool(case.given)
    found: list[tuple[int, int | None]] = []
    place = 0
    for tensor in case.tensors:
        masked = told and tensor.masked
        found.append((place, place + 1 if masked else None))
        place += 2 if masked else 1
    return found


def chain_source(
    case: ChainCase, *, way: Way, name: str, mask_value: float = 0.0, all_outputs: bool = False
) -> str:
    """Code that defines `name`, a model (or a function) of a list of arrays, and `layers`.

    The arrays are, for each input, its values and (where its mask is told) its mask. What is
    handed back is the last output, or with `all_outputs` a list of all that the model sees.
    """
    if way not in ways_of(case):
        raise ValueError(f"way={way!r} is none of the ways to build the chain: {ways_of(case)}")
    if way == "sequential" and all_outputs:
        raise ValueError(f"way={way!r} hands back its end alone, not all_outputs")
    build: Callable[[ChainCase, str, bool], list[str]] = {
        "functional": _functional,
        "sequential": _sequential,
        "subclassed": _subclassed,
        "layer by layer": _layer_by_layer,
    }[way]
    return "\n".join([*parts_of(case, mask_value), *build(case, name, all_outputs)])


def parts_of(case: ChainCase, mask_value: float = 0.0) -> list[str]:
    """Lines that make what a model is built of: makers of masks, layers, models within."""
    makers = []
    if case.maker not in ("argument", "none"):
        for number in _made(case):
            makers.append(f"mask_{number} = {_maker(case, mask_value)}")
    layers = [
        f"    {node.spec.with_policy(node.policy).source()},"
        for node in case.nodes
        if node.has_layer
    ]
    helper = [HELPER] if any("ops." in node.spec.layer for node in case.nodes) else []
    lines = [*helper, *makers, "layers = [", *layers, "]"]
    for number in reversed(range(len(case.nests))):  # what lies inside comes first
        lines += _nest(case, number)
    return lines


def _made(case: ChainCase) -> list[int]:
    """The numbers of the inputs that a layer puts a mask on."""
    return [number for number, tensor in enumerate(case.tensors) if tensor.masked]


def _maker(case: ChainCase, mask_value: float) -> str:
    if case.maker == "travelling":
        return Spec("Travelling").with_policy(case.dtype).source()
    return Spec("Masking", {"mask_value": mask_value}).with_policy(case.dtype).source()


# -- inputs and calls ------------------------------------------------------------------------


def sizes_of(case: ChainCase, place: int) -> tuple[tuple[int | None, ...], str]:
    """The steps of a symbolic input as its shape has them, and its batch size as an argument."""
    batch, length = case.tensors[place].steps
    rows = f", {batch}" if case.sizes == "known" else ""
    return (None if case.sizes == "unknown" else length,), rows


def _inputs(case: ChainCase) -> list[str]:
    """Symbolic inputs, of rows and steps that are known or not."""
    found = []
    for place, tensor in enumerate(case.tensors):
        steps, rows = sizes_of(case, place)
        found.append(f"keras.Input({(*steps, *tensor.rest)}{rows}, dtype={case.dtype!r})")
        if places_of(case)[place][1] is not None and case.maker != "argument":
            found.append(f"keras.Input({steps}{rows}, dtype='bool')")
    return found


def _masked(case: ChainCase, given: str) -> list[str]:
    """Lines that make t0, t1, ... of the arrays in the list called `given`."""
    lines = []
    for number, (place, told) in enumerate(places_of(case)):
        text = f"{given}[{number if case.maker == 'argument' else place}]"
        if case.maker == "travelling" and told is not None:
            text = f"mask_{number}([{given}[{place}], {given}[{told}]])"
        elif case.maker in ("masking", "optional") and case.tensors[number].masked:
            text = f"mask_{number}({text})"
        lines.append(f"t{number} = {text}")
    return lines


def _called(case: ChainCase, unit: Unit, layers: str = "", mask: str = "") -> str:
    """The expression of a call of a node or a nest; `layers` is another name for the list."""
    tensors = [f"t{number}" for number in unit.inputs]
    node = case.nodes[unit.first]
    if unit.nest is None and node.operation is not None:
        return node.operation.applied(tensors[0])
    name = layers or (
        f"layers[{case.layer_of(unit.first)}]" if unit.nest is None else f"part_{unit.nest}"
    )
    apart = len(tensors) == 1 or (unit.nest is None and entry_of_node(node).parameters)
    given = ", ".join(tensors) if apart else f"[{', '.join(tensors)}]"
    if unit.nest is not None and case.nests[unit.nest].kind == "functional":
        given = _together(case, tensors)
    return f"{name}({given}{mask})"


def _together(case: ChainCase, texts: Sequence[str]) -> str:
    """The inputs of a Functional model: of half of the chains several go by name, in a dict."""
    if len(texts) == 1:
        return texts[0]
    if not _by_name(case):
        return f"[{', '.join(texts)}]"
    # Not in the order of the alphabet, in which some sort them.
    return f"{{{', '.join(f'{name!r}: {text}' for name, text in zip('zyx', texts, strict=False))}}}"


def _by_name(case: ChainCase) -> bool:
    return case.weights % 2 == 1


def calls_of(case: ChainCase, given: Sequence[Unit], mask: str = "") -> list[str]:
    """Lines that call nodes and nests; `mask` is what the first of them is given besides."""
    first = len(case.tensors)
    return [
        f"t{first + unit.place} = {_called(case, unit, mask=mask if place == 0 else '')}"
        for place, unit in enumerate(given)
    ]


def _explicit(case: ChainCase, given: str) -> str:
    """How the first layer is given an optional mask that is the second of the arrays `given`."""
    return f", mask={given}[1]" if case.given else ""


def _result(case: ChainCase, all_outputs: bool) -> str:
    first = len(case.tensors)
    places = visible(case)
    if not all_outputs or len(places) == 1:
        return f"t{first + places[-1]}"
    return f"[{', '.join(f't{first + place}' for place in places)}]"


# -- models within models --------------------------------------------------------------------


def _nest(case: ChainCase, number: int) -> list[str]:
    nest = case.nests[number]
    given, within = inputs_of(case, nest), units(case, number)
    names = [f"t{one}" for one in given]
    last, tensors = f"t{len(case.tensors) + nest.end - 1}", ", ".join(names)
    if nest.kind == "sequential":
        parts = [_called(case, unit).partition("(")[0] for unit in within]
        return [f"part_{number} = keras.Sequential([{', '.join(parts)}])"]
    if nest.kind == "functional":
        return [
            *_symbols(case, nest),
            *calls_of(case, within),
            f"part_{number} = keras.Model({_together(case, names)}, {last})",
        ]
    unpack = [] if len(names) == 1 else [f"{tensors} = given"]
    argument = tensors if len(names) == 1 else "given"
    mask = ""
    if case.given and nest.first == 0:  # the mask that the first layer is given
        argument, mask = f"{argument}, mask=None", ", mask=mask"
    if nest.kind == "tf.function":
        body = [*unpack, *calls_of(case, within, mask), f"return {last}"]
        return [
            "@tf.function(autograph=False)",
            f"def part_{number}({argument}):",
            *(f"    {line}" for line in body),
            "",
        ]
    lines, parts = _of_own(case, within, mask)
    body = [*unpack, *lines, f"return {last}"]
    return [*_class(f"Part{number}", argument, parts, body), f"part_{number} = Part{number}()"]


def _symbols(case: ChainCase, nest: Nest) -> list[str]:
    """Symbolic inputs of a model within, of unknown rows and steps.

    Of a third of the chains it begins behind them, at intermediate tensors.
    """
    shapes, kinds = features(case), dtypes(case)
    inputs = {
        number: f"keras.Input({(None, *shapes[number])}, dtype={kinds[number]!r})"
        for number in inputs_of(case, nest)
    }
    if case.weights % 3 == 1:
        inputs = {
            number: f"keras.layers.Activation('linear', dtype={kinds[number]!r})({text})"
            for number, text in inputs.items()
        }
    return [f"t{number} = {text}" for number, text in inputs.items()]


def _of_own(case: ChainCase, within: Sequence[Unit], mask: str = "") -> tuple[list[str], list[str]]:
    """Calls of a subclassed model's own parts, and what these parts are."""
    lines: list[str] = []
    parts: list[str] = []
    for place, unit in enumerate(within):
        text = _called(case, unit)
        name = text.partition("(")[0]
        if unit.nest is not None or case.nodes[unit.first].operation is None:
            if name not in parts:  # a layer that is called again is a part once
                parts.append(name)
            own = f"self.parts[{parts.index(name)}]"
            text = _called(case, unit, own, mask if place == 0 else "")
        lines.append(f"t{len(case.tensors) + unit.place} = {text}")
    return lines, parts


def _class(
    name: str, arguments: str, parts: list[str], body: list[str], more: Sequence[str] = ()
) -> list[str]:
    """A subclassed model."""
    return [
        f"class {name}(keras.Model):",
        "    def __init__(self):",
        "        super().__init__()",
        f"        self.parts = [{', '.join(parts)}]",
        *(f"        {line}" for line in more),
        "",
        f"    def call(self, {arguments}):",
        *(textwrap.indent(line, "        ") for line in body),
        "",
    ]


# -- ways to build ---------------------------------------------------------------------------


def _functional(case: ChainCase, name: str, all_outputs: bool) -> list[str]:
    lines = [
        f"inputs = [{', '.join(_inputs(case))}]",
        *_masked(case, "inputs"),
        *calls_of(case, units(case), _explicit(case, "inputs")),
    ]
    given = "inputs"
    if case.maker == "argument" and len(case.tensors) > 1 and _by_name(case):
        given = _together(case, [f"inputs[{place}]" for place in range(len(case.tensors))])
    model = f"keras.Model({given}, {_result(case, all_outputs)})"
    if case.maker != "argument":
        return [*lines, f"{name} = {model}"]
    return [*lines, f"model = {model}", f"{name} = lambda arrays: {_by_argument(case, 'model')}"]


def _by_argument(case: ChainCase, model: str, arrays: str = "arrays") -> str:
    """The call of a Functional model with the masks of its inputs as an argument."""
    tensors, masks = _apart(case, arrays)
    return f"{model}({tensors}, mask={masks})"


def _apart(case: ChainCase, arrays: str) -> tuple[str, str]:
    """The values among the arrays of this name, and the masks: None for an input without one."""
    places = places_of(case)
    masks = [str(None if told is None else f"{arrays}[{told}]") for _, told in places]
    tensors = [f"{arrays}[{place}]" for place, _ in places]
    if len(places) > 1 and _by_name(case):
        return _together(case, tensors), _together(case, masks)
    if "None" not in masks:
        return f"{arrays}[::2]", f"{arrays}[1::2]"
    return f"[{', '.join(tensors)}]", f"[{', '.join(masks)}]"


def _sequential(case: ChainCase, name: str, all_outputs: bool) -> list[str]:
    parts = [_called(case, unit).partition("(")[0] for unit in units(case)]
    maker = ["mask_0"] if case.maker == "masking" else []
    mask = ", mask=arrays[1]" if case.maker == "argument" else ""
    given = "mask_0(arrays)" if case.maker == "travelling" else f"arrays[0]{mask}"
    # Half of them are not told their inputs, and are built when they are called.
    told = case.maker == "argument" or case.weights % 2 == 0
    first = _inputs(case)[:1] if told else []
    return [
        f"model = keras.Sequential([{', '.join([*first, *maker, *parts])}])",
        f"{name} = lambda arrays: model({given})",
        *([] if told else [first_call(case, name)]),
    ]


def _subclassed(case: ChainCase, name: str, all_outputs: bool) -> list[str]:
    if case.maker == "optional":
        return _with_optional_mask(case, name, all_outputs)
    lines, parts = _of_own(case, units(case))
    makers = ", ".join(f"mask_{number}" for number in _made(case))
    own = [] if case.maker == "none" else [f"self.makers = [{makers}]"]
    body = [
        *(_own_maker(case, line) for line in _masked(case, "arrays")),
        *lines,
        f"return {_result(case, all_outputs)}",
    ]
    return [
        *_class("Chain", "arrays", parts, body, own),
        f"{name} = Chain()",
        first_call(case, name),
    ]


def _own_maker(case: ChainCase, line: str) -> str:
    """A line in which the makers are those of the model."""
    head, equals, rest = line.partition(" = mask_")
    return f"{head} = self.makers[{_made(case).index(int(rest[0]))}]{rest[1:]}" if equals else line


def _with_optional_mask(case: ChainCase, name: str, all_outputs: bool) -> list[str]:
    """A model with `Masking` inside and an optional mask, as an article has it."""
    given = units(case)
    (first, *rest), parts = _of_own(case, given)
    explicit, _ = _of_own(case, given[:1], ", mask=mask")
    body = [
        "t0 = self.masking(inputs)",
        "if mask is not None:",
        f"    {explicit[0]}",
        "else:",
        f"    {first}",
        *rest,
        f"return {_result(case, all_outputs)}",
    ]
    mask = ", mask=arrays[1]" if case.given else ""
    return [
        *_class(
            "MaskedLSTMModel",
            "inputs, mask=None, training=False",
            parts,
            body,
            ["self.masking = mask_0"],
        ),
        "model = MaskedLSTMModel()",
        f"{name} = lambda arrays: model(arrays[0]{mask})",
        first_call(case, name),
    ]


def _layer_by_layer(case: ChainCase, name: str, all_outputs: bool) -> list[str]:
    body = [
        *_masked(case, "arrays"),
        *calls_of(case, units(case), _explicit(case, "arrays")),
        f"return {_result(case, all_outputs)}",
    ]
    lines = [f"def {name}(arrays):", *(f"    {line}" for line in body), ""]
    return [*lines, first_call(case, name)]


def first_call(case: ChainCase, name: str) -> str:
    """A line that builds the layers, which know no shapes before they are called."""
    arrays = []
    for tensor, (_, told) in zip(case.tensors, places_of(case), strict=True):
        batch, length = tensor.steps
        steps = (batch if case.sizes == "known" else 1, 1 if case.sizes == "unknown" else length)
        arrays.append(f"tf.zeros({(*steps, *tensor.rest)}, {case.dtype!r})")
        if told is not None:
            arrays.append(f"tf.ones({steps}, 'bool')")
    return f"{name}([{', '.join(arrays)}])  # builds the layers"


# -- calls that look closer ------------------------------------------------------------------


def again_source(case: ChainCase, *, way: Way, name: str, mask_value: float = 0.0) -> str:
    """Code of a function that calls a model without masks, with them, and without them again.

    Hands back the three outputs, the first of which is called on tensors of its own, and (of a
    Functional model or a Sequential one) what `compute_mask` says: 1 and 0, or -1 where it says
    that there is no mask. With masks three cases of four are called in training, where that drops
    nothing.
    """
    build = {
        ("optional", "subclassed"): _subclassed,
        ("argument", "functional"): _functional,
        ("argument", "sequential"): _sequential,
    }[case.maker, way]
    *lines, wrapped = (
        line for line in build(case, name, False) if "# builds the layers" not in line
    )
    assert wrapped.startswith(f"{name} = ")
    several = way == "functional"
    tensors, masks = _apart(case, "x") if several else ("x[0]", "x[1]")
    by_name = tensors.startswith("{")
    certain = not any(node.spec.layer == "Dropout" for node in case.nodes)
    training = ", training=True" if certain and case.weights % 4 else ""
    body = [
        f"alone = model(tf.nest.map_structure(tf.identity, {tensors}))",
        f"masked = model({tensors}, mask={masks}{training})",
        f"again = model({tensors})",
    ]
    if case.maker == "optional":
        body.append("return [alone, masked, again]")
    else:
        body += [
            f"mask = model.compute_mask({tensors}, {masks})",
            *(["mask = next(iter(mask.values())) if isinstance(mask, dict) else mask"] * by_name),
            "mask = mask[0] if isinstance(mask, list) else mask",
            "mask = -tf.ones(()) if mask is None else tf.cast(mask, 'float32')",
            "return [alone, masked, again, mask]",
        ]
    return "\n".join(
        [
            *parts_of(case, mask_value),
            *lines,
            f"def {name}(x):",
            *(f"    {line}" for line in body),
            "",
            *([first_call(case, name)] if case.maker == "optional" else []),
        ]
    )


def consumers(case: ChainCase, *, backwards: bool) -> list[tuple[int, str]]:
    """What `consumers_source` notes: the number of a tensor, and what was called on it last."""
    found = [(number, "") for number in range(len(case.tensors))]
    for place in _order(case, backwards):
        label = f"{place} {case.nodes[place].spec.layer}"
        found += [(number, label) for number in dict.fromkeys(case.nodes[place].inputs)]
        found.append((len(case.tensors) + place, ""))
    steps = features(case)
    return [(number, label) for number, label in found if steps[number]]


def consumers_source(
    case: ChainCase, *, name: str, backwards: bool, mask_value: float = 0.0
) -> str:
    """Code that calls the layers one by one, and notes each tensor's mask after each call on it.

    Hands back the last output and, for each of `consumers`, 1 and 0 as the mask has them, or -1
    at all steps where there is none. With `backwards` what can be called later is called first.
    """
    first, steps = len(case.tensors), features(case)
    body = [*_masked(case, "arrays"), "notes = ["]
    body += [f"    note(t{number})[1]," for number in range(first)] + ["]"]
    for place in _order(case, backwards):
        node = case.nodes[place]
        unit = Unit(place, place + 1, None, node.inputs)
        body.append(f"t{first + place} = {_called(case, unit)}")
        numbers = [*dict.fromkeys(node.inputs), first + place]
        noted = ", ".join(f"note(t{number})[1]" for number in numbers if steps[number])
        body.append(f"notes += [{noted}]")
    body.append(f"return [t{first + len(case.nodes) - 1}, *notes]")
    return "\n".join(
        [
            *parts_of(case, mask_value),
            "note = Noting()",
            f"def {name}(arrays):",
            *(f"    {line}" for line in body),
            "",
            first_call(case, name),
        ]
    )


def _order(case: ChainCase, backwards: bool) -> list[int]:
    """The places in an order in which the layers can be called."""
    if not backwards:
        return list(range(len(case.nodes)))
    left, known, found = list(range(len(case.nodes))), set(range(len(case.tensors))), []
    while left:
        place = max(p for p in left if known.issuperset(case.nodes[p].inputs))
        left.remove(place)
        known.add(len(case.tensors) + place)
        found.append(place)
    return found
