"""Entries of TimeDistributed, by the kind of layer inside, and their reference in NumPy.

The wrapper "allows to apply a layer to every temporal slice of an input": a slice is all that
stands at an outer step. Its mask, of shape (batch, step), says "whether a given timestep should
be masked". A mask of nested sequences, of shape (batch, outer, inner), is not on the page; by
rules 1 and 3 its slices are the masks of the slices, and what comes out carries what is left of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from catalogue.activations import activation
from catalogue.cases import Content
from catalogue.contracts import kept
from catalogue.layer_cases import Given, LayerCase, LayerEntry, Sequences
from catalogue.layer_reference import cleared
from catalogue.layers_makers import EMBEDDING, masking_source, token_source
from catalogue.recurrent_reference import reference as recurrent
from catalogue.recurrent_reference import weight_shapes
from catalogue.specs import Argument, Spec

__all__ = ["ENTRIES", "distributed", "passed_on"]

_Shapes = list[tuple[int, ...]]
_Slice = Callable[[Spec, np.ndarray, np.ndarray | None, list[np.ndarray]], np.ndarray]
_RECURRENT = ("LSTM", "GRU", "SimpleRNN")
_MODEL = "ModelOf"
_USING = (*_RECURRENT, "GlobalAveragePooling1D", _MODEL)


# -- contract --------------------------------------------------------------------------------


def passed_on(case: LayerCase) -> np.ndarray | None:
    """The mask as it came in; of nested sequences only outer steps, where no inner ones are left.

    A layer that uses the masks of slices up has left masked steps out, so that an outer step is
    valid if it has any valid inner step: else it was computed from none.
    """
    mask = kept(case)
    if mask is None or mask.ndim == 2 or not _reduces(_inner(case.spec)):
        return mask
    return np.asarray(mask.any(axis=2))


def _reduces(layer: Spec) -> bool:
    """Whether a slice of steps becomes one without steps."""
    if layer.layer == _MODEL:
        return any(map(_reduces, _parts(layer)))
    if layer.layer in _RECURRENT:
        return not layer.get("return_sequences")
    return layer.layer == "GlobalAveragePooling1D"


def _parts(model: Spec) -> list[Spec]:
    """The layers of a model, one behind the other."""
    return [part for name in ("first", "then") if isinstance(part := model.get(name), Spec)]


def _inner(spec: Spec) -> Spec:
    """The layer inside all wrappers."""
    while spec.layer == "TimeDistributed":
        layer = spec.get("layer")
        assert isinstance(layer, Spec)
        spec = layer
    return spec


# -- reference -------------------------------------------------------------------------------


def distributed(given: Given) -> np.ndarray:
    """The layer's own answer for each slice, as if there were nothing but slices.

    Slices of one step of (batch, step, ...) are rows of a batch of batch x step slices. NaN
    where the contract calls steps invalid, and where nothing is documented.
    """
    (x,) = given.inputs if given.case.form == "made" else cleared(given)
    (mask,) = given.masks
    layer = _inner(given.case.spec)
    rows = x.shape[0] * x.shape[1]
    inner = None if mask is None or mask.ndim == 2 else mask.reshape(rows, -1)
    with np.errstate(over="ignore", invalid="ignore"):
        output = _SLICES[layer.layer](layer, x.reshape(rows, *x.shape[2:]), inner, given.weights)
    output = output.reshape(*x.shape[:2], *output.shape[1:])
    embedding = layer.layer == "Embedding"
    valid = _made(given.case) if embedding else passed_on(given.case)
    if valid is None:
        return output
    valid = valid.reshape(*valid.shape, *[1] * (output.ndim - valid.ndim))
    return np.where(valid, output, output.dtype.type(np.nan))


def _dense(
    layer: Spec, x: np.ndarray, mask: np.ndarray | None, weights: list[np.ndarray]
) -> np.ndarray:
    kernel, *bias = weights
    output = x @ kernel
    return activation(layer.get("activation"))(output + bias[0] if bias else output)


def _flatten(
    layer: Spec, x: np.ndarray, mask: np.ndarray | None, weights: list[np.ndarray]
) -> np.ndarray:
    return x.reshape(len(x), -1)


def _convolution(
    layer: Spec, x: np.ndarray, mask: np.ndarray | None, weights: list[np.ndarray]
) -> np.ndarray:
    """Two neighbouring steps by the two slices of the kernel, no padding."""
    kernel, bias = weights
    return np.asarray(x[:, :-1] @ kernel[0] + x[:, 1:] @ kernel[1] + bias)


def _average(
    layer: Spec, x: np.ndarray, mask: np.ndarray | None, weights: list[np.ndarray]
) -> np.ndarray:
    """The mean over valid steps, 0 / 0 where there are none."""
    count = x.shape[1] if mask is None else mask.sum(axis=1)[:, None].astype(x.dtype)
    return np.asarray(x.sum(axis=1) / count, x.dtype)


def _recurrent(
    layer: Spec, x: np.ndarray, mask: np.ndarray | None, weights: list[np.ndarray]
) -> np.ndarray:
    return recurrent(layer, weights, x, mask, dtype=x.dtype).outputs(layer)[0]


def _unchanged(
    layer: Spec, x: np.ndarray, mask: np.ndarray | None, weights: list[np.ndarray]
) -> np.ndarray:
    return x


def _rows_of_table(
    layer: Spec, x: np.ndarray, mask: np.ndarray | None, weights: list[np.ndarray]
) -> np.ndarray:
    return np.asarray(weights[0][x.astype("int64")])


def _model(
    layer: Spec, x: np.ndarray, mask: np.ndarray | None, weights: list[np.ndarray]
) -> np.ndarray:
    """One layer behind the other; what they hold at masked steps stays out."""
    left = list(weights)
    for part in _parts(layer):
        own = [left.pop(0) for _ in _weights(part, [x.shape])]
        if mask is not None:
            x = np.where(mask[:, :, None], x, x.dtype.type(0))
        x = _SLICES[part.layer](part, x, mask, own)
    return x


_SLICES: dict[str, _Slice] = {
    "Dense": _dense,
    "Flatten": _flatten,
    "Conv1D": _convolution,
    "GlobalAveragePooling1D": _average,
    **dict.fromkeys(_RECURRENT, _recurrent),
    "Masking": _unchanged,
    "Embedding": _rows_of_table,
    _MODEL: _model,
}


def _weights(spec: Spec, shapes: _Shapes) -> _Shapes:
    """The weights of the layer inside."""
    layer, features = _inner(spec), shapes[0][-1]
    if layer.layer == _MODEL:  # what stands behind another layer has no weights
        return _weights(_parts(layer)[0], shapes)
    if layer.layer in _RECURRENT:
        return weight_shapes(layer, features)
    if layer.layer == "Dense":
        units = _size(layer, "units")
        return [(features, units), *([(units,)] if layer.get("use_bias", True) else [])]
    if layer.layer == "Conv1D":
        filters = _size(layer, "filters")
        return [(_size(layer, "kernel_size"), features, filters), (filters,)]
    if layer.layer == "Embedding":
        return [(_size(layer, "input_dim"), _size(layer, "output_dim"))]
    return []


def _made(case: LayerCase) -> np.ndarray | None:
    """The masks of all slices, where the Embedding inside makes any."""
    return kept(case) if _inner(case.spec).get("mask_zero") else None


def _source_of_slices(case: LayerCase, place: int, content: Content) -> tuple[str, str]:
    """The values of the layer inside."""
    return masking_source(msgspec.structs.replace(case, spec=_inner(case.spec)), place, content)


def _size(layer: Spec, name: str) -> int:
    size = layer.get(name)
    assert isinstance(size, int)
    return size


# -- entries ---------------------------------------------------------------------------------


def _slices_of_steps(spec: Spec, shapes: _Shapes) -> bool:
    """Whether tensors have the shape (batch, outer, inner, features)."""
    return len(shapes[0]) == 4


# Nested sequences, whose masks have inner steps, and sequences of blocks, whose masks have none.
# Outer steps of known number are traced one by one: few of them.
_NESTED = Sequences(rests=((3,), (2,)), folds=(2, 3), most_steps=5)
_BLOCKS = Sequences(rests=((2, 3), (3, 2), (4, 1)), most_steps=5)
_EITHER = Sequences(rests=((2, 3), (3,)), folds=(0, 2), most_steps=5)


def _around(*layers: Spec, name: str = "", **fields: Any) -> LayerEntry:
    """TimeDistributed around one of these layers, the first of which is the plainest."""
    first: Argument = layers[0]
    entry = LayerEntry(
        name or f"TimeDistributed({layers[0].layer})",
        "layers/recurrent_layers/time_distributed",
        passed_on,
        distributed,
        of="TimeDistributed",
        fixed={"layer": first},
        domains={"layer": layers},
        sequences=_NESTED,
        explicit=True,
        # It goes to the layer inside, "only if the layer supports this argument".
        uses_mask=lambda case: _inner(case.spec).layer in _USING,
        statics=(False, True),
        weights=_weights,
    )
    return dataclasses.replace(entry, **fields)


def _fits(spec: Spec, shapes: _Shapes) -> bool:
    """Whether a model that is told its features is given so many."""
    return _inner(spec).get("features") in (None, shapes[0][-1])


def _model_of(first: Spec, then: Spec | None = None, features: int | None = None) -> Spec:
    """A model: Sequential, or Functional where it is told its features."""
    more: dict[str, Argument] = {"then": then, "features": features}
    given = {name: value for name, value in more.items() if value is not None}
    return Spec(_MODEL, {"first": first, **given})


def _around_recurrent(recurrent: str, **fields: Any) -> LayerEntry:
    """The arguments that change what becomes of a mask; the others are the layer's own matter."""
    return _around(
        Spec(recurrent, {"units": 3}),
        Spec(recurrent, {"units": 2, "return_sequences": True}),
        Spec(recurrent, {"units": 3, "return_sequences": True}),
        Spec(recurrent, {"units": 2}),
        statics=(False, False, False, False, True),  # their traces are dear
        most=8 if recurrent == "SimpleRNN" else 5,
        **fields,
    )


_SEQUENCES = Spec("SimpleRNN", {"units": 2, "return_sequences": True})
_MEAN = Spec("GlobalAveragePooling1D")
_MAKERS: dict[str, Any] = {"made": True, "explicit": False, "isolates": False}
_ANY = (Spec("Dense", {"units": 3}), Spec("Dense", {"units": 2, "use_bias": False}))

ENTRIES = (
    _around(
        Spec("Dense", {"units": 3}),
        Spec("Dense", {"units": 2, "activation": "tanh", "use_bias": False}),
        name="TimeDistributed",
        of="",
        trainings=(None, False, True),
        sequences=Sequences(folds=(0, 2), most_steps=5),
    ),
    *map(_around_recurrent, _RECURRENT),
    # "This argument is passed to the wrapped layer (only if the layer supports this argument)": a
    # mask of outer steps says nothing of the steps of a slice.
    _around_recurrent("LSTM", name="TimeDistributed(LSTM) outer mask", sequences=_BLOCKS),
    # Cheap inside, and so met on more steps.
    _around(
        Spec("GlobalAveragePooling1D"),
        most=10,
        sequences=dataclasses.replace(_NESTED, most_steps=10),
    ),
    # "A `keras.layers.Layer` instance": a model is one, in which masks go from layer to layer.
    _around(
        _model_of(Spec("SimpleRNN", {"units": 3})),
        _model_of(_SEQUENCES, _MEAN, features=3),
        _model_of(Spec("Dense", {"units": 2}), _MEAN),
        _model_of(_SEQUENCES, features=3),
        name="TimeDistributed(model)",
        applies=_fits,
        statics=(False, False, False, False, True),
        most=6,
    ),
    _around(
        *(Spec("TimeDistributed", {"layer": layer}) for layer in _ANY),
        sequences=_EITHER,
        trainings=(None, True),
        applies=_slices_of_steps,
    ),
    # Layers that mix the steps of a slice and know no mask: of nested sequences Masking's page has
    # them refuse the mask, so that only outer steps are masked.
    _around(Spec("Flatten"), sequences=_BLOCKS, most=10),
    _around(Spec("Conv1D", {"filters": 3, "kernel_size": 2}), sequences=_BLOCKS, most=10),
    _around(
        *(Spec("Masking", {"mask_value": value}) for value in (0.0, -1.0)),
        sequences=Sequences(rests=((2,), (1,), (3,)), folds=(2, 3), most_steps=5),
        source=_source_of_slices,
        **_MAKERS,
    ),
    _around(
        *(Spec("Embedding", {**EMBEDDING, "mask_zero": flag}) for flag in (True, False)),
        sequences=Sequences(rests=((),), folds=(2, 3), most_steps=5),
        source=token_source,
        passage=_made,
        **_MAKERS,
    ),
)
