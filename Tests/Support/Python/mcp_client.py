"""Drives a server by the official Python SDK and prints what it saw as one JSON object.

    python3 mcp_client.py MODE SCENARIO -- PROGRAM ARGUMENTS…
    python3 mcp_client.py MODE SCENARIO --url URL

The first form speaks over stdio, the second over HTTP with the key in `PRELOOP_TOKEN`, none when that is empty, and as a
page of `PRELOOP_ORIGIN` when that is there. MODE is `legacy`, `auto`, `2026-07-28`, or an older revision to ask for by
`initialize`. Nothing is judged here: the tests do that.
"""

import asyncio
import contextlib
import json
import os
import sys
import time

import anyio
import mcp.client.session
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

# One argument set that is right and one that is wrong, for every tool. The workflow `quick` gives a handle at once.
CALLS = {
    "search": ({"query": "crash when a file is opened", "limit": 3}, {"query": "", "limit": 0}),
    "get_issue": ({"issue": "x-0"}, {"isue": "x-0"}),
    "similar_issues": ({"issue": "x-0", "limit": 2}, {"issue": "x-0", "limit": "many"}),
    "find_duplicates": (
        {"title": "crash when a file is opened", "description": "what happened", "threshold": 0},
        {"title": "a", "threshold": 7},
    ),
    "list_projects": ({}, {"tracker": 5}),
    "sync_status": ({}, {"nonsense": True}),
    "estimate_compliance": ({"issues": ["x-0", "x-1"]}, {"issues": "x-0"}),
    "improve_compliance": ({"issues": ["x-0"], "compliance_metric": "Bug"}, {"issues": []}),
    "request_approval": (
        {"operation": "drop the table", "context": "it is empty", "reasoning": "tidying up",
         "approval_workflow": "quick"},
        {"operation": "drop the table"}),
    # The request that the call before has made is filled in.
    "get_approval_status": ({}, {"request_id": 5}),
}


# The same for the tools that write, over the reference services' world.
WRITING_CALLS = {
    "create_issue": (
        {"project": "acme/tool", "title": "Printing fails", "description": "Every page is green"},
        {"project": "acme/tool", "title": ""}),
    "update_issue": ({"issue": "acme/tool#1", "labels": ["ui"], "status": "closed"},
                     {"issue": "acme/tool#1", "labels": "ui"}),
    "add_comment": ({"target": "acme/tool#1", "comment": "Seen **again**"},
                    {"target": "acme/tool#1", "comment": "x", "side": "MIDDLE"}),
    "update_comment": ({"target": "acme/tool#2", "comment_id": "102", "body": "Never mind"},
                       {"target": "acme/tool#2", "comment_id": 102, "body": "x"}),
    "get_pull_request": ({"pull_request": "acme/tool#9"},
                         {"pull_request": "acme/tool#9", "include_diff": "yes"}),
    "create_pull_request": (
        {"project": "acme/tool", "title": "Green", "source_branch": "g", "target_branch": "main"},
        {"project": "acme/tool", "title": "Green", "source_branch": "g"}),
    "update_pull_request": (
        {"pull_request": "acme/tool#9", "title": "Mend it well", "review_action": "approve"},
        {"pull_request": "acme/tool#9", "review_action": "shrug"}),
}


def shown(result):
    return {
        "is_error": bool(result.is_error),
        "text": result.content[0].text if result.content else None,
        "structured": result.structured_content,
    }


def without_example(listed):
    """The tools that nobody has written arguments for."""
    return [tool.name for tool in listed.tools if tool.name not in CALLS and tool.name not in WRITING_CALLS]


async def everything(client):
    """Lists the tools and calls each with good and with bad arguments."""
    listed = await client.list_tools()
    seen = {
        "version": client.protocol_version,
        "server": client.server_info.name if client.server_info else None,
        "instructions": bool(client.instructions),
        "tools": [tool.name for tool in listed.tools],
        "again": [tool.name for tool in (await client.list_tools(cache_mode="refresh")).tools],
        "read_only": [bool(tool.annotations and tool.annotations.read_only_hint)
                      for tool in listed.tools],
        "has_output_schema": [tool.output_schema is not None for tool in listed.tools],
        "without_example": without_example(listed), "good": {}, "bad": {},
    }
    names = [tool.name for tool in listed.tools if tool.name in CALLS]
    for name in sorted(names, key=lambda name: name == "get_approval_status"):
        good, bad = CALLS[name]
        if name == "get_approval_status":
            good = {"request_id": json.loads(seen["good"]["request_approval"]["text"])["request_id"]}
        # The SDK checks structured content against the output schema by itself.
        seen["good"][name] = shown(await client.call_tool(name, good))
        seen["bad"][name] = shown(await client.call_tool(name, bad))
    try:
        await client.call_tool("no_such_tool", {})
    except MCPError as error:
        seen["unknown_tool"] = error.error.code
    return seen


async def writing(client):
    """Lists the tools and calls each that writes with good and with bad arguments."""
    listed = await client.list_tools()
    seen = {"tools": [tool.name for tool in listed.tools], "without_example": without_example(listed),
            "good": {}, "bad": {}, "hints": {tool.name: [tool.annotations.read_only_hint, tool.annotations.destructive_hint,
                                  tool.annotations.idempotent_hint, tool.annotations.open_world_hint]
                      for tool in listed.tools if tool.name in WRITING_CALLS}}
    for name, (good, bad) in WRITING_CALLS.items():
        seen["good"][name] = shown(await client.call_tool(name, good))
        seen["bad"][name] = shown(await client.call_tool(name, bad))
    seen["after"] = shown(await client.call_tool("get_issue", {"issue": "acme/tool#1"}))
    return seen


async def progress(client):
    """Collects the progress of a call over four issues."""
    told = []

    async def on_progress(done, total, message):
        told.append([done, total, message])

    result = await client.call_tool(
        "estimate_compliance", {"issues": ["x-0", "x-1", "x-2", "x-3"]},
        progress_callback=on_progress)
    await anyio.sleep(0.1)
    return {"told": told, "result": shown(result)}


async def many(client):
    """Sixteen calls side by side, and as many again behind them."""
    answers = []

    async def call(number):
        result = await client.call_tool("search", {"query": f"crash {number}", "mode": "text"})
        answers.append([number, shown(result)])

    async with anyio.create_task_group() as group:
        for number in range(32):
            group.start_soon(call, number)
    return {"answers": len(answers), "errors": sum(answer["is_error"] for _, answer in answers),
            "queries": sorted(json.loads(answer["text"])["query"] for _, answer in answers)}


async def big(client):
    """An issue with half a megabyte of text."""
    result = await client.call_tool("get_issue", {"issue": "x-0"})
    return {"bytes": len(result.content[0].text), "is_cut":
            (result.structured_content or json.loads(result.content[0].text))["description_is_cut"]}


async def cancel(client):
    """Gives up a call after half a second, and asks something else."""
    started = time.monotonic()
    with anyio.move_on_after(0.5) as scope:
        await client.call_tool("estimate_compliance", {"issues": ["x-0"]})
    after = await client.call_tool("list_projects", {})
    return {"gave_up": scope.cancelled_caught, "seconds": time.monotonic() - started,
            "after": shown(after)}


async def wrong_version(client):
    """Asks in a revision that there is not."""
    try:
        await client.session.send_discover("2031-01-01")
    except MCPError as error:
        return {"code": error.code, "data": error.data, "statuses": STATUSES}
    return {}


def codes(error):
    """The codes of the protocol's errors in an exception, or in a group of them."""
    if isinstance(error, BaseExceptionGroup):
        return [code for inner in error.exceptions for code in codes(inner)]
    return [error.code] if isinstance(error, MCPError) else []


async def refused(streams, mode):
    """Connects and lists the tools; tells whether that was refused, and with which statuses."""
    try:
        async with Client(streams, mode=mode) as client:
            await client.list_tools()
    except Exception as error:
        return {"refused": True, "codes": codes(error), "statuses": STATUSES}
    return {"refused": False, "codes": [], "statuses": STATUSES}


# Of the answers, in their order: the SDK itself keeps them to itself.
STATUSES = []


async def note(response):
    STATUSES.append(response.status_code)


@contextlib.asynccontextmanager
async def transport():
    """Over HTTP or stdio, as the command line says."""
    if "--url" in sys.argv:
        headers = {}
        if key := os.environ["PRELOOP_TOKEN"]:
            headers["Authorization"] = f"Bearer {key}"
        if origin := os.environ.get("PRELOOP_ORIGIN"):
            headers["Origin"] = origin
        async with create_mcp_http_client(headers=headers) as http:
            http.event_hooks = {"response": [note]}
            yield streamable_http_client(sys.argv[sys.argv.index("--url") + 1], http_client=http)
        return
    program = sys.argv[sys.argv.index("--") + 1:]
    # The environment of this process, whole: the SDK hands on only a few variables by itself.
    yield stdio_client(StdioServerParameters(command=program[0], args=program[1:],
                                             env=dict(os.environ)))


async def main():
    mode, scenario = sys.argv[1:3]
    if mode in HANDSHAKE_PROTOCOL_VERSIONS:
        # The SDK always offers the newest one by itself.
        mcp.client.session.LATEST_HANDSHAKE_VERSION, mode = mode, "legacy"
    if scenario == "refused":
        async with transport() as streams:
            seen = await refused(streams, mode)
    else:
        async with transport() as streams, Client(streams, mode=mode) as client:
            seen = await globals()[scenario](client)
    print(json.dumps(seen))


asyncio.run(main())
