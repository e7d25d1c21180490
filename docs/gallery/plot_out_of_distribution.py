"""
What the model was not made for
===============================

The spam filter that comes with fastdrop knows English text messages. Does its uncertainty tell
that something else comes in? Of random characters, often; of German, no: nothing in it looks like
spam, and the filter was asked for spam, not for English.

These are a handful of texts, to look at. ``examples/out_of_distribution`` has measured it on 200
messages that were held out, with the same outcome.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastdrop as fd
from fastdrop.demo import ALPHABET, encode, messages, model_path

random = np.random.default_rng(0)
known = messages()
german = [
    "Komme zehn Minuten später, bestellst du mir schon mal einen Kaffee?",
    "Das Paket liegt beim Nachbarn im zweiten Stock, er ist ab sechs zu Hause",
    "Morgen um acht am Bahnhof? Ich bringe Brötchen und die Karten mit",
    "Der Zahnarzt hat angerufen, der Termin ist jetzt am Dienstag um elf",
    "Hast du den Schlüssel gefunden? Er lag doch gestern noch auf dem Tisch",
    "Wir sind gut angekommen, das Hotel ist schön und es regnet nicht",
    "Kannst du bitte noch Milch und Brot mitbringen, wir haben nichts mehr",
    "Die Sitzung fällt heute aus, der Chef ist krank. Bis morgen also",
]
noise = ["".join(random.choice(list(ALPHABET), len(text))) for text in known]
groups = {"the demo's messages": known, "German": german, "random characters": noise}

# %%
# Disagreement of the samples (mutual information) and the entropy of their mean, for each text.

model = fd.load(model_path())
figure, axes = plt.subplots(1, 2, figsize=(8, 3.4), sharey=True, layout="constrained")
for n, texts in enumerate(groups.values()):
    p = model.mc_predict(encode(texts), samples=60, rng=0)
    values = p.entropy[:, 0], p.mutual_information[:, 0]
    for ax, value in zip(axes, values, strict=True):
        place = n + random.uniform(-0.15, 0.15, size=len(value))
        ax.scatter(value, place, s=30, alpha=0.7, color=f"C{n}")
        ax.vlines(np.median(value), n - 0.3, n + 0.3, color=f"C{n}", lw=3)
axes[0].set_yticks(range(len(groups)), groups)
for ax, name in zip(axes, ("entropy, nats", "mutual information, nats"), strict=True):
    ax.set(xlabel=name, xlim=(0, 0.72))
    ax.spines[["top", "right"]].set_visible(False)
axes[0].invert_yaxis()
plt.show()
