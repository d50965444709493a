"""What is said of a case that ended, or stopped, the process that ran it."""

from __future__ import annotations

import collections
from typing import Any

import msgspec

from catalogue.expressions import Expression, Output
from catalogue.steps import ResetState
from execution.results import Execution
from execution.script import script
from properties.alone import Asked, ended_by, fate
from properties.families import FAMILIES
from properties.journal import START, Journal, Left
from properties.registry import PROPERTIES, Property

__all__ = ["COMPARISON", "Deaths", "account", "death"]

COMPARISON = "process"
"""The name under which a death stands among comparisons: the process outlives the case."""

_HANG_LIMIT = 30.0  # seconds after which a pinned case that is known to hang still hangs


def death(
    property: Property,
    case: Any,
    execution: Execution,
    *,
    module: str,
    kind: str,
    message: str,
    stacks: str,
    deviation: str | None = None,
) -> dict[str, Any]:
    """The finding of a death, as plain values: `kind` is `crash` or `hang`.

    Its script is written, and not run, with all steps of the case: which of them it was is
    not known. `module` is the implementation's name.
    """
    plan = property.function(case)
    names = [step.name for step in plan.steps if not isinstance(step, ResetState)]
    operands: dict[str, Expression | Output] = {name: Output(name) for name in names}
    ending = ["# a call above ends the process" if kind == "crash" else "# a call above hangs"]
    family = FAMILIES[property.family]
    return {
        "comparison": COMPARISON,
        "level": property.level,
        "kind": kind,
        "message": message,
        "stacks": stacks,
        "deviation": deviation,
        "case": msgspec.to_builtins(case),
        "case_text": repr(case),
        "facts": sorted(family.facts(case, execution.device, execution.mode)),
        "script": script(plan.steps, ending, operands, module=module, mode=execution.mode),
    }


class Deaths:
    """What the ledger knows to end, or to stop, the process of one cell.

    No such case is run in the process of the cell: the region of the entry alone decides.
    `excused` counts what each entry excuses; `findings` says of each how its case ended.
    """

    def __init__(
        self,
        cell: Any,
        module: str,
        ledger: Any,
        journal: Journal,
        excused: collections.Counter[str],
    ) -> None:
        self.cell, self.module = cell, module
        self.journal, self.excused = journal, excused
        self.property = PROPERTIES[cell.property]
        self.known = ledger.deadly(cell.property, cell.layer)
        self.findings: dict[str, dict[str, Any]] = {}

    def excuse(self, case: Any) -> bool:
        """Whether a case lies in the region of such an entry, and so is not to be run."""
        if not self.known:
            return False
        execution: Execution = self.cell.execution
        facts = FAMILIES[self.property.family].facts(case, execution.device, execution.mode)
        found = next((one for one in self.known if one.region.covers(facts)), None)
        if found is not None:
            self.excused[found.id] += 1
        return found is not None

    def replay(self, deviation: Any, case: Any) -> bool:
        """Run a pinned case of such an entry in a process of its own; whether that still dies."""
        execution: Execution = self.cell.execution
        limit = self.journal.limit or 2 * _HANG_LIMIT
        if deviation.kind == "hang":
            limit = min(limit, _HANG_LIMIT)
        self.journal.pause()  # it has a limit of its own
        asked = Asked(
            self.module,
            self.property.name,
            execution.device,
            execution.mode,
            msgspec.to_builtins(case),
            limit,
        )
        found = fate(asked)
        if found.kind is None:
            return False
        self.excused[deviation.id] += 1
        self.findings.setdefault(
            deviation.id,
            death(
                self.property,
                case,
                execution,
                module=self.module,
                kind=found.kind,
                message=found.message,
                stacks=found.stacks,
                deviation=deviation.id,
            ),
        )
        return True


def account(
    cell: Any, name: str, left: Left, status: int | None, *, module: str, limit: float
) -> tuple[str, dict[str, Any] | None]:
    """The reason of a cell called `name` whose process died; a finding where its case is known.

    `left` is what the process left in its journal, `status` its exit status, `limit` how many
    seconds a case may take. A case that is no longer one raises ValueError.
    """
    kind, how = "crash", f"the process {ended_by(status)}"
    note = left.note
    if note is None or note.cell != name:
        return f"{how}; what it ran is not known", None
    if note.case is None:
        slow = f", as that did not come within {START:g} seconds" if left.hung else ""
        return f"{how} before the first case of the cell{slow}", None
    message = f"{how} while it ran this case" if note.running else f"{how} after this case"
    if left.hung:
        kind = "hang"
        what = "this case did not end" if note.running else "nothing followed this case"
        message = f"{what} within {limit:g} seconds, so its process was ended"
    property = PROPERTIES[cell.property]
    case: Any = msgspec.convert(note.case, FAMILIES[property.family].case_type)
    found = death(
        property,
        case,
        cell.execution,
        module=module,
        kind=kind,
        message=message,
        stacks=left.stacks,
    )
    return message, found
