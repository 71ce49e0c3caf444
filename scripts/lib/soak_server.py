"""The parts of the soak about the server's interface: what generated requests and a collector make of it, and what
slow clients do to others."""

import asyncio
import os
import pathlib
import re
import subprocess
import tempfile
import time
import urllib.request

import soak_storm

# With the owner's key these would end the run: they take away what it signs in with.
AGAINST_ITSELF = [("DELETE", "/api/v1/auth/api-keys/{id}"), ("DELETE", "/api/v1/users/{id}"),
                  ("PUT", "/api/v1/users/{id}"), ("PUT", "/api/v1/auth/users/me/password")]
CHECKS = ("not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
          "response_headers_conformance")
PASSWORD = "correct horse battery"
# Slow clients of a kind.
SLOW_CONNECTIONS = 4_000
LIMIT_HEALTHY = 0.200


class Served:
    """An installation that has scanned the services, with an owner and a key, and its server."""

    def __init__(self, options, soak, service, services):
        environment = {**options.tiny, "SOAK_PASSWORD": PASSWORD}
        self.home = soak.Installation(options, service.port, services=services, environment=environment)
        self.home.scan()
        self.home.run("preloop", "init", "--admin", "ann", "--password-env", "SOAK_PASSWORD")
        self.keys = [self.home.run("preloop", "keys", "add", f"k{number}", "--user", "ann").stdout.decode().split()[0]
                     for number in range(2)]
        self.server = soak_storm.Server(self.home)
        self.origin = f"http://127.0.0.1:{self.server.port}"

    def get(self, path, key=None):
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        with urllib.request.urlopen(urllib.request.Request(self.origin + path, headers=headers), timeout=60) as answer:
            return answer.read().decode()

    def end(self, soak, name):
        soak.check(f"{name}: the server ends when it is told to", self.server.stop() in (0, 130))
        self.home.remove()


def interface(options, soak):
    """Generated requests on every route of the OpenAPI document, and the metrics by promtool."""
    with soak.Service(("edge",)) as service:
        served = Served(options, soak, service, soak.SERVICES)
        fuzz(options, soak, served, "every route", served.keys[0], [
            word for method, path in AGAINST_ITSELF for word in ("--exclude-operation-id", identifier(method, path))])
        fuzz(options, soak, served, "what takes keys and users away", served.keys[1], [
            word for method, path in AGAINST_ITSELF for word in ("--include-operation-id", identifier(method, path))])
        metrics(soak, served)
        served.end(soak, "interface")


def identifier(method, path):
    words = [word.strip("{}") for word in path.split("/") if word]
    return "_".join([method.lower(), *words]).replace("-", "_").replace(".", "_")


def fuzz(options, soak, served, name, key, selection):
    program = pathlib.Path(options.schemathesis)
    started = time.time()
    with tempfile.TemporaryDirectory() as directory:
        done = subprocess.run(
            [program, "run", f"{served.origin}/openapi.json", "--checks", CHECKS, "--header", f"Authorization:Bearer {key}",
             "--max-examples", str(options.examples), "--seed", str(options.seed), "--phases", "examples,coverage,fuzzing",
             # One worker: two threads meet in a fault of Python 3.11 ("AST constructor recursion depth mismatch").
             "--continue-on-failure", "--request-timeout", "60", "--suppress-health-check", "all", "--workers", "1",
             "--warnings", "off", *selection],
            cwd=directory, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})
    summary = re.findall(r"(?m)^ *(\d+ generated.*|Selected: .*|Tested: .*)$", done.stdout)
    print(f"     {name}: {time.time() - started:.0f} s; {'; '.join(summary)}")
    if not soak.check(f"schemathesis on {name}: no 5xx, no answer that is not documented", done.returncode == 0):
        print(done.stdout[-12_000:], done.stderr[-2_000:])


def metrics(soak, served):
    """What promtool says of the metrics, after requests of every kind."""
    text = served.get("/metrics")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    soak.check("promtool has nothing against the metrics", done.returncode == 0 and not done.stderr.strip(),
               f"{len(text.splitlines())} lines {done.stdout}{done.stderr}".strip())


# ------------------------------------------------------------------------------------- slow clients

def slow(options, soak):
    """slowhttptest in its three ways, with others asking meanwhile."""
    with soak.Service(("edge",)) as service:
        served = Served(options, soak, service, ("github",))
        quiet = asyncio.run(healthy(served, 5))
        print(f"     without slow clients: {describe(quiet)}")
        for name, words in (("headers", ["-H", "-i", "5"]), ("body", ["-B", "-i", "5", "-s", "8192", "-x", "24"]),
                            ("read", ["-X", "-k", "3", "-w", "512", "-y", "1024", "-n", "5", "-z", "32"])):
            path = {"headers": "/healthz", "body": "/api/v1/auth/token", "read": "/openapi.json"}[name]
            attack = subprocess.Popen(
                ["slowhttptest", "-c", str(SLOW_CONNECTIONS), "-r", "800", "-l", str(options.slow_seconds), "-p", "5", *words,
                 "-u", served.origin + path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            time.sleep(3)
            times = asyncio.run(healthy(served, options.slow_seconds - 6))
            attack.terminate()
            attack.communicate(timeout=60)
            late = percentile(times, 0.99)
            soak.check(f"slow {name}, {SLOW_CONNECTIONS} connections: p99 of others below {1e3 * LIMIT_HEALTHY:.0f} ms",
                       late <= LIMIT_HEALTHY, describe(times))
            gauges = re.findall(r"(?m)^(preloop_http_connections\w*) (\S+)$", served.get("/metrics"))
            print("     " + ", ".join(f"{name} {value}" for name, value in gauges))
        served.end(soak, "slow")


def percentile(times, share):
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def describe(times):
    return (f"{len(times)} requests, p50 {1e3 * percentile(times, 0.5):.1f} ms, p99 {1e3 * percentile(times, 0.99):.1f} ms, "
            f"most {1e3 * max(times):.0f} ms")


async def healthy(served, seconds):
    """Times of requests, each on a connection of its own, and of those that share one; failures count as endless."""
    times = []
    port, key = served.server.port, served.keys[0]
    request = (f"GET /api/v1/issues?limit=5 HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
               "{extra}\r\n").encode()
    end = time.perf_counter() + seconds

    async def ask(reader, writer, extra):
        writer.write(request.replace(b"{extra}", extra))
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(re.search(rb"(?i)content-length: *([0-9]+)", head).group(1))
        await reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 200"):
            raise ConnectionError(head[:40])

    async def fresh():
        while time.perf_counter() < end:
            started = time.perf_counter()
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                await asyncio.wait_for(ask(reader, writer, b"Connection: close\r\n"), 10)
                writer.close()
                times.append(time.perf_counter() - started)
            except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError, AttributeError):
                times.append(10.0)
            await asyncio.sleep(0.05)

    async def kept():
        reader, writer = None, None
        while time.perf_counter() < end:
            started = time.perf_counter()
            try:
                if reader is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                await asyncio.wait_for(ask(reader, writer, b""), 10)
                times.append(time.perf_counter() - started)
            except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError, AttributeError):
                reader = None
                times.append(10.0)
            await asyncio.sleep(0.05)

    await asyncio.gather(*(fresh() for _ in range(4)), *(kept() for _ in range(4)))
    return times
