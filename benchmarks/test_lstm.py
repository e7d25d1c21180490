"""The LSTM with dropout on and off: one thread, by tier."""

from typing import Any

import numpy as np
import pytest

import fastdrop as fd


@pytest.mark.parametrize("dropout", ["off", "per_gate", "tied"])
@pytest.mark.parametrize(
    "shape", [(1, 100, 64, 100), (32, 20, 64, 100), (32, 10, 256, 256)], ids=str
)
def test_lstm(timed: Any, shape: tuple[int, ...], dropout: str) -> None:
    rows, steps, features, units = shape
    rng = np.random.default_rng(0)
    sizes = ((rows, steps, features), (features, 4 * units), (units, 4 * units))
    args = [rng.normal(0, 0.1, size).astype(np.float32) for size in sizes]
    options: dict[str, Any] = {"threads": 1}
    if dropout != "off":
        options |= {"dropout": 0.5, "recurrent_dropout": 0.5, "scheme": dropout, "rng": fd.Key(0)}
    whole = fd.lstm(*args, **options)
    assert np.array_equal(fd.lstm(args[0][:1], *args[1:], **options), whole[:1])
    timed.extra_info["gflop"] = 8e-9 * rows * steps * units * (features + units)
    timed(fd.lstm, *args, **options)
