"""What measures servers over HTTP: processes on a core of their own, and clients on raw sockets, whose own time is small."""

import ctypes
import functools
import json
import os
import pathlib
import re
import socket
import subprocess
import time
import typing

SERVER_CORE, CLIENT_CORE = "0", "1"
MODERN, LEGACY = "2026-07-28", "2025-06-18"
LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
CHUNKED = re.compile(rb"(?i)\r\ntransfer-encoding: *chunked")
SESSION = re.compile(rb"(?i)\r\nmcp-session-id: *([!-~]+)")
LIBC = ctypes.CDLL(None)


# ----------------------------------------------------------------------------------------- servers

class Process:
    """A server on a core."""

    def __init__(self, command, environment=None, core=SERVER_CORE):
        self.started = time.perf_counter()
        self.process = subprocess.Popen(["taskset", "-c", core, *map(str, command)], stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, env={**os.environ, **(environment or {})})

    def line(self):
        return self.process.stdout.readline().decode()

    @functools.cached_property
    def clocks(self):
        """One clock for each process there is when this is asked for the first time: its own, and its children's."""
        clocks = []
        for pid in (self.process.pid, *children(self.process.pid)):
            clock = ctypes.c_int()
            if LIBC.clock_getcpuclockid(pid, ctypes.byref(clock)):
                raise SystemExit(f"the processor time of {pid} cannot be read")
            clocks.append(clock.value)
        return clocks

    def processor_seconds(self):
        """All threads', those that have ended included; /proc tells it in hundredths of a second alone."""
        return sum(map(time.clock_gettime, self.clocks))

    def memory(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return {name: int(re.search(rf"{name}:\s+(\d+)", status).group(1)) / 1024 for name in ("VmRSS", "RssAnon", "RssFile")}

    def settle(self, share=0.05, limit=30):
        """Waits until it has hardly anything to do any more."""
        for _ in range(2 * limit):
            before = self.processor_seconds()
            time.sleep(0.5)
            if self.processor_seconds() - before < share / 2:
                return
        raise SystemExit("a server does not come to rest")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def children(parent):
    """Identifiers of the processes that one has begun."""
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(") ", 1)[1].split()
        except OSError:
            # It has ended meanwhile.
            continue
        if int(fields[1]) == parent:
            yield int(path.parent.name)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port):
    for _ in range(6_000):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.01)
    raise SystemExit("a server did not start")


# ----------------------------------------------------------------------------------------- clients

class Answer(typing.NamedTuple):
    status: int
    head: bytes
    body: bytes

    def called(self):
        """The body, which is that of a call that went well."""
        body = self.body
        if self.status != 200 or b'"result"' not in body or b'"isError":true' in body or b'"isError": true' in body:
            raise SystemExit(f"a call failed: {self.status} {body[:400]!r}")
        return body


class Connection:
    """One connection, one request after the other."""

    def __init__(self, port):
        self.port = port
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def send(self, method, path, fields, body=b""):
        head = (f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n{fields}"
                f"Content-Length: {len(body)}\r\n\r\n").encode()
        self.sent = time.perf_counter()
        self.socket.sendall(head + body)

    def received(self):
        """The answer when it is there as a whole, else nothing; waits for some bytes."""
        data = self.socket.recv(1 << 18)
        if not data:
            raise SystemExit("the server closed the connection")
        self.buffer += data
        start = self.buffer.find(b"\r\n\r\n") + 4
        if start < 4:
            return None
        head = self.buffer[:start]
        found = body_behind(head, self.buffer, start)
        if found is None:
            return None
        body, end = found
        self.buffer = self.buffer[end:]
        return Answer(int(head[9:12]), head, body)

    def answer(self):
        """The answer, waited for."""
        while (answer := self.received()) is None:
            pass
        return answer


def body_behind(head, buffer, start):
    """The body that begins there, and where it ends; nothing when it is not there as a whole."""
    if length := LENGTH.search(head):
        end = start + int(length.group(1))
        return (buffer[start:end], end) if len(buffer) >= end else None
    if not CHUNKED.search(head):
        if head[9:12] not in (b"202", b"204"):
            raise SystemExit(f"an answer without a length: {head[:400]!r}")
        return b"", start
    pieces = []
    while True:
        line = buffer.find(b"\r\n", start)
        if line < 0:
            return None
        size = int(buffer[start:line].split(b";")[0], 16)
        end = line + 2 + size
        if len(buffer) < end + 2:
            return None
        if size == 0:
            return b"".join(pieces), end + 2
        pieces.append(buffer[line + 2:end])
        start = end + 2


def fields(key=None, **others):
    """Header lines of a POST to an MCP server."""
    lines = ["Content-Type: application/json", "Accept: application/json, text/event-stream"]
    if key:
        lines.append(f"Authorization: Bearer {key}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in others.items()]
    return "".join(f"{line}\r\n" for line in lines)


def message(method, parameters, identifier=1):
    return json.dumps({"jsonrpc": "2.0", "id": identifier, "method": method, "params": parameters}).encode()


class StatelessCaller(Connection):
    """Calls a tool by POST of the stateless revision."""

    def __init__(self, port, path, key):
        super().__init__(port)
        self.path = path
        self.fields = fields(key, MCP_Protocol_Version=MODERN, Mcp_Method="tools/call")

    def call(self, tool, arguments):
        """Sends a call; its answer is `received` later."""
        body = message("tools/call", {
            "name": tool, "arguments": arguments, "_meta": {
                "io.modelcontextprotocol/protocolVersion": MODERN,
                "io.modelcontextprotocol/clientCapabilities": {},
                "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"}}})
        self.send("POST", self.path, f"{self.fields}Mcp-Name: {tool}\r\n", body)


class SessionCaller(Connection):
    """Calls a tool in a session of a revision that has them."""

    def __init__(self, port, path, key=None):
        super().__init__(port)
        self.path = path
        self.send("POST", path, fields(key), message("initialize", {
            "protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}))
        answer = self.answer()
        answer.called()
        session = SESSION.search(answer.head).group(1).decode()
        self.fields = fields(key, Mcp_Session_Id=session, MCP_Protocol_Version=LEGACY)
        self.send("POST", path, self.fields, json.dumps(
            {"jsonrpc": "2.0", "method": "notifications/initialized"}).encode())
        if (status := self.answer().status) not in (200, 202):
            raise SystemExit(f"a session did not begin: {status}")
        self.number = 1

    def call(self, tool, arguments):
        """Sends a call; its answer is `received` later."""
        self.number += 1
        self.send("POST", self.path, self.fields,
                  message("tools/call", {"name": tool, "arguments": arguments}, self.number))


def percentile(times, share):
    """Of sorted times."""
    return times[int(share * (len(times) - 1))]
