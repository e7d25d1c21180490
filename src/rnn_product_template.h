/* Recurrent layers: operands, and their products with panels; a part of layers_template.h.
 *
 * What enters a product, an operand, is masked and scaled where it is copied for it; after that
 * masks cost nothing. */

/* What a product multiplies: rows of numbers, masked where they become operands. */
typedef struct SUFFIXED(source) {
    const fd_matrix *matrix;
    size_t n, listed, at_once;
    const REAL *const *numbers; /* of each row */
    const size_t *mask_row;     /* which masks it has */
    size_t stride;              /* of masks, in factors */
    const REAL *factors;        /* gates side by side; null: none */
    const uint8_t *bits; /* not null: a factor is `scale` where its bit is set, else zero */
    int in_pairs;        /* bits, for the short way to operands of bfloat16 */
    REAL scale;
} SUFFIXED(source);

/* Everything that a block of rows needs. */
typedef struct SUFFIXED(block) {
    const fd_kernels *tier;
    const fd_weights *weights;
    const fd_rnn_call *call; /* null: input parts alone are computed */
    const plan *p;
    REAL *base;
    size_t first_row, rows;
    const REAL *candidate; /* padded; null: none */
    fd_activation gates;   /* what pre-activations of gates still need: none, if it took rows */
    int backwards; /* the last columns first, in every other step: what the step before read last
                      is still in cache */
    SUFFIXED(source) x[FD_MAX_PARTS], h[FD_MAX_PARTS];
    const REAL *x_numbers[FD_ROWS], *h_numbers[FD_ROWS];
    size_t x_mask_row[FD_ROWS], h_mask_row[FD_ROWS];
} SUFFIXED(block);

/* to [n][gates] = masks [gates][n] */
static void SUFFIXED(interleave)(REAL *to, const REAL *mask, size_t n, size_t gates) {
    for (size_t g = 0; g < gates; g++)
        for (size_t k = 0; k < n; k++)
            to[k * gates + g] = mask[g * n + k];
}

/* Bit k * gates + g of `to` says whether masks [gates][n] keep k for gate g. */
static void SUFFIXED(interleave_bits)(uint8_t *to, const REAL *mask, size_t n, size_t gates) {
    for (size_t first = 0; first < n; first += 64) {
        const size_t some = smaller(n - first, 64);
        uint8_t bits[64] = {0}; /* `gates` of them each, ... */
        for (size_t g = 0; g < gates; g++)
            for (size_t k = 0; k < some; k++)
                bits[k] |= (uint8_t)((mask[g * n + first + k] != 0) << g);
        for (size_t each = gates; each < 8; each *= 2) /* ... then more in fewer bytes */
            for (size_t i = 0; i < 32 * gates / each; i++)
                bits[i] = (uint8_t)(bits[2 * i] | bits[2 * i + 1] << each);
        memcpy(to + first * gates / 8, bits, (some * gates + 7) / 8);
    }
}

/* The same for bfloat16.operand_kept: of each pair the second number comes first. */
static void SUFFIXED(pair_bits)(uint8_t *to, const REAL *mask, size_t n, size_t gates) {
    for (size_t g = 0; g < gates; g++)
        for (size_t k = 0; k < n; k++) {
            const size_t bit = (k / 2 * gates + g) * 2 + (k % 2 == 0);
            to[bit / 8] |= (uint8_t)((mask[g * n + k] != 0) << bit % 8);
        }
}

/* Whether all masks [rows][n] have one factor but for zero. */
static int SUFFIXED(one_scale)(REAL *scale, const REAL *const *masks, size_t rows, size_t n) {
    int others = 0;
    *scale = 0;
    for (size_t r = 0; r < rows; r++) {
        for (size_t k = 0; k < n && *scale == 0; k++)
            *scale = masks[r][k];
        const REAL one = *scale;
        for (size_t k = 0; k < n; k++)
            others |= (masks[r][k] != 0) & (masks[r][k] != one);
    }
    return !others;
}

/* Factors from so many on; null where there are none. */
static const REAL *SUFFIXED(mask_at)(const fd_masks *masks, size_t place) {
    return masks->gates ? (const REAL *)masks->factors + place : NULL;
}

/* The sources of a side, and what its rows' masks [masks][length] have for each part. */
static void SUFFIXED(take_sources)(const SUFFIXED(block) *b, SUFFIXED(source) *sources,
                                   const side_plan *p, const SUFFIXED(side) *side,
                                   const REAL *const *numbers, const size_t *mask_row,
                                   const REAL *const *masks) {
    const fd_cell cell = b->weights->cell;
    size_t gate = 0;
    for (size_t part = 0; part < FD_MAX_PARTS && fd_part_gates(cell, part); part++) {
        const size_t gates = fd_part_gates(cell, part), stride = p->stride[part];
        const size_t listed = SUFFIXED(listed)(side, part, gates);
        SUFFIXED(source) *s = &sources[part];
        REAL *room = b->base + p->masks[part];
        const REAL *of[FD_ROWS];
        *s = (SUFFIXED(source)){&side->matrices[part],
                                SUFFIXED(taken)(side, part),
                                listed,
                                SUFFIXED(at_once)(side, part),
                                numbers,
                                mask_row,
                                stride,
                                side->matrices[part].factors,
                                NULL,
                                0,
                                0};
        for (size_t r = 0; stride && r < side->mask_rows; r++)
            of[r] = masks[r] + (side->masks > 1 ? gate * side->length : 0);
        gate += gates;
        if (!stride)
            continue;
        s->factors = room;
        if (SUFFIXED(one_scale)(&s->scale, of, side->mask_rows, listed * side->length))
            s->bits = (uint8_t *)room;
        /* What a reset gate multiplies has to be a float. */
        s->in_pairs = s->bits && short_way(b->tier, b->weights) &&
                      !(cell == FD_GRU_RESET_FIRST && part == 1);
        memset(room, 0, side->mask_rows * stride * (s->bits ? 1 : 8 * sizeof *room) / 8);
        for (size_t r = 0; r < side->mask_rows; r++)
            if (s->in_pairs)
                SUFFIXED(pair_bits)((uint8_t *)room + r * (stride / 8), of[r], side->length,
                                    listed);
            else if (s->bits)
                SUFFIXED(interleave_bits)((uint8_t *)room + r * (stride / 8), of[r], side->length,
                                          listed);
            else
                SUFFIXED(interleave)(room + r * stride, of[r], side->length, listed);
    }
}

/* a = what lists keep; from `full` on some of them have ended. */
static void SUFFIXED(gather)(REAL *restrict a, const REAL *restrict v,
                             const uint32_t *restrict index, const REAL *restrict factors,
                             size_t full, size_t all) {
    for (size_t i = 0; i < full; i++)
        a[i] = v[index[i]] * factors[i];
    for (size_t i = full; i < all; i++)
        a[i] = factors[i] == 0 ? 0 : v[index[i]] * factors[i];
}

/* a = the operands of numbers from .. from + some - 1 of row `place` of a block, the first n of
 * which count; from is a multiple of 8. reset: null, or the pre-activations of a GRU's gates of
 * these numbers, the second of which multiplies operands. */
FD_INLINE void SUFFIXED(write_operands)(const SUFFIXED(block) *b, REAL *a,
                                        const SUFFIXED(source) *s, size_t place, size_t from,
                                        size_t some, size_t n, const REAL *reset) {
    const fd_kernels *tier = b->tier;
    const REAL *v = s->numbers[place];
    const size_t first = from * s->listed, mask = s->mask_row[place] * s->stride;
    if (s->in_pairs) {
        SUFFIXED(kept_in_pairs)(tier, a, v + from, s->scale, s->bits + (mask + first) / 8, n,
                                s->listed);
        return;
    }
    if (s->matrix->index) {
        const size_t full = s->matrix->full > from ? smaller(s->matrix->full - from, some) : 0;
        SUFFIXED(gather)(a, v, s->matrix->index + first, s->factors + first, full * s->listed,
                         some * s->listed);
    } else if (s->bits) {
        tier->TABLE.operand_kept(a, v + from, s->scale, s->bits + (mask + first) / 8, some,
                                 s->listed);
    } else {
        const REAL *factors = s->factors ? s->factors + mask + first : NULL;
        tier->TABLE.operand(a, v + from, factors, some, s->listed);
    }
    if (reset)
        tier->TABLE.gru_reset(a, reset, some, b->gates);
    SUFFIXED(finish_operands)(tier, b->weights, a, n, s->listed);
}

/* Whether a part, multiplied behind the part before it, finds its operands already written. */
static int SUFFIXED(written)(const SUFFIXED(source) *s, const SUFFIXED(source) *before) {
    return s->listed == 1 && before->listed == 1 && !s->matrix->factors &&
           !before->matrix->factors && s->n <= s->at_once;
}

/* z [rows] = start + what a source has from row `first` on times its matrix, of so many columns
 * from a panel on. written: the operands are there. reset: null, or the pre-activations of a
 * GRU's gates, the second of which multiplies operands. */
FD_INLINE void SUFFIXED(multiply)(const SUFFIXED(block) *b, REAL *z, const REAL *const *start,
                                  const SUFFIXED(source) *s, size_t panel, size_t columns,
                                  size_t first, size_t rows, int written, const REAL *reset) {
    const fd_matrix *matrix = s->matrix;
    const size_t z_stride = b->p->z_stride;
    const REAL *panels = (const REAL *)matrix->panels + panel * matrix->panel_stride;
    REAL *a = b->base + b->p->operands;
    size_t k = 0;
    do {
        const size_t some = smaller(s->n - k, s->at_once), n = smaller(matrix->n - k, some);
        const size_t stride = SUFFIXED(stride_of)(some * s->listed);
        for (size_t r = 0; r < rows && !written; r++) {
            const REAL *gates = reset ? reset + r * z_stride + 2 * k : NULL;
            SUFFIXED(write_operands)(b, a + r * stride, s, first + r, k, some, n, gates);
        }
        SUFFIXED(product_of)(b->tier, b->weights)(
            z, z_stride, k ? NULL : start, a, stride, panels + elements_of(b->weights, k) * PANEL,
            matrix->panel_stride, elements_of(b->weights, n), columns, rows, s->listed,
            b->backwards);
        k += some;
    } while (k < matrix->n);
}

/* The same for x and h at once. */
static void SUFFIXED(multiply_both)(const SUFFIXED(block) *b, REAL *z, const REAL *const *start,
                                    const SUFFIXED(source) *x, const SUFFIXED(source) *h,
                                    size_t columns, size_t first, size_t rows, int written) {
    const fd_weights *weights = b->weights;
    const size_t of_x = operands_of(b->tier, weights, x->n) * x->listed;
    const size_t gap = rounded_up(of_x, PANEL) - of_x;
    const size_t stride = SUFFIXED(stride_of)(gap + of_x + h->n * h->listed);
    REAL *a = b->base + b->p->operands + gap; /* h begins on a line */
    for (size_t r = 0; r < rows && !written; r++) {
        REAL *to = a + r * stride;
        SUFFIXED(write_operands)(b, to, x, first + r, 0, x->n, x->matrix->n, NULL);
        SUFFIXED(write_operands)(b, to + of_x, h, first + r, 0, h->n, h->matrix->n, NULL);
    }
    SUFFIXED(product_of)(b->tier, weights)(
        z, b->p->z_stride, start, a, stride, x->matrix->panels, x->matrix->panel_stride,
        elements_of(weights, x->n) + elements_of(weights, h->matrix->n), columns, rows, h->listed,
        b->backwards);
}

/* z [rows] = the input part of the pre-activations of so many units from `first` on, a multiple
 * of PANEL, but for parts that are joint. */
static void SUFFIXED(input_parts)(const SUFFIXED(block) *b, REAL *z, size_t rows, size_t first,
                                  size_t units) {
    const fd_weights *weights = b->weights;
    size_t offset = 0;
    for (size_t part = 0; part < FD_MAX_PARTS; part++) {
        const size_t gates = fd_part_gates(weights->cell, part), joint = b->p->joint;
        const size_t column = first * gates;
        const SUFFIXED(source) *s = &b->x[part];
        const REAL *start[FD_ROWS];
        for (size_t r = 0; r < rows; r++)
            start[r] = (const REAL *)weights->bias + offset + column;
        if (gates && part >= joint)
            SUFFIXED(multiply)(b, z + offset + column, start, s, column / PANEL, units * gates, 0,
                               rows, part > joint && SUFFIXED(written)(s, s - 1), NULL);
        offset += gates * b->p->units;
    }
}

/* Row r of x: where it stands, or times its factors in `room`. */
static const REAL *SUFFIXED(row_of)(const fd_kernels *tier, const fd_table_rows *x, size_t r,
                                    size_t features, REAL *room) {
    const REAL *row = (const REAL *)x->values + (x->index ? (size_t)x->index[r] : r) * features;
    if (!x->factors)
        return row;
    const size_t of = x->factor_rows ? (size_t)x->factor_rows[r] : 0;
    tier->TABLE.operand(room, row, (const REAL *)x->factors + of * features, features, 1);
    return room;
}

static void SUFFIXED(project)(const fd_kernels *tier, REAL *out, void *scratch,
                              const fd_table_rows *x, const fd_weights *weights,
                              const fd_masks *masks, const int64_t *mask_rows) {
    const uint64_t mode = fd_enter_flush_to_zero();
    const plan p = SUFFIXED(plan_of_project)(weights, masks, x);
    const size_t features = weights->features;
    SUFFIXED(block) b;
    memset(&b, 0, sizeof b);
    b.tier = tier, b.weights = weights, b.p = &p, b.base = scratch;
    for (size_t n = 0; n < x->rows; n += FD_ROWS) {
        const size_t some = smaller(x->rows - n, FD_ROWS);
        const REAL *of[FD_ROWS];
        size_t different = 0; /* masks, one after another */
        for (size_t r = 0; r < some; r++) {
            const size_t row = mask_rows ? (size_t)mask_rows[n + r] : 0;
            if (r == 0 || (mask_rows && mask_rows[n + r] != mask_rows[n + r - 1]))
                of[different++] = SUFFIXED(mask_at)(masks, row * masks->gates * features);
            b.x_numbers[r] = SUFFIXED(row_of)(tier, x, n + r, features,
                                              b.base + p.looked_up + r * p.looked_up_stride);
            b.x_mask_row[r] = different - 1;
        }
        const SUFFIXED(side) side = SUFFIXED(input_side)(weights, masks, different, p.x.rows);
        SUFFIXED(take_sources)(&b, b.x, &p.x, &side, b.x_numbers, b.x_mask_row, of);
        SUFFIXED(input_parts)(&b, out + n * p.width, some, 0, weights->units);
    }
    fd_leave_mode(mode);
}
