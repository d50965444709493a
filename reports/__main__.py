"""What came out of runs: `python -m reports site|diff|check|ledger draft RECORD...`."""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from reports.claims import ClaimsError, read_claims
from reports.diff import compare, told
from reports.drafting import draft
from reports.exhibits import read_ledger
from reports.ledger_file import LedgerError
from reports.loading import Loaded, counted, load, verdict
from reports.site import SiteError, pages, write_site
from reports.terminal import clean

_LEDGER = Path(__file__).parent / "ledger.toml"
_CLAIMS = Path(__file__).parent / "claims.toml"
_SENTENCE = 500
_RECORD = "a record.json, or the folder that holds it"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit status is 0 for well, 1 for worse or not green, 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m reports", description=__doc__.split(":")[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    # A command more is a function more here.
    for add in (_add_site, _add_diff, _add_check, _add_ledger):
        add(commands)
    chosen = parser.parse_args(arguments)
    status: int = chosen.run(chosen)
    return status


def _add_site(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "site", "write static pages of records", _site)
    parser.add_argument("records", nargs="+", metavar="RECORD", help=_RECORD)
    parser.add_argument("--out", required=True, metavar="DIR", help="the folder of the pages")
    parser.add_argument(
        "--ledger",
        default=_LEDGER,
        metavar="FILE",
        help="where reasons, links and regions come from (default: reports/ledger.toml)",
    )
    _of_claims(parser)


def _add_diff(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "diff", "tell what changed from one record to another", _diff)
    parser.add_argument("old", metavar="OLD", help=_RECORD)
    parser.add_argument("new", metavar="NEW", help=_RECORD)
    _of_claims(parser)


def _add_check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "check", "say of each record whether it is green", _check)
    parser.add_argument("records", nargs="+", metavar="RECORD", help=_RECORD)


def _add_ledger(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("ledger", help="entries for the ledger")
    inner = parser.add_subparsers(required=True, metavar="COMMAND")
    drafting = _command(
        inner, "draft", "propose entries for what records of surveys have new", _draft
    )
    drafting.add_argument("records", nargs="+", metavar="RECORD", help=_RECORD)


def _of_claims(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--claims",
        default=_CLAIMS,
        metavar="FILE",
        help="where the verdicts on statements come from (default: reports/claims.toml)",
    )


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    what: str,
    run: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
    parser.set_defaults(run=run)
    return parser


def _site(chosen: argparse.Namespace) -> int:
    with _uncollected():
        return _built(chosen)


def _built(chosen: argparse.Namespace) -> int:
    loaded = _loaded(chosen.records)
    if not loaded.sources:
        return _refused("no record can be used: no page was written")
    try:
        ledger, problems = read_ledger(chosen.ledger)
        for problem in problems:
            _say(problem, file=sys.stderr)
        notes = [*(one.reason for one in loaded.left_out), *problems]
        claims = read_claims(chosen.claims)
        files = pages(loaded.sources, ledger=ledger, claims=claims, notes=notes)
        write_site(chosen.out, files)
    except (ClaimsError, LedgerError, SiteError) as error:
        return _refused(str(error))
    used = f"{len(loaded.sources)} of {counted(len(chosen.records), 'record')}"
    _say(clean(f"{used}: {Path(chosen.out) / 'index.html'}", _SENTENCE))
    return 0


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Without garbage collection: texts make no cycles, and looking takes a fifth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _draft(chosen: argparse.Namespace) -> int:
    loaded = _loaded(chosen.records)
    if not loaded.sources:
        return _refused("no record can be used: nothing was proposed")
    proposed = draft(source.record for source in loaded.sources)
    if not proposed:
        _say("nothing is new: no entry is proposed", file=sys.stderr)
    print(proposed, end="")
    return 0


def _diff(chosen: argparse.Namespace) -> int:
    loaded = _loaded([chosen.old, chosen.new])
    if len(loaded.sources) < 2:
        if loaded.left_out and loaded.left_out[0].duplicate:
            return _refused("a record compared with itself says nothing")
        return _refused("two records are needed: nothing was compared")
    old, new = loaded.sources
    diff = compare(old, new)
    if not diff.common:
        return _refused("the two records have no cell in common: nothing can be compared")
    try:
        claims = read_claims(chosen.claims)
    except ClaimsError as error:
        return _refused(str(error))
    _say(*told(old, new, diff, max(40, shutil.get_terminal_size().columns), claims))
    return 1 if diff.worse else 0


def _check(chosen: argparse.Namespace) -> int:
    loaded = _loaded(chosen.records)
    if not loaded.sources:
        return _refused("no record can be used: nothing was checked")
    green = all(one.duplicate for one in loaded.left_out)
    for path, record in loaded.sources:
        well, said = verdict(record)
        green = green and well
        here = record.environment
        name = f"{here.implementation} {here.keras}, TensorFlow {here.tensorflow}"
        _say(clean(f"{path}: {name}: {said}", _SENTENCE))
    return 0 if green else 1


def _loaded(paths: Sequence[str]) -> Loaded:
    loaded = load(paths)
    for one in loaded.left_out:
        _say(one.reason, file=sys.stderr)
    return loaded


def _refused(sentence: str) -> int:
    _say(clean(sentence, _SENTENCE), file=sys.stderr)
    return 2


def _say(*lines: str, file: TextIO | None = None) -> None:
    try:
        print(*lines, sep="\n", file=file, flush=True)
    except BrokenPipeError:
        # Its reader has seen enough; the exit status is still to be told.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name may hold any letter
    sys.exit(main())
