/* Masks: from a range of elements to blocks of 128, a tile at a time; and from the
 * elements of an array to the bits of a mask that is smaller. */
#include "float_mode.h"
#include "kernels.h"
#include "philox.h"

#include <string.h>

/* Elements in a tile: many blocks, for kernels that gather work from all of them, and
 * bits (16 KiB) that stay in the first-level cache. */
#ifndef TILE_ELEMENTS
#define TILE_ELEMENTS 131072
#endif
/* A tile that starts inside a block touches one block more. */
#define TILE_BYTES (TILE_ELEMENTS / 8 + 16)

static size_t smaller(uint64_t a, size_t b) { return a < b ? (size_t)a : b; }

void fd_philox(uint32_t *out, const uint32_t *counter, uint32_t k0, uint32_t k1) {
    fd_philox4x32_10(out, counter, k0, k1);
}

/* bits [16 * blocks], for any threshold. */
static void draw(const fd_kernels *tier, uint8_t *bits, const fd_stream *s, uint64_t first_block,
                 size_t blocks) {
    if (s->threshold == 0)
        memset(bits, 0x00, blocks * 16);
    else if (s->threshold >> 32)
        memset(bits, 0xff, blocks * 16);
    else
        tier->mask_blocks(bits, s, first_block, blocks);
}

/* bits: the blocks that hold the elements first .. first + n - 1.
 * Returns how many bits precede `first` there. */
static size_t tile(const fd_kernels *tier, uint8_t bits[TILE_BYTES], const fd_stream *s,
                   uint64_t first, size_t n) {
    const size_t skip = (size_t)(first % 128);
    draw(tier, bits, s, first / 128, (skip + n + 127) / 128);
    return skip;
}

/* out byte j takes the bits skip + 8j .. skip + 8j + 7 of those below skip + n. */
static void pack(uint8_t *out, const uint8_t *bits, size_t skip, size_t n) {
    const uint8_t *b = bits + skip / 8;
    const unsigned shift = skip % 8;
    if (shift == 0) {
        memcpy(out, b, (n + 7) / 8);
    } else {
        for (size_t j = 0; j < n / 8; j++)
            out[j] = (uint8_t)(b[j] >> shift | b[j + 1] << (8 - shift));
        if (n % 8) {
            const size_t j = n / 8;
            const int next = shift + n % 8 > 8 ? b[j + 1] << (8 - shift) : 0;
            out[j] = (uint8_t)(b[j] >> shift | next);
        }
    }
    if (n % 8)
        out[n / 8] &= (uint8_t)((1u << n % 8) - 1);
}

void fd_bernoulli_packed(const fd_kernels *tier, uint8_t *out, const fd_stream *s, uint64_t first,
                         size_t n) {
    uint8_t bits[TILE_BYTES];
    size_t done = 0;
    if (first % 128 == 0) { /* the bits' own place is the right one */
        draw(tier, out, s, first / 128, n / 128);
        done = n / 128 * 128;
    }
    for (; done < n; done += TILE_ELEMENTS) {
        const size_t count = smaller(n - done, TILE_ELEMENTS);
        const size_t skip = tile(tier, bits, s, first + done, count);
        pack(out + done / 8, bits, skip, count);
    }
}

/* A function whose body is run for each tile: `count` elements from number `done` on, whose
 * bits follow `skip` others in `bits`. */
#define BY_TILES(BODY)                                                                           \
    uint8_t bits[TILE_BYTES];                                                                    \
    for (size_t done = 0; done < n; done += TILE_ELEMENTS) {                                     \
        const size_t count = smaller(n - done, TILE_ELEMENTS);                                   \
        const size_t skip = tile(tier, bits, s, first + done, count);                            \
        BODY;                                                                                    \
    }

#define BERNOULLI(NAME, TYPE)                                                                    \
    void fd_bernoulli_##NAME(const fd_kernels *tier, TYPE *out, const fd_stream *s,              \
                             uint64_t first, size_t n) {                                         \
        BY_TILES(tier->expand_##NAME(out + done, bits, skip, count))                             \
    }
BERNOULLI(u8, uint8_t)
BERNOULLI(f32, float)
BERNOULLI(f64, double)

/* From this many bytes on an array does not fit into what most last-level caches have for a
 * core, and would only push out what is there. */
#ifndef PAST_CACHE_BYTES
#define PAST_CACHE_BYTES ((size_t)1 << 24)
#endif

#define DROPOUT(NAME, TYPE, SCALE)                                                               \
    void fd_dropout_##NAME(const fd_kernels *tier, TYPE *out, const TYPE *x, SCALE scale,        \
                           const fd_stream *s, uint64_t first, size_t n) {                       \
        const int past_cache = out != x && n >= PAST_CACHE_BYTES / sizeof *out;                  \
        const uint64_t mode = fd_enter_mode();                                                   \
        BY_TILES(tier->drop_##NAME(out + done, x + done, scale, bits, skip, count, past_cache))  \
        fd_leave_mode(mode);                                                                     \
    }
DROPOUT(f16, uint16_t, float)
DROPOUT(bf16, uint16_t, float)
DROPOUT(f32, float, float)
DROPOUT(f64, double, double)

#define ALPHA_DROPOUT(NAME, TYPE)                                                                \
    void fd_alpha_dropout_##NAME(const fd_kernels *tier, TYPE *out, const TYPE *x, TYPE scale,   \
                                 TYPE shift, TYPE fill, const fd_stream *s, uint64_t first,      \
                                 size_t n) {                                                     \
        const uint64_t mode = fd_enter_mode();                                                   \
        BY_TILES(                                                                                \
            tier->alpha_##NAME(out + done, x + done, scale, shift, fill, bits, skip, count))     \
        fd_leave_mode(mode);                                                                     \
    }
ALPHA_DROPOUT(f32, float)
ALPHA_DROPOUT(f64, double)

#define ZONEOUT(NAME, TYPE)                                                                      \
    void fd_zoneout_##NAME(const fd_kernels *tier, TYPE *out, const TYPE *previous,              \
                           const TYPE *fresh, const fd_stream *s, uint64_t first, size_t n) {    \
        BY_TILES(                                                                                \
            tier->select_##NAME(out + done, previous + done, fresh + done, bits, skip, count))   \
    }
ZONEOUT(u16, uint16_t)
ZONEOUT(u32, uint32_t)
ZONEOUT(u64, uint64_t)

/* A place in an array: the index on each axis, and the bit there. */
typedef struct place {
    uint64_t index[FD_MAX_AXES], bit;
} place;

static place place_of(const fd_layout *layout, uint64_t element) {
    place p = {.bit = 0};
    for (size_t axis = layout->axes; axis-- > 0; element /= layout->lengths[axis]) {
        p.index[axis] = element % layout->lengths[axis];
        p.bit += p.index[axis] * layout->strides[axis];
    }
    return p;
}

/* From the end of a run along the last axis to the start of the next. */
static void to_next_run(place *p, const fd_layout *layout) {
    size_t axis = layout->axes - 1;
    p->bit -= p->index[axis] * layout->strides[axis];
    p->index[axis] = 0;
    while (axis-- > 0) {
        p->bit += layout->strides[axis];
        if (++p->index[axis] < layout->lengths[axis])
            return;
        p->bit -= layout->lengths[axis] * layout->strides[axis];
        p->index[axis] = 0;
    }
}

/* The n bits (1 .. 64) from place `at` on. Reads the bytes that hold them and no other. */
static uint64_t bits_at(const uint8_t *bits, uint64_t at, size_t n) {
    const uint8_t *from = bits + at / 8;
    const unsigned shift = at % 8;
    const size_t bytes = (shift + n + 7) / 8;
    uint64_t word = 0;
    for (size_t j = 0; j < bytes && j < 8; j++)
        word |= (uint64_t)from[j] << (8 * j);
    word >>= shift;
    if (bytes > 8)
        word |= (uint64_t)from[8] << (64 - shift);
    return n < 64 ? word & (((uint64_t)1 << n) - 1) : word;
}

/* Bits written one after the other. */
typedef struct writer {
    uint8_t *out;
    uint64_t word;
    unsigned filled; /* bits of the word, below 64 */
} writer;

static void flush(writer *w) {
    for (int j = 0; j < 8; j++)
        w->out[j] = (uint8_t)(w->word >> (8 * j));
    w->out += 8;
}

static void append(writer *w, uint64_t bits, size_t n) {
    const unsigned before = w->filled;
    w->word |= bits << before;
    if (before + n >= 64) {
        flush(w);
        w->word = before ? bits >> (64 - before) : 0;
    }
    w->filled = (before + (unsigned)n) % 64;
}

/* bits: those of n elements from a place on, one each; n a multiple of 64 or the last ones.
 * The place moves to behind them. */
static void gather(uint8_t *bits, const uint8_t *mask, const fd_layout *layout, place *p,
                   size_t n) {
    const size_t last = layout->axes - 1;
    const uint64_t length = layout->lengths[last], stride = layout->strides[last];
    writer w = {.out = bits};
    while (n) {
        const size_t run = smaller(length - p->index[last], n);
        const uint64_t one = mask[p->bit / 8] >> (p->bit % 8) & 1 ? ~(uint64_t)0 : 0;
        for (size_t done = 0, some; done < run; done += some) {
            some = smaller(run - done, 64);
            append(&w, stride ? bits_at(mask, p->bit + done, some) : one >> (64 - some), some);
        }
        n -= run;
        p->index[last] += run;
        p->bit += run * stride;
        if (p->index[last] == length)
            to_next_run(p, layout);
    }
    if (w.filled)
        flush(&w);
}

/* The same as BY_TILES, for a mask that is given. */
#define BY_PLACES(BODY)                                                                          \
    uint8_t bits[TILE_BYTES];                                                                    \
    place p = place_of(layout, first);                                                           \
    for (size_t done = 0; done < n; done += TILE_ELEMENTS) {                                     \
        const size_t count = smaller(n - done, TILE_ELEMENTS), skip = 0;                         \
        gather(bits, mask, layout, &p, count);                                                   \
        BODY;                                                                                    \
    }

#define APPLY_MASK(NAME, TYPE, SCALE)                                                            \
    void fd_apply_mask_##NAME(const fd_kernels *tier, TYPE *out, const TYPE *x,                  \
                              const uint8_t *mask, SCALE scale, const fd_layout *layout,         \
                              uint64_t first, size_t n) {                                        \
        const int past_cache = out != x && n >= PAST_CACHE_BYTES / sizeof *out;                  \
        const uint64_t mode = fd_enter_mode();                                                   \
        BY_PLACES(tier->drop_##NAME(out + done, x + done, scale, bits, skip, count, past_cache)) \
        fd_leave_mode(mode);                                                                     \
    }
APPLY_MASK(f16, uint16_t, float)
APPLY_MASK(bf16, uint16_t, float)
APPLY_MASK(f32, float, float)
APPLY_MASK(f64, double, double)

#define APPLY_ALPHA(NAME, TYPE)                                                                  \
    void fd_apply_alpha_##NAME(const fd_kernels *tier, TYPE *out, const TYPE *x,                 \
                               const uint8_t *mask, TYPE scale, TYPE shift, TYPE fill,           \
                               const fd_layout *layout, uint64_t first, size_t n) {              \
        const uint64_t mode = fd_enter_mode();                                                   \
        BY_PLACES(                                                                               \
            tier->alpha_##NAME(out + done, x + done, scale, shift, fill, bits, skip, count))     \
        fd_leave_mode(mode);                                                                     \
    }
APPLY_ALPHA(f32, float)
APPLY_ALPHA(f64, double)

/* Normals come in pairs, one Philox call each. */
#define PAIRS 128

#define GAUSSIAN(OPERATION, NAME, TYPE, EXPRESSION)                                              \
    void fd_gaussian_##OPERATION##_##NAME(const fd_kernels *tier, TYPE *out, const TYPE *x,      \
                                          double stddev, const fd_stream *s, uint64_t first,     \
                                          size_t n) {                                            \
        const uint64_t mode = fd_enter_mode();                                                   \
        double buffer[2 * PAIRS];                                                                \
        for (size_t done = 0; done < n;) {                                                       \
            const size_t skip = (size_t)((first + done) % 2);                                    \
            const size_t count = smaller(n - done, 2 * PAIRS - skip);                            \
            const double *z = buffer + skip;                                                     \
            tier->normals(buffer, s, (first + done) / 2, (skip + count + 1) / 2);                \
            for (size_t j = 0; j < count; j++)                                                   \
                out[done + j] = (TYPE)(EXPRESSION);                                              \
            done += count;                                                                       \
        }                                                                                        \
        fd_leave_mode(mode);                                                                     \
    }
GAUSSIAN(noise, f32, float, (double)x[done + j] + stddev * z[j])
GAUSSIAN(noise, f64, double, x[done + j] + stddev * z[j])
GAUSSIAN(dropout, f32, float, (double)x[done + j] * (1 + stddev * z[j]))
GAUSSIAN(dropout, f64, double, x[done + j] * (1 + stddev * z[j]))
