"""Entries of the convolutional LSTM layers."""

from __future__ import annotations

import dataclasses

import numpy as np

from catalogue import convlstm_reference as reference
from catalogue import initial_states
from catalogue.chance import in_training
from catalogue.contracts import turned
from catalogue.layer_cases import LayerCase, LayerEntry, Sequences
from catalogue.specs import Argument, Spec

__all__ = ["ENTRIES"]

_Rests = tuple[tuple[int, ...], ...]


def _can_be_built(spec: Spec, shapes: list[tuple[int, ...]]) -> bool:
    """Strides above 1 are "incompatible" with dilation above 1, and a window must fit."""
    if spec.get("strides", 1) != 1 and spec.get("dilation_rate", 1) != 1:
        return False
    return min(reference.sizes_left(spec, shapes[0][2:])) > 0


def _with_states(spec: Spec) -> bool:
    return bool(spec.get("return_state"))


def _held(case: LayerCase) -> list[np.ndarray | None]:
    """What fully masked rows end in; what masked steps of a sequence give is not documented."""
    rows, sequences = initial_states.held_rows(case), case.spec.get("return_sequences")
    return [None if sequences else rows, *[rows] * (2 * _with_states(case.spec))]


def _convolution_lstm(rank: int, rests: _Rests, kernels: tuple[Argument, ...]) -> LayerEntry:
    """The layer of one rank. Activations are bounded: other states grow beyond all numbers.

    TensorFlow convolves `channels_last` alone on a CPU, so that `data_format` is left to it.
    The recurrent activation is `hard_sigmoid` in Keras 2 and `sigmoid` in 3 where it is not
    given. `stateful` and `unroll` need sizes that are always known (`unroll` has an entry of its
    own, of Keras 3); `unit_forget_bias` only says how weights begin.
    """
    return LayerEntry(
        f"ConvLSTM{rank}D",
        f"layers/recurrent_layers/conv_lstm{rank}d",
        turned(),
        reference.convolution_lstm,
        fixed={"filters": 2, "kernel_size": kernels[0], "recurrent_activation": "sigmoid"},
        domains={
            "filters": (2, 1, 3),
            "kernel_size": kernels,
            "strides": (1, 2),
            "padding": ("valid", "same"),
            "dilation_rate": (1, 1, 2),
            "activation": ("tanh", "softsign"),
            "recurrent_activation": ("sigmoid", "softsign"),
            "use_bias": (True, False),
            "dropout": (0.0, 0.0, 0.0, 0.4),
            "recurrent_dropout": (0.0, 0.0, 0.0, 0.4),
            "return_sequences": (False, True, True),  # where most can go wrong with masks
            "return_state": (False, True),
            "go_backwards": (False, True),
        },
        call_domains={initial_states.ARGUMENT: (False, False, True)},
        operands={initial_states.ARGUMENT: reference.convolution_lstm_states},
        sequences=Sequences(rests=rests),
        together=(
            {
                "return_sequences": True,
                "return_state": True,
                "go_backwards": False,
                "padding": "same",
                "strides": 1,
                f"call {initial_states.ARGUMENT}": False,
                "form": "travelling",
                "masked": "all",
            },
        ),
        most=16 if rank == 1 else 10,  # the more axes, the dearer a trace
        explicit=True,
        mask_dtypes=("bool", "int32", "float32"),  # "binary tensor"
        trainings=(None, False, True),
        outputs=lambda case: 1 + 2 * _with_states(case.spec),
        weights=reference.convolution_lstm_weights,
        applies=_can_be_built,
        statics=(*[False] * 7, True),
        random=in_training,
        held=_held,
    )


_ONE = _convolution_lstm(1, ((3, 2), (4, 1), (3, 3)), (2, 1, 3))

ENTRIES = (
    _ONE,
    dataclasses.replace(
        _ONE,
        name="ConvLSTM1D(unrolled)",
        of="ConvLSTM1D",
        fixed={**_ONE.fixed, "unroll": True},
        sequences=dataclasses.replace(_ONE.sequences, known=True),
        unrolled=lambda spec: True,
        most=8,
        since="3.0",
    ),
    _convolution_lstm(2, ((3, 3, 2), (3, 4, 1)), (2, (1, 2))),
    _convolution_lstm(3, ((3, 3, 3, 1), (3, 4, 3, 2)), (2, (1, 2, 1))),
)
