"""Families of cells: which layers, which strata are met, and what makes a case simpler."""

from __future__ import annotations

import collections
import dataclasses
import random
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import msgspec
from packaging.version import Version

from catalogue import broadcasting as broadcast
from catalogue import traits as recurrent_traits
from catalogue.cases import CallForm, RaggedBatch, RecurrentCase
from catalogue.chains import ChainCase
from catalogue.chance import left_to_chance
from catalogue.layer_cases import LayerCase
from catalogue.layers import LAYER_ENTRIES
from catalogue.recurrent import FLAGS, LAYERS
from catalogue.specs import Spec
from catalogue.training import MEASURES, OUTPUTS, measure_of
from catalogue.training_cases import TrainingCase
from catalogue.ways import WAYS
from execution.devices import instructions
from properties.broadcast_family import product_strata, simpler_product
from properties.chain_family import (
    CHAINS,
    chain_facts,
    chain_strata,
    chain_traits,
    simpler_chain,
)
from properties.layer_family import layer_facts, layer_strata, layer_traits, simpler_layer
from properties.registry import Property
from properties.strata import THINNED, Strata, Stratum, domains_of
from properties.training_family import (
    simpler_training,
    training_facts,
    training_strata,
    training_traits,
)
from strategies.configurations import configurations
from strategies.ragged import kinds_for
from strategies.recurrent import recurrent_examples
from strategies.training import REDUCTIONS_SINCE

__all__ = ["FAMILIES", "Family"]

_FEWEST, _FEWEST_OF_ALL = 8, 6  # configurations that thinning leaves, where all are thinned out
# What holds of layers of one cell in full is looked at there.
_DEAR = {"RNN(stacked cells)": 4, "RNN": 2}
_BATCHES = 3  # ragged batches for each configuration that is drawn


@dataclasses.dataclass(frozen=True)
class Family:
    """Everything that the runner must know of one kind of case.

    `strata` gives, for a property, a layer, Keras' major version, a mode and a seed, what
    the cell meets. `simpler` gives the cases that are one step simpler than a failing one.
    `of_batch` says whether a fact is drawn with the batch, and not given by a stratum.
    `versions` gives the first version of Keras that has a layer, and the first that has it no
    more, empty where there is none; `values` the first version that takes a value of an argument.
    `explored` are modes that only `nightly` has. Where examples are `structures` of their own, and
    not batches for one, the plainest is always met.
    """

    name: str
    layers: tuple[str, ...]
    modes: tuple[str, ...]
    case_type: type
    strata: Callable[[Property, str, int, str, int], Strata]
    traits: Callable[[Any], frozenset[str]]
    facts_of_case: Callable[[Any, str, str], frozenset[str]]
    simpler: Callable[[Any], Iterator[Any]]
    of_batch: Callable[[str], bool]
    versions: Callable[[str], tuple[str, str]] = lambda layer: ("", "")
    explored: tuple[str, ...] = ()
    values: Mapping[tuple[str, Any], str] = dataclasses.field(default_factory=dict)
    structures: bool = False

    def facts(
        self, case: Any, device: str, mode: str, having: Collection[str] | None = None
    ) -> frozenset[str]:
        """What a region may speak of: facts of the case, and the instructions that a CPU has.

        Those of this one, or those that are given.
        """
        found = self.facts_of_case(case, device, mode)
        if not device.startswith("cpu"):
            return found
        return found.union(f"cpu={one}" for one in (instructions() if having is None else having))

    def has(self, layer: str, keras: str) -> bool:
        """Whether this version of Keras has the layer."""
        if layer not in self.layers:
            return False
        since, until = self.versions(layer)
        at = Version(keras).release
        too_old = bool(since) and at < Version(since).release
        too_new = bool(until) and at >= Version(until).release
        return not too_old and not too_new

    def takes(self, chosen: Mapping[str, Any], keras: str) -> bool:
        """Whether this version of Keras knows the values that arguments have."""
        at = Version(keras).release
        return all(
            chosen.get(name) != value or at >= Version(since).release
            for (name, value), since in self.values.items()
        )


# -- recurrent layers ------------------------------------------------------------------------


def _recurrent_strata(
    property: Property, layer: str, keras_major: int, mode: str, seed: int
) -> Strata:
    entry = LAYERS[layer]

    def keep(mask_form: str) -> bool:
        probe = _Probe(Spec(layer), CallForm(mask=mask_form))  # type: ignore[arg-type]
        return bool(property.applies(probe) or property.applies(probe.with_all_flags()))

    chance = property.chance == "any" or (property.chance == "seeded" and keras_major > 2)
    found = configurations(entry, keras_major=keras_major, seed=seed, keep=keep, chance=chance)
    found = [configuration for configuration in found if property.applies(configuration)]
    domains = domains_of([one.chosen for one in found])
    found = _share(property, layer, found, seed)
    rng = random.Random(f"{property.name} {layer} {seed}")
    strata = []
    used: collections.Counter[str] = collections.Counter()
    plainest, others = found[:1], found[1:]
    rng.shuffle(others)  # else what needs many flags at once is always met last
    for place, configuration in enumerate([*plainest, *others]):
        kinds = kinds_for(batch=configuration.batch, max_len=configuration.max_len)
        if property.dear:  # long sequences take a second each, eagerly
            kinds = tuple(kind for kind in kinds if kind != "long")
        count = 1 if property.dear else _BATCHES
        # The property's own, then those least met so far: every cell meets every kind, whatever is
        # thinned out.
        met = sorted(kinds, key=lambda kind: (kind not in property.kinds, used[kind], rng.random()))
        chosen = tuple(met[:count])
        used.update(chosen)
        strata.append(
            Stratum(
                f"{place}: {configuration.spec!r}",
                recurrent_examples(
                    configuration=configuration, kinds=chosen, choices=property.choices
                ),
                configuration.chosen,
            )
        )
    return Strata(tuple(strata), domains)


class _Probe:
    """What `applies` may look at before anything is drawn: a layer's flags and a call form."""

    policy = "float32"

    def __init__(self, spec: Spec, form: CallForm) -> None:
        self.spec, self.form = spec, form

    def with_all_flags(self) -> _Probe:
        return _Probe(self.spec.replace(**dict.fromkeys(FLAGS, True)), self.form)


def _share(property: Property, layer: str, found: list[Any], seed: int) -> list[Any]:
    """The configurations that a property meets of a layer.

    Where all are thinned out, as in `quick`, all properties go by the same ones, so that they share
    traces. Of these each meets others: together they meet more than any one of them.
    """
    share, dear = property.share, _DEAR.get(layer, 1)
    fewest = _FEWEST_OF_ALL if property.thinned else _FEWEST
    if share % THINNED == 0:
        found = _thinned(found, THINNED * dear, seed)
        share, dear = share // THINNED, 1
    salted = zlib.crc32(property.name.encode()) if share > 1 else 0
    return _thinned(found, share * dear, seed + salted, fewest)


def _thinned(found: list[Any], share: int, seed: int, fewest: int = _FEWEST) -> list[Any]:
    """Every `share`-th configuration, such that each pair of flags is still met."""
    if share == 1 or len(found) <= share:
        return found
    rng = random.Random(seed)
    wanted = max(fewest, len(found) // share)
    pool = list(found)
    kept: list[Any] = []
    met: set[Any] = set()
    rng.shuffle(pool)
    while pool and len(kept) < wanted:
        best = max(pool, key=lambda configuration: len(_flag_pairs(configuration) - met))
        pool.remove(best)
        kept.append(best)
        met |= _flag_pairs(best)
    return [configuration for configuration in found if configuration in kept]


def _flag_pairs(configuration: Any) -> set[Any]:
    values: list[tuple[str, Any]] = [(flag, bool(configuration.spec.get(flag))) for flag in FLAGS]
    form = configuration.form
    values.append(("mask", f"{form.mask} {form.mask_dtype} {form.positional}"))
    values.append(("states", form.initial_state in ("keyword", "positional")))
    values.append(("dtype", configuration.dtype + configuration.policy))
    values.append(("cudnn", recurrent_traits.suits_cudnn(configuration.spec)))
    if left_to_chance(configuration):
        values.append(("chance", True))
    return {(a, b) for place, a in enumerate(values) for b in values[:place]}


def _simpler_recurrent(case: RecurrentCase) -> Iterator[RecurrentCase]:
    replace = msgspec.structs.replace
    # First the layer and its call, then the batch: few names before few numbers.
    for name in case.spec.arguments:
        if name in ("units", "cell"):
            continue
        yield replace(case, spec=case.spec.without(name))
    cell = case.spec.get("cell")
    if isinstance(cell, tuple):
        for place in range(len(cell)):
            if len(cell) > 1:
                fewer = (*cell[:place], *cell[place + 1 :])
                yield replace(case, spec=case.spec.replace(cell=fewer))
        for place, inner in enumerate(cell):
            assert isinstance(inner, Spec)  # numbers are axes, of other layers
            for simpler in _simpler_cells(inner):
                cells = (*cell[:place], simpler, *cell[place + 1 :])
                yield replace(case, spec=case.spec.replace(cell=cells))
    elif isinstance(cell, Spec):
        for simpler in _simpler_cells(cell):
            yield replace(case, spec=case.spec.replace(cell=simpler))
    elif case.spec.get("units") != 1:
        yield replace(case, spec=case.spec.replace(units=1))
    yield from (
        replace(case, form=form)
        for form in _simpler_forms(case.form)
        if {case.batch.content, case.other or "zeros"} <= set(form.contents)
    )
    if case.policy != "float32" or case.dtype != "float32":
        yield replace(case, policy="float32", dtype="float32")
        yield replace(case, policy="float32")
        yield replace(case, dtype="float32")
    if case.features > 1:
        yield replace(case, features=1)
    yield from _simpler_batches(case)


def _simpler_cells(cell: Spec) -> Iterator[Spec]:
    for name in cell.arguments:
        if name != "units":
            yield cell.without(name)
    if cell.get("units") != 1:
        yield cell.replace(units=1)


def _simpler_forms(form: CallForm) -> Iterator[CallForm]:
    replace = msgspec.structs.replace
    if form.training is not None:
        yield replace(form, training=None)
    if form.initial_state != "absent":
        yield replace(form, initial_state="absent")
    if form.initial_state == "positional":
        yield replace(form, initial_state="keyword")
    if form.mask_dtype != "bool":
        yield replace(form, mask_dtype="bool")
    if form.positional:
        yield replace(form, positional=False)
    if form.mask not in ("explicit", "masking"):
        yield replace(form, mask="masking")
    if form.mask != "explicit":
        yield replace(form, mask="explicit")


def _simpler_batches(case: RecurrentCase) -> Iterator[RecurrentCase]:
    replace = msgspec.structs.replace
    batch = case.batch
    rows = range(batch.batch)
    if batch.batch > 1:
        half = batch.batch // 2
        for kept in (rows[:half], rows[half:], *([r for r in rows if r != out] for out in rows)):
            yield _restricted(case, list(kept))
    if batch.max_len > 1 and not case.chunks and not case.inserted:
        for cut in (
            lambda row: row[: len(row) // 2],
            lambda row: row[1:],
            lambda row: row[:-1],
        ):
            travelling = tuple(map(cut, case.travelling))
            shorter = replace(batch, mask=tuple(map(cut, batch.mask)))
            yield replace(case, batch=shorter, travelling=travelling)
    if batch.content != "zeros" and case.other != "zeros":
        yield replace(case, batch=replace(batch, content="zeros"))
    if case.other not in (None, "ones") and batch.content != "ones":
        yield replace(case, other="ones")
    for seed in ("seed", "weights"):
        holder: Any = batch if seed == "seed" else case
        if getattr(holder, seed):
            smaller = replace(holder, **{seed: 0})
            yield replace(case, batch=smaller) if seed == "seed" else smaller


def _restricted(case: RecurrentCase, kept: list[int]) -> RecurrentCase:
    """The case with some rows only; rows that an order named and that are gone leave it."""
    place = {row: new for new, row in enumerate(kept)}
    order = tuple(place[row] for row in case.order if row in place)
    if case.order and (not order or case.spec.get("stateful")):
        order = tuple(range(len(kept)))[::-1]
    return msgspec.structs.replace(
        case,
        batch=RaggedBatch(
            tuple(case.batch.mask[row] for row in kept), case.batch.content, case.batch.seed
        ),
        order=order,
        travelling=tuple(case.travelling[row] for row in kept) if case.travelling else (),
    )


_TRAINING_BATCH = recurrent_traits.OF_BATCH | {
    "lengths_differ",
    "batch_equals_units",
    "max_len_equals_units",
    "batch_equals_inner",
    "single_position",
    "nothing_counts",
    "half_counts_nothing",
    "fewer_axes_fit_behind",
    "fewer_axes_alike",
}
_TRAINING_CONTENTS = ("content=", "varied=", "labels_hold=")
_LAYER_BATCH = recurrent_traits.OF_BATCH | {
    "masks_differ",
    "key_and_value_masks_differ",
    "nothing_to_attend_to",
    "as_many_rows_as_heads",
}

FAMILIES: dict[str, Family] = {
    "recurrent": Family(
        "recurrent",
        tuple(LAYERS),
        ("graph",),  # eager calls are compared with graphs by a property of their own
        RecurrentCase,
        _recurrent_strata,
        recurrent_traits.traits,
        lambda case, device, mode: recurrent_traits.facts(case, device=device, mode=mode),
        _simpler_recurrent,
        lambda fact: fact in recurrent_traits.OF_BATCH or fact.startswith("content="),
    ),
    "layers": Family(
        "layers",
        tuple(LAYER_ENTRIES),
        ("graph",),
        LayerCase,
        layer_strata,
        layer_traits,
        layer_facts,
        simpler_layer,
        lambda fact: fact in _LAYER_BATCH or fact.startswith("content="),
        lambda layer: (LAYER_ENTRIES[layer].since, LAYER_ENTRIES[layer].until),
    ),
    "chains": Family(
        "chains",
        CHAINS,
        ("graph",),
        ChainCase,
        chain_strata,
        chain_traits,
        chain_facts,
        simpler_chain,
        lambda fact: True,
        structures=True,
    ),
    "training": Family(
        "training",
        (*MEASURES, *OUTPUTS),
        ("graph",),
        TrainingCase,
        training_strata,
        training_traits,
        training_facts,
        simpler_training,
        lambda fact: fact in _TRAINING_BATCH or fact.startswith(_TRAINING_CONTENTS),
        lambda measure: (measure_of(measure).since, measure_of(measure).until),
        values=REDUCTIONS_SINCE,
    ),
    "broadcasting": Family(
        "broadcasting",
        broadcast.LAYERS,
        ("eager", "graph"),
        broadcast.BroadcastCase,
        product_strata,
        broadcast.traits,
        lambda case, device, mode: broadcast.facts(case, device=device, mode=mode),
        simpler_product,
        lambda fact: True,
        lambda way: (WAYS[way].since, ""),
        explored=("xla",),  # compiled for each shape: where there is time
    ),
}
