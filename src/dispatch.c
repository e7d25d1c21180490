/* The list of tiers, and what this machine can run of it. */
#include "kernels.h"

#if defined(__x86_64__) || defined(_M_X64)
#if defined(_MSC_VER)
#include <immintrin.h>
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

static const fd_kernels *const tiers[] = {
#define FD_ENTRY(tier) &fd_kernels_##tier,
    FD_TIERS(FD_ENTRY)
#undef FD_ENTRY
};

const fd_kernels *fd_tier(size_t i) { return i < sizeof tiers / sizeof *tiers ? tiers[i] : NULL; }

const char *fd_tier_name(const fd_kernels *tier) { return tier->name; }

const char *fd_tier_bfloat16(const fd_kernels *tier) { return tier->bfloat16.instruction; }

int fd_tier_usable_on(const fd_kernels *tier, const fd_cpu *cpu) { return tier->usable(cpu); }

fd_cpu fd_cpu_of(const fd_machine *machine) {
    fd_cpu cpu = {0};
    uint32_t leaf[4];
    machine->cpuid(machine->context, leaf, 0, 0);
    const uint32_t highest = leaf[0];
    machine->cpuid(machine->context, leaf, 1, 0);
    cpu.leaf1_ecx = leaf[2];
    if (highest >= 7) {
        machine->cpuid(machine->context, leaf, 7, 0);
        const uint32_t last = leaf[0];
        cpu.leaf7_ebx = leaf[1];
        if (last >= 1) {
            machine->cpuid(machine->context, leaf, 7, 1);
            cpu.leaf7_1_eax = leaf[0];
        }
    }
    if (cpu.leaf1_ecx & 1u << 27) /* OSXSAVE: XCR0 may be read */
        cpu.xcr0 = machine->xgetbv(machine->context);
    return cpu;
}

#if defined(__x86_64__) || defined(_M_X64)
static void cpuid(void *context, uint32_t out[4], uint32_t leaf, uint32_t subleaf) {
    (void)context;
#if defined(_MSC_VER)
    int registers[4];
    __cpuidex(registers, (int)leaf, (int)subleaf);
    for (int i = 0; i < 4; i++)
        out[i] = (uint32_t)registers[i];
#else
    __cpuid_count(leaf, subleaf, out[0], out[1], out[2], out[3]);
#endif
}

static uint64_t xgetbv(void *context) {
    (void)context;
#if defined(_MSC_VER)
    return _xgetbv(0);
#else
    uint32_t low, high; /* the intrinsic would need a compiler flag */
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
#endif
}
#endif

fd_cpu fd_this_cpu(void) {
#if defined(__x86_64__) || defined(_M_X64)
    const fd_machine machine = {cpuid, xgetbv, NULL};
    return fd_cpu_of(&machine);
#else
    fd_cpu cpu = {0};
#if defined(__aarch64__) && defined(__linux__)
    cpu.hwcap2 = getauxval(AT_HWCAP2);
#elif defined(__aarch64__) && defined(__APPLE__)
    int there = 0;
    size_t size = sizeof there;
    if (sysctlbyname("hw.optional.arm.FEAT_BF16", &there, &size, NULL, 0) == 0 && there)
        cpu.hwcap2 |= FD_HWCAP2_BF16;
#endif
    return cpu;
#endif
}
