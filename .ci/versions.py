"""Runs the suite in one tox environment after the other; one that cannot be run says why.

    python .ci/versions.py [ENVIRONMENT ... | --label LABEL] [-- PYTEST OPTIONS]

Each environment leaves `report/<environment>/record.json`, or, where it could not be installed
or imported or died, `report/<environment>/failed.json` with one sentence. The others go on.
To be run in the folder of tox.ini; needs tox and nothing else.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["main", "why"]

SCHEMA = "keras-mask-tests/failed/1"
_TOX = (sys.executable, "-m", "tox")


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for; 0 where every environment passed."""
    own, dashes, options = _split(arguments)
    parser = argparse.ArgumentParser(
        description="The suite over versions, one environment after the other.",
        epilog="What follows -- goes to pytest, such as --profile=quick.",
    )
    parser.add_argument("environments", nargs="*", metavar="ENVIRONMENT")
    parser.add_argument(
        "--label", default="versions", help="a label of tox.ini (default: versions)"
    )
    chosen = parser.parse_args(own)
    names = chosen.environments or _labelled(chosen.label)
    if not names:
        parser.error(f"no environment has the label {chosen.label!r}")
    results = {name: _run(name, [*dashes, *options]) for name in names}
    print()
    for name, said in results.items():
        print(f"{name}: {said or 'passed'}")
    return 1 if any(results.values()) else 0


def why(log: str) -> str:
    """The sentence of an environment's output that says why it gave no record."""
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", log).splitlines()]
    lines = [line for line in lines if line]
    for place, line in enumerate(lines):
        if line.startswith("error: "):
            causes = [
                other for other in lines[place + 1 : place + 2] if other.startswith("cause: ")
            ]
            reasons = [line.removeprefix("error: "), *(c.removeprefix("cause: ") for c in causes)]
            return f"could not be installed: {': '.join(reasons)}"
        if "not found in configuration file" in line or "could not find python" in line:
            return " ".join([line.partition("| ")[2] or line, *lines[place + 1 : place + 2]])
    raised = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b(:|$)", line)]
    if raised and any(re.search(r"\bexit \d.*'import (tf_)?keras'", line) for line in lines):
        return f"could not be imported: {raised[-1]}"
    refused = [line for line in lines if line.startswith("ERROR: ")]
    if refused:
        return f"did not start: {refused[-1].removeprefix('ERROR: ')}"
    return f"ended without a record: {lines[-1] if lines else 'it said nothing'}"


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    place = list(arguments).index("--") if "--" in arguments else len(arguments)
    return list(arguments[:place]), list(arguments[place : place + 1]), list(arguments[place + 1 :])


def _labelled(label: str) -> list[str]:
    listed = subprocess.run(
        [*_TOX, "list", "-q", "--no-desc", "-m", label],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    # Where tox provisions itself first, it says so among them.
    return [line for line in listed.stdout.split("\n") if re.fullmatch(r"[\w.-]+", line)]


def _run(name: str, options: list[str]) -> str:
    """Run one environment; "" where it passed, else what is to be said of it."""
    folder = Path("report") / name
    folder.mkdir(parents=True, exist_ok=True)
    record, failed = folder / "record.json", folder / "failed.json"
    for old in (record, failed):
        old.unlink(missing_ok=True)  # an old record would be taken for this run's
    print(f"\n== {name}", flush=True)
    log: list[str] = []
    command = [*_TOX, "run", "--colored", "no", "-e", name, *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            log.append(line)
    if record.is_file():
        return "" if process.returncode == 0 else "failed, as its record says"
    sentence = why("".join(log))
    stub = {"schema": SCHEMA, "environment": name, "sentence": sentence}
    failed.write_text(json.dumps(stub, indent=1) + "\n", encoding="utf-8")
    return sentence


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
