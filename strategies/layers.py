"""Cases of layers that are given sequences: configurations in pairs, ragged batches for each."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st

from catalogue.attention_reference import number_of_heads
from catalogue.cases import CONTENTS, Content, MaskDtype
from catalogue.layer_cases import Features, LayerCase, LayerEntry, Tensor, TensorMask
from catalogue.specs import Spec
from strategies.configurations import spread
from strategies.ragged import KINDS, MOST_ROWS, mask_rows, masks, ragged_batches

__all__ = [
    "AS_MANY_AS_HEADS",
    "LayerConfiguration",
    "kinds_in_turn",
    "layer_cases",
    "layer_configurations",
    "layer_examples",
    "plain_case",
]

AS_MANY_AS_HEADS = "as many rows as heads"
"""A kind of batches of layers that have heads."""

_FEWEST = 10  # configurations of a layer
_MOST_UNROLLED = 6  # steps: a trace of each
# How masks reach a layer: seldom not at all.
_FORMS: tuple[TensorMask, ...] = ("travelling", "travelling", "travelling", "absent")
_FORMS_OF_BOTH: tuple[TensorMask, ...] = (
    "travelling",
    "explicit",
    "travelling",
    "explicit",
    "absent",
)
_BEGUN = "gaps behind the first step"
"""A kind of batches of layers that attend, of which each valid step has something to attend to, and
some have a masked step before them: what masks do is not hidden by what is left without any."""
_ORDINARY: tuple[Content, ...] = ("zeros", "ones", "tenth", "noise")
_FINITE, _ANY_CONTENT = st.sampled_from(_ORDINARY), st.sampled_from(CONTENTS)
_SEEDS = st.integers(0, 2**16 - 1)
# Kinds of batches whose rows have masks of their own, of any number of rows and steps.
_FEWEST_UNEVEN = 3  # steps
_UNEVEN = ("right", "left", "gaps", "mixed", "fully masked row")
# Pairs of the inputs' dtype and the layer's dtype policy: equal ones, then casts.
_DTYPES = (
    ("float32", "float32"),
    ("float64", "float64"),
    ("float32", "float32"),  # once more: where a cast loses the mask, nothing else is seen
    ("float64", "float32"),
    ("float32", "mixed_float16"),
    ("float32", "float64"),
)


class LayerConfiguration(msgspec.Struct, frozen=True):
    """All of a case but its ragged batches and seeds; `chosen` as in `Configuration`."""

    spec: Spec
    count: int
    rest: tuple[int, ...]
    same_steps: bool
    masked: str
    form: TensorMask
    arguments: dict[str, bool]
    training: bool | None
    dtype: str
    policy: str
    chosen: dict[str, Any]
    features: Features = "alike"
    longest: int = 0
    fold: int = 0
    mask_dtype: MaskDtype = "bool"
    keywords: bool = False
    element: bool = False
    shared: bool = False
    heads: int = 0
    static: bool = False
    entry: str = ""
    most_steps: int = 0
    least: int = 1
    multiple: int = 1


def layer_configurations(
    entry: LayerEntry, *, seed: int = 0, most: int | None = None
) -> list[LayerConfiguration]:
    """Configurations that meet the pairs of all domains of an entry early; the plainest first.

    Every third one is of what an entry wants `together`, until all of that is met.
    """
    domains: dict[str, Sequence[Any]] = {
        **entry.domains,
        **{f"call {name}": values for name, values in entry.call_domains.items()},
        **({} if entry.sequences.patterns else {"count": entry.sequences.counts}),
        "rest": entry.sequences.rests,
        **_ways_of_masks(entry),
        "training": entry.trainings,
        "dtypes": _DTYPES,
        "static": (True,) if entry.sequences.known else entry.statics,
        "fold": entry.sequences.folds,
        "features": entry.sequences.features,
        "single": entry.sequences.single,
        "mask_dtype": entry.mask_dtypes,
        "keywords": (False, True) if entry.parameters else (False,),
        "element": _elements(entry),
    }
    longest = sorted(map(len, domains.values()))[-2:]
    rows = most or min(entry.most, max(_FEWEST, math.prod(longest)))
    found = []
    fixed: list[dict[str, Any]] = [{} for _ in range(rows)]
    for row, wanted in zip(range(2, rows, 3), entry.together, strict=False):
        fixed[row] = dict(wanted)
    for chosen in spread(fixed, domains, seed=seed):
        form, masked = chosen["masks"] if "masks" in chosen else (chosen["form"], chosen["masked"])
        count = len(masked) if "masks" in chosen else chosen["count"]
        given = {
            name: chosen[name]
            for name, values in entry.domains.items()
            if chosen[name] != values[0]
        }
        spec = entry.complete(Spec(entry.layer, dict(entry.fixed)).replace(**given))
        inner = (chosen["fold"],) if chosen["fold"] else ()
        shapes = [(2, 3, *inner, *chosen["rest"])] * count
        if not entry.applies(spec, shapes):
            continue
        dtype, policy = chosen["dtypes"]
        found.append(
            LayerConfiguration(
                spec=spec,
                count=count,
                rest=chosen["rest"],
                same_steps=entry.sequences.same_steps,
                masked=masked,
                form=form,
                arguments={name: True for name in entry.call_domains if chosen[f"call {name}"]},
                training=chosen["training"],
                dtype=dtype,
                policy=policy,
                chosen=chosen,
                features=chosen["features"],
                fold=chosen["fold"],
                mask_dtype=chosen["mask_dtype"] if form == "explicit" else "bool",
                keywords=chosen["keywords"],
                element=bool(chosen["element"]),
                shared=chosen["element"] == "shared",
                heads=_heads(entry, spec, chosen["element"]),
                static=chosen["static"] or entry.unrolled(spec),
                entry="" if entry.layer == entry.name else entry.name,
                longest=0 if chosen["single"] else entry.sequences.longest,
                most_steps=_most_steps(entry, spec, single=chosen["single"]),
                least=entry.sequences.least,
                multiple=entry.sequences.multiple,
            )
        )
    return found


def _elements(entry: LayerEntry) -> tuple[Any, ...]:
    """Whether there is a mask of single elements, for each row or `shared`, or with heads.

    An axis of heads stands `for all` of them or `for each`: seldom, for beside other masks it is
    refused where rows are not as many as heads, and nothing else is seen.
    """
    if not entry.element:
        return (False,)
    plain = (False, True, "shared")
    return (*plain, *plain[:2], "for all", "for each") if entry.heads else plain


def _heads(entry: LayerEntry, spec: Spec, element: Any) -> int:
    """The size of the axis of heads of a mask of single elements, 0 where it has none."""
    heads = spec.get(entry.heads)
    if element not in ("for all", "for each") or not isinstance(heads, int):
        return 0
    return heads if element == "for each" else 1


def _most_steps(entry: LayerEntry, spec: Spec, *, single: bool) -> int:
    """To how many steps rows are cut, 0 where they are not."""
    if single:
        return 1
    return _MOST_UNROLLED if entry.unrolled(spec) else entry.sequences.most_steps


def _ways_of_masks(entry: LayerEntry) -> dict[str, Sequence[Any]]:
    """Which tensors have a mask, and how it reaches the layer.

    Where roles tell tensors apart, one domain of both: every pattern is to be met.
    """
    several = max(entry.sequences.counts) > 1
    patterns = entry.sequences.patterns
    if not patterns:
        return {
            "form": _forms(entry),
            "masked": entry.sequences.masked if several else ("all",),
        }
    forms = [form for form in ("explicit", "travelling") if form in _forms(entry)]
    ways = [(form, one) for one in patterns for form in (forms[:1] if entry.given else forms[::-1])]
    unmasked = [next(one for one in patterns if len(one) == count) for count in (2, 3)]
    return {"masks": (*ways, *(("absent", one) for one in unmasked))}


def _forms(entry: LayerEntry) -> tuple[TensorMask, ...]:
    """How masks reach a layer."""
    if entry.made:
        return ("made",)
    return _FORMS_OF_BOTH if entry.explicit else _FORMS


@st.composite
def layer_cases(
    draw: st.DrawFn,
    *,
    configuration: LayerConfiguration,
    kind: str = "mixed",
    choices: tuple[str, ...] = (),
    batch: int | None = None,
) -> LayerCase:
    """Cases of one configuration, the first tensor's batch of one of `KINDS`.

    With `batch` it has so many rows, and those of other tensors have some steps, so that few of
    them are alike; padding is ordinary, for what is huge hides the rest of its row. So it is of
    `_BEGUN`, where the first step of each row is valid, and a later one of the first row is masked.

    `choices` may name `other`, a second content of masked steps, and `finite`: contents such
    that no sum of them overflows. Shrinks towards small batches and the seed 0.
    """
    begun = kind == _BEGUN
    ordinary = "finite" in choices or batch is not None or begun
    contents = _FINITE if ordinary else _ANY_CONTENT
    features = configuration.rest[-1] if configuration.rest else 1
    kind = "gaps" if begun else kind
    max_len = draw(st.integers(_FEWEST_UNEVEN, 6), label="steps") if begun else None
    first = draw(
        ragged_batches(
            kind=kind, features=features, contents=contents, batch=batch, max_len=max_len
        )
    )
    if configuration.most_steps:
        short = tuple(row[: configuration.most_steps] for row in first.mask)
        first = msgspec.structs.replace(first, mask=short)
    longest = configuration.longest if kind == "long" else 0
    whole = tuple(_over_again(row, configuration, longest) for row in first.mask)
    wanted = _masked(configuration.masked, configuration.count)
    tensors: list[Tensor] = []
    # Of three or more tensors that meet, all have the same mask as often as not: one draw for each
    # would nearly always make some differ. A key's mask beside that of its value is to differ.
    meet = configuration.count > 2 and configuration.same_steps
    alike = meet and draw(st.booleans(), label="all the same mask")
    for place in range(configuration.count):
        # Without a shared number of steps a key has those of its value.
        model = tensors[1].mask if place > 1 and not configuration.same_steps else whole
        rows = model
        # Without masks a query and its value can be told apart by their lengths alone; and one of a
        # single step from its value by these too.
        single = configuration.most_steps == 1
        unlike = configuration.form == "absent" or single
        unmasked = place == 1 and not configuration.same_steps and unlike
        # Of two tensors that meet, most masks differ: one in two of these has no mask anyway.
        often = 3 if configuration.count == 2 and configuration.same_steps else 1
        same = alike or (place > 0 and draw(st.integers(0, often), label="other mask") == 0)
        same = same and batch is None
        if place and (unmasked or not same):
            steps = len(model[0])
            if place == 1 and not configuration.same_steps:
                fewest = 1 + single if batch is None and not begun else _FEWEST_UNEVEN
                steps = draw(st.integers(fewest, 6), label="steps")
            least = 0 if batch is None else 1
            rows = draw(masks(batch=first.batch, max_len=steps, min_len=least))
        if begun:
            rows = ("101" + rows[0][3:], *("1" + row[1:] for row in rows[1:]))
        if configuration.fold:
            rows = draw(_nested_rows(rows, configuration.fold))
        tensors.append(
            Tensor(
                rows,
                _rest(configuration, place),
                wanted[place],
                first.content if wanted[place] else "zeros",
                first.seed + place,
                configuration.fold,
            )
        )
    other = None
    if "other" in choices:
        other = draw(contents.filter(lambda one: one != first.content), label="other content")
    return LayerCase(
        spec=configuration.spec,
        tensors=tuple(tensors),
        weights=draw(_SEEDS, label="weights"),
        other=other,
        element=draw(_SEEDS, label="element mask") if configuration.element else None,
        **_call_of(configuration),
    )


def _call_of(configuration: LayerConfiguration) -> dict[str, Any]:
    """The fields of a case that say how the layer is called."""
    return {
        "form": configuration.form,
        "arguments": configuration.arguments,
        "training": configuration.training,
        "dtype": configuration.dtype,
        "policy": configuration.policy,
        "mask_dtype": configuration.mask_dtype,
        "shared": configuration.shared,
        "heads": configuration.heads,
        "keywords": configuration.keywords,
        "static": configuration.static,
        "entry": configuration.entry,
    }


def _over_again(row: str, configuration: LayerConfiguration, longest: int = 0) -> str:
    """A row that is over and over itself, until it has as many steps as the layer needs.

    One that is to be the `longest` has so many at least.
    """
    once = row * (configuration.multiple // math.gcd(configuration.multiple, len(row)))
    return once * -(-max(configuration.least, longest) // len(once))


def _nested_rows(rows: tuple[str, ...], fold: int) -> st.SearchStrategy[tuple[str, ...]]:
    """Rows of nested steps: a valid outer step has a valid inner one, a masked one has none.

    A tall batch repeats its few rows, nested ones too.
    """
    few = tuple(dict.fromkeys(rows)) if len(rows) > MOST_ROWS else rows
    valid = "".join(few).count("1")
    inner = mask_rows(max_len=fold, min_len=1)

    def whole(steps: list[str]) -> tuple[str, ...]:
        drawn = iter(steps)
        nested = [
            "".join(next(drawn) if step == "1" else "0" * fold for step in row) for row in few
        ]
        if few is rows:
            return tuple(nested)
        by_row = dict(zip(few, nested, strict=True))
        return tuple(by_row[row] for row in rows)

    return st.lists(inner, min_size=valid, max_size=valid).map(whole)


def layer_examples(
    *,
    configuration: LayerConfiguration,
    kinds: tuple[str, ...],
    choices: tuple[str, ...] = (),
) -> st.SearchStrategy[tuple[LayerCase, ...]]:
    """What is drawn once in a cell: a case of one configuration for each of `kinds`.

    Where a mask has an axis of heads all but the last have as many rows as there are heads, and
    rows that differ: an axis that is taken for the other is silent there, and refused elsewhere.
    Without one, layers that attend are given one of `_BEGUN` besides.
    `AS_MANY_AS_HEADS` is a kind of its own: where sizes are known, a mask of rows may be taken for
    one of heads.
    """
    rows = number_of_heads(configuration.spec)
    attends = configuration.spec.layer.endswith("Attention") and configuration.form != "absent"
    if attends and configuration.most_steps != 1 and not configuration.heads:
        kinds = (*kinds, _BEGUN)
    cases = []
    for place, one in enumerate(kinds):
        of_heads = bool(configuration.heads) and place < max(1, len(kinds) - 1)
        alike = of_heads or one == AS_MANY_AS_HEADS
        kind = "mixed" if one == AS_MANY_AS_HEADS or (of_heads and one not in _UNEVEN) else one
        cases.append(
            layer_cases(
                configuration=configuration,
                kind=kind,
                choices=choices,
                batch=rows if alike else None,
            )
        )
    return st.tuples(*cases)


def plain_case(configuration: LayerConfiguration) -> LayerCase:
    """A case of a configuration, of a batch of two rows: what can be said before any is drawn."""
    return LayerCase(
        spec=configuration.spec,
        tensors=tuple(
            Tensor(
                tuple(
                    _over_again(row, configuration) * max(1, configuration.fold)
                    for row in ("11", "10")
                ),
                _rest(configuration, place),
                masked,
                fold=configuration.fold,
            )
            for place, masked in enumerate(_masked(configuration.masked, configuration.count))
        ),
        element=0 if configuration.element else None,
        **_call_of(configuration),
    )


def _rest(configuration: LayerConfiguration, place: int) -> tuple[int, ...]:
    """What stands behind the steps of a tensor."""
    if configuration.features == "alike" or not place:
        return configuration.rest
    *places, features = configuration.rest
    return (*places, features + place if configuration.features == "own" else 1)


def _masked(which: str, count: int) -> list[bool]:
    """Which of so many tensors have a mask."""
    if set(which) <= set("m-"):
        return [one == "m" for one in which]
    return {
        "all": [True] * count,
        "first": [True] + [False] * (count - 1),
        "last": [False] * (count - 1) + [True],
        "none": [False] * count,
    }[which]


def kinds_in_turn(count: int, each: int, rng: random.Random) -> list[tuple[str, ...]]:
    """For each of `count` configurations `each` kinds of batches, all kinds equally often."""
    pool: list[str] = []
    turns = []
    for _ in range(count):
        if len(pool) < each:
            pool += rng.sample(KINDS, len(KINDS))
        turns.append(tuple(pool[:each]))
        del pool[:each]
    return turns
