"""Whether a run survives its workers: `python -m selftest.killing --runs 20` prints a table."""

from __future__ import annotations

import argparse
import dataclasses
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from reports.record import FAILING, Entry, Record, read_record
from selftest.killer import Kill, Way, variables

__all__ = ["CELLS", "ROOT", "Run", "killed", "kills", "untold", "wrong"]

ROOT = Path(__file__).parents[1]

_LAYERS = ("SimpleRNN", "LSTM")
_PROPERTIES = (
    "product_outcome",
    "product_values",
    "intended_axes",
    "second_call",
    "symbolic_shape",
)
CELLS = (
    *(f"multiply-{one}-cpu:0-{mode}" for mode in ("eager", "graph") for one in _PROPERTIES[:3]),
    *(f"{layer}-{one}-cpu:0-graph" for layer in _LAYERS for one in _PROPERTIES[3:]),
)
"""Cells that take seconds each, as their node ids name them."""

_DEADLY: tuple[Way, ...] = ("SIGKILL", "SIGSEGV")
_CALLS = 5  # each of these cells runs more lists of steps than that


@dataclasses.dataclass(frozen=True)
class Run:
    """How a run ended: its exit status, what it printed, its record and how long it took."""

    status: int
    output: str
    record: Record
    seconds: float

    def entry(self, cell: str) -> Entry:
        """The entry of a cell."""
        return next(entry for entry in self.record.entries if f"[{cell}]" in entry.node)


def killed(*options: str, deaths: tuple[Kill, ...], workers: int = 2, limit: float = 900.0) -> Run:
    """A run of the suite in whose cells workers die.

    Raises subprocess.TimeoutExpired where it does not end within `limit` seconds, and RecordError
    where it leaves no record.
    """
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "COV_"))}
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            *("-m", "pytest", "-p", "selftest.killer", "-p", "no:cacheprovider", "--profile=quick"),
            *(f"-n{workers}", f"--report={folder}", *options),
        ]
        started = time.perf_counter()
        ran = subprocess.run(
            command,
            cwd=ROOT,
            env={**inherited, "COLUMNS": "100", **variables(*deaths)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=limit,
        )
        seconds = time.perf_counter() - started
        record = read_record(Path(folder) / "record.json")
    return Run(ran.returncode, ran.stdout, record, seconds)


def kills(seed: int, count: int = 3) -> tuple[Kill, ...]:
    """Deaths in some cells, of both kinds, soon or late in each."""
    rng = random.Random(seed)
    return tuple(
        Kill(f"[{cell}]", _DEADLY[(seed + place) % 2], rng.randint(1, _CALLS))
        for place, cell in enumerate(rng.sample(CELLS, count))
    )


def options() -> list[str]:
    """What selects `CELLS`."""
    layers = [f"--layer={layer}" for layer in ("multiply", *_LAYERS)]
    return [*layers, *(f"--property={property}" for property in _PROPERTIES)]


def wrong(run: Run, deaths: tuple[Kill, ...]) -> list[str]:
    """What a run should have done otherwise, a line each."""
    found = []
    record = run.record
    expected = {kill.cell.strip("[]") for kill in deaths}
    entries = {entry.node.partition("[")[2].rstrip("]"): entry for entry in record.entries}
    crashed = {cell for cell, entry in entries.items() if entry.outcome == "crashed"}
    if crashed != expected:
        found.append(f"crashed are {sorted(crashed)} where {sorted(expected)} were killed")
    if record.not_run or set(entries) != set(CELLS) or not record.complete:
        found.append(f"{len(entries)} of {len(CELLS)} cells reported: {record.exit_reason}")
    for cell, entry in entries.items():
        if cell not in expected and entry.outcome in FAILING:
            found.append(f"{cell} is {entry.outcome}: {entry.reason}")
    if run.status != 1:
        found.append(f"exit status {run.status}")
    for kill in deaths:
        entry = entries.get(kill.cell.strip("[]"))
        found += [f"{kill.cell} {one}" for one in untold(kill, entry, run.output)]
    return found


def untold(kill: Kill, entry: Entry | None, output: str) -> list[str]:
    """What the entry of a cell should have said of a death otherwise, a half sentence each."""
    if entry is None or not entry.findings:
        return ["has no finding"]
    found = []
    finding = entry.findings[0]
    if finding.kind != "crash" or kill.way not in finding.message:
        found.append(f"died of {kill.way}, not so: {finding.message}")
    if not finding.case or not finding.script or finding.case_text not in _joined(output):
        found.append("has no case, or no script, or the summary lacks it")
    if kill.way == "SIGSEGV" and "_die" not in finding.stacks:
        found.append("has no stacks")
    return found


def _joined(text: str) -> str:
    return " ".join(text.split())


def main(arguments: list[str] | None = None) -> int:
    """Print a row for each run; the exit status says whether something was wrong."""
    parser = argparse.ArgumentParser(prog="python -m selftest.killing", description=__doc__)
    parser.add_argument("--runs", type=int, default=20, metavar="N", help="how many (20)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="the first seed (0)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="of each run (2)")
    given = parser.parse_args(arguments)
    row = "{:>4}  {:>7}  {:>8}  {:>7}  {}"
    print(row.format("seed", "crashed", "reported", "seconds", "killed"), flush=True)
    failed = 0
    for seed in range(given.first, given.first + given.runs):
        deaths = kills(seed)
        try:
            run = killed(*options(), deaths=deaths, workers=given.workers)
        except subprocess.TimeoutExpired as error:
            failed += 1
            print(f"{seed:>4}  did not end within {error.timeout:g} seconds", flush=True)
            continue
        problems = wrong(run, deaths)
        failed += bool(problems)
        crashed = sum(entry.outcome == "crashed" for entry in run.record.entries)
        reported = f"{len(run.record.entries)}/{len(CELLS)}"
        how = ", ".join(f"{kill.cell.strip('[]')} {kill.way} {kill.call}" for kill in deaths)
        print(row.format(seed, crashed, reported, f"{run.seconds:.0f}", how), flush=True)
        for problem in problems:
            print(f"      wrong: {problem}", flush=True)
    print(f"{given.runs - failed} of {given.runs} runs as they should be")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
