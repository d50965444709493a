"""The statements of the articles as a user would write them: a line of code for each."""

from __future__ import annotations

from catalogue.claims import Sizes

__all__ = ["EXAMPLE_CODE", "example_code"]

_OUTPUT = "tf.ones(({B}, {T}, {F}))"
_ROWS = "tf.ones(({B}, 1))"
_STEPS = "tf.ones(({B}, {T}))"
_MASKED = "keras.layers.Masking()(tf.zeros(({B}, {T}, 5)))"
_LSTM = "keras.layers.LSTM({F}, return_sequences=True)"
_GIVEN = "mask=tf.ones(({B}, {T}), 'bool')"
_DENSE = "keras.layers.TimeDistributed(keras.layers.Dense(3))"
_LONGER = "mask=tf.ones(({B}, {T} + 2), 'bool')"

# By the name of a statement's observation; B, T and F are filled in.
EXAMPLE_CODE: dict[str, str] = {
    "misfit_refused": f"{_OUTPUT} * tf.ones(({{B}} + 1, {{T}} + 2, 1))",
    "lower_rank_refused": f"{_OUTPUT} * tf.ones(({{F}},))",
    "numpy_rules": f"{_OUTPUT} * {_STEPS}",
    "ops_numpy": "getattr(keras, 'ops', tf).add(tf.ones(({B}, {T}, {F})), tf.ones(({T},)))",
    "steps_of_ones": f"{_OUTPUT} * tf.ones(({{B}}, {{T}}, 1))",
    "steps_plain": f"{_OUTPUT} * {_STEPS}",
    "rows_refused": f"{_OUTPUT} * {_ROWS}",
    "rows_astray": f"{_OUTPUT} * {_ROWS}",
    "symbols_numpy": "keras.Input(({T}, {F}), {B}) * keras.Input((1,), {B})",
    "merging_numpy": "keras.layers.Multiply()([tf.ones(({B}, {T}, {F})), tf.ones(({T}, {F}))])",
    "first_output": f"{_DENSE.replace('3', '{F}')}(keras.layers.SimpleRNN(5, "
    "return_sequences=True)(tf.ones(({B}, {T}, 6)))).shape",
    "rank_is_why": f"{_OUTPUT} * tf.ones(({{F}},))",
    "rows_mask_shape": "tf.random.uniform(({B}, 1)).shape",
    "rows_value_error": f"{_OUTPUT} * {_ROWS}",
    "steps_accepted": f"{_OUTPUT} * {_STEPS}",
    "ones_mask_shape": "tf.random.uniform(({B}, {T}, 1)).shape",
    "steps_mask_shape": "tf.random.uniform(({B}, {T})).shape",
    "ones_shape": f"({_OUTPUT} * tf.ones(({{B}}, {{T}}, 1))).shape",
    "expanded_shape": f"({_OUTPUT} * tf.expand_dims({_STEPS}, axis=-1)).shape",
    "expanded_mask_shape": f"tf.expand_dims({_STEPS}, axis=-1).shape",
    "expanded_same": f"{_OUTPUT} * tf.expand_dims({_STEPS}, axis=-1)",
    "trailing_ones": f"{_OUTPUT} * tf.ones(({{B}},))[:, None, None]",
    "global_ones": f"{_OUTPUT} * tf.ones(({{B}}, 1, 1))",
    "global_rows": f"{_OUTPUT} * {_ROWS}",
    "expand_list": f"tf.expand_dims({_ROWS}, axis=[1, 2])",
    "global_shape": f"({_OUTPUT} * tf.ones(({{B}}, 1, 1))).shape",
    "twice_expanded": f"tf.expand_dims(tf.expand_dims({_ROWS}, axis=1), axis=1).shape",
    "twice_expanded_same": f"{_OUTPUT} * tf.expand_dims(tf.expand_dims({_ROWS}, axis=1), axis=1)",
    "full_shape": f"{_OUTPUT} * {_OUTPUT}",
    "trailing_one": f"{_OUTPUT} * {_ROWS}",
    "steps_necessary": f"{_OUTPUT} * tf.ones(({{T}}, 1))",
    "masking_makes_bool": f"{_MASKED}._keras_mask.dtype",
    "mask_shape": f"{_MASKED}._keras_mask.shape",
    "mask_goes_on": f"keras.layers.Dense(3)({_MASKED})._keras_mask",
    "padding_isolated": f"{_LSTM}({_MASKED})",
    "not_zeroed": f"{_LSTM}({_MASKED})",
    "masking_keeps": "keras.layers.Masking(9.0)(tf.fill(({B}, {T}, 5), 9.0))",
    "mask_is_tensor": f"tf.is_tensor({_MASKED}._keras_mask)",
    "whole_sequence": f"{_LSTM}({_MASKED}).shape",
    "states_held": f"keras.layers.LSTM({{F}}, return_state=True)({_MASKED})",
    "shape_kept": f"{_LSTM}({_MASKED}).shape",
    "distributed_mask": f"{_DENSE}({_MASKED})._keras_mask.shape",
    "wrong_mask_refused": f"{_LSTM}(tf.ones(({{B}}, {{T}}, 5)), {_LONGER})",
    "defined_shapes": f"tf.function({_LSTM}, input_signature=[tf.TensorSpec((None, None, 5))])"
    "(tf.ones(({B}, {T}, 5)))",
    "first_example": f"{_LSTM}({_MASKED}, {_GIVEN}).shape",
    "converted_bool": "tf.convert_to_tensor(np.ones(({B}, {T}), bool)).dtype",
    "masking_returns_mask": f"{_MASKED}.shape",
    "explicit_wins": f"{_LSTM}({_MASKED}, {_GIVEN})",
    "sequences_why": f"keras.layers.LSTM({{F}})({_MASKED}).shape",
    "second_example": f"{_LSTM}({_DENSE}({_MASKED}), {_GIVEN}).shape",
    "distributed_expects": f"{_DENSE}(tf.ones(({{B}}, {{T}}, 5)), {_LONGER})",
    "mask_of_reshaped": f"{_LSTM}({_DENSE}({_MASKED}), {_GIVEN})",
    "into_recurrent": f"{_DENSE}({_MASKED}).shape",
    "mask_not_aligned": f"{_DENSE}({_MASKED}).shape, {_MASKED}._keras_mask.shape",
    "implicit": f"{_LSTM}({_DENSE}({_MASKED}))",
    "third_example": f"{_LSTM}({_MASKED}, {_GIVEN}).shape",
    "custom_used": f"{_LSTM}({_MASKED}, {_GIVEN})",
    "same_by_subclass": f"{_LSTM}({_MASKED}, {_GIVEN})",
    "internal_mask": f"{_LSTM}({_MASKED})",
    "print_tensor": "tf.keras.backend.print_tensor(tf.constant(1.0))",
    "padding_grows": "keras.utils.pad_sequences([[1], [1] * {T}]).shape",
    "gradient_flows": f"{_LSTM}({_MASKED}, {_GIVEN})",
}


def example_code(name: str, at: Sizes) -> str:
    """The code of a statement for given sizes."""
    code = EXAMPLE_CODE[name]
    for letter, size in zip("BTF", at[:3], strict=True):
        code = code.replace(f"{{{letter}}}", str(size))
    return code
