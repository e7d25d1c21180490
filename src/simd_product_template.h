/* Products of operands with panels, on vectors. Besides REAL, V, PANEL, VEC, REALS and PER_PANEL
 * as simd_layers_template.h has them, and the tier's TILES:
 *   NAMED(name): what is made here is called so;
 *   PARTS: how many products an element of a panel stands for, one after another, each with
 *     operands of its own; PART(elements, part): the weights of one of them;
 *   PLUS(factor, weight, sum): the sum, and what a factor and a weight add to it. */

/* The sums of some rows and panels stay in registers while k runs. Inlined with constant sizes,
 * for only then do compilers keep `sum` out of memory. start: null where z itself has the sums
 * so far. Zero is added at the end because a sum of -0 would tell whether products of +0 were
 * left out of it. next: n quarters of lines from there on will be wanted soon, if they exist. */
FD_INLINE void NAMED(micro_kernel)(REAL *z, size_t z_stride, const REAL *const *start,
                                   size_t column, const REAL *a, size_t a_stride,
                                   const REAL *panel, size_t panel_stride, uintptr_t next,
                                   size_t n, const int rows, const int panels, const int width) {
    VEC sum[TILE_ROWS][ROW_PANELS * PER_PANEL];
    const int vectors = panels * PER_PANEL;
    z += column;
    FD_UNROLL
    for (int r = 0; r < rows; r++) {
        const REAL *from = start ? start[r] + column : z + (size_t)r * z_stride;
        FD_UNROLL
        for (int v = 0; v < vectors; v++)
            sum[r][v] = V(load)(from + v * REALS);
    }
    FD_NO_UNROLL
    for (size_t k = 0; k < n; k++) {
        FD_UNROLL
        for (int part = 0; part < PARTS; part++) {
            VEC weight[ROW_PANELS * PER_PANEL];
            FD_UNROLL
            for (int v = 0; v < vectors; v++) {
                const REAL *of = panel + (size_t)(v / PER_PANEL) * panel_stride;
                weight[v] = PART(V(load)(of + v % PER_PANEL * REALS), part);
            }
            FD_UNROLL
            for (int r = 0; r < rows; r++) {
                const REAL *at = a + (size_t)r * a_stride;
                const VEC factor = width == 1 ? V(repeat1)(at) : V(repeat2)(at);
                FD_UNROLL
                for (int v = 0; v < vectors; v++)
                    sum[r][v] = PLUS(factor, weight[v], sum[r][v]);
            }
            a += width;
        }
        if (rows > 1)
            FD_PREFETCH((const char *)(next + k * (FD_LINE / 4)));
        panel += PANEL;
    }
    FD_UNROLL
    for (int r = 0; r < rows; r++) {
        FD_UNROLL
        for (int v = 0; v < vectors; v++)
            V(store)(z + (size_t)r * z_stride + v * REALS, V(add)(sum[r][v], V(all)(0)));
    }
}

/* Small numbers without gaps make a jump table. */
#define TILE_NUMBER(ROWS, PANELS, WIDTH)                                                         \
    (((ROWS) * (ROW_PANELS + 1) + (PANELS)) * 2 + (WIDTH) - 1)

/* Some panels at a time, which stay in cache while the rows pass by. */
static void NAMED(product)(REAL *z, size_t z_stride, const REAL *const *start, const REAL *a,
                           size_t a_stride, const REAL *panel, size_t panel_stride, size_t n,
                           size_t panels, size_t rows, size_t width) {
    const size_t widest = rows == 1 ? ROW_PANELS : TILE_PANELS;
    const size_t groups = (panels + widest - 1) / widest;
    const size_t tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
    for (size_t p = 0, g = 0; p < panels; g++) {
        /* One row: groups of almost equal size, so that none waits for its few sums. */
        size_t together = panels / groups + (g < panels % groups);
        if (rows > 1)
            together = panels - p < TILE_PANELS ? 1 : TILE_PANELS;
        const REAL *from = panel + p * panel_stride;
        /* The next panels are fetched meanwhile, by each tile a part: where there are two, by
         * the tiles in turn. */
        const uintptr_t next = (uintptr_t)from + together * panel_stride * sizeof *from;
        const size_t two = together == 2 && tiles > 1, part = n / ((tiles + two) >> two);
        for (size_t t = 0, top = 0; t < tiles; t++) {
            const size_t height = rows / tiles + (t < rows % tiles);
            REAL *to = z + top * z_stride;
            const REAL *const *begin = start ? start + top : NULL;
            const REAL *operands = a + top * a_stride;
            const uintptr_t soon =
                next + (t & two) * panel_stride * sizeof *from + (t >> two) * part * FD_LINE;
            switch (TILE_NUMBER(height, together, width)) {
#define CASE(ROWS, PANELS, WIDTH)                                                                \
    case TILE_NUMBER(ROWS, PANELS, WIDTH):                                                       \
        NAMED(micro_kernel)(to, z_stride, begin, p * PANEL, operands, a_stride, from,            \
                            panel_stride, soon, n, ROWS, PANELS, WIDTH);                         \
        break;
                TILES(CASE)
#undef CASE
            }
            top += height;
        }
        p += together;
    }
}

#undef TILE_NUMBER
#undef NAMED
#undef PARTS
#undef PART
#undef PLUS
