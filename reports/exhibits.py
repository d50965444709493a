"""Deviations as a page shows them: the smallest case of each, and what the ledger says of it."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from markupsafe import Markup, escape

from reports.cells import key_of_entry, new_findings
from reports.ledger import Deviation
from reports.ledger_file import LedgerError
from reports.pictures import difference_picture, mask_picture
from reports.record import Entry, Finding, Record
from reports.terminal import clean

__all__ = ["Exhibit", "Shown", "exhibits", "joined", "read_ledger", "short", "shown"]

_TEXT = 600
_CASE = 3_000
_SCRIPT = 20_000
_FACTS = 200


@dataclasses.dataclass(frozen=True)
class Shown:
    """A finding with all of its texts cleaned and cut, and its pictures."""

    comparison: str
    level: str
    kind: str
    message: str
    deviation: str | None
    case: str
    facts: Markup
    facts_count: int
    left: str
    right: str
    apart: str
    script: str
    ran: str
    mask: Markup | None
    differing: Markup | None
    axes: str


@dataclasses.dataclass(frozen=True)
class Exhibit:
    """A deviation in one record.

    `state` is `known`, `new`, `fixed`, or `unlisted` where the ledger that was read has no such
    entry. `entry` is the smallest case's, `entries` are all that have the deviation.
    """

    anchor: str
    title: str
    state: str
    kind: str
    entries: tuple[Entry, ...]
    entry: Entry
    finding: Shown | None
    region: str = ""
    reason: str = ""
    link: str = ""
    versions: str = ""

    @property
    def statements(self) -> dict[str, str]:
        """What each property says that the deviation departs from, the smallest case's first."""
        entries = (self.entry, *self.entries)
        return {short(one.property): short(one.statement) for one in entries}


def read_ledger(path: str | os.PathLike[str]) -> tuple[dict[str, Deviation], list[str]]:
    """The entries of a ledger by id, and a sentence for each that cannot be shown.

    Whether entries fit the suite's properties is a run's business, not a page's. Raises
    LedgerError where the file itself cannot be read.
    """
    path = Path(path)
    try:
        tables = msgspec.toml.decode(path.read_bytes()).get("deviation", [])
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        raise LedgerError(f"the ledger {path} cannot be read: {why}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LedgerError(f"the ledger {path} is not TOML: {error}") from error
    known: dict[str, Deviation] = {}
    problems = []
    for number, table in enumerate(tables if isinstance(tables, list) else [tables], 1):
        try:
            deviation = msgspec.convert(table, Deviation)
        except msgspec.ValidationError as error:
            problems.append(short(f"entry {number} of the ledger {path} is left out: {error}"))
        else:
            known[deviation.id] = deviation
    return known, problems


def short(text: str, limit: int = _TEXT) -> str:
    """A text from outside as one cleaned line; what repeats on a page is cleaned once."""
    return _cleaned(text, limit) if len(text) <= _TEXT else clean(text, limit)


_cleaned = functools.lru_cache(maxsize=4096)(clean)


@functools.lru_cache(maxsize=16_384)
def _piece(form: str, *texts: str | int) -> str:
    return form.format(*(escape(short(str(text))) for text in texts))


def joined(form: str, items: Iterable[tuple[str | int, ...]]) -> Markup:
    """Many short texts, each cleaned, escaped and put into a form.

    A page has a hundred thousand of these: one by one in a template they take most of its time.
    """
    return Markup("".join(_piece(form, *item) for item in items))


def shown(finding: Finding) -> Shown:
    """A finding as a page shows it."""
    apart = ""
    if finding.difference is not None:
        apart = f"by at most {float(finding.difference):.3g}"
        if finding.bound:
            apart += f" where {float(finding.bound):.3g} is allowed"
    ran = {True: "executed and seen to fail", False: "does not fail when it is executed"}
    return Shown(
        comparison=short(finding.comparison),
        level=short(finding.level),
        kind=short(finding.kind),
        message=clean(finding.message, _TEXT),
        deviation=None if finding.deviation is None else short(finding.deviation),
        case=clean(finding.case_text, _CASE),
        facts=joined("<code>{}</code> ", ((fact,) for fact in finding.facts[:_FACTS])),
        facts_count=len(finding.facts),
        left=clean(finding.left, _CASE, lines=True),
        right=clean(finding.right, _CASE, lines=True),
        apart=apart,
        script=clean(finding.script, _SCRIPT, lines=True),
        ran="" if finding.script_fails is None else ran[finding.script_fails],
        mask=mask_picture(finding.case),
        differing=difference_picture(finding.shape, finding.differing),
        axes=" x ".join(map(str, finding.shape)) or "a single value",
    )


def exhibits(record: Record, ledger: dict[str, Deviation]) -> list[Exhibit]:
    """The deviations of a record: new ones first, then those that are gone, then known ones."""
    found = [
        *_new(record.entries),
        *_listed("fixed", record.entries, ledger),
        *_listed("known", record.entries, ledger),
    ]
    return [
        dataclasses.replace(one, anchor=f"deviation-{number}") for number, one in enumerate(found)
    ]


def _new(entries: Iterable[Entry]) -> Iterator[Exhibit]:
    groups: dict[Any, list[tuple[Entry, Finding]]] = {}
    for entry in entries:
        for key, finding in new_findings(entry):
            groups.setdefault(key, []).append((entry, finding))
    for key, pairs in groups.items():
        entry, finding = min(pairs, key=_size)
        yield Exhibit(
            anchor="",
            title=short(f"{key.property}, {key.comparison}"),
            state="new",
            kind=short(key.kind),
            entries=tuple(one for one, _ in pairs),
            entry=entry,
            finding=shown(finding),
            region="no entry of the ledger covers it; the facts of its smallest case are below",
        )


def _listed(
    state: str, entries: Iterable[Entry], ledger: dict[str, Deviation]
) -> Iterator[Exhibit]:
    """What the record names by an id of the ledger."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        for one in entry.fixed if state == "fixed" else entry.deviations:
            groups.setdefault(one, []).append(entry)
    for name, group in sorted(groups.items()):
        pairs = [
            (entry, finding)
            for entry in group
            for finding in entry.findings
            if finding.deviation == name
        ]
        entry, finding = min(pairs, key=_size) if pairs else (group[0], None)
        deviation = ledger.get(name)
        if finding is None and deviation is not None:
            entry, finding = _pinned(group, deviation)
        yield Exhibit(
            anchor="",
            title=short(name),
            state=state if deviation or state == "fixed" else "unlisted",
            kind=short(deviation.kind if deviation else finding.kind if finding else ""),
            entries=tuple(group),
            entry=entry,
            finding=None if finding is None else shown(finding),
            region=short(deviation.region.describe(), _CASE) if deviation else "",
            reason=clean(deviation.reason, _CASE) if deviation else "",
            link=clean(deviation.link, _TEXT) if deviation else "",
            versions=_versions(deviation) if deviation else "",
        )


def _pinned(entries: list[Entry], deviation: Deviation) -> tuple[Entry, Finding | None]:
    """A pinned case of an entry of which a record keeps none, and the cell that replays it."""
    for pin in deviation.pins:
        for entry in entries:
            if (entry.property, entry.layer) == (pin.property, pin.layer):
                text = msgspec.json.encode(pin.case).decode()
                return entry, Finding(
                    comparison=pin.comparison,
                    level=entry.level,
                    kind=deviation.kind,
                    message="As the ledger pins it: the record keeps no case of its own.",
                    case=pin.case,
                    case_text=text,
                )
    return entries[0], None


def _versions(deviation: Deviation) -> str:
    try:
        return short(deviation.describe_range(), _CASE)
    except (ValueError, LookupError):  # versions that are none: a run refuses such an entry
        return short(", ".join(deviation.deviating), _CASE)


def _size(pair: tuple[Entry, Finding]) -> tuple[int, int, str]:
    """How much there is to read in a case."""
    batch = pair[1].case.get("batch")
    mask = batch.get("mask") if isinstance(batch, dict) else None
    steps = sum(len(row) for row in mask if isinstance(row, str)) if isinstance(mask, list) else 0
    return steps, len(pair[1].case_text), str(key_of_entry(pair[0]))
