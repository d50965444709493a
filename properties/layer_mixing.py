"""What a user of masks may not expect: layers that mix steps, and use no mask, mix padding in."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from catalogue.cases import Content
from catalogue.expressions import Output, expression, literal
from catalogue.layer_cases import LayerCase
from catalogue.layers import LAYER_ENTRIES
from properties.comparisons import Agrees, Plan
from properties.layer_setting import LayerSetting
from properties.registry import declare

__all__: list[str] = []

_CONTENTS: tuple[Content, Content] = ("zeros", "ones")


def _mixes(layer: str) -> bool:
    entry = LAYER_ENTRIES[layer]
    return not entry.isolates and not entry.made and entry.reference is not None


def _masked(case: Any) -> bool:
    return case.form in ("travelling", "explicit") and any(t.masked for t in case.tensors)


@declare(
    family="layers",
    level="hazard",
    source="the layer's page: it computes from all steps, and says nothing of masks",
    applies=_masked,
    of=_mixes,
)
def padding_takes_part(case: LayerCase) -> Plan:
    """Padding takes part in the outputs of a layer that mixes steps and carries no mask.

    Looks where the reference, given zeros and given ones at masked steps, differs by more than
    rounding can: there the layer's outputs differ too. Where padding happens to change nothing
    (no step is masked; a window does not reach any) the property has nothing to say.
    """
    zeros, ones = (_holding(case, content) for content in _CONTENTS)
    (without, tolerance), (with_ones, _) = zeros.expected(), ones.expected()
    assert without is not None
    assert with_ones is not None
    # No input, and no weight, is larger than 1: so much may rounding add up to on both sides.
    bound = 2 * float(tolerance.of(np.ones(1)).max())
    steps = zeros.steps
    zeros.call("y", content=_CONTENTS[0])
    zeros.call("z", content=_CONTENTS[1])
    comparisons = []
    for place, (name, one, other) in enumerate(zip(zeros.names, without, with_ones, strict=True)):
        with np.errstate(invalid="ignore"):
            apart = np.abs(one - other) > bound
        if not apart.any():
            continue
        differs = expression(
            "(y != z)[apart]",
            y=Output("y", place),
            z=Output("z", place),
            apart=literal(apart, f"apart{place or ''}"),
        )
        everywhere = literal(np.ones(int(apart.sum()), bool))
        comparisons.append(Agrees(name, differs, everywhere, None, "hazard"))
    return Plan(tuple(steps), tuple(comparisons))


def _holding(case: LayerCase, content: Content) -> LayerSetting:
    """The setting of a case whose masked steps hold another content."""
    tensors = tuple(msgspec.structs.replace(t, content=content) for t in case.tensors)
    return LayerSetting(msgspec.structs.replace(case, tensors=tensors))
