#include "code_kernels.h"

// Plain C; the compiler vectorises the sums for whatever every machine of the target has.

static inline __attribute__((always_inline)) int32_t dot_one(const uint8_t *row,
                                                             const int8_t *query, size_t stride) {
    int32_t sum = 0;
    for (size_t i = 0; i < stride; i++) sum += row[i] * query[i];
    return sum;
}

static inline __attribute__((always_inline)) void dot_four(
    const uint8_t *a, const uint8_t *b, const uint8_t *c, const uint8_t *d, const int8_t *query,
    size_t stride, int32_t *out) {
    out[0] = dot_one(a, query, stride);
    out[1] = dot_one(b, query, stride);
    out[2] = dot_one(c, query, stride);
    out[3] = dot_one(d, query, stride);
}

#include "code_plain.h"

#define KERNELS preloop_code_portable
#include "code_template.h"
