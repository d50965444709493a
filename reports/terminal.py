"""A run told in the terminal: what was run, what came of it, and a script for what is new."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from reports.record import FAILING, NOT_RUN, OUTCOMES, Entry, Finding, Record

__all__ = ["WORDS", "Line", "clean", "summary"]

Line = tuple[str, dict[str, bool]]
"""A line of text and its markup, as pytest's TerminalWriter takes it."""

WORDS = {
    "crashed": "crashed",
    "broken": "broken in the suite itself",
    "new": "new: deviate as the ledger does not know",
    "fixed": "fixed: the ledger expects a deviation that is gone",
    "blocked": "blocked: a configuration of the layer cannot be built",
    "deviates": "deviate as the ledger says",
    "holds": "hold",
    NOT_RUN: "not run",
}
"""What is said of cells with each outcome."""

# A message may be ten megabytes of a tensor's values: the record has it whole.
_MESSAGE = 500
_VALUE = 200
_CASE = 2_000
_STACK_LINES = 20
_SCRIPT_LINES = 80
_SCRIPT_WIDTH = 500
_LISTED = 10
_GROUPS = 20
_NARROWEST = 40

_ESCAPES = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # operating system command: titles, links
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # control sequence: colours, cursor
    r"|\x1b[PX^_][^\x1b]*(?:\x1b\\)?"  # device control and other strings
    r"|\x1b[ -/]*[0-~]?"  # all other escapes
)
# Controls, surrogates, marks that turn the direction of text around, line and paragraph ends.
_DROPPED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

_RED = {"red": True}
_GREEN = {"green": True}
_YELLOW = {"yellow": True}
_BOLD = {"bold": True}
_PLAIN: dict[str, bool] = {}


def clean(text: str, limit: int, *, lines: bool = False) -> str:
    """Text from outside, without escapes and control characters, of at most `limit` characters.

    Line ends are kept where `lines` is true, and are spaces elsewhere; what is cut is marked.
    """
    # Cut first, with room for what goes away: cleaning ten megabytes would take seconds.
    start = _ESCAPES.sub("", text[: 4 * limit + 1_000]).replace("\r\n", "\n").expandtabs(4)
    if not lines:
        start = " ".join(start.split())
    kept = start
    # Most texts need no look at each character, and thousands of them stand on a page.
    if not (start.isascii() and start.replace("\n", "").isprintable()):
        kept = "".join(
            one for one in start if one == "\n" or unicodedata.category(one) not in _DROPPED
        )
    if len(kept) > limit or len(text) > 4 * limit + 1_000:
        kept = f"{kept[:limit]}... (cut, {len(text):,} characters in all)"
    return kept


def summary(record: Record, width: int) -> list[Line]:
    """A record as lines of at most about `width` characters; scripts are not wrapped."""
    width = max(width, _NARROWEST)
    return [
        *_heading(record, width),
        *_outcomes(record),
        *_deviations(record, width),
        *_crashed(record, width),
        *_failures(record, width),
        *_new(record, width),
        *_fixed(record, width),
        *_not_run(record),
        *_verdict(record, width),
    ]


def _heading(record: Record, width: int) -> Iterator[Line]:
    here = record.environment
    yield from _wrapped(
        f"{here.implementation} {here.keras} on TensorFlow {here.tensorflow}", width, _BOLD
    )
    yield from _wrapped(
        f"Python {here.python}, NumPy {here.numpy}, Hypothesis {here.hypothesis}, "
        f"pytest {here.pytest}, {here.platform}, {_count(here.cpus, 'CPU')}, "
        f"{', '.join(here.devices) or 'no device'}",
        width,
    )
    seed = "the same draws in every run" if record.seed is None else f"seed {record.seed}"
    yield from _wrapped(
        f"profile {record.profile}, {seed}, {record.seconds:.1f} s, "
        f"{_count(record.workers, 'worker')}",
        width,
    )


def _outcomes(record: Record) -> Iterator[Line]:
    total = len(record.selected)
    line = f"{total - len(record.not_run)} of {_count(total, 'cell')} reported"
    if record.deselected:
        line += f", {record.deselected} more deselected"
    yield line, _BOLD
    counts = Counter(entry.outcome for entry in record.entries)
    counts[NOT_RUN] = len(record.not_run)
    for outcome in (*OUTCOMES, NOT_RUN):
        if counts[outcome]:
            yield f"{counts[outcome]:6d}  {WORDS[outcome]}", _markup(outcome)


def _markup(outcome: str) -> dict[str, bool]:
    if outcome == "holds":
        return _GREEN
    return _YELLOW if outcome == "deviates" else _RED


def _deviations(record: Record, width: int) -> Iterator[Line]:
    cells = Counter(one for entry in record.entries for one in entry.deviations)
    if cells:
        yield from _title("known deviations")
        for one, count in sorted(cells.items()):
            yield from _wrapped(f"{one}: {_count(count, 'cell')}", width, _YELLOW, "  ")


def _crashed(record: Record, width: int) -> Iterator[Line]:
    """Cells of which the process died: each with the case that it ran, where that is known."""
    found = [entry for entry in record.entries if entry.outcome == "crashed" and entry.findings]
    if found:
        yield from _title("crashed while they ran a case")
    for entry in found[:_GROUPS]:
        finding = entry.findings[-1]
        yield clean(entry.node, _MESSAGE), {"red": True, "bold": True}
        yield from _wrapped(clean(finding.kind, _MESSAGE), width, _RED, "  ")
        yield from _finding(finding, width)
        yield from _stacks(finding)
        yield "", _PLAIN
    yield from _rest(len(found) - _GROUPS, "crashed cell")


def _stacks(finding: Finding) -> Iterator[Line]:
    """The stack of the thread that died, or of the main one, which stands last."""
    blocks = [block for block in finding.stacks.split("\n\n") if block.strip()]
    if not blocks:
        return
    current = [block for block in blocks if block.startswith("Current thread")]
    lines = (current or blocks)[-1].strip().split("\n")
    yield "  stack", _PLAIN
    for line in lines[:_STACK_LINES]:
        yield f"    {_code(line)}".rstrip(), _PLAIN
    if len(blocks) > 1 or lines[_STACK_LINES:]:
        yield "    ... and more, all in the record", _YELLOW


def _failures(record: Record, width: int) -> Iterator[Line]:
    """Cells that have no finding to show, grouped by their reason."""
    for outcome in ("crashed", "broken", "blocked"):
        groups: dict[str, list[str]] = {}
        for entry in record.entries:
            if entry.outcome == outcome and not (outcome == "crashed" and entry.findings):
                # A crash names its cell in its reason: that must not keep two apart.
                reason = clean(entry.reason.replace(entry.node, "the cell"), _MESSAGE)
                groups.setdefault(reason, []).append(entry.node)
        if groups:
            yield from _title(outcome)
        for reason, nodes in list(groups.items())[:_GROUPS]:
            yield from _nodes(nodes, _RED)
            yield from _wrapped(reason or "no reason is known", width, indent="    ")
        yield from _rest(len(groups) - _GROUPS, "reason")


def _new(record: Record, width: int) -> Iterator[Line]:
    """What the ledger does not know: one case for each comparison and kind of departure."""
    groups: dict[tuple[str, str, str], list[tuple[Entry, Finding]]] = {}
    for entry in record.entries:
        if entry.outcome == "crashed":
            continue
        seen = set()
        for finding in entry.findings:
            key = (entry.property, finding.comparison, finding.kind)
            if finding.deviation is None and key not in seen:
                seen.add(key)  # the first of a cell stands for the others of its kind
                groups.setdefault(key, []).append((entry, finding))
    if groups:
        yield from _title("new")
    for (name, comparison, kind), found in list(groups.items())[:_GROUPS]:
        entry, finding = found[0]
        yield clean(entry.node, _MESSAGE), {"red": True, "bold": True}
        yield from _wrapped(clean(entry.statement, _MESSAGE), width, indent="  ")
        heading = f"{name}, {comparison}: {kind} ({finding.level})"
        yield from _wrapped(clean(heading, _MESSAGE), width, _RED, "  ")
        yield from _finding(finding, width)
        if found[1:]:
            yield "  the same in", _PLAIN
            yield from _nodes([other.node for other, _ in found[1:]])
        yield "", _PLAIN
    yield from _rest(len(groups) - _GROUPS, "new deviation")


def _finding(finding: Finding, width: int) -> Iterator[Line]:
    yield from _wrapped(clean(finding.message, _MESSAGE), width, indent="  ")
    if finding.left or finding.right:
        yield from _wrapped(f"left   {clean(finding.left, _VALUE)}", width, indent="  ")
        yield from _wrapped(f"right  {clean(finding.right, _VALUE)}", width, indent="  ")
    if finding.difference is not None:
        text = f"largest difference {float(finding.difference):.3g}"
        if finding.bound is not None:
            text += f" where {float(finding.bound):.3g} is allowed"
        yield from _wrapped(text, width, indent="  ")
    if finding.case_text:
        yield "  case", _PLAIN
        yield from _wrapped(clean(finding.case_text, _CASE), width, indent="    ")
    if finding.script:
        seen = {
            True: " (seen to fail)",
            False: " (does not fail when it is run)",
            None: "",
        }[finding.script_fails]
        yield f"  script{seen}", _PLAIN
        yield from _script(finding.script)


def _script(script: str) -> Iterator[Line]:
    lines = script.split("\n", _SCRIPT_LINES)
    rest = lines.pop() if len(lines) > _SCRIPT_LINES else ""
    for line in lines:
        # Not wrapped: it is there to be copied.
        yield f"    {_code(line)}".rstrip(), {"cyan": True}
    if rest.strip():
        yield f"    # ... {rest.count(chr(10)) + 1} more lines, all in the record", _YELLOW


def _code(line: str) -> str:
    # Its indentation is kept, as nothing is wrapped or joined.
    return clean(line, _SCRIPT_WIDTH, lines=True)


def _fixed(record: Record, width: int) -> Iterator[Line]:
    cells: dict[str, list[str]] = {}
    for entry in record.entries:
        for one in entry.fixed:
            cells.setdefault(one, []).append(entry.node)
    if cells:
        yield from _title("fixed")
    for one, nodes in sorted(cells.items()):
        yield from _wrapped(f"{one} no longer deviates: amend its entry in the ledger", width, _RED)
        yield from _nodes(nodes)


def _not_run(record: Record) -> Iterator[Line]:
    if record.not_run:
        yield from _title(NOT_RUN)
        yield from _nodes(record.not_run, _RED)


def _verdict(record: Record, width: int) -> Iterator[Line]:
    counts = Counter(entry.outcome for entry in record.entries)
    wrong = [f"{counts[one]} {one}" for one in OUTCOMES if one in FAILING and counts[one]]
    if record.not_run:
        wrong.append(f"{len(record.not_run)} {NOT_RUN}")
    total = _count(len(record.selected), "cell")
    if not wrong and record.complete:
        known = f", {counts['deviates']} deviate as the ledger says" if counts["deviates"] else ""
        text = f"PASSED: {counts['holds']} of {total} hold{known}"
        yield from _wrapped(text, width, {"green": True, "bold": True})
        return
    text = f"{'FAILED' if record.complete else 'INCOMPLETE'}: "
    text += f"{', '.join(wrong)} of {total}" if wrong else f"{total} selected"
    if not record.complete:
        text += f"; {clean(record.exit_reason, _MESSAGE)}"
    yield from _wrapped(text, width, {"red": True, "bold": True})


def _title(text: str) -> list[Line]:
    return [("", _PLAIN), (text, _BOLD)]


def _nodes(nodes: Sequence[str], markup: dict[str, bool] = _PLAIN) -> Iterator[Line]:
    # A node id is kept in one piece: it is there to be copied.
    for node in nodes[:_LISTED]:
        yield f"    {clean(node, _MESSAGE)}", markup
    yield from _rest(len(nodes) - _LISTED, "cell", "    ")


def _rest(count: int, noun: str, indent: str = "") -> Iterable[Line]:
    if count > 0:
        yield f"{indent}and {_count(count, f'more {noun}')}, in the record", _PLAIN


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _wrapped(
    text: str, width: int, markup: dict[str, bool] = _PLAIN, indent: str = ""
) -> Iterator[Line]:
    for line in textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    ):
        yield line, markup
