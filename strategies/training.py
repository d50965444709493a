"""Cases of training: configurations in pairs, ragged batches for each."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st

from catalogue.cases import CONTENTS, Content, RaggedBatch
from catalogue.specs import Argument
from catalogue.training import STANDING, measure_of
from catalogue.training_cases import (
    GivenAs,
    MaskWay,
    MeasureEntry,
    Nest,
    SampleWeight,
    TrainingCase,
    Varied,
    Way,
    without_axis,
)
from strategies.configurations import spread
from strategies.ragged import ragged_batches

__all__ = [
    "REDUCTIONS_SINCE",
    "TrainingConfiguration",
    "plain_training_case",
    "training_cases",
    "training_configurations",
    "training_examples",
]

_SEEDS = st.integers(0, 2**16 - 1)
_ORDINARY: tuple[Content, ...] = ("zeros", "ones", "tenth", "noise")
_HELD: tuple[Content, ...] = ("zeros", "ones", "tenth")
_CLASSES = ("zeros", "ones", "large", "nan")  # classes, none of them, and no number
# How steps are masked, what weights there are, the policy, and the rank of outputs: each cell meets
# these rows, the plainest first. All else is spread over them.
_ROWS: tuple[tuple[MaskWay, SampleWeight, str, int], ...] = (
    ("travelling", "absent", "float32", 3),
    ("travelling", "steps", "float32", 3),
    ("masking", "steps", "mixed_float16", 3),
    ("weights", "absent", "float32", 3),
    ("travelling", "rows", "float32", 3),
    ("absent", "steps", "float32", 3),
    ("travelling", "absent", "mixed_float16", 4),
    ("masking", "absent", "float32", 3),
    ("travelling", "rows", "float32", 2),
    ("travelling", "steps", "mixed_bfloat16", 3),
)
_INNER = 2  # positions inside a step, of outputs of rank 4
# What other outputs have, each in turn.
_BESIDE: tuple[tuple[MaskWay, SampleWeight], ...] = (
    ("absent", "absent"),
    ("travelling", "steps"),
    ("travelling", "absent"),
    ("absent", "steps"),
    ("masking", "absent"),
    ("weights", "absent"),
)
_NAMED: tuple[Nest, ...] = ("dict outputs", "dict")
_LOSS_WEIGHTS: tuple[tuple[float, ...], ...] = ((), (0.5, 2.0))
_REDUCTIONS: dict[int, tuple[Argument, ...]] = {
    2: ("auto", "sum", "sum_over_batch_size", "none"),
    3: ("sum_over_batch_size", "sum", "mean_with_sample_weight", "none", "mean"),
}
REDUCTIONS_SINCE = {
    ("reduction", "mean"): "3.7",
    ("reduction", "mean_with_sample_weight"): "3.7",
}
"""The first version of Keras that takes a reduction, of those that not every Keras 3 takes."""
# Methods that are called as they are cost much: few configurations have them.
_LOSS_WAYS: tuple[Way, ...] = (
    "custom loop",
    "fit",
    "train step",
    "test step",
    "train step",
    "mask as weights",
    "evaluate",
    "compute_loss",
    "test step",
)
_METRIC_WAYS: tuple[Way, ...] = (
    *("train step", "test step", "test step", "evaluate", "test step", "train step", "test step"),
    *("evaluate", "test step"),
)
# What is called is the same code for all measures: of those that stand for none each third has it.
_TRACED: dict[Way, Way] = {"fit": "train step", "evaluate": "test step"}
_ONCE: dict[Way, tuple[Way, ...]] = {
    "fit": ("fit", "train_on_batch", "padded fit"),
    "evaluate": ("padded evaluate", "evaluate", "test_on_batch"),
}


class TrainingConfiguration(msgspec.Struct, frozen=True):
    """All of a case but its ragged batches and seeds; `chosen` as in `Configuration`."""

    measure: str
    arguments: dict[str, Any]
    given_as: GivenAs
    mask: MaskWay
    sample_weight: SampleWeight
    weighted: bool
    way: Way
    units: int
    inner: int
    policy: str
    pooled: bool
    penalty: bool
    twin: bool
    labels: str
    chosen: dict[str, Any]
    beside: tuple[TrainingConfiguration, ...] = ()
    turned: bool = False
    nest: Nest = "list"
    loss_weights: tuple[float, ...] = ()


def training_configurations(
    entry: MeasureEntry,
    *,
    keras_major: int,
    seed: int = 0,
    beside: tuple[MeasureEntry, ...] = (),
) -> list[TrainingConfiguration]:
    """Configurations of a loss or metric, the pairs of all domains early; the plainest first.

    With entries `beside`, those of a model of several outputs, of which the first is its own.
    """
    loss = entry.kind == "losses"
    rows = [row for row in _ROWS if _fits(entry, row) and not (beside and row[3] != _STEPS)]
    if not entry.stepped:  # of a single row: each value of its arguments, and several batches
        rows *= max([4, *map(len, entry.domains.values())])
    reductions = _REDUCTIONS[keras_major] if loss else ("",)
    if not entry.weighable:  # a number for all positions is none for each
        reductions = tuple(one for one in reductions if one != "none")
    domains: dict[str, Sequence[Any]] = {
        **entry.domains,
        # A loss for each position is for loops of one's own, of a single loss.
        "reduction": [one for one in reductions if one != "none" or not beside],
        "given as": _forms(entry),
        # Of outputs that are rows weights say most: there is no mask.
        "weighted": (False,) if loss else (False, True, True) if entry.stepped else (True, False),
        "once": (0, 1, 2),
        "units": entry.units,
        "penalty": (False, False, True) if loss else (False,),
        "twin": (False,) if loss or beside or entry.values is None else (False, True),
    }
    if beside:
        domains |= {"beside": _BESIDE, "turned": (False, True)}
        domains["loss weights"] = _LOSS_WEIGHTS
    ways = _LOSS_WAYS if loss else _METRIC_WAYS
    # Others meet other rows of each measure: together they meet all.
    turn = (seed + zlib.crc32(entry.name.encode())) % len(ways)
    if not (entry.name in STANDING or beside or turn % 3 == 0):
        ways = tuple(_TRACED.get(way, way) for way in ways)
    in_turn = ["train step" if loss else "test step", *ways[turn:], *ways[:turn]][: len(rows)]
    rows = rows[: len(in_turn)]
    if entry.name in STANDING or beside:  # once more, each row in another way
        turn += len(ways) // 2
        again = itertools.cycle(ways)
        in_turn += itertools.islice(again, turn % len(ways), turn % len(ways) + len(rows))
        rows *= 2
    fixed: list[dict[str, Any]] = [{}] * len(rows)
    if loss and entry.name in STANDING and not beside:
        # Where fewer axes meet more, which is known, what happens instead has one telling answer.
        plain = {"reduction": reductions[0], "given as": "object"}
        for place, (_, sample_weight, _, rank) in enumerate(rows):
            # Weights that stand for a mask are of steps, and these fit.
            weighed = sample_weight == "rows" and in_turn[place] != "mask as weights"
            if rank > _STEPS or (rank == _STEPS and weighed):
                fixed[place] = plain
        # Each reduction of a masked loss.
        fixed += [{"reduction": one, "given as": "object"} for one in reductions]
        rows += rows[:1] * len(reductions)
        in_turn += ["test step", "train step"] * len(reductions)
        in_turn = in_turn[: len(rows)]
        # The default one beside weights of steps too: of valid steps, some of weight 0, it is the
        # number that divides.
        # A sum as well: it divides by none; and the one that divides by weights.
        weighed_ways: tuple[tuple[Argument, Way], ...] = (
            (reductions[0], "test step"),
            (reductions[0], "train step"),
            ("sum", "test step"),
            ("mean_with_sample_weight", "train step"),
        )
        for reduction, another in weighed_ways:
            if reduction in reductions:
                fixed.append({"reduction": reduction, "given as": "object"})
                rows += rows[1:2]
                in_turn.append(another)
    if beside:  # once more, masked alike: such are spoken of by name
        fixed.append({"beside": ("travelling", "absent")})
        rows += rows[:1]
        in_turn.append("train step" if loss else "test step")
    found: list[TrainingConfiguration] = []
    names = itertools.cycle(_NAMED)
    for row, way, chosen in zip(rows, in_turn, spread(fixed, domains, seed=seed), strict=False):
        mask, sample_weight, _, rank = row
        chosen |= {"mask": mask, "sample_weight": sample_weight, "way": way, "rank": rank}
        one = _configuration(entry, row, way, chosen, keras_major)
        found.append(
            _with_others(one, beside, chosen, names, plainest=not found) if beside else one
        )
    return found


_STEPS = 3  # the rank of outputs that are steps


def _forms(entry: MeasureEntry) -> tuple[GivenAs, ...]:
    """How a loss or metric is given, the plainest first."""
    if entry.plain:
        return ("function",)
    return ("object", "object", "function", "name") if entry.function else ("object",)


def _configuration(
    entry: MeasureEntry,
    row: tuple[MaskWay, SampleWeight, str, int],
    way: Way,
    chosen: dict[str, Any],
    keras_major: int,
) -> TrainingConfiguration:
    loss = entry.kind == "losses"
    mask, sample_weight, policy, rank = row
    if way in _ONCE:
        way = _ONCE[way][chosen["once"] % len(_ONCE[way])]
    if entry.activation == "identity":  # there is nothing to train
        way = "test step" if way in ("train step", "test step") else "evaluate"
    counted = mask in ("travelling", "masking") and rank == _STEPS and entry.weighable
    if way == "mask as weights" and not counted:
        way = "custom loop"
    arguments = {
        name: chosen[name] for name, values in entry.domains.items() if chosen[name] != values[0]
    }
    if rank != _STEPS:
        arguments = without_axis(arguments)
    reduction, default = chosen["reduction"], _REDUCTIONS[keras_major][0]
    given_as = chosen["given as"]
    if entry.plain:
        way = "compute_loss" if way in ("custom loop", "mask as weights") else way
    elif loss and reduction != default:
        arguments["reduction"] = None if reduction == "none" and keras_major > 2 else reduction
        way = "custom loop" if reduction == "none" else way
    if way in ("custom loop", "mask as weights"):
        given_as = "object"
    return TrainingConfiguration(
        measure=entry.name,
        arguments=arguments if given_as == "object" else {},
        given_as=given_as,
        mask=mask,
        sample_weight=sample_weight,
        # Else weights would act on nothing.
        weighted=chosen["weighted"]
        or (not loss and entry.stepped and (mask, sample_weight) in _WEIGHED),
        way=way,
        units=chosen["units"],
        inner=_INNER if rank > _STEPS else 0,
        policy=policy,
        pooled=rank < _STEPS,
        # What has a number for each position cannot be added to one for the whole.
        penalty=chosen["penalty"] and reduction != "none",
        # Without its weights one counts what no metric need take: labels at masked steps.
        twin=chosen["twin"] and sample_weight != "rows" and mask != "weights" and rank == _STEPS,
        labels=entry.labels,
        chosen=chosen,
    )


def _with_others(
    own: TrainingConfiguration,
    entries: tuple[MeasureEntry, ...],
    chosen: dict[str, Any],
    names: Iterator[Nest],
    *,
    plainest: bool,
) -> TrainingConfiguration:
    """The configuration with outputs beside its own, each of another loss or metric.

    Those that may be spoken of by name are so but for the `plainest`: in one way after the other,
    and where both are masked by names that their outputs have as well.
    """
    mask, sample_weight = chosen["beside"]
    weighed = {own.mask, mask, own.sample_weight, sample_weight} & {"weights", "steps", "rows"}
    # Keras 3 refuses weights by name, which is dear to look at: few configurations have them.
    by_name = not weighed or own.mask == "absent"
    if (mask, own.way) == ("absent", "mask as weights"):
        mask = "travelling"
    others = tuple(
        msgspec.structs.replace(
            own,
            measure=entry.name,
            arguments={},
            given_as="object",
            mask=mask,
            sample_weight=sample_weight,
            weighted=entry.kind == "metrics",
            units=entry.units[-1],
            policy="float32",
            penalty=False,
            labels=entry.labels,
        )
        for entry in entries
    )
    nest: Nest = "list"
    if by_name and not plainest:
        nest = next(names) if "absent" in (own.mask, mask) else "dict outputs"
    return msgspec.structs.replace(
        own,
        beside=others,
        turned=chosen["turned"],
        nest=nest,
        loss_weights=chosen["loss weights"],
    )


_WEIGHED = (("weights", "absent"), ("travelling", "steps"), ("travelling", "rows"))


def _fits(entry: MeasureEntry, row: tuple[MaskWay, SampleWeight, str, int]) -> bool:
    """Whether a loss or metric takes outputs of this rank, and inputs that say what is masked."""
    mask, sample_weight, policy, rank = row
    if rank not in entry.ranks:
        return False
    if not entry.weighable:
        return sample_weight == "absent" and mask != "weights"
    # Inputs that are classes: 0 is one, and sums of several are none.
    plain = mask != "masking" and policy == "float32" and rank == _STEPS
    return plain or entry.activation != "identity"


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
    padded = configuration.way.startswith("padded")
    # What a pipeline pads holds one number.
    ordinary_ = tuple(one for one in _ORDINARY if not (padded and one == "noise"))
    contents: st.SearchStrategy[Content] = _input_contents(configuration, ordinary_)
    features = configuration.units
    batches: list[RaggedBatch] = [
        draw(ragged_batches(kind=kind, features=features, contents=contents))
    ]
    if "several" in choices and not configuration.way.endswith("on_batch"):
        batches.append(draw(ragged_batches(kind="mixed", contents=st.just(batches[0].content))))
    if padded:
        batches = list(map(_right, batches))
    case = TrainingCase(
        batches=tuple(batches),
        weights=draw(_SEEDS, label="weights"),
        labels_hold=draw(_label_contents(configuration, ordinary_), label="labels hold"),
        weights_hold=draw(st.sampled_from(ordinary_), label="weights hold"),
        inserted=draw(st.integers(1, 4), label="inserted") if "inserted" in choices else 0,
        beside=tuple(draw(_cases_beside(one, batches)) for one in configuration.beside),
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
    every = tuple(one for one in (*_ORDINARY, *CONTENTS) if not (padded and one == "noise"))
    others = {
        "inputs": _input_contents(configuration, every),
        "labels": _label_contents(configuration, every),
        "weights": st.sampled_from(every),
    }[varied]
    other = draw(others.filter(lambda content: content != held), label="other content")
    return msgspec.structs.replace(case, varied=varied, other=other)


def _right(batch: RaggedBatch) -> RaggedBatch:
    """The batch with the padding of each row behind its valid steps."""
    rows = ("1" * row.count("1") + "0" * row.count("0") for row in batch.mask)
    return msgspec.structs.replace(batch, mask=tuple(rows))


@st.composite
def _cases_beside(
    draw: st.DrawFn, configuration: TrainingConfiguration, batches: Sequence[RaggedBatch]
) -> TrainingCase:
    """The case of another output: as many rows, and steps of its own or as many as well."""
    held: tuple[Content, ...] = _HELD[:1] if configuration.mask == "masking" else _HELD
    contents = st.sampled_from(held)
    found = []
    for batch in batches:
        steps = draw(st.sampled_from((batch.max_len, None)), label="steps beside")
        one = draw(ragged_batches(batch=batch.batch, max_len=steps, contents=contents))
        found.append(_right(one) if configuration.way.startswith("padded") else one)
    same = tuple(msgspec.structs.replace(one, content=found[0].content) for one in found)
    return TrainingCase(batches=same, **_of(configuration))


def _variable(configuration: TrainingConfiguration) -> list[Varied]:
    """What may hold anything at masked steps; first what the plainest example varies."""
    found: list[Varied] = []
    if configuration.mask != "masking":  # which is told by what inputs hold
        found.append("inputs")
    if not configuration.pooled:  # a row has one label, which counts
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
    batches = (RaggedBatch(("11", "10")),)
    beside = tuple(TrainingCase(batches=batches, **_of(one)) for one in configuration.beside)
    return TrainingCase(batches=batches, beside=beside, **_of(configuration))


def _of(configuration: TrainingConfiguration) -> dict[str, Any]:
    fields = msgspec.structs.asdict(configuration)
    left_out = ("labels", "chosen", "beside")
    return {name: value for name, value in fields.items() if name not in left_out}
