"""What is drawn: everything that has a name is reached, and shrinks to what a person can read."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable
from typing import Any

import hypothesis
import msgspec
import pytest
from hypothesis import strategies as st

from catalogue.cases import (
    CONTENTS,
    FINITE_CONTENTS,
    MASKABLE_CONTENTS,
    CallForm,
    RaggedBatch,
    RecurrentCase,
)
from catalogue.layers import LAYER_ENTRIES
from catalogue.recurrent import FLAGS, LAYERS
from catalogue.specs import Spec
from catalogue.traits import TRAITS, traits
from selftest.helpers import find_any, minimal
from strategies.configurations import Configuration, configurations, covered_pairs, spread
from strategies.layers import layer_configurations, plain_case
from strategies.ragged import (
    KINDS,
    contents,
    kinds_for,
    mask_rows,
    masks,
    ragged_batches,
    ragged_lengths,
)
from strategies.recurrent import recurrent_cases, recurrent_examples

CHOICES = ("other", "order", "inserted", "chunks", "travelling")
MAJORS = (2, 3)
PLAIN = configurations(LAYERS["LSTM"], keras_major=3)[0]

settings = hypothesis.settings(
    max_examples=100,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)


def has_gap(row: str) -> bool:
    """Whether a masked step lies between valid ones."""
    return "0" in row.strip("0")


@functools.cache
def known(layer: str, keras_major: int) -> list[Configuration]:
    """The configurations of a layer, made once."""
    return configurations(LAYERS[layer], keras_major=keras_major)


@st.composite
def any_cases(
    draw: st.DrawFn, layer: str | None = None, choices: tuple[str, ...] = ()
) -> RecurrentCase:
    """Cases of every layer, configuration and kind."""
    name = layer or draw(st.sampled_from(sorted(LAYERS)))
    configuration = draw(st.sampled_from(known(name, draw(st.sampled_from(MAJORS)))))
    kind = draw(st.sampled_from(KINDS))
    return draw(recurrent_cases(configuration=configuration, kind=kind, choices=choices))


def domains_of(layer: str, keras_major: int) -> dict[str, Any]:
    """What is spread over the configurations of a layer."""
    return dict.fromkeys(FLAGS, (False, True)) | LAYERS[layer].domains(keras_major)


def crossed() -> list[dict[str, bool]]:
    """All flags crossed in full."""
    return [
        dict(zip(FLAGS, values, strict=True))
        for values in itertools.product((False, True), repeat=len(FLAGS))
    ]


# -- lengths and masks -----------------------------------------------------------------------


@hypothesis.given(st.data())
@settings
def test_lengths_lie_between_their_bounds_and_there_is_one_for_each_row(data: Any) -> None:
    """Every length lies between `min_len` and `max_len`."""
    batch, max_len = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    min_len = data.draw(st.integers(0, max_len))
    lengths = data.draw(ragged_lengths(batch=batch, max_len=max_len, min_len=min_len))
    assert len(lengths) == batch
    assert all(min_len <= length <= max_len for length in lengths)


@pytest.mark.parametrize("length", [0, 1, 4, 5])
def test_lengths_reach_both_of_their_ends(length: int) -> None:
    """Rows of no step and rows of all steps are drawn, and what lies between."""
    assert length in find_any(ragged_lengths(batch=2, max_len=5), lambda found: length in found)


def test_lengths_shrink_to_rows_of_no_steps() -> None:
    """The smallest lengths are `min_len`, and a condition on one row changes that row only."""
    assert minimal(ragged_lengths(batch=3, max_len=5)) == [0, 0, 0]
    assert minimal(ragged_lengths(batch=2, max_len=5, min_len=2)) == [2, 2]
    assert minimal(ragged_lengths(batch=3, max_len=5), lambda found: max(found) > 3) == [0, 0, 4]


@pytest.mark.parametrize("padding", ["right", "left", "gaps", "any"])
@hypothesis.given(data=st.data())
@settings
def test_a_row_has_its_steps_and_at_least_min_len_valid_ones(padding: str, data: Any) -> None:
    """A row of a mask is of `max_len` steps, `min_len` of which are valid, wherever padding is."""
    max_len = data.draw(st.integers(1, 9))
    min_len = data.draw(st.integers(0, max_len))
    row = data.draw(mask_rows(max_len=max_len, padding=padding, min_len=min_len))
    assert len(row) == max_len
    assert set(row) <= {"0", "1"}
    assert row.count("1") >= min_len
    if padding == "right":
        assert "01" not in row
    if padding == "left":
        assert "10" not in row


@pytest.mark.parametrize("row", ["".join(steps) for steps in itertools.product("01", repeat=3)])
def test_rows_with_gaps_reach_every_mask(row: str) -> None:
    """Padding in gaps is padding anywhere: every mask is one."""
    assert find_any(mask_rows(max_len=3, padding="gaps"), lambda found: found == row)


@pytest.mark.parametrize("place", [0, 64, 128])
@pytest.mark.parametrize("step", "01")
def test_long_rows_have_gaps_everywhere(place: int, step: str) -> None:
    """In a row of 129 steps the first, the middle and the last are valid or masked alike."""
    assert find_any(mask_rows(max_len=129, padding="gaps"), lambda row: row[place] == step)


@pytest.mark.parametrize(("max_len", "row"), [(3, "101"), (4, "0101"), (9, "000000101")])
def test_gaps_shrink_to_one_masked_step_between_two_valid_ones(max_len: int, row: str) -> None:
    """The smallest row with a gap is 101, after masked steps where it must be longer."""
    assert minimal(mask_rows(max_len=max_len, padding="gaps"), has_gap) == row


def test_masks_shrink_to_right_padding_and_few_valid_steps() -> None:
    """A mask without a condition is all masked; rows that must differ do so in one step."""
    assert minimal(masks(batch=2, max_len=3)) == ("000", "000")
    differing = minimal(masks(batch=2, max_len=3), lambda mask: len(set(mask)) > 1)
    assert differing == ("000", "100")


@pytest.mark.parametrize("batch", [1, 6, 7, 130])
def test_masks_have_as_many_rows_as_asked_for(batch: int) -> None:
    """Small masks draw each row, tall ones repeat a few, and both have all their rows."""
    mask = find_any(masks(batch=batch, max_len=3), lambda found: batch == 1 or len(set(found)) > 1)
    assert len(mask) == batch
    assert len(set(mask)) <= 6


@pytest.mark.parametrize("content", CONTENTS)
def test_contents_reach_everything_that_padding_may_hold(content: str) -> None:
    """Masked steps hold zeros, ones, noise, large values, infinity or NaN."""
    assert find_any(contents(), lambda found: found == content)


def test_finite_contents_are_finite_and_shrink_to_zeros() -> None:
    """With `finite` neither infinity nor NaN is drawn."""
    seen = set()

    @settings
    @hypothesis.given(contents(finite=True))
    def draw(content: str) -> None:
        seen.add(content)

    draw()
    assert seen == set(FINITE_CONTENTS)
    assert minimal(contents()) == "zeros"


# -- ragged batches --------------------------------------------------------------------------

WHAT_THE_NAME_SAYS: dict[str, Callable[[RaggedBatch], bool]] = {
    "right": lambda batch: all("01" not in row for row in batch.mask),
    "left": lambda batch: all("10" not in row for row in batch.mask),
    "gaps": lambda batch: True,
    "fully masked row": lambda batch: 0 in batch.lengths,
    "mixed": lambda batch: True,
    "single row": lambda batch: batch.batch == 1,
    "coinciding": lambda batch: batch.batch == batch.max_len > 1,
    "tall": lambda batch: batch.batch > 16 and batch.max_len < 16,
    "all valid": lambda batch: set(batch.lengths) == {batch.max_len},
    "long": lambda batch: batch.max_len > 16 and batch.batch < 16,
    "single step": lambda batch: batch.max_len == 1,
    "fully masked batch": lambda batch: set(batch.lengths) == {0},
}


def test_every_kind_is_described_here() -> None:
    """No kind of batch is without a check of what its name says."""
    assert list(WHAT_THE_NAME_SAYS) == list(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_what_its_name_says(kind: str) -> None:
    """Every batch of a kind has what the kind is called for."""

    @settings
    @hypothesis.given(ragged_batches(kind=kind))
    def draw(batch: RaggedBatch) -> None:
        assert WHAT_THE_NAME_SAYS[kind](batch)
        assert {len(row) for row in batch.mask} == {batch.max_len}

    draw()


@pytest.mark.parametrize("kind", kinds_for(batch=3, max_len=4))
def test_a_kind_keeps_the_sizes_that_are_given(kind: str) -> None:
    """Where sizes are given, a batch has these and is of its kind still."""

    @settings
    @hypothesis.given(ragged_batches(kind=kind, batch=3, max_len=4))
    def draw(batch: RaggedBatch) -> None:
        assert (batch.batch, batch.max_len) == (3, 4)
        assert WHAT_THE_NAME_SAYS[kind](batch)

    draw()


def test_coinciding_batches_have_as_many_rows_and_steps_as_features() -> None:
    """Batch, max_len and features are one number."""
    batch = find_any(ragged_batches(kind="coinciding", features=3))
    assert (batch.batch, batch.max_len) == (3, 3)


@pytest.mark.parametrize("kind", ["gaps", "mixed", "tall", "coinciding"])
def test_kinds_that_may_have_gaps_have_some(kind: str) -> None:
    """Masked steps between valid ones are drawn in every kind that does not forbid them."""
    assert find_any(ragged_batches(kind=kind), lambda batch: any(map(has_gap, batch.mask)))


def test_mixed_batches_mix() -> None:
    """One batch has right padding, left padding and gaps in different rows."""
    find_any(
        ragged_batches(kind="mixed"),
        lambda batch: (
            any(map(has_gap, batch.mask))
            and any(re.fullmatch("1+0+", row) for row in batch.mask)
            and any(re.fullmatch("0+1+", row) for row in batch.mask)
        ),
    )


@pytest.mark.parametrize("kind", ["gaps", "mixed"])
def test_a_batch_with_a_gap_shrinks_to_101(kind: str) -> None:
    """One row of three steps is enough for a gap, and holds zeros."""
    found = minimal(ragged_batches(kind=kind), lambda batch: any(map(has_gap, batch.mask)))
    assert found == RaggedBatch(("101",))


def test_conditions_that_have_nothing_to_do_with_each_other_shrink_together() -> None:
    """A gap, a fully masked row and NaN take two rows of three steps."""
    found = minimal(
        ragged_batches(kind="mixed"),
        lambda batch: (
            any(map(has_gap, batch.mask)) and 0 in batch.lengths and batch.content == "nan"
        ),
    )
    assert found == RaggedBatch(("000", "101"), "nan")


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"all valid", "coinciding", "tall", "long"}))
def test_a_kind_shrinks_to_one_masked_step(kind: str) -> None:
    """Nothing is smaller than one row of one step, and right padding comes first."""
    assert minimal(ragged_batches(kind=kind)) == RaggedBatch(("0",))


@pytest.mark.parametrize("size", [17, 33, 65, 130])
def test_tall_and_long_batches_reach_the_sizes_at_which_kernels_change(size: int) -> None:
    """Both sides of powers of two are drawn, as rows and as steps."""
    assert find_any(ragged_batches(kind="tall"), lambda batch: batch.batch == size)
    assert find_any(ragged_batches(kind="long"), lambda batch: batch.max_len == size)


# -- configurations --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("keras_major", MAJORS)
@pytest.mark.parametrize("layer", LAYERS)
def test_configurations_cross_all_flags_in_full(layer: str, keras_major: int, seed: int) -> None:
    """Each of the 64 combinations of the six flags comes once, whatever the seed."""
    found = configurations(LAYERS[layer], keras_major=keras_major, seed=seed)
    flags = {tuple(bool(one.spec.get(flag)) for flag in FLAGS) for one in found}
    assert len(found) == len(flags) == 64


# How many pairs of values there are, and how many the 64 configurations leave out at most.
PAIRS = {
    ("SimpleRNN", 2): (1195, 1),
    ("SimpleRNN", 3): (1287, 4),
    ("LSTM", 2): (1456, 1),
    ("LSTM", 3): (1446, 5),
    ("GRU", 2): (1568, 3),
    ("GRU", 3): (1558, 6),
    ("RNN", 2): (1742, 4),
    ("RNN", 3): (1732, 5),
    ("RNN(stacked cells)", 2): (1800, 2),
    ("RNN(stacked cells)", 3): (1790, 6),
}


@pytest.mark.parametrize(("layer", "keras_major"), PAIRS)
def test_configurations_make_nearly_all_pairs_of_values_meet(layer: str, keras_major: int) -> None:
    """Of over a thousand pairs at most six never meet, with each of five seeds."""
    domains = domains_of(layer, keras_major)
    total, most = PAIRS[layer, keras_major]
    missed = []
    for seed in range(5):
        met, of = covered_pairs(spread(crossed(), domains, seed=seed), domains)
        assert of == total
        missed.append(total - met)
    assert max(missed) == most


@pytest.mark.parametrize(("layer", "keras_major"), PAIRS)
def test_the_pairs_that_are_missed_differ_from_seed_to_seed(layer: str, keras_major: int) -> None:
    """Five seeds together make every pair meet."""
    domains = domains_of(layer, keras_major)
    rows = [row for seed in range(5) for row in spread(crossed(), domains, seed=seed)]
    met, total = covered_pairs(rows, domains)
    assert met == total


@pytest.mark.parametrize("layer", LAYERS)
def test_the_first_configuration_is_the_plainest(layer: str) -> None:
    """No flag, an explicit mask, and nothing named but what must be."""
    first = configurations(LAYERS[layer], keras_major=3)[0]
    assert not set(first.spec.arguments) & set(FLAGS)
    assert (first.form, first.dtype, first.policy) == (CallForm(), "float32", "float32")
    assert (first.batch, first.max_len) == (None, None)


@pytest.mark.parametrize("keras_major", MAJORS)
def test_a_layer_is_told_the_sizes_that_it_must_know(keras_major: int) -> None:
    """A stateful layer has a batch size and an unrolled one a number of steps; others have none."""
    for one in configurations(LAYERS["GRU"], keras_major=keras_major):
        assert (one.batch is not None) == bool(one.spec.get("stateful"))
        assert (one.max_len is not None) == bool(one.spec.get("unroll"))


def test_keras_2_is_given_masks_and_states_by_keyword() -> None:
    """Positional forms are Keras 3."""
    for layer in LAYERS.values():
        for one in configurations(layer, keras_major=2):
            assert not one.form.positional
            assert one.form.initial_state != "positional"


def test_forms_that_are_not_kept_give_way_and_all_else_stays() -> None:
    """Properties that speak of some masks only share their layers with all others."""
    every = configurations(LAYERS["LSTM"], keras_major=3)
    kept = configurations(LAYERS["LSTM"], keras_major=3, keep=lambda form: form == "travelling")
    assert [one.spec for one in kept] == [one.spec for one in every]
    assert {one.form.mask for one in kept} == {"travelling"}


def test_spread_completes_its_rows_with_defaults_first() -> None:
    """The first row has the first value of each domain; given values stay as they are."""
    rows = spread([{"a": 1}, {"a": 2}], {"a": (1, 2), "b": "xy", "c": "uv"}, seed=0)
    assert rows[0] == {"a": 1, "b": "x", "c": "u"}
    assert rows[1]["a"] == 2


def test_spread_makes_all_pairs_meet_where_rows_suffice() -> None:
    """Nine rows are what three domains of three values need; twelve are enough for greed."""
    domains = {"row": range(12), "a": "xyz", "b": "xyz", "c": "xyz"}
    rows = spread([{"row": row} for row in range(12)], domains, seed=1)
    free = {name: domains[name] for name in "abc"}
    assert covered_pairs(rows, free) == (27, 27)


def test_a_value_that_is_weighted_counts_once_as_a_pair() -> None:
    """A domain may hold a value several times, so that it is drawn more often."""
    domains = {"a": (0, 0, 1), "b": "xy"}
    rows = [{"a": a, "b": b} for a in (0, 1) for b in "xy"]
    assert covered_pairs(rows, domains) == (4, 4)


# -- cases -----------------------------------------------------------------------------------


@pytest.mark.parametrize("trait", TRAITS)
def test_every_trait_is_reached(trait: str) -> None:
    """There is a case of every fact that has a name."""
    assert trait in traits(find_any(any_cases(), lambda case: trait in traits(case)))


@pytest.mark.parametrize("trait", ["nan_padding", "infinite_padding", "largest_padding"])
def test_second_contents_have_traits_too(trait: str) -> None:
    """What padding is changed to counts as what it holds."""
    find_any(
        recurrent_cases(configuration=PLAIN, choices=("other",)),
        lambda case: trait in traits(case) and case.batch.content == "zeros",
    )


SMALLEST = {
    "nan_padding": RaggedBatch(("0",), "nan"),
    "infinite_padding": RaggedBatch(("0",), "inf"),
    "largest_padding": RaggedBatch(("0",), "largest"),
    "all_valid": RaggedBatch(("1",)),
    "right_padded": RaggedBatch(("10",)),
    "left_padded": RaggedBatch(("01",)),
    "gaps": RaggedBatch(("101",)),
    "fully_masked_batch": RaggedBatch(("0",)),
    "length_one_row": RaggedBatch(("1",)),
    "batch_equals_max_len": RaggedBatch(("00", "00")),
    "units_equal_max_len": RaggedBatch(("00",)),
}


@pytest.mark.parametrize(("trait", "batch"), SMALLEST.items(), ids=SMALLEST)
def test_cases_shrink_to_what_their_trait_needs(trait: str, batch: RaggedBatch) -> None:
    """The smallest case of a trait has nothing that the trait does not ask for."""
    found = minimal(
        recurrent_cases(configuration=PLAIN, kind="mixed"), lambda case: trait in traits(case)
    )
    assert found == RecurrentCase(spec=PLAIN.spec, batch=batch)


CHOSEN = {
    "other": {"other": "ones"},
    "order": {"order": (0,)},
    "inserted": {"inserted": (0,)},
    "chunks": {"chunks": (1,)},
    "travelling": {"travelling": ("0",)},
}


@pytest.mark.parametrize("choice", CHOICES)
def test_what_a_property_chooses_shrinks_to_one_of_it(choice: str) -> None:
    """One other content, one row, one inserted step, one chunk, one masked step."""
    found = minimal(recurrent_cases(configuration=PLAIN, choices=(choice,)))
    chosen: Any = CHOSEN[choice]
    assert found == RecurrentCase(spec=PLAIN.spec, batch=RaggedBatch(("0",)), **chosen)


@hypothesis.given(any_cases(choices=CHOICES))
@settings
def test_what_a_property_chooses_fits_the_batch(case: RecurrentCase) -> None:
    """Another content, positions in the longer sequence, chunks of the whole, rows there are."""
    batch = case.batch
    if len(case.form.contents) > 1:
        assert case.other is not None
        assert case.other != batch.content
    longer = batch.max_len + len(case.inserted)
    assert list(case.inserted) == sorted(set(case.inserted))
    assert 0 <= case.inserted[0] <= case.inserted[-1] < longer
    assert sum(case.chunks) == batch.max_len
    assert min(case.chunks) >= 1
    assert case.order
    assert set(case.order) <= set(range(batch.batch))
    if case.spec.get("stateful"):
        assert len(case.order) == batch.batch
    assert [len(row) for row in case.travelling] == [batch.max_len] * batch.batch


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_padding_goes_in_everywhere(place: int) -> None:
    """Steps are inserted before, between and after those of a sequence of three."""
    configuration = configuration_like(PLAIN, max_len=3)
    strategy = recurrent_cases(configuration=configuration, choices=("inserted",))
    find_any(strategy, lambda case: case.inserted == (place,))


def test_orders_repeat_rows_and_leave_rows_out() -> None:
    """Rows are put in another order, come twice, or not at all."""
    strategy = recurrent_cases(configuration=PLAIN, choices=("order",))
    find_any(strategy, lambda case: case.order == (1, 0))
    find_any(strategy, lambda case: len(set(case.order)) < len(case.order))
    find_any(strategy, lambda case: set(case.order) < set(range(case.batch.batch)))


def configuration_like(configuration: Configuration, **changes: Any) -> Configuration:
    """A configuration with some fields set otherwise."""
    return msgspec.structs.replace(configuration, **changes)


@pytest.mark.parametrize("mask", ["absent", "none"])
def test_without_a_mask_all_steps_are_valid(mask: Any) -> None:
    """A call to which no mask reaches has no padding."""
    configuration = configuration_like(PLAIN, form=CallForm(mask=mask))

    @settings
    @hypothesis.given(
        st.sampled_from(KINDS).flatmap(
            lambda kind: recurrent_cases(configuration=configuration, kind=kind)
        )
    )
    def draw(case: RecurrentCase) -> None:
        assert "all_valid" in traits(case)

    draw()


@pytest.mark.parametrize("mask", ["masking", "embedding"])
def test_masks_made_from_values_have_padding_of_one_value(mask: Any) -> None:
    """What `Masking` is to find must be a value that it can compare with."""
    configuration = configuration_like(PLAIN, form=CallForm(mask=mask))

    @settings
    @hypothesis.given(recurrent_cases(configuration=configuration, choices=("other",)))
    def draw(case: RecurrentCase) -> None:
        contents = set(MASKABLE_CONTENTS) if mask == "masking" else {"zeros", None}
        assert {case.batch.content, case.other} <= contents

    draw()


def test_an_example_has_a_case_for_each_kind() -> None:
    """What is drawn once in a cell is one configuration and several batches."""
    strategy = recurrent_examples(configuration=PLAIN, kinds=("single step", "tall", "all valid"))
    single, tall, valid = find_any(strategy)
    assert single.batch.max_len == 1
    assert tall.batch.batch > 16
    assert "all_valid" in traits(valid)
    assert {one.spec.key for one in (single, tall, valid)} == {PLAIN.spec.key}


@hypothesis.given(any_cases(choices=CHOICES))
@settings
def test_cases_survive_json(case: RecurrentCase) -> None:
    """A case is the same after it was written as JSON and read again."""
    assert msgspec.json.decode(msgspec.json.encode(case), type=RecurrentCase) == case


@hypothesis.given(any_cases(choices=CHOICES))
@settings
def test_cases_print_as_the_expression_that_makes_them(case: RecurrentCase) -> None:
    """What a report shows of a case can be typed in."""
    names = {one.__name__: one for one in (CallForm, RaggedBatch, RecurrentCase, Spec)}
    assert eval(repr(case), names) == case


# -- bad arguments ---------------------------------------------------------------------------

BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "no rows": (lambda: ragged_lengths(batch=0, max_len=3), "batch=0"),
    "no steps": (lambda: ragged_lengths(batch=1, max_len=0), "max_len=0"),
    "too long": (lambda: ragged_lengths(batch=1, max_len=2, min_len=3), "min_len=3"),
    "negative": (lambda: ragged_lengths(batch=1, max_len=2, min_len=-1), "min_len=-1"),
    "row of none": (lambda: mask_rows(max_len=0), "max_len=0"),
    "row too long": (lambda: mask_rows(max_len=2, padding="gaps", min_len=3), "min_len=3"),
    "padding": (lambda: mask_rows(max_len=2, padding="top"), "padding='top'"),
    "mask of none": (lambda: masks(batch=-1, max_len=2), "batch=-1"),
    "kind": (lambda: find_any(ragged_batches(kind="odd")), "kind='odd'"),
    "features": (lambda: find_any(ragged_batches(features=0)), "features=0"),
    "batch": (lambda: find_any(ragged_batches(batch=0)), "batch=0"),
    "max_len": (lambda: find_any(ragged_batches(max_len=0)), "max_len=0"),
    "tall and given": (lambda: find_any(ragged_batches(kind="tall", batch=3)), "kind='tall'"),
    "choice": (
        lambda: find_any(recurrent_cases(configuration=PLAIN, choices=("weather",))),
        "'weather'",
    ),
    "nothing fixed": (lambda: spread([], {"a": (1,)}, seed=0), "fixed=[]"),
    "no form": (
        lambda: configurations(LAYERS["GRU"], keras_major=3, keep=lambda form: False),
        "GRU",
    ),
}


@pytest.mark.parametrize(("call", "said"), BAD.values(), ids=BAD)
def test_bad_arguments_are_refused_by_name_and_value(call: Callable[[], Any], said: str) -> None:
    """A strategy that cannot be drawn says which argument it is, and what it was given."""
    with pytest.raises(ValueError, match=re.escape(said)):
        call()


def test_roles_of_attention_may_have_features_of_their_own() -> None:
    """Query, value and key have one more each; they are counted once where a tensor is all."""
    found = layer_configurations(LAYER_ENTRIES["MultiHeadAttention"])
    own = [plain_case(one) for one in found if one.features == "own" and one.count == 3]
    assert own
    for case in own:
        first = case.tensors[0].rest[-1]
        assert [tensor.rest[-1] for tensor in case.tensors] == [first, first + 1, first + 2]
