"""Writes the checked-in list of cells anew: `python -m selftest.cells`."""

from __future__ import annotations

from properties.cells import cells
from properties.families import FAMILIES
from properties.test_conformance import PROPERTIES
from reports.recorder import CELLS

__all__ = ["listed"]


def listed() -> str:
    """A line for each pair of a layer and a property that is collected, in order."""
    pairs = dict.fromkeys((cell.layer, cell.property) for cell in cells())
    lines = []
    for layer, property in pairs:
        since, until = FAMILIES[PROPERTIES[property].family].versions(layer)
        lines.append(f"{layer}\t{property}\t{since}\t{until}\n")
    return "".join(lines)


if __name__ == "__main__":
    CELLS.write_text(listed(), "utf-8")
