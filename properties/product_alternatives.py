"""What ways to multiply are known to do instead of what they should."""

from __future__ import annotations

from catalogue.broadcasting import BroadcastCase
from catalogue.expressions import Expression, Output, expression
from catalogue.refusals import refusal
from catalogue.ways import broadcast_shape, placed, reference
from properties.broadcasting import PRODUCT, drawn, multiplied
from properties.comparisons import Agrees, Plan, Raises

__all__ = [
    "added_as_a_bias",
    "batches_stretched",
    "selected_in_row_major_order",
    "truths_of_whole_numbers",
]


def truths_of_whole_numbers(case: BroadcastCase) -> Plan:
    """Both operands are cast to whole numbers, and the product to truth values."""
    found = case.placed
    if found is None or broadcast_shape(found.output, found.mask) is None:
        return _refused(case)
    whole = (f"np.asarray({side}, 'int32')" for side in ("output", "mask"))
    return _gives(case, reference(case.written, case.output, case.mask), *whole, dtype="bool")


def added_as_a_bias(case: BroadcastCase) -> Plan:
    """The mask is added along the last axis where it is of that size, else along the second."""
    found = case.unchecked
    if found is None:
        return _refused(case)
    size, rank = max(found.mask), len(found.output)
    axis = rank - 1 if found.output[-1] == size else 1
    bias = tuple(size if place == axis else 1 for place in range(rank))
    return _gives(
        case,
        case.written.reference,
        f"output.reshape({found.output!r})",
        f"mask.reshape({bias!r})",
        dtype=case.result_dtype,
    )


def batches_stretched(case: BroadcastCase) -> Plan:
    """Batches of different sizes are broadcast as NumPy broadcasts them."""
    found = placed(case.written, case.output, (*case.output[:1], *case.mask[1:]))
    if found is None:
        return _refused(case)
    mask = (*case.mask[:1], *found.mask[1:])
    if broadcast_shape(found.output, mask) is None:
        return _refused(case)
    return _gives(
        case,
        case.written.reference,
        f"output.reshape({found.output!r})",
        f"mask.reshape({mask!r})",
        dtype=case.result_dtype,
    )


def selected_in_row_major_order(case: BroadcastCase) -> Plan:
    """The mask's places are counted through the axes that it has, whatever their sizes."""
    rest = case.output[len(case.mask) :]
    return _gives(
        case,
        f"output.reshape((-1, *{rest!r}))[np.flatnonzero(mask)]",
        "output",
        "mask",
        dtype=case.result_dtype,
    )


def _gives(case: BroadcastCase, source: str, output: str, mask: str, *, dtype: str | None) -> Plan:
    """The product is what `source` gives of both operands, each written as a text over itself."""
    step = multiplied(case, drawn(case, 1))
    product = Output(PRODUCT)
    left: Expression | Output = Output(PRODUCT, 1) if case.model else step.left
    cast = "" if case.written.dtypes == "condition" or dtype == "bool" else f".astype({dtype!r})"
    expected = expression(
        f"np.asarray({source}).astype({dtype!r})",
        output=expression(f"{output}{cast}", output=left),
        mask=expression(f"{mask}{cast}", mask=step.right),
    )
    named = expression("np.array([product.dtype.name == name])", product=product, name=_name(dtype))
    true = expression("np.array([True])")
    return Plan((step,), (Agrees("values", product, expected), Agrees("dtype", named, true)))


def _name(dtype: str | None) -> Expression:
    return expression(repr(dtype))


def _refused(case: BroadcastCase) -> Plan:
    step = multiplied(case, drawn(case, 1))
    return Plan((step,), (Raises("refused", PRODUCT, refusal(case.mode, case.static).exceptions),))
