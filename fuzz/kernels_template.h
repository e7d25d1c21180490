/* Layers for one number type: REAL; FMA, its fused multiply-add; SUFFIXED(name); PANEL. */

static void SUFFIXED(activate)(void) {
    const size_t n = some(500), cut = below(n + 1);
    const fd_activation by = activation(FD_SOFTMAX);
    const REAL *v = SUFFIXED(numbers)(n), *want = NULL;
    EACH_TIER {
        REAL *out = copy(v, n, sizeof *v), *parts = copy(v, n, sizeof *v);
        SUFFIXED(fd_activate)(tier, out, n, by);
        SUFFIXED(fd_activate)(tier, parts, cut, by);
        SUFFIXED(fd_activate)(tier, parts + cut, n - cut, by);
        LAW(SUFFIXED(same)(out, parts, n));
        for (size_t j = 0; j < n; j++)
            LAW(isnan(out[j]) || !isnan(v[j]));
        LAW(!want || !is_vector(tier) || SUFFIXED(same)(out, want, n));
        want = out;
    }
}

static void SUFFIXED(softmax)(void) {
    const size_t rows = some(9), columns = least_one(300), r = below(rows + !rows);
    const int logarithm = (int)below(2);
    const REAL *v = SUFFIXED(numbers)(rows * columns), *want = NULL;
    EACH_TIER {
        REAL *out = copy(v, rows * columns, sizeof *v);
        SUFFIXED(fd_softmax)(tier, out, rows, columns, logarithm);
        if (rows) {
            REAL *row = copy(v + r * columns, columns, sizeof *v);
            SUFFIXED(fd_softmax)(tier, row, 1, columns, logarithm);
            LAW(SUFFIXED(same)(row, out + r * columns, columns));
        }
        LAW(!want || !is_vector(tier) || SUFFIXED(same)(out, want, rows * columns));
        want = out;
    }
}

/* Samples in two parts are the same as all at once. */
static void SUFFIXED(moments)(void) {
    const fd_kernels *tier = tiers[0]; /* on none of its own */
    const size_t samples = some(5), width = some(600), n = below(samples + 1);
    const REAL *origin = SUFFIXED(numbers)(width), *v = SUFFIXED(numbers)(samples * width);
    double *sum = array(width, sizeof *sum), *squares = array(width, sizeof *squares);
    memset(sum, 0, width * sizeof *sum);
    memset(squares, 0, width * sizeof *squares);
    double *of_parts = copy(sum, width, sizeof *sum), *both = copy(sum, width, sizeof *sum);
    SUFFIXED(fd_moments)(sum, squares, origin, v, samples, width);
    SUFFIXED(fd_moments)(of_parts, both, origin, v, n, width);
    SUFFIXED(fd_moments)(of_parts, both, origin, v + n * width, samples - n, width);
    LAW(same_f64(sum, of_parts, width) && same_f64(squares, both, width));
}

/* ---- weights ---- */

/* Rows are `stride` apart, and their ends are those of the array. */
static size_t SUFFIXED(spread)(size_t rows, size_t columns, size_t stride) {
    return rows ? (rows - 1) * stride + columns : 0;
}

/* Masks [gates][n], some of which is zero. */
static REAL *SUFFIXED(factors_of)(size_t gates, size_t n) {
    REAL *to = SUFFIXED(numbers)(gates * n);
    const uint8_t *dropped = events(gates * n);
    const int one = (int)below(2);
    for (size_t j = 0; j < gates * n; j++)
        to[j] = dropped[j] ? 0 : one ? 2 : to[j];
    return to;
}

/* Lists of what masks [listed][length] keep, or null where all is kept; n products. */
typedef struct SUFFIXED(lists) {
    size_t n, full, listed;
    uint32_t *index;
    REAL *factors;
} SUFFIXED(lists);

static SUFFIXED(lists) SUFFIXED(kept)(const REAL *mask, size_t length, size_t listed) {
    const fd_kernels *tier = tiers[tier_count - 1];
    SUFFIXED(lists)
    l = {length, length, listed, array(length * listed, 4), array(length * listed, sizeof *mask)};
    l.n = SUFFIXED(fd_kept)(l.index, l.factors, &l.full, mask, length, listed);
    size_t longest = 0, shortest = length;
    for (size_t g = 0; g < listed; g++) {
        size_t count = 0;
        for (size_t k = 0; k < length; k++) {
            const REAL factor = mask[g * length + k];
            if (factor == 0 || fpclassify(factor) == FP_SUBNORMAL)
                continue;
            LAW(l.index[count * listed + g] == k);
            LAW(SUFFIXED(same)(&l.factors[count * listed + g], &factor, 1));
            count++;
        }
        longest = count > longest ? count : longest;
        shortest = count < shortest ? count : shortest;
        for (; count < length; count++)
            LAW(l.index[count * listed + g] == 0 && l.factors[count * listed + g] == 0);
    }
    LAW(l.n == longest && l.full == shortest);
    return l;
}

/* A part of a layer's matrix: some gates of it, and what is kept. */
typedef struct SUFFIXED(part) {
    size_t units, stride, width, panel_stride;
    const REAL *w;
    SUFFIXED(lists) lists;
} SUFFIXED(part);

static SUFFIXED(part) SUFFIXED(take_part)(void) {
    SUFFIXED(part) p = {.units = some(40), .width = 1 + below(2)};
    const size_t inputs = some(40), gates = p.width + below(2),
                 first = below(gates - p.width + 1);
    p.stride = gates * p.units;
    p.w = (REAL *)SUFFIXED(numbers)(inputs * p.stride) + first * p.units;
    p.lists = (SUFFIXED(lists)){inputs, inputs, 1, NULL, NULL};
    const size_t listed = below(3); /* 0: nothing is dropped */
    if (listed) {
        const size_t each = listed == 1 ? 1 : p.width;
        p.lists = SUFFIXED(kept)(SUFFIXED(factors_of)(each, inputs), inputs, each);
    }
    p.panel_stride = (p.lists.n + below(3)) * PANEL;
    return p;
}

static REAL *SUFFIXED(packed)(const SUFFIXED(part) *p) {
    const size_t panels = SUFFIXED(fd_panels)(p->units * p->width);
    const size_t n = SUFFIXED(spread)(panels, p->lists.n * PANEL, p->panel_stride);
    REAL *to = room(n * sizeof *to, 0);
    SUFFIXED(fd_pack)(to, p->panel_stride, p->w, p->stride, p->lists.n, p->units, p->units,
                      p->width, p->lists.index, p->lists.factors, p->lists.listed);
    return to;
}

static void SUFFIXED(pack)(void) {
    const fd_kernels *tier = tiers[0];
    const SUFFIXED(part) p = SUFFIXED(take_part)();
    const SUFFIXED(lists) *l = &p.lists;
    const REAL *panels = SUFFIXED(packed)(&p);
    for (size_t j = 0; j < SUFFIXED(fd_panels)(p.units * p.width) * PANEL; j++)
        for (size_t k = 0; k < l->n; k++) {
            const size_t unit = j / p.width, gate = j % p.width;
            const size_t entry = k * l->listed + (l->listed == 1 ? 0 : gate);
            const size_t row = l->index ? l->index[entry] : k;
            REAL want = 0;
            if (unit < p.units && !(l->factors && l->factors[entry] == 0))
                want = p.w[row * p.stride + gate * p.units + unit];
            LAW(!memcmp(panels + j / PANEL * p.panel_stride + k * PANEL + j % PANEL, &want,
                        sizeof want));
        }
}

static size_t SUFFIXED(gates_of)(fd_cell cell) {
    return fd_part_gates(cell, 0) + fd_part_gates(cell, 1);
}

static void SUFFIXED(pack_bias)(void) {
    const fd_kernels *tier = tiers[0];
    const fd_cell cell = (fd_cell)below(4);
    const size_t units = some(40), gates = SUFFIXED(gates_of)(cell);
    const size_t width = SUFFIXED(fd_width)(cell, units), padded = width / gates;
    const REAL *bias = SUFFIXED(numbers)((cell == FD_GRU ? 6 : gates) * units);
    REAL *start = array(width, sizeof *start);
    REAL *recurrent = cell == FD_GRU ? array(padded, sizeof *recurrent) : NULL;
    SUFFIXED(fd_pack_bias)(start, recurrent, bias, cell, units);
    LAW(padded % PANEL == 0 && padded >= units && padded < units + PANEL);
    for (size_t g = 0; g < gates; g++)
        for (size_t u = 0; u < padded; u++) {
            const size_t part = g / 2, columns = fd_part_gates(cell, part);
            REAL want = 0;
            if (u < units)
                want = bias[g * units + u];
            if (u < units && cell == FD_GRU && part == 0)
                want += bias[(3 + g) * units + u];
            LAW(SUFFIXED(same)(start + part * 2 * padded + u * columns + g % 2, &want, 1));
        }
    for (size_t u = 0; recurrent && u < padded; u++)
        LAW(u < units ? SUFFIXED(same)(recurrent + u, bias + 5 * units + u, 1)
                      : recurrent[u] == 0);
}

/* ---- products ---- */

static void SUFFIXED(dense)(void) {
    const size_t rows = some(70), inputs = some(take(1) == 255 ? 300 : 30), columns = some(40);
    const size_t stride = columns + below(3) * 5, r = below(rows + !rows);
    const size_t weights = SUFFIXED(spread)(inputs, columns, stride);
    const size_t results = SUFFIXED(spread)(rows, columns, stride);
    const REAL *x = SUFFIXED(numbers)(rows * inputs), *kernel = SUFFIXED(numbers)(weights);
    const REAL *bias = below(2) ? SUFFIXED(numbers)(columns) : NULL, *want = NULL;
    const int plain = SUFFIXED(are_finite)(x, rows * inputs) &&
                      SUFFIXED(are_finite)(kernel, weights) &&
                      (!bias || SUFFIXED(are_finite)(bias, columns));
    EACH_TIER {
        REAL *out = array(results, sizeof *out);
        void *scratch = room(fd_dense_scratch(rows, inputs, columns, sizeof *out), 0);
        for (size_t j = 0; j < results; j++)
            out[j] = 7; /* between the columns nothing is written */
        SUFFIXED(fd_dense)(tier, out, scratch, x, kernel, bias, rows, inputs, columns, stride);
        for (size_t j = 0; j < results; j++)
            LAW(j % stride < columns || out[j] == 7);
        if (rows) {
            REAL *row = array(columns, sizeof *row);
            scratch = room(fd_dense_scratch(1, inputs, columns, sizeof *out), 0);
            SUFFIXED(fd_dense)(tier, row, scratch, x + r * inputs, kernel, bias, 1, inputs,
                               columns, stride);
            LAW(SUFFIXED(same)(row, out + r * stride, columns));
        }
        for (size_t j = 0; plain && rows && j < columns; j++) {
            REAL sum = bias ? bias[j] : 0;
            for (size_t k = 0; k < inputs; k++) {
                const REAL a = x[r * inputs + k], b = kernel[k * stride + j], product = a * b;
                sum = is_vector(tier) ? FMA(a, b, sum) : sum + product;
            }
            LAW(sum == out[r * stride + j]);
        }
        LAW(!want || !is_vector(tier) || SUFFIXED(same)(out, want, results));
        want = out;
    }
}

static void SUFFIXED(matmul)(void) {
    const size_t n = below(4), rows = some(20), inputs = some(20), columns = some(40);
    const REAL *a = SUFFIXED(numbers)(n * rows * inputs);
    const REAL *b = SUFFIXED(numbers)(n * inputs * columns);
    EACH_TIER {
        REAL *out = array(n * rows * columns, sizeof *out);
        REAL *one = array(rows * columns, sizeof *one);
        void *scratch = room(fd_dense_scratch(rows, inputs, columns, sizeof *out), 0);
        SUFFIXED(fd_matmul)(tier, out, scratch, a, b, n, rows, inputs, columns);
        for (size_t i = 0; i < n; i++) {
            SUFFIXED(fd_dense)(tier, one, scratch, a + i * rows * inputs,
                               b + i * inputs * columns, NULL, rows, inputs, columns, columns);
            LAW(SUFFIXED(same)(one, out + i * rows * columns, rows * columns));
        }
    }
}

/* ---- recurrent layers ---- */

static size_t SUFFIXED(room_of)(const fd_weights *w, size_t n) {
    return (w->bfloat16 ? (n + 1) / 2 : n) * PANEL;
}

/* Packs what a matrix keeps of some gates of w. */
static void SUFFIXED(put)(const fd_weights *w, fd_matrix *m, REAL *panels, size_t panel_stride,
                          const REAL *of, size_t gate, size_t gates) {
    const size_t stride = SUFFIXED(gates_of)(w->cell) * w->units;
    of += gate * w->units;
    m->panels = panels, m->panel_stride = panel_stride;
    if (w->bfloat16)
        fd_pack_bf16((float *)(void *)panels, panel_stride, (const float *)(const void *)of,
                     stride, m->n, w->units, w->units, gates, m->index, m->factors, m->listed);
    else
        SUFFIXED(fd_pack)(panels, panel_stride, of, stride, m->n, w->units, w->units, gates,
                          m->index, m->factors, m->listed);
}

/* Leaves out of a matrix what masks [listed][n] drop, where there are any. */
static void SUFFIXED(leave_out)(fd_matrix *m, const REAL *mask, size_t each, size_t gate,
                                size_t gates) {
    if (!mask)
        return;
    const SUFFIXED(lists) l =
        SUFFIXED(kept)(mask + (each > 1 ? gate * m->n : 0), m->n, each > 1 ? gates : 1);
    *m = (fd_matrix){
        .n = l.n, .index = l.index, .factors = l.factors, .listed = l.listed, .full = l.full};
}

static void SUFFIXED(take_weights)(fd_weights *w) {
    const fd_cell cell = (fd_cell)below(4);
    *w = (fd_weights){.cell = cell, .element = sizeof(REAL)};
    w->bfloat16 = sizeof(REAL) == sizeof(float) && below(4) == 0;
    const size_t all = SUFFIXED(gates_of)(cell);
    const uint64_t large =
        take(1); /* rarely: more than is multiplied at a time, or than fits a cache */
    const size_t features = w->features = least_one(large == 255 ? 270 : 16);
    const size_t units = w->units = least_one(large == 254 ? 140 : 24);
    w->activation = activation(FD_LOG_SOFTMAX + 1);
    w->recurrent_activation = activation(FD_LOG_SOFTMAX + 1);
    REAL *kernel = SUFFIXED(numbers)(features * all * units);
    REAL *recurrent = SUFFIXED(numbers)(units * all * units);
    if (w->bfloat16) {
        rounded((float *)(void *)kernel, features * all * units);
        rounded((float *)(void *)recurrent, units * all * units);
    }
    const size_t width = SUFFIXED(fd_width)(cell, units), padded = width / all;
    REAL *start = array(width, sizeof *start);
    REAL *hidden = cell == FD_GRU ? array(padded, sizeof *hidden) : NULL;
    const REAL *bias = SUFFIXED(numbers)((cell == FD_GRU ? 6 : all) * units);
    SUFFIXED(fd_pack_bias)(start, hidden, bias, cell, units);
    w->bias = start, w->recurrent_bias = hidden;
    /* Masks that all rows share, of all gates or of each. */
    const size_t each = below(2) ? all : 1;
    const REAL *x_mask = below(3) ? NULL : SUFFIXED(factors_of)(each, features);
    const REAL *h_mask = below(3) ? NULL : SUFFIXED(factors_of)(each, units);
    size_t gate = 0;
    for (size_t part = 0; part < FD_MAX_PARTS && fd_part_gates(cell, part); part++) {
        const size_t gates = fd_part_gates(cell, part);
        const size_t panels = SUFFIXED(fd_panels)(units * gates);
        fd_matrix *x = &w->input[part], *h = &w->recurrent[part];
        *x = (fd_matrix){.n = features, .listed = 1};
        *h = (fd_matrix){.n = units, .listed = 1};
        SUFFIXED(leave_out)(x, x_mask, each, gate, gates);
        const int whole = cell == FD_GRU_RESET_FIRST && part == 1; /* the reset gate's */
        if (!whole)
            SUFFIXED(leave_out)(h, h_mask, each, gate, gates);
        const size_t of_x = SUFFIXED(room_of)(w, x->n), of_h = SUFFIXED(room_of)(w, h->n);
        if (below(2)) { /* one block for both */
            REAL *block = room(panels * (of_x + of_h) * sizeof *block, 0);
            SUFFIXED(put)(w, x, block, of_x + of_h, kernel, gate, gates);
            SUFFIXED(put)(w, h, block + of_x, of_x + of_h, recurrent, gate, gates);
        } else {
            SUFFIXED(put)(w, x, room(panels * of_x * sizeof(REAL), 0), of_x, kernel, gate, gates);
            SUFFIXED(put)(w, h, room(panels * of_h * sizeof(REAL), 0), of_h, recurrent, gate,
                          gates);
        }
        if (whole && h_mask) {
            REAL *factors = array(padded, sizeof *factors);
            memset(factors, 0, padded * sizeof *factors);
            memcpy(factors, h_mask + (each > 1 ? gate * units : 0), units * sizeof *factors);
            h->factors = factors;
        }
        gate += gates;
    }
}

/* Masks of rows, of one for all of them, or none; none either where weights have them. */
static fd_masks SUFFIXED(take_masks)(const fd_matrix *m, size_t rows, size_t gates,
                                     size_t width) {
    const size_t kind = below(4);
    if ((m && m->factors) || kind == 0)
        return (fd_masks){NULL, 0, 0};
    gates = below(2) ? gates : 1;
    const REAL *factors = SUFFIXED(factors_of)((kind > 1 ? rows : 1) * gates, width);
    return (fd_masks){factors, gates, kind > 1 ? gates * width : 0};
}

/* Rows of a table, and the input part of what they go to. */
typedef struct SUFFIXED(looked_up) {
    fd_table_rows rows;
    fd_masks masks;
    int64_t *mask_rows;
} SUFFIXED(looked_up);

static SUFFIXED(looked_up) SUFFIXED(take_rows)(const fd_weights *w, size_t most) {
    const size_t rows = least_one(most), table = least_one(20), others = least_one(4);
    SUFFIXED(looked_up) l = {.rows = {.rows = rows}};
    const int by_index = (int)below(2), factors = (int)below(3);
    l.rows.values = SUFFIXED(numbers)((by_index ? table : rows) * w->features);
    l.rows.index = by_index ? rows_of(rows, table) : NULL;
    l.rows.factors = factors ? SUFFIXED(factors_of)(others, w->features) : NULL;
    l.rows.factor_rows = factors > 1 ? rows_of(rows, others) : NULL;
    l.masks = SUFFIXED(take_masks)(w->input, others, SUFFIXED(gates_of)(w->cell), w->features);
    l.mask_rows = l.masks.stride ? rows_of(rows, others) : NULL;
    return l;
}

static REAL *SUFFIXED(projected)(const fd_kernels *tier, const fd_weights *w,
                                 const SUFFIXED(looked_up) *l, size_t first, size_t rows) {
    REAL *out = array(rows * SUFFIXED(fd_width)(w->cell, w->units), sizeof *out);
    fd_table_rows some_rows = l->rows;
    some_rows.rows = rows;
    if (l->rows.index)
        some_rows.index += first;
    else
        some_rows.values = (const REAL *)l->rows.values + first * w->features;
    if (l->rows.factor_rows)
        some_rows.factor_rows += first;
    void *scratch = room(fd_project_scratch(w, &l->masks, &some_rows), 0);
    fd_project(tier, out, scratch, &some_rows, w, &l->masks,
               l->mask_rows ? l->mask_rows + first : NULL);
    return out;
}

/* Of rows, what counts: behind the units of a part there may be anything. */
static int SUFFIXED(same_parts)(const fd_weights *w, const REAL *a, const REAL *b, size_t rows) {
    const size_t all = SUFFIXED(gates_of)(w->cell), width = SUFFIXED(fd_width)(w->cell, w->units);
    for (size_t r = 0; r < rows; r++, a += width, b += width)
        for (size_t part = 0; part < FD_MAX_PARTS; part++)
            if (!SUFFIXED(same)(a + part * 2 * width / all, b + part * 2 * width / all,
                                fd_part_gates(w->cell, part) * w->units))
                return 0;
    return 1;
}

static void SUFFIXED(project)(void) {
    fd_weights w;
    SUFFIXED(take_weights)(&w);
    const SUFFIXED(looked_up) l = SUFFIXED(take_rows)(&w, 70);
    const size_t width = SUFFIXED(fd_width)(w.cell, w.units), rows = l.rows.rows;
    const size_t first = below(rows), part = 1 + below(rows - first);
    const REAL *want = NULL;
    EACH_TIER {
        const REAL *out = SUFFIXED(projected)(tier, &w, &l, 0, rows);
        const REAL *own = SUFFIXED(projected)(tier, &w, &l, first, part);
        LAW(SUFFIXED(same_parts)(&w, out + first * width, own, part));
        LAW(!want || w.bfloat16 || !is_vector(tier) || SUFFIXED(same_parts)(&w, out, want, rows));
        want = out;
    }
}

/* What comes of a call. */
typedef struct SUFFIXED(outcome) {
    REAL *y, *last, *h, *c;
} SUFFIXED(outcome);

static const uint8_t *SUFFIXED(window_of)(const uint8_t *zoneout, const fd_rnn_call *call,
                                          size_t rows, size_t first, size_t last) {
    const size_t units = call->weights->units, steps = last - first;
    if (!zoneout)
        return NULL;
    uint8_t *to = array(rows * steps * units, 1);
    for (size_t r = 0; r < rows; r++)
        memcpy(to + r * steps * units, zoneout + (r * call->steps + first) * units,
               steps * units);
    return to;
}

/* Runs some rows of a call whose arrays are those of all rows, up to a step, and then the rest.
 */
static SUFFIXED(outcome) SUFFIXED(run)(const fd_kernels *tier, const fd_rnn_call *given,
                                       size_t first_row, size_t rows, size_t cut, int how) {
    const fd_weights *w = given->weights;
    const size_t units = w->units, steps = given->steps, n = rows * units;
    const size_t place = first_row * units;
    fd_rnn_call call = *given;
    call.rows = rows;
    SUFFIXED(outcome) out = {
        .last = copy((REAL *)given->y_last + place, n, sizeof(REAL)),
        .h = copy((REAL *)given->h + place, n, sizeof(REAL)),
        .c = given->c ? copy((REAL *)given->c + place, n, sizeof(REAL)) : NULL,
        .y = given->y ? array(n * steps, sizeof(REAL)) : NULL,
    };
    call.y_last = out.last, call.h = out.h, call.c = out.c, call.y = out.y;
    if (call.x)
        call.x = (const REAL *)call.x + first_row * steps * w->features;
    if (call.index)
        call.index += first_row * steps;
    if (call.step_mask)
        call.step_mask += first_row * steps;
    fd_masks *masks[] = {&call.input_mask, &call.recurrent_mask, &call.candidate_mask};
    for (size_t i = 0; i < 3; i++)
        if (masks[i]->stride)
            masks[i]->factors = (const REAL *)masks[i]->factors + first_row * masks[i]->stride;
    const uint8_t *of_h = given->zoneout_h ? given->zoneout_h + place * steps : NULL;
    const uint8_t *of_c = given->zoneout_c ? given->zoneout_c + place * steps : NULL;
    void *room_of_call = NULL;
    for (int part = cut == 0; part < 2; part++) {
        call.first = part ? cut : 0;
        call.last = part ? steps : cut;
        call.zoneout_h = SUFFIXED(window_of)(of_h, &call, rows, call.first, call.last);
        call.zoneout_c = SUFFIXED(window_of)(of_c, &call, rows, call.first, call.last);
        const size_t parts = how == IN_PARTS ? fd_team_parts(&call, least_one(5)) : 1;
        if (parts > 1) { /* one after another, so that the first takes all of them */
            void *team = room(fd_team_size(tier, &call, parts), 0);
            void *scratch = room(fd_rnn_scratch(tier, &call), 0);
            fd_begin_team(tier, &call, parts, team);
            for (size_t i = 0, own = below(parts); i < parts; i++)
                fd_work_in_team(tier, &call, team, (own + i) % parts, scratch);
            fd_end_team(tier, &call, team);
            continue;
        }
        if (how == BY_RNN || how == IN_PARTS) {
            fd_rnn(tier, &call, room(fd_rnn_scratch(tier, &call), 0));
            continue;
        }
        if (!room_of_call) {
            room_of_call = room(fd_held_size(tier, &call), 0);
            fd_hold(tier, &call, room_of_call);
        }
        if (how == BY_ARRAYS) /* its state as it is, by way of arrays */
            fd_set_held_state(&call, room_of_call, out.h, out.c);
        fd_held_steps(&call, room_of_call);
        fd_held_state(&call, room_of_call, out.h, out.c);
    }
    return out;
}

/* Whether rows of one outcome are those of another from some row on. */
static int SUFFIXED(agree)(const fd_rnn_call *call, const SUFFIXED(outcome) *whole,
                           size_t first_row, const SUFFIXED(outcome) *own, size_t rows) {
    const size_t n = rows * call->weights->units, place = first_row * call->weights->units;
    return SUFFIXED(same)(whole->h + place, own->h, n) &&
           SUFFIXED(same)(whole->last + place, own->last, n) &&
           (!own->c || SUFFIXED(same)(whole->c + place, own->c, n)) &&
           (!own->y || SUFFIXED(same)(whole->y + place * call->steps, own->y, n * call->steps));
}

static void SUFFIXED(rnn)(void) {
    fd_weights w;
    SUFFIXED(take_weights)(&w);
    const int large = w.features > 24 || w.units > 24;
    const size_t rows = below(4) ? some(large || take(1) < 250 ? 9 : 70) : 1;
    const size_t steps = below(large ? 3 : 6);
    const size_t n = rows * w.units, all = SUFFIXED(gates_of)(w.cell), cut = below(steps + 1);
    const size_t first_row = below(rows + 1), some_rows = below(rows - first_row + 1);
    const int how = (int)below(4), with_x = (int)below(3);
    fd_rnn_call call = {.weights = &w, .rows = rows, .steps = steps, .last = steps};
    call.backwards = (int)below(2), call.zero_masked_steps = (int)below(2);
    call.y_last = SUFFIXED(numbers)(n), call.h = SUFFIXED(numbers)(n);
    call.c = w.cell == FD_LSTM ? SUFFIXED(numbers)(n) : NULL;
    call.y = below(2) ? call.h : NULL; /* each run has one of its own */
    SUFFIXED(looked_up) l = {.mask_rows = NULL};
    if (with_x) {
        call.x = SUFFIXED(numbers)(rows * steps * w.features);
        call.input_mask = SUFFIXED(take_masks)(w.input, rows, all, w.features);
    } else {
        l = SUFFIXED(take_rows)(&w, 20);
        call.index = rows_of(rows * steps, l.rows.rows);
    }
    const fd_matrix *last = &w.recurrent[fd_part_gates(w.cell, 1) ? 1 : 0];
    call.recurrent_mask =
        SUFFIXED(take_masks)(w.recurrent[0].factors ? w.recurrent : last, rows, all, w.units);
    call.candidate_mask = SUFFIXED(take_masks)(NULL, rows, 1, w.units);
    call.zoneout_h = below(3) ? NULL : events(n * steps);
    call.zoneout_c = below(3) || !call.c ? NULL : events(n * steps);
    call.step_mask = below(2) ? NULL : events(rows * steps);
    SUFFIXED(outcome) want = {.y = NULL};
    EACH_TIER {
        if (!with_x)
            call.projected = SUFFIXED(projected)(tier, &w, &l, 0, l.rows.rows);
        fd_rnn_call few = call, many = call; /* those that run side by side, and some that wait */
        few.rows = fd_rows_together(tier, &w), many.rows = few.rows + rows;
        LAW(few.rows && fd_rnn_scratch(tier, &few) == fd_rnn_scratch(tier, &many));
        const SUFFIXED(outcome) whole = SUFFIXED(run)(tier, &call, 0, rows, 0, BY_RNN);
        const SUFFIXED(outcome) parts = SUFFIXED(run)(tier, &call, 0, rows, cut, how);
        const SUFFIXED(outcome) own =
            SUFFIXED(run)(tier, &call, first_row, some_rows, cut, BY_RNN);
        LAW(SUFFIXED(agree)(&call, &whole, 0, &parts, rows));
        LAW(SUFFIXED(agree)(&call, &whole, first_row, &own, some_rows));
        LAW(!want.h || w.bfloat16 || !is_vector(tier) ||
            SUFFIXED(agree)(&call, &whole, 0, &want, rows));
        want = whole;
    }
}

#undef REAL
#undef FMA
#undef SUFFIXED
#undef PANEL
