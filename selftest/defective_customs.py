"""Losses and metrics with something wrong in forms that only some users give them."""

from __future__ import annotations

from typing import Any

__all__ = ["labels_shifted", "mean_forgets_the_mask", "rows_by_length", "student_unmasked"]


def rows_by_length(keras: Any, tf: Any) -> dict[str, Any]:
    """A row's number counts as often as it has valid steps."""

    class RowPower(keras.losses.Loss):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            powers = (tf.cast(y_true, y_pred.dtype) - y_pred) ** 4
            return tf.reduce_mean(powers, axis=list(range(1, len(y_pred.shape))))

        def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
            mask = getattr(y_pred, "_keras_mask", None)
            plain = tf.identity(y_pred)
            if mask is None:
                return super().__call__(y_true, plain, sample_weight)
            counts = tf.reduce_sum(tf.cast(mask, plain.dtype), axis=1)
            weights = counts / tf.reduce_mean(counts)
            if sample_weight is not None:
                weights *= tf.cast(sample_weight, plain.dtype)
            return super().__call__(y_true, plain, weights)

    return {"losses.RowPower": RowPower}


def mean_forgets_the_mask(keras: Any, tf: Any) -> dict[str, Any]:
    """Weights of samples are used, and the mask beside them is not."""

    class PredictionMean(keras.metrics.Mean):
        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
            return super().update_state(tf.identity(y_pred), sample_weight=sample_weight)

    return {"metrics.PredictionMean": PredictionMean}


def labels_shifted(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """Labels without an axis of units are those of the step, or row, before."""
    if len(y.shape) < len(p.shape):
        y = tf.roll(tf.convert_to_tensor(y)[..., None], 1, axis=len(y.shape) - 1)
    return real(y, p, w)


def student_unmasked(keras: Any, tf: Any) -> dict[str, Any]:
    """A student's loss knows no mask of what it predicts."""
    if not hasattr(keras, "distillation"):
        return {}

    class Distiller(keras.distillation.Distiller):
        def compute_loss(
            self, x: Any = None, y: Any = None, y_pred: Any = None, *rest: Any, **named: Any
        ) -> Any:
            return super().compute_loss(x, y, tf.identity(y_pred), *rest, **named)

    return {"Distiller": Distiller}
