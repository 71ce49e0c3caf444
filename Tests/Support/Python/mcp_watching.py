"""Subscribes to a resource of `mcp_resources.py` by the official Python SDK, and prints what it heard.

    python3 mcp_watching.py MODE --url URL [--token TOKEN]
    python3 mcp_watching.py MODE -- PROGRAM ARGUMENTS…

MODE is `legacy` or `2026-07-28`.
"""

import asyncio
import json
import sys

import anyio
from mcp import Client
from mcp.shared.exceptions import MCPError

from mcp_transport import transport

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
