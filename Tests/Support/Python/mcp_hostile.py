"""An MCP server that misbehaves, of the standard library alone.

    python3 mcp_hostile.py stdio|http MODE [FILE]

Over HTTP it listens on a free port of the loopback interface and prints its address. A line for each
`tools/call` that arrives is added to FILE.
"""

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time

transport, mode = sys.argv[1:3]
FILE = sys.argv[3] if len(sys.argv) > 3 else None
lock = threading.Lock()
sessions = set()
counter = [0]


def is_modern():
    """Whether it is of the newer era, as one that `turns` is until FILE.old is there."""
    return mode.startswith("turns") and not os.path.exists(FILE + ".old")


def discovered():
    return {"supportedVersions": ["2026-07-28"], "resultType": "complete",
            "capabilities": {"tools": {}}}


def handshake(request):
    method = request.get("method")
    if method == "initialize":
        return {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                "serverInfo": {"name": "hostile", "version": "0"}}
    if method == "tools/list":
        name = "to\u200bol\u202e" if mode == "hides" else "t"
        return {"tools": [{"name": name, "inputSchema": {"type": "object"}}]}
    return None


def answer(request, result):
    return json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result})


def unknown(request):
    return json.dumps({"jsonrpc": "2.0", "id": request["id"],
                       "error": {"code": -32601, "message": "no"}})


def good(request):
    return answer(request, {"content": [{"type": "text", "text": "good"}]})


def called():
    counter[0] += 1
    if FILE:
        with lock, open(FILE, "a") as file:
            file.write("call\n")


def misbehave(request, write):
    """What a call gets; `write` takes a message."""
    called()
    match mode:
        case "lies":
            write(json.dumps({"jsonrpc": "2.0", "id": 424242, "result": {}}))
            write(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": "no object"}))
        case "hangs":
            time.sleep(3600)
        case "floods":
            note = json.dumps({"jsonrpc": "2.0", "method": "notifications/message",
                               "params": {"level": "info", "data": "x" * 60_000}})
            # A gigabyte over HTTP, which must be cut off; over a pipe whoever reads sets the pace.
            for _ in range(20_000 if transport == "http" else 1_000):
                write(note)
            write(good(request))
        case "huge":
            write(answer(request, {"content": [{"type": "text", "text": "x" * (20 << 20)}]}))
        case "garbage":
            for number in range(40):
                write("{not json" + str(number))
        case "deep":
            write('{"jsonrpc":"2.0","id":%s,"result":{"x":%s%s}}' % (
                json.dumps(request["id"]), "[" * 5000, "]" * 5000))
        case "splits":
            # The first call is at work while the session is forgotten for others.
            if counter[0] == 1:
                time.sleep(3)
            write(good(request))
        case "orphans":
            # Of another session, and with our standard output.
            subprocess.Popen(["sleep", "30"], start_new_session=True)
            os._exit(3)
        case "dies":
            sys.stderr.write("about to die of SECRET-WORD\n")
            sys.stderr.flush()
            os._exit(3)
        case _:
            write(good(request))


def serve_stdio():
    def write(text):
        with lock:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    if mode == "mute":
        time.sleep(3600)
    if mode == "stubborn":
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for line in sys.stdin:
        request = json.loads(line)
        if "id" not in request or "method" not in request:
            continue
        result = handshake(request)
        if result is not None:
            write(answer(request, result))
        elif request["method"] == "tools/call":
            threading.Thread(target=misbehave, args=(request, write), daemon=True).start()
        else:
            write(unknown(request))
    if mode == "stubborn":
        time.sleep(3600)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def reply(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.reply(404 if self.headers.get("Last-Event-ID") else 405)

    def do_DELETE(self):
        self.reply(200)

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        kind = [("Content-Type", "application/json")]
        if "id" not in request:
            return self.reply(202)
        if mode == "redirects":
            return self.reply(307, headers=[("Location", "http://127.0.0.1:1/mcp")])
        if mode == "busy":
            return self.reply(503)
        if is_modern():
            asked = request["method"] == "server/discover"
            result = discovered() if asked else {"content": [{"type": "text", "text": "none"}]}
            return self.reply(200, answer(request, result).encode(), kind)
        if request["method"] == "initialize":
            with lock:
                name = f"s{len(sessions)}"
                sessions.add(name)
            body = answer(request, handshake(request)).encode()
            return self.reply(200, body, kind + [("Mcp-Session-Id", name)])
        if request["method"] != "server/discover":
            session = self.headers.get("Mcp-Session-Id")
            # Each session is good for one call.
            if mode == "forgets" and request["method"] == "tools/call":
                if counter[0] and session == "s0":
                    return self.reply(404)
            if mode == "splits" and request["method"] == "tools/call":
                if counter[0] and session == "s0":
                    return self.reply(404)
            if session not in sessions:
                # Some say why, and not of which request.
                refusal = {"jsonrpc": "2.0", "id": None,
                           "error": {"code": -32000, "message": "begin a session first"}}
                body = json.dumps(refusal).encode() if mode == "turns-told" else b""
                return self.reply(400, body, kind)
            if mode.startswith("turns") and request["method"] == "tools/call":
                result = {"content": [{"type": "text", "text": session}]}
                return self.reply(200, answer(request, result).encode(), kind)
        result = handshake(request)
        if result is not None:
            return self.reply(200, answer(request, result).encode(), kind)
        if request["method"] != "tools/call":
            return self.reply(200, unknown(request).encode(), kind)
        if mode == "resets":
            called()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return None
        if mode == "html":
            called()
            return self.reply(200, b"<html>hello</html>", [("Content-Type", "text/html")])
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()

        def write(text):
            self.wfile.write(f"data: {text}\n\n".encode())
            self.wfile.flush()

        if mode == "breaks":
            called()
            note = json.dumps({"jsonrpc": "2.0", "method": "notifications/message",
                               "params": {"level": "info", "data": "at work"}})
            self.wfile.write(f"id: 7\nretry: 100\ndata: {note}\n\n".encode())
            self.close_connection = True
            return None
        try:
            misbehave(request, write)
        except OSError:
            pass
        self.close_connection = True


if transport == "stdio":
    serve_stdio()
else:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(f"http://127.0.0.1:{server.server_address[1]}/mcp", flush=True)
    server.serve_forever()
