/* Layers on vectors for one floating-point type, once for all vector tiers.
 *
 * REAL, SUFFIXED(name), PANEL, ROUNDER, the constants of its activations, and V(name), the type's
 * vector operations:
 *   vec, lanes; load, store, all; repeat1, repeat2 (1 or 2 numbers over and over);
 *   spread2 (part j of a vector, each number twice); deinterleave2 (every 2nd number of 2
 * vectors); add, sub, mul, div, sqrt, fma (a * b + c), minus_fma (-(a * b) - c); minus_abs,
 * with_sign; max and min (b where a number is NaN); if_negative (v < 0 ? a : b; -0 may be
 * either), if_less (u < v ? a : b), masked (m == 0 ? +0 : a * m), kept (+0 where the bit is not
 * set; bits past the vector's do not matter); and with n the integer that was rounded by adding
 * ROUNDER: power (2^n, a normal number), scaled (a * 2^n, rounded once). TILES(CASE) lists the
 * tiles that fit into registers: CASE(rows, panels, width) with 2 .. TILE_ROWS rows and 0 (half a
 * panel), 1 or TILE_PANELS panels, and twice as many up to FEW_ROWS; ROW_TILES(CASE) one row with
 * 1 .. ROW_PANELS. There are REGISTERS for vectors. HALF(name) has vec, load, store, all,
 * repeat1, repeat2, add and fma for vectors of half a panel.
 *
 * Every tier does the same operations in the same order, so all agree bit for bit. */

#define VEC V(vec)
#define REALS ((int)(sizeof(VEC) / sizeof(REAL)))
#define PER_PANEL (PANEL / REALS)

/* ---- products ---- */

#define NAMED(name) SUFFIXED(name)
#define PARTS 1
#define PART(panels, part) (panels)
#define PLUS(factor, weight, sum) OF(fma)(factor, weight, sum)
#include "simd_product_template.h"

FD_INLINE void SUFFIXED(masked_operand)(REAL *a, const REAL *v, const REAL *factors, size_t n,
                                        const size_t width) {
    size_t k = 0;
    FD_NO_UNROLL
    for (; k + REALS <= n; k += REALS) {
        const VEC number = V(load)(v + k);
        FD_UNROLL
        for (int j = 0; j < (int)width; j++, a += REALS, factors += REALS) {
            const VEC spread = width == 1 ? number : V(spread2)(number, j);
            V(store)(a, V(masked)(spread, V(load)(factors)));
        }
    }
    for (; k < n; k++)
        for (size_t g = 0; g < width; g++, a++, factors++)
            *a = *factors == 0 ? 0 : v[k] * *factors;
}

static void SUFFIXED(operand)(REAL *a, const REAL *v, const REAL *factors, size_t n,
                              size_t width) {
    if (!factors)
        memcpy(a, v, n * sizeof *a);
    else if (width == 1)
        SUFFIXED(masked_operand)(a, v, factors, n, 1);
    else
        SUFFIXED(masked_operand)(a, v, factors, n, 2);
}

/* Bits of vector i, and some behind them: read as a word, for that is loaded and repeated in one.
 */
FD_INLINE unsigned SUFFIXED(bits_of)(const uint8_t *bits, size_t i) {
    if (REALS < 8)
        return (unsigned)bits[i * REALS / 8] >> i * REALS % 8;
    uint32_t word;
    memcpy(&word, bits + i * REALS / 8, sizeof word);
    return word;
}

FD_INLINE void SUFFIXED(kept_operand)(REAL *a, const REAL *v, REAL scale, const uint8_t *bits,
                                      size_t n, const size_t width) {
    size_t i = 0, k = 0;
    FD_NO_UNROLL
    for (; k + REALS <= n; k += REALS) {
        const VEC number = V(mul)(V(load)(v + k), V(all)(scale));
        FD_UNROLL
        for (int j = 0; j < (int)width; j++, i++) {
            const VEC spread = width == 1 ? number : V(spread2)(number, j);
            V(store)(a + i * REALS, V(kept)(spread, SUFFIXED(bits_of)(bits, i)));
        }
    }
    for (i *= REALS; i < n * width; i++)
        a[i] = bits[i / 8] >> i % 8 & 1 ? v[i / width] * scale : 0;
}

static void SUFFIXED(operand_kept)(REAL *a, const REAL *v, REAL scale, const uint8_t *bits,
                                   size_t n, size_t width) {
    if (width == 1)
        SUFFIXED(kept_operand)(a, v, scale, bits, n, 1);
    else
        SUFFIXED(kept_operand)(a, v, scale, bits, n, 2);
}

/* ---- activations ---- */

/* c[0] x^(n - 1) + ... + c[n - 1] */
FD_INLINE VEC SUFFIXED(polynomial)(VEC x, const REAL *c, const size_t n) {
    VEC sum = V(all)(c[0]);
    FD_UNROLL
    for (size_t k = 1; k < n; k++)
        sum = V(fma)(sum, x, V(all)(c[k]));
    return sum;
}

/* P(r), where e^r = 1 + r + r^2 P(r). */
FD_INLINE VEC SUFFIXED(exponential_of)(VEC r) {
    static const REAL c[] = EXPONENTIAL;
    return SUFFIXED(polynomial)(r, c, sizeof c / sizeof *c);
}

/* e^v = 2^n (1 + rest), v = n ln 2 + r, and rest = r + r^2 P(r), which keeps it exact where r is
 * tiny. What is below `lowest` is taken for it; above, n is as large as it may be. */
FD_INLINE VEC SUFFIXED(exponential)(VEC v, REAL lowest, VEC *shifted) {
    v = V(max)(V(all)(lowest), v);
    *shifted = V(fma)(v, V(all)(LOG2_E), V(all)(ROUNDER));
    const VEC n = V(sub)(*shifted, V(all)(ROUNDER));
    const VEC most = V(fma)(n, V(all)(-LN2_HIGH), v); /* exact */
    const VEC r = V(fma)(n, V(all)(-LN2_LOW), most);
    const VEC lost = V(fma)(n, V(all)(-LN2_LOW), V(sub)(most, r)); /* in rounding r */
    return V(add)(r, V(fma)(V(mul)(r, r), SUFFIXED(exponential_of)(r), lost));
}

/* e^v - 1 for v <= 0, and what is lost in rounding it; it is -1 from -50 on. */
FD_INLINE VEC SUFFIXED(less_one)(VEC v, VEC *lost) {
    VEC shifted;
    const VEC rest = SUFFIXED(exponential)(v, -50, &shifted), one = V(all)(1);
    const VEC scale = V(scaled)(one, shifted), most = V(sub)(scale, one);
    const VEC u = V(fma)(scale, rest, most);
    *lost = V(fma)(scale, rest, V(sub)(most, u));
    return u;
}

/* above / (a + b), rounded once but for little, for |a| >= |b| and 1 <= a + b <= 2: q, the
 * quotient by the rounded sum, and over that sum what is left of `above`, and `more`. */
FD_INLINE VEC SUFFIXED(corrected)(VEC q, VEC above, VEC a, VEC b, VEC more) {
    const VEC below = V(add)(a, b), gained = V(sub)(V(sub)(below, a), b);
    const VEC reciprocal = V(fma)(below, V(all)((REAL)-0.5), V(all)((REAL)1.5)); /* roughly */
    const VEC left = V(minus_fma)(q, below, V(sub)(V(all)(0), above));
    return V(fma)(V(add)(V(fma)(q, gained, left), more), reciprocal, q);
}

/* With t = e^-|v|: 1 / (1 + t) for v >= 0, t / (1 + t) below, down to the smallest number. */
FD_INLINE VEC SUFFIXED(sigmoid)(VEC v) {
    const VEC one = V(all)(1);
    VEC shifted;
    const VEC rest = SUFFIXED(exponential)(V(minus_abs)(v), LOWEST, &shifted);
    const VEC t = V(scaled)(V(add)(one, rest), shifted);
    const VEC above = V(if_negative)(v, t, one), q = V(div)(above, V(add)(one, t));
    return SUFFIXED(corrected)(q, above, one, t, V(all)(0));
}

/* With u = e^(-2 |v|) - 1, exact for small v too: -u / (2 + u), and the sign of v. */
FD_INLINE VEC SUFFIXED(tangent)(VEC v) {
    VEC lost; /* above and below */
    const VEC u = SUFFIXED(less_one)(V(minus_abs)(V(add)(v, v)), &lost);
    const VEC two = V(all)(2), q = V(div)(u, V(add)(two, u));
    const VEC more = V(mul)(lost, V(sub)(V(all)(1), q));
    return V(with_sign)(SUFFIXED(corrected)(q, u, two, u, more), v);
}

/* The constant comes first, so that NaN gets through. */
FD_INLINE VEC SUFFIXED(between)(REAL low, VEC v, REAL high) {
    return V(min)(V(all)(high), V(max)(V(all)(low), v));
}

/* A sum of two numbers, the second so small that it is lost in rounding. */
typedef struct SUFFIXED(pair) {
    VEC most, lost;
} SUFFIXED(pair);

/* a + b c, where a is not much the smaller. */
FD_INLINE SUFFIXED(pair) SUFFIXED(plus_product)(VEC a, VEC b, VEC c) {
    const VEC most = V(fma)(b, c, a);
    return (SUFFIXED(pair)){most, V(fma)(b, c, V(sub)(a, most))};
}

FD_INLINE VEC SUFFIXED(ratio)(SUFFIXED(pair) above, SUFFIXED(pair) below) {
    const VEC q = V(div)(above.most, below.most);
    const VEC left = V(minus_fma)(q, below.most, V(sub)(V(all)(0), above.most));
    const VEC more = V(minus_fma)(q, below.lost, V(sub)(V(all)(0), above.lost));
    return V(add)(q, V(div)(V(add)(left, more), below.most));
}

/* rest of e^(v + lost) from that of e^v */
FD_INLINE VEC SUFFIXED(with_lost)(VEC rest, VEC lost) {
    return V(fma)(lost, V(add)(V(all)(1), rest), rest);
}

/* x / (1 + e^-w) for x of w's sign. Where that is negative x is multiplied by 1 + rest, and the
 * power of two comes last: the sigmoid by itself would have become denormal before. */
FD_INLINE VEC SUFFIXED(gated)(VEC x, SUFFIXED(pair) w) {
    const VEC zero = V(all)(0), one = V(all)(1);
    VEC shifted;
    const VEC lost = V(if_less)(w.most, zero, w.lost, V(sub)(zero, w.lost));
    const VEC of_most = SUFFIXED(exponential)(V(minus_abs)(w.most), LOWEST, &shifted);
    const VEC rest = SUFFIXED(with_lost)(of_most, lost), whole = V(add)(one, rest);
    const VEC t = V(scaled)(whole, shifted), sum = V(add)(one, t);
    const VEC t_lost = V(scaled)(V(add)(V(sub)(one, whole), rest), shifted);
    const SUFFIXED(pair) below = {sum, V(add)(V(add)(V(sub)(one, sum), t), t_lost)};
    SUFFIXED(pair) above = SUFFIXED(plus_product)(x, x, V(if_less)(w.most, zero, rest, zero));
    const VEC q = SUFFIXED(ratio)(above, below);
    return V(if_less)(w.most, zero, V(scaled)(q, shifted), q);
}

/* x times a sigmoid is x from here on. */
#define WHOLE 40

FD_INLINE VEC SUFFIXED(silu)(VEC v) {
    const VEC x = SUFFIXED(between)(LOWEST, v, WHOLE);
    const VEC value = SUFFIXED(gated)(x, (SUFFIXED(pair)){x, V(all)(0)});
    return V(with_sign)(V(if_less)(V(all)(WHOLE), v, v, value), v);
}

/* v sigmoid(w), w = v (a + b v^2), which is 1 + tanh(w / 2) over 2. */
FD_INLINE VEC SUFFIXED(gelu_tanh)(VEC v) {
    static const REAL a[] = GELU_A, b[] = GELU_B; /* each in two parts */
    const REAL end = 22;
    const VEC x = SUFFIXED(between)(-end, v, end), zero = V(all)(0);
    const VEC p = V(mul)(x, x), p_lost = V(fma)(x, x, V(sub)(zero, p));
    const VEC s = V(mul)(p, V(all)(b[0]));
    const VEC of_s = V(fma)(p, V(all)(b[0]), V(sub)(zero, s));
    const VEC s_lost = V(add)(of_s, V(fma)(p, V(all)(b[1]), V(mul)(p_lost, V(all)(b[0]))));
    const VEC sum = V(add)(V(all)(a[0]), s), of_b = V(sub)(sum, V(all)(a[0]));
    const VEC rounded = V(add)(V(sub)(V(all)(a[0]), V(sub)(sum, of_b)), V(sub)(s, of_b));
    const VEC sum_lost = V(add)(rounded, V(add)(s_lost, V(all)(a[1])));
    const VEC w = V(mul)(x, sum);
    const VEC w_lost = V(fma)(x, sum_lost, V(fma)(x, sum, V(sub)(zero, w)));
    const VEC value = SUFFIXED(gated)(x, (SUFFIXED(pair)){w, w_lost});
    return V(with_sign)(V(if_less)(V(all)(end), v, v, value), v);
}

/* max(v, 0) - y Q(y), y = |v|, with Q(y) = e^(-y^2 / 2) (1 + s) / (2 + 3 y) what the normal
 * distribution has beyond y, and s a polynomial in q = (y - k) / (y + k) times y / (y + k). */
FD_INLINE VEC SUFFIXED(gelu)(VEC v) {
    static const REAL c[] = NORMAL_TAIL;
    const VEC zero = V(all)(0), k = V(all)(NORMAL_CENTRE);
    const VEC y = V(min)(V(all)(NORMAL_END), V(sub)(zero, V(minus_abs)(v)));
    const VEC half = V(mul)(y, V(all)((REAL)0.5)), square = V(mul)(y, half);
    const VEC square_lost = V(fma)(y, half, V(sub)(zero, square));
    VEC shifted;
    const VEC of_most = SUFFIXED(exponential)(V(sub)(zero, square), LOWEST, &shifted);
    const VEC rest = SUFFIXED(with_lost)(of_most, V(sub)(zero, square_lost));
    const VEC part = V(div)(y, V(add)(y, k)), q = V(fma)(V(all)(2), part, V(all)(-1));
    const VEC s = V(mul)(part, SUFFIXED(polynomial)(q, c, sizeof c / sizeof *c));
    /* (1 + rest) (1 + s) = 1 + most + lost */
    const VEC sum = V(add)(rest, s), of_s = V(sub)(sum, rest);
    const VEC sum_lost = V(add)(V(sub)(rest, V(sub)(sum, of_s)), V(sub)(s, of_s));
    const SUFFIXED(pair) both = SUFFIXED(plus_product)(sum, rest, s);
    SUFFIXED(pair) above = SUFFIXED(plus_product)(half, half, both.most);
    above.lost = V(fma)(half, V(add)(both.lost, sum_lost), above.lost);
    const SUFFIXED(pair) below = SUFFIXED(plus_product)(V(all)(1), y, V(all)((REAL)1.5));
    const VEC tail = V(scaled)(SUFFIXED(ratio)(above, below), shifted);
    return V(with_sign)(V(sub)(V(max)(zero, v), tail), v);
}

/* v tanh(log(1 + e^v)), by t = e^-|v|: v (1 + 2 t) / (1 + 2 t + 2 t^2) for v >= 0 and
 * v t (2 + t) / (2 + 2 t + t^2) below, where the power of two comes last as in `gated`. */
FD_INLINE VEC SUFFIXED(mish)(VEC v) {
    const VEC zero = V(all)(0), one = V(all)(1), two = V(all)(2);
    const VEC x = SUFFIXED(between)(LOWEST, v, WHOLE);
    VEC shifted;
    const VEC rest = SUFFIXED(exponential)(V(minus_abs)(x), LOWEST, &shifted);
    const VEC t = V(scaled)(V(add)(one, rest), shifted);
    const VEC a = V(if_less)(x, zero, two, one), b = V(if_less)(x, zero, one, two);
    const SUFFIXED(pair) inner = SUFFIXED(plus_product)(two, b, t);
    SUFFIXED(pair) below = SUFFIXED(plus_product)(a, t, inner.most);
    below.lost = V(fma)(t, inner.lost, below.lost);
    const SUFFIXED(pair) factor = SUFFIXED(plus_product)(a, b, t);
    const VEC most = V(mul)(x, factor.most);
    const VEC lost = V(fma)(x, factor.lost, V(fma)(x, factor.most, V(sub)(zero, most)));
    SUFFIXED(pair) above = SUFFIXED(plus_product)(most, most, V(if_less)(x, zero, rest, zero));
    above.lost = V(add)(above.lost, lost);
    const VEC q = SUFFIXED(ratio)(above, below);
    const VEC value = V(if_less)(x, zero, V(scaled)(q, shifted), q);
    return V(with_sign)(V(if_less)(V(all)(WHOLE), v, v, value), v);
}

/* log(1 + t) for 0 <= t <= 1: with f = t, or half of t - 1 and ln 2 more, and s = f / (2 + f),
 * 2 s + 2 s^3 / 3 + 2 s^5 / 5 + ..., written so that f stands alone and nothing else is large. */
FD_INLINE VEC SUFFIXED(logarithm)(VEC t) {
    static const REAL c[] = LOGARITHM;
    const VEC zero = V(all)(0), half = V(all)((REAL)0.5);
    const VEC f = V(if_less)(half, t, V(mul)(half, V(sub)(t, V(all)(1))), t);
    const VEC high = V(if_less)(half, t, V(all)(LN2_HIGH), zero);
    const VEC low = V(if_less)(half, t, V(all)(LN2_LOW), zero);
    const VEC s = V(div)(f, V(add)(V(all)(2), f)), z = V(mul)(s, s);
    const VEC series = V(mul)(z, SUFFIXED(polynomial)(z, c, sizeof c / sizeof *c));
    const VEC square = V(mul)(half, V(mul)(f, f));
    const VEC more = V(fma)(s, V(add)(square, series), low);
    return V(add)(high, V(sub)(f, V(sub)(square, more)));
}

FD_INLINE VEC SUFFIXED(softplus)(VEC v) {
    VEC shifted;
    const VEC rest = SUFFIXED(exponential)(V(minus_abs)(v), LOWEST, &shifted);
    const VEC t = V(scaled)(V(add)(V(all)(1), rest), shifted);
    return V(add)(V(max)(V(all)(0), v), SUFFIXED(logarithm)(t));
}

FD_INLINE VEC SUFFIXED(selu)(VEC v) {
    static const REAL above[] = SELU_ABOVE, below[] = SELU_BELOW; /* each in two parts */
    const VEC zero = V(all)(0);
    VEC lost;
    const VEC u = SUFFIXED(less_one)(V(min)(zero, v), &lost);
    const VEC rest = V(fma)(u, V(all)(below[1]), V(mul)(lost, V(all)(below[0])));
    const VEC positive = V(fma)(v, V(all)(above[0]), V(mul)(v, V(all)(above[1])));
    return V(if_less)(v, zero, V(fma)(u, V(all)(below[0]), rest), positive);
}

/* max(v, 0) + alpha (e^(min(v, 0) / alpha) - 1) */
FD_INLINE VEC SUFFIXED(celu)(VEC v, REAL alpha) {
    const VEC zero = V(all)(0), a = V(all)(alpha);
    const VEC x = V(min)(zero, V(max)(V(all)(-60 * alpha), v)), q = V(div)(x, a);
    const VEC left = V(minus_fma)(q, a, V(sub)(zero, x));
    VEC lost;
    const VEC u = SUFFIXED(less_one)(q, &lost), more = V(div)(left, a);
    lost = V(fma)(more, V(add)(V(all)(1), u), lost);
    return V(if_less)(v, zero, V(fma)(a, u, V(mul)(a, lost)), v);
}

/* (v + sqrt(v^2 + b)) / 2, below zero as b / 4 over the same of -v, where nothing cancels. */
FD_INLINE VEC SUFFIXED(squareplus)(VEC v, REAL b) {
    const VEC zero = V(all)(0), half = V(all)((REAL)0.5), end = V(all)(SQUARE_END);
    const VEC y = V(sub)(zero, V(minus_abs)(v)), few = V(min)(end, y);
    const VEC square = V(fma)(few, few, V(all)(b)), root = V(sqrt)(square);
    const VEC left = V(minus_fma)(root, root, V(sub)(zero, square));
    const VEC root_lost = V(mul)(half, V(div)(left, root)); /* twice that */
    SUFFIXED(pair) mean = SUFFIXED(plus_product)(V(mul)(half, root), half, few);
    mean.lost = V(fma)(half, root_lost, mean.lost);
    const SUFFIXED(pair) quarter = {V(all)(b / 4), zero};
    /* Far out, where squares are too large, the root is y. */
    const VEC near = V(if_less)(v, zero, SUFFIXED(ratio)(quarter, mean), mean.most);
    const VEC far = V(if_less)(v, zero, V(div)(quarter.most, y), y);
    return V(if_less)(end, y, far, near);
}

/* v - tanh(v), for small v as a fraction of series without a difference: v cosh(v) - sinh(v) by
 * cosh(v). */
FD_INLINE VEC SUFFIXED(tanh_shrink)(VEC v) {
    static const REAL a[] = TANH_SHRINK, b[] = COSINE; /* but for their last powers */
    const VEC zero = V(all)(0), z = V(mul)(v, v), z_lost = V(fma)(v, v, V(sub)(zero, z));
    const VEC cube = V(mul)(v, z);
    const VEC cube_lost = V(fma)(v, z_lost, V(fma)(v, z, V(sub)(zero, cube)));
    const SUFFIXED(pair) of_a = SUFFIXED(plus_product)(
        V(all)((REAL)1 / 3), z, SUFFIXED(polynomial)(z, a, sizeof a / sizeof *a));
    const SUFFIXED(pair) below =
        SUFFIXED(plus_product)(V(all)(1), z, SUFFIXED(polynomial)(z, b, sizeof b / sizeof *b));
    const VEC most = V(mul)(cube, of_a.most);
    const VEC left = V(fma)(cube, of_a.most, V(sub)(zero, most));
    const VEC lost = V(fma)(cube, of_a.lost, V(fma)(cube_lost, of_a.most, left));
    const VEC small = SUFFIXED(ratio)((SUFFIXED(pair)){most, lost}, below);
    const VEC large = V(sub)(v, SUFFIXED(tangent)(v));
    return V(with_sign)(V(if_less)(V(minus_abs)(v), V(all)(-2), large, small), v);
}

/* slope (v - threshold) up to the threshold, then v, at most `most`. */
FD_INLINE VEC SUFFIXED(bent)(VEC v, REAL slope, REAL most, REAL threshold) {
    const VEC below = slope == 0
                          ? V(add)(SUFFIXED(between)(0, v, 0), V(all)(0)) /* 0 times inf is NaN */
                          : V(mul)(V(all)(slope), V(sub)(v, V(all)(threshold)));
    return V(if_less)(V(all)(threshold), v, V(min)(V(all)(most), v), below);
}

/* Those that are rare, or long. Called, not inlined: a call in a loop makes compilers spill, so
 * what may need one is compiled once more, apart. */
static FD_APART VEC SUFFIXED(other)(VEC v, const fd_activation *activation) {
    const VEC zero = V(all)(0), one = V(all)(1);
    const REAL a = (REAL)activation->a, b = (REAL)activation->b, c = (REAL)activation->c;
    VEC x, lost, shifted;
    switch (activation->function) {
    case FD_BENT_RELU:
        return SUFFIXED(bent)(v, a, b, c);
    case FD_RELU6:
        return V(add)(SUFFIXED(between)(0, v, 6), zero);
    case FD_LEAKY_RELU:
        return V(if_less)(v, zero, V(mul)(V(all)(a), v), v);
    case FD_ELU:
        x = SUFFIXED(less_one)(V(min)(zero, v), &lost);
        return V(if_less)(v, zero, V(fma)(V(all)(a), x, V(mul)(V(all)(a), lost)), v);
    case FD_SELU:
        return SUFFIXED(selu)(v);
    case FD_CELU:
        return SUFFIXED(celu)(v, a);
    case FD_GELU:
        return SUFFIXED(gelu)(v);
    case FD_GELU_TANH:
        return SUFFIXED(gelu_tanh)(v);
    case FD_SILU:
        return SUFFIXED(silu)(v);
    case FD_MISH:
        return SUFFIXED(mish)(v);
    case FD_SOFTPLUS:
        return SUFFIXED(softplus)(v);
    case FD_LOG_SIGMOID:
        return V(with_sign)(SUFFIXED(softplus)(V(sub)(zero, v)), V(all)(-1));
    case FD_SOFTSIGN: /* +-1 from here on, at infinity too */
        x = SUFFIXED(between)(-SOFTSIGN_END, v, SOFTSIGN_END);
        return V(div)(x, V(sub)(one, V(minus_abs)(x)));
    case FD_EXPONENTIAL:
        x = SUFFIXED(exponential)(V(min)(V(all)(HIGHEST), v), LOWEST, &shifted);
        return V(scaled)(V(add)(one, x), shifted);
    case FD_HARD_SILU: /* v / 6 first would lose what v + 3 keeps near -3 */
        x = SUFFIXED(between)(0, V(add)(v, V(all)(3)), 6);
        return V(mul)(V(max)(V(all)(-3), v), V(div)(x, V(all)(6)));
    case FD_HARD_TANH:
        return SUFFIXED(between)(-1, v, 1);
    case FD_TANH_SHRINK:
        return SUFFIXED(tanh_shrink)(v);
    case FD_SOFT_SHRINK:
        return V(sub)(v, SUFFIXED(between)(-a, v, a));
    case FD_HARD_SHRINK: /* v - v is zero, but for NaN */
        return V(if_less)(V(minus_abs)(v), V(all)(-a), v, V(sub)(v, v));
    case FD_THRESHOLD:
        return V(if_less)(V(all)(a), v, v, V(add)(SUFFIXED(between)(b, v, b), zero));
    case FD_SPARSE_PLUS:
        x = V(add)(V(max)(V(all)(-1), v), one);
        return V(if_less)(v, one, V(mul)(V(mul)(V(all)((REAL)0.25), x), x), v);
    case FD_SPARSE_SIGMOID:
        return SUFFIXED(between)(0, V(mul)(V(all)((REAL)0.5), V(add)(v, one)), 1);
    case FD_SQUAREPLUS:
        return SUFFIXED(squareplus)(v, a);
    default:
        return v;
    }
}

FD_INLINE VEC SUFFIXED(activated)(VEC v, const fd_activation *activation) {
    const VEC half = V(all)((REAL)0.5);
    switch (activation->function) {
    case FD_LINEAR:
        return v;
    case FD_SIGMOID:
        return SUFFIXED(sigmoid)(v);
    case FD_TANH:
        return SUFFIXED(tangent)(v);
    case FD_RELU:
        return V(add)(V(max)(V(all)(0), v), V(all)(0)); /* -0 is +0, on every CPU */
    case FD_HARD_SIGMOID:
        return SUFFIXED(between)(0, V(add)(V(div)(v, V(all)(6)), half), 1);
    case FD_HARD_SIGMOID_LEGACY:
        return SUFFIXED(between)(0, V(add)(V(mul)(v, V(all)((REAL)0.2)), half), 1);
    default:
        return v;
    }
}

/* Whether `activated` has it. */
FD_INLINE int SUFFIXED(frequent)(fd_activation activation) {
    return activation.function <= FD_HARD_SIGMOID_LEGACY;
}

FD_INLINE void SUFFIXED(activate_all)(REAL *v, size_t n, const fd_activation *activation,
                                      const int frequent) {
    REAL rest[REALS];
    size_t j = 0;
    for (; j + REALS <= n; j += REALS)
        V(store)(v + j, frequent ? SUFFIXED(activated)(V(load)(v + j), activation)
                                 : SUFFIXED(other)(V(load)(v + j), activation));
    if (j == n)
        return;
    memset(rest, 0, sizeof rest);
    memcpy(rest, v + j, (n - j) * sizeof *v);
    V(store)(rest, frequent ? SUFFIXED(activated)(V(load)(rest), activation)
                            : SUFFIXED(other)(V(load)(rest), activation));
    memcpy(v + j, rest, (n - j) * sizeof *v);
}

static void SUFFIXED(activate)(REAL *v, size_t n, fd_activation activation) {
    if (SUFFIXED(frequent)(activation))
        SUFFIXED(activate_all)(v, n, &activation, 1);
    else
        SUFFIXED(activate_all)(v, n, &activation, 0);
}

/* ---- softmax ---- */

/* e^v for v <= 0 */
FD_INLINE VEC SUFFIXED(power_of_e)(VEC v) {
    VEC shifted;
    const VEC rest = SUFFIXED(exponential)(v, LOWEST, &shifted);
    return V(scaled)(V(add)(V(all)(1), rest), shifted);
}

/* Numbers a panel apart are summed first, then these sums in order: so it is the same for vectors
 * of any length. `last` has a row's last numbers, and what neither is the largest nor counts. */
FD_INLINE void SUFFIXED(softmax_row)(REAL *v, size_t columns, const int logarithm) {
    REAL last[PANEL], part[PANEL];
    VEC most[PER_PANEL], sum[PER_PANEL];
    const size_t whole = columns / PANEL * PANEL;
    for (size_t j = 0; j < PANEL; j++)
        last[j] = (REAL)-INFINITY;
    memcpy(last, v + whole, (columns - whole) * sizeof *v);
    for (int p = 0; p < PER_PANEL; p++)
        most[p] = V(load)(last + p * REALS);
    for (size_t k = 0; k < whole; k += PANEL)
        for (int p = 0; p < PER_PANEL; p++)
            most[p] = V(max)(most[p], V(load)(v + k + p * REALS));
    for (int p = 0; p < PER_PANEL; p++)
        V(store)(part + p * REALS, most[p]);
    REAL top = part[0], total = 0;
    for (size_t j = 1; j < PANEL; j++)
        top = part[j] > top ? part[j] : top;
    for (int p = 0; p < PER_PANEL; p++)
        sum[p] = V(all)(0);
    for (size_t k = 0; k <= whole; k += PANEL) {
        REAL *at = k < whole ? v + k : last;
        for (int p = 0; p < PER_PANEL; p++) {
            const VEC below = V(sub)(V(load)(at + p * REALS), V(all)(top));
            const VEC e = SUFFIXED(power_of_e)(below);
            sum[p] = V(add)(sum[p], e);
            V(store)(at + p * REALS, logarithm ? below : e);
        }
    }
    for (int p = 0; p < PER_PANEL; p++)
        V(store)(part + p * REALS, sum[p]);
    for (size_t j = 0; j < PANEL; j++)
        total += part[j];
    if (logarithm && total == total) /* else it is NaN */
        total = (REAL)log_of((double)total);
    for (size_t k = 0; k <= whole; k += PANEL) {
        REAL *at = k < whole ? v + k : last;
        for (int p = 0; p < PER_PANEL; p++) {
            const VEC number = V(load)(at + p * REALS), by = V(all)(total);
            V(store)(at + p * REALS, logarithm ? V(sub)(number, by) : V(div)(number, by));
        }
    }
    memcpy(v + whole, last, (columns - whole) * sizeof *v);
}

static void SUFFIXED(softmax)(REAL *v, size_t rows, size_t columns, int logarithm) {
    for (size_t n = 0; n < rows; n++)
        if (logarithm)
            SUFFIXED(softmax_row)(v + n * columns, columns, 1);
        else
            SUFFIXED(softmax_row)(v + n * columns, columns, 0);
}

/* ---- cells ---- */

/* An activation as a fraction, so that a product of two takes one division. In a cell a sigmoid
 * ends at e^-SIGMOID_END, and tanh is 1 from TANGENT_END / 2 on: that takes fewer steps, nothing
 * becomes denormal, and the product of two fractions stays finite. */
typedef struct SUFFIXED(fraction) {
    VEC above, below;
} SUFFIXED(fraction);

/* 1 / (1 + e^-v) */
FD_INLINE SUFFIXED(fraction) SUFFIXED(gate_sigmoid)(VEC v) {
    v = SUFFIXED(between)(-SIGMOID_END, v, SIGMOID_END);
    const VEC shifted = V(fma)(v, V(all)(-LOG2_E), V(all)(ROUNDER));
    const VEC n = V(sub)(shifted, V(all)(ROUNDER));
    const VEC r = V(minus_fma)(n, V(all)(LN2), v), scale = V(power)(shifted);
    const VEC rest = V(fma)(V(mul)(r, r), SUFFIXED(exponential_of)(r), r);
    return (SUFFIXED(fraction)){V(all)(1), V(fma)(scale, rest, V(add)(scale, V(all)(1)))};
}

/* u / (u + 2), u = e^2v - 1. */
FD_INLINE SUFFIXED(fraction) SUFFIXED(gate_tangent)(VEC v) {
    v = SUFFIXED(between)(-TANGENT_END, V(add)(v, v), TANGENT_END);
    const VEC shifted = V(fma)(v, V(all)(LOG2_E), V(all)(ROUNDER));
    const VEC n = V(sub)(shifted, V(all)(ROUNDER));
    const VEC r = V(fma)(n, V(all)(-LN2), v), scale = V(power)(shifted);
    const VEC rest = V(fma)(V(mul)(r, r), SUFFIXED(exponential_of)(r), r);
    const VEC u = V(fma)(scale, rest, V(sub)(scale, V(all)(1)));
    return (SUFFIXED(fraction)){u, V(add)(u, V(all)(2))};
}

/* frequent: no activation of the cell is another. */
FD_INLINE SUFFIXED(fraction) SUFFIXED(gate)(VEC v, fd_activation activation, const int frequent) {
    if (activation.function == FD_SIGMOID)
        return SUFFIXED(gate_sigmoid)(v);
    if (activation.function == FD_TANH)
        return SUFFIXED(gate_tangent)(v);
    if (!frequent && !SUFFIXED(frequent)(activation))
        return (SUFFIXED(fraction)){SUFFIXED(other)(v, &activation), V(all)(1)};
    return (SUFFIXED(fraction)){SUFFIXED(activated)(v, &activation), V(all)(1)};
}

FD_INLINE VEC SUFFIXED(value)(SUFFIXED(fraction) f) { return V(div)(f.above, f.below); }

FD_INLINE VEC SUFFIXED(times)(SUFFIXED(fraction) f, SUFFIXED(fraction) g) {
    return V(div)(V(mul)(f.above, g.above), V(mul)(f.below, g.below));
}

/* c = f * c + i * g of all units, then h = o * activation(c): in one loop a unit's chain of
 * operations is so long that a CPU has few units under way. */
FD_INLINE void SUFFIXED(lstm)(REAL *h, REAL *c, const REAL *z, size_t z_stride, const REAL *mask,
                              size_t mask_stride, size_t rows, size_t units,
                              fd_activation activation, fd_activation recurrent_activation,
                              const int frequent) {
    for (size_t n = 0; n < rows; n++, h += units, c += units, z += z_stride) {
        FD_NO_UNROLL
        for (size_t j = 0; j < units; j += REALS) {
            VEC gate[4];
            V(deinterleave2)(gate, z + 2 * j);
            V(deinterleave2)(gate + 2, z + 2 * (units + j));
            const SUFFIXED(fraction) i = SUFFIXED(gate)(gate[0], recurrent_activation, frequent);
            const SUFFIXED(fraction) f = SUFFIXED(gate)(gate[1], recurrent_activation, frequent);
            const SUFFIXED(fraction) g = SUFFIXED(gate)(gate[2], activation, frequent);
            VEC candidate = SUFFIXED(times)(i, g);
            if (mask)
                candidate = V(masked)(candidate, V(load)(mask + n * mask_stride + j));
            V(store)(c + j, V(fma)(SUFFIXED(value)(f), V(load)(c + j), candidate));
        }
        FD_NO_UNROLL
        for (size_t j = 0; j < units; j += REALS) {
            VEC gate[2];
            V(deinterleave2)(gate, z + 2 * (units + j));
            const SUFFIXED(fraction) o = SUFFIXED(gate)(gate[1], recurrent_activation, frequent);
            const VEC state = V(load)(c + j);
            V(store)(h + j, SUFFIXED(times)(o, SUFFIXED(gate)(state, activation, frequent)));
        }
    }
}

FD_INLINE int SUFFIXED(usual)(fd_activation activation, fd_activation recurrent_activation) {
    return activation.function == FD_TANH && recurrent_activation.function == FD_SIGMOID;
}

FD_INLINE int SUFFIXED(all_frequent)(fd_activation activation,
                                     fd_activation recurrent_activation) {
    return SUFFIXED(frequent)(activation) && SUFFIXED(frequent)(recurrent_activation);
}

/* The usual activations once more as constants, so that all gates are computed side by side. */
static void SUFFIXED(lstm_cell)(REAL *h, REAL *c, const REAL *z, size_t z_stride,
                                const REAL *mask, size_t mask_stride, size_t rows, size_t units,
                                fd_activation activation, fd_activation recurrent_activation) {
    const fd_activation tangent = {.function = FD_TANH}, sigmoid = {.function = FD_SIGMOID};
    if (!mask && SUFFIXED(usual)(activation, recurrent_activation))
        SUFFIXED(lstm)(h, c, z, z_stride, NULL, 0, rows, units, tangent, sigmoid, 1);
    else if (SUFFIXED(all_frequent)(activation, recurrent_activation))
        SUFFIXED(lstm)(h, c, z, z_stride, mask, mask_stride, rows, units, activation,
                       recurrent_activation, 1);
    else
        SUFFIXED(lstm)(h, c, z, z_stride, mask, mask_stride, rows, units, activation,
                       recurrent_activation, 0);
}

/* h = z * h + (1 - z) * g, g = activation(x + r * hidden). */
FD_INLINE void SUFFIXED(gru)(REAL *h, const REAL *z, size_t z_stride, const REAL *const *x,
                             const REAL *hidden, const REAL *mask, size_t mask_stride,
                             size_t rows, size_t units, fd_activation activation,
                             fd_activation recurrent_activation, const int frequent) {
    for (size_t n = 0; n < rows; n++, h += units) {
        FD_NO_UNROLL
        for (size_t j = 0; j < units; j += REALS) {
            VEC gate[2], sum = V(load)(x[n] + j);
            V(deinterleave2)(gate, z + n * z_stride + 2 * j);
            const VEC update =
                SUFFIXED(value)(SUFFIXED(gate)(gate[0], recurrent_activation, frequent));
            if (hidden) {
                const SUFFIXED(fraction) r =
                    SUFFIXED(gate)(gate[1], recurrent_activation, frequent);
                sum = V(fma)(SUFFIXED(value)(r), V(load)(hidden + n * z_stride + j), sum);
            }
            VEC candidate = SUFFIXED(value)(SUFFIXED(gate)(sum, activation, frequent));
            if (mask)
                candidate = V(masked)(candidate, V(load)(mask + n * mask_stride + j));
            const VEC fresh = V(mul)(V(sub)(V(all)(1), update), candidate);
            V(store)(h + j, V(fma)(update, V(load)(h + j), fresh));
        }
    }
}

static void SUFFIXED(gru_cell)(REAL *h, const REAL *z, size_t z_stride, const REAL *const *x,
                               const REAL *hidden, const REAL *mask, size_t mask_stride,
                               size_t rows, size_t units, fd_activation activation,
                               fd_activation recurrent_activation) {
    const fd_activation tangent = {.function = FD_TANH}, sigmoid = {.function = FD_SIGMOID};
    if (hidden && !mask && SUFFIXED(usual)(activation, recurrent_activation))
        SUFFIXED(gru)(h, z, z_stride, x, hidden, NULL, 0, rows, units, tangent, sigmoid, 1);
    else if (SUFFIXED(all_frequent)(activation, recurrent_activation))
        SUFFIXED(gru)(h, z, z_stride, x, hidden, mask, mask_stride, rows, units, activation,
                      recurrent_activation, 1);
    else
        SUFFIXED(gru)(h, z, z_stride, x, hidden, mask, mask_stride, rows, units, activation,
                      recurrent_activation, 0);
}

/* a = r * a */
FD_INLINE void SUFFIXED(reset)(REAL *a, const REAL *z, size_t units,
                               fd_activation recurrent_activation, const int frequent) {
    for (size_t j = 0; j < units; j += REALS, z += 2 * REALS) {
        VEC gate[2];
        V(deinterleave2)(gate, z);
        const VEC r = SUFFIXED(value)(SUFFIXED(gate)(gate[1], recurrent_activation, frequent));
        V(store)(a + j, V(mul)(r, V(load)(a + j)));
    }
}

static void SUFFIXED(gru_reset)(REAL *a, const REAL *z, size_t units,
                                fd_activation recurrent_activation) {
    if (SUFFIXED(frequent)(recurrent_activation))
        SUFFIXED(reset)(a, z, units, recurrent_activation, 1);
    else
        SUFFIXED(reset)(a, z, units, recurrent_activation, 0);
}

#undef WHOLE
#undef VEC
#undef REALS
#undef PER_PANEL

#undef REAL
#undef SUFFIXED
#undef V
#undef PANEL
#undef ROUNDER
#undef LOWEST
#undef HIGHEST
#undef SIGMOID_END
#undef TANGENT_END
#undef LOG2_E
#undef LN2
#undef LN2_HIGH
#undef LN2_LOW
#undef EXPONENTIAL
#undef LOGARITHM
#undef NORMAL_END
#undef NORMAL_CENTRE
#undef NORMAL_TAIL
#undef GELU_A
#undef GELU_B
#undef SELU_ABOVE
#undef SELU_BELOW
#undef SOFTSIGN_END
#undef SQUARE_END
#undef TANH_SHRINK
#undef COSINE
