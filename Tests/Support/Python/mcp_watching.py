"""Subscribes to a resource of `mcp_resources.py` by the official Python SDK, and prints what it heard.

    python3 mcp_watching.py MODE --url URL [--token TOKEN]
    python3 mcp_watching.py MODE -- PROGRAM ARGUMENTS…

MODE is `legacy` or `2026-07-28`.
"""

import asyncio
import contextlib
import json
import os
import sys

import anyio
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client
from mcp.shared.exceptions import MCPError

# Long beside other tests that keep the machine busy.
PATIENCE = 120


async def legacy(client, heard, news):
    """Subscribes, has the resource changed, and gives the subscription up again."""
    refused = None
    try:
        await client.subscribe_resource("memo://none")
    except MCPError as error:
        refused = error.error.code
    await client.subscribe_resource("memo://one")
    await client.call_tool("touch", {"uri": "memo://one"})
    # Nobody has subscribed to this one.
    await client.call_tool("touch", {"uri": "memo://two"})
    with anyio.fail_after(PATIENCE):
        await news.wait()
    await client.unsubscribe_resource("memo://one")
    await client.call_tool("touch", {"uri": "memo://one"})
    await anyio.sleep(0.5)
    return {"refused": refused, "heard": heard}


async def modern(client, heard, news):
    """Listens to the resource, and has it changed."""
    async with client.listen(resource_subscriptions=["memo://one"]) as subscription:
        await client.call_tool("touch", {"uri": "memo://two"})
        await client.call_tool("touch", {"uri": "memo://one"})
        with anyio.fail_after(PATIENCE):
            async for event in subscription:
                heard.append(event.uri)
                break
        return {"honored": subscription.honored.resource_subscriptions, "heard": heard}


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


async def main():
    heard, news = [], anyio.Event()

    async def on_message(message):
        if type(message).__name__ == "ResourceUpdatedNotification" and sys.argv[1] == "legacy":
            heard.append(str(message.params.uri))
            news.set()

    # A client that is told its revision does not ask what the server offers.
    mode = "legacy" if sys.argv[1] == "legacy" else "auto"
    async with transport() as streams, Client(streams, mode=mode,
                                              message_handler=on_message) as client:
        play = legacy if sys.argv[1] == "legacy" else modern
        seen = await play(client, heard, news)
        resources = client.server_capabilities.resources
        if mode == "auto":
            assert client.protocol_version == sys.argv[1], client.protocol_version
        seen["offered"] = bool(resources and resources.subscribe)
    print(json.dumps(seen))


asyncio.run(main())
