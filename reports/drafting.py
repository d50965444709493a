"""Proposes ledger entries from the surveys of runs; whether they become any, a person decides."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import tomli_w

from reports.record import Entry, Finding, Record

__all__ = ["draft"]

_PINS = 2  # a property: one cause is red in many cells, and a pin costs a trace in every run

_Found = tuple[str, Entry, Finding]


def draft(records: Iterable[Record]) -> str:
    """Proposed entries as TOML, one for each cause that the records' new findings point at.

    Findings are taken for one cause where they are of one kind and exception and the same
    facts tell their failing cases from passing ones. An empty text where nothing is new.
    """
    causes: dict[Any, list[_Found]] = {}
    for record in records:
        version = f"{record.environment.implementation} {record.environment.keras}"
        for entry in record.entries:
            for finding in entry.findings:
                if finding.deviation is None:
                    key = (finding.kind, finding.exception, repr(_region(finding)))
                    causes.setdefault(key, []).append((version, entry, finding))
    entries = [_entry(found, number) for number, found in enumerate(causes.values(), 1)]
    return tomli_w.dumps({"deviation": entries}) if entries else ""


def _entry(found: list[_Found], number: int) -> dict[str, Any]:
    _, first, finding = found[0]
    proposed: dict[str, Any] = {
        "id": _id(first, finding, number),
        "kind": finding.kind,
        "reason": f"TO DECIDE: {finding.message}",
        "link": "unreported",
        "layers": _once(entry.layer for _, entry, _ in found),
        "comparisons": [
            {"property": property, "comparison": comparison}
            for property, comparison in _once((e.property, f.comparison) for _, e, f in found)
        ],
        "deviating": _once(version for version, _, _ in found),
    }
    region = _region(finding)
    if region:
        proposed["region"] = region
    if finding.exception:
        proposed["instead"] = {"exception": finding.exception}
    proposed["pins"] = list(_pins(found))
    return proposed


def _region(finding: Finding) -> dict[str, Any]:
    """The rules of a survey as a region; what a region cannot say is left to the person."""
    rules = finding.regions
    if not rules:
        return {}
    if len(rules) == 1:
        return {name: facts for name, facts in sorted(rules[0].items()) if facts}
    none = [fact for fact in rules[0]["none"] if all(fact in rule["none"] for rule in rules)]
    region: dict[str, Any] = {"any": [rule["all"] for rule in rules if rule["all"]]}
    return {**region, "none": none} if none else region


def _pins(found: list[_Found]) -> Iterator[dict[str, Any]]:
    taken: dict[str, set[str]] = {}
    for _, entry, finding in sorted(found, key=lambda one: len(repr(one[2].case))):
        layers = taken.setdefault(entry.property, set())
        if entry.layer in layers or len(layers) == _PINS:
            continue
        layers.add(entry.layer)
        pin = {
            "property": entry.property,
            "layer": entry.layer,
            "comparison": finding.comparison,
            "case": _written(finding.case),
        }
        if entry.mode != "graph":
            pin["mode"] = entry.mode
        yield pin


def _written(value: Any) -> Any:
    """A case as TOML can say it: nothing stands for None."""
    if isinstance(value, dict):
        return {name: _written(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_written(item) for item in value]
    return value


def _id(entry: Entry, finding: Finding, number: int) -> str:
    words = f"draft {number} {entry.layer} {entry.property} {finding.kind}".lower()
    return "-".join(re.findall(r"[a-z0-9]+", words))


def _once(items: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(items))
