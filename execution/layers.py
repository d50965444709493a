"""Live layers: built once for a spec and a shape, with the weights that a step asks for."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from catalogue import weights as drawn_weights
from catalogue.chance import by_seed, drops
from catalogue.custom_layers import CUSTOM_LAYERS
from catalogue.specs import Spec
from catalogue.steps import Build, Define
from execution.anatomy import shapes_to_call
from execution.implementation import Implementation, variable_of
from execution.results import Counters

__all__ = ["Built", "Layers"]


@dataclasses.dataclass
class Built:
    """A live layer, the seed of the weights that it holds, and what was traced of it."""

    layer: Any
    build: Build | Define
    seed: int | None = None
    started: list[tuple[Any, np.ndarray]] = dataclasses.field(default_factory=list)
    parts: list[Any] = dataclasses.field(default_factory=list)  # the layers of a chain
    traces: dict[Any, Any] = dataclasses.field(default_factory=dict)


class Layers:
    """The layers that a runner has built so far, kept until `clear`."""

    def __init__(self, implementation: Implementation, counters: Counters) -> None:
        self.implementation, self.counters = implementation, counters
        self.kept: dict[Any, Built] = {}
        self._tf = implementation.tensorflow

    def clear(self) -> None:
        """Drop all layers, and their traces with them."""
        self.kept.clear()

    def built(self, step: Build) -> Built:
        """The layer of a step, with its weights and states at the start."""
        key = (
            step.spec.key,
            step.input_shape,
            step.called,
            step.restored,
            step.another,
            step.fresh,
        )
        built = None if step.fresh else self.kept.get(key)
        if built is None:
            with self.counters.of("build"):
                layer = self._argument(step.spec)
                if step.restored:
                    layer = type(layer).from_config(layer.get_config())
                if step.called:
                    zeros = list(map(self._tf.zeros, shapes_to_call(step)))
                    layer(zeros) if step.together else layer(*zeros)
                elif step.spec.layer not in CUSTOM_LAYERS:
                    several = isinstance(step.input_shape[0], tuple)
                    layer.build(list(step.input_shape) if several else step.input_shape)
                built = Built(layer, step, started=_moved(layer, step.spec))
            self.kept[key] = built
        else:
            if step.spec.get("stateful") or step.spec.get("layer.stateful"):
                # Not by the layer's own reset, which is under test.
                for state in self._tf.nest.flatten(_states(built.layer)):
                    state.assign(self._tf.zeros(state.shape, state.dtype))
            for weight, value in built.started:  # what training moves starts afresh
                weight.assign(value)
        if step.weights is not None and built.seed != step.weights:
            with self.counters.of("set weights"):
                _set_weights(built.layer, step.weights)
            built.seed = step.weights
        return built

    def defined(self, step: Define) -> Built:
        """What the source of a step defines, with the weights of its layers."""
        key = (step.name, step.source)
        if key not in self.kept:
            self.counters.counts[f"build {step.way}"] += 1
            with self.counters.of("build"):
                names = self.implementation.defined(step.source, step.customs)
                self.kept[key] = Built(names[step.name], step, parts=names["layers"])
        built = self.kept[key]
        if built.seed != step.weights:
            with self.counters.of("set weights"):
                for place, layer in enumerate(built.parts):
                    _set_weights(layer, step.weights + place)
            built.seed = step.weights
        return built

    def _argument(self, value: Any) -> Any:
        """What a spec, or an argument of one, is in the implementation."""
        if isinstance(value, tuple):
            return [self._argument(item) for item in value]
        if isinstance(value, Spec):
            arguments = {name: self._argument(inner) for name, inner in value.arguments.items()}
            if value.of_numpy:
                return getattr(np, value.layer.removeprefix("np."))(**arguments)
            return self.implementation.layer_class(value.layer)(**arguments)
        return value


def _moved(layer: Any, spec: Spec) -> list[tuple[Any, np.ndarray]]:
    """What calls in training move, each with its value: with a seed, what it decides next too."""
    if drops(spec) and by_seed(spec):
        return [(one, np.asarray(one)) for one in layer.non_trainable_variables]
    stateful = spec.get("stateful") or spec.get("layer.stateful")
    weights = () if stateful else layer.non_trainable_weights
    return [(weight, np.asarray(weight)) for weight in weights]


def _states(layer: Any) -> list[Any]:
    """The states of a stateful layer, or of the two inside a Bidirectional."""
    parts = [getattr(layer, name, None) for name in ("forward_layer", "backward_layer")]
    return [part.states for part in parts if part is not None] or [layer.states]


def _set_weights(layer: Any, seed: int) -> None:
    # One by one, and to TensorFlow's variables: Keras' ways cost as much as a traced call.
    targets = layer.trainable_weights
    drawn = drawn_weights.drawn(seed, [tuple(weight.shape) for weight in targets])
    for weight, value in zip(targets, drawn, strict=True):
        variable_of(weight).assign(value)
