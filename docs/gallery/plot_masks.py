"""
Which masks a recurrent layer draws
===================================

Input masks of an LSTM for two rows: one for each gate, one for all gates, one that is new at each
step, and one for each gate that all rows share. Dark cells are dropped.

Masks are a pure function of key, stream and element number, so they can be drawn outside of the
layer.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastdrop as fd

width, rate, key = 8, 0.4, fd.Key(0)

# %%
# Row n has the elements from n times its mask's size on; a mask that is new at each step leaves
# room for 2**24 steps.

GATES = [f"gate {gate}" for gate in "ifco"]
kinds = {
    "per_gate": (GATES, 4 * width),
    "tied": (["all gates"], width),
    "per_step": ([f"step {t}" for t in range(4)], 2**24 * width),
    "per_gate, shared": (GATES, 0),
}

figure, axes = plt.subplots(2, 4, figsize=(9, 3.2), layout="constrained")
for column, (title, (lines, stride)) in enumerate(kinds.items()):
    axes[0, column].set_title(title, fontsize="medium")
    for row, ax in enumerate(axes[:, column]):
        dropped = fd.bernoulli(rate, (len(lines), width), rng=key, offset=row * stride)
        ax.pcolormesh(dropped, cmap="Blues", vmin=-0.25, vmax=1.1, edgecolor="white", lw=2)
        ax.set_yticks(np.arange(len(lines)) + 0.5, lines, fontsize="small")
        ax.set(aspect="equal", xticks=[])
        ax.invert_yaxis()
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    axes[1, column].set_xlabel("features", fontsize="small")
for row in (0, 1):
    axes[row, 0].set_ylabel(f"row {row}")
plt.show()

# %%
# That these are the layer's own masks: given as factors, they have the effect of the rate.

random = np.random.default_rng(0)
x = random.normal(size=(2, 5, width))
kernel, recurrent = random.normal(size=(width, 12)), random.normal(size=(3, 12))
masks = np.where(fd.bernoulli(0.5, (2, 4, width), rng=key), 0.0, 2.0)
drawn = fd.lstm(x, kernel, recurrent, dropout=0.5, rng=key)
print((drawn == fd.lstm(x, kernel, recurrent, input_mask=masks)).all())
