"""Which devices are visible, found out without importing TensorFlow."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess

from execution.implementation import Installed

__all__ = ["visible"]


@functools.lru_cache
def visible(found: Installed) -> tuple[str, ...]:
    """`cpu:0` and every GPU that the installed TensorFlow may use, in its numbering.

    A build without CUDA uses none. `CUDA_VISIBLE_DEVICES` hides GPUs as TensorFlow reads it.
    """
    if found.distribution == "tensorflow-cpu" or shutil.which("nvidia-smi") is None:
        return ("cpu:0",)
    listed = subprocess.run(
        ["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=False, timeout=30
    )
    there = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = len(there)
    if chosen is not None:
        names = [name.strip() for name in chosen.split(",")]
        valid = [name for name in names if name and name != "-1"]
        count = min(count, len(valid))
    return ("cpu:0", *(f"gpu:{place}" for place in range(count)))
