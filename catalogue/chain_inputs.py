"""The code of models whose inputs and masks are given in other ways than one."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection, Mapping
from typing import Literal

from catalogue.chain_shapes import dtypes, units
from catalogue.chain_source import calls_of, first_call, parts_of, places_of, sizes_of
from catalogue.chains import ChainCase, entry_of_node

__all__ = ["FORMS", "Form", "given_source"]

Form = Literal[
    "one inside",
    "one inside, kept",
    "by name",
    "by name, sorted",
    "one tensor twice",
    "one tensor twice, last mask",
    "a mask more",
    "a mask less",
    "from within",
    "from within, mask given",
    "run",
    "optional",
    "optional, cloned",
]

_NAMES = ("z", "y")  # not in the order of the alphabet, in which some sort them
_TRAINED = ("LSTM", "GRU", "SimpleRNN")


def given_source(case: ChainCase, form: Form, *, name: str, mask_value: float = 0.0) -> str:
    """Code that defines `name`, a function of a list of arrays, and `layers`.

    The arrays are, for each input, its values and (where it has one) its mask. What the function
    hands back, the form says (`FORMS`).
    """
    body = FORMS[form](case)
    within = [f"    {line}" for line in body.within]
    lines = [*parts_of(case, mask_value), *body.before, f"def {name}(arrays):", *within, ""]
    if form == "one inside, kept":  # no model builds its layers
        lines.append(first_call(case, name))
    return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class _Body:
    """Lines that stand before a function, and the function's own."""

    before: list[str]
    within: list[str]


# -- models, and what they are given ---------------------------------------------------------


def _masked(case: ChainCase) -> list[int]:
    return [number for number, tensor in enumerate(case.tensors) if tensor.masked]


def _model(case: ChainCase, making: Collection[int] = ()) -> list[str]:
    """Lines of a Functional model of a list of inputs, which is `making` the masks of some."""
    inputs: list[str] = []
    tensors: list[str] = []
    for number, tensor in enumerate(case.tensors):
        steps, rows = sizes_of(case, number)
        name = f", name={_NAMES[number]!r}" if len(case.tensors) > 1 else ""
        text = f"inputs[{len(inputs)}]"
        inputs.append(f"keras.Input({(*steps, *tensor.rest)}{rows}, dtype={case.dtype!r}{name})")
        if number in making:
            text = f"mask_{number}([{text}, inputs[{len(inputs)}]])"
            inputs.append(f"keras.Input({steps}{rows}, dtype='bool')")
        tensors.append(f"t{number} = {text}")
    return [
        f"inputs = [{', '.join(inputs)}]",
        *tensors,
        *calls_of(case, units(case)),
        f"model = keras.Model(inputs, {_last(case)})",
    ]


def _last(case: ChainCase) -> str:
    return f"t{len(case.tensors) + len(case.nodes) - 1}"


def _apart(case: ChainCase, making: Collection[int] = ()) -> tuple[str, list[str]]:
    """The inputs of such a model, without masks, and the masks, `None` where there are none."""
    values, masks = [], []
    for number, (place, told) in enumerate(places_of(case)):
        values.append(f"arrays[{place}]")
        masks.append("None" if told is None or number in making else f"arrays[{told}]")
        if number in making:
            values.append(f"arrays[{told}]")
            masks.append("None")
    return _listed(values), masks


def _carrying(case: ChainCase, making: Collection[int] = ()) -> list[str]:
    """The inputs of such a model, which carry their masks."""
    found = []
    for number, (place, told) in enumerate(places_of(case)):
        values, mask = f"arrays[{place}]", f"arrays[{told}]"
        if number in making:
            found += [values, mask]
        else:
            found.append(values if told is None else f"mask_{number}([{values}, {mask}])")
    return found


def _listed(several: list[str]) -> str:
    return several[0] if len(several) == 1 else f"[{', '.join(several)}]"


def _named(several: list[str]) -> str:
    pairs = zip(_NAMES, several, strict=False)
    return f"{{{', '.join(f'{name!r}: {text}' for name, text in pairs)}}}"


# -- the forms -------------------------------------------------------------------------------


def _making(case: ChainCase) -> tuple[int]:
    """The input whose mask the model makes, where that of the other comes with the call."""
    masked = _masked(case)
    return (masked[case.weights % len(masked)],)


def _one_inside(case: ChainCase) -> _Body:
    """Three outputs of a model that makes one mask itself: the others' travel; are an argument;
    and are one to a model whose layers are told the default of `training`."""
    making = _making(case)
    values, masks = _apart(case, making)
    told = [
        f"{line[:-1]}, training=False)" if node.spec.layer in _TRAINED else line
        for node, line in zip(case.nodes, calls_of(case, units(case)), strict=True)
    ]
    return _Body(
        [*_model(case, making), *told, f"told = keras.Model(inputs, {_last(case)})"],
        [
            f"travelling = model([{', '.join(_carrying(case, making))}])",
            f"given = model({values}, mask={_listed(masks)})",
            f"return [travelling, given, told({values}, mask={_listed(masks)})]",
        ],
    )


_KNOWN = [
    "def known(*tensors):  # their masks, as a layer is given them",
    "    masks = [getattr(one, '_keras_mask', None) for one in tensors]",
    "    if all(mask is None for mask in masks):",
    "        return None",
    "    return masks if len(masks) > 1 else masks[0]",
    "",
]


def _one_inside_kept(case: ChainCase) -> _Body:
    """Two outputs, of layers whose masks are those that were known without the call's, in which
    the others travel: of all layers, and of those that are not told the default of `training`."""
    making, kinds = _making(case), dtypes(case)
    carrying = [f"mask_{place}({_told(case, place)})" for place in range(len(case.tensors))]
    lines, within = calls_of(case, units(case)), []
    for number, text in enumerate(carrying):
        plain = f"arrays[{places_of(case)[number][0]}]"
        within.append(f"s{number} = {text if number in making else plain}")
    within += [re.sub(r"\bt(\d)", r"s\1", line) for line in lines]
    for end, apart in (("given", ()), ("told", _TRAINED)):
        within += [f"t{number} = {text}" for number, text in enumerate(carrying)]
        for node, line in zip(case.nodes, lines, strict=True):
            cast = kinds[node.inputs[0]] != node.policy.removeprefix("mixed_")
            takes = entry_of_node(node).explicit and not cast and node.spec.layer not in apart
            known = ", ".join(f"s{number}" for number in node.inputs)
            within.append(f"{line[:-1]}, mask=known({known}))" if takes else line)
        within.append(f"{end} = {_last(case)}")
    return _Body(_KNOWN, [*within, "return [given, told]"])


def _told(case: ChainCase, number: int) -> str:
    """An input's values and its mask, for a layer that is told it."""
    place, told = places_of(case)[number]
    return f"[arrays[{place}], arrays[{told}]]"


def _by_name(case: ChainCase) -> _Body:
    """Three outputs: inputs that carry masks in a list, and by name; and masks by name, too."""
    carrying, (_, masks) = _carrying(case), _apart(case)
    values = [f"arrays[{place}]" for place, _ in places_of(case)]
    return _Body(
        _model(case),
        [
            f"listed = model({_listed(carrying)})",
            f"named = model({_named(carrying)})",
            f"return [listed, named, model({_named(values)}, mask={_named(masks)})]",
        ],
    )


def _by_name_sorted(case: ChainCase) -> _Body:
    """Four outputs: inputs that carry masks by name, and in a list, with masks in another order;
    and the two where the inputs carry none."""
    carrying, (_, masks) = _carrying(case), _apart(case)
    values = [f"arrays[{place}]" for place, _ in places_of(case)]
    others = _listed(masks[::-1])
    return _Body(
        _model(case),
        [
            f"named = model({_named(carrying)})",
            f"listed = model({_listed(carrying)}, mask={others})",
            f"apart = model({_named(_fresh(values))}, mask={_named(masks)})",
            f"return [named, listed, apart, model({_listed(_fresh(values))}, mask={others})]",
        ],
    )


def _fresh(values: list[str]) -> list[str]:
    """Tensors on which no call before has left a mask."""
    return [f"tf.identity({one})" for one in values]


def _twice(case: ChainCase, apart: Callable[[list[str]], list[str]]) -> _Body:
    """A call on two tensors alike, with masks made of those of the inputs, and one on a single
    tensor in both places, with the masks of the inputs."""
    _, masks = _apart(case)
    values = f"arrays[{places_of(case)[0][0]}]"
    return _Body(
        _model(case),
        [
            f"apart = model({_listed(_fresh([values, values]))}, mask={_listed(apart(masks))})",
            f"x = tf.identity({values})",
            f"return [apart, model([x, x], mask={_listed(masks)})]",
        ],
    )


def _one_tensor_twice(case: ChainCase) -> _Body:
    """Two outputs, of masks for each of two inputs: of two tensors, and of one in both places."""
    return _twice(case, lambda masks: masks)


def _one_tensor_twice_last_mask(case: ChainCase) -> _Body:
    """Two outputs: of two tensors that have the last one's mask, and of one in both places."""
    return _twice(case, lambda masks: masks[-1:] * 2)


def _counted(case: ChainCase, wrong: Callable[[list[str]], list[str]], filled: str) -> _Body:
    """A call with a list of masks that is `wrong`, and one with a list that is `filled` up."""
    _, masks = _apart(case)
    values = _listed(_fresh([f"arrays[{place}]" for place, _ in places_of(case)]))
    kept = [*masks[:-1], filled or masks[-1]]
    return _Body(
        _model(case),
        [
            f"found = model({values}, mask=[{', '.join(wrong(masks))}])",
            f"return [found, model({values}, mask={_listed(kept)})]",
        ],
    )


def _a_mask_more(case: ChainCase) -> _Body:
    """Two outputs: with a mask more than there are inputs, and without it."""
    one = next(f"arrays[{told}]" for _, told in places_of(case) if told is not None)
    return _counted(case, lambda masks: [*masks, one], "")


def _a_mask_less(case: ChainCase) -> _Body:
    """Two outputs: with a mask less than there are inputs, and with None for the last."""
    return _counted(case, lambda masks: masks[:-1], "None")


def _from_within(case: ChainCase) -> _Body:
    """One output, of a model that begins at intermediate tensors, which carry masks."""
    *lines, _ = _model(case, _masked(case))
    begins = _listed([f"t{number}" for number in range(len(case.tensors))])
    return _Body(
        [*lines, f"model = keras.Model({begins}, {_last(case)})"],
        [f"return model({_listed(_carrying(case))})"],
    )


def _from_within_given(case: ChainCase) -> _Body:
    """One output, of a model that begins at an intermediate tensor and the mask of its layer.

    The tensor is what `Masking` hands on, which holds zeros where it masks.
    """
    first, *rest = units(case)
    return _Body(
        [
            *_values_and_mask(case),
            "t0 = keras.layers.Activation('linear')(inputs[0])",
            *calls_of(case, [first], ", mask=inputs[1]"),
            *calls_of(case, rest),
            f"model = keras.Model([t0, inputs[1]], {_last(case)})",
        ],
        ["return model([mask_0(arrays[0]), arrays[1]])"],
    )


def _values_and_mask(case: ChainCase, more: str = "") -> list[str]:
    """Symbolic inputs: values, and a mask, which may be said `more` of."""
    (tensor,) = case.tensors
    steps, rows = sizes_of(case, 0)
    return [
        f"inputs = [keras.Input({(*steps, *tensor.rest)}{rows}, dtype={case.dtype!r}), "
        f"keras.Input({steps}{rows}, dtype='bool'{more})]"
    ]


def _run(case: ChainCase) -> _Body:
    """Three outputs for inputs that carry masks: of a call, `predict_on_batch` and `predict`."""
    return _Body(
        _model(case),
        [
            f"x = {_listed(_carrying(case))}",
            "batch, predicted = model.predict_on_batch(x), model.predict(x, verbose=0)",
            "return [model(x), tf.constant(batch), tf.constant(predicted)]",
        ],
    )


def _optional(case: ChainCase) -> _Body:
    """One output, of a model whose mask is an optional input."""
    first, *rest = units(case)
    return _Body(
        [
            *_values_and_mask(case, ", optional=True"),
            "t0 = mask_0(inputs[0])",
            *calls_of(case, [first], ", mask=inputs[1]"),
            *calls_of(case, rest),
            f"model = keras.Model(inputs, {_last(case)})",
        ],
        [f"return model([arrays[0], {'arrays[1]' if case.given else 'None'}])"],
    )


def _optional_and_cloned(case: ChainCase) -> _Body:
    """One output, of the clone of such a model."""
    model = _optional(case)
    return _Body(
        [*model.before, "clone = keras.models.clone_model(model)"],
        [
            "clone.set_weights(model.get_weights())",
            *(line.replace("model(", "clone(") for line in model.within),
        ],
    )


FORMS: Mapping[Form, Callable[[ChainCase], _Body]] = {
    "one inside": _one_inside,
    "one inside, kept": _one_inside_kept,
    "by name": _by_name,
    "by name, sorted": _by_name_sorted,
    "one tensor twice": _one_tensor_twice,
    "one tensor twice, last mask": _one_tensor_twice_last_mask,
    "a mask more": _a_mask_more,
    "a mask less": _a_mask_less,
    "from within": _from_within,
    "from within, mask given": _from_within_given,
    "run": _run,
    "optional": _optional,
    "optional, cloned": _optional_and_cloned,
}
"""How inputs are given to a model, and what its function then hands back."""
