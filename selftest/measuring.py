"""What the ledger's pinned cases do on the installed version: `python -m selftest.measuring`.

An entry is measured to deviate on a version where some of its pinned cases do, and not to where
none does; `--enter` writes the version into the ledger accordingly, and into those pinned cases
that do not deviate there though others do: look at these by hand, something else may come first.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Collection
from pathlib import Path

import msgspec

from execution.devices import instructions
from execution.implementation import Implementation, Installed, installed
from execution.running import Execution, Runner
from properties.alternatives import Seen, happens_instead
from properties.cells import load_checked
from properties.comparisons import mismatches
from properties.run import MODES
from properties.test_conformance import FAMILIES, PROPERTIES
from reports.ledger import TENSORFLOW, Deviation, Pin
from selftest.planting import LEDGER

__all__ = ["entered", "measured"]


_Pins = list[bool | None]


def measured(
    implementation: Implementation, only: Collection[str] | None = None
) -> dict[str, _Pins]:
    """For each entry of the ledger, whatever its versions, which of its pinned cases deviate.

    None where the version does not have the layer. With `only` these ids and no others.
    """
    runners = {mode: Runner(implementation, Execution("cpu:0", mode)) for mode in MODES}
    found: dict[str, _Pins] = {}
    for entry in load_checked(LEDGER):
        if only and entry.id not in only:
            continue
        if entry.kind in ("crash", "hang"):
            continue  # these are replayed in processes of their own
        found[entry.id] = [_deviates(entry, pin, runners[pin.mode]) for pin in entry.pins]
        for runner in runners.values():
            runner.forget()
    return found


def _deviates(entry: Deviation, pin: Pin, runner: Runner) -> bool | None:
    property = PROPERTIES[pin.property]
    family = FAMILIES[property.family]
    if pin.device == "gpu" or pin.cpu not in ("", *instructions()):
        return None  # cards, and other CPUs, are not measured here
    if not family.has(pin.layer, runner.implementation.installed.keras):
        return None
    case = msgspec.convert(pin.case, family.case_type)
    plan = property.function(case)
    results = runner.run(plan.steps)
    if results.inapplicable:
        return None
    return any(
        pin.comparison in ("*", one.comparison.name)
        and one.kind in entry.kinds
        and happens_instead(entry.instead, case, Seen(one, plan, results), runner, True)
        for one in mismatches(plan, results)
    )


def entered(text: str, version: str, found: dict[str, _Pins], tensorflow: str = "") -> str:
    """The text of a ledger with a version among those measured to deviate, or not to.

    Entries whose versions are TensorFlow's get that of `tensorflow` instead.
    """

    def own(block: str) -> str:
        follows = re.search(rf'^deviating = \["{TENSORFLOW} ', block, re.MULTILINE)
        return f"{TENSORFLOW} {tensorflow}" if follows else version

    blocks = re.split(r"(?=^\[\[deviation\]\]$)", text, flags=re.MULTILINE)
    return "".join(_entered(block, own(block), found) for block in blocks)


def _entered(block: str, version: str, found: dict[str, _Pins]) -> str:
    name = re.search(r'^id = "(.*)"$', block, re.MULTILINE)
    pins = found.get(name[1] if name else "", [])
    shown = [pin for pin in pins if pin is not None]
    if not shown or re.search(rf'^healthy = .*"{re.escape(version)}"', block, re.MULTILINE):
        return block
    if not re.search(rf'^deviating = .*"{re.escape(version)}"', block, re.MULTILINE):
        field = "deviating" if any(shown) else "healthy"
        if re.search(rf"^{field} = \[", block, re.MULTILINE):
            written = rf'\1"{version}"]'
            block = re.sub(rf"^({field} = \[)\]$", written, block, flags=re.MULTILINE)
            written = rf'\1, "{version}"]'
            pattern = rf'^({field} = \[(?!"{re.escape(version)}"\]).*")\]$'
            block = re.sub(pattern, written, block, flags=re.MULTILINE)
        else:
            written = rf'\1\nhealthy = ["{version}"]'
            block = re.sub(r"^(deviating = .*)$", written, block, flags=re.MULTILINE)
    if not any(shown):
        return block
    each = iter(pins)
    return re.sub(
        r"^  \{ property = .* layer = .* \},$",
        lambda line: line[0] if next(each) is not False else _but_not_on(line[0], version),
        block,
        flags=re.MULTILINE,
    )


def _but_not_on(pin: str, version: str) -> str:
    """The line of a pinned case, with a version on which it does not deviate."""
    if re.search(rf'not_on = \[.*"{re.escape(version)}".*\] \}},$', pin):
        return pin
    if "not_on = [" in pin:
        return f'{pin.removesuffix("] },")}, "{version}"] }},'
    return f'{pin.removesuffix(" },")}, not_on = ["{version}"] }},'


def main(arguments: list[str] | None = None) -> int:
    """Print a line for each entry; its exit status is 0."""
    parser = argparse.ArgumentParser(prog="python -m selftest.measuring", description=__doc__)
    parser.add_argument("--implementation", default="keras", metavar="NAME")
    parser.add_argument("--entry", action="append", metavar="ID", help="only this one (all)")
    parser.add_argument("--enter", action="store_true", help="write the version into the ledger")
    options = parser.parse_args(arguments)
    here: Installed = installed(options.implementation)
    found = measured(Implementation(here), options.entry)
    for name, pins in found.items():
        shown = [pin for pin in pins if pin is not None]
        if not shown:
            print(f"{here}: {name}: no such layer")
            continue
        verdict = "deviates" if all(shown) else "deviates in part" if any(shown) else "healthy"
        print(f"{here}: {name}: {verdict}, {sum(shown)} of {len(shown)} pinned cases deviate")
    if options.enter:
        path = Path(LEDGER)
        version = f"{here.name} {here.keras}"
        path.write_text(entered(path.read_text(), version, found, here.tensorflow))
    return 0


if __name__ == "__main__":
    sys.exit(main())
