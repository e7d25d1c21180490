/* Recurrent layers: rows and time steps; a part of layers_template.h.
 *
 * Some rows run side by side through their whole part of the sequence before the next rows start:
 * weights are read once for all of them, states stay in cache, and no result depends on which
 * rows share a call. */

/* A block's states, from and to arrays of all rows; c may be null. */
static void SUFFIXED(read_states)(const SUFFIXED(block) *b, const REAL *h, const REAL *c) {
    const size_t units = b->weights->units, row_bytes = units * sizeof(REAL);
    for (size_t r = 0; r < b->rows; r++) {
        const size_t from = (b->first_row + r) * units, to = r * b->p->units;
        memcpy(b->base + b->p->h + to, h + from, row_bytes);
        if (c)
            memcpy(b->base + b->p->c + to, c + from, row_bytes);
    }
}

static void SUFFIXED(write_states)(const SUFFIXED(block) *b, REAL *h, REAL *c) {
    const size_t units = b->weights->units, row_bytes = units * sizeof(REAL);
    for (size_t r = 0; r < b->rows; r++) {
        const size_t to = (b->first_row + r) * units, from = r * b->p->units;
        memcpy(h + to, b->base + b->p->h + from, row_bytes);
        if (c)
            memcpy(c + to, b->base + b->p->c + from, row_bytes);
    }
}

/* Masks side by side, and states padded. */
static void SUFFIXED(prepare)(SUFFIXED(block) *b) {
    const plan *p = b->p;
    const fd_rnn_call *call = b->call;
    const fd_masks *input = &call->input_mask, *recurrent = &call->recurrent_mask;
    const fd_masks *candidate = &call->candidate_mask;
    const size_t units = b->weights->units, row_bytes = units * sizeof(REAL);
    const size_t candidates = candidate->stride ? b->rows : 1;
    const REAL *x_masks[FD_ROWS], *h_masks[FD_ROWS];
    /* What is added to lengths begins as zero, and whatever comes of it is not looked at. */
    memset(b->base, 0, p->z * sizeof *b->base);
    memset(b->base + p->candidate, 0, candidates * p->units * sizeof *b->base);
    for (size_t r = 0; r < b->rows; r++) {
        const size_t n = b->first_row + r;
        x_masks[r] = SUFFIXED(mask_at)(input, n * input->stride);
        h_masks[r] = SUFFIXED(mask_at)(recurrent, n * recurrent->stride);
        b->h_numbers[r] = b->base + p->h + r * p->units;
        b->h_mask_row[r] = recurrent->stride ? r : 0;
    }
    const SUFFIXED(side) x =
        SUFFIXED(input_side)(b->weights, input, input->stride ? b->rows : 1, p->x.rows);
    const SUFFIXED(side) h = SUFFIXED(recurrent_side)(
        b->weights, recurrent, recurrent->stride ? b->rows : 1, p->recurrent.rows);
    SUFFIXED(take_sources)(b, b->x, &p->x, &x, b->x_numbers, b->x_mask_row, x_masks);
    SUFFIXED(take_sources)(b, b->h, &p->recurrent, &h, b->h_numbers, b->h_mask_row, h_masks);
    b->candidate = candidate->gates ? b->base + p->candidate : NULL;
    for (size_t r = 0; candidate->gates && r < candidates; r++)
        memcpy(b->base + p->candidate + r * p->units,
               SUFFIXED(mask_at)(candidate, (b->first_row + r) * candidate->stride), row_bytes);
}

/* The time of step s. */
static size_t SUFFIXED(time_of)(const fd_rnn_call *call, size_t s) {
    return call->backwards ? call->steps - 1 - s : s;
}

/* The input part of so many units from `first` on, of `some` steps from step s on, for all rows:
 * row r, step i at r * some + i of z. */
static void SUFFIXED(project_window)(SUFFIXED(block) *b, REAL *z, size_t s, size_t some,
                                     size_t first, size_t units) {
    const fd_rnn_call *call = b->call;
    const REAL *x = call->x;
    for (size_t r = 0; r < b->rows; r++)
        for (size_t i = 0; i < some; i++) {
            const size_t t = SUFFIXED(time_of)(call, s + i);
            b->x_numbers[r * some + i] =
                x + ((b->first_row + r) * call->steps + t) * b->weights->features;
            b->x_mask_row[r * some + i] = call->input_mask.stride ? r : 0;
        }
    SUFFIXED(input_parts)(b, z, b->rows * some, first, units);
}

/* The products of one step for rows first .. last - 1, on top of their input parts, where those
 * are not joint. */
FD_INLINE void SUFFIXED(multiply_step)(const SUFFIXED(block) *b, const REAL *const *start,
                                       size_t first, size_t last, int joint) {
    const plan *p = b->p;
    const fd_weights *w = b->weights;
    const size_t rows = last - first, simple = simple_parts(w->cell);
    const REAL *from[FD_ROWS];
    REAL *z = b->base + p->z + first * p->z_stride;
    const size_t width = fd_part_gates(w->cell, 0); /* of all that are simple */
    const SUFFIXED(source) *x_before = NULL, *h_before = NULL;
    for (size_t i = 0; i < simple; i++) {
        const size_t part = b->backwards ? simple - 1 - i : i;
        const size_t columns = w->units * width, offset = part * width * p->units;
        const SUFFIXED(source) *x = &b->x[part], *h = &b->h[part];
        const int written = h_before && SUFFIXED(written)(h, h_before);
        for (size_t r = 0; r < rows; r++)
            from[r] = (joint ? (const REAL *)w->bias : start[first + r]) + offset;
        if (joint)
            SUFFIXED(multiply_both)(b, z + offset, from, x, h, columns, first, rows,
                                    written && SUFFIXED(written)(x, x_before));
        else
            SUFFIXED(multiply)(b, z + offset, from, h, 0, columns, first, rows, written, NULL);
        x_before = x, h_before = h;
    }
    const size_t offset = simple * width * p->units;
    if (w->cell != FD_SIMPLE_RNN && takes_rows(b->weights->recurrent_activation))
        SUFFIXED(activate_gates)(b, z, rows);
    if (!fd_part_gates(w->cell, simple))
        return;
    /* A GRU's candidate: its recurrent part by itself, or on top of its input part. */
    const size_t hidden = w->cell == FD_GRU ? p->width : offset;
    for (size_t r = 0; r < rows; r++)
        from[r] = w->cell == FD_GRU ? w->recurrent_bias : start[first + r] + offset;
    SUFFIXED(multiply)(b, z + hidden, from, &b->h[simple], 0, w->units, first, rows, 0,
                       w->cell == FD_GRU ? NULL : z);
}

/* new [units] = old where keep is set */
static void SUFFIXED(zone_out)(REAL *new, const REAL *old, const uint8_t *keep, size_t units) {
    for (size_t j = 0; j < units; j++)
        new[j] = keep[j] ? old[j] : new[j];
}

/* Step s of a block's rows, and what they put out. plain: of one row, which takes all steps,
 * without zoneout; a constant, for such steps are short. */
FD_INLINE void SUFFIXED(take_step)(const SUFFIXED(block) *b, size_t s, size_t from, size_t until,
                                   const int plain) {
    const plan *p = b->p;
    const fd_rnn_call *call = b->call;
    const uint8_t *zoneout_h = plain ? NULL : call->zoneout_h;
    const uint8_t *zoneout_c = plain ? NULL : call->zoneout_c;
    const size_t steps = call->steps, units = b->weights->units, rows = plain ? 1 : b->rows;
    const size_t row_bytes = units * sizeof(REAL);
    const size_t t = SUFFIXED(time_of)(call, s);
    const uint8_t *valid =
        !plain && call->step_mask ? call->step_mask + b->first_row * steps + t : NULL;
    REAL *y_last = call->y_last, *y = call->y;
    const REAL *start[FD_ROWS];
    REAL *h = b->base + p->h, *c = b->base + p->c;
    REAL *old_h = b->base + p->old, *old_c = old_h + p->rows * p->units;
    size_t first = rows, last = 0; /* of the rows that take this step */
    for (size_t r = 0; r < rows; r++) {
        start[r] = call->x ? b->base + p->input + (r * (until - from) + s - from) * p->z_stride
                           : (const REAL *)call->projected +
                                 (size_t)call->index[(b->first_row + r) * steps + t] * p->width;
        if (!valid || valid[r * steps]) {
            first = first < r ? first : r;
            last = r + 1;
        }
    }
    if (first < last)
        SUFFIXED(multiply_step)(b, start, first, last, call->x && p->joint);
    if (zoneout_h)
        memcpy(old_h, h, rows * p->units * sizeof *h);
    if (zoneout_c)
        memcpy(old_c, c, rows * p->units * sizeof *c);
    for (size_t r = first, end; r < last; r = end + 1) { /* between rows that do not */
        for (end = r; end < last && (!valid || valid[end * steps]);)
            end++;
        if (r < end)
            SUFFIXED(cells)(b, start, r, end);
    }
    for (size_t r = 0; r < rows; r++) {
        const size_t n = b->first_row + r, place = (n * steps + s) * units, own = r * p->units;
        const size_t event = (n * (call->last - call->first) + s - call->first) * units;
        if (!valid || valid[r * steps]) {
            if (zoneout_h)
                SUFFIXED(zone_out)(h + own, old_h + own, zoneout_h + event, units);
            if (zoneout_c)
                SUFFIXED(zone_out)(c + own, old_c + own, zoneout_c + event, units);
            if (valid || s + 1 == call->last)
                memcpy(y_last + n * units, h + own, row_bytes);
            if (y)
                memcpy(y + place, h + own, row_bytes);
        } else {
            if (call->zero_masked_steps)
                memset(y_last + n * units, 0, row_bytes);
            if (y)
                memcpy(y + place, y_last + n * units, row_bytes);
        }
    }
}

/* The steps of a block's rows. */
static void SUFFIXED(take_steps)(SUFFIXED(block) *b) {
    const fd_rnn_call *call = b->call;
    const int plain = b->rows == 1 && !call->step_mask && !call->zoneout_h && !call->zoneout_c;
    for (size_t s = call->first, from = s, until = s; s < call->last; s++) {
        if (call->x && s == until) {
            from = s;
            until = s + smaller(b->p->window, call->last - s);
            SUFFIXED(project_window)(b, b->base + b->p->input, s, until - s, 0,
                                     b->weights->units);
        }
        b->backwards = !b->backwards;
        if (plain)
            SUFFIXED(take_step)(b, s, from, until, 1);
        else
            SUFFIXED(take_step)(b, s, from, until, 0);
    }
}

/* A call's first block, without rows. */
static SUFFIXED(block) SUFFIXED(first_block)(const fd_kernels *tier, const fd_rnn_call *call,
                                             const plan *p, REAL *base) {
    SUFFIXED(block) b;
    memset(&b, 0, sizeof b);
    b.tier = tier, b.weights = call->weights, b.call = call, b.p = p, b.base = base;
    if (!takes_rows(call->weights->recurrent_activation))
        b.gates = call->weights->recurrent_activation;
    return b;
}

static void SUFFIXED(rnn)(const fd_kernels *tier, const fd_rnn_call *call, void *scratch) {
    const uint64_t mode = fd_enter_flush_to_zero();
    const plan p = SUFFIXED(plan_of_rnn)(tier, call);
    SUFFIXED(block) b = SUFFIXED(first_block)(tier, call, &p, scratch);
    for (size_t left = blocks_of(&p, call); left; left--, b.first_row += b.rows) {
        b.rows = (call->rows - b.first_row) / left; /* of equal size, or one more row */
        SUFFIXED(prepare)(&b);
        SUFFIXED(read_states)(&b, call->h, call->c);
        SUFFIXED(take_steps)(&b);
        SUFFIXED(write_states)(&b, call->h, call->c);
    }
    fd_leave_mode(mode);
}

/* ---- calls that are held: a plan, then for each block itself and its scratch ---- */

/* Bytes from a block to the next, all of them aligned. */
static size_t SUFFIXED(held_stride)(const plan *p) {
    return rounded_up(sizeof(SUFFIXED(block)), FD_LINE) +
           rounded_up(p->end * sizeof(REAL), FD_LINE);
}

static SUFFIXED(block) *SUFFIXED(held_block)(const void *held, size_t i) {
    char *first = (char *)held + rounded_up(sizeof(plan), FD_LINE);
    return (SUFFIXED(block) *)(void *)(first + i * SUFFIXED(held_stride)(held));
}

static void SUFFIXED(hold)(const fd_kernels *tier, const fd_rnn_call *call, void *held) {
    const uint64_t mode = fd_enter_flush_to_zero();
    plan *p = held;
    *p = SUFFIXED(plan_of_rnn)(tier, call);
    const size_t blocks = blocks_of(p, call);
    size_t row = 0;
    for (size_t i = 0; i < blocks; i++) {
        SUFFIXED(block) *b = SUFFIXED(held_block)(held, i);
        char *scratch = (char *)b + rounded_up(sizeof *b, FD_LINE);
        *b = SUFFIXED(first_block)(tier, call, p, (REAL *)(void *)scratch);
        b->first_row = row;
        b->rows = (call->rows - row) / (blocks - i);
        row += b->rows;
        SUFFIXED(prepare)(b);
        SUFFIXED(read_states)(b, call->h, call->c);
    }
    fd_leave_mode(mode);
}

static void SUFFIXED(held_steps)(const fd_rnn_call *call, void *held) {
    const uint64_t mode = fd_enter_flush_to_zero();
    const size_t blocks = blocks_of(held, call);
    for (size_t i = 0; i < blocks; i++) {
        SUFFIXED(block) *b = SUFFIXED(held_block)(held, i);
        b->call = call;
        SUFFIXED(take_steps)(b);
    }
    fd_leave_mode(mode);
}

static void SUFFIXED(held_state)(const fd_rnn_call *call, const void *held, REAL *h, REAL *c) {
    for (size_t i = 0; i < blocks_of(held, call); i++)
        SUFFIXED(write_states)(SUFFIXED(held_block)(held, i), h, c);
}

static void SUFFIXED(set_held_state)(const fd_rnn_call *call, void *held, const REAL *h,
                                     const REAL *c) {
    for (size_t i = 0; i < blocks_of(held, call); i++)
        SUFFIXED(read_states)(SUFFIXED(held_block)(held, i), h, c);
}
