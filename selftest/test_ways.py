"""Ways to multiply: their oracle is NumPy's, their scripts tell the truth, wrong rules are seen."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis.errors import InvalidArgument
from packaging.version import Version

from catalogue.broadcasting import BroadcastCase, acted_on, misplaced, result_dtype
from catalogue.hazards import accepted_when, astray_when, witnesses
from catalogue.multiplied import MODELS
from catalogue.refusals import Refusal, refused_how
from catalogue.ways import WAYS, placed, reference, written
from execution.implementation import Implementation, installed
from execution.products import product_lines
from execution.running import Execution, Runner
from execution.script import fails, script
from properties.broadcast_family import product_strata
from properties.cells import Cell, Profile
from properties.comparisons import Mismatch, mismatches
from properties.registry import PROPERTIES
from properties.running import CellRunner
from properties.test_conformance import FAMILIES  # declares the properties
from reports.ledger import Ledger
from selftest.helpers import find_any
from selftest.ways import PAGE, table
from selftest.wrong_rules import RULES, healthy, wrong_rules
from strategies.ways import every_small, strata_of, way_cases

HERE = [
    way
    for way, one in WAYS.items()
    if not one.since or Version(installed().keras) >= Version(one.since)
]
NAMES = [name for name, one in PROPERTIES.items() if one.family == "broadcasting"]
IMPLEMENTATION = Implementation(installed())
each_way = pytest.mark.parametrize("way", HERE)


def runner(way: str = "", multiply: Callable[[Any, Any], Any] | None = None) -> Runner:
    """A runner of the installed implementation, or of one in which a way is another."""
    overrides = {} if multiply is None else {way: multiply}
    return Runner(Implementation(installed(), overrides), Execution("cpu:0", "eager"))


@functools.cache
def cases(way: str) -> list[BroadcastCase]:
    """A case of every stratum of a way but those that a known deviation is about, or models."""
    major = installed().keras_major
    found = []
    for stratum in strata_of(way, keras=major):
        if stratum.startswith(("output of ", "symbolic ")):
            continue
        if stratum in ("mask of bool", "any") and WAYS[way].dtypes != "condition":
            continue
        strategy = way_cases(way=way, stratum=stratum, mode="eager", keras=major)
        found.append(find_any(strategy, lambda case: max(case.output) > 1))
    return found


def seen(runs: Runner, case: BroadcastCase) -> list[tuple[str, Mismatch]]:
    """What the properties find wrong with a case."""
    return [
        (name, mismatch)
        for name in NAMES
        if PROPERTIES[name].of(case.way) and PROPERTIES[name].applies(case)
        for plan in [PROPERTIES[name].function(case)]
        for mismatch in mismatches(plan, runs.run(plan.steps))
    ]


# -- the oracle ------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_what_is_accepted_has_the_shape_that_numpy_gives(way: str) -> None:
    """Wherever a way accepts small shapes its reference gives the shape that the oracle says."""
    for case in every_small(way, "eager", 3, (2, 3)):
        if case.result is None:
            continue
        names = {"np": np, "output": np.ones(case.output), "mask": np.ones(case.mask, bool)}
        if case.written.dtypes != "condition":
            names["mask"] = np.ones(case.mask)
        found = eval(reference(case.written, case.output, case.mask), names)
        assert found.shape == case.result, case


def test_merging_layers_keep_the_batch_first() -> None:
    """A mask of shape (B,) acts on the batch, and (B,T) lies at the last axis behind it."""
    way = WAYS["keras.layers.Multiply"]
    assert placed(way, (2, 3, 4), (2,)) == ((2, 3, 4), (2, 1, 1), (0, 1, 2), None)
    assert placed(way, (2, 3, 4), (2, 4)) == ((2, 3, 4), (2, 1, 4), (0, 1, 2), None)
    assert placed(way, (2, 3), (2, 4, 3)) == ((2, 1, 3), (2, 4, 3), (0, 2), None)
    assert placed(way, (2, 3), (1, 3)) is None
    case = BroadcastCase((2, 3, 3), (2, 3), (0, 1), way=way.name)
    assert acted_on(case) == (0, 2)
    assert misplaced(case)


def test_a_fitted_mask_acts_on_what_it_was_meant_for() -> None:
    """Axes appended behind let (B,T) act on batch and step, whatever sizes coincide."""
    for way in ("tf.expand_dims", "new axis", "keras.layers.Reshape", "RepeatVector and Permute"):
        case = BroadcastCase((2, 2, 2), (2, 2), (0, 1), way=way)
        assert acted_on(case) == (0, 1)
        assert not misplaced(case)
    wrong = BroadcastCase((2, 2, 2), (2, 2), (0, 1), way="keras.layers.RepeatVector")
    assert acted_on(wrong) == (0, 2)
    assert misplaced(wrong)


def test_dtypes_are_refused_promoted_or_cast_as_documented() -> None:
    """A float16 output and a float32 mask, way by way."""
    found = {way: result_dtype(one, "float16", "float32") for way, one in WAYS.items()}
    assert found["multiply"] is found["tf.multiply"] is found["tf.where"] is None
    assert found["keras.ops.multiply"] == found["symbolic multiply"] == "float32"
    assert found["keras.layers.Multiply"] == "float32"
    assert result_dtype(WAYS["symbolic multiply"], "float16", "float32", keras=2) is None
    assert result_dtype(WAYS["keras.ops.multiply"], "float16", "int32") == "float16"
    assert result_dtype(WAYS["tf.where"], "float16", "bool") == "float16"


def test_a_way_is_written_as_its_user_writes_it() -> None:
    """The text depends on ranks and sizes where a user's would."""
    assert written(WAYS["new axis"], (2, 3, 4), 1) == "output * mask[..., None, None]"
    expanded = "output * tf.expand_dims(tf.expand_dims(mask, -1), -1)"
    assert written(WAYS["tf.expand_dims"], (2, 3, 4), 1) == expanded
    assert "Reshape((-1, 1,))(mask)" in written(WAYS["keras.layers.Reshape"], (2, 3, 4), 2)
    assert "RepeatVector(4)" in written(WAYS["keras.layers.RepeatVector"], (2, 3, 4), 2)


# -- strategies ------------------------------------------------------------------------------


def test_bad_arguments_raise_with_name_and_value() -> None:
    """A way or a stratum that is none says which."""
    with pytest.raises(InvalidArgument, match="way='times' must be one of"):
        strata_of("times")
    with pytest.raises(InvalidArgument, match="stratum='rank grows' must be one of"):
        way_cases(way="tf.boolean_mask", stratum="rank grows")
    with pytest.raises(ValueError, match="unknown way 'times': choose from multiply"):
        BroadcastCase((1,), (1,), way="times")
    with pytest.raises(ValueError, match="it is for masks of rank 2 to 2"):
        BroadcastCase((1, 1, 1), (1,), way="keras.layers.RepeatVector")


@pytest.mark.parametrize("way", WAYS)
def test_every_stratum_of_a_way_has_cases(way: str) -> None:
    """What a stratum says of outcomes is so, and where all is refused it is left out."""
    for stratum in strata_of(way, accepted=True):
        case = find_any(way_cases(way=way, stratum=stratum), lambda case: case.result is not None)
        assert case.way == way
    for stratum in strata_of(way):
        if stratum.endswith(" refused") and WAYS[way].rule != "merging":  # NumPy's refusals
            find_any(way_cases(way=way, stratum=stratum), lambda case: case.result is None)


def test_what_is_small_is_complete() -> None:
    """Every mask of every rank meets every output of sizes 1 to 4, of rank 4 up to names."""
    found = list(every_small("multiply", "graph", 3))
    assert not any(case.static for case in found)
    pairs = {(case.output, case.mask) for case in found}
    assert len(pairs) == len(found)
    for rank in (2, 3):
        masks = sum(4**mask for mask in range(rank + 2))
        assert sum(len(output) == rank for output, _ in pairs) == 4**rank * masks
    largest = [(output, mask) for output, mask in pairs if len(output) == 4]
    renamed = {
        (tuple(map(names.get, output)), tuple(map(names.get, mask)))
        for output, mask in largest
        for order in itertools.permutations((2, 3, 4))
        for names in [dict(zip((1, 2, 3, 4), (1, *order), strict=True))]
    }
    assert len(renamed) == 4**4 * sum(4**mask for mask in range(6))


def test_the_witnesses_are_met_first() -> None:
    """The smallest cases of each hazard stand in front of what is drawn, and are hazards."""
    for way in ("multiply", "keras.layers.Multiply", "keras.layers.RepeatVector"):
        found = list(witnesses(way, "eager", 3))
        assert found
        assert all(misplaced(case) for case in found)
        strata = product_strata(PROPERTIES["intended_axes"], way, 3, "eager", 0).members
        assert find_any(strata[0].examples) == tuple(found)
    assert not list(witnesses("tf.expand_dims", "eager", 3))


def test_conditions_of_hazards_are_the_oracles() -> None:
    """Where the page says that a mask is accepted, and goes astray."""
    assert accepted_when("multiply", "(B,T,1)") == "always"
    assert accepted_when("multiply", "(B,1)") == "B = 1 or T = 1 or B = T"
    assert astray_when("multiply", "(B,1)") == "B > 1"
    assert astray_when("keras.layers.Multiply", "(B,1)") == "never"


@pytest.mark.parametrize("model", MODELS)
def test_the_output_of_a_model_is_multiplied(model: str) -> None:
    """Its product is that of what the model gives, eagerly, in graphs and as symbolic tensors."""
    shape = (2, 3, 4, 5)[: MODELS[model].ranks[-1]]
    for changes in ({"mode": "eager"}, {"static": False}, {"mode": "eager", "symbolic": True}):
        case = BroadcastCase(shape, (*shape[:2], *(1,) * (len(shape) - 2)), model=model, **changes)
        assert [found for found in seen(runner(), case) if found] == []
        plan = PROPERTIES["product_values"].function(case)
        product, output = runner().run(plan.steps).outputs["product"]
        assert product.shape == output.shape == shape
        assert np.abs(output).max() > 0
    with pytest.raises(ValueError, match="has no output of shape"):
        BroadcastCase((2,), (2,), model=model)


def test_symbols_of_unknown_batches_are_refused_by_the_function_that_is_called() -> None:
    """Eagerly `tf.boolean_mask` knows the shapes then, and documents a ValueError."""
    for mode, classes in (("eager", ("ValueError",)), ("graph", ("InvalidArgumentError",))):
        case = BroadcastCase(
            output=(4, 6),
            mask=(3,),
            static=False,
            mode=mode,  # type: ignore[arg-type]
            way="tf.boolean_mask",
            mask_dtype="bool",
            keras=2,
            symbolic=True,
        )
        assert refused_how(case) == Refusal("run", classes)


def test_a_refusal_at_another_moment_is_seen() -> None:
    """What is to be refused when a graph is traced, and is refused when it runs, is told."""
    tf = runner().implementation.tensorflow

    def late(output: Any, mask: Any) -> Any:
        unknown = tf.TensorSpec(None, "float32")
        return tf.py_function(lambda one, other: one * other, [output, mask], unknown.dtype)

    case = BroadcastCase((2,), (3,), mode="graph")
    assert seen(runner(), case) == []
    assert [name for name, _ in seen(runner("multiply", late), case)] == ["product_outcome"]


# -- scripts, and planted wrong rules --------------------------------------------------------


@each_way
@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_a_script_of_a_way_gives_what_running_it_gives(way: str, mode: Any) -> None:
    """The lines that are printed run, and agree with the reference."""
    strategy = way_cases(way=way, mode=mode, stratum=strata_of(way, accepted=True)[0])
    case = find_any(strategy, lambda case: case.result is not None and case.dtype == "float32")
    plan = PROPERTIES["product_values"].function(case)
    values = plan.comparisons[0]
    ending = ["np.testing.assert_array_equal({left}, {right})"]
    operands = {"left": values.left, "right": values.right}  # type: ignore[union-attr]
    text = script(plan.steps, ending, operands, module=installed().name, mode=mode)
    assert not fails(text), text
    assert product_lines(plan.steps[0], ("a", "b"), mode)[-1].startswith("product = np.array(")  # type: ignore[arg-type]


@each_way
@pytest.mark.parametrize("rule", RULES)
def test_a_planted_wrong_rule_is_seen_in_each_way(way: str, rule: str) -> None:
    """Some case of the strata shows the wrong rule to a property."""
    real, defective = runner(), runner(way, wrong_rules(IMPLEMENTATION, way)[rule])
    # A case that an installed deviation makes red says nothing.
    assert any(seen(defective, case) and not seen(real, case) for case in cases(way))


@each_way
def test_the_way_written_otherwise_is_seen_by_none(way: str) -> None:
    """Planting by itself changes nothing."""
    planted = runner(way, healthy(IMPLEMENTATION, way))
    for case in cases(way)[::4]:
        if case.written.symbolic and (case.result is None or case.mask_dtype):
            continue  # a layer is planted there: it refuses otherwise, and promotes nothing
        assert bool(seen(planted, case)) == bool(seen(runner(), case)), case


def _other_product(way: str, spoils: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A way whose product is multiplied by what `spoils` gives."""
    well = healthy(IMPLEMENTATION, way)
    return lambda output, mask: well(output, mask) * spoils(output, mask)


def _right(output: Any, mask: Any) -> Any:
    """The product with a mask of bool, which TensorFlow is known to take for truth values."""
    return output * IMPLEMENTATION.tensorflow.cast(mask, output.dtype)


def _of_one_size(output: Any, mask: Any) -> Any:
    return 1.0 if sum(size > 1 for size in mask.shape) != 1 else 2.0


def _of_other_batches(output: Any, mask: Any) -> Any:
    tf = IMPLEMENTATION.tensorflow
    return tf.cast(tf.shape(output)[0] == tf.shape(mask)[0], "float32")


@pytest.mark.skipif(installed().keras_major < 3, reason="known on Keras 3")
@pytest.mark.parametrize(
    ("way", "mode", "property", "planted"),
    [
        ("multiply", "eager", "product_outcome", _right),
        ("keras.layers.Add", "eager", "product_values", _of_one_size),
        ("keras.layers.Multiply", "graph", "product_outcome", _of_other_batches),
    ],
)
def test_what_is_known_hides_nothing_else(
    way: str, mode: Any, property: str, planted: Callable[[Any, Any], Any], ledger: Ledger
) -> None:
    """Where the ledger excuses a cell's cases, something else that happens there is new."""
    multiply = planted if way == "multiply" else _other_product(way, planted)
    implementation = Implementation(installed(), {way: multiply})
    cell = Cell(property, way, Execution("cpu:0", mode))
    runs = Runner(implementation, cell.execution)
    profile = Profile("standard", examples=1)
    entry = CellRunner(cell, runs, ledger, profile, 0, explain=False).run()
    assert entry["outcome"] == "new"


def test_a_dtype_that_is_lacking_does_not_apply_and_says_why() -> None:
    """Where no tensor of float16 can be made, its cases are left out with the reason."""

    class Lacking:
        def __init__(self, real: Any) -> None:
            self.real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

        def constant(self, value: Any) -> Any:
            if value.dtype == "float16":
                raise TypeError("no float16 here")
            return self.real.constant(value)

    implementation = Implementation(installed())
    implementation.tensorflow = Lacking(implementation.tensorflow)
    runs = Runner(implementation, Execution("cpu:0", "eager"))
    cell = Cell("product_dtype", "multiply", runs.execution)
    profile = Profile("standard", examples=20)
    entry = CellRunner(cell, runs, Ledger(()), profile, 0, explain=False).run()
    assert entry["outcome"] == "holds"
    assert "makes no tensor of float16: TypeError, no float16 here" in entry["reason"]
    assert entry["batches"] > 0


def test_every_way_is_a_layer_of_its_family() -> None:
    """Cells are collected for each of them."""
    assert FAMILIES["broadcasting"].layers == tuple(WAYS)
    assert not FAMILIES["broadcasting"].has("keras.ops.add", "2.15.0")


def test_the_page_is_the_generated_one() -> None:
    """`catalogue/WAYS.md` is what `python -m selftest.ways` writes."""
    assert PAGE.read_text("utf-8") == table()


def test_the_page_marks_what_was_not_meant() -> None:
    """A mask of shape (B,T) by the operator: refused, and astray where all sizes coincide."""
    rows = table().split("## multiply\n")[1].split("\n## ")[0].splitlines()
    (row,) = [one for one in rows if one.startswith("| `output * mask` | (B,T) |")]
    assert "| refused; B = T = F: **acts on step and features** | B > 1 or T > 1 |" in row
    assert "`(2, 2, 2) x (2, 2)`" in row
    assert "`mask[..., None]`" in row
