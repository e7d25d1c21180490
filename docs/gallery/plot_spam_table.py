"""
Messages, and how sure a filter is of them
==========================================

The spam filter that comes with fastdrop, run 200 times over each of ten messages with dropout on.
Where the interval straddles one half, the filter should not be trusted to decide.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastdrop as fd
from fastdrop.demo import encode, messages, model_path

model = fd.load(model_path())
p = model.mc_predict(encode(messages()), samples=200, rng=0)

# %%
# As a table: mean, deviation, quantiles, and of the entropy the part that is disagreement.

low, high = p.interval(0.9)
print(f"{'message':42} P(spam)   std  90 % interval")
for n, text in enumerate(messages()):
    interval = f"{low[n, 0]:.3f} to {high[n, 0]:.3f}"
    print(f"{text[:42]:42}   {p.mean[n, 0]:.3f} {p.std[n, 0]:.3f}  {interval}")

# %%
# And as a picture, sorted: thin lines hold 90 % of the samples, thick ones half of them.

order = np.argsort(p.mean[:, 0])
place = np.arange(len(order))
unsure = (low[order, 0] < 0.5) & (high[order, 0] > 0.5)
colours = np.where(unsure, "C1", "C0")
figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
for level, width in ((0.9, 1.5), (0.5, 5)):
    a, b = (end[order, 0] for end in p.interval(level))
    ax.hlines(place, a, b, color=colours, lw=width)
ax.scatter(p.mean[order, 0], place, c="white", edgecolor=colours, s=36, zorder=3)
ax.axvline(0.5, color="0.6", lw=0.8, ls=":")
ax.set_yticks(place, [messages()[n][:46] + "…" for n in order], fontsize="small")
ax.set(xlabel="P(spam)", xlim=(-0.02, 1.02))
ax.spines[["top", "right", "left"]].set_visible(False)
ax.tick_params(left=False)
plt.show()
