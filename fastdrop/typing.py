"""Types of what public functions take, for annotations of your own.

ArrayLike
    What is read as an array: what NumPy reads as one (arrays, numbers, lists of them, and objects
    with ``__array__`` such as frames of pandas and tensors of PyTorch or JAX), and what hands one
    over by DLPack. All in main memory: arrays of a GPU are refused.
RNGLike
    What ``rng=`` takes: None, int, Key, SeedSequence, Generator or BitGenerator.
Activation
    The name of an activation, or a tuple of it and its parameters: see `fastdrop.activate`.
Scheme
    Which masks a recurrent layer draws: "per_gate", "tied" or "per_step".
Scope
    Whose they are: "per_row" or "shared".
MergeMode
    How two directions become one: "concat", "sum", "mul" or "ave".
Precision
    What products are taken in: "float32" or "bfloat16".
Inputs
    What a model takes: an array, or several in a list or, by name, in a dict.
Kind
    What outputs are: "auto", "regression", "binary" or "multiclass".
Likelihood, Scale
    What an output says of its noise: "normal"; "log_variance", "log_std", "softplus" or "std".
Interrupt
    What Ctrl-C does: "raise" or "return".
LayerState
    The state of a recurrent layer in one direction: h, and of an LSTM (h, c).
SupportsDLPack
    An object that hands over an array by DLPack.

Examples
--------
>>> import fastdrop as fd
>>> from fastdrop.typing import ArrayLike, RNGLike, Scope
>>> def locked(x: ArrayLike, rng: RNGLike = None, scope: Scope = "per_row"):
...     return fd.embedding_dropout([[0, 1]], x, 0.5, rng=rng, scope=scope)
>>> locked([[1.0], [2.0]], rng=1).shape
(1, 2, 1)
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ForwardRef, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from fastdrop._check import (
    Activation,
    Interrupt,
    Kind,
    Likelihood,
    MergeMode,
    Precision,
    Scale,
    Scheme,
    Scope,
)
from fastdrop.random import Key

__all__ = [
    "Activation",
    "ArrayLike",
    "Inputs",
    "Interrupt",
    "Kind",
    "LayerState",
    "Likelihood",
    "MergeMode",
    "Precision",
    "RNGLike",
    "Scale",
    "Scheme",
    "Scope",
    "SupportsDLPack",
]


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


class SupportsDLPack(Protocol):
    """An object that hands over an array by DLPack, as the array API standard describes it."""

    def __dlpack__(self) -> Any:
        """Return a capsule that holds the array."""

    def __dlpack_device__(self) -> tuple[int, int]:
        """Return the kind of the device that the array is on, and its number."""


ArrayLike: TypeAlias = npt.ArrayLike | SupportsDLPack
Inputs: TypeAlias = ArrayLike | Sequence[ArrayLike] | Mapping[str, ArrayLike]
LayerState: TypeAlias = npt.NDArray[Any] | tuple[npt.NDArray[Any], npt.NDArray[Any]]

if TYPE_CHECKING:
    RNGLike: TypeAlias = (
        int | Key | np.random.SeedSequence | np.random.Generator | np.random.BitGenerator | None
    )
else:  # to be looked up when it is asked for: numpy.random takes a while to import
    RNGLike = ForwardRef(
        "int | Key | np.random.SeedSequence | np.random.Generator | np.random.BitGenerator | None",
        module=__name__,
    )
