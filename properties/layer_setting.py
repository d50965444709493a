"""The steps that the properties of layers share: arrays, masks, the layer and its calls."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from catalogue import weights as drawn_weights
from catalogue.cases import Content
from catalogue.expressions import Expression, Output, expression, literal
from catalogue.layer_cases import Given, LayerCase, LayerEntry, Tensor, TensorMask
from catalogue.layers import entry_of
from catalogue.specs import Spec
from catalogue.steps import Build, Call, Operand, Step, Through
from properties.comparisons import Tolerance, rounding_between
from properties.contents import content_source

__all__ = ["LayerSetting"]


class LayerSetting:
    """A case made into arrays, the layer and calls; steps gather in `steps`."""

    def __init__(self, case: LayerCase) -> None:
        self.case = case
        self.entry: LayerEntry = entry_of(case)
        missing = max(0, self.entry.least - len(case.tensors))
        self.tensors: tuple[Tensor, ...] = (*case.tensors, *case.tensors[-1:] * missing)
        self.steps: list[Step] = []
        self._built: set[str] = set()

    # -- arrays --------------------------------------------------------------------------

    def holding(self, place: int, content: Content | None = None) -> Expression:
        """A tensor with this content (or its own) at masked steps."""
        tensor = self.tensors[place]
        dtype = self.case.dtype
        content = tensor.content if content is None else content
        drawn, padding = (
            f"np.random.default_rng({tensor.seed}).uniform(-1, 1, {tensor.shape})"
            f".astype({dtype!r})",
            content_source(content, dtype=dtype, shape=tensor.shape, seed=tensor.seed + 100),
        )
        if self.entry.source is not None:
            drawn, own = self.entry.source(self.case, place, content)
            padding = own or padding
        values = expression(drawn, f"values{place}")
        if not tensor.masked or self.case.form == "absent" or tensor.valid.all():
            return values
        axes = "[..., *[None] * " + str(len(tensor.rest)) + "]" if tensor.rest else ""
        return expression(
            f"np.where(mask{axes}, values, {padding})",
            f"x{place}",
            mask=self.mask(place),
            values=values,
        )

    def mask(self, place: int) -> Expression:
        """The mask of a tensor, of shape (batch, step)."""
        return self._masks[place]

    @functools.cached_property
    def _masks(self) -> list[Expression]:
        return [literal(tensor.valid, f"mask{place}") for place, tensor in enumerate(self.tensors)]

    @property
    def compute_dtype(self) -> str:
        """The dtype that the layer computes in."""
        return self.case.policy.removeprefix("mixed_")

    # -- the layer and its calls ---------------------------------------------------------

    def again(self) -> str:
        """The layer made once more, so that what chance decides is the same, and its name."""
        first = next(one for one in self.steps if isinstance(one, Build) and one.name == "layer")
        self.steps.append(dataclasses.replace(first, name="layer_again"))
        return "layer_again"

    def call_elsewhere(self, layer: str) -> None:
        """Call a layer on other rows and steps, with masks or without."""
        before = LayerSetting(_elsewhere(self.case))
        before.call("before", layer=layer, mode="eager")
        self.steps += before.steps

    def layer(
        self,
        *,
        restored: bool = False,
        another: bool = False,
        fresh: bool = False,
        called: bool = False,
    ) -> str:
        """Build the layer (or one from its configuration, or another one) and give its name.

        One that is `fresh` has not been called in other cases. One that is `called` is built by a
        call on other rows and steps, as users build layers.
        """
        name = "restored" if restored else "another" if another else "layer"
        if name not in self._built:
            self._built.add(name)
            spec = self.case.spec.with_policy(self.case.policy)
            seed = self.case.weights if self.weight_shapes else None
            shape, together = self.input_shape, False
            if called:
                others = LayerSetting(_elsewhere(self.case)).tensors
                shapes = tuple(tensor.shape for tensor in others)
                shape = shapes[0] if len(shapes) == 1 else shapes
                together = len(shapes) > 1 and len(self.entry.parameters) < 2
            called = called or self._called_to_build
            build = Build(name, spec, shape, seed, called, restored, another, fresh, together)
            self.steps.append(build)
        return name

    @property
    def input_shape(self) -> Any:
        """The shape (or shapes) that the layer is built for, None for sizes that are not known."""
        shapes = tuple(
            tensor.shape if self.case.static else (*[None] * len(tensor.steps), *tensor.rest)
            for tensor in self.tensors
        )
        return shapes[0] if len(shapes) == 1 else shapes

    @property
    def _called_to_build(self) -> bool:
        # Layers whose tensors have names of their own are built by being called.
        return len(self.entry.parameters) > 1

    @functools.cached_property
    def weight_shapes(self) -> list[tuple[int, ...]]:
        """The shapes of the layer's trainable weights."""
        return self.entry.weights(self.case.spec, self.entry.shapes(self.case))

    def call(
        self,
        name: str,
        *,
        layer: str | None = None,
        content: Content | None = None,
        at: str = "",
        form: TensorMask | None = None,
        masks: Callable[[int], Expression] | None = None,
        travelling: Callable[[int], Expression] | None = None,
        **options: Any,
    ) -> Call:
        """A call by the case's form, with this content (or the case's own) at masked steps.

        `at` takes some rows only, such as `:0`; `form` is another way for masks to reach the
        layer. Instead of the case's own, `masks` are given explicitly and `travelling` ones
        travel, by the places of the tensors: with each of them where one list gives all masks,
        those that are None too. `options` are those of the step.
        """
        case, entry = self.case, self.entry
        form = form or case.form

        def some(array: Expression) -> Expression:
            return expression(f"x[{at}]", x=array) if at else array

        tensors: list[Operand] = []
        for place, tensor in enumerate(self.tensors):
            given = some(self.holding(place, content))
            carries = tensor.masked and form == "travelling"
            if travelling is not None:
                carries = tensor.masked or not entry.parameters
            if carries:
                carried = self.mask(place) if travelling is None else travelling(place)
                tensors.append(Through(self._maker(), (given, some(self._with_ones(carried)))))
            else:
                tensors.append(given)
        kwargs: dict[str, Operand] = {
            name: _each(self._listed[name], some) if value and name in entry.operands else value
            for name, value in case.arguments.items()
        }
        if form == "explicit":
            kwargs |= self._explicit(lambda place: some((masks or self.given_mask)(place)))
        if case.element is not None:
            assert case.elements is not None
            if case.shared:
                kwargs[entry.element] = literal(case.elements[0], "elements")
            else:
                kwargs[entry.element] = some(literal(case.elements, "elements"))
        if case.training is not None:
            kwargs["training"] = case.training
        args: tuple[Operand, ...]
        if entry.parameters and case.keywords:
            args = ()
            kwargs = dict(zip(entry.parameters, tensors, strict=False)) | kwargs
        elif entry.parameters:
            args = tuple(tensors)
        else:
            args = (tensors[0] if len(tensors) == 1 else tensors,)
        call = Call(name, layer or self.layer(), args, kwargs, entry.outputs(case), **options)
        self.steps.append(call)
        return call

    @functools.cached_property
    def _listed(self) -> dict[str, list[Operand]]:
        """The arrays of keyword arguments that are lists of them, nested as they are given."""

        def made(sources: list[Any], name: str) -> list[Operand]:
            return [
                made(one, f"{name}{k}") if isinstance(one, list) else expression(one, f"{name}{k}")
                for k, one in enumerate(sources)
            ]

        return {name: made(of(self.case), name) for name, of in self.entry.operands.items()}

    def _explicit(self, given: Callable[[int], Expression]) -> dict[str, Operand]:
        """The arguments that give the masks."""
        entry = self.entry
        masks: list[Operand] = [
            given(place) if tensor.masked else None for place, tensor in enumerate(self.tensors)
        ]
        if entry.masks is not None:
            while len(masks) > entry.masks and masks[-1] is None:
                masks.pop()
        if not entry.parameters:
            return {"mask": masks[0] if len(masks) == 1 else masks}
        pairs = zip(entry.parameters, masks, strict=False)
        return {f"{name}_mask": mask for name, mask in pairs if mask is not None}

    def given_mask(self, place: int) -> Expression:
        """The mask of a tensor as it is given explicitly."""
        mask, dtype = self._with_ones(self.mask(place)), self.case.mask_dtype
        return mask if dtype == "bool" else expression(f"mask.astype({dtype!r})", mask=mask)

    def _with_ones(self, mask: Expression) -> Expression:
        """A mask with the axes of size 1 that the entry asks for."""
        axes = "".join([", None"] * self.entry.ones)
        return expression(f"mask[...{axes}]", "spread", mask=mask) if axes else mask

    def _maker(self) -> str:
        if "travelling" not in self._built:
            self._built.add("travelling")
            rest = self.case.tensors[0].rest
            spec = Spec("Travelling").with_policy(self.case.dtype)
            self.steps.append(Build("travelling", spec, (None, None, *rest)))
        return "travelling"

    # -- what comes out ------------------------------------------------------------------

    @functools.cached_property
    def passed(self) -> np.ndarray | None:
        """The mask that the output carries by the layer's contract."""
        return self.entry.passage(self.case)

    def positions(self, place: int = 0) -> np.ndarray | None:
        """What is valid of an output, as an array that broadcasts to it; None where all is."""
        if self.entry.positions is not None:
            return self.entry.positions(self.case)[place]
        return self.passed if place == 0 else None

    def at_valid(self, call: str, place: int = 0) -> Expression | Output:
        """An output of a call where it is valid; all of it, where nothing says what is not."""
        valid = self.positions(place)
        if valid is None:
            return Output(call, place)
        y = Output(call, place)
        if self.entry.positions is None:
            return expression("y[valid]", y=y, valid=literal(valid, "valid"))
        hint = f"valid{place or ''}"
        return expression("y[np.broadcast_to(valid, y.shape)]", y=y, valid=literal(valid, hint))

    @property
    def names(self) -> list[str]:
        """What the outputs are called in comparisons."""
        return ["output", *(f"output {k}" for k in range(1, self.entry.outputs(self.case)))]

    def expected(
        self, reference: Callable[[Given], Any] | None = None
    ) -> tuple[list[np.ndarray] | None, Tolerance]:
        """The reference in float64, an array for each output, and what its own rounding allows.

        Another reference than the entry's is of another call of the same layer.
        """
        inputs = [self.holding(place).value() for place in range(len(self.case.tensors))]
        reference = reference or self.entry.reference
        assert reference is not None

        def compute(dtype: str) -> list[np.ndarray] | None:
            output = reference(self.given(inputs, self.case.masks, dtype))
            return output if output is None or isinstance(output, list) else [output]

        return self.rounded(compute)

    def rounded(
        self, compute: Callable[[str], list[np.ndarray] | None]
    ) -> tuple[list[np.ndarray] | None, Tolerance]:
        """What a computation gives in float64, and what rounding in the layer's dtype allows.

        NaN, of which nothing is said, stands where the layer's dtype is too small for it.
        """
        with np.errstate(all="ignore"):
            exact = compute("float64")
            if exact is None:
                return None, self.tolerance
            rounded = compute(self.compute_dtype)
            assert rounded is not None
            rounding = 0.0
            for place, (one, other) in enumerate(zip(rounded, list(exact), strict=True)):
                overflown = np.isfinite(other) & ~np.isfinite(one)
                if overflown.any():
                    exact[place] = np.where(overflown, np.nan, other)
                rounding = max(rounding, rounding_between(one, other))
        return exact, Tolerance(self._terms, self._epsilon, np.asarray(rounding))

    def given(
        self,
        inputs: list[np.ndarray],
        masks: list[np.ndarray | None],
        dtype: str,
        case: LayerCase | None = None,
    ) -> Given:
        """What a reference is given: arrays, cast as the layer casts them, in one dtype."""
        drawn = drawn_weights.drawn(self.case.weights, self.weight_shapes)
        cast = self.compute_dtype  # inputs are cast to it before anything is computed
        with np.errstate(all="ignore"):
            floats = inputs
            if self.entry.autocast:
                floats = [
                    x.astype(cast).astype(dtype) if x.dtype.kind == "f" else x for x in inputs
                ]
            weights = [weight.astype(cast).astype(dtype) for weight in drawn]
        return Given(case or self.case, floats, masks, weights)

    @property
    def tolerance(self) -> Tolerance:
        """How far two healthy runs of the layer may lie apart."""
        return Tolerance(self._terms, self._epsilon)

    @property
    def _epsilon(self) -> float:
        # Kernels take constants (slopes, limits, small additions) as float32 whatever the dtype.
        kernels = np.finfo("float32").eps
        return float(max(kernels, np.finfo(self.compute_dtype).eps))

    @property
    def _terms(self) -> int:
        sizes = [sum(_sizes(tensor)) for tensor in self.case.tensors]
        return 16 + 2 * max(sizes)


def _elsewhere(case: LayerCase) -> LayerCase:
    """The same call on other values, on more rows or on two, and on twice as many steps.

    With masks where the case has none, or maybe without. Sizes that are known stay. What may be
    asked of the call (scores, a causal mask) is asked the other way round.
    """
    more, without = case.weights % 2, case.weights // 2 % 2
    entry = entry_of(case)
    asked = {
        name: True
        for name, values in entry.call_domains.items()
        if name not in case.arguments or values == (True,)
    }

    def other(tensor: Tensor) -> Tensor:
        rows = tensor.mask[::-1]
        if not case.static:
            few = rows[:2] if len(rows) > 2 else rows * 2
            rows = tuple(2 * row for row in ((*rows, rows[0]) if more else few))
        return msgspec.structs.replace(tensor, mask=rows, seed=tensor.seed + 7)

    form: TensorMask = case.form
    if form == "absent":
        form = "explicit" if entry.explicit else "travelling"
    elif without and form != "made":
        form = "absent"
    tensors = tuple(map(other, case.tensors))
    # Beside other masks an axis of heads is a matter of its own, and would hide this one.
    return msgspec.structs.replace(case, tensors=tensors, form=form, arguments=asked, heads=0)


def _each(operands: list[Operand], change: Callable[[Expression], Expression]) -> list[Operand]:
    """Nested lists of arrays, each changed."""
    found: list[Operand] = []
    for one in operands:
        assert isinstance(one, list | Expression)
        found.append(_each(one, change) if isinstance(one, list) else change(one))
    return found


def _sizes(tensor: Tensor) -> tuple[int, ...]:
    return tensor.shape
