"""The ledger of known deviations: which versions, comparisons and regions are excused, and why."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Literal, get_args

import msgspec
from packaging.version import Version

__all__ = [
    "KINDS",
    "MEASURED",
    "TENSORFLOW",
    "Deviation",
    "Instead",
    "Kind",
    "Ledger",
    "Pattern",
    "Pin",
    "Region",
]

Kind = Literal[
    "wrong value",
    "wrong shape",
    "wrong dtype",
    "wrong mask",
    "lost mask",
    "refused",
    "blocked",
    "not refused",
    "crash",
    "hang",
    "no warning",
    "needless warning",
]
KINDS: tuple[str, ...] = get_args(Kind)
_DEADLY = frozenset({"crash", "hang"})  # a case takes its process along, or never lets it go on
TENSORFLOW = "tensorflow"
MEASURED = ("keras", "tf_keras", TENSORFLOW)
"""What the versions of an entry may be of: an implementation, or TensorFlow underneath it."""


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

    @property
    def facts(self) -> frozenset[str]:
        """Every fact that the region speaks of."""
        return frozenset((*self.all, *self.none, *(f for item in self.alternatives for f in item)))

    def describe(self) -> str:
        """The region in words."""
        parts = []
        if self.all:
            parts.append(listed(self.all, "and"))
        if self.any:
            several = len(self.any) > 1
            items = [
                f"({listed(item, 'and')})" if several and len(item) > 1 else listed(item, "and")
                for item in self.alternatives
            ]
            parts.append(f"any of {listed(items, 'or')}" if several else items[0])
        if self.none:
            parts.append(f"without {listed(self.none, 'or')}")
        return ", ".join(parts) or "every case"


class Instead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happens instead of what should: checked wherever a deviation is excused.

    `exception` is the class that is raised (several are joined by "or"), `says` a part of its
    message, `values` what stands at the positions that differ (`nan`, `zeros`), `like` the name
    of something else that the call then equals.
    """

    exception: str = ""
    says: str = ""
    values: str = ""
    like: str = ""

    def describe(self) -> str:
        """In words."""
        said = [
            f"{self.exception} is raised" if self.exception else "",
            f"which says {self.says!r}" if self.says else "",
            f"{self.values} where it differs" if self.values else "",
            self.like,
        ]
        return ", ".join(filter(None, said))


class Pattern(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A comparison of a property; `*` stands for all comparisons of that property."""

    property: str
    comparison: str

    def matches(self, property: str, comparison: str) -> bool:
        """Whether the pattern means this comparison of this property."""
        return self.property == property and self.comparison in ("*", comparison)


class Pin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A case, in its JSON form, that is replayed in every run and must still deviate.

    `not_on` names deviating versions on which this case was measured not to show the cause:
    something else comes before it there. It is not replayed on these. Likewise `device`, where
    one kind of device alone shows the cause: `cpu` or `gpu`; and `cpu`, the instructions that a
    CPU must have to show it.
    """

    property: str
    layer: str
    comparison: str
    case: dict[str, Any]
    mode: Literal["eager", "graph", "xla"] = "graph"
    not_on: tuple[str, ...] = ()
    device: Literal["", "cpu", "gpu"] = ""
    cpu: Literal["", "avx512_fp16"] = ""


class Deviation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One cause for which some versions depart from some properties.

    `deviating` and `healthy` are versions that were measured, such as `keras 3.15.1`; what
    counts as affected is derived from them. Where the cause lies below Keras they are versions
    of TensorFlow alone, such as `tensorflow 2.21.0`. A `*` among `layers` stands for all: the
    cause lies before any layer. `also` are further kinds in which the one cause shows:
    a mask of the wrong shape may be refused at one place and silently broadcast at another.
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
    instead: Instead | None = None
    also: tuple[Kind, ...] = ()

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Every kind in which the cause shows."""
        return (self.kind, *self.also)

    def means(self, layer: str) -> bool:
        """Whether the entry speaks of a layer."""
        return layer in self.layers or "*" in self.layers

    def affects(self, name: str, version: str | Version) -> bool:
        """Whether a version of an implementation, or of TensorFlow, counts as affected.

        Within one of these and major version: from the oldest version measured to deviate
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
        ranges = dict.fromkeys((key.name, key.version.major) for key in map(key_of, self.deviating))
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
            text += f" but for {listed(list(map(str, between)), 'and')}"
        gaps = []
        if below:
            gaps.append(f"between {below[-1]} (healthy) and {oldest}")
        else:
            gaps.append(f"below {oldest}")
        if above:
            gaps.append(f"between {newest} and {above[0]} (healthy)")
        return f"{text}, not measured and taken as healthy {listed(gaps, 'and')}"


class Ledger(msgspec.Struct, frozen=True):
    """Known deviations, in the order of their file."""

    deviations: tuple[Deviation, ...] = ()

    def __iter__(self) -> Iterator[Deviation]:
        return iter(self.deviations)

    def __len__(self) -> int:
        return len(self.deviations)

    def affected(
        self, name: str, version: str, tensorflow: str = "", instructions: Collection[str] = ()
    ) -> Ledger:
        """What the ledger says of one version of an implementation, and of TensorFlow below it.

        Of its pinned cases those stay that such a CPU, with these `instructions`, can show.
        """
        here = {Key(name, Version(version))}
        if tensorflow:
            here.add(Key(TENSORFLOW, Version(tensorflow)))

        def replayed(one: Deviation) -> Deviation:
            pins = tuple(
                pin
                for pin in one.pins
                if here.isdisjoint(map(key_of, pin.not_on)) and pin.cpu in ("", *instructions)
            )
            return one if pins == one.pins else msgspec.structs.replace(one, pins=pins)

        return Ledger(
            tuple(
                replayed(one)
                for one in self.deviations
                if any(one.affects(key.name, key.version) for key in here)
            )
        )

    def excuses(
        self, property: str, layer: str, comparison: str, kind: str, facts: Collection[str]
    ) -> Iterator[Deviation]:
        """The entries that know this departure; none where it is new."""
        for one in self.deviations:
            if (
                kind in one.kinds
                and one.means(layer)
                and any(pattern.matches(property, comparison) for pattern in one.comparisons)
                and one.region.covers(facts)
            ):
                yield one

    def concerning(self, property: str, layer: str) -> list[Deviation]:
        """The entries that speak of some comparison of a property of a layer."""
        return [
            one
            for one in self.deviations
            if one.means(layer) and any(each.property == property for each in one.comparisons)
        ]

    def deadly(self, property: str, layer: str) -> list[Deviation]:
        """The entries of which no case may be run in the process of a cell."""
        return [
            one
            for one in self.deviations
            if one.kind in _DEADLY
            and one.means(layer)
            and any(pattern.property == property for pattern in one.comparisons)
        ]

    def pins(
        self, property: str, layer: str, mode: str, device: str = "cpu:0"
    ) -> list[tuple[Deviation, Pin]]:
        """The pinned cases that a cell replays, each with its entry."""
        return [
            (one, pin)
            for one in self.deviations
            for pin in one.pins
            if (pin.property, pin.layer, pin.mode) == (property, layer, mode)
            and pin.device in ("", device.partition(":")[0])
        ]


class Key(msgspec.Struct, frozen=True):
    name: str
    version: Version


def key_of(text: str) -> Key:
    name, _, version = text.partition(" ")
    return Key(name, Version(version))


def _measured(keys: Collection[str], name: str, major: int) -> list[Version]:
    """The versions of one implementation and major among some keys, oldest first."""
    found = (key for key in map(key_of, keys) if key.name == name and key.version.major == major)
    return sorted(key.version for key in found)


def listed(items: Collection[str], word: str) -> str:
    *others, last = items
    return f"{', '.join(others)} {word} {last}" if others else last
