"""A pytest plugin that ends, or stops, workers in the middle of chosen cells.

`pytest -p selftest.killer` reads the variable `KMT_KILLS`, a list of `Kill` in JSON. As a
command, which takes a node id, it is `properties.alone` with that cell's deaths in it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any, Literal

import msgspec
import pytest

from execution.running import Runner
from properties import alone

__all__ = ["VARIABLE", "WAYS", "Kill", "Way", "variables"]

VARIABLE = "KMT_KILLS"
Way = Literal["SIGKILL", "SIGSEGV", "exit", "hang", "hang in C"]
WAYS: tuple[Way, ...] = ("SIGKILL", "SIGSEGV", "exit", "hang", "hang in C")


class Kill(msgspec.Struct, frozen=True):
    """Die in the `call`-th list of steps that a cell runs and that holds `argument`.

    The 0th is none: the cell has not begun. `cell` is a part of the cell's node id, `argument` a
    part of the source of a layer.
    """

    cell: str
    way: Way
    call: int = 1
    argument: str = ""


def variables(*kills: Kill) -> dict[str, str]:
    """The variables of a run in which workers die so."""
    return {VARIABLE: msgspec.json.encode(kills).decode()}


class _Killer:
    """Counts the lists of steps of each cell, and dies where it was told to."""

    def __init__(self) -> None:
        text = os.environ.get(VARIABLE, "[]")
        self.kills = msgspec.json.decode(text, type=list[Kill])
        self.node = ""
        self.calls: dict[Kill, int] = {}

    def plant(self) -> None:
        """Put the deaths into the runner."""
        run = Runner.run

        def deadly(runner: Runner, steps: tuple[Any, ...]) -> Any:
            self.met(steps)
            return run(runner, steps)

        Runner.run = deadly  # type: ignore[method-assign]

    def met(self, steps: tuple[Any, ...]) -> None:
        """Some steps are about to be run."""
        for kill in self.kills:
            if kill.cell not in self.node:
                continue
            sources = [step.spec.source() for step in steps if hasattr(step, "spec")]
            if kill.argument and not any(kill.argument in source for source in sources):
                continue
            self.calls[kill] = self.calls.get(kill, 0) + 1
            if self.calls[kill] == kill.call:
                _die(kill.way)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Another cell begins."""
        self.node = item.nodeid
        for kill in self.kills:
            if kill.call == 0 and kill.cell in self.node:
                _die(kill.way)
        alone.COMMAND = (sys.executable, "-m", "selftest.killer", item.nodeid)
        return (yield)


def _die(way: Way) -> None:
    if way == "SIGKILL":
        os.kill(os.getpid(), signal.SIGKILL)
    elif way == "SIGSEGV":
        ctypes.string_at(0)
    elif way == "exit":
        os._exit(3)
    elif way == "hang":
        time.sleep(600)
    else:
        ctypes.PyDLL(None).sleep(600)  # and no other thread of Python runs


def pytest_configure(config: pytest.Config) -> None:
    """Plant the deaths in the workers, and in what they start."""
    if hasattr(config, "workerinput"):
        killer = _Killer()
        killer.plant()
        config.pluginmanager.register(killer)


if __name__ == "__main__":
    planted = _Killer()
    planted.node = sys.argv[1]
    planted.plant()
    alone.main()
