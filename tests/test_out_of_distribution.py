"""The example that tells messages of another kind: its rank statistic, its scores and its table."""

import importlib.util
import math
import statistics
import subprocess
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastdrop as fd
from example_scripts import run_in
from fastdrop.demo import ALPHABET, encode, messages, model_path

EXAMPLE = Path(__file__).parents[1] / "examples" / "out_of_distribution"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


detect, groups = load("detect"), load("groups")
# Few values, so that ties are frequent.
values = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=12)


@given(values, values)
def test_auroc_counts_pairs(known: list[float], other: list[float]) -> None:
    pairs = [(b > a) + (b == a) / 2 for a in known for b in other]
    assert detect.auroc(np.array(known), np.array(other)) == pytest.approx(statistics.fmean(pairs))


@pytest.mark.live
def test_auroc_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    for _ in range(20):
        known, other = (rng.normal(size=rng.integers(1, 50)).round(1) for _ in range(2))
        y = np.repeat([0, 1], [len(known), len(other)])
        expected = metrics.roc_auc_score(y, np.concatenate([known, other]))
        assert detect.auroc(known, other) == pytest.approx(expected, abs=1e-12)


def test_the_bootstrap_is_as_wide_as_the_error_of_a_rank_statistic() -> None:
    """DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988: the variance by placements."""
    rng = np.random.default_rng(1)
    known, other = rng.normal(size=150), rng.normal(0.8, size=60)
    low, high = detect.bootstrap(known, other, rng)
    above = other > known[:, np.newaxis]
    error = math.sqrt(
        above.mean(axis=1).var(ddof=1) / len(known) + above.mean(axis=0).var(ddof=1) / len(other)
    )
    assert (high - low) / (2 * 1.96 * error) == pytest.approx(1, abs=0.1)
    assert (low + high) / 2 == pytest.approx(above.mean(), abs=0.5 * error)


def run(*arguments: object) -> str:
    """Run the script in the example's folder, and see that it needs nothing but fastdrop."""
    call = (
        f"sys.argv[1:] = {[str(argument) for argument in arguments]}; import detect; detect.main()"
    )
    return run_in(EXAMPLE, call)


def test_scores_are_those_of_the_samples(tmp_path: Path) -> None:
    """Entropies by their definition, of the samples that were kept; and the areas by pairs."""
    texts = {"known": messages()[:5]}
    for name in ("german", "french"):
        texts[name] = (EXAMPLE / f"{name}.txt").read_text(encoding="utf-8").splitlines()[:4]
    for name, lines in texts.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    files = [tmp_path / f"{name}.txt" for name in texts]
    out = tmp_path / "scores.npz"
    _, _, *rows = run(*files, "--samples", 8, "--seed", 3, "--out", out).splitlines()

    def entropy(q: float) -> float:
        return -sum(part * math.log(part) for part in (q, 1 - q) if part > 0)

    model = fd.load(model_path())
    with np.load(out) as file:
        found = dict(file)
    assert list(found) == list(texts)
    for number, (name, lines) in enumerate(texts.items()):
        key, x = fd.Key(3).fold_in(number), encode(lines)
        samples = model.mc_predict(x, 8, rng=key, keep_samples=True).samples[..., 0].astype(float)
        off = model.predict(x)[:, 0].astype(float)
        for n, text in enumerate(lines):
            total = entropy(statistics.fmean(samples[:, n]))
            mutual = total - statistics.fmean(map(entropy, samples[:, n]))
            expected = [total, mutual, entropy(off[n]), len(text)]
            np.testing.assert_allclose(found[name][:, n], expected, atol=1e-7)
    for row, name in zip(rows, ("german", "french"), strict=True):
        cells = row[20:].split(")")[:-1]
        for cell, known, other in zip(cells, found["known"], found[name], strict=True):
            area = np.mean([(b > a) + (b == a) / 2 for a in known for b in other])
            assert cell.split()[0] == f"{area:.3f}"


def test_the_readme_shows_what_the_script_prints() -> None:
    readme = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    printed = run("--scores", "scores.npz")
    assert "".join(f"    {line}\n" for line in printed.splitlines()) in readme


def test_groups_are_made_as_the_readme_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = [
        f"{'spam' if n % 5 == 0 else 'ham'}\tno. {n} of  these &amp; more" for n in range(50)
    ]
    (tmp_path / "sms.tsv").write_text("\n".join(messages) + "\n", encoding="utf-8")
    words = ["Ca", "n't", "you", "go", "?"]
    treebank = "".join(f"{word}\tX\n" for word in words) + "\nOh\tX\n!\tX\n"
    (tmp_path / "test.tsv").write_text(treebank, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["groups.py", "sms.tsv", "test.tsv", "--count", "1"])
    groups.main()
    made = {path.stem: path.read_text("utf-8").rstrip("\n") for path in Path("groups").iterdir()}
    known = made.pop("held_out")
    assert known in {f"no. {n} of these & more" for n in range(50)}
    assert made.pop("sentences") == "Can't you go?"
    assert sorted(made.pop("shuffled_words").split()) == sorted(known.split())
    assert sorted(made.pop("shuffled_characters")) == sorted(known)
    assert len(made["random_characters"]) == len(known)
    assert set(made.pop("random_characters")) <= set(ALPHABET)
    assert not made
    # A fifth of each class is held out: all of it, where as many are asked for.
    texts = groups.held_out(Path("sms.tsv"), np.random.default_rng(0), 10)
    assert len(set(texts)) == 10
    assert sum(int(text.split()[1]) % 5 == 0 for text in texts) == 2


def test_foreign_messages_are_as_many_as_it_says() -> None:
    for name in ("german", "french"):
        lines = (EXAMPLE / f"{name}.txt").read_text(encoding="utf-8").splitlines()
        assert len(set(lines)) == 40
        assert all(line == line.strip() for line in lines)


@pytest.mark.parametrize(
    "arguments", [["german.txt"], ["german.txt", "--scores", "scores.npz"], []]
)
def test_messages_or_scores(arguments: list[str]) -> None:
    with pytest.raises(subprocess.CalledProcessError) as failure:
        run(*arguments)
    assert "expected two files of messages or more, or --scores" in failure.value.stderr


@pytest.mark.live
def test_the_picture_has_all_groups(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "entropy.svg"
    run("--scores", "scores.npz", "--plot", path)
    drawn = path.read_text(encoding="utf-8")
    with np.load(EXAMPLE / "scores.npz") as file:
        assert all(f"{name} ({file[name].shape[1]})" in drawn for name in file)
