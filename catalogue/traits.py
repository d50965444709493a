"""Traits: the yes/no facts about a case that label statistics, regions and failures."""

from __future__ import annotations

from catalogue.cases import RaggedBatch, RecurrentCase
from catalogue.recurrent import FLAGS
from catalogue.specs import Argument, Spec

__all__ = ["OF_BATCH", "TRAITS", "batch_traits", "facts", "suits_cudnn", "traits"]

_TALL, _LONG = 16, 16

# What the configuration of a case decides; all else depends on the batch that is drawn.
_OF_CONFIGURATION = (
    "explicit_mask",
    "made_mask",
    "travelling_mask",
    "no_mask",
    "initial_state",
    "cast",
    "cudnn_arguments",
)

# The whole vocabulary, in the order in which reports show it.
TRAITS = (
    "all_valid",
    "right_padded",
    "left_padded",
    "gaps",
    "starts_masked",
    "ends_masked",
    "last_step_masked",
    "fully_masked_row",
    "fully_masked_batch",
    "equal_lengths",
    "length_one_row",
    "single_row",
    "single_step",
    "tall_batch",
    "long_sequence",
    "batch_equals_max_len",
    "batch_equals_features",
    "max_len_equals_features",
    "units_equal_features",
    "units_equal_max_len",
    "zero_padding",
    "finite_padding",
    "large_padding",
    "largest_padding",
    "infinite_padding",
    "nan_padding",
    *_OF_CONFIGURATION,
)

OF_BATCH = frozenset(TRAITS) - set(_OF_CONFIGURATION)
"""Those that depend on the batch that is drawn; the others are the configuration's."""


def batch_traits(batch: RaggedBatch) -> set[str]:
    """The traits that a ragged batch has by itself."""
    rows, found = batch.mask, set()
    lengths = batch.lengths

    def note(name: str, holds: bool) -> None:
        if holds:
            found.add(name)

    padded = [row for row in rows if "0" in row and "1" in row]
    note("all_valid", all("0" not in row for row in rows))
    note("right_padded", any("01" not in row for row in padded))
    note("left_padded", any("10" not in row for row in padded))
    note("gaps", any("0" in row.strip("0") for row in padded))
    note("starts_masked", any(row[0] == "0" for row in rows))
    note("ends_masked", any(row[-1] == "0" for row in rows))
    note("fully_masked_row", 0 in lengths)
    note("fully_masked_batch", not any(lengths))
    note("equal_lengths", len(set(lengths)) == 1)
    note("length_one_row", 1 in lengths)
    note("single_row", batch.batch == 1)
    note("single_step", batch.max_len == 1)
    note("tall_batch", batch.batch > _TALL)
    note("long_sequence", batch.max_len > _LONG)
    note("batch_equals_max_len", batch.batch == batch.max_len > 1)
    if any("0" in row for row in rows):
        finite = batch.content not in ("inf", "-inf", "nan")
        note("zero_padding", batch.content == "zeros")
        note("finite_padding", finite)
        note("large_padding", batch.content == "large")
        note("largest_padding", batch.content == "largest")
        note("infinite_padding", batch.content in ("inf", "-inf"))
        note("nan_padding", batch.content == "nan")
    return found


def traits(case: RecurrentCase) -> frozenset[str]:
    """All traits of a case."""
    found = batch_traits(case.batch)
    batch, units = case.batch, _units(case.spec)

    def note(name: str, holds: bool) -> None:
        if holds:
            found.add(name)

    note("last_step_masked", _last_step_masked(case))
    note("batch_equals_features", batch.batch == case.features > 1)
    note("max_len_equals_features", batch.max_len == case.features > 1)
    note("units_equal_features", units == case.features > 1)
    note("units_equal_max_len", units == batch.max_len > 1)
    note("explicit_mask", case.form.mask == "explicit")
    note("made_mask", case.form.mask in ("masking", "embedding"))
    note("travelling_mask", case.form.mask in ("masking", "embedding", "travelling"))
    note("no_mask", not case.form.masked)
    note("initial_state", case.form.initial_state in ("keyword", "positional"))
    compute = case.policy.removeprefix("mixed_")
    note("cast", compute != case.dtype)
    note("cudnn_arguments", suits_cudnn(case.spec))
    if case.other is not None:
        note("infinite_padding", case.other in ("inf", "-inf"))
        note("nan_padding", case.other == "nan")
        note("largest_padding", case.other == "largest")
    return frozenset(found)


def facts(case: RecurrentCase, *, device: str, mode: str) -> frozenset[str]:
    """What a region may speak of: traits, and `name=value` of arguments, form and execution.

    Flags that are not set count as `name=False`.
    """
    found = set(traits(case))
    found |= {f"{name}={_text(value)}" for name, value in case.spec.arguments.items()}
    cell = case.spec.get("cell")
    cells = cell if isinstance(cell, tuple) else (cell,)
    for inner in (one for one in cells if isinstance(one, Spec)):
        found |= {f"{name}={_text(value)}" for name, value in inner.arguments.items()}
        found.add(f"cell={inner.layer}")
    found |= {f"{flag}=False" for flag in FLAGS if flag not in case.spec.arguments}
    form = case.form
    found |= {
        f"layer={case.spec.layer}",
        f"mask={form.mask}",
        f"mask_dtype={form.mask_dtype}",
        f"positional={form.positional}",
        f"initial_state={form.initial_state}",
        f"dtype={case.dtype}",
        f"policy={case.policy}",
        f"content={case.batch.content}",
        f"device={device}",
        f"mode={mode}",
    }
    if case.other is not None:
        found.add(f"content={case.other}")
    return frozenset(found)


def suits_cudnn(spec: Spec) -> bool:
    """Whether the arguments are those for which the pages of LSTM and GRU promise cuDNN's kernel.

    They ask for `dropout=0` too, which changes nothing at inference.
    """
    asked = {
        "activation": "tanh",
        "recurrent_activation": "sigmoid",
        "recurrent_dropout": 0.0,
        "unroll": False,
        "use_bias": True,
        "reset_after": True,
    }
    return spec.layer in ("LSTM", "GRU") and all(
        spec.arguments.get(name, value) == value for name, value in asked.items()
    )


def _last_step_masked(case: RecurrentCase) -> bool:
    """Whether the step that is processed last is masked in some row, of the case or extended."""
    place = 0 if case.spec.get("go_backwards") else -1
    end = 0 if place == 0 else case.batch.max_len + len(case.inserted) - 1
    masked = any(row[place] == "0" for row in case.batch.mask)
    return case.form.masked and (masked or end in case.inserted)


def _units(spec: Spec) -> int | None:
    cell = spec.get("cell")
    first = cell[0] if isinstance(cell, tuple) else cell
    units = (first if isinstance(first, Spec) else spec).get("units")
    return units if isinstance(units, int) else None


def _text(value: Argument) -> str:
    return value.layer if isinstance(value, Spec) else str(value)
