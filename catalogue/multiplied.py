"""Recurrent models whose outputs are multiplied by a mask: their layers, for an output's shape."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["MODELS", "RecurrentModel", "RecurrentOutput", "recurrent_output"]

Shape = tuple[int, ...]

_FEATURES = 2  # of the inputs
_STEPS = 3  # of inputs whose steps do not come out


class RecurrentModel(NamedTuple):
    """Layers in a row, as text, and the ranks of the outputs that they can have.

    `{units}` stands for the size of the output's last axis, `{more}` for further arguments: at
    the largest rank all steps come out. Where `steps_known` is set a graph knows the number of
    steps: without it TimeDistributed maps over the batch, which is for layers' cells to find.
    `floats` says whether it is made for other dtypes than float32 too.
    """

    layers: tuple[str, ...]
    ranks: tuple[int, ...] = (2, 3)
    steps_known: bool = False
    floats: bool = False


MODELS: dict[str, RecurrentModel] = {
    "SimpleRNN": RecurrentModel(("SimpleRNN({units}{more})",), floats=True),
    "LSTM": RecurrentModel(("LSTM({units}{more})",), floats=True),
    "GRU": RecurrentModel(("GRU({units}{more})",), floats=True),
    "RNN": RecurrentModel(("RNN(keras.layers.SimpleRNNCell({units}){more})",)),
    "LSTM behind Masking": RecurrentModel(("Masking(0.0)", "LSTM({units}{more})")),
    "TimeDistributed(Dense)": RecurrentModel(
        ("SimpleRNN(4, return_sequences=True)", "TimeDistributed(keras.layers.Dense({units}))"),
        ranks=(3,),
        steps_known=True,
    ),
    "TimeDistributed(LSTM)": RecurrentModel(
        ("TimeDistributed(keras.layers.LSTM({units}{more}))",), ranks=(3, 4), steps_known=True
    ),
    "ConvLSTM1D": RecurrentModel(("ConvLSTM1D({units}, 1{more})",), ranks=(4,)),
}


class RecurrentOutput(NamedTuple):
    """A model that is built for an output: its layers, what goes into it and what comes out.

    `layers` are expressions, the first of which is its input; `inputs` and `shape` are the shapes
    of what goes in and comes out, `known` is the former with None for what a graph need not know.
    `weights` is the seed of the weights.
    """

    layers: tuple[str, ...]
    inputs: Shape
    shape: Shape
    known: tuple[int | None, ...]
    weights: int

    @property
    def source(self) -> str:
        """The expression that makes the model."""
        return f"keras.Sequential([{', '.join(self.layers)}])"


def recurrent_output(name: str, shape: Shape, dtype: str, weights: int) -> RecurrentOutput:
    """The model called `name` (one of MODELS) for an output of this shape and dtype.

    Raises ValueError for a name that is none, and for a rank or a dtype that it cannot have.
    """
    model = MODELS.get(name)
    if model is None:
        raise ValueError(f"unknown model {name!r}: choose from {', '.join(MODELS)}")
    if len(shape) not in model.ranks or not (dtype == "float32" or model.floats):
        raise ValueError(f"{name} has no output of shape {shape!r} and dtype {dtype}")
    whole = len(shape) == model.ranks[-1]
    inputs = (*shape[:-1], *(() if whole else (_STEPS,)), _FEATURES)
    known = (None, *(inputs[1:2] if model.steps_known else (None,)), *inputs[2:])
    more = ", return_sequences=True" if whole else ""
    if dtype != "float32":
        more += f", dtype={dtype!r}"
    layers = [f"keras.Input({known[1:]}, dtype={dtype!r})"]
    layers += [f"keras.layers.{text.format(units=shape[-1], more=more)}" for text in model.layers]
    return RecurrentOutput(tuple(layers), inputs, shape, known, weights)
