/* Calls the functions of fastdrop.h as some bytes say, for libFuzzer with AddressSanitizer and
 * UBSan: `make fuzz-kernels`. Arrays are exactly as large as they are said to be, and the most is
 * made of what they hold. Besides what the sanitizers see, laws have to hold: tiers agree, some
 * elements are as they are in the whole, and where it is simple, so does the definition itself.
 *
 * With -DSTANDALONE it needs no libFuzzer: its arguments are files, or a number of random inputs.
 */
#define _POSIX_C_SOURCE 200112L
#include "fastdrop.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LAW(HOLDS)                                                                               \
    do {                                                                                         \
        if (!(HOLDS)) {                                                                          \
            fprintf(stderr, "%s:%d: %s does not hold on %s\n", __FILE__, __LINE__, #HOLDS,       \
                    fd_tier_name(tier));                                                         \
            abort();                                                                             \
        }                                                                                        \
    } while (0)

/* ---- what the input says ---- */

static const uint8_t *at, *end;

static uint64_t take(size_t bytes) {
    uint64_t word = 0;
    for (size_t j = 0; j < bytes; j++)
        word = word << 8 | (at < end ? *at++ : 0);
    return word;
}

static size_t below(size_t n) { return (size_t)take(n > 256 ? 4 : 1) % n; }

/* 0 .. most, often near a width of vectors, of lines or of blocks. */
static size_t some(size_t most) {
    const size_t word = (size_t)take(2), near = (word >> 2 & 31) * 8 + (word & 3);
    return (word & 0x8000 ? near ? near - 1 : 0 : word) % (most + 1);
}

static size_t least_one(size_t most) { return 1 + some(most - 1); }

/* ---- memory ---- */

static void *blocks[256];
static size_t taken, fillings;

/* Bytes at an address that is `offset` past one of FD_LINE, with whatever in them. */
static void *room(size_t bytes, size_t offset) {
    void *block = NULL;
    if (taken == sizeof blocks / sizeof *blocks ||
        posix_memalign(&block, FD_LINE, offset + bytes))
        abort();
    blocks[taken++] = block;
    memset(block, (int)(0xff - fillings++ % 3 * 0x55), offset + bytes);
    return (char *)block + offset;
}

/* An array: aligned as its elements must be, and no more than that. */
static void *array(size_t n, size_t width) {
    return room(n * width, width * below(FD_LINE / width));
}

static void *copy(const void *of, size_t n, size_t width) {
    void *to = array(n, width);
    memcpy(to, of, n * width);
    return to;
}

/* Numbers of a generator that the input starts. */
static uint64_t state;

static uint32_t next(void) {
    state = state * 6364136223846793005 + 1442695040888963407;
    return (uint32_t)(state >> 32);
}

static void *bytes(size_t n, size_t width) {
    uint8_t *to = array(n, width);
    state = take(2);
    for (size_t j = 0; j < n * width; j += sizeof(uint32_t)) {
        const uint32_t word = next();
        memcpy(to + j, &word, n * width - j < sizeof word ? n * width - j : sizeof word);
    }
    return to;
}

/* Zero for some of them, which the input says how many. */
static uint8_t *events(size_t n) {
    uint8_t *to = bytes(n, 1);
    const size_t most = below(9) * 32;
    for (size_t j = 0; j < n; j++)
        to[j] = to[j] < most;
    return to;
}

static int64_t *rows_of(size_t n, size_t count) {
    int64_t *to = array(n, sizeof *to);
    state = take(2);
    for (size_t j = 0; j < n; j++)
        to[j] = (int64_t)(next() % count);
    return to;
}

/* ---- tiers ---- */

static const fd_kernels *tiers[8];
static size_t tier_count;

static void find_tiers(void) {
    const fd_cpu cpu = fd_this_cpu();
    for (size_t i = 0; fd_tier(i); i++)
        if (fd_tier_usable_on(fd_tier(i), &cpu))
            tiers[tier_count++] = fd_tier(i);
}

static int is_vector(const fd_kernels *tier) { return tier != tiers[tier_count - 1]; }

/* For `tier`, each that there is; the last one is that of plain C. */
#define EACH_TIER                                                                                \
    for (size_t i_ = 0; i_ < tier_count; i_++)                                                   \
        for (const fd_kernels *tier = tiers[i_]; tier; tier = NULL)

static void cpuid(void *context, uint32_t out[4], uint32_t leaf, uint32_t subleaf) {
    (void)context, (void)leaf, (void)subleaf;
    for (size_t j = 0; j < 4; j++)
        out[j] = (uint32_t)take(4);
}

static uint64_t xgetbv(void *context) {
    (void)context;
    return take(8);
}

static void machines(void) {
    const fd_machine machine = {cpuid, xgetbv, NULL};
    const fd_cpu cpu = fd_cpu_of(&machine);
    for (size_t i = 0; fd_tier(i); i++) {
        const fd_kernels *tier = fd_tier(i);
        LAW(fd_tier(i + 1) || fd_tier_usable_on(tier, &cpu));
        LAW(!fd_tier_bfloat16(tier) || *fd_tier_bfloat16(tier));
    }
    EACH_TIER
    LAW(fd_tier_bfloat16(tier) || fd_tier_adds_in_turn(tier));
}

static void philox(void) {
    const fd_kernels *tier = tiers[0];
    uint32_t *counter = bytes(4, 4), *out = array(4, 4);
    const uint32_t k0 = (uint32_t)take(4), k1 = (uint32_t)take(4);
    fd_philox(out, counter, k0, k1);
    fd_philox(counter, counter, k0, k1); /* in place, as it is called */
    LAW(!memcmp(out, counter, 16));
}

/* ---- masks ---- */

#define MOST 3000
#define LAST_NORMAL (1ull << 57) /* one past it */

static fd_stream stream(void) {
    static const uint64_t thresholds[] = {0, 1, 1u << 31, 0xffffffff, 1ull << 32};
    const fd_stream s = {(uint32_t)take(1), (uint32_t)take(2), take(8), take(4)};
    const size_t kind = below(16);
    return kind < 5 ? (fd_stream){s.k0, s.k1, s.stream, thresholds[kind]} : s;
}

/* Where n elements begin that end before a limit, often at a border of some counter. */
static uint64_t first_of(uint64_t limit, size_t n) {
    const uint64_t word = take(8), near = (uint64_t)1 << (word & 63);
    const uint64_t first = word >> 63 ? near + (word >> 8 & 511) - 256 : word >> (word & 63);
    return first % (limit - n + 1);
}

static int event(const uint8_t *bits, size_t j) { return bits[j / 8] >> j % 8 & 1; }

static uint8_t *drawn(const fd_kernels *tier, const fd_stream *s, uint64_t first, size_t n) {
    uint8_t *bits = array((n + 7) / 8, 1);
    fd_bernoulli_packed(tier, bits, s, first, n);
    return bits;
}

static void bernoulli(void) {
    const fd_stream s = stream();
    const size_t n = some(MOST), cut = below(n + 1);
    const uint64_t first = first_of(1ull << 63, n);
    const uint8_t *want = drawn(tiers[tier_count - 1], &s, first, n);
    EACH_TIER {
        const uint8_t *bits = drawn(tier, &s, first, n), *rest;
        uint8_t *u8 = array(n, 1);
        float *f32 = array(n, 4);
        double *f64 = array(n, 8);
        LAW(!memcmp(bits, want, (n + 7) / 8));
        LAW(n % 8 == 0 || bits[n / 8] >> n % 8 == 0);
        rest = drawn(tier, &s, first + cut, n - cut);
        fd_bernoulli_u8(tier, u8, &s, first, n);
        fd_bernoulli_f32(tier, f32, &s, first, n);
        fd_bernoulli_f64(tier, f64, &s, first, n);
        for (size_t j = 0; j < n; j++) {
            const int one = event(bits, j);
            LAW(u8[j] == one && f32[j] == (float)one && f64[j] == one);
            LAW(j < cut || event(rest, j - cut) == one);
            LAW(s.threshold || !one);
            LAW(!(s.threshold >> 32) || one);
        }
    }
}

static const float scales[] = {0, 1, 1.25f, 2, 1.5f, -4, 0.5f, INFINITY};

/* A mask of some array: a layout, elements of it, and the bits, no byte more than it has. */
typedef struct mask {
    fd_layout layout;
    uint64_t lengths[FD_MAX_AXES], strides[FD_MAX_AXES], first;
    size_t n;
    uint8_t *bits;
} mask;

static void take_mask(mask *m) {
    uint64_t last = 0;
    size_t size = 1;
    m->layout = (fd_layout){below(8) ? 1 + below(5) : FD_MAX_AXES, m->lengths, m->strides};
    for (size_t axis = 0; axis < m->layout.axes; axis++) {
        const int inner = axis + 1 == m->layout.axes;
        m->lengths[axis] = inner ? least_one(400) : size < 1000 ? least_one(9) : 1;
        m->strides[axis] = inner ? take(1) & 1 : take(1);
        last += (m->lengths[axis] - 1) * m->strides[axis];
        size *= (size_t)m->lengths[axis];
    }
    m->first = below(size);
    const size_t left = size - (size_t)m->first;
    m->n = some(left < MOST ? left : MOST);
    m->bits = bytes((size_t)(last / 8 + 1), 1);
}

static int masked(const mask *m, size_t j) {
    uint64_t element = m->first + j, bit = 0;
    for (size_t axis = m->layout.axes; axis-- > 0; element /= m->lengths[axis])
        bit += element % m->lengths[axis] * m->strides[axis];
    return event(m->bits, (size_t)bit);
}

/* For u16, which hold numbers that only kernels know, same and right compare and say less. */
static int same_u16(const uint16_t *a, const uint16_t *b, size_t n) {
    return !memcmp(a, b, n * sizeof *a);
}

#define DROPS(NAME, TYPE, SCALE, SAME, NUMBERS, RIGHT)                                           \
    static void dropout_##NAME(void) {                                                           \
        const fd_stream s = stream();                                                            \
        const size_t n = some(MOST);                                                             \
        const size_t cut = below(n + 1);                                                         \
        const uint64_t first = first_of(1ull << 63, n);                                          \
        const SCALE scale = scales[below(8)];                                                    \
        const TYPE *x = NUMBERS(n);                                                              \
        TYPE *want = array(n, sizeof *want);                                                     \
        const uint8_t *bits = drawn(tiers[0], &s, first, n);                                     \
        fd_dropout_##NAME(tiers[tier_count - 1], want, x, scale, &s, first, n);                  \
        EACH_TIER {                                                                              \
            TYPE *out = array(n, sizeof *out), *own = copy(x, n, sizeof *x);                     \
            fd_dropout_##NAME(tier, out, x, scale, &s, first, n);                                \
            LAW(SAME(out, want, n));                                                             \
            fd_dropout_##NAME(tier, own, own, scale, &s, first, cut);                            \
            fd_dropout_##NAME(tier, own + cut, own + cut, scale, &s, first + cut, n - cut);      \
            LAW(SAME(own, want, n));                                                             \
            for (size_t j = 0; j < n; j++) {                                                     \
                const TYPE zero = 0, kept = RIGHT(scale, x[j], out[j]);                          \
                LAW(SAME(out + j, event(bits, j) ? &zero : &kept, 1));                           \
            }                                                                                    \
        }                                                                                        \
    }                                                                                            \
    static void apply_mask_##NAME(void) {                                                        \
        mask m;                                                                                  \
        take_mask(&m);                                                                           \
        const SCALE scale = scales[below(8)];                                                    \
        const TYPE *x = NUMBERS(m.n);                                                            \
        TYPE *want = array(m.n, sizeof *want);                                                   \
        fd_apply_mask_##NAME(tiers[tier_count - 1], want, x, m.bits, scale, &m.layout, m.first,  \
                             m.n);                                                               \
        EACH_TIER {                                                                              \
            TYPE *out = below(2) ? copy(x, m.n, sizeof *x) : array(m.n, sizeof *out);            \
            memcpy(out, x, m.n * sizeof *x);                                                     \
            fd_apply_mask_##NAME(tier, out, out, m.bits, scale, &m.layout, m.first, m.n);        \
            LAW(SAME(out, want, m.n));                                                           \
            for (size_t j = 0; j < m.n; j++) {                                                   \
                const TYPE zero = 0, kept = RIGHT(scale, x[j], out[j]);                          \
                LAW(SAME(out + j, masked(&m, j) ? &zero : &kept, 1));                            \
            }                                                                                    \
        }                                                                                        \
    }

#define ALPHAS(NAME, TYPE)                                                                       \
    static void alpha_dropout_##NAME(void) {                                                     \
        const fd_stream s = stream();                                                            \
        const size_t n = some(MOST), cut = below(n + 1);                                         \
        const uint64_t first = first_of(1ull << 63, n);                                          \
        const TYPE a = scales[below(8)], b = scales[below(7)], fill = scales[below(8)];          \
        const TYPE *x = numbers_##NAME(n);                                                       \
        const uint8_t *bits = drawn(tiers[0], &s, first, n);                                     \
        EACH_TIER {                                                                              \
            TYPE *out = array(n, sizeof *out);                                                   \
            fd_alpha_dropout_##NAME(tier, out, x, a, b, fill, &s, first, cut);                   \
            memcpy(out + cut, x + cut, (n - cut) * sizeof *x);                                   \
            fd_alpha_dropout_##NAME(tier, out + cut, out + cut, a, b, fill, &s, first + cut,     \
                                    n - cut);                                                    \
            for (size_t j = 0; j < n; j++) {                                                     \
                const TYPE product = a * x[j], kept = product + b;                               \
                LAW(same_##NAME(out + j, event(bits, j) ? &fill : &kept, 1));                    \
            }                                                                                    \
        }                                                                                        \
    }                                                                                            \
    static void apply_alpha_##NAME(void) {                                                       \
        mask m;                                                                                  \
        take_mask(&m);                                                                           \
        const TYPE a = scales[below(8)], b = scales[below(7)], fill = scales[below(8)];          \
        const TYPE *x = numbers_##NAME(m.n);                                                     \
        EACH_TIER {                                                                              \
            TYPE *out = array(m.n, sizeof *out);                                                 \
            fd_apply_alpha_##NAME(tier, out, x, m.bits, a, b, fill, &m.layout, m.first, m.n);    \
            for (size_t j = 0; j < m.n; j++) {                                                   \
                const TYPE product = a * x[j], kept = product + b;                               \
                LAW(same_##NAME(out + j, masked(&m, j) ? &fill : &kept, 1));                     \
            }                                                                                    \
        }                                                                                        \
    }

#define ZONEOUT(NAME, TYPE)                                                                      \
    static void zoneout_##NAME(void) {                                                           \
        const fd_stream s = stream();                                                            \
        const size_t n = some(MOST), which = below(3);                                           \
        const uint64_t first = first_of(1ull << 63, n);                                          \
        const TYPE *previous = bytes(n, sizeof *previous), *fresh = bytes(n, sizeof *fresh);     \
        const uint8_t *bits = drawn(tiers[0], &s, first, n);                                     \
        EACH_TIER {                                                                              \
            TYPE *a = copy(previous, n, sizeof *a), *b = copy(fresh, n, sizeof *b);              \
            TYPE *out = which == 0 ? a : which == 1 ? b : array(n, sizeof *out);                 \
            fd_zoneout_##NAME(tier, out, a, b, &s, first, n);                                    \
            for (size_t j = 0; j < n; j++)                                                       \
                LAW(out[j] == (event(bits, j) ? previous[j] : fresh[j]));                        \
        }                                                                                        \
    }

#define GAUSSIAN(NAME, TYPE)                                                                     \
    static void gaussian_##NAME(void) {                                                          \
        const fd_stream s = stream();                                                            \
        const size_t n = some(MOST), cut = below(n + 1), noise = below(2);                       \
        const uint64_t first = first_of(LAST_NORMAL, n);                                         \
        const double stddev = scales[below(8)];                                                  \
        const TYPE *x = numbers_##NAME(n);                                                       \
        TYPE *want = array(n, sizeof *want);                                                     \
        void (*const function)(const fd_kernels *, TYPE *, const TYPE *, double,                 \
                               const fd_stream *, uint64_t, size_t) =                            \
            noise ? fd_gaussian_noise_##NAME : fd_gaussian_dropout_##NAME;                       \
        function(tiers[tier_count - 1], want, x, stddev, &s, first, n);                          \
        EACH_TIER {                                                                              \
            TYPE *out = copy(x, n, sizeof *out);                                                 \
            function(tier, out, x, stddev, &s, first, cut);                                      \
            function(tier, out + cut, out + cut, stddev, &s, first + cut, n - cut);              \
            LAW(same_##NAME(out, want, n));                                                      \
        }                                                                                        \
    }

/* ---- layers ---- */

/* NaN of any kind counts as that. */
#define NUMBERS(NAME, TYPE)                                                                      \
    static int same_##NAME(const TYPE *a, const TYPE *b, size_t n) {                             \
        for (size_t j = 0; j < n; j++)                                                           \
            if (memcmp(a + j, b + j, sizeof *a) && !(isnan(a[j]) && isnan(b[j])))                \
                return 0;                                                                        \
        return 1;                                                                                \
    }                                                                                            \
    /* Eighths, whose sums are exact; any between -1 and 1; any bits; or the same with zeros. */ \
    static TYPE *numbers_##NAME(size_t n) {                                                      \
        const size_t kind = below(4);                                                            \
        TYPE *to = bytes(n, sizeof *to);                                                         \
        for (size_t j = 0; j < n && kind != 2; j++) {                                            \
            const uint32_t word = next();                                                        \
            to[j] = kind == 0 ? (TYPE)((int)(word >> 27) - 16) / 8                               \
                              : (TYPE)((int)(word >> 8) - (1 << 23)) / (1 << 23);                \
            if (kind == 3 && word % 8 == 0)                                                      \
                to[j] = 0;                                                                       \
        }                                                                                        \
        return to;                                                                               \
    }                                                                                            \
    static int are_finite_##NAME(const TYPE *x, size_t n) {                                      \
        for (size_t j = 0; j < n; j++)                                                           \
            if (x[j] != 0 && !(x[j] > -2 && x[j] < 2 && (x[j] > 1e-9f || x[j] < -1e-9f)))        \
                return 0;                                                                        \
        return 1;                                                                                \
    }
NUMBERS(f32, float)
NUMBERS(f64, double)

#define TIMES(SCALE, X, OUT) ((SCALE) * (X))
#define WHATEVER(SCALE, X, OUT) (OUT)
#define HALVES(N) bytes(N, 2)
DROPS(f16, uint16_t, float, same_u16, HALVES, WHATEVER)
DROPS(bf16, uint16_t, float, same_u16, HALVES, WHATEVER)
DROPS(f32, float, float, same_f32, numbers_f32, TIMES)
DROPS(f64, double, double, same_f64, numbers_f64, TIMES)
ALPHAS(f32, float)
ALPHAS(f64, double)
ZONEOUT(u16, uint16_t)
ZONEOUT(u32, uint32_t)
ZONEOUT(u64, uint64_t)
GAUSSIAN(f32, float)
GAUSSIAN(f64, double)

/* To numbers of bfloat16. */
static void rounded(float *w, size_t n) {
    for (size_t j = 0; j < n; j++) {
        uint32_t bits;
        memcpy(&bits, w + j, sizeof bits);
        bits &= 0xffff0000;
        memcpy(w + j, &bits, sizeof bits);
    }
}

static fd_activation activation(size_t functions) {
    static const double parameters[] = {0.01, 0.2, 1, 1.5, 6};
    return (fd_activation){(fd_function)below(functions), parameters[below(5)],
                           parameters[below(5)], parameters[below(5)]};
}

/* How a recurrent layer is called. */
enum { BY_RNN, HELD, BY_ARRAYS, IN_PARTS };

#define REAL float
#define FMA fmaf
#define SUFFIXED(name) name##_f32
#define PANEL FD_PANEL_F32
#include "kernels_template.h"

#define REAL double
#define FMA fma
#define SUFFIXED(name) name##_f64
#define PANEL FD_PANEL_F64
#include "kernels_template.h"

static void pack_bf16(void) {
    const fd_kernels *tier = tiers[0];
    const part_f32 p = take_part_f32();
    const size_t panels = fd_panels_f32(p.units * p.width), lines = (p.lists.n + 1) / 2;
    const size_t stride = (lines + below(3)) * FD_PANEL_F32;
    const float *one = packed_f32(&p);
    float *two = room(spread_f32(panels, lines * FD_PANEL_F32, stride) * sizeof *two, 0);
    fd_pack_bf16(two, stride, p.w, p.stride, p.lists.n, p.units, p.units, p.width, p.lists.index,
                 p.lists.factors, p.lists.listed);
    for (size_t i = 0; i < panels * lines * FD_PANEL_F32; i++) {
        const size_t panel = i / FD_PANEL_F32 / lines, k = i / FD_PANEL_F32 % lines * 2;
        const float *from = one + panel * p.panel_stride + k * FD_PANEL_F32 + i % FD_PANEL_F32;
        uint32_t upper, lower = 0, both;
        memcpy(&upper, from, sizeof upper);
        if (k + 1 < p.lists.n)
            memcpy(&lower, from + FD_PANEL_F32, sizeof lower);
        memcpy(&both, two + panel * stride + k / 2 * FD_PANEL_F32 + i % FD_PANEL_F32,
               sizeof both);
        LAW(both == ((upper & 0xffff0000) | lower >> 16));
    }
}

static void distinct(void) {
    const fd_kernels *tier = tiers[0];
    const size_t rows = below(5), n = some(40), all = rows * n, vocabulary = least_one(60);
    const int64_t *tokens = rows_of(all, vocabulary);
    int64_t *words = array(all, sizeof *words), *of = array(all, sizeof *of);
    int64_t *index = array(all, sizeof *index), *found = array(vocabulary, sizeof *found);
    memset(found, 0, vocabulary * sizeof *found);
    const size_t count = fd_distinct(words, of, index, tokens, rows, n, found);
    for (size_t j = 0; j < all; j++) { /* each is there, in its row */
        LAW(index[j] >= 0 && (size_t)index[j] < count);
        LAW(words[index[j]] == tokens[j] && (size_t)of[index[j]] == j / n);
    }
    for (size_t i = 0; i < count; i++) /* and once */
        for (size_t k = 0; k < i; k++)
            LAW(words[i] != words[k] || of[k] < of[i]);
}

/* ---- the input ---- */

#define BOTH(NAME) NAME##_f32, NAME##_f64
static void (*const calls[])(void) = {
    machines,          philox,        bernoulli,      BOTH(dropout),   BOTH(apply_mask),
    dropout_f16,       dropout_bf16,  apply_mask_f16, apply_mask_bf16, BOTH(alpha_dropout),
    BOTH(apply_alpha), zoneout_u16,   zoneout_u32,    zoneout_u64,     BOTH(gaussian),
    BOTH(activate),    BOTH(softmax), BOTH(moments),  BOTH(pack),      pack_bf16,
    BOTH(pack_bias),   BOTH(dense),   BOTH(matmul),   BOTH(project),   BOTH(rnn),
    distinct,          BOTH(rnn),     BOTH(rnn), /* most of the code */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    at = data, end = data + size;
    if (!tier_count)
        find_tiers();
    calls[below(sizeof calls / sizeof *calls)]();
    while (taken)
        free(blocks[--taken]);
    return 0;
}

#ifdef STANDALONE
int main(int count, char **arguments) {
    static uint8_t data[4096];
    for (int i = 1; i < count; i++) {
        FILE *file = fopen(arguments[i], "rb");
        if (file) {
            LLVMFuzzerTestOneInput(data, fread(data, 1, sizeof data, file));
            fclose(file);
            continue;
        }
        uint64_t random = 1; /* the input's, and what it starts is another generator */
        for (long n = strtol(arguments[i], NULL, 10); n > 0; n--) {
            for (size_t j = 0; j < 256; j++) {
                random = random * 6364136223846793005 + 1442695040888963407;
                data[j] = (uint8_t)(random >> 56);
            }
            LLVMFuzzerTestOneInput(data, 256);
        }
    }
    printf("%s: no law is broken\n", fd_tier_name(tiers[0]));
}
#endif
