// Filtered search by hnswlib in C++, where the filter costs what it costs its users there: the Python package calls
// Python for every row it meets.
//
// usage: hnswlib_filter BASE.f32 QUERIES.f32 DIM SHARE,SHARE… EF…
// build: g++ -O3 -march=native -std=c++17 -I HNSWLIB hnswlib_filter.cpp -o hnswlib_filter   (HNSWLIB has hnswlib/hnswlib.h)
//
// Files hold rows of float32 of length 1. Of the rows a share passes, drawn with a seed; the graph is built once, as
// ours is. For each share prints one JSON line an EF, and one of hnswlib's exact scan of the rows that pass; one thread,
// CPU seconds, best of three. Who runs it adds machine, data set and hnswlib's version (scripts/lib/bench.py).
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <functional>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "hnswlib/hnswlib.h"

namespace {

constexpr size_t kWanted = 10, kM = 16, kConstruction = 200;

struct Rows {
    std::vector<float> values;
    size_t dim;
    size_t count() const { return values.size() / dim; }
    const float* operator[](size_t row) const { return values.data() + row * dim; }
};

Rows read(const char* path, size_t dim) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    if (!file) std::exit((std::perror(path), 1));
    Rows rows{std::vector<float>(size_t(file.tellg()) / 4), dim};
    file.seekg(0);
    file.read(reinterpret_cast<char*>(rows.values.data()), std::streamsize(rows.values.size() * 4));
    return rows;
}

struct Passing : hnswlib::BaseFilterFunctor {
    std::vector<bool> rows;
    bool operator()(hnswlib::labeltype label) override { return rows[label]; }
};

double seconds() {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return double(now.tv_sec) + double(now.tv_nsec) / 1e9;
}

double score(const float* a, const float* b, size_t dim) {
    double sum = 0;
    for (size_t i = 0; i < dim; i++) sum += double(a[i]) * double(b[i]);
    return sum;
}

template <typename Search>
void measure(const Rows& base, const Rows& queries, const std::vector<double>& floors, double share, int ef,
             const char* how, Search search) {
    double best = 1e30;
    size_t hits = 0;
    for (int run = 0; run < 3; run++) {
        std::vector<std::vector<size_t>> found(queries.count());
        const double start = seconds();
        for (size_t q = 0; q < queries.count(); q++) found[q] = search(queries[q]);
        best = std::min(best, seconds() - start);
        hits = 0;
        for (size_t q = 0; q < queries.count(); q++)
            for (size_t row : found[q]) hits += score(queries[q], base[row], base.dim) >= floors[q];
    }
    std::printf("{\"lib\":\"hnswlib\",\"benchmark\":\"filter\",\"language\":\"C++\",\"how\":\"%s\",\"n\":%zu,\"dim\":%zu,"
                "\"filter\":%g,\"ef\":%d,\"recall_at_10\":%.4f,\"queries_per_cpu_s\":%.0f,\"unix_time\":%ld}\n",
                how, base.count(), base.dim, share, ef, double(hits) / double(kWanted * queries.count()),
                double(queries.count()) / best, long(std::time(nullptr)));
    std::fflush(stdout);
}

std::vector<double> floors_of(const Rows& base, const Rows& queries, const Passing& passing) {
    std::vector<double> floors;
    for (size_t q = 0; q < queries.count(); q++) {
        std::vector<double> scores;
        for (size_t row = 0; row < base.count(); row++)
            if (passing.rows[row]) scores.push_back(score(queries[q], base[row], base.dim));
        std::nth_element(scores.begin(), scores.begin() + kWanted - 1, scores.end(), std::greater<>());
        floors.push_back(scores[kWanted - 1] - 1e-6);
    }
    return floors;
}

std::vector<double> shares_of(const char* text) {
    std::vector<double> shares;
    std::stringstream stream{std::string(text)};
    for (std::string part; std::getline(stream, part, ',');) shares.push_back(std::atof(part.c_str()));
    return shares;
}

}  // namespace

int main(int count, char** arguments) {
    if (count < 6) return std::fprintf(stderr, "usage: hnswlib_filter BASE.f32 QUERIES.f32 DIM SHARE,... EF...\n"), 64;
    const size_t dim = size_t(std::atoi(arguments[3]));
    const Rows base = read(arguments[1], dim), queries = read(arguments[2], dim);
    hnswlib::InnerProductSpace space(dim);
    hnswlib::HierarchicalNSW<float> graph(&space, base.count(), kM, kConstruction);
    for (size_t row = 0; row < base.count(); row++) graph.addPoint(base[row], row);
    auto labels = [](auto queue) {
        std::vector<size_t> rows;
        for (; !queue.empty(); queue.pop()) rows.push_back(queue.top().second);
        return rows;
    };
    for (const double share : shares_of(arguments[4])) {
        Passing passing;
        std::mt19937_64 random(1);
        hnswlib::BruteforceSearch<float> scan(&space, base.count());
        for (size_t row = 0; row < base.count(); row++) {
            passing.rows.push_back(std::uniform_real_distribution<>()(random) < share);
            if (passing.rows[row]) scan.addPoint(base[row], row);
        }
        const std::vector<double> floors = floors_of(base, queries, passing);
        measure(base, queries, floors, share, 0, "exact scan of the rows that pass",
                [&](const float* query) { return labels(scan.searchKnn(query, kWanted)); });
        for (int i = 5; i < count; i++) {
            const int ef = std::atoi(arguments[i]);
            graph.setEf(size_t(ef));
            measure(base, queries, floors, share, ef, "filtered search",
                    [&](const float* query) { return labels(graph.searchKnn(query, kWanted, &passing)); });
        }
    }
}
