"""An MCP server over standard input and output, of the standard library alone.

    python3 mcp_remarks.py FILE [modern|turns]

It is of the older era, or of the newer one, in which `logs` alone does something of its own; one
that `turns` is of the older era where FILE.old is there when it begins.
What it says and asks names no call, as over a program's pipes nothing does. Its tools:

- `plants` answers at once; when FILE.go is there it logs the argument `account`, and asks about it.
- `waits` answers when FILE.done is there.
- `meets` waits until two calls of it are at work; each of them then logs, asks, and answers with
  what it was told.
- `logs` says something at three levels, as far as its session wants to hear it.
- `ends` ends the program without an answer.

What happens is added to FILE, a line each.
"""

import json
import os
import sys
import threading
import time

FILE = sys.argv[1]
IS_MODERN = sys.argv[2:] == ["modern"] or (
    sys.argv[2:] == ["turns"] and not os.path.exists(FILE + ".old"))
LEVEL = "io.modelcontextprotocol/logLevel"
LEVELS = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]
lock = threading.Lock()
least = ["debug"]
answers = {}
answered = threading.Condition()
meeting = threading.Barrier(2)


def note(line):
    with lock, open(FILE, "a") as file:
        file.write(line + "\n")


def send(message):
    with lock:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0"} | message) + "\n")
        sys.stdout.flush()


def log(level, data, least):
    if least and LEVELS.index(level) >= LEVELS.index(least):
        send({"method": "notifications/message", "params": {"level": level, "data": data}})


def ask(text):
    """Asks the client, and gives its whole response."""
    name = f"{os.getpid()}-{threading.get_ident()}"
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    send({"id": name, "method": "elicitation/create",
          "params": {"message": text, "requestedSchema": schema}})
    with answered:
        answered.wait_for(lambda: name in answers)
        return answers.pop(name)


def wait_for(name):
    while not os.path.exists(FILE + name):
        time.sleep(0.01)


def remark(account):
    wait_for(".go")
    log("error", {"account": account}, least[0])
    note("told " + json.dumps(ask("A's business: " + account).get("result")))


def call(request):
    name = request["params"]["name"]
    given = request["params"].get("arguments", {})
    text = name
    note("call " + name)
    match name:
        case "plants":
            threading.Thread(target=remark, args=(given["account"],), daemon=True).start()
        case "waits":
            wait_for(".done")
        case "meets":
            meeting.wait(60)
            log("error", "together", least[0])
            text = json.dumps(ask("Who?").get("result"))
        case "logs":
            for level in ["debug", "info", "error"]:
                wanted = request["params"].get("_meta", {}).get(LEVEL) if IS_MODERN else least[0]
                log(level, level, wanted)
        case "ends":
            os._exit(3)
    send({"id": request["id"], "result": {"content": [{"type": "text", "text": text}]}})


def answer(request):
    match request["method"]:
        case "server/discover" if IS_MODERN:
            return {"supportedVersions": ["2026-07-28"], "resultType": "complete",
                    "capabilities": {"tools": {}, "logging": {}}}
        case "initialize":
            return {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}, "logging": {}},
                    "serverInfo": {"name": "remarks", "version": "0"}}
        case "tools/list":
            return {"tools": [{"name": name, "inputSchema": {"type": "object"}}
                              for name in ["plants", "waits", "meets", "logs", "ends"]]}
        case "logging/setLevel":
            least[0] = request["params"]["level"]
            note("level " + least[0])
            return {}
    return None


note("begins")
for line in sys.stdin:
    message = json.loads(line)
    if "method" not in message:
        with answered:
            answers[message["id"]] = message
            answered.notify_all()
    elif "id" not in message:
        continue
    elif message["method"] == "tools/call":
        threading.Thread(target=call, args=(message,), daemon=True).start()
    elif (result := answer(message)) is not None:
        send({"id": message["id"], "result": result})
    else:
        send({"id": message["id"], "error": {"code": -32601, "message": "no"}})
note("ends")
