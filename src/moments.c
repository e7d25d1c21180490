/* Moments of many streams side by side. */
#include "fastdrop.h"

/* Streams whose sums stay in a core's first cache while samples pass by. */
#define TOGETHER ((size_t)256)

#define MOMENTS(NAME, REAL)                                                                      \
    void NAME(double *restrict sum, double *restrict squares, const REAL *restrict origin,       \
              const REAL *restrict values, size_t samples, size_t width) {                       \
        for (size_t first = 0; first < width; first += TOGETHER) {                               \
            const size_t end = width - first < TOGETHER ? width : first + TOGETHER;              \
            for (size_t n = 0; n < samples; n++)                                                 \
                for (size_t j = first; j < end; j++) {                                           \
                    const double away = (double)values[n * width + j] - (double)origin[j];       \
                    sum[j] += away;                                                              \
                    squares[j] += away * away;                                                   \
                }                                                                                \
        }                                                                                        \
    }

MOMENTS(fd_moments_f32, float)
MOMENTS(fd_moments_f64, double)
