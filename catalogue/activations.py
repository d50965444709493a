"""Activation functions in NumPy, by the names that Keras documents."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from catalogue.specs import Argument

__all__ = ["ACTIVATIONS", "Activation", "activation", "softmax"]

Activation = Callable[[np.ndarray], np.ndarray]


def _linear(x: np.ndarray) -> np.ndarray:
    return x


def _sigmoid(x: np.ndarray) -> np.ndarray:
    # An overflow of exp gives the right limit, zero; callers keep it quiet.
    return np.asarray(1 / (1 + np.exp(-x)))


def _relu(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.maximum(x, 0))


def _softsign(x: np.ndarray) -> np.ndarray:
    return np.asarray(x / (1 + np.abs(x)))


def _elu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.logaddexp(x, x.dtype.type(0)))


def softmax(x: np.ndarray, axis: int | tuple[int, ...] = -1) -> np.ndarray:
    """The softmax along an axis, or several: -inf has no share, and -inf alone is NaN."""
    with np.errstate(invalid="ignore"):
        shares = np.exp(x - x.max(axis=axis, keepdims=True))
        return np.asarray(shares / shares.sum(axis=axis, keepdims=True))


# Each step of a sequence, and each feature of it, by itself.
ACTIVATIONS: Mapping[str, Activation] = {
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "relu": _relu,
    "linear": _linear,
    "softsign": _softsign,
    "elu": _elu,
    "softplus": _softplus,
}


def activation(name: Argument, argument: str = "activation") -> Activation:
    """The function that an argument names, None is no activation.

    Raises ValueError for a name without a reference.
    """
    if name is None:
        return _linear
    if name == "softmax":
        return softmax
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise ValueError(f"{argument}={name!r} has no reference: choose from {(*ACTIVATIONS,)}")
    return ACTIVATIONS[name]
