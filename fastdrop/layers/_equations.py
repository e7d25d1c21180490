"""Equations of Einstein's convention: what they name, checked."""

from collections.abc import Sequence
from string import ascii_letters

from fastdrop import _check


def check_equation(name: str, equation: str) -> None:
    """Refuse what is no equation, or has a letter twice in a term."""
    inputs, arrow, out = equation.partition("->")
    terms = [*inputs.split(","), out]
    letters = bool(arrow) and all(not term or term.isalpha() for term in terms)
    if not letters or any(len({*t}) < len(t) for t in terms) or not {*out} <= {*inputs}:
        _check.refuse(ValueError, name, "an equation of letters, none twice in a term", equation)


def terms_of_rows(
    label: str, whole: str, ranks: Sequence[int], shared: int = 0
) -> tuple[list[str], str]:
    """Return the terms of rows out of those that name the batch, in front of each; and the result.

    The last `shared` terms are what all rows share.
    """
    inputs, arrow, out = whole.replace(" ", "").partition("->")
    terms = inputs.split(",")
    free = [letter for letter in ascii_letters if letter not in whole]
    fits, most = bool(arrow) and len(terms) == len(ranks), 0
    for i, (term, rank) in enumerate(zip(terms, ranks, strict=False)):
        if "..." in term:
            more = rank - len(term.replace("...", ""))
            fits &= 0 <= more <= len(free)
            terms[i] = term.replace("...", "".join(free[max(0, len(free) - more) :]))
            most = max(most, more)
        fits &= len(terms[i]) == rank
    out = out.replace("...", "".join(free[len(free) - most :]))
    batch, of_rows = out[:1], terms[: len(terms) - shared]
    fits &= bool(batch) and all(term[:1] == batch for term in of_rows)
    if not fits or any(batch in term for term in terms[len(of_rows) :]):
        expected = "a letter for each axis, that of the batch in front of inputs and of the result"
        _check.refuse(ValueError, f"{label} equation", expected, whole)
    return [*(term[1:] for term in of_rows), *terms[len(of_rows) :]], out[1:]
