/* Products of bfloat16 on vectors of float, for one tier: NAMED, PARTS, PART and PLUS as
 * simd_product_template.h takes them. */

#define REAL float
#define V(name) f32_##name
#define PANEL FD_PANEL_F32
#define VEC V(vec)
#define REALS ((int)(sizeof(VEC) / sizeof(REAL)))
#define PER_PANEL (PANEL / REALS)

#include "simd_product_template.h"

#undef REAL
#undef V
#undef PANEL
#undef VEC
#undef REALS
#undef PER_PANEL
