"""Cells of training without what is known to deviate, so that planted defects stand out."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable
from typing import Any

from catalogue.training import MEASURES
from execution.implementation import Implementation
from execution.running import Execution, Runner
from properties.cells import Cell, Profile
from properties.running import CellRunner
from properties.test_conformance import PROPERTIES  # every property is declared

__all__ = ["KNOWN", "PROPERTIES", "Known", "entry_of_cell"]

Facts = frozenset[str]
_UNCOUNTED = {"content=largest", "content=inf", "content=-inf", "content=nan"}


def _multiplied(property: str, comparison: str, facts: Facts) -> bool:
    """Zero times what is not finite, or is not once it is squared or cast."""
    if property != "training_isolation":
        return False
    classes = bool({"labels=sparse", "labels=classes"} & facts)
    large = "content=large" in facts and ("cast" in facts or classes)
    return bool(facts & _UNCOUNTED) or large


def _aligned_behind(property: str, comparison: str, facts: Facts) -> bool:
    """Weights and masks of fewer axes than losses, which are aligned at the last axis."""
    return "weights_of_fewer_axes" in facts


def _counted_by_length(property: str, comparison: str, facts: Facts) -> bool:
    """Means of Keras 3 count rows by the share of their valid steps, which padding changes."""
    return property == "training_extension" and {"kind=metrics", "several_batches"} <= facts


def _in_float16(property: str, comparison: str, facts: Facts) -> bool:
    """Keras 3 looks for the largest of float16 numbers by a kernel that knows float32 alone."""
    measures = {"measure=metric TopKCategoricalAccuracy"}
    measures.add("measure=metric SparseTopKCategoricalAccuracy")
    return "cast" in facts and bool(measures & facts)


def _cut(property: str, comparison: str, facts: Facts) -> bool:
    """Metrics of overlap of Keras 3 count in whole numbers, and cut weights to such."""
    overlap = any(fact.startswith("measure=") and fact.endswith("IoU") for fact in facts)
    return overlap and {"sample_weight=steps", "weighted=True", "keras=3"} <= facts


def _not_asked_for(property: str, comparison: str, facts: Facts) -> bool:
    """Metrics of Keras 3 that are no means of numbers of positions do not look at the mask."""
    whole = any(f"measure={name}" in facts for name, one in MEASURES.items() if one.whole)
    return whole and "travelling_mask" in facts and "keras=3" in facts


def _divided_by_none(property: str, comparison: str, facts: Facts) -> bool:
    """Keras 2 divides by the number of valid steps, also where there is none."""
    return "nothing_counts" in facts and "keras=2" in facts


def _by_class(property: str, comparison: str, facts: Facts) -> bool:
    """On a batch, Keras 3 looks the class of a row up, and not that of each step."""
    return comparison.endswith("of train_on_batch") and "keras=3" in facts


def _divided_in_float16(property: str, comparison: str, facts: Facts) -> bool:
    """The small number that keeps from dividing by labels of 0 is 0 itself in float16."""
    names = ("MeanAbsolutePercentageError", "CosineSimilarity", "KLDivergence")
    measures = {f"measure={kind}{name}" for name in names for kind in ("", "metric ")}
    return "cast" in facts and bool(measures & facts)


def _broadcast(property: str, comparison: str, facts: Facts) -> bool:
    """Weights for several steps are broadcast over a single one."""
    return property == "misfit_refused"


KNOWN: tuple[Callable[[str, str, Facts], bool], ...] = (
    _multiplied,
    _aligned_behind,
    _counted_by_length,
    _in_float16,
    _cut,
    _not_asked_for,
    _divided_by_none,
    _by_class,
    _divided_in_float16,
    _broadcast,
)
"""Where the supported versions of Keras depart from what must hold: the regions, roughly."""


class Known:
    """A ledger that excuses all that departs in some regions; `major` is Keras' version."""

    def __init__(self, major: int) -> None:
        self._major = frozenset({f"keras={major}"})

    def excuses(
        self, property: str, layer: str, comparison: str, kind: str, facts: Facts
    ) -> Iterable[Any]:
        """The one entry, where a region covers the facts."""
        known = (region(property, comparison, facts | self._major) for region in KNOWN)
        if any(known):
            yield types.SimpleNamespace(id="known", instead=None)

    def concerning(self, property: str, layer: str) -> list[Any]:
        """None: nothing is drawn again."""
        return []

    deadly = concerning

    def pins(
        self, property: str, layer: str, mode: str, device: str = "cpu:0"
    ) -> list[tuple[Any, Any]]:
        """None."""
        return []


def entry_of_cell(
    implementation: Implementation,
    measure: str,
    property: str,
    seed: int,
    *,
    thin: int = 1,
    **options: Any,
) -> dict[str, Any]:
    """The entry of a cell of training, what is known left out; `thin` as in a profile."""
    cell = Cell(property, measure, Execution("cpu:0", "graph"))
    runner = Runner(implementation, cell.execution)
    profile = Profile("standard", examples=1, thin=thin)
    ledger = Known(implementation.keras_major)
    running = CellRunner(cell, runner, ledger, profile, seed, explain=False, **options)
    return running.run()
