"""Keys, and what rng= takes."""

import copy
import pickle

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


def test_spawned_seed_sequences_differ() -> None:
    children = np.random.SeedSequence(5).spawn(3)
    assert len({fd.Key(child) for child in (np.random.SeedSequence(5), *children)}) == 4


def test_keys_are_values() -> None:
    key = fd.Key(7)
    assert pickle.loads(pickle.dumps(key)) == key
    assert copy.deepcopy(key) == key
    assert hash(fd.Key(7)) == hash(key)
    assert eval(repr(key), {"Key": lambda **words: fd.Key.from_words(**words)}) == key
    with pytest.raises(AttributeError):
        key.k0 = 1  # type: ignore[misc]


def test_fold_in_is_one_philox_call(backend: str) -> None:
    key = fd.Key(11)
    number = 0x00ABCDEF_12345678
    counter = (0x12345678, 0xABCDEF | 240 << 24, key.base & 0xFFFFFFFF, key.base >> 32)
    child = key.fold_in(number)
    assert (child.k0, child.k1, child.base & 0xFFFFFFFF, child.base >> 32) == (
        contract.philox4x32_10(counter, (key.k0, key.k1))
    )


def test_fold_in_gives_a_tree_of_different_keys(backend: str) -> None:
    key = fd.Key(0)
    names = [0, 1, 2**56 - 1, "", "0", "1", "layer", "Schicht 3 ü"]
    keys = [key, *(key.fold_in(name) for name in names), key.fold_in(0).fold_in(1)]
    assert len(set(keys)) == len(keys)


def test_rng_takes_what_numpy_users_have() -> None:
    assert as_key(3) == as_key(np.int64(3)) == fd.Key(3)
    key = fd.Key(4)
    assert as_key(key) is key
    assert as_key(np.random.SeedSequence(3)) == fd.Key(3)


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.MT19937, np.random.SFC64])
def test_generators_give_a_new_key_a_call(kind: type) -> None:
    a, b = kind(1), np.random.Generator(kind(1))
    first, second = as_key(a), as_key(a)
    assert first != second
    assert (as_key(b), as_key(b)) == (first, second)
    words = [int(word) & 0xFFFFFFFF for word in kind(1).random_raw(4)]
    assert first == fd.Key.from_words(words[0], words[1], words[2] | words[3] << 32)


def test_none_is_fresh_entropy() -> None:
    assert as_key(None) != as_key(None)
