#!/usr/bin/env python3
"""Times a first scan of real issues, and a scan with nothing to do, beside what others would write in Python.

usage: end_to_end.py --programs DIRECTORY --model DIRECTORY --python PEERS-PYTHON [first] [idle]
needs: the reference tracker service and corpora in $PRELOOP_TEST_DATA (default: ../shared); PEERS-PYTHON has the
packages of pipeline.py and poll.py. The trackers answer from a process of their own, whose time is not counted.

first: 4,753 issues and 20,592 comments of seven GitHub repositories, from an empty installation to searchable.
idle:  200 repositories in which nothing has changed.
Prints one JSON line a run and one with the ratios.
"""
import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "scripts/lib"))
import soak  # noqa: E402

CORPORA = ("bips", "bitcoin", "f2etw", "edge")


def measured(command, environment):
    """Wall and CPU seconds and the peak of resident memory (MB) of a command, and what it printed."""
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command[0]} failed with status {status}")
    return {"wall_s": round(time.perf_counter() - started, 2),
            "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
            "peak_mb": round(usage.ru_maxrss / 1024)}, output


def peer(options, script, service, repositories, *extra):
    command = [options.python, HERE / script, "--api", f"http://127.0.0.1:{service.port}/github",
               "--repository", *repositories, *extra]
    figures, output = measured(command, {**os.environ, "GITHUB_TOKEN": "test-token"})
    return {**json.loads(output.decode().strip().split("\n")[-1]), **figures}


def ours(home, what, *arguments):
    figures, output = measured(
        [home.programs / "preloop-sync", "scan", "all", "--json", *arguments], home.environment)
    totals = json.loads(output.decode().strip().split("\n")[-1])["totals"]
    return {"peer": f"preloop-sync scan all ({what})", **totals, **figures}


def show(line):
    print(json.dumps(line), flush=True)
    return line


def first(options):
    with soak.Service(CORPORA) as service:
        repositories = sorted({project for kind, project in service.projects() if kind == "github"})
        home = soak.Installation(options.programs, service.port, ("github",),
                                 {"PRELOOP_EMBEDDING_MODEL": str(pathlib.Path(options.model).resolve())})
        us = show(ours(home, "first"))
        them = show(peer(options, "pipeline.py", service, repositories, "--model", options.model))
        home.remove()
    show({"what": "first scan", "wall": round(them["wall_s"] / us["wall_s"], 2),
          "cpu": round(them["cpu_s"] / us["cpu_s"], 2),
          "memory": round(us["peak_mb"] / them["peak_mb"], 3)})


def idle(options):
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "corpus-many.jsonl"
        soak.DATA, source = pathlib.Path(directory), soak.DATA
        corpora = pathlib.Path(directory) / "trackers/corpora"
        corpora.mkdir(parents=True)
        (pathlib.Path(directory) / "trackers/fake_trackers.py").symlink_to(
            source / "trackers/fake_trackers.py")
        issue = json.loads((source / "trackers/corpora/corpus-f2etw.jsonl").open().readline())
        with (corpora / path.name).open("w") as corpus:
            for project in range(200):
                for number in range(1, 11):
                    corpus.write(json.dumps({**issue, "project": f"many/p{project:03}",
                                             "number": number, "comments": []}) + "\n")
        with soak.Service(("many",)) as service:
            repositories = [f"many/p{project:03}" for project in range(200)]
            home = soak.Installation(options.programs, service.port, ("github",), {
                "PRELOOP_EMBEDDING_MODEL": str(pathlib.Path(options.model).resolve())})
            home.scan()
            service.control("/_stats/reset", {})
            us = ours(home, "nothing changed")
            us["requests"] = service.control("/_stats")["requests"]
            show(us)
            service.control("/_stats/reset", {})
            them = peer(options, "poll.py", service, repositories)
            them["requests"] = service.control("/_stats")["requests"]
            show(them)
            home.remove()
        soak.DATA = source
    show({"what": "nothing changed, 200 repositories", "cpu": round(us["cpu_s"] / them["cpu_s"], 3),
          "requests": us["requests"]})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--programs", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--python", required=True)
    parser.add_argument("parts", nargs="*", default=["first", "idle"])
    options = parser.parse_args()
    for part in options.parts:
        {"first": first, "idle": idle}[part](options)


if __name__ == "__main__":
    main()
