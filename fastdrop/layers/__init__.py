"""What models are made of: layers named, shaped and behaving as Keras's own.

A chain of layers is ``fastdrop.Model([...], input_shape)``; `Call` makes a graph of them.
"""

from fastdrop.layers._layer import Declared, Draw, Flow, Layer, Shape, Single
from fastdrop.layers.activations import Activation
from fastdrop.layers.convolutional import (
    Conv1D,
    Conv2D,
    Cropping1D,
    Cropping2D,
    UpSampling1D,
    UpSampling2D,
    ZeroPadding1D,
    ZeroPadding2D,
)
from fastdrop.layers.core import Dense, Embedding, Identity, Masking
from fastdrop.layers.normalization import (
    BatchNormalization,
    LayerNormalization,
    Normalization,
    Rescaling,
    UnitNormalization,
)
from fastdrop.layers.operations import NotEqual, WithMask
from fastdrop.layers.pooling import (
    AveragePooling1D,
    AveragePooling2D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    MaxPooling1D,
    MaxPooling2D,
)
from fastdrop.layers.regularization import (
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout1D,
    SpatialDropout2D,
)
from fastdrop.layers.reshaping import Flatten, Permute, RepeatVector, Reshape
from fastdrop.layers.rnn import GRU, LSTM, Bidirectional, SimpleRNN, TimeDistributed

__all__ = [
    "GRU",
    "LSTM",
    "Activation",
    "AlphaDropout",
    "AveragePooling1D",
    "AveragePooling2D",
    "BatchNormalization",
    "Bidirectional",
    "Conv1D",
    "Conv2D",
    "Cropping1D",
    "Cropping2D",
    "Declared",
    "Dense",
    "Draw",
    "Dropout",
    "Embedding",
    "Flatten",
    "Flow",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "Identity",
    "Layer",
    "LayerNormalization",
    "Masking",
    "MaxPooling1D",
    "MaxPooling2D",
    "Normalization",
    "NotEqual",
    "Permute",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "Shape",
    "SimpleRNN",
    "Single",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "TimeDistributed",
    "UnitNormalization",
    "UpSampling1D",
    "UpSampling2D",
    "WithMask",
    "ZeroPadding1D",
    "ZeroPadding2D",
]
