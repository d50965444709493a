"""Custom layers as the guide on masking teaches to write them, as text that is run or printed.

Each text defines one class, or function that makes a layer, of its key's name, over `keras` and
`tf` alone. A spec names them like layers of Keras. Those that note masks hand back, behind their
output, an array for each tensor: 1 and 0 at its steps as the mask that arrived has them, -1 where
none arrived.
"""

from __future__ import annotations

import textwrap

__all__ = ["CUSTOM_LAYERS"]

_TRAVELLING = """\
class Travelling(keras.layers.Layer):  # a layer that says itself what its mask is
    def call(self, inputs):
        return tf.identity(inputs[0])

    def compute_mask(self, inputs, mask=None):
        return inputs[1]"""

_MASKED_SUM = """\
class MaskedSum(keras.layers.Layer):  # adds valid steps up: none are left to be masked
    def call(self, inputs, mask=None):
        if mask is None:
            return tf.reduce_sum(inputs, axis=1)
        mask = tf.reshape(mask, tf.concat([tf.shape(mask), [1] * (inputs.shape.rank - 2)], 0))
        return tf.reduce_sum(tf.where(mask, inputs, tf.zeros_like(inputs)), axis=1)

    def compute_mask(self, inputs, mask=None):
        return None"""

_OPTING = """\
class Opting(keras.layers.Layer):  # safe for masks, which it hands on
    def __init__(self, signs=False, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.signs = signs  # whether it gives two outputs, by the sign of what is in them

    def get_config(self):
        return {**super().get_config(), "signs": self.signs}

    def call(self, inputs):
        x = tf.add_n(inputs) if isinstance(inputs, list) else inputs
        return [tf.nn.relu(x), tf.nn.relu(-x)] if self.signs else tf.nn.relu(x)"""

_PLAIN = """\
class Plain(keras.layers.Layer):  # says nothing of masks
    def call(self, inputs):
        return tf.nn.relu(inputs)"""

# The very tensor that came in goes out, with a function for its mask or with `compute_mask`.
_HANDING_ON = """\
def HandingOn(gives="narrower", by_lambda=False, **kwargs):  # and says itself what is valid
    def valid(inputs, mask=None):
        if gives == "made":  # steps of which the first feature is positive
            own = inputs[..., 0] > 0
            return own if mask is None else own & mask
        if gives == "none" or mask is None:
            return None
        return mask & mask[:, :1]  # rows of which the first step is

    class HandsOn(keras.layers.Layer):
        def call(self, inputs):
            return inputs

        def compute_mask(self, inputs, mask=None):
            return valid(inputs, mask)

    if by_lambda:
        return keras.layers.Lambda(lambda inputs: inputs, mask=valid, **kwargs)
    return HandsOn(**kwargs)"""

_DOUBLING = """\
class Doubling(keras.layers.Layer):  # each step twice, and so its mask
    def call(self, inputs):
        return tf.repeat(inputs, 2, axis=1)

    def compute_mask(self, inputs, mask=None):
        repeat = keras.ops.repeat if hasattr(keras, "ops") else tf.repeat
        return None if mask is None else repeat(mask, 2, axis=1)"""

_FORKING = """\
class Forking(keras.layers.Layer):  # two outputs: one has its mask from inside, one has none yet
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inside = keras.layers.Activation("relu", dtype=self.dtype_policy)

    def call(self, inputs):
        return self.inside(inputs), tf.identity(inputs)

    def compute_mask(self, inputs, mask=None):
        return [mask, mask]"""

_FEATURES_FIRST = """\
class FeaturesFirst(keras.layers.Layer):  # the mean of steps that stand behind their features
    def __init__(self, keepdims=False, **kwargs):
        super().__init__(**kwargs)
        self.keepdims = keepdims
        self.mean = keras.layers.GlobalAveragePooling1D(
            data_format="channels_first", keepdims=keepdims, dtype=self.dtype_policy
        )

    def get_config(self):
        return {**super().get_config(), "keepdims": self.keepdims}

    def call(self, inputs, mask=None):
        mean = self.mean(tf.transpose(inputs, [0, 2, 1]), mask=mask)
        return tf.transpose(mean, [0, 2, 1]) if self.keepdims else mean

    def compute_mask(self, inputs, mask=None):
        return None"""

_NOTING = """\
class Noting(keras.layers.Layer):  # notes the mask that arrives
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs, training=None, mask=None):
        noted = -tf.ones(tf.shape(inputs)[:2]) if mask is None else tf.cast(mask, "float32")
        return tf.identity(inputs), noted"""

_NOTING_LIST = """\
class NotingList(keras.layers.Layer):  # notes the masks of a list of tensors
    def call(self, inputs, training=None, mask=None):
        noted = []
        for x, one in zip(inputs, [None] * len(inputs) if mask is None else mask):
            noted.append(-tf.ones(tf.shape(x)[:2]) if one is None else tf.cast(one, "float32"))
        return tf.add_n(inputs), *noted

    def compute_mask(self, inputs, mask=None):
        masks = [one for one in mask or [] if one is not None]
        joined = masks[0] if masks else None
        for one in masks[1:]:
            joined = joined & one
        return joined"""

_NOTING_DICT = """\
class NotingDict(keras.layers.Layer):  # notes the masks of a dict of tensors
    class Inside(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.supports_masking = True

        def call(self, inputs, mask=None):
            noted = []
            for name, x in sorted(inputs.items()):
                one = None if mask is None else mask[name]
                noted.append(-tf.ones(tf.shape(x)[:2]) if one is None else tf.cast(one, "float32"))
            return tf.add_n([inputs[name] for name in sorted(inputs)]), *noted

        def compute_mask(self, inputs, mask=None):
            return None

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inside = self.Inside(dtype=self.dtype_policy)

    def call(self, inputs):
        return self.inside({"ab"[k]: x for k, x in enumerate(inputs)})

    def compute_mask(self, inputs, mask=None):
        masks = [one for one in mask or [] if one is not None]
        return masks[0] & masks[-1] if masks else None"""

_PLAIN_DICT = """\
class PlainDict(keras.layers.Layer):  # gives a dict to what says nothing of masks
    class Inside(keras.layers.Layer):
        def call(self, inputs):
            return tf.add_n([inputs[name] for name in sorted(inputs)])

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inside = self.Inside(dtype=self.dtype_policy)

    def call(self, inputs):
        return self.inside({"ab"[k]: x for k, x in enumerate(inputs)})

    def compute_mask(self, inputs, mask=None):
        return None"""

# The end comes before the steps here, and behind them in the order of the alphabet.
_NAMING = """\
class Naming(keras.layers.Layer):  # outputs by name: an end without steps, and steps with a mask
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        valid = inputs
        if mask is not None:
            mask = tf.reshape(mask, tf.concat([tf.shape(mask), [1] * (inputs.shape.rank - 2)], 0))
            valid = tf.where(mask, inputs, tf.zeros_like(inputs))
        return {"whole": tf.reduce_sum(valid, axis=1), "each": tf.nn.relu(inputs)}

    def compute_mask(self, inputs, mask=None):
        return {"whole": None, "each": mask}"""

_PLAIN_SUM = """\
class PlainSum(keras.layers.Layer):  # of several tensors; says nothing of masks
    def call(self, inputs):
        return tf.add_n(inputs)"""

_NOTING_BESIDE = """\
class NotingBeside(keras.layers.Layer):  # notes the mask of its inputs, whatever else it is given
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs, context=None, attention_mask=None, training=None, mask=None):
        noted = -tf.ones(tf.shape(inputs)[:2]) if mask is None else tf.cast(mask, "float32")
        return tf.identity(inputs), noted"""

_NOTING_NAMED = """\
class NotingNamed(keras.layers.Layer):  # notes the mask of each of its tensors by its name
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, query, value, key=None, query_mask=None, value_mask=None, key_mask=None):
        noted = []
        for x, one in ((query, query_mask), (value, value_mask), (key, key_mask)):
            if x is not None:
                noted.append(-tf.ones(tf.shape(x)[:2]) if one is None else tf.cast(one, "float32"))
        return tf.identity(query), *noted"""

_NOTING_MEMORY = """\
class NotingMemory(keras.layers.Layer):  # hands a list of tensors by name to what notes their masks
    class Inside(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.supports_masking = True

        def call(self, query, memory, query_mask=None, memory_mask=None):
            masks = [query_mask, *([None] * len(memory) if memory_mask is None else memory_mask)]
            noted = []
            for x, one in zip([query, *memory], masks):
                noted.append(-tf.ones(tf.shape(x)[:2]) if one is None else tf.cast(one, "float32"))
            return tf.identity(query), *noted

        def compute_mask(self, *args, **kwargs):
            return None

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inside = self.Inside(dtype=self.dtype_policy)

    def call(self, inputs):
        return self.inside(inputs[0], memory=inputs[1:])

    def compute_mask(self, inputs, mask=None):
        return None if mask is None else mask[0]"""

# What a call has in several arguments a `build` is told of by their names.
_BUILT_FOR_MASKS = """\
class BuiltForMasks(keras.layers.Layer):  # hands its mask by name to what is built for its shape
    class Inside(keras.layers.Layer):
        def build(self, query_shape, padding_mask_shape):
            self.behind = len(query_shape) - len(padding_mask_shape)
            self.built = True

        def call(self, query, padding_mask):
            axes = tf.concat([tf.shape(padding_mask), [1] * self.behind], 0)
            valid = tf.reshape(padding_mask, axes)
            return tf.where(valid, tf.nn.relu(query), tf.zeros_like(query))

        def compute_mask(self, *args, **kwargs):
            return None

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.inside = self.Inside(dtype=self.dtype_policy)

    def call(self, inputs, mask=None):
        mask = tf.ones(tf.shape(inputs)[:2], "bool") if mask is None else mask
        return self.inside(inputs, mask)"""

_NOTING_FIRST = f"""\
def NotingFirst(**kwargs):  # a Sequential, the first layer of which notes masks
{textwrap.indent(_NOTING_LIST, "    ")}

    return keras.Sequential([NotingList(**kwargs)])"""

# A function is no plain value, so that a Lambda stands in a spec as a class with its function.
_TIMES_TWO = """\
class TimesTwo(keras.layers.Lambda):  # 2 * inputs, with or without a function for its mask
    def __init__(self, hands_on=False, **kwargs):
        def narrowed(inputs, mask=None):  # valid in rows of which the first step is
            return None if mask is None else mask & mask[:, :1]

        mask = narrowed if hands_on else None
        super().__init__(lambda inputs: 2 * inputs, mask=mask, **kwargs)"""

# Named functions are restored by their names. The one that computes asks for the mask.
_ZEROING = """\
@keras.saving.register_keras_serializable()
def zeroed(inputs, factor, mask=None):  # zeros at masked steps
    outputs = factor * inputs
    if mask is None:
        return outputs
    mask = tf.reshape(mask, tf.concat([tf.shape(mask), [1] * (inputs.shape.rank - 2)], 0))
    return tf.where(mask, outputs, tf.zeros_like(outputs))

@keras.saving.register_keras_serializable()
def zeroed_by_name(inputs, factor, *, mask=None):  # the same, of a mask that only goes by keyword
    return zeroed(inputs, factor, mask)

@keras.saving.register_keras_serializable()
def narrowed(inputs, mask=None):  # valid in rows of which the first step is
    return None if mask is None else mask & mask[:, :1]

@keras.saving.register_keras_serializable()
def same(shape):  # what goes in comes out
    return shape

class Zeroing(keras.layers.Lambda):
    def __init__(
        self,
        function=None,
        mask=narrowed,
        arguments=(("factor", 2),),
        by_name=False,
        shaped=False,
        **kwargs,
    ):
        function = function or (zeroed_by_name if by_name else zeroed)
        kwargs |= {"output_shape": same} if shaped else {}
        super().__init__(function, mask=mask, arguments=dict(arguments), **kwargs)"""

_QUANTIZED_EMBEDDING = """\
def QuantizedEmbedding(mode="int8", reversible=False, dtype=None, **kwargs):  # a table of ones
    dtype = "float32" if dtype == "mixed_float16" else dtype  # which cannot be quantized
    of = keras.layers.ReversibleEmbedding if reversible else keras.layers.Embedding
    layer = of(embeddings_initializer="ones", dtype=dtype, **kwargs)
    layer.build((None, None))
    layer.quantize(mode)  # into integers
    return layer"""

_REMATERIALIZED_MEAN = """\
def RematerializedMean(**kwargs):  # computed anew for gradients, and not held for them
    with keras.RematScope(mode="full"):
        return keras.layers.GlobalAveragePooling1D(**kwargs)"""

_ENCODING = """\
def Encoding(input_dim, output_dim, mask_zero=False, rematerialized=True, **kwargs):
    class Encoder(keras.layers.Layer):  # holds what makes the mask: a table of ones
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.inside = keras.layers.Embedding(
                input_dim,
                output_dim,
                mask_zero=mask_zero,
                embeddings_initializer="ones",
                dtype=self.dtype_policy,
            )

        def call(self, inputs):
            return self.inside(inputs)

    with keras.RematScope(mode="full" if rematerialized else None):
        return Encoder(**kwargs)"""

# As the guides write cells, whose output is a projection of the state.
_PROJECTING_CELL = """\
@keras.saving.register_keras_serializable()
class ProjectingCell(keras.layers.Layer):
    def __init__(self, units, output_size, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.state_size = units
        self.output_size = output_size

    def build(self, input_shape):
        units, size = self.units, self.output_size
        self.kernel = self.add_weight(shape=(input_shape[-1], units), name="kernel")
        self.recurrent_kernel = self.add_weight(shape=(units, units), name="recurrent_kernel")
        self.projection = self.add_weight(shape=(units, size), name="projection")
        self.built = True

    def call(self, inputs, states):
        state = tf.matmul(inputs, self.kernel) + tf.matmul(states[0], self.recurrent_kernel)
        state = tf.tanh(state)
        return tf.matmul(state, self.projection), [state]

    def get_config(self):
        return {**super().get_config(), "units": self.units, "output_size": self.output_size}"""

_MODEL_OF = """\
def ModelOf(first, then=None, features=None, dtype=None):  # a model of one or two layers
    layers = [first] if then is None else [first, then]
    if features is None:
        return keras.Sequential(layers)
    inputs = outputs = keras.Input((None, features), dtype=first.compute_dtype)
    for layer in layers:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs)"""

CUSTOM_LAYERS: dict[str, str] = {
    "Travelling": _TRAVELLING,
    "MaskedSum": _MASKED_SUM,
    "Opting": _OPTING,
    "Plain": _PLAIN,
    "HandingOn": _HANDING_ON,
    "Doubling": _DOUBLING,
    "Forking": _FORKING,
    "FeaturesFirst": _FEATURES_FIRST,
    "Noting": _NOTING,
    "NotingList": _NOTING_LIST,
    "NotingDict": _NOTING_DICT,
    "PlainDict": _PLAIN_DICT,
    "Naming": _NAMING,
    "PlainSum": _PLAIN_SUM,
    "NotingBeside": _NOTING_BESIDE,
    "NotingNamed": _NOTING_NAMED,
    "NotingMemory": _NOTING_MEMORY,
    "BuiltForMasks": _BUILT_FOR_MASKS,
    "NotingFirst": _NOTING_FIRST,
    "TimesTwo": _TIMES_TWO,
    "Zeroing": _ZEROING,
    "QuantizedEmbedding": _QUANTIZED_EMBEDDING,
    "RematerializedMean": _REMATERIALIZED_MEAN,
    "Encoding": _ENCODING,
    "ProjectingCell": _PROJECTING_CELL,
    "ModelOf": _MODEL_OF,
}
