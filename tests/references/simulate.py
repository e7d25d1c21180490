"""The small model of mc_model.keras in plain NumPy, right and wrong on purpose.

    Embedding -> Dropout -> LSTM with per-gate masks -> Dense(sigmoid)

A Monte-Carlo prediction is a distribution, so it is compared through its moments. That is only a
test if wrong dropout semantics move those moments by more than the sampling error: `simulate`
takes a fault by name, and `z_scores` says by how many standard errors two sets of moments differ.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DROPOUT = 0.3  # the Dropout layer: elementwise, new for each time step
LSTM_DROPOUT = 0.4  # the LSTM's input masks
RECURRENT_DROPOUT = 0.3  # the LSTM's recurrent masks
FAULTS = (
    "unscaled",  # kept values are not divided by the probability of keeping
    "tied",  # one mask for all four gates
    "no_input_mask",  # the LSTM's input mask is missing
    "no_recurrent_mask",  # the LSTM's recurrent mask is missing
    "constant_dropout",  # the Dropout layer's mask stays the same over the time steps
    "per_step",  # the LSTM's masks are drawn anew for each time step
    "shared_rows",  # one draw of all masks for all rows of a pass
)


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def simulate(
    weights: dict[str, Array],
    x: NDArray[np.int32],
    samples: int,
    rng: np.random.Generator,
    *,
    fault: str | None = None,
) -> Array:
    """Return (samples, rows, outputs) stochastic predictions for the token ids x (rows, steps)."""
    if fault is not None and fault not in FAULTS:
        raise ValueError(f"fault must be None or one of {FAULTS}, got {fault!r}")
    rows, steps = x.shape
    features = weights["embedding"].shape[1]
    units = weights["recurrent_kernel"].shape[0]
    gates = 1 if fault == "tied" else 4
    mask_rows = 1 if fault == "shared_rows" else rows

    def draw(rate: float, *shape: int) -> Array:
        kept = rng.random((samples, mask_rows, *shape)) >= rate
        return kept / (1.0 if fault == "unscaled" else 1.0 - rate)

    def gate_masks() -> tuple[Array | float, Array | float]:
        """Return the input and the recurrent masks, (samples, rows, gates, width) or 1."""
        return (
            1.0 if fault == "no_input_mask" else draw(LSTM_DROPOUT, gates, features),
            1.0 if fault == "no_recurrent_mask" else draw(RECURRENT_DROPOUT, gates, units),
        )

    embedded = weights["embedding"][x] * draw(
        DROPOUT, 1 if fault == "constant_dropout" else steps, features
    )
    kernel = weights["kernel"].reshape(features, 4, units)
    recurrent_kernel = weights["recurrent_kernel"].reshape(units, 4, units)
    bias = weights["bias"].reshape(4, units)
    h = c = np.zeros((samples, rows, units))
    input_mask, recurrent_mask = gate_masks()
    for t in range(steps):
        if fault == "per_step" and t > 0:
            input_mask, recurrent_mask = gate_masks()
        step = np.broadcast_to(
            embedded[:, :, t, None, :] * input_mask, (samples, rows, 4, features)
        )
        state = np.broadcast_to(h[:, :, None, :] * recurrent_mask, (samples, rows, 4, units))
        z = np.einsum("srgd,dgu->srgu", step, kernel, optimize=True) + bias
        z += np.einsum("srgh,hgu->srgu", state, recurrent_kernel, optimize=True)
        i, f, candidate, o = (z[:, :, gate] for gate in range(4))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(candidate)
        h = sigmoid(o) * np.tanh(c)
    return sigmoid(h @ weights["dense_kernel"] + weights["dense_bias"])


def moments(samples: Array) -> dict[str, Array]:
    """Return the moments over the passes of samples (passes, rows, outputs).

    `mean`, `variance` (divided by n - 1), `third` and `fourth` are (rows, outputs); `covariance`
    (divided by n - 1) and `products`, the mean of the product of the centred squares, belong to
    rows 0 and 1 and are (outputs,).
    """
    samples = np.asarray(samples, dtype=np.float64)
    n = len(samples)
    mean = samples.mean(axis=0)
    centred = samples - mean
    pair = centred[:, 0] * centred[:, 1]
    return {
        "n": np.array(n),
        "mean": mean,
        "variance": (centred**2).sum(axis=0) / (n - 1),
        "third": (centred**3).mean(axis=0),
        "fourth": (centred**4).mean(axis=0),
        "covariance": pair.sum(axis=0) / (n - 1),
        "products": (pair**2).mean(axis=0),
    }


def squared_errors(m: dict[str, Array]) -> dict[str, Array]:
    """Return the squared standard errors of the mean, the variance and the covariance."""
    n = m["n"]
    return {
        "mean": m["variance"] / n,
        "variance": (m["fourth"] - m["variance"] ** 2 * (n - 3) / (n - 1)) / n,
        "covariance": (m["products"] - m["covariance"] ** 2) / n,
    }


def z_scores(a: dict[str, Array], b: dict[str, Array]) -> dict[str, Array]:
    """Return the differences of two independent sets of moments, in standard errors."""
    error_a, error_b = squared_errors(a), squared_errors(b)
    return {name: (a[name] - b[name]) / np.sqrt(error_a[name] + error_b[name]) for name in error_a}
