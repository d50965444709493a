"""Statements of the articles: each is observed, and the verdicts are those that are checked in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from catalogue.claim_examples import EXAMPLE_CODE
from catalogue.claims import ARTICLES, CLAIMS, EXAMPLES, MODES, Sizes, condition_of
from execution.claims import OBSERVATIONS, observe
from execution.implementation import Implementation, installed
from selftest.claims import FILE, PAGE, entered, page, sizes_of, statements, verdict, verdicts
from selftest.helpers import find_any, minimal
from strategies.claims import claim_sizes

HERE = f"{installed().name} {installed().keras}"


@pytest.fixture(scope="module")
def implementation() -> Implementation:
    """The installed implementation."""
    return Implementation(installed())


@pytest.mark.skipif(HERE not in entered().verdict, reason=f"no verdicts of {HERE}")
def test_the_verdicts_are_those_that_are_checked_in(implementation: Implementation) -> None:
    """What is observed on this version is what the file says of it."""
    assert verdicts(implementation) == entered().verdict[HERE]


def test_the_file_has_the_statements_of_the_catalogue() -> None:
    """In their order, each with how it is looked at."""
    assert entered().claim == statements()
    assert all(one.how for one in entered().claim)


@pytest.mark.skipif(HERE not in entered().verdict, reason=f"no verdicts of {HERE}")
@pytest.mark.parametrize("name", EXAMPLE_CODE)
def test_the_code_of_an_example_does_what_is_said(
    implementation: Implementation, name: str
) -> None:
    """It runs, and raises where that is what is seen, and by that class."""
    seen = entered().verdict[HERE][name]
    names = {"tf": implementation.tensorflow, "keras": implementation.keras, "np": np}
    expected = seen.seen.removeprefix("raises ") if seen.seen.startswith("raises ") else "nothing"
    raised = "nothing"
    try:
        eval(seen.code, names)
    except Exception as error:
        raised = type(error).__name__
    assert raised == expected, seen.code


def test_the_page_is_the_generated_one() -> None:
    """`python -m selftest.claims --enter` writes the page from the file."""
    assert PAGE.read_text("utf-8") == page(entered())


def test_every_statement_has_a_verdict_on_each_version() -> None:
    """Keras 2.15 and the newest Keras 3 decide all of them, and nothing else."""
    names = {claim.name for claim in CLAIMS}
    assert FILE.exists()
    assert {"keras 2.15.0", "keras 3.15.1"} <= set(entered().verdict)
    for found in entered().verdict.values():
        assert set(found) == names
        assert all(one.said.startswith(("confirmed", "refuted: ")) for one in found.values())


def test_every_observation_belongs_to_a_statement(implementation: Implementation) -> None:
    """None is left over, and none is missing."""
    observe(CLAIMS[0].name, implementation, Sizes(1, 1, 1))
    assert set(OBSERVATIONS) == {claim.name for claim in CLAIMS}
    assert set(EXAMPLE_CODE) == set(OBSERVATIONS)
    assert [claim.article for claim in CLAIMS] == sorted(claim.article for claim in CLAIMS)


def test_what_an_observation_raises_is_told(implementation: Implementation) -> None:
    """An operation that is not there refutes, and says with which exception."""
    right, said = observe("expand_list", implementation, Sizes(2, 3, 4))
    assert not right
    assert said.startswith("raises ")


def test_a_planted_wrong_rule_changes_verdicts(
    implementation: Implementation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where products are aligned at their first axes a mask of shape (B,T) masks steps."""
    by_name = {claim.name: claim for claim in CLAIMS}
    before = verdict(by_name["steps_plain"], implementation)

    def multiply(self: Any, other: Any) -> Any:
        while len(other.shape) < len(self.shape):
            other = other[..., None]
        return implementation.tensorflow.multiply(self, other)

    tensor = type(implementation.tensorflow.constant(0.0)).__mro__[1]
    monkeypatch.setattr(tensor, "__mul__", multiply)
    assert before.said.startswith("confirmed when B = 1 and T = 1 ")
    assert verdict(by_name["steps_plain"], implementation).said == "confirmed"


def test_conditions_are_the_simplest_that_tell_apart() -> None:
    """One condition where it is enough, two where it is not, none where nothing tells."""
    every = sizes_of(ARTICLES[0])

    def found(holds: Any) -> str | None:
        return condition_of(
            [at for at in every if holds(at)], [at for at in every if not holds(at)]
        )

    assert found(lambda at: at.batch == 1) == "B = 1"
    assert found(lambda at: at.batch == at.step == at.features) == "B = T and T = F"
    assert found(lambda at: 1 in (at.batch, at.step)) == "B = 1 or T = 1"
    assert found(lambda at: at.batch + at.step == 4) is None


def test_conditions_speak_of_modes_where_there_are_several() -> None:
    """A statement of the mode alone is told as such."""
    every = [Sizes(2, 3, 4, mode) for mode in MODES]
    assert condition_of(every[:1], every[1:]) == "eager"


def test_sizes_coincide_and_differ() -> None:
    """All alike, two alike, all different; the smallest are ones."""
    assert minimal(claim_sizes()) == Sizes(1, 1, 1)
    for count in (1, 2, 3):
        find_any(claim_sizes(), lambda at, count=count: len(set(at[:3])) == count)  # type: ignore[misc]


def test_the_examples_have_the_articles_sizes() -> None:
    """32 rows of 20 steps and 128 features; 4 rows of 10 steps, 10 units."""
    assert [EXAMPLES[article][:3] for article in ARTICLES] == [(32, 20, 128), (4, 10, 10)]
