"""The implementation under test, and the runners that a process keeps from cell to cell."""

from __future__ import annotations

import functools
import gc
import os
import resource
from typing import Any

from execution.implementation import Implementation
from execution.running import Runner
from properties.journal import Journal
from properties.run import Run
from properties.running import CellRunner

__all__ = ["Laboratory"]


class Laboratory:
    """One implementation, a runner for each execution, emptied when the layer changes."""

    def __init__(self, run: Run) -> None:
        self.run = run
        worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
        self.journal = Journal(run.journals, worker, limit=run.case_limit)
        self._runners: dict[Any, Any] = {}
        self._layer: str | None = None

    @functools.cached_property
    def implementation(self) -> Implementation:
        """The implementation under test, imported when the first cell runs."""
        return Implementation(self.run.found)

    def measured(self, cell: Any) -> dict[str, Any]:
        """Run a cell; the fields of its entry."""
        with self.journal.opened(self.run.name(cell)):
            return self._measured(cell)

    def _measured(self, cell: Any) -> dict[str, Any]:
        if cell.layer != self._layer:
            for runner in self._runners.values():
                runner.drop()
            if self._runners:  # once for all: a collection takes 0.1 seconds
                self.implementation.clear_session()
                gc.freeze()  # what outlives all layers (results, what is cached) stays
            self._layer = cell.layer
            # Graphs are full of cycles; collecting them while they live costs a tenth of a run.
            gc.set_threshold(200_000, 50, 1000)
        runner = self._runners.get(cell.execution)
        if runner is None:
            runner = self._runners[cell.execution] = Runner(self.implementation, cell.execution)
        run = self.run
        fields = CellRunner(
            cell,
            runner,
            run.ledger,
            run.profile,
            run.seed,
            survey=run.survey,
            journal=self.journal,
        ).run()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return {
            **fields,
            "memory_mb": round(peak, 1),
            "worker": os.environ.get("PYTEST_XDIST_WORKER", "main"),
        }
