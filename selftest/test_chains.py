"""Chains: how contracts fold, the code that builds them, what is drawn, and planted defects."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import Phase, given, settings

from catalogue.chain_operations import OPERATIONS
from catalogue.chain_shapes import fits, ways_of, without_nests
from catalogue.chain_source import chain_source, consumers_source
from catalogue.chains import WAYS, ChainCase, Nest, Node, folded
from catalogue.layer_cases import Tensor
from catalogue.specs import Spec
from execution.implementation import Implementation
from execution.results import Execution
from execution.running import Runner
from properties.cells import Cell, Profile
from properties.chain_family import CHAINS, chain_facts, chain_strata, simpler_chain
from properties.chain_setting import ChainSetting, called_again
from properties.registry import PROPERTIES
from properties.running import CellRunner
from properties.strata import THINNED
from reports.ledger import Ledger
from selftest.chain_defects import IN_LAYERS, named, planted_in, sight
from selftest.helpers import find_any, minimal
from selftest.input_defects import IN_INPUTS
from selftest.model_defects import IN_MODELS, ModelDefect
from strategies.chains import JOINS, layer_chains

replace = msgspec.structs.replace
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


def test_a_plain_operation_loses_the_mask_and_what_is_known_of_padding() -> None:
    """Behind it masked steps count, and hold what nobody knows; nobody is told."""
    doubled = chain(Node(Spec("x * 2")), Node(DENSE, (1,)))
    first, second = folded(doubled, [np.ones((2, 3, 2))])
    assert (first.lost, first.told, first.isolated, second.isolated) == (True, False, False, False)
    assert first.mask is None
    assert (np.isnan(first.output[..., 0]) == ~TENSOR.valid).all()
    assert (first.output[TENSOR.valid] == 2).all()
    assert (np.isnan(second.output[..., 0]) == ~TENSOR.valid).all()


def test_a_function_of_tensorflow_loses_the_mask_on_its_way_in_and_out() -> None:
    """A layer inside sees no mask, and one behind it neither."""
    nodes = (Node(DENSE), Node(DENSE, (1,)), Node(DENSE, (2,)))
    stages = folded(chain(*nodes, nests=(Nest(1, 2, "tf.function"),)), [np.ones((2, 3, 2))])
    assert [stage.mask is None for stage in stages] == [False, True, True]
    assert [stage.lost for stage in stages] == [False, True, False]


def test_where_a_mask_stops_its_user_is_to_be_told_once() -> None:
    """Of two layers that stop masks the first is named: nothing comes to the second."""
    plain = Spec("Plain")
    stages = folded(chain(Node(plain), Node(plain, (1,))), [np.ones((2, 3, 2))])
    assert [stage.told for stage in stages] == [True, False]


def test_an_optional_mask_takes_the_place_of_the_one_that_masking_makes() -> None:
    """The first layer is given it, and hands it on."""
    given = ("011", "111")
    (stage,) = folded(chain(Node(LSTM), maker="optional", given=given), [np.ones((2, 3, 2))])
    assert stage.mask is not None
    assert stage.mask.tolist() == [[False, True, True], [True, True, True]]


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
    """A residual connection is no Sequential, and no symbolic tensor goes into a `tf.function`."""
    bordered = chain(Node(DENSE), nests=(Nest(0, 1, "tf.function"),))
    for case, way in ((RESIDUAL, "sequential"), (bordered, "functional")):
        with pytest.raises(ValueError, match=f"way='{way}'"):
            chain_source(case, way=way, name="model")  # type: ignore[arg-type]


def test_models_in_models_are_what_a_user_would_write() -> None:
    """A Sequential in a Functional model in a model."""
    nodes = (Node(DENSE), Node(LSTM, (1,)), Node(DENSE, (2,)))
    nested = chain(*nodes, nests=(Nest(0, 2, "functional"), Nest(0, 1, "sequential")))
    lines = chain_source(nested, way="functional", name="model").splitlines()
    for line in (
        "part_1 = keras.Sequential([layers[0]])",
        "t0 = keras.Input((None, 2), dtype='float32')",
        "t1 = part_1(t0)",
        "t2 = layers[1](t1)",
        "part_0 = keras.Model(t0, t2)",
        "t3 = layers[2](t2)",
    ):
        assert line in lines
    assert lines.index("part_0 = keras.Model(t0, t2)") < lines.index("t2 = part_0(t0)")


def test_the_model_of_the_article_is_written_as_it_stands_there() -> None:
    """A subclassed model with `Masking` inside and an optional mask, which is given or not."""
    case = chain(Node(LSTM), maker="optional", way="subclassed", given=("111", "110"))
    source = chain_source(case, way="subclassed", name="f")
    for line in (
        "class MaskedLSTMModel(keras.Model):",
        "    def call(self, inputs, mask=None, training=False):",
        "            t1 = self.parts[0](t0, mask=mask)",
        "f = lambda arrays: model(arrays[0], mask=arrays[1])",
    ):
        assert line in source.splitlines()
    without = chain_source(replace(case, given=()), way="subclassed", name="f")
    assert "f = lambda arrays: model(arrays[0])" in without.splitlines()


@pytest.mark.parametrize("family", CHAINS)
def test_every_source_is_python(family: str) -> None:
    """Each way to build, and what looks closer: what does not compile would be called refused."""

    @settings(max_examples=15, derandomize=True, database=None, deadline=None)
    @given(layer_chains(family=family, choices=("nests",)))
    def compiles(case: ChainCase) -> None:
        for way in ways_of(case):
            compile(chain_source(case, way=way, name="f"), "", "exec")
        flat = without_nests(case)
        for backwards in (False, True):
            if flat.maker != "optional":
                compile(consumers_source(flat, name="f", backwards=backwards), "", "exec")
        if "functional" in ways_of(case):
            called_again(case)

    compiles()


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


def test_every_kind_of_chain_is_drawn() -> None:
    """Models in models of each kind, operations, borders, sizes, dtypes, ways and masks."""
    wanted: dict[str, list[str]] = {
        "chain: nested models": [
            "nested_twice",
            "mask_stops",
            "nest=functional",
            "nest=sequential",
            "nest=subclassed",
        ],
        "chain: plain operations": [
            "nest=tf.function",
            *(f"operation={name}" for name in OPERATIONS if "float32" not in name),
        ],
        "chain: sequence": [
            *(f"{count} layers" for count in range(1, 7)),
            *(f"sizes={sizes}" for sizes in ("unknown", "steps", "known")),
            *(f"way={way}" for way in ("functional", "subclassed", "layer by layer")),
            "several_dtypes",
            "last_batch_smaller",
        ],
        "chain: several consumers": ["several_consumers", "layer=MultiHeadAttention"],
        "chain: two inputs": ["shared_layer"],
        "chain: MaskedLSTMModel": ["given=True", "given=False"],
    }
    for family, facts in wanted.items():
        for fact in facts:
            find_any(
                layer_chains(family=family),
                lambda case, fact=fact: fact in chain_facts(case, "cpu:0", "graph"),
            )


def test_what_is_simpler_of_models_in_models_fits() -> None:
    """A layer less in a model, a model less in a model; what is left is built in the same way."""
    nodes = (Node(DENSE), Node(DENSE, (1,)), Node(DENSE, (2,)))
    nested = chain(*nodes, nests=(Nest(0, 2), Nest(1, 2, "subclassed")))
    simpler = list(simpler_chain(nested))
    assert replace(nested, nodes=nodes[:2], nests=nested.nests) in simpler
    assert replace(nested, nests=nested.nests[:1]) in simpler
    assert replace(nested, nests=nested.nests[1:]) in simpler
    assert all(fits(case) for case in simpler)


def test_what_is_simpler_fits() -> None:
    """Without the layer in the middle, a residual adds what fits, and nothing else."""
    simpler = list(simpler_chain(RESIDUAL))
    assert chain(Node(DENSE), Node(Spec("Add"), (1, 1))) in simpler
    for case in simpler:
        folded(case, [np.zeros(tensor.shape) for tensor in case.tensors])


# -- planted defects -------------------------------------------------------------------------


@pytest.mark.parametrize("layer", IN_LAYERS)
def test_of_four_layers_the_one_with_the_defect_is_named(
    layer: str, seed: int, found: Implementation
) -> None:
    """Whatever their order, the first comparison that fails is of the layer with the defect."""
    assert named(planted_in(found, layer), seed) == {layer}


def test_a_defect_in_a_layer_is_seen_in_a_cell_and_named(
    found: Implementation, ledger: Ledger
) -> None:
    """As drawn: a layer that ignores its mask is named by the cell's finding."""
    runner = Runner(planted_in(found, "LSTM"), Execution())
    cell = Cell("chain_truth", "chain: sequence", runner.execution)
    profile = Profile("standard", examples=1)
    entry = CellRunner(cell, runner, ledger, profile, 0, explain=False).run()
    assert entry["outcome"] == "new"
    assert entry["findings"][0]["comparison"].split()[-1] == "LSTM"


def _plainest(examples: Any) -> Any:
    """The first example that Hypothesis tries, whatever its seed."""
    tried: list[Any] = []

    @settings(max_examples=1, phases=[Phase.generate], database=None, deadline=None)
    @given(examples)
    def once(cases: Any) -> None:
        tried.append(cases)

    once()
    return tried[0]


@pytest.mark.parametrize("family", ["chain: two inputs", "chain: branch"])
def test_whatever_merges_masks_meets_them_before_a_layer_that_uses_them(
    family: str, seed: int
) -> None:
    """Each merging layer, in a Functional model, with each seed and thinned out as in `quick`."""
    property = dataclasses.replace(PROPERTIES["chain_truth"], share=THINNED)
    met = set()
    for stratum in chain_strata(property, family, 3, "graph", seed).members:
        (case,) = _plainest(stratum.examples)
        joined = {node.spec.layer for node in case.nodes if len(set(node.inputs)) > 1}
        used = case.nodes[-1].spec.layer in ("LSTM", "GRU", "SimpleRNN")
        if used and case.way == "functional" and all(tensor.masked for tensor in case.tensors):
            met |= joined
    assert met == set(JOINS)


@pytest.mark.parametrize("defect", (*IN_MODELS, *IN_INPUTS), ids=lambda defect: defect.name)
def test_a_defect_in_models_is_seen(
    defect: ModelDefect, found: Implementation, ledger: Ledger
) -> None:
    """What makes models of layers is looked at too: masks, arguments, batches, files, warnings."""
    assert sight(defect, found, ledger, 0) is not None


def test_inside_of_what_is_known_another_defect_is_seen(
    found: Implementation, ledger: Ledger
) -> None:
    """Masks that differ are joined by OR, says the ledger; joined otherwise they are a finding."""
    keras = found.keras

    class Add(keras.layers.Add):  # type: ignore[misc]
        def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
            return None if mask is None else mask[0]

    planted = Implementation(found.installed, {"Add": Add})
    both = (Tensor(("0110",)), Tensor(("0011",), seed=1))
    case = chain(Node(Spec("Add"), (0, 1)), tensors=both)
    for implementation, excused in ((found, True), (planted, False)):
        runner = Runner(implementation, Execution())
        cell = Cell("prediction", "chain: two inputs", runner.execution)
        running = CellRunner(cell, runner, ledger, Profile("standard", examples=1), 0)
        assert (running._failure(case) is None) == excused


def test_a_chain_that_is_refused_is_shrunk_to_the_layer_that_matters(
    found: Implementation,
) -> None:
    """A layer that cannot be built among others: kind `refused`, and a chain of it alone."""

    class LayerNormalization(found.keras.layers.LayerNormalization):  # type: ignore[misc]
        def build(self, input_shape: Any) -> None:
            raise ValueError("not this one")

    planted = Implementation(found.installed, {"LayerNormalization": LayerNormalization})
    runner = Runner(planted, Execution())
    cell = Cell("chain_truth", "chain: sequence", runner.execution)
    running = CellRunner(cell, runner, Ledger(), Profile("standard", examples=1), 0)
    nodes = (Node(DENSE), Node(Spec("LayerNormalization"), (1,)), Node(LSTM, (2,)))
    failure = running._failure(chain(*nodes, way="subclassed"))
    assert failure is not None
    case, mismatch = running._simplest(failure.case, failure.mismatch)
    assert (mismatch.kind, mismatch.exception) == ("refused", "ValueError")
    assert [node.spec.layer for node in case.nodes] == ["LayerNormalization"]


def test_strata_are_chains_with_batches_of_all_kinds() -> None:
    """Twenty-four for a property of full share, fewer for a dear one."""
    for name, count in (("chain_truth", 24), ("builds_agree", 6)):
        strata = chain_strata(PROPERTIES[name], CHAINS[0], 3, "graph", 0)
        assert len(strata.members) == count
