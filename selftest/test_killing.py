"""A run survives its workers: real cells, whose processes are killed while they run a case.

`python -m selftest.killing` does so at random, in many runs.
"""

from __future__ import annotations

from pathlib import Path

from execution.implementation import installed
from selftest.killer import Kill
from selftest.killing import CELLS, killed, options, untold

DEVIATION = """
[[deviation]]
id = "{id}"
kind = "{kind}"
reason = "Because."
link = "unreported"
layers = ["{layer}"]
comparisons = [{{ property = "{property}", comparison = "*" }}]
deviating = ["keras {version}"]
region = {{ all = ["go_backwards=True"] }}
pins = [{{ property = "{property}", layer = "{layer}", comparison = "*", case = {{ \
spec = {{ layer = "{layer}", arguments = {{ units = 1, go_backwards = true }} }}, \
batch = {{ mask = ["10"] }} }} }}]
"""


def entry(id: str, kind: str, property: str, layer: str) -> str:
    """An entry of the ledger for a layer that runs backwards."""
    return DEVIATION.format(
        id=id, kind=kind, property=property, layer=layer, version=installed().keras
    )


def test_every_kind_of_death_is_accounted_for(tmp_path: Path) -> None:
    """Hangs and crashes, known or new, in pinned cases or drawn ones, end only what they must."""
    ledger = tmp_path / "ledger.toml"
    ledger.write_text(
        entry("dies", "crash", "second_call", "SimpleRNN")
        + entry("lives", "crash", "second_call", "LSTM")
        + entry("hangs", "hang", "symbolic_shape", "LSTM")
        + entry("deviates", "wrong value", "symbolic_shape", "SimpleRNN")
    )
    backwards = "go_backwards=True"
    killed_in_a_drawn_case = Kill("[multiply-product_values-cpu:0-eager]", "SIGKILL", 2)
    broken_in_a_pinned_case = Kill("[SimpleRNN-symbolic_shape-cpu:0-graph]", "SIGSEGV")
    run = killed(
        *("--layer=multiply", "--layer=SimpleRNN", "--layer=LSTM", "--property=product_values"),
        *("--property=second_call", "--property=symbolic_shape"),
        f"--ledger={ledger}",
        "--case-limit=15",
        deaths=(
            Kill("[multiply-product_values-cpu:0-graph]", "hang in C", 2),
            killed_in_a_drawn_case,
            broken_in_a_pinned_case,
            # Wherever a layer runs backwards: nothing but the pinned case may come as far.
            Kill("[SimpleRNN-second_call-cpu:0-graph]", "SIGSEGV", argument=backwards),
            Kill("[LSTM-symbolic_shape-cpu:0-graph]", "hang in C", argument=backwards),
        ),
    )
    assert (run.status, run.record.complete, run.record.not_run) == (1, True, [])
    outcomes = {one.node.partition("[")[2].rstrip("]"): one.outcome for one in run.record.entries}
    assert outcomes == {
        "multiply-product_values-cpu:0-eager": "crashed",
        "multiply-product_values-cpu:0-graph": "crashed",
        "SimpleRNN-symbolic_shape-cpu:0-graph": "crashed",
        "SimpleRNN-second_call-cpu:0-graph": "deviates",
        "LSTM-symbolic_shape-cpu:0-graph": "deviates",
        "LSTM-second_call-cpu:0-graph": "fixed",
    }
    (hang,) = run.entry("multiply-product_values-cpu:0-graph").findings
    assert (hang.kind, "in _die" in hang.stacks) == ("hang", True)
    assert hang.message.startswith("this case did not end within 15 seconds")
    assert hang.script in "\n".join(line[4:] for line in run.output.splitlines())
    for kill in (killed_in_a_drawn_case, broken_in_a_pinned_case):
        assert untold(kill, run.entry(kill.cell.strip("[]")), run.output) == []
    (pinned,) = run.entry("SimpleRNN-symbolic_shape-cpu:0-graph").findings
    assert pinned.case["spec"]["arguments"] == {"units": 1, "go_backwards": True}
    assert pinned.case["batch"]["mask"] == ["10"]
    dies = run.entry("SimpleRNN-second_call-cpu:0-graph")
    assert dies.deviations["dies"] > 1  # drawn cases too
    assert [(one.kind, one.deviation) for one in dies.findings] == [("crash", "dies")]
    hangs = run.entry("LSTM-symbolic_shape-cpu:0-graph")
    assert [(one.kind, one.deviation) for one in hangs.findings] == [("hang", "hangs")]
    assert run.entry("LSTM-second_call-cpu:0-graph").fixed == ["lives"]


def test_each_cell_may_cost_a_worker() -> None:
    """However many workers die, the run goes on to its end: no cell kills more than one."""
    deaths = tuple(Kill(f"[{cell}]", "exit", 0) for cell in CELLS if "multiply" in cell)
    named = [option for option in options() if option.startswith("--property=")]
    run = killed("--layer=multiply", *named, workers=1, deaths=deaths)
    assert [one.outcome for one in run.record.entries] == ["crashed"] * len(deaths)
    assert run.record.complete
    assert "exited with status 3; what it ran is not known" in run.output
