"""Masks whose axes or sizes are not those of their tensors' rows and steps: they are refused."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from catalogue.cases import RecurrentCase
from catalogue.custom_layers import CUSTOM_LAYERS
from catalogue.expressions import expression
from catalogue.layer_cases import LayerCase, Tensor
from catalogue.layers import LAYER_ENTRIES, entry_of
from properties.comparisons import Comparison, Plan, Raises
from properties.layer_setting import LayerSetting
from properties.layers import reaches
from properties.recurrent_setting import Setting
from properties.registry import declare
from strategies.layers import layer_configurations, plain_case

__all__: list[str] = []

_CONTRACT = (
    "contracts: a mask whose shape fits no documented form is refused, never broadcast, cut or "
    "ignored"
)
_AXIS_MORE = "mask[..., None]"
_OF_FEATURES = "np.repeat(mask[..., None], {features}, -1)"

_HALF = "half the rows"
_IN_TURN = 3  # of so many misfits a case has one, where each is a call or a trace of its own

# Masks of rows and steps that do not fit, and from how many rows on each is one.
_OF_STEPS = {
    "a step more": ("np.concatenate([mask, mask[:, :1]], 1)", 1),
    "a row more": ("np.concatenate([mask, mask[:1]], 0)", 1),
    "no step": ("mask[:, :0]", 1),
    "a single row": ("mask[:1]", 2),
    _HALF: ("mask[: len(mask) // 2]", 4),
}


def _looks_at_masks(case: Any) -> bool:
    """Whether a layer is given a mask that it uses, or hands on and holds against its tensor."""
    # TimeDistributed does so whatever is inside (github.com/keras-team/keras/issues/22037).
    looks = entry_of(case).uses_mask(case) or case.spec.layer == "TimeDistributed"
    return bool(case.form == "explicit" and looks)


@functools.cache
def _takes_masks(layer: str) -> bool:
    """Whether some call of the layer looks at a mask that it is given."""
    entry = LAYER_ENTRIES[layer]
    own = entry.layer in CUSTOM_LAYERS  # which take masks as they come
    cases = map(plain_case, layer_configurations(entry)) if entry.explicit and not own else ()
    return any(map(_looks_at_masks, cases))


@declare(
    family="layers",
    source=_CONTRACT,
    level="should",
    applies=lambda case: reaches(case) and _looks_at_masks(case),
    of=_takes_masks,
)
def wrong_mask_refused(case: LayerCase) -> Plan:
    """A mask that has other sizes than its tensor is refused.

    Where sizes are known each misfit is a trace of its own, and a case has one in three.
    """
    setting = LayerSetting(case)
    which = case.weights % len(case.tensors)
    places = [place for place, tensor in enumerate(case.tensors) if tensor.masked]
    wrong_place = places[which % len(places)]
    comparisons: list[Comparison] = []
    rows = len(case.tensors[wrong_place].mask)
    misfits = [
        (name, source)
        for name, (source, least) in _OF_STEPS.items()
        if rows >= least and not (setting.entry.broadcasts and name == "a single row")
    ]
    if case.static:
        misfits = misfits[case.weights % _IN_TURN :: _IN_TURN]
    for number, (name, source) in enumerate(misfits):

        def masks(place: int, source: str = source) -> Any:
            mask = setting.given_mask(place)
            return expression(source, mask=mask) if place == wrong_place else mask

        call = setting.call(f"y{number}", masks=masks)
        comparisons.append(Raises(name, call.name, (), "should"))
    return Plan(tuple(setting.steps), tuple(comparisons))


def _of_other_axes(tensor: Tensor) -> Iterator[tuple[str, str]]:
    """Masks with an axis too many or too few: what they are called, and their sources.

    An axis of single places that the tensor has as well would be one of inner steps.
    """
    if tensor.rest[:1] != (1,) or len(tensor.rest) == 1:
        yield "an axis more", _AXIS_MORE
    if len(tensor.rest) == 1 and tensor.rest != (1,):
        yield "a mask of features", _OF_FEATURES.format(features=tensor.rest[0])
    if tensor.rest:  # elements may be masked alike in all rows: the page of Softmax
        yield "no axis of steps", "mask[:, 0, 0]" if tensor.fold else "mask[:, 0]"


def _of_steps_alone(layer: str) -> bool:
    """Whether a layer takes masks, of rows and steps and of no other shape."""
    return _takes_masks(layer) and not LAYER_ENTRIES[layer].broadcasts


@declare(
    family="layers",
    source=f"{_CONTRACT}; pages of the layers: (batch_size, steps)",
    level="should",
    applies=lambda case: reaches(case) and _looks_at_masks(case),
    of=_of_steps_alone,
    share=6,
    dear=True,
)
def wrong_axes_refused(case: LayerCase) -> Plan:
    """A mask with more axes than rows and steps, or without that of steps, is refused.

    Called eagerly, where all sizes are known.
    """
    setting = LayerSetting(case)
    places = [place for place, tensor in enumerate(case.tensors) if tensor.masked]
    wrong = places[case.weights % len(places)]
    comparisons: list[Comparison] = []
    for number, (name, source) in enumerate(_of_other_axes(case.tensors[wrong])):

        def masks(place: int, source: str = source) -> Any:
            mask = setting.given_mask(place)
            return expression(source, mask=mask) if place == wrong else mask

        call = setting.call(f"y{number}", masks=masks, mode="eager")
        comparisons.append(Raises(name, call.name, (), "should"))
    return Plan(tuple(setting.steps), tuple(comparisons))


@declare(
    family="recurrent",
    source=f"{_CONTRACT}; keras.io/api/layers/recurrent_layers/rnn: [batch_size, timesteps]",
    level="should",
    applies=lambda case: case.form.mask == "explicit" and not case.spec.get("stateful"),
    of=lambda layer: layer == "LSTM",  # the loop over steps is one for all
    share=8,
    dear=True,
)
def misfit_mask_refused(case: RecurrentCase) -> Plan:
    """A mask of other rows, steps or axes than its sequences is refused.

    Called eagerly, where all sizes are known; a case has one in three, and half the rows wherever
    the other half is as large.
    """
    setting = Setting(case)
    sources = {
        name: source for name, (source, least) in _OF_STEPS.items() if setting.batch >= least
    }
    sources["an axis more"] = _AXIS_MORE
    if case.features > 1:
        sources["a mask of features"] = _OF_FEATURES.format(features=case.features)
    if not setting.time_major:  # there steps stand where rows do
        sources["no axis of steps"] = "mask[:, 0]"
    comparisons: list[Comparison] = []
    chosen = list(sources)[case.weights % _IN_TURN :: _IN_TURN]
    if _HALF in sources and setting.batch % 2 == 0 and _HALF not in chosen:
        chosen.append(_HALF)
    for number, name in enumerate(chosen):
        mask = expression(sources[name], mask=setting.mask)
        call = setting.call(f"y{number}", mask=mask, mode="eager")
        comparisons.append(Raises(name, call.name, (), "should"))
    return Plan(setting.plan_steps(), tuple(comparisons))
