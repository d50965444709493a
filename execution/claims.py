"""Looks whether the statements of the articles are so on an implementation, for given sizes."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from catalogue.claims import Sizes
from catalogue.ways import broadcast_shape
from execution.implementation import Implementation

__all__ = ["OBSERVATIONS", "Seen", "as_numpy", "drawn", "observation", "observe", "shaped"]

Seen = tuple[bool, str]
"""Whether a statement is so, and what happens."""

Observation = Callable[[Implementation, Sizes], Seen]
OBSERVATIONS: dict[str, Observation] = {}


def observation(function: Observation) -> Observation:
    """Enter a function as the observation of its name."""
    OBSERVATIONS[function.__name__] = function
    return function


def observe(name: str, implementation: Implementation, at: Sizes) -> Seen:
    """Look once; what raises where nothing was to raise is not so."""
    # Registered where they are defined.
    from execution import claims_of_layers, claims_of_masks  # noqa: F401, PLC0415

    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            return OBSERVATIONS[name](implementation, at)
        except Exception as error:
            return False, f"raises {type(error).__name__}"


# -- what the first article's statements are made of -----------------------------------------


def drawn(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Values from 0.5 to 2, all different."""
    return np.random.default_rng([seed, *shape]).uniform(0.5, 2, shape).astype("float32")


def _product(
    implementation: Implementation, at: Sizes, mask: tuple[int, ...], *axes: int
) -> np.ndarray | str:
    """`output * mask` run as `at` says, the mask expanded at `axes`; or what it raises."""
    tf, keras = implementation.tensorflow, implementation.keras
    shapes = (at[:3], mask)
    arrays = [drawn(shapes[0]), drawn(mask, 1)]

    def multiply(output: Any, mask: Any) -> Any:
        for axis in axes:
            mask = tf.expand_dims(mask, axis=axis)
        return output * mask

    try:
        if at.mode == "eager":
            return np.asarray(multiply(*map(tf.constant, arrays)))
        if at.mode == "symbolic":
            inputs = [keras.Input(shape[1:], batch_size=shape[0]) for shape in shapes]
            return np.asarray(keras.Model(inputs, multiply(*inputs))(arrays))
        known = at.mode == "graph, known shapes"
        signature = [
            tf.TensorSpec(shape if known else (None,) * len(shape), "float32") for shape in shapes
        ]
        return np.asarray(tf.function(multiply, input_signature=signature)(*arrays))
    except Exception as error:
        return f"raises {type(error).__name__}"


def _acts(found: np.ndarray | str, at: Sizes, mask: np.ndarray) -> Seen:
    """Whether a product is that of the output and of a mask that has been placed rightly."""
    if isinstance(found, str):
        return False, found
    if found.shape != at[:3]:
        return False, f"has another rank or shape, {_letters(found.shape, at)}"
    right = np.array_equal(found, drawn(at[:3]) * mask)
    return right, "acts as meant" if right else "acts on other axes"


def _letters(shape: tuple[int, ...], at: Sizes) -> str:
    """A shape in the letters of its sizes, where these tell it."""
    if len({*at[:3], 1}) < 4:
        return f"of {len(shape)} axes"
    named = dict(zip(at[:3], "BTF", strict=True))
    return f"({','.join(named.get(size, str(size)) for size in shape)})"


# -- ranks -----------------------------------------------------------------------------------


@observation
def misfit_refused(implementation: Implementation, at: Sizes) -> Seen:
    """A mask with one more row and two more steps than there are."""
    mask = (at.batch + 1, at.step + 2, 1)
    if broadcast_shape(at[:3], mask) is not None:
        return True, "fits, for there is one row of one step"
    found = _product(implementation, at, mask)
    return isinstance(found, str), found if isinstance(found, str) else "is accepted"


@observation
def lower_rank_refused(implementation: Implementation, at: Sizes) -> Seen:
    """A mask of features, of one axis."""
    found = _product(implementation, at, (at.features,))
    return isinstance(found, str), found if isinstance(found, str) else "is accepted"


@observation
def numpy_rules(implementation: Implementation, at: Sizes) -> Seen:
    """Each mask up to rank 3 of sizes 1, B, T, F and an alien one."""
    return as_numpy(lambda mask: _product(implementation, at, mask), at)


def as_numpy(
    apply: Callable[[tuple[int, ...]], Any],
    at: Sizes,
    least: int = 0,
    operation: Callable[[Any, Any], Any] = np.multiply,
) -> Seen:
    """Whether masks up to rank 2, applied to an output, are refused and act as NumPy's are."""
    sizes = sorted({1, *at[:3]})
    shapes: list[tuple[int, ...]] = [(), (max(sizes) + 1,)]
    shapes += [(a,) for a in sizes] + [(a, b) for a in sizes for b in sizes]
    for mask in shapes:
        if len(mask) < least:
            continue
        found = apply(mask)
        expected = broadcast_shape(at[:3], mask)
        if expected is None:
            if not isinstance(found, str):
                return False, "accepts what NumPy refuses"
        elif isinstance(found, str):
            return False, "refuses what NumPy accepts"
        elif not np.array_equal(found, operation(drawn(at[:3]), drawn(mask, 1))):
            return False, "acts on other axes than NumPy's"
    return True, "agrees with NumPy"


@observation
def steps_of_ones(implementation: Implementation, at: Sizes) -> Seen:
    """(B,T,1)."""
    mask = (at.batch, at.step, 1)
    return _acts(_product(implementation, at, mask), at, drawn(mask, 1))


@observation
def steps_plain(implementation: Implementation, at: Sizes) -> Seen:
    """(B,T), and whether it acts on batch and step."""
    mask = (at.batch, at.step)
    return _acts(_product(implementation, at, mask), at, drawn(mask, 1)[:, :, None])


@observation
def steps_accepted(implementation: Implementation, at: Sizes) -> Seen:
    """(B,T), and whether it is accepted at all."""
    found = _product(implementation, at, (at.batch, at.step))
    return not isinstance(found, str), found if isinstance(found, str) else "is accepted"


@observation
def rows_refused(implementation: Implementation, at: Sizes) -> Seen:
    """(B,1), and whether it is refused."""
    found = _product(implementation, at, (at.batch, 1))
    if isinstance(found, str):
        return True, found
    return False, _acts(found, at, drawn((at.batch, 1), 1)[:, :, None])[1]


@observation
def rows_astray(implementation: Implementation, at: Sizes) -> Seen:
    """(B,1) is refused, or acts on steps where it is more than one number."""
    found = _product(implementation, at, (at.batch, 1))
    if isinstance(found, str) or at.batch == 1:
        return True, "raises, or is one number"
    right, what = _acts(found, at, drawn((at.batch, 1), 1)[:, :, None])
    return not right, what


@observation
def rows_value_error(implementation: Implementation, at: Sizes) -> Seen:
    """(B,1), and the class of what it raises."""
    found = _product(implementation, at, (at.batch, 1))
    what = found if isinstance(found, str) else "raises nothing"
    return what == "raises ValueError", what


@observation
def rank_is_why(implementation: Implementation, at: Sizes) -> Seen:
    """Another mask of rank 2, (T,F), would raise too."""
    return lower_rank_refused(implementation, at)


@observation
def symbols_numpy(implementation: Implementation, at: Sizes) -> Seen:
    """The operator on symbolic tensors whose batch is known."""
    at = at._replace(mode="symbolic")
    return as_numpy(lambda mask: _product(implementation, at, mask), at, least=1)


@observation
def merging_numpy(implementation: Implementation, at: Sizes) -> Seen:
    """`keras.layers.Multiply` on masks up to rank 2."""

    def multiply(mask: tuple[int, ...]) -> Any:
        arrays = [implementation.tensorflow.constant(drawn(at[:3])), drawn(mask, 1)]
        arrays[1] = implementation.tensorflow.constant(arrays[1])
        try:
            return np.asarray(implementation.keras.layers.Multiply()(arrays))
        except Exception as error:
            return f"raises {type(error).__name__}"

    return as_numpy(multiply, at, least=1)


@observation
def first_output(implementation: Implementation, at: Sizes) -> Seen:
    """A subclassed model of SimpleRNN and TimeDistributed(Dense(F))."""
    keras = implementation.keras

    class Model(keras.Model):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.rnn = keras.layers.SimpleRNN(5, return_sequences=True)
            self.head = keras.layers.TimeDistributed(keras.layers.Dense(at.features))

        def call(self, inputs: Any) -> Any:
            return self.head(self.rnn(inputs))

    inputs = implementation.tensorflow.constant(drawn((at.batch, at.step, 6)))
    shape = tuple(Model()(inputs).shape)
    return shape == at[:3], f"has the shape {_letters(shape, at)}"


def shaped(found: np.ndarray | str, at: Sizes) -> Seen:
    """Whether a result has the shape (B,T,F) of the sizes."""
    if isinstance(found, str):
        return False, found
    return found.shape == at[:3], f"has the shape {_letters(found.shape, at)}"


@observation
def ones_shape(implementation: Implementation, at: Sizes) -> Seen:
    """(B,T,1)."""
    return shaped(_product(implementation, at, (at.batch, at.step, 1)), at)


@observation
def expanded_shape(implementation: Implementation, at: Sizes) -> Seen:
    """(B,T), expanded at the last axis."""
    return shaped(_product(implementation, at, (at.batch, at.step), -1), at)


@observation
def expanded_same(implementation: Implementation, at: Sizes) -> Seen:
    """(B,T), expanded at the last axis, acts on batch and step."""
    mask = (at.batch, at.step)
    return _acts(_product(implementation, at, mask, -1), at, drawn(mask, 1)[:, :, None])


@observation
def trailing_ones(implementation: Implementation, at: Sizes) -> Seen:
    """(B,), (B,T) with as many axes behind as are missing."""
    row = (at.batch,)
    rows = _acts(_product(implementation, at, row, -1, -1), at, drawn(row, 1)[:, None, None])
    return rows if not rows[0] else expanded_same(implementation, at)


@observation
def global_ones(implementation: Implementation, at: Sizes) -> Seen:
    """(B,1,1)."""
    mask = (at.batch, 1, 1)
    return _acts(_product(implementation, at, mask), at, drawn(mask, 1))


@observation
def global_shape(implementation: Implementation, at: Sizes) -> Seen:
    """(B,1,1)."""
    return shaped(_product(implementation, at, (at.batch, 1, 1)), at)


@observation
def global_rows(implementation: Implementation, at: Sizes) -> Seen:
    """(B,1), and whether it acts on the batch."""
    mask = (at.batch, 1)
    return _acts(_product(implementation, at, mask), at, drawn(mask, 1)[:, :, None])


@observation
def expand_list(implementation: Implementation, at: Sizes) -> Seen:
    """`tf.expand_dims(mask, axis=[1, 2])` of a mask of shape (B,1)."""
    tf = implementation.tensorflow
    found = tf.expand_dims(tf.constant(drawn((at.batch, 1))), axis=[1, 2])
    return tuple(found.shape) == (at.batch, 1, 1), f"has the shape {tuple(found.shape)}"


@observation
def twice_expanded(implementation: Implementation, at: Sizes) -> Seen:
    """(B,1), expanded twice at axis 1."""
    tf = implementation.tensorflow
    mask = tf.constant(drawn((at.batch, 1)))
    found = tf.expand_dims(tf.expand_dims(mask, axis=1), axis=1)
    return tuple(found.shape) == (at.batch, 1, 1), "has the shape (B,1,1,1)"


@observation
def twice_expanded_same(implementation: Implementation, at: Sizes) -> Seen:
    """(B,1), expanded twice at axis 1, and the product."""
    mask = (at.batch, 1)
    return _acts(_product(implementation, at, mask, 1, 1), at, drawn(mask, 1)[:, :, None])


@observation
def full_shape(implementation: Implementation, at: Sizes) -> Seen:
    """(B,T,F)."""
    return _acts(_product(implementation, at, at[:3]), at, drawn(at[:3], 1))


@observation
def trailing_one(implementation: Implementation, at: Sizes) -> Seen:
    """(B,1) has a last size of 1."""
    refused, what = rows_refused(implementation, at)
    return not refused, what


@observation
def steps_necessary(implementation: Implementation, at: Sizes) -> Seen:
    """(T,1) masks steps too, alike in all rows."""
    mask = (at.step, 1)
    right, what = _acts(_product(implementation, at, mask), at, drawn(mask, 1)[None])
    return not right, f"a mask of shape (T,1) {what}"
