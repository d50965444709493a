"""Cases: frozen, printable values that hold everything a property draws."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np

from catalogue.specs import Spec

__all__ = [
    "CONTENTS",
    "FINITE_CONTENTS",
    "MASKABLE_CONTENTS",
    "CallForm",
    "Content",
    "MaskDtype",
    "MaskForm",
    "RaggedBatch",
    "RecurrentCase",
    "StateForm",
]

Content = Literal["zeros", "ones", "tenth", "noise", "large", "largest", "inf", "-inf", "nan"]
# A tenth is another number in each dtype, the largest number of one is infinite in another.
FINITE_CONTENTS: tuple[Content, ...] = ("zeros", "ones", "tenth", "noise", "large", "largest")
CONTENTS: tuple[Content, ...] = (*FINITE_CONTENTS, "inf", "-inf", "nan")
# What `Masking` can be told to mask: one value, that equals itself.
MASKABLE_CONTENTS: tuple[Content, ...] = tuple(
    content for content in CONTENTS if content not in ("noise", "nan")
)


class RaggedBatch(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    repr_omit_defaults=True,
    omit_defaults=True,
):
    """Rows of one length, some steps of which are valid.

    `mask` holds one string a row, `"1"` for a valid step and `"0"` for a masked one, so
    `("110", "100")` is a batch of two rows of three steps. `content` is what masked steps
    hold; `seed` is what the values at valid steps (and noise) are drawn from.
    """

    mask: tuple[str, ...]
    content: Content = "zeros"
    seed: int = 0

    @property
    def batch(self) -> int:
        """The number of rows."""
        return len(self.mask)

    @property
    def max_len(self) -> int:
        """The number of steps of every row."""
        return len(self.mask[0])

    @property
    def valid(self) -> np.ndarray:
        """The mask as an array of shape `(batch, max_len)`, True at valid steps."""
        return np.array([[step == "1" for step in row] for row in self.mask], bool)

    @property
    def lengths(self) -> tuple[int, ...]:
        """The number of valid steps of each row."""
        return tuple(row.count("1") for row in self.mask)


MaskForm = Literal["explicit", "masking", "embedding", "travelling", "absent", "none"]
MaskDtype = Literal["bool", "int32", "float32", "int64"]
StateForm = Literal["absent", "none", "keyword", "positional"]


class CallForm(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    repr_omit_defaults=True,
    omit_defaults=True,
):
    """A documented way to call a recurrent layer.

    `mask` says how the mask reaches the layer: given explicitly, made by `Masking` or by
    `Embedding(mask_zero=True)`, travelling with a tensor from a custom layer, not at all
    (`absent`), or as `mask=None` (`none`). `mask_dtype` is the dtype of an explicit mask,
    `positional` gives an explicit mask by its position. `initial_state` says whether and
    how initial states are given. `training` is passed on where it is not None.
    """

    mask: MaskForm = "explicit"
    mask_dtype: MaskDtype = "bool"
    positional: bool = False
    initial_state: StateForm = "absent"
    training: bool | None = None

    @property
    def masked(self) -> bool:
        """Whether a mask reaches the layer."""
        return self.mask not in ("absent", "none")

    @property
    def free_content(self) -> bool:
        """Whether masked steps may hold anything: a mask made from values says what they hold."""
        return self.mask not in ("masking", "embedding")

    @property
    def contents(self) -> tuple[Content, ...]:
        """What masked steps may hold; an embedding decides by itself what its padding is."""
        if self.mask == "embedding":
            return ("zeros",)
        return MASKABLE_CONTENTS if self.mask == "masking" else CONTENTS


class RecurrentCase(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    repr_omit_defaults=True,
    omit_defaults=True,
):
    """A recurrent layer, a call of it and a ragged batch, with what its property chose.

    `weights` and `batch.seed` are seeds; `features` is the last dimension of the inputs;
    `dtype` is the inputs' dtype and `policy` the layer's dtype policy. What only some
    properties choose: `other`, a second content of masked steps; `order`, which row comes
    where; `inserted`, the positions (in the longer sequence) at which padding goes in;
    `chunks`, the lengths that a sequence is cut into; `travelling`, the rows of a second mask.
    """

    spec: Spec
    batch: RaggedBatch
    features: int = 1
    form: CallForm = CallForm()
    weights: int = 0
    dtype: str = "float32"
    policy: str = "float32"
    other: Content | None = None
    order: tuple[int, ...] = ()
    inserted: tuple[int, ...] = ()
    chunks: tuple[int, ...] = ()
    travelling: tuple[str, ...] = ()
