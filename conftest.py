"""Wires the rooms to pytest: options, profiles, the cells that are collected, and the account."""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
import os
import platform
import random
import re
import resource
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

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
    group.addoption("--report", metavar="DIR", help="a folder that record.json is written to")
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
    run = config.stash[_RUN] = _Run(config)
    if not hasattr(config, "workerinput"):
        from reports.recorder import Recorder  # noqa: PLC0415 (only where cells run)

        config.pluginmanager.register(
            Recorder(
                environment=run.described(),
                profile=run.profile.name,
                seed=run.seed,
                folder=run.folder,
                is_cell=lambda node: node.startswith(_CELL),
                entry_of=run.blank_entry,
            ),
            "keras-mask-tests-recorder",
        )
    else:
        own_card = devices.share(run.found, run.devices, os.environ)
        if own_card is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = own_card
        from reports.recorder import Deselections  # noqa: PLC0415

        config.pluginmanager.register(Deselections(lambda node: node.startswith(_CELL)))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell each worker the seed that the controller chose."""
    run = node.config.stash.get(_RUN, None)
    if run is not None:
        node.workerinput["keras_mask_tests_seed"] = run.seed


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
    """The implementation under test and its runners, imported when the first cell wants them."""
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
        from properties.running import Profile, cells  # noqa: PLC0415 (Hypothesis is slow)
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
        self.seed = self._seed(config)
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
        from properties.running import pin_problem  # noqa: PLC0415
        from properties.test_conformance import FAMILIES, PROPERTIES  # noqa: PLC0415
        from reports.ledger import LedgerError, load_ledger  # noqa: PLC0415

        known = {name: FAMILIES[one.family].layers for name, one in PROPERTIES.items()}
        try:
            ledger = load_ledger(path, properties=known)
        except LedgerError as error:
            raise pytest.UsageError(f"ledger {error}") from None
        for deviation in ledger:
            for pin in deviation.pins:
                problem = pin_problem(deviation, pin)
                if problem:
                    raise pytest.UsageError(f"ledger {path}: deviation {deviation.id!r}: {problem}")
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
        self.run = run
        self.implementation = Implementation(run.found)
        self._runners: dict[Any, Any] = {}
        self._layer: str | None = None

    def measured(self, cell: Any) -> dict[str, Any]:
        """Run a cell; the fields of its entry."""
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
        fields = CellRunner(cell, runner, run.ledger, run.profile, run.seed).run()
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
