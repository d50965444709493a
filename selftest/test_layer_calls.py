"""What calls of a layer must have in common: a planted defect for each property is seen."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest

from catalogue.layer_cases import LayerCase, Tensor
from catalogue.specs import Spec
from execution.implementation import Implementation
from execution.running import Runner
from properties.cells import QUICK, STANDARD
from properties.comparisons import mismatches
from properties.test_conformance import PROPERTIES
from reports.ledger import Ledger
from selftest.helpers import in_hdf5
from selftest.planting import EXECUTION, outcome_of


def _takes_masks_off(keras: Any, tf: Any) -> type:
    class Activation(keras.layers.Activation):  # type: ignore[misc]
        def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            outputs = super().__call__(inputs, *args, **kwargs)
            if getattr(inputs, "_keras_mask", None) is not None:
                inputs._keras_mask = None
            return outputs

    return Activation


def _promises_no_mask(keras: Any, tf: Any) -> type:
    class Activation(keras.layers.Activation):  # type: ignore[misc]
        def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            outputs = super().__call__(inputs, *args, **kwargs)
            if keras.backend.is_keras_tensor(inputs):
                outputs._keras_mask = None
            return outputs

    return Activation


def _takes_masks_off_and_remembers_them(keras: Any, tf: Any) -> type:
    """What is called on a tensor next sees no mask, but for the layer itself."""

    class Activation(keras.layers.Activation):  # type: ignore[misc]
        def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            mask = getattr(inputs, "_its_mask", getattr(inputs, "_keras_mask", None))
            outputs = super().__call__(tf.identity(inputs), *args, **kwargs)
            outputs._keras_mask = mask
            inputs._its_mask, inputs._keras_mask = mask, None
            return outputs

    return Activation


def _forgets_its_mask_without_state(keras: Any, tf: Any) -> type:
    class Masking(keras.layers.Masking):  # type: ignore[misc]
        def stateless_call(self, *args: Any, **kwargs: Any) -> Any:
            outputs, *variables = super().stateless_call(*args, **kwargs)
            return tf.identity(outputs), *variables

    return Masking


def _takes_a_default_for_a_wish(keras: Any, tf: Any) -> type:
    class Attention(keras.layers.Attention):  # type: ignore[misc]
        def call(self, inputs: Any, mask: Any = None, training: Any = None, **kwargs: Any) -> Any:
            told = mask if training is None else None
            return super().call(inputs, mask=told, training=training, **kwargs)

    return Attention


def _leaks_gradient(keras: Any, tf: Any) -> type:
    class LayerNormalization(keras.layers.LayerNormalization):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            mean = tf.reduce_mean(tf.tanh(inputs), axis=1, keepdims=True)
            return super().call(inputs) + mean - tf.stop_gradient(mean)

    return LayerNormalization


def _has_a_row_of_its_own(keras: Any, tf: Any) -> type:
    class Activation(keras.layers.Activation):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            outputs = super().call(inputs)
            rows = tf.maximum(tf.shape(outputs)[0], 1)
            padded = tf.pad(outputs, [[0, 1], *[[0, 0]] * (len(outputs.shape) - 1)])
            return padded[:rows]

    return Activation


def _looks_at_neighbours(keras: Any, tf: Any) -> type:
    class Activation(keras.layers.Activation):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            return super().call(inputs + 1e-2 * tf.reduce_max(inputs, axis=0, keepdims=True))

    return Activation


def _prefers_what_travels(keras: Any, tf: Any) -> type:
    class GlobalAveragePooling1D(keras.layers.GlobalAveragePooling1D):  # type: ignore[misc]
        def call(self, inputs: Any, mask: Any = None) -> Any:
            travelling = getattr(inputs, "_keras_mask", None)
            return super().call(inputs, mask=mask if travelling is None else travelling)

    return GlobalAveragePooling1D


def _cuts_masks(keras: Any, tf: Any) -> type:
    class GlobalAveragePooling1D(keras.layers.GlobalAveragePooling1D):  # type: ignore[misc]
        def call(self, inputs: Any, mask: Any = None) -> Any:
            if mask is not None:
                rows, steps = tf.shape(inputs)[0], tf.shape(inputs)[1]
                mask = tf.tile(mask, [2, 2])[:rows, :steps]
            return super().call(inputs, mask=mask)

    return GlobalAveragePooling1D


def _spreads_masks_of_rows(keras: Any, tf: Any) -> type:
    class GlobalAveragePooling1D(keras.layers.GlobalAveragePooling1D):  # type: ignore[misc]
        def call(self, inputs: Any, mask: Any = None) -> Any:
            if mask is not None and mask.shape.rank == 1:
                mask = tf.repeat(mask[:, None], tf.shape(inputs)[1], axis=1)
            return super().call(inputs, mask=mask)

    return GlobalAveragePooling1D


def _forgets_an_argument(keras: Any, tf: Any) -> type:
    class Dense(keras.layers.Dense):  # type: ignore[misc]
        def get_config(self) -> Any:
            return {**super().get_config(), "activation": "linear"}

    return Dense


def _forgets_an_argument_in_hdf5(keras: Any, tf: Any) -> type:
    class Dense(keras.layers.Dense):  # type: ignore[misc]
        def get_config(self) -> Any:
            config: Any = super().get_config()
            return {**config, "activation": "linear"} if in_hdf5() else config

    return Dense


def _warns(keras: Any, tf: Any) -> type:
    class Activation(keras.layers.Activation):  # type: ignore[misc]
        def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            warnings.warn("the mask is lost", stacklevel=2)
            return super().__call__(inputs, *args, **kwargs)

    return Activation


def _remembers_padding(keras: Any, tf: Any) -> type:
    class BatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
        def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            outputs = super().call(inputs, training=training, mask=mask)
            if training:
                self.moving_variance.assign(
                    self.moving_variance + tf.cast(tf.reduce_mean(inputs**2), "float32")
                )
            return outputs

    return BatchNormalization


def _keeps_its_first_rows(keras: Any, tf: Any) -> type:
    class Activation(keras.layers.Activation):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            ones = self.__dict__.setdefault("ones", tf.ones_like(inputs))
            return super().call(inputs * ones)

    return Activation


def _ignores_masks_after_none(keras: Any, tf: Any) -> type:
    class GlobalAveragePooling1D(keras.layers.GlobalAveragePooling1D):  # type: ignore[misc]
        def call(self, inputs: Any, mask: Any = None) -> Any:
            if mask is None:
                self.__dict__["unmasked"] = True
            return super().call(inputs, mask=None if "unmasked" in self.__dict__ else mask)

    return GlobalAveragePooling1D


def _keeps_its_steps_in_graphs(keras: Any, tf: Any) -> type:
    class LayerNormalization(keras.layers.LayerNormalization):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            if tf.executing_eagerly():
                self.__dict__.setdefault("steps", inputs.shape[1])
            known = self.__dict__.get("steps", 0) if not tf.executing_eagerly() else 0
            outputs = super().call(inputs)
            return outputs + tf.cast(known, outputs.dtype)

    return LayerNormalization


def _ignores_masks_of_intermediate_models(keras: Any, tf: Any) -> type:
    class GlobalAveragePooling1D(keras.layers.GlobalAveragePooling1D):  # type: ignore[misc]
        def __call__(self, inputs: Any, *args: Any, mask: Any = None, **kwargs: Any) -> Any:
            history = getattr(mask, "_keras_history", None)
            maker = getattr(history, "operation", None) or getattr(history, "layer", None)
            behind = history is not None and type(maker).__name__ != "InputLayer"
            return super().__call__(inputs, *args, mask=None if behind else mask, **kwargs)

    return GlobalAveragePooling1D


DEFECTS: dict[str, tuple[str, Callable[[Any, Any], type]]] = {
    "no_trace": ("Activation", _takes_masks_off),
    "layer_symbolic": ("Activation", _promises_no_mask),
    "layer_gradient": ("LayerNormalization", _leaks_gradient),
    "zero_rows": ("Activation", _has_a_row_of_its_own),
    "row_alone": ("Activation", _looks_at_neighbours),
    "layer_mask_precedence": ("GlobalAveragePooling1D", _prefers_what_travels),
    "wrong_mask_refused": ("GlobalAveragePooling1D", _cuts_masks),
    "wrong_axes_refused": ("GlobalAveragePooling1D", _spreads_masks_of_rows),
    "round_trip": ("Dense", _forgets_an_argument),
    "told": ("Activation", _warns),
    "moving_statistics": ("BatchNormalization", _remembers_padding),
    "layer_stateless": ("Masking", _forgets_its_mask_without_state),
    "flags_change_nothing": ("Attention", _takes_a_default_for_a_wish),
}


REMEMBERS: list[tuple[str, Callable[[Any, Any], type]]] = [
    ("Activation", _keeps_its_first_rows),
    ("GlobalAveragePooling1D", _ignores_masks_after_none),
    ("LayerNormalization", _keeps_its_steps_in_graphs),
    ("Activation", _takes_masks_off_and_remembers_them),
]


@pytest.mark.parametrize(
    ("layer", "defect"), REMEMBERS, ids=lambda one: getattr(one, "__name__", one)
)
def test_what_an_earlier_call_leaves_behind_is_seen(
    layer: str, defect: Any, seed: int, found: Implementation, ledger: Ledger
) -> None:
    """A call on other rows, without a mask, or eager where this one is traced, changes a later."""
    planted = Implementation(found.installed, {layer: defect(found.keras, found.tensorflow)})
    assert outcome_of(planted, layer, "no_trace", ledger, seed) == "new"


def test_a_model_that_begins_at_intermediate_tensors_is_looked_at(found: Implementation) -> None:
    """A mask of its own is given to a layer behind these; a third of the cases are cut so."""
    tensor = Tensor(("10", "11"), (1,), content="ones")
    case = LayerCase(Spec("GlobalAveragePooling1D"), (tensor,), form="explicit", weights=2)
    defect = _ignores_masks_of_intermediate_models(found.keras, found.tensorflow)
    plan = PROPERTIES["round_trip"].function(case)
    seen = []
    for overrides in ({defect.__name__: defect}, {}):
        runner = Runner(Implementation(found.installed, overrides), EXECUTION)
        failures = mismatches(plan, runner.run(plan.steps))
        seen.append([one.comparison.name for one in failures])
    assert seen == [["cut output"], []]


def test_what_is_lost_in_hdf5_alone_is_seen(
    seed: int, found: Implementation, ledger: Ledger
) -> None:
    """An argument that native files keep; thinned out, too."""
    made = _forgets_an_argument_in_hdf5(found.keras, found.tensorflow)
    planted = Implementation(found.installed, {"Dense": made})
    for profile in (STANDARD, QUICK):
        assert outcome_of(planted, "Dense", "round_trip", ledger, seed, profile) == "new"


def test_an_argument_that_is_a_list_always_goes_into_hdf5() -> None:
    """Of others, one case in three does."""
    tensor = Tensor(("10", "11"), (2, 3))
    for axis, expected in (((2, 3), 6), (-1, 2)):
        spec = Spec("UnitNormalization", {"axis": axis})
        cases = [LayerCase(spec, (tensor,), weights=weights) for weights in range(6)]
        plans = [PROPERTIES["round_trip"].function(case) for case in cases]
        assert sum("hdf5_y" in [step.name for step in plan.steps] for plan in plans) == expected


@pytest.mark.parametrize("property", DEFECTS)
def test_a_planted_defect_is_seen(
    property: str, seed: int, found: Implementation, ledger: Ledger
) -> None:
    """New, by the property that names it."""
    layer, defect = DEFECTS[property]
    planted = Implementation(found.installed, {layer: defect(found.keras, found.tensorflow)})
    assert outcome_of(planted, layer, property, ledger, seed) == "new"


@pytest.mark.parametrize("property", DEFECTS)
def test_the_layer_itself_has_nothing_new(
    property: str, found: Implementation, ledger: Ledger
) -> None:
    """What is seen is the defect."""
    healthy = Implementation(found.installed)
    assert outcome_of(healthy, DEFECTS[property][0], property, ledger, 0) in ("holds", "deviates")
