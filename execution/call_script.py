"""Writes the calls of layers, and their gradients: eager or traced, on arrays or on symbols."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from catalogue.expressions import Expression, Output
from catalogue.steps import Call, Gradient, Operand, Padded, Ragged, SymbolicCall, Through
from execution.anatomy import leaf_patterns, leaves_of
from execution.printer import Printer
from execution.ragged import LENGTHS_OF, PADDED, SEQUENCES

__all__ = [
    "LEFT",
    "LENGTHS",
    "MASK",
    "TOLD",
    "print_call",
    "print_gradient",
    "print_symbolic_call",
]

MASK = ".mask"  # how the outputs of a step that are masks are called
TOLD = ".told"  # and the warnings of a step that speak of masks
LENGTHS = ".lengths"  # and the lengths of ragged outputs' rows
LEFT = ".left"  # and the masks that what was given has after two calls

_TWICE = """\
def twice(layer, *args, **kwargs):  # two calls on the same tensors
    layer(*args, **kwargs)
    return layer(*args, **kwargs)
"""

_LEFT = """\
def left_by(layer, *args, **kwargs):  # the masks of tensors after two calls on them
    layer(*args, **kwargs)
    layer(*args, **kwargs)
    given = filter(tf.is_tensor, tf.nest.flatten([args, kwargs]))
    masks = [getattr(t, "_keras_mask", None) for t in given]
    return [None if one is None else np.array(one) for one in masks]
"""

_AFTER = """\
def after(first, layer, *args, **kwargs):  # two layers on the same tensors
    first(*args, **kwargs)
    return layer(*args, **kwargs)
"""


def print_call(printer: Printer, step: Call) -> None:
    """Write a call, and keep its outputs; and masks or warnings, where they are asked for."""
    printer.taken.add(step.name)
    printer.outputs[step.name] = step.outputs
    eager = (step.mode or printer.mode) == "eager" or _of_model(step) or bool(step.method)
    call = _called(printer, step) if eager else _graph(printer, step)
    if f"{step.name}{TOLD}" in printer.asked:
        _told(printer, step, call)
        return
    if f"{step.name}{LEFT}" in printer.asked:
        printer.preamble += [] if _LEFT in printer.preamble else [_LEFT]
        printer.lines.append(f"{step.name}_left = {call.replace('twice(', 'left_by(', 1)}")
        return
    if _of_model(step):
        call = _made_again(printer, step)
    if step.method == "compute_mask":
        name = f"{step.name}_mask"
        printer.lines.append(f"{name} = tf.nest.flatten({call})[0]")
        printer.lines.append(f"{name} = {_as_arrays(name, 1)}")
        return
    if step.method in ("predict", "predict_on_batch"):
        arrays = ", ".join(printer.operand(leaf) for leaf in leaves_of(step))
        options = "".join(f", {name}={value!r}" for name, value in step.kwargs.items())
        call = f"{step.layer}.{step.method}([{arrays}]{options})"
    if any(isinstance(one, Ragged) for one in _flat([*step.args, *step.kwargs.values()])):
        call = _on_ragged(printer, step, call)
    elif f"{step.name}{MASK}" in printer.asked:
        name = f"{step.name}_mask"
        if eager:
            printer.lines.append(f"tensor = {call}")
            printer.lines.append(f"{name} = {_masks_of('tensor', step.outputs)}")
        else:
            printer.lines.append(f"tensor, {name} = {call}")
        printer.lines.append(f"{name} = {_as_arrays(name, step.outputs)}")
        call = "tensor"
    if step.outputs == 1:
        printer.lines.append(f"{step.name} = np.array({call})")
    else:
        printer.lines.append(f"{step.name} = [np.array(t) for t in tf.nest.flatten({call})]")


def _on_ragged(printer: Printer, step: Call, call: str) -> str:
    """Keep what was asked for of a call on ragged tensors; the text that stands for it."""
    helpers = [PADDED, *([LENGTHS_OF] if f"{step.name}{LENGTHS}" in printer.asked else [])]
    printer.preamble += [text for text in helpers if text not in printer.preamble]
    printer.lines.append(f"tensors = tf.nest.flatten({call})")
    for what, text in (
        (MASK, "getattr(t, '_keras_mask', None)"),
        (LENGTHS, "lengths_of(t)"),
    ):
        if f"{step.name}{what}" in printer.asked:
            found = f"[{text} for t in tensors]"
            name = f"{step.name}_{what[1:]}"
            printer.lines.append(f"{name} = {found}{'[0]' if step.outputs == 1 else ''}")
    return "padded(tensors[0])" if step.outputs == 1 else "[padded(t) for t in tensors]"


def _told(printer: Printer, step: Call, call: str) -> None:
    """Keep what the call warns of masks."""
    printer.preamble.append("import warnings\n")
    name = f"{step.name}_told"
    printer.lines += [
        "with warnings.catch_warnings(record=True) as warned:",
        '    warnings.simplefilter("always")',
        f"    {call}",
        f'{name} = [str(one.message) for one in warned if "mask" in str(one.message)]',
    ]


def _graph(printer: Printer, step: Call) -> str:
    """Define a traced function for a call; the text that calls it."""
    leaves, patterns = leaf_patterns(step, printer.builds)
    names: dict[int, str] = {}
    signature, given = [], []
    for place, (leaf, pattern) in enumerate(zip(leaves, patterns, strict=True)):
        names[id(leaf)] = f"a{place}"
        text = printer.operand(leaf)
        given.append(f"tf.constant({text})")
        signature.append(f"tf.TensorSpec({list(pattern)}, tf.constant({text}).dtype)")
    function = printer.name(f"call_{step.name}")
    body = _called(printer, step, names)
    if f"{step.name}{MASK}" in printer.asked:
        body = f"(t := {body}, {_masks_of('t', step.outputs)})"
    jit = ", jit_compile=True" if (step.mode or printer.mode) == "xla" else ""
    printer.lines.append(
        f"{function} = tf.function(lambda {', '.join(names[id(leaf)] for leaf in leaves)}: "
        f"{body}, input_signature=[{', '.join(signature)}]{jit})"
    )
    return f"{function}({', '.join(given)})"


def print_gradient(printer: Printer, step: Gradient) -> None:
    """Write a gradient, as the runner takes it: sources first, then weights."""
    call = step.call
    leaves = leaves_of(call)
    tensors, sources = {}, []
    for place, leaf in enumerate(leaves):
        text = f"tf.constant({printer.operand(leaf)})"
        if place in step.sources:
            name = printer.name(f"x_{step.name}")
            printer.lines.append(f"{name} = {text}")
            sources.append(name)
            text = name
        tensors[id(leaf)] = text
    wheres = [None if one is None else printer.operand(one) for one in step.where]
    text = _called(printer, call, tensors)
    printer.taken.add(step.name)
    printer.outputs[step.name] = 2
    printer.lines += [
        "with tf.GradientTape() as tape:",
        *(f"    tape.watch({source})" for source in sources),
        f"    outputs = tf.nest.flatten({text})",
    ]
    for place, where in enumerate(wheres):
        if where is not None:
            t = f"outputs[{place}]"
            shape = f"{where}.shape + (1,) * (len({t}.shape) - {where}.ndim)"
            printer.lines.append(f"    {t} = tf.where({where}.reshape({shape}), {t}, 0)")
    printer.lines += [
        "    total = tf.add_n([tf.reduce_sum(tf.sin(t)) for t in outputs])",
        "sources = [getattr(w, 'value', w) if not callable(getattr(w, 'value', None)) else w "
        f"for w in {call.layer}.trainable_weights]",
        f"{step.name} = [np.array(g) for g in tape.gradient(total, [{', '.join(sources)}, "
        "*sources], unconnected_gradients='zero')]",
    ]


def print_symbolic_call(printer: Printer, step: SymbolicCall) -> None:
    """Write a call on symbolic tensors, and keep shapes, dtypes and masks."""
    printer.lists.add(step.name)
    printer.taken.add(step.name)
    printer.outputs[step.name] = 2
    texts, names = _symbols(printer, step.call)
    printer.lines += [
        f"inputs = [{', '.join(texts)}]",
        f"outputs = tf.nest.flatten({_called(printer, step.call, names)})",
        f"{step.name} = [tuple(t.shape) for t in outputs]",
        f"{step.name}_dtype = [getattr(t.dtype, 'name', t.dtype) for t in outputs]",
        f"{step.name}_mask = [getattr(t, '_keras_mask', None) for t in outputs]",
    ]


def _of_model(step: Call) -> bool:
    """Whether a Functional model is made of the call, which is called in its place."""
    return bool(step.saved) or step.cloned or step.cut


def _made_again(printer: Printer, step: Call) -> str:
    """Make a Functional model of a call, save and load, clone or cut it; the text that calls it."""
    texts, names = _symbols(printer, step)
    leaves = ", ".join(f"tf.constant({printer.operand(leaf)})" for leaf in leaves_of(step))
    printer.lines.append(f"inputs = [{', '.join(texts)}]")
    if step.cut:
        handing = "keras.layers.Activation('linear', dtype=one.dtype)"
        printer.lines.append(f"inputs = [{handing}(one) for one in inputs]")
    printer.lines += [
        f"model = keras.Model(inputs, {_called(printer, step, names)})",
    ]
    if step.saved:
        printer.preamble.append("import tempfile\n")
        printer.lines += [
            f'path = tempfile.mkdtemp() + "/model.{step.saved}"',
            "model.save(path)",
            "model = keras.models.load_model(path, custom_objects=globals())",
        ]
    elif step.cloned:
        printer.lines += [
            "clone = keras.models.clone_model(model)",
            "clone.set_weights(model.get_weights())",
            "model = clone",
        ]
    return f"model([{leaves}])"


def _symbols(printer: Printer, step: Call) -> tuple[list[str], dict[int, str]]:
    """Symbolic inputs for the arrays of a call, as texts, and their names by array."""
    leaves, patterns = leaf_patterns(step, printer.builds)
    names, texts = {}, []
    for place, (leaf, (rows, *sample)) in enumerate(zip(leaves, patterns, strict=True)):
        names[id(leaf)] = f"inputs[{place}]"
        dtype = np.asarray(leaf.value()).dtype.name if isinstance(leaf, Expression) else ""
        texts.append(f"keras.Input({tuple(sample)}, {rows}, dtype={dtype!r})")
    return texts, names


def _called(printer: Printer, step: Call, tensors: dict[int, str] | None = None) -> str:
    """The expression that makes the call, over constants or over named tensors."""

    def text(operand: Operand) -> str:
        if isinstance(operand, Expression | Output):
            if tensors is not None:
                return tensors[id(operand)]
            return f"tf.constant({printer.operand(operand)})"
        if isinstance(operand, Ragged):
            texts = printer.operand(operand.values), printer.operand(operand.lengths)
            return f"tf.RaggedTensor.from_row_lengths({', '.join(texts)})"
        if isinstance(operand, Padded):
            return _padded(printer, operand)
        if isinstance(operand, Through):
            inner = ", ".join(text(item) for item in operand.operands)
            many = len(operand.operands) > 1
            return f"{operand.layer}([{inner}])" if many else f"{operand.layer}({inner})"
        if isinstance(operand, list):
            return "[" + ", ".join(text(item) for item in operand) + "]"
        return f"np.bool_({operand})" if isinstance(operand, np.bool_) else repr(operand)

    said = _naming(printer, step, text) if step.shared else text
    given = [said(operand) for operand in step.args]
    given += [f"{name}={said(operand)}" for name, operand in step.kwargs.items()]
    if step.method == "compute_mask":
        return f"{step.layer}.compute_mask({', '.join(given)})"
    if step.method == "stateless_call":
        kinds = ("trainable_variables", "non_trainable_variables")
        values = [f"[v.value for v in {step.layer}.{kind}]" for kind in kinds]
        return f"{step.layer}.stateless_call({', '.join([*values, *given])})[0]"
    if step.after:
        if _AFTER not in printer.preamble:
            printer.preamble.append(_AFTER)
        return f"after({', '.join([step.after, step.layer, *given])})"
    if step.twice:
        if _TWICE not in printer.preamble:
            printer.preamble.append(_TWICE)
        return f"twice({', '.join([step.layer, *given])})"
    return f"{step.layer}({', '.join(given)})"


def _padded(printer: Printer, operand: Padded) -> str:
    """The call that pads sequences."""
    if SEQUENCES not in printer.preamble:
        printer.preamble.append(SEQUENCES)
    rows = f"{printer.operand(operand.values)}, {printer.operand(operand.lengths)}"
    options = "".join(f", {name}={value!r}" for name, value in operand.options.items())
    return f"keras.utils.pad_sequences(sequences({rows}){options})"


def _naming(
    printer: Printer, step: Call, text: Callable[[Operand], str]
) -> Callable[[Operand], str]:
    """The same texts, but a name for each tensor that stands in the call several times."""
    operands = list(_flat([*step.args, *step.kwargs.values()]))
    named: dict[str, str] = {}
    for one in operands:
        again = sum(one is other for other in operands) > 1
        if again and isinstance(one, Expression | Through) and text(one) not in named:
            name = printer.name("shared")
            printer.lines.append(f"{name} = {text(one)}")
            named[text(one)] = name

    def by_name(operand: Operand) -> str:
        if isinstance(operand, list):
            return "[" + ", ".join(map(by_name, operand)) + "]"
        return named.get(text(operand), text(operand))

    return by_name


def _flat(operands: list[Any]) -> Iterator[Any]:
    for one in operands:
        yield from _flat(one) if isinstance(one, list) else (one,)


def _masks_of(tensor: str, outputs: int) -> str:
    """The text that takes the mask off a tensor, or the masks off a list of them."""
    if outputs == 1:
        return f"getattr({tensor}, '_keras_mask', None)"
    return f"[getattr(one, '_keras_mask', None) for one in tf.nest.flatten({tensor})]"


def _as_arrays(masks: str, outputs: int) -> str:
    if outputs == 1:
        return f"None if {masks} is None else np.array({masks})"
    return f"[None if one is None else np.array(one) for one in {masks}]"
