"""The steps that the properties of chains share: arrays, the model and its calls."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from catalogue.cases import Content
from catalogue.chain_source import chain_source, given_to
from catalogue.chains import ChainCase, Stage, Way, folded
from catalogue.expressions import Expression, Output, expression, literal
from catalogue.steps import Call, Define, Step
from properties.comparisons import Tolerance
from properties.contents import content_source

__all__ = ["ChainSetting"]

_MASK_VALUES = {"zeros": 0.0, "ones": 1.0}


class ChainSetting:
    """A case made into arrays, models and calls; steps gather in `steps`."""

    def __init__(self, case: ChainCase) -> None:
        self.case = case
        self.steps: list[Step] = []
        self._defined: set[str] = set()
        self._masks = [
            literal(tensor.valid, f"mask{place}") for place, tensor in enumerate(case.tensors)
        ]

    # -- arrays and models ---------------------------------------------------------------

    def holding(self, place: int, content: Content | None = None) -> Expression:
        """An input with this content (or its own) at masked steps."""
        tensor, dtype = self.case.tensors[place], self.case.dtype
        values = expression(
            f"np.random.default_rng({tensor.seed}).uniform(-1, 1, {tensor.shape})"
            f".astype({dtype!r})",
            f"values{place}",
        )
        if tensor.valid.all():
            return values
        source = content_source(
            content or tensor.content, dtype=dtype, shape=tensor.shape, seed=tensor.seed + 100
        )
        return expression(
            f"np.where(mask[..., None], values, {source})",
            f"x{place}",
            mask=self._masks[place],
            values=values,
        )

    def model(self, way: Way = "functional", *, all_outputs: bool = False) -> str:
        """Define the model built in one way, and give its name."""
        case = self.case
        name = "model" if all_outputs else f"model_{way.split()[0]}"
        if name not in self._defined:
            self._defined.add(name)
            source = chain_source(
                case,
                way=way,
                name=name,
                mask_value=_MASK_VALUES.get(case.tensors[0].content, 0.0),
                all_outputs=all_outputs,
            )
            shapes: list[tuple[int | None, ...]] = []
            for tensor in case.tensors:
                shapes.append((None, None, *tensor.rest))
                shapes += [(None, None)] * (given_to(case.maker) - 1)
            customs = ("Travelling",) if case.maker == "travelling" else ()
            self.steps.append(Define(name, source, tuple(shapes), case.weights, customs))
        return name

    def call(
        self,
        name: str,
        model: str,
        *,
        content: Content | None = None,
        outputs: int = 1,
        **more: Any,
    ) -> Call:
        """A call of a model on the case's inputs."""
        arrays: list[Any] = []
        for place in range(len(self.case.tensors)):
            arrays.append(self.holding(place, content))
            if self.case.maker == "travelling":
                arrays.append(self._masks[place])
        call = Call(name, model, (arrays,), {}, outputs, **more)
        self.steps.append(call)
        return call

    # -- what is expected ----------------------------------------------------------------

    @functools.cached_property
    def stages(self) -> list[Stage]:
        """What stands behind each layer, in float64."""
        return folded(self.case, self._arrays, "float64")

    @property
    def _arrays(self) -> list[np.ndarray]:
        arrays = [self.holding(place).value() for place in range(len(self.case.tensors))]
        # What stands at masked steps is not looked at, and Masking replaces it by zeros.
        pairs = zip(arrays, self.case.tensors, strict=True)
        return [np.where(t.valid[..., None], array, array.dtype.type(0)) for array, t in pairs]

    def labels(self) -> list[str]:
        """A name for each layer: its number and its class."""
        return [f"{place} {node.spec.layer}" for place, node in enumerate(self.case.nodes)]

    def at_valid(self, call: str, place: int, index: int | None = None) -> Expression | Output:
        """The output of layer number `place` at its valid steps; all of it without a mask."""
        y = Output(call, place if index is None else index)
        mask = self.stages[place].mask
        if mask is None:
            return y
        return expression("y[valid]", y=y, valid=literal(mask, f"valid{place}"))

    @functools.cached_property
    def tolerances(self) -> list[Tolerance]:
        """How far each layer's output may lie apart from the reference."""
        rounded = folded(self.case, self._arrays)
        found, terms, epsilon = [], 0, 0.0
        for stage, other in zip(self.stages, rounded, strict=True):
            dtype = stage.node.policy.removeprefix("mixed_")
            epsilon = max(epsilon, float(np.finfo("float32").eps), float(np.finfo(dtype).eps))
            terms += 16 + 2 * max(sum(tensor.shape) for tensor in stage.case.tensors)
            with np.errstate(invalid="ignore"):
                apart = np.abs(stage.output - other.output.astype(np.float64))
            rounding = float(np.nanmax(apart)) if np.isfinite(apart).any() else 0.0
            found.append(Tolerance(terms, epsilon, np.asarray(rounding)))
        return found
