"""Where chance decides: what is dropped, or made noise of, in training, and by which seed."""

from __future__ import annotations

from catalogue.cases import RecurrentCase
from catalogue.layer_cases import LayerCase
from catalogue.specs import Argument, Spec

__all__ = ["SEED", "by_seed", "drops", "in_training", "left_to_chance", "seeded"]

SEED = 7
"""The seed that a layer is given where what chance decides is to be the same once more."""

_RATES = ("dropout", "recurrent_dropout", "rate", "stddev")


def drops(spec: Spec) -> bool:
    """Whether the layer, or one inside of it, drops or adds something in training."""
    return _own(spec) or any(map(drops, _inside(spec)))


def seeded(spec: Spec) -> Spec:
    """The layer with a seed wherever it, or a layer inside of it, leaves something to chance.

    Source: the pages of the layers, `seed`.
    """
    arguments: dict[str, Argument] = {}
    for name, value in spec.arguments.items():
        if isinstance(value, Spec):
            arguments[name] = seeded(value)
        elif isinstance(value, tuple):
            arguments[name] = tuple(seeded(one) if isinstance(one, Spec) else one for one in value)
        else:
            arguments[name] = value
    return Spec(spec.layer, {**arguments, "seed": SEED} if _own(spec) else arguments)


def by_seed(spec: Spec) -> bool:
    """Whether a seed decides whatever the layer leaves to chance."""
    return spec == seeded(spec)


def in_training(case: LayerCase) -> bool:
    """Whether chance has a part in what a layer gives: in training, with dropout somewhere."""
    return case.training is True and drops(case.spec)


def left_to_chance(case: RecurrentCase) -> bool:
    """Whether chance has a part in what a recurrent layer gives: in training, with dropout."""
    return case.form.training is True and drops(case.spec)


def _own(spec: Spec) -> bool:
    rates = (spec.get(name) for name in _RATES)
    return any(isinstance(rate, int | float) and rate > 0 for rate in rates)


def _inside(spec: Spec) -> list[Spec]:
    return [
        one
        for value in spec.arguments.values()
        for one in (value if isinstance(value, tuple) else (value,))
        if isinstance(one, Spec)
    ]
