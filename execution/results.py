"""What running steps gives: outputs, failures, and what it cost."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import time
from collections.abc import Iterator
from typing import Any

__all__ = ["MODES", "Counters", "Execution", "Failure", "Results"]

MODES = ("eager", "graph", "xla")


@dataclasses.dataclass(frozen=True)
class Execution:
    """Where and how steps run: a device such as `cpu:0` and one of `MODES`."""

    device: str = "cpu:0"
    mode: str = "graph"

    def __str__(self) -> str:
        return f"{self.device}-{self.mode}"


@dataclasses.dataclass(frozen=True)
class Failure:
    """A step that raised: the exception's class, its first line, and the step's name.

    Of a product `moment` says when: at construction, at tracing or when it was run.
    """

    step: str
    exception: str
    message: str
    moment: str = ""


@dataclasses.dataclass
class Results:
    """What steps handed back, by name, and the failures of those that raised on a device.

    `inapplicable` says why an implementation cannot be asked at all: it makes no such operand.
    """

    outputs: dict[str, tuple[Any, ...]]
    failures: dict[str, Failure]
    device: str = "cpu:0"
    inapplicable: str = ""

    def failure_of(self, name: str) -> Failure | None:
        """The failure that keeps the result called `name` from being there."""
        return self.failures.get(name)


@dataclasses.dataclass
class Counters:
    """What running cost: how often, and for how many seconds."""

    counts: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    seconds: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)

    @contextlib.contextmanager
    def of(self, what: str) -> Iterator[None]:
        """Count one `what` and the time that the body takes."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.counts[what] += 1
            self.seconds[what] += time.perf_counter() - start  # type: ignore[assignment]
