"""Which tier runs: decided by what a CPU and its operating system say, whatever this one is."""

import pytest

import fastdrop as fd
from conftest import BACKENDS
from fastdrop import _backend

native = pytest.importorskip("fastdrop._native", reason="the extension is not installed")

# CPUID leaf 1, ECX; leaf 7, EBX; and XCR0: the registers that the system saves.
FMA, POPCNT, F16C = 1 << 12, 1 << 23, 1 << 29
AVX2, F, DQ, BW, VL = (1 << bit for bit in (5, 16, 17, 30, 31))
AVX512 = F | DQ | BW | VL
SSE_AVX, ALL = 0x7, 0xE7
EVERY = 0xFFFFFFFF
BUILT = [backend.tier for backend, _ in native.tiers(0, 0, 0)]
# These ask nothing of a CPU beyond what every one of its architecture has.
BASELINE = ("neon", "portable")


def usable(leaf1_ecx: int, leaf7_ebx: int, xcr0: int) -> set[str]:
    return {b.tier for b, possible in native.tiers(leaf1_ecx, leaf7_ebx, xcr0) if possible}


def expected(*tiers: str) -> set[str]:
    return {tier for tier in (*tiers, *BASELINE) if tier in BUILT}


@pytest.mark.parametrize(
    ("leaf1_ecx", "leaf7_ebx", "xcr0", "tiers"),
    [
        (0, 0, 0, ()),
        (EVERY, 0, 0, ()),
        (EVERY, 0, ALL, ()),
        (FMA | POPCNT | F16C, AVX2, SSE_AVX, ("avx2",)),
        (POPCNT | F16C, AVX2, SSE_AVX, ()),
        (FMA | F16C, AVX2, SSE_AVX, ()),
        (FMA | POPCNT, AVX2, SSE_AVX, ()),
        (EVERY, AVX2, 0x3, ()),  # the system does not save the upper halves
        (EVERY, AVX2, 0, ()),
        (FMA | POPCNT | F16C, AVX2 | AVX512, ALL, ("avx2", "avx512")),
        (POPCNT | F16C, AVX2 | AVX512, ALL, ()),
        (FMA | POPCNT, AVX2 | AVX512, ALL, ()),
        (FMA | F16C, AVX2 | AVX512, ALL, ()),
        (EVERY, AVX512, ALL, ()),
        (EVERY, AVX2 | AVX512, SSE_AVX, ("avx2",)),  # nor the mask registers
        (EVERY, AVX2 | AVX512, 0x27, ("avx2",)),
        (EVERY, AVX2 | AVX512, 0x67, ("avx2",)),
        (EVERY, AVX2 | AVX512, 0xC7, ("avx2",)),
        *((EVERY, AVX2 | AVX512 & ~flag, ALL, ("avx2",)) for flag in (F, DQ, BW, VL)),
        (EVERY, EVERY, ALL, ("avx2", "avx512")),
    ],
)
def test_a_tier_needs_every_flag_and_register(
    leaf1_ecx: int, leaf7_ebx: int, xcr0: int, tiers: tuple[str, ...]
) -> None:
    assert usable(leaf1_ecx, leaf7_ebx, xcr0) == expected(*tiers)


XSAVE, OSXSAVE = 1 << 26, 1 << 27
REST = 0xDEAD0000


@pytest.mark.parametrize("highest", [1, 6, 7, 8, 0x20])
@pytest.mark.parametrize("saves", [0, XSAVE, OSXSAVE, XSAVE | OSXSAVE, EVERY, EVERY & ~OSXSAVE])
def test_what_is_read_of_a_cpu(highest: int, saves: int) -> None:
    """Leaf 7 where there is one, and XCR0 where the system lets it be read, not where it could."""
    leaves = {
        0: (highest, REST, REST, REST),
        1: (REST, REST, saves, REST),
        # A CPU answers for a leaf it does not have with what is in another.
        7: (REST, AVX2 | AVX512, REST, REST),
    }
    ebx = AVX2 | AVX512 if highest >= 7 else 0
    xcr0 = ALL if saves & OSXSAVE else 0
    assert native.cpu_of(leaves, ALL) == (saves, ebx, xcr0)


def test_this_machine_runs_the_strongest_it_can() -> None:
    here = [b.tier for b, possible in native.tiers(*native.this_cpu()) if possible]
    assert [tier for tier in BACKENDS if tier != "numpy"] == here
    assert BUILT[-1] == "portable"
    assert [tier for tier in BUILT if tier in here] == here
    assert fd.info().tiers == (*here, "numpy")


def test_the_choice_without_switches() -> None:
    tiers = _backend._native_tiers()
    chosen, why = _backend._choose(tiers, {})
    assert chosen is tiers[0]
    assert why
    weak, _ = _backend._choose(tiers, {"FASTDROP_ISA": "portable"})
    assert weak.tier == "portable"


@pytest.mark.parametrize("isa", ["", "sse9", "numpy", "Portable"])
def test_a_tier_that_is_not_there(isa: str) -> None:
    tiers = _backend._native_tiers()
    expected = f"^FASTDROP_ISA: expected .*'portable' here, got '{isa}'"
    with pytest.raises(ImportError, match=expected):
        _backend._choose(tiers, {"FASTDROP_ISA": isa})
    with pytest.raises(ImportError, match=f"^FASTDROP_ISA={isa}: the NumPy backend has no tiers"):
        _backend._choose([], {"FASTDROP_ISA": isa})
