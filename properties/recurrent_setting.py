"""The steps that the properties of recurrent layers share: arrays, layers, and their calls."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

from catalogue import weights as drawn_weights
from catalogue.cases import MASKABLE_CONTENTS, Content, MaskForm, RecurrentCase
from catalogue.chance import left_to_chance
from catalogue.expressions import Expression, Output, expression, literal
from catalogue.recurrent_reference import (
    Reference,
    nest_states,
    output_size,
    reference,
    state_sizes,
    states_of_last_cell,
    weight_shapes,
)
from catalogue.specs import Spec
from catalogue.steps import Build, Call, Operand, Step, Through
from properties.comparisons import Agrees, Level, Tolerance
from properties.contents import content_source

__all__ = ["VOCABULARY", "Setting"]

VOCABULARY = 7  # tokens of an embedding, of which 0 is padding

_VALUES = {
    "zeros": 0.0,
    "ones": 1.0,
    "tenth": 0.1,
    "large": 1e4,
    "inf": float("inf"),
    "-inf": -float("inf"),
}


class Setting:
    """A case made into arrays, layers and calls; steps gather in `steps` as they are asked for.

    Arrays: `inputs` of shape (batch, step, features), `mask` of shape (batch, step) and
    `states`, each of shape (batch, size). `processed` is the mask in processing order,
    reversed by `go_backwards`.
    """

    def __init__(self, case: RecurrentCase) -> None:
        self.case = case
        self.batch, self.max_len = case.batch.batch, case.batch.max_len
        self.steps: list[Step] = []
        self.mask = literal(case.batch.valid, "mask")
        backwards = bool(case.spec.get("go_backwards"))
        self.processed = (
            expression("mask[:, ::-1]", "processed", mask=self.mask) if backwards else self.mask
        )
        self.sizes = state_sizes(case.spec)
        self.units = output_size(case.spec)
        self._built: dict[tuple[Any, ...], str] = {}
        self._called: set[str] = set()

    # -- arrays --------------------------------------------------------------------------

    @functools.cached_property
    def values(self) -> Expression:
        """What the inputs hold at valid steps (and, meaninglessly, at masked ones)."""
        case, shape = self.case, (self.batch, self.max_len, self.case.features)
        if case.form.mask == "embedding":
            table = expression(
                f"(np.random.default_rng({case.batch.seed}).uniform(-1, 1, "
                f"({VOCABULARY}, {case.features})) / {VOCABULARY}).astype({case.dtype!r})",
                "table",
            )
            return expression("table[tokens]", "values", table=table, tokens=self.tokens)
        return expression(
            f"np.random.default_rng({case.batch.seed}).uniform(-1, 1, {shape})"
            f".astype({case.dtype!r})",
            "values",
        )

    @functools.cached_property
    def tokens(self) -> Expression:
        """Tokens of shape (batch, step) for an embedding, 0 at masked steps."""
        draw = (
            f"np.random.default_rng({self.case.batch.seed + 1})"
            f".integers(1, {VOCABULARY}, {(self.batch, self.max_len)})"
        )
        return expression(f"np.where(mask, {draw}, 0)", "tokens", mask=self.mask)

    @functools.cached_property
    def inputs(self) -> Expression:
        """The inputs with the case's own content at masked steps."""
        return self.holding(self.case.batch.content)

    def holding(self, content: Content, hint: str = "x") -> Expression:
        """The inputs with this content at masked steps."""
        if self.case.form.mask == "embedding":
            return self.values
        if "0" not in "".join(self.case.batch.mask):
            return self.values
        dtype = self.case.dtype
        source = content_source(
            content,
            dtype=dtype,
            shape=(self.batch, self.max_len, self.case.features),
            seed=self.case.batch.seed + 2,
        )
        return expression(
            f"np.where(mask[:, :, None], values, {source})",
            hint,
            mask=self.mask,
            values=self.values,
        )

    @functools.cached_property
    def states(self) -> list[Expression]:
        """Initial states, as the case gives them: drawn, or zeros where it gives none.

        In the dtype that the layer computes in: only inputs are documented to be cast.
        """
        if not self.given_states:
            dtype = self.compute_dtype
            return [
                expression(f"np.zeros({(self.batch, size)}, {dtype!r})", "zeros")
                for size in self.sizes
            ]
        return [
            expression(
                f"np.random.default_rng({self.case.batch.seed + 3 + place})"
                f".uniform(-1, 1, {(self.batch, size)}).astype({self.compute_dtype!r})",
                f"state{place}",
            )
            for place, size in enumerate(self.sizes)
        ]

    @property
    def given_states(self) -> bool:
        """Whether the call is given initial states."""
        return self.case.form.initial_state in ("keyword", "positional")

    @property
    def compute_dtype(self) -> str:
        """The dtype that the layer computes in."""
        return self.case.policy.removeprefix("mixed_")

    # -- layers and calls ----------------------------------------------------------------

    def layer(
        self,
        spec: Spec | None = None,
        *,
        open_shape: bool = False,
        known_batch: bool = False,
        hint: str = "",
        fresh: bool = False,
    ) -> str:
        """Build the layer (or a relative of it) and give its name.

        Its sizes are unknown but where the layer must know them; with `open_shape` an
        unrolled layer may be called (eagerly) with any number of steps. One of
        `known_batch` is another live layer than one without. One that is `fresh` has not been
        called in other cases.
        """
        spec = spec or self.case.spec
        key = ("layer", spec.key, open_shape, known_batch)
        if key not in self._built:
            name = hint or ("layer" if not self._built else f"layer{len(self._built) + 1}")
            batch = self.batch if spec.get("stateful") or known_batch else None
            steps = self.max_len if spec.get("unroll") and not open_shape else None
            shape = self.laid_out(batch, steps, self.case.features)
            policy = spec.with_policy(self.case.policy)
            build = Build(name, policy, shape, self.case.weights, fresh=fresh)
            self.steps.append(build)
            self._built[key] = name
        return self._built[key]

    def again(self) -> str:
        """The layer made once more, so that what chance decides is the same, and its name.

        Where chance decides nothing, the layer.
        """
        layer = self.layer()
        if not left_to_chance(self.case):
            return layer
        self.steps.append(dataclasses.replace(self._build_of(layer), name="again"))
        return "again"

    def restored(self) -> str:
        """Make the layer anew from its own configuration and give its name."""
        restored = dataclasses.replace(self._build_of(self.layer()), name="restored", restored=True)
        self.steps.append(restored)
        return restored.name

    def _build_of(self, layer: str) -> Build:
        return next(one for one in self.steps if isinstance(one, Build) and one.name == layer)

    def _unused(self, layer: str) -> str:
        """This layer, or where it is stateful and was called already, it built once more.

        Two calls that are compared must not see each other's states.
        """
        build = self._build_of(layer)
        if not build.spec.get("stateful") or layer not in self._called:
            return layer
        again = dataclasses.replace(build, name=f"{layer}_{len(self._called) + 1}")
        self.steps.append(again)
        return again.name

    def _maker(self, kind: MaskForm, content: Content) -> str:
        case = self.case
        spec = {
            "masking": Spec("Masking", {"mask_value": self.mask_value(content)}),
            "embedding": Spec(
                "Embedding",
                {"input_dim": VOCABULARY, "output_dim": case.features, "mask_zero": True},
            ),
            "travelling": Spec("Travelling"),
        }[kind]
        key = (kind, spec.key)
        if key not in self._built:
            shape = (None, None) if kind == "embedding" else (None, None, case.features)
            seed = case.batch.seed if kind == "embedding" else None
            self.steps.append(Build(kind, spec.with_policy(case.dtype), shape, seed))
            self._built[key] = kind
        return self._built[key]

    def mask_value(self, content: Content) -> float:
        """The value that `Masking` masks where masked steps hold this; ValueError if it cannot."""
        if content not in MASKABLE_CONTENTS:
            raise ValueError(f"content={content!r} cannot be masked by its value")
        return _VALUES.get(content, float(np.finfo(self.case.dtype).max))

    def call(
        self,
        name: str,
        *,
        layer: str | None = None,
        spec: Spec | None = None,
        inputs: Expression | None = None,
        mask: Expression | None = None,
        travelling: Expression | None = None,
        states: list[Expression | Output] | None = None,
        masked: MaskForm | None = None,
        content: Content | None = None,
        mode: str | None = None,
        going_on: bool = False,
        **extra: Operand,
    ) -> Call:
        """A call by the case's form, with what is given here in place of the case's own.

        A stateful layer starts afresh, but where the call is `going_on` with the states of
        the last one. `masked` is another way for the mask to reach the layer. `content` is
        what masked steps hold, where a layer masks it by its value. `travelling` is a mask
        that travels with the tensor besides an explicit one. `extra` arguments are added.
        """
        form, spec = self.case.form, spec or self.case.spec
        layer = layer or self.layer(spec)
        if not going_on:
            layer = self._unused(layer)
        self._called.add(layer)
        masked = masked or form.mask
        mask = mask if mask is not None else self.mask
        given_inputs = inputs if inputs is not None else self.inputs
        if masked == "embedding":
            given_inputs = inputs if inputs is not None else self.tokens
        mask, given_inputs = self.transposed(mask), self.transposed(given_inputs)
        tensor: Operand = given_inputs
        if masked == "embedding":
            tensor = Through(self._maker("embedding", "zeros"), (given_inputs,))
        elif masked == "masking":
            tensor = Through(self._maker("masking", content or self.case.batch.content), (tensor,))
        elif masked == "travelling" or travelling is not None:
            carried = mask if travelling is None else self.transposed(travelling)
            tensor = Through(self._maker("travelling", "zeros"), (given_inputs, carried))
        args: list[Operand] = [tensor]
        kwargs: dict[str, Operand] = {}
        given = states if states is not None else list(self.states) if self.given_states else None
        nested = None if given is None else nest_states(spec, list(given))
        positional = form.positional and masked == "explicit"
        if positional or (form.initial_state == "positional" and nested is not None):
            args.append(nested)
        elif nested is not None:
            kwargs["initial_state"] = nested
        elif form.initial_state == "none":
            kwargs["initial_state"] = None
        if masked == "explicit":
            if not positional and form.mask_dtype != "bool":
                mask = expression(f"mask.astype({form.mask_dtype!r})", mask=mask)
            if positional:
                args.append(mask)
            else:
                kwargs["mask"] = mask
        elif masked == "none":
            kwargs["mask"] = None
        if form.training is not None:
            kwargs["training"] = form.training
        outputs = 1 + (len(self.sizes) if spec.get("return_state") else 0)
        call = Call(name, layer, tuple(args), {**kwargs, **extra}, outputs, mode)
        self.steps.append(call)
        return call

    @property
    def time_major(self) -> bool:
        """Whether inputs, outputs and their masks have steps before rows (Keras 2)."""
        return bool(self.case.spec.get("time_major"))

    def laid_out(self, batch: int | None, steps: int | None, *rest: int) -> tuple[int | None, ...]:
        """The shape that the layer gives to so many rows of so many steps."""
        return (steps, batch, *rest) if self.time_major else (batch, steps, *rest)

    def transposed(self, array: Expression) -> Expression:
        """An array of shape (batch, step, ...) as the layer takes it: with steps first, maybe."""
        return expression("x.swapaxes(0, 1)", x=array) if self.time_major else array

    def compact_inputs(self, rows: list[int], length: int) -> Expression:
        """The valid steps of these rows alone, each of which has `length` of them."""
        shape = (len(rows), length, self.case.features)
        return expression(
            f"values[{rows}][mask[{rows}]].reshape{shape}",
            "alone",
            values=self.values,
            mask=self.mask,
        )

    # -- what the outputs are ------------------------------------------------------------

    @property
    def has_sequence(self) -> bool:
        """Whether the first output has a step axis."""
        return bool(self.case.spec.get("return_sequences"))

    @property
    def state_of_output(self) -> int:
        """The place of the state that is the output of the (last) cell: its first one."""
        return len(self.sizes) - states_of_last_cell(self.case.spec)

    @property
    def has_states(self) -> bool:
        """Whether the call hands back states."""
        return bool(self.case.spec.get("return_state"))

    def output(self, call: str, *, sequence: bool | None = None) -> Expression | Output:
        """The first output of a call, rows first; `sequence` where it is not as the case has it."""
        sequence = self.has_sequence if sequence is None else sequence
        if not (self.time_major and sequence):
            return Output(call)
        return expression("y.swapaxes(0, 1)", y=Output(call))

    def outputs(self, call: str) -> list[Expression | Output]:
        """All that a call hands back: its output, rows first, and its states."""
        return [self.output(call), *(self.states_of(call) if self.has_states else ())]

    def states_of(self, call: str) -> list[Output]:
        """The states that a call hands back."""
        return [Output(call, 1 + place) for place in range(len(self.sizes))]

    @functools.cached_property
    def tolerance(self) -> Tolerance:
        """How far two healthy runs of the layer may lie apart."""
        epsilon = float(np.finfo(self.compute_dtype).eps)
        return Tolerance(self._terms, epsilon)

    @property
    def gradient_tolerance(self) -> Tolerance:
        """The same of gradients: each step of each row adds a product of two results."""
        epsilon = float(np.finfo(self.compute_dtype).eps)
        return Tolerance(self._terms * self.batch * self.max_len, epsilon)

    @property
    def _terms(self) -> int:
        # Sums over features and units, and the roundings that each step adds to a state.
        return self.case.features + self.units + self.max_len + 8

    def exact_reference(self) -> tuple[Reference, Tolerance]:
        """The reference in float64, and the tolerance that its own rounding gives."""
        case = self.case
        drawn = drawn_weights.drawn(case.weights, weight_shapes(case.spec, case.features))
        mask = case.batch.valid if case.form.masked else None
        given = [state.value() for state in self.states] if self.given_states else None
        inputs = self.inputs.value()
        dtype = np.dtype(self.compute_dtype)
        exact = reference(case.spec, drawn, inputs, mask, given, dtype=np.float64)
        rounded = reference(case.spec, drawn, inputs, mask, given, dtype=dtype.type)
        apart = [
            np.abs(one.astype(np.float64) - other)
            for one, other in zip(rounded.outputs(case.spec), exact.outputs(case.spec), strict=True)
        ]
        rounding = max((float(np.nanmax(a)) for a in apart if a.size), default=0.0)
        epsilon = float(np.finfo(dtype).eps)
        return exact, Tolerance(self._terms, epsilon, np.asarray(rounding))

    def all_agree(
        self,
        left: Call | str,
        right: Call | str,
        *,
        tolerance: Tolerance | None = None,
        level: Level = "must",
    ) -> list[Agrees]:
        """Output and states of two calls agree, one comparison each."""
        a, b = (call if isinstance(call, str) else call.name for call in (left, right))
        names = ["output"]
        if self.has_states:
            names += [f"state {place}" for place in range(len(self.sizes))]
        return [
            Agrees(name, Output(a, place), Output(b, place), tolerance, level)
            for place, name in enumerate(names)
        ]

    def states_agree(self, left: str, right: str) -> list[Agrees]:
        """The states that two calls hand back agree within the tolerance; none where none are."""
        if not self.has_states:
            return []
        pairs = zip(self.states_of(left), self.states_of(right), strict=True)
        return [
            Agrees(f"state {place}", one, other, self.tolerance)
            for place, (one, other) in enumerate(pairs)
        ]

    def plan_steps(self) -> tuple[Any, ...]:
        """The steps so far, builds first, in the order in which they were asked for."""
        return tuple(self.steps)
