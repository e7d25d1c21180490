"""The example that reads the census model of ethnicolr: its encoding, and its wheel where it is."""

import subprocess
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from example_scripts import run_in
from tolerances import FLOAT32, assert_close

EXAMPLE = Path(__file__).parents[1] / "examples" / "names"
run = partial(run_in, EXAMPLE)
CACHE = EXAMPLE / "cache"
needs_wheel = pytest.mark.skipif(
    not list(CACHE.glob("*.whl")),
    reason=f"the wheel of ethnicolr is not in {CACHE}: run examples/names/predict.py once",
)


ENCODED = {
    "ann": [3, 5],  # An nn: the case is a title's
    " ANN\t": [3, 5],
    "Erna": [1, 4, 2],
    "Anner": [3, 5, 0, 0],  # an unknown pair and the vocabulary's first are both 0
    "o'brien": [0, 6, 0, 0, 0, 0],  # O' 'B Br ri ie en: a capital after an apostrophe too
    "Da An": [0, 0, 7, 3],  # the space is a letter
    "A": [],
    "": [],
    "ann" * 8: ([0, 5, 2] * 7)[:20],  # of An nn na an nn … the last twenty
}


def test_encoding() -> None:
    vocabulary = {"er": 0, "Er": 1, "na": 2, "An": 3, "rn": 4, "nn": 5, "'B": 6, " A": 7}
    rows = eval(run(f"import census; print(census.encode({list(ENCODED)}, {vocabulary}).tolist())"))
    for name, row in zip(ENCODED, rows, strict=True):
        assert row == [0] * (20 - len(ENCODED[name])) + ENCODED[name], name


def test_another_wheel_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "ethnicolr-0.8.1-py2.py3-none-any.whl"
    other.write_bytes(b"PK\x05\x06" + bytes(18))
    code = f"import census, pathlib; census.find(pathlib.Path({str(other)!r}))"
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run(code)
    assert "ValueError" in caught.value.stderr
    assert "expected the wheel of ethnicolr 0.8.1" in caught.value.stderr


@needs_wheel
def test_encoding_is_the_packages_own() -> None:
    code = """
import census, compare
path = census.find()
vocabulary = census.read(path).bigrams
names = [*census.frequent_names(path, 2000), "o'brien", " van der berg ", "a", "", "Ødegård"]
own = compare.own_bigrams(path)
for name, row in zip(names, census.encode(names, vocabulary).tolist()):
    pairs = own(list(vocabulary), name.strip().title(), 2)
    assert row == ([0] * 20 + pairs)[-20:], (name, row, pairs)
print(len(vocabulary), len(names))
"""
    assert run(code) == "968 2005\n"


@needs_wheel
def test_predict_is_keras() -> None:
    names = ["Smith", "O'Brien", "Wolfeschlegelsteinhausen"]
    code = f"""
import census
model, bigrams, groups = census.read(census.find())
assert groups == ["api", "black", "hispanic", "white"]
print(model.predict(census.encode({names}, bigrams)).tolist())
"""
    # Keras 3.15.1 on TensorFlow 2.21.0, the LSTM's time_major left out of the file.
    keras = [
        [0.004675742, 0.20330203, 0.01861897, 0.7734033],
        [0.07072089, 0.10303281, 0.08074551, 0.74550074],
        [0.003447446, 0.001587876, 0.008415976, 0.9865487],
    ]
    assert_close(np.array(eval(run(code))), np.array(keras), FLOAT32)


@needs_wheel
def test_the_script_has_a_line_a_name() -> None:
    arguments = "sys.argv[1:] = ['names.txt', '--samples', '20']"
    _, *lines = run(f"{arguments}; import predict; predict.main()").splitlines()
    names = (EXAMPLE / "names.txt").read_text(encoding="utf-8").splitlines()
    assert [line[:16].rstrip() for line in lines] == names
    verdicts = {line.split()[0]: line.split()[-1] for line in lines}
    assert verdicts["Smith"] == "white"
    assert verdicts["Lee"] == "unsure"
