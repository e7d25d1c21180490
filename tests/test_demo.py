"""The demonstration's encoding and its table, each against a description of its own."""

import re
from pathlib import Path

import numpy as np
import pytest

import fastdrop as fd
from fastdrop import Prediction
from fastdrop.demo import ALPHABET, LENGTH, encode, messages, model_path
from fastdrop.demo.table import table, verdict

ROOT = Path(__file__).resolve().parent.parent


def test_every_character_has_its_number() -> None:
    """0 is padding, 1 what is not in the alphabet, and the alphabet begins at 2."""
    assert len(ALPHABET) == len(set(ALPHABET)) == 62
    assert encode([ALPHABET])[0, -62:].tolist() == list(range(2, 64))
    assert encode(["abc xyz"])[0, -7:].tolist() == [3, 4, 5, 2, 26, 27, 28]
    assert encode(["ABC XYZ"])[0, -7:].tolist() == [3, 4, 5, 2, 26, 27, 28]
    assert encode(["0z9"])[0, -3:].tolist() == [29, 28, 38]
    assert encode(["\té\0~"])[0, -4:].tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("length", [0, 1, LENGTH - 1, LENGTH, LENGTH + 1, 2 * LENGTH])
def test_rows_end_with_the_message(length: int) -> None:
    """Padding is in front; of a longer message the beginning is kept."""
    text = "".join(ALPHABET[1 + n % 26] for n in range(length))
    rows = encode(["a", text])
    assert rows.shape == (2, LENGTH)
    assert rows.dtype == np.int32
    kept = min(length, LENGTH)
    assert not rows[1, : LENGTH - kept].any()
    assert rows[1, LENGTH - kept :].tolist() == [3 + n % 26 for n in range(kept)]


def test_no_messages() -> None:
    assert encode([]).shape == (0, LENGTH)
    assert encode(("a", "b")).shape == (2, LENGTH)


def test_the_messages() -> None:
    assert len(messages()) > 5
    assert all(text and text == text.strip() for text in messages())


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.5 + 1e-9, 1.0, "spam"),
        (0.0, 0.5 - 1e-9, "ham"),
        (0.5, 1.0, "unsure"),
        (0.0, 0.5, "unsure"),
        (0.0, 1.0, "unsure"),
    ],
)
def test_verdicts_beside_one_half(low: float, high: float, expected: str) -> None:
    assert verdict(low, high) == expected


class Fixed(Prediction):
    """A prediction of known moments and quantiles."""

    mean = np.array([[0.75], [0.15], [0.5]])
    std = np.array([[0.1234], [0.05], [0.2]])

    def __init__(self) -> None:
        super().__init__("binary", (1,), 3, [])

    def quantile(self, q: object) -> np.ndarray:
        assert q == [0.05, 0.95]
        return np.array([[[0.6], [0.1], [0.3]], [[0.9], [0.2], [0.8]]])


@pytest.mark.parametrize(("width", "room"), [(100, 57), (64, 21), (63, 20), (20, 20)])
def test_a_table_fits_its_width(width: int, room: int) -> None:
    """A message that does not fit ends in an ellipsis, and is not cut where it just fits."""
    texts = ["short", "x" * room, "y" * (room + 1)]
    lines = table(texts, Fixed(), width).split("\n")
    assert len(lines) == 4
    assert lines[0] == f"{'message':{room}}  P(spam)    std  90 % interval   verdict"
    assert lines[1] == f"{'short':{room}}    0.750  0.123  0.600 to 0.900  spam"
    assert lines[2] == f"{'x' * room}    0.150  0.050  0.100 to 0.200  ham"
    assert lines[3] == f"{'y' * (room - 3)}...    0.500  0.200  0.300 to 0.800  unsure"
    if width >= 63:
        assert all(len(line) <= width for line in lines)


@pytest.mark.skipif(not (ROOT / "README.md").is_file(), reason="README.md is in a checkout alone")
@pytest.mark.parametrize("page", ["README.md", "examples/sms_spam/README.md"])
def test_what_the_pages_show_is_what_it_prints(page: str) -> None:
    """Each message that is shown, with its figures: on another tier the last digit may be off."""
    texts = messages()
    p = fd.load(model_path()).mc_predict(encode(texts), samples=200, rng=0)
    low, high = p.interval(0.9)
    lines = (ROOT / page).read_text("utf-8").splitlines()
    found = 0
    for row, text in enumerate(texts):
        shown = [line for line in lines if line.strip().startswith(text[:40])]
        if not shown:
            continue
        found += 1
        figures = re.search(r"(0\.\d+)  (0\.\d+)  (0\.\d+) to (0\.\d+)  (\w+)$", shown[0])
        assert figures is not None
        expected = (p.mean[row, 0], p.std[row, 0], low[row, 0], high[row, 0])
        np.testing.assert_allclose([float(n) for n in figures.groups()[:4]], expected, atol=1.1e-3)
        assert figures[5] == verdict(float(low[row, 0]), float(high[row, 0]))
    assert found >= 4
