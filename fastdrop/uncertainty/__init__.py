"""From samples to answers: what is folded while sampling, and what the samples say."""

from fastdrop.uncertainty._prediction import Prediction
from fastdrop.uncertainty._quantiles import QuantileSketch
from fastdrop.uncertainty._statistics import (
    Covariance,
    ExpectedEntropy,
    Fold,
    FourthMoments,
    Moments,
    Statistic,
    Votes,
)

__all__ = [
    "Covariance",
    "ExpectedEntropy",
    "Fold",
    "FourthMoments",
    "Moments",
    "Prediction",
    "QuantileSketch",
    "Statistic",
    "Votes",
]


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
