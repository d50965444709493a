"""What an upgrade changes: two records compared, cell by cell and deviation by deviation."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterable, Iterator

from reports.cells import ENDED, STATES, Key, NewKey, cells, new_findings
from reports.claims import Claims
from reports.loading import Source, counted, incompleteness
from reports.record import FAILING, NOT_RUN, Entry
from reports.terminal import clean

__all__ = ["Change", "Diff", "compare", "told"]

_TEXT = 300
_LISTED = 40

# `fixed` is the implementation's doing: what the ledger expects to deviate does so no more.
_HEALTH = {state: place for place, state in enumerate(reversed(STATES))} | {"fixed": 0, "holds": 0}


@dataclasses.dataclass(frozen=True)
class Change:
    """A cell that both records have, and that is not what it was.

    `appeared` and `gone` are ids of the ledger, `known` are all that the new record names here,
    `news` is what neither the ledger nor the old record knows. `now` and `before` are what the
    implementation was observed to do, free to choose, in one of the records alone. `worse` weighs
    the outcomes, and what came up within them.
    """

    key: Key
    old: str
    new: str
    appeared: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    news: tuple[NewKey, ...] = ()
    now: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    @property
    def worse(self) -> bool:
        """Whether the cell got worse in any respect."""
        return _HEALTH[self.new] > _HEALTH[self.old] or bool(self.appeared or self.news)


@dataclasses.dataclass(frozen=True)
class Diff:
    """All that two records do not have in common.

    `only_old` and `only_new` are cells that one side alone selected, with their states.
    `incomplete` is why the new record proves nothing of what it lacks, or None.
    """

    common: int
    changes: tuple[Change, ...]
    only_old: dict[Key, str]
    only_new: dict[Key, str]
    incomplete: str | None

    @property
    def worse(self) -> bool:
        """Whether anything got worse, or cannot be known not to have."""
        return self.incomplete is not None or any(change.worse for change in self.changes)


def compare(old: Source, new: Source) -> Diff:
    """What changed from the old record to the new one.

    A cell that ended early (it found something new, it crashed) says nothing of the deviations
    that it does not name: they count as neither appeared nor gone.
    """
    before, after = cells(old.record), cells(new.record)
    common = [key for key in before if key in after]
    changes = (_change(key, before[key], after[key]) for key in common)
    return Diff(
        common=len(common),
        changes=tuple(change for change in changes if change is not None),
        only_old={key: _state(entry) for key, entry in before.items() if key not in after},
        only_new={key: _state(entry) for key, entry in after.items() if key not in before},
        incomplete=incompleteness(new.record),
    )


def _change(key: Key, old: Entry | None, new: Entry | None) -> Change | None:
    states = _state(old), _state(new)
    known = [set(entry.deviations) if entry else set() for entry in (old, new)]
    found = [dict(new_findings(entry)) if entry else {} for entry in (old, new)]
    seen = [set(entry.observed) if entry else set() for entry in (old, new)]
    ended = all(state in ENDED for state in states)
    change = Change(
        key,
        *states,
        appeared=tuple(sorted(known[1] - known[0])) if states[0] in ENDED else (),
        gone=tuple(sorted(known[0] - known[1])) if states[1] in ENDED else (),
        known=tuple(sorted(known[1])),
        news=tuple(one for one in found[1] if one not in found[0]),
        now=tuple(sorted(seen[1] - seen[0])) if ended else (),
        before=tuple(sorted(seen[0] - seen[1])) if ended else (),
    )
    quiet = not (change.appeared or change.gone or change.news or change.now or change.before)
    return None if states[0] == states[1] and quiet else change


def _state(entry: Entry | None) -> str:
    return NOT_RUN if entry is None else entry.outcome


def told(
    old: Source, new: Source, diff: Diff, width: int, claims: Claims | None = None
) -> Iterator[str]:
    """A diff as lines of about `width` characters; with `claims`, verdicts that change too."""
    yield from _sides(old, new, width)
    yield f"{counted(diff.common, 'cell')} in both, {len(diff.changes):,} of them changed"
    worse = [change for change in diff.changes if change.worse]
    better = [change for change in diff.changes if not change.worse]
    yield from _cells("worse", worse, width)
    yield from _cells("better, or no worse", better, width)
    yield from _causes(diff, width)
    for title, only in (("in OLD only", diff.only_old), ("in NEW only", diff.only_new)):
        yield from _only(title, only, width)
    if claims is not None:
        yield from _claims(old, new, claims, width)
    yield ""
    yield from _wrapped(_verdict(diff), width)


def _sides(old: Source, new: Source, width: int) -> Iterator[str]:
    for name, (path, record) in (("OLD", old), ("NEW", new)):
        here = record.environment
        yield from _wrapped(
            f"{name}  {here.implementation} {here.keras} on TensorFlow {here.tensorflow}: {path}",
            width,
        )
        reported = counted(len(record.entries), "cell")
        seed = "no seed" if record.seed is None else f"seed {record.seed}"
        text = f"profile {record.profile}, {seed}, {record.started}, {reported} reported"
        missing = incompleteness(record)
        if missing is not None:
            text += f", INCOMPLETE: {missing}"
        yield from _wrapped(text, width, "     ")
    one, other = old.record, new.record
    if (one.profile, one.seed) != (other.profile, other.seed):
        yield from _wrapped(
            "The two were not drawn the same (profile, seed): what only one of them found may "
            "be luck of the draw.",
            width,
        )
    yield ""


def _cells(title: str, changes: list[Change], width: int) -> Iterator[str]:
    """Changed cells by their outcomes, then by what they deviate by, then by layer."""
    if changes:
        yield from ("", title)
    moves: dict[tuple[str, str], list[Change]] = {}
    for change in changes:
        moves.setdefault((change.old, change.new), []).append(change)
    order = {state: place for place, state in enumerate(STATES)}
    for (old, new), moved in sorted(moves.items(), key=lambda item: order[item[0][1]]):
        move = f"{old} -> {new}" if old != new else f"still {new}, otherwise than before"
        yield f"  {move}: {counted(len(moved), 'cell')}"
        causes: dict[tuple[str, ...], list[Change]] = {}
        for change in moved:
            causes.setdefault(_cause(change), []).append(change)
        for lines, caused in causes.items():
            for line in lines:
                yield from _wrapped(line, width, "    ")
            layers: dict[str, list[str]] = {}
            for change in caused:
                layer = f"{change.key.layer or '?'} ({change.key.device} {change.key.mode})"
                layers.setdefault(layer, []).append(change.key.property)
            for layer, properties in layers.items():
                yield from _wrapped(f"{layer}: {_cut(properties)}", width, "      ")


def _cause(change: Change) -> tuple[str, ...]:
    """What came and went in a cell, a line each."""
    lines = [f"+ {one}" for one in change.appeared]
    lines += [f"+ new: {_named(one)}" for one in change.news]
    lines += [f"- {one}" for one in change.gone]
    lines += [f"now: {one}" for one in change.now]
    lines += [f"no more: {one}" for one in change.before]
    lines += [] if lines else [f"known now: {one}" for one in change.known]
    return tuple(lines) or ("no deviation is named",)


def _named(key: NewKey) -> str:
    return f"{key.property}, {key.comparison}: {key.kind}"


def _causes(diff: Diff, width: int) -> Iterator[str]:
    """Deviations that some cells have now and had not, or the other way round."""
    sides: dict[str, dict[str, list[Key]]] = {"appeared": {}, "gone": {}}
    for change in diff.changes:
        for one in change.appeared:
            sides["appeared"].setdefault(one, []).append(change.key)
        for finding in change.news:
            sides["appeared"].setdefault(f"new: {_named(finding)}", []).append(change.key)
        for one in change.gone:
            sides["gone"].setdefault(one, []).append(change.key)
    for title, found in sides.items():
        if found:
            yield from ("", f"deviations that {'are gone' if title == 'gone' else 'appeared'}")
        for name, keys in sorted(found.items()):
            layers = dict.fromkeys(key.layer for key in keys)
            text = f"{name}: {counted(len(keys), 'cell')} of {_cut(list(layers))}"
            yield from _wrapped(text, width, "  ")


def _only(title: str, only: dict[Key, str], width: int) -> Iterator[str]:
    if not only:
        return
    yield from ("", f"{title}: {counted(len(only), 'cell')}, which cannot be compared")
    states: dict[str, dict[str, list[str]]] = {}
    for key, state in only.items():
        states.setdefault(state, {}).setdefault(key.layer, []).append(key.property)
    for state in filter(states.__contains__, STATES):
        for layer, properties in states[state].items():
            text = f"{state}: {layer or '?'}: {_cut(list(dict.fromkeys(properties)))}"
            yield from _wrapped(text, width, "  ")


def _claims(old: Source, new: Source, claims: Claims, width: int) -> Iterator[str]:
    """Statements of the articles whose verdict is another one on the new implementation."""
    names = [
        f"{one.implementation} {one.keras}"
        for one in (old.record.environment, new.record.environment)
    ]
    changes = list(claims.changes(*names))
    if changes:
        yield from ("", "statements of the articles whose verdict changed (python -m reports site)")
    for one, before, after in changes:
        yield from _wrapped(f"{one.statement} {before.said} -> {after.said}", width, "  ")


def _verdict(diff: Diff) -> str:
    worse = sum(change.worse for change in diff.changes)
    if diff.incomplete is not None:
        text = f"INCOMPLETE: NEW does not say all, {diff.incomplete}"
        text += f"; {counted(worse, 'cell')} got worse" if worse else ""
    elif worse:
        text = f"WORSE: {worse:,} of {counted(diff.common, 'common cell')} got worse"
    else:
        text = f"NOTHING WORSE in {counted(diff.common, 'common cell')}"
    failing = sum(state in FAILING or state == NOT_RUN for state in diff.only_new.values())
    if failing:
        text += f"; beside them {counted(failing, 'cell')} in NEW only fail{'s' * (failing == 1)}"
    return text


def _cut(items: list[str]) -> str:
    shown = ", ".join(items[:_LISTED])
    rest = len(items) - _LISTED
    return f"{shown} and {rest:,} more" if rest > 0 else shown


def _wrapped(text: str, width: int, indent: str = "") -> Iterable[str]:
    return textwrap.wrap(
        clean(text, 4 * _TEXT),
        width,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_on_hyphens=False,
    )
