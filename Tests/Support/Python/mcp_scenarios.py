"""What the scripts that drive a server by a client library have in common: the calls, and what is looked at.

Each of those scripts runs as

    python3 SCRIPT MODE SCENARIO -- PROGRAM ARGUMENTS…
    python3 SCRIPT MODE SCENARIO --url URL

and prints what its client saw as one JSON object. The first form speaks over stdio, the second over HTTP with the key in
`PRELOOP_TOKEN`, none when that is empty, and as a page of `PRELOOP_ORIGIN` when that is there. MODE is `legacy`, `auto`,
`2026-07-28`, or an older revision to ask for by `initialize`. `TRACKER_SERVICE` is the tracker that SCENARIO `writing` is
about, GitHub when it is not there. Nothing is judged here: the tests do that.
"""

import asyncio
import json
import os
import sys
import time

import anyio
import mcp.client.session
from mcp.client.streamable_http import create_mcp_http_client
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


# The tracker that is written to: `github`, `gitlab`, `jira-cloud` or `jira-server`.
SERVICE = os.environ.get("TRACKER_SERVICE", "github")
IS_JIRA = SERVICE.startswith("jira")
PROJECT = "TOOL" if IS_JIRA else "acme/tool"
PULL = "acme/tool!9" if SERVICE == "gitlab" else "acme/tool#9"


def issue(number):
    return f"{PROJECT}-{number}" if IS_JIRA else f"{PROJECT}#{number}"


# The same for the tools that write, over the reference services' world.
WRITING_CALLS = {
    "create_issue": (
        {"project": PROJECT, "title": "Printing fails", "description": "Every page is green"},
        {"project": PROJECT, "title": ""}),
    "update_issue": ({"issue": issue(1), "labels": ["ui"], "status": "closed"},
                     {"issue": issue(1), "labels": "ui"}),
    "add_comment": ({"target": issue(1), "comment": "Seen **again**"},
                    {"target": issue(1), "comment": "x", "side": "MIDDLE"}),
    "update_comment": ({"target": issue(2), "comment_id": "102", "body": "Never mind"},
                       {"target": issue(2), "comment_id": 102, "body": "x"}),
    "get_pull_request": ({"pull_request": PULL}, {"pull_request": PULL, "include_diff": "yes"}),
    "create_pull_request": (
        {"project": PROJECT, "title": "Green", "source_branch": "g", "target_branch": "main"},
        {"project": PROJECT, "title": "Green", "source_branch": "g"}),
    "update_pull_request": (
        {"pull_request": PULL, "title": "Mend it well", "review_action": "approve"},
        {"pull_request": PULL, "review_action": "shrug"}),
}

# What has the right form, and is refused all the same.
REFUSED_CALLS = {
    "create_issue": {"project": "nobody/nothing", "title": "Printing fails"},
    "update_issue": {"issue": issue(2), "status": "frozen"},
    "add_comment": {"target": issue(77), "comment": "Seen"},
    "update_comment": {"target": issue(2), "comment_id": "999", "body": "x"},
    "get_pull_request": {"pull_request": issue(1)},
    "create_pull_request": {
        "project": "nobody/nothing", "title": "Green", "source_branch": "g", "target_branch": "main"},
    "update_pull_request": {"pull_request": issue(1), "title": "Mend it"},
}


class Client:
    """How a scenario uses a library, whose script says how it does these."""

    # What the server said of itself, and the library's session.
    version = server = instructions = session = None

    async def tools(self, again=False):
        """The tools; asked for anew when a list is kept."""
        raise NotImplementedError

    async def call(self, name, arguments, on_progress=None):
        """Calls a tool; the result has `is_error`, `content` and `structured_content`."""
        raise NotImplementedError


def shown(result):
    return {
        "is_error": bool(result.is_error),
        "text": result.content[0].text if result.content else None,
        "structured": result.structured_content,
    }


def without_example(tools):
    """The tools that nobody has written arguments for."""
    return [tool.name for tool in tools if tool.name not in CALLS and tool.name not in WRITING_CALLS]


async def everything(client):
    """Lists the tools and calls each with good and with bad arguments."""
    tools = await client.tools()
    seen = {
        "version": client.version, "server": client.server, "instructions": bool(client.instructions),
        "tools": [tool.name for tool in tools],
        "again": [tool.name for tool in await client.tools(again=True)],
        "read_only": [bool(tool.annotations and tool.annotations.read_only_hint) for tool in tools],
        "has_output_schema": [tool.output_schema is not None for tool in tools],
        "without_example": without_example(tools), "good": {}, "bad": {},
    }
    names = [tool.name for tool in tools if tool.name in CALLS]
    for name in sorted(names, key=lambda name: name == "get_approval_status"):
        good, bad = CALLS[name]
        if name == "get_approval_status":
            good = {"request_id": json.loads(seen["good"]["request_approval"]["text"])["request_id"]}
        # The clients check structured content against the output schema by themselves.
        seen["good"][name] = shown(await client.call(name, good))
        seen["bad"][name] = shown(await client.call(name, bad))
    seen["unknown_tool"] = await absent(client, "no_such_tool", {})
    return seen


async def writing(client):
    """Lists the tools and calls each that writes with good and with bad arguments, and with what the tracker refuses."""
    tools = await client.tools()
    seen = {"tools": [tool.name for tool in tools], "without_example": without_example(tools), "good": {}, "bad": {},
            "hints": {tool.name: [tool.annotations.read_only_hint, tool.annotations.destructive_hint,
                                  tool.annotations.idempotent_hint, tool.annotations.open_world_hint]
                      for tool in tools if tool.name in WRITING_CALLS}}
    seen["refused"], seen["absent"] = {}, {}
    for name, (good, bad) in WRITING_CALLS.items():
        if name not in seen["tools"]:
            seen["absent"][name] = await absent(client, name, good)
            continue
        seen["good"][name] = shown(await client.call(name, good))
        seen["bad"][name] = shown(await client.call(name, bad))
        seen["refused"][name] = shown(await client.call(name, REFUSED_CALLS[name]))
    seen["after"] = shown(await client.call("get_issue", {"issue": issue(1)}))
    if SERVICE == "github":
        path = json.loads(seen["good"]["get_pull_request"]["text"])["files"][0]["path"]
        seen["remark"] = shown(await client.call(
            "add_comment", {"target": PULL, "comment": "Why?", "path": path, "line": 11}))
        identifier = json.loads(seen["remark"]["text"])["comment"]["id"]
        seen["reply"] = shown(await client.call(
            "add_comment", {"target": PULL, "comment": "Because", "in_reply_to": identifier}))
    return seen


async def absent(client, name, arguments):
    """Calls a tool that there is not, and gives the error's code."""
    try:
        await client.call(name, arguments)
    except MCPError as error:
        return error.error.code
    return None


async def progress(client):
    """Collects the progress of a call over four issues."""
    told = []

    async def on_progress(done, total, message):
        told.append([done, total, message])

    result = await client.call(
        "estimate_compliance", {"issues": ["x-0", "x-1", "x-2", "x-3"]}, on_progress=on_progress)
    await anyio.sleep(0.1)
    return {"told": told, "result": shown(result)}


async def many(client):
    """Sixteen calls side by side, and as many again behind them."""
    answers = []

    async def call(number):
        result = await client.call("search", {"query": f"crash {number}", "mode": "text"})
        answers.append([number, shown(result)])

    async with anyio.create_task_group() as group:
        for number in range(32):
            group.start_soon(call, number)
    return {"answers": len(answers), "errors": sum(answer["is_error"] for _, answer in answers),
            "queries": sorted(json.loads(answer["text"])["query"] for _, answer in answers)}


async def big(client):
    """An issue with half a megabyte of text."""
    result = await client.call("get_issue", {"issue": "x-0"})
    return {"bytes": len(result.content[0].text.encode()), "is_cut":
            (result.structured_content or json.loads(result.content[0].text))["description_is_cut"]}


async def cancel(client):
    """Gives up a call after half a second, and asks something else."""
    started = time.monotonic()
    with anyio.move_on_after(0.5) as scope:
        await client.call("estimate_compliance", {"issues": ["x-0"]})
    after = await client.call("list_projects", {})
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
    """The codes of the protocol's errors in an exception, in a group of them, and in what caused it."""
    if isinstance(error, BaseExceptionGroup):
        return [code for inner in error.exceptions for code in codes(inner)]
    if isinstance(error, MCPError):
        return [error.code]
    return codes(error.__cause__) if error.__cause__ else []


async def refused(connection):
    """Connects and lists the tools; tells whether that was refused, and with which statuses."""
    try:
        async with connection as client:
            await client.tools()
    except Exception as error:
        return {"refused": True, "codes": codes(error), "statuses": STATUSES}
    return {"refused": False, "codes": [], "statuses": STATUSES}


# Of the answers, in their order: the libraries keep them to themselves.
STATUSES = []


async def note(response):
    STATUSES.append(response.status_code)


def http_client(headers=None, auth=None, timeout=None):
    """One that shows the credential and the page of the environment, and notes statuses."""
    headers = dict(headers or {})
    if key := os.environ["PRELOOP_TOKEN"]:
        headers["Authorization"] = f"Bearer {key}"
    if origin := os.environ.get("PRELOOP_ORIGIN"):
        headers["Origin"] = origin
    client = create_mcp_http_client(headers=headers, auth=auth, timeout=timeout)
    client.event_hooks = {"response": [note]}
    return client


def url():
    """Where the server is, or nothing when it is a program."""
    return sys.argv[sys.argv.index("--url") + 1] if "--url" in sys.argv else None


def program():
    """The program and its arguments, with the environment of this process, whole: the libraries hand on only a few
    variables by themselves."""
    words = sys.argv[sys.argv.index("--") + 1:]
    return {"command": words[0], "args": words[1:], "env": dict(os.environ)}


SCENARIOS = {scenario.__name__: scenario for scenario in (everything, writing, progress, many, big, cancel, wrong_version)}


async def play(connect):
    mode, scenario = sys.argv[1:3]
    if mode in HANDSHAKE_PROTOCOL_VERSIONS:
        # The libraries always offer the newest one by themselves.
        mcp.client.session.LATEST_HANDSHAKE_VERSION, mode = mode, "legacy"
    if scenario == "refused":
        seen = await refused(connect(mode))
    else:
        async with connect(mode) as client:
            seen = await SCENARIOS[scenario](client)
    print(json.dumps(seen))


def main(connect):
    """Plays the scenario of the command line; `connect` takes the mode and gives a context with a ``Client``."""
    asyncio.run(play(connect))
