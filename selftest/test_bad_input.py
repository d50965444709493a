"""Bad input is answered with one clear sentence, before anything runs or is written."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

import pytest

from reports.record import read_record

ROOT = Path(__file__).resolve().parents[1]
USAGE_ERROR, INTERRUPTED = 4, 2
COLLECT = ("-q", "--collect-only", "-p", "no:cacheprovider")

PIN = """\
{ property = "truth", layer = "LSTM", comparison = "output", case = CASE },
"""
CASE = (
    '{ spec = { layer = "LSTM", arguments = { units = 1 } }, batch = { mask = ["10"] }, '
    'form = { mask = "explicit" } }'
)
DEVIATION = """\
[[deviation]]
id = "an-entry"
kind = "wrong value"
reason = "Because."
link = "unreported"
layers = ["LSTM"]
comparisons = [{ property = "PROPERTY", comparison = "output" }]
deviating = ["keras 3.15.1", "keras 2.15.0"]
region = { REGION }
pins = [{ property = "PROPERTY", layer = "LSTM", comparison = "output", case = CASE }]
"""


def ledger(
    *, property: str = "truth", case: str = CASE, region: str = 'all = ["right_padded"]'
) -> str:
    """A ledger of one entry."""
    text = DEVIATION.replace("PROPERTY", property).replace("CASE", case)
    return text.replace("REGION", region)


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The variables of a run that knows nothing of the one it is started by."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "COV_"))}
    return {**kept, "COLUMNS": "200", **extra}


def run(*options: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """A run of the suite that at most collects, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", *COLLECT, *options],
        cwd=ROOT,
        env=environment(extra),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def here(*options: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """The same in this process: starting another one takes ten times as long."""
    out, err = io.StringIO(), io.StringIO()
    arguments = [*COLLECT, *("-p", "no:faulthandler", "--capture=no"), *options]
    with (
        mock.patch.dict(os.environ, environment(extra), clear=True),
        contextlib.chdir(ROOT),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        status = int(pytest.main(arguments))
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


def refused(*options: str, folder: Path | None = None, apart: bool = False, **extra: str) -> str:
    """The one sentence with which a run refuses its options; nothing may be written."""
    before = sorted(folder.iterdir()) if folder else []
    if folder:
        options = (*options, f"--report={folder / 'report'}")
    done = (run if apart else here)(*options, **extra)
    said = done.stdout + done.stderr
    assert done.returncode == USAGE_ERROR, said
    assert "Traceback" not in said
    assert "INTERNALERROR" not in said
    lines = [line for line in said.splitlines() if line.strip()]
    assert len(lines) == 1, said
    assert lines[0].startswith("ERROR: ")
    if folder:
        assert sorted(folder.iterdir()) == before
    return lines[0].removeprefix("ERROR: ")


# -- options ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "choices"),
    [
        ("--device=gpu:7", "cpu:0"),
        ("--device=tpu:0", "cpu:0"),
        ("--mode=fast", "eager, graph, xla"),
        ("--profile=slow", "quick, standard, nightly"),
        ("--layer=Lstm", "did you mean LSTM? "),
        ("--property=held_stat", "did you mean held_state? "),
        ("--property=weather", "`pytest --collect-only -q` lists"),
    ],
)
def test_an_unknown_name_is_refused_with_known_ones(
    option: str, choices: str, tmp_path: Path
) -> None:
    """The option, what it was given, and what it could have been given: all, or what is alike."""
    said = refused(option, folder=tmp_path)
    assert said.startswith(option.replace("=", " "))
    assert choices in said


def test_an_unknown_implementation_is_refused(tmp_path: Path) -> None:
    """The suite tests keras and tf_keras."""
    said = refused("--implementation=torch", folder=tmp_path)
    assert "torch" in said
    assert "choose from keras, tf_keras" in said


def test_a_name_is_refused_among_others_that_are_known(tmp_path: Path) -> None:
    """One wrong name among right ones is no smaller mistake."""
    assert "weather" in refused("--property=truth", "--property=weather", folder=tmp_path)


def test_names_that_have_no_cell_in_common_are_refused(tmp_path: Path) -> None:
    """A selection of nothing would pass."""
    said = refused("--layer=LSTM", "--property=product_values", folder=tmp_path)
    assert "LSTM" in said
    assert "product_values" in said


@pytest.mark.parametrize("value", ["x", "-1", "1e"])
def test_a_seed_that_is_no_number_is_refused(value: str, tmp_path: Path) -> None:
    """The value is shown."""
    assert refused(f"--seed={value}", folder=tmp_path).startswith(f"--seed {value}: ")


@pytest.mark.parametrize("value", ["nan", "inf", "1.5"])
def test_a_seed_that_is_no_whole_number_is_refused(value: str, tmp_path: Path) -> None:
    """A seed that would be rounded names another run than it seems to."""
    assert refused(f"--seed={value}", folder=tmp_path).startswith(f"--seed {value}: ")


@pytest.mark.parametrize("value", ["x", "-1", "nan"])
def test_seconds_that_are_no_number_are_refused(value: str, tmp_path: Path) -> None:
    """A cell explores for a time that can pass."""
    said = refused("--profile=nightly", f"--seconds={value}", folder=tmp_path)
    assert said.startswith(f"--seconds {value}: ")


def test_seconds_are_for_the_nightly_profile(tmp_path: Path) -> None:
    """An option that would do nothing is refused."""
    said = refused("--seconds=5", folder=tmp_path)
    assert "--seconds 5" in said
    assert "nightly" in said


@pytest.mark.parametrize("option", ["--case-limit", "--time-limit"])
@pytest.mark.parametrize("value", ["x", "-1", "nan"])
def test_limits_that_are_no_number_are_refused(option: str, value: str, tmp_path: Path) -> None:
    """A limit is a time that can pass."""
    assert refused(f"{option}={value}", folder=tmp_path).startswith(f"{option} {value}: ")


def test_a_limit_of_each_case_is_for_workers(tmp_path: Path) -> None:
    """Without workers a hang would end the run, and so there is no limit."""
    assert "needs workers" in refused("--case-limit=5", "-n0", folder=tmp_path)


@pytest.mark.parametrize("scheduler", ["loadgroup", "loadscope", "loadfile"])
def test_schedulers_that_hang_are_refused(scheduler: str, tmp_path: Path) -> None:
    """What would hang when a worker dies is refused before anything runs."""
    assert f"--dist {scheduler}: " in refused(f"--dist={scheduler}", "-n1", folder=tmp_path)


# -- the ledger ------------------------------------------------------------------------------


def test_a_ledger_that_is_missing_is_refused(tmp_path: Path) -> None:
    """The path and why it cannot be read."""
    path = tmp_path / "none.toml"
    assert refused(f"--ledger={path}", folder=tmp_path) == (
        f"ledger {path}: cannot be read: no such file or directory"
    )


BAD_LEDGERS = {
    "not TOML": ("deviation = [", "is not TOML"),
    "unknown property": (ledger(property="weather"), "unknown property 'weather'"),
    "unknown field": (ledger() + "colour = 1\n", "unknown field 'colour'"),
    "case is none": (
        ledger(case="{ spec = 1 }"),
        "'an-entry': a pinned case of truth is none",
    ),
    "matches nothing": (
        ledger(region='all = ["nan_padding"]'),
        "'an-entry': matches nothing: its pinned case of truth lies outside its region",
    ),
    "says nothing": (
        ledger(property="unrolled_equals_looped"),
        "is one that unrolled_equals_looped says nothing about",
    ),
}


@pytest.mark.parametrize(("text", "problem"), BAD_LEDGERS.values(), ids=BAD_LEDGERS)
def test_a_ledger_that_is_not_in_order_is_refused(text: str, problem: str, tmp_path: Path) -> None:
    """The file, the entry and what is wrong with it, and no folder for a report is left."""
    path = tmp_path / "ledger.toml"
    path.write_text(text)
    said = refused(f"--ledger={path}", folder=tmp_path)
    assert said.startswith(f"ledger {path}: ")
    assert problem in said


def test_a_ledger_in_order_is_read(tmp_path: Path) -> None:
    """The entry that the broken ones are made from is sound."""
    path = tmp_path / "ledger.toml"
    path.write_text(ledger())
    done = here(f"--ledger={path}", "--layer=LSTM")
    assert done.returncode == 0, done.stdout + done.stderr


# -- the report ------------------------------------------------------------------------------


def test_a_file_in_the_place_of_the_report_is_refused_and_kept(tmp_path: Path) -> None:
    """The folder cannot be made, and what is there stays."""
    path = tmp_path / "report"
    path.write_text("mine")
    said = refused(f"--report={path}")
    assert str(path) in said
    assert "a file is in its place" in said
    assert path.read_text() == "mine"


def test_a_file_above_the_report_is_refused(tmp_path: Path) -> None:
    """A path through a file leads nowhere."""
    (tmp_path / "file").write_text("mine")
    assert "a file is in its place" in refused(f"--report={tmp_path / 'file' / 'report'}")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux")
def test_a_device_that_is_full_is_refused_as_a_folder() -> None:
    """Root may write anywhere, but not here."""
    said = refused("--report=/dev/full/x")
    assert said.startswith("--report /dev/full/x: ")


# -- what is installed -----------------------------------------------------------------------

PATCH = """\
import importlib.metadata as metadata
import importlib.util as util

real, found = metadata.version, util.find_spec
changed = CHANGED

def find_spec(name, *package):
    return None if name.replace("_", "-") in changed else found(name, *package)

util.find_spec = find_spec

def version(name):
    if name not in changed:
        return real(name)
    if changed[name] is None:
        raise metadata.PackageNotFoundError(name)
    return changed[name]

metadata.version = version
"""
EVERY_TENSORFLOW = ("tensorflow", "tensorflow-cpu", "tf-nightly", "tensorflow-macos")


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            dict.fromkeys(EVERY_TENSORFLOW),
            "TensorFlow is not installed: run `pip install -r requirements.txt`",
        ),
        (
            dict.fromkeys(EVERY_TENSORFLOW, "2.11.1"),
            "TensorFlow 2.11.1 is too old: 2.12 is the oldest supported",
        ),
        (
            {**dict.fromkeys(EVERY_TENSORFLOW), "tensorflow-cpu": "2.16.2", "keras": None},
            "keras is not installed beside TensorFlow 2.16.2",
        ),
    ],
    ids=["no TensorFlow", "old TensorFlow", "no Keras"],
)
def test_what_is_missing_or_too_old_is_named(
    changed: dict[str, str | None], sentence: str, tmp_path: Path
) -> None:
    """Nothing is imported to find out."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "changed_versions.py").write_text(PATCH.replace("CHANGED", repr(changed)))
    said = refused("-p", "changed_versions", folder=tmp_path, apart=True, PYTHONPATH=str(plugins))
    assert said == sentence


def test_tf_keras_that_is_missing_is_named(tmp_path: Path) -> None:
    """`--implementation tf_keras` needs the package of this name."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "changed_versions.py").write_text(PATCH.replace("CHANGED", "{'tf-keras': None}"))
    options = ("-p", "changed_versions", "--implementation=tf_keras")
    said = refused(*options, apart=True, PYTHONPATH=str(plugins))
    assert said.startswith("tf_keras is not installed beside TensorFlow ")


def test_a_checkout_on_the_path_tells_its_own_version(tmp_path: Path) -> None:
    """Keras that is imported from its sources is not taken for the one that is installed."""
    source = tmp_path / "keras" / "src"
    source.mkdir(parents=True)
    (source.parent / "__init__.py").write_text("raise SystemExit('nothing is imported')")
    (source / "version.py").write_text('__version__ = "3.99.0.dev2026"\n')
    asked = "from execution.implementation import installed; print(installed().keras)"
    said = subprocess.run(
        [sys.executable, "-c", asked],
        cwd=ROOT,
        env=environment({"PYTHONPATH": str(tmp_path)}),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "3.99.0.dev2026"


def test_a_plugin_that_warns_is_no_matter_of_ours(tmp_path: Path) -> None:
    """It may, before any test: the run goes on."""
    lines = ["import pytest, warnings", "def pytest_configure(config):"]
    lines.append("    warnings.warn(pytest.PytestWarning('no benchmarks beside xdist'))")
    (tmp_path / "warning_plugin.py").write_text("\n".join(lines))
    done = run("-p", "warning_plugin", "--layer=GRU", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_another_backend_is_refused() -> None:
    """Keras on JAX or PyTorch has no `tf.function`; before anything is imported it is said so."""
    said = refused(KERAS_BACKEND="jax")
    assert said == "KERAS_BACKEND=jax: masks are tested on TensorFlow; unset the variable"


# -- Ctrl-C ----------------------------------------------------------------------------------


def test_an_interrupted_run_leaves_a_whole_record(tmp_path: Path) -> None:
    """After Ctrl-C the record has what was done and says that it is not all."""
    command = [sys.executable, "-m", "pytest", "-v", "-n", "2", "-p", "no:cacheprovider"]
    command += ["--profile=quick", f"--report={tmp_path}"]
    command += ["--property=second_call", "--property=mask_precedence"]  # the quick ones
    lines: list[str] = []
    interrupted = 0.0
    # What a shell starts in the background ignores Ctrl-C, and so would what that starts.
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment({}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # a terminal signals the whole group: so does this test
    ) as started:
        signal.signal(signal.SIGINT, ours)
        watchdog = threading.Timer(50, os.killpg, (started.pid, signal.SIGKILL))
        watchdog.start()
        assert started.stdout is not None
        for line in started.stdout:
            lines.append(line)
            if not interrupted and "test_cell[" in line and "[gw" in line:
                interrupted = time.monotonic()
                os.killpg(started.pid, signal.SIGINT)
        status = started.wait()
        watchdog.cancel()
    said = "".join(lines)
    assert interrupted, said
    assert time.monotonic() - interrupted < 20
    assert status == INTERRUPTED, said
    assert "INTERNALERROR" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]
    record = read_record(tmp_path / "record.json")
    assert not record.complete
    assert record.exit_reason.startswith("interrupted")
    assert record.not_run
    assert len(record.entries) + len(record.not_run) == len(record.selected)
