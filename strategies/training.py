"""Cases of training: configurations in pairs, ragged batches for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st

from catalogue.cases import CONTENTS, Content, RaggedBatch
from catalogue.specs import Argument
from catalogue.training import measure_of
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

_SEEDS = st.integers(0, 2**16 - 1)
_ORDINARY: tuple[Content, ...] = ("zeros", "ones", "tenth", "noise")
_CLASSES = ("zeros", "ones", "large", "nan")  # classes, none of them, and no number
# How steps are masked, what weights there are, the policy, and whether steps have positions
# inside: each cell meets these rows, the plainest first. All else is spread over them.
_ROWS: tuple[tuple[MaskWay, SampleWeight, str, int], ...] = (
    ("travelling", "absent", "float32", 0),
    ("travelling", "steps", "float32", 0),
    ("masking", "steps", "mixed_float16", 0),
    ("weights", "absent", "float32", 0),
    ("travelling", "rows", "float32", 0),
    ("absent", "steps", "float32", 0),
    ("travelling", "absent", "mixed_float16", 2),
    ("masking", "absent", "float32", 0),
)
_REDUCTIONS: dict[int, tuple[Argument, ...]] = {
    2: ("auto", "sum", "sum_over_batch_size", "none"),
    3: ("sum_over_batch_size", "sum", "mean_with_sample_weight", "none"),
}
# Methods that are called as they are cost much: few configurations have them.
_LOSS_WAYS: tuple[Way, ...] = (
    *("custom loop", "fit", "train step", "test step", "train step", "custom loop", "evaluate"),
)
_METRIC_WAYS: tuple[Way, ...] = (
    *("train step", "test step", "test step", "evaluate", "test step", "train step", "test step"),
)
_ONCE: dict[Way, tuple[Way, ...]] = {
    "fit": ("fit", "train_on_batch"),
    "evaluate": ("evaluate", "test_on_batch", "fit"),
}


class TrainingConfiguration(msgspec.Struct, frozen=True):
    """All of a case but its ragged batches and seeds; `chosen` as in `Configuration`."""

    measure: str
    arguments: dict[str, Any]
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
    rows = [row for row in _ROWS if _fits(entry, row)]
    domains: dict[str, Sequence[Any]] = {
        **entry.domains,
        "reduction": _REDUCTIONS[keras_major] if loss else ("",),
        "function": (False, False, True) if entry.function else (False,),
        "weighted": (False,) if loss else (False, True, True),
        "once": (0, 1, 2),
        "units": entry.units,
    }
    ways = _LOSS_WAYS if loss else _METRIC_WAYS
    turn = seed % len(ways)
    ways = ("train step" if loss else "test step", *ways[turn:], *ways[:turn])
    found = []
    for row, way_, chosen in zip(
        rows, ways, spread([{}] * len(rows), domains, seed=seed), strict=False
    ):
        mask, sample_weight, policy, inner = row
        chosen |= {"mask": mask, "sample_weight": sample_weight, "way": way_}
        way = way_
        if way in _ONCE:
            way = _ONCE[way][chosen["once"] % len(_ONCE[way])]
        if identity:  # there is nothing to train
            way = "test step" if way in ("train step", "test step") else "evaluate"
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
        found.append(
            TrainingConfiguration(
                measure=entry.name,
                arguments={} if function else arguments,
                function=function,
                mask=mask,
                sample_weight=sample_weight,
                # Else weights would act on nothing.
                weighted=chosen["weighted"] or (not loss and (mask, sample_weight) in _WEIGHED),
                way=way,
                units=chosen["units"],
                inner=inner,
                policy=policy,
                labels=entry.labels,
                chosen=chosen,
            )
        )
    return found


_WEIGHED = (("weights", "absent"), ("travelling", "steps"), ("travelling", "rows"))


def _fits(entry: MeasureEntry, row: tuple[MaskWay, SampleWeight, str, int]) -> bool:
    """Whether a loss or metric takes outputs of this rank, and inputs that say what is masked."""
    mask, _, policy, inner = row
    identity = entry.activation == "identity"  # classes, of which 0 is one
    return not (inner and 4 not in entry.ranks) and not (
        identity and (mask == "masking" or policy != "float32")
    )


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
    contents: st.SearchStrategy[Content] = _input_contents(configuration, _ORDINARY)
    features = configuration.units
    batches: list[RaggedBatch] = [
        draw(ragged_batches(kind=kind, features=features, contents=contents))
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
    every = (*_ORDINARY, *CONTENTS)
    others = {
        "inputs": _input_contents(configuration, every),
        "labels": _label_contents(configuration, every),
        "weights": st.sampled_from(every),
    }[varied]
    other = draw(others.filter(lambda content: content != held), label="other content")
    return msgspec.structs.replace(case, varied=varied, other=other)


def _variable(configuration: TrainingConfiguration) -> list[Varied]:
    """What may hold anything at masked steps; first what the plainest example varies."""
    found: list[Varied] = []
    if configuration.mask != "masking":  # which is told by what inputs hold
        found.append("inputs")
    found.append("labels")
    if configuration.sample_weight == "steps":
        found.append("weights")
    return found


def _label_contents(
    configuration: TrainingConfiguration, contents: Sequence[Content]
) -> st.SearchStrategy[Content]:
    """What labels hold at masked steps; those that name classes hold numbers of classes."""
    if configuration.labels in ("sparse", "classes"):
        contents = [one for one in contents if one in _CLASSES]
    return st.sampled_from(contents)


def _input_contents(
    configuration: TrainingConfiguration, contents: Sequence[Content]
) -> st.SearchStrategy[Content]:
    """What inputs hold at masked steps: zeros where `Masking` looks for them."""
    if configuration.mask == "masking":
        return st.just("zeros")
    if measure_of(configuration.measure).activation == "identity":
        contents = [one for one in contents if one in _CLASSES]
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
