"""Runs a case in a process of its own: for what is known to end, or to stop, its process."""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from execution.implementation import Implementation, installed
from execution.results import Execution
from properties.journal import START, stacks_of

__all__ = ["COMMAND", "Asked", "Fate", "NotRun", "ended_by", "fate"]

COMMAND = (sys.executable, "-m", "properties.alone")
_ROOT = Path(__file__).parents[1]
_BEGUN, _SURVIVED, _FAILED = "begun", "survived", "failed: "


class NotRun(Exception):
    """The process ended before it came to the case, for a reason of its own."""


class Asked(msgspec.Struct, frozen=True):
    """A case in its JSON form, the property that speaks of it, and where and how it is run."""

    implementation: str
    property: str
    device: str
    mode: str
    case: dict[str, Any]
    limit: float


class Fate(msgspec.Struct, frozen=True):
    """How a process ended: `crash`, `hang` or, where it came to its end, None; and in words."""

    kind: str | None
    message: str = ""
    stacks: str = ""


def fate(asked: Asked) -> Fate:
    """Run a case in a process of its own, for at most `limit` seconds.

    Raises NotRun where that process did not come as far as the case.
    """
    try:
        ran = subprocess.run(
            COMMAND,
            input=msgspec.json.encode(asked),
            capture_output=True,
            cwd=_ROOT,
            check=False,
            # It ends itself; this is for a process that is stopped.
            timeout=START + asked.limit + 60,
        )
    except subprocess.TimeoutExpired:
        return Fate("hang", f"the process did not end within {asked.limit:g} seconds")
    said = ran.stdout.decode("utf-8", "replace").splitlines()
    heard = ran.stderr.decode("utf-8", "replace")
    if _SURVIVED in said:
        return Fate(None)
    failed = [line for line in said if line.startswith(_FAILED)]
    if failed or _BEGUN not in said:
        why = failed[0].removeprefix(_FAILED) if failed else f"{ended_by(ran.returncode)}: {heard}"
        raise NotRun(f"a pinned case could not be run in a process of its own: {why[:1000]}")
    hung = re.search(r"^Timeout \(\d", heard, re.MULTILINE)
    start = hung or re.search(r"^Fatal Python error", heard, re.MULTILINE)
    stacks = stacks_of(heard[start.start() :]) if start else ""
    if hung:
        return Fate("hang", f"the case did not end within {asked.limit:g} seconds", stacks)
    return Fate("crash", f"the process {ended_by(ran.returncode)}", stacks)


def ended_by(status: int | None) -> str:
    """What ended a process, from the status that its parent was told."""
    if status is None:
        return "ended in an unknown way"
    if status >= 0:
        return f"exited with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    also = " (which the system sends where memory runs out)" if name == "SIGKILL" else ""
    return f"died of {name}{also}"


def main() -> None:
    """Run the case that standard input asks for, and say on standard output how far it came."""
    faulthandler.enable()
    faulthandler.dump_traceback_later(START, exit=True)
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=Asked)
    out = sys.stdout
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            running = importlib.import_module("execution.running")
            known = importlib.import_module("properties.test_conformance")
            property = known.PROPERTIES[asked.property]
            case = msgspec.convert(asked.case, known.FAMILIES[property.family].case_type)
            execution = Execution(asked.device, asked.mode)
            runner = running.Runner(Implementation(installed(asked.implementation)), execution)
            plan = property.function(case)
    except Exception as error:
        print(_FAILED + f"{type(error).__name__}: {error}".replace("\n", " "), file=out, flush=True)
        return
    print(_BEGUN, file=out, flush=True)
    faulthandler.dump_traceback_later(asked.limit, exit=True)
    runner.run(plan.steps)
    # Whatever the interpreter meets while it leaves is not the case's doing.
    print(_SURVIVED, file=out, flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
