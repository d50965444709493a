"""What is found with an empty ledger is counted, and must not become less."""

from __future__ import annotations

import tomllib

import pytest

from selftest.findings import FOUND, Sighting, counted, fewer, main


def test_cells_and_deviations_are_counted_once() -> None:
    """Seeds that find the same cell, and cells that find the same cause, count once."""
    found = [Sighting("passage", "Add", seed, 1, ("one", "two")) for seed in (0, 1)]
    found.append(Sighting("passage", "Dot", 0, 1, ("two",)))
    assert counted(found) == {"cells": 2, "deviations": 2}


def test_what_is_less_is_said() -> None:
    """More than before is no matter, less is."""
    assert not fewer({"cells": 3}, {"cells": 2})
    assert not fewer({"cells": 3}, {})
    assert fewer({"cells": 1}, {"cells": 2}) == ["1 cells where 2 were found before"]


def test_a_layer_with_a_known_deviation_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Flatten changes the rows of ragged tensors, on every version that was measured."""
    assert main(["--layer=Flatten"]) == 0
    assert "reshaped-ragged-values-change-rows" in capsys.readouterr().out


def test_an_unknown_layer_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A layer of no entry is named, with those that there are."""
    with pytest.raises(SystemExit):
        main(["--layer=Fold"])
    assert "--layer Fold: choose from" in capsys.readouterr().err


def test_what_stands_there_is_of_whole_runs() -> None:
    """Each version that was measured has both numbers, and found something."""
    table = tomllib.loads(FOUND.read_text()) if FOUND.exists() else {}
    for numbers in table.values():
        assert set(numbers) == {"cells", "deviations"}
        assert min(numbers.values()) > 0
