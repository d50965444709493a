"""The reference of recurrent layers, against numbers worked by hand and against unmasked Keras."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from catalogue.recurrent_reference import (
    ACTIVATIONS,
    Reference,
    nest_states,
    output_size,
    reference,
    state_sizes,
    weight_shapes,
)
from catalogue.specs import Argument, Spec
from catalogue.weights import drawn
from execution.implementation import Implementation, installed

LINEAR: dict[str, Argument] = {
    "units": 1,
    "activation": "linear",
    "recurrent_activation": "linear",
    "return_sequences": True,
    "return_state": True,
}
# With a kernel and a recurrent kernel of 1 and no bias, the output is the running sum.
SUM = Spec("SimpleRNN", {"units": 1, "activation": None, "use_bias": False})
ONES = [np.ones((1, 1)), np.ones((1, 1))]

LSTM_AND_SIMPLE = (Spec("LSTMCell", {"units": 3}), Spec("SimpleRNNCell", {"units": 2}))
GRU_AND_LSTM = (
    Spec("GRUCell", {"units": 2, "reset_after": False}),
    Spec("LSTMCell", {"units": 4, "use_bias": False}),
)
LAYERS = [
    Spec("SimpleRNN", {"units": 4}),
    Spec("LSTM", {"units": 4}),
    Spec("GRU", {"units": 4}),
    Spec("GRU", {"units": 4, "reset_after": False}),
    Spec("RNN", {"cell": Spec("SimpleRNNCell", {"units": 4})}),
    Spec("RNN", {"cell": Spec("LSTMCell", {"units": 4})}),
    Spec("RNN", {"cell": Spec("GRUCell", {"units": 4})}),
    Spec("RNN", {"cell": LSTM_AND_SIMPLE}),
    Spec("RNN", {"cell": Spec("StackedRNNCells", {"cells": GRU_AND_LSTM})}),
]
ARGUMENTS = [
    *[Spec("SimpleRNN", {"units": 3, "activation": name}) for name in ACTIVATIONS],
    Spec("SimpleRNN", {"units": 3, "activation": None, "use_bias": False}),
    Spec("SimpleRNN", {"units": 3, "unroll": True, "zero_output_for_mask": True}),
    Spec("LSTM", {"units": 3, "use_bias": False, "unit_forget_bias": False}),
    Spec("LSTM", {"units": 3, "activation": "softsign", "recurrent_activation": "relu"}),
    Spec("LSTM", {"units": 1, "stateful": True}),
    Spec("GRU", {"units": 3, "use_bias": False}),
    Spec("GRU", {"units": 3, "use_bias": False, "reset_after": False}),
    Spec("GRU", {"units": 3, "activation": "elu", "recurrent_activation": "softsign"}),
    Spec("GRU", {"units": 1, "dropout": 0.5, "recurrent_dropout": 0.5}),
    Spec("RNN", {"cell": (Spec("GRUCell", {"units": 2}),)}),
]
# Valid everywhere, right, left, in gaps, at one step, nowhere.
MASK = np.array(
    [[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 0, 1], [0, 1, 0, 0], [0] * 4], bool
)


def run_sum(values: list[float], mask: str, state: float = 0, **arguments: Argument) -> Reference:
    """The running sum over one row of values, with its mask as zeros and ones."""
    inputs = np.array(values)[None, :, None]
    valid = np.array([[step == "1" for step in mask]])
    return reference(SUM.replace(**arguments), ONES, inputs, valid, [np.array([[state]])])


def steps(found: Reference) -> list[float]:
    """The sequence of a batch of one row and one unit."""
    (row,) = found.sequence[:, :, 0].tolist()
    return list(row)


def noise(*shape: int, seed: int = 7) -> np.ndarray:
    """Numbers between -1 and 1."""
    return np.random.default_rng(seed).uniform(-1, 1, shape)


def arrays(found: Reference) -> list[np.ndarray]:
    """All that a reference holds."""
    return [found.sequence, found.last, *found.states]


def named(spec: Spec) -> str:
    """The spec as a test's identity."""
    return spec.source("layers").replace("layers.", "").replace(" ", "")


# -- numbers worked by hand ------------------------------------------------------------------


def test_repeats_the_output_at_masked_steps() -> None:
    """At a masked step the output repeats the last one and the state stays as it was."""
    found = run_sum([1, 2, 99, 4], "1101")
    assert steps(found) == [1, 3, 3, 7]
    assert found.last.tolist() == [[7]]
    assert found.states[0].tolist() == [[7]]


def test_is_zero_before_the_first_valid_step() -> None:
    """Before the first valid step the output is zero, whatever the initial state."""
    found = run_sum([99, 1, 2, 99], "0110", state=10)
    assert steps(found) == [0, 11, 13, 13]
    assert found.last.tolist() == found.states[0].tolist() == [[13]]


def test_zeroes_the_sequence_and_not_the_last_output() -> None:
    """With `zero_output_for_mask` masked steps of the sequence are zero, the last output held."""
    found = run_sum([1, 99, 2, 99], "1010", zero_output_for_mask=True)
    assert steps(found) == [1, 0, 3, 0]
    assert found.last.tolist() == found.states[0].tolist() == [[3]]


def test_ends_a_fully_masked_row_in_its_initial_state() -> None:
    """A fully masked row puts out zeros and ends in its initial state."""
    found = run_sum([99, 99], "00", state=10)
    assert steps(found) == [0, 0]
    assert found.last.tolist() == [[0]]
    assert found.states[0].tolist() == [[10]]


def test_processes_backwards() -> None:
    """With `go_backwards` the last step is processed, and put out, first."""
    assert steps(run_sum([1, 2, 99], "110", state=10, go_backwards=True)) == [0, 12, 13]


def test_ends_no_steps_in_the_initial_state() -> None:
    """A sequence of no steps puts out zeros and ends in its initial state."""
    found = run_sum([], "", state=10)
    assert found.sequence.shape == (1, 0, 1)
    assert found.last.tolist() == [[0]]
    assert found.states[0].tolist() == [[10]]


def test_computes_an_lstm_worked_by_hand() -> None:
    """The gates of an LSTM lie in the order input, forget, cell, output."""
    # i = x, f = 0.5, g = 2x + h, o = 3x.      x = 1: c = 1*2           =  2, h = 3*2  = 6
    # x = 2: c = 0.5*2 + 2*(4 + 6) = 21, h = 6*21 = 126
    weights = [np.array([[1, 0, 2, 3]]), np.array([[0, 0, 1, 0]]), np.array([0, 0.5, 0, 0])]
    inputs = np.array([[[1], [99], [2]]])
    found = reference(Spec("LSTM", LINEAR), weights, inputs, np.array([[1, 0, 1]]))
    assert steps(found) == [6, 6, 126]
    assert [state.tolist() for state in found.states] == [[[126]], [[21]]]


def test_computes_an_lstm_with_its_documented_activations() -> None:
    """An LSTM applies sigmoid to its gates and tanh to its candidate and its cell by default."""
    # All gates 0.5, the candidate tanh(ln(3)/2) = 0.5: c = 0.25, then 0.375;
    # h = 0.5 * tanh(0.375), and tanh(0.375) = 0.3583574.
    weights = [np.zeros((1, 4)), np.zeros((1, 4)), np.array([0, 0, np.log(3) / 2, 0])]
    found = reference(Spec("LSTM", {"units": 1}), weights, np.zeros((1, 2, 1)))
    np.testing.assert_allclose(found.states[1], [[0.375]], rtol=1e-12)
    np.testing.assert_allclose(found.last, [[0.1791787]], rtol=1e-6)


def test_computes_a_gru_worked_by_hand() -> None:
    """The gates of a GRU lie in the order update, reset, candidate, with two biases each."""
    # z = 0.25, r = 2, candidate = x + r*(h + 1), h = z*h + (1 - z)*candidate.
    # x = 1: candidate = 1 + 2*1    = 3,   h =              0.75*3   = 2.25
    # x = 2: candidate = 2 + 2*3.25 = 8.5, h = 0.25*2.25 + 0.75*8.5 = 6.9375
    biases = np.array([[0.25, 1.5, 0], [0, 0.5, 1]])
    weights = [np.array([[0, 0, 1]]), np.array([[0, 0, 1]]), biases]
    found = reference(Spec("GRU", LINEAR), weights, np.array([[[1], [2]]]))
    assert steps(found) == [2.25, 6.9375]


def test_computes_a_gru_that_resets_before_worked_by_hand() -> None:
    """Without `reset_after` the reset gate scales the state before the matrix product."""
    # z = 0.25, r = (2, 0); the recurrent kernel of the candidate swaps the two units, so
    # candidate = x + (r1*h1, r0*h0) = x + (0, 2*h0); after the product it were (2*h1, 0).
    # x = 1: candidate = (1, 1), h = (0.75, 0.75)
    # x = 2: candidate = (2, 3.5), h = 0.25*0.75 + 0.75*candidate = (1.6875, 2.8125)
    kernel = np.array([[0, 0, 0, 0, 1, 1]])
    recurrent = np.array([[0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 1, 0]])
    bias = np.array([0.25, 0.25, 2, 0, 0, 0])
    spec = Spec("GRU", {**LINEAR, "units": 2, "reset_after": False})
    found = reference(spec, [kernel, recurrent, bias], np.array([[[1], [2]]]))
    assert found.sequence.tolist() == [[[0.75, 0.75], [1.6875, 2.8125]]]


def test_stacks_cells() -> None:
    """The second of two stacked cells reads the output of the first."""
    # Sums 1, 3, 6 and sums of these, with the initial states 0 and 10: 11, 14, 20.
    cell = Spec("SimpleRNNCell", dict(SUM.arguments))
    inputs = np.array([[[1], [2], [99], [3]]])
    initial = [np.array([[0]]), np.array([[10]])]
    mask = np.array([[1, 1, 0, 1]])
    found = reference(Spec("RNN", {"cell": (cell, cell)}), [*ONES, *ONES], inputs, mask, initial)
    assert steps(found) == [11, 14, 14, 20]
    assert [state.tolist() for state in found.states] == [[[6]], [[20]]]


def test_hands_back_what_is_asked_for() -> None:
    """`outputs` holds the sequence or the last output, and the states where asked for."""
    found = run_sum([1, 2], "11")
    assert [a.shape for a in found.outputs(SUM)] == [(1, 1)]
    assert [a.shape for a in found.outputs(SUM.replace(return_sequences=True))] == [(1, 2, 1)]
    assert [a.shape for a in found.outputs(SUM.replace(return_state=True))] == [(1, 1), (1, 1)]


@pytest.mark.parametrize(
    ("name", "at_minus_one", "at_one"),
    [
        ("tanh", -0.76159416, 0.76159416),
        ("sigmoid", 0.26894142, 0.73105858),
        ("relu", 0, 1),
        ("linear", -1, 1),
        (None, -1, 1),
        ("softsign", -0.5, 0.5),
        ("elu", -0.63212056, 1),
        ("softplus", 0.31326169, 1.31326169),
    ],
)
def test_applies_activations(name: str | None, at_minus_one: float, at_one: float) -> None:
    """Every activation has its textbook values at -1 and 1."""
    spec = SUM.replace(activation=name)
    found = reference(spec, ONES, np.array([[[-1]], [[1]]]))
    np.testing.assert_allclose(found.last[:, 0], [at_minus_one, at_one], rtol=1e-7)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_keeps_activations_finite(name: str, dtype: str) -> None:
    """Large arguments of either sign neither overflow nor warn."""
    spec = SUM.replace(activation=name)
    found = reference(spec, ONES, np.array([[[-3e4]], [[3e4]]]), dtype=dtype)
    assert np.isfinite(found.last).all()


# -- what holds for every layer --------------------------------------------------------------


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("spec", LAYERS, ids=named)
def test_gives_masked_rows_what_their_valid_steps_give(spec: Spec, backwards: bool) -> None:
    """A row with masked steps ends as the row of its valid steps alone does."""
    spec = spec.replace(go_backwards=backwards)
    weights = drawn(1, weight_shapes(spec, 3))
    inputs = noise(*MASK.shape, 3)
    initial = [noise(len(MASK), size, seed=size) for size in state_sizes(spec)]
    whole = reference(spec, weights, inputs, MASK, initial)
    for row, valid in enumerate(MASK):
        one = slice(row, row + 1)
        alone = reference(spec, weights, inputs[one, valid], None, [s[one] for s in initial])
        order = valid[::-1] if backwards else valid
        np.testing.assert_allclose(whole.sequence[one, order], alone.sequence, atol=1e-12)
        np.testing.assert_allclose(whole.last[one], alone.last, atol=1e-12)
        for state, wanted in zip(whole.states, alone.states, strict=True):
            np.testing.assert_allclose(state[one], wanted, atol=1e-12)


@pytest.mark.parametrize("content", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("spec", LAYERS, ids=named)
def test_never_looks_at_masked_steps(spec: Spec, dtype: str, content: float) -> None:
    """What masked steps hold changes no bit, warns of nothing, and all stays in the dtype."""
    weights = drawn(1, weight_shapes(spec, 3))
    inputs = np.where(MASK[:, :, None], noise(*MASK.shape, 3), content).astype("float32")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = arrays(reference(spec, weights, inputs, MASK, dtype=dtype))
    inputs[~MASK] = 0
    clean = arrays(reference(spec, weights, inputs, MASK, dtype=dtype))
    for array, wanted in zip(found, clean, strict=True):
        assert array.dtype == dtype
        assert array.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("spec", LAYERS, ids=named)
def test_takes_masks_of_any_dtype(spec: Spec) -> None:
    """Integer and float masks mean what bool masks mean."""
    weights = drawn(1, weight_shapes(spec, 3))
    inputs = noise(*MASK.shape, 3)
    wanted = arrays(reference(spec, weights, inputs, MASK))
    for dtype in ("int32", "float32"):
        found = arrays(reference(spec, weights, inputs, MASK.astype(dtype)))
        assert all(map(np.array_equal, found, wanted))


@pytest.mark.parametrize("spec", LAYERS, ids=named)
def test_takes_an_all_valid_mask_for_none(spec: Spec) -> None:
    """A mask that is True everywhere changes nothing, `zero_output_for_mask` or not."""
    weights = drawn(1, weight_shapes(spec, 3))
    inputs = noise(*MASK.shape, 3)
    wanted = arrays(reference(spec, weights, inputs))
    zeroing = spec.replace(zero_output_for_mask=True)
    found = arrays(reference(zeroing, weights, inputs, np.ones_like(MASK)))
    assert all(map(np.array_equal, found, wanted))


# -- against unmasked Keras ------------------------------------------------------------------


@pytest.fixture(scope="module")
def implementation() -> Implementation:
    """The Keras that is installed."""
    return Implementation(installed())


def live(implementation: Implementation, value: Argument) -> Any:
    """The Keras layer, or cell, or list of cells, that an argument of a spec describes."""
    if isinstance(value, tuple):
        return [live(implementation, item) for item in value]
    if not isinstance(value, Spec):
        return value
    arguments = {name: live(implementation, inner) for name, inner in value.arguments.items()}
    return implementation.layer_class(value.layer)(**arguments)


@pytest.mark.parametrize("given", [False, True], ids=["zeros", "initial_state"])
@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("spec", [*LAYERS, *ARGUMENTS], ids=named)
def test_equals_unmasked_keras(
    spec: Spec, backwards: bool, given: bool, implementation: Implementation
) -> None:
    """Sequence, states and shapes of weights are those of Keras where nothing is masked."""
    batch, max_len, features = 5, 4, 3
    spec = spec.replace(go_backwards=backwards, return_sequences=True, return_state=True)
    shapes = weight_shapes(spec, features)
    weights = drawn(3, shapes)
    inputs = noise(batch, max_len, features).astype("float32")
    layer = live(implementation, spec)
    layer.build((batch, max_len, features))
    assert [tuple(weight.shape) for weight in layer.get_weights()][: len(shapes)] == shapes
    layer.set_weights([*weights, *layer.get_weights()[len(shapes) :]])
    tf = implementation.tensorflow
    kwargs: dict[str, Any] = {}
    initial = None
    if given:
        initial = [noise(batch, size).astype("float32") for size in state_sizes(spec)]
        kwargs["initial_state"] = nest_states(spec, [tf.constant(state) for state in initial])
    found = [np.asarray(tensor) for tensor in tf.nest.flatten(layer(inputs, **kwargs))]
    expected = reference(spec, weights, inputs, None, initial, dtype="float32").outputs(spec)
    assert expected[0].shape == (batch, max_len, output_size(spec))
    for array, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(array, wanted, rtol=1e-5, atol=1e-6)


# -- shapes, nesting, bad input --------------------------------------------------------------


def test_nests_states_as_initial_state_takes_them() -> None:
    """States of one cell are a list, stacked cells nest those of a cell with several."""
    stacked = Spec("RNN", {"cell": LSTM_AND_SIMPLE})
    assert state_sizes(stacked) == (3, 3, 2)
    assert output_size(stacked) == 2
    assert nest_states(stacked, ["h", "c", "h"]) == [["h", "c"], "h"]
    assert nest_states(Spec("RNN", {"cell": LSTM_AND_SIMPLE[:1]}), ["h", "c"]) == [["h", "c"]]
    assert nest_states(Spec("LSTM", {"units": 1}), ["h", "c"]) == ["h", "c"]
    assert nest_states(Spec("GRU", {"units": 1}), ["h"]) == ["h"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (Spec("Dense", {"units": 1}), "layer='Dense'"),
        (Spec("LSTM", {"units": 0}), "units=0"),
        (Spec("GRU", {"units": 1, "activation": "swoosh"}), "activation='swoosh'"),
        (Spec("RNN", {"cell": Spec("Dense", {"units": 1})}), "cell=Spec"),
        (Spec("RNN"), "cell=None"),
        (Spec("RNN", {"cell": ()}), "at least one cell"),
    ],
)
def test_refuses_what_it_has_no_answer_for(spec: Spec, message: str) -> None:
    """A spec without a reference is refused with the argument's name and value."""
    with pytest.raises(ValueError, match=message):
        weight_shapes(spec, 1)


def test_refuses_shapes_that_do_not_fit() -> None:
    """Arrays of other shapes are refused, never broadcast."""
    inputs = np.zeros((2, 3, 1))
    with pytest.raises(ValueError, match="weights"):
        reference(SUM, ONES[:1], inputs)
    with pytest.raises(ValueError, match="mask"):
        reference(SUM, ONES, inputs, np.ones((1, 3), bool))
    with pytest.raises(ValueError, match="initial_states"):
        reference(SUM, ONES, inputs, None, [np.zeros((1, 1))])
    with pytest.raises(ValueError, match="has 1 states"):
        nest_states(SUM, [])
