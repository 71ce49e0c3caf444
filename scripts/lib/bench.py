#!/usr/bin/env python3
"""Runs preloop-bench and the peers' programs, prints a table of ratios and draws recall against speed.

Every program prints JSON lines; they go to .build/bench/PART.jsonl as they are. `--report` only reads these.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(os.environ.get("PRELOOP_TEST_DATA", ROOT / "../shared")).resolve()
RESULTS = ROOT / ".build/bench"
PEERS = ROOT / "benchmarks/peers"
VECTORS = ["--base", DATA / "vector/base-50000x384.f16", "--queries", DATA / "vector/queries-1000x384.f16",
           "--type", "f16", "--dim", "384"]
LIBRARIES = ("hnswlib", "faiss", "faiss_bf16", "faiss_sq8", "faiss_sq8_refine", "usearch_bf16", "usearch_i8")
RECALLS = (0.95, 0.99, 0.999)


def run(part, command):
    """Appends the JSON lines a command prints to the part's file."""
    print(f"== {' '.join(map(str, command))}", flush=True)
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True)
    if done.returncode:
        print(f"   ended with {done.returncode}", flush=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    with (RESULTS / f"{part}.jsonl").open("a") as file:
        for line in done.stdout.splitlines():
            if line.startswith("{"):
                file.write(line + "\n")


def results(part):
    path = RESULTS / f"{part}.jsonl"
    return [json.loads(line) for line in path.open()] if path.exists() else []


def measure(part, options):
    (RESULTS / f"{part}.jsonl").unlink(missing_ok=True)
    bench = options.programs / "preloop-bench"
    if part == "index":
        for threads in (1, 2):
            run(part, [bench, "index", *VECTORS, "--threads", threads])
        for library in LIBRARIES:
            run(part, [sys.executable, PEERS / "vectors.py", *VECTORS, "--lib", library])
    elif part == "filter":
        run(part, [bench, "filter", *VECTORS])
        for share in (0.01, 0.1, 0.5):
            run(part, [sys.executable, PEERS / "vectors.py", *VECTORS, "--lib", "hnswlib", "--filter", share])
    elif part == "encode":
        run(part, [bench, "encode", options.model])
        run(part, [sys.executable, PEERS / "encode.py", options.model])
    elif part == "tokenize":
        texts = RESULTS / "texts.jsonl"
        write_texts(texts)
        run(part, [bench, "tokenize", options.model, texts])
        run(part, [sys.executable, PEERS / "tokenize_texts.py", options.model, texts])
    elif part == "cel":
        run(part, [bench, "cel"])
        run(part, [sys.executable, PEERS / "cel.py"])
    elif part == "pipeline":
        run(part, [sys.executable, PEERS / "end_to_end.py", "--programs", options.programs,
                   "--model", options.model, "--python", sys.executable])


def write_texts(path):
    """The bodies of the corpora as JSONL of {"text": …}."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        for corpus in sorted((DATA / "trackers/corpora").glob("*.jsonl")):
            for line in corpus.open():
                item = json.loads(line)
                text = f"{item['title']}\n\n{item.get('body') or ''}"
                file.write(json.dumps({"text": text}) + "\n")


# ---------------------------------------------------------------------------------------- report

def best(rows, recall, speed="queries_per_cpu_s"):
    return max((row[speed] for row in rows if row["recall_at_10"] >= recall), default=None)


def shown(value):
    return "never" if value is None else f"{value:,.0f}"


def table_of_index():
    rows = [row for row in results("index") if row.get("threads", 1) == 1]
    if not rows:
        return []
    lines = ["| library | build CPU s | bytes a vector | queries/CPU s at recall 0.95 | 0.99 | 0.999 |",
             "| --- | --- | --- | --- | --- | --- |"]
    libraries = list(dict.fromkeys(row["lib"] for row in rows))
    for library in libraries:
        mine = [row for row in rows if row["lib"] == library]
        speeds = " | ".join(shown(best(mine, recall)) for recall in RECALLS)
        lines.append(f"| {library} | {mine[0]['build_cpu_s']:.1f} | {mine[0]['bytes_per_vector']} | {speeds} |")
    ours = [row for row in rows if row["lib"] == "preloop"]
    ratios = []
    for recall in RECALLS:
        peers = [best([row for row in rows if row["lib"] == library], recall)
                 for library in libraries if library != "preloop"]
        peers = [speed for speed in peers if speed]
        mine = best(ours, recall)
        ratios.append(f"{mine / max(peers):.1f} ×" if mine and peers else "–")
    builds = [row["build_cpu_s"] for row in rows if row["lib"] == "hnswlib"]
    build = f"{builds[0] / ours[0]['build_cpu_s']:.1f} × hnswlib" if builds and ours else "–"
    lines.append(f"| preloop to the best peer | {build} | | " + " | ".join(ratios) + " |")
    return lines


def table_of(part, columns):
    rows = results(part)
    if not rows:
        return []
    names = [name for name in columns if any(name in row for row in rows)]
    return ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)] + [
        "| " + " | ".join(str(row.get(name, "")) for name in names) + " |" for row in rows]


def report():
    sections = [
        ("Search", table_of_index()),
        ("Filters", table_of("filter", ("lib", "filter", "ef", "recall_at_10", "queries_per_cpu_s", "p50_us"))),
        ("Encoder", table_of("encode", ("engine", "precision", "texts", "tokens", "texts_per_cpu_s"))),
        ("Tokenizer", table_of("tokenize", ("engine", "texts", "megabytes_per_cpu_s", "texts_per_cpu_s"))),
        ("Rules", table_of("cel", ("engine", "subject", "per_cpu_s"))),
        ("End to end", table_of("pipeline", ("peer", "what", "wall_s", "cpu_s", "peak_mb", "requests", "wall",
                                             "cpu", "memory"))),
    ]
    text = "\n\n".join("\n".join([f"### {name}", ""] + lines) for name, lines in sections if lines)
    print(text)
    draw(ROOT / "docs/benchmarks.svg")


def draw(path):
    """Recall against queries per CPU second, one line a library, speed logarithmic."""
    rows = [row for row in results("index") if row.get("threads", 1) == 1 and row["recall_at_10"] >= 0.9]
    if not rows:
        return
    import math
    width, height, left, top, right, bottom = 760, 440, 70, 20, 150, 50
    speeds = [row["queries_per_cpu_s"] for row in rows]
    low, high = math.log10(min(speeds)) - 0.05, math.log10(max(speeds)) + 0.05

    def place(row):
        # Recall by the decimal places it has: 0.9 at 0, 0.9999 at 1.
        nines = min(max(-math.log10(max(1 - row["recall_at_10"], 1e-4)) - 1, 0), 3) / 3
        x = left + nines * (width - left - right)
        y = height - bottom - (math.log10(row["queries_per_cpu_s"]) - low) / (high - low) * (height - top - bottom)
        return x, y

    colours = ("#c0392b", "#2c3e50", "#2980b9", "#27ae60", "#8e44ad", "#f39c12", "#16a085", "#7f8c8d")
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
             f'font-size="12"><rect width="{width}" height="{height}" fill="white"/>']
    for recall in (0.9, 0.95, 0.99, 0.999, 0.9999):
        x, _ = place({"recall_at_10": recall, "queries_per_cpu_s": max(speeds)})
        parts.append(f'<line x1="{x:.0f}" y1="{top}" x2="{x:.0f}" y2="{height - bottom}" stroke="#ddd"/>'
                     f'<text x="{x:.0f}" y="{height - bottom + 16}" text-anchor="middle">{recall}</text>')
    for speed in (500, 1000, 2000, 5000, 10000, 20000, 50000, 100000):
        if low <= math.log10(speed) <= high:
            _, y = place({"recall_at_10": 0.9, "queries_per_cpu_s": speed})
            parts.append(f'<line x1="{left}" y1="{y:.0f}" x2="{width - right}" y2="{y:.0f}" stroke="#ddd"/>'
                         f'<text x="{left - 6}" y="{y + 4:.0f}" text-anchor="end">{speed:,}</text>')
    for number, library in enumerate(dict.fromkeys(row["lib"] for row in rows)):
        # Only settings no other setting of the library beats in both.
        mine = sorted((row for row in rows if row["lib"] == library), key=lambda row: -row["recall_at_10"])
        front, fastest = [], 0
        for row in mine:
            if row["queries_per_cpu_s"] > fastest:
                front.append(row)
                fastest = row["queries_per_cpu_s"]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(place, front))
        colour = colours[number % len(colours)]
        weight = 3 if library == "preloop" else 1.5
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{weight}"/>'
                     f'<text x="{width - right + 10}" y="{top + 16 + 18 * number}" fill="{colour}">{library}</text>')
    parts.append(f'<text x="{(left + width - right) / 2:.0f}" y="{height - 12}" text-anchor="middle">recall@10</text>'
                 f'<text x="16" y="{height / 2:.0f}" text-anchor="middle" '
                 f'transform="rotate(-90 16 {height / 2:.0f})">queries per CPU second, one thread</text></svg>')
    path.write_text("\n".join(parts) + "\n")
    print(f"\ndrawn: {path.relative_to(ROOT)}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--programs", type=pathlib.Path, default=ROOT / ".build-release/release")
    parser.add_argument("--model", type=pathlib.Path)
    parser.add_argument("--report", action="store_true", help="only the table of the last results")
    parser.add_argument("parts", nargs="*")
    options = parser.parse_args()
    for part in options.parts if not options.report else ():
        measure(part, options)
    report()


if __name__ == "__main__":
    main()
