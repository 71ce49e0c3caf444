"""The tables of the last measurements, the ratios to the peers, and the drawing of recall against speed.

How libraries are compared at a recall: of all settings of a library those count that no other beats in both recall and
speed; between the two on either side of the recall the speed is interpolated, its logarithm against the logarithm of the
share missed. So it does not matter whose settings happen to lie nearer. Ours have thirteen settings and the peers
thirteen. A library none of whose settings reaches the recall never does. Builds: the least of each side's runs.
"""

import datetime
import json
import math
import re

import bench_store
from bench_results import RESULTS, chosen, ratio, results

RECALLS = (0.95, 0.99, 0.999)
# What searches shall reach: at a recall so many times the best peer, at the last one so many times hnswlib.
WANTED = ((0.95, 4), (0.99, 6), (0.999, 9))
BUILD_WANTED = 4
DEFAULT_LINKS = 16
# What a document's generated parts stand between; each has a name.
BLOCK = re.compile(r"<!-- scripts/bench writes (\w+) from here -->\n.*?<!-- to here -->", re.DOTALL)
# Recall is told to four places; an index that finds all misses less than half of the last.
LEAST_MISSED = 5e-5


def by_library(rows):
    """Rows of one thread by library, ours by its number of links too, ours first."""
    found = {}
    for row in sorted(rows, key=lambda row: row["lib"] != "preloop"):
        if row.get("threads", 1) != 1 or "recall_at_10" not in row:
            continue
        more = row["lib"] == "preloop" and row["m"] != DEFAULT_LINKS
        found.setdefault(f"preloop, {row['m']} links" if more else row["lib"], []).append(row)
    return found


def is_ours(library):
    return library.startswith("preloop")


def front(rows):
    """Recall and speed of the settings no other one beats in both, by ascending recall."""
    kept = []
    for row in sorted(rows, key=lambda row: (-row["recall_at_10"], -row["queries_per_cpu_s"])):
        if not kept or row["queries_per_cpu_s"] > kept[-1][1]:
            kept.append((row["recall_at_10"], row["queries_per_cpu_s"]))
    return kept[::-1]


def speed_at(rows, recall):
    """Queries a CPU second at a recall, between settings; None when no setting reaches it."""
    below = None
    for found, speed in front(rows):
        if found >= recall:
            if below is None or found == recall:
                return speed
            missed = [math.log(max(1 - value, LEAST_MISSED)) for value in (below[0], recall, found)]
            share = (missed[0] - missed[1]) / (missed[0] - missed[2])
            return math.exp(math.log(below[1]) + share * (math.log(speed) - math.log(below[1])))
        below = (found, speed)
    return None


def final_recall(rows):
    return max(row["recall_at_10"] for row in rows)


def least_build(rows):
    return min(row["build_cpu_s"] for row in rows)


def best_peer(libraries, recall):
    """Name and speed of the fastest of some libraries at a recall, or None."""
    speeds = {name: speed_at(rows, recall) for name, rows in libraries.items()}
    reached = {name: speed for name, speed in speeds.items() if speed is not None}
    return max(reached.items(), key=lambda item: item[1], default=None)


def check_comparison():
    """That libraries are compared as told above, on made-up rows: as rules.py does with its rules."""
    def rows(*settings):
        return [{"recall_at_10": recall, "queries_per_cpu_s": speed} for recall, speed in settings]

    coarse = rows((0.9, 1000), (0.999, 100))
    fine = coarse + rows((0.99, round(speed_at(coarse, 0.99))))
    worse = rows((0.95, 50), (0.9, 900))
    checks = {
        "half of the way between 0.9 and 0.999 in places, so a tenth of the root": round(speed_at(coarse, 0.99)) == 316,
        "a finer grid on the same curve gains nothing": abs(speed_at(fine, 0.97) / speed_at(coarse, 0.97) - 1) < 0.01,
        "settings that others beat do not count": speed_at(coarse + worse, 0.99) == speed_at(coarse, 0.99),
        "what is measured at the recall is taken as it is": speed_at(coarse, 0.999) == 100,
        "below all settings the fastest counts": speed_at(coarse, 0.5) == 1000,
        "a recall that none reaches is never reached": speed_at(coarse, 0.9999) is None,
        "the best of the peers is the best at that recall": best_peer({"a": coarse, "b": worse}, 0.95)[0] == "a",
    }
    for what, holds in checks.items():
        if not holds:
            raise SystemExit(f"the comparison is broken: {what}")


# ---------------------------------------------------------------------------------------- ratios

class Ratios:
    """Rows of what was wanted and what was reached; one that was not measured is left out."""

    def __init__(self):
        self.rows = []

    def add(self, what, wanted, value, least=None, most=None, form="{:.2f} ×", provided=True):
        """`wanted` tells the bound, `least` or `most`; with `provided` false it is missed whatever the value."""
        if value is None:
            return
        holds = provided and (least is None or value >= least) and (most is None or value <= most)
        self.rows.append({"what": what, "wanted": wanted, "reached": form.format(value), "value": round(value, 5),
                          "holds": holds})

    def miss(self, what, wanted, reached):
        """Something that was measured and has no figure."""
        self.rows.append({"what": what, "wanted": wanted, "reached": reached, "value": None, "holds": False})

    def table(self):
        if not self.rows:
            return []
        return ["| what | wanted | reached | |", "| --- | --- | --- | --- |"] + [
            f"| {row['what']} | {row['wanted']} | {row['reached']} | {'yes' if row['holds'] else '**no**'} |"
            for row in self.rows]


def ratios_of_searches(table, rows, name):
    """Every setting of ours, at every recall, beside the best of what was measured in the same part."""
    libraries = by_library(rows)
    peers = {library: mine for library, mine in libraries.items() if not is_ours(library)}
    of = f"the best of {len(peers)} peers" if len(peers) > 3 else f"the best of {', '.join(peers)}"
    for recall, wanted in WANTED:
        limited = recall == RECALLS[-1]
        theirs = best_peer({"hnswlib": peers["hnswlib"]} if limited and "hnswlib" in peers else peers, recall)
        if theirs is None:
            continue
        for library in filter(is_ours, libraries):
            what = f"{name}{library}: queries/s at recall {recall} to {theirs[0] if limited else f'{of} ({theirs[0]})'}"
            mine = speed_at(libraries[library], recall)
            if mine is None:
                table.miss(what, f"≥ {wanted} ×", f"never, {final_recall(libraries[library])} at most")
            else:
                table.add(what, f"≥ {wanted} ×", mine / theirs[1], least=wanted)


def ratios_of_builds(table, rows, name):
    """Our default beside hnswlib, and where its graph finds less in the end the cheapest that finds as much."""
    libraries = by_library(rows)
    if "preloop" not in libraries or "hnswlib" not in libraries:
        return
    theirs = libraries["hnswlib"]
    end, wanted = final_recall(theirs), f"≥ {BUILD_WANTED} ×, no less recall in the end"

    def add(library):
        mine = libraries[library]
        table.add(f"{name}{library}: build on one thread to hnswlib; recall in the end {final_recall(mine)} and {end}",
                  wanted, least_build(theirs) / least_build(mine), least=BUILD_WANTED,
                  provided=final_recall(mine) >= end)

    add("preloop")
    if final_recall(libraries["preloop"]) >= end:
        return
    as_good = [library for library in filter(is_ours, libraries) if final_recall(libraries[library]) >= end]
    if as_good:
        add(min(as_good, key=lambda library: least_build(libraries[library])))
    else:
        table.miss(f"{name}build on one thread to hnswlib, at its recall in the end, {end}", f"≥ {BUILD_WANTED} ×",
                   "no setting of ours ends there")


def ratios_of_index(table):
    rows = results("index")
    ratios_of_searches(table, rows, "")
    ratios_of_builds(table, rows, "")
    one = chosen("index", lib="preloop", m=DEFAULT_LINKS, threads=1)
    two = chosen("index", lib="preloop", m=DEFAULT_LINKS, threads=2)
    if one and two:
        table.add("build, wall, two threads to one", "≥ 1.8 ×",
                  min(row["build_wall_s"] for row in one) / min(row["build_wall_s"] for row in two), least=1.8)
    libraries = by_library(rows)
    for library in filter(is_ours, libraries):
        mine, bound = libraries[library], 850 if library == "preloop" else 1100
        grown = max(row["bytes_per_vector"] for row in mine)
        counted, touched = mine[-1].get("index_bytes_per_vector"), mine[-1].get("searched_bytes_per_vector")
        table.add(f"{library}: bytes a vector by which the process grows; by its own count {counted or 'not told'}, "
                  f"of which a search without a filter touches {touched or 'not told'}", f"≤ {bound:,}", grown,
                  most=bound, form="{:.0f}")


def ratios_of_held(table):
    ratios_of_searches(table, results("held"), "rows left out, ")
    ratios_of_builds(table, results("held"), "rows left out, ")


def ratios_of_clusters(table):
    rows = results("clusters")
    for dimension in sorted({row["dim"] for row in rows}):
        mine = [row for row in rows if row["dim"] == dimension]
        name = f"clustered {mine[0]['n']:,} x {dimension}, "
        ratios_of_searches(table, mine, name)
        ratios_of_builds(table, mine, name)


def ratios_of_filter(table):
    ours, theirs = chosen("filter", lib="preloop"), chosen("filter", lib="hnswlib")
    for share, walk, scan in ((0.01, 300, 3), (0.1, 10, 10)):
        mine = speed_at([row for row in ours if row["filter"] == share], 0.99)
        peer = [row for row in theirs if row["filter"] == share]
        for how, wanted in (("filtered search", walk), ("exact scan of the rows that pass", scan)):
            speed = speed_at([row for row in peer if row["how"] == how], 0.99)
            table.add(f"filter {share:.0%}, recall 0.99: to hnswlib's {how}", f"≥ {wanted} ×", ratio(mine, speed),
                      least=wanted)
    table.add("filter 50 %, queries/s at recall 0.99", "≥ 4,000",
              speed_at([row for row in ours if row["filter"] == 0.5], 0.99), least=4000, form="{:,.0f}")


def ratios_of_changes(table):
    states = {}
    for row in chosen("churn", benchmark="churn"):
        states.setdefault(row.get("state"), {})[row.get("ef")] = row.get("recall_at_10")
    fresh, again = states.get("fresh", {}), states.get("inserted_again", {})
    if fresh and again:
        table.add("recall after 30 % left and came again, worst of all efs, to a fresh build", "≥ −0.005",
                  min(again[ef] - fresh[ef] for ef in again), least=-0.005, form="{:+.4f}")
    exact, sgemm = chosen("join", benchmark="join", lib="preloop"), chosen("join", lib="numpy")
    if exact and sgemm:
        table.add("all pairs, exactly, to blocked sgemm", "≥ 1 ×", sgemm[0]["sgemm_cpu_s"] / exact[0]["cpu_s"], least=1)
        near = [row for row in results("join") if row["benchmark"] == "join_approximate" and row["recall"] >= 0.98]
        table.add("all pairs along the graph at recall ≥ 0.98, to blocked sgemm", "≥ 8 ×",
                  max((sgemm[0]["sgemm_cpu_s"] / max(row["cpu_s"], 1e-4) for row in near), default=None), least=8)
    ours, peer = chosen("snapshot", lib="preloop"), chosen("snapshot", lib="hnswlib")
    if ours and peer:
        ours, peer = ours[0], peer[0]
        table.add("snapshot: load to first answer, to hnswlib", "≤ 0.33 ×",
                  ours["load_and_search_s"] / peer["load_and_search_s"], most=1 / 3)
        table.add("snapshot: save with fsync and rename, to hnswlib", "≤ 1.5 ×", ours["save_s"] / peer["save_s"], most=1.5)
        table.add("snapshot: the first save, which also calibrates, to hnswlib's first", "≤ 1.5 ×",
                  ratio(ours.get("first_save_s"), peer.get("first_save_s")), most=1.5)


def ratios_of_encoder(table):
    for mine, engine, theirs, wanted in (
            ("int8", "ctranslate2", "int8", {"titles": 1.7, "bodies": 2.0}),
            ("bfloat16", "openvino", "bf16", {"titles": 1.3, "bodies": 1.3}),
            ("float32", "onnxruntime", "float32", {"titles": 1.05, "bodies": 1.05})):
        for texts, least in wanted.items():
            ours = chosen("encode", engine="preloop", precision=mine, texts=texts, workers=1)
            peer = chosen("encode", engine=engine, precision=theirs, texts=texts)
            if ours and peer:
                table.add(f"encoder, {mine}, {texts}, to {engine} {theirs}", f"≥ {least} ×",
                          ours[0]["texts_per_cpu_s"] / peer[0]["texts_per_cpu_s"], least=least)
    for precision, mean, worst in (("int8", 0.999, 0.997), ("bfloat16", 0.9999, None)):
        for row in chosen("encode", benchmark="precision", precision=precision):
            table.add(f"{precision}: mean cosine to float32", f"≥ {mean}", row["cosine_mean"], least=mean, form="{:.5f}")
            if worst:
                table.add(f"{precision}: worst cosine", f"≥ {worst}", row["cosine_worst"], least=worst, form="{:.5f}")
    ours, peer = chosen("tokenize", engine="preloop"), chosen("tokenize", engine="tokenizers")
    if ours and peer:
        table.add("tokenizer, bytes/s to tokenizers", "≥ 1.5 ×",
                  ours[0]["megabytes_per_cpu_s"] / peer[0]["megabytes_per_cpu_s"], least=1.5)


def ratios_of_pipeline(table):
    for row in chosen("pipeline", benchmark="pipeline", what="first"):
        share = row["idle_with_backlog_s"] / max(row["idle_with_backlog_s"] + row["embedding_s"], 1e-9)
        table.add("encoder idle while changes wait, of the time it had work", "≤ 1 %", share, most=0.01, form="{:.2%}")
    issues = next((row["issues"] for row in chosen("pipeline", benchmark="pipeline", what="first")), 0)
    for row in chosen("pipeline", benchmark="pipeline ratio"):
        table.add(f"end to end, {issues:,} issues, wall, {row['than']} to ours", "≥ 5 ×", row["wall"], least=5)
        table.add(f"end to end, {issues:,} issues, memory, ours to {row['than']}", "≤ 0.33 ×", row["memory"], most=1 / 3)
    for row in chosen("polling", benchmark="polling ratio"):
        table.add("nothing changed: requests a project", "≤ 1.05", row["requests_per_project"], most=1.05, form="{:.3f}")
        table.add("nothing changed: CPU to PyGithub's", "≤ 0.1", row["cpu"], most=0.1, form="{:.3f}")


def ratios_of_rules(table):
    rates = {(row["engine"], row["subject"]): row["per_cpu_s"] for row in chosen("cel")}
    for subject, name, peer, wanted in (("contains", "two `contains`", "rust", 2),
                                        ("contains", "two `contains`", "cel-cpp", 8),
                                        ("policy", "ten rules", "cel-cpp", 15)):
        if (ours := rates.get(("preloop", subject))) and (theirs := rates.get((peer, subject))):
            named = "the Rust crate" if peer == "rust" else peer
            table.add(f"CEL, {name}: rounds a CPU second to {named}", f"≥ {wanted} ×", ours / theirs, least=wanted)


def ratios_of_serve(table):
    def find(engine, what, clients=None):
        rows = chosen("serve", engine=engine, what=what, **({"clients": clients} if clients else {}))
        return rows[-1] if rows else None

    for clients in (1, 16):
        ours, peer = find("preloop", "trivial", clients), find("sdk", "trivial", clients)
        if ours and peer:
            table.add(f"server, trivial tool, {clients} clients: calls/s to the Python SDK's", "≥ 6 ×",
                      ours["calls_per_second"] / peer["calls_per_second"], least=6)
            table.add(f"server, trivial tool, {clients} clients: CPU a call to the Python SDK's", "≤ 0.2",
                      ours["cpu_ms_per_call"] / peer["cpu_ms_per_call"], most=0.2, form="{:.3f}")
        ours, peer = find("preloop", "search", clients), find("fastmcp", "search", clients)
        if ours and peer:
            table.add(f"server, `search` on 50,000 issues, {clients} clients: calls/s to fastmcp's", "≥ 8 ×",
                      ours["calls_per_second"] / peer["calls_per_second"], least=8)
    ours, peer = find("preloop", "start"), find("python", "start")
    if ours and peer:
        table.add("server, idle with the model, MB resident", "≤ 150", ours["with_model_mb"]["VmRSS"], most=150, form="{:.0f}")
        table.add("server, idle without, MB resident", "≤ 60", ours["idle_mb"]["VmRSS"], most=60, form="{:.0f}")
        table.add("server, first search answered, to the Python server's imports", "< 1 ×",
                  ours["first_search_s"] / peer["imports_s"], most=1)


def ratios_of_proxy(table):
    def find(engine, what="call"):
        rows = chosen("proxy", engine=engine, what=what, upstream="raw")
        return rows[-1] if rows else None

    ours, nginx = find("preloop"), find("nginx")
    if ours and nginx:
        table.add("proxy: what a call takes longer, to nginx that only passes it on", "≤ 3 ×",
                  ours["added_p50_ms"] / nginx["added_p50_ms"], most=3, provided=nginx["added_p50_ms"] > 0)
    for engine, name in (("fastmcp", "fastmcp's proxy"), ("fastmcp-sessions", "fastmcp's proxy that keeps sessions")):
        if ours and (peer := find(engine)):
            table.add(f"proxy: what a call takes longer, to {name}", "≤ 0.01 ×",
                      ours["added_p50_ms"] / peer["added_p50_ms"], most=0.01, form="{:.4f} ×")
            table.add(f"proxy: CPU a call, to {name}", "≤ 0.01 ×",
                      ours["cpu_ms_per_call"] / peer["cpu_ms_per_call"], most=0.01, form="{:.4f} ×")
    for what, name in (("parked", "whose clients have gone"), ("waiting", "whose clients wait")):
        if row := find("preloop", what):
            table.add(f"proxy: MB resident more with {row['held']:,} held calls {name}", "≤ 40", row["grown_mb"], most=40,
                      form="{:.1f}")
    if row := find("preloop", "release"):
        table.add("proxy: from an approval to the result of the call that waits, ms, 99 of 100", "≤ 100", row["p99_ms"],
                  most=100, form="{:.1f}")


def ratios():
    table = Ratios()
    for part in (ratios_of_index, ratios_of_held, ratios_of_clusters, ratios_of_filter, ratios_of_changes,
                 bench_store.ratios_of_asking, ratios_of_encoder, ratios_of_rules, ratios_of_pipeline,
                 ratios_of_serve, ratios_of_proxy, bench_store.ratios_of_writes, bench_store.ratios_of_backends,
                 bench_store.ratios_of_replicas):
        part(table)
    return table


# ---------------------------------------------------------------------------------------- tables

def shown(value, form="{:,.0f}", missing="never"):
    return missing if value is None else form.format(value)


def table_of_index(rows):
    libraries = by_library(rows)
    if not libraries:
        return []
    lines = ["| library | build, CPU s | bytes a vector, process | by its own count | recall in the end "
             "| queries/CPU s at recall 0.95 | 0.99 | 0.999 |", "| --- |" + " --- |" * 7]
    for library, mine in libraries.items():
        speeds = " | ".join(shown(speed_at(mine, recall)) for recall in RECALLS)
        lines.append(f"| {library} | {least_build(mine):.1f} | {max(row['bytes_per_vector'] for row in mine):,} "
                     f"| {shown(mine[-1].get('index_bytes_per_vector'), missing='')} | {final_recall(mine)} | {speeds} |")
    return lines


def table_of(part, columns, **wanted):
    rows = chosen(part, **wanted)
    names = [name for name in columns if any(name in row for row in rows)]
    rows = [row for row in rows if sum(name in row for name in names) > 1]
    if not rows:
        return []

    def cell(value):
        if isinstance(value, float):
            return f"{value:.4g}" if value < 1000 else f"{value:,.0f}"
        return f"{value:,}" if isinstance(value, int) else str(value)

    return ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)] + [
        "| " + " | ".join(cell(row.get(name, "")) for name in names) + " |" for row in rows]


def table_of_clusters():
    rows = results("clusters")
    for dimension in sorted({row["dim"] for row in rows}):
        mine = [row for row in rows if row["dim"] == dimension]
        yield from ([f"{mine[0]['n']:,} x {dimension}:", ""] + table_of_index(mine) + [""])


def table_of_encoder():
    rows = chosen("encode", benchmark="encode")
    if not rows:
        return []
    kinds = list(dict.fromkeys(row["texts"] for row in rows))
    cosines = {row["precision"]: row for row in chosen("encode", benchmark="precision")}
    lines = ["| engine | precision | workers | " + " | ".join(f"{kind} per CPU second" for kind in kinds)
             + " | cosine to float32, mean | worst |", "|" + " --- |" * (5 + len(kinds))]
    for engine, precision, workers in dict.fromkeys(
            (row["engine"], row["precision"], row.get("workers", 1)) for row in rows):
        speeds = {row["texts"]: row["texts_per_cpu_s"] for row in rows
                  if (row["engine"], row["precision"], row.get("workers", 1)) == (engine, precision, workers)}
        own = cosines.get(precision) if engine == "preloop" else None
        cells = [engine, precision, str(workers)] + [shown(speeds.get(kind), "{:,.1f}", "") for kind in kinds]
        cells += [f"{own['cosine_mean']:.5f}", f"{own['cosine_worst']:.5f}"] if own else ["", ""]
        lines.append("| " + " | ".join(cells) + " |")
    for row in chosen("encode", benchmark="encode-cold"):
        lines += ["", f"The first query of a new process: {row['load_ms']:.0f} ms to load, "
                      f"{row['first_encode_ms']:.0f} ms to encode."]
    return lines


MEASURED = ("peer", "lib", "what", "issues", "comments", "passages", "texts", "wall_s", "cpu_s", "peak_mb", "requests",
            "embedding_s", "idle_with_backlog_s")


def blocks():
    """Heading and lines of each generated part by the name it has in the document."""
    yield "index", "Search", table_of_index(results("index"))
    yield "held", "Search, rows left out", table_of_index(results("held"))
    yield "clusters", "Clustered sets", list(table_of_clusters())
    yield "filter", "Filters", table_of("filter", (
        "lib", "how", "filter", "ef", "recall_at_10", "queries_per_cpu_s", "p50_us", "p99_us"))
    yield "churn", "Deletion and insertion", table_of("churn", (
        "state", "ef", "recall_at_10", "queries_per_cpu_s", "change_cpu_s", "violations"))
    yield "join", "All pairs", table_of("join", (
        "lib", "benchmark", "slack", "pairs", "foreign_pairs", "recall", "cpu_s", "sgemm_cpu_s"))
    yield "snapshot", "Snapshots", table_of("snapshot", (
        "lib", "n", "first_save_s", "calibration_s", "save_s", "save_worst_s", "save_cpu_s", "load_and_search_s",
        "load_and_search_cpu_s"))
    yield "encode", "Encoder", table_of_encoder()
    yield "tokenize", "Tokenizer", table_of("tokenize", (
        "engine", "texts", "bytes", "tokens", "megabytes_per_cpu_s", "texts_per_cpu_s", "p50_us", "p99_us"))
    yield "cel", "Rules", table_of("cel", ("engine", "subject", "per_cpu_s"))
    yield "pipeline", "End to end", table_of("pipeline", MEASURED)
    yield "polling", "Nothing changed", table_of("polling", MEASURED)
    yield "serve", "Server", table_of("serve", (
        "engine", "what", "clients", "calls_per_second", "cpu_ms_per_call", "p50_ms", "p99_ms", "listening_s",
        "first_search_s", "imports_s"))
    yield "proxy", "Proxy", table_of("proxy", (
        "upstream", "engine", "what", "calls", "p50_ms", "p99_ms", "added_p50_ms", "cpu_ms_per_call", "behind_answer_p50_ms",
        "behind_answer_p99_ms", "held", "grown_mb", "grown_anonymous_mb"))
    yield "beside", "Searches beside a writer", table_of("beside", (
        "writer", "changes", "changes_per_s", "searches", "p50_us", "p99_us", "max_us", "violations"))
    yield "recall", "Recall that is asked for", table_of("recall", (
        "filter", "wanted_recall", "recall_at_10", "recall_at_200", "queries_per_cpu_s", "p50_us", "p99_us", "calibration_cpu_s"))
    for name, heading, columns, wanted in bench_store.TABLES:
        yield name, heading, table_of(name, columns, **wanted)


def stamp(*parts):
    """Where, when and on what some parts were measured, and the versions of their peers."""
    rows = [row for part in parts for row in results(part)]

    def all_of(name, pieces=lambda value: [value]):
        values = dict.fromkeys(piece for row in rows if row.get(name) for piece in pieces(row[name]))
        return ", ".join(values)

    def day(time):
        return [datetime.datetime.fromtimestamp(time, datetime.timezone.utc).date().isoformat()]

    what = [all_of("machine"), all_of("unix_time", day), all_of("data") if len(parts) == 1 else "",
            all_of("version", lambda text: text.split(", "))]
    return "; ".join(part for part in what if part) + "."


def table_of_summary(table):
    """The few rows the README shows."""
    lines = []

    def add(what, figure, command):
        lines.append(f"| {what} | {figure} | `{f'scripts/bench {command}'.strip()}` |")

    libraries = by_library(results("index"))
    for library in filter(is_ours, libraries):
        mine = libraries[library]
        peers = [best_peer({name: rows for name, rows in libraries.items() if not is_ours(name)}, recall)
                 for recall in RECALLS]
        add(f"vector index, {mine[0]['n']:,} of dimension {mine[0]['dim']}, {library}",
            "at recall@10 0.95 / 0.99 / 0.999 " + " / ".join(shown(speed_at(mine, recall)) for recall in RECALLS)
            + " queries a CPU second, the best peer " + " / ".join(shown(peer and peer[1]) for peer in peers)
            + f"; built in {least_build(mine):.1f} CPU s"
            + (f", hnswlib in {least_build(libraries['hnswlib']):.1f}" if "hnswlib" in libraries else "")
            + f"; {max(row['bytes_per_vector'] for row in mine):,} bytes a vector", "index")
    for engine, precision in (("preloop", "int8"), ("preloop", "float32"), ("ctranslate2", "int8")):
        rows = {row["texts"]: row for row in chosen("encode", benchmark="encode", engine=engine, precision=precision)
                if row.get("workers", 1) == 1}
        if {"titles", "bodies"} <= rows.keys():
            add(f"encoder, one core, {precision}, {engine}", f"{rows['titles']['texts_per_cpu_s']:,.0f} titles of "
                f"{rows['titles']['tokens']} tokens/s, {rows['bodies']['texts_per_cpu_s']:,.0f} bodies of "
                f"{rows['bodies']['tokens']}", "encode")
    rates = {row["engine"]: row["per_cpu_s"] for row in chosen("cel", subject="policy")}
    if "preloop" in rates and len(rates) > 1:
        add("ten rules (CEL) on a call, a CPU second",
            ", ".join(f"{engine} {rate:,.0f}" for engine, rate in rates.items()), "cel")
    if table.rows:
        holds = sum(row["holds"] for row in table.rows)
        add("of all that was wanted", f"{holds} of {len(table.rows)} reached; [docs/benchmarks.md](docs/benchmarks.md) "
            "has each, and why the others are missed", "")
    return ["| what | figure | command |", "| --- | --- | --- |"] + lines if lines else []


def report(root, writing):
    """Prints all tables; with `writing`, puts them and the drawing into the documents."""
    check_comparison()
    tables, headings = {}, {}
    for name, heading, lines in blocks():
        headings[name] = heading
        if lines:
            tables[name] = [stamp(name), ""] + lines
            print("\n".join([f"### {heading}", ""] + tables[name]) + "\n")
    table = ratios()
    print("\n".join(["### Ratios", ""] + table.table()))
    with (RESULTS / "ratios.jsonl").open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in table.rows)
    print(f"\nlines: {RESULTS.relative_to(root)}/*.jsonl")
    if writing and table.rows:
        tables["ratios"] = [stamp(*tables), ""] + table.table()
        summary = table_of_summary(table)
        write(root / "docs/benchmarks.md", tables, headings)
        write(root / "README.md", {"summary": [stamp("index", "encode", "cel"), ""] + summary} if summary else {})
        draw(root / "docs/benchmarks.svg")


def write(path, tables, headings={}):
    """Replaces what stands between the marks of each table; a part that was never measured stays as it is.

    One that has no place and a heading gets both at the end.
    """
    text = path.read_text()
    for name in sorted(tables.keys() & headings.keys() - set(BLOCK.findall(text)), key=list(tables).index):
        text = (f"{text.rstrip()}\n\n## {headings[name]}\n\n<!-- scripts/bench writes {name} from here -->\n"
                "<!-- to here -->\n")
    missing = tables.keys() - set(BLOCK.findall(text))
    if missing:
        raise SystemExit(f"{path} has no place for: {', '.join(sorted(missing))}")

    def replaced(match):
        lines = tables.get(match.group(1))
        if lines is None:
            return match.group()
        inside = "\n".join(lines).rstrip("\n")
        return f"<!-- scripts/bench writes {match.group(1)} from here -->\n{inside}\n<!-- to here -->"

    path.write_text(BLOCK.sub(replaced, text))
    print(f"written: {path.name}")


# --------------------------------------------------------------------------------------- drawing

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 760, 440, 70, 20, 150, 50
COLOURS = ("#c0392b", "#2c3e50", "#2980b9", "#27ae60", "#8e44ad", "#f39c12", "#16a085", "#7f8c8d",
           "#d35400")


def draw(path):
    """Recall against queries per CPU second, one line a library, speed logarithmic."""
    libraries = by_library([row for row in results("index") if row.get("recall_at_10", 0) >= 0.9])
    rows = [row for mine in libraries.values() for row in mine]
    if not rows:
        return
    speeds = [row["queries_per_cpu_s"] for row in rows]
    low, high = math.log10(min(speeds)) - 0.05, math.log10(max(speeds)) + 0.05

    def place(recall, speed):
        # Recall by the decimal places it has: 0.9 at 0, 0.9999 at 1.
        nines = min(max(-math.log10(max(1 - recall, 1e-4)) - 1, 0), 3) / 3
        y = HEIGHT - BOTTOM - (math.log10(speed) - low) / (high - low) * (HEIGHT - TOP - BOTTOM)
        return LEFT + nines * (WIDTH - LEFT - RIGHT), y

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
             f'font-size="12"><rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    parts += grid(place, low, high, max(speeds))
    for number, (library, mine) in enumerate(libraries.items()):
        parts.append(curve(mine, library, number, place))
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 12}" text-anchor="middle">recall@10</text>'
                 f'<text x="16" y="{HEIGHT / 2:.0f}" text-anchor="middle" '
                 f'transform="rotate(-90 16 {HEIGHT / 2:.0f})">queries per CPU second, one thread</text></svg>')
    path.write_text("\n".join(parts) + "\n")
    print(f"drawn: {path.name}")


def grid(place, low, high, fastest):
    for recall in (0.9, 0.95, 0.99, 0.999, 0.9999):
        x, _ = place(recall, fastest)
        yield (f'<line x1="{x:.0f}" y1="{TOP}" x2="{x:.0f}" y2="{HEIGHT - BOTTOM}" stroke="#ddd"/>'
               f'<text x="{x:.0f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{recall}</text>')
    for speed in (500, 1000, 2000, 5000, 10000, 20000, 50000, 100000):
        if low <= math.log10(speed) <= high:
            _, y = place(0.9, speed)
            yield (f'<line x1="{LEFT}" y1="{y:.0f}" x2="{WIDTH - RIGHT}" y2="{y:.0f}" stroke="#ddd"/>'
                   f'<text x="{LEFT - 6}" y="{y + 4:.0f}" text-anchor="end">{speed:,}</text>')


def curve(rows, library, number, place):
    """Only settings no other setting of the library beats in both."""
    points = " ".join("{:.1f},{:.1f}".format(*place(*point)) for point in front(rows))
    colour = COLOURS[number % len(COLOURS)]
    return (f'<polyline points="{points}" fill="none" stroke="{colour}" '
            f'stroke-width="{3 if is_ours(library) else 1.5}"/>'
            f'<text x="{WIDTH - RIGHT + 10}" y="{TOP + 16 + 18 * number}" fill="{colour}">{library}</text>')
