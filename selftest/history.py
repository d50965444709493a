"""Bugs that Keras has mended, seen before and not after: `python -m selftest.history`.

Each is looked for with a ledger that knows nothing of its region, and says nothing of what lies
outside: drawn as `standard` draws, on the version that has the bug and on the one that
has it no more, each in its tox environment. It has to be seen with some seed there, with none here.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Collection, Iterator
from typing import Any

from execution.implementation import Implementation, installed
from execution.running import Runner
from properties.cells import STANDARD, Cell
from properties.running import CellRunner
from reports.ledger import KINDS, Deviation, Pattern, Region
from selftest.planting import EXECUTION

__all__ = ["BUGS", "Bug", "seen"]

_FINITE = ("infinite_padding", "nan_padding", "largest_padding")


@dataclasses.dataclass(frozen=True)
class Bug:
    """A bug that was mended: where to look, and in which part of what is drawn.

    `fails` and `passes` are environments of tox.ini. Region and kinds leave out what departs for
    other causes on both sides.
    """

    thread: str
    what: str
    layer: str
    property: str
    fails: str
    passes: str
    region: Region
    kinds: tuple[str, ...] = KINDS

    @property
    def link(self) -> str:
        """Where it was reported or mended."""
        return f"https://github.com/keras-team/keras/issues/{self.thread.partition('#')[2]}"


class _Elsewhere:
    """A ledger that knows everything but what a bug is looked for in."""

    def __init__(self, bug: Bug) -> None:
        self.bug = bug
        self.known = Deviation(
            id="elsewhere",
            reason="Not what is looked for.",
            link="unreported",
            kind="wrong value",
            comparisons=(Pattern("*", "*"),),
            layers=("*",),
            deviating=(),
            pins=(),
        )

    def excuses(
        self, property: str, layer: str, comparison: str, kind: str, facts: Collection[str]
    ) -> Iterator[Deviation]:
        """The one entry, where the case lies outside the region, or the kind is another."""
        if kind not in self.bug.kinds or not self.bug.region.covers(facts):
            yield self.known

    def concerning(self, property: str, layer: str) -> list[Deviation]:
        """Nothing: no case is drawn around a region."""
        return []

    deadly = concerning

    def pins(
        self, property: str, layer: str, mode: str, device: str = "cpu:0"
    ) -> list[tuple[Any, Any]]:
        """None."""
        return []


def seen(bug: Bug, implementation: Implementation, seed: int = 0) -> dict[str, Any] | None:
    """The finding that shows the bug on an implementation; None where nothing does."""
    runner = Runner(implementation, EXECUTION)
    cell = Cell(bug.property, bug.layer, EXECUTION)
    ledger: Any = _Elsewhere(bug)
    entry = CellRunner(cell, runner, ledger, STANDARD, seed).run()
    if entry["outcome"] == "new":
        finding: dict[str, Any] = entry["findings"][0]
        return finding
    if entry["outcome"] in ("holds", "deviates"):
        return None
    raise RuntimeError(f"{bug.thread}: {cell} is {entry['outcome']}: {entry['reason']}")


# -- the command -----------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Look for each bug on both sides; 0 where each is seen on one and not on the other."""
    parser = argparse.ArgumentParser(prog="python -m selftest.history", description=__doc__)
    parser.add_argument("threads", nargs="*", metavar="THREAD", help="such as keras#18921 (all)")
    parser.add_argument("--layer", metavar="NAME", help="only what is looked for in it")
    parser.add_argument("--here", action="store_true", help="on what is installed, without tox")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="how many (3)")
    options = parser.parse_args(arguments)
    known = [bug.thread for bug in BUGS]
    for thread in options.threads:
        if thread not in known:
            parser.error(f"{thread}: choose from {', '.join(known)}")
    layers = [bug.layer for bug in BUGS]
    if options.layer and options.layer not in layers:
        parser.error(f"--layer {options.layer}: choose from {', '.join(layers)}")
    chosen = [
        bug
        for bug in BUGS
        if (not options.threads or bug.thread in options.threads)
        and options.layer in (None, bug.layer)
    ]
    if options.here:
        return _here(chosen, range(options.seeds))
    failures = 0
    for bug in chosen:
        print(f"\n{bug.thread}: {bug.what} ({bug.link})", flush=True)
        for environment, expected in ((bug.fails, True), (bug.passes, False)):
            failures += _there(bug, environment, options.seeds) != expected
    print(f"\n{len(chosen)} bugs, {failures} of {2 * len(chosen)} sides not as they should be")
    return 1 if failures else 0


def _here(chosen: list[Bug], seeds: range) -> int:
    implementation = Implementation(installed("keras"))
    for bug in chosen:
        findings = [seen(bug, implementation, seed) for seed in seeds]
        found = [finding for finding in findings if finding is not None]
        said = f"not seen with any of {len(seeds)} seeds"
        if found:
            said = f"seen with {len(found)} of {len(seeds)} seeds, {found[0]['comparison']}: "
            said += f"{found[0]['message']}\n  {found[0]['case_text']}"
        print(f"{implementation.installed}: {bug.property} of {bug.layer}: {said}", flush=True)
    return 0


def _there(bug: Bug, environment: str, seeds: int) -> bool | None:
    """Whether the bug is seen in an environment; None where that could not be told."""
    command = [sys.executable, "-m", "tox", "exec", "-q", "-e", environment, "--", "python", "-m"]
    command += ["selftest.history", "--here", f"--seeds={seeds}"]
    command += [f"--layer={bug.layer}", bug.thread]  # of a thread that is seen twice, this one
    # One thread, as the suite's own workers have.
    threads = dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")
    environ = {**os.environ, **threads}
    ran = subprocess.run(command, capture_output=True, check=False, text=True, env=environ)
    own = [line for line in ran.stdout.splitlines() if not re.match(r"  (py\d|congrat)", line)]
    print(f"{environment}: {chr(10).join(own).strip() or ran.stderr.strip()[-500:]}", flush=True)
    if ran.returncode or ": " not in ran.stdout:
        return None
    return ": seen with " in ran.stdout


def _region(*all: str, any: tuple[tuple[str, ...], ...] = (), none: tuple[str, ...] = ()) -> Region:
    return Region(all=all, any=any, none=(*_FINITE, *none))


# Travelling masks without a cast, which loses them on many versions.
_SAME_DTYPE = tuple(
    ("travelling_mask", f"dtype={dtype}", f"policy={dtype}") for dtype in ("float32", "float64")
)
_ATTENTION = ("nothing_to_attend_to", "key_and_value_masks_differ")


BUGS = (
    Bug(
        "keras#18921",
        "BatchNormalization takes no notice of its mask",
        "BatchNormalization",
        "layer_truth",
        "py311-tf216-keras300",
        "py311-tf216-keras30",
        # Along an axis that is counted from the batch's on there is another one.
        _region(
            "training=True", "rank=3", any=(("explicit_mask",), *_SAME_DTYPE), none=("axis=2",)
        ),
    ),
    Bug(
        "keras#19093",
        "causal Attention takes no notice of the mask of its value",
        "Attention",
        "layer_truth",
        "py311-tf216-keras300",
        "py311-tf216-keras30",
        _region("use_causal_mask=True", any=(("explicit_mask",), *_SAME_DTYPE), none=_ATTENTION),
        ("wrong value",),
    ),
    Bug(
        "keras#18416",
        "merging layers lose masks",
        "Add",
        "passage",
        "py311-tf216-keras33",
        "py311-tf216-keras34",
        _region("travelling_mask", none=("masks_differ", "unmasked_tensor", "cast")),
    ),
    Bug(
        "keras#18416",
        "the mask is lost where a residual is added",
        "chain: residual",
        "prediction",
        "py311-tf216-keras33",
        "py311-tf216-keras34",
        _region(none=("cast",)),
        ("lost mask",),
    ),
    Bug(
        "keras#19848",
        "BatchNormalization counts a mask of size 1 along an axis once",
        "BatchNormalization(broadcast mask)",
        "layer_truth",
        "py311-tf218-keras38",
        "py311-tf218-keras39",
        _region("training=True", none=("cast",)),
    ),
    Bug(
        "keras#20754",
        "TimeDistributed asks how many rows there are where that is not known",
        "TimeDistributed",
        "layer_truth",
        "py311-tf218-keras38",
        "py311-tf218-keras39",
        _region(none=("known_sizes",)),
        ("refused",),
    ),
    Bug(
        "keras#21149",
        "Softmax of a fully masked row gives what its padding gives",
        "Softmax(mask of elements)",
        "layer_truth",
        "py311-tf218-keras39",
        "py311-tf219-keras310",
        _region("fully_masked_row", any=(("explicit_mask",), *_SAME_DTYPE)),
    ),
    Bug(
        "keras#21449",
        "a mask that is given in the call does not go on",
        "BatchNormalization",
        "passage",
        "py311-tf219-keras310",
        "py311-tf219-keras311",
        _region("explicit_mask", none=("nested_features",)),
        ("lost mask",),
    ),
    Bug(
        "keras#21449",
        "a mask that is given in the call does not go on behind a recurrent layer",
        "LSTM",
        "outgoing_mask",
        "py311-tf219-keras310",
        "py311-tf219-keras311",
        _region("explicit_mask", none=("positional=True",)),
        ("lost mask",),
    ),
    Bug(
        "keras#21595",
        "Attention spreads the mask of its value over queries",
        "Attention",
        "layer_truth",
        "py311-tf219-keras311",
        "py311-tf220-keras3120",
        _region("use_causal_mask=False", any=_SAME_DTYPE, none=_ATTENTION),
    ),
    Bug(
        "keras#21611",
        "masked tensors of no known sizes are not concatenated where a layer behind uses the mask",
        "chain: two inputs",
        "chain_truth",
        "py311-tf219-keras311",
        "py311-tf220-keras3120",
        _region("join=Concatenate"),
        ("refused",),
    ),
    Bug(
        "keras#21569",
        "a metric counts padding where there are no sample weights",
        "metric MeanSquaredError",
        "training_reduction",
        "py311-tf219-keras311",
        "py311-tf220-keras3120",
        _region("sample_weight=absent"),
        ("wrong value",),
    ),
    Bug(
        "keras#21154",
        "a layer is not told, when it is built, the shape of an argument that is called a mask",
        "BuiltForMasks",
        "layer_truth",
        "py311-tf220-keras313",
        "py311-tf221-keras3140",
        _region(),
        ("refused",),
    ),
    Bug(
        "keras#20973",
        "a model that is loaded from HDF5 normalizes over the last axis, whichever it was",
        "GroupNormalization",
        "round_trip",
        "py311-tf218-keras38",
        "py311-tf218-keras39",
        _region(none=("axis=-1", "cast")),
        ("wrong value", "refused"),
    ),
    Bug(
        "keras#21946",
        "a cast between dtypes loses the mask",
        "Activation",
        "passage",
        "py311-tf220-keras313",
        "py311-tf221-keras3140",
        _region("travelling_mask", "cast"),
    ),
    Bug(
        "keras#21946",
        "a cast between two layers of a chain loses the mask",
        "chain: sequence",
        "prediction",
        "py311-tf220-keras313",
        "py311-tf221-keras3140",
        _region("cast"),
        ("lost mask",),
    ),
    Bug(
        "keras#22037",
        "TimeDistributed takes a mask of other rows or steps than its tensor has",
        "TimeDistributed",
        "wrong_mask_refused",
        "py311-tf220-keras313",
        "py311-tf221-keras3140",
        Region(all=("known_sizes",)),
        ("not refused",),
    ),
    Bug(
        "keras#22392",
        "Masking multiplies by its mask: NaN or infinity in padding comes back in gradients",
        "LSTM",
        "padding_gradient",
        "py311-tf221-keras314",
        "py311-tf221-keras3150",
        Region(
            all=("mask=masking",),
            any=("content=inf", "content=-inf", "content=nan"),
            none=("content=tenth",),  # which Masking compares in float32, then as now
        ),
    ),
    Bug(
        "keras#21961",
        "an embedding turned round takes features for tokens, and hands on which are not 0",
        "ReversibleEmbedding(reverse)",
        "passage",
        "py311-tf220-keras313",
        "py311-tf221-keras314",
        _region("mask_zero=True"),
    ),
    Bug(
        "keras#22296",
        "gamma of several axes has the order that they are named in",
        "LayerNormalization(several axes)",
        "layer_truth",
        "py311-tf220-keras313",
        "py311-tf221-keras314",
        _region(none=("cast",)),
    ),
    Bug(
        "keras#22018",
        "a penalty of what a layer gives out is not divided by the number of rows",
        "MeanSquaredError",
        "activity_penalty",
        "py311-tf220-keras313",
        "py311-tf221-keras3140",
        _region("no_mask"),
    ),
)


if __name__ == "__main__":
    sys.exit(main())
