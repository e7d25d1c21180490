"""What models are made of: layers named, shaped and behaving as Keras's own.

A chain of layers is ``fastdrop.Model([...], input_shape)``; `Call` makes a graph of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastdrop.layers._layer import Declared, Draw, Flow, Layer, Shape, Single
    from fastdrop.layers.activations import GLU, Activation, PReLU, Softmax
    from fastdrop.layers.arranging import (
        Constant,
        ExpandDims,
        Pad,
        Positions,
        Repeat,
        Roll,
        Slice,
        Split,
        Squeeze,
        Stack,
        Take,
        TakeAlong,
        Transpose,
        WithMask,
    )
    from fastdrop.layers.attention import AdditiveAttention, Attention, MultiHeadAttention
    from fastdrop.layers.convolutional import (
        Conv1D,
        Conv1DTranspose,
        Conv2D,
        Conv2DTranspose,
        Conv3D,
        Conv3DTranspose,
        Cropping1D,
        Cropping2D,
        Cropping3D,
        SeparableConv1D,
        SeparableConv2D,
        UpSampling1D,
        UpSampling2D,
        UpSampling3D,
        ZeroPadding1D,
        ZeroPadding2D,
        ZeroPadding3D,
    )
    from fastdrop.layers.convolutional_rnn import ConvLSTM1D, ConvLSTM2D, ConvLSTM3D
    from fastdrop.layers.core import (
        CategoryEncoding,
        Dense,
        Discretization,
        EinsumDense,
        Embedding,
        EmbeddingDropout,
        Identity,
        IntegerLookup,
        Masking,
        ReversibleEmbedding,
    )
    from fastdrop.layers.loops import RecurrentLoop
    from fastdrop.layers.merging import Concatenate, Dot, Merge
    from fastdrop.layers.normalization import (
        BatchNormalization,
        GroupNormalization,
        LayerNormalization,
        Normalization,
        Rescaling,
        RMSNormalization,
        UnitNormalization,
    )
    from fastdrop.layers.operations import Elementwise, Reduce
    from fastdrop.layers.ordering import Accumulate, ArgSort, Difference, Sort
    from fastdrop.layers.pooling import (
        AdaptiveAveragePooling1D,
        AdaptiveAveragePooling2D,
        AdaptiveAveragePooling3D,
        AdaptiveMaxPooling1D,
        AdaptiveMaxPooling2D,
        AdaptiveMaxPooling3D,
        AveragePooling1D,
        AveragePooling2D,
        AveragePooling3D,
        GlobalAveragePooling1D,
        GlobalAveragePooling2D,
        GlobalAveragePooling3D,
        GlobalMaxPooling1D,
        GlobalMaxPooling2D,
        GlobalMaxPooling3D,
        MaxPooling1D,
        MaxPooling2D,
        MaxPooling3D,
    )
    from fastdrop.layers.products import Einsum, MatMul
    from fastdrop.layers.regularization import (
        AlphaDropout,
        Dropout,
        GaussianDropout,
        GaussianNoise,
        SpatialDropout1D,
        SpatialDropout2D,
        SpatialDropout3D,
    )
    from fastdrop.layers.reshaping import ChannelsFirst, Flatten, Permute, RepeatVector, Reshape
    from fastdrop.layers.resizing import Interpolate, Resizing
    from fastdrop.layers.rnn import (
        GRU,
        LSTM,
        Bidirectional,
        SimpleRNN,
        StackedRNN,
        TimeDistributed,
    )

__all__ = [
    "GLU",
    "GRU",
    "LSTM",
    "Accumulate",
    "Activation",
    "AdaptiveAveragePooling1D",
    "AdaptiveAveragePooling2D",
    "AdaptiveAveragePooling3D",
    "AdaptiveMaxPooling1D",
    "AdaptiveMaxPooling2D",
    "AdaptiveMaxPooling3D",
    "AdditiveAttention",
    "AlphaDropout",
    "ArgSort",
    "Attention",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "BatchNormalization",
    "Bidirectional",
    "CategoryEncoding",
    "ChannelsFirst",
    "Concatenate",
    "Constant",
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
    "ConvLSTM1D",
    "ConvLSTM2D",
    "ConvLSTM3D",
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "Declared",
    "Dense",
    "Difference",
    "Discretization",
    "Dot",
    "Draw",
    "Dropout",
    "Einsum",
    "EinsumDense",
    "Elementwise",
    "Embedding",
    "EmbeddingDropout",
    "ExpandDims",
    "Flatten",
    "Flow",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "GroupNormalization",
    "Identity",
    "IntegerLookup",
    "Interpolate",
    "Layer",
    "LayerNormalization",
    "Masking",
    "MatMul",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
    "Merge",
    "MultiHeadAttention",
    "Normalization",
    "PReLU",
    "Pad",
    "Permute",
    "Positions",
    "RMSNormalization",
    "RecurrentLoop",
    "Reduce",
    "Repeat",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "Resizing",
    "ReversibleEmbedding",
    "Roll",
    "SeparableConv1D",
    "SeparableConv2D",
    "Shape",
    "SimpleRNN",
    "Single",
    "Slice",
    "Softmax",
    "Sort",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "Split",
    "Squeeze",
    "Stack",
    "StackedRNN",
    "Take",
    "TakeAlong",
    "TimeDistributed",
    "Transpose",
    "UnitNormalization",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "WithMask",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
]


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})


# Imported in this order until a name is found, for a model of few kinds does not wait for all.
_FAMILIES = (
    "_layer",
    "core",
    "rnn",
    "loops",
    "regularization",
    "reshaping",
    "operations",
    "arranging",
    "ordering",
    "products",
    "resizing",
    "activations",
    "merging",
    "normalization",
    "pooling",
    "convolutional",
    "convolutional_rnn",
    "attention",
)


def __getattr__(name: str) -> object:
    if name in __all__:
        for family in _FAMILIES:
            found = getattr(import_module(f"fastdrop.layers.{family}"), name, None)
            if found is not None:
                globals()[name] = found
                return found
    raise AttributeError(f"module 'fastdrop.layers' has no attribute {name!r}")
