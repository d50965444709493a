"""Entries of layers whose windows slide along the steps: convolution and pooling.

None of their pages speaks of masks, and none of them uses one: padding takes part, no mask goes
out, and by rule 3 the user has to be told. Where a version hands one on, rule 1 says which it has
to be. `data_format="channels_first"` is left out, as steps stand on axis 1; so is `groups`, which
is a matter of features alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from catalogue import windows_reference as reference
from catalogue.layer_cases import Given, LayerEntry, Sequences
from catalogue.specs import Argument, Spec
from catalogue.windows import settled, through_windows, whole, windows

__all__ = ["ENTRIES"]

_Shapes = list[tuple[int, ...]]
_Weights = Callable[[Spec, _Shapes], _Shapes]

# What a window needs at most, so that none of them finds too few steps.
_LEAST = 3
_SLIDING: dict[str, tuple[Argument, ...]] = {
    "kernel_size": (2, 3, 1),
    "strides": (1, 2),
    "padding": ("valid", "same"),
    "activation": (None, "tanh"),
    "use_bias": (True, False),
}
_DILATED = {**_SLIDING, "dilation_rate": (1, 2)}
_DEEP = {**_DILATED, "depth_multiplier": (1, 2)}


def _reaches(spec: Spec, shapes: _Shapes) -> bool:
    """No strides with a dilation, says the page; no window is longer than the least of steps."""
    size, rate = whole(spec, "kernel_size", 1), whole(spec, "dilation_rate", 1)
    if rate > 1 and whole(spec, "strides", 1) > 1:
        return False
    return (size - 1) * rate + 1 <= _LEAST


def _bias(spec: Spec, *shape: int) -> _Shapes:
    return [shape] if spec.get("use_bias", True) else []


def _convolution(spec: Spec, shapes: _Shapes) -> _Shapes:
    filters = whole(spec, "filters", 1)
    return [(whole(spec, "kernel_size", 1), shapes[0][-1], filters), *_bias(spec, filters)]


def _transposed(spec: Spec, shapes: _Shapes) -> _Shapes:
    (size, features, filters), *bias = _convolution(spec, shapes)
    return [(size, filters, features), *bias]


def _depthwise(spec: Spec, shapes: _Shapes) -> _Shapes:
    features, deep = shapes[0][-1], whole(spec, "depth_multiplier", 1)
    return [(whole(spec, "kernel_size", 1), features, deep), *_bias(spec, features * deep)]


def _separable(spec: Spec, shapes: _Shapes) -> _Shapes:
    kernel, *_ = _depthwise(spec, shapes)
    filters = whole(spec, "filters", 1)
    return [kernel, (1, kernel[1] * kernel[2], filters), *_bias(spec, filters)]


def _local(spec: Spec, shapes: _Shapes) -> _Shapes:
    count, size = windows(spec, shapes[0][1]).shape
    filters = whole(spec, "filters", 1)
    return [(count, size * shapes[0][-1], filters), *_bias(spec, count, filters)]


def _entry(
    name: str,
    page: str,
    values: Callable[[Given], np.ndarray],
    fixed: Mapping[str, Argument],
    domains: Mapping[str, tuple[Argument, ...]],
    weights: _Weights = lambda spec, shapes: [],
    *,
    known: bool = False,
    multiple: int = 1,
    since: str = "",
    until: str = "",
) -> LayerEntry:
    return LayerEntry(
        name,
        page,
        through_windows,
        values,
        isolates=False,
        stops=True,
        fixed=fixed,
        domains=domains,
        sequences=Sequences(rests=((2,), (1,), (3,)), least=_LEAST, multiple=multiple, known=known),
        positions=settled,
        weights=weights,
        applies=_reaches,
        since=since,
        until=until,
    )


_POOLS: dict[str, tuple[Argument, ...]] = {
    "pool_size": (2, 3, 1),
    "strides": (None, 1, 2),
    "padding": ("valid", "same"),
}
# Windows are told by the page where steps part evenly: into 1, 2 or 3, and every second time 4.
_TO_SIZE: dict[str, tuple[Argument, ...]] = {"output_size": (2, 1, 3, 4)}

ENTRIES = (
    _entry(
        "Conv1D",
        "layers/convolution_layers/convolution1d",
        reference.convolution,
        {"filters": 2, "kernel_size": 2},
        {**_DILATED, "padding": ("valid", "same", "causal")},
        _convolution,
    ),
    _entry(
        "SeparableConv1D",
        "layers/convolution_layers/separable_convolution1d",
        reference.separable_convolution,
        {"filters": 2, "kernel_size": 2},
        _DEEP,
        _separable,
    ),
    _entry(
        "DepthwiseConv1D",
        "layers/convolution_layers/depthwise_convolution1d",
        reference.depthwise_convolution,
        {"kernel_size": 2},
        _DEEP,
        _depthwise,
    ),
    # A dilation "is not currently supported", and where `output_padding` goes is not said.
    _entry(
        "Conv1DTranspose",
        "layers/convolution_layers/convolution1d_transpose",
        reference.transposed_convolution,
        {"filters": 2, "kernel_size": 2},
        {**_SLIDING, "strides": (1, 2, 3)},
        _transposed,
    ),
    # `implementation` is 1, the default, which is for "valid" padding alone.
    _entry(
        "LocallyConnected1D",
        "layers/locally_connected_layers/locally_connected1d",
        reference.local_convolution,
        {"filters": 2, "kernel_size": 2},
        {name: values for name, values in _SLIDING.items() if name != "padding"},
        _local,
        known=True,
        until="3.0",
    ),
    _entry(
        "MaxPooling1D",
        "layers/pooling_layers/max_pooling1d",
        reference.maximum,
        {},
        _POOLS,
    ),
    _entry(
        "AveragePooling1D",
        "layers/pooling_layers/average_pooling1d",
        reference.average,
        {"pool_size": 2},
        _POOLS,
    ),
    # They ask for a known number of steps.
    _entry(
        "AdaptiveMaxPooling1D",
        "layers/pooling_layers/adaptive_max_pooling1d",
        reference.adapted_maximum,
        {"output_size": 2},
        _TO_SIZE,
        known=True,
        multiple=6,
        since="3.13",
    ),
    _entry(
        "AdaptiveAveragePooling1D",
        "layers/pooling_layers/adaptive_average_pooling1d",
        reference.adapted_average,
        {"output_size": 2},
        _TO_SIZE,
        known=True,
        multiple=6,
        since="3.13",
    ),
)
