#include "code_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

// AVX2: bytes widened to 16 bits, because its product of bytes saturates.
#pragma clang attribute push(__attribute__((target("avx2,fma,bmi,bmi2,popcnt,lzcnt"))), \
    apply_to = function)

static inline __attribute__((always_inline)) __m256i products(const uint8_t *row, __m256i factor) {
    __m128i bytes = _mm_loadu_si128((const __m128i *)row);
    return _mm256_madd_epi16(_mm256_cvtepu8_epi16(bytes), factor);
}

static inline __attribute__((always_inline)) __m256i factors(const int8_t *query) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)query));
}

static inline __attribute__((always_inline)) int32_t sum_of(__m256i lanes) {
    __m128i half = _mm_add_epi32(
        _mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4E));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0xB1));
    return _mm_cvtsi128_si32(half);
}

static inline __attribute__((always_inline)) int32_t dot_one(const uint8_t *row,
                                                             const int8_t *query, size_t stride) {
    __m256i sum = _mm256_setzero_si256(), other = sum;
    for (size_t i = 0; i < stride; i += 32) {
        sum = _mm256_add_epi32(sum, products(row + i, factors(query + i)));
        other = _mm256_add_epi32(other, products(row + i + 16, factors(query + i + 16)));
    }
    return sum_of(_mm256_add_epi32(sum, other));
}

static inline __attribute__((always_inline)) void dot_four(
    const uint8_t *a, const uint8_t *b, const uint8_t *c, const uint8_t *d, const int8_t *query,
    size_t stride, int32_t *out) {
    __m256i s0 = _mm256_setzero_si256(), s1 = s0, s2 = s0, s3 = s0;
    for (size_t i = 0; i < stride; i += 16) {
        __m256i factor = factors(query + i);
        s0 = _mm256_add_epi32(s0, products(a + i, factor));
        s1 = _mm256_add_epi32(s1, products(b + i, factor));
        s2 = _mm256_add_epi32(s2, products(c + i, factor));
        s3 = _mm256_add_epi32(s3, products(d + i, factor));
    }
    out[0] = sum_of(s0);
    out[1] = sum_of(s1);
    out[2] = sum_of(s2);
    out[3] = sum_of(s3);
}

#include "code_plain.h"

#define KERNELS preloop_code_avx2
#include "code_template.h"

#pragma clang attribute pop
#endif
