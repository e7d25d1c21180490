"""Run every kernel of a tier with pages that must not be touched on both sides of its arrays.

    python guard_pages.py masks|layers TIER

A process of its own: a read or write too far ends it with a signal. Sanitizers do not see masked
vector loads, the processor does.
"""

import ctypes
import itertools
import mmap
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdrop import _backend

PAGE = mmap.PAGESIZE
CANARY = 0xA5
LENGTHS, OFFSETS = range(321), range(64)
# Where a range begins and how long it is: all of those within a block, and about its borders; what
# is longer has a beginning and an end that do not meet, so each is seen with a few of the others.
BEGINNINGS, BORDERS = (0, 1, 3, 7, 8, 33, 63), (127, 128, 129, 191, 192, 193, 255, 256, 257, 320)
PLACES = [
    (n, first)
    for n, first in itertools.product(LENGTHS, OFFSETS)
    if n <= 64 or first in BEGINNINGS or n in BORDERS
]
WHOLE = 512
Array = NDArray[Any]

STREAM = _backend.Stream(0x12345678, 0x9ABCDEF0, 7, round(0.3 * 2**32))
INPUT = np.random.default_rng(0).normal(size=2 * WHOLE)
MASK = np.random.default_rng(1).integers(0, 256, WHOLE // 8).astype(np.uint8)
COLUMNS = 7  # that share a bit, in one of the layouts


class Guarded:
    """A page to use, or some, between two that may be neither read nor written."""

    def __init__(self, pages: int = 1) -> None:
        self._map = mmap.mmap(-1, (pages + 2) * PAGE)
        self.bytes = np.frombuffer(self._map, np.uint8)[PAGE:-PAGE]
        address = self.bytes.ctypes.data
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        for guard in (address - PAGE, address + pages * PAGE):
            if protect(guard, PAGE, 0):  # PROT_NONE
                raise OSError(ctypes.get_errno(), "mprotect")

    def hold(self, array: Array, at_end: bool) -> Array:
        """Put a copy at one end."""
        self.bytes[:] = CANARY
        start = len(self.bytes) - array.nbytes if at_end else 0
        held = self.bytes[start : start + array.nbytes]
        held[:] = array.reshape(-1).view(np.uint8)
        return held.view(array.dtype).reshape(array.shape)


def packed(backend: Any, out: Array, inputs: list[Array], first: int, n: int) -> None:
    backend.bernoulli_packed(out, STREAM, first, n)


def bernoulli(backend: Any, out: Array, inputs: list[Array], first: int, n: int) -> None:
    backend.bernoulli(out, STREAM, first)


def dropout(backend: Any, out: Array, inputs: list[Array], first: int, n: int) -> None:
    backend.dropout(out, *inputs, 1.5, STREAM, first)


def alpha_dropout(backend: Any, out: Array, inputs: list[Array], first: int, n: int) -> None:
    backend.alpha_dropout(out, *inputs, 1.5, 0.25, -1.75, STREAM, first)


def zoneout(backend: Any, out: Array, inputs: list[Array], first: int, n: int) -> None:
    backend.zoneout(out, *inputs, STREAM, first)


def gaussian_noise(backend: Any, out: Array, inputs: list[Array], first: int, n: int) -> None:
    backend.gaussian_noise(out, *inputs, 1.5, STREAM, first)


def gaussian_dropout(backend: Any, out: Array, inputs: list[Array], first: int, n: int) -> None:
    backend.gaussian_dropout(out, *inputs, 1.5, STREAM, first)


def apply_bits(backend: Any, out: Array, inputs: list[Array], first: int, n: int) -> None:
    x, bits = inputs
    backend.apply_mask(out, x, 1.5, bits, (WHOLE,), (1,), first)


def apply_shared_bits(backend: Any, out: Array, inputs: list[Array], first: int, n: int) -> None:
    x, bits = inputs
    backend.apply_mask(out, x, 1.5, bits, (-(-WHOLE // COLUMNS), COLUMNS), (1, 0), first)


def apply_alpha(backend: Any, out: Array, inputs: list[Array], first: int, n: int) -> None:
    x, bits = inputs
    backend.apply_alpha(out, x, 1.5, 0.25, -1.75, bits, (WHOLE,), (1,), first)


def of(dtype: str, first: int, n: int) -> list[Array]:
    """Inputs for a range of elements; 16 bits that are not of NumPy's float16 mean bfloat16."""
    values = INPUT[first : first + n]
    if dtype == "uint16":
        return [(values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)]
    return [values.astype(dtype)]


def two_of(dtype: str, first: int, n: int) -> list[Array]:
    return of(dtype, first, n) + of(dtype, first + WHOLE, n)


def with_bits(dtype: str, first: int, n: int) -> list[Array]:
    return [*of(dtype, first, n), MASK[: -(-(first + n) // 8)]]


def with_shared_bits(dtype: str, first: int, n: int) -> list[Array]:
    rows = -(-(first + n) // COLUMNS)
    return [*of(dtype, first, n), MASK[: -(-rows // 8)]]


def nothing(dtype: str, first: int, n: int) -> list[Array]:
    return []


Case = tuple[Callable[..., None], Callable[[str, int, int], list[Array]], str]
FLOATS = ("uint16", "float16", "float32", "float64")
CASES: list[Case] = [
    (packed, nothing, "uint8"),
    *((bernoulli, nothing, dtype) for dtype in ("uint8", "float32", "float64")),
    *((dropout, of, dtype) for dtype in FLOATS),
    *((alpha_dropout, of, dtype) for dtype in ("float32", "float64")),
    *((zoneout, two_of, dtype) for dtype in ("uint16", "float32", "float64")),
    *((gaussian_noise, of, dtype) for dtype in ("float32", "float64")),
    *((gaussian_dropout, of, dtype) for dtype in ("float32", "float64")),
    *((apply_alpha, with_bits, dtype) for dtype in ("float32", "float64")),
    *((apply_bits, with_bits, dtype) for dtype in FLOATS),
    *((apply_shared_bits, with_shared_bits, dtype) for dtype in FLOATS),
]


BLOCKS = 100  # more than the widest tier's kernels take at once, three times


def check_whole_blocks(backend: Any) -> int:
    """Packed masks that begin a block are written where they belong, and by all of a kernel."""
    page, calls = Guarded(), 0
    for rate in (0.5, 0.25, 0.3):
        stream = STREAM._replace(threshold=round(rate * 2**32))
        whole = np.empty(16 * BLOCKS, np.uint8)
        backend.bernoulli_packed(whole, stream, 0, 128 * BLOCKS)
        for n in (128 * blocks + more for blocks in range(BLOCKS) for more in (0, 8, 120)):
            for at_end in (False, True):
                out = page.hold(np.zeros(n // 8, np.uint8), at_end)
                backend.bernoulli_packed(out, stream, 0, n)
                assert out.tobytes() == whole[: n // 8].tobytes(), (rate, n, at_end)
                out[:] = CANARY
                assert (page.bytes == CANARY).all(), (rate, n, at_end, "wrote beside its array")
                calls += 1
    return calls


def check(backend: Any) -> int:
    """Compare every part of a whole with the whole, which holds what is right elsewhere."""
    pages = [Guarded(), Guarded(), Guarded()]
    calls = 0
    for run, inputs, dtype in CASES:
        whole = np.empty(WHOLE, dtype)
        run(backend, whole, inputs(dtype, 0, WHOLE), 0, WHOLE)
        if run is packed:
            bits = np.unpackbits(whole[: WHOLE // 8], bitorder="little")
        for n, first in PLACES:
            expected = whole[first : first + n]
            if run is packed:
                expected = np.packbits(bits[first : first + n], bitorder="little")
            given = inputs(dtype, first, n)
            for at_end in (False, True):
                where = (run.__name__, dtype, n, first, at_end)
                held = [p.hold(a, at_end) for p, a in zip(pages[1:], given, strict=False)]
                out = pages[0].hold(np.full_like(expected, 1), at_end)
                run(backend, out, held, first, n)
                assert out.tobytes() == expected.tobytes(), where
                out.view(np.uint8)[:] = CANARY
                assert (pages[0].bytes == CANARY).all(), (*where, "wrote beside its array")
                calls += 1
    return calls


# ---- layers ----

# About the borders of vectors, panels (8 and 16 columns), and the rows of a tile (6 and 8).
SIZES = (*range(1, 21), *range(31, 34), *range(47, 50), *range(63, 66))
STEPS = 7  # some rows have their inputs projected in two parts
NUMBERS = np.random.default_rng(2).normal(0, 0.3, 1 << 20)
FACTORS = np.where(NUMBERS < -0.1, 0, 1 + np.abs(NUMBERS))
BYTES = np.random.default_rng(3).integers(0, 2, 1 << 20).astype(np.uint8)

# Puts an array somewhere and returns it from there; nothing for None.
Place = Callable[[Any], Any]


def numbers(of: Array, first: int, shape: tuple[int, ...], dtype: str) -> Array:
    """Some numbers, other ones for each `first`."""
    n = int(np.prod(shape))
    first = 7919 * first % (len(of) - n)
    return of[first : first + n].astype(dtype).reshape(shape)


class Room:
    """Guarded pages for the arrays of a call."""

    def __init__(self) -> None:
        self._pages: dict[int, list[Guarded]] = {}
        self._used: list[tuple[Guarded, Array]] = []
        self.at_end = False

    def __call__(self, array: Array | None) -> Array | None:
        if array is None:
            return None
        size = max(1, -(-array.nbytes // PAGE))
        pages = self._pages.setdefault(size, [])
        page = pages.pop() if pages else Guarded(size)
        held = page.hold(array, self.at_end)
        self._used.append((page, held))
        return held

    def leave(self, where: object) -> None:
        """Look beside all arrays, and take them away."""
        for page, held in self._used:
            held[...].reshape(-1).view(np.uint8)[:] = CANARY
            assert (page.bytes == CANARY).all(), (where, "wrote beside an array")
            self._pages[len(page.bytes) // PAGE].append(page)
        self._used = []


CELLS = {"lstm": 4, "gru": 3, "gru_reset_first": 3, "simple_rnn": 1}
REALS = ("float32", "float64")
# A mask a row, or one for all of them, perhaps prepared with the weights; tied or a gate.
KINDS = (None, *itertools.product(("rows", "one", "shared"), ("tied", "gates")))
# What cells compute inline, then what they call.
FREQUENT = ("tanh", "sigmoid", "relu", "linear", "hard_sigmoid", "hard_sigmoid_legacy")
ACTIVATIONS: tuple[Any, ...] = (*FREQUENT, "silu", "gelu", ("elu", 0.3))


class Recurrent(NamedTuple):
    """A recurrent layer; its other options follow from the number."""

    number: int
    cell: str
    dtype: str
    rows: int
    features: int
    units: int
    kind: tuple[str, str] | None  # of the recurrent mask

    def run(self, backend: Any, place: Place) -> list[Array]:
        number, cell, dtype, rows, features, units, kind = self
        chance = random.Random(number)
        gates, lstm = CELLS[cell], cell == "lstm"

        def new(of: Array, *shape: int) -> Array:
            return numbers(of, chance.randrange(1 << 16), shape, dtype)

        def mask_of(kind: tuple[str, str] | None, width: int) -> Any:
            """A mask for `share`, and one for `rnn`."""
            if kind is None:
                return None, None
            mask = new(FACTORS, rows, gates if kind[1] == "gates" else 1, width)
            if chance.random() < 0.5:  # one factor for all: kernels then read bits
                mask = np.where(mask == 0, 0, 2).astype(dtype)
            if kind[0] == "shared":
                return mask[0], None
            return None, mask[:1] if kind[0] == "one" else mask

        def events(*shape: int) -> Array:
            return numbers(BYTES, chance.randrange(1 << 16), shape, "uint8")

        def perhaps(make: Callable[[], Array]) -> Array | None:
            return make() if chance.random() < 0.5 else None

        bias = (2, gates * units) if cell == "gru" else (gates * units,)
        packed = backend.pack(
            cell.removesuffix("_reset_first"),
            place(new(NUMBERS, features, gates * units)),
            place(new(NUMBERS, units, gates * units)),
            place(new(NUMBERS, *bias)),
            cell == "gru",
            chance.choice(("tanh", *ACTIVATIONS)),
            chance.choice(("sigmoid", *ACTIVATIONS)),
            dtype == "float32" and chance.random() < 0.3,
        )
        shared_x, input_mask = mask_of(chance.choice(KINDS), features)
        shared_h, recurrent_mask = mask_of(kind, units)
        if shared_x is not None or shared_h is not None:
            packed = backend.share(packed, place(shared_x), place(shared_h))
        projected = index = None
        x = place(new(NUMBERS, rows, STEPS, features))
        if chance.random() < 0.5:
            found = rows + chance.randrange(3)
            projected = place(np.zeros((found, packed.width), dtype))
            table = place(new(NUMBERS, found, features))
            tokens = place(perhaps(lambda: np.arange(found) * 7 % found))
            factors = perhaps(lambda: new(FACTORS, chance.choice((1, rows)), features))
            factor_rows = None
            if factors is not None and len(factors) > 1:
                factor_rows = place(np.arange(found) * 5 % rows)
            mask_rows = None
            if input_mask is not None and len(input_mask) > 1:
                mask_rows = place(np.sort(np.arange(found) * 3 % rows))
            given = (table, tokens, place(factors), factor_rows, place(input_mask), mask_rows)
            backend.project(projected, packed, *given)
            index = place(np.arange(rows * STEPS).reshape(rows, STEPS) * 5 % found)
            x = input_mask = None
        candidate_mask = None
        if cell != "simple_rnn":
            candidate_mask = perhaps(lambda: new(FACTORS, chance.choice((1, rows)), units))
        y = place(perhaps(lambda: new(NUMBERS, rows, STEPS, units)))
        y_last, h = (place(new(NUMBERS, rows, units)) for _ in range(2))
        c = place(new(NUMBERS, rows, units)) if lstm else None
        first, last = chance.choice((0, 1)), chance.choice((STEPS, STEPS - 1))
        zoneout_c = perhaps(lambda: events(rows, last - first, units)) if lstm else None
        call = _backend.RnnCall(
            packed=packed,
            y_last=y_last,
            h=h,
            c=c,
            y=y,
            x=x,
            projected=projected,
            index=index,
            input_mask=place(input_mask),
            recurrent_mask=place(recurrent_mask),
            candidate_mask=place(candidate_mask),
            zoneout_h=place(perhaps(lambda: events(rows, last - first, units))),
            zoneout_c=place(zoneout_c),
            step_mask=place(perhaps(lambda: events(rows, STEPS))),
            first=first,
            last=last,
            backwards=chance.random() < 0.5,
            zero_masked_steps=chance.random() < 0.5,
        )
        team = backend.team(call, chance.choice((2, 3, 9))) if chance.random() < 0.5 else None
        if team is None:
            backend.rnn(call)
        else:
            for part in range(team.parts):  # the first one takes the parts of all
                team.work(part)
            team.end()
        return [a for a in (y_last, h, c, y, projected) if a is not None]


class Dense(NamedTuple):
    dtype: str
    rows: int
    inputs: int
    columns: int
    with_bias: bool

    def run(self, backend: Any, place: Place) -> list[Array]:
        dtype, rows, inputs, columns, with_bias = self
        out = place(np.zeros((rows, columns), dtype))
        x, kernel, bias = (
            place(numbers(NUMBERS, k, shape, dtype))
            for k, shape in enumerate(((rows, inputs), (inputs, columns), (columns,)))
        )
        backend.dense(out, x, kernel, bias if with_bias else None)
        return [out]


class Activation(NamedTuple):
    dtype: str
    n: int
    name: Any

    def run(self, backend: Any, place: Place) -> list[Array]:
        v = place(numbers(NUMBERS, self.n, (self.n,), self.dtype))
        backend.activate(v, self.name)
        return [v]


class Softmax(NamedTuple):
    dtype: str
    rows: int
    columns: int
    logarithm: bool

    def run(self, backend: Any, place: Place) -> list[Array]:
        v = place(numbers(NUMBERS, self.columns, (self.rows, self.columns), self.dtype))
        backend.softmax(v, self.logarithm)
        return [v]


class Moments(NamedTuple):
    dtype: str
    samples: int
    n: int

    def run(self, backend: Any, place: Place) -> list[Array]:
        sums = [place(numbers(NUMBERS, self.n, (self.n,), "float64")) for _ in range(2)]
        origin = place(numbers(NUMBERS, self.n, (self.n,), self.dtype))
        values = place(numbers(NUMBERS, self.n, (self.samples, self.n), self.dtype))
        backend.moments(*sums, origin, values)
        return sums


class Distinct(NamedTuple):
    rows: int
    steps: int

    def run(self, backend: Any, place: Place) -> list[Array]:
        tokens = place(np.arange(self.rows * self.steps).reshape(self.rows, self.steps) * 5 % 7)
        return list(backend.distinct(tokens, 7))


class Product(NamedTuple):
    dtype: str
    n: int
    rows: int
    inputs: int
    columns: int

    def run(self, backend: Any, place: Place) -> list[Array]:
        dtype, n, rows, inputs, columns = self
        out = place(np.zeros((n, rows, columns), dtype))
        a = place(numbers(NUMBERS, 0, (n, rows, inputs), dtype))
        b = place(numbers(NUMBERS, 1, (n, inputs, columns), dtype))
        backend.matmul(out, a, b)
        return [out]


class Masks(NamedTuple):
    dtype: str
    samples: int
    n: int
    first: int

    def run(self, backend: Any, place: Place) -> list[Array]:
        out = place(np.zeros((self.samples, self.n), self.dtype))
        backend.masks(out, 1.5, STREAM, self.first)
        return [out]


Layer = Recurrent | Dense | Distinct | Product | Activation | Softmax | Moments | Masks


def layers(sizes: Iterable[int] = SIZES, large: bool = True) -> Iterator[Layer]:
    """Each size as the number of rows, of inputs and of outputs."""
    numbered = itertools.count()
    for dtype, n in itertools.product(REALS, sizes):
        for cell, kind in itertools.product(CELLS, KINDS):
            for shape in ((n, 3, 5), (2, n, 5), (2, 3, n), (1, 3, n)):
                yield Recurrent(next(numbered), cell, dtype, *shape, kind)
        for shape in ((n, 3, 5), (4, n, 5), (4, 3, n), (1, 3, n)):
            yield from (Dense(dtype, *shape, with_bias) for with_bias in (False, True))
            yield Product(dtype, 3, *shape)
        yield from (Activation(dtype, n, name) for name in ACTIVATIONS)
        yield from (Softmax(dtype, 3, n, logarithm) for logarithm in (False, True))
        yield Moments(dtype, 3, n)
        yield Distinct(3, n)
        yield from (Masks(dtype, samples, n, 3 * n) for samples in (1, 3))
    # Products of more than 256 inputs are taken in parts; of matrices that are large, 64 rows
    # side by side.
    for dtype, cell, few in itertools.product(REALS, CELLS if large else (), (1, 7)):
        for features in (255, 256, 257, 513):
            yield Recurrent(next(numbered), cell, dtype, few, features, 5, ("rows", "gates"))
        for rows, kind in ((63, None), (64, ("rows", "gates")), (65, ("shared", "tied"))):
            yield Recurrent(next(numbered), cell, dtype, rows + few, 3, 260, kind)


def check_layers(backend: Any, cases: Iterable[Layer]) -> int:
    """Compare with what the same calls yield on ordinary arrays."""
    room, calls = Room(), 0
    for case in cases:
        expected = case.run(backend, lambda array: None if array is None else array.copy())
        for room.at_end in (False, True):
            results = case.run(backend, room)
            for got, right in zip(results, expected, strict=True):
                assert got.tobytes() == right.tobytes(), (case, room.at_end)
            room.leave((case, room.at_end))
            calls += 1
    return calls


if __name__ == "__main__":
    kernels, tier = sys.argv[1:]
    chosen = {backend.tier: backend for backend in _backend.available}[tier]
    if kernels == "masks":
        print(check_whole_blocks(chosen) + check(chosen), "calls")
    else:
        print(check_layers(chosen, layers()), "calls")
