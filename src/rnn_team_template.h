/* Recurrent layers: one row on several threads; a part of layers_template.h.
 *
 * The units of a layer are divided, and any thread takes a part of a step as soon as all parts of
 * the step before it are done. Each thread has the same part at every step, so that a core keeps
 * its weights, but takes that of another which is late: nobody is waited for but for what he has
 * taken, and who waits most of the time goes. The state lies in memory of all, that before a step
 * and that behind it in turn. */

static size_t SUFFIXED(units_before)(const fd_rnn_call *call, size_t part, size_t parts) {
    const size_t panels = (call->weights->units + PANEL - 1) / PANEL;
    return smaller(part * panels / parts * PANEL, call->weights->units);
}

/* Where the numbers of a team lie, in elements from the first one. */
static team_plan SUFFIXED(plan_of_team)(const plan *p) {
    team_plan t;
    t.c = 2 * p->units; /* behind h, before a step and behind it */
    t.input = t.c + p->units;
    t.end = t.input + p->window * p->z_stride;
    return t;
}

static REAL *SUFFIXED(numbers_of)(team *t) {
    return (REAL *)(void *)((char *)t + team_head(t->parts));
}

static void SUFFIXED(begin_team)(const fd_kernels *tier, const fd_rnn_call *call, team *t) {
    const plan p = SUFFIXED(plan_of_rnn)(tier, call);
    const team_plan at = SUFFIXED(plan_of_team)(&p);
    const size_t row_bytes = call->weights->units * sizeof(REAL);
    REAL *numbers = SUFFIXED(numbers_of)(t);
    memset(numbers, 0, at.end * sizeof *numbers);
    memcpy(numbers + call->first % 2 * p.units, call->h, row_bytes);
    if (call->c)
        memcpy(numbers + at.c, call->c, row_bytes);
}

static void SUFFIXED(end_team)(const fd_kernels *tier, const fd_rnn_call *call, team *t) {
    const plan p = SUFFIXED(plan_of_rnn)(tier, call);
    const team_plan at = SUFFIXED(plan_of_team)(&p);
    const size_t row_bytes = call->weights->units * sizeof(REAL);
    const REAL *numbers = SUFFIXED(numbers_of)(t);
    memcpy(call->h, numbers + call->last % 2 * p.units, row_bytes);
    if (call->c)
        memcpy(call->c, numbers + at.c, row_bytes);
}

/* Step s of so many units from `first` on, a multiple of PANEL. start: the row's input part; h
 * and c: all units' state, h before the step and to be. */
static void SUFFIXED(take_units)(const SUFFIXED(block) *b, const REAL *start, const REAL *old_h,
                                 REAL *h, REAL *c, size_t first, size_t units) {
    const plan *p = b->p;
    const fd_weights *w = b->weights;
    const size_t padded = rounded_up(units, PANEL), simple = simple_parts(w->cell);
    const size_t gates = fd_part_gates(w->cell, 0); /* of all that are simple */
    const size_t hidden = gates * padded;           /* of z: a GRU's candidate */
    const REAL *mask = b->candidate ? b->candidate + first : NULL;
    REAL *z = b->base + p->z;
    for (size_t part = 0; part < simple; part++) {
        const SUFFIXED(source) *s = &b->h[part];
        const REAL *from = start + part * gates * p->units + first * gates;
        SUFFIXED(multiply)(b, z + part * gates * padded, &from, s, first * gates / PANEL,
                           units * gates, 0, 1, part && SUFFIXED(written)(s, s - 1), NULL);
    }
    h += first, c += first;
    switch (w->cell) {
    case FD_LSTM:
        b->tier->TABLE.lstm_cell(h, c, z, p->z_stride, mask, 0, 1, padded, w->activation,
                                 b->gates);
        break;
    case FD_GRU: {
        const REAL *from = (const REAL *)w->recurrent_bias + first;
        const REAL *candidate = start + gates * p->units + first;
        SUFFIXED(multiply)(b, z + hidden, &from, &b->h[simple], first / PANEL, units, 0, 1, 0,
                           NULL);
        memcpy(h, old_h + first, padded * sizeof *h);
        b->tier->TABLE.gru_cell(h, z, p->z_stride, &candidate, z + hidden, mask, 0, 1, padded,
                                w->activation, b->gates);
        break;
    }
    case FD_GRU_RESET_FIRST: /* it is not divided */
        break;
    case FD_SIMPLE_RNN:
        memcpy(h, z, padded * sizeof *h);
        b->tier->TABLE.activate(h, padded, w->activation);
        break;
    }
}

/* A part of step s that is not passed over: from its input part to its state. */
static void SUFFIXED(take_part)(SUFFIXED(block) *b, team *t, size_t s, size_t first,
                                size_t units) {
    const plan *p = b->p;
    const fd_rnn_call *call = b->call;
    const team_plan at = SUFFIXED(plan_of_team)(p);
    REAL *numbers = SUFFIXED(numbers_of)(t);
    const REAL *old_h = numbers + s % 2 * p->units, *start;
    if (call->x)
        start = numbers + at.input + (s - call->first) % p->window * p->z_stride;
    else
        start = (const REAL *)call->projected +
                (size_t)call->index[SUFFIXED(time_of)(call, s)] * p->width;
    b->h_numbers[0] = old_h;
    b->backwards = s % 2 == 0;
    SUFFIXED(take_units)(b, start, old_h, numbers + (s + 1) % 2 * p->units, numbers + at.c, first,
                         units);
}

/* A part of step s, and what it puts out. */
static void SUFFIXED(step_part)(SUFFIXED(block) *b, team *t, size_t part, size_t s) {
    const plan *p = b->p;
    const fd_rnn_call *call = b->call;
    const size_t all = b->weights->units, first = SUFFIXED(units_before)(call, part, t->parts);
    const size_t units = SUFFIXED(units_before)(call, part + 1, t->parts) - first;
    const size_t bytes = units * sizeof(REAL), steps = call->last - s;
    const int valid = !call->step_mask || call->step_mask[SUFFIXED(time_of)(call, s)];
    REAL *numbers = SUFFIXED(numbers_of)(t), *h = numbers + (s + 1) % 2 * p->units + first;
    REAL *y_last = (REAL *)call->y_last + first, *y = call->y;
    if (call->x && (s - call->first) % p->window == 0)
        SUFFIXED(project_window)(b, numbers + SUFFIXED(plan_of_team)(p).input, s,
                                 smaller(p->window, steps), first, units);
    if (valid)
        SUFFIXED(take_part)(b, t, s, first, units);
    else
        memcpy(h, numbers + s % 2 * p->units + first, bytes);
    if (valid)
        memcpy(y_last, h, bytes);
    else if (call->zero_masked_steps)
        memset(y_last, 0, bytes);
    if (y)
        memcpy(y + s * all + first, y_last, bytes);
}

static void SUFFIXED(work)(const fd_kernels *tier, const fd_rnn_call *call, team *t, size_t own,
                           void *scratch) {
    const uint64_t mode = fd_enter_flush_to_zero();
    const plan p = SUFFIXED(plan_of_rnn)(tier, call);
    SUFFIXED(block) b = SUFFIXED(first_block)(tier, call, &p, scratch);
    b.rows = 1;
    SUFFIXED(prepare)(&b);
    worker w = {fd_ticks(), 0};
    for (size_t s = steps_taken(t); wait_for(t, s, &w) && s < call->last; s++) {
        for (size_t i = 0; i < t->parts; i++) {
            const size_t part = (own + i) % t->parts;
            if (takes(t, part, s, part == own)) {
                SUFFIXED(step_part)(&b, t, part, s);
                fd_set_count(&t->of[part].done, s + 1);
            }
        }
    }
    fd_leave_mode(mode);
}
