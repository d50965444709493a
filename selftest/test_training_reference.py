"""The references of losses and metrics against numbers that a person can compute by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from catalogue import metric_reference as whole
from catalogue import training_reference as reference
from catalogue.training_reference import mean_metric, reduced

VALUES = np.array([[1.0, 3.0], [5.0, 7.0]])
VALID = np.array([[True, True], [True, False]])
ROWS = np.array([2.0, 4.0])
STEPS = np.array([[1.0, 2.0], [3.0, 4.0]])


@pytest.mark.parametrize(
    ("reduction", "weights", "expected"),
    [
        ("sum", None, 9.0),
        ("sum_over_batch_size", None, 3.0),  # three steps are valid
        ("mean", STEPS, 22 / 3),  # 1 + 6 + 15
        ("sum", ROWS, 28.0),  # 2 * 4 + 4 * 5
        ("mean_with_sample_weight", STEPS, 22 / 6),
        ("mean_with_sample_weight", None, 3.0),
        ("mean_with_sample_weight", ROWS, math.nan),  # which sum divides is not said
    ],
)
def test_a_loss_is_reduced_over_valid_steps(
    reduction: str, weights: np.ndarray | None, expected: float
) -> None:
    """Sums are divided by the number of valid steps, or by the sum of their weights."""
    found = reduced(VALUES, VALID, weights, reduction)
    np.testing.assert_allclose(found, expected)


def test_a_loss_that_is_not_reduced_has_a_number_for_each_valid_step() -> None:
    """Nothing is said of masked ones."""
    found = reduced(VALUES, VALID, STEPS, None)
    np.testing.assert_array_equal(found, [[1, 6], [15, np.nan]])


def test_what_masked_steps_hold_does_not_matter_to_a_reference() -> None:
    """Nor do their weights."""
    values = np.where(VALID, VALUES, np.nan)
    weights = np.where(VALID, STEPS, np.nan)
    assert reduced(values, VALID, weights, "sum") == 22.0
    assert mean_metric(values, VALID, np.where(VALID, STEPS, 5)) == pytest.approx(22 / 6)


def test_positions_inside_a_step_share_its_mask_and_its_weight() -> None:
    """Values of shape (1, 2, 2), a weight for each of two steps, the second masked."""
    values = np.array([[[1.0, 2.0], [3.0, 4.0]]])
    valid, weights = np.array([[True, False]]), np.array([[2.0, 9.0]])
    assert reduced(values, valid, weights, "sum") == 6.0
    assert reduced(values, valid, weights, "sum_over_batch_size") == 3.0
    assert mean_metric(values, valid, weights) == 1.5


def test_nothing_valid_has_no_mean() -> None:
    """The reference says nothing where there is nothing to divide by."""
    none = np.zeros_like(VALID)
    assert np.isnan(reduced(VALUES, none, None, "mean"))
    assert np.isnan(mean_metric(VALUES, none, None))
    assert reduced(VALUES, none, None, "sum") == 0


_Y, _P = np.array([[1.0, 0.0]]), np.array([[0.5, 0.25]])
_LOGITS = {"from_logits": True}


@pytest.mark.parametrize(
    ("function", "y", "p", "arguments", "expected"),
    [
        (reference.squared, _Y, _P, {}, (0.25 + 0.0625) / 2),
        (reference.absolute, _Y, _P, {}, 0.375),
        (reference.percentage, np.array([[2.0, 4.0]]), np.array([[1.0, 5.0]]), {}, 37.5),
        (reference.logarithmic, np.array([[1.0]]), np.array([[3.0]]), {}, math.log(2) ** 2),
        (reference.huber, np.array([[0.0, 0.0]]), np.array([[1.0, 3.0]]), {}, (0.5 + 2.5) / 2),
        (reference.huber, np.array([[0.0]]), np.array([[1.0]]), {"delta": 0.5}, 0.375),
        (reference.log_cosh, np.array([[0.0]]), np.array([[1.0]]), {}, math.log(math.cosh(1))),
        (reference.cosine, np.array([[3.0, 4.0]]), np.array([[4.0, 3.0]]), {}, 0.96),
        (reference.cosine_loss, np.array([[3.0, 4.0]]), np.array([[4.0, 3.0]]), {}, -0.96),
        (reference.binary_crossentropy, _Y, _P, {}, -(math.log(0.5) + math.log(0.75)) / 2),
        (reference.binary_crossentropy, _Y[:, :1], np.zeros((1, 1)), _LOGITS, math.log(2)),
        (
            reference.binary_crossentropy,
            np.array([[1.0]]),
            np.array([[0.5]]),
            {"label_smoothing": 0.2},
            math.log(2),
        ),
        (reference.binary_focal, _Y[:, :1], _P[:, :1], {}, 0.25 * math.log(2)),
        (
            reference.binary_focal,
            _Y[:, :1],
            _P[:, :1],
            {"apply_class_balancing": True},
            0.0625 * math.log(2),
        ),
        (reference.categorical_crossentropy, _Y, np.array([[0.25, 0.75]]), {}, math.log(4)),
        (reference.categorical_crossentropy, _Y, np.zeros((1, 2)), _LOGITS, math.log(2)),
        (reference.categorical_focal, _Y, np.array([[0.5, 0.5]]), {}, 0.0625 * math.log(2)),
        (reference.sparse_crossentropy, np.array([1]), np.array([[0.75, 0.25]]), {}, math.log(4)),
        (reference.divergence, np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]]), {}, 0.143841),
        (reference.poisson, np.array([[2.0]]), np.array([[1.0]]), {}, 1.0),
        (reference.hinge, np.array([[1.0, -1.0]]), np.array([[0.5, 0.5]]), {}, 1.0),
        (reference.squared_hinge, np.array([[1.0, -1.0]]), np.array([[0.5, 0.5]]), {}, 1.25),
        (reference.categorical_hinge, _Y, np.array([[0.5, 0.25]]), {}, 0.75),
        (reference.equal, np.array([[1.0, 0.0]]), np.array([[1.0, 1.0]]), {}, 0.5),
        (reference.binary_hits, _Y, np.array([[0.75, 0.75]]), {}, 0.5),
        (reference.binary_hits, _Y, np.array([[0.5, 0.75]]), {}, math.nan),  # on the threshold
        (reference.categorical_hits, _Y, np.array([[0.75, 0.25]]), {}, 1.0),
        (reference.sparse_hits, np.array([1]), np.array([[0.75, 0.25]]), {}, 0.0),
        (reference.sparse_hits, np.array([1]), np.array([[0.5, 0.5]]), {}, math.nan),
        (reference.top_hits, np.array([[0, 0, 1.0]]), np.array([[0.5, 0.2, 0.3]]), {"k": 2}, 1.0),
        (reference.sparse_top_hits, np.array([1]), np.array([[0.5, 0.2, 0.3]]), {"k": 2}, 0.0),
    ],
)
def test_a_position_has_the_documented_number(
    function: Any, y: np.ndarray, p: np.ndarray, arguments: dict[str, Any], expected: float
) -> None:
    """One position of one or two units."""
    np.testing.assert_allclose(function(y, p, arguments), [expected], rtol=1e-5)


# Of four positions (one unit, threshold a half): hit, miss, false alarm, rightly not said.
_TRUE = np.array([[1.0], [1.0], [0.0], [0.0]])
_SAID = np.array([[0.9], [0.1], [0.8], [0.2]])
_WEIGHT = np.array([1.0, 2.0, 3.0, 4.0])


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        (whole.count_of("true positives"), {}, 1.0),
        (whole.count_of("false negatives"), {}, 2.0),
        (whole.count_of("false positives"), {}, 3.0),
        (whole.count_of("true negatives"), {}, 4.0),
        (whole.precision, {}, 1 / 4),
        (whole.recall, {}, 1 / 3),
        (
            whole.root_mean_squared,
            {},
            math.sqrt((0.01 + 2 * 0.81 + 3 * 0.64 + 4 * 0.04) / 10),
        ),
        (whole.binary_overlap, {}, (1 / 6 + 4 / 9) / 2),
    ],
)
def test_a_metric_of_all_positions_weighs_each(
    function: Any, arguments: dict[str, Any], expected: float
) -> None:
    """Weights are counts."""
    assert function(_TRUE, _SAID, _WEIGHT, arguments) == pytest.approx(expected)


def test_the_overlap_of_classes_is_intersection_over_union() -> None:
    """By classes that are named, and by the largest of one-hot ones."""
    y, p = np.array([[0.0], [0.0], [1.0]]), np.array([[0.0], [1.0], [1.0]])
    ones = np.ones(3)
    assert whole.overlap(y, p, ones, {"num_classes": 2}) == 0.5
    chosen = {"num_classes": 2, "target_class_ids": (0,)}
    assert whole.overlap(y, np.zeros((3, 1)), ones, chosen) == pytest.approx(2 / 3)
    hot = np.eye(2)[y[:, 0].astype(int)], np.eye(2)[p[:, 0].astype(int)]
    assert whole.one_hot_overlap(*hot, ones, {"num_classes": 2}) == 0.5


def test_each_threshold_has_a_number() -> None:
    """NaN where a prediction lies on that threshold, not at the others."""
    counted = whole.count_of("false positives")
    found = counted(_TRUE, _SAID, _WEIGHT, {"thresholds": (0.15, 0.2, 0.5)})
    np.testing.assert_array_equal(found, [7, np.nan, 3])
    found = whole.recall(_TRUE, _SAID, _WEIGHT, {"thresholds": (0.05, 0.5)})
    np.testing.assert_allclose(found, [1, 1 / 3])


def test_thresholds_beside_the_likeliest_ask_for_both() -> None:
    """One of two is the likeliest, and is above a threshold or is not."""
    y, p = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[0.4, 0.3], [0.7, 0.6]])
    both = {"top_k": 1, "thresholds": (0.2, 0.5)}
    np.testing.assert_allclose(whole.precision(y, p, np.ones(2), both), [1 / 2, 0])
    # Without thresholds the likeliest is predicted however small it is.
    assert whole.precision(y, p, np.ones(2), {"top_k": 1}) == 1 / 2
    alike = np.array([[0.4, 0.4], [0.7, 0.6]])
    assert np.isnan(whole.precision(y, alike, np.ones(2), both)).all()


def test_the_area_is_that_under_straight_lines() -> None:
    """One threshold between all and nothing: (0, 0), (3/7, 1/3) and (1, 1)."""
    one = {"thresholds": (0.5,)}
    expected = 3 / 7 * (1 / 3) / 2 + 4 / 7 * (1 / 3 + 1) / 2
    assert whole.area(_TRUE, _SAID, _WEIGHT, one) == pytest.approx(expected)
    # Thresholds between all predictions: of two pairs by their weights, the others are in order.
    exact = (1 * (3 + 4) + 2 * 0) / (3 * 7)
    assert whole.area(_TRUE, _SAID, _WEIGHT, {"num_thresholds": 12}) == pytest.approx(exact)
    assert np.isnan(whole.area(_TRUE[:2], _SAID[:2], _WEIGHT[:2], {}))  # nothing negative


def test_an_ignored_class_is_one_of_labels() -> None:
    """What it is counted as elsewhere is not said."""
    y, p = np.array([[0.0], [-1.0], [1.0]]), np.array([[0.0], [1.0], [1.0]])
    without = {"num_classes": 2, "ignore_class": -1}
    assert whole.overlap(y, p, np.ones(3), without) == 1.0
    said = np.array([[0.0], [0.0], [0.0]])
    assert np.isnan(whole.overlap(y, said, np.ones(3), {"num_classes": 2, "ignore_class": 0}))
    hot = np.eye(3)[[0, 1, 2]], np.eye(3)[[0, 2, 2]]
    arguments = {"num_classes": 3, "ignore_class": 1}
    assert whole.one_hot_overlap(*hot, np.ones(3), arguments) == 1.0


def test_a_prediction_on_the_threshold_is_not_judged() -> None:
    """Rounding may put it on either side."""
    at = np.full((4, 1), 0.5)
    for function in (
        whole.precision,
        whole.recall,
        whole.binary_overlap,
    ):
        assert np.isnan(function(_TRUE, at, _WEIGHT, {}))
    assert np.isnan(whole.unknown(_TRUE, _SAID, _WEIGHT, {}))


SAID = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
TRUE = np.array([[1, 0], [0, 1], [1, 0]])
SEEN = np.array([3.0, 1.0, 2.0])  # of the third row both labels are said wrong


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, [0.75, 0.5]),  # 6 / (6 + 2) and 2 / (2 + 2)
        ({"average": "macro"}, 0.625),
        ({"average": "micro"}, 2 / 3),  # 8 / (8 + 2 + 2)
        ({"average": "weighted"}, (5 * 0.75 + 1 * 0.5) / 6),
        ({"beta": 2.0}, [15 / 23, 5 / 7]),
        ({"threshold": 0.75}, [0.75, 1.0]),
    ],
)
def test_scores_of_labels_count_rows_by_their_weights(arguments: Any, expected: Any) -> None:
    """Of each label, of all together, and their means."""
    found = whole.f_score(TRUE, SAID, SEEN, arguments)
    np.testing.assert_allclose(found, expected)


def test_areas_of_labels_are_averaged() -> None:
    """One whose predictions tell its rows apart has all of the area, one that is turned none."""
    turned = np.stack([SAID[:, 0], 1 - SAID[:, 0]], 1)
    true = np.array([[1, 1], [0, 0], [0, 0]])
    assert whole.area_of_labels(true, turned, SEEN, {"num_thresholds": 20}) == 0.5


def test_correlations_are_those_of_a_position() -> None:
    """Of three labels and three predictions, both of mean 2: 1 where they rise alike."""
    y, p = np.array([[1.0, 2.0, 3.0]] * 2), np.array([[1.0, 2.0, 3.0], [2.0, 3.0, 1.0]])
    assert reference.pearson(y, p, {}) == pytest.approx([1.0, -0.5])
    # Both of variance 2 / 3, which is what is left of it where they are apart by 2.
    assert reference.concordance(y, p + 2, {}) == pytest.approx([1 / 4, -1 / 8], abs=1e-6)


def test_a_score_is_of_what_the_labels_leave_to_explain() -> None:
    """The example of the page of R2Score, with a row of weight 0 that says something else."""
    y, p = np.array([[1.0], [4.0], [3.0]]), np.array([[2.0], [4.0], [4.0]])
    w = np.ones(3)
    assert whole.determination(y, p, w, {}) == pytest.approx(0.57142854)
    both = np.concatenate([y, y], 1), np.concatenate([p, y], 1)
    each = {"class_aggregation": None}
    assert whole.determination(*both, w, each) == pytest.approx([0.57142854, 1.0])
    other = np.append(y, [[9.0]], 0), np.append(p, [[0.0]], 0)
    assert whole.determination(*other, np.append(w, 0.0), {}) == pytest.approx(0.57142854)
    assert np.isnan(whole.determination(y[:1], p[:1], w[:1], {}))  # one label explains itself


def test_measures_of_predictions_and_rows() -> None:
    """Sums are weighed; a row has the mean of all that is in it."""
    p = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert whole.sum_of_predicted(p, p, np.array([1.0, 0.5]), {}) == 6.5
    assert reference.predicted(p, p, {}).tolist() == [1.5, 3.5]
    rows = reference.fourth_power_of_rows(np.zeros((1, 2, 2)), p[None], {})
    assert rows.tolist() == [(1 + 16 + 81 + 256) / 4]
    assert reference.generalized(np.array([1]), np.array([[0.75, 0.25]]), {}).tolist() == [1.0]
