"""What Keras documents of its recurrent layers: arguments, call forms and their domains."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from catalogue.cases import CallForm, MaskDtype, MaskForm, RecurrentCase, StateForm
from catalogue.specs import Argument, Spec

__all__ = ["FLAGS", "LAYERS", "RecurrentEntry", "call_form", "layer_name"]

# The yes/no arguments of time, masks and states: they are crossed in full.
FLAGS = (
    "return_sequences",
    "return_state",
    "go_backwards",
    "unroll",
    "stateful",
    "zero_output_for_mask",
)

_UNITS = (2, 1, 3, 5, 16)
_FEATURES = (1, 2, 3, 6)
_ACTIVATIONS = ("tanh", "relu", "linear", "softsign")
# At inference they change nothing, and cost a third of a trace: a quarter has each.
_DROPOUTS = (0.0, 0.0, 0.0, 0.4)


@dataclasses.dataclass(frozen=True)
class RecurrentEntry:
    """A recurrent layer: its name in reports, its spec, and the domains of what it is given.

    `make` turns the arguments of the cell and those of the layer into a spec. `paired`
    maps each further argument of the cell to its domain, the documented default first.
    `time_major` says whether the page of Keras 2 has that argument: inputs and outputs, and so
    their masks, have steps before rows then.
    """

    name: str
    page: str
    make: Callable[[dict[str, Argument], dict[str, Argument]], Spec]
    paired: Mapping[str, tuple[Argument, ...]]
    time_major: bool = True

    def domains(self, keras_major: int) -> dict[str, tuple[Any, ...]]:
        """Every domain that is covered in pairs: of the cell, of the call and of the dtypes.

        Masks and states by position are Keras 3: the pages of Keras 2 give both by keyword.
        """
        masks, states = _MASK_FORMS, _STATE_FORMS
        if keras_major == 2:
            masks = tuple(form for form in masks if not form[2])
            states = tuple(form for form in states if form != "positional")
        time_major = self.time_major and keras_major == 2
        return {
            **self.paired,
            **({"time_major": _TIME_MAJOR} if time_major else {}),
            "features": _FEATURES,
            "mask_form": masks,
            "state_form": states,
            "training": _TRAINING,
            "dtypes": tuple(_dtypes()),
        }


# How a mask reaches a layer: the form, and the dtype and place of an explicit mask.
_MASK_FORMS: tuple[tuple[MaskForm, MaskDtype, bool], ...] = (
    ("explicit", "bool", False),
    ("travelling", "bool", False),
    ("masking", "bool", False),
    ("embedding", "bool", False),
    ("explicit", "int32", False),
    ("explicit", "float32", False),
    ("explicit", "bool", True),
    ("absent", "bool", False),
    ("none", "bool", False),
)
_STATE_FORMS: tuple[StateForm, ...] = ("absent", "keyword", "none", "positional")
# Where chance may have no part, nothing is dropped in training (`strategies.configurations`).
_TRAINING = (None, False, True)
_TIME_MAJOR = (False, False, False, True)


def _dtypes() -> Iterator[tuple[str, str]]:
    """Pairs of the inputs' dtype and the layer's dtype policy: equal ones, then casts."""
    yield "float32", "float32"
    yield "float64", "float64"
    yield "float32", "float64"
    yield "float64", "float32"
    yield "float32", "mixed_float16"
    yield "float16", "float32"


def call_form(chosen: Mapping[str, Any]) -> CallForm:
    """The call form that values of the domains `mask_form`, `state_form`, `training` make."""
    mask, dtype, positional = chosen["mask_form"]
    return CallForm(
        mask=mask,
        mask_dtype=dtype,
        positional=positional,
        initial_state=chosen["state_form"],
        training=chosen["training"],
    )


def _layer(name: str) -> Callable[[dict[str, Argument], dict[str, Argument]], Spec]:
    return lambda cell, layer: Spec(name, {**cell, **layer})


def _over(cell: dict[str, Argument], layer: dict[str, Argument]) -> Spec:
    """`RNN` over one cell, or over a list of cells of different sizes."""
    names = str(cell["cells"]).split("+")
    units = cell["units"]
    assert isinstance(units, int)
    cells = []
    for place, name in enumerate(names):
        arguments = {k: v for k, v in cell.items() if k in _CELL_ARGUMENTS[name]}
        # Different sizes, so that no state can stand in for another.
        cells.append(Spec(name, {**arguments, "units": units + place}))
    return Spec("RNN", {"cell": cells[0] if len(cells) == 1 else tuple(cells), **layer})


_SIMPLE: dict[str, tuple[Argument, ...]] = {
    "units": _UNITS,
    "activation": _ACTIVATIONS,
    "use_bias": (True, False),
    "dropout": _DROPOUTS,
    "recurrent_dropout": _DROPOUTS,
}
_GATED: dict[str, tuple[Argument, ...]] = {
    **_SIMPLE,
    "recurrent_activation": ("sigmoid", "tanh", "softsign"),
}
_GRU: dict[str, tuple[Argument, ...]] = {**_GATED, "reset_after": (True, False)}
_CELL_ARGUMENTS = {"SimpleRNNCell": _SIMPLE, "LSTMCell": _GATED, "GRUCell": _GRU}

LAYERS: dict[str, RecurrentEntry] = {
    entry.name: entry
    for entry in (
        RecurrentEntry(
            "SimpleRNN",
            "layers/recurrent_layers/simple_rnn",
            _layer("SimpleRNN"),
            _SIMPLE,
            time_major=False,
        ),
        RecurrentEntry("LSTM", "layers/recurrent_layers/lstm", _layer("LSTM"), _GATED),
        RecurrentEntry("GRU", "layers/recurrent_layers/gru", _layer("GRU"), _GRU),
        RecurrentEntry(
            "RNN",
            "layers/recurrent_layers/rnn",
            _over,
            {**_GRU, "cells": ("LSTMCell", "GRUCell", "SimpleRNNCell")},
        ),
        RecurrentEntry(
            "RNN(stacked cells)",
            "layers/recurrent_layers/rnn",
            _over,
            {
                **_GRU,
                "cells": (
                    "LSTMCell+GRUCell",
                    "SimpleRNNCell+LSTMCell",
                    "LSTMCell+LSTMCell",  # with most states
                    "GRUCell+GRUCell",
                ),
            },
        ),
    )
}


def layer_name(case: RecurrentCase) -> str:
    """The name in `LAYERS` of the layer that a case is about."""
    if case.spec.layer != "RNN":
        return case.spec.layer
    return "RNN" if isinstance(case.spec.get("cell"), Spec) else "RNN(stacked cells)"
