"""Pictures say by marks what is valid, masked and different, and cannot grow without end."""

import re
from typing import Any

import pytest

from reports.pictures import difference_picture, mask_picture


def test_a_mask_is_drawn_with_marks() -> None:
    """Valid steps are filled and masked ones struck through, and a reader is told both."""
    picture = mask_picture({"batch": {"mask": ["10", "00"]}})
    assert picture is not None
    valid, masked, marks = re.findall(r'd="([^"]*)"', picture)
    assert (valid.count("M"), masked.count("M"), marks.count("M")) == (1, 3, 3)
    assert "row 0: 10; row 1: 00" in picture


@pytest.mark.parametrize(
    "case",
    [
        {},
        {"batch": 3},
        {"batch": {"mask": []}},
        {"batch": {"mask": ["1<"]}},
        {"batch": {"mask": [[True]]}},
        {"output": [2, 3], "mask": [2, 3]},
    ],
)
def test_a_case_without_rows_of_a_mask_has_no_picture(case: dict[str, Any]) -> None:
    """What is no mask is not drawn, and does no harm."""
    assert mask_picture(case) is None


@pytest.mark.parametrize(
    ("shape", "differing", "crossed", "squares"),
    [
        ([2, 3, 4], [[0, 1, 0], [0, 1, 3], [1, 2, 0]], 2, 6),
        ([5], [[4]], 1, 5),
        ([], [[]], 1, 1),
    ],
)
def test_differing_positions_are_crossed_over_the_first_two_axes(
    shape: list[int], differing: list[list[int]], crossed: int, squares: int
) -> None:
    """A square stands for all values along the other axes."""
    picture = difference_picture(shape, differing)
    assert picture is not None
    paths = dict(re.findall(r'<path class="([^"]*)" d="([^"]*)"', picture))
    assert paths["differs"].count("M") == crossed
    assert paths["differs mark"].count("M") == 2 * crossed
    assert paths["same"].count("M") == squares - crossed


def test_positions_that_no_array_has_are_not_drawn() -> None:
    """Nothing known, or positions outside the shape: no picture."""
    assert difference_picture([2, 2], []) is None
    assert difference_picture([2, 2], [[2, 0]]) is None
    assert difference_picture([2, 2], [[0]]) is None


def test_a_large_picture_is_cut_and_says_so() -> None:
    """Hundreds of rows are not drawn in full."""
    picture = mask_picture({"batch": {"mask": ["10" * 200] * 300}})
    assert picture is not None
    assert "the first 24 x 40 of 300 x 400" in picture
    assert len(picture) < 60_000
