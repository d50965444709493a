"""Losses and metrics of one's own, as the guides teach them, as text that is run or printed.

Each text defines one name, its key's, over `keras` and `tf` alone. A loss gives a number for each
position, from labels and predictions of shape `(..., units)`, or one for each row. Source:
keras.io/guides/training_with_built_in_methods (Custom losses, Custom metrics).
"""

from __future__ import annotations

__all__ = ["BATCHES", "CUSTOM_MEASURES", "PADDED"]

_FUNCTION = """\
def fourth_power(y_true, y_pred):  # a loss of one's own: a number for each position
    return tf.reduce_mean((tf.cast(y_true, y_pred.dtype) - y_pred) ** 4, axis=-1)"""

_CLASS = """\
class FourthPower(keras.losses.Loss):  # the same as a class, which Keras reduces
    def call(self, y_true, y_pred):
        return tf.reduce_mean((tf.cast(y_true, y_pred.dtype) - y_pred) ** 4, axis=-1)"""

_MEAN = """\
class PredictionMean(keras.metrics.Mean):  # a metric of one's own: how large predictions are
    def update_state(self, y_true, y_pred, sample_weight=None):
        return super().update_state(y_pred, sample_weight=sample_weight)"""

_SUM = _MEAN.replace("Mean", "Sum")

_ROW_FUNCTION = """\
def row_power(y_true, y_pred):  # a number for each row, of all that is in it
    powers = (tf.cast(y_true, y_pred.dtype) - y_pred) ** 4
    return tf.reduce_mean(powers, axis=list(range(1, len(y_pred.shape))))"""

_ROW_CLASS = """\
class RowPower(keras.losses.Loss):  # a number for each row, of all that is in it
    def call(self, y_true, y_pred):
        powers = (tf.cast(y_true, y_pred.dtype) - y_pred) ** 4
        return tf.reduce_mean(powers, axis=list(range(1, len(y_pred.shape))))"""

CUSTOM_MEASURES: dict[str, str] = {
    "fourth_power": _FUNCTION,
    "FourthPower": _CLASS,
    "PredictionMean": _MEAN,
    "PredictionSum": _SUM,
    "row_power": _ROW_FUNCTION,
    "RowPower": _ROW_CLASS,
}

PADDED = """\
def padded(lengths, arrays, nested):  # rows of their own lengths, which tf.data pads
    def row(k):
        return nested([a[k] if n is None else a[k, : n[k]] for a, n in zip(arrays, lengths)])

    def shape(a, n):  # None: as long as the longest row
        if n is None:
            return a.shape[1:]
        return (None if max(n) == a.shape[1] else a.shape[1], *a.shape[2:])

    def value(a, n):
        rest = [a[k, n[k] :].ravel() for k in range(len(a))] if n else []
        return np.concatenate([*rest, np.zeros(1)])[0].astype(a.dtype)

    rows = tf.data.Dataset.from_tensors(row(0))
    for k in range(1, len(arrays[0])):
        rows = rows.concatenate(tf.data.Dataset.from_tensors(row(k)))
    shapes, values = (nested(list(map(f, arrays, lengths))) for f in (shape, value))
    return rows.padded_batch(len(arrays[0]), shapes, values)"""
"""Batches as a pipeline of `tf.data` makes them: rows of `lengths` steps, padded to one length.

`arrays` are of shape `(batch, step, ...)` with one value at all that is padded, and have each the
lengths of its rows; or they have no steps, and None in place of these. Gives a dataset of one
batch, whose structure is `nested` from a list. Over `np` and `tf` alone.
"""

BATCHES = """\
class Batches(getattr(keras.utils, "PyDataset", None) or keras.utils.Sequence):
    def __init__(self, batches):
        if hasattr(keras.utils, "PyDataset"):
            super().__init__()
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, k):
        return self.batches[k]"""
"""Batches one by one, as the guides teach to write a dataset of one's own."""
