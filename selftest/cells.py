"""Writes the checked-in list of cells anew: `python -m selftest.cells`."""

from __future__ import annotations

from properties.cells import cells
from properties.test_conformance import PROPERTIES
from reports.recorder import CELLS

__all__ = ["listed"]


def listed() -> str:
    """A line for each pair of a layer and a property that is collected, in order."""
    assert PROPERTIES  # declared by the import
    pairs = dict.fromkeys(f"{cell.layer}\t{cell.property}\n" for cell in cells())
    return "".join(pairs)


if __name__ == "__main__":
    CELLS.write_text(listed(), "utf-8")
