"""Dropout masks and Monte-Carlo dropout through recurrent networks, fast on CPUs."""

from fastdrop._backend import Info, info
from fastdrop.feedforward import activate, dense
from fastdrop.formats import ModelFormatError, load
from fastdrop.masks import bernoulli, dropout
from fastdrop.model import Model, Prediction
from fastdrop.random import Key
from fastdrop.recurrent import lstm

__version__ = "0.1.0"

__all__ = [
    "Info",
    "Key",
    "Model",
    "ModelFormatError",
    "Prediction",
    "activate",
    "bernoulli",
    "dense",
    "dropout",
    "info",
    "load",
    "lstm",
]
