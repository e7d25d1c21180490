/* Kernels in plain C that every tier compiles with its own instructions. The file that
 * includes this has defined name, their names, and under such names the tier's
 *   expand_u8
 *   philox_blocks(out, s, round, first, blocks)    out [2 * blocks]: the words 0 and 1,
 *                                                  then 2 and 3, of each block's round */

/* ---- one of two values, by the bit ---- */

/* A function whose body is run for every j below n, with `event` its bit. The bits are
 * spread first, so that the loop over the body becomes vectors. */
#define BY_BITS(BODY)                                                                            \
    uint8_t events[64];                                                                          \
    for (size_t done = 0; done < n; done += 64) {                                                \
        const size_t count = n - done < 64 ? n - done : 64;                                      \
        expand_u8(events, bits, skip + done, count);                                             \
        for (size_t i = 0; i < count; i++) {                                                     \
            const size_t j = done + i;                                                           \
            const int event = events[i];                                                         \
            BODY;                                                                                \
        }                                                                                        \
    }

#define ALPHA(NAME, TYPE)                                                                        \
    static void alpha_##NAME(TYPE *out, const TYPE *x, TYPE scale, TYPE shift, TYPE fill,        \
                             const uint8_t *bits, size_t skip, size_t n) {                       \
        BY_BITS(const TYPE kept = scale * x[j] + shift; out[j] = event ? fill : kept)            \
    }
ALPHA(f32, float)
ALPHA(f64, double)

#define SELECT(NAME, TYPE)                                                                       \
    static void select_##NAME(TYPE *out, const TYPE *a, const TYPE *b, const uint8_t *bits,      \
                              size_t skip, size_t n) {                                           \
        BY_BITS(const TYPE u = a[j]; const TYPE v = b[j]; out[j] = event ? u : v)                \
    }
SELECT(u16, uint16_t)
SELECT(u32, uint32_t)
SELECT(u64, uint64_t)

/* ---- normals ----
 *
 * An element's 64 random bits are a sign and a number p in (0, 1/2), of which the standard
 * normal quantile is taken: Wichura, "Algorithm AS 241: The Percentage Points of the Normal
 * Distribution", Applied Statistics 37 (1988), PPND16. Only +, -, *, / and the square root
 * are used, each rounded, in one order, so that every machine computes the same bits. */

/* What stands in the counter where masks have the round, 0 to 31. */
#define NORMAL_ROUND 64

/* Numerators and denominators by the power of r: centre, near tail, far tail. */
static const double quantile_numerator[3][8] = {
    {3.3871328727963666080e0, 1.3314166789178437745e+2, 1.9715909503065514427e+3,
     1.3731693765509461125e+4, 4.5921953931549871457e+4, 6.7265770927008700853e+4,
     3.3430575583588128105e+4, 2.5090809287301226727e+3},
    {1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0,
     3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1,
     2.27238449892691845833e-2, 7.74545014278341407640e-4},
    {6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0,
     2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
     2.71155556874348757815e-5, 2.01033439929228813265e-7},
};
static const double quantile_denominator[3][8] = {
    {1.0, 4.2313330701600911252e+1, 6.8718700749205790830e+2, 5.3941960214247511077e+3,
     2.1213794301586595867e+4, 3.9307895800092710610e+4, 2.8729085735721942674e+4,
     5.2264952788528545610e+3},
    {1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
     1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
     1.05075007164441684324e-9},
    {1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
     7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
     2.04426310338993978564e-15},
};

static inline uint64_t bits_of(double a) {
    uint64_t bits;
    memcpy(&bits, &a, sizeof bits);
    return bits;
}

static inline double double_of(uint64_t bits) {
    double a;
    memcpy(&a, &bits, sizeof a);
    return a;
}

/* log p for a normal number 0 < p < 1: p = f 2^e with f around 1, and
 * log f = 2 (s + s^3 / 3 + s^5 / 5 + ...) with s = (f - 1) / (f + 1). */
static inline double log_of(double p) {
    const double ln2_high = 0x1.62e42fefa3800p-1, ln2_low = 0x1.ef35793c76730p-45;
    const uint64_t bits = bits_of(p);
    const double whole = double_of((bits & 0xfffffffffffff) | 0x3ff0000000000000);
    /* An integer below 2^52 put into the fraction of 2^52 is that much more. */
    const double biased = double_of(bits >> 52 | 0x4330000000000000) - 0x1p52;
    const int above = whole > 1.4142135623730951;
    const double f = above ? whole * 0.5 : whole;
    const double e = biased - (above ? 1022.0 : 1023.0);
    const double s = (f - 1) / (f + 1), t = s * s, d = s + s;
    double sum = 1.0 / 21;
    sum = sum * t + 1.0 / 19;
    sum = sum * t + 1.0 / 17;
    sum = sum * t + 1.0 / 15;
    sum = sum * t + 1.0 / 13;
    sum = sum * t + 1.0 / 11;
    sum = sum * t + 1.0 / 9;
    sum = sum * t + 1.0 / 7;
    sum = sum * t + 1.0 / 5;
    sum = sum * t + 1.0 / 3;
    return e * ln2_high + ((d + d * (t * sum)) + e * ln2_low);
}

static inline double normal_of(uint64_t v) {
    const double m = double_of((v >> 11 & 0xfffffffffffff) | 0x4330000000000000);
    const double p = (m - 0x1p52 + 0.5) * 0x1p-53, q = 0.5 - p;
    const double root = sqrt(-log_of(p));
    const int centre = q <= 0.425, near = root <= 5;
    const double tail = near ? root - 1.6 : root - 5;
    const double r = centre ? 0.180625 - q * q : tail;
    double a = 0, b = 0;
    for (int k = 7; k >= 0; k--) {
        const double tail_a = near ? quantile_numerator[1][k] : quantile_numerator[2][k];
        const double tail_b = near ? quantile_denominator[1][k] : quantile_denominator[2][k];
        a = a * r + (centre ? quantile_numerator[0][k] : tail_a);
        b = b * r + (centre ? quantile_denominator[0][k] : tail_b);
    }
    const double z = (centre ? q * a : a) / b;
    return double_of(bits_of(z) | (v & 0x8000000000000000));
}

static void normals(double *z, const fd_stream *s, uint64_t first_pair, size_t pairs) {
    uint64_t bits[128];
    for (size_t done = 0; done < pairs; done += 64) {
        const size_t count = pairs - done < 64 ? pairs - done : 64;
        philox_blocks(bits, s, NORMAL_ROUND, first_pair + done, count);
        for (size_t j = 0; j < 2 * count; j++)
            z[2 * done + j] = normal_of(bits[j]);
    }
}

#define PLAIN_KERNELS                                                                            \
    .alpha_f32 = alpha_f32, .alpha_f64 = alpha_f64, .select_u16 = select_u16,                    \
    .select_u32 = select_u32, .select_u64 = select_u64, .normals = normals

#undef ALPHA
#undef SELECT
#undef NORMAL_ROUND
