"""What models are made of: layers named, shaped and behaving as Keras's own.

A chain of layers is ``fastdrop.Model([...], input_shape)``; `Call` makes a graph of them.
"""

from fastdrop.layers._layer import Declared, Draw, Flow, Layer, Shape, Single
from fastdrop.layers.activations import Activation
from fastdrop.layers.core import Dense, Embedding, Identity, Masking
from fastdrop.layers.operations import NotEqual, WithMask
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
    "Bidirectional",
    "Declared",
    "Dense",
    "Draw",
    "Dropout",
    "Embedding",
    "Flatten",
    "Flow",
    "GaussianDropout",
    "GaussianNoise",
    "Identity",
    "Layer",
    "Masking",
    "NotEqual",
    "Permute",
    "RepeatVector",
    "Reshape",
    "Shape",
    "SimpleRNN",
    "Single",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "TimeDistributed",
    "WithMask",
]
