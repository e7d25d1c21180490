"""Which implementation runs: native or NumPy, chosen once at import, and saying why.

An implementation is one small object; public functions call the one named `active`.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from numpy.typing import NDArray

from fastdrop import _check, _environment, _threads
from fastdrop._fallback import Numpy
from fastdrop._version import __version__

if TYPE_CHECKING:
    from fastdrop.random import Key

Array = NDArray[Any]


class Stream(NamedTuple):
    """Where the randomness of a mask comes from, and what of it is an event.

    Attributes
    ----------
    k0, k1 : int
        The two 32-bit words of the Philox key.
    stream : int
        Which of the key's 2**64 streams.
    threshold : int
        T of the mask contract, in [0, 2**32]; normals have none, and do not look at it.
    """

    k0: int
    k1: int
    stream: int
    threshold: int


class Packed(Protocol):
    """Weights of a recurrent layer in the form of the implementation that made them."""

    @property
    def width(self) -> int:
        """Columns of a row of `Backend.project`."""


@dataclass(slots=True, eq=False, kw_only=True)
class RnnCall:
    """Some steps of a sequence through a layer; arrays are float32 or float64, as its weights are.

    Attributes
    ----------
    packed : Packed
        The weights.
    y_last, h, c : ndarray, shape (N, H)
        The last output and the state: read and written; c is None but for an "lstm".
    y : ndarray, shape (N, T, H), or None
        Gets the outputs, in the order taken.
    x : ndarray, shape (N, T, D), or None
        The input; else
    projected, index : ndarray, shapes (P, packed.width) and (N, T) int64
        the row ``index`` of ``projected`` is its projection.
    input_mask, recurrent_mask : ndarray, shape (N or 1, gates or 1, width), or None
        Factors, of which zero drops by selection.
    candidate_mask : ndarray, shape (N or 1, H), or None
        The same for the candidate.
    zoneout_h, zoneout_c : ndarray, shape (N, last - first, H) uint8, or None
        Of the steps taken, in their order: not zero where h or c keeps its previous value.
    step_mask : ndarray, shape (N, T) uint8, or None
        By time: zero where a step is passed over.
    first, last : int
        The steps first, ..., last - 1 are taken, of the order in which the sequence is.
    backwards : bool
        Whether that is from the last time to the first.
    zero_masked_steps : bool
        Whether a step passed over puts out zeros, not the last output.
    """

    packed: Any
    y_last: Array
    h: Array
    c: Array | None
    y: Array | None = None
    x: Array | None = None
    projected: Array | None = None
    index: Array | None = None
    input_mask: Array | None = None
    recurrent_mask: Array | None = None
    candidate_mask: Array | None = None
    zoneout_h: Array | None = None
    zoneout_c: Array | None = None
    step_mask: Array | None = None
    first: int = 0
    last: int
    backwards: bool = False
    zero_masked_steps: bool = False


class Held(Protocol):
    """A call of one step, with masks laid out, that is made again and again."""

    def step(self, x: Array, out: Array, zoneout_h: Array | None, zoneout_c: Array | None) -> None:
        """Take a step: x (N, D), out (N, H); events (N, H) uint8 as `RnnCall` has them."""

    def state(self, h: Array, c: Array | None) -> None:
        """Copy the state out to h and c (N, H), c being None but for an "lstm"."""

    def set_state(self, h: Array, c: Array | None) -> None:
        """Copy the state in."""


class Team(Protocol):
    """A call of one row that several threads work on, each having a part of the units."""

    @property
    def parts(self) -> int: ...

    def work(self, part: int) -> None:
        """Take steps with others until all are taken, or the others are faster without this one.

        Who does not come is not waited for.
        """

    def end(self) -> None:
        """Put the state out, once all who worked have returned."""


class Backend(Protocol):
    """What an implementation offers. Arrays arrive checked, C-contiguous and aligned.

    Those of masks and dropout are flat and not empty; an output may be the input itself, but not
    overlap it otherwise. bfloat16 arrives as the uint16 of its bits, which NumPy can hand over.
    """

    @property
    def name(self) -> str: ...
    @property
    def tier(self) -> str: ...
    @property
    def bfloat16(self) -> str:
        """What multiplies bfloat16: an instruction for it, or "float32" where there is none."""

    @property
    def adds_in_turn(self) -> bool:
        """Whether products of bfloat16 are added one after another, each sum rounded.

        If not, a sum is another one where some of what adds zero to it is left out.
        """

    def philox(self, counter: Sequence[int], k0: int, k1: int) -> tuple[int, int, int, int]: ...

    def plain_bernoulli(
        self,
        p: object,
        shape: object,
        key: Key,
        stream: object,
        offset: object,
        dtype: object,
        out: object,
        threads: object,
    ) -> Array | None:
        """Do `fastdrop.bernoulli`, or nothing and return None: arguments have not been checked.

        For small calls, whose checks in Python would take longer than the drawing.
        """

    def plain_dropout(
        self,
        x: object,
        rate: object,
        key: Key,
        stream: object,
        offset: object,
        out: object,
        threads: object,
    ) -> Array | None:
        """Do the same of `fastdrop.dropout` of each element."""

    def dropout_at(
        self, out: int, x: int, n: int, dtype: str, scale: float, seed: list[int], threshold: int
    ) -> bool:
        """Do `dropout` of n numbers at addresses, or nothing: return whether it was done.

        For small tensors, of which NumPy's arrays would take longer than the drawing. They may not
        be aligned. The seed: k0 and k1 in one number, and the stream, both of 64 bits and signed.
        """

    def bernoulli_packed(self, out: Array, stream: Stream, first: int, n: int) -> None: ...

    def bernoulli(self, out: Array, stream: Stream, first: int) -> None: ...

    def dropout(self, out: Array, x: Array, scale: float, stream: Stream, first: int) -> None: ...

    def dropout_streams(
        self, out: Array, x: Array, scale: float, stream: Stream, first: int
    ) -> None:
        """Do `dropout` into each row of out (S, n), whose stream is the next after the row before.

        Of its own row of x (S, n), or of the only one (1, n).
        """

    def apply_mask(
        self,
        out: Array,
        x: Array,
        scale: float,
        bits: Array,
        lengths: tuple[int, ...],
        strides: tuple[int, ...],
        first: int,
    ) -> None:
        """Drop where the element's bit is set: number sum(index * stride) over the axes.

        `out` and `x` are the elements from number `first` on. The last stride is 0 or 1.
        """

    def apply_alpha(
        self,
        out: Array,
        x: Array,
        scale: float,
        shift: float,
        fill: float,
        bits: Array,
        lengths: tuple[int, ...],
        strides: tuple[int, ...],
        first: int,
    ) -> None: ...

    def zoneout(
        self, out: Array, previous: Array, new: Array, stream: Stream, first: int
    ) -> None: ...

    def alpha_dropout(
        self,
        out: Array,
        x: Array,
        scale: float,
        shift: float,
        fill: float,
        stream: Stream,
        first: int,
    ) -> None: ...

    def gaussian_noise(
        self, out: Array, x: Array, stddev: float, stream: Stream, first: int
    ) -> None: ...

    def gaussian_dropout(
        self, out: Array, x: Array, stddev: float, stream: Stream, first: int
    ) -> None: ...

    def activate(self, v: Array, activation: _check.Activation) -> None:
        """In place: v (n,) = activation(v), as `_check.activation` gives it."""

    def softmax(self, v: Array, logarithm: bool) -> None:
        """In place: each row of v (n, width), width > 0, or its logarithm."""

    def moments(self, total: Array, squares: Array, origin: Array, values: Array) -> None:
        """Add what values (samples, n) are off an origin (n,), and its squares, to sums (n,).

        Of one sample after another, in float64; origin and values are of one type.
        """

    def dense(self, out: Array, x: Array, kernel: Array, bias: Array | None) -> None:
        """Out (N, C) = bias + x (N, K) kernel (K, C).

        `out` and `kernel` may be the same columns of wider arrays; else all are contiguous.
        """

    def matmul(self, out: Array, a: Array, b: Array) -> None:
        """Out (n, N, C) = a (n, N, K) times b (n, K, C), each as `dense` without a bias."""

    def masks(self, out: Array, scale: float, stream: Stream, first: int) -> None:
        """Factors of dropout: zero where the event occurs, else `scale`.

        Row j of `out` (S, n) has those of the elements first, ..., first + n - 1 of the j-th stream
        after the given one, modulo 2**64.
        """

    def pack(
        self,
        cell: str,
        kernel: Array,
        recurrent_kernel: Array,
        bias: Array,
        reset_after: bool,
        activation: _check.Activation,
        recurrent_activation: _check.Activation,
        bfloat16: bool,
    ) -> Packed:
        """Weights as `project` and `rnn` take them; the arrays must stay as they are.

        With `bfloat16`, whose kernels are float32 rounded to it, so is what they are multiplied by.

        kernel (D, G * H), recurrent_kernel (H, G * H), bias (G * H,), or (2, 3 * H) for a "gru"
        with `reset_after`; G gates of H units, as many as the cell has.
        """

    def share(self, packed: Any, input_mask: Array | None, recurrent_mask: Array | None) -> Packed:
        """Packed weights together with masks (G or 1, width) that all rows share.

        To be used in place of `packed`, with None for the same masks.
        """

    def rows_together(self, packed: Any) -> int:
        """How many rows of a call are run side by side, before the next ones start."""

    def distinct(self, tokens: Array, vocabulary: int) -> tuple[Array, Array, Array]:
        """Tokens (rows, n) int64 below `vocabulary`, each of which counts once in a row.

        Returns the tokens there are, one row's after another's, their rows, and the place among
        them of each of `tokens`, all int64.
        """

    def project(
        self,
        out: Array,
        packed: Any,
        table: Array,
        index: Array | None,
        factors: Array | None,
        factor_rows: Array | None,
        input_mask: Array | None,
        mask_rows: Array | None,
    ) -> None:
        """The input part of pre-activations: out (M, packed.width) = bias + x W for x (M, D).

        Row r of x is row index[r] of table (V, D), or row r without an index; times row
        factor_rows[r] of factors (F, D), or the first without such rows. Of those factors, as of
        those of input_mask (R, G or 1, D), zero drops by selection; mask_rows (M,) says which of
        them a row of x has, None that all have the first. All rows are int64.
        """

    def rnn(self, call: RnnCall) -> None: ...

    def team(self, call: RnnCall, threads: int) -> Team | None:
        """What several threads do together in place of `rnn`; None where one is to do it alone."""

    @property
    def plain_rnn(self) -> Callable[..., Array | tuple[Any, ...] | None] | None:
        """Do `fastdrop.rnn` of one layer, or nothing and return None; None if all go by `rnn`.

        Arguments: x (N, T, D), not empty, of the dtype of the weights; the packed weights; options,
        by name, not checked; names and defaults of those that must be at their default; the key, or
        None; the last site there is; and whether masks are to be left to `share`.
        """

    def hold(self, call: RnnCall) -> Held:
        """Keep a call of one step, whose masks are not looked at again, with its state."""


def _usable() -> list[Backend]:
    """Return what this machine can run of the extension; none without it.

    An extension that is there but does not load is an error, not a reason to be slow.
    """
    if importlib.util.find_spec("fastdrop._native") is None:
        return []
    from fastdrop import _native

    _threads.keep_apart = _native.keep_apart
    return [backend for backend, here in _native.tiers(*_native.this_cpu()) if here]


def _native_tiers() -> list[Backend]:
    """Return the C tiers this machine can run, strongest first, each with all it has here."""
    usable = _usable()
    names = [backend.tier for backend in usable]
    return [b for i, b in enumerate(usable) if b.tier not in names[:i]]


def _choose(native: Sequence[Backend], environ: dict[str, str]) -> tuple[Backend, str]:
    """Return the backend to use and the reason, honouring the two switches or refusing them."""
    wanted = _environment.read("FASTDROP_BACKEND", environ)
    isa = _environment.read("FASTDROP_ISA", environ)
    tiers = {backend.tier: backend for backend in native}
    possible = ["native", "numpy"] if native else ["numpy"]
    if wanted is not None and wanted not in possible:
        _environment.refuse(
            f"FASTDROP_BACKEND: expected {_check.words(possible)} here, got {wanted!r}"
        )
    if isa is not None:
        if wanted == "numpy" or not native:
            _environment.refuse(f"FASTDROP_ISA={isa}: the NumPy backend has no tiers; unset it")
        if isa not in tiers:
            expected = _check.words([*tiers])
            _environment.refuse(f"FASTDROP_ISA: expected {expected} here, got {isa!r}")
        return tiers[isa], f"FASTDROP_ISA={isa}"
    if wanted == "numpy":
        return Numpy(), "FASTDROP_BACKEND=numpy"
    if not native:
        return Numpy(), "the C extension is not installed"
    return native[0], "the strongest tier that this CPU supports"


available: tuple[Backend, ...] = (*_native_tiers(), Numpy())
active, reason = _choose(available[:-1], dict(os.environ))


@dataclass(frozen=True, slots=True)
class Info:
    """What runs, and why.

    Attributes
    ----------
    version : str
        fastdrop's version.
    backend : str
        "native" or "numpy".
    tier : str
        The instruction-set tier, or "numpy".
    reason : str
        Why that one was chosen.
    tiers : tuple of str
        What could run here, strongest first.
    bfloat16 : str
        What multiplies with ``precision="bfloat16"``: "vdpbf16ps" or "bfdot", instructions for it,
        or "float32", whose instructions multiply what has been rounded.
    threads : int
        How many threads ``threads=None`` means.
    threads_reason : str
        Where that number comes from.
    """

    version: str
    backend: str
    tier: str
    reason: str
    tiers: tuple[str, ...]
    bfloat16: str
    threads: int
    threads_reason: str


def info() -> Info:
    """Say which backend and tier run, why, and how many threads are used.

    Returns
    -------
    Info

    Examples
    --------
    >>> import fastdrop as fd
    >>> fd.info().backend in ("native", "numpy")
    True
    """
    return Info(
        version=__version__,
        backend=active.name,
        tier=active.tier,
        reason=reason,
        tiers=tuple(backend.tier for backend in available),
        bfloat16=active.bfloat16,
        threads=_threads.DEFAULT,
        threads_reason=_threads.DEFAULT_REASON,
    )
