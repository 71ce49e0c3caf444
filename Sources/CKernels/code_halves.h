// Dot products for sets of instructions whose product of bytes saturates: that of halves of bytes
// does not, so both planes are multiplied alone. The including file defines `vector`, `zero`,
// `add_halves` (adds the products of 128 halves in 64 bytes) and `add_lanes`, the sums of the lanes
// of four vectors.

static inline __attribute__((always_inline)) void dot_coarse(
    const uint8_t *a, const uint8_t *b, const uint8_t *c, const uint8_t *d, const int8_t *query,
    size_t stride, int32_t *out) {
    vector s0 = zero(), s1 = s0, s2 = s0, s3 = s0;
    for (size_t i = 0; i < stride; i += 128) {
        s0 = add_halves(s0, a + i / 2, query + i);
        s1 = add_halves(s1, b + i / 2, query + i);
        s2 = add_halves(s2, c + i / 2, query + i);
        s3 = add_halves(s3, d + i / 2, query + i);
    }
    add_lanes(s0, s1, s2, s3, out);
}

static inline __attribute__((always_inline)) void dot_four(
    const four_rows *rows, const int8_t *query, size_t stride, int32_t *out) {
    const uint8_t *const *upper = rows->coarse, *const *lower = rows->middle;
    int32_t rest[4];
    dot_coarse(upper[0], upper[1], upper[2], upper[3], query, stride, out);
    dot_coarse(lower[0], lower[1], lower[2], lower[3], query, stride, rest);
    for (size_t j = 0; j < 4; j++) out[j] = 16 * out[j] + rest[j];
}

static inline __attribute__((always_inline)) int32_t dot_one(
    const uint8_t *coarse, const uint8_t *middle, const int8_t *query, size_t stride) {
    vector upper = zero(), lower = upper;
    for (size_t i = 0; i < stride; i += 128) {
        upper = add_halves(upper, coarse + i / 2, query + i);
        lower = add_halves(lower, middle + i / 2, query + i);
    }
    int32_t sums[4];
    add_lanes(upper, lower, zero(), zero(), sums);
    return 16 * sums[0] + sums[1];
}
