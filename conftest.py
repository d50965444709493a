"""Wires the rooms to pytest: options, profiles, the cells that are collected, and the account."""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib.metadata
import os
import platform
import random
import re
import resource
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from execution import devices, environment
from execution.implementation import Implementation, ImplementationMissing, Installed, installed

environment.prepare()  # before anything imports TensorFlow; workers inherit it

_ROOT = Path(__file__).parent
_CELL = "properties/test_conformance.py::test_cell["
_MODES = ("eager", "graph", "xla")


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
    group.addoption("--mode", metavar="NAME", help=f"{', '.join(_MODES)} (default: as designed)")
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
    run = config.stash[_RUN] = _Run(config)
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
            is_cell=lambda node: node.startswith(_CELL),
            entry_of=run.blank_entry,
            death_of=run.death_entry,
            expected=expected_pairs() if whole else (),
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

        config.pluginmanager.register(Deselections(lambda node: node.startswith(_CELL)))


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
    yield _Laboratory(run)


def _collects_cells(config: pytest.Config) -> bool:
    """Whether this run is about cells: the suite's own tests need none of this."""
    chosen = [str(arg).split("::")[0] for arg in config.args]
    folders = [(config.invocation_params.dir / arg).resolve() for arg in chosen]
    own = _ROOT / "selftest"
    return not folders or not all(own == path or own in path.parents for path in folders)


class _Run:
    """What the options say, checked."""

    def __init__(self, config: pytest.Config) -> None:
        from properties.cells import Profile, cells  # noqa: PLC0415 (Hypothesis is slow)
        from properties.test_conformance import FAMILIES, PROPERTIES  # noqa: PLC0415

        option = config.option
        profiles = {
            "quick": Profile("quick", examples=1),
            "standard": Profile("standard", examples=1),
            "nightly": Profile(
                "nightly",
                examples=3,
                rounds=10**6,
                seconds=_number("--seconds", option.seconds or "60"),
            ),
        }
        self.profile = profiles[_chosen("profile", option.profile, profiles)]
        if option.seconds and option.profile != "nightly":
            raise pytest.UsageError(f"--seconds {option.seconds} is for --profile nightly only")
        _chosen("implementation", option.implementation, ("keras", "tf_keras"))
        try:
            self.found: Installed = installed(option.implementation)
        except ImplementationMissing as missing:
            raise pytest.UsageError(str(missing)) from None
        layers = [layer for family in FAMILIES.values() for layer in family.layers]
        for name, known in (("layer", layers), ("property", list(PROPERTIES))):
            for value in getattr(option, name) or ():
                _chosen(name, value, known)
        if option.mode is not None:
            _chosen("mode", option.mode, _MODES)
        visible = devices.visible(self.found)
        for device in option.device or ():
            if not re.fullmatch(r"(cpu|gpu):\d+", device) or device not in visible:
                raise pytest.UsageError(
                    f"--device {device}: no such device, visible are {', '.join(visible)}"
                )
        self.devices = tuple(option.device or devices.default(self.found))
        self.case_limit = _number("--case-limit", option.case_limit or "120")
        alone = not getattr(option, "tx", None) and not hasattr(config, "workerinput")
        if option.case_limit and alone:
            raise pytest.UsageError(
                f"--case-limit {option.case_limit} needs workers: add -n auto, or -n 1"
            )
        self.time_limit = _number("--time-limit", option.time_limit or "0")
        given = getattr(config, "workerinput", {}).get("keras_mask_tests_journals")
        self.journals = None if given is None else Path(given)
        self.seed = self._seed(config)
        self.survey: bool = option.survey
        self.cells = cells(
            set(option.layer) if option.layer else None,
            set(option.property) if option.property else None,
            self.devices,
            option.mode,
        )
        if not self.cells:
            raise pytest.UsageError(
                f"no cell of --property {' '.join(option.property)} has "
                f"--layer {' '.join(option.layer)}"
            )
        self.ledger = self._ledger(option.ledger or _ROOT / "reports" / "ledger.toml")
        self.folder = self._folder(option.report)  # last: it makes the folder

    def _seed(self, config: pytest.Config) -> int:
        given = config.option.seed or config.getoption("hypothesis_seed", None)
        inherited = getattr(config, "workerinput", {}).get("keras_mask_tests_seed")
        if inherited is not None:
            return int(inherited)
        if given and given != "random":
            if not str(given).isdecimal():
                raise pytest.UsageError(f"--seed {given}: not a whole number that is 0 or more")
            return int(given)
        return 0 if self.profile.name == "quick" else random.SystemRandom().randrange(10**6)

    @staticmethod
    def _folder(given: str | None) -> Path | None:
        from reports.record import RecordError, check_folder  # noqa: PLC0415

        if given is None:
            return None
        try:
            check_folder(given)
        except RecordError as error:
            raise pytest.UsageError(f"--report {given}: {error}") from None
        return Path(given)

    def _ledger(self, path: str | Path) -> Any:
        from properties.cells import load_checked  # noqa: PLC0415
        from reports.ledger_file import LedgerError  # noqa: PLC0415

        try:
            ledger = load_checked(path)
        except LedgerError as error:
            raise pytest.UsageError(f"ledger {error}") from None
        return ledger.affected(self.found.name, self.found.keras)

    @staticmethod
    def name(cell: Any) -> str:
        """What stands in a node id for a cell."""
        return f"{cell.layer}-{cell.property}-{cell.execution}"

    def blank_entry(self, node: str) -> Any:
        """What can be said of a cell that reported nothing."""
        from properties.test_conformance import PROPERTIES, blank  # noqa: PLC0415

        for cell in self.cells:
            if node == f"{_CELL}{self.name(cell)}]":
                return blank(node, cell, PROPERTIES[cell.property])
        raise LookupError(node)

    def journal_folder(self) -> Path:
        """Where the workers of this run keep their journals; made when the first one asks."""
        if self.journals is None:
            self.journals = Path(tempfile.mkdtemp(prefix="keras-mask-tests-"))
        return self.journals

    def death_entry(self, node: str, worker: str, status: int | None) -> Any:
        """What can be said of a cell whose worker died."""
        from properties.deaths import account  # noqa: PLC0415
        from properties.journal import Journal  # noqa: PLC0415
        from reports.record import Finding  # noqa: PLC0415

        cell = next(one for one in self.cells if node == f"{_CELL}{self.name(one)}]")
        left = Journal.left(self.journal_folder(), worker)
        reason, finding = account(
            cell, self.name(cell), left, status, module=self.found.name, limit=self.case_limit
        )
        findings = [] if finding is None else [msgspec.convert(finding, Finding)]
        return msgspec.structs.replace(self.blank_entry(node), reason=reason, findings=findings)

    def described(self) -> Any:
        """The environment, as a record describes it."""
        from reports.record import Environment  # noqa: PLC0415

        version = importlib.metadata.version
        return Environment(
            implementation=self.found.name,
            keras=self.found.keras,
            tensorflow=self.found.tensorflow,
            python=platform.python_version(),
            numpy=version("numpy"),
            hypothesis=version("hypothesis"),
            pytest=version("pytest"),
            platform=f"{platform.system()} {platform.machine()}",
            cpus=os.cpu_count() or 1,
            devices=list(devices.visible(self.found)),
        )


class _Laboratory:
    """One implementation, a runner for each execution, emptied when the layer changes."""

    def __init__(self, run: _Run) -> None:
        from properties.journal import Journal  # noqa: PLC0415 (only where cells run)

        self.run = run
        worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
        self.journal = Journal(run.journals, worker, limit=run.case_limit)
        self._runners: dict[Any, Any] = {}
        self._layer: str | None = None

    @functools.cached_property
    def implementation(self) -> Implementation:
        """The implementation under test, imported when the first cell runs."""
        return Implementation(self.run.found)

    def measured(self, cell: Any) -> dict[str, Any]:
        """Run a cell; the fields of its entry."""
        with self.journal.opened(self.run.name(cell)):
            return self._measured(cell)

    def _measured(self, cell: Any) -> dict[str, Any]:
        from execution.running import Runner  # noqa: PLC0415 (with TensorFlow)
        from properties.running import CellRunner  # noqa: PLC0415

        if cell.layer != self._layer:
            for runner in self._runners.values():
                runner.forget()
            self._layer = cell.layer
            # Graphs are full of cycles; collecting them while they live costs a tenth of a run.
            gc.collect()
            gc.set_threshold(200_000, 50, 1000)
        runner = self._runners.get(cell.execution)
        if runner is None:
            runner = self._runners[cell.execution] = Runner(self.implementation, cell.execution)
        run = self.run
        fields = CellRunner(
            cell,
            runner,
            run.ledger,
            run.profile,
            run.seed,
            survey=run.survey,
            journal=self.journal,
        ).run()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return {
            **fields,
            "memory_mb": round(peak, 1),
            "worker": os.environ.get("PYTEST_XDIST_WORKER", "main"),
        }


_RUN = pytest.StashKey[_Run | None]()


def _chosen(option: str, value: str, known: Any) -> str:
    if value not in known:
        raise pytest.UsageError(f"--{option} {value}: choose from {', '.join(known)}")
    return value


def _number(option: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise pytest.UsageError(f"{option} {text}: not a number that is 0 or more")
    return number
