"""Observes the statements of the articles and prints their verdicts: `python -m selftest.claims`.

With `--enter` the verdicts of the installed version go into `reports/claims.toml`, and
`reports/CLAIMS.md` is written anew.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import hypothesis
from hypothesis import Phase

from catalogue.claim_examples import example_code
from catalogue.claims import ARTICLES, CLAIMS, EXAMPLES, MODES, Claim, Sizes, condition_of
from execution.claims import OBSERVATIONS, observe
from execution.implementation import Implementation, installed
from reports.claims import Claims, Statement, Verdict, read_claims
from strategies.claims import claim_sizes

__all__ = [
    "FILE",
    "PAGE",
    "entered",
    "page",
    "sizes_of",
    "statements",
    "verdict",
    "verdicts",
]

FILE = Path(__file__).parents[1] / "reports" / "claims.toml"
PAGE = Path(__file__).parents[1] / "reports" / "CLAIMS.md"
# All sizes of these, and so many that are drawn; models cost more than products.
_SMALL = {ARTICLES[0]: ((1, 2, 3), 12), ARTICLES[1]: ((1,), 8)}


@functools.cache
def sizes_of(article: str, mode: str = "eager") -> tuple[Sizes, ...]:
    """All small sizes, and some that are drawn, the same ones each time."""
    small, count = _SMALL[article]
    found = [Sizes(*sizes, mode=mode) for sizes in itertools.product(small, repeat=3)]

    @hypothesis.settings(
        max_examples=count, derandomize=True, database=None, phases=[Phase.generate]
    )
    @hypothesis.given(claim_sizes(mode=mode))
    def collect(sizes: Sizes) -> None:
        found.append(sizes)

    collect()
    return tuple(dict.fromkeys(found))


def verdict(claim: Claim, implementation: Implementation) -> Verdict:
    """What is observed of a statement: at the article's own sizes, and at all others."""
    example = EXAMPLES[claim.article]
    own, what = observe(claim.name, implementation, example)
    modes = MODES if claim.modes else MODES[:1]
    seen = {
        at: observe(claim.name, implementation, at)
        for mode in modes
        for at in sizes_of(claim.article, mode)
    }
    seen[example] = own, what
    true = [at for at, (right, _) in seen.items() if right]
    false = [at for at, (right, _) in seen.items() if not right]
    smallest = _smallest(false or true)
    shown = (_told(smallest), seen[smallest][1], example_code(claim.name, smallest))
    if not false:
        return Verdict("confirmed", *shown)
    instead = Counter(said for right, said in seen.values() if not right)
    # What happens where it does not hold, the article's own example first.
    said = [what] if not own else []
    said += [one for one, _ in instead.most_common() if one not in said]
    if not true:
        return Verdict(f"refuted: {'; or '.join(said)}", *shown)
    condition = condition_of(true, false) or f"{len(true)} of {len(seen)} sizes"
    of_example = "the example confirms it" if own else "the example refutes it"
    return Verdict(f"confirmed when {condition} ({of_example}); else {'; or '.join(said)}", *shown)


def _smallest(sizes: Sequence[Sizes]) -> Sizes:
    """The smallest sizes: above 1 where there are such, for 1 hides what is meant."""

    def order(at: Sizes) -> tuple[bool, int, int, Sizes]:
        return 1 in at[:3], at.batch * at.step * at.features, MODES.index(at.mode), at

    return min(sizes, key=order)


def _told(at: Sizes) -> str:
    text = f"B = {at.batch}, T = {at.step}, F = {at.features}"
    return text if at.mode == MODES[0] else f"{text}, {at.mode}"


@functools.cache
def verdicts(implementation: Implementation) -> dict[str, Verdict]:
    """The verdict of each statement, by the name of its observation."""
    found: dict[str, Verdict] = {}
    for claim in CLAIMS:
        if claim.name not in found:
            found[claim.name] = verdict(claim, implementation)
    return found


# -- the file and the page -------------------------------------------------------------------


def statements() -> tuple[Statement, ...]:
    """The statements of the catalogue, with how each is looked at."""
    observe(CLAIMS[0].name, Implementation(installed()), Sizes(1, 1, 1))  # registers them all
    return tuple(
        Statement(
            claim.name,
            claim.article,
            claim.place,
            claim.statement,
            (OBSERVATIONS[claim.name].__doc__ or "").strip(),
        )
        for claim in CLAIMS
    )


def entered() -> Claims:
    """The statements and verdicts that are checked in."""
    return read_claims(FILE)


def _written(found: Claims) -> str:
    lines = ["# Verdicts as observed: `python -m selftest.claims --enter` writes them.\n"]
    for one in found.claim:
        lines.append("\n[[claim]]\n")
        lines += [f"{field} = {json.dumps(getattr(one, field))}\n" for field in _FIELDS]
    for version in sorted(found.verdict):
        lines.append(f"\n[verdict.{json.dumps(version)}]\n")
        for name, one in found.verdict[version].items():
            texts = (f"{each} = {json.dumps(getattr(one, each))}" for each in _OBSERVED)
            lines.append(f"{name} = {{ {', '.join(texts)} }}\n")
    return "".join(lines)


_FIELDS = Statement.__struct_fields__
_OBSERVED = Verdict.__struct_fields__

_INTRODUCTION = """\
# What the two articles say, and what is so

`python -m selftest.claims --enter` writes this page. Every statement of the articles that can be
tested stands here in our words, in their order; statements of code or its comments are marked. B, T
and F are the sizes of batch, steps and features (or units). Each was observed at the article's own
sizes, at all sizes from 1 to 3 (of models: at 1), and at some drawn up to 7. What
happens where a statement does not hold is said behind it, the example's own outcome first. The
smallest example is the smallest that refutes a statement, or that shows it where nothing does.
"""


def page(found: Claims) -> str:
    """The statements with their verdicts, a table an article."""
    lines = [_INTRODUCTION, f"\nLooked at on {', '.join(found.versions)}.\n"]
    lines.append("\n## Verdicts that change between versions\n\n")
    for one in found.changing:
        each = "; ".join(
            f"{', '.join(versions)}: {verdict.said}" for versions, verdict in found.groups(one.name)
        )
        lines.append(f"- {one.statement} {each}\n")
    if not found.changing:
        lines.append("None.\n")
    for article in found.articles:
        lines.append(f"\n## {article}, {len(found.of(article))} statements\n\n")
        lines.append("| where | statement | verdict | smallest example |\n|---|---|---|---|\n")
        lines += [_row(one, found) for one in found.of(article)]
    return "".join(lines)


def _row(one: Statement, found: Claims) -> str:
    groups = found.groups(one.name)
    said, shown = [], []
    for versions, verdict in groups:
        named = "" if len(groups) == 1 else f"{', '.join(versions)}: "
        said.append(f"{named}{verdict.said}")
        shown.append(f"{named}`{verdict.code}` {verdict.seen}")
    cells = (one.place, one.statement, "<br>".join(said), "<br>".join(dict.fromkeys(shown)))
    return f"| {' | '.join(cells)} |\n"


def main(arguments: list[str] | None = None) -> int:
    """Print the verdicts; with `--enter` write them down."""
    parser = argparse.ArgumentParser(prog="python -m selftest.claims", description=__doc__)
    parser.add_argument("--enter", action="store_true", help="write file and page")
    parser.add_argument("--name", action="append", metavar="NAME", help="only this one (all)")
    parser.add_argument("--implementation", default="keras", metavar="NAME")
    options = parser.parse_args(arguments)
    implementation = Implementation(installed(options.implementation))
    here = implementation.installed
    version = f"{here.name} {here.keras}"
    if options.name:
        by_name = {claim.name: claim for claim in CLAIMS}
        known = dict(entered().verdict.get(version, {}))
        observed = known | {name: verdict(by_name[name], implementation) for name in options.name}
    else:
        observed = verdicts(implementation)
    print(here)
    for claim in CLAIMS:
        seen = observed[claim.name]
        print(f"{claim.article}, {claim.place}: {claim.statement}\n    {seen.said}")
    if options.enter:
        every = entered().verdict if FILE.exists() else {}
        found = Claims(statements(), {**every, version: observed})
        FILE.write_text(_written(found), "utf-8")
        PAGE.write_text(page(found), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
