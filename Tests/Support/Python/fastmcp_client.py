"""Drives a server by the client of `fastmcp` and prints what it saw as one JSON object.

    python3 fastmcp_client.py MODE -- PROGRAM ARGUMENTS…
    python3 fastmcp_client.py MODE --url URL

As mcp_client.py speaks to a server; nothing is judged here.
"""

import asyncio
import json
import os
import sys

from fastmcp import Client
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport
from fastmcp.exceptions import ToolError


def transport():
    """Over HTTP or stdio, as the command line says."""
    if "--url" in sys.argv:
        headers = {"Authorization": f"Bearer {os.environ['PRELOOP_TOKEN']}"}
        return StreamableHttpTransport(sys.argv[sys.argv.index("--url") + 1], headers=headers)
    program = sys.argv[sys.argv.index("--") + 1:]
    return StdioTransport(command=program[0], args=program[1:], env=dict(os.environ), keep_alive=False)


async def main():
    async with Client(transport(), mode=sys.argv[1]) as client:
        seen = {"version": client.protocol_version,
                "tools": [tool.name for tool in await client.list_tools()]}
        good = await client.call_tool("search", {"query": "crash when a file is opened", "limit": 3})
        seen["good"] = {"is_error": bool(good.is_error), "structured": good.structured_content}
        try:
            await client.call_tool("search", {"query": "", "limit": 0})
        except ToolError as error:
            seen["bad"] = str(error)
        answers = await asyncio.gather(*(
            client.call_tool("search", {"query": f"crash {number}", "mode": "text"}) for number in range(16)))
        seen["queries"] = sorted(answer.structured_content["query"] for answer in answers)
    print(json.dumps(seen))


asyncio.run(main())
