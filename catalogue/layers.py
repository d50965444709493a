"""The layers that are given sequences, other than recurrent ones, by name."""

from __future__ import annotations

from catalogue import (
    layers_attention,
    layers_convlstm,
    layers_custom,
    layers_distributed,
    layers_makers,
    layers_merging,
    layers_mixing,
    layers_pointwise,
    layers_shapes,
    layers_windows,
    layers_wrappers,
)
from catalogue.layer_cases import LayerCase, LayerEntry

__all__ = ["LAYER_ENTRIES", "entry_of"]

LAYER_ENTRIES: dict[str, LayerEntry] = {
    entry.name: entry
    for entry in (
        *layers_pointwise.ENTRIES,
        *layers_distributed.ENTRIES,
        *layers_mixing.ENTRIES,
        *layers_attention.ENTRIES,
        *layers_merging.ENTRIES,
        *layers_makers.ENTRIES,
        *layers_custom.ENTRIES,
        *layers_shapes.ENTRIES,
        *layers_windows.ENTRIES,
        *layers_wrappers.ENTRIES,
        *layers_convlstm.ENTRIES,
    )
}


def entry_of(case: LayerCase) -> LayerEntry:
    """The entry of a case's layer."""
    return LAYER_ENTRIES[case.name]
