#!/usr/bin/env python3
"""`preloop serve` beside Python servers of the same protocol: one client, one core for each server, in one run.

usage: serve.py --preloop PROGRAM --model DIRECTORY --vectors base-50000x384.f16 --texts corpus.jsonl --home DIRECTORY
       serve.py --peer trivial|search PORT …        (started by the above)

A trivial tool against the official SDK's server, `search` over 50,000 issues against a fastmcp server over
sentence-transformers and hnswlib; the peers run as fast as their settings let them: stateless, JSON answers, no log.
Prints one JSON line a measurement, and on standard error what was wanted and reached. Packages: mcp, fastmcp, sentence-transformers,
hnswlib, numpy. Needs two cores: servers on the first, the client on the second.
"""

import argparse
import json
import os
import pathlib
import random
import re
import selectors
import shutil
import subprocess
import sys
import time

import machine
from servers import CLIENT_CORE, Process, StatelessCaller, free_port, percentile, wait_for

ISSUES = 50_000


# ------------------------------------------------------------------------------------------- peers

def peer(kind, port, options):
    """Runs in a process of its own."""
    started = time.time()
    if kind == "trivial":
        from mcp.server import MCPServer
        server = MCPServer("peer", log_level="CRITICAL")

        @server.tool()
        def echo(text: str) -> dict:
            return {"said": text}

        application = server.streamable_http_app(json_response=True, stateless_http=True)
    else:
        import fastmcp
        import hnswlib
        import numpy
        from sentence_transformers import SentenceTransformer
        import torch
        print(json.dumps({"imported": time.time() - started}), flush=True)
        torch.set_num_threads(1)
        model = SentenceTransformer(str(options.model), device="cpu")
        rows = numpy.fromfile(options.vectors, numpy.float16).reshape(-1, 384).astype(numpy.float32)
        index = hnswlib.Index("cosine", 384)
        saved = options.home / "peer.hnsw"
        if saved.exists():
            index.load_index(str(saved))
        else:
            index.init_index(len(rows), M=16, ef_construction=200)
            index.add_items(rows)
            index.save_index(str(saved))
        index.set_ef(64)
        titles = [json.loads(line)["title"] for line in (options.home / "issues.jsonl").open()]
        server = fastmcp.FastMCP("peer")

        @server.tool
        def search(query: str, limit: int = 10) -> dict:
            vector = model.encode([query], normalize_embeddings=True)
            labels, distances = index.knn_query(vector, k=limit)
            return {"hits": [{"key": f"#{label}", "title": titles[label], "score": 1 - float(distance)}
                             for label, distance in zip(labels[0], distances[0])]}

        application = server.http_app(json_response=True, stateless_http=True)
    import uvicorn
    uvicorn.run(application, host="127.0.0.1", port=port, log_level="critical", access_log=False)


# ------------------------------------------------------------------------------------------- calls

def calls(server, port, path, key, clients, seconds, make):
    """Calls a second, times, and the server's processor time a call, of so many clients that never wait."""
    callers = [StatelessCaller(port, path, key) for _ in range(clients)]
    for phase in ("warm", "measured"):
        selector = selectors.DefaultSelector()
        times, started, before = [], time.perf_counter(), server.processor_seconds()
        end = started + (seconds if phase == "measured" else max(1.0, seconds / 5))
        busy = 0
        for caller in callers:
            selector.register(caller.socket, selectors.EVENT_READ, caller)
            caller.call(*make())
            busy += 1
        while busy:
            for key_, _ in selector.select(60):
                caller = key_.data
                if (answer := caller.received()) is None:
                    continue
                now = time.perf_counter()
                answer.called()
                times.append(now - caller.sent)
                if now < end:
                    caller.call(*make())
                else:
                    busy -= 1
        elapsed, used = time.perf_counter() - started, server.processor_seconds() - before
    for caller in callers:
        caller.socket.close()
    times.sort()
    return {"clients": clients, "calls": len(times), "calls_per_second": len(times) / elapsed,
            "cpu_ms_per_call": 1e3 * used / len(times), "p50_ms": 1e3 * percentile(times, 0.5),
            "p99_ms": 1e3 * percentile(times, 0.99)}


PACKAGES = {"sdk": ("mcp",), "fastmcp": ("fastmcp", "sentence-transformers", "torch", "hnswlib"),
            "python": ("fastmcp", "sentence-transformers", "torch", "hnswlib"), "preloop": ()}


def say(results, **row):
    row = {"benchmark": "serve", **machine.stamp(*PACKAGES[row["engine"]]), "data": f"{ISSUES} issues", **row}
    results.append(row)
    print(json.dumps(row), flush=True)


# ------------------------------------------------------------------------------------ installation

def environment(options):
    return {"PRELOOP_HOME": str(options.home / "home"), "PRELOOP_EMBEDDING_MODEL": str(options.model),
            "BENCH_PASSWORD": "correct horse battery", "LOG_LEVEL": "error"}


def install(options):
    """An installation of 50,000 issues of one passage each, made once; a key of its owner."""
    options.home.mkdir(parents=True, exist_ok=True)
    key = options.home / "key"
    if key.exists():
        return key.read_text()
    shutil.rmtree(options.home / "home", ignore_errors=True)
    titles = [json.loads(line)["title"] for line in options.texts.open()]
    words = sorted({word for title in titles for word in title.split()})
    rng = random.Random(1)
    with (options.home / "issues.jsonl").open("w") as file:
        for number in range(ISSUES):
            title = f"{titles[number % len(titles)]} {rng.choice(words)} {rng.choice(words)}"
            file.write(json.dumps({"id": f"I-{number}", "source": "bench", "title": title, "body": ""}) + "\n")
    started = time.time()

    def run(*words):
        return subprocess.run([options.preloop, *words], env={**os.environ, **environment(options)}, check=True,
                              stdout=subprocess.PIPE).stdout.decode()

    run("index", "import", "--jsonl", options.home / "issues.jsonl")
    print(f"imported in {time.time() - started:.0f} s", file=sys.stderr)
    run("init", "--admin", "ann", "--password-env", "BENCH_PASSWORD")
    text = run("keys", "add", "bench", "--user", "ann").split()[0]
    key.write_text(text)
    return text


def serve(options, key):
    """Our server, and how long it takes until it has answered a first search over the snapshot."""
    server = Process([options.preloop, "serve", "--port", "0"], environment(options))
    port = int(re.search(r"http://[^ :]+:(\d+)", server.line()).group(1))
    listening = time.perf_counter() - server.started
    return server, port, listening


def measure(options):
    key = install(options)
    os.sched_setaffinity(0, {int(CLIENT_CORE)})
    results = []
    queries = [json.loads(line)["title"] for line in options.texts.open()]
    rng = random.Random(7)

    def searching():
        words = rng.choice(queries).split() + rng.choice(queries).split()
        return "search", {"query": " ".join(words[:12]), "limit": 10}

    # Twice each: the second time the files are in the system's memory for both.
    for _ in range(2):
        server, port, listening = serve(options, key)
        plain = StatelessCaller(port, "/mcp/v1", key)
        plain.call("list_projects", {"query": "nothing"})
        plain.answer().called()
        time.sleep(1)
        idle = server.memory()
        server.stop()
        server, port, listening = serve(options, key)
        first = StatelessCaller(port, "/mcp/v1", key)
        first.call(*searching())
        # Where the installation was made with another model, words alone are searched.
        if b'"mode":"hybrid"' not in first.answer().called():
            raise SystemExit(f"{options.home} is of another model: remove it")
        ready = time.perf_counter() - server.started
        server_peer = Process([sys.executable, __file__, "--peer", "search", free_port(), *forwarded(options)])
        imported = json.loads(server_peer.line())
        imports = time.perf_counter() - server_peer.started
        server_peer.process.kill()
        server_peer.process.wait()
        time.sleep(2)
        loaded = server.memory()
        server.stop()
    say(results, engine="preloop", what="start", listening_s=listening, first_search_s=ready,
        idle_mb=idle, with_model_mb=loaded)
    say(results, engine="python", what="start", imports_s=imports, imports_inside_s=imported["imported"])

    server, port, _ = serve(options, key)
    for clients in (1, 16):
        trivial = lambda: ("list_projects", {"query": "nothing"})
        say(results, engine="preloop", what="trivial",
            **calls(server, port, "/mcp/v1", key, clients, options.seconds, trivial))
    for clients in (1, 16):
        say(results, engine="preloop", what="search",
            **calls(server, port, "/mcp/v1", key, clients, options.seconds, searching))
    server.stop()
    port = free_port()
    server = Process([sys.executable, __file__, "--peer", "trivial", port, *forwarded(options)])
    wait_for(port)
    for clients in (1, 16):
        say(results, engine="sdk", what="trivial",
            **calls(server, port, "/mcp", None, clients, options.seconds, lambda: ("echo", {"text": "hello"})))
    server.stop()
    port = free_port()
    server = Process([sys.executable, __file__, "--peer", "search", port, *forwarded(options)])
    wait_for(port)
    for clients in (1, 16):
        say(results, engine="fastmcp", what="search",
            **calls(server, port, "/mcp", None, clients, options.seconds, searching))
    say(results, engine="fastmcp", what="memory", with_model_mb=server.memory())
    server.stop()
    compare(results)


def forwarded(options):
    return ["--model", options.model, "--vectors", options.vectors, "--home", options.home]


def compare(results):
    """Prints what was wanted beside what was reached."""
    def find(engine, what, clients=None):
        return next(row for row in results if row["engine"] == engine and row["what"] == what
                    and (clients is None or row["clients"] == clients))

    ours, theirs = find("preloop", "start"), find("python", "start")
    rows = []
    for clients in (1, 16):
        mine, other = find("preloop", "trivial", clients), find("sdk", "trivial", clients)
        rows.append((f"trivial tool, {clients} clients: calls/s to the SDK's", 6,
                     mine["calls_per_second"] / other["calls_per_second"]))
        rows.append((f"trivial tool, {clients} clients: CPU a call, SDK's to ours", 5,
                     other["cpu_ms_per_call"] / mine["cpu_ms_per_call"]))
        mine, other = find("preloop", "search", clients), find("fastmcp", "search", clients)
        rows.append((f"search, {clients} clients: calls/s to fastmcp's", 8,
                     mine["calls_per_second"] / other["calls_per_second"]))
    for text, wanted, reached in rows:
        print(f"{'yes' if reached >= wanted else 'NO '} {text}: wanted {wanted} x, reached {reached:.2f} x", file=sys.stderr)
    for text, most, reached in (
            ("idle, model loaded, MB resident", 150, ours["with_model_mb"]["VmRSS"]),
            ("idle, without, MB resident", 60, ours["idle_mb"]["VmRSS"]),
            ("first search answered, s, to the imports of the Python server", theirs["imports_s"], ours["first_search_s"])):
        print(f"{'yes' if reached <= most else 'NO '} {text}: at most {most:.3g}, reached {reached:.3g}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer", nargs=2)
    parser.add_argument("--preloop", type=pathlib.Path)
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--vectors", type=pathlib.Path, required=True)
    parser.add_argument("--texts", type=pathlib.Path)
    parser.add_argument("--home", type=pathlib.Path, required=True, help="made once, then used again")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--install", action="store_true", help="only make the installation")
    options = parser.parse_args()
    for name in ("preloop", "model", "vectors", "texts", "home"):
        if value := getattr(options, name):
            setattr(options, name, value.resolve())
    if options.peer:
        peer(options.peer[0], int(options.peer[1]), options)
    elif options.install:
        install(options)
    else:
        # What is missed is no failure of the measurement: the report tells it.
        measure(options)


if __name__ == "__main__":
    main()
