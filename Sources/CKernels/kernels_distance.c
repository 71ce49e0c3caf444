#include "ckernels_distance.h"

// Inner products over float32, one kernel per instruction set, chosen once at load time.
//
// Sixteen partial sums everywhere: the compiler may then use any vector width without being allowed
// to reorder floating-point sums, and rounding differs between kernels by no more than the order of
// additions.

typedef float (*dot_kernel)(const float *, const float *, size_t);

static float dot_portable(const float *a, const float *b, size_t count) {
    float sums[16] = {0};
    size_t i = 0;
    for (; i + 16 <= count; i += 16)
        for (size_t lane = 0; lane < 16; lane++) sums[lane] += a[i + lane] * b[i + lane];
    for (size_t lane = 0; i < count; i++, lane++) sums[lane] += a[i] * b[i];
    for (size_t width = 8; width > 0; width /= 2)
        for (size_t lane = 0; lane < width; lane++) sums[lane] += sums[lane + width];
    return sums[0];
}

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx2,fma")))
static float dot_avx2(const float *a, const float *b, size_t count) {
    __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;
    for (; i + 32 <= count; i += 32) {
        s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), s0);
        s1 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8), s1);
        s2 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 16), _mm256_loadu_ps(b + i + 16), s2);
        s3 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 24), _mm256_loadu_ps(b + i + 24), s3);
    }
    for (; i + 8 <= count; i += 8)
        s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), s0);
    s0 = _mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3));
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(s0), _mm256_extractf128_ps(s0, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    half = _mm_add_ss(half, _mm_movehdup_ps(half));
    float sum = _mm_cvtss_f32(half);
    for (; i < count; i++) sum += a[i] * b[i];
    return sum;
}

__attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,fma")))
static float dot_avx512(const float *a, const float *b, size_t count) {
    __m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;
    for (; i + 64 <= count; i += 64) {
        s0 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i), s0);
        s1 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 16), _mm512_loadu_ps(b + i + 16), s1);
        s2 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 32), _mm512_loadu_ps(b + i + 32), s2);
        s3 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 48), _mm512_loadu_ps(b + i + 48), s3);
    }
    for (; i + 16 <= count; i += 16)
        s0 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i), s0);
    if (i < count) {
        __mmask16 tail = (__mmask16)((1u << (count - i)) - 1);
        s1 = _mm512_fmadd_ps(
            _mm512_maskz_loadu_ps(tail, a + i), _mm512_maskz_loadu_ps(tail, b + i), s1);
    }
    return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(s0, s1), _mm512_add_ps(s2, s3)));
}

static int best_level = PRELOOP_DISTANCE_PORTABLE;
static dot_kernel best_dot = dot_portable;

__attribute__((constructor)) static void choose_kernels(void) {
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        best_level = PRELOOP_DISTANCE_AVX2;
        best_dot = dot_avx2;
    } else {
        return;
    }
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")
        && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")) {
        best_level = PRELOOP_DISTANCE_AVX512;
        best_dot = dot_avx512;
    }
}

static dot_kernel kernel_at(int level) {
    if (level >= best_level) return best_dot;
    return level == PRELOOP_DISTANCE_AVX2 ? dot_avx2 : dot_portable;
}
#else
enum { best_level = PRELOOP_DISTANCE_PORTABLE };
static const dot_kernel best_dot = dot_portable;
static dot_kernel kernel_at(int level) { (void)level; return dot_portable; }
#endif

int preloop_distance_level(void) { return best_level; }

float preloop_dot_f32(const float *a, const float *b, size_t count) {
    return best_dot(a, b, count);
}

float preloop_dot_f32_at(int level, const float *a, const float *b, size_t count) {
    return kernel_at(level)(a, b, count);
}

// A row of 384 floats is 24 cache lines and lies anywhere in tens of megabytes: without asking for
// it early, each row costs a memory latency per hardware-prefetch stream.
static inline void prefetch_row(const float *row, size_t count) {
    for (size_t i = 0; i < count; i += 16) __builtin_prefetch(row + i, 0, 3);
}

void preloop_dot_gathered_f32(const float *query, const float *rows, size_t stride, size_t count,
                               const uint32_t *ids, size_t row_count, float *out) {
    enum { ahead = 2 };
    for (size_t i = 0; i < ahead && i < row_count; i++) prefetch_row(rows + ids[i] * stride, count);
    for (size_t i = 0; i < row_count; i++) {
        if (i + ahead < row_count) prefetch_row(rows + ids[i + ahead] * stride, count);
        out[i] = best_dot(query, rows + ids[i] * stride, count);
    }
}

void preloop_dot_rows_f32(const float *query, const float *rows, size_t stride, size_t count,
                           size_t row_count, float *out) {
    for (size_t i = 0; i < row_count; i++) out[i] = best_dot(query, rows + i * stride, count);
}
