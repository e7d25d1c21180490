"""Known answers for the measures of classes, from baal and torch-uncertainty.

    cd tests && python -m references.make_uncertainty

writes uncertainty.npz; it needs baal, torch-uncertainty and torch. `samples` (samples, rows,
classes) are probabilities, some of them certain; `bald` and `entropy` are baal's scores, and
`mutual_information` and `variation_ratio` torch-uncertainty's.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("uncertainty.npz")


def drawn() -> np.ndarray:
    """Distributions from almost uniform to certain, multiples of 1/4096 that add to 1."""
    rng = np.random.default_rng(0)
    sharp = rng.choice([0.05, 0.5, 5.0], (1, 40, 1))
    raw = rng.gamma(sharp, size=(20, 40, 5)) + 1e-9
    counts = np.floor(raw / raw.sum(axis=-1, keepdims=True) * 4096)
    counts[..., 0] += 4096 - counts.sum(axis=-1)
    return (counts / 4096).astype(np.float32)


def main() -> None:
    import torch
    from baal.active.heuristics import BALD, Entropy
    from torch_uncertainty.metrics.classification import MutualInformation, VariationRatio

    samples = drawn()
    theirs = np.moveaxis(samples, 0, -1)  # baal has (rows, classes, samples)
    plain = torch.from_numpy(samples)
    rows = torch.from_numpy(np.moveaxis(samples, 0, 1).copy())
    found = {
        "samples": samples,
        "bald": np.asarray(BALD().compute_score(theirs)),
        "entropy": np.asarray(Entropy().compute_score(theirs)),
    }
    # Version 0.13 counts votes along the first axis, whatever its documentation says.
    for name, metric, given in (
        ("mutual_information", MutualInformation(reduction="none"), rows),
        ("variation_ratio", VariationRatio(probabilistic=False, reduction="none"), plain),
    ):
        metric.update(given)
        found[name] = metric.compute().numpy()
    np.savez_compressed(FILE, **found)


if __name__ == "__main__":
    main()
