"""The runner: what is traced once, what starts afresh, what comes back, what fails as data."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from catalogue import weights
from catalogue.expressions import Expression, Output, expression, literal
from catalogue.recurrent_reference import reference, weight_shapes
from catalogue.specs import Spec
from catalogue.steps import (
    Build,
    Call,
    Gradient,
    Multiply,
    ResetState,
    Step,
    SymbolicShape,
    Through,
)
from execution.anatomy import pattern_of
from execution.implementation import Implementation, installed
from execution.results import Execution
from execution.running import Runner

LSTM = Spec("LSTM", {"units": 2, "return_sequences": True})
STATEFUL = LSTM.replace(stateful=True)
KERAS_MAJOR = installed().keras_major


@pytest.fixture(scope="module")
def implementation() -> Implementation:
    """The Keras that is installed, imported once."""
    return Implementation(installed())


@pytest.fixture
def graph(implementation: Implementation) -> Runner:
    """A runner that traces, which has run nothing yet."""
    return Runner(implementation, Execution("cpu:0", "graph"))


@pytest.fixture
def eager(implementation: Implementation) -> Runner:
    """A runner that does not trace, which has run nothing yet."""
    return Runner(implementation, Execution("cpu:0", "eager"))


@pytest.fixture(params=["eager", "graph"])
def runner(request: pytest.FixtureRequest, implementation: Implementation) -> Runner:
    """A runner in each of the two modes."""
    return Runner(implementation, Execution("cpu:0", request.param))


def inputs(batch: int = 2, max_len: int = 3, features: int = 1, seed: int = 0) -> Expression:
    """Inputs drawn from a seed."""
    shape = (batch, max_len, features)
    return literal(np.random.default_rng(seed).uniform(-1, 1, shape).astype("float32"))


def build(spec: Spec = LSTM, *, batch: int | None = None, seed: int = 1) -> Build:
    """The layer under the name `layer`."""
    return Build("layer", spec, (batch, None, 1), seed)


def call(name: str = "y", given: Expression | None = None, **options: Any) -> Call:
    """A call of the layer `layer` on inputs."""
    return Call(name, "layer", (given or inputs(),), {}, **options)


def masked(name: str = "y", mask: Expression | None = None, **sizes: int) -> Call:
    """A call with an explicit mask, the last step of every row masked."""
    given = inputs(**sizes)
    mask = mask or expression(
        "np.arange(x.shape[1])[None] < x.shape[1] - 1 + 0 * x[:, :1, 0]", x=given
    )
    return Call(name, "layer", (given,), {"mask": mask})


# -- what is traced --------------------------------------------------------------------------


def test_other_batches_and_lengths_are_traced_once(graph: Runner) -> None:
    """A trace is made for unknown sizes, so that a new batch costs a call only."""
    for batch, max_len in ((2, 3), (5, 3), (1, 1), (33, 7)):
        results = graph.run((build(), masked(batch=batch, max_len=max_len)))
        assert results.outputs["y"][0].shape == (batch, max_len, 2)
    assert graph.counters.counts["trace"] == 1
    assert graph.counters.counts["build"] == 1
    assert graph.counters.counts["traced call"] == 4


def test_other_weights_are_traced_once_and_used(graph: Runner) -> None:
    """Weights are assigned to the layer that was traced, each seed when it changes."""
    first, second, third = (
        graph.run((build(seed=seed), call())).outputs["y"][0] for seed in (1, 2, 1)
    )
    assert graph.counters.counts["trace"] == 1
    assert graph.counters.counts["set weights"] == 3
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, third)


def test_weights_that_stay_are_not_set_again(graph: Runner) -> None:
    """The same seed costs nothing the second time."""
    for _ in range(3):
        graph.run((build(), call()))
    assert graph.counters.counts["set weights"] == 1


@pytest.mark.parametrize(
    "other",
    [
        (build(LSTM.replace(units=3)), call()),
        (build(), masked()),
        (build(), Call("y", "layer", (inputs(),), {"training": False})),
    ],
    ids=["another argument", "a mask", "another flag of the call"],
)
def test_what_changes_the_graph_is_traced_again(graph: Runner, other: tuple[Step, ...]) -> None:
    """A trace is shared by calls of one form on one layer only."""
    graph.run((build(), call()))
    graph.run(other)
    assert graph.counters.counts["trace"] == 2


def test_an_input_of_another_dtype_is_traced_again(graph: Runner) -> None:
    """What is known of a tensor when it is traced are its dtype and its rank."""
    for dtype in ("float32", "float64", "float32", "float64"):
        graph.run((build(), call("y", expression(f"x.astype({dtype!r})", x=inputs()))))
    assert graph.counters.counts["trace"] == 2


def test_calls_that_are_compared_share_a_trace(graph: Runner) -> None:
    """Two calls of one form in one list are one trace."""
    graph.run((build(), call("y"), call("z", inputs(4, 5))))
    assert graph.counters.counts["trace"] == 1


def test_an_eager_runner_traces_nothing(eager: Runner) -> None:
    """Calls are counted, traces are not there."""
    eager.run((build(), call()))
    assert eager.counters.counts["eager call"] == 1
    assert not eager.counters.counts["trace"]


def test_a_call_may_ask_for_the_other_mode(eager: Runner) -> None:
    """An agreement property runs one call in both modes, with one shape and near values."""
    results = eager.run((build(), call("y"), call("z", mode="graph")))
    y, z = results.outputs["y"][0], results.outputs["z"][0]
    assert y.shape == z.shape
    np.testing.assert_allclose(y, z, rtol=0, atol=1e-6)
    assert eager.counters.counts["trace"] == 1


def test_products_of_known_shapes_are_traced_for_each_and_others_once(graph: Runner) -> None:
    """Where shapes are unknown only ranks are, and one trace does for all."""
    for static, traces in ((True, 2), (False, 3)):
        for size in (2, 3):
            ones = literal(np.ones((size, 1), "float32"))
            results = graph.run((Multiply("product", ones, ones, static=static),))
            assert results.outputs["product"][0].shape == (size, 1)
        assert graph.counters.counts["trace"] == traces


def test_forgetting_empties_what_is_kept(graph: Runner) -> None:
    """After `forget` all is built and traced once more, and gives the same."""
    ones = literal(np.ones((1, 1), "float32"))
    steps = (build(), call(), Multiply("product", ones, ones))
    before = graph.run(steps).outputs["y"][0]
    counted = graph.counters.counts["trace"]
    graph.forget()
    after = graph.run(steps).outputs["y"][0]
    np.testing.assert_array_equal(before, after)
    assert graph.counters.counts["trace"] == 2 * counted
    assert graph.counters.counts["build"] == 2


# -- states ----------------------------------------------------------------------------------


def test_a_stateful_layer_starts_afresh_with_each_list(runner: Runner) -> None:
    """The same steps give the same, however often they were run."""
    steps = (build(STATEFUL, batch=2), call())
    first = runner.run(steps).outputs["y"][0]
    np.testing.assert_array_equal(first, runner.run(steps).outputs["y"][0])
    assert runner.counters.counts["build"] == 1


def test_a_stateful_layer_goes_on_within_a_list(runner: Runner) -> None:
    """The second call starts where the first one ended; two halves are the whole."""
    given = inputs(2, 4)
    halves = [expression(f"x[:, {k}:{k + 2}]", x=given) for k in (0, 2)]
    steps = (build(STATEFUL, batch=2), call("y", halves[0]), call("z", halves[1]))
    whole = runner.run((build(), call("y", given))).outputs["y"][0]
    results = runner.run(steps)
    joined = np.concatenate([results.outputs[name][0] for name in "yz"], 1)
    np.testing.assert_allclose(joined, whole, rtol=0, atol=1e-6)


def test_a_reset_is_the_layers_own(runner: Runner) -> None:
    """After `ResetState` a call gives what the first one gave."""
    steps = (build(STATEFUL, batch=2), call("y"), ResetState("layer"), call("z"))
    results = runner.run(steps)
    np.testing.assert_array_equal(results.outputs["y"][0], results.outputs["z"][0])


# -- what comes back -------------------------------------------------------------------------


def test_masks_of_outputs_come_back_under_their_own_name(runner: Runner) -> None:
    """A mask that `Masking` makes travels through a layer that returns sequences."""
    given = literal(np.array([[[1.0], [0.0]], [[2.0], [3.0]]], "float32"))
    through = Through("masking", (given,))
    masking = Build("masking", Spec("Masking"), (None, None, 1))
    results = runner.run((masking, build(), Call("y", "layer", (through,), {})))
    (mask,) = results.outputs["y.mask"]
    assert mask.tolist() == [[True, False], [True, True]]


def test_an_output_without_a_mask_has_none(runner: Runner) -> None:
    """The absence of a mask comes back too, in each place."""
    spec = LSTM.replace(return_state=True)
    results = runner.run((build(spec), call(outputs=3)))
    assert len(results.outputs["y"]) == 3
    assert results.outputs["y.mask"] == (None, None, None)


@pytest.mark.parametrize("arguments", [{}, {"return_sequences": True}, {"return_state": True}])
def test_eager_and_traced_calls_have_the_same_shapes(
    eager: Runner, graph: Runner, arguments: dict[str, Any]
) -> None:
    """Outputs, states and masks are of one shape in both modes, and so is their dtype."""
    steps = (build(Spec("GRU", {"units": 2, **arguments})), masked())
    one, other = (each.run(steps).outputs["y"] for each in (eager, graph))
    assert [(a.shape, a.dtype) for a in one] == [(b.shape, b.dtype) for b in other]


def test_a_layer_that_says_its_mask_itself_is_there(runner: Runner) -> None:
    """`Travelling` hands on its first input with the second as its mask."""
    mask = literal(np.array([[True, False, True]] * 2))
    travelling = Build("travelling", Spec("Travelling"), (None, None, 1))
    through = Through("travelling", (inputs(), mask))
    results = runner.run(
        (travelling, build(), Call("y", "layer", (through,), {}), masked("z", mask))
    )
    np.testing.assert_allclose(results.outputs["y"][0], results.outputs["z"][0], atol=1e-6)


def test_what_is_fresh_has_been_called_by_nobody(eager: Runner) -> None:
    """It is built for each list of steps; what is not is built once."""
    fresh = dataclasses.replace(build(), fresh=True)
    for step, built in ((build(), 1), (fresh, 3)):
        for _ in range(2):
            eager.run((step, call()))
        assert eager.counters.counts["build"] == built


def test_symbolic_shapes_leave_unknown_sizes_open(runner: Runner) -> None:
    """A symbolic call knows the features and what the layer was told."""
    results = runner.run((build(), SymbolicShape("symbolic", "layer", (None, 1))))
    assert results.outputs["symbolic"] == ((None, None, 2),)


# -- gradients -------------------------------------------------------------------------------

LINEAR = Spec("SimpleRNN", {"units": 1, "return_sequences": True})


def objective(given: np.ndarray, drawn: list[np.ndarray]) -> float:
    """The sum of sines of the outputs, by the reference."""
    spec = LINEAR
    outputs = reference(spec, drawn, given, None, None, dtype=np.float64).outputs(spec)
    return float(np.sin(outputs[0]).sum())


def slope(at: np.ndarray, function: Any) -> np.ndarray:
    """The gradient of a function of an array by central differences."""
    found = np.zeros_like(at)
    for place in np.ndindex(at.shape):
        shifted = [at.copy(), at.copy()]
        shifted[0][place] += 1e-6
        shifted[1][place] -= 1e-6
        found[place] = (function(shifted[0]) - function(shifted[1])) / 2e-6
    return found


def test_gradients_are_those_of_finite_differences(runner: Runner) -> None:
    """With respect to the inputs first and then to each weight, for two steps of one row."""
    given = np.array([[[0.5], [-0.25]]])
    built = Build("layer", LINEAR.with_policy("float64"), (None, None, 1), 3)
    step = Gradient("dy", Call("y", "layer", (literal(given),), {}))
    gradients = runner.run((built, step)).outputs["dy"]
    drawn = weights.drawn(3, weight_shapes(LINEAR, 1))
    assert len(gradients) == 1 + len(drawn)
    np.testing.assert_allclose(
        gradients[0], slope(given, lambda x: objective(x, drawn)), rtol=0, atol=1e-8
    )
    for place, gradient in enumerate(gradients[1:]):

        def moved(weight: np.ndarray, place: int = place) -> float:
            return objective(given, [*drawn[:place], weight, *drawn[place + 1 :]])

        np.testing.assert_allclose(gradient, slope(drawn[place], moved), rtol=0, atol=1e-8)


def test_gradients_are_traced_apart_from_calls(graph: Runner) -> None:
    """A call and its gradient are two traces, whatever the sizes."""
    for size in (2, 3):
        graph.run((build(), call("y", inputs(size)), Gradient("dy", call("y", inputs(size)))))
    assert graph.counters.counts["trace"] == 2


# -- failures --------------------------------------------------------------------------------


def test_a_layer_that_is_not_there_fails_what_needs_it_and_nothing_else(runner: Runner) -> None:
    """Its calls, and what depends on them, fail with the layer's own failure."""
    results = runner.run(
        (
            Build("missing", Spec("NoSuchLayer"), (None, None, 1)),
            build(),
            Call("y", "missing", (inputs(),), {}),
            Call("z", "layer", (inputs(),), {}),
            Call("after", "layer", (expression("y", y=Output("y")),), {}),
        )
    )
    assert set(results.failures) == {"missing", "y", "after"}
    assert {failure.step for failure in results.failures.values()} == {"missing"}
    assert results.failures["y"].exception == "AttributeError"
    assert "NoSuchLayer" in results.failures["y"].message
    assert results.outputs["z"][0].shape == (2, 3, 2)
    assert results.failure_of("z") is None


def test_a_layer_that_refuses_its_arguments_fails(runner: Runner) -> None:
    """The exception of the constructor is data, with its class and first line."""
    results = runner.run((build(Spec("LSTM", {"units": -1})), call()))
    assert results.failures["y"].step == "layer"
    assert results.failures["y"].exception == "ValueError"
    assert "\n" not in results.failures["y"].message


def test_a_call_that_is_refused_fails_alone(runner: Runner) -> None:
    """The layer is there for the next call."""
    wrong = literal(np.zeros((2, 3, 1, 1), "float32"))
    results = runner.run((build(), call("y", wrong), call("z")))
    assert set(results.failures) == {"y"}
    assert results.failures["y"].step == "y"
    assert "z" in results.outputs


_IN_USER_CODE = """in user code:

    File "script.py", line 14, in None  *
        lambda x, m: layer(x, mask=m)
    File "keras/base_layer.py", line 70, in error_handler
        raise e.with_traceback(filtered_tb) from None

    TypeError: Exception encountered when calling layer 'lstm' (type LSTM).

    The mask is of floats.

    Call arguments received by layer 'lstm' (type LSTM):
      inputs=tf.Tensor(shape=(None, None, 1), dtype=float32)
"""
_IN_A_CALL = """Exception encountered when calling LSTM.call().

\x1b[1mThe mask is of floats.\x1b[0m

Arguments received by LSTM.call():
"""


_IN_A_GRAPH = """Graph execution error:

Detected at node lstm/add defined at (most recent call last):
  File "script.py", line 10, in <module>

  File "keras/lstm.py", line 343, in call

{}
\t [[{{{{node lstm/add}}}}]] [Op:__inference_call_55]
"""


@pytest.mark.parametrize("text", [_IN_USER_CODE, _IN_A_CALL, "The mask is of floats."])
def test_of_an_exception_the_line_is_kept_that_says_what_is_wrong(
    text: str, implementation: Implementation
) -> None:
    """And not the traceback before it, nor the arguments behind it."""
    assert said(implementation, text) == "The mask is of floats."


def said(implementation: Implementation, text: str) -> str:
    """What is kept of an exception of this text, which a layer raises."""

    class Refusing(implementation.keras.layers.LSTM):  # type: ignore[misc]
        def build(self, *_: Any) -> None:
            raise TypeError(text)

    runner = Runner(Implementation(implementation.installed, {"LSTM": Refusing}), Execution())
    failure = runner.run((build(),)).failures["layer"]
    assert failure.exception == "TypeError"
    return failure.message


@pytest.mark.parametrize("message", ["No kernel for node {{node lstm/add}}", "No such kernel"])
def test_of_an_error_in_a_graph_the_line_is_kept_that_names_its_node(
    message: str, implementation: Implementation
) -> None:
    """Or the one before it, where the node stands in a line of its own."""
    text = _IN_A_GRAPH.format(message)
    assert said(implementation, text) == message


def test_a_failure_is_no_memory(runner: Runner) -> None:
    """What was refused once is tried again."""
    wrong = literal(np.zeros((2, 3, 1, 1), "float32"))
    runner.run((build(), call("y", wrong)))
    assert not runner.run((build(), call("y"))).failures


# -- an implementation is a namespace --------------------------------------------------------


def test_a_class_may_be_overridden(implementation: Implementation) -> None:
    """A planted defect is a class in place of the one of Keras."""
    layers = implementation.keras.layers

    class Silent(layers.LSTM):  # type: ignore[misc, name-defined]
        """An LSTM of zeros."""

        def call(self, *args: Any, **kwargs: Any) -> Any:
            """Give zeros."""
            return 0 * super().call(*args, **kwargs)

    planted = Implementation(implementation.installed, {"LSTM": Silent})
    runner = Runner(planted, Execution("cpu:0", "eager"))
    assert not runner.run((build(), call())).outputs["y"][0].any()
    assert Runner(implementation, Execution()).run((build(), call())).outputs["y"][0].any()


def test_the_product_may_be_overridden(implementation: Implementation) -> None:
    """So is `*`."""
    planted = Implementation(implementation.installed, {"multiply": lambda a, b: a + b})
    three = literal(np.full((1,), 3.0, "float32"))
    results = Runner(planted, Execution()).run((Multiply("product", three, three),))
    assert results.outputs["product"][0].tolist() == [6.0]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((2, 3), (None, 3)), ((2, 3, 4), (None, None, None)), ((2, 5, 3, 4), (None, 5, None, None))],
)
def test_masks_are_traced_for_what_is_known_of_their_tensors(
    shape: tuple[int, ...], expected: tuple[int | None, ...]
) -> None:
    """A mask of steps has as many as the tensors; one of single elements has heads alone."""
    built = Build("layer", Spec("Attention"), ((None, 3, 2), (None, 3, 2)))
    assert pattern_of(np.ones(shape, bool), True, built) == expected
