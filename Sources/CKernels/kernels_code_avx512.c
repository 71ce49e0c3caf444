#include "code_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

// AVX-512 without VNNI: bytes widened to 16 bits, because the product of bytes there is saturates.
#pragma clang attribute push(__attribute__((target( \
    "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi,bmi2,popcnt,lzcnt"))), apply_to = function)

#include "code_avx512.h"

static inline __attribute__((always_inline)) __m512i products(const uint8_t *row, __m512i factor) {
    __m256i bytes = _mm256_loadu_si256((const __m256i *)row);
    return _mm512_madd_epi16(_mm512_cvtepu8_epi16(bytes), factor);
}

static inline __attribute__((always_inline)) __m512i factors(const int8_t *query) {
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)query));
}

static inline __attribute__((always_inline)) int32_t dot_one(const uint8_t *row,
                                                             const int8_t *query, size_t stride) {
    __m512i sum = _mm512_setzero_si512();
    for (size_t i = 0; i < stride; i += 32)
        sum = _mm512_add_epi32(sum, products(row + i, factors(query + i)));
    return _mm512_reduce_add_epi32(sum);
}

static inline __attribute__((always_inline)) void dot_four(
    const uint8_t *a, const uint8_t *b, const uint8_t *c, const uint8_t *d, const int8_t *query,
    size_t stride, int32_t *out) {
    __m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0;
    for (size_t i = 0; i < stride; i += 32) {
        __m512i factor = factors(query + i);
        s0 = _mm512_add_epi32(s0, products(a + i, factor));
        s1 = _mm512_add_epi32(s1, products(b + i, factor));
        s2 = _mm512_add_epi32(s2, products(c + i, factor));
        s3 = _mm512_add_epi32(s3, products(d + i, factor));
    }
    add_lanes(s0, s1, s2, s3, out);
}

#define KERNELS preloop_code_avx512
#include "code_template.h"

#pragma clang attribute pop
#endif
