"""An MCP server of the official Python SDK whose resources change when its tool `touch` is called.

    python3 mcp_resources.py stdio|http [--era both|legacy|modern] [--state FILE]

Over HTTP it listens on a free port of the loopback interface and prints its address. Sessions of the older era
subscribe to resources, streams of the newer one listen. A line for each subscription is added to FILE.calls.
"""

import argparse
import socket

import anyio
import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated
from mcp.shared.exceptions import MCPError

arguments = argparse.ArgumentParser()
arguments.add_argument("transport", choices=["stdio", "http"])
arguments.add_argument("--era", default="both")
arguments.add_argument("--state")
options = arguments.parse_args()

RESOURCES = ["memo://one", "memo://two"]
bus = InMemorySubscriptionBus()
listen = ListenHandler(bus)
# Of the older era: the sessions that hear of each resource.
sessions = {uri: [] for uri in RESOURCES}


def note(line):
    if options.state:
        with open(options.state + ".calls", "a") as file:
            file.write(line + "\n")


async def list_tools(ctx, params):
    schema = {"type": "object", "properties": {"uri": {"type": "string"}}, "required": ["uri"]}
    return types.ListToolsResult(tools=[
        types.Tool(name="touch", description="Changes a resource", input_schema=schema)])


async def call_tool(ctx, params):
    uri = params.arguments["uri"]
    for session in sessions[uri]:
        await session.send_resource_updated(uri)
    await bus.publish(ResourceUpdated(uri=uri))
    return types.CallToolResult(content=[types.TextContent(type="text", text="touched")])


async def list_resources(ctx, params):
    return types.ListResourcesResult(resources=[
        types.Resource(uri=uri, name=uri.rsplit("/", 1)[1]) for uri in RESOURCES])


async def subscribe(ctx, params):
    uri = str(params.uri)
    note("subscribe " + uri)
    if uri not in sessions:
        raise MCPError(code=-32002, message="there is no such resource")
    sessions[uri].append(ctx.session)
    return types.EmptyResult()


async def unsubscribe(ctx, params):
    uri = str(params.uri)
    note("unsubscribe " + uri)
    sessions[uri].clear()
    return types.EmptyResult()


async def listened(ctx, params):
    for uri in params.notifications.resource_subscriptions or []:
        note("listen " + uri)
    return await listen(ctx, params)


server = Server(
    "resources", version="1.0", on_list_tools=list_tools, on_call_tool=call_tool,
    on_list_resources=list_resources, on_subscribe_resource=subscribe,
    on_unsubscribe_resource=unsubscribe, on_subscriptions_listen=listened,
)


class Gate:
    """Lets through what belongs to the era."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
            is_modern = headers.get("mcp-protocol-version") == "2026-07-28"
            status = None
            if options.era == "legacy" and is_modern:
                status = 400
            elif options.era == "modern" and not is_modern:
                status = 405
            if status:
                await send({"type": "http.response.start", "status": status, "headers": []})
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
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


anyio.run(serve if options.transport == "http" else serve_stdio)
