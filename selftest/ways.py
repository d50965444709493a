"""Writes the table of ways to multiply by a mask: `python -m selftest.ways`."""

from __future__ import annotations

import functools
from pathlib import Path

from catalogue.broadcasting import BroadcastCase, acted_on, misplaced
from catalogue.ways import WAYS, Shape, Way, written

__all__ = ["PAGE", "table"]

PAGE = Path(__file__).parents[1] / "catalogue" / "WAYS.md"

_INTRODUCTION = """\
# Ways to multiply an output by a mask

`python -m selftest.ways` writes this page from the catalogue. The output has the shape
(batch, step, features) = (B, T, F). A mask is *meant* for batch and step where it is written with B
and T, and for the batch where it is written with B alone. Of each way and mask the page says what
the documented rules give: where B, T and F are different and above 1, where some of them coincide,
and what to write instead where it acts on what was not meant (**bold**) or is refused.
`catalogue/ways.py` is the source, `reports/ledger.toml` says where an implementation departs.
"""

_MASKS: dict[str, tuple[int, ...]] = {
    "(B,T,1)": (0, 1),
    "(B,T)": (0, 1),
    "(B,1,T)": (0, 1),
    "(B,1,1)": (0,),
    "(B,1)": (0,),
    "(B,)": (0,),
}
_NAMES = ("batch", "step", "features")
# The sizes (B, T, F) where some coincide, and how that is said.
_ALIKE = {"B = T": (2, 2, 3), "T = F": (2, 3, 3), "B = F": (2, 3, 2), "B = T = F": (2, 2, 2)}
_SAFE = {
    "(B,T)": "`mask[..., None]`",
    "(B,1,T)": "`keras.layers.Permute((2, 1))(mask)`",
    "(B,1)": "`mask[..., None]`",
    "(B,)": "`mask[..., None, None]`",
}
_DTYPES = {
    "same": "the output's; a mask of another dtype is refused",
    "promoted": "promoted: a wider float mask widens the result (Keras 3)",
    "layer": "float32: floats are cast to the layer's dtype",
    "condition": "the output's; the mask must be bool",
}


def _shape(form: str, sizes: Shape) -> Shape:
    named = {"B": sizes[0], "T": sizes[1], "1": 1}
    return tuple(named[letter] for letter in form.strip("()").split(",") if letter)


@functools.cache
def _said(way: str, form: str, sizes: Shape) -> str:
    """What becomes of one mask: refused, or what it acts on, in words."""
    dtype = "bool" if WAYS[way].dtypes == "condition" else ""
    mask = _shape(form, sizes)
    case = BroadcastCase(sizes, mask, _MASKS[form], way=way, mask_dtype=dtype)  # type: ignore[arg-type]
    if case.result is None:
        return "refused"
    if not WAYS[way].elementwise:
        return f"selects by {' and '.join(_NAMES[axis] for axis in acted_on(case))}"
    axes = ["batch", "step", "features"]
    if len(case.result) > len(sizes):
        return f"grows to {len(case.result)} axes"
    acts = f"acts on {' and '.join(axes[axis] for axis in acted_on(case)) or 'all alike'}"
    return f"**{acts}**" if misplaced(case) else acts


def _row(way: Way, form: str) -> str:
    apart = _said(way.name, form, (2, 3, 4))
    others = {text: _said(way.name, form, sizes) for text, sizes in _ALIKE.items()}
    if others["B = T = F"] in [others[text] for text in _ALIKE if text != "B = T = F"]:
        del others["B = T = F"]  # as where two of them are
    changed = [f"{text}: {said}" for text, said in others.items() if said != apart]
    every = [apart, *others.values()]
    wrong = any(said.startswith(("refused", "**", "grows")) for said in every)
    instead = _SAFE.get(form, "") if wrong and way.fit == "none" and way.elementwise else ""
    if way.fit == "repeated":
        instead = "`RepeatVector`, then `Permute((2, 1))`"
    code = written(way, (2, 3, 4), len(_MASKS_RANK[form])).replace(
        "RepeatVector(4)", "RepeatVector(F)"
    )
    cells = [f"`{code}`", form, apart, "; ".join(changed) or "the same", instead]
    return f"| {' | '.join(cells)} |\n"


_MASKS_RANK = {form: _shape(form, (2, 3, 4)) for form in _MASKS}


def table() -> str:
    """The page."""
    lines = [_INTRODUCTION]
    for way in WAYS.values():
        forms = [form for form in _MASKS if way.least <= len(_MASKS_RANK[form]) <= way.most]
        if way.fit == "trailing":
            forms = [form for form in forms if len(_MASKS_RANK[form]) < 3]
        lines.append(f"\n## {way.name}\n\n")
        lines.append(f"{way.page}; dtype: {_DTYPES[way.dtypes]}.\n\n")
        lines.append(
            "| what you write | mask | sizes that differ | sizes that coincide | instead |\n"
        )
        lines.append("|---|---|---|---|---|\n")
        lines += [_row(way, form) for form in forms]
    return "".join(lines)


if __name__ == "__main__":
    PAGE.write_text(table(), "utf-8")
