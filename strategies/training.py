"""Cases of training: configurations in pairs, ragged batches for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st

from catalogue.cases import CONTENTS, Content, RaggedBatch
from catalogue.specs import Argument
from catalogue.training_cases import (
    MaskWay,
    MeasureEntry,
    SampleWeight,
    TrainingCase,
    Varied,
    Way,
)
from strategies.configurations import spread
from strategies.ragged import ragged_batches

__all__ = [
    "TrainingConfiguration",
    "plain_training_case",
    "training_cases",
    "training_configurations",
    "training_examples",
]

_ROWS = 6  # configurations of a loss or a metric: each is a model, and a trace or two
_ORDINARY: tuple[Content, ...] = ("zeros", "ones", "tenth", "noise")
_SEEDS = st.integers(0, 2**16 - 1)
_MASKS: tuple[MaskWay, ...] = ("travelling", "travelling", "masking", "weights", "absent")
_WEIGHTS: tuple[SampleWeight, ...] = ("absent", "steps", "rows")
_REDUCTIONS: dict[int, tuple[Argument, ...]] = {
    2: ("auto", "sum", "sum_over_batch_size", "none"),
    3: ("sum_over_batch_size", "sum", "mean_with_sample_weight", "none"),
}
_POLICIES = ("float32", "float32", "mixed_float16")
# Methods that are called as they are cost much: few configurations have them.
_LOSS_WAYS: tuple[Way, ...] = ("train step", "custom loop", "test step", "train step", "fit")
_METRIC_WAYS: tuple[Way, ...] = ("test step", "train step", "test step", "evaluate")
_ONCE: dict[Way, tuple[Way, ...]] = {
    "fit": ("fit", "train_on_batch"),
    "evaluate": ("evaluate", "test_on_batch", "fit"),
}


class TrainingConfiguration(msgspec.Struct, frozen=True):
    """All of a case but its ragged batches and seeds; `chosen` as in `Configuration`."""

    measure: str
    arguments: dict[str, Argument]
    function: bool
    mask: MaskWay
    sample_weight: SampleWeight
    weighted: bool
    way: Way
    units: int
    inner: int
    policy: str
    labels: str
    chosen: dict[str, Any]


def training_configurations(
    entry: MeasureEntry, *, keras_major: int, seed: int = 0
) -> list[TrainingConfiguration]:
    """Configurations of a loss or metric, the pairs of all domains early; the plainest first."""
    loss = entry.kind == "losses"
    identity = entry.activation == "identity"
    domains: dict[str, Sequence[Any]] = {
        **entry.domains,
        "reduction": _REDUCTIONS[keras_major] if loss else ("",),
        "function": (False, False, True) if entry.function else (False,),
        "mask": [mask for mask in _MASKS if not (identity and mask == "masking")],
        "sample_weight": _WEIGHTS,
        "weighted": (False,) if loss else (True, False),
        "way": _LOSS_WAYS if loss else ("test step", "evaluate") if identity else _METRIC_WAYS,
        "once": (0, 1, 2),
        "units": entry.units,
        "inner": (0, 0, 2) if 4 in entry.ranks else (0,),
        "policy": ("float32",) if identity else _POLICIES,
    }
    found = []
    for chosen in spread([{}] * _ROWS, domains, seed=seed):
        way: Way = chosen["way"]
        if way in _ONCE:
            way = _ONCE[way][chosen["once"] % len(_ONCE[way])]
            way = "evaluate" if identity else way
        arguments = {
            name: chosen[name]
            for name, values in entry.domains.items()
            if chosen[name] != values[0]
        }
        reduction = chosen["reduction"]
        if loss and reduction != domains["reduction"][0]:
            # A loss for each position is for loops of one's own.
            arguments["reduction"] = None if reduction == "none" and keras_major > 2 else reduction
            way = "custom loop" if reduction == "none" else way
        function = chosen["function"] and way != "custom loop"
        mask: MaskWay = chosen["mask"]
        found.append(
            TrainingConfiguration(
                measure=entry.name,
                arguments={} if function else arguments,
                function=function,
                mask=mask,
                # Weights of 0 and 1 are the mask themselves.
                sample_weight="absent" if mask == "weights" else chosen["sample_weight"],
                weighted=chosen["weighted"] or (mask == "weights" and not loss),
                way=way,
                units=chosen["units"],
                inner=0 if mask == "masking" else chosen["inner"],
                policy=chosen["policy"],
                labels=entry.labels,
                chosen=chosen,
            )
        )
    return found


@st.composite
def training_cases(
    draw: st.DrawFn,
    *,
    configuration: TrainingConfiguration,
    kind: str = "mixed",
    choices: tuple[str, ...] = (),
) -> TrainingCase:
    """Cases of one configuration, the first batch of one of `KINDS`.

    `choices` may name `other` (what is varied at masked steps, and to what), `inserted` (how many
    steps are appended) and `several` (a second batch where the way allows one). Shrinks towards
    small batches, zeros and the seed 0.
    """
    ordinary = st.sampled_from(_ORDINARY)
    fixed = configuration.mask == "masking"
    contents = st.just("zeros") if fixed else ordinary
    features = configuration.units
    batches: list[RaggedBatch] = [
        draw(ragged_batches(kind=kind, features=features, contents=contents))  # type: ignore[arg-type]
    ]
    if "several" in choices and not configuration.way.endswith("on_batch"):
        batches.append(draw(ragged_batches(kind="mixed", contents=st.just(batches[0].content))))
    case = TrainingCase(
        batches=tuple(batches),
        weights=draw(_SEEDS, label="weights"),
        labels_hold=draw(_label_contents(configuration, _ORDINARY), label="labels hold"),
        weights_hold=draw(ordinary, label="weights hold"),
        inserted=draw(st.integers(1, 4), label="inserted") if "inserted" in choices else 0,
        **_of(configuration),
    )
    if "other" not in choices:
        return case
    varied = draw(st.sampled_from(_variable(configuration)), label="varied")
    held = {
        "inputs": case.batches[0].content,
        "labels": case.labels_hold,
        "weights": case.weights_hold,
    }[varied]
    every = st.sampled_from(CONTENTS)
    others = _label_contents(configuration, CONTENTS) if varied == "labels" else every
    other = draw(others.filter(lambda content: content != held), label="other content")
    return msgspec.structs.replace(case, varied=varied, other=other)


def _variable(configuration: TrainingConfiguration) -> list[Varied]:
    """What may hold anything at masked steps."""
    found: list[Varied] = ["labels"]
    if configuration.mask != "masking":  # which is told by what inputs hold
        found.append("inputs")
    if configuration.sample_weight == "steps":
        found.append("weights")
    return found


def _label_contents(
    configuration: TrainingConfiguration, contents: Sequence[Content]
) -> st.SearchStrategy[Content]:
    """What labels hold at masked steps; those that name classes hold numbers of classes."""
    if configuration.labels == "sparse":
        contents = [one for one in contents if one in ("zeros", "ones", "large", "nan")]
    return st.sampled_from(contents)


def training_examples(
    *,
    configuration: TrainingConfiguration,
    kinds: tuple[str, ...],
    choices: tuple[str, ...] = (),
) -> st.SearchStrategy[tuple[TrainingCase, ...]]:
    """What is drawn once in a cell: a case of one configuration for each of `kinds`."""
    return st.tuples(
        *(training_cases(configuration=configuration, kind=kind, choices=choices) for kind in kinds)
    )


def plain_training_case(configuration: TrainingConfiguration) -> TrainingCase:
    """A case of a configuration: what can be said before any batch is drawn."""
    return TrainingCase(batches=(RaggedBatch(("11", "10")),), **_of(configuration))


def _of(configuration: TrainingConfiguration) -> dict[str, Any]:
    fields = msgspec.structs.asdict(configuration)
    return {name: value for name, value in fields.items() if name not in ("labels", "chosen")}
