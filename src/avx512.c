/* The AVX-512 tier (F, DQ, BW, VL, with POPCNT, and with AVX2, FMA and F16C, which compilers take
 * for part of F): masks and dropout. Full vectors only; what is left over goes to the portable
 * kernels, by the bit. */
#include "kernels.h"

#if defined(__x86_64__) || defined(_M_X64)

#include "philox.h"

#include <math.h>
#include <string.h>

static int usable(const fd_cpu *cpu) {
    const uint32_t fma_popcnt_f16c = 1u << 12 | 1u << 23 | 1u << 29;
    const uint32_t flags = 1u << 5 | 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
    const uint64_t saved = 0xe6; /* SSE, AVX, masks, both halves of the vectors */
    return (cpu->leaf1_ecx & fma_popcnt_f16c) == fma_popcnt_f16c &&
           (cpu->leaf7_ebx & flags) == flags && (cpu->xcr0 & saved) == saved;
}

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,popcnt"))), \
                             apply_to = function)
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,popcnt")
#endif
#include <immintrin.h>

/* ---- masks ---- */

typedef __m512i vec;
#define LANES 8
#define GROUPS 4

static inline vec v_all(uint64_t a) { return _mm512_set1_epi64((int64_t)a); }
static inline vec v_count_from(uint64_t a) {
    return _mm512_add_epi64(v_all(a), _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline vec v_add(vec a, vec b) { return _mm512_add_epi64(a, b); }
static inline vec v_and(vec a, vec b) { return _mm512_and_si512(a, b); }
static inline vec v_or(vec a, vec b) { return _mm512_or_si512(a, b); }
static inline vec v_xor(vec a, vec b) { return _mm512_xor_si512(a, b); }
static inline vec v_xor3(vec a, vec b, vec c) { return _mm512_ternarylogic_epi64(a, b, c, 0x96); }
static inline vec v_without(vec a, vec b) { return _mm512_andnot_si512(b, a); }
static inline vec v_multiply_low(vec a, vec b) { return _mm512_mul_epu32(a, b); }
static inline vec v_high(vec a) { return _mm512_srli_epi64(a, 32); }
static inline vec v_shift_left_24(vec a) { return _mm512_slli_epi64(a, 24); }
/* Low half: product's high ^ word ^ key. High half: product's low. */
static inline vec v_join_last(vec product, vec word, vec key) {
    return _mm512_mask_ternarylogic_epi32(_mm512_ror_epi64(product, 32), 0x5555, word, key, 0x96);
}
static inline unsigned v_nonzero(vec a) { return _mm512_test_epi64_mask(a, a); }
static inline size_t count_of(unsigned lanes) { return (size_t)_mm_popcnt_u32(lanes); }

static inline vec v_load(const uint64_t *p, unsigned lanes) {
    return _mm512_maskz_loadu_epi64((__mmask8)lanes, p);
}
/* The lanes named, packed; whatever is behind them may be overwritten, up to a vector. */
static inline void v_store_packed(uint64_t *p, vec a, unsigned lanes) {
    _mm512_storeu_si512(p, _mm512_maskz_compress_epi64((__mmask8)lanes, a));
}
/* 128 bits a block, in order. */
static inline void v_store_blocks(uint8_t *p, vec low, vec high) {
    const vec first = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
    const vec second = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
    _mm512_storeu_si512(p, _mm512_permutex2var_epi64(low, first, high));
    _mm512_storeu_si512(p + 64, _mm512_permutex2var_epi64(low, second, high));
}
static inline void or_block(uint8_t *p, const uint8_t *more) {
    const __m128i a = _mm_loadu_si128((const __m128i *)p);
    _mm_storeu_si128((__m128i *)p, _mm_or_si128(a, _mm_loadu_si128((const __m128i *)more)));
}

#include "simd_masks.inc"

/* ---- from bits to elements ---- */

static inline void expand64_u8(uint8_t *out, uint64_t bits) {
    _mm512_storeu_si512(out, _mm512_maskz_set1_epi8(bits, 1));
}

static inline void expand64_f32(float *out, uint64_t bits) {
    const __m512 one = _mm512_set1_ps(1);
    for (size_t j = 0; j < 64; j += 16, bits >>= 16)
        _mm512_storeu_ps(out + j, _mm512_maskz_mov_ps((__mmask16)bits, one));
}

static inline void expand64_f64(double *out, uint64_t bits) {
    const __m512d one = _mm512_set1_pd(1);
    for (size_t j = 0; j < 64; j += 8, bits >>= 8)
        _mm512_storeu_pd(out + j, _mm512_maskz_mov_pd((__mmask8)bits, one));
}

static inline void drop64_f16(uint16_t *out, const uint16_t *x, float scale, uint64_t bits) {
    const __m512 factor = _mm512_set1_ps(scale);
    for (size_t j = 0; j < 64; j += 16, bits >>= 16) {
        const __m256i half = _mm256_loadu_si256((const __m256i *)(x + j));
        const __m512 kept = _mm512_mul_ps(factor, _mm512_cvtph_ps(half));
        const __m256i rounded = _mm512_cvtps_ph(kept, _MM_FROUND_TO_NEAREST_INT);
        _mm256_storeu_si256((__m256i *)(out + j),
                            _mm256_maskz_mov_epi16((__mmask16)~bits, rounded));
    }
}

static inline void drop64_bf16(uint16_t *out, const uint16_t *x, float scale, uint64_t bits) {
    const __m512 factor = _mm512_set1_ps(scale);
    for (size_t j = 0; j < 64; j += 16, bits >>= 16) {
        const __m256i half = _mm256_loadu_si256((const __m256i *)(x + j));
        const vec wide = _mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16);
        const __m512 kept = _mm512_mul_ps(factor, _mm512_castsi512_ps(wide));
        const vec a = _mm512_castps_si512(kept);
        const vec odd = v_and(_mm512_srli_epi32(a, 16), _mm512_set1_epi32(1));
        const vec sum = _mm512_add_epi32(a, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
        const __m256i rounded = _mm512_cvtepi32_epi16(_mm512_srli_epi32(sum, 16));
        _mm256_storeu_si256((__m256i *)(out + j),
                            _mm256_maskz_mov_epi16((__mmask16)~bits, rounded));
    }
}

static inline void drop64_f32(float *out, const float *x, float scale, uint64_t bits) {
    const __m512 factor = _mm512_set1_ps(scale);
    uint64_t kept = ~bits;
    for (size_t j = 0; j < 64; j += 16, kept >>= 16)
        _mm512_storeu_ps(out + j,
                         _mm512_maskz_mul_ps((__mmask16)kept, factor, _mm512_loadu_ps(x + j)));
}

static inline void drop64_f64(double *out, const double *x, double scale, uint64_t bits) {
    const __m512d factor = _mm512_set1_pd(scale);
    uint64_t kept = ~bits;
    for (size_t j = 0; j < 64; j += 8, kept >>= 8)
        _mm512_storeu_pd(out + j,
                         _mm512_maskz_mul_pd((__mmask8)kept, factor, _mm512_loadu_pd(x + j)));
}

#define STREAMS 1
static inline void stream(void *to, const void *from, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 64)
        _mm512_stream_si512((vec *)((char *)to + i), _mm512_load_si512((const char *)from + i));
}
static inline void stream_end(void) { _mm_sfence(); }
/* May be beyond an array's end: nothing is read there. */
static inline void prefetch(uintptr_t at, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 64)
        _mm_prefetch((const char *)(at + i), _MM_HINT_T0);
}

#include "simd_bits.inc"

#if defined(__clang__)
#pragma clang attribute pop
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif

const fd_kernels fd_kernels_avx512 = {
    .name = "avx512",
    .usable = usable,
    SIMD_KERNELS
    FD_PORTABLE_LAYERS
};

#endif
