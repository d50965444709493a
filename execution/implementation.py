"""The Keras under test: which one is installed, and the names that a test may override in it."""

from __future__ import annotations

import dataclasses
import functools
import gc
import importlib
import importlib.metadata
import importlib.util
import logging
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packaging.version import Version

from catalogue.custom_layers import CUSTOM_LAYERS
from execution import environment

__all__ = [
    "OLDEST_TENSORFLOW",
    "Implementation",
    "ImplementationMissing",
    "Installed",
    "installed",
    "variable_of",
]

OLDEST_TENSORFLOW = Version("2.12")
_TENSORFLOW_NAMES = ("tensorflow", "tensorflow-cpu", "tf-nightly", "tensorflow-macos")


class ImplementationMissing(Exception):
    """The implementation that was asked for is not installed, or is too old."""


@dataclasses.dataclass(frozen=True)
class Installed:
    """Name and versions of an installed implementation, found without importing it."""

    name: str
    keras: str
    tensorflow: str
    distribution: str = "tensorflow"

    @property
    def keras_major(self) -> int:
        """2 or 3: what the documentation that applies is written for."""
        return Version(self.keras).major

    def __str__(self) -> str:
        return f"{self.name} {self.keras} on TensorFlow {self.tensorflow}"


def installed(name: str = "keras") -> Installed:
    """What is installed under `name` (`keras` or `tf_keras`).

    Raises ImplementationMissing with one sentence where it, or TensorFlow, is missing or
    too old. Nothing is imported.
    """
    if name not in ("keras", "tf_keras"):
        raise ImplementationMissing(f"unknown implementation {name!r}: choose keras or tf_keras")
    there = {each: _version(each) for each in _TENSORFLOW_NAMES}
    distribution, tensorflow = next(
        ((each, version) for each, version in there.items() if version), ("", None)
    )
    if tensorflow is None:
        raise ImplementationMissing(
            "TensorFlow is not installed: run `pip install -r requirements.txt`"
        )
    if Version(tensorflow).release < OLDEST_TENSORFLOW.release:
        raise ImplementationMissing(
            f"TensorFlow {tensorflow} is too old: {OLDEST_TENSORFLOW} is the oldest supported"
        )
    # A checkout on the path comes before what is installed, which then tells another version.
    keras = _written(name) or _version(name.replace("_", "-"))
    if keras is None:
        raise ImplementationMissing(f"{name} is not installed beside TensorFlow {tensorflow}")
    return Installed(name, keras, tensorflow, distribution)


def _written(name: str) -> str | None:
    """The version that the package which would be imported says of itself in its source."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        return None
    package = Path(spec.origin).parent
    for path in (package / "src" / "version.py", package / "__init__.py"):
        if path.is_file():
            said = re.search(r"""^__version__ = ["'](.+)["']""", path.read_text("utf-8"), re.M)
            if said:
                return said[1]
    return None


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


class Implementation:
    """A Keras as a namespace: its layers by name, some of them overridden perhaps.

    `overrides` maps names of `keras.layers` to classes, ways to multiply to functions of two
    tensors, and `pad_sequences` to another; the suite's own tests plant defects through it.
    """

    def __init__(self, found: Installed, overrides: Mapping[str, Any] | None = None) -> None:
        self.installed = found
        self.overrides = dict(overrides or {})
        self._made: dict[str, Any] = {}
        environment.prepare()
        with warnings.catch_warnings(), environment.quiet():
            warnings.simplefilter("ignore")  # what third parties deprecate is not our finding
            self.tensorflow = importlib.import_module("tensorflow")
            self.keras = importlib.import_module(found.name)
        # The variable for this is read by CUDA's libraries, this by TensorFlow's own kernels.
        self.tensorflow.config.experimental.enable_tensor_float_32_execution(False)
        self.tensorflow.get_logger().setLevel(logging.ERROR)
        logging.getLogger("absl").setLevel(logging.ERROR)
        _settle()

    @property
    def keras_major(self) -> int:
        """2 or 3."""
        return self.installed.keras_major

    @property
    def pad_sequences(self) -> Any:
        """The function that `keras.utils` has under this name, or an override."""
        return self.overrides.get("pad_sequences", self.keras.utils.pad_sequences)

    def clear_session(self) -> None:
        """Have Keras forget its names and state; what layers and graphs held is collected, once."""
        self.keras.backend.clear_session()
        if self.keras_major == 2:  # Keras 3 collects by itself
            gc.collect()

    def layer_class(self, name: str) -> Any:
        """The class that `keras.layers` (or an override) has under this name."""
        if name in self.overrides:
            return self.overrides[name]
        if name in CUSTOM_LAYERS:
            return self._custom(name)
        return getattr(self.keras.layers, name)

    def defined(self, source: str, customs: tuple[str, ...]) -> dict[str, Any]:
        """What code of ours defines that builds a model; overridden layers stand in for Keras'."""
        names = self._names("chain")
        names |= {name: self.layer_class(name) for name in customs}
        exec(source, names)  # our own text only
        return names

    @property
    def custom_layers(self) -> dict[str, Any]:
        """The layers that are not Keras' own, and those that were overridden, by name."""
        return {**{name: self._custom(name) for name in CUSTOM_LAYERS}, **self.overrides}

    def _names(self, module: str) -> dict[str, Any]:
        """What our own text sees: Keras, with overridden layers in place of its own."""
        layers = _Overridden(self.keras.layers, **self.overrides)
        keras = _Overridden(self.keras, layers=layers) if self.overrides else self.keras
        return {"keras": keras, "tf": self.tensorflow, "__name__": module}

    def _custom(self, name: str) -> Any:
        """A layer that is not Keras' own, made once: other classes would be other layers."""
        if name not in self._made:
            names = self._names("custom_layers")
            exec(CUSTOM_LAYERS[name], names)  # our own text only
            self._made[name] = names[name]
        return self._made[name]


class _Overridden:
    """A namespace with some of its names standing for something else."""

    def __init__(self, real: Any, **names: Any) -> None:
        self._real = real
        self.__dict__.update(names)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@functools.cache
def _settle() -> None:
    """Keep what is imported out of the collector's sight, once.

    Keras and TensorFlow are three hundred thousand objects that stay; looking at them costs 0.3
    seconds each time that layers are dropped.
    """
    gc.collect()
    gc.freeze()


def variable_of(weight: Any) -> Any:
    """The variable of TensorFlow behind a weight, which Keras 3 wraps and Keras 2 does not."""
    return weight.value if hasattr(weight, "value") and not callable(weight.value) else weight
