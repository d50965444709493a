"""The cells of a record as tables of properties x layers, and each of them in full."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Sequence

from markupsafe import Markup

from reports.cells import STATES, Key, cells
from reports.exhibits import Exhibit, Shown, joined, short, shown
from reports.loading import counted
from reports.record import NOT_RUN, Entry, Record

__all__ = ["SYMBOLS", "CellView", "Table", "counts", "tables", "views"]

SYMBOLS = {
    "crashed": "\N{DAGGER}",
    NOT_RUN: "?",
    "broken": "!",
    "new": "\N{BALLOT X}",
    "fixed": "\N{WHITE UP-POINTING TRIANGLE}",
    "blocked": "\N{CIRCLED DIVISION SLASH}",
    "deviates": "\N{ALMOST EQUAL TO}",
    "holds": "\N{CHECK MARK}",
}
"""A mark for each outcome: no two are told apart by colour alone."""

_FINDINGS = 20


@dataclasses.dataclass(frozen=True)
class CellView:
    """A cell as a page shows it; `entry` is None where it did not report.

    `execution` is what tells it apart from other executions of its property and layer. Of a cell
    of which no more than its node id is known, that stands for the layer.
    """

    anchor: str
    key: Key
    layer: str
    property: str
    state: str
    entry: Entry | None
    findings: tuple[Shown, ...]
    traits: Markup
    observed: Markup
    seconds: Markup
    more: int = 0  # findings that are not shown
    statement: str = ""
    deviations: tuple[tuple[str, str, int], ...] = ()  # title, anchor, examples
    execution: str = ""

    @functools.cached_property
    def name(self) -> str:
        """The cell in words."""
        execution = short(self.key.device), short(self.key.mode)
        return ", ".join(filter(None, (self.property, self.layer, *execution)))

    @functools.cached_property
    def reached(self) -> str:
        """How many configurations, examples and batches the cell met."""
        one = self.entry
        if one is None:
            return ""
        batches = f"{one.batches:,} {'batch' if one.batches == 1 else 'batches'}"
        total = counted(one.configurations_total, "configuration")
        return f"{one.configurations:,} of {total}, {counted(one.examples, 'example')}, {batches}"


@dataclasses.dataclass(frozen=True)
class Table:
    """Properties (rows) x layers (columns) that have cells in common."""

    properties: tuple[str, ...]
    layers: tuple[str, ...]
    statements: dict[str, str]
    cells: dict[tuple[str, str], list[CellView]]


def views(record: Record, exhibits: Sequence[Exhibit]) -> list[CellView]:
    """Every cell of a record, those that did not report too."""
    anchors = {(one.title, one.state == "fixed"): one.anchor for one in exhibits}
    found = []
    for number, (key, entry) in enumerate(cells(record).items()):
        deviations: list[tuple[str, str, int]] = []
        if entry is not None:
            for id_, count in entry.deviations.items():
                deviations.append((short(id_), anchors.get((short(id_), False), ""), count))
            for id_ in entry.fixed:
                deviations.append((f"{short(id_)} is gone", anchors.get((short(id_), True), ""), 0))
        found.append(
            CellView(
                anchor=f"cell-{number}",
                key=key,
                layer=short(key.layer),
                property=short(key.property) or "(unknown)",
                state=NOT_RUN if entry is None else entry.outcome,
                entry=entry,
                findings=tuple(map(shown, entry.findings[:_FINDINGS])) if entry else (),
                more=max(0, len(entry.findings) - _FINDINGS) if entry else 0,
                statement=short(entry.statement) if entry else "",
                traits=joined("<span>{} <b>{}</b></span> ", entry.traits.items() if entry else ()),
                observed=joined(
                    "<span>{} <b>{}</b></span> ", entry.observed.items() if entry else ()
                ),
                seconds=joined(
                    "<span>{} <b>{}</b></span> ",
                    ((k, f"{n:.2f}") for k, n in (entry.seconds if entry else {}).items()),
                ),
                deviations=tuple(deviations),
            )
        )
    return _labelled(found)


def _labelled(found: list[CellView]) -> list[CellView]:
    """Each cell with what tells its execution apart where there are several."""
    siblings: dict[Key, list[Key]] = {}
    for one in found:
        place = one.key._replace(device="", mode="")
        siblings.setdefault(place, []).append(one.key)
    labelled = []
    for one in found:
        beside = siblings[one.key._replace(device="", mode="")]
        words = []
        if len({key.device for key in beside}) > 1:
            words.append(one.key.device)
        if len({key.mode for key in beside}) > 1:
            words.append(one.key.mode)
        labelled.append(dataclasses.replace(one, execution=short(" ".join(words))))
    return labelled


def tables(found: Sequence[CellView]) -> list[Table]:
    """Cells as tables: properties that share a layer stand in one, others apart.

    In one table for all, properties of different families would leave most places empty.
    """
    groups: list[tuple[set[str], set[str]]] = []
    for one in found:
        mine = ({one.property}, {one.layer})
        apart = []
        for group in groups:
            if group[0] & mine[0] or group[1] & mine[1]:
                mine = (group[0] | mine[0], group[1] | mine[1])
            else:
                apart.append(group)
        groups = [*apart, mine]
    return [_table([one for one in found if one.property in group[0]]) for group in groups]


def _table(found: list[CellView]) -> Table:
    places: dict[tuple[str, str], list[CellView]] = {}
    for one in found:
        places.setdefault((one.property, one.layer), []).append(one)
    return Table(
        properties=tuple(dict.fromkeys(one.property for one in found)),
        layers=tuple(dict.fromkeys(one.layer for one in found)),
        statements={one.property: one.statement for one in found if one.statement},
        cells=places,
    )


def counts(found: Sequence[CellView]) -> list[tuple[str, int]]:
    """How many cells have each outcome, worst first; outcomes without any are left out."""
    numbers = Counter(one.state for one in found)
    return [(state, numbers[state]) for state in STATES if numbers[state]]
