"""Two servers, two workers and two schedulers on one database, any of which is killed at any moment and started again."""

import contextlib
import json
import random
import subprocess
import tempfile
import time

import soak_pooler
import soak_recovery

KILLS = 40
PAUSES = (0.2, 3.0)
# Changes on the trackers while programs die, each with a word of its own.
CHANGES = range(5)
# A scan whose worker was killed is somebody else's when its lease has ended, after a minute.
PATIENCE = 300


class Crowd:
    """The processes, by name, and how each is started."""

    def __init__(self, home):
        self.home, self.kills, self.ended, self.logs = home, 0, [], {}
        first = soak_pooler.Server(home)
        self.servers = {"server 1": first, "server 2": soak_pooler.Server(home, first.key)}
        self.processes = {name: server.process for name, server in self.servers.items()}
        for number in (1, 2):
            for kind in ("worker", "scheduler"):
                self.start(f"{kind} {number}")

    def start(self, name):
        if name in self.servers:
            self.servers[name].start()
            self.processes[name] = self.servers[name].process
            return
        kind = name.split()[0]
        extra = ("--interval", "10s") if kind == "scheduler" else ()
        self.logs[name] = tempfile.TemporaryFile()
        self.processes[name] = subprocess.Popen(
            [self.home.programs / "preloop-sync", kind, *extra], env=self.home.environment,
            stdout=self.logs[name], stderr=self.logs[name])

    def kill(self, name):
        """Kills a program and starts it again; notes it when it had ended by itself, as none of them does."""
        process = self.processes[name]
        if process.poll() is not None:
            words = b""
            if name in self.logs:
                self.logs[name].seek(0)
                words = self.logs[name].read()[-300:]
            self.ended.append(f"{name} with {process.returncode}: {words.decode(errors='replace')}")
        process.kill()
        process.wait()
        self.kills += 1
        self.start(name)

    def stop(self):
        for process in self.processes.values():
            process.terminate()
        return [process.wait(timeout=120) for process in self.processes.values()]


def wait(is_so):
    """Seconds until something is so; None when it never is."""
    started = time.time()
    while time.time() - started < PATIENCE:
        with contextlib.suppress(OSError):
            if is_so():
                return time.time() - started
        time.sleep(1)
    return None


def crowd(options, soak):
    chance = random.Random(options.seed)
    with soak.Service(soak.SMALL) as service:
        home = soak.Installation(options, service.port, environment=options.tiny)
        group = Crowd(home)
        changes = list(CHANGES)
        for number in range(KILLS):
            time.sleep(chance.uniform(*PAUSES))
            group.kill(chance.choice(sorted(group.processes)))
            if changes and number % (KILLS // len(CHANGES)) == 0:
                soak_recovery.change(service, changes.pop(0))
        soak.check(f"many processes: {group.kills} killed, and none had ended by itself", not group.ended,
                   " | ".join(group.ended))
        words = [soak_recovery.mark(number) for number in CHANGES]
        took = wait(lambda: all(home.export().count(word.encode()) >= 2 for word in words))
        soak.check("many processes: every change is stored", took is not None,
                   f"{took:.0f} s after the last kill" if took is not None else "")
        for name, server in group.servers.items():
            took = wait(lambda: all(f"Newcomer {word}" in json.dumps(server.search(word)) for word in words))
            soak.check(f"many processes: {name} finds every change", took is not None)
        statuses = group.stop()
        soak.check("many processes: they end when they are told to", set(statuses) <= {0, 130, 143}, f"{statuses}")
        fresh = soak.Installation(options, service.port, environment=options.tiny)
        fresh.scan()
        soak.check("many processes: export equals a fresh installation's",
                   soak.comparable(home) == soak.comparable(fresh))
        soak.check("many processes: no vector missing, none of another text, nothing waits", soak.is_indexed(home))
        fresh.remove()
        home.remove()
