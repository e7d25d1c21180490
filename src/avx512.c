/* The AVX-512 tier (F, BW, DQ, VL): masks and dropout. Full vectors only; what is
 * left over goes to the portable kernels, by the bit. */
#include "kernels.h"

#if defined(__x86_64__) || defined(_M_X64)

#include "philox.h"

#include <string.h>

static int usable(const fd_cpu *cpu) {
    const uint32_t f_dq_bw_vl = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
    const uint64_t saved = 0xe6; /* SSE, AVX, masks, both halves of the vectors */
    return (cpu->leaf7_ebx & f_dq_bw_vl) == f_dq_bw_vl && (cpu->xcr0 & saved) == saved;
}

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))), \
                             apply_to = function)
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl")
#endif
#include <immintrin.h>

/* ---- eight blocks side by side, one in a 64-bit lane ---- */

typedef __m512i vec;
#define LANES 8
#define GROUPS 4

static inline vec v_all(uint64_t a) { return _mm512_set1_epi64((int64_t)a); }
static inline vec v_count_from(uint64_t a) {
    return _mm512_add_epi64(v_all(a), _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline vec v_and(vec a, vec b) { return _mm512_and_si512(a, b); }
static inline vec v_or(vec a, vec b) { return _mm512_or_si512(a, b); }
static inline vec v_xor(vec a, vec b) { return _mm512_xor_si512(a, b); }
static inline vec v_xor3(vec a, vec b, vec c) { return _mm512_ternarylogic_epi64(a, b, c, 0x96); }
static inline vec v_without(vec a, vec b) { return _mm512_andnot_si512(b, a); }
static inline vec v_multiply_low(vec a, vec b) { return _mm512_mul_epu32(a, b); }
static inline vec v_high(vec a) { return _mm512_srli_epi64(a, 32); }
static inline vec v_join(vec low, vec high) {
    return _mm512_mask_blend_epi32(0xaaaa, low, _mm512_slli_epi64(high, 32));
}
static inline unsigned v_nonzero(vec a) { return _mm512_test_epi64_mask(a, a); }

static inline vec v_load(const uint64_t *p, unsigned lanes) {
    return _mm512_maskz_loadu_epi64((__mmask8)lanes, p);
}
/* The lanes named, packed; whatever is behind them may be overwritten, up to a vector. */
static inline void v_store_packed(uint64_t *p, vec a, unsigned lanes) {
    _mm512_storeu_si512(p, _mm512_maskz_compress_epi64((__mmask8)lanes, a));
}
/* 128 bits a block, in order. */
static inline void v_store_blocks(uint32_t *words, vec low, vec high) {
    const vec first = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
    const vec second = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
    _mm512_storeu_si512(words, _mm512_permutex2var_epi64(low, first, high));
    _mm512_storeu_si512(words + 16, _mm512_permutex2var_epi64(low, second, high));
}

#include "simd_masks.inc"

/* ---- from bits to elements ---- */

static void expand_u8(uint8_t *out, const uint32_t *words, size_t skip, size_t n) {
    size_t i = 0;
    for (; i + 64 <= n; i += 64)
        _mm512_storeu_si512(out + i,
                            _mm512_maskz_set1_epi8(bits64(words, skip + i), 1));
    fd_portable_expand_u8(out + i, words, skip + i, n - i);
}

static void expand_f32(float *out, const uint32_t *words, size_t skip, size_t n) {
    const __m512 one = _mm512_set1_ps(1);
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        uint64_t bits = bits64(words, skip + i);
        for (size_t j = 0; j < 64; j += 16, bits >>= 16)
            _mm512_storeu_ps(out + i + j, _mm512_maskz_mov_ps((__mmask16)bits, one));
    }
    fd_portable_expand_f32(out + i, words, skip + i, n - i);
}

static void expand_f64(double *out, const uint32_t *words, size_t skip, size_t n) {
    const __m512d one = _mm512_set1_pd(1);
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        uint64_t bits = bits64(words, skip + i);
        for (size_t j = 0; j < 64; j += 8, bits >>= 8)
            _mm512_storeu_pd(out + i + j, _mm512_maskz_mov_pd((__mmask8)bits, one));
    }
    fd_portable_expand_f64(out + i, words, skip + i, n - i);
}

static void drop_f32(float *out, const float *x, float scale, const uint32_t *words, size_t skip,
                     size_t n) {
    const __m512 factor = _mm512_set1_ps(scale);
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        uint64_t kept = ~bits64(words, skip + i);
        for (size_t j = 0; j < 64; j += 16, kept >>= 16)
            _mm512_storeu_ps(out + i + j, _mm512_maskz_mul_ps((__mmask16)kept, factor,
                                                              _mm512_loadu_ps(x + i + j)));
    }
    fd_portable_drop_f32(out + i, x + i, scale, words, skip + i, n - i);
}

static void drop_f64(double *out, const double *x, double scale, const uint32_t *words,
                     size_t skip, size_t n) {
    const __m512d factor = _mm512_set1_pd(scale);
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        uint64_t kept = ~bits64(words, skip + i);
        for (size_t j = 0; j < 64; j += 8, kept >>= 8)
            _mm512_storeu_pd(out + i + j, _mm512_maskz_mul_pd((__mmask8)kept, factor,
                                                              _mm512_loadu_pd(x + i + j)));
    }
    fd_portable_drop_f64(out + i, x + i, scale, words, skip + i, n - i);
}

#if defined(__clang__)
#pragma clang attribute pop
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif

const fd_kernels fd_kernels_avx512 = {
    .name = "avx512",
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
