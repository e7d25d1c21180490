/* Layers: from weights to panels, and from rows, time steps and gates to products and cells. */
#include "counters.h"
#include "float_mode.h"
#include "kernels.h"

#include <string.h>

/* Bytes of weights that a core's L2 cache holds beside all else; half a megabyte is the least
 * that has been usual for long. */
#define STAYS_IN_CACHE ((size_t)256 << 10)
/* Rows that the input part is computed for together, of one step or several. */
#define WINDOW_ROWS 32
/* From so many rows on, the input part of a step is taken together with its recurrent part; with
 * fewer, weights would be read too often for what is done with them. */
#define JOINT_ROWS 4
/* Numbers of each row whose operands are written, and multiplied, at a time: of 64 rows and 2
 * gates they then fill an eighth of a megabyte. Whole panels. */
#define K_BLOCK 256

size_t fd_part_gates(fd_cell cell, size_t part) {
    switch (cell) {
    case FD_LSTM:
        return part < 2 ? 2 : 0;
    case FD_GRU:
    case FD_GRU_RESET_FIRST:
        return part == 0 ? 2 : part == 1 ? 1 : 0;
    case FD_SIMPLE_RNN:
        break;
    }
    return part == 0 ? 1 : 0;
}

static size_t rounded_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }
static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

/* Parts whose recurrent product is added to their input part, whatever the others are. */
static size_t simple_parts(fd_cell cell) { return cell == FD_LSTM ? 2 : 1; }

/* Whether an activation takes a row as a whole. */
static int takes_rows(fd_activation activation) {
    return activation.function == FD_SOFTMAX || activation.function == FD_LOG_SOFTMAX;
}

/* One side of a layer: rows of a product, at most, and masks of the parts: where they are, and
 * from one row to the next, in factors. */
typedef struct side_plan {
    size_t rows, masks[FD_MAX_PARTS], stride[FD_MAX_PARTS];
} side_plan;

/* Where a call keeps what, in elements from the start of its scratch. */
typedef struct plan {
    size_t rows, window; /* rows taken together, and steps whose input part is, too */
    size_t joint;        /* parts whose input part is taken with their recurrent part */
    size_t units, width; /* padded units; columns of pre-activations */
    size_t z_stride;
    size_t h, c, old, z, input, candidate, gates, operands, end;
    size_t looked_up, looked_up_stride; /* rows of a table, times factors */
    side_plan x, recurrent;
} plan;

/* ---- products of bfloat16, which are of float alone ---- */

/* Elements of a panel's column that n products take, and elements of their operands. */
static size_t elements_of(const fd_weights *weights, size_t n) {
    return weights->bfloat16 ? (n + 1) / 2 : n;
}
static size_t operands_of(const fd_kernels *tier, const fd_weights *weights, size_t n) {
    return weights->bfloat16 && !tier->bfloat16.instruction ? n + n % 2 : elements_of(weights, n);
}

/* The kernel that multiplies by a layer's panels. */
static fd_product_f32 *product_of_f32(const fd_kernels *tier, const fd_weights *weights) {
    return weights->bfloat16 ? tier->bfloat16.product : tier->f32.product;
}
static fd_product_f64 *product_of_f64(const fd_kernels *tier, const fd_weights *weights) {
    (void)weights;
    return tier->f64.product;
}

/* a [operands_of(n)][width] = n numbers as it takes them. */
static void finish_operands_f32(const fd_kernels *tier, const fd_weights *weights, float *a,
                                size_t n, size_t width) {
    if (!weights->bfloat16)
        return;
    memset(a + n * width, 0, n % 2 * width * sizeof *a);
    tier->bfloat16.operands(a, n + n % 2, width);
}
static void finish_operands_f64(const fd_kernels *tier, const fd_weights *weights, double *a,
                                size_t n, size_t width) {
    (void)tier, (void)weights, (void)a, (void)n, (void)width;
}

/* Whether masked operands are made at once by bfloat16.operand_kept, and that. */
static int short_way(const fd_kernels *tier, const fd_weights *weights) {
    return weights->bfloat16 && tier->bfloat16.operand_kept;
}
static void kept_in_pairs_f32(const fd_kernels *tier, float *a, const float *v, float scale,
                              const uint8_t *bits, size_t n, size_t width) {
    tier->bfloat16.operand_kept(a, v, scale, bits, n, width);
}
static void kept_in_pairs_f64(const fd_kernels *tier, double *a, const double *v, double scale,
                              const uint8_t *bits, size_t n, size_t width) {
    (void)tier, (void)a, (void)v, (void)scale, (void)bits, (void)n, (void)width;
}

/* ---- layers ---- */

static size_t blocks_of(const plan *p, const fd_rnn_call *call) {
    return p->rows ? (call->rows + p->rows - 1) / p->rows : 0;
}

/* ---- one row on several threads ---- */

/* Moments that a thread is waited for, before another takes its part. */
#define PATIENCE 64

/* How far a part is: steps taken and steps done; and whether the thread that has it took the last
 * one, or another that did not wait for it. */
typedef struct team_part {
    fd_counter taken, done, punctual;
    char rest[FD_LINE - 3 * sizeof(fd_counter)]; /* a line of its own */
} team_part;

/* Then come the numbers, aligned. */
typedef struct team {
    size_t parts;
    char rest[FD_LINE - sizeof(size_t)];
    team_part of[];
} team;

typedef struct team_plan {
    size_t c, input, end;
} team_plan;

static size_t team_head(size_t parts) { return sizeof(team) + parts * sizeof(team_part); }

/* The steps that all parts have taken. */
static size_t steps_taken(team *t) {
    size_t steps = fd_count(&t->of[0].taken);
    for (size_t i = 1; i < t->parts; i++)
        steps = smaller(steps, fd_count(&t->of[i].taken));
    return steps;
}

/* When a thread came, and how long it has waited since, in ticks. */
typedef struct worker {
    uint64_t since, waited;
} worker;

/* Waits until all parts have done so many steps; zero: the thread should go. Who waits most of
 * the time has no CPU at the same time as the others, or one for all: they are faster without it.
 * All that is waited for has been taken by threads that do not wait, so the last one stays. */
static int wait_for(team *t, size_t steps, worker *w) {
    const uint64_t begin = fd_ticks(), patience = fd_ticks_in_a_millisecond();
    for (size_t i = 0, moments = 0; i < t->parts;) {
        if (fd_count(&t->of[i].done) >= steps) {
            i++;
            continue;
        }
        fd_wait_a_moment(moments++);
        const uint64_t now = fd_ticks();
        if (w->waited + (now - begin) > patience + (now - w->since) / 2)
            return 0;
    }
    w->waited += fd_ticks() - begin;
    return 1;
}

/* Whether a thread takes a part of a step, its own or another one's, which others may take. */
static int takes(team *t, size_t part, size_t step, int own) {
    team_part *of = &t->of[part];
    if (!own && fd_count(&of->punctual))
        for (size_t n = 0; n < PATIENCE && fd_count(&of->taken) == step; n++)
            fd_wait_a_moment(n);
    if (fd_count(&of->taken) != step || !fd_count_on(&of->taken, step))
        return 0;
    fd_set_count(&of->punctual, (size_t)own);
    return 1;
}

#define REAL float
#define SUFFIXED(name) name##_f32
#define TABLE f32
#define PANEL FD_PANEL_F32
#include "layers_template.h"

#define REAL double
#define SUFFIXED(name) name##_f64
#define TABLE f64
#define PANEL FD_PANEL_F64
#include "layers_template.h"

/* Of two rows of weights the first is the upper halves. */
FD_INLINE void pack_pairs(float *panels, size_t panel_stride, const wanted_f32 *of, size_t n,
                          size_t units, const size_t width) {
    const size_t together = FD_PANEL_F32 / width;
    for (size_t first = 0; first < units; first += together, panels += panel_stride)
        for (size_t k = 0; k < n; k += 2) {
            const size_t some = smaller(units - first, together);
            float two[2][FD_PANEL_F32];
            uint32_t bits[2][FD_PANEL_F32];
            pack_products_f32(two[0], of, k, first, some, width);
            if (k + 1 < n)
                pack_products_f32(two[1], of, k + 1, first, some, width);
            else
                memset(two[1], 0, sizeof two[1]);
            memcpy(bits, two, sizeof two);
            for (size_t j = 0; j < FD_PANEL_F32; j++)
                bits[0][j] = (bits[0][j] & 0xffff0000) | bits[1][j] >> 16;
            memcpy(panels + k / 2 * FD_PANEL_F32, bits[0], sizeof bits[0]);
        }
}

void fd_pack_bf16(float *panels, size_t panel_stride, const float *w, size_t stride, size_t n,
                  size_t units, size_t gate_stride, size_t width, const uint32_t *index,
                  const float *factors, size_t listed) {
    const wanted_f32 of = {w, stride, gate_stride, index, factors, listed};
    if (width == 1)
        pack_pairs(panels, panel_stride, &of, n, units, 1);
    else
        pack_pairs(panels, panel_stride, &of, n, units, 2);
}

size_t fd_dense_scratch(size_t rows, size_t inputs, size_t columns, size_t element) {
    return element == sizeof(float) ? dense_elements_f32(rows, inputs, columns) * sizeof(float)
                                    : dense_elements_f64(rows, inputs, columns) * sizeof(double);
}

static int single(const fd_weights *weights) { return weights->element == sizeof(float); }

/* Weights that stay in the L2 cache are read for a few rows at a time, whose operands and sums
 * then stay in the L1 cache. */
size_t fd_rows_together(const fd_kernels *tier, const fd_weights *weights) {
    const size_t bytes = weights->bfloat16 ? 2 : weights->element, units = weights->units;
    const size_t width =
        single(weights) ? fd_width_f32(weights->cell, units) : fd_width_f64(weights->cell, units);
    return width * units <= STAYS_IN_CACHE / bytes ? tier->rows : FD_ROWS;
}

size_t fd_project_scratch(const fd_weights *weights, const fd_masks *masks,
                          const fd_table_rows *x) {
    const plan p = single(weights) ? plan_of_project_f32(weights, masks, x)
                                   : plan_of_project_f64(weights, masks, x);
    return p.end * weights->element;
}

void fd_project(const fd_kernels *tier, void *out, void *scratch, const fd_table_rows *x,
                const fd_weights *weights, const fd_masks *masks, const int64_t *mask_rows) {
    if (single(weights))
        project_f32(tier, out, scratch, x, weights, masks, mask_rows);
    else
        project_f64(tier, out, scratch, x, weights, masks, mask_rows);
}

size_t fd_distinct(int64_t *words, int64_t *of, int64_t *index, const int64_t *tokens,
                   size_t rows, size_t n, int64_t *found) {
    size_t count = 0;
    for (size_t r = 0; r < rows; r++) {
        const size_t before = count; /* what was found by then is of other rows */
        for (size_t j = r * n; j < (r + 1) * n; j++) {
            int64_t *place = &found[tokens[j]]; /* one more than its number */
            if ((size_t)*place <= before) {
                words[count] = tokens[j];
                of[count] = (int64_t)r;
                *place = (int64_t)++count;
            }
            index[j] = *place - 1;
        }
    }
    return count;
}

size_t fd_rnn_scratch(const fd_kernels *tier, const fd_rnn_call *call) {
    const plan p =
        single(call->weights) ? plan_of_rnn_f32(tier, call) : plan_of_rnn_f64(tier, call);
    return p.end * call->weights->element;
}

void fd_rnn(const fd_kernels *tier, const fd_rnn_call *call, void *scratch) {
    if (single(call->weights))
        rnn_f32(tier, call, scratch);
    else
        rnn_f64(tier, call, scratch);
}

size_t fd_team_parts(const fd_rnn_call *call, size_t threads) {
    const fd_weights *w = call->weights;
    const size_t panel = single(w) ? FD_PANEL_F32 : FD_PANEL_F64;
    const int whole = w->cell == FD_GRU_RESET_FIRST || takes_rows(w->activation) ||
                      takes_rows(w->recurrent_activation);
    if (call->rows != 1 || call->zoneout_h || call->zoneout_c || whole)
        return 1;
    return larger(1, smaller(threads, rounded_up(w->units, panel) / panel));
}

size_t fd_team_size(const fd_kernels *tier, const fd_rnn_call *call, size_t parts) {
    const int is_single = single(call->weights);
    const plan p = is_single ? plan_of_rnn_f32(tier, call) : plan_of_rnn_f64(tier, call);
    const team_plan t = is_single ? plan_of_team_f32(&p) : plan_of_team_f64(&p);
    return team_head(parts) + t.end * call->weights->element;
}

void fd_begin_team(const fd_kernels *tier, const fd_rnn_call *call, size_t parts, void *of) {
    team *t = of;
    t->parts = parts;
    for (size_t i = 0; i < parts; i++) {
        fd_set_count(&t->of[i].taken, call->first);
        fd_set_count(&t->of[i].done, call->first);
        fd_set_count(&t->of[i].punctual, 0);
    }
    if (single(call->weights))
        begin_team_f32(tier, call, t);
    else
        begin_team_f64(tier, call, t);
}

void fd_work_in_team(const fd_kernels *tier, const fd_rnn_call *call, void *of, size_t part,
                     void *scratch) {
    if (single(call->weights))
        work_f32(tier, call, of, part, scratch);
    else
        work_f64(tier, call, of, part, scratch);
}

void fd_end_team(const fd_kernels *tier, const fd_rnn_call *call, void *of) {
    if (single(call->weights))
        end_team_f32(tier, call, of);
    else
        end_team_f64(tier, call, of);
}

size_t fd_held_size(const fd_kernels *tier, const fd_rnn_call *call) {
    const int is_single = single(call->weights);
    const plan p = is_single ? plan_of_rnn_f32(tier, call) : plan_of_rnn_f64(tier, call);
    const size_t stride = is_single ? held_stride_f32(&p) : held_stride_f64(&p);
    return rounded_up(sizeof p, FD_LINE) + blocks_of(&p, call) * stride;
}

void fd_hold(const fd_kernels *tier, const fd_rnn_call *call, void *held) {
    if (single(call->weights))
        hold_f32(tier, call, held);
    else
        hold_f64(tier, call, held);
}

void fd_held_steps(const fd_rnn_call *call, void *held) {
    if (single(call->weights))
        held_steps_f32(call, held);
    else
        held_steps_f64(call, held);
}

void fd_held_state(const fd_rnn_call *call, const void *held, void *h, void *c) {
    if (single(call->weights))
        held_state_f32(call, held, h, c);
    else
        held_state_f64(call, held, h, c);
}

void fd_set_held_state(const fd_rnn_call *call, void *held, const void *h, const void *c) {
    if (single(call->weights))
        set_held_state_f32(call, held, h, c);
    else
        set_held_state_f64(call, held, h, c);
}

int fd_tier_adds_in_turn(const fd_kernels *tier) {
    enum { NUMBERS = 64 };
    float a[NUMBERS], panel[NUMBERS / 2 * FD_PANEL_F32], z[FD_PANEL_F32] = {0};
    float sums[FD_PANEL_F32] = {0}, weights[NUMBERS * FD_PANEL_F32];
    uint32_t bits = 1;
    for (size_t k = 0; k < NUMBERS; k++)
        for (size_t j = 0; j <= FD_PANEL_F32; j++) {
            bits = bits * 1664525 + 1013904223; /* of Numerical Recipes */
            /* of either sign, between 2^-9 and 1/2: so that sums are rounded */
            const uint32_t number = (bits & 0x807f0000) | (118 + (bits >> 24 & 7)) << 23;
            memcpy(j == FD_PANEL_F32 ? a + k : weights + k * FD_PANEL_F32 + j, &number,
                   sizeof number);
        }
    fd_pack_bf16(panel, 0, weights, FD_PANEL_F32, NUMBERS, FD_PANEL_F32, 0, 1, NULL, NULL, 1);
    for (size_t k = 0; k < NUMBERS; k++)
        for (size_t j = 0; j < FD_PANEL_F32; j++) {
            const float product = a[k] * weights[k * FD_PANEL_F32 + j]; /* exact */
            sums[j] = sums[j] + product;
        }
    const float zero[FD_PANEL_F32] = {0}, *start = zero;
    tier->bfloat16.operands(a, NUMBERS, 1);
    tier->bfloat16.product(z, FD_PANEL_F32, &start, a, NUMBERS, panel, 0, NUMBERS / 2,
                           FD_PANEL_F32, 1, 1, 0);
    int equal = 1;
    for (size_t j = 0; j < FD_PANEL_F32; j++)
        equal &= z[j] == sums[j];
    return equal;
}
