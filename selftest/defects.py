"""Planted defects, family by family, and a recurrent layer that is only written otherwise."""

from __future__ import annotations

from typing import Any, Protocol

from execution.implementation import Implementation
from selftest.defective import Defect, stepped
from selftest.defects_of_isolation import ISOLATION_DEFECTS
from selftest.defects_of_masks import MASK_DEFECTS
from selftest.defects_of_misfits import MISFIT_DEFECTS
from selftest.defects_of_results import RESULT_DEFECTS
from selftest.defects_of_training import TRAINING_DEFECTS

__all__ = ["DEFECTS", "PLANTED", "Defect", "Planted", "equivalent"]


class Planted(Protocol):
    """Something wrong in an implementation, and the properties of a layer that name what it is."""

    @property
    def name(self) -> str:
        """What it is called in tables."""

    @property
    def description(self) -> str:
        """What is wrong, in a sentence."""

    @property
    def properties(self) -> tuple[str, ...]:
        """The properties that see it, the first one first."""

    @property
    def layer(self) -> str:
        """The layer in whose cells it is seen."""

    def overrides(self, implementation: Implementation) -> dict[str, Any]:
        """What an implementation with this defect has in place of the real ones."""


DEFECTS: list[Defect] = [
    *MASK_DEFECTS,
    *RESULT_DEFECTS,
    *ISOLATION_DEFECTS,
    *MISFIT_DEFECTS,
]

PLANTED: dict[str, list[Planted]] = {"recurrent": [*DEFECTS], "training": [*TRAINING_DEFECTS]}
"""All planted defects that the command of tables knows, by their family."""


def equivalent(layer: str) -> Defect:
    """A layer run step by step through its cell as Keras documents it: no property may see it."""
    return Defect("equivalent", "Nothing is wrong: the loop is another one.", (), layer, stepped())
