"""Products of matrices, and of tensors by an equation, that are inputs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from fastdrop import feedforward
from fastdrop.layers._axes import broadcast
from fastdrop.layers._equations import check_equation, terms_of_rows
from fastdrop.layers._layer import Array, Draw, Flow, Layer, Shape, Weight, for_samples
from fastdrop.layers.operations import reduced


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class MatMul(Layer):
    """Multiply the matrices of two inputs (..., a, k) and (..., k, b), row by row.

    Axes in front of those of the matrices are of equal lengths or 1.
    """

    transpose_a: bool = False
    transpose_b: bool = False

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        ranks = {len(shape) for shape in inputs}
        if len(inputs) != 2 or len(ranks) > 1 or min(ranks) < 2:
            raise ValueError(f"{self.label}: expected two inputs of matrices, got {list(inputs)}")
        (*stack, a, k), (*other, m, b) = inputs
        (a, k) = (k, a) if self.transpose_a else (a, k)
        (m, b) = (b, m) if self.transpose_b else (m, b)
        if len({k, m} - {None}) > 1:
            raise ValueError(f"{self.label}: expected matrices that fit, got {list(inputs)}")
        return [(*broadcast(self.label, [tuple(stack), tuple(other)]), a, b)]

    def work_elements(self, inputs: Sequence[Shape]) -> int:
        """Both sides, each as often as the other has matrices for it."""
        (*stack, _, _) = self.output_shapes(inputs)[0]
        sides = sum(math.prod(n or 1 for n in shape[-2:]) for shape in inputs)
        return sides * math.prod(n or 1 for n in stack)

    def run(self, inputs: Sequence[Flow], draw: Draw | None) -> list[Flow]:
        left, right = (flow.values for flow in inputs)
        left = np.swapaxes(left, -1, -2) if self.transpose_a else left
        right = np.swapaxes(right, -1, -2) if self.transpose_b else right
        stack = np.broadcast_shapes(left.shape[2:-2], right.shape[2:-2])
        count = math.prod(stack)

        def flat(values: Array) -> Array:
            """Let the matrices of a row stand beside those of the next one."""
            samples, rows, *_, a, b = values.shape
            whole = np.broadcast_to(values, (samples, rows, *stack, a, b))
            return whole.reshape(samples, rows * count, a, b)

        found = matmul(flat(left), flat(right))
        samples, _, a, b = found.shape
        return [Flow(found.reshape(samples, left.shape[1], *stack, a, b))]


def matmul(left: Array, right: Array) -> Array:
    """Multiply stacks of matrices (samples or 1, rows, a, k) and (samples or 1, rows, k, b)."""
    samples, rows = max(len(left), len(right)), left.shape[1]
    a = for_samples(left, samples).reshape(samples * rows, *left.shape[2:])
    b = for_samples(right, samples).reshape(samples * rows, *right.shape[2:])
    found: Array = feedforward.matmul(a, b)
    return found.reshape(samples, rows, *found.shape[1:])


# ---- Einstein's convention ----


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Einsum(Layer):
    """Multiply and sum by Einstein's convention, row by row. See `numpy.einsum`.

    `equation` names the axes of rows: ``"ij,jk->ik"`` multiplies matrices. Inputs are taken two at
    a time, from the left; none has a letter twice. A `factor` of all rows, if there is one, is the
    last term: the first input that has one of its letters is multiplied by it before all others.
    """

    equation: str
    factor: Weight | None = None

    weight_fields: ClassVar[tuple[str, ...]] = ("factor",)

    @classmethod
    def declare(
        cls, inputs: Sequence[Shape], *, name: str, whole: str = "", **options: Any
    ) -> Self:
        """Take `whole`, an equation that names the batch, and may have ellipses."""
        if whole:
            ranks = [len(shape) + 1 for shape in inputs]
            factor = options.get("factor")
            shared = [] if factor is None else [factor.ndim]
            terms, out = terms_of_rows(f"layer {name!r}", whole, [*ranks, *shared], len(shared))
            options["equation"] = ",".join(terms) + "->" + out
        return cls(name=name, **options)

    def __post_init__(self) -> None:
        check_equation(f"{self.label} equation", self.equation)
        self.check_weight("factor", (None,) * len(self._terms[0][-1]))

    @property
    def _terms(self) -> tuple[list[str], str]:
        terms, _, out = self.equation.partition("->")
        return terms.split(","), out

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        terms, out = self._terms
        lengths: dict[str, int] = {}
        shapes = [*inputs] if self.factor is None else [*inputs, self.factor.shape]
        fits = [len(shape) for shape in shapes] == [len(term) for term in terms]
        for term, shape in zip(terms, shapes, strict=False):
            for letter, length in zip(term, shape, strict=False):
                fits &= length is None or lengths.setdefault(letter, length) == length
        if not fits:
            raise ValueError(f"{self.label}: expected {self.equation}, got {list(inputs)}")
        return [tuple(lengths.get(letter) for letter in out)]

    def work_elements(self, inputs: Sequence[Shape]) -> int:
        return 0 if self.factor is None else 2 * int(self.factor.size)

    def run(self, inputs: Sequence[Flow], draw: Draw | None) -> list[Flow]:
        terms, out = self._terms
        rest = [(term, flow.values) for term, flow in zip(terms, inputs, strict=False)]
        if self.factor is not None:
            term = terms[-1]
            at = next((i for i, (own, _) in enumerate(rest) if {*own} & {*term}), 0)
            others = [own for i, (own, _) in enumerate(rest) if i != at]
            each_row = np.broadcast_to(self.factor, (1, inputs[0].rows, *self.factor.shape))
            rest[at] = _product(rest[at], (term, each_row), {*out, *"".join(others)})
        while len(rest) > 1:
            one, other, *rest = rest
            later = {*out, *"".join(term for term, _ in rest)}
            rest.insert(0, _product(one, other, later))
        term, values = _summed(*rest[0], {*out})
        return [Flow(values.transpose(0, 1, *(2 + term.index(letter) for letter in out)))]


def _summed(term: str, values: Array, wanted: set[str]) -> tuple[str, Array]:
    """Sum over the axes of rows that nobody wants."""
    gone = [axis for axis, letter in enumerate(term) if letter not in wanted]
    if not gone:
        return term, values
    kept = "".join(letter for letter in term if letter in wanted)
    return kept, reduced(values, "sum", gone, keepdims=False)


def _product(
    one: tuple[str, Array], other: tuple[str, Array], later: set[str]
) -> tuple[str, Array]:
    """Multiply as matrices: axes that both have and keep, that are summed, and each one's own."""
    left, a = _summed(*one, later | {*other[0]})
    right, b = _summed(*other, later | {*left})
    kept = [c for c in left if c in right and c in later]
    summed = [c for c in left if c in right and c not in later]
    own_left = [c for c in left if c not in right]
    own_right = [c for c in right if c not in left]
    lengths = dict(zip(left + right, a.shape[2:] + b.shape[2:], strict=True))

    def grouped(term: str, values: Array, *groups: list[str]) -> Array:
        order = [2 + term.index(c) for group in (kept, *groups) for c in group]
        stack, *sides = (math.prod(lengths[c] for c in group) for group in (kept, *groups))
        moved = values.transpose(0, 1, *order)
        return moved.reshape(len(values), values.shape[1] * stack, *sides)

    found = matmul(grouped(left, a, own_left, summed), grouped(right, b, summed, own_right))
    order = [*kept, *own_left, *own_right]
    return "".join(order), found.reshape(len(found), a.shape[1], *(lengths[c] for c in order))
