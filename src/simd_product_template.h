/* Products of operands with panels, on vectors. Besides REAL, V, PANEL, VEC, REALS and PER_PANEL
 * as simd_layers_template.h has them, and the tier's TILES:
 *   HALF(name): operations, as V(name) has them, of vectors of which two make a panel;
 *   NAMED(name): what is made here is called so;
 *   PARTS: how many products an element of a panel stands for, one after another, each with
 *     operands of its own; PART(elements, part): the weights of one of them;
 *   PLUS(factor, weight, sum): the sum, and what a factor and a weight add to it.
 * In PART and PLUS, OF(name) is V(name) or HALF(name). */

#define KERNEL NAMED(micro_kernel)
#define OF(name) V(name)
#include "simd_micro_kernel_template.h"

#define KERNEL NAMED(half_kernel)
#define OF(name) HALF(name)
#include "simd_micro_kernel_template.h"

/* Small numbers without gaps make a jump table. */
#define TILE_NUMBER(ROWS, PANELS, WIDTH)                                                         \
    (((ROWS) * (ROW_PANELS + 1) + (PANELS)) * 2 + (WIDTH) - 1)

/* One row: groups of panels of almost equal size, so that none waits for its few sums. */
static void NAMED(row_product)(REAL *z, const REAL *const *start, const REAL *a,
                               const REAL *panel, size_t panel_stride, size_t n, size_t panels,
                               size_t width, int backwards) {
    /* Most often there is one group; a division would take longer than a panel. */
    const size_t groups = (panels + ROW_PANELS - 1) / ROW_PANELS;
    const size_t each = groups > 1 ? panels / groups : panels, more = panels - groups * each;
    for (size_t done = 0, g = 0; g < groups; g++) {
        const size_t together = each + (g < more);
        const size_t p = backwards ? panels - done - together : done;
        const REAL *from = panel + p * panel_stride;
        switch (TILE_NUMBER(1, together, width)) {
#define CASE(ROWS, PANELS, WIDTH)                                                                \
    case TILE_NUMBER(ROWS, PANELS, WIDTH):                                                       \
        NAMED(micro_kernel)(z, 0, start, p * PANEL, a, 0, from, panel_stride, 0, n, ROWS,        \
                            (PANELS) * PER_PANEL, WIDTH);                                        \
        break;
            ROW_TILES(CASE)
#undef CASE
        }
        done += together;
    }
}

/* Some panels at a time, which stay in cache while the rows pass by. */
static void NAMED(product)(REAL *z, size_t z_stride, const REAL *const *start, const REAL *a,
                           size_t a_stride, const REAL *panel, size_t panel_stride, size_t n,
                           size_t columns, size_t rows, size_t width, int backwards) {
    const size_t panels = (columns + PANEL - 1) / PANEL;
    if (rows == 1) {
        NAMED(row_product)(z, start, a, panel, panel_stride, n, panels, width, backwards);
        return;
    }
    const size_t tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
    const size_t each = tiles > 1 ? rows / tiles : rows, more = rows - tiles * each;
    /* Of a last panel with columns in one half alone, that half is taken. One row would gain
     * nothing, for it waits for weights. */
    const size_t whole = (columns + PANEL / 2 - 1) / PANEL;
    /* Few rows have so few sums that each would wait for itself: they take more panels, but not
     * where weights need registers, too, for what is done to them. */
    const int fits = (rows + 1) * 2 * TILE_PANELS * PER_PANEL < REGISTERS;
    const size_t most = rows <= FEW_ROWS && (fits || PARTS == 1) ? 2 * TILE_PANELS : TILE_PANELS;
    for (size_t p = 0, together; p < panels; p += together) {
        together = whole >= p + most ? most : whole >= p + TILE_PANELS ? TILE_PANELS : 1;
        const size_t taken = p < whole ? together : 0; /* whole ones */
        const REAL *from = panel + p * panel_stride;
        /* The next panels are fetched meanwhile, by each tile a part: where there are two, by
         * the tiles in turn. */
        const uintptr_t next = (uintptr_t)from + together * panel_stride * sizeof *from;
        const size_t two = together == 2 && tiles > 1;
        const size_t part = tiles > 1 ? n / ((tiles + two) >> two) : n;
        for (size_t t = 0, top = 0; t < tiles; t++) {
            const size_t height = each + (t < more);
            const uintptr_t soon =
                next + (t & two) * panel_stride * sizeof *from + (t >> two) * part * FD_LINE;
            REAL *to = z + top * z_stride;
            const REAL *const *begin = start ? start + top : NULL;
            const REAL *operands = a + top * a_stride;
            switch (TILE_NUMBER(height, taken, width)) {
#define CASE(ROWS, PANELS, WIDTH)                                                                \
    case TILE_NUMBER(ROWS, PANELS, WIDTH):                                                       \
        if ((PANELS) == 0)                                                                       \
            NAMED(half_kernel)(to, z_stride, begin, p * PANEL, operands, a_stride, from,         \
                               panel_stride, soon, n, ROWS, 1, WIDTH);                           \
        else                                                                                     \
            NAMED(micro_kernel)(to, z_stride, begin, p * PANEL, operands, a_stride, from,        \
                                panel_stride, soon, n, ROWS, (PANELS) * PER_PANEL, WIDTH);       \
        break;
                TILES(CASE)
#undef CASE
            }
            top += height;
        }
    }
}

#undef TILE_NUMBER
#undef NAMED
#undef PARTS
#undef PART
#undef PLUS
