"""What models are given in training: datasets that tell no sizes, and steps that are traced."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from catalogue.cases import RaggedBatch
from catalogue.training_cases import TrainingCase
from catalogue.training_steps import Model, Train
from execution.implementation import Implementation, installed
from execution.running import Execution, Runner
from execution.training_data import Datasets
from properties.training_setting import TrainingSetting

BATCHES = (RaggedBatch(("110", "100"), seed=5), RaggedBatch(("1",), seed=6))
CASE = TrainingCase("MeanSquaredError", BATCHES, sample_weight="steps", way="fit")


@pytest.fixture(scope="module")
def found() -> Implementation:
    """The Keras that is installed, imported once."""
    return Implementation(installed())


def _steps(case: TrainingCase, **options: Any) -> tuple[Model, Train]:
    setting = TrainingSetting(case)
    setting.model()
    step = setting.train("a", **options)
    return setting.steps[0], step


@pytest.mark.parametrize("way", ["fit", "padded fit"])
def test_a_dataset_tells_no_sizes_before_they_come(way: Any, found: Implementation) -> None:
    """It holds the batches, one after the other, and says how many there are."""
    tf = found.tensorflow
    model, step = _steps(msgspec.structs.replace(CASE, way=way))
    dataset = Datasets(tf).of(model, step, step.given)
    assert int(dataset.cardinality()) == len(BATCHES)
    specs = tf.nest.flatten(dataset.element_spec)
    assert [tuple(spec.shape[:2]) for spec in specs] == [(None, None)] * 4
    for element, (given,) in zip(dataset, step.given, strict=True):
        for tensor, array in zip(tf.nest.flatten(element), given.arrays(), strict=True):
            np.testing.assert_array_equal(tensor, array.value())


def test_what_cannot_be_traced_is_not_traced_again(found: Implementation) -> None:
    """It raises the same, at once."""
    case = msgspec.structs.replace(CASE, way="train step", batches=BATCHES[:1])
    setting = TrainingSetting(case)
    setting.model()
    runner = Runner(found, Execution())
    setting.train("a", way="custom loop")
    steps = list(setting.steps)
    model = runner._models.built(steps[0])

    def refuses(*given: Any) -> None:
        raise ValueError("no")

    model.losses[0] = refuses
    messages = [runner.run(tuple(steps)).failures["a"].message for _ in range(3)]
    assert messages == ["no"] * 3
    assert runner.counters.counts["trace"] == 1


def test_classes_without_a_weight_are_left_out() -> None:
    """Their numbers are those of the others' places."""
    _, step = _steps(CASE, class_weight=(None, 2.0, 0.5))
    assert step.classes == {1: 2.0, 2: 0.5}


def test_epochs_begin_afresh(found: Implementation) -> None:
    """What `fit` gives of its last epoch is what the last of as many steps gives by itself."""
    batch = BATCHES[:1]
    case = msgspec.structs.replace(CASE, batches=batch)
    setting = TrainingSetting(case)
    setting.model()
    given = setting.given()
    setting.train("epochs", given, epochs=2, validation=((given,),))
    setting.train("steps", given, given, way="train step", afresh=True)
    setting.train("three", given, given, given, way="train step", afresh=True)
    outputs = Runner(found, Execution()).run(tuple(setting.steps)).outputs
    np.testing.assert_allclose(outputs["epochs"][0], outputs["steps"][0], rtol=1e-5)
    np.testing.assert_allclose(outputs["epochs.validation"][0], outputs["three"][0], rtol=1e-5)
