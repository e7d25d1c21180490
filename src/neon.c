/* The NEON tier: masks, dropout and layers on AArch64, where every CPU has it. Full vectors only;
 * what is left over goes to the portable kernels, by the bit. Little-endian, because the
 * bits of a byte and the bytes of a word are then in one order. */
#include "kernels.h"

#if defined(__AARCH64EL__)

#include "philox.h"

#include <arm_neon.h>
#include <math.h>
#include <string.h>

static int usable(const fd_cpu *cpu) {
    (void)cpu;
    return 1;
}

/* ---- masks ---- */

/* Four 64-bit lanes, the low halves in one register and the high ones in another: a
 * widening multiply takes its factors packed, so that nothing but its products need be
 * sorted, and who uses one half of a lane pays for one. */
typedef struct vec {
    uint32x4_t low, high;
} vec;
#define LANES 4
#define GROUPS 2

static const uint32_t lane_number[4] = {0, 1, 2, 3}, lane_bit[4] = {1, 2, 4, 8};

static inline vec v_all(uint64_t a) {
    return (vec){vdupq_n_u32((uint32_t)a), vdupq_n_u32((uint32_t)(a >> 32))};
}
static inline vec v_add(vec a, vec b) {
    const uint32x4_t low = vaddq_u32(a.low, b.low), carry = vcltq_u32(low, b.low); /* as -1 */
    return (vec){low, vsubq_u32(vaddq_u32(a.high, b.high), carry)};
}
static inline vec v_count_from(uint64_t a) {
    return v_add(v_all(a), (vec){vld1q_u32(lane_number), vdupq_n_u32(0)});
}
static inline vec v_and(vec a, vec b) {
    return (vec){vandq_u32(a.low, b.low), vandq_u32(a.high, b.high)};
}
static inline vec v_or(vec a, vec b) {
    return (vec){vorrq_u32(a.low, b.low), vorrq_u32(a.high, b.high)};
}
static inline vec v_xor(vec a, vec b) {
    return (vec){veorq_u32(a.low, b.low), veorq_u32(a.high, b.high)};
}
static inline vec v_xor3(vec a, vec b, vec c) { return v_xor(v_xor(a, b), c); }
static inline vec v_without(vec a, vec b) {
    return (vec){vbicq_u32(a.low, b.low), vbicq_u32(a.high, b.high)};
}
static inline vec v_multiply_low(vec a, vec b) {
    const uint64x2_t first = vmull_u32(vget_low_u32(a.low), vget_low_u32(b.low));
    const uint64x2_t second = vmull_high_u32(a.low, b.low);
    const uint32x4_t p = vreinterpretq_u32_u64(first), q = vreinterpretq_u32_u64(second);
    return (vec){vuzp1q_u32(p, q), vuzp2q_u32(p, q)};
}
static inline vec v_high(vec a) { return (vec){a.high, vdupq_n_u32(0)}; }
static inline vec v_shift_left_24(vec a) {
    return (vec){vshlq_n_u32(a.low, 24), vsriq_n_u32(vshlq_n_u32(a.high, 24), a.low, 8)};
}
/* Low half: product's high ^ word ^ key. High half: product's low. */
static inline vec v_join_last(vec product, vec word, vec key) {
    return (vec){veorq_u32(veorq_u32(product.high, word.low), key.low), product.low};
}
static inline unsigned v_nonzero(vec a) {
    const uint32x4_t any = vorrq_u32(a.low, a.high);
    return vaddvq_u32(vandq_u32(vtstq_u32(any, any), vld1q_u32(lane_bit)));
}
static inline size_t count_of(unsigned lanes) { return (size_t)__builtin_popcount(lanes); }

/* The lanes named; nothing is read where there are none. */
static inline vec v_load(const uint64_t *p, unsigned lanes) {
    if (!lanes)
        return v_all(0);
    const uint32x4_t a = vreinterpretq_u32_u64(vld1q_u64(p));
    const uint32x4_t b = vreinterpretq_u32_u64(vld1q_u64(p + 2));
    const uint32x4_t mask = vtstq_u32(vdupq_n_u32(lanes), vld1q_u32(lane_bit));
    return (vec){vandq_u32(vuzp1q_u32(a, b), mask), vandq_u32(vuzp2q_u32(a, b), mask)};
}

/* For each set of lanes, where to fetch the bytes from to pack them. */
#define A 0x03020100
#define B 0x07060504
#define C 0x0b0a0908
#define D 0x0f0e0d0c
static const uint32_t bytes_of[16][4] = {
    {0, 0, 0, 0}, {A, 0, 0, 0}, {B, 0, 0, 0}, {A, B, 0, 0}, {C, 0, 0, 0}, {A, C, 0, 0},
    {B, C, 0, 0}, {A, B, C, 0}, {D, 0, 0, 0}, {A, D, 0, 0}, {B, D, 0, 0}, {A, B, D, 0},
    {C, D, 0, 0}, {A, C, D, 0}, {B, C, D, 0}, {A, B, C, D},
};
#undef A
#undef B
#undef C
#undef D

static inline uint32x4_t fetch(uint32x4_t a, uint8x16_t bytes) {
    return vreinterpretq_u32_u8(vqtbl1q_u8(vreinterpretq_u8_u32(a), bytes));
}
/* The lanes named, packed; whatever is behind them may be overwritten, up to a vector. */
static inline void v_store_packed(uint64_t *p, vec a, unsigned lanes) {
    const uint8x16_t bytes = vreinterpretq_u8_u32(vld1q_u32(bytes_of[lanes]));
    const uint32x4_t low = fetch(a.low, bytes), high = fetch(a.high, bytes);
    vst1q_u64(p, vreinterpretq_u64_u32(vzip1q_u32(low, high)));
    vst1q_u64(p + 2, vreinterpretq_u64_u32(vzip2q_u32(low, high)));
}
/* 128 bits a block, in order: as a matrix of words, transposed. */
static inline void v_store_blocks(uint8_t *p, vec low, vec high) {
    const uint64x2_t low01 = vreinterpretq_u64_u32(vzip1q_u32(low.low, low.high));
    const uint64x2_t low23 = vreinterpretq_u64_u32(vzip2q_u32(low.low, low.high));
    const uint64x2_t high01 = vreinterpretq_u64_u32(vzip1q_u32(high.low, high.high));
    const uint64x2_t high23 = vreinterpretq_u64_u32(vzip2q_u32(high.low, high.high));
    vst1q_u8(p, vreinterpretq_u8_u64(vzip1q_u64(low01, high01)));
    vst1q_u8(p + 16, vreinterpretq_u8_u64(vzip2q_u64(low01, high01)));
    vst1q_u8(p + 32, vreinterpretq_u8_u64(vzip1q_u64(low23, high23)));
    vst1q_u8(p + 48, vreinterpretq_u8_u64(vzip2q_u64(low23, high23)));
}
static inline void or_block(uint8_t *p, const uint8_t *more) {
    vst1q_u8(p, vorrq_u8(vld1q_u8(p), vld1q_u8(more)));
}

#include "simd_masks_template.h"

/* ---- from bits to elements ---- */

/* Bits as lanes of all ones or zero: four of 32 bits, two of 64, eight of 16. */
static inline uint32x4_t lanes32(uint64_t bits) {
    return vtstq_u32(vdupq_n_u32((uint32_t)bits), vld1q_u32(lane_bit));
}
static inline uint64x2_t lanes64(uint64_t bits) {
    static const uint64_t bit[2] = {1, 2};
    return vtstq_u64(vdupq_n_u64(bits), vld1q_u64(bit));
}
static inline uint16x8_t lanes16(uint64_t bits) {
    static const uint16_t bit[8] = {1, 2, 4, 8, 16, 32, 64, 128};
    return vtstq_u16(vdupq_n_u16((uint16_t)bits), vld1q_u16(bit));
}

static inline void expand64_u8(uint8_t *out, uint64_t bits) {
    /* Each byte of the bits eight times, then one bit of each. */
    const uint8x16_t all = vreinterpretq_u8_u64(vdupq_n_u64(bits));
    const uint8x16_t bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201));
    uint8x16_t spread = vcombine_u8(vdup_n_u8(0), vdup_n_u8(1));
    for (size_t j = 0; j < 64; j += 16, spread = vaddq_u8(spread, vdupq_n_u8(2))) {
        const uint8x16_t hit = vtstq_u8(vqtbl1q_u8(all, spread), bit);
        vst1q_u8(out + j, vandq_u8(hit, vdupq_n_u8(1)));
    }
}

static inline void expand64_f32(float *out, uint64_t bits) {
    const uint32x4_t one = vreinterpretq_u32_f32(vdupq_n_f32(1));
    for (size_t j = 0; j < 64; j += 4, bits >>= 4)
        vst1q_f32(out + j, vreinterpretq_f32_u32(vandq_u32(lanes32(bits), one)));
}

static inline void expand64_f64(double *out, uint64_t bits) {
    const uint64x2_t one = vreinterpretq_u64_f64(vdupq_n_f64(1));
    for (size_t j = 0; j < 64; j += 2, bits >>= 2)
        vst1q_f64(out + j, vreinterpretq_f64_u64(vandq_u64(lanes64(bits), one)));
}

static inline void drop64_f16(uint16_t *out, const uint16_t *x, float scale, uint64_t bits) {
    const float32x4_t factor = vdupq_n_f32(scale);
    for (size_t j = 0; j < 64; j += 8, bits >>= 8) {
        const float16x8_t half = vreinterpretq_f16_u16(vld1q_u16(x + j));
        const float32x4_t low = vmulq_f32(factor, vcvt_f32_f16(vget_low_f16(half)));
        const float32x4_t high = vmulq_f32(factor, vcvt_high_f32_f16(half));
        const float16x8_t rounded = vcvt_high_f16_f32(vcvt_f16_f32(low), high);
        vst1q_u16(out + j, vbicq_u16(vreinterpretq_u16_f16(rounded), lanes16(bits)));
    }
}

/* The upper half of each float, rounded half to even. The lower half of a NaN is zero, as it was
 * made from 16 bits, so that it stays what it is. */
static inline uint16x4_t to_bf16(float32x4_t f) {
    const uint32x4_t a = vreinterpretq_u32_f32(f);
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(a, 16), vdupq_n_u32(1));
    return vshrn_n_u32(vaddq_u32(a, vaddq_u32(odd, vdupq_n_u32(0x7fff))), 16);
}

static inline void drop64_bf16(uint16_t *out, const uint16_t *x, float scale, uint64_t bits) {
    const float32x4_t factor = vdupq_n_f32(scale);
    for (size_t j = 0; j < 64; j += 8, bits >>= 8) {
        const uint16x8_t half = vld1q_u16(x + j), zero = vdupq_n_u16(0);
        const float32x4_t low = vreinterpretq_f32_u16(vzip1q_u16(zero, half));
        const float32x4_t high = vreinterpretq_f32_u16(vzip2q_u16(zero, half));
        const uint16x8_t rounded =
            vcombine_u16(to_bf16(vmulq_f32(factor, low)), to_bf16(vmulq_f32(factor, high)));
        vst1q_u16(out + j, vbicq_u16(rounded, lanes16(bits)));
    }
}

static inline void drop64_f32(float *out, const float *x, float scale, uint64_t bits) {
    for (size_t j = 0; j < 64; j += 4, bits >>= 4) {
        const float32x4_t kept = vmulq_n_f32(vld1q_f32(x + j), scale);
        const uint32x4_t selected = vbicq_u32(vreinterpretq_u32_f32(kept), lanes32(bits));
        vst1q_f32(out + j, vreinterpretq_f32_u32(selected));
    }
}

static inline void drop64_f64(double *out, const double *x, double scale, uint64_t bits) {
    for (size_t j = 0; j < 64; j += 2, bits >>= 2) {
        const float64x2_t kept = vmulq_n_f64(vld1q_f64(x + j), scale);
        const uint64x2_t selected = vbicq_u64(vreinterpretq_u64_f64(kept), lanes64(bits));
        vst1q_f64(out + j, vreinterpretq_f64_u64(selected));
    }
}

/* Stores that fill whole lines one after the other need no hint: these CPUs notice, and
 * do not read the lines first. */
#define STREAMS 0
static inline void stream(void *to, const void *from, size_t bytes) { memcpy(to, from, bytes); }
static inline void stream_end(void) {}
static inline void prefetch(uintptr_t at, size_t bytes) { (void)at, (void)bytes; }

#include "simd_bits_template.h"

/* ---- layers ---- */

/* Pairs of registers, so that layers see vectors of 8 floats and 4 doubles: 4 gates fit in one.
 */
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

#define BOTH(TYPE, NAME, OPERATION)                                                              \
    FD_INLINE TYPE NAME(TYPE x, TYPE y) {                                                        \
        return (TYPE){OPERATION(x.a, y.a), OPERATION(x.b, y.b)};                                 \
    }

typedef struct f32_vec {
    float32x4_t a, b;
} f32_vec;
FD_INLINE f32_vec f32_load(const float *p) { return (f32_vec){vld1q_f32(p), vld1q_f32(p + 4)}; }
FD_INLINE void f32_store(float *p, f32_vec v) {
    vst1q_f32(p, v.a);
    vst1q_f32(p + 4, v.b);
}
FD_INLINE f32_vec f32_twice(float32x4_t v) { return (f32_vec){v, v}; }
FD_INLINE f32_vec f32_all(float x) { return f32_twice(vdupq_n_f32(x)); }
FD_INLINE f32_vec f32_repeat1(const float *p) { return f32_twice(vld1q_dup_f32(p)); }
FD_INLINE f32_vec f32_repeat2(const float *p) {
    const float32x2_t two = vld1_f32(p);
    return f32_twice(vcombine_f32(two, two));
}
BOTH(f32_vec, f32_add, vaddq_f32)
BOTH(f32_vec, f32_sub, vsubq_f32)
BOTH(f32_vec, f32_mul, vmulq_f32)
BOTH(f32_vec, f32_div, vdivq_f32)
BOTH(f32_vec, f32_max, vmaxq_f32)
BOTH(f32_vec, f32_min, vminq_f32)
FD_INLINE f32_vec f32_sqrt(f32_vec v) { return (f32_vec){vsqrtq_f32(v.a), vsqrtq_f32(v.b)}; }
FD_INLINE f32_vec f32_fma(f32_vec x, f32_vec y, f32_vec z) {
    return (f32_vec){vfmaq_f32(z.a, x.a, y.a), vfmaq_f32(z.b, x.b, y.b)};
}
FD_INLINE f32_vec f32_minus_fma(f32_vec x, f32_vec y, f32_vec z) {
    const f32_vec sum = f32_fma(x, y, z);
    return (f32_vec){vnegq_f32(sum.a), vnegq_f32(sum.b)};
}
FD_INLINE f32_vec f32_minus_abs(f32_vec v) {
    return (f32_vec){vnegq_f32(vabsq_f32(v.a)), vnegq_f32(vabsq_f32(v.b))};
}
FD_INLINE f32_vec f32_with_sign(f32_vec x, f32_vec of) {
    const uint32x4_t sign = vdupq_n_u32(0x80000000u);
    return (f32_vec){vbslq_f32(sign, of.a, x.a), vbslq_f32(sign, of.b, x.b)};
}
FD_INLINE f32_vec f32_if_negative(f32_vec v, f32_vec x, f32_vec y) {
    return (f32_vec){vbslq_f32(vcltzq_f32(v.a), x.a, y.a), vbslq_f32(vcltzq_f32(v.b), x.b, y.b)};
}
FD_INLINE f32_vec f32_if_less(f32_vec u, f32_vec v, f32_vec x, f32_vec y) {
    return (f32_vec){vbslq_f32(vcltq_f32(u.a, v.a), x.a, y.a),
                     vbslq_f32(vcltq_f32(u.b, v.b), x.b, y.b)};
}
FD_INLINE float32x4_t f32_cleared(float32x4_t v, uint32x4_t where) {
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(v), where));
}
FD_INLINE f32_vec f32_masked(f32_vec v, f32_vec m) {
    return (f32_vec){f32_cleared(vmulq_f32(v.a, m.a), vceqzq_f32(m.a)),
                     f32_cleared(vmulq_f32(v.b, m.b), vceqzq_f32(m.b))};
}
FD_INLINE f32_vec f32_kept(f32_vec v, unsigned bits) {
    static const uint32_t each[] = {1, 2, 4, 8, 16, 32, 64, 128};
    const uint32x4_t set = vdupq_n_u32(bits);
    return (f32_vec){f32_cleared(v.a, vceqzq_u32(vandq_u32(set, vld1q_u32(each)))),
                     f32_cleared(v.b, vceqzq_u32(vandq_u32(set, vld1q_u32(each + 4))))};
}
FD_INLINE float32x4_t f32_power4(float32x4_t shifted) {
    const uint32x4_t n = vaddq_u32(vreinterpretq_u32_f32(shifted), vdupq_n_u32(127));
    return vreinterpretq_f32_u32(vshlq_n_u32(n, 23));
}
FD_INLINE f32_vec f32_power(f32_vec shifted) {
    return (f32_vec){f32_power4(shifted.a), f32_power4(shifted.b)};
}
/* In two steps, for 2^n may be too small for a number of its own; the first is exact. */
FD_INLINE float32x4_t f32_scaled4(float32x4_t v, float32x4_t shifted) {
    const int32x4_t rounder = vreinterpretq_s32_f32(vdupq_n_f32(0x1.8p23f));
    const int32x4_t n = vsubq_s32(vreinterpretq_s32_f32(shifted), rounder);
    const int32x4_t half = vshrq_n_s32(n, 1), rest = vsubq_s32(n, half);
    const int32x4_t bias = vdupq_n_s32(127);
    v = vmulq_f32(v, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(half, bias), 23)));
    return vmulq_f32(v, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(rest, bias), 23)));
}
FD_INLINE f32_vec f32_scaled(f32_vec v, f32_vec shifted) {
    return (f32_vec){f32_scaled4(v.a, shifted.a), f32_scaled4(v.b, shifted.b)};
}
FD_INLINE float32x4_t upper_half(float32x4_t v) {
    const uint32x4_t half = vdupq_n_u32(0xffff0000);
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(v), half));
}
FD_INLINE float32x4_t lower_half(float32x4_t v) {
    return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(v), 16));
}
FD_INLINE f32_vec f32_upper(f32_vec v) { return (f32_vec){upper_half(v.a), upper_half(v.b)}; }
FD_INLINE f32_vec f32_lower(f32_vec v) { return (f32_vec){lower_half(v.a), lower_half(v.b)}; }
FD_INLINE f32_vec f32_spread2(f32_vec v, int j) {
    const float32x4_t part = j ? v.b : v.a;
    return (f32_vec){vzip1q_f32(part, part), vzip2q_f32(part, part)};
}
FD_INLINE void f32_deinterleave2(f32_vec *to, const float *p) {
    const float32x4x2_t a = vld2q_f32(p), b = vld2q_f32(p + 8);
    to[0] = (f32_vec){a.val[0], b.val[0]};
    to[1] = (f32_vec){a.val[1], b.val[1]};
}

typedef struct f64_vec {
    float64x2_t a, b;
} f64_vec;
FD_INLINE f64_vec f64_load(const double *p) { return (f64_vec){vld1q_f64(p), vld1q_f64(p + 2)}; }
FD_INLINE void f64_store(double *p, f64_vec v) {
    vst1q_f64(p, v.a);
    vst1q_f64(p + 2, v.b);
}
FD_INLINE f64_vec f64_twice(float64x2_t v) { return (f64_vec){v, v}; }
FD_INLINE f64_vec f64_all(double x) { return f64_twice(vdupq_n_f64(x)); }
FD_INLINE f64_vec f64_repeat1(const double *p) { return f64_twice(vld1q_dup_f64(p)); }
FD_INLINE f64_vec f64_repeat2(const double *p) { return f64_twice(vld1q_f64(p)); }
BOTH(f64_vec, f64_add, vaddq_f64)
BOTH(f64_vec, f64_sub, vsubq_f64)
BOTH(f64_vec, f64_mul, vmulq_f64)
BOTH(f64_vec, f64_div, vdivq_f64)
BOTH(f64_vec, f64_max, vmaxq_f64)
BOTH(f64_vec, f64_min, vminq_f64)
FD_INLINE f64_vec f64_sqrt(f64_vec v) { return (f64_vec){vsqrtq_f64(v.a), vsqrtq_f64(v.b)}; }
FD_INLINE f64_vec f64_fma(f64_vec x, f64_vec y, f64_vec z) {
    return (f64_vec){vfmaq_f64(z.a, x.a, y.a), vfmaq_f64(z.b, x.b, y.b)};
}
FD_INLINE f64_vec f64_minus_fma(f64_vec x, f64_vec y, f64_vec z) {
    const f64_vec sum = f64_fma(x, y, z);
    return (f64_vec){vnegq_f64(sum.a), vnegq_f64(sum.b)};
}
FD_INLINE f64_vec f64_minus_abs(f64_vec v) {
    return (f64_vec){vnegq_f64(vabsq_f64(v.a)), vnegq_f64(vabsq_f64(v.b))};
}
FD_INLINE f64_vec f64_with_sign(f64_vec x, f64_vec of) {
    const uint64x2_t sign = vdupq_n_u64((uint64_t)1 << 63);
    return (f64_vec){vbslq_f64(sign, of.a, x.a), vbslq_f64(sign, of.b, x.b)};
}
FD_INLINE f64_vec f64_if_negative(f64_vec v, f64_vec x, f64_vec y) {
    return (f64_vec){vbslq_f64(vcltzq_f64(v.a), x.a, y.a), vbslq_f64(vcltzq_f64(v.b), x.b, y.b)};
}
FD_INLINE f64_vec f64_if_less(f64_vec u, f64_vec v, f64_vec x, f64_vec y) {
    return (f64_vec){vbslq_f64(vcltq_f64(u.a, v.a), x.a, y.a),
                     vbslq_f64(vcltq_f64(u.b, v.b), x.b, y.b)};
}
FD_INLINE float64x2_t f64_cleared(float64x2_t v, uint64x2_t where) {
    return vreinterpretq_f64_u64(vbicq_u64(vreinterpretq_u64_f64(v), where));
}
FD_INLINE f64_vec f64_masked(f64_vec v, f64_vec m) {
    return (f64_vec){f64_cleared(vmulq_f64(v.a, m.a), vceqzq_f64(m.a)),
                     f64_cleared(vmulq_f64(v.b, m.b), vceqzq_f64(m.b))};
}
FD_INLINE f64_vec f64_kept(f64_vec v, unsigned bits) {
    static const uint64_t each[] = {1, 2, 4, 8};
    const uint64x2_t set = vdupq_n_u64(bits);
    return (f64_vec){f64_cleared(v.a, vceqzq_u64(vandq_u64(set, vld1q_u64(each)))),
                     f64_cleared(v.b, vceqzq_u64(vandq_u64(set, vld1q_u64(each + 2))))};
}
FD_INLINE float64x2_t f64_power2(float64x2_t shifted) {
    const uint64x2_t n = vaddq_u64(vreinterpretq_u64_f64(shifted), vdupq_n_u64(1023));
    return vreinterpretq_f64_u64(vshlq_n_u64(n, 52));
}
FD_INLINE f64_vec f64_power(f64_vec shifted) {
    return (f64_vec){f64_power2(shifted.a), f64_power2(shifted.b)};
}
FD_INLINE float64x2_t f64_scaled2(float64x2_t v, float64x2_t shifted) {
    const int64x2_t rounder = vreinterpretq_s64_f64(vdupq_n_f64(0x1.8p52));
    const int64x2_t n = vsubq_s64(vreinterpretq_s64_f64(shifted), rounder);
    const int64x2_t half = vshrq_n_s64(n, 1), rest = vsubq_s64(n, half);
    const int64x2_t bias = vdupq_n_s64(1023);
    v = vmulq_f64(v, vreinterpretq_f64_s64(vshlq_n_s64(vaddq_s64(half, bias), 52)));
    return vmulq_f64(v, vreinterpretq_f64_s64(vshlq_n_s64(vaddq_s64(rest, bias), 52)));
}
FD_INLINE f64_vec f64_scaled(f64_vec v, f64_vec shifted) {
    return (f64_vec){f64_scaled2(v.a, shifted.a), f64_scaled2(v.b, shifted.b)};
}
FD_INLINE f64_vec f64_spread2(f64_vec v, int j) {
    const float64x2_t part = j ? v.b : v.a;
    return (f64_vec){vdupq_laneq_f64(part, 0), vdupq_laneq_f64(part, 1)};
}
FD_INLINE void f64_deinterleave2(f64_vec *to, const double *p) {
    const float64x2x2_t a = vld2q_f64(p), b = vld2q_f64(p + 4);
    to[0] = (f64_vec){a.val[0], b.val[0]};
    to[1] = (f64_vec){a.val[1], b.val[1]};
}

#include "simd_numbers_template.h"

#define NEON .name = "neon", SIMD_KERNELS, SIMD_LAYERS

const fd_kernels fd_kernels_neon = {NEON, .usable = usable, BY_HALVES};

/* ---- products of bfloat16, where the CPU has instructions for them ---- */

#if FD_BFLOAT16

static int usable_bf16(const fd_cpu *cpu) { return (cpu->hwcap2 & FD_HWCAP2_BF16) != 0; }

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("bf16"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("arch=armv8.2-a+bf16")
#endif

/* Of each 2 * width numbers the first `width` become the upper halves of the pairs. */
FD_INLINE void pairs_of(float *a, size_t numbers, const int width) {
    static const uint8_t order[2][16] = {{2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13},
                                         {4, 5, 0, 1, 6, 7, 2, 3, 12, 13, 8, 9, 14, 15, 10, 11}};
    const uint8x16_t places = vld1q_u8(order[width - 1]);
    for (size_t i = 0; i < numbers; i += 8) {
        float eight[8] = {0};
        const size_t some = numbers - i < 8 ? numbers - i : 8;
        memcpy(eight, a + i, some * sizeof *a);
        const bfloat16x8_t low = vcvtq_low_bf16_f32(vld1q_f32(eight));
        const bfloat16x8_t rounded = vcvtq_high_bf16_f32(low, vld1q_f32(eight + 4));
        vst1q_u8((uint8_t *)eight, vqtbl1q_u8(vreinterpretq_u8_bf16(rounded), places));
        memcpy(a + i / 2, eight, some / 2 * sizeof *a);
    }
}

static void operands_pairs(float *a, size_t n, size_t width) {
    if (width == 1)
        pairs_of(a, n, 1);
    else
        pairs_of(a, 2 * n, 2);
}

FD_INLINE float32x4_t plus_pairs(float32x4_t sum, float32x4_t factors, float32x4_t weights) {
    return vbfdotq_f32(sum, vreinterpretq_bf16_f32(factors), vreinterpretq_bf16_f32(weights));
}

#define NAMED(name) name##_pairs
#define PARTS 1
#define PART(pairs, part) (pairs)
#define PLUS(factor, weight, sum)                                                                \
    ((f32_vec){plus_pairs((sum).a, (factor).a, (weight).a),                                      \
               plus_pairs((sum).b, (factor).b, (weight).b)})
#include "simd_bfloat16_template.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

const fd_kernels fd_kernels_neon_bf16 = {
    NEON,
    .usable = usable_bf16,
    .bfloat16 = {.instruction = "bfdot", .operands = operands_pairs, .product = product_pairs},
};

#endif

#endif
