#!/usr/bin/env python3
"""Measure peer vector libraries on any set, with the lines of `preloop-bench index|filter|snapshot`.

usage: vectors.py --base F --queries F [--type f16|f32] [--dim N] [--n N]
                  [--lib hnswlib|faiss|faiss_bf16|faiss_sq8|faiss_sq8_refine|usearch_bf16|usearch_i8]
                  [--filter SHARE] [--snapshot] [--ef LIST]     (thirteen settings, as many as ours)
needs: numpy psutil and the peer's own package (hnswlib, faiss-cpu, usearch)

One process per peer, one thread. Queries of one ef are one batched call, so that Python's cost per
call does not count against the peer; p50 and p99 are of 250 single calls. Recall is tie-tolerant: a hit
counts if its exact score is within 1e-6 of the 10th exact score. Rows are normalised.
"""
import argparse
import json
import os
import tempfile
import time

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
import numpy as np
import psutil

import machine

M, EF_CONSTRUCTION, K = 16, 200, 10
# Passes over the queries, of which the best counts; queries timed one by one; saves: as many as of ours.
PASSES, SINGLES, SAVES = 3, 250, 7
PACKAGES = {"hnswlib": "hnswlib", "faiss": "faiss-cpu", "usearch": "usearch"}


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", required=True)
    parser.add_argument("--queries", required=True)
    parser.add_argument("--type", choices=("f16", "f32"), default="f16")
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--n", type=int)
    parser.add_argument("--lib", default="hnswlib")
    parser.add_argument("--filter", type=float, help="share of rows that pass, e.g. 0.01")
    parser.add_argument("--snapshot", action="store_true", help="save and load instead")
    parser.add_argument("--ef", default="10,16,24,32,48,64,96,128,192,256,384,512,768")
    return parser.parse_args()


def rows(path, args):
    kind = np.float16 if args.type == "f16" else np.float32
    values = np.fromfile(path, kind).reshape(-1, args.dim).astype(np.float32)
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    return np.where(np.abs(norms - 1) < 1e-3, values, values / norms)


class HNSWLib:
    def __init__(self, base, allowed):
        import hnswlib
        self.index = hnswlib.Index("ip", base.shape[1])
        self.index.init_index(len(base), ef_construction=EF_CONSTRUCTION, M=M, random_seed=100)
        self.index.set_num_threads(1)
        self.index.add_items(base, np.arange(len(base)), num_threads=1)
        self.passes = None if allowed is None else lambda label: bool(allowed[label])
        self.size = (len(base), base.shape[1])

    def set_ef(self, ef):
        self.index.set_ef(ef)

    def search(self, queries):
        found = self.index.knn_query(queries, k=K, num_threads=1, filter=self.passes)[0]
        return found.astype(np.int64)

    def save(self, path):
        self.index.save_index(path)

    def load(self, path):
        import hnswlib
        self.index = hnswlib.Index("ip", self.size[1])
        self.index.load_index(path, max_elements=self.size[0])
        self.index.set_num_threads(1)


class Faiss:
    def __init__(self, base, allowed, kind):
        import faiss
        faiss.omp_set_num_threads(1)
        self.refined = None
        dim = base.shape[1]
        if kind == "faiss":
            self.graph = faiss.IndexHNSWFlat(dim, M, faiss.METRIC_INNER_PRODUCT)
        else:
            quantiser = faiss.ScalarQuantizer
            code = quantiser.QT_bf16 if kind == "faiss_bf16" else quantiser.QT_8bit
            self.graph = faiss.IndexHNSWSQ(dim, code, M, faiss.METRIC_INNER_PRODUCT)
        self.graph.hnsw.efConstruction = EF_CONSTRUCTION
        self.index = self.graph
        if kind == "faiss_sq8_refine":
            self.index = self.refined = faiss.IndexRefineFlat(self.graph)
        self.index.train(base)
        self.index.add(base)
        self.selector = None
        if allowed is not None:
            self.selector = faiss.IDSelectorBatch(np.flatnonzero(allowed))

    def set_ef(self, ef):
        import faiss
        inner = faiss.SearchParametersHNSW(efSearch=ef, sel=self.selector)
        self.parameters = inner
        if self.refined is not None:
            self.parameters = faiss.IndexRefineSearchParameters(
                k_factor=2, base_index_params=inner)

    def search(self, queries):
        return self.index.search(queries, K, params=self.parameters)[1]

    def save(self, path):
        import faiss
        faiss.write_index(self.index, path)

    def load(self, path):
        import faiss
        self.index = faiss.read_index(path)


class USearch:
    def __init__(self, base, kind):
        import usearch.index
        self.empty = lambda: usearch.index.Index(
            ndim=base.shape[1], metric="cos", dtype=kind, connectivity=M,
            expansion_add=EF_CONSTRUCTION)
        self.index = self.empty()
        self.index.add(np.arange(len(base)), base, threads=1)

    def set_ef(self, ef):
        self.index.expansion_search = ef

    def search(self, queries):
        return self.index.search(queries, K, threads=1).keys.astype(np.int64).reshape(-1, K)

    def save(self, path):
        self.index.save(path)

    def load(self, path):
        self.index = self.empty()
        self.index.load(path)


def build(lib, base, allowed):
    if lib == "hnswlib":
        return HNSWLib(base, allowed)
    if lib.startswith("faiss"):
        return Faiss(base, allowed, lib)
    if allowed is not None:
        raise SystemExit("usearch has no filter in Python")
    return USearch(base, lib.split("_")[1])


def timed(call, clock):
    """Seconds by `clock` that `call` took, and what it returned."""
    start = clock()
    value = call()
    return clock() - start, value


def snapshot(peer, queries, line):
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "index")
        first = timed(lambda: peer.save(path), time.perf_counter)[0]
        saving, loading = [], []
        for _ in range(SAVES):
            saving.append(timed(lambda: peer.save(path), time.perf_counter)[0])
            # The one before is let go first: its end is no part of loading.
            peer.index = None
            loading.append(timed(
                lambda: (peer.load(path), peer.set_ef(96), peer.search(queries[:1])),
                time.perf_counter)[0])
    print(json.dumps(line | {"first_save_s": round(first, 4),
                             "save_s": round(float(np.median(saving)), 4),
                             "save_worst_s": round(max(saving), 4),
                             "load_and_search_s": round(float(np.median(loading)), 4)}))


def main():
    args = arguments()
    base, queries = rows(args.base, args)[: args.n], rows(args.queries, args)
    allowed = None
    scores = queries @ base.T
    if args.filter:
        allowed = np.random.default_rng(1).random(len(base)) < args.filter
        scores = np.where(allowed, scores, -2)
    floor = -np.partition(-scores, K - 1, axis=1)[:, K - 1] - 1e-6
    del scores
    before = psutil.Process().memory_info().rss
    seconds, peer = timed(lambda: build(args.lib, base, allowed), time.process_time)
    grown = psutil.Process().memory_info().rss - before
    line = {
        "lib": args.lib, **machine.stamp(PACKAGES[args.lib.split("_")[0]]),
        "data": os.path.basename(args.base), "n": len(base),
        "dim": args.dim, "m": M, "ef_construction": EF_CONSTRUCTION, "threads": 1,
        "filter": args.filter, "build_cpu_s": round(seconds, 2),
        "bytes_per_vector": round(grown / len(base)),
    }
    if args.snapshot:
        snapshot(peer, queries, line)
        return
    for ef in map(int, args.ef.split(",")):
        peer.set_ef(ef)
        runs = [timed(lambda: peer.search(queries), time.process_time) for _ in range(PASSES)]
        hits = 0
        for row, found in enumerate(runs[0][1]):
            found = np.unique(found[found >= 0])
            if allowed is not None:
                found = found[allowed[found]]
            hits += min(K, int((base[found] @ queries[row] >= floor[row]).sum()))
        took = np.array([timed(lambda: peer.search(q[None]), time.perf_counter)[0]
                         for q in queries[:SINGLES]]) * 1e6
        print(json.dumps(line | {
            "ef": ef, "recall_at_10": round(hits / K / len(queries), 4),
            "queries_per_cpu_s": round(len(queries) / min(seconds for seconds, _ in runs)),
            "p50_us": round(float(np.percentile(took, 50)), 1),
            "p99_us": round(float(np.percentile(took, 99)), 1)}), flush=True)


if __name__ == "__main__":
    main()
