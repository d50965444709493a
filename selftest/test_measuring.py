"""A version that was measured stands in the ledger where it belongs."""

from __future__ import annotations

import pytest

from selftest.measuring import entered

LEDGER = """\
# Known.
[[deviation]]
id = "one"
deviating = ["keras 3.15.1"]
pins = []

[[deviation]]
id = "two"
deviating = ["keras 3.15.1"]
healthy = ["keras 2.15.0"]
"""


@pytest.mark.parametrize(
    ("found", "old", "new"),
    [
        (
            {"one": [True, True]},
            'deviating = ["keras 3.15.1"]\npins',
            'deviating = ["keras 3.15.1", "keras 3.15.0"]\npins',
        ),
        (
            {"one": [False]},
            'deviating = ["keras 3.15.1"]\npins',
            'deviating = ["keras 3.15.1"]\nhealthy = ["keras 3.15.0"]\npins',
        ),
        (
            {"two": [False]},
            'healthy = ["keras 2.15.0"]',
            'healthy = ["keras 2.15.0", "keras 3.15.0"]',
        ),
    ],
)
def test_enters_a_version(found: dict[str, list[bool]], old: str, new: str) -> None:
    """All pinned cases deviate, or none does: the version is entered, and nothing else changes."""
    text = entered(LEDGER, "keras 3.15.0", found)
    assert text == LEDGER.replace(old, new)
    assert entered(text, "keras 3.15.0", found) == text


def test_leaves_alone_what_is_mixed() -> None:
    """Where some pinned cases deviate and others do not, a person decides."""
    assert entered(LEDGER, "keras 3.15.0", {"one": [True, False], "two": []}) == LEDGER
