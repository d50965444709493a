"""Records made up for tests and benchmarks: small ones to change, large ones to measure."""

from __future__ import annotations

from typing import Any

import msgspec

from reports.claims import Claims, Statement, Verdict
from reports.record import Entry, Environment, Finding, Record

__all__ = ["claims", "entry", "finding", "large_record", "record"]

SCRIPT = """\
import numpy as np
import tensorflow as tf
import keras

layer = keras.layers.LSTM(units=2, return_sequences=True)
layer.build((None, None, 1))
rng = np.random.default_rng(0)
layer.set_weights([rng.uniform(-1, 1, w.shape) / (*w.shape, 1)[0] for w in layer.get_weights()])
x = np.array([[[0.0], [0.0]], [[0.5], [0.0]]], "float32")
mask = np.array([[0, 0], [1, 0]], "bool")
y = np.array(layer(tf.constant(x), mask=tf.constant(mask)))
np.testing.assert_array_equal(y[0], np.zeros_like(y[0]))
"""

TRAITS = (
    "all_valid",
    "right_padded",
    "left_padded",
    "gaps",
    "starts_masked",
    "ends_masked",
    "last_step_masked",
    "fully_masked_row",
    "fully_masked_batch",
    "equal_lengths",
    "length_one_row",
    "single_row",
    "single_step",
    "tall_batch",
    "long_sequence",
    "zero_padding",
    "finite_padding",
    "nan_padding",
    "explicit_mask",
    "made_mask",
    "travelling_mask",
    "initial_state",
    "cast",
    "batch_equals_max_len",
    "batch_equals_features",
    "max_len_equals_features",
    "units_equal_features",
    "units_equal_max_len",
    "large_padding",
)


def finding(**changes: Any) -> Finding:
    """A finding that the ledger does not know, with some fields set otherwise."""
    known: dict[str, Any] = {
        "comparison": "output",
        "level": "must",
        "kind": "wrong value",
        "message": "0.5 against 0.0 at [0, 1, 0]; 2 of 8 values differ, by at most 0.5",
        "case": {"batch": {"mask": ["00", "10"]}, "spec": {"layer": "LSTM"}},
        "case_text": "RecurrentCase(spec=Spec(layer='LSTM'), batch=RaggedBatch(('00', '10')))",
        "facts": ["fully_masked_row", "units=2", "return_sequences=True", "mode=graph"],
        "left": "[[[0., 0.], [0.5, 0.]], [[0., 0.], [0.25, 0.]]]",
        "right": "[[[0., 0.], [0., 0.]], [[0., 0.], [0., 0.]]]",
        "difference": 0.5,
        "bound": 0.0,
        "script": SCRIPT,
        "script_fails": True,
        "shape": [2, 2, 2],
        "differing": [[0, 1, 0], [1, 1, 0]],
    }
    return Finding(**(known | changes))


def entry(
    property: str = "held_state", layer: str = "LSTM", outcome: str = "holds", **changes: Any
) -> Entry:
    """The entry of a cell, with some fields set otherwise; its node id names the cell."""
    device, mode = changes.get("device", "cpu:0"), changes.get("mode", "graph")
    known: dict[str, Any] = {
        "node": f"suite.py::test_cell[{layer}-{property}-{device}-{mode}]",
        "property": property,
        "layer": layer,
        "device": device,
        "mode": mode,
        "level": "must",
        "statement": f"What {property} states holds.",
        "source": "guide on masking",
        "outcome": outcome,
        "configurations": 44,
        "configurations_total": 64,
        "examples": 159,
        "batches": 462,
        "traits": {"gaps": 24, "single_row": 265},
    }
    return Entry(**(known | changes))


def record(*entries: Entry, keras: str = "3.15.1", **changes: Any) -> Record:
    """A record of some entries, with some fields set otherwise; complete unless it says not."""
    not_run = changes.get("not_run", [])
    known: dict[str, Any] = {
        "environment": Environment(
            implementation="keras",
            keras=keras,
            tensorflow="2.21.0",
            python="3.11.7",
            numpy="2.4.6",
            hypothesis="6.170.15",
            pytest="9.2.0",
            platform="Linux x86_64",
            cpus=2,
            devices=["cpu:0"],
        ),
        "profile": "quick",
        "seed": 0,
        "started": "2026-11-22T12:00:00+00:00",
        "seconds": 61.0,
        "workers": 2,
        "selected": [*(one.node for one in entries), *not_run],
        "entries": list(entries),
        "not_run": [],
        "deselected": 0,
        "complete": not not_run,
        "exit_reason": "some selected cells did not report" if not_run else "finished",
    }
    return Record(**(known | changes))


def large_record(cells: int, *, keras: str = "3.15.1") -> Record:
    """A record of many cells, a third of which deviate and a tenth of which are new."""
    entries = []
    for number in range(cells):
        name = f"property_{number % 25}"
        layer = f"Layer{number // 25}"
        traits = {trait: 10 + number % 7 + place for place, trait in enumerate(TRAITS)}
        # Scripts and cases differ in a real record: nothing is to be gained by repetition.
        script = f"{2 * SCRIPT}# {number}, Keras {keras}\n"
        facts = [*TRAITS, *(f"argument_{place}={number % 3}" for place in range(10))]
        found = finding(script=script, facts=facts)
        seconds = dict.fromkeys(("build", "trace", "call", "draw", "check", "total"), number / 7)
        one = entry(name, layer, traits=traits, seconds=seconds)
        if number % 10 == 0:
            one = msgspec.structs.replace(one, outcome="new", findings=[found])
        elif number % 3 == 0:
            ids = [f"known-deviation-{number % 7}", f"known-deviation-{7 + number % 5}"]
            known = [msgspec.structs.replace(found, deviation=id_) for id_ in ids]
            one = msgspec.structs.replace(
                one, outcome="deviates", findings=known, deviations=dict.fromkeys(ids, 12)
            )
        entries.append(one)
    return record(*entries, keras=keras)


def claims() -> Claims:
    """A statement whose verdict changes, and one that is so everywhere."""
    told = {
        "same": Verdict("confirmed", "B = 1", "is so", "tf.ones(<B>)"),
        "other": Verdict("refuted: raises it", "B = 2", "raises it", "tf.raises()"),
    }
    statements = (
        Statement("same", "one.txt", "introduction", "A mask <is> a mask.", "Looked at."),
        Statement("other", "one.txt", "summary", "A mask tells.", "Asked."),
    )
    older = {**told, "other": Verdict("confirmed when B = 1", "B = 1", "tells", "tf.tells()")}
    return Claims(statements, {"keras 3.15.1": told, "keras 2.15.0": older})
