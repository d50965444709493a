"""What is said of a case that ended its process, and what keeps such cases from being run."""

from __future__ import annotations

import collections
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from execution.implementation import installed
from execution.results import Execution
from properties import alone
from properties.alone import Asked, NotRun, ended_by, fate
from properties.cells import Cell, load_checked
from properties.deaths import COMPARISON, Deaths, account, death
from properties.journal import SILENT, Left, Note
from properties.test_conformance import FAMILIES, PROPERTIES
from reports.ledger import Deviation, Ledger, Pattern, Pin, Region
from reports.record import Finding

ROOT = Path(__file__).parents[1]
PINS = [pin for one in load_checked(ROOT / "reports" / "ledger.toml") for pin in one.pins]
CELL = Cell("product_values", "multiply", Execution("cpu:0", "graph"))
CASE = {"output": [2, 3], "mask": [2, 1]}
ASKED = Asked(installed().name, "product_values", "cpu:0", "graph", CASE, 60.0)

ACCOUNT = """\
import sys
from execution.results import Execution
from properties.deaths import account
from properties.journal import Left, Note
from properties.cells import Cell
from properties.test_conformance import PROPERTIES

cell = Cell("product_values", "multiply", Execution())
note = Note("name", {"output": [2, 3], "mask": [2, 1]}, True)
reason, finding = account(cell, "name", Left(note, False, ""), -9, module="keras", limit=1.0)
assert "np." in finding["script"] and "SIGKILL" in reason, finding
assert "tensorflow" not in sys.modules and "keras" not in sys.modules
"""


def test_every_pinned_case_has_a_script_and_a_finding() -> None:
    """Whatever the property, what is said of a death fits the record, and its script compiles."""
    for pin in PINS:
        property = PROPERTIES[pin.property]
        case = msgspec.convert(pin.case, FAMILIES[property.family].case_type)
        execution = Execution("cpu:0", pin.mode)
        fields = death(
            property, case, execution, module="keras", kind="crash", message="", stacks=""
        )
        found = msgspec.convert(fields, Finding)
        compile(found.script, "<script>", "exec")
        assert found.comparison == COMPARISON
        assert f"mode={pin.mode}" in found.facts
        assert msgspec.convert(found.case, type(case)) == case


def test_a_death_is_told_without_tensorflow() -> None:
    """The controller of a run never imports what is under test."""
    subprocess.run([sys.executable, "-c", ACCOUNT], cwd=ROOT, check=True, timeout=60)


@pytest.mark.parametrize(
    ("left", "said", "kind"),
    [
        (Left(Note("cell", CASE, True), False, ""), "died of SIGSEGV while it ran", "crash"),
        (Left(Note("cell", CASE, False), False, ""), "died of SIGSEGV after this case", "crash"),
        (Left(Note("cell", CASE, True), True, "at"), "did not end within 5 seconds", "hang"),
        (Left(Note("cell", CASE, False), True, ""), "nothing followed this case", "hang"),
        (Left(Note("cell"), False, ""), "before the first case", None),
        (Left(Note("cell"), True, ""), "within 300 seconds", None),
        (Left(Note("other", CASE, True), False, ""), "what it ran is not known", None),
        (Left(None, False, ""), "what it ran is not known", None),
    ],
)
def test_an_account_says_what_is_known(left: Left, said: str, kind: str | None) -> None:
    """How the process ended, and when; the case only where it was of this cell."""
    reason, finding = account(CELL, "cell", left, -11, module="keras", limit=5.0)
    assert said in reason
    assert (finding and finding["kind"]) == kind
    if finding is not None:
        assert (finding["message"], finding["stacks"]) == (reason, left.stacks)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (None, "in an unknown way"),
        (-9, "of SIGKILL (which"),
        (-6, "of SIGABRT"),
        (-200, "of signal 200"),
        (3, "exited with status 3"),
    ],
)
def test_an_exit_status_is_put_into_words(status: int | None, words: str) -> None:
    """Signals have their names."""
    assert words in ended_by(status)


# -- processes of their own ------------------------------------------------------------------


def test_a_case_that_survives_has_no_fate() -> None:
    """A healthy case comes to its end in a process of its own."""
    assert fate(ASKED).kind is None


def test_a_case_that_is_none_is_not_run() -> None:
    """Our own mistake is no crash of the implementation."""
    with pytest.raises(NotRun, match="ValidationError"):
        fate(msgspec.structs.replace(ASKED, case={"no": "case"}))


@pytest.mark.parametrize(
    ("lines", "kind", "said"),
    [
        ("os.kill(os.getpid(), 9)", "crash", "SIGKILL"),
        ("faulthandler.enable(); ctypes.string_at(0)", "crash", "SIGSEGV"),
        ("os._exit(4)", "crash", "status 4"),
        ("faulthandler.dump_traceback_later(0.5, exit=True); time.sleep(50)", "hang", "60 seconds"),
        ("print('survived', flush=True); os.abort()", None, ""),
    ],
)
def test_what_a_process_meets_is_its_fate(
    monkeypatch: pytest.MonkeyPatch, lines: str, kind: str | None, said: str
) -> None:
    """Signals and exits are crashes, what the limit ends is a hang; what follows does not count."""
    code = f"import ctypes, faulthandler, os, time; print('begun', flush=True); {lines}"
    monkeypatch.setattr(alone, "COMMAND", (sys.executable, "-c", code))
    found = fate(ASKED)
    assert found.kind == kind
    assert said in found.message
    assert bool(found.stacks) == ("faulthandler." in lines)


def test_a_process_that_does_not_begin_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A death before the case, in an import for instance, says nothing of the case."""
    monkeypatch.setattr(alone, "COMMAND", (sys.executable, "-c", "import os; os.abort()"))
    with pytest.raises(NotRun, match="SIGABRT"):
        fate(ASKED)


# -- what the ledger knows -------------------------------------------------------------------


def deaths(kind: str, counted: collections.Counter[str]) -> Deaths:
    """What a ledger of one entry, of static products, says of a cell."""
    entry = Deviation(
        id="known",
        reason="It dies.",
        link="unreported",
        kind=kind,  # type: ignore[arg-type]
        comparisons=(Pattern("product_values", "product"),),
        layers=("multiply",),
        deviating=("keras 3.0.0",),
        pins=(Pin("product_values", "multiply", "*", CASE),),
        region=Region(all=("mode=graph",)),
    )
    return Deaths(CELL, installed().name, Ledger((entry,)), SILENT, counted)


@pytest.mark.parametrize(("kind", "excused"), [("crash", 1), ("hang", 1), ("wrong value", 0)])
def test_a_case_in_a_deadly_region_is_excused_without_being_run(kind: str, excused: int) -> None:
    """The region of a crash or a hang decides, whatever comparison the entry names."""
    counted: collections.Counter[str] = collections.Counter()
    case = msgspec.convert(CASE, FAMILIES["broadcasting"].case_type)
    assert deaths(kind, counted).excuse(case) == bool(excused)
    assert counted["known"] == excused


def test_a_pinned_case_that_still_dies_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is counted as excused, and its finding names the entry."""
    code = "import os; print('begun', flush=True); os.abort()"
    monkeypatch.setattr(alone, "COMMAND", (sys.executable, "-c", code))
    counted: collections.Counter[str] = collections.Counter()
    known = deaths("crash", counted)
    case = msgspec.convert(CASE, FAMILIES["broadcasting"].case_type)
    assert known.replay(known.known[0], case)
    assert counted["known"] == 1
    found = msgspec.convert(known.findings["known"], Finding)
    assert (found.deviation, found.kind) == ("known", "crash")
    assert found.case["output"] == [2, 3]
