"""What a cell makes of a ledger, of a survey, and of deviations inside and outside of regions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st

from catalogue.broadcasting import BroadcastCase
from execution.implementation import Implementation, installed
from execution.running import Execution, Runner
from properties.alternatives import ALTERNATIVES
from properties.cells import STANDARD, Cell, Profile, load_checked
from properties.families import FAMILIES
from properties.layer_departures import DEPARTURES
from properties.running import CellRunner
from properties.strata import Strata, Stratum
from properties.surveying import Rule, separating
from properties.test_conformance import PROPERTIES
from reports.ledger import Deviation, Instead, Ledger, Pattern, Pin, Region
from selftest.planting import EXECUTION, LEDGER, known_of

CELL = Cell("product_values", "multiply", Execution("cpu:0", "eager"))
PINNED = {"output": [2, 3, 4], "mask": [2, 3, 1]}
Product = Callable[[Any, Any], Any]


@pytest.fixture(scope="module")
def found() -> Implementation:
    """The Keras that is installed, imported once."""
    return Implementation(installed())


def entry(**changed: Any) -> Deviation:
    """An entry about products of outputs of rank 3."""
    fields: dict[str, Any] = {
        "id": "wrong-products",
        "kind": "wrong value",
        "reason": "Somebody planted it.",
        "link": "unreported",
        "layers": ("multiply",),
        "comparisons": (Pattern("product_values", "*"),),
        "deviating": ("keras 3.15.1",),
        "pins": (Pin("product_values", "multiply", "*", PINNED, "eager"),),
        "region": Region(all=("output_rank=3",)),
    }
    return Deviation(**{**fields, **changed})


def run(
    found: Implementation, product: Product | None, *entries: Deviation, **options: Any
) -> dict[str, Any]:
    """The entry of the cell, with this product in place of `*`."""
    overrides = {"multiply": product} if product else {}
    planted = Implementation(found.installed, overrides)
    runner = Runner(planted, CELL.execution)
    profile = Profile("standard", examples=2)
    return CellRunner(CELL, runner, Ledger(entries), profile, 0, explain=False, **options).run()


def wrong(rank: int, value: float = 0.0) -> Product:
    """A product that is another value wherever an output of this rank comes first."""
    return lambda a, b: a * b * value if a.ndim == rank else a * b


def test_a_deviation_inside_its_region_is_excused(found: Implementation) -> None:
    """What the ledger knows is counted under its entry, with an example of it."""
    result = run(found, wrong(3), entry())
    assert (result["outcome"], result["fixed"]) == ("deviates", [])
    assert result["deviations"]["wrong-products"] > 1
    assert [one["deviation"] for one in result["findings"]] == ["wrong-products"]
    assert 0 < result["outside"] < result["batches"]


def test_a_deviation_outside_its_region_is_new(found: Implementation) -> None:
    """One fact outside the region, and the same departure is not excused."""
    result = run(found, lambda a, b: wrong(3)(a, b) if a.ndim == 3 else wrong(2)(a, b), entry())
    assert result["outcome"] == "new"
    assert "output_rank=2" in result["findings"][0]["facts"]


def test_a_pinned_case_that_no_longer_deviates_is_fixed(found: Implementation) -> None:
    """Whatever else is drawn, an entry must show its deviation."""
    result = run(found, None, entry())
    assert (result["outcome"], result["fixed"]) == ("fixed", ["wrong-products"])


def test_a_pinned_case_of_some_cpus_is_never_fixed(found: Implementation) -> None:
    """Instructions alone do not say which kernels a CPU takes."""
    one = entry()
    pins = tuple(msgspec.structs.replace(pin, cpu="avx512_fp16") for pin in one.pins)
    result = run(found, None, msgspec.structs.replace(one, pins=pins))
    assert (result["outcome"], result["fixed"]) == ("holds", [])


def test_what_happens_instead_is_looked_at(found: Implementation) -> None:
    """A departure of another form than the entry says is not excused by it."""
    zeros = entry(instead=Instead(values="zeros"))
    assert run(found, wrong(3), zeros)["outcome"] == "deviates"
    other = run(found, wrong(3, 0.5), zeros)
    assert (other["outcome"], other["fixed"]) == ("new", ["wrong-products"])


def test_what_an_exception_says_is_looked_at(found: Implementation) -> None:
    """Another error of the same class is not excused."""

    def refused(a: Any, b: Any) -> Any:
        if a.ndim == 3:
            raise TypeError("no cubes")
        return a * b

    for said, outcome in (("cubes", "deviates"), ("spheres", "new")):
        known = entry(kind="refused", instead=Instead(exception="TypeError", says=said))
        assert run(found, refused, known)["outcome"] == outcome


def test_every_alternative_is_a_sentence_in_the_ledgers_words() -> None:
    """Names of alternatives are words, and each has a docstring that says what it means."""
    for name, function in (ALTERNATIVES | DEPARTURES).items():
        assert name.replace(" ", "").isalpha()
        assert (function.__doc__ or "").strip().endswith(".")


def test_a_region_that_covers_what_is_drawn_is_drawn_around(found: Implementation) -> None:
    """Where all batches of a stratum lie inside, others are drawn that do not."""
    inside = entry(region=Region(none=("static",)), pins=())
    result = run(found, lambda a, b: a * b, inside)
    assert result["outside"] > 0
    assert result["outcome"] == "holds"


def test_what_is_given_whole_and_lies_inside_is_met(
    found: Implementation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of examples that are listed and all known there are no others: the cell goes on."""
    inside = BroadcastCase((2, 3, 4), (2, 3, 1), static=True)
    strata = Strata((Stratum("listed", st.just((inside,)), once=True),))
    family = dataclasses.replace(FAMILIES["broadcasting"], strata=lambda *given: strata)
    monkeypatch.setitem(FAMILIES, "broadcasting", family)
    known = entry(region=Region(all=("static",)), pins=())
    assert run(found, lambda a, b: a * b, known)["outcome"] == "holds"


# The family that each module of alternatives and departures calls, and knows the cases of.
FAMILY_OF = {
    "alternatives": "recurrent",
    "product_alternatives": "broadcasting",
    "chain_alternatives": "chains",
    "training_alternatives": "training",
}


def test_what_happens_instead_is_told_of_cases_of_its_own_family() -> None:
    """An entry with an alternative speaks of properties of one family, that of the alternative."""
    for one in load_checked(LEDGER):
        if one.instead is None or one.instead.like not in ALTERNATIVES:
            continue
        module = ALTERNATIVES[one.instead.like].__module__.rpartition(".")[2]
        families = {PROPERTIES[each.property].family for each in one.comparisons}
        assert families == {FAMILY_OF[module]}, one.id


@pytest.mark.parametrize(("named", "met"), [("same", 1), ("another", 3)])
def test_what_is_met_once_leaves_room_for_others(
    named: str, met: int, found: Implementation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stratum that is to be met once is met in one round, one of another name in the next."""
    examples = st.just((BroadcastCase((2, 3, 4), (2, 3, 1), static=True),))

    def strata(property: Any, layer: str, keras_major: int, mode: str, seed: int) -> Strata:
        name = named if named == "same" else f"{named} {seed}"
        return Strata((Stratum(name, examples, once=True),))

    family = dataclasses.replace(FAMILIES["broadcasting"], strata=strata)
    monkeypatch.setitem(FAMILIES, "broadcasting", family)
    runner = Runner(Implementation(found.installed), CELL.execution)
    profile = Profile("standard", examples=1, rounds=3, seconds=60)
    result = CellRunner(CELL, runner, Ledger(()), profile, 0, explain=False).run()
    assert result["configurations"] == met


@pytest.mark.parametrize(
    ("explores", "asked", "outcome"),
    [(False, False, "holds"), (True, False, "new"), (False, True, "new")],
)
def test_the_plainest_example_is_met_where_it_is_asked_for(
    explores: bool,
    asked: bool,
    outcome: str,
    found: Implementation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the profile or by the property: what is wrong with a single row alone is seen there."""
    rows = st.integers(1, 500)
    cases = rows.map(lambda batch: (BroadcastCase((batch, 3), (batch, 1), static=True),))
    strata = Strata((Stratum("of any size", cases),))
    family = dataclasses.replace(FAMILIES["broadcasting"], strata=lambda *given: strata)
    monkeypatch.setitem(FAMILIES, "broadcasting", family)
    property = dataclasses.replace(PROPERTIES[CELL.property], plainest=asked)
    monkeypatch.setitem(PROPERTIES, CELL.property, property)
    several = {"multiply": lambda a, b: a * b * float(a.shape[0] > 1)}
    runner = Runner(Implementation(found.installed, several), CELL.execution)
    profile = Profile("standard", examples=1, plainest=explores)
    result = CellRunner(CELL, runner, Ledger(()), profile, 0, explain=False).run()
    assert result["outcome"] == outcome
    assert outcome == "new" or result["examples"] == 1


# -- surveys ---------------------------------------------------------------------------------


def test_a_survey_lists_all_distinct_deviations(found: Implementation) -> None:
    """It goes on after the first failure, and counts failing and passing cases."""

    def product(a: Any, b: Any) -> Any:
        if a.ndim == 1:
            raise TypeError("no vectors")
        return wrong(3)(a, b)

    result = run(found, product, survey=True)
    assert result["outcome"] == "new"
    found_kinds = {(one["kind"], one["exception"]) for one in result["findings"]}
    assert found_kinds == {("wrong value", None), ("refused", "TypeError")}
    for one in result["findings"]:
        assert one["failing"] > 0 < one["passing"]


def test_a_survey_names_what_failing_cases_share(found: Implementation) -> None:
    """The facts of failing cases that passing ones do not have become a region."""
    result = run(found, wrong(3), survey=True)
    (finding,) = result["findings"]
    assert "output_rank=3" in finding["shared"]
    assert all(rule["all"] == ["output_rank=3"] for rule in finding["regions"])


def test_a_survey_of_a_healthy_implementation_finds_nothing(found: Implementation) -> None:
    """There is nothing to list where nothing fails."""
    result = run(found, None, survey=True)
    assert (result["outcome"], result["findings"]) == ("holds", [])


def test_separates_what_fails_from_what_passes() -> None:
    """A conjunction of two facts is found, and nothing that it does not need."""
    facts = ("a", "b", "c")
    cases = [frozenset(f for place, f in enumerate(facts) if n >> place & 1) for n in range(8)]
    failing = [one for one in cases if {"a", "b"} <= one]
    passing = [one for one in cases if one not in failing]
    (rule,) = separating(failing, passing)
    assert set(rule.all) == {"a", "b"}
    assert rule.none == ()


def test_separates_two_causes() -> None:
    """What no conjunction covers is covered by several."""
    failing = [frozenset("ax"), frozenset("bx"), frozenset("a"), frozenset("b")]
    passing = [frozenset("x"), frozenset("c"), frozenset()]
    rules = separating(failing, passing)
    assert sorted(rules, key=lambda rule: rule.all) == [Rule(("a",)), Rule(("b",))]


def test_separates_by_what_is_absent() -> None:
    """A fact that only passing cases have is ruled out."""
    (rule,) = separating([frozenset("a")], [frozenset("ab"), frozenset("b")])
    assert rule == Rule((), ("b",))


# -- what cannot be built ----------------------------------------------------------------------


@pytest.mark.parametrize(("ignoring", "outcome"), [(False, "blocked"), (True, "new")])
def test_what_cannot_be_built_keeps_nothing_else_from_being_looked_at(
    found: Implementation, ignoring: bool, outcome: str
) -> None:
    """One configuration of a layer is refused: others are met, and the worst is what is said."""
    base = found.layer_class("GlobalAveragePooling1D")

    class Refusing(base):  # type: ignore[misc, valid-type]
        def __init__(self, *, keepdims: bool = False, **kwargs: Any) -> None:
            if keepdims:
                raise ValueError("no dims are kept here")
            super().__init__(**kwargs)

        def call(self, inputs: Any, mask: Any = None) -> Any:
            return super().call(inputs, None if ignoring else mask)

    planted = Implementation(found.installed, {"GlobalAveragePooling1D": Refusing})
    cell = Cell("layer_truth", "GlobalAveragePooling1D", EXECUTION)
    ledger = known_of(found.installed)
    result = CellRunner(cell, Runner(planted, EXECUTION), ledger, STANDARD, 0, explain=False).run()
    assert result["outcome"] == outcome
    assert result["configurations"] > 1 or ignoring
    assert (result["findings"][0]["kind"] == "blocked") != ignoring
