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
from mcp_types import (CreateMessageResult, CreateMessageResultWithTools, ElicitResult, ErrorData, ListRootsResult,
                       PromptReference, ResourceTemplateReference, Root, SamplingCapability,
                       SamplingContextCapability, SamplingToolsCapability, TextContent, ToolUseContent)

from mcp_transport import transport

NAMES = ["echo", "odd/tool.name-1", "structured", "contents", "fails", "refuses", "progress",
         "logs", "meta", "slow", "asks", "samples", "works", "roots", "mutable"]
# How a person answers a question, by its words; any other is answered with a name.
MOODS = {"Are you sure?": "decline", "Are you there?": "cancel"}
BROKEN = "Is anybody there?"
ABILITIES = SamplingCapability(tools=SamplingToolsCapability(), context=SamplingContextCapability())
logged, asked = [], []


async def on_log(params):
    logged.append([params.level, params.logger, params.data])


async def on_ask(context, params):
    asked.append([params.message, params.requested_schema])
    if params.message == BROKEN:
        return ErrorData(code=-32055, message="nobody is there", data={"since": [1]})
    if mood := MOODS.get(params.message):
        return ElicitResult(action=mood)
    return ElicitResult(action="accept", content={"name": "Ann"})


async def on_sample(context, params):
    asked.append(params.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"meta"}))
    if params.tools:
        return CreateMessageResultWithTools(role="assistant", model="a-model", stop_reason="toolUse", content=[
            TextContent(type="text", text="I look again"),
            ToolUseContent(id="u-2", name="weather", input={"where": "Bonn", "deep": [1, {}]}),
            ToolUseContent(id="u-3", name="weather", input={})])
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


async def listed(ask, member):
    """All pages of a list: how many there are is each server's own matter."""
    items, cursor = [], None
    while True:
        page = await ask(cursor=cursor)
        items += getattr(page, member)
        cursor = page.next_cursor
        if not cursor:
            return [plain(item) for item in items]


async def completed(client):
    """Completions of prompts and of resources, before any list has been read."""
    prompt = PromptReference(type="ref/prompt", name="part")
    seen = {"prompt": await tried(client.complete(prompt, {"name": "name", "value": "an"})),
            "after others": await tried(client.complete(
                prompt, {"name": "mood", "value": ""}, {"name": "Ann é", "empty": ""}))}
    for uri in ["memo://leaf/{book}/{page}", "memo://note/{id}", "memo://one", "memo://note/7"]:
        reference = ResourceTemplateReference(type="ref/resource", uri=uri)
        seen[uri] = await tried(client.complete(
            reference, {"name": "page", "value": "b"}, {"book": "7"}))
    nowhere = ResourceTemplateReference(type="ref/resource", uri="nothing://{here}")
    seen["nowhere"] = (await tried(client.complete(nowhere, {"name": "here", "value": ""})))["error"][0]
    return seen


async def instructed(client):
    """Whether what the server says to models arrives, whatever stands around it."""
    if sys.argv[1] == "legacy":
        text = client.instructions
    else:
        # Whoever names the revision has not asked what there is.
        text = (await client.session.send_discover(sys.argv[1])).get("instructions")
    return "Try everything." in (text or "")


async def everything(client):
    seen = {"completions": await completed(client), "instructions": await instructed(client)}
    tools = await listed(client.list_tools, "tools")
    seen["tools"] = sorted((tool for tool in tools if tool["name"] in NAMES),
                           key=lambda tool: tool["name"])
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
    for question, mood in MOODS.items():
        seen[mood] = await tried(call("asks", {"question": question}))
    seen["samples"] = await tried(call("samples", {}))
    seen["works"] = await tried(call("works", {}))
    seen["roots"] = await tried(call("roots", {}))
    # A client of the newer era does not come back from this: the call waits on at an older server, and over
    # pipes it could be meant by any further question.
    seen["nobody"] = await tried(call("asks", {"question": BROKEN}))
    seen["asked"] = asked
    seen["resources"] = await listed(client.list_resources, "resources")
    seen["templates"] = await listed(client.list_resource_templates, "resource_templates")
    for uri in ["memo://one", "memo://picture", "memo://note/7", "memo://leaf/a/b", "memo://nothing"]:
        seen[uri] = await tried(client.read_resource(uri))
    seen["prompts"] = await listed(client.list_prompts, "prompts")
    seen["prompt"] = await tried(client.get_prompt("greet", {"name": "Ann"}))
    seen["part"] = await tried(client.get_prompt("part", {}))
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
                                              sampling_capabilities=ABILITIES,
                                              list_roots_callback=on_roots) as client:
        seen = await everything(client)
    print(json.dumps(seen, sort_keys=True))


asyncio.run(main())
