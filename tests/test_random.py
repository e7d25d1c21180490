"""Keys, and what rng= takes."""

import copy
import functools
import pickle
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import numpy as np
import pytest

import contract
import fastdrop as fd
from fastdrop.random import as_key


@pytest.mark.parametrize("seed", [0, 1, 2**32, 2**64, 10**40])
def test_a_key_is_four_words_of_a_seed_sequence(seed: int) -> None:
    spawn = (int.from_bytes(b"fast"), int.from_bytes(b"drop"))
    words = np.random.SeedSequence(seed, spawn_key=spawn).generate_state(4)
    key = fd.Key(seed)
    assert (key.k0, key.k1) == (words[0], words[1])
    assert key.base == int(words[2]) + 2**32 * int(words[3])
    assert key == fd.Key(np.random.SeedSequence(seed))


def test_seed_sequences_differ_as_numpys_do() -> None:
    sequence = np.random.SeedSequence(5)
    others = [np.random.SeedSequence(5, pool_size=8), np.random.SeedSequence([5, 1])]
    grandchild = sequence.spawn(1)[0].spawn(1)[0]
    every = [sequence, *others, *sequence.spawn(2), grandchild]
    assert len({fd.Key(one) for one in every}) == len(every)
    for one in every:
        spawn = (*one.spawn_key, int.from_bytes(b"fast"), int.from_bytes(b"drop"))
        same = np.random.SeedSequence(one.entropy, spawn_key=spawn, pool_size=one.pool_size)
        assert list(words(fd.Key(one))) == same.generate_state(4).tolist()


def test_keys_are_values() -> None:
    key = fd.Key(7)
    assert pickle.loads(pickle.dumps(key)) == key
    assert copy.deepcopy(key) == key
    assert hash(fd.Key(7)) == hash(key)
    assert eval(repr(key), {"Key": fd.Key}) == key
    with pytest.raises(AttributeError):
        key.k0 = 1  # type: ignore[misc]


def words(key: fd.Key) -> tuple[int, int, int, int]:
    return key.k0, key.k1, key.base & 0xFFFFFFFF, key.base >> 32


ZERO, OTHER = fd.Key.from_words(0, 0), fd.Key.from_words(0xDEADBEEF, 0x01234567, 0x700000009)


@pytest.mark.parametrize(
    ("key", "child", "expected"),
    [
        (ZERO, lambda key: key.fold_in(0), "0ca83ac1 783ef37c 643b590c e8aadfba"),
        (ZERO, lambda key: key.fold_in("layer"), "4dd74475 9055d205 ff790e66 40d293f7"),
        (ZERO, lambda key: key.split(3)[2], "c1e11265 c5092320 50480201 a5568df6"),
        (OTHER, lambda key: key.fold_in(2**56 - 1), "d2102032 a7cc4a86 bc659f1c 0e924c24"),
        (OTHER, lambda key: key.fold_in("ü"), "d6afe868 9416e992 95823833 8f47c8ce"),
        (OTHER, lambda key: key.split(1)[0], "3482cce6 481ff84b f7aa4e4f 28f2d274"),
    ],
)
def test_golden_children(
    backend: str, key: fd.Key, child: Callable[[fd.Key], fd.Key], expected: str
) -> None:
    assert " ".join(f"{word:08x}" for word in words(child(key))) == expected


@pytest.mark.parametrize("key", [ZERO, OTHER, fd.Key(11)])
def test_children_are_the_contracts(backend: str, key: fd.Key) -> None:
    for data in (0, 1, 2**32, 0x00ABCDEF_12345678, "", "0", "Schicht 3 ü", "\ud800", "x" * 999):
        assert words(key.fold_in(data)) == contract.fold_in(words(key), data)
    assert [words(child) for child in key.split(5)] == contract.split(words(key), 5)


def test_children_make_a_tree_of_different_keys(backend: str) -> None:
    key = fd.Key(0)
    names: list[int | str] = [*range(5), 2**56 - 1, "", "0", "1", "layer", "Schicht 3 ü"]
    # The number that a text is folded in by is no integer's child.
    names += [sum(b << 8 * i for i, b in enumerate(blake2b(b"layer", digest_size=7).digest()))]
    keys = [key, *(key.fold_in(name) for name in names), *key.split(5)]
    keys += [key.fold_in(0).fold_in(1), *key.split(1)[0].split(2), *key.fold_in(0).split(2)]
    assert len(set(keys)) == len(keys)


def test_split_goes_on_where_it_was() -> None:
    assert fd.Key(3).split(7)[:4] == fd.Key(3).split(4)
    first, *_ = fd.Key(3).split(np.int64(1))
    assert type(first) is fd.Key


@pytest.mark.parametrize("n", [0, -1, 2**56])
def test_split_into_no_number(n: int) -> None:
    with pytest.raises(ValueError, match="n: expected an integer in"):
        fd.Key(0).split(n)


@pytest.mark.parametrize("n", [1.0, "2", None, True])
def test_split_into_other_types(n: Any) -> None:
    with pytest.raises(TypeError, match="n: expected an integer in"):
        fd.Key(0).split(n)


def test_streams_add_to_the_base() -> None:
    key = fd.Key.from_words(1, 2, 2**64 - 1)
    assert [key.stream(n) for n in (0, 1, 2**64 - 1)] == [2**64 - 1, 0, 2**64 - 2]
    for number in (-1, 2**64):
        with pytest.raises(ValueError, match="number: expected an integer in"):
            key.stream(number)


def test_numbers_may_be_numpys() -> None:
    """And nothing runs over their types."""
    words: Any = (np.uint32(1), np.int8(2), np.uint64(2**64 - 1))
    key = fd.Key.from_words(1, 2, 2**64 - 1)
    assert repr(fd.Key.from_words(*words)) == repr(key)
    assert key.stream(words[2]) == 2**64 - 2
    assert key.fold_in(words[1]) == key.fold_in(2)
    expected = fd.bernoulli(0.5, 300, rng=key, stream=2**64 - 1, offset=2**40)
    more: Any = {"stream": np.uint64(2**64 - 1), "offset": np.int64(2**40)}
    assert np.array_equal(fd.bernoulli(0.5, 300, rng=key, **more), expected)
    x, seed = np.ones(300), words[1]
    assert np.array_equal(fd.dropout_backward(x, 0.5, rng=seed), fd.dropout(x, 0.5, rng=2))


def test_rng_takes_what_numpy_users_have() -> None:
    assert as_key(3) == as_key(np.int64(3)) == fd.Key(3)
    key = fd.Key(4)
    assert as_key(key) is key
    assert as_key(np.random.SeedSequence(3)) == fd.Key(3)
    (child,) = np.random.SeedSequence(3).spawn(1)
    assert as_key(child) == fd.Key(child) != fd.Key(3)


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.MT19937, np.random.SFC64])
def test_generators_give_a_new_key_a_call(kind: type) -> None:
    a, b = kind(1), np.random.Generator(kind(1))
    first, second = as_key(a), as_key(a)
    assert first != second
    assert (as_key(b), as_key(b)) == (first, second)
    words = [int(word) & 0xFFFFFFFF for word in kind(1).random_raw(4)]
    assert first == fd.Key.from_words(words[0], words[1], words[2] | words[3] << 32)


def refusals() -> list[Callable[..., object]]:
    """Calls of every kind of function, each with one bad argument that is checked last."""
    x, kernel = np.ones((2, 3, 4), np.float32), np.ones((4, 16), np.float32)
    return [
        functools.partial(fd.bernoulli, 0.5, 8, stream=-1),
        functools.partial(fd.bernoulli, 0.5, 8, threads=0),
        functools.partial(fd.dropout, x, 0.5, stream=2**64),
        functools.partial(fd.dropout, x, 0.5, out=x[0]),
        functools.partial(fd.spatial_dropout1d, x, 0.5, stream=-1),
        functools.partial(fd.drop_connect, x, 0.5, stream=-1),
        functools.partial(fd.embedding_dropout, [0], x[0], 0.5, stream=-1),
        functools.partial(fd.embedding_dropout, [0], x[0], 0.5, threads=0),
        functools.partial(fd.alpha_dropout, x, 0.5, stream=-1),
        functools.partial(fd.gaussian_dropout, x, 0.5, stream=-1),
        functools.partial(fd.gaussian_noise, x, 0.5, stream=-1),
        functools.partial(fd.zoneout, x, x, 0.5, stream=-1),
        functools.partial(fd.lstm, x, kernel, kernel, dropout=0.5, threads=0),
        functools.partial(fd.lstm, x, kernel, kernel, dropout=0.5, sample=2**32),
    ]


@pytest.mark.parametrize("call", refusals(), ids=lambda call: call.func.__name__)
@pytest.mark.parametrize("kind", [np.random.Generator, np.random.BitGenerator])
def test_a_refused_call_draws_nothing(call: Callable[..., object], kind: type) -> None:
    bits = np.random.PCG64(1)
    before = bits.state
    with pytest.raises(ValueError, match="expected"):
        call(rng=np.random.Generator(bits) if kind is np.random.Generator else bits)
    assert bits.state == before


def test_a_call_draws_one_key() -> None:
    bits = np.random.PCG64(1)
    fd.bernoulli(0.5, 8, rng=bits)
    other = np.random.PCG64(1)
    other.random_raw(4)
    assert bits.state == other.state


def test_none_is_fresh_entropy() -> None:
    assert as_key(None) != as_key(None)
