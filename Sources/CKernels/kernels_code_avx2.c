#include "code_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

// AVX2.
#pragma clang attribute push(__attribute__((target("avx2,fma,bmi,bmi2,popcnt,lzcnt"))), \
    apply_to = function)

#include "code_rows.h"

typedef __m256i vector;

static inline __attribute__((always_inline)) vector zero(void) { return _mm256_setzero_si256(); }

/// The sums of pairs of products of 32 halves with 32 numbers.
static inline __attribute__((always_inline)) __m256i pairs(__m256i bytes, const int8_t *query) {
    __m256i factors = _mm256_loadu_si256((const __m256i *)query);
    return _mm256_maddubs_epi16(_mm256_and_si256(bytes, _mm256_set1_epi8(15)), factors);
}

static inline __attribute__((always_inline)) vector add_halves(vector sum, const uint8_t *row,
                                                               const int8_t *query) {
    __m256i first = _mm256_loadu_si256((const __m256i *)row);
    __m256i second = _mm256_loadu_si256((const __m256i *)(row + 32));
    // Eight products of at most 15 * 128 fit 16 bits.
    __m256i below = _mm256_add_epi16(pairs(first, query), pairs(second, query + 32));
    __m256i above = _mm256_add_epi16(
        pairs(_mm256_srli_epi16(first, 4), query + 64),
        pairs(_mm256_srli_epi16(second, 4), query + 96));
    __m256i eights = _mm256_add_epi16(below, above);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(eights, _mm256_set1_epi16(1)));
}

static inline __attribute__((always_inline)) int32_t sum_of(__m256i lanes) {
    __m128i half = _mm_add_epi32(
        _mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4E));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0xB1));
    return _mm_cvtsi128_si32(half);
}

static inline __attribute__((always_inline)) void add_lanes(__m256i a, __m256i b, __m256i c,
                                                            __m256i d, int32_t *out) {
    out[0] = sum_of(a);
    out[1] = sum_of(b);
    out[2] = sum_of(c);
    out[3] = sum_of(d);
}

static inline __attribute__((always_inline)) int32_t dot_bytes(const uint8_t *row,
                                                               const int8_t *query, size_t stride) {
    // Widened to 16 bits, because the product of bytes there is saturates.
    __m256i sum = _mm256_setzero_si256();
    for (size_t i = 0; i < stride; i += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(row + i));
        __m128i factors = _mm_loadu_si128((const __m128i *)(query + i));
        sum = _mm256_add_epi32(
            sum, _mm256_madd_epi16(_mm256_cvtepu8_epi16(bytes), _mm256_cvtepi8_epi16(factors)));
    }
    return sum_of(sum);
}

#include "code_halves.h"
#include "code_plain.h"

#define KERNELS preloop_code_avx2
#include "code_template.h"

#pragma clang attribute pop
#endif
