"""Layers that are given sequences: what is drawn, and that planted defects are seen."""

from __future__ import annotations

import collections
import dataclasses
import random
from collections.abc import Callable
from typing import Any

import pytest

from catalogue.layer_cases import LayerCase, Tensor
from catalogue.layers import LAYER_ENTRIES
from catalogue.specs import Spec
from execution.implementation import Implementation
from properties.families import FAMILIES
from properties.layer_family import layer_traits, simpler_layer
from properties.test_conformance import PROPERTIES
from reports.ledger import Ledger
from selftest.helpers import find_any, minimal
from selftest.planting import outcome_of
from strategies.configurations import covered_pairs
from strategies.layers import (
    kinds_in_turn,
    layer_cases,
    layer_configurations,
    plain_case,
)
from strategies.ragged import KINDS

Overridden = Callable[[Any, Any], type]


# -- what is drawn ---------------------------------------------------------------------------


@pytest.mark.parametrize("layer", LAYER_ENTRIES)
def test_configurations_begin_with_the_plainest_and_meet_most_pairs(layer: str) -> None:
    """All defaults first; then at least six in ten pairs of values in sixteen configurations."""
    found = layer_configurations(LAYER_ENTRIES[layer])
    entry = LAYER_ENTRIES[layer]
    assert found[0].spec == Spec(entry.layer, dict(entry.fixed))
    domains = {name: [one.chosen[name] for one in found] for name in found[0].chosen}
    met, total = covered_pairs([one.chosen for one in found], domains)
    assert met >= 0.6 * total


def test_a_case_shrinks_to_one_masked_step() -> None:
    """The smallest case is one row of one masked step that holds a zero."""
    plain = layer_configurations(LAYER_ENTRIES["Dense"])[0]
    case = minimal(layer_cases(configuration=plain))
    assert case == LayerCase(plain.spec, (Tensor(("0",), plain.rest),))


def test_several_tensors_have_equal_and_different_masks() -> None:
    """Both are drawn, and a key has as many steps as its value."""
    plain = layer_configurations(LAYER_ENTRIES["Add"])[0]
    strategy = layer_cases(configuration=plain)
    for wanted in (True, False):
        find_any(
            strategy, lambda case, wanted=wanted: ("masks_differ" in layer_traits(case)) == wanted
        )
    three = next(one for one in layer_configurations(LAYER_ENTRIES["Attention"]) if one.count == 3)
    case = find_any(
        layer_cases(configuration=three),
        lambda case: len({len(tensor.mask[0]) for tensor in case.tensors}) == 2,
    )
    assert len(case.tensors[1].mask[0]) == len(case.tensors[2].mask[0])


def test_a_key_with_another_mask_than_its_value_is_told_apart() -> None:
    """The query's mask does not matter there, nor does a key that has none, or is none."""
    query, value, key = Tensor(("10",)), Tensor(("11",)), Tensor(("11",))
    other, free = Tensor(("10",)), Tensor(("11",), masked=False)
    for tensors, differ in (
        ((query, value, key), False),
        ((query, value, other), True),
        ((query, free, other), True),
        ((query, other, free), False),
        ((query, value), False),
    ):
        case = LayerCase(Spec("Attention"), tensors)
        assert ("key_and_value_masks_differ" in layer_traits(case)) == differ


def test_all_kinds_of_batches_take_turns() -> None:
    """Sixteen configurations with three kinds each meet every kind four times."""
    turns = kinds_in_turn(16, 3, random.Random(0))
    assert collections.Counter(kind for turn in turns for kind in turn) == dict.fromkeys(KINDS, 4)


def test_padding_inside_of_an_outer_step_is_told_as_other_padding_is() -> None:
    """A nested sequence of which no outer step is masked still holds what inner ones hold."""
    for mask, there in (("001", True), ("111", False)):
        inside = Tensor((mask,), (2,), content="inf", fold=3)
        case = LayerCase(Spec("TimeDistributed"), (inside,), other="ones")
        assert ("infinite_padding" in layer_traits(case)) == there


@pytest.mark.parametrize("layer", ["Masking", "Conv1D", "GroupNormalization"])
def test_a_layer_is_restored_with_each_value_of_each_argument(layer: str) -> None:
    """In few configurations, thinned out or not."""
    for share in (5, 15):
        property = dataclasses.replace(PROPERTIES["round_trip"], share=share)
        members = FAMILIES["layers"].strata(property, layer, 3, "graph", 0).members
        assert len(members) <= 5
        for name, values in LAYER_ENTRIES[layer].domains.items():
            assert {repr(one.chosen[name]) for one in members} == set(map(repr, values))


def test_what_is_simpler_is_a_case_of_the_layer() -> None:
    """Every step of making a case simpler keeps what is always given."""
    for entry in LAYER_ENTRIES.values():
        for configuration in layer_configurations(entry)[:4]:
            for case in simpler_layer(plain_case(configuration)):
                assert case.name == entry.name
                assert set(entry.fixed) <= set(case.spec.arguments)
                assert len({len(tensor.mask) for tensor in case.tensors}) == 1


# -- planted defects -------------------------------------------------------------------------


def _loses(keras: Any, tf: Any) -> type:
    class Dense(keras.layers.Dense):  # type: ignore[misc]
        def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
            return None

        def call(self, inputs: Any, **kwargs: Any) -> Any:
            return tf.identity(super().call(inputs, **kwargs))

    return Dense


def _shifts(keras: Any, tf: Any) -> type:
    class Activation(keras.layers.Activation):  # type: ignore[misc]
        def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
            return None if mask is None else tf.roll(mask, 1, axis=1)

        def call(self, inputs: Any) -> Any:
            return super().call(tf.identity(inputs))

    return Activation


def _mixes(keras: Any, tf: Any) -> type:
    class LayerNormalization(keras.layers.LayerNormalization):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            return super().call(inputs) + 1e-5 * tf.reduce_mean(inputs, axis=1, keepdims=True)

    return LayerNormalization


def _counts(keras: Any, tf: Any) -> type:
    class GlobalAveragePooling1D(keras.layers.GlobalAveragePooling1D):  # type: ignore[misc]
        def call(self, inputs: Any, mask: Any = None) -> Any:
            return super().call(inputs)

    return GlobalAveragePooling1D


def _leaks(keras: Any, tf: Any) -> type:
    class Dropout(keras.layers.Dropout):  # type: ignore[misc]
        def call(self, inputs: Any, training: Any = None) -> Any:
            return super().call(inputs, training=training) + 1e-3 * tf.roll(inputs, 1, axis=1)

    return Dropout


def _masks_one_axis(keras: Any, tf: Any) -> type:
    class Softmax(keras.layers.Softmax):  # type: ignore[misc]
        def call(self, inputs: Any, mask: Any = None) -> Any:
            if mask is not None and isinstance(self.axis, list | tuple) and len(self.axis) > 1:
                found = super().call(inputs)
                return tf.where(tf.cast(mask, "bool"), found, tf.zeros_like(found))
            return super().call(inputs, mask=mask)

    return Softmax


def _keeps_shares(keras: Any, tf: Any) -> type:
    class Softmax(keras.layers.Softmax):  # type: ignore[misc]
        def call(self, inputs: Any, mask: Any = None) -> Any:
            found = super().call(inputs, mask=mask)
            if mask is None or len(inputs.shape) != 3 or isinstance(self.axis, list | tuple):
                return found
            some = tf.reduce_any(tf.cast(mask, "bool"), axis=self.axis, keepdims=True)
            steps = tf.shape(inputs)[self.axis]
            return tf.where(some, found, tf.cast(1 / steps, found.dtype))

    return Softmax


def _counts_from_the_front(keras: Any, tf: Any) -> type:
    class Concatenate(keras.layers.Concatenate):  # type: ignore[misc]
        def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
            found = super().compute_mask(inputs, mask)
            return tf.ones_like(found) if found is not None and self.axis == -2 else found

    return Concatenate


def _renormalizes_padding(keras: Any, tf: Any) -> type:
    class BatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
        def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            return super().call(inputs, training=training, mask=None if self.renorm else mask)

    return BatchNormalization


def _moves_by_all_steps(keras: Any, tf: Any) -> type:
    class BatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
        def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            before = tf.convert_to_tensor(self.moving_mean)
            found = super().call(inputs, training=training, mask=mask)
            if training and mask is not None:  # the sum over valid steps, divided by all
                share = tf.reduce_mean(tf.cast(mask, before.dtype))
                moved = tf.convert_to_tensor(self.moving_mean) - before * self.momentum
                self.moving_mean.assign(before * self.momentum + moved * share)
            return found

    return BatchNormalization


def _counts_behind_features(keras: Any, tf: Any) -> type:
    class GlobalAveragePooling1D(keras.layers.GlobalAveragePooling1D):  # type: ignore[misc]
        def call(self, inputs: Any, mask: Any = None) -> Any:
            first = self.data_format == "channels_first"
            return super().call(inputs, mask=None if first else mask)

    return GlobalAveragePooling1D


def _computes_another(keras: Any, tf: Any) -> type:
    """A mask by values on its output, and another one where it is asked for by hand."""

    class Masking(keras.layers.Masking):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            outputs = tf.identity(super().call(inputs))
            outputs._keras_mask = tf.reduce_any(inputs != self.mask_value, axis=-1)
            return outputs

        def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
            return tf.reduce_all(inputs != self.mask_value, axis=-1)

    return Masking


DEFECTS: list[tuple[str, str, Overridden]] = [
    ("Masking", "computed_mask", _computes_another),
    ("Dense", "passage", _loses),
    ("Activation", "passage", _shifts),
    ("LayerNormalization", "layer_isolation", _mixes),
    ("GlobalAveragePooling1D", "layer_truth", _counts),
    ("Dropout", "layer_truth", _leaks),
    ("Softmax(mask of elements)", "layer_truth", _masks_one_axis),
    ("Softmax(mask of elements)", "layer_truth", _keeps_shares),
    ("Concatenate", "passage", _counts_from_the_front),
    ("BatchNormalization(renorm)", "moving_statistics", _renormalizes_padding),
    ("BatchNormalization", "moving_statistics", _moves_by_all_steps),
    ("GlobalAveragePooling1D(features first)", "layer_truth", _counts_behind_features),
]


@pytest.mark.parametrize(
    ("layer", "property", "defect"),
    DEFECTS,
    ids=[f"{layer} {defect.__name__[1:]}" for layer, _, defect in DEFECTS],
)
def test_a_planted_defect_is_seen(
    layer: str, property: str, defect: Overridden, seed: int, found: Implementation, ledger: Ledger
) -> None:
    """A mask that is lost or shifted, padding that leaks: new, by the property that names it."""
    wrong = defect(found.keras, found.tensorflow)
    planted = Implementation(found.installed, {wrong.__name__: wrong})
    assert outcome_of(planted, layer, property, ledger, seed) == "new"


def test_an_equivalent_layer_is_not_seen(found: Implementation, ledger: Ledger) -> None:
    """A layer that is only another class has nothing new."""

    class Dense(found.keras.layers.Dense):  # type: ignore[misc, name-defined]
        pass

    planted = Implementation(found.installed, {"Dense": Dense})
    for property in ("passage", "layer_isolation", "layer_truth", "finite_output"):
        assert outcome_of(planted, "Dense", property, ledger, 0) == "holds"


def test_every_layer_of_the_family_has_an_entry() -> None:
    """The family's layers are those of the catalogue that all supported versions have."""
    assert set(FAMILIES["layers"].layers) <= set(LAYER_ENTRIES)
