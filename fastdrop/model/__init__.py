"""Layers in a row: predictions with dropout off, and Monte-Carlo predictions with dropout on."""

from fastdrop.model._model import Model
from fastdrop.model._prediction import Prediction
from fastdrop.model.layers import LSTM, Activation, Dense, Dropout, Embedding, Layer

__all__ = [
    "LSTM",
    "Activation",
    "Dense",
    "Dropout",
    "Embedding",
    "Layer",
    "Model",
    "Prediction",
]
