"""Predictions as tables and datasets: every number against NumPy on the samples, in its place."""

import itertools
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastdrop as fd
from fastdrop.layers import Dense, Dropout

pd = pytest.importorskip("pandas", reason="pandas is not installed: the extra `pandas`")
xr = pytest.importorskip("xarray", reason="xarray is not installed: the extra `xarray`")

MEASURES = ["label", "entropy", "expected_entropy", "mutual_information", "variation_ratio"]
MEASURES += ["margin"]
NAMES = {0: [], 1: ["output"], 2: ["time", "output"], 3: ["axis_1", "time", "output"]}
NAMES |= {4: ["axis_1", "axis_2", "time", "output"]}


def samples(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).random(shape)


def distributions(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).dirichlet(np.ones(shape[-1]), shape[:-1])


def noisy(**options: Any) -> fd.Prediction:
    """Return a prediction of a model that says its own noise, of 4 rows with 2 outputs."""
    kernel = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    model = fd.Model([Dropout(name="drop", rate=0.5), Dense(name="out", kernel=kernel)], (6,))
    found: fd.Prediction = model.mc_predict(
        samples(4, 6), rng=0, **{"samples": 64, "likelihood": "normal"} | options
    )
    return found


# ---- tables ----


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.integers(0, 3), max_size=4),
    st.integers(0, 4),
    st.integers(0, 1 << 60),
    st.sampled_from(["regression", "binary"]),
)
def test_a_line_for_each_number(shape: list[int], rows: int, offset: int, kind: str) -> None:
    values = samples(9, rows, *shape)
    p = fd.Prediction.from_samples(values, kind, row_offset=offset)
    table = p.to_pandas()
    assert list(table.index.names) == ["row", *NAMES[len(shape)]]
    places = list(itertools.product(range(rows), *(range(n) for n in shape)))
    assert len(table) == len(places)
    columns = ["mean", "std", "q0.05", "q0.5", "q0.95"] + MEASURES * (kind == "binary")
    assert list(table.columns) == columns
    for row, *rest in places:
        line = table.loc[(offset + row, *rest) if rest else offset + row]
        mine = values[(slice(None), row, *rest)]
        expected = [mine.mean(), mine.std(ddof=1), *np.quantile(mine, [0.05, 0.5, 0.95])]
        np.testing.assert_allclose(line.iloc[:5].astype(float), expected, rtol=1e-12)
        if kind == "binary":
            assert line["label"] == (mine.mean() > 0.5)
            assert [line[m] for m in MEASURES] == [getattr(p, m)[row, *rest] for m in MEASURES]


@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
def test_a_line_for_each_choice_of_a_class(lead: tuple[int, ...]) -> None:
    values = distributions(7, 3, *lead, 4)
    p = fd.Prediction.from_samples(values, "multiclass", row_offset=5)
    table = p.to_pandas()
    assert list(table.index.names) == ["row", *["axis_1", "time"][2 - len(lead) :]]
    assert list(table.columns) == ["p0", "p1", "p2", "p3", *MEASURES]
    for row, *rest in itertools.product(range(3), *(range(n) for n in lead)):
        line = table.loc[(5 + row, *rest) if rest else 5 + row]
        mean = values[(slice(None), row, *rest)].mean(axis=0)
        np.testing.assert_allclose(line.iloc[:4].astype(float), mean, rtol=1e-12)
        assert line["label"] == mean.argmax()
        for name in MEASURES:
            assert line[name] == getattr(p, name)[row, *rest]


def test_types_of_columns() -> None:
    table = fd.Prediction.from_samples(samples(5, 2, 3), "binary").to_pandas()
    assert table.dtypes["label"].kind == "i"
    assert {str(table.dtypes[name]) for name in table.columns if name != "label"} == {"float64"}


def test_quantiles_that_are_asked_for() -> None:
    values = samples(9, 2, 3)
    table = fd.Prediction.from_samples(values).to_pandas(quantiles=[1, 0.1, 0.0])
    assert list(table.columns) == ["mean", "std", "q1.0", "q0.1", "q0.0"]
    assert np.array_equal(table["q0.0"], values.min(axis=0).reshape(-1))
    assert np.array_equal(table["q1.0"], values.max(axis=0).reshape(-1))
    assert list(fd.Prediction.from_samples(values).to_pandas([]).columns) == ["mean", "std"]


def test_both_deviations_where_there_are_two() -> None:
    p = noisy()
    table = p.to_pandas([])
    assert list(table.columns) == ["mean", "std", "epistemic", "aleatoric"]
    for name in table.columns:
        assert np.array_equal(table[name], getattr(p, name).reshape(-1))


def test_numbers_of_samples_where_rows_differ() -> None:
    p = noisy(samples=512, until=0.08)
    assert p.n_samples.tolist() != p.n_samples[::-1].tolist()
    table = p.to_pandas()
    for row, count in enumerate(p.n_samples):
        assert (table.loc[row]["n_samples"] == count).all()
    assert "n_samples" not in noisy().to_pandas().columns


def test_a_table_can_be_changed_without_the_prediction() -> None:
    p = fd.Prediction.from_samples(samples(9, 2, 1))
    before = p.mean.copy()
    table = p.to_pandas()
    table["mean"] = 0.0
    p.to_xarray()["mean"][:] = 0.0
    assert np.array_equal(p.mean, before)


@pytest.mark.parametrize(
    ("quantiles", "error", "found"),
    [
        ([0.1, 0.1], ValueError, "quantiles: expected a sequence of different probabilities, got"),
        ([[0.1, 0.2]], ValueError, "quantiles: expected a sequence of different probabilities"),
        (0.5, ValueError, "quantiles: expected a sequence of different probabilities, got 0.5"),
        ([0.5, 1.5], ValueError, r"quantiles: expected probabilities in \[0, 1\]"),
        ([np.nan], ValueError, r"quantiles: expected probabilities in \[0, 1\]"),
        (["a"], TypeError, "quantiles: expected an array of"),
    ],
)
def test_quantiles_that_are_none(quantiles: Any, error: type[Exception], found: str) -> None:
    p = fd.Prediction.from_samples(samples(9, 2))
    for method in (p.to_pandas, p.to_xarray):
        with pytest.raises(error, match=f"^{found}"):
            method(quantiles)


def test_a_table_of_classes_has_no_quantiles() -> None:
    p = fd.Prediction.from_samples(distributions(5, 2, 3), "multiclass")
    with pytest.raises(ValueError, match=r"^quantiles: expected None for kind 'multiclass'"):
        p.to_pandas([0.5])


# ---- datasets ----


@pytest.mark.parametrize("kind", ["regression", "binary"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 1, 3)])
def test_a_dataset_says_what_the_table_says(kind: str, shape: tuple[int, ...]) -> None:
    p = fd.Prediction.from_samples(samples(9, 4, *shape), kind, row_offset=3)
    dataset = p.to_xarray()
    names = ["row", *NAMES[len(shape)]]
    assert list(dataset["mean"].dims) == names
    assert list(dataset["quantiles"].dims) == ["quantile", *names]
    assert dataset["quantile"].values.tolist() == [0.05, 0.5, 0.95]
    assert dataset.attrs == {"kind": kind}
    assert dataset["n_samples"].item() == 9
    table = p.to_pandas()
    shared = [name for name in table.columns if name in dataset]
    assert len(shared) == 2 + len(MEASURES) * (kind == "binary")
    other = dataset[shared].to_dataframe().reorder_levels(names) if shape else None
    if other is not None:
        pd.testing.assert_frame_equal(other.sort_index(), table[shared], check_index_type=False)
    for q in (0.05, 0.5, 0.95):
        assert np.array_equal(dataset["quantiles"].sel(quantile=q), p.quantile(q))
    assert dataset["row"].values.tolist() == [3, 4, 5, 6]


def test_samples_have_chains_and_draws() -> None:
    values = samples(9, 4, 2, 3)
    dataset = fd.Prediction.from_samples(values).to_xarray()
    assert dataset["samples"].dims == ("chain", "draw", "row", "time", "output")
    assert np.array_equal(dataset["samples"].isel(chain=0), values)
    assert (dataset.sizes["chain"], dataset.sizes["draw"]) == (1, 9)
    p = fd.Prediction.from_samples(values, keep_samples=False)
    assert not {"samples", "chain", "draw"} & {*p.to_xarray().variables}


def test_a_dataset_of_classes() -> None:
    p = fd.Prediction.from_samples(distributions(9, 4, 2, 3), "multiclass")
    dataset = p.to_xarray([0.5])
    assert dataset["mean"].dims == ("row", "time", "class")
    assert dataset["quantiles"].shape == (1, 4, 2, 3)
    for name in MEASURES:
        assert dataset[name].dims == ("row", "time")
        assert np.array_equal(dataset[name], getattr(p, name))


def test_a_dataset_of_rows_that_stopped() -> None:
    p = noisy(samples=512, until=0.08, keep_samples=True)
    dataset = p.to_xarray()
    assert dataset["n_samples"].dims == ("row",)
    assert np.array_equal(dataset["n_samples"], p.n_samples)
    taken = (~np.isnan(dataset["samples"])).all("output").sum(["chain", "draw"])
    assert np.array_equal(taken, p.n_samples)
    for name in ("epistemic", "aleatoric"):
        assert np.array_equal(dataset[name], getattr(p, name))


def test_dimensions_by_other_names() -> None:
    p = fd.Prediction.from_samples(samples(9, 4, 2, 3))
    dataset = p.to_xarray(dims=("hour", "zone"))
    assert dataset["samples"].dims == ("chain", "draw", "row", "hour", "zone")
    assert dataset.sizes["zone"] == 3
    alone = fd.Prediction.from_samples(samples(9, 4))
    assert alone.to_xarray(dims=[])["mean"].dims == ("row",)


@pytest.mark.parametrize(
    ("dims", "error", "found"),
    [
        ("hz", TypeError, "2 different names, one for each axis of an output, got 'hz'"),
        (3, TypeError, "2 different names, one for each axis of an output, got 3"),
        (["hour"], ValueError, "2 different names"),
        (["hour"] * 2, ValueError, "2 different names"),
        (["hour", 2], TypeError, "a str, got 2"),
        (["hour", "row"], ValueError, "names that the dataset does not have yet, got 'row'"),
        (["mean", "zone"], ValueError, "names that the dataset does not have yet, got 'mean'"),
        (["margin", "zone"], ValueError, "names that the dataset does not have yet"),
    ],
)
def test_names_that_are_none(dims: Any, error: type[Exception], found: str) -> None:
    p = fd.Prediction.from_samples(samples(9, 4, 2, 3))
    with pytest.raises(error, match=f"^dims: expected {found}"):
        p.to_xarray(dims=dims)


def test_no_dimension_can_take_the_name_of_a_variable() -> None:
    """All that any dataset has is refused in every one."""
    found: set[str] = set()
    for p in (
        noisy(keep_samples=True),
        fd.Prediction.from_samples(distributions(9, 2, 3), "multiclass"),
    ):
        found |= {str(name) for name in p.to_xarray().variables}
    p = fd.Prediction.from_samples(samples(9, 4, 2))
    for name in found:
        with pytest.raises(ValueError, match=f"got '{name}'"):
            p.to_xarray(dims=[name])


def test_no_rows() -> None:
    p = fd.Prediction.from_samples(samples(9, 0, 2))
    assert p.to_pandas().shape == (0, 5)
    assert p.to_xarray()["quantiles"].shape == (3, 0, 2)


@pytest.mark.parametrize(
    ("method", "package", "extra"),
    [("to_pandas", "pandas", "pandas"), ("to_xarray", "xarray", "xarray")],
)
def test_what_has_to_be_installed(
    method: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    p = fd.Prediction.from_samples(samples(9, 2))
    expected = f'^{method}: expected {package} .* pip install "fastdrop-rnn\\[{extra}\\]"$'
    with pytest.raises(ImportError, match=expected):
        getattr(p, method)()


@pytest.mark.live
def test_arviz_takes_the_samples() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        arviz = pytest.importorskip("arviz")
        values = samples(50, 3, 2)
        dataset = fd.Prediction.from_samples(values).to_xarray()
        table = arviz.summary(dataset, var_names=["samples"], round_to="none")
    assert isinstance(dataset, xr.Dataset)
    np.testing.assert_allclose(table["mean"], values.mean(axis=0).reshape(-1), rtol=1e-12)
    np.testing.assert_allclose(table["sd"], values.std(axis=0, ddof=1).reshape(-1), rtol=1e-12)
    assert list(table.index)[:2] == ["samples[0, 0]", "samples[0, 1]"]
