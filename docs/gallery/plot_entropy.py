"""
Entropy and mutual information
==============================

Why is a classifier unsure? The entropy of the mean probability says that it is. The mutual
information is the part of it that comes of samples which disagree: each is rather sure, but not
of the same answer. What is left is what every sample finds open.

Here the spam filter that comes with fastdrop sees the beginnings of ten messages.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastdrop as fd
from fastdrop.demo import encode, messages, model_path

shares = (0.25, 0.5, 0.75, 1.0)
texts = [text[: round(share * len(text))] for text in messages() for share in shares]
p = fd.load(model_path()).mc_predict(encode(texts), samples=64, rng=0)
entropy, mutual = p.entropy[:, 0], p.mutual_information[:, 0]

# %%
# No point can be above the dotted line, where all of the entropy is disagreement.

figure, ax = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
ax.plot([0, np.log(2)], [0, np.log(2)], color="0.6", lw=0.8, ls=":")
drawn = ax.scatter(
    entropy, mutual, c=p.mean[:, 0], cmap="coolwarm", vmin=0, vmax=1, edgecolor="0.3"
)
for n in (int(mutual.argmax()), int((entropy - mutual).argmax())):
    text = texts[n] if len(texts[n]) < 34 else "…" + texts[n][-33:]
    ax.annotate(text, (entropy[n], mutual[n]), (-10, 8), textcoords="offset points", ha="right")
ax.set(xlabel="entropy, nats", ylabel="mutual information, nats", xlim=(0, 0.72), ylim=(0, 0.52))
ax.spines[["top", "right"]].set_visible(False)
figure.colorbar(drawn, label="P(spam)")
plt.show()

# %%
# The most of each, in numbers:

for name, values in (("mutual information", mutual), ("the rest", entropy - mutual)):
    n = int(values.argmax())
    print(f"{name}: {values[n]:.2f} of {entropy[n]:.2f}, P(spam) {p.mean[n, 0]:.2f}: {texts[n]}")
