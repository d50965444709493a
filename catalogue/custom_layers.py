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

# A function is no plain value, so that a Lambda stands in a spec as a class with its function.
_DOUBLING = """\
class Doubling(keras.layers.Lambda):  # 2 * inputs, with or without a function for its mask
    def __init__(self, hands_on=False, **kwargs):
        mask = (lambda inputs, mask=None: mask) if hands_on else None
        super().__init__(lambda inputs: 2 * inputs, mask=mask, **kwargs)"""

CUSTOM_LAYERS: dict[str, str] = {"Travelling": _TRAVELLING, "Doubling": _DOUBLING}
