"""The steps that the properties of layers share: arrays, masks, the layer and its calls."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from catalogue import weights as drawn_weights
from catalogue.cases import Content
from catalogue.expressions import Expression, Output, expression, literal
from catalogue.layer_cases import Given, LayerCase, LayerEntry, Tensor
from catalogue.layers import LAYER_ENTRIES
from catalogue.specs import Spec
from catalogue.steps import Build, Call, Operand, Step, Through
from properties.comparisons import Tolerance
from properties.contents import content_source

__all__ = ["LayerSetting"]


class LayerSetting:
    """A case made into arrays, the layer and calls; steps gather in `steps`."""

    def __init__(self, case: LayerCase) -> None:
        self.case = case
        self.entry: LayerEntry = LAYER_ENTRIES[case.spec.layer]
        self.steps: list[Step] = []
        self._built: set[str] = set()

    # -- arrays --------------------------------------------------------------------------

    def holding(self, place: int, content: Content | None = None) -> Expression:
        """A tensor with this content (or its own) at masked steps."""
        tensor = self.case.tensors[place]
        dtype = self.case.dtype
        values = expression(
            f"np.random.default_rng({tensor.seed}).uniform(-1, 1, {tensor.shape})"
            f".astype({dtype!r})",
            f"values{place}",
        )
        if not tensor.masked or self.case.form == "absent" or tensor.valid.all():
            return values
        source = content_source(
            tensor.content if content is None else content,
            dtype=dtype,
            shape=tensor.shape,
            seed=tensor.seed + 100,
        )
        axes = "[..., *[None] * " + str(len(tensor.rest)) + "]" if tensor.rest else ""
        return expression(
            f"np.where(mask{axes}, values, {source})",
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
            shapes = tuple((None, None, *tensor.rest) for tensor in self.case.tensors)
            spec = self.case.spec.with_policy(self.case.policy)
            seed = self.case.weights if self.weight_shapes else None
            shape: Any = shapes[0] if len(shapes) == 1 else shapes
            self.steps.append(Build("layer", spec, shape, seed))
        return "layer"

    @functools.cached_property
    def weight_shapes(self) -> list[tuple[int, ...]]:
        """The shapes of the layer's trainable weights."""
        return self.entry.weights(self.case.spec, self.entry.shapes(self.case))

    def call(self, name: str, *, content: Content | None = None, mode: str | None = None) -> Call:
        """A call by the case's form, with this content (or the case's own) at masked steps."""
        case = self.case
        layer = self.layer()
        tensors: list[Operand] = []
        for place, tensor in enumerate(case.tensors):
            given = self.holding(place, content)
            if case.form == "travelling" and tensor.masked:
                tensors.append(Through(self._maker(), (given, self.mask(place))))
            else:
                tensors.append(given)
        kwargs: dict[str, Operand] = dict(case.arguments)
        if case.form == "explicit":
            given_masks: list[Operand] = [
                self.mask(place) if tensor.masked else None
                for place, tensor in enumerate(case.tensors)
            ]
            kwargs["mask"] = given_masks[0] if len(given_masks) == 1 else given_masks
        if case.training is not None:
            kwargs["training"] = case.training
        args: tuple[Operand, ...] = (tensors[0] if len(tensors) == 1 else tensors,)
        call = Call(name, layer, args, kwargs, 1, mode)
        self.steps.append(call)
        return call

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

    def at_valid(self, call: str) -> Expression | Output:
        """The output of a call at the valid steps of its mask; all of it, where it has none."""
        if self.passed is None:
            return Output(call)
        return expression("y[valid]", y=Output(call), valid=literal(self.passed, "valid"))

    def expected(self) -> tuple[np.ndarray | None, Tolerance]:
        """The reference in float64, and the tolerance that its own rounding gives."""
        exact = self._reference("float64")
        if exact is None:
            return None, self.tolerance
        rounded = self._reference(self.compute_dtype)
        assert rounded is not None
        with np.errstate(invalid="ignore"):
            apart = np.abs(rounded.astype(np.float64) - exact)
        rounding = float(np.nanmax(apart)) if np.isfinite(apart).any() else 0.0
        return exact, Tolerance(self._terms, self._epsilon, np.asarray(rounding))

    def _reference(self, dtype: str) -> np.ndarray | None:
        case = self.case
        drawn = drawn_weights.drawn(case.weights, self.weight_shapes)
        cast = self.compute_dtype  # inputs are cast to it before anything is computed
        with np.errstate(all="ignore"):
            inputs = [
                self.holding(place).value().astype(cast).astype(dtype)
                for place in range(len(case.tensors))
            ]
            weights = [weight.astype(cast).astype(dtype) for weight in drawn]
            assert self.entry.reference is not None
            return self.entry.reference(Given(case, inputs, case.masks, weights))

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
