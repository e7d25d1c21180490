/* Layers: loops over rows, time steps and gates.
 *
 * Notation for the LSTM, for one row: x_t [D] the input, h and c [H] the state, W [D][4H]
 * the kernel, R [H][4H] the recurrent kernel, b [4H] the bias, and
 * z = b + (x_t * mx) W + (h * mh) R the pre-activations, one mask pair (mx, mh)
 * a gate or one for all gates. A row runs through its whole part of the
 * sequence before the next one starts, so its state stays in cache and no
 * result depends on which rows share a call. */
#include "kernels.h"

#include <string.h>

#define GATES 4

size_t fd_lstm_scratch(const fd_lstm_shape *shape) {
    const size_t widest = shape->features > shape->units ? shape->features : shape->units;
    return GATES * shape->units + widest; /* z, and one masked operand */
}

#define REAL float
#define SUFFIXED(name) name##_f32
#include "layers.inc"
#undef REAL
#undef SUFFIXED

#define REAL double
#define SUFFIXED(name) name##_f64
#include "layers.inc"
