"""What `output * mask` gives, in each way to write it: which axes, which dtype, what is refused."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from catalogue.multiplied import MODELS, recurrent_output
from catalogue.ways import WAYS, Placed, Shape, Way, broadcast_shape, placed

__all__ = [
    "DTYPES",
    "LAYERS",
    "MASK_DTYPES",
    "TRAITS",
    "WITNESS",
    "BroadcastCase",
    "Dtype",
    "MaskDtype",
    "Mode",
    "Shape",
    "acted_on",
    "broadcast_shape",
    "facts",
    "masked_axes",
    "misplaced",
    "result_dtype",
    "traits",
]

Mode = Literal["eager", "graph", "xla"]
Dtype = Literal["float32", "float64", "float16"]
DTYPES: tuple[Dtype, ...] = ("float32", "float64", "float16")
MaskDtype = Literal["float32", "float64", "float16", "bool", "int32"]
MASK_DTYPES: tuple[MaskDtype, ...] = (*DTYPES, "bool", "int32")

# The ways to multiply, as cells name them.
LAYERS = tuple(WAYS)


class BroadcastCase(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    repr_omit_defaults=True,
    omit_defaults=True,
):
    """The shapes of a model's output and of a mask that it is multiplied by.

    `output` and `mask` are shapes with sizes of at least 1; a mask of shape `()` is a
    scalar. `intended` are the axes of the output that the mask is meant to tell apart:
    `(0, 1)` for batch and step, `(0,)` for batch, `()` where nobody says. `static` says
    whether the shapes are known when a graph is traced (else only the ranks are; eagerly
    it says nothing), and of symbolic tensors whether the batch is known. `mode` is how the
    product is run, `seed` what the values come from. `way` is one of `WAYS`, `mask_dtype`
    the output's where it is empty, `keras` the major version whose documentation applies.
    `model` is one of `MODELS`: the output is that of a recurrent model and no array. With
    `symbolic` the operands are symbolic tensors, as those of some ways always are.
    Raises ValueError for sizes below 1, for axes that the output does not have, and for
    shapes of which the way (or the model) can make no tensors.
    """

    output: Shape
    mask: Shape
    intended: tuple[int, ...] = ()
    static: bool = True
    seed: int = 0
    dtype: Dtype = "float32"
    mode: Mode = "graph"
    way: str = "multiply"
    mask_dtype: Literal["", "float32", "float64", "float16", "bool", "int32"] = ""
    keras: Literal[2, 3] = 3
    model: str = ""
    symbolic: bool = False

    def __post_init__(self) -> None:
        """Refuse shapes that no tensor of this family has."""
        for name, shape in (("output", self.output), ("mask", self.mask)):
            if any(size < 1 for size in shape):
                raise ValueError(f"{name} must have sizes of at least 1, got {shape!r}")
        if not set(self.intended) <= set(range(len(self.output))):
            raise ValueError(
                f"intended must name axes of an output of shape {self.output!r}, "
                f"got {self.intended!r}"
            )
        if self.way not in WAYS:
            raise ValueError(f"unknown way {self.way!r}: choose from {', '.join(WAYS)}")
        way = WAYS[self.way]
        if len(self.output) not in way.ranks or not way.least <= len(self.mask) <= way.most:
            raise ValueError(
                f"{self.way} makes nothing of an output of shape {self.output!r} and a mask of "
                f"shape {self.mask!r}: it is for masks of rank {way.least} to {way.most}"
            )
        if self.symbols and not self.mask:
            raise ValueError("a symbolic mask has a batch axis, got a mask of shape ()")
        if self.model:
            recurrent_output(self.model, self.output, self.dtype, 0)

    @property
    def written(self) -> Way:
        """The way to multiply."""
        return WAYS[self.way]

    @property
    def symbols(self) -> bool:
        """Whether the operands are symbolic tensors."""
        return self.symbolic or self.written.symbolic

    @property
    def refuses_symbols(self) -> bool:
        """Whether symbolic tensors come to a function that refuses them.

        What gives a mask its axes is not called where the mask has all.
        """
        called = self.written.fit != "trailing" or len(self.mask) < len(self.output)
        return self.symbols and called and not self.written.takes_symbols(self.keras)

    @property
    def placed(self) -> Placed | None:
        """The shapes that meet by NumPy's rules, None where the way refuses before that."""
        return placed(self.written, self.output, self.mask)

    @property
    def unchecked(self) -> Placed | None:
        """As `placed`; where batches differ that are unknown, as if nobody looked at them."""
        if self.placed is not None or self.static or not self.mask:
            return self.placed
        found = placed(self.written, self.output, (*self.output[:1], *self.mask[1:]))
        if found is None:
            return None
        return found._replace(mask=(*self.mask[:1], *found.mask[1:]))

    @property
    def result(self) -> Shape | None:
        """The shape that comes out (of a selection: where all is selected), None if refused."""
        found = self.placed
        if found is None or self.result_dtype is None:
            return None
        if not self.written.elementwise:
            return (math.prod(self.mask), *self.output[len(self.mask) :])
        return broadcast_shape(found.output, found.mask)

    @property
    def operands(self) -> tuple[str, str]:
        """The dtypes of output and mask."""
        return self.dtype, self.mask_dtype or self.dtype

    @property
    def result_dtype(self) -> str | None:
        """The dtype of what comes out, None where the dtypes (or symbols) are refused."""
        if self.refuses_symbols:
            return None
        return result_dtype(self.written, *self.operands, keras=self.keras, symbols=self.symbolic)

    @property
    def astray(self) -> tuple[int, ...]:
        """The axes of the result that the mask acts on without being meant to."""
        found = self.placed
        if found is None or self.result is None:
            raise ValueError(f"{self!r} is refused")
        meant = {found.axes[axis] for axis in self.intended}
        return tuple(axis for axis in acted_on(self) if axis not in meant)


# The smallest case in which a mask that is meant for (batch, step) is accepted and no size
# of which is 1: it acts on (step, features).
WITNESS = BroadcastCase(output=(2, 2, 2), mask=(2, 2), intended=(0, 1))


# -- the oracle ------------------------------------------------------------------------------


def masked_axes(output: Shape, mask: Shape) -> tuple[int, ...]:
    """The axes of the product along which the mask can differ: its sizes above 1.

    Counted in the product, which has more axes than the output where the mask does.
    Raises ValueError where the product is refused.
    """
    result = broadcast_shape(output, mask)
    if result is None:
        raise ValueError(f"a mask of shape {mask!r} is refused for an output of shape {output!r}")
    first = len(result) - len(mask)
    return tuple(first + axis for axis, size in enumerate(mask) if size != 1)


def acted_on(case: BroadcastCase) -> tuple[int, ...]:
    """The axes of the result along which the mask can differ, or ValueError where refused.

    Of a selection, the axes of the output that are told apart.
    """
    found = case.placed
    if found is None:
        raise ValueError(f"{case!r} is refused")
    return tuple(axis for axis in masked_axes(found.output, found.mask) if axis != found.repeated)


def result_dtype(
    way: Way, output: str, mask: str, *, keras: int = 3, symbols: bool = False
) -> str | None:
    """The dtype that comes out of operands of these dtypes, None where they are refused.

    `tf.math.multiply` wants one dtype, `tf.where` and `tf.boolean_mask` a condition that is
    bool. Operations of Keras 3 promote as `keras.backend.result_type` documents; those of
    Keras 2 do not; the operator on `symbols` is one of Keras. Layers cast the floats that they are
    given to their compute dtype, float32.
    """
    if way.dtypes == "condition":
        return output if mask == "bool" else None
    if way.dtypes == "layer":
        output = "float32"
    if (way.dtypes == "layer" or way.layered) and mask in DTYPES:
        mask = "float32"
    if (way.dtypes == "same" and not symbols) or keras == 2:
        return output if output == mask else None
    return max(output, mask, key=lambda dtype: _WIDTHS.get(dtype, 0))


_WIDTHS = {"float16": 16, "float32": 32, "float64": 64}  # what is no float is promoted to one


def misplaced(case: BroadcastCase) -> bool:
    """Whether the product is accepted silently though it is not what its user meant.

    That is: the mask acts on an axis that it was not meant for, or the product no longer
    has the output's shape (its rank has grown, or an axis of size 1 was stretched).
    """
    result = case.result
    if result is None:
        return False
    return (case.written.elementwise and result != case.output) or bool(case.astray)


# -- traits ----------------------------------------------------------------------------------

# The whole vocabulary, in the order in which reports show it.
TRAITS = (
    "accepted",
    "refused",
    "rank_grows",
    "stretched",
    "misplaced",
    "sizes_coincide",
    "sizes_differ",
    "alien_size",
    "all_ones_mask",
    "static",
    "unknown_shapes",
    *(f"output_rank={rank}" for rank in range(1, 5)),
    *(f"mask_rank={rank}" for rank in range(5)),
    *(f"dtype={dtype}" for dtype in DTYPES),
    *(f"mask_dtype={dtype}" for dtype in MASK_DTYPES),
    "dtypes_differ",
    "batches_differ",
    "taken_for_a_bias",
    *(f"way={way}" for way in WAYS),
    "symbolic",
    "of_a_model",
    *(f"model={name}" for name in MODELS),
)


def traits(case: BroadcastCase) -> frozenset[str]:
    """The named facts that hold of a case, whatever runs it.

    `sizes_coincide` and `sizes_differ` are about the output's sizes above 1: two of them
    are equal, or there are two and none are. `stretched` is an axis of the output of size
    1 that the mask makes longer; `batches_differ` is said of first axes.
    `alien_size` is a size of the mask, not 1, that the output has nowhere. `misplaced` is
    only said of masks that are meant for something.
    `taken_for_a_bias` is a mask with one size above 1 that is the size of the output's second or
    last axis, and lies at another, or has more axes than the output.
    """
    result = case.result
    wide = [size for size in case.output if size > 1]
    found = case.placed
    stretched = (
        result is not None
        and found is not None
        and case.written.elementwise
        and any(result[axis] != size for axis, size in zip(found.axes, case.output, strict=True))
    )
    named = {
        "accepted": result is not None,
        "refused": result is None,
        "rank_grows": (
            result is not None and case.written.elementwise and len(result) > len(case.output)
        ),
        "stretched": stretched,
        "misplaced": bool(case.intended) and misplaced(case),
        "sizes_coincide": len(set(wide)) < len(wide),
        "sizes_differ": len(wide) > 1 and len(set(wide)) == len(wide),
        "alien_size": not set(case.mask) <= {1, *case.output},
        "all_ones_mask": set(case.mask) <= {1},
        "static": case.static,
        "unknown_shapes": not case.static,
        f"output_rank={len(case.output)}": True,
        f"mask_rank={len(case.mask)}": True,
        f"dtype={case.dtype}": True,
        f"mask_dtype={case.operands[1]}": True,
        "dtypes_differ": case.operands[1] != case.dtype,
        "batches_differ": bool(case.mask) and case.output[:1] != case.mask[:1],
        "taken_for_a_bias": _taken_for_a_bias(case),
        f"way={case.way}": True,
        "symbolic": case.symbols,
        "of_a_model": bool(case.model),
        f"model={case.model}": bool(case.model),
    }
    return frozenset(name for name, holds in named.items() if holds)


def _taken_for_a_bias(case: BroadcastCase) -> bool:
    found = case.unchecked
    if found is None or len(found.output) < 2:
        return False
    wide = [axis for axis, size in enumerate(found.mask) if size > 1]
    if len(wide) != 1:
        return False
    size = found.mask[wide[0]]
    # The last axis is looked at first.
    taken = [
        axis - len(found.output)
        for axis in (1, -1 % len(found.output))
        if found.output[axis] == size
    ]
    if not taken:
        return False
    # Taken for a bias it lets no rank grow.
    return len(found.mask) > len(found.output) or taken[-1] != wide[0] - len(found.mask)


def facts(case: BroadcastCase, device: str, mode: str) -> frozenset[str]:
    """The traits of a case, with the execution that runs it: a device and a mode."""
    return traits(case) | {f"device={device}", f"mode={mode}"}
