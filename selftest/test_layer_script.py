"""Scripts of what layers must do fail just where the comparison does."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from catalogue.layer_cases import LayerCase, Tensor
from catalogue.layers import LAYER_ENTRIES
from catalogue.specs import Spec
from execution.script import script
from properties.comparisons import Agrees, Mismatch, Plan, Raises, Tells
from properties.explaining import ending
from properties.registry import PROPERTIES
from selftest.test_script import INSTALLED, check, mismatch_of, raised, runner

LAYERS_PROPERTIES = [name for name, one in PROPERTIES.items() if one.family == "layers"]
TENSOR = Tensor(("110", "011"), content="ones")
CASES = {
    "Dense": LayerCase(Spec("Dense", {"units": 2}), (TENSOR,), other="tenth"),
    "GlobalAveragePooling1D": LayerCase(
        Spec("GlobalAveragePooling1D"), (TENSOR,), form="explicit", other="tenth"
    ),
    "Attention": LayerCase(
        Spec("Attention"),
        (TENSOR, Tensor(("10", "11"), seed=1)),
        form="explicit",
        other="tenth",
    ),
    "GlobalMaxPooling1D": LayerCase(Spec("GlobalMaxPooling1D"), (TENSOR,), other="tenth"),
    "ConvLSTM1D": LayerCase(
        Spec("ConvLSTM1D", {"filters": 1, "kernel_size": 1}),
        (Tensor(("110", "011"), rest=(2, 1), content="ones"),),
        other="tenth",
    ),
    "Noting": LayerCase(Spec("Noting"), (TENSOR,)),
    "NotingList": LayerCase(Spec("NotingList"), (TENSOR, TENSOR), weights=5),
    "Naming": LayerCase(Spec("Naming"), (TENSOR,), other="tenth", weights=2),
    "BatchNormalization": LayerCase(
        Spec("BatchNormalization"), (TENSOR,), training=True, other="tenth"
    ),
    "Dropout": LayerCase(
        Spec("Dropout", {"rate": 0.5, "seed": 7}), (TENSOR,), training=True, other="tenth"
    ),
    "Add": LayerCase(Spec("Add"), (TENSOR, TENSOR), other="tenth"),
    "Masking": LayerCase(Spec("Masking"), (TENSOR,), form="made"),
    "Softmax(mask of elements)": LayerCase(
        Spec("Softmax"),
        (Tensor(("110", "011"), (), content="ones"),),
        form="explicit",
        policy="mixed_float16",
        other="tenth",
        entry="Softmax(mask of elements)",
    ),
}


def agreeing(name: str, layer: str) -> tuple[Any, Plan]:
    """The plan of a property for a layer's case, with what agrees alone."""
    plan = PROPERTIES[name].function(CASES[layer])
    return CASES[layer], Plan(
        plan.steps, tuple(one for one in plan.comparisons if isinstance(one, Agrees))
    )


# One of the layers tells, as it should, that it does not support masks.
@pytest.mark.filterwarnings("ignore:.*does not support masking:UserWarning")
@pytest.mark.parametrize("layer", CASES)
@pytest.mark.parametrize("name", LAYERS_PROPERTIES)
def test_a_script_fails_just_where_its_comparison_does(name: str, layer: str) -> None:
    """What holds runs to its end, also where layers are restored, saved or symbolic."""
    property = PROPERTIES[name]
    if not (property.of(layer) and property.applies(CASES[layer])):
        return
    case, plan = agreeing(name, layer)
    alone = dataclasses.replace(property, function=lambda case: plan)
    # One mode each: of a property's layers every other one, and of a layer's properties.
    turn = LAYERS_PROPERTIES.index(name) + list(CASES).index(layer)
    check(alone, case, ("eager", "graph")[turn % 2])


def ended(plan: Plan, comparison: Any, kind: str) -> str | None:
    """How the script of a comparison ends that departs in this way."""
    lines, operands = ending(comparison, Mismatch(comparison, kind, ""))
    return raised(script(plan.steps, lines, operands, module=INSTALLED.name))


def test_a_script_shows_what_a_user_is_told() -> None:
    """A needless warning, one that is missing, and neither."""
    case = LayerCase(Spec("Dense", {"units": 2}), (TENSOR,))
    plan = PROPERTIES["told"].function(case)
    (tells,) = plan.comparisons
    assert mismatch_of(tells, plan, runner("graph").run(plan.steps)) is None
    assert ended(plan, tells, "needless warning") is None
    wrong = Tells("told", "y", True)
    found = mismatch_of(wrong, plan, runner("graph").run(plan.steps))
    assert found is not None
    assert ended(plan, wrong, found.kind) == "AssertionError"


def test_a_script_shows_that_a_wrong_mask_is_taken() -> None:
    """Where an exception was expected and none came, the script raises one."""
    plan = PROPERTIES["wrong_mask_refused"].function(CASES["GlobalAveragePooling1D"])
    results = runner("eager").run(plan.steps)
    for comparison in plan.comparisons:
        assert isinstance(comparison, Raises)
        expected = mismatch_of(comparison, plan, results) is not None
        if expected:
            assert ended(plan, comparison, "not refused") == "AssertionError"


def test_every_property_of_layers_is_tried() -> None:
    """No property of the family is left without a layer here."""
    for name in LAYERS_PROPERTIES:
        property = PROPERTIES[name]
        assert any(
            property.of(layer) and property.applies(case) for layer, case in CASES.items()
        ), name
    assert set(CASES) <= set(LAYER_ENTRIES)
