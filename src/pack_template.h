/* Packing weights into panels; a part of layers_template.h. */

size_t SUFFIXED(fd_panels)(size_t columns) { return (columns + PANEL - 1) / PANEL; }

size_t SUFFIXED(fd_width)(fd_cell cell, size_t units) {
    const size_t gates = fd_part_gates(cell, 0) + fd_part_gates(cell, 1);
    return gates * rounded_up(units, PANEL);
}

/* Inlined with a constant width, so that nothing is divided for each element. */
FD_INLINE void SUFFIXED(pack)(REAL *panels, size_t panel_stride, const REAL *w, size_t stride,
                              size_t n, size_t units, size_t gate_stride, const size_t width,
                              const uint32_t *index, const REAL *factors, size_t lists) {
    const size_t together = PANEL / width; /* units of a panel */
    for (size_t first = 0; first < units; first += together, panels += panel_stride) {
        const size_t some = smaller(units - first, together);
        REAL *to = panels;
        for (size_t k = 0; k < n; k++, to += PANEL) {
            if (some < together || factors)
                memset(to, 0, PANEL * sizeof *to);
            for (size_t g = 0; g < width; g++) {
                const size_t entry = k * lists + (lists == 1 ? 0 : g);
                if (factors && factors[entry] == 0)
                    continue;
                const size_t row = index ? index[entry] : k;
                const REAL *from = w + row * stride + g * gate_stride + first;
                for (size_t u = 0; u < some; u++)
                    to[u * width + g] = from[u];
            }
        }
    }
}

void SUFFIXED(fd_pack)(REAL *panels, size_t panel_stride, const REAL *w, size_t stride, size_t n,
                       size_t units, size_t gate_stride, size_t width, const uint32_t *index,
                       const REAL *factors, size_t lists) {
    const uint64_t mode = fd_enter_mode();
    if (width == 1)
        SUFFIXED(pack)(panels, panel_stride, w, stride, n, units, gate_stride, 1, index, factors,
                       lists);
    else
        SUFFIXED(pack)(panels, panel_stride, w, stride, n, units, gate_stride, 2, index, factors,
                       lists);
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
