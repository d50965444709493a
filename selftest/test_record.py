"""The record of a run is read as it was written, and is whole or absent."""

import errno
import math
import os
from pathlib import Path
from typing import Any

import pytest

from reports.record import (
    FAILING,
    OUTCOMES,
    Entry,
    Environment,
    Finding,
    Record,
    RecordError,
    check_folder,
    decode_entry,
    encode_entry,
    read_record,
    worst,
    write_record,
)


def finding(**changes: Any) -> Finding:
    """A finding, with some fields set otherwise."""
    known: dict[str, Any] = {
        "comparison": "outputs",
        "level": "must",
        "kind": "wrong value",
        "message": "1.0 against 2.0",
    }
    return Finding(**(known | changes))


def entry(**changes: Any) -> Entry:
    """An entry, with some fields set otherwise."""
    known: dict[str, Any] = {
        "node": "suite.py::test_cell[LSTM]",
        "property": "padding_is_ignored",
        "layer": "LSTM",
        "device": "cpu:0",
        "mode": "graph",
        "level": "must",
        "statement": "Padding is ignored.",
        "source": "guide on masking",
        "outcome": "holds",
    }
    return Entry(**(known | changes))


def record(*entries: Entry, **changes: Any) -> Record:
    """A record of some entries, with some fields set otherwise."""
    known: dict[str, Any] = {
        "environment": Environment(
            implementation="keras",
            keras="3.15.1",
            tensorflow="2.21.0",
            python="3.11.7",
            numpy="2.3.0",
            hypothesis="6.140.0",
            pytest="9.0.0",
            platform="Linux",
            cpus=2,
            devices=["cpu:0"],
        ),
        "profile": "quick",
        "seed": 7,
        "started": "2026-11-22T12:00:00+00:00",
        "seconds": 1.5,
        "workers": 2,
        "selected": [one.node for one in entries],
        "entries": list(entries),
        "not_run": [],
        "deselected": 0,
        "complete": True,
        "exit_reason": "finished",
    }
    return Record(**(known | changes))


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    """What is written is read again, equal in every field."""
    written = record(entry(outcome="new", findings=[finding(facts=["gaps"], difference=0.5)]))
    write_record(tmp_path / "new" / "record.json", written)
    assert read_record(tmp_path / "new" / "record.json") == written


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_a_number_that_is_not_finite_survives(tmp_path: Path, number: float) -> None:
    """Infinity and NaN, as a difference, a bound or within a case, are not lost in JSON."""
    lost = finding(difference=number, bound=number, case={"values": [number, 1.0]})
    write_record(tmp_path / "record.json", record(entry(outcome="new", findings=[lost])))
    found = read_record(tmp_path / "record.json").entries[0].findings[0]
    assert found.difference is not None
    assert float(found.difference) == pytest.approx(number, nan_ok=True)
    assert found.bound == str(number)
    assert found.case == {"values": [str(number), 1.0]}


def test_a_number_that_is_a_word_is_refused() -> None:
    """A difference is a number or one of the three words for what is not finite."""
    with pytest.raises(ValueError, match="difference is 'much'"):
        finding(difference="much")


def test_half_a_surrogate_pair_does_not_cost_the_record(tmp_path: Path) -> None:
    """Text that UTF-8 cannot write is replaced, not raised about."""
    odd = entry(outcome="new", findings=[finding(message="\ud800 odd")])
    write_record(tmp_path / "record.json", record(odd))
    assert "odd" in read_record(tmp_path / "record.json").entries[0].findings[0].message


def test_an_entry_travels_as_text() -> None:
    """An entry is equal to itself after it went through a test's report."""
    sent = entry(outcome="deviates", deviations={"known": 3}, traits={"gaps": 2})
    assert decode_entry(encode_entry(sent)) == sent


def test_an_unknown_outcome_is_refused() -> None:
    """An entry has one of the seven outcomes."""
    with pytest.raises(ValueError, match="unknown outcome 'fine'"):
        entry(outcome="fine")


def test_the_worst_outcome_comes_first() -> None:
    """Of several outcomes the one named first in the list counts."""
    assert worst(reversed(OUTCOMES)) == "crashed"
    assert worst(["holds", "deviates", "holds"]) == "deviates"
    assert {"deviates", "holds"}.isdisjoint(FAILING)
    assert len(FAILING) == 5
    with pytest.raises(ValueError, match="no outcomes"):
        worst([])


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    """Checking and writing say, in one sentence, which path is in the way."""
    (tmp_path / "taken").write_text("")
    for folder in (tmp_path / "taken", tmp_path / "taken" / "deeper"):
        with pytest.raises(RecordError, match=r"taken.*a file is in its place"):
            check_folder(folder)
        with pytest.raises(RecordError, match=r"taken.*a file is in its place"):
            write_record(folder / "record.json", record())


def test_a_folder_that_can_be_written_is_left_empty(tmp_path: Path) -> None:
    """Checking makes the folder and leaves nothing in it."""
    check_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_device_is_never_replaced(tmp_path: Path) -> None:
    """A record is not written over what is no ordinary file, even where one could."""
    for path in (Path("/dev/full"), tmp_path):
        with pytest.raises(RecordError, match="not an ordinary file"):
            write_record(path, record())
    assert Path("/dev/full").is_char_device()
    with pytest.raises(RecordError, match="/dev/full"):
        check_folder("/dev/full")


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_a_write_that_stops_leaves_the_old_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """A full disk or Ctrl-C while writing leaves the earlier record whole and nothing besides."""
    path = tmp_path / "record.json"
    write_record(path, record(profile="earlier"))

    def fail(descriptor: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    expected = RecordError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        write_record(path, record(profile="later"))
    assert [one.name for one in tmp_path.iterdir()] == ["record.json"]
    assert read_record(path).profile == "earlier"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b'{"schema": "keras-mask-tests/rec', "cut off or no JSON"),
        (b'"\xff"', "cut off or no JSON"),
        (b"[]", "is no record of keras-mask-tests"),
        (b'{"schema": "other/record/1"}', "is no record of keras-mask-tests"),
        (b'{"results": []}', "is no record of keras-mask-tests"),
        (b'{"schema": "keras-mask-tests/record/2"}', "has schema 'keras-mask-tests/record/2'"),
        (b'{"schema": "keras-mask-tests/record/1"}', "does not fit its schema: .*environment"),
    ],
)
def test_what_is_no_record_is_refused_in_one_sentence(
    tmp_path: Path, content: bytes, said: str
) -> None:
    """An empty, cut or foreign file is named, with what is wrong with it."""
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(RecordError, match=f"record.json.*{said}"):
        read_record(path)


def test_a_record_with_an_unknown_field_is_refused(tmp_path: Path) -> None:
    """What a schema does not name is not passed over."""
    path = tmp_path / "record.json"
    write_record(path, record())
    path.write_text(path.read_text().replace('"profile"', '"extra": 1, "profile"'))
    with pytest.raises(RecordError, match="unknown field `extra`"):
        read_record(path)


@pytest.mark.parametrize("name", ["missing.json", "."])
def test_a_record_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    """A missing file and a folder in its place are said to be that."""
    with pytest.raises(RecordError, match=r"cannot read the record .*(no such file|directory)"):
        read_record(tmp_path / name)
