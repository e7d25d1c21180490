"""Dropout masks and Monte-Carlo dropout through recurrent networks, fast on CPUs."""

from fastdrop import calibration, layers, scores
from fastdrop._backend import Info, info
from fastdrop._version import __version__
from fastdrop.family import (
    alpha_dropout,
    drop_connect,
    embedding_dropout,
    gaussian_dropout,
    gaussian_noise,
    spatial_dropout1d,
    spatial_dropout2d,
    spatial_dropout3d,
    zoneout,
)
from fastdrop.feedforward import activate, dense
from fastdrop.formats import ModelFormatError, load
from fastdrop.masks import apply_mask, bernoulli, dropout, dropout_backward
from fastdrop.model import Call, Ensemble, Model
from fastdrop.packed import PackedWeights, pack_gru, pack_lstm, pack_simple_rnn
from fastdrop.random import Key
from fastdrop.recurrent import gru, lstm, rnn, simple_rnn, step
from fastdrop.uncertainty import Prediction

__all__ = [
    "Call",
    "Ensemble",
    "Info",
    "Key",
    "Model",
    "ModelFormatError",
    "PackedWeights",
    "Prediction",
    "__version__",
    "activate",
    "alpha_dropout",
    "apply_mask",
    "bernoulli",
    "calibration",
    "dense",
    "drop_connect",
    "dropout",
    "dropout_backward",
    "embedding_dropout",
    "gaussian_dropout",
    "gaussian_noise",
    "gru",
    "info",
    "layers",
    "load",
    "lstm",
    "pack_gru",
    "pack_lstm",
    "pack_simple_rnn",
    "rnn",
    "scores",
    "simple_rnn",
    "spatial_dropout1d",
    "spatial_dropout2d",
    "spatial_dropout3d",
    "step",
    "zoneout",
]
