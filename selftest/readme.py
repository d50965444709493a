"""Writes the table of properties into README.md: `python -m selftest.readme`."""

from __future__ import annotations

from pathlib import Path

import properties.cells
import properties.test_conformance  # noqa: F401 (declares the properties)
from properties.registry import PROPERTIES

README = Path(__file__).parent.parent / "README.md"
_MARK = "<!-- properties -->"


def table() -> str:
    """The table, a row a property."""
    head = "| property | what must hold |\n|---|---|\n"
    return head + "".join(f"| `{one.name}` | {one.statement} |\n" for one in PROPERTIES.values())


def written(text: str) -> str:
    """The README with the table as it must be."""
    head, _, tail = text.partition(_MARK)
    end = tail.index("\n\n", tail.index("|"))
    return f"{head}{_MARK}\n\n{table()}{tail[end + 1 :]}"


if __name__ == "__main__":
    README.write_text(written(README.read_text()))
