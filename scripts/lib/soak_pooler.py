"""The programs behind PgBouncer: in transaction mode, where each transaction may meet another session, and over TLS."""

import contextlib
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

PASSWORD = "correct horse battery"
QUESTIONS = ("tie breaking of equal times", "a crash on start", "cannot log in", "the list is empty")


class Pooler:
    """PgBouncer before the private server, as the user the server belongs to: it refuses root."""

    def __init__(self, postgres, **settings):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="preloop-soak-pooler-"))
        self.postgres = postgres
        entry = pwd.getpwnam(postgres.user or pwd.getpwuid(os.getuid()).pw_name)
        with contextlib.closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        every = {"listen_port": self.port, "unix_socket_dir": self.folder, "auth_type": "any",
                 "pool_mode": "transaction", "logfile": self.folder / "log", "admin_users": "preloop",
                 "stats_users": "preloop", "max_client_conn": 200} | settings
        lines = ["[databases]", f"* = host={postgres.folder} user=preloop", "[pgbouncer]"]
        lines += [f"{name} = {value}" for name, value in every.items()]
        (self.folder / "pgbouncer.ini").write_text("\n".join(lines) + "\n")
        for path in (self.folder, *self.folder.iterdir()):
            os.chown(path, entry.pw_uid, entry.pw_gid)
        program = shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin")
        if not program:
            raise SystemExit("pgbouncer is missing: scripts/setup --soak")
        options = {}
        if os.getuid() == 0:
            options = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        self.process = subprocess.Popen([program, "-q", self.folder / "pgbouncer.ini"], cwd="/",
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
        for _ in range(200):
            if (self.folder / f".s.PGSQL.{self.port}").exists():
                return
            time.sleep(0.05)
        raise SystemExit("pgbouncer does not start: " + (self.folder / "log").read_text()[-1000:])

    def totals(self):
        """Transactions that went through, of all databases."""
        rows = subprocess.run(
            [self.postgres.bin / "psql", "-h", self.folder, "-p", str(self.port), "-U", "preloop",
             "-d", "pgbouncer", "-qAtX", "-F", " ", "-c", "SHOW STATS_TOTALS"],
            capture_output=True, text=True, check=True).stdout
        return sum(int(line.split()[1]) for line in rows.splitlines())

    def close(self):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def answers(home, backend):
    """What a search gives, by words and vectors."""
    found = []
    for question in QUESTIONS:
        done = home.run("preloop", "search", question, "--json", "--limit", "10",
                        env={**home.environment, "PRELOOP_VECTOR_BACKEND": backend})
        found.append([hit["issue"]["key"] for hit in json.loads(done.stdout)["hits"]])
    return found


class Server:
    """`preloop serve` of an installation on a port of the loopback address, with an API key or that of another one."""

    def __init__(self, home, key=None):
        self.home, self.key = home, key or self.new_key(home)
        with contextlib.closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.start()

    @staticmethod
    def new_key(home):
        home.run("preloop", "users", "add", "soak", "--role", "owner", "--password-env", "SOAK_PASSWORD",
                 env={**home.environment, "SOAK_PASSWORD": PASSWORD})
        key = home.run("preloop", "keys", "add", "soak", "--user", "soak", "--json").stdout
        return json.loads(key)["key"]

    def start(self):
        """Begins on the same port, also after it was killed."""
        self.process = subprocess.Popen(
            [self.home.programs / "preloop", "serve", "--port", str(self.port)], env=self.home.environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(400):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=10).close()
                return
            time.sleep(0.05)
        self.close()
        raise SystemExit("preloop serve does not answer")

    def search(self, question):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/v1/search?limit=10&query={urllib.request.quote(question)}",
            headers={"Authorization": f"Bearer {self.key}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def close(self):
        self.process.terminate()
        self.process.wait()


def pooler(options, soak):
    """A scan, searches and a server whose every transaction may meet another session of six."""
    with soak.Service(soak.SMALL) as service:
        expected, _ = soak.undisturbed(options, service)
        pool = Pooler(options.postgres, default_pool_size=6)
        home = soak.Installation(options, service.port, environment=options.tiny, host=pool.folder,
                                 database_port=pool.port)
        # Others ask meanwhile, so that sessions change hands.
        process = home.start_scan()
        asked = 0
        while process.poll() is None:
            home.run("preloop-sync", "status", "--json")
            asked += 1
        _, errors = process.communicate()
        soak.check("pgbouncer: a scan, with others who ask meanwhile", process.returncode == 0,
                   f"{asked} asked; " + errors.decode(errors="replace")[-300:])
        soak.check("pgbouncer: export equal, no vector missing", soak.is_equal(home, expected))
        direct = dict(home.environment)
        behind = {backend: answers(home, backend) for backend in ("memory", "pgvector")}
        with_server = Server(home)
        served = [[hit["item"]["key"] for hit in with_server.search(question)["results"]] for question in QUESTIONS]
        with_server.close()
        home.environment["DATABASE_URL"] = options.postgres.address(home.database)
        straight = {backend: answers(home, backend) for backend in ("memory", "pgvector")}
        home.environment = direct
        soak.check("pgbouncer: searches answer as without it", behind == straight
                   and served == straight[options.vector_backend] and all(map(all, straight.values())),
                   f"{pool.totals()} transactions went through" + ("" if behind == straight and
                   served == straight[options.vector_backend] else f"\n{behind}\n{straight}\n{served}"))
        home.remove()
        pool.close()


def certificates(folder):
    """An authority, a certificate of it for `localhost`, and an authority that has nothing to do with it."""
    def openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], cwd=folder, check=True, capture_output=True)
    for name in ("root", "stranger"):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", 2, "-subj", f"/CN={name}",
                "-keyout", f"{name}.key", "-out", f"{name}.crt")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", "server.key",
            "-out", "server.csr")
    (folder / "names").write_text("subjectAltName=DNS:localhost\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "root.crt", "-CAkey", "root.key", "-CAcreateserial",
            "-days", 2, "-extfile", "names", "-out", "server.crt")
    folder.chmod(0o755)
    # The pooler belongs to another user.
    (folder / "server.key").chmod(0o644)


def tls(options, soak):
    """Whoever is not encrypted, or not who the certificate says, is refused; what is verified works."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="preloop-soak-tls-"))
    certificates(folder)
    pool = Pooler(options.postgres, listen_addr="127.0.0.1", client_tls_sslmode="require",
                  client_tls_key_file=folder / "server.key", client_tls_cert_file=folder / "server.crt",
                  client_tls_ca_file=folder / "root.crt")
    with soak.Service(soak.SMALL) as service:
        expected, _ = soak.undisturbed(options, service)
        verified = f"&sslmode=verify-full&sslrootcert={folder}/root.crt"
        home = soak.Installation(options, service.port, environment=options.tiny, host="localhost",
                                 database_port=str(pool.port) + verified)
        done = home.run("preloop-sync", "scan", "all", "--json", codes=range(256))
        soak.check("tls, verify-full: a scan", done.returncode == 0, done.stderr.decode()[-300:])
        soak.check("tls, verify-full: export equal, no vector missing", soak.is_equal(home, expected))
        address = home.environment["DATABASE_URL"]
        refusals = {
            "a certificate of a stranger": (address.replace("root.crt", "stranger.crt"), ("certificate",)),
            "another name than the certificate's": (address.replace("host=localhost", "host=127.0.0.1"),
                                                    ("certificate", "does not match")),
            "no encryption": (address.replace("verify-full", "disable"), ("SSL", "TLS", "encrypt")),
        }
        for name, (other, words) in refusals.items():
            done = home.run("preloop", "db", "status", codes=range(256),
                            env={**home.environment, "DATABASE_URL": other})
            text = " ".join(done.stderr.decode().split())
            soak.check(f"tls: {name} is refused", done.returncode != 0
                       and any(word in text for word in words), f"{done.returncode}: {text[:300]}")
        home.remove()
    pool.close()
    shutil.rmtree(folder, ignore_errors=True)
