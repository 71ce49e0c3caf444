"""What was wanted of each part beside what was reached, and how libraries are compared at a recall.

Of all settings of a library those count that no other beats in both recall and
speed; between the two on either side of the recall the speed is interpolated, its logarithm against the logarithm of the
share missed. So it does not matter whose settings happen to lie nearer. Ours have thirteen settings and the peers
thirteen. A library none of whose settings reaches the recall never does. Builds: the least of each side's runs.
"""

import math

import bench_store
from bench_results import ratio

RECALLS = (0.95, 0.99, 0.999)
# What searches shall reach: at a recall so many times the best peer, at the last one so many times hnswlib.
WANTED = ((0.95, 4), (0.99, 6), (0.999, 9))
BUILD_WANTED = 4
DEFAULT_LINKS = 16
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
    """Rows of what was wanted and what one processor reached; one that was not measured is left out."""

    def __init__(self, lines):
        self.lines = lines
        self.rows = []
        # Whose rows are being added.
        self.part = None

    def results(self, part):
        return self.lines.results(part)

    def chosen(self, part, **wanted):
        return self.lines.chosen(part, **wanted)

    def add(self, what, wanted, value, least=None, most=None, form="{:.2f} ×", provided=True, detail=""):
        """`wanted` tells the bound, `least` or `most`; with `provided` false it is missed whatever the value.

        `detail` is what else was found: it stands behind the figure, so that `what` is the same on all processors.
        """
        if value is None:
            return
        holds = provided and (least is None or value >= least) and (most is None or value <= most)
        self.rows.append({"part": self.part, "what": what, "wanted": wanted, "reached": form.format(value),
                          "detail": detail, "holds": holds})

    def miss(self, what, wanted, reached, detail=""):
        """Something that was measured and has no figure."""
        self.rows.append({"part": self.part, "what": what, "wanted": wanted, "reached": reached, "detail": detail,
                          "holds": False})


def ratios_of_searches(table, rows, name):
    """Every setting of ours, at every recall, beside the best of what was measured in the same part."""
    libraries = by_library(rows)
    peers = {library: mine for library, mine in libraries.items() if not is_ours(library)}
    for recall, wanted in WANTED:
        limited = recall == RECALLS[-1] and "hnswlib" in peers
        theirs = best_peer({"hnswlib": peers["hnswlib"]} if limited else peers, recall)
        if theirs is None:
            continue
        for library in filter(is_ours, libraries):
            what = f"{name}{library}: queries/s at recall {recall} to {'hnswlib' if limited else 'the best peer'}"
            detail = "" if limited else f"{theirs[0]}, the best of {len(peers)}"
            mine = speed_at(libraries[library], recall)
            if mine is None:
                table.miss(what, f"≥ {wanted} ×", f"never, {final_recall(libraries[library])} at most", detail)
            else:
                table.add(what, f"≥ {wanted} ×", mine / theirs[1], least=wanted, detail=detail)


def ratios_of_builds(table, rows, name):
    """Our default beside hnswlib, and where its graph finds less in the end the cheapest that finds as much."""
    libraries = by_library(rows)
    if "preloop" not in libraries or "hnswlib" not in libraries:
        return
    theirs = libraries["hnswlib"]
    end, wanted = final_recall(theirs), f"≥ {BUILD_WANTED} ×, no less recall in the end"

    def add(library):
        mine = libraries[library]
        table.add(f"{name}{library}: build on one thread to hnswlib", wanted, least_build(theirs) / least_build(mine),
                  least=BUILD_WANTED, provided=final_recall(mine) >= end,
                  detail=f"recall in the end {final_recall(mine)} and {end}")

    add("preloop")
    if final_recall(libraries["preloop"]) >= end:
        return
    as_good = [library for library in filter(is_ours, libraries) if final_recall(libraries[library]) >= end]
    if as_good:
        add(min(as_good, key=lambda library: least_build(libraries[library])))
    else:
        table.miss(f"{name}build on one thread to hnswlib, at its recall in the end", f"≥ {BUILD_WANTED} ×",
                   "no setting of ours ends there", end)


def ratios_of_index(table):
    rows = table.results("index")
    ratios_of_searches(table, rows, "")
    ratios_of_builds(table, rows, "")
    one = table.chosen("index", lib="preloop", m=DEFAULT_LINKS, threads=1)
    two = table.chosen("index", lib="preloop", m=DEFAULT_LINKS, threads=2)
    if one and two:
        table.add("build, wall, two threads to one", "≥ 1.8 ×",
                  min(row["build_wall_s"] for row in one) / min(row["build_wall_s"] for row in two), least=1.8)
    libraries = by_library(rows)
    for library in filter(is_ours, libraries):
        mine, bound = libraries[library], 850 if library == "preloop" else 1100
        grown = max(row["bytes_per_vector"] for row in mine)
        counted, touched = mine[-1].get("index_bytes_per_vector"), mine[-1].get("searched_bytes_per_vector")
        table.add(f"{library}: bytes a vector by which the process grows", f"≤ {bound:,}", grown, most=bound,
                  form="{:.0f}", detail=f"by its own count {counted or 'not told'}, of which a search without a filter "
                  f"touches {touched or 'not told'}")


def ratios_of_held(table):
    ratios_of_searches(table, table.results("held"), "rows left out, ")
    ratios_of_builds(table, table.results("held"), "rows left out, ")


def ratios_of_clusters(table):
    rows = table.results("clusters")
    for dimension in sorted({row["dim"] for row in rows}):
        mine = [row for row in rows if row["dim"] == dimension]
        name = f"clustered {mine[0]['n']:,} x {dimension}, "
        ratios_of_searches(table, mine, name)
        ratios_of_builds(table, mine, name)


def ratios_of_filter(table):
    ours, theirs = table.chosen("filter", lib="preloop"), table.chosen("filter", lib="hnswlib")
    for share, walk, scan in ((0.01, 300, 3), (0.1, 10, 10)):
        mine = speed_at([row for row in ours if row["filter"] == share], 0.99)
        peer = [row for row in theirs if row["filter"] == share]
        for how, wanted in (("filtered search", walk), ("exact scan of the rows that pass", scan)):
            speed = speed_at([row for row in peer if row["how"] == how], 0.99)
            table.add(f"filter {share:.0%}, recall 0.99: to hnswlib's {how}", f"≥ {wanted} ×", ratio(mine, speed),
                      least=wanted)
    table.add("filter 50 %, queries/s at recall 0.99", "≥ 4,000",
              speed_at([row for row in ours if row["filter"] == 0.5], 0.99), least=4000, form="{:,.0f}")


def ratios_of_churn(table):
    states = {}
    for row in table.chosen("churn", benchmark="churn"):
        states.setdefault(row.get("state"), {})[row.get("ef")] = row.get("recall_at_10")
    fresh, again = states.get("fresh", {}), states.get("inserted_again", {})
    if fresh and again:
        table.add("recall after 30 % left and came again, worst of all efs, to a fresh build", "≥ −0.005",
                  min(again[ef] - fresh[ef] for ef in again), least=-0.005, form="{:+.4f}")


def ratios_of_join(table):
    exact, sgemm = table.chosen("join", benchmark="join", lib="preloop"), table.chosen("join", lib="numpy")
    if exact and sgemm:
        table.add("all pairs, exactly, to blocked sgemm", "≥ 1 ×", sgemm[0]["sgemm_cpu_s"] / exact[0]["cpu_s"], least=1)
        near = [row for row in table.results("join") if row["benchmark"] == "join_approximate" and row["recall"] >= 0.98]
        table.add("all pairs along the graph at recall ≥ 0.98, to blocked sgemm", "≥ 8 ×",
                  max((sgemm[0]["sgemm_cpu_s"] / max(row["cpu_s"], 1e-4) for row in near), default=None), least=8)


def ratios_of_snapshot(table):
    ours, peer = table.chosen("snapshot", lib="preloop"), table.chosen("snapshot", lib="hnswlib")
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
            ours = table.chosen("encode", engine="preloop", precision=mine, texts=texts, workers=1)
            peer = table.chosen("encode", engine=engine, precision=theirs, texts=texts)
            if ours and peer:
                table.add(f"encoder, {mine}, {texts}, to {engine} {theirs}", f"≥ {least} ×",
                          ours[0]["texts_per_cpu_s"] / peer[0]["texts_per_cpu_s"], least=least)
    for precision, mean, worst in (("int8", 0.999, 0.997), ("bfloat16", 0.9999, None)):
        for row in table.chosen("encode", benchmark="precision", precision=precision):
            table.add(f"{precision}: mean cosine to float32", f"≥ {mean}", row["cosine_mean"], least=mean, form="{:.5f}")
            if worst:
                table.add(f"{precision}: worst cosine", f"≥ {worst}", row["cosine_worst"], least=worst, form="{:.5f}")


def ratios_of_tokenizer(table):
    ours, peer = table.chosen("tokenize", engine="preloop"), table.chosen("tokenize", engine="tokenizers")
    if ours and peer:
        table.add("tokenizer, bytes/s to tokenizers", "≥ 1.5 ×",
                  ours[0]["megabytes_per_cpu_s"] / peer[0]["megabytes_per_cpu_s"], least=1.5)


def ratios_of_pipeline(table):
    for row in table.chosen("pipeline", benchmark="pipeline", what="first"):
        share = row["idle_with_backlog_s"] / max(row["idle_with_backlog_s"] + row["embedding_s"], 1e-9)
        table.add("encoder idle while changes wait, of the time it had work", "≤ 1 %", share, most=0.01, form="{:.2%}")
    issues = next((row["issues"] for row in table.chosen("pipeline", benchmark="pipeline", what="first")), 0)
    for row in table.chosen("pipeline", benchmark="pipeline ratio"):
        table.add(f"end to end, {issues:,} issues, wall, {row['than']} to ours", "≥ 5 ×", row["wall"], least=5)
        table.add(f"end to end, {issues:,} issues, memory, ours to {row['than']}", "≤ 0.33 ×", row["memory"], most=1 / 3)


def ratios_of_polling(table):
    for row in table.chosen("polling", benchmark="polling ratio"):
        table.add("nothing changed: requests a project", "≤ 1.05", row["requests_per_project"], most=1.05, form="{:.3f}")
        table.add("nothing changed: CPU to PyGithub's", "≤ 0.1", row["cpu"], most=0.1, form="{:.3f}")


def ratios_of_rules(table):
    rates = {(row["engine"], row["subject"]): row["per_cpu_s"] for row in table.chosen("cel")}
    for subject, name, peer, wanted in (("contains", "two `contains`", "rust", 2),
                                        ("contains", "two `contains`", "cel-cpp", 8),
                                        ("policy", "ten rules", "cel-cpp", 15)):
        if (ours := rates.get(("preloop", subject))) and (theirs := rates.get((peer, subject))):
            named = "the Rust crate" if peer == "rust" else peer
            table.add(f"CEL, {name}: rounds a CPU second to {named}", f"≥ {wanted} ×", ours / theirs, least=wanted)


def ratios_of_serve(table):
    def find(engine, what, clients=None):
        rows = table.chosen("serve", engine=engine, what=what, **({"clients": clients} if clients else {}))
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
        rows = table.chosen("proxy", engine=engine, what=what, upstream="raw")
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


PARTS = {
    "index": ratios_of_index, "held": ratios_of_held, "clusters": ratios_of_clusters, "filter": ratios_of_filter,
    "churn": ratios_of_churn, "join": ratios_of_join, "snapshot": ratios_of_snapshot,
    "beside": bench_store.ratios_of_beside, "recall": bench_store.ratios_of_recall, "encode": ratios_of_encoder,
    "tokenize": ratios_of_tokenizer, "cel": ratios_of_rules, "pipeline": ratios_of_pipeline,
    "polling": ratios_of_polling, "serve": ratios_of_serve, "proxy": ratios_of_proxy,
    "store": bench_store.ratios_of_writes, "backends": bench_store.ratios_of_backends,
    "followers": bench_store.ratios_of_followers, "replica": bench_store.ratios_of_replica,
    "wake": bench_store.ratios_of_wake,
}


def ratios(lines):
    """Rows of one processor, part by part: of its lines, or of what is left of them."""
    table = Ratios(lines)
    for table.part, add in PARTS.items():
        add(table)
        table.rows += [row for row in lines.made["ratios"] if row["part"] == table.part]
    return table.rows
