"""What many tests are given: the Keras that is installed, and what is known of it."""

from __future__ import annotations

import signal

import hypothesis
import pytest

from execution.implementation import Implementation, installed
from reports.ledger import Ledger
from selftest.planting import known_of

# A machine that has other things to do draws slowly: that is no defect.
hypothesis.settings.register_profile(
    "selftest", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("selftest")

# A run in the background ignores Ctrl-C, and so would the runs that are interrupted in tests.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """With how many seeds planted defects must be seen."""
    parser.addoption(
        "--seeds", type=int, default=1, metavar="N", help="planted defects: with how many seeds"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test of what is drawn takes the seeds that it is given, where it names none itself."""
    named = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    if "seed" in metafunc.fixturenames and "seed" not in named:
        metafunc.parametrize("seed", range(metafunc.config.getoption("--seeds")))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What mostly waits comes first: at the end one worker would wait alone.

    The name of a test says nothing of one process alone, such as where an object lies: workers
    that name tests otherwise run none.
    """
    for item in items:
        if "<" in item.name:
            raise pytest.UsageError(f"{item.nodeid} is named by an object: give it an id")
    items.sort(key=lambda item: item.path.name != "test_killing.py")


@pytest.fixture(scope="module")
def found() -> Implementation:
    """The Keras that is installed, imported once."""
    return Implementation(installed())


@pytest.fixture(scope="module")
def ledger(found: Implementation) -> Ledger:
    """What is known of it, without pinned cases."""
    return known_of(found.installed)
