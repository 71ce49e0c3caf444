#include "ckernels_level.h"

#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#if defined(__x86_64__)
int preloop_kernels_processor_level(void) {
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")
        || !__builtin_cpu_supports("f16c"))
        return PRELOOP_KERNELS_PORTABLE;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw")
        || !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
        return PRELOOP_KERNELS_AVX2;
    if (!__builtin_cpu_supports("avx512vnni")) return PRELOOP_KERNELS_AVX512;
    return PRELOOP_KERNELS_VNNI;
}

/// Whether the processor multiplies bfloat16, which matrix products of PRELOOP_KERNELS_VNNI need.
static int has_bfloat16(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512bf16") != 0;
}
#else
int preloop_kernels_processor_level(void) { return PRELOOP_KERNELS_PORTABLE; }

static int has_bfloat16(void) { return 0; }
#endif

int preloop_kernels_level_named(const char *name) {
    static const char *const names[] = {"portable", "avx2", "avx512", "vnni", "amx"};
    for (int level = 0; level <= PRELOOP_KERNELS_AMX; level++)
        if (strcmp(name, names[level]) == 0) return level;
    return -1;
}

static int level_of_environment(void) {
    const char *wanted = getenv("PRELOOP_KERNELS");
    if (!wanted || !*wanted) return PRELOOP_KERNELS_AMX;
    int level = preloop_kernels_level_named(wanted);
    return level < 0 ? PRELOOP_KERNELS_PORTABLE : level;
}

int preloop_kernels_level(void) {
    // Two threads that come first at once compute the same number: a relaxed race is harmless.
    static int known = -1;
    int level = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (level >= 0) return level;
    int processor = preloop_kernels_processor_level(), environment = level_of_environment();
    level = processor < environment ? processor : environment;
    __atomic_store_n(&known, level, __ATOMIC_RELAXED);
    return level;
}

#if defined(__x86_64__) && defined(__linux__)
/// Whether the processor has tile registers with int8 and bfloat16 products, the system keeps their
/// state, and this process may use them.
static int has_tiles(void) {
    unsigned a, b, c, d;
    enum { bfloat16 = 1 << 22, tile = 1 << 24, int8 = 1 << 25, wanted = bfloat16 | tile | int8 };
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & wanted) != wanted) return 0;
    // States 17 and 18 of XCR0 are the tiles' configuration and their data. That XGETBV exists and
    // may be used is known: the level of vectors was found by it.
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low >> 17 & 3) != 3) return 0;
    // From linux/arch/x86/include/uapi/asm/prctl.h, which C libraries lack.
    enum { request_permission = 0x1023, tile_data = 18 };
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}
#else
static int has_tiles(void) { return 0; }
#endif

int preloop_kernels_matrix_level(void) {
    // As above; to be asked twice for what it gave once does not bother the kernel.
    static int known = -1;
    int level = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (level >= 0) return level;
    level = preloop_kernels_level();
    if (level == PRELOOP_KERNELS_VNNI && !has_bfloat16()) level = PRELOOP_KERNELS_AVX512;
    if (level == PRELOOP_KERNELS_VNNI && level_of_environment() == PRELOOP_KERNELS_AMX
        && has_tiles())
        level = PRELOOP_KERNELS_AMX;
    __atomic_store_n(&known, level, __ATOMIC_RELAXED);
    return level;
}
