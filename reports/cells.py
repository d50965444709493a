"""Cells by what they are, whatever file and line they come from, and deviations by their cause."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from reports.record import NOT_RUN, OUTCOMES, Entry, Finding, Record

__all__ = [
    "ENDED",
    "STATES",
    "Key",
    "NewKey",
    "cells",
    "key_of_entry",
    "key_of_node",
    "new_findings",
]

STATES = ("crashed", NOT_RUN, *OUTCOMES[1:])
"""The outcomes of a cell and `not run`, worst first."""

ENDED = frozenset({"deviates", "fixed", "holds"})
"""The outcomes of cells that were run to their end: only these say what is *not* there."""

_NODE = re.compile(r"\[(.+)-(\w+)-([a-z]+:\d+)-(eager|graph|xla)\]$", re.DOTALL)


class Key(NamedTuple):
    """A cell of any implementation: property, layer, device and mode."""

    property: str
    layer: str
    device: str
    mode: str


class NewKey(NamedTuple):
    """What keeps new deviations apart: property, comparison and kind."""

    property: str
    comparison: str
    kind: str


def key_of_node(node: str) -> Key:
    """The cell that a node id names; where it names none, the node id stands for the layer."""
    found = _NODE.search(node)
    if found is None:
        return Key("", node, "", "")
    layer, property, device, mode = found.groups()
    return Key(property, layer, device, mode)


def key_of_entry(entry: Entry) -> Key:
    """The cell of an entry; one that says nothing of itself has its node id still."""
    if entry.property and entry.layer:
        return Key(entry.property, entry.layer, entry.device, entry.mode)
    return key_of_node(entry.node)


def cells(record: Record) -> dict[Key, Entry | None]:
    """The cells of a record with their entries, None for those that did not report."""
    found: dict[Key, Entry | None] = {key_of_entry(entry): entry for entry in record.entries}
    reported = {entry.node for entry in record.entries}
    for node in (*record.selected, *record.not_run):
        if node not in reported:
            found.setdefault(key_of_node(node))
    return found


def new_findings(entry: Entry) -> Iterator[tuple[NewKey, Finding]]:
    """The findings of an entry that the ledger does not know; the first stands for its kind."""
    seen = set()
    for finding in entry.findings:
        key = NewKey(key_of_entry(entry).property, finding.comparison, finding.kind)
        if finding.deviation is None and key not in seen:
            seen.add(key)
            yield key, finding
