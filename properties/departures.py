"""What calls give instead where a layer is known to depart: predicted in NumPy, call by call."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

import msgspec
import numpy as np

from catalogue.expressions import Output, expression, literal
from catalogue.layer_cases import Given, LayerCase, Tensor, TensorMask
from catalogue.steps import Build, Call, File, Gradient, Step, Through
from execution.anatomy import value_of
from execution.results import Results
from properties.comparisons import Agrees, Comparison, Plan, Raises, mismatches
from properties.layer_setting import LayerSetting

__all__ = [
    "ELSEWHERE",
    "UNSAID",
    "Answer",
    "Asked",
    "Departure",
    "Masks",
    "are_predicted",
    "only_rows_that_hold_padding",
    "rows_of_huge_padding",
    "without_rows",
]

UNSAID: Final = object()
"""A mask of which a departure says nothing."""

Masks = list[np.ndarray | None]
_Compute = Callable[[str], "list[np.ndarray] | np.ndarray | None"]


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a call gives: an exception of one of these classes, or outputs and a mask.

    `outputs` computes them in a floating dtype, NaN where nothing is said of them; None says
    nothing of any. `steps` is how many the first output has, where that is all that is said.
    The mask may have the dtype `cast` instead of its own.
    """

    refused: tuple[str, ...] = ()
    outputs: _Compute | None = None
    mask: Any = UNSAID
    steps: int | None = None
    cast: str = ""


@dataclasses.dataclass(frozen=True)
class Asked:
    """One call of a layer: the arrays that it was given, and the masks, by the places of tensors.

    `sized` says whether numbers of rows and steps are known when the call is computed, `twice`
    whether it is the second call on its tensors, `file` of what kind a file is that the layer has
    been in. `stateless` calls are handed the layer's variables, `of_numpy` is said of those that
    have a flag of NumPy.
    """

    setting: LayerSetting
    inputs: list[np.ndarray]
    travelling: Masks
    explicit: Masks
    sized: bool
    twice: bool
    file: File = ""
    stateless: bool = False
    of_numpy: bool = False

    @property
    def case(self) -> LayerCase:
        """The case that the call belongs to."""
        return self.setting.case

    @property
    def outputs(self) -> int:
        """How many tensors the call hands back."""
        return self.setting.entry.outputs(self.case)

    @property
    def masks(self) -> Masks:
        """The masks that the call should use: explicit ones, where there are any."""
        if self.case.form == "made":
            return self.case.masks
        return self.explicit if any(m is not None for m in self.explicit) else self.travelling

    @property
    def whole(self) -> bool:
        """Whether the call is on all rows of the case."""
        return len(self.inputs[0]) == len(self.case.tensors[0].mask)

    def given(
        self, dtype: str, masks: Masks | None = None, inputs: list[np.ndarray] | None = None
    ) -> Given:
        """What a reference is given of the call, or of these masks and inputs instead."""
        count = len(self.setting.tensors)  # of which the last may be given several times
        masks = [
            None if mask is None else mask.astype(bool)
            for mask in (self.masks if masks is None else masks)[:count]
        ]
        inputs = (self.inputs if inputs is None else inputs)[:count]
        case = msgspec.structs.replace(
            self.case,
            tensors=tuple(map(_of_mask, self.case.tensors, inputs, masks)),
            form=self._form(masks),
        )
        return self.setting.given(inputs, masks, dtype, case)

    def _form(self, masks: Masks) -> TensorMask:
        if self.case.form == "made":
            return "made"
        return "travelling" if any(m is not None for m in masks) else "absent"

    def reference(
        self, masks: Masks | None = None, inputs: list[np.ndarray] | None = None
    ) -> _Compute:
        """The documented answer, of these masks and inputs instead."""
        reference = self.setting.entry.reference
        assert reference is not None
        return lambda dtype: reference(self.given(dtype, masks, inputs))


ELSEWHERE: Final = Answer(refused=("no exception at all",))
"""The answer of a departure to a call that is none of its own."""

Departure = Callable[[Asked], "Answer | None"]
"""What a call gives instead; None where nothing is said of it."""


def _of_mask(tensor: Tensor, x: np.ndarray, mask: np.ndarray | None) -> Tensor:
    """A tensor with another mask."""
    steps = x.shape[: 3 if tensor.fold else 2]
    valid = np.ones(steps, bool) if mask is None else np.broadcast_to(mask.astype(bool), steps)
    rows = tuple(
        "".join("01"[int(step)] for step in row)
        for row in valid.reshape(len(valid), math.prod(steps[1:]))
    )
    fold = steps[2] if tensor.fold else 0
    return msgspec.structs.replace(tensor, mask=rows, masked=mask is not None, fold=fold)


# -- rows of which something is said ---------------------------------------------------------

_ORDINARY = 100.0  # what padding is up to where shares of it are predicted


def only_rows_that_hold_padding(asked: Asked) -> Answer | None:
    """Rows without a masked step give what is documented, unless chance decides."""
    if not asked.whole or asked.setting.entry.random(asked.case):
        return None
    masked = _padded_rows(asked)
    return Answer(outputs=lambda dtype: without_rows(masked, asked.reference()(dtype)))


def _padded_rows(asked: Asked) -> np.ndarray:
    masks = [mask.astype(bool) for mask in asked.masks if mask is not None]
    rows = [~mask.reshape(len(mask), -1).all(axis=1) for mask in masks]
    return np.asarray(np.logical_or.reduce([np.zeros(len(asked.inputs[0]), bool), *rows]))


def without_rows(rows: np.ndarray, found: Any) -> list[np.ndarray]:
    """Outputs with NaN in some rows; none where chance decides."""
    if found is None:
        return []
    outputs = found if isinstance(found, list) else [found]
    return [
        np.where(rows.reshape(-1, *[1] * (y.ndim - 1)), y.dtype.type(np.nan), y) for y in outputs
    ]


def rows_of_huge_padding(asked: Asked, *, first: int = 0) -> np.ndarray:
    """The rows that hold something huge, infinite or NaN, in tensors from the `first` one on."""
    huge = np.zeros(len(asked.inputs[0]), bool)
    for x in asked.inputs[first:]:
        with np.errstate(invalid="ignore"):
            huge |= ~(np.abs(x) <= _ORDINARY).reshape(len(x), -1).all(axis=1)
    return huge


# -- what calls gave -------------------------------------------------------------------------


def are_predicted(
    departure: Departure,
    case: LayerCase,
    comparison: Comparison,
    steps: tuple[Step, ...],
    results: Results,
    mode: str,
) -> bool:
    """Whether the calls that a comparison looks at gave what a departure predicts of them."""
    comparisons: list[Comparison] = []
    looked_at = set(_steps_of(comparison))
    known = {one.name for one in steps if isinstance(one, Build) and _known(one.input_shape)}
    for step in steps:
        if getattr(step, "name", None) not in looked_at:
            continue
        if isinstance(step, Gradient):
            answer = departure(_asked(case, step.call, results, mode, known))
            if answer is not None and answer.refused:
                comparisons.append(Raises("refused", step.name, answer.refused))
        # What `compute_mask` gives is said by what the call gives.
        elif isinstance(step, Call) and step.method != "compute_mask":
            asked = _asked(case, step, results, mode, known)
            answer = departure(asked)
            if answer is not None:
                comparisons += _predicted(answer, step, asked.setting)
    return not list(mismatches(Plan((), tuple(comparisons)), results))


def _steps_of(comparison: Comparison) -> Iterator[str]:
    if not isinstance(comparison, Agrees):
        yield comparison.step
        return
    for side in (comparison.left, comparison.right):
        for output in [side] if isinstance(side, Output) else side.outputs():
            yield output.step.partition(".")[0]


def _known(sizes: Any) -> bool:
    """Whether all sizes are known that a layer is built, and then traced, for."""
    if isinstance(sizes, tuple | list):
        return all(map(_known, sizes))
    return sizes is not None


def _asked(
    case: LayerCase, step: Call, results: Results, mode: str, known: Collection[str]
) -> Asked:
    setting = LayerSetting(case)
    entry, count = setting.entry, len(setting.tensors)
    tensors = list(step.args)
    if entry.parameters:
        tensors += [step.kwargs[name] for name in entry.parameters if name in step.kwargs]
    elif isinstance(tensors[0], list):
        tensors = list(tensors[0])
    inputs: list[np.ndarray] = []
    travelling: Masks = []
    for one in tensors:
        if isinstance(one, Through):
            x, mask = (value_of(inner, results.outputs) for inner in one.operands)  # type: ignore[arg-type]
            inputs.append(x)
            travelling.append(mask)
        else:
            inputs.append(value_of(one, results.outputs))  # type: ignore[arg-type]
            travelling.append(None)
    if entry.parameters:
        given = [step.kwargs.get(f"{name}_mask") for name in entry.parameters[:count]]
    else:
        whole = step.kwargs.get("mask")
        given = list(whole) if isinstance(whole, list) else [whole]
    explicit = [
        None if one is None else value_of(one, results.outputs)  # type: ignore[arg-type]
        for one in given
    ]
    explicit += [None] * (count - len(explicit))
    given_as = _as_given(case, inputs)
    setting = setting if given_as is case else LayerSetting(given_as)
    graph = (step.mode or mode) == "graph" and step.layer not in known
    sized = case.static or bool(step.saved) or not graph
    stateless = step.method == "stateless_call"
    of_numpy = any(isinstance(value, np.bool_) for value in step.kwargs.values())
    told = step.twice, step.saved, stateless, of_numpy
    return Asked(setting, inputs, travelling, explicit[:count], sized, *told)


def _as_given(case: LayerCase, inputs: list[np.ndarray]) -> LayerCase:
    """The case, with tensors of the sizes that a call on its rows was given.

    They are others where one tensor is given in several roles.
    """
    tensors = tuple(
        tensor
        if x.shape == tensor.shape or len(x) != len(tensor.mask) or x.ndim != len(tensor.shape)
        else msgspec.structs.replace(
            _of_mask(tensor, x, None), rest=x.shape[len(tensor.steps) :], masked=tensor.masked
        )
        for tensor, x in zip(case.tensors, inputs, strict=False)
    )
    tensors += case.tensors[len(tensors) :]
    return case if tensors == case.tensors else msgspec.structs.replace(case, tensors=tensors)


def _predicted(answer: Answer, step: Call, setting: LayerSetting) -> Iterator[Comparison]:
    if answer.refused:
        yield Raises("refused", step.name, answer.refused)
        return
    if answer.mask is not UNSAID:
        came = Output(f"{step.name}.mask")
        yield Agrees("mask", came, literal(answer.mask))
        if answer.mask is not None:
            dtypes = (answer.mask.dtype.name, answer.cast)
            same = f"mask is not None and mask.dtype.name in {dtypes!r}"
            yield Agrees("dtype of the mask", expression(same, mask=came), literal(True))
    if answer.steps is not None:
        found = expression("y.shape[1]", y=Output(step.name))
        yield Agrees("steps", found, literal(answer.steps))
    if answer.outputs is None:
        return
    compute = answer.outputs

    def listed(dtype: str) -> list[np.ndarray] | None:
        found = compute(dtype)
        return found if found is None or isinstance(found, list) else [found]

    expected, tolerance = setting.rounded(listed)
    for k, array in enumerate(expected or ()):
        y = Output(step.name, k)
        yield Agrees(f"shape {k}", expression("np.shape(y)", y=y), literal(array.shape))
        said = literal(~np.isnan(array), "said")
        at = expression("y[said]", y=y, said=said)
        yield Agrees(f"output {k}", at, literal(array[said.value()]), tolerance)
