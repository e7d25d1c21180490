"""Products of bfloat16: what is rounded, and what holds as it does in float32.

The independent sides are ml_dtypes' rounding, and cells written out in float64 from numbers that it
has rounded.
"""

import pickle
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import fastdrop as fd
from conftest import BACKENDS
from fastdrop import _backend, layers
from fastdrop._fallback import to_bfloat16
from fastdrop.demo import encode, messages, model_path
from test_recurrent import CELLS, GATES, arrays_of, pack

cells = pytest.mark.parametrize("cell", CELLS)
# Tiers that have an instruction for it also without it.
WAYS = {f"{b.tier}-{b.bfloat16}": b for b in (*_backend._usable(), BACKENDS["numpy"])}
# Relative to the largest |h| at 512 steps: the unit in which numbers of bfloat16 are rounded.
BOUND = 2.0**-8


@pytest.fixture(params=WAYS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make one way of multiplying the active one."""
    monkeypatch.setattr(_backend, "active", WAYS[request.param])
    return str(request.param)


def rounded(values: np.ndarray) -> np.ndarray:
    """The nearest numbers of bfloat16, by another library."""
    return values.astype(np.float32).astype(ml_dtypes.bfloat16).astype(np.float64)


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def in_double(
    cell: str,
    arrays: list[np.ndarray],
    x: np.ndarray,
    mx: np.ndarray,
    mh: np.ndarray,
) -> np.ndarray:
    """All outputs of a cell in float64, from numbers rounded where they are multiplied.

    x (N, T, D); mx, mh (N, gates, D or H).
    """
    gates, bias = GATES[cell], arrays[2].astype(np.float64)
    features, units = x.shape[2], len(arrays[1])
    W = rounded(arrays[0]).reshape(features, gates, units)
    R = rounded(arrays[1]).reshape(units, gates, units)
    h, c = np.zeros((2, len(x), units))
    outputs = []
    for t in range(x.shape[1]):
        of_x = np.einsum("ngd,dgu->ngu", rounded(x[:, np.newaxis, t] * mx), W)
        masked = h[:, np.newaxis] * mh
        of_h = np.einsum("ngk,kgu->ngu", rounded(masked), R)
        if cell == "lstm":
            z = of_x + of_h + bias.reshape(4, units)
            i, f, o = (sigmoid(z[:, k]) for k in (0, 1, 3))
            c = f * c + i * np.tanh(z[:, 2])
            h = o * np.tanh(c)
        elif cell == "simple_rnn":
            h = np.tanh(of_x + of_h + bias.reshape(1, units))[:, 0]
        else:
            first = bias.reshape(-1, 3, units)[0]
            more = bias[1].reshape(3, units) if cell == "gru" else np.zeros((3, units))
            z, r = (sigmoid((of_x + of_h + first + more)[:, k]) for k in (0, 1))
            if cell == "gru":
                g = of_x[:, 2] + first[2] + r * (of_h[:, 2] + more[2])
            else:
                g = of_x[:, 2] + first[2] + rounded(r * masked[:, 2]) @ R[:, 2]
            h = z * h + (1 - z) * np.tanh(g)
        outputs.append(h)
    return np.stack(outputs, axis=1)


def factors(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return (rng.integers(0, 2, shape) * 2.0).astype(np.float32)


# ---- rounding ----


def test_rounding_is_that_of_another_library() -> None:
    """All upper halves of a float with lower halves about a tie; NaN stays one."""
    high = np.arange(1 << 16, dtype=np.uint32) << 16
    for low in (0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF):
        values = (high | np.uint32(low)).view(np.float32)
        got = to_bfloat16(values)
        with np.errstate(invalid="ignore"):  # a signalling NaN is made a quiet one
            expected = values.astype(ml_dtypes.bfloat16).astype(np.float32)
        known = ~np.isnan(values)
        assert np.array_equal(np.isnan(got), ~known)
        assert np.array_equal(got[known].view(np.uint32), expected[known].view(np.uint32))
        assert not (got.view(np.uint32) & 0xFFFF).any()


def test_what_is_multiplied_is_rounded(backend: str) -> None:
    """A layer that hands its input on: x in, and weights of 1, and the other way around."""
    low = np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)
    high = np.arange(0x0080, 0x7F80, 0x32, dtype=np.uint32)[:640] << 16  # normal numbers
    values = (high[:, np.newaxis] | low).view(np.float32).reshape(-1, 16)
    values = values[np.isfinite(to_bfloat16(values)).all(axis=1)]
    one, nothing = np.eye(16, dtype=np.float32), np.zeros((16, 16), np.float32)
    for sign in (1, -1):
        x = values * np.float32(sign)
        ahead = fd.pack_simple_rnn(one, nothing, activation="linear", precision="bfloat16")
        got = fd.rnn(x[:, np.newaxis], ahead)
        assert np.array_equal(got, rounded(x))
        for row in x[:: len(x) // 9]:
            weights = np.diag(row)
            packed = fd.pack_simple_rnn(weights, nothing, activation="linear", precision="bfloat16")
            assert np.array_equal(fd.rnn(np.ones((1, 1, 16), np.float32), packed)[0], rounded(row))
    special = np.array([[np.inf, -np.inf, -0.0, 3.4e38]], np.float32)
    packed = fd.pack_simple_rnn(one[:4, :4], nothing[:4, :4], precision="bfloat16")
    apart = [fd.rnn(np.diag(special[0])[:, np.newaxis].copy(), packed)[k, k] for k in range(4)]
    assert apart == [1, -1, 0, 1]
    assert np.isnan(fd.rnn(np.full((1, 1, 4), np.nan, np.float32), packed)).all()


def test_biases_and_states_are_not_rounded(backend: str) -> None:
    odd = np.float32(1 + 2**-20)
    weights = fd.pack_simple_rnn(
        np.zeros((3, 5), np.float32),
        np.zeros((5, 5), np.float32),
        np.full(5, odd),
        activation="linear",
        precision="bfloat16",
    )
    assert (fd.rnn(np.ones((1, 2, 3), np.float32), weights) == odd).all()
    # The carry of a GRU whose update gate is open is what it was.
    gates = np.repeat(np.float32([100, 0, 0]), 4)
    gru = fd.pack_gru(
        np.zeros((1, 12), np.float32),
        np.zeros((4, 12), np.float32),
        np.stack([gates, 0 * gates]),
        precision="bfloat16",
    )
    state = np.full((1, 4), odd)
    assert (fd.rnn(np.ones((1, 3, 1), np.float32), gru, initial_state=state) == odd).all()


# ---- results ----


@cells
@pytest.mark.parametrize(("rows", "features", "units"), [(1, 5, 7), (7, 3, 33), (3, 64, 20)])
def test_against_double(cell: str, rows: int, features: int, units: int, backend: str) -> None:
    rng = np.random.default_rng(rows)
    arrays = arrays_of(rng, cell, features, units)
    arrays[1] /= np.float32(units**0.5)
    x = rng.normal(0, 0.5, (rows, 512, features)).astype(np.float32)
    mx, mh = factors(rng, rows, GATES[cell], features), factors(rng, rows, GATES[cell], units)
    options = {"input_mask": mx, "recurrent_mask": mh, "return_sequences": True}
    got = fd.rnn(x, pack(cell, arrays, precision="bfloat16"), **options)
    expected = in_double(cell, arrays, x, mx, mh)
    size = np.abs(expected).max()
    assert np.abs(got - expected).max() <= BOUND * size
    # Closer than what float32 gives from weights that are not rounded, so they are.
    plain = fd.rnn(x, pack(cell, arrays), **options)
    assert np.abs(got - expected).mean() < 0.3 * np.abs(plain - expected).mean()


@pytest.mark.parametrize("way", WAYS)
def test_sums_have_the_bits_of_numpy(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A product of two numbers of bfloat16 is exact, so it is one whether it is fused or not.

    But an instruction for pairs may round their sums otherwise, and then says so.
    """
    rng = np.random.default_rng(5)
    same = []
    for features, units in ((3, 5), (40, 33), (300, 20)):
        arrays = arrays_of(rng, "simple_rnn", features, units)
        arrays[1] *= np.float32(0.1)
        weights = pack("simple_rnn", arrays, activation="linear", precision="bfloat16")
        x = rng.normal(size=(9, 6, features)).astype(np.float32)
        results = []
        for chosen in (WAYS["numpy-float32"], WAYS[way]):
            monkeypatch.setattr(_backend, "active", chosen)
            results.append(fd.rnn(x, weights, dropout=0.3, recurrent_dropout=0.2, rng=1))
        same.append(np.array_equal(*results))
    assert all(same) is WAYS[way].adds_in_turn
    assert WAYS[way].adds_in_turn or not way.endswith("-float32")


@pytest.mark.parametrize("features", [2, 3])
@pytest.mark.parametrize("units", [4, 5])
@pytest.mark.parametrize("rows", [1, 9])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_odd_numbers_of_products(
    cell: str, rows: int, features: int, units: int, backend: str, sharing_always: None
) -> None:
    """What fills a pair is nothing, beside the input's last weight as beside the last unit's."""
    rng = np.random.default_rng(7)
    arrays = arrays_of(rng, cell, features, units)
    x = rng.normal(size=(rows, 3, features)).astype(np.float32)
    masks = [factors(rng, rows, GATES[cell], n) for n in (features, units)]
    masks += [factors(rng, 1, GATES[cell], n) for n in (features, units)]
    for mx, mh in (masks[:2], masks[2:]):
        got = fd.rnn(
            x,
            pack(cell, arrays, precision="bfloat16"),
            input_mask=mx,
            recurrent_mask=mh,
            return_sequences=True,
        )
        whole = [np.broadcast_to(m, (rows, *m.shape[1:])) for m in (mx, mh)]
        expected = in_double(cell, arrays, x, *whole)
        assert np.abs(got - expected).max() <= BOUND * np.abs(expected).max()


@cells
def test_laws(cell: str, backend: str, sharing_always: None) -> None:
    """Batches, pieces, steps, ways of saying it, dropped units left out: the same bits."""
    rng = np.random.default_rng(2)
    arrays = arrays_of(rng, cell, 20, 24)
    weights = pack(cell, arrays, precision="bfloat16")
    x = rng.normal(size=(70, 5, 20)).astype(np.float32)
    drop: dict[str, Any] = {"dropout": 0.4, "recurrent_dropout": 0.3, "rng": 3}
    whole = fd.rnn(x, weights, return_sequences=True, **drop)
    assert np.array_equal(
        whole[68:], fd.rnn(x[68:], weights, return_sequences=True, row_offset=68, **drop)
    )
    assert np.array_equal(whole, fd.rnn(x, weights, return_sequences=True, threads=2, **drop))
    plain = pack(cell, arrays)
    said = fd.rnn(x, plain, return_sequences=True, precision="bfloat16", **drop)
    assert np.array_equal(whole, said)
    full = fd.rnn(x, plain, return_sequences=True, **drop)
    assert not np.array_equal(whole, full)
    assert np.array_equal(
        full, fd.rnn(x, weights, return_sequences=True, precision="float32", **drop)
    )
    state = None
    for t in range(5):
        y, state = fd.step(x[:, t], weights, state, first_step=t, **drop)
        assert np.array_equal(y, whole[:, t])
    assert np.array_equal(fd.rnn(x, weights), fd.rnn(x, weights, dropout=0.0, rng=1))
    shared = fd.rnn(x, weights, scope="shared", **drop)
    assert np.array_equal(shared[3:4], fd.rnn(x[3:4], weights, scope="shared", **drop))
    one = factors(rng, 1, 1, 20)
    many = np.broadcast_to(one, (70, GATES[cell], 20))
    assert np.array_equal(fd.rnn(x, weights, input_mask=one), fd.rnn(x, weights, input_mask=many))
    table = rng.normal(size=(6, 20)).astype(np.float32)
    tokens = rng.integers(0, 6, (70, 5))
    assert np.array_equal(
        fd.rnn(tokens, weights, embedding=table, **drop), fd.rnn(table[tokens], weights, **drop)
    )
    copy = pickle.loads(pickle.dumps(weights))
    assert copy.precision == "bfloat16"
    assert np.array_equal(whole, fd.rnn(x, copy, return_sequences=True, **drop))


def test_masks_are_the_same(backend: str) -> None:
    """With weights of small integers nothing is rounded, and so both are equal."""
    rng = np.random.default_rng(0)
    kernel, recurrent = (rng.integers(-2, 3, s).astype(np.float32) for s in ((9, 20), (20, 20)))
    x = rng.integers(-2, 3, (4, 2, 9)).astype(np.float32)
    weights = fd.pack_simple_rnn(kernel, 0 * recurrent, activation="linear")
    drop: dict[str, Any] = {"dropout": 0.5, "rng": 9, "return_sequences": True}
    both = [fd.rnn(x, weights, precision=p, **drop) for p in ("float32", "bfloat16")]
    assert np.array_equal(*both)


def test_stacks_and_pairs(backend: str) -> None:
    """Of layers of both precisions each has its own; what a call says goes for all."""
    rng = np.random.default_rng(1)
    first = [arrays_of(rng, "lstm", 6, 8) for _ in range(2)]
    second = arrays_of(rng, "gru", 16, 5)
    x = rng.normal(size=(3, 4, 6)).astype(np.float32)
    pair = tuple(pack("lstm", arrays, precision="bfloat16") for arrays in first)
    y = fd.rnn(x, [pair, pack("gru", second)])
    middle = fd.rnn(x, pair, return_sequences=True)
    assert np.array_equal(y, fd.rnn(middle, pack("gru", second)))
    plain = tuple(pack("lstm", arrays) for arrays in first)
    assert np.array_equal(
        fd.rnn(x, [plain, pack("gru", second)], precision="bfloat16"),
        fd.rnn(middle, pack("gru", second, precision="bfloat16")),
    )


def test_weights_too_large_for_it(backend: str, sharing_always: None) -> None:
    """Infinite when rounded, they are not left out of sums where what drops them is shared."""
    weights = fd.pack_simple_rnn(
        np.full((2, 3), 3.4e38, np.float32), np.zeros((3, 3), np.float32), activation="linear"
    )
    x, mask = np.ones((16, 1, 2), np.float32), np.float32([[0, 2]])
    one = fd.rnn(x, weights, input_mask=mask, precision="bfloat16")
    each = fd.rnn(x, weights, input_mask=np.repeat(mask, 16, axis=0), precision="bfloat16")
    assert np.isnan(one).all()
    assert np.isnan(each).all()


# ---- arguments ----


@pytest.mark.parametrize("features", [3, 5])
def test_what_is_behind_an_odd_number_is_zero(features: int, backend: str) -> None:
    """Infinite weights of the row before would tell: nothing times them is no number."""
    kernel = np.ones((features, 8), np.float32)
    kernel[-2] = np.inf
    weights = fd.pack_lstm(kernel, np.zeros((2, 8), np.float32), precision="bfloat16")
    for rows in (1, 9):
        y = fd.rnn(np.ones((rows, 1, features), np.float32), weights)
        # All gates are open, and the candidate is 1.
        np.testing.assert_allclose(y, np.full((rows, 2), np.tanh(1)), rtol=1e-6)


def test_what_weights_say() -> None:
    arrays = arrays_of(np.random.default_rng(0), "gru", 3, 5)
    assert pack("gru", arrays).precision == "float32"
    assert pack("gru", arrays, precision="float32").precision == "float32"
    assert repr(pack("gru", arrays, precision="bfloat16")).endswith(
        "units=5, dtype=float32, precision='bfloat16')"
    )
    doubles = [a.astype(np.float64) for a in arrays]
    assert pack("gru", doubles).precision == "float64"
    assert pickle.loads(pickle.dumps(pack("gru", doubles))).precision == "float64"


@cells
def test_refusals(cell: str) -> None:
    arrays = arrays_of(np.random.default_rng(0), cell, 3, 5)
    doubles = [a.astype(np.float64) for a in arrays]
    with pytest.raises(
        ValueError, match=r"^precision: expected 'float32' or 'bfloat16', got 'int8'"
    ):
        pack(cell, arrays, precision="int8")
    with pytest.raises(TypeError, match=r"^precision: expected 'float32' or 'bfloat16', got 16"):
        pack(cell, arrays, precision=16)
    for precision in ("bfloat16", "float32"):
        with pytest.raises(
            ValueError, match=r"^precision: expected None where numbers are float64"
        ):
            pack(cell, doubles, precision=precision)
    x = np.ones((1, 2, 3), np.float32)
    with pytest.raises(ValueError, match=r"^precision: expected 'float32' or 'bfloat16'"):
        fd.rnn(x, pack(cell, arrays), precision="half")
    for weights, given in ((doubles, x), (arrays, x.astype(np.float64))):
        rng = np.random.default_rng(1)
        before = rng.bit_generator.state
        with pytest.raises(TypeError, match=r"^x: expected float32 in all arrays"):
            fd.rnn(given, pack(cell, weights), precision="bfloat16", dropout=0.5, rng=rng)
        assert rng.bit_generator.state == before
    with pytest.raises(TypeError, match=r"^x: expected float32 in all arrays"):
        fd.rnn(x.astype(np.float64), pack(cell, arrays, precision="bfloat16"))


# ---- models ----


def model() -> fd.Model:
    rng = np.random.default_rng(4)
    ahead, back, cell = (arrays_of(rng, "lstm", 6, 8) for _ in range(3))
    deep = arrays_of(rng, "gru", 16, 5)
    names = ("kernel", "recurrent_kernel", "bias")

    def of(arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(names, arrays, strict=True))

    both = layers.Bidirectional(
        name="both",
        forward=layers.LSTM(
            name="f", **of(ahead), dropout=0.2, recurrent_dropout=0.3, return_sequences=True
        ),
        backward=layers.LSTM(
            name="b", **of(back), dropout=0.2, go_backwards=True, return_sequences=True
        ),
    )
    first = layers.LSTM(name="first", **of(cell), return_sequences=True)
    return fd.Model(
        [
            fd.Call(both, "x", "y"),
            fd.Call(first, "x", "z"),
            fd.Call(layers.GRU(name="gru", **of(deep), recurrent_dropout=0.4), "y", "w"),
            fd.Call(layers.Flatten(name="flat"), "z", "v"),
        ],
        {"x": (4, 6)},
        outputs=["w", "v"],
    )


def test_models(backend: str) -> None:
    plain = model()
    changed = plain.with_precision("bfloat16")
    assert plain.notes == ()
    assert [note.split(":")[0] for note in changed.notes] == [
        "layer 'f'",
        "layer 'b'",
        "layer 'first'",
        "layer 'gru'",
    ]
    assert all(note.endswith("products are taken in bfloat16") for note in changed.notes)
    x = np.random.default_rng(0).normal(size=(5, 4, 6)).astype(np.float32)
    for a, b in zip(plain.predict(x), changed.predict(x), strict=True):
        assert not np.array_equal(a, b)
        assert np.abs(a - b).max() < 0.02
    for a, b in zip(plain.predict(x), changed.with_precision("float32").predict(x), strict=True):
        assert np.array_equal(a, b)
    # Each layer is what `rnn` is with the same masks.
    lstm = changed.layers[1]
    weights = pack("lstm", [lstm.kernel, lstm.recurrent_kernel, lstm.bias], precision="bfloat16")
    expected = fd.rnn(x, weights, return_sequences=True).reshape(5, -1)
    assert np.array_equal(changed.predict(x)[1], expected)
    drawn = changed.mc_predict(x, samples=7, rng=1)[0]
    assert np.array_equal(drawn.mean, changed.mc_predict(x, samples=7, rng=1, threads=2)[0].mean)
    assert np.array_equal(changed.with_rates(0.0).predict(x)[0], changed.predict(x)[0])
    assert changed.with_rates(0.1).notes == changed.notes


def test_models_that_are_loaded(backend: str, tmp_path: Path) -> None:
    path = str(model_path())
    plain, loaded = fd.load(path), fd.load(path, precision="bfloat16")
    tokens = np.random.default_rng(0).integers(0, 64, (3, 498))
    assert np.array_equal(loaded.predict(tokens), plain.with_precision("bfloat16").predict(tokens))
    assert not np.array_equal(loaded.predict(tokens), plain.predict(tokens))
    with pytest.raises(ValueError, match=r"^precision: expected 'float32' or 'bfloat16', got 'x'"):
        fd.load(tmp_path / "nothing.keras", precision="x")
    dense = fd.Model([layers.Dense(name="d", kernel=np.ones((2, 3), np.float32))], (2,))
    with pytest.raises(ValueError, match=r"^precision: expected none for a model"):
        dense.with_precision("bfloat16")
    with pytest.raises(ValueError, match=r"^layer 'l' precision: expected 'float32' or"):
        layers.SimpleRNN(
            name="l",
            kernel=np.ones((2, 3), np.float32),
            recurrent_kernel=np.ones((3, 3), np.float32),
            precision="half",
        )


def test_it_costs_no_more_than_the_weights_deserve(backend: str) -> None:
    """The demo's messages: means move by less than a tenth of their own deviation."""
    tokens = encode(messages())[::10]
    means, deviations = [], []
    for precision in ("float32", "bfloat16"):
        drawn = fd.load(model_path(), precision=precision).mc_predict(tokens, samples=30, rng=0)
        means.append(drawn.mean)
        deviations.append(drawn.std)
    assert np.abs(means[0] - means[1]).mean() < 0.1 * deviations[0].mean()
    assert ((means[0] > 0.5) == (means[1] > 0.5)).all()


def test_a_model_shows_its_precision() -> None:
    model = fd.load(model_path())
    assert "bfloat16" not in repr(model)
    changed = model.with_precision("bfloat16")
    assert "4 layers, 2 stochastic, in bfloat16, (batch, 498) -> (batch, 1)>" in repr(changed)
    lstm = next(layer for layer in changed.layers if layer.rounds)
    both = fd.layers.TimeDistributed(name="each", layer=lstm)
    assert both.rounds
