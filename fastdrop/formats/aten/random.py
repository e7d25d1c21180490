"""What is random: dropout, masks by random numbers, noise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from fastdrop.formats._networks import Networks
from fastdrop.formats._tensors import Spread, Tensor, UnsupportedError, Value
from numpy.typing import NDArray

from fastdrop.formats.aten._rows import Arguments, row

Array = NDArray[Any]


@dataclass(frozen=True)
class Uniform:
    """Numbers from 0 to 1, a new one for each of a value, and something that is added to them.

    Where they are compared with a number, or rounded down, what comes out is 1 with a probability,
    as masks of dropout are.
    """

    value: Any
    plus: float = 0.0

    def tensor(self, b: Networks) -> Value:
        found = b.uniform(self.value)
        return b.elementwise("add", found, self.plus) if self.plus else found

    def below(self, b: Networks, bound: float) -> Value:
        """Return whether they are below a number."""
        return chance(b, self.value, min(max(bound - self.plus, 0.0), 1.0))


@dataclass(frozen=True)
class DroppedWeights:
    """Weights of which some are dropped, anew in each sample."""

    weights: Array
    rate: float


@dataclass(frozen=True)
class Seed:
    """Whole numbers that are random."""


def _plain(value: object) -> float | None:
    """Return a number that is no tensor, if it is one."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    return float(value) if isinstance(value, (int, float)) else None


def of_uniform(base: str, b: Networks, a: Arguments) -> Any:
    """Return what an operator makes of random numbers and of one that is known, or None."""
    first, *rest = a.values.values()
    if base == "floor" and isinstance(first, Uniform) and 0 <= first.plus <= 1:
        return chance(b, first.value, first.plus)
    if not rest or base not in ("add", "lt", "le", "gt", "ge"):
        return None
    uniform, bound = first, _plain(rest[0])
    if isinstance(rest[0], Uniform):
        uniform, bound = rest[0], _plain(first)
        base = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}.get(base, base)
    if bound is None or not isinstance(uniform, Uniform):
        return None
    if base == "add":
        return replace(uniform, plus=uniform.plus + bound) if a.alpha == 1 else None
    below = uniform.below(b, bound)
    if base in ("lt", "le"):
        return below
    return of_chance(b, below, b.elementwise("subtract", 1.0, below))


@row("dropout")
def _dropout(b: Networks, a: Arguments) -> Any:
    value = a.first()
    if isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype.kind == "f":
        return DroppedWeights(value, float(a.p)) if a.values.get("train", True) else value
    if "seed" in a.values:  # fastdrop.torch's own
        return _drop_by_seed(b, a)
    return b.dropout(a.first(), float(a.p)) if a.train else a.first()


def _drop_by_seed(b: Networks, a: Arguments) -> Any:
    """Drop as `fastdrop.torch` does, which may share a mask; the seed is not that of the module."""
    alpha = a.kind == "alpha"
    if a.noise is None:
        return (b.alpha_dropout if alpha else b.dropout)(a.x, float(a.p))
    shared = [i for i, n in enumerate(a.noise) if n == 1 and a.x.shape[i] != 1]
    return b.shared_dropout(a.x, float(a.p), shared, alpha=alpha)


@row("randint.low", "copy_seed")
def _seed(b: Networks, a: Arguments) -> Any:
    """Draw what `fastdrop.torch` makes a seed of, and nothing else can take."""
    return Seed()


@row("native_dropout")
def _native_dropout(b: Networks, a: Arguments) -> Any:
    return (b.dropout(a.first(), float(a.p)) if a.train else a.first(), None)


@row("alpha_dropout")
def _alpha_dropout(b: Networks, a: Arguments) -> Any:
    return b.alpha_dropout(a.first(), float(a.p)) if a.train else a.first()


@row("feature_dropout")
def _feature_dropout(b: Networks, a: Arguments) -> Any:
    return b.feature_dropout(a.first(), float(a.p)) if a.train else a.first()


@row("feature_alpha_dropout")
def _feature_alpha_dropout(b: Networks, a: Arguments) -> Any:
    return b.feature_dropout(a.first(), float(a.p), alpha=True) if a.train else a.first()


@row("bernoulli.p", "bernoulli_.float")
def _bernoulli(b: Networks, a: Arguments) -> Any:
    """Draw 1 with a probability: dropout of ones, which is off where dropout is, times it."""
    return chance(b, a.first(), float(a.p))


def chance(b: Networks, value: Any, p: float) -> Value:
    """Draw 1 with a probability for each number of a value, and 0 otherwise."""
    if not isinstance(value, (Tensor, Spread)):
        raise UnsupportedError("random numbers that rows of a batch share")
    ones = b.elementwise("ones", value)
    if not isinstance(ones, Tensor):
        ones = b.some_tensor(ones)
    found = b.elementwise("multiply", b.dropout(ones, 1 - p), p)
    assert isinstance(found, Tensor)
    b.chances.add(found.name)
    return found


def is_chance(b: Networks, value: object) -> bool:
    return isinstance(value, Tensor) and value.name in b.chances


def truth(b: Networks, condition: Any) -> Any:
    """Return a condition; of what is true with a probability, whether it mostly is."""
    if is_chance(b, condition):
        return b.elementwise("greater", condition, 0.5)
    return condition


def of_chance(b: Networks, value: Any, found: Any) -> Any:
    """Return what is made of a value, which is true with a probability if that was."""
    if is_chance(b, value):
        b.chances.add(found.name)
    return found


@row("bernoulli", "bernoulli_.Tensor")
def _bernoulli_of(b: Networks, a: Arguments) -> Any:
    value = a.values.get("p", a.first())
    shape = a.first()
    constant = value.value if isinstance(value, Spread) else value
    if isinstance(constant, Tensor) and constant.name in b.filled:
        constant = b.filled[constant.name]
    if isinstance(constant, Tensor) or np.ptp(constant):
        raise UnsupportedError("random numbers of several probabilities")
    return _bernoulli(b, Arguments({"self": shape, "p": float(np.ravel(constant)[0])}))


@row("rand_like")
def _rand_like(b: Networks, a: Arguments) -> Any:
    return Uniform(a.first())


@row("rand")
def _rand(b: Networks, a: Arguments) -> Any:
    return Uniform(b.expand(np.asarray(0.0), list(a.size)))


@row("uniform_")
def _uniform(b: Networks, a: Arguments) -> Any:
    low, high = a.values["from"], a.to
    found = Uniform(a.first())
    if (low, high) == (0, 1):
        return found
    scaled = b.elementwise("multiply", found.tensor(b), high - low)
    return b.elementwise("add", scaled, low)


@row("randn_like", "normal_")
def _randn_like(b: Networks, a: Arguments) -> Any:
    found = b.noise(a.first())
    if a.values.get("std", 1.0) != 1:
        found = b.elementwise("multiply", found, a.std)
    return b.elementwise("add", found, a.mean) if a.values.get("mean", 0.0) else found


@row("randn", "normal.float_float")
def _randn(b: Networks, a: Arguments) -> Any:
    zeros = b.expand(np.asarray(0.0), list(a.size))
    return _randn_like(b, Arguments({"self": zeros} | dict(a.values)))


@row("normal.Tensor_Tensor", "normal.float_Tensor", "normal.Tensor_float")
def _normal_of(b: Networks, a: Arguments) -> Any:
    spread = a.std if isinstance(a.std, (Tensor, Spread)) else a.mean
    return b.elementwise("add", b.elementwise("multiply", b.noise(spread), a.std), a.mean)
