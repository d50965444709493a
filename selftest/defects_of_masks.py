"""Planted defects in which a layer takes its mask for another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from selftest.defective import Change, Defect, Invocation

__all__ = ["MASK_DEFECTS"]


def _masked(
    altered: Callable[[Any, Any, Invocation], Any],
    when: Callable[[Invocation], bool] = lambda invocation: True,
) -> Change:
    """A call on an altered mask: of TensorFlow, the mask as booleans and the call."""

    def change(invocation: Invocation) -> Any:
        if invocation.mask is None or not when(invocation):
            return invocation.real()
        mask = altered(invocation.tf, invocation.valid, invocation)
        return invocation.real(mask=mask)

    return change


def _ignored(when: Callable[[Invocation], bool] = lambda invocation: True) -> Change:
    """A call without the mask, where `when` says so of the call."""

    def change(invocation: Invocation) -> Any:
        return invocation.real(mask=None) if when(invocation) else invocation.real()

    return change


def _rows_ignored(rows: Callable[[Any, Any, Invocation], Any]) -> Change:
    """A call with the mask of some rows all True: `rows` is of shape (batch, 1), or ()."""
    return _masked(lambda tf, mask, call: mask | rows(tf, mask, call))


def _edge(tf: Any, mask: Any, place: int) -> Any:
    """True at the first (0) or the last (-1) step only."""
    steps = tf.shape(mask)[1]
    return tf.range(steps)[None] == (0 if place == 0 else steps - 1)


def _as_length(tf: Any, mask: Any, _: Invocation) -> Any:
    lengths = tf.reduce_sum(tf.cast(mask, "int32"), axis=1)
    return tf.sequence_mask(lengths, tf.shape(mask)[1])


def _shifted(tf: Any, mask: Any, _: Invocation) -> Any:
    return tf.roll(mask, 1, axis=1)


def _between(tf: Any, mask: Any, _: Invocation) -> Any:
    """True from a row's first valid step to its last."""
    numbers = tf.cast(mask, "int32")
    before, after = tf.cumsum(numbers, 1), tf.cumsum(numbers, 1, reverse=True)
    return (before > 0) & (after > 0)


def _starts_masked_without_gaps(tf: Any, mask: Any, call: Invocation) -> Any:
    gapless = tf.reduce_all(_between(tf, mask, call) == mask, axis=1, keepdims=True)
    return gapless & ~mask[:, :1] & tf.reduce_any(mask, axis=1, keepdims=True)


def _transposed_if_square(tf: Any, mask: Any, _: Invocation) -> Any:
    shape = tf.shape(mask)
    turned = tf.cond(shape[0] == shape[1], lambda: tf.transpose(mask), lambda: mask)
    return tf.ensure_shape(turned, mask.shape)


def _rows_upside_down_if_features(tf: Any, mask: Any, call: Invocation) -> Any:
    coincide = tf.shape(mask)[0] == call.inputs.shape[-1]
    return tf.cond(coincide, lambda: tf.reverse(mask, [0]), lambda: mask)


def _mostly_padding(tf: Any, mask: Any, _: Invocation) -> Any:
    valid = tf.reduce_sum(tf.cast(mask, "int32"), axis=1, keepdims=True)
    return (valid > 0) & (2 * valid < tf.shape(mask)[1])


def _states_there(tf: Any, _: Any, call: Invocation) -> Any:
    if not call.layer.stateful:
        return False
    counts = [tf.math.count_nonzero(state) for state in tf.nest.flatten(call.start())]
    return tf.add_n(counts) > 0


def _travelling(call: Invocation) -> Any:
    return getattr(call.inputs, "_keras_mask", None)


def _explicit_loses(call: Invocation) -> Any:
    travelling = _travelling(call)
    return call.real() if travelling is None else call.real(mask=travelling)


def _both(call: Invocation) -> Any:
    travelling = _travelling(call)
    if travelling is None or call.mask is None:
        return call.real()
    return call.real(mask=call.valid & call.tf.cast(travelling, "bool"))


def _hands_on_what_travels(real: Any, layer: Any, *args: Any, **kwargs: Any) -> Any:
    found = real(layer, *args, **kwargs)
    first = found[0] if isinstance(found, list | tuple) else found
    travelling = getattr(args[0], "_keras_mask", None) if args else None
    if travelling is not None and getattr(first, "_keras_mask", None) is not None:
        first._keras_mask = travelling
    return found


def _once_unmasked(call: Invocation) -> Any:
    layer = call.layer
    if call.mask is None:
        layer.has_seen_no_mask = True
    return call.real(mask=None) if getattr(layer, "has_seen_no_mask", False) else call.real()


def _other_rows_before(call: Invocation) -> Any:
    if not call.tf.executing_eagerly():
        return call.real()
    rows = call.inputs.shape[0]
    first = call.layer.__dict__.setdefault("first_rows", rows)
    return call.real() if rows == first else call.real(mask=None, inputs=call.inputs * 0.5)


def _more_steps_before(call: Invocation) -> Any:
    if not call.tf.executing_eagerly():
        return call.real()
    before = call.layer.__dict__.get("most_steps", 0)
    steps = int(call.inputs.shape[1])
    call.layer.most_steps = max(before, steps)
    return call.real(mask=None) if before > steps else call.real()


def _drops_states(call: Invocation) -> bool:
    cells = getattr(call.layer.cell, "cells", [call.layer.cell])
    return call.training is True and any(cell.recurrent_dropout > 0 for cell in cells)


def _remembered(call: Invocation) -> Any:
    if not call.tf.executing_eagerly():
        return call.real()
    if call.mask is not None:
        call.layer.remembered_mask = call.mask
    last = getattr(call.layer, "remembered_mask", None)
    fits = last is not None and last.shape == call.inputs.shape[:2]
    return call.real(mask=last if fits else call.mask)


def _cells(call: Invocation) -> list[Any]:
    return list(getattr(call.layer.cell, "cells", [call.layer.cell]))


_MANY = 64
_FOUR = ("return_sequences", "go_backwards", "unroll", "return_state")


def _given(dtype: str) -> Callable[[Invocation], bool]:
    def when(call: Invocation) -> bool:
        return call.mask is not None and bool(call.mask.dtype == dtype)

    return when


_FLOATS = ("float16", "float32", "float64")

MASK_DEFECTS = [
    Defect("mask ignored", "Every step is computed on.", ("held_state",), "LSTM", _ignored()),
    Defect(
        "mask ignored, as compaction sees it",
        "Every step is computed on.",
        ("compaction",),
        "GRU",
        _ignored(),
    ),
    Defect(
        "mask ignored, as extension sees it",
        "Every step is computed on.",
        ("extension",),
        "SimpleRNN",
        _ignored(),
    ),
    Defect(
        "mask ignored in training",
        "Every step is computed on where training=True is passed.",
        ("held_state",),
        "GRU",
        _ignored(lambda call: call.training is True),
    ),
    Defect(
        "mask shifted",
        "The mask of each step is that of the step before it.",
        ("compaction",),
        "LSTM",
        _masked(_shifted),
    ),
    Defect(
        "mask inverted",
        "Masked steps are computed on and valid ones are skipped.",
        ("compaction",),
        "SimpleRNN",
        _masked(lambda tf, mask, _: ~mask),
    ),
    Defect(
        "mask taken as a length",
        "A row's valid steps are counted, and that many of its first steps are computed on.",
        ("compaction",),
        "GRU",
        _masked(_as_length),
    ),
    Defect(
        "integer mask ignored",
        "Only masks of booleans and floats are used.",
        ("compaction",),
        "SimpleRNN",
        _ignored(_given("int32")),
    ),
    Defect(
        "float mask ignored",
        "Only masks of booleans and integers are used.",
        ("truth",),
        "SimpleRNN",
        _ignored(lambda call: call.mask is not None and call.mask.dtype in _FLOATS),
    ),
    Defect(
        "first mask ignored",
        "The first step is computed on whatever its mask says.",
        ("held_state",),
        "LSTM",
        _masked(lambda tf, mask, _: mask | _edge(tf, mask, 0)),
    ),
    Defect(
        "last mask ignored",
        "The last step is computed on whatever its mask says.",
        ("compaction",),
        "GRU",
        _masked(lambda tf, mask, _: mask | _edge(tf, mask, -1)),
    ),
    Defect(
        "gaps ignored",
        "Masked steps between a row's first valid step and its last are computed on.",
        ("compaction",),
        "LSTM",
        _masked(_between),
    ),
    Defect(
        "left padding ignored",
        "Rows that are padded on the left only are computed on in full.",
        ("compaction",),
        "SimpleRNN",
        _rows_ignored(_starts_masked_without_gaps),
    ),
    Defect(
        "single row unmasked",
        "A batch of one row is computed on in full.",
        ("compaction",),
        "LSTM",
        _rows_ignored(lambda tf, mask, _: tf.shape(mask)[0] == 1),
    ),
    Defect(
        "single step unmasked",
        "Sequences of one step are computed on whatever their mask says.",
        ("held_state",),
        "GRU",
        _rows_ignored(lambda tf, mask, _: tf.shape(mask)[1] == 1),
    ),
    Defect(
        "long sequences unmasked",
        "Sequences of more than 64 steps are computed on in full.",
        ("held_state",),
        "SimpleRNN",
        _rows_ignored(lambda tf, mask, _: tf.shape(mask)[1] > _MANY),
    ),
    Defect(
        "wide batches unmasked",
        "Batches of more than 64 rows are computed on in full.",
        ("held_state",),
        "LSTM",
        _rows_ignored(lambda tf, mask, _: tf.shape(mask)[0] > _MANY),
    ),
    Defect(
        "rows after the 64th unmasked",
        "Rows after the 64th are computed on in full.",
        ("compaction",),
        "SimpleRNN",
        _rows_ignored(lambda tf, mask, _: tf.range(tf.shape(mask)[0])[:, None] >= _MANY),
    ),
    Defect(
        "fully masked batch unmasked",
        "A batch in which no step is valid is computed on in full.",
        ("held_state",),
        "SimpleRNN",
        _rows_ignored(lambda tf, mask, _: ~tf.reduce_any(mask)),
    ),
    Defect(
        "mostly padded rows unmasked",
        "Rows of which less than half is valid are computed on in full.",
        ("extension",),
        "GRU",
        _rows_ignored(_mostly_padding),
    ),
    Defect(
        "mask ignored in graphs",
        "Traced calls ignore the mask, eager ones do not.",
        ("eager_graph_agree",),
        "LSTM",
        _ignored(lambda call: not call.tf.executing_eagerly()),
    ),
    Defect(
        "mask ignored when eager",
        "Eager calls ignore the mask, traced ones do not.",
        ("eager_graph_agree",),
        "GRU",
        _ignored(lambda call: bool(call.tf.executing_eagerly())),
    ),
    Defect(
        "mask ignored when unrolled",
        "Unrolled loops ignore the mask.",
        ("unrolled_equals_looped",),
        "LSTM",
        _ignored(lambda call: bool(call.layer.unroll)),
    ),
    Defect(
        "mask not reversed",
        "Inputs are processed backwards, their mask is not.",
        ("compaction",),
        "RNN",
        _masked(lambda tf, mask, _: tf.reverse(mask, [1]), lambda call: call.layer.go_backwards),
    ),
    Defect(
        "mask transposed when square",
        "With as many rows as steps the mask is transposed.",
        ("compaction",),
        "SimpleRNN",
        _masked(_transposed_if_square),
    ),
    Defect(
        "mask reversed by row when as many rows as features",
        "With as many rows as features each row has the mask of another one.",
        ("truth",),
        "SimpleRNN",
        _masked(_rows_upside_down_if_features),
    ),
    Defect(
        "mask ignored with four flags",
        "Sequences, backwards, unrolled and with states, all at once, the mask is ignored.",
        ("truth",),
        "SimpleRNN",
        _ignored(lambda call: all(getattr(call.layer, flag) for flag in _FOUR)),
    ),
    Defect(
        "mask ignored in float64",
        "A layer that computes in float64 ignores the mask.",
        ("compaction",),
        "GRU",
        _ignored(lambda call: call.layer.compute_dtype == "float64"),
    ),
    Defect(
        "mask ignored in float16",
        "A layer that computes in float16 ignores the mask.",
        ("truth",),
        "SimpleRNN",
        _ignored(lambda call: call.layer.compute_dtype == "float16"),
    ),
    Defect(
        "mask ignored without reset_after",
        "A GRU without reset_after ignores the mask.",
        ("truth",),
        "GRU",
        _ignored(lambda call: not call.layer.cell.reset_after),
    ),
    Defect(
        "mask ignored with initial states",
        "A call that is given initial states ignores its mask, explicit or not.",
        ("compaction",),
        "SimpleRNN",
        _ignored(lambda call: call.initial_state is not None),
    ),
    Defect(
        "mask ignored over GRU cells",
        "Stacked cells of which the last is a GRUCell ignore the mask.",
        ("truth",),
        "RNN(stacked cells)",
        _ignored(lambda call: hasattr(_cells(call)[-1], "reset_after")),
    ),
    Defect(
        "mask ignored in later calls",
        "A stateful layer ignores the mask once it has states.",
        ("stateful_chunks",),
        "LSTM",
        _rows_ignored(_states_there),
    ),
    Defect(
        "mask ignored once there was none",
        "After a call without a mask all later masks are ignored.",
        ("second_call",),
        "LSTM",
        _once_unmasked,
    ),
    Defect(
        "mask ignored for other numbers of rows",
        "Eagerly a layer is right for as many rows as its first call had, and for no other number.",
        ("second_call",),
        "GRU",
        _other_rows_before,
    ),
    Defect(
        "mask ignored after longer sequences",
        "Eagerly the mask is ignored of sequences that are shorter than one that came before.",
        ("second_call",),
        "SimpleRNN",
        _more_steps_before,
    ),
    Defect(
        "mask ignored with recurrent dropout",
        "In training with recurrent_dropout every step is computed on.",
        ("held_state",),
        "LSTM",
        _ignored(_drops_states),
    ),
    Defect(
        "mask remembered",
        "A call without a mask uses the mask of the call before it.",
        ("second_call",),
        "LSTM",
        _remembered,
    ),
    Defect(
        "explicit mask loses",
        "A mask that travels with the inputs beats the explicit one.",
        ("mask_precedence",),
        "LSTM",
        _explicit_loses,
    ),
    Defect(
        "masks joined",
        "Only steps that both the explicit and the travelling mask call valid are computed on.",
        ("mask_precedence",),
        "GRU",
        _both,
    ),
    Defect(
        "travelling mask goes out",
        "The explicit mask is used, and the one that travels goes out.",
        ("mask_precedence",),
        "SimpleRNN",
        lambda call: call.real(),
        {"__call__": _hands_on_what_travels},
    ),
    Defect(
        "travelling mask ignored when unrolled",
        "Unrolled loops use explicit masks only.",
        ("mask_delivery",),
        "SimpleRNN",
        _ignored(lambda call: bool(call.layer.unroll) and _travelling(call) is not None),
    ),
]
