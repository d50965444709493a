"""Plain operations between the layers of a chain: no layers, so that no mask goes through them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

import numpy as np

from catalogue.contracts import dropped
from catalogue.layer_cases import LayerEntry

__all__ = ["HELPER", "OPERATIONS", "Operation"]

HELPER = 'ops = getattr(keras, "ops", tf)  # of TensorFlow in Keras 2, which has none of its own'


@dataclasses.dataclass(frozen=True)
class Operation:
    """An expression over a tensor `x`, as a user writes it.

    `values` is the same in NumPy, `features` says how many features come out of so many. The
    dtype that comes out is the one that goes in, but for a cast to `dtype`.
    """

    source: str
    values: Callable[[np.ndarray], np.ndarray]
    features: Callable[[int], int] = lambda features: features
    dtype: str = ""

    def applied(self, tensor: str) -> str:
        """The expression over a tensor of this name."""
        return re.sub(r"\bx\b", tensor, self.source)

    @property
    def entry(self) -> LayerEntry:
        """What is documented of it: values; the guide says that Keras knows masks in layers."""
        return LayerEntry(
            self.source,
            "ops",
            dropped,
            lambda given: self.values(given.inputs[0]),
            isolates=False,
        )


OPERATIONS: dict[str, Operation] = {
    one.source: one
    for one in (
        Operation("x * 2", lambda x: np.asarray(x * 2)),
        Operation("x[:, :2]", lambda x: x[:, :2]),
        Operation("x[..., :1]", lambda x: x[..., :1], lambda features: 1),
        Operation("ops.tanh(x)", np.tanh),
        Operation("ops.cast(x, 'float64')", lambda x: x, dtype="float64"),
        Operation("ops.cast(x, 'float32')", lambda x: x, dtype="float32"),
    )
}
"""By the name that they have as a node's spec, which is their source."""
