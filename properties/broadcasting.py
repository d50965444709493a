"""What must hold of `output * mask`: what is refused, what comes out, what is then masked."""

from __future__ import annotations

import numpy as np

from catalogue.broadcasting import (
    DTYPES,
    BroadcastCase,
    Shape,
    acted_on,
    misplaced,
)
from catalogue.expressions import Expression, Output, expression, literal
from catalogue.multiplied import recurrent_output
from catalogue.refusals import refused_how
from catalogue.steps import Multiply
from catalogue.ways import WAYS, reference
from properties.comparisons import Agrees, Comparison, Level, Plan, Raises, Runs
from properties.registry import declare

__all__ = [
    "PRODUCT",
    "drawn",
    "intended_axes",
    "multiplied",
    "product_dtype",
    "product_outcome",
    "product_values",
]

_ARTICLE = "batch_wide_mask_broadcast.txt"
_TENSORFLOW = (
    "https://www.tensorflow.org/guide/tensor (Broadcasting); "
    "https://www.tensorflow.org/api_docs/python/tf/math/multiply"
)
PRODUCT = "product"


@declare(
    family="broadcasting",
    source=f"{_ARTICLE}, `Here the mask_incorrect tensor has the shape`; {_TENSORFLOW}",
)
def product_outcome(case: BroadcastCase) -> Plan:
    """`output * mask`, in each way to write it, is refused exactly where the documented rule for
    shapes and dtypes refuses it, with the exception class that is raised at that moment.

    The rules are NumPy's for operators and functions, those of merging layers and of
    `tf.boolean_mask` their own: `catalogue.ways.placed`. The moment and the class depend on the
    mode and on whether shapes are known when the graph is traced, or symbolic tensors are
    multiplied: `catalogue.refusals.refused_how` is the table.
    """
    return Plan((multiplied(case, drawn(case, 1)),), (_outcome(case, "must"),))


@declare(
    family="broadcasting",
    source=f"{_ARTICLE}, `In summary, the problem is not that Keras won't`; {_TENSORFLOW}",
    applies=lambda case: case.result is not None,
)
def product_values(case: BroadcastCase) -> Plan:
    """Where `output * mask` is accepted, in each way to write it, the result has NumPy's shape and
    values, and the dtype that the way documents.

    Exactly: one operation is rounded once, the same way everywhere, in float16 too. The output
    of a model is taken as the model gives it.
    """
    mask = drawn(case, 1)
    step = multiplied(case, mask)
    product = Output(PRODUCT)
    output = Output(PRODUCT, 1) if case.model else step.left
    dtype = case.result_dtype
    alike = {
        "output": expression(f"output.astype({dtype!r})", output=output),
        "mask": mask
        if case.written.dtypes == "condition"
        else expression(f"mask.astype({dtype!r})", mask=mask),
    }
    expected = expression(reference(case.written, case.output, case.mask), "expected", **alike)
    return Plan(
        (step,),
        (
            Agrees("values", product, expected),
            Agrees("dtype", _dtype_of(product), _dtype_of(expected)),
        ),
    )


@declare(
    family="broadcasting",
    level="hazard",
    source="https://keras.io/api/layers/base_layer/ (dtype); keras.backend.result_type",
    applies=lambda case: case.result is not None,
)
def product_dtype(case: BroadcastCase) -> Plan:
    """A mask that is accepted silently gives another dtype than the output's exactly where an
    operation of Keras 3 promotes to the mask's wider float, or a merging layer is given an output
    that is not float32.

    The smallest case: a float16 output of shape (1,) and a float32 mask of shape (1,). Cast the
    mask to the output's dtype, and give layers their `dtype`.
    """
    changed = expression(
        f"np.array([product.dtype.name != {case.dtype!r}])", "changed", product=Output(PRODUCT)
    )
    expected = literal(np.array([case.result_dtype != case.dtype]))
    return Plan(
        (multiplied(case, drawn(case, 1)),),
        (Agrees("changed", changed, expected, level="hazard"),),
    )


@declare(
    family="broadcasting",
    level="hazard",
    source=f"{_ARTICLE}, `Specifically, if the model output has a shape`; {_TENSORFLOW}",
    applies=lambda case: bool(case.intended) and not case.model,
    share=2,  # all that is small is for when there is time
    of=lambda way: WAYS[way].elementwise,
)
def intended_axes(case: BroadcastCase) -> Plan:
    """A mask that is accepted silently acts on an axis that it was not meant for, or makes
    the product larger than the output, exactly when, aligned as the way to multiply aligns it,
    it has more axes than the output, or a size above 1 at an axis that it was not meant for or
    that is 1 in the output.

    For an output of shape (batch, step, features) = (B, T, F) and masks that are aligned at the
    last axes that means:

    - (B, T, 1) meant for (batch, step) and (B, 1, 1) meant for (batch): never;
    - (B, T) meant for (batch, step): where it is accepted and B or T is above 1. With all
      sizes above 1 that is B == T == F, and the mask acts on (step, features);
    - (B, 1) meant for (batch): where B is above 1 and T is B (it acts on step) or 1 (step
      is stretched to B);
    - (B,) meant for (batch): where B is above 1 and F is B (it acts on features) or 1
      (features are stretched to B).

    Merging layers align the batch, and the other axes at the last one. What the mask acts on is
    read off the product of ones with a mask of values that differ along every axis.
    The witness is `catalogue.broadcasting.WITNESS`.
    """
    same = expression(f"np.{_same(case)}({case.output!r}, {case.dtype!r})", "output")
    step = multiplied(case, _distinct(case), same)
    if case.result is None:
        return Plan((step,), (_outcome(case, "hazard"),))
    product = Output(PRODUCT)
    varies = expression(
        "np.array([bool((p != p.take([0], axis)).any()) for axis in range(p.ndim)])",
        "varies",
        p=product,
    )
    meant = () if case.placed is None else tuple(case.placed.axes[k] for k in case.intended)
    astray = expression(
        f"np.array([p.shape != {case.output!r} or bool("
        f"(p != p[tuple(slice(None) if axis in {meant!r} else slice(1) "
        "for axis in range(p.ndim))]).any())])",
        "astray",
        p=product,
    )
    acts = [axis in acted_on(case) for axis in range(len(case.result))]
    return Plan(
        (step,),
        (
            Agrees("shape", _shape_of(product), literal(np.array(case.result)), level="hazard"),
            Agrees("axes", varies, literal(np.array(acts)), level="hazard"),
            Agrees("astray", astray, literal(np.array([misplaced(case)])), level="hazard"),
        ),
    )


# -- what the plans are made of --------------------------------------------------------------


def multiplied(case: BroadcastCase, mask: Expression, output: Expression | None = None) -> Multiply:
    """The step that multiplies; the output is drawn, or a model's of inputs that are drawn."""
    made = None
    if case.model:
        made = recurrent_output(case.model, case.output, case.dtype, case.seed)
        source = f"np.random.default_rng([{case.seed}, 0]).uniform(-1, 1, {made.inputs!r})"
        output = expression(f"np.asarray({source}, {case.dtype!r})", "sequences")
    return Multiply(
        PRODUCT,
        output or drawn(case, 0),
        mask,
        static=case.static,
        mode=case.mode,
        way=case.way,
        symbolic=case.symbolic,
        model=made,
    )


def _same(case: BroadcastCase) -> str:
    # What the least of two keeps of the mask, and what the others do.
    return "zeros" if case.way == "keras.layers.Maximum" else "ones"


def _distinct(case: BroadcastCase) -> Expression:
    """A mask that differs along each of its axes; of numbers, everywhere."""
    dtype = case.operands[1]
    if dtype == "bool":
        return expression(f"np.indices({case.mask!r}).sum(0) % 2 == 0", "mask")
    count = int(np.prod(case.mask))
    text = f"np.arange(1, {count + 1}).reshape({case.mask!r}).astype({dtype!r})"
    if case.way == "keras.layers.Minimum":  # what lies above the output is not seen
        text = f"-{text}"
    return expression(text, "mask")


def _outcome(case: BroadcastCase, level: Level) -> Comparison:
    if case.result is not None:
        return Runs("accepted", PRODUCT, level=level)
    refused = refused_how(case)
    return Raises("refused", PRODUCT, refused.exceptions, level, refused.moment)


def drawn(case: BroadcastCase, which: int) -> Expression:
    """The output (0) or the mask (1) of a case, of its shape and dtype."""
    shape: Shape = (case.output, case.mask)[which]
    dtype = case.operands[which]
    rng = f"np.random.default_rng([{case.seed}, {which}])"
    if dtype == "bool":
        source = f"np.asarray({rng}.uniform(size={shape!r}) < 0.5)"
    elif dtype not in DTYPES:
        source = f"np.asarray({rng}.integers(0, 3, {shape!r}), {dtype!r})"
    else:  # far from zero and from the largest: no dtype loses anything but the last bit
        source = f"np.asarray({rng}.uniform(0.5, 2, {shape!r}), {dtype!r})"
    return expression(source, ("output", "mask")[which])


def _dtype_of(side: Expression | Output) -> Expression:
    return expression("np.array([x.dtype.name], object)", "dtype", x=side)


def _shape_of(side: Expression | Output) -> Expression:
    return expression("np.array(x.shape)", "shape", x=side)
