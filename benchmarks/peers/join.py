#!/usr/bin/env python3
"""All pairs of rows above a cosine by blocked matrix products: what `preloop-bench join` is compared with.

usage: join.py --base F [--type f16|f32] [--dim N] [--n N] [--threshold COSINE]
needs: numpy (whose OpenBLAS runs on one thread here)
Prints one JSON line: CPU seconds of the products alone, and with picking the pairs.
"""
import argparse
import json
import os
import time

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
import numpy as np  # noqa: E402

import machine  # noqa: E402

BLOCK = 2048


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", required=True)
    parser.add_argument("--queries", help="ignored; the other programs take it")
    parser.add_argument("--type", choices=("f16", "f32"), default="f16")
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--n", type=int)
    parser.add_argument("--threshold", type=float, default=0.85)
    options = parser.parse_args()
    kind = np.float16 if options.type == "f16" else np.float32
    rows = np.fromfile(options.base, kind).reshape(-1, options.dim).astype(np.float32)[: options.n]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    products, pairs = 0.0, 0
    began = time.process_time()
    for i in range(0, len(rows), BLOCK):
        for j in range(i, len(rows), BLOCK):
            start = time.process_time()
            scores = rows[i:i + BLOCK] @ rows[j:j + BLOCK].T
            products += time.process_time() - start
            near = scores >= options.threshold
            pairs += int(np.triu(near, 1).sum() if i == j else near.sum())
    print(json.dumps({
        "lib": "numpy", "benchmark": "join", **machine.stamp("numpy"),
        "data": os.path.basename(options.base), "n": len(rows), "dim": options.dim,
        "threshold": options.threshold, "pairs": pairs, "sgemm_cpu_s": round(products, 2),
        "cpu_s": round(time.process_time() - began, 2)}))


if __name__ == "__main__":
    main()
