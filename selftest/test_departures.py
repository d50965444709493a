"""A known departure is excused as the ledger says it, and another one in its region is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from catalogue.layer_cases import LayerCase, Tensor
from catalogue.specs import Spec
from execution.implementation import Implementation
from execution.running import Runner
from properties.alternatives import Seen, happens_instead
from properties.comparisons import mismatches
from properties.families import FAMILIES
from properties.test_conformance import PROPERTIES
from reports.ledger import Ledger
from selftest.planting import EXECUTION

Plant = Callable[[type, Any], type]


@dataclasses.dataclass(frozen=True)
class Known:
    """A case in which an entry's departure shows, and a defect that is planted beside it."""

    entry: str
    property: str
    case: LayerCase
    plant: Plant


def twice_the_output(base: type, tf: Any) -> type:
    """The layer's own outputs, the first of them doubled."""

    class Doubled(base):  # type: ignore[misc, valid-type]
        def call(self, *args: Any, **kwargs: Any) -> Any:
            found = super().call(*args, **kwargs)
            return [2 * found[0], *found[1:]] if isinstance(found, list | tuple) else 2 * found

    return Doubled


def turned_mask(base: type, tf: Any) -> type:
    """The mask that goes out is another one: its steps are moved by two."""

    class Turned(base):  # type: ignore[misc, valid-type]
        def compute_mask(self, inputs: Any, mask: Any = None, **kwargs: Any) -> Any:
            return tf.roll(super().compute_mask(inputs, mask), 2, axis=1)

    return Turned


def mask_of_one_alone(base: type, tf: Any) -> type:
    """A step is valid where it is so in one of two tensors and not in the other."""

    class OfOne(base):  # type: ignore[misc, valid-type]
        def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
            return tf.math.logical_xor(*mask)

    return OfOne


def opposite_mask(base: type, tf: Any) -> type:
    """What is masked is valid, and the other way round."""

    class Opposite(base):  # type: ignore[misc, valid-type]
        def call(self, inputs: Any) -> Any:
            output = super().call(inputs)
            output._keras_mask = ~output._keras_mask
            return output

    return Opposite


def of(layer: str, *tensors: Tensor, **fields: Any) -> LayerCase:
    """A case of a layer."""
    arguments = fields.pop("arguments", {})
    return LayerCase(Spec(layer, arguments), tensors, **fields)


def tensor(*mask: str, **fields: Any) -> Tensor:
    """A tensor of these rows, of one feature."""
    return Tensor(mask, **{"rest": (1,), **fields})


_TWO = (tensor("110"), tensor("011", seed=1))
_BLIND = (tensor("11", masked=False), tensor("00", seed=1))
_HEADS = {"num_heads": 2, "key_dim": 2}
_BACKWARDS = {"filters": 2, "kernel_size": 1, "go_backwards": True, "return_sequences": True}

KNOWN = (
    Known("merging-masks-are-joined-by-or", "passage", of("Add", *_TWO), mask_of_one_alone),
    Known("concatenate-joins-masks-by-or", "passage", of("Concatenate", *_TWO), mask_of_one_alone),
    Known(
        "merging-broadcasts-masks-of-nested-features",
        "layer_truth",
        of("Multiply", *[tensor("10", rest=(2, 3), seed=seed) for seed in (0, 1)]),
        twice_the_output,
    ),
    Known(
        "softmax-takes-steps-for-features",
        "layer_truth",
        of("Softmax", tensor("10", "11", rest=(2,))),
        twice_the_output,
    ),
    Known(
        "time-distributed-maps-over-the-batch",
        "layer_truth",
        of(
            "TimeDistributed",
            tensor("111", "110", rest=(2,)),
            arguments={"layer": Spec("Dense", {"units": 3})},
        ),
        twice_the_output,
    ),
    Known(
        "group-normalization-counts-padding",
        "layer_truth",
        of("GroupNormalization", tensor("110", rest=(2,)), arguments={"groups": 1}),
        twice_the_output,
    ),
    Known(
        "attention-to-no-value-is-to-padding",
        "layer_isolation",
        of("Attention", *_BLIND, other="ones"),
        twice_the_output,
    ),
    Known(
        "heads-attend-to-padding-where-there-is-nothing-else",
        "layer_isolation",
        of("MultiHeadAttention", *_BLIND, other="ones", arguments=_HEADS),
        twice_the_output,
    ),
    *(
        Known(
            "masks-of-rows-act-on-heads",
            "layer_truth",
            of(
                "MultiHeadAttention",
                tensor("11", "11", masked=False),
                tensor("10", "01", seed=1),
                arguments=_HEADS,
                element=24,
                heads=heads,
            ),
            twice_the_output,
        )
        for heads in (1, 2)
    ),
    # Of which one is given in both roles: it has other steps and features than the other.
    Known(
        "masks-of-rows-act-on-heads",
        "shared_tensors",
        of(
            "MultiHeadAttention",
            tensor("11", "10"),
            tensor("100", "010", rest=(2,), seed=1),
            arguments=_HEADS,
            element=24,
            heads=1,
        ),
        twice_the_output,
    ),
    # A single tensor is given in both roles, with something else of its own in each.
    Known(
        "heads-take-masks-off-the-tensors-of-their-caller",
        "no_trace",
        of("MultiHeadAttention", tensor("0", content="ones", seed=237), arguments=_HEADS),
        twice_the_output,
    ),
    Known(
        "merging-broadcasts-masks-of-nested-features",
        "layer_truth",
        of("Multiply", *[tensor("10", rest=(2, last), seed=last) for last in (3, 1, 1)]),
        twice_the_output,
    ),
    Known(
        "masking-masks-parts-of-steps",
        "passage",
        of("Masking", tensor("10", rest=(2, 2)), form="made"),
        opposite_mask,
    ),
    Known(
        "masks-of-reversed-sequences-are-not-reversed",
        "passage",
        of("ConvLSTM1D", tensor("110", rest=(3, 2)), arguments=_BACKWARDS),
        turned_mask,
    ),
    Known(
        "a-single-row-of-a-mask-is-broadcast",
        "wrong_mask_refused",
        of("GlobalAveragePooling1D", tensor("10", "11"), form="explicit"),
        twice_the_output,
    ),
)


def excused(implementation: Implementation, ledger: Ledger, known: Known) -> list[bool]:
    """For each departure in a case whether its entry, or another, excuses it."""
    runner = Runner(implementation, EXECUTION)
    case, layer = known.case, known.case.name
    plan = PROPERTIES[known.property].function(case)
    results = runner.run(plan.steps)
    facts = FAMILIES["layers"].facts(case, EXECUTION.device, EXECUTION.mode)
    found = [
        any(
            happens_instead(entry.instead, case, Seen(one, plan, results), runner, True)
            for entry in ledger.excuses(known.property, layer, one.comparison.name, one.kind, facts)
        )
        for one in mismatches(plan, results)
    ]
    runner.forget()
    return found


@pytest.mark.parametrize(
    "known",
    KNOWN,
    ids=lambda one: f"{one.entry}, {one.property}{one.case.heads or len(one.case.tensors)}",
)
def test_another_departure_in_a_known_region_is_new(
    known: Known, found: Implementation, ledger: Ledger
) -> None:
    """As it is the case is excused; with a defect beside what is known it is not."""
    if not any(entry.id == known.entry for entry in ledger):
        pytest.skip(f"{found.installed} does not depart so")
    as_it_is = excused(found, ledger, known)
    assert as_it_is and all(as_it_is)
    name = known.case.spec.layer
    defective = known.plant(found.layer_class(name), found.tensorflow)
    planted = Implementation(found.installed, {name: defective})
    assert not all(excused(planted, ledger, known))


def test_arrays_of_a_case_are_what_the_defects_need() -> None:
    """The masks of the merged tensors overlap, and are not one another's opposite."""
    first, second = (one.valid for one in _TWO)
    assert np.any(first & second) and np.any(first ^ second)
