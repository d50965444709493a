"""The right answer in NumPy of `Bidirectional`: two recurrent layers and how they are merged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from catalogue import convlstm_reference, initial_states
from catalogue.layer_cases import Given, LayerCase
from catalogue.layer_reference import beside, cleared
from catalogue.recurrent_reference import (
    Reference,
    nest_states,
    reference,
    state_sizes,
    weight_shapes,
)
from catalogue.specs import Spec

__all__ = [
    "bidirectional",
    "bidirectional_outputs",
    "bidirectional_weights",
    "completed",
    "inner_layers",
    "inner_states",
]

_MERGED: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "concat": lambda y, z: np.concatenate([y, z], axis=-1),
    "sum": lambda y, z: y + z,
    "mul": lambda y, z: y * z,
    "ave": lambda y, z: (y + z) / 2,
}


def inner_layers(spec: Spec) -> tuple[Spec, Spec]:
    """The forward layer and the backward one.

    Source: the page of Bidirectional. Where no `backward_layer` is given, "the layer instance
    passed as the `layer` argument will be used to generate the backward layer", and the two have
    "different `go_backwards` argument values".
    """
    forward, backward = spec.get("layer"), spec.get("backward_layer")
    assert isinstance(forward, Spec)
    if backward is None:
        backward = forward.replace(go_backwards=not forward.get("go_backwards"))
    assert isinstance(backward, Spec)
    return forward, backward


def completed(spec: Spec) -> Spec:
    """The spec with a given `backward_layer` that matches `layer` in what has to match.

    It has other weights and no bias, so that the two cannot stand in for each other.
    """
    forward = spec.get("layer")
    if spec.get("backward_layer") is None or not isinstance(forward, Spec):
        return spec
    backward = forward.without("go_backwards")
    if not forward.get("go_backwards"):
        backward = backward.replace(go_backwards=True)
    if forward.layer != "RNN":
        backward = backward.replace(activation="softsign", use_bias=False)
    return spec.replace(backward_layer=backward)


def bidirectional_weights(spec: Spec, shapes: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """The weights of the forward layer, then those of the backward one."""
    return [shape for layer in inner_layers(spec) for shape in _weights(layer, shapes[0])]


def bidirectional_outputs(case: LayerCase) -> int:
    """One output, or two that are not merged; with `return_state` the states of both layers."""
    merged = 1 if case.spec.get("merge_mode", "concat") is not None else 2
    layers, shape = inner_layers(case.spec), case.tensors[0].shape
    states = sum(len(_states(layer, shape)) for layer in layers)
    return merged + (states if layers[0].get("return_state") else 0)


def inner_states(case: LayerCase) -> list[Any]:
    """The expressions of initial states: first those of the forward layer, then the others'."""
    found: list[Any] = []
    layers, shape = inner_layers(case.spec), case.tensors[0].shape
    flat = initial_states.sources(case, [one for layer in layers for one in _states(layer, shape)])
    for layer in layers:
        own = [flat.pop(0) for _ in _states(layer, shape)]
        found += own if _convolves(layer) else nest_states(layer, own)
    return found


def bidirectional(given: Given, *, mirrored: bool = False) -> list[np.ndarray] | None:
    """What both layers give, the backward one's sequence turned round, merged by `merge_mode`.

    Inputs have steps in their second axis. Source: the page of Bidirectional, and those of the
    layers inside. "When `return_sequences` is `True`, the output of the masked timestep will be
    zero regardless of the layer's original `zero_output_for_mask` value." The first half of the
    initial states goes to the forward layer, the last half to the backward one.

    Where zeros are `mirrored`, those of the backward layer stand at the masked steps of the order
    in which it did not process (no page says so: it is what unrolled layers do).
    """
    spec = given.case.spec
    layers = inner_layers(spec)
    (x,), mask = cleared(given), given.masks[0]
    sequences = bool(layers[0].get("return_sequences"))
    rest = list(given.weights)
    shapes = [_states(layer, x.shape) for layer in layers]
    states = initial_states.given_states(given, [*shapes[0], *shapes[1]])
    found: list[Reference] = []
    for layer, own in zip(layers, shapes, strict=True):
        weights = [rest.pop(0) for _ in _weights(layer, x.shape)]
        begun = None if states is None else [states.pop(0) for _ in own]
        if _convolves(layer):
            found.append(convlstm_reference.run(layer, weights, x, mask, begun))
        else:
            held = layer.without("zero_output_for_mask")
            found.append(reference(held, weights, x, mask, begun, dtype=x.dtype))
    if sequences:
        outputs = [found[0].sequence, found[1].sequence[:, ::-1]]
        if mask is not None:
            valid = mask[:, ::-1] if layers[0].get("go_backwards") else mask
            turned = [mirrored and bool(layer.get("go_backwards")) for layer in layers]
            outputs = [
                np.where(beside(valid[:, ::-1] if turn else valid, y), y, y.dtype.type(0))
                for turn, y in zip(turned, outputs, strict=True)
            ]
    else:
        unsaid = initial_states.without_output(given)
        outputs = [one.last for one in found]
        if unsaid is not None:
            outputs = [np.where(beside(unsaid, y), x.dtype.type(np.nan), y) for y in outputs]
    mode = spec.get("merge_mode", "concat")
    if mode is not None:
        outputs = [_MERGED[str(mode)](*outputs)]
    if layers[0].get("return_state"):
        outputs += [*found[0].states, *found[1].states]
    return outputs


def _convolves(layer: Spec) -> bool:
    return layer.layer.startswith("ConvLSTM")


def _weights(layer: Spec, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The shapes of a layer's weights for inputs of a shape."""
    if _convolves(layer):
        return convlstm_reference.convolution_lstm_weights(layer, [shape])
    return weight_shapes(layer, shape[-1])


def _states(layer: Spec, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The shapes of a layer's states for inputs of a shape."""
    if _convolves(layer):
        return convlstm_reference.state_shapes(layer, shape)
    return [(shape[0], size) for size in state_sizes(layer)]
