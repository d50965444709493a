"""Writes the training of a model as the code that a user would write."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from catalogue import weights
from catalogue.custom_layers import CUSTOM_LAYERS
from catalogue.custom_measures import BATCHES, CUSTOM_MEASURES, PADDED
from catalogue.training_cases import LOOPS, TRAINS
from catalogue.training_steps import TEACHER, Batch, Given, Head, Measure, Model, Train

__all__ = ["print_model", "print_train"]

_TEMPFILE = "import tempfile\n"


def print_model(printer: Any, step: Model, mode: str) -> None:
    """Write how the model is built and compiled."""
    name, lines = step.name, printer.lines
    inputs: list[str] = []
    outputs = []
    for output, head in zip(step.names, step.heads, strict=True):
        _preamble(printer, head)
        place = len(inputs)
        inputs.append(f"keras.Input({(None, *head.rest)})")
        text = f"inputs[{place}]"
        if head.masked:
            inputs.append('keras.Input((None,), dtype="bool")')
            text = f"Travelling()(inputs[{place}:{place + 2}])"
        *before, last = head.layers
        if len(step.heads) > 1:
            last = last.replace(name=output)
        for spec in (*before, last):
            text = f"{spec.source()}({text})"
        outputs.append(text)
    lines.append(f"inputs = [{', '.join(inputs)}]")
    given = "inputs" if len(inputs) > 1 else "inputs[0]"
    made = outputs[0] if len(outputs) == 1 else f"[{', '.join(outputs)}]"
    if step.nest == "dict outputs":
        made = _nested(step, outputs)
    lines.append(f"{name} = keras.Model({given}, {made})")
    if step.distilled is not None:
        lines += [
            f"student, inputs = {name}, [{', '.join(inputs)}]",
            f"teacher = keras.Model({given}, {made})",
            f"rng = np.random.default_rng({TEACHER})",
            f"teacher.layers[-1].set_weights([{weights.SOURCE} "
            "for w in teacher.layers[-1].get_weights()])",
            "losses = keras.distillation.LogitsDistillation()",
            f"{name} = keras.distillation.Distiller("
            f"teacher, student, losses, student_loss_weight={step.distilled})",
        ]
    losses = ", ".join(head.loss.source() for head in step.heads)
    lines.append(f"{name}_losses = [{losses}]")
    texts = [f"{name}_losses[{place}]" for place in range(len(step.heads))]
    options = [f"optimizer=keras.optimizers.SGD(1.0), loss={_nested(step, texts)}"]
    if len(step.heads) > 1 and step.loss_weights:
        options.append(f"loss_weights={_nested(step, list(map(repr, step.loss_weights)))}")
    for argument, each in (
        ("metrics", [head.metrics for head in step.heads]),
        ("weighted_metrics", [head.weighted_metrics for head in step.heads]),
    ):
        if any(each):
            texts = [f"[{', '.join(one.source() for one in measures)}]" for measures in each]
            options.append(f"{argument}={_metrics(step, texts)}")
    options += [f"{argument}={value}" for argument, value in step.options(mode).items()]
    lines.append(f"{name}.compile({', '.join(options)})")
    if step.saved:
        printer.preamble += [] if _TEMPFILE in printer.preamble else [_TEMPFILE]
        lines += [
            'path = tempfile.mkdtemp() + "/model.keras"',
            f"{name}.save(path)",
            f"{name} = keras.models.load_model(path, custom_objects=globals())",
        ]


def _metrics(step: Model, texts: Sequence[str]) -> str:
    """Metrics for each output: one without any has None in a list, and no name in a dict."""
    if step.nest != "list" and len(texts) > 1:
        pairs = zip(step.names, texts, strict=True)
        return "{" + ", ".join(f'"{name}": {text}' for name, text in pairs if text != "[]") + "}"
    return _nested(step, ["None" if text == "[]" else text for text in texts])


def _preamble(printer: Any, head: Head) -> None:
    """Write the custom layers and the losses of one's own that an output needs."""
    layers = [spec.layer for spec in head.layers if spec.layer in CUSTOM_LAYERS]
    measures: tuple[Measure, ...] = (head.loss, *head.metrics, *head.weighted_metrics)
    texts = [CUSTOM_LAYERS[name] for name in (["Travelling"] if head.masked else []) + layers]
    texts += [CUSTOM_MEASURES[one.name] for one in measures if one.name in CUSTOM_MEASURES]
    printer.preamble += [text for text in dict.fromkeys(texts) if text not in printer.preamble]


def _nested(model: Model, texts: Sequence[str], brackets: str = "[]") -> str:
    """Something for each output as `compile` and `fit` take it; of one output alone, itself."""
    if len(texts) == 1:
        return texts[0]
    if model.nest != "list":
        pairs = zip(model.names, texts, strict=True)
        return "{" + ", ".join(f'"{name}": {text}' for name, text in pairs) + "}"
    return brackets[0] + ", ".join(texts) + brackets[1]


def print_train(printer: Any, step: Train, model: Model) -> None:
    """Write what the model is given, and keep the loss, the metrics and what was learned."""
    name, lines = step.name, printer.lines
    several = len(model.heads) > 1
    lines.append(f"rng = np.random.default_rng({model.weights})")
    if several:
        lines.append(f"outputs = [{step.model}.get_layer(k) for k in {list(model.names)}]")
    else:
        student = "" if model.distilled is None else ".student"
        lines.append(f"outputs = [{step.model}{student}.layers[-1]]")
    lines += [
        "for layer in outputs:",
        f"    layer.set_weights([{weights.SOURCE} for w in layer.get_weights()])",
    ]
    if step.way in LOOPS:
        _loop(printer, step, model)
        return
    trains = step.way in TRAINS
    _method(printer, step, model)
    if step.validation or step.split:
        lines.append("validated = {k[4:]: logs.pop(k) for k in list(logs) if k[:4] == 'val_'}")
        names = [f"{output}_loss" for output in model.names if several]
        lines.append(f"names = sorted(set(validated) - set({['loss', *names]}))")
        lines.append(f"{name}_validation = [np.array(validated[k]) for k in ('loss', *names)]")
    lines.append(f'{name} = np.array(logs.pop("loss"))')
    if several:
        each = f'logs.pop(k + "_loss") for k in {list(model.names)} if k + "_loss" in logs'
        lines.append(f"{name}_each = [np.array(value) for value in [{each}]]")
    metrics = "logs.values()"
    if several:
        metrics = "[logs[k] for k in sorted(logs, key=lambda k: k[0])]"
    lines.append(f"{name}_metric = [np.array(value) for value in {metrics}]")
    if trains:
        lines.append(f"{name}_state = [w for layer in outputs for w in layer.get_weights()]")


def _method(printer: Any, step: Train, model: Model) -> None:
    """Lines that call a method of the model, and keep its logs."""
    lines, trains = printer.lines, step.way in TRAINS
    options = ["return_dict=True"]
    if step.class_weight:
        options.append(f"class_weight={step.classes}")
    each = step.given if step.afresh else step.given[:1]
    if len(each) == len(step.given) and step.way.endswith(("step", "on_batch")):
        method = "train_on_batch" if trains else "test_on_batch"
        for batch in (*step.before, *each):  # each counts by itself
            inputs, labels, *rest = _texts(printer, batch, model, "[]")
            weighed = [f"sample_weight={rest[0]}"] if rest else []
            given = ", ".join([inputs, labels, *weighed, *options])
            lines.append(f"logs = {step.model}.{method}({given})")
        return
    if step.form == "arrays":
        inputs, labels, *rest = _texts(printer, step.given[0], model, "[]")
        weighed = [f"sample_weight={rest[0]}"] if rest else []
        given = ", ".join([inputs, labels, *weighed, f"batch_size={_rows(step)}", "verbose=0"])
        lines.append(f"logs = {step.model}.evaluate({given}, return_dict=True)")
        return
    if not trains:
        _data(printer, step, model)
        lines.append(f"logs = {step.model}.evaluate(data, verbose=0, return_dict=True)")
        return
    fitted = ["verbose=0", "shuffle=False", *options[1:]]
    if step.epochs > 1:
        fitted.append(f"epochs={step.epochs}")
    if step.split:
        inputs, labels, *rest = _texts(printer, step.given[0], model, "[]")
        rows = _rows(step)
        weighed = [f"sample_weight={rest[0]}"] if rest else []
        cut = f"validation_split={1 - (step.split + 0.5) / rows}"
        fitted = [inputs, labels, *weighed, f"batch_size={rows}", cut, *fitted]
    else:
        if step.validation:
            validated = dataclasses.replace(step, given=step.validation, validation=())
            _data(printer, validated, model)
            lines.append("validation = data")
            fitted.append("validation_data=validation")
        _data(printer, step, model)
        fitted.insert(0, "data")
    lines.append(f"logs = {step.model}.fit({', '.join(fitted)}).history")
    lines.append("logs = {key: values[-1] for key, values in logs.items()}")


def _rows(step: Train) -> int:
    """How many rows the only batch has."""
    return len(step.given[0][0].inputs.value())


def _data(printer: Any, step: Train, model: Model) -> None:
    """The batches as a dataset, padded by it where rows have lengths."""
    lines = printer.lines
    padded = step.way.startswith("padded")
    if padded and all(one.lengths for batch in step.given for one in batch):
        if PADDED not in printer.preamble:
            printer.preamble.append(PADDED)
        for place, batch in enumerate(step.given):
            arrays, lengths = [], []
            for head, given in zip(model.heads, batch, strict=True):
                whole = given.without_steps(head)
                for k, array in enumerate(given.arrays()):
                    arrays.append(printer.operand(array))
                    rows = k in whole or np.ndim(array.value()) < 2
                    lengths.append(None if rows else list(given.lengths))
            names = [f"a[{k}]" for k in range(len(arrays))]
            nested = f"lambda a: ({', '.join(_arranged(batch, model, names, '()'))})"
            one = f"padded({lengths}, [{', '.join(arrays)}], {nested})"
            lines.append(f"data = {one}" if place == 0 else f"data = data.concatenate({one})")
        return
    else:
        batches = [f"({', '.join(_texts(printer, one, model, '()'))})" for one in step.given]
        lines.append(f"batches = [{', '.join(batches)}]")
        if step.form == "generator":
            lines.append("data = (batch for batch in batches)")
            return
        if step.form == "PyDataset":
            if BATCHES not in printer.preamble:
                printer.preamble.append(BATCHES)
            lines.append("data = Batches(batches)")
            return
        if step.form == "uncounted":
            lines += [
                "data = tf.data.Dataset.from_tensors(batches[0])",
                "for batch in batches[1:]:",
                "    data = data.concatenate(tf.data.Dataset.from_tensors(batch))",
                "data = data.filter(lambda *batch: True)  # nobody knows how many are left",
            ]
            return
        lines.append(
            "spec = tf.nest.map_structure(lambda a: tf.TensorSpec((*[None] * min(2, a.ndim), "
            "*a.shape[2:]), a.dtype), batches[0])"
        )
        lines.append(
            "data = tf.data.Dataset.from_generator("
            "lambda batches=batches: iter(batches), output_signature=spec)"
        )
        lines.append("data = data.apply(tf.data.experimental.assert_cardinality(len(batches)))")


def _texts(printer: Any, batch: Batch, model: Model, brackets: str) -> list[str]:
    """Inputs with their masks, labels, weights where there are some."""
    names = [printer.operand(array) for given in batch for array in given.arrays()]
    return _arranged(batch, model, names, brackets)


def _arranged(batch: Sequence[Given], model: Model, names: list[str], brackets: str) -> list[str]:
    """The names of all arrays of a batch, as the model takes them."""
    rest = iter(names)
    inputs, labels, weighted = [], [], []
    for given in batch:
        inputs.append(next(rest))
        if given.mask is not None:
            inputs.append(next(rest))
        labels.append(next(rest))
        weighted.append("None" if given.weights is None else next(rest))
    joined = ", ".join(inputs)
    found = [joined if len(inputs) == 1 else brackets[0] + joined + brackets[1]]
    found.append(_nested(model, labels, brackets))
    if any(given.for_all for given in batch):
        weighted = [one for one in weighted if one != "None"]
    if any(one != "None" for one in weighted):
        found.append(_nested(model, weighted, brackets))
    return found


def _loop(printer: Any, step: Train, model: Model) -> None:
    """A gradient tape around the model and its losses."""
    name, lines = step.name, printer.lines
    lines.append(f"{name}_parts, {name}_state = [], []")
    lines += [
        "variables = [w for layer in outputs for w in layer.trainable_weights]",
        "variables = [getattr(w, 'value', w) if not callable(getattr(w, 'value', None)) else w "
        "for w in variables]",
    ]
    for batch in step.given:
        inputs, labels, *weighted = _texts(printer, batch, model, "[]")
        lines.append("with tf.GradientTape() as tape:")
        lines.append(f"    p = {step.model}({inputs}, training=True)")
        if step.way == "compute_loss":
            arguments = ", ".join([inputs, labels, "p", *weighted])
            lines.append(f"    loss = {step.model}.compute_loss({arguments})")
        else:
            lines += _by_hand(printer, step, model, batch)
        lines += [
            f"{name}_parts.append(np.array({_plain(model)}))",
            f"{name}_state += [np.array(g) for g in tape.gradient(loss, variables)]",
        ]
    parts = f"{name}_parts"
    lines.append(f"{name} = {parts}[0]" if len(step.given) == 1 else f"{name} = {parts}")


def _plain(model: Model) -> str:
    """A loss that NumPy can hold: of a scalar of bfloat16 it makes nothing."""
    narrow = any("bfloat16" in repr(layer) for head in model.heads for layer in head.layers)
    return "tf.cast(loss, 'float32')" if narrow else "loss"


def _by_hand(printer: Any, step: Train, model: Model, batch: Batch) -> list[str]:
    """Lines that call the loss of each output, with its mask among the weights where that is so."""
    lines, losses = [], []
    several = len(model.heads) > 1
    for place, given in enumerate(batch):
        key = repr(model.names[place]) if model.nest == "dict outputs" else place
        one = f"p[{key}]" if several else "p"
        weight = "" if given.weights is None else printer.operand(given.weights)
        if step.way == "mask as weights":
            mask = f"tf.cast({one}._keras_mask, 'float32')"
            if model.heads[place].masked or model.heads[place].layers[0].layer == "Masking":
                rows = given.weights is not None and np.ndim(given.weights.value()) == 1
                weight = f"{weight}[:, None]" if rows else weight
                weight = f"{mask} * {weight}" if weight else mask
            one = f"tf.identity({one})"
        arguments = ", ".join(filter(None, [printer.operand(given.labels), one, weight]))
        call = f"{step.model}_losses[{place}]({arguments})"
        call = f"tf.cast({call}, 'float32')" if several else call
        factors = model.loss_weights
        losses.append(f"{factors[place]} * {call}" if several and factors else call)
    lines.append(f"    loss = {' + '.join(losses)}")
    return lines
