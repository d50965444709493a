"""The right answer in NumPy of the convolutional LSTM layers, of one to three dimensions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from catalogue import initial_states
from catalogue.activations import activation
from catalogue.layer_cases import Given, LayerCase
from catalogue.layer_reference import cleared
from catalogue.recurrent_reference import Reference
from catalogue.specs import Spec

__all__ = [
    "convolution_lstm",
    "convolution_lstm_states",
    "convolution_lstm_weights",
    "convolved",
    "output_sizes",
    "run",
    "sizes_left",
    "state_shapes",
]

_Shapes = list[tuple[int, ...]]


def convolved(
    x: np.ndarray, kernel: np.ndarray, padding: str, stride: int = 1, dilation: int = 1
) -> np.ndarray:
    """The sum over a window of x, of shape (n, *sizes, channels), with weights for each place.

    `kernel` has shape (*window, channels, filters); nothing is mirrored. Source: the pages of
    the convolutions ("valid" means no padding, "same" pads evenly; what is left over goes to the
    far side, by the page of tf.nn.convolution).
    """
    window = kernel.shape[:-2]
    sizes = output_sizes(x.shape[1:-1], window, padding, stride, dilation)
    if padding == "same":
        pads = [(0, 0)]
        for size, out, k in zip(x.shape[1:-1], sizes, window, strict=True):
            whole = max((out - 1) * stride + (k - 1) * dilation + 1 - size, 0)
            pads.append((whole // 2, whole - whole // 2))
        x = np.pad(x, [*pads, (0, 0)])
    output = np.zeros((x.shape[0], *sizes, kernel.shape[-1]), x.dtype)
    for place in np.ndindex(*window):
        part = tuple(
            slice(k * dilation, k * dilation + (out - 1) * stride + 1, stride)
            for k, out in zip(place, sizes, strict=True)
        )
        output += x[(slice(None), *part)] @ kernel[place]
    return output


def output_sizes(
    sizes: tuple[int, ...], window: tuple[int, ...], padding: str, stride: int, dilation: int
) -> tuple[int, ...]:
    """Rows, columns and so on of what a convolution gives; not positive where none are left."""
    if padding == "same":
        return tuple(math.ceil(size / stride) for size in sizes)
    return tuple(
        (size - (k - 1) * dilation - 1) // stride + 1 for size, k in zip(sizes, window, strict=True)
    )


def sizes_left(spec: Spec, rest: tuple[int, ...]) -> tuple[int, ...]:
    """The sizes of a state of a layer for inputs of shape (batch, step, *rest)."""
    return output_sizes(rest[:-1], _window(spec), *_geometry(spec))


def convolution_lstm_weights(spec: Spec, shapes: _Shapes) -> _Shapes:
    """Kernel, recurrent kernel and bias; gates lie side by side: input, forget, cell, output."""
    channels = shapes[0][-1]
    window, filters = _window(spec), _number(spec, "filters")
    bias: _Shapes = [(4 * filters,)] if spec.get("use_bias", True) else []
    return [(*window, channels, 4 * filters), (*window, filters, 4 * filters), *bias]


def convolution_lstm_states(case: LayerCase) -> list[str]:
    """The expressions of initial states, of the shape of a step of the output."""
    return initial_states.sources(case, state_shapes(case.spec, case.tensors[0].shape))


def convolution_lstm(given: Given) -> list[np.ndarray]:
    """What the layer hands back; what masked steps give is not documented, and not compared."""
    spec, x = given.case.spec, cleared(given)[0]
    states = initial_states.given_states(given, state_shapes(spec, x.shape))
    found = run(spec, given.weights, x, given.masks[0], states)
    unsaid = initial_states.without_output(given)
    if unsaid is not None:
        rows = unsaid.reshape(-1, *[1] * (found.last.ndim - 1))
        found = dataclasses.replace(found, last=np.where(rows, x.dtype.type(np.nan), found.last))
    return found.outputs(spec)


def run(
    spec: Spec,
    weights: Sequence[np.ndarray],
    x: np.ndarray,
    mask: np.ndarray | None,
    states: Sequence[np.ndarray] | None,
) -> Reference:
    """An LSTM whose products are convolutions; masked steps are skipped, states held there.

    Inputs have shape (batch, step, *sizes, channels), with nothing in the way at masked steps;
    so have sequences, in processing order. Source: the pages of ConvLSTM1D to 3D: "similar to an
    LSTM layer, but the input transformations and recurrent transformations are both
    convolutional". States keep their shape, so that the recurrent convolution pads and has a
    stride of 1.
    """
    valid = np.ones(x.shape[:2], bool) if mask is None else mask
    if spec.get("go_backwards"):
        x, valid = x[:, ::-1], valid[:, ::-1]
    kernel, recurrent, *biases = weights
    projected = convolved(x.reshape(-1, *x.shape[2:]), kernel, *_geometry(spec))
    projected = projected.reshape(*x.shape[:2], *projected.shape[1:])
    if biases:
        projected = projected + biases[0]
    h, c = states or [np.zeros(shape, x.dtype) for shape in state_shapes(spec, x.shape)]
    act = activation(spec.get("activation", "tanh"))
    gate = activation(spec.get("recurrent_activation"), "recurrent_activation")
    outputs = []
    for step in range(x.shape[1]):
        z = projected[:, step] + convolved(h, recurrent, "same")
        i, f, candidate, o = np.split(z, 4, axis=-1)
        new = gate(f) * c + gate(i) * act(candidate)
        keep = valid[:, step].reshape(-1, *[1] * (h.ndim - 1))
        h, c = np.where(keep, gate(o) * act(new), h), np.where(keep, new, c)
        outputs.append(h)
    return Reference(np.stack(outputs, axis=1), h, [h, c])


def state_shapes(spec: Spec, shape: tuple[int, ...]) -> _Shapes:
    """The shapes of the two states for inputs of a shape."""
    return [(shape[0], *sizes_left(spec, shape[2:]), _number(spec, "filters"))] * 2


def _geometry(spec: Spec) -> tuple[str, int, int]:
    """Padding, stride and dilation of the convolution of inputs."""
    padding = str(spec.get("padding", "valid"))
    return padding, _number(spec, "strides", 1), _number(spec, "dilation_rate", 1)


def _window(spec: Spec) -> tuple[int, ...]:
    """The kernel's sizes: one number stands for all of them."""
    size = spec.get("kernel_size")
    if isinstance(size, tuple):
        return tuple(k for k in size if isinstance(k, int))
    assert isinstance(size, int)
    return (size,) * int(spec.layer.removeprefix("ConvLSTM").removesuffix("D"))


def _number(spec: Spec, name: str, default: int | None = None) -> int:
    value = spec.get(name, default)
    assert isinstance(value, int)
    return value
