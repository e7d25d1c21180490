/* Layers for one number type: REAL; SUFFIXED(name); TABLE, its field of a tier's table; PANEL.
 *
 * Notation, for one row: x_t [D] the input, h and c [H] the state, and for each part of a cell
 * z = b + (x_t * mx) W + (h * mh) R, with a mask pair (mx, mh) a gate, or one for all gates. */

#include "pack_template.h"

#include "dense_template.h"

#include "rnn_plan_template.h"

#include "rnn_product_template.h"

#include "rnn_cell_template.h"

#include "rnn_step_template.h"

#include "rnn_team_template.h"

#undef REAL
#undef SUFFIXED
#undef TABLE
#undef PANEL
