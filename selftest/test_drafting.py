"""Proposed entries are a ledger, which knows what the survey found."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

from reports.drafting import draft
from reports.ledger_file import load_ledger
from reports.record import Entry, Environment, Finding, Record

ENVIRONMENT = Environment(
    implementation="keras",
    keras="3.15.1",
    tensorflow="2.21.0",
    python="3.11",
    numpy="2.0",
    hypothesis="6",
    pytest="9",
    platform="Linux",
    cpus=2,
    devices=["cpu:0"],
)


def finding(**changed: object) -> Finding:
    """A new finding of a survey."""
    fields: dict[str, object] = {
        "comparison": "output",
        "level": "must",
        "kind": "wrong value",
        "message": "1.0 against 0.0",
        "case": {"batch": {"mask": ["10"]}, "other": None},
        "facts": ["gaps", "mode=graph"],
        "regions": [{"all": ["gaps"], "none": ["single_row"]}],
    }
    return Finding(**{**fields, **changed})  # type: ignore[arg-type]


def record(*found: tuple[str, str, Finding], keras: str = "3.15.1") -> Record:
    """A record whose cells (property, layer) have a finding each."""
    entries = [
        Entry(
            node=f"{layer}-{property}",
            property=property,
            layer=layer,
            device="cpu:0",
            mode="graph",
            level="must",
            statement="It holds.",
            source="a page",
            outcome="new",
            findings=[one],
        )
        for property, layer, one in found
    ]
    return Record(
        environment=msgspec.structs.replace(ENVIRONMENT, keras=keras),
        profile="quick",
        seed=0,
        started="2026-11-22T00:00:00+00:00",
        seconds=1.0,
        workers=1,
        selected=[one.node for one in entries],
        entries=entries,
        not_run=[],
        deselected=0,
        complete=True,
        exit_reason="finished",
    )


def test_one_cause_in_many_cells_is_one_entry(tmp_path: Path) -> None:
    """Cells, layers and versions of one kind and region are joined, and the file is a ledger."""
    cells = [("truth", "LSTM"), ("truth", "GRU"), ("truth", "RNN"), ("extension", "LSTM")]
    found = [(property, layer, finding()) for property, layer in cells]
    text = draft([record(*found), record(*found[:1], keras="3.15.0")])
    path = tmp_path / "ledger.toml"
    path.write_text(text)
    layers = ("LSTM", "GRU", "RNN")
    ledger = load_ledger(path, properties={"truth": layers, "extension": layers})
    (entry,) = ledger
    assert entry.layers == layers
    assert entry.deviating == ("keras 3.15.1", "keras 3.15.0")
    assert entry.region.describe() == "gaps, without single_row"
    assert entry.reason.startswith("TO DECIDE")
    assert [(pin.property, pin.layer) for pin in entry.pins] == [
        ("truth", "LSTM"),
        ("truth", "GRU"),
        ("extension", "LSTM"),
    ]
    assert entry.pins[0].case == {"batch": {"mask": ["10"]}}


def test_other_kinds_and_regions_are_entries_of_their_own() -> None:
    """A person joins causes more easily than tells them apart."""
    refused = finding(kind="refused", exception="ValueError")
    elsewhere = finding(regions=[{"all": ["a"], "none": []}, {"all": ["b", "c"], "none": []}])
    text = draft([record(*(("truth", "LSTM", one) for one in (finding(), refused, elsewhere)))])
    entries = tomllib.loads(text)["deviation"]
    assert len(entries) == 3
    assert entries[1]["instead"] == {"exception": "ValueError"}
    assert entries[2]["region"] == {"any": [["a"], ["b", "c"]]}


def test_what_is_known_is_not_proposed() -> None:
    """Findings that the ledger knows give no entry."""
    assert draft([record(("truth", "LSTM", finding(deviation="known")))]) == ""
