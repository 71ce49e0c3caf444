"""An MCP server of the official Python SDK with one of everything, for the gateway to stand before.

    python3 mcp_upstream.py stdio|http|sse [--era both|legacy|modern] [--state FILE]
                            [--require HEADER VALUE]

Over HTTP it listens on a free port of the loopback interface and prints its address; as a program it
is of both eras, or of the older one alone. FILE holds a word that stands in the definition of the
tool `mutable`, and a line for each tool that is called is added to FILE.calls, before it one with
each `traceparent` that a request has in its headers.
"""

import argparse
import asyncio
import base64
import json
import pathlib
import socket
import sys

import anyio
import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.runner import serve_loop
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata

arguments = argparse.ArgumentParser()
arguments.add_argument("transport", choices=["stdio", "http", "sse"])
arguments.add_argument("--era", default="both")
arguments.add_argument("--state")
arguments.add_argument("--require", nargs=2)
options = arguments.parse_args()

PICTURE = base64.b64encode(bytes(range(256))).decode()


def word():
    try:
        return pathlib.Path(options.state).read_text().strip() if options.state else "plain"
    except FileNotFoundError:
        return "plain"


def note(line):
    if options.state:
        with open(options.state + ".calls", "a") as file:
            file.write(line + "\n")


ANYTHING = {"type": "object"}
TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


def tools():
    """The definitions, with members that few servers have."""
    return [
        types.Tool(name="echo", title="Echo", description="Says the same", input_schema=TEXT,
                   annotations=types.ToolAnnotations(read_only_hint=True, title="Echo it"),
                   icons=[types.Icon(src="https://up.example/echo.svg", mime_type="image/svg+xml", sizes=["any"])]),
        types.Tool(name="odd/tool.name-1", description="Odd names", input_schema={
            "type": "object", "properties": {
                "a-b": {"type": "string", "pattern": "^x"}, "class": {"type": ["integer", "null"]},
                "ünï": {"format": "date"}}, "additionalProperties": True},
            _meta={"vendor.example/rank": 7}),
        types.Tool(name="structured", description="Structured", input_schema=ANYTHING,
                   output_schema={"type": "object", "properties": {"sum": {"type": "number"}}}),
        types.Tool(name="contents", description="All kinds of content", input_schema=ANYTHING),
        types.Tool(name="fails", description="Tells of an error", input_schema=ANYTHING),
        types.Tool(name="refuses", description="Refuses", input_schema=ANYTHING),
        types.Tool(name="progress", description="Tells how far it is", input_schema=ANYTHING),
        types.Tool(name="logs", description="Says what it does", input_schema=ANYTHING),
        types.Tool(name="meta", description="Gives its metadata back", input_schema=ANYTHING),
        types.Tool(name="slow", description="Takes a minute", input_schema=ANYTHING),
        types.Tool(name="asks", description="Asks for a name", input_schema=ANYTHING),
        types.Tool(name="samples", description="Has a text written", input_schema=ANYTHING),
        types.Tool(name="works", description="Has a model use tools", input_schema=ANYTHING),
        types.Tool(name="roots", description="Asks for directories", input_schema=ANYTHING),
        types.Tool(name="mutable", description=f"It is {word()}", input_schema=ANYTHING),
    ]


def paged(every, params, size):
    """A page of a list from where the cursor says, and the cursor of the next one."""
    start = int(params.cursor) if params and params.cursor else 0
    end = start + size
    return every[start:end], str(end) if end < len(every) else None


async def list_tools(ctx, params):
    page, cursor = paged(tools(), params, 4)
    return types.ListToolsResult(tools=page, next_cursor=cursor)


def text(value):
    return types.TextContent(type="text", text=value)


# A conversation in which a model has used a tool, and the tool.
WORK = ([
    types.SamplingMessage(role="user", content=text("How warm is it?")),
    types.SamplingMessage(role="assistant", content=[
        text("I look"), types.ToolUseContent(id="u-1", name="weather", input={"where": "Köln", "days": None})]),
    types.SamplingMessage(role="user", content=[types.ToolResultContent(
        tool_use_id="u-1", structured_content={"degrees": 3.5}, is_error=False, content=[
            text("3.5"), types.ImageContent(type="image", data=PICTURE, mime_type="image/png")])]),
], types.Tool(name="weather", description="Tells the weather", input_schema=TEXT))


async def call_tool(ctx, params):
    given = params.arguments or {}
    note(params.name)
    match params.name:
        case "echo":
            return types.CallToolResult(content=[text(given["text"])])
        case "odd/tool.name-1" | "mutable":
            return types.CallToolResult(content=[text(json.dumps(given, sort_keys=True))])
        case "structured":
            return types.CallToolResult(
                content=[text("3")], structured_content={"sum": 3.5, "extra": [None, {"a": 1e20}]},
                _meta={"vendor.example/cost": 2})
        case "contents":
            return types.CallToolResult(content=[
                types.TextContent(type="text", text="one", annotations=types.Annotations(
                    audience=["user"], priority=0.5)),
                types.ImageContent(type="image", data=PICTURE, mime_type="image/png"),
                types.AudioContent(type="audio", data=PICTURE, mime_type="audio/wav"),
                types.ResourceLink(type="resource_link", uri="memo://linked", name="linked"),
                types.ResourceLink(
                    type="resource_link", uri="memo://linked/é%20", name="whole", title="Whole",
                    description="All a link can have", mime_type="text/plain", size=12,
                    annotations=types.Annotations(audience=["assistant"], priority=1),
                    icons=[types.Icon(src="https://up.example/link.png")], _meta={"vendor.example/link": [1]}),
                types.EmbeddedResource(type="resource", resource=types.TextResourceContents(
                    uri="memo://embedded", text="inside", mime_type="text/plain")),
                types.EmbeddedResource(type="resource", resource=types.BlobResourceContents(
                    uri="memo://blob", blob=PICTURE)),
            ])
        case "fails":
            return types.CallToolResult(content=[text("it did not work")], is_error=True)
        case "refuses":
            raise MCPError(code=-32050, message="not today", data={"until": "tomorrow"})
        case "progress":
            for step in range(1, 4):
                await ctx.session.report_progress(step, 3, f"step {step}")
            return types.CallToolResult(content=[text("done")])
        case "logs":
            for level in ["debug", "info", "error"]:
                if LEVELS.index(level) < LEVELS.index(least):
                    continue
                await ctx.session.send_log_message(
                    level=level, data={"what": level}, logger="upstream",
                    related_request_id=ctx.request_id)
            return types.CallToolResult(content=[text("said")])
        case "meta":
            meta = {key: value for key, value in (ctx.meta or {}).items()
                    if not key.startswith("io.modelcontextprotocol/") and "rogress" not in key}
            return types.CallToolResult(content=[text(json.dumps(meta, sort_keys=True))])
        case "asks":
            schema = {"type": "object", "properties": {"name": {"type": "string"}}}
            words = given.get("question", "Who?")
            question = types.ElicitRequestFormParams(message=words, requested_schema=schema)
            if ctx.protocol_version != "2026-07-28":
                answer = await ctx.session.elicit_form(words, schema, ctx.request_id)
            elif not params.input_responses:
                return types.InputRequiredResult(
                    input_requests={"who": types.ElicitRequest(params=question)},
                    request_state="opaque é")
            else:
                assert params.request_state == "opaque é"
                answer = params.input_responses["who"]
            return types.CallToolResult(content=[text(f"{answer.action} {answer.content}")])
        case "samples":
            message = types.SamplingMessage(role="user", content=text("Who are you? é"))
            wanted = types.CreateMessageRequestParams(messages=[message], max_tokens=17,
                                                      system_prompt="Be brief", temperature=0.5)
            if ctx.protocol_version != "2026-07-28":
                answer = await ctx.session.create_message(
                    [message], max_tokens=17, system_prompt="Be brief", temperature=0.5,
                    related_request_id=ctx.request_id)
            elif not params.input_responses:
                return types.InputRequiredResult(
                    input_requests={"model": types.CreateMessageRequest(params=wanted)},
                    request_state="model")
            else:
                answer = params.input_responses["model"]
            return types.CallToolResult(content=[text(
                f"{answer.role} {answer.model} {answer.stop_reason} {answer.content.text}")])
        case "works":
            messages, tool = WORK
            settings = {"max_tokens": 99, "tools": [tool], "tool_choice": types.ToolChoice(mode="required"),
                        "model_preferences": types.ModelPreferences(
                            hints=[types.ModelHint(name="small")], speed_priority=0.5),
                        "stop_sequences": ["\n\n"], "metadata": {"vendor.example/deep": [None]},
                        "include_context": "thisServer"}
            if ctx.protocol_version != "2026-07-28":
                answer = await ctx.session.create_message(
                    messages, related_request_id=ctx.request_id, **settings)
            elif not params.input_responses:
                wanted = types.CreateMessageRequestParams(messages=messages, **settings)
                return types.InputRequiredResult(
                    input_requests={"model": types.CreateMessageRequest(params=wanted)},
                    request_state="work")
            else:
                answer = params.input_responses["model"]
            return types.CallToolResult(content=[text(json.dumps(
                answer.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"meta"}),
                sort_keys=True))])
        case "roots":
            if ctx.protocol_version != "2026-07-28":
                answer = await ctx.session.send_request(
                    types.ListRootsRequest(), types.ListRootsResult,
                    metadata=ServerMessageMetadata(related_request_id=ctx.request_id))
            elif not params.input_responses:
                return types.InputRequiredResult(
                    input_requests={"where": types.ListRootsRequest()}, request_state="where")
            else:
                answer = params.input_responses["where"]
            return types.CallToolResult(content=[text(json.dumps(
                [[str(root.uri), root.name] for root in answer.roots]))])
        case "slow":
            try:
                await anyio.sleep(60)
            except anyio.get_cancelled_exc_class():
                note("slow was cancelled")
                raise
            return types.CallToolResult(content=[text("slept")])
    raise MCPError(code=-32602, message=f"Unknown tool: {params.name}")


async def list_resources(ctx, params):
    page, cursor = paged([
        types.Resource(uri="memo://one", name="one", title="One", mime_type="text/plain", size=3),
        types.Resource(uri="memo://picture", name="picture", mime_type="image/png"),
        types.Resource(uri="memo://last", name="last", description="On the second page"),
    ], params, 2)
    return types.ListResourcesResult(resources=page, next_cursor=cursor)


async def list_templates(ctx, params):
    page, cursor = paged([
        types.ResourceTemplate(uri_template="memo://note/{id}", name="note", description="A note"),
        types.ResourceTemplate(uri_template="memo://leaf/{book}/{page}", name="leaf", title="On the second page"),
    ], params, 1)
    return types.ListResourceTemplatesResult(resource_templates=page, next_cursor=cursor)


async def read_resource(ctx, params):
    uri = str(params.uri)
    note("read " + uri)
    if uri == "memo://one":
        contents = types.TextResourceContents(uri=uri, text="one", mime_type="text/plain")
    elif uri == "memo://picture":
        contents = types.BlobResourceContents(uri=uri, blob=PICTURE, mime_type="image/png")
    elif uri.startswith(("memo://note/", "memo://leaf/")):
        contents = types.TextResourceContents(uri=uri, text="note " + uri.rsplit("/", 1)[1])
    else:
        raise MCPError(code=-32602, message="there is no such resource")
    return types.ReadResourceResult(contents=[contents])


async def list_prompts(ctx, params):
    page, cursor = paged([
        types.Prompt(name="greet", title="Greeting", description="Greets", arguments=[
            types.PromptArgument(name="name", description="Whom", required=True)]),
        types.Prompt(name="part", description="On the second page", arguments=[
            types.PromptArgument(name="name"), types.PromptArgument(name="mood")]),
    ], params, 1)
    return types.ListPromptsResult(prompts=page, next_cursor=cursor)


async def get_prompt(ctx, params):
    name = (params.arguments or {}).get("name", "you")
    if params.name == "part":
        return types.GetPromptResult(messages=[
            types.PromptMessage(role="user", content=types.AudioContent(
                type="audio", data=PICTURE, mime_type="audio/wav")),
            types.PromptMessage(role="assistant", content=types.ResourceLink(
                type="resource_link", uri="memo://linked", name="linked")),
            types.PromptMessage(role="user", content=types.EmbeddedResource(
                type="resource", resource=types.BlobResourceContents(uri="memo://blob", blob=PICTURE))),
        ])
    return types.GetPromptResult(description="A greeting", messages=[
        types.PromptMessage(role="user", content=text(f"Greet {name}")),
        types.PromptMessage(role="assistant", content=text("Hello")),
        types.PromptMessage(role="user", content=types.ImageContent(
            type="image", data=PICTURE, mime_type="image/png")),
        types.PromptMessage(role="user", content=types.EmbeddedResource(
            type="resource", resource=types.TextResourceContents(
                uri="memo://embedded", text="inside", mime_type="text/plain"))),
    ])


async def complete(ctx, params):
    if params.ref.type == "ref/resource" and not params.ref.uri.startswith("memo://"):
        raise MCPError(code=-32602, message="there is no such resource")
    values = [name for name in ["ann", "anton", "bea"] if name.startswith(params.argument.value)]
    # What was asked about comes back, with the arguments that were given before.
    about = params.ref.uri if params.ref.type == "ref/resource" else params.ref.name
    before = params.context.arguments if params.context else None
    values.append(json.dumps([params.ref.type, about, params.argument.name, before], sort_keys=True))
    return types.CompleteResult(completion=types.Completion(
        values=values, total=len(values) + 7, has_more=True))


LEVELS = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]
least = "debug"


async def set_level(ctx, params):
    global least
    least = params.level
    return types.EmptyResult()


server = Server(
    "upstream", version="1.0", instructions="Try everything.",
    on_list_tools=list_tools, on_call_tool=call_tool, on_list_resources=list_resources,
    on_list_resource_templates=list_templates, on_read_resource=read_resource,
    on_list_prompts=list_prompts, on_get_prompt=get_prompt, on_completion=complete,
    on_set_logging_level=set_level,
)


class Gate:
    """Lets through what belongs to the era, and what carries the header that is wanted."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
            is_modern = headers.get("mcp-protocol-version") == "2026-07-28"
            if "traceparent" in headers:
                note(f"traceparent {headers['traceparent']} {headers.get('tracestate')}")
            status = None
            if options.require and headers.get(options.require[0].lower()) != options.require[1]:
                status = 401
            elif options.era == "legacy" and is_modern:
                status = 400
            elif options.era == "modern" and not is_modern:
                status = 405
            if status:
                await send({"type": "http.response.start", "status": status, "headers": []})
                await send({"type": "http.response.body", "body": b"no"})
                return
        await self.app(scope, receive, send)


async def serve(app):
    listener = socket.create_server(("127.0.0.1", 0))
    path = "/sse" if options.transport == "sse" else "/mcp"
    print(f"http://127.0.0.1:{listener.getsockname()[1]}{path}", flush=True)
    configuration = uvicorn.Config(Gate(app), log_level="error", timeout_graceful_shutdown=1)
    await uvicorn.Server(configuration).serve(sockets=[listener])


async def serve_stdio():
    async with stdio_server() as (incoming, outgoing):
        if options.era == "legacy":
            async with server.lifespan(server) as lifespan:
                await serve_loop(server, incoming, outgoing, lifespan_state=lifespan)
        else:
            await server.run(incoming, outgoing, server.create_initialization_options())


def sse_app():
    from mcp.server.sse import SseServerTransport
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Mount, Route

    transport = SseServerTransport("/messages/")

    async def stream(request):
        async with transport.connect_sse(request.scope, request.receive, request._send) as streams:
            await server.run(*streams, server.create_initialization_options())
        return Response()

    return Starlette(routes=[Route("/sse", stream), Mount("/messages/",
                                                          app=transport.handle_post_message)])


match options.transport:
    case "stdio": anyio.run(serve_stdio)
    case "http": anyio.run(serve, server.streamable_http_app())
    case "sse": anyio.run(serve, sse_app())
