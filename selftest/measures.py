"""Writes and prints the table of losses and metrics: `python -m selftest.measures`."""

from __future__ import annotations

from pathlib import Path

from catalogue import metric_reference
from catalogue.training import ALIASES, EXCLUDED, FUNCTIONS_EXCLUDED, MEASURES, OF_ROWS, OUTPUTS
from catalogue.training_cases import MeasureEntry

__all__ = ["PAGE", "table"]

PAGE = Path(__file__).parent.parent / "catalogue" / "MEASURES.md"

_INTRODUCTION = """\
# Losses and metrics

`python -m selftest.measures` writes this page from the catalogue. Of each public loss and metric it
says what is drawn: as what `compile` is given it, its arguments, the ranks of its outputs (2: the
model adds its valid steps up, and no mask is left; 3: steps; 4: positions inside steps), and with
which number it is compared: the mean, or sum, of one for each position, or one of all positions.
Losses are reduced in each way that Keras documents of a version.
"""


def _reference(entry: MeasureEntry) -> str:
    if entry.values is not None:
        return "of each position"
    return "none" if entry.whole is metric_reference.unknown else "of all positions"


def _forms(entry: MeasureEntry) -> str:
    if entry.plain:
        return "function"
    forms = ["object"]
    if entry.function:
        forms += [f"function `{entry.function}`", f'"{entry.word or entry.function}"']
    return ", ".join(forms)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _domains(entry: MeasureEntry) -> str:
    drawn = [f"{name}: {', '.join(map(repr, values))}" for name, values in entry.domains.items()]
    drawn += [f"{name}: {value!r}" for name, value in entry.fixed.items()]
    return "; ".join(drawn) or "-"


def table() -> str:
    """The page: losses, metrics, several outputs, and what is excluded with its reason."""
    head = ("name", "given as", "arguments", "labels", "ranks", "reference")
    lines = [_INTRODUCTION, _row(*head), _row(*["---"] * len(head))]
    lines += [
        _row(
            f"`{name}`" + (" (one's own)" if entry.custom else ""),
            _forms(entry),
            _domains(entry),
            entry.labels,
            ", ".join(map(str, entry.ranks)),
            _reference(entry),
        )
        for name, entry in MEASURES.items()
    ]
    lines += ["", "## A number for each row", "", _row("beside", "is"), _row("---", "---")]
    lines += [_row(f"`{name}`", f"`{one.name}` (one's own)") for name, one in OF_ROWS.items()]
    lines += ["", "## Several outputs", "", _row("name", "outputs"), _row("---", "---")]
    lines += [
        _row(f"`{name}`", ", ".join(f"`{one}`" for one in each)) for name, each in OUTPUTS.items()
    ]
    for title, excluded in (
        ("Excluded classes", EXCLUDED),
        ("Excluded functions", FUNCTIONS_EXCLUDED),
    ):
        lines += ["", f"## {title}", "", _row("name", "reason"), _row("---", "---")]
        lines += [
            _row(f"`{kind}.{name}`", reason)
            for kind, reasons in excluded.items()
            for name, reason in reasons.items()
        ]
    lines += ["", "## Other names of functions", "", _row("name", "is"), _row("---", "---")]
    lines += [_row(f"`{alias}`", f"`{name}`") for alias, name in sorted(ALIASES.items())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(table(), "utf-8")
    print(table(), end="")
