"""Losses of one's own, as the guides teach to write them, as text that is run or printed.

Each text defines one name, its key's, over `keras` and `tf` alone. A loss gives a number for each
position, from labels and predictions of shape `(..., units)`. Source:
keras.io/guides/training_with_built_in_methods (Custom losses).
"""

from __future__ import annotations

__all__ = ["CUSTOM_MEASURES", "PADDED"]

_FUNCTION = """\
def fourth_power(y_true, y_pred):  # a loss of one's own: a number for each position
    return tf.reduce_mean((tf.cast(y_true, y_pred.dtype) - y_pred) ** 4, axis=-1)"""

_CLASS = """\
class FourthPower(keras.losses.Loss):  # the same as a class, which Keras reduces
    def call(self, y_true, y_pred):
        return tf.reduce_mean((tf.cast(y_true, y_pred.dtype) - y_pred) ** 4, axis=-1)"""

CUSTOM_MEASURES: dict[str, str] = {"fourth_power": _FUNCTION, "FourthPower": _CLASS}

PADDED = """\
def padded(lengths, *arrays, whole=()):  # rows of their own lengths, which tf.data pads
    cut = [a.ndim > 1 and place not in whole for place, a in enumerate(arrays)]

    def row(k):
        return tuple(a[k, : lengths[k]] if c else a[k] for a, c in zip(arrays, cut))

    def shape(a):  # None: as long as the longest row
        steps = None if max(lengths) == a.shape[1] else a.shape[1]
        return (steps, *a.shape[2:])

    def value(a, c):
        rest = [a[k, n:].ravel() for k, n in enumerate(lengths)] if c else []
        return np.concatenate([*rest, np.zeros(1)])[0].astype(a.dtype)

    specs = [
        tf.TensorSpec((None, *a.shape[2:]) if c else a.shape[1:], a.dtype)
        for a, c in zip(arrays, cut)
    ]
    rows = tf.data.Dataset.from_generator(
        lambda: map(row, range(len(lengths))), output_signature=tuple(specs)
    )
    shapes = tuple(shape(a) if c else a.shape[1:] for a, c in zip(arrays, cut))
    return rows.padded_batch(len(lengths), shapes, tuple(map(value, arrays, cut)))"""
"""Batches as a pipeline of `tf.data` makes them: rows of `lengths` steps, padded to one length.

`arrays` are of shape `(batch, step, ...)` with one value at all that is padded, or have no steps:
`(batch,)`, and those whose places are in `whole`. Gives a dataset of one batch, a tuple of
tensors. Over `np` and `tf` alone.
"""
