"""The part of the soak about the server and approvals: `preloop serve` is killed again and again while calls that wait
are decided and run.

What has run is counted by an MCP server that adds a line to a file for each run; what was decided is read from the
signed chain of the audit. The one is held against the other at the end.
"""

import collections
import contextlib
import http.client
import json
import random
import subprocess
import sys
import threading
import time
import urllib.request

import soak_storm

PASSWORD = "correct horse battery"
# `append` gives a handle at once, `note` waits for the decision within the call.
POLICY = """version: "1.0"
metadata: {name: served}
approval_workflows:
- {name: handles, async_approval: true, timeout_seconds: 86400}
- {name: waits, timeout_seconds: 86400}
tools:
- {name: files/append, approval_workflow: handles}
- {name: files/note, approval_workflow: waits}
"""
REVISION = "2026-07-28"
# What a dying server does to those who ask it.
BROKEN = (OSError, http.client.HTTPException, json.JSONDecodeError)
# Of the time that a decision, or it and its run take undisturbed; a kill may come after that, too.
KILL_WITHIN = 1.2
# Every so many rounds a call is held that nobody decides.
WAITING_EVERY = 3
PATIENCE = 60


class World:
    """An installation with such a server before it, two keys of its owner, and its server."""

    def __init__(self, options, soak):
        self.home = soak.Installation(options, 0, services=(), environment={**options.tiny, "SOAK_PASSWORD": PASSWORD})
        self.file = self.home.home / "runs"
        self.home.run("preloop", "init", "--admin", "ann", "--password-env", "SOAK_PASSWORD")
        script = soak.ROOT / "Tests/Support/Python/mcp_appender.py"
        self.home.run("preloop", "servers", "add", "files", "--", sys.executable, script, self.file)
        policy = self.home.home / "policy.yaml"
        policy.write_text(POLICY)
        self.home.run("preloop", "policy", "apply", policy)
        # Who makes a call by a key does not decide about it by the same.
        self.agent, self.person = (
            self.home.run("preloop", "keys", "add", name, "--user", "ann").stdout.decode().split()[0]
            for name in ("agent", "person"))
        self.start()

    def start(self):
        self.server = soak_storm.Server(self.home)
        self.origin = f"http://127.0.0.1:{self.server.port}"

    def runs(self):
        """What has run, in order."""
        return self.file.read_text().split() if self.file.exists() else []

    def rest(self, path, body=None):
        request = urllib.request.Request(
            f"{self.origin}/api/v1/approval-requests{path}", None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {self.person}", "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)

    def call(self, tool, arguments):
        """The structured answer of a call, as an agent makes it."""
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
            "name": tool, "arguments": arguments,
            "_meta": {"io.modelcontextprotocol/protocolVersion": REVISION,
                      "io.modelcontextprotocol/clientCapabilities": {}}}}
        request = urllib.request.Request(f"{self.origin}/mcp/v1", json.dumps(body).encode(), {
            "Authorization": f"Bearer {self.agent}", "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream", "MCP-Protocol-Version": REVISION,
            "Mcp-Method": "tools/call", "Mcp-Name": tool})
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            text = answer.read().decode()
        # A stream's last event is the answer.
        lines = [line.removeprefix("data:").strip() for line in text.splitlines()]
        result = json.loads([line for line in lines if line.startswith("{")][-1])["result"]
        return result.get("structuredContent") or {"content": result["content"], "isError": result.get("isError")}

    def hold(self, text):
        return self.call("append", {"text": text})["request_id"]

    def find(self, text):
        """The request about a call that waits, once there is one."""
        end = time.time() + PATIENCE
        while time.time() < end:
            for request in self.rest("?status=pending&limit=100"):
                if request["arguments"].get("text") == text:
                    return request["request_id"]
            time.sleep(0.01)
        raise SystemExit(f"the call {text} was not held")

    def approve(self, request, way):
        """By REST, by the command against the server, or by the command on the machine."""
        if way == "rest":
            self.rest(f"/{request}/approve", {})
            return
        extra = ("--url", self.origin) if way == "command" else ()
        subprocess.run([self.home.programs / "preloop", "approvals", "approve", request, *extra], check=False,
                       env={**self.home.environment, "PRELOOP_TOKEN": self.person}, capture_output=True)

    def calls(self):
        """All calls on record."""
        found, cursor = [], ()
        while True:
            page = json.loads(self.home.run("preloop", "audit", "query", "--json", "--limit", "100", *cursor).stdout)
            found += page["calls"]
            if not page["next"]:
                return found
            cursor = ("--cursor", str(page["next"]))

    def events(self):
        """What the chain says of each request, in its order."""
        kinds = collections.defaultdict(list)
        for line in self.home.run("preloop", "audit", "export").stdout.splitlines():
            event = json.loads(line)
            if event.get("kind") == "approval":
                kinds[event["approval_id"]].append(event["decision"])
        return kinds


class Round:
    """One call that is decided and run, and whoever does both."""

    def __init__(self, world, number, way):
        self.world, self.way, self.text = world, way, f"call-{number}"
        self.waits = number % 2 == 1
        self.agent = threading.Thread(target=self.ask, daemon=True)
        if self.waits:
            self.agent.start()
            self.request = world.find(self.text)
        else:
            self.request = world.hold(self.text)

    def ask(self):
        with contextlib.suppress(*BROKEN):
            self.world.call("note", {"text": self.text})

    def act(self):
        """Approves the call, and has it run: by its handle, or as the call that waits."""
        with contextlib.suppress(*BROKEN):
            self.world.approve(self.request, self.way)
            self.decided = time.time()
            if self.waits:
                self.agent.join(PATIENCE)
            else:
                self.world.call("get_approval_status", {"request_id": self.request})

    def timed(self):
        """How long the decision takes, and how long it and the run."""
        started = time.time()
        self.act()
        return self.decided - started, time.time() - started

    def settle(self):
        """Asks until the call is over; what its agent is told, twice."""
        told = []
        for _ in range(2):
            answer = self.world.call("get_approval_status", {"request_id": self.request})
            told.append("done" if answer.get("tool_result") else answer.get("status", str(answer)))
        return told


def faults(runs, ids, told, waiting, events, calls):
    """What must not be, in words.

    `runs` has the texts that ran, `ids` the request of each text, `told` what agents heard, `waiting` the status of each
    request that nobody decided, `events` and `calls` what the audit says.
    """
    found = []
    recorded = {call["approval_id"] for call in calls if call["outcome"] != "held"}
    for text, count in collections.Counter(runs).items():
        kinds = events.get(ids.get(text), [])
        if count > 1:
            found.append(f"{text} ran {count} times")
        if "approved" not in kinds or "execution_started" not in kinds \
                or kinds.index("approved") > kinds.index("execution_started"):
            found.append(f"{text} ran, and the chain has no decision before it: {kinds}")
        if ids.get(text) not in recorded:
            found.append(f"{text} ran, and no call is on record")
    for text, answers in told.items():
        if len(set(answers)) != 1 or answers[0] not in ("done", "outcome_unknown"):
            found.append(f"{text} was told as {answers}")
        if "done" in answers and text not in runs:
            found.append(f"{text} was told as done, and did not run")
        starts = events.get(ids[text], []).count("execution_started")
        if starts != 1:
            found.append(f"{text} was begun {starts} times")
    for text, status in waiting.items():
        if status != "pending" or "approved" in events.get(ids[text], []) or text in runs:
            found.append(f"{text}, which nobody decided, is {status}")
    return found


def check_checker(soak, runs, ids, told, waiting, events, calls):
    """The checker finds what was made wrong by hand: else it would find nothing wrong anywhere."""
    last, undecided = runs[-1], next(iter(waiting))
    silent = {**events, ids[last]: [kind for kind in events[ids[last]] if kind != "approved"]}
    doctored = {
        "a call that ran twice": (runs + [last], events, waiting),
        "a call that ran undecided": (runs + [undecided], events, waiting),
        "a decision that is not on record": (runs, silent, waiting),
        "a call that is lost": (runs, events, {**waiting, undecided: "expired"}),
    }
    for name, (ran, chain, statuses) in doctored.items():
        soak.check(f"the checker finds {name}", bool(faults(ran, ids, told, statuses, chain, calls)))


def served(options, soak):
    chance = random.Random(options.seed)
    world = World(options, soak)
    ways = ("rest", "command", "machine")
    ids, told, lengths, undecided, early = {}, {}, {}, [], []
    # Undisturbed first: how long each way takes.
    for number in range(2 * len(ways)):
        calm = Round(world, number, ways[number // 2])
        lengths[calm.waits, calm.way] = calm.timed()
        ids[calm.text], told[calm.text] = calm.request, calm.settle()
    before, total = collections.Counter(), 2 * len(ways) + options.approval_kills
    for number in range(2 * len(ways), total):
        if number % WAITING_EVERY == 0:
            undecided.append(f"waiting-{number}")
            ids[undecided[-1]] = world.hold(undecided[-1])
        turn = Round(world, number, chance.choice(ways))
        ids[turn.text] = turn.request
        acting = threading.Thread(target=turn.act, daemon=True)
        acting.start()
        # Half of them around the decision, which is short, half around it and the run.
        time.sleep(chance.uniform(0, KILL_WITHIN * chance.choice(lengths[turn.waits, turn.way])))
        world.server.kill()
        acting.join(2 * PATIENCE)
        ran = turn.text in world.runs()
        world.start()
        status = world.rest(f"/{turn.request}")["status"]
        before["run" if ran else status] += 1
        if status not in ("pending", "approved") or (ran and status == "pending"):
            early.append(f"{turn.text} is {status}, ran: {ran}")
        if status == "pending":
            world.approve(turn.request, "rest")
        told[turn.text] = turn.settle()
    report(soak, world, ids, told, undecided, early, before, options.approval_kills)
    soak.check("served approvals: the server ends when it is told to", world.server.stop() in (0, 130))
    world.home.remove()


def report(soak, world, ids, told, undecided, early, before, kills):
    runs, events, calls = world.runs(), world.events(), world.calls()
    waiting = {text: world.rest(f"/{ids[text]}")["status"] for text in undecided}
    found = early + faults(runs, ids, told, waiting, events, calls)
    unknown = sum("outcome_unknown" in answers for answers in told.values())
    print(f"     {kills} kills: {before['pending']} before the decision counted, {before['approved']} between it and the "
          f"run, {before['run']} after the run began; {len(runs)} runs, {unknown} of an unknown outcome, "
          f"{len(waiting)} waiting")
    soak.check(f"served approvals, {kills} kills: nothing ran undecided or twice, what waits goes on waiting", not found,
               " | ".join(found[:10]))
    verified = json.loads(world.home.run("preloop", "audit", "verify", "--json", codes=(0, 1)).stdout)
    soak.check("served approvals: the audit's chain is whole", verified["ok"], f"{verified['events']} events")
    check_checker(soak, runs, ids, told, waiting, events, calls)
