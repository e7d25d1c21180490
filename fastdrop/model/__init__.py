"""Models: predictions with dropout off, and Monte-Carlo predictions with dropout on."""

from fastdrop.model._ensemble import Ensemble, EnsemblePrediction
from fastdrop.model._graph import Call
from fastdrop.model._model import Model
from fastdrop.model._stream import Stream
from fastdrop.model._summary import LayerSummary, Summary

__all__ = [
    "Call",
    "Ensemble",
    "EnsemblePrediction",
    "LayerSummary",
    "Model",
    "Stream",
    "Summary",
]


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
