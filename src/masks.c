/* Masks: from a range of elements to blocks of 128, a tile at a time. */
#include "kernels.h"
#include "philox.h"

#include <string.h>

/* Elements in a tile: enough blocks for the widest kernel, and bits (2 KiB) that stay
 * in the first-level cache. */
#define TILE_ELEMENTS 16384
/* A tile that starts inside a block touches one block more. */
#define TILE_WORDS (4 * (TILE_ELEMENTS / 128 + 1))

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

void fd_philox(uint32_t *out, const uint32_t *counter, uint32_t k0, uint32_t k1) {
    fd_philox4x32_10(out, counter, k0, k1);
}

/* words: the blocks that hold the elements first .. first + n - 1.
 * Returns how many bits precede `first` there. */
static size_t tile(const fd_kernels *tier, uint32_t words[TILE_WORDS], const fd_stream *s,
                   uint64_t first, size_t n) {
    const size_t skip = (size_t)(first % 128);
    const size_t blocks = (skip + n + 127) / 128;
    if (s->threshold == 0)
        memset(words, 0x00, blocks * 16);
    else if (s->threshold >> 32)
        memset(words, 0xff, blocks * 16);
    else
        tier->mask_blocks(words, s, first / 128, blocks);
    return skip;
}

/* The bits skip .. skip + 31; word 1 is read only where it holds some of them. */
static uint32_t bits32(const uint32_t *words, size_t skip) {
    const uint32_t *w = words + skip / 32;
    const unsigned shift = skip % 32;
    return shift ? w[0] >> shift | w[1] << (32 - shift) : w[0];
}

/* out byte j takes the bits skip + 8j .. skip + 8j + 7 of those below skip + n. */
static void pack(uint8_t *out, const uint32_t *words, size_t skip, size_t n) {
    size_t done = 0;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (skip % 8 == 0) { /* the bits are in place already */
        done = n / 8 * 8;
        memcpy(out, (const uint8_t *)words + skip / 8, done / 8);
    }
#endif
    for (; done + 32 <= n; done += 32) {
        const uint32_t bits = bits32(words, skip + done);
        for (size_t j = 0; j < 4; j++)
            out[done / 8 + j] = (uint8_t)(bits >> (8 * j));
    }
    for (; done < n; done += 8) {
        uint32_t byte = 0;
        for (size_t j = 0; j < 8 && done + j < n; j++) {
            const size_t bit = skip + done + j;
            byte |= (words[bit / 32] >> (bit % 32) & 1u) << j;
        }
        out[done / 8] = (uint8_t)byte;
    }
}

void fd_bernoulli_packed(const fd_kernels *tier, uint8_t *out, const fd_stream *s, uint64_t first,
                         size_t n) {
    uint32_t words[TILE_WORDS];
    for (size_t done = 0; done < n; done += TILE_ELEMENTS) {
        const size_t count = smaller(n - done, TILE_ELEMENTS);
        const size_t skip = tile(tier, words, s, first + done, count);
        pack(out + done / 8, words, skip, count);
    }
}

#define BERNOULLI(NAME, TYPE)                                                                 \
    void fd_bernoulli_##NAME(const fd_kernels *tier, TYPE *out, const fd_stream *s,           \
                             uint64_t first, size_t n) {                                      \
        uint32_t words[TILE_WORDS];                                                           \
        for (size_t done = 0; done < n; done += TILE_ELEMENTS) {                              \
            const size_t count = smaller(n - done, TILE_ELEMENTS);                            \
            const size_t skip = tile(tier, words, s, first + done, count);                    \
            tier->expand_##NAME(out + done, words, skip, count);                              \
        }                                                                                     \
    }
BERNOULLI(u8, uint8_t)
BERNOULLI(f32, float)
BERNOULLI(f64, double)

#define DROPOUT(NAME, TYPE)                                                                   \
    void fd_dropout_##NAME(const fd_kernels *tier, TYPE *out, const TYPE *x, TYPE scale,      \
                           const fd_stream *s, uint64_t first, size_t n) {                    \
        uint32_t words[TILE_WORDS];                                                           \
        for (size_t done = 0; done < n; done += TILE_ELEMENTS) {                              \
            const size_t count = smaller(n - done, TILE_ELEMENTS);                            \
            const size_t skip = tile(tier, words, s, first + done, count);                    \
            tier->drop_##NAME(out + done, x + done, scale, words, skip, count);               \
        }                                                                                     \
    }
DROPOUT(f32, float)
DROPOUT(f64, double)
