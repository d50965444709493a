"""Runs over versions: each environment leaves a record or a sentence, none stops the others."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from selftest.test_bad_input import ROOT, environment

UNINSTALLABLE = """\
py313-tf212: install_deps> uv pip install tensorflow-cpu==2.12.1 -r requirements.txt
\x1b[31mUsing Python 3.13.0 environment at: py313-tf212
error: No solution found when resolving dependencies
  cause: Because tensorflow-cpu==2.12.1 has no wheels with a matching Python ABI tag
py313-tf212: FAIL code 1 (0.97 seconds)
"""
UNIMPORTABLE = """\
py311-tf221: commands_pre[0]> python -W ignore -c 'import keras'
Traceback (most recent call last):
ValueError: Unable to import backend : theano
py311-tf221: exit 1 (0.65 seconds) folder> python -W ignore -c 'import keras' pid=17524
py311-tf221: FAIL code 1 (30.82=setup[30.17]+cmd[0.65] seconds)
"""
UNKNOWN = "ROOT: HandledError| provided environments not found in configuration file:\ntf299\n"
REFUSED = """\
py311-tf221: commands[0]> pytest --layer=Lstm
ERROR: --layer Lstm: choose from SimpleRNN, LSTM
py311-tf221: FAIL code 4 (2.0 seconds)
"""
# In place of tox: what each environment prints, and whether it writes a record.
TOX = """
import pathlib, sys
name = sys.argv[sys.argv.index("-e") + 1] if "-e" in sys.argv else ""
if not name:
    print("good\\nbad\\nworse")
else:
    print("given", sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else [])
    if name == "bad":
        print("error: no such release")
        sys.exit(1)
    if name != "silent":
        pathlib.Path("report", name, "record.json").write_text("{}")
    sys.exit(name == "worse")
"""


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    """A run over environments that are not there, in a folder of its own."""
    (folder / "tox.py").write_text(TOX)
    done = subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "versions.py"), *arguments],
        cwd=folder,
        env={**environment({}), "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


def sentence(folder: Path, name: str) -> str:
    """What an environment without a record says."""
    stub = json.loads((folder / "report" / name / "failed.json").read_text())
    assert stub["schema"] == "keras-mask-tests/failed/1"
    assert stub["environment"] == name
    return str(stub["sentence"])


def test_every_environment_of_the_label_leaves_a_record_or_a_sentence(tmp_path: Path) -> None:
    """One that cannot be installed says why, and the next one runs."""
    status, said = run(tmp_path)
    assert status == 1
    assert sentence(tmp_path, "bad") == "could not be installed: no such release"
    for name in ("good", "worse"):
        assert [path.name for path in (tmp_path / "report" / name).iterdir()] == ["record.json"]
    assert said.splitlines()[-3:] == [
        "good: passed",
        "bad: could not be installed: no such release",
        "worse: failed, as its record says",
    ]


def test_an_environment_that_dies_leaves_no_older_record(tmp_path: Path) -> None:
    """A record of the run before would be taken for this one's."""
    old = tmp_path / "report" / "silent" / "record.json"
    old.parent.mkdir(parents=True)
    old.write_text("{}")
    assert run(tmp_path, "silent")[0] == 1
    assert not old.exists()
    assert sentence(tmp_path, "silent").startswith("ended without a record")
    old.write_text("{}")
    assert run(tmp_path, "good")[0] == 0


def test_options_reach_pytest(tmp_path: Path) -> None:
    """What follows the two dashes is for the suite."""
    assert (
        "given ['--profile=quick', '-x']" in run(tmp_path, "good", "--", "--profile=quick", "-x")[1]
    )


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (
            UNINSTALLABLE,
            "could not be installed: No solution found when resolving dependencies: Because "
            "tensorflow-cpu==2.12.1 has no wheels with a matching Python ABI tag",
        ),
        (UNIMPORTABLE, "could not be imported: ValueError: Unable to import backend : theano"),
        (UNKNOWN, "provided environments not found in configuration file: tf299"),
        (REFUSED, "did not start: --layer Lstm: choose from SimpleRNN, LSTM"),
        ("Killed\n", "ended without a record: Killed"),
        ("", "ended without a record: it said nothing"),
    ],
)
def test_the_sentence_is_the_line_that_says_why(
    log: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken from outputs of tox and uv, as they were."""
    monkeypatch.syspath_prepend(ROOT / ".ci")
    from versions import why  # noqa: PLC0415 (a script beside the suite)

    assert why(log) == expected


def test_every_named_environment_has_its_versions() -> None:
    """Each Keras of the labels has the override that its factor names, each TensorFlow its pin."""
    ini = configparser.ConfigParser(interpolation=None)
    ini.read(ROOT / "tox.ini")
    overrides = dict(
        re.findall(r"(keras\d+): UV_OVERRIDE = .*/(.*)\.txt", ini["testenv"]["set_env"])
    )
    pinned = set(re.findall(r"(tf\d+)-!gpu: tensorflow-cpu==", ini["testenv"]["deps"]))
    for factor, version in overrides.items():
        assert (ROOT / ".ci" / "keras" / f"{version}.txt").read_text() == f"keras=={version}\n"
        assert version.replace(".", "").startswith(factor.removeprefix("keras"))
    listed = re.sub(r"\{([\w,]+)\}", lambda found: found[1].replace(",", " "), ini["tox"]["labels"])
    used = set(re.findall(r"keras\d+", listed))
    assert used == set(overrides)
    assert {"tf212", "tf221"} <= pinned
    assert {f"tf{number}" for number in re.findall(r"\b2[12]\d\b", listed)} <= pinned
