"""Losses and metrics with something wrong in how they treat masks and weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["DEFECTS"]

Overrides = Callable[[Any, Any], dict[str, Any]]


def _loss(call: Callable[..., Any], name: str = "MeanSquaredError") -> Overrides:
    """A loss whose call is another: given TensorFlow, the real call, and what it is given."""

    def overrides(keras: Any, tf: Any) -> dict[str, Any]:
        base = getattr(keras.losses, name)

        def __call__(self: Any, y: Any, p: Any, sample_weight: Any = None) -> Any:
            def real(*given: Any) -> Any:
                return base.__call__(self, *given)

            return call(tf, real, y, p, sample_weight)

        return {f"losses.{name}": type(name, (base,), {"__call__": __call__})}

    return overrides


def _mask(p: Any) -> Any:
    return getattr(p, "_keras_mask", None)


def _with(tf: Any, p: Any, change: Callable[[Any], Any]) -> Any:
    """The predictions with another mask, where they have one."""
    mask = _mask(p)
    plain = tf.identity(p)
    if mask is not None:
        plain._keras_mask = change(mask)
    return plain


def _ignored(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    return real(y, tf.identity(p), w)


def _all_steps(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    loss, mask = real(y, p, w), _mask(p)
    return loss if mask is None else loss * tf.reduce_mean(tf.cast(mask, loss.dtype))


def _shifted(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    return real(y, _with(tf, p, lambda mask: tf.roll(mask, 1, axis=1)), w)


def _inverted(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    return real(y, _with(tf, p, tf.logical_not), w)


def _first_row(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    return real(y, _with(tf, p, lambda mask: tf.logical_or(mask, mask[:1])), w)


def _leaks(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    loss = real(y, p, w)
    return loss + tf.cast(1e-4 * tf.reduce_mean(tf.identity(p)), loss.dtype)


def _gradient_leaks(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    loss = real(y, p, w)
    leak = tf.cast(1e-2 * tf.reduce_sum(tf.sin(tf.identity(p))), loss.dtype)
    return loss + leak - tf.stop_gradient(leak)


def _weights_ignored(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    return real(y, p, None)


def _transposed(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    if w is not None and w.shape.rank == 2:
        rows, steps = tf.unstack(tf.shape(w))
        w = tf.cond(rows == steps, lambda: tf.transpose(w), lambda: w)
    return real(y, p, w)


def _nothing_is_nan(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    loss, mask = real(y, p, w), _mask(p)
    if mask is None:
        return loss
    return tf.where(tf.reduce_any(mask), loss, tf.constant(float("nan"), loss.dtype))


def _lost_in_the_model(keras: Any, tf: Any) -> dict[str, Any]:
    class Model(keras.Model):  # type: ignore[misc]
        def compute_loss(
            self,
            x: Any = None,
            y: Any = None,
            y_pred: Any = None,
            sample_weight: Any = None,
            **rest: Any,
        ) -> Any:
            return super().compute_loss(x, y, tf.identity(y_pred), sample_weight, **rest)

    return {"Model": Model}


def _masking_shifted(keras: Any, tf: Any) -> dict[str, Any]:
    def shifted(inputs: Any) -> Any:
        if hasattr(keras, "ops"):  # of symbolic tensors too
            return keras.ops.roll(keras.ops.any(keras.ops.not_equal(inputs, 0.0), -1), 1, axis=1)
        return tf.roll(tf.reduce_any(inputs != 0.0, axis=-1), 1, axis=1)

    class Masking(keras.layers.Masking):  # type: ignore[misc]
        def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
            return shifted(inputs)

        def call(self, inputs: Any) -> Any:
            outputs = tf.identity(super().call(inputs))
            outputs._keras_mask = shifted(inputs)
            return outputs

    return {"Masking": Masking}


def _metric_unmasked(keras: Any, tf: Any) -> dict[str, Any]:
    class MeanSquaredError(keras.metrics.MeanSquaredError):  # type: ignore[misc]
        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
            return super().update_state(y_true, tf.identity(y_pred))

    return {"metrics.MeanSquaredError": MeanSquaredError}


def _metric_shifted(keras: Any, tf: Any) -> dict[str, Any]:
    class BinaryAccuracy(keras.metrics.BinaryAccuracy):  # type: ignore[misc]
        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
            if sample_weight is not None and sample_weight.shape.rank == 2:
                sample_weight = tf.roll(sample_weight, 1, axis=1)  # Keras 2 gives the mask so
            shifted = _with(tf, y_pred, lambda mask: tf.roll(mask, 1, axis=1))
            return super().update_state(y_true, shifted, sample_weight)

    return {"metrics.BinaryAccuracy": BinaryAccuracy}


_SUM, _METRIC = "MeanSquaredError", "metric MeanSquaredError"

DEFECTS: dict[str, tuple[str, str, Overrides]] = {
    "mask ignored": (_SUM, "training_reduction", _loss(_ignored)),
    "divided by all steps": (_SUM, "training_reduction", _loss(_all_steps)),
    "mask shifted": (_SUM, "training_compaction", _loss(_shifted)),
    "mask inverted": (_SUM, "training_reduction", _loss(_inverted)),
    "mask of Masking shifted": (_SUM, "same_mask_same_loss", _masking_shifted),
    "mask of the first row": (_SUM, "training_reduction", _loss(_first_row)),
    "loss leaks": (_SUM, "training_isolation", _loss(_leaks)),
    "gradient leaks": (_SUM, "training_isolation", _loss(_gradient_leaks)),
    "gradient leaks, padding longer": (_SUM, "training_extension", _loss(_gradient_leaks)),
    "weights ignored": (_SUM, "weights_alignment", _loss(_weights_ignored)),
    "weights along the wrong axis": (_SUM, "weights_alignment", _loss(_transposed)),
    "no valid step is NaN": (_SUM, "all_masked", _loss(_nothing_is_nan)),
    "mask lost in the model": (_SUM, "training_isolation", _lost_in_the_model),
    "metric unmasked": (_METRIC, "training_isolation", _metric_unmasked),
    "metric unmasked, its number": (_METRIC, "training_reduction", _metric_unmasked),
    "metric's mask shifted": ("metric BinaryAccuracy", "training_reduction", _metric_shifted),
    "class weights ignored": (
        "CategoricalCrossentropy",
        "class_weights",
        _loss(lambda tf, real, y, p, w: real(y, p, None), "CategoricalCrossentropy"),
    ),
}
"""By name: the loss or metric, the property that names what is wrong, and what is planted."""
