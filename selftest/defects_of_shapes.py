"""Layers that change shapes, convolve or pool, each with one realistic mistake in its masks.

In each of them a mask is handed on by someone who did not think it through, or padding gets in
(or out) where it should not. Outputs are as they were, unless the mistake is in the output.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["DEFECTS"]

_Overridden = Callable[[Any, Any], type]


def _handing_on(name: str, mask_of: Callable[[Any, Any, Any, Any], Any]) -> _Overridden:
    """The layer of a name with the mask of a function of (tf, the layer, the inputs, the mask)."""

    def make(keras: Any, tf: Any) -> type:
        class Layer(getattr(keras.layers, name)):  # type: ignore[misc]
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                self.supports_masking = True

            def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
                return None if mask is None else mask_of(tf, self, inputs, mask)

        return Layer

    return make


def _with_output(name: str, output_of: Callable[[Any, Any, Any], Any]) -> _Overridden:
    """The layer of a name with an output of a function of (tf, the inputs, the output)."""

    def make(keras: Any, tf: Any) -> type:
        class Layer(getattr(keras.layers, name)):  # type: ignore[misc]
            def call(self, inputs: Any, **kwargs: Any) -> Any:
                return output_of(tf, inputs, super().call(inputs, **kwargs))

        return Layer

    return make


def _first_of_window(tf: Any, layer: Any, inputs: Any, mask: Any) -> Any:
    """A window is valid where its first step is: strides are seen to, sizes are not."""
    (stride,) = layer.strides
    (size,) = layer.pool_size
    length = tf.shape(mask)[1] if layer.padding == "same" else tf.shape(mask)[1] - size + 1
    return mask[:, :length:stride]


def _any_of_window(tf: Any, layer: Any, inputs: Any, mask: Any) -> Any:
    """A window is valid where any of its steps is."""
    (size,), (stride,), (rate,) = layer.kernel_size, layer.strides, layer.dilation_rate
    valid = tf.cast(mask, "float32")[:, :, None]
    if layer.padding == "causal":
        valid = tf.pad(valid, [[0, 0], [rate * (size - 1), 0], [0, 0]])
    padding = "SAME" if layer.padding == "same" else "VALID"
    pooled = tf.nn.pool(valid, [size], "MAX", [stride], padding, dilations=[rate])
    return pooled[:, :, 0] > 0


def _tiled(tf: Any, layer: Any, inputs: Any, mask: Any) -> Any:
    """The whole mask over and over, in place of each step over and over."""
    return tf.tile(mask, [1, layer.size])


def _padded_in_front(tf: Any, layer: Any, inputs: Any, mask: Any) -> Any:
    """All of the padding in front, whichever side it goes to."""
    return tf.pad(mask, [[0, 0], [sum(layer.padding), 0]])


def _cropped_at_the_end(tf: Any, layer: Any, inputs: Any, mask: Any) -> Any:
    """All that is cropped at the end: right for right-padded rows, shifted for others."""
    return mask[:, : tf.shape(mask)[1] - sum(layer.cropping)]


def _as_it_came(tf: Any, layer: Any, inputs: Any, mask: Any) -> Any:
    return mask


def _none(tf: Any, layer: Any, inputs: Any, mask: Any) -> Any:
    return None


def _swapped_when_square(tf: Any, inputs: Any, output: Any) -> Any:
    """Rows and steps change places where there are as many of them."""
    shape = tf.shape(output)
    square = tf.equal(shape[0], shape[1])
    return tf.cond(square, lambda: tf.transpose(output, [1, 0, 2]), lambda: output)


def _leaking(tf: Any, inputs: Any, output: Any) -> Any:
    """A little of each row's mean in all of its steps."""
    return output + 1e-5 * tf.cast(tf.reduce_mean(inputs, axis=1, keepdims=True), output.dtype)


def _leaking_nan(tf: Any, inputs: Any, output: Any) -> Any:
    """Nothing of a row's sum, but that nothing is NaN where the sum is not finite."""
    nothing = 0 * tf.reduce_sum(inputs, axis=1, keepdims=True)
    return output + tf.cast(nothing, output.dtype)


def _looking_ahead(tf: Any, inputs: Any, output: Any) -> Any:
    """Every window a step too late."""
    return tf.roll(output, -1, axis=1)


def _isolates(keras: Any, tf: Any) -> type:
    """Clears padding before it pools, though nothing says so and no mask goes out."""

    class AveragePooling1D(keras.layers.AveragePooling1D):  # type: ignore[misc]
        def call(self, inputs: Any, mask: Any = None) -> Any:
            if mask is not None:
                inputs = tf.where(mask[:, :, None], inputs, tf.zeros_like(inputs))
            return super().call(inputs)

    return AveragePooling1D


def _inverts(keras: Any, tf: Any) -> type:
    """A Lambda whose function for the mask says what is masked, not what is valid."""

    class TimesTwo(keras.layers.Lambda):  # type: ignore[misc]
        def __init__(self, hands_on: bool = False, **kwargs: Any) -> None:
            def inverted(inputs: Any, mask: Any = None) -> Any:
                return None if mask is None else ~mask

            super().__init__(lambda inputs: 2 * inputs, mask=inverted, **kwargs)

    return TimesTwo


# The layer's name in the catalogue, the property that sees it, what is overridden, the defect.
DEFECTS: dict[str, tuple[str, str, str, _Overridden]] = {
    "mask cropped at the end": (
        "Cropping1D",
        "passage",
        "Cropping1D",
        _handing_on("Cropping1D", _cropped_at_the_end),
    ),
    "mask tiled, not repeated": (
        "UpSampling1D",
        "passage",
        "UpSampling1D",
        _handing_on("UpSampling1D", _tiled),
    ),
    "mask padded in front alone": (
        "ZeroPadding1D",
        "passage",
        "ZeroPadding1D",
        _handing_on("ZeroPadding1D", _padded_in_front),
    ),
    "window valid if any step is": (
        "Conv1D",
        "passage",
        "Conv1D",
        _handing_on("Conv1D", _any_of_window),
    ),
    "window valid if its first step is": (
        "MaxPooling1D",
        "passage",
        "MaxPooling1D",
        _handing_on("MaxPooling1D", _first_of_window),
    ),
    "mask not permuted": ("Permute", "passage", "Permute", _handing_on("Permute", _as_it_came)),
    "mask of steps on flat values": (
        "Flatten",
        "passage",
        "Flatten",
        _handing_on("Flatten", _as_it_came),
    ),
    "mask dropped and not told": ("Reshape", "told", "Reshape", _handing_on("Reshape", _none)),
    "rows and steps swapped when square": (
        "EinsumDense",
        "layer_truth",
        "EinsumDense",
        _with_output("EinsumDense", _swapped_when_square),
    ),
    "padding leaks a little": (
        "EinsumDense(ellipsis)",
        "layer_isolation",
        "EinsumDense",
        _with_output("EinsumDense", _leaking),
    ),
    "padding leaks NaN alone": (
        "UpSampling1D",
        "layer_isolation",
        "UpSampling1D",
        _with_output("UpSampling1D", _leaking_nan),
    ),
    "windows a step late": (
        "Conv1DTranspose",
        "layer_truth",
        "Conv1DTranspose",
        _with_output("Conv1DTranspose", _looking_ahead),
    ),
    "padding isolated, not told": (
        "AveragePooling1D",
        "padding_takes_part",
        "AveragePooling1D",
        _isolates,
    ),
    "mask inverted": ("Lambda(with mask)", "passage", "TimesTwo", _inverts),
}
