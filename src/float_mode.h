/* The floating-point mode of a call. Some libraries switch on the flushing of denormal
 * numbers for a whole thread when they are loaded, and a caller may have set another
 * rounding; what is computed here must not depend on either. */
#ifndef FASTDROP_FLOAT_MODE_H
#define FASTDROP_FLOAT_MODE_H

#include <stdint.h>

#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>
#endif

/* Rounds to nearest and keeps denormals until fd_leave_mode is given what this returns. */
static inline uint64_t fd_enter_mode(void) {
#if defined(__x86_64__) || defined(_M_X64)
    const uint64_t mode = _mm_getcsr();
    _mm_setcsr(0x1f80); /* as a process starts */
    return mode;
#elif defined(__aarch64__) && defined(__GNUC__)
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0) : "memory");
    return mode;
#else
    return 0; /* the mode is left as it is */
#endif
}

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
