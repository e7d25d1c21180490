"""
A forecast as a fan chart
=========================

A day ahead, hour by hour: the mean of the samples, the bands that hold half and nine tenths of
them, and the calibrated interval, which is the one that means what it says.

There is no training here: an LSTM of random weights reads two days, and least squares fit what it
puts out to the day after them.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastdrop as fd
from fastdrop import layers

# %%
# A year of a made-up demand: a day's wave, a week's, and noise that remembers the hour before.

random = np.random.default_rng(0)
hours = np.arange(24 * 365)
noise = random.normal(scale=0.12, size=len(hours))
for t in range(1, len(hours)):
    noise[t] += 0.7 * noise[t - 1]
demand = np.sin(2 * np.pi * hours / 24) + 0.4 * np.cos(2 * np.pi * hours / 168) + noise

starts = np.arange(48, len(hours) - 24, 7)
x = np.stack([demand[t - 48 : t, np.newaxis] for t in starts]).astype(np.float32)
y = np.stack([demand[t : t + 24] for t in starts])
train, held_back, test = slice(0, 900), slice(900, 1100), slice(1100, None)

# %%
# The model: what the LSTM says of a window is all that the 24 outputs see.

units = 64
lstm = layers.LSTM(
    name="lstm",
    kernel=random.normal(scale=0.5, size=(1, 4 * units)).astype(np.float32),
    recurrent_kernel=(random.normal(size=(units, 4 * units)) / 8).astype(np.float32),
    dropout=0.02,
    recurrent_dropout=0.02,
)
seen = fd.Model([lstm], (48, 1)).predict(x[train]).astype(np.float64)
kernel = np.linalg.solve(seen.T @ seen + 0.01 * np.eye(units), seen.T @ y[train])
model = fd.Model(
    [lstm, layers.Dense(name="dense", kernel=kernel.astype(np.float32))],
    (48, 1),
)

# %%
# Held-back windows say how many standard deviations wide an honest interval is, for each hour
# ahead.

calibrated = fd.calibration.calibrate(model.mc_predict(x[held_back], 60, rng=1), y[held_back])
p = model.mc_predict(x[test], 60, rng=2)
low, high = calibrated.interval(p)
raw = p.interval(0.9)
print(f"raw 90 % interval holds {fd.scores.coverage(y[test], *raw):.1%}")
print(f"calibrated, it holds    {fd.scores.coverage(y[test], low, high):.1%}")

# %%
# The last forecast. ``p.plot`` would draw it too; here the day before it is wanted as well.

figure, ax = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
ahead = np.arange(24)
ax.fill_between(ahead, low[-1], high[-1], color="C1", alpha=0.25, lw=0, label="90 %, calibrated")
for level, strength in ((0.9, 0.3), (0.5, 0.45)):
    a, b = p.interval(level)
    label = f"{level:.0%} of the samples"
    ax.fill_between(ahead, a[-1], b[-1], color="C0", alpha=strength, lw=0, label=label)
ax.plot(ahead, p.mean[-1], color="C0", label="mean")
measured = np.concatenate([x[-1, -24:, 0], y[-1]])
ax.plot(np.arange(-24, 24), measured, color="0.3", lw=1.2, label="measured")
ax.axvline(0, color="0.6", lw=0.8, ls=":")
ax.set(xlabel="hours ahead", ylabel="demand", xlim=(-24, 23))
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False, fontsize="small", ncols=2, loc="lower left")
plt.show()
