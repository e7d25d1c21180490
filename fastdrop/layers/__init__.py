"""What models are made of: layers named, shaped and behaving as Keras's own.

A chain of layers is ``fastdrop.Model([...], input_shape)``; `Call` makes a graph of them.
"""

from fastdrop.layers._layer import Declared, Draw, Flow, Layer, Shape, Single
from fastdrop.layers.activations import Activation, PReLU, Softmax
from fastdrop.layers.core import Dense, Embedding
from fastdrop.layers.merging import Concatenate, Dot, Merge
from fastdrop.layers.operations import (
    Elementwise,
    ExpandDims,
    MatMul,
    Reduce,
    Slice,
    Squeeze,
    Stack,
    Transpose,
    WithMask,
)
from fastdrop.layers.regularization import Dropout, SpatialDropout1D
from fastdrop.layers.reshaping import Flatten, Permute, RepeatVector, Reshape
from fastdrop.layers.rnn import (
    GRU,
    LSTM,
    Bidirectional,
    SimpleRNN,
    StackedRNN,
    TimeDistributed,
)

__all__ = [
    "GRU",
    "LSTM",
    "Activation",
    "Bidirectional",
    "Concatenate",
    "Declared",
    "Dense",
    "Dot",
    "Draw",
    "Dropout",
    "Elementwise",
    "Embedding",
    "ExpandDims",
    "Flatten",
    "Flow",
    "Layer",
    "MatMul",
    "Merge",
    "PReLU",
    "Permute",
    "Reduce",
    "RepeatVector",
    "Reshape",
    "Shape",
    "SimpleRNN",
    "Single",
    "Slice",
    "Softmax",
    "SpatialDropout1D",
    "Squeeze",
    "Stack",
    "StackedRNN",
    "TimeDistributed",
    "Transpose",
    "WithMask",
]
