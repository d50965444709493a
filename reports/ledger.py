"""The ledger of known deviations: which versions, comparisons and regions are excused, and why."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
from packaging.version import InvalidVersion, Version

__all__ = [
    "IMPLEMENTATIONS",
    "KINDS",
    "Deviation",
    "Kind",
    "Ledger",
    "LedgerError",
    "Pattern",
    "Pin",
    "Region",
    "load_ledger",
]

Kind = Literal[
    "wrong value",
    "wrong shape",
    "wrong dtype",
    "wrong mask",
    "lost mask",
    "refused",
    "not refused",
    "crash",
    "hang",
    "no warning",
]
KINDS: tuple[str, ...] = get_args(Kind)
_DEADLY = frozenset({"crash", "hang"})  # a case takes its process along, or never lets it go on
IMPLEMENTATIONS = ("keras", "tf_keras")


class LedgerError(Exception):
    """The ledger is not in order; the message is one sentence naming file, entry and value."""


class Region(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which cases a deviation speaks of, as facts about them; without any, all cases.

    A case lies in the region when it has every fact of `all`, at least one item of `any` (where
    there are any; an item that is a list asks for all of its facts) and no fact of `none`.
    """

    all: tuple[str, ...] = ()
    any: tuple[str | tuple[str, ...], ...] = ()
    none: tuple[str, ...] = ()

    @property
    def alternatives(self) -> tuple[tuple[str, ...], ...]:
        """The items of `any`, each as the facts that it asks for."""
        return tuple((item,) if isinstance(item, str) else item for item in self.any)

    def covers(self, facts: Collection[str]) -> bool:
        """Whether a case with these facts lies in the region."""
        facts = frozenset(facts)
        return (
            facts.issuperset(self.all)
            and (not self.any or any(facts.issuperset(item) for item in self.alternatives))
            and facts.isdisjoint(self.none)
        )

    def describe(self) -> str:
        """The region in words."""
        parts = []
        if self.all:
            parts.append(_listed(self.all, "and"))
        if self.any:
            several = len(self.any) > 1
            items = [
                f"({_listed(item, 'and')})" if several and len(item) > 1 else _listed(item, "and")
                for item in self.alternatives
            ]
            parts.append(f"any of {_listed(items, 'or')}" if several else items[0])
        if self.none:
            parts.append(f"without {_listed(self.none, 'or')}")
        return ", ".join(parts) or "every case"


class Pattern(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A comparison of a property; `*` stands for all comparisons of that property."""

    property: str
    comparison: str

    def matches(self, property: str, comparison: str) -> bool:
        """Whether the pattern means this comparison of this property."""
        return self.property == property and self.comparison in ("*", comparison)


class Pin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A case, in its JSON form, that is replayed in every run and must still deviate."""

    property: str
    layer: str
    comparison: str
    case: dict[str, Any]
    mode: Literal["eager", "graph", "xla"] = "graph"


class Deviation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One cause for which some versions depart from some properties.

    `deviating` and `healthy` are versions that were measured, such as `keras 3.15.1`; what
    counts as affected is derived from them.
    """

    id: str
    reason: str
    link: str
    kind: Kind
    comparisons: tuple[Pattern, ...]
    layers: tuple[str, ...]
    deviating: tuple[str, ...]
    pins: tuple[Pin, ...]
    region: Region = Region()
    healthy: tuple[str, ...] = ()

    def affects(self, name: str, version: str | Version) -> bool:
        """Whether a version of an implementation counts as affected.

        Within one implementation and major version: from the oldest version measured to deviate
        up to the newest, and on from there where nothing newer was measured to be healthy. What
        lies between a deviating version and a healthy one beyond it was not measured: it counts
        as healthy, so that a deviation there is reported and not excused.
        """
        version = Version(version) if isinstance(version, str) else version
        deviating = _measured(self.deviating, name, version.major)
        healthy = _measured(self.healthy, name, version.major)
        if not deviating or version in healthy or version < deviating[0]:
            return False
        return version <= deviating[-1] or not any(one > deviating[-1] for one in healthy)

    def describe_range(self) -> str:
        """The versions that count as affected, and the gaps where none was measured."""
        ranges = dict.fromkeys((key.name, key.version.major) for key in map(_key, self.deviating))
        return "; ".join(self._described(name, major) for name, major in ranges)

    def _described(self, name: str, major: int) -> str:
        deviating = _measured(self.deviating, name, major)
        healthy = _measured(self.healthy, name, major)
        oldest, newest = deviating[0], deviating[-1]
        below = [one for one in healthy if one < oldest]
        above = [one for one in healthy if one > newest]
        between = [one for one in healthy if oldest < one < newest]
        if not above:
            text = f"{name} {oldest} and newer {major}.x"
        elif oldest == newest:
            text = f"{name} {oldest}"
        else:
            text = f"{name} {oldest} to {newest}"
        if between:
            text += f" but for {_listed(list(map(str, between)), 'and')}"
        gaps = []
        if below:
            gaps.append(f"between {below[-1]} (healthy) and {oldest}")
        else:
            gaps.append(f"below {oldest}")
        if above:
            gaps.append(f"between {newest} and {above[0]} (healthy)")
        return f"{text}, not measured and taken as healthy {_listed(gaps, 'and')}"


class Ledger(msgspec.Struct, frozen=True):
    """Known deviations, in the order of their file."""

    deviations: tuple[Deviation, ...] = ()

    def __iter__(self) -> Iterator[Deviation]:
        return iter(self.deviations)

    def __len__(self) -> int:
        return len(self.deviations)

    def affected(self, name: str, version: str) -> Ledger:
        """What the ledger says of one version of an implementation."""
        return Ledger(tuple(one for one in self.deviations if one.affects(name, version)))

    def excuse(
        self, property: str, layer: str, comparison: str, kind: str, facts: Collection[str]
    ) -> Deviation | None:
        """The first entry that knows this departure, or None where it is new."""
        for one in self.deviations:
            if (
                one.kind == kind
                and layer in one.layers
                and any(pattern.matches(property, comparison) for pattern in one.comparisons)
                and one.region.covers(facts)
            ):
                return one
        return None

    def deadly(self, property: str, layer: str) -> list[Deviation]:
        """The entries of which no case may be run in the process of a cell."""
        return [
            one
            for one in self.deviations
            if one.kind in _DEADLY
            and layer in one.layers
            and any(pattern.property == property for pattern in one.comparisons)
        ]

    def pins(self, property: str, layer: str, mode: str) -> list[tuple[Deviation, Pin]]:
        """The pinned cases that a cell replays, each with its entry."""
        return [
            (one, pin)
            for one in self.deviations
            for pin in one.pins
            if (pin.property, pin.layer, pin.mode) == (property, layer, mode)
        ]


def load_ledger(
    path: str | os.PathLike[str], *, properties: Mapping[str, Collection[str]]
) -> Ledger:
    """The ledger in a TOML file, a table `[[deviation]]` an entry; none is a ledger too.

    `properties` maps the name of every property to the layers that it applies to. Raises
    LedgerError where the file cannot be read or an entry is not in order.
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
        for problem in _problems(deviation, properties):
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


def _problems(deviation: Deviation, properties: Mapping[str, Collection[str]]) -> Iterator[str]:
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
    for number, pin in enumerate(deviation.pins, 1):
        for problem in _pin_problems(deviation, pin, properties):
            yield f"pin {number}: {problem}"


def _version_problems(deviation: Deviation) -> Iterator[str]:
    measured: dict[_Key, str] = {}
    for field in ("deviating", "healthy"):
        for text in getattr(deviation, field):
            try:
                key = _key(text)
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
    for layer in deviation.layers:
        if layer not in known:
            yield f"unknown layer {layer!r}"
    # One cause may be red in properties of different families: not every property has to apply
    # to every layer, but none may stand there without effect.
    named = dict.fromkeys(pattern.property for pattern in deviation.comparisons)
    for property in named:
        if not set(deviation.layers) & set(properties.get(property, ())):
            yield f"property {property!r} does not apply to {_listed(deviation.layers, 'or')}"
    for layer in deviation.layers:
        if not any(layer in properties.get(property, ()) for property in named):
            yield f"{_listed(list(map(repr, named)), 'or')} does not apply to layer {layer!r}"


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


def _pin_problems(
    deviation: Deviation, pin: Pin, properties: Mapping[str, Collection[str]]
) -> Iterator[str]:
    if not any(pattern.matches(pin.property, pin.comparison) for pattern in deviation.comparisons):
        yield (
            f"comparison {pin.comparison!r} of property {pin.property!r} "
            "is outside the entry's own comparisons"
        )
    if pin.layer not in deviation.layers:
        yield f"layer {pin.layer!r} is outside the entry's own layers"
    if pin.layer not in properties.get(pin.property, ()):
        yield f"property {pin.property!r} does not apply to layer {pin.layer!r}"
    # A mode that the region leaves out could never be excused.
    modes = [fact for fact in deviation.region.all if fact.startswith("mode=")]
    mode = f"mode={pin.mode}"
    if mode in deviation.region.none or (modes and mode not in modes):
        yield f"mode {pin.mode!r} is outside the entry's own region"


class _Key(msgspec.Struct, frozen=True):
    name: str
    version: Version


def _key(text: str) -> _Key:
    name, _, version = text.partition(" ")
    return _Key(name, Version(version))


def _measured(keys: Collection[str], name: str, major: int) -> list[Version]:
    """The versions of one implementation and major among some keys, oldest first."""
    found = (key for key in map(_key, keys) if key.name == name and key.version.major == major)
    return sorted(key.version for key in found)


def _listed(items: Collection[str], word: str) -> str:
    *others, last = items
    return f"{', '.join(others)} {word} {last}" if others else last
