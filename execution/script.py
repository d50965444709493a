"""Writes the steps of a comparison as the plain Keras code that a user would write."""

from __future__ import annotations

import contextlib
import importlib
import io
import textwrap
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np

from catalogue import weights
from catalogue.custom_layers import CUSTOM_LAYERS
from catalogue.expressions import Expression, Output, literal
from catalogue.steps import (
    Build,
    Call,
    Define,
    Gradient,
    Operand,
    OutputShape,
    Ragged,
    ResetState,
    Step,
    SymbolicCall,
    SymbolicShape,
    Through,
)
from catalogue.training_steps import Model, Train
from execution.anatomy import layers_of, leaf_patterns, leaves_of, outputs_of, shapes_to_call
from execution.products import product_lines, substituted
from execution.ragged import LENGTHS_OF, PADDED
from execution.training_script import print_model, print_train

__all__ = ["fails", "script"]

_SMALL = 12  # values that are written out

_MASK = ".mask"  # how the outputs of a step that are masks are called
_TOLD = ".told"  # and the warnings of a step that speak of masks
_LENGTHS = ".lengths"  # and the lengths of ragged outputs' rows
_DTYPE = ".dtype"  # and the dtypes of symbolic outputs

_TWICE = """\
def twice(layer, *args, **kwargs):  # two calls on the same tensors
    layer(*args, **kwargs)
    return layer(*args, **kwargs)
"""

_AFTER = """\
def after(first, layer, *args, **kwargs):  # two layers on the same tensors
    first(*args, **kwargs)
    return layer(*args, **kwargs)
"""


def script(
    steps: tuple[Step, ...],
    ending: list[str],
    operands: dict[str, Expression | Output],
    *,
    module: str = "keras",
    mode: str = "eager",
    device: str = "cpu:0",
) -> str:
    """The code of `steps`, as far as `operands` need them, and of an `ending` that uses these.

    Lines of the ending call each operand `{name}`. `module` is what is imported as `keras`.
    In mode `graph` (or `xla`) calls are traced with the sizes unknown that the layer may
    not know; else they are eager. On another `device` than `cpu:0` all of it is placed there.
    """
    needed = {operand.step for operand in _all_outputs(operands)}
    printer = _Printer(mode, {name for name in needed if name.endswith((_MASK, _TOLD, _LENGTHS))})
    for step in _pruned(steps, needed):
        printer.step(step)
    texts = {name: printer.operand(operand) for name, operand in operands.items()}
    for line in ending:
        printer.lines.append(line.format(**texts))
    imports = ["import numpy as np"]
    body = "\n".join(printer.lines)
    if device != "cpu:0":
        lines = [
            "tf.config.experimental.enable_tensor_float_32_execution(False)",
            f'with tf.device("/{device}"):',
        ]
        body = "\n".join([*lines, textwrap.indent(body, "    ")])
    if "tf." in body or "tf." in "".join(printer.preamble):
        imports.append("import tensorflow as tf")
    if "keras." in body or printer.preamble:
        imports.append("import keras" if module == "keras" else f"import {module} as keras")
    return "\n".join([*imports, "", *printer.preamble, body]) + "\n"


def fails(text: str, *, device: str = "cpu:0") -> bool:
    """Run a script where it cannot print; whether it raised, as a reproducer should.

    What the script does not place itself goes to `device`.
    """
    place = importlib.import_module("tensorflow").device(f"/{device}")
    try:
        with (
            place,
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            exec(compile(text, "<script>", "exec"), {"__name__": "__main__"})
    except Exception:
        return True
    return False


def _all_outputs(operands: dict[str, Expression | Output]) -> list[Output]:
    found: list[Output] = []
    for operand in operands.values():
        found += [operand] if isinstance(operand, Output) else operand.outputs()
    return found


def _pruned(steps: tuple[Step, ...], needed: set[str]) -> list[Step]:
    """The steps that the needed results depend on, and calls that states remember."""
    if any(isinstance(step, ResetState) for step in steps) or any(
        isinstance(step, Build) and step.spec.get("stateful") for step in steps
    ):
        return list(steps)
    kept: list[Step] = []
    wanted = {name.partition(".")[0] for name in needed}
    for step in reversed(steps):
        name = step.layer if isinstance(step, ResetState) else step.name
        if name in wanted:
            kept.append(step)
            wanted |= set(layers_of(step)) | {output.step for output in outputs_of(step)}
    return kept[::-1]


class _Printer:
    """Gathers lines; gives each array and output the name that the script knows it by."""

    def __init__(self, mode: str, masks: Collection[str] = ()) -> None:
        self.mode = mode
        self._masks = masks  # of which outputs the mask is asked for
        self.lines: list[str] = []
        self.preamble: list[str] = []
        self._names: dict[int, str] = {}
        self._taken: set[str] = {"np", "tf", "keras", "rng", "w"}
        self._outputs: dict[str, int] = {}
        self._builds: dict[str, Build | Define] = {}
        self._symbolic: set[str] = set()
        self._models: dict[str, Model] = {}

    # -- names ---------------------------------------------------------------------------

    def _name(self, hint: str) -> str:
        name, number = hint, 2
        while name in self._taken:
            name, number = f"{hint}{number}", number + 1
        self._taken.add(name)
        return name

    def operand(self, operand: Expression | Output) -> str:
        """The text that stands for an array: a variable, or an expression over variables."""
        if isinstance(operand, Output):
            step, dot, what = operand.step.partition(".")
            if dot and step in self._symbolic:
                return f"{step}_{what}[{operand.index}]"
            if dot:
                several = what in ("mask", "lengths") and self._outputs.get(step, 1) > 1
                return f"{step}_{what}[{operand.index}]" if several else f"{step}_{what}"
            single = self._outputs.get(operand.step, 1) == 1
            return operand.step if single else f"{operand.step}[{operand.index}]"
        known = self._names.get(id(operand))
        if known is not None:
            return known
        source = _short(operand)
        if source is None:
            texts = {name: self.operand(inner) for name, inner in operand.operands.items()}
            source = substituted(operand.source, texts)
        if operand.hint is None:
            return source
        name = self._name(operand.hint)
        self._names[id(operand)] = name
        self.lines.append(f"{name} = {source}")
        return name

    # -- steps ---------------------------------------------------------------------------

    def step(self, step: Step) -> None:
        """Write one step."""
        if isinstance(step, Build):
            self._build(step)
        elif isinstance(step, Define):
            self._define(step)
        elif isinstance(step, Call):
            self._call(step)
        elif isinstance(step, Gradient):
            self._gradient(step)
        elif isinstance(step, ResetState):
            reset = f"{step.layer}.reset_state"
            self.lines.append(f"{reset}() if hasattr({step.layer}, 'reset_state') else {reset}s()")
        elif isinstance(step, OutputShape):
            self._taken.add(step.name)
            call = f"{step.layer}.compute_output_shape({step.input_shape})"
            self.lines.append(f"{step.name} = [tuple(s) for s in _shapes({call})]")
            self._shapes_helper()
        elif isinstance(step, SymbolicCall):
            self._symbolic_call(step)
        elif isinstance(step, SymbolicShape):
            call = f"{step.layer}(keras.Input({step.shape}, batch_size={step.batch}))"
            self.lines.append(f"{step.name} = [tuple(t.shape) for t in tf.nest.flatten({call})]")
            self._outputs[step.name] = 2  # a list, whatever its length
        elif isinstance(step, Model):
            self._taken.add(step.name)
            self._models[step.name] = step
            print_model(self, step, self.mode)
        elif isinstance(step, Train):
            self._taken.add(step.name)
            self._symbolic.add(step.name)  # metrics and weights come in lists
            if step.way == "custom loop" and len(step.given) > 1:
                self._outputs[step.name] = len(step.given)
            print_train(self, step, self._models[step.model])
        else:
            operands = self.operand(step.left), self.operand(step.right)
            self._taken.add(step.name)
            self.lines += product_lines(step, operands, step.mode or self.mode)

    def _shapes_helper(self) -> None:
        self._outputs[self.lines[-1].split(" = ")[0]] = 2
        self.preamble.append(
            "def _shapes(shape):  # one shape, or a nest of shapes\n"
            "    flat = all(size is None or isinstance(size, int) for size in shape)\n"
            "    return [shape] if flat else [s for inner in shape for s in _shapes(inner)]"
        )

    def _build(self, step: Build) -> None:
        self._taken.add(step.name)
        self._builds[step.name] = step
        spec = step.spec
        texts = [CUSTOM_LAYERS[name] for name in spec.layers() if name in CUSTOM_LAYERS]
        self.preamble += [text for text in texts if text not in self.preamble]
        self.lines.append(f"{step.name} = {spec.source()}")
        if step.restored:
            again = f"type({step.name}).from_config({step.name}.get_config())"
            self.lines.append(f"{step.name} = {again}")
        if step.weights is None:
            return
        several = isinstance(step.input_shape[0], tuple)
        shape = list(step.input_shape) if several else step.input_shape
        if step.called:
            zeros = ", ".join(f"tf.zeros({shape})" for shape in shapes_to_call(step))
            self.lines.append(f"{step.name}({zeros})")
        else:
            self.lines.append(f"{step.name}.build({shape})")
        self.lines.append(f"rng = np.random.default_rng({step.weights})")
        self.lines.append(
            f"{step.name}.set_weights([{weights.SOURCE} for w in {step.name}.get_weights()])"
        )

    def _define(self, step: Define) -> None:
        self._taken |= {step.name, "layers"}
        self._builds[step.name] = step
        texts = [CUSTOM_LAYERS[name] for name in step.customs if name in CUSTOM_LAYERS]
        self.preamble += [text for text in texts if text not in self.preamble]
        self.lines += [
            *step.source.splitlines(),
            "for k, layer in enumerate(layers):",
            f"    rng = np.random.default_rng({step.weights} + k)",
            f"    layer.set_weights([{weights.SOURCE} for w in layer.get_weights()])",
        ]

    def _called(self, step: Call, tensors: dict[int, str] | None = None) -> str:
        """The expression that makes the call, over constants or over named tensors."""

        def text(operand: Operand) -> str:
            if isinstance(operand, Expression | Output):
                if tensors is not None:
                    return tensors[id(operand)]
                return f"tf.constant({self.operand(operand)})"
            if isinstance(operand, Ragged):
                texts = self.operand(operand.values), self.operand(operand.lengths)
                return f"tf.RaggedTensor.from_row_lengths({', '.join(texts)})"
            if isinstance(operand, Through):
                inner = ", ".join(text(item) for item in operand.operands)
                many = len(operand.operands) > 1
                return f"{operand.layer}([{inner}])" if many else f"{operand.layer}({inner})"
            if isinstance(operand, list):
                return "[" + ", ".join(text(item) for item in operand) + "]"
            return repr(operand)

        said = self._naming(step, text) if step.shared else text
        given = [said(operand) for operand in step.args]
        given += [f"{name}={said(operand)}" for name, operand in step.kwargs.items()]
        if step.after:
            if _AFTER not in self.preamble:
                self.preamble.append(_AFTER)
            return f"after({', '.join([step.after, step.layer, *given])})"
        if step.twice:
            if _TWICE not in self.preamble:
                self.preamble.append(_TWICE)
            return f"twice({', '.join([step.layer, *given])})"
        return f"{step.layer}({', '.join(given)})"

    def _naming(self, step: Call, text: Callable[[Operand], str]) -> Callable[[Operand], str]:
        """The same texts, but a name for each tensor that stands in the call several times."""
        operands = list(_flat([*step.args, *step.kwargs.values()]))
        named: dict[str, str] = {}
        for one in operands:
            again = sum(one is other for other in operands) > 1
            if again and isinstance(one, Expression | Through) and text(one) not in named:
                name = self._name("shared")
                self.lines.append(f"{name} = {text(one)}")
                named[text(one)] = name

        def by_name(operand: Operand) -> str:
            if isinstance(operand, list):
                return "[" + ", ".join(map(by_name, operand)) + "]"
            return named.get(text(operand), text(operand))

        return by_name

    def _symbols(self, step: Call) -> tuple[list[str], dict[int, str]]:
        """Symbolic inputs for the arrays of a call, as texts, and their names by array."""
        leaves, patterns = leaf_patterns(step, self._builds)
        names, texts = {}, []
        for place, (leaf, (rows, *sample)) in enumerate(zip(leaves, patterns, strict=True)):
            names[id(leaf)] = f"inputs[{place}]"
            dtype = np.asarray(leaf.value()).dtype.name if isinstance(leaf, Expression) else ""
            texts.append(f"keras.Input({tuple(sample)}, {rows}, dtype={dtype!r})")
        return texts, names

    def _symbolic_call(self, step: SymbolicCall) -> None:
        self._symbolic.add(step.name)
        self._taken.add(step.name)
        self._outputs[step.name] = 2
        texts, names = self._symbols(step.call)
        self.lines += [
            f"inputs = [{', '.join(texts)}]",
            f"outputs = tf.nest.flatten({self._called(step.call, names)})",
            f"{step.name} = [tuple(t.shape) for t in outputs]",
            f"{step.name}_dtype = [getattr(t.dtype, 'name', t.dtype) for t in outputs]",
            f"{step.name}_mask = [getattr(t, '_keras_mask', None) for t in outputs]",
        ]

    def _saved(self, step: Call) -> str:
        """Make a Functional model of a call, save and load it; the text that calls it."""
        self.preamble.append("import tempfile\n")
        texts, names = self._symbols(step)
        leaves = ", ".join(f"tf.constant({self.operand(leaf)})" for leaf in leaves_of(step))
        self.lines += [
            f"inputs = [{', '.join(texts)}]",
            f"model = keras.Model(inputs, {self._called(step, names)})",
            'path = tempfile.mkdtemp() + "/model.keras"',
            "model.save(path)",
            "model = keras.models.load_model(path, custom_objects=globals())",
        ]
        return f"model([{leaves}])"

    def _call(self, step: Call) -> None:
        self._taken.add(step.name)
        self._outputs[step.name] = step.outputs
        eager = (step.mode or self.mode) == "eager" or step.saved or bool(step.method)
        call = self._called(step) if eager else self._graph(step)
        if f"{step.name}{_TOLD}" in self._masks:
            self._told(step, call)
            return
        if step.saved:
            call = self._saved(step)
        if step.method:
            arrays = ", ".join(self.operand(leaf) for leaf in leaves_of(step))
            call = f"{step.layer}.{step.method}([{arrays}])"
        given = [*step.args, *step.kwargs.values()]
        if any(isinstance(one, Ragged) for one in _flat(given)):
            call = self._on_ragged(step, call)
        elif f"{step.name}{_MASK}" in self._masks:
            name = f"{step.name}_mask"
            if eager:
                self.lines.append(f"tensor = {call}")
                self.lines.append(f"{name} = {_masks_of('tensor', step.outputs)}")
            else:
                self.lines.append(f"tensor, {name} = {call}")
            self.lines.append(f"{name} = {_as_arrays(name, step.outputs)}")
            call = "tensor"
        if step.outputs == 1:
            self.lines.append(f"{step.name} = np.array({call})")
        else:
            self.lines.append(f"{step.name} = [np.array(t) for t in tf.nest.flatten({call})]")

    def _on_ragged(self, step: Call, call: str) -> str:
        """Keep what was asked for of a call on ragged tensors; the text that stands for it."""
        helpers = [PADDED, *([LENGTHS_OF] if f"{step.name}{_LENGTHS}" in self._masks else [])]
        self.preamble += [text for text in helpers if text not in self.preamble]
        self.lines.append(f"tensors = tf.nest.flatten({call})")
        for what, text in (
            (_MASK, "getattr(t, '_keras_mask', None)"),
            (_LENGTHS, "lengths_of(t)"),
        ):
            if f"{step.name}{what}" in self._masks:
                found = f"[{text} for t in tensors]"
                name = f"{step.name}_{what[1:]}"
                self.lines.append(f"{name} = {found}{'[0]' if step.outputs == 1 else ''}")
        return "padded(tensors[0])" if step.outputs == 1 else "[padded(t) for t in tensors]"

    def _told(self, step: Call, call: str) -> None:
        """Keep what the call warns of masks."""
        self.preamble.append("import warnings\n")
        name = f"{step.name}_told"
        self.lines += [
            "with warnings.catch_warnings(record=True) as warned:",
            '    warnings.simplefilter("always")',
            f"    {call}",
            f'{name} = ["mask" in str(one.message) for one in warned]',
        ]

    def _graph(self, step: Call) -> str:
        """Define a traced function for a call; the text that calls it."""
        leaves, patterns = leaf_patterns(step, self._builds)
        names: dict[int, str] = {}
        signature, given = [], []
        for place, (leaf, pattern) in enumerate(zip(leaves, patterns, strict=True)):
            names[id(leaf)] = f"a{place}"
            text = self.operand(leaf)
            given.append(f"tf.constant({text})")
            signature.append(f"tf.TensorSpec({list(pattern)}, tf.constant({text}).dtype)")
        function = self._name(f"call_{step.name}")
        body = self._called(step, names)
        if f"{step.name}{_MASK}" in self._masks:
            body = f"(t := {body}, {_masks_of('t', step.outputs)})"
        jit = ", jit_compile=True" if (step.mode or self.mode) == "xla" else ""
        self.lines.append(
            f"{function} = tf.function(lambda {', '.join(names[id(leaf)] for leaf in leaves)}: "
            f"{body}, input_signature=[{', '.join(signature)}]{jit})"
        )
        return f"{function}({', '.join(given)})"

    def _gradient(self, step: Gradient) -> None:
        call = step.call
        leaves = leaves_of(call)
        tensors, sources = {}, []
        for place, leaf in enumerate(leaves):
            text = f"tf.constant({self.operand(leaf)})"
            if place in step.sources:
                name = self._name(f"x_{step.name}")
                self.lines.append(f"{name} = {text}")
                sources.append(name)
                text = name
            tensors[id(leaf)] = text
        wheres = [None if one is None else self.operand(one) for one in step.where]
        text = self._called(call, tensors)
        self._taken.add(step.name)
        self._outputs[step.name] = 2
        self.lines += [
            "with tf.GradientTape() as tape:",
            *(f"    tape.watch({source})" for source in sources),
            f"    outputs = tf.nest.flatten({text})",
        ]
        for place, where in enumerate(wheres):
            if where is not None:
                t = f"outputs[{place}]"
                shape = f"{where}.shape + (1,) * (len({t}.shape) - {where}.ndim)"
                self.lines.append(f"    {t} = tf.where({where}.reshape({shape}), {t}, 0)")
        self.lines += [
            "    total = tf.add_n([tf.reduce_sum(tf.sin(t)) for t in outputs])",
            "sources = [getattr(w, 'value', w) if not callable(getattr(w, 'value', None)) else w "
            f"for w in {call.layer}.trainable_weights]",
            f"{step.name} = [np.array(g) for g in tape.gradient(total, [{', '.join(sources)}, "
            "*sources], unconnected_gradients='zero')]",
        ]


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


def _short(operand: Expression) -> str | None:
    """A small array written out, which says more than how it was drawn."""
    if operand.hint is None or any(True for _ in operand.outputs()):
        return None
    value = operand.value()
    if not isinstance(value, np.ndarray) or not 0 < value.size <= _SMALL:
        return None
    return literal(value).source


def bound_text(value: Any) -> str:
    """A bound as a script writes it."""
    return f"{float(np.max(value)):.3g}"
