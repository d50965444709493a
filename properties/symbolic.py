"""What a call on symbolic tensors says, beside what one on others gives."""

from __future__ import annotations

from catalogue.expressions import Expression, Output, expression

__all__ = ["HDF5", "masks_there", "shapes"]

HDF5 = "keras.saving.load_model ('supports V3 .keras files and legacy H5 format files')"
"""Where it is said that a model may be saved in a file of the legacy format."""


def shapes(index: int, said: str = "symbolic", call: str = "y") -> tuple[Expression, Expression]:
    """The shape that a symbolic call says of an output, sizes filled in that it leaves open, and
    the shape that there is."""
    y = Output(call, index)
    filled = expression(
        "tuple(b if a is None else a for a, b in zip(said, y.shape)) if len(said) == y.ndim "
        "else said",
        said=Output(said, index),
        y=y,
    )
    return filled, expression("y.shape", y=y)


def masks_there(
    index: int = 0, said: str = "symbolic", call: str = "y"
) -> tuple[Expression, Expression]:
    """Whether a symbolic call says that an output carries a mask, and whether it does."""
    there, real = (
        expression("mask is not None", mask=Output(f"{name}.mask", index)) for name in (said, call)
    )
    return there, real
