"""Losses and metrics with something wrong in how they treat masks and weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = [
    "Overrides",
    "all_steps",
    "averaged_by_a_function",
    "column_beside_rows",
    "counted_in_8_bits",
    "counted_in_half_precision",
    "cut_to_fit",
    "first_class_not_ignored",
    "first_row",
    "forgotten",
    "gradient_leaks",
    "ignored",
    "infinite",
    "inside_steps",
    "inverted",
    "leaks",
    "longer_counts_less",
    "loss",
    "marks_not_ignored",
    "mask_of",
    "metric",
    "metric_shifted",
    "nothing_is_nan",
    "only",
    "padding_alone",
    "replaced_by_weights",
    "rounded_up",
    "rows_ignored",
    "rows_turned",
    "shifted",
    "sum_divided",
    "transposed",
    "twice",
    "unmasked",
    "unweighted",
    "weights_ignored",
]

Overrides = Callable[[Any, Any], dict[str, Any]]
"""Given Keras and TensorFlow, what stands in for what."""


def loss(call: Callable[..., Any], name: str = "MeanSquaredError") -> Overrides:
    """A loss whose call is another: given TensorFlow, the real call, and what it is given."""

    def overrides(keras: Any, tf: Any) -> dict[str, Any]:
        base = getattr(keras.losses, name)

        def __call__(self: Any, y: Any, p: Any, sample_weight: Any = None) -> Any:
            def real(*given: Any) -> Any:
                return base.__call__(self, *given)

            return call(tf, real, y, p, sample_weight)

        return {f"losses.{name}": type(name, (base,), {"__call__": __call__})}

    return overrides


def mask_of(p: Any) -> Any:
    """The mask that predictions carry, or None."""
    return getattr(p, "_keras_mask", None)


def _with(tf: Any, p: Any, change: Callable[[Any], Any]) -> Any:
    """The predictions with another mask, where they have one."""
    mask = mask_of(p)
    plain = tf.identity(p)
    if mask is not None:
        plain._keras_mask = change(mask)
    return plain


def ignored(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """All steps count."""
    return real(y, tf.identity(p), w)


def all_steps(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """The mean divides by padding too."""
    loss, mask = real(y, p, w), mask_of(p)
    return loss if mask is None else loss * tf.reduce_mean(tf.cast(mask, loss.dtype))


def weights_of_zero_masked(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """A valid step whose sample weight is 0 is not counted."""
    mask = mask_of(p)
    if mask is None or w is None or len(w.shape) != len(mask.shape):
        return real(y, p, w)
    weighed = tf.cast(tf.convert_to_tensor(w) != 0, mask.dtype)
    return real(y, _with(tf, p, lambda mask: mask & weighed), w)


def shifted(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """The mask is one step late."""
    return real(y, _with(tf, p, lambda mask: tf.roll(mask, 1, axis=1)), w)


def inverted(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """Padding alone counts."""
    return real(y, _with(tf, p, tf.logical_not), w)


def first_row(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """What is valid in the first row is so in all."""
    return real(y, _with(tf, p, lambda mask: tf.logical_or(mask, mask[:1])), w)


def leaks(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """Padding enters the loss a little."""
    loss = real(y, p, w)
    return loss + tf.cast(1e-4 * tf.reduce_mean(tf.identity(p)), loss.dtype)


def gradient_leaks(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """Padding enters the gradient, and not the loss."""
    loss = real(y, p, w)
    leak = tf.cast(1e-2 * tf.reduce_sum(tf.sin(tf.identity(p))), loss.dtype)
    return loss + leak - tf.stop_gradient(leak)


def weights_ignored(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """Weights of samples weigh nothing."""
    return real(y, p, None)


def transposed(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """Where sizes coincide, rows and steps of weights change places."""
    if w is not None and w.shape.rank == 2:
        rows, steps = tf.unstack(tf.shape(w))
        w = tf.cond(rows == steps, lambda: tf.transpose(w), lambda: w)
    return real(y, p, w)


def nothing_is_nan(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """Without a valid step the loss is NaN."""
    loss, mask = real(y, p, w), mask_of(p)
    if mask is None:
        return loss
    return tf.where(tf.reduce_any(mask), loss, tf.constant(float("nan"), loss.dtype))


def replaced_by_weights(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """Where samples have weights, the mask is forgotten."""
    return real(y, p if w is None else tf.identity(p), w)


def twice(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """A mean is divided by the share of valid steps twice."""
    loss, mask = real(y, p, w), mask_of(p)
    if mask is None:
        return loss
    share = tf.reduce_mean(tf.cast(mask, loss.dtype))
    return tf.where(share > 0, loss / share, loss)


def counted_in_8_bits(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """The number of valid steps is what 8 bits hold of it."""
    loss, mask = real(y, p, w), mask_of(p)
    if mask is None:
        return loss
    valid = tf.reduce_sum(tf.cast(mask, "int32"))
    wrapped = tf.cast(valid % 256, loss.dtype)
    return tf.math.divide_no_nan(loss * tf.cast(valid, loss.dtype), wrapped)


def sum_divided(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """A sum is divided by the number of valid steps."""
    loss, mask = real(y, p, w), mask_of(p)
    if mask is None:
        return loss
    return tf.math.divide_no_nan(loss, tf.reduce_sum(tf.cast(mask, loss.dtype)))


def only(reduction: str, change: Callable[..., Any]) -> Overrides:
    """A loss whose call is another where it is reduced so."""

    def overrides(keras: Any, tf: Any) -> dict[str, Any]:
        base = keras.losses.MeanSquaredError

        def __call__(self: Any, y: Any, p: Any, sample_weight: Any = None) -> Any:
            def real(*given: Any) -> Any:
                return base.__call__(self, *given)

            call = change if self.reduction == reduction else lambda tf, real, *given: real(*given)
            return call(tf, real, y, p, sample_weight)

        return {
            "losses.MeanSquaredError": type("MeanSquaredError", (base,), {"__call__": __call__})
        }

    return overrides


def rows_ignored(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """Weights of rows weigh nothing."""
    return real(y, p, None if w is not None and w.shape.rank == 1 else w)


def column_beside_rows(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """Weights in a column stand beside all rows, so that each row has the weights of all."""
    if w is None or w.shape.rank != 2 or p.shape.rank != 2:
        return real(y, p, w)
    return real(y, p, tf.zeros_like(w[:, 0]) + tf.reduce_mean(w))


def counted_in_half_precision(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """The number of valid steps is what half precision holds of it."""
    loss, mask = real(y, p, w), mask_of(p)
    if mask is None:
        return loss
    valid = tf.reduce_sum(tf.cast(mask, "float32"))
    held = tf.cast(tf.cast(valid, "float16"), "float32")
    # Beyond what it holds there is but infinity.
    return loss * tf.cast(tf.math.divide_no_nan(valid, held), loss.dtype)


def rows_turned(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """Weights of rows act from the last one on."""
    if w is not None and w.shape.rank == 1 and p.shape.rank > 2:
        w = tf.reverse(w, [0])
    return real(y, p, w)


def inside_steps(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """A mask beside positions inside steps doubles the loss."""
    loss = real(y, p, w)
    return loss * 2 if p.shape.rank > 3 and mask_of(p) is not None else loss


def cut_to_fit(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """Weights of more steps than there are lose the last ones."""
    if w is not None and w.shape.rank == 2:
        w = w[:, : tf.shape(p)[1]]
    return real(y, p, w)


def infinite(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """What is no number is infinite."""
    loss = real(y, p, w)
    return tf.where(tf.math.is_nan(loss), tf.constant(float("inf"), loss.dtype), loss)


def forgotten(keras: Any, tf: Any) -> dict[str, Any]:
    """The configuration of a loss does not tell its reduction."""

    class MeanSquaredError(keras.losses.MeanSquaredError):  # type: ignore[misc]
        def get_config(self) -> dict[str, Any]:
            return {k: v for k, v in super().get_config().items() if k != "reduction"}

    return {"losses.MeanSquaredError": MeanSquaredError}


def averaged_by_a_function(keras: Any, tf: Any) -> dict[str, Any]:
    """A function has the mean of a row for each of its steps."""
    real = keras.losses.mean_squared_error

    def mean_squared_error(y_true: Any, y_pred: Any) -> Any:
        values = real(y_true, y_pred)
        if values.shape.rank is None or values.shape.rank < 2:
            return values
        mean = tf.reduce_mean(values, axis=1, keepdims=True)
        return tf.zeros_like(values) + mean

    return {"losses.mean_squared_error": mean_squared_error}


def metric(name: str, update: Callable[..., Any]) -> Overrides:
    """A metric that is updated otherwise: from TensorFlow, the real way, and what it is given."""

    def overrides(keras: Any, tf: Any) -> dict[str, Any]:
        base = getattr(keras.metrics, name)

        def update_state(self: Any, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
            def real(*given: Any) -> Any:
                return base.update_state(self, *given)

            return update(tf, real, y_true, y_pred, sample_weight)

        return {f"metrics.{name}": type(name, (base,), {"update_state": update_state})}

    return overrides


def unmasked(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """A metric counts padding."""
    return real(y, tf.identity(p))


def unweighted(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """Weights of samples weigh nothing in a metric."""
    return real(y, p, None)


def padding_alone(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """A metric counts padding and nothing else."""
    mask = mask_of(p)
    if mask is None:
        return real(y, p, w)
    return real(y, tf.identity(p), tf.cast(tf.logical_not(mask), "float32"))


def rounded_up(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """Weights are rounded up."""
    return real(y, p, None if w is None else tf.math.ceil(w))


def counted_once(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """Whatever weighs something weighs 1."""
    return real(y, p, None if w is None else tf.sign(w))


def of_first_positions(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """Positions inside a step all have the weight of its first one."""
    if w is None or w.shape.rank < 3:
        return real(y, p, w)
    return real(y, p, tf.ones_like(w) * w[:, :, :1])


def longer_counts_less(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """Each batch counts by one more of its lengths: within a batch that cancels out."""
    mask = mask_of(p)
    if mask is None:
        return real(y, p, w)
    share = tf.cast(mask, "float32") / tf.cast(tf.shape(mask)[1], "float32")
    return real(y, p, share if w is None else share * w)


def thresholds_shifted(keras: Any, tf: Any) -> dict[str, Any]:
    """With several thresholds weights are one position late."""

    class Recall(keras.metrics.Recall):  # type: ignore[misc]
        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
            if sample_weight is not None and len(self.thresholds) > 1:
                sample_weight = tf.roll(sample_weight, 1, axis=-1)
            return super().update_state(y_true, y_pred, sample_weight)

    return {"metrics.Recall": Recall}


def marks_not_ignored(keras: Any, tf: Any) -> dict[str, Any]:
    """What is ignored is none of the marks that are no class."""
    name = "SparseCategoricalCrossentropy"
    base = getattr(keras.losses, name)

    def __init__(self: Any, *given: Any, ignore_class: int | None = None, **options: Any) -> None:
        kept = None if ignore_class == -1 else ignore_class
        base.__init__(self, *given, ignore_class=kept, **options)

    return {f"losses.{name}": type(name, (base,), {"__init__": __init__})}


def first_class_not_ignored(keras: Any, tf: Any) -> dict[str, Any]:
    """The class 0 is not ignored, as if none were."""

    class MeanIoU(keras.metrics.MeanIoU):  # type: ignore[misc]
        def __init__(self, *given: Any, ignore_class: int | None = None, **options: Any) -> None:
            super().__init__(*given, ignore_class=ignore_class or None, **options)

    return {"metrics.MeanIoU": MeanIoU}


def unweighed_beside_ignored(keras: Any, tf: Any) -> dict[str, Any]:
    """Where a class is ignored, weights are as well."""

    class MeanIoU(keras.metrics.MeanIoU):  # type: ignore[misc]
        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
            weights = sample_weight if self.ignore_class is None else None
            return super().update_state(y_true, y_pred, weights)

    return {"metrics.MeanIoU": MeanIoU}


def metric_shifted(keras: Any, tf: Any) -> dict[str, Any]:
    """A metric's mask is one step late."""

    class BinaryAccuracy(keras.metrics.BinaryAccuracy):  # type: ignore[misc]
        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
            if sample_weight is not None and sample_weight.shape.rank == 2:
                sample_weight = tf.roll(sample_weight, 1, axis=1)  # Keras 2 gives the mask so
            shifted = _with(tf, y_pred, lambda mask: tf.roll(mask, 1, axis=1))
            return super().update_state(y_true, shifted, sample_weight)

    return {"metrics.BinaryAccuracy": BinaryAccuracy}
