"""Dropout for training with PyTorch on CPUs: functions, modules, exchanging those of a model."""

from typing import TYPE_CHECKING

from fastdrop import _check

if TYPE_CHECKING:
    from fastdrop.torch._export import from_torch

try:
    import torch  # noqa: F401
except ImportError as _error:
    raise _check.missing("fastdrop.torch", "PyTorch 2.6 or newer", "torch") from _error

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


def __getattr__(name: str) -> object:
    if name != "from_torch":
        raise AttributeError(f"module 'fastdrop.torch' has no attribute {name!r}")
    # Imported when first asked for: who trains does not wait for what exports.
    from fastdrop.torch._export import from_torch

    globals()[name] = from_torch
    return from_torch


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
