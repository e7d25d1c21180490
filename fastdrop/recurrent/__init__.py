"""Recurrent layers with dropout: arguments, then a plan, then its run."""

from fastdrop.recurrent._arguments import SITES
from fastdrop.recurrent._functions import gru, lstm, rnn, simple_rnn, step
from fastdrop.recurrent._masks import recurrent_masks
from fastdrop.recurrent._packed import (
    PackedWeights,
    pack_gru,
    pack_lstm,
    pack_simple_rnn,
)
from fastdrop.recurrent._run import merge
from fastdrop.recurrent._stepper import Stepper

__all__ = [
    "SITES",
    "PackedWeights",
    "Stepper",
    "gru",
    "lstm",
    "merge",
    "pack_gru",
    "pack_lstm",
    "pack_simple_rnn",
    "recurrent_masks",
    "rnn",
    "simple_rnn",
    "step",
]


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
