"""Frozen, printable descriptions of layers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Union

import msgspec

from catalogue.custom_layers import CUSTOM_LAYERS

__all__ = ["Argument", "Spec"]

Argument = Union[None, bool, int, float, str, "Spec", tuple[Union["Spec", int, None], ...]]


class Spec(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    repr_omit_defaults=True,
    omit_defaults=True,
):
    """The class of a layer in `keras.layers` and the arguments that construct it.

    An argument may be a spec itself (the cell of an `RNN`), a tuple of specs (stacked cells)
    or of numbers (axes; None for a size that is not known). Arguments that are not named have the
    defaults that Keras documents.
    """

    layer: str
    arguments: dict[str, Argument] = {}

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells two specs apart: equal for equal specs, usable as a key."""
        arguments = sorted((name, _key(value)) for name, value in self.arguments.items())
        return (self.layer, *arguments)

    def get(self, name: str, default: Argument = None) -> Argument:
        """The argument called `name`, or `default` where the spec does not name it."""
        return self.arguments.get(name, default)

    def replace(self, **arguments: Argument) -> Spec:
        """The same layer with some arguments set otherwise."""
        return Spec(self.layer, {**self.arguments, **arguments})

    def without(self, *names: str) -> Spec:
        """The same layer with some arguments left to their defaults."""
        return Spec(self.layer, {k: v for k, v in self.arguments.items() if k not in names})

    def with_policy(self, policy: str) -> Spec:
        """The layer and the layers inside it with a dtype policy, the default one left out."""
        if policy == "float32":
            return self
        arguments: dict[str, Argument] = {}
        for name, value in self.arguments.items():
            if isinstance(value, Spec):
                arguments[name] = value.with_policy(policy)
            elif isinstance(value, tuple) and any(isinstance(item, Spec) for item in value):
                # Stacked cells by their own name: a list of cells takes no policy.
                cells = tuple(c.with_policy(policy) for c in value if isinstance(c, Spec))
                arguments[name] = Spec("StackedRNNCells", {"cells": cells, "dtype": policy})
            else:
                arguments[name] = value
        return Spec(self.layer, {**arguments, "dtype": policy})

    def source(self, module: str = "keras.layers") -> str:
        """The Keras expression that constructs the layer."""
        parts = [f"{name}={_source(value, module)}" for name, value in self.arguments.items()]
        name = self.layer if self.layer in CUSTOM_LAYERS else f"{module}.{self.layer}"
        return f"{name}({', '.join(parts)})"

    def layers(self) -> Iterator[str]:
        """The classes of the layer and of those inside it, outermost first."""
        yield self.layer
        for value in self.arguments.values():
            for inner in value if isinstance(value, tuple) else (value,):
                if isinstance(inner, Spec):
                    yield from inner.layers()


def _key(value: Argument) -> Any:
    if isinstance(value, Spec):
        return value.key
    if isinstance(value, tuple):
        return tuple(map(_key, value))
    return repr(value)  # 1, 1.0 and True are equal, and not the same argument


def _source(value: Argument, module: str) -> str:
    if isinstance(value, Spec):
        return value.source(module)
    if isinstance(value, tuple):
        return "[" + ", ".join(_source(item, module) for item in value) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    return repr(value)
