#!/usr/bin/env python3
"""Times a first scan of real issues, and a scan with nothing to do, beside what others would write in Python.

usage: end_to_end.py --programs DIRECTORY --model DIRECTORY --python PEERS-PYTHON [--every K] [--windows] [--postgres] [first] [idle] [scan]
needs: the reference tracker service and corpora in $PRELOOP_TEST_DATA (default: ../shared); PEERS-PYTHON has the
packages of pipeline.py and poll.py; versions are told of the Python this runs in. The trackers answer from a process of
their own, whose time is not counted.

first: 4,753 issues and 20,592 comments of seven GitHub repositories, from an empty installation to searchable;
       with --every K every K-th issue of each, with its comments. The Python pipeline runs as people write it, which
       cuts each text at the model's 256 tokens; with --windows once more, with as much of every text as Preloop embeds.
idle:  200 repositories in which nothing has changed.
scan:  `preloop-sync scan all` of the issues of `first`, into an empty store and once more; with --postgres the store is in
       the PostgreSQL of scripts/lib/with-postgres.
Prints one JSON line a run and one with the ratios.
"""
import argparse
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "scripts/lib"))
import machine  # noqa: E402
import soak  # noqa: E402
import soak_postgres  # noqa: E402

CORPORA = ("bips", "bitcoin", "f2etw", "edge")
IDLE_PROJECTS, IDLE_ISSUES, IDLE_RUNS = 200, 10, 3
IDLE_DATA = f"{IDLE_PROJECTS} repositories of {IDLE_ISSUES} issues"


def measured(command, environment):
    """Wall and CPU seconds and the peak of resident memory (MB) of a command, and the JSON lines it printed."""
    started = time.perf_counter()
    process = subprocess.Popen(list(map(str, command)), env=environment, stdout=subprocess.PIPE)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command[0]} failed with status {status}")
    lines = [json.loads(line) for line in output.decode().splitlines() if line.startswith("{")]
    return lines, {"wall_s": round(time.perf_counter() - started, 3),
                   "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
                   "peak_mb": round(usage.ru_maxrss / 1024)}


def show(line):
    print(json.dumps({"machine": machine.name(), "unix_time": int(time.time()), **line}), flush=True)
    return line


@contextlib.contextmanager
def corpora(lines_of):
    """The tracker service over other corpora than the stored ones: `lines_of` gives names and lines."""
    with tempfile.TemporaryDirectory() as directory:
        data, stored = pathlib.Path(directory), soak.DATA
        (data / "trackers/corpora").mkdir(parents=True)
        (data / "trackers/fake_trackers.py").symlink_to(stored / "trackers/fake_trackers.py")
        names = []
        for name, lines in lines_of(stored / "trackers/corpora"):
            names.append(name)
            with (data / "trackers/corpora" / f"corpus-{name}.jsonl").open("w") as file:
                file.writelines(lines)
        soak.DATA = data
        try:
            with soak.Service(names) as service:
                yield service
        finally:
            soak.DATA = stored


PACKAGES = {"pipeline.py": ("requests", "sentence-transformers", "transformers", "torch", "hnswlib"),
            "poll.py": ("PyGithub",)}


def repositories_of(service):
    return sorted({project for kind, project in service.projects() if kind == "github"})


def peer(options, script, service, *extra):
    command = [options.python, HERE / script, "--api", f"http://127.0.0.1:{service.port}/github",
               "--repository", *repositories_of(service), *extra]
    lines, figures = measured(command, {**os.environ, "GITHUB_TOKEN": "test-token", "HF_HUB_OFFLINE": "1"})
    return {"version": machine.versions(*PACKAGES[script]), **lines[-1], **figures}


# ----------------------------------------------------------------------------------------- first

def thinned(every):
    def lines_of(directory):
        for name in CORPORA:
            with (directory / f"corpus-{name}.jsonl").open(encoding="utf-8") as file:
                yield name, [line for number, line in enumerate(file) if number % every == 0]
    return lines_of


def data_of(options):
    """What was read, as a line tells it."""
    return f"{', '.join(CORPORA)}, one issue of {options.every}"


def first(options):
    with corpora(thinned(options.every)) as service:
        directory = tempfile.mkdtemp(prefix="preloop-pipeline-")
        lines, figures = measured(
            [pathlib.Path(options.programs) / "preloop-bench", "pipeline",
             "--url", f"http://127.0.0.1:{service.port}/github", "--token-env", "TOKEN",
             "--model", pathlib.Path(options.model).resolve(), "--directory", directory, "--rescans", "0"],
            {**os.environ, "TOKEN": "test-token"})
        shutil.rmtree(directory, ignore_errors=True)
        # The whole process, start and a last search included; the line's own are the scan's.
        us = show({"data": data_of(options), **lines[0], **figures})
        show(lines[1])
        for name, extra in (("a plain Python pipeline", ()), ("Python embedding the same windows", ("--windows",))):
            if extra and not options.windows:
                continue
            them = show({"data": data_of(options),
                         **peer(options, "pipeline.py", service, "--model", options.model, *extra)})
            show({"benchmark": "pipeline ratio", "than": name, "issues": us["issues"],
                  "wall": round(them["wall_s"] / us["wall_s"], 2),
                  "cpu": round(them["cpu_s"] / us["cpu_s"], 2),
                  "memory": round(us["peak_mb"] / them["peak_mb"], 3)})


# ------------------------------------------------------------------------------------------ idle

def many_projects(directory):
    with (directory / "corpus-f2etw.jsonl").open(encoding="utf-8") as file:
        issue = json.loads(file.readline())
    yield "many", [
        json.dumps({**issue, "project": f"many/p{project:03}", "number": number, "comments": []}) + "\n"
        for project in range(IDLE_PROJECTS) for number in range(1, IDLE_ISSUES + 1)]


def idle(options):
    """The least CPU of three runs each: the machine's noise only adds."""
    with corpora(many_projects) as service:
        home = soak.Installation(options, service.port, ("github",), {
            "PRELOOP_EMBEDDING_MODEL": str(pathlib.Path(options.model).resolve())})
        home.scan()
        ours, theirs = [], []
        for _ in range(IDLE_RUNS):
            service.control("/_stats/reset", {})
            lines, figures = measured(
                [home.programs / "preloop-sync", "scan", "all", "--json"], home.environment)
            ours.append({"peer": "preloop-sync scan all", "data": IDLE_DATA, "what": "nothing changed",
                         **lines[-1]["totals"], **figures, "requests": service.control("/_stats")["requests"]})
            service.control("/_stats/reset", {})
            them = {**peer(options, "poll.py", service), "data": IDLE_DATA, "what": "nothing changed"}
            them["requests"] = service.control("/_stats")["requests"]
            theirs.append(them)
        home.remove()
    us, them = (min(runs, key=lambda run: run["cpu_s"]) for runs in (ours, theirs))
    show(us)
    show(them)
    show({"benchmark": "polling ratio", "projects": IDLE_PROJECTS, "cpu": round(us["cpu_s"] / them["cpu_s"], 4),
          "wall": round(us["wall_s"] / them["wall_s"], 3),
          "requests_per_project": us["requests"] / IDLE_PROJECTS})


# ------------------------------------------------------------------------------------------ scan

def scan(options):
    options.postgres, options.vector_backend = soak_postgres.Postgres() if options.postgres else None, "memory"
    with corpora(thinned(options.every)) as service:
        home = soak.Installation(options, service.port, ("github",), {
            "PRELOOP_EMBEDDING_MODEL": str(pathlib.Path(options.model).resolve())})
        for what in ("into an empty store", "nothing changed"):
            service.control("/_stats/reset", {})
            lines, figures = measured(
                [home.programs / "preloop-sync", "scan", "all", "--json"], home.environment)
            totals = lines[-1]["totals"]
            stored = home.export().decode().rstrip("\n").split("\n")
            issues = len(stored)
            show({"benchmark": "scan", "engine": "postgres" if options.postgres else "sqlite", "what": what,
                  "data": data_of(options), **totals, "issues": issues,
                  "comments": sum(len(json.loads(line).get("comments") or ()) for line in stored), **figures,
                  "issues_per_s": round(issues / figures["wall_s"], 1),
                  "requests": service.control("/_stats")["requests"]})
        home.remove()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--programs", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--python", required=True)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--windows", action="store_true")
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("parts", nargs="*", default=["first", "idle"])
    options = parser.parse_args()
    for part in options.parts:
        {"first": first, "idle": idle, "scan": scan}[part](options)


if __name__ == "__main__":
    main()
