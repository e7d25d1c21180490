"""Layers that map features: embeddings and dense layers; masks; and what changes nothing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, ClassVar, Self

import numpy as np

from fastdrop import _check
from fastdrop.family import embedding_dropout
from fastdrop.feedforward import activate, dense, matmul
from fastdrop.layers._equations import check_equation, terms_of_rows
from fastdrop.layers._layer import (
    Array,
    Declared,
    Draw,
    Flow,
    Shape,
    Single,
    Weight,
    last_axis,
    meaning_of,
)


def _check_indices(values: Any, count: int, where: str, label: str) -> None:
    """Refuse values (rows, ...) that are not all indices of so many places."""
    if not values.size:
        return
    bad = (values < 0) | (values >= count)
    if values.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            bad |= values != np.floor(values)
    if bad.any():
        row, *position = np.argwhere(bad)[0].tolist()
        value = values[(row, *position)].item()
        place = "".join(f", position {', '.join(map(str, position))}" for _ in position[:1])
        raise ValueError(
            f"{where}: expected indices in [0, {count}) for {label}, "
            f"got {value} at row {row}{place}"
        )


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Embedding(Single):
    """Replace each index by its row of a table (V, D)."""

    table: Weight
    mask_zero: bool = False

    weight_fields: ClassVar[tuple[str, ...]] = ("table",)
    takes_indices = True

    def __post_init__(self) -> None:
        self.check_weight("table", (None, None))
        _check.flag(self.mask_zero, f"{self.label} mask_zero")

    @classmethod
    def declare(
        cls,
        inputs: Sequence[Shape],
        *,
        name: str,
        input_dim: int = 0,
        output_dim: int = 0,
        **options: Any,
    ) -> Self:
        return cls(name=name, table=Declared((input_dim, output_dim)), **options)

    def output_shape(self, shape: Shape) -> Shape:
        return (*shape, self.table.shape[1])

    def mask_symbol(self, tensors: Sequence[str], masks: Sequence[object]) -> object:
        return ("not equal", tensors[0], 0.0) if self.mask_zero else None

    def check_indices(self, values: Any, where: str) -> None:
        """Refuse what is no row of the table, by its place and token."""
        _check_indices(values, len(self.table), where, self.label)

    def each_step(self, inputs: Sequence[Shape]) -> bool:
        return True

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        indices = flow.values
        if indices.dtype.kind == "f":  # what another layer put out
            for sample in indices:
                self.check_indices(sample, f"{self.label} input")
            indices = indices.astype(np.int64)
        mask = indices != 0 if self.mask_zero else None
        found = Flow(indices, mask, table=self.table)
        return found if indices.ndim == 3 else found.looked_up()


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ReversibleEmbedding(Embedding):
    """An embedding that is called the other way round, too: from vectors to scores of its entries.

    With `reverse` it multiplies vectors (..., D) by `reverse_table` (D, V), or by the table itself
    if there is none (Press and Wolf 2016, arXiv:1608.05859). Scores y become
    ``soft_cap * tanh(y / soft_cap)`` if there is such a number.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> from fastdrop.layers import ReversibleEmbedding
    >>> table = np.array([[1, 0], [0, 2], [3, 1]], np.float32)
    >>> scores = ReversibleEmbedding(name="scores", table=table, reverse=True)
    >>> fd.Model([scores], (2,)).predict(np.array([[1, -1]], np.float32))
    array([[ 1., -2.,  2.]], dtype=float32)
    """

    reverse: bool = False
    reverse_table: Weight | None = None
    soft_cap: float | None = None

    weight_fields: ClassVar[tuple[str, ...]] = ("table", "reverse_table")

    def __post_init__(self) -> None:
        super().__post_init__()
        _check.flag(self.reverse, f"{self.label} reverse")
        self.check_weight("reverse_table", self.table.shape[::-1])
        if self.soft_cap is not None:
            name = f"{self.label} soft_cap"
            cap = _check.finite(self.soft_cap, name)
            if not 2**-64 <= abs(cap) <= 2**64:
                _check.refuse(ValueError, name, "a number of a size in [2**-64, 2**64]", cap)

    @classmethod
    def declare(
        cls,
        inputs: Sequence[Shape],
        *,
        name: str,
        input_dim: int = 0,
        output_dim: int = 0,
        tie_weights: bool = True,
        **options: Any,
    ) -> Self:
        own = None if tie_weights else Declared((output_dim, input_dim))
        table = Declared((input_dim, output_dim))
        return cls(name=name, table=table, reverse_table=own, **options)

    @property
    def takes_indices(self) -> bool:  # type: ignore[override]
        return not self.reverse

    def output_shape(self, shape: Shape) -> Shape:
        if not self.reverse:
            return super().output_shape(shape)
        entries, size = self.table.shape
        fits = len(shape) > 0 and shape[-1] in (size, None)
        self.check_fits(shape, f"(..., {size})", fits)
        return (*shape[:-1], entries)

    def mask_symbol(self, tensors: Sequence[str], masks: Sequence[object]) -> object:
        return None if self.reverse else super().mask_symbol(tensors, masks)

    def each_step(self, inputs: Sequence[Shape]) -> bool:
        return not self.reverse or len(inputs[0]) > 1

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        if not self.reverse:
            return super().forward(flow, draw)
        table = self.table.T if self.reverse_table is None else self.reverse_table
        scores = dense(flow.values, np.ascontiguousarray(table))
        if self.soft_cap is not None:
            cap = np.float32(self.soft_cap)
            with np.errstate(over="ignore", invalid="ignore", under="ignore"):
                scores = cap * activate(scores / cap, "tanh")
        return Flow(scores)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class EmbeddingDropout(Embedding):
    """An embedding of which whole words are dropped, each wherever it occurs in a row."""

    rate: float

    rate_fields: ClassVar[tuple[str, ...]] = ("rate",)
    can_draw = True

    def __post_init__(self) -> None:
        super().__post_init__()
        _check.probability(self.rate, f"{self.label} rate")

    @property
    def stochastic(self) -> str:
        return f"word dropout {self.rate:g}" if _check.threshold(self.rate) else ""

    def mask_elements(self, inputs: Sequence[Shape]) -> int:
        return len(self.table)

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        found = super().forward(flow, None)
        if draw is None:
            return found
        words = flow.values.astype(np.int64, copy=False)
        rows = words.shape[1]
        values = np.empty((len(draw.samples), *words.shape[1:], self.table.shape[1]), np.float32)
        scope: _check.Scope = "shared" if draw.period == 1 else "per_row"
        height = draw.period if draw.period > 1 else max(rows, 1)
        for j, sample in enumerate(draw.samples):
            given = words[j if len(words) > 1 else 0]
            for row in range(0, rows, height):
                values[j, row : row + height] = embedding_dropout(
                    given[row : row + height],
                    self.table,
                    self.rate,
                    rng=draw.key,
                    stream=draw.stream(sample),
                    row_offset=0 if draw.period else draw.first_row,
                    scope=scope,
                    threads=1,
                )
        return Flow(values, found.mask)


ENCODINGS = ("one_hot", "multi_hot", "count")


def _encoded(numbers: Array, count: int, mode: str) -> Array:
    """Return numbers of categories as vectors of them; of none of these nothing is said."""
    if mode == "int":
        return numbers.astype(np.float32)
    hot: Array = (numbers[..., np.newaxis] == np.arange(count)).astype(np.float32)
    if mode == "one_hot":
        return hot
    found: Array = hot.max(axis=-2, initial=0) if mode == "multi_hot" else hot.sum(axis=-2)
    return found


class _Categories(Single):
    """What says of each number which category it is, or makes vectors of these."""

    output_mode: str

    @property
    def count(self) -> int:
        """How many categories there are."""
        raise NotImplementedError

    def output_shape(self, shape: Shape) -> Shape:
        if self.output_mode == "int":
            return shape
        if self.output_mode == "one_hot":
            return (*shape, self.count)
        self.check_fits(shape, "with an axis of numbers", len(shape) > 0)
        return (*shape[:-1], self.count)

    def each_step(self, inputs: Sequence[Shape]) -> bool:
        return self.output_mode in ("int", "one_hot") or len(inputs[0]) > 1

    def work_elements(self, inputs: Sequence[Shape]) -> int:
        each = 1 if self.output_mode == "int" else self.count
        return math.prod(n or 1 for n in inputs[0]) * each


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class CategoryEncoding(_Categories):
    """Make vectors of categories out of their numbers, of which there are so many.

    "one_hot" makes one of each number: 1 at its place, 0 elsewhere. "multi_hot" and "count" make
    one of all numbers along the last axis: whether there is such, or how many.
    """

    num_tokens: int
    output_mode: str = "multi_hot"

    takes_indices = True

    def __post_init__(self) -> None:
        _check.integer(self.num_tokens, f"{self.label} num_tokens", 1, None)
        _check.choice(self.output_mode, f"{self.label} output_mode", ENCODINGS)

    @property
    def count(self) -> int:
        return self.num_tokens

    def check_indices(self, values: Any, where: str) -> None:
        """Refuse what is no category, by its place and number."""
        _check_indices(values, self.num_tokens, where, self.label)

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        numbers = flow.values
        for sample in numbers:
            self.check_indices(sample, f"{self.label} input")
        return Flow(_encoded(numbers, self.num_tokens, self.output_mode))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Discretization(_Categories):
    """Say in which interval each number is: 0 below the first bound, 1 from there on, and so on.

    `output_mode` is "int", or one of those in which `CategoryEncoding` makes vectors of these.
    """

    bin_boundaries: tuple[float, ...]
    output_mode: str = "int"

    def __post_init__(self) -> None:
        what = f"{self.label} bin_boundaries"
        bounds = tuple(_check.finite(bound, what) for bound in self.bin_boundaries)
        if not bounds or list(bounds) != sorted(bounds):
            _check.refuse(ValueError, what, "one or more in rising order", self.bin_boundaries)
        _check.choice(self.output_mode, f"{self.label} output_mode", ("int", *ENCODINGS))
        self.prepare(bin_boundaries=bounds)

    @property
    def count(self) -> int:
        return len(self.bin_boundaries) + 1

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        with np.errstate(over="ignore"):
            bounds = np.array(self.bin_boundaries, np.float64).astype(np.float32)
        numbers = np.searchsorted(bounds, flow.values, side="right")
        return Flow(_encoded(numbers, self.count, self.output_mode))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class IntegerLookup(_Categories):
    """Number whole numbers by their places in a vocabulary.

    In front of it are 0 for the `mask_token`, if there is one and `output_mode` is "int", and
    `num_oov_indices` categories for what is not in it, of which the remainder of a division
    chooses one. In vectors of categories the mask's token is none.
    """

    vocabulary: tuple[int, ...]
    mask_token: int | None = None
    num_oov_indices: int = 1
    output_mode: str = "int"

    takes_indices = True

    def __post_init__(self) -> None:
        what = f"{self.label} vocabulary"
        words = [
            _check.integer(word, what, -(2**63), 2**63)
            for word in _check.integers(self.vocabulary, what, -(2**63))
        ]
        if len({*words, self.mask_token}) != len(words) + 1:
            expected = "numbers that are all different, and not the mask_token"
            _check.refuse(ValueError, what, expected, self.vocabulary)
        if self.mask_token is not None:
            _check.integer(self.mask_token, f"{self.label} mask_token", -(2**63), 2**63)
        _check.integer(self.num_oov_indices, f"{self.label} num_oov_indices", 0, None)
        _check.choice(self.output_mode, f"{self.label} output_mode", ("int", *ENCODINGS))
        self.prepare(vocabulary=tuple(words))

    @property
    def _first(self) -> int:
        """The category of what is not in the vocabulary, or the first of them."""
        return int(self.mask_token is not None and self.output_mode == "int")

    @property
    def count(self) -> int:
        return self._first + self.num_oov_indices + len(self.vocabulary)

    def check_indices(self, values: Any, where: str) -> None:
        """Refuse what is no whole number, and without a category for them what is unknown."""
        known = [*self.vocabulary] + [n for n in (self.mask_token,) if n is not None]
        with np.errstate(invalid="ignore"):
            bad = values != np.floor(values)
        expected = "whole numbers"
        if not self.num_oov_indices:
            bad |= ~np.isin(values, known)
            expected = "numbers in the vocabulary"
        if bad.any():
            value = values[bad][0].item()
            raise ValueError(f"{where}: expected {expected} for {self.label}, got {value}")

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        self.check_indices(flow.values, f"{self.label} input")
        given = flow.values.astype(np.int64)
        words = np.array(self.vocabulary, np.int64)
        order = np.argsort(words)
        place = order[np.minimum(np.searchsorted(words, given, sorter=order), len(words) - 1)]
        unknown = self._first + given % max(self.num_oov_indices, 1)
        found = self._first + self.num_oov_indices + place
        numbers = np.where(words[place] == given, found, unknown)
        if self.mask_token is not None:
            masked = 0 if self.output_mode == "int" else -1
            numbers = np.where(given == self.mask_token, masked, numbers)
        return Flow(_encoded(numbers, self.count, self.output_mode))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Dense(Single):
    """``activation(x kernel + bias)`` over the last axis."""

    kernel: Weight
    bias: Weight | None = None
    activation: _check.Activation = "linear"

    weight_fields: ClassVar[tuple[str, ...]] = ("kernel", "bias")
    passes_mask = True

    def __post_init__(self) -> None:
        self.check_weight("kernel", (None, None))
        self.check_weight("bias", (self.kernel.shape[1],))
        _check.activation(self.activation, f"{self.label} activation")

    @classmethod
    def declare(
        cls,
        inputs: Sequence[Shape],
        *,
        name: str,
        units: int = 0,
        use_bias: bool = True,
        **options: Any,
    ) -> Self:
        bias = Declared((units,)) if use_bias else None
        kernel = Declared((last_axis(name, inputs[0]), units))
        return cls(name=name, kernel=kernel, bias=bias, **options)

    def output_shape(self, shape: Shape) -> Shape:
        inputs = len(self.kernel)
        self.check_fits(shape, f"(..., {inputs})", shape[-1:] == (inputs,))
        return (*shape[:-1], self.kernel.shape[1])

    def meaning(self, inputs: Sequence[str]) -> str:
        return meaning_of(self.activation)

    def each_step(self, inputs: Sequence[Shape]) -> bool:
        return len(inputs[0]) > 1

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        return flow.with_values(
            dense(flow.values, self.kernel, self.bias, activation=self.activation)
        )


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class EinsumDense(Single):
    """``activation(x kernel + bias)`` over axes that an equation names.

    `equation` names the axes of a row of x, of the kernel and of a row of the result:
    ``"tc,cd->td"`` is `Dense`, ``"tc,tcd->td"`` has weights of its own for each step. The bias is
    added as NumPy broadcasts. See `numpy.einsum`.
    """

    equation: str
    kernel: Weight
    bias: Weight | None = None
    activation: _check.Activation = "linear"

    weight_fields: ClassVar[tuple[str, ...]] = ("kernel", "bias")

    @classmethod
    def declare(
        cls,
        inputs: Sequence[Shape],
        *,
        name: str,
        whole: str = "",
        output: Sequence[int | None] = (),
        bias_axes: str = "",
        kernel: Weight | None = None,
        **options: Any,
    ) -> Self:
        """Take what Keras does: `whole` names the batch too, and may have ellipses.

        `output` has the lengths of what the equation names in the result, but for the batch;
        `bias_axes` are letters of those. With a `kernel` there is nothing more to know.
        """
        label, rank = f"layer {name!r}", len(inputs[0])
        named = whole.replace(" ", "").partition("->")[0].partition(",")[2]
        (x, k), out = terms_of_rows(label, whole, [rank + 1, len(named)], shared=1)
        if kernel is not None:
            return cls(name=name, equation=f"{x},{k}->{out}", kernel=kernel, **options)
        lengths = {c: n for c, n in zip(x, inputs[0], strict=True) if n is not None}
        told = whole.replace(" ", "").partition("->")[2]
        ellipsis, letters = "..." in told, told.replace("...", "")
        own = letters if told.startswith("...") else letters[1:]
        fits = len(own) == len(output) and {*bias_axes} <= {*own}
        for letter, length in zip(own, output, strict=False):
            fits &= length is None or lengths.setdefault(letter, length) == length
        if not fits or not {*k, *bias_axes} <= lengths.keys():
            raise ValueError(f"{label}: expected lengths of {whole}, got {list(output)}")
        first = min((own.index(c) for c in bias_axes), default=0)
        wide = [lengths[c] if c in bias_axes else 1 for c in own[first:]]
        if ellipsis and not told.startswith("..."):
            wide += [1] * (len(out) - len(own))
        bias = Declared(tuple(wide)) if bias_axes else None
        kernel = Declared(tuple(lengths[c] for c in k))
        return cls(name=name, equation=f"{x},{k}->{out}", kernel=kernel, bias=bias, **options)

    def __post_init__(self) -> None:
        check_equation(f"{self.label} equation", self.equation)
        terms = self._terms
        if len(terms) != 3 or any(
            not {*one} <= {*other, *third} for one, other, third in permutations(terms)
        ):
            expected = "x, kernel and result, each of whose axes another one has"
            _check.refuse(ValueError, f"{self.label} equation", expected, self.equation)
        self.check_weight("kernel", (None,) * len(terms[1]))
        if self.bias is not None:
            self.check_weight("bias", (None,) * len(self.bias.shape))
        _check.activation(self.activation, f"{self.label} activation")

    @property
    def _terms(self) -> list[str]:
        return self.equation.replace("->", ",").split(",")

    def output_shape(self, shape: Shape) -> Shape:
        x, k, out = self._terms
        lengths: dict[str, int | None] = dict(zip(k, self.kernel.shape, strict=True))
        fits = len(shape) == len(x)
        for letter, length in zip(x, shape, strict=False):
            fits &= length is None or lengths.setdefault(letter, length) in (length, None)
        self.check_fits(shape, f"as in {self.equation} with {lengths}", fits)
        made = tuple(lengths.get(letter) for letter in out)
        added = () if self.bias is None else self.bias.shape
        behind = made[len(made) - len(added) :]
        if len(added) > len(made) or any(
            n not in (1, m) for n, m in zip(added, behind, strict=True)
        ):
            raise ValueError(
                f"{self.label} bias: expected what can be added to {made}, got {added}"
            )
        return made

    def meaning(self, inputs: Sequence[str]) -> str:
        return meaning_of(self.activation)

    def each_step(self, inputs: Sequence[Shape]) -> bool:
        x, k, out = self._terms
        return len(x) > 1 and x[0] == out[:1] and x[0] not in k

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        x, k, out = self._terms
        values = flow.values
        kept = [c for c in x if c in k and c in out]
        summed = [c for c in x if c in k and c not in out]
        own = [c for c in x if c not in k]
        new = [c for c in k if c not in x]
        lengths = dict(zip(x + k, values.shape[2:] + self.kernel.shape, strict=True))
        stack, ahead, inner, wide = (
            math.prod(lengths[c] for c in group) for group in (kept, own, summed, new)
        )
        at = [2 + x.index(c) for c in kept], [2 + x.index(c) for c in (*own, *summed)]
        a = values.transpose(*at[0], 0, 1, *at[1])
        a = a.reshape(stack, math.prod(values.shape[:2]) * ahead, inner)
        b = self.kernel.transpose([k.index(c) for c in (*kept, *summed, *new)])
        found = matmul(a, b.reshape(stack, inner, wide))
        found = found.reshape(
            *(lengths[c] for c in kept), *values.shape[:2], *(lengths[c] for c in (*own, *new))
        )
        order = [*kept, "samples", "rows", *own, *new]
        found = found.transpose([order.index(c) for c in ("samples", "rows", *out)])
        if self.bias is not None:
            found = found + self.bias
        return Flow(activate(found, self.activation))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Masking(Single):
    """Mark as padding, and set to zero, what is `mask_value` in all features.

    Both sides of the comparison are float32. A mask that comes in is replaced.
    """

    mask_value: float = 0.0

    def __post_init__(self) -> None:
        value = _check.finite(self.mask_value, f"{self.label} mask_value")
        self.prepare(mask_value=value)

    def output_shape(self, shape: Shape) -> Shape:
        self.check_fits(shape, "(..., features)", len(shape) >= 1)
        return shape

    def mask_symbol(self, tensors: Sequence[str], masks: Sequence[object]) -> object:
        return ("any", ("not equal", tensors[0], self.mask_value))

    def work_elements(self, inputs: Sequence[Shape]) -> int:
        return math.prod(n or 1 for n in inputs[0]) // 4 + 1  # what is compared, in bytes

    def each_step(self, inputs: Sequence[Shape]) -> bool:
        return len(inputs[0]) > 1

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        with np.errstate(over="ignore", under="ignore"):
            value = np.float64(self.mask_value).astype(np.float32)
        mask = (flow.values != value).any(axis=-1)
        return Flow(np.where(mask[..., np.newaxis], flow.values, np.float32(0)), mask)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Identity(Single):
    """Change nothing. `passes_mask` says whether a mask goes on too."""

    passes_mask: bool = True

    def __post_init__(self) -> None:
        _check.flag(self.passes_mask, f"{self.label} passes_mask")

    def meaning(self, inputs: Sequence[str]) -> str:
        return inputs[0]

    def value_symbol(self, tensors: Sequence[str], values: Sequence[object]) -> object:
        return values[0]

    def each_step(self, inputs: Sequence[Shape]) -> bool:
        return True

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        return flow if self.passes_mask else Flow(flow.values)
