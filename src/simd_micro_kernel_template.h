/* One tile of a product on vectors. Besides what simd_product_template.h takes:
 *   KERNEL: what it is called; OF(name): the operations of the vectors that it takes. */

/* The sums of some rows and vectors of panels stay in registers while k runs. Inlined with
 * constant sizes, for only then do compilers keep `sum` out of memory. start: null where z itself
 * has the sums so far. Zero is added at the end because a sum of -0 would tell whether products
 * of +0 were left out of it. next: n quarters of lines from there on will be wanted soon, if they
 * exist. */
FD_INLINE void KERNEL(REAL *z, size_t z_stride, const REAL *const *start, size_t column,
                      const REAL *a, size_t a_stride, const REAL *panel, size_t panel_stride,
                      uintptr_t next, size_t n, const int rows, const int vectors,
                      const int width) {
    const int lanes = (int)(sizeof(OF(vec)) / sizeof(REAL)), per_panel = PANEL / lanes;
    OF(vec) sum[TILE_ROWS][ROW_PANELS * PER_PANEL];
    z += column;
    FD_UNROLL
    for (int r = 0; r < rows; r++) {
        const REAL *from = start ? start[r] + column : z + (size_t)r * z_stride;
        FD_UNROLL
        for (int v = 0; v < vectors; v++)
            sum[r][v] = OF(load)(from + v * lanes);
    }
    FD_NO_UNROLL
    for (size_t k = 0; k < n; k++) {
        FD_UNROLL
        for (int part = 0; part < PARTS; part++) {
            OF(vec) weight[ROW_PANELS * PER_PANEL];
            FD_UNROLL
            for (int v = 0; v < vectors; v++) {
                const REAL *of = panel + (size_t)(v / per_panel) * panel_stride;
                weight[v] = PART(OF(load)(of + v % per_panel * lanes), part);
                /* Of few rows each would read the weight itself, and loads take longer. */
                if (rows > 1 && rows <= FEW_ROWS && (rows + 1) * vectors < REGISTERS &&
                    PARTS == 1)
                    FD_IN_REGISTER(weight[v]);
            }
            FD_UNROLL
            for (int r = 0; r < rows; r++) {
                const REAL *at = a + (size_t)r * a_stride;
                const OF(vec) factor = width == 1 ? OF(repeat1)(at) : OF(repeat2)(at);
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
            OF(store)(z + (size_t)r * z_stride + v * lanes, OF(add)(sum[r][v], OF(all)(0)));
    }
}

#undef KERNEL
#undef OF
