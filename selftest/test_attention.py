"""Attention: references worked by hand, what may be attended to, and planted defects."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from catalogue.layer_cases import Given, LayerCase, Tensor
from catalogue.layers import LAYER_ENTRIES
from catalogue.specs import Argument
from execution.implementation import Implementation
from properties.cells import QUICK
from properties.families import FAMILIES
from properties.layer_family import layer_traits
from properties.layer_setting import LayerSetting
from properties.strata import THINNED
from properties.test_conformance import PROPERTIES
from reports.ledger import Ledger
from selftest.helpers import find_any
from selftest.planting import outcome_of
from strategies.layers import layer_configurations

NAN = np.nan
LOG3 = float(np.log(3))
ONE: dict[str, Any] = {"num_heads": 1, "key_dim": 1, "use_bias": False}
HEADS = [name for name, entry in LAYER_ENTRIES.items() if entry.layer.endswith("QueryAttention")]
HEADS += [name for name, entry in LAYER_ENTRIES.items() if entry.layer == "MultiHeadAttention"]


def case_of(
    name: str,
    masks: list[str | None],
    steps: list[int],
    *,
    rest: tuple[int, ...] = (1,),
    arguments: tuple[str, ...] = (),
    **spec: Argument,
) -> LayerCase:
    """A call of one row; a mask is a string, None for none; `arguments` of the call are True."""
    entry = LAYER_ENTRIES[name]
    tensors = tuple(
        Tensor((mask or "1" * length,), rest, masked=mask is not None)
        for mask, length in zip(masks, steps, strict=True)
    )
    return LayerCase(
        layer_configurations(entry, most=1)[0].spec.replace(**spec),
        tensors,
        arguments=dict.fromkeys(arguments, True),
        entry="" if entry.layer == name else name,
    )


def answer(name: str, inputs: list[Any], masks: list[str | None], weights: Any, **rest: Any) -> Any:
    """What the reference gives for one row: an array, or a list of them."""
    arrays = [np.asarray([x], float) for x in inputs]
    sizes = [x.shape[1] for x in arrays]
    case = case_of(name, masks, sizes, rest=arrays[0].shape[2:], **rest)
    reference = LAYER_ENTRIES[name].reference
    assert reference is not None
    given = Given(case, arrays, case.masks, [np.asarray(weight, float) for weight in weights])
    output = reference(given)
    return [x[0] for x in output] if isinstance(output, list) else output[0]  # type: ignore[index]


def same(found: Any, wanted: Any) -> None:
    """Equal but for rounding, NaN too."""
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9)


# -- references, by hand ---------------------------------------------------------------------

# Scores of 0 and log 3 give shares of 1/4 and 3/4, of 0 and 0 a half each.
QUERY = [[1.0], [0.0]]
VALUE = [[0.0], [LOG3], [7.0]]
# Kernels that change nothing: of query, key, value and what the heads found.
PLAIN = [[[[1.0]]]] * 4


def test_one_head_of_size_one_is_dot_product_attention() -> None:
    """With kernels of 1 a head computes what Attention does; a masked query is not spoken of."""
    wanted = [[0.75 * LOG3], [LOG3 / 2]]
    same(answer("MultiHeadAttention", [QUERY, VALUE], [None, "110"], PLAIN, **ONE), wanted)
    found = answer("MultiHeadAttention", [QUERY, VALUE], ["10", "110"], PLAIN, **ONE)
    same(found, [wanted[0], [NAN]])
    found = answer("MultiHeadAttention", [QUERY, VALUE], [None, "000"], PLAIN, **ONE)
    same(found, [[NAN], [NAN]])


def test_scores_are_divided_by_the_root_of_the_size_of_a_key() -> None:
    """Four features of 1 and log 3 / 2 have the product 2 log 3, over the root of four: log 3."""
    kernel = [[[0.5] * 4]]  # (1, head, 4)
    weights = [np.multiply(2, kernel), kernel, [[[1.0]]], [[[1.0]]]]
    arguments = {**ONE, "key_dim": 4, "value_dim": 1}
    found = answer("MultiHeadAttention", [QUERY, VALUE], [None, "110"], weights, **arguments)
    same(found, [[0.75 * LOG3], [LOG3 / 2]])


def test_masks_of_value_and_key_and_causality_add_up() -> None:
    """Each leaves out what it says, whatever the others do."""
    key = [[5.0], [5.0], [5.0]]  # equal scores: the mean of what may be attended to
    value = [[1.0], [2.0], [4.0]]
    query = [[1.0], [1.0], [1.0]]

    def found(*masks: str | None, **rest: Any) -> Any:
        weights = [*PLAIN]
        return answer(
            "MultiHeadAttention", [query, value, key], list(masks), weights, **ONE, **rest
        )[:, 0]

    same(found(None, None, None), [7 / 3] * 3)
    same(found(None, "011", None), [3] * 3)
    same(found(None, "011", "110"), [2] * 3)
    same(found(None, "110", None, arguments=("use_causal_mask",)), [1, 1.5, 1.5])
    same(found("101", "011", None, arguments=("use_causal_mask",)), [NAN, NAN, 3])


def test_a_mask_of_elements_is_for_each_step_of_the_query() -> None:
    """What is left out is drawn from the seed of the case; the others share evenly."""
    case = LayerCase(
        case_of("MultiHeadAttention", [None, None], [3, 4]).spec.replace(**ONE),
        (Tensor(("111",), (1,), masked=False), Tensor(("1111",), (1,), masked=False)),
        element=1,
    )
    value = np.array([1.0, 2, 4, 8]).reshape(1, 4, 1)
    weights = [np.zeros((1, 1, 1)), np.ones((1, 1, 1)), np.ones((1, 1, 1)), np.ones((1, 1, 1))]
    reference = LAYER_ENTRIES["MultiHeadAttention"].reference
    assert reference is not None and case.elements is not None
    found = reference(Given(case, [np.ones((1, 3, 1)), value], case.masks, weights))
    wanted = [value[0, row, 0].mean() for row in case.elements[0]]
    same(np.asarray(found)[0, :, 0], wanted)
    assert not case.elements.all()


@pytest.mark.parametrize("heads", [1, 2])
def test_a_mask_of_elements_may_have_an_axis_of_heads(heads: int) -> None:
    """The first head finds the mean of what it may attend to, the other one ten times its own.

    Besides, the mask of each row leaves out values of that row, as many rows as there are heads.
    """
    sizes = {"num_heads": 2, "key_dim": 1, "use_bias": False}
    rows = ("1110", "0111")
    case = LayerCase(
        case_of("MultiHeadAttention", [None, None], [3, 4]).spec.replace(**sizes),
        (Tensor(("111", "111"), (1,), masked=False), Tensor(rows, (1,))),
        arguments={"return_attention_scores": True},
        element=3,
        heads=heads,
    )
    value = np.array([[1.0, 2, 4, 8], [16, 32, 64, 128]])[..., None]
    both = np.ones((1, 2, 1))
    weights = [np.zeros((1, 2, 1)), both, both, np.array([[[1.0]], [[10.0]]])]
    reference = LAYER_ENTRIES["MultiHeadAttention"].reference
    assert reference is not None and case.elements is not None
    assert case.elements.shape == (2, heads, 3, 4)
    output, scores = reference(Given(case, [np.ones((2, 3, 1)), value], case.masks, weights))
    blind = 0
    for row, step in np.ndindex(2, 3):
        found = []
        for head in (0, 1):
            drawn = case.elements[row, head if heads == 2 else 0, step]
            kept = [k for k in range(4) if rows[row][k] == "1" and drawn[k]]
            shares = [1 / len(kept) if k in kept else 0 for k in range(4)] if kept else [NAN] * 4
            same(scores[row, head, step], shares)
            found.append(value[row, kept, 0].mean() if kept else NAN)
            blind += not kept
        same(output[row, step], [found[0] + 10 * found[1]])
    assert ("nothing_to_attend_to" in layer_traits(case)) == (blind > 0)
    assert {"mask_of_heads", "as_many_rows_as_heads"} <= layer_traits(case)


def test_heads_are_projected_and_put_together() -> None:
    """A head that sees all alike and one that does not, weighed by 1 and 10, and a bias."""
    heads = {"num_heads": 2, "key_dim": 1}
    both = [[[1.0], [1.0]]]
    weights = [[[[0.0], [1.0]]], [[0.0], [0.0]], both, [[0.0], [0.0]], both, [[0.0], [5.0]]]
    weights += [[[[1.0]], [[10.0]]], [100.0]]
    arguments = ("return_attention_scores",)
    output, scores = answer(
        "MultiHeadAttention", [QUERY, VALUE], ["10", "110"], weights, arguments=arguments, **heads
    )
    same(output, [[100 + LOG3 / 2 + 10 * (0.75 * LOG3 + 5)], [NAN]])
    same(scores, [[[0.5, 0.5, 0], [NAN] * 3], [[0.25, 0.75, 0], [NAN] * 3]])


def test_a_tensor_by_itself_is_query_value_and_key() -> None:
    """Its mask is that of the values too."""
    found = answer("MultiHeadAttention", [[[0.0], [6.0], [9.0]]], ["110"], PLAIN, **ONE)
    share = 1 / (1 + np.exp(-36.0))
    same(found, [[3], [6 * share], [NAN]])


def test_windows_and_gates() -> None:
    """A window of 1 leaves each step to itself; a gate of sigmoid(0) halves what a head found."""
    name, x = "MultiHeadAttention(window and gate)", [[1.0], [2.0], [4.0]]
    still = [[[[0.0]]], *PLAIN[1:]]
    same(answer(name, [x], [None], still, sliding_window=1, **ONE), x)
    same(answer(name, [x], [None], still, sliding_window=2, **ONE), [[1.5], [7 / 3], [3]])
    found = answer(name, [x], ["101"], still, sliding_window=2, **ONE)
    same(found, [[1], [NAN], [4]])
    weights = [*still[:2], [[[0.0]]], *still[2:]]
    same(
        answer(name, [x], [None], weights, sliding_window=1, use_gate=True, **ONE),
        [[0.5], [1], [2]],
    )


def test_groups_of_heads_share_a_key_and_a_value() -> None:
    """Of four heads of the query the first two find the first value, the others the second."""
    projection = [[[1.0]] * 4]
    weights = [
        projection,
        [[[1.0], [1.0]]],
        [[[1.0], [10.0]]],
        [[[1.0]], [[2.0]], [[3.0]], [[4.0]]],
    ]
    sizes = {"head_dim": 1, "num_query_heads": 4, "num_key_value_heads": 2, "use_bias": False}
    found = answer("GroupQueryAttention", [[[0.0]], [[1.0], [3.0]]], [None, None], weights, **sizes)
    same(found, [[2 * (1 + 2) + 20 * (3 + 4)]])


def test_attends_over_steps_for_each_place_or_over_all_at_once() -> None:
    """Of two places with values 1 and 3, and 10 and 30, the means; the second step is masked."""
    name, still = "MultiHeadAttention(axes)", [[[[0.0]]], *PLAIN[1:]]
    query = [[[1.0], [1.0]]]
    value = [[[1.0], [10.0]], [[NAN], [NAN]], [[3.0], [30.0]]]
    arguments = ("return_attention_scores",)
    output, scores = answer(name, [query, value], [None, "101"], still, arguments=arguments, **ONE)
    same(output, [[[2], [20]]])
    same(scores, [[[[0.5, 0, 0.5]]]] * 2)
    spec = {**ONE, "attention_axes": (1, 2)}
    output, scores = answer(name, [query, value], [None, "101"], still, arguments=arguments, **spec)
    same(output, [[[11], [11]]])
    assert scores.shape == (1, 1, 2, 3, 2)
    same(scores[0, 0, 0], [[0.25] * 2, [0, 0], [0.25] * 2])


def test_dense_attention_gives_its_shares() -> None:
    """Shares of masked values are 0, of a masked query nothing is said; its output is zero."""
    arguments = ("return_attention_scores",)
    for name in ("Attention", "AdditiveAttention"):
        weights = [[0.0]] if name == "AdditiveAttention" else []
        output, scores = answer(
            name, [[[0.0]] * 2, VALUE], ["10", "110"], weights, arguments=arguments
        )
        same(output, [[LOG3 / 2], [0]])
        same(scores, [[0.5, 0.5, 0], [NAN] * 3])


# -- what is valid, and how it is called -----------------------------------------------------


@pytest.mark.parametrize("name", [*HEADS, "Attention", "AdditiveAttention"])
def test_positions_fit_what_comes_out(name: str) -> None:
    """What is valid of an output broadcasts to it, and has none of a masked query's steps."""
    entry = LAYER_ENTRIES[name]
    for configuration in layer_configurations(entry):
        rest = configuration.rest
        case = case_of(
            name, ["101", "1111"], [3, 4], rest=rest, arguments=("return_attention_scores",)
        )
        case = LayerCase(configuration.spec, case.tensors, arguments=case.arguments)
        weights = [np.ones(shape) for shape in entry.weights(case.spec, entry.shapes(case))]
        given = Given(case, [np.ones(tensor.shape) for tensor in case.tensors], case.masks, weights)
        assert entry.reference is not None and entry.positions is not None
        answers = entry.reference(given)
        assert isinstance(answers, list) and len(answers) == entry.outputs(case) == 2
        for found, valid in zip(answers, entry.positions(case), strict=True):
            if valid is not None:
                np.testing.assert_array_equal(np.isnan(found), ~np.broadcast_to(valid, found.shape))
            else:
                assert np.isfinite(found).all()


def test_a_query_without_anything_to_attend_to_is_told_apart() -> None:
    """By masks, by causality, by both; a masked query does not count."""
    for masks, arguments, blind in (
        (["11", "00"], (), True),
        (["11", "01"], (), False),
        (["11", "01"], ("use_causal_mask",), True),
        (["01", "01"], ("use_causal_mask",), False),
        (["00", "00"], (), False),
    ):
        case = case_of("MultiHeadAttention", masks, [2, 2], arguments=arguments)
        assert ("nothing_to_attend_to" in layer_traits(case)) == blind


@pytest.mark.parametrize("name", [name for name in HEADS if LAYER_ENTRIES[name].heads])
@pytest.mark.parametrize("property", ["layer_truth", "layer_isolation"])
@pytest.mark.parametrize("thin", [1, THINNED])
def test_masks_of_heads_meet_as_many_rows(name: str, property: str, thin: int, seed: int) -> None:
    """Beside masks of rows, each head with a mask of its own: whatever the seed, in `quick` too."""
    thinned = dataclasses.replace(PROPERTIES[property], share=PROPERTIES[property].share * thin)
    members = FAMILIES["layers"].strata(thinned, name, 3, "graph", seed).members
    drawn = [case for one in members for case in find_any(one.examples) if case.heads]
    met = [(case.heads > 1, layer_traits(case)) for case in drawn]
    beside = [(each, traits) for each, traits in met if "no_mask" not in traits]
    assert any(each and "as_many_rows_as_heads" in traits for each, traits in beside)
    if thin == 1:  # of other sizes too, and by themselves where a property speaks of that
        assert any("as_many_rows_as_heads" not in traits for _, traits in beside)
        assert property != "layer_truth" or len(beside) < len(met)


def test_a_single_tensor_is_given_as_query_and_value() -> None:
    """With its mask, travelling or given."""
    name = "MultiHeadAttention(explicit masks)"
    case = LayerCase(
        layer_configurations(LAYER_ENTRIES[name])[0].spec,
        (Tensor(("10",)),),
        form="explicit",
        entry=name,
    )
    setting = LayerSetting(case)
    call = setting.call("y")
    assert len(call.args) == 2 and sorted(call.kwargs) == ["query_mask", "value_mask"]
    values = [np.asarray(one.value()) for one in call.args]  # type: ignore[union-attr]
    np.testing.assert_array_equal(values[0], values[1])


@pytest.mark.parametrize(
    ("masked", "count"),
    [((True, True, False), 2), ((False, True, False), 2), ((True, True, True), 3)],
)
def test_two_masks_are_enough_where_the_key_has_none(masked: tuple[bool, ...], count: int) -> None:
    """`mask` is a list of those of query and value, as documented, unless the key has one."""
    tensors = tuple(Tensor(("10",), masked=one) for one in masked)
    spec = layer_configurations(LAYER_ENTRIES["Attention"])[0].spec
    call = LayerSetting(LayerCase(spec, tensors, form="explicit")).call("y")
    given = call.kwargs["mask"]
    assert isinstance(given, list)
    assert [mask is not None for mask in given] == list(masked[:count])


# -- planted defects -------------------------------------------------------------------------

Overridden = Callable[[Any, Any], type]


def _of_mask(layer: str, change: Callable[[Any, Any], Any]) -> Overridden:
    """A layer with heads that attends by another mask than it should, where it has one."""

    def override(keras: Any, tf: Any) -> type:
        class Changed(getattr(keras.layers, layer)):  # type: ignore[misc]
            def _compute_attention_mask(self, *args: Any, **kwargs: Any) -> Any:
                mask = super()._compute_attention_mask(*args, **kwargs)
                return None if mask is None else change(tf, tf.cast(mask, "bool"))

        return Changed

    return override


def _transposed(tf: Any, mask: Any) -> Any:
    """The mask of each pair the other way round, where queries and values are as many."""
    square = tf.equal(tf.shape(mask)[1], tf.shape(mask)[2])
    return tf.cond(square, lambda: tf.transpose(mask, [0, 2, 1]), lambda: mask)


def _heads_for_rows(tf: Any, mask: Any) -> Any:
    """Heads of a mask are taken for rows, and rows for heads, where they are as many."""
    if mask.shape.rank < 4:
        return mask
    square = tf.equal(tf.shape(mask)[0], tf.shape(mask)[1])
    return tf.cond(square, lambda: tf.transpose(mask, [1, 0, 2, 3]), lambda: mask)


def _first_head(tf: Any, mask: Any) -> Any:
    """All heads have the mask of the first."""
    return mask[:, :1] if mask.shape.rank > 3 else mask


def _by_rows(layer: str) -> Overridden:
    """A layer with heads that joins a mask of heads with others as is documented."""

    def override(keras: Any, tf: Any) -> type:
        class Mended(getattr(keras.layers, layer)):  # type: ignore[misc]
            def _compute_attention_mask(self, *args: Any, **kwargs: Any) -> Any:
                given = kwargs.get("attention_mask")
                if given is None or len(given.shape) < 4:
                    return super()._compute_attention_mask(*args, **kwargs)
                others = super()._compute_attention_mask(
                    *args, **{**kwargs, "attention_mask": None}
                )
                given = tf.cast(given, "bool")
                return given if others is None else given & others[:, None]

        return Mended

    return override


def _elements_alone(keras: Any, tf: Any) -> type:
    class Changed(keras.layers.MultiHeadAttention):  # type: ignore[misc]
        def _compute_attention_mask(self, *args: Any, **kwargs: Any) -> Any:
            given = kwargs.get("attention_mask")
            found = super()._compute_attention_mask(*args, **kwargs)
            return found if given is None else tf.cast(given, "bool")

    return Changed


def _value_by_query(keras: Any, tf: Any) -> type:
    class Changed(keras.layers.MultiHeadAttention):  # type: ignore[misc]
        def _compute_attention_mask(self, query: Any, value: Any, **kwargs: Any) -> Any:
            if kwargs.get("query_mask", getattr(query, "_keras_mask", None)) is None:
                # Keras 3 gives the masks as arguments, in Keras 2 they travel.
                kwargs |= {
                    name: None for name in ("value_mask", "key_mask", "key") if name in kwargs
                }
                value = tf.identity(value)
            return super()._compute_attention_mask(query, value, **kwargs)

    return Changed


def _forgets(layer: str) -> Overridden:
    def override(keras: Any, tf: Any) -> type:
        class Changed(getattr(keras.layers, layer)):  # type: ignore[misc]
            def __call__(self, *args: Any, **kwargs: Any) -> Any:
                return tf.nest.map_structure(tf.identity, super().__call__(*args, **kwargs))

        return Changed

    return override


def _leaks(keras: Any, tf: Any) -> type:
    class Changed(keras.layers.MultiHeadAttention):  # type: ignore[misc]
        def __call__(self, query: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
            found = super().__call__(query, value, *args, **kwargs)
            leaked = 1e-5 * tf.reduce_mean(tf.cast(value, self.compute_dtype))
            return tf.nest.map_structure(lambda x: x + leaked, found)

    return Changed


def _raw_scores(keras: Any, tf: Any) -> type:
    class Changed(keras.layers.Attention):  # type: ignore[misc]
        def _apply_scores(self, scores: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
            found, _ = super()._apply_scores(scores, value, *args, **kwargs)
            return found, tf.nn.softmax(scores)  # of masked values too

    return Changed


def _keeps_query(keras: Any, tf: Any) -> type:
    class Changed(keras.layers.AdditiveAttention):  # type: ignore[misc]
        def call(self, inputs: Any, mask: Any = None, **kwargs: Any) -> Any:
            return super().call(inputs, mask=[None, *mask[1:]] if mask else mask, **kwargs)

    return Changed


def _causal_alone(keras: Any, tf: Any) -> type:
    class Changed(keras.layers.Attention):  # type: ignore[misc]
        def call(self, inputs: Any, mask: Any = None, **kwargs: Any) -> Any:
            if mask and kwargs.get("use_causal_mask"):
                mask = [mask[0], None, *mask[2:]]
            return super().call(inputs, mask=mask, **kwargs)

    return Changed


def _all_or_none(layer: str, missing: int) -> Overridden:
    """A layer that forgets the masks of a list in which this one of the first two is missing."""

    def override(keras: Any, tf: Any) -> type:
        class Changed(getattr(keras.layers, layer)):  # type: ignore[misc]
            def call(self, inputs: Any, mask: Any = None, **kwargs: Any) -> Any:
                mask = None if mask and mask[missing] is None else mask
                return super().call(inputs, mask=mask, **kwargs)

        return Changed

    return override


def _key_by_value(layer: str) -> Overridden:
    """A layer with heads that looks at the key's mask only where the value has one."""

    def override(keras: Any, tf: Any) -> type:
        class Changed(getattr(keras.layers, layer)):  # type: ignore[misc]
            def _compute_attention_mask(self, query: Any, value: Any, **kwargs: Any) -> Any:
                if kwargs.get("value_mask", getattr(value, "_keras_mask", None)) is None:
                    kwargs |= {name: None for name in ("key_mask", "key") if name in kwargs}
                return super()._compute_attention_mask(query, value, **kwargs)

        return Changed

    return override


def _causal_at_the_end(layer: str) -> Overridden:
    """A causal mask that is the only one is aligned at the last steps."""

    def override(keras: Any, tf: Any) -> type:
        class Changed(getattr(keras.layers, layer)):  # type: ignore[misc]
            def __call__(self, query: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
                masks = [getattr(one, "_keras_mask", None) for one in (query, value)]
                masks.append(kwargs.get("attention_mask"))
                causal = kwargs.get("use_causal_mask") and tf.is_tensor(query)
                if causal and all(mask is None for mask in masks):
                    rows, columns = tf.shape(query)[1], tf.shape(value)[1]
                    at = tf.range(rows)[:, None] - rows >= tf.range(columns)[None, :] - columns
                    kwargs |= {"use_causal_mask": False, "attention_mask": at[None]}
                return super().__call__(query, value, *args, **kwargs)

        return Changed

    return override


HEAD, GROUP = "MultiHeadAttention", "GroupQueryAttention"
DEFECTS: list[tuple[str, str, str, Overridden]] = [
    ("loses its mask", HEAD, "passage", _forgets(HEAD)),
    ("loses its mask", GROUP, "passage", _forgets(GROUP)),
    ("inverted", HEAD, "layer_truth", _of_mask(HEAD, lambda tf, mask: ~mask)),
    ("shifted", HEAD, "layer_truth", _of_mask(HEAD, lambda tf, mask: tf.roll(mask, 1, -1))),
    ("transposed", HEAD, "layer_truth", _of_mask(HEAD, _transposed)),
    ("transposed", GROUP, "layer_truth", _of_mask(GROUP, _transposed)),
    ("heads for rows", HEAD, "layer_truth", _of_mask(HEAD, _heads_for_rows)),
    ("heads for rows", GROUP, "layer_truth", _of_mask(GROUP, _heads_for_rows)),
    ("first head", HEAD, "layer_truth", _of_mask(HEAD, _first_head)),
    ("first head", GROUP, "layer_truth", _of_mask(GROUP, _first_head)),
    ("elements alone", HEAD, "layer_truth", _elements_alone),
    ("value by query", HEAD, "layer_truth", _value_by_query),
    ("causal at the end", HEAD, "layer_truth", _causal_at_the_end(HEAD)),
    ("causal at the end", GROUP, "layer_truth", _causal_at_the_end(GROUP)),
    ("leaks", HEAD, "layer_isolation", _leaks),
    ("scores not masked", "Attention", "layer_truth", _raw_scores),
    ("query not masked", "AdditiveAttention", "layer_truth", _keeps_query),
    ("causal alone", "Attention", "layer_truth", _causal_alone),
    ("no mask beside a free query", "Attention", "layer_truth", _all_or_none("Attention", 0)),
    ("no mask beside a free value", "Attention", "layer_truth", _all_or_none("Attention", 1)),
    (
        "no mask beside a free query",
        "AdditiveAttention",
        "layer_isolation",
        _all_or_none("AdditiveAttention", 0),
    ),
    ("key by value", GROUP, "layer_isolation", _key_by_value(GROUP)),
]


@pytest.mark.parametrize(
    ("name", "layer", "property", "defect"), DEFECTS, ids=[f"{one[1]} {one[0]}" for one in DEFECTS]
)
def test_a_planted_defect_is_seen(
    name: str,
    layer: str,
    property: str,
    defect: Overridden,
    seed: int,
    found: Implementation,
    ledger: Ledger,
) -> None:
    """A mask that is lost, wrong or not used, padding that leaks: new, by what names it."""
    if not FAMILIES["layers"].has(layer, found.installed.keras):
        pytest.skip(f"this Keras has no {layer}")
    changed = {LAYER_ENTRIES[layer].layer: defect(found.keras, found.tensorflow)}
    planted = Implementation(found.installed, changed)
    assert outcome_of(planted, layer, property, ledger, seed) == "new"


@pytest.mark.parametrize("layer", [HEAD, GROUP])
def test_masks_of_heads_that_are_joined_as_documented_are_right(
    layer: str, found: Implementation, ledger: Ledger
) -> None:
    """The reference is what a layer gives in which the known defect is mended: nothing is new."""
    if not FAMILIES["layers"].has(layer, found.installed.keras):
        pytest.skip(f"this Keras has no {layer}")
    others = Ledger(tuple(one for one in ledger if one.id != "masks-of-rows-act-on-heads"))
    mended = Implementation(
        found.installed, {layer: _by_rows(layer)(found.keras, found.tensorflow)}
    )
    for property in ("passage", "layer_truth", "finite_output"):
        assert outcome_of(mended, layer, property, others, 0, QUICK) != "new"
    assert outcome_of(found, layer, "layer_truth", others, 0, QUICK) == "new"
