"""Layers that are random while sampling: the public functions' bits, and the identity otherwise."""

from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from fastdrop.formats import ModelFormatError
from fastdrop.layers import (
    AlphaDropout,
    Draw,
    Dropout,
    EmbeddingDropout,
    Flow,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
    TimeDistributed,
)
from layer_laws import KERAS_3, TF_KERAS, check_draws, check_laws, normal, planned

X3, X4, X5 = normal(7, 5, 3), normal(7, 4, 3, 2), normal(7, 2, 3, 2, 3)
LAYERS = [
    (Dropout(name="a", rate=0.4), fd.dropout, X3, 15, {}),
    (SpatialDropout1D(name="a", rate=0.4), fd.spatial_dropout1d, X3, 3, {}),
    (SpatialDropout2D(name="a", rate=0.4), fd.spatial_dropout2d, X4, 2, {}),
    (SpatialDropout3D(name="a", rate=0.4), fd.spatial_dropout3d, X5, 3, {}),
    (AlphaDropout(name="a", rate=0.4), fd.alpha_dropout, X3, 15, {}),
    (
        AlphaDropout(name="a", rate=0.4, noise_shape=(None, 1, 3)),
        fd.alpha_dropout,
        X3,
        3,
        {"noise_shape": (None, 1, 3)},
    ),
    (GaussianDropout(name="a", rate=0.4), fd.gaussian_dropout, X3, 15, {}),
    (GaussianNoise(name="a", stddev=0.4), fd.gaussian_noise, X3, 15, {}),
]
IDS = [
    "dropout",
    "spatial 1d",
    "spatial 2d",
    "spatial 3d",
    "alpha",
    "alpha noise_shape",
    "gaussian dropout",
    "gaussian noise",
]


@pytest.mark.parametrize(("layer", "function", "x", "elements", "more"), LAYERS, ids=IDS)
def test_a_sample_is_the_public_function(
    backend: str, layer: Any, function: Any, x: np.ndarray, elements: int, more: dict[str, Any]
) -> None:
    check_draws(layer, function, x, 0.4, elements, **more)


@pytest.mark.parametrize(("layer", "function", "x", "elements", "more"), LAYERS, ids=IDS)
def test_nothing_happens_at_inference(
    layer: Any, function: Any, x: np.ndarray, elements: int, more: dict[str, Any]
) -> None:
    check_laws(layer, x)
    flow = Flow(x[np.newaxis])
    assert layer.forward(flow, None) is flow
    none = layer.with_rates(0.0)
    assert none.stochastic == ""
    assert layer.stochastic.endswith(" 0.4")
    assert layer.can_draw
    assert none.can_draw


@pytest.mark.parametrize(("layer", "function", "x", "elements", "more"), LAYERS, ids=IDS)
def test_at_every_step_rows_are_numbered_by_steps(
    layer: Any, function: Any, x: np.ndarray, elements: int, more: dict[str, Any]
) -> None:
    """Also where rows share masks: steps do not."""
    timed = TimeDistributed(name="t", layer=layer)
    steps = np.stack([x, x, x], axis=1)
    draws = {
        scope: fd.Model([timed], steps.shape[1:])
        .mc_predict(steps, 2, rng=0, scope=scope, keep_samples=True)
        .samples
        for scope in ("per_row", "shared")
    }
    rows = fd.Model([layer], x.shape[1:]).mc_predict(
        steps.reshape(21, *x.shape[1:]), 2, rng=0, keep_samples=True
    )
    np.testing.assert_array_equal(draws["per_row"].reshape(2, 21, *x.shape[1:]), rows.samples)
    same = x[:1].repeat(7, axis=0)
    shared = fd.Model([timed], steps.shape[1:]).mc_predict(
        np.stack([same] * 3, axis=1), 2, rng=0, scope="shared", keep_samples=True
    )
    np.testing.assert_array_equal(shared.samples[:, 1:], shared.samples[:, :-1])
    assert (shared.samples[:, :, 1:] != shared.samples[:, :, :-1]).any()


def test_samples_of_a_random_input_differ() -> None:
    """Each sample is applied to its own values."""
    values = np.stack([X3, 2 * X3, 3 * X3])
    draw = Draw(key=fd.Key.from_words(1, 2), samples=range(2, 5), first_row=4, rows=7)
    for layer, function in (
        (GaussianNoise(name="a", stddev=0.3), fd.gaussian_noise),
        (GaussianDropout(name="a", rate=0.3), fd.gaussian_dropout),
        (AlphaDropout(name="a", rate=0.3), fd.alpha_dropout),
    ):
        got = layer.forward(Flow(values), draw).values
        for j in range(3):
            expected = function(values[j], 0.3, rng=draw.key, stream=2 + j, offset=60)
            np.testing.assert_array_equal(got[j], expected)


def test_normals_end_sooner_than_mask_elements() -> None:
    """A row whose normals have no number is refused before anything is drawn."""
    model = fd.Model([GaussianNoise(name="a", stddev=0.4)], (4,))
    x, last = normal(1, 4), 2**55 - 1
    model.mc_predict(x, 1, rng=0, row_offset=last)
    with pytest.raises(ValueError, match=r"row_offset: expected at most"):
        model.mc_predict(x, 1, rng=0, row_offset=last + 1)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: AlphaDropout(name="a", rate=1.0), r"layer 'a' rate: expected a number in \[0, 1"),
        (lambda: GaussianDropout(name="a", rate=1.0), r"layer 'a' rate: expected a number in \[0"),
        (lambda: GaussianNoise(name="a", stddev=-1.0), r"layer 'a' stddev: expected a finite"),
        (lambda: GaussianNoise(name="a", stddev=np.inf), r"layer 'a' stddev: expected a finite"),
        (lambda: AlphaDropout(name="a", rate=0.5, noise_shape=(2, 1)), r"layer 'a' noise_shape"),
        (
            lambda: fd.Model([SpatialDropout2D(name="a", rate=0.5)], (4, 3)),
            r"layer 'a': expected an input of shape \(height, width, channels\), got \(4, 3\)",
        ),
        (
            lambda: fd.Model([AlphaDropout(name="a", rate=0.5, noise_shape=(None, 2))], (4,)),
            r"layer 'a': expected an input of shape to which \(2,\) broadcasts, got \(4,\)",
        ),
    ],
)
def test_refusals(make: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()


def test_a_noise_shape_fixes_what_the_model_leaves_open() -> None:
    layer = AlphaDropout(name="a", rate=0.5, noise_shape=(None, 4, 1))
    model = fd.Model([layer], (None, 3))
    assert model.mc_predict(np.ones((2, 4, 3)), 3, rng=0).mean.shape == (2, 4, 3)
    with pytest.raises(ValueError, match=r"layer 'a': .* to which \(4, 1\) broadcasts"):
        model.mc_predict(np.ones((2, 5, 3)), 3, rng=0)


# ---- as Keras spells them ----


@pytest.mark.parametrize("version", [KERAS_3, TF_KERAS], ids=["keras 3", "keras 2"])
def test_rows(version: Any) -> None:
    def read(name: str, shape: tuple[int, ...] = (5, 3), **config: Any) -> Any:
        return planned(name, shape, version, **config)

    alpha = read("AlphaDropout", rate=0.3, seed=3, noise_shape=[None, 1, 3])
    assert (type(alpha), alpha.rate, alpha.noise_shape) == (AlphaDropout, 0.3, (None, 1, 3))
    noise = read("GaussianNoise", stddev=2.5, seed=None)
    assert (type(noise), noise.stddev) == (GaussianNoise, 2.5)
    assert read("GaussianDropout", rate=0.3, seed=1).rate == 0.3
    spatial = read("SpatialDropout2D", (4, 4, 2), rate=0.3, data_format="channels_last")
    assert (type(spatial), spatial.rate) == (SpatialDropout2D, 0.3)
    activity = read("ActivityRegularization", l1=0.1, l2=0.5)
    assert activity.passes_mask
    assert activity.stochastic == ""


@pytest.mark.parametrize(
    ("name", "config", "match"),
    [
        ("AlphaDropout", {"rate": 1.0}, r"rate: expected a rate in \[0, 1\), found 1.0"),
        ("AlphaDropout", {"rate": 0.1, "noise_shape": [2]}, "noise_shape: expected null, or"),
        ("GaussianDropout", {"rate": 1}, r"rate: expected a rate in \[0, 1\), found 1"),
        ("GaussianNoise", {"stddev": -0.5}, "stddev: expected a number >= 0, found -0.5"),
        ("GaussianNoise", {"stddev": True}, "stddev: expected a number >= 0, found"),
        ("GaussianNoise", {}, "stddev: expected a number >= 0, found nothing"),
        ("GaussianNoise", {"stddev": 0.5, "mean": 2.0}, "unsupported option 'mean': 2.0"),
        (
            "SpatialDropout2D",
            {"rate": 0.5, "data_format": "channels_middle"},
            "data_format: expected 'channels_last', found 'channels_middle'",
        ),
    ],
)
def test_rows_refuse(name: str, config: dict[str, Any], match: str) -> None:
    with pytest.raises(ModelFormatError, match=match):
        planned(name, (5, 3, 2), **config)


# ---- whole words ----

WORDS = np.random.default_rng(3).integers(0, 6, (7, 5))


def words_dropped(**options: Any) -> EmbeddingDropout:
    return EmbeddingDropout(name="e", table=normal(6, 4), **{"rate": 0.4, **options})


def test_a_sample_of_words_is_the_public_function(backend: str) -> None:
    layer = words_dropped()
    model = fd.Model([layer], (None,))
    key, table = fd.Key.from_words(3, 4), layer.table
    options: dict[str, Any] = {"rng": key, "row_offset": 5, "keep_samples": True}
    per_row = model.mc_predict(WORDS, 3, first_sample=7, **options).samples
    shared = model.mc_predict(WORDS, 3, first_sample=7, scope="shared", **options).samples
    for scope, got in (("per_row", per_row), ("shared", shared)):
        for m in range(3):
            expected = fd.embedding_dropout(
                WORDS, table, 0.4, rng=key.fold_in(0), stream=7 + m, row_offset=5, scope=scope
            )
            np.testing.assert_array_equal(got[m], expected)
    assert (per_row != shared).any()


def test_words_of_rows_that_share_masks_in_periods(backend: str) -> None:
    """Rows n and n + 3 drop the same words, and each sample looks its own indices up."""
    layer = words_dropped()
    draw = Draw(key=fd.Key(1), samples=range(2, 4), first_row=30, rows=7, period=3)
    words = np.stack([WORDS, WORDS[::-1]])
    got = layer.forward(Flow(words), draw).values
    for j in range(2):
        for n in range(7):
            row = words[j, n : n + 1]
            options = {"rng": draw.key, "stream": 2 + j, "row_offset": n % 3}
            expected = fd.embedding_dropout(row, layer.table, 0.4, **options)
            np.testing.assert_array_equal(got[j, n : n + 1], expected)


def test_words_are_looked_up_whole_at_inference() -> None:
    layer = words_dropped(mask_zero=True)
    flow = layer.forward(Flow(WORDS[np.newaxis]), None)
    np.testing.assert_array_equal(flow.looked_up().values[0], layer.table[WORDS])
    draw = Draw(key=fd.Key(1), samples=range(2), first_row=0, rows=7)
    for found in (flow, layer.forward(Flow(WORDS[np.newaxis].astype(np.float32)), draw)):
        assert found.mask is not None
        np.testing.assert_array_equal(found.mask[0], WORDS != 0)
    assert layer.stochastic == "word dropout 0.4"
    assert layer.with_rates(0.0).stochastic == ""
    assert layer.rates() == {"rate": 0.4}
    model = fd.Model([layer], (None,))
    with pytest.raises(ValueError, match=r"expected indices in \[0, 6\) for layer 'e', got 6"):
        model.mc_predict(WORDS + 1, 2)
    with pytest.raises(ValueError, match="layer 'e' rate: expected a number"):
        words_dropped(rate=1.5)


def test_words_are_dropped_alike_at_every_step_of_a_stream() -> None:
    model = fd.Model([words_dropped()], (None,))
    whole = model.mc_predict(WORDS, 4, rng=3, keep_samples=True).samples
    stream = model.stream(len(WORDS), samples=4, rng=3, keep_samples=True)
    steps = [stream.step(WORDS[:, t]).samples for t in range(5)]
    np.testing.assert_array_equal(np.stack(steps, axis=2), whole)
