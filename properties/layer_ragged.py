"""What a layer makes of ragged tensors: what it makes of padded and masked ones, or an error."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np

from catalogue.expressions import Expression, Output, expression, literal
from catalogue.layer_cases import LayerCase, Tensor
from catalogue.layers import LAYER_ENTRIES, entry_of
from catalogue.steps import Operand, Ragged
from properties.comparisons import Agrees, Comparison, Plan
from properties.layer_setting import LayerSetting
from properties.layers import certain
from properties.registry import declare

__all__ = ["SOURCE"]

SOURCE = (
    "www.tensorflow.org/guide/ragged_tensor, Keras: they 'may also be passed between Keras layers' "
    "(Keras 2); of Keras 3 its authors say that support is partial (keras#20073)"
)

_ALONE = 3  # rows that are looked at one by one
# What these do at a row's end they do, for a padded row, at the end of its padding.
_AT_ENDS = ("Cropping1D", "ZeroPadding1D")


def _speaks(layer: str) -> bool:
    entry = LAYER_ENTRIES[layer]
    plain = 0 in entry.sequences.folds and not entry.sequences.known and not entry.ones
    return plain and entry.reference is not None


def _applies(case: Any) -> bool:
    """Rows and steps are not known, nothing but tensors has steps, and chance has no part."""
    folded = any(tensor.fold for tensor in case.tensors)
    return bool(certain(case) and not case.static and not folded and case.element is None)


@declare(
    family="layers",
    source=SOURCE,
    level="should",
    applies=_applies,
    of=_speaks,
    share=6,
    dear=True,
    apart=True,
)
def layer_ragged(case: LayerCase) -> Plan:
    """Given ragged tensors a layer gives, row by row, what it gives for padded ones, or refuses.

    That is what the reference says of padded and masked tensors. A layer that mixes steps and uses
    no mask, or looks at the end of a row, is compared with what it gives for each row alone. Where
    the output keeps steps, its rows or its mask say how many. An exception refuses: the record says
    which, and the difference of two records that it changed.
    """
    alone = _looks_at_ends(case)
    setting = LayerSetting(_right_padded(case, _first_rows if alone else _all_rows))
    lengths = [int(n) for n in setting.tensors[0].valid.sum(axis=1)]
    _called(setting, "ragged", lambda place, x: _as_ragged(setting, place, x))
    comparisons = list((_with_rows_alone if alone else _with_padded)(setting, lengths))
    return Plan(tuple(setting.steps), tuple(comparisons))


def _looks_at_ends(case: LayerCase) -> bool:
    """Whether a padded row is no model of a ragged one: padding takes part, or a row has an end."""
    entry = entry_of(case)
    reversed_ = case.spec.get("layer.go_backwards") or case.spec.get("go_backwards")
    axis = case.spec.get("axis", -1)
    joined = case.spec.layer == "Concatenate" and axis in (1, 1 - len(case.tensors[0].shape))
    mixes = not entry.isolates and not entry.made
    return mixes or entry.name in _AT_ENDS or bool(reversed_) or joined


def _with_padded(setting: LayerSetting, lengths: list[int]) -> Iterator[Comparison]:
    expected, tolerance = setting.expected()
    assert expected is not None
    for k, (name, array) in enumerate(zip(setting.names, expected, strict=True)):
        valid = setting.positions(k)
        if valid is None and setting.entry.made:  # there is no mask, and nothing is padded either
            valid = setting.tensors[0].valid
        elif valid is None:  # no page says what becomes of no step
            valid = np.array(lengths) > 0
        valid = valid.reshape(*valid.shape, *[1] * (array.ndim - valid.ndim))
        said = ~np.isnan(array) & np.broadcast_to(valid, array.shape)
        there = literal(said, f"said{k or ''}")
        yield Agrees(
            name,
            expression("y[said]", y=Output("ragged", k), said=there),
            literal(array[said], "expected"),
            tolerance,
            "should",
            refusable=True,
        )
    passed = setting.passed
    if passed is None or passed.ndim != 2 or setting.entry.stops or setting.entry.source:
        return
    found = expression(
        "lengths if lengths is not None else None if mask is None else mask.sum(axis=1)",
        lengths=Output("ragged.lengths"),
        mask=Output("ragged.mask"),
    )
    expected_lengths = literal(passed.sum(axis=1), "valid_steps")
    yield Agrees("lengths", found, expected_lengths, None, "should", refusable=True)


def _with_rows_alone(setting: LayerSetting, lengths: list[int]) -> Iterator[Comparison]:
    for row in range(len(lengths)):
        # Each tensor may have steps of its own.
        each = [int(tensor.valid[row].sum()) for tensor in setting.tensors]
        _called(setting, f"row{row}", functools.partial(_cut, each), f"{row}:{row + 1}")
        for k, name in enumerate(setting.names):
            y = Output(f"row{row}", k)
            found = expression(
                f"ragged[{row}:{row + 1}, : y.shape[1]]", ragged=Output("ragged", k), y=y
            )
            said = f"{name} of row {row}"
            yield Agrees(said, found, y, setting.tolerance, "should", refusable=True)


def _cut(lengths: list[int], place: int, x: Expression) -> Expression:
    return expression(f"x[:, :{lengths[place]}]", x=x)


def _called(
    setting: LayerSetting, name: str, made: Callable[[int, Expression], Operand], at: str = ""
) -> None:
    """A call (on some rows) without masks, each of whose tensors is made into something else."""
    call = setting.call(name, form="absent", mode="eager", at=at)
    place = -1

    def changed(operand: Operand) -> Operand:
        nonlocal place
        if isinstance(operand, list):
            return [changed(one) for one in operand]
        assert isinstance(operand, Expression)
        place += 1
        return made(place, operand)

    named = setting.entry.parameters
    args = tuple(map(changed, call.args))
    kwargs = {key: changed(one) if key in named else one for key, one in call.kwargs.items()}
    setting.steps[-1] = dataclasses.replace(call, args=args, kwargs=kwargs)


def _as_ragged(setting: LayerSetting, place: int, x: Expression) -> Ragged:
    mask = setting.mask(place)
    return Ragged(
        expression("x[mask]", f"values{place}", x=x, mask=mask),
        expression("mask.sum(axis=1)", f"lengths{place}", mask=mask),
    )


# -- the case: rows that begin with their valid steps ----------------------------------------

_Rows = Callable[[tuple[str, ...]], list[int]]


def _all_rows(mask: tuple[str, ...]) -> list[int]:
    return list(range(len(mask)))


def _first_rows(mask: tuple[str, ...]) -> list[int]:
    """The first few rows that have valid steps."""
    return [row for row, steps in enumerate(mask) if "1" in steps][:_ALONE] or [0]


def _right_padded(case: LayerCase, rows: _Rows) -> LayerCase:
    """The same lengths, zeros at the end; a key has its value's, what is merged all the same.

    Some row has a step, for there were nothing to compare. A value always has one: no page says
    what a query gives that has nothing to look at.
    """
    same = entry_of(case).sequences.same_steps
    kept = rows(case.tensors[0].mask)
    tensors: list[Tensor] = []
    for place, tensor in enumerate(case.tensors):
        if place and (same or place > 1):
            mask = tensors[0 if same else 1].mask
        else:
            mask = _packed([tensor.mask[row] for row in kept], tensor.masked, bool(place))
        replaced = {"mask": mask, "masked": True, "content": "zeros"}
        tensors.append(msgspec.structs.replace(tensor, **replaced))
    form = "travelling" if case.form == "absent" else case.form
    return msgspec.structs.replace(case, tensors=tuple(tensors), form=form)


def _packed(rows: list[str], masked: bool, least: int) -> tuple[str, ...]:
    lengths = [max(least, row.count("1") if masked else len(row)) for row in rows]
    lengths = lengths if any(lengths) else [1, *lengths[1:]]
    longest = max(1, *lengths)
    return tuple("1" * length + "0" * (longest - length) for length in lengths)
