"""Dropout masks and Monte-Carlo dropout through recurrent networks, fast on CPUs."""

from importlib import import_module
from typing import TYPE_CHECKING

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
from fastdrop.masks import apply_mask, bernoulli, dropout, dropout_backward, unpack_mask
from fastdrop.random import Key
from fastdrop.recurrent import (
    PackedWeights,
    Stepper,
    gru,
    lstm,
    pack_gru,
    pack_lstm,
    pack_simple_rnn,
    rnn,
    simple_rnn,
    step,
)

if TYPE_CHECKING:
    from fastdrop import calibration, layers, scores, typing
    from fastdrop.formats import ModelFormatError, load
    from fastdrop.model import (
        Call,
        Ensemble,
        EnsemblePrediction,
        LayerSummary,
        Model,
        Stream,
        Summary,
    )
    from fastdrop.uncertainty import Prediction

__all__ = [
    "Call",
    "Ensemble",
    "EnsemblePrediction",
    "Info",
    "Key",
    "LayerSummary",
    "Model",
    "ModelFormatError",
    "PackedWeights",
    "Prediction",
    "Stepper",
    "Stream",
    "Summary",
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
    "typing",
    "unpack_mask",
    "zoneout",
]

# Imported when first asked for: who draws masks does not wait for what reads models.
_LAZY = {
    "Call": "fastdrop.model",
    "Ensemble": "fastdrop.model",
    "EnsemblePrediction": "fastdrop.model",
    "LayerSummary": "fastdrop.model",
    "Model": "fastdrop.model",
    "ModelFormatError": "fastdrop.formats",
    "Prediction": "fastdrop.uncertainty",
    "Stream": "fastdrop.model",
    "Summary": "fastdrop.model",
    "calibration": "",
    "layers": "",
    "load": "fastdrop.formats",
    "scores": "",
    "typing": "",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module 'fastdrop' has no attribute {name!r}")
    module = _LAZY[name]
    found = getattr(import_module(module), name) if module else import_module(f"fastdrop.{name}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
