"""Chains: how contracts fold, the code that builds them, what is drawn, and planted defects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from catalogue.chain_source import chain_source
from catalogue.chains import WAYS, ChainCase, Node, folded
from catalogue.layer_cases import Tensor
from catalogue.specs import Spec
from execution.implementation import Implementation
from execution.results import Execution
from execution.running import Runner
from properties.cells import Cell, Profile
from properties.chain_family import CHAINS, chain_facts, chain_strata, simpler_chain
from properties.chain_setting import ChainSetting
from properties.comparisons import mismatches
from properties.registry import PROPERTIES
from properties.running import CellRunner
from reports.ledger import Ledger
from selftest.defective import Defect
from selftest.helpers import find_any, minimal
from strategies.chains import layer_chains

TENSOR = Tensor(("110", "100"))
DENSE = Spec("Dense", {"units": 2})
LSTM = Spec("LSTM", {"units": 2, "return_sequences": True})


def chain(*nodes: Node, tensors: tuple[Tensor, ...] = (TENSOR,), **more: Any) -> ChainCase:
    """A chain of these nodes on one tensor."""
    return ChainCase(nodes, tensors, **more)


RESIDUAL = chain(Node(DENSE), Node(LSTM, (1,)), Node(Spec("Add"), (1, 2)))


# -- contracts, folded -----------------------------------------------------------------------


def test_masks_travel_from_layer_to_layer() -> None:
    """A dense layer and a recurrent one hand the mask on, a last output has none."""
    last = Node(Spec("LSTM", {"units": 1}), (2,))
    stages = folded(chain(Node(DENSE), Node(LSTM, (1,)), last), [np.zeros((2, 3, 2))])
    valid = TENSOR.valid
    assert [stage.mask is None for stage in stages] == [False, False, True]
    assert all((stage.mask == valid).all() for stage in stages[:2] if stage.mask is not None)
    assert [stage.output.shape for stage in stages] == [(2, 3, 2), (2, 3, 2), (2, 1)]


def test_what_meets_is_valid_where_all_of_it_is() -> None:
    """Of two inputs with masks 110 and 011 the sum is valid in the middle."""
    both = chain(Node(Spec("Add"), (0, 1)), tensors=(Tensor(("110",)), Tensor(("011",))))
    (stage,) = folded(both, [np.ones((1, 3, 2)), np.ones((1, 3, 2))])
    assert stage.mask is not None
    assert stage.mask.tolist() == [[False, True, False]]
    assert stage.output[0, 1].tolist() == [2, 2]
    assert np.isnan(stage.output[0, 0]).all()


def test_each_layer_computes_in_its_own_dtype() -> None:
    """A third is another number behind a layer of half precision."""
    relu = chain(Node(Spec("ReLU"), policy="float16"), tensors=(Tensor(("1",)),))
    (stage,) = folded(relu, [np.full((1, 1, 2), 1 / 3)], "float64")
    assert stage.output[0, 0, 0] == float(np.float16(1 / 3))


# -- code ------------------------------------------------------------------------------------


def test_the_code_of_a_chain_is_what_a_user_would_write() -> None:
    """A Functional model with a residual connection."""
    source = chain_source(RESIDUAL, way="functional", name="model")
    for line in (
        "t1 = layers[0](t0)",
        "t2 = layers[1](t1)",
        "t3 = layers[2]([t1, t2])",
        "model = keras.Model(inputs, t3)",
    ):
        assert line in source


def test_ways_that_a_chain_has_not_are_named() -> None:
    """A residual connection is no Sequential, and has no second half of its own."""
    for way in ("sequential", "nested"):
        with pytest.raises(ValueError, match=f"way='{way}'"):
            chain_source(RESIDUAL, way=way, name="model")  # type: ignore[arg-type]


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_build_gives_the_reference(way: Any, found: Implementation) -> None:
    """The same values and the same mask, for a chain behind Masking."""
    case = chain(Node(DENSE), Node(LSTM, (1,)), maker="masking")
    setting = ChainSetting(case)
    setting.call("y", setting.model(way))
    results = Runner(found, Execution()).run(tuple(setting.steps))
    assert not results.failures
    stage = setting.stages[-1]
    (y,), (mask,) = results.outputs["y"], results.outputs["y.mask"]
    valid = TENSOR.valid
    np.testing.assert_allclose(y[valid], stage.output[valid], atol=1e-5)
    np.testing.assert_array_equal(mask, valid)


# -- what is drawn ---------------------------------------------------------------------------


@pytest.mark.parametrize("family", CHAINS)
def test_chains_shrink_to_few_layers_and_one_step(family: str) -> None:
    """Hypothesis' smallest chain, made simpler as a failing one is: a single row of one step."""
    case = minimal(layer_chains(family=family))
    simpler: ChainCase | None = case
    while simpler is not None:
        case, simpler = simpler, next(simpler_chain(simpler), None)
    assert [len(row) for row in case.tensors[0].mask] == [1]
    assert len(case.nodes) <= 4


def test_every_length_and_every_join_is_drawn() -> None:
    """One to six layers; two inputs with equal masks and with others."""
    for length in range(1, 7):
        find_any(
            layer_chains(family="chain: sequence"),
            lambda case, length=length: len(case.nodes) == length,
        )
    for join in ("Add", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"):
        find_any(
            layer_chains(family="chain: two inputs"),
            lambda case, join=join: any(node.spec.layer == join for node in case.nodes),
        )
    facts = lambda case: chain_facts(case, "cpu:0", "graph")  # noqa: E731
    for wanted in (True, False):
        find_any(
            layer_chains(family="chain: two inputs"),
            lambda case, wanted=wanted: ("masks_differ" in facts(case)) == wanted,
        )


def test_what_is_simpler_fits() -> None:
    """Without the layer in the middle, a residual adds what fits, and nothing else."""
    simpler = list(simpler_chain(RESIDUAL))
    assert chain(Node(DENSE), Node(Spec("Add"), (1, 1))) in simpler
    for case in simpler:
        folded(case, [np.zeros(tensor.shape) for tensor in case.tensors])


# -- planted defects -------------------------------------------------------------------------


def _loses(keras: Any, tf: Any) -> type:
    class LayerNormalization(keras.layers.LayerNormalization):  # type: ignore[misc]
        def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
            return None

        def call(self, inputs: Any) -> Any:
            return tf.identity(super().call(inputs))

    return LayerNormalization


def _shifts(keras: Any, tf: Any) -> type:
    class Activation(keras.layers.Activation):  # type: ignore[misc]
        def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
            roll = keras.ops.roll if hasattr(keras, "ops") else tf.roll
            return None if mask is None else roll(mask, 1, axis=1)

        def call(self, inputs: Any) -> Any:
            return super().call(tf.identity(inputs))

    return Activation


def _leaks(keras: Any, tf: Any) -> type:
    class Dense(keras.layers.Dense):  # type: ignore[misc]
        def call(self, inputs: Any, **kwargs: Any) -> Any:
            mean = 1e-3 * tf.reduce_mean(tf.tanh(inputs), axis=(1, 2), keepdims=True)
            return super().call(inputs, **kwargs) + mean

    return Dense


IN_LAYERS: dict[str, Callable[[Any, Any], type]] = {
    "LayerNormalization": _loses,
    "Activation": _shifts,
    "Dense": _leaks,
}
DEFECTS = (*IN_LAYERS, "LSTM")


def planted_in(found: Implementation, layer: str) -> Implementation:
    """Keras with a defect in one layer; the one in LSTM is that masks are ignored."""
    if layer == "LSTM":
        ignored = Defect("", "", (), "LSTM", lambda call: call.real(mask=None))
        return Implementation(found.installed, ignored.overrides(found))
    return Implementation(found.installed, {layer: IN_LAYERS[layer](found.keras, found.tensorflow)})


FOUR = chain(
    Node(DENSE),
    Node(Spec("LayerNormalization"), (1,)),
    Node(Spec("Activation", {"activation": "tanh"}), (2,)),
    Node(LSTM, (3,)),
    tensors=(Tensor(("0110", "1100", "1111"), content="ones", seed=3),),
)
_NAMING = ("prediction", "chain_truth", "chain_isolation")


def sights(planted: Implementation, seed: int, ledger: Ledger) -> set[str]:
    """What the properties that name layers say of chains with a defect in one layer."""
    found = set()
    for property in _NAMING:
        runner = Runner(planted, Execution())
        cell = Cell(property, "chain: sequence", runner.execution)
        profile = Profile("standard", examples=1)
        entry = CellRunner(cell, runner, ledger, profile, seed, explain=False).run()
        if entry["outcome"] == "new":
            found.add(entry["findings"][0]["comparison"].split()[-1])
    return found


@pytest.mark.parametrize("layer", DEFECTS)
def test_a_defect_planted_in_one_layer_is_seen_and_the_layer_is_named(
    layer: str, seed: int, found: Implementation, ledger: Ledger
) -> None:
    """Whatever is drawn, the first comparison that fails is of the layer with the defect."""
    assert sights(planted_in(found, layer), seed, ledger) == {layer}


@pytest.mark.parametrize("layer", DEFECTS)
def test_of_four_layers_the_one_with_the_defect_is_named(layer: str, found: Implementation) -> None:
    """In a chain of Dense, LayerNormalization, Activation and LSTM."""
    runner = Runner(planted_in(found, layer), Execution())
    named = set()
    for name in _NAMING:
        case = FOUR if name != "chain_isolation" else chain_with_other()
        plan = PROPERTIES[name].function(case)
        first = next(mismatches(plan, runner.run(plan.steps)), None)
        if first is not None:
            named.add(first.comparison.name.split()[-1])
    assert named == {layer}


def chain_with_other() -> ChainCase:
    """The chain of four, with a second content."""
    return ChainCase(FOUR.nodes, FOUR.tensors, FOUR.maker, FOUR.weights, FOUR.dtype, "tenth")


def test_strata_are_chains_with_batches_of_all_kinds() -> None:
    """Twenty-four for a property of full share, fewer for a dear one."""
    for name, count in (("prediction", 24), ("builds_agree", 8)):
        strata = chain_strata(PROPERTIES[name], CHAINS[0], 3, "graph", 0)
        assert len(strata.members) == count
