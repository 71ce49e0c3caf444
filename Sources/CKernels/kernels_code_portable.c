#include "code_kernels.h"

// Plain C; the compiler vectorises the sums for whatever every machine of the target has.

#include "code_rows.h"

static inline __attribute__((always_inline)) int32_t dot_bytes(const uint8_t *row,
                                                               const int8_t *query, size_t stride) {
    int32_t sum = 0;
    for (size_t i = 0; i < stride; i++) sum += row[i] * query[i];
    return sum;
}

static inline __attribute__((always_inline)) int32_t dot_halves(const uint8_t *row,
                                                                const int8_t *query,
                                                                size_t stride) {
    int32_t sum = 0;
    for (size_t block = 0; block < stride; block += 128)
        for (size_t i = 0; i < 64; i++) {
            uint8_t byte = row[block / 2 + i];
            sum += (byte & 15) * query[block + i] + (byte >> 4) * query[block + 64 + i];
        }
    return sum;
}

static inline __attribute__((always_inline)) int32_t dot_one(
    const uint8_t *coarse, const uint8_t *middle, const int8_t *query, size_t stride) {
    return 16 * dot_halves(coarse, query, stride) + dot_halves(middle, query, stride);
}

static inline __attribute__((always_inline)) void dot_four(
    const four_rows *rows, const int8_t *query, size_t stride, int32_t *out) {
    for (size_t j = 0; j < 4; j++)
        out[j] = dot_one(rows->coarse[j], rows->middle[j], query, stride);
}

static inline __attribute__((always_inline)) void dot_coarse(
    const uint8_t *a, const uint8_t *b, const uint8_t *c, const uint8_t *d, const int8_t *query,
    size_t stride, int32_t *out) {
    out[0] = dot_halves(a, query, stride);
    out[1] = dot_halves(b, query, stride);
    out[2] = dot_halves(c, query, stride);
    out[3] = dot_halves(d, query, stride);
}

#include "code_plain.h"

#define KERNELS preloop_code_portable
#include "code_template.h"
