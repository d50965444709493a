"""Records are used or left out with a sentence, and only whole and healthy ones are green."""

import json
from pathlib import Path
from typing import Any

import pytest

from reports.__main__ import main
from reports.loading import FAILED, load
from reports.record import FAILING, OUTCOMES, Record, write_record
from selftest.records import entry, finding, record


def written(folder: Path, made: Record, name: str = "record.json") -> Path:
    """The file of a record."""
    path = folder / name
    write_record(path, made)
    return path


def checked(capsys: pytest.CaptureFixture[str], *paths: Path) -> tuple[int, list[str], list[str]]:
    """Exit status, lines and errors of `check`."""
    status = main(["check", *map(str, paths)])
    said = capsys.readouterr()
    return status, said.out.splitlines(), said.err.splitlines()


def test_a_complete_record_without_failing_outcomes_is_green(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What holds and what deviates as the ledger says is green, in one sentence."""
    path = written(tmp_path, record(entry(), entry("truth", outcome="deviates")))
    status, lines, errors = checked(capsys, path)
    assert (status, errors) == (0, [])
    assert lines == [
        f"{path}: keras 3.15.1, TensorFlow 2.21.0: "
        "green: 1 of 2 cells hold, 1 deviates as the ledger says"
    ]


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_exactly_failing_outcomes_fail(
    outcome: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failing outcome of one cell is named and makes the exit status 1."""
    path = written(tmp_path, record(entry(), entry("truth", outcome=outcome)))
    status, (line,), _ = checked(capsys, path)
    assert status == (outcome in FAILING)
    assert ("green" in line) == (outcome not in FAILING)
    assert outcome not in FAILING or f"1 {outcome} of 2 cells" in line


@pytest.mark.parametrize(
    "changes",
    [
        {"not_run": ["suite.py::test_cell[GRU-truth-cpu:0-graph]"]},
        {"complete": False, "exit_reason": "interrupted"},
        # What a record says of itself is not enough.
        {"selected": ["some.py::test_cell[GRU-truth-cpu:0-graph]"]},
        {"not_run": ["some.py::test_cell[x]"], "complete": True, "exit_reason": "finished"},
    ],
)
def test_an_incomplete_record_is_never_green(
    changes: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cells that all hold are not green where others did not report, whatever the record says."""
    status, (line,), _ = checked(capsys, written(tmp_path, record(entry(), **changes)))
    assert status == 1
    assert "incomplete" in line
    assert "green" not in line


def test_a_record_of_nothing_is_not_green(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A record without any cell is incomplete, even one that calls itself complete."""
    status, (line,), _ = checked(capsys, written(tmp_path, record()))
    assert status == 1
    assert "no cell was selected" in line


def bad_files(folder: Path) -> dict[str, Path]:
    """A file of each way of being no record, by what is said of it."""
    good = json.loads(written(folder, record(entry()), "good.json").read_text())
    contents = {
        "is empty": "",
        "is cut off": (folder / "good.json").read_text()[:300],
        "has schema": json.dumps(good | {"schema": "keras-mask-tests/record/99"}),
        "is no record of": json.dumps({"schema": "somebody-else/1"}),
        "does not fit its schema": json.dumps(good | {"seconds": "long"}),
    }
    paths = {"cannot read": folder / "missing.json"}
    for number, (said, content) in enumerate(contents.items()):
        paths[said] = folder / f"bad-{number}.json"
        paths[said].write_text(content)
    return paths


def test_each_bad_file_is_named_in_one_sentence_and_the_others_are_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Missing, empty, cut off, of another schema or project: said, and the good one is checked."""
    bad = bad_files(tmp_path)
    status, lines, errors = checked(capsys, *bad.values(), tmp_path / "good.json")
    assert status == 1
    assert len(lines) == 1
    for said, path in bad.items():
        assert [line for line in errors if said in line and path.name in line], said
    assert len(errors) == len(bad)


def test_without_any_usable_record_the_exit_status_is_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is green that nobody has read."""
    status, lines, errors = checked(capsys, tmp_path / "missing.json")
    assert (status, lines) == (2, [])
    assert errors[-1] == "no record can be used: nothing was checked"


def test_a_record_is_used_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same file twice, and the same content in another file or layout, count once."""
    path = written(tmp_path, record(entry()))
    copy = tmp_path / "copy.json"
    copy.write_text(json.dumps(json.loads(path.read_text())))
    status, lines, errors = checked(capsys, path, path, copy)
    assert (status, len(lines)) == (0, 1)
    assert errors == [
        f"the record {path} is used once: it was given twice",
        f"the record {copy} is used once: it holds the same as {path}",
    ]


def test_a_folder_stands_for_the_record_in_it(tmp_path: Path) -> None:
    """What `--report` was given can be given here."""
    path = written(tmp_path, record(entry()))
    assert [source.path for source in load([tmp_path]).sources] == [path]


def test_a_folder_of_folders_stands_for_their_records(tmp_path: Path) -> None:
    """What a run over versions leaves: a folder for each, with a record or why there is none."""
    for name, layer in (("b", "GRU"), ("a", "LSTM")):
        (tmp_path / name).mkdir()
        written(tmp_path / name, record(entry(layer=layer)))
    (tmp_path / "c").mkdir()
    text = {"schema": FAILED, "environment": "c", "sentence": "could not be installed"}
    (tmp_path / "c" / "failed.json").write_text(json.dumps(text))
    (tmp_path / "pages").mkdir()
    found = load([tmp_path])
    assert [source.path.parent.name for source in found.sources] == ["a", "b"]
    (one,) = found.left_out
    assert "could not be installed" in one.reason


def test_findings_of_older_records_are_read(tmp_path: Path) -> None:
    """A finding without positions, as records had it at first, is read."""
    path = written(tmp_path, record(entry(outcome="new", findings=[finding()])))
    content = json.loads(path.read_text())
    for name in ("shape", "differing"):
        del content["entries"][0]["findings"][0][name]
    path.write_text(json.dumps(content))
    ((source,), left_out) = load([path])
    assert left_out == []
    assert source.record.entries[0].findings[0].differing == []


def test_escapes_in_a_record_do_not_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Control characters are stripped, and ten megabytes are cut, in what is said of a record."""
    reason = "\x1b]0;title\x07\x1b[31m" + "x" * 10_000_000
    made = record(entry(), complete=False, exit_reason=reason)
    _, (line,), _ = checked(capsys, written(tmp_path, made))
    assert "\x1b" not in line
    assert len(line) < 2_000
    assert "cut, " in line


def test_an_environment_that_could_not_run_is_named_with_its_sentence(tmp_path: Path) -> None:
    """What `.ci/versions` wrote in place of a record says why there is none."""
    text = '{"schema": "keras-mask-tests/failed/1", "environment": "py311-tf211", "sentence": "no"}'
    (tmp_path / "failed.json").write_text(text)
    (left_out,) = load([tmp_path]).left_out
    assert left_out.reason == "no record of py311-tf211: no"
