/* The floating-point mode of a call. Some libraries switch on the flushing of denormal
 * numbers for a whole thread when they are loaded, and a caller may have set another
 * rounding; what is computed here must not depend on either. */
#ifndef FASTDROP_FLOAT_MODE_H
#define FASTDROP_FLOAT_MODE_H

#include <stdint.h>

#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>
#endif

/* Rounds to nearest until fd_leave_mode is given what this returns; denormals are kept, or taken
 * for zero where they come in and where they come out. */
static inline uint64_t fd_enter(int flush) {
#if defined(__x86_64__) || defined(_M_X64)
    const uint64_t mode = _mm_getcsr();
    _mm_setcsr(flush ? 0x9fc0 : 0x1f80); /* the second is how a process starts */
    return mode;
#elif defined(__aarch64__) && defined(__GNUC__)
    const uint64_t wanted = flush ? (uint64_t)1 << 24 : 0;
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    __asm__ volatile("msr fpcr, %0" : : "r"(wanted) : "memory");
    return mode;
#else
    (void)flush;
    return 0; /* the mode is left as it is */
#endif
}

static inline uint64_t fd_enter_mode(void) { return fd_enter(0); }
/* For sums, where a denormal number means nothing and takes a hundred times as long. */
static inline uint64_t fd_enter_flush_to_zero(void) { return fd_enter(1); }

static inline void fd_leave_mode(uint64_t mode) {
#if defined(__x86_64__) || defined(_M_X64)
    _mm_setcsr((unsigned)mode);
#elif defined(__aarch64__) && defined(__GNUC__)
    __asm__ volatile("msr fpcr, %0" : : "r"(mode) : "memory");
#else
    (void)mode;
#endif
}

#endif
