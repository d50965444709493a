"""The layers that are given sequences, other than recurrent ones, by name."""

from __future__ import annotations

from catalogue import (
    layers_convlstm,
    layers_merging,
    layers_mixing,
    layers_pointwise,
    layers_wrappers,
)
from catalogue.layer_cases import LayerCase, LayerEntry

__all__ = ["LAYER_ENTRIES", "entry_of"]

LAYER_ENTRIES: dict[str, LayerEntry] = {
    entry.name: entry
    for entry in (
        *layers_pointwise.ENTRIES,
        *layers_mixing.ENTRIES,
        *layers_merging.ENTRIES,
        *layers_wrappers.ENTRIES,
        *layers_convlstm.ENTRIES,
    )
}


def entry_of(case: LayerCase) -> LayerEntry:
    """The entry of a case's layer."""
    return LAYER_ENTRIES[case.name]
