"""Bidirectional and the convolutional LSTM: references worked by hand, masks, arguments inside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from catalogue import layers_convlstm, layers_wrappers
from catalogue.convlstm_reference import convolved, output_sizes
from catalogue.layer_cases import Given, LayerCase, Tensor
from catalogue.layers import LAYER_ENTRIES
from catalogue.recurrent_reference import reference
from catalogue.specs import Argument, Spec
from catalogue.weights import drawn
from catalogue.wrapper_reference import completed
from properties.layer_family import layer_facts, simpler_layer

NAN = np.nan
# With a kernel and a recurrent kernel of 1 and no bias, the output is the running sum.
SUM: dict[str, Argument] = {"units": 1, "activation": "linear", "use_bias": False}
ONES = [np.ones((1, 1))] * 4


def both_ways(
    mask: str,
    *,
    inner: dict[str, Argument] | None = None,
    states: bool = False,
    weights: list[np.ndarray] | None = None,
    values: tuple[float, ...] = (1.0, 2.0, 4.0),
    **arguments: Argument,
) -> list[Any]:
    """What a bidirectional running sum of one row gives, as nested lists."""
    layer = Spec("SimpleRNN", {**SUM, **(inner or {})})
    entry = LAYER_ENTRIES["Bidirectional(SimpleRNN)"]
    case = LayerCase(
        entry.complete(Spec("Bidirectional", {"layer": layer, **arguments})),
        (Tensor((mask,), (1,)),),
        arguments={"initial_state": True} if states else {},
    )
    x = np.asarray(values)[None, :, None]
    assert entry.reference is not None
    found = entry.reference(Given(case, [x], case.masks, weights or ONES))
    assert isinstance(found, list)
    assert len(found) == entry.outputs(case)
    return [np.round(one, 6).tolist() for one in found]


SEQUENCES: dict[str, Argument] = {"return_sequences": True}


def test_sums_forwards_and_backwards() -> None:
    """Each step has the sum up to it and the sum from it on; masked steps have zeros."""
    assert both_ways("111", inner=SEQUENCES) == [[[[1, 7], [3, 6], [7, 4]]]]
    assert both_ways("110", inner=SEQUENCES) == [[[[1, 3], [3, 2], [0, 0]]]]
    assert both_ways("101", inner=SEQUENCES) == [[[[1, 5], [0, 0], [5, 4]]]]


def test_the_last_outputs_are_those_of_the_last_valid_steps() -> None:
    """Both directions end with the whole sum; without a valid step it is zero."""
    assert both_ways("110") == [[[3, 3]]]
    assert both_ways("000") == [[[0, 0]]]
    assert both_ways("011", inner={"zero_output_for_mask": True}) == [[[6, 6]]]


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
        ("sum", [[[[4], [5], [0]]]]),
        ("mul", [[[[3], [6], [0]]]]),
        ("ave", [[[[2], [2.5], [0]]]]),
        (None, [[[[1], [3], [0]]], [[[3], [2], [0]]]]),
    ],
)
def test_merges_both_directions(mode: str | None, wanted: Any) -> None:
    """By sum, product or mean, or not at all."""
    assert both_ways("110", inner=SEQUENCES, merge_mode=mode) == wanted


def test_hands_back_forward_states_then_backward_ones() -> None:
    """With another recurrent kernel forwards the two differ: 3 x 1 + 2 is not 2 + 1."""
    weights = [np.ones((1, 1)), np.full((1, 1), 3.0), np.ones((1, 1)), np.ones((1, 1))]
    found = both_ways("110", inner={"return_state": True}, weights=weights)
    assert found == [[[5, 3]], [[5]], [[3]]]


def test_a_forward_layer_that_goes_backwards_gives_reversed_steps() -> None:
    """Then the backward layer goes forwards, and both sequences are in reversed order."""
    inner: dict[str, Argument] = {"return_sequences": True, "go_backwards": True}
    assert both_ways("110", inner=inner) == [[[[0, 0], [2, 3], [3, 1]]]]


def test_initial_states_go_to_their_layers() -> None:
    """The first half forwards, the last half backwards; a row without steps keeps them."""
    first, second = (
        np.random.default_rng(seed).uniform(-1, 1, (1, 1)).astype("float32") for seed in (200, 201)
    )
    f, b = (float(np.round(one[0, 0], 6)) for one in (first, second))
    output, *states = both_ways("000", inner={"return_state": True}, states=True)
    assert np.isnan(output).all()  # what the output is without any step, no page says
    np.testing.assert_allclose(states, [[[f]], [[b]]], atol=2e-6)
    output, *states = both_ways("100", inner={"return_state": True}, states=True)
    np.testing.assert_allclose(output, [[1 + f, 1 + b]], atol=2e-6)
    np.testing.assert_allclose(states, [[[1 + f]], [[1 + b]]], atol=2e-6)


def test_a_backward_layer_that_is_given_has_its_own_activation() -> None:
    """It goes the other way, matches what has to match, and is told from the forward layer."""
    spec = Spec("Bidirectional", {"layer": Spec("SimpleRNN", {**SUM, "return_state": True})})
    assert completed(spec) == spec
    backward = completed(spec.replace(backward_layer=Spec("SimpleRNN"))).get("backward_layer")
    assert isinstance(backward, Spec)
    assert backward.get("go_backwards") is True and backward.get("return_state") is True
    assert backward.get("activation") == "softsign"
    turned = spec.replace(**{"layer.go_backwards": True, "backward_layer": Spec("SimpleRNN")})
    assert completed(turned).get("backward_layer.go_backwards") is None
    # Backwards softsign(2), then softsign(1 + 2 / 3).
    found = both_ways("110", inner=SEQUENCES, backward_layer=Spec("SimpleRNN"))
    np.testing.assert_allclose(found, [[[[1, 5 / 8], [3, 2 / 3], [0, 0]]]], atol=2e-6)


# -- masks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", [*layers_wrappers.ENTRIES, *layers_convlstm.ENTRIES])
def test_hands_masks_on_with_its_steps(entry: Any) -> None:
    """With sequences alone, and reversed where the sequence is."""
    inside = "layer." if "layer" in entry.fixed else ""

    def passed(mask: str, **arguments: Argument) -> Any:
        given = {f"{inside}{name}": value for name, value in arguments.items()}
        spec = Spec(entry.layer, dict(entry.fixed)).replace(**given)
        found = entry.passage(LayerCase(spec, (Tensor((mask,), entry.sequences.rests[0]),)))
        return None if found is None else found.astype(int).tolist()

    assert passed("110") is None
    assert passed("110", return_sequences=True) == [[1, 1, 0]]
    assert passed("110", return_sequences=True, go_backwards=True) == [[0, 1, 1]]
    assert passed("110", go_backwards=True) is None


# -- arguments of layers inside --------------------------------------------------------------


def test_arguments_of_layers_inside_go_by_their_path() -> None:
    """They are found, set and left out there, however deep."""
    spec = Spec("Bidirectional", {"layer": Spec("RNN", {"cell": Spec("GRUCell", {"units": 2})})})
    assert spec.get("layer.cell.units") == 2
    assert spec.get("layer.units", 7) == 7 and spec.get("missing.units") is None
    wider = spec.replace(**{"layer.cell.units": 3, "merge_mode": "sum"})
    assert wider.get("layer.cell.units") == 3 and wider.get("merge_mode") == "sum"
    assert spec.get("layer.cell.units") == 2
    assert wider.without("layer.cell.units", "merge_mode").get("layer.cell") == Spec("GRUCell")
    with pytest.raises(ValueError, match="missing"):
        spec.replace(**{"missing.units": 3})


def test_facts_and_simpler_cases_reach_inside() -> None:
    """A region may name an argument of the layer inside, and a case is simpler without it."""
    layer = Spec("LSTM", {"units": 3, "activation": "relu", "return_sequences": True})
    spec = completed(Spec("Bidirectional", {"layer": layer, "backward_layer": layer}))
    case = LayerCase(spec, (Tensor(("10",)),), entry="Bidirectional(LSTM)")
    facts = layer_facts(case, "cpu:0", "graph")
    assert {"layer.return_sequences=True", "layer.units=3", "merge_mode=concat"} <= facts
    simpler = [one.spec for one in simpler_layer(case)]
    assert spec.without("backward_layer") in simpler
    plainer = completed(spec.replace(**{"layer.units": 2}))
    assert plainer in simpler and plainer.get("backward_layer.units") == 2
    assert completed(spec.without("layer.activation")) in simpler


# -- convolutions ----------------------------------------------------------------------------


def along(values: list[float], window: list[float], **arguments: Any) -> Any:
    """A convolution of one row of one channel, as a list."""
    x, kernel = np.asarray(values)[None, :, None], np.asarray(window)[:, None, None]
    return convolved(x, kernel, **arguments)[0, :, 0].tolist()


def test_convolves_as_worked_by_hand() -> None:
    """Nothing is mirrored; what `same` has left over goes to the far side."""
    assert along([1, 2, 3, 4], [1, 10], padding="valid") == [21, 32, 43]
    assert along([1, 2, 3, 4], [1, 10], padding="same") == [21, 32, 43, 4]
    assert along([1, 2, 3, 4], [1, 10, 100], padding="same") == [210, 321, 432, 43]
    assert along([1, 2, 3, 4], [1, 10], padding="valid", stride=2) == [21, 43]
    assert along([1, 2, 3], [1, 10], padding="same", stride=2) == [21, 3]
    assert along([1, 2, 3, 4], [1, 10], padding="valid", dilation=2) == [31, 42]
    assert along([1, 2, 3], [1, 10], padding="same", dilation=2) == [20, 31, 2]
    assert output_sizes((3, 4), (3, 3), "valid", 1, 2) == (-1, 0)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_convolves_as_loops_do(rank: int) -> None:
    """Each value is the sum over the window that begins there, over all channels."""
    rng = np.random.default_rng(rank)
    x, kernel = rng.normal(size=(2, *[3] * rank, 2)), rng.normal(size=(*[2] * rank, 2, 4))
    found = convolved(x, kernel, "valid")
    assert found.shape == (2, *[2] * rank, 4)
    for place in np.ndindex(*found.shape[1:-1]):
        window = x[(slice(None), *[slice(p, p + 2) for p in place])]
        wanted = np.tensordot(window, kernel, axes=rank + 1)
        np.testing.assert_allclose(found[(slice(None), *place)], wanted, atol=1e-12)


def convolutional(
    x: np.ndarray, rows: tuple[str, ...], weights: list[np.ndarray], **arguments: Argument
) -> list[np.ndarray]:
    """What the reference of the layer of x's rank gives."""
    name = f"ConvLSTM{x.ndim - 3}D"
    entry = LAYER_ENTRIES[name]
    spec = Spec(name, {"recurrent_activation": "sigmoid", **arguments})
    case = LayerCase(spec, (Tensor(rows, x.shape[2:]),))
    assert entry.weights(spec, [x.shape]) == [weight.shape for weight in weights]
    assert entry.reference is not None
    found = entry.reference(Given(case, [x], case.masks, weights))
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("backwards", [False, True])
def test_is_an_lstm_at_each_place_where_the_window_is_one(rank: int, backwards: bool) -> None:
    """Kernels of size 1 mix no places: each is the LSTM that has a reference of its own."""
    rng = np.random.default_rng(rank)
    sizes, rows = (2, 3, 2)[:rank], ("0110", "1011", "0000")
    shapes: list[tuple[int, ...]] = [(2, 12), (3, 12), (12,)]
    weights = drawn(5, shapes)
    wide = [weight.reshape(*[1] * rank, *weight.shape) for weight in weights[:2]]
    x = rng.normal(size=(3, 4, *sizes, 2))
    flags: dict[str, Argument] = {"return_sequences": True, "return_state": True}
    flags |= {"go_backwards": True} if backwards else {}
    y, h, c = convolutional(x, rows, [*wide, weights[2]], filters=3, kernel_size=1, **flags)
    mask = np.array([[step == "1" for step in row] for row in rows])
    kept = mask[:, ::-1] if backwards else mask
    for place in np.ndindex(*sizes):
        at = (slice(None), slice(None), *place)
        wanted = reference(Spec("LSTM", {"units": 3, **flags}), weights, x[at], mask)
        np.testing.assert_allclose(y[at][kept], wanted.sequence[kept], atol=1e-12)
        for state, held in zip((h, c), wanted.states, strict=True):
            np.testing.assert_allclose(state[(slice(None), *place)], held, atol=1e-12)


def test_neighbours_take_part_through_inputs_and_states() -> None:
    """One place further the state of the step before comes in; a masked step changes nothing."""
    # Filters: 1. Gates are tanh(0) = 0 but where a bias opens them: 100 opens all.
    kernel, recurrent = np.zeros((2, 1, 4)), np.zeros((2, 1, 4))
    kernel[0, 0, 2], recurrent[1, 0, 2] = 1, 1  # the candidate: this input, the next one's state
    bias = np.array([100.0, -100.0, 0.0, 100.0])  # input and output gate open, forget gate shut
    x = np.array([[0.1, 0.2, 0.4], [9.0, 9.0, 9.0], [0.0, 0.0, 0.0]])[None, :, :, None]
    arguments: dict[str, Argument] = {"filters": 1, "kernel_size": 2, "padding": "same"}
    (y,) = convolutional(x, ("101",), [kernel, recurrent, bias], **arguments)
    h = np.tanh(np.tanh([0.1, 0.2, 0.4]))
    wanted = np.tanh(np.tanh([h[1], h[2], 0.0]))
    np.testing.assert_allclose(y[0, :, 0], wanted, atol=1e-12)
