"""Entries of layers that make masks from values: Masking and Embedding.

In the form `made` the values say what is masked; a maker may also be given a tensor that
carries a mask already.
"""

from __future__ import annotations

import numpy as np

from catalogue.cases import Content
from catalogue.contracts import kept
from catalogue.expressions import expression
from catalogue.layer_cases import Given, LayerCase, LayerEntry, Sequences, Tensor
from catalogue.layer_reference import cleared, unchanged
from catalogue.specs import Argument, Spec
from catalogue.windows import said

__all__ = ["EMBEDDING", "ENTRIES", "embedded", "mask_value", "masking_source", "token_source"]

_Shapes = list[tuple[int, ...]]

TOKENS = 11  # the vocabulary with 0, which is padding: an index of 0 to 10
_MANY_TOKENS = 70_000  # of which some are no bytes, and some no half words

# Values that float16 holds, and one that each dtype holds as another number.
_ARRAY = Spec("np.array", {"object": -2.0, "dtype": "float32"})  # as data comes from NumPy
_MASK_VALUES: tuple[Argument, ...] = (0.0, -1.0, 0.1, 1e4, _ARRAY)


# -- Masking ---------------------------------------------------------------------------------


def masking_source(case: LayerCase, place: int, content: Content) -> tuple[str, str]:
    """Values of which a step has some, and never all, equal to `mask_value`; it as padding.

    The other values lie so far from every mask value that no cast makes them equal; in single and
    double precision some lie next to it. A masked step may hold a zero of the other sign, which
    equals zero.
    """
    tensor = case.tensors[place]
    value = mask_value(case.spec)
    padding = -0.0 if value == 0 and tensor.seed % 2 else value
    return _partly(case, tensor, value), f"np.array({padding!r}, {case.dtype!r})"


def _partly(case: LayerCase, tensor: Tensor, value: float) -> str:
    shape, seed = tensor.shape, tensor.seed
    size = int(np.prod(tensor.rest))
    free = f"np.arange({size}).reshape({tensor.rest}) != {seed % size}"
    equal = f"({free}) & (np.random.default_rng({seed}).random({shape}) < 0.4)"
    others = (
        f"np.copysign(np.random.default_rng({seed + 1}).uniform(0.2, 0.8, {shape}), "
        f"np.random.default_rng({seed + 2}).uniform(-1, 1, {shape}))"
    )
    if {case.dtype, case.policy} <= {"float32", "float64"}:  # which tell it from its neighbour
        near = value * (1 + 1e-6) if value else 1e-9
        others = (
            f"np.where(np.random.default_rng({seed + 4}).random({shape}) < 0.2, {near}, {others})"
        )
    return f"np.where({equal}, {value!r}, {others}).astype({case.dtype!r})"


def _carried_source(case: LayerCase, place: int, content: Content) -> tuple[str, str]:
    """As `masking_source`, with whole steps of `mask_value` among valid ones; padding is free."""
    tensor = case.tensors[place]
    value = mask_value(case.spec)
    whole, made = _whole(tensor, len(tensor.rest)), f"np.array({value!r}, {case.dtype!r})"
    return f"np.where({whole}, {made}, {_partly(case, tensor, value)})", ""


def _whole(tensor: Tensor, behind: int) -> str:
    """Which steps are to be masked by their values, with so many axes of size 1 behind."""
    shape = (*tensor.steps, *[1] * behind)
    return f"np.random.default_rng({tensor.seed + 3}).random({shape}) < 0.3"


def mask_value(spec: Spec) -> float:
    """The number that a Masking takes for padding."""
    value = spec.get("mask_value", 0.0)
    if isinstance(value, Spec):
        value = value.get("object")
    assert isinstance(value, float)
    return value


def _also_masked(case: LayerCase) -> np.ndarray:
    """The steps that are valid by the mask that came in and by their values.

    Source: the page of Masking, and rule 1: a step that was masked before stays so.
    """
    made = ~np.asarray(expression(_whole(case.tensors[0], 0)).value())
    mask = case.masks[0]
    return made if mask is None else made & mask


def _unless_masked(given: Given) -> np.ndarray:
    """Source: the page of Masking: it masks, and says of no value that it becomes another."""
    (x,) = given.inputs
    valid = _also_masked(given.case)
    valid = valid.reshape(*valid.shape, *[1] * (x.ndim - valid.ndim))
    return np.where(valid, x, x.dtype.type(np.nan))


# -- Embedding -------------------------------------------------------------------------------


_OF_FLOATS = 4  # each fourth tensor: what `keras.Input` makes of it where nobody names a dtype


def token_dtype(case: LayerCase, place: int) -> str:
    """The dtype of tokens: integers of several sizes, by turns with a case's, or floats.

    A graph holds bytes of few tokens alone.
    """
    if case.policy == "mixed_float16" and _vocabulary(case.spec) == TOKENS:
        return "uint8"
    if case.tensors[place].seed % _OF_FLOATS == 1:
        return "float32"
    return {"float32": "int32", "float64": "int64"}[case.dtype]


def _vocabulary(spec: Spec) -> int:
    size = spec.get("input_dim", TOKENS)
    assert isinstance(size, int)
    return size


def token_source(case: LayerCase, place: int, content: Content) -> tuple[str, str]:
    """Tokens from 1 on at valid steps, and the token 0 at masked ones."""
    tensor, dtype = case.tensors[place], token_dtype(case, place)
    return _tokens(case, tensor, dtype), f"np.array(0, {dtype!r})"


def _tokens(case: LayerCase, tensor: Tensor, dtype: str) -> str:
    """Tokens from 1 on, a third of them 1; of many a third ends in as many zeros as a byte has, or
    two."""
    size, seed = _vocabulary(case.spec), tensor.seed
    drawn = f"np.random.default_rng({seed}).integers(1, {size}, {tensor.shape})"
    often = f"np.random.default_rng({seed + 1}).random({tensor.shape}) < 0.3"
    common = f"256 ** (1 + {drawn} % 2)" if size > TOKENS else "1"
    drawn = f"np.where({often}, {common}, {drawn})"
    return f"{drawn}.astype({dtype!r})"


def _carried_tokens(case: LayerCase, place: int, content: Content) -> tuple[str, str]:
    """Tokens, some of which are 0, and any token at the steps that are masked already."""
    tensor, dtype = case.tensors[place], token_dtype(case, place)
    padding = f"np.array({dict(zeros=0, ones=1).get(content, TOKENS - 1)}, {dtype!r})"
    values = (
        f"np.where({_whole(tensor, 0)}, np.array(0, {dtype!r}), {_tokens(case, tensor, dtype)})"
    )
    return values, padding


def _by_token(case: LayerCase) -> np.ndarray | None:
    """Source: the page of Embedding: with `mask_zero` "the input value 0 is masked out".

    An Embedding may stand in a wrapper.
    """
    return kept(case) if case.spec.get("mask_zero") or case.spec.get("layer.mask_zero") else None


def _also_by_token(case: LayerCase) -> np.ndarray | None:
    """As `_by_token`, and by rule 1 a step that was masked before stays so.

    Without `mask_zero` nothing is made, and what came in goes out (rule 3).
    """
    return _also_masked(case) if case.spec.get("mask_zero") else case.masks[0]


def embedded(given: Given) -> np.ndarray:
    """The row of the table that each token names.

    Source: the page of Embedding; with `lora_rank` the product of two matrices is added to the
    table. What is there for a token that is masked it does not say.
    """
    (tokens,) = given.inputs
    table, *factors = given.weights
    if factors:  # of an adaptation of low rank, beside a table of zeros
        table = table @ factors[0]
    rows = np.asarray(table[tokens.astype("int64")])
    carried = given.case.name == _CARRIED_TOKENS
    valid = _also_by_token(given.case) if carried else _by_token(given.case)
    return rows if valid is None else np.where(valid[..., None], rows, rows.dtype.type(np.nan))


_CARRIED_TOKENS = "Embedding(masked tokens)"


def _ones(given: Given) -> np.ndarray:
    """What a table of ones gives, quantized or not."""
    (tokens,), features = given.inputs, given.case.spec.get("output_dim")
    rows, valid = np.ones((*tokens.shape, features)), _by_token(given.case)
    return rows if valid is None else np.where(valid[..., None], rows, np.nan)


def _projected_back(given: Given) -> np.ndarray:
    """Source: the page of ReversibleEmbedding: by the table, turned round."""
    (x,) = cleared(given)
    (table,) = given.weights
    return said(np.asarray(x @ table.T), kept(given.case))


def _table(spec: Spec, shapes: _Shapes) -> _Shapes:
    size, features = spec.get("input_dim"), spec.get("output_dim")
    assert isinstance(size, int) and isinstance(features, int)
    return [(size, features)]


def _low_rank(spec: Spec, shapes: _Shapes) -> _Shapes:
    """The matrices that are trained in place of the table."""
    ((size, features),), rank = _table(spec, shapes), spec.get("lora_rank")
    assert isinstance(rank, int)
    return [(size, rank), (rank, features)]


# Initializers, regularizers and constraints change the table, which is given.
EMBEDDING: dict[str, Argument] = {"input_dim": TOKENS, "output_dim": 3}
_MASK_ZERO: dict[str, tuple[Argument, ...]] = {"mask_zero": (False, True)}
_TABLES = {**_MASK_ZERO, "input_dim": (TOKENS, _MANY_TOKENS)}

ENTRIES = (
    # Nothing travels in the form `made`, so that there is no other content: it does not speak of
    # isolation. A timestep is "dimension #1 in the tensor", whatever stands behind it.
    LayerEntry(
        "Masking",
        "layers/core_layers/masking",
        kept,
        unchanged,
        isolates=False,
        made=True,
        domains={"mask_value": _MASK_VALUES},
        source=masking_source,
    ),
    LayerEntry(
        "Masking(masked tensor)",
        "layers/core_layers/masking",
        _also_masked,
        _unless_masked,
        of="Masking",
        domains={"mask_value": _MASK_VALUES},
        source=_carried_source,
    ),
    LayerEntry(
        "Embedding",
        "layers/core_layers/embedding",
        _by_token,
        embedded,
        isolates=False,
        made=True,
        fixed=EMBEDDING,
        domains=_TABLES,
        sequences=Sequences(rests=((),), folds=(0, 2)),
        weights=_table,
        source=token_source,
        autocast=False,
    ),
    LayerEntry(
        "Embedding(low rank)",
        "layers/core_layers/embedding",
        _by_token,
        embedded,
        isolates=False,
        made=True,
        of="Embedding",
        fixed={**EMBEDDING, "lora_rank": 1, "embeddings_initializer": "zeros"},
        domains=_MASK_ZERO,
        sequences=Sequences(rests=((),)),
        weights=_low_rank,
        source=token_source,
        autocast=False,
        most=6,
        since="3.2",
    ),
    # Quantization is of the table: what is padding stays so. A file holds no configuration of it.
    LayerEntry(
        "Embedding(quantized)",
        "layers/core_layers/embedding",
        _by_token,
        _ones,
        isolates=False,
        made=True,
        of="QuantizedEmbedding",
        fixed=EMBEDDING,
        domains=_MASK_ZERO,
        sequences=Sequences(rests=((),)),
        source=token_source,
        most=6,
        since="3.4",
        restores=False,
    ),
    LayerEntry(
        "ReversibleEmbedding(quantized)",
        "layers/core_layers/reversible_embedding",
        _by_token,
        _ones,
        isolates=False,
        made=True,
        of="QuantizedEmbedding",
        fixed={**EMBEDDING, "reversible": True, "mask_zero": True},
        domains={"mask_zero": (True, False), "mode": ("int8", "int4")},
        sequences=Sequences(rests=((),)),
        source=token_source,
        most=4,
        since="3.12",
        restores=False,
    ),
    # The mask goes out that a layer inside has put on what comes out. What is made in a
    # `keras.RematScope` "is fully rematerialized, which trades memory for computation": the same.
    LayerEntry(
        "Embedding(inside a layer)",
        "layers/core_layers/embedding",
        _by_token,
        _ones,
        isolates=False,
        made=True,
        of="Encoding",
        fixed={**EMBEDDING, "mask_zero": True},
        domains={"mask_zero": (True, False), "rematerialized": (True, False)},
        sequences=Sequences(rests=((),)),
        source=token_source,
        most=4,
        since="3.9",
        restores=False,
    ),
    LayerEntry(
        "ReversibleEmbedding",
        "layers/core_layers/reversible_embedding",
        _by_token,
        embedded,
        isolates=False,
        made=True,
        fixed=EMBEDDING,
        domains=_MASK_ZERO,
        sequences=Sequences(rests=((),)),
        weights=_table,
        source=token_source,
        autocast=False,
        since="3.12",
    ),
    # "A layer that has either a kernel or an embeddings attribute"; training normalizes these.
    LayerEntry(
        "SpectralNormalization(Embedding)",
        "layers/normalization_layers/spectral_normalization",
        _by_token,
        embedded,
        isolates=False,
        made=True,
        of="SpectralNormalization",
        fixed={"layer": Spec("Embedding", EMBEDDING)},
        domains={"layer.mask_zero": (False, True)},
        trainings=(None, False),
        sequences=Sequences(rests=((),)),
        weights=lambda spec, shapes: _table(Spec("Embedding", EMBEDDING), shapes),
        source=token_source,
        autocast=False,
        most=6,
        since="2.13",
    ),
    # "If True, the layer will perform a linear projection from output_dim to input_dim": of each
    # step by itself, so that by rule 1 its mask is that of its input.
    LayerEntry(
        "ReversibleEmbedding(reverse)",
        "layers/core_layers/reversible_embedding",
        kept,
        _projected_back,
        of="ReversibleEmbedding",
        stops=True,
        fixed={**EMBEDDING, "mask_zero": True},
        domains={"mask_zero": (True, False)},
        call_domains={"reverse": (True,)},
        sequences=Sequences(rests=((3,),)),
        weights=_table,
        most=8,
        since="3.12",
    ),
    # Without `mask_zero` the mask that comes in may stop, where the user is told.
    LayerEntry(
        _CARRIED_TOKENS,
        "layers/core_layers/embedding",
        _also_by_token,
        embedded,
        stops=True,
        of="Embedding",
        fixed=EMBEDDING,
        domains=_MASK_ZERO,
        sequences=Sequences(rests=((),)),
        weights=_table,
        source=_carried_tokens,
        autocast=False,
    ),
)
