"""What the tables of cases are made of: a name, the inputs, and a model.

A model is either the layers of a Sequential, written as `L.Dense(3)` and constructed only once it
is known with which Keras, or a function of keras and the input tensors that returns the outputs.
Units are few, and differ from each other, so that a wrong axis is a wrong shape.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray


class Later:
    """A name of Keras, or a call of one, that waits for the Keras it is looked up in."""

    def __init__(self, path: tuple[str, ...], call: tuple[Any, Any] | None = None) -> None:
        self.path, self.call = path, call

    def __getattr__(self, name: str) -> Later:
        return Later((*self.path, name))

    def __call__(self, *args: Any, **kwargs: Any) -> Later:
        return Later(self.path, (args, kwargs))

    def make(self, keras: Any) -> Any:
        value = keras
        for name in self.path:
            value = getattr(value, name)
        if self.call is None:
            return value
        args, kwargs = self.call
        return value(
            *[made(x, keras) for x in args], **{k: made(x, keras) for k, x in kwargs.items()}
        )


def made(value: Any, keras: Any) -> Any:
    if isinstance(value, Later):
        return value.make(keras)
    if isinstance(value, list) and any(isinstance(x, Later) for x in value):
        return [made(x, keras) for x in value]
    return value


@dataclass
class Case:
    """One model and what it is fed."""

    name: str
    inputs: list[Array]
    model: Any
    only: str = ""  # the one major version that has this
    both: bool = False  # in both forms, always
    fixed_batch: bool = False  # the file says how many rows there are
    bare: bool = False  # a Sequential without an input
    shapes: list[tuple[int | None, ...]] | None = None  # of the inputs, where None stands in them
    input_names: list[str] | None = None  # the model takes a dict
    policy: str = "float32"
    prepare: Callable[..., None] | None = None  # done to the model before it gets its weights
    stochastic: str = ""  # "rows": every row draws for itself; "passes": rows share masks
    random: bool = False  # dropout is on in `predict` as well: only moments are kept
    skip: tuple[str, ...] = ()  # versions that compute it wrongly
    unread: bool = False  # Keras itself cannot read it again
    constant: bool = False  # the outputs may be all the same
    cut: bool = False  # the inputs are not what the model's types hold: Keras cuts them to it


CASES: list[Case] = []
L = Later(("layers",))
A = Later(("activations",))


def add(name: str, inputs: Array | list[Array], model: Any, **options: Any) -> None:
    assert all(case.name != name for case in CASES), name
    arrays = inputs if isinstance(inputs, list) else [inputs]
    CASES.append(Case(name, arrays, model, **options))


def floats(*shape: int, tag: int = 0, positive: bool = False) -> Array:
    rng = np.random.default_rng([*shape, tag])
    x = np.round(rng.normal(0.0, 1.0, shape) * 16) / 16
    return (np.abs(x) + 0.25 if positive else x).astype(np.float32)


# Rows of all kinds: nothing missing, padding behind, in front, in the middle, nothing but padding.
PATTERN = np.array(
    [[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1], [1, 0, 1, 1, 0, 1], [0] * 6], bool
)
SOME = PATTERN[:4]  # every row has something


def padded(features: int, value: float = 0.0, pattern: Array = PATTERN, tag: int = 0) -> Array:
    x = floats(*pattern.shape, features, tag=tag)
    x[..., 0] += np.where(x[..., 0] == np.float32(value), np.float32(0.5), np.float32(0))
    x[~pattern] = value
    x[0, 1, -1] = value  # one feature alone masks nothing
    return x


def tokens(*shape: int, of: int, low: int = 0, dtype: str = "int32") -> Array:
    rng = np.random.default_rng([*shape, of])
    return rng.integers(low, of, shape).astype(dtype)


def padded_tokens(of: int, pattern: Array = PATTERN) -> Array:
    return np.where(pattern, tokens(*pattern.shape, of=of, low=1), 0).astype(np.int32)


X2, X3, X4 = floats(3, 4), floats(2, 5, 3), floats(2, 5, 4, 3)
XM = padded(3)
MASK = L.Masking(0.0)
