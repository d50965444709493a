"""What the articles and Keras' pages say of the outputs and states of recurrent layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from catalogue.cases import RecurrentCase
from catalogue.chance import left_to_chance
from catalogue.expressions import Expression, Output, expression, literal
from catalogue.recurrent_reference import weight_shapes
from catalogue.steps import Call, Gradient, OutputShape, SymbolicShape
from properties.comparisons import Agrees, Comparison, Plan
from properties.recurrent_setting import Setting
from properties.registry import declare

__all__: list[str] = []

_ARTICLE = "unexpected_mask_shapes.txt"
_RNN_PAGE = "keras.io/api/layers/recurrent_layers/rnn"
_GUIDE = "keras.io/guides/understanding_masking_and_padding"


def _masked(case: Any) -> bool:
    return bool(case.form.masked)


def shape_of(output: Output) -> Expression:
    """The shape of an output, as a tuple."""
    return expression("np.shape(y)", y=output)


# -- 1. Length ---------------------------------------------------------------------------


@declare(
    family="recurrent",
    source=f"{_ARTICLE}, example 1; {_RNN_PAGE}, Output shape",
    chance="any",
)
def length(case: RecurrentCase) -> Plan:
    """With `return_sequences` the output has exactly max_len steps, and without it none."""
    setting = Setting(case)
    call = setting.call("y")
    expected = (
        setting.laid_out(setting.batch, setting.max_len, setting.units)
        if setting.has_sequence
        else (setting.batch, setting.units)
    )
    comparisons = [Agrees("output shape", shape_of(Output("y")), literal(expected))]
    if setting.has_states:
        comparisons += [
            Agrees(f"state {place} shape", shape_of(state), literal((setting.batch, size)))
            for place, (state, size) in enumerate(
                zip(setting.states_of(call.name), setting.sizes, strict=True)
            )
        ]
    return Plan(setting.plan_steps(), tuple(comparisons))


@declare(
    family="recurrent",
    source=f"{_ARTICLE}, example 1; {_RNN_PAGE}, Output shape",
    dear=True,
)
def symbolic_shape(case: RecurrentCase) -> Plan:
    """A symbolic call and `compute_output_shape` give the shapes that a call really has."""
    setting = Setting(case)
    layer = setting.layer()
    batch = setting.batch if case.spec.get("stateful") else None
    steps = setting.max_len if case.spec.get("unroll") else None
    first, *sample = setting.laid_out(batch, steps, case.features)
    known = setting.laid_out(setting.batch, setting.max_len, case.features)
    setting.steps += [
        SymbolicShape("symbolic", layer, tuple(sample), first),
        OutputShape("computed", layer, known),
    ]

    def shapes(batch: int | None, steps: int | None) -> list[tuple[int | None, ...]]:
        first: tuple[int | None, ...] = (batch, setting.units)
        if setting.has_sequence:
            first = setting.laid_out(batch, steps, setting.units)
        sizes = setting.sizes if setting.has_states else ()
        return [first, *((batch, size) for size in sizes)]

    comparisons: list[Comparison] = []
    for name, expected in (
        ("symbolic", shapes(batch, steps)),
        ("computed", shapes(setting.batch, setting.max_len)),
    ):
        comparisons += [
            Agrees(f"{name} shape {place}", Output(name, place), literal(shape))
            for place, shape in enumerate(expected)
        ]
    return Plan(setting.plan_steps(), tuple(comparisons))


@declare(
    family="recurrent",
    source=f"{_GUIDE}, Mask propagation in the Functional API; {_RNN_PAGE}, return_sequences",
    chance="any",
    share=2,
)
def outgoing_mask(case: RecurrentCase) -> Plan:
    """The mask goes out with a sequence of outputs, in its order; with a last output none does.

    Nor does one with a state, which has no steps.
    """
    setting = Setting(case)
    setting.call("y")
    goes_out = setting.has_sequence and _masked(case)
    expected = setting.transposed(setting.processed) if goes_out else literal(None)
    comparisons: list[Comparison] = [Agrees("mask", Output("y.mask"), expected)]
    for state in setting.states_of("y") if setting.has_states else ():
        carried = Output("y.mask", state.index)
        comparisons.append(Agrees(f"mask of state {state.index}", carried, literal(None)))
    return Plan(setting.plan_steps(), tuple(comparisons))


# -- 2. Held state -----------------------------------------------------------------------


@declare(
    family="recurrent",
    source=f"{_ARTICLE}, opening ('ignore states computed over padded elements'); {_RNN_PAGE}",
    applies=_masked,
    chance="any",
)
def held_state(case: RecurrentCase) -> Plan:
    """At a masked step the output repeats the last one (or is zero) and the states stay."""
    setting = Setting(case)
    setting.call("y")
    empty = [row for row, length in enumerate(case.batch.lengths) if not length]
    comparisons: list[Comparison] = []
    if setting.has_sequence:
        masked = expression("~mask", "masked", mask=setting.processed)
        if case.spec.get("zero_output_for_mask"):
            held = expression("np.zeros_like(y[masked])", y=setting.output("y"), masked=masked)
        else:
            # Zeros stand before the first step, whatever the initial states are.
            before = expression(
                "np.concatenate([np.zeros_like(y[:, :1]), y[:, :-1]], 1)",
                "before",
                y=setting.output("y"),
            )
            held = expression("before[masked]", before=before, masked=masked)
        comparisons.append(
            Agrees(
                "held output", expression("y[masked]", y=setting.output("y"), masked=masked), held
            )
        )
    elif empty:
        rows = expression(f"y[{empty}]", y=setting.output("y"))
        comparisons.append(
            Agrees("output of a fully masked row", rows, expression("np.zeros_like(r)", r=rows))
        )
    if setting.has_states and empty:
        comparisons += [
            Agrees(
                f"state {place} of a fully masked row",
                expression(f"s[{empty}]", s=state),
                expression(f"h[{empty}]", h=initial),
            )
            for place, (state, initial) in enumerate(
                zip(setting.states_of("y"), setting.states, strict=True)
            )
        ]
    chance = left_to_chance(case)
    comparisons += _held_until_the_end(setting) if chance else _held_over_last_step(setting)
    return Plan(setting.plan_steps(), tuple(comparisons))


def _held_until_the_end(setting: Setting) -> list[Comparison]:
    """What the last valid step gave is the state at the end, and the last output.

    Told by one call: what a second one drops is something else. Source: the pages of the cells, the
    output of each of which is its (first) state.
    """
    case, state = setting.case, setting.state_of_output
    valid = case.batch.valid[:, :: -1 if case.spec.get("go_backwards") else 1]
    rows = [int(row) for row in np.flatnonzero(valid.any(axis=1))]
    if not setting.has_states or not rows:
        return []
    end = expression(f"s[{rows}]", s=setting.states_of("y")[state])
    if not setting.has_sequence:
        last = expression(f"y[{rows}]", y=setting.output("y"))
        return [Agrees("held last output", last, end)]
    steps = [int(np.flatnonzero(valid[row])[-1]) for row in rows]
    given = expression(f"y[{rows}, {steps}]", y=setting.output("y"))
    return [Agrees(f"held state {state}", end, given)]


def _held_over_last_step(setting: Setting) -> list[Comparison]:
    """Where the last step is masked, what was there before it is there after it.

    Shown by a second call, on all steps but the one that is processed last.
    """
    case = setting.case
    backwards = bool(case.spec.get("go_backwards"))
    last = 0 if backwards else -1
    rows = [row for row, steps in enumerate(case.batch.mask) if steps[last] == "0"]
    # An unrolled layer would have to be traced once more; other properties cut its sequences.
    if setting.max_len == 1 or not rows or case.spec.get("unroll"):
        return []
    kept = "1:" if backwards else ":-1"
    source = setting.tokens if case.form.mask == "embedding" else setting.inputs
    setting.call(
        "before",
        inputs=expression(f"x[:, {kept}]", x=source),
        mask=expression(f"mask[:, {kept}]", mask=setting.mask),
    )
    held = []
    if not setting.has_sequence:
        held.append(("held last output", setting.output("y"), setting.output("before")))
    if setting.has_states:
        states = zip(setting.states_of("y"), setting.states_of("before"), strict=True)
        held += [(f"held state {place}", *pair) for place, pair in enumerate(states)]
    return [
        Agrees(
            name,
            expression(f"a[{rows}]", a=after),
            expression(f"b[{rows}]", b=before),
            sums=setting.tolerance,  # for another number of steps a GPU may take other kernels
        )
        for name, after, before in held
    ]


# -- 3. Compaction -----------------------------------------------------------------------


@declare(
    family="recurrent",
    source=f"{_GUIDE}, Introduction; {_ARTICLE}, example 1",
    applies=_masked,
    share=4,
)
def compaction(case: RecurrentCase) -> Plan:
    """Outputs at valid steps and final states equal the layer run on the valid steps alone."""
    setting = Setting(case)
    setting.call("y")
    comparisons: list[Comparison] = []
    for rows, name in _alone(setting):
        valid = expression(f"mask[{rows}]", "valid", mask=setting.processed)
        if setting.has_sequence:
            left = expression(f"y[{rows}][valid]", y=setting.output("y"), valid=valid)
            right = expression(
                f"z[:{len(rows)}].reshape(-1, {setting.units})", z=setting.output(name)
            )
        else:
            left = expression(f"y[{rows}]", y=setting.output("y"))
            right = expression(f"z[:{len(rows)}]", z=setting.output(name))
        comparisons.append(Agrees("output", left, right, setting.tolerance))
        if setting.has_states:
            comparisons += [
                Agrees(
                    f"state {place}",
                    expression(f"s[{rows}]", s=one),
                    expression(f"t[:{len(rows)}]", t=other),
                    setting.tolerance,
                )
                for place, (one, other) in enumerate(
                    zip(setting.states_of("y"), setting.states_of(name), strict=True)
                )
            ]
    return Plan(setting.plan_steps(), tuple(comparisons))


def _alone(setting: Setting) -> Iterator[tuple[list[int], str]]:
    """Calls on valid steps alone: rows that have as many of them, and the name of their call."""
    case = setting.case
    lengths = np.array(case.batch.lengths)
    unrolled = bool(case.spec.get("unroll"))
    alone = setting.layer(open_shape=unrolled, hint="alone_layer") if unrolled else None
    for length in sorted(set(case.batch.lengths) - {0}):
        rows = [int(row) for row in np.flatnonzero(lengths == length)]
        # A stateful layer wants its whole batch: other rows are filled with the same ones.
        drawn = (
            [int(r) for r in np.resize(rows, setting.batch)] if case.spec.get("stateful") else rows
        )
        name = f"alone{length}"
        setting.call(
            name,
            layer=alone,
            inputs=setting.compact_inputs(drawn, length),
            states=[expression(f"h[{drawn}]", h=state) for state in setting.states]
            if setting.given_states
            else None,
            masked="absent",
            mode="eager" if unrolled else None,
        )
        yield rows, name


@declare(
    family="recurrent",
    source=f"{_GUIDE}, Introduction ('should be skipped when processing the data'); {_ARTICLE}, "
    "closing ('gradient computations')",
    applies=lambda case: (
        _masked(case)
        and case.form.mask != "embedding"  # whose inputs are names of tokens
        and not case.spec.get("stateful")
        and "16" not in case.policy
    ),
    of=lambda layer: not layer.startswith("RNN"),  # whose cells have layers of their own
    kinds=("gaps", "right"),
    share=8,
)
def compacted_gradient(case: RecurrentCase) -> Plan:
    """Gradients, carried over masked steps, are those of the layer run on the valid steps alone."""
    setting = Setting(case)
    # What other padding than zeros does to gradients is said elsewhere, but `Masking` masks it.
    content = case.batch.content if case.form.mask == "masking" else "zeros"
    call = setting.call("y", inputs=setting.holding(content), content=content)
    counted = setting.transposed(setting.processed) if setting.has_sequence else None
    setting.steps[-1] = Gradient("dy", call, where=(counted,))
    comparisons: list[Comparison] = []
    parts: list[str] = []
    for rows, name in _alone(setting):
        alone = setting.steps[-1]
        assert isinstance(alone, Call)
        parts.append(f"d{name}")
        setting.steps[-1] = Gradient(parts[-1], alone)
        valid = expression(f"mask[{rows}]", "valid", mask=setting.mask)
        there = setting.output("dy", sequence=True)
        left = expression(f"d[{rows}][valid]", d=there, valid=valid)
        right = expression(
            f"d.reshape(-1, {case.features})", d=setting.output(parts[-1], sequence=True)
        )
        bound = setting.gradient_tolerance
        comparisons.append(Agrees("gradient at valid steps", left, right, bound))
    for place in range(len(weight_shapes(case.spec, case.features)) if parts else 0):
        sums: dict[str, Expression | Output] = {name: Output(name, 1 + place) for name in parts}
        total = expression(" + ".join(parts), "total", **sums)
        comparisons.append(
            Agrees(
                f"gradient of weight {place}",
                Output("dy", 1 + place),
                total,
                setting.gradient_tolerance,
            )
        )
    return Plan(setting.plan_steps(), tuple(comparisons))


# -- 6. Truth ----------------------------------------------------------------------------


@declare(
    family="recurrent",
    source=f"{_RNN_PAGE} and the pages of the cells: the equations and the masking of one step",
)
def truth(case: RecurrentCase) -> Plan:
    """Outputs and states equal the NumPy reference, in the dtype that the layer computes in."""
    setting = Setting(case)
    setting.call("y")
    exact, tolerance = setting.exact_reference()
    names = ["output", *(f"state {place}" for place in range(len(setting.sizes)))]
    comparisons = [
        Agrees(name, output, literal(value, "expected"), tolerance)
        for name, output, value in zip(
            names, setting.outputs("y"), exact.outputs(case.spec), strict=False
        )
    ]
    same = expression(f"y.dtype.name == {setting.compute_dtype!r}", y=Output("y"))
    comparisons.append(Agrees("dtype", same, literal(True)))
    return Plan(setting.plan_steps(), tuple(comparisons))
