"""What planted defects are made of: a real layer with its call changed, or run step by step."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

from execution.implementation import Implementation

__all__ = [
    "Change",
    "Defect",
    "Invocation",
    "Moment",
    "joined",
    "on_output",
    "parts",
    "planted",
    "stepped",
]

_KERAS_2 = 2  # whose layers name and order the arguments of a call otherwise


@dataclasses.dataclass(frozen=True)
class Invocation:
    """One call of a real layer: what it was given, and the layer's own `call`.

    `inputs` has shape (batch, step, features); `mask`, shape (batch, step) and as it was
    given, may be None.
    """

    layer: Any
    tf: Any
    base: Any
    keras_major: int
    inputs: Any
    mask: Any
    initial_state: Any
    training: Any

    def real(self, **changes: Any) -> Any:
        """What the real layer gives, with some arguments changed."""
        given = {
            "mask": self.mask,
            "training": self.training,
            "initial_state": self.initial_state,
            **changes,
        }
        inputs = given.pop("inputs", self.inputs)
        return self.base.call(self.layer, inputs, **given)

    @property
    def valid(self) -> Any:
        """The mask as booleans, all True where there is none."""
        if self.mask is None:
            return self.tf.ones(self.tf.shape(self.inputs)[:2], "bool")
        return self.tf.cast(self.mask, "bool")

    @property
    def padding(self) -> Any:
        """The inputs at masked steps, zeros at valid ones and where they are not finite."""
        return self.tf.where(
            self.valid[:, :, None] | ~self.tf.math.is_finite(self.inputs),
            self.tf.zeros_like(self.inputs),
            self.inputs,
        )

    def start(self) -> Any:
        """The states that the call begins with, as the layer nests them."""
        layer, tf = self.layer, self.tf
        if self.keras_major == _KERAS_2:
            states = layer._process_inputs(self.inputs, self.initial_state, None)[1]
        elif self.initial_state is not None:
            states = self.initial_state
        elif layer.stateful:
            states = layer.states
        else:
            states = layer.get_initial_state(batch_size=tf.shape(self.inputs)[0])
        states = list(states) if isinstance(states, list | tuple) else [states]
        dtype = layer.cell.compute_dtype
        return tf.nest.map_structure(lambda state: tf.cast(tf.identity(state), dtype), states)


Change = Callable[[Invocation], Any]


@dataclasses.dataclass(frozen=True)
class Defect:
    """A recurrent layer with something wrong in it, and the property that names what it is.

    `layer` is the layer's name in reports; `change` is what its call does instead.
    `methods` are further methods of the class, each given the real one first.
    """

    name: str
    description: str
    properties: tuple[str, ...]
    layer: str
    change: Change
    methods: Mapping[str, Callable[..., Any]] = dataclasses.field(default_factory=dict)

    def overrides(self, implementation: Implementation) -> dict[str, type]:
        """The classes that an implementation with this defect has in place of the real ones."""
        name = self.layer.partition("(")[0]
        return {name: planted(implementation, name, self.change, self.methods)}


def planted(
    implementation: Implementation,
    name: str,
    change: Change,
    methods: Mapping[str, Callable[..., Any]] | None = None,
) -> type:
    """The real layer of this name, its call replaced by `change`, its methods by `methods`."""
    base = getattr(implementation.keras.layers, name)
    tf, major = implementation.tensorflow, implementation.keras_major
    changed = tf.autograph.experimental.do_not_convert(change)

    def called(self: Any, inputs: Any, mask: Any, training: Any, initial_state: Any) -> Any:
        arguments = (inputs, mask, initial_state, training)
        return changed(Invocation(self, tf, base, major, *arguments))

    if major == _KERAS_2:

        def call(
            self: Any,
            inputs: Any,
            mask: Any = None,
            training: Any = None,
            initial_state: Any = None,
        ) -> Any:
            return called(self, inputs, mask, training, initial_state)
    else:

        def call(  # type: ignore[misc]
            self: Any,
            sequences: Any,
            initial_state: Any = None,
            mask: Any = None,
            training: Any = False,
        ) -> Any:
            return called(self, sequences, mask, training, initial_state)

    names: dict[str, Any] = {"call": call}
    for method, replacement in (methods or {}).items():
        if hasattr(base, method):
            names[method] = _method(getattr(base, method), replacement)
    return type(name, (base,), names)


def _method(real: Any, replacement: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(real)  # Keras 3 looks at the names of a method's arguments
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return replacement(real, self, *args, **kwargs)

    return method


def parts(outputs: Any) -> tuple[Any, list[Any]]:
    """The output of a call, and the states that come with it."""
    if isinstance(outputs, list | tuple):
        return outputs[0], list(outputs[1:])
    return outputs, []


def joined(output: Any, states: list[Any]) -> Any:
    """What `parts` took apart."""
    return (output, *states) if states else output


def on_output(altered: Callable[[Any, Any, Invocation], Any]) -> Change:
    """A call whose output is altered, by TensorFlow, the output and the call."""

    def change(call: Invocation) -> Any:
        output, states = parts(call.real())
        return joined(altered(call.tf, output, call), states)

    return change


def _forget_what_is_dropped(cell: Any) -> None:
    """Each call drops anew; the steps of one call drop the same."""
    for one in getattr(cell, "cells", [cell]):
        for method in ("reset_dropout_mask", "reset_recurrent_dropout_mask"):
            if hasattr(one, method):
                getattr(one, method)()


# -- step by step ----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Moment:
    """One step of a layer that is run step by step.

    `valid` has shape (batch, 1); `output` and `states` are what the cell gives, `held` and
    `old` what was there before it. States are flat.
    """

    tf: Any
    time: Any
    valid: Any
    output: Any
    held: Any
    states: list[Any]
    old: list[Any]
    zero: bool  # whether zeros are asked for at masked steps

    @property
    def kept_output(self) -> Any:
        """The output that is held from here on: the last one where the step is masked."""
        return self.tf.where(self.valid, self.output, self.held)

    @property
    def written_output(self) -> Any:
        """What the sequence of outputs has at this step."""
        return self.tf.where(self.valid, self.output, 0.0) if self.zero else self.kept_output

    @property
    def kept_states(self) -> list[Any]:
        """The states after this step."""
        pairs = zip(self.states, self.old, strict=True)
        return [self.tf.where(self.valid, new, old) for new, old in pairs]


def stepped(
    *,
    output: Callable[[Moment], Any] = lambda moment: moment.kept_output,
    written: Callable[[Moment], Any] = lambda moment: moment.written_output,
    states: Callable[[Moment], list[Any]] = lambda moment: moment.kept_states,
    first: Callable[[Any, list[Any]], Any] = lambda tf, states: None,
) -> Change:
    """A call that runs the layer's cell step by step; with no arguments, as documented.

    `output`, `written` and `states` say what a step leaves behind, `first` the output that
    is held before the first step (of the flat initial states; None for zeros).
    """

    def change(invocation: Invocation) -> Any:
        layer, tf, inputs = invocation.layer, invocation.tf, invocation.inputs
        start = invocation.start()
        flat = tf.nest.flatten(start)
        valid = invocation.valid
        if layer.go_backwards:
            inputs, valid = tf.reverse(inputs, [1]), tf.reverse(valid, [1])
        steps = tf.shape(inputs)[1]
        by_step, valid = tf.transpose(inputs, [1, 0, 2]), tf.transpose(valid)
        training = {"training": invocation.training or False}
        _forget_what_is_dropped(layer.cell)
        probe, _ = layer.cell(by_step[0], start, **training)
        held = first(tf, flat)
        held = tf.zeros_like(probe) if held is None else held
        shapes = [[None, *probe.shape[1:]], *([None, *state.shape[1:]] for state in flat)]

        def body(time: Any, rows: Any, held: Any, *old: Any) -> Any:
            nested = tf.nest.pack_sequence_as(start, old)
            out, new = layer.cell(by_step[time], nested, **training)
            zero = bool(layer.zero_output_for_mask)
            moment = Moment(
                tf, time, valid[time][:, None], out, held, tf.nest.flatten(new), list(old), zero
            )
            rows = rows.write(time, written(moment))
            return (time + 1, rows, output(moment), *states(moment))

        rows = tf.TensorArray(probe.dtype, size=steps, element_shape=shapes[0])
        _, rows, last, *ends = tf.while_loop(
            lambda time, *_: time < steps,
            body,
            (tf.constant(0), rows, held, *flat),
            shape_invariants=(
                tf.TensorShape([]),
                tf.TensorShape(None),
                *map(tf.TensorShape, shapes),
            ),
        )
        _forget_what_is_dropped(layer.cell)
        if layer.stateful:
            for variable, end in zip(tf.nest.flatten(layer.states), ends, strict=True):
                variable.assign(tf.cast(end, variable.dtype))
        result = last
        if layer.return_sequences:
            result = tf.transpose(rows.stack(), [1, 0, 2])
            result.set_shape([*inputs.shape[:2], *probe.shape[1:]])
        else:
            result.set_shape([inputs.shape[0], *probe.shape[1:]])
        for end, state in zip(ends, flat, strict=True):
            end.set_shape([inputs.shape[0], *state.shape[1:]])
        final = tf.nest.pack_sequence_as(start, ends) if layer.return_state else []
        return joined(result, list(final))

    return change
