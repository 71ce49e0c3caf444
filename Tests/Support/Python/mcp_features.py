"""Uses everything that `mcp_upstream.py` has, and prints what it saw as one JSON object.

    python3 mcp_features.py MODE --url URL [--token TOKEN]
    python3 mcp_features.py MODE -- PROGRAM ARGUMENTS…

MODE is `legacy` or `2026-07-28`. What belongs to the server in between – its own tools, its name –
is left out, so that what is seen directly and through the gateway can be compared.
"""

import asyncio
import json
import sys

import anyio
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import (CreateMessageResult, ElicitResult, ListRootsResult, PromptReference, Root,
                       TextContent)

from mcp_transport import transport

NAMES = ["echo", "odd/tool.name-1", "structured", "contents", "fails", "refuses", "progress",
         "logs", "meta", "slow", "asks", "samples", "roots", "mutable"]
logged, asked = [], []


async def on_log(params):
    logged.append([params.level, params.logger, params.data])


async def on_ask(context, params):
    asked.append([params.message, params.requested_schema])
    return ElicitResult(action="accept", content={"name": "Ann"})


async def on_sample(context, params):
    asked.append([[message.role, message.content.text] for message in params.messages]
                 + [params.max_tokens, params.system_prompt, params.temperature])
    return CreateMessageResult(role="assistant", model="a-model", stop_reason="endTurn",
                               content=TextContent(type="text", text="A model, é"))


async def on_roots(context):
    asked.append("roots")
    return ListRootsResult(roots=[Root(uri="file:///projects/one", name="One"),
                                  Root(uri="file:///projects/two%20words")])


def plain(result):
    shown = result.model_dump(mode="json", by_alias=True, exclude_none=True)
    shown.pop("resultType", None)
    shown.pop("ttlMs", None)
    shown.pop("cacheScope", None)
    meta = shown.pop("_meta", None) or {}
    meta.pop("io.modelcontextprotocol/serverInfo", None)
    if meta:
        shown["_meta"] = meta
    return shown


async def tried(call):
    try:
        return plain(await call)
    except MCPError as error:
        return {"error": [error.error.code, error.error.message, error.error.data]}


async def everything(client):
    tools, cursor = [], None
    while True:
        page = await client.list_tools(cursor=cursor)
        tools += page.tools
        cursor = page.next_cursor
        if not cursor:
            break
    seen = {"tools": sorted((plain(tool) for tool in tools if tool.name in NAMES),
                            key=lambda tool: tool["name"])}
    call = client.call_tool
    seen["echo"] = await tried(call("echo", {"text": "é \u0001 \U0001F600 \" \\"}))
    seen["odd"] = await tried(call("odd/tool.name-1", {
        "a-b": "x", "class": None, "ünï": 1.5, "list": [1, None, {"deep": [True]}],
        "big": 9007199254740993}))
    for name in ["structured", "contents", "fails", "refuses"]:
        seen[name] = await tried(call(name, {}))
    seen["unknown"] = (await tried(call("no such tool", {})))["error"][0]
    told = []

    async def on_progress(done, total, message):
        told.append([done, total, message])

    seen["progress"] = await tried(call("progress", {}, progress_callback=on_progress))
    # Each era has its own way to say from where on messages are wanted.
    if sys.argv[1] == "legacy":
        await client.set_logging_level("info")
        seen["logs"] = await tried(call("logs", {}))
    else:
        meta = {"io.modelcontextprotocol/logLevel": "info"}
        seen["logs"] = await tried(call("logs", {}, meta=meta))
    await anyio.sleep(0.2)
    seen["told"], seen["logged"] = told, logged
    seen["meta"] = await tried(call("meta", {}, meta={"vendor.example/trace": {"deep": [1]}}))
    seen["asks"] = await tried(call("asks", {}))
    if sys.argv[1] == "legacy":
        # Over a program's pipes a question does not say which of the two calls it belongs to.
        seen["both"] = await asyncio.gather(*[tried(call("asks", {})) for _ in range(2)])
    seen["samples"] = await tried(call("samples", {}))
    seen["roots"] = await tried(call("roots", {}))
    seen["asked"] = asked
    seen["resources"] = await tried(client.list_resources())
    seen["templates"] = await tried(client.list_resource_templates())
    for uri in ["memo://one", "memo://picture", "memo://note/7", "memo://nothing"]:
        seen[uri] = await tried(client.read_resource(uri))
    seen["prompts"] = await tried(client.list_prompts())
    seen["prompt"] = await tried(client.get_prompt("greet", {"name": "Ann"}))
    seen["completion"] = await tried(client.complete(
        PromptReference(type="ref/prompt", name="greet"), {"name": "name", "value": "an"}))
    with anyio.move_on_after(1) as scope:
        await call("slow", {})
    seen["gave_up"] = scope.cancelled_caught
    seen["after"] = await tried(call("echo", {"text": "still there"}))
    return seen


async def main():
    async with transport() as streams, Client(streams, mode=sys.argv[1],
                                              logging_callback=on_log,
                                              elicitation_callback=on_ask,
                                              sampling_callback=on_sample,
                                              list_roots_callback=on_roots) as client:
        seen = await everything(client)
    print(json.dumps(seen, sort_keys=True))


asyncio.run(main())
