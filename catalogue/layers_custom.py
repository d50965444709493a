"""Entries of custom layers, for which the guide says what Keras does with their masks.

Source, unless an entry names another: the guide "Understanding masking & padding", from
"Supporting masking in your custom layers" on.
"""

from __future__ import annotations

import numpy as np

from catalogue.cases import Content
from catalogue.contracts import dropped, joined, kept, of_query, turned
from catalogue.expressions import expression
from catalogue.layer_cases import Given, LayerCase, LayerEntry, Sequences
from catalogue.layer_reference import cleared
from catalogue.specs import Spec

__all__ = ["ENTRIES", "NOTING", "noted"]

_PAGE = "layers/base_layer"
_RESTS = ((2,), (1,), (3,))

# How many tensors' masks a layer notes, by its name; None stands for all of them.
NOTING: dict[str, int | None] = {
    "Noting": 1,
    "NotingList": None,
    "NotingDict": None,
    "Noting(by keyword)": 1,
    "NotingBeside": 1,
    "NotingNamed": None,
    "NotingMemory": None,
}


def noted(case: LayerCase) -> list[np.ndarray]:
    """The masks that ought to arrive, for each tensor of which they are noted, of (batch, step).

    1 and 0 where one travels or is given, -1 where none does. Source: "the mask associated with
    the inputs will be passed to your layer whenever it is available".
    """
    pairs = list(zip(case.masks, case.tensors, strict=True))[: NOTING[case.name]]
    return [
        np.full(tensor.steps, -1, np.float32) if mask is None else mask.astype(np.float32)
        for mask, tensor in pairs
    ]


def _positive(given: Given) -> np.ndarray:
    return np.asarray(np.maximum(given.inputs[0], 0))


def _sum(given: Given) -> np.ndarray:
    return np.asarray(sum(given.inputs))


def _signs(given: Given) -> list[np.ndarray]:
    """What is positive and what is negative of a sum, at the steps that are valid of it."""
    mask = joined(given.case)
    whole = np.asarray(sum(cleared(given)))
    signs = (1, -1) if given.case.spec.get("signs") else (1,)
    return [_at(np.maximum(sign * whole, 0), mask) for sign in signs]


def _valid_of_signs(case: LayerCase) -> list[np.ndarray | None]:
    """What is valid of each output: the steps of the joined mask."""
    mask, count = joined(case), 1 + bool(case.spec.get("signs"))
    if mask is None:
        return [None] * count
    return [mask.reshape(*mask.shape, *[1] * len(case.tensors[0].rest))] * count


def _values(case: LayerCase, place: int, content: Content) -> tuple[str, str]:
    """Values that are drawn as everywhere, and free padding."""
    tensor = case.tensors[place]
    drawn = f"np.random.default_rng({tensor.seed}).uniform(-1, 1, {tensor.shape})"
    return f"{drawn}.astype({case.dtype!r})", ""


def _said_by_itself(case: LayerCase) -> np.ndarray | None:
    """The mask that the layer gives: one made of values, a narrower one, or none.

    Source: its own `compute_mask` "generates a new mask given an input and the current mask".
    """
    mask, gives = kept(case), case.spec.get("gives", "narrower")
    if gives == "made":
        x = expression(_values(case, 0, "zeros")[0]).value()
        own = np.asarray(x)[..., 0] > 0
        return own if mask is None else own & mask
    return None if mask is None or gives == "none" else np.asarray(mask & mask[:, :1])


def _valid_of_handed_on(case: LayerCase) -> list[np.ndarray | None]:
    """What is valid: the steps of the mask that goes out; where none does, of that which came."""
    mask = kept(case) if case.spec.get("gives") == "none" else _said_by_itself(case)
    return [None if mask is None else mask.reshape(*mask.shape, *[1] * len(case.tensors[0].rest))]


def _handed_on(given: Given) -> np.ndarray:
    return np.asarray(given.inputs[0])


def _positive_where_valid(given: Given) -> np.ndarray:
    return _at(np.maximum(cleared(given)[0], 0), given.masks[0])


def _each_and_whole(given: Given) -> list[np.ndarray]:
    return [_positive_where_valid(given), np.asarray(cleared(given)[0].sum(axis=1))]


def _twice(given: Given) -> np.ndarray:
    return np.repeat(_at(cleared(given)[0], given.masks[0]), 2, axis=1)


def _forked(given: Given) -> list[np.ndarray]:
    return [_positive_where_valid(given), _at(cleared(given)[0], given.masks[0])]


def _valid_twice(case: LayerCase) -> list[np.ndarray | None]:
    """What is valid of both outputs: the steps of the one mask."""
    mask = kept(case)
    if mask is None:
        return [None, None]
    valid = mask.reshape(*mask.shape, *[1] * len(case.tensors[0].rest))
    return [valid, valid]


def _at(x: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """The values at valid steps, NaN elsewhere."""
    if mask is None:
        return x
    return np.where(mask.reshape(*mask.shape, *[1] * (x.ndim - 2)), x, x.dtype.type(np.nan))


def _mask_twice(case: LayerCase) -> np.ndarray | None:
    """Each step's mask twice: the layer's own `compute_mask` "produces a new mask"."""
    mask = kept(case)
    return None if mask is None else np.repeat(mask, 2, axis=1)


def _outputs(case: LayerCase) -> int:
    return 1 + len(noted(case))


def _projected(given: Given) -> list[np.ndarray]:
    """An RNN over a cell whose output is a projection of its state, with the last state or without.

    Masked steps hold state and output, or give zeros where the layer is told to.
    """
    spec, (x,), (mask,) = given.case.spec, given.inputs, given.masks
    kernel, recurrent, projection = given.weights
    state, output = (np.zeros((len(x), one.shape[1]), x.dtype) for one in (kernel, projection))
    outputs = np.zeros((*x.shape[:2], projection.shape[1]), x.dtype)
    for step in range(x.shape[1]):
        valid = np.ones(len(x), bool) if mask is None else mask[:, step]
        inputs = np.where(valid[:, None], x[:, step], x.dtype.type(0))
        found = np.tanh(inputs @ kernel + state @ recurrent)
        state = np.where(valid[:, None], found, state)
        output = np.where(valid[:, None], found @ projection, output)
        outputs[:, step] = output
    last = outputs if spec.get("return_sequences") else output
    if mask is not None and spec.get("return_sequences") and spec.get("zero_output_for_mask"):
        last = np.where(mask[:, :, None], last, x.dtype.type(0))
    return [last, state] if spec.get("return_state") else [last]


def _all_said(case: LayerCase) -> list[np.ndarray | None]:
    return [None] * _with_state(case)


def _with_state(case: LayerCase) -> int:
    return 2 if case.spec.get("return_state") else 1


def _weights_of_cell(spec: Spec, shapes: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    units, size = spec.get("cell.units"), spec.get("cell.output_size")
    assert isinstance(units, int) and isinstance(size, int)
    return [(shapes[0][-1], units), (units, units), (units, size)]


def _zeros_in_sequences(spec: Spec) -> Spec:
    """Zeros at masked steps are "only used when `return_sequences` is `True`"."""
    return spec if spec.get("return_sequences") else spec.without("zero_output_for_mask")


def _cell(units: int, output_size: int) -> Spec:
    return Spec("ProjectingCell", {"units": units, "output_size": output_size})


ENTRIES = (
    # "The default behavior of compute_mask() is to just pass the current mask through."
    # Of several tensors rule 1 says what the mask is, and of several outputs that each has it.
    LayerEntry(
        "Opting",
        _PAGE,
        joined,
        _signs,
        domains={"signs": (False, True)},
        sequences=Sequences(counts=(1, 2), rests=_RESTS),
        outputs=lambda case: 1 + bool(case.spec.get("signs")),
        carriers=lambda case: 1 + bool(case.spec.get("signs")),
        positions=_valid_of_signs,
    ),
    # A mask of its own on the tensor that it was given; a Lambda has a function for it: "a callable
    # with the same signature as the compute_mask layer method".
    LayerEntry(
        "HandingOn",
        _PAGE,
        _said_by_itself,
        _handed_on,
        domains={"gives": ("narrower", "made", "none"), "by_lambda": (False, True)},
        sequences=Sequences(rests=_RESTS),
        positions=_valid_of_handed_on,
        source=_values,
        restores=False,
        # A mask on what had none.
        together=({"gives": "made", "form": "absent", "dtypes": ("float32", "float32")},),
        most=8,
    ),
    # "By default, a custom layer will destroy the current mask"; by rule 3 its user is told.
    LayerEntry(
        "Plain",
        _PAGE,
        dropped,
        _positive,
        isolates=False,
        stops=True,
        sequences=Sequences(rests=_RESTS),
    ),
    # The same of several tensors, whichever of them has a mask.
    LayerEntry(
        "PlainSum",
        _PAGE,
        dropped,
        _sum,
        isolates=False,
        stops=True,
        sequences=Sequences(counts=(2, 3), rests=_RESTS),
    ),
    LayerEntry("Doubling", _PAGE, _mask_twice, _twice, sequences=Sequences(rests=_RESTS)),
    # What a layer inside has masked already leaves the other outputs to `compute_mask`.
    LayerEntry(
        "Forking",
        _PAGE,
        kept,
        _forked,
        sequences=Sequences(rests=_RESTS),
        outputs=lambda case: 2,
        carriers=lambda case: 2,
        positions=_valid_twice,
    ),
    # Or of a dict of them.
    LayerEntry(
        "PlainDict",
        _PAGE,
        dropped,
        _sum,
        isolates=False,
        stops=True,
        sequences=Sequences(counts=(2,), rests=_RESTS),
        together=({"form": "travelling", "masked": "last"},),
        most=8,
    ),
    # Several outputs have names: each has the mask that `compute_mask` gives by its own.
    LayerEntry(
        "Naming",
        _PAGE,
        kept,
        _each_and_whole,
        sequences=Sequences(rests=_RESTS),
        outputs=lambda case: 2,
        most=8,
    ),
    # What those that note masks compute is not the matter: they have no reference.
    LayerEntry(
        "Noting",
        _PAGE,
        kept,
        None,
        isolates=False,
        explicit=True,
        trainings=(None, False, True),
        outputs=_outputs,
    ),
    LayerEntry(
        "NotingList",
        _PAGE,
        joined,
        None,
        isolates=False,
        sequences=Sequences(counts=(2, 3), rests=_RESTS),
        explicit=True,
        trainings=(None, False, True),
        outputs=_outputs,
    ),
    # A call may name its tensor.
    LayerEntry(
        "Noting(by keyword)",
        _PAGE,
        kept,
        None,
        isolates=False,
        of="Noting",
        parameters=("inputs",),
        outputs=_outputs,
        most=8,
    ),
    # "A mask or list of masks": of a dict of tensors, a dict.
    LayerEntry(
        "NotingDict",
        _PAGE,
        joined,
        None,
        isolates=False,
        sequences=Sequences(counts=(2,), rests=_RESTS),
        outputs=_outputs,
        most=8,
    ),
    # The mask is that of `inputs`, "the first positional argument"; a context is a second tensor.
    LayerEntry(
        "NotingBeside",
        _PAGE,
        kept,
        None,
        isolates=False,
        sequences=Sequences(counts=(1, 2), rests=_RESTS, same_steps=False),
        parameters=("inputs", "context"),
        element="attention_mask",
        trainings=(None, False, True),
        outputs=_outputs,
    ),
    # Masks by the names of tensors are how Attention of Keras 3 is given them; that a custom layer
    # may ask for them so is said in no page.
    LayerEntry(
        "NotingNamed",
        _PAGE,
        kept,
        None,
        isolates=False,
        sequences=Sequences(counts=(2, 3), rests=_RESTS, same_steps=False),
        parameters=("query", "value", "key"),
        outputs=_outputs,
        since="3.0",
    ),
    # The same of a list of tensors that has a name: a list of masks.
    LayerEntry(
        "NotingMemory",
        _PAGE,
        of_query,
        None,
        isolates=False,
        sequences=Sequences(counts=(2, 3), rests=_RESTS, same_steps=False),
        outputs=_outputs,
        since="3.0",
        most=8,
    ),
    # A `build` is told the shapes of all that a call is given: "all arguments should have a
    # `_shape` suffix and match an argument from `call()`", says Keras where they do not.
    LayerEntry(
        "BuiltForMasks",
        _PAGE,
        kept,
        _positive_where_valid,
        sequences=Sequences(rests=_RESTS),
        explicit=True,
        since="3.0",
        most=8,
    ),
    # A cell of one's own, with an `output_size` apart from its `state_size`.
    LayerEntry(
        "RNN(cell of one's own)",
        "layers/recurrent_layers/rnn",
        turned(),
        _projected,
        of="RNN",
        fixed={"cell": _cell(3, 2)},
        domains={
            "cell": (_cell(3, 2), _cell(2, 4), _cell(1, 1)),
            "return_sequences": (False, True, True),
            "return_state": (False, True),
            "zero_output_for_mask": (False, True),
            "unroll": (False, False, False, True),
        },
        complete=_zeros_in_sequences,
        sequences=Sequences(rests=_RESTS),
        explicit=True,
        outputs=_with_state,
        positions=_all_said,
        weights=_weights_of_cell,
        unrolled=lambda spec: bool(spec.get("unroll")),
        statics=(*[False] * 7, True),
        most=8,
    ),
)
