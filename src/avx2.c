/* The AVX2 tier: masks and dropout. Full vectors only; what is left over goes to the
 * portable kernels, by the bit. */
#include "kernels.h"

#if defined(__x86_64__) || defined(_M_X64)

#include "philox.h"

#include <string.h>

static int usable(const fd_cpu *cpu) {
    const uint64_t saved = 0x6; /* SSE, AVX */
    return (cpu->leaf7_ebx & 1u << 5) && (cpu->xcr0 & saved) == saved;
}

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC target("avx2")
#endif
#include <immintrin.h>

/* ---- four blocks side by side, one in a 64-bit lane ---- */

typedef __m256i vec;
#define LANES 4
#define GROUPS 2

static inline vec v_all(uint64_t a) { return _mm256_set1_epi64x((int64_t)a); }
static inline vec v_count_from(uint64_t a) {
    return _mm256_add_epi64(v_all(a), _mm256_setr_epi64x(0, 1, 2, 3));
}
static inline vec v_and(vec a, vec b) { return _mm256_and_si256(a, b); }
static inline vec v_or(vec a, vec b) { return _mm256_or_si256(a, b); }
static inline vec v_xor(vec a, vec b) { return _mm256_xor_si256(a, b); }
static inline vec v_xor3(vec a, vec b, vec c) { return v_xor(v_xor(a, b), c); }
static inline vec v_without(vec a, vec b) { return _mm256_andnot_si256(b, a); }
static inline vec v_multiply_low(vec a, vec b) { return _mm256_mul_epu32(a, b); }
static inline vec v_high(vec a) { return _mm256_srli_epi64(a, 32); }
static inline vec v_join(vec low, vec high) {
    return _mm256_blend_epi32(low, _mm256_slli_epi64(high, 32), 0xaa);
}
static inline unsigned v_nonzero(vec a) {
    const vec zero = _mm256_cmpeq_epi64(a, _mm256_setzero_si256());
    return 0xf & ~(unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(zero));
}

/* For each set of lanes, where to fetch the 32-bit halves from to pack them. */
static const uint32_t halves_of[16][8] = {
    {0, 0, 0, 0, 0, 0, 0, 0}, {0, 1, 0, 0, 0, 0, 0, 0}, {2, 3, 0, 0, 0, 0, 0, 0},
    {0, 1, 2, 3, 0, 0, 0, 0}, {4, 5, 0, 0, 0, 0, 0, 0}, {0, 1, 4, 5, 0, 0, 0, 0},
    {2, 3, 4, 5, 0, 0, 0, 0}, {0, 1, 2, 3, 4, 5, 0, 0}, {6, 7, 0, 0, 0, 0, 0, 0},
    {0, 1, 6, 7, 0, 0, 0, 0}, {2, 3, 6, 7, 0, 0, 0, 0}, {0, 1, 2, 3, 6, 7, 0, 0},
    {4, 5, 6, 7, 0, 0, 0, 0}, {0, 1, 4, 5, 6, 7, 0, 0}, {2, 3, 4, 5, 6, 7, 0, 0},
    {0, 1, 2, 3, 4, 5, 6, 7},
};

static inline vec v_load(const uint64_t *p, unsigned lanes) {
    const vec bit = _mm256_setr_epi64x(1, 2, 4, 8);
    const vec mask = _mm256_cmpeq_epi64(v_and(v_all(lanes), bit), bit);
    return _mm256_maskload_epi64((const long long *)p, mask);
}
/* The lanes named, packed; whatever is behind them may be overwritten, up to a vector. */
static inline void v_store_packed(uint64_t *p, vec a, unsigned lanes) {
    const vec halves = _mm256_loadu_si256((const vec *)halves_of[lanes]);
    _mm256_storeu_si256((vec *)p, _mm256_permutevar8x32_epi32(a, halves));
}
/* 128 bits a block, in order. */
static inline void v_store_blocks(uint32_t *words, vec low, vec high) {
    const vec even = _mm256_unpacklo_epi64(low, high), odd = _mm256_unpackhi_epi64(low, high);
    _mm256_storeu_si256((vec *)words, _mm256_permute2x128_si256(even, odd, 0x20));
    _mm256_storeu_si256((vec *)(words + 8), _mm256_permute2x128_si256(even, odd, 0x31));
}

#include "simd_masks.inc"

/* ---- from bits to elements ---- */

/* Eight bits as eight 32-bit lanes, or four as four 64-bit ones: all ones or zero. */
static inline vec lanes32(uint64_t bits) {
    const vec bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    return _mm256_cmpeq_epi32(v_and(_mm256_set1_epi32((int32_t)bits), bit), bit);
}
static inline vec lanes64(uint64_t bits) {
    const vec bit = _mm256_setr_epi64x(1, 2, 4, 8);
    return _mm256_cmpeq_epi64(v_and(v_all(bits), bit), bit);
}

static void expand_u8(uint8_t *out, const uint32_t *words, size_t skip, size_t n) {
    /* Each byte of the bits eight times, then one bit of each. */
    const vec spread = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202,
                                          0x0303030303030303);
    const vec bit = v_all(0x8040201008040201);
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        const uint64_t bits = bits64(words, skip + i);
        for (size_t j = 0; j < 2; j++) {
            const vec all = _mm256_set1_epi32((int32_t)(uint32_t)(bits >> (32 * j)));
            const vec hit = _mm256_cmpeq_epi8(v_and(_mm256_shuffle_epi8(all, spread), bit), bit);
            _mm256_storeu_si256((vec *)(out + i + 32 * j), v_and(hit, _mm256_set1_epi8(1)));
        }
    }
    fd_portable_expand_u8(out + i, words, skip + i, n - i);
}

static void expand_f32(float *out, const uint32_t *words, size_t skip, size_t n) {
    const vec one = _mm256_castps_si256(_mm256_set1_ps(1));
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        uint64_t bits = bits64(words, skip + i);
        for (size_t j = 0; j < 64; j += 8, bits >>= 8)
            _mm256_storeu_si256((vec *)(out + i + j), v_and(lanes32(bits), one));
    }
    fd_portable_expand_f32(out + i, words, skip + i, n - i);
}

static void expand_f64(double *out, const uint32_t *words, size_t skip, size_t n) {
    const vec one = _mm256_castpd_si256(_mm256_set1_pd(1));
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        uint64_t bits = bits64(words, skip + i);
        for (size_t j = 0; j < 64; j += 4, bits >>= 4)
            _mm256_storeu_si256((vec *)(out + i + j), v_and(lanes64(bits), one));
    }
    fd_portable_expand_f64(out + i, words, skip + i, n - i);
}

static void drop_f32(float *out, const float *x, float scale, const uint32_t *words, size_t skip,
                     size_t n) {
    const __m256 factor = _mm256_set1_ps(scale);
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        uint64_t bits = bits64(words, skip + i);
        for (size_t j = 0; j < 64; j += 8, bits >>= 8) {
            const __m256 kept = _mm256_mul_ps(factor, _mm256_loadu_ps(x + i + j));
            const __m256 dropped = _mm256_castsi256_ps(lanes32(bits));
            _mm256_storeu_ps(out + i + j, _mm256_andnot_ps(dropped, kept));
        }
    }
    fd_portable_drop_f32(out + i, x + i, scale, words, skip + i, n - i);
}

static void drop_f64(double *out, const double *x, double scale, const uint32_t *words,
                     size_t skip, size_t n) {
    const __m256d factor = _mm256_set1_pd(scale);
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        uint64_t bits = bits64(words, skip + i);
        for (size_t j = 0; j < 64; j += 4, bits >>= 4) {
            const __m256d kept = _mm256_mul_pd(factor, _mm256_loadu_pd(x + i + j));
            const __m256d dropped = _mm256_castsi256_pd(lanes64(bits));
            _mm256_storeu_pd(out + i + j, _mm256_andnot_pd(dropped, kept));
        }
    }
    fd_portable_drop_f64(out + i, x + i, scale, words, skip + i, n - i);
}

#if defined(__clang__)
#pragma clang attribute pop
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif

const fd_kernels fd_kernels_avx2 = {
    .name = "avx2",
    .usable = usable,
    .mask_blocks = mask_blocks,
    .expand_u8 = expand_u8,
    .expand_f32 = expand_f32,
    .expand_f64 = expand_f64,
    .drop_f32 = drop_f32,
    .drop_f64 = drop_f64,
    .accumulate_f32 = fd_portable_accumulate_f32,
    .accumulate_f64 = fd_portable_accumulate_f64,
    .activate_f32 = fd_portable_activate_f32,
    .activate_f64 = fd_portable_activate_f64,
    .lstm_cell_f32 = fd_portable_lstm_cell_f32,
    .lstm_cell_f64 = fd_portable_lstm_cell_f64,
};

#endif
