/* A tier's kernels of layers for one number type: REAL, SUFFIXED(name). */

/* z [rows][columns] = start + the sum over k = 0, 1, ... of
 * a[k * width + column % width] * panel[k][column], each product added in turn.
 * start: where each row starts; null: z, one product after another.
 * 1 <= rows <= FD_ROWS; width 1 or 2; a [rows][n * width]; panels as fd_pack_* makes them, from
 * one to the next panel_stride. Rows may be written to the end of their last panel, where start
 * is read too; what is there does not count. backwards: one row takes its last columns first; a
 * call after a call finds more in cache where they differ in that. */
typedef void SUFFIXED(fd_product)(REAL *z, size_t z_stride, const REAL *const *start,
                                  const REAL *a, size_t a_stride, const REAL *panel,
                                  size_t panel_stride, size_t n, size_t columns, size_t rows,
                                  size_t width, int backwards);

typedef struct SUFFIXED(fd_layer_kernels) {
    SUFFIXED(fd_product) *product;

    /* a [n][width] = v[k] * factors[k][g], and +0 where the factor is zero; null: v[k]. */
    void (*operand)(REAL *a, const REAL *v, const REAL *factors, size_t n, size_t width);
    /* a [n][width] = v[k] * scale where bit k * width + g is set, and +0 where it is not. Up to 3
     * bytes behind the bits may be read. */
    void (*operand_kept)(REAL *a, const REAL *v, REAL scale, const uint8_t *bits, size_t n,
                         size_t width);

    /* v [n] = activation(v) */
    void (*activate)(REAL *v, size_t n, fd_activation activation);
    /* v [rows][columns] = e^v over its row's sum, or the logarithm of that; no row is empty. */
    void (*softmax)(REAL *v, size_t rows, size_t columns, int logarithm);

    /* One step of some rows, from their pre-activations. units is a multiple of FD_PANEL; mask
     * [rows][units] is on the candidate, and may be null; its stride is 0 where rows share it.
     * LSTM: h, c [rows][units] in and out; z [rows] of [units][i, f], then [units][c, o]. */
    void (*lstm_cell)(REAL *h, REAL *c, const REAL *z, size_t z_stride, const REAL *mask,
                      size_t mask_stride, size_t rows, size_t units, fd_activation activation,
                      fd_activation recurrent_activation);
    /* GRU: h [rows][units] in and out; z [rows][units][z, r]; x [units] for each row the
     * candidate's input part. hidden [rows][units], of z's stride: its recurrent part, times r;
     * null: x has it already. */
    void (*gru_cell)(REAL *h, const REAL *z, size_t z_stride, const REAL *const *x,
                     const REAL *hidden, const REAL *mask, size_t mask_stride, size_t rows,
                     size_t units, fd_activation activation, fd_activation recurrent_activation);
    /* a [units] = r * a, with z [units][z, r]. */
    void (*gru_reset)(REAL *a, const REAL *z, size_t units, fd_activation recurrent_activation);
} SUFFIXED(fd_layer_kernels);

#undef REAL
#undef SUFFIXED
