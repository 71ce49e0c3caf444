#include "ckernels_level.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
static int level_of_processor(void) {
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")
        || !__builtin_cpu_supports("f16c"))
        return PRELOOP_KERNELS_PORTABLE;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw")
        || !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
        return PRELOOP_KERNELS_AVX2;
    if (!__builtin_cpu_supports("avx512vnni") || !__builtin_cpu_supports("avx512bf16"))
        return PRELOOP_KERNELS_AVX512;
    return PRELOOP_KERNELS_VNNI;
}
#else
static int level_of_processor(void) { return PRELOOP_KERNELS_PORTABLE; }
#endif

static int level_of_environment(void) {
    static const char *const names[] = {"portable", "avx2", "avx512", "vnni"};
    const char *wanted = getenv("PRELOOP_KERNELS");
    for (int level = 0; wanted && level <= PRELOOP_KERNELS_VNNI; level++)
        if (strcmp(wanted, names[level]) == 0) return level;
    return PRELOOP_KERNELS_VNNI;
}

int preloop_kernels_level(void) {
    // Two threads that come first at once compute the same number: a relaxed race is harmless.
    static int known = -1;
    int level = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (level >= 0) return level;
    int processor = level_of_processor(), environment = level_of_environment();
    level = processor < environment ? processor : environment;
    __atomic_store_n(&known, level, __ATOMIC_RELAXED);
    return level;
}
