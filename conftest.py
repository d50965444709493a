"""Wires the rooms to pytest: options, profiles, the cells that are collected, and the account."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from execution import devices, environment
from execution.implementation import ImplementationMissing, installed

environment.prepare()  # before anything imports TensorFlow; workers inherit it

_ROOT = Path(__file__).parent
_RUN = pytest.StashKey[Any]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the suite."""
    group = parser.getgroup("keras-mask-tests", "masking conformance")
    group.addoption(
        "--profile",
        default="standard",
        metavar="NAME",
        help="how hard to try: quick (draws the same in every run), standard, nightly",
    )
    group.addoption("--seed", metavar="N", help="the seed of all that is drawn (default: random)")
    group.addoption(
        "--seconds", metavar="N", help="profile nightly: how long a cell explores (default: 60)"
    )
    for name, what in (
        ("device", "cpu:0 or gpu:N (default: cpu:0, and gpu:0 where there is one)"),
        ("layer", "a layer, such as LSTM (default: all)"),
        ("property", "a property, such as held_state (default: all)"),
    ):
        group.addoption(
            f"--{name}", action="append", metavar="NAME", help=f"{what}; may come several times"
        )
    group.addoption("--mode", metavar="NAME", help="eager, graph or xla (default: as designed)")
    group.addoption(
        "--ledger", metavar="FILE", help="known deviations (default: reports/ledger.toml)"
    )
    group.addoption(
        "--survey",
        action="store_true",
        help="go on after a cell's first new deviation: list all distinct ones, with their regions",
    )
    group.addoption("--report", metavar="DIR", help="a folder that record.json is written to")
    group.addoption(
        "--case-limit",
        metavar="SECONDS",
        help="with -n: a case that runs for longer hangs, and its worker is ended (default: 120; "
        "0: no limit)",
    )
    group.addoption(
        "--time-limit",
        metavar="MINUTES",
        help="stop the run after so long; its record says what was not run (default: no limit)",
    )
    group.addoption(
        "--implementation", default="keras", metavar="NAME", help="keras (default) or tf_keras"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Hand cells out in runs of neighbours: a layer's cells share its traces."""
    if getattr(config.option, "dist", None) == "load" or (
        getattr(config.option, "numprocesses", None) and config.option.dist == "no"
    ):
        config.option.dist = "worksteal"


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> Generator[None, int, int]:
    """No more worker processes than the cards under test have memory for."""
    workers = yield
    if _collects_cells(config):
        with contextlib.suppress(ImplementationMissing):  # which is said when options are checked
            found = installed(config.option.implementation)
            workers = min(workers, devices.most_workers(found, config.option.device) or workers)
    return workers


def pytest_configure(config: pytest.Config) -> None:
    """Check every option before anything runs, and begin the account."""
    if config.rootpath != _ROOT:
        # Pytest looks for its configuration at every path among the words it does not know yet.
        raise pytest.UsageError(
            f"the tests' folder is {_ROOT}, not {config.rootpath}: "
            "write options with =, as in --report=DIR, and run in that folder"
        )
    if config.option.help or not _collects_cells(config):
        config.stash[_RUN] = None
        return
    if getattr(config.option, "dist", "no") in ("loadgroup", "loadscope", "loadfile"):
        raise pytest.UsageError(
            f"--dist {config.option.dist}: with it a run hangs when a worker dies; leave it out"
        )
    from properties.run import CELL, Run  # noqa: PLC0415 (Hypothesis is slow)

    run = config.stash[_RUN] = Run(config)
    if not hasattr(config, "workerinput"):
        from reports.recorder import (  # noqa: PLC0415 (only where cells run)
            Recorder,
            expected_pairs,
        )
        from reports.time_limit import TimeLimit  # noqa: PLC0415

        option = config.option
        # What was narrowed down on purpose has fewer cells.
        whole = config.args_source == config.ArgsSource.TESTPATHS
        whole = whole and not (option.layer or option.property)
        recorder = Recorder(
            environment=run.described(),
            profile=run.profile.name,
            seed=run.seed,
            folder=run.folder,
            is_cell=lambda node: node.startswith(CELL),
            entry_of=run.blank_entry,
            death_of=run.death_entry,
            expected=expected_pairs(run.found.keras) if whole else (),
        )
        config.pluginmanager.register(recorder, "keras-mask-tests-recorder")
        if run.time_limit:
            config.pluginmanager.register(TimeLimit(60 * run.time_limit, recorder.stop))
        # Each cell may cost a worker, once; what xdist allows by itself is four for each process.
        if getattr(config.option, "maxworkerrestart", "") is None:
            config.option.maxworkerrestart = str(len(run.cells) + 1)
    else:
        own_card = devices.share(run.found, run.devices, os.environ)
        if own_card is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = own_card
        from reports.recorder import Deselections  # noqa: PLC0415

        config.pluginmanager.register(Deselections(lambda node: node.startswith(CELL)))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell each worker the seed that the controller chose, and where to keep its journal."""
    run = node.config.stash.get(_RUN, None)
    if run is not None:
        node.workerinput["keras_mask_tests_seed"] = run.seed
        node.workerinput["keras_mask_tests_journals"] = str(run.journal_folder())


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the journals."""
    run = config.stash.get(_RUN, None)
    if run is not None and run.journals is not None and not hasattr(config, "workerinput"):
        shutil.rmtree(run.journals, ignore_errors=True)


def pytest_report_header(config: pytest.Config) -> str | None:
    """What is under test, and how it is drawn."""
    run = config.stash.get(_RUN, None)
    if run is None:
        return None
    return f"masking conformance of {run.found}, profile {run.profile.name}, --seed {run.seed}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Collect the selected cells, layer by layer, in the same order everywhere."""
    if "cell" in metafunc.fixturenames:
        run = metafunc.config.stash[_RUN]
        assert run is not None  # cells are collected only where there is one
        metafunc.parametrize("cell", run.cells, ids=[run.name(cell) for cell in run.cells])


@pytest.fixture(scope="session")
def laboratory(pytestconfig: pytest.Config) -> Iterator[Any]:
    """The implementation under test and its runners."""
    run = pytestconfig.stash[_RUN]
    assert run is not None  # only cells want a laboratory
    from properties.laboratory import Laboratory  # noqa: PLC0415 (only where cells run)

    yield Laboratory(run)


def _collects_cells(config: pytest.Config) -> bool:
    """Whether this run is about cells: the suite's own tests need none of this."""
    chosen = [str(arg).split("::")[0] for arg in config.args]
    folders = [(config.invocation_params.dir / arg).resolve() for arg in chosen]
    own = _ROOT / "selftest"
    return not folders or not all(own == path or own in path.parents for path in folders)
