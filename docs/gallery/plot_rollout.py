"""
A forecast on its own output
============================

A model that says the next step can forecast many: what it says is what it is given next. In
``rollout`` each sample is a path of its own, one thinned network that goes on from what it said,
so that uncertainty grows with the distance.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastdrop as fd
from fastdrop import layers

random = np.random.default_rng(0)
t = np.arange(1500)
series = (np.sin(2 * np.pi * t / 25) + 0.4 * np.sin(4 * np.pi * t / 25 + 1)).astype(np.float32)
noisy = series + 0.05 * random.normal(size=len(t)).astype(np.float32)
x = np.lib.stride_tricks.sliding_window_view(noisy[:-1], 50)[..., np.newaxis]
y = noisy[50:]

# %%
# A GRU of random weights, with an output fitted by least squares to the next step.

units = 64
gru = layers.GRU(
    name="gru",
    kernel=random.normal(size=(1, 3 * units)).astype(np.float32),
    recurrent_kernel=(random.normal(size=(units, 3 * units)) / 8).astype(np.float32),
    dropout=0.005,
    recurrent_dropout=0.005,
)
seen = fd.Model([gru], (50, 1)).predict(x[:1200]).astype(np.float64)
kernel = np.linalg.solve(seen.T @ seen + 0.1 * np.eye(units), seen.T @ y[:1200, np.newaxis])
model = fd.Model([gru, layers.Dense(name="dense", kernel=kernel.astype(np.float32))], (50, 1))

# %%
# 60 steps beyond a window that the fit has not seen.

start, steps = 1300, 60
p = model.rollout(x[start : start + 1], steps, samples=200, rng=0, keep_samples=True)
print(p.samples.shape, "samples, rows, steps, outputs")

figure, ax = plt.subplots(figsize=(8, 3.8), layout="constrained")
ahead = np.arange(steps)
ax.plot(ahead, p.samples[:30, 0, :, 0].T, color="C0", lw=0.5, alpha=0.35)
low, high = (end[0, :, 0] for end in p.interval(0.9))
ax.fill_between(ahead, low, high, color="C0", alpha=0.2, lw=0, label="90 % of the paths")
ax.plot(ahead, p.mean[0, :, 0], color="C0", label="their mean")
ax.plot(
    np.arange(-50, steps), series[start : start + 50 + steps], color="0.3", lw=1.2, label="truth"
)
ax.axvline(0, color="0.6", lw=0.8, ls=":")
ax.set(xlabel="steps ahead", xlim=(-50, steps - 1))
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False, ncols=3, loc="upper left", bbox_to_anchor=(0, 1.12))
plt.show()
