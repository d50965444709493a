"""What masks are: their shapes and dtypes, what becomes of them, and what they are used for."""

from __future__ import annotations

from typing import Any

import numpy as np

from catalogue.claims import Sizes
from execution.claims import Seen, as_numpy, drawn, observation, shaped
from execution.claims_of_layers import (
    carried,
    data_of,
    lstm,
    mask_of,
    masked,
    same,
    subclassed,
)
from execution.implementation import Implementation

__all__: list[str] = []


# -- the first article -----------------------------------------------------------------------


@observation
def ops_numpy(implementation: Implementation, at: Sizes) -> Seen:
    """keras.ops.multiply, add, subtract, maximum (Keras 2 has none and uses TensorFlow's)."""
    tf, keras = implementation.tensorflow, implementation.keras
    namespace = keras.ops if hasattr(keras, "ops") else tf
    for name in ("multiply", "add", "subtract", "maximum"):
        operation, plain = getattr(namespace, name), getattr(np, name)

        def apply(mask: tuple[int, ...], operation: Any = operation) -> Any:
            try:
                return np.asarray(operation(*map(tf.constant, (drawn(at[:3]), drawn(mask, 1)))))
            except Exception as error:
                return f"raises {type(error).__name__}"

        right, what = as_numpy(apply, at, operation=plain)
        if not right:
            return False, f"{name} {what}"
    return True, "agrees with NumPy"


def _made(implementation: Implementation, shape: tuple[int, ...], letters: str) -> Seen:
    found = tuple(implementation.tensorflow.random.uniform(shape).shape)
    return found == shape, f"has the shape {letters}" if found == shape else f"is {found}"


@observation
def rows_mask_shape(implementation: Implementation, at: Sizes) -> Seen:
    """`tf.random.uniform((B, 1))`."""
    return _made(implementation, (at.batch, 1), "(B,1)")


@observation
def ones_mask_shape(implementation: Implementation, at: Sizes) -> Seen:
    """`tf.random.uniform((B, T, 1))`."""
    return _made(implementation, (at.batch, at.step, 1), "(B,T,1)")


@observation
def steps_mask_shape(implementation: Implementation, at: Sizes) -> Seen:
    """`tf.random.uniform((B, T))`."""
    return _made(implementation, (at.batch, at.step), "(B,T)")


@observation
def expanded_mask_shape(implementation: Implementation, at: Sizes) -> Seen:
    """(B,T), expanded at the last axis."""
    tf = implementation.tensorflow
    found = np.asarray(tf.expand_dims(tf.constant(drawn((at.batch, at.step))), axis=-1))
    return shaped(found, Sizes(at.batch, at.step, 1))


# -- the second article ----------------------------------------------------------------------


@observation
def mask_shape(implementation: Implementation, at: Sizes) -> Seen:
    """The mask behind Masking."""
    found = carried(masked(implementation, at)[0])
    if found is None:
        return False, "no mask is there"
    right = found.shape == (at.batch, at.step)
    return right, "the mask has the shape (B,T)" if right else "the mask has another shape"


@observation
def masking_keeps(implementation: Implementation, at: Sizes) -> Seen:
    """Masking of 9: whether 9 still stands at masked steps of what it gives."""
    mask = mask_of(at)
    mask[0, -1] = False
    data = np.where(mask[:, :, None], data_of(at, mask), np.float32(9))
    layer = implementation.keras.layers.Masking(mask_value=9.0)
    found = np.asarray(layer(implementation.tensorflow.constant(data)))
    right = np.array_equal(found, data)
    return right, "the padding stays" if right else "Masking sets its padding to zero"


@observation
def mask_is_tensor(implementation: Implementation, at: Sizes) -> Seen:
    """The mask behind Masking."""
    found = getattr(masked(implementation, at)[0], "_keras_mask", None)
    right = bool(implementation.tensorflow.is_tensor(found))
    return right, f"is {'a' if right else 'no'} tensor"


@observation
def masking_returns_mask(implementation: Implementation, at: Sizes) -> Seen:
    """What Masking gives."""
    tensor, mask = masked(implementation, at)
    right = tuple(tensor.shape) == mask.shape and tensor.dtype == bool
    return right, "it gives the data, which carries the mask"


@observation
def defined_shapes(implementation: Implementation, at: Sizes) -> Seen:
    """Masking and LSTM in a graph that knows neither batch nor steps."""
    tf = implementation.tensorflow
    masking = implementation.keras.layers.Masking(mask_value=0.0)
    layer = lstm(implementation, at)
    data = tf.constant(data_of(at, mask_of(at)))
    eager = layer(masking(data))
    signature = [tf.TensorSpec((None, None, data.shape[-1]), data.dtype)]
    traced = tf.function(lambda inputs: layer(masking(inputs)), input_signature=signature)
    right = not same(traced(data), eager)
    return right, "other outputs" if right else "works without: the outputs are the same"


@observation
def converted_bool(implementation: Implementation, at: Sizes) -> Seen:
    """`tf.convert_to_tensor` of a NumPy mask of bool."""
    found = implementation.tensorflow.convert_to_tensor(mask_of(at))
    return found.dtype.name == "bool", f"is of {found.dtype.name}"


@observation
def sequences_why(implementation: Implementation, at: Sizes) -> Seen:
    """Without return_sequences."""
    tensor, _ = masked(implementation, at)
    shape = tuple(implementation.keras.layers.LSTM(at.features)(tensor).shape)
    right = shape == (at.batch, at.features)
    return right, "without it there are no steps" if right else "there are steps without it"


@observation
def mask_of_reshaped(implementation: Implementation, at: Sizes) -> Seen:
    """What TimeDistributed gives at masked steps is changed, in front of the LSTM."""
    tf, layers = implementation.tensorflow, implementation.keras.layers
    tensor, mask = masked(implementation, at)
    hidden = np.asarray(layers.TimeDistributed(layers.Dense(3))(tensor))
    layer = lstm(implementation, at)
    other = np.where(mask[:, :, None], hidden, np.float32(3))
    one, two = (layer(tf.constant(each), mask=tf.constant(mask)) for each in (hidden, other))
    right = np.array_equal(np.asarray(one), np.asarray(two))
    return right, "its masked steps change nothing" if right else "its masked steps are seen"


@observation
def custom_used(implementation: Implementation, at: Sizes) -> Seen:
    """The third example with a mask of the first step, where Masking finds others."""
    tf = implementation.tensorflow
    mask = mask_of(at)
    data = tf.constant(data_of(at, mask))
    other = np.ones_like(mask)
    other[:, 0] = False
    model = subclassed(implementation, at)
    found = model(data, mask=tf.constant(other))
    right = same(found, model.lstm(data, mask=tf.constant(other)))
    return right, "the given mask is used" if right else "another mask is used"


@observation
def padding_grows(implementation: Implementation, at: Sizes) -> Seen:
    """`keras.utils.pad_sequences` of sequences of one step and of T."""
    keras = implementation.keras
    sequences = [[1], [1] * at.step]
    padded = keras.utils.pad_sequences(sequences, padding="post")
    right = padded.shape == (2, at.step)
    return right, "all become as long as the longest" if right else f"the shape is {padded.shape}"
