"""Sequences that Keras pads: planted defects in `pad_sequences` are seen, and each way is met."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from catalogue.layer_cases import LayerCase, Tensor
from catalogue.specs import Spec
from catalogue.steps import Call, Padded
from execution.implementation import Implementation
from properties.cells import QUICK
from properties.registry import PROPERTIES
from reports.ledger import Ledger
from selftest.planting import outcome_of

Pad = Callable[..., Any]


def _always(**fixed: Any) -> Callable[[Pad], Pad]:
    """The function with some of its arguments as they are here, whatever is given."""
    return lambda real: lambda rows, **options: real(rows, **{**options, **fixed})


def _other_side(argument: str) -> Callable[[Pad], Pad]:
    """The function with one of its sides taken for the other."""

    def planted(real: Pad) -> Pad:
        def pad(rows: Any, **options: Any) -> Any:
            other = "pre" if options.get(argument) == "post" else "post"
            return real(rows, **{**options, argument: other})

        return pad

    return planted


def _defaults(argument: str) -> Callable[[Pad], Pad]:
    """The function with another default of a side."""
    return lambda real: lambda rows, **options: real(rows, **{argument: "post", **options})


def _holds_something_for_nothing(real: Pad) -> Pad:
    """A row of no step has one, which is no padding."""

    def pad(rows: Any, **options: Any) -> Any:
        array = real(rows, **options)
        for place, row in enumerate(rows):
            if not len(row) and array.shape[1]:
                array[place, 0] = 1
        return array

    return pad


def _drops_rows_of_no_step(real: Pad) -> Pad:
    """Rows of no step hold what the row before holds."""

    def pad(rows: Any, **options: Any) -> Any:
        array = real(rows, **options)
        for place, row in enumerate(rows):
            if place and not len(row):
                array[place] = array[place - 1]
        return array

    return pad


def _cuts_rows_that_fit(real: Pad) -> Pad:
    """A row of exactly `maxlen` steps loses one of them."""

    def pad(rows: Any, **options: Any) -> Any:
        maxlen = options.get("maxlen")
        cut = [row[1:] if maxlen is not None and len(row) == maxlen else row for row in rows]
        return real(cut if any(map(len, cut)) else rows, **options)

    return pad


def _turns_rows_around(real: Pad) -> Pad:
    """Rows come in the order of their lengths."""
    return lambda rows, **options: real(sorted(rows, key=len), **options)


DEFECTS: dict[str, tuple[str, Callable[[Pad], Pad]]] = {
    "truncates the wrong end": ("Embedding", _other_side("truncating")),
    "always truncates in front": ("Embedding", _always(truncating="pre")),
    "truncates behind by default": ("Masking", _defaults("truncating")),
    "pads the wrong side": ("Masking", _other_side("padding")),
    "always pads in front": ("Embedding", _always(padding="pre")),
    "pads behind by default": ("Embedding", _defaults("padding")),
    "ignores the value": ("Masking", _always(value=0.0)),
    "ignores the dtype": ("Masking", _always(dtype="int32")),
    "ignores how many steps there may be": ("Masking", _always(maxlen=None)),
    "gives rows of no step one": ("Masking", _holds_something_for_nothing),
    "gives rows of no step what is before them": ("Embedding", _drops_rows_of_no_step),
    "cuts rows that fit": ("Embedding", _cuts_rows_that_fit),
    "sorts rows": ("Masking", _turns_rows_around),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_is_seen(
    name: str, seed: int, found: Implementation, ledger: Ledger
) -> None:
    """New, as `quick` draws too."""
    layer, defect = DEFECTS[name]
    pad = defect(found.pad_sequences)
    planted = Implementation(found.installed, {"pad_sequences": pad})
    assert outcome_of(planted, layer, "padded_sequences", ledger, seed, QUICK) == "new"


@pytest.mark.parametrize("layer", ["Embedding", "Masking"])
def test_the_function_itself_has_nothing_new(
    layer: str, found: Implementation, ledger: Ledger
) -> None:
    """What is seen is the defect."""
    healthy = Implementation(found.installed)
    ended = outcome_of(healthy, layer, "padded_sequences", ledger, 0, QUICK)
    assert ended in ("holds", "deviates")


def _padded(weights: int, *rows: str) -> list[tuple[Padded, np.ndarray]]:
    """What is padded of a case, and the arrays that NumPy makes of the same rows."""
    case = LayerCase(Spec("Masking"), (Tensor(rows, (1,)),), form="made", weights=weights)
    plan = PROPERTIES["padded_sequences"].function(case)
    given: list[Any] = [step.args[0] for step in plan.steps if isinstance(step, Call)]
    return [
        (one, other.value()[..., 0]) for one, other in zip(given[::2], given[1::2], strict=True)
    ]


@pytest.mark.parametrize(
    ("weights", "kept"),
    [
        (3, [[2, 3], [-1, 4]]),
        (0, [[2, 3], [4, -1]]),
        (9, [[0, 1], [-1, 4]]),
        (6, [[0, 1], [4, -1]]),
    ],
)
def test_rows_are_padded_and_cut_as_the_page_says(weights: int, kept: list[list[int]]) -> None:
    """Rows of four and of one step, padded to two: which of these stands where."""
    _, (padded, array) = _padded(weights, "1111", "0010")
    values = np.asarray(padded.values.value())[:, 0]
    expected = [[0.0 if step < 0 else float(values[step]) for step in row] for row in kept]
    assert array.tolist() == expected
    assert padded.options["maxlen"] == 2
    assert padded.options["dtype"] == "float32"


def test_all_ways_to_pad_are_chosen() -> None:
    """To as many steps as the longest row has, by itself and told so, to more, and to fewer."""
    ways = [one.options for weights in range(12) for one, _ in _padded(weights, "111", "010")]
    assert {way.get("maxlen") for way in ways} == {None, 3, 5, 1}
    assert len({repr(sorted(way.items())) for way in ways}) == 16
