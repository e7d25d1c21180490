"""
Dropout after the embedding, or in the LSTM
===========================================

Four ways of dropping at the same rate, in front of and in an LSTM of random weights. How far do
its outputs spread over the samples, by the length of the sequence?

Masks that are new at each step are noise, of which a longer sequence averages a part away; masks
that stay for the sequence are another network, and the longer it runs the further it gets.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastdrop as fd
from fastdrop import layers

random = np.random.default_rng(0)
features, units, rate = 16, 32, 0.3
weights = {
    "kernel": (random.normal(size=(features, 4 * units)) / 4).astype(np.float32),
    "recurrent_kernel": (random.normal(size=(units, 4 * units)) / 6).astype(np.float32),
}
# A forget gate that mostly keeps: what came long ago still counts.
bias = np.repeat([0.0, 3.0, 0.0, 0.0], units).astype(np.float32)


def lstm(**rates):
    return layers.LSTM(name="lstm", **weights, bias=bias, **rates)


ways = {
    "Dropout": [layers.Dropout(name="drop", rate=rate), lstm()],
    "SpatialDropout1D": [layers.SpatialDropout1D(name="drop", rate=rate), lstm()],
    "LSTM(dropout=)": [lstm(dropout=rate)],
    "LSTM(recurrent_dropout=)": [lstm(recurrent_dropout=rate)],
}

# %%
# The same 40 sequences for all, cut at several lengths. Each feature has a level and noise about
# it.

lengths = [1, 2, 4, 8, 16, 32, 64, 128, 256]
x = random.normal(size=(40, 1, features)) + random.normal(size=(40, lengths[-1], features))
x = x.astype(np.float32)
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for name, way in ways.items():
    model = fd.Model(way, (None, features))
    spread = [model.mc_predict(x[:, :length], 50, rng=0).std.mean() for length in lengths]
    ax.plot(lengths, spread, marker="o", label=name)
ax.set_xscale("log", base=2)
ax.set_xticks(lengths, lengths)
ax.set(xlabel="time steps", ylabel="mean std of the outputs", ylim=(0, None))
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)
plt.show()

# %%
# With one step the first three are the same thing, and ``recurrent_dropout`` does nothing: there
# is no previous output to drop. ``SpatialDropout1D`` and the LSTM's own ``dropout=`` stay the same
# thing.
