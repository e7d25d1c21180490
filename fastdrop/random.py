"""Keys: where the randomness of a mask comes from."""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass
from typing import SupportsIndex

import numpy as np

from fastdrop import _backend, _check
from fastdrop._backend import Stream

__all__ = ["Key", "as_key"]


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


# "fast" and "drop" in ASCII. Keeps a Key's words apart from every other use of the same seed.
_SPAWN_KEY = (0x66617374, 0x64726F70)
# Reserved numbers in the counter's top byte. Masks use 0 to 31.
_FOLD_INT = 240
_FOLD_STR = 241
_SPLIT = 242

_new = tuple.__new__

_ACCEPTED = (
    "None | int | Key | numpy.random.SeedSequence | "
    "numpy.random.Generator | numpy.random.BitGenerator"
)


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Key:
    """A key of the mask contract ``fastdrop-mask/1``: immutable, hashable and picklable.

    The bits of a mask are a pure function of the key, a stream number and the element's index,
    so a key is never used up: the same key and stream give the same mask every time, in every
    function. What is to be independent takes keys of its own, from `split` or `fold_in`, or other
    streams.

    Parameters
    ----------
    seed : int or numpy.random.SeedSequence
        Any integer >= 0, however large. ``Key(n)`` equals ``Key(SeedSequence(n))``.

    Attributes
    ----------
    k0, k1 : int
        The two 32-bit words of the Philox key.
    base : int
        64 bits, added to every stream number modulo 2**64.

    Raises
    ------
    TypeError
        If `seed` is neither an integer nor a SeedSequence.
    ValueError
        If `seed` is negative.

    Notes
    -----
    The generator is Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3",
    SC 2011). The words come from :class:`numpy.random.SeedSequence`.

    Examples
    --------
    >>> import fastdrop as fd
    >>> key = fd.Key(0)
    >>> key == fd.Key(0), key == fd.Key(1)
    (True, False)
    >>> key.fold_in("layer 3") == key.fold_in("layer 4")
    False
    >>> noise, dropout = key.split(2)
    >>> noise == dropout
    False
    """

    k0: int
    k1: int
    base: int

    def __init__(self, seed: int | np.random.SeedSequence) -> None:
        if isinstance(seed, np.random.SeedSequence):
            entropy, parents, pool = seed.entropy, tuple(seed.spawn_key), seed.pool_size
        else:
            entropy, parents, pool = _check.integer(seed, "seed", 0, None), (), 4
        sequence = np.random.SeedSequence(entropy, spawn_key=parents + _SPAWN_KEY, pool_size=pool)
        self._set(*(int(word) for word in sequence.generate_state(4)))

    def _set(self, word0: int, word1: int, word2: int, word3: int) -> None:
        object.__setattr__(self, "k0", word0)
        object.__setattr__(self, "k1", word1)
        object.__setattr__(self, "base", word2 | word3 << 32)

    @classmethod
    def from_words(cls, k0: int, k1: int, base: int = 0) -> Key:
        """Make a key of given words, as the contract's published examples do.

        Parameters
        ----------
        k0, k1 : int
            In [0, 2**32).
        base : int
            In [0, 2**64).

        Returns
        -------
        Key

        Raises
        ------
        TypeError, ValueError
            If a word is not an integer, or out of range.

        Examples
        --------
        >>> Key.from_words(1, 2)
        Key.from_words(1, 2, 0)
        """
        key = cls.__new__(cls)
        base = _check.integer(base, "base", 0, 1 << 64)
        key._set(
            _check.integer(k0, "k0", 0, 1 << 32),
            _check.integer(k1, "k1", 0, 1 << 32),
            base & 0xFFFFFFFF,
            base >> 32,
        )
        return key

    def fold_in(self, data: int | str) -> Key:
        """Derive a child key, for example one for each layer or each shard.

        Parameters
        ----------
        data : int or str
            An integer in [0, 2**56), or any text. An integer and a text never give the same child.

        Returns
        -------
        Key
            The four words of one Philox call under this key, whose counter no mask uses.

        Raises
        ------
        TypeError, ValueError
            If `data` is neither, or out of range.

        Examples
        --------
        >>> Key(0).fold_in(1) == Key(0).fold_in(1)
        True
        """
        if isinstance(data, str):
            import hashlib  # what few need is not waited for when fastdrop is imported

            text = data.encode("utf-8", "surrogatepass")
            number = int.from_bytes(hashlib.blake2b(text, digest_size=7).digest(), "little")
            return self._child(_FOLD_STR, number)
        return self._child(
            _FOLD_INT, _check.integer(data, "data", 0, 1 << 56, "a text or an integer")
        )

    def __repr__(self) -> str:
        return f"Key.from_words({self.k0}, {self.k1}, {self.base})"

    def split(self, n: int) -> tuple[Key, ...]:
        """Derive `n` child keys, one for each call that is to draw by itself.

        Parameters
        ----------
        n : int
            How many, in [1, 2**56).

        Returns
        -------
        tuple of Key
            Different from each other, from this key and from all that `fold_in` gives. The first
            ones do not depend on `n`.

        Raises
        ------
        TypeError, ValueError
            If `n` is no integer, or out of range.

        Examples
        --------
        >>> inputs, outputs = Key(0).split(2)
        >>> Key(0).split(3)[:2] == (inputs, outputs)
        True
        """
        n = _check.integer(n, "n", 1, 1 << 56)
        return tuple(self._child(_SPLIT, number) for number in range(n))

    def _child(self, tag: int, number: int) -> Key:
        """Make a key of the four words of one Philox call, whose counter no mask uses."""
        counter = (
            number & 0xFFFFFFFF,
            number >> 32 | tag << 24,
            self.base & 0xFFFFFFFF,
            self.base >> 32,
        )
        child = Key.__new__(Key)
        child._set(*_backend.active.philox(counter, self.k0, self.k1))
        return child

    def stream(self, number: int) -> int:
        """Return the contract's stream: the base plus `number` (in [0, 2**64)), modulo 2**64."""
        number = _check.integer(number, "number", 0, 1 << 64)
        return (self.base + number) & 0xFFFFFFFFFFFFFFFF


def as_key(rng: object) -> Key:
    """Turn what ``rng=`` accepts into a key.

    Parameters
    ----------
    rng : None, int, Key, SeedSequence, Generator or BitGenerator
        None takes fresh entropy from the operating system. An integer or a SeedSequence is the
        seed of a key: the same integer twice is the same key, hence the same mask, twice. From a
        Generator or BitGenerator four raw words are drawn, so each call gets another key.

    Returns
    -------
    Key

    Raises
    ------
    TypeError
        For anything else: floats, bools, and the legacy RandomState.
    ValueError
        For a negative integer.

    Examples
    --------
    >>> as_key(7) == Key(7)
    True
    """
    if type(rng) is Key:  # the two most frequent kinds first: this is a part of small calls' time
        return rng
    if type(rng) is int and rng >= 0:
        return _key_of_seed(rng)
    check_rng(rng)
    if rng is None:
        return Key(np.random.SeedSequence())
    if isinstance(rng, np.random.SeedSequence):
        return Key(rng)
    if isinstance(rng, np.random.Generator):
        rng = rng.bit_generator
    if isinstance(rng, np.random.BitGenerator):
        key = Key.__new__(Key)
        key._set(*(int(word) & 0xFFFFFFFF for word in rng.random_raw(4)))
        return key
    if isinstance(rng, Key):
        return rng
    return _key_of_seed(operator.index(rng))  # type: ignore[arg-type]


@functools.lru_cache
def _key_of_seed(seed: int) -> Key:
    """Remembered, for a small mask takes less time than spreading its seed."""
    return Key(seed)


def stream_of(rng: object, number: object, threshold: int = 0) -> Stream:
    """What kernels draw from. The last check of a call: it may draw."""
    if type(number) is not int or not 0 <= number <= 0xFFFFFFFFFFFFFFFF:
        number = _check.integer(number, "stream", 0, 1 << 64)
    return stream_under(rng if type(rng) is Key else as_key(rng), number, threshold)


def stream_under(key: Key, number: int, threshold: int) -> Stream:
    """The same of a key, having checked nothing."""
    # What Stream(...) does itself, in half the time: this is a part of small calls' time.
    return _new(Stream, (key.k0, key.k1, key.base + number & 0xFFFFFFFFFFFFFFFF, threshold))


def replayable(rng: object) -> Key:
    """The key of what gives the same mask twice; anything else is refused."""
    if not isinstance(rng, (SupportsIndex, np.random.SeedSequence, Key)):
        expected = (
            "the int, SeedSequence or Key of the forward call (None, a Generator or a "
            "BitGenerator would give another mask)"
        )
        _check.refuse(TypeError, "rng", expected, rng)
    return as_key(rng)


def check_rng(rng: object) -> None:
    """Refuse what ``rng=`` does not accept, and draw nothing."""
    if rng is None or isinstance(rng, Key):
        return
    accepted = (np.random.SeedSequence, np.random.Generator, np.random.BitGenerator)
    if type(rng) is int or not isinstance(rng, accepted):
        _check.integer(rng, "rng", 0, None, f"{_ACCEPTED}, an integer")
