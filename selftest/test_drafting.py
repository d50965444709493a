"""Proposed entries are a ledger, which knows what the survey found."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from reports.drafting import draft
from reports.ledger_file import load_ledger
from reports.record import Finding, Record
from selftest.records import entry, finding, record


def surveyed(**changes: Any) -> Finding:
    """A new finding of a survey."""
    known = {
        "message": "1.0 against 0.0",
        "case": {"batch": {"mask": ["10"]}, "other": None},
        "regions": [{"all": ["gaps"], "none": ["single_row"]}],
    }
    return finding(**(known | changes))


def record_of(*found: tuple[str, str, Finding], keras: str = "3.15.1") -> Record:
    """A record whose cells (property, layer) have a finding each."""
    cells = [entry(property, layer, "new", findings=[one]) for property, layer, one in found]
    return record(*cells, keras=keras)


def test_one_cause_in_many_cells_is_one_entry(tmp_path: Path) -> None:
    """Cells, layers and versions of one kind and region are joined, and the file is a ledger."""
    cells = [("truth", "LSTM"), ("truth", "GRU"), ("truth", "RNN"), ("extension", "LSTM")]
    found = [(property, layer, surveyed()) for property, layer in cells]
    text = draft([record_of(*found), record_of(*found[:1], keras="3.15.0")])
    path = tmp_path / "ledger.toml"
    path.write_text(text)
    layers = ("LSTM", "GRU", "RNN")
    ledger = load_ledger(path, properties={"truth": layers, "extension": layers})
    (proposed,) = ledger
    assert proposed.layers == layers
    assert proposed.deviating == ("keras 3.15.1", "keras 3.15.0")
    assert proposed.region.describe() == "gaps, without single_row"
    assert proposed.reason.startswith("TO DECIDE")
    assert [(pin.property, pin.layer) for pin in proposed.pins] == [
        ("truth", "LSTM"),
        ("truth", "GRU"),
        ("extension", "LSTM"),
    ]
    assert proposed.pins[0].case == {"batch": {"mask": ["10"]}}


def test_other_kinds_and_regions_are_entries_of_their_own() -> None:
    """A person joins causes more easily than tells them apart."""
    refused = surveyed(kind="refused", exception="ValueError")
    elsewhere = surveyed(regions=[{"all": ["a"], "none": []}, {"all": ["b", "c"], "none": []}])
    text = draft([record_of(*(("truth", "LSTM", one) for one in (surveyed(), refused, elsewhere)))])
    entries = tomllib.loads(text)["deviation"]
    assert len(entries) == 3
    assert entries[1]["instead"] == {"exception": "ValueError"}
    assert entries[2]["region"] == {"any": [["a"], ["b", "c"]]}


def test_what_is_known_is_not_proposed() -> None:
    """Findings that the ledger knows give no entry."""
    assert draft([record_of(("truth", "LSTM", surveyed(deviation="known")))]) == ""
