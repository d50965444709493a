"""Training under masks: the catalogue is whole, what is drawn, how it runs, planted defects."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import msgspec
import numpy as np
import pytest

from catalogue import training_cases
from catalogue.cases import RaggedBatch
from catalogue.training import EXCLUDED, MEASURES, measure_of
from catalogue.training_cases import TrainingCase, Way
from execution.implementation import Implementation, installed
from execution.running import Execution, Runner
from properties.families import FAMILIES
from properties.training_family import (
    simpler_training,
    training_facts,
    training_strata,
    training_traits,
)
from properties.training_setting import TrainingSetting
from selftest.defects_of_training import DEFECTS
from selftest.helpers import find_any, minimal
from selftest.training_ground import PROPERTIES, entry_of_cell
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
    there = {entry.cls for entry in MEASURES.values() if entry.kind == kind}
    assert public - there - set(EXCLUDED[kind]) == set()
    assert there & set(EXCLUDED[kind]) == set()
    keras = found.installed.keras
    family = FAMILIES["training"]
    missing = {
        entry.cls
        for name, entry in MEASURES.items()
        if entry.kind == kind and entry.cls not in public and family.has(name, keras)
    }
    assert missing == set()


def test_functions_and_arguments_of_the_catalogue_exist(found: Implementation) -> None:
    """Each function is public, and each argument one of the constructor's."""
    for name, entry in MEASURES.items():
        if not FAMILIES["training"].has(name, found.installed.keras):
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
            assert len({one.way for one in found}) >= 3


def _places(property: str, measure: str, share: int) -> list[int]:
    """Which of all configurations of a measure a cell meets, in order."""
    declared = dataclasses.replace(PROPERTIES[property], share=share)
    found = training_strata(declared, measure, 3, "graph", 0)
    every = training_configurations(MEASURES[measure], keras_major=3)
    return [[one.chosen for one in every].index(one.chosen) for one in found.members]


def test_measures_of_one_form_share_configurations_out() -> None:
    """Each meets the plainest and every second other one, the same in all its properties; one
    that stands for its form meets all."""
    assert _places("training_isolation", "MeanAbsoluteError", 1) == [0, 1, 2, 3, 4, 6, 7]
    assert _places("training_reduction", "MeanSquaredError", 2) == [0, 1, 3, 4, 5, 7]
    halves = {
        tuple(_places("training_isolation", name, 2))
        for name, entry in MEASURES.items()
        if entry.kind == "losses"
    }
    assert halves >= {(0, 2, 4, 6), (0, 1, 3, 7)}
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


# -- planted defects -------------------------------------------------------------------------


@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_is_seen(name: str, seed: int, found: Implementation) -> None:
    """Masks and weights that are ignored, shifted, along the wrong axis: new."""
    if name == "no valid step is NaN" and found.keras_major == 2:
        pytest.skip("Keras 2 does so by itself")
    measure, property, overrides = DEFECTS[name]
    planted = Implementation(found.installed, overrides(found.keras, found.tensorflow))
    assert entry_of_cell(planted, measure, property, seed)["outcome"] == "new"


@pytest.mark.parametrize(
    "measure", ["MeanSquaredError", "CategoricalCrossentropy", "metric BinaryAccuracy"]
)
def test_equivalent_measures_are_not_seen(measure: str, found: Implementation) -> None:
    """A class that only has another name has nothing new, in as much as `quick` meets."""
    entry = MEASURES[measure]
    real = getattr(getattr(found.keras, entry.kind), entry.cls)
    same = type(entry.cls, (real,), {})
    planted = Implementation(found.installed, {f"{entry.kind}.{entry.cls}": same})
    for property in TRAINING:
        if PROPERTIES[property].of(measure):
            outcome = entry_of_cell(planted, measure, property, 0, thin=3)["outcome"]
            assert outcome in ("holds", "deviates"), property
