"""Recurrent layers with planted defects, and one that is only written otherwise."""

from __future__ import annotations

from selftest.defective import Defect, stepped
from selftest.defects_of_isolation import ISOLATION_DEFECTS
from selftest.defects_of_masks import MASK_DEFECTS
from selftest.defects_of_results import RESULT_DEFECTS

__all__ = ["DEFECTS", "Defect", "equivalent"]

DEFECTS: list[Defect] = [*MASK_DEFECTS, *RESULT_DEFECTS, *ISOLATION_DEFECTS]


def equivalent(layer: str) -> Defect:
    """A layer run step by step through its cell as Keras documents it: no property may see it."""
    return Defect("equivalent", "Nothing is wrong: the loop is another one.", (), layer, stepped())
