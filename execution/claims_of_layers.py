"""The second article's statements: what Masking, LSTM and TimeDistributed do with masks."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from catalogue.claims import Sizes
from execution.claims import Seen, drawn, observation
from execution.implementation import Implementation

__all__ = ["carried", "data_of", "lstm", "mask_of", "masked", "same", "subclassed"]

_BOUND = 1e-6  # two ways to compute one thing, in float32 and of values up to 1


def mask_of(at: Sizes) -> np.ndarray:
    """A mask of shape (batch, step): rows of different lengths, each of one step at least."""
    lengths = 1 + (7 * np.arange(at.batch) + 2) % at.step
    found: np.ndarray = np.arange(at.step) < lengths[:, None]
    return found


def data_of(at: Sizes, mask: np.ndarray, features: int = 5) -> np.ndarray:
    """Inputs of shape (batch, step, features), zero where masked."""
    found: np.ndarray = drawn((at.batch, at.step, features)) * mask[:, :, None]
    return found


def lstm(implementation: Implementation, at: Sizes, **arguments: Any) -> Any:
    """An LSTM that gives an output for each step."""
    return implementation.keras.layers.LSTM(at.features, return_sequences=True, **arguments)


def masked(implementation: Implementation, at: Sizes) -> tuple[Any, Any]:
    """Padded data behind Masking, and the mask that was meant."""
    mask = mask_of(at)
    data = implementation.tensorflow.constant(data_of(at, mask))
    return implementation.keras.layers.Masking(mask_value=0.0)(data), mask


def carried(tensor: Any) -> np.ndarray | None:
    """The mask that a tensor carries, or None."""
    found = getattr(tensor, "_keras_mask", None)
    return None if found is None else np.asarray(found)


def same(left: Any, right: Any) -> bool:
    """Whether two ways to compute one thing gave it."""
    left, right = np.asarray(left), np.asarray(right)
    return left.shape == right.shape and bool(np.abs(left - right).max() <= _BOUND)


@observation
def masking_makes_bool(implementation: Implementation, at: Sizes) -> Seen:
    """Masking of zeros."""
    tensor, mask = masked(implementation, at)
    found = carried(tensor)
    if found is None:
        return False, "no mask is there"
    right = found.dtype == bool and np.array_equal(found, mask)
    return right, f"a mask of {found.dtype.name}, {'as meant' if right else 'another'}"


@observation
def mask_goes_on(implementation: Implementation, at: Sizes) -> Seen:
    """Masking, Dense, LSTM."""
    tensor, mask = masked(implementation, at)
    dense = implementation.keras.layers.Dense(3)(tensor)
    for each in (dense, lstm(implementation, at)(dense)):
        found = carried(each)
        if found is None or not np.array_equal(found, mask):
            return False, "the mask is lost"
    return True, "the mask goes on"


@observation
def not_zeroed(implementation: Implementation, at: Sizes) -> Seen:
    """Outputs of an LSTM at masked steps repeat the last valid one."""
    tensor, mask = masked(implementation, at)
    if mask.all():
        return True, "nothing is masked"
    output = np.asarray(lstm(implementation, at)(tensor))
    last = output[np.arange(at.batch), mask.sum(1) - 1]
    held = all(
        np.array_equal(output[row, ~mask[row]], np.repeat(last[None, row], (~mask[row]).sum(), 0))
        for row in range(at.batch)
    )
    right = held and bool(np.abs(output[~mask]).min() > 0)
    return right, "outputs at masked steps repeat the last one" if held else "others stand there"


@observation
def whole_sequence(implementation: Implementation, at: Sizes) -> Seen:
    """An LSTM with return_sequences."""
    tensor, _ = masked(implementation, at)
    shape = tuple(lstm(implementation, at)(tensor).shape)
    return shape == at[:3], f"as many steps as there are: {shape == at[:3]}"


@observation
def states_held(implementation: Implementation, at: Sizes) -> Seen:
    """Final states are those of the valid steps alone."""
    tensor, mask = masked(implementation, at)
    layer = lstm(implementation, at, return_state=True)
    states = layer(tensor)[1:]
    for row in range(at.batch):
        alone = layer(tensor[row : row + 1, : int(mask[row].sum())])[1:]
        if not all(
            same(one[row : row + 1], other) for one, other in zip(states, alone, strict=True)
        ):
            return False, "the states move on"
    return True, "the states stay"


@observation
def shape_kept(implementation: Implementation, at: Sizes) -> Seen:
    """With the mask and without it."""
    tensor, mask = masked(implementation, at)
    layer = lstm(implementation, at)
    plain = layer(implementation.tensorflow.constant(data_of(at, mask)))
    right = tuple(layer(tensor).shape) == tuple(plain.shape)
    return right, "the shape is the same" if right else "the shape changes"


@observation
def distributed_mask(implementation: Implementation, at: Sizes) -> Seen:
    """TimeDistributed(Dense(3)): data of shape (B,T,3), the mask as it was."""
    layers = implementation.keras.layers
    tensor, mask = masked(implementation, at)
    output = layers.TimeDistributed(layers.Dense(3))(tensor)
    found = carried(output)
    if found is None:
        return False, "the mask is lost"
    right = tuple(output.shape) == (at.batch, at.step, 3) and np.array_equal(found, mask)
    return right, "the mask stays as it was"


@observation
def wrong_mask_refused(implementation: Implementation, at: Sizes) -> Seen:
    """A mask of two steps more than the input has."""
    tensor, mask = masked(implementation, at)
    longer = np.concatenate([mask, mask[:, :1], mask[:, :1]], 1)
    return _refused(
        lambda: lstm(implementation, at)(tensor, mask=implementation.tensorflow.constant(longer))
    )


def _refused(call: Any) -> Seen:
    try:
        call()
    except Exception as error:
        return True, f"raises {type(error).__name__}"
    return False, "is accepted"


# -- the three examples ----------------------------------------------------------------------


def _functional(
    implementation: Implementation, at: Sizes, *, distributed: bool = False, given: bool = True
) -> Any:
    """The model of the first example, or of the second one, with the mask as a constant."""
    keras, layers = implementation.keras, implementation.keras.layers
    inputs = keras.Input(shape=(at.step, 5))
    hidden = layers.Masking(mask_value=0.0)(inputs)
    if distributed:
        hidden = layers.TimeDistributed(layers.Dense(3))(hidden)
    mask = {"mask": implementation.tensorflow.convert_to_tensor(mask_of(at))} if given else {}
    return keras.Model(inputs=inputs, outputs=lstm(implementation, at)(hidden, **mask))


def subclassed(implementation: Implementation, at: Sizes) -> Any:
    """The model of the third example."""
    keras = implementation.keras

    class Model(keras.Model):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.masking = keras.layers.Masking(mask_value=0.0)
            self.lstm = lstm(implementation, at)

        def call(self, inputs: Any, mask: Any = None, training: bool = False) -> Any:
            masked = self.masking(inputs)
            if mask is not None:
                return self.lstm(masked, mask=mask)
            return self.lstm(masked)

    return Model()


def _shape_of(model: Any, at: Sizes, **given: Any) -> Seen:
    output = model(data_of(at, mask_of(at)).astype("float64"), training=False, **given)
    shape = tuple(output.shape)
    return shape == at[:3], f"has {len(shape)} axes, {'all steps' if shape == at[:3] else 'others'}"


@observation
def first_example(implementation: Implementation, at: Sizes) -> Seen:
    """A Functional model."""
    return _shape_of(_functional(implementation, at), at)


@observation
def second_example(implementation: Implementation, at: Sizes) -> Seen:
    """A Functional model with TimeDistributed."""
    return _shape_of(_functional(implementation, at, distributed=True), at)


@observation
def third_example(implementation: Implementation, at: Sizes) -> Seen:
    """A subclassed model that is given the mask."""
    mask = implementation.tensorflow.convert_to_tensor(mask_of(at))
    return _shape_of(subclassed(implementation, at), at, mask=mask)


@observation
def explicit_wins(implementation: Implementation, at: Sizes) -> Seen:
    """The mask that is given masks the first step; Masking found others."""
    tf = implementation.tensorflow
    tensor, mask = masked(implementation, at)
    other = np.ones_like(mask)
    other[:, 0] = False
    layer = lstm(implementation, at)
    plain = tf.constant(data_of(at, mask))
    found = layer(tensor, mask=tf.constant(other))
    right = same(found, layer(plain, mask=tf.constant(other)))
    return right, "the given mask is used" if right else "another mask is used"


@observation
def padding_isolated(implementation: Implementation, at: Sizes) -> Seen:
    """Other values at masked steps change no output."""
    tf = implementation.tensorflow
    mask = mask_of(at)
    data = data_of(at, mask)
    layer = lstm(implementation, at)
    other = np.where(mask[:, :, None], data, np.float32(3))
    one, two = (layer(tf.constant(each), mask=tf.constant(mask)) for each in (data, other))
    right = np.array_equal(np.asarray(one), np.asarray(two))
    return right, "nothing changes" if right else "outputs change"


@observation
def distributed_expects(implementation: Implementation, at: Sizes) -> Seen:
    """A mask of two steps more than the input has, given to TimeDistributed."""
    layers = implementation.keras.layers
    tensor, mask = masked(implementation, at)
    longer = implementation.tensorflow.constant(np.concatenate([mask, mask[:, :1], mask[:, :1]], 1))
    return _refused(lambda: layers.TimeDistributed(layers.Dense(3))(tensor, mask=longer))


@observation
def into_recurrent(implementation: Implementation, at: Sizes) -> Seen:
    """TimeDistributed(Dense(3))."""
    layers = implementation.keras.layers
    tensor, _ = masked(implementation, at)
    shape = tuple(layers.TimeDistributed(layers.Dense(3))(tensor).shape)
    return shape == (at.batch, at.step, 3), f"the last size is {shape[-1]}"


@observation
def mask_not_aligned(implementation: Implementation, at: Sizes) -> Seen:
    """Batch and step of TimeDistributed's output are not those of the mask."""
    layers = implementation.keras.layers
    tensor, mask = masked(implementation, at)
    shape = tuple(layers.TimeDistributed(layers.Dense(3))(tensor).shape)
    return shape[:2] != mask.shape, "it fits both: batch and steps are the same"


@observation
def implicit(implementation: Implementation, at: Sizes) -> Seen:
    """The second example with the mask given and without it, weights alike."""
    data = data_of(at, mask_of(at))
    one = _functional(implementation, at, distributed=True)
    two = _functional(implementation, at, distributed=True, given=False)
    two.set_weights(one.get_weights())
    right = same(one(data), two(data))
    return right, "the same outputs" if right else "other outputs"


@observation
def same_by_subclass(implementation: Implementation, at: Sizes) -> Seen:
    """The first example and the third one, weights alike."""
    mask = mask_of(at)
    data = data_of(at, mask)
    given = implementation.tensorflow.constant(mask)
    one, two = _functional(implementation, at), subclassed(implementation, at)
    two(data, mask=given)
    two.set_weights(one.get_weights())
    right = same(one(data), two(data, mask=given))
    return right, "the same outputs" if right else "other outputs"


@observation
def internal_mask(implementation: Implementation, at: Sizes) -> Seen:
    """The third example with the mask that Masking finds too, and without it."""
    mask = mask_of(at)
    data = data_of(at, mask)
    model = subclassed(implementation, at)
    with_mask = model(data, mask=implementation.tensorflow.constant(mask))
    right = same(with_mask, model(data))
    return right, "the same outputs" if right else "other outputs"


@observation
def print_tensor(implementation: Implementation, at: Sizes) -> Seen:
    """Asked of `tf.keras.backend`."""
    tf = implementation.tensorflow
    value = tf.constant(drawn(at[:1])[0])  # it is printed past what redirects output
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = tf.keras.backend.print_tensor(value)
    right = found is not None and np.array_equal(np.asarray(found), np.asarray(value))
    return right, "hands it on" if right else "hands on nothing"


@observation
def gradient_flows(implementation: Implementation, at: Sizes) -> Seen:
    """Gradients of all outputs, with respect to inputs behind an explicit mask."""
    tf = implementation.tensorflow
    mask = mask_of(at)
    inputs = tf.constant(data_of(at, mask))
    layer = lstm(implementation, at)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        total = tf.reduce_sum(layer(inputs, mask=tf.constant(mask)))
    gradient = tape.gradient(total, inputs)
    if gradient is None:
        return False, "no gradient is there"
    found = np.asarray(gradient)
    right = bool(np.isfinite(found).all() and not found[~mask].any() and found[mask].any())
    return right, "zero at masked steps" if right else "not zero at masked steps"
