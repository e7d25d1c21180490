/* The AVX2 tier (with FMA, F16C and POPCNT): masks, dropout, layers. Full vectors only; what is
 * left over goes to the portable kernels, by the bit. */
#include "kernels.h"

#if defined(__x86_64__) || defined(_M_X64)

#include "philox.h"

#include <math.h>
#include <string.h>

static int usable(const fd_cpu *cpu) {
    const uint32_t fma_popcnt_f16c = 1u << 12 | 1u << 23 | 1u << 29, avx2 = 1u << 5;
    const uint64_t saved = 0x6; /* SSE, AVX */
    return (cpu->leaf1_ecx & fma_popcnt_f16c) == fma_popcnt_f16c && (cpu->leaf7_ebx & avx2) &&
           (cpu->xcr0 & saved) == saved;
}

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,popcnt"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,popcnt")
#endif
#include <immintrin.h>

/* ---- masks ---- */

typedef __m256i vec;
#define LANES 4
#define GROUPS 3

static inline vec v_all(uint64_t a) { return _mm256_set1_epi64x((int64_t)a); }
static inline vec v_count_from(uint64_t a) {
    return _mm256_add_epi64(v_all(a), _mm256_setr_epi64x(0, 1, 2, 3));
}
static inline vec v_add(vec a, vec b) { return _mm256_add_epi64(a, b); }
static inline vec v_and(vec a, vec b) { return _mm256_and_si256(a, b); }
static inline vec v_or(vec a, vec b) { return _mm256_or_si256(a, b); }
static inline vec v_xor(vec a, vec b) { return _mm256_xor_si256(a, b); }
/* b ^ c is known before a, which is the last to come; as a floating-point operation gcc does
 * not put it into another order. */
static inline vec v_xor3(vec a, vec b, vec c) {
    const __m256 known = _mm256_xor_ps(_mm256_castsi256_ps(b), _mm256_castsi256_ps(c));
    return v_xor(a, _mm256_castps_si256(known));
}
static inline vec v_without(vec a, vec b) { return _mm256_andnot_si256(b, a); }
static inline vec v_multiply_low(vec a, vec b) { return _mm256_mul_epu32(a, b); }
static inline vec v_high(vec a) { return _mm256_srli_epi64(a, 32); }
static inline vec v_shift_left_24(vec a) { return _mm256_slli_epi64(a, 24); }
/* Low half: product's high ^ word ^ key. High half: product's low. */
static inline vec v_join_last(vec product, vec word, vec key) {
    const vec low = _mm256_blend_epi32(v_xor(word, key), _mm256_setzero_si256(), 0xaa);
    return v_xor(_mm256_shuffle_epi32(product, 0xb1), low);
}
static inline unsigned v_nonzero(vec a) {
    const vec zero = _mm256_cmpeq_epi64(a, _mm256_setzero_si256());
    return 0xf & ~(unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(zero));
}

static inline size_t count_of(unsigned lanes) { return (size_t)_mm_popcnt_u32(lanes); }

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
static inline void v_store_blocks(uint8_t *p, vec low, vec high) {
    const vec even = _mm256_unpacklo_epi64(low, high), odd = _mm256_unpackhi_epi64(low, high);
    _mm256_storeu_si256((vec *)p, _mm256_permute2x128_si256(even, odd, 0x20));
    _mm256_storeu_si256((vec *)(p + 32), _mm256_permute2x128_si256(even, odd, 0x31));
}
static inline void or_block(uint8_t *p, const uint8_t *more) {
    const __m128i a = _mm_loadu_si128((const __m128i *)p);
    _mm_storeu_si128((__m128i *)p, _mm_or_si128(a, _mm_loadu_si128((const __m128i *)more)));
}

#include "simd_masks_template.h"

/* ---- from bits to elements ---- */

/* Bits as lanes of all ones or zero: eight of 32 bits, four of 64, eight of 16. */
static inline vec lanes32(uint64_t bits) {
    const vec bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    return _mm256_cmpeq_epi32(v_and(_mm256_set1_epi32((int32_t)bits), bit), bit);
}
static inline vec lanes64(uint64_t bits) {
    const vec bit = _mm256_setr_epi64x(1, 2, 4, 8);
    return _mm256_cmpeq_epi64(v_and(v_all(bits), bit), bit);
}
static inline __m128i lanes16(uint64_t bits) {
    const __m128i bit = _mm_setr_epi16(1, 2, 4, 8, 16, 32, 64, 128);
    return _mm_cmpeq_epi16(_mm_and_si128(_mm_set1_epi16((int16_t)bits), bit), bit);
}

static inline void expand64_u8(uint8_t *out, uint64_t bits) {
    /* Each byte of the bits eight times, then one bit of each. */
    const vec spread =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const vec bit = v_all(0x8040201008040201);
    for (size_t j = 0; j < 64; j += 32, bits >>= 32) {
        const vec all = _mm256_set1_epi32((int32_t)(uint32_t)bits);
        const vec hit = _mm256_cmpeq_epi8(v_and(_mm256_shuffle_epi8(all, spread), bit), bit);
        _mm256_storeu_si256((vec *)(out + j), v_and(hit, _mm256_set1_epi8(1)));
    }
}

static inline void expand64_f32(float *out, uint64_t bits) {
    const vec one = _mm256_castps_si256(_mm256_set1_ps(1));
    for (size_t j = 0; j < 64; j += 8, bits >>= 8)
        _mm256_storeu_si256((vec *)(out + j), v_and(lanes32(bits), one));
}

static inline void expand64_f64(double *out, uint64_t bits) {
    const vec one = _mm256_castpd_si256(_mm256_set1_pd(1));
    for (size_t j = 0; j < 64; j += 4, bits >>= 4)
        _mm256_storeu_si256((vec *)(out + j), v_and(lanes64(bits), one));
}

static inline void drop64_f16(uint16_t *out, const uint16_t *x, float scale, uint64_t bits) {
    const __m256 factor = _mm256_set1_ps(scale);
    for (size_t j = 0; j < 64; j += 8, bits >>= 8) {
        const __m128i half = _mm_loadu_si128((const __m128i *)(x + j));
        const __m256 kept = _mm256_mul_ps(factor, _mm256_cvtph_ps(half));
        const __m128i rounded = _mm256_cvtps_ph(kept, _MM_FROUND_TO_NEAREST_INT);
        _mm_storeu_si128((__m128i *)(out + j), _mm_andnot_si128(lanes16(bits), rounded));
    }
}

static inline void drop64_bf16(uint16_t *out, const uint16_t *x, float scale, uint64_t bits) {
    const __m256 factor = _mm256_set1_ps(scale);
    for (size_t j = 0; j < 64; j += 8, bits >>= 8) {
        const __m128i half = _mm_loadu_si128((const __m128i *)(x + j));
        const vec wide = _mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16);
        const __m256 kept = _mm256_mul_ps(factor, _mm256_castsi256_ps(wide));
        const vec a = _mm256_castps_si256(kept);
        const vec odd = v_and(_mm256_srli_epi32(a, 16), _mm256_set1_epi32(1));
        const vec sum = _mm256_add_epi32(a, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
        const vec top = _mm256_srli_epi32(sum, 16);
        const vec packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(top, top), 0x08);
        const __m128i rounded = _mm256_castsi256_si128(packed);
        _mm_storeu_si128((__m128i *)(out + j), _mm_andnot_si128(lanes16(bits), rounded));
    }
}

static inline void drop64_f32(float *out, const float *x, float scale, uint64_t bits) {
    const __m256 factor = _mm256_set1_ps(scale);
    for (size_t j = 0; j < 64; j += 8, bits >>= 8) {
        const __m256 kept = _mm256_mul_ps(factor, _mm256_loadu_ps(x + j));
        const __m256 dropped = _mm256_castsi256_ps(lanes32(bits));
        _mm256_storeu_ps(out + j, _mm256_andnot_ps(dropped, kept));
    }
}

static inline void drop64_f64(double *out, const double *x, double scale, uint64_t bits) {
    const __m256d factor = _mm256_set1_pd(scale);
    for (size_t j = 0; j < 64; j += 4, bits >>= 4) {
        const __m256d kept = _mm256_mul_pd(factor, _mm256_loadu_pd(x + j));
        const __m256d dropped = _mm256_castsi256_pd(lanes64(bits));
        _mm256_storeu_pd(out + j, _mm256_andnot_pd(dropped, kept));
    }
}

#define STREAMS 1
static inline void stream(void *to, const void *from, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 32)
        _mm256_stream_si256((vec *)((char *)to + i),
                            _mm256_load_si256((const vec *)((const char *)from + i)));
}
static inline void stream_end(void) { _mm_sfence(); }
/* May be beyond an array's end: nothing is read there. */
static inline void prefetch(uintptr_t at, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 64)
        _mm_prefetch((const char *)(at + i), _MM_HINT_T0);
}

#include "simd_bits_template.h"

/* ---- layers ---- */

#define TILE_ROWS 6
#define TILE_PANELS 1
#define FEW_ROWS 3
#define REGISTERS 16
#define ROW_PANELS 5
#define HALF(name) V(name)
#define WIDTHS(TILE, ROWS, PANELS) TILE(ROWS, PANELS, 1) TILE(ROWS, PANELS, 2)
#define TALL(TILE, ROWS) WIDTHS(TILE, ROWS, 0) WIDTHS(TILE, ROWS, 1)
/* clang-format off */
#define FEW(TILE, ROWS) TALL(TILE, ROWS) WIDTHS(TILE, ROWS, 2)
#define ROW_TILES(TILE)                                                                          \
    WIDTHS(TILE, 1, 1) WIDTHS(TILE, 1, 2) WIDTHS(TILE, 1, 3) WIDTHS(TILE, 1, 4)                  \
    WIDTHS(TILE, 1, 5)
#define TILES(TILE)                                                                              \
    FEW(TILE, 2) FEW(TILE, 3) TALL(TILE, 4) TALL(TILE, 5) TALL(TILE, 6)
/* clang-format on */

typedef __m256 f32_vec;
FD_INLINE f32_vec f32_load(const float *p) { return _mm256_loadu_ps(p); }
FD_INLINE void f32_store(float *p, f32_vec a) { _mm256_storeu_ps(p, a); }
FD_INLINE f32_vec f32_all(float a) { return _mm256_set1_ps(a); }
FD_INLINE f32_vec f32_repeat1(const float *p) { return _mm256_broadcast_ss(p); }
FD_INLINE f32_vec f32_repeat2(const float *p) {
    int64_t two; /* so that it is loaded and repeated in one, which takes no shuffle */
    memcpy(&two, p, sizeof two);
    return _mm256_castsi256_ps(_mm256_set1_epi64x(two));
}
FD_INLINE f32_vec f32_add(f32_vec a, f32_vec b) { return _mm256_add_ps(a, b); }
FD_INLINE f32_vec f32_sub(f32_vec a, f32_vec b) { return _mm256_sub_ps(a, b); }
FD_INLINE f32_vec f32_mul(f32_vec a, f32_vec b) { return _mm256_mul_ps(a, b); }
FD_INLINE f32_vec f32_div(f32_vec a, f32_vec b) { return _mm256_div_ps(a, b); }
FD_INLINE f32_vec f32_sqrt(f32_vec a) { return _mm256_sqrt_ps(a); }
FD_INLINE f32_vec f32_fma(f32_vec a, f32_vec b, f32_vec c) { return _mm256_fmadd_ps(a, b, c); }
FD_INLINE f32_vec f32_minus_fma(f32_vec a, f32_vec b, f32_vec c) {
    return _mm256_fnmsub_ps(a, b, c);
}
FD_INLINE f32_vec f32_max(f32_vec a, f32_vec b) { return _mm256_max_ps(a, b); }
FD_INLINE f32_vec f32_min(f32_vec a, f32_vec b) { return _mm256_min_ps(a, b); }
FD_INLINE f32_vec f32_minus_abs(f32_vec v) { return _mm256_or_ps(v, _mm256_set1_ps(-0.f)); }
FD_INLINE f32_vec f32_with_sign(f32_vec a, f32_vec of) {
    const f32_vec sign = _mm256_set1_ps(-0.f);
    return _mm256_or_ps(_mm256_andnot_ps(sign, a), _mm256_and_ps(sign, of));
}
FD_INLINE f32_vec f32_if_negative(f32_vec v, f32_vec a, f32_vec b) {
    return _mm256_blendv_ps(b, a, v); /* by the sign */
}
FD_INLINE f32_vec f32_if_less(f32_vec u, f32_vec v, f32_vec a, f32_vec b) {
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(u, v, _CMP_LT_OQ));
}
FD_INLINE f32_vec f32_masked(f32_vec a, f32_vec m) {
    const f32_vec kept = _mm256_cmp_ps(m, _mm256_setzero_ps(), _CMP_NEQ_UQ);
    return _mm256_and_ps(kept, _mm256_mul_ps(a, m));
}
FD_INLINE f32_vec f32_kept(f32_vec a, unsigned bits) {
    const __m256i each = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i set = _mm256_and_si256(_mm256_set1_epi32((int)bits), each);
    return _mm256_and_ps(a, _mm256_castsi256_ps(_mm256_cmpeq_epi32(set, each)));
}
FD_INLINE f32_vec f32_power(f32_vec shifted) {
    const __m256i n = _mm256_add_epi32(_mm256_castps_si256(shifted), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(n, 23));
}
/* In two steps, for 2^n may be too small for a number of its own; the first is exact. */
FD_INLINE f32_vec f32_scaled(f32_vec a, f32_vec shifted) {
    const __m256i rounder = _mm256_castps_si256(_mm256_set1_ps(0x1.8p23f));
    const __m256i n = _mm256_sub_epi32(_mm256_castps_si256(shifted), rounder);
    const __m256i half = _mm256_srai_epi32(n, 1), bias = _mm256_set1_epi32(127);
    const __m256i rest = _mm256_sub_epi32(n, half);
    const __m256i first = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    const __m256i second = _mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23);
    a = _mm256_mul_ps(a, _mm256_castsi256_ps(first));
    return _mm256_mul_ps(a, _mm256_castsi256_ps(second));
}
FD_INLINE f32_vec f32_upper(f32_vec v) {
    const __m256i half = _mm256_set1_epi32((int)0xffff0000);
    return _mm256_castsi256_ps(_mm256_and_si256(_mm256_castps_si256(v), half));
}
FD_INLINE f32_vec f32_lower(f32_vec v) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(v), 16));
}
FD_INLINE f32_vec f32_spread2(f32_vec v, int j) {
    const __m256i twice = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    return _mm256_permutevar8x32_ps(v, _mm256_add_epi32(twice, _mm256_set1_epi32(4 * j)));
}
FD_INLINE void f32_deinterleave2(f32_vec *to, const float *p) {
    const f32_vec a = f32_load(p), b = f32_load(p + 8);
    const f32_vec low = _mm256_permute2f128_ps(a, b, 0x20);
    const f32_vec high = _mm256_permute2f128_ps(a, b, 0x31);
    to[0] = _mm256_shuffle_ps(low, high, 0x88);
    to[1] = _mm256_shuffle_ps(low, high, 0xdd);
}

typedef __m256d f64_vec;
FD_INLINE f64_vec f64_load(const double *p) { return _mm256_loadu_pd(p); }
FD_INLINE void f64_store(double *p, f64_vec a) { _mm256_storeu_pd(p, a); }
FD_INLINE f64_vec f64_all(double a) { return _mm256_set1_pd(a); }
FD_INLINE f64_vec f64_repeat1(const double *p) { return _mm256_broadcast_sd(p); }
FD_INLINE f64_vec f64_repeat2(const double *p) { return _mm256_broadcast_pd((const __m128d *)p); }
FD_INLINE f64_vec f64_add(f64_vec a, f64_vec b) { return _mm256_add_pd(a, b); }
FD_INLINE f64_vec f64_sub(f64_vec a, f64_vec b) { return _mm256_sub_pd(a, b); }
FD_INLINE f64_vec f64_mul(f64_vec a, f64_vec b) { return _mm256_mul_pd(a, b); }
FD_INLINE f64_vec f64_div(f64_vec a, f64_vec b) { return _mm256_div_pd(a, b); }
FD_INLINE f64_vec f64_sqrt(f64_vec a) { return _mm256_sqrt_pd(a); }
FD_INLINE f64_vec f64_fma(f64_vec a, f64_vec b, f64_vec c) { return _mm256_fmadd_pd(a, b, c); }
FD_INLINE f64_vec f64_minus_fma(f64_vec a, f64_vec b, f64_vec c) {
    return _mm256_fnmsub_pd(a, b, c);
}
FD_INLINE f64_vec f64_max(f64_vec a, f64_vec b) { return _mm256_max_pd(a, b); }
FD_INLINE f64_vec f64_min(f64_vec a, f64_vec b) { return _mm256_min_pd(a, b); }
FD_INLINE f64_vec f64_minus_abs(f64_vec v) { return _mm256_or_pd(v, _mm256_set1_pd(-0.)); }
FD_INLINE f64_vec f64_with_sign(f64_vec a, f64_vec of) {
    const f64_vec sign = _mm256_set1_pd(-0.);
    return _mm256_or_pd(_mm256_andnot_pd(sign, a), _mm256_and_pd(sign, of));
}
FD_INLINE f64_vec f64_if_negative(f64_vec v, f64_vec a, f64_vec b) {
    return _mm256_blendv_pd(b, a, v);
}
FD_INLINE f64_vec f64_if_less(f64_vec u, f64_vec v, f64_vec a, f64_vec b) {
    return _mm256_blendv_pd(b, a, _mm256_cmp_pd(u, v, _CMP_LT_OQ));
}
FD_INLINE f64_vec f64_masked(f64_vec a, f64_vec m) {
    const f64_vec kept = _mm256_cmp_pd(m, _mm256_setzero_pd(), _CMP_NEQ_UQ);
    return _mm256_and_pd(kept, _mm256_mul_pd(a, m));
}
FD_INLINE f64_vec f64_kept(f64_vec a, unsigned bits) {
    const __m256i each = _mm256_setr_epi64x(1, 2, 4, 8);
    const __m256i set = _mm256_and_si256(_mm256_set1_epi64x((int)bits), each);
    return _mm256_and_pd(a, _mm256_castsi256_pd(_mm256_cmpeq_epi64(set, each)));
}
FD_INLINE f64_vec f64_power(f64_vec shifted) {
    const __m256i n = _mm256_add_epi64(_mm256_castpd_si256(shifted), _mm256_set1_epi64x(1023));
    return _mm256_castsi256_pd(_mm256_slli_epi64(n, 52));
}
/* n / 2 rounds down; there is no arithmetic shift of 64 bits, so it is made positive for it. */
FD_INLINE f64_vec f64_scaled(f64_vec a, f64_vec shifted) {
    const __m256i rounder = _mm256_castpd_si256(_mm256_set1_pd(0x1.8p52));
    const __m256i n = _mm256_sub_epi64(_mm256_castpd_si256(shifted), rounder);
    const __m256i above = _mm256_add_epi64(n, _mm256_set1_epi64x(2048));
    const __m256i half = _mm256_sub_epi64(_mm256_srli_epi64(above, 1), _mm256_set1_epi64x(1024));
    const __m256i rest = _mm256_sub_epi64(n, half), bias = _mm256_set1_epi64x(1023);
    const __m256i first = _mm256_slli_epi64(_mm256_add_epi64(half, bias), 52);
    const __m256i second = _mm256_slli_epi64(_mm256_add_epi64(rest, bias), 52);
    a = _mm256_mul_pd(a, _mm256_castsi256_pd(first));
    return _mm256_mul_pd(a, _mm256_castsi256_pd(second));
}
FD_INLINE f64_vec f64_spread2(f64_vec v, int j) {
    const __m256i twice = _mm256_setr_epi32(0, 1, 0, 1, 2, 3, 2, 3);
    const __m256i at = _mm256_add_epi32(twice, _mm256_set1_epi32(4 * j));
    return _mm256_castps_pd(_mm256_permutevar8x32_ps(_mm256_castpd_ps(v), at));
}
FD_INLINE void f64_deinterleave2(f64_vec *to, const double *p) {
    const f64_vec a = f64_load(p), b = f64_load(p + 4);
    const f64_vec low = _mm256_permute2f128_pd(a, b, 0x20);
    const f64_vec high = _mm256_permute2f128_pd(a, b, 0x31);
    to[0] = _mm256_unpacklo_pd(low, high);
    to[1] = _mm256_unpackhi_pd(low, high);
}

#include "simd_numbers_template.h"
#undef WIDTHS

#if defined(__clang__)
#pragma clang attribute pop
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif

const fd_kernels fd_kernels_avx2 = {
    .name = "avx2",
    .usable = usable,
    SIMD_KERNELS,
    SIMD_LAYERS,
    BY_HALVES,
};

#endif
