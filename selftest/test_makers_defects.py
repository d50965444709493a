"""Planted defects in layers that make, distribute and receive masks, and layers that have none.

Installed layers depart from their contracts themselves, so that defects are planted in layers
that keep them, written here: what these do is nowhere new, which shows that it can be done.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from packaging.version import Version

from catalogue.layers import LAYER_ENTRIES
from execution.implementation import Implementation
from execution.running import Execution, Runner
from properties.cells import Cell, Profile
from properties.running import CellRunner
from properties.test_conformance import PROPERTIES
from reports.ledger import Ledger

Twist = Callable[..., Any]


# -- layers that keep their contracts --------------------------------------------------------


def _masking(
    keras: Any, tf: Any, *, made: Twist | None = None, joined: Twist | None = None
) -> type:
    """Masking; `made` and `joined` may twist the mask that it makes, and what becomes of two."""

    class Masking(keras.layers.Masking):  # type: ignore[misc]
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self._compute_output_and_mask_jointly = False

        def call(self, inputs: Any) -> Any:
            return tf.identity(inputs)

        def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
            value = tf.constant(self.mask_value, inputs.dtype)
            if made is not None:
                found = made(inputs, value)
            else:
                # Inputs may have been float32 before they were cast to what the layer computes in.
                narrow = tf.cast(tf.constant(self.mask_value, "float32"), inputs.dtype)
                apart = (inputs != value) & (inputs != narrow)
                found = tf.reduce_any(apart, axis=list(range(2, inputs.shape.rank)))
            if mask is None:
                return found
            return found & mask if joined is None else joined(found, mask)

    return Masking


def _embedding(
    keras: Any, tf: Any, *, made: Twist | None = None, rows: Twist | None = None
) -> type:
    """Embedding; `made` may twist its mask and `rows` its output."""

    class Embedding(keras.layers.Embedding):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            output = super().call(inputs)
            return output if rows is None else rows(output)

        def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
            if not self.mask_zero:
                return mask
            found = tf.not_equal(inputs, 0) if made is None else made(inputs)
            return found if mask is None else found & mask

    return Embedding


def _distributed(
    keras: Any,
    tf: Any,
    *,
    sliced: Twist | None = None,
    reduced: Twist | None = None,
    outgoing: Twist | None = None,
    result: Twist | None = None,
) -> type:
    """TimeDistributed by reshaping; what may be twisted: masks of slices, mask and output."""

    class TimeDistributed(keras.layers.TimeDistributed):  # type: ignore[misc]
        def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            flat = self._flat(inputs)
            kwargs: dict[str, Any] = {}
            # Only layers that know masks are given those of their slices.
            knows = any(hasattr(self.layer, one) for one in ("return_sequences", "layer", "layers"))
            if mask is not None and mask.shape.rank == 3 and knows:
                kwargs["mask"] = self._flat(mask) if sliced is None else sliced(self._flat(mask))
            output = self.layer(flat, **kwargs)
            parts = [tf.shape(inputs)[:2], tf.shape(output)[1:]]
            whole = tf.reshape(output, tf.concat(parts, axis=0))
            whole.set_shape([*inputs.shape[:2], *output.shape[1:]])
            return whole if result is None else result(whole, mask)

        def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
            if getattr(self.layer, "mask_zero", False) or hasattr(self.layer, "mask_value"):
                made = self.layer.compute_mask(self._flat(inputs), None)
                return tf.reshape(made, tf.shape(inputs)[:3])
            if mask is None:
                return None
            if mask.shape.rank == 3 and _takes_steps_away(self.layer):
                mask = (reduced or tf.reduce_any)(mask, axis=2)
            return mask if outgoing is None else outgoing(mask)

        def _flat(self, x: Any) -> Any:
            flat = tf.reshape(x, tf.concat([[-1], tf.shape(x)[2:]], axis=0))
            flat.set_shape([None, *x.shape[2:]])
            return flat

    return TimeDistributed


def _takes_steps_away(layer: Any) -> bool:
    """Whether a slice of steps becomes one without steps, be it in the last layer of a model."""
    last = layer.layers[-1] if hasattr(layer, "layers") else layer
    return type(last).__name__.startswith("Global") or not getattr(last, "return_sequences", True)


def _beside(base: Any, tf: Any, twist: Twist | None = None) -> type:
    """The custom layer, given its inputs' mask whatever comes besides, unless that is twisted."""

    class NotingBeside(base):  # type: ignore[misc]
        def __call__(self, inputs: Any, context: Any = None, mask: Any = None, **rest: Any) -> Any:
            if mask is None:
                mask = getattr(inputs, "_keras_mask", None)
                if twist is not None:
                    mask = twist(mask, context, rest)
            return super().__call__(inputs, context=context, mask=mask, **rest)

    return NotingBeside


def _listed(base: Any, tf: Any, twist: Twist) -> type:
    """The custom layer that is given a list, its masks twisted."""

    class NotingList(base):  # type: ignore[misc]
        def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            mask = None if mask is None else twist(list(mask))
            return super().call(inputs, training=training, mask=mask)

    return NotingList


def _named(base: Any, tf: Any) -> type:
    """The custom layer with names, which takes the value's mask for that of the key too."""

    class NotingNamed(base):  # type: ignore[misc]
        def call(
            self,
            query: Any,
            value: Any,
            key: Any = None,
            query_mask: Any = None,
            value_mask: Any = None,
            key_mask: Any = None,
        ) -> Any:
            return super().call(query, value, key, query_mask, value_mask, value_mask)

    return NotingNamed


def _named_by_query(base: Any, tf: Any) -> type:
    """The custom layer with names, which takes no mask of another tensor than the query."""

    class NotingNamed(base):  # type: ignore[misc]
        def __call__(self, *tensors: Any, query_mask: Any = None, **rest: Any) -> Any:
            given = {name: one for name, one in rest.items() if not name.endswith("_mask")}
            return super().__call__(*tensors, query_mask=query_mask, **given)

    return NotingNamed


# -- defects ---------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Planted:
    """A defect of a class, seen in the cell of an entry and a property."""

    name: str
    entry: str
    property: str
    make: Callable[[Any, Any, Implementation], type]


DEFECTS = [
    Planted(
        "masks steps of which any feature equals the value",
        "Masking",
        "passage",
        lambda keras, tf, found: _masking(
            keras,
            tf,
            made=lambda x, value: tf.reduce_all(x != value, axis=list(range(2, x.shape.rank))),
        ),
    ),
    Planted(
        "looks at the first feature alone",
        "Masking",
        "passage",
        lambda keras, tf, found: _masking(
            keras,
            tf,
            made=lambda x, value: tf.reshape(x, [*_rows(tf, x), -1])[:, :, 0] != value,
        ),
    ),
    Planted(
        "takes zero for the value",
        "Masking",
        "passage",
        lambda keras, tf, found: _masking(
            keras,
            tf,
            made=lambda x, value: tf.reduce_any(x != 0, axis=list(range(2, x.shape.rank))),
        ),
    ),
    Planted(
        "forgets the mask that came in",
        "Masking(masked tensor)",
        "passage",
        lambda keras, tf, found: _masking(keras, tf, joined=lambda made, mask: made),
    ),
    Planted(
        "joins masks by OR",
        "Masking(masked tensor)",
        "passage",
        lambda keras, tf, found: _masking(keras, tf, joined=lambda made, mask: made | mask),
    ),
    Planted(
        "masks the token 1 too",
        "Embedding",
        "passage",
        lambda keras, tf, found: _embedding(keras, tf, made=lambda x: x > 1),
    ),
    Planted(
        "reduces the mask of nested tokens",
        "Embedding",
        "passage",
        lambda keras, tf, found: _embedding(
            keras, tf, made=lambda x: tf.reduce_any(x != 0, axis=2) if x.shape.rank > 2 else x != 0
        ),
    ),
    Planted(
        "looks at the last byte of a token",
        "Embedding",
        "passage",
        lambda keras, tf, found: _embedding(
            keras, tf, made=lambda x: tf.cast(x, "int32") % 256 != 0
        ),
    ),
    Planted(
        "finds no padding among tokens that are floats",
        "Embedding",
        "passage",
        lambda keras, tf, found: _embedding(
            keras, tf, made=lambda x: tf.ones_like(x, "bool") if x.dtype.is_floating else x != 0
        ),
    ),
    Planted(
        "takes the row of another step",
        "Embedding",
        "layer_truth",
        lambda keras, tf, found: _embedding(keras, tf, rows=lambda y: tf.roll(y, 1, axis=1)),
    ),
    Planted(
        "gives slices no mask",
        "TimeDistributed(LSTM)",
        "layer_truth",
        lambda keras, tf, found: _distributed(keras, tf, sliced=tf.ones_like),
    ),
    Planted(
        "shifts the masks of slices by a slice",
        "TimeDistributed(LSTM)",
        "layer_truth",
        lambda keras, tf, found: _distributed(
            keras, tf, sliced=lambda mask: tf.roll(mask, 1, axis=0)
        ),
    ),
    Planted(
        "gives slices no mask that a model takes",
        "TimeDistributed(model)",
        "layer_truth",
        lambda keras, tf, found: _distributed(keras, tf, sliced=tf.ones_like),
    ),
    Planted(
        "asks for all inner steps to be valid",
        "TimeDistributed(LSTM)",
        "passage",
        lambda keras, tf, found: _distributed(keras, tf, reduced=tf.reduce_all),
    ),
    Planted(
        "turns the mask of outer steps around",
        "TimeDistributed(LSTM) outer mask",
        "passage",
        lambda keras, tf, found: _distributed(
            keras, tf, outgoing=lambda mask: tf.reverse(mask, [1])
        ),
    ),
    Planted(
        "leaks masked outer steps",
        "TimeDistributed(Flatten)",
        "layer_isolation",
        lambda keras, tf, found: _distributed(
            keras, tf, result=lambda y, mask: y + 1e-5 * tf.reduce_mean(y, axis=1, keepdims=True)
        ),
    ),
    Planted(
        "takes all steps for valid in training",
        "NotingBeside",
        "layer_delivery",
        lambda keras, tf, found: _beside(
            found.layer_class("NotingBeside"),
            tf,
            lambda mask, context, rest: (
                mask if mask is None or not rest.get("training") else tf.ones_like(mask)
            ),
        ),
    ),
    Planted(
        "takes the mask of the context",
        "NotingBeside",
        "layer_delivery",
        lambda keras, tf, found: _beside(
            found.layer_class("NotingBeside"),
            tf,
            lambda mask, context, rest: getattr(context, "_keras_mask", mask),
        ),
    ),
    Planted(
        "drops the mask beside one of single elements",
        "NotingBeside",
        "layer_delivery",
        lambda keras, tf, found: _beside(
            found.layer_class("NotingBeside"),
            tf,
            lambda mask, context, rest: None if "attention_mask" in rest else mask,
        ),
    ),
    Planted(
        "hands masks over in the wrong order",
        "NotingList",
        "layer_delivery",
        lambda keras, tf, found: _listed(
            found.layer_class("NotingList"), tf, lambda masks: masks[::-1]
        ),
    ),
    Planted(
        "hands over no mask where one is missing",
        "NotingList",
        "layer_delivery",
        lambda keras, tf, found: _listed(
            found.layer_class("NotingList"),
            tf,
            lambda masks: (
                [None] * len(masks) if None in [m if m is None else 1 for m in masks] else masks
            ),
        ),
    ),
    Planted(
        "takes the value's mask for the key's",
        "NotingNamed",
        "layer_delivery",
        lambda keras, tf, found: _named(found.layer_class("NotingNamed"), tf),
    ),
    Planted(
        "takes no given mask but the query's",
        "NotingNamed",
        "layer_delivery",
        lambda keras, tf, found: _named_by_query(found.layer_class("NotingNamed"), tf),
    ),
]

HEALTHY: list[tuple[str, Callable[[Any, Any, Implementation], type], tuple[str, ...]]] = [
    ("Masking", lambda keras, tf, found: _masking(keras, tf), ("passage", "layer_truth")),
    ("Masking(masked tensor)", lambda keras, tf, found: _masking(keras, tf), ("passage",)),
    ("Embedding(masked tokens)", lambda keras, tf, found: _embedding(keras, tf), ("passage",)),
    *(
        (name, lambda keras, tf, found: _distributed(keras, tf), ("passage", "layer_truth"))
        for name in (
            "TimeDistributed(LSTM)",
            "TimeDistributed(LSTM) outer mask",
            "TimeDistributed(TimeDistributed)",
            "TimeDistributed(Flatten)",
            "TimeDistributed(model)",
            "TimeDistributed(Masking)",
            "TimeDistributed(Embedding)",
        )
    ),
    (
        "NotingBeside",
        lambda keras, tf, found: _beside(found.layer_class("NotingBeside"), tf),
        ("layer_delivery",),
    ),
]  # fmt: skip


def _rows(tf: Any, x: Any) -> list[Any]:
    shape = tf.shape(x)
    return [shape[0], shape[1]]


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_planted_defect_is_seen(defect: Planted, seed: int, found: Implementation) -> None:
    """Masks of the wrong values, axes, order, tensors or slices: new, by the property named."""
    if not has(found, defect.entry):
        pytest.skip(f"{defect.entry} came with Keras {LAYER_ENTRIES[defect.entry].since}")
    assert outcomes(found, defect.entry, defect.make, (defect.property,), seed) == ["new"]


@pytest.mark.parametrize(("entry", "make", "properties"), HEALTHY, ids=[one[0] for one in HEALTHY])
def test_layers_that_keep_their_contracts_are_not_seen(
    entry: str,
    make: Callable[[Any, Any, Implementation], type],
    properties: tuple[str, ...],
    found: Implementation,
) -> None:
    """What the contracts ask for can be done: nothing is new."""
    assert set(outcomes(found, entry, make, properties, 1)) == {"holds"}


def has(found: Implementation, entry: str) -> bool:
    """Whether the installed version has the entry's layer."""
    return Version(found.installed.keras) >= Version(LAYER_ENTRIES[entry].since or "0")


def outcomes(
    found: Implementation,
    entry: str,
    make: Callable[[Any, Any, Implementation], type],
    properties: Iterable[str],
    seed: int,
) -> list[str]:
    """The outcome of each cell with the class that is made planted, and an empty ledger."""
    planted_class = make(found.keras, found.tensorflow, found)
    planted = Implementation(found.installed, {LAYER_ENTRIES[entry].layer: planted_class})
    execution = Execution("cpu:0", "graph")
    runner, profile = Runner(planted, execution), Profile("standard", examples=1)
    outcomes = []
    for property in properties:
        assert PROPERTIES[property].of(entry)
        cell = Cell(property, entry, execution)
        running = CellRunner(cell, runner, Ledger(()), profile, seed, explain=False)
        outcomes.append(running.run()["outcome"])
    return outcomes
