#!/usr/bin/env python3
"""Makes a clustered set of vectors, the same for the same arguments.

usage: synthetic.py --directory D --n N --dim DIM [--queries Q] [--clusters C] [--noise S] [--seed N]
needs: numpy

Centres are drawn from a normal distribution, each row lies near one of them (noise S of the spread of the centres;
clusters have unequal sizes), and its length is anything from 0.5 to 2: both sides of a comparison normalise. Queries
are drawn as the rows are and are not among them. Writes base-NxDIM.f32 and queries-QxDIM.f32, row-major float32.
"""
import argparse
import pathlib

import numpy as np


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--directory", type=pathlib.Path, required=True)
    parser.add_argument("--n", type=int, required=True)
    parser.add_argument("--dim", type=int, required=True)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--clusters", type=int, default=1000)
    parser.add_argument("--noise", type=float, default=0.7)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    centres = random.standard_normal((options.clusters, options.dim), np.float32)
    weights = random.dirichlet(np.ones(options.clusters))
    for name, count in (("base", options.n), ("queries", options.queries)):
        path = options.directory / f"{name}-{count}x{options.dim}.f32"
        with path.open("wb") as file:
            # In pieces: 200,000 rows of 1,536 dimensions would be a gigabyte.
            for start in range(0, count, 10_000):
                size = min(10_000, count - start)
                rows = centres[random.choice(options.clusters, size, p=weights)]
                rows = rows + options.noise * random.standard_normal(rows.shape, np.float32)
                lengths = random.uniform(0.5, 2, (size, 1)).astype(np.float32)
                rows *= lengths / np.linalg.norm(rows, axis=1, keepdims=True)
                rows.astype(np.float32).tofile(file)


if __name__ == "__main__":
    main()
