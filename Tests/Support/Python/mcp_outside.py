"""Hears what `mcp_later.py` says outside of calls, by the official Python SDK, and prints it as JSON.

    python3 mcp_outside.py legacy|2026-07-28 --url URL [--token TOKEN]
    python3 mcp_outside.py legacy|2026-07-28 -- PROGRAM ARGUMENTS…

A client of the newer era is told nothing outside of calls, as its revision has it.
"""

import asyncio
import json
import sys

import anyio
import mcp_types as types
from mcp import Client

from mcp_transport import transport

# Long beside other tests that keep the machine busy.
PATIENCE = 120
MODE = sys.argv[1]
logged, ended, asked = [], [], []
news = anyio.Event()
roots = ["file:///projects/one"]


async def on_log(params):
    logged.append([params.level, params.logger, params.data])


async def on_message(message):
    if type(message).__name__ == "ElicitCompleteNotification":
        ended.append(message.params.elicitation_id)
        news.set()


async def on_ask(context, params):
    # What names a page is the server's; nothing else of it differs.
    asked.append([params.message, str(params.url)])
    return types.ElicitResult(action="accept")


async def on_roots(context):
    return types.ListRootsResult(roots=[types.Root(uri=uri) for uri in roots])


async def until(condition):
    with anyio.fail_after(PATIENCE):
        while not await condition():
            await anyio.sleep(0.1)


def text(result):
    return result.content[0].text


async def legacy(client):
    """Everything in order: what comes later is waited for."""
    async def has_logged(count):
        return len(logged) >= count

    await client.call_tool("later", {})
    await until(lambda: has_logged(2))
    # From now on the graver of the two alone.
    await client.set_logging_level("warning")
    await client.call_tool("later", {})
    await until(lambda: has_logged(3))
    page = text(await client.call_tool("page", {}))
    with anyio.fail_after(PATIENCE):
        await news.wait()
    before = text(await client.call_tool("rooted", {}))
    roots[:] = ["file:///projects/two", "file:///projects/three"]
    await client.session.send_notification(types.RootsListChangedNotification())

    async def has_roots():
        return text(await client.call_tool("rooted", {})) == json.dumps(roots)

    await until(has_roots)
    return {"logged": logged, "page": page, "asked": asked, "ended": ended, "before": before,
            "rooted": text(await client.call_tool("rooted", {}))}


async def modern(client):
    """Calls the same, and waits as long as things would come."""
    await client.call_tool("later", {})
    page = text(await client.call_tool("page", {}))
    await anyio.sleep(3)
    return {"logged": logged, "page": page, "asked": asked, "ended": ended}


async def main():
    async with transport() as streams, Client(streams, mode=MODE, logging_callback=on_log,
                                              message_handler=on_message,
                                              elicitation_callback=on_ask,
                                              list_roots_callback=on_roots) as client:
        seen = await (legacy if MODE == "legacy" else modern)(client)
    print(json.dumps(seen, sort_keys=True))


asyncio.run(main())
