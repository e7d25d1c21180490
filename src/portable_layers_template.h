/* Layers in plain C for one floating-point type: REAL, SUFFIXED(name), PANEL, DEGREE. Every
 * product is rounded before it is added, and panels are gone through one by one. */

static void SUFFIXED(product)(REAL *z, size_t z_stride, const REAL *const *start, const REAL *a,
                              size_t a_stride, const REAL *panel, size_t panel_stride, size_t n,
                              size_t columns, size_t rows, size_t width, int backwards) {
    (void)backwards;
    for (size_t p = 0; p < SUFFIXED(fd_panels)(columns); p++)
        for (size_t r = 0; r < rows; r++) {
            const REAL *weight = panel + p * panel_stride, *at = a + r * a_stride;
            REAL sum[PANEL], factor[PANEL];
            memcpy(sum, (start ? start[r] : z + r * z_stride) + p * PANEL, sizeof sum);
            for (size_t k = 0; k < n; k++, weight += PANEL, at += width) {
                for (size_t j = 0; j < PANEL; j++)
                    factor[j] = at[j % width];
                for (size_t j = 0; j < PANEL; j++)
                    sum[j] = sum[j] + factor[j] * weight[j];
            }
            for (size_t j = 0; j < PANEL; j++)
                sum[j] = sum[j] + 0; /* -0 would tell whether products of +0 were left out */
            memcpy(z + r * z_stride + p * PANEL, sum, sizeof sum);
        }
}

static void SUFFIXED(operand)(REAL *a, const REAL *v, const REAL *factors, size_t n,
                              size_t width) {
    if (!factors) {
        memcpy(a, v, n * sizeof *a);
        return;
    }
    for (size_t k = 0; k < n; k++) /* selected, so a dropped NaN is gone */
        for (size_t g = 0; g < width; g++, a++, factors++)
            *a = *factors == 0 ? 0 : v[k] * *factors;
}

static void SUFFIXED(operand_kept)(REAL *a, const REAL *v, REAL scale, const uint8_t *bits,
                                   size_t n, size_t width) {
    for (size_t i = 0; i < n * width; i++)
        a[i] = bits[i / 8] >> i % 8 & 1 ? v[i / width] * scale : 0;
}

static REAL SUFFIXED(clipped)(REAL v) {
    v = v < 0 ? 0 : v;
    return v > 1 ? 1 : v;
}

/* The comparisons let NaN through. */
static void SUFFIXED(activate)(REAL *v, size_t n, fd_activation activation) {
    switch (activation.function) {
    case FD_LINEAR:
        break;
    case FD_TANH:
        for (size_t j = 0; j < n; j++)
            v[j] = (REAL)hyperbolic_tangent(v[j], DEGREE);
        break;
    case FD_SIGMOID:
        for (size_t j = 0; j < n; j++)
            v[j] = (REAL)sigmoid(v[j], DEGREE);
        break;
    case FD_RELU:
        for (size_t j = 0; j < n; j++)
            v[j] = v[j] < 0 ? 0 : v[j] + 0; /* -0 is +0 */
        break;
    case FD_HARD_SIGMOID:
        for (size_t j = 0; j < n; j++)
            v[j] = SUFFIXED(clipped)(v[j] / 6 + (REAL)0.5);
        break;
    case FD_HARD_SIGMOID_LEGACY:
        for (size_t j = 0; j < n; j++)
            v[j] = SUFFIXED(clipped)(v[j] * (REAL)0.2 + (REAL)0.5);
        break;
    default:
        for (size_t j = 0; j < n; j++)
            v[j] = (REAL)other(v[j], &activation, (REAL)activation.a, (REAL)activation.b,
                               (REAL)activation.c, DEGREE);
        break;
    }
}

static void SUFFIXED(softmax)(REAL *v, size_t rows, size_t columns, int logarithm) {
    for (size_t n = 0; n < rows; n++, v += columns) {
        REAL top = v[0], sum = 0;
        for (size_t j = 1; j < columns; j++)
            top = v[j] > top ? v[j] : top;
        for (size_t j = 0; j < columns; j++) {
            const REAL below = v[j] - top, e = (REAL)times_exponential(1, below, DEGREE);
            sum += e;
            v[j] = logarithm ? below : e;
        }
        if (logarithm && sum == sum) /* else it is NaN */
            sum = (REAL)log_of((double)sum);
        for (size_t j = 0; j < columns; j++)
            v[j] = logarithm ? v[j] - sum : v[j] / sum;
    }
}

/* part [PANEL] = activation(every gates-th number of z) */
static void SUFFIXED(gate)(REAL *part, const REAL *z, size_t gates, fd_activation activation) {
    for (size_t j = 0; j < PANEL; j++)
        part[j] = z[j * gates];
    SUFFIXED(activate)(part, PANEL, activation);
}

static void SUFFIXED(mask_candidate)(REAL *g, const REAL *mask) {
    for (size_t j = 0; j < PANEL; j++)
        g[j] = mask[j] == 0 ? 0 : g[j] * mask[j];
}

/* c = f * c + i * g, h = o * activation(c). */
static void SUFFIXED(lstm_row)(REAL *h, REAL *c, const REAL *z, const REAL *mask, size_t units,
                               fd_activation activation, fd_activation recurrent_activation) {
    REAL i[PANEL], f[PANEL], g[PANEL], o[PANEL];
    for (size_t u = 0; u < units; u += PANEL, h += PANEL, c += PANEL, z += 2 * PANEL) {
        SUFFIXED(gate)(i, z, 2, recurrent_activation);
        SUFFIXED(gate)(f, z + 1, 2, recurrent_activation);
        SUFFIXED(gate)(g, z + 2 * units, 2, activation);
        SUFFIXED(gate)(o, z + 2 * units + 1, 2, recurrent_activation);
        if (mask)
            SUFFIXED(mask_candidate)(g, mask + u);
        for (size_t j = 0; j < PANEL; j++)
            c[j] = f[j] * c[j] + i[j] * g[j];
        SUFFIXED(gate)(h, c, 1, activation);
        for (size_t j = 0; j < PANEL; j++)
            h[j] = o[j] * h[j];
    }
}

static void SUFFIXED(lstm_cell)(REAL *h, REAL *c, const REAL *z, size_t z_stride,
                                const REAL *mask, size_t mask_stride, size_t rows, size_t units,
                                fd_activation activation, fd_activation recurrent_activation) {
    for (size_t n = 0; n < rows; n++)
        SUFFIXED(lstm_row)(h + n * units, c + n * units, z + n * z_stride,
                           mask ? mask + n * mask_stride : NULL, units, activation,
                           recurrent_activation);
}

/* h = z * h + (1 - z) * g, g = activation(x + r * hidden). */
static void SUFFIXED(gru_row)(REAL *h, const REAL *z, const REAL *x, const REAL *hidden,
                              const REAL *mask, size_t units, fd_activation activation,
                              fd_activation recurrent_activation) {
    REAL update[PANEL], r[PANEL], g[PANEL];
    for (size_t u = 0; u < units; u += PANEL, h += PANEL, x += PANEL, z += 2 * PANEL) {
        SUFFIXED(gate)(update, z, 2, recurrent_activation);
        memcpy(g, x, sizeof g);
        if (hidden) {
            SUFFIXED(gate)(r, z + 1, 2, recurrent_activation);
            for (size_t j = 0; j < PANEL; j++)
                g[j] = x[j] + r[j] * hidden[u + j];
        }
        SUFFIXED(activate)(g, PANEL, activation);
        if (mask)
            SUFFIXED(mask_candidate)(g, mask + u);
        for (size_t j = 0; j < PANEL; j++)
            h[j] = update[j] * h[j] + (1 - update[j]) * g[j];
    }
}

static void SUFFIXED(gru_cell)(REAL *h, const REAL *z, size_t z_stride, const REAL *const *x,
                               const REAL *hidden, const REAL *mask, size_t mask_stride,
                               size_t rows, size_t units, fd_activation activation,
                               fd_activation recurrent_activation) {
    for (size_t n = 0; n < rows; n++)
        SUFFIXED(gru_row)(
            h + n * units, z + n * z_stride, x[n], hidden ? hidden + n * z_stride : NULL,
            mask ? mask + n * mask_stride : NULL, units, activation, recurrent_activation);
}

static void SUFFIXED(gru_reset)(REAL *a, const REAL *z, size_t units,
                                fd_activation recurrent_activation) {
    REAL r[PANEL];
    for (size_t u = 0; u < units; u += PANEL, a += PANEL, z += 2 * PANEL) {
        SUFFIXED(gate)(r, z + 1, 2, recurrent_activation);
        for (size_t j = 0; j < PANEL; j++)
            a[j] = r[j] * a[j];
    }
}

#undef REAL
#undef SUFFIXED
#undef PANEL
#undef DEGREE
