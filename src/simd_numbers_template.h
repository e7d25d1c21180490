/* Both types' layers for one vector tier, with the constants that all of them share: TILE_ROWS,
 * TILE_PANELS, FEW_ROWS, ROW_PANELS, REGISTERS, TILES and the types' vector operations, as
 * simd_layers_template.h takes them; and f32_upper, f32_lower (of two halves of each number, one
 * as bfloat16). */

#define REAL float
#define SUFFIXED(name) name##_f32
#define V(name) f32_##name
#define PANEL FD_PANEL_F32
#define ROUNDER 0x1.8p23f /* adding it rounds to an integer, in the low bits */
#define LOWEST -115.f     /* e^v is 0 from here on, and so is v e^v */
#define HIGHEST 89.f      /* e^v is infinite from here on */
#define SIGMOID_END 64
#define TANGENT_END 20
#define LOG2_E 0x1.715476p0f
#define LN2 0x1.62e43p-1f
#define LN2_HIGH 0x1.62e4p-1f /* so short that n times it is exact */
#define LN2_LOW 0x1.7f7d1cp-20f
/* The minimax polynomial of degree 4 for (e^r - 1 - r) / r^2 on |r| <= ln 2 / 2: 2^-28. */
#define EXPONENTIAL                                                                              \
    {0x1.6a23dp-10f, 0x1.123a2p-7f, 0x1.5558f2p-5f, 0x1.555492p-3f, 0x1.fffffcp-2f}
/* 2 / 3, 2 / 5, ... */
#define LOGARITHM {2.f / 11, 2.f / 9, 2.f / 7, 2.f / 5, 2.f / 3}
/* By y = |v|: what is 0 beyond, and k; Chebyshev's polynomial of degree 11, by q = (y - k) / (y +
 * k), for s (y + k) / y: of 1 + s 2^-31. */
#define NORMAL_END 15
#define NORMAL_CENTRE 4
#define NORMAL_TAIL                                                                              \
    {0x1.7c2e82p-15f, -0x1.aa9848p-17f, -0x1.30b484p-11f, 0x1.5cb0f4p-13f,                       \
     0x1.20a63p-8f,   -0x1.e5b614p-8f,  -0x1.831f94p-6f,  0x1.2f936ep-3f,                        \
     -0x1.9cd236p-2f, 0x1.6fb302p-1f,   -0x1.c40e88p-1f,  0x1.49789p-1f}
#define GELU_A {0x1.988454p+0f, -0x1.857936p-25f}    /* 2 sqrt(2 / pi) */
#define GELU_B {0x1.2444f2p-4f, 0x1.49b16ap-29f}     /* and 0.044715 times that */
#define SELU_ABOVE {0x1.0cfabcp+0f, 0x1.6a9114p-24f} /* the second is positive: inf stays so */
#define SELU_BELOW {0x1.c212ccp+0f, 0x1.903c0cp-26f} /* alpha times that */
#define SOFTSIGN_END 0x1p26f
#define SQUARE_END 0x1p60f
/* By falling powers of v^2: 2 k / (2 k + 1)! down to k = 2, and 1 / (2 k)! to k = 1. */
#define TANH_SHRINK                                                                              \
    {0x1.5532eap-53f, 0x1.952c78p-45f, 0x1.78af56p-37f, 0x1.08db48p-29f,                         \
     0x1.0cfeb6p-22f, 0x1.71de3ap-16f, 0x1.381382p-10f, 0x1.111112p-5f}
#define COSINE                                                                                   \
    {0x1.682786p-53f, 0x1.ae7f3ep-45f, 0x1.93974ap-37f, 0x1.1eed8ep-29f, 0x1.27e4fcp-22f,        \
     0x1.a01a02p-16f, 0x1.6c16c2p-10f, 0x1.555556p-5f,  0x1p-1f}
#include "simd_layers_template.h"

#define REAL double
#define SUFFIXED(name) name##_f64
#define V(name) f64_##name
#define PANEL FD_PANEL_F64
#define ROUNDER 0x1.8p52
#define LOWEST -760.
#define HIGHEST 710.
#define SIGMOID_END 600
#define TANGENT_END 40
#define LOG2_E 0x1.71547652b82fep0
#define LN2 0x1.62e42fefa39efp-1
#define LN2_HIGH 0x1.62e42feep-1
#define LN2_LOW 0x1.a39ef35793c76p-33
/* Taylor's: 1 / 13!, ..., 1 / 2!. */
#define EXPONENTIAL                                                                              \
    {1. / 6227020800, 1. / 479001600, 1. / 39916800, 1. / 3628800, 1. / 362880, 1. / 40320,      \
     1. / 5040,       1. / 720,       1. / 120,      1. / 24,      1. / 6,      1. / 2}
#define LOGARITHM                                                                                \
    {2. / 23, 2. / 21, 2. / 19, 2. / 17, 2. / 15, 2. / 13,                                       \
     2. / 11, 2. / 9,  2. / 7,  2. / 5,  2. / 3}
/* Degree 23: 2^-60. */
#define NORMAL_END 39
#define NORMAL_CENTRE 5
#define NORMAL_TAIL                                                                              \
    {-0x1.1fb6b4874c50bp-30, -0x1.d5ba3c9bbc11ap-29, 0x1.6cbb9b5ab073bp-28,                      \
     0x1.088ab577c71ebp-25,  -0x1.16272c3ffe242p-26, -0x1.a4c4d8e85cba1p-23,                     \
     0x1.0850663dd2e88p-24,  0x1.44cae16eda593p-20,  -0x1.400249476337ep-21,                     \
     -0x1.03e64ce02f1a8p-17, 0x1.22ffaa7e346b9p-17,  0x1.9497cc69c67c1p-15,                      \
     -0x1.fb13102027418p-14, -0x1.a909809a480ddp-13, 0x1.73990966b0c33p-10,                      \
     -0x1.adbe0a453acadp-10, -0x1.22332d95746dep-7,  0x1.b01826bc8de7p-5,                        \
     -0x1.4b442c77a623fp-3,  0x1.6c570522fcfd8p-2,   -0x1.384720e6ef765p-1,                      \
     0x1.a9d48589f5706p-1,   -0x1.c15bfd53a26ddp-1,  0x1.3b02e2004fce9p-1}
#define GELU_A {0x1.9884533d43651p+0, -0x1.cbc0d30ebfd15p-54}
#define GELU_B {0x1.2444f2a4d8b4bp-4, -0x1.6c843a29d1c7p-61}
#define SELU_ABOVE {0x1.0cfabd6a91132p+0, 0x1.6fc7d272f2695p-55}
#define SELU_BELOW {0x1.c212cc640f031p+0, 0x1.05161b045a1fep-56}
#define SOFTSIGN_END 0x1p55
#define SQUARE_END 0x1p500
#define TANH_SHRINK                                                                              \
    {                                                                                            \
        0x1.3981254dd0d52p-118, 0x1.2f185b90bb66p-108, 0x1.00eba59daed98p-98,                    \
        0x1.7a5b06e5367e5p-89,  0x1.dedb34ba18f7dp-80, 0x1.0132bcd1f4692p-70,                    \
        0x1.ce272b49432cep-62,  0x1.5532eaf516982p-53, 0x1.952c77030ad4ap-45,                    \
        0x1.78af56a4d411bp-37,  0x1.08db48ebe51c7p-29, 0x1.0cfeb60f94b0ep-22,                    \
        0x1.71de3a556c734p-16,  0x1.3813813813814p-10, 0x1.1111111111111p-5}
#define COSINE                                                                                   \
    {                                                                                            \
        0x1.434d2e783f5bcp-118, 0x1.3932c5047d60ep-108,                                          \
        0x1.0a18a2635085dp-98,  0x1.88e85fc6a4e5ap-89,                                           \
        0x1.f2cf01972f578p-80,  0x1.0ce396db7f853p-70,                                           \
        0x1.e542ba4020225p-62,  0x1.6827863b97d97p-53,                                           \
        0x1.ae7f3e733b81fp-45,  0x1.93974a8c07c9dp-37,                                           \
        0x1.1eed8eff8d898p-29,  0x1.27e4fb7789f5cp-22,                                           \
        0x1.a01a01a01a01ap-16,  0x1.6c16c16c16c17p-10,                                           \
        0x1.5555555555555p-5,   0x1p-1}
#include "simd_layers_template.h"

/* Without instructions for it: the two numbers of a pair one after the other. */
#define NAMED(name) name##_halves
#define PARTS 2
#define PART(pairs, part) ((part) == 0 ? OF(upper)(pairs) : OF(lower)(pairs))
#define PLUS(factor, weight, sum) OF(fma)(factor, weight, sum)
#include "simd_bfloat16_template.h"

enum { side_by_side = TILE_ROWS };

#define SIMD_LAYERS .rows = side_by_side, .f32 = LAYER_KERNELS(f32), .f64 = LAYER_KERNELS(f64)
#define BY_HALVES                                                                                \
    .bfloat16 = {.operands = fd_portable_bfloat16_operands, .product = product_halves}
