"""Training under masks: the catalogue is whole, what is drawn, how it runs, planted defects."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any, get_args

import msgspec
import numpy as np
import pytest

from catalogue import training_cases
from catalogue.cases import RaggedBatch
from catalogue.training import (
    ALIASES,
    EXCLUDED,
    FUNCTIONS_EXCLUDED,
    MEASURES,
    OUTPUTS,
    measure_of,
)
from catalogue.training_cases import TrainingCase, Way
from execution.implementation import Implementation, installed
from execution.running import Execution, Runner
from properties.cells import QUICK
from properties.families import FAMILIES
from properties.test_conformance import PROPERTIES
from properties.training_family import (
    simpler_training,
    training_facts,
    training_strata,
    training_traits,
)
from properties.training_setting import TrainingSetting
from selftest.defects_of_training import TRAINING_DEFECTS, TrainingDefect
from selftest.helpers import find_any, minimal
from selftest.measures import PAGE, table
from selftest.planting import Ground, first_sight, new_deviations
from strategies.training import (
    plain_training_case,
    training_configurations,
)
from strategies.training import (
    training_cases as cases_of,
)

BATCH = RaggedBatch(("110", "100"), seed=5)
TRAINING = [name for name, one in PROPERTIES.items() if one.family == "training"]


@pytest.fixture(scope="module")
def found() -> Implementation:
    """The Keras that is installed, imported once."""
    return Implementation(installed())


# -- the catalogue ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["losses", "metrics"])
def test_every_public_class_is_in_the_catalogue_or_excluded(
    kind: str, found: Implementation
) -> None:
    """A new version that brings another is told of here."""
    module = getattr(found.keras, kind)
    public = {
        name
        for name in dir(module)
        if not name.startswith("_") and inspect.isclass(getattr(module, name))
    }
    there = {one.cls for one in MEASURES.values() if one.kind == kind and not one.custom}
    assert public - there - set(EXCLUDED[kind]) == set()
    assert there & set(EXCLUDED[kind]) == set()
    keras = found.installed.keras
    family = FAMILIES["training"]
    missing = {
        entry.cls
        for name, entry in MEASURES.items()
        if entry.kind == kind and not entry.custom
        if entry.cls not in public and family.has(name, keras)
    }
    assert missing == set()


@pytest.mark.parametrize("kind", ["losses", "metrics"])
def test_every_public_function_is_in_the_catalogue_or_excluded(
    kind: str, found: Implementation
) -> None:
    """A name of Keras 2 is another name of one that is there."""
    module = getattr(found.keras, kind)
    public = {
        name
        for name in dir(module)
        if not name.startswith("_") and inspect.isfunction(getattr(module, name))
    }
    there = {one.function for one in MEASURES.values() if one.kind == kind and not one.custom}
    excluded = set(FUNCTIONS_EXCLUDED[kind])
    assert public - there - excluded - set(ALIASES) == set()
    assert there & excluded == set()
    for name in public & set(ALIASES):
        assert getattr(module, name) is getattr(module, ALIASES[name])


def test_the_page_is_the_generated_one() -> None:
    """`catalogue/MEASURES.md` is what `python -m selftest.measures` writes."""
    assert PAGE.read_text("utf-8") == table()


def test_functions_and_arguments_of_the_catalogue_exist(found: Implementation) -> None:
    """Each function is public, and each argument one of the constructor's."""
    for name, entry in MEASURES.items():
        if entry.custom or not FAMILIES["training"].has(name, found.installed.keras):
            continue
        module = getattr(found.keras, entry.kind)
        assert not entry.function or callable(getattr(module, entry.function))
        taken = inspect.signature(getattr(module, entry.cls).__init__).parameters
        assert set(entry.domains) | set(entry.fixed) <= set(taken), name


def test_an_unknown_measure_is_told_of() -> None:
    """A pinned case of one that is gone says so."""
    with pytest.raises(ValueError, match="'Nothing' is not in the catalogue"):
        measure_of("Nothing")


# -- cases -----------------------------------------------------------------------------------


def test_a_case_prints_as_what_makes_it_and_goes_through_json() -> None:
    """Both give an equal case."""
    names = {**vars(training_cases), "RaggedBatch": RaggedBatch}
    for entry in MEASURES.values():
        for major in (2, 3):
            for configuration in training_configurations(entry, keras_major=major):
                case = plain_training_case(configuration)
                assert eval(repr(case), dict(names)) == case
                assert msgspec.json.decode(msgspec.json.encode(case), type=TrainingCase) == case


def test_a_cell_meets_every_way_to_mask() -> None:
    """And weights of rows and steps, and positions inside steps, whatever the seed."""
    for seed in range(5):
        for name in ("MeanSquaredError", "metric MeanSquaredError"):
            found = training_configurations(MEASURES[name], keras_major=3, seed=seed)
            assert {one.mask for one in found} == {"travelling", "masking", "weights", "absent"}
            assert {one.sample_weight for one in found} == {"absent", "rows", "steps"}
            assert {one.inner for one in found} == {0, 2}
            assert {one.pooled for one in found} == {False, True}
            policies = {"float32", "mixed_float16", "mixed_bfloat16"}
            assert {one.policy for one in found} == policies
            assert len({one.way for one in found}) >= 3


def test_every_way_and_form_is_drawn() -> None:
    """Whatever the seed, by some loss or metric: ways to train, reductions, functions, names."""
    for major in (2, 3):
        every = [
            one
            for entry in MEASURES.values()
            for one in training_configurations(entry, keras_major=major)
        ]
        assert {one.way for one in every} == set(get_args(training_cases.Way))
        assert {one.given_as for one in every} == set(get_args(training_cases.GivenAs))
        reductions = {one.arguments.get("reduction", "default") for one in every}
        assert len(reductions) == (4 if major == 2 else 5)


def test_outputs_are_masked_and_weighed_apart() -> None:
    """Several outputs: masked alike and not, by place and by name, the own one first and last."""
    for name, (own, *others) in OUTPUTS.items():
        found = training_configurations(
            MEASURES[own], keras_major=3, beside=tuple(MEASURES[one] for one in others)
        )
        assert {len(one.beside) for one in found} == {1}, name
        assert {one.nest for one in found} == {"list", "dict", "dict outputs"}
        assert {one.turned for one in found} == {False, True}
        assert {one.loss_weights for one in found} == {(), (0.5, 2.0)}
        assert {one.beside[0].mask for one in found} >= {"absent", "travelling"}


def test_a_pipeline_pads_behind_valid_steps() -> None:
    """With one number: noise is none."""
    padded = [
        one
        for one in training_configurations(MEASURES["MeanAbsoluteError"], keras_major=3, seed=2)
        if one.way.startswith("padded")
    ]
    for configuration in padded:
        case = find_any(cases_of(configuration=configuration, kind="gaps"))
        assert all("01" not in row for batch in case.batches for row in batch.mask)
        assert case.labels_hold != "noise"


def _places(property: str, measure: str, share: int) -> list[int]:
    """Which of all configurations of a measure a cell meets, in order."""
    declared = dataclasses.replace(PROPERTIES[property], share=share)
    found = training_strata(declared, measure, 3, "graph", 0)
    every = training_configurations(MEASURES[measure], keras_major=3)
    return [[one.chosen for one in every].index(one.chosen) for one in found.members]


def test_measures_of_one_form_share_configurations_out() -> None:
    """Each meets the plainest and every second other one, the same in all its properties; one
    that stands for its form meets all."""
    assert _places("training_isolation", "MeanAbsoluteError", 1) == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    every = _places("training_reduction", "MeanSquaredError", 2)
    assert every[:7] == [0, 1, 3, 4, 5, 7, 8]
    assert len(every) > 14  # each row in another way too, and each reduction of a masked loss
    halves = {
        tuple(_places("training_isolation", name, 2))
        for name, entry in MEASURES.items()
        if entry.kind == "losses"
    }
    assert halves >= {(0, 2, 4, 6, 8), (0, 1, 3, 7, 9)}
    for measure in ("MeanAbsoluteError", "Huber", "Poisson"):
        met = set(_places("training_isolation", measure, 2))
        assert set(_places("training_extension", measure, 2)) <= met
        assert _places("weights_alignment", measure, 2)


def test_what_is_varied_is_another_content() -> None:
    """Inputs that Masking looks at, and weights that there are none of, are not varied."""
    masking = [
        one
        for one in training_configurations(MEASURES["MeanSquaredError"], keras_major=3)
        if one.mask == "masking" and one.sample_weight == "absent"
    ]
    strategy = cases_of(configuration=masking[0], choices=("other",))
    assert find_any(strategy).varied == "labels"
    case = minimal(strategy, lambda case: case.other == "nan")
    assert (case.labels_hold, case.batches) == ("zeros", (RaggedBatch(("0",)),))


def test_traits_say_what_a_region_needs() -> None:
    """Fewer axes than what is weighed, nothing that counts, batches of other lengths."""
    plain = TrainingCase("MeanSquaredError", (BATCH,))
    assert training_traits(plain) >= {"travelling_mask", "right_padded"}
    assert "weights_of_fewer_axes" not in training_traits(plain)
    replace = msgspec.structs.replace
    for weighed in (replace(plain, sample_weight="rows"), replace(plain, inner=2)):
        assert "weights_of_fewer_axes" in training_traits(weighed)
        assert "weights_of_fewer_axes" not in training_traits(
            replace(weighed, inner=0, pooled=True)
        )
    masked = replace(plain, batches=(RaggedBatch(("00",)), BATCH))
    assert {"nothing_counts", "lengths_differ"} <= training_traits(masked)
    ignored = TrainingCase(
        "SparseCategoricalCrossentropy",
        (RaggedBatch(("1",), seed=0),),
        {"ignore_class": int(np.random.default_rng(1).integers(0, 2, (1, 1))[0, 0])},
    )
    assert "nothing_counts" in training_traits(ignored)
    assert "ignore_class=None" in training_facts(replace(ignored, arguments={}), "cpu:0", "graph")


def test_traits_say_how_fewer_axes_fit() -> None:
    """Weights of rows fit beside steps where sizes coincide, and weigh the same for one row."""
    traits = {"fewer_axes_fit_behind", "fewer_axes_alike"}

    def found(mask: tuple[str, ...], **fields: Any) -> set[str]:
        case = TrainingCase("MeanSquaredError", (RaggedBatch(mask),), **fields)
        return training_traits(case) & traits

    assert found(("10", "11"), sample_weight="rows") == {"fewer_axes_fit_behind"}
    assert found(("10", "11", "11"), sample_weight="rows") == set()
    assert found(("1", "0"), sample_weight="rows") == {"fewer_axes_fit_behind"}
    assert found(("101",), sample_weight="rows") == traits
    # With a step more they do not fit any more.
    assert found(("10", "11"), sample_weight="rows", inserted=1) == set()
    assert found(("101",)) == set()
    # Masks of steps beside two positions in each.
    assert found(("10", "11"), inner=2) == {"fewer_axes_fit_behind"}
    assert found(("10",), inner=2) == {"fewer_axes_fit_behind"}
    assert found(("1",), inner=2) == traits
    assert found(("110", "111", "100"), inner=2) == set()


def test_sizes_are_told_of_without_a_mask() -> None:
    """What a batch holds at masked steps is not, for there are none."""
    case = TrainingCase("MeanSquaredError", (RaggedBatch(("0",)),), mask="absent")
    assert training_traits(case) == {"no_mask", "single_row", "single_step", "single_position"}


def test_what_is_simpler_is_another_case() -> None:
    """Every step of making a case simpler changes it, and none comes back."""
    case = TrainingCase(
        "Huber",
        (BATCH, RaggedBatch(("1", "0"), "tenth", 7)),
        {"delta": 0.3, "reduction": "sum"},
        sample_weight="steps",
        way="fit",
        units=3,
        inner=2,
        policy="mixed_float16",
        weights=9,
        labels_hold="noise",
        weights_hold="tenth",
    )
    seen = {repr(case)}
    for _ in range(60):
        simpler = next((one for one in simpler_training(case) if repr(one) not in seen), None)
        if simpler is None:
            break
        seen.add(repr(simpler))
        case = simpler
    assert case == TrainingCase("Huber", case.batches, units=2)
    assert case.batches == (RaggedBatch(("1",)),) or case.batches == (RaggedBatch(("0",)),)


# -- running ---------------------------------------------------------------------------------


def _ran(found: Implementation, case: TrainingCase) -> dict[str, Any]:
    setting = TrainingSetting(case)
    setting.model()
    setting.train("a")
    results = Runner(found, Execution()).run(tuple(setting.steps))
    assert not results.failures
    return results.outputs


@pytest.mark.parametrize(
    ("traced", "called"),
    [
        ("train step", "train_on_batch"),
        ("train step", "fit"),
        ("test step", "test_on_batch"),
        ("test step", "evaluate"),
    ],
)
@pytest.mark.parametrize("measure", ["MeanSquaredError", "metric MeanSquaredError"])
def test_a_traced_step_is_what_methods_do(
    measure: str, traced: Way, called: Way, found: Implementation
) -> None:
    """The same loss, metric and weights."""
    case = TrainingCase(measure, (BATCH,), sample_weight="steps", way=traced)
    one, other = (_ran(found, msgspec.structs.replace(case, way=way)) for way in (traced, called))
    for name in ("a", "a.metric", "a.state"):
        assert len(one[name]) == len(other[name])
        for left, right in zip(one[name], other[name], strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-6)


def test_an_update_is_the_gradient_of_a_loop(found: Implementation) -> None:
    """The optimizer subtracts it from the weights."""
    case = TrainingCase("MeanSquaredError", (BATCH,), way="train step", weights=3)
    after = _ran(found, case)["a.state"]
    gradients = _ran(found, msgspec.structs.replace(case, way="custom loop"))["a.state"]
    for start, gradient, end in zip(TrainingSetting(case).drawn, gradients, after, strict=True):
        np.testing.assert_allclose(start - gradient, end, atol=1e-6)


def test_a_model_starts_afresh(found: Implementation) -> None:
    """What a step gives does not depend on the steps before."""
    case = TrainingCase("MeanSquaredError", (BATCH,), way="train step")
    setting = TrainingSetting(case)
    setting.model()
    setting.train("a")
    setting.train("b")
    outputs = Runner(found, Execution()).run(tuple(setting.steps)).outputs
    for left, right in zip(outputs["a.state"], outputs["b.state"], strict=True):
        np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(outputs["a"][0], outputs["b"][0])


def test_one_output_of_two_is_trained_as_by_itself(found: Implementation) -> None:
    """Its loss, and its weights after an update; all losses add up by their weights."""
    other = TrainingCase("CategoricalCrossentropy", (RaggedBatch(("1", "0"), seed=8),), units=3)
    own = TrainingCase("MeanSquaredError", (BATCH,), weights=3)
    for turned in (False, True):
        case = msgspec.structs.replace(own, beside=(other,), loss_weights=(0.5, 2.0), turned=turned)
        setting = TrainingSetting(case)
        both = _ran(found, case)
        one, another = both["a.each"][setting.place], both["a.each"][1 - setting.place]
        np.testing.assert_allclose(both["a"][0], 0.5 * one + 2 * another, rtol=1e-6)
        alone = msgspec.structs.replace(own, way="test step")
        expected = TrainingSetting(alone)
        expected.drawn = setting.drawn
        np.testing.assert_allclose(one, expected.expected()[0], rtol=1e-5)


def test_a_mask_given_as_weights_is_the_mask(found: Implementation) -> None:
    """Of a sum, which divides by no count."""
    case = TrainingCase("MeanSquaredError", (BATCH,), {"reduction": "sum"}, sample_weight="steps")
    loops = ("custom loop", "mask as weights", "compute_loss")
    ones = [_ran(found, msgspec.structs.replace(case, way=way)) for way in loops]
    for one in ones[1:]:
        np.testing.assert_allclose(one["a"][0], ones[0]["a"][0], rtol=1e-6)


def test_a_padded_pipeline_is_the_padded_batch(found: Implementation) -> None:
    """Rows of their own lengths, padded by `tf.data`, with labels and weights of steps."""
    case = TrainingCase(
        "MeanSquaredError", (BATCH,), sample_weight="steps", labels_hold="tenth", way="fit"
    )
    plain, padded = (
        _ran(found, msgspec.structs.replace(case, way=way)) for way in ("fit", "padded fit")
    )
    for name in ("a", "a.state"):
        for left, right in zip(plain[name], padded[name], strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-6)


# -- planted defects -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ground() -> Ground:
    """The installed Keras, with what is known of it."""
    return Ground.of("keras")


@pytest.mark.parametrize("defect", TRAINING_DEFECTS, ids=lambda one: one.name.replace(" ", "-"))
def test_a_planted_defect_is_seen(defect: TrainingDefect, ground: Ground) -> None:
    """Masks and weights that are ignored, shifted, along the wrong axis: new, whatever is known."""
    if defect.name == "no valid step is NaN" and ground.implementation.keras_major == 2:
        pytest.skip("Keras 2 does so by itself")
    if defect.name == "student unmasked" and not hasattr(
        ground.implementation.keras, "distillation"
    ):
        pytest.skip("there is no Distiller")
    sight = first_sight(defect, 0, ground)
    assert sight is not None, f"{defect.description} None of {', '.join(defect.properties)} saw it"


@pytest.mark.parametrize("measure", ["CategoricalCrossentropy", "metric BinaryAccuracy"])
def test_equivalent_measures_are_not_seen(measure: str, ground: Ground) -> None:
    """A class that only has another name has nothing new."""
    entry = MEASURES[measure]
    found = ground.implementation
    real = getattr(getattr(found.keras, entry.kind), entry.cls)
    same = {f"{entry.kind}.{entry.cls}": type(entry.cls, (real,), {})}
    planted = dataclasses.replace(
        ground,
        implementation=Implementation(found.installed, same),
        profile=QUICK,
    )
    assert new_deviations(planted, measure, 0) == []


def test_every_property_of_training_has_a_defect() -> None:
    """No property is without a defect that names it."""
    named = {property for defect in TRAINING_DEFECTS for property in defect.properties}
    assert set(TRAINING) - named == set()


@pytest.mark.parametrize(("keras", "taken"), [("3.6.0", False), ("3.7.0", True), ("3.15.1", True)])
def test_a_reduction_is_met_where_it_is_known(keras: str, taken: bool) -> None:
    """What a version does not know yet is no layer that cannot be built."""
    family = FAMILIES["training"]
    assert family.takes({"reduction": "mean", "rank": 3}, keras) == taken
    assert family.takes({"reduction": "sum", "rank": 3}, keras)
