"""An MCP server of the official Python SDK, of the older era, that says and asks things outside of calls.

    python3 mcp_later.py stdio|http [--era legacy] [--state FILE]

Over HTTP it listens on a free port of the loopback interface and prints its address. Its tools:

- `later` logs at two levels when it has answered, as far as its client wants to hear it.
- `page` has a page opened, and says after its answer that this has served its purpose.
- `rooted` gives the roots that it has asked for when it heard that they are others.
"""

import argparse
import asyncio
import json
import socket

import anyio
import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.runner import serve_loop
from mcp.server.stdio import stdio_server

arguments = argparse.ArgumentParser()
arguments.add_argument("transport", choices=["stdio", "http"])
arguments.add_argument("--era", default="legacy")
arguments.add_argument("--state")
options = arguments.parse_args()

ANYTHING = {"type": "object"}
# Long enough for the answer to be read first.
PAUSE = 0.5
LEVELS = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]
known, work, least = [], set(), ["debug"]


def begin(coroutine):
    """Does something beside the call; kept, for the loop keeps no tasks."""
    task = asyncio.get_running_loop().create_task(coroutine)
    work.add(task)
    task.add_done_callback(work.discard)


async def list_tools(ctx, params):
    return types.ListToolsResult(tools=[
        types.Tool(name=name, description=name, input_schema=ANYTHING)
        for name in ["later", "page", "rooted"]])


async def log(session):
    await anyio.sleep(PAUSE)
    for level in ["debug", "error"]:
        if LEVELS.index(level) < LEVELS.index(least[0]):
            continue
        await session.send_log_message(level=level, data={"later": level}, logger="later")


async def end_page(session):
    await anyio.sleep(PAUSE)
    await session.send_elicit_complete("page-1")


async def call_tool(ctx, params):
    text = params.name
    match params.name:
        case "later": begin(log(ctx.session))
        case "page":
            answer = await ctx.session.elicit_url("Sign in", "https://up.example/in", "page-1",
                                                  ctx.request_id)
            text = answer.action
            begin(end_page(ctx.session))
        case "rooted":
            text = json.dumps(known)
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)])


async def ask_roots(session):
    answer = await session.list_roots()
    known[:] = [str(root.uri) for root in answer.roots]


async def roots_changed(ctx, params):
    begin(ask_roots(ctx.session))


async def set_level(ctx, params):
    least[0] = params.level
    return types.EmptyResult()


server = Server(
    "later", version="1.0", on_list_tools=list_tools, on_call_tool=call_tool,
    on_set_logging_level=set_level, on_roots_list_changed=roots_changed,
)


class Gate:
    """Lets through what belongs to the older era."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
            if headers.get("mcp-protocol-version") == "2026-07-28":
                await send({"type": "http.response.start", "status": 400, "headers": []})
                await send({"type": "http.response.body", "body": b"no"})
                return
        await self.app(scope, receive, send)


async def serve():
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
    configuration = uvicorn.Config(Gate(server.streamable_http_app()), log_level="error",
                                   timeout_graceful_shutdown=1)
    await uvicorn.Server(configuration).serve(sockets=[listener])


async def serve_stdio():
    async with stdio_server() as (incoming, outgoing), server.lifespan(server) as lifespan:
        await serve_loop(server, incoming, outgoing, lifespan_state=lifespan)


anyio.run(serve if options.transport == "http" else serve_stdio)
