/* fastdrop: Bernoulli masks and recurrent layers with dropout.
 *
 * No function here fails, allocates, keeps state, starts a thread or knows of
 * Python. Arguments have been checked by the caller. Order of arguments: the tier, outputs,
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
/* What the processor and the operating system say: CPUID's leaf 1 (ECX), leaf 7 (EBX) and its
 * subleaf 1 (EAX), and XCR0, the registers that the system saves (0 where it does not tell); of
 * AArch64 Linux's HWCAP2. A tier decides from this alone, so that tests can ask it about any
 * machine. */
typedef struct fd_cpu {
    uint32_t leaf1_ecx, leaf7_ebx, leaf7_1_eax;
    uint64_t xcr0, hwcap2;
} fd_cpu;

fd_cpu fd_this_cpu(void);
/* The same of any x86-64, for tests: what gives it EAX, EBX, ECX and EDX of a leaf's subleaf, and
 * XCR0, which must not be asked for where the system does not tell. */
typedef struct fd_machine {
    void (*cpuid)(void *context, uint32_t out[4], uint32_t leaf, uint32_t subleaf);
    uint64_t (*xgetbv)(void *context);
    void *context;
} fd_machine;

fd_cpu fd_cpu_of(const fd_machine *machine);
/* Non-zero where such a CPU and operating system can run the tier. */
int fd_tier_usable_on(const fd_kernels *tier, const fd_cpu *cpu);
/* The instruction that it takes for products of bfloat16; null: that of float. */
const char *fd_tier_bfloat16(const fd_kernels *tier);
/* Whether that, on this machine, adds products one after another, each sum rounded: what manuals
 * say of it, and what CPUs do, differs. The tier must be usable. */
int fd_tier_adds_in_turn(const fd_kernels *tier);

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
                       const uint8_t *mask, float scale, const fd_layout *layout, uint64_t first,
                       size_t n);
void fd_apply_mask_bf16(const fd_kernels *tier, uint16_t *out, const uint16_t *x,
                        const uint8_t *mask, float scale, const fd_layout *layout, uint64_t first,
                        size_t n);
void fd_apply_mask_f32(const fd_kernels *tier, float *out, const float *x, const uint8_t *mask,
                       float scale, const fd_layout *layout, uint64_t first, size_t n);
void fd_apply_mask_f64(const fd_kernels *tier, double *out, const double *x, const uint8_t *mask,
                       double scale, const fd_layout *layout, uint64_t first, size_t n);

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
void fd_apply_alpha_f64(const fd_kernels *tier, double *out, const double *x, const uint8_t *mask,
                        double scale, double shift, double fill, const fd_layout *layout,
                        uint64_t first, size_t n);

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
void fd_gaussian_dropout_f64(const fd_kernels *tier, double *out, const double *x, double stddev,
                             const fd_stream *s, uint64_t first, size_t n);

/* ---- layers ---- */

/* NaN stays NaN, and at infinity each is what it tends to. */
typedef enum fd_function {
    FD_LINEAR,
    FD_TANH,
    FD_SIGMOID,
    FD_RELU,
    FD_HARD_SIGMOID,        /* clip(v / 6 + 0.5, 0, 1) */
    FD_HARD_SIGMOID_LEGACY, /* clip(0.2 v + 0.5, 0, 1) */
    FD_BENT_RELU,           /* v > c ? min(v, b) : a (v - c), for b, c >= 0 */
    FD_RELU6,               /* clip(v, 0, 6) */
    FD_LEAKY_RELU,          /* v < 0 ? a v : v */
    FD_ELU,                 /* v < 0 ? a (e^v - 1) : v */
    FD_SELU,                /* 1.05070098... elu(v), a = 1.67326324... */
    FD_CELU,                /* v < 0 ? a (e^(v / a) - 1) : v, for a > 0 */
    FD_GELU,                /* v (1 + erf(v / sqrt 2)) / 2 */
    FD_GELU_TANH,           /* v (1 + tanh(sqrt(2 / pi) (v + 0.044715 v^3))) / 2 */
    FD_SILU,                /* v sigmoid(v) */
    FD_MISH,                /* v tanh(softplus(v)) */
    FD_SOFTPLUS,            /* log(1 + e^v) */
    FD_LOG_SIGMOID,         /* -softplus(-v) */
    FD_SOFTSIGN,            /* v / (1 + |v|) */
    FD_EXPONENTIAL,
    FD_HARD_SILU,      /* v clip(v + 3, 0, 6) / 6 */
    FD_HARD_TANH,      /* clip(v, -1, 1) */
    FD_TANH_SHRINK,    /* v - tanh(v) */
    FD_SOFT_SHRINK,    /* v - clip(v, -a, a), for a >= 0 */
    FD_HARD_SHRINK,    /* |v| > a ? v : 0 */
    FD_THRESHOLD,      /* v > a ? v : b */
    FD_SPARSE_PLUS,    /* v < 1 ? (max(v, -1) + 1)^2 / 4 : v */
    FD_SPARSE_SIGMOID, /* clip((v + 1) / 2, 0, 1) */
    FD_SQUAREPLUS,     /* (v + sqrt(v^2 + a)) / 2, for 0 < a <= 2^64 */
    /* Along a row, as fd_softmax_* computes them: of cells alone. */
    FD_SOFTMAX,
    FD_LOG_SOFTMAX
} fd_function;

typedef struct fd_activation {
    fd_function function;
    double a, b, c; /* its parameters, rounded to the array's type */
} fd_activation;

/* v [n] = activation(v) */
void fd_activate_f32(const fd_kernels *tier, float *v, size_t n, fd_activation activation);
void fd_activate_f64(const fd_kernels *tier, double *v, size_t n, fd_activation activation);

/* v [rows][columns] = e^v over the sum of its row's e^v, or the logarithm of that; columns > 0. A
 * row depends on no other row. */
void fd_softmax_f32(const fd_kernels *tier, float *v, size_t rows, size_t columns, int logarithm);
void fd_softmax_f64(const fd_kernels *tier, double *v, size_t rows, size_t columns,
                    int logarithm);

/* sum, squares [width] += values [samples][width] - origin [width], and the squares of that, of
 * one sample after another. In double, where denormal numbers stay what they are; on no tier of
 * its own, for it waits for memory. */
void fd_moments_f32(double *sum, double *squares, const float *origin, const float *values,
                    size_t samples, size_t width);
void fd_moments_f64(double *sum, double *squares, const double *origin, const double *values,
                    size_t samples, size_t width);

/* Matrices are packed once, into panels of one cache line's columns: panel p holds for each k
 * in turn the weights of its columns. The gates of a unit stand side by side: with `width`
 * gates in a matrix, column u * width + g is gate g of unit u. */
#define FD_LINE 64
#define FD_PANEL_F32 16
#define FD_PANEL_F64 8

/* Panels of a matrix of so many columns. */
size_t fd_panels_f32(size_t columns);
size_t fd_panels_f64(size_t columns);

/* panels [fd_panels(units * width)][n][FD_PANEL] = `width` gates of so many units of w, whose
 * rows are `stride` elements apart and the gates in them gate_stride. From one panel to the next
 * there are panel_stride elements. index [n][listed]: which row of w the k-th product of a gate
 * takes; listed is width, or 1 for all gates. Where factors, of the same shape, is zero the
 * weight is zero. Null: row k. */
void fd_pack_f32(float *panels, size_t panel_stride, const float *w, size_t stride, size_t n,
                 size_t units, size_t gate_stride, size_t width, const uint32_t *index,
                 const float *factors, size_t listed);
void fd_pack_f64(double *panels, size_t panel_stride, const double *w, size_t stride, size_t n,
                 size_t units, size_t gate_stride, size_t width, const uint32_t *index,
                 const double *factors, size_t listed);

/* The same of weights that are numbers of bfloat16, two in an element: for k and k + 1, the first
 * in the upper half, the second zero behind the last. panels [fd_panels(...)][(n + 1) / 2][...]
 */
void fd_pack_bf16(float *panels, size_t panel_stride, const float *w, size_t stride, size_t n,
                  size_t units, size_t gate_stride, size_t width, const uint32_t *index,
                  const float *factors, size_t listed);

/* What masks keep, gate by gate: returns the length of the longest list, and of the shortest.
 * mask [listed][n]; index, factors [n][listed], filled up with element 0 and factor 0. */
size_t fd_kept_f32(uint32_t *index, float *factors, size_t *shortest, const float *mask, size_t n,
                   size_t listed);
size_t fd_kept_f64(uint32_t *index, double *factors, size_t *shortest, const double *mask,
                   size_t n, size_t listed);

/* out [N][C] = bias + x kernel, each sum taken in the order of k.
 * x [N][K], kernel [K][C], bias [C] or null; rows of out and of kernel are `stride` elements
 * apart, so that some columns may be taken of many; scratch [fd_dense_scratch()] bytes. */
size_t fd_dense_scratch(size_t rows, size_t inputs, size_t columns, size_t element);
void fd_dense_f32(const fd_kernels *tier, float *out, void *scratch, const float *x,
                  const float *kernel, const float *bias, size_t rows, size_t inputs,
                  size_t columns, size_t stride);
void fd_dense_f64(const fd_kernels *tier, double *out, void *scratch, const double *x,
                  const double *kernel, const double *bias, size_t rows, size_t inputs,
                  size_t columns, size_t stride);

/* out [n][N][C] = a [n][N][K] times b [n][K][C], matrix by matrix, each as fd_dense without a
 * bias; scratch [fd_dense_scratch()] bytes, of one. */
void fd_matmul_f32(const fd_kernels *tier, float *out, void *scratch, const float *a,
                   const float *b, size_t n, size_t rows, size_t inputs, size_t columns);
void fd_matmul_f64(const fd_kernels *tier, double *out, void *scratch, const double *a,
                   const double *b, size_t n, size_t rows, size_t inputs, size_t columns);

/* ---- recurrent layers ---- */

typedef enum fd_cell {
    FD_LSTM,            /* gates i, f, c, o */
    FD_GRU,             /* gates z, r, h; the reset gate acts after the matrix product */
    FD_GRU_RESET_FIRST, /* ... or before it */
    FD_SIMPLE_RNN
} fd_cell;

/* A packed matrix, for the input or for the previous output. The two of a part may stand in one
 * block of panels, where each panel has the input's weights, then the recurrent ones: then both
 * products are taken at once. */
typedef struct fd_matrix {
    size_t n;              /* products a column */
    const void *panels;    /* float, double or pairs of bfloat16, aligned to FD_LINE */
    size_t panel_stride;   /* in elements */
    const uint32_t *index; /* null, or [n][listed]: which elements are multiplied, */
    const void *factors;   /* and by what; zero: +0 by selection */
    size_t listed;         /* 1 for all gates, or the matrix's gates */
    size_t full;           /* up to here no factor is zero */
} fd_matrix;

/* A layer's weights. The gates of a cell are split into parts, of a matrix each: i, f and then
 * c, o of an LSTM; z, r and then h of a GRU. */
#define FD_MAX_PARTS 2
typedef struct fd_weights {
    fd_cell cell;
    size_t element; /* bytes of a number: float or double, as all arrays of its calls are */
    int bfloat16;   /* of float: panels have pairs of bfloat16, and operands are rounded to it */
    size_t features, units;
    fd_activation activation, recurrent_activation; /* the second is that of the gates */
    const void *bias;           /* [fd_width()]: where the input part's sums start */
    const void *recurrent_bias; /* FD_GRU: the same for the recurrent part of h; else null */
    fd_matrix input[FD_MAX_PARTS], recurrent[FD_MAX_PARTS];
} fd_weights;

/* Gates of a part of a cell; 0: there is no such part. */
size_t fd_part_gates(fd_cell cell, size_t part);
/* Columns of a row of pre-activations: for each part [units, rounded up to FD_PANEL][gates]. */
size_t fd_width_f32(fd_cell cell, size_t units);
size_t fd_width_f64(fd_cell cell, size_t units);

/* How many rows of a call run side by side through their steps, before the next ones start. */
size_t fd_rows_together(const fd_kernels *tier, const fd_weights *weights);

/* start [fd_width()] = the biases as fd_weights has them, and recurrent [units, rounded up] for
 * an FD_GRU; null for the others. bias [gates][H]; FD_GRU: [2][3][H], for the input and for the
 * recurrence; those of z and r are added. */
void fd_pack_bias_f32(float *start, float *recurrent, const float *bias, fd_cell cell,
                      size_t units);
void fd_pack_bias_f64(double *start, double *recurrent, const double *bias, fd_cell cell,
                      size_t units);

/* Masks of one kind. Zero drops by selection, anything else multiplies. */
typedef struct fd_masks {
    const void *factors; /* [gates][width] a row */
    size_t gates;        /* 1 for all gates, or the cell's; 0: there are no masks */
    size_t stride;       /* elements from one row's to the next; 0 where rows share them */
} fd_masks;

/* Rows of a table: row r is row index[r] of values [][D], or row r where index is null; times row
 * factor_rows[r] of factors [][D], or row 0 where factor_rows is null, or as it is where factors
 * is null. */
typedef struct fd_table_rows {
    size_t rows;
    const void *values, *factors;
    const int64_t *index, *factor_rows;
} fd_table_rows;

/* out [rows][fd_width()] = the input part of the pre-activations of x, from the bias on.
 * masks [gates][D] a mask row, one after another; mask_rows [rows]: the mask row of each row of
 * x; null: mask row 0 for all; scratch [fd_project_scratch()] bytes. */
size_t fd_project_scratch(const fd_weights *weights, const fd_masks *masks,
                          const fd_table_rows *x);
void fd_project(const fd_kernels *tier, void *out, void *scratch, const fd_table_rows *x,
                const fd_weights *weights, const fd_masks *masks, const int64_t *mask_rows);

/* What there is to project of tokens [rows][n], each of which counts once in a row: returns how
 * many. words, of [rows * n] get the token and the row of each, index [rows][n] its number among
 * them. found [vocabulary], zero: scratch, one more than all tokens are. */
size_t fd_distinct(int64_t *words, int64_t *of, int64_t *index, const int64_t *tokens,
                   size_t rows, size_t n, int64_t *found);

/* Some steps of a sequence through a layer. */
typedef struct fd_rnn_call {
    const fd_weights *weights;
    size_t rows, steps;
    /* The part of the sequence to run: steps first .. last - 1 in the order they are taken. A
     * sequence may be run in parts: h, c and y_last carry everything from one to the next. */
    size_t first, last;
    int backwards;         /* step s reads x at time steps - 1 - s */
    int zero_masked_steps; /* a masked step puts out zeros, not the last output */

    void *y_last; /* [N][H] in and out: the last output */
    void *h, *c;  /* [N][H] in and out: the state; c null but for an LSTM */
    void *y;      /* [N][T][H] outputs in the order taken; null: not wanted */

    const void
        *x; /* [N][T][D]; null: the input part has been projected, and of time t of row n */
    const void *projected; /* it is row index [N][T] of projected [][fd_width()] */
    const int64_t *index;

    fd_masks input_mask, recurrent_mask;
    fd_masks candidate_mask; /* on the candidate; gates is 1 at most */
    /* [N][last - first][H] of the steps to run, in the order taken; not zero: the previous value
     * stays; null: none */
    const uint8_t *zoneout_h, *zoneout_c;
    /* [N][T] by time; zero: the step is masked (keeps h and c, repeats the last output); null:
     * none is masked */
    const uint8_t *step_mask;
} fd_rnn_call;

/* Denormal numbers are taken for zero. Each pre-activation starts from the bias, adds the input
 * part for feature 0, 1, 2, ..., then the recurrent part for unit 0, 1, 2, ...; on tiers of
 * vectors by fused multiply-adds. A row depends on no other row. scratch [fd_rnn_scratch()]
 * bytes. */
size_t fd_rnn_scratch(const fd_kernels *tier, const fd_rnn_call *call);
void fd_rnn(const fd_kernels *tier, const fd_rnn_call *call, void *scratch);

/* The same for one row on several threads, to the bit. fd_team_parts: into how many parts it can
 * be divided, at most as many as threads; 1: it cannot. Memory of all of them, `team`
 * [fd_team_size()] bytes, aligned to FD_LINE, is laid out by fd_begin_team. Then each thread
 * calls fd_work_in_team, with a number below parts and scratch [fd_rnn_scratch()] of its own,
 * which returns when all steps are taken, or the others are faster without it; it does not wait
 * for a thread that does not come. When all have returned fd_end_team puts the state out. */
size_t fd_team_parts(const fd_rnn_call *call, size_t threads);
size_t fd_team_size(const fd_kernels *tier, const fd_rnn_call *call, size_t parts);
void fd_begin_team(const fd_kernels *tier, const fd_rnn_call *call, size_t parts, void *team);
void fd_work_in_team(const fd_kernels *tier, const fd_rnn_call *call, void *team, size_t part,
                     void *scratch);
void fd_end_team(const fd_kernels *tier, const fd_rnn_call *call, void *team);

/* The same for sequences that come step by step: fd_hold lays out the masks and the state that a
 * call has, in held [fd_held_size()] bytes, aligned to FD_LINE, which must stay where they are.
 * fd_held_steps then takes steps as fd_rnn does, of the same call but for first, last and what x,
 * projected, index, y, y_last, zoneout_* and step_mask point to; fd_held_state copies the state
 * out to h and c [N][H], fd_set_held_state copies it in. */
size_t fd_held_size(const fd_kernels *tier, const fd_rnn_call *call);
void fd_hold(const fd_kernels *tier, const fd_rnn_call *call, void *held);
void fd_held_steps(const fd_rnn_call *call, void *held);
void fd_held_state(const fd_rnn_call *call, const void *held, void *h, void *c);
void fd_set_held_state(const fd_rnn_call *call, void *held, const void *h, const void *c);

#endif
