"""
An ensemble: within and between
===============================

Networks that were trained apart disagree on more than thinned versions of one do. An ensemble's
prediction tells both parts: the variance within its models, which is that of their dropout, and
between them.

Five forecasters, each with random weights of its own, know waves whose height is between 0.5 and
1.5. They are asked about lower and higher ones too.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastdrop as fd
from fastdrop import layers

random = np.random.default_rng(0)


def waves(heights):
    """Windows of 30 steps, and the step after each."""
    phase = random.uniform(0, 2 * np.pi, size=len(heights))[:, np.newaxis]
    wave = heights[:, np.newaxis] * np.sin(phase + np.arange(31) / 3)
    wave += 0.05 * random.normal(size=wave.shape)
    return wave[:, :30, np.newaxis].astype(np.float32), wave[:, 30]


x, y = waves(random.uniform(0.5, 1.5, size=600))


def forecaster(seed, units=48):
    own = np.random.default_rng(seed)
    lstm = layers.LSTM(
        name="lstm",
        kernel=own.normal(size=(1, 4 * units)).astype(np.float32),
        recurrent_kernel=(own.normal(size=(units, 4 * units)) / units**0.5).astype(np.float32),
        recurrent_dropout=0.01,
    )
    seen = fd.Model([lstm], (30, 1)).predict(x).astype(np.float64)
    kernel = np.linalg.solve(seen.T @ seen + 0.01 * np.eye(units), seen.T @ y[:, np.newaxis])
    return fd.Model([lstm, layers.Dense(name="dense", kernel=kernel.astype(np.float32))], (30, 1))


ensemble = fd.Ensemble([forecaster(seed) for seed in range(5)])

# %%
# 20 waves of each of a row of heights.

heights = np.linspace(0.1, 3, 20)
asked, truth = waves(np.repeat(heights, 20))
p = ensemble.mc_predict(asked, samples=30, rng=0)

# %%
# Outside of what was seen all models are wrong; that they differ gives it away.

figure, ax = plt.subplots(figsize=(7.5, 3.8), layout="constrained")
error = abs(p.mean[:, 0] - truth)
for name, values in (
    ("within: the models' own dropout", p.within[:, 0] ** 0.5),
    ("between the models", p.between[:, 0] ** 0.5),
    ("what the mean has wrong", error),
):
    line = ":" if values is error else "-"
    colour = "0.3" if values is error else None
    ax.plot(heights, values.reshape(-1, 20).mean(axis=1), line, color=colour, label=name)
ax.axvspan(0.5, 1.5, color="0.92", zorder=0)
ax.text(1, 0.25, "seen", ha="center", color="0.5")
ax.set(xlabel="height of the wave", ylabel="standard deviation, mean error", ylim=(0, None))
ax.set_xlim(heights[0], heights[-1])
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False, loc="upper left")
plt.show()
