"""The tables of the last measurements, the ratios to the peers, and the drawing of recall against speed."""

import json
import math
import pathlib

RESULTS = pathlib.Path(__file__).resolve().parents[2] / ".build-release/bench"
RECALLS = (0.95, 0.99, 0.999)
DEFAULT_LINKS = 16
BEGIN, END = "<!-- scripts/bench writes from here -->", "<!-- to here -->"


def results(part):
    path = RESULTS / f"{part}.jsonl"
    return [json.loads(line) for line in path.open()] if path.exists() else []


def chosen(part, **wanted):
    return [row for row in results(part) if all(row.get(key) == value for key, value in wanted.items())]


def best(rows, recall, speed="queries_per_cpu_s"):
    return max((row[speed] for row in rows if row.get("recall_at_10", 0) >= recall), default=None)


def ratio(mine, theirs):
    return mine / theirs if mine is not None and theirs else None


# ---------------------------------------------------------------------------------------- ratios

class Ratios:
    """Rows of what was wanted and what was reached; one that was not measured is left out."""

    def __init__(self):
        self.rows = []

    def add(self, what, wanted, value, least=None, most=None, form="{:.2f} ×"):
        if value is None:
            return
        holds = (least is None or value >= least) and (most is None or value <= most)
        self.rows.append({"what": what, "wanted": wanted, "reached": form.format(value), "value": round(value, 5),
                          "holds": holds})

    def table(self):
        if not self.rows:
            return []
        return ["| what | wanted | reached | |", "| --- | --- | --- | --- |"] + [
            f"| {row['what']} | {row['wanted']} | {row['reached']} | {'yes' if row['holds'] else '**no**'} |"
            for row in self.rows]


def ratios_of_index(table):
    rows = results("index")
    ours = [row for row in rows if row["lib"] == "preloop" and row["threads"] == 1 and row["m"] == DEFAULT_LINKS]
    more = [row for row in rows if row["lib"] == "preloop" and row["m"] > DEFAULT_LINKS]
    double = [row for row in rows if row["lib"] == "preloop" and row["threads"] == 2]
    hnswlib = [row for row in rows if row["lib"] == "hnswlib"]
    peers = {row["lib"] for row in rows} - {"preloop"}
    for recall, wanted in ((0.95, 4), (0.99, 6)):
        theirs = max((best([row for row in rows if row["lib"] == lib], recall) or 0 for lib in peers), default=0)
        table.add(f"queries/s at recall {recall} to the best peer", f"≥ {wanted} ×",
                  ratio(best(ours, recall), theirs), least=wanted)
        table.add("the same in the fastest setting", f"≥ {wanted} ×", ratio(best(more, recall), theirs), least=wanted)
    table.add("queries/s at recall 0.999 to hnswlib", "≥ 9 ×", ratio(best(ours, 0.999), best(hnswlib, 0.999)), least=9)
    table.add("the same in the fastest setting", "≥ 9 ×", ratio(best(more, 0.999), best(hnswlib, 0.999)), least=9)
    if ours and hnswlib:
        table.add("build on one thread to hnswlib", "≥ 4 ×",
                  hnswlib[0]["build_cpu_s"] / min(row["build_cpu_s"] for row in ours), least=4)
    if ours and double:
        table.add("build, wall, two threads to one", "≥ 1.8 ×",
                  min(row["build_wall_s"] for row in ours) / double[0]["build_wall_s"], least=1.8)
    if ours:
        table.add("bytes a vector that a search touches", "≤ 850", ours[0]["searched_bytes_per_vector"], most=850,
                  form="{:.0f}")
    if more:
        table.add("bytes a vector in the fastest setting, as the process grows", "≤ 1,100", more[0]["bytes_per_vector"],
                  most=1100, form="{:.0f}")


def ratios_of_held(table):
    """The better of the default and the fastest setting, on queries nothing was tuned on."""
    rows = results("held")
    for recall, wanted in ((0.95, 4), (0.99, 6), (0.999, 9)):
        peers = {row["lib"] for row in rows} - {"preloop"} if recall < 0.999 else {"hnswlib"}
        theirs = max((best([row for row in rows if row["lib"] == lib], recall) or 0 for lib in peers), default=0)
        ours = best([row for row in rows if row["lib"] == "preloop"], recall)
        table.add(f"rows left out: queries/s at recall {recall} to {'the best peer' if recall < 0.999 else 'hnswlib'}",
                  f"≥ {wanted} ×", ratio(ours, theirs), least=wanted)


def ratios_of_clusters(table):
    rows = results("clusters")
    for dimension in sorted({row["dim"] for row in rows}):
        mine = [row for row in rows if row["dim"] == dimension]
        name = f"clustered {mine[0]['n']:,} x {dimension}"
        ours = [row for row in mine if row["lib"] == "preloop"]
        hnswlib = [row for row in mine if row["lib"] == "hnswlib"]
        for recall, wanted in ((0.95, 4), (0.99, 6)):
            theirs = max((best([row for row in mine if row["lib"] == lib], recall) or 0
                          for lib in {row["lib"] for row in mine} - {"preloop"}), default=0)
            table.add(f"{name}: queries/s at {recall} to the best peer", f"≥ {wanted} ×",
                      ratio(best(ours, recall), theirs), least=wanted)
        if ours and hnswlib:
            table.add(f"{name}: build to hnswlib", "≥ 4 ×",
                      hnswlib[0]["build_cpu_s"] / ours[0]["build_cpu_s"], least=4)


def ratios_of_filter(table):
    ours, theirs = chosen("filter", lib="preloop"), chosen("filter", lib="hnswlib")
    for share, walk, scan in ((0.01, 300, 3), (0.1, 10, 10)):
        mine = best([row for row in ours if row["filter"] == share], 0.99)
        peer = [row for row in theirs if row["filter"] == share]
        table.add(f"filter {share:.0%} to hnswlib's filtered search", f"≥ {walk} ×",
                  ratio(mine, best([row for row in peer if row["how"] == "filtered search"], 0.99)), least=walk)
        table.add(f"filter {share:.0%} to hnswlib's exact scan", f"≥ {scan} ×",
                  ratio(mine, best([row for row in peer if row["how"] != "filtered search"], 0.99)), least=scan)
    table.add("filter 50 %, queries/s at recall 0.99", "≥ 4,000",
              best([row for row in ours if row["filter"] == 0.5], 0.99), least=4000, form="{:,.0f}")


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
        table.add("snapshot: load to first answer, to hnswlib", "≤ 1/3",
                  ours[0]["load_and_search_s"] / peer[0]["load_and_search_s"], most=1 / 3)
        table.add("snapshot: save with fsync and rename, to hnswlib", "≤ 1.5 ×",
                  ours[0]["save_s"] / peer[0]["save_s"], most=1.5)


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
        table.add("encoder idle while changes wait, of the time it had work", "0", share, most=0.01, form="{:.2%}")
    for row in chosen("pipeline", benchmark="pipeline ratio"):
        table.add(f"end to end, wall, {row['than']} to ours", "≥ 5 ×", row["wall"], least=5)
        table.add(f"end to end, memory, ours to {row['than']}", "≤ 1/3", row["memory"], most=1 / 3)
    for row in chosen("polling", benchmark="polling ratio"):
        table.add("nothing changed: requests a project", "1", row["requests_per_project"], most=1.05, form="{:.3f}")
        table.add("nothing changed: CPU to PyGithub's", "≤ 0.1", row["cpu"], most=0.1, form="{:.3f}")


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


def ratios():
    table = Ratios()
    for part in (ratios_of_index, ratios_of_held, ratios_of_clusters, ratios_of_filter, ratios_of_changes, ratios_of_encoder,
                 ratios_of_pipeline, ratios_of_serve):
        part(table)
    return table


# ---------------------------------------------------------------------------------------- tables

def shown(value):
    return "never" if value is None else f"{value:,.0f}"


def table_of_index(part, **wanted):
    rows = [row for row in chosen(part, **wanted) if row.get("threads", 1) == 1]
    for row in rows:
        if row["lib"] == "preloop" and row["m"] != DEFAULT_LINKS:
            row["lib"] = f"preloop, m {row['m']}"
    if not rows:
        return []
    lines = ["| library | build CPU s | bytes a vector | queries/CPU s at recall 0.95 | 0.99 | 0.999 |",
             "| --- | --- | --- | --- | --- | --- |"]
    for library in dict.fromkeys(row["lib"] for row in rows):
        mine = [row for row in rows if row["lib"] == library]
        speeds = " | ".join(shown(best(mine, recall)) for recall in RECALLS)
        lines.append(f"| {library} | {mine[0]['build_cpu_s']:.1f} | {mine[0]['bytes_per_vector']} | {speeds} |")
    return lines


def table_of(part, columns):
    rows = results(part)
    names = [name for name in columns if any(name in row for row in rows)]
    if not names:
        return []

    def cell(value):
        return f"{value:.4g}" if isinstance(value, float) and value < 1000 else str(value)

    return ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)] + [
        "| " + " | ".join(cell(row.get(name, "")) for name in names) + " |" for row in rows]


def sections():
    yield "Search", table_of_index("index")
    yield "Search, rows left out", table_of_index("held")
    for dimension in sorted({row["dim"] for row in results("clusters")}):
        yield f"Clustered, {dimension} dimensions", table_of_index("clusters", dim=dimension)
    yield "Filters", table_of("filter", ("lib", "how", "filter", "ef", "recall_at_10", "queries_per_cpu_s", "p50_us"))
    yield "Deletion and insertion", table_of("churn", ("state", "ef", "recall_at_10", "change_cpu_s", "violations"))
    yield "All pairs", table_of("join", ("lib", "benchmark", "slack", "pairs", "recall", "cpu_s", "sgemm_cpu_s"))
    yield "Snapshots", table_of("snapshot", ("lib", "n", "save_s", "load_and_search_s"))
    yield "Encoder", table_of("encode", ("engine", "precision", "workers", "texts", "tokens", "texts_per_cpu_s",
                                         "cosine_mean", "cosine_worst"))
    yield "Tokenizer", table_of("tokenize", ("engine", "texts", "megabytes_per_cpu_s", "texts_per_cpu_s"))
    yield "Rules", table_of("cel", ("engine", "subject", "per_cpu_s"))
    measured = ("peer", "lib", "what", "issues", "comments", "passages", "texts", "wall_s", "cpu_s", "peak_mb",
                "requests", "embedding_s", "idle_with_backlog_s")
    yield "End to end", table_of("pipeline", measured)
    yield "Nothing changed", table_of("polling", measured)


def report(root, writing):
    """Prints all tables; with `writing`, puts the ratios and the drawing into the documents."""
    for name, lines in sections():
        if lines:
            print("\n".join([f"### {name}", ""] + lines) + "\n")
    table = ratios()
    print("\n".join(["### Ratios", ""] + table.table()))
    with (RESULTS / "ratios.jsonl").open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in table.rows)
    print(f"\nlines: {RESULTS.relative_to(root)}/*.jsonl")
    if writing and table.rows:
        write(root / "docs/benchmarks.md", table.table())
        draw(root / "docs/benchmarks.svg")


def write(path, lines):
    """Replaces what stands between the two marks of a document."""
    text = path.read_text()
    if BEGIN not in text or END not in text:
        raise SystemExit(f"{path} has no place for the ratios: {BEGIN} … {END}")
    machine = next((row["machine"] for row in results("index") + results("pipeline") if "machine" in row), "?")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    path.write_text(f"{before}{BEGIN}\n{machine}\n\n" + "\n".join(lines) + f"\n{END}{after}")
    print(f"written: {path.name}")


# --------------------------------------------------------------------------------------- drawing

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 760, 440, 70, 20, 150, 50
COLOURS = ("#c0392b", "#2c3e50", "#2980b9", "#27ae60", "#8e44ad", "#f39c12", "#16a085", "#7f8c8d")


def draw(path):
    """Recall against queries per CPU second, one line a library, speed logarithmic."""
    rows = [row for row in results("index") if row.get("threads", 1) == 1 and row["recall_at_10"] >= 0.9
            and (row["lib"] != "preloop" or row["m"] == DEFAULT_LINKS)]
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
    for number, library in enumerate(dict.fromkeys(row["lib"] for row in rows)):
        parts.append(curve([row for row in rows if row["lib"] == library], library, number, place))
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
    front, fastest = [], 0
    for row in sorted(rows, key=lambda row: -row["recall_at_10"]):
        if row["queries_per_cpu_s"] > fastest:
            front.append(row)
            fastest = row["queries_per_cpu_s"]
    points = " ".join("{:.1f},{:.1f}".format(*place(row["recall_at_10"], row["queries_per_cpu_s"])) for row in front)
    colour = COLOURS[number % len(COLOURS)]
    return (f'<polyline points="{points}" fill="none" stroke="{colour}" '
            f'stroke-width="{3 if library == "preloop" else 1.5}"/>'
            f'<text x="{WIDTH - RIGHT + 10}" y="{TOP + 16 + 18 * number}" fill="{colour}">{library}</text>')
