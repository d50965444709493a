"""What a layer that makes masks makes of sequences that Keras has padded."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from catalogue.expressions import Output, expression, literal
from catalogue.layer_cases import LayerCase
from catalogue.layers_makers import mask_value
from catalogue.steps import Operand, Padded
from properties.comparisons import Agrees, Comparison, Plan
from properties.layer_setting import LayerSetting
from properties.registry import declare

__all__: list[str] = []

_GUIDE = "keras.io/guides/understanding_masking_and_padding, Padding sequence data"
_PAGE = "keras.io/api/data_loading/timeseries, pad_sequences"
_LONGER = 2  # steps


@dataclasses.dataclass(frozen=True)
class _Padding:
    """How sequences are padded: arguments of `pad_sequences`, whose defaults are not given."""

    maxlen: int | None
    before: bool
    cut_before: bool

    @classmethod
    def two_of(cls, case: LayerCase, lengths: np.ndarray) -> Iterator[_Padding]:
        """One by which no row is cut, and one to half the steps of the longest row.

        The first is to as many steps as this has, by itself or told so, or to more; a case's seed
        chooses.
        """
        longest, chosen = int(lengths.max()), case.weights
        most = (None, max(1, longest), longest + _LONGER)[chosen % 3]
        before, cut_before = chosen // 3 % 2 == 0, chosen // 6 % 2 == 0
        yield cls(most, before, cut_before)
        yield cls(max(1, longest // 2), not before, cut_before)

    def options(self, case: LayerCase, dtype: str) -> dict[str, Any]:
        """The arguments that are not those by default."""
        value = mask_value(case.spec) if case.spec.layer == "Masking" else 0.0
        given = {
            "maxlen": self.maxlen,
            "dtype": dtype,
            "padding": "pre" if self.before else "post",
            "truncating": "pre" if self.cut_before else "post",
            "value": value,
        }
        usual = {"maxlen": None, "dtype": "int32", "padding": "pre", "truncating": "pre"}
        return {name: one for name, one in given.items() if one != usual.get(name, 0.0)}

    def steps(self, lengths: np.ndarray) -> np.ndarray:
        """Which step of its row stands at each place, -1 where there is padding.

        Of shape (batch, step). Source: the page of `pad_sequences`: rows that are longer than
        `maxlen` lose what is at their beginning ("pre"), or their end, others are padded there.
        """
        longest = int(lengths.max()) if self.maxlen is None else self.maxlen
        found = np.full((len(lengths), longest), -1)
        for row, length in enumerate(lengths):
            kept = np.arange(length)
            if length > longest:
                kept = kept[length - longest :] if self.cut_before else kept[:longest]
            first = longest - len(kept) if self.before else 0
            found[row, first : first + len(kept)] = kept
        return found


def _applies(case: Any) -> bool:
    """Rows of numbers, or of features: what masks nested ones is another matter."""
    return not any(tensor.fold or len(tensor.rest) > 1 for tensor in case.tensors)


@declare(
    family="layers",
    source=f"{_GUIDE}; {_PAGE}",
    applies=_applies,
    of=lambda layer: layer in ("Masking", "Embedding"),
    kinds=("fully masked row",),  # of no step
)
def padded_sequences(case: LayerCase) -> Plan:
    """Sequences that `pad_sequences` pads, before or behind, cut or not, are masked where it
    padded and nowhere else, and the layer gives what it gives for the same array made by NumPy.

    Rows are as long as they have valid steps. Called eagerly, as padding is.
    """
    setting = LayerSetting(case)
    lengths = setting.tensors[0].valid.sum(axis=1)
    if setting.tensors[0].rest and not lengths.any():  # nothing says what features there are
        return Plan((), ())
    mask = setting.mask(0)
    rows = expression("x[mask]", "values", x=setting.holding(0), mask=mask)
    row_lengths = expression("mask.sum(axis=1)", "lengths", mask=mask)
    values = np.asarray(rows.value())
    comparisons: list[Comparison] = []
    for number, padding in enumerate(_Padding.two_of(case, lengths)):
        options, steps = padding.options(case, values.dtype.name), padding.steps(lengths)
        padded, by_numpy = f"y{number}", f"z{number}"
        _called(setting, padded, Padded(rows, row_lengths, options))
        array = _laid_out(values, lengths, steps, options.get("value", 0.0))
        _called(setting, by_numpy, literal(array, "padded_by_numpy"))
        expected = literal(steps >= 0 if setting.passed is not None else None, "expected")
        cut = ", cut" if number else ""
        for name, left, right in (
            ("mask", Output(f"{by_numpy}.mask"), expected),
            ("mask of padded sequences", Output(f"{padded}.mask"), Output(f"{by_numpy}.mask")),
            ("output", Output(padded), Output(by_numpy)),
        ):
            comparisons.append(Agrees(name + cut, left, right))
    return Plan(tuple(setting.steps), tuple(comparisons))


def _laid_out(
    values: np.ndarray, lengths: np.ndarray, steps: np.ndarray, value: float
) -> np.ndarray:
    """The array of shape (batch, step, ...) with these steps of each row, and a value elsewhere."""
    array = np.full((*steps.shape, *values.shape[1:]), value, values.dtype)
    starts, valid = np.cumsum(lengths) - lengths, steps >= 0
    array[valid] = values[(steps + starts[:, None])[valid]]
    return array


def _called(setting: LayerSetting, name: str, given: Operand) -> None:
    """A call of the layer on this instead of the case's tensor."""
    call = setting.call(name, mode="eager")
    setting.steps[-1] = dataclasses.replace(call, args=(given,))
