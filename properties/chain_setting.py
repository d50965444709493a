"""The steps that the properties of chains share: arrays, the model and its calls."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from catalogue.cases import Content
from catalogue.chain_inputs import Form, given_source
from catalogue.chain_shapes import visible, ways_of
from catalogue.chain_source import again_source, chain_source, consumers_source, places_of
from catalogue.chains import ChainCase, Stage, Way, folded
from catalogue.custom_layers import CUSTOM_LAYERS
from catalogue.expressions import Expression, Output, expression, literal
from catalogue.layer_cases import Tensor
from catalogue.steps import Call, Define, Step
from properties.comparisons import Tolerance, rounding_between
from properties.contents import content_source

__all__ = ["ChainSetting", "called_again"]

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
        self._mask_value = _MASK_VALUES.get(case.tensors[0].content, 0.0)
        self._given = literal(Tensor(case.given).valid, "given") if case.given else None

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

    def model(self, way: Way | None = None, *, all_outputs: bool = False, name: str = "") -> str:
        """Define the model built in one way (by default the case's own), and give its name."""
        way = way or self.case.way
        name = name or f"model_{way.split()[0]}" + ("_outputs" if all_outputs else "")
        return self._define(
            name,
            lambda: chain_source(
                self.case,
                way=way,
                name=name,
                mask_value=self._mask_value,
                all_outputs=all_outputs,
            ),
            way,
        )

    def model_again(self, way: Way) -> str:
        """Define what calls a model without masks, with them and without them again."""
        return self._define(
            "again",
            lambda: again_source(self.case, way=way, name="again", mask_value=self._mask_value),
            way,
        )

    def model_given(self, form: Form) -> str:
        """Define what gives a model its inputs and their masks in this form."""
        name = f"model_{form.replace(',', '').replace(' ', '_')}"
        return self._define(
            name,
            lambda: given_source(self.case, form, name=name, mask_value=self._mask_value),
            f"functional, {form}",
        )

    def model_of_consumers(self, *, backwards: bool) -> str:
        """Define what calls the layers one by one, in one order or another, and notes masks."""
        name = "backwards" if backwards else "forwards"
        return self._define(
            name,
            lambda: consumers_source(
                self.case, name=name, backwards=backwards, mask_value=self._mask_value
            ),
            name,
        )

    def _define(self, name: str, source: Callable[[], str], way: str) -> str:
        if name in self._defined:
            return name
        self._defined.add(name)
        case = self.case
        shapes: list[tuple[int | None, ...]] = []
        for tensor, (_, told) in zip(case.tensors, places_of(case), strict=True):
            batch, length = tensor.steps
            rows = batch if case.sizes == "known" else None
            steps = None if case.sizes == "unknown" else length
            shapes.append((rows, steps, *tensor.rest))
            shapes += [] if told is None else [(rows, steps)]
        text = source()
        customs = tuple(one for one in CUSTOM_LAYERS if re.search(rf"\b{one}\(", text))
        nested = ", ".join(sorted({nest.kind for nest in case.nests}))
        built = f"{way}, nested {nested}" if nested else way
        self.steps.append(Define(name, text, tuple(shapes), case.weights, customs, built))
        return name

    def call(
        self,
        name: str,
        model: str,
        *,
        content: Content | None = None,
        outputs: int = 1,
        at: str = "",
        options: dict[str, Any] | None = None,
        **more: Any,
    ) -> Call:
        """A call of a model on the case's inputs, or on what `at` (an index) takes of them."""
        arrays: list[Any] = []
        for place, (_, told) in enumerate(places_of(self.case)):
            arrays.append(self.holding(place, content))
            if told is not None:
                arrays.append(self._given or self._masks[place])
        if at:
            arrays = [expression(f"a[{at}]", f"part_{name}", a=one) for one in arrays]
        call = Call(name, model, (arrays,), options or {}, outputs, **more)
        self.steps.append(call)
        return call

    # -- what is expected ----------------------------------------------------------------

    @functools.cached_property
    def stages(self) -> list[Stage]:
        """What stands behind each layer, in float64."""
        return folded(self.case, self.arrays, "float64")

    @functools.cached_property
    def visible(self) -> list[int]:
        """The places whose outputs the model hands back where all of them are asked for."""
        return visible(self.case)

    def stages_with(self, **other: Any) -> list[Stage]:
        """What stands behind each layer where some layers have other contracts of masks."""
        return folded(self.case, self.arrays, "float64", **other)

    @property
    def arrays(self) -> list[np.ndarray]:
        """The inputs as the first layers have them."""
        arrays = [self.holding(place).value() for place in range(len(self.case.tensors))]
        if self.case.maker == "none":
            return arrays
        # What stands at masked steps is not looked at, and Masking replaces it by zeros.
        pairs = zip(arrays, self.case.tensors, strict=True)
        return [np.where(t.valid[..., None], array, array.dtype.type(0)) for array, t in pairs]

    @functools.cached_property
    def labels(self) -> list[str]:
        """A name for each layer: its number and its class; and the model that it is the end of."""
        found = [f"{place} {node.spec.layer}" for place, node in enumerate(self.case.nodes)]
        for nest in reversed(self.case.nests):
            found[nest.end - 1] = f"{found[nest.end - 1]}, end of a {nest.kind} model"
        return found

    def at_valid(self, call: str, place: int, index: int | None = None) -> Expression | Output:
        """The output of layer number `place` at its valid steps; all of it without a mask.

        It is the output number `index` of the call, by default what the model hands back of it.
        """
        y = Output(call, self.visible.index(place) if index is None else index)
        mask = self.stages[place].mask
        if mask is None:
            return y
        return expression("y[valid]", y=y, valid=literal(mask, f"valid{place}"))

    def known(
        self, call: str, place: int, index: int, stage: Stage | None = None
    ) -> tuple[Expression, Expression]:
        """Where the reference says something of an output: that of the call, and what it says."""
        stage = stage or self.stages[place]
        said = ~np.isnan(stage.output)
        if stage.mask is not None:
            behind = [1] * (stage.output.ndim - stage.mask.ndim)
            said &= stage.mask.reshape(*stage.mask.shape, *behind)
        found = expression("y[said]", y=Output(call, index), said=literal(said, "said"))
        return found, literal(stage.output[said], "expected")

    @functools.cached_property
    def tolerances(self) -> list[Tolerance]:
        """How far each layer's output may lie apart from the reference."""
        rounded = folded(self.case, self.arrays)
        found, terms, epsilon = [], 0, 0.0
        for stage, other in zip(self.stages, rounded, strict=True):
            dtype = stage.node.policy.removeprefix("mixed_")
            epsilon = max(epsilon, float(np.finfo("float32").eps), float(np.finfo(dtype).eps))
            terms += 16 + 2 * max(sum(tensor.shape) for tensor in stage.case.tensors)
            rounding = rounding_between(other.output, stage.output)
            found.append(Tolerance(terms, epsilon, np.asarray(rounding)))
        return found


def called_again(case: ChainCase, name: str = "y", *, turn: int = 0) -> ChainSetting:
    """A call of this name calls the model without masks, with `mask=`, and again without.

    Its outputs are these three, and of a model that is not subclassed what `compute_mask` says. It
    is built in one of several ways; with a `turn` of 1 in the next.
    """
    way: Way = "subclassed"
    outputs = 3
    if case.maker != "optional":
        case, outputs = msgspec.structs.replace(case, maker="argument"), 4
        several = ways_of(case)
        way = several[(case.weights + turn) % len(several)]
    elif not case.given:
        rows = tuple(row[::-1] for row in case.tensors[0].mask)
        case = msgspec.structs.replace(case, given=rows)
    setting = ChainSetting(case)
    setting.call(name, setting.model_again(way), outputs=outputs)
    return setting
