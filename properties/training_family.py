"""The family of losses and metrics: strata, facts, and what makes a case simpler."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np

from catalogue.cases import RaggedBatch
from catalogue.training import MEASURES, OUTPUTS, STANDING, measure_of
from catalogue.training_cases import TrainingCase, split_apart
from catalogue.traits import batch_traits
from properties.registry import Property
from properties.strata import THINNED, Strata, Stratum, domains_of
from properties.training_setting import TrainingSetting
from strategies.layers import kinds_in_turn
from strategies.training import (
    TrainingConfiguration,
    plain_training_case,
    training_configurations,
    training_examples,
)

__all__ = ["simpler_training", "training_facts", "training_strata", "training_traits"]

_BATCHES = 3  # ragged batches for each configuration that is drawn
_RAGGED = ("right", "left", "gaps", "mixed")
_SIZES = {"single_row", "single_step", "batch_equals_max_len", "tall_batch", "long_sequence"}
_CALLED = ("fit", "evaluate", "train_on_batch", "test_on_batch", "padded fit", "padded evaluate")


def training_strata(
    property: Property, layer: str, keras_major: int, mode: str, seed: int
) -> Strata:
    """What a cell meets: each configuration with several kinds of batches."""
    entry, *others = (MEASURES[name] for name in OUTPUTS.get(layer, (layer,)))
    found = training_configurations(entry, keras_major=keras_major, seed=seed, beside=tuple(others))
    found = _thinned(found, property, layer)
    rng = random.Random(f"{property.name} {layer} {seed}")
    turns = kinds_in_turn(len(found), 1 if property.dear else _BATCHES, rng)
    strata = []
    for place, (configuration, kinds) in enumerate(zip(found, turns, strict=True)):
        if "coinciding" in property.choices:
            kinds = ("coinciding",) * 2  # noqa: PLW2901
        elif "all masked" in property.choices:
            kinds = ("fully masked batch",)  # noqa: PLW2901
        elif "ragged" in property.choices:  # every batch with valid steps and masked ones
            count = 1 if property.dear and layer not in STANDING else 2
            kinds = tuple(rng.sample(_RAGGED, count))  # noqa: PLW2901
        elif configuration.way in _CALLED:
            kinds = kinds[:1]  # noqa: PLW2901
        if not (entry.stepped or property.dear):
            kinds = (*kinds, "mixed", "mixed")  # noqa: PLW2901  # rows are all that there is
        if configuration.inner and len(kinds) > 1:
            # A mask of steps fits beside positions inside these where sizes are few.
            kinds = (*kinds, "single step", "single step")  # noqa: PLW2901
        kinds = (*kinds, *property.kinds)  # noqa: PLW2901
        examples = training_examples(
            configuration=configuration, kinds=kinds, choices=property.choices
        )
        text = f"{configuration.mask}, {configuration.way}, {configuration.arguments}"
        strata.append(Stratum(f"{place}: {text}", examples, configuration.chosen))
    return Strata(tuple(strata), domains_of([one.chosen for one in found]))


def _thinned(
    found: list[TrainingConfiguration], property: Property, layer: str
) -> list[TrainingConfiguration]:
    """The plainest configuration and every `share`-th other one, of those that a property takes.

    They are the same in every property of a measure, so that these share models and traces, and
    others in measures beside it. Of a measure that stands for its form twice as many are met.
    """
    if property.name in _COVERED:
        least = _FEW.get(property.name, _FEWEST) if property.share >= THINNED else _MOST
        return _covering(found, property, _COVERED[property.name])[:least]
    share = max(1, property.share // 2) if layer in STANDING else property.share
    turn = zlib.crc32(layer.encode()) % share
    fitting = [one for one in found if property.applies(plain_training_case(one))]
    kept = [one for place, one in enumerate(found) if place == 0 or place % share == turn]
    met = [one for one in fitting if one in kept]
    if property.name in _REDUCED and layer in STANDING:  # each reduction beside each kind of mask
        seen = {_reduced(one) for one in met}
        for one in fitting:
            if _reduced(one) not in seen:
                seen.add(_reduced(one))
                met.append(one)
    # Of one alone the documentation may leave open what comes out.
    least = 1 if property.dear else 2
    return (met + [one for one in fitting if one not in met])[: max(least, len(met))]


_REDUCED = ("training_reduction",)


def _reduced(one: TrainingConfiguration) -> tuple[Any, ...]:
    """How a loss is reduced, and how steps are masked."""
    return one.arguments.get("reduction"), one.mask


def _arguments(one: TrainingConfiguration) -> set[Any]:
    """What a file must hold: arguments that are not the default, and how measures are given."""
    given = {("given as", one.given_as), ("weighted", one.weighted)}
    return {*one.arguments.items(), *given}


def _validations(one: TrainingConfiguration) -> set[Any]:
    """What is validated on, and whether that is weighed."""
    weighed = one.sample_weight != "absent" or one.mask == "weights"
    weighed = weighed and (one.weighted or measure_of(one.measure).kind == "losses")
    return {(split_apart(one), weighed), ("pooled", one.pooled)}


def _masks(one: TrainingConfiguration) -> set[Any]:
    """How steps are masked, and whether samples are weighed."""
    return {("mask", one.mask), ("weighed", one.sample_weight != "absent")}


def _classes(one: TrainingConfiguration) -> set[Any]:
    """What classes are weighed beside, of what, and how the loss is given and reduced."""
    beside = ("beside", one.mask)
    return {beside, ("pooled", one.pooled), *one.arguments.items(), ("given as", one.given_as)}


_COVERED: dict[str, Callable[[TrainingConfiguration], set[Any]]] = {
    "class_weights": _classes,
    "compiled_alike": _masks,
    "saved_training": _arguments,
    "epochs_and_validation": _validations,
}
_FEW = {"compiled_alike": 1}  # which compiles each by XLA
_FEWEST, _MOST = 2, 6  # configurations of these where all are thinned out, and where not


def _covering(
    found: list[TrainingConfiguration],
    property: Property,
    values: Callable[[TrainingConfiguration], set[Any]],
) -> list[TrainingConfiguration]:
    """The fewest configurations that have each value, those that have most of them first."""
    left = [one for one in found if property.applies(plain_training_case(one))]
    met: set[Any] = set()
    kept = []
    while left:
        best = max(left, key=lambda one: len(values(one) - met))
        if not values(best) - met:
            break
        kept.append(best)
        left.remove(best)
        met |= values(best)
    return kept


def training_traits(case: TrainingCase) -> frozenset[str]:
    """The traits of a case: those of its batches, and what stands at masked steps."""
    found: set[str] = set()
    for batch in case.batches:
        found |= batch_traits(batch) if case.mask != "absent" else batch_traits(batch) & _SIZES
    first = case.batches[0]
    fewer = _fewer_axes(case)
    # In a loop of one's own they are given an axis; where steps are gone they need none.
    rows = case.sample_weight == "rows" and not case.pooled and case.way != "mask as weights"
    values, setting = case.lead(0), TrainingSetting(case)
    places = range(len(case.batches))
    counts = [[one.counts(place) for place in places] for one in (setting, *setting.beside)]
    named = {
        "no_mask": case.mask == "absent",
        "travelling_mask": case.mask in ("travelling", "masking"),
        "several_batches": len(case.batches) > 1,
        "lengths_differ": len({batch.max_len for batch in case.batches}) > 1,
        "row_weights": rows,
        "step_weights": case.sample_weight == "steps",
        "batch_equals_units": first.batch == case.units > 1,
        "max_len_equals_units": first.max_len == case.units > 1,
        "batch_equals_inner": case.inner == first.batch > 1,
        "weights_of_fewer_axes": fewer,
        "fewer_axes_fit_behind": fewer and all(map(_fit_behind(case), _sizes(case))),
        "fewer_axes_alike": fewer and all(map(_alike(case), _sizes(case))),
        "steps_appended": case.inserted > 0,
        "single_position": values == (1,) * len(values),
        "nothing_counts": not all(one.any() for each in counts for one in each),
        "half_counts_nothing": first.batch > 1
        and any(
            not half.any()
            for each in counts
            for half in np.array_split(each[0], [first.batch // 2])
        ),
        "pooled": case.pooled,
        "several_outputs": bool(case.beside),
        "penalty": case.penalty,
        "twin": case.twin,
        "weights_by_name": _weighed_by_name(case),
        "cast": case.policy != "float32",
        "infinite_padding": case.other in ("inf", "-inf"),
        "nan_padding": case.other == "nan",
        "largest_padding": case.other == "largest",
    }
    return frozenset(found | {name for name, holds in named.items() if holds})


def _weighed_by_name(case: TrainingCase) -> bool:
    """Whether `compile` or a step is given weights of samples in a dict."""
    weighed = any(
        one.sample_weight != "absent" or one.mask == "weights" for one in (case, *case.beside)
    )
    by_hand = case.way in ("custom loop", "mask as weights")
    return bool(case.beside) and case.nest != "list" and weighed and not by_hand


def _fewer_axes(case: TrainingCase) -> bool:
    """Whether a mask or a sample weight has fewer axes than what it weighs: positions."""
    entry = measure_of(case.measure)
    axes = len(case.lead(0))
    if case.pooled or case.way == "mask as weights":
        return False
    weighs = entry.kind == "losses" or case.weighted
    return bool(
        (case.mask != "absent" and (case.mask != "weights" or weighs) and axes > 2)
        or (weighs and case.sample_weight == "steps" and axes > 2)
        or (weighs and case.sample_weight == "rows")
    )


def _sizes(case: TrainingCase) -> list[tuple[int, int]]:
    """Rows and steps of each batch, and of the first one with the steps that are appended to it."""
    sizes = [(batch.batch, batch.max_len) for batch in case.batches]
    first = case.batches[0]
    return [*sizes, (first.batch, first.max_len + case.inserted)] if case.inserted else sizes


def _fit_behind(case: TrainingCase) -> Callable[[tuple[int, int]], bool]:
    """Whether what has fewer axes than a loss could be broadcast to it, last axes side by side."""

    def fit(size: tuple[int, int]) -> bool:
        rows, steps = size
        if not case.inner:
            return rows == steps or 1 in size
        return (steps in (1, case.inner)) and (rows == steps or 1 in size)

    return fit


def _alike(case: TrainingCase) -> Callable[[tuple[int, int]], bool]:
    """Whether that weighs what it would weigh with first axes side by side."""

    def alike(size: tuple[int, int]) -> bool:
        return size == (1, 1) if case.inner else size[0] == 1

    return alike


def training_facts(case: TrainingCase, device: str, mode: str) -> frozenset[str]:
    """What a region may speak of: traits, and `name=value` of arguments, ways and execution."""
    entry = measure_of(case.measure)
    found = set(training_traits(case))
    for name, values in entry.domains.items():
        found.add(f"{name}={case.arguments.get(name, values[0])}")
    found |= {
        f"measure={case.measure}",
        f"kind={entry.kind}",
        f"labels={entry.labels}",
        f"reduction={case.reduction}",
        f"given_as={case.given_as}",
        f"loss_weights={case.loss_weights}",
        f"nest={case.nest}",
        f"mask={case.mask}",
        f"sample_weight={case.sample_weight}",
        f"weighted={case.weighted}",
        f"way={case.way}",
        f"units={case.units}",
        f"inner={case.inner}",
        f"policy={case.policy}",
        f"varied={case.varied}",
        f"labels_hold={case.labels_hold}",
        f"device={device}",
        f"mode={mode}",
    }
    if case.other is not None:
        found.add(f"content={case.other}")
    return frozenset(found)


def simpler_training(case: TrainingCase) -> Iterator[TrainingCase]:
    """The cases that are one step simpler."""
    replace = msgspec.structs.replace
    yield from _simpler_configurations(case)
    if len(case.batches) > 1:
        yield replace(case, batches=case.batches[:1])
        yield replace(case, batches=case.batches[1:])
    if case.labels_hold != "zeros" and case.other != "zeros":
        yield replace(case, labels_hold="zeros")
    if case.weights_hold != "ones" and case.other != "ones":
        yield replace(case, weights_hold="ones")
    if case.other not in (None, "ones"):
        yield replace(case, other="ones")
    if case.inserted > 1:
        yield replace(case, inserted=1)
    if case.beside:
        yield from _fewer_rows(case)
    for place, batch in enumerate(case.batches):
        for simpler in _simpler_batch(batch):
            if case.beside and simpler.batch != batch.batch:
                continue  # rows are those of every output
            if simpler.content != case.other:
                batches = (*case.batches[:place], simpler, *case.batches[place + 1 :])
                yield replace(case, batches=batches)
    if case.weights:
        yield replace(case, weights=0)


def _simpler_configurations(case: TrainingCase) -> Iterator[TrainingCase]:
    """The same batches, with less around them."""
    replace = msgspec.structs.replace
    entry = measure_of(case.measure)
    for name in case.arguments:
        rest = {key: value for key, value in case.arguments.items() if key != name}
        if case.arguments[name] is not None:
            yield replace(case, arguments=rest)
    if case.given_as != "object" and not entry.plain:
        yield replace(case, given_as="object")
    yield from _simpler_outputs(case)
    if case.policy != "float32":
        yield replace(case, policy="float32")
    if case.penalty:
        yield replace(case, penalty=False)
    if case.twin:
        yield replace(case, twin=False)
    if case.sample_weight != "absent" and case.varied != "weights":
        yield replace(case, sample_weight="absent")
    if case.inner:
        yield replace(case, inner=0)
    if case.pooled and case.sample_weight != "rows" and entry.stepped:
        yield replace(case, pooled=False)
    if case.way in ("compute_loss", "mask as weights") and not entry.plain:
        yield replace(case, way="custom loop")
    if case.way in _CALLED:
        yield replace(case, way="test step" if entry.kind == "metrics" else "train step")
    if case.units > min(entry.units):
        yield replace(case, units=min(entry.units))


def _simpler_outputs(case: TrainingCase) -> Iterator[TrainingCase]:
    """The case with fewer outputs, or with less said of them."""
    replace = msgspec.structs.replace
    for place in range(len(case.beside)):
        fewer = (*case.beside[:place], *case.beside[place + 1 :])
        yield replace(case, beside=fewer, turned=False, nest="list", loss_weights=())
    if case.loss_weights:
        yield replace(case, loss_weights=())
    if case.turned:
        yield replace(case, turned=False)
    if case.nest != "list":
        yield replace(case, nest="list")
    if case.nest == "dict outputs":
        yield replace(case, nest="dict")
    for place, other in enumerate(case.beside):
        if other.sample_weight != "absent":
            changed = replace(other, sample_weight="absent")
            yield replace(case, beside=(*case.beside[:place], changed, *case.beside[place + 1 :]))


def _fewer_rows(case: TrainingCase) -> Iterator[TrainingCase]:
    """The case with the first or the last row of each batch, in every output."""
    replace = msgspec.structs.replace
    for keep in (slice(0, 1), slice(-1, None)):

        def kept(one: TrainingCase, keep: slice = keep) -> TrainingCase:
            batches = tuple(replace(batch, mask=batch.mask[keep]) for batch in one.batches)
            return replace(one, batches=batches, beside=tuple(map(kept, one.beside)))

        if any(batch.batch > 1 for batch in case.batches):
            yield kept(case)


def _simpler_batch(batch: RaggedBatch) -> Iterator[RaggedBatch]:
    replace = msgspec.structs.replace
    rows = range(batch.batch)
    if batch.batch > 1:
        half = batch.batch // 2
        for kept in (rows[:half], rows[half:], *([r for r in rows if r != out] for out in rows)):
            yield replace(batch, mask=tuple(batch.mask[row] for row in kept))
    if batch.max_len > 1:
        yield replace(batch, mask=tuple(row[: len(row) // 2] for row in batch.mask))
        yield replace(batch, mask=tuple(row[1:] for row in batch.mask))
        yield replace(batch, mask=tuple(row[:-1] for row in batch.mask))
    if batch.content != "zeros":
        yield replace(batch, content="zeros")
    if batch.seed:
        yield replace(batch, seed=0)
