"""Process settings that TensorFlow reads when it is imported."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

__all__ = ["prepare", "quiet"]

# The calls of this suite are tiny: more threads only get in each other's way.
_DEFAULTS = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",  # else the first process takes the whole card
    "NVIDIA_TF32_OVERRIDE": "0",  # TF32 keeps 10 bits of a float32 product
    # What TensorFlow chooses by itself where the CPU has AVX-512 instructions for it: kernels that
    # differ in what they accept, on one machine as on another.
    "TF_ENABLE_ONEDNN_OPTS": "1",
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # as nvidia-smi counts
    "KERAS_BACKEND": "tensorflow",
}


def prepare() -> None:
    """Set what the user has not set; to be called before TensorFlow is imported."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what native code writes to standard error out of sight, unless the body raises.

    TensorFlow says that oneDNN's kernels are on before it reads how much it may say.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as said:
        real = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            yield
        except BaseException:
            said.seek(0)
            os.write(real, said.read())
            raise
        finally:
            os.dup2(real, 2)
            os.close(real)
