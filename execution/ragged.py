"""Ragged tensors, and sequences that Keras pads: made, handed back as arrays, and printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

__all__ = [
    "LENGTHS_OF",
    "PADDED",
    "SEQUENCES",
    "lengths_of",
    "padded",
    "padded_sequences",
    "ragged",
]

# What a script says of what it gets from a call on ragged tensors.
PADDED = """\
def padded(tensor):  # a ragged tensor with zeros behind its rows
    return tensor.to_tensor() if isinstance(tensor, tf.RaggedTensor) else tensor
"""

LENGTHS_OF = """\
def lengths_of(tensor):  # of the rows of a ragged tensor
    return np.array(tensor.row_lengths()) if isinstance(tensor, tf.RaggedTensor) else None
"""


def ragged(tf: Any, values: Any, lengths: Any) -> Any:
    """A ragged tensor of values of shape (step of all rows, ...) and lengths of shape (batch,)."""
    return tf.RaggedTensor.from_row_lengths(values, lengths)


SEQUENCES = """\
def sequences(values, lengths):  # rows of these lengths, one after the other, as lists
    return [row.tolist() for row in np.split(values, np.cumsum(lengths)[:-1])]
"""


def padded_sequences(
    pad: Callable[..., Any], values: Any, lengths: Any, options: Mapping[str, Any]
) -> Any:
    """What `pad`, with these options, makes of the rows that lie in `values`."""
    rows = np.split(np.asarray(values), np.cumsum(np.asarray(lengths))[:-1])
    return pad([row.tolist() for row in rows], **options)


def padded(tensor: Any) -> Any:
    """A ragged tensor with zeros behind its rows; any other as it is."""
    return tensor.to_tensor() if hasattr(tensor, "row_lengths") else tensor


def lengths_of(tensor: Any) -> np.ndarray | None:
    """The lengths of a ragged tensor's rows, of shape (batch,); None of any other."""
    return np.asarray(tensor.row_lengths()) if hasattr(tensor, "row_lengths") else None
