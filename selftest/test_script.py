"""Scripts: the steps of a comparison, written as plain Keras code, show what it says."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import warnings
from typing import Any

import msgspec
import numpy as np
import pytest

from catalogue.broadcasting import WITNESS, BroadcastCase, Mode
from catalogue.cases import CallForm, RaggedBatch, RecurrentCase
from catalogue.expressions import Expression, Output, expression
from catalogue.layer_cases import LayerCase, Tensor
from catalogue.recurrent import LAYERS
from catalogue.specs import Spec
from execution.implementation import Implementation, installed
from execution.results import Execution, Results
from execution.running import Runner
from execution.script import fails, script
from properties import test_conformance  # noqa: F401 (declares the properties)
from properties.comparisons import Agrees, Comparison, Mismatch, Plan, mismatches
from properties.explaining import described, ending
from properties.registry import PROPERTIES, Property
from selftest.helpers import find_any
from strategies.configurations import configurations
from strategies.operands import broadcast_cases
from strategies.recurrent import recurrent_cases

INSTALLED = installed()
RECURRENT = [name for name, one in PROPERTIES.items() if one.family == "recurrent"]
BROADCASTING = [name for name, one in PROPERTIES.items() if one.family == "broadcasting"]
CASES = 2  # of each property


@functools.cache
def runner(mode: str) -> Runner:
    """A runner of the installed implementation in one mode."""
    return Runner(Implementation(INSTALLED), Execution("cpu:0", mode))


def raised(text: str) -> str | None:
    """The class of the exception with which a script ends, None where it runs to its end."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            # `fit` says so of each dataset of unknown number.
            warnings.filterwarnings("ignore", message=".*ran out of data.*")
            exec(compile(text, "<script>", "exec"), {"__name__": "__main__"})
    except Exception as error:
        return type(error).__name__
    return None


def mismatch_of(comparison: Comparison, plan: Plan, results: Results) -> Mismatch | None:
    """What is wrong with one comparison, alone."""
    return next(mismatches(Plan(plan.steps, (comparison,)), results), None)


def written(
    plan: Plan, comparison: Comparison, results: Results, mismatch: Mismatch | None, mode: str
) -> str:
    """The script of a comparison, as a cell would print it, also where it holds."""
    if mismatch is None:
        bound = None
        if isinstance(comparison, Agrees) and comparison.tolerance is not None:
            side = comparison.right
            right = (
                results.outputs[side.step][side.index]
                if isinstance(side, Output)
                else side.value(results.outputs)
            )
            bound = float(np.max(comparison.tolerance.of(right)))
        mismatch = Mismatch(comparison, "wrong value", "", bound=bound)
    lines, operands = ending(comparison, mismatch)
    return script(plan.steps, lines, operands, module=INSTALLED.name, mode=mode)


def falsified(comparison: Comparison) -> Comparison | None:
    """The comparison with a right side that is off by seven."""
    if not isinstance(comparison, Agrees) or comparison.name == "dtype":
        return None
    wrong = expression("np.asarray(right, float) + 7", "wrong", right=comparison.right)
    return dataclasses.replace(comparison, right=wrong)


_OF_SHAPES = {"ValueError", "InvalidArgumentError"}  # where sizes are known, and where not


def check(property: Property, case: Any, mode: str) -> int:
    """The first and the last comparison of a case agree with their scripts; how many could be
    falsified."""
    plan = property.function(case)
    results = runner(mode).run(plan.steps)
    count = 0
    compared = plan.comparisons
    for comparison in compared[:1] + compared[1:][-1:]:
        allowed = isinstance(comparison, Agrees) and comparison.refusable
        if isinstance(comparison, Agrees) and allowed:
            # An allowed refusal is no failure: no script is ever written for it.
            comparison = dataclasses.replace(comparison, refusable=False)  # noqa: PLW2901
        mismatch = mismatch_of(comparison, plan, results)
        text = written(plan, comparison, results, mismatch, mode)
        expects_error = mismatch is not None or not isinstance(comparison, Agrees)
        if isinstance(comparison, Agrees) or comparison.name != "accepted":
            assert (raised(text) is not None) == expects_error, text
        else:
            assert raised(text) is None, text
        if mismatch is not None and mismatch.exception is not None:
            error = raised(text)
            # Methods know sizes that a traced step does not: shapes are refused at tracing there.
            sizes = allowed and {error, mismatch.exception} == _OF_SHAPES
            assert sizes or error == mismatch.exception, text
        wrong = falsified(comparison)
        if mismatch is None and wrong is not None:
            found = mismatch_of(wrong, plan, results)
            if found is not None:
                text = written(plan, wrong, results, found, mode)
                assert raised(text) == "AssertionError", text
                count += 1
    return count


def cases_of(property: Property) -> list[RecurrentCase]:
    """A few cases of a property, of different layers and flags."""
    layers = list(LAYERS)
    start = RECURRENT.index(property.name)
    found = []
    for place in range(CASES):
        entry = LAYERS[layers[(start + 2 * place) % len(layers)]]
        every = configurations(entry, keras_major=INSTALLED.keras_major, seed=place)
        some = [one for one in every if property.applies(one) and (one.batch or 1) < 9]
        configuration = some[(7 * start + 23 * place) % len(some)]
        strategy = recurrent_cases(configuration=configuration, choices=property.choices)
        found.append(
            find_any(
                strategy,
                lambda case: (
                    case.batch.batch * case.batch.max_len < 21
                    and all(case.batch.lengths)
                    and (
                        case.batch.max_len == 1
                        or not case.form.masked
                        or any("0" in row for row in case.batch.mask)
                    )
                ),
            )
        )
    return found


# -- every property --------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECURRENT)
def test_a_script_fails_just_where_its_comparison_does(name: str) -> None:
    """What holds runs to its end; what is made wrong ends in an AssertionError."""
    property = PROPERTIES[name]
    count = sum(check(property, case, "eager") for case in cases_of(property))
    refused = name == "ragged" and INSTALLED.keras_major == 3  # which takes no ragged tensors
    raises = name == "misfit_mask_refused"  # and compares no values that could be made wrong
    assert count or refused or raises


@pytest.mark.parametrize("name", ["truth", "held_state", "padding_gradient", "eager_graph_agree"])
def test_a_script_of_a_graph_fails_just_where_its_comparison_does(name: str) -> None:
    """Traced calls are written as traced calls."""
    property = PROPERTIES[name]
    assert sum(check(property, case, "graph") for case in cases_of(property))


@pytest.mark.parametrize("name", BROADCASTING)
@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_a_script_of_a_product_fails_just_where_its_comparison_does(name: str, mode: Mode) -> None:
    """Products that are accepted and products that are refused."""
    property = PROPERTIES[name]
    count = 0
    for accepted in (True, False):
        strategy = broadcast_cases(stratum="any", mode=mode).filter(property.applies)
        if name in ("product_values", "product_dtype") and not accepted:
            continue

        def wanted(case: BroadcastCase, accepted: bool = accepted) -> bool:
            return (case.result is not None) == accepted

        count += check(property, find_any(strategy, wanted), mode)
    assert count or name in ("product_outcome", "product_dtype")


# -- every form ------------------------------------------------------------------------------

BATCH = RaggedBatch(("110", "011"))


def lstm(**arguments: Any) -> Spec:
    """A small LSTM."""
    return Spec("LSTM", {"units": 1, **arguments})


def case_of(spec: Spec | None = None, form: CallForm | None = None, **more: Any) -> RecurrentCase:
    """A case of two rows of three steps."""
    batch = more.pop("batch", BATCH)
    return RecurrentCase(spec=spec or lstm(), batch=batch, form=form or CallForm(), **more)


CELLS = (Spec("LSTMCell", {"units": 1}), Spec("GRUCell", {"units": 2}))
FORMS: dict[str, tuple[str, RecurrentCase, str]] = {
    "explicit": ("truth", case_of(), "mask=tf.constant(mask)"),
    "masking": ("truth", case_of(form=CallForm(mask="masking")), "keras.layers.Masking("),
    "embedding": ("truth", case_of(form=CallForm(mask="embedding")), "keras.layers.Embedding("),
    "travelling": ("truth", case_of(form=CallForm(mask="travelling")), "class Travelling("),
    "no mask": ("truth", case_of(form=CallForm(mask="none")), "mask=None"),
    "integers": ("truth", case_of(form=CallForm(mask_dtype="int32")), "mask.astype('int32')"),
    "states": ("truth", case_of(form=CallForm(initial_state="keyword")), "initial_state=["),
    "training": ("truth", case_of(form=CallForm(training=False)), "training=False"),
    "stateful": (
        "stateful_chunks",
        case_of(lstm(stateful=True, return_sequences=True), chunks=(1, 2)),
        "stateful=True",
    ),
    "reset": ("reset_equals_fresh", case_of(lstm(stateful=True)), "reset_state"),
    "unrolled": ("unrolled_equals_looped", case_of(lstm(unroll=True)), "unroll=True"),
    "longer": ("extension", case_of(lstm(), inserted=(1,)), "mask=tf.constant(longer_mask)"),
    "stacked": ("truth", case_of(Spec("RNN", {"cell": CELLS})), "LSTMCell(units=1)"),
    "policy": ("truth", case_of(policy="mixed_float16"), "dtype='mixed_float16'"),
    "stacked policy": (
        "truth",
        case_of(Spec("RNN", {"cell": CELLS}), policy="float64"),
        "StackedRNNCells(",
    ),
    "gradient": ("padding_gradient", case_of(other="ones"), "tf.GradientTape()"),
    "two masks": ("mask_precedence", case_of(travelling=("111", "100")), "class Travelling("),
    "shapes": ("symbolic_shape", case_of(lstm(return_state=True)), "keras.Input("),
    "NaN": ("padding_content", case_of(batch=RaggedBatch(("10",), "nan"), other="inf"), "np.nan"),
}
POSITIONAL: dict[str, tuple[str, RecurrentCase, str]] = {
    "mask": ("truth", case_of(form=CallForm(positional=True)), "None, tf.constant(mask)"),
    "states": ("truth", case_of(form=CallForm(initial_state="positional")), "[tf.constant(state0)"),
}
if INSTALLED.keras_major > 2:
    FORMS |= {f"positional {name}": form for name, form in POSITIONAL.items()}


@pytest.mark.parametrize("mode", ["eager", "graph"])
@pytest.mark.parametrize(("name", "case", "part"), FORMS.values(), ids=FORMS)
def test_every_form_is_written_as_a_user_would_write_it(
    name: str, case: RecurrentCase, part: str, mode: str
) -> None:
    """The script has what the form is known by, and agrees with its comparison."""
    property = PROPERTIES[name]
    assert property.applies(case)
    plan = property.function(case)
    results = runner(mode).run(plan.steps)
    comparison = plan.comparisons[0]
    mismatch = mismatch_of(comparison, plan, results)
    text = written(plan, comparison, results, mismatch, mode)
    assert part in text or mode == "graph", text
    assert (raised(text) is not None) == (mismatch is not None), text
    assert fails(text) == (mismatch is not None)


def test_a_graph_is_written_with_unknown_sizes() -> None:
    """Batch and length stay open, as in the run."""
    case = case_of()
    plan = PROPERTIES["truth"].function(case)
    comparison = plan.comparisons[0]
    results = runner("graph").run(plan.steps)
    text = written(plan, comparison, results, None, "graph")
    assert "tf.TensorSpec([None, None, 1]" in text
    assert "tf.TensorSpec([None, None]" in text


def test_states_of_a_stateful_layer_start_at_zero_in_a_script() -> None:
    """Weights are drawn for what the layer learns, never for the states that it keeps."""
    case = case_of(lstm(stateful=True, return_state=True), weights=5)
    plan = PROPERTIES["truth"].function(case)
    results = runner("eager").run(plan.steps)
    for comparison in plan.comparisons:
        text = written(plan, comparison, results, None, "eager")
        assert raised(text) is None, text


# -- how it reads ----------------------------------------------------------------------------

CHOSEN = {
    "other": "ones",
    "order": (0,),
    "inserted": (0,),
    "chunks": (1, 1),
    "travelling": ("01",),
}
LONGEST = {
    "padding_gradient": 24,
    "compacted_gradient": 26,
    "mask_precedence": 21,
    "mask_delivery": 21,
    # Two layers, four lines each.
    "return_state_is_an_addition": 16,
    "second_call": 16,
    "restored_is_the_same": 17,  # the layer is built twice
    "functional_is_the_same": 17,  # and so is a model of it
    "last_output_is_last_step": 16,
    "unrolled_equals_looped": 16,
    "stateful_chunks": 18,
    "ragged": 17,  # two functions that tell ragged tensors from others
}


@pytest.mark.parametrize("name", RECURRENT)
def test_a_minimal_case_has_a_short_script(name: str) -> None:
    """Fifteen lines show a small case; gradients, a second layer or a custom one take some more."""
    property = PROPERTIES[name]
    case = case_of(batch=RaggedBatch(("10",)))
    for spec, form in (
        (lstm(), CallForm()),
        (lstm(return_sequences=True), CallForm()),
        (lstm(unroll=True), CallForm()),
        (lstm(stateful=True, return_sequences=True), CallForm()),
        (lstm(), CallForm(mask="travelling")),
    ):
        chosen = {choice: CHOSEN[choice] for choice in property.choices}
        case = msgspec.structs.replace(case, spec=spec, form=form, **chosen)
        if property.applies(case) and property.function(case).comparisons:
            break
    plan = property.function(case)
    results = runner("eager").run(plan.steps)
    comparison = plan.comparisons[0]
    mismatch = mismatch_of(comparison, plan, results)
    text = written(plan, comparison, results, mismatch, "eager")
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) <= LONGEST.get(name, 15), text
    assert max(map(len, lines)) <= 200, text


def test_the_witness_of_the_hazard_is_short() -> None:
    """The product that a mask changes silently is shown in a handful of lines."""
    plan = PROPERTIES["intended_axes"].function(WITNESS)
    results = runner("graph").run(plan.steps)
    text = written(plan, plan.comparisons[0], results, None, "eager")
    assert len(text.splitlines()) <= 10, text


def test_small_arrays_are_written_out() -> None:
    """Up to twelve values say more than how they were drawn."""
    plan = PROPERTIES["truth"].function(case_of())
    results = runner("eager").run(plan.steps)
    text = written(plan, plan.comparisons[0], results, None, "eager")
    assert "mask = np.array([[1, 1, 0], [0, 1, 1]], 'bool')" in text.replace('"', "'")
    assert "default_rng(0).uniform(-1, 1, (2, 3, 1))" not in text


def test_a_script_leaves_out_what_its_comparison_does_not_need() -> None:
    """Of two calls the one that is compared is written."""
    plan = PROPERTIES["compaction"].function(case_of(batch=RaggedBatch(("100", "110"))))
    results = runner("eager").run(plan.steps)
    text = written(plan, plan.comparisons[0], results, None, "eager")
    assert "alone1 =" in text
    assert "alone2 =" not in text


def test_tf_keras_is_imported_under_the_name_of_keras() -> None:
    """The rest of the script does not change."""
    plan = PROPERTIES["truth"].function(case_of())
    sides: dict[str, Expression | Output] = {"y": Output("y")}
    texts = [
        script(plan.steps, ["print({y})"], sides, module=module) for module in ("keras", "tf_keras")
    ]
    assert "import tf_keras as keras\n" in texts[1]
    assert texts[1].replace("import tf_keras as keras", "import keras") == texts[0]


def test_a_script_that_is_no_python_counts_as_failing() -> None:
    """`fails` answers yes or no, whatever it is given to run."""
    assert fails("raise ValueError")
    assert fails("1 +")
    assert not fails("print('quiet')")


def test_a_script_shows_what_it_should_and_nothing_else() -> None:
    """What is refused eagerly and taken in a graph is shown in a graph: a refusal is no sign."""
    case = LayerCase(
        Spec("TimeDistributed", {"layer": Spec("Dense", {"units": 3})}),
        (Tensor(("1",), (1,)),),
        form="explicit",
    )
    plan = PROPERTIES["wrong_mask_refused"].function(case)
    results = runner("graph").run(plan.steps)
    mismatch = next(mismatches(plan, results))
    finding = described(plan, mismatch, INSTALLED.name, modes=("eager", "graph"), executed=True)
    assert finding["script_fails"]
    assert "tf.function" in finding["script"]
    finding = described(plan, mismatch, INSTALLED.name, modes=("eager",), executed=True)
    assert not finding["script_fails"]
