"""Writes and prints the table of layers and their contracts: `python -m selftest.coverage`."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

from catalogue.exclusions import ALIASES, EXCLUDED
from catalogue.layer_cases import LayerEntry
from catalogue.layers import LAYER_ENTRIES
from catalogue.recurrent import LAYERS

__all__ = ["PAGE", "table"]

PAGE = Path(__file__).parent.parent / "catalogue" / "LAYERS.md"

_INTRODUCTION = """\
# Layers and their contracts

`python -m selftest.coverage` writes this page from the catalogue. Of each layer of `keras.layers`
it says what Keras documents, or, where that is silent, what three rules give
(`catalogue/contracts.py`):

- **mask that goes out**: as it came in (kept), what several inputs have in common, or as the layer
  moves its steps; *or told*: it may also stop, if the user is told so by a warning or an exception;
  *none left*: no steps are left that it could speak of, of which the user is told where the mask
  was not used either.
- **padding isolated**: what masked steps hold changes nothing that is valid. Where it takes part in
  the outputs instead, that is checked too.
- **reference**: values are compared with NumPy.
- **masks**: how they reach the layer: travelling with tensors, given by an argument, or made.
- **ranks**: of the tensors that it is given.
"""

# What the names of functions do not say by themselves.
_WORDS = {
    "kept": "kept",
    "dropped": "none left",
    "joined": "what inputs have in common",
    "concatenated": "in common, or one after the other",
    "crossed": "of pairs of steps",
    "of_query": "of the query",
    "through_windows": "valid where the whole window is",
    "flattened_mask": "once for each value",
    "reshaped_mask": "once for each new step",
    "permuted_mask": "permuted",
    "repeated_mask": "once for each repetition",
}
_CLAUSES = {"Cropping1D": "cropped", "ZeroPadding1D": "padded", "UpSampling1D": "repeated"}


def _mask(entry: LayerEntry) -> str:
    name = getattr(entry.passage, "__name__", "")
    if name == "<lambda>" or not name:
        name = "as the page says"
    said = _CLAUSES.get(entry.name) or _WORDS.get(name) or name.strip("_").replace("_", " ")
    if entry.stops:
        return f"{said}, told" if said == _WORDS["dropped"] else f"{said}, or told"
    return said


def _ways(entry: LayerEntry) -> str:
    """How masks reach the layer."""
    if entry.made:
        return "made"
    ways = "travelling, given" if entry.explicit else "travelling"
    if len(entry.mask_dtypes) > 1:
        ways += f" ({', '.join(entry.mask_dtypes)})"
    elements = "of elements, also of heads" if entry.heads else "of elements"
    return f"{ways}; {elements}" if entry.element else ways


def _ranks(entry: LayerEntry) -> str:
    sequences = entry.sequences
    pairs = itertools.product(sequences.rests, sequences.folds)
    return ", ".join(map(str, sorted({2 + len(rest) + bool(fold) for rest, fold in pairs})))


def _versions(since: str, until: str) -> str:
    if until:
        return f"{since or '2'} to before {until}"
    return f"from {since}" if since else "all"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _configured(entry: LayerEntry) -> str:
    """The constructor arguments that are drawn, and how many ways there are to give them."""
    count = math.prod(len(values) for values in entry.domains.values())
    return f"{', '.join(entry.domains)} ({count})" if entry.domains else "-"


def _rows() -> list[str]:
    rows = [
        _row(
            f"`{name}`",
            "kept with return_sequences, else none left",
            "yes",
            "yes",
            "travelling, given, Masking, Embedding",
            "3",
            "all",
            f"the six of time, masks and states crossed; {', '.join(entry.paired)} in pairs",
        )
        for name, entry in LAYERS.items()
    ]
    rows += [
        _row(
            f"`{name}`",
            _mask(entry),
            "yes" if entry.isolates else "takes part",
            "yes" if entry.reference else "no",
            _ways(entry),
            _ranks(entry),
            _versions(entry.since, entry.until),
            _configured(entry),
        )
        for name, entry in sorted(LAYER_ENTRIES.items())
    ]
    return rows


def table() -> str:
    """The page: the layers, other names, and what is excluded with its reason."""
    head = (
        "layer", "mask that goes out", "padding isolated", "reference", "masks", "ranks", "Keras",
        "arguments drawn (ways to give them)",
    )  # fmt: skip
    lines = [_INTRODUCTION, _row(*head), _row(*["---"] * len(head)), *_rows(), ""]
    reasons: dict[str, list[str]] = {}
    for name, reason in EXCLUDED.items():
        reasons.setdefault(reason, []).append(f"`{name}`")
    lines += ["## Excluded", "", _row("each of these", "because it"), _row("---", "---")]
    lines += [_row(", ".join(sorted(names)), reason) for reason, names in reasons.items()]
    lines += ["", "## Other names", "", _row("name", "is"), _row("---", "---")]
    lines += [_row(f"`{alias}`", f"`{name}`") for alias, name in sorted(ALIASES.items())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(table(), "utf-8")
    print(table(), end="")
