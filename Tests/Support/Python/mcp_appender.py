"""An MCP server over stdio, of the standard library alone, whose runs can be counted afterwards.

    python3 mcp_appender.py FILE

Its tools `append` and `note` add their `text` as a line to FILE, and give it back.
"""

import json
import os
import sys

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
TOOLS = [{"name": name, "description": "Adds a line", "inputSchema": SCHEMA} for name in ("append", "note")]


def add(text):
    # One write at the end of the file, and on the disk before anybody hears of it.
    descriptor = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, (text + "\n").encode())
    os.fsync(descriptor)
    os.close(descriptor)


def result(method, parameters):
    if method == "initialize":
        return {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                "serverInfo": {"name": "appender", "version": "0"}}
    if method == "tools/list":
        return {"tools": TOOLS}
    if method == "tools/call":
        text = parameters["arguments"]["text"]
        add(text)
        return {"content": [{"type": "text", "text": text}]}
    return None


for line in sys.stdin:
    request = json.loads(line)
    if "id" not in request or "method" not in request:
        continue
    answer = {"jsonrpc": "2.0", "id": request["id"]}
    found = result(request["method"], request.get("params", {}))
    answer |= {"error": {"code": -32601, "message": "no such method"}} if found is None else {"result": found}
    print(json.dumps(answer), flush=True)
