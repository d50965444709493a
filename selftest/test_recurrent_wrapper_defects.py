"""Defects planted in Bidirectional and the convolutional LSTM are seen, what is healthy is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from catalogue.layers import LAYER_ENTRIES
from execution.implementation import Implementation
from properties.cells import QUICK, STANDARD, Profile
from reports.ledger import Ledger
from selftest.planting import outcome_of

Change = Callable[[Any, Any], Any]
Overridden = Callable[[Any, Any], type]

_WRAPPERS = tuple(name for name in LAYER_ENTRIES if name.startswith("Bidirectional("))
_CONVOLUTIONS = ("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
_PROPERTIES = ("passage", "told", "layer_isolation", "layer_truth", "finite_output")


# -- defects ---------------------------------------------------------------------------------


def _backward(change: Change, *, layers: tuple[str, ...] = ("backward_layer",)) -> Overridden:
    """What a layer inside is given as a mask is changed first."""

    def make(keras: Any, tf: Any) -> type:
        class Bidirectional(keras.layers.Bidirectional):  # type: ignore[misc]
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                for name in layers:
                    inner = getattr(self, name)
                    inner.call = _with_mask(inner.call, change, tf)

        return Bidirectional

    return make


def _with_mask(call: Any, change: Change, tf: Any) -> Any:
    def changed(inputs: Any, mask: Any = None, **kwargs: Any) -> Any:
        mask = None if mask is None else change(tf, tf.cast(mask, "bool"))
        return call(inputs, mask=mask, **kwargs)

    return changed


def _outputs(change: Callable[[Any, Any, list[Any], Any, Any], list[Any]]) -> Overridden:
    """What Bidirectional hands back is changed, knowing its inputs and its mask."""

    def make(keras: Any, tf: Any) -> type:
        class Bidirectional(keras.layers.Bidirectional):  # type: ignore[misc]
            def call(
                self, inputs: Any, training: Any = None, mask: Any = None, initial_state: Any = None
            ) -> Any:
                kwargs = {} if initial_state is None else {"initial_state": initial_state}
                found = super().call(inputs, training=training, mask=mask, **kwargs)
                several = isinstance(found, list | tuple)
                changed = change(tf, self, list(found) if several else [found], inputs, mask)
                return type(found)(changed) if several else changed[0]

        return Bidirectional

    return make


def _wrapper_mask(change: Change) -> Overridden:
    """The mask that goes out is changed."""

    def make(keras: Any, tf: Any) -> type:
        class Bidirectional(keras.layers.Bidirectional):  # type: ignore[misc]
            def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
                found = super().compute_mask(inputs, mask)
                return tf.nest.map_structure(lambda one: change(tf, one), found)

        return Bidirectional

    return make


def _not_zeroed(keras: Any, tf: Any) -> type:
    class Bidirectional(keras.layers.Bidirectional):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.backward_layer.zero_output_for_mask = False

    return Bidirectional


def _swapped(tf: Any, layer: Any, found: list[Any], inputs: Any, mask: Any) -> list[Any]:
    """States of the backward layer before those of the forward one."""
    if not layer.return_state:
        return found
    merged = 1 if layer.merge_mode else 2
    half = (len(found) - merged) // 2
    return [*found[:merged], *found[merged + half :], *found[merged : merged + half]]


def _leaking(tf: Any, layer: Any, found: list[Any], inputs: Any, mask: Any) -> list[Any]:
    """A hundred-thousandth of the mean over all steps, padding with them."""
    mean = tf.reduce_mean(inputs, axis=1, keepdims=layer.return_sequences)
    first = found[0] + tf.cast(1e-5 * tf.reduce_mean(mean, -1, keepdims=True), found[0].dtype)
    return [first, *found[1:]]


def _convolution(layer: str, change: Change) -> Overridden:
    """The mask of a convolutional LSTM is changed first."""

    def make(keras: Any, tf: Any) -> type:
        class Changed(getattr(keras.layers, layer)):  # type: ignore[misc]
            def call(
                self, inputs: Any, mask: Any = None, training: Any = None, initial_state: Any = None
            ) -> Any:
                if mask is not None:
                    mask = change(tf, tf.cast(mask, "bool"))
                kwargs = {} if initial_state is None else {"initial_state": initial_state}
                return super().call(inputs, mask=mask, training=training, **kwargs)

        Changed.__name__ = layer
        return Changed

    return make


def _not_a_number(keras: Any, tf: Any) -> type:
    class ConvLSTM1D(keras.layers.ConvLSTM1D):  # type: ignore[misc]
        def call(
            self, inputs: Any, mask: Any = None, training: Any = None, initial_state: Any = None
        ) -> Any:
            kwargs = {} if initial_state is None else {"initial_state": initial_state}
            found = super().call(inputs, mask=mask, training=training, **kwargs)
            # Multiplied away, which NaN and infinity are not.
            nothing = tf.reduce_sum(0 * inputs)
            return tf.nest.map_structure(lambda y: y + tf.cast(nothing, y.dtype), found)

    return ConvLSTM1D


def _of_states(keras: Any, tf: Any) -> type:
    class ConvLSTM1D(keras.layers.ConvLSTM1D):  # type: ignore[misc]
        def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
            found = super().compute_mask(inputs, mask)
            return [found[0]] * len(found) if isinstance(found, list) else found

    return ConvLSTM1D


def _unrolled(keras: Any, tf: Any) -> type:
    class Bidirectional(keras.layers.Bidirectional):  # type: ignore[misc]
        def call(
            self, inputs: Any, training: Any = None, mask: Any = None, initial_state: Any = None
        ) -> Any:
            kwargs = {} if initial_state is None else {"initial_state": initial_state}
            if getattr(self.forward_layer, "unroll", False):
                mask = None
            return super().call(inputs, training=training, mask=mask, **kwargs)

    return Bidirectional


def _ignored(tf: Any, mask: Any) -> Any:
    return tf.ones_like(mask)


def _turned(tf: Any, mask: Any) -> Any:
    return tf.reverse(mask, [1])


def _shifted(tf: Any, mask: Any) -> Any:
    return tf.roll(mask, 1, axis=1)


def _empty_rows_valid(tf: Any, mask: Any) -> Any:
    return mask | ~tf.reduce_any(mask, axis=1, keepdims=True)


def _of_first_row(tf: Any, mask: Any) -> Any:
    return mask[:1] & tf.ones_like(mask)


def _transposed_where_square(tf: Any, mask: Any) -> Any:
    shape = tf.shape(mask)
    return tf.cond(shape[0] == shape[1], lambda: tf.transpose(mask), lambda: mask)


def _last_step_valid(tf: Any, mask: Any) -> Any:
    return tf.concat([mask[:, :-1], tf.ones_like(mask[:, :1])], axis=1)


DEFECTS: list[tuple[str, str, Overridden]] = [
    ("Bidirectional(LSTM)", "layer_truth", _backward(_ignored)),
    ("Bidirectional(LSTM)", "layer_isolation", _backward(_ignored)),
    ("Bidirectional(GRU)", "layer_truth", _backward(_turned)),
    ("Bidirectional(SimpleRNN)", "layer_truth", _backward(_shifted, layers=("forward_layer",))),
    ("Bidirectional(RNN)", "layer_truth", _backward(_empty_rows_valid)),
    ("Bidirectional(LSTM)", "layer_truth", _not_zeroed),
    ("Bidirectional(GRU)", "layer_truth", _outputs(_swapped)),
    ("Bidirectional(SimpleRNN)", "layer_isolation", _outputs(_leaking)),
    ("Bidirectional(LSTM)", "passage", _wrapper_mask(lambda tf, mask: None)),
    (
        "Bidirectional(RNN)",
        "passage",
        _wrapper_mask(lambda tf, mask: None if mask is None else ~tf.cast(mask, "bool")),
    ),
    ("ConvLSTM1D", "layer_truth", _convolution("ConvLSTM1D", _transposed_where_square)),
    ("ConvLSTM2D", "layer_isolation", _convolution("ConvLSTM2D", _ignored)),
    ("ConvLSTM2D", "layer_truth", _convolution("ConvLSTM2D", _last_step_valid)),
    ("ConvLSTM3D", "layer_truth", _convolution("ConvLSTM3D", _of_first_row)),
    ("ConvLSTM1D", "layer_isolation", _not_a_number),
    ("ConvLSTM1D", "passage", _of_states),
    ("Bidirectional(SimpleRNN)", "layer_truth", _unrolled),
]


@pytest.mark.parametrize("place", range(len(DEFECTS)))
def test_a_planted_defect_is_seen(
    place: int, seed: int, found: Implementation, ledger: Ledger
) -> None:
    """A mask ignored, turned, shifted or lost, states swapped, padding that leaks: new."""
    layer, property, defect = DEFECTS[place]
    assert outcome(found, layer, property, defect, ledger, seed) == "new"


@pytest.mark.parametrize("property", _PROPERTIES)
@pytest.mark.parametrize("layer", ["Bidirectional(LSTM)", "ConvLSTM1D"])
def test_what_has_no_defect_is_not_seen(
    layer: str, property: str, found: Implementation, ledger: Ledger
) -> None:
    """A mask that is changed into itself, a layer that is only another class: nothing new."""

    def itself(tf: Any, mask: Any) -> Any:
        return mask

    defect = _backward(itself) if layer in _WRAPPERS else _convolution(layer, itself)
    ended = outcome(found, layer, property, defect, ledger, 0, QUICK)
    assert ended in ("holds", "deviates")


def outcome(
    found: Implementation,
    layer: str,
    property: str,
    defect: Overridden,
    ledger: Ledger,
    seed: int,
    profile: Profile = STANDARD,
) -> str:
    """What comes of a cell where the layer has a defect."""
    name = LAYER_ENTRIES[layer].layer
    planted = Implementation(found.installed, {name: defect(found.keras, found.tensorflow)})
    return outcome_of(planted, layer, property, ledger, seed, profile)
