"""
Coverage before and after calibration
=====================================

An interval at a level of 90 % should hold 90 % of what comes, and at every other level its share.
Raw intervals do not: how wide they are follows the rate of dropout, which was chosen for other
reasons. Conformal calibration brings all of them onto the diagonal.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastdrop as fd
from fastdrop import layers, scores

random = np.random.default_rng(0)
hours = np.arange(1824)
series = np.sin(2 * np.pi * hours / 24) + 0.5 * np.sin(2 * np.pi * hours / 168)
series += 0.15 * random.normal(size=len(hours))
x = np.lib.stride_tricks.sliding_window_view(series[:-1], 24)[..., np.newaxis].astype(np.float32)
y = series[24:]
train, held_back, test = slice(0, 1200), slice(1200, 1500), slice(1500, None)

# %%
# A forecaster without training: random LSTM, fitted output. The rate of dropout is left open.

units = 48
weights = {
    "kernel": random.normal(size=(1, 4 * units)).astype(np.float32),
    "recurrent_kernel": (random.normal(size=(units, 4 * units)) / units**0.5).astype(np.float32),
}
seen = fd.Model([layers.LSTM(name="lstm", **weights)], (24, 1)).predict(x[train]).astype(float)
kernel = np.linalg.solve(seen.T @ seen + 0.1 * np.eye(units), seen.T @ y[train, np.newaxis])


def forecaster(rate):
    lstm = layers.LSTM(name="lstm", **weights, dropout=rate, recurrent_dropout=rate)
    dense = layers.Dense(name="dense", kernel=kernel.astype(np.float32))
    return fd.Model([lstm, dense], (24, 1))


# %%
# Each level is learnt from the rows that were held back, and counted on others.

levels = np.arange(0.05, 1, 0.05)
figure, axes = plt.subplots(1, 2, figsize=(8, 4), sharey=True, layout="constrained")
for rate in (0.01, 0.03, 0.1, 0.25):
    model = forecaster(rate)
    learn, p = (model.mc_predict(x[part], 50, rng=n) for n, part in enumerate((held_back, test)))
    raw, calibrated = [], []
    for level in levels:
        intervals = (
            p.interval(level),
            fd.calibration.calibrate(learn, y[held_back], level).interval(p),
        )
        for found, (low, high) in zip((raw, calibrated), intervals, strict=True):
            found.append(scores.coverage(y[test], low[:, 0], high[:, 0]))
    axes[0].plot(levels, raw, marker=".", label=f"dropout {rate}")
    axes[1].plot(levels, calibrated, marker=".")
for ax, title in zip(axes, ("raw intervals", "calibrated"), strict=True):
    ax.plot([0, 1], [0, 1], color="0.6", lw=0.8, ls=":")
    ax.set(title=title, xlabel="level", xlim=(0, 1), ylim=(0, 1))
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("share of what came inside")
axes[0].legend(frameon=False)
plt.show()
