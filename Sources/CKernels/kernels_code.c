#include "ckernels_code.h"

#include "ckernels_level.h"
#include "code_kernels.h"

static inline const preloop_code_kernels *kernels_at(int level) {
#if defined(__x86_64__)
    static const preloop_code_kernels *const all[] = {
        &preloop_code_portable, &preloop_code_avx2, &preloop_code_avx512, &preloop_code_vnni,
    };
    int best = preloop_kernels_level();
    return all[level < 0 ? 0 : level < best ? level : best];
#else
    (void)level;
    return &preloop_code_portable;
#endif
}

float preloop_code_quantise(int level, const float *vector, size_t count, size_t stride,
                            int8_t *high, int8_t *low, int32_t *high_sum, int32_t *low_sum) {
    return kernels_at(level)->quantise(vector, count, stride, high, low, high_sum, low_sum);
}

void preloop_code_score(int level, const preloop_code_graph *graph,
                        const preloop_code_query *query, const uint32_t *ids, size_t count,
                        float *scores) {
    kernels_at(level)->score(graph, query, ids, count, scores);
}

void preloop_code_estimate(int level, const preloop_code_graph *graph,
                           const preloop_code_query *query, const uint32_t *ids, size_t count,
                           float *scores) {
    kernels_at(level)->estimate(graph, query, ids, count, scores);
}

void preloop_code_score_fully(int level, const preloop_code_graph *graph,
                              const preloop_code_query *query, const uint32_t *ids, size_t count,
                              float *scores) {
    kernels_at(level)->score_fully(graph, query, ids, count, scores);
}

void preloop_code_load(int level, const preloop_code_graph *graph, uint32_t slot, int8_t *high,
                       int8_t *low, preloop_code_query *query) {
    kernels_at(level)->load(graph, slot, high, low, query);
}

void preloop_code_store(int level, const int8_t *high, const int8_t *low, size_t stride,
                        uint8_t *coarse, uint8_t *middle, uint8_t *rest) {
    kernels_at(level)->store(high, low, stride, coarse, middle, rest);
}

void preloop_code_walk_base(int level, const preloop_code_graph *graph,
                            const preloop_code_query *query, const preloop_code_stop *stop,
                            preloop_code_walk *walk) {
    kernels_at(level)->walk_base(graph, query, stop, walk);
}

void preloop_code_refine(int level, const preloop_code_graph *graph,
                         const preloop_code_query *query, size_t count, preloop_code_walk *walk) {
    kernels_at(level)->refine(graph, query, count < walk->count ? count : walk->count, walk);
}

int preloop_code_walk_filtered(int level, const preloop_code_graph *graph,
                               const preloop_code_query *query, const preloop_code_filter *filter,
                               const preloop_code_stop *stop, size_t budget,
                               preloop_code_walk *walk, preloop_code_walk *results) {
    return kernels_at(level)->walk_filtered(graph, query, filter, stop, budget, walk, results);
}

void preloop_code_scan(int level, const preloop_code_graph *graph,
                       const preloop_code_query *query, const uint32_t *ids, size_t count,
                       const preloop_code_stop *stop, preloop_code_walk *best) {
    kernels_at(level)->scan(graph, query, ids, count, stop, best);
}

void preloop_code_settle(int level, const preloop_code_stop *stop, preloop_code_walk *best) {
    kernels_at(level)->settle(stop, best);
}

size_t preloop_code_passing(int level, const preloop_code_filter *filter, const uint8_t *states,
                            uint32_t first, uint32_t end, uint32_t *ids) {
    return kernels_at(level)->passing(filter, states, first, end, ids);
}

size_t preloop_code_diversify(int level, const preloop_code_graph *graph, const uint64_t *entries,
                              size_t count, size_t wanted, float factor, uint8_t *kept,
                              int8_t *buffer, uint32_t *slots) {
    return kernels_at(level)->diversify(
        graph, entries, count, wanted, factor, kept, buffer, slots);
}

size_t preloop_code_victims(int level, const preloop_code_graph *graph, uint32_t node,
                            const uint32_t *ids, size_t count, uint32_t newcomer, float score,
                            float factor, int all, int8_t *buffer, uint32_t *order) {
    return kernels_at(level)->victims(
        graph, node, ids, count, newcomer, score, factor, all, buffer, order);
}

int preloop_code_have_common(int level, const void *first, const void *second, size_t degree,
                             int narrow, uint32_t other) {
    return kernels_at(level)->have_common(first, second, degree, narrow, other);
}

void preloop_code_unpack(int level, const preloop_code_graph *graph, uint32_t first, uint32_t end,
                         uint8_t *rows) {
    kernels_at(level)->unpack_rows(graph, first, end, rows);
}

size_t preloop_code_near_pairs(int level, const preloop_code_graph *graph, const uint8_t *rows,
                               uint32_t first, uint32_t end, uint32_t slot, size_t count,
                               float floor, int8_t *buffer, uint32_t *lefts, uint32_t *rights) {
    return kernels_at(level)->near_pairs(
        graph, rows, first, end, slot, count, floor, buffer, lefts, rights);
}

size_t preloop_code_offer(preloop_code_walk *walk, uint64_t entry) {
    return preloop_code_portable.offer(walk, entry);
}
