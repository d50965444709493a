"""Entries of layers that merge several tensors into one; their pages say nothing of masks."""

from __future__ import annotations

from catalogue import layer_reference as reference
from catalogue.contracts import concatenated, crossed, joined
from catalogue.layer_cases import LayerEntry, Sequences

__all__ = ["ENTRIES"]

_SEVERAL = Sequences(counts=(2, 3, 4))
_TWO = Sequences(counts=(2,))
_STEPS_FROM_BEHIND = -2


def _elementwise(name: str, sequences: Sequences = _SEVERAL) -> LayerEntry:
    """A layer that merges tensors of one shape element by element."""
    return LayerEntry(
        name,
        f"layers/merging_layers/{name.lower()}",
        joined,
        reference.merged,
        sequences=sequences,
    )


ENTRIES = (
    _elementwise("Add"),
    _elementwise("Subtract", _TWO),
    _elementwise("Multiply"),
    _elementwise("Average"),
    _elementwise("Maximum"),
    _elementwise("Minimum"),
    LayerEntry(
        "Concatenate",
        "layers/merging_layers/concatenate",
        concatenated,
        reference.concatenation,
        domains={"axis": (-1, 1, -2)},
        sequences=_SEVERAL,
        # Counted from behind, steps stand at -2 where a step has no axis but features.
        applies=lambda spec, shapes: spec.get("axis") != _STEPS_FROM_BEHIND or len(shapes[0]) == 3,
    ),
    # Steps behind steps: as many as each tensor has.
    LayerEntry(
        "Concatenate(other steps)",
        "layers/merging_layers/concatenate",
        concatenated,
        reference.concatenation,
        of="Concatenate",
        fixed={"axis": 1},
        domains={"axis": (1, -2)},
        sequences=Sequences(counts=(2, 3), rests=((2,), (1,), (3,)), same_steps=False),
        most=8,
    ),
    # Along the features: every step of the first with every step of the second. With other
    # axes no steps are left, or those of one tensor are summed with those of the other.
    LayerEntry(
        "Dot",
        "layers/merging_layers/dot",
        crossed,
        reference.dot,
        fixed={"axes": 2},
        domains={"normalize": (False, True)},
        sequences=Sequences(counts=(2,), rests=((2,), (1,), (3,)), same_steps=False),
    ),
)
