"""Entries of `Bidirectional`, one for each kind of recurrent layer inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from catalogue import initial_states, wrapper_reference
from catalogue.chance import in_training
from catalogue.contracts import turned
from catalogue.layer_cases import LayerCase, LayerEntry, Sequences
from catalogue.specs import Argument, Spec

__all__ = ["ENTRIES"]

_Domains = Mapping[str, tuple[Argument, ...]]


def _all_said(case: LayerCase) -> list[np.ndarray | None]:
    """All of every output: at masked steps "the output of the masked timestep will be zero"."""
    return [None] * wrapper_reference.bidirectional_outputs(case)


def _held(case: LayerCase) -> list[np.ndarray | None]:
    """Outputs at masked steps, which are zero, and all that a fully masked row gives."""
    rows = initial_states.held_rows(case)
    masked = turned("layer")(case)
    count = wrapper_reference.bidirectional_outputs(case)
    outputs = 1 if case.spec.get("merge_mode", "concat") is not None else 2
    return [rows if masked is None else ~masked] * outputs + [rows] * (count - outputs)


def _bidirectional(
    kind: str,
    inside: dict[str, Argument],
    domains: _Domains,
    rests: tuple[tuple[int, ...], ...] = ((2,), (1,), (3,)),
    most: int = 16,
) -> LayerEntry:
    """The wrapper over one kind of layer, which has the arguments `inside` and more of `domains`.

    `stateful` needs a batch size that is always known: it is not given, but by a property of its
    own. `weights` is told from the layers' own by no page.
    """
    layer = Spec(kind, inside)
    inner: dict[str, tuple[Argument, ...]] = {
        **domains,
        "return_sequences": (False, True, True),  # where most can go wrong with masks
        "return_state": (False, True),
        "go_backwards": (False, False, False, True),
    }
    return LayerEntry(
        f"Bidirectional({kind})",
        "layers/recurrent_layers/bidirectional",
        turned("layer"),
        wrapper_reference.bidirectional,
        of="Bidirectional",
        fixed={"layer": layer},
        domains={
            **{f"layer.{name}": values for name, values in inner.items()},
            "merge_mode": ("concat", "sum", "mul", "ave", None),
            # What it is follows from the layer: see `completed`.
            "backward_layer": (None, layer),
        },
        call_domains={initial_states.ARGUMENT: (False, False, True)},
        complete=wrapper_reference.completed,
        operands={initial_states.ARGUMENT: wrapper_reference.inner_states},
        sequences=Sequences(rests=rests),
        explicit=True,
        mask_dtypes=("bool", "int32", "float32"),  # "binary tensor", by the pages of the layers
        trainings=(None, False, True),
        outputs=wrapper_reference.bidirectional_outputs,
        carriers=lambda case: 1 if case.spec.get("merge_mode", "concat") is not None else 2,
        positions=_all_said,
        weights=wrapper_reference.bidirectional_weights,
        together=(
            {  # two sequences, each with a mask of its own
                "merge_mode": None,
                "layer.return_sequences": True,
                "layer.go_backwards": False,
                "form": "travelling",
            },
            *([_unrolled(inner)] if "unroll" in inner else []),
        ),
        most=most,
        statics=(*[False] * 7, True),
        unrolled=lambda spec: bool(spec.get("layer.unroll")),
        random=in_training,
        held=_held,
    )


_UNITS: dict[str, Argument] = {"units": 2}


def _unrolled(inner: Mapping[str, Any]) -> dict[str, Any]:
    """An unrolled layer, with nothing that is known to go another way, see the ledger.

    By its first activation: of what is relu nothing may be left.
    """
    first = {"layer.activation": inner["activation"][0]} if "activation" in inner else {}
    return {
        "layer.unroll": True,
        "layer.return_sequences": False,
        "layer.go_backwards": False,
        "layer.zero_output_for_mask": False,
        f"call {initial_states.ARGUMENT}": False,
        "form": "explicit",
        "masked": "all",
        "mask_dtype": "bool",
        "training": None,
        **first,
    }


_UNROLL = (False, False, False, True)  # of known steps: such batches are each traced anew
_SIMPLE: dict[str, tuple[Argument, ...]] = {
    "units": (2, 3),
    "activation": ("tanh", "relu", "softsign"),
    "use_bias": (True, False),
    "dropout": (0.0, 0.0, 0.0, 0.4),
    "recurrent_dropout": (0.0, 0.0, 0.0, 0.4),
    "zero_output_for_mask": (False, True),
    "unroll": _UNROLL,
}
_GATED: dict[str, tuple[Argument, ...]] = {
    **_SIMPLE,
    "recurrent_activation": ("sigmoid", "softsign"),
}
_GRU_CELL = Spec("GRUCell", {"units": 2})
_CELLS: tuple[Argument, ...] = (
    _GRU_CELL,
    Spec("LSTMCell", {"units": 3, "activation": "softsign"}),
    Spec("SimpleRNNCell", {"units": 2, "use_bias": False, "recurrent_dropout": 0.4}),
    (Spec("LSTMCell", {"units": 2}), Spec("SimpleRNNCell", {"units": 3})),
)

ENTRIES = (
    _bidirectional("SimpleRNN", _UNITS, _SIMPLE),
    _bidirectional("LSTM", _UNITS, _GATED),
    _bidirectional("GRU", _UNITS, {**_GATED, "reset_after": (True, False)}),
    _bidirectional(
        "RNN",
        {"cell": _GRU_CELL},
        {"cell": _CELLS, "zero_output_for_mask": (False, True), "unroll": _UNROLL},
    ),
    # "A sequence-processing layer (accepts 3D+ inputs)" that has what the page asks for.
    _bidirectional(
        "ConvLSTM1D",
        {"filters": 2, "kernel_size": 2, "recurrent_activation": "sigmoid"},
        {
            "filters": (2, 1),
            "padding": ("valid", "same"),
            "use_bias": (True, False),
            "dropout": (0.0, 0.0, 0.0, 0.4),
            "recurrent_dropout": (0.0, 0.0, 0.0, 0.4),
        },
        rests=((3, 2), (4, 1)),
        most=8,
    ),
)
