"""Layers that change shapes, convolve and pool: masks and values by hand, and planted defects."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from catalogue.layer_cases import LayerCase, Tensor
from catalogue.layers import LAYER_ENTRIES
from catalogue.specs import Argument, Spec
from catalogue.windows import windows
from execution.implementation import Implementation
from execution.running import Execution, Runner
from properties.cells import Cell, Profile
from properties.layer_family import simpler_layer
from properties.registry import PROPERTIES
from properties.running import CellRunner
from reports.ledger import Ledger
from selftest.defects_of_shapes import DEFECTS
from selftest.test_contracts import passed
from selftest.test_layer_reference import NAN, answer, same
from strategies.layers import layer_configurations, plain_case

X = [[[1.0], [2.0], [3.0], [4.0]]]
PAIRS = [[[1.0, 10.0], [2.0, 20.0]]]


# -- windows ---------------------------------------------------------------------------------


def test_windows_of_a_convolution() -> None:
    """Two places over four steps: without padding three windows, else as many as strides allow."""

    def found(steps: int = 4, **arguments: Argument) -> Any:
        return windows(Spec("Conv1D", {"kernel_size": 2, **arguments}), steps).tolist()

    assert found() == [[0, 1], [1, 2], [2, 3]]
    assert found(strides=2) == [[0, 1], [2, 3]]
    assert found(dilation_rate=2) == [[0, 2], [1, 3]]
    assert found(padding="same") == [[0, 1], [1, 2], [2, 3], [3, -1]]
    assert found(padding="same", strides=3) == [[0, 1], [3, -1]]
    assert found(padding="same", kernel_size=3) == [[-1, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, -1]]
    assert found(padding="causal") == [[-1, 0], [0, 1], [1, 2], [2, 3]]
    assert found(padding="causal", dilation_rate=2) == [[-1, 0], [-1, 1], [0, 2], [1, 3]]
    assert found(steps=1) == []


def test_windows_of_a_transposed_convolution() -> None:
    """Each input step is written to as many outputs as the kernel has places, strides apart."""

    def found(**arguments: Argument) -> Any:
        return windows(Spec("Conv1DTranspose", {"kernel_size": 2, **arguments}), 2).tolist()

    assert found() == [[0, -1], [1, 0], [-1, 1]]
    assert found(padding="same") == [[0, -1], [1, 0]]
    assert found(strides=2) == [[0, -1], [-1, 0], [1, -1], [-1, 1]]
    assert found(strides=3) == [[0, -1], [-1, 0], [-1, -1], [1, -1], [-1, 1], [-1, -1]]


def test_windows_of_pooling() -> None:
    """Strides are as long as the pool, unless they are given; adaptive windows cover all."""
    assert windows(Spec("MaxPooling1D"), 5).tolist() == [[0, 1], [2, 3]]
    same_padding = Spec("MaxPooling1D", {"padding": "same"})
    assert windows(same_padding, 5).tolist() == [[0, 1], [2, 3], [4, -1]]
    assert windows(Spec("MaxPooling1D", {"strides": 1}), 3).tolist() == [[0, 1], [1, 2]]
    adaptive = Spec("AdaptiveMaxPooling1D", {"output_size": 2})
    assert windows(adaptive, 4).tolist() == [[0, 1], [2, 3]]
    assert windows(adaptive, 3).tolist() == [[0, 1], [1, 2]]


# -- masks -----------------------------------------------------------------------------------


def test_a_window_is_valid_where_all_of_it_is() -> None:
    """What lies outside of the sequence takes nothing away."""
    assert passed("Conv1D", "1101") == [[1, 0, 0]]
    assert passed("Conv1D", "1101", padding="same") == [[1, 0, 0, 1]]
    assert passed("Conv1D", "1101", padding="causal") == [[1, 1, 0, 0]]
    assert passed("MaxPooling1D", "110111") == [[1, 0, 1]]
    assert passed("Conv1D", None, steps=4) is None


def test_steps_of_nothing_are_masked() -> None:
    """Zeros that are added are padding; so is what no input step is written to."""
    assert passed("ZeroPadding1D", "10", padding=(1, 2)) == [[0, 1, 0, 0, 0]]
    assert passed("Conv1DTranspose", "11", strides=3) == [[1, 1, 0, 1, 1, 0]]
    assert passed("ZeroPadding1D", None) is None


def test_masks_move_with_their_steps() -> None:
    """Cropped, repeated, or as often as a step has values."""
    assert passed("Cropping1D", "10110") == [[0, 1, 1]]
    assert passed("Cropping1D", "10110", cropping=(0, 3)) == [[1, 0]]
    assert passed("UpSampling1D", "10") == [[1, 1, 0, 0]]
    assert passed("Flatten", "10") == [[1, 1, 0, 0]]
    assert passed("Reshape", "10") == [[1, 1, 0, 0]]
    assert passed("Reshape", "10", target_shape=(-1, 2)) == [[1, 0]]
    assert passed("Reshape", None) is None
    assert passed("EinsumDense", "10") == passed("EinsumDense(ellipsis)", "10") == [[1, 0]]
    assert passed("EinsumDense(over steps)", "10") is None


def test_a_permuted_mask_has_the_axes_up_to_that_of_steps() -> None:
    """Behind it all is alike, and before it each place has the whole mask."""
    assert passed("Permute", "10") == [[[1, 0], [1, 0]]]
    assert passed("Permute", "10", dims=(1, 2)) == [[1, 0]]

    def of(dims: tuple[int, ...]) -> Any:
        case = LayerCase(Spec("Permute", {"dims": dims}), (Tensor(("10",), (2, 3)),))
        mask = LAYER_ENTRIES["Permute"].passage(case)
        assert mask is not None
        return mask.astype(int).tolist()

    assert of((1, 3, 2)) == [[1, 0]]
    assert of((2, 1, 3)) == [[[1, 0]] * 2]
    assert of((3, 2, 1)) == [[[[1, 0]] * 2] * 3]


def test_a_repeated_vector_has_a_mask_for_each_repetition() -> None:
    """Inputs (batch, step) become (batch, n, step)."""
    case = LayerCase(Spec("RepeatVector", {"n": 2}), (Tensor(("10",), ()),))
    mask = LAYER_ENTRIES["RepeatVector"].passage(case)
    assert mask is not None
    assert mask.tolist() == [[[True, False]] * 2]


# -- values ----------------------------------------------------------------------------------


def test_moves_steps_and_nothing_else() -> None:
    """What was masked is not spoken of, wherever it went; added zeros are."""
    same(answer("Cropping1D", [X], ["1101"], cropping=(1, 0)), [[[2], [NAN], [4]]])
    same(answer("UpSampling1D", [[[[1.0], [2.0]]]], ["10"]), [[[1], [1], [NAN], [NAN]]])
    found = answer("ZeroPadding1D", [[[[1.0], [2.0]]]], ["10"], padding=(1, 0))
    same(found, [[[0], [1], [NAN]]])
    same(answer("RepeatVector", [[[1.0, 2.0]]], ["10"]), [[[1, NAN], [1, NAN]]])


def test_reorders_values() -> None:
    """Rows stay apart; steps and features follow NumPy's order."""
    same(answer("Flatten", [PAIRS], ["10"]), [[1, 10, NAN, NAN]])
    same(answer("Reshape", [PAIRS], ["11"]), [[[1], [10], [2], [20]]])
    same(answer("Permute", [PAIRS], ["10"]), [[[1, NAN], [10, NAN]]])


def test_convolves() -> None:
    """1 x 10 + 2 x 100 and so on, plus a bias of 5; padding takes part."""
    kernel = [[[10.0]], [[100.0]]]
    found = answer("Conv1D", [X], ["1101"], weights=(kernel, [5.0]), filters=1)
    same(found, [[[215], [325], [435]]])
    found = answer("Conv1D", [X], [None], weights=(kernel,), padding="causal", use_bias=False)
    same(found, [[[100], [210], [320], [430]]])
    found = answer("Conv1D", [X], [None], weights=(kernel,), padding="same", use_bias=False)
    same(found, [[[210], [320], [430], [40]]])


def test_convolves_the_other_way() -> None:
    """Each step writes itself times 10, and a step later times 100."""
    kernel = [[[10.0]], [[100.0]]]
    x = [[[1.0], [2.0]]]
    found = answer("Conv1DTranspose", [x], [None], weights=(kernel,), use_bias=False)
    same(found, [[[10], [120], [200]]])
    found = answer("Conv1DTranspose", [x], [None], weights=(kernel, [1.0]), strides=3)
    same(found, [[[11], [101], [1], [21], [201], [1]]])


def test_convolves_by_depth() -> None:
    """Each feature has kernels of its own; a pointwise convolution mixes what they give."""
    kernel = [[[1.0], [2.0]], [[0.0], [1.0]]]  # (place, feature, multiplier)
    found = answer("DepthwiseConv1D", [PAIRS], [None], weights=(kernel,), use_bias=False)
    same(found, [[[1, 2 * 10 + 20]]])
    twice = [[[1.0, 2.0], [3.0, 4.0]]]
    found = answer(
        "DepthwiseConv1D", [PAIRS], [None], weights=(twice,), use_bias=False, kernel_size=1
    )
    same(found, [[[1, 2, 30, 40], [2, 4, 60, 80]]])
    weights = (kernel, [[[100.0], [1.0]]], [0.5])
    same(answer("SeparableConv1D", [PAIRS], [None], weights=weights), [[[140.5]]])


def test_convolves_with_a_kernel_for_each_window() -> None:
    """The first window by (1, 10), the second by (100, 1000)."""
    weights = ([[[1.0], [10.0]], [[100.0], [1000.0]]], [[0.5], [0.25]])
    found = answer("LocallyConnected1D", [[[[1.0], [2.0], [3.0]]]], [None], weights=weights)
    same(found, [[[21.5], [3200.25]]])


def test_pools() -> None:
    """Padding takes part; what lies outside of the sequence does not count."""
    x = [[[-1.0], [-2.0], [-9.0]]]
    same(answer("MaxPooling1D", [x], ["110"], padding="same"), [[[-1], [-9]]])
    same(answer("AveragePooling1D", [x], ["110"], padding="same"), [[[-1.5], [-9]]])
    same(answer("AveragePooling1D", [x], ["110"], strides=1), [[[-1.5], [-5.5]]])


def test_adaptive_pooling_is_told_where_steps_part_evenly() -> None:
    """Four steps into two halves; into three, the pages do not say how."""
    same(answer("AdaptiveAveragePooling1D", [X], [None]), [[[1.5], [3.5]]])
    same(answer("AdaptiveMaxPooling1D", [X], [None]), [[[2], [4]]])
    same(answer("AdaptiveMaxPooling1D", [X], [None], output_size=3), [[[NAN]] * 3])


def test_says_nothing_of_rows_whose_padding_may_overflow() -> None:
    """A row without padding is told, whatever the content."""
    spec = Spec("Conv1D", {"filters": 1, "kernel_size": 2})
    case = LayerCase(spec, (Tensor(("111", "110"), (1,), content="nan"),))
    positions = LAYER_ENTRIES["Conv1D"].positions
    assert positions is not None
    (settled,) = positions(case)
    assert settled is not None
    assert settled.tolist() == [[[True]], [[False]]]


def test_einsum() -> None:
    """Each step by itself, or the sum of all of them, padding too."""
    kernel, bias = [[1.0], [2.0]], [0.5]
    for layer in ("EinsumDense", "EinsumDense(ellipsis)"):
        found = answer(layer, [PAIRS], ["10"], weights=(kernel, bias), bias_axes="d")
        same(found, [[[21.5], [NAN]]])
    same(answer("EinsumDense(over steps)", [PAIRS], ["10"], weights=(kernel,)), [[63]])


def test_takes_each_step_by_itself() -> None:
    """Twice; 3 x 2 + 1; (3 - 1) / 2 and back; what is larger than 1; Dense."""
    x = [[[3.0], [0.5]]]
    same(answer("Lambda", [x], ["10"]), [[[6], [NAN]]])
    same(answer("Rescaling", [x], ["11"], scale=2, offset=1.0), [[[7], [2]]])
    same(answer("Normalization", [x], ["11"], mean=1.0, variance=4.0), [[[1], [-0.25]]])
    found = answer("Normalization", [x], ["11"], mean=1.0, variance=4.0, invert=True)
    same(found, [[[7], [2]]])
    same(answer("ThresholdedReLU", [x], ["11"]), [[[3], [0]]])
    found = answer("SpectralNormalization", [x], ["11"], weights=([[2.0]], [1.0]))
    same(found, [[[7], [2]]])


# -- what is drawn ---------------------------------------------------------------------------


@pytest.mark.parametrize("layer", ["Conv1D", "Cropping1D", "AdaptiveMaxPooling1D"])
def test_no_window_finds_too_few_steps(layer: str) -> None:
    """Cases have as many steps as the layer needs, what is simpler too."""
    entry = LAYER_ENTRIES[layer]
    for configuration in layer_configurations(entry):
        case = plain_case(configuration)
        assert case.tensors[0].shape[1] % entry.sequences.multiple == 0
        for one in (case, *simpler_layer(case)):
            assert one.tensors[0].shape[1] >= entry.sequences.least
            assert len(windows(one.spec, one.tensors[0].shape[1]))


def test_a_number_of_steps_that_must_be_known_is() -> None:
    """Of adaptive pooling every case says what its steps are."""
    for configuration in layer_configurations(LAYER_ENTRIES["AdaptiveMaxPooling1D"]):
        assert configuration.static
        assert all(case.static for case in simpler_layer(plain_case(configuration)))


def test_the_hazard_speaks_of_layers_that_mix_steps() -> None:
    """And is silent of a batch without padding, or whose padding no window reaches."""
    of, plan = PROPERTIES["padding_takes_part"].of, PROPERTIES["padding_takes_part"].function
    assert of("Conv1D")
    assert of("GlobalMaxPooling1D")
    assert not of("Dense")
    spec = Spec("MaxPooling1D")
    assert plan(LayerCase(spec, (Tensor(("110",)),))).comparisons == ()  # cropped by "valid"
    assert plan(LayerCase(spec, (Tensor(("111",)),))).comparisons == ()
    assert len(plan(LayerCase(spec, (Tensor(("101",)),))).comparisons) == 1


# -- planted defects -------------------------------------------------------------------------


def outcome(
    planted: Implementation, layer: str, property: str, ledger: Ledger, seed: int
) -> tuple[str, list[str]]:
    """The outcome of a cell, and what it found that is new."""
    cell = Cell(property, layer, Execution("cpu:0", "graph"))
    runner = Runner(planted, cell.execution)
    profile = Profile("standard", examples=1)
    entry = CellRunner(cell, runner, ledger, profile, seed, explain=False).run()
    return entry["outcome"], [one["case_text"] for one in entry["findings"]]


@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_is_seen(
    name: str, seed: int, found: Implementation, ledger: Ledger
) -> None:
    """Masks handed on in the wrong shape or place, padding that gets in or out: new."""
    layer, property, overridden, defect = DEFECTS[name]
    if property == "told" and found.keras_major == 2:
        pytest.skip("Keras 2 tells of no mask that stops: that is no defect of one layer")
    planted = Implementation(found.installed, {overridden: defect(found.keras, found.tensorflow)})
    assert outcome(planted, layer, property, ledger, seed)[0] == "new"


@pytest.mark.parametrize("layer", ["Conv1D", "AveragePooling1D", "Cropping1D", "EinsumDense"])
def test_a_layer_that_hands_on_the_right_mask_is_not_seen(
    layer: str, found: Implementation, ledger: Ledger
) -> None:
    """Whether a mask stops, and is told of, or goes out as rule 1 gives it: both are right."""
    keras, tf = found.keras, found.tensorflow
    entry = LAYER_ENTRIES[layer]

    class Right(getattr(keras.layers, layer)):  # type: ignore[misc]
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.supports_masking = True
            self.spec = Spec(layer, {k: v for k, v in kwargs.items() if k != "dtype"})

        def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
            if mask is None:
                return None

            def right(valid: np.ndarray) -> np.ndarray:
                rows = tuple("".join(map(str, row)) for row in valid.astype(int))
                arguments = {k: _plain(v) for k, v in self.spec.arguments.items()}
                passed_on = entry.passage(LayerCase(Spec(layer, arguments), (Tensor(rows),)))
                assert passed_on is not None
                return passed_on

            passed_on = tf.numpy_function(right, [mask], tf.bool)
            passed_on.set_shape([None, None])
            return passed_on

    planted = Implementation(found.installed, {layer: Right})
    for property in ("passage", "told", "layer_truth", "finite_output"):
        assert outcome(planted, layer, property, ledger, 0) == ("holds", [])


def _plain(value: Any) -> Argument:
    return tuple(value) if isinstance(value, list) else value  # type: ignore[return-value]
