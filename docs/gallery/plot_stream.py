"""
A message as it is typed
========================

A stream takes a sequence step by step. The states of all samples are kept, so each step costs the
same, and what it says is, bit for bit, what ``mc_predict`` says of the sequence so far.

The spam filter that comes with fastdrop reads a message character by character.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastdrop as fd
from fastdrop.demo import encode, messages, model_path

model = fd.load(model_path())
text = messages()[5]
row = encode([text])[0]  # 498 characters, padded in front
stream = model.stream(rows=1, samples=100, rng=0)

# %%
# What is said after each character of the message, and before it after each of the padding.

said = [stream.step([character]) for character in row][-len(text) :]
whole = model.mc_predict(row[np.newaxis], samples=100, rng=0)
print("the last step is that of the whole message:", (said[-1].mean == whole.mean).all())

# %%
# The bands hold half and nine tenths of the samples.

figure, ax = plt.subplots(figsize=(9, 3.4), layout="constrained")
place = np.arange(len(text))
for level, strength in ((0.9, 0.2), (0.5, 0.4)):
    low, high = np.array([[end[0, 0] for end in p.interval(level)] for p in said]).T
    ax.fill_between(place, low, high, color="C0", alpha=strength, lw=0, label=f"{level:.0%}")
ax.plot(place, [p.mean[0, 0] for p in said], color="C0", label="mean")
ax.axhline(0.5, color="0.6", lw=0.8, ls=":")
ax.set_xticks(place, list(text), fontsize=7, family="monospace")
ax.tick_params(axis="x", length=0)
ax.set(ylabel="P(spam)", xlim=(0, len(text) - 1), ylim=(0, 1))
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False, ncols=3, loc="upper left")
plt.show()
