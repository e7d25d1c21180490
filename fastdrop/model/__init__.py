"""Models: predictions with dropout off, and Monte-Carlo predictions with dropout on."""

from fastdrop.model._graph import Call
from fastdrop.model._model import Model
from fastdrop.model._summary import LayerSummary, Summary

__all__ = ["Call", "LayerSummary", "Model", "Summary"]
