"""The public names of `keras.layers` that are not in the catalogue, each with a reason."""

from __future__ import annotations

from collections.abc import Iterable

from catalogue.layers import LAYER_ENTRIES
from catalogue.recurrent import LAYERS

__all__ = ["ALIASES", "EXCLUDED", "covered", "unaccounted"]

# Other names of classes that are in the catalogue, or excluded by their first name.
ALIASES: dict[str, str] = {
    "AvgPool1D": "AveragePooling1D",
    "AvgPool2D": "AveragePooling2D",
    "AvgPool3D": "AveragePooling3D",
    "Convolution1D": "Conv1D",
    "Convolution1DTranspose": "Conv1DTranspose",
    "Convolution2D": "Conv2D",
    "Convolution2DTranspose": "Conv2DTranspose",
    "Convolution3D": "Conv3D",
    "Convolution3DTranspose": "Conv3DTranspose",
    "GlobalAvgPool1D": "GlobalAveragePooling1D",
    "GlobalAvgPool2D": "GlobalAveragePooling2D",
    "GlobalAvgPool3D": "GlobalAveragePooling3D",
    "GlobalMaxPool1D": "GlobalMaxPooling1D",
    "GlobalMaxPool2D": "GlobalMaxPooling2D",
    "GlobalMaxPool3D": "GlobalMaxPooling3D",
    "MaxPool1D": "MaxPooling1D",
    "MaxPool2D": "MaxPooling2D",
    "MaxPool3D": "MaxPooling3D",
    "SeparableConvolution1D": "SeparableConv1D",
    "SeparableConvolution2D": "SeparableConv2D",
}

_REASONS: dict[str, str] = {
    "is a base class, or no layer at all": "AbstractRNNCell InputSpec Layer PreprocessingLayer "
    "Wrapper",
    "is where inputs enter a functional model; nobody calls it": "InputLayer",
    "is a cell, which runs inside RNN": "GRUCell LSTMCell SimpleRNNCell StackedRNNCells",
    "takes images or volumes: no axis of theirs is steps": "AdaptiveAveragePooling2D "
    "AdaptiveAveragePooling3D AdaptiveMaxPooling2D AdaptiveMaxPooling3D AveragePooling2D "
    "AveragePooling3D Conv2D Conv2DTranspose Conv3D Conv3DTranspose Cropping2D Cropping3D "
    "DepthwiseConv2D GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling2D "
    "GlobalMaxPooling3D LocallyConnected2D MaxPooling2D MaxPooling3D SeparableConv2D "
    "SpatialDropout2D SpatialDropout3D UpSampling2D UpSampling3D ZeroPadding2D ZeroPadding3D",
    "prepares or augments images": "AugMix AutoContrast CenterCrop "
    "ContrastLimitedAdaptiveHistogramEqualization CutMix Equalization MaxNumBoundingBoxes MixUp "
    "Pipeline RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter "
    "RandomContrast RandomCrop RandomElasticTransform RandomErasing RandomFlip "
    "RandomGaussianBlur RandomGrayscale RandomHeight RandomHue RandomInvert RandomPerspective "
    "RandomPosterization RandomRotation RandomSaturation RandomSharpness RandomShear "
    "RandomTranslation RandomWidth RandomZoom Resizing Solarization",
    "turns raw values into categories, before there are masks": "CategoryEncoding DenseFeatures "
    "Discretization HashedCrossing Hashing IntegerLookup StringLookup TextVectorization",
    "takes a raw signal, before there are masks": "MelSpectrogram STFTSpectrogram",
    "runs code that is not Keras', which makes of masks what it likes": "FlaxLayer JaxLayer "
    "TFSMLayer TorchModuleWrapper",
    "is a name of Keras 2.12 that tf.keras does not have": "BatchNormalizationV1 "
    "BatchNormalizationV2 ClassMethod CuDNNGRU CuDNNLSTM DeviceWrapper DropoutWrapper "
    "GRUCellV1 GRUCellV2 GRUV1 GRUV2 InstanceMethod InstanceProperty LSTMCellV1 LSTMCellV2 "
    "LSTMV1 LSTMV2 RandomFourierFeatures ResidualWrapper SlicingOpLambda SyncBatchNormalization "
    "TFOpLambda",
}

EXCLUDED: dict[str, str] = {
    name: reason for reason, names in _REASONS.items() for name in names.split()
}


def covered() -> frozenset[str]:
    """The classes of `keras.layers` that have an entry.

    An entry is called like its class, or with more in brackets; where it is tried as a custom
    layer (a Lambda with its function) its name alone says so.
    """
    named = {name.partition("(")[0] for name in (*LAYERS, *LAYER_ENTRIES)}
    return frozenset(named | {entry.layer for entry in LAYER_ENTRIES.values()})


def unaccounted(names: Iterable[str]) -> list[str]:
    """The names that are neither in the catalogue nor excluded, in order."""
    known = covered() | set(EXCLUDED) | set(ALIASES)
    return sorted(set(names) - known)
