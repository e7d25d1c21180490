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
# Leaf 7's subleaf 1, EAX; and Linux's HWCAP2 of AArch64.
AVX512_BF16, HWCAP2_BF16 = 1 << 5, 1 << 14
BUILT = list(dict.fromkeys(backend.tier for backend, _ in native.tiers(0, 0, 0, 0, 0)))
# These ask nothing of a CPU beyond what every one of its architecture has.
BASELINE = ("neon", "portable")


def usable(leaf1_ecx: int, leaf7_ebx: int, xcr0: int) -> set[str]:
    found = native.tiers(leaf1_ecx, leaf7_ebx, 0, xcr0, 0)
    return {b.tier for b, possible in found if possible}


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


# Its flag, and all that AVX-512 needs.
NEEDED = (FMA | POPCNT | F16C, AVX2 | AVX512, AVX512_BF16, ALL, 0)


@pytest.mark.parametrize(
    ("cpu", "instructions"),
    [
        (NEEDED, {"vdpbf16ps"}),
        ((EVERY, EVERY, EVERY & ~AVX512_BF16, ALL, 0), set()),
        ((EVERY, EVERY, EVERY, SSE_AVX, 0), set()),
        ((EVERY, EVERY, EVERY, 0x27, 0), set()),
        *(((EVERY, EVERY & ~flag, EVERY, ALL, 0), set()) for flag in (F, DQ, BW, VL)),
        ((EVERY & ~FMA, EVERY, EVERY, ALL, 0), set()),
        ((0, 0, 0, 0, HWCAP2_BF16), {"bfdot"}),
        ((0, 0, 0, 0, ~HWCAP2_BF16 & 0xFFFFFFFFFFFFFFFF), set()),
    ],
)
def test_instructions_for_bfloat16(cpu: tuple[int, ...], instructions: set[str]) -> None:
    """Each by its own flag; and a tier that has one also runs on CPUs that do not."""
    built = {b.bfloat16 for b, _ in native.tiers(0, 0, 0, 0, 0)}
    found = [b for b, possible in native.tiers(*cpu) if possible]
    assert {b.bfloat16 for b in found} - {"float32"} == instructions & built
    for b in found:
        plain = [other for other in found if other.tier == b.tier][-1]
        assert plain.bfloat16 == "float32"


XSAVE, OSXSAVE = 1 << 26, 1 << 27
REST = 0xDEAD0000


@pytest.mark.parametrize("highest", [1, 6, 7, 8, 0x20])
@pytest.mark.parametrize("saves", [0, XSAVE, OSXSAVE, XSAVE | OSXSAVE, EVERY, EVERY & ~OSXSAVE])
def test_what_is_read_of_a_cpu(highest: int, saves: int) -> None:
    """Leaf 7 where there is one, and XCR0 where the system lets it be read, not where it could."""
    leaves = {
        (0, 0): (highest, REST, REST, REST),
        (1, 0): (REST, REST, saves, REST),
        # A CPU answers for a leaf it does not have with what is in another.
        (7, 0): (1, AVX2 | AVX512, REST, REST),
        (7, 1): (AVX512_BF16, REST, REST, REST),
    }
    ebx, eax = (AVX2 | AVX512, AVX512_BF16) if highest >= 7 else (0, 0)
    xcr0 = ALL if saves & OSXSAVE else 0
    assert native.cpu_of(leaves, ALL) == (saves, ebx, eax, xcr0, 0)


@pytest.mark.parametrize(("last", "eax"), [(0, 0), (1, AVX512_BF16), (2, AVX512_BF16)])
def test_a_subleaf_is_read_where_there_is_one(last: int, eax: int) -> None:
    leaves = {
        (0, 0): (7, REST, REST, REST),
        (1, 0): (REST, REST, 0, REST),
        (7, 0): (last, AVX2, REST, REST),
        (7, 1): (AVX512_BF16, REST, REST, REST),
    }
    assert native.cpu_of(leaves, ALL) == (0, AVX2, eax, 0, 0)


def test_this_machine_runs_the_strongest_it_can() -> None:
    possible = [b for b, possible in native.tiers(*native.this_cpu()) if possible]
    here = list(dict.fromkeys(b.tier for b in possible))
    # Of those of one name the first, which has more instructions.
    instructions = {b.tier: b.bfloat16 for b in reversed(possible)}
    assert {name: b.bfloat16 for name, b in BACKENDS.items() if name != "numpy"} == instructions
    assert fd.info().bfloat16 == _backend.active.bfloat16
    assert [tier for tier in BACKENDS if tier != "numpy"] == here
    assert BUILT[-1] == "portable"
    assert [tier for tier in BUILT if tier in here] == here
    assert fd.info().tiers == (*here, "numpy")


def test_the_choice_without_switches() -> None:
    tiers = _backend._native_tiers()
    chosen, why = _backend._choose(tiers, {})
    assert chosen is tiers[0]
    assert why
    assert _backend._choose(tiers, {"FASTDROP_ISA": "", "FASTDROP_BACKEND": ""}) == (chosen, why)
    weak, _ = _backend._choose(tiers, {"FASTDROP_ISA": "portable"})
    assert weak.tier == "portable"


@pytest.mark.parametrize("isa", ["sse9", "numpy", "Portable"])
def test_a_tier_that_is_not_there(isa: str) -> None:
    tiers = _backend._native_tiers()
    expected = f"^FASTDROP_ISA: expected .*'portable' here, got '{isa}'"
    with pytest.raises(ImportError, match=expected):
        _backend._choose(tiers, {"FASTDROP_ISA": isa})
    with pytest.raises(ImportError, match=f"^FASTDROP_ISA={isa}: the NumPy backend has no tiers"):
        _backend._choose([], {"FASTDROP_ISA": isa})
