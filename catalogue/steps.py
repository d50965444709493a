"""What a property asks of an implementation: steps, as data that is run or printed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np

from catalogue.expressions import Expression, Output
from catalogue.multiplied import RecurrentOutput
from catalogue.specs import Spec
from catalogue.training_steps import Model, Train

__all__ = [
    "Build",
    "Call",
    "Configuration",
    "Define",
    "File",
    "Gradient",
    "Multiply",
    "Operand",
    "OutputShape",
    "Padded",
    "Ragged",
    "ResetState",
    "Step",
    "SymbolicCall",
    "SymbolicShape",
    "Through",
    "operand_leaves",
]


@dataclasses.dataclass(frozen=True)
class Through:
    """A tensor that has passed through another layer first, and so carries that layer's mask."""

    layer: str
    operands: tuple[Operand, ...]


@dataclasses.dataclass(frozen=True)
class Ragged:
    """A `tf.RaggedTensor`: rows of `lengths` steps, which lie one after the other in `values`.

    `values` has shape (step of all rows, ...), `lengths` shape (batch,).
    """

    values: Expression
    lengths: Expression


@dataclasses.dataclass(frozen=True)
class Padded:
    """What `keras.utils.pad_sequences` makes of rows of `lengths` steps, given as lists.

    They lie one after the other in `values`, of shape (step of all rows, ...), as those of ragged
    tensors do; `options` are further arguments of that function. Given to eager calls alone.
    """

    values: Expression
    lengths: Expression
    options: Mapping[str, Any]


# How a file's name ends, which says its format: the native one, or HDF5, the legacy one.
File = Literal["", "keras", "h5"]

InputShape = tuple[int | None, ...] | tuple[tuple[int | None, ...], ...]

# What a call is given: an array, another layer's output, a list of such, or a plain constant.
Operand = (
    Expression
    | Output
    | Through
    | Ragged
    | Padded
    | list[Any]
    | None
    | bool
    | np.bool_
    | int
    | float
    | str
)


@dataclasses.dataclass(frozen=True)
class Build:
    """Build `spec` for inputs of `input_shape` and give it the weights drawn from a seed.

    In `input_shape`, `None` stands for a size that is not known beforehand; a layer that is
    given several tensors has a tuple of shapes. `weights` is the seed; a layer without weights
    needs none. A stateful layer starts with states of zero. What is `called` is built by a call
    on tensors of zeros, one by one or `together` in a list, with a single row and step where sizes
    are not known. What is
    `restored` is made anew from its own configuration (`get_config`, `from_config`). `another` is
    another layer than the one that is built of the same spec without it. What is `fresh` has
    been called by nobody: it is built for one case alone.
    """

    name: str
    spec: Spec
    input_shape: InputShape
    weights: int | None = None
    called: bool = False
    restored: bool = False
    another: bool = False
    fresh: bool = False
    together: bool = False


@dataclasses.dataclass(frozen=True)
class Define:
    """Run `source`, which defines a model (or function) called `name`, and a list of its `layers`.

    Layer number k is given the weights drawn from the seed `weights + k`. `customs` names the
    custom layers that the source uses; `input_shape` has the shapes of all arrays that the
    model takes, in a list. `way` says how the model is built, which is counted.
    """

    name: str
    source: str
    input_shape: tuple[tuple[int | None, ...], ...]
    weights: int
    customs: tuple[str, ...] = ()
    way: str = ""


@dataclasses.dataclass(frozen=True)
class Call:
    """Call the layer that `layer` names; hands back its `outputs` tensors, in their order.

    Their masks come back too, under the name `<name>.mask`, and under `<name>.told` the warnings
    that speak of masks; of an eager call that is made `twice` also the masks that the tensors have
    afterwards on which it was made, under `<name>.left`. `mode` overrides the mode of the execution
    (an agreement property runs one call in both). With `twice` the layer is called two times on the
    same tensors, and what the second call gives is handed back; `after` names a layer that is
    called on them first. An operand that stands several times in a `shared` call is one tensor.
    Ragged tensors are given to eager calls alone, and handed back with zeros behind their rows;
    under `<name>.lengths` is how long these were, None for an output that is not ragged. `saved`
    says that the call becomes a Functional model, which is saved in a file of this kind, loaded and
    then called, eagerly; with `cloned` one whose clone is given its weights and called; with `cut`
    one that begins at intermediate tensors, behind layers that hand its inputs on. `method` is
    another way to run a model: `predict` or `predict_on_batch`, whose options `kwargs` are; no mask
    comes back from these. From the method `compute_mask`, which is called eagerly, that of the
    first output does, and nothing else; `stateless_call` is called eagerly as the layer is, with
    its variables.
    """

    name: str
    layer: str
    args: tuple[Operand, ...]
    kwargs: dict[str, Operand]
    outputs: int = 1
    mode: str | None = None
    twice: bool = False
    after: str = ""
    shared: bool = False
    saved: File = ""
    cloned: bool = False
    cut: bool = False
    method: str = ""


@dataclasses.dataclass(frozen=True)
class Gradient:
    """Gradients of `sum(sin(every output of the call))`.

    Hands back the gradients with respect to `sources`, places among the arrays that the call is
    given, and then those with respect to the layer's trainable weights, in their order. `where`
    says for each output which positions count (a mask of a shape that is a prefix of the
    output's, or that broadcasts to it); None or nothing stands for all.
    """

    name: str
    call: Call
    sources: tuple[int, ...] = (0,)
    where: tuple[Expression | None, ...] = ()


@dataclasses.dataclass(frozen=True)
class OutputShape:
    """Ask `compute_output_shape` of the layer; hands back one tuple for each output."""

    name: str
    layer: str
    input_shape: tuple[int | None, ...]


@dataclasses.dataclass(frozen=True)
class Configuration:
    """Ask `get_config` of the layer; hands back, of each of these arguments, whether it is there as
    it was given."""

    name: str
    layer: str
    arguments: Mapping[str, bool | int | float | str | None]


@dataclasses.dataclass(frozen=True)
class SymbolicShape:
    """Call the layer on a symbolic `keras.Input`; hands back one tuple for each output.

    `shape` is the shape of one sample, `batch` the batch size or `None`.
    """

    name: str
    layer: str
    shape: tuple[int | None, ...]
    batch: int | None = None


@dataclasses.dataclass(frozen=True)
class SymbolicCall:
    """Make a call on symbolic tensors, of unknown sizes where the layer was built for such.

    Hands back one shape for each output, under `<name>.dtype` the names of their dtypes, and
    under `<name>.mask` the shapes of their masks, None where an output carries none.
    """

    name: str
    call: Call


@dataclasses.dataclass(frozen=True)
class ResetState:
    """Reset the states of a stateful layer."""

    layer: str


@dataclasses.dataclass(frozen=True)
class Multiply:
    """Multiply two tensors, an output and a mask; hands back what comes out.

    `way` is how, one of `catalogue.ways.WAYS`: the operator `*`, or what its `source` says. With
    `static` the shapes are known when a graph is traced, else only the ranks are; of symbolic
    tensors, the batch. With `symbolic` both are inputs of a Functional model. With a `model`,
    `left` is what goes into that, its output is multiplied, and comes back too, behind the
    product. `mode` overrides the mode of the execution.
    """

    name: str
    left: Expression
    right: Expression
    static: bool = True
    mode: str | None = None
    way: str = "multiply"
    symbolic: bool = False
    model: RecurrentOutput | None = None


Step = (
    Build
    | Define
    | Call
    | Gradient
    | OutputShape
    | Configuration
    | SymbolicShape
    | SymbolicCall
    | ResetState
    | Multiply
    | Model
    | Train
)


def operand_leaves(operand: Operand) -> Iterator[Expression | Output]:
    """The arrays and outputs that an operand of a call is made of, from left to right."""
    if isinstance(operand, Expression | Output):
        yield operand
    elif isinstance(operand, Ragged | Padded):
        yield from (operand.values, operand.lengths)
    elif isinstance(operand, Through):
        for inner in operand.operands:
            yield from operand_leaves(inner)
    elif isinstance(operand, list):
        for inner in operand:
            yield from operand_leaves(inner)
