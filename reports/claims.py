"""Statements of the articles with their verdicts, as a file, a page and a difference have them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
from packaging.version import InvalidVersion, Version

__all__ = ["Claims", "ClaimsError", "Statement", "Verdict", "read_claims"]


class ClaimsError(Exception):
    """The file of claims cannot be read; the message is one sentence that names it."""


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A statement of an article: its place, what it says, and how it is looked at.

    Statements of one `name` say the same, and have one verdict.
    """

    name: str
    article: str
    place: str
    statement: str
    how: str


class Verdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was observed on one implementation.

    `said` is the verdict, `code` the smallest example that shows it, at the sizes `at`, where
    `seen` is what happens.
    """

    said: str
    at: str
    seen: str
    code: str

    @property
    def kind(self) -> str:
        """`confirmed`, `refuted`, or `sometimes` where it depends on sizes or modes."""
        if self.said == "confirmed":
            return "confirmed"
        return "refuted" if self.said.startswith("refuted") else "sometimes"


class Claims(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All statements in their order, and verdicts by implementation and then by name."""

    claim: tuple[Statement, ...] = ()
    verdict: dict[str, dict[str, Verdict]] = {}

    @property
    def versions(self) -> list[str]:
        """The implementations that were looked at: Keras' newest first, then tf_keras'."""
        return sorted(sorted(self.verdict, key=_version, reverse=True), key=_name)

    @property
    def articles(self) -> list[str]:
        """The articles, in their order."""
        return list(dict.fromkeys(one.article for one in self.claim))

    def of(self, article: str) -> list[Statement]:
        """The statements of an article."""
        return [one for one in self.claim if one.article == article]

    def groups(self, name: str) -> list[tuple[list[str], Verdict]]:
        """The verdicts of a statement, each with the implementations that have it."""
        found: dict[str, tuple[list[str], Verdict]] = {}
        for version in self.versions:
            verdict = self.verdict[version].get(name)
            if verdict is not None:
                found.setdefault(verdict.said, ([], verdict))[0].append(version)
        return list(found.values())

    @property
    def changing(self) -> list[Statement]:
        """The statements whose verdict is another one on another version, each name once."""
        once = {one.name: one for one in reversed(self.claim)}
        found = [one for one in once.values() if len(self.groups(one.name)) > 1]
        return sorted(found, key=self.claim.index)

    def changes(self, old: str, new: str) -> Iterator[tuple[Statement, Verdict, Verdict]]:
        """The statements whose verdict differs between two implementations; none where unknown."""
        before, after = self.verdict.get(old, {}), self.verdict.get(new, {})
        for one in self.changing:
            left, right = before.get(one.name), after.get(one.name)
            if left is not None and right is not None and left.said != right.said:
                yield one, left, right


def _version(text: str) -> Version:
    try:
        return Version(text.rpartition(" ")[2])
    except InvalidVersion:
        return Version("0")


def _name(text: str) -> str:
    return text.rpartition(" ")[0]


def read_claims(path: str | os.PathLike[str]) -> Claims:
    """The claims in a TOML file; ClaimsError where it cannot be read or is not in order."""
    path = Path(path)
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Claims)
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        raise ClaimsError(f"the claims {path} cannot be read: {why}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ClaimsError(f"the claims {path} are not in order: {error}") from error
