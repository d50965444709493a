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
import tomllib
from collections import Counter
from pathlib import Path

import hypothesis
from hypothesis import Phase

from catalogue.claims import ARTICLES, CLAIMS, EXAMPLES, MODES, Claim, Sizes, condition_of
from execution.claims import observe
from execution.implementation import Implementation, installed
from strategies.claims import claim_sizes

__all__ = ["FILE", "PAGE", "entered", "page", "sizes_of", "verdict", "verdicts"]

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


def verdict(claim: Claim, implementation: Implementation) -> str:
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
    if not false:
        return "confirmed"
    instead = Counter(said for right, said in seen.values() if not right)
    # What happens where it does not hold, the article's own example first.
    said = [what] if not own else []
    said += [one for one, _ in instead.most_common() if one not in said]
    if not true:
        return f"refuted: {'; or '.join(said)}"
    condition = condition_of(true, false) or f"{len(true)} of {len(seen)} sizes"
    of_example = "the example confirms it" if own else "the example refutes it"
    return f"confirmed when {condition} ({of_example}); else {'; or '.join(said)}"


@functools.cache
def verdicts(implementation: Implementation) -> dict[str, str]:
    """The verdict of each statement, by the name of its observation."""
    found: dict[str, str] = {}
    for claim in CLAIMS:
        if claim.name not in found:
            found[claim.name] = verdict(claim, implementation)
    return found


# -- the file and the page -------------------------------------------------------------------


def entered() -> dict[str, dict[str, str]]:
    """The verdicts that are checked in, by implementation and then by name."""
    if not FILE.exists():
        return {}
    return tomllib.loads(FILE.read_text("utf-8"))


def _written(found: dict[str, dict[str, str]]) -> str:
    lines = ["# Verdicts as observed: `python -m selftest.claims --enter` writes them.\n"]
    for version, by_name in sorted(found.items()):
        lines.append(f"\n[{json.dumps(version)}]\n")
        lines += [f"{name} = {json.dumps(text)}\n" for name, text in by_name.items()]
    return "".join(lines)


_INTRODUCTION = """\
# What the two articles say, and what is so

`python -m selftest.claims --enter` writes this page. Every statement of the articles that can be
tested stands here in our words, in their order; statements of code or its comments are marked. B, T
and F are the sizes of batch, steps and features (or units). Each was observed at the article's own
sizes, at all sizes from 1 to 3 (of models: at 1), and at some drawn up to 7. What
happens where a statement does not hold is said behind it, the example's own outcome first.
"""


def page(found: dict[str, dict[str, str]]) -> str:
    """The statements with their verdicts, a table an article."""
    versions = sorted(found, reverse=True)
    lines = [_INTRODUCTION]
    for article in ARTICLES:
        claims = [claim for claim in CLAIMS if claim.article == article]
        lines.append(f"\n## {article}, {len(claims)} statements\n\n")
        lines.append(f"| where | statement | {' | '.join(versions)} |\n")
        lines.append(f"|---|---|{'---|' * len(versions)}\n")
        for claim in claims:
            told = [found[version].get(claim.name, "not observed") for version in versions]
            if len(set(told)) == 1 and len(told) > 1:
                told = [told[0], *["the same"] * (len(told) - 1)]
            lines.append(f"| {claim.place} | {claim.statement} | {' | '.join(told)} |\n")
    return "".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Print the verdicts; with `--enter` write them down."""
    parser = argparse.ArgumentParser(prog="python -m selftest.claims", description=__doc__)
    parser.add_argument("--enter", action="store_true", help="write file and page")
    parser.add_argument("--implementation", default="keras", metavar="NAME")
    options = parser.parse_args(arguments)
    implementation = Implementation(installed(options.implementation))
    observed = verdicts(implementation)
    here = implementation.installed
    print(here)
    for claim in CLAIMS:
        print(f"{claim.article}, {claim.place}: {claim.statement}\n    {observed[claim.name]}")
    if options.enter:
        found = {**entered(), f"{here.name} {here.keras}": observed}
        FILE.write_text(_written(found), "utf-8")
        PAGE.write_text(page(found), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
