"""Models, and what makes masks in them, with something wrong in how they treat these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from selftest.defective_measures import Overrides, column_beside_rows, loss, mask_of

__all__ = [
    "arrays_unweighed",
    "batches_alike",
    "class_weights_of_datasets_alone",
    "classes_left_out_weigh_nothing",
    "classes_replace_weights",
    "columns_beside_rows",
    "epochs_added_up",
    "exchanged",
    "loss_weights_ignored",
    "lost",
    "lost_by_name",
    "lost_by_xla",
    "lost_eagerly",
    "lost_in_several_batches",
    "lost_in_tests",
    "masking_shifted",
    "metrics_of_the_other_output",
    "metrics_weighed_beside",
    "model",
    "one_array_for_the_first",
    "penalty_masked",
    "penalty_of_all_rows",
    "validation_unweighed",
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


def lost_by_xla(tf: Any, model: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """The model forgets the mask where it is compiled by XLA."""
    return real(y, tf.identity(p) if model.jit_compile else p, w)


def lost_eagerly(tf: Any, model: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """The model forgets the mask where it runs eagerly."""
    return real(y, tf.identity(p) if model.run_eagerly else p, w)


def lost_in_several_batches(tf: Any, model: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """The model forgets the mask where it runs several batches at once."""
    return real(y, tf.identity(p) if model.steps_per_execution > 1 else p, w)


def lost_in_tests(tf: Any, model: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """The model forgets the mask in test steps."""
    return real(y, tf.identity(p) if model.testing else p, w)


def lost_by_name(tf: Any, model: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """The model forgets the masks of outputs that it gives by name."""
    if isinstance(p, dict):
        p = {name: tf.identity(one) for name, one in p.items()}
    return real(y, p, w)


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


def one_array_for_the_first(tf: Any, model: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """A single array of weights weighs the first output alone."""
    if isinstance(p, list | tuple) and w is not None and not isinstance(w, list | tuple | dict):
        w = [w, *(tf.ones_like(w) for _ in p[1:])]
    return real(y, p, w)


def columns_beside_rows(keras: Any, tf: Any) -> dict[str, Any]:
    """Weights in a column stand beside all rows, in a model and in a loss that is called."""

    def beside(tf: Any, model: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
        return column_beside_rows(tf, real, y, p, w)

    return loss(column_beside_rows)(keras, tf) | model(beside)(keras, tf)


def metrics_of_the_other_output(keras: Any, tf: Any) -> dict[str, Any]:
    """Where one of two outputs has no metrics, it has the other's."""

    class Model(keras.Model):  # type: ignore[misc]
        def compile(self, *given: Any, **options: Any) -> None:
            weighted = options.get("weighted_metrics")
            if isinstance(weighted, list) and None in weighted:
                options["weighted_metrics"] = weighted[::-1]
            super().compile(*given, **options)

    return {"Model": Model}


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


def penalty_of_all_rows(keras: Any, tf: Any) -> dict[str, Any]:
    """A penalty of what is given out is as many times too large as there are rows."""

    class Dense(keras.layers.Dense):  # type: ignore[misc]
        def __init__(self, units: int, **options: Any) -> None:
            super().__init__(units, **options)
            penalty = self.activity_regularizer
            if penalty is not None:
                self.activity_regularizer = lambda x: penalty(x) * tf.cast(tf.shape(x)[0], x.dtype)

    return {"Dense": Dense}


def penalty_masked(tf: Any, model: Any, real: Any, y: Any, p: Any, w: Any) -> Any:
    """What layers add to the loss counts by the share of valid steps."""
    loss, mask = real(y, p, w), mask_of(p)
    if mask is None or not model.losses:
        return loss
    share = tf.reduce_mean(tf.cast(mask, loss.dtype))
    return loss - (1 - share) * tf.cast(tf.add_n(list(model.losses)), loss.dtype)


def metrics_weighed_beside(keras: Any, tf: Any) -> dict[str, Any]:
    """Metrics that stand beside weighted ones are weighted as well."""

    class Model(keras.Model):  # type: ignore[misc]
        def compile(self, *given: Any, **options: Any) -> None:
            if options.get("metrics") and options.get("weighted_metrics"):
                options["weighted_metrics"] = [*options["metrics"], *options["weighted_metrics"]]
                options["metrics"] = None
            super().compile(*given, **options)

    return {"Model": Model}


def _fitting(change: Callable[[Any, dict[str, Any]], tuple[Any, dict[str, Any]]]) -> Overrides:
    """A model that is fitted to other data, or with other options."""

    def overrides(keras: Any, tf: Any) -> dict[str, Any]:
        class Model(keras.Model):  # type: ignore[misc]
            def fit(self, data: Any, *given: Any, **options: Any) -> Any:
                data, options = change(data, options)
                return super().fit(data, *given, **options)

        return {"Model": Model}

    return overrides


def epochs_added_up(keras: Any, tf: Any) -> dict[str, Any]:
    """What an epoch counts is added to what the epochs before it counted."""

    class Model(keras.Model):  # type: ignore[misc]
        fitting = False

        def fit(self, *given: Any, **options: Any) -> Any:
            self.reset_metrics()
            self.fitting = True
            try:
                return super().fit(*given, **options)
            finally:
                self.fitting = False

        def reset_metrics(self) -> None:
            if not self.fitting:
                super().reset_metrics()

    return {"Model": Model}


def single_batches_go_on(keras: Any, tf: Any) -> dict[str, Any]:
    """What `test_on_batch` says is of all batches that it was given."""

    class Model(keras.Model):  # type: ignore[misc]
        single = False

        def test_on_batch(self, *given: Any, **options: Any) -> Any:
            self.single = True
            try:
                return super().test_on_batch(*given, **options)
            finally:
                self.single = False

        def reset_metrics(self) -> None:
            if not self.single:
                super().reset_metrics()

    return {"Model": Model}


def _unweighed(data: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    if options.get("validation_data") is not None:
        plain = options["validation_data"].map(lambda *given: given[:2])
        options = {**options, "validation_data": plain}
    return data, options


validation_unweighed = _fitting(_unweighed)
"""Weights of samples weigh nothing in validation."""


def _by_themselves(data: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    classes = options.get("class_weight")
    if classes and type(data).__name__ == "Batches":
        options = {name: one for name, one in options.items() if name != "class_weight"}
    return data, options


class_weights_of_datasets_alone = _fitting(_by_themselves)
"""Weights of classes weigh nothing where batches come one by one."""


def arrays_unweighed(keras: Any, tf: Any) -> dict[str, Any]:
    """Weights of samples weigh nothing where arrays are evaluated."""

    class Model(keras.Model):  # type: ignore[misc]
        def evaluate(self, *given: Any, sample_weight: Any = None, **options: Any) -> Any:
            return super().evaluate(*given, **options)

    return {"Model": Model}


def _filled(data: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    classes = options.get("class_weight")
    if classes:
        filled = {k: classes.get(k, 0.0) for k in range(3)}
        options = {**options, "class_weight": filled}
    return data, options


classes_left_out_weigh_nothing = _fitting(_filled)
"""A class that has no weight counts nothing."""


def _replaced(data: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    return (data.map(lambda *given: given[:2]) if options.get("class_weight") else data), options


classes_replace_weights = _fitting(_replaced)
"""Weights of samples are forgotten where classes have weights."""
