/* Recurrent layers: cells, from pre-activations to states; a part of layers_template.h. */

/* v [units] = activation(v) */
static void SUFFIXED(activate_row)(const SUFFIXED(block) *b, REAL *v, fd_activation activation) {
    const size_t units = b->weights->units;
    if (!takes_rows(activation))
        b->tier->TABLE.activate(v, units, activation);
    else if (units)
        b->tier->TABLE.softmax(v, 1, units, activation.function == FD_LOG_SOFTMAX);
}

/* Where gate g of a row's first unit is; those of the others follow two by two. */
static size_t SUFFIXED(gate_at)(const SUFFIXED(block) *b, size_t g) {
    return g / 2 * 2 * b->p->units + g % 2;
}

/* part [units] = activation(gate g of z) */
static void SUFFIXED(take_gate)(const SUFFIXED(block) *b, REAL *part, const REAL *z, size_t g,
                                fd_activation activation) {
    z += SUFFIXED(gate_at)(b, g);
    for (size_t j = 0; j < b->weights->units; j++)
        part[j] = z[2 * j];
    SUFFIXED(activate_row)(b, part, activation);
}

/* z = the activations of the gates, but for the candidate. */
static void SUFFIXED(activate_gates)(const SUFFIXED(block) *b, REAL *z, size_t rows) {
    REAL *part = b->base + b->p->gates;
    const size_t lstm[] = {0, 1, 3}, gates = b->weights->cell == FD_LSTM ? 3 : 2;
    for (size_t r = 0; r < rows; r++, z += b->p->z_stride)
        for (size_t i = 0; i < gates; i++) {
            SUFFIXED(take_gate)(b, part, z, lstm[i], b->weights->recurrent_activation);
            REAL *to = z + SUFFIXED(gate_at)(b, lstm[i]);
            for (size_t j = 0; j < b->weights->units; j++)
                to[2 * j] = part[j];
        }
}

static void SUFFIXED(mask_row)(REAL *g, const REAL *mask, size_t units) {
    for (size_t j = 0; mask && j < units; j++)
        g[j] = mask[j] == 0 ? 0 : g[j] * mask[j];
}

/* What a row of a GRU's candidate has before the reset gate's product: its input part alone, or
 * with reset first all of it. */
static const REAL *SUFFIXED(gru_candidate)(const SUFFIXED(block) *b, const REAL *start,
                                           const REAL *z) {
    return (b->weights->cell == FD_GRU ? start : z) + 2 * b->p->units;
}

/* A row's cell where the activation takes a row as a whole, so not a few units at a time.
 * start: the row's input part. */
static void SUFFIXED(cell_of_row)(const SUFFIXED(block) *b, REAL *h, REAL *c, const REAL *z,
                                  const REAL *start, const REAL *mask) {
    const size_t units = b->weights->units;
    const fd_activation activation = b->weights->activation;
    REAL *part = b->base + b->p->gates, *i = part, *f = i + b->p->units, *g = f + b->p->units,
         *o = g + b->p->units;
    switch (b->weights->cell) {
    case FD_LSTM:
        SUFFIXED(take_gate)(b, i, z, 0, b->gates);
        SUFFIXED(take_gate)(b, f, z, 1, b->gates);
        SUFFIXED(take_gate)(b, g, z, 2, activation);
        SUFFIXED(take_gate)(b, o, z, 3, b->gates);
        SUFFIXED(mask_row)(g, mask, units);
        for (size_t j = 0; j < units; j++)
            h[j] = c[j] = f[j] * c[j] + i[j] * g[j];
        SUFFIXED(activate_row)(b, h, activation);
        for (size_t j = 0; j < units; j++)
            h[j] = o[j] * h[j];
        break;
    case FD_GRU:
    case FD_GRU_RESET_FIRST:
        SUFFIXED(take_gate)(b, i, z, 0, b->gates); /* the update gate */
        memcpy(g, SUFFIXED(gru_candidate)(b, start, z), units * sizeof *g);
        if (b->weights->cell == FD_GRU) {
            SUFFIXED(take_gate)(b, f, z, 1, b->gates); /* the reset gate */
            for (size_t j = 0; j < units; j++)
                g[j] = g[j] + f[j] * z[b->p->width + j];
        }
        SUFFIXED(activate_row)(b, g, activation);
        SUFFIXED(mask_row)(g, mask, units);
        for (size_t j = 0; j < units; j++)
            h[j] = i[j] * h[j] + (1 - i[j]) * g[j];
        break;
    case FD_SIMPLE_RNN:
        memcpy(h, z, units * sizeof *h);
        SUFFIXED(activate_row)(b, h, activation);
        break;
    }
}

/* One step of rows first .. last - 1 from their pre-activations: h and c. */
FD_INLINE void SUFFIXED(cells)(const SUFFIXED(block) *b, const REAL *const *start, size_t first,
                               size_t last) {
    const plan *p = b->p;
    const fd_weights *w = b->weights;
    const size_t rows = last - first, mask_stride = b->call->candidate_mask.stride ? p->units : 0;
    REAL *h = b->base + p->h + first * p->units, *c = b->base + p->c + first * p->units;
    const REAL *z = b->base + p->z + first * p->z_stride;
    const REAL *mask = b->candidate ? b->candidate + first * mask_stride : NULL;
    const REAL *x[FD_ROWS];
    if (takes_rows(w->activation)) {
        for (size_t r = 0; r < rows; r++)
            SUFFIXED(cell_of_row)(b, h + r * p->units, c + r * p->units, z + r * p->z_stride,
                                  start[first + r], mask ? mask + r * mask_stride : NULL);
        return;
    }
    switch (b->weights->cell) {
    case FD_LSTM:
        b->tier->TABLE.lstm_cell(h, c, z, p->z_stride, mask, mask_stride, rows, p->units,
                                 w->activation, b->gates);
        break;
    case FD_GRU:
    case FD_GRU_RESET_FIRST:
        for (size_t r = 0; r < rows; r++)
            x[r] = SUFFIXED(gru_candidate)(b, start[first + r], z + r * p->z_stride);
        b->tier->TABLE.gru_cell(h, z, p->z_stride, x,
                                b->weights->cell == FD_GRU ? z + p->width : NULL, mask,
                                mask_stride, rows, p->units, w->activation, b->gates);
        break;
    case FD_SIMPLE_RNN:
        for (size_t r = 0; r < rows; r++)
            memcpy(h + r * p->units, z + r * p->z_stride, p->units * sizeof *h);
        b->tier->TABLE.activate(h, rows * p->units, w->activation);
        break;
    }
}
