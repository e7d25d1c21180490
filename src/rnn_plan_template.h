/* Recurrent layers: where a call keeps what in its scratch; a part of layers_template.h. */

/* One side of a layer: its input, or its previous output. */
typedef struct SUFFIXED(side) {
    const fd_matrix *matrices; /* of the parts */
    size_t length, padded;     /* of a row */
    size_t masks;              /* a row */
    size_t mask_rows;          /* that have masks at a time */
    size_t rows;               /* of a product, at most */
} SUFFIXED(side);

static SUFFIXED(side) SUFFIXED(input_side)(const fd_weights *weights, const fd_masks *masks,
                                           size_t mask_rows, size_t rows) {
    const size_t features = weights->features;
    return (SUFFIXED(side)){weights->input, features, features, masks->gates, mask_rows, rows};
}

static SUFFIXED(side) SUFFIXED(recurrent_side)(const fd_weights *weights, const fd_masks *masks,
                                               size_t mask_rows, size_t rows) {
    const size_t units = weights->units, padded = rounded_up(units, PANEL);
    return (SUFFIXED(side)){weights->recurrent, units, padded, masks->gates, mask_rows, rows};
}

/* How many operands a number has: one for all gates, or one a gate. */
static size_t SUFFIXED(listed)(const SUFFIXED(side) *side, size_t part, size_t gates) {
    const fd_matrix *matrix = &side->matrices[part];
    return matrix->factors ? matrix->listed : side->masks > 1 ? gates : 1;
}

/* Numbers of a row that become operands. */
static size_t SUFFIXED(taken)(const SUFFIXED(side) *side, size_t part) {
    return side->matrices[part].index ? side->matrices[part].n : side->padded;
}

/* How many of them at a time: the operands of several rows are to stay in cache. */
static size_t SUFFIXED(at_once)(const SUFFIXED(side) *side, size_t part) {
    const size_t n = SUFFIXED(taken)(side, part);
    return side->rows > 1 ? smaller(n, K_BLOCK) : n;
}

/* Plans the masks of a side; returns the room for operands. */
static size_t SUFFIXED(plan_side)(plan *p, side_plan *to, const SUFFIXED(side) *side,
                                  fd_cell cell) {
    size_t room = 0;
    to->rows = side->rows;
    for (size_t part = 0; part < FD_MAX_PARTS && fd_part_gates(cell, part); part++) {
        const size_t listed = SUFFIXED(listed)(side, part, fd_part_gates(cell, part));
        room = larger(room,
                      side->rows * SUFFIXED(stride_of)(SUFFIXED(at_once)(side, part) * listed));
        to->masks[part] = p->end;
        if (side->masks && !side->matrices[part].factors)
            to->stride[part] = rounded_up(side->padded * listed, PANEL);
        p->end += side->mask_rows * to->stride[part];
    }
    return room;
}

static plan SUFFIXED(plan_of_project)(const fd_weights *weights, const fd_masks *masks,
                                      const fd_table_rows *x_rows) {
    plan p;
    memset(&p, 0, sizeof p);
    p.rows = smaller(x_rows->rows, FD_ROWS);
    p.units = rounded_up(weights->units, PANEL);
    p.width = p.z_stride = SUFFIXED(fd_width)(weights->cell, weights->units);
    const SUFFIXED(side) x = SUFFIXED(input_side)(weights, masks, p.rows, p.rows);
    const size_t room = SUFFIXED(plan_side)(&p, &p.x, &x, weights->cell);
    p.operands = p.end;
    p.looked_up = p.end += room;
    if (x_rows->factors) {
        p.looked_up_stride = SUFFIXED(stride_of)(weights->features);
        p.end += p.rows * p.looked_up_stride;
    }
    return p;
}

/* Whether both products of a part can be one: there is one block of panels for both, and operands
 * have one form and are not too many. */
static int SUFFIXED(can_join)(const fd_weights *weights, const SUFFIXED(side) *x,
                              const SUFFIXED(side) *h, size_t part) {
    const size_t gates = fd_part_gates(weights->cell, part);
    const fd_matrix *of_x = &x->matrices[part], *of_h = &h->matrices[part];
    return h->rows >= JOINT_ROWS && of_x->n + of_h->n <= K_BLOCK &&
           of_x->panel_stride == of_h->panel_stride &&
           (const REAL *)of_x->panels + elements_of(weights, of_x->n) * PANEL == of_h->panels &&
           SUFFIXED(listed)(x, part, gates) == SUFFIXED(listed)(h, part, gates);
}

/* How many parts are joint: all that are simple, or none. */
static size_t SUFFIXED(joint_parts)(const fd_weights *weights, const SUFFIXED(side) *x,
                                    const SUFFIXED(side) *h) {
    const size_t parts = simple_parts(weights->cell);
    for (size_t part = 0; part < parts; part++)
        if (!SUFFIXED(can_join)(weights, x, h, part))
            return 0;
    return parts;
}

static plan SUFFIXED(plan_of_rnn)(const fd_kernels *tier, const fd_rnn_call *call) {
    const fd_weights *weights = call->weights;
    plan p;
    memset(&p, 0, sizeof p);
    p.units = rounded_up(weights->units, PANEL);
    p.width = SUFFIXED(fd_width)(weights->cell, weights->units);
    const size_t rows = p.rows = smaller(call->rows, fd_rows_together(tier, weights));
    const size_t steps = call->last - call->first;
    const SUFFIXED(side) h = SUFFIXED(recurrent_side)(
        weights, &call->recurrent_mask, call->recurrent_mask.stride ? rows : 1, rows);
    SUFFIXED(side)
    x = SUFFIXED(input_side)(weights, &call->input_mask, call->input_mask.stride ? rows : 1,
                             rows);
    p.joint = SUFFIXED(joint_parts)(weights, &x, &h);
    p.window = 1;
    if (!p.joint && rows && rows < WINDOW_ROWS && steps)
        p.window = smaller(steps, WINDOW_ROWS / rows);
    x.rows *= p.window;
    /* A GRU's hidden part, which the reset gate multiplies, comes behind the rest. */
    p.z_stride = SUFFIXED(stride_of)(p.width + (weights->cell == FD_GRU ? p.units : 0));
    p.c = p.h + rows * p.units;
    p.z = p.c + rows * p.units;
    p.old = p.z + rows * p.z_stride;
    p.candidate = p.old + 2 * rows * p.units;
    p.input = p.z; /* where a step is added on top of its input part */
    if (p.window > 1) {
        p.input = p.candidate;
        p.candidate += rows * p.window * p.z_stride;
    }
    p.gates = p.candidate + (call->candidate_mask.stride ? rows : 1) * p.units;
    p.end = p.gates;
    if (takes_rows(weights->activation) || takes_rows(weights->recurrent_activation))
        p.end += 4 * p.units;
    const size_t room_x = SUFFIXED(plan_side)(&p, &p.x, &x, weights->cell);
    const size_t room_h = SUFFIXED(plan_side)(&p, &p.recurrent, &h, weights->cell);
    p.operands = p.end;
    /* Joint operands stand side by side, and begin on lines of their own. */
    p.end += p.joint ? room_x + room_h + rows * 2 * PANEL : larger(room_x, room_h);
    return p;
}
