"""Drives a server by the official Python SDK and prints what it saw as one JSON object (mcp_scenarios.py)."""

import contextlib

import mcp
from mcp import StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

import mcp_scenarios


class Official(mcp_scenarios.Client):
    """The SDK's own client."""

    def __init__(self, client):
        self.client = client
        self.version, self.instructions, self.session = client.protocol_version, client.instructions, client.session
        self.server = client.server_info.name if client.server_info else None

    async def tools(self, again=False):
        return (await self.client.list_tools(cache_mode="refresh" if again else "use")).tools

    async def call(self, name, arguments, on_progress=None):
        return await self.client.call_tool(name, arguments, progress_callback=on_progress)


@contextlib.asynccontextmanager
async def connect(mode):
    """Over HTTP or stdio, as the command line says."""
    async with contextlib.AsyncExitStack() as stack:
        if url := mcp_scenarios.url():
            http = await stack.enter_async_context(mcp_scenarios.http_client())
            streams = streamable_http_client(url, http_client=http)
        else:
            streams = stdio_client(StdioServerParameters(**mcp_scenarios.program()))
        yield Official(await stack.enter_async_context(mcp.Client(streams, mode=mode)))


mcp_scenarios.main(connect)
