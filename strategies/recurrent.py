"""Cases of recurrent layers: a configuration, a ragged batch and what a property chooses."""

from __future__ import annotations

import functools
import itertools

from hypothesis import strategies as st

from catalogue.cases import FINITE_CONTENTS, Content, RecurrentCase
from strategies.configurations import Configuration
from strategies.ragged import kinds_for, masks, ragged_batches

__all__ = ["recurrent_cases", "recurrent_examples"]

_SEEDS = st.integers(0, 2**16 - 1)


@functools.cache  # a strategy that is there already has been validated
def _sampled(contents: tuple[Content, ...]) -> st.SearchStrategy[Content]:
    return st.sampled_from(contents)


@st.composite
def recurrent_cases(
    draw: st.DrawFn,
    *,
    configuration: Configuration,
    kind: str = "mixed",
    choices: tuple[str, ...] = (),
) -> RecurrentCase:
    """Cases of one configuration, with a ragged batch of one kind.

    `choices` names what is drawn besides: `other` (a second content), `order` (which row
    comes where; rows may come twice or not at all), `inserted` (where padding goes in),
    `chunks` (how the sequence is cut), `travelling` (a second mask). Shrinks towards small
    batches and the seed 0.
    """
    unknown = set(choices) - {"other", "order", "inserted", "chunks", "travelling"}
    if unknown:
        raise ValueError(f"choices={choices!r} names {sorted(unknown)[0]!r}, which is not drawn")
    form = configuration.form
    if kind not in kinds_for(batch=configuration.batch, max_len=configuration.max_len):
        kind = "mixed"
    contents = _sampled(form.contents)
    batch = draw(
        ragged_batches(
            kind=kind if form.masked else "all valid",
            features=configuration.features,
            batch=configuration.batch,
            max_len=configuration.max_len,
            contents=contents,
        )
    )
    chosen: dict[str, object] = {}
    if "other" in choices and len(form.contents) > 1:
        others = tuple(one for one in form.contents if one != batch.content)
        # Every second one is infinite or NaN: what is multiplied by zero shows with these alone.
        telling = tuple(one for one in others if one not in FINITE_CONTENTS)
        chosen["other"] = draw(
            _sampled(others) | _sampled(telling or others), label="other content"
        )
    if "order" in choices:
        rows = st.integers(0, batch.batch - 1)
        fixed = configuration.batch is not None
        most = batch.batch if fixed else min(batch.batch, 6)
        order = st.permutations(range(batch.batch)) | st.lists(
            rows, min_size=most if fixed else 1, max_size=most
        )
        chosen["order"] = tuple(draw(order, label="order"))
    if "inserted" in choices:
        gaps = draw(st.lists(st.integers(0, batch.max_len), min_size=1, max_size=3), label="gaps")
        # Each goes into a gap between steps; its position counts those before it.
        chosen["inserted"] = tuple(gap + before for before, gap in enumerate(sorted(gaps)))
    if "chunks" in choices:
        cuts = draw(st.sets(st.integers(1, max(1, batch.max_len - 1)), max_size=3), label="cuts")
        bridged = _bridged(batch.mask, bool(configuration.spec.get("go_backwards")))
        if bridged:
            cuts.add(draw(st.sampled_from(bridged), label="bridged cut"))
        edges = [0, *sorted(cut for cut in cuts if cut < batch.max_len), batch.max_len]
        chosen["chunks"] = tuple(b - a for a, b in itertools.pairwise(edges))
    if "travelling" in choices:
        chosen["travelling"] = draw(masks(batch=batch.batch, max_len=batch.max_len))
    return RecurrentCase(
        spec=configuration.spec,
        batch=batch,
        features=configuration.features,
        form=form,
        weights=draw(_SEEDS, label="weights"),
        dtype=configuration.dtype,
        policy=configuration.policy,
        **chosen,  # type: ignore[arg-type]
    )


def _bridged(rows: tuple[str, ...], backwards: bool) -> list[int]:
    """Where a cut lies that a state must outlive: behind a masked step, between valid ones."""
    found = {
        len(row) - cut if backwards else cut
        for row in rows
        for way in [row[::-1] if backwards else row]
        for cut in range(2, len(row))
        if way[cut - 1] == "0" and "1" in way[:cut] and "1" in way[cut:]
    }
    return sorted(found)


def recurrent_examples(
    *, configuration: Configuration, kinds: tuple[str, ...], choices: tuple[str, ...] = ()
) -> st.SearchStrategy[tuple[RecurrentCase, ...]]:
    """What is drawn once in a cell: a case of one configuration for each of `kinds`."""
    return st.tuples(
        *(
            recurrent_cases(configuration=configuration, kind=kind, choices=choices)
            for kind in kinds
        )
    )
