/* fastdrop: Bernoulli masks and recurrent layers with dropout, for one thread.
 *
 * No function here fails, allocates, keeps state or knows of Python. Arguments
 * have been checked by the caller. Order of arguments: the tier, outputs,
 * inputs, sizes, options.
 *
 * Shapes stand in brackets: N rows, T steps, D features, H units. Arrays are
 * C-contiguous unless a stride is passed. Unless said otherwise an output
 * overlaps no other argument. */
#ifndef FASTDROP_H
#define FASTDROP_H

#include <stddef.h>
#include <stdint.h>

/* ---- tiers: one table of kernels for each instruction set ---- */

typedef struct fd_kernels fd_kernels;

/* Tier number i, strongest first; null from the first i past the end. */
const fd_kernels *fd_tier(size_t i);
const char *fd_tier_name(const fd_kernels *tier);
/* What the processor and the operating system say: CPUID's leaf 1 (ECX) and
 * leaf 7 (EBX), and XCR0, the registers that the system saves (0 where it does
 * not tell). A tier decides from this alone, so that tests can ask it about any
 * machine. */
typedef struct fd_cpu {
    uint32_t leaf1_ecx, leaf7_ebx;
    uint64_t xcr0;
} fd_cpu;

fd_cpu fd_this_cpu(void);
/* Non-zero where such a CPU and operating system can run the tier. */
int fd_tier_usable_on(const fd_kernels *tier, const fd_cpu *cpu);

/* ---- masks: the contract fastdrop-mask/1 ---- */

/* One stream of Bernoulli bits. Element i (0 <= i < 2^63) is the event where
 * its 32-bit uniform number is below threshold; 0 <= threshold <= 2^32. */
typedef struct fd_stream {
    uint32_t k0, k1;    /* the key */
    uint64_t stream;    /* the stream under that key */
    uint64_t threshold; /* probability times 2^32 */
} fd_stream;

/* out [4] = Philox4x32-10 of counter [4] under (k0, k1). */
void fd_philox(uint32_t *out, const uint32_t *counter, uint32_t k0, uint32_t k1);

/* Bits of the elements first .. first + n - 1.
 * packed: out [(n + 7) / 8], least significant bit first, unused bits zero.
 * u8, f32, f64: out [n], 1 for the event and 0 otherwise. */
void fd_bernoulli_packed(const fd_kernels *tier, uint8_t *out, const fd_stream *s, uint64_t first,
                         size_t n);
void fd_bernoulli_u8(const fd_kernels *tier, uint8_t *out, const fd_stream *s, uint64_t first,
                     size_t n);
void fd_bernoulli_f32(const fd_kernels *tier, float *out, const fd_stream *s, uint64_t first,
                      size_t n);
void fd_bernoulli_f64(const fd_kernels *tier, double *out, const fd_stream *s, uint64_t first,
                      size_t n);

/* out [n] = +0 where element first + j is the event, else scale * x[j].
 * out may be x. f16 and bf16 are the bits of IEEE binary16 and of bfloat16; their scale is
 * a number of that type. */
void fd_dropout_f16(const fd_kernels *tier, uint16_t *out, const uint16_t *x, float scale,
                    const fd_stream *s, uint64_t first, size_t n);
void fd_dropout_bf16(const fd_kernels *tier, uint16_t *out, const uint16_t *x, float scale,
                     const fd_stream *s, uint64_t first, size_t n);
void fd_dropout_f32(const fd_kernels *tier, float *out, const float *x, float scale,
                    const fd_stream *s, uint64_t first, size_t n);
void fd_dropout_f64(const fd_kernels *tier, double *out, const double *x, double scale,
                    const fd_stream *s, uint64_t first, size_t n);

/* How the bits of a mask lie over an array: element (i_0, i_1, ...) has the bit
 * i_0 * strides[0] + i_1 * strides[1] + ...; the last stride is 0 or 1. */
#define FD_MAX_AXES 64
typedef struct fd_layout {
    size_t axes; /* 1 .. FD_MAX_AXES */
    const uint64_t *lengths, *strides;
} fd_layout;

/* out [n] = +0 where its bit is set, else scale * x[j], for the elements first, first + 1,
 * ... (in C order) of an array. out may be x.
 * mask: packed, least significant bit first. */
void fd_apply_mask_f16(const fd_kernels *tier, uint16_t *out, const uint16_t *x,
                       const uint8_t *mask, float scale, const fd_layout *layout,
                       uint64_t first, size_t n);
void fd_apply_mask_bf16(const fd_kernels *tier, uint16_t *out, const uint16_t *x,
                        const uint8_t *mask, float scale, const fd_layout *layout,
                        uint64_t first, size_t n);
void fd_apply_mask_f32(const fd_kernels *tier, float *out, const float *x, const uint8_t *mask,
                       float scale, const fd_layout *layout, uint64_t first, size_t n);
void fd_apply_mask_f64(const fd_kernels *tier, double *out, const double *x,
                       const uint8_t *mask, double scale, const fd_layout *layout,
                       uint64_t first, size_t n);

/* out [n] = fill where element first + j is the event, else scale * x[j] + shift, rounded
 * twice. out may be x. */
void fd_alpha_dropout_f32(const fd_kernels *tier, float *out, const float *x, float scale,
                          float shift, float fill, const fd_stream *s, uint64_t first, size_t n);
void fd_alpha_dropout_f64(const fd_kernels *tier, double *out, const double *x, double scale,
                          double shift, double fill, const fd_stream *s, uint64_t first,
                          size_t n);

/* The same by a given mask, as in fd_apply_mask_*. */
void fd_apply_alpha_f32(const fd_kernels *tier, float *out, const float *x, const uint8_t *mask,
                        float scale, float shift, float fill, const fd_layout *layout,
                        uint64_t first, size_t n);
void fd_apply_alpha_f64(const fd_kernels *tier, double *out, const double *x,
                        const uint8_t *mask, double scale, double shift, double fill,
                        const fd_layout *layout, uint64_t first, size_t n);

/* out [n] = previous[j] where element first + j is the event, else new[j]: elements of 2, 4
 * or 8 bytes, of any type. out may be either. */
void fd_zoneout_u16(const fd_kernels *tier, uint16_t *out, const uint16_t *previous,
                    const uint16_t *fresh, const fd_stream *s, uint64_t first, size_t n);
void fd_zoneout_u32(const fd_kernels *tier, uint32_t *out, const uint32_t *previous,
                    const uint32_t *fresh, const fd_stream *s, uint64_t first, size_t n);
void fd_zoneout_u64(const fd_kernels *tier, uint64_t *out, const uint64_t *previous,
                    const uint64_t *fresh, const fd_stream *s, uint64_t first, size_t n);

/* ---- normals: the contract fastdrop-normal/1 ---- */

/* With z the standard normals of the elements first, first + 1, ... (first + n <= 2^57;
 * the stream's threshold is not looked at), in binary64 and rounded once at the end:
 * noise: out [n] = x[j] + stddev * z; dropout: out [n] = x[j] * (1 + stddev * z).
 * out may be x. */
void fd_gaussian_noise_f32(const fd_kernels *tier, float *out, const float *x, double stddev,
                           const fd_stream *s, uint64_t first, size_t n);
void fd_gaussian_noise_f64(const fd_kernels *tier, double *out, const double *x, double stddev,
                           const fd_stream *s, uint64_t first, size_t n);
void fd_gaussian_dropout_f32(const fd_kernels *tier, float *out, const float *x, double stddev,
                             const fd_stream *s, uint64_t first, size_t n);
void fd_gaussian_dropout_f64(const fd_kernels *tier, double *out, const double *x,
                             double stddev, const fd_stream *s, uint64_t first, size_t n);

/* ---- layers ---- */

typedef enum fd_activation {
    FD_LINEAR,
    FD_TANH,
    FD_SIGMOID,
    FD_RELU,
    FD_HARD_SIGMOID,       /* clip(x / 6 + 0.5, 0, 1) */
    FD_HARD_SIGMOID_LEGACY /* clip(0.2 * x + 0.5, 0, 1) */
} fd_activation;

/* v [n] = activation(v) */
void fd_activate_f32(const fd_kernels *tier, float *v, size_t n, fd_activation activation);
void fd_activate_f64(const fd_kernels *tier, double *v, size_t n, fd_activation activation);

/* out [N][C] = bias + x kernel, each sum taken in the order of k.
 * x [N][K], kernel [K][C], bias [C] or null. */
void fd_dense_f32(const fd_kernels *tier, float *out, const float *x, const float *kernel,
                  const float *bias, size_t rows, size_t inputs, size_t columns);
void fd_dense_f64(const fd_kernels *tier, double *out, const double *x, const double *kernel,
                  const double *bias, size_t rows, size_t inputs, size_t columns);

/* Sizes and options of one LSTM call. Gates stand in the order i, f, c, o. */
typedef struct fd_lstm_shape {
    size_t rows, steps, features, units;
    /* The part of the sequence to run: steps first .. last - 1 in the order
     * they are processed. A sequence may be run in parts, because h, c and
     * y_last carry everything from one part to the next. */
    size_t first, last;
    /* Elements from one row to the next; 0 where rows share one. */
    ptrdiff_t input_mask_stride, recurrent_mask_stride;
    int input_masks, recurrent_masks; /* masks a row: 1 for all gates, or 4 */
    fd_activation activation, recurrent_activation;
    int backwards;        /* step s reads x at time steps - 1 - s */
    int zero_masked_steps; /* a masked step puts out zeros, not the last output */
} fd_lstm_shape;

/* Elements of scratch that fd_lstm_* needs. */
size_t fd_lstm_scratch(const fd_lstm_shape *shape);

/* Each pre-activation starts from the bias, adds the input part for feature
 * 0, 1, 2, ..., then the recurrent part for unit 0, 1, 2, ...; a row depends
 * on no other row.
 *
 * y_last         [N][H]      in and out: the last output
 * h, c           [N][H]      in and out: the state
 * y              [N][T][H]   outputs in the order processed; null: not wanted
 * scratch        [fd_lstm_scratch()]
 * x              [N][T][D]
 * kernel         [D][4H]
 * recurrent_kernel [H][4H]
 * bias           [4H]        null: none
 * input_mask     [input_masks][D] a row; null: none. Zero drops by selection,
 * recurrent_mask [recurrent_masks][H] a row     anything else multiplies.
 * step_mask      [N][T]      by time; zero: the step is masked (keeps h and c,
 *                            repeats the last output); null: none is masked */
void fd_lstm_f32(const fd_kernels *tier, float *y_last, float *h, float *c, float *y,
                 float *scratch, const float *x, const float *kernel,
                 const float *recurrent_kernel, const float *bias, const float *input_mask,
                 const float *recurrent_mask, const uint8_t *step_mask,
                 const fd_lstm_shape *shape);
void fd_lstm_f64(const fd_kernels *tier, double *y_last, double *h, double *c, double *y,
                 double *scratch, const double *x, const double *kernel,
                 const double *recurrent_kernel, const double *bias, const double *input_mask,
                 const double *recurrent_mask, const uint8_t *step_mask,
                 const fd_lstm_shape *shape);

#endif
