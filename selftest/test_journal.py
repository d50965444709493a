"""Whatever ends a process, its journal says which case it was at."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from properties.journal import SILENT, Journal, Left

ROOT = Path(__file__).parents[1]
HEAD = """\
import ctypes, os, signal, sys, time
from pathlib import Path
from properties.journal import Journal
journal = Journal(Path(sys.argv[1]), "gw0", limit=float(sys.argv[2]))
"""


def left(folder: Path, lines: str, *, limit: float = 0.0) -> tuple[int, Left]:
    """How a process with a journal ended, and what it left."""
    ran = subprocess.run(
        [sys.executable, "-c", HEAD + lines, str(folder), str(limit)],
        cwd=ROOT,
        check=False,
        timeout=60,
        capture_output=True,
    )
    return ran.returncode, Journal.left(folder, "gw0")


@pytest.mark.parametrize(
    "death", ["os.kill(os.getpid(), signal.SIGKILL)", "ctypes.string_at(0)", "os._exit(0)"]
)
def test_a_process_that_dies_leaves_its_case(tmp_path: Path, death: str) -> None:
    """The case that ran is known, and not a longer one that ran before it."""
    _, found = left(
        tmp_path,
        f"""
with journal.opened("cell"):
    with journal.running({{"n": "x" * 10_000}}):
        pass
    with journal.running({{"n": 1}}):
        {death}
""",
    )
    assert found.note is not None
    assert (found.note.cell, found.note.case, found.note.running) == ("cell", {"n": 1}, True)
    assert not found.hung
    assert ("Segmentation fault" in found.stacks) == ("string_at" in death)
    assert "Extension modules" not in found.stacks


@pytest.mark.parametrize(
    ("lines", "case", "running"),
    [
        ("os._exit(0)", None, False),
        ("\n    with journal.running({}): pass\n    os._exit(0)", {}, False),
    ],
)
def test_a_case_that_is_over_is_told_from_one_that_runs(
    tmp_path: Path, lines: str, case: object, running: bool
) -> None:
    """Before the first case there is none, and after a case it no longer runs."""
    _, found = left(tmp_path, f"with journal.opened('cell'): {lines}")
    assert found.note is not None
    assert (found.note.case, found.note.running) == (case, running)


def test_between_cells_nothing_is_known(tmp_path: Path) -> None:
    """A case of an earlier cell is not blamed for what happens after it."""
    _, found = left(tmp_path, "with journal.opened('cell'):\n    with journal.running({}): pass\n")
    assert found == Left(None, False, "")


@pytest.mark.parametrize("sleep", ["time.sleep(50)", "ctypes.PyDLL(None).sleep(50)"])
def test_a_hang_ends_with_the_stacks_of_all_threads(tmp_path: Path, sleep: str) -> None:
    """Even code that never lets Python run again is ended after the limit."""
    started = time.perf_counter()
    status, found = left(
        tmp_path,
        f"""
def stuck():
    {sleep}

with journal.opened("cell"), journal.running({{"n": 1}}):
    stuck()
""",
        limit=1,
    )
    assert time.perf_counter() - started < 30
    assert (status, found.hung) == (1, True)
    assert "in stuck" in found.stacks
    assert found.note is not None
    assert found.note.case == {"n": 1}


def test_the_limit_is_one_of_each_case(tmp_path: Path) -> None:
    """Many cases may take longer together, and what follows a cell is nobody's hang."""
    status, found = left(
        tmp_path,
        """
with journal.opened("cell"):
    for n in range(30):
        with journal.running(n):
            time.sleep(0.1)
    journal.pause()
    time.sleep(2)
time.sleep(2)
""",
        limit=1,
    )
    assert (status, found.hung) == (0, False)


def test_a_journal_that_cannot_be_kept_fails_nothing(tmp_path: Path) -> None:
    """Without a folder, or with a full disk, cases run all the same."""
    for journal in (SILENT, Journal(tmp_path / "missing", "gw0", limit=1)):
        with journal.opened("cell"), journal.running({}):
            pass
        journal.pause()
    assert Journal.left(tmp_path / "missing", "gw0") == Left(None, False, "")
    full = """
journal._file = os.open("/dev/full", os.O_WRONLY)
with journal.opened("cell"), journal.running({}):
    pass
"""
    assert left(tmp_path, full, limit=1) == (0, Left(None, False, ""))


@pytest.mark.parametrize("content", [b"", b"1", b"100000099{}", b"x00000002{}", b"1????????{}"])
def test_a_note_that_was_not_finished_is_none(tmp_path: Path, content: bytes) -> None:
    """A process that died while it wrote has left nothing that can be read."""
    (tmp_path / "gw0.note").write_bytes(content)
    assert Journal.left(tmp_path, "gw0").note is None
