"""The pytest plugin that ends a run after a limit of time, with its account whole."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

import pytest

__all__ = ["TimeLimit"]


class TimeLimit:
    """Interrupts the controller of a run, as Ctrl-C does, after some seconds.

    The workers are ended then, whatever they do. `stop` is told the reason before that.
    """

    def __init__(self, seconds: float, stop: Callable[[str], None]) -> None:
        self.seconds, self.stop = seconds, stop
        self._timer: threading.Timer | None = None
        self._signal = signal.SIGINT

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Begin to count."""
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and hasattr(signal, "SIGUSR1"):
            # So a shell starts what runs in the background, which Ctrl-C is not meant for.
            self._signal = signal.SIGUSR1
            signal.signal(self._signal, signal.default_int_handler)
        self._timer = threading.Timer(self.seconds, self._over)
        self._timer.daemon = True
        self._timer.start()

    @pytest.hookimpl(tryfirst=True)  # pytest-xdist waits there until its workers have ended
    def pytest_sessionfinish(self) -> None:
        """The run has come to its end in time, or is coming to it."""
        if self._timer is not None:
            self._timer.cancel()

    def _over(self) -> None:
        self.stop(f"stopped: the run reached its limit of {self.seconds / 60:g} minutes")
        os.kill(os.getpid(), self._signal)
