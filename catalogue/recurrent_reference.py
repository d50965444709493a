"""The right answer of recurrent layers in NumPy: masks, states and order of steps included."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from catalogue import activations
from catalogue.activations import Activation
from catalogue.specs import Spec

__all__ = [
    "ACTIVATIONS",
    "Reference",
    "nest_states",
    "output_size",
    "reference",
    "state_sizes",
    "states_of_last_cell",
    "weight_shapes",
]


ACTIVATIONS = tuple(activations.ACTIVATIONS)


@dataclasses.dataclass(frozen=True)
class Reference:
    """What a recurrent layer computes, whatever it is asked to return.

    `sequence` has shape `(batch, step, units)` and is in processing order, reversed by
    `go_backwards`; `last` has shape `(batch, units)`; `states` are the flat final states
    of shape `(batch, size)`, for stacked cells cell after cell.

    Source: Keras' pages on RNN, SimpleRNN, LSTM and GRU. `zero_output_for_mask` is "only
    used when `return_sequences` is `True`", so it zeroes `sequence` and never `last`.
    """

    sequence: np.ndarray
    last: np.ndarray
    states: list[np.ndarray]

    def outputs(self, spec: Spec) -> list[np.ndarray]:
        """The flat list of arrays that a call of the layer hands back."""
        output = self.sequence if spec.get("return_sequences") else self.last
        return [output, *self.states] if spec.get("return_state") else [output]


def state_sizes(spec: Spec) -> tuple[int, ...]:
    """The size of each state, flat: `(h,)`, for LSTM `(h, c)`, for stacked cells all in order."""
    return tuple(cell.units for cell in _cells(spec) for _ in range(cell.states))


def states_of_last_cell(spec: Spec) -> int:
    """How many states the last cell has: they come last."""
    return _cells(spec)[-1].states


def output_size(spec: Spec) -> int:
    """The size of the last axis of the output."""
    return _cells(spec)[-1].units


def weight_shapes(spec: Spec, features: int) -> list[tuple[int, ...]]:
    """Shapes of the weights for inputs of `features`, in the order in which Keras has them.

    Kernel, recurrent kernel, and bias with `use_bias`, cell after cell. Gates lie side by
    side in the last axis: input, forget, cell, output (LSTM); update, reset, candidate (GRU).
    """
    shapes: list[tuple[int, ...]] = []
    for cell in _cells(spec):
        wide = cell.gates * cell.units
        shapes += [(features, wide), (cell.units, wide)]
        if cell.use_bias:
            shapes.append((2, wide) if cell.reset_after else (wide,))
        features = cell.units
    return shapes


def nest_states(spec: Spec, flat: Sequence[Any]) -> list[Any]:
    """Flat states as `initial_state` takes them: `[h]`, `[h, c]`, stacked `[[h, c], h]`.

    Stacked ones are nested as the cells' own `state_size` is, in Keras 2 and 3 alike.
    Raises ValueError for a wrong number of states.
    """
    cells = _cells(spec)
    wanted = sum(cell.states for cell in cells)
    if len(flat) != wanted:
        raise ValueError(f"{spec.layer} has {wanted} states, flat has {len(flat)}")
    rest = iter(flat)
    nested = [[next(rest) for _ in range(cell.states)] for cell in cells]
    if _stacked(spec) is None:
        return nested[0]
    return [states if len(states) > 1 else states[0] for states in nested]


def reference(
    spec: Spec,
    weights: Sequence[np.ndarray],
    inputs: np.ndarray,
    mask: np.ndarray | None = None,
    initial_states: Sequence[np.ndarray] | None = None,
    *,
    dtype: DTypeLike = np.float64,
) -> Reference:
    """Run the layer at inference, every operation in `dtype`.

    `weights` are shaped as `weight_shapes` says; `inputs` has shape
    `(batch, step, features)`, `mask` `(batch, step)`, nonzero at valid steps; `initial_states`
    are flat, zeros where None. At a masked step the states stay as they were and the output
    repeats the last one: zeros before the first valid step, whatever the initial states.
    What masked steps hold is never looked at.

    `stateful`, `unroll`, dropouts, `implementation`, `use_cudnn`, `seed` and
    `unit_forget_bias` change nothing here; for `time_major` (Keras 2) swap the first two
    axes of inputs and sequence. Raises ValueError for arrays whose shapes do not fit.
    """
    dtype = np.dtype(dtype)
    cells = _cells(spec)
    batch, steps, features = inputs.shape
    _check("weights", weights, weight_shapes(spec, features))
    if initial_states is not None:
        _check("initial_states", initial_states, [(batch, size) for size in state_sizes(spec)])
    valid = None  # of shape (step, batch, 1), in processing order, as `x` below
    if mask is not None:
        _check("mask", [mask], [(batch, steps)])
        valid = mask.astype(bool).T[:, :, None]
    x = inputs.transpose(1, 0, 2)
    if spec.get("go_backwards"):
        x = x[::-1]
        valid = None if valid is None else valid[::-1]
    if valid is not None:
        x = np.where(valid, x, 0)  # before the cast: a masked value may not fit into dtype
    x = x.astype(dtype)
    rest = iter([weight.astype(dtype) for weight in weights])
    given = iter([state.astype(dtype) for state in initial_states or ()])
    states: list[np.ndarray] = []
    for cell in cells:
        cell_states = [
            np.zeros((batch, cell.units), dtype) if initial_states is None else next(given)
            for _ in range(cell.states)
        ]
        cell_weights = [next(rest) for _ in range(3 if cell.use_bias else 2)]
        x, cell_states = _run(cell, cell_weights, x, valid, cell_states)
        states += cell_states
    if valid is not None:
        x = np.where(np.logical_or.accumulate(valid, axis=0), x, dtype.type(0))
    last = x[-1] if steps else np.zeros((batch, output_size(spec)), dtype)
    if valid is not None and spec.get("zero_output_for_mask"):
        x = np.where(valid, x, dtype.type(0))
    return Reference(x.transpose(1, 0, 2), last, states)


def _check(name: str, arrays: Sequence[np.ndarray], shapes: Sequence[tuple[int, ...]]) -> None:
    found = [array.shape for array in arrays]
    if found != list(shapes):
        raise ValueError(f"{name} must have the shapes {list(shapes)}, found {found}")


# -- cells -----------------------------------------------------------------------------------


def _activation(spec: Spec, argument: str, default: str) -> Activation:
    return activations.activation(spec.get(argument, default), argument)


@dataclasses.dataclass(frozen=True)
class _Cell:
    """One recurrent cell: its sizes and the functions that it applies."""

    kind: str
    units: int
    activation: Activation
    recurrent_activation: Activation
    use_bias: bool
    reset_after: bool  # of a GRU: the reset gate comes after the matrix product

    @property
    def gates(self) -> int:
        """How many gates lie side by side in its kernels."""
        return {"SimpleRNN": 1, "LSTM": 4, "GRU": 3}[self.kind]

    @property
    def states(self) -> int:
        """How many states it has."""
        return 2 if self.kind == "LSTM" else 1


def _stacked(spec: Spec) -> tuple[Spec, ...] | None:
    """The specs of stacked cells, or None where the layer has one cell of its own."""
    cell = spec.get("cell")
    if isinstance(cell, Spec) and cell.layer == "StackedRNNCells":
        cell = cell.get("cells")
    if not isinstance(cell, tuple):
        return None
    if not cell:
        raise ValueError(f"{spec.layer} needs at least one cell, found {cell!r}")
    return tuple(inner for inner in cell if isinstance(inner, Spec))


def _cells(spec: Spec) -> list[_Cell]:
    if spec.layer != "RNN":
        if spec.layer not in ("SimpleRNN", "LSTM", "GRU"):
            raise ValueError(f"layer={spec.layer!r} has no reference among recurrent layers")
        return [_cell(spec, spec.layer)]
    specs = _stacked(spec) or (spec.get("cell"),)
    cells = []
    for cell in specs:
        if not isinstance(cell, Spec) or cell.layer not in ("SimpleRNNCell", "LSTMCell", "GRUCell"):
            raise ValueError(f"cell={cell!r} has no reference among recurrent cells")
        cells.append(_cell(cell, cell.layer.removesuffix("Cell")))
    return cells


def _cell(spec: Spec, kind: str) -> _Cell:
    units = spec.get("units")
    if not isinstance(units, int) or units < 1:
        raise ValueError(f"units={units!r} of {spec.layer} is not a positive integer")
    return _Cell(
        kind,
        units,
        _activation(spec, "activation", "tanh"),
        _activation(spec, "recurrent_activation", "sigmoid"),
        bool(spec.get("use_bias", True)),
        kind == "GRU" and bool(spec.get("reset_after", True)),
    )


def _run(
    cell: _Cell,
    weights: list[np.ndarray],
    x: np.ndarray,
    valid: np.ndarray | None,
    states: list[np.ndarray],
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Run one cell over `x` of shape `(step, batch, features)`; states are held at masked steps.

    Hands back the first state after each step (it is the cell's output) and the final states.
    """
    kernel, recurrent, *biases = weights
    outputs = np.empty((*x.shape[:2], cell.units), x.dtype)
    masked: list[np.ndarray | None] = [None] * len(x)
    if valid is not None:  # only a step that has masked rows pays for holding them
        complete = np.asarray(valid.all(axis=(1, 2)))
        masked = [None if complete[t] else ~valid[t] for t in range(len(x))]
    with np.errstate(over="ignore"):
        projected = x @ kernel
        recurrent_bias = None
        if biases:
            bias = biases[0]
            if cell.reset_after:
                bias, recurrent_bias = bias
            projected += bias
        after = functools.partial(_STEPS[cell.kind], cell, recurrent, recurrent_bias)
        for t, x_t in enumerate(projected):
            new = after(x_t, states)
            hold = masked[t]
            if hold is not None:
                for state, held in zip(new, states, strict=True):
                    np.copyto(state, held, where=hold)
            states = new
            outputs[t] = new[0]
    return outputs, states


# Each step makes new arrays: x_t is the projected input, of shape (batch, gates * units).


def _simple_rnn_step(
    cell: _Cell,
    recurrent: np.ndarray,
    recurrent_bias: np.ndarray | None,
    x_t: np.ndarray,
    states: list[np.ndarray],
) -> list[np.ndarray]:
    return [cell.activation(x_t + states[0] @ recurrent)]


def _lstm_step(
    cell: _Cell,
    recurrent: np.ndarray,
    recurrent_bias: np.ndarray | None,
    x_t: np.ndarray,
    states: list[np.ndarray],
) -> list[np.ndarray]:
    h, c = states
    units = cell.units
    z = x_t + h @ recurrent
    gates = cell.recurrent_activation(z[:, : 2 * units])  # input and forget
    candidate = cell.activation(z[:, 2 * units : 3 * units])
    c = gates[:, units:] * c + gates[:, :units] * candidate
    return [cell.recurrent_activation(z[:, 3 * units :]) * cell.activation(c), c]


def _gru_step(
    cell: _Cell,
    recurrent: np.ndarray,
    recurrent_bias: np.ndarray | None,
    x_t: np.ndarray,
    states: list[np.ndarray],
) -> list[np.ndarray]:
    (h,) = states
    two = 2 * cell.units
    inner = h @ (recurrent if cell.reset_after else recurrent[:, :two])
    if recurrent_bias is not None:
        inner += recurrent_bias
    gates = cell.recurrent_activation(x_t[:, :two] + inner[:, :two])
    z, r = gates[:, : cell.units], gates[:, cell.units :]
    # reset_after: the gate scales the product; before: it scales what is multiplied.
    reset = r * inner[:, two:] if cell.reset_after else (r * h) @ recurrent[:, two:]
    return [z * h + (1 - z) * cell.activation(x_t[:, two:] + reset)]


_STEPS: dict[str, Callable[..., list[np.ndarray]]] = {
    "SimpleRNN": _simple_rnn_step,
    "LSTM": _lstm_step,
    "GRU": _gru_step,
}
