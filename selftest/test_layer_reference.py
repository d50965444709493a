"""The references of layers, against numbers worked by hand and against unmasked Keras."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

from catalogue.custom_layers import CUSTOM_LAYERS
from catalogue.layer_cases import Given, LayerCase, LayerEntry, Tensor
from catalogue.layer_reference import merged_where_valid
from catalogue.layers import LAYER_ENTRIES
from catalogue.specs import Argument, Spec
from catalogue.weights import drawn
from execution.implementation import Implementation, installed
from properties.families import FAMILIES

NAN = np.nan
# Entries of classes of their own whose values are free; others are tested with their families.
PLAIN_ENTRIES = [
    name
    for name, entry in LAYER_ENTRIES.items()
    if entry.layer == name and entry.source is None and name not in CUSTOM_LAYERS
]

# The process dies of it on some versions: what the ledger knows as a crash.
DEADLY = (Spec("AdaptiveMaxPooling1D", {"output_size": 1}),)


def given(
    layer: str,
    inputs: list[Any],
    masks: list[str | None],
    *,
    weights: tuple[Any, ...] = (),
    training: bool | None = None,
    causal: bool = False,
    **arguments: Argument,
) -> Given:
    """A case with these values; a mask is a string a row, the rows separated by spaces."""
    arrays = [np.asarray(x, float) for x in inputs]
    tensors = []
    for x, mask in zip(arrays, masks, strict=True):
        rows = tuple((mask or " ".join(["1" * x.shape[1]] * len(x))).split())
        tensors.append(Tensor(rows, x.shape[2:], masked=mask is not None))
    entry = LAYER_ENTRIES[layer]
    case = LayerCase(
        Spec(entry.layer, {**entry.fixed, **arguments}),
        tuple(tensors),
        arguments={"use_causal_mask": True} if causal else {},
        training=training,
        entry="" if entry.layer == layer else layer,
    )
    return Given(case, arrays, case.masks, [np.asarray(weight, float) for weight in weights])


def answer(layer: str, *args: Any, **kwargs: Any) -> Any:
    """What the reference of a layer gives, rounded, as nested lists."""
    reference = LAYER_ENTRIES[layer].reference
    assert reference is not None
    output = reference(given(layer, *args, **kwargs))
    return None if output is None else np.round(output, 6).tolist()


def same(found: Any, wanted: Any) -> None:
    """Equal, NaN too."""
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6)


X = [[[1.0], [2.0], [3.0]]]
Y = [[[10.0], [20.0], [30.0]]]


# -- values, by hand -------------------------------------------------------------------------


BOUNDED: dict[str, Argument] = {"max_value": 1.0, "negative_slope": 0.5, "threshold": 1.0}
# Normalization and nothing else.
PLAIN: dict[str, Any] = {"epsilon": 0.0, "scale": False, "center": False}


def test_says_nothing_of_masked_steps() -> None:
    """At steps that the contract calls invalid the reference is NaN, whatever is there."""
    same(answer("Identity", [[[[1.0], [np.inf], [3.0]]]], ["101"]), [[[1.0], [NAN], [3.0]]])
    same(answer("Dense", [X], ["110"], weights=([[2.0]], [1.0]), units=1), [[[3], [5], [NAN]]])


@pytest.mark.parametrize(
    ("layer", "arguments", "expected"),
    [
        ("ReLU", {}, [0, 0, 0.5, 2]),
        ("ReLU", BOUNDED, [-1.5, -0.75, -0.25, 1]),
        ("LeakyReLU", {}, [-0.6, -0.15, 0.5, 2]),
        ("ELU", {"alpha": 0.5}, [0.5 * np.expm1(-2), 0.5 * np.expm1(-0.5), 0.5, 2]),
        ("Activation", {"activation": "softsign"}, [-2 / 3, -1 / 3, 1 / 3, 2 / 3]),
        ("Softmax", {}, np.exp([-2, -0.5, 0.5, 2]) / np.exp([-2, -0.5, 0.5, 2]).sum()),
    ],
)  # fmt: skip
def test_activations(layer: str, arguments: dict[str, Argument], expected: Any) -> None:
    """The formulas of the pages, on one step of four features."""
    same(answer(layer, [[[[-2, -0.5, 0.5, 2]]]], ["1"], **arguments), [[expected]])


def test_prelu_has_a_slope_for_each_feature() -> None:
    """Below 0 a feature is multiplied by its own alpha."""
    found = answer("PReLU", [[[[-1.0, -2.0], [3.0, -4.0]]]], ["11"], weights=([[0.5, 0.25]],))
    same(found, [[[-0.5, -0.5], [3, -1]]])


def test_softmax_over_steps_leaves_masked_ones_out() -> None:
    """Of inputs (batch, step) a masked step has no share; a fully masked row is not spoken of."""
    x = np.log([[1.0, 3.0, 9.0], [1.0, 1.0, 1.0]])
    same(answer("Softmax", [x], ["110 000"]), [[0.25, 0.75, 0], [NAN, NAN, NAN]])


def test_dropout_is_certain_outside_training() -> None:
    """In training the reference has no answer, unless the rate is 0."""
    assert answer("Dropout", [X], ["111"], training=True) is None
    assert answer("Dropout", [X], ["111"], training=False) == X
    assert answer("GaussianNoise", [X], ["111"], training=True, stddev=0.0) == X
    random = LAYER_ENTRIES["Dropout"].random
    assert random(given("Dropout", [X], ["111"], training=True).case)
    assert not random(given("Dropout", [X], ["111"]).case)


def test_layer_normalization() -> None:
    """A step of -1 and 1 has mean 0 and variance 1; one of 1 and 5 becomes it."""
    weights = ([2, 3], [1, 1])
    found = answer("LayerNormalization", [[[[-1.0, 1.0]]]], ["1"], weights=weights, epsilon=0.0)
    same(found, [[[-1, 4]]])
    same(answer("LayerNormalization", [[[[1.0, 5.0]]]], ["1"], **PLAIN), [[[-1, 1]]])


def test_unit_and_rms_normalization() -> None:
    """(3, 4) has the norm 5 and the mean square 12.5; zeros stay zeros."""
    x = [[[3.0, 4.0], [0.0, 0.0]]]
    same(answer("UnitNormalization", [x], ["11"]), [[[0.6, 0.8], [0, 0]]])
    found = answer("RMSNormalization", [x], ["11"], weights=([1, 2],), epsilon=12.5)
    same(found, [[[0.6, 1.6], [0, 0]]])


def test_group_normalization_is_over_valid_steps() -> None:
    """The mean of the valid values 1 and 3 is 2, whatever the masked step holds."""
    x = [[[1.0], [100.0], [3.0]], [[NAN], [NAN], [NAN]]]
    found = answer("GroupNormalization", [x], ["101 000"], weights=([2], [1]), epsilon=3.0)
    same(found, [[[0], [NAN], [2]], [[NAN]] * 3])
    each = [[[1.0, 10.0], [3.0, 30.0]]]
    same(answer("GroupNormalization", [each], ["11"], groups=-1, **PLAIN), [[[-1, -1], [1, 1]]])
    x = [[[1.0, 1.0], [1.0, 5.0]]]  # the mean is 2, the variance 3
    root = 3**0.5
    found = answer("GroupNormalization", [x], ["11"], groups=1, **PLAIN)
    same(found, [[[-1 / root, -1 / root], [-1 / root, root]]])


def test_batch_normalization_is_over_valid_steps_of_all_rows() -> None:
    """The valid values 1, 3, 5, 7 have mean 4 and variance 5; the moving ones are 0 and 1."""
    x = [[[1.0], [3.0]], [[5.0], [-99.0]], [[7.0], [NAN]]]
    masks: list[str | None] = ["11 10 10"]
    weights = ([5.0], [1.0])
    found = answer("BatchNormalization", [x], masks, weights=weights, training=True, epsilon=20.0)
    same(found, [[[-2], [0]], [[2], [NAN]], [[4], [NAN]]])
    found = answer("BatchNormalization", [x], masks, weights=weights, epsilon=24.0)
    same(found, [[[2], [4]], [[6], [NAN]], [[8], [NAN]]])


@pytest.mark.parametrize("keepdims", [False, True])
def test_averages_valid_steps(keepdims: bool) -> None:
    """A masked step is excluded; of a row without valid steps nothing is said."""
    x = [[[1.0, 2.0], [3.0, 4.0], [NAN, 9.0]], [[1.0, 1.0]] * 3]
    found = answer("GlobalAveragePooling1D", [x], ["110 000"], keepdims=keepdims)
    same(found, [[[2, 3]], [[NAN, NAN]]] if keepdims else [[2, 3], [NAN, NAN]])


def test_maximum_is_over_all_steps() -> None:
    """GlobalMaxPooling1D knows no mask: padding takes part."""
    assert answer("GlobalMaxPooling1D", [X], ["110"]) == [[3.0]]


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        ("Add", 22),
        ("Subtract", -18),
        ("Multiply", 40),
        ("Average", 11),
        ("Maximum", 20),
        ("Minimum", 2),
    ],
)
def test_merges_where_all_are_valid(layer: str, expected: float) -> None:
    """2 and 20 are merged, the masked ones around them are not spoken of."""
    same(answer(layer, [X, Y], ["110", "011"]), [[[NAN], [expected], [NAN]]])


@pytest.mark.parametrize("layer", ["Add", "Multiply", "Average", "Maximum", "Minimum"])
def test_merges_what_is_valid_in_part(layer: str) -> None:
    """Of 1 and a masked 10 the 1 is left, of a masked 3 and 30 the 30."""
    same(merged_where_valid(given(layer, [X, Y], ["110", "011"])), [[[1], [NAN], [30]]])


def test_leaves_out_of_three_what_is_masked() -> None:
    """The mean of 1 and 100 is that of two, and of nothing there is none."""
    z = [[[100.0], [200.0], [300.0]]]
    same(
        merged_where_valid(given("Average", [X, Y, z], ["100", "000", "110"])),
        [[[50.5], [200], [NAN]]],
    )


def test_concatenates() -> None:
    """Along features where both are valid, along steps each where it is."""
    same(answer("Concatenate", [X, Y], ["110", "011"]), [[[NAN] * 2, [2, 20], [NAN] * 2]])
    found = answer("Concatenate", [X, Y], ["110", "011"], axis=1)
    same(found, [[[1], [2], [NAN], [NAN], [20], [30]]])


def test_dot() -> None:
    """Each step of the first by each of the second; normalized it is a cosine."""
    first, second = [[[1.0, 0.0], [3.0, 4.0]]], [[[2.0, 0.0], [5.0, 5.0], [0.0, 1.0]]]
    same(answer("Dot", [first, second], ["11", "101"]), [[[2, NAN, 0], [6, NAN, 4]]])
    found = answer("Dot", [first, second], ["11", "101"], normalize=True)
    same(found, [[[1, NAN, 0], [0.6, NAN, 0.8]]])


# Scores of 0 and log 3 give shares of 1/4 and 3/4.
QUERY = [[[1.0], [0.0]]]
VALUE = [[[0.0], [np.log(3)], [7.0]]]


def test_attention_leaves_masked_values_out() -> None:
    """The masked third value has no share; a masked query gives zero; a scale of 0, even shares."""
    mean = np.log(3) / 2
    same(answer("Attention", [QUERY, VALUE], [None, "110"]), [[[0.75 * np.log(3)], [mean]]])
    same(answer("Attention", [QUERY, VALUE], ["10", "110"]), [[[0.75 * np.log(3)], [0]]])
    found = answer("Attention", [QUERY, VALUE], ["10", "110"], weights=(0.0,), use_scale=True)
    same(found, [[[mean], [0]]])
    assert answer("Attention", [QUERY, VALUE], [None, None], training=True, dropout=0.4) is None


def test_attention_without_anything_to_look_at() -> None:
    """A query that may look at nothing has no documented output, a masked one is still zero."""
    same(answer("Attention", [QUERY, VALUE], ["10", "000"]), [[[NAN], [0]]])
    found = answer("Attention", [QUERY, VALUE], [None, "011"], causal=True)
    same(found, [[[NAN], [np.log(3)]]])


def test_causal_attention_sees_no_later_value() -> None:
    """The first query sees the first value alone, the second the first two."""
    found = answer("Attention", [QUERY, VALUE], [None, None], causal=True)
    same(found, [[[0], [np.log(3) / 2]]])


def test_attention_leaves_masked_keys_out() -> None:
    """A position whose key is padding has no share, though its value is valid."""
    found = answer("Attention", [QUERY, [[[5.0], [6.0], [7.0]]], VALUE], [None, None, "110"])
    same(found, [[[0.25 * 5 + 0.75 * 6], [5.5]]])


def test_scores_of_other_kinds() -> None:
    """tanh(0 + 0.5) times 2 in both; scores of one value are all of it."""
    value = [[[0.5], [-0.5]]]
    odds = np.exp(2 * np.tanh([0.5, -0.5]))
    wanted = [[[(0.5 * odds[0] - 0.5 * odds[1]) / odds.sum()]]]
    query = [[[0.0]]]
    same(answer("AdditiveAttention", [query, value], [None, None], weights=([2.0],)), wanted)
    found = answer("Attention", [query, value], [None, None], weights=(2.0,), score_mode="concat")
    same(found, wanted)


# -- against unmasked Keras ------------------------------------------------------------------


@pytest.fixture(scope="module")
def implementation() -> Implementation:
    """The Keras that is installed."""
    return Implementation(installed())


def live(implementation: Implementation, value: Argument) -> Any:
    """The Keras layer, or other value, that an argument of a spec describes."""
    if isinstance(value, tuple):
        return [live(implementation, item) for item in value]
    if not isinstance(value, Spec):
        return value
    arguments = {name: live(implementation, inner) for name, inner in value.arguments.items()}
    return implementation.layer_class(value.layer)(**arguments)


def assignments(entry: LayerEntry) -> Iterator[tuple[Spec, dict[str, bool]]]:
    """The plainest configuration, then every other value by itself, then all last ones at once."""
    plain = Spec(entry.layer, dict(entry.fixed))
    yield plain, {}
    for name, values in entry.domains.items():
        for value in values[1:]:
            yield plain.replace(**{name: value}), {}
    for name in entry.call_domains:
        yield plain, {name: True}
    if len(entry.domains) + len(entry.call_domains) > 1:
        last = {name: values[-1] for name, values in entry.domains.items()}
        yield plain.replace(**last), dict.fromkeys(entry.call_domains, True)


def configurations(entry: LayerEntry) -> Iterator[LayerCase]:
    """Cases in which all is valid: the assignments with every shape, number and `training`.

    Of layers that are given their tensors one by one only the plainest is met with all of these:
    they have many arguments.
    """
    sequences = entry.sequences
    plain = Spec(entry.layer, dict(entry.fixed))
    for (spec, arguments), rest, count, training in itertools.product(
        assignments(entry), sequences.rests, sequences.counts, entry.trainings
    ):
        first_ones = rest == sequences.rests[0] and count == sequences.counts[0]
        if entry.parameters and spec != plain and not first_ones:
            continue
        first = 4 if sequences.same_steps else 2
        tensors = tuple(
            Tensor(("1" * (4 if place else first),) * 3, rest, seed=place) for place in range(count)
        )
        if entry.applies(spec, [tensor.shape for tensor in tensors]):
            name = "" if entry.layer == entry.name else entry.name
            yield LayerCase(spec, tensors, arguments=arguments, training=training, entry=name)


# Some of whose steps are computed from none.
ADDS_PADDING = ("ZeroPadding1D", "Conv1DTranspose")


def scales_another_axis(case: LayerCase) -> bool:
    """Whether it is known to be refused: rms-normalization-scales-the-last-axis in the ledger."""
    axes = (case.spec.layer, case.spec.get("axis"), len(case.tensors[0].shape))
    return axes == ("RMSNormalization", 2, 4)


# What Keras 3 says of one feature, or of one value to attend to.
@pytest.mark.filterwarnings("ignore:(?s).*You are using a softmax over axis")
@pytest.mark.parametrize("name", PLAIN_ENTRIES)
def test_equals_unmasked_keras(name: str, implementation: Implementation) -> None:
    """Output and shapes of weights are those of Keras where nothing is masked."""
    entry = LAYER_ENTRIES[name]
    if not FAMILIES["layers"].has(name, implementation.installed.keras):
        pytest.skip(f"{name} is there from Keras {entry.since or 2}, up to {entry.until or 'now'}")
    if entry.operands:
        pytest.skip("given arrays that only a property draws: layer_truth compares it")
    tf = implementation.tensorflow
    compared = 0
    for case in configurations(entry):
        if case.spec in DEADLY or scales_another_axis(case):
            continue
        inputs = [
            np.random.default_rng(tensor.seed).uniform(-1, 1, tensor.shape).astype("float32")
            for tensor in case.tensors
        ]
        shapes = entry.weights(case.spec, entry.shapes(case))
        weights = [weight.astype("float32") for weight in drawn(3, shapes)]
        layer = live(implementation, case.spec)
        tensors = [tf.constant(x) for x in inputs]
        tensors += tensors[-1:] * (entry.least - len(tensors))
        if entry.parameters:  # built by being called
            layer(*tensors)
        else:
            known = [3, 4] if entry.sequences.known else [None, None]
            sizes = [(*known, *tensor.rest) for tensor in case.tensors]
            layer.build(sizes if len(sizes) > 1 else sizes[0])
        assert [tuple(weight.shape) for weight in layer.trainable_weights] == shapes, case
        for weight, value in zip(layer.trainable_weights, weights, strict=True):
            weight.assign(value)
        kwargs: dict[str, Any] = dict(case.arguments)
        if case.training is not None:
            kwargs["training"] = case.training
        one_by_one = entry.parameters or len(tensors) == 1
        outputs = layer(*tensors, **kwargs) if one_by_one else layer(tensors, **kwargs)
        found = [np.asarray(output) for output in tf.nest.flatten(outputs)]
        assert len(found) == entry.outputs(case), case
        for masks in (case.masks, [None] * len(inputs)):
            assert entry.reference is not None
            wanted = entry.reference(Given(case, inputs, list(masks), weights))
            assert (wanted is None) == entry.random(case), case
            if wanted is None or all(
                np.isnan(one).all() for one in listed(wanted)
            ):  # of which nothing is said
                continue
            for one, other in zip(found, listed(wanted), strict=True):
                assert other.dtype == np.float32, case
                np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5, err_msg=repr(case))
            compared += 1
        mask = entry.passage(case)
        assert mask is None or mask.shape == found[0].shape[: mask.ndim], case
        assert mask is None or mask.all() or name in ADDS_PADDING, case
    assert compared


def listed(output: np.ndarray | list[np.ndarray]) -> list[np.ndarray]:
    """The outputs of a reference, one or several."""
    return output if isinstance(output, list) else [output]


def holding(tensor: Tensor, content: float) -> np.ndarray:
    """A tensor's values, the same for each content of masked steps."""
    values = np.random.default_rng(0).uniform(-1, 1, tensor.shape)
    valid = tensor.valid.reshape(*tensor.shape[:2], *[1] * len(tensor.rest))
    return np.where(valid, values, content)


@pytest.mark.parametrize("name", PLAIN_ENTRIES)
def test_looks_at_no_masked_step(name: str) -> None:
    """What isolates padding by contract gives the same with NaN there as with zeros."""
    entry = LAYER_ENTRIES[name]
    assert entry.reference is not None
    if not entry.isolates:
        pytest.skip("padding takes part by contract")
    for whole in configurations(entry):
        tensors = tuple(
            Tensor(tuple(row[: tensor.shape[1]] for row in ("1101", "0111")), tensor.rest)
            for tensor in whole.tensors
        )
        case = msgspec.structs.replace(whole, tensors=tensors)
        weights = drawn(3, entry.weights(case.spec, entry.shapes(case)))
        found = [
            entry.reference(Given(case, [holding(t, c) for t in tensors], case.masks, weights))
            for c in (0.0, NAN)
        ]
        if found[0] is None or found[1] is None:
            continue
        for one, other in zip(listed(found[1]), listed(found[0]), strict=True):
            np.testing.assert_array_equal(one, other, err_msg=repr(case))
        passed_on, output = entry.passage(case), listed(found[0])[0]
        said = output if passed_on is None else output[passed_on]
        # A query that may look at nothing is not spoken of.
        blind = "nothing_to_attend_to" in entry.traits(case)
        assert np.isfinite(said).all() != blind, case
