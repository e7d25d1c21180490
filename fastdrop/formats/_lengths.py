"""Lengths of axes of which some are left open: whole numbers, and what is computed from names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# What is multiplied in a term, in order, and how often it is counted.
_Terms = tuple[tuple[tuple[str, ...], int], ...]


@dataclass(frozen=True, slots=True)
class Open:
    """A length that is not known yet: a sum of products of names.

    Equal ones compare equal, however they were computed. A length that comes out as a whole number
    is an int.
    """

    terms: _Terms

    @classmethod
    def named(cls, name: str) -> Open:
        return cls((((name,), 1),))

    def __str__(self) -> str:
        return " + ".join(
            "*".join(([str(n)] if n != 1 or not names else []) + list(names))
            for names, n in self.terms
        )

    def __repr__(self) -> str:
        return str(self)

    def __add__(self, other: Length) -> Length:
        return _of([*self.terms, *_terms(other)])

    __radd__ = __add__

    def __neg__(self) -> Length:
        return self * -1

    def __abs__(self) -> Length:
        if all(
            n > 0 and not any(name.startswith("[") for name in names) for names, n in self.terms
        ):
            return self
        raise TypeError(f"the absolute value of a length that may be below 0 ({self})")

    def __sub__(self, other: Length) -> Length:
        return self + other * -1

    def __rsub__(self, other: Length) -> Length:
        return other + self * -1

    def __mul__(self, other: Length) -> Length:
        return _of((tuple(sorted(a + b)), m * n) for a, m in self.terms for b, n in _terms(other))

    __rmul__ = __mul__

    def __floordiv__(self, other: Length) -> Length:
        exact = divided(self, other)
        if exact is not None:
            return exact
        if isinstance(other, int) and other > 0:
            return _floor(self, other)
        return Open.named(f"[({self}) // ({other})]")

    def __rfloordiv__(self, other: int) -> Length:
        return Open.named(f"[({other}) // ({self})]")


Length = int | Open

# How many rows a batch has.
BATCH = Open.named("batch")


class _Quotient(str):
    """What a quotient rounded down is called, with what was divided by what."""

    def __new__(cls, divided: Length, by: int) -> _Quotient:
        return super().__new__(cls, f"[({divided}) // ({by})]")

    def __init__(self, divided: Length, by: int) -> None:
        self.divided, self.by = divided, by


def _floor(length: Length, by: int) -> Length:
    """Return a quotient rounded down in its one form: what is whole of it stands outside."""
    terms = _terms(length)
    whole = _of((names, count // by) for names, count in terms)
    rest = _of((names, count % by) for names, count in terms)
    if isinstance(rest, int):
        return whole
    *more, (names, count) = sorted(_terms(rest), key=lambda term: term[0] == ())[::-1]
    offset = more[0][1] if len(more) == 1 and not more[0][0] else 0
    inner = names[0] if len(names) == 1 and count == 1 and len(more) == bool(offset) else None
    if isinstance(inner, _Quotient):
        return whole + _floor(inner.divided + offset * inner.by, inner.by * by)
    return whole + Open.named(_Quotient(rest, by))


def quotient(names: tuple[str, ...]) -> tuple[Length, int] | None:
    """Return what is divided by what, if the names of a term are a quotient rounded down."""
    name = names[0] if len(names) == 1 else None
    return (name.divided, name.by) if isinstance(name, _Quotient) else None


def _terms(length: Length) -> _Terms:
    return length.terms if isinstance(length, Open) else (((), length),)


def _of(terms: Iterable[tuple[tuple[str, ...], int]]) -> Length:
    """Return a sum of terms in its one form."""
    counts: dict[tuple[str, ...], int] = {}
    for names, count in terms:
        counts[names] = counts.get(names, 0) + count
    kept = tuple(sorted((names, count) for names, count in counts.items() if count))
    if not kept:
        return 0
    if len(kept) == 1 and not kept[0][0]:
        return kept[0][1]
    return Open(kept)


def divided(length: Length, by: Length) -> Length | None:
    """Return a quotient, or None where it is not known to be whole."""
    if length == by:
        return 1
    divisor = _terms(by)
    if len(divisor) > 1:
        for term in _terms(length):
            quotient = divided(_of([term]), _of(divisor[-1:]))
            if quotient is not None and quotient * by == length:
                return quotient
        return None
    if len(divisor) != 1 or not divisor[0][1]:
        return None
    ((names, count),) = divisor
    found = []
    for own, n in _terms(length):
        rest = list(own)
        for name in names:
            if name not in rest:
                return None
            rest.remove(name)
        if n % count:
            return None
        found.append((tuple(rest), n // count))
    return _of(found)


def product(lengths: Iterable[Length]) -> Length:
    """Return lengths multiplied."""
    found: Length = 1
    for length in lengths:
        found = found * length
    return found


def known(lengths: Iterable[Length]) -> tuple[int | None, ...]:
    """Return lengths with None for each that is open."""
    return tuple(n if isinstance(n, int) else None for n in lengths)
