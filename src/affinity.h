/* On which CPU a thread begins. Linux may queue one that was just made, or just woken, behind the
 * thread that did so, though other CPUs are idle, and see milliseconds later that it can move it:
 * what was given to two threads is done by then, one after the other. Elsewhere nothing is done.
 */
#ifndef FASTDROP_AFFINITY_H
#define FASTDROP_AFFINITY_H

#ifdef __linux__
#include <pthread.h> /* of these names only with _GNU_SOURCE, which Python.h defines */
#include <sched.h>

/* Lets a thread run on the CPUs that this one may use, but for the one that this one is on. */
static inline void fd_keep_apart(unsigned long thread) {
    cpu_set_t own, others;
    const int here = sched_getcpu();
    if (here < 0 || pthread_getaffinity_np(pthread_self(), sizeof own, &own))
        return;
    others = own;
    CPU_CLR(here, &others);
    if (!CPU_COUNT(&others))
        return;
    pthread_setaffinity_np((pthread_t)thread, sizeof others, &others);
    /* A thread that has died of want of memory is taken for this one. */
    pthread_setaffinity_np(pthread_self(), sizeof own, &own);
}
#else
static inline void fd_keep_apart(unsigned long thread) { (void)thread; }
#endif

#endif
