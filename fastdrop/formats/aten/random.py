"""What is random: dropout, masks by random numbers, noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop.formats._networks import Networks
from fastdrop.formats._values import Spread, Steps, Tensor, UnsupportedError, Value
from fastdrop.formats.aten._rows import Arguments, row
from fastdrop.formats.aten.creation import filled

Array = NDArray[Any]

# So rare that it is looked for in the random numbers themselves.
_RARE = 1e-6


class Uses(dict[object, Any]):
    """What has been made of random numbers that are drawn once, in the one way that they are used.

    Another way would draw others.
    """

    def once(self, key: object, make: Callable[[], Any]) -> Any:
        if self and key not in self:
            raise UnsupportedError("random numbers that are drawn once and used in two ways")
        if key not in self:
            self[key] = make()
        return self[key]


@dataclass(frozen=True)
class Uniform:
    """Numbers from 0 to 1, a new one for each of a value, and something that is added to them.

    Where they are compared with a number, or rounded down, what comes out is 1 with a probability,
    as masks of dropout are.
    """

    value: Any
    plus: float = 0.0
    uses: Uses = field(default_factory=Uses)

    def drawn(self, b: Networks) -> Any:
        found = self.uses.once("drawn", lambda: of_rows(b, self.value, b.uniform))
        return _computed(b, "add", found, self.plus) if self.plus else found

    def below(self, b: Networks, bound: float, *, above: bool = False) -> Any:
        """Return whether they are below a number, or above it."""
        p = min(max(bound - self.plus, 0.0), 1.0)
        if "drawn" in self.uses or not _RARE < p < 1 - _RARE:  # as where logarithms are guarded
            return _computed(b, "greater_equal" if above else "less", self.drawn(b), bound)
        other = self.uses.get((p, not above))
        if isinstance(other, (Tensor, Steps)):
            return complement(b, other)
        return self.uses.once((p, above), lambda: chance(b, self.value, 1 - p if above else p))


@dataclass(frozen=True)
class DroppedWeights:
    """Numbers that depend on no input, of which some are dropped, anew in each sample.

    The mask's shape, `noise`, is broadcast to them. What is kept is times 1 / (1 - rate). Axes that
    were `swapped` are so in the mask too.
    """

    numbers: Array
    rate: float
    noise: tuple[int, ...]
    uses: Uses = field(default_factory=Uses)
    swapped: tuple[int, ...] = ()

    @property
    def ndim(self) -> int:
        return self.numbers.ndim

    @property
    def shape(self) -> tuple[int, ...]:
        return self.numbers.shape

    def with_numbers(self, numbers: Array) -> DroppedWeights:
        """Return others, of as many axes or of more in front, dropped by the same mask."""
        wide = (1,) * (numbers.ndim - len(self.noise)) + self.noise
        return DroppedWeights(numbers, self.rate, wide, self.uses, self.swapped)

    def of_layer(self) -> tuple[Array, float]:
        """Return them and the rate, for a layer that drops them, which is the only one."""
        self.uses.once(object(), lambda: None)
        return self.numbers, self.rate

    def steps(self, b: Networks) -> Steps:
        """Return them for each row, which has a mask of its own."""
        longer = [n == 1 != m for n, m in zip(self.noise, self.shape, strict=True)]
        shared = [axis + 1 for axis, found in enumerate(longer) if found]
        drop = partial(b.shared_dropout, rate=self.rate, axes=shared)
        # The same numbers, and no others by the same mask.
        key = "steps", self.numbers.tobytes(), self.noise, self.swapped
        found: Steps = self.uses.once(key, lambda: of_rows(b, self.numbers, drop))
        if (self.numbers == 1 - self.rate).all():
            b.chances.add(found.value.name)
        return found


@dataclass(frozen=True)
class Seed:
    """Whole numbers that are random."""


def tell_of_rows(b: Networks) -> None:
    note = "what the module draws once for all rows is drawn for each, or once by scope='shared'"
    b.notes += [note] if note not in b.notes else []


def of_rows(b: Networks, value: Any, draw: Callable[[Any], Value]) -> Any:
    """Draw for each row of its own what has no axis for rows, and is one for all in PyTorch."""
    if not isinstance(value, (Steps, np.ndarray)):
        return draw(value)
    tell_of_rows(b)
    numbers = value.value if isinstance(value, Steps) else Spread(value, 0)
    return Steps.of(draw(numbers))


def _computed(b: Networks, function: str, *values: Any) -> Any:
    """Compute number by number of a value and a number."""
    made: Any = b.elementwise(function, *(v.value if isinstance(v, Steps) else v for v in values))
    return Steps.of(made) if any(isinstance(v, Steps) for v in values) else made


def _plain(value: object) -> float | None:
    """Return a number that is no tensor, if it is one."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    return float(value) if isinstance(value, (int, float)) else None


def of_uniform(base: str, b: Networks, a: Arguments) -> Any:
    """Return what an operator makes of random numbers and of one that is known, or None."""
    first, *rest = a.values.values()
    if base == "floor" and isinstance(first, Uniform) and 0 <= first.plus <= 1:
        return first.below(b, 1.0, above=True)
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
    return uniform.below(b, bound, above=base in ("gt", "ge"))


def of_dropped(base: str, a: Arguments) -> DroppedWeights | None:
    """Return what an operator makes of numbers that are dropped, if it changes no mask."""
    first, *rest = a.values.values()
    if base in ("clone", "contiguous", "detach", "alias"):
        return first  # type: ignore[no-any-return]
    if base in ("to", "_to_copy"):
        return first if a.floats and not a.truth else None
    if base in ("expand", "expand_as", "broadcast_to") and isinstance(first, DroppedWeights):
        wanted = rest[0].shape if base == "expand_as" else tuple(rest[0])
        if not all(isinstance(n, int) for n in wanted):
            return None
        own = (1,) * (len(wanted) - first.ndim) + first.shape
        lengths = [n if m == -1 else m for n, m in zip(own, wanted, strict=True)]
        return first.with_numbers(np.broadcast_to(first.numbers, lengths))
    if base in ("t", "numpy_T", "mT", "transpose") and first.ndim > 1:
        axes = rest[:2] if base == "transpose" else (-1, -2)
        noise = np.swapaxes(np.broadcast_to(0, first.noise), *axes).shape
        swapped = (*first.swapped, *axes)
        turned = np.swapaxes(first.numbers, *axes)
        return DroppedWeights(turned, first.rate, noise, first.uses, swapped)
    if base not in ("mul", "div") or a.values.get("rounding_mode") is not None:
        return None
    if base == "mul" and isinstance(rest[0], DroppedWeights):
        first, *rest = rest[0], first
    if not isinstance(first, DroppedWeights) or not isinstance(rest[0], (int, float, np.ndarray)):
        return None
    compute = np.multiply if base == "mul" else np.divide
    return first.with_numbers(np.asarray(compute(first.numbers, rest[0]), np.float32))


@row("dropout")
def _dropout(b: Networks, a: Arguments) -> Any:
    value, rate = a.first(), float(a.p)
    if "seed" in a.values:  # fastdrop.torch's own
        return _drop_by_seed(b, a)
    if not a.train:
        return value
    if isinstance(value, np.ndarray):
        return DroppedWeights(np.asarray(value, np.float32), rate, value.shape)
    return of_rows(b, value, partial(b.dropout, rate=rate))


def _drop_by_seed(b: Networks, a: Arguments) -> Any:
    """Drop as `fastdrop.torch` does, which may share a mask; the seed is not that of the module."""
    value, rate, alpha = a.x, float(a.p), a.kind == "alpha"
    noise = value.shape if a.noise is None else a.noise
    if isinstance(value, np.ndarray) and not alpha:
        return DroppedWeights(np.asarray(value, np.float32), rate, tuple(noise))
    lead = 1 if isinstance(value, (Steps, np.ndarray)) else 0
    shared = [i + lead for i, n in enumerate(noise) if n == 1 and value.shape[i] != 1]
    if shared:
        return of_rows(b, value, partial(b.shared_dropout, rate=rate, axes=shared, alpha=alpha))
    return of_rows(b, value, partial(b.alpha_dropout if alpha else b.dropout, rate=rate))


@row("randint.low", "copy_seed")
def _seed(b: Networks, a: Arguments) -> Any:
    """Draw what `fastdrop.torch` makes a seed of, and nothing else can take."""
    return Seed()


@row("native_dropout")
def _native_dropout(b: Networks, a: Arguments) -> Any:
    return _dropout(b, a), None


@row("alpha_dropout")
def _alpha_dropout(b: Networks, a: Arguments) -> Any:
    if not a.train:
        return a.first()
    return of_rows(b, a.first(), partial(b.alpha_dropout, rate=float(a.p)))


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


def chance(b: Networks, value: Any, p: float) -> Any:
    """Draw 1 with a probability for each number of a value, and 0 otherwise."""
    if isinstance(value, np.ndarray):
        return DroppedWeights(np.full(value.shape, p, np.float32), 1 - p, value.shape)

    def draw(value: Value) -> Value:
        ones = b.elementwise("ones", value)
        found = b.elementwise("multiply", b.dropout(ones, 1 - p), p)
        assert isinstance(found, Tensor)
        b.chances.add(found.name)
        return found

    return of_rows(b, value, draw)


def is_chance(b: Networks, value: object) -> bool:
    value = value.value if isinstance(value, Steps) else value
    return isinstance(value, Tensor) and value.name in b.chances


def truth(b: Networks, condition: Any) -> Any:
    """Return a condition; of what is true with a probability, whether it mostly is."""
    if is_chance(b, condition):
        return b.elementwise("greater", condition, 0.5)
    return condition


def complement(b: Networks, value: Any) -> Any:
    """Return what is true where something, which is so with a probability, is not."""
    found = _computed(b, "subtract", 1.0, value)
    b.chances.add((found.value if isinstance(found, Steps) else found).name)
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
    return Uniform(filled(b, a.size, 0.0))


@row("uniform_")
def _uniform(b: Networks, a: Arguments) -> Any:
    low, high = a.values["from"], a.to
    if (low, high) == (0, 1):
        return Uniform(a.first())

    def draw(value: Value) -> Value:
        return b.elementwise("add", b.elementwise("multiply", b.uniform(value), high - low), low)

    return of_rows(b, a.first(), draw)


@row("randn_like", "normal_")
def _randn_like(b: Networks, a: Arguments) -> Any:
    std, mean = a.values.get("std", 1.0), a.values.get("mean", 0.0)

    def draw(value: Value) -> Value:
        found = b.noise(value)
        found = found if std == 1 else b.elementwise("multiply", found, std)
        return b.elementwise("add", found, mean) if mean else found

    return of_rows(b, a.first(), draw)


@row("randn", "normal.float_float")
def _randn(b: Networks, a: Arguments) -> Any:
    zeros = filled(b, a.size, 0.0)
    return _randn_like(b, Arguments({"self": zeros} | dict(a.values)))


@row("normal.Tensor_Tensor", "normal.float_Tensor", "normal.Tensor_float")
def _normal_of(b: Networks, a: Arguments) -> Any:
    spread = a.std if isinstance(a.std, (Tensor, Spread)) else a.mean
    return b.elementwise("add", b.elementwise("multiply", b.noise(spread), a.std), a.mean)
