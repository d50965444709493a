"""The right answer in NumPy of `Bidirectional`: two recurrent layers and how they are merged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from catalogue import initial_states
from catalogue.layer_cases import Given, LayerCase
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
    return [shape for layer in inner_layers(spec) for shape in weight_shapes(layer, shapes[0][-1])]


def bidirectional_outputs(case: LayerCase) -> int:
    """One output, or two that are not merged; with `return_state` the states of both layers."""
    merged = 1 if case.spec.get("merge_mode", "concat") is not None else 2
    layers = inner_layers(case.spec)
    states = sum(len(state_sizes(layer)) for layer in layers)
    return merged + (states if layers[0].get("return_state") else 0)


def inner_states(case: LayerCase) -> list[Any]:
    """The expressions of initial states: first those of the forward layer, then the others'."""
    batch = case.tensors[0].shape[0]
    forward, backward = inner_layers(case.spec)
    sizes = [*state_sizes(forward), *state_sizes(backward)]
    flat = initial_states.sources(case, [(batch, size) for size in sizes])
    half = len(state_sizes(forward))
    return [*nest_states(forward, flat[:half]), *nest_states(backward, flat[half:])]


def bidirectional(given: Given) -> list[np.ndarray] | None:
    """What both layers give, the backward one's sequence turned round, merged by `merge_mode`.

    Inputs have shape (batch, step, features). Source: the page of Bidirectional, and those of the
    layers inside. "When `return_sequences` is `True`, the output of the masked timestep will be
    zero regardless of the layer's original `zero_output_for_mask` value." The first half of the
    initial states goes to the forward layer, the last half to the backward one.
    """
    spec = given.case.spec
    layers = inner_layers(spec)
    (x,), (mask,) = given.inputs, given.masks
    sequences = bool(layers[0].get("return_sequences"))
    rest = list(given.weights)
    sizes = [[(x.shape[0], size) for size in state_sizes(layer)] for layer in layers]
    states = initial_states.given_states(given, [*sizes[0], *sizes[1]])
    found: list[Reference] = []
    for layer, shapes in zip(layers, sizes, strict=True):
        count = len(weight_shapes(layer, x.shape[-1]))
        own = None if states is None else [states.pop(0) for _ in shapes]
        zeroed = layer.replace(zero_output_for_mask=sequences)
        found.append(reference(zeroed, rest[:count], x, mask, own, dtype=x.dtype))
        del rest[:count]
    if sequences:
        outputs = [found[0].sequence, found[1].sequence[:, ::-1]]
    else:
        unsaid = initial_states.without_output(given)
        outputs = [one.last for one in found]
        if unsaid is not None:
            outputs = [np.where(unsaid[:, None], x.dtype.type(np.nan), y) for y in outputs]
    mode = spec.get("merge_mode", "concat")
    if mode is not None:
        outputs = [_MERGED[str(mode)](*outputs)]
    if layers[0].get("return_state"):
        outputs += [*found[0].states, *found[1].states]
    return outputs
