/* Dense layers, and activations by themselves; a part of layers_template.h. */

/* The packed kernel, one row of biases, and the results of some rows. */
static size_t SUFFIXED(dense_elements)(size_t rows, size_t inputs, size_t columns) {
    const size_t padded = rounded_up(columns, PANEL);
    return padded * (inputs + 1) + smaller(rows, FD_ROWS) * padded;
}

void SUFFIXED(fd_dense)(const fd_kernels *tier, REAL *out, void *scratch, const REAL *x,
                        const REAL *kernel, const REAL *bias, size_t rows, size_t inputs,
                        size_t columns, size_t stride) {
    const uint64_t mode = fd_enter_flush_to_zero();
    const size_t panels = SUFFIXED(fd_panels)(columns), padded = panels * PANEL;
    REAL *packed = scratch, *start = packed + padded * inputs, *z = start + padded;
    const size_t panel_stride = inputs * PANEL;
    SUFFIXED(fd_pack)(packed, panel_stride, kernel, stride, inputs, columns, 0, 1, NULL, NULL, 1);
    memset(start, 0, padded * sizeof *start);
    if (bias)
        memcpy(start, bias, columns * sizeof *start);
    const REAL *starts[FD_ROWS];
    for (size_t r = 0; r < FD_ROWS; r++)
        starts[r] = start;
    for (size_t n = 0; n < rows; n += FD_ROWS) {
        const size_t some = smaller(rows - n, FD_ROWS);
        size_t k = 0;
        do {
            tier->TABLE.product(z, padded, k ? NULL : starts, x + n * inputs + k, inputs,
                                packed + k * PANEL, panel_stride, smaller(inputs - k, K_BLOCK),
                                columns, some, 1, 0);
            k += K_BLOCK;
        } while (k < inputs);
        for (size_t r = 0; r < some; r++)
            memcpy(out + (n + r) * stride, z + r * padded, columns * sizeof *out);
    }
    fd_leave_mode(mode);
}

void SUFFIXED(fd_matmul)(const fd_kernels *tier, REAL *out, void *scratch, const REAL *a,
                         const REAL *b, size_t n, size_t rows, size_t inputs, size_t columns) {
    for (size_t i = 0; i < n; i++)
        SUFFIXED(fd_dense)(tier, out + i * rows * columns, scratch, a + i * rows * inputs,
                           b + i * inputs * columns, NULL, rows, inputs, columns, columns);
}

void SUFFIXED(fd_activate)(const fd_kernels *tier, REAL *v, size_t n, fd_activation activation) {
    const uint64_t mode = fd_enter_mode();
    tier->TABLE.activate(v, n, activation);
    fd_leave_mode(mode);
}

void SUFFIXED(fd_softmax)(const fd_kernels *tier, REAL *v, size_t rows, size_t columns,
                          int logarithm) {
    const uint64_t mode = fd_enter_mode();
    tier->TABLE.softmax(v, rows, columns, logarithm);
    fd_leave_mode(mode);
}
