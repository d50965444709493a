"""What must hold of `output * mask`: what is refused, what comes out, what is then masked."""

from __future__ import annotations

import numpy as np

from catalogue.broadcasting import BroadcastCase, Shape, masked_axes, misplaced, refusal
from catalogue.expressions import Expression, Output, expression, literal
from catalogue.steps import Multiply
from properties.comparisons import Agrees, Comparison, Level, Plan, Raises, Runs
from properties.registry import declare

__all__ = ["intended_axes", "product_outcome", "product_values"]

_ARTICLE = "batch_wide_mask_broadcast.txt"
_TENSORFLOW = (
    "https://www.tensorflow.org/guide/tensor (Broadcasting); "
    "https://www.tensorflow.org/api_docs/python/tf/math/multiply"
)
_PRODUCT = "product"


@declare(
    family="broadcasting",
    source=f"{_ARTICLE}, `Here the mask_incorrect tensor has the shape`; {_TENSORFLOW}",
)
def product_outcome(case: BroadcastCase) -> Plan:
    """For float tensors `output * mask` is refused exactly where NumPy's rules refuse it,
    with the exception class that TensorFlow raises at that moment.

    The moment and the class depend on the case's mode and on whether shapes are known
    when the graph is traced: `catalogue.broadcasting.refusal` is the table.
    """
    return Plan((_multiplied(case, _drawn(case, 0), _drawn(case, 1)),), (_outcome(case, "must"),))


@declare(
    family="broadcasting",
    source=f"{_ARTICLE}, `In summary, the problem is not that Keras won't`; {_TENSORFLOW}",
    applies=lambda case: case.result is not None,
)
def product_values(case: BroadcastCase) -> Plan:
    """Where NumPy accepts `output * mask`, the product has NumPy's shape, dtype and values.

    Exactly: one multiplication is rounded once, the same way everywhere, in float16 too.
    """
    output, mask = _drawn(case, 0), _drawn(case, 1)
    product = Output(_PRODUCT)
    expected = expression("output * mask", "expected", output=output, mask=mask)
    return Plan(
        (_multiplied(case, output, mask),),
        (
            Agrees("values", product, expected),
            Agrees("dtype", _dtype_of(product), _dtype_of(expected)),
        ),
    )


@declare(
    family="broadcasting",
    level="hazard",
    source=f"{_ARTICLE}, `Specifically, if the model output has a shape`; {_TENSORFLOW}",
    applies=lambda case: bool(case.intended),
)
def intended_axes(case: BroadcastCase) -> Plan:
    """A mask that is accepted silently acts on an axis that it was not meant for, or makes
    the product larger than the output, exactly when, aligned at the last axes, it has more
    axes than the output, or a size above 1 at an axis that it was not meant for or that is
    1 in the output.

    For an output of shape (batch, step, features) = (B, T, F) that means:

    - (B, T, 1) meant for (batch, step) and (B, 1, 1) meant for (batch): never;
    - (B, T) meant for (batch, step): where it is accepted and B or T is above 1. With all
      sizes above 1 that is B == T == F, and the mask acts on (step, features);
    - (B, 1) meant for (batch): where B is above 1 and T is B (it acts on step) or 1 (step
      is stretched to B);
    - (B,) meant for (batch): where B is above 1 and F is B (it acts on features) or 1
      (features are stretched to B).

    What the mask acts on is read off the product of ones with a mask of values that are
    all different. The witness is `catalogue.broadcasting.WITNESS`.
    """
    ones = expression(f"np.ones({case.output!r}, {case.dtype!r})", "output")
    count = int(np.prod(case.mask))
    distinct = expression(
        f"np.arange(1, {count + 1}).reshape({case.mask!r}).astype({case.dtype!r})", "mask"
    )
    step = _multiplied(case, ones, distinct)
    if case.result is None:
        return Plan((step,), (_outcome(case, "hazard"),))
    product = Output(_PRODUCT)
    varies = expression(
        "np.array([bool((p != p.take([0], axis)).any()) for axis in range(p.ndim)])",
        "varies",
        p=product,
    )
    astray = expression(
        f"np.array([p.shape != {case.output!r} or bool("
        f"(p != p[tuple(slice(None) if axis in {case.intended!r} else slice(1) "
        "for axis in range(p.ndim))]).any())])",
        "astray",
        p=product,
    )
    acts = [axis in masked_axes(case.output, case.mask) for axis in range(len(case.result))]
    return Plan(
        (step,),
        (
            Agrees("shape", _shape_of(product), literal(np.array(case.result)), level="hazard"),
            Agrees("axes", varies, literal(np.array(acts)), level="hazard"),
            Agrees("astray", astray, literal(np.array([misplaced(case)])), level="hazard"),
        ),
    )


# -- what the plans are made of --------------------------------------------------------------


def _multiplied(case: BroadcastCase, output: Expression, mask: Expression) -> Multiply:
    return Multiply(_PRODUCT, output, mask, static=case.static, mode=case.mode)


def _outcome(case: BroadcastCase, level: Level) -> Comparison:
    if case.result is not None:
        return Runs("accepted", _PRODUCT, level=level)
    return Raises("refused", _PRODUCT, refusal(case.mode, case.static).exceptions, level=level)


def _drawn(case: BroadcastCase, which: int) -> Expression:
    # Far from zero and from the largest: no dtype loses anything but the last bit.
    shape: Shape = (case.output, case.mask)[which]
    source = (
        f"np.asarray(np.random.default_rng([{case.seed}, {which}])"
        f".uniform(0.5, 2, {shape!r}), {case.dtype!r})"
    )
    return expression(source, ("output", "mask")[which])


def _dtype_of(side: Expression | Output) -> Expression:
    return expression("np.array([x.dtype.name], object)", "dtype", x=side)


def _shape_of(side: Expression | Output) -> Expression:
    return expression("np.array(x.shape)", "shape", x=side)
