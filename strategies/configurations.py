"""Configurations: which arguments and call forms meet, in full or in pairs."""

from __future__ import annotations

import collections
import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from catalogue.cases import CallForm, MaskForm
from catalogue.chance import seeded
from catalogue.recurrent import FLAGS, RecurrentEntry, call_form
from catalogue.specs import Argument, Spec

__all__ = ["Configuration", "configurations", "covered_pairs", "spread"]

# GPUs, and Keras 2 in graphs, have a kernel of their own for the arguments that users rarely
# change: every third configuration of these layers has all of them at their defaults.
_WITH_KERNEL, _PLAIN = ("LSTM", "GRU"), 3
_SIZES = ("units", "cells")
_DROPOUTS = ("dropout", "recurrent_dropout")
_UNROLLED_LENGTHS = (3, 2, 1)
_STATEFUL_BATCHES = (3, 1, 66)
# Where chance has a part, half of the layers that give both a sequence and its states drop states:
# one call then tells whether they were held.
_DROPPED = {"training": True, "recurrent_dropout": 0.4}


class Configuration(msgspec.Struct, frozen=True):
    """All of a case but its ragged batch and the seed of its weights.

    `batch` and `max_len` are given where the layer must know them beforehand: a stateful
    layer its batch size, an unrolled one its number of steps. `chosen` holds the value that
    was taken from each domain.
    """

    spec: Spec
    features: int
    form: CallForm
    dtype: str
    policy: str
    batch: int | None = None
    max_len: int | None = None
    chosen: dict[str, Any] = {}


def spread(
    fixed: Sequence[Mapping[str, Any]], domains: Mapping[str, Sequence[Any]], *, seed: int
) -> list[dict[str, Any]]:
    """Complete each of the `fixed` assignments so that pairs of values meet early.

    `fixed` may leave other domains open in each row. Greedy: each row takes, domain by domain,
    the value that makes most pairs meet which have not met yet. The first row has the first
    value of every domain, the documented defaults.
    """
    if not fixed:
        raise ValueError("fixed=[] must hold at least one assignment")
    rng = random.Random(seed)
    names = list(domains)
    met: set[tuple[str, int, str, int]] = set()
    used: collections.Counter[tuple[str, int]] = collections.Counter()
    assignments: list[dict[str, Any]] = []
    for row, given in enumerate(fixed):
        chosen = {name: list(domains[name]).index(value) for name, value in given.items()}
        order = [name for name in names if name not in given]
        if row:
            rng.shuffle(order)
        for column in order:

            def gain(
                value: int, column: str = column, chosen: dict[str, int] = chosen
            ) -> tuple[int, int, float]:
                new = sum(_pair(column, value, c, v) not in met for c, v in chosen.items())
                return new, -used[column, value], rng.random()

            chosen[column] = 0 if not row else max(range(len(domains[column])), key=gain)
        for (c1, v1), (c2, v2) in itertools.combinations(chosen.items(), 2):
            met.add(_pair(c1, v1, c2, v2))
        used.update(chosen.items())
        assignments.append({name: domains[name][chosen[name]] for name in names})
    return assignments


def _pair(c1: str, v1: int, c2: str, v2: int) -> tuple[str, int, str, int]:
    return (c1, v1, c2, v2) if c1 < c2 else (c2, v2, c1, v1)


def covered_pairs(
    assignments: Sequence[Mapping[str, Any]], domains: Mapping[str, Sequence[Any]]
) -> tuple[int, int]:
    """How many pairs of values of two domains meet in some assignment, and of how many.

    A value that stands in a domain several times, to be drawn more often, counts once.
    """
    sizes = {name: len(set(map(repr, values))) for name, values in domains.items()}
    total = sum(
        sizes[first] * sizes[second] for first, second in itertools.combinations(domains, 2)
    )
    met = {
        (first, repr(row[first]), second, repr(row[second]))
        for row in assignments
        for first, second in itertools.combinations(domains, 2)
    }
    return len(met), total


# Masks of numbers where nothing else is asked for but one thing: each cell meets them.
_OF_NUMBERS = {"return_sequences": "int32", "return_state": "float32"}


def configurations(
    entry: RecurrentEntry,
    *,
    keras_major: int,
    seed: int = 0,
    keep: Callable[[MaskForm], bool] = lambda form: True,
    chance: bool = False,
) -> list[Configuration]:
    """The configurations of a layer: its flags crossed in full, all else spread over them.

    `keep` says which forms of the mask a property speaks of; others give way to these, and
    all else stays, so that properties share layers and traces. `seed` varies what meets
    what. With `chance` layers drop something in training too, by a seed where there is one (in
    Keras 3). The plainest configuration comes first.
    """
    domains: dict[str, Sequence[Any]] = dict.fromkeys(FLAGS, (False, True))
    domains |= entry.domains(keras_major)
    kept = [form for form in domains["mask_form"] if keep(form[0])]
    if not kept:
        raise ValueError(f"no form in which a mask reaches {entry.name} is kept")
    plain = {name: values[0] for name, values in entry.paired.items() if name not in _SIZES}
    often = _PLAIN if entry.name in _WITH_KERNEL else 2 ** len(FLAGS)
    crossed: list[dict[str, Any]] = [
        {**dict(zip(FLAGS, flags, strict=True)), **(plain if row % often == 0 else {})}
        for row, flags in enumerate(itertools.product((False, True), repeat=len(FLAGS)))
    ]
    for flags in crossed:
        asked = [name for name in FLAGS if flags[name]]
        form = ("explicit", _OF_NUMBERS.get(asked[0], ""), False) if len(asked) == 1 else None
        if form in domains["mask_form"]:
            flags["mask_form"] = form
    if chance and "recurrent_dropout" in domains:
        for row, flags in enumerate(crossed):
            gives_both = flags["return_sequences"] and flags["return_state"]
            if gives_both and row % often and sum(map(bool, flags.values())) % 2:
                flags.update(_DROPPED)
    found: list[Configuration] = []
    # Sizes in turn, for each kind of layer by itself: flags must not go with sizes.
    batches, lengths = itertools.cycle(_STATEFUL_BATCHES), itertools.cycle(_UNROLLED_LENGTHS)
    for row, chosen in enumerate(spread(crossed, domains, seed=seed)):
        if not keep(chosen["mask_form"][0]):
            # Explicit ones first, so that properties which drop other forms meet the same.
            given = [form for form in kept if form[0] == "explicit"] or kept
            chosen["mask_form"] = given[row % len(given)]
        # NumPy makes either of whole numbers.
        if chosen["mask_form"][1] == "int32" and row % 2 and "mask_form" not in crossed[row]:
            chosen["mask_form"] = ("explicit", "int64", False)
        if chosen["training"] and not chance:  # what a layer drops then is random
            chosen |= {name: 0.0 for name in _DROPOUTS if name in chosen}
        layer: dict[str, Argument] = {
            name: True for name in (*FLAGS, "time_major") if chosen.get(name)
        }
        # Without the kernel for GPUs the layer is the same.
        if entry.name in _WITH_KERNEL and keras_major > 2 and row % 4 == 1:
            layer["use_cudnn"] = False
        cell = {
            name: chosen[name]
            for name, values in entry.paired.items()
            if name in _SIZES or chosen[name] != values[0]
        }
        dtype, policy = chosen["dtypes"]
        spec = entry.make(cell, layer)
        if chosen["training"] and keras_major > 2:
            spec = seeded(spec)
        found.append(
            Configuration(
                spec,
                chosen["features"],
                call_form(chosen),
                dtype,
                policy,
                next(batches) if layer.get("stateful") else None,
                next(lengths) if layer.get("unroll") else None,
                chosen,
            )
        )
    return found
