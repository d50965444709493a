"""Planted defects in which padding, or other rows, leak into a result or its gradients."""

from __future__ import annotations

from typing import Any

from selftest.defective import Defect, Invocation, on_output

__all__ = ["ISOLATION_DEFECTS"]


def _leak(tf: Any, output: Any, call: Invocation) -> Any:
    content = tf.reduce_mean(tf.tanh(call.padding), axis=[1, 2])
    content = tf.reshape(content, [-1, *[1] * (len(output.shape) - 1)])
    return output + tf.cast(1e-5 * content, output.dtype)


def _nan_leak(tf: Any, output: Any, call: Invocation) -> Any:
    return output + tf.cast(tf.reduce_sum(tf.tanh(call.inputs) * 0.0), output.dtype)


def _infinity_leak(tf: Any, output: Any, call: Invocation) -> Any:
    some = tf.reduce_any(tf.math.is_inf(call.inputs) & ~call.valid[:, :, None])
    return tf.where(some, output * 1.01 + 0.01, output)


def _gradient_leak(tf: Any, output: Any, call: Invocation) -> Any:
    content = tf.reduce_sum(tf.tanh(call.padding))
    return output + tf.cast(content - tf.stop_gradient(content), output.dtype)


def _weight_gradient_leak(tf: Any, output: Any, call: Invocation) -> Any:
    kernel = call.layer.cell.kernel
    kernel = kernel.value if hasattr(kernel, "path") else kernel  # Keras 3 wraps its variables
    content = tf.stop_gradient(tf.reduce_sum(tf.tanh(call.padding)))
    product = tf.reduce_sum(kernel) * tf.cast(content, kernel.dtype)
    return output + tf.cast(product - tf.stop_gradient(product), output.dtype)


def _mean_leak(tf: Any, output: Any, _: Invocation) -> Any:
    return output + tf.cast(1e-3, output.dtype) * tf.reduce_mean(output, axis=0, keepdims=True)


def _row_before_leak(tf: Any, output: Any, _: Invocation) -> Any:
    return output + tf.cast(1e-3, output.dtype) * tf.roll(output, 1, axis=0)


ISOLATION_DEFECTS = [
    Defect(
        "leak of 1e-5",
        "A hundred-thousandth of the padding's mean is added to the output.",
        ("padding_content",),
        "LSTM",
        on_output(_leak),
    ),
    Defect(
        "leak of NaN",
        "All inputs times zero are added to the output: only NaN comes through.",
        ("padding_content",),
        "GRU",
        on_output(_nan_leak),
    ),
    Defect(
        "leak of infinity",
        "An infinity in the padding of any row changes all outputs.",
        ("padding_content",),
        "RNN",
        on_output(_infinity_leak),
    ),
    Defect(
        "leak into the gradients of inputs",
        "The output is right, its gradient at padding is not zero.",
        ("padding_gradient",),
        "LSTM",
        on_output(_gradient_leak),
    ),
    Defect(
        "leak into the gradients of weights",
        "The output is right, and the gradient of the kernel sees padding.",
        ("padding_gradient",),
        "SimpleRNN",
        on_output(_weight_gradient_leak),
    ),
    Defect(
        "leak of the batch's mean",
        "A thousandth of the mean over rows is added to the output.",
        ("row_order",),
        "SimpleRNN",
        on_output(_mean_leak),
    ),
    Defect(
        "leak of the row before",
        "A thousandth of the row before is added to the output.",
        ("row_order",),
        "LSTM",
        on_output(_row_before_leak),
    ),
]
