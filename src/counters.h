/* Counters that threads share, and waiting for one of them to change. */
#ifndef FASTDROP_COUNTERS_H
#define FASTDROP_COUNTERS_H

#include <stddef.h>
#include <stdint.h>

#if defined(_MSC_VER)
#include <intrin.h>
#elif defined(__x86_64__)
#include <x86intrin.h>
#endif
#if defined(_MSC_VER) && !defined(__clang__)
typedef volatile __int64 fd_counter;

/* What was written before a counter was set is seen by who reads that. */
static inline size_t fd_count(fd_counter *counter) {
    return (size_t)_InterlockedCompareExchange64(counter, 0, 0);
}
static inline void fd_set_count(fd_counter *counter, size_t to) {
    _InterlockedExchange64(counter, (__int64)to);
}
/* Adds 1 to what is `from`: whether it was. */
static inline int fd_count_on(fd_counter *counter, size_t from) {
    const __int64 was = (__int64)from;
    return _InterlockedCompareExchange64(counter, was + 1, was) == was;
}
#else
#include <stdatomic.h>
typedef _Atomic size_t fd_counter;

/* What was written before a counter was set is seen by who reads that. */
static inline size_t fd_count(fd_counter *counter) {
    return atomic_load_explicit(counter, memory_order_acquire);
}
static inline void fd_set_count(fd_counter *counter, size_t to) {
    atomic_store_explicit(counter, to, memory_order_release);
}
/* Adds 1 to what is `from`: whether it was. */
static inline int fd_count_on(fd_counter *counter, size_t from) {
    return atomic_compare_exchange_strong_explicit(counter, &from, from + 1, memory_order_acq_rel,
                                                   memory_order_relaxed);
}
#endif

#if defined(_WIN32)
__declspec(dllimport) int __stdcall SwitchToThread(void); /* without the rest of windows.h */
static inline void fd_let_others_run(void) { SwitchToThread(); }
#else
#include <sched.h>
static inline void fd_let_others_run(void) { sched_yield(); }
#endif

/* Moments after which a thread that waits leaves its CPU, should another one need it. */
#define FD_IMPATIENT 512

/* A moment of waiting, the n-th one after another. */
static inline void fd_wait_a_moment(size_t n) {
    if (n % FD_IMPATIENT == FD_IMPATIENT - 1)
        fd_let_others_run();
#if defined(__x86_64__) || defined(_M_X64)
    _mm_pause();
#elif defined(__aarch64__) && defined(__GNUC__)
    __asm__ volatile("yield");
#endif
}

/* A clock that takes some nanoseconds to read, and about how many of its ticks are a millisecond.
 * Where none is known it stands still. */
static inline uint64_t fd_ticks(void) {
#if defined(__x86_64__) || defined(_M_X64)
    return __rdtsc();
#elif defined(__aarch64__) && defined(__GNUC__)
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
    return 0;
#endif
}

static inline uint64_t fd_ticks_in_a_millisecond(void) {
#if defined(__aarch64__) && defined(__GNUC__)
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntfrq_el0" : "=r"(ticks));
    return ticks / 1000;
#else
    return 3000000;
#endif
}

#endif
