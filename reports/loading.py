"""Reads the records that a command was given: each is used, or left out with one sentence."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from reports.record import FAILING, OUTCOMES, Record, RecordError, read_record
from reports.terminal import clean

__all__ = ["LeftOut", "Loaded", "Source", "counted", "incompleteness", "load", "verdict"]

_SENTENCE = 500


FAILED = "keras-mask-tests/failed/1"
"""The schema of the file that stands where an environment could not be run."""


class Source(NamedTuple):
    """A record and the file that it was read from."""

    path: Path
    record: Record


class LeftOut(NamedTuple):
    """A file that is not used, and why, as a sentence that names it.

    A `duplicate` holds nothing that is not used already.
    """

    path: Path
    reason: str
    duplicate: bool = False


class Loaded(NamedTuple):
    """What came of the files of a command, in their order."""

    sources: list[Source]
    left_out: list[LeftOut]


def load(paths: Iterable[str | os.PathLike[str]]) -> Loaded:
    """Read records; a folder stands for the `record.json` in it, or for those of its folders.

    Where a folder says in `failed.json` why there is none, that is the reason. What cannot be
    read, and what holds a record that was read before, is left out.
    """
    sources: list[Source] = []
    left_out: list[LeftOut] = []
    seen: dict[bytes, Path] = {}
    for place in (one for given in paths for one in _places(Path(given))):
        path = place
        if path.is_dir():
            failed = _failed(path)
            path /= "record.json"
            if failed and not path.exists():
                left_out.append(LeftOut(path, clean(failed, _SENTENCE)))
                continue
        try:
            record = read_record(path)
        except RecordError as error:
            left_out.append(LeftOut(path, clean(str(error), _SENTENCE)))
            continue
        # By content, not by name: a copy would be counted twice as well as a file named twice.
        content = msgspec.json.encode(record)
        first = seen.setdefault(content, path)
        if first is not path:
            reason = f"the record {path} is used once: it holds the same as {first}"
            if path == first:
                reason = f"the record {path} is used once: it was given twice"
            left_out.append(LeftOut(path, clean(reason, _SENTENCE), duplicate=True))
            continue
        sources.append(Source(path, record))
    return Loaded(sources, left_out)


def _places(given: Path) -> list[Path]:
    """A path; of a folder of folders those that hold a record, or the reason why there is none."""

    def tells(folder: Path) -> bool:
        return any((folder / name).exists() for name in ("record.json", "failed.json"))

    if not given.is_dir() or tells(given):
        return [given]
    return sorted(one for one in given.iterdir() if one.is_dir() and tells(one)) or [given]


def _failed(folder: Path) -> str:
    """What `.ci/versions` left in a folder about an environment that could not run."""
    try:
        found = msgspec.json.decode((folder / "failed.json").read_bytes(), type=dict[str, str])
    except (OSError, ValueError):
        return ""
    if found.get("schema") != FAILED:
        return ""
    return f"no record of {found.get('environment', folder.name)}: {found.get('sentence', '')}"


def incompleteness(record: Record) -> str | None:
    """Why a record does not account for all that was selected, in half a sentence, or None.

    The record's own word is not enough: its manifest is compared with its entries.
    """
    if not record.complete:
        return clean(record.exit_reason, _SENTENCE) or "it says so itself"
    if not record.selected:
        return "no cell was selected"
    reported = {entry.node for entry in record.entries}
    missing = len(set(record.selected) - reported)
    if missing or record.not_run:
        return f"{counted(max(missing, len(record.not_run)), 'cell')} did not report"
    return None


def verdict(record: Record) -> tuple[bool, str]:
    """Whether a record is green, and what is said of it: half a sentence.

    Green is a record that is complete and has no failing outcome.
    """
    outcomes = [entry.outcome for entry in record.entries]
    total = counted(len(record.selected), "cell")
    wrong = [
        f"{outcomes.count(one)} {one}" for one in OUTCOMES if one in FAILING and one in outcomes
    ]
    missing = incompleteness(record)
    if missing is not None:
        reported = len({entry.node for entry in record.entries} & set(record.selected))
        text = f"incomplete, {reported} of {total} reported: {missing}"
        return False, f"{text}; {', '.join(wrong)}" if wrong else text
    if wrong:
        return False, f"fails: {', '.join(wrong)} of {total}"
    text = f"green: {outcomes.count('holds')} of {total} hold"
    if known := outcomes.count("deviates"):
        text += f", {known} {'deviates' if known == 1 else 'deviate'} as the ledger says"
    return True, text


def counted(count: int, noun: str) -> str:
    """A number and its noun."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
