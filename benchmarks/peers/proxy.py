#!/usr/bin/env python3
"""A call of another server's tool through Preloop, beside the same call without it and through other proxies.

usage: proxy.py --preloop PROGRAM --home DIRECTORY [--rounds N] [--approvals N]

One client, one session of 2025-06-18 a path, calls one after the other: directly, through nginx that only passes bytes
on, through fastmcp's two proxies, and through `preloop serve` with ten rules, the audit and SQLite. Behind all of them stands
the same server, once a cheap one (`raw`), once one of the official SDK. All paths have their turn in each round, each round
begins with another one. Then what a thousand calls take that wait for approval, and how long after a decision the
result is there. One JSON line a measurement. Packages: mcp, fastmcp; nginx on the PATH. Needs two cores: proxies on the
first, client and server behind them on the second.
"""

import argparse
import contextlib
import gc
import json
import os
import pathlib
import random
import re
import resource
import selectors
import shutil
import sqlite3
import subprocess
import sys
import time

import machine
from servers import (CLIENT_CORE, Connection, Process, SessionCaller, StatelessCaller, free_port, percentile,
                     wait_for)
from ten_rules import ARGUMENTS, RULES

PEERS = pathlib.Path(__file__).resolve().with_name("proxy_peers.py")
# The servers behind, each with the tool that is called there.
UPSTREAMS = {"raw": "echo", "sdk": "repeat"}
OURS = "/mcp/v1"
# Calls a path makes in a round, after so many at the beginning that do not count.
BLOCK, WARMING = 25, 50
# After a block what a proxy does behind its answers counts, too.
BEHIND = 0.005
# About what an event of the audit has.
ROW = 700
HELD, HELD_WARMING = 1_000, 20
# One caller may have a hundred requests open: so many callers share them, half for each way of waiting.
OPEN, CROWD = 90, 24
PACKAGES = {"direct": (), "disk": (), "nginx": (), "preloop": (), "fastmcp": ("fastmcp", "mcp"),
            "fastmcp-sessions": ("fastmcp", "mcp")}


def say(engine, versions="", **row):
    stamp = machine.stamp(*PACKAGES[engine])
    if row.get("upstream") == "sdk":
        versions = ", ".join(filter(None, (versions, machine.versions("mcp"))))
    told = dict.fromkeys(piece for text in (stamp.get("version", ""), versions) for piece in text.split(", ") if piece)
    print(json.dumps({"benchmark": "proxy", "engine": engine, **stamp, "version": ", ".join(told), **row}), flush=True)


# ------------------------------------------------------------------------------------- what is started

class World:
    """Servers and proxies; all of them end with the stack."""

    def __init__(self, options, stack):
        self.options, self.stack = options, stack
        self.ports = {name: free_port() for name in UPSTREAMS}
        for name, port in self.ports.items():
            self.peer(name, port, core=CLIENT_CORE)
        self.keys = self.install()

    def start(self, command, environment=None, **core):
        process = Process(command, environment, **core)
        self.stack.callback(process.stop)
        return process

    def peer(self, kind, port, *more, **core):
        process = self.start([sys.executable, PEERS, kind, port, *more], {"FASTMCP_LOG_LEVEL": "CRITICAL"}, **core)
        wait_for(port)
        return process

    def url(self, upstream):
        return f"http://127.0.0.1:{self.ports[upstream]}/mcp"

    # ---- Preloop

    def environment(self):
        return {"PRELOOP_HOME": str(self.options.home / "home"), "BENCH_PASSWORD": "correct horse battery",
                "LOG_LEVEL": "error", "PRELOOP_UPSTREAM_ALLOW": "127.0.0.0/8"}

    def install(self):
        """A new installation with both servers behind it and the policy; keys of who calls and who decides."""
        shutil.rmtree(self.options.home, ignore_errors=True)
        self.options.home.mkdir(parents=True)

        def run(*words):
            return subprocess.run([self.options.preloop, *words], env={**os.environ, **self.environment()},
                                  check=True, stdout=subprocess.PIPE).stdout.decode()

        run("init", "--admin", "ann", "--password-env", "BENCH_PASSWORD")
        for name in UPSTREAMS:
            run("servers", "add", name, "--url", self.url(name))
        (self.options.home / "policy.yaml").write_text(json.dumps(policy()))
        run("policy", "apply", self.options.home / "policy.yaml")
        users = {"agent": "ann", "approver": "ann"}
        for number in range(CROWD):
            users[f"agent {number}"] = f"agent{number}"
            run("users", "add", f"agent{number}", "--role", "editor", "--password-env", "BENCH_PASSWORD")
        return {name: run("keys", "add", name, "--user", user).split()[0] for name, user in users.items()}

    @contextlib.contextmanager
    def preloop(self):
        """A new process of ours, and its port."""
        server = Process([self.options.preloop, "serve", "--port", "0"], self.environment())
        try:
            yield server, int(re.search(r"http://[^ :]+:(\d+)", server.line()).group(1))
        finally:
            server.stop()

    # ---- nginx

    def nginx(self):
        """An instance of its own, its port for each server, and its version."""
        program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            raise SystemExit("nginx is missing; `scripts/setup --bench` installs it")
        prefix = self.options.home / "nginx"
        prefix.mkdir()
        ports = {name: free_port() for name in UPSTREAMS}
        (prefix / "nginx.conf").write_text(nginx_configuration(self.ports, ports))
        process = self.start([program, "-p", prefix, "-c", "nginx.conf", "-e", "stderr"])
        for port in ports.values():
            wait_for(port)
        told = subprocess.run([program, "-v"], stderr=subprocess.PIPE, text=True, check=True).stderr
        return process, ports, "nginx " + re.search(r"nginx/(\S+)", told).group(1)


def policy():
    """Ten rules for what is called, of which the last one holds and allows; two workflows for what is held."""
    rules = [{"condition_type": "cel", "expression": rule, "action": "deny"} for rule in RULES]
    rules[-1]["action"] = "allow"
    held = [{"name": f"raw/{tool}", "conditions": [{"action": "require_approval", "approval_workflow": workflow}]}
            for tool, workflow in (("parked", "later"), ("awaited", "people"))]
    return {"metadata": {"name": "bench"},
            "approval_workflows": [{"name": "people"},
                                   {"name": "later", "async_approval": True, "timeout_seconds": 3600}],
            "tools": [{"name": f"{name}/{tool}", "conditions": rules} for name, tool in UPSTREAMS.items()] + held,
            "defaults": {"unknown_tools": "deny"}}


def nginx_configuration(behind, listening):
    """Bytes are passed on as they come, connections are kept on both sides; nothing is written."""
    servers = "".join(f"""
    upstream {name} {{ server 127.0.0.1:{behind[name]}; keepalive 8; keepalive_requests 1000000; }}
    server {{
        listen 127.0.0.1:{listening[name]};
        location / {{
            proxy_pass http://{name};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host 127.0.0.1:{behind[name]};
            proxy_buffering off;
        }}
    }}""" for name in behind)
    paths = "".join(f"    {kind}_temp_path temporary-{kind};\n"
                    for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    return f"""daemon off;
worker_processes 1;
pid nginx.pid;
events {{ worker_connections 256; }}
http {{
    access_log off;
    keepalive_requests 1000000;
    keepalive_timeout 600s;
{paths}{servers}
}}
"""


# --------------------------------------------------------------------------------------------- calls

class Path:
    """A way to a tool, what it has taken so far, and the process of its proxy."""

    def __init__(self, engine, caller, tool, process=None, versions=""):
        self.engine, self.caller, self.tool, self.process, self.versions = engine, caller, tool, process, versions
        self.times, self.used, self.number = [], 0.0, 0

    def processor_seconds(self):
        return self.process.processor_seconds() if self.process else 0.0

    def block(self, count):
        before = self.processor_seconds()
        times = [self.call() for _ in range(count)]
        time.sleep(BEHIND)
        return times, self.processor_seconds() - before

    def call(self):
        self.number += 1
        text = f"call {self.number} of {self.engine}"
        self.caller.call(self.tool, {**ARGUMENTS, "text": text})
        answer = self.caller.answer()
        took = time.perf_counter() - self.caller.sent
        if text.encode() not in answer.called():
            raise SystemExit(f"another answer: {answer.body[:400]!r}")
        return took


def calls(world, upstream, nginx, preloop, rounds):
    """All paths to one server, in turn."""
    tool, port = UPSTREAMS[upstream], world.ports[upstream]
    process, ports, version = nginx
    ours, our_port = preloop
    paths = [Path("direct", SessionCaller(port, "/mcp"), tool),
             Path("nginx", SessionCaller(ports[upstream], "/mcp"), tool, process, version),
             Path("preloop", SessionCaller(our_port, OURS, world.keys["agent"]), tool, ours)]
    peers = []
    for kind in ("fastmcp", "fastmcp-sessions"):
        peer_port = free_port()
        peers.append(world.peer(kind, peer_port, world.url(upstream)))
        paths.append(Path(kind, SessionCaller(peer_port, "/mcp"), tool, peers[-1]))
    for path in paths:
        path.block(WARMING)
    synced = []
    gc.disable()
    for number in range(rounds):
        turn = number % len(paths)
        for path in paths[turn:] + paths[:turn]:
            times, used = path.block(BLOCK)
            path.times += times
            path.used += used
        synced += committed(world.options.home / "disk.db", BLOCK)
    gc.enable()
    for peer in peers:
        peer.stop()
    told(upstream, paths)
    synced.sort()
    say("disk", upstream=upstream, what="commit", calls=len(synced), p50_ms=1e3 * percentile(synced, 0.5),
        p99_ms=1e3 * percentile(synced, 0.99))


def committed(path, count):
    """What it takes to have a row in a database, on the disk that has the audit and as safe, so many times."""
    times = []
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        for statement in ("journal_mode = WAL", "synchronous = FULL", "wal_autocheckpoint = 4000"):
            database.execute(f"PRAGMA {statement}")
        database.execute("CREATE TABLE IF NOT EXISTS rows (number INTEGER PRIMARY KEY, value BLOB)")
        for _ in range(count):
            started = time.perf_counter()
            database.execute("INSERT INTO rows (value) VALUES (?)", (bytes(ROW),))
            times.append(time.perf_counter() - started)
    return times


def told(upstream, paths):
    direct = None
    for path in paths:
        times = sorted(path.times)
        row = {"upstream": upstream, "what": "call", "calls": len(times), "p50_ms": 1e3 * percentile(times, 0.5),
               "p99_ms": 1e3 * percentile(times, 0.99)}
        if direct is None:
            direct = row["p50_ms"]
        else:
            row["added_p50_ms"] = row["p50_ms"] - direct
            row["cpu_ms_per_call"] = 1e3 * path.used / len(times)
        say(path.engine, path.versions, **row)


# ----------------------------------------------------------------------------------------- approvals

class Approver(Connection):
    """Decides over REST."""

    PATH = "/api/v1/approval-requests"

    def __init__(self, port, key):
        super().__init__(port)
        self.key = f"Authorization: Bearer {key}\r\n"

    def pending(self, limit, cursor=None):
        """Requests that wait, and where the next page begins."""
        more = f"&cursor={cursor}" if cursor else ""
        self.send("GET", f"{self.PATH}?status=pending&limit={limit}{more}", self.key)
        answer = self.answer()
        if answer.status != 200:
            raise SystemExit(f"what waits cannot be listed: {answer.status} {answer.body[:400]!r}")
        found = re.search(rb"(?i)\r\nx-next-cursor: *(\S+)", answer.head)
        return json.loads(answer.body), found and found.group(1).decode()

    def count(self):
        requests, cursor = self.pending(100)
        count = len(requests)
        while cursor:
            requests, cursor = self.pending(100, cursor)
            count += len(requests)
        return count

    def approve(self, request):
        """Sends the decision."""
        self.send("POST", f"{self.PATH}/{request}/approve", f"{self.key}Content-Type: application/json\r\n", b"{}")


def released(world, count):
    """From the decision, and from its answer, to the result at a client that waits."""
    rng = random.Random(11)
    times, behind = [], []
    with world.preloop() as (_, port):
        caller, approver = SessionCaller(port, OURS, world.keys["agent"]), Approver(port, world.keys["approver"])
        for number in range(WARMING // 10 + count):
            text = f"approval {number}"
            caller.call("awaited", {"text": text})
            while not (requests := approver.pending(1)[0]):
                time.sleep(0.005)
            # So that it waits, and at any point of what is done at intervals.
            time.sleep(rng.uniform(0.05, 0.35))
            approver.approve(requests[0]["request_id"])
            arrived, answers = both(approver, caller)
            if answers[approver].status != 200 or text.encode() not in answers[caller].called():
                raise SystemExit(f"an approval did not release: {answers}")
            if number >= WARMING // 10:
                times.append(1e3 * (arrived[caller] - approver.sent))
                behind.append(1e3 * (arrived[caller] - arrived[approver]))
    times.sort()
    behind.sort()
    say("preloop", what="release", upstream="raw", calls=count, p50_ms=percentile(times, 0.5),
        p99_ms=percentile(times, 0.99), behind_answer_p50_ms=percentile(behind, 0.5),
        behind_answer_p99_ms=percentile(behind, 0.99))


def both(*connections):
    """When the answer of each was there, and what it was."""
    arrived, answers = {}, {}
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        while len(answers) < len(connections):
            ready = selector.select(60)
            if not ready:
                raise SystemExit("an answer did not come within a minute")
            for key, _ in ready:
                if answer := key.data.received():
                    arrived[key.data], answers[key.data] = time.perf_counter(), answer
                    selector.unregister(key.data.socket)
    return arrived, answers


def parked(world):
    """What calls take whose clients have got a handle and gone."""
    with world.preloop() as (server, port):
        callers = [SessionCaller(port, OURS, world.keys[f"agent {number}"]) for number in range(CROWD // 2)]
        calls = 0

        def park(kind, count):
            nonlocal calls
            for number in range(count):
                caller = callers[calls // OPEN]
                calls += 1
                caller.call("parked", {**ARGUMENTS, "text": f"{kind} {number}"})
                if b"pending_approval" not in caller.answer().called():
                    raise SystemExit("a call was not held")

        park("before", HELD_WARMING)
        grown(server, "parked", lambda: park("then", HELD))
        held(port, world, HELD + HELD_WARMING)


def waiting(world):
    """What calls take whose clients wait, each on a connection of its own."""
    with world.preloop() as (server, port):
        callers = []

        def call(count):
            for _ in range(count):
                caller = StatelessCaller(port, OURS, world.keys[f"agent {CROWD // 2 + len(callers) // OPEN}"])
                callers.append(caller)
                caller.call("awaited", {**ARGUMENTS, "text": f"waits {len(callers)}"})

        call(HELD_WARMING)
        grown(server, "waiting", lambda: call(HELD))
        held(port, world, 2 * (HELD + HELD_WARMING))
        for caller in callers:
            caller.socket.close()


def grown(server, what, body):
    """How much memory a server has more after something than before, at rest."""
    server.settle()
    before = server.memory()
    body()
    server.settle()
    after = server.memory()
    say("preloop", what=what, upstream="raw", held=HELD, grown_mb=after["VmRSS"] - before["VmRSS"],
        grown_anonymous_mb=after["RssAnon"] - before["RssAnon"])


def held(port, world, count):
    """That so many wait; asked after what it would disturb."""
    waits = Approver(port, world.keys["approver"]).count()
    if waits != count:
        raise SystemExit(f"{waits} calls wait, not {count}")


def measure(options):
    # A thousand connections at both ends.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.sched_setaffinity(0, {int(CLIENT_CORE)})
    with contextlib.ExitStack() as stack:
        world = World(options, stack)
        nginx = world.nginx()
        with world.preloop() as preloop:
            for upstream in UPSTREAMS:
                calls(world, upstream, nginx, preloop, options.rounds)
        released(world, options.approvals)
        parked(world)
        waiting(world)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--preloop", type=pathlib.Path, required=True)
    parser.add_argument("--home", type=pathlib.Path, required=True, help="made anew")
    parser.add_argument("--rounds", type=int, default=24)
    parser.add_argument("--approvals", type=int, default=120)
    options = parser.parse_args()
    options.preloop, options.home = options.preloop.resolve(), options.home.resolve()
    measure(options)


if __name__ == "__main__":
    main()
