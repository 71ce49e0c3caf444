"""Drives a server by the client of `fastmcp` and prints what it saw as one JSON object (mcp_scenarios.py)."""

import contextlib

import fastmcp
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport

import mcp_scenarios


class FastMCP(mcp_scenarios.Client):
    """The client of `fastmcp`."""

    def __init__(self, client):
        self.client = client
        self.version, self.instructions, self.session = client.protocol_version, client.instructions, client.session
        self.server = client.server_info.name if client.server_info else None

    async def tools(self, again=False):
        return await self.client.list_tools(cache_mode="refresh" if again else "use")

    async def call(self, name, arguments, on_progress=None):
        return await self.client.call_tool(name, arguments, progress_handler=on_progress, raise_on_error=False)


def http_client(headers=None, auth=None, timeout=None, **_):
    return mcp_scenarios.http_client(headers, auth, timeout)


def transport():
    """Over HTTP or stdio, as the command line says."""
    if url := mcp_scenarios.url():
        return StreamableHttpTransport(url, httpx_client_factory=http_client)
    return StdioTransport(**mcp_scenarios.program(), keep_alive=False)


@contextlib.asynccontextmanager
async def connect(mode):
    async with fastmcp.Client(transport(), mode=mode) as client:
        yield FastMCP(client)


mcp_scenarios.main(connect)
