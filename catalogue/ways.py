"""The ways to multiply an output by a mask: how each is written, places its mask, treats dtypes."""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple

__all__ = ["WAYS", "Placed", "Shape", "Way", "broadcast_shape", "placed", "reference", "written"]

Shape = tuple[int, ...]

# What the mask becomes before it meets the output.
Fit = Literal["none", "trailing", "repeated", "repeated and permuted", "permuted"]
# How output and mask are laid over each other.
Rule = Literal["numpy", "merging", "leading"]
# What becomes of the dtypes of two operands that differ: refused, promoted, or (layers)
# floats cast to float32 first. A condition must be bool.
Dtypes = Literal["same", "promoted", "layer", "condition"]


@dataclasses.dataclass(frozen=True)
class Way:
    """One way to multiply an output by a mask, or to mask it otherwise.

    `source` is the expression that a user writes, over `output` and `mask`; in it `{fit}` stands
    for the mask with axes appended until it has as many as the output, `{count}` for the size of
    the output's last axis. `reference` is the same in NumPy, over operands that are placed and of
    one dtype. `least` and `most` are the ranks that the mask may have. A `symbolic` way makes a
    Functional model; `layered` is what a layer does to the mask (floats are cast to float32).
    `page` documents it.
    """

    name: str
    source: str
    page: str
    reference: str = "output * mask"
    fit: Fit = "none"
    rule: Rule = "numpy"
    dtypes: Dtypes = "same"
    since: str = ""
    symbolic: bool = False
    layered: bool = False
    least: int = 0
    most: int = 5
    ranks: tuple[int, ...] = (1, 2, 3, 4)  # of the output

    def takes_symbols(self, keras: int) -> bool:
        """Whether the way may be given symbolic tensors; keras.io/guides/migrating_to_keras_3.

        Keras 3 refuses them in functions of TensorFlow.
        """
        return keras == 2 or not self.name.startswith("tf.")

    @property
    def elementwise(self) -> bool:
        """Whether what comes out has a value for each position of the output."""
        return self.rule != "leading"


_TENSORFLOW = "https://www.tensorflow.org/api_docs/python/tf/"
_KERAS = "https://keras.io/api/"
_OPERATOR = f"{_TENSORFLOW}math/multiply"


def _merging(name: str, reference: str) -> Way:
    return Way(
        f"keras.layers.{name}",
        f"keras.layers.{name}()([output, mask])",
        f"{_KERAS}layers/merging_layers/{name.lower()}",
        reference,
        rule="merging",
        dtypes="layer",
        least=1,
    )


_EVERY = (
    Way("multiply", "output * mask", _OPERATOR),
    Way("tf.multiply", "tf.multiply(output, mask)", _OPERATOR),
    Way(
        "keras.ops.multiply",
        "keras.ops.multiply(output, mask)",
        f"{_KERAS}ops/numpy/#multiply-function",
        dtypes="promoted",
        since="3.0.0",
    ),
    Way(
        "keras.ops.add",
        "keras.ops.add(output, mask)",
        f"{_KERAS}ops/numpy/#add-function",
        "output + mask",
        dtypes="promoted",
        since="3.0.0",
    ),
    Way(
        "symbolic multiply",
        "output * mask",
        "https://keras.io/guides/functional_api/",
        dtypes="promoted",
        symbolic=True,
        least=1,
    ),
    _merging("Multiply", "output * mask"),
    _merging("Add", "output + mask"),
    _merging("Subtract", "output - mask"),
    _merging("Average", "(output + mask) / 2"),
    _merging("Maximum", "np.maximum(output, mask)"),
    _merging("Minimum", "np.minimum(output, mask)"),
    Way(
        "tf.where",
        "tf.where(mask, output, tf.zeros_like(output))",
        f"{_TENSORFLOW}where",
        "np.where(mask, output, np.zeros_like(output))",
        dtypes="condition",
    ),
    Way(
        "tf.boolean_mask",
        "tf.boolean_mask(output, mask)",
        f"{_TENSORFLOW}boolean_mask",
        "output[mask]",
        rule="leading",
        dtypes="condition",
    ),
    Way("tf.expand_dims", "output * {fit}", f"{_TENSORFLOW}expand_dims", fit="trailing"),
    Way(
        "keras.ops.expand_dims",
        "output * {fit}",
        f"{_KERAS}ops/numpy/#expanddims-function",
        fit="trailing",
        since="3.0.0",
    ),
    Way("new axis", "output * {fit}", f"{_TENSORFLOW}Tensor", fit="trailing"),
    Way(
        "keras.layers.Reshape",
        "output * {fit}",
        f"{_KERAS}layers/reshaping_layers/reshape",
        fit="trailing",
        layered=True,
        least=1,
        most=2,
        ranks=(2, 3, 4),
    ),
    Way(
        "keras.layers.RepeatVector",
        "output * keras.layers.RepeatVector({count})(mask)",
        f"{_KERAS}layers/reshaping_layers/repeat_vector",
        fit="repeated",
        layered=True,
        least=2,
        most=2,
        ranks=(3,),
    ),
    Way(
        "RepeatVector and Permute",
        "output * keras.layers.Permute((2, 1))(keras.layers.RepeatVector({count})(mask))",
        f"{_KERAS}layers/reshaping_layers/repeat_vector",
        fit="repeated and permuted",
        layered=True,
        least=2,
        most=2,
        ranks=(3,),
    ),
    Way(
        "keras.layers.Permute",
        "output * keras.layers.Permute((2, 1))(mask)",
        f"{_KERAS}layers/reshaping_layers/permute",
        fit="permuted",
        layered=True,
        least=3,
        most=3,
        ranks=(3,),
    ),
)

WAYS: dict[str, Way] = {way.name: way for way in _EVERY}


# -- how they are written --------------------------------------------------------------------


def written(way: Way, output: Shape, mask_rank: int) -> str:
    """The expression that a user writes for an output of this shape and a mask of this rank."""
    missing = max(0, len(output) - mask_rank)
    fit = "mask"
    if way.name == "new axis" and missing:
        fit = f"mask[..., {', '.join(['None'] * missing)}]"
    elif way.name == "keras.layers.Reshape":
        # Its target has no batch axis; a mask that has that axis alone gets only ones.
        first = "1" if mask_rank == 1 else "-1"
        fit = f"keras.layers.Reshape(({', '.join([first, *['1'] * (len(output) - 2)])},))(mask)"
    elif way.fit == "trailing":
        for _ in range(missing):
            fit = f"{way.name}({fit}, -1)"
    return way.source.format(fit=fit, count=output[-1] if output else 1)


def reference(way: Way, output: Shape, mask: Shape) -> str:
    """The way in NumPy, over `output` and `mask` of one dtype; for shapes that it accepts."""
    if way.rule == "leading":
        return way.reference
    found = placed(way, output, mask)
    if found is None:
        raise ValueError(f"a mask of shape {mask!r} is refused for an output of shape {output!r}")
    texts = {"output": "output", "mask": "mask"}
    if found.output != output:
        texts["output"] = f"output.reshape({found.output!r})"
    if way.fit == "permuted":
        texts["mask"] = "mask.transpose(0, 2, 1)"
    elif way.fit == "repeated":
        texts["mask"] = f"np.repeat(mask[:, None, :], {output[-1]}, 1)"
    elif way.fit == "repeated and permuted":
        texts["mask"] = f"np.repeat(mask[:, :, None], {output[-1]}, 2)"
    elif found.mask != mask:
        texts["mask"] = f"mask.reshape({found.mask!r})"
    # The names stand nowhere else in a reference.
    return way.reference.replace("output", "{output}").replace("mask", "{mask}").format(**texts)


# -- how they place their operands -----------------------------------------------------------


class Placed(NamedTuple):
    """The shapes that meet by NumPy's rules.

    `axes` says for each axis of the output which one of the result it is; `repeated` is an axis
    of the mask along which it only repeats itself.
    """

    output: Shape
    mask: Shape
    axes: tuple[int, ...]
    repeated: int | None = None


def placed(way: Way, output: Shape, mask: Shape) -> Placed | None:
    """How a way lays the mask over the output; None where it refuses before it broadcasts.

    Merging layers keep the batch axis first, and put the axes that the shorter operand lacks
    behind it (`keras.layers.Multiply` and the like document tensors of one shape, and their
    source says how ranks that differ are fitted); the batches must be equal.
    """
    if not way.least <= len(mask) <= way.most or len(output) not in way.ranks:
        return None
    mask = _fitted(way, output, mask)
    if way.rule == "merging":
        if output[0] != mask[0]:
            return None
        rank = max(len(output), len(mask))
        grown = rank - len(output)
        long, short = (
            (*shape[:1], *(1,) * (rank - len(shape)), *shape[1:]) for shape in (output, mask)
        )
        return Placed(long, short, (0, *(axis + grown for axis in range(1, len(output)))))
    if way.rule == "leading":
        # All of the leading axes must be met, and no axis is stretched.
        if not mask or mask != output[: len(mask)]:
            return None
        behind = (1,) * (len(output) - len(mask))
        return Placed(output, (*mask, *behind), tuple(range(len(output))))
    grown = max(0, len(mask) - len(output))
    axes = tuple(axis + grown for axis in range(len(output)))
    return Placed(output, mask, axes, {"repeated": 1, "repeated and permuted": 2}.get(way.fit))


def _fitted(way: Way, output: Shape, mask: Shape) -> Shape:
    """The shape that the mask has when it meets the output."""
    if way.fit == "trailing":
        return (*mask, *(1,) * (len(output) - len(mask)))
    if way.fit == "permuted":
        return (mask[0], mask[2], mask[1])
    if way.fit == "repeated":
        return (mask[0], output[-1], mask[1])
    if way.fit == "repeated and permuted":
        return (*mask, output[-1])
    return mask


def broadcast_shape(left: Shape, right: Shape) -> Shape | None:
    """The shape of an elementwise product by NumPy's rules, None where they refuse it.

    Shapes are aligned at their last axes; where one has no axis, or one of size 1, it is
    stretched to the other's size; any other two sizes must be equal.
    """
    sizes: list[int] = []
    for axis in range(-1, -max(len(left), len(right)) - 1, -1):
        one = left[axis] if -axis <= len(left) else 1
        other = right[axis] if -axis <= len(right) else 1
        if one != other and 1 not in (one, other):
            return None
        sizes.insert(0, other if one == 1 else one)
    return tuple(sizes)
