"""Are these messages what the spam filter knows? Tell by how unsure it is.

    python detect.py ../../fastdrop/demo/messages.txt german.txt french.txt
    python detect.py --scores scores.npz --plot entropy.svg    # needs matplotlib

The first file has messages of the kind that the filter was trained on, one a line, each of the
others messages of another kind. Printed is how often a message of these scores higher than one of
the first file does: the area under the ROC curve, 0.5 for a score that tells nothing. Behind it
stands a 95 % interval (bootstrap of both files). Scores can be kept, and read instead of messages.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

import fastdrop
from fastdrop.demo import encode, model_path

Array = npt.NDArray[np.float64]

SCORES = ("entropy", "mutual information", "entropy, dropout off", "length")
"""What a message has a score of. The last two need no Monte-Carlo dropout."""


def score(model: fastdrop.Model, texts: list[str], samples: int, key: fastdrop.Key) -> Array:
    """Return the scores of messages, shape (len(SCORES), messages)."""
    x = encode(texts)
    p = model.mc_predict(x, samples=samples, rng=key)
    off = model.predict(x)[:, 0].astype(np.float64)
    return np.stack(
        [
            p.entropy[:, 0],
            p.mutual_information[:, 0],
            # Of a single network's probability. Where that is 0 or 1, nothing is added.
            -sum(np.log(q, where=q > 0, out=np.zeros_like(q)) * q for q in (off, 1 - off)),
            np.array([len(text) for text in texts], dtype=np.float64),
        ]
    )


def auroc(known: Array, other: Array) -> float:
    """Return how often one of the others is higher than one of the known; a tie is half."""
    ordered = np.sort(known)
    below = np.searchsorted(ordered, other, "left") + np.searchsorted(ordered, other, "right")
    return float(below.mean() / 2 / len(known))


def bootstrap(known: Array, other: Array, rng: np.random.Generator, times: int = 2000) -> Array:
    """Return the 95 % interval of `auroc` if both groups are drawn again, with replacement."""
    drawn = [
        auroc(rng.choice(known, len(known)), rng.choice(other, len(other))) for _ in range(times)
    ]
    return np.quantile(drawn, [0.025, 0.975])


def plot(path: Path, groups: dict[str, Array]) -> None:
    """Draw a histogram of the entropy for each group, below that of the known messages."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "entropy"})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        len(groups), figsize=(7, 1 + 0.8 * len(groups)), sharex=True, layout="constrained"
    )
    for number, (ax, (name, scores)) in enumerate(zip(axes, groups.items(), strict=True)):
        bins = np.linspace(0, np.log(2), 36)
        weights = np.full(scores.shape[1], 1 / scores.shape[1])
        ax.hist(scores[0], bins, weights=weights, color=f"C{min(number, 1)}", histtype="stepfilled")
        ax.set_title(f"{name} ({scores.shape[1]})", fontsize="small", loc="center", y=0.6)
        ax.set_yticks([])
        ax.spines[["top", "left", "right"]].set_visible(False)
    axes[-1].set_xlabel("entropy, from sure (0) to no idea (log 2)")
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    parser = argparse.ArgumentParser(description="Tell messages of another kind by uncertainty.")
    parser.add_argument("files", type=Path, nargs="*", help="known messages, then those of others")
    parser.add_argument("--scores", type=Path, help="scores to read instead of messages")
    parser.add_argument("--out", type=Path, help="scores to write, .npz")
    parser.add_argument("--plot", type=Path, help="a picture to write, .svg or .png")
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if len(args.files) == 1 or bool(args.files) == (args.scores is not None):
        parser.error("expected two files of messages or more, or --scores")

    groups: dict[str, Array] = {}
    if args.scores is not None:
        with np.load(args.scores) as file:
            groups = dict(file)
    else:
        model = fastdrop.load(model_path())
        for number, path in enumerate(args.files):
            texts = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
            key = fastdrop.Key(args.seed).fold_in(number)
            groups[path.stem] = score(model, texts, args.samples, key)
    if args.out is not None:
        np.savez_compressed(args.out, **groups)

    (name, known), *others = groups.items()
    print(f"{name}: {known.shape[1]} messages, the spam filter's own kind")
    print(f"{'':20}" + "".join(f"{column:>22}" for column in SCORES))
    rng = np.random.default_rng(args.seed)
    for name, scores in others:
        cells = []
        for a, b in zip(known, scores, strict=True):
            low, high = bootstrap(a, b, rng)
            cells.append(f"{auroc(a, b):.3f} ({low:.2f}-{high:.2f})")
        print(f"{name:20}" + "".join(f"{cell:>22}" for cell in cells))
    if args.plot is not None:
        plot(args.plot, groups)


if __name__ == "__main__":
    main()
