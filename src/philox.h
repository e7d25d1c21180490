/* Philox4x32-10: the counter-based generator of Salmon, Moraes, Dror and Shaw,
 * "Parallel Random Numbers: As Easy as 1, 2, 3" (SC 2011), a pure function of
 * (counter, key). */
#ifndef FASTDROP_PHILOX_H
#define FASTDROP_PHILOX_H

#include <stdint.h>

#define FD_PHILOX_M0 0xD2511F53u
#define FD_PHILOX_M1 0xCD9E8D57u
#define FD_PHILOX_W0 0x9E3779B9u /* the golden ratio */
#define FD_PHILOX_W1 0xBB67AE85u /* sqrt(3) - 1 */

/* out [4]: the four random words; may be counter itself. */
static inline void fd_philox4x32_10(uint32_t out[4], const uint32_t counter[4], uint32_t k0,
                                    uint32_t k1) {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)FD_PHILOX_M0 * c0;
        const uint64_t p1 = (uint64_t)FD_PHILOX_M1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += FD_PHILOX_W0;
        k1 += FD_PHILOX_W1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

#endif
