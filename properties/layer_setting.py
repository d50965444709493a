"""The steps that the properties of layers share: arrays, masks, the layer and its calls."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from catalogue import weights as drawn_weights
from catalogue.cases import Content
from catalogue.expressions import Expression, Output, expression, literal
from catalogue.layer_cases import Given, LayerCase, LayerEntry, Tensor
from catalogue.layers import entry_of
from catalogue.specs import Spec
from catalogue.steps import Build, Call, Operand, Step, Through
from properties.comparisons import Tolerance
from properties.contents import content_source

__all__ = ["LayerSetting"]


class LayerSetting:
    """A case made into arrays, the layer and calls; steps gather in `steps`."""

    def __init__(self, case: LayerCase) -> None:
        self.case = case
        self.entry: LayerEntry = entry_of(case)
        self.steps: list[Step] = []
        self._built: set[str] = set()

    # -- arrays --------------------------------------------------------------------------

    def holding(self, place: int, content: Content | None = None) -> Expression:
        """A tensor with this content (or its own) at masked steps."""
        tensor = self.case.tensors[place]
        dtype = self.case.dtype
        content = tensor.content if content is None else content
        drawn, padding = (
            f"np.random.default_rng({tensor.seed}).uniform(-1, 1, {tensor.shape})"
            f".astype({dtype!r})",
            content_source(content, dtype=dtype, shape=tensor.shape, seed=tensor.seed + 100),
        )
        if self.entry.source is not None:
            drawn, padding = self.entry.source(self.case, place, content)
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
        return [
            literal(tensor.valid, f"mask{place}") for place, tensor in enumerate(self.case.tensors)
        ]

    @property
    def compute_dtype(self) -> str:
        """The dtype that the layer computes in."""
        return self.case.policy.removeprefix("mixed_")

    # -- the layer and its calls ---------------------------------------------------------

    def layer(self) -> str:
        """Build the layer and give its name."""
        if "layer" not in self._built:
            self._built.add("layer")
            spec = self.case.spec.with_policy(self.case.policy)
            seed = self.case.weights if self.weight_shapes else None
            self.steps.append(Build("layer", spec, self.input_shape, seed, self._called_to_build))
        return "layer"

    @property
    def input_shape(self) -> Any:
        """The shape (or shapes) that the layer is built for, None for sizes that are not known."""
        shapes = tuple(
            tensor.shape if self.case.static else (*[None] * len(tensor.steps), *tensor.rest)
            for tensor in self.case.tensors
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

    def call(self, name: str, *, content: Content | None = None, mode: str | None = None) -> Call:
        """A call by the case's form, with this content (or the case's own) at masked steps."""
        case, entry = self.case, self.entry
        layer = self.layer()
        tensors: list[Operand] = []
        for place, tensor in enumerate(case.tensors):
            given = self.holding(place, content)
            if case.form == "travelling" and tensor.masked:
                tensors.append(Through(self._maker(), (given, self.mask(place))))
            else:
                tensors.append(given)
        kwargs: dict[str, Operand] = {
            name: self._listed[name] if value and name in entry.operands else value
            for name, value in case.arguments.items()
        }
        if case.form == "explicit":
            kwargs |= self._explicit()
        if case.element is not None:
            kwargs[entry.element] = literal(case.elements, "elements")
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
        call = Call(name, layer, args, kwargs, entry.outputs(case), mode)
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

    def _explicit(self) -> dict[str, Operand]:
        """The arguments that give the masks, in the dtype that the case has for them."""
        case, entry = self.case, self.entry
        masks: list[Operand] = [
            self.given_mask(place) if tensor.masked else None
            for place, tensor in enumerate(case.tensors)
        ]
        if not entry.parameters:
            return {"mask": masks[0] if len(masks) == 1 else masks}
        pairs = zip(entry.parameters, masks, strict=False)
        return {f"{name}_mask": mask for name, mask in pairs if mask is not None}

    def given_mask(self, place: int) -> Expression:
        """The mask of a tensor as it is given explicitly."""
        mask, dtype = self.mask(place), self.case.mask_dtype
        return mask if dtype == "bool" else expression(f"mask.astype({dtype!r})", mask=mask)

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

    def expected(self) -> tuple[list[np.ndarray] | None, Tolerance]:
        """The reference in float64, an array for each output, and what its own rounding allows."""
        exact = self._reference("float64")
        if exact is None:
            return None, self.tolerance
        rounded = self._reference(self.compute_dtype)
        assert rounded is not None
        rounding = 0.0
        for one, other in zip(rounded, exact, strict=True):
            with np.errstate(invalid="ignore"):
                apart = np.abs(one.astype(np.float64) - other)
            if np.isfinite(apart).any():
                rounding = max(rounding, float(np.nanmax(apart)))
        return exact, Tolerance(self._terms, self._epsilon, np.asarray(rounding))

    def _reference(self, dtype: str) -> list[np.ndarray] | None:
        case = self.case
        drawn = drawn_weights.drawn(case.weights, self.weight_shapes)
        cast = self.compute_dtype  # inputs are cast to it before anything is computed
        with np.errstate(all="ignore"):
            inputs = [self.holding(place).value() for place in range(len(case.tensors))]
            inputs = [x.astype(cast).astype(dtype) if x.dtype.kind == "f" else x for x in inputs]
            weights = [weight.astype(cast).astype(dtype) for weight in drawn]
            assert self.entry.reference is not None
            output = self.entry.reference(Given(case, inputs, case.masks, weights))
        return output if output is None or isinstance(output, list) else [output]

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


def _sizes(tensor: Tensor) -> tuple[int, ...]:
    return tensor.shape
