"""What is collected is what is checked in."""

from reports.recorder import CELLS, expected_pairs
from selftest.cells import listed


def test_the_list_of_cells_is_the_one_that_is_checked_in() -> None:
    """Collection cannot shrink or grow unseen: `python -m selftest.cells` writes the list anew."""
    assert CELLS.read_text("utf-8") == listed()


def test_the_list_names_a_property_and_a_layer() -> None:
    """Each line is read as a pair."""
    assert ("held_state", "LSTM") in expected_pairs("2.15.0")


def test_a_layer_is_expected_of_the_versions_that_have_it() -> None:
    """Root mean squares came with Keras 3.9."""
    pair = ("passage", "RMSNormalization")
    assert pair not in expected_pairs("3.8.0")
    assert pair in expected_pairs("3.9.0")
