"""What the options of a run say, checked; and what can be said of its cells from outside."""

from __future__ import annotations

import difflib
import importlib.metadata
import os
import platform
import random
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from execution import devices
from execution.implementation import ImplementationMissing, Installed, installed
from properties.cells import QUICK, STANDARD, Profile, cells, load_checked
from properties.deaths import account
from properties.journal import Journal
from properties.test_conformance import FAMILIES, PROPERTIES, blank
from reports.ledger_file import LedgerError
from reports.record import Environment, Finding, RecordError, check_folder

__all__ = ["CELL", "MODES", "Run"]

CELL = "properties/test_conformance.py::test_cell["
"""How the node id of a cell begins."""

MODES = ("eager", "graph", "xla")

_ROOT = Path(__file__).parents[1]
_FEW = 12  # names that a sentence can hold


class Run:
    """What the options say, checked."""

    def __init__(self, config: pytest.Config) -> None:

        option = config.option
        profiles = {
            "quick": QUICK,
            "standard": STANDARD,
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
        backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
        if self.found.name == "keras" and self.found.keras_major > 2 and backend != "tensorflow":
            raise pytest.UsageError(
                f"KERAS_BACKEND={backend}: masks are tested on TensorFlow; unset the variable"
            )
        layers = [layer for family in FAMILIES.values() for layer in family.layers]
        for name, known in (("layer", layers), ("property", list(PROPERTIES))):
            for value in getattr(option, name) or ():
                _chosen(name, value, known)
        if option.mode is not None:
            _chosen("mode", option.mode, MODES)
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
            self.found.keras,
            explores=self.profile.name == "nightly",
        )
        if not self.cells:
            asked = sorted(set(option.layer or ()))
            if not any(f.has(one, self.found.keras) for f in FAMILIES.values() for one in asked):
                raise pytest.UsageError(f"--layer {' '.join(asked)}: {self.found} has none")
            raise pytest.UsageError(
                f"no cell of --property {' '.join(option.property or ['any'])} has "
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

        if given is None:
            return None
        try:
            check_folder(given)
        except RecordError as error:
            raise pytest.UsageError(f"--report {given}: {error}") from None
        return Path(given)

    def _ledger(self, path: str | Path) -> Any:

        try:
            ledger = load_checked(path)
        except LedgerError as error:
            raise pytest.UsageError(f"ledger {error}") from None
        return ledger.affected(
            self.found.name, self.found.keras, self.found.tensorflow, devices.instructions()
        )

    @staticmethod
    def name(cell: Any) -> str:
        """What stands in a node id for a cell."""
        return f"{cell.layer}-{cell.property}-{cell.execution}"

    def blank_entry(self, node: str) -> Any:
        """What can be said of a cell that reported nothing."""

        for cell in self.cells:
            if node == f"{CELL}{self.name(cell)}]":
                return blank(node, cell, PROPERTIES[cell.property])
        raise LookupError(node)

    def journal_folder(self) -> Path:
        """Where the workers of this run keep their journals; made when the first one asks."""
        if self.journals is None:
            self.journals = Path(tempfile.mkdtemp(prefix="keras-mask-tests-"))
        return self.journals

    def death_entry(self, node: str, worker: str, status: int | None) -> Any:
        """What can be said of a cell whose worker died."""

        cell = next(one for one in self.cells if node == f"{CELL}{self.name(one)}]")
        left = Journal.left(self.journal_folder(), worker)
        reason, finding = account(
            cell, self.name(cell), left, status, module=self.found.name, limit=self.case_limit
        )
        findings = [] if finding is None else [msgspec.convert(finding, Finding)]
        return msgspec.structs.replace(self.blank_entry(node), reason=reason, findings=findings)

    def described(self) -> Any:
        """The environment, as a record describes it."""

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


def _chosen(option: str, value: str, known: Iterable[str]) -> str:
    names = list(known)
    if value in names:
        return value
    if len(names) <= _FEW:
        raise pytest.UsageError(f"--{option} {value}: choose from {', '.join(names)}")
    alike = {name.lower(): name for name in names}
    near = difflib.get_close_matches(value.lower(), alike, n=3)
    meant = f"did you mean {' or '.join(alike[one] for one in near)}? " if near else ""
    raise pytest.UsageError(
        f"--{option} {value}: no {option} has this name; {meant}"
        "`pytest --collect-only -q` lists what there is"
    )


def _number(option: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise pytest.UsageError(f"{option} {text}: not a number that is 0 or more")
    return number
