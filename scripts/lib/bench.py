#!/usr/bin/env python3
"""Runs preloop-bench and the peers' programs on the same data, then reports (bench_report.py).

usage: bench.py [--programs DIRECTORY] [--model DIRECTORY] [--quick|--thorough] [--windows] [--report]
                [PART ...]

Every program prints JSON lines; they go to .build-release/bench/PART.jsonl. When all of a part has been measured they take
the place of those from before in benchmarks/results/PROCESSOR/PART.jsonl, and `--report` reads these, of all processors.
`--quick` takes 20,000 vectors, the strongest peers, and every 20th issue, keeps no lines, and leaves out the parts on
PostgreSQL unless they are named. Ours and the peers are measured as often, in turn: `index` twice, the other parts once;
with `--thorough` `held` and `clusters` twice too.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import bench_report
import bench_results
import bench_store

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "benchmarks/peers"))
import machine  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(os.environ.get("PRELOOP_TEST_DATA", ROOT / "../shared")).resolve()
RESULTS = bench_results.RESULTS
PEERS = ROOT / "benchmarks/peers"
SCRATCH = RESULTS / "data"
VECTORS = ["--base", DATA / "vector/base-50000x384.f16", "--queries", DATA / "vector/queries-1000x384.f16",
           "--type", "f16", "--dim", "384"]
LIBRARIES = ("hnswlib", "faiss", "faiss_bf16", "faiss_sq8", "faiss_sq8_refine", "usearch_bf16", "usearch_i8")
# Those that were the best at some recall of `index` on some machine, on the queries there.
STRONGEST = ("hnswlib", "faiss", "faiss_bf16", "faiss_sq8_refine")
# Rows and dimension of the clustered sets: the same work each, what fits into some minutes. Then a thorough run's.
CLUSTERED = ((200_000, 128), (50_000, 768), (25_000, 1536))
CLUSTERED_THOROUGH = ((200_000, 128), (200_000, 768), (200_000, 1536))
# A build of a peer takes more than a minute there; the best of these at a recall is what the rows compare with.
CLUSTERED_LIBRARIES = ("hnswlib", "faiss_bf16", "faiss_sq8_refine")
SHARES = (0.01, 0.1, 0.5)
HNSWLIB = "0.8.0"
# Of issues that `ladder` scans twice.
EVERY = 4
# All of one token. How long texts to encode are and how many: about as long a pass for both.
WORDS = ("window crash file error when the build fails memory open test server is slow after update "
         "user sign page not found").split()
SENTENCES = (("titles", 18, 128), ("bodies", 128, 16))
# What finds most in the least time at a recall of 0.999, for more memory and a longer build.
FASTEST = ("--m", "24", "--ef-construction", "200")
HELD, HELD_SEED = 1_000, 20261128
# Issues of a kilobyte that are written, and how many in a transaction, as a page of a scan has.
STORE_ROWS, STORE_PAGE = 20_000, 1_000
# For how long writes are followed, by how many.
FOLLOWED_SECONDS, FOLLOWERS = 60, 4


def run(part, command, environment=None, **added):
    """Appends the JSON lines a command prints to the part's file, each with what is `added`."""
    print(f"== {' '.join(map(str, command))}", flush=True)
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True,
                          env={**os.environ, **(environment or {})})
    if done.returncode:
        failures.append(f"{command[0]} {command[1]} ended with {done.returncode}")
        print(f"   ended with {done.returncode}", flush=True)
    with (RESULTS / f"{part}.jsonl").open("a") as file:
        for line in done.stdout.splitlines():
            if line.startswith("{"):
                file.write((json.dumps({**json.loads(line), **added}) if added else line) + "\n")


failures = []


def python(script, *arguments):
    return [sys.executable, PEERS / script, *arguments]


class Parts:
    """One method a part; its name is the part's."""

    def __init__(self, options):
        self.options = options
        self.bench = options.programs / "preloop-bench"
        self.vectors = VECTORS + (["--n", "20000"] if options.quick else [])

    def compared(self, part, vectors, libraries, rounds, ours=()):
        """Ours by default and with more links, then each library, all of it in each round: noise only adds."""
        for _ in range(rounds):
            for setting in ((), FASTEST):
                run(part, [self.bench, "index", *vectors, *setting, *ours])
            for library in libraries:
                run(part, python("vectors.py", *vectors, "--lib", library))

    def index(self):
        """Recall against queries a second, build and memory of all libraries; ours with two threads too."""
        rounds = 1 if self.options.quick else 2
        for _ in range(rounds):
            run("index", [self.bench, "index", *self.vectors, "--threads", 2])
        self.compared("index", self.vectors, STRONGEST if self.options.quick else LIBRARIES, rounds)

    def held(self):
        """Queries that had no part in choosing any setting: rows of the base, left out of it."""
        SCRATCH.mkdir(parents=True, exist_ok=True)
        base, queries = SCRATCH / "held-base.f16", SCRATCH / "held-queries.f16"
        import numpy as np
        rows = np.fromfile(VECTORS[1], np.float16).reshape(-1, 384)
        order = np.random.default_rng(HELD_SEED).permutation(len(rows))
        rows[order[:HELD]].tofile(queries)
        rows[np.sort(order[HELD:])].tofile(base)
        vectors = ["--base", base, "--queries", queries, "--type", "f16", "--dim", "384"]
        thorough = self.options.thorough
        self.compared("held", vectors, LIBRARIES if thorough else STRONGEST, 2 if thorough else 1)

    def clusters(self):
        """The same on clustered sets of other dimensions, whose rows are of any length, as our index gets them."""
        SCRATCH.mkdir(parents=True, exist_ok=True)
        thorough = self.options.thorough
        for rows, dimension in CLUSTERED_THOROUGH if thorough else CLUSTERED:
            rows //= 10 if self.options.quick else 1
            subprocess.run(list(map(str, python(
                "synthetic.py", "--directory", SCRATCH, "--n", rows, "--dim", dimension))), check=True)
            base = SCRATCH / f"base-{rows}x{dimension}.f32"
            queries = SCRATCH / f"queries-500x{dimension}.f32"
            vectors = ["--base", base, "--queries", queries, "--type", "f32", "--dim", dimension]
            self.compared("clusters", vectors, LIBRARIES if thorough else CLUSTERED_LIBRARIES, 2 if thorough else 1,
                          ours=("--lengths", "given"))
            base.unlink()

    def filter(self):
        """Filters that pass a share of the rows; the peer in C++, where its filter costs least."""
        run("filter", [self.bench, "filter", *self.vectors])
        with tempfile.TemporaryDirectory() as directory:
            program, base, queries = self.peer_of_filter(pathlib.Path(directory))
            # Until hnswlib reaches a recall of 0.99, which takes it longer lists for wider filters.
            run("filter", [program, base, queries, 384, ",".join(map(str, SHARES)), 10, 16, 24, 32, 64, 128],
                machine=machine.name(), version=f"hnswlib {HNSWLIB}", data=VECTORS[1].name)

    def peer_of_filter(self, directory):
        """Compiles the peer against hnswlib's header, and writes the rows as it reads them."""
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:",
                        "--no-build-isolation", f"hnswlib=={HNSWLIB}", "-d", directory], check=True)
        archive = next(directory.glob("hnswlib-*.tar.gz"))
        subprocess.run(["tar", "xzf", archive, "-C", directory], check=True)
        include = next(directory.glob("hnswlib-*/hnswlib")).parent
        program = directory / "hnswlib_filter"
        subprocess.run(["g++", "-O3", "-march=native", "-std=c++17", "-I", include,
                        PEERS / "hnswlib_filter.cpp", "-o", program], check=True)
        paths = []
        import numpy as np
        for place, limit in ((1, 20_000 if self.options.quick else None), (3, None)):
            rows = np.fromfile(VECTORS[place], np.float16).reshape(-1, 384).astype(np.float32)[:limit]
            path = directory / f"{place}.f32"
            rows.tofile(path)
            paths.append(path)
        return program, *paths

    def churn(self):
        """Deletion and insertion again of 30 %: recall fresh, between, and after."""
        run("churn", [self.bench, "churn", *self.vectors])

    def beside(self):
        """Searches while another thread removes, inserts, updates and builds."""
        run("beside", [self.bench, "beside", *self.vectors])

    def recall(self):
        """What is found when a recall is asked for, by queries that calibrated nothing."""
        run("recall", [self.bench, "recall", *self.vectors])

    def join(self):
        """All pairs above a cosine."""
        run("join", [self.bench, "join", *self.vectors])
        run("join", python("join.py", *self.vectors))

    def snapshot(self):
        """Saving, and loading up to the first answer."""
        run("snapshot", [self.bench, "snapshot", *self.vectors, "--scratch", RESULTS])
        run("snapshot", python("vectors.py", *self.vectors, "--lib", "hnswlib", "--snapshot"))

    def encode(self):
        """Texts a second in each precision, and how far from float32 they are."""
        sentences = RESULTS / "sentences.jsonl"
        write_sentences(sentences)
        run("encode", [self.bench, "encode", self.options.model, sentences])
        run("encode", python("encode.py", self.options.model, sentences))
        reference = DATA / "embeddings/reference.jsonl"
        with (RESULTS / "encode.jsonl").open("a") as file:
            for precision in ("float32", "bfloat16", "int8"):
                file.write(json.dumps(self.cosines(reference, precision)) + "\n")

    def cosines(self, reference, precision):
        """Mean and worst cosine of a precision's vectors to those of the reference."""
        rows = [json.loads(line) for line in reference.open()]
        lines = "".join(json.dumps({"text": row["text"]}) + "\n" for row in rows)
        done = subprocess.run(
            [self.options.programs / "preloop", "models", "encode", "--jsonl"], input=lines, text=True,
            stdout=subprocess.PIPE, check=True, env={
                **os.environ, "PRELOOP_EMBEDDING_MODEL": str(self.options.model),
                "PRELOOP_EMBEDDING_PRECISION": precision})
        values = []
        for row, line in zip(rows, done.stdout.splitlines()):
            ours = json.loads(line)
            # Special tokens spelled out in a text are text here: these rows are other texts.
            if ours["ids"] == row["ids"]:
                values.append(sum(a * b for a, b in zip(ours["vector"], row["vector"])))
        return {"benchmark": "precision", "engine": "preloop", "precision": precision, **machine.stamp(),
                "data": reference.name, "texts": len(values), "cosine_mean": sum(values) / len(values),
                "cosine_worst": min(values)}

    def tokenize(self):
        """Bytes a second of the tokenizer, over all texts of the corpora."""
        texts = RESULTS / "texts.jsonl"
        write_texts(texts)
        run("tokenize", [self.bench, "tokenize", self.options.model, texts])
        run("tokenize", python("tokenize_texts.py", self.options.model, texts))

    def cel(self):
        """Conditions of rules a second, arguments bound from JSON."""
        run("cel", [self.bench, "cel"])
        run("cel", python("cel.py"))

    def pipeline(self):
        """From an empty store to searchable."""
        every = 20 if self.options.quick else 1
        windows = ["--windows"] if self.options.windows else []
        run("pipeline", self.end_to_end("first", "--every", every, *windows))

    def polling(self):
        """200 projects in which nothing has changed."""
        run("polling", self.end_to_end("idle"))

    def serve(self):
        """The server beside Python ones: calls a second, CPU a call, memory, start."""
        run("serve", python("serve.py", "--preloop", self.options.programs / "preloop", "--model", self.options.model,
                            "--vectors", VECTORS[1], "--texts", DATA / "quality/corpus.jsonl",
                            "--home", RESULTS / "serve-home", *(["--seconds", "2"] if self.options.quick else [])))

    def proxy(self):
        """A call through us and through other proxies, and what calls that wait for approval take."""
        run("proxy", python("proxy.py", "--preloop", self.options.programs / "preloop", "--home", RESULTS / "proxy-home",
                            *(["--rounds", "8", "--approvals", "30"] if self.options.quick else [])))

    def on_postgres(self, part, script, *arguments):
        """Runs a shell script beside a private PostgreSQL; `$database` is its address, `$bench` our program."""
        before = 'database="$PRELOOP_TEST_DATABASE_URL" bench="$1"; shift; '
        # Empty: never the server of somebody's tests.
        run(part, [ROOT / "scripts/lib/with-postgres", "sh", "-euc", before + script, "sh", self.bench, *arguments],
            environment={"PRELOOP_TEST_DATABASE_URL": ""}, **machine.stamp())

    def scratch(self, name):
        """An empty directory: what an earlier run left belongs to a database that is gone."""
        directory = SCRATCH / name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        return directory

    def store(self):
        """Bulk writes of issues on both engines beside psycopg, COPY and sqlite3."""
        rows = 5_000 if self.options.quick else STORE_ROWS
        self.on_postgres("store", 'python="$1" peer="$2"; shift 2; "$python" "$peer" "$bench" "$@"',
                         *python("store.py"), rows, STORE_PAGE)

    def backends(self):
        """The same questions in memory and through pgvector, with and without filters, and pgvector's bare query."""
        self.on_postgres(
            "backends", 'texts="$1"; shift; for what in fill none 1% 10% 50%; do '
            '"$bench" backends "$database" "$what" "$texts" "$@"; done',
            DATA / "quality/corpus.jsonl", *self.vectors, "--scratch", self.scratch("backends"))

    def followers(self):
        """How late replicas have what one process writes at a steady rate."""
        seconds = 10 if self.options.quick else FOLLOWED_SECONDS
        self.on_postgres("followers", '"$bench" followers "$database" "$@"',
                         bench_store.FOLLOWED_RATE, seconds, FOLLOWERS,
                         *self.vectors, "--scratch", self.scratch("followers"))

    def ladder(self):
        """What SQLite and PostgreSQL carry: bytes of tables and indexes, searches a second, and issues a second of a scan."""
        every = 40 if self.options.quick else EVERY
        self.on_postgres(
            "ladder", 'texts="$1" file="$2"; shift 2; for where in "$file" "$database"; do '
            '"$bench" ladder "$where" "$texts" "$@"; done',
            DATA / "quality/corpus.jsonl", self.scratch("ladder") / "store.db", *self.vectors, "--scratch",
            SCRATCH / "ladder")
        for engine in ("", "--postgres"):
            self.on_postgres("ladder", '"$@"', *self.end_to_end("scan", "--every", every, *filter(None, [engine])))

    def replica(self):
        """Memory of a process with 200,000 vectors, and how it begins from a snapshot and the feed."""
        self.on_postgres("replica", 'for what in fill open; do "$bench" replica "$what" "$database" "$@"; done',
                         *VECTORS, "--scratch", self.scratch("replica"))

    def wake(self):
        """How soon a waiting process knows of a commit."""
        self.on_postgres("wake", '"$bench" wake "$database" "$@"', 100 if self.options.quick else 500)

    def end_to_end(self, part, *arguments):
        return python("end_to_end.py", "--programs", self.options.programs, "--model", self.options.model,
                      "--python", sys.executable, *arguments, part)


PARTS = ("index", "held", "clusters", "filter", "churn", "beside", "recall", "join", "snapshot", "encode", "tokenize",
         "cel", "pipeline", "polling", "serve", "proxy")
# On a private PostgreSQL, about twenty-five minutes together.
POSTGRES_PARTS = ("store", "backends", "ladder", "followers", "replica", "wake")


def write_texts(path):
    """The bodies of the corpora as JSONL of {"text": …}."""
    with path.open("w") as file:
        for corpus in sorted((DATA / "trackers/corpora").glob("*.jsonl")):
            for line in corpus.open():
                item = json.loads(line)
                text = f"{item['title']}\n\n{item.get('body') or ''}"
                file.write(json.dumps({"text": text}) + "\n")


def write_sentences(path):
    """Texts of equal length in tokens, the two special ones included, as JSONL of {"kind": …, "text": …}."""
    with path.open("w") as file:
        for kind, tokens, count in SENTENCES:
            for seed in range(count):
                words, step = [], seed
                for _ in range(tokens - 2):
                    step = (step * 1_103_515_245 + 12_345) & 0x7FFFFFFF
                    words.append(WORDS[(step >> 8) % len(WORDS)])
                file.write(json.dumps({"kind": kind, "text": " ".join(words)}) + "\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--programs", type=pathlib.Path, default=ROOT / ".build-release/release")
    parser.add_argument("--model", type=pathlib.Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--thorough", action="store_true", help="more often, more libraries, larger sets: some hours")
    parser.add_argument("--windows", action="store_true", help="`pipeline`: the peer embeds windows of long texts too")
    parser.add_argument("--report", action="store_true", help="only the tables of the last results")
    parser.add_argument("parts", nargs="*")
    options = parser.parse_args()
    options.programs = options.programs.resolve()
    options.windows |= options.thorough
    unknown = set(options.parts) - set(PARTS + POSTGRES_PARTS)
    if unknown:
        parser.error(f"unknown part {', '.join(sorted(unknown))}; there are {', '.join(PARTS + POSTGRES_PARTS)}")
    RESULTS.mkdir(parents=True, exist_ok=True)
    if not options.report:
        if options.model is None:
            parser.error("--model is missing")
        options.model = options.model.resolve()
        parts = Parts(options)
        measured = options.parts or (PARTS if options.quick else PARTS + POSTGRES_PARTS)
        for part in measured:
            (RESULTS / f"{part}.jsonl").unlink(missing_ok=True)
            known = len(failures)
            try:
                getattr(parts, part)()
            except (OSError, subprocess.CalledProcessError) as error:
                # A peer that cannot be built, say: the other parts are worth their time.
                failures.append(f"{part}: {error}")
            if len(failures) > known:
                failures.append(f"{part}: its lines are not kept, for some of it is missing")
            elif not options.quick:
                bench_results.keep(part, machine.name())
    # What a quick run measures is no figure for the documents.
    if options.quick and not options.report:
        bench_report.report(ROOT, [bench_results.Lines(RESULTS, measured)], writing=False)
    else:
        bench_report.report(ROOT, bench_results.processors(), writing=True)
    for failure in failures:
        print(f"FAILED {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
