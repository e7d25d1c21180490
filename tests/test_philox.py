"""The generator against the known answers published with Random123 (kat_vectors, philox4x32 10)."""

import pytest

import contract
from fastdrop import _backend

KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip


def words(text: str) -> tuple[int, ...]:
    return tuple(int(word, 16) for word in text.split())


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_known_answers(backend: str, counter: str, key: str, expected: str) -> None:
    assert _backend.active.philox(words(counter), *words(key)) == words(expected)


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_the_contract_in_plain_python_knows_them_too(counter: str, key: str, expected: str) -> None:
    k0, k1 = words(key)
    assert contract.philox4x32_10(words(counter), (k0, k1)) == words(expected)
