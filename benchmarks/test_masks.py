"""Masks and dropout: one thread, by tier, size and rate."""

from typing import Any

import numpy as np
import pytest

import fastdrop as fd

SIZES = [64, 4096, 1 << 20]


@pytest.mark.parametrize("rate", [0.1, 0.5])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", ["packed", "bool"])
def test_bernoulli(timed: Any, dtype: str, size: int, rate: float) -> None:
    out = fd.bernoulli(rate, size, rng=0, dtype=dtype)
    bits = np.unpackbits(out) if dtype == "packed" else out
    assert abs(bits.sum() - rate * size) < 6 * (rate * (1 - rate) * size) ** 0.5
    key = fd.Key(0)
    timed(fd.bernoulli, rate, size, rng=key, dtype=dtype, out=out)


@pytest.mark.parametrize("rate", [0.1, 0.5])
@pytest.mark.parametrize("size", SIZES)
def test_dropout(timed: Any, size: int, rate: float) -> None:
    x = np.random.default_rng(0).normal(size=size).astype(np.float32)
    out = fd.dropout(x, rate, rng=0)
    drop = fd.bernoulli(rate, size, rng=0)
    np.testing.assert_allclose(out, np.where(drop, 0, x / (1 - rate)), rtol=1e-6)
    key = fd.Key(0)
    timed(fd.dropout, x, rate, rng=key, out=out)
