/* The contracts' known answers, by the C code alone: for compilers and systems that no Python is
 * at hand for. Prints a line for each tier, and returns 1 where an answer is another one. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../src/fastdrop.h"

#define BLOCK 128

static int wrong;

static void expect(int right, const fd_kernels *tier, const char *what, size_t row) {
    if (right)
        return;
    wrong++;
    printf("WRONG: %s: %s, row %u\n", tier ? fd_tier_name(tier) : "philox", what, (unsigned)row);
}

static const struct {
    uint32_t counter[4], key[2], words[4];
} philox[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

static const struct {
    fd_stream stream;
    uint64_t block;
    uint32_t words[4];
} masks[] = {
    {{0, 0, 0, 1ull << 31}, 0, {0x99d8172a, 0x1e963a72, 0x43a853b3, 0x64ff2427}},
    {{0, 0, 0, 429496730}, 0, {0x10080200, 0x02020002, 0x00805000, 0x00a20021}},
    {{1, 2, 3, 429496730}, 1ull << 32, {0x00200102, 0x00000000, 0x00000002, 0x08100108}},
    {{0xdeadbeef, 0x01234567, 0x700000009, 1ull << 30},
     5,
     {0x1c01ab8c, 0x8004c408, 0x00a00300, 0x90000142}},
};

static const double normals[] = {0x1.687576bca3f7cp-1, 0x1.fa9d785e3aaaep-1, 0x1.7737d5d3cfdc9p-2,
                                 0x1.23852e5940aaep-2};

static int event(const uint32_t *words, size_t i) { return words[i / 32] >> (i % 32) & 1; }

static void try_masks(const fd_kernels *tier) {
    static uint8_t bits[BLOCK / 8], bytes[BLOCK];
    static float x32[BLOCK], f32[BLOCK];
    static double x64[BLOCK], f64[BLOCK];
    static uint16_t x16[BLOCK], f16[BLOCK];
    for (size_t i = 0; i < BLOCK; i++)
        x32[i] = 1, x64[i] = 1, x16[i] = 0x3c00;
    for (size_t row = 0; row < sizeof masks / sizeof *masks; row++) {
        const fd_stream *s = &masks[row].stream;
        /* The whole block, and all but its ends. */
        for (size_t skip = 0; skip < 2; skip++) {
            const uint64_t first = masks[row].block * BLOCK + skip;
            const size_t n = BLOCK - 2 * skip;
            fd_bernoulli_packed(tier, bits, s, first, n);
            fd_bernoulli_u8(tier, bytes, s, first, n);
            int packed = 1, u8 = 1, zero16 = 1, zero32 = 1, zero64 = 1;
            for (size_t i = 0; i < n; i++) {
                const int bit = event(masks[row].words, i + skip);
                packed &= (bits[i / 8] >> (i % 8) & 1) == bit;
                u8 &= bytes[i] == bit;
            }
            expect(packed, tier, "packed mask", row);
            expect(u8, tier, "mask of bytes", row);
            fd_dropout_f16(tier, f16, x16, 2, s, first, n);
            fd_dropout_f32(tier, f32, x32, 1.25f, s, first, n);
            fd_dropout_f64(tier, f64, x64, 1.1, s, first, n);
            for (size_t i = 0; i < n; i++) {
                const int bit = event(masks[row].words, i + skip);
                zero16 &= f16[i] == (bit ? 0 : 0x4000);
                zero32 &= f32[i] == (bit ? 0 : 1.25f);
                zero64 &= f64[i] == (bit ? 0 : 1.1);
            }
            expect(zero16, tier, "dropout of float16", row);
            expect(zero32, tier, "dropout of float32", row);
            expect(zero64, tier, "dropout of float64", row);
        }
    }
}

static void try_normals(const fd_kernels *tier) {
    const fd_stream s = {0, 0, 0, 0};
    const double zeros[4] = {0, 0, 0, 0};
    double z[4];
    fd_gaussian_noise_f64(tier, z, zeros, 1, &s, 0, 4);
    for (size_t i = 0; i < 4; i++)
        expect(z[i] == normals[i], tier, "normal", i);
}

/* Whole numbers, so that no order of the sums and no rounding makes a difference. */
static void try_dense(const fd_kernels *tier) {
    enum { ROWS = 7, INPUTS = 19, COLUMNS = 37 };
    static float x[ROWS * INPUTS], kernel[INPUTS * COLUMNS], bias[COLUMNS], out[ROWS * COLUMNS];
    for (size_t i = 0; i < sizeof x / sizeof *x; i++)
        x[i] = (float)(i % 11) - 5;
    for (size_t i = 0; i < sizeof kernel / sizeof *kernel; i++)
        kernel[i] = (float)(i % 13) - 6;
    for (size_t i = 0; i < COLUMNS; i++)
        bias[i] = (float)i;
    void *scratch = malloc(fd_dense_scratch(ROWS, INPUTS, COLUMNS, sizeof *x));
    if (!scratch)
        exit(2);
    fd_dense_f32(tier, out, scratch, x, kernel, bias, ROWS, INPUTS, COLUMNS, COLUMNS);
    free(scratch);
    for (size_t row = 0; row < ROWS; row++)
        for (size_t column = 0; column < COLUMNS; column++) {
            float sum = bias[column];
            for (size_t k = 0; k < INPUTS; k++)
                sum += x[row * INPUTS + k] * kernel[k * COLUMNS + column];
            expect(out[row * COLUMNS + column] == sum, tier, "dense", row);
        }
}

static void try_activations(const fd_kernels *tier) {
    enum { N = 203 };
    static float v[N];
    const fd_activation tanh_of = {FD_TANH, 0, 0, 0};
    for (size_t i = 0; i < N; i++)
        v[i] = ((float)i - 101) / 16;
    fd_activate_f32(tier, v, N, tanh_of);
    for (size_t i = 0; i < N; i++)
        expect(fabs((double)v[i] - tanh(((double)i - 101) / 16)) < 2e-7, tier, "tanh", i);
}

int main(void) {
    for (size_t row = 0; row < sizeof philox / sizeof *philox; row++) {
        uint32_t out[4];
        fd_philox(out, philox[row].counter, philox[row].key[0], philox[row].key[1]);
        expect(memcmp(out, philox[row].words, sizeof out) == 0, NULL, "known answer", row);
    }
    const fd_cpu cpu = fd_this_cpu();
    const fd_kernels *tier;
    for (size_t i = 0; (tier = fd_tier(i)) != NULL; i++) {
        if (!fd_tier_usable_on(tier, &cpu)) {
            printf("%s: not on this CPU\n", fd_tier_name(tier));
            continue;
        }
        const int before = wrong;
        try_masks(tier);
        try_normals(tier);
        try_dense(tier);
        try_activations(tier);
        printf("%s, bfloat16 by %s: %s\n", fd_tier_name(tier),
               fd_tier_bfloat16(tier) ? fd_tier_bfloat16(tier) : "float32",
               wrong == before ? "as expected" : "WRONG");
    }
    return wrong != 0;
}
