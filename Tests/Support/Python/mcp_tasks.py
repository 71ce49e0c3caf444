"""Calls a tool that waits for approval by the official Python SDK, as a client that takes tasks.

    python3 mcp_tasks.py wait|cancel TOOL ARGUMENTS --url URL

The key is in `PRELOOP_TOKEN`. The extension `io.modelcontextprotocol/tasks` is the SDK's own kind of extension: a
claim on results of the kind `task`, which `tasks/get` finishes. Prints the task as one JSON object as soon as it is
there, and what came of it as another one.
"""

import asyncio
import json
import os
import sys
from typing import Any, Literal

import anyio
import mcp_types as types
from mcp import Client
from mcp.client.extension import ClientExtension, ResultClaim
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client
from mcp.shared.exceptions import MCPError

# The server asks to be asked every few seconds; a test has less time.
PAUSE = 0.2
# Long beside other tests that keep the machine busy.
PATIENCE = 300


class Handle(types.Result):
    """A task in place of a result."""

    result_type: Literal["task"]
    task_id: str
    status: str
    status_message: str | None = None
    created_at: str
    ttl_ms: int | None
    poll_interval_ms: int | None = None


class Standing(types.Result):
    """How a task stands."""

    result_type: str
    task_id: str
    status: str
    result: dict[str, Any] | None = None


class Done(types.Result):
    """What `tasks/cancel` answers."""

    result_type: str


class GetTask(types.GetTaskRequest):
    name_param = "taskId"


class CancelTask(types.CancelTaskRequest):
    name_param = "taskId"


def tell(**words):
    print(json.dumps(words), flush=True)


async def standing(session, task):
    request = GetTask(params=types.GetTaskRequestParams(task_id=task))
    return await session.send_request(request, Standing)


async def finished(session, task):
    """Asks until the task is over; gives how it stands then, and how often it was asked for."""
    with anyio.fail_after(PATIENCE):
        looks = 0
        while True:
            found = await standing(session, task)
            looks += 1
            if found.status not in ("working", "input_required"):
                return found, looks
            await anyio.sleep(PAUSE)


def shown(handle):
    return {"task": handle.task_id, "status": handle.status, "message": handle.status_message,
            "interval": handle.poll_interval_ms}


class Tasks(ClientExtension):
    identifier = "io.modelcontextprotocol/tasks"

    def __init__(self):
        self.looks = 0

    def claims(self):
        return [ResultClaim(result_type="task", model=Handle, resolve=self.resolve)]

    async def resolve(self, handle, context):
        tell(**shown(handle))
        found, self.looks = await finished(context.session, handle.task_id)
        if found.status != "completed":
            raise RuntimeError(f"the task is {found.status}")
        # A task that is over stays what it is, however often it is asked for.
        again = await standing(context.session, handle.task_id)
        assert again.result == found.result
        return types.CallToolResult.model_validate(found.result)


async def wait(client, tasks, tool, arguments):
    """Calls as if nothing were to wait for: the extension does the rest."""
    result = await client.call_tool(tool, arguments)
    tell(is_error=bool(result.is_error), looks=tasks.looks,
         text=result.content[0].text if result.content else None)


async def cancel(client, tasks, tool, arguments):
    """Takes the task itself, and gives it up."""
    handle = await client.session.call_tool(tool, arguments, allow_claimed=True)
    tell(**shown(handle))
    request = CancelTask(params=types.CancelTaskRequestParams(task_id=handle.task_id))
    await client.session.send_request(request, Done)
    found, _ = await finished(client.session, handle.task_id)
    unknown = None
    try:
        await standing(client.session, "no-such-task")
    except MCPError as error:
        unknown = error.error.code
    tell(status=found.status, result=found.result, unknown=unknown)


async def main():
    scenario, tool, arguments = sys.argv[1:4]
    tasks = Tasks()
    headers = {"Authorization": f"Bearer {os.environ['PRELOOP_TOKEN']}"}
    async with create_mcp_http_client(headers=headers) as http:
        streams = streamable_http_client(sys.argv[sys.argv.index("--url") + 1], http_client=http)
        async with Client(streams, mode="2026-07-28", extensions=[tasks]) as client:
            play = {"wait": wait, "cancel": cancel}[scenario]
            await play(client, tasks, tool, json.loads(arguments))


asyncio.run(main())
