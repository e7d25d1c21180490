"""The example that learns from few labels: its model against Keras, BALD, and the kept curves."""

import math
import statistics
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import fastdrop as fd
from example_scripts import run_in
from fastdrop.demo import messages
from tolerances import FLOAT32, assert_close

EXAMPLE = Path(__file__).parents[1] / "examples" / "active_learning"
run = partial(run_in, EXAMPLE)
MODEL = EXAMPLE / "learner.keras"
WAYS = ("random", "bald")
MESSAGES = EXAMPLE / "../../fastdrop/demo/messages.txt"


@pytest.fixture(scope="module")
def reference() -> dict[str, np.ndarray]:
    with np.load(EXAMPLE / "reference.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def curves() -> dict[str, np.ndarray]:
    with np.load(EXAMPLE / "curves.npz") as file:
        return dict(file)


def test_predict_is_keras(backend: str, reference: dict[str, np.ndarray]) -> None:
    assert_close(fd.load(MODEL).predict(reference["x"]), reference["predict"], FLOAT32)


def test_samples_are_distributed_as_keras_draws_them(reference: dict[str, np.ndarray]) -> None:
    samples, passes = 2000, int(reference["passes"])
    p = fd.load(MODEL).mc_predict(reference["x"], samples=samples, rng=1)
    # Where one sample in a thousand is far off, neither variance alone says how far means may be.
    z = (p.mean - reference["mean"]) / np.sqrt(p.var / samples + reference["variance"] / passes)
    assert np.abs(z).max() < 4.5


def index(word: str) -> int:
    """Return the index of a word by CRC-32, bit for bit."""
    crc = 0xFFFFFFFF
    for byte in word.encode():
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    return 1 + (crc ^ 0xFFFFFFFF) % 1023


def test_words_are_encoded_by_their_sum(reference: dict[str, np.ndarray]) -> None:
    code = (
        "from words import *; print(encode(['Call 0800, NOW!', '', 'a ' * 29 + 'b c d']).tolist())"
    )
    first, empty, long = eval(run(code))
    words = ["call", "0000", ",", "now", "!"]
    assert first == [0] * 25 + [index(word) for word in words]
    assert empty == [0] * 30
    assert long == [index("a")] * 29 + [index("b")]
    code = (
        "from words import *; from fastdrop.demo import messages as m; print(encode(m()).tolist())"
    )
    assert eval(run(code)) == reference["x"].tolist()


def test_a_batch_is_acquired_by_mutual_information(reference: dict[str, np.ndarray]) -> None:
    """Each figure is that of the kept samples, by the definition of BALD written out."""
    p = fd.load(MODEL).mc_predict(reference["x"], samples=40, rng=5, keep_samples=True)

    def entropy(q: float) -> float:
        return -sum(part * math.log(part) for part in (q, 1 - q) if part > 0)

    expected = []
    for samples, text in zip(p.samples[..., 0].T.astype(float), messages(), strict=True):
        total = entropy(statistics.fmean(samples))
        bald = total - statistics.fmean(map(entropy, samples))
        expected.append((bald, total, statistics.fmean(samples), text))
    expected.sort(reverse=True)
    np.testing.assert_allclose(
        np.sort(p.mutual_information[:, 0])[::-1], [row[0] for row in expected], atol=1e-9
    )
    arguments = f"sys.argv[1:] = [{str(MESSAGES)!r}, '--batch=3', '--samples=40', '--seed=5']"
    _, *lines = run(f"{arguments}; import acquire; acquire.main()").splitlines()
    for line, (bald, total, mean, text) in zip(lines, expected[:3], strict=True):
        figures, message = line[:25], line[25:]
        assert message.strip() == text
        np.testing.assert_allclose(
            [float(x) for x in figures.split()], [bald, total, mean], atol=6e-4
        )


def test_the_readme_shows_what_the_scripts_print() -> None:
    readme = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    printed = run("sys.argv[1:] = []; import curves; curves.main()")
    block = "".join(f"    {line}\n" for line in printed.splitlines())
    assert block in readme


def test_the_curves_say_what_the_readme_says(curves: dict[str, np.ndarray]) -> None:
    assert curves["labels"].tolist() == list(range(20, 201, 10))
    readme = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    assert all(curves[f"{way}_f1"].shape == (12, 19) for way in WAYS)
    for measure in ("accuracy", "f1"):
        random, bald = curves[f"random_{measure}"], curves[f"bald_{measure}"]
        # Before the first choice both ways are one: the same labels, and the same training.
        assert np.array_equal(random[:, 0], bald[:, 0])
        over = [statistics.fmean(row[1:]) for row in (bald - random).tolist()]
        error = 2 * statistics.stdev(over) / math.sqrt(len(over))
        above = sum(value > 0 for value in over)
        line = f"after the first: {statistics.fmean(over):+.3f} ± {error:.3f}, above 0 for {above}"
        assert line in readme
    # Fewer labels by BALD are worth as many as the text says, and its lead goes where it says.
    f1 = {way: dict(zip(range(20, 201, 10), curves[f"{way}_f1"].T, strict=True)) for way in WAYS}
    assert f1["bald"][50].mean() > f1["random"][140].mean() > f1["bald"][30].mean()
    ahead = {}
    for measure in ("accuracy", "f1"):
        difference = curves[f"bald_{measure}"] - curves[f"random_{measure}"]
        band = 2 * difference.std(axis=0, ddof=1) / math.sqrt(12)
        ahead[measure] = curves["labels"][1:][(difference.mean(axis=0) > band)[1:]].tolist()
    assert len(ahead["accuracy"]) == 5
    assert max(ahead["accuracy"]) == 120
    assert max(ahead["f1"]) == 170


@pytest.mark.live
def test_the_picture_has_both_curves(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "curves.svg"
    run(f"sys.argv[1:] = ['--plot', {str(path)!r}]; import curves; curves.main()")
    drawn = path.read_text(encoding="utf-8")
    assert all(text in drawn for text in ("chosen at random", "chosen by BALD", "F1 of spam"))
