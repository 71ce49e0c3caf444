#!/usr/bin/env python3
"""What stands behind and beside our proxy, each a process of its own that proxy.py starts.

usage: proxy_peers.py raw|sdk PORT
       proxy_peers.py fastmcp|fastmcp-sessions PORT URL

`raw` is a server of the protocol's older era with next to no cost of its own, so that what a proxy adds is seen; `sdk` the
same tool on the official SDK; `fastmcp` fastmcp's proxy as its manual makes one, which begins a session with the server
for each call; `fastmcp-sessions` the one that keeps a session for each of its client's.
"""

import asyncio
import json
import re
import sys
import uuid

LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
REVISIONS = ("2025-03-26", "2025-06-18", "2025-11-25")
# The second and third are held by rules of proxy.py.
TOOLS = ("echo", "parked", "awaited")


class Raw(asyncio.Protocol):
    """One connection of a server over streamable HTTP that answers everything at once, as JSON."""

    def connection_made(self, transport):
        self.transport, self.buffer = transport, b""

    def data_received(self, data):
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n") + 4) > 3:
            head = self.buffer[:end]
            length = LENGTH.search(head)
            total = end + (int(length.group(1)) if length else 0)
            if len(self.buffer) < total:
                return
            body, self.buffer = self.buffer[end:total], self.buffer[total:]
            self.transport.write(self.answer(head, body))

    def answer(self, head, body):
        if head.startswith(b"DELETE"):
            return self.http("200 OK")
        if not head.startswith(b"POST"):
            return self.http("405 Method Not Allowed")
        message = json.loads(body)
        if "id" not in message:
            return self.http("202 Accepted")
        more = ""
        method, parameters = message["method"], message.get("params") or {}
        if method == "tools/call":
            text = parameters["arguments"].get("text", "")
            result = {"content": [{"type": "text", "text": text}], "isError": False}
        elif method == "initialize":
            asked = parameters["protocolVersion"]
            result = {"protocolVersion": asked if asked in REVISIONS else REVISIONS[-1], "capabilities": {"tools": {}},
                      "serverInfo": {"name": "raw", "version": "1"}}
            more = f"Mcp-Session-Id: {uuid.uuid4().hex}\r\n"
        elif method == "tools/list":
            result = {"tools": [{"name": name, "description": "Says the same.", "inputSchema": {"type": "object"}}
                                for name in TOOLS]}
        elif method == "ping":
            result = {}
        else:
            error = {"code": -32601, "message": "there is no such method"}
            return self.http("200 OK", json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": error}))
        return self.http("200 OK", json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), more)

    @staticmethod
    def http(status, body="", more=""):
        content = body.encode()
        return (f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{more}"
                f"Content-Length: {len(content)}\r\n\r\n").encode() + content


async def serve_raw(port):
    server = await asyncio.get_running_loop().create_server(Raw, "127.0.0.1", port)
    await server.serve_forever()


def sdk():
    from mcp.server import MCPServer
    server = MCPServer("peer", log_level="CRITICAL")

    @server.tool()
    def repeat(text: str, path: str, command: str, branch: str, amount: int, environment: str, force: bool,
               recipients: list[str]) -> dict:
        return {"said": text}

    return server.streamable_http_app(json_response=True)


def fastmcp_proxy(url, keeps_sessions):
    from fastmcp.server import create_proxy
    from fastmcp.server.providers.proxy import FastMCPProxy, StatefulProxyClient
    if keeps_sessions:
        proxy = FastMCPProxy(client_factory=StatefulProxyClient(url).new_stateful, name="peer")
    else:
        proxy = create_proxy(url, name="peer")
    return proxy.http_app(json_response=True)


def main():
    kind, port = sys.argv[1], int(sys.argv[2])
    if kind == "raw":
        asyncio.run(serve_raw(port))
        return
    application = sdk() if kind == "sdk" else fastmcp_proxy(sys.argv[3], kind == "fastmcp-sessions")
    import uvicorn
    # Connections are kept while others have their turn; streams that clients keep open do not keep it from ending.
    uvicorn.run(application, host="127.0.0.1", port=port, log_level="critical", access_log=False,
                timeout_keep_alive=600, timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()
