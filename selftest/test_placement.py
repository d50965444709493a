"""Where layers, calls and results lie: on the device that was asked for, or nowhere.

Two logical CPUs stand in for the code that places things; they are no GPU.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from catalogue.expressions import Output
from catalogue.specs import Spec
from catalogue.steps import Build, Call, Step
from execution.implementation import Implementation, installed
from execution.results import Execution
from execution.running import Runner
from execution.script import fails, script
from selftest.placement import MASK, X
from selftest.test_bad_input import ROOT, environment

Seen = list[dict[str, Any]]
STEPS: tuple[Step, ...] = (
    Build("layer", Spec("LSTM", {"units": 2}), (None, None, 1), 0),
    Call("y", "layer", (X,), {"mask": MASK}, 1),
)


@pytest.fixture(scope="module")
def said() -> list[Any]:
    """What ran on each of two logical CPUs, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "selftest.placement"],
        cwd=ROOT,
        env=environment({}),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def seen(said: list[Any]) -> Seen:
    """The calls among it."""
    return [each for each in said if isinstance(each, dict)]


def test_every_call_runs_on_either_device(seen: Seen) -> None:
    """Two devices, two modes, three layers, plain, stateful, and with a mask from elsewhere."""
    assert len(seen) == 2 * 2 * 3 * 3
    assert not [each for each in seen if each["failures"]]


@pytest.mark.parametrize("what", ["outputs", "weights"])
def test_layers_and_results_lie_where_they_were_asked_for(what: str, seen: Seen) -> None:
    """Outputs, gradients and states, weights and held states, eager and traced."""
    assert all(each[what] for each in seen)
    assert not [each for each in seen if set(each[what]) != {each["asked"]}]


def test_a_mask_from_another_device_is_used(seen: Seen) -> None:
    """A mask that lies on the first device gives on the second what one beside it gives."""
    elsewhere = [each for each in seen if each["elsewhere"]]
    assert {place for each in elsewhere for place in each["masks"]} == {"cpu:0"}
    for each in elsewhere:
        (plain,) = (
            other
            for other in seen
            if not (other["elsewhere"] or other["stateful"])
            and all(other[key] == each[key] for key in ("asked", "mode", "layer"))
        )
        assert each["values"] == plain["values"]


def test_devices_agree_bit_by_bit(seen: Seen) -> None:
    """The same processor under two names gives the same numbers."""
    first, second = ([e["values"] for e in seen if e["asked"] == d] for d in ("cpu:0", "cpu:1"))
    assert first == second


def test_an_output_on_another_device_is_our_own_error(said: list[Any]) -> None:
    """What lies elsewhere is no result of the device under test, and no finding either."""
    assert said[-1].startswith("asked for /cpu:1, got an output on ")


def test_no_memory_on_the_device_is_no_finding() -> None:
    """An allocator that gives up is out of memory, not a layer that refuses a call."""
    implementation = Implementation(installed())

    def exhausted(**arguments: Any) -> Any:
        raise implementation.tensorflow.errors.ResourceExhaustedError(None, None, "OOM when ...")

    implementation.overrides["LSTM"] = exhausted
    with pytest.raises(MemoryError, match="OOM"):
        Runner(implementation, Execution("cpu:0", "eager")).run(STEPS)


def test_results_keep_all_bits_of_float32() -> None:
    """TF32 is off, by TensorFlow's own switch and by the variable that CUDA's libraries read."""
    tf = Implementation(installed()).tensorflow
    assert not tf.config.experimental.tensor_float_32_execution_enabled()
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "0"
    assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"


def test_a_script_places_what_was_seen_on_a_gpu() -> None:
    """It runs where the deviation was seen, with TF32 off; on the CPU it says nothing of places."""
    plain = script(STEPS, ["print({y})"], {"y": Output("y")}, module=installed().name)
    placed = script(
        STEPS, ["print({y})"], {"y": Output("y")}, module=installed().name, device="gpu:0"
    )
    assert "device" not in plain
    assert "enable_tensor_float_32_execution(False)" in placed
    assert 'with tf.device("/gpu:0"):\n    layer = ' in placed
    assert not fails(placed.replace("/gpu:0", "/cpu:0"))
