#!/usr/bin/env python3
"""The straightforward pipeline others would write: GitHub by requests, sentence-transformers, hnswlib.

usage: pipeline.py --api URL --repository OWNER/NAME ... --model DIRECTORY [--threads N] [--windows]
needs: pip install requests sentence-transformers hnswlib psutil
(`GITHUB_TOKEN` holds the token, any text for a service that asks for none.)

Reads every issue and comment of the repositories, embeds one text an issue (title and body) and one a comment,
each cut at the model's 256 tokens, and adds them to an HNSW index (M 16, efConstruction 200). Prints one JSON line:
wall and CPU seconds, of which reading, loading the model, encoding and indexing, the peak of resident memory.

What Preloop does besides: it stores all of it with cursors, reads on from there, keeps an index of words and the
pairs of probable duplicates, and embeds long texts to their end. With --windows this embeds as much of each text: the
title alone, and windows of 110 tokens, at most 16 of a body, each behind its title, and 8 of a comment.
"""
import argparse
import json
import os
import resource
import time

parser = argparse.ArgumentParser()
parser.add_argument("--api", required=True, help="base of the REST API, e.g. https://api.github.com")
parser.add_argument("--repository", nargs="+", required=True)
parser.add_argument("--model", required=True)
parser.add_argument("--threads", type=int, default=os.cpu_count())
parser.add_argument("--windows", action="store_true")
options = parser.parse_args()
os.environ.update(OMP_NUM_THREADS=str(options.threads), TOKENIZERS_PARALLELISM="false")

started = time.perf_counter()
import hnswlib  # noqa: E402
import numpy as np  # noqa: E402
import requests  # noqa: E402
import torch  # noqa: E402
from sentence_transformers import SentenceTransformer  # noqa: E402

torch.set_num_threads(options.threads)
model = SentenceTransformer(options.model, device="cpu")
loaded = time.perf_counter()

session = requests.Session()
session.headers["Authorization"] = f"Bearer {os.environ.get('GITHUB_TOKEN', 'none')}"


def pages(path, **query):
    url, query = f"{options.api}{path}", {"per_page": 100, **query}
    while url:
        answer = session.get(url, params=query, timeout=60)
        answer.raise_for_status()
        yield from answer.json()
        url, query = answer.links.get("next", {}).get("url"), None


def windows(text, limit):
    """Pieces of 110 tokens of a text, cut where tokens begin; 13 tokens stand in both of two neighbours."""
    offsets = model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True,
                              truncation=False, verbose=False)["offset_mapping"]
    starts = range(0, max(len(offsets) - OVERLAP, min(len(offsets), 1)), WINDOW - OVERLAP)
    return [text[offsets[start][0]:offsets[min(start + WINDOW, len(offsets)) - 1][1]] for start in starts][:limit]


def texts_of(issue):
    title, body = issue["title"], issue["body"] or ""
    if not options.windows:
        return [f"{title}\n\n{body}"]
    return [title] + [f"{title}\n{window}" for window in windows(body, 16)]


def texts_of_comment(comment):
    body = comment["body"] or ""
    return windows(body, 8) if options.windows else [body]


WINDOW, OVERLAP = 110, 13
texts, issues, comments = [], 0, 0
for repository in options.repository:
    for issue in pages(f"/repos/{repository}/issues", state="all", sort="created", direction="asc"):
        texts += texts_of(issue)
        issues += 1
    for comment in pages(f"/repos/{repository}/issues/comments"):
        texts += texts_of_comment(comment)
        comments += 1
read = time.perf_counter()

# Half a character is none that the tokenizer takes.
texts = [text.encode("utf-8", "replace").decode() for text in texts]
vectors = model.encode(texts, batch_size=32, normalize_embeddings=True, show_progress_bar=False)
encoded = time.perf_counter()

index = hnswlib.Index("ip", vectors.shape[1])
index.init_index(len(vectors), ef_construction=200, M=16)
index.add_items(vectors, np.arange(len(vectors)), num_threads=options.threads)
index.knn_query(vectors[:1], k=10)
ended = time.perf_counter()

usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({
    "peer": "requests + sentence-transformers + hnswlib" + (", windows" if options.windows else ""),
    "benchmark": "pipeline", "issues": issues, "comments": comments, "texts": len(texts),
    "threads": options.threads, "wall_s": round(ended - started, 2),
    "cpu_s": round(usage.ru_utime + usage.ru_stime, 2), "load_s": round(loaded - started, 2),
    "read_s": round(read - loaded, 2), "encode_s": round(encoded - read, 2),
    "index_s": round(ended - encoded, 2), "peak_mb": round(usage.ru_maxrss / 1024),
}))
