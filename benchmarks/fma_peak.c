/* What a core reaches with multiply-adds alone: chains enough to hide their latency, nothing
 * loaded or stored. Compiled by the benchmark that calls it. */
#include <stddef.h>

#define CHAINS 12
#define PEAK(NAME, TARGET, BYTES)                                                                \
    typedef float NAME##_vec __attribute__((vector_size(BYTES)));                                \
    __attribute__((target(TARGET))) float NAME(size_t rounds, float x) {                         \
        NAME##_vec sum[CHAINS], factor = {0}, more = {0};                                        \
        factor += x;                                                                             \
        more += 1 - x;                                                                           \
        for (int i = 0; i < CHAINS; i++)                                                         \
            sum[i] = more + (float)i;                                                            \
        for (size_t n = 0; n < rounds; n++)                                                      \
            _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) sum[i] =                   \
                sum[i] * factor + more;                                                          \
        for (int i = 1; i < CHAINS; i++)                                                         \
            sum[0] += sum[i];                                                                    \
        return sum[0][0];                                                                        \
    }

#if defined(__x86_64__)
PEAK(avx512, "avx512f", 64)
PEAK(avx2, "avx2,fma", 32)
#elif defined(__aarch64__)
PEAK(neon, "+simd", 16)
#endif
