"""How each way to multiply refuses what it does not accept: when, and with which exception."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from catalogue.broadcasting import BroadcastCase
from catalogue.ways import broadcast_shape, placed

__all__ = ["Refusal", "refusal", "refused_how"]


class Refusal(NamedTuple):
    """When a product that does not fit is refused, and the classes of exceptions that say so.

    No moment stands for whichever: what a graph knows of a model's output is the model's business.
    """

    moment: Literal["construction", "tracing", "run", ""]
    exceptions: tuple[str, ...]


_AT_RUN = Refusal("run", ("InvalidArgumentError",))
_AT_TRACING = Refusal("tracing", ("ValueError",))
_BY_TYPE = Refusal("tracing", ("TypeError",))

# By mode and whether shapes are known when traced. `tf.math.multiply` documents an
# InvalidArgumentError for incompatible shapes or types; that tracing, which runs nothing, says
# ValueError (for types: TypeError) is measured (TensorFlow 2.15 and 2.21 agree, XLA too).
_REFUSALS: dict[tuple[str, bool], Refusal] = {
    ("eager", True): _AT_RUN,
    ("eager", False): _AT_RUN,
    ("graph", True): _AT_TRACING,
    ("graph", False): _AT_RUN,
    ("xla", True): _AT_TRACING,
    ("xla", False): _AT_RUN,
}


def refusal(mode: str, static: bool) -> Refusal:
    """How TensorFlow refuses `*` where NumPy does; ValueError for an unknown mode."""
    if (mode, static) not in _REFUSALS:
        raise ValueError(f"unknown mode {mode!r}: choose eager, graph or xla")
    return _REFUSALS[mode, static]


def refused_how(case: BroadcastCase) -> Refusal:
    """How the way of a case refuses it.

    Symbolic tensors are refused when the model is made, as far as their sizes are known then;
    layers say ValueError of shapes that they know, and leave it to TensorFlow where they do not.
    """
    if case.model and case.mode != "eager" and not case.static and not case.symbols:
        known = _refused_how(msgspec.structs.replace(case, static=True))
        unknown = _refused_how(case)
        return Refusal("", tuple(dict.fromkeys((*unknown.exceptions, *known.exceptions))))
    return _refused_how(case)


def _refused_how(case: BroadcastCase) -> Refusal:
    way = case.written
    shapes_fit = case.placed is not None and broadcast_shape(*case.placed[:2]) is not None
    if case.symbols:
        return _refused_symbols(case, shapes_fit)
    if way.rule in ("leading", "merging"):
        known = case.mode == "eager" or case.static
        if not shapes_fit:
            if known:
                return Refusal("run" if case.mode == "eager" else "tracing", ("ValueError",))
            if way.rule == "leading":
                # `tf.boolean_mask` documents a ValueError; where nothing is known of the shapes
                # it can come from no more than the ranks.
                return _AT_TRACING if not 0 < len(case.mask) <= len(case.output) else _AT_RUN
            if case.result_dtype is not None:
                return _AT_RUN
    if case.result_dtype is None:
        if case.mode == "eager":
            return _AT_RUN
        # Where shapes are wrong too, nothing says which of both is looked at first.
        both = case.static and not shapes_fit
        return Refusal("tracing", ("TypeError", "ValueError")) if both else _BY_TYPE
    return refusal(case.mode, case.static)


def _refused_symbols(case: BroadcastCase, shapes_fit: bool) -> Refusal:
    misfit = not shapes_fit and (case.static or not _fits_but_for_batch(case))
    if case.refuses_symbols:
        return Refusal("construction", ("ValueError",))
    if case.result_dtype is None:
        classes = ("TypeError", "ValueError") if misfit else ("TypeError",)
        return Refusal("construction", classes)
    if not misfit and case.mode == "eager" and case.written.rule == "leading":
        return Refusal("run", ("ValueError",))  # the function itself is called, and knows shapes
    return Refusal("construction", ("ValueError",)) if misfit else _AT_RUN


def _fits_but_for_batch(case: BroadcastCase) -> bool:
    """Whether shapes fit as far as they are known while the batches are not."""
    # An unknown size may be 1, or any other: whichever lets the shapes fit.
    sizes = {1, *case.output, *case.mask}
    met = (
        placed(case.written, (one, *case.output[1:]), (other, *case.mask[1:]))
        for one in sizes
        for other in sizes
    )
    return any(
        found is not None and broadcast_shape(found.output, found.mask) is not None for found in met
    )
