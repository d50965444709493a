"""The diff of two records names what changed, and its exit status says whether that is worse."""

from pathlib import Path
from typing import Any

import pytest

from reports.__main__ import main
from reports.diff import compare
from reports.loading import Source
from reports.record import Entry, write_record
from selftest.records import entry, finding, record


def sides(old: list[Entry], new: list[Entry], **changes: Any) -> tuple[Source, Source]:
    """An old record and a new one, of two versions; `changes` are the new one's."""
    return (
        Source(Path("old.json"), record(*old, keras="3.14.0")),
        Source(Path("new.json"), record(*new, **changes)),
    )


def told(
    old: list[Entry],
    new: list[Entry],
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    **changes: Any,
) -> tuple[int, str]:
    """Exit status and text of `diff`."""
    paths = []
    for source in sides(old, new, **changes):
        write_record(folder / source.path, source.record)
        paths.append(str(folder / source.path))
    status = main(["diff", *paths])
    return status, capsys.readouterr().out


def deviating(*ids: str, property: str = "held_state", layer: str = "LSTM") -> Entry:
    """A cell that deviates as the ledger says."""
    found = [finding(deviation=id_) for id_ in ids]
    return entry(property, layer, "deviates", deviations=dict.fromkeys(ids, 3), findings=found)


def test_equal_records_have_nothing_worse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What did not change is counted and not listed."""
    both = [entry(), deviating("known-one", property="truth")]
    status, text = told(both, both, tmp_path, capsys)
    assert status == 0
    assert "2 cells in both, 0 of them changed" in text
    assert text.endswith("NOTHING WORSE in 2 common cells\n")


def test_both_versions_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The implementation and TensorFlow of either side stand at the head."""
    _, text = told([entry()], [entry()], tmp_path, capsys)
    old, new = (line for line in text.splitlines() if line.startswith(("OLD", "NEW")))
    assert "keras 3.14.0 on TensorFlow 2.21.0" in old
    assert "keras 3.15.1 on TensorFlow 2.21.0" in new


@pytest.mark.parametrize(
    ("old", "new", "worse"),
    [
        ("holds", "deviates", True),
        ("deviates", "holds", False),
        ("deviates", "new", True),
        ("new", "deviates", False),
        ("deviates", "crashed", True),
        ("crashed", "new", False),
        ("holds", "blocked", True),
        ("broken", "holds", False),
        # The ledger expects a deviation that the new version has no more.
        ("deviates", "fixed", False),
        ("holds", "fixed", False),
        ("fixed", "deviates", True),
    ],
)
def test_outcomes_are_ordered_by_what_they_mean_to_a_model(old: str, new: str, worse: bool) -> None:
    """A deviation that comes is worse, one that goes is not, even where the ledger is behind."""
    diff = compare(*sides([entry(outcome=old)], [entry(outcome=new)]))
    assert diff.worse == worse
    assert len(diff.changes) == 1


def test_a_deviation_that_appears_is_worse_within_the_same_outcome(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cell that deviates still, by another cause, is named with both causes."""
    status, text = told([deviating("old-one")], [deviating("new-one")], tmp_path, capsys)
    assert status == 1
    assert "still deviates, otherwise than before: 1 cell" in text
    assert "deviations that appeared\n  new-one: 1 cell of LSTM" in text
    assert "deviations that are gone\n  old-one: 1 cell of LSTM" in text


def test_a_deviation_that_goes_is_not_worse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One cause less of two is a change for the better."""
    status, text = told([deviating("one", "other")], [deviating("one")], tmp_path, capsys)
    assert status == 0
    assert "deviations that are gone\n  other: 1 cell of LSTM" in text


def test_new_findings_are_told_apart_by_property_comparison_and_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What both records found is no change; another kind of the same comparison is."""
    old = entry(outcome="new", findings=[finding()])
    new = entry(outcome="new", findings=[finding(message="otherwise said")])
    assert compare(*sides([old], [new])).changes == ()
    new = entry(outcome="new", findings=[finding(kind="lost mask")])
    status, text = told([old], [new], tmp_path, capsys)
    assert status == 1
    assert "new: held_state, output: lost mask: 1 cell of LSTM" in text


def test_a_cell_that_ended_early_says_nothing_of_what_it_does_not_name() -> None:
    """Behind a crash or a new finding, a known deviation is neither gone nor appeared."""
    known, early = deviating("known-one"), entry(outcome="new", findings=[finding()])
    (change,) = compare(*sides([known], [early])).changes
    assert change.gone == ()
    (change,) = compare(*sides([early], [known])).changes
    assert (change.appeared, change.worse) == ((), False)


def test_cells_of_one_side_are_listed_and_not_weighed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cell that only one record selected cannot be compared; failing ones are counted."""
    old = [entry(), entry("truth", "GRU")]
    new = [entry(), entry("length", "Conv1D", "crashed")]
    status, text = told(old, new, tmp_path, capsys)
    assert status == 0
    assert "in OLD only: 1 cell, which cannot be compared\n  holds: GRU: truth" in text
    assert "in NEW only: 1 cell, which cannot be compared\n  crashed: Conv1D: length" in text
    assert "beside them 1 cell in NEW only fails" in " ".join(text.split())


def test_an_incomplete_new_record_is_never_nothing_worse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cell that did not report in the new record counts as worse, and the run as incomplete."""
    missing = entry("truth")
    status, text = told([entry(), missing], [entry()], tmp_path, capsys, not_run=[missing.node])
    assert status == 1
    assert "holds -> not run: 1 cell" in text
    assert "INCOMPLETE" in text


def test_other_draws_are_pointed_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With another seed a difference may be luck, and the reader is told."""
    _, text = told([entry()], [entry()], tmp_path, capsys, seed=7)
    assert "luck" in text


def test_text_from_a_record_cannot_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Escapes in names are stripped, and what is far too long is cut with a mark."""
    name = "\x1b[2J" + "deviation" * 1_000_000
    status, text = told([entry()], [deviating(name)], tmp_path, capsys)
    assert status == 1
    assert "\x1b" not in text
    assert len(text) < 10_000
    assert "cut, " in text


@pytest.mark.parametrize("other", ["missing.json", "record.json", "apart.json"])
def test_what_cannot_be_compared_is_refused(
    other: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing record, a record with itself and two without a common cell: exit status 2."""
    write_record(tmp_path / "record.json", record(entry()))
    write_record(tmp_path / "apart.json", record(entry("truth", "GRU")))
    assert main(["diff", str(tmp_path / "record.json"), str(tmp_path / other)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.strip()


def test_bad_usage_ends_with_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    """A command that is none, and one with too few records, are refused."""
    for arguments in (["compare"], ["diff", "one.json"], []):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
    capsys.readouterr()


def test_verdicts_on_the_articles_that_change_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the versions of both records; they are findings, and not worse by themselves."""
    claims = tmp_path / "claims.toml"
    claims.write_text(
        '[[claim]]\nname = "one"\narticle = "a.txt"\nplace = "summary"\n'
        'statement = "A mask tells."\nhow = "Asked."\n'
        '[verdict."keras 3.14.0"]\none = { said = "confirmed", at = "", seen = "", code = "" }\n'
        '[verdict."keras 3.15.1"]\none = { said = "refuted", at = "", seen = "", code = "" }\n'
    )
    paths = []
    for source in sides([entry()], [entry()], keras="3.15.1"):
        write_record(tmp_path / source.path, source.record)
        paths.append(str(tmp_path / source.path))
    assert main(["diff", *paths, "--claims", str(claims)]) == 0
    assert "A mask tells. confirmed -> refuted" in capsys.readouterr().out
    claims.write_text("[[claim]]\n")
    assert main(["diff", *paths, "--claims", str(claims)]) == 2
    assert "are not in order" in capsys.readouterr().err
