"""Frozen, printable descriptions of layers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Union

import msgspec

from catalogue.custom_layers import CUSTOM_LAYERS

__all__ = ["Argument", "Spec"]

Argument = Union[None, bool, int, float, str, "Spec", tuple[Union["Spec", int, float, None], ...]]


class Spec(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    repr_omit_defaults=True,
    omit_defaults=True,
):
    """The class of a layer in `keras.layers` and the arguments that construct it.

    An argument may be a spec itself (the cell of an `RNN`), a tuple of specs (stacked cells)
    or of numbers (axes; None for a size that is not known). One that is a NumPy array is a spec
    of `np.array`. Arguments that are not named have the defaults that Keras documents.
    `get`, `replace` and `without` reach an argument of a layer inside by its path, such as
    `layer.units`.
    """

    layer: str
    arguments: dict[str, Argument] = {}

    @property
    def of_numpy(self) -> bool:
        """Whether this is no layer but what a function of NumPy gives."""
        return self.layer.startswith("np.")

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells two specs apart: equal for equal specs, usable as a key."""
        arguments = sorted((name, _key(value)) for name, value in self.arguments.items())
        return (self.layer, *arguments)

    def get(self, name: str, default: Argument = None) -> Argument:
        """The argument called `name`, or `default` where the spec does not name it."""
        outer, _, inner = name.partition(".")
        if not inner:
            return self.arguments.get(name, default)
        held = self.arguments.get(outer)
        return held.get(inner, default) if isinstance(held, Spec) else default

    def replace(self, **arguments: Argument) -> Spec:
        """The same layer with some arguments set otherwise.

        Raises ValueError for the path of a layer that is not there.
        """
        changed = dict(self.arguments)
        for name, value in arguments.items():
            outer, _, inner = name.partition(".")
            if not inner:
                changed[name] = value
                continue
            held = changed.get(outer)
            if not isinstance(held, Spec):
                raise ValueError(f"{name}={value!r}: {outer!r} of {self.layer} is no layer")
            changed[outer] = held.replace(**{inner: value})
        return Spec(self.layer, changed)

    def without(self, *names: str) -> Spec:
        """The same layer with some arguments left to their defaults."""
        kept = {k: v for k, v in self.arguments.items() if k not in names}
        for name in names:
            outer, _, inner = name.partition(".")
            held = kept.get(outer)
            if inner and isinstance(held, Spec):
                kept[outer] = held.without(inner)
        return Spec(self.layer, kept)

    def with_policy(self, policy: str) -> Spec:
        """The layer and the layers inside it with a dtype policy, the default one left out."""
        if policy == "float32" or self.of_numpy:
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
        if self.of_numpy:
            return f"{self.layer}({', '.join(parts)})"
        name = self.layer if self.layer in CUSTOM_LAYERS else f"{module}.{self.layer}"
        return f"{name}({', '.join(parts)})"

    def layers(self) -> Iterator[str]:
        """The classes of the layer and of those inside it, outermost first."""
        if not self.of_numpy:
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
