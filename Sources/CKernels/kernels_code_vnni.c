#include "code_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

// AVX-512 with VNNI: four products of bytes and their sum in one instruction, without saturation.
#pragma clang attribute push(__attribute__((target( \
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,bmi,bmi2,popcnt,lzcnt"))), \
    apply_to = function)

#include "code_avx512.h"

static inline __attribute__((always_inline)) int32_t dot_one(const uint8_t *row,
                                                             const int8_t *query, size_t stride) {
    __m512i sum = _mm512_setzero_si512();
    for (size_t i = 0; i < stride; i += 64)
        sum = _mm512_dpbusd_epi32(sum, _mm512_loadu_si512(row + i), _mm512_loadu_si512(query + i));
    return _mm512_reduce_add_epi32(sum);
}

static inline __attribute__((always_inline)) void dot_four(
    const uint8_t *a, const uint8_t *b, const uint8_t *c, const uint8_t *d, const int8_t *query,
    size_t stride, int32_t *out) {
    __m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0;
    for (size_t i = 0; i < stride; i += 64) {
        __m512i factor = _mm512_loadu_si512(query + i);
        s0 = _mm512_dpbusd_epi32(s0, _mm512_loadu_si512(a + i), factor);
        s1 = _mm512_dpbusd_epi32(s1, _mm512_loadu_si512(b + i), factor);
        s2 = _mm512_dpbusd_epi32(s2, _mm512_loadu_si512(c + i), factor);
        s3 = _mm512_dpbusd_epi32(s3, _mm512_loadu_si512(d + i), factor);
    }
    add_lanes(s0, s1, s2, s3, out);
}

#define KERNELS preloop_code_vnni
#include "code_template.h"

#pragma clang attribute pop
#endif
