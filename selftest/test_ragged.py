"""Ragged tensors: what is taken must be right row by row, what is refused is noted."""

from __future__ import annotations

from typing import Any

import pytest

from execution.implementation import Implementation, installed
from execution.running import Execution, Runner
from properties.cells import Cell, Profile
from properties.running import CellRunner
from reports.diff import compare
from reports.ledger import Ledger
from selftest.records import entry
from selftest.test_diff import sides

_EXECUTION = Execution("cpu:0", "graph")


def ran(overrides: dict[str, type], layer: str, property: str, explain: bool = False) -> Any:
    """The entry of a cell with some classes planted, and an empty ledger."""
    implementation = Implementation(installed("keras"), overrides)
    runner, cell = Runner(implementation, _EXECUTION), Cell(property, layer, _EXECUTION)
    profile = Profile("standard", examples=1)
    return CellRunner(cell, runner, Ledger(()), profile, 0, explain=explain).run()


@pytest.fixture(scope="module")
def keras() -> Any:
    """The Keras that is installed."""
    return Implementation(installed("keras")).keras


def test_padding_that_is_averaged_is_seen(keras: Any) -> None:
    """A layer that pads a ragged tensor and forgets how long rows were is new, with a script."""

    class Padding(keras.layers.GlobalAveragePooling1D):  # type: ignore[misc, name-defined]
        def call(self, inputs: Any, mask: Any = None) -> Any:
            ragged = hasattr(inputs, "row_lengths")
            return super().call(inputs.to_tensor() if ragged else inputs, mask=mask)

    found = ran({"GlobalAveragePooling1D": Padding}, "GlobalAveragePooling1D", "layer_ragged", True)
    assert found["outcome"] == "new"
    assert "from_row_lengths" in found["findings"][0]["script"]


def test_lengths_that_are_lost_are_seen(keras: Any) -> None:
    """What comes out dense, without a mask, no longer says how long its rows are."""

    class Dense(keras.layers.ReLU):  # type: ignore[misc, name-defined]
        def call(self, inputs: Any) -> Any:
            return super().call(inputs.to_tensor() if hasattr(inputs, "row_lengths") else inputs)

    found = ran({"ReLU": Dense}, "ReLU", "layer_ragged")
    assert [one["comparison"] for one in found["findings"]] == ["lengths"]


def test_a_state_of_padding_is_seen(keras: Any) -> None:
    """A recurrent layer that goes on over what it put behind a row is new."""

    class Padding(keras.layers.LSTM):  # type: ignore[misc, name-defined]
        def call(self, sequences: Any, *args: Any, **kwargs: Any) -> Any:
            ragged = hasattr(sequences, "row_lengths")
            return super().call(sequences.to_tensor() if ragged else sequences, *args, **kwargs)

    assert ran({"LSTM": Padding}, "LSTM", "ragged")["outcome"] == "new"


def test_a_refusal_is_noted(keras: Any) -> None:
    """An exception is an answer: the cell holds, and its entry says which it was."""

    class Refusing(keras.layers.ReLU):  # type: ignore[misc, name-defined]
        def call(self, inputs: Any) -> Any:
            if hasattr(inputs, "row_lengths"):
                raise NotImplementedError("no ragged tensors")
            return super().call(inputs)

    found = ran({"ReLU": Refusing}, "ReLU", "layer_ragged")
    assert found["outcome"] == "holds"
    assert list(found["observed"]) == ["refused by NotImplementedError"]


def test_how_a_user_is_told_is_noted() -> None:
    """Of a mask that stops the entry says by what its user was told of it."""
    assert set(ran({}, "Plain", "told")["observed"]) <= {"told by a warning", "told by TypeError"}


def test_what_was_taken_and_is_refused_shows_in_the_difference() -> None:
    """Two records of cells that hold name what the implementation does otherwise, unweighed."""
    both = [
        entry("layer_ragged", "Dense", observed={word: 3})
        for word in ("taken", "refused by ValueError")
    ]
    difference = compare(*sides(both[:1], both[1:]))
    (change,) = difference.changes
    assert (change.now, change.before) == (("refused by ValueError",), ("taken",))
    assert not difference.worse
