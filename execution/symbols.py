"""Symbolic tensors, and models that are made of them, saved and loaded."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from catalogue.steps import Build, Define, File
from execution.anatomy import pattern_of
from execution.implementation import Implementation

__all__ = ["cloned", "cut", "handed_on", "saved_and_loaded", "symbolic_inputs"]


def symbolic_inputs(
    implementation: Implementation,
    values: Sequence[np.ndarray],
    roles: Sequence[bool],
    build: Build | Define,
) -> list[Any]:
    """A `keras.Input` for each array, of unknown sizes where the layer was built for such."""
    found = []
    for value, timed in zip(values, roles, strict=True):
        rows, *sample = pattern_of(value, timed, build)
        found.append(
            implementation.keras.Input(shape=tuple(sample), batch_size=rows, dtype=value.dtype.name)
        )
    return found


def handed_on(implementation: Implementation, inputs: list[Any]) -> list[Any]:
    """Intermediate tensors of the same shapes and dtypes, each behind a layer that hands it on."""
    layers = implementation.keras.layers
    return [layers.Activation("linear", dtype=one.dtype)(one) for one in inputs]


def cut(implementation: Implementation, inputs: list[Any], outputs: list[Any]) -> Any:
    """The Functional model from these symbolic tensors, which need be no inputs."""
    return implementation.keras.Model(inputs, outputs)


def cloned(implementation: Implementation, inputs: list[Any], outputs: list[Any]) -> Any:
    """A clone of the Functional model of these symbolic tensors, with its weights."""
    keras = implementation.keras
    model = keras.Model(inputs, outputs)
    with keras.utils.custom_object_scope(implementation.custom_layers):
        clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    return clone


def saved_and_loaded(
    implementation: Implementation, inputs: list[Any], outputs: list[Any], file: File
) -> Any:
    """The Functional model of these symbolic tensors, saved in such a file and loaded."""
    keras = implementation.keras
    model = keras.Model(inputs, outputs)
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/model.{file}"
        model.save(path)
        with keras.utils.custom_object_scope(implementation.custom_layers):
            return keras.models.load_model(path)
