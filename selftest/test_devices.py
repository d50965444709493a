"""Devices: which are visible, how many workers start, and which card each of them gets.

A fake `nvidia-smi` stands in for a driver; nothing here needs a GPU or pretends to run on one.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from execution import devices
from execution.implementation import Installed
from selftest.test_bad_input import ROOT, environment

CUDA = Installed("keras", "3.15.1", "2.21.0", "tensorflow")
ONE = "0, GPU-aaaa-1, 81559\n"
TWO = ONE + "1, GPU-bbbb-2, 9000\n"


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    devices.cards.cache_clear()


def driver(folder: Path, answer: str, status: int = 0) -> str:
    """A folder with an `nvidia-smi` that answers so, for the front of PATH."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{answer}END\nexit {status}\n")
    program.chmod(0o755)
    return str(folder)


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Two cards, of 80 and of 9 gigabytes."""
    monkeypatch.setenv("PATH", driver(tmp_path, TWO), prepend=":")
    return monkeypatch


# -- which are visible -----------------------------------------------------------------------


def test_every_card_is_visible_and_the_first_is_tested(say: pytest.MonkeyPatch) -> None:
    """Two cards are two devices; without a word about devices CPU and the first card meet."""
    assert devices.visible(CUDA) == ("cpu:0", "gpu:0", "gpu:1")
    assert devices.default(CUDA) == ("cpu:0", "gpu:0")


def test_the_cpu_says_its_instructions(tmp_path: Path) -> None:
    """Of a CPU's flags those count that choose a kernel; a system that says none has none."""
    described = tmp_path / "cpuinfo"
    described.write_text("processor : 0\nflags : fpu avx512f avx512_fp16\n")
    assert devices.instructions(described) == {"avx512_fp16"}
    assert devices.instructions(tmp_path / "none") == frozenset()


def test_a_tensorflow_without_cuda_uses_no_card(say: pytest.MonkeyPatch) -> None:
    """A driver is not enough: tensorflow-cpu cannot use it."""
    found = Installed("keras", "3.15.1", "2.21.0", "tensorflow-cpu")
    assert devices.visible(found) == devices.default(found) == ("cpu:0",)
    assert devices.most_workers(found, None) is None


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ("1", ["1"]),
        ("1,0", ["1", "0"]),
        ("GPU-bbbb", ["GPU-bbbb"]),
        ("0,-1,1", ["0"]),
        ("5", []),
        ("-1", []),
        ("", []),
        ("MIG-cccc", ["MIG-cccc"]),
    ],
)
def test_the_callers_choice_is_read_as_cuda_reads_it(
    chosen: str, names: list[str], say: pytest.MonkeyPatch
) -> None:
    """Numbers, UUIDs and parts of cards, up to the first that names nothing."""
    say.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert [card.name for card in devices.cards(CUDA)] == names


def test_a_driver_that_fails_has_no_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose driver does not answer is tested on its CPU."""
    monkeypatch.setenv("PATH", driver(tmp_path, "No devices were found\n", 9), prepend=":")
    assert devices.visible(CUDA) == ("cpu:0",)


# -- how many workers ------------------------------------------------------------------------


def test_workers_are_counted_by_the_memory_of_the_cards(say: pytest.MonkeyPatch) -> None:
    """Four on a large card, two on one of 9 gigabytes."""
    assert devices.most_workers(CUDA, None) == 4 + 2
    say.setenv("CUDA_VISIBLE_DEVICES", "1")
    devices.cards.cache_clear()
    assert devices.most_workers(CUDA, ["gpu:0"]) == 2


def test_workers_are_not_limited_where_no_card_is_tested(say: pytest.MonkeyPatch) -> None:
    """Who asks for the CPU has all its cores."""
    assert devices.most_workers(CUDA, ["cpu:0"]) is None


def test_a_card_of_unknown_memory_takes_one_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory that the driver does not tell is not guessed."""
    monkeypatch.setenv("PATH", driver(tmp_path, "0, GPU-dddd, [N/A]\n"), prepend=":")
    assert devices.most_workers(CUDA, None) == 1


# -- which card ------------------------------------------------------------------------------


def test_workers_take_the_callers_cards_in_turn(say: pytest.MonkeyPatch) -> None:
    """Each worker sees one card of those that the caller chose, by the caller's name for it."""
    say.setenv("CUDA_VISIBLE_DEVICES", "1,GPU-aaaa")
    shares = [
        devices.share(CUDA, ("cpu:0", "gpu:0"), {"PYTEST_XDIST_WORKER": f"gw{number}"})
        for number in range(4)
    ]
    assert shares == ["1", "GPU-aaaa", "1", "GPU-aaaa"]


@pytest.mark.parametrize(
    ("asked", "worker", "expected"),
    [
        (("cpu:0",), "gw0", ""),
        (("gpu:1",), "gw0", None),
        (("gpu:0", "gpu:1"), "gw1", None),
        (("gpu:0",), "", None),
    ],
)
def test_only_a_worker_that_needs_one_card_is_given_one(
    asked: tuple[str, ...], worker: str, expected: str | None, say: pytest.MonkeyPatch
) -> None:
    """None where the CPU is tested, all where a second card is, and no change without workers."""
    assert devices.share(CUDA, asked, {"PYTEST_XDIST_WORKER": worker}) == expected


# -- the whole suite -------------------------------------------------------------------------

_SAYING = """
import os

import pytest


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session):
    if hasattr(session.config, "workerinput"):
        with open(os.environ["SAID"], "a") as file:
            file.write(os.environ["CUDA_VISIBLE_DEVICES"] + "\\n")
"""


def started(folder: Path, *options: str) -> tuple[str, list[str]]:
    """What a run on a large and a small card says, and which cards its workers see."""
    metadata = folder / "tensorflow-2.21.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: tensorflow\nVersion: 2.21.0\n")
    (folder / "saying.py").write_text(_SAYING)
    said = folder / "said"
    said.touch()
    own = environment({})
    small = "0, GPU-aaaa-1, 9000\n1, GPU-bbbb-2, 6000\n"
    path = f"{driver(folder, small)}:{own['PATH']}"
    variables = {"PATH": path, "PYTHONPATH": str(folder), "SAID": str(said)}
    variables["PYTEST_XDIST_AUTO_NUM_WORKERS"] = "4"  # a machine of four cores
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "saying", "-k", "no_such_cell", *options],
        cwd=ROOT,
        env={**own, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.stdout + done.stderr, said.read_text().splitlines()


def test_auto_starts_as_many_workers_as_the_cards_hold(tmp_path: Path) -> None:
    """Four cores and two cards: three workers, which take the cards in turn."""
    said, seen = started(tmp_path, "-n", "auto", "--layer=multiply")
    assert "3 workers [0 items]" in said, said
    assert sorted(seen) == ["0", "0", "1"]


def test_auto_starts_as_many_workers_as_cores_for_the_cpu(tmp_path: Path) -> None:
    """Cards that are not tested limit nothing and are hidden."""
    said, seen = started(tmp_path, "-n", "auto", "--device=cpu:0", "--layer=multiply")
    assert "4 workers [0 items]" in said, said
    assert seen == [""] * 4
