"""Layers in a row: predictions with dropout off, and Monte-Carlo predictions with dropout on."""

from fastdrop.model._flow import Layer
from fastdrop.model._model import Model
from fastdrop.model._prediction import Prediction
from fastdrop.model.layers import (
    Activation,
    Dense,
    Dropout,
    Embedding,
    RepeatVector,
    SpatialDropout1D,
    TimeDistributed,
)
from fastdrop.model.recurrent import GRU, LSTM, Bidirectional, SimpleRNN

__all__ = [
    "GRU",
    "LSTM",
    "Activation",
    "Bidirectional",
    "Dense",
    "Dropout",
    "Embedding",
    "Layer",
    "Model",
    "Prediction",
    "RepeatVector",
    "SimpleRNN",
    "SpatialDropout1D",
    "TimeDistributed",
]
