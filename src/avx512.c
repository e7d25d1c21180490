/* The AVX-512 tier (F, DQ, BW, VL, with POPCNT, and with AVX2, FMA and F16C, which compilers take
 * for part of F): masks, dropout and layers. Full vectors only; what is left over goes to the
 * portable kernels, by the bit. */
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
#pragma clang attribute push(                                                                    \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma,popcnt"))),                    \
    apply_to = function)
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma,popcnt")
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

#include "simd_masks_template.h"

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

#include "simd_bits_template.h"

/* ---- layers ---- */

#define TILE_ROWS 8
#define TILE_PANELS 2
#define FEW_ROWS 3
#define REGISTERS 32
#define ROW_PANELS 8
#define HALF(name) V(half_##name)
#define WIDTHS(TILE, ROWS, PANELS) TILE(ROWS, PANELS, 1) TILE(ROWS, PANELS, 2)
#define TALL(TILE, ROWS) WIDTHS(TILE, ROWS, 0) WIDTHS(TILE, ROWS, 1) WIDTHS(TILE, ROWS, 2)
/* clang-format off */
#define FEW(TILE, ROWS) TALL(TILE, ROWS) WIDTHS(TILE, ROWS, 4)
#define ROW_TILES(TILE)                                                                          \
    WIDTHS(TILE, 1, 1) WIDTHS(TILE, 1, 2) WIDTHS(TILE, 1, 3) WIDTHS(TILE, 1, 4)                  \
    WIDTHS(TILE, 1, 5) WIDTHS(TILE, 1, 6) WIDTHS(TILE, 1, 7) WIDTHS(TILE, 1, 8)
#define TILES(TILE)                                                                              \
    FEW(TILE, 2) FEW(TILE, 3) TALL(TILE, 4) TALL(TILE, 5) TALL(TILE, 6) TALL(TILE, 7)          \
    TALL(TILE, 8)
/* clang-format on */

typedef __m512 f32_vec;
FD_INLINE f32_vec f32_load(const float *p) { return _mm512_loadu_ps(p); }
FD_INLINE void f32_store(float *p, f32_vec a) { _mm512_storeu_ps(p, a); }
FD_INLINE f32_vec f32_all(float a) { return _mm512_set1_ps(a); }
FD_INLINE f32_vec f32_repeat1(const float *p) { return _mm512_set1_ps(*p); }
FD_INLINE f32_vec f32_repeat2(const float *p) {
    int64_t two; /* so that it is loaded and repeated in one, which takes no shuffle */
    memcpy(&two, p, sizeof two);
    return _mm512_castsi512_ps(_mm512_set1_epi64(two));
}
FD_INLINE f32_vec f32_add(f32_vec a, f32_vec b) { return _mm512_add_ps(a, b); }
FD_INLINE f32_vec f32_sub(f32_vec a, f32_vec b) { return _mm512_sub_ps(a, b); }
FD_INLINE f32_vec f32_mul(f32_vec a, f32_vec b) { return _mm512_mul_ps(a, b); }
FD_INLINE f32_vec f32_div(f32_vec a, f32_vec b) { return _mm512_div_ps(a, b); }
FD_INLINE f32_vec f32_sqrt(f32_vec a) { return _mm512_sqrt_ps(a); }
FD_INLINE f32_vec f32_fma(f32_vec a, f32_vec b, f32_vec c) { return _mm512_fmadd_ps(a, b, c); }
FD_INLINE f32_vec f32_minus_fma(f32_vec a, f32_vec b, f32_vec c) {
    return _mm512_fnmsub_ps(a, b, c);
}
FD_INLINE f32_vec f32_max(f32_vec a, f32_vec b) { return _mm512_max_ps(a, b); }
FD_INLINE f32_vec f32_min(f32_vec a, f32_vec b) { return _mm512_min_ps(a, b); }
FD_INLINE f32_vec f32_minus_abs(f32_vec v) { return _mm512_or_ps(v, _mm512_set1_ps(-0.f)); }
FD_INLINE f32_vec f32_with_sign(f32_vec a, f32_vec of) {
    const __m512i sign = _mm512_set1_epi32(INT32_MIN);
    return _mm512_castsi512_ps(
        _mm512_ternarylogic_epi32(sign, _mm512_castps_si512(of), _mm512_castps_si512(a), 0xca));
}
FD_INLINE f32_vec f32_if_negative(f32_vec v, f32_vec a, f32_vec b) {
    return _mm512_mask_mov_ps(b, _mm512_movepi32_mask(_mm512_castps_si512(v)), a);
}
FD_INLINE f32_vec f32_if_less(f32_vec u, f32_vec v, f32_vec a, f32_vec b) {
    return _mm512_mask_mov_ps(b, _mm512_cmp_ps_mask(u, v, _CMP_LT_OQ), a);
}
FD_INLINE f32_vec f32_masked(f32_vec a, f32_vec m) {
    return _mm512_maskz_mul_ps(_mm512_cmp_ps_mask(m, _mm512_setzero_ps(), _CMP_NEQ_UQ), a, m);
}
FD_INLINE f32_vec f32_kept(f32_vec a, unsigned bits) {
    return _mm512_maskz_mov_ps((__mmask16)bits, a);
}
FD_INLINE f32_vec f32_power(f32_vec shifted) {
    const __m512i n = _mm512_add_epi32(_mm512_castps_si512(shifted), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(n, 23));
}
FD_INLINE f32_vec f32_scaled(f32_vec a, f32_vec shifted) {
    return _mm512_scalef_ps(a, _mm512_sub_ps(shifted, _mm512_set1_ps(0x1.8p23f)));
}
FD_INLINE f32_vec f32_upper(f32_vec v) {
    const __m512i half = _mm512_set1_epi32((int)0xffff0000);
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(v), half));
}
FD_INLINE f32_vec f32_lower(f32_vec v) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(v), 16));
}
FD_INLINE f32_vec f32_spread2(f32_vec v, int j) {
    const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    return _mm512_permutexvar_ps(_mm512_add_epi32(twice, _mm512_set1_epi32(8 * j)), v);
}
FD_INLINE void f32_deinterleave2(f32_vec *to, const float *p) {
    const __m512i even =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const f32_vec a = f32_load(p), b = f32_load(p + 16);
    to[0] = _mm512_permutex2var_ps(a, even, b);
    to[1] = _mm512_permutex2var_ps(a, _mm512_add_epi32(even, _mm512_set1_epi32(1)), b);
}

typedef __m256 f32_half_vec;
FD_INLINE f32_half_vec f32_half_load(const float *p) { return _mm256_loadu_ps(p); }
FD_INLINE void f32_half_store(float *p, f32_half_vec a) { _mm256_storeu_ps(p, a); }
FD_INLINE f32_half_vec f32_half_all(float a) { return _mm256_set1_ps(a); }
FD_INLINE f32_half_vec f32_half_repeat1(const float *p) { return _mm256_set1_ps(*p); }
FD_INLINE f32_half_vec f32_half_repeat2(const float *p) {
    int64_t two; /* as above */
    memcpy(&two, p, sizeof two);
    return _mm256_castsi256_ps(_mm256_set1_epi64x(two));
}
FD_INLINE f32_half_vec f32_half_add(f32_half_vec a, f32_half_vec b) {
    return _mm256_add_ps(a, b);
}
FD_INLINE f32_half_vec f32_half_fma(f32_half_vec a, f32_half_vec b, f32_half_vec c) {
    return _mm256_fmadd_ps(a, b, c);
}
FD_INLINE f32_half_vec f32_half_upper(f32_half_vec v) {
    const __m256i half = _mm256_set1_epi32((int)0xffff0000);
    return _mm256_castsi256_ps(_mm256_and_si256(_mm256_castps_si256(v), half));
}
FD_INLINE f32_half_vec f32_half_lower(f32_half_vec v) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(v), 16));
}

typedef __m512d f64_vec;
FD_INLINE f64_vec f64_load(const double *p) { return _mm512_loadu_pd(p); }
FD_INLINE void f64_store(double *p, f64_vec a) { _mm512_storeu_pd(p, a); }
FD_INLINE f64_vec f64_all(double a) { return _mm512_set1_pd(a); }
FD_INLINE f64_vec f64_repeat1(const double *p) { return _mm512_set1_pd(*p); }
FD_INLINE f64_vec f64_repeat2(const double *p) { return _mm512_broadcast_f64x2(_mm_loadu_pd(p)); }
FD_INLINE f64_vec f64_add(f64_vec a, f64_vec b) { return _mm512_add_pd(a, b); }
FD_INLINE f64_vec f64_sub(f64_vec a, f64_vec b) { return _mm512_sub_pd(a, b); }
FD_INLINE f64_vec f64_mul(f64_vec a, f64_vec b) { return _mm512_mul_pd(a, b); }
FD_INLINE f64_vec f64_div(f64_vec a, f64_vec b) { return _mm512_div_pd(a, b); }
FD_INLINE f64_vec f64_sqrt(f64_vec a) { return _mm512_sqrt_pd(a); }
FD_INLINE f64_vec f64_fma(f64_vec a, f64_vec b, f64_vec c) { return _mm512_fmadd_pd(a, b, c); }
FD_INLINE f64_vec f64_minus_fma(f64_vec a, f64_vec b, f64_vec c) {
    return _mm512_fnmsub_pd(a, b, c);
}
FD_INLINE f64_vec f64_max(f64_vec a, f64_vec b) { return _mm512_max_pd(a, b); }
FD_INLINE f64_vec f64_min(f64_vec a, f64_vec b) { return _mm512_min_pd(a, b); }
FD_INLINE f64_vec f64_minus_abs(f64_vec v) { return _mm512_or_pd(v, _mm512_set1_pd(-0.)); }
FD_INLINE f64_vec f64_with_sign(f64_vec a, f64_vec of) {
    const __m512i sign = _mm512_set1_epi64(INT64_MIN);
    return _mm512_castsi512_pd(
        _mm512_ternarylogic_epi64(sign, _mm512_castpd_si512(of), _mm512_castpd_si512(a), 0xca));
}
FD_INLINE f64_vec f64_if_negative(f64_vec v, f64_vec a, f64_vec b) {
    return _mm512_mask_mov_pd(b, _mm512_movepi64_mask(_mm512_castpd_si512(v)), a);
}
FD_INLINE f64_vec f64_if_less(f64_vec u, f64_vec v, f64_vec a, f64_vec b) {
    return _mm512_mask_mov_pd(b, _mm512_cmp_pd_mask(u, v, _CMP_LT_OQ), a);
}
FD_INLINE f64_vec f64_masked(f64_vec a, f64_vec m) {
    return _mm512_maskz_mul_pd(_mm512_cmp_pd_mask(m, _mm512_setzero_pd(), _CMP_NEQ_UQ), a, m);
}
FD_INLINE f64_vec f64_kept(f64_vec a, unsigned bits) {
    return _mm512_maskz_mov_pd((__mmask8)bits, a);
}
FD_INLINE f64_vec f64_power(f64_vec shifted) {
    const __m512i n = _mm512_add_epi64(_mm512_castpd_si512(shifted), _mm512_set1_epi64(1023));
    return _mm512_castsi512_pd(_mm512_slli_epi64(n, 52));
}
FD_INLINE f64_vec f64_scaled(f64_vec a, f64_vec shifted) {
    return _mm512_scalef_pd(a, _mm512_sub_pd(shifted, _mm512_set1_pd(0x1.8p52)));
}
FD_INLINE f64_vec f64_spread2(f64_vec v, int j) {
    const __m512i twice = _mm512_setr_epi64(0, 0, 1, 1, 2, 2, 3, 3);
    return _mm512_permutexvar_pd(_mm512_add_epi64(twice, _mm512_set1_epi64(4 * j)), v);
}
FD_INLINE void f64_deinterleave2(f64_vec *to, const double *p) {
    const __m512i even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
    const f64_vec a = f64_load(p), b = f64_load(p + 8);
    to[0] = _mm512_permutex2var_pd(a, even, b);
    to[1] = _mm512_permutex2var_pd(a, _mm512_add_epi64(even, _mm512_set1_epi64(1)), b);
}

typedef __m256d f64_half_vec;
FD_INLINE f64_half_vec f64_half_load(const double *p) { return _mm256_loadu_pd(p); }
FD_INLINE void f64_half_store(double *p, f64_half_vec a) { _mm256_storeu_pd(p, a); }
FD_INLINE f64_half_vec f64_half_all(double a) { return _mm256_set1_pd(a); }
FD_INLINE f64_half_vec f64_half_repeat1(const double *p) { return _mm256_set1_pd(*p); }
FD_INLINE f64_half_vec f64_half_repeat2(const double *p) {
    return _mm256_broadcast_f64x2(_mm_loadu_pd(p));
}
FD_INLINE f64_half_vec f64_half_add(f64_half_vec a, f64_half_vec b) {
    return _mm256_add_pd(a, b);
}
FD_INLINE f64_half_vec f64_half_fma(f64_half_vec a, f64_half_vec b, f64_half_vec c) {
    return _mm256_fmadd_pd(a, b, c);
}

#include "simd_numbers_template.h"

#if defined(__clang__)
#pragma clang attribute pop
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif

#define AVX512 .name = "avx512", SIMD_KERNELS, SIMD_LAYERS

const fd_kernels fd_kernels_avx512 = {AVX512, .usable = usable, BY_HALVES};

/* ---- products of bfloat16, where the CPU has instructions for them ---- */

#if FD_BFLOAT16

static int usable_bf16(const fd_cpu *cpu) { return usable(cpu) && cpu->leaf7_1_eax >> 5 & 1; }

#if defined(__clang__)
#pragma clang attribute push(                                                                    \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma,popcnt"))),         \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma,popcnt")
#endif

/* Which bytes of rounded numbers make a pair's: of each 2 * width numbers the first `width`
 * become the upper halves. */
FD_INLINE __m512i places_of_pairs(const int width) {
    return _mm512_broadcast_i32x4(
        width == 1 ? _mm_setr_epi8(2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13)
                   : _mm_setr_epi8(4, 5, 0, 1, 6, 7, 2, 3, 12, 13, 8, 9, 14, 15, 10, 11));
}

/* Pairs of at most 32 numbers, times a factor. */
FD_INLINE f32_vec pairs_at(const float *v, size_t some, f32_vec factor, __m512i places) {
    const uint32_t there = (uint32_t)((UINT64_C(1) << some) - 1);
    const f32_vec low = _mm512_maskz_loadu_ps((__mmask16)there, v);
    const f32_vec high = _mm512_maskz_loadu_ps((__mmask16)(there >> 16), v + 16);
    const __m512bh rounded = _mm512_cvtne2ps_pbh(f32_mul(high, factor), f32_mul(low, factor));
    return _mm512_castsi512_ps(_mm512_shuffle_epi8((__m512i)rounded, places));
}

FD_INLINE void pairs_of(float *a, size_t numbers, const int width) {
    const __m512i places = places_of_pairs(width);
    for (size_t i = 0; i < numbers; i += 32) {
        const size_t some = numbers - i < 32 ? numbers - i : 32;
        const f32_vec pairs = pairs_at(a + i, some, f32_all(1), places);
        const __mmask16 written = (__mmask16)((UINT32_C(1) << some / 2) - 1);
        _mm512_mask_storeu_epi32(a + i / 2, written, _mm512_castps_si512(pairs));
    }
}

static void operands_pairs(float *a, size_t n, size_t width) {
    if (width == 1)
        pairs_of(a, n, 1);
    else
        pairs_of(a, 2 * n, 2);
}

/* Numbers become pairs once, and are repeated for their gates. */
FD_INLINE void kept_pairs(float *a, const float *v, float scale, const uint8_t *bits, size_t n,
                          const int width) {
    const __m512i places = places_of_pairs(1);
    for (size_t k = 0; k < n; k += 32) {
        const size_t some = n - k < 32 ? n - k : 32;
        const f32_vec pairs = pairs_at(v + k, some, f32_all(scale), places);
        const uint32_t written = (uint32_t)((UINT64_C(1) << (some + 1) / 2 * (size_t)width) - 1);
        FD_UNROLL
        for (int j = 0; j < width; j++) {
            const f32_vec spread = width == 1 ? pairs : f32_spread2(pairs, j);
            uint32_t kept;
            memcpy(&kept, bits + k * (size_t)width / 8 + 4 * (size_t)j, sizeof kept);
            _mm512_mask_storeu_epi32(a + k * (size_t)width / 2 + 16 * j,
                                     (__mmask16)(written >> 16 * j),
                                     _mm512_maskz_mov_epi16(kept, _mm512_castps_si512(spread)));
        }
    }
}

static void operand_kept_pairs(float *a, const float *v, float scale, const uint8_t *bits,
                               size_t n, size_t width) {
    if (width == 1)
        kept_pairs(a, v, scale, bits, n, 1);
    else
        kept_pairs(a, v, scale, bits, n, 2);
}

FD_INLINE f32_vec f32_plus_pairs(f32_vec factor, f32_vec weight, f32_vec sum) {
    return _mm512_dpbf16_ps(sum, (__m512bh)factor, (__m512bh)weight);
}
FD_INLINE f32_half_vec f32_half_plus_pairs(f32_half_vec factor, f32_half_vec weight,
                                           f32_half_vec sum) {
    return _mm256_dpbf16_ps(sum, (__m256bh)factor, (__m256bh)weight);
}

#define NAMED(name) name##_pairs
#define PARTS 1
#define PART(pairs, part) (pairs)
#define PLUS(factor, weight, sum) OF(plus_pairs)(factor, weight, sum)
#include "simd_bfloat16_template.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

const fd_kernels fd_kernels_avx512_bf16 = {
    AVX512,
    .usable = usable_bf16,
    .bfloat16 = {.instruction = "vdpbf16ps",
                 .operands = operands_pairs,
                 .operand_kept = operand_kept_pairs,
                 .product = product_pairs},
};

#endif

#endif
