"""The account of a run comes out, whatever happens to its tests and workers."""

import subprocess
import sys
from pathlib import Path

import pytest

from reports.record import Entry, Record, encode_entry, read_record

ROOT = Path(__file__).resolve().parents[1]

CONFTEST = """\
from pathlib import Path

from reports.record import Environment
from reports.recorder import Deselections, Recorder, bare_entry
from reports.time_limit import TimeLimit

def death_of(node, worker, status):
    if "untold" in node:
        raise LookupError(node)
    import msgspec
    return msgspec.structs.replace(bare_entry(node), reason=f"{worker} ended with {status}")

def is_cell(node):
    return "::test_cell" in node

def pytest_addoption(parser):
    parser.addoption("--record", type=Path)
    parser.addoption("--limit", type=float)

def pytest_configure(config):
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(Deselections(is_cell))
        return
    recorder = Recorder(
        environment=Environment(
            implementation="keras", keras="3.15.1", tensorflow="2.21.0", python="3.11",
            numpy="2.3", hypothesis="6.140", pytest="9.0", platform="Linux", cpus=2,
            devices=["cpu:0"],
        ),
        profile="quick", seed=None, folder=config.getoption("--record"), is_cell=is_cell,
        death_of=death_of,
    )
    config.pluginmanager.register(recorder)
    if config.getoption("--limit"):
        config.pluginmanager.register(TimeLimit(config.getoption("--limit"), recorder.stop))
"""

ENTRY = Entry(
    node="any",
    property="padding_is_ignored",
    layer="LSTM",
    device="cpu:0",
    mode="graph",
    level="must",
    statement="Padding is ignored.",
    source="guide",
    outcome="holds",
    examples=3,
)

HEAD = f"""\
import os, signal
import pytest
ENTRY = {encode_entry(ENTRY)!r}
NEW = ENTRY.replace("holds", "new")
"""


class Suite:
    """A suite of a few tests, run in a folder of its own."""

    def __init__(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pytester = pytester
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # it is the imports that cost
        monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
        monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
        pytester.makeconftest(CONFTEST)

    def run(self, tests: str, *options: str, apart: bool = False) -> pytest.RunResult:
        """Run tests with a record, in a process of their own where asked to."""
        self.pytester.makepyfile(HEAD + tests)
        arguments = ["-p", "no:cacheprovider", f"--record={self.pytester.path}/out", *options]
        if apart:
            return self.pytester.runpytest_subprocess(*arguments, timeout=30)
        return self.pytester.runpytest_inprocess(*arguments)

    @property
    def record(self) -> Record:
        """The record that was written."""
        return read_record(self.pytester.path / "out" / "record.json")

    @property
    def outcomes(self) -> dict[str, str]:
        """The outcome of each cell by the name of its test."""
        return {entry.node.split("::")[1]: entry.outcome for entry in self.record.entries}


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """A suite with the recorder."""
    return Suite(pytester, monkeypatch)


GREEN = """
@pytest.mark.parametrize("n", range(4))
def test_cell(n, record_property):
    record_property("cell", ENTRY)

def test_of_another_kind():
    pass
"""


def test_cells_are_recorded_and_other_tests_are_not(suite: Suite) -> None:
    """Every cell has its entry, under its node id, in the order of collection."""
    result = suite.run(GREEN)
    assert result.ret == 0
    record = suite.record
    assert record.complete
    assert record.exit_reason == "finished"
    assert len(record.selected) == 4
    assert [entry.node for entry in record.entries] == record.selected
    assert {(entry.worker, entry.examples) for entry in record.entries} == {("main", 3)}
    result.stdout.fnmatch_lines(["*masking conformance*", "4 of 4 cells reported", "PASSED: *"])


def test_deselected_cells_are_counted(suite: Suite) -> None:
    """What was deselected is neither selected nor forgotten."""
    assert suite.run(GREEN, "-k", "1").ret == 0
    assert (len(suite.record.selected), suite.record.deselected) == (1, 3)


def test_a_cell_without_an_entry_is_broken_or_not_run(suite: Suite) -> None:
    """Errors of a test's own, in any phase, are broken; what was skipped did not run."""
    result = suite.run("""
def test_cell_silent():
    pass

def test_cell_raises():
    raise RuntimeError("our own")

def test_cell_garbled(record_property):
    record_property("cell", "{")

@pytest.fixture
def bad():
    raise RuntimeError("no fixture")

def test_cell_setup(bad):
    pass

@pytest.fixture
def late():
    yield
    raise RuntimeError("too late")

def test_cell_teardown(late, record_property):
    record_property("cell", ENTRY)

def test_cell_asserts(record_property):
    record_property("cell", ENTRY)
    assert False, "beside its entry"

def test_cell_skipped():
    pytest.skip("not today")

def test_cell_known(record_property):
    record_property("cell", ENTRY.replace("holds", "deviates"))
    pytest.xfail("as the ledger says")
""")
    assert result.ret == 1
    names = ("silent", "raises", "garbled", "setup", "teardown", "asserts")
    assert suite.outcomes == {f"test_cell_{name}": "broken" for name in names} | {
        "test_cell_known": "deviates"
    }
    reasons = " | ".join(entry.reason for entry in suite.record.entries)
    for said in (
        "it reported no entry",
        "our own",
        "cannot be read",
        "setup failed: RuntimeError: no fixture",
        "teardown failed: RuntimeError: too late",
        "beside its entry",
    ):
        assert said in reasons
    assert [node.split("::")[1] for node in suite.record.not_run] == ["test_cell_skipped"]
    assert not suite.record.complete


@pytest.mark.parametrize(
    "tests",
    [
        "def test_cell():\n    pytest.skip('not today')",
        "def test_cell(record_property):\n    record_property('cell', NEW)",
        "def test_of_another_kind():\n    pass",
    ],
)
def test_a_run_that_pytest_finds_green_fails_by_its_account(suite: Suite, tests: str) -> None:
    """A cell that did not report or is new, and a record of no cells, fail a run."""
    assert suite.run(tests).ret == 1


def test_a_run_of_other_tests_is_left_alone(suite: Suite) -> None:
    """Without cells and without a folder there is no account to give."""
    suite.pytester.makepyfile("def test_of_another_kind(): pass")
    result = suite.pytester.runpytest_inprocess()
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*masking conformance*")


def test_collecting_alone_is_no_run(suite: Suite) -> None:
    """A list of cells writes no record and fails nothing."""
    assert suite.run(GREEN, "--collect-only").ret == 0
    assert not (suite.pytester.path / "out").exists()


def test_a_record_that_cannot_be_written_fails_the_run(suite: Suite) -> None:
    """A green run whose record is lost is not green."""
    (suite.pytester.path / "out").write_text("")
    result = suite.run(GREEN)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["cannot make the folder *a file is in its place"])


def test_a_run_that_stops_early_is_incomplete(suite: Suite) -> None:
    """What `-x` left out is listed, with the reason."""
    tests = "def test_cell_a():\n    assert 0\n\ndef test_cell_b():\n    pass\n"
    assert suite.run(tests, "-x").ret == 1
    assert len(suite.record.not_run) == 1
    assert suite.record.exit_reason == "stopped: stopping after 1 failures"


def test_an_interrupted_run_leaves_a_whole_record(suite: Suite) -> None:
    """After Ctrl-C the record says what reported and what did not, and that it is incomplete."""
    result = suite.run(
        """
@pytest.mark.parametrize("n", range(4))
def test_cell(n, record_property):
    if n == 2:
        os.kill(os.getpid(), signal.SIGINT)
    record_property("cell", ENTRY)
""",
        apart=True,
    )
    assert result.ret == pytest.ExitCode.INTERRUPTED
    record = suite.record
    assert not record.complete
    assert record.exit_reason == "interrupted"
    assert (len(record.entries), len(record.not_run)) == (2, 2)
    result.stdout.fnmatch_lines(["INCOMPLETE: 2 not run of 4 cells; interrupted"])


def test_an_interrupted_run_with_workers_leaves_a_whole_record(suite: Suite) -> None:
    """Ctrl-C at the controller costs what did not report yet, and nothing else."""
    result = suite.run(
        """
import time

@pytest.mark.parametrize("n", range(6))
def test_cell(n, record_property):
    if n == 3:
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(1)
    record_property("cell", ENTRY)
""",
        "-p",
        "xdist",
        "-n2",
        "--dist=worksteal",
        apart=True,
    )
    assert result.ret == pytest.ExitCode.INTERRUPTED
    record = suite.record
    assert not record.complete
    assert any("[3]" in node for node in record.not_run)
    assert len(record.entries) + len(record.not_run) == 6


def test_what_is_interrupted_while_it_ends_leaves_a_record(suite: Suite) -> None:
    """The record is written before other plugins, such as pytest-xdist, wait for anything."""
    suite.run(
        """
class Waiting:
    def pytest_sessionfinish(self):
        raise KeyboardInterrupt

def test_cell(record_property, request):
    record_property("cell", ENTRY)
    request.config.pluginmanager.register(Waiting())
""",
        "--limit=100",
        apart=True,
    )
    assert suite.outcomes == {"test_cell": "holds"}
    assert suite.record.complete


def test_a_run_that_reaches_its_limit_leaves_a_whole_record(suite: Suite) -> None:
    """What hangs is ended with the run, and the record says why and what was not run."""
    result = suite.run(
        """
import time

def test_cell_a(record_property):
    record_property("cell", ENTRY)

def test_cell_b():
    time.sleep(100)
""",
        *("-p", "xdist", "-n1", "--limit=6"),
        apart=True,
    )
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert suite.outcomes == {"test_cell_a": "holds"}
    assert [node.split("::")[1] for node in suite.record.not_run] == ["test_cell_b"]
    assert suite.record.exit_reason == "stopped: the run reached its limit of 0.1 minutes"


def test_a_limit_holds_in_the_background_too() -> None:
    """A shell starts what runs there deaf to Ctrl-C, by which a run is ended otherwise."""
    lines = (
        "import signal, time",
        "from reports.time_limit import TimeLimit",
        "signal.signal(signal.SIGINT, signal.SIG_IGN)",
        "TimeLimit(0.1, print).pytest_sessionstart(None)",
        "time.sleep(20)",
    )
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert "reached its limit" in done.stdout
    assert "KeyboardInterrupt" in done.stderr


def test_workers_report_to_one_record(suite: Suite) -> None:
    """Under pytest-xdist the controller writes what the workers selected and found."""
    result = suite.run(GREEN, "-p", "xdist", "-n2", "--dist=worksteal", "-k", "not 3", apart=True)
    assert result.ret == 0
    record = suite.record
    assert record.complete
    assert (len(record.selected), len(record.entries), record.deselected) == (3, 3, 1)
    assert record.workers == 2
    assert {entry.worker for entry in record.entries} <= {"gw0", "gw1"}


@pytest.mark.parametrize("scheduler", ["load", "worksteal"])
def test_a_cell_that_kills_its_worker_is_crashed(suite: Suite, scheduler: str) -> None:
    """Cells are recorded as crashed with what ended their workers, and all others report."""
    result = suite.run(
        """
@pytest.mark.parametrize("n", range(24))
def test_cell(n, record_property):
    if n == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if n == 4:
        os.kill(os.getpid(), signal.SIGSEGV)
    if n == 20:
        os._exit(7)
    record_property("cell", ENTRY)
""",
        "-p",
        "xdist",
        "-n2",
        f"--dist={scheduler}",
        apart=True,
    )
    assert result.ret == 1
    crashed = {3: "ended with -9", 4: "ended with -11", 20: "ended with 7"}
    assert suite.outcomes == {
        f"test_cell[{n}]": "crashed" if n in crashed else "holds" for n in range(24)
    }
    assert suite.record.complete
    for n, how in crashed.items():
        entry = suite.record.entries[n]
        assert entry.reason == f"{entry.worker} {how}"
    result.stdout.fnmatch_lines(["24 of 24 cells reported", "FAILED: 3 crashed of 24 cells"])


def test_a_crash_that_cannot_be_told_is_still_recorded(suite: Suite) -> None:
    """Whatever goes wrong in describing a crash, the run goes on and the cell is crashed."""
    result = suite.run(
        """
def test_cell_untold():
    os._exit(0)

def test_cell(record_property):
    record_property("cell", ENTRY)
""",
        "-p",
        "xdist",
        "-n1",
        apart=True,
    )
    assert result.ret == 1
    assert suite.outcomes == {"test_cell_untold": "crashed", "test_cell": "holds"}
    assert "LookupError" in suite.record.entries[0].reason


def test_a_cell_that_dies_after_its_report_keeps_what_it_said(suite: Suite) -> None:
    """The outcome is crashed, with what the cell had reported before."""
    suite.run(
        """
@pytest.fixture
def late():
    yield
    os.kill(os.getpid(), signal.SIGKILL)

def test_cell(late, record_property):
    record_property("cell", ENTRY)
""",
        "-p",
        "xdist",
        "-n1",
        apart=True,
    )
    (entry,) = suite.record.entries
    assert (entry.outcome, entry.examples) == ("crashed", 3)
    assert "ended with -9" in entry.reason
