/* The portable tier: every kernel in plain C11, for any CPU. */
#include "kernels.h"
#include "philox.h"

#include <math.h>
#include <string.h>

static int usable(const fd_cpu *cpu) {
    (void)cpu;
    return 1;
}

/* One block: U < threshold for 128 numbers U, of which round r gives bit 31 - r
 * of each. Comparing from the top, a lane is decided at the first bit where U
 * and the threshold differ. Once the rest of the threshold is zero no U still
 * equal can be below it. Stopping early changes no bit. */
static void mask_block(uint8_t *bits, const fd_stream *s, uint64_t block) {
    uint32_t event[4] = {0, 0, 0, 0};
    uint32_t open[4] = {~0u, ~0u, ~0u, ~0u}; /* lanes where U equals the threshold so far */
    uint32_t rest = (uint32_t)s->threshold;  /* its bits not yet compared, left-aligned */
    for (uint32_t round = 0; rest && (open[0] | open[1] | open[2] | open[3]); round++) {
        uint32_t u[4] = {(uint32_t)block, (uint32_t)(block >> 32) | round << 24,
                         (uint32_t)s->stream, (uint32_t)(s->stream >> 32)};
        fd_philox4x32_10(u, u, s->k0, s->k1);
        const uint32_t bit = rest >> 31 ? ~0u : 0u;
        for (int w = 0; w < 4; w++) {
            event[w] |= open[w] & bit & ~u[w];
            open[w] &= ~(u[w] ^ bit);
        }
        rest <<= 1;
    }
    for (int i = 0; i < 16; i++)
        bits[i] = (uint8_t)(event[i / 4] >> (8 * (i % 4)));
}

static void mask_blocks(uint8_t *bits, const fd_stream *s, uint64_t first_block, size_t blocks) {
    for (size_t b = 0; b < blocks; b++)
        mask_block(bits + 16 * b, s, first_block + b);
}

static void philox_blocks(uint64_t *out, const fd_stream *s, uint32_t round, uint64_t first,
                          size_t blocks) {
    for (size_t b = 0; b < blocks; b++) {
        const uint64_t block = first + b;
        uint32_t w[4] = {(uint32_t)block, (uint32_t)(block >> 32) | round << 24,
                         (uint32_t)s->stream, (uint32_t)(s->stream >> 32)};
        fd_philox4x32_10(w, w, s->k0, s->k1);
        out[2 * b] = w[0] | (uint64_t)w[1] << 32;
        out[2 * b + 1] = w[2] | (uint64_t)w[3] << 32;
    }
}

/* Eight at a time: the byte with the bits, copied into every byte of a number, keeps bit j
 * in byte j, and adding 127 carries what is left into that byte's top. */
void fd_portable_expand_u8(uint8_t *out, const uint8_t *bits, size_t skip, size_t n) {
    const uint64_t each = 0x0101010101010101;
    const unsigned shift = skip % 8;
    const uint8_t *from = bits + skip / 8;
    size_t i = 0;
    for (; i + 8 <= n; i += 8, from++) {
        const int two = shift ? from[0] >> shift | from[1] << (8 - shift) : from[0];
        const uint64_t octet = (uint8_t)two;
        const uint64_t some = ((octet * each & 0x8040201008040201) + 0x7f * each) >> 7 & each;
        for (size_t j = 0; j < 8; j++)
            out[i + j] = (uint8_t)(some >> (8 * j));
    }
    for (; i < n; i++)
        out[i] = bits[(skip + i) / 8] >> ((skip + i) % 8) & 1u;
}

/* The 16-bit types as numbers, and back, rounded half to even. NaN stays NaN. */

static float float_of_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static uint32_t bits_of_float(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static float from_f16(uint16_t h) {
    const uint32_t exponent = h >> 10 & 31u, fraction = h & 0x3ffu;
    const uint32_t sign = (uint32_t)(h >> 15) << 31;
    if (exponent == 0)
        return (sign ? -0x1p-24f : 0x1p-24f) * (float)fraction;
    return float_of_bits(sign | (exponent == 31 ? 255 : exponent + 112) << 23 | fraction << 13);
}

static uint16_t to_f16(float f) {
    const uint32_t bits = bits_of_float(f), sign = bits >> 16 & 0x8000u;
    const uint32_t size = bits & 0x7fffffffu;
    uint32_t h;
    if (size > 0x7f800000u) /* NaN, quiet */
        h = 0x7e00u | (size >> 13 & 0x3ffu);
    else if (size >= 0x477ff000u) /* from 65520 on */
        h = 0x7c00u;
    else if (size < 0x38800000u) /* below 2^-14: a multiple of 2^-24, as are floats in [0.5, 1) */
        h = bits_of_float(float_of_bits(size) + 0.5f) - bits_of_float(0.5f);
    else
        h = (size - 0x38000000u + 0xfffu + (size >> 13 & 1u)) >> 13;
    return (uint16_t)(sign | h);
}

static float from_bf16(uint16_t b) { return float_of_bits((uint32_t)b << 16); }

/* Only for products of such numbers: the lower half of their NaN is zero, so that rounding
 * does not carry out of it. */
static uint16_t to_bf16(float f) {
    const uint32_t bits = bits_of_float(f);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static void expand_u8(uint8_t *out, const uint8_t *bits, size_t skip, size_t n) {
    fd_portable_expand_u8(out, bits, skip, n);
}

#include "plain_template.h"

#define EXPAND(NAME, TYPE)                                                                       \
    void fd_portable_expand_##NAME(TYPE *out, const uint8_t *bits, size_t skip, size_t n) {      \
        BY_BITS(out[j] = (TYPE)event)                                                            \
    }
EXPAND(f32, float)
EXPAND(f64, double)

#define DROP(NAME, TYPE, SCALE, PRODUCT)                                                         \
    void fd_portable_drop_##NAME(TYPE *out, const TYPE *x, SCALE scale, const uint8_t *bits,     \
                                 size_t skip, size_t n, int past_cache) {                        \
        (void)past_cache;                                                                        \
        BY_BITS(const TYPE kept = PRODUCT; out[j] = event ? 0 : kept)                            \
    }
DROP(f16, uint16_t, float, to_f16(scale *from_f16(x[j])))
DROP(bf16, uint16_t, float, to_bf16(scale *from_bf16(x[j])))
DROP(f32, float, float, scale *x[j])
DROP(f64, double, double, scale *x[j])

/* ---- layers ---- */

/* e^v = scale * (1 + rest), without the C library: its exp and tanh are slower
 * (half of a small layer's time) and differ from system to system.
 *
 * v = n ln 2 + r with |r| <= ln 2 / 2, scale = 2^n, and rest = e^r - 1 by its
 * Taylor polynomial, whose leading term keeps it exact where r is tiny. NaN
 * comes out as NaN. Beyond the limits e^v is taken for its value there. */
typedef struct exponential {
    double scale, rest;
} exponential;

/* 1 / 1!, 1 / 2!, 1 / 3!, ... */
static const double taylor[] = {
    1.0,
    1.0 / 2,
    1.0 / 6,
    1.0 / 24,
    1.0 / 120,
    1.0 / 720,
    1.0 / 5040,
    1.0 / 40320,
    1.0 / 362880,
    1.0 / 3628800,
    1.0 / 39916800,
    1.0 / 479001600,
    1.0 / 6227020800,
};

static const double rounder = 0x1.8p52; /* adding it rounds to an integer, in the low bits */

/* rest; shifted: n plus the rounder. */
static inline double exponential_rest(double v, int degree, double *shifted) {
    *shifted = v * 0x1.71547652b82fep0 + rounder; /* 1 / ln 2 */
    const double n = *shifted - rounder;
    /* ln 2 in two parts, the first so short that n times it is exact. */
    const double r = v - n * 0x1.62e42feep-1 - n * 0x1.a39ef35793c76p-33;
    double sum = taylor[degree - 1];
    for (int k = degree - 1; k > 0; k--)
        sum = sum * r + taylor[k - 1];
    return r * sum;
}

/* 2^n, a normal number */
static inline double power(uint64_t n) {
    const uint64_t bits = (n + 1023) << 52;
    double a;
    memcpy(&a, &bits, sizeof a);
    return a;
}

static inline exponential exponential_of(double v, int degree) {
    v = v < -708 ? -708 : v; /* one comparison a statement, so that loops vectorize */
    v = v > 709 ? 709 : v;
    double shifted;
    const double rest = exponential_rest(v, degree, &shifted);
    return (exponential){.scale = power(bits_of(shifted)), .rest = rest};
}

static inline double sigmoid(double v, int degree) {
    const exponential e = exponential_of(-v, degree);
    return 1 / (1 + e.scale + e.scale * e.rest);
}

/* -u / (2 + u) with u = e^(-2|v|) - 1: exact for small v too. */
static inline double hyperbolic_tangent(double v, int degree) {
    const exponential e = exponential_of(-2 * fabs(v), degree);
    const double u = (e.scale - 1) + e.scale * e.rest;
    return copysign(u / (2 + u), v);
}

/* a e^v, down to the smallest number and up to infinity: the power of two in two steps. */
static inline double times_exponential(double a, double v, int degree) {
    double shifted;
    v = v < -760 ? -760 : v;
    v = v > 710 ? 710 : v;
    const double rest = exponential_rest(v, degree, &shifted);
    const uint64_t n = bits_of(shifted) - bits_of(rounder);
    const uint64_t half = (n + 2048) / 2 - 1024;
    return (a + a * rest) * power(half) * power(n - half);
}

/* e^v - 1 for v <= 0 */
static inline double exponential_less_one(double v, int degree) {
    const exponential e = exponential_of(v, degree);
    return (e.scale - 1) + e.scale * e.rest;
}

/* v / (1 + e^-w), for w of v's sign */
static inline double gated(double v, double w, int degree) {
    const double t = times_exponential(1, -fabs(w), degree);
    return w < 0 ? times_exponential(v, w, degree) / (1 + t) : v / (1 + t);
}

/* Products are v's limit from so far below zero on. */
static inline double not_below(double v, double low) { return v < low ? low : v; }

static double silu(double v, int degree) {
    v = not_below(v, -800);
    return gated(v, v, degree);
}

static double gelu_tanh(double v, int degree) {
    const double root = 1.5957691216057308; /* 2 sqrt(2 / pi) */
    v = not_below(v, -40);
    return v > 40 ? v : gated(v, root * (v + 0.044715 * v * v * v), degree);
}

static double mish(double v, int degree) {
    v = not_below(v, -800);
    const double t = times_exponential(1, -fabs(v), degree);
    if (v < 0)
        return times_exponential(v, v, degree) * (2 + t) / (2 + t * (2 + t));
    return v * (1 + 2 * t) / (1 + 2 * t * (1 + t));
}

/* max(v, 0) - y Q(y), y = |v|, with Q(y) = e^(-y^2 / 2) (1 + s) / (2 + 3 y) what the normal
 * distribution has beyond y. */
static double gelu(double v, int degree) {
    static const double c[] = {
        /* Chebyshev's, of s (y + 5) / y by falling powers of q: 2^-60 */
        -0x1.1fb6b4874c50bp-30, -0x1.d5ba3c9bbc11ap-29, 0x1.6cbb9b5ab073bp-28,
        0x1.088ab577c71ebp-25,  -0x1.16272c3ffe242p-26, -0x1.a4c4d8e85cba1p-23,
        0x1.0850663dd2e88p-24,  0x1.44cae16eda593p-20,  -0x1.400249476337ep-21,
        -0x1.03e64ce02f1a8p-17, 0x1.22ffaa7e346b9p-17,  0x1.9497cc69c67c1p-15,
        -0x1.fb13102027418p-14, -0x1.a909809a480ddp-13, 0x1.73990966b0c33p-10,
        -0x1.adbe0a453acadp-10, -0x1.22332d95746dep-7,  0x1.b01826bc8de7p-5,
        -0x1.4b442c77a623fp-3,  0x1.6c570522fcfd8p-2,   -0x1.384720e6ef765p-1,
        0x1.a9d48589f5706p-1,   -0x1.c15bfd53a26ddp-1,  0x1.3b02e2004fce9p-1,
    };
    double y = fabs(v), s = 0;
    y = y > 39 ? 39 : y;
    const double q = (y - 5) / (y + 5);
    for (size_t k = 0; k < sizeof c / sizeof *c; k++)
        s = s * q + c[k];
    s = s * (y / (y + 5));
    /* The square's first part is exact. */
    uint64_t bits = bits_of(y) & ~(uint64_t)0x7ffffff;
    double high;
    memcpy(&high, &bits, sizeof high);
    const double above = 0.5 * y * (1 + s) / (1 + 1.5 * y);
    const double rest = -0.5 * (y - high) * (y + high);
    const double tail =
        times_exponential(above + above * (rest + rest * rest / 2), -0.5 * high * high, degree);
    return copysign((v < 0 ? 0 : v) - tail, v);
}

/* log(1 + t) for 0 <= t <= 1: with f = t, or half of t - 1 and ln 2 more, and s = f / (2 + f),
 * 2 s + 2 s^3 / 3 + 2 s^5 / 5 + ..., written so that f stands alone and nothing else is large. */
static inline double logarithm(double t) {
    const int far = t > 0.5;
    const double f = far ? 0.5 * (t - 1) : t;
    const double high = far ? 0x1.62e42feep-1 : 0, low = far ? 0x1.a39ef35793c76p-33 : 0;
    const double s = f / (2 + f), z = s * s, square = 0.5 * f * f;
    double sum = 0;
    for (int k = 23; k > 1; k -= 2)
        sum = sum * z + 2.0 / k;
    return high + (f - (square - (s * (square + z * sum) + low)));
}

static double softplus(double v, int degree) {
    return (v < 0 ? 0 : v) + logarithm(times_exponential(1, -fabs(v), degree));
}

/* For small v as a fraction of series without a difference: v cosh(v) - sinh(v) by cosh(v). */
static double tanh_shrink(double v, int degree) {
    if (!(fabs(v) < 2))
        return v - hyperbolic_tangent(v, degree);
    const double z = v * v;
    double above = 0, below = 0, factorial = 8.683317618811886e36; /* 33! */
    for (int k = 16; k > 0; k--) {
        above = above * z + 2 * k / factorial;
        factorial /= 2 * k + 1;
        below = below * z + 1 / factorial;
        factorial /= 2 * k;
    }
    return v * z * above / (1 + z * below);
}

/* Below zero as b / 4 over the same of -v, where nothing cancels. */
static double squareplus(double v, double b) {
    const double y = fabs(v), mean = 0.5 * (y > 0x1p500 ? y : sqrt(y * y + b)) + 0.5 * y;
    return v < 0 ? 0.25 * b / mean : mean;
}

/* NaN gets through, and whatever is not NaN is `value`. */
static inline double unless_nan(double v, double value) { return v != v ? v : value; }

/* Those that few layers have; rounded once at the end. */
static double other(double v, const fd_activation *activation, double a, double b, double c,
                    int degree) {
    switch (activation->function) {
    case FD_BENT_RELU:
        if (v > c)
            return v > b ? b : v;
        return a == 0 ? unless_nan(v, 0) : a * (v - c);
    case FD_RELU6:
        v = v > 0 ? v : unless_nan(v, 0);
        return v > 6 ? 6 : v;
    case FD_LEAKY_RELU:
        return v < 0 ? a * v : v;
    case FD_ELU:
        return v < 0 ? a * exponential_less_one(v, degree) : v;
    case FD_SELU:
        return 1.0507009873554805 *
               (v < 0 ? 1.6732632423543772 * exponential_less_one(v, degree) : v);
    case FD_CELU:
        return v < 0 ? a * exponential_less_one(v / a, degree) : v;
    case FD_GELU:
        return gelu(v, degree);
    case FD_GELU_TANH:
        return gelu_tanh(v, degree);
    case FD_SILU:
        return silu(v, degree);
    case FD_MISH:
        return mish(v, degree);
    case FD_SOFTPLUS:
        return softplus(v, degree);
    case FD_LOG_SIGMOID:
        return -softplus(-v, degree);
    case FD_SOFTSIGN: /* +-1 from 2^55 on, at infinity too */
        v = v > 0x1p55 ? 0x1p55 : not_below(v, -0x1p55);
        return v / (1 + fabs(v));
    case FD_EXPONENTIAL:
        return times_exponential(1, v, degree);
    case FD_HARD_SILU:
        if (v > 3)
            return v;
        v = not_below(v, -3);
        return v * (v + 3) / 6;
    case FD_HARD_TANH:
        v = not_below(v, -1);
        return v > 1 ? 1 : v;
    case FD_TANH_SHRINK:
        return tanh_shrink(v, degree);
    case FD_SOFT_SHRINK:
        return v > a ? v - a : v < -a ? v + a : unless_nan(v, 0);
    case FD_HARD_SHRINK:
        return fabs(v) > a ? v : unless_nan(v, 0);
    case FD_THRESHOLD:
        return v > a ? v : unless_nan(v, b);
    case FD_SPARSE_PLUS:
        if (!(v < 1))
            return v;
        v = not_below(v, -1) + 1;
        return 0.25 * v * v;
    case FD_SPARSE_SIGMOID:
        v = 0.5 * (not_below(v, -1) + 1);
        return v > 1 ? 1 : v;
    case FD_SQUAREPLUS:
        return squareplus(v, a);
    default:
        return v;
    }
}

#define REAL float
#define SUFFIXED(name) name##_f32
#define PANEL FD_PANEL_F32
#define DEGREE 8 /* the polynomial's error is small against the type's last bit */
#include "portable_layers_template.h"

#define REAL double
#define SUFFIXED(name) name##_f64
#define PANEL FD_PANEL_F64
#define DEGREE 13
#include "portable_layers_template.h"

/* Nearest, ties to even, to bfloat16 in a float; NaN stays NaN. */
void fd_portable_bfloat16_operands(float *a, size_t n, size_t width) {
    for (size_t i = 0; i < n * width; i++) {
        uint32_t bits;
        memcpy(&bits, a + i, sizeof bits);
        const uint32_t rounded = bits + 0x7fff + (bits >> 16 & 1);
        const uint32_t nan = bits | 0x400000;
        bits = ((bits & 0x7fffffff) > 0x7f800000 ? nan : rounded) & 0xffff0000;
        memcpy(a + i, &bits, sizeof bits);
    }
}

static void product_of_pairs(float *z, size_t z_stride, const float *const *start, const float *a,
                             size_t a_stride, const float *panel, size_t panel_stride, size_t n,
                             size_t columns, size_t rows, size_t width, int backwards) {
    (void)backwards;
    for (size_t p = 0; p < fd_panels_f32(columns); p++)
        for (size_t r = 0; r < rows; r++) {
            const float *pair = panel + p * panel_stride, *at = a + r * a_stride;
            float sum[FD_PANEL_F32];
            memcpy(sum, (start ? start[r] : z + r * z_stride) + p * FD_PANEL_F32, sizeof sum);
            for (size_t k = 0; k < 2 * n; k++, at += width)
                for (size_t j = 0; j < FD_PANEL_F32; j++) {
                    uint32_t bits;
                    float weight;
                    memcpy(&bits, pair + k / 2 * FD_PANEL_F32 + j, sizeof bits);
                    bits = k % 2 ? bits << 16 : bits & 0xffff0000;
                    memcpy(&weight, &bits, sizeof weight);
                    sum[j] = sum[j] + at[j % width] * weight;
                }
            for (size_t j = 0; j < FD_PANEL_F32; j++)
                sum[j] = sum[j] + 0; /* as above */
            memcpy(z + r * z_stride + p * FD_PANEL_F32, sum, sizeof sum);
        }
}

const fd_kernels fd_kernels_portable = {
    .name = "portable",
    .usable = usable,
    .mask_blocks = mask_blocks,
    .expand_u8 = fd_portable_expand_u8,
    .expand_f32 = fd_portable_expand_f32,
    .expand_f64 = fd_portable_expand_f64,
    .drop_f16 = fd_portable_drop_f16,
    .drop_bf16 = fd_portable_drop_bf16,
    .drop_f32 = fd_portable_drop_f32,
    .drop_f64 = fd_portable_drop_f64,
    PLAIN_KERNELS,
    .rows = 1,
    .f32 = LAYER_KERNELS(f32),
    .f64 = LAYER_KERNELS(f64),
    .bfloat16 = {.operands = fd_portable_bfloat16_operands, .product = product_of_pairs},
};
