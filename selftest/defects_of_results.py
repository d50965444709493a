"""Planted defects in what a layer holds at masked steps, and in what it hands back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from selftest.defective import Change, Defect, Invocation, Moment, joined, on_output, parts, stepped
from selftest.helpers import in_hdf5

__all__ = ["RESULT_DEFECTS"]


def _with(attribute: str, value: Callable[[Any], Any], when: Callable[[Any], bool]) -> Change:
    """A call during which an attribute of the layer has another value."""

    def change(call: Invocation) -> Any:
        layer = call.layer
        if not when(layer):
            return call.real()
        kept = getattr(layer, attribute)
        setattr(layer, attribute, value(layer))
        try:
            return call.real()
        finally:
            setattr(layer, attribute, kept)

    return change


def _real(call: Invocation) -> Any:
    return call.real()


def _a_row_of_none(call: Invocation) -> Any:
    if not call.tf.executing_eagerly() or call.inputs.shape[0]:
        return call.real()
    output, states = parts(call.real())
    rows = [call.tf.zeros((1, *one.shape[1:]), one.dtype) for one in (output, *states)]
    return joined(rows[0], rows[1:])


# -- held states and outputs -----------------------------------------------------------------


def _output_is_kept(call: Invocation) -> Any:
    """What a stateful layer keeps for the next call is its last output."""
    output, states = parts(call.real())
    if call.layer.stateful:
        last = output[:, -1] if call.layer.return_sequences else output
        kept = call.layer.states[0]
        kept.assign(call.tf.cast(last, kept.dtype))
    return joined(output, states)


def _without_gradient(moment: Moment) -> list[Any]:
    stopped = [moment.tf.stop_gradient(state) for state in moment.old]
    return dataclasses.replace(moment, old=stopped).kept_states


def _one_running(moment: Moment) -> list[Any]:
    return [*moment.kept_states[:-1], moment.states[-1]]


def _zeroed_states(moment: Moment) -> list[Any]:
    if not moment.zero:
        return moment.kept_states
    return [moment.tf.where(moment.valid, state, 0.0) for state in moment.states]


def _zeroed_after_padding(moment: Moment) -> Any:
    """Zeros at the step after a masked one, told by a held output that is still zero."""
    if not moment.zero:
        return moment.written_output
    fresh = moment.tf.reduce_all(moment.held == 0.0, axis=-1, keepdims=True) & (moment.time > 0)
    return moment.tf.where(~fresh, moment.written_output, 0.0)


def _zero_in_gaps(moment: Moment) -> Any:
    return moment.tf.where(moment.valid, moment.output, 0.0)


def _without_initial_states(call: Invocation) -> Any:
    tf = call.tf
    output, states = parts(call.real())
    some = tf.reduce_any(call.valid, axis=1, keepdims=True)
    return joined(output, tf.nest.map_structure(lambda s: tf.where(some, s, 0.0), states))


def _swapped_when_empty(call: Invocation) -> Any:
    tf = call.tf
    output, states = parts(call.real())
    if len(states) != 2:
        return joined(output, states)
    some = tf.reduce_any(call.valid, axis=1, keepdims=True)
    h, c = states
    return joined(output, [tf.where(some, h, c), tf.where(some, c, h)])


def _nan_when_empty(tf: Any, output: Any, call: Invocation) -> Any:
    count = tf.reduce_sum(tf.cast(call.valid, output.dtype), axis=1)
    share = count / count
    return output * tf.reshape(share, [-1, *[1] * (len(output.shape) - 1)])


# -- what is asked for -----------------------------------------------------------------------


def _cut(call: Invocation) -> Any:
    tf = call.tf
    if call.layer.unroll or call.mask is None:
        return call.real()
    valid = call.valid
    ends = tf.reduce_max(tf.where(valid, tf.range(1, tf.shape(valid)[1] + 1), 1))
    return call.real(inputs=call.inputs[:, :ends], mask=valid[:, :ends])


def _kept_axis(tf: Any, output: Any, call: Invocation) -> Any:
    return output if call.layer.return_sequences else output[:, None]


def _by_state(tf: Any, output: Any, call: Invocation) -> Any:
    return output * 1.01 if call.layer.return_state else output


def _last_unheld(tf: Any, output: Any, call: Invocation) -> Any:
    if call.layer.return_sequences or call.mask is None:
        return output
    place = 0 if call.layer.go_backwards else -1
    return tf.where(call.valid[:, place, None], output, 0.0)


def _dropped_at_masked_end(call: Invocation) -> Any:
    """States are scaled, as those that are not dropped are, where the last step is masked."""
    tf, cell = call.tf, call.layer.cell
    output, states = parts(call.real())
    rate = max(one.recurrent_dropout for one in getattr(cell, "cells", [cell]))
    if call.training is not True or not rate:
        return joined(output, states)
    valid = call.valid[:, 0 if call.layer.go_backwards else -1, None]
    scaled = tf.nest.map_structure(lambda s: tf.where(valid, s, s / (1 - rate)), states)
    return joined(output, scaled)


def _with_dropout(call: Invocation) -> Any:
    return call.real(training=True)


def _forgetful(call: Invocation) -> Any:
    result = call.real()
    if call.layer.stateful:
        for state in call.tf.nest.flatten(call.layer.states):
            state.assign(call.tf.zeros(state.shape, state.dtype))
    return result


def _half_reset(real: Any, layer: Any, *args: Any) -> None:
    import tensorflow as tf  # noqa: PLC0415 (only where a defect is planted)

    kept = tf.identity(tf.nest.flatten(layer.states)[-1])
    real(layer, *args)
    tf.nest.flatten(layer.states)[-1].assign(kept)


def _shape_without_states(real: Any, layer: Any, *args: Any, **kwargs: Any) -> Any:
    shape = real(layer, *args, **kwargs)
    return shape[:-1] if layer.return_state else shape


def _shape_without_steps(real: Any, layer: Any, *args: Any, **kwargs: Any) -> Any:
    shape = real(layer, *args, **kwargs)
    if not layer.return_sequences or layer.return_state:
        return shape
    return (shape[0], *shape[2:])


def _mask_lost(real: Any, layer: Any, *args: Any, **kwargs: Any) -> Any:
    if "initial_state" in kwargs and kwargs["initial_state"] is None:
        kwargs.pop("mask", None)
    return real(layer, *args, **kwargs)


def _no_mask_of_stateful(real: Any, layer: Any, *args: Any, **kwargs: Any) -> Any:
    mask = real(layer, *args, **kwargs)
    return None if layer.stateful else mask


def _masks_of_states(real: Any, layer: Any, *args: Any, **kwargs: Any) -> Any:
    masks = real(layer, *args, **kwargs)
    return [masks[0]] * len(masks) if isinstance(masks, list) else masks


def _incomplete_configuration(real: Any, layer: Any) -> Any:
    return {k: value for k, value in real(layer).items() if k != "zero_output_for_mask"}


def _other_activation_in_hdf5(real: Any, layer: Any) -> Any:
    config = real(layer)
    other = "tanh" if config.get("activation") == "linear" else "linear"
    return {**config, "activation": other} if in_hdf5() else config


def _unmasked_on_symbols(real: Any, layer: Any, sequences: Any, *args: Any, **kwargs: Any) -> Any:
    if type(sequences).__name__ == "KerasTensor":
        kwargs.pop("mask", None)
    return real(layer, sequences, *args, **kwargs)


RESULT_DEFECTS = [
    Defect(
        "mask of a symbolic call forgotten",
        "A model of a symbolic call has no mask that was given to it.",
        ("functional_is_the_same",),
        "LSTM",
        _real,
        {"__call__": _unmasked_on_symbols},
    ),
    Defect(
        "another activation in HDF5",
        "A layer that is loaded from HDF5 has another activation.",
        ("functional_is_the_same",),
        "GRU",
        _real,
        {"get_config": _other_activation_in_hdf5},
    ),
    Defect(
        "states running",
        "At masked steps the output is held, the states run on.",
        ("compaction",),
        "GRU",
        stepped(states=lambda moment: moment.states),
    ),
    Defect(
        "output running",
        "At masked steps the states are held, the output is computed.",
        ("held_state",),
        "LSTM",
        stepped(
            output=lambda moment: moment.output,
            written=lambda moment: moment.output,
        ),
    ),
    Defect(
        "one state running",
        "Of the two states of an LSTM the second runs on at masked steps.",
        ("compaction",),
        "LSTM",
        stepped(states=_one_running),
    ),
    Defect(
        "one state of a fully masked row running",
        "Of the two states of an LSTM the second runs on at masked steps.",
        ("held_state",),
        "LSTM",
        stepped(states=_one_running),
    ),
    Defect(
        "gradients of held states lost",
        "Over masked steps states are held as numbers, without their gradients.",
        ("compacted_gradient",),
        "SimpleRNN",
        stepped(states=_without_gradient),
    ),
    Defect(
        "stateful keeps the output",
        "A stateful layer begins the next call with its last output, which may be zero.",
        ("stateful_chunks",),
        "SimpleRNN",
        _output_is_kept,
    ),
    Defect(
        "states of the last cell running",
        "Of stacked cells the last one's last state runs on at masked steps.",
        ("truth",),
        "RNN(stacked cells)",
        stepped(states=_one_running),
    ),
    Defect(
        "zeros instead of held outputs",
        "At masked steps the output is zero though no zeros were asked for.",
        ("held_state",),
        "GRU",
        stepped(written=_zero_in_gaps),
    ),
    Defect(
        "initial state before the first step",
        "At masked steps before the first valid one the output is the initial state.",
        ("held_state",),
        "SimpleRNN",
        stepped(first=lambda tf, states: states[0]),
    ),
    Defect(
        "zero_output_for_mask ignored",
        "Masked outputs are held though zeros were asked for.",
        ("held_state",),
        "SimpleRNN",
        _with("zero_output_for_mask", lambda layer: False, lambda layer: True),
    ),
    Defect(
        "zero_output_for_mask zeroes states",
        "Where zeros are asked for, the states are zeroed at masked steps too.",
        ("compaction",),
        "GRU",
        stepped(states=_zeroed_states),
    ),
    Defect(
        "zero_output_for_mask zeroes valid steps",
        "Where zeros are asked for, the first valid step after left padding is zeroed too.",
        ("truth",),
        "SimpleRNN",
        stepped(written=_zeroed_after_padding),
    ),
    Defect(
        "initial states lost when fully masked",
        "A fully masked row ends in states of zero instead of its initial states.",
        ("held_state",),
        "SimpleRNN",
        _without_initial_states,
    ),
    Defect(
        "states swapped when fully masked",
        "The two states of an LSTM come back in each other's place for a fully masked row.",
        ("held_state",),
        "LSTM",
        _swapped_when_empty,
    ),
    Defect(
        "NaN when fully masked",
        "The output of a fully masked row is NaN.",
        ("held_state",),
        "GRU",
        on_output(_nan_when_empty),
    ),
    Defect(
        "cut to the longest row",
        "Steps after the last one that is valid in any row are cut off.",
        ("length",),
        "SimpleRNN",
        _cut,
    ),
    Defect(
        "step axis kept",
        "Without return_sequences the output has a step axis of one step.",
        ("length",),
        "GRU",
        on_output(_kept_axis),
    ),
    Defect(
        "shape of a state forgotten",
        "With return_state compute_output_shape leaves out the last state.",
        ("symbolic_shape",),
        "LSTM",
        _real,
        {"compute_output_shape": _shape_without_states},
    ),
    Defect(
        "shape without steps",
        "With return_sequences compute_output_shape has no step axis.",
        ("symbolic_shape",),
        "SimpleRNN",
        _real,
        {"compute_output_shape": _shape_without_steps},
    ),
    Defect(
        "return_state changes the output",
        "Asking for states scales the output by 1.01.",
        ("return_state_is_an_addition",),
        "GRU",
        on_output(_by_state),
    ),
    Defect(
        "last output not held",
        "Without return_sequences the output is zero where the last step is masked.",
        ("last_output_is_last_step",),
        "LSTM",
        on_output(_last_unheld),
    ),
    Defect(
        "states scaled at masked steps in training",
        "With recurrent_dropout states are scaled where the last step is masked.",
        ("held_state",),
        "GRU",
        _dropped_at_masked_end,
    ),
    Defect(
        "states of stacked cells scaled at masked steps in training",
        "With recurrent_dropout states are scaled where the last step is masked.",
        ("held_state",),
        "RNN(stacked cells)",
        _dropped_at_masked_end,
    ),
    Defect(
        "dropout at inference",
        "Dropout is applied whether training or not.",
        ("truth",),
        "LSTM",
        _with_dropout,
    ),
    Defect(
        "explicit mask lost beside initial_state=None",
        "Passing initial_state=None, its default, loses the explicit mask.",
        ("defaults_change_nothing",),
        "GRU",
        _real,
        {"__call__": _mask_lost},
    ),
    Defect(
        "states not kept",
        "A stateful layer begins every call with states of zero.",
        ("stateful_chunks",),
        "GRU",
        _forgetful,
    ),
    Defect(
        "one state not reset",
        "A reset leaves the last state as it was.",
        ("reset_equals_fresh",),
        "LSTM",
        _real,
        {"reset_state": _half_reset, "reset_states": _half_reset},
    ),
    Defect(
        "no mask of a stateful layer",
        "The mask does not go out with the outputs of a stateful layer.",
        ("outgoing_mask",),
        "SimpleRNN",
        _real,
        {"compute_mask": _no_mask_of_stateful},
    ),
    Defect(
        "states carry masks",
        "Beside a sequence of outputs the states carry its mask.",
        ("outgoing_mask",),
        "LSTM",
        _real,
        {"compute_mask": _masks_of_states},
    ),
    Defect(
        "zero_output_for_mask not in the configuration",
        "A layer that is restored from its configuration holds the last output at masked steps.",
        ("restored_is_the_same",),
        "LSTM",
        _real,
        {"get_config": _incomplete_configuration},
    ),
    Defect(
        "a row where there is none",
        "Eagerly a batch of no rows gives one row of zeros.",
        ("no_rows",),
        "GRU",
        _a_row_of_none,
    ),
]
