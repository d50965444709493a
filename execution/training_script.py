"""Writes the training of a model as the code that a user would write."""

from __future__ import annotations

from catalogue import weights
from catalogue.custom_layers import CUSTOM_LAYERS
from catalogue.training_cases import TRAINS
from catalogue.training_steps import Given, Model, Train
from execution.printer import Printer

__all__ = ["print_model", "print_train"]


def print_model(printer: Printer, step: Model, mode: str) -> None:
    """Write how the model is built and compiled."""
    name, lines = step.name, printer.lines
    shape = (None, *step.rest)
    layers = list(step.layers)
    if step.masked:
        if CUSTOM_LAYERS["Travelling"] not in printer.preamble:
            printer.preamble.append(CUSTOM_LAYERS["Travelling"])
        text = "Travelling()(inputs)"
        for spec in layers:
            text = f"{spec.source()}({text})"
        lines.append(f'inputs = [keras.Input({shape}), keras.Input((None,), dtype="bool")]')
        lines.append(f"{name} = keras.Model(inputs, {text})")
    else:
        texts = ", ".join([f"keras.Input({shape})", *(spec.source() for spec in layers)])
        lines.append(f"{name} = keras.Sequential([{texts}])")
    lines.append(f"{name}_loss = {step.loss.source()}")
    options = [f"optimizer=keras.optimizers.SGD(1.0), loss={name}_loss"]
    for argument, measures in (
        ("metrics", step.metrics),
        ("weighted_metrics", step.weighted_metrics),
    ):
        if measures:
            texts = ", ".join(one.source() for one in measures)
            options.append(f"{argument}=[{texts}]")
    options.append("run_eagerly=True" if mode == "eager" else f"jit_compile={mode == 'xla'}")
    lines.append(f"{name}.compile({', '.join(options)})")


def print_train(printer: Printer, step: Train, model: Model) -> None:
    """Write what the model is given, and keep the loss, the metrics and what was learned."""
    name, lines = step.name, printer.lines
    lines.append(f"rng = np.random.default_rng({model.weights})")
    lines.append(
        f"{step.model}.set_weights([{weights.SOURCE} for w in {step.model}.get_weights()])"
    )
    if step.way == "custom loop":
        _loop(printer, step)
        return
    options = ["return_dict=True"]
    if step.class_weight:
        options.append(f"class_weight={dict(enumerate(step.class_weight))}")
    trains = step.way in TRAINS
    if len(step.given) == 1 and step.way not in ("fit", "evaluate"):
        inputs, labels, *rest = _texts(printer, step.given[0])
        if rest:
            options.insert(0, f"sample_weight={rest[0]}")
        method = "train_on_batch" if trains else "test_on_batch"
        inputs = inputs.replace("(", "[", 1)[:-1] + "]" if step.given[0].mask else inputs
        lines.append(f"logs = {step.model}.{method}({', '.join([inputs, labels, *options])})")
    else:
        batches = [f"({', '.join(_texts(printer, given))})" for given in step.given]
        lines.append(f"batches = [{', '.join(batches)}]")
        lines.append(
            "spec = tf.nest.map_structure(lambda a: tf.TensorSpec((*[None] * min(2, a.ndim), "
            "*a.shape[2:]), a.dtype), batches[0])"
        )
        lines.append(
            "data = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=spec)"
        )
        lines.append("data = data.apply(tf.data.experimental.assert_cardinality(len(batches)))")
        if trains:
            given = ", ".join(["data", "verbose=0", "shuffle=False", *options[1:]])
            lines.append(f"logs = {step.model}.fit({given}).history")
            lines.append("logs = {key: values[-1] for key, values in logs.items()}")
        else:
            lines.append(f"logs = {step.model}.evaluate(data, verbose=0, return_dict=True)")
    lines.append(f'{name} = np.array(logs.pop("loss"))')
    lines.append(f"{name}_metric = [np.array(value) for value in logs.values()]")
    if trains:
        lines.append(f"{name}_state = {step.model}.get_weights()")


def _texts(printer: Printer, given: Given) -> list[str]:
    """Inputs with their mask, labels, weights where there are some."""
    inputs, *rest = (printer.operand(array) for array in given.arrays())
    if given.mask is not None:
        inputs = f"({inputs}, {rest.pop(0)})"
    return [inputs, *rest]


def _loop(printer: Printer, step: Train) -> None:
    """A gradient tape around the model and its loss."""
    name, model, lines = step.name, step.model, printer.lines
    lines.append(f"{name}_each, {name}_state = [], []")
    for given in step.given:
        inputs, *rest = _texts(printer, given)
        inputs = inputs.replace("(", "[", 1)[:-1] + "]" if given.mask else inputs
        labels, *weighted = rest
        arguments = ", ".join([labels, f"{model}({inputs}, training=True)", *weighted])
        lines += [
            "with tf.GradientTape() as tape:",
            f"    loss = {model}_loss({arguments})",
            "variables = [getattr(w, 'value', w) if not callable(getattr(w, 'value', None)) else w "
            f"for w in {model}.trainable_weights]",
            f"{name}_each.append(np.array(loss))",
            f"{name}_state += [np.array(g) for g in tape.gradient(loss, variables)]",
        ]
    lines.append(f"{name} = {name}_each[0]" if len(step.given) == 1 else f"{name} = {name}_each")
