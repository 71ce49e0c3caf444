#pragma once

#include <stddef.h>
#include <stdint.h>

/// Instruction sets a distance kernel exists for, slowest first. The values are ordered: a machine
/// that runs one runs all smaller ones.
enum {
    PRELOOP_DISTANCE_PORTABLE = 0,
    PRELOOP_DISTANCE_AVX2 = 1,
    PRELOOP_DISTANCE_AVX512 = 2,
};

/// The best instruction set of this machine; read from the processor once, as the program loads.
int preloop_distance_level(void);

/// Inner product of two vectors of `count` floats, by the best kernel. Any alignment.
float preloop_dot_f32(const float *a, const float *b, size_t count);

/// The same by the kernel of one instruction set, for tests and benchmarks. `level` must not exceed
/// preloop_distance_level(): larger values get the best kernel.
float preloop_dot_f32_at(int level, const float *a, const float *b, size_t count);

/// Inner products of `query` with `row_count` gathered rows; row i is the `count` floats that begin
/// at rows[ids[i] * stride]. Rows are prefetched two ahead, so `ids` should name all at once.
void preloop_dot_gathered_f32(const float *query, const float *rows, size_t stride, size_t count,
                               const uint32_t *ids, size_t row_count, float *out);

/// Inner products of `query` with `row_count` consecutive rows of `stride` floats, of which `count`
/// are used.
void preloop_dot_rows_f32(const float *query, const float *rows, size_t stride, size_t count,
                           size_t row_count, float *out);
