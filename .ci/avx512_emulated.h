/* The intrinsics of AVX-512 that src/avx512.c uses, on a CPU with AVX2: by SIMDe (Debian's
 * libsimde-dev), and here what its version 0.7.4 lacks, or rounds twice. For tests alone; GNU C. */
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#undef __AVX512F__
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

#define __mmask8 uint8_t
#define __mmask16 uint16_t

/* A vector of 64 bytes as an array, and back. */
#define EMULATED_FROM(TYPE, NAME, VECTOR)                                                        \
    TYPE NAME[64 / sizeof(TYPE)];                                                                \
    memcpy(NAME, &(VECTOR), 64)
#define EMULATED_RETURN(VECTOR, NAME)                                                            \
    VECTOR emulated_result;                                                                      \
    memcpy(&emulated_result, NAME, sizeof emulated_result);                                      \
    return emulated_result

/* ---- loads and stores: what a mask leaves out is not touched ---- */

static inline __m512i emulated_maskz_loadu_epi64(__mmask8 mask, const void *from) {
    uint64_t v[8] = {0};
    for (int i = 0; i < 8; i++)
        if (mask >> i & 1)
            memcpy(v + i, (const char *)from + 8 * i, 8);
    EMULATED_RETURN(__m512i, v);
}

static inline __m512 emulated_maskz_loadu_ps(__mmask16 mask, const void *from) {
    float v[16] = {0};
    for (int i = 0; i < 16; i++)
        if (mask >> i & 1)
            memcpy(v + i, (const char *)from + 4 * i, 4);
    EMULATED_RETURN(__m512, v);
}

static inline void emulated_mask_storeu_epi32(void *to, __mmask16 mask, __m512i a) {
    EMULATED_FROM(uint32_t, v, a);
    for (int i = 0; i < 16; i++)
        if (mask >> i & 1)
            memcpy((char *)to + 4 * i, v + i, 4);
}

static inline void emulated_stream(void *to, __m512i a) { memcpy(to, &a, 64); }

#define _mm512_maskz_loadu_epi64 emulated_maskz_loadu_epi64
#define _mm512_maskz_loadu_ps emulated_maskz_loadu_ps
#define _mm512_mask_storeu_epi32 emulated_mask_storeu_epi32
#define _mm512_stream_si512 emulated_stream

/* ---- numbers ---- */

static inline __m256i emulated_cvtepi32_epi16(__m512i a) {
    EMULATED_FROM(int32_t, v, a);
    int16_t low[16];
    for (int i = 0; i < 16; i++)
        low[i] = (int16_t)v[i];
    EMULATED_RETURN(__m256i, low);
}

static inline __m512i emulated_cvtepu16_epi32(__m256i a) {
    uint16_t v[16];
    uint32_t wide[16];
    memcpy(v, &a, sizeof v);
    for (int i = 0; i < 16; i++)
        wide[i] = v[i];
    EMULATED_RETURN(__m512i, wide);
}

static inline __m512 emulated_cvtph_ps(__m256i a) {
    const __m256 halves[2] = {_mm256_cvtph_ps(_mm256_castsi256_si128(a)),
                              _mm256_cvtph_ps(_mm256_extracti128_si256(a, 1))};
    EMULATED_RETURN(__m512, halves);
}

#undef _mm512_cvtps_ph
#define _mm512_cvtps_ph(a, rounding)                                                             \
    ({                                                                                           \
        const __m512 emulated_a = (a);                                                           \
        __m256 emulated_halves[2];                                                               \
        memcpy(emulated_halves, &emulated_a, sizeof emulated_a);                                 \
        _mm256_set_m128i(_mm256_cvtps_ph(emulated_halves[1], rounding),                          \
                         _mm256_cvtps_ph(emulated_halves[0], rounding));                         \
    })

static inline __m512 emulated_scalef_ps(__m512 a, __m512 n) {
    EMULATED_FROM(float, v, a);
    EMULATED_FROM(float, by, n);
    for (int i = 0; i < 16; i++)
        v[i] = (float)ldexp(v[i], (int)floorf(by[i]));
    EMULATED_RETURN(__m512, v);
}

static inline __m512d emulated_scalef_pd(__m512d a, __m512d n) {
    EMULATED_FROM(double, v, a);
    EMULATED_FROM(double, by, n);
    for (int i = 0; i < 8; i++)
        v[i] = ldexp(v[i], (int)floor(by[i]));
    EMULATED_RETURN(__m512d, v);
}

#define _mm512_cvtepi32_epi16 emulated_cvtepi32_epi16
#define _mm512_cvtepu16_epi32 emulated_cvtepu16_epi32
#define _mm512_cvtph_ps emulated_cvtph_ps
#undef _mm512_scalef_ps
#undef _mm512_scalef_pd
#define _mm512_scalef_ps emulated_scalef_ps
#define _mm512_scalef_pd emulated_scalef_pd

/* ---- bfloat16, as Intel's manual describes the instructions ---- */

#define __m512bh __m512i

static inline uint16_t emulated_bfloat16(float number) {
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000) /* NaN */
        return (uint16_t)(bits >> 16 | 0x40);
    if ((bits & 0x7f800000) == 0) /* zero, and what is taken for it */
        return (uint16_t)(bits >> 16 & 0x8000);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline __m512i emulated_cvtne2ps_pbh(__m512 high, __m512 low) {
    EMULATED_FROM(float, upper, high);
    EMULATED_FROM(float, lower, low);
    uint16_t v[32];
    for (int i = 0; i < 16; i++) {
        v[i] = emulated_bfloat16(lower[i]);
        v[16 + i] = emulated_bfloat16(upper[i]);
    }
    EMULATED_RETURN(__m512i, v);
}

static inline float emulated_half(uint32_t bits) {
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

static inline __m512 emulated_dpbf16_ps(__m512 sum, __m512i a, __m512i b) {
    EMULATED_FROM(float, v, sum);
    EMULATED_FROM(uint32_t, x, a);
    EMULATED_FROM(uint32_t, y, b);
    for (int i = 0; i < 16; i++) {
        const uint32_t upper = 0xffff0000;
        v[i] += emulated_half(x[i] & upper) * emulated_half(y[i] & upper);
        v[i] += emulated_half(x[i] << 16) * emulated_half(y[i] << 16);
    }
    EMULATED_RETURN(__m512, v);
}

#define _mm512_cvtne2ps_pbh emulated_cvtne2ps_pbh
#define _mm512_dpbf16_ps emulated_dpbf16_ps
