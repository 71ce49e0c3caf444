"""How a client of the tests reaches what it calls: `--url URL [--token KEY]` over HTTP, `-- PROGRAM [ARGUMENT…]` over stdio."""

import contextlib
import os
import sys

from mcp import StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client


@contextlib.asynccontextmanager
async def transport():
    if "--url" in sys.argv:
        headers = {}
        if "--token" in sys.argv:
            headers["Authorization"] = f"Bearer {sys.argv[sys.argv.index('--token') + 1]}"
        async with create_mcp_http_client(headers=headers) as http:
            yield streamable_http_client(sys.argv[sys.argv.index("--url") + 1], http_client=http)
        return
    program = sys.argv[sys.argv.index("--") + 1:]
    yield stdio_client(StdioServerParameters(command=program[0], args=program[1:],
                                             env=dict(os.environ)))
