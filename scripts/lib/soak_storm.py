"""The storm part of the soak: a tracker's deliveries at a fixed rate, repeated and forged ones among them, then the same
with the server killed in mid-storm.

Every request has a time at which it is due, and its latency counts from there: a server that falls behind cannot hide it.
"""

import collections
import contextlib
import hashlib
import hmac
import http.server
import json
import random
import re
import selectors
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
import urllib.request

CORPUS = "f2etw"
PROJECT = "f2etw/jobs"
# Of all deliveries; the rest is new and signed.
REPEATED, FORGED = 0.30, 0.05
CONNECTIONS = 128
# A storm would use up what the service lets a client ask in an hour; then work waits for the next.
UNLIMITED = ("--rate-limit", 10_000_000)
# A kill comes so many seconds into its storm, at random.
KILL_AFTER = (1.0, 4.0)
LIMIT_P99 = 0.050


class Capture(http.server.BaseHTTPRequestHandler):
    """Keeps what the tracker service sends, as it sends it."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append((dict(self.headers.items()), body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def captured(service, events):
    """The service's own deliveries as (headers, body) for each event."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Capture)
    server.taken = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for event, action, number in events:
        service.control("/_webhook", {
            "tracker": "github", "project": PROJECT, "number": number, "event": event, "action": action,
            "url": f"http://127.0.0.1:{server.server_port}/", "secret": "captured"})
    server.shutdown()
    return server.taken


class Overhearer:
    """An HTTP proxy on the way to the tracker service that hears the secret which is registered there."""

    def __init__(self, port):
        self.upstream = port
        self.heard = b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.upstream))
                for source, sink, listens in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self.copy, args=(source, sink, listens), daemon=True).start()

    def copy(self, source, sink, listens):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if listens:
                    self.heard += data
                    data = data.replace(f" http://127.0.0.1:{self.upstream}/".encode(), b" /")
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def secret(self):
        self.listener.close()
        return re.search(rb'"secret" ?: ?"([0-9a-f]{64})"', self.heard).group(1)


class Server:
    """`preloop serve` of an installation, on a port of its own."""

    def __init__(self, home, port=0):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [home.programs / "preloop", "serve", "--port", str(port)], env=home.environment,
            stdout=subprocess.PIPE, stderr=self.log)
        line = self.process.stdout.readline().decode()
        found = re.search(r"http://[^ :]+:([0-9]+)", line)
        if not found:
            self.log.seek(0)
            raise SystemExit(f"the server did not start: {line} {self.log.read().decode()[-2000:]}")
        self.port = int(found.group(1))
        # The set-up link that follows must not fill the pipe.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.terminate()
        return self.process.wait(timeout=60)

    def processor_seconds(self):
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def resident_megabytes(self):
        with open(f"/proc/{self.process.pid}/status") as file:
            return int(re.search(r"VmRSS:\s+([0-9]+)", file.read()).group(1)) / 1024


class Deliveries:
    """An endless, seeded sequence of deliveries: new ones, repeated ones, forged ones."""

    def __init__(self, payloads, secret, path, seed):
        self.random = random.Random(seed)
        self.seed = seed
        self.count = 0
        self.sent = collections.deque(maxlen=20_000)
        self.heads = []
        for headers, body in payloads:
            signature = hmac.new(secret, body, hashlib.sha256).hexdigest()
            wrong = hmac.new(secret + b"-not", body, hashlib.sha256).hexdigest()
            kept = "".join(f"{name}: {value}\r\n" for name, value in headers.items()
                           if name.startswith(("X-GitHub-Event", "X-GitHub-Hook", "User-Agent", "Content-")))
            head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{kept}X-Hub-Signature-256: sha256="
            self.heads.append((f"{head}{signature}\r\n".encode(), f"{head}{wrong}\r\n".encode(), body))

    def next(self):
        """(kind, identifier, bytes); one that is repeated may still be under way."""
        chance = self.random.random()
        if chance < REPEATED and self.sent:
            identifier, place = self.random.choice(self.sent)
            kind = "repeated"
        else:
            self.count += 1
            place = self.count % len(self.heads)
            kind = "forged" if chance < REPEATED + FORGED else "new"
            identifier = f"{kind}-{self.seed}-{self.count}"
            if kind == "new":
                self.sent.append((identifier, place))
        good, wrong, body = self.heads[place]
        head = wrong if kind == "forged" else good
        return kind, identifier, head + f"X-GitHub-Delivery: {identifier}\r\n\r\n".encode() + body


class Line:
    """One connection with at most one request under way."""

    __slots__ = ("socket", "pending", "buffer", "due", "kind", "identifier")

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.pending, self.buffer = b"", b""


class Storm:
    """Sends deliveries at a rate from one thread, and keeps what became of each."""

    def __init__(self, port, deliveries, rate):
        self.port, self.deliveries, self.rate = port, deliveries, rate
        self.latencies = []
        self.statuses = collections.Counter()
        self.late = 0
        # What the server has said yes to: identifiers of new and repeated ones.
        self.acknowledged, self.forged = set(), set()
        self.lost = 0

    def run(self, seconds, until=None):
        """Sends for so long, or until `until()`, and waits for the answers that are due."""
        selector = selectors.DefaultSelector()
        free = collections.deque()
        for _ in range(CONNECTIONS):
            line = Line(self.port)
            selector.register(line.socket, selectors.EVENT_READ, line)
            free.append(line)
        start, sent, total = time.perf_counter(), 0, int(seconds * self.rate)
        busy = 0
        while (sent < total or busy) and not (until and until()):
            now = time.perf_counter()
            while sent < total and start + sent / self.rate <= now and free:
                line = free.popleft()
                line.due = start + sent / self.rate
                line.kind, line.identifier, line.pending = self.deliveries.next()
                sent += 1
                busy += 1
                self.send(selector, line)
            if sent < total and start + sent / self.rate <= now:
                self.late += 1
            wait = max(0.0, start + sent / self.rate - now) if sent < total and free else 0.05
            for key, mask in selector.select(min(wait, 0.05)):
                line = key.data
                if mask & selectors.EVENT_WRITE:
                    self.send(selector, line)
                if mask & selectors.EVENT_READ and self.receive(selector, line):
                    free.append(line)
                    busy -= 1
            if now > start + seconds + 30:
                break
        self.lost = busy
        for key in list(selector.get_map().values()):
            key.data.socket.close()
        selector.close()
        return time.perf_counter() - start

    def send(self, selector, line):
        try:
            count = line.socket.send(line.pending)
        except BlockingIOError:
            count = 0
        except OSError:
            # The server is gone; whoever asked for that says so by `until`.
            return
        line.pending = line.pending[count:]
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if line.pending else 0)
        # One that was idle when the server went away was taken out then.
        if line.socket.fileno() in selector.get_map():
            selector.modify(line.socket, events, line)

    def receive(self, selector, line):
        """Whether the answer is there as a whole."""
        try:
            data = line.socket.recv(1 << 16)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            selector.unregister(line.socket)
            return False
        line.buffer += data
        end = line.buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        length = re.search(rb"(?i)content-length: *([0-9]+)", line.buffer[:end])
        if len(line.buffer) < end + 4 + int(length.group(1)):
            return False
        status = int(line.buffer[9:12])
        line.buffer = b""
        self.latencies.append(time.perf_counter() - line.due)
        self.statuses[(line.kind, status)] += 1
        if status == 202:
            self.acknowledged.add(line.identifier)
        if line.kind == "forged":
            self.forged.add(line.identifier)
        return True

    def percentile(self, share):
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def rows(home, statement):
    """What a query of one column gives, on either engine."""
    if home.database:
        return home.postgres.sql(statement, home.database).split("\n")
    with contextlib.closing(sqlite3.connect(f"file:{home.home}/preloop.db?mode=ro", uri=True)) as database:
        return [str(row[0]) for row in database.execute(statement)]


def drained(home, seconds=240):
    """Waits until no job of a delivery is left; whether that came to be."""
    end = time.time() + seconds
    while time.time() < end:
        left = int(rows(home, "SELECT count(*) FROM jobs WHERE kind = 'webhook' AND state IN ('waiting', 'running')")[0])
        if left == 0:
            return True
        time.sleep(0.5)
    return False


class World:
    """The tracker service, an installation that has scanned it, its secret, and what it would deliver."""

    def __init__(self, options, soak, service):
        self.soak, self.service = soak, service
        self.home = soak.Installation(options, service.port, services=("github",), environment=options.tiny)
        self.home.scan()
        truth = service.control(f"/_truth?tracker=github&project={PROJECT}")["items"]
        self.numbers = sorted(int(number) for number, item in truth.items() if not item["is_pull_request"])
        self.before = self.revisions()
        for number in self.numbers:
            service.mutate("github", PROJECT, number, set={"title": f"Storm over {number}"})
        events = [("issues", "edited", number) for number in self.numbers[:150]]
        events += [("issue_comment", "created", number) for number in self.numbers]
        self.payloads = captured(service, events)
        server = Server(self.home)
        self.port = server.port
        overhearer = Overhearer(service.port)
        environment = self.home.environment
        self.home.environment = {**environment, "PRELOOP_URL": f"http://127.0.0.1:{self.port}",
                                 "http_proxy": f"http://127.0.0.1:{overhearer.port}"}
        report = json.loads(self.home.run("preloop", "trackers", "webhooks", "install", "github", "--json").stdout)
        self.home.environment = environment
        place = next(each for each in report["organizations"] if each["organization"] == PROJECT.split("/")[0])
        self.path = place["webhooks"][0]["url"].split(f":{self.port}")[1]
        self.secret = overhearer.secret()
        self.server = server

    def deliveries(self, seed):
        return Deliveries(self.payloads, self.secret, self.path, seed)

    def revisions(self):
        """The revision of each issue; one that is written again gets another."""
        table = rows(self.home, "SELECT revision FROM issues ORDER BY revision")
        return set(table)

    def check_store(self, name, acknowledged, forged):
        """Everything acknowledged is there once, nothing forged is."""
        kept = rows(self.home, "SELECT id FROM webhook_deliveries")
        counts = collections.Counter(kept)
        missing = acknowledged - counts.keys()
        doubled = [each for each, count in counts.items() if count > 1]
        wrong = [each for each in forged if each in counts]
        self.soak.check(f"{name}: nothing acknowledged is lost, nothing is there twice, nothing forged is there",
                        not missing and not doubled and not wrong,
                        f"{len(acknowledged)} acknowledged, {len(kept)} rows, {len(missing)} missing, "
                        f"{len(doubled)} twice, {len(wrong)} of {len(forged)} forged")

    def check_truth(self, name):
        """The store has the tracker's truth, and each changed issue was written once."""
        self.soak.check(f"{name}: all work is done", drained(self.home))
        self.soak.compare(self.service, self.home.export(), name)
        written = len(self.revisions() - self.before)
        self.soak.check(f"{name}: each change was applied once", written == len(self.numbers),
                        f"{written} issues written, {len(self.numbers)} changed")


def storm(options, soak):
    """A minute at the full rate, then kills in mid-storm."""
    engine = "PostgreSQL" if options.postgres else "SQLite"
    with soak.Service((CORPUS,), *UNLIMITED) as service:
        world = World(options, soak, service)
        steady(options, soak, world, engine)
        world.home.remove()
    with soak.Service((CORPUS,), *UNLIMITED) as service:
        world = World(options, soak, service)
        kills(options, soak, world, engine)
        world.home.remove()


def steady(options, soak, world, engine):
    name = f"storm on {engine}"
    wind = Storm(world.port, world.deliveries(options.seed), options.rate)
    before = world.server.processor_seconds()
    length = wind.run(options.storm_seconds)
    used = world.server.processor_seconds() - before
    p50, p99, most = wind.percentile(0.5), wind.percentile(0.99), max(wind.latencies)
    print(f"     {len(wind.latencies)} answers in {length:.1f} s, {sum(wind.statuses.values()) / length:.0f}/s; "
          f"p50 {1e3 * p50:.1f} ms, p99 {1e3 * p99:.1f} ms, most {1e3 * most:.0f} ms; server {used:.1f} CPU s, "
          f"{world.server.resident_megabytes():.0f} MB", flush=True)
    print("     " + ", ".join(f"{kind} {status}: {count}" for (kind, status), count in sorted(wind.statuses.items())))
    soak.check(f"{name}: p99 below {1e3 * LIMIT_P99:.0f} ms", p99 <= LIMIT_P99, f"{1e3 * p99:.1f} ms")
    answered = {status for (kind, status) in wind.statuses if kind != "forged"}
    refused = {status for (kind, status) in wind.statuses if kind == "forged"}
    soak.check(f"{name}: signed ones are accepted, forged ones refused, all are answered",
               answered == {202} and refused == {401} and wind.lost == 0,
               f"{answered}, {refused}, {wind.lost} without an answer")
    world.check_store(name, wind.acknowledged, wind.forged)
    world.check_truth(name)
    soak.check(f"{name}: the server ends when it is told to", world.server.stop() in (0, 130))


def kills(options, soak, world, engine):
    name = f"storm on {engine} with {options.storm_kills} kills"
    rng = random.Random(options.seed)
    acknowledged, forged = set(), set()
    for turn in range(options.storm_kills):
        wind = Storm(world.port, world.deliveries(f"{options.seed}-{turn}"), options.rate)
        timer = threading.Timer(rng.uniform(*KILL_AFTER), world.server.kill)
        timer.start()
        wind.run(KILL_AFTER[1] + 5, until=lambda: world.server.process.returncode is not None)
        timer.join()
        acknowledged |= wind.acknowledged
        forged |= wind.forged
        print(f"     kill {turn + 1}: {len(wind.acknowledged)} acknowledged before it", flush=True)
        world.server = Server(world.home, world.port)
    world.check_store(name, acknowledged, forged)
    world.check_truth(name)
    with urllib.request.urlopen(f"http://127.0.0.1:{world.port}/readyz", timeout=60) as answer:
        soak.check(f"{name}: the server is ready", answer.status == 200)
    soak.check(f"{name}: the server ends when it is told to", world.server.stop() in (0, 130))
