"""The tagger of the example, against Keras's outputs kept beside it, and its script."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

import fastdrop as fd
from example_scripts import run_in
from tolerances import FLOAT32, assert_close

EXAMPLE = Path(__file__).parents[1] / "examples" / "pos_tagger"
run = partial(run_in, EXAMPLE)


@pytest.fixture(scope="module")
def reference() -> dict[str, np.ndarray]:
    with np.load(EXAMPLE / "reference.npz") as file:
        return dict(file)


def test_predict_is_keras(backend: str, reference: dict[str, np.ndarray]) -> None:
    model = fd.load(EXAMPLE / "pos_tagger.keras")
    assert_close(model.predict(reference["x"]), reference["predict"], FLOAT32)


def test_the_script_tags_every_word() -> None:
    arguments = "sys.argv[1:] = ['sentences.txt', '--samples', '20']"
    lines = run(f"{arguments}; import tag; tag.main()").splitlines()
    words = [line.split()[0] for line in lines[1:] if line]
    text = (EXAMPLE / "sentences.txt").read_text(encoding="utf-8")
    assert "".join(words) == "".join(text.split())
    assert "do" in words
    assert "n't" in words


def test_sentences_are_encoded_backwards(reference: dict[str, np.ndarray]) -> None:
    code = "from sentences import *; print(encode([['the', 'zyx', 'The']], {'the': 7}).tolist())"
    (row,) = eval(run(code))
    assert row == [0] * 47 + [7, 1, 7]
    assert reference["x"].shape == (3, 50)
