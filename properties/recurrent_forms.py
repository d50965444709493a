"""That the documented ways to call a recurrent layer, and to ask it for more, agree."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import msgspec
import numpy as np

from catalogue.cases import RecurrentCase
from catalogue.expressions import Expression, Output, expression, literal
from catalogue.steps import Configuration, Ragged, ResetState
from properties.comparisons import Agrees, Comparison, Plan
from properties.layer_ragged import SOURCE as RAGGED
from properties.recurrent_setting import Setting
from properties.registry import declare
from properties.symbolic import HDF5

__all__: list[str] = []

_GUIDE = "keras.io/guides/understanding_masking_and_padding"
_RNN_PAGE = "keras.io/api/layers/recurrent_layers/rnn"
_ARTICLE = "unexpected_mask_shapes.txt"
_TRACED = 6  # of so many cases one
_WITH_NUMPY = ("SimpleRNN", "LSTM")  # of which a flag is NumPy's bool too
_FEW = 2  # rows, where few are called: a single one would be broadcast


def _travels(case: Any) -> bool:
    return case.form.mask in ("travelling", "masking", "embedding")


def _explicit(case: Any) -> bool:
    return bool(case.form.mask == "explicit")


def _stateful(case: Any) -> bool:
    return bool(case.spec.get("stateful"))


def _unrolled(case: Any) -> bool:
    return bool(case.spec.get("unroll"))


# -- 7. Precedence and delivery ----------------------------------------------------------


@declare(
    family="recurrent",
    source=f"{_ARTICLE}, example 1 ('the provided mask overrides the internal computed mask')",
    applies=_explicit,
    choices=("travelling",),
    share=8,
)
def mask_precedence(case: RecurrentCase) -> Plan:
    """An explicit mask beats the one that travels with the tensor, and goes out in its place."""
    setting = Setting(case)
    other = literal(np.array([[s == "1" for s in row] for row in case.travelling]), "travelling")
    one = setting.call("y")
    two = setting.call("z", travelling=other)
    agree: list[Comparison] = [*setting.all_agree(two, one, tolerance=setting.tolerance)]
    if not case.form.positional:  # which mask goes out then is another property's affair
        agree.append(Agrees("mask", Output("z.mask"), Output("y.mask")))
    return Plan(setting.plan_steps(), tuple(agree))


@declare(
    family="recurrent",
    source=f"{_GUIDE}, Mask propagation in the Functional API and Sequential API",
    applies=_travels,
    share=4,
)
def mask_delivery(case: RecurrentCase) -> Plan:
    """Without an explicit mask the travelling one is used, whatever else the call is given."""
    setting = Setting(case)
    one = setting.call("y", masked="explicit", inputs=setting.inputs)
    two = setting.call("z")
    return Plan(
        setting.plan_steps(), tuple(setting.all_agree(two, one, tolerance=setting.tolerance))
    )


# -- 8. Forms agree ----------------------------------------------------------------------


@declare(
    family="recurrent",
    source="keras.io/api/layers/base_layer, get_config and from_config: 'the same layer can be "
    "reinstantiated later'",
    share=8,
)
def restored_is_the_same(case: RecurrentCase) -> Plan:
    """A layer that is made anew from its own configuration, which holds its arguments, gives the
    same, the mask included."""
    setting = Setting(case)
    setting.call("y")
    setting.call("z", layer=setting.restored())
    agree = setting.all_agree("z", "y", tolerance=setting.tolerance)
    mask = Agrees("mask", Output("z.mask"), Output("y.mask"))
    plain = {
        name: value
        for name, value in case.spec.arguments.items()
        if isinstance(value, bool | int | float | str | None)
    }
    # Whether it is held where no call on this device tells.
    once = literal(np.uint8(1), "held_once")
    setting.steps.append(Configuration("held", setting.layer(), plain))
    held = [
        Agrees(f"configuration of {name}", Output("held", place), once, level="should")
        for place, name in enumerate(plain)
    ]
    return Plan(setting.plan_steps(), (*agree, mask, *held))


@declare(
    family="recurrent",
    source="keras.io/guides/functional_api: a model of a layer's symbolic call; "
    "keras.io/api/models/model_saving_apis, clone_model: 'a new model with the same functionality "
    f"as the given model'; keras.io/guides/serialization_and_saving; {HDF5}",
    applies=lambda case: not case.spec.get("stateful"),
    share=8,
    dear=True,
)
def functional_is_the_same(case: RecurrentCase) -> Plan:
    """A model of a symbolic call of the layer gives what the layer gives, cloned or, every second
    one, from a file of the native format, and from HDF5.

    One that has a layer that makes the mask always goes into HDF5, which writes down what makes it.
    """
    setting = Setting(case)
    call = setting.call("y", mode="eager")

    def again(name: str, **how: Any) -> list[Agrees]:
        setting.steps.append(dataclasses.replace(call, name=name, **how))
        agree = setting.all_agree(name, "y", tolerance=setting.tolerance)
        return [*agree, Agrees("mask", Output(f"{name}.mask"), Output("y.mask"))]

    saved = case.weights % 2 == 1
    if saved:
        native = again("z", saved="keras")
        found = [dataclasses.replace(one, name=f"{one.name}, from a file") for one in native]
    else:
        found = again("z", cloned=True)
    if saved or case.form.mask in ("masking", "embedding"):
        found += [
            dataclasses.replace(one, name=f"{one.name}, from HDF5", level="should")
            for one in again("w", saved="h5")
        ]
    return Plan(setting.plan_steps(), tuple(found))


@declare(
    family="recurrent",
    source=f"{_RNN_PAGE}, Arguments, return_state",
    applies=lambda case: not case.spec.get("return_state"),
    share=4,
)
def return_state_is_an_addition(case: RecurrentCase) -> Plan:
    """Asking for states changes nothing of the output."""
    setting = Setting(case)
    setting.call("y")
    setting.call("z", spec=case.spec.replace(return_state=True))
    agree = Agrees("output", setting.output("z"), setting.output("y"), setting.tolerance)
    return Plan(setting.plan_steps(), (agree,))


@declare(
    family="recurrent",
    source=f"{_RNN_PAGE}, Arguments, return_sequences",
    applies=lambda case: not case.spec.get("return_sequences"),
    share=4,
)
def last_output_is_last_step(case: RecurrentCase) -> Plan:
    """The last output is the last step of the sequence of outputs, and the states are the same."""
    setting = Setting(case)
    setting.call("y")
    # zero_output_for_mask is for sequences only: the last output is a held one.
    spec = case.spec.without("zero_output_for_mask").replace(return_sequences=True)
    setting.call("z", spec=spec)
    comparisons: list[Comparison] = [
        Agrees(
            "output",
            setting.output("y"),
            expression("z[:, -1]", z=setting.output("z", sequence=True)),
            setting.tolerance,
        )
    ]
    comparisons += setting.states_agree("y", "z")
    return Plan(setting.plan_steps(), tuple(comparisons))


@declare(
    family="recurrent",
    source=f"{_RNN_PAGE}, Arguments, unroll",
    applies=_unrolled,
    share=4,
)
def unrolled_equals_looped(case: RecurrentCase) -> Plan:
    """An unrolled layer gives what the looped one gives."""
    setting = Setting(case)
    one = setting.call("y")
    two = setting.call("z", spec=case.spec.without("unroll"))
    return Plan(
        setting.plan_steps(), tuple(setting.all_agree(one, two, tolerance=setting.tolerance))
    )


@declare(
    family="recurrent",
    source=f"{_RNN_PAGE}, Note on using statefulness in RNNs",
    applies=lambda case: (
        _stateful(case)
        and case.form.initial_state in ("absent", "none")
        and bool(case.spec.get("return_sequences") or case.spec.get("return_state"))
    ),
    choices=("chunks",),
    kinds=("gaps", "mixed"),  # states outlive a chunk where valid steps follow masked ones
)
def stateful_chunks(case: RecurrentCase) -> Plan:
    """A stateful layer fed a sequence in chunks ends where it ends when fed the whole."""
    setting = Setting(case)
    backwards = bool(case.spec.get("go_backwards"))
    whole = setting.call("y", spec=case.spec.without("stateful"))
    edges = np.cumsum([0, *case.chunks]).tolist()
    places = list(itertools.pairwise(edges))
    source = setting.tokens if case.form.mask == "embedding" else setting.inputs
    unrolled = bool(case.spec.get("unroll"))
    layer = setting.layer(open_shape=unrolled, hint="stateful_layer")
    names = []
    # A layer that goes backwards starts at the end: it is fed the last chunk first.
    for first, last in reversed(places) if backwards else places:
        names.append(f"chunk{first}")
        setting.call(
            names[-1],
            layer=layer,
            inputs=expression(f"x[:, {first}:{last}]", x=source),
            mask=expression(f"mask[:, {first}:{last}]", mask=setting.mask),
            mode="eager" if unrolled else None,
            going_on=True,
        )
    comparisons: list[Comparison] = []
    if setting.has_sequence:
        parts: dict[str, Expression | Output] = {name: setting.output(name) for name in names}
        joined = expression(f"np.concatenate([{', '.join(names)}], 1)", "joined", **parts)
        # What a masked step holds is each call's own affair; valid steps are not.
        valid = (
            setting.processed
            if case.form.masked
            else expression("np.ones_like(mask)", "valid", mask=setting.mask)
        )
        comparisons.append(
            Agrees(
                "output",
                expression("z[valid]", z=joined, valid=valid),
                expression("y[valid]", y=setting.output("y"), valid=valid),
                setting.tolerance,
            )
        )
    comparisons += setting.states_agree(names[-1], whole.name)
    return Plan(setting.plan_steps(), tuple(comparisons))


@declare(
    family="recurrent",
    source=f"{_RNN_PAGE}, Note on using statefulness in RNNs, reset_state",
    applies=_stateful,
    share=2,
)
def reset_equals_fresh(case: RecurrentCase) -> Plan:
    """After a reset a stateful layer gives what it gave when it was fresh."""
    setting = Setting(case)
    one = setting.call("y")
    setting.call("between", going_on=True)
    setting.steps.append(ResetState(setting.layer()))
    two = setting.call("z", going_on=True)
    return Plan(setting.plan_steps(), tuple(setting.all_agree(two, one)))


@declare(
    family="recurrent",
    source="rows of a batch are samples of their own; an empty batch is one of no rows",
    applies=lambda case: not _stateful(case) and not _unrolled(case),
    share=4,
    dear=True,
)
def no_rows(case: RecurrentCase) -> Plan:
    """A batch of no rows gives outputs of no rows, of the same shapes otherwise; eagerly too."""
    setting = Setting(case)
    setting.call("y")
    states: list[Any] = [expression("h[:0]", h=state) for state in setting.states]
    for name, mode in (("none", None), ("eager", "eager")):
        setting.call(
            name,
            inputs=expression("x[:0]", x=setting.inputs),
            mask=expression("mask[:0]", mask=setting.mask),
            masked="explicit" if case.form.masked else None,
            states=states if setting.given_states else None,
            mode=mode,
        )
    comparisons: list[Comparison] = []
    for how, call in (("", "none"), (", eager", "eager")):
        for agree, one, all_rows in zip(
            setting.all_agree(call, "y"), setting.outputs(call), setting.outputs("y"), strict=True
        ):
            shape = expression("(0, *y.shape[1:])", y=all_rows)
            found = expression("np.shape(y)", y=one)
            comparisons.append(Agrees(f"{agree.name} shape{how}", found, shape))
    return Plan(setting.plan_steps(), tuple(comparisons))


@declare(
    family="recurrent",
    source=f"{_RNN_PAGE}, Call arguments: what a call is given is what it depends on",
    applies=lambda case: not _stateful(case) and case.form.masked,
    share=6,
    dear=True,
    plainest=True,
)
def second_call(case: RecurrentCase) -> Plan:
    """A call gives the same whatever was called before it: without a mask, on more or fewer rows.

    A sixth is traced behind these.
    """
    setting = Setting(case)
    setting.layer(fresh=True)
    one = setting.call("y", mode="eager")
    rows = [*reversed(range(setting.batch)), 0]
    rows = rows if case.weights % 2 or setting.batch <= _FEW else rows[:_FEW]
    steps = [*range(setting.max_len), *([] if _unrolled(case) else [0])]
    states = [expression(f"h[{rows}]", h=state) for state in setting.states]
    unmasked: dict[str, Any] = {"masked": "absent", "mode": "eager"}
    elsewhere = {
        **unmasked,
        "inputs": expression(f"x[{rows}][:, {steps}]", x=setting.values),
        "states": states if setting.given_states else None,
    }
    after = setting.call("after_mask", inputs=setting.values, **unmasked)
    other = setting.call("elsewhere", **elsewhere)
    traced = case.weights % _TRACED == 0
    two = setting.call("z", mode="graph" if traced else "eager")
    # A layer of its own, that no mask has ever reached.
    unused = setting.layer(open_shape=True, known_batch=True, hint="unmasked_layer", fresh=True)
    fresh = setting.call("fresh_elsewhere", layer=unused, **elsewhere)
    never = setting.call("never_masked", layer=unused, inputs=setting.values, **unmasked)
    comparisons = setting.all_agree(two, one, tolerance=setting.tolerance if traced else None)
    for what, left, right in (("without a mask", after, never), ("elsewhere", other, fresh)):
        comparisons += [
            dataclasses.replace(agree, name=f"{agree.name} {what}")
            for agree in setting.all_agree(left, right)
        ]
    return Plan(setting.plan_steps(), tuple(comparisons))


@declare(
    family="recurrent",
    source=f"{_RNN_PAGE}, Call arguments and their defaults",
    applies=lambda case: (
        case.form.initial_state == "absent" and case.form.training is None and case.form.masked
    ),
    share=2,
    dear=True,
)
def defaults_change_nothing(case: RecurrentCase) -> Plan:
    """Passing the default of an argument of the call changes nothing.

    Of a flag that is the bool of NumPy no page speaks; two layers stand for the others there.
    """
    setting = Setting(case)
    one = setting.call("y", mode="eager")
    extra = (
        {"training": False} if case.form.positional else {"training": False, "initial_state": None}
    )
    two = setting.call("z", mode="eager", **extra)
    comparisons = setting.all_agree(two, one)
    if case.spec.layer in _WITH_NUMPY:
        three = setting.call("n", mode="eager", training=np.bool_(False))
        comparisons += [
            dataclasses.replace(agree, name=f"{agree.name}, NumPy's flag", level="should")
            for agree in setting.all_agree(three, one)
        ]
    return Plan(setting.plan_steps(), tuple(comparisons))


@declare(
    family="recurrent",
    source="keras.io/guides/writing_a_custom_training_loop_in_tensorflow: tf.function",
    share=4,
    dear=True,
)
def eager_graph_agree(case: RecurrentCase) -> Plan:
    """An eager call and a traced one give the same outputs and states.

    Not bit by bit: a graph's optimizer fuses operations, which rounds otherwise (measured
    on GRU from 17 rows on, and in float64).
    """
    setting = Setting(case)
    one = setting.call("y", mode="eager")
    two = setting.call("z", mode="graph")
    return Plan(
        setting.plan_steps(), tuple(setting.all_agree(two, one, tolerance=setting.tolerance))
    )


# -- 9. Ragged tensors -------------------------------------------------------------------


@declare(
    family="recurrent",
    source=RAGGED,
    level="should",
    applies=lambda case: (
        _explicit(case)
        and not (case.form.positional or _stateful(case) or _unrolled(case))
        and not case.spec.get("time_major")
    ),
    share=12,
    dear=True,
)
def ragged(case: RecurrentCase) -> Plan:
    """Given a ragged tensor a layer gives, row by row, what it gives for a padded one, or refuses.

    That is what the reference says of a padded and masked tensor. An exception refuses: the record
    says which, and the difference of two records that it changed.
    """
    lengths = case.batch.lengths if any(case.batch.lengths) else (1, *case.batch.lengths[1:])
    rows = tuple("1" * n + "0" * (max(lengths) - n) for n in lengths)
    batch = msgspec.structs.replace(case.batch, mask=rows, content="zeros")
    case = msgspec.structs.replace(case, batch=batch)
    setting = Setting(case)
    call = setting.call("y", masked="absent", mode="eager")
    tensor = Ragged(
        expression("x[mask]", "steps", x=setting.inputs, mask=setting.mask),
        expression("mask.sum(axis=1)", "lengths", mask=setting.mask),
    )
    setting.steps[-1] = dataclasses.replace(call, args=(tensor, *call.args[1:]))
    exact, tolerance = setting.exact_reference()
    names = ["output", *(f"state {place}" for place in range(len(setting.sizes)))]
    expected = exact.outputs(case.spec)
    comparisons: list[Comparison] = []
    for name, y, value in zip(names, setting.outputs("y"), expected, strict=False):
        found, right = y, literal(value, "expected")
        if name == "output" and setting.has_sequence:
            # A row that is reversed begins with its last valid step.
            found = expression("y[mask]", y=found, mask=setting.mask)
            right = expression("y[valid]", y=right, valid=setting.processed)
        comparisons.append(Agrees(name, found, right, tolerance, "should", refusable=True))
    if setting.has_sequence:
        known = literal(np.array(lengths), "valid_steps")
        comparisons.append(
            Agrees("lengths", Output("y.lengths"), known, None, "should", refusable=True)
        )
    return Plan(setting.plan_steps(), tuple(comparisons))
