"""What came out of runs: `python -m reports site|diff|check RECORD...`."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from reports.diff import compare, told
from reports.exhibits import read_ledger
from reports.ledger import LedgerError
from reports.loading import Loaded, load, verdict
from reports.site import SiteError, pages, write_site
from reports.terminal import clean

_LEDGER = Path(__file__).parent / "ledger.toml"
_SENTENCE = 500
_RECORD = "a record.json, or the folder that holds it"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit status is 0 for well, 1 for worse or not green, 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m reports", description=__doc__.split(":")[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    # A command more is a function more here.
    for add in (_add_site, _add_diff, _add_check):
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


def _add_diff(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "diff", "tell what changed from one record to another", _diff)
    parser.add_argument("old", metavar="OLD", help=_RECORD)
    parser.add_argument("new", metavar="NEW", help=_RECORD)


def _add_check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "check", "say of each record whether it is green", _check)
    parser.add_argument("records", nargs="+", metavar="RECORD", help=_RECORD)


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
    loaded = _loaded(chosen.records)
    if not loaded.sources:
        return _refused("no record can be used: no page was written")
    try:
        ledger, problems = read_ledger(chosen.ledger)
        for problem in problems:
            _say(problem, sys.stderr)
        notes = [*(one.reason for one in loaded.left_out), *problems]
        files = pages(loaded.sources, ledger=ledger, notes=notes)
        write_site(chosen.out, files)
    except (LedgerError, SiteError) as error:
        return _refused(str(error))
    _say(f"{len(loaded.sources)} of {len(chosen.records)} records: {Path(chosen.out) / 'index.html'}")
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
    for line in told(old, new, diff, max(40, shutil.get_terminal_size().columns)):
        print(line)
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
        _say(f"{path}: {here.implementation} {here.keras}, TensorFlow {here.tensorflow}: {said}")
    return 0 if green else 1


def _loaded(paths: Sequence[str]) -> Loaded:
    loaded = load(paths)
    for one in loaded.left_out:
        _say(one.reason, sys.stderr)
    return loaded


def _refused(sentence: str) -> int:
    _say(sentence, sys.stderr)
    return 2


def _say(sentence: str, file: object = None) -> None:
    print(clean(sentence, _SENTENCE), file=file)  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main())
