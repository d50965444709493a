"""The summary of a run is understood at once, and no text from outside does harm."""

import time
from typing import Any

from reports.record import OUTCOMES, Entry, Environment, Finding, Record
from reports.terminal import WORDS, clean, summary

SCRIPT = "import keras\n\nfor step in range(2):\n    print(step)\n"


def finding(**changes: Any) -> Finding:
    """A finding that the ledger does not know, with some fields set otherwise."""
    known: dict[str, Any] = {
        "comparison": "outputs",
        "level": "must",
        "kind": "wrong value",
        "message": "1.0 against 2.0 at [0]",
        "case_text": "RecurrentCase(spec=Spec('LSTM', {'units': 2}), batch=RaggedBatch(('10',)))",
        "left": "1.0",
        "right": "2.0",
        "difference": 1.0,
        "bound": 0.25,
        "script": SCRIPT,
        "script_fails": True,
    }
    return Finding(**(known | changes))


def entry(layer: str = "LSTM", **changes: Any) -> Entry:
    """The entry of a layer's cell, with some fields set otherwise."""
    known: dict[str, Any] = {
        "node": f"suite.py::test_cell[{layer}]",
        "property": "padding_is_ignored",
        "layer": layer,
        "device": "cpu:0",
        "mode": "graph",
        "level": "must",
        "statement": "Padding is ignored whatever it holds.",
        "source": "guide on masking",
        "outcome": "holds",
    }
    return Entry(**(known | changes))


def told(*entries: Entry, width: int = 80, **changes: Any) -> list[str]:
    """The lines of the summary of some entries."""
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
        "seconds": 61.0,
        "workers": 2,
        "not_run": [],
        "deselected": 0,
        "complete": True,
        "exit_reason": "finished",
    }
    changed = known | changes
    selected = [*(one.node for one in entries), *changed["not_run"]]
    record = Record(**changed, selected=selected, entries=list(entries))
    return [text for text, _ in summary(record, width)]


def test_a_green_run_is_told_in_a_few_lines() -> None:
    """What ran on what, how many of how many, what is known, and that it passed."""
    lines = told(entry(), entry("GRU", outcome="deviates", deviations={"known-one": 3}))
    assert lines[0] == "keras 3.15.1 on TensorFlow 2.21.0"
    assert "profile quick, seed 7, 61.0 s, 2 workers" in lines
    assert "2 of 2 cells reported" in lines
    assert "     1  hold" in lines
    assert "     1  deviate as the ledger says" in lines
    assert "  known-one: 1 cell" in lines
    assert lines[-1] == "PASSED: 1 of 2 cells hold, 1 deviate as the ledger says"


def test_every_outcome_has_words() -> None:
    """No outcome is told by its bare name alone."""
    assert set(OUTCOMES) < set(WORDS)
    for outcome in OUTCOMES:
        assert any(WORDS[outcome] in line for line in told(entry(outcome=outcome)))


def test_a_new_deviation_is_told_with_its_script() -> None:
    """Cell, statement, case, both sides, difference, message and a script to copy."""
    lines = told(entry(outcome="new", findings=[finding()]))
    text = "\n".join(lines)
    for said in (
        "suite.py::test_cell[LSTM]",
        "Padding is ignored whatever it holds.",
        "padding_is_ignored, outputs: wrong value (must)",
        "1.0 against 2.0 at [0]",
        "left   1.0",
        "right  2.0",
        "largest difference 1 where 0.25 is allowed",
        "RecurrentCase(spec=",
        "script (seen to fail)",
    ):
        assert said in text
    start = lines.index("    import keras")
    assert lines[start : start + 4] == [f"    {line}".rstrip() for line in SCRIPT.splitlines()]
    assert lines[-1] == "FAILED: 1 new of 1 cell"


def test_cells_with_the_same_finding_share_a_script() -> None:
    """A cause that is red in many cells is told once, and the other cells are named."""
    cells = [entry(f"Layer{n}", outcome="new", findings=[finding(), finding()]) for n in range(30)]
    lines = told(*cells)
    assert sum("import keras" in line for line in lines) == 1
    assert sum("test_cell[" in line for line in lines) == 11
    assert "    and 19 more cells, in the record" in lines


def test_a_second_comparison_is_not_hidden_by_the_first() -> None:
    """Findings of other comparisons or kinds are told, those that the ledger knows are not."""
    found = [
        finding(deviation="known-one", message="as known"),
        finding(),
        finding(comparison="states", message="states too"),
    ]
    text = "\n".join(told(entry(outcome="new", findings=found)))
    assert "states too" in text
    assert "as known" not in text


def test_hundreds_of_groups_are_cut() -> None:
    """Not even a run in which everything is new floods the terminal."""
    found = [finding(comparison=f"number {n}", script="") for n in range(300)]
    lines = told(entry(outcome="new", findings=found))
    assert "and 280 more new deviations, in the record" in lines
    assert len(lines) < 500


def test_crashes_are_told_once_for_each_reason() -> None:
    """A reason that differs by nothing but its cell is one reason."""
    cells = [
        entry(
            layer, outcome="crashed", reason=f"worker crashed running suite.py::test_cell[{layer}]"
        )
        for layer in ("LSTM", "GRU")
    ]
    lines = told(*cells, entry("Dense", outcome="broken", reason="out of memory"))
    assert lines.count("    worker crashed running the cell") == 1
    assert "    out of memory" in lines
    assert lines[-1] == "FAILED: 2 crashed, 1 broken of 3 cells"


def test_a_fixed_entry_is_named() -> None:
    """An entry that no longer deviates is told with what is to be done."""
    lines = told(entry(outcome="fixed", fixed=["known-one"]))
    assert "known-one no longer deviates: amend its entry in the ledger" in lines
    assert lines[-1] == "FAILED: 1 fixed of 1 cell"


def test_cells_that_did_not_run_are_named() -> None:
    """What was selected and did not report is in the count, the list and the verdict."""
    lines = told(
        entry(), not_run=["suite.py::test_cell[GRU]"], complete=False, exit_reason="interrupted"
    )
    assert "1 of 2 cells reported" in lines
    assert "    suite.py::test_cell[GRU]" in lines
    assert lines[-1] == "INCOMPLETE: 1 not run of 2 cells; interrupted"


def test_a_run_without_cells_did_not_pass() -> None:
    """A record of nothing is not green."""
    lines = told(complete=False, exit_reason="no cell was selected")
    assert lines[-1] == "INCOMPLETE: 0 cells selected; no cell was selected"


def test_a_difference_that_is_not_finite_is_told() -> None:
    """NaN and infinity, which the record keeps as words, are printed as numbers."""
    text = "\n".join(told(entry(outcome="new", findings=[finding(difference=float("nan"))])))
    assert "largest difference nan" in text


def test_escapes_and_controls_are_taken_out() -> None:
    """A message cannot colour, move, rename or turn around the terminal's text."""
    harmful = "a\x1b[31mb\x1b]0;title\x07c\x1b(Bd\x9b2Je\x00f\u202eg\r\nh\x7f\x1b"
    assert clean(harmful, 100) == "abcdefg h"
    bad = finding(message=harmful, left=harmful, case_text=harmful, script=f"x = 1  # {harmful}")
    lines = told(entry(outcome="new", findings=[bad], statement=harmful))
    assert all(one.isprintable() for one in "".join(lines))


def test_ten_megabytes_do_no_harm() -> None:
    """Text of any length is cut to what a person reads, in no time."""
    flood = "\x1b[31m1.0 " * 1_200_000
    bad = finding(message=flood, left=flood, right=flood, case_text=flood, script=flood)
    start = time.perf_counter()
    lines = told(entry(outcome="new", findings=[bad], reason=flood, statement=flood))
    assert time.perf_counter() - start < 2
    assert sum(map(len, lines)) < 10_000
    assert any("(cut, " in line for line in lines)


def test_a_long_script_is_cut_and_says_so() -> None:
    """Eighty lines are printed, and the number of those that are not."""
    script = "\n".join(f"x = {n}" for n in range(100))
    lines = told(entry(outcome="new", findings=[finding(script=script)]))
    assert "    x = 79" in lines
    assert "    x = 80" not in lines
    assert "    # ... 20 more lines, all in the record" in lines


def test_lines_fit_the_terminal() -> None:
    """All but node ids and scripts are wrapped, in a narrow terminal too."""
    long = finding(message="word " * 60, case_text="Case(" + "1, " * 100 + ")", script="")
    lines = told(entry(outcome="new", findings=[long]), width=50)
    assert max(map(len, lines)) <= 50


def test_each_crash_is_shown_with_its_case_script_and_stack() -> None:
    """Crashes of one property in several cells are each named, with the thread that died."""
    stacks = (
        "Fatal Python error\n\nThread 1\n  a.py\n\nCurrent thread 2\n  b.py\n\nThread 3\n  c.py"
    )
    dead = finding(kind="crash", comparison="process", message="died of SIGSEGV", stacks=stacks)
    entries = [entry(one, outcome="crashed", findings=[dead]) for one in ("LSTM", "GRU")]
    entries.append(entry("RNN", outcome="crashed", reason="nobody knows why"))
    text = "\n".join(told(*entries))
    assert text.count("died of SIGSEGV") == text.count("import keras") == 2
    assert "b.py" in text
    assert "a.py" not in text
    assert "nobody knows why" in text
    assert text.count("test_cell[GRU]") == 1
    assert "new" not in text.split("FAILED")[0].splitlines()
    assert "FAILED: 3 crashed of 3 cells" in text


def test_a_hang_shows_the_main_thread() -> None:
    """The thread that stands last is the main one, and is shown where none is current."""
    stacks = "Timeout (0:02:00)!\nThread 1\n  a.py\n\nThread 2\n" + "  b.py\n" * 50
    dead = finding(kind="hang", comparison="process", stacks=stacks)
    lines = told(entry(outcome="crashed", findings=[dead]))
    assert "    Thread 2" in lines
    assert "    ... and more, all in the record" in lines
    assert not any("a.py" in line for line in lines)
    assert len(lines) < 60
