"""Masked scores in half precision: planted defects in attention are seen, a healthy one is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from execution.implementation import Implementation
from properties.cells import QUICK
from reports.ledger import Ledger
from selftest.planting import outcome_of


def _attention(keras: Any, tf: Any, masked: Callable[[Any], Any], *, hidden: bool = False) -> type:
    """Attention in which scores that are masked are what `masked` makes of them.

    With `hidden` output that is not finite is replaced by zeros, which hides no gradient.
    """

    class Attention(keras.layers.Attention):  # type: ignore[misc]
        def _apply_scores(
            self, scores: Any, value: Any, scores_mask: Any = None, **rest: Any
        ) -> Any:
            if scores_mask is not None:
                if scores_mask.shape.rank == 2:
                    scores_mask = scores_mask[:, None]
                scores = tf.where(scores_mask, scores, masked(scores))
            output, shares = super()._apply_scores(scores, value, None, **rest)
            if hidden:
                output = tf.where(tf.math.is_finite(output), output, tf.zeros_like(output))
                shares = tf.where(tf.math.is_finite(shares), shares, tf.zeros_like(shares))
            return output, shares

    return Attention


def _nothing_in_half(tf: Any) -> Callable[[Any], Any]:
    def masked(scores: Any) -> Any:
        number = -float("inf") if scores.dtype == "float16" else -1e9
        return tf.fill(tf.shape(scores), tf.constant(number, scores.dtype))

    return masked


def _too_much_in_half(tf: Any) -> Callable[[Any], Any]:
    return lambda scores: scores - tf.constant(65504.0, scores.dtype)


DEFECTS: dict[str, Callable[[Any, Any], type]] = {
    "masks by minus infinity": lambda keras, tf: _attention(keras, tf, _nothing_in_half(tf)),
    "hides what is not finite": lambda keras, tf: _attention(
        keras, tf, _nothing_in_half(tf), hidden=True
    ),
    "takes too much from scores": lambda keras, tf: _attention(keras, tf, _too_much_in_half(tf)),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_is_seen(name: str, seed: int, found: Implementation) -> None:
    """With nothing known of the layer, and as `quick` draws."""
    planted = {"Attention": DEFECTS[name](found.keras, found.tensorflow)}
    implementation = Implementation(found.installed, planted)
    ended = outcome_of(
        implementation, "Attention", "finite_in_half_precision", Ledger(()), seed, QUICK
    )
    assert ended == "new"


def test_scores_that_are_replaced_have_nothing_new(seed: int, found: Implementation) -> None:
    """A number that is half of the largest leaves what is finite finite."""
    tf = found.tensorflow
    healthy = _attention(
        found.keras, tf, lambda scores: tf.zeros_like(scores) + scores.dtype.min / 2
    )
    implementation = Implementation(found.installed, {"Attention": healthy})
    ended = outcome_of(
        implementation, "Attention", "finite_in_half_precision", Ledger(()), seed, QUICK
    )
    assert ended == "holds"
