"""The one place where pytest runs properties: a test for each cell."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from properties import (  # noqa: F401 (they declare)
    broadcasting,
    chain_inputs,
    chain_masks,
    chain_ways,
    chains,
    layer_calls,
    layer_chance,
    layer_delivery,
    layer_mixing,
    layer_padding,
    layer_precision,
    layer_ragged,
    layer_sharing,
    layer_stateful,
    layer_ways,
    layers,
    misfits,
    recurrent,
    recurrent_forms,
    recurrent_isolation,
    training,
    training_distillation,
    training_labels,
    training_methods,
    training_penalties,
    training_weights,
)
from properties.families import FAMILIES
from properties.registry import PROPERTIES, Property
from reports.record import Entry, encode_entry
from reports.recorder import PROPERTY as RECORDED

__all__ = ["FAMILIES", "PROPERTIES", "blank"]


def blank(node: str, cell: Any, property: Property) -> Entry:
    """The entry of a cell that has not reported."""
    return Entry(
        node=node,
        property=cell.property,
        layer=cell.layer,
        device=cell.execution.device,
        mode=cell.execution.mode,
        level=property.level,
        statement=property.statement,
        source=property.source,
        outcome="broken",
    )


def test_cell(cell: Any, laboratory: Any, request: Any, record_property: Any) -> None:
    """What the cell's property states holds, or departs from it only as the ledger says."""
    fields = laboratory.measured(cell)
    entry = msgspec.convert({"node": request.node.nodeid, **fields}, Entry)
    record_property(RECORDED, encode_entry(entry))
    if entry.outcome == "deviates":
        pytest.xfail(", ".join(entry.deviations))
    if entry.outcome != "holds":
        what = entry.reason or ", ".join(entry.fixed)
        if entry.findings:
            what = f"{entry.findings[0].comparison}: {entry.findings[0].message}"
        pytest.fail(f"{entry.outcome}: {what}", pytrace=False)
