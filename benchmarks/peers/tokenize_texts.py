#!/usr/bin/env python3
"""Bytes per CPU second of PyPI's tokenizers (Rust) on one thread.

usage: tokenize_texts.py MODEL-DIRECTORY TEXTS.jsonl

TEXTS has one object with `text` a line. Both ways to call it are timed, text by text and as one batch, and the
better one counts, of three passes each. Prints one JSON line.
"""

import json
import os
import sys
import time

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
from tokenizers import BertWordPieceTokenizer

import machine


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    tokenizer = BertWordPieceTokenizer(sys.argv[1] + "/vocab.txt", lowercase=True)
    with open(sys.argv[2]) as file:
        texts = [json.loads(line)["text"] for line in file]
    # Half of a surrogate pair has no UTF-8.
    texts = [text for text in texts if not any("\ud800" <= character <= "\udfff" for character in text)]
    size = sum(len(text.encode()) for text in texts)
    # The call without offsets is the fastest there is, where the version has it.
    inner = tokenizer._tokenizer
    batch = getattr(inner, "encode_batch_fast", inner.encode_batch)
    best, tokens = float("inf"), 0
    for _ in range(3):
        start = time.process_time()
        tokens = sum(len(inner.encode(text).ids) for text in texts)
        best = min(best, time.process_time() - start)
        start = time.process_time()
        batch(texts)
        best = min(best, time.process_time() - start)
    times = []
    for text in texts:
        start = time.perf_counter()
        inner.encode(text)
        times.append((time.perf_counter() - start) * 1e6)
    times.sort()
    print(json.dumps({"benchmark": "tokenize", "engine": "tokenizers", **machine.stamp("tokenizers"),
                      "data": os.path.basename(sys.argv[2]), "texts": len(texts), "bytes": size,
                      "tokens": tokens, "megabytes_per_cpu_s": round(size / best / 1e6, 2),
                      "texts_per_cpu_s": round(len(texts) / best),
                      "p50_us": round(times[len(times) // 2], 1), "p99_us": round(times[len(times) * 99 // 100], 1)}))


if __name__ == "__main__":
    main()
