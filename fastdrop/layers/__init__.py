"""What models are made of: layers named, shaped and behaving as Keras's own.

A chain of layers is ``fastdrop.Model([...], input_shape)``; `Call` makes a graph of them.
"""

from fastdrop.layers._layer import Declared, Draw, Flow, Layer, Shape, Single
from fastdrop.layers.activations import Activation
from fastdrop.layers.core import Dense, Embedding
from fastdrop.layers.operations import NotEqual, WithMask
from fastdrop.layers.regularization import Dropout, SpatialDropout1D
from fastdrop.layers.reshaping import RepeatVector
from fastdrop.layers.rnn import GRU, LSTM, Bidirectional, SimpleRNN, TimeDistributed

__all__ = [
    "GRU",
    "LSTM",
    "Activation",
    "Bidirectional",
    "Declared",
    "Dense",
    "Draw",
    "Dropout",
    "Embedding",
    "Flow",
    "Layer",
    "NotEqual",
    "RepeatVector",
    "Shape",
    "SimpleRNN",
    "Single",
    "SpatialDropout1D",
    "TimeDistributed",
    "WithMask",
]
