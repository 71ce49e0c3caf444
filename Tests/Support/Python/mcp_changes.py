"""Waits until the list of a server's tools changes.

    python3 mcp_changes.py MODE -- PROGRAM ARGUMENTS…

Prints `ready` when it listens, and `changed` when it has been told within a minute.
"""

import asyncio
import os
import sys

import anyio
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client


async def main():
    changed = anyio.Event()

    async def on_message(message):
        if type(message).__name__ == "ToolListChangedNotification":
            changed.set()

    program = sys.argv[sys.argv.index("--") + 1:]
    streams = stdio_client(StdioServerParameters(command=program[0], args=program[1:],
                                                 env=dict(os.environ)))
    async with Client(streams, mode=sys.argv[1], message_handler=on_message) as client:
        await client.list_tools()
        with anyio.move_on_after(60):
            if sys.argv[1] == "legacy":
                print("ready", flush=True)
                await changed.wait()
                print("changed", flush=True)
            else:
                async with client.listen(tools_list_changed=True) as subscription:
                    print("ready", flush=True)
                    async for _ in subscription:
                        print("changed", flush=True)
                        break


asyncio.run(main())
