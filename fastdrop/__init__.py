"""Dropout masks and Monte-Carlo dropout through recurrent networks, fast on CPUs."""

from fastdrop._backend import Info, info
from fastdrop._version import __version__
from fastdrop.feedforward import activate, dense
from fastdrop.formats import ModelFormatError, load
from fastdrop.masks import bernoulli, dropout
from fastdrop.model import Model, Prediction
from fastdrop.random import Key
from fastdrop.recurrent import lstm

__all__ = [
    "Info",
    "Key",
    "Model",
    "ModelFormatError",
    "Prediction",
    "__version__",
    "activate",
    "bernoulli",
    "dense",
    "dropout",
    "info",
    "load",
    "lstm",
]
