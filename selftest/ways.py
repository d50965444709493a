"""Writes the table of ways to multiply by a mask: `python -m selftest.ways`."""

from __future__ import annotations

from pathlib import Path

from catalogue.broadcasting import Shape, acted_on, misplaced
from catalogue.hazards import (
    accepted_when,
    astray_when,
    case_of,
    forms_of,
    shape_of,
    witness,
)
from catalogue.ways import WAYS, Way, written

__all__ = ["PAGE", "table"]

PAGE = Path(__file__).parents[1] / "catalogue" / "WAYS.md"

_INTRODUCTION = """\
# Ways to multiply an output by a mask

`python -m selftest.ways` writes this page from the catalogue. The output has the shape
(batch, step, features) = (B, T, F). A mask is *meant* for batch and step where it is written with B
and T, and for the batch where it is written with B alone. Of each way and mask the page says what
the documented rules give: exactly when it is accepted (found over all sizes from 1 to 4), what is
then masked, where B, T and F are above 1 and different or coincide, exactly when an accepted mask
acts on what was not meant or makes the product larger than the output (*astray*), the smallest
outputs and masks that show it (with sizes of 1, and without), and what to write instead.
`catalogue/ways.py` is the source, `reports/ledger.toml` says where an implementation departs;
`nightly` multiplies every mask by every output over sizes 1 to 4 and compares.
"""

_NAMES = ("batch", "step", "features")
# The sizes (B, T, F) where some coincide, and how that is said.
_ALIKE = {"B = T": (2, 2, 3), "T = F": (2, 3, 3), "B = F": (2, 3, 2), "B = T = F": (2, 2, 2)}
_SAFE = {
    "(B,T)": "`mask[..., None]`",
    "(B,1,T)": "`keras.layers.Permute((2, 1))(mask)`",
    "(B,1)": "`mask[..., None]`",
    "(B,)": "`mask[..., None, None]`",
}
_SAFE_SELECTION = {
    "(B,T,1)": "`mask[..., 0]`",
    "(B,1,T)": "`mask[:, 0]`",
    "(B,1,1)": "`mask[:, 0, 0]`",
    "(B,1)": "`mask[:, 0]`",
}
_SAFE_PERMUTED = {"(B,T,1)": "`output * mask`"}
_DTYPES = {
    "same": "the output's; a mask of another dtype is refused",
    "promoted": "promoted: a wider float mask widens the result (Keras 3)",
    "layer": "float32: floats are cast to the layer's dtype",
    "condition": "the output's; the mask must be bool",
}


def _said(way: str, form: str, sizes: Shape) -> str:
    """What becomes of one mask: refused, or what it acts on, in words."""
    case = case_of(way, form, sizes)
    if case.result is None:
        return "refused"
    if not WAYS[way].elementwise:
        return f"selects by {' and '.join(_NAMES[axis] for axis in acted_on(case))}"
    acts = f"acts on {' and '.join(_NAMES[axis] for axis in acted_on(case)) or 'all alike'}"
    return f"**{acts}**" if misplaced(case) else acts


def _masked(way: Way, form: str) -> str:
    """What is masked where sizes differ, and what changes where some coincide."""
    apart = _said(way.name, form, (2, 3, 4))
    others = {text: _said(way.name, form, sizes) for text, sizes in _ALIKE.items()}
    if others["B = T = F"] in [others[text] for text in _ALIKE if text != "B = T = F"]:
        del others["B = T = F"]  # as where two of them are
    changed = [f"{text}: {said}" for text, said in others.items() if said != apart]
    return "; ".join([f"{apart}", *changed])


def _instead(way: Way, form: str) -> str:
    """What to write where a mask is refused, or goes astray."""
    if way.rule == "leading":
        return _SAFE_SELECTION.get(form, "")
    if way.fit == "repeated":
        return "`RepeatVector`, then `Permute((2, 1))`"
    if way.fit == "permuted":
        return _SAFE_PERMUTED.get(form, "")
    fine = accepted_when(way.name, form) == "always" and astray_when(way.name, form) == "never"
    return "" if fine or way.fit != "none" else _SAFE[form]


def _witnesses(way: Way, form: str) -> str:
    found = [witness(way.name, form), witness(way.name, form, wide=True)]
    return ", ".join(f"`{one.output} x {one.mask}`" for one in dict.fromkeys(filter(None, found)))


def _row(way: Way, form: str) -> str:
    code = written(way, (2, 3, 4), len(shape_of(form, (2, 3)))).replace(
        "RepeatVector(4)", "RepeatVector(F)"
    )
    cells = [
        f"`{code}`",
        form,
        accepted_when(way.name, form),
        _masked(way, form),
        astray_when(way.name, form),
        _witnesses(way, form),
        _instead(way, form),
    ]
    return f"| {' | '.join(cells)} |\n"


_COLUMNS = (
    "what you write",
    "mask",
    "accepted when",
    "what is then masked",
    "astray when",
    "smallest witnesses",
    "write instead",
)


def table() -> str:
    """The page."""
    lines = [_INTRODUCTION]
    for way in WAYS.values():
        lines.append(f"\n## {way.name}\n\n")
        lines.append(f"{way.page}; dtype: {_DTYPES[way.dtypes]}.\n")
        if not way.takes_symbols(3):
            lines.append("Symbolic tensors are refused by Keras 3.\n")
        lines.append(f"\n| {' | '.join(_COLUMNS)} |\n|{'---|' * len(_COLUMNS)}\n")
        lines += [_row(way, form) for form in forms_of(way.name)]
    return "".join(lines)


if __name__ == "__main__":
    PAGE.write_text(table(), "utf-8")
