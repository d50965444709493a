"""Entries of the attention layers: each step of a query looks at the steps of a value."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from catalogue import attention_reference, head_attention_reference, layer_reference
from catalogue.cases import Content, MaskDtype
from catalogue.contracts import of_query
from catalogue.head_attention_reference import attention_axes
from catalogue.layer_cases import LayerCase, LayerEntry, Sequences, TensorMask
from catalogue.specs import Argument, Spec

__all__ = ["ENTRIES"]

_Shapes = list[tuple[int, ...]]

_FLAT = ((2,), (1,), (3,))
# Any of the roles may have a mask, and any of them none.
_PAIRS = ("mm", "-m", "m-")
_TRIPLES = ("mmm", "-mm", "m-m", "--m", "-m-", "m--", "mm-")
_PATTERNS = (*_PAIRS, *_TRIPLES)
# Query and value, or query, value and key: values and keys have a number of steps of their own.
_LONGEST = 300  # steps: more than a byte counts
_ATTENDED = Sequences(
    counts=(2, 3),
    rests=_FLAT,
    same_steps=False,
    patterns=_PATTERNS,
    longest=_LONGEST,
    single=(False, False, False, True),
)
# A single tensor attends to itself: it is query and value.
_SELF_PATTERNS = (*_PATTERNS, "m", "m")
_SELF_ATTENDED = Sequences(counts=(2, 1, 3), rests=_FLAT, same_steps=False, patterns=_SELF_PATTERNS)
# Each role is projected by a kernel of its own, and may have features of its own.
_PROJECTED = dataclasses.replace(
    _SELF_ATTENDED, features=("alike", "alike", "own"), longest=_LONGEST
)
_CALLED: dict[str, tuple[bool, ...]] = {
    "use_causal_mask": (False, True),
    "return_attention_scores": (False, True),
}
_LEAST = -40  # of values of some units
_ROLES = ("query", "value", "key")
# A causal mask that is the only one is left to a kernel, which aligns it by itself; where scores
# are asked for or dropped it is not (github.com/keras-team/keras/issues/23038).
_CAUSAL_ALONE: tuple[dict[str, Any], ...] = tuple(
    {
        "masks": ("absent", masks),
        "element": False,
        "dropout": dropout,
        "training": None,
        "static": False,  # of known sizes fewer batches are met
        "call use_causal_mask": True,
        "call return_attention_scores": scores,
    }
    for masks, dropout, scores in (
        ("mm", 0.0, False),
        ("mm", 0.0, True),
        ("mmm", 0.0, False),
        ("mm", 0.4, False),
    )
)

# Causal, of known sizes, with a mask of the value: which may have more steps than the query, of
# which those behind take part as well.
_CAUSAL_OF_KNOWN_SIZES: dict[str, Any] = {
    "masks": ("travelling", "mm"),
    "static": True,
    "call use_causal_mask": True,
    "dropout": 0.0,
}
# The same of a query of a single step, of which a dense layer may make something of its own.
_CAUSAL_OF_ONE_STEP: dict[str, Any] = {**_CAUSAL_OF_KNOWN_SIZES, "single": True}

# Scores that half precision may not hold once a large number is taken from them: products, for
# those of the other mode are less than a few units.
_HALF: dict[str, Any] = {
    "dtypes": ("float32", "mixed_float16"),
    "masks": ("travelling", "mm"),
    "score_mode": "dot",
    "use_scale": False,
    "dropout": 0.0,
    "training": None,
    "static": False,
    "single": False,
}

# A window beside a mask of single elements, and no other mask.
_WINDOW_ALONE: tuple[dict[str, Any], ...] = (
    {
        "masks": ("absent", "mm"),
        "element": True,
        "sliding_window": 1,
        "call use_causal_mask": False,
        "static": False,
    },
)


def _of_heads(form: TensorMask, **arguments: Argument) -> tuple[dict[str, Any], ...]:
    """Masks of single elements with an axis of heads, beside masks of this form and by themselves.

    Keras joins a mask of rows, (batch, 1, step), with such a one, (batch, head, step, step), by the
    last axes, so that rows stand beside heads (github.com/keras-team/keras-hub/issues/783); a
    causal mask has one row alone.
    """
    return tuple(
        {
            "masks": masks,
            "element": element,
            "call use_causal_mask": causal,
            "dropout": 0.0,
            "static": False,  # of known sizes fewer batches are met
            **arguments,
        }
        for masks, element, causal in (
            ((form, "-m"), "for each", False),
            ((form, "mm"), "for all", False),
            (("absent", "mm"), "for each", False),
            (("absent", "mm"), "for all", True),
        )
    )


def _source(case: LayerCase, place: int, content: Content) -> tuple[str, str]:
    """Values of less than one, or, a fourth, of some units, mostly negative: then scores lie far
    apart, and far below zero where a value's padding is positive; that of the query is not.
    """
    tensor = case.tensors[min(place, len(case.tensors) - 1)]  # the last may be given for the rest
    least = _LEAST if case.tensors[0].seed % 4 == 1 else -1
    drawn = f"np.random.default_rng({tensor.seed}).uniform({least}, 1, {tensor.shape})"
    negative = content == "ones" and not place and least == _LEAST
    padding = f"np.array({_LEAST / 2}, {case.dtype!r})" if negative else ""
    return f"{drawn}.astype({case.dtype!r})", padding


# -- what comes out --------------------------------------------------------------------------


def _outputs(case: LayerCase) -> int:
    """The output, and the scores where they are asked for."""
    return 1 + bool(case.arguments.get("return_attention_scores"))


def _dense_positions(case: LayerCase) -> list[np.ndarray | None]:
    """All of the output: zero at masked steps of the query; scores where the query is valid.

    Scores have shape (batch, query step, value step); those of masked values are 0.
    """
    query = case.masks[0]
    return [None, None if query is None else query[:, :, None]]


def _dense_held(case: LayerCase) -> list[np.ndarray | None]:
    """At masked steps of the query "the output will be zero"; nothing is said of scores."""
    query = case.masks[0]
    return [None if query is None else ~query, None][: _outputs(case)]


def _head_positions(case: LayerCase) -> list[np.ndarray | None]:
    """Output and scores where the query is valid.

    The output has shape (batch, step, *places, *output dims), the scores (batch, *places, head,
    query step, value step), or, of attention over places too, (batch, head, query step, query
    place, value step, value place).
    """
    query = case.masks[0]
    if query is None:
        return [None, None]
    places = len(case.tensors[0].rest) - 1
    behind = places + len(_output_dims(case.spec, [case.tensors[0].shape]))
    output = query.reshape(*query.shape, *[1] * behind)
    if places and attention_axes(case.spec) != (1,):
        return [output, query[:, None, :, None, None, None]]
    return [output, query.reshape(len(query), *[1] * (places + 1), -1, 1)]


# -- weights ---------------------------------------------------------------------------------


def _attention_weights(spec: Spec, shapes: _Shapes) -> _Shapes:
    """Two single numbers: a scale, and in the mode `concat` a weight of the scores."""
    scale: _Shapes = [()] if spec.get("use_scale") else []
    return scale + ([()] if spec.get("score_mode") == "concat" else [])


def _additive_weights(spec: Spec, shapes: _Shapes) -> _Shapes:
    return [(shapes[0][-1],)] if spec.get("use_scale", True) else []


def _output_dims(spec: Spec, shapes: _Shapes) -> tuple[int, ...]:
    given = spec.get("output_shape")
    if isinstance(given, int):
        return (given,)
    if not isinstance(given, tuple):
        return (shapes[0][-1],)
    return tuple(size for size in given if isinstance(size, int))


def _head_weights(spec: Spec, shapes: _Shapes) -> _Shapes:
    """Kernels and biases that project query, key, (gate,) value and the heads' findings."""
    heads, dim = _size(spec, "num_heads"), _size(spec, "key_dim")
    value_dim = _size(spec, "value_dim", dim)
    return _projections(spec, shapes, (heads, dim), (heads, dim), (heads, value_dim), heads)


def _group_weights(spec: Spec, shapes: _Shapes) -> _Shapes:
    """The same, with fewer heads of key and value."""
    heads, dim = _size(spec, "num_query_heads"), _size(spec, "head_dim")
    group = (_size(spec, "num_key_value_heads"), dim)
    return _projections(spec, shapes, (heads, dim), group, group, heads)


def _projections(
    spec: Spec,
    shapes: _Shapes,
    query: tuple[int, int],
    key: tuple[int, int],
    value: tuple[int, int],
    heads: int,
) -> _Shapes:
    """The shapes, given (heads, dim) of what query, key and value are projected to."""
    shapes = shapes + shapes[-1:] * (3 - len(shapes))
    kernels: _Shapes = [(shapes[0][-1], *query), (shapes[2][-1], *key)]
    if spec.get("use_gate"):
        kernels.append((shapes[0][-1], heads, value[1]))
    kernels += [(shapes[1][-1], *value), (heads, value[1], *_output_dims(spec, shapes))]
    bias = spec.get("use_bias", True)
    biases = [kernel[1:] for kernel in kernels[:-1]] + [kernels[-1][2:]]
    pairs = zip(kernels, biases, strict=True)
    return [shape for kernel, shift in pairs for shape in ([kernel, shift] if bias else [kernel])]


def _size(spec: Spec, argument: str, default: int = 0) -> int:
    value = spec.get(argument)
    return value if isinstance(value, int) else default


# -- entries ---------------------------------------------------------------------------------


def _multi_head(
    name: str,
    domains: Mapping[str, tuple[Argument, ...]],
    *,
    fixed: Mapping[str, Argument] | None = None,
    sequences: Sequences = _PROJECTED,
    explicit: bool = False,
    heads: str = "num_heads",
    together: tuple[dict[str, Any], ...] = (),
    most: int = 30,
    since: str = "",
) -> LayerEntry:
    """An entry of MultiHeadAttention, the class being the same for all of them."""
    return LayerEntry(
        name,
        "layers/attention_layers/multi_head_attention",
        of_query,
        head_attention_reference.multi_head_attention,
        of="MultiHeadAttention",
        fixed={"num_heads": 2, "key_dim": 2, **(fixed or {})},
        domains={"num_heads": (2, 1), **domains},
        call_domains=_CALLED,
        sequences=sequences,
        parameters=_ROLES,
        least=2,
        explicit=explicit,
        given=explicit,
        element="attention_mask",
        heads=heads,
        together=together,
        trainings=(None, False, True),
        outputs=_outputs,
        positions=_head_positions,
        weights=_head_weights,
        most=most,
        since=since,
        source=_source,
        traits=attention_reference.attention_traits,
        random=layer_reference.by_chance("dropout"),
    )


def _group_query(
    name: str,
    domains: Mapping[str, tuple[Argument, ...]],
    *,
    explicit: bool = False,
    together: tuple[dict[str, Any], ...] = (),
    most: int = 30,
    since: str = "",
) -> LayerEntry:
    """An entry of GroupQueryAttention."""
    return LayerEntry(
        name,
        "layers/attention_layers/group_query_attention",
        of_query,
        head_attention_reference.group_query_attention,
        of="GroupQueryAttention",
        fixed={"head_dim": 2, "num_query_heads": 4, "num_key_value_heads": 2},
        domains={"num_key_value_heads": (2, 1, 4), **domains},
        call_domains=_CALLED,
        sequences=_PROJECTED,
        parameters=_ROLES,
        least=2,
        explicit=explicit,
        element="attention_mask",
        heads="num_query_heads",
        together=together,
        trainings=(None, False, True),
        outputs=_outputs,
        positions=_head_positions,
        weights=_group_weights,
        most=most,
        since=since,
        source=_source,
        traits=attention_reference.attention_traits,
        random=layer_reference.by_chance("dropout"),
    )


_DROPPED: dict[str, tuple[Argument, ...]] = {"dropout": (0.0, 0.4)}
_BINARY: tuple[MaskDtype, ...] = ("bool", "bool", "int32")
_MORE = 24  # configurations where three tensors may have a mask or none, in two ways
_FEWER = 8  # configurations of what stands beside an entry with all of its arguments
_BESIDE = 14  # the same, where masks with an axis of heads are met too
_LATER: dict[str, tuple[Argument, ...]] = {
    "sliding_window": (None, 1, 2),
    "use_gate": (False, True),
    "use_bias": (True, False),
    **_DROPPED,
}


def _mixed(of_heads: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
    """What has causal masks, and masks of heads: both are among the first, which are met most."""
    first, *causal = (*_CAUSAL_ALONE, _CAUSAL_OF_KNOWN_SIZES)
    return (first, of_heads[0], *causal[:1], *of_heads[1:], *causal[1:])


# A query that may look at nothing (all values masked; with a causal mask, all so far) has
# no documented output. `seed` decides what chance does, `flash_attention` how it is computed.
ENTRIES = (
    LayerEntry(
        "Attention",
        "layers/attention_layers/attention",
        of_query,
        attention_reference.attention,
        domains={
            "use_scale": (False, True),
            "score_mode": ("dot", "concat"),
            "dropout": (0.0, 0.4),
        },
        call_domains=_CALLED,
        sequences=_ATTENDED,
        explicit=True,
        mask_dtypes=_BINARY,
        together=(*_CAUSAL_ALONE[:2], _CAUSAL_OF_KNOWN_SIZES, _CAUSAL_OF_ONE_STEP, _HALF),
        most=_MORE,
        masks=2,
        trainings=(None, False, True),
        outputs=_outputs,
        positions=_dense_positions,
        held=_dense_held,
        weights=_attention_weights,
        source=_source,
        traits=attention_reference.attention_traits,
        random=layer_reference.by_chance("dropout"),
    ),
    LayerEntry(
        "AdditiveAttention",
        "layers/attention_layers/additive_attention",
        of_query,
        attention_reference.additive_attention,
        domains={"use_scale": (True, False), "dropout": (0.0, 0.4)},
        call_domains=_CALLED,
        sequences=_ATTENDED,
        explicit=True,
        mask_dtypes=_BINARY,
        together=(*_CAUSAL_ALONE[:2], _CAUSAL_OF_KNOWN_SIZES, _CAUSAL_OF_ONE_STEP),
        most=_MORE,
        masks=2,
        trainings=(None, False, True),
        outputs=_outputs,
        positions=_dense_positions,
        held=_dense_held,
        weights=_additive_weights,
        source=_source,
        traits=attention_reference.attention_traits,
        random=layer_reference.by_chance("dropout"),
    ),
    _multi_head(
        "MultiHeadAttention",
        {
            "key_dim": (2, 3),
            "value_dim": (None, 3),
            "use_bias": (True, False),
            "output_shape": (None, (3,), (2, 2), 3),
            **_DROPPED,
        },
        together=_mixed(_of_heads("travelling", num_heads=2)),
    ),
    # Keras 3 takes masks of query, value and key as arguments; the page does not name them.
    _multi_head(
        "MultiHeadAttention(explicit masks)",
        {"use_bias": (True, False), **_DROPPED},
        explicit=True,
        together=_of_heads("explicit", num_heads=2),
        most=_BESIDE,
        since="3.0",
    ),
    _multi_head(
        "MultiHeadAttention(window and gate)",
        _LATER,
        together=(*_WINDOW_ALONE, *_of_heads("travelling", num_heads=2, sliding_window=None)[:3]),
        most=_BESIDE,
        since="3.15",
    ),
    # A place is an axis between steps and features. Over both axes (as without the argument) all
    # steps and places attend to each other, and what is masked is a step with all of its places.
    _multi_head(
        "MultiHeadAttention(axes)",
        {
            "attention_axes": ((1,), (1, 2), (1,), (-3,)),
            "output_shape": (None, (3,)),
            **_DROPPED,
        },
        together=_CAUSAL_ALONE[:1],
        heads="",  # which axis is theirs is another matter beside places
        fixed={"attention_axes": (1,)},
        sequences=Sequences(
            counts=(2, 1, 3),
            rests=((2, 2), (1, 3), (3, 1)),
            same_steps=False,
            patterns=_SELF_PATTERNS,
        ),
        most=_FEWER,
    ),
    _group_query(
        "GroupQueryAttention",
        {"head_dim": (2, 3), "use_bias": (True, False), **_DROPPED},
        explicit=True,
        together=_mixed(_of_heads("explicit")),
        since="3.0",
    ),
    _group_query(
        "GroupQueryAttention(window and gate)",
        _LATER,
        together=(*_WINDOW_ALONE, *_of_heads("travelling", sliding_window=None)[:3]),
        most=_BESIDE,
        since="3.15",
    ),
)
