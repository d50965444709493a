"""Losses, metrics and models with something wrong in how they treat masks and weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from execution.implementation import Implementation

__all__ = ["TRAINING_DEFECTS", "TrainingDefect"]

Overrides = Callable[[Any, Any], dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class TrainingDefect:
    """A loss, a metric or a model with something wrong in it, and the properties that name it.

    `layer` is the name in reports; `make` gives, of Keras and TensorFlow, what stands in for what.
    """

    name: str
    description: str
    properties: tuple[str, ...]
    layer: str
    make: Overrides

    def overrides(self, implementation: Implementation) -> dict[str, Any]:
        """What an implementation with this defect has in place of the real ones."""
        return self.make(implementation.keras, implementation.tensorflow)


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


def _weights_of_zero_masked(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    mask = _mask(p)
    if mask is None or w is None or len(w.shape) != len(mask.shape):
        return real(y, p, w)
    weighed = tf.cast(tf.convert_to_tensor(w) != 0, mask.dtype)
    return real(y, _with(tf, p, lambda mask: mask & weighed), w)


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


def _replaced_by_weights(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    return real(y, p if w is None else tf.identity(p), w)


def _twice(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    loss, mask = real(y, p, w), _mask(p)
    if mask is None:
        return loss
    share = tf.reduce_mean(tf.cast(mask, loss.dtype))
    return tf.where(share > 0, loss / share, loss)


def _counted_in_8_bits(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    loss, mask = real(y, p, w), _mask(p)
    if mask is None:
        return loss
    valid = tf.reduce_sum(tf.cast(mask, "int32"))
    wrapped = tf.cast(valid % 256, loss.dtype)
    return tf.math.divide_no_nan(loss * tf.cast(valid, loss.dtype), wrapped)


def _sum_divided(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    loss, mask = real(y, p, w), _mask(p)
    if mask is None:
        return loss
    return tf.math.divide_no_nan(loss, tf.reduce_sum(tf.cast(mask, loss.dtype)))


def _only(reduction: str, change: Callable[..., Any]) -> Overrides:
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


def _rows_ignored(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    return real(y, p, None if w is not None and w.shape.rank == 1 else w)


def _rows_turned(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    if w is not None and w.shape.rank == 1 and p.shape.rank > 2:
        w = tf.reverse(w, [0])
    return real(y, p, w)


def _inside_steps(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    loss = real(y, p, w)
    return loss * 2 if p.shape.rank > 3 and _mask(p) is not None else loss


def _cut_to_fit(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    if w is not None and w.shape.rank == 2:
        w = w[:, : tf.shape(p)[1]]
    return real(y, p, w)


def _infinite(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    loss = real(y, p, w)
    return tf.where(tf.math.is_nan(loss), tf.constant(float("inf"), loss.dtype), loss)


def _averaged_by_a_function(keras: Any, tf: Any) -> dict[str, Any]:
    real = keras.losses.mean_squared_error

    def mean_squared_error(y_true: Any, y_pred: Any) -> Any:
        values = real(y_true, y_pred)
        if values.shape.rank is None or values.shape.rank < 2:
            return values
        mean = tf.reduce_mean(values, axis=1, keepdims=True)
        return tf.zeros_like(values) + mean

    return {"losses.mean_squared_error": mean_squared_error}


def _model(compute_loss: Callable[..., Any]) -> Overrides:
    """A model that computes its loss otherwise, from the real way and what it is given."""

    def overrides(keras: Any, tf: Any) -> dict[str, Any]:
        class Model(keras.Model):  # type: ignore[misc]
            testing = False

            def test_step(self, data: Any) -> Any:
                self.testing = True
                try:
                    return super().test_step(data)
                finally:
                    self.testing = False

            def compute_loss(
                self,
                x: Any = None,
                y: Any = None,
                y_pred: Any = None,
                sample_weight: Any = None,
                **rest: Any,
            ) -> Any:
                def real(y: Any, y_pred: Any, sample_weight: Any) -> Any:
                    return super(Model, self).compute_loss(x, y, y_pred, sample_weight, **rest)

                return compute_loss(tf, self, real, y, y_pred, sample_weight)

        return {"Model": Model}

    return overrides


def _lost(tf: Any, model: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    return real(y, tf.identity(p), w)


def _lost_in_tests(tf: Any, model: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    return real(y, tf.identity(p) if model.testing else p, w)


def _exchanged(tf: Any, model: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """Masks of the two outputs, each the other's."""
    if not isinstance(p, list | tuple):
        return real(y, p, w)
    masks = [_mask(one) for one in p][::-1]
    plain = [tf.identity(one) for one in p]
    for one, mask in zip(plain, masks, strict=True):
        if mask is not None:
            one._keras_mask = tf.broadcast_to(mask[:, :1], tf.shape(one)[:2])
    return real(y, plain, w)


def _weights_of_the_first(tf: Any, model: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """Weights of samples of the first output, for all outputs."""
    if isinstance(w, list | tuple) and w[0] is not None:
        w = type(w)(
            tf.broadcast_to(w[0][:, :1], tf.shape(one)[:2]) if one is not None else None
            for one in w
        )
    return real(y, p, w)


def _loss_weights_ignored(keras: Any, tf: Any) -> dict[str, Any]:
    class Model(keras.Model):  # type: ignore[misc]
        def compile(self, *given: Any, **options: Any) -> None:
            options.pop("loss_weights", None)
            super().compile(*given, **options)

    return {"Model": Model}


def _batches_alike(keras: Any, tf: Any) -> dict[str, Any]:
    class Model(keras.Model):  # type: ignore[misc]
        def compile(self, *given: Any, **options: Any) -> None:
            super().compile(*given, **options)
            # Keras 2 tracks the loss in what it compiles the losses to.
            tracker = getattr(self, "_loss_tracker", None) or self.compiled_loss._loss_metric
            real = tracker.update_state
            object.__setattr__(tracker, "update_state", lambda value, **rest: real(value))

    return {"Model": Model}


def _metric(name: str, update: Callable[..., Any]) -> Overrides:
    """A metric that is updated otherwise: from TensorFlow, the real way, and what it is given."""

    def overrides(keras: Any, tf: Any) -> dict[str, Any]:
        base = getattr(keras.metrics, name)

        def update_state(self: Any, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
            def real(*given: Any) -> Any:
                return base.update_state(self, *given)

            return update(tf, real, y_true, y_pred, sample_weight)

        return {f"metrics.{name}": type(name, (base,), {"update_state": update_state})}

    return overrides


def _unmasked(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    return real(y, tf.identity(p))


def _unweighted(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    return real(y, p, None)


def _padding_alone(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    mask = _mask(p)
    if mask is None:
        return real(y, p, w)
    return real(y, tf.identity(p), tf.cast(tf.logical_not(mask), "float32"))


def _rounded_up(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    return real(y, p, None if w is None else tf.math.ceil(w))


def _longer_counts_less(tf: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """Each batch counts by one more of its lengths: within a batch that cancels out."""
    mask = _mask(p)
    if mask is None:
        return real(y, p, w)
    share = tf.cast(mask, "float32") / tf.cast(tf.shape(mask)[1], "float32")
    return real(y, p, share if w is None else share * w)


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


def _metric_shifted(keras: Any, tf: Any) -> dict[str, Any]:
    class BinaryAccuracy(keras.metrics.BinaryAccuracy):  # type: ignore[misc]
        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
            if sample_weight is not None and sample_weight.shape.rank == 2:
                sample_weight = tf.roll(sample_weight, 1, axis=1)  # Keras 2 gives the mask so
            shifted = _with(tf, y_pred, lambda mask: tf.roll(mask, 1, axis=1))
            return super().update_state(y_true, shifted, sample_weight)

    return {"metrics.BinaryAccuracy": BinaryAccuracy}


_SUM, _METRIC, _BOTH = "MeanSquaredError", "metric MeanSquaredError", "two outputs"
_ISOLATION, _REDUCTION = "training_isolation", "training_reduction"


def _defect(
    name: str, description: str, properties: str | tuple[str, ...], layer: str, make: Overrides
) -> TrainingDefect:
    named = (properties,) if isinstance(properties, str) else properties
    return TrainingDefect(name, description, named, layer, make)


TRAINING_DEFECTS: list[TrainingDefect] = [
    _defect("mask ignored", "All steps count.", _REDUCTION, _SUM, _loss(_ignored)),
    _defect(
        "divided by all steps",
        "The mean of a masked loss divides by padding too.",
        _REDUCTION,
        _SUM,
        _loss(_all_steps),
    ),
    _defect(
        "mask shifted", "The mask is one step late.", "training_compaction", _SUM, _loss(_shifted)
    ),
    _defect("mask inverted", "Padding alone counts.", _REDUCTION, _SUM, _loss(_inverted)),
    _defect(
        "mask of Masking shifted",
        "Masking gives a mask that is one step late.",
        "same_mask_same_loss",
        _SUM,
        _masking_shifted,
    ),
    _defect(
        "mask of the first row",
        "What is valid in the first row is so in all.",
        _REDUCTION,
        _SUM,
        _loss(_first_row),
    ),
    _defect("loss leaks", "Padding enters the loss a little.", _ISOLATION, _SUM, _loss(_leaks)),
    _defect(
        "gradient leaks",
        "Padding enters the gradient, and not the loss.",
        _ISOLATION,
        _SUM,
        _loss(_gradient_leaks),
    ),
    _defect(
        "gradient leaks, padding longer",
        "Padding enters the gradient, and not the loss.",
        "training_extension",
        _SUM,
        _loss(_gradient_leaks),
    ),
    _defect(
        "weights ignored",
        "Weights of samples weigh nothing.",
        "weights_alignment",
        _SUM,
        _loss(_weights_ignored),
    ),
    _defect(
        "weights of zero masked",
        "A valid step whose sample weight is 0 is not counted.",
        ("weights_alignment", _REDUCTION),
        _SUM,
        _loss(_weights_of_zero_masked),
    ),
    _defect(
        "weights along the wrong axis",
        "Where sizes coincide, rows and steps of weights change places.",
        "weights_alignment",
        _SUM,
        _loss(_transposed),
    ),
    _defect(
        "weights of rows ignored",
        "Of outputs without steps, weights of rows weigh nothing.",
        "weights_alignment",
        _SUM,
        _loss(_rows_ignored),
    ),
    _defect(
        "weights replace the mask",
        "Where samples have weights, the mask is forgotten.",
        (_REDUCTION, _ISOLATION),
        _SUM,
        _loss(_replaced_by_weights),
    ),
    _defect(
        "mask multiplied twice",
        "A masked mean is divided by the share of valid steps twice.",
        _REDUCTION,
        _SUM,
        _only("sum_over_batch_size", _twice),
    ),
    _defect(
        "sum divided",
        "The sum of a masked loss is divided by the number of valid steps.",
        _REDUCTION,
        _SUM,
        _only("sum", _sum_divided),
    ),
    _defect(
        "mask counted in 8 bits",
        "The number of valid steps is what 8 bits hold of it.",
        (_REDUCTION, "training_extension", "training_compaction", _ISOLATION),
        _SUM,
        _loss(_counted_in_8_bits),
    ),
    _defect(
        "a function averages over steps",
        "A loss given as a function has the mean of a row for each of its steps.",
        (_REDUCTION, _ISOLATION, "training_extension"),
        _SUM,
        _averaged_by_a_function,
    ),
    _defect(
        "no valid step is NaN",
        "Without a valid step the loss is NaN.",
        "all_masked",
        _SUM,
        _loss(_nothing_is_nan),
    ),
    _defect(
        "mask lost in the model", "The model forgets the mask.", _ISOLATION, _SUM, _model(_lost)
    ),
    _defect(
        "mask lost in tests",
        "The mask is used in training steps, and not in test steps.",
        (_ISOLATION, _REDUCTION),
        _SUM,
        _model(_lost_in_tests),
    ),
    _defect(
        "batches count alike",
        "The loss of several batches is their mean, whatever rows each has.",
        "training_grouping",
        _SUM,
        _batches_alike,
    ),
    _defect(
        "metric unmasked",
        "A metric counts padding.",
        _ISOLATION,
        _METRIC,
        _metric("MeanSquaredError", _unmasked),
    ),
    _defect(
        "metric unmasked, its number",
        "A metric counts padding.",
        _REDUCTION,
        _METRIC,
        _metric("MeanSquaredError", _unmasked),
    ),
    _defect(
        "metric unweighted",
        "Weights of samples weigh nothing in a weighted metric.",
        "weights_alignment",
        _METRIC,
        _metric("MeanSquaredError", _unweighted),
    ),
    _defect(
        "metric's mask shifted",
        "A metric's mask is one step late.",
        _REDUCTION,
        "metric BinaryAccuracy",
        _metric_shifted,
    ),
    _defect(
        "class weights ignored",
        "Weights of classes weigh nothing.",
        "class_weights",
        "CategoricalCrossentropy",
        _loss(_weights_ignored, "CategoricalCrossentropy"),
    ),
    _defect(
        "mask of the other output",
        "Each of two outputs has the other's mask.",
        (_REDUCTION, _ISOLATION),
        _BOTH,
        _model(_exchanged),
    ),
    _defect(
        "weights of the first output",
        "All outputs have the first one's weights of samples.",
        (_REDUCTION, "weights_alignment"),
        _BOTH,
        _model(_weights_of_the_first),
    ),
    _defect(
        "loss weights ignored",
        "The losses of several outputs are added up unweighed.",
        _REDUCTION,
        _BOTH,
        _loss_weights_ignored,
    ),
    # What is wrong where the ledger knows of something that is wrong already.
    _defect(
        "known: weights of rows turned",
        "Weights of rows act on steps, which is known, from the last one on.",
        ("weights_alignment", _REDUCTION),
        _SUM,
        _loss(_rows_turned),
    ),
    _defect(
        "known: positions inside steps",
        "A mask that fits no positions inside steps, which is known, doubles the loss.",
        ("training_extension", _ISOLATION, "training_compaction"),
        _SUM,
        _loss(_inside_steps),
    ),
    _defect(
        "weights cut to fit",
        "Weights of more steps than there are lose the last ones.",
        "misfit_refused",
        _SUM,
        _loss(_cut_to_fit),
    ),
    _defect(
        "known: infinite",
        "Padding that is not finite, which is known to give NaN, gives infinity.",
        _ISOLATION,
        _SUM,
        _loss(_infinite),
    ),
    _defect(
        "known: padding alone",
        "A metric that is known to count padding counts nothing else.",
        (_REDUCTION, _ISOLATION),
        "metric TruePositives",
        _metric("TruePositives", _padding_alone),
    ),
    _defect(
        "known: rounded up",
        "Weights that are known to be cut to whole numbers are rounded up.",
        (_REDUCTION, "weights_alignment"),
        "metric OneHotIoU",
        _metric("OneHotIoU", _rounded_up),
    ),
    _defect(
        "known: longer counts less",
        "Batches that are known to count by their lengths do so twice.",
        "training_extension",
        _METRIC,
        _metric("MeanSquaredError", _longer_counts_less),
    ),
]
