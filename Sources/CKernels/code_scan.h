// Scans of gathered rows, a part of the template.
//
// What scores well enough is put down in the order in which it comes; how well that is, is found
// out again whenever enough has come together. A list that is kept sorted costs more than the rows
// do where few pass: each entry's place is a chain of loads, and hundreds come that do not stay.

#include <stdlib.h>

/// Entries a scan keeps at least, beyond twice the wanted: `rank` scores so many again. Entries
/// that come together before a scan's floor is raised, at least; entries that are sorted by
/// insertion.
enum { scan_spare = 16, scan_step = 128, few = 64 };

static inline __attribute__((always_inline)) size_t fewest_of(const preloop_code_stop *stop) {
    return 2 * stop->wanted + scan_spare;
}

/// The smallest entry of a score.
static inline __attribute__((always_inline)) uint64_t least_entry(float score) {
    return preloop_code_entry(score, 0x7FFFFFFFu);
}

/// How many entries have at least this score.
static inline __attribute__((always_inline)) size_t reaching(const uint64_t *entries, size_t count,
                                                             float score) {
    uint64_t least = least_entry(score);
    size_t found = 0;
    for (size_t i = 0; i < count; i++) found += entries[i] >= least;
    return found;
}

/// A score that at least `rank` entries reach and, but for a tolerance, no more: by halving, which
/// unlike sorting has nothing to guess wrong. `rank` reach `low`, fewer than that reach `high`.
///
/// Scores of a damaged file may be so great that neighbouring numbers are further apart than the
/// tolerance.
static inline __attribute__((always_inline)) float reached_by(
    const uint64_t *entries, size_t count, size_t rank, float low, float high, float tolerance) {
    while (high - low > tolerance) {
        float middle = 0.5f * (low + high);
        if (middle <= low || middle >= high) break;
        size_t found = reaching(entries, count, middle);
        if (found < rank) {
            high = middle;
        } else {
            low = middle;
            if (found == rank) break;
        }
    }
    return low;
}

static int by_falling(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a < b) - (a > b);
}

/// Puts entries in order, best first.
static void sort_entries(uint64_t *entries, size_t count) {
    if (count > few) {
        qsort(entries, count, sizeof *entries, by_falling);
        return;
    }
    for (size_t i = 1; i < count; i++) {
        uint64_t entry = entries[i];
        size_t place = i;
        for (; place > 0 && entries[place - 1] < entry; place--)
            entries[place] = entries[place - 1];
        entries[place] = entry;
    }
}

/// Drops what is too far behind the `wanted`-th best and not among the fewest to keep, and raises
/// the floor to that. Beyond the capacity, which only crowds of like scores reach, the worst go.
static void cut(preloop_code_walk *best, const preloop_code_stop *stop) {
    uint64_t *entries = best->entries;
    size_t count = best->count, fewest = fewest_of(stop), kept = 0;
    if (count <= fewest) return;
    uint64_t worst = entries[0], first = entries[0];
    for (size_t i = 1; i < count; i++) {
        worst = entries[i] < worst ? entries[i] : worst;
        first = entries[i] > first ? entries[i] : first;
    }
    float low = preloop_code_entry_score(worst);
    // An eighth of the margin more is kept than would have to be.
    float tolerance = stop->margin * 0.125f > 1e-4f ? stop->margin * 0.125f : 1e-4f;
    float high = preloop_code_entry_score(first) + tolerance;
    float floor = reached_by(entries, count, stop->wanted, low, high, tolerance) - stop->margin;
    if (reaching(entries, count, floor) < fewest)
        floor = reached_by(entries, count, fewest, low, floor, tolerance);
    uint64_t least = least_entry(floor);
    for (size_t i = 0; i < count; i++) {
        uint64_t entry = entries[i];
        entries[kept] = entry;
        kept += entry >= least;
    }
    if (kept > best->capacity) {
        sort_entries(entries, kept);
        kept = best->capacity;
        floor = preloop_code_entry_score(entries[kept - 1]);
    }
    best->count = kept;
    best->floor = floor > best->floor ? floor : best->floor;
}

static inline __attribute__((always_inline)) void prefetch_scanned(
    const preloop_code_graph *graph, uint32_t slot, size_t stride) {
    prefetch_row(graph->coarse + slot * (stride / 2), stride / 2);
    __builtin_prefetch(graph->scales + slot, 0, 3);
}

static inline __attribute__((always_inline)) void scan_body(
    const preloop_code_graph *graph, const preloop_code_query *query, const uint32_t *ids,
    size_t count, const preloop_code_stop *stop, preloop_code_walk *best, size_t stride) {
    // Rows are asked for between the products of others: asked for in one go, they are waited for
    // while nothing is computed, because a core has room for a dozen lines on their way.
    enum { block = 64, ahead = 32 };
    uint32_t slots[block + 16];
    float scores[block + 16];
    int32_t dots[block];
    size_t width = stride / 2, fewest = fewest_of(stop);
    size_t step = fewest > scan_step ? fewest : scan_step;
    size_t limit = best->cursor ? best->cursor : step;
    // The lower half of a byte is 7.5 on average, as in `estimate_fetched`.
    int32_t bias = 120 * query->high_sum + (query->high_sum >> 1);
    float scale = query->scale * 65536.0f;
    const uint8_t *rows = graph->coarse;
    for (size_t i = 0; i < count && i < ahead; i++) prefetch_scanned(graph, ids[i], stride);
    for (size_t start = 0; start < count; start += block) {
        size_t size = count - start < block ? count - start : block, last = size - 1;
        memcpy(slots, ids + start, size * 4);
        for (size_t i = 0; i < size; i += 4) {
            size_t next = start + i + ahead, end = next + 4 < count ? next + 4 : count;
            for (; next < end; next++) prefetch_scanned(graph, ids[next], stride);
            dot_coarse(rows + slots[i] * width, rows + slots[i + 1 < size ? i + 1 : last] * width,
                       rows + slots[i + 2 < size ? i + 2 : last] * width,
                       rows + slots[i + 3 < size ? i + 3 : last] * width, query->high, stride,
                       dots + i);
        }
        finish(graph->scales, slots, dots, size, bias, scale, scores);
        size = above(slots, scores, size, best->floor);
        uint64_t *entries = best->entries + best->count;
        for (size_t i = 0; i < size; i++) entries[i] = preloop_code_entry(scores[i], slots[i]);
        best->count += size;
        if (best->count < limit) continue;
        cut(best, stop);
        limit = best->count + step;
    }
    best->cursor = limit;
}

static void scan(const preloop_code_graph *graph, const preloop_code_query *query,
                 const uint32_t *ids, size_t count, const preloop_code_stop *stop,
                 preloop_code_walk *best) {
    if (graph->stride == 384) scan_body(graph, query, ids, count, stop, best, 384);
    else scan_body(graph, query, ids, count, stop, best, graph->stride);
}

static void settle(const preloop_code_stop *stop, preloop_code_walk *best) {
    cut(best, stop);
    sort_entries(best->entries, best->count);
    best->cursor = 0;
}
