"""Writes down which case runs, before it runs: what is left where a process dies or hangs."""

from __future__ import annotations

import contextlib
import faulthandler
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

__all__ = ["SILENT", "START", "Journal", "Left", "Note", "stacks_of"]

START = 300.0
"""Seconds for what comes before the first case: importing TensorFlow, on the slowest machine."""

_HUNG = "Timeout ("  # how the stacks begin that are written when the limit is over
_EXTENSIONS = "\nExtension modules:"
_HEAD = 9  # a byte that says whether the case still runs, and the length of the note


class Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a process was at: a cell by its name, and the JSON form of the case it began last.

    `running` is false where that case had come to its end. `case` is None before the first.
    """

    cell: str
    case: dict[str, Any] | None = None
    running: bool = False


class Left(msgspec.Struct, frozen=True):
    """What a process left: its last note, whether it hung, and the stacks of its threads."""

    note: Note | None
    hung: bool
    stacks: str


class Journal:
    """The journal of one process, in the folder of its run; without a folder it keeps none.

    While a cell is open the process ends itself where no case begins for `limit` seconds (0:
    no limit), with the stacks of all threads written down. That is measured by a thread of C:
    it needs no Python, so that native code which never returns is ended too.
    """

    def __init__(self, folder: Path | None = None, name: str = "", *, limit: float = 0.0) -> None:
        self.limit = limit
        self._file: int | None = None
        self._stacks = -1
        self._cell = b""
        # Arming starts a thread: 80 microseconds, so it is not done for each case.
        self._slack = min(1.0, limit / 4)
        self._armed = -math.inf
        if folder is None:
            return
        # A worker on another machine has no such folder: it dies without a word then.
        with contextlib.suppress(OSError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            self._stacks = os.open(folder / f"{name}.stacks", flags)
            self._file = os.open(folder / f"{name}.note", flags)

    @contextlib.contextmanager
    def opened(self, cell: str) -> Iterator[None]:
        """For as long as a cell runs."""
        if self._file is None:
            yield
            return
        # Instead of pytest's own, which writes into the terminal of the run.
        faulthandler.enable(self._stacks)
        self._note(cell)
        self._arm(START)
        self._armed = -math.inf  # so that the first case has a limit of its own
        try:
            yield
        finally:
            self.pause()
            self._note("")

    @contextlib.contextmanager
    def running(self, case: Any) -> Iterator[None]:
        """For as long as a case runs: that it does is written down before, in microseconds."""
        if self._file is None:
            yield
            return
        text = b'{"cell":%b,"case":%b}' % (self._cell, msgspec.json.encode(case))
        self._write(b"1%08d%b" % (len(text), text))
        now = time.monotonic()
        if self.limit and now - self._armed > self._slack:
            self._arm(self.limit + self._slack)
            self._armed = now
        try:
            yield
        finally:
            self._write(b"0")

    def pause(self) -> None:
        """Let the limit rest until the next case begins."""
        if self._file is not None:
            faulthandler.cancel_dump_traceback_later()
            self._armed = -math.inf

    def _arm(self, seconds: float) -> None:
        if self.limit:
            faulthandler.dump_traceback_later(seconds, exit=True, file=self._stacks)

    def _note(self, cell: str) -> None:
        self._cell = msgspec.json.encode(cell)
        text = b'{"cell":%b}' % self._cell
        self._write(b"0%08d%b" % (len(text), text))

    def _write(self, content: bytes) -> None:
        # At the start, over what was there: the kernel has it when the process dies. A disk that
        # is full must not fail a cell.
        with contextlib.suppress(OSError):
            assert self._file is not None
            os.pwrite(self._file, content, 0)

    @staticmethod
    def left(folder: Path, name: str) -> Left:
        """What a process that died left in the folder of its run."""
        try:
            stacks = (folder / f"{name}.stacks").read_text("utf-8", "replace")
        except OSError:
            stacks = ""
        return Left(_noted(folder / f"{name}.note"), stacks.startswith(_HUNG), stacks_of(stacks))


def stacks_of(text: str) -> str:
    """The stacks in what faulthandler wrote, without its list of modules."""
    return text.partition(_EXTENSIONS)[0].strip()


def _noted(path: Path) -> Note | None:
    try:
        content = path.read_bytes()
        head, text = content[:_HEAD], content[_HEAD:]
        found = msgspec.json.decode(text[: int(head[1:])], type=Note)
    except (OSError, ValueError):
        return None  # there is none, or it died while it wrote
    return msgspec.structs.replace(found, running=head[:1] == b"1") if found.cell else None


SILENT = Journal()
"""A journal that nobody reads."""
