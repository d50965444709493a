"""The six examples of the articles, in substance and at their own sizes: shapes, values, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from execution.implementation import Implementation, installed

BATCH, STEPS, FEATURES = 32, 20, 128
LENGTHS = (3, 7, 5, 2)
MAX_LEN, UNITS = 10, 10


@pytest.fixture(scope="module")
def implementation() -> Implementation:
    """The installed implementation."""
    return Implementation(installed())


# -- broadcasting ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def output(implementation: Implementation) -> Any:
    """What the model of the first article gives, of shape (32, 20, 128)."""
    keras = implementation.keras

    class Sequences(keras.Model):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.rnn = keras.layers.SimpleRNN(256, return_sequences=True)
            self.head = keras.layers.TimeDistributed(keras.layers.Dense(FEATURES))

        def call(self, inputs: Any) -> Any:
            return self.head(self.rnn(inputs))

    found = Sequences()(implementation.tensorflow.random.normal((BATCH, STEPS, 64)))
    assert tuple(found.shape) == (BATCH, STEPS, FEATURES)
    return found


def mask_of(implementation: Implementation, *shape: int) -> Any:
    """A mask of numbers between 0 and 1."""
    return implementation.tensorflow.random.uniform(shape)


def test_the_mask_that_is_called_incorrect_raises(
    implementation: Implementation, output: Any
) -> None:
    """(32, 1) is refused, and not by the ValueError that the article names."""
    mask = mask_of(implementation, BATCH, 1)
    assert tuple(mask.shape) == (32, 1)
    with pytest.raises(implementation.tensorflow.errors.InvalidArgumentError):
        output * mask


def test_the_masks_that_are_called_correct_mask_steps(
    implementation: Implementation, output: Any
) -> None:
    """(32, 20, 1), and (32, 20) expanded at its last axis; without that it is refused."""
    tf = implementation.tensorflow
    ones, plain = mask_of(implementation, BATCH, STEPS, 1), mask_of(implementation, BATCH, STEPS)
    for product, mask in (
        (output * ones, ones[..., 0]),
        (output * tf.expand_dims(plain, axis=-1), plain),
    ):
        assert tuple(product.shape) == (32, 20, 128)
        np.testing.assert_array_equal(product, np.asarray(output) * np.asarray(mask)[:, :, None])
    with pytest.raises(tf.errors.InvalidArgumentError):
        output * plain


def test_one_global_mask_masks_rows_and_the_other_grows(
    implementation: Implementation, output: Any
) -> None:
    """(32, 1, 1) masks rows; (32, 1), expanded twice at axis 1, makes 32 products of all rows."""
    tf = implementation.tensorflow
    mask = mask_of(implementation, BATCH, 1, 1)
    np.testing.assert_array_equal(output * mask, np.asarray(output) * np.asarray(mask))
    other = mask_of(implementation, BATCH, 1)
    expanded = tf.expand_dims(tf.expand_dims(other, axis=1), axis=1)
    assert tuple(expanded.shape) == (32, 1, 1, 1)  # not (32, 1, 1), as the article says
    product = np.asarray(output * expanded)
    assert product.shape == (32, 32, 20, 128)
    np.testing.assert_array_equal(product[3], np.asarray(output) * np.asarray(other)[3, 0])


# -- shapes of masks -------------------------------------------------------------------------


def padded() -> tuple[np.ndarray, np.ndarray]:
    """Data of shape (4, 10, 5), zero behind each row's length, and its mask."""
    mask: np.ndarray = np.arange(MAX_LEN) < np.array(LENGTHS)[:, None]
    return np.random.default_rng(0).random((len(LENGTHS), MAX_LEN, 5)) * mask[..., None], mask


def check_rows(output: Any, alone: Any) -> None:
    """All steps are there; each row is as `alone` has it, and its last valid step is held."""
    found = np.asarray(output)
    assert found.shape == (4, 10, 10)
    for row, length in enumerate(LENGTHS):
        expected = np.asarray(alone(row, length))[0]
        np.testing.assert_allclose(found[row, :length], expected, rtol=0, atol=1e-6)
        held = np.broadcast_to(found[row, length - 1], (MAX_LEN - length, UNITS))
        np.testing.assert_array_equal(found[row, length:], held)


@pytest.mark.parametrize("distributed", [False, True], ids=["plain", "time_distributed"])
def test_a_functional_model_keeps_all_steps(
    implementation: Implementation, distributed: bool
) -> None:
    """The mask is a constant beside Masking; in the second example behind TimeDistributed."""
    keras, layers = implementation.keras, implementation.keras.layers
    data, mask = padded()
    tensor = implementation.tensorflow.convert_to_tensor(mask)
    assert tensor.dtype.name == "bool"
    inputs = keras.Input(shape=(MAX_LEN, 5))
    hidden = layers.Masking(mask_value=0.0)(inputs)
    head = layers.TimeDistributed(layers.Dense(3)) if distributed else None
    hidden = head(hidden) if head else hidden
    lstm = layers.LSTM(UNITS, return_sequences=True)
    model = keras.Model(inputs=inputs, outputs=lstm(hidden, mask=tensor))

    def alone(row: int, length: int) -> Any:
        valid = data[row : row + 1, :length].astype("float32")
        return lstm(head(valid) if head else valid)

    check_rows(model(data, training=False), alone)


@pytest.mark.filterwarnings("ignore:.*does not support masking:UserWarning")  # as it says
def test_a_subclassed_model_keeps_all_steps(implementation: Implementation) -> None:
    """With the mask given to the model's call, and with the one that Masking makes."""
    keras, layers = implementation.keras, implementation.keras.layers
    data, mask = padded()

    class MaskedLSTM(keras.Model):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.masking = layers.Masking(mask_value=0.0)
            self.lstm = layers.LSTM(UNITS, return_sequences=True)

        def call(self, inputs: Any, mask: Any = None, training: bool = False) -> Any:
            masked = self.masking(inputs)
            return self.lstm(masked) if mask is None else self.lstm(masked, mask=mask)

    model = MaskedLSTM()
    given = implementation.tensorflow.convert_to_tensor(mask)
    for arguments in ({"mask": given}, {}):
        output = model(data, training=False, **arguments)
        check_rows(output, lambda row, length: model.lstm(data[row : row + 1, :length]))
