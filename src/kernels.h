/* Private: the table of kernels that an instruction set fills, and the list of
 * those sets. A kernel is a short loop over contiguous memory; everything
 * above it (blocks, offsets, time, rows, gates) is written once, elsewhere. */
#ifndef FASTDROP_KERNELS_H
#define FASTDROP_KERNELS_H

#include "fastdrop.h"

/* Whether the compiler knows instructions for bfloat16 as they are used here. */
#if defined(__clang__) || (defined(__GNUC__) && __GNUC__ >= 10)
#define FD_BFLOAT16 1
#define FD_IF_BFLOAT16(TIER) TIER
#else
#define FD_BFLOAT16 0
#define FD_IF_BFLOAT16(TIER)
#endif
/* In fd_cpu.hwcap2: BFDOT and its like. */
#define FD_HWCAP2_BF16 (1u << 14)

/* Every tier, strongest first. A new tier is one C file that defines
 * fd_kernels_NAME, and one line here. Of two with one name the first is the
 * other with more instructions. */
#if defined(__x86_64__) || defined(_M_X64)
#define FD_TIERS(TIER)                                                                           \
    FD_IF_BFLOAT16(TIER(avx512_bf16))                                                            \
    TIER(avx512)                                                                                 \
    TIER(avx2)                                                                                   \
    TIER(portable)
#elif defined(__AARCH64EL__)
#define FD_TIERS(TIER)                                                                           \
    FD_IF_BFLOAT16(TIER(neon_bf16))                                                              \
    TIER(neon)                                                                                   \
    TIER(portable)
#else
#define FD_TIERS(TIER) TIER(portable)
#endif

/* Before a loop that is better left a loop, and before one that must not be left one. */
#if defined(__clang__)
#define FD_NO_UNROLL _Pragma("nounroll")
#define FD_UNROLL _Pragma("clang loop unroll(full)")
#define FD_INLINE static inline __attribute__((always_inline))
#define FD_APART __attribute__((noinline))
#define FD_PREFETCH(AT) __builtin_prefetch(AT, 0, 2)
#elif defined(__GNUC__)
#define FD_NO_UNROLL _Pragma("GCC unroll 1")
#define FD_UNROLL _Pragma("GCC unroll 16")
#define FD_INLINE static inline __attribute__((always_inline))
#define FD_APART __attribute__((noinline))
#define FD_PREFETCH(AT) __builtin_prefetch(AT, 0, 2)
#else
#define FD_NO_UNROLL
#define FD_UNROLL
#define FD_INLINE static __forceinline
#define FD_APART __declspec(noinline)
#define FD_PREFETCH(AT) ((void)(AT))
#endif

/* Keeps compilers from reading a vector again wherever it is used. */
#if defined(__GNUC__) && defined(__x86_64__)
#define FD_IN_REGISTER(V) __asm__("" : "+v"(V))
#else
#define FD_IN_REGISTER(V) ((void)(V))
#endif

/* Rows of a product, at most. */
#define FD_ROWS 64

#define REAL float
#define SUFFIXED(name) name##_f32
#include "layer_kernels_template.h"

#define REAL double
#define SUFFIXED(name) name##_f64
#include "layer_kernels_template.h"

/* A tier's table of one type, of functions of these names. */
#define LAYER_KERNELS(TYPE)                                                                      \
    {.product = product_##TYPE,                                                                  \
     .operand = operand_##TYPE,                                                                  \
     .operand_kept = operand_kept_##TYPE,                                                        \
     .activate = activate_##TYPE,                                                                \
     .softmax = softmax_##TYPE,                                                                  \
     .lstm_cell = lstm_cell_##TYPE,                                                              \
     .gru_cell = gru_cell_##TYPE,                                                                \
     .gru_reset = gru_reset_##TYPE}

/* Products of bfloat16. */
typedef struct fd_bfloat16_kernels {
    const char *instruction; /* for products of pairs; null: there is none */
    /* a [n][width], n being even, rounded, in place, to operands: pairs if there is, else floats.
     */
    void (*operands)(float *a, size_t n, size_t width);
    /* Operands that f32.operand_kept would make, of whose n numbers the last may lack its other;
     * but of the bits [(n + 1) / 2][width][2] the first are of the second numbers, which are the
     * lower halves. Null: there is no shorter way than by floats. */
    void (*operand_kept)(float *a, const float *v, float scale, const uint8_t *bits, size_t n,
                         size_t width);
    /* As f32.product, of panels as fd_pack_bf16 makes them; n is the number of pairs. */
    fd_product_f32 *product;
} fd_bfloat16_kernels;

/* Bits are packed: bit i is bit i % 8 of byte i / 8. `skip` is the number of leading
 * bits to pass over; no byte is read that holds none of the bits asked for. */
struct fd_kernels {
    const char *name;
    /* Non-zero where the CPU has all that the tier's file uses. */
    int (*usable)(const fd_cpu *cpu);

    /* bits [16 * blocks]: those of whole 128-element blocks, for a threshold strictly
     * between 0 and 2^32. */
    void (*mask_blocks)(uint8_t *bits, const fd_stream *s, uint64_t first_block, size_t blocks);

    /* out [n] = bit skip + j, as 0 or 1. */
    void (*expand_u8)(uint8_t *out, const uint8_t *bits, size_t skip, size_t n);
    void (*expand_f32)(float *out, const uint8_t *bits, size_t skip, size_t n);
    void (*expand_f64)(double *out, const uint8_t *bits, size_t skip, size_t n);

    /* out [n] = bit skip + j ? +0 : scale * x[j]; out may be x. The 16-bit types are
     * passed as their bits; their product is exact in float, and rounded once.
     * past_cache: out is not x, and so large that it need not pass through the cache. */
    void (*drop_f16)(uint16_t *out, const uint16_t *x, float scale, const uint8_t *bits,
                     size_t skip, size_t n, int past_cache);
    void (*drop_bf16)(uint16_t *out, const uint16_t *x, float scale, const uint8_t *bits,
                      size_t skip, size_t n, int past_cache);
    void (*drop_f32)(float *out, const float *x, float scale, const uint8_t *bits, size_t skip,
                     size_t n, int past_cache);
    void (*drop_f64)(double *out, const double *x, double scale, const uint8_t *bits, size_t skip,
                     size_t n, int past_cache);

    /* out [n] = bit skip + j ? fill : scale * x[j] + shift, not fused; out may be x. */
    void (*alpha_f32)(float *out, const float *x, float scale, float shift, float fill,
                      const uint8_t *bits, size_t skip, size_t n);
    void (*alpha_f64)(double *out, const double *x, double scale, double shift, double fill,
                      const uint8_t *bits, size_t skip, size_t n);

    /* out [n] = bit skip + j ? a[j] : b[j]; out may be either. */
    void (*select_u16)(uint16_t *out, const uint16_t *a, const uint16_t *b, const uint8_t *bits,
                       size_t skip, size_t n);
    void (*select_u32)(uint32_t *out, const uint32_t *a, const uint32_t *b, const uint8_t *bits,
                       size_t skip, size_t n);
    void (*select_u64)(uint64_t *out, const uint64_t *a, const uint64_t *b, const uint8_t *bits,
                       size_t skip, size_t n);

    /* z [2 * pairs]: the normals of elements 2 * first_pair and on. */
    void (*normals)(double *z, const fd_stream *s, uint64_t first_pair, size_t pairs);

    /* Rows that `product` takes side by side. */
    size_t rows;
    fd_layer_kernels_f32 f32;
    fd_layer_kernels_f64 f64;
    fd_bfloat16_kernels bfloat16;
};

/* The portable kernels, for tiers that have nothing better, and for tails. */
void fd_portable_bfloat16_operands(float *a, size_t n, size_t width);
void fd_portable_expand_u8(uint8_t *out, const uint8_t *bits, size_t skip, size_t n);
void fd_portable_expand_f32(float *out, const uint8_t *bits, size_t skip, size_t n);
void fd_portable_expand_f64(double *out, const uint8_t *bits, size_t skip, size_t n);
void fd_portable_drop_f16(uint16_t *out, const uint16_t *x, float scale, const uint8_t *bits,
                          size_t skip, size_t n, int past_cache);
void fd_portable_drop_bf16(uint16_t *out, const uint16_t *x, float scale, const uint8_t *bits,
                           size_t skip, size_t n, int past_cache);
void fd_portable_drop_f32(float *out, const float *x, float scale, const uint8_t *bits,
                          size_t skip, size_t n, int past_cache);
void fd_portable_drop_f64(double *out, const double *x, double scale, const uint8_t *bits,
                          size_t skip, size_t n, int past_cache);

#define FD_DECLARE_TIER(tier) extern const fd_kernels fd_kernels_##tier;
FD_TIERS(FD_DECLARE_TIER)
#undef FD_DECLARE_TIER

#endif
