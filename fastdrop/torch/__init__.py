"""Dropout for training with PyTorch on CPUs: functions, modules, exchanging those of a model."""

from fastdrop import _check

try:
    import torch  # noqa: F401
except ImportError as _error:
    raise _check.missing("fastdrop.torch", "PyTorch 2.6 or newer", "torch") from _error

from fastdrop.torch._export import from_torch
from fastdrop.torch._functional import (
    alpha_dropout,
    dropout,
    dropout1d,
    dropout2d,
    locked_dropout,
)
from fastdrop.torch._modules import (
    AlphaDropout,
    Dropout,
    Dropout1d,
    Dropout2d,
    LockedDropout,
    WeightDrop,
    replace_dropout,
)

__all__ = [
    "AlphaDropout",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "LockedDropout",
    "WeightDrop",
    "alpha_dropout",
    "dropout",
    "dropout1d",
    "dropout2d",
    "from_torch",
    "locked_dropout",
    "replace_dropout",
]


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
