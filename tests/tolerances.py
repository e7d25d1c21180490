"""The one place that says how close is close: bounds against other engines and between backends."""

import numpy as np
from numpy.typing import NDArray

# Relative to the largest magnitude of the array, at up to 512 time steps.
FLOAT32 = 1e-5
FLOAT64 = 1e-12


def assert_close(got: NDArray[np.floating], expected: NDArray[np.floating], bound: float) -> None:
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype
    if expected.size:
        error = np.abs(got.astype(np.float64) - expected).max()
        size = max(float(np.abs(expected).max()), 1e-3)
        assert error <= bound * size, f"off by {error / size:.2e} of {size:.3g}"
