"""The lines of measurements: benchmarks/results/PROCESSOR/PART.jsonl, which are in the repository.

While a part runs, its lines go to .build-release/bench/PART.jsonl; `keep` puts them beside those of the other parts once
all of it has been measured. Where lines are no longer at hand, a processor has what was made of them in `ratios.jsonl`
and `summary.jsonl`, rows with the `part` they belong to; such a row counts until that part is measured there again.
"""

import datetime
import json
import pathlib
import re
import socket

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESULTS = ROOT / ".build-release/bench"
KEPT = ROOT / "benchmarks/results"
# What is left of lines, in the same directories.
MADE = ("ratios", "summary")
# A path from the root or from a home, or an address: where the measurement ran is nobody's business.
PLACE = re.compile(r"(?:^|[\s=:,\"'(])~?/[\w.-]+|\w://")
# Members that name programs, subjects and the processor, which a host may be called like.
NAMES = {"machine", "lib", "engine", "peer", "benchmark", "subject", "operation", "what", "how", "state", "writer"}
NOISE = re.compile(r"\((?:R|TM)\)|\b\d+-Core\b|\b(?:Processor|CPU)\b|@.*$", re.IGNORECASE)


def name_of(machine):
    """A processor's name without what says nothing: `Intel Xeon` of `Intel(R) Xeon(R) Processor`."""
    return " ".join(NOISE.sub(" ", machine).split()) or "unknown"


def slug_of(machine):
    """The name of a processor's directory."""
    return re.sub(r"[^a-z0-9]+", "-", name_of(machine).lower()).strip("-") or "unknown"


def day_of(time):
    return datetime.datetime.fromtimestamp(time, datetime.timezone.utc).date().isoformat()


def without_places(value, host):
    """A line's value without the members that tell where it was measured: paths, addresses, the host's name."""
    if isinstance(value, dict):
        return {name: without_places(member, host) for name, member in value.items()
                if not tells_place(member, None if name in NAMES else host)}
    if isinstance(value, list):
        return [without_places(member, host) for member in value if not tells_place(member, host)]
    return value


def tells_place(value, host):
    return isinstance(value, str) and bool(PLACE.search(value) or host and re.search(rf"\b{re.escape(host)}\b", value))


def keep(part, machine):
    """Puts the lines of a part that was measured on this processor in the place of those from before."""
    host = socket.gethostname()
    lines = [json.loads(line) for line in (RESULTS / f"{part}.jsonl").open()]
    directory = KEPT / slug_of(machine)
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / f"{part}.jsonl").open("w") as file:
        file.writelines(json.dumps(without_places(line, host)) + "\n" for line in lines)


class Lines:
    """The lines of one processor, by part."""

    def __init__(self, directory, parts=None):
        def read(path):
            return [json.loads(line) for line in path.open()]

        found = {path.stem: read(path) for path in sorted(directory.glob("*.jsonl"))
                 if parts is None or path.stem in parts}
        made = {name: found.pop(name, []) for name in MADE}
        self.parts = {part: rows for part, rows in found.items() if rows}
        # Of a part that was measured since, the rows from before mean nothing any more.
        self.made = {name: [row for row in rows if row["part"] not in self.parts] for name, rows in made.items()}

    def results(self, part):
        return self.parts.get(part, [])

    def chosen(self, part, **wanted):
        return [row for row in self.results(part) if all(row.get(key) == value for key, value in wanted.items())]

    def name(self):
        rows = [row for part in self.parts.values() for row in part] + self.made["ratios"] + self.made["summary"]
        return next((name_of(row["machine"]) for row in rows if row.get("machine")), "unknown")

    def day(self, part):
        """When a part was measured, or what is left of it; nothing when it was not."""
        days = [day_of(row["unix_time"]) for row in self.results(part) if row.get("unix_time")]
        return max(days + [row["date"] for rows in self.made.values() for row in rows if row["part"] == part], default="")


def processors():
    """Lines of all processors, by the names of their directories."""
    return [Lines(directory) for directory in sorted(KEPT.glob("*")) if directory.is_dir()]


def last_measured(processors, part, has):
    """The one of some processors that was measured last for a part, of those that have what is asked of it, or None."""
    able = [lines for lines in processors if has(lines)]
    return max(able, key=lambda lines: lines.day(part), default=None)


def ratio(mine, theirs):
    return mine / theirs if mine is not None and theirs else None


def check_keeping():
    """That names, places and what is left of lines are as told above, on made-up ones."""
    line = {"data": "base-50000x384.f16", "version": "numpy 2.4.6", "filter": "1%", "peer": "requests + hnswlib", "n": 1}
    checks = {
        "a processor's name has no marks": slug_of("Intel(R) Xeon(R) Processor") == "intel-xeon",
        "nor its clock": slug_of("Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz") == "intel-xeon-platinum-8375c",
        "nor its cores": slug_of("AMD EPYC 7763 64-Core Processor") == "amd-epyc-7763",
        "what was measured is kept": without_places(line, "box") == line,
        "no path is kept": without_places({**line, "home": "/home/ann/preloop", "log": "see ~/bench"}, "box") == line,
        "no address is kept": without_places({**line, "url": "http://127.0.0.1:80"}, "box") == line,
        "no host is kept, wherever it is": without_places({**line, "of": {"host": "on box."}}, "box") == {**line, "of": {}},
        "but ours is named on a host called so": without_places({"engine": "preloop"}, "preloop") == {"engine": "preloop"},
    }
    for what, holds in checks.items():
        if not holds:
            raise SystemExit(f"the lines are not kept as they should be: {what}")
