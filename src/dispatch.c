/* The list of tiers. */
#include "kernels.h"

static const fd_kernels *const tiers[] = {
#define FD_ENTRY(tier) &fd_kernels_##tier,
    FD_TIERS(FD_ENTRY)
#undef FD_ENTRY
};

const fd_kernels *fd_tier(size_t i) {
    return i < sizeof tiers / sizeof *tiers ? tiers[i] : NULL;
}

const char *fd_tier_name(const fd_kernels *tier) {
    return tier->name;
}

int fd_tier_usable(const fd_kernels *tier) {
    return tier->usable();
}
