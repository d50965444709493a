"""Reads the ledger from its file, and says in a sentence what is not in order there."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from packaging.version import InvalidVersion

from reports.ledger import (
    IMPLEMENTATIONS,
    KINDS,
    Deviation,
    Instead,
    Key,
    Ledger,
    Pin,
    Region,
    key_of,
    listed,
)

__all__ = ["LedgerError", "load_ledger"]


class LedgerError(Exception):
    """The ledger is not in order; the message is one sentence naming file, entry and value."""


def load_ledger(
    path: str | os.PathLike[str],
    *,
    properties: Mapping[str, Collection[str]],
    alternatives: Collection[str] = (),
) -> Ledger:
    """The ledger in a TOML file, a table `[[deviation]]` an entry; none is a ledger too.

    `properties` maps the name of every property to the layers that it applies to;
    `alternatives` are the names that `instead.like` may have. Raises LedgerError where the file
    cannot be read or an entry is not in order.
    """
    path = Path(path)
    try:
        found = msgspec.toml.decode(path.read_bytes())
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        raise LedgerError(f"{path}: cannot be read: {why}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LedgerError(f"{path}: is not TOML: {error}") from error
    for name in found:
        if name != "deviation":
            raise LedgerError(f"{path}: unknown field {name!r} where [[deviation]] is expected")
    tables = found.get("deviation", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise LedgerError(f"{path}: 'deviation' must be a list of tables, [[deviation]]")
    deviations: dict[str, Deviation] = {}
    for number, table in enumerate(tables, 1):
        label = table.get("id")
        where = f"{path}: deviation " + (repr(label) if isinstance(label, str) else f"{number}")
        deviation = _converted(table, where)
        if deviation.id in deviations:
            raise LedgerError(f"{where}: duplicate id {deviation.id!r}")
        for problem in _problems(deviation, properties, alternatives):
            raise LedgerError(f"{where}: {problem}")
        deviations[deviation.id] = deviation
    return Ledger(tuple(deviations.values()))


def _converted(table: dict[str, Any], where: str) -> Deviation:
    try:
        return msgspec.convert(table, Deviation)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$")
        place = place.rstrip("`").removeprefix(".")
        inside = f" in {place}" if place else ""
        if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", message):
            problem = f"unknown field {unknown[1]!r}{inside}"
        elif missing := re.fullmatch(r"Object missing required field `(.*)`", message):
            problem = f"missing field {missing[1]!r}{inside}"
        elif unknown := re.fullmatch(r"Invalid enum value (.*)", message):
            problem = f"unknown {place} {unknown[1]}"
            if place == "kind":
                problem += f": choose one of {', '.join(KINDS)}"
        else:
            problem = f"{place} is {_at(table, place)!r}: {message.lower()}"
        raise LedgerError(f"{where}: {problem}") from error


def _at(table: Any, place: str) -> Any:
    try:
        for name, index in re.findall(r"(\w+)|\[(\d+)\]", place):
            table = table[name] if name else table[int(index)]
    except (LookupError, TypeError):
        pass  # a place inside a case: the nearest table says enough
    return table


def _problems(
    deviation: Deviation,
    properties: Mapping[str, Collection[str]],
    alternatives: Collection[str],
) -> Iterator[str]:
    """What is not in order in an entry, each as half a sentence."""
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", deviation.id):
        yield f"id {deviation.id!r} must be of lower-case words joined by hyphens"
    for name in ("reason", "comparisons", "layers", "deviating", "pins"):
        if not getattr(deviation, name):
            yield f"{name} must not be empty"
    if deviation.link != "unreported" and not re.fullmatch(r"https?://\S+", deviation.link):
        yield f"link {deviation.link!r} is neither a URL nor 'unreported'"
    yield from _version_problems(deviation)
    yield from _scope_problems(deviation, properties)
    yield from _region_problems(deviation.region)
    yield from _instead_problems(deviation, alternatives)
    for text in deviation.deviating:
        if deviation.pins and all(text in pin.not_on for pin in deviation.pins):
            yield f"no pinned case shows that {text!r} deviates"
    for number, pin in enumerate(deviation.pins, 1):
        for problem in _pin_problems(deviation, pin, properties):
            yield f"pin {number}: {problem}"


def _version_problems(deviation: Deviation) -> Iterator[str]:
    measured: dict[Key, str] = {}
    for field in ("deviating", "healthy"):
        for text in getattr(deviation, field):
            try:
                key = key_of(text)
            except InvalidVersion:
                yield f"{field} {text!r} is no name and version such as 'keras 3.15.1'"
                continue
            if key.name not in IMPLEMENTATIONS:
                choices = " or ".join(IMPLEMENTATIONS)
                yield f"{field} {text!r} names an unknown implementation: choose {choices}"
            if measured.setdefault(key, field) != field:
                yield f"{text!r} is both deviating and healthy"


def _scope_problems(
    deviation: Deviation, properties: Mapping[str, Collection[str]]
) -> Iterator[str]:
    known = {layer for layers in properties.values() for layer in layers}
    for pattern in deviation.comparisons:
        if pattern.property not in properties:
            yield f"unknown property {pattern.property!r}"
    if "*" in deviation.layers:
        if len(deviation.layers) > 1:
            yield f"layers {listed(deviation.layers, 'and')}: '*' means all of them"
        return
    for layer in deviation.layers:
        if layer not in known:
            yield f"unknown layer {layer!r}"
    # One cause may be red in properties of different families: not every property has to apply
    # to every layer, but none may stand there without effect.
    named = dict.fromkeys(pattern.property for pattern in deviation.comparisons)
    for property in named:
        if not set(deviation.layers) & set(properties.get(property, ())):
            yield f"property {property!r} does not apply to {listed(deviation.layers, 'or')}"
    for layer in deviation.layers:
        if not any(layer in properties.get(property, ()) for property in named):
            yield f"{listed(list(map(repr, named)), 'or')} does not apply to layer {layer!r}"


def _region_problems(region: Region) -> Iterator[str]:
    for fact in region.all:
        if fact in region.none:
            yield f"contradictory region: {fact!r} is both in all and in none"
    for item in region.alternatives:
        if not item:
            yield "empty list in any of the region"
        for fact in item:
            if fact in region.none:
                yield f"contradictory region: {fact!r} is both in any and in none"


def _instead_problems(deviation: Deviation, alternatives: Collection[str]) -> Iterator[str]:
    instead = deviation.instead
    if instead is None:
        return
    if instead == Instead():
        yield "instead says nothing: give exception, values or like"
    if instead.values not in ("", "nan", "zeros"):
        yield f"instead: unknown values {instead.values!r}: choose nan or zeros"
    if instead.like and instead.like not in alternatives:
        yield f"instead: unknown like {instead.like!r}: choose {listed(alternatives, 'or')}"
    if instead.exception and not {"refused", "blocked"} & set(deviation.kinds):
        yield f"instead: exception {instead.exception!r} does not go with kind {deviation.kind!r}"


def _pin_problems(
    deviation: Deviation, pin: Pin, properties: Mapping[str, Collection[str]]
) -> Iterator[str]:
    if not any(pattern.matches(pin.property, pin.comparison) for pattern in deviation.comparisons):
        yield (
            f"comparison {pin.comparison!r} of property {pin.property!r} "
            "is outside the entry's own comparisons"
        )
    if not deviation.means(pin.layer):
        yield f"layer {pin.layer!r} is outside the entry's own layers"
    if pin.layer not in properties.get(pin.property, ()):
        yield f"property {pin.property!r} does not apply to layer {pin.layer!r}"
    for text in pin.not_on:
        if text not in deviation.deviating:
            yield f"not_on {text!r} is not among the versions that deviate"
    # A mode that the region leaves out could never be excused.
    modes = [fact for fact in deviation.region.all if fact.startswith("mode=")]
    mode = f"mode={pin.mode}"
    if mode in deviation.region.none or (modes and mode not in modes):
        yield f"mode {pin.mode!r} is outside the entry's own region"
