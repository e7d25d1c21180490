"""Small calls of the plainest kind: what they do at once is what all calls do, bit by bit.

In NumPy none is done at once.
"""

from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from fastdrop.recurrent import _functions, _plan

CELLS = ("lstm", "gru", "gru_reset_first", "simple_rnn")
PACK: dict[str, Any] = {
    "lstm": (fd.pack_lstm, 4, {}),
    "gru": (fd.pack_gru, 3, {"reset_after": True}),
    "gru_reset_first": (fd.pack_gru, 3, {"reset_after": False}),
    "simple_rnn": (fd.pack_simple_rnn, 1, {}),
}
X = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)
KEY = fd.Key.from_words(1, 2, 2**64 - 1)


def weights_of(cell: str, dtype: str = "float32", **more: Any) -> fd.PackedWeights:
    rng = np.random.default_rng(1)
    pack, gates, options = PACK[cell]
    kernels = [rng.normal(size=(n, gates * 6)).astype(dtype) / 2 for n in (4, 6)]
    return pack(*kernels, **options, **more)


@pytest.fixture
def planned_calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What has not been done at once."""
    calls: list[Any] = []

    def planned(arguments: Any) -> Any:
        calls.append(arguments)
        return _plan.planned(arguments)

    monkeypatch.setattr(_functions, "planned", planned)
    return calls


@pytest.mark.parametrize(
    ("dtype", "precision"),
    [("float32", None), ("float64", None), ("float32", "bfloat16")],
)
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"threads": 2, "go_backwards": True},
        {"dropout": 0.5},
        {"recurrent_dropout": 0.3, "scheme": "tied"},
        {"dropout": 0.25, "recurrent_dropout": 0.75, "row_offset": 2**40, "go_backwards": True},
        {"dropout": 0.5, "recurrent_dropout": 0.5, "site": 2**32 - 17, "sample": 2**32 - 1},
        {"dropout": 2.0**-40, "recurrent_dropout": 0.5, "rng": 7},
    ],
    ids=lambda options: "-".join(options) or "nothing",
)
@pytest.mark.parametrize("cell", CELLS)
def test_plain_calls_are_what_all_are(
    backend: str,
    cell: str,
    options: dict[str, Any],
    sequences: bool,
    dtype: str,
    precision: str | None,
    planned_calls: list[Any],
) -> None:
    x, weights = X.astype(dtype), weights_of(cell, dtype, precision=precision)
    options = {"rng": KEY, **options, "return_sequences": sequences}
    alone = fd.rnn(x, weights, **options)
    at_once = fd.rnn(x, weights, **options, return_state=True)
    assert len(planned_calls) == (2 if backend == "numpy" else 0)
    planned_calls.clear()
    expected, state = fd.rnn(x, [weights], **options, return_state=True)
    assert len(planned_calls) == 1
    assert alone.tobytes() == expected.tobytes()
    parts = state[0] if isinstance(state[0], tuple) else (state[0],)
    assert len(at_once) == 1 + len(parts)
    for got, part in zip(at_once, (expected, *parts), strict=True):
        assert got.dtype == dtype
        assert got.shape == part.shape
        assert got.tobytes() == part.tobytes()
    assert len({id(part) for part in at_once}) == len(at_once)


def every_other_way() -> dict[str, tuple[Any, Any, dict[str, Any]]]:
    """Calls that all else is needed for; the same arguments, and those that say nothing else."""
    w, x = weights_of("lstm"), X
    on = {"dropout": 0.5, "recurrent_dropout": 0.5}
    return {
        "a list": (x.tolist(), weights_of("lstm", "float64"), on),
        "strides": (np.asfortranarray(x), w, on),
        "another byte order": (x.astype(">f4"), w, on),
        "read-only": (np.frombuffer(x.tobytes(), np.float32).reshape(x.shape), w, on),
        "another dtype": (x.astype(np.float64), w, on),
        "precision": (x, w, {**on, "precision": "bfloat16"}),
        "shared": (x, w, {**on, "scope": "shared"}),
        "per_step": (x, w, {"dropout": 0.5, "scheme": "per_step"}),
        "zoneout": (x, w, {"zoneout": 0.5}),
        "candidate": (x, w, {"candidate_dropout": 0.5}),
        "weight": (x, w, {"weight_dropout": 0.5}),
        "lengths": (x, w, {**on, "lengths": [1, 5, 0]}),
        "mask": (x, w, {**on, "mask": np.tri(3, 5, dtype=bool)}),
        "state": (x, w, {**on, "initial_state": (np.ones((3, 6), "f4"),) * 2}),
        "input mask": (x, w, {"input_mask": np.full((3, 4), 2, "f4")}),
        "embedding": (np.eye(3, 5, dtype=int), w, {**on, "embedding": X[0]}),
        "a pair": (x, (w, w), on),
        "fresh entropy": (x, w, {**on, "rng": None}),
        "a generator": (x, w, {**on, "rng": np.random.default_rng(0)}),
        "an integer rate": (x, w, {"dropout": 0}),
        "a rate of NumPy": (x, w, {"dropout": np.float64(0.5)}),
        "an offset of NumPy": (x, w, {**on, "row_offset": np.int64(3)}),
        "more rows than a piece": (np.ones((65, 1, 4), np.float32), w, on),
        "work for two threads": (np.ones((64, 114, 4), np.float32), w, on),
        "no rows": (x[:0], w, on),
        "no steps": (x[:, :0], w, on),
    }


@pytest.mark.parametrize("way", list(every_other_way()))
def test_others_take_the_way_of_all(backend: str, way: str, planned_calls: list[Any]) -> None:
    x, weights, options = every_other_way()[way]
    assert np.isfinite(fd.rnn(x, weights, **{"rng": KEY, **options})).all()
    assert len(planned_calls) == 1


def test_masks_that_rows_share_are_put_into_weights(backend: str, planned_calls: list[Any]) -> None:
    """Of one row, where that pays."""
    weights = fd.pack_simple_rnn(np.ones((96, 256), "f4"), np.ones((256, 256), "f4"))
    x = np.ones((2, 67, 96), np.float32)
    fd.rnn(x[:1, 1:], weights, dropout=0.5, rng=0)
    fd.rnn(x[:1], weights)
    fd.rnn(x, weights, dropout=0.5, rng=0)  # each row has its own
    assert len(planned_calls) == (3 if backend == "numpy" else 0)
    planned_calls.clear()
    fd.rnn(x[:1], weights, dropout=0.5, rng=0)
    assert len(planned_calls) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x", X[0]),
        ("x", np.ones((3, 5, 3), np.float32)),
        ("dropout", 1.0),
        ("dropout", 1 - 2.0**-34),
        ("dropout", -0.1),
        ("dropout", float("nan")),
        ("recurrent_dropout", 1.0),
        ("recurrent_dropout", "0.5"),
        ("recurrent_dropout", -0.1),
        ("site", 2**32 - 15),
        ("site", -1),
        ("sample", 2**32),
        ("sample", True),
        ("row_offset", -1),
        ("row_offset", 2**63 // 24 - 2),
        ("threads", 0),
        ("threads", 1025),
        ("scheme", "per_unit"),
        ("scheme", None),
        ("go_backwards", 1),
        ("return_sequences", None),
        ("return_state", "no"),
        ("rng", 0.5),
        ("rng", -1),
    ],
    ids=lambda value: str(getattr(value, "shape", value)).replace(" ", ""),
)
@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_what_is_wrong_is_refused_in_the_same_words(
    backend: str, name: str, value: Any, rate: float
) -> None:
    given = {"x": X, "dropout": rate, "rng": KEY, name: value}
    weights = weights_of("lstm")
    messages = []
    for layers in (weights, [weights]):
        with pytest.raises((TypeError, ValueError), match=f"^{name}: expected ") as caught:
            fd.rnn(layers=layers, **given)
        messages.append((caught.type, str(caught.value)))
    assert messages[0] == messages[1]


def test_the_last_row_follows_the_wider_side(backend: str) -> None:
    """Of masks that are 6 wide for each row, and of others that are 4 wide."""
    weights = fd.pack_simple_rnn(np.ones((6, 4), np.float32), np.ones((4, 4), np.float32))
    x, last = np.ones((3, 1, 6), np.float32), (2**63 - 1) // 6 - 3
    on: dict[str, Any] = {"dropout": 0.5, "rng": KEY}
    taken = fd.rnn(x, weights, row_offset=last, **on)
    assert np.array_equal(taken, fd.rnn(x, [weights], row_offset=last, **on))
    with pytest.raises(ValueError, match=r"^row_offset: expected "):
        fd.rnn(x, weights, row_offset=last + 1, **on)


def test_nothing_is_drawn_where_something_is_refused(backend: str) -> None:
    rng, same = np.random.default_rng(0), np.random.default_rng(0)
    with pytest.raises(ValueError, match="threads"):
        fd.rnn(X, weights_of("lstm"), dropout=0.5, rng=rng, threads=0)
    first = fd.rnn(X, weights_of("lstm"), dropout=0.5, rng=rng)
    assert np.array_equal(first, fd.rnn(X, [weights_of("lstm")], dropout=0.5, rng=same))
    assert rng.random() == same.random()
