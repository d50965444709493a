"""What `output * mask` gives: broadcasting by NumPy's rules, and what TensorFlow refuses."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

__all__ = [
    "DTYPES",
    "LAYERS",
    "TRAITS",
    "WITNESS",
    "BroadcastCase",
    "Dtype",
    "Mode",
    "Refusal",
    "Shape",
    "broadcast_shape",
    "facts",
    "masked_axes",
    "misplaced",
    "refusal",
    "traits",
]

Shape = tuple[int, ...]
Mode = Literal["eager", "graph", "xla"]
Dtype = Literal["float32", "float64", "float16"]
DTYPES: tuple[Dtype, ...] = ("float32", "float64", "float16")

# The ways to multiply, as cells name them.
LAYERS = ("multiply",)


class BroadcastCase(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    repr_omit_defaults=True,
    omit_defaults=True,
):
    """The shapes of a model's output and of a float mask that it is multiplied by.

    `output` and `mask` are shapes with sizes of at least 1; a mask of shape `()` is a
    scalar. `intended` are the axes of the output that the mask is meant to tell apart:
    `(0, 1)` for batch and step, `(0,)` for batch, `()` where nobody says. `static` says
    whether the shapes are known when a graph is traced (else only the ranks are; eagerly
    it says nothing), `mode` how the product is run. `seed` is what the values come from.
    Raises ValueError for sizes below 1 and for axes that the output does not have.
    """

    output: Shape
    mask: Shape
    intended: tuple[int, ...] = ()
    static: bool = True
    seed: int = 0
    dtype: Dtype = "float32"
    mode: Mode = "graph"

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

    @property
    def result(self) -> Shape | None:
        """The shape of the product, None where it is refused."""
        return broadcast_shape(self.output, self.mask)

    @property
    def astray(self) -> tuple[int, ...]:
        """The axes of the product that the mask acts on without being meant to."""
        grown = max(0, len(self.mask) - len(self.output))
        meant = {axis + grown for axis in self.intended}
        return tuple(axis for axis in masked_axes(self.output, self.mask) if axis not in meant)


# The smallest case in which a mask that is meant for (batch, step) is accepted and no size
# of which is 1: it acts on (step, features).
WITNESS = BroadcastCase(output=(2, 2, 2), mask=(2, 2), intended=(0, 1))


# -- the oracle ------------------------------------------------------------------------------


def broadcast_shape(left: Shape, right: Shape) -> Shape | None:
    """The shape of an elementwise product by NumPy's rules, None where they refuse it.

    Shapes are aligned at their last axes; where one has no axis, or one of size 1, it is
    stretched to the other's size; any other two sizes must be equal.
    """
    sizes: list[int] = []
    for axis in range(-1, -max(len(left), len(right)) - 1, -1):
        one = left[axis] if -axis <= len(left) else 1
        other = right[axis] if -axis <= len(right) else 1
        if one != other and 1 not in (one, other):
            return None
        sizes.insert(0, other if one == 1 else one)
    return tuple(sizes)


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


class Refusal(NamedTuple):
    """When a product that does not fit is refused, and the classes of exceptions that say so."""

    moment: Literal["tracing", "run"]
    exceptions: tuple[str, ...]


_AT_RUN = Refusal("run", ("InvalidArgumentError",))
_AT_TRACING = Refusal("tracing", ("ValueError",))

# By mode and whether shapes are known when traced. `tf.math.multiply` documents an
# InvalidArgumentError for incompatible shapes; that tracing, which runs nothing, says
# ValueError is measured (TensorFlow 2.15 and 2.21 agree, XLA too).
_REFUSALS: dict[tuple[str, bool], Refusal] = {
    ("eager", True): _AT_RUN,
    ("eager", False): _AT_RUN,
    ("graph", True): _AT_TRACING,
    ("graph", False): _AT_RUN,
    ("xla", True): _AT_TRACING,
    ("xla", False): _AT_RUN,
}


def refusal(mode: str, static: bool) -> Refusal:
    """How TensorFlow refuses `*` where NumPy does; ValueError for an unknown mode."""
    if (mode, static) not in _REFUSALS:
        raise ValueError(f"unknown mode {mode!r}: choose eager, graph or xla")
    return _REFUSALS[mode, static]


def misplaced(case: BroadcastCase) -> bool:
    """Whether the product is accepted silently though it is not what its user meant.

    That is: the mask acts on an axis that it was not meant for, or the product no longer
    has the output's shape (its rank has grown, or an axis of size 1 was stretched).
    """
    result = case.result
    return result is not None and (result != case.output or bool(case.astray))


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
)


def traits(case: BroadcastCase) -> frozenset[str]:
    """The named facts that hold of a case, whatever runs it.

    `sizes_coincide` and `sizes_differ` are about the output's sizes above 1: two of them
    are equal, or there are two and none are. `stretched` is an axis of the output of size
    1 that the mask makes longer. `alien_size` is a size of the mask, not 1, that the
    output has nowhere. `misplaced` is only said of masks that are meant for something.
    """
    result = case.result
    wide = [size for size in case.output if size > 1]
    stretched = result is not None and result[len(result) - len(case.output) :] != case.output
    named = {
        "accepted": result is not None,
        "refused": result is None,
        "rank_grows": result is not None and len(result) > len(case.output),
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
    }
    return frozenset(name for name, holds in named.items() if holds)


def facts(case: BroadcastCase, device: str, mode: str) -> frozenset[str]:
    """The traits of a case, with the execution that runs it: a device and a mode."""
    return traits(case) | {f"device={device}", f"mode={mode}"}
