from typing import TypeAlias

from fastdrop._backend import Backend

_Cpu: TypeAlias = tuple[int, int, int, int, int]

def this_cpu() -> _Cpu: ...
def cpu_of(leaves: dict[tuple[int, int], tuple[int, int, int, int]], xcr0: int) -> _Cpu: ...
def tiers(
    leaf1_ecx: int, leaf7_ebx: int, leaf7_1_eax: int, xcr0: int, hwcap2: int
) -> list[tuple[Backend, bool]]: ...
