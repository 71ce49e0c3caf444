"""`preloop db copy` of a whole installation: from SQLite to PostgreSQL and back, killed on the way and begun again, and what
programs make of the copies."""

import argparse
import copy
import json
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import time

import soak_pooler
import soak_vectors


# Tables that are not the same in a copy, which is a store of its own and whose leases nobody holds.
OF_THE_STORE = ("accounts", "leases")


class ServerPlaces:
    """Empty databases on the server."""

    name = "to PostgreSQL"

    def __init__(self, postgres):
        self.postgres, self.make, self.drop, self.address = postgres, postgres.database, postgres.drop, postgres.address

    def environment(self, home, place):
        """That of programs which use a copy that is there."""
        return {**home.environment, "DATABASE_URL": self.address(place)}


class FilePlaces:
    """Files that are not there yet, each in a folder of its own, as in a new PRELOOP_HOME."""

    name = "to SQLite"

    def make(self):
        return pathlib.Path(tempfile.mkdtemp(prefix="preloop-soak-copy-"))

    def drop(self, folder):
        shutil.rmtree(folder, ignore_errors=True)

    def address(self, folder):
        return str(folder / "preloop.db")

    def environment(self, home, folder):
        others = {name: value for name, value in home.environment.items()
                  if name not in ("DATABASE_URL", "PRELOOP_VECTOR_BACKEND")}
        return {**others, "PRELOOP_HOME": str(folder)}


def copies(options, soak):
    """There and back; the installation at each end has to have everything, and nothing to do."""
    with soak.Service(soak.SMALL) as service:
        on_file = argparse.Namespace(**{**vars(options), "postgres": None})
        home = soak.Installation(on_file, service.port, environment=options.tiny)
        home.scan()
        expected, hits = home.export(), soak_pooler.answers(home, "memory")
        there = moved(options, soak, home, ServerPlaces(options.postgres), at_server)
        stands(soak, "copied to PostgreSQL", there, expected, hits)
        soak_vectors.spoil(there, soak, "copied to PostgreSQL")
        back = moved(options, soak, there, FilePlaces(), in_file)
        stands(soak, "copied back to SQLite", back, expected, hits)
        for each in (back, there):
            each.remove()


def moved(options, soak, home, places, installed):
    """Copies an installation's database, after copies that were killed, and gives the one that uses the copy."""
    name = f"copy {places.name}"
    place = places.make()
    started = time.time()
    digests = copied(home, places, place)
    length = time.time() - started
    killed_copies(options, soak, home, places, digests, length)
    soak.check(f"{name}: what has something already is not written over", copied(home, places, place) is None
               and copied_on(home, places, place) == digests)
    return installed(options, home, places, place)


def start_copy(home, places, place):
    return subprocess.Popen([home.programs / "preloop", "db", "copy", "--to", places.address(place)], env=home.environment,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def copied(home, places, place, environment=None):
    """The digests of the tables of a copy; None where something was already."""
    done = home.run("preloop", "db", "copy", "--json", "--to", places.address(place), codes=(0, 1),
                    env=environment or home.environment)
    if done.returncode != 0 and b"--force" not in done.stderr:
        raise SystemExit(done.stderr.decode(errors="replace"))
    if done.returncode != 0:
        return None
    return [each for each in json.loads(done.stdout)["tables"] if each["table"] not in OF_THE_STORE]


def copied_on(home, places, place):
    """The digests of what is there already, by a copy of it."""
    others = FilePlaces()
    other = others.make()
    digests = copied(home, others, other, places.environment(home, place))
    others.drop(other)
    return digests


def killed_copies(options, soak, home, places, digests, length):
    """kill -9 of copies: what they leave is all of it, or empty, for only into that another copy goes without --force."""
    rng = random.Random(options.seed)
    killed = tries = whole = bad = 0
    span = length
    while killed < options.kills and tries < options.kills * soak.TRIES_FOR_A_KILL:
        tries += 1
        place = places.make()
        process = start_copy(home, places, place)
        time.sleep(rng.uniform(0, span))
        process.send_signal(signal.SIGKILL)
        is_killed = process.wait() == -signal.SIGKILL
        killed += is_killed
        span = soak.following(span, is_killed)
        found = copied(home, places, place)
        whole += is_killed and found is None
        bad += (found or copied_on(home, places, place)) != digests
        places.drop(place)
    name = f"copy {places.name}: {killed} ended by SIGKILL, {tries - killed} before it"
    soak.check(f"{name}: as many as wanted", killed >= options.kills, f"{options.kills} wanted")
    soak.check(f"{name}: all of it is there, or nothing and the next copy is whole", bad == 0,
               f"{bad} differ; {whole} were killed when all was there; a copy takes {length:.1f} s")


def at_server(options, home, places, place):
    """The installation as the documentation says: the same PRELOOP_HOME, DATABASE_URL set, the file moved away."""
    there = copy.copy(home)
    there.postgres, there.database = options.postgres, place
    there.environment = {**places.environment(home, place), "PRELOOP_VECTOR_BACKEND": options.vector_backend}
    (home.home / "preloop.db").rename(home.home / "before-copy.db")
    if soak_vectors.searches_database(there):
        soak_vectors.make_index(there)
    return there


def in_file(options, home, places, place):
    """An installation in a PRELOOP_HOME that has the copy and the key, and nothing else."""
    back = copy.copy(home)
    back.home, back.postgres, back.database = place, None, None
    back.environment = places.environment(home, place)
    shutil.copy(home.home / "secret.key", place / "secret.key")
    return back


def stands(soak, name, home, expected, hits):
    """Export, a scan that finds nothing to do, every vector, the same answers."""
    soak.check(f"{name}: export equal", home.export() == expected)
    report, _ = home.scan()
    totals = report["totals"]
    soak.check(f"{name}: the next scan writes nothing and embeds nothing",
               not any(totals[each] for each in ("written", "created", "changed", "deleted", "embedded")), json.dumps(totals))
    soak.check(f"{name}: export equal after it", home.export() == expected)
    soak.check(f"{name}: no vector missing or of another text, in no copy", soak.is_indexed(home))
    found = {backend: soak_pooler.answers(home, backend) for backend in ("memory", "pgvector")[:2 if home.database else 1]}
    soak.check(f"{name}: searches find what they found before", all(each == hits for each in found.values()) and all(hits),
               f"{sum(map(len, hits))} hits by " + " and ".join(found)
               + "".join(f"\n       {each}" for each in (hits, *found.values()) if each != hits))
