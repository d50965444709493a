"""Masks made from values, slices of outer steps and what custom layers note, worked by hand."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from packaging.version import Version

from catalogue.layer_cases import Given, LayerCase, LayerEntry, Tensor
from catalogue.layers import LAYER_ENTRIES
from catalogue.layers_custom import noted
from catalogue.specs import Argument, Spec
from execution.implementation import Implementation, installed
from execution.running import Execution, Runner
from properties.comparisons import mismatches
from properties.layer_setting import LayerSetting
from properties.layers import layer_truth
from strategies.layers import layer_configurations, plain_case

NAN = np.nan
MAKERS = ["Masking", "Masking(masked tensor)", "Embedding", "Embedding(masked tokens)"]
DISTRIBUTED = [name for name in LAYER_ENTRIES if name.startswith("TimeDistributed")]
CUSTOM = [
    "Opting",
    "Plain",
    "Doubling",
    "Forking",
    "PlainDict",
    "Naming",
    "Noting",
    "NotingList",
    "NotingBeside",
    "NotingNamed",
    "NotingMemory",
]


UNMASKED = ["Opting", "Plain", "Doubling", "Forking", "PlainDict", "Naming"]
PROJECTION = "RNN(cell of one's own)"


def case_of(
    name: str,
    *masks: str | None,
    rest: tuple[int, ...] = (2,),
    fold: int = 0,
    **arguments: Argument,
) -> LayerCase:
    """A case of an entry; a mask is a string a row, the rows separated by spaces."""
    entry = LAYER_ENTRIES[name]
    tensors = tuple(
        Tensor(tuple((mask or "111").split()), rest, masked=mask is not None, seed=k, fold=fold)
        for k, mask in enumerate(masks)
    )
    return LayerCase(
        Spec(entry.layer, {**entry.fixed, **arguments}),
        tensors,
        form="made" if entry.made else "travelling",
        entry="" if entry.layer == name else name,
    )


def passed(case: LayerCase) -> Any:
    """The mask on the output, as nested lists of 0 and 1, or None."""
    mask = LAYER_ENTRIES[case.name].passage(case)
    return None if mask is None else mask.astype(int).tolist()


def answer(case: LayerCase, x: Any, *weights: Any) -> Any:
    """What the reference gives for one tensor."""
    reference = LAYER_ENTRIES[case.name].reference
    assert reference is not None
    arrays = [np.asarray(weight, float) for weight in weights]
    return reference(Given(case, [np.asarray(x)], case.masks, arrays))


def same(found: Any, wanted: Any) -> None:
    """Equal, NaN too."""
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6)


# -- makers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, -1.0, 0.1, 1e4])
@pytest.mark.parametrize("rest", [(1,), (3,), (2, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_masked_steps_are_those_that_equal_the_value(
    value: float, rest: tuple[int, ...], dtype: str, policy: str
) -> None:
    """All features equal it at masked steps, some and never all at valid ones, in float16 too.

    Some lie next to it, but not where the layer's dtype does not tell the two apart.
    """
    case = case_of("Masking", "110 011 000", rest=rest, mask_value=value)
    case = msgspec.structs.replace(case, policy=policy)
    partly = near = 0
    for seed in range(40):
        (tensor,) = case.tensors
        drawn = msgspec.structs.replace(
            case, tensors=(msgspec.structs.replace(tensor, seed=seed),), dtype=dtype
        )
        x = LayerSetting(drawn).holding(0).value()
        assert x.dtype == dtype
        for kind in (dtype, policy.removeprefix("mixed_")):
            equal = (x.astype(kind) == np.asarray(value, kind)).reshape(3, 3, -1)
            np.testing.assert_array_equal(~equal.all(axis=2), tensor.valid)
            partly += equal[tensor.valid].sum()
        near += (np.isclose(x, value) & (x != np.asarray(value, dtype))).sum()
    assert (partly > 0) == (rest != (1,))
    assert (near > 0) == (policy == "float32")


def test_a_zero_of_the_other_sign_is_padding_too() -> None:
    """It equals zero: every second seed has it."""
    case = case_of("Masking", "10")
    odd = msgspec.structs.replace(case, tensors=(Tensor(("10",), seed=1),))
    signs = [np.signbit(LayerSetting(one).holding(0).value()[0, 1]).all() for one in (case, odd)]
    assert signs == [False, True]


def test_a_mask_that_came_in_stays() -> None:
    """A step is valid only if it was before and its values say so."""
    case = case_of("Masking(masked tensor)", "1100 0111", mask_value=-1.0)
    mask = np.asarray(passed(case), bool)
    x = LayerSetting(case).holding(0).value()
    np.testing.assert_array_equal(mask, case.tensors[0].valid & ~(x == -1).all(axis=2))
    assert not mask[0, 2:].any() and not mask[1, 0] and mask.any()
    absent = msgspec.structs.replace(case, form="absent")
    assert (np.asarray(passed(absent)) >= mask).all()
    same(np.isnan(answer(case, x)).all(axis=2), ~mask)


def test_embedding_takes_rows_of_the_table() -> None:
    """Token 2 is the third row; of a masked token nothing is said, without `mask_zero` it is 0."""
    table = [[5.0], [6.0], [7.0]]
    tokens = [[2, 1, 0]]
    case = case_of("Embedding", "110", rest=(), mask_zero=True)
    assert passed(case) == [[1, 1, 0]]
    same(answer(case, tokens, table), [[[7], [6], [NAN]]])
    case = case_of("Embedding", "110", rest=())
    assert passed(case) is None
    same(answer(case, tokens, table), [[[7], [6], [5]]])


def test_tokens_are_zero_at_masked_steps_alone() -> None:
    """Integers of the table, in the dtype that goes with the case."""
    case = case_of("Embedding", "1101 0111", rest=(), fold=2)
    for dtype, policy, wanted in (
        ("float32", "float32", "int32"),
        ("float64", "float32", "int64"),
        ("float32", "mixed_float16", "uint8"),
    ):
        one = msgspec.structs.replace(case, dtype=dtype, policy=policy)
        tokens = LayerSetting(one).holding(0).value()
        assert tokens.dtype == wanted and tokens.max() < 11 and tokens.shape == (2, 2, 2)
        np.testing.assert_array_equal(tokens != 0, case.tensors[0].valid)


def test_a_masked_token_stays_masked() -> None:
    """With `mask_zero` tokens of 0 go besides; without, the mask goes out as it came."""
    masked = case_of("Embedding(masked tokens)", "11110", rest=(), mask_zero=True)
    tokens = LayerSetting(masked).holding(0).value()
    assert passed(masked) == ((tokens != 0) & [1, 1, 1, 1, 0]).astype(int).tolist()
    assert passed(case_of("Embedding(masked tokens)", "11110", rest=())) == [[1, 1, 1, 1, 0]]


# -- slices of outer steps -------------------------------------------------------------------

MEAN = "TimeDistributed(GlobalAveragePooling1D)"


def test_slices_that_lose_their_steps_leave_outer_ones() -> None:
    """An outer step is valid with any valid inner one; a mask of outer steps stays as it is."""
    assert passed(case_of(MEAN, "10 00 11".replace(" ", ""), fold=2)) == [[1, 0, 1]]
    assert passed(case_of(MEAN, "101", rest=(4, 2))) == [[1, 0, 1]]
    nested = "TimeDistributed(TimeDistributed)"
    assert passed(case_of(nested, "1000", fold=2)) == [[[1, 0], [0, 0]]]
    assert passed(case_of(nested, None, fold=3)) is None


def test_a_recurrent_layer_keeps_inner_steps_where_it_returns_them() -> None:
    """With `return_sequences` the nested mask goes on, else what is left of it."""
    sequences = Spec("GRU", {"units": 1, "return_sequences": True})
    assert passed(case_of("TimeDistributed(GRU)", "1000", fold=2)) == [[1, 0]]
    found = passed(case_of("TimeDistributed(GRU)", "1000", fold=2, layer=sequences))
    assert found == [[[1, 0], [0, 0]]]


def test_means_of_slices() -> None:
    """Each outer step has the mean of its own valid inner steps; without any nothing is said."""
    x = [[[[1.0], [3.0]], [[5.0], [7.0]], [[9.0], [9.0]]]]
    same(answer(case_of(MEAN, "111000", fold=2, rest=(1,)), x), [[[2], [5], [NAN]]])
    same(answer(case_of(MEAN, "101", rest=(2, 1)), x), [[[2], [NAN], [9]]])


def test_a_recurrent_layer_holds_its_state_within_a_slice() -> None:
    """A linear sum: 1 + 2, the masked 9 left out, and afresh from 4 in the next slice."""
    layer = Spec("SimpleRNN", {"units": 1, "activation": None, "use_bias": False})
    case = case_of("TimeDistributed(SimpleRNN)", "110100", fold=3, rest=(1,), layer=layer)
    x = [[[[1.0], [2.0], [9.0]], [[4.0], [9.0], [9.0]]]]
    same(answer(case, x, [[1.0]], [[1.0]]), [[[3], [4]]])


def test_a_model_has_one_layer_behind_the_other() -> None:
    """Twice each step, then the mean of those that are valid; outer steps without any are out."""
    mean = Spec("GlobalAveragePooling1D")
    dense = Spec("Dense", {"units": 1, "use_bias": False})
    model = Spec("ModelOf", {"first": dense, "then": mean})
    case = case_of("TimeDistributed(model)", "110100", fold=3, rest=(1,), layer=model)
    x = [[[[1.0], [2.0], [9.0]], [[4.0], [9.0], [9.0]]]]
    assert passed(case) == [[1, 1]]
    same(answer(case, x, [[2.0]]), [[[3], [8]]])
    masked = case_of("TimeDistributed(model)", "110000", fold=3, rest=(1,), layer=model)
    assert passed(masked) == [[1, 0]]
    same(answer(masked, x, [[2.0]]), [[[3], [NAN]]])


def test_layers_without_masks_see_whole_slices() -> None:
    """Flatten joins a slice's steps, a convolution adds neighbours; masked outer steps are out."""
    x = [[[[1.0], [2.0]], [[3.0], [4.0]]]]
    same(answer(case_of("TimeDistributed(Flatten)", "10", rest=(2, 1)), x), [[[1, 2], [NAN, NAN]]])
    case = case_of("TimeDistributed(Conv1D)", "01", rest=(2, 1))
    same(answer(case, x, [[[1.0]], [[10.0]]], [0.5]), [[[[NAN]], [[43.5]]]])


def test_makers_make_masks_of_slices() -> None:
    """The mask of each slice, one beside the other; none where the embedding makes none."""
    assert passed(case_of("TimeDistributed(Masking)", "1000", fold=2)) == [[[1, 0], [0, 0]]]
    plain = Spec("Embedding", {"input_dim": 3, "output_dim": 1})
    case = case_of("TimeDistributed(Embedding)", "1000", rest=(), fold=2, layer=plain)
    assert passed(case) is None
    same(answer(case, [[[2, 0], [1, 0]]], [[5.0], [6.0], [7.0]]), [[[[7], [5]], [[6], [5]]]])


# -- custom layers ---------------------------------------------------------------------------


def test_custom_layers_hand_on_what_they_say() -> None:
    """One that opts in keeps, one that says nothing drops, one that doubles steps doubles."""
    assert passed(case_of("Opting", "10")) == [[1, 0]]
    assert passed(case_of("Plain", "10")) is None
    assert passed(case_of("Doubling", "10")) == [[1, 1, 0, 0]]
    assert passed(case_of("NotingList", "110", None, "011")) == [[0, 1, 0]]
    assert passed(case_of("NotingNamed", None, "011")) is None


def test_outputs_by_name_come_in_the_order_of_their_names() -> None:
    """Each step, and then the sum of those that are valid."""
    found = answer(case_of("Naming", "110", rest=(1,)), [[[1.0], [-2.0], [9.0]]])
    same(found[0], [[[1], [0], [NAN]]])
    same(found[1], [[-1]])


def test_a_cell_of_ones_own_holds_state_and_output() -> None:
    """The output is ten times the state, which a masked step leaves; zeros where they are asked."""
    cell = Spec("ProjectingCell", {"units": 1, "output_size": 1})
    given = [[[1.0]], [[0.0]], [[10.0]]]
    x = [[[0.5], [9.0], [0.25]]]
    states = np.tanh([0.5, 0.25])
    more: dict[str, Argument] = {"cell": cell, "return_state": True}
    case = case_of(PROJECTION, "110", rest=(1,), **more)
    assert passed(case) is None
    same(answer(case_of(PROJECTION, "100", rest=(1,), **more), x, *given)[1], [[states[0]]])
    held = case_of(PROJECTION, "101", rest=(1,), return_sequences=True, **more)
    assert passed(held) == [[1, 0, 1]]
    first, last = 10 * states
    same(answer(held, x, *given)[0], [[[first], [first], [last]]])
    more["zero_output_for_mask"] = True
    zeros = case_of(PROJECTION, "101", rest=(1,), return_sequences=True, **more)
    same(answer(zeros, x, *given)[0], [[[first], [0], [last]]])


def test_notes_ones_zeros_or_that_none_came() -> None:
    """1 and 0 where a mask arrives, -1 where none does; of a context nothing is noted."""
    case = case_of("NotingList", "10", None)
    assert [array.tolist() for array in noted(case)] == [[[1, 0]], [[-1, -1, -1]]]
    assert [array.tolist() for array in noted(case_of("NotingBeside", "10", "01"))] == [[[1, 0]]]
    absent = msgspec.structs.replace(case_of("Noting", "10"), form="absent")
    assert [array.tolist() for array in noted(absent)] == [[[-1, -1]]]


# -- against unmasked Keras ------------------------------------------------------------------


@pytest.fixture(scope="module")
def implementation() -> Implementation:
    """The Keras that is installed."""
    return Implementation(installed())


def valid_cases(entry: LayerEntry) -> list[LayerCase]:
    """Cases of an entry in which all steps are valid and no mask is given."""
    cases = []
    for configuration in layer_configurations(entry):
        case = plain_case(configuration)
        full = tuple(
            msgspec.structs.replace(tensor, mask=("1" * len(tensor.mask[0]),) * 2, seed=k)
            for k, tensor in enumerate(case.tensors)
        )
        form = "made" if entry.made else "absent"
        cases.append(msgspec.structs.replace(case, tensors=full, form=form))
    return cases


@pytest.mark.parametrize("name", [*MAKERS, *DISTRIBUTED, *UNMASKED])
def test_equals_unmasked_keras(name: str, implementation: Implementation) -> None:
    """Called eagerly, where nothing is masked, outputs are those of Keras, shapes too."""
    runner = Runner(implementation, Execution("cpu:0", "eager"))
    compared = 0
    for case in valid_cases(LAYER_ENTRIES[name]):
        if case.spec.get("mask_value") == 0.1 and case.policy != "float32":
            continue  # Keras finds this value in float32 alone
        if len(case.tensors[0].rest) > 1 and name.startswith("Masking"):
            continue  # Keras masks parts of steps there
        plan = layer_truth(case)
        found = list(mismatches(plan, runner.run(plan.steps)))
        assert not found, (case, found[0].message)
        compared += len(plan.comparisons)
    assert compared >= 8


@pytest.mark.parametrize("name", CUSTOM)
def test_custom_layers_can_be_called(name: str, implementation: Implementation) -> None:
    """In each configuration they hand back as many outputs as their entry says."""
    entry = LAYER_ENTRIES[name]
    if Version(implementation.installed.keras) < Version(entry.since or "0"):
        pytest.skip(f"{name} came with Keras {entry.since}")
    runner = Runner(implementation, Execution("cpu:0", "eager"))
    for configuration in layer_configurations(entry):
        setting = LayerSetting(plain_case(configuration))
        call = setting.call("y")
        results = runner.run(tuple(setting.steps))
        assert not results.failures
        assert len(results.outputs["y"]) == call.outputs == entry.outputs(setting.case)


# -- arguments of NumPy ----------------------------------------------------------------------


def test_a_mask_value_may_be_an_array() -> None:
    """It is printed as NumPy's, no layer, and takes no policy of the layer that holds it."""
    value = Spec("np.array", {"object": -2.0, "dtype": "float32"})
    spec = Spec("Masking", {"mask_value": value})
    assert (
        spec.source() == "keras.layers.Masking(mask_value=np.array(object=-2.0, dtype='float32'))"
    )
    assert spec.with_policy("float64") == spec.replace(dtype="float64")
    assert list(spec.layers()) == ["Masking"]
    assert passed(case_of("Masking", "11", mask_value=value)) == [[1, 1]]
