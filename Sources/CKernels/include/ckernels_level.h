#pragma once

/// Sets of instructions the kernels exist for, slowest first. The values are ordered: a machine
/// that runs one runs all smaller ones.
enum {
    PRELOOP_KERNELS_PORTABLE = 0, ///< C that any processor runs.
    PRELOOP_KERNELS_AVX2 = 1,     ///< x86-64 with AVX2, FMA and F16C.
    PRELOOP_KERNELS_AVX512 = 2,   ///< AVX-512 F, BW, DQ and VL.
    PRELOOP_KERNELS_VNNI = 3,     ///< AVX-512 with VNNI (int8); for matrix products BF16 too.
    PRELOOP_KERNELS_AMX = 4,      ///< The same and tile registers of int8 and bfloat16.
};

/// The best set of vector instructions of this machine, at most PRELOOP_KERNELS_VNNI, read from the
/// processor once. The environment variable PRELOOP_KERNELS (`portable`, `avx2`, `avx512`, `vnni`,
/// `amx`) lowers it, never raises it: tests run every variant so. Programs refuse another name when
/// they start; here it means `portable`, which nobody takes for the best. Cheap, callable from any
/// thread and from constructors of other files.
int preloop_kernels_level(void);

/// The same whatever the environment says.
int preloop_kernels_processor_level(void);

/// The level a name stands for, or -1.
int preloop_kernels_level_named(const char *name);

/// The same as preloop_kernels_level for matrix products, which tile registers may do
/// (PRELOOP_KERNELS_AMX). Those of PRELOOP_KERNELS_VNNI also need dot products of bfloat16; a
/// processor without them multiplies with PRELOOP_KERNELS_AVX512 and searches with VNNI.
///
/// Linux gives tile registers, 8 KB more of state, to a process that asks for them. The first call
/// asks where the processor has them; when the kernel refuses, the answer is that of vectors.
int preloop_kernels_matrix_level(void);
