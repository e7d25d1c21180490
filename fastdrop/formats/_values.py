"""What stands for the tensors of other libraries: `Tensor`, and what else a value may be.

Other libraries keep the batch on any axis, and merge axes with it; layers here see a row at a time.
A `Tensor` says which tensor of rows stands for one of theirs, and on which of its axes the batch
is. What depends on no input stays an array of NumPy's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastdrop.formats._lengths import BATCH, Length, Open, product

if TYPE_CHECKING:
    from fastdrop.formats._tensors import Tensors

Array = NDArray[Any]


class UnsupportedError(Exception):
    """What a model does that layers cannot."""


class BatchAxisError(UnsupportedError):
    """A layer finds the batch on another axis than the one it takes it on."""


class ToldError(UnsupportedError):
    """An open length stands where only a number fits, which is told by that."""

    def __init__(self, text: str, length: Open, number: int) -> None:
        super().__init__(text)
        self.length, self.number = length, number


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor: that of rows by its name, a row's shape, and how the batch is joined with it.

    The axes are those of a row, in their order, with the batch in between at `at`. Where a library
    has one axis for the batch and others together, `before` and `behind` say how many axes of a row
    are in it, in front of the batch and behind it.
    """

    name: str
    row: tuple[Length, ...]
    at: int = 0
    before: int = 0
    behind: int = 0

    @property
    def merged(self) -> int:
        """How many axes of a row are in that of the batch."""
        return self.before + self.behind

    @property
    def ndim(self) -> int:
        return len(self.row) + 1 - self.merged

    @property
    def shape(self) -> tuple[Length, ...]:
        start, stop = self.at, self.at + self.merged
        return (*self.row[:start], product((BATCH, *self.row[start:stop])), *self.row[stop:])

    def axis(self, axis: int) -> int:
        """Return which axis of a row an axis is, which must not be that of the batch."""
        axis = self.counted(axis)
        if axis == self.at:
            raise UnsupportedError("rows of a batch are not computed with one another")
        return axis if axis < self.at else axis - 1 + self.merged

    def counted(self, axis: int) -> int:
        """Return an axis counted from the front."""
        return counted(axis, self.ndim)

    def inserted(self, axis: int, row: tuple[Length, ...], name: str) -> Tensor:
        """Return a tensor with an axis more, at a place among the axes of the library."""
        return replace(self, name=name, row=row, at=self.at + (axis <= self.at))


# ---- one row, without an axis for it ----
#
# A file or module may be for one row alone. Its axis, of length 1, may be anywhere then, and what
# has none has it joined with some axis of the row.


def joined(tensor: Tensor, axis: int) -> Tensor:
    """Return a tensor of one row whose axis is joined with an axis of the row."""
    return replace(tensor, at=axis, before=0, behind=1)


def without_row(tensor: Tensor) -> Tensor:
    """Take away the axis of one row."""
    if tensor.merged or not tensor.row:
        raise UnsupportedError("the one row of a batch is taken out of what has no other axis")
    return joined(tensor, 0)


@dataclass(frozen=True)
class Elsewhere:
    """Another way to look at tensors of one row, in which something may be computed.

    The axis of the row is joined with that axis of each tensor which is so many from the end; or,
    if that is None, vectors become matrices of one line, and so does what is made of them.
    """

    behind: int | None

    @classmethod
    def all(cls, values: Sequence[object], *, of_vectors: bool) -> Iterator[Elsewhere]:
        """Yield those that change some value."""
        found = [v for v in values if isinstance(v, Tensor)]
        ranks = [v.ndim for v in found if v.merged == 1]
        ways = [cls(n) for n in range(max(ranks, default=0), 0, -1)]
        for way in [*ways, *[cls(None)] * of_vectors]:
            if any(way.seen(v) != v for v in found):
                yield way

    def seen(self, value: Any) -> Any:
        """Return what a value is in this way."""
        if not isinstance(value, Tensor) or value.merged != 1:
            return value
        if self.behind is None:
            return replace(value, before=0, behind=0) if value.ndim == 1 else value
        return joined(value, value.ndim - self.behind) if value.ndim >= self.behind else value

    def made(self, value: Any) -> Any:
        """Return what was made in this way as it is in any."""
        line = self.behind is None and isinstance(value, Tensor)
        return without_row(value) if line and not value.at else value


@dataclass(frozen=True, slots=True)
class Spread:
    """An array that is the same for each row, with the batch at `at` of its axes."""

    value: Array
    at: int

    @property
    def ndim(self) -> int:
        return self.value.ndim + 1

    @property
    def shape(self) -> tuple[Length, ...]:
        lengths = self.value.shape
        return (*lengths[: self.at], BATCH, *lengths[self.at :])


@dataclass(frozen=True, slots=True)
class OfRows:
    """Whole numbers, one for each row, of which only the meaning is known."""

    @property
    def ndim(self) -> int:
        return 1

    @property
    def shape(self) -> tuple[Length, ...]:
        return (BATCH,)


@dataclass(frozen=True, slots=True)
class _Laid(OfRows):
    """Numbers of rows that may be laid out along other axes, too."""

    lengths: tuple[Length, ...] = (BATCH,)

    @property
    def ndim(self) -> int:
        return len(self.lengths)

    @property
    def shape(self) -> tuple[Length, ...]:
        return self.lengths


@dataclass(frozen=True, slots=True)
class RowNumbers(_Laid):
    """0, 1, 2 and so on, one for each row, and the same along other axes."""

    @property
    def at(self) -> int:
        return self.lengths.index(BATCH)


@dataclass(frozen=True, slots=True)
class RowSums(_Laid):
    """Numbers of rows with others added, of which only the shape matters."""


@dataclass(frozen=True, slots=True)
class RowStarts(OfRows):
    """Where each row begins if all are laid out one after another, of so many places each."""

    step: Length


@dataclass(frozen=True, slots=True)
class RowPlaces(OfRows):
    """One place of each row if all are laid out one after another, by its number in the row.

    `step` is how many places a row has; None says that rows are beside one another at each place.
    """

    number: Tensor
    step: Length | None


@dataclass(frozen=True, slots=True)
class RowBlocks(OfRows):
    """Where places begin if rows are beside one another at each, by a number for each row."""

    number: Tensor


@dataclass(frozen=True, slots=True)
class RowIndices(OfRows):
    """For each row, and place of it, a number for each of the first axes, side by side."""

    numbers: tuple[RowNumbers | Tensor | Spread | Array, ...]

    @property
    def ndim(self) -> int:
        return self.numbers[0].ndim + 1

    @property
    def shape(self) -> tuple[Length, ...]:
        return (*self.numbers[0].shape, len(self.numbers))


@dataclass(frozen=True, slots=True)
class Order(OfRows):
    """An order of rows, by anything: rows know nothing of one another.

    They may be joined with other axes, all of which are in this order then.
    """

    length: Length = BATCH

    @property
    def shape(self) -> tuple[Length, ...]:
        return (self.length,)

    def of(self, value: Value, axis: int) -> Value:
        """Put rows into this order, which no row knows of."""
        rows = isinstance(value, (Tensor, Spread)) and axis == value.at
        if rows and value.shape[axis] == self.length:
            return value
        raise UnsupportedError("places put into an order of rows")


Value = Tensor | Spread | Array


@dataclass(frozen=True)
class Chosen:
    """Places of the first axes where a mask is true: all are computed, and only those count."""

    value: Value
    mask: Value


@dataclass(frozen=True)
class Piece:
    """Some places along an axis of a tensor."""

    of: Tensor
    start: int
    stop: int


@dataclass(frozen=True)
class Steps:
    """What is the same for each row, along an axis of an open length, but has no axis for rows.

    `value` has the batch in front.
    """

    value: Tensor

    @classmethod
    def of(cls, value: Value) -> Steps:
        assert isinstance(value, Tensor)
        return cls(value)

    @property
    def ndim(self) -> int:
        return self.value.ndim - 1

    @property
    def shape(self) -> tuple[Any, ...]:
        return self.value.shape[1:]

    def put(self, axis: int) -> Tensor:
        """Return a tensor with an axis more, for the rows."""
        return replace(self.value, at=axis % (self.ndim + 1))

    def led(self, b: Tensors, rank: int) -> Tensor:
        """Return the tensor, with the batch in front of so many axes."""
        value: Value = self.value
        for _ in range(rank - self.ndim):
            value = b.unsqueeze(value, 1)
        assert isinstance(value, Tensor)
        return value

    def under(self, b: Tensors, rank: int, like: Tensor) -> Tensor:
        """Return a tensor of so many axes, whose batch is joined with others as another's is."""
        found = self.beside(b, rank, rank - like.ndim + like.at)
        for behind in (False,) * like.before + (True,) * like.behind:
            wide = b.unsqueeze(found, found.at + behind)
            assert isinstance(wide, Tensor)
            found = wide
        return replace(found, at=found.at - like.before, before=like.before, behind=like.behind)

    def beside(self, b: Tensors, rank: int, at: int) -> Tensor:
        """Return a tensor of so many axes, with the batch on one on which this is 1 long."""
        if self.ndim == rank - 1 and not at:
            return self.value
        value = self.led(b, rank)
        if value.ndim != rank + 1 or value.shape[at + 1] != 1:
            raise UnsupportedError(f"{list(self.shape)} along rows of a batch")
        found = b.squeeze(value, [at + 1])
        assert isinstance(found, Tensor)
        return replace(found, at=at)

    def expanded(self, b: Tensors, shape: Sequence[Length], rows: int | None) -> Tensor | Steps:
        """Repeat axes of length 1, of which there may be more in front; one may be for the rows.

        That is as long as a batch, or the first that is as long as a fixed number of rows.
        """
        rank = max(self.ndim, len(shape))
        own = [1] * (rank - self.ndim) + [*self.shape]
        target = [1] * (rank - len(shape)) + [*shape]
        wanted = [o if n in (1, -1) else n for o, n in zip(own, target, strict=True)]
        longer = [i for i in range(rank) if own[i] == 1 and wanted[i] != 1]
        places = [i for i in longer if wanted[i] == BATCH]
        places = places or [i for i in longer if wanted[i] == rows][:1]
        if not places:
            return Steps.of(b.expand(self.led(b, rank), [BATCH, *wanted]))
        if len(places) > 1:
            raise UnsupportedError(f"{list(self.shape)} as {wanted}")
        wanted[places[0]] = BATCH
        found = b.expand(self.beside(b, rank, places[0]), wanted)
        assert isinstance(found, Tensor)
        return found

    def single(self, b: Tensors) -> Tensor:
        """Return a tensor with the batch on the first axis on which this is 1 long."""
        if 1 not in self.shape:
            raise UnsupportedError(f"{list(self.shape)} without rows of a batch")
        return self.beside(b, self.ndim, self.shape.index(1))

    def unsqueezed(self, b: Tensors, axis: int) -> Steps:
        """Put in an axis of length 1, counted in the result."""
        return Steps.of(b.unsqueeze(self.value, axis + 1))

    def triangle(self, b: Tensors, diagonal: int, *, upper: bool) -> Steps:
        """Return the upper or lower triangle of the last two axes, zeros elsewhere."""
        one, two = (b.positions(n) for n in self.shape[-2:])
        first = b.elementwise("add", b.unsqueeze(one, 2), float(diagonal))
        compared = "less_equal" if upper else "greater_equal"
        kept = Steps.of(b.elementwise(compared, first, b.unsqueeze(two, 1)))
        return Steps.of(b.elementwise("where", kept.led(b, self.ndim), self.value, 0.0))


@dataclass(frozen=True)
class Counts(Steps):
    """Lengths, some of which are left open, as numbers to compute with: `value` has them."""

    lengths: Array


def steps_beside(b: Tensors, given: Sequence[Any]) -> tuple[Callable[[Steps], Tensor], bool]:
    """Return how `Steps` become tensors beside others, and whether there are no others."""
    framed = [v for v in given if isinstance(v, (Tensor, Spread))]
    if not framed:
        most = max(getattr(v, "ndim", 0) for v in given)
        return lambda v: v.led(b, most), True
    rank, first = max(v.ndim for v in framed), framed[0]
    if isinstance(first, Tensor):
        return lambda v: v.under(b, rank, first), False
    at = rank - first.ndim + first.at
    return lambda v: v.beside(b, rank, at), False


def as_array(value: object) -> Array:
    """Return a constant, which must depend on no input."""
    if isinstance(value, (Tensor, Spread)):
        raise UnsupportedError("what is computed of the input cannot stand here")
    return np.asarray(value)


def counted(axis: int, rank: int) -> int:
    """Return an axis of so many counted from the front."""
    if not -rank <= axis < rank:
        raise UnsupportedError(f"axis {axis} of a tensor of {rank} axes")
    return axis % rank


def broadcast(shapes: Sequence[Sequence[Length]]) -> tuple[Length, ...]:
    """Return the shape to which shapes broadcast."""
    rank = max(len(shape) for shape in shapes)
    found: list[Length] = []
    for i in range(1, rank + 1):
        lengths = {shape[-i] for shape in shapes if len(shape) >= i} - {1}
        if len(lengths) > 1:
            fixed = {n for n in lengths if isinstance(n, int)}
            if len(fixed) > 1:
                raise UnsupportedError(f"shapes {[list(s) for s in shapes]} do not broadcast")
            lengths = {next(iter(fixed)) if fixed else min(lengths, key=str)}
        found.append(lengths.pop() if lengths else 1)
    return tuple(reversed(found))
