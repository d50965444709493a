"""Models, and what makes masks in them, with something wrong in how they treat these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from selftest.defective_measures import Overrides, mask_of

__all__ = [
    "batches_alike",
    "exchanged",
    "loss_weights_ignored",
    "lost",
    "lost_in_tests",
    "masking_shifted",
    "model",
    "weights_of_the_first",
]


def model(compute_loss: Callable[..., Any]) -> Overrides:
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


def lost(tf: Any, model: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """The model forgets the mask."""
    return real(y, tf.identity(p), w)


def lost_in_tests(tf: Any, model: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """The model forgets the mask in test steps."""
    return real(y, tf.identity(p) if model.testing else p, w)


def exchanged(tf: Any, model: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """Masks of the two outputs, each the other's."""
    if not isinstance(p, list | tuple):
        return real(y, p, w)
    masks = [mask_of(one) for one in p][::-1]
    plain = [tf.identity(one) for one in p]
    for one, mask in zip(plain, masks, strict=True):
        if mask is not None:
            one._keras_mask = tf.broadcast_to(mask[:, :1], tf.shape(one)[:2])
    return real(y, plain, w)


def weights_of_the_first(tf: Any, model: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """Weights of samples of the first output, for all outputs."""
    if isinstance(w, list | tuple) and w[0] is not None:
        w = type(w)(
            tf.broadcast_to(w[0][:, :1], tf.shape(one)[:2]) if one is not None else None
            for one in w
        )
    return real(y, p, w)


def loss_weights_ignored(keras: Any, tf: Any) -> dict[str, Any]:
    """Losses are added up unweighed."""

    class Model(keras.Model):  # type: ignore[misc]
        def compile(self, *given: Any, **options: Any) -> None:
            options.pop("loss_weights", None)
            super().compile(*given, **options)

    return {"Model": Model}


def batches_alike(keras: Any, tf: Any) -> dict[str, Any]:
    """Batches count alike, whatever rows each has."""

    class Model(keras.Model):  # type: ignore[misc]
        def compile(self, *given: Any, **options: Any) -> None:
            super().compile(*given, **options)
            # Keras 2 tracks the loss in what it compiles the losses to.
            tracker = getattr(self, "_loss_tracker", None) or self.compiled_loss._loss_metric
            real = tracker.update_state
            object.__setattr__(tracker, "update_state", lambda value, **rest: real(value))

    return {"Model": Model}


def masking_shifted(keras: Any, tf: Any) -> dict[str, Any]:
    """Masking gives a mask that is one step late."""

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
