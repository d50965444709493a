"""Which devices are visible, and how worker processes share them, without importing TensorFlow."""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from execution.implementation import Installed

__all__ = ["Card", "cards", "default", "instructions", "most_workers", "share", "visible"]

# A context, cuDNN's and cuBLAS' handles and workspaces, and room for the largest batch.
_WORKER_MB = 4096
# Calls are tiny: past a few processes a card only switches between their contexts.
_MOST_ON_A_CARD = 4
# Where a CPU has these, oneDNN has kernels of its own for half precision.
_INSTRUCTIONS = frozenset({"avx512_fp16"})


@dataclasses.dataclass(frozen=True)
class Card:
    """A GPU as `CUDA_VISIBLE_DEVICES` names it, and its memory in MiB (0 where unknown)."""

    name: str
    memory_mb: int = 0

    @property
    def workers(self) -> int:
        """How many processes may work on it: one where its memory is unknown."""
        return max(1, min(_MOST_ON_A_CARD, self.memory_mb // _WORKER_MB))


@functools.lru_cache
def instructions(described: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """The instructions of this CPU that change which kernels TensorFlow takes; Linux says them."""
    try:
        text = described.read_text()
    except OSError:
        return frozenset()
    return _INSTRUCTIONS.intersection(text.split())


@functools.lru_cache
def cards(found: Installed) -> tuple[Card, ...]:
    """The GPUs that the installed TensorFlow may use, in its numbering.

    A build without CUDA uses none. `CUDA_VISIBLE_DEVICES` chooses as CUDA reads it: numbers or
    the beginnings of UUIDs, up to the first that names nothing.
    """
    if found.distribution == "tensorflow-cpu" or shutil.which("nvidia-smi") is None:
        return ()
    return _chosen(_listed(), os.environ.get("CUDA_VISIBLE_DEVICES"))


def visible(found: Installed) -> tuple[str, ...]:
    """`cpu:0` and every GPU that the installed TensorFlow may use."""
    return ("cpu:0", *(f"gpu:{place}" for place in range(len(cards(found)))))


def default(found: Installed) -> tuple[str, ...]:
    """The devices that are tested where none is asked for: `cpu:0`, and `gpu:0` if there is one.

    Where there are more, `gpu:0` is for each worker the first of its own share.
    """
    return visible(found)[:2]


def share(found: Installed, asked: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """What a worker process of pytest-xdist puts into its `CUDA_VISIBLE_DEVICES`, if anything.

    Each gets one card in turn. `environment` says which worker this is; `asked` are the
    devices under test: who asks for a second GPU has every worker see all.
    """
    worker = environment.get("PYTEST_XDIST_WORKER", "")
    available = cards(found)
    if not worker.startswith("gw") or not available or not set(asked) <= {"cpu:0", "gpu:0"}:
        return None
    if "gpu:0" not in asked:
        return ""  # a context that nothing uses would still take its memory
    return available[int(worker[2:]) % len(available)].name


def most_workers(found: Installed, asked: Sequence[str] | None) -> int | None:
    """How many worker processes the cards have room for; None where no card is under test."""
    asked = asked or default(found)
    if not any(device.startswith("gpu:") for device in asked):
        return None
    return sum(card.workers for card in cards(found)) or None


def _listed() -> list[tuple[str, str, int]]:
    """Number, UUID and memory of each card, by the driver."""
    fields = "index,uuid,memory.total"
    try:
        said = subprocess.run(
            ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []  # a driver that does not answer has no card to offer
    found = []
    for line in said.splitlines():
        values = [value.strip() for value in line.split(",")]
        if len(values) == 3:
            memory = int(values[2]) if values[2].isdecimal() else 0
            found.append((values[0], values[1], memory))
    return found


def _chosen(listed: list[tuple[str, str, int]], names: str | None) -> tuple[Card, ...]:
    if names is None:
        return tuple(Card(number, memory) for number, _, memory in listed)
    found: list[Card] = []
    for name in (each.strip() for each in names.split(",")):
        if name.startswith("MIG-"):
            found.append(Card(name))  # a part of a card, which the driver does not list
            continue
        same = [
            memory
            for number, uuid, memory in listed
            if name == number or (name.startswith("GPU-") and uuid.startswith(name))
        ]
        if len(same) != 1:
            break
        found.append(Card(name, same[0]))
    return tuple(found)
