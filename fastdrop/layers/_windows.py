"""Windows that slide over the axes of rows, as convolutions and pooling have them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

from fastdrop.layers._layer import Shape, Single

Each = int | Sequence[int]
Places = tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """Windows of `size` places, `dilation` apart, `stride` from one to the next.

    "valid" windows lie within the axis. "same" ones are as many as the axis has places, divided by
    the stride, with what they lack on both sides, one more behind if that is odd. "causal" ones end
    where a place is.
    """

    size: int
    stride: int = 1
    dilation: int = 1
    padding: str = "valid"

    @property
    def extent(self) -> int:
        return (self.size - 1) * self.dilation + 1

    def count(self, length: int) -> int:
        """Return how many windows there are on an axis of so many places; 0 if none fits."""
        if self.padding == "valid":
            return max(0, (length - self.extent) // self.stride + 1)
        return -(-length // self.stride)

    def before(self, length: int) -> int:
        """Return how many places the first window begins before the axis does."""
        if self.padding == "valid":
            return 0
        if self.padding == "causal":
            return self.extent - 1
        lacking = (self.count(length) - 1) * self.stride + self.extent - length
        return max(0, lacking) // 2

    def reaching(self, length: int) -> range:
        """Return the places of a window from the first to the last that any has on the axis.

        A window may be far longer than the axis.
        """
        before = self.before(length)
        first = -(((self.count(length) - 1) * self.stride - before) // self.dilation)
        last = (before + length - 1) // self.dilation
        return range(max(0, first), min(self.size, last + 1))

    def meeting(self, tap: int, length: int, windows: range) -> tuple[slice, slice]:
        """Return which of some windows have their place number `tap` on the axis, and where."""
        shift = tap * self.dilation - self.before(length)
        first = max(windows.start, -(shift // self.stride))
        last = min(windows.stop, (length - 1 - shift) // self.stride + 1)
        if first >= last:
            return slice(0, 0), slice(0, 0)
        start = first * self.stride + shift
        stop = (last - 1) * self.stride + shift + 1
        places = slice(start, stop, self.stride)
        return slice(first - windows.start, last - windows.start), places


def taps(
    windows: Sequence[Window],
    lengths: Sequence[int],
    which: Sequence[range],
    places: Sequence[range],
) -> Iterator[tuple[Places, Places]]:
    """Yield for each of some places of the windows which have it on the axes, and where."""
    for place in product(*places):
        pairs = [
            window.meeting(tap, length, some)
            for window, tap, length, some in zip(windows, place, lengths, which, strict=True)
        ]
        yield tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Spatial(Single):
    """A layer whose input has some axes to slide along, and then channels."""

    dims: ClassVar[int]

    def check_rank(self, shape: Shape) -> None:
        axes = (("steps",), ("height", "width"), ("height", "width", "depth"))[self.dims - 1]
        fits = len(shape) == self.dims + 1
        self.check_fits(shape, f"({', '.join(axes)}, channels)", fits)


def windowed(layer: Spatial, windows: Sequence[Window], shape: Shape) -> Shape:
    """Return how many windows there are along each axis; None for a length left open."""
    counts = [
        None if length is None else window.count(length)
        for window, length in zip(windows, shape, strict=False)
    ]
    least = " and ".join(str(window.extent) for window in windows)
    layer.check_fits(shape, f"in which a window of {least} fits", 0 not in counts)
    return tuple(counts)
