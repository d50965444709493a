"""Entries of layers that give sequences another shape, and of what else takes each step by itself.

None of their pages speaks of masks: by rule 3 the mask goes out, as rule 1 gives it, or the user
is told that it does not. `data_format="channels_first"` is left out: steps stand on axis 1.
"""

from __future__ import annotations

import numpy as np

from catalogue import shapes_reference as reference
from catalogue.contracts import dropped, kept
from catalogue.layer_cases import LayerCase, LayerEntry, Sequences
from catalogue.specs import Argument, Spec
from catalogue.windows import through_windows

__all__ = ["ENTRIES"]

_Shapes = list[tuple[int, ...]]

_FLAT = ((2,), (1,), (3,))
_ANY = ((2,), (1,), (3,), (2, 3), ())


def _size(shape: tuple[int, ...]) -> int:
    """How many values a step has."""
    size = 1
    for one in shape[2:]:
        size *= one
    return size


def _fits(spec: Spec, shapes: _Shapes) -> bool:
    """Whether each step by itself can be cut into new steps of the target's shape."""
    target = spec.get("target_shape")
    assert isinstance(target, tuple)
    inner = 1
    for size in target[1:]:
        assert isinstance(size, int)
        inner *= size
    return _size(shapes[0]) % inner == 0


def _has_rank_of_dims(spec: Spec, shapes: _Shapes) -> bool:
    dims = spec.get("dims")
    assert isinstance(dims, tuple)
    return len(dims) == len(shapes[0]) - 1


def _narrowed(case: LayerCase) -> np.ndarray | None:
    """The mask of the Lambda's own function: valid in rows of which the first step is."""
    mask = kept(case)
    return None if mask is None else np.asarray(mask & mask[:, :1])


def _dense_weights(spec: Spec, shapes: _Shapes) -> _Shapes:
    return [(shapes[0][-1], 3), (3,)]


_EINSUM: dict[str, tuple[Argument, ...]] = {
    "bias_axes": (None, "d"),
    "activation": (None, "relu", "tanh"),
}


def _einsum_entry(name: str, equation: str, output_shape: Argument) -> LayerEntry:
    """An equation that takes each step by itself, and contracts its last axis."""
    return LayerEntry(
        name,
        "layers/core_layers/einsum_dense",
        kept,
        reference.einsum_over_features,
        of="EinsumDense",
        stops=True,
        fixed={"equation": equation, "output_shape": output_shape},
        domains=_EINSUM,
        sequences=Sequences(rests=_FLAT if "." not in equation else ((2,), (1,), (3,), (2, 3))),
        weights=_weights_of_einsum,
    )


def _weights_of_einsum(spec: Spec, shapes: _Shapes) -> _Shapes:
    """A kernel (features, units), and a bias (units,) with `bias_axes`."""
    return [(shapes[0][-1], 3)] + ([(3,)] if spec.get("bias_axes") else [])


ENTRIES = (
    LayerEntry(
        "Flatten",
        "layers/reshaping_layers/flatten",
        reference.flattened_mask,
        reference.flattened,
        stops=True,
        sequences=Sequences(rests=_ANY),
    ),
    # Steps of no known number can only be cut further: merging some of them may not come out.
    LayerEntry(
        "Reshape",
        "layers/reshaping_layers/reshape",
        reference.reshaped_mask,
        reference.reshaped,
        stops=True,
        fixed={"target_shape": (-1, 1)},
        domains={"target_shape": ((-1, 1), (-1,), (-1, 2), (-1, 3), (-1, 1, 2))},
        sequences=Sequences(rests=_ANY),
        applies=_fits,
    ),
    LayerEntry(
        "Permute",
        "layers/reshaping_layers/permute",
        reference.permuted_mask,
        reference.permuted,
        stops=True,
        fixed={"dims": (2, 1)},
        domains={"dims": ((2, 1), (1, 2), (2, 1, 3), (3, 2, 1), (1, 3, 2))},
        sequences=Sequences(rests=((2,), (2, 3), (3,), (3, 2))),
        applies=_has_rank_of_dims,
    ),
    # Inputs are "(batch_size, features)": where they carry a mask, it is one of features.
    LayerEntry(
        "RepeatVector",
        "layers/reshaping_layers/repeat_vector",
        reference.repeated_mask,
        reference.repeated,
        stops=True,
        fixed={"n": 2},
        domains={"n": (2, 1, 3)},
        sequences=Sequences(rests=((),)),
    ),
    LayerEntry(
        "Cropping1D",
        "layers/reshaping_layers/cropping1d",
        through_windows,
        reference.moved,
        stops=True,
        domains={"cropping": ((1, 1), 1, (0, 2), (1, 0), 0)},
        sequences=Sequences(rests=_FLAT, least=3),
    ),
    LayerEntry(
        "ZeroPadding1D",
        "layers/reshaping_layers/zero_padding1d",
        through_windows,
        reference.padded,
        positions=reference.padded_positions,
        stops=True,
        domains={"padding": (1, (1, 2), (0, 1), (2, 0), 0)},
        sequences=Sequences(rests=_FLAT),
    ),
    LayerEntry(
        "UpSampling1D",
        "layers/reshaping_layers/up_sampling1d",
        through_windows,
        reference.moved,
        stops=True,
        domains={"size": (2, 1, 3)},
        sequences=Sequences(rests=_FLAT),
    ),
    _einsum_entry("EinsumDense", "abc,cd->abd", (None, 3)),
    _einsum_entry("EinsumDense(ellipsis)", "...c,cd->...d", 3),
    # Sums over steps, so none are left: padding takes part, and its user has to be told.
    LayerEntry(
        "EinsumDense(over steps)",
        "layers/core_layers/einsum_dense",
        dropped,
        reference.einsum_over_steps,
        isolates=False,
        stops=True,
        of="EinsumDense",
        fixed={"equation": "abc,cd->ad", "output_shape": 3},
        domains=_EINSUM,
        sequences=Sequences(rests=_FLAT),
        positions=reference.settled_rows,
        weights=_weights_of_einsum,
    ),
    # Outside of training the weights are those of the layer inside.
    LayerEntry(
        "SpectralNormalization",
        "layers/normalization_layers/spectral_normalization",
        kept,
        reference.inner_dense,
        stops=True,
        fixed={"layer": Spec("Dense", {"units": 3})},
        domains={"power_iterations": (1, 2)},
        trainings=(None, False),
        weights=_dense_weights,
        since="2.13",
    ),
    # "mask: Either None (indicating no masking) or a callable with the same signature as the
    # compute_mask layer method".
    LayerEntry(
        "Lambda",
        "layers/core_layers/lambda",
        kept,
        reference.doubled,
        of="TimesTwo",
        stops=True,
        restores=False,  # a Python lambda is not, unless its user says that it is safe
    ),
    LayerEntry(
        "Lambda(with mask)",
        "layers/core_layers/lambda",
        _narrowed,
        reference.doubled,
        of="TimesTwo",
        fixed={"hands_on": True},
        restores=False,
    ),
    LayerEntry(
        "Lambda(named functions)",
        "layers/core_layers/lambda",
        _narrowed,
        reference.zeroed,
        of="Zeroing",
        # Whether its function takes the mask by keyword alone; whether there is an `output_shape`.
        domains={"by_name": (False, True), "shaped": (False, True)},
        positions=lambda case: [None],  # zeros at masked steps are the function's own
        since="3.0",  # Keras 2 writes every function down as it does a Python lambda
    ),
    LayerEntry(
        "Rescaling",
        "layers/preprocessing_layers/image_preprocessing/rescaling",
        kept,
        reference.rescaled,
        stops=True,
        fixed={"scale": 0.5},
        domains={"scale": (0.5, 2), "offset": (0.0, 0.25)},
    ),
    # One mean and one variance for all features: several are no plain values.
    LayerEntry(
        "Normalization",
        "layers/preprocessing_layers/numerical/normalization",
        kept,
        reference.normalized,
        stops=True,
        fixed={"mean": 0.5, "variance": 4.0},
        domains={"mean": (0.5, 0.0), "variance": (4.0, 0.25), "invert": (False, True)},
    ),
    # With Keras 3 it became ReLU(threshold=...).
    LayerEntry(
        "ThresholdedReLU",
        "layers/activation_layers/threshold_relu",
        kept,
        reference.thresholded,
        domains={"theta": (1.0, 0.25)},
        until="3.0",
    ),
)
