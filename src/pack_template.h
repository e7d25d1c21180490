/* Packing weights into panels; a part of layers_template.h. */

size_t SUFFIXED(fd_panels)(size_t columns) { return (columns + PANEL - 1) / PANEL; }

size_t SUFFIXED(fd_width)(fd_cell cell, size_t units) {
    const size_t gates = fd_part_gates(cell, 0) + fd_part_gates(cell, 1);
    return gates * rounded_up(units, PANEL);
}

/* Weights of a layer, and which of their rows are wanted. */
typedef struct SUFFIXED(wanted) {
    const REAL *w;
    size_t stride, gate_stride;
    const uint32_t *index;
    const REAL *factors;
    size_t lists;
} SUFFIXED(wanted);

/* The k-th products of a panel: of `some` units from `first` on, with `width` gates each. Inlined
 * with a constant width, and with as many units as are usual, for the sake of vectors. */
FD_INLINE void SUFFIXED(pack_products)(REAL *to, const SUFFIXED(wanted) *of, size_t k,
                                       size_t first, size_t some, const size_t width) {
    static const REAL none[PANEL] = {0};
    const size_t together = PANEL / width; /* units of a panel */
    const REAL *from[2];
    for (size_t g = 0; g < width; g++) {
        const size_t entry = k * of->lists + (of->lists == 1 ? 0 : g);
        const size_t row = of->index ? of->index[entry] : k;
        const int left_out = of->factors && of->factors[entry] == 0;
        from[g] = left_out ? none : of->w + row * of->stride + g * of->gate_stride + first;
    }
    if (some == together) {
        for (size_t u = 0; u < together; u++)
            for (size_t g = 0; g < width; g++)
                to[u * width + g] = from[g][u];
        return;
    }
    memset(to, 0, PANEL * sizeof *to);
    for (size_t u = 0; u < some; u++)
        for (size_t g = 0; g < width; g++)
            to[u * width + g] = from[g][u];
}

FD_INLINE void SUFFIXED(pack)(REAL *panels, size_t panel_stride, const SUFFIXED(wanted) *of,
                              size_t n, size_t units, const size_t width) {
    const size_t together = PANEL / width;
    for (size_t first = 0; first < units; first += together, panels += panel_stride)
        for (size_t k = 0; k < n; k++)
            SUFFIXED(pack_products)(panels + k * PANEL, of, k, first,
                                    smaller(units - first, together), width);
}

void SUFFIXED(fd_pack)(REAL *panels, size_t panel_stride, const REAL *w, size_t stride, size_t n,
                       size_t units, size_t gate_stride, size_t width, const uint32_t *index,
                       const REAL *factors, size_t lists) {
    const uint64_t mode = fd_enter_mode();
    const SUFFIXED(wanted) of = {w, stride, gate_stride, index, factors, lists};
    if (width == 1)
        SUFFIXED(pack)(panels, panel_stride, &of, n, units, 1);
    else
        SUFFIXED(pack)(panels, panel_stride, &of, n, units, 2);
    fd_leave_mode(mode);
}

size_t SUFFIXED(fd_kept)(uint32_t *index, REAL *factors, size_t *shortest, const REAL *mask,
                         size_t n, size_t lists) {
    const uint64_t mode = fd_enter_flush_to_zero(); /* what a layer takes for zero is not kept */
    size_t longest = 0;
    *shortest = n;
    for (size_t i = 0; i < n * lists; i++) {
        index[i] = 0;
        factors[i] = 0;
    }
    for (size_t g = 0; g < lists; g++) {
        size_t kept = 0;
        for (size_t k = 0; k < n; k++)
            if (mask[g * n + k] != 0) {
                index[kept * lists + g] = (uint32_t)k;
                factors[kept * lists + g] = mask[g * n + k];
                kept++;
            }
        longest = kept > longest ? kept : longest;
        *shortest = kept < *shortest ? kept : *shortest;
    }
    fd_leave_mode(mode);
    return longest;
}

void SUFFIXED(fd_pack_bias)(REAL *start, REAL *recurrent, const REAL *bias, fd_cell cell,
                            size_t units) {
    const uint64_t mode = fd_enter_mode();
    const size_t padded = rounded_up(units, PANEL);
    memset(start, 0, SUFFIXED(fd_width)(cell, units) * sizeof *start);
    for (size_t part = 0, first_gate = 0; part < FD_MAX_PARTS; part++) {
        const size_t gates = fd_part_gates(cell, part);
        for (size_t g = 0; g < gates; g++)
            for (size_t u = 0; u < units; u++) {
                const REAL *of = bias + (first_gate + g) * units + u;
                const int both = cell == FD_GRU && part == 0;
                start[first_gate * padded + u * gates + g] = both ? of[0] + of[3 * units] : of[0];
            }
        first_gate += gates;
    }
    if (recurrent) {
        memset(recurrent, 0, padded * sizeof *recurrent);
        memcpy(recurrent, bias + 5 * units, units * sizeof *recurrent);
    }
    fd_leave_mode(mode);
}

/* Rows of an operand an odd number of lines apart do not fall upon each other in a cache. */
static size_t SUFFIXED(stride_of)(size_t elements) {
    return (rounded_up(elements, PANEL) / PANEL | 1) * PANEL;
}
