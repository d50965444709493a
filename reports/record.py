"""The record of a run: an entry for each cell, as versioned JSON that is whole or absent."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

__all__ = [
    "FAILING",
    "NOT_RUN",
    "OUTCOMES",
    "SCHEMA",
    "Entry",
    "Environment",
    "Finding",
    "Number",
    "Record",
    "RecordError",
    "check_folder",
    "decode_entry",
    "encode_entry",
    "read_record",
    "worst",
    "write_record",
]

OUTCOMES = ("crashed", "broken", "new", "fixed", "blocked", "deviates", "holds")
"""The outcomes of a cell, worst first."""

FAILING = frozenset(OUTCOMES[: OUTCOMES.index("deviates")])
"""The outcomes that fail a run."""

NOT_RUN = "not run"
"""What a cell is called that was selected and did not report."""

PROJECT = "keras-mask-tests"
SCHEMA = f"{PROJECT}/record/1"

Number = float | str
"""A number that survives JSON: what is not finite is one of the words nan, inf, -inf.

`float(number)` gives it back.
"""


class RecordError(Exception):
    """A record cannot be written or read; the message is one sentence that names the path."""


def worst(outcomes: Iterable[str]) -> str:
    """The worst of some outcomes; ValueError where there is none, or an unknown one."""
    positions = []
    for outcome in outcomes:
        if outcome not in OUTCOMES:
            raise ValueError(f"unknown outcome {outcome!r}: choose one of {', '.join(OUTCOMES)}")
        positions.append(OUTCOMES.index(outcome))
    if not positions:
        raise ValueError("no outcomes to choose the worst of")
    return OUTCOMES[min(positions)]


class _Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What every part of a record has in common: its text can be written as UTF-8."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            # Half of a surrogate pair in a message of somebody else's must not cost the record.
            if isinstance(value, str) and not value.isascii():
                text = value.encode("utf-8", "replace").decode("utf-8")
                msgspec.structs.force_setattr(self, name, text)


class Finding(_Written, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A comparison that did not hold for one case.

    `deviation` is the id of the ledger's entry that knows it, None where it is new. `case` is
    the JSON form of the case and `case_text` the expression that makes it; `facts` are its
    traits, arguments and execution, which the regions of the ledger speak of. `left` and `right`
    are the values of the two sides as short text, `difference` the largest one between them and
    `bound` what was allowed. `script` is the plain code that shows it; `script_fails` says
    whether that was executed and seen to fail, None where it was not executed. Where values of
    two sides of one `shape` were compared, `differing` are the first indices at which they
    differ, each with a number an axis. Where the case ended its process, or hung, `stacks`
    are those of its threads at that moment, if known.
    """

    comparison: str
    level: str
    kind: str
    message: str
    deviation: str | None = None
    case: dict[str, Any] = {}
    case_text: str = ""
    facts: list[str] = []
    left: str = ""
    right: str = ""
    difference: Number | None = None
    bound: Number | None = None
    exception: str | None = None
    script: str = ""
    script_fails: bool | None = None
    failing: int = 0
    passing: int = 0
    shared: list[str] = []
    regions: list[dict[str, list[str]]] = []
    shape: list[int] = []
    differing: list[list[int]] = []
    stacks: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        # JSON has no word for infinity and NaN: msgspec would write null.
        for name in ("difference", "bound"):
            value = getattr(self, name)
            if isinstance(value, str):
                _number(name, value)
            elif value is not None:
                msgspec.structs.force_setattr(self, name, _worded(float(value)))
        msgspec.structs.force_setattr(self, "case", _worded(self.case))


def _number(name: str, value: str) -> None:
    if value not in ("nan", "inf", "-inf"):
        raise ValueError(f"{name} is {value!r}, which is no number")


def _worded(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: _worded(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_worded(item) for item in value]
    return value


class Entry(_Written, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What came out of one cell.

    `deviations` counts, for each id of the ledger, the examples it excused; `fixed` names the
    ids that no longer deviate. `configurations` of `configurations_total` were met, and `pairs` of
    `pairs_total` pairs of argument values; `traits` counts the batches that had each, and
    `outside` those that lay outside every region of the ledger; `observed` those in which the
    implementation did each of what it may choose (ragged tensors taken, or refused). `seconds`
    are by phase (draw, build, trace, call, check), `counts` whatever else was counted. `worker`
    is the process that ran the cell, `memory_mb` its resident memory afterwards in megabytes.
    """

    node: str
    property: str
    layer: str
    device: str
    mode: str
    level: str
    statement: str
    source: str
    outcome: str
    reason: str = ""
    findings: list[Finding] = []
    deviations: dict[str, int] = {}
    fixed: list[str] = []
    examples: int = 0
    batches: int = 0
    configurations: int = 0
    configurations_total: int = 0
    pairs: int = 0
    pairs_total: int = 0
    outside: int = 0
    traits: dict[str, int] = {}
    observed: dict[str, int] = {}
    seconds: dict[str, float] = {}
    counts: dict[str, int] = {}
    memory_mb: float = 0.0
    worker: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        worst([self.outcome])  # refuses an outcome that is none


class Environment(_Written, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a run ran on: the name of the implementation, versions, platform and devices."""

    implementation: str
    keras: str
    tensorflow: str
    python: str
    numpy: str
    hypothesis: str
    pytest: str
    platform: str
    cpus: int
    devices: list[str]


class Record(_Written, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A run: where, how, what was selected (the manifest, node ids) and what came of it.

    `started` is an ISO time in UTC. `seed` is None where the profile draws the same in every
    run. `complete` says that the run went to its end and every selected cell reported;
    `exit_reason` how it ended, in words.
    """

    schema: str = SCHEMA
    environment: Environment
    profile: str
    seed: int | None
    started: str
    seconds: float
    workers: int
    selected: list[str]
    entries: list[Entry]
    not_run: list[str]
    deselected: int
    complete: bool
    exit_reason: str


def encode_entry(entry: Entry) -> str:
    """An entry as one line of JSON, the form in which a test's report carries it."""
    return msgspec.json.encode(entry).decode()


def decode_entry(text: str) -> Entry:
    """The entry that `encode_entry` wrote; msgspec.MsgspecError (a ValueError) otherwise."""
    return msgspec.json.decode(text, type=Entry)


def check_folder(folder: str | os.PathLike[str]) -> None:
    """Make sure, before a run starts, that a record can be written into a folder.

    The folder is made where it is missing. Raises RecordError where that, or writing, fails.
    """
    folder = Path(folder)
    _make(folder)
    probe = folder / f".probe.{os.getpid()}"
    try:
        try:
            probe.write_bytes(b"x")
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise RecordError(f"cannot write into the folder {folder}: {_why(error)}") from error


def write_record(path: str | os.PathLike[str], record: Record) -> None:
    """Write a record whole, or leave what was there; its folder is made where it is missing.

    Raises RecordError where that fails.
    """
    path = Path(path)
    _make(path.parent)
    if path.exists() and not path.is_file():
        # Replacing a folder fails, replacing a device would succeed: neither is wanted.
        raise RecordError(f"cannot write the record {path}: it is not an ordinary file")
    content = msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"
    # In the same folder: a rename is atomic within one file system only.
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise RecordError(f"cannot write the record {path}: {_why(error)}") from error


def read_record(path: str | os.PathLike[str]) -> Record:
    """The record in a file.

    Raises RecordError where the file is missing, empty, cut off, written in another schema, or
    something else altogether.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RecordError(f"cannot read the record {path}: {_why(error)}") from error
    if not content.strip():
        raise RecordError(f"the record {path} is empty")
    try:
        found = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordError(f"the record {path} is cut off or no JSON: {error}") from error
    schema = found.get("schema") if isinstance(found, dict) else None
    if not isinstance(schema, str) or not schema.startswith(f"{PROJECT}/record/"):
        raise RecordError(f"{path} is no record of {PROJECT}")
    if schema != SCHEMA:
        raise RecordError(f"the record {path} has schema {schema!r} where {SCHEMA!r} is read")
    try:
        return msgspec.convert(found, Record)
    except msgspec.ValidationError as error:
        raise RecordError(f"the record {path} does not fit its schema: {error}") from error


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise RecordError(f"cannot make the folder {folder}: a file is in its place") from error
    except OSError as error:
        raise RecordError(f"cannot make the folder {folder}: {_why(error)}") from error


def _why(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
