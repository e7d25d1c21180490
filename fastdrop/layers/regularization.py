"""Layers that are random while sampling, and pass everything on otherwise."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fastdrop import _check
from fastdrop.family import alpha_dropout, gaussian_dropout, gaussian_noise
from fastdrop.layers._layer import Array, Draw, Flow, Shape, Single
from fastdrop.layers._windows import Spatial
from fastdrop.masks import drop_streams, dropout


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class _Drop(Single):
    """Dropout of elements or of groups of them."""

    rate: float

    rate_fields: ClassVar[tuple[str, ...]] = ("rate",)
    can_draw = True
    passes_mask = True
    kind: ClassVar[str] = "dropout"

    def __post_init__(self) -> None:
        _check.probability(self.rate, f"{self.label} rate")

    @property
    def stochastic(self) -> str:
        return f"{self.kind} {self.rate:g}" if _check.threshold(self.rate) else ""

    def each_step(self, inputs: Sequence[Shape]) -> bool:
        return True

    def mask_elements(self, inputs: Sequence[Shape]) -> int:
        return math.prod(n or 1 for n in inputs[0])


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class _Noisy(_Drop):
    """Dropout with a noise shape, to which a row's mask is broadcast."""

    noise_shape: tuple[int | None, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.noise_shape is None:
            return
        noise = _check.open_shape(self.noise_shape, f"{self.label} noise_shape")
        if not noise or noise[0] not in (None, 1):
            expected = "a shape whose first entry, for the batch, is None or 1"
            _check.refuse(ValueError, f"{self.label} noise_shape", expected, noise)
        self.prepare(noise_shape=noise)

    def each_step(self, inputs: Sequence[Shape]) -> bool:
        # A mask that is told to have so many steps has another number of them for one.
        return self.noise_shape is None or self.noise_shape[1] in (None, 1)

    def draws_for(self, inputs: Sequence[Shape]) -> str:
        return "rows" if self.noise_shape is not None and self.noise_shape[1] == 1 else "places"

    def output_shape(self, shape: Shape) -> Shape:
        if self.noise_shape is not None:
            noise = self.noise_shape[1:]
            fits = len(noise) == len(shape) and all(
                n in (None, 1) or n == s or s is None for n, s in zip(noise, shape, strict=True)
            )
            self.check_fits(shape, f"to which {noise} broadcasts", fits)
        return shape


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Dropout(_Noisy):
    """Elementwise dropout, a new mask value for every element of the (broadcast) noise shape."""

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        return flow if draw is None else dropped(flow, draw, self.rate, self.noise_shape)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class AlphaDropout(_Noisy):
    """Dropout that keeps mean and variance, for SELU: what is dropped becomes its lower limit."""

    kind: ClassVar[str] = "alpha dropout"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check.recurrent_rate(self.rate, f"{self.label} rate")

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        if draw is None:
            return flow
        return dropped(flow, draw, self.rate, self.noise_shape, alpha_dropout)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class SpatialDropout1D(_Drop):
    """Drop whole channels: one mask value for a row's channel, the same at all time steps."""

    takes_table: ClassVar[bool] = True
    kind: ClassVar[str] = "spatial dropout"

    def output_shape(self, shape: Shape) -> Shape:
        self.check_fits(shape, "(time, channels)", len(shape) == 2)
        return shape

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        if draw is None:
            return flow
        everything = _check.threshold(self.rate) >> 32
        if flow.table is None or flow.factors is not None or everything:
            return dropped(flow.looked_up(), draw, self.rate, (None, 1, None))
        # The same mask elements, kept as factors so that nothing has to be looked up yet.
        factors = draw.masks(0, self.rate, 1, flow.table.shape[1])
        assert factors is not None
        return Flow(flow.values, flow.mask, flow.table, factors[:, :, 0])


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class _SpatialDropout(_Drop, Spatial):
    kind: ClassVar[str] = "spatial dropout"

    def output_shape(self, shape: Shape) -> Shape:
        self.check_rank(shape)
        return shape

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        noise_shape = (None, *(1,) * self.dims, None)
        return flow if draw is None else dropped(flow, draw, self.rate, noise_shape)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class SpatialDropout2D(_SpatialDropout):
    """Drop whole channels of images: one mask value for a row's channel, the same everywhere."""

    dims: ClassVar[int] = 2


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class SpatialDropout3D(_SpatialDropout):
    """Drop whole channels of volumes: one mask value for a row's channel, the same everywhere."""

    dims: ClassVar[int] = 3


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class _Gaussian(Single):
    """Normal noise, a number of its own for every element."""

    can_draw = True
    passes_mask = True

    def each_step(self, inputs: Sequence[Shape]) -> bool:
        return True

    def draws_for(self, inputs: Sequence[Shape]) -> str:
        return "places"

    def mask_elements(self, inputs: Sequence[Shape]) -> int:
        # There are fewer normal numbers than mask elements, so rows end so much sooner.
        return math.prod(n or 1 for n in inputs[0]) * (_check.INDEX_END // _check.NORMALS_END)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class GaussianDropout(_Gaussian):
    """Multiply by normal noise of mean 1 and the variance that dropout at this rate has."""

    rate: float

    rate_fields: ClassVar[tuple[str, ...]] = ("rate",)

    def __post_init__(self) -> None:
        _check.probability(self.rate, f"{self.label} rate", below_one=True)

    @property
    def stochastic(self) -> str:
        return f"Gaussian dropout {self.rate:g}" if self.rate else ""

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        if draw is None:
            return flow
        return _noisy(flow, draw, self.rate, gaussian_dropout, np.multiply, 1.0)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class GaussianNoise(_Gaussian):
    """Add normal noise of mean 0. Its rate is the standard deviation."""

    stddev: float

    rate_fields: ClassVar[tuple[str, ...]] = ("stddev",)

    def __post_init__(self) -> None:
        _check.stddev(self.stddev, f"{self.label} stddev")

    @property
    def stochastic(self) -> str:
        return f"Gaussian noise {self.stddev:g}" if self.stddev else ""

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        if draw is None:
            return flow
        return _noisy(flow, draw, self.stddev, gaussian_noise, np.add, 0.0)


def _noisy(
    flow: Flow,
    draw: Draw,
    amount: float,
    function: Callable[..., Array],
    apply: np.ufunc,
    neutral: float,
) -> Flow:
    """Apply a function of normal noise, which changes `neutral` numbers to the noise itself."""
    values = np.empty((len(draw.samples), *flow.values.shape[1:]), flow.values.dtype)
    rows, *lengths = values.shape[1:]
    options: dict[str, Any] = {"rng": draw.key, "threads": 1}
    for j, sample in enumerate(draw.samples):
        given = flow.values[j if len(flow.values) > 1 else 0]
        options["stream"] = draw.stream(sample)
        if not draw.period or not rows:
            offset = draw.first_row * math.prod(lengths)
            function(given, amount, offset=offset, out=values[j], **options)
            continue
        # In binary64, in which the function works and from which it rounds once.
        noise = function(np.full((draw.period, *lengths), neutral), amount, **options)
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            for row in range(0, rows, draw.period):
                block = slice(row, row + draw.period)
                values[j, block] = apply(given[block], noise)
    return flow.with_values(values)


def dropped(
    flow: Flow,
    draw: Draw,
    rate: float,
    noise_shape: tuple[int | None, ...] | None = None,
    function: Callable[..., Array] = dropout,
) -> Flow:
    """Draw a mask of the noise shape for every sample and apply it as a function does."""
    values = np.empty((len(draw.samples), *flow.values.shape[1:]), flow.values.dtype)
    rows, *lengths = values.shape[1:]
    noise = _check.noise_shape(noise_shape, values.shape[1:])
    # One mask for all rows, by the layer's own shape, starts at element 0; so does a period.
    one = noise_shape is not None and noise_shape[0] == 1
    period = 1 if one else draw.period
    offset = 0 if period else draw.first_row * math.prod(noise[1:])
    period = period or rows
    shape = (rows // period, period, *lengths) if rows else values.shape[1:]
    noise = (1, period, *noise[1:]) if rows else noise
    if function is dropout:  # the most common layer: checked once for all samples
        given = np.ascontiguousarray(flow.values).reshape(len(flow.values), *shape)
        first = draw.stream(draw.samples.start)  # each further sample has the next
        out = values.reshape(len(values), *shape)
        drop_streams(given, rate, draw.key, first, offset, noise, out)
        return flow.with_values(values)
    for j, sample in enumerate(draw.samples):
        function(
            flow.values[j if len(flow.values) > 1 else 0].reshape(shape),
            rate,
            rng=draw.key,
            stream=draw.stream(sample),
            offset=offset,
            noise_shape=noise,
            out=values[j].reshape(shape),
            threads=1,
        )
    return flow.with_values(values)
