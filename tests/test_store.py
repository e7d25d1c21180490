"""Predictions in files: the same bits again, and clear words for what is no such file."""

import io
import json
import os
import re
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastdrop as fd
from fastdrop import _npy
from fastdrop.layers import Dense, Dropout
from fastdrop.uncertainty._quantiles import CAPACITY

Q = np.array([0.0, 0.01, 0.05, 1 / 3, 0.5, 0.9, 1.0])
MEASURES = ("label", "entropy", "expected_entropy", "mutual_information", "variation_ratio")


def samples(*shape: int, dtype: str = "float64") -> np.ndarray:
    return np.random.default_rng(shape).random(shape).astype(dtype)


def distributions(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).dirichlet(np.ones(shape[-1]), shape[:-1])


def drawn(rows: int = 3, first_sample: int = 0, rng: object = 0, **options: Any) -> fd.Prediction:
    kernel = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    model = fd.Model([Dropout(name="drop", rate=0.5), Dense(name="out", kernel=kernel)], (6,))
    found: fd.Prediction = model.mc_predict(
        samples(rows, 6), rng=rng, first_sample=first_sample, **{"samples": 40} | options
    )
    return found


PREDICTIONS: dict[str, Callable[[], fd.Prediction]] = {
    "regression": lambda: fd.Prediction.from_samples(samples(9, 4, 3)),
    "float32": lambda: fd.Prediction.from_samples(samples(9, 4, 3, dtype="float32")),
    "forgotten": lambda: fd.Prediction.from_samples(samples(9, 4, 3), keep_samples=False),
    "one number": lambda: fd.Prediction.from_samples(samples(9, 4)),
    "long": lambda: fd.Prediction.from_samples(samples(5 * CAPACITY + 7, 2), keep_samples=False),
    "full": lambda: fd.Prediction.from_samples(samples(2 * CAPACITY, 2)),
    "binary": lambda: fd.Prediction.from_samples(samples(9, 4, 3), "binary"),
    "multiclass": lambda: fd.Prediction.from_samples(distributions(9, 4, 2, 3), "multiclass"),
    "covariance": lambda: fd.Prediction.from_samples(samples(9, 4, 3), folds=["covariance"]),
    "no rows": lambda: fd.Prediction.from_samples(samples(9, 0, 3)),
    "no outputs": lambda: fd.Prediction.from_samples(samples(9, 3, 0)),
    "far rows": lambda: fd.Prediction.from_samples(samples(9, 4), row_offset=1 << 61),
    "infinite": lambda: fd.Prediction.from_samples(np.full((9, 2), np.inf)),
    "drawn": drawn,
    "kept": lambda: drawn(keep_samples=True),
    "noise": lambda: drawn(likelihood="normal"),
    "noise, changed": lambda: drawn(likelihood="normal", transform=lambda v: v.sum(axis=-1)),
    "enough": lambda: drawn(9, samples=600, until={"mean": 0.15, "std": 0.2}, keep_samples=True),
    "merged": lambda: drawn().merge(drawn(first_sample=40)).merge(drawn(rng=1)),
    "a large key": lambda: drawn(rng=fd.Key(2**90).fold_in("a")),
}
CASES = pytest.mark.parametrize("make", PREDICTIONS.values(), ids=PREDICTIONS)


def same(a: fd.Prediction, b: fd.Prediction) -> None:
    """Check that two say the same, to the bit, now and after whatever may be done with them."""
    assert repr(a) == repr(b)
    names = ["mean", "std", "var", "n_samples", "samples", "epistemic"]
    names += MEASURES if a.kind != "regression" else []
    names += ["aleatoric"] if a._has("means") else []
    for name in names:
        mine, theirs = np.asarray(getattr(a, name)), np.asarray(getattr(b, name))
        assert (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape)
        assert mine.tobytes() == theirs.tobytes(), name
    assert a.quantile(Q).tobytes() == b.quantile(Q).tobytes()
    assert a.folds.keys() == b.folds.keys()
    for name, fold in a.folds.items():
        assert fold.tobytes() == b.folds[name].tobytes()
    assert len(a._parts) == len(b._parts)
    for part, other in zip(a._parts, b._parts, strict=True):
        assert part.rows.tolist() == other.rows.tolist()
        assert part.spans == other.spans
        assert part.statistics.keys() == other.statistics.keys()
        for name, statistic in part.statistics.items():
            theirs = other.statistics[name]
            assert type(statistic) is type(theirs)
            assert statistic.scalars() == theirs.scalars()
            for field, array in statistic.arrays().items():
                assert array.tobytes() == theirs.arrays()[field].tobytes()


def stored(p: fd.Prediction, path: Path) -> fd.Prediction:
    p.save(path)
    return fd.Prediction.load(path)


# ---- the same again ----


@CASES
def test_a_prediction_is_the_same_again(make: Callable[[], fd.Prediction], tmp_path: Path) -> None:
    p = make()
    same(stored(p, tmp_path / "p"), p)


@CASES
def test_and_goes_on_the_same(make: Callable[[], fd.Prediction], tmp_path: Path) -> None:
    """Merged with other samples, before and after, and with other rows."""
    p = make()
    again = stored(p, tmp_path / "p")
    if p._row_offset == 0 and p._rows == 3 and p._shape == (4,) and not p._has("samples"):
        more = drawn(first_sample=1000, rng=5)
        same(again.merge(more), p.merge(more))
        same(more.merge(again), more.merge(p))
        # A number of a sample is in one of them only.
        with pytest.raises(ValueError, match="in both"):
            again.merge(p)
    else:
        other = fd.Prediction.from_samples(np.zeros((5, 4, 3), p._dtype))
        if (p._shape, p._names()) == (other._shape, other._names()) and p._rows == 4:
            same(again.merge(other), p.merge(other))


def test_more_samples_than_a_buffer_holds_go_on(tmp_path: Path) -> None:
    """What merges have alternated goes on alternating."""
    many = samples(9 * CAPACITY, 2)
    parts = [many[: 3 * CAPACITY + 5], many[3 * CAPACITY + 5 : 5 * CAPACITY], many[5 * CAPACITY :]]
    made = [fd.Prediction.from_samples(part, keep_samples=False) for part in parts]
    whole = made[0].merge(made[1]).merge(made[2])
    path = tmp_path / "p.npz"
    again = stored(stored(made[0], path).merge(stored(made[1], path)), path)
    same(again.merge(stored(made[2], path)), whole)


def test_rows_that_wait_for_samples(tmp_path: Path) -> None:
    """Ctrl-C may leave rows without any."""

    def stop(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    kernel = np.ones((6, 4), np.float32)
    model = fd.Model([Dropout(name="drop", rate=0.5), Dense(name="out", kernel=kernel)], (6,))
    p = model.mc_predict(
        samples(3000, 6), 40, rng=0, threads=1, progress=stop, on_interrupt="return"
    )
    assert (p.n_samples == 0).any()
    same(stored(p, tmp_path / "p"), p)


def test_what_is_loaded_is_its_own(tmp_path: Path) -> None:
    p = drawn()
    path = tmp_path / "p.npz"
    again = stored(p, path)
    path.write_bytes(b"")
    same(again, p)
    assert type(again) is fd.Prediction


# ---- the file ----


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    """NumPy alone reads it, without pickle."""
    path = tmp_path / "any name"
    drawn(keep_samples=True).save(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["any name"]
    with np.load(path, allow_pickle=False) as file:
        header = json.loads(bytes(file["header"]))
        assert header["format"] == "fastdrop-prediction/1"
        assert file["0/samples/values"].shape == (40, 12)
        assert all(file[name].dtype.kind in "fiu" for name in file.files)


@pytest.mark.skipif(os.name != "posix", reason="links and modes as POSIX has them")
def test_links_and_modes_are_kept(tmp_path: Path) -> None:
    path, link = tmp_path / "p.npz", tmp_path / "link"
    path.touch(0o600)
    link.symlink_to(path.name)
    drawn().save(str(link))
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    same(fd.Prediction.load(link), drawn())


def test_it_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "p.npz"
    path.write_bytes(b"precious")

    def half(file: Any, **arrays: object) -> None:
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", half)
    with pytest.raises(OSError, match="No space left"):
        drawn().save(path)
    assert path.read_bytes() == b"precious"
    assert [*tmp_path.iterdir()] == [path]


class Total:
    """A fold of a user's."""

    def __init__(self) -> None:
        self.total = 0.0

    def add(self, values: Any) -> None:
        self.total += float(values.sum())

    def merge(self, other: Any) -> None:
        self.total += other.total

    def result(self) -> float:
        return self.total


def test_folds_of_ones_own_are_not_stored(tmp_path: Path) -> None:
    p = drawn(folds={"all": Total(), "again": Total()})
    found = "^save: expected a prediction without folds of your own, .*, got 'all, again'"
    with pytest.raises(ValueError, match=found):
        p.save(tmp_path / "p")
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b"])
def test_names_that_no_file_can_have(name: str) -> None:
    """On POSIX a name is octets, of which these have none."""
    message = r"^path: expected a str or path-like that can be a path, got "
    model = fd.Model([Dropout(name="drop", rate=0.5)], (2,))
    for call in (fd.Prediction.load, drawn().save, model.save):
        with pytest.raises(ValueError, match=message):
            call(name)


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    for path, found in (
        (tmp_path, "a directory"),
        ("", "nothing"),
        (tmp_path / "no" / "p.npz", "one in a directory that does not exist"),
    ):
        expected = f"path: {str(path)!r}: expected a regular file or a new one, found {found}"
        with pytest.raises(ValueError, match=f"^{re.escape(expected)}"):
            drawn().save(path)
    for path in (3, None, io.BytesIO()):
        for method in (drawn().save, fd.Prediction.load):
            with pytest.raises(TypeError, match=r"^path: expected a str or path-like, got"):
                method(path)  # type: ignore[arg-type]


# ---- what is no such file ----


def refused(path: Path, found: str) -> None:
    with pytest.raises(ValueError, match=found) as caught:
        fd.Prediction.load(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: expected ")
    assert "\n" not in text
    assert len(text) < len(str(path)) + 300


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "got a damaged archive: 'File is not a zip file'"),
        (b"text", "got a damaged archive"),
        (b"PK\3\4" + bytes(100), "got a damaged archive"),
        (b"PK\5\6" + bytes(18), "got an archive without its header"),
    ],
)
def test_what_is_no_archive(data: bytes, found: str, tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    path.write_bytes(data)
    refused(path, found)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        fd.Prediction.load(tmp_path / "p.npz")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs on this system")
def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ValueError, match="expected a regular file, found a special file"):
        fd.Prediction.load(tmp_path / "fifo")
    with pytest.raises(ValueError, match="expected a regular file, found a directory"):
        fd.Prediction.load(tmp_path)
    with pytest.raises(ValueError, match="found a special file"):
        drawn().save(tmp_path / "fifo")


def test_an_archive_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    np.savez(path, x=np.ones(3))
    refused(path, "got an archive without its header")
    np.savez(path, x=np.array([{}], dtype=object))
    refused(path, "got an archive in which 'x.npy' is one of Python's objects")
    drawn().save(path)
    with np.load(path) as file:
        np.savez_compressed(path, **{name: file[name] for name in file.files})
    refused(path, "is compressed$")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "x")
    refused(path, "got an archive that holds 'notes.txt'")


def changed(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], object]) -> None:
    """Write another file: of other arrays, or with another header, by a function of both."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    header = json.loads(bytes(arrays["header"]))
    change(header, arrays)
    if "header" in arrays:
        arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(path, **arrays)


def put(name: str, value: object) -> Callable[[dict[str, Any], dict[str, Any]], object]:
    return lambda header, arrays: header.update({name: value})


def put_part(name: str, value: object) -> Callable[[dict[str, Any], dict[str, Any]], object]:
    return lambda header, arrays: header["parts"][0].update({name: value})


def put_array(name: str, value: object) -> Callable[[dict[str, Any], dict[str, Any]], object]:
    return lambda header, arrays: arrays.update({name: np.asarray(value)})


def without(name: str) -> Callable[[dict[str, Any], dict[str, Any]], object]:
    return lambda header, arrays: arrays.pop(name)


WRONG: dict[str, tuple[Callable[..., object], str]] = {
    "a later version": (
        put("format", "fastdrop-prediction/2"),
        "'fastdrop-prediction/2' of itself",
    ),
    "another format": (put("format", "model/1"), "one that says 'model/1' of itself"),
    "no format": (put("format", None), "one that says None of itself"),
    "no header": (without("header"), "an archive without its header"),
    "another kind": (put("kind", "ordinal"), "a header without kind"),
    "no kind": (put("kind", 3), "a header without kind"),
    "classes": (put("kind", "multiclass"), "other statistics than those of its kind"),
    "a shape": (put("shape", 4), "a header without shape"),
    "a length": (put("shape", [-4]), "a header without shape"),
    "another length": (put("shape", [5]), "moments/origin: float32 array of shape (12,)"),
    "a large shape": (put("shape", [2**40, 2**40]), "moments/origin: "),
    "rows": (put("rows", 2), "rows that there are not, or twice"),
    "many rows": (put("rows", -1), "a header without rows"),
    "True rows": (put("rows", True), "a header without rows"),
    "more rows than there can be": (put("rows", 2**61), "more rows than there can be"),
    "rows beyond all": (put("row_offset", 2**63), "more rows than there can be"),
    "an offset": (put("row_offset", 0.5), "a header without row_offset"),
    "a flag": (put("each", 1), "a header without each"),
    "parts": (put("parts", {}), "a header without parts"),
    "no part": (put("parts", []), "an archive that also holds '0/moments/origin'"),
    "two parts": (put("parts", [{}, {}]), "a header without count"),
    "a part": (put("parts", [3]), "no header"),
    "statistics": (put("statistics", ["moments"]), "other statistics than those of its kind"),
    "a statistic": (put("statistics", ["moments", "quantiles", "fold x"]), "other statistics"),
    "twice": (put("statistics", ["moments", "quantiles", "moments"]), "other statistics"),
    "no name": (put("statistics", [[]]), "a header without statistics"),
    "one more": (put("statistics", ["moments", "quantiles", "fourth"]), "other arrays than"),
    "count": (put_part("count", 39), "quantiles/buffer: float32 array of shape (40, 12)"),
    "no samples": (put_part("count", 0), "rows without samples"),
    "merges": (put_part("merges", None), "a header without merges"),
    "spans": (put_part("spans", [[None, 0]]), "a header without spans"),
    "a span": (put_part("spans", [["a", 0, 1]]), "a header without spans"),
    "a word": (put_part("spans", [[["a"], 0, 1]]), "a header without spans"),
    "no rows": (without("0/rows"), "no numbers of rows"),
    "a row twice": (put_array("0/rows", [0, 1, 1]), "rows that there are not, or twice"),
    "a row below": (put_array("0/rows", [-1, 0, 1]), "rows that there are not, or twice"),
    "a row above": (put_array("0/rows", [0, 1, 3]), "rows that there are not, or twice"),
    "rows of another type": (put_array("0/rows", [0.0, 1.0, 2.0]), "no numbers of rows"),
    "no quantiles": (without("0/quantiles/lowest"), "no quantiles"),
    "quantiles": (put_array("0/quantiles/lowest", np.zeros(12, "f2")), "no quantiles"),
    "other quantiles": (put_array("0/quantiles/lowest", np.zeros(12)), "moments/origin: float32"),
    "no array": (without("0/moments/origin"), "other arrays than those of moments"),
    "an array": (
        put_array("0/moments/origin", np.zeros(12)),
        "moments/origin: float64 array",
    ),
    "an array of axes": (
        put_array("0/moments/origin", np.zeros((3, 4))),
        "moments/origin: float64",
    ),
    "an array more": (put_array("0/more/mean", 1.0), "also holds 'more/mean'"),
    "an array besides": (put_array("more", 1.0), "also holds 'more'"),
    "a level": (put_array("0/quantiles/level 0", np.zeros((1024, 12), "f4")), "quantiles/"),
    "a far level": (put_array("0/quantiles/level 99", np.zeros((1024, 12), "f4")), "other arrays"),
    "a header of text": (put_array("header", 3.0), "an archive without its header"),
}


@pytest.mark.parametrize(("change", "found"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit(change: Callable[..., object], found: str, tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    drawn().save(path)
    if "header" in found and "an archive" in found:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        change({}, arrays)
        np.savez(path, **arrays)
    else:
        changed(path, change)
    refused(path, f"got .*{re.escape(found)}")


def test_a_header_that_is_no_json(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    for text in (b"{", b"[" * 100_000, b"\xff", b"9" * 5000, b"[]", b"NaN"):
        np.savez(path, header=np.frombuffer(text, np.uint8))
        refused(path, "a header that is no JSON|no header")


def test_more_quantiles_than_a_buffer_takes(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    fd.Prediction.from_samples(samples(3 * CAPACITY, 1), keep_samples=False).save(path)
    changed(path, lambda header, arrays: arrays.pop("0/quantiles/level 1"))
    refused(path, "other arrays than those of quantiles")


def test_no_classes(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    fd.Prediction.from_samples(distributions(9, 2, 3), "multiclass").save(path)
    for shape in ([], [0]):
        changed(path, put("shape", shape))
        refused(path, "got no classes")


# ---- archives ----


def archive_of(change: Callable[[zipfile.ZipFile], object], method: int) -> bytes:
    """Return an archive of an array whose directory is another one."""
    member, file = io.BytesIO(), io.BytesIO()
    np.save(member, np.arange(1000))
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("x.npy", member.getvalue())
        change(archive)
    return file.getvalue()


def longer(archive: zipfile.ZipFile) -> None:
    archive.getinfo("x.npy").file_size += 1


def again(archive: zipfile.ZipFile) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("x.npy", b"")


def shared(archive: zipfile.ZipFile) -> None:
    archive.filelist.append(archive.filelist[0])


@pytest.mark.parametrize(
    ("change", "method", "found"),
    [
        (longer, zipfile.ZIP_DEFLATED, "an archive in which 'x.npy' is cut off"),
        (longer, zipfile.ZIP_STORED, "an archive in which 'x.npy' is cut off"),
        (again, zipfile.ZIP_STORED, "an archive in which 'x.npy' occurs twice"),
        (shared, zipfile.ZIP_STORED, "an archive whose members overlap"),
        (lambda archive: None, zipfile.ZIP_LZMA, "an archive in which 'x.npy' is compressed"),
    ],
)
def test_directories_that_do_not_fit(
    change: Callable[[zipfile.ZipFile], None], method: int, found: str
) -> None:
    with pytest.raises(_npy.NoArrayError, match=f"^{found}"):
        _npy.archive(archive_of(change, method))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_archives_of_both_kinds(method: int) -> None:
    data = archive_of(lambda archive: None, method)
    assert _npy.archive(data)["x"].tolist() == list(range(1000))


@pytest.mark.parametrize("error", [EOFError(), RuntimeError("two\nlines")], ids=repr)
def test_what_is_said_of_what_zipfile_raises(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """A line; its class, where it says nothing."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(zipfile, "ZipFile", fail)
    with pytest.raises(_npy.NoArrayError) as caught:
        _npy.archive(b"PK")
    said = "two lines" if str(error) else "EOFError"
    assert str(caught.value) == f"a damaged archive: {said!r}"
    error = MemoryError()
    with pytest.raises(MemoryError):
        _npy.archive(b"PK")


# ---- damage ----


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, fd.Prediction]:
    path = tmp_path_factory.mktemp("damaged") / "p.npz"
    p = drawn(2, samples=5, keep_samples=True)
    p.save(path)
    return path, path.read_bytes(), p


def damaged(whole: tuple[Path, bytes, fd.Prediction], data: bytes) -> bool:
    """Load other bytes: they are refused, or what was damaged is no part of the prediction."""
    path, _, p = whole
    path.write_bytes(data)
    found = ""
    try:
        again = fd.Prediction.load(path)
    except ValueError as error:
        found = str(error)
    else:
        same(again, p)
    assert not found or found.startswith(f"{path}: expected ")
    assert "\n" not in found
    return bool(found)


def test_every_truncation_is_refused(whole: tuple[Path, bytes, fd.Prediction]) -> None:
    data = whole[1]
    for size in range(0, len(data), 7):
        assert damaged(whole, data[:size])


def test_a_changed_bit(whole: tuple[Path, bytes, fd.Prediction]) -> None:
    """One in each fifth byte: nearly all of them are noticed, and none changes a number."""
    data = whole[1]
    refusals = 0
    for place in range(0, len(data), 5):
        other = bytearray(data)
        other[place] ^= 1 << (place % 8)
        refusals += damaged(whole, bytes(other))
    assert refusals > len(data) / 5 / 2


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_other_damage(whole: tuple[Path, bytes, fd.Prediction], data: st.DataObject) -> None:
    """Bytes overwritten, taken out and put in, anywhere and several times."""
    found = bytearray(whole[1])
    for _ in range(data.draw(st.integers(1, 6))):
        start = data.draw(st.integers(0, len(found)))
        stop = min(len(found), start + data.draw(st.integers(0, 40)))
        found[start:stop] = data.draw(st.binary(max_size=40))
    damaged(whole, bytes(found))


def test_rows_of_which_nothing_was_sampled(tmp_path: Path) -> None:
    """Interrupted before the first samples were folded."""

    def interrupted(values: Any) -> Any:
        raise KeyboardInterrupt

    model = fd.Model([fd.layers.Dropout(name="drop", rate=0.5)], (3,))
    x = np.ones((2, 3))
    p = model.mc_predict(x, 5, rng=0, transform=interrupted, on_interrupt="return", threads=1)
    p.save(tmp_path / "p.npz")
    again = fd.Prediction.load(tmp_path / "p.npz")
    assert again.n_samples.tolist() == [0, 0]
    assert np.isnan(again.mean).all()
    assert again.mean.shape == (2, 3)
    assert again.merge(p).n_samples.tolist() == [0, 0]
    more = model.mc_predict(x, 5, rng=0, transform=lambda values: values)
    np.testing.assert_array_equal(again.merge(more).mean, more.mean)
    np.testing.assert_array_equal(more.merge(again).mean, more.mean)


def test_no_parts(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    header = {"rows": 0, "parts": []}

    def empty(given: dict[str, Any], arrays: dict[str, Any]) -> None:
        given.update(header)
        for name in [*arrays]:
            if name != "header":
                del arrays[name]

    drawn().save(path)
    changed(path, empty)
    refused(path, "a header without parts")
