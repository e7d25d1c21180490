/* From bits to elements for one instruction set: 64 at a time, and what is left over by
 * the portable kernels. The file that includes this has defined
 *   expand64_*(out, bits)            out [64] = the bits, as 0 or 1
 *   drop64_*(out, x, scale, bits)    out [64] = bit ? +0 : scale * x
 *   STREAMS      whether stores can go past the cache, where a line need not be read to
 *                be written: a third of the traffic less; if so
 *   stream(to, from, bytes)          such a copy, of whole lines of 64
 *   stream_end()                     orders it before what follows
 *   prefetch(at, bytes)              begins to read whole lines into the cache */

/* The 64 bits from place `skip` on. Reads the bytes that hold them and no other. */
static inline uint64_t bits64(const uint8_t *bits, size_t skip) {
    const unsigned shift = skip % 8;
    uint64_t low;
    memcpy(&low, bits + skip / 8, 8);
    return shift ? low >> shift | (uint64_t)bits[skip / 8 + 8] << (64 - shift) : low;
}

#define EXPAND(NAME, TYPE)                                                                       \
    static void expand_##NAME(TYPE *out, const uint8_t *bits, size_t skip, size_t n) {           \
        size_t i = 0;                                                                            \
        for (; i + 64 <= n; i += 64)                                                             \
            expand64_##NAME(out + i, bits64(bits, skip + i));                                    \
        if (i < n)                                                                               \
            fd_portable_expand_##NAME(out + i, bits, skip + i, n - i);                           \
    }
EXPAND(u8, uint8_t)
EXPAND(f32, float)
EXPAND(f64, double)

/* How far ahead of its use memory is fetched; the processor by itself is too late. */
#define FETCH_BYTES 1024

/* Elements before the first whose address is a multiple of 64. */
static inline size_t unaligned(const void *p, size_t size) {
    return (size_t)(-(uintptr_t)p % 64) / size;
}

#define DROP(NAME, TYPE, SCALE)                                                                  \
    static void drop_##NAME(TYPE *out, const TYPE *x, SCALE scale, const uint8_t *bits,          \
                            size_t skip, size_t n, int past_cache) {                             \
        const size_t head = past_cache ? unaligned(out, sizeof *out) : 0;                        \
        size_t i = 0;                                                                            \
        if (STREAMS && past_cache && head + 64 <= n) {                                           \
            fd_portable_drop_##NAME(out, x, scale, bits, skip, head, 0);                         \
            for (i = head; i + 64 <= n; i += 64) {                                               \
                _Alignas(64) TYPE some[64];                                                      \
                prefetch((uintptr_t)(x + i) + FETCH_BYTES, sizeof some);                         \
                drop64_##NAME(some, x + i, scale, bits64(bits, skip + i));                       \
                stream(out + i, some, sizeof some);                                              \
            }                                                                                    \
            stream_end();                                                                        \
        }                                                                                        \
        for (; i + 64 <= n; i += 64)                                                             \
            drop64_##NAME(out + i, x + i, scale, bits64(bits, skip + i));                        \
        if (i < n)                                                                               \
            fd_portable_drop_##NAME(out + i, x + i, scale, bits, skip + i, n - i, 0);            \
    }
DROP(f16, uint16_t, float)
DROP(bf16, uint16_t, float)
DROP(f32, float, float)
DROP(f64, double, double)

#include "plain_template.h"

#define SIMD_KERNELS                                                                             \
    .mask_blocks = mask_blocks, .expand_u8 = expand_u8, .expand_f32 = expand_f32,                \
    .expand_f64 = expand_f64, .drop_f16 = drop_f16, .drop_bf16 = drop_bf16,                      \
    .drop_f32 = drop_f32, .drop_f64 = drop_f64, PLAIN_KERNELS

#undef EXPAND
#undef FETCH_BYTES
#undef DROP
#undef STREAMS
#undef BY_BITS
