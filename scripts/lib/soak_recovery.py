"""Hardships for programs that go on running: a worker, a scheduler and a server get over what happens to their database,
and none of them is started anew."""

import contextlib
import json
import secrets
import subprocess
import tempfile
import time

import soak_pooler
import soak_postgres

# For so long the database is away, full or read-only.
HARD_SECONDS = 20
# A scan that failed is tried again after half a minute, then after one; the lease of one that was lost ends after a
# minute, and a tracker that fails is asked less and less often.
PATIENCE = 300
# Room for the database and all indexes of the small corpora several times over.
DISK_MEGABYTES = 96
# Issues of f2etw/jobs, one a hardship.
EDITED = (1, 2, 3, 5, 8, 10, 12)


class Standing:
    """`preloop serve`, a worker and a scheduler of one installation, from beginning to end the same processes."""

    def __init__(self, home):
        self.home = home
        self.server = soak_pooler.Server(home)
        self.processes = {"server": self.server.process}
        self.logs = {}
        for name, arguments in (("worker", ()), ("scheduler", ("--interval", "10s"))):
            self.logs[name] = tempfile.TemporaryFile()
            self.processes[name] = subprocess.Popen(
                [home.programs / "preloop-sync", name, *arguments], env=home.environment,
                stdout=self.logs[name], stderr=self.logs[name])

    def ended(self):
        return [f"the {name} ended with {process.returncode}" for name, process in self.processes.items()
                if process.poll() is not None]

    def wait(self, is_so):
        """Seconds until something is so; None when it never is, or when a program has ended."""
        started = time.time()
        while time.time() - started < PATIENCE and not self.ended():
            # What looks may be refused as well; the programs are what is looked at.
            with contextlib.suppress(OSError, SystemExit):
                if is_so():
                    return time.time() - started
            time.sleep(2)
        return None

    def last_words(self):
        """The ends of the logs, for a check that failed."""
        words = []
        for name, log in self.logs.items():
            log.seek(0)
            words.append(f"\n       {name}: " + " | ".join(log.read().decode(errors="replace").split("\n")[-6:]))
        return "".join(words)

    def stop(self):
        """Exit statuses after SIGTERM."""
        for process in self.processes.values():
            process.terminate()
        return [process.wait(timeout=120) for process in self.processes.values()]


@contextlib.contextmanager
def locked(options, home, disk):
    with soak_postgres.held_lock(home, HARD_SECONDS + 10):
        yield


@contextlib.contextmanager
def away(options, home, disk):
    options.postgres.stop_at_once()
    yield
    options.postgres.start()


def end_sessions(options, home):
    options.postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                         f"WHERE datname = '{home.database}' AND pid <> pg_backend_pid()")


@contextlib.contextmanager
def without_sessions(options, home, disk):
    end_sessions(options, home)
    yield
    end_sessions(options, home)


@contextlib.contextmanager
def read_only(options, home, disk):
    # Sessions keep what was the rule when they began, as those of a server that took over do.
    options.postgres.sql(f"ALTER DATABASE {home.database} SET default_transaction_read_only = on")
    end_sessions(options, home)
    yield
    # The sessions of this time stay read-only: the programs have to notice.
    options.postgres.sql(f"ALTER DATABASE {home.database} RESET default_transaction_read_only")


@contextlib.contextmanager
def full(options, home, disk):
    filler = disk.path / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass
    yield
    filler.unlink()


def jump(clock, seconds):
    @contextlib.contextmanager
    def jumped(options, home, disk):
        clock.set(seconds)
        yield
    return jumped


def recovery(options, soak):
    """Each hardship once, with changes on the trackers meanwhile, which the same processes then have."""
    clock = soak_postgres.Clock()
    environment = options.tiny | clock.environment
    disk = soak_postgres.SmallDisk(DISK_MEGABYTES) if soak_postgres.SmallDisk.is_possible() else None
    # The day that is gained is lost again: what was put off until tomorrow is due now.
    hardships = {"a lock held for 30 s": locked, "the clock jumps a day forwards": jump(clock, 86_400),
                 "the clock jumps back": jump(clock, 0)}
    if options.postgres:
        hardships |= {"the database server stops": away, "sessions are ended": without_sessions,
                      "the database is read-only": read_only}
    if disk:
        hardships["the disk is full"] = full
    else:
        print("skip disk full: only root can mount a small disk")
    with soak.Service(soak.SMALL) as service:
        if disk:
            home, drop = soak_postgres.place(options, disk, soak, service, environment)
        else:
            home, drop = soak.Installation(options, service.port, environment=environment), lambda: None
        expected, _ = soak.undisturbed(options, service)
        standing = Standing(home)
        took = standing.wait(lambda: home.export() == expected)
        soak.check("programs that go on: the first scans", took is not None, standing.last_words() if took is None else "")
        for number, (name, hardship) in enumerate(hardships.items()):
            with hardship(options, home, disk):
                change(service, number)
                time.sleep(HARD_SECONDS)
            has_recovered(soak, standing, f"programs that go on, {name}", number)
        statuses = standing.stop()
        soak.check("programs that go on: they end when they are told to", set(statuses) <= {0, 130, 143}, f"{statuses}")
        fresh = soak.Installation(options, service.port, environment=options.tiny)
        fresh.scan()
        soak.check("programs that went on: export equals a fresh installation's",
                   soak.comparable(home) == soak.comparable(fresh))
        fresh.remove()
        soak.check("programs that went on: no vector missing or of another text", soak.is_indexed(home))
        home.remove()
        drop()
    if disk:
        disk.remove()
    clock.remove()


def mark(number):
    """A word that no text of the corpora has."""
    return f"standfast{number}x"


def change(service, number):
    """A title, and an issue so long that the database needs room for it."""
    service.mutate("github", "f2etw/jobs", EDITED[number], set={"title": f"Changed {mark(number)}"})
    noise = " ".join(secrets.token_hex(4) for _ in range(7_000))
    service.mutate("github", "edge/ties", create={"title": f"Newcomer {mark(number)}", "body": noise})


def has_recovered(soak, standing, name, number):
    home = standing.home
    took = standing.wait(lambda: home.export().count(mark(number).encode()) >= 2)
    soak.check(f"{name}: worker and scheduler have what changed", took is not None,
               f"after {took:.0f} s" if took is not None else f"{standing.ended()}{standing.last_words()}")
    took = standing.wait(lambda: f"Newcomer {mark(number)}" in json.dumps(standing.server.search(mark(number))))
    soak.check(f"{name}: the server finds it", took is not None,
               f"after {took:.0f} s" if took is not None else f"{standing.ended()}")
