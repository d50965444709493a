"""Entries of layers that merge several tensors into one; their pages say nothing of masks."""

from __future__ import annotations

import dataclasses
from typing import Any

from catalogue import layer_reference as reference
from catalogue.cases import Content
from catalogue.contracts import concatenated, crossed, joined
from catalogue.layer_cases import LayerCase, LayerEntry, Sequences
from catalogue.specs import Spec

__all__ = ["ENTRIES"]

_SEVERAL = Sequences(counts=(2, 3, 4))
# The others may have a single feature, which is that of all.
_BROADCAST = dataclasses.replace(_SEVERAL, features=("alike", "alike", "one"))
_ONE_FEATURE: dict[str, Any] = {
    "features": "one",
    "rest": (2,),
    "form": "travelling",
    "masked": "all",
    "dtypes": ("float32", "float32"),
    "static": False,
}
_TWO = dataclasses.replace(_BROADCAST, counts=(2,))


def _source(case: LayerCase, place: int, content: Content) -> tuple[str, str]:
    """Values of less than one; of a tensor without a mask some steps, as often as not, are zeros.

    Which says nothing of a mask: such a tensor is valid everywhere.
    """
    tensor = case.tensors[place]
    drawn = f"np.random.default_rng({tensor.seed}).uniform(-1, 1, {tensor.shape})"
    drawn = f"{drawn}.astype({case.dtype!r})"
    if tensor.masked or not any(one.masked for one in case.tensors) or tensor.seed % 2 == 0:
        return drawn, ""
    steps = (*tensor.steps, *[1] * len(tensor.rest))
    zeros = f"np.random.default_rng({tensor.seed}).random({steps}) < 0.4"
    return f"np.where({zeros}, np.array(0, {case.dtype!r}), {drawn})", ""


def _elementwise(name: str, sequences: Sequences = _BROADCAST) -> LayerEntry:
    """A layer that merges tensors of one shape, or that broadcast, element by element."""
    return LayerEntry(
        name,
        f"layers/merging_layers/{name.lower()}",
        joined,
        reference.merged,
        sequences=sequences,
        together=(_ONE_FEATURE,),
        source=_source,
    )


def _has_axis(spec: Spec, shapes: list[tuple[int, ...]]) -> bool:
    """Whether tensors have the axis; counted from behind, steps stand at -2 where a step has no
    axis but features, and what stands there else is a place."""
    axis, rank = spec.get("axis", -1), len(shapes[0])
    assert isinstance(axis, int)
    return axis < rank and (axis != _STEPS_FROM_BEHIND or rank == _OF_STEPS)


_STEPS_FROM_BEHIND, _OF_STEPS = -2, 3
_STEPS_COUNTED_FROM_BEHIND: dict[str, Any] = {
    "axis": _STEPS_FROM_BEHIND,
    "rest": (2,),
    "form": "travelling",
    "masked": "all",
    "static": False,
}

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
        domains={"axis": (-1, 1, -2, 2, 3)},
        sequences=_SEVERAL,
        together=(_STEPS_COUNTED_FROM_BEHIND,),
        applies=_has_axis,
        source=_source,
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
        source=_source,
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
