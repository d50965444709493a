"""What is left to chance: where it is, what is drawn of it, and defects planted there."""

from __future__ import annotations

from typing import Any

import pytest

from catalogue.cases import CallForm, RaggedBatch, RecurrentCase
from catalogue.chance import SEED, by_seed, drops, left_to_chance, seeded
from catalogue.recurrent import LAYERS
from catalogue.specs import Spec
from execution.implementation import Implementation
from properties.families import FAMILIES
from properties.registry import PROPERTIES
from reports.ledger import Ledger
from selftest.defective import Invocation, on_output, planted
from selftest.planting import outcome_of
from strategies.configurations import configurations

LSTM = Spec("LSTM", {"units": 2, "recurrent_dropout": 0.4})


# -- where chance decides --------------------------------------------------------------------


def test_a_layer_gets_a_seed_where_it_drops_and_nowhere_else() -> None:
    """Cells and wrapped layers too, each for itself."""
    cells = Spec("RNN", {"cell": (Spec("LSTMCell", {"dropout": 0.4}), Spec("GRUCell"))})
    wrapped = Spec("Bidirectional", {"layer": LSTM})
    assert seeded(LSTM).get("seed") == SEED
    assert seeded(wrapped).get("layer.seed") == SEED
    assert seeded(wrapped).get("seed") is None
    first, second = seeded(cells).arguments["cell"]  # type: ignore[misc]
    assert (first.get("seed"), second.get("seed")) == (SEED, None)  # type: ignore[union-attr]
    assert seeded(Spec("Dense", {"units": 2})) == Spec("Dense", {"units": 2})


def test_chance_decides_in_training_alone() -> None:
    """And not where nothing is dropped; a seed makes it the same once more."""
    batch = RaggedBatch(("10",))
    for training, spec, left in (
        (True, LSTM, True),
        (False, LSTM, False),
        (True, Spec("GRU"), False),
    ):
        form = CallForm(training=training)
        assert left_to_chance(RecurrentCase(spec, batch, form=form)) == left
    assert drops(LSTM)
    assert not by_seed(LSTM)
    assert by_seed(seeded(LSTM))


@pytest.mark.parametrize("layer", LAYERS)
def test_what_is_dropped_in_training_is_drawn_where_a_property_speaks_of_it(layer: str) -> None:
    """Of all configurations some, by a seed in Keras 3 alone; of others none."""
    for major in (2, 3):
        found = configurations(LAYERS[layer], keras_major=major, chance=True)
        left = [one for one in found if left_to_chance(one)]
        assert 8 <= len(left) <= 20
        assert all(by_seed(one.spec) == (major > 2) for one in left)
        plain = configurations(LAYERS[layer], keras_major=major)
        assert not any(map(left_to_chance, plain))


@pytest.mark.parametrize("layer", ["LSTM", "RNN(stacked cells)"])
def test_what_is_dropped_in_training_is_met_by_a_thinned_out_cell(layer: str) -> None:
    """Of `held_state`, in the few configurations of it."""
    members = FAMILIES["recurrent"].strata(PROPERTIES["held_state"], layer, 3, "graph", 0).members
    assert any("seed" in one.name for one in members)


# -- planted defects -------------------------------------------------------------------------


def _leaks_in_training(call: Invocation) -> Any:
    def leaked(tf: Any, output: Any, _: Invocation) -> Any:
        content = tf.reduce_mean(tf.tanh(call.padding)) if call.training is True else 0.0
        return output + tf.cast(1e-3 * content, output.dtype)

    cell = call.layer.cell
    return on_output(leaked)(call) if cell.dropout or cell.recurrent_dropout else call.real()


def test_padding_that_is_seen_under_dropout_alone_is_seen(
    found: Implementation, ledger: Ledger, seed: int
) -> None:
    """By two layers of one seed, which drop the same."""
    if found.keras_major == 2:
        pytest.skip("the pages of Keras 2 know no seed")
    leaking = planted(found, "SimpleRNN", _leaks_in_training)
    changed = Implementation(found.installed, {"SimpleRNN": leaking})
    assert outcome_of(changed, "SimpleRNN", "padding_content", ledger, seed) == "new"


def _neighbours(keras: Any, tf: Any) -> type:
    class Dropout(keras.layers.Dropout):  # type: ignore[misc]
        def call(self, inputs: Any, training: Any = None) -> Any:
            outputs = super().call(inputs, training=training)
            leaked = 1e-3 * tf.tanh(tf.roll(inputs, 1, axis=1))
            return outputs + leaked if training else outputs

    return Dropout


def _not_zeroed(keras: Any, tf: Any) -> type:
    class Bidirectional(keras.layers.Bidirectional):  # type: ignore[misc]
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            outputs = super().__call__(*args, **kwargs)
            if kwargs.get("training") is not True:
                return outputs
            return tf.nest.map_structure(lambda x: x + tf.cast(1e-2, x.dtype), outputs)

    return Bidirectional


def _keeps_what_it_dropped(keras: Any, tf: Any) -> type:
    class ConvLSTM1D(keras.layers.ConvLSTM1D):  # type: ignore[misc]
        def __call__(self, sequences: Any, *args: Any, **kwargs: Any) -> Any:
            if kwargs.get("training") is True and hasattr(sequences, "numpy"):
                ones = self.__dict__.setdefault("ones", tf.ones_like(sequences[:, 0]))
                assert ones.shape == sequences[:, 0].shape
            return super().__call__(sequences, *args, **kwargs)

    return ConvLSTM1D


@pytest.mark.parametrize(
    ("layer", "property", "defect"),
    [
        ("Dropout", "layer_isolation", _neighbours),
        ("Bidirectional(LSTM)", "layer_chance", _not_zeroed),
        ("ConvLSTM1D", "layer_chance", _keeps_what_it_dropped),
    ],
)
def test_a_defect_in_training_is_seen(
    layer: str, property: str, defect: Any, seed: int, found: Implementation, ledger: Ledger
) -> None:
    """Padding that leaks, masked steps that are not zero, masks of what is dropped that stay."""
    if found.keras_major == 2 and property == "layer_isolation":
        pytest.skip("the pages of Keras 2 know no seed")
    name = layer.partition("(")[0]
    changed = Implementation(found.installed, {name: defect(found.keras, found.tensorflow)})
    assert outcome_of(changed, layer, property, ledger, seed) == "new"
    assert outcome_of(Implementation(found.installed), layer, property, ledger, seed) != "new"
