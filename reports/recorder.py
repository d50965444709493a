"""The pytest plugin that keeps the account of a run: what was selected and what reported."""

from __future__ import annotations

import contextlib
import datetime
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from packaging.version import Version

from reports import terminal
from reports.record import (
    FAILING,
    Entry,
    Environment,
    Record,
    RecordError,
    decode_entry,
    worst,
    write_record,
)

__all__ = ["CELLS", "PROPERTY", "Deselections", "Recorder", "bare_entry", "expected_pairs"]

CELLS = Path(__file__).with_name("cells.txt")
"""The checked-in list: in each line, separated by tabs, a layer, a property, and the first version
of Keras that has the layer and the first that has it no more, empty where there is none."""

PROPERTY = "cell"
"""The name under which a test's user properties carry its entry, as `encode_entry` writes it."""

_DESELECTED = "keras_mask_tests_deselected"
_REASON = 2_000


def bare_entry(node: str) -> Entry:
    """An entry of which only the node id is known; what it says of the rest is empty."""
    return Entry(
        node=node,
        property="",
        layer="",
        device="",
        mode="",
        level="",
        statement="",
        source="",
        outcome="broken",
    )


def expected_pairs(version: str) -> list[tuple[str, str]]:
    """The pairs of a property and a layer on the checked-in list that a version of Keras has."""
    at = Version(version).release
    rows = (line.split("\t") for line in CELLS.read_text("utf-8").splitlines())
    return [
        (property, layer)
        for layer, property, since, until in rows
        if not (since and at < Version(since).release)
        and not (until and at >= Version(until).release)
    ]


class Deselections:
    """Counts, in a worker of pytest-xdist, the cells that were deselected, for the controller."""

    def __init__(self, is_cell: Callable[[str], bool]) -> None:
        self.is_cell = is_cell
        self.count = 0

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Count cells."""
        self.count += sum(self.is_cell(item.nodeid) for item in items)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Hand the count over."""
        getattr(session.config, "workeroutput", {})[_DESELECTED] = self.count


class Recorder:
    """Collects entries in the controller of a run (or its only process) and makes the record.

    To be registered there alone; `Deselections` belongs into the workers. `is_cell` says of a
    node id whether it is a cell: no other test is counted. `entry_of` gives what can be said of a
    cell that reported nothing, `death_of` what can be said of one whose worker died: it is given
    the node id, the worker's name and its exit status (negative: a signal; None: unknown).
    `expected` are the pairs of a property and a layer of which a run that was not narrowed down
    must have cells. Where `folder` is given, `record.json` is written there. `record` is the
    record, once the session has finished.
    """

    def __init__(
        self,
        *,
        environment: Environment,
        profile: str,
        seed: int | None,
        folder: Path | None,
        is_cell: Callable[[str], bool],
        entry_of: Callable[[str], Entry] = bare_entry,
        expected: Collection[tuple[str, str]] = (),
        death_of: Callable[[str, str, int | None], Entry] | None = None,
    ) -> None:
        self.environment = environment
        self.profile = profile
        self.seed = seed
        self.folder = folder
        self.is_cell = is_cell
        self.entry_of = entry_of
        self.expected = expected
        self.death_of = death_of
        self.record: Record | None = None
        self.error: str | None = None
        self._selected: dict[str, None] = {}
        self._entries: dict[str, Entry] = {}
        self._deselected = 0
        self._stopped: str | None = None
        self._started = datetime.datetime.now(datetime.UTC)
        self._clock = time.perf_counter()

    def select(self, node_ids: Iterable[str]) -> None:
        """Add the cells among some node ids to the manifest."""
        self._selected.update(dict.fromkeys(filter(self.is_cell, node_ids)))

    # --- what is selected

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Take the manifest where this process collects."""
        self.select(item.nodeid for item in session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: Sequence[str]) -> None:
        """Take the manifest from a worker: all of them collect the same."""
        self.select(ids)

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Count what is deselected where this process collects."""
        self._deselected += sum(self.is_cell(item.nodeid) for item in items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Take the count from a worker; one that died has none."""
        count = getattr(node, "workeroutput", {}).get(_DESELECTED, 0)
        self._deselected = max(self._deselected, count)

    # --- what reports

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the entry of a cell from the report of its call, or say why there is none."""
        if not self.is_cell(report.nodeid):
            return
        entry = self._entry(report)
        if entry is None:
            return
        earlier = self._entries.get(report.nodeid)
        if earlier is not None:
            entry = _joined(earlier, entry)
        if not entry.worker:
            worker = getattr(report, "worker_id", "main")
            entry = msgspec.structs.replace(entry, worker=worker)
        self._entries[report.nodeid] = entry

    def _entry(self, report: pytest.TestReport) -> Entry | None:
        if report.when not in ("setup", "call", "teardown"):
            # pytest-xdist writes this report itself, for an item whose worker died.
            return self._died(report)
        if report.when != "call":
            if not report.failed:
                return None
            return self._blank(report, "broken", f"{report.when} failed: {_reason(report)}")
        return self._called(report)

    def _died(self, report: pytest.TestReport) -> Entry:
        name, status = _worker_of(report)
        entry = self._blank(report, "crashed", _reason(report))
        if self.death_of is not None:
            try:
                entry = self.death_of(report.nodeid, name, status)
            except Exception as error:  # what explains a crash must not end the run
                why = f"what it ran cannot be told: {type(error).__name__}: {error}"
                entry = self._blank(report, "crashed", f"{_reason(report)}; {why}")
        return msgspec.structs.replace(entry, node=report.nodeid, outcome="crashed", worker=name)

    def _called(self, report: pytest.TestReport) -> Entry | None:
        found = [value for name, value in report.user_properties if name == PROPERTY]
        if not found:
            if report.skipped:
                return None  # it did not run, and is counted so
            return self._blank(report, "broken", _reason(report) or "it reported no entry")
        try:
            entry = decode_entry(str(found[-1]))
        except ValueError as error:
            return self._blank(report, "broken", f"its entry cannot be read: {error}")
        entry = msgspec.structs.replace(entry, node=report.nodeid)
        if report.failed and entry.outcome not in FAILING:
            # The test failed beside its entry: no cell is better than its test.
            entry = msgspec.structs.replace(entry, outcome="broken", reason=_reason(report))
        return entry

    def _blank(self, report: pytest.TestReport, outcome: str, reason: str) -> Entry:
        entry = self.entry_of(report.nodeid)
        return msgspec.structs.replace(
            entry, node=report.nodeid, outcome=outcome, reason=reason[:_REASON]
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(
        self, report: pytest.TestReport
    ) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
        """Call a failed cell by its outcome: the summary tells of it, pytest need not as well."""
        if report.when != "call" or not report.failed or not self.is_cell(report.nodeid):
            return None
        sent = [value for name, value in report.user_properties if name == PROPERTY]
        with contextlib.suppress(IndexError, ValueError):
            outcome = decode_entry(str(sent[-1])).outcome
            if outcome in FAILING:
                return outcome, outcome[0].upper(), (outcome.upper(), {"red": True})
        return None  # the test itself failed: its traceback is wanted

    # --- how it ends

    def stop(self, reason: str) -> None:
        """Note why the run is about to be stopped."""
        self._stopped = reason

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Note that the run was interrupted."""
        said = str(excinfo.value)
        self._stopped = self._stopped or (f"interrupted: {said}" if said else "interrupted")

    def pytest_internalerror(self, excrepr: object) -> None:
        """Note that pytest itself failed."""
        *_, last = str(excrepr).strip().splitlines() or [""]
        self._stopped = f"internal error: {last}"

    @pytest.hookimpl(tryfirst=True)  # before anything that may be interrupted once more
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Make the record, write it, and fail a run of which the account does not come out."""
        if session.config.getoption("collectonly", False):
            return
        if not self._selected and self.folder is None:
            return  # a run of other tests
        self.record = record = self._made(session, int(exitstatus))
        wrong = not record.complete or any(one.outcome in FAILING for one in record.entries)
        if self.folder is not None:
            try:
                write_record(self.folder / "record.json", record)
            except RecordError as error:
                self.error, wrong = str(error), True
        if wrong and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _made(self, session: pytest.Session, exitstatus: int) -> Record:
        not_run = [node for node in self._selected if node not in self._entries]
        reason = self._exit_reason(session, exitstatus, not_run)
        # The order of the manifest, not that in which workers finished: records can be compared.
        order = {node: position for position, node in enumerate(self._selected)}
        entries = sorted(
            self._entries.values(), key=lambda entry: order.get(entry.node, len(order))
        )
        workers = session.config.getoption("numprocesses", None)
        return Record(
            environment=self.environment,
            profile=self.profile,
            seed=self.seed,
            started=self._started.isoformat(timespec="seconds"),
            seconds=round(time.perf_counter() - self._clock, 3),
            workers=workers if isinstance(workers, int) and workers > 0 else 1,
            selected=list(self._selected),
            entries=entries,
            not_run=not_run,
            deselected=self._deselected,
            complete=reason == "finished",
            exit_reason=reason,
        )

    def _exit_reason(self, session: pytest.Session, exitstatus: int, not_run: list[str]) -> str:
        if self._stopped is not None:
            return self._stopped
        for said in (session.shouldfail, session.shouldstop):
            if said:
                return f"stopped: {said}"
        if exitstatus not in (
            pytest.ExitCode.OK,
            pytest.ExitCode.TESTS_FAILED,
            pytest.ExitCode.NO_TESTS_COLLECTED,
        ):
            return f"pytest ended with exit status {exitstatus}"
        if not self._selected:
            return "no cell was selected"
        if not_run:
            return "some selected cells did not report"
        return self._shrunk() or "finished"

    def _shrunk(self) -> str:
        """What is said where collection has lost cells that the checked-in list has."""
        found = {(one.property, one.layer) for one in map(self.entry_of, self._selected)}
        missing = sorted(set(self.expected) - found)
        if self._deselected or not missing:
            return ""
        first = " of ".join(missing[0])
        return (
            f"{len(missing)} of {len(self.expected)} pairs on the checked-in list of cells were "
            f"not collected, {first} for one"
        )

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the summary of the record."""
        if self.record is None:
            return
        terminalreporter.section("masking conformance")
        for text, markup in terminal.summary(self.record, shutil.get_terminal_size().columns):
            terminalreporter.write_line(text, **markup)
        if self.error is not None:
            terminalreporter.write_line(self.error, red=True, bold=True)


def _joined(earlier: Entry, later: Entry) -> Entry:
    """The entry of a cell that reported twice: the one that says more, with the worst outcome."""
    outcome = worst([earlier.outcome, later.outcome])
    reason = "; ".join(dict.fromkeys(filter(None, (earlier.reason, later.reason))))
    fuller = later if later.examples > earlier.examples else earlier
    findings = [*earlier.findings, *(one for one in later.findings if one not in earlier.findings)]
    return msgspec.structs.replace(
        fuller, outcome=outcome, reason=reason[:_REASON], findings=findings
    )


def _worker_of(report: pytest.TestReport) -> tuple[str, int | None]:
    """The name of the worker that died, and its exit status where it can be known."""
    gateway = getattr(getattr(report, "node", None), "gateway", None)
    name = str(getattr(gateway, "id", ""))
    # No public way leads there; only its parent can ask for it.
    process = getattr(getattr(gateway, "_io", None), "popen", None)
    try:
        # The pipe is closed a moment before the process is gone.
        return name, None if process is None else int(process.wait(timeout=5))
    except Exception:
        return name, None


def _reason(report: pytest.TestReport) -> str:
    """The last word of a failed report, short."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(getattr(crash, "message", None) or report.longrepr or "")
    return text[:_REASON]
