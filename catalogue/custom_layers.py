"""Custom layers as the guide on masking teaches to write them, as text that is run or printed.

Each text defines one class of its key's name, over `keras` and `tf` alone. A spec names them
like layers of Keras.
"""

from __future__ import annotations

__all__ = ["CUSTOM_LAYERS"]

_TRAVELLING = """\
class Travelling(keras.layers.Layer):  # a layer that says itself what its mask is
    def call(self, inputs):
        return tf.identity(inputs[0])

    def compute_mask(self, inputs, mask=None):
        return inputs[1]"""

CUSTOM_LAYERS: dict[str, str] = {"Travelling": _TRAVELLING}
