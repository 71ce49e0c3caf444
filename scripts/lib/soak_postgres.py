"""The private PostgreSQL of scripts/lib/with-postgres as the soak uses it: databases for installations, immediate
shutdowns, a proxy that resets connections, and what goes wrong with disks, locks and clocks on either engine.
What stands between programs and server is in soak_pooler.py."""

import contextlib
import os
import pathlib
import pwd
import random
import select
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import tempfile
import threading
import time


# States of a connection in which its close with a linger of zero sends RST (tcp_states.h).
TCP_ESTABLISHED, TCP_CLOSE_WAIT = 1, 8


class Postgres:
    """The server that with-postgres started; it tells of itself in PRELOOP_TEST_POSTGRES*."""

    def __init__(self):
        self.folder = pathlib.Path(os.environ["PRELOOP_TEST_POSTGRES"])
        self.bin = pathlib.Path(os.environ["PRELOOP_TEST_POSTGRES_BIN"])
        self.user = os.environ.get("PRELOOP_TEST_POSTGRES_USER") or None
        self.count, self.host = 0, None

    def as_user(self, *command, **options):
        """Runs a program as the user the server belongs to: it refuses root."""
        if self.user:
            entry = pwd.getpwnam(self.user)
            options |= {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        return subprocess.run(list(map(str, command)), cwd="/", check=True, capture_output=True, **options)

    def sql(self, statement, database="postgres"):
        done = subprocess.run(
            [self.bin / "psql", "-h", self.folder, "-U", "preloop", "-d", database, "-qAtX",
             "-v", "ON_ERROR_STOP=1", "-c", statement], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def database(self, tablespace=None):
        """A new empty database; the environment that names it."""
        self.count += 1
        name = f"soak_{os.getpid()}_{self.count}"
        self.sql(f"CREATE DATABASE {name}" + (f" TABLESPACE {tablespace}" if tablespace else ""))
        return name

    def address(self, name, host=None, port=None):
        host = host or self.folder
        return f"postgresql:///{name}?host={host}&user=preloop" + (f"&port={port}" if port else "")

    def drop(self, name):
        self.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def stop_at_once(self):
        """An immediate shutdown: SIGQUIT, no checkpoint; what was not committed is gone."""
        pid = int((self.folder / "data/postmaster.pid").read_text().split("\n")[0])
        os.kill(pid, signal.SIGQUIT)
        for _ in range(600):
            if not (self.folder / "data/postmaster.pid").exists():
                return
            time.sleep(0.05)
        raise SystemExit("the database server does not stop")

    def start(self):
        self.as_user(self.bin / "pg_ctl", "start", "--silent", "--wait", "--pgdata", self.folder / "data",
                     "--log", self.folder / "data/log")

    def listen(self):
        """Makes the server listen by TCP as well; where.

        The port is the one its socket is named by, so the address is one of the many of the loopback interface.
        """
        if not self.host:
            self.host = ".".join(["127", *(str(random.SystemRandom().randrange(1, 255)) for _ in range(3))])
            self.sql(f"ALTER SYSTEM SET listen_addresses = '{self.host}'")
            self.stop_at_once()
            self.start()
        return self.host, 5432

    def count_in_log(self, words):
        """How many lines of the server's log have these words."""
        with (self.folder / "data/log").open(errors="replace") as log:
            return sum(words in line for line in log)


# Seconds between cuts at most, where a scan takes no longer than a few of its transactions.
LONGEST_PEACE = 2.0
# What the server says of a connection that was reset while it waited for its client.
RESET_BY_PEER = "could not receive data from client: Connection reset by peer"


class Pair:
    """A connection of a program and the one to the server that goes with it, both by TCP."""

    def __init__(self, client, server):
        self.client, self.server = client, server
        self.waker, self.wakened = socket.socketpair()
        self.resets = 0
        self.thread = threading.Thread(target=self.forward, daemon=True)

    def forward(self):
        with contextlib.suppress(OSError):
            while True:
                ready, _, _ = select.select([self.client, self.server, self.wakened], [], [])
                if self.wakened in ready:
                    self.reset()
                    break
                for side in ready:
                    data = side.recv(65536)
                    if not data:
                        raise OSError
                    (self.server if side is self.client else self.client).sendall(data)
        for side in (self.client, self.server, self.wakened, self.waker):
            side.close()

    def reset(self):
        """Closes both sides by RST: a linger of zero, and nothing before it that would be an orderly end."""
        for side in (self.client, self.server):
            side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            # One whose other end is gone already gets no RST.
            state = side.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
            self.resets += state in (TCP_ESTABLISHED, TCP_CLOSE_WAIT)
            side.close()

    def cut(self):
        # Only the thread that waits for a connection can close it: while another waits, a close does nothing.
        with contextlib.suppress(OSError):
            self.waker.send(b"!")


class CuttingProxy:
    """A way to the server by TCP on which connections are reset (RST), whatever they are doing."""

    def __init__(self, postgres):
        self.upstream = postgres.listen()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.pairs, self.lock = [], threading.Lock()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self.upstream)
            except OSError:
                client.close()
                continue
            for side in (client, server):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = Pair(client, server)
            pair.thread.start()
            with self.lock:
                self.pairs.append(pair)

    def cut(self):
        """Resets every connection there is; tells how many that were, and how many ends of them were sent RST."""
        with self.lock:
            pairs, self.pairs = [pair for pair in self.pairs if pair.thread.is_alive()], []
        for pair in pairs:
            pair.cut()
        for pair in pairs:
            pair.thread.join(timeout=10)
        pairs = [pair for pair in pairs if pair.resets]
        return len(pairs), sum(pair.resets for pair in pairs)

    def is_resetting(self):
        """Whether who is connected at a cut reads that the connection was reset, and not its end."""
        with socket.create_connection(("127.0.0.1", self.port)) as client:
            client.settimeout(10)
            for _ in range(200):
                if self.cut()[0]:
                    break
                time.sleep(0.05)
            try:
                client.recv(1)
            except ConnectionResetError:
                return True
            return False

    def close(self):
        self.listener.close()


class SmallDisk:
    """A file system in memory that can be made larger and read-only; only root may make one."""

    def __init__(self, megabytes):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="preloop-soak-disk-"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "tmpfs", self.path],
                       check=True, capture_output=True)

    @staticmethod
    def is_possible():
        if os.getuid() != 0:
            return False
        try:
            SmallDisk(1).remove()
        except (OSError, subprocess.CalledProcessError):
            return False
        return True

    def remount(self, options):
        subprocess.run(["mount", "-o", f"remount,{options}", self.path], check=True, capture_output=True)

    def remove(self):
        subprocess.run(["umount", "-l", self.path], check=True, capture_output=True)
        self.path.rmdir()


class Clock:
    """Makes programs see another time of day: a library before libc's, which adds the seconds in a file."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="preloop-soak-clock-"))
        self.offset = self.folder / "offset"
        self.set(0)
        source = pathlib.Path(__file__).with_name("clock_shift.c")
        compiler = shutil.which("cc") or shutil.which("clang")
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", self.folder / "shift.so", source],
                       check=True)
        self.environment = {"LD_PRELOAD": str(self.folder / "shift.so"), "CLOCK_SHIFT_FILE": str(self.offset)}

    def set(self, seconds):
        temporary = self.folder / "next"
        temporary.write_text(str(seconds))
        temporary.rename(self.offset)

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def held_lock(home, seconds):
    """Holds the lock that every write needs, in another process's place."""
    ready = threading.Event()

    def hold():
        if home.database:
            # What pg_sleep sleeps, the transaction holds.
            process = subprocess.Popen(
                [home.postgres.bin / "psql", "-h", home.postgres.folder, "-U", "preloop", "-d", home.database,
                 "-qAtX", "-c", f"BEGIN; SELECT id FROM accounts FOR UPDATE; SELECT pg_sleep({seconds})"],
                stdout=subprocess.DEVNULL)
            time.sleep(0.5)
            ready.set()
            process.wait()
        else:
            connection = sqlite3.connect(home.home / "preloop.db", isolation_level=None, timeout=60)
            connection.execute("BEGIN IMMEDIATE")
            ready.set()
            time.sleep(seconds)
            connection.execute("ROLLBACK")
            connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    ready.wait()
    yield
    thread.join()


def server_kills(options, soak):
    """Immediate shutdowns of the server during scans: each scan waits for it and ends as if nothing had been.

    Only those count at which the scan was still under way.
    """
    rng = random.Random(options.seed)
    postgres = options.postgres
    wanted = options.server_kills
    with soak.Service(soak.SMALL) as service:
        expected, length = soak.undisturbed(options, service)
        bad = failed = during = tries = 0
        span = length
        while during < wanted and tries < wanted * soak.TRIES_FOR_A_KILL:
            tries += 1
            home = soak.Installation(options, service.port, environment=options.tiny)
            process = home.start_scan()
            time.sleep(rng.uniform(0, span))
            is_under_way = process.poll() is None
            during += is_under_way
            span = soak.following(span, is_under_way)
            postgres.stop_at_once()
            time.sleep(rng.uniform(0, 3))
            postgres.start()
            _, errors = process.communicate(timeout=600)
            if process.returncode != 0:
                failed += 1
                print(f"     ended with {process.returncode} (killed {'during' if is_under_way else 'after'} it):",
                      errors.decode(errors="replace")[-400:], flush=True)
            # Before another scan, which could mend what this one lost.
            bad += not soak.is_equal(home, expected)
            home.remove()
        name = f"{during} shutdowns of the server during scans, {tries - during} after them"
        soak.check(f"{name}: as many during scans as wanted", during >= wanted, f"{wanted} wanted")
        soak.check(f"{name}: scans recover by themselves", failed == 0,
                   f"{failed} did not; a scan takes {length:.1f} s")
        soak.check(f"{name}: export equal, no vector missing", bad == 0, f"{bad} differ")


def cuts(options, soak):
    """Connections reset during scans, wherever they are, commits included."""
    rng = random.Random(options.seed)
    proxy = CuttingProxy(options.postgres)
    soak.check("a cut is a reset for who is connected, no orderly end", proxy.is_resetting())
    logged = options.postgres.count_in_log(RESET_BY_PEER)
    with soak.Service(soak.SMALL) as service:
        expected, length = soak.undisturbed(options, service)
        moments = connections = resets = scans = bad = failed = 0
        while moments < options.cuts:
            home = soak.Installation(options, service.port, environment=options.tiny,
                                     host="127.0.0.1", database_port=proxy.port)
            process = home.start_scan()
            while process.poll() is None:
                time.sleep(rng.uniform(0.05, max(length / 4, LONGEST_PEACE)))
                cut, reset = proxy.cut()
                moments += cut > 0
                connections += cut
                resets += reset
            _, errors = process.communicate()
            scans += 1
            if process.returncode != 0:
                failed += 1
                print(f"     ended with {process.returncode}:", errors.decode(errors="replace")[-400:], flush=True)
            # Before another scan, which could mend what this one lost.
            bad += not soak.is_equal(home, expected)
            home.remove()
        logged = options.postgres.count_in_log(RESET_BY_PEER) - logged
        print(f"     {resets} ends of {connections} connections were sent RST; the server noted {logged} resets", flush=True)
        name = f"{moments} times connections reset, {connections} of them, in {scans} scans"
        soak.check(f"{name}: resets at both ends", resets > 1.9 * connections and logged > 0)
        soak.check(f"{name}: scans recover by themselves", failed == 0,
                   f"{failed} did not; a scan takes {length:.1f} s")
        soak.check(f"{name}: export equal, no vector missing", bad == 0, f"{bad} differ")
    proxy.close()


def hardships(options, soak):
    """Disk full, a read-only database, a lock held for 30 s, a clock that jumps by a day."""
    with soak.Service(soak.SMALL) as service:
        expected, length = soak.undisturbed(options, service)
        if SmallDisk.is_possible():
            full_disk(options, soak, service, expected)
            read_only(options, soak, service, expected)
        else:
            print("skip disk full, read-only: only root can mount a small disk")
        long_lock(options, soak, service, expected, length)
    clock_jumps(options, soak)


def place(options, disk, soak, service, environment=None):
    """An installation whose database lies on a disk of its own."""
    environment = environment or options.tiny
    if not options.postgres:
        home = soak.Installation(options, service.port, environment=environment, below=disk.path)
        return home, lambda: None
    folder = disk.path / "space"
    folder.mkdir()
    entry = pwd.getpwnam(options.postgres.user or pwd.getpwuid(os.getuid()).pw_name)
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    name = f"space_{os.getpid()}_{options.postgres.count}"
    options.postgres.sql(f"CREATE TABLESPACE {name} LOCATION '{folder}'")
    home = soak.Installation(options, service.port, environment=environment, tablespace=name)
    return home, lambda: options.postgres.sql(f"DROP TABLESPACE {name}")


def refused(soak, name, home, codes, words):
    """A scan that cannot write says why, and nothing is broken by it."""
    done = home.run("preloop-sync", "scan", "all", "--quiet", codes=range(256))
    text = done.stderr.decode(errors="replace")
    soak.check(f"{name}: a scan ends with {codes} and says why",
               done.returncode in codes and any(word in text for word in words),
               f"{done.returncode}: {' '.join(text.split())[:300]}")


def recovered(soak, name, home, expected):
    home.scan()
    soak.check(f"{name}: the next scan completes, export equal, no vector missing", soak.is_equal(home, expected))


def full_disk(options, soak, service, expected):
    # An empty database of PostgreSQL has 8 MB already; a whole one of these corpora has some 10 more.
    disk = SmallDisk(14 if options.postgres else 4)
    home, drop = place(options, disk, soak, service)
    refused(soak, "disk full", home, (1,), ("no space is left",))
    disk.remount("size=512m")
    recovered(soak, "disk full", home, expected)
    home.remove()
    drop()
    disk.remove()


def read_only(options, soak, service, expected):
    disk = SmallDisk(512)
    home, drop = place(options, disk, soak, service)
    if options.postgres:
        options.postgres.sql(f"ALTER DATABASE {home.database} SET default_transaction_read_only = on")
        # What is said in the session counts for BEGIN without a mode.
        refused(soak, "read-only", home, (1,), ("cannot be written",))
        options.postgres.sql(f"ALTER DATABASE {home.database} RESET default_transaction_read_only")
    else:
        disk.remount("ro")
        refused(soak, "read-only", home, (1,), ("cannot be written", "Read-only", "read-only"))
        disk.remount("rw")
    recovered(soak, "read-only", home, expected)
    home.remove()
    drop()
    disk.remove()


def long_lock(options, soak, service, expected, length):
    home = soak.Installation(options, service.port, environment=options.tiny)
    process = home.start_scan()
    time.sleep(length / 3)
    with held_lock(home, 30):
        _, errors = process.communicate(timeout=600)
    text = errors.decode(errors="replace")
    soak.check("a lock held for 30 s: a scan waits, or ends with 75 and says why",
               process.returncode == 0 or process.returncode == 75 and "held by another process" in text,
               f"{process.returncode}: {' '.join(text.split())[:300]}")
    recovered(soak, "a lock held for 30 s", home, expected)
    home.remove()


def clock_jumps(options, soak):
    for name, jump in (("forwards", 86400), ("backwards", -86400)):
        clock = Clock()
        with soak.Service(soak.SMALL) as service:
            expected, length = soak.undisturbed(options, service)
            home = soak.Installation(options, service.port, environment=options.tiny | clock.environment)
            process = home.start_scan()
            time.sleep(length / 3)
            clock.set(jump)
            _, errors = process.communicate(timeout=600)
            soak.check(f"the clock jumps a day {name} during a scan: it ends well",
                       process.returncode == 0, errors.decode(errors="replace")[-300:])
            soak.check(f"the clock jumps a day {name}: export equal, no vector missing",
                       soak.is_equal(home, expected))
            # What changes now must not be taken for old by what the wrong clock left behind.
            for each in (0, jump):
                clock.set(each)
                for number in (1, 2, 3):
                    service.mutate("github", "edge/ties", number, set={"title": f"Now {each} {number}"})
                home.scan()
                soak.compare(service, home.export(), f"changes seen with the clock off by {each} s")
            clock.set(0)
            home.scan()
            home.remove()
        clock.remove()
