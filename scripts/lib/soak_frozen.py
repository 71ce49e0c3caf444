"""Files of a SQLite installation that cannot be written for a while, under a scan and under programs that go on running.

A file system with files that are open for writing is not made read-only, so its files are made immutable instead, which
ext4 keeps to for open files as well. Only root may; for other users the rights to write are taken away, which who has a
file open does not notice, so that only new programs are looked at."""

import contextlib
import json
import os
import pathlib
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import soak_recovery

# What programs say, SQLite's own words when a write fails and those of who cannot open a file among it.
UNWRITABLE = ("cannot be written", "read-only", "disk I/O error", "cannot open")
# A request that makes a row.
WRITING = ("POST", "/api/v1/auth/api-keys", {"name": "another"})


@contextlib.contextmanager
def unwritable(folder, is_immutable):
    """Makes a folder and all in it unwritable, until the end of this or of this program, whatever its end is."""
    freeze, thaw = (("chattr +i", "chattr -R -f -i") if is_immutable else ("chmod a-w", "chmod -R u+w"))
    # Waits for the pipe to be closed, which it is when this program is killed as well.
    guard = subprocess.Popen(["sh", "-c", f'cat >/dev/null; {thaw} "$0"', folder], stdin=subprocess.PIPE,
                             start_new_session=True)
    try:
        # What connections share is mapped: a write there would be a signal, and none comes of a read-only file system.
        subprocess.run(["sh", "-c", f'find "$0" -depth ! -name "*-shm" -exec {freeze} {{}} ";"', folder], check=True,
                       timeout=60)
        yield
    finally:
        guard.stdin.close()
        guard.wait(timeout=60)


def is_immutability_kept(folder):
    """Whether files can be made immutable below a folder, those that are open too."""
    if os.getuid() != 0:
        return False
    with tempfile.TemporaryDirectory(dir=folder, prefix="preloop-soak-frozen-") as trial:
        with open(pathlib.Path(trial, "file"), "wb", buffering=0) as file, \
                contextlib.suppress(subprocess.CalledProcessError), unwritable(trial, True):
            try:
                file.write(b"!")
            except PermissionError:
                return True
    return False


def frozen(options, soak):
    """A scan, then a server, a worker and a scheduler whose files cannot be written for a while."""
    is_immutable = is_immutability_kept(tempfile.gettempdir())
    if not is_immutable:
        print("skip unwritable files under running programs: needs root and a file system like ext4")
    with soak.Service(soak.SMALL) as service:
        expected, length = soak.undisturbed(options, service)
        new_programs(options, soak, service, expected, is_immutable)
        if is_immutable:
            scan_under_way(options, soak, service, expected, length)
            standing_programs(options, soak, service)


def new_programs(options, soak, service, expected, is_immutable):
    """Programs that begin while nothing can be written."""
    home = soak.Installation(options, service.port, environment=options.tiny)
    with unwritable(home.home, is_immutable):
        done = home.run("preloop-sync", "scan", "all", "--quiet", codes=range(256))
        told(soak, "unwritable files: a scan that begins ends with 1 and says why", done.returncode, done.stderr)
    home.scan()
    soak.check("unwritable files: the next scan completes, export equal, no vector missing", soak.is_equal(home, expected))
    home.remove()


def told(soak, name, status, errors):
    text = " ".join(errors.decode(errors="replace").split())
    soak.check(name, status == 1 and any(each in text for each in UNWRITABLE), f"{status}: {text[:300]}")


def scan_under_way(options, soak, service, expected, length):
    home = soak.Installation(options, service.port, environment=options.tiny)
    process = home.start_scan()
    time.sleep(length / 3)
    with unwritable(home.home, True):
        try:
            _, errors = process.communicate(timeout=300)
        except subprocess.TimeoutExpired:
            process.kill()
            _, errors = process.communicate()
    told(soak, "files unwritable within a scan: it ends with 1 and says why", process.returncode, errors)
    home.scan()
    soak.check("files unwritable within a scan: the next one completes, export equal, no vector missing",
               soak.is_equal(home, expected))
    home.remove()


def standing_programs(options, soak, service):
    """The same processes before, meanwhile and afterwards."""
    name = "programs that go on, unwritable files"
    home = soak.Installation(options, service.port, environment=options.tiny)
    other = soak.Installation(options, service.port, environment=options.tiny)
    other.scan()
    standing = soak_recovery.Standing(home)
    try:
        # The search opens its index, as that of a server which has been at work for a while.
        took = standing.wait(lambda: home.export() == other.export() and standing.server.search("crash")["results"])
        soak.check(f"{name}: the first scans", took is not None, standing.last_words() if took is None else "")
        with unwritable(home.home, True):
            soak_recovery.change(service, 0)
            time.sleep(soak_recovery.HARD_SECONDS)
            answered(soak, standing, name)
        soak_recovery.has_recovered(soak, standing, name, 0)
        soak.check(f"{name}: the server writes again", ask(standing.server, *WRITING)[0] == 201)
        # What is stored is indexed behind that; told to end before, they leave it to the next scan.
        took = standing.wait(lambda: soak.verified(home)[0].get("backlog") == 0)
        soak.check(f"{name}: what changed is indexed", took is not None)
        statuses = standing.stop()
        soak.check(f"{name}: they end when they are told to", set(statuses) <= {0, 130, 143}, f"{statuses}")
    finally:
        for process in standing.processes.values():
            process.kill()
    other.scan()
    soak.check(f"{name}: export equals another installation's, no vector missing",
               soak.comparable(home) == soak.comparable(other) and soak.is_indexed(home))
    other.remove()
    home.remove()


def answered(soak, standing, name):
    """What the programs say while they cannot write: what was written is still read, and nothing else claimed."""
    for what, request, statuses in (("what is read", ("GET", "/api/v1/issues?limit=1"), (200,)),
                                    ("a search", ("GET", "/api/v1/search?query=crash"), (200, 503)),
                                    ("what would be written", WRITING, (503,))):
        status, detail = ask(standing.server, *request)
        soak.check(f"{name}: the server answers {what} with one of {statuses}", status in statuses, f"{status} {detail}")
    words = standing.last_words()
    soak.check(f"{name}: they say why", any(each in words for each in UNWRITABLE), words)


def ask(server, method, path, body=None):
    """Status of an answer, and what it says when it is a refusal."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}{path}", method=method, data=json.dumps(body).encode() if body else None,
        headers={"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.load(refusal).get("detail", "")
