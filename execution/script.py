"""Writes the steps of a comparison as the plain Keras code that a user would write."""

from __future__ import annotations

import contextlib
import importlib
import io
import textwrap

from catalogue import weights
from catalogue.custom_layers import CUSTOM_LAYERS
from catalogue.expressions import Expression, Output
from catalogue.steps import (
    Build,
    Call,
    Configuration,
    Define,
    Gradient,
    OutputShape,
    ResetState,
    Step,
    SymbolicCall,
    SymbolicShape,
)
from catalogue.training_cases import LOOPS
from catalogue.training_steps import Model, Train
from execution.anatomy import layers_of, outputs_of, shapes_to_call
from execution.call_script import (
    LEFT,
    LENGTHS,
    MASK,
    TOLD,
    print_call,
    print_gradient,
    print_symbolic_call,
)
from execution.printer import Printer
from execution.products import product_lines
from execution.training_script import print_model, print_train

__all__ = ["fails", "raised", "script"]


# Layers that have weights besides those that training changes: they stay as they are made.
_NOT_ALL_TRAINED = ("BatchNormalization", "SpectralNormalization")


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
    printer = Printer(mode, {name for name in needed if name.endswith((MASK, TOLD, LENGTHS, LEFT))})
    for step in _pruned(steps, needed):
        _print_step(printer, step)
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
    """Whether a script raises, as a reproducer should."""
    return raised(text, device=device) is not None


def raised(text: str, *, device: str = "cpu:0") -> str | None:
    """Run a script where it cannot print; the class of what it raised, None for nothing.

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
    except Exception as error:
        return type(error).__name__
    return None


def _all_outputs(operands: dict[str, Expression | Output]) -> list[Output]:
    found: list[Output] = []
    for operand in operands.values():
        found += [operand] if isinstance(operand, Output) else operand.outputs()
    return found


def _pruned(steps: tuple[Step, ...], needed: set[str]) -> list[Step]:
    """The steps that the needed results depend on, and calls that states, or layers, remember.

    What an earlier call may leave behind is looked at in layers that are `fresh`.
    """
    if any(isinstance(step, ResetState) for step in steps) or any(
        isinstance(step, Build) and step.spec.get("stateful") for step in steps
    ):
        return list(steps)
    kept: list[Step] = []
    wanted = {name.partition(".")[0] for name in needed}
    fresh = {step.name for step in steps if isinstance(step, Build) and step.fresh}
    for step in reversed(steps):
        name = step.layer if isinstance(step, ResetState) else step.name
        if name in wanted or (isinstance(step, Call) and step.layer in fresh & wanted):
            kept.append(step)
            wanted |= set(layers_of(step)) | {output.step for output in outputs_of(step)}
    return kept[::-1]


def _print_step(printer: Printer, step: Step) -> None:
    """Write one step."""
    if isinstance(step, Build):
        _print_build(printer, step)
    elif isinstance(step, Define):
        _print_define(printer, step)
    elif isinstance(step, Call):
        print_call(printer, step)
    elif isinstance(step, Gradient):
        print_gradient(printer, step)
    elif isinstance(step, ResetState):
        reset = f"{step.layer}.reset_state"
        printer.lines.append(f"{reset}() if hasattr({step.layer}, 'reset_state') else {reset}s()")
    elif isinstance(step, OutputShape):
        printer.taken.add(step.name)
        call = f"{step.layer}.compute_output_shape({step.input_shape})"
        printer.lines.append(f"{step.name} = [tuple(s) for s in _shapes({call})]")
        _add_shapes_helper(printer)
    elif isinstance(step, Configuration):
        printer.taken.add(step.name)
        printer.lines.append(f"config = {step.layer}.get_config()")
        held = [
            f"{name!r} in config and config[{name!r}] == {value!r}"
            for name, value in step.arguments.items()
        ]
        printer.lines.append(f"{step.name} = [{', '.join(held)}]")
        printer.outputs[step.name] = 2  # a list, whatever its length
    elif isinstance(step, SymbolicCall):
        print_symbolic_call(printer, step)
    elif isinstance(step, SymbolicShape):
        call = f"{step.layer}(keras.Input({step.shape}, batch_size={step.batch}))"
        printer.lines.append(f"{step.name} = [tuple(t.shape) for t in tf.nest.flatten({call})]")
        printer.outputs[step.name] = 2  # a list, whatever its length
    elif isinstance(step, Model):
        printer.taken.add(step.name)
        printer.models[step.name] = step
        print_model(printer, step, printer.mode)
    elif isinstance(step, Train):
        printer.taken.add(step.name)
        printer.lists.add(step.name)  # metrics and weights come in lists
        if step.way in LOOPS and len(step.given) > 1:
            printer.outputs[step.name] = len(step.given)
        print_train(printer, step, printer.models[step.model])
    else:
        operands = printer.operand(step.left), printer.operand(step.right)
        printer.taken.add(step.name)
        printer.outputs[step.name] = 1 if step.model is None else 2
        printer.lines += product_lines(step, operands, step.mode or printer.mode)


def _add_shapes_helper(printer: Printer) -> None:
    printer.outputs[printer.lines[-1].split(" = ")[0]] = 2
    printer.preamble.append(
        "def _shapes(shape):  # one shape, or a nest of shapes\n"
        "    flat = all(size is None or isinstance(size, int) for size in shape)\n"
        "    return [shape] if flat else [s for inner in shape for s in _shapes(inner)]"
    )


def _print_build(printer: Printer, step: Build) -> None:
    printer.taken.add(step.name)
    printer.builds[step.name] = step
    spec = step.spec
    texts = [CUSTOM_LAYERS[name] for name in spec.layers() if name in CUSTOM_LAYERS]
    printer.preamble += [text for text in texts if text not in printer.preamble]
    printer.lines.append(f"{step.name} = {spec.source()}")
    if step.restored:
        again = f"type({step.name}).from_config({step.name}.get_config())"
        printer.lines.append(f"{step.name} = {again}")
    several = isinstance(step.input_shape[0], tuple)
    shape = list(step.input_shape) if several else step.input_shape
    if step.called and (step.weights is not None or step.another):
        zeros = ", ".join(f"tf.zeros({shape})" for shape in shapes_to_call(step))
        printer.lines.append(
            f"{step.name}([{zeros}])" if step.together else f"{step.name}({zeros})"
        )
    if step.weights is None:
        return
    if not step.called:
        printer.lines.append(f"{step.name}.build({shape})")
    printer.lines.append(f"rng = np.random.default_rng({step.weights})")
    if spec.layer in _NOT_ALL_TRAINED or spec.get("lora_rank"):
        printer.lines += [
            f"for w in {step.name}.trainable_weights:",
            f"    w.assign({weights.SOURCE})",
        ]
        return
    printer.lines.append(
        f"{step.name}.set_weights([{weights.SOURCE} for w in {step.name}.get_weights()])"
    )


def _print_define(printer: Printer, step: Define) -> None:
    printer.taken |= {step.name, "layers"}
    printer.builds[step.name] = step
    texts = [CUSTOM_LAYERS[name] for name in step.customs if name in CUSTOM_LAYERS]
    printer.preamble += [text for text in texts if text not in printer.preamble]
    printer.lines += [
        *step.source.splitlines(),
        "for k, layer in enumerate(layers):",
        f"    rng = np.random.default_rng({step.weights} + k)",
        f"    layer.set_weights([{weights.SOURCE} for w in layer.get_weights()])",
    ]
