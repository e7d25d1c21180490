"""Masks and dropout: the contract bit for bit, and the laws."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import contract
import fastdrop as fd
from fastdrop import _backend
from fastdrop._backend import Stream
from fastdrop.masks import drop_streams

GOLDEN = [
    ((0, 0), 0, 0, 0.5, "99d8172a 1e963a72 43a853b3 64ff2427"),
    ((0, 0), 0, 0, 0.1, "10080200 02020002 00805000 00a20021"),
    ((1, 2), 3, 2**32, 0.1, "00200102 00000000 00000002 08100108"),
    ((0xDEADBEEF, 0x01234567), 0x700000009, 5, 0.25, "1c01ab8c 8004c408 00a00300 90000142"),
]
RATES = [0.0, 2.0**-32, 0.1, 1 / 3, 0.5, 1 - 2.0**-32, 1.0]
KEY = (0x12345678, 0x9ABCDEF0)
STREAM = 0xFEDCBA9876543210
# Odd places inside a block, at its end, and past it.
OFFSETS = [0, 1, 63, 127, 131]
# The block number's low word, and with it the whole counter, runs over at 2**32.
BLOCKS = [0, 2**32 - 2, 2**56 - 6]


@pytest.mark.parametrize(("words", "stream", "block", "rate", "expected"), GOLDEN)
def test_golden_words(
    backend: str, words: tuple[int, int], stream: int, block: int, rate: float, expected: str
) -> None:
    packed = fd.bernoulli(
        rate, 128, rng=fd.Key.from_words(*words), stream=stream, offset=128 * block, dtype="packed"
    )
    assert " ".join(f"{word:08x}" for word in packed.view("<u4")) == expected


@pytest.fixture(scope="module", params=BLOCKS, ids=lambda block: f"block{block}")
def numbers(request: pytest.FixtureRequest) -> tuple[int, np.ndarray]:
    """The first block's number, and U_i of six blocks from there on."""
    return request.param, contract.events(KEY, STREAM, request.param, 6)


@pytest.mark.parametrize("rate", RATES)
def test_masks_are_the_contracts(
    backend: str, numbers: tuple[int, np.ndarray], rate: float
) -> None:
    """Every length from 0 to 400 at odd offsets, against a full comparison in plain Python.

    NumPy's backend has no vectors of its own whose ends could be wrong: some lengths are enough.
    """
    block, uniforms = numbers
    drop = uniforms < np.uint64(round(rate * 2**32))
    key = fd.Key.from_words(*KEY)
    lengths = range(401) if backend != "numpy" else [*range(0, 401, 31), 127, 128, 129, 256]
    for offset in OFFSETS:
        for n in lengths:
            got = fd.bernoulli(rate, n, rng=key, stream=STREAM, offset=128 * block + offset)
            assert np.array_equal(got, drop[offset : offset + n]), (offset, n)


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "packed"])
def test_every_dtype_holds_the_same_events(backend: str, dtype: str, offset: int) -> None:
    lengths = range(140) if backend != "numpy" else [*range(0, 140, 11), 127, 128, 129]
    for n in [*lengths, 2047, 2048, 2049, 4097]:
        expected = fd.bernoulli(0.3, n, rng=1, offset=offset)
        got = fd.bernoulli(0.3, n, rng=1, offset=offset, dtype=dtype)
        if dtype == "packed":
            assert np.array_equal(got, np.packbits(expected, bitorder="little"))
        else:
            assert got.dtype == dtype
            assert np.array_equal(got, expected.astype(dtype))


def test_parts_are_the_whole(backend: str) -> None:
    whole = fd.bernoulli(0.2, (50, 61), rng=4)
    parts = [fd.bernoulli(0.2, (1, 61), rng=4, offset=61 * n) for n in range(50)]
    assert np.array_equal(np.concatenate(parts), whole)


def test_keys_and_streams_differ(backend: str) -> None:
    base = fd.bernoulli(0.5, 4096, rng=fd.Key.from_words(1, 2))
    for other in (
        fd.bernoulli(0.5, 4096, rng=fd.Key.from_words(1, 3)),
        fd.bernoulli(0.5, 4096, rng=fd.Key.from_words(2, 2)),
        fd.bernoulli(0.5, 4096, rng=fd.Key.from_words(1, 2), stream=1),
        fd.bernoulli(0.5, 4096, rng=fd.Key.from_words(1, 2), stream=1 << 32),
        fd.bernoulli(0.5, 4096, rng=fd.Key.from_words(1, 2), offset=1),
    ):
        # Independent bits agree in half the places: 4096 / 2 within 6 standard deviations of 32.
        assert abs(int((base == other).sum()) - 2048) < 6 * 32


def test_base_and_stream_add_up_modulo_2_to_the_64(backend: str) -> None:
    a = fd.bernoulli(0.5, 300, rng=fd.Key.from_words(1, 2, base=2**64 - 1), stream=4)
    b = fd.bernoulli(0.5, 300, rng=fd.Key.from_words(1, 2), stream=3)
    assert np.array_equal(a, b)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "float32", "float64"])
def test_bernoulli_out(backend: str, dtype: str) -> None:
    expected = fd.bernoulli(0.4, (6, 35), rng=5, dtype=dtype)
    out = np.full((6, 35), 7, dtype)
    assert fd.bernoulli(0.4, (6, 35), rng=5, dtype=dtype, out=out) is out
    assert np.array_equal(out, expected)
    frame = np.full((12, 72), 1, dtype)
    before = frame.copy()
    view = frame[::2, 1:71:2]
    assert fd.bernoulli(0.4, (6, 35), rng=5, dtype=dtype, out=view) is view
    assert np.array_equal(view, expected)
    view[:] = before[::2, 1:71:2]
    assert np.array_equal(frame, before)  # and nothing between the elements


def test_packed_out(backend: str) -> None:
    out = np.full(17, 255, np.uint8)
    fd.bernoulli(1.0, 130, rng=0, dtype="packed", out=out)
    assert out.tolist() == [255] * 16 + [3]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rate", [0.1, 1 / 3, 0.5, 0.9])
def test_dropout_is_mask_then_scale(backend: str, dtype: str, rate: float) -> None:
    x = np.random.default_rng(0).normal(size=(37, 59)).astype(dtype)
    drop = fd.bernoulli(rate, x.shape, rng=3, stream=8, offset=45)
    threshold = round(rate * 2**32)
    factor = np.dtype(dtype).type(1 / (1 - threshold / 2**32))
    got = fd.dropout(x, rate, rng=3, stream=8, offset=45)
    assert got.dtype == dtype
    assert np.array_equal(got, np.where(drop, 0, x * factor))


def test_dropout_selects(backend: str) -> None:
    """What is dropped is +0.0, whatever it was; what is kept stays what it is."""
    special = np.array([np.nan, np.inf, -np.inf, -0.0], np.float32).repeat(64)
    drop = fd.bernoulli(0.5, special.shape, rng=2)
    got = fd.dropout(special, 0.5, rng=2)
    assert not got[drop].any()
    assert not np.signbit(got[drop]).any()
    np.testing.assert_array_equal(got[~drop], special[~drop])
    assert np.signbit(got[192:][~drop[192:]]).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rates_zero_and_one(backend: str, dtype: str) -> None:
    x = np.array([1.5, -2.0, np.nan, np.inf, 0.1], dtype)
    np.testing.assert_array_equal(fd.dropout(x, 0), x)
    np.testing.assert_array_equal(fd.dropout(x, 1), np.zeros(5, dtype))


def test_dropout_in_place_and_overlapping(backend: str) -> None:
    base = np.arange(1000, dtype=np.float64)
    expected = fd.dropout(base[:900], 0.3, rng=1)
    in_place = base[:900].copy()
    assert fd.dropout(in_place, 0.3, rng=1, out=in_place) is in_place
    assert np.array_equal(in_place, expected)
    for shift in (1, 7, 100):
        buffer = base.copy()
        fd.dropout(buffer[:900], 0.3, rng=1, out=buffer[shift : 900 + shift])
        assert np.array_equal(buffer[shift : 900 + shift], expected)
        buffer = base.copy()
        expected_back = fd.dropout(base[shift : 900 + shift], 0.3, rng=1)
        fd.dropout(buffer[shift : 900 + shift], 0.3, rng=1, out=buffer[:900])
        assert np.array_equal(buffer[:900], expected_back)


def test_dropout_of_a_reversed_view_onto_itself(backend: str) -> None:
    x = np.arange(300.0)
    expected = fd.dropout(x[::-1].copy(), 0.3, rng=1)
    fd.dropout(x[::-1], 0.3, rng=1, out=x)
    assert np.array_equal(x, expected)


def unaligned(x: np.ndarray) -> np.ndarray:
    raw = np.zeros(x.nbytes + 1, np.uint8)
    view = raw[1:].view(x.dtype).reshape(x.shape)
    view[...] = x
    assert not view.flags.aligned
    return view


LAYOUTS: dict[str, Any] = {
    "fortran": np.asfortranarray,
    "reversed": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "strided": lambda x: np.repeat(np.repeat(x, 2, 0), 3, 1)[::2, ::3],
    "unaligned": unaligned,
    "byte-swapped": lambda x: x.astype(x.dtype.newbyteorder()),
    "read-only": lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
    "list": lambda x: x.tolist(),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_x_do_not_matter(backend: str, layout: str) -> None:
    x = np.random.default_rng(1).normal(size=(13, 29))
    other = LAYOUTS[layout](x)
    assert np.array_equal(fd.dropout(other, 0.3, rng=9), fd.dropout(x, 0.3, rng=9))


def test_a_broadcast_x(backend: str) -> None:
    x = np.broadcast_to(np.arange(5.0), (40, 5))
    assert np.array_equal(fd.dropout(x, 0.3, rng=9), fd.dropout(x.copy(), 0.3, rng=9))


@pytest.mark.parametrize(
    ("noise_shape", "shape"),
    [((None, 1, None), (4, 1, 6)), ((4, 5, 1), (4, 5, 1)), ((1, 1, 1), (1, 1, 1))],
)
def test_noise_shape(backend: str, noise_shape: Any, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(1).normal(size=(4, 5, 6)).astype(np.float32)
    drop = fd.bernoulli(0.5, shape, rng=2)
    for out in (None, np.empty_like(x), x.copy()):
        got = fd.dropout(x, 0.5, rng=2, noise_shape=noise_shape, out=out)
        assert np.array_equal(got, np.where(drop, 0, x * np.float32(2)))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,)])
def test_small_shapes(backend: str, shape: tuple[int, ...]) -> None:
    mask = fd.bernoulli(0.5, shape, rng=0)
    assert mask.shape == shape
    assert fd.dropout(np.ones(shape), 0.5, rng=0).shape == shape
    assert fd.dropout(np.ones(shape, np.float32), 1, rng=0).dtype == np.float32


def test_the_end_of_the_index_range(backend: str) -> None:
    last = fd.bernoulli(0.5, 5, rng=0, offset=2**63 - 5)
    assert np.array_equal(fd.bernoulli(0.5, 1, rng=0, offset=2**63 - 1), last[4:])
    with pytest.raises(ValueError, match="offset"):
        fd.bernoulli(0.5, 6, rng=0, offset=2**63 - 5)


EMPTY = np.ones((0, 6), np.float32)


@pytest.mark.parametrize(
    ("function", "end"),
    [
        (lambda **o: fd.bernoulli(0.5, 0, **o), 63),
        (lambda **o: fd.bernoulli(0.5, (3, 0), dtype="float64", **o), 63),
        (lambda **o: fd.bernoulli(0.5, (3, 0), dtype="packed", **o), 63),
        (lambda **o: fd.dropout(EMPTY, 0.5, **o), 63),
        (lambda **o: fd.dropout(EMPTY, 0.5, noise_shape=(0, 1), **o), 63),
        (lambda **o: fd.dropout(EMPTY, 0.5, return_mask=True, **o)[0], 63),
        (lambda **o: fd.dropout_backward(EMPTY, 0.5, **o), 63),
        (lambda **o: fd.drop_connect(EMPTY, 0.5, **o), 63),
        (lambda **o: fd.spatial_dropout1d(np.ones((0, 3, 2)), 0.5, **o), 63),
        (lambda **o: fd.alpha_dropout(EMPTY, 0.5, **o), 63),
        (lambda **o: fd.alpha_dropout(EMPTY, 0.5, noise_shape=(0, 1), **o), 63),
        (lambda **o: fd.zoneout(EMPTY, EMPTY, 0.5, **o), 63),
        (lambda **o: fd.gaussian_noise(EMPTY, 0.5, **o), 57),
        (lambda **o: fd.gaussian_dropout(EMPTY, 0.5, **o), 57),
    ],
)
def test_nothing_may_stand_at_the_end_of_the_range(
    backend: str, function: Callable[..., np.ndarray], end: int
) -> None:
    """As the last part of what is drawn in parts, when the parts come out even."""
    assert function(rng=0, offset=2**end).size == 0
    for threads in (1, 2):
        assert function(rng=0, offset=2**end - 1, threads=threads).size == 0
    with pytest.raises(ValueError, match=r"offset: expected an integer in \[0, "):
        function(rng=0, offset=2**end + 1)


def test_no_rows_may_stand_at_the_end_of_the_range(backend: str) -> None:
    indices, x = np.zeros((0, 4), int), np.ones((0, 3, 1), np.float32)
    for units, end in ((1, 2**63), (4, 2**61)):
        table = np.ones((units, 3))
        assert fd.embedding_dropout(indices, table, 0.5, rng=0, row_offset=end).shape == (0, 4, 3)
        with pytest.raises(ValueError, match="row_offset"):
            fd.embedding_dropout(indices, table, 0.5, rng=0, row_offset=end + 1)
        weights = fd.pack_simple_rnn(np.ones((1, units), "f4"), np.ones((units, units), "f4"))
        options: Any = {"dropout": 0.5, "recurrent_dropout": 0.5, "rng": 0}
        assert fd.rnn(x, weights, row_offset=end, **options).shape == (0, units)
        with pytest.raises(ValueError, match="row_offset"):
            fd.rnn(x, weights, row_offset=end + 1, **options)


@pytest.mark.parametrize(("half", "threshold"), [(0, 0), (1, 2), (2, 2), (3, 4)])
def test_rates_between_two_thresholds(backend: str, half: int, threshold: int) -> None:
    """The even one counts; what is kept shows it by its factor."""
    rate = (half + 0.5) * 2.0**-32
    assert fd.dropout(np.ones(1), rate, rng=0) == 2**32 / (2**32 - threshold)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, float])
def test_rates_of_any_real_type(backend: str, kind: type) -> None:
    assert np.array_equal(
        fd.bernoulli(kind(0.3), 999, rng=0), fd.bernoulli(float(kind(0.3)), 999, rng=0)
    )


def described(value: Any) -> str:
    return f"{value.dtype.str}{value.shape}" if isinstance(value, np.ndarray) else f"{value!r:.20}"


# What small calls take at once, and what has to be looked at more closely, as the same arguments
# of other types are.
PLAIN_RATES = [0.0, -0.0, 2.0**-33, 3 * 2.0**-33, 5 * 2.0**-34, 1e-300, 0.3, 1 - 2.0**-33, 1.0]


@pytest.mark.parametrize("rate", PLAIN_RATES, ids=str)
def test_plain_rates_are_used_to_32_bits(backend: str, rate: float) -> None:
    key, options = fd.Key(3), {"stream": 5, "offset": 7}
    closely: Any = {"rng": 3, **options}  # a seed is not a key
    at_once: Any = {"rng": key, **options}
    assert np.array_equal(fd.bernoulli(rate, 999, **at_once), fd.bernoulli(rate, 999, **closely))
    for kind in (np.float16, np.float32, np.float64):
        x = np.linspace(1, 9, 999, dtype=kind)
        expected = fd.dropout(x, rate, **closely)
        assert fd.dropout(x, rate, **at_once).tobytes() == expected.tobytes()
        assert fd.dropout_backward(x, rate, **at_once).tobytes() == expected.tobytes()


@pytest.mark.parametrize("base", [0, 1, 2**63, 2**64 - 1], ids=str)
@pytest.mark.parametrize("stream", [0, 1, 2**63 - 1, 2**63, 2**64 - 1], ids=str)
def test_plain_streams_are_counted_from_the_keys_base(backend: str, base: int, stream: int) -> None:
    key, whole = fd.Key.from_words(1, 2, base), fd.Key.from_words(1, 2, (base + stream) % 2**64)
    expected = fd.bernoulli(0.5, (2, 64), rng=whole)
    assert np.array_equal(fd.bernoulli(0.5, (2, 64), rng=key, stream=stream), expected)
    drop = contract.events((1, 2), whole.base, 0, 1) < 2**31
    assert np.array_equal(expected.ravel(), drop)


@pytest.mark.parametrize("offset", [0, 1, 2**63 - 130, 2**63 - 129, 2**63 - 128], ids=str)
@pytest.mark.parametrize("shape", [128, (128,), (2, 64), (1, 1, 1, 2, 1, 1, 1, 1, 64)], ids=str)
def test_plain_offsets_and_shapes(backend: str, shape: Any, offset: int) -> None:
    key = fd.Key.from_words(1, 2)
    mask = fd.bernoulli(0.5, shape, rng=key, offset=offset)
    assert mask.shape == (shape if isinstance(shape, tuple) else (shape,))
    drop = contract.events((1, 2), 0, offset // 128, 2) < 2**31
    assert np.array_equal(mask.ravel(), drop[offset % 128 :][:128])
    ones = np.ones(mask.shape)
    assert np.array_equal(fd.dropout(ones, 0.5, rng=key, offset=offset), ones * 2 * ~mask)


@pytest.mark.parametrize("order", ["after", "before", "itself", "shifted", "shifted_back"])
def test_plain_outputs_may_share_memory(backend: str, order: str) -> None:
    memory = np.arange(1, 201, dtype=np.float32)
    x, out = {
        "after": (memory[:100], memory[100:]),
        "before": (memory[100:], memory[:100]),
        "itself": (memory[:100], memory[:100]),
        "shifted": (memory[:100], memory[1:101]),
        "shifted_back": (memory[99:199], memory[:100]),
    }[order]
    expected = np.where(fd.bernoulli(0.5, 100, rng=0), 0, 2 * x)
    assert fd.dropout(x, 0.5, rng=fd.Key(0), out=out) is out
    assert np.array_equal(out, expected)


@pytest.mark.parametrize(
    "change",
    [
        {"rate": "0.5"},
        {"rate": True},
        {"rate": float("nan")},
        {"rate": -1e-9},
        {"rate": 1.0000001},
        {"stream": -1},
        {"stream": 2**64},
        {"stream": 0.0},
        {"stream": True},
        {"offset": -1},
        {"offset": 2**63 - 63},
        {"offset": 2**200},
        {"offset": False},
        {"threads": 0},
        {"threads": 1025},
        {"threads": True},
        {"out": np.empty(63, np.float32)},
        {"out": np.empty((1, 64), np.float32)},
        {"out": np.empty(64, np.float64)},
        {"out": np.empty(64, ">f4")},
        {"out": np.broadcast_to(np.float32(0), 64)},
        {"out": [0.0] * 64},
    ],
    ids=lambda change: "-".join(f"{k}-{described(v)}" for k, v in change.items()),
)
def test_plain_calls_refuse_what_others_do(backend: str, change: dict[str, Any]) -> None:
    """With the same words; an integer for a seed has them looked at more closely."""
    options = {"rate": 0.5, **change}
    rate = options.pop("rate")
    messages = []
    for rng in (fd.Key(0), 0):
        for call in (
            lambda rng: fd.dropout(np.ones(64, np.float32), rate, rng=rng, **options),
            lambda rng: fd.bernoulli(rate, 64, dtype=np.float32, rng=rng, **options),
        ):
            with pytest.raises((TypeError, ValueError)) as caught:
                call(rng)
            messages.append((caught.type, str(caught.value).replace("p:", "rate:")))
    assert messages[:2] == messages[2:]
    name = "rate" if "rate" in change else next(iter(change))
    assert all(message.startswith(f"{name}: expected ") for _, message in messages)


# ---- memory at an address ----


@pytest.mark.parametrize("seed", [[1 + (2 << 32), 3], [-1, -2], [2**63 - 1, -(2**63)]])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_memory_at_an_address(backend: str, dtype: str, seed: list[int]) -> None:
    width = {"float32": 4, "float64": 8}.get(dtype, 2)
    kind = "uint16" if dtype == "bfloat16" else dtype
    x = np.arange(1, 1001, dtype=kind)
    words = seed[0] & 0xFFFFFFFF, seed[0] >> 32 & 0xFFFFFFFF, seed[1] & 0xFFFFFFFFFFFFFFFF
    expected = np.empty_like(x)
    _backend.active.dropout(expected, x, 1.25, Stream(*words, 1 << 30), 0)
    y = np.full(1002, 7, kind)
    to, of = y.ctypes.data, x.ctypes.data
    draw = partial(_backend.active.dropout_at, dtype=dtype, scale=1.25, seed=seed)
    done = draw(to + width, of, 1000, threshold=1 << 30)
    assert done == (backend != "numpy")
    if done:
        assert y[1:-1].tobytes() == expected.tobytes()
    assert y[0] == y[-1] == 7
    for out, given, n in ((to + 1, of, 9), (to, of + 1, 9), (to, of, 0), (0, of, 9), (to, 0, 9)):
        assert not draw(out, given, n, threshold=1 << 30)


@pytest.mark.parametrize("number", [3, 2**64 - 2])
@pytest.mark.parametrize("dtype", ["float16", "uint16", "float32", "float64"])
@pytest.mark.parametrize("own", [False, True], ids=["one-x", "own-x"])
def test_rows_of_streams_that_follow(backend: str, dtype: str, own: bool, number: int) -> None:
    """Each row is what its stream alone gives; after the last stream comes the first."""
    x = np.arange(1, 1201, dtype=dtype).reshape(4, 300)[: 4 if own else 1]
    rows = np.empty((4, 300), dtype)
    _backend.active.dropout_streams(rows, x, 1.25, Stream(5, 6, number, 1 << 30), 77)
    for j, row in enumerate(rows):
        expected = np.empty_like(row)
        stream = Stream(5, 6, (number + j) % 2**64, 1 << 30)
        _backend.active.dropout(expected, x[j if own else 0], 1.25, stream, 77)
        assert row.tobytes() == expected.tobytes()


@pytest.mark.parametrize("piece", [8, 64, 312, 320, 640, 1 << 23])
@pytest.mark.parametrize("own", [False, True], ids=["one-x", "own-x"])
def test_dropout_of_many_streams_in_pieces(
    backend: str, own: bool, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the pieces, each stream drops what `dropout` drops with it."""
    monkeypatch.setattr("fastdrop.masks._PIECE", piece)
    x = np.random.default_rng(0).random((4 if own else 1, 4, 80))
    out = np.empty((4, 4, 80))
    for noise, shape in (((4, 80), None), ((1, 80), (1, None)), ((4, 1), (None, 1))):
        drop_streams(x, 0.3, fd.Key(9), 21, 7, noise, out)
        for j, dropped in enumerate(out):
            expected = fd.dropout(
                x[j if own else 0], 0.3, rng=fd.Key(9), stream=21 + j, offset=7, noise_shape=shape
            )
            assert dropped.tobytes() == expected.tobytes()


def test_large_masks_are_drawn_in_pieces(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).normal(size=1000)
    expected = [fd.bernoulli(0.3, 1000, rng=0, offset=5, dtype=d) for d in ("packed", "bool")]
    dropped = fd.dropout(x, 0.3, rng=0, offset=5)
    noise: Any = {"noise_shape": (None, 1), "rng": 0}
    columns = fd.dropout(x.reshape(500, 2), 0.3, **noise)
    monkeypatch.setattr("fastdrop.masks._PIECE", 64)
    for threads in (1, 2, 7):
        more: Any = {"rng": 0, "offset": 5, "threads": threads}
        for mask, dtype in zip(expected, ("packed", "bool"), strict=True):
            assert np.array_equal(fd.bernoulli(0.3, 1000, dtype=dtype, **more), mask)
        assert np.array_equal(fd.dropout(x, 0.3, **more), dropped)
        assert np.array_equal(fd.dropout(x.copy(), 0.3, out=x.copy(), **more), dropped)
        got = fd.dropout(x.reshape(500, 2), 0.3, threads=threads, **noise)
        assert np.array_equal(got, columns)
    assert np.array_equal(fd.dropout(x, 0.3, rng=0, offset=5, out=x), dropped)


@pytest.mark.parametrize("place", [0, 1, 15])
@pytest.mark.parametrize("more", [77, 2])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_arrays_beyond_the_cache(backend: str, dtype: str, more: int, place: int) -> None:
    """Kernels may write these past the cache, whole lines of 64 bytes at a time.

    Of what is left at the end there may be less than up to the next line. What has no vectors knows
    of no cache.
    """
    large = backend not in ("portable", "numpy")
    n = (2**24 if large else 2**18) // np.dtype(dtype).itemsize + more
    x = np.random.default_rng(0).integers(-99, 99, n + 16).astype(dtype)[place : place + n]
    drop = fd.bernoulli(0.5, n, rng=3, offset=45)
    frame = np.full(n + 32, 7, dtype)
    out = frame[place + 8 : place + 8 + n]
    fd.dropout(x, 0.5, rng=3, offset=45, out=out)
    assert np.array_equal(out, np.where(drop, 0, x * np.dtype(dtype).type(2)))
    out[:] = 7
    fd.apply_mask(x, np.packbits(drop, bitorder="little"), rate=0.5, out=out)
    assert np.array_equal(out, np.where(drop, 0, x * np.dtype(dtype).type(2)))
    out[:] = 7
    assert (frame == 7).all()  # and nothing beside it


def test_out_of_memory_leaves_everything_working(backend: str) -> None:
    with pytest.raises(MemoryError):
        fd.bernoulli(0.5, 2**48, rng=0)
    assert fd.bernoulli(0.5, 8, rng=0).shape == (8,)


@pytest.mark.parametrize(
    "shape", [(), 0, 1, 7, 8, 9, (3, 5), (2, 0, 4), (64, 129)], ids=lambda shape: str(shape)
)
def test_unpacked_masks_are_those_of_bool(backend: str, shape: int | tuple[int, ...]) -> None:
    packed = fd.bernoulli(0.3, shape, rng=3, dtype="packed")
    mask = fd.unpack_mask(packed, shape)
    expected = fd.bernoulli(0.3, shape, rng=3)
    assert mask.dtype == bool
    assert mask.shape == expected.shape
    assert (mask == expected).all()
    assert mask.flags.owndata or not np.may_share_memory(mask, packed)


def test_unpacking_looks_at_no_bit_behind_the_last_element() -> None:
    packed = np.array([0b11111_010], np.uint8)
    assert fd.unpack_mask(packed, 3).tolist() == [False, True, False]
    strided = np.array([1, 255, 2, 255], np.uint8)[::2]
    assert np.flatnonzero(fd.unpack_mask(strided, (4, 4))).tolist() == [0, 9]
