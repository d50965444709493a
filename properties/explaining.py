"""Describes a comparison that does not hold: its two sides as text, and a script that shows it."""

from __future__ import annotations

from typing import Any

import numpy as np

from catalogue.expressions import Expression, Output
from execution.script import raised, script
from properties.comparisons import Agrees, Comparison, Mismatch, Plan, Raises, Tells

__all__ = ["described", "ending"]

# A picture of more positions than these shows nothing that fewer do not.
_PLACES = 200


def described(
    plan: Plan,
    mismatch: Mismatch,
    module: str,
    *,
    modes: tuple[str, ...],
    executed: bool,
    device: str = "cpu:0",
) -> dict[str, Any]:
    """What a finding says of a mismatch, as plain values.

    Its script is written for the first of `modes` in which running it fails as it should, else for
    the last; where it is not `executed`, for the last. `module` is the implementation's name,
    `device` where the mismatch was seen.
    """
    comparison = mismatch.comparison
    text, failing = "", None
    lines, operands = ending(comparison, mismatch)
    expected = mismatch.exception or "AssertionError"
    for mode in dict.fromkeys(modes if executed else modes[-1:]):
        text = script(plan.steps, lines, operands, module=module, mode=mode, device=device)
        if not executed:
            break
        found = raised(text, device=device)
        failing = found == expected
        if failing:
            break
        # A class of another mode, or a result that is not there, shows it as well; what is refused
        # where it should be does not.
        failing = found is not None and mismatch.kind != "not refused"
    return {
        "comparison": comparison.name,
        "level": comparison.level,
        "kind": mismatch.kind,
        "message": mismatch.message,
        "left": _shown(mismatch.left),
        "right": _shown(mismatch.right),
        "difference": mismatch.difference,
        "bound": mismatch.bound if isinstance(comparison, Agrees) else None,
        "exception": mismatch.exception,
        "script": text,
        "script_fails": failing,
        **_places(mismatch.where),
    }


def ending(
    comparison: Comparison, mismatch: Mismatch
) -> tuple[list[str], dict[str, Expression | Output]]:
    """The lines of a script that state a comparison, and the arrays that they speak of."""
    if isinstance(comparison, Tells) and mismatch.exception is None:
        said = "" if mismatch.kind == "no warning" else "not "
        return [f"assert {said}any({{told}})"], {"told": Output(f"{comparison.step}.told")}
    if not isinstance(comparison, Agrees):
        operands: dict[str, Expression | Output] = {"y": Output(comparison.step)}
        if isinstance(comparison, Raises) and mismatch.kind == "not refused":
            expected = " or ".join(comparison.exceptions) or "exception"
            return [
                f"raise AssertionError('no {expected}, but shape ' + str({{y}}.shape))"
            ], operands
        return ["# the call above raises"], operands
    sides = {"left": comparison.left, "right": comparison.right}
    if mismatch.exception is not None:
        return ["# the call above raises"], dict(sides)
    if mismatch.kind == "wrong dtype":
        return ["assert np.asarray({left}).dtype == np.asarray({right}).dtype"], dict(sides)
    if comparison.tolerance is None:
        return ["np.testing.assert_array_equal({left}, {right})"], dict(sides)
    bound = f"{mismatch.bound or 0:.6g}"
    return [f"np.testing.assert_allclose({{left}}, {{right}}, rtol=0, atol={bound})"], dict(sides)


def _places(where: Any) -> dict[str, Any]:
    """The shape of what was compared and the first indices that differ, where there are any."""
    if where is None:
        return {}
    where = np.asarray(where, bool)
    return {"shape": list(where.shape), "differing": np.argwhere(where)[:_PLACES].tolist()}


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return np.array2string(np.asarray(value), precision=6, threshold=60, separator=", ")
