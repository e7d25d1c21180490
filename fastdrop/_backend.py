"""Which implementation runs: native or NumPy, chosen once at import, and saying why.

An implementation is one small object; public functions call the one named `active`.
"""

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from fastdrop import _check, _threads
from fastdrop._fallback import Numpy
from fastdrop._version import __version__

Array = NDArray[Any]


class Backend(Protocol):
    """What an implementation offers. Arrays arrive checked, C-contiguous and aligned.

    Those of masks and dropout are flat and not empty; an output may be the input itself, but not
    overlap it otherwise. bfloat16 arrives as the uint16 of its bits, which NumPy can hand over.
    """

    @property
    def name(self) -> str: ...
    @property
    def tier(self) -> str: ...

    def philox(self, counter: Sequence[int], k0: int, k1: int) -> tuple[int, int, int, int]: ...

    def bernoulli_packed(
        self, out: Array, n: int, k0: int, k1: int, stream: int, first: int, threshold: int
    ) -> None: ...

    def bernoulli(
        self, out: Array, k0: int, k1: int, stream: int, first: int, threshold: int
    ) -> None: ...

    def dropout(
        self,
        out: Array,
        x: Array,
        scale: float,
        k0: int,
        k1: int,
        stream: int,
        first: int,
        threshold: int,
    ) -> None: ...

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
        self,
        out: Array,
        previous: Array,
        new: Array,
        k0: int,
        k1: int,
        stream: int,
        first: int,
        threshold: int,
    ) -> None: ...

    def alpha_dropout(
        self,
        out: Array,
        x: Array,
        scale: float,
        shift: float,
        fill: float,
        k0: int,
        k1: int,
        stream: int,
        first: int,
        threshold: int,
    ) -> None: ...

    def gaussian_noise(
        self, out: Array, x: Array, stddev: float, k0: int, k1: int, stream: int, first: int
    ) -> None: ...

    def gaussian_dropout(
        self, out: Array, x: Array, stddev: float, k0: int, k1: int, stream: int, first: int
    ) -> None: ...

    def activate(self, v: Array, activation: str) -> None: ...

    def dense(self, out: Array, x: Array, kernel: Array, bias: Array | None) -> None: ...

    def lstm(
        self,
        y_last: Array,
        h: Array,
        c: Array,
        y: Array | None,
        x: Array,
        kernel: Array,
        recurrent_kernel: Array,
        bias: Array | None,
        input_mask: Array | None,
        recurrent_mask: Array | None,
        step_mask: Array | None,
        first: int,
        last: int,
        activation: str,
        recurrent_activation: str,
        backwards: bool,
        zero_masked_steps: bool,
    ) -> None: ...


def _native_tiers() -> list[Backend]:
    """Return the C tiers this machine can run, strongest first; none without the extension.

    An extension that is there but does not load is an error, not a reason to be slow.
    """
    if importlib.util.find_spec("fastdrop._native") is None:
        return []
    from fastdrop import _native

    return [backend for backend, usable in _native.tiers(*_native.this_cpu()) if usable]


def _choose(native: Sequence[Backend], environ: dict[str, str]) -> tuple[Backend, str]:
    """Return the backend to use and the reason, honouring the two switches or refusing them."""
    wanted = environ.get("FASTDROP_BACKEND")
    isa = environ.get("FASTDROP_ISA")
    tiers = {backend.tier: backend for backend in native}
    possible = ["native", "numpy"] if native else ["numpy"]
    if wanted is not None and wanted not in possible:
        raise ImportError(
            f"FASTDROP_BACKEND: expected {_check.words(possible)} here, got {wanted!r}"
        )
    if isa is not None:
        if wanted == "numpy" or not native:
            raise ImportError(f"FASTDROP_ISA={isa}: the NumPy backend has no tiers; unset it")
        if isa not in tiers:
            raise ImportError(f"FASTDROP_ISA: expected {_check.words([*tiers])} here, got {isa!r}")
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
        threads=_threads.DEFAULT,
        threads_reason=_threads.DEFAULT_REASON,
    )
