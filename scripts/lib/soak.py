#!/usr/bin/env python3
"""Drives preloop-sync against the reference tracker service and compares what it stored with the truth.

Each part prints one line a check and the figures it measured; the exit status is 1 when a check failed.
"""

import argparse
import array
import contextlib
import hashlib
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import soak_approvals
import soak_copy
import soak_crowd
import soak_frozen
import soak_pooler
import soak_postgres
import soak_recovery
import soak_server
import soak_storm
import soak_vectors

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(os.environ.get("PRELOOP_TEST_DATA", ROOT / "../shared")).resolve()
SERVICES = ("github", "gitlab", "jira-cloud", "jira-server")
FAULT_SUFFIX = "\nNUL:\u0000: lone surrogate:\ud83d: end"

failures = []


def check(name, holds, detail=""):
    print(f"{'ok  ' if holds else 'FAIL'} {name} {detail}".rstrip(), flush=True)
    if not holds:
        failures.append(name)
    return holds


def sanitized(text):
    return re.sub("[\x00\ud800-\udfff]", "\ufffd", text or "")


def digest(text):
    return hashlib.sha256((text or "").encode("utf-8", "surrogatepass")).hexdigest()


class Service:
    """The reference tracker service in a process of its own."""

    def __init__(self, corpora, *arguments):
        with contextlib.closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.corpora = [DATA / "trackers/corpora" / f"corpus-{name}.jsonl" for name in corpora]
        command = [sys.executable, DATA / "trackers/fake_trackers.py", "--port", str(self.port),
                   "--no-hooks", *map(str, arguments), "--corpus", *self.corpora]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        for _ in range(600):
            with contextlib.suppress(OSError):
                self.control("/_stats")
                return
            time.sleep(0.05)
        raise SystemExit("the tracker service did not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def control(self, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def mutate(self, tracker, project, number=None, **what):
        return self.control("/_mutate", {"tracker": tracker, "project": project,
                                         **({"number": number} if number else {}), **what})

    def projects(self):
        """(service, project) pairs the corpora make."""
        found = set()
        for path in self.corpora:
            for line in path.open(encoding="utf-8"):
                item = json.loads(line)
                kinds = [item["tracker"]] if "tracker" in item else ["github", "gitlab", "jira"]
                for kind in kinds:
                    if kind == "jira" and item.get("is_pull_request"):
                        continue
                    names = ("jira-cloud", "jira-server") if kind == "jira" else (kind,)
                    found |= {(name, item["project"]) for name in names}
        return sorted(found)

    def bodies(self):
        """Every body and comment of the corpora by its digest, so that a digest can be read back."""
        known = {digest(""): ""}
        for path in self.corpora:
            for line in path.open(encoding="utf-8"):
                item = json.loads(line)
                texts = [item.get("body")] + [c.get("body") for c in item.get("comments") or []]
                for text in texts:
                    for each in (text or "", (text or "") + FAULT_SUFFIX):
                        known[digest(each)] = each
        return known


def small_model(real, directory):
    """A random model of two narrow layers with the real vocabulary: the same path, a fraction of the time."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("vocab.txt", "tokenizer_config.json", "special_tokens_map.json", "modules.json",
                 "sentence_bert_config.json"):
        if (real / name).exists():
            shutil.copy(real / name, directory / name)
    shutil.copytree(real / "1_Pooling", directory / "1_Pooling", dirs_exist_ok=True)
    hidden, inner, layers = 32, 64, 2
    pooling = json.loads((real / "1_Pooling/config.json").read_text())
    pooling["word_embedding_dimension"] = hidden
    (directory / "1_Pooling/config.json").write_text(json.dumps(pooling))
    config = json.loads((real / "config.json").read_text())
    config |= {"hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers,
               "num_attention_heads": 2}
    (directory / "config.json").write_text(json.dumps(config))
    shapes = {"embeddings.word_embeddings.weight": (config["vocab_size"], hidden),
              "embeddings.position_embeddings.weight": (config["max_position_embeddings"], hidden),
              "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], hidden)}
    norms = ["embeddings.LayerNorm"]
    for layer in range(layers):
        prefix = f"encoder.layer.{layer}."
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            shapes[f"{prefix}attention.{part}.weight"] = (hidden, hidden)
            shapes[f"{prefix}attention.{part}.bias"] = (hidden,)
        shapes[f"{prefix}intermediate.dense.weight"] = (inner, hidden)
        shapes[f"{prefix}intermediate.dense.bias"] = (inner,)
        shapes[f"{prefix}output.dense.weight"] = (hidden, inner)
        shapes[f"{prefix}output.dense.bias"] = (hidden,)
        norms += [f"{prefix}attention.output.LayerNorm", f"{prefix}output.LayerNorm"]
    for norm in norms:
        shapes[f"{norm}.weight"] = shapes[f"{norm}.bias"] = (hidden,)
    rng, header, data = random.Random(7), {}, bytearray()
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        middle = 1.0 if name.endswith("LayerNorm.weight") else 0.0
        values = array.array("f", (middle + rng.gauss(0, 0.1) for _ in range(count)))
        header[name] = {"dtype": "F32", "shape": list(shape),
                        "data_offsets": [len(data), len(data) + 4 * count]}
        data += values.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (directory / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)


class Installation:
    """One PRELOOP_HOME with the four services connected, and with --postgres a database of its own.

    `place` says where: `below` a directory, in a `tablespace`, by way of `host` and `database_port`.
    """

    def __init__(self, options, port, services=SERVICES, environment=None, as_app=False, **place):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="preloop-soak-", dir=place.get("below")))
        self.programs = pathlib.Path(options.programs).resolve()
        self.environment = {**os.environ, "PRELOOP_HOME": str(self.home), "SOAK_TOKEN": "test-token",
                            **(environment or {})}
        self.postgres, self.database = options.postgres, None
        if self.postgres:
            self.database = self.postgres.database(place.get("tablespace"))
            self.environment["DATABASE_URL"] = self.postgres.address(
                self.database, place.get("host"), place.get("database_port"))
            # Every program of the run searches there, and nothing else than the database has an index.
            self.environment["PRELOOP_VECTOR_BACKEND"] = options.vector_backend
        self.port = port
        self.connect(port, services, as_app)
        if self.postgres and soak_vectors.searches_database(self):
            soak_vectors.make_index(self)

    def connect(self, port, services=SERVICES, as_app=False):
        """With `as_app` GitHub is read as an App, whose tokens end and are made anew."""
        self.run("preloop", "init")
        for name in services:
            base = f"http://127.0.0.1:{port}/{name}"
            kind = name.split("-")[0]
            extra = []
            if kind == "jira":
                deployment = name.split("-")[1]
                extra = ["--deployment", deployment]
                if deployment == "cloud":
                    extra += ["--user", "soak@example.com"]
            token = ["--token-env", "SOAK_TOKEN"]
            if as_app and kind == "github":
                key = self.home / "app.pem"
                subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True,
                               capture_output=True)
                token = ["--app-id", "1", "--private-key-file", str(key)]
            self.run("preloop", "trackers", "add", kind, "--name", name, "--url", base, *extra,
                     *token)

    def remove(self):
        if self.database:
            self.postgres.drop(self.database)
        shutil.rmtree(self.home, ignore_errors=True)

    def start_scan(self):
        return subprocess.Popen([self.programs / "preloop-sync", "scan", "all", "--quiet"],
                                env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def run(self, program, *arguments, codes=(0,), **options):
        done = subprocess.run([self.programs / program, *arguments], capture_output=True,
                              **{"env": self.environment, **options})
        if done.returncode not in codes:
            raise SystemExit(f"{program} {' '.join(arguments)} ended with {done.returncode}:\n"
                             + done.stderr.decode(errors="replace")[-3000:])
        return done

    def scan(self, *arguments, codes=(0,)):
        done = self.run("preloop-sync", "scan", "all", "--json", *arguments, codes=codes)
        return json.loads(done.stdout.decode().strip().split("\n")[-1]), done.returncode

    def scan_until_clean(self, *arguments, tries=2):
        """Scans once, and again while some project could not be finished."""
        for attempt in range(tries):
            report, code = self.scan(*arguments, codes=(0, 7))
            if code == 0:
                return report, attempt + 1
        return report, tries + 1

    def export(self, *arguments):
        """The export with the service's port, which differs from run to run, made one."""
        exported = self.run("preloop", "export", "issues", "--jsonl", *arguments).stdout
        return exported.replace(f"127.0.0.1:{self.port}".encode(), b"127.0.0.1:PORT")


def words(text):
    return re.findall(r"[^\W_]+", text or "")


def resembles(converted, original):
    """Whether a converted body has the words of the original: markup goes, words stay."""
    # Macros and attachments are markup through and through.
    theirs = words(re.sub(r"(?m)\{[^{}\n]*\}|\|[^|!\n]*!|^h[1-6]\.", " ", original))
    if not theirs:
        return True
    mine = set(words(converted))
    return sum(word in mine for word in theirs) >= 0.9 * len(theirs)


def compare(service, exported, name):
    """Compares an export with the service's own truth, issue for issue, comment for comment."""
    known = service.bodies()
    by_project = {}
    for line in exported.decode().rstrip("\n").split("\n"):
        row = json.loads(line)
        by_project.setdefault((row["tracker"], row["project"]), []).append(row)
    keys = jira_keys(service) if any(t.startswith("jira") for t, _ in by_project) else {}
    wrong, issues, comments, expected_total = [], 0, 0, 0
    for tracker, project in service.projects():
        truth = service.control(f"/_truth?tracker={tracker}&project={project}")
        expected_total += len(truth["items"])
        path = keys.get(project, project) if tracker.startswith("jira") else project
        mine = {str(row["number"]): row for row in by_project.pop((tracker, path), [])}
        for number, item in truth["items"].items():
            row = mine.pop(number, None)
            where = f"{tracker} {project}#{number}"
            if row is None:
                wrong.append(f"{where} is missing")
                continue
            issues += 1
            comments += len(row["comments"])
            wrong += [f"{where}: {fault}" for fault in differences(row, item, known, tracker)]
        wrong += [f"{tracker} {project}: extra {row['key']}" for row in mine.values()]
    wrong += [f"{key}: {len(rows)} issues of no such project" for key, rows in by_project.items()]
    check(f"{name}: export equals the truth", not wrong,
          f"{issues} of {expected_total} issues, {comments} comments, {len(wrong)} differences"
          + "".join(f"\n       {each}" for each in wrong[:10]))
    return not wrong


def jira_keys(service):
    """The key of each project of Jira, which the truth names by path."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{service.port}/jira-server/rest/api/2/project",
        headers={"Authorization": "Bearer test-token"})
    for attempt in range(10):
        # This route is part of the service and has its faults.
        with contextlib.suppress(OSError, ValueError):
            with urllib.request.urlopen(request, timeout=60) as answer:
                found = {str(each["id"]): each["key"] for each in json.load(answer)}
            break
    keys = {}
    for tracker, project in service.projects():
        if tracker == "jira-server":
            truth = service.control(f"/_truth?tracker={tracker}&project={project}")
            keys[project] = found[str(truth["id"])]
    return keys


def differences(row, item, known, tracker):
    jira = tracker.startswith("jira")
    if row["title"] != sanitized(item["title"]) and row["title"].strip() != sanitized(item["title"]).strip():
        yield f"title {row['title'][:60]!r}"
    if row["state"] != item["state"]:
        yield f"state {row['state']}"
    if row["labels"] != item["labels"]:
        yield f"labels {row['labels']}"
    if (row["kind"] == "pull_request") != item["is_pull_request"]:
        yield f"kind {row['kind']}"
    original = known.get(item["body_sha256"])
    if original is None:
        yield "a body nobody wrote"
    elif jira:
        if not resembles(row["body"], sanitized(original)):
            yield "body lost words in conversion"
    elif row["body"] != sanitized(original):
        yield "body"
    mine = {str(c["external_id"]): c for c in row["comments"]}
    if set(mine) != set(item["comments"]):
        yield f"comments {len(mine)} instead of {len(item['comments'])}"
        return
    for ident, sha in item["comments"].items():
        text = known.get(sha)
        if not jira and text is not None and mine[ident]["body"] != sanitized(text):
            yield f"comment {ident}"


# ------------------------------------------------------------------------------------------- parts

ALL = ("bips", "bitcoin", "edge", "f2etw", "jira")
SMALL = ("edge", "f2etw")


def part_truth(options):
    with Service(ALL) as service:
        home = Installation(options, service.port, environment=options.real)
        started = time.time()
        report, _ = home.scan()
        print(f"     first scan {time.time() - started:.0f} s: {json.dumps(report.get('totals', report))[:400]}")
        # The greatest of all programs that ended so far; the scan is by far the largest.
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        check("memory of a full scan below 350 MB", peak < 350, f"{peak:.0f} MB")
        compare(service, home.export(), "first scan")
        projects = len(service.projects())
        service.control("/_stats/reset", {})
        report, _ = home.scan()
        stats = service.control("/_stats")
        check("second scan: at most three requests a project",
              stats["requests"] <= 3 * projects + 4 * len(SERVICES),
              f"{stats['requests']} requests for {projects} projects, {stats['not_modified']} not modified; "
              + json.dumps(stats["routes"]))
        totals = report["totals"]
        check("second scan: nothing rewritten, nothing embedded",
              totals["changed"] == 0 and totals["created"] == 0 and totals["embedded"] == 0,
              json.dumps(totals))
        home.remove()


def part_changes(options):
    with Service(("edge", "f2etw", "jira")) as service:
        home = Installation(options, service.port, environment=options.tiny)
        home.scan()
        edits = [("github", "f2etw/jobs", n) for n in (1, 2, 3, 5, 8)]
        edits += [("gitlab", "edge/ties", n) for n in range(1, 6)]
        edits += [("jira", "HADOOP", n) for n in range(10, 15)]
        for tracker, project, number in edits:
            service.mutate(tracker, project, number, set={"title": f"Changed title {number}"})
        for number in range(3):
            service.mutate("github", "edge/ties",
                           create={"title": f"New {number}", "body": "made just now"})
        for number in (20, 21, 22, 23):
            service.mutate("github", "f2etw/jobs", number, delete=True)
        service.mutate("github", "f2etw/jobs", 30, transfer="f2etw/f2e-notes")
        service.mutate("gitlab", "edge/ties", 40, delete=True)
        service.mutate("jira", "HADOOP", 50, delete=True)
        report, _ = home.scan()
        print("     after 25 changes:", json.dumps(report["totals"]))
        report, _ = home.scan("--full")
        print("     full scan:", json.dumps(report["totals"]))
        fresh = Installation(options, service.port, environment=options.tiny)
        fresh.scan()
        check("25 changes: export equals a fresh installation's", comparable(home) == comparable(fresh))
        check("25 changes: no vector missing, none of another text or of none", is_indexed(home))
        home.remove()
        fresh.remove()


def comparable(home):
    """An export without what a fresh installation cannot know."""
    return b"\n".join(sorted(home.export().split(b"\n")))


def part_faults(options):
    with Service(SMALL) as service:
        calm = Installation(options, service.port, environment=options.tiny)
        calm.scan()
        expected = expected_bodies(calm.export())
        calm.remove()
    for seed in range(options.seeds):
        with Service(SMALL, "--faults", seed, "--fault-rate", "0.1") as service:
            home = Installation(options, service.port, environment=options.tiny)
            report, scans = home.scan_until_clean()
            got = expected_bodies(home.export())
            stats = service.control("/_stats")
            check(f"faults seed {seed}", got == expected and scans <= 2,
                  f"{scans} scans, {sum(stats['faults'].values())} faults {dict(stats['faults'])}"
                  + first_difference(expected, got))
            compare(service, home.export(), f"faults seed {seed}")
            home.remove()


def expected_bodies(exported):
    """The export without the noise a fault run puts into one body a project, and into times."""
    rows = {}
    for line in exported.decode().rstrip("\n").split("\n"):
        row = json.loads(line)
        row.pop("updated_at")
        row["body"] = row["body"].split("\nNUL:")[0].split("NUL:")[0].strip()
        rows[(row["tracker"], row["project"], row["kind"], row["number"])] = json.dumps(
            row, sort_keys=True)
    return rows


def first_difference(expected, got):
    for key in sorted(set(expected) | set(got)):
        if expected.get(key) != got.get(key):
            return f"\n       {key}:\n       {str(expected.get(key))[:300]}\n       {str(got.get(key))[:300]}"
    return ""


EXPIRING = "expiring tokens"


def part_switches(options):
    switches = [
        ("list lag", ("--github-list-lag", 3000)), ("index lag", ("--jira-index-lag", 3000)),
        ("page cap", ("--github-page-cap", 100)),
        ("time zone west", ("--jira-timezone", "America/New_York")),
        ("time zone east", ("--jira-timezone", "Asia/Kolkata")),
        ("rate limit of 50", ("--rate-limit", 50, "--rate-window", 5)),
        ("free edition of GitLab", ("--gitlab-ce",)),
        # A second of life: a scan takes several.
        (EXPIRING, ("--app-token-ttl", 1)),
    ]
    exports = {}
    for name, arguments in [("plain", ())] + switches:
        with Service(SMALL, *arguments) as service:
            home = Installation(options, service.port, environment=options.tiny,
                                as_app=name == EXPIRING)
            home.scan_until_clean()
            for number in (1, 2, 3):
                service.mutate("github", "f2etw/jobs", number,
                               set={"title": f"Edited {number}", "updated_at": "2026-01-01T00:00:00Z"})
                service.mutate("jira", "edge/ties", number,
                               set={"title": f"Edited {number}", "updated_at": "2026-01-01T00:00:00Z"})
            home.scan_until_clean()
            time.sleep(3.5 if "lag" in name else 0)
            _, scans = home.scan_until_clean()
            exports[name] = home.export()
            if name != "plain":
                check(f"switch {name}", exports[name] == exports["plain"], f"{scans} scans")
            if name == EXPIRING:
                made = service.control("/_stats")["routes"].get(
                    "github app/installations/:id/access_tokens", 0)
                check("switch expiring tokens: several tokens were made", made > 4, f"{made} tokens")
            home.remove()


# A scan may end before its moment comes; more tries than these for a kill, and most of them do.
TRIES_FOR_A_KILL = 3


def following(span, is_under_way):
    """Among how many seconds to choose the next moment: the machine may have got faster since a scan was timed."""
    return span if is_under_way else span * 0.9


def part_kills(options):
    """kill -9 of scans; only those count at which the scan was still under way."""
    rng = random.Random(options.seed)
    with Service(SMALL) as service:
        expected, length = undisturbed(options, service)
        killed = tries = bad = faulty = 0
        span = length
        while killed < options.kills and tries < options.kills * TRIES_FOR_A_KILL:
            tries += 1
            home = Installation(options, service.port, environment=options.tiny)
            process = home.start_scan()
            time.sleep(rng.uniform(0, span))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            is_killed = process.returncode == -signal.SIGKILL
            killed += is_killed
            span = following(span, is_killed)
            home.scan()
            bad += home.export() != expected
            faulty += not is_indexed(home)
            home.remove()
        name = f"{killed} scans ended by SIGKILL, {tries - killed} before it"
        check(f"{name}: as many as wanted", killed >= options.kills, f"{options.kills} wanted")
        check(f"{name}: export equal after the next scan", bad == 0, f"{bad} differ")
        check(f"{name}: no vector missing or of another text, invariants hold", faulty == 0,
              f"{faulty} differ; a scan takes {length:.1f} s")


def undisturbed(options, service):
    """The export of a scan that nothing disturbs, and how long it takes."""
    calm = Installation(options, service.port, environment=options.tiny)
    started = time.time()
    calm.scan()
    length = time.time() - started
    expected = calm.export()
    calm.remove()
    return expected, length


def is_equal(home, expected):
    """Whether an installation has the export that is expected, and all that belongs to it."""
    equal = home.export() == expected
    return is_indexed(home) and equal


def verified(home):
    """What `index verify` finds, and how it ended."""
    verify = home.run("preloop", "index", "verify", "--json", codes=(0, 1))
    return json.loads(verify.stdout or b"{}").get("index") or {}, verify


def is_indexed(home):
    """Whether every text has its passages, these their vectors in the index and in every copy, and nothing waits."""
    found, verify = verified(home)
    sound = verify.returncode == 0 and found.get("backlog") == 0 and found.get("stored", 0) > 0
    if not sound:
        print("     index verify:", found, verify.stderr.decode()[-300:], flush=True)
    faults = soak_vectors.faults(home, found.get("stored", 0))
    if faults:
        print("     doctor --vectors:", " | ".join(faults), flush=True)
    return sound and not faults


def only_on_postgres(part):
    def run(options):
        if options.postgres:
            part(options, sys.modules[__name__])
        else:
            print("skip: needs --postgres")
    return run


def part_hardships(options):
    soak_postgres.hardships(options, sys.modules[__name__])
    if not options.postgres:
        soak_frozen.frozen(options, sys.modules[__name__])
    soak_recovery.recovery(options, sys.modules[__name__])


def part_storm(options):
    soak_storm.storm(options, sys.modules[__name__])


def part_interface(options):
    soak_server.interface(options, sys.modules[__name__])


def part_crowd(options):
    soak_crowd.crowd(options, sys.modules[__name__])


def part_served_approvals(options):
    soak_approvals.served(options, sys.modules[__name__])


def part_slow(options):
    soak_server.slow(options, sys.modules[__name__])


PARTS = {"truth": part_truth, "changes": part_changes, "faults": part_faults, "switches": part_switches, "kills": part_kills,
         "server-kills": only_on_postgres(soak_postgres.server_kills), "cuts": only_on_postgres(soak_postgres.cuts),
         "copy": only_on_postgres(soak_copy.copies),
         "pooler": only_on_postgres(soak_pooler.pooler), "tls": only_on_postgres(soak_pooler.tls),
         "hardships": part_hardships, "crowd": part_crowd, "storm": part_storm, "interface": part_interface, "slow": part_slow,
         "served-approvals": part_served_approvals}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--programs", required=True)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--server-kills", type=int, default=20)
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--rate", type=int, default=1_000, help="deliveries a second of a storm")
    parser.add_argument("--storm-seconds", type=int, default=60)
    parser.add_argument("--storm-kills", type=int, default=10)
    parser.add_argument("--approval-kills", type=int, default=100, help="of the server, by the part served-approvals")
    parser.add_argument("--slow-seconds", type=int, default=40, help="of each way of being slow")
    parser.add_argument("--examples", type=int, default=50, help="generated requests a route of the part interface")
    parser.add_argument("--schemathesis", default=ROOT / ".build/schemathesis-python/bin/schemathesis")
    parser.add_argument("--small", default=",".join(SMALL),
                        help="the corpora of the parts that repeat a scan many times")
    parser.add_argument("--postgres", action="store_true", help="on the server of scripts/lib/with-postgres")
    parser.add_argument("--vector-backend", choices=("memory", "pgvector"), default="memory",
                        help="pgvector: every program searches the database, which has an HNSW index from the beginning on")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", required=True, help="the directory of the real model")
    parser.add_argument("parts", nargs="*", default=[])
    options = parser.parse_args()
    if options.vector_backend == "pgvector" and not options.postgres:
        parser.error("--vector-backend pgvector goes with --postgres")
    globals()["SMALL"] = tuple(options.small.split(","))
    options.postgres = soak_postgres.Postgres() if options.postgres else None
    real = pathlib.Path(options.model).resolve()
    tiny = pathlib.Path(tempfile.mkdtemp(prefix="preloop-soak-model-"))
    small_model(real, tiny)
    options.real = {"PRELOOP_EMBEDDING_MODEL": str(real)}
    options.tiny = {"PRELOOP_EMBEDDING_MODEL": str(tiny)}
    for name in options.parts or PARTS:
        print(f"== {name}", flush=True)
        PARTS[name](options)
    print(f"{len(failures)} failed" if failures else "all checks passed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
