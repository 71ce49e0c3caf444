// The kernels of ckernels_code.h for one set of instructions. The including file defines KERNELS,
// the dot products `dot_bytes` (of a plane of bytes), `dot_one` and `dot_four` (of high bytes, from
// their two planes), `dot_coarse` (of four rows of upper halves), and `finish`, `unvisited_of` and
// `above`.

#include <math.h>
#include <string.h>

#pragma STDC FP_CONTRACT OFF

/// Rows asked for ahead of the one being read; nodes of a walk followed at a time: two, so that
/// their rows are waited for once, and hardly any is followed that one at a time would have left
/// out.
enum { lookahead = 8, followed_at_once = 2 };

static inline __attribute__((always_inline)) void prefetch_row(const uint8_t *row, size_t stride) {
    for (size_t i = 0; i < stride; i += 64) __builtin_prefetch(row + i, 0, 3);
}

static float quantise(const float *vector, size_t count, size_t stride, int8_t *high, int8_t *low,
                      int32_t *high_sum, int32_t *low_sum) {
    // Largest magnitude by integer comparison, which vectorises and is the same on every machine.
    int32_t largest = 1;
    for (size_t i = 0; i < count; i++) {
        union { float value; int32_t bits; } number = {vector[i]};
        int32_t magnitude = number.bits & 0x7FFFFFFF;
        largest = magnitude > largest ? magnitude : largest;
    }
    union { int32_t bits; float value; } limit = {largest};
    float factor = 32639.0f / limit.value;
    int64_t squares = 0;
    int32_t high_total = 0, low_total = 0;
    for (size_t i = 0; i < count; i++) {
        // Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the low bits.
        union { float value; int32_t bits; } number = {vector[i] * factor + 12582912.0f};
        int32_t value = number.bits - 0x4B400000;
        int32_t upper = (value + 128) >> 8, lower = value - upper * 256;
        high[i] = (int8_t)upper;
        low[i] = (int8_t)lower;
        high_total += upper;
        low_total += lower;
        squares += (int64_t)(value * value);
    }
    memset(high + count, 0, stride - count);
    memset(low + count, 0, stride - count);
    *high_sum = high_total;
    *low_sum = low_total;
    return (float)(1.0 / sqrt((double)squares));
}

static inline __attribute__((always_inline)) void prefetch_high(const preloop_code_graph *graph,
                                                                uint32_t slot, size_t stride) {
    prefetch_row(graph->coarse + slot * (stride / 2), stride / 2);
    prefetch_row(graph->middle + slot * (stride / 2), stride / 2);
}

/// The sums of four gathered rows of high bytes.
static inline __attribute__((always_inline)) void dot_gathered(
    const preloop_code_graph *graph, const int8_t *query, const uint32_t *ids, size_t stride,
    int32_t *dots) {
    four_rows rows;
    for (size_t j = 0; j < 4; j++) {
        rows.coarse[j] = graph->coarse + ids[j] * (stride / 2);
        rows.middle[j] = graph->middle + ids[j] * (stride / 2);
    }
    dot_four(&rows, query, stride, dots);
}

static inline __attribute__((always_inline)) void score_body(
    const preloop_code_graph *graph, const preloop_code_query *query, const uint32_t *ids,
    size_t count, float *scores, size_t stride) {
    int32_t bias = 128 * query->high_sum;
    float scale = query->scale * 65536.0f;
    size_t warm = count < lookahead ? count : lookahead;
    for (size_t i = 0; i < warm; i++) prefetch_high(graph, ids[i], stride);
    for (size_t i = 0; i < count; i += 4) {
        for (size_t j = i + lookahead; j < i + lookahead + 4 && j < count; j++)
            prefetch_high(graph, ids[j], stride);
        // The last row is read again where fewer than four are left.
        uint32_t four[4];
        int32_t dots[4];
        for (size_t j = 0; j < 4; j++) four[j] = ids[i + j < count ? i + j : count - 1];
        dot_gathered(graph, query->high, four, stride, dots);
        for (size_t j = 0; j < 4 && i + j < count; j++)
            scores[i + j] = (float)(dots[j] - bias) * graph->scales[four[j]] * scale;
    }
}

static void score(const preloop_code_graph *graph, const preloop_code_query *query,
                  const uint32_t *ids, size_t count, float *scores) {
    // The usual dimension of sentence models gets a loop of known length: the query stays in
    // registers.
    if (graph->stride == 384) score_body(graph, query, ids, count, scores, 384);
    else score_body(graph, query, ids, count, scores, graph->stride);
}

/// Estimates of gathered rows that have been asked for, at most `at_once`.
enum { at_once = 256 };
static inline __attribute__((always_inline)) void estimate_fetched(
    const preloop_code_graph *graph, const preloop_code_query *query, const uint32_t *ids,
    size_t count, float *scores, size_t stride) {
    int32_t dots[at_once];
    size_t width = stride / 2, last = count - 1;
    for (size_t i = 0; i < count; i += 4) {
        const uint8_t *rows = graph->coarse;
        dot_coarse(rows + ids[i] * width, rows + ids[i + 1 < count ? i + 1 : last] * width,
                   rows + ids[i + 2 < count ? i + 2 : last] * width,
                   rows + ids[i + 3 < count ? i + 3 : last] * width, query->high, stride, dots + i);
    }
    // The lower half of a byte is 7.5 on average: 16 * upper + 7.5 - 128.
    int32_t bias = 120 * query->high_sum + (query->high_sum >> 1);
    finish(graph->scales, ids, dots, count, bias, query->scale * 65536.0f, scores);
}

static inline __attribute__((always_inline)) void estimate_body(
    const preloop_code_graph *graph, const preloop_code_query *query, const uint32_t *ids,
    size_t count, float *scores, size_t stride) {
    for (size_t start = 0; start < count; start += at_once) {
        size_t size = count - start < at_once ? count - start : at_once;
        for (size_t i = 0; i < size; i++)
            prefetch_row(graph->coarse + ids[start + i] * (stride / 2), stride / 2);
        estimate_fetched(graph, query, ids + start, size, scores + start, stride);
    }
}

static void estimate(const preloop_code_graph *graph, const preloop_code_query *query,
                     const uint32_t *ids, size_t count, float *scores) {
    if (graph->stride == 384) estimate_body(graph, query, ids, count, scores, 384);
    else estimate_body(graph, query, ids, count, scores, graph->stride);
}

static void score_fully(const preloop_code_graph *graph, const preloop_code_query *query,
                        const uint32_t *ids, size_t count, float *scores) {
    size_t stride = graph->stride, width = stride / 2;
    for (size_t i = 0; i < count && i < lookahead; i++) {
        prefetch_row(graph->low + ids[i] * stride, stride);
        prefetch_high(graph, ids[i], stride);
    }
    int32_t high_bias = 128 * query->high_sum, low_bias = 128 * query->low_sum;
    for (size_t i = 0; i < count; i++) {
        if (i + lookahead < count) {
            prefetch_row(graph->low + ids[i + lookahead] * stride, stride);
            prefetch_high(graph, ids[i + lookahead], stride);
        }
        const uint8_t *coarse = graph->coarse + ids[i] * width;
        const uint8_t *middle = graph->middle + ids[i] * width;
        const uint8_t *low = graph->low + ids[i] * stride;
        int64_t upper = dot_one(coarse, middle, query->high, stride) - high_bias;
        int64_t crossed = (int64_t)dot_one(coarse, middle, query->low, stride) - low_bias
            + dot_bytes(low, query->high, stride) - high_bias;
        int64_t lower = dot_bytes(low, query->low, stride) - low_bias;
        double sum = (double)(upper * 65536 + crossed * 256 + lower);
        scores[i] = (float)(sum * graph->scales[ids[i]] * query->scale);
    }
}

/// High bytes plus 128 of a row, from the two planes of their halves.
static inline __attribute__((always_inline)) void unpack(const uint8_t *coarse,
                                                         const uint8_t *middle, size_t stride,
                                                         uint8_t *bytes) {
    for (size_t block = 0; block < stride / 128; block++)
        for (size_t i = 0; i < 64; i++) {
            uint8_t upper = coarse[block * 64 + i], lower = middle[block * 64 + i];
            bytes[block * 128 + i] = (uint8_t)(upper << 4) | (lower & 15);
            bytes[block * 128 + 64 + i] = (upper & 0xF0) | lower >> 4;
        }
}

#ifndef HAS_UNPACKED_SUM
/// Unpacks high bytes without the 128 that are stored more, and returns the sum of those stored.
static inline __attribute__((always_inline)) int32_t unpack_signed(const uint8_t *coarse,
                                                                   const uint8_t *middle,
                                                                   size_t stride, int8_t *high) {
    uint8_t *bytes = (uint8_t *)high;
    unpack(coarse, middle, stride, bytes);
    int32_t sum = 0;
    for (size_t i = 0; i < stride; i++) {
        sum += bytes[i];
        bytes[i] ^= 0x80;
    }
    return sum;
}
#endif

static inline __attribute__((always_inline)) void load(const preloop_code_graph *graph,
                                                       uint32_t slot, int8_t *high, int8_t *low,
                                                       preloop_code_query *query, size_t stride) {
    size_t width = stride / 2;
    int32_t sum =
        unpack_signed(graph->coarse + slot * width, graph->middle + slot * width, stride, high);
    query->high = high;
    query->high_sum = sum - (int32_t)(128 * stride);
    query->low = low;
    query->low_sum = 0;
    query->scale = graph->scales[slot];
    if (!low) return;
    const uint8_t *rest = graph->low + slot * stride;
    sum = 0;
    for (size_t i = 0; i < stride; i++) {
        low[i] = (int8_t)(rest[i] ^ 0x80);
        sum += rest[i];
    }
    query->low_sum = sum - (int32_t)(128 * stride);
}

static void load_row(const preloop_code_graph *graph, uint32_t slot, int8_t *high, int8_t *low,
                     preloop_code_query *query) {
    load(graph, slot, high, low, query, graph->stride);
}

static void store(const int8_t *high, const int8_t *low, size_t stride, uint8_t *coarse,
                  uint8_t *middle, uint8_t *rest) {
    for (size_t block = 0; block < stride / 128; block++)
        for (size_t i = 0; i < 64; i++) {
            uint8_t first = (uint8_t)high[block * 128 + i] ^ 0x80;
            uint8_t second = (uint8_t)high[block * 128 + 64 + i] ^ 0x80;
            coarse[block * 64 + i] = first >> 4 | (second & 0xF0);
            middle[block * 64 + i] = (first & 15) | (uint8_t)(second << 4);
        }
    for (size_t i = 0; i < stride; i++) rest[i] = (uint8_t)low[i] ^ 0x80;
}

static inline __attribute__((always_inline)) size_t place_of(const uint64_t *entries, size_t count,
                                                             uint64_t entry) {
    // Branchless: the number of entries before it, by halving.
    size_t low = 0;
    while (count > 0) {
        size_t half = count / 2;
        int isBefore = entries[low + half] > entry;
        low = isBefore ? low + half + 1 : low;
        count = isBefore ? count - half - 1 : half;
    }
    return low;
}

static inline __attribute__((always_inline)) size_t offer(preloop_code_walk *walk,
                                                          uint64_t entry) {
    size_t count = walk->count;
    if (count == walk->capacity) {
        if (entry <= walk->entries[count - 1]) return count;
        count--;
    }
    size_t place = place_of(walk->entries, count, entry);
    memmove(walk->entries + place + 1, walk->entries + place, (count - place) * 8);
    walk->entries[place] = entry;
    walk->count = count + 1;
    if (place < walk->cursor) walk->cursor = place;
    return place;
}

/// Score below which nothing is worth following: set by the `wanted`-th best so far.
static inline __attribute__((always_inline)) float bound_of(const preloop_code_walk *results,
                                                            const preloop_code_stop *stop) {
    if (stop->reach == 0 || results->count < stop->wanted) return stop->floor;
    float last = preloop_code_entry_score(results->entries[stop->wanted - 1]);
    float gap = 1 - last;
    gap = gap > 0 ? gap : 0;
    float reached = stop->reach * gap;
    float bound = 1 - reached;
    return bound > stop->floor ? bound : stop->floor;
}

/// Takes the best entries that have not been followed and reach the bound, a few at a time, and
/// asks for the rows of their unvisited links, which are left in `walk->ids`. Returns how many
/// entries were taken.
static inline __attribute__((always_inline)) size_t follow(
    const preloop_code_graph *graph, preloop_code_walk *walk, float bound, size_t *count,
    size_t stride) {
    size_t taken = 0;
    *count = 0;
    while (taken < followed_at_once) {
        while (walk->cursor < walk->count && !(walk->entries[walk->cursor] & 1)) walk->cursor++;
        if (walk->cursor >= walk->count) break;
        uint64_t entry = walk->entries[walk->cursor];
        if (preloop_code_entry_score(entry) < bound) break;
        walk->entries[walk->cursor++] = entry & ~(uint64_t)1;
        taken++;
        uint32_t *ids = walk->ids + *count;
        size_t fresh = unvisited_of(graph, preloop_code_entry_slot(entry), walk->visited, ids);
        for (size_t i = 0; i < fresh; i++)
            prefetch_row(graph->coarse + ids[i] * (stride / 2), stride / 2);
        *count += fresh;
    }
    return taken;
}

/// The score that a newly found node must exceed to be of use.
static inline __attribute__((always_inline)) float threshold_of(const preloop_code_walk *walk,
                                                                float bound) {
    if (walk->count < walk->capacity) return bound;
    float worst = preloop_code_entry_score(walk->entries[walk->count - 1]);
    return worst > bound ? worst : bound;
}

static inline __attribute__((always_inline)) void walk_body(
    const preloop_code_graph *graph, const preloop_code_query *query,
    const preloop_code_stop *stop, preloop_code_walk *shared, size_t stride) {
    preloop_code_walk walk = *shared;
    float bound = bound_of(&walk, stop);
    size_t count;
    while (follow(graph, &walk, bound, &count, stride)) {
        if (count == 0) continue;
        estimate_fetched(graph, query, walk.ids, count, walk.scores, stride);
        walk.scored += count;
        count = above(walk.ids, walk.scores, count, threshold_of(&walk, bound));
        for (size_t i = 0; i < count; i++) {
            preloop_code_prefetch_links(graph, walk.ids[i]);
            offer(&walk, preloop_code_entry(walk.scores[i], walk.ids[i]));
        }
        bound = bound_of(&walk, stop);
    }
    *shared = walk;
}

static void walk_base(const preloop_code_graph *graph, const preloop_code_query *query,
                      const preloop_code_stop *stop, preloop_code_walk *walk) {
    if (graph->stride == 384) walk_body(graph, query, stop, walk, 384);
    else walk_body(graph, query, stop, walk, graph->stride);
}

static void refine(const preloop_code_graph *graph, const preloop_code_query *query, size_t count,
                   preloop_code_walk *walk) {
    enum { block = 64 };
    uint32_t ids[block];
    float scores[block];
    uint64_t *entries = walk->entries;
    for (size_t start = 0; start < count; start += block) {
        size_t size = count - start < block ? count - start : block;
        for (size_t i = 0; i < size; i++) ids[i] = preloop_code_entry_slot(entries[start + i]);
        score(graph, query, ids, size, scores);
        for (size_t i = 0; i < size; i++) {
            // By insertion: estimates leave little to be moved.
            uint64_t entry = preloop_code_entry(scores[i], ids[i]);
            size_t place = start + i;
            for (; place > 0 && entries[place - 1] < entry; place--)
                entries[place] = entries[place - 1];
            entries[place] = entry;
        }
    }
    walk->count = count;
    walk->cursor = 0;
}

static inline __attribute__((always_inline)) int passes(const preloop_code_filter *filter,
                                                        uint32_t slot) {
    int64_t key = filter->keys[slot];
    if (filter->words) {
        uint64_t offset = (uint64_t)key - (uint64_t)filter->first;
        if (key < filter->first || offset / 64 >= filter->word_count) return 0;
        return (int)(filter->words[offset / 64] >> (offset % 64) & 1);
    }
    size_t low = 0, count = filter->sorted_count;
    while (count > 0) {
        size_t half = count / 2;
        if (filter->sorted[low + half] < key) low += half + 1, count -= half + 1;
        else count = half;
    }
    return low < filter->sorted_count && filter->sorted[low] == key;
}

static int walk_filtered(const preloop_code_graph *graph, const preloop_code_query *query,
                         const preloop_code_filter *filter, const preloop_code_stop *stop,
                         size_t budget, preloop_code_walk *walk, preloop_code_walk *results) {
    for (size_t i = 0; i < walk->count; i++)
        if (passes(filter, preloop_code_entry_slot(walk->entries[i])))
            offer(results, walk->entries[i]);
    for (;;) {
        float threshold = threshold_of(results, bound_of(results, stop));
        size_t count, stride = graph->stride;
        if (follow(graph, walk, threshold, &count, stride) == 0)
            return walk->cursor < walk->count || walk->count < walk->capacity;
        if (count == 0) continue;
        estimate_fetched(graph, query, walk->ids, count, walk->scores, stride);
        walk->scored += count;
        count = above(walk->ids, walk->scores, count, threshold);
        for (size_t i = 0; i < count; i++) {
            uint64_t found = preloop_code_entry(walk->scores[i], walk->ids[i]);
            preloop_code_prefetch_links(graph, walk->ids[i]);
            offer(walk, found);
            if (passes(filter, walk->ids[i])) offer(results, found);
        }
        if (walk->scored > budget) return 0;
    }
}

static size_t passing(const preloop_code_filter *filter, const uint8_t *states, uint32_t first,
                      uint32_t end, uint32_t *ids) {
    size_t count = 0;
    if (filter && filter->words) {
        // Branchless, for selectivities around one half.
        int64_t low = filter->first;
        uint64_t span = filter->word_count * 64;
        for (uint32_t slot = first; slot < end; slot++) {
            uint64_t offset = (uint64_t)filter->keys[slot] - (uint64_t)low;
            uint64_t inside = offset < span;
            uint64_t word = filter->words[inside ? offset / 64 : 0];
            ids[count] = slot;
            count += (word >> (offset % 64)) & inside & (states[slot] >> 7);
        }
        return count;
    }
    for (uint32_t slot = first; slot < end; slot++) {
        ids[count] = slot;
        count += states[slot] >> 7 && (!filter || passes(filter, slot));
    }
    return count;
}

/// Whether `query`, a candidate with this score, is as near to one of `slots` as to its node.
static inline __attribute__((always_inline)) int is_dominated(
    const preloop_code_graph *graph, const preloop_code_query *query, float limit,
    const uint32_t *slots, size_t count, size_t stride) {
    int32_t bias = 128 * query->high_sum;
    float scale = query->scale * 65536.0f;
    for (size_t i = 0; i < count; i += 4) {
        int32_t dots[4];
        dot_gathered(graph, query->high, slots + i, stride, dots);
        for (size_t j = 0; j < 4; j++)
            if ((float)(dots[j] - bias) * graph->scales[slots[i + j]] * scale >= limit) return 1;
    }
    return 0;
}

static inline __attribute__((always_inline)) size_t diversify_body(
    const preloop_code_graph *graph, const uint64_t *entries, size_t count, size_t wanted,
    float factor, uint8_t *kept, int8_t *buffer, uint32_t *slots, size_t stride) {
    size_t chosen = 0, rank = 0;
    for (; rank < count && chosen < wanted; rank++) {
        uint32_t slot = preloop_code_entry_slot(entries[rank]);
        if (rank + 2 < count)
            prefetch_high(graph, preloop_code_entry_slot(entries[rank + 2]), stride);
        preloop_code_query query;
        load(graph, slot, buffer, 0, &query, stride);
        // In squared distances: d(other) * factor <= d(node).
        float distance = 1 - preloop_code_entry_score(entries[rank]);
        float limit = 1 - distance / factor;
        kept[rank] = !is_dominated(graph, &query, limit, slots, chosen, stride);
        if (!kept[rank]) continue;
        // The last chosen is repeated, so that four may be read at once.
        slots[chosen] = slots[chosen + 1] = slots[chosen + 2] = slots[chosen + 3] = slot;
        chosen++;
    }
    return rank;
}

static size_t diversify(const preloop_code_graph *graph, const uint64_t *entries, size_t count,
                        size_t wanted, float factor, uint8_t *kept, int8_t *buffer,
                        uint32_t *slots) {
    if (graph->stride == 384)
        return diversify_body(graph, entries, count, wanted, factor, kept, buffer, slots, 384);
    return diversify_body(
        graph, entries, count, wanted, factor, kept, buffer, slots, graph->stride);
}

static size_t victims(const preloop_code_graph *graph, uint32_t node, const uint32_t *ids,
                      size_t count, uint32_t newcomer, float near, float factor, int all,
                      int8_t *buffer, uint32_t *order) {
    enum { most = 128 };
    float scores[most];
    uint64_t entries[most + 1];
    uint8_t kept[most + 1];
    uint32_t slots[most + 5];
    preloop_code_query query;
    load(graph, node, buffer, 0, &query, graph->stride);
    score(graph, &query, ids, count, scores);
    entries[0] = preloop_code_entry(near, newcomer);
    for (size_t i = 0; i < count; i++) {
        uint64_t entry = preloop_code_entry(scores[i], ids[i]);
        size_t place = i + 1;
        for (; place > 0 && entries[place - 1] < entry; place--)
            entries[place] = entries[place - 1];
        entries[place] = entry;
    }
    count++;
    diversify(graph, entries, count, count, factor, kept, buffer, slots);
    size_t written = 0;
    for (int wanted = 0; wanted < 2; wanted++)
        for (size_t i = count; i-- > 0;) {
            if (kept[i] != wanted) continue;
            order[written++] = preloop_code_entry_slot(entries[i]);
            if (order[written - 1] == newcomer && !all) return written;
        }
    return written;
}

static size_t links_of(const void *places, size_t degree, int narrow, uint32_t *links) {
    size_t count = 0;
    for (size_t i = 0; i < degree; i++) {
        uint32_t link = narrow ? ((const uint16_t *)places)[i] : ((const uint32_t *)places)[i];
        links[i] = link;
        count += link != (narrow ? 0xFFFFu : 0xFFFFFFFFu);
    }
    return count;
}

static int have_common(const void *first, const void *second, size_t degree, int narrow,
                       uint32_t other) {
#ifdef HAS_COMMON_NARROW
    if (narrow) return common_narrow(first, second, degree, other);
#endif
    uint32_t left[128], right[128], common = 0;
    size_t left_count = links_of(first, degree, narrow, left);
    size_t right_count = links_of(second, degree, narrow, right);
    for (size_t i = 0; i < left_count; i++) {
        common |= left[i] == other;
        for (size_t j = 0; j < right_count; j++) common |= left[i] == right[j];
    }
    return common != 0;
}

#include "code_pairs.h"
#include "code_scan.h"

const preloop_code_kernels KERNELS = {
    quantise,      score, estimate, score_fully, load_row, store,       walk_base,        refine,
    walk_filtered, scan,  passing,  diversify,   victims, have_common,
    unpack_rows,   near_pairs, offer, settle,
};
