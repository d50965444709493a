"""That padding changes nothing: neither what it holds, nor how much of it there is, nor where."""

from __future__ import annotations

from typing import Any

import numpy as np

from catalogue.cases import FINITE_CONTENTS, RecurrentCase
from catalogue.chance import by_seed, left_to_chance
from catalogue.expressions import Output, expression, literal
from catalogue.recurrent_reference import weight_shapes
from catalogue.steps import Gradient
from properties.comparisons import Agrees, Comparison, Level, Plan
from properties.recurrent_setting import Setting
from properties.registry import declare

__all__: list[str] = []

_GUIDE = "keras.io/guides/understanding_masking_and_padding"
_RNN_PAGE = "keras.io/api/layers/recurrent_layers/rnn"


def _free(case: Any) -> bool:
    return bool(case.form.masked and case.form.free_content)


def _varies(case: Any) -> bool:
    return bool(case.form.masked and len(case.form.contents) > 1)


def _decided(case: Any) -> bool:
    """Whether what is dropped, if anything is, is the same once more."""
    return not left_to_chance(case) or by_seed(case.spec)


# -- 4. Isolation ------------------------------------------------------------------------


@declare(
    family="recurrent",
    source=f"{_GUIDE}, Introduction ('should be skipped when processing the data')",
    applies=lambda case: _varies(case) and _decided(case),
    choices=("other",),
    chance="seeded",
    share=2,
)
def padding_content(case: RecurrentCase) -> Plan:
    """What masked steps hold changes no output and no state, bitwise, NaN included."""
    setting = Setting(case)
    assert case.other is not None
    one = setting.call("y")
    holding = setting.holding(case.other, "other")
    other = setting.call("z", layer=setting.again(), inputs=holding, content=case.other)
    return Plan(setting.plan_steps(), tuple(setting.all_agree(other, one)))


@declare(
    family="recurrent",
    source=f"{_GUIDE}, Introduction; unexpected_mask_shapes.txt, closing ('gradient computations')",
    applies=_varies,
    choices=("other",),
    share=8,
)
def padding_gradient(case: RecurrentCase) -> Plan:
    """Gradients of inputs are zero at masked steps, and those of weights do not see padding."""
    setting = Setting(case)
    assert case.other is not None
    contents = {"y": case.batch.content, "z": case.other}
    for name, content in contents.items():
        call = setting.call(name, inputs=setting.holding(content, f"x_{name}"), content=content)
        setting.steps[-1] = Gradient(f"d{name}", call)
    masked = expression("~mask", "masked", mask=setting.mask)
    comparisons: list[Comparison] = []
    levels: dict[str, Level] = {}
    for name, content in contents.items():
        levels[name] = "must" if content in FINITE_CONTENTS else "should"
        at = expression("d[masked]", d=setting.output(f"d{name}", sequence=True), masked=masked)
        zeros = expression("np.zeros_like(a)", a=at)
        comparisons.append(Agrees("gradient at masked steps", at, zeros, None, levels[name]))
    both: Level = "should" if "should" in levels.values() else "must"
    one, other = (
        expression("d[mask]", d=setting.output(name, sequence=True), mask=setting.mask)
        for name in ("dz", "dy")
    )
    comparisons.append(Agrees("gradient at valid steps", one, other, None, both))
    comparisons += [
        Agrees(
            f"gradient of weight {place}",
            Output("dz", 1 + place),
            Output("dy", 1 + place),
            None,
            both,
            setting.tolerance,
        )
        for place in range(len(weight_shapes(case.spec, case.features)))
    ]
    return Plan(setting.plan_steps(), tuple(comparisons))


@declare(
    family="recurrent",
    source="rows of a batch are samples of their own: " + _RNN_PAGE + ", Call arguments",
    choices=("order",),
    share=2,
)
def row_order(case: RecurrentCase) -> Plan:
    """The order of rows, and which neighbours a row has, changes nothing of its result."""
    setting = Setting(case)
    order = list(case.order)
    setting.call("y")
    source = setting.tokens if case.form.mask == "embedding" else setting.inputs
    setting.call(
        "z",
        inputs=expression(f"x[{order}]", x=source),
        mask=expression(f"mask[{order}]", mask=setting.mask),
        states=[expression(f"h[{order}]", h=state) for state in setting.states]
        if setting.given_states
        else None,
    )
    names = ["output", *(f"state {place}" for place in range(len(setting.sizes)))]
    return Plan(
        setting.plan_steps(),
        tuple(
            Agrees(
                name,
                after,
                expression(f"y[{order}]", y=before),
                setting.tolerance,
            )
            for name, after, before in zip(
                names, setting.outputs("z"), setting.outputs("y"), strict=False
            )
        ),
    )


# -- 5. Extension ------------------------------------------------------------------------


@declare(
    family="recurrent",
    source=f"{_GUIDE}, Padding sequence data",
    # An unrolled layer would be traced anew for each length; compaction cuts its sequences.
    applies=lambda case: _free(case) and not case.spec.get("unroll"),
    choices=("inserted",),
    share=2,
)
def extension(case: RecurrentCase) -> Plan:
    """More padding, on either side or inside, changes nothing valid."""
    setting = Setting(case)
    setting.call("y")
    longer = setting.max_len + len(case.inserted)
    kept = [step for step in range(longer) if step not in case.inserted]
    holes = literal(np.array([step in case.inserted for step in range(longer)]), "holes")
    # Where a step goes: the inserted ones repeat any step, and are masked and overwritten.
    source = np.searchsorted(kept, np.arange(longer)).clip(0, setting.max_len - 1).tolist()
    content = setting.holding(case.batch.content)
    fill = {"nan": "np.nan", "inf": "np.inf", "-inf": "-np.inf"}.get(case.batch.content, "7.0")
    inputs = expression(
        f"np.where(holes[None, :, None], np.array({fill}, x.dtype), x[:, {source}])",
        "longer",
        holes=holes,
        x=content,
    )
    mask = expression(f"mask[:, {source}] & ~holes", "longer_mask", mask=setting.mask, holes=holes)
    setting.call("z", inputs=inputs, mask=mask)
    comparisons: list[Comparison] = []
    if setting.has_sequence:
        backwards = bool(case.spec.get("go_backwards"))
        places = [longer - 1 - step for step in reversed(kept)] if backwards else kept
        comparisons.append(
            Agrees(
                "output",
                expression(
                    f"z[:, {places}][valid]", z=setting.output("z"), valid=setting.processed
                ),
                expression("y[valid]", y=setting.output("y"), valid=setting.processed),
                setting.tolerance,
            )
        )
    else:
        comparisons.append(
            Agrees("output", setting.output("z"), setting.output("y"), setting.tolerance)
        )
    comparisons += setting.states_agree("z", "y")
    return Plan(setting.plan_steps(), tuple(comparisons))
