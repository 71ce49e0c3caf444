"""The tables of the last measurements, what was wanted and reached, and what README.md shows.

A table is of the processor that was measured last for its part; the one of what was wanted has a column for each.
"""

import re

import bench_drawing
import bench_store
from bench_ratios import (PARTS, RECALLS, best_peer, by_library, check_comparison, final_recall, is_ours, least_build, ratios,
                          speed_at)
from bench_results import KEPT, check_keeping, day_of, last_measured

# What a document's generated parts stand between; each has a name.
BLOCK = re.compile(r"<!-- scripts/bench writes (\w+) from here -->\n.*?<!-- to here -->", re.DOTALL)


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


def table_of(rows, columns):
    """The columns that some row has. A name with a point is of a member of a member: `idle_mb.RssAnon`."""
    def value_of(row, name):
        for piece in name.split("."):
            row = row.get(piece, "") if isinstance(row, dict) else ""
        return row

    names = [name for name in columns if any(value_of(row, name) != "" for row in rows)]
    rows = [row for row in rows if sum(value_of(row, name) != "" for name in names) > 1]
    if not rows:
        return []

    def cell(value):
        if isinstance(value, float):
            return f"{value:.4g}" if value < 1000 else f"{value:,.0f}"
        return f"{value:,}" if isinstance(value, int) else str(value)

    return ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)] + [
        "| " + " | ".join(cell(value_of(row, name)) for name in names) + " |" for row in rows]


def table_of_clusters(rows):
    lines = []
    for dimension in sorted({row["dim"] for row in rows}):
        mine = [row for row in rows if row["dim"] == dimension]
        lines += [f"{mine[0]['n']:,} x {dimension}:", ""] + table_of_index(mine) + [""]
    return lines


def table_of_encoder(every):
    rows = [row for row in every if row["benchmark"] == "encode"]
    if not rows:
        return []
    kinds = list(dict.fromkeys(row["texts"] for row in rows))
    cosines = {row["precision"]: row for row in every if row["benchmark"] == "precision"}
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
    for row in every:
        if row["benchmark"] == "encode-cold":
            lines += ["", f"The first query of a new process: {row['load_ms']:.0f} ms to load, "
                          f"{row['first_encode_ms']:.0f} ms to encode."]
    return lines


MEASURED = ("peer", "lib", "what", "issues", "comments", "passages", "texts", "wall_s", "cpu_s", "peak_mb", "requests",
            "embedding_s", "idle_with_backlog_s")

# Heading of each generated part, and what makes its table of its lines: a function, or columns.
BLOCKS = {
    "index": ("Search", table_of_index),
    "held": ("Search, rows left out", table_of_index),
    "clusters": ("Clustered sets", table_of_clusters),
    "filter": ("Filters", ("lib", "how", "filter", "ef", "recall_at_10", "queries_per_cpu_s", "p50_us", "p99_us")),
    "churn": ("Deletion and insertion", (
        "state", "ef", "recall_at_10", "queries_per_cpu_s", "change_cpu_s", "violations")),
    "join": ("All pairs", (
        "lib", "benchmark", "slack", "pairs", "foreign_pairs", "recall", "cpu_s", "sgemm_cpu_s")),
    "snapshot": ("Snapshots", (
        "lib", "n", "first_save_s", "calibration_s", "save_s", "save_worst_s", "save_cpu_s", "load_and_search_s",
        "load_and_search_worst_s", "load_and_search_cpu_s")),
    "encode": ("Encoder", table_of_encoder),
    "tokenize": ("Tokenizer", (
        "engine", "threads", "texts", "bytes", "tokens", "megabytes_per_cpu_s", "megabytes_per_s", "texts_per_cpu_s",
        "p50_us", "p99_us")),
    "cel": ("Rules", ("engine", "subject", "per_cpu_s")),
    "pipeline": ("End to end", MEASURED),
    "polling": ("Nothing changed", MEASURED),
    "serve": ("Server", (
        "engine", "what", "clients", "calls_per_second", "cpu_ms_per_call", "p50_ms", "p99_ms", "listening_s",
        "first_search_s", "imports_s", "idle_mb.VmRSS", "idle_mb.RssAnon", "with_model_mb.VmRSS", "with_model_mb.RssAnon")),
    "proxy": ("Proxy", (
        "upstream", "engine", "what", "calls", "p50_ms", "p99_ms", "added_p50_ms", "cpu_ms_per_call", "behind_answer_p50_ms",
        "behind_answer_p99_ms", "held", "grown_mb", "grown_anonymous_mb")),
    "beside": ("Searches beside a writer", (
        "writer", "changes", "changes_per_s", "searches", "p50_us", "p99_us", "max_us", "violations")),
    "recall": ("Recall that is asked for", (
        "filter", "wanted_recall", "recall_at_10", "recall_at_200", "queries_per_cpu_s", "p50_us", "p99_us",
        "calibration_cpu_s")),
    **bench_store.TABLES,
}


def table_of_part(part, rows):
    _, form = BLOCKS[part]
    # Lines that only tell what was prepared have another subject.
    own = [row for row in rows if not row.get("benchmark", "").endswith("_fill")]
    return form(own) if callable(form) else table_of(own, form)


def stamp(rows):
    """Where, when and on what some lines were measured, and the versions of their peers."""
    def all_of(name, pieces=lambda value: [value]):
        values = dict.fromkeys(piece for row in rows if row.get(name) for piece in pieces(row[name]))
        return ", ".join(values)

    what = [all_of("machine"), all_of("unix_time", lambda time: [day_of(time)]), all_of("data"),
            all_of("version", lambda text: text.split(", "))]
    return "; ".join(part for part in what if part) + "."


# ------------------------------------------------------------------------------ wanted and reached

def stamp_of_ratios(lines, rows):
    """A processor, the days it was measured on, and the versions of all peers there."""
    parts = dict.fromkeys(row["part"] for row in rows)
    every = [row for part in parts for row in lines.results(part)]
    left = [row for row in rows if "date" in row]
    days = {day_of(row["unix_time"]) for row in every if row.get("unix_time")} | {row["date"] for row in left}
    versions = dict.fromkeys(piece for row in every + left if row.get("version") for piece in row["version"].split(", "))
    return "; ".join(filter(None, [lines.name(), ", ".join(sorted(days)), ", ".join(versions)]))


def cell_of_ratio(row):
    """What was reached, with what else was found, and whether it is what was wanted."""
    if row is None:
        return "–"
    detail = f" ({row['detail']})" if row["detail"] != "" else ""
    return f"{row['reached']}{detail}, {'yes' if row['holds'] else '**no**'}"


def table_of_ratios(found):
    """One column a processor, of pairs of its lines and its rows; a row of each thing that any of them was measured for."""
    by_what = [{(row["what"], row["wanted"]): row for row in rows} for _, rows in found]
    keys = [(part, key) for part in PARTS for rows in sorted(by_what, key=len, reverse=True)
            for key, row in rows.items() if row["part"] == part]
    names = [lines.name() for lines, _ in found]
    return ["| what | wanted | " + " | ".join(names) + " |", "| --- | --- |" + " --- |" * len(names)] + [
        "| " + " | ".join((*key, *(cell_of_ratio(rows.get(key)) for rows in by_what))) + " |"
        for _, key in dict.fromkeys(keys)]


def block_of_ratios(found):
    stamps = [f"- {stamp_of_ratios(lines, rows)}." for lines, rows in found]
    counts = [f"  {sum(row['holds'] for row in rows)} of {len(rows)} reached." for _, rows in found]
    return [line for pair in zip(stamps, counts) for line in pair] + [""] + table_of_ratios(found)


# --------------------------------------------------------------------------------------- summary

def summary_of_index(lines):
    libraries = by_library(lines.results("index"))
    peers = [best_peer({name: rows for name, rows in libraries.items() if not is_ours(name)}, recall) for recall in RECALLS]
    for library in filter(is_ours, libraries):
        mine = libraries[library]
        yield (f"vector index, {mine[0]['n']:,} of dimension {mine[0]['dim']}, {library}",
               "at recall@10 0.95 / 0.99 / 0.999 " + " / ".join(shown(speed_at(mine, recall)) for recall in RECALLS)
               + " queries a CPU second, the best peer " + " / ".join(shown(peer and peer[1]) for peer in peers)
               + f"; built in {least_build(mine):.1f} CPU s"
               + (f", hnswlib in {least_build(libraries['hnswlib']):.1f}" if "hnswlib" in libraries else "")
               + f"; {max(row['bytes_per_vector'] for row in mine):,} bytes a vector")


def summary_of_encoder(lines):
    for engine, precision in (("preloop", "int8"), ("preloop", "float32"), ("ctranslate2", "int8")):
        rows = {row["texts"]: row for row in lines.chosen("encode", benchmark="encode", engine=engine, precision=precision)
                if row.get("workers", 1) == 1}
        if {"titles", "bodies"} <= rows.keys():
            yield (f"encoder, one core, {precision}, {engine}", f"{rows['titles']['texts_per_cpu_s']:,.0f} titles of "
                   f"{rows['titles']['tokens']} tokens/s, {rows['bodies']['texts_per_cpu_s']:,.0f} bodies of "
                   f"{rows['bodies']['tokens']}")


def summary_of_rules(lines):
    rates = {row["engine"]: row["per_cpu_s"] for row in lines.chosen("cel", subject="policy")}
    if "preloop" in rates and len(rates) > 1:
        yield ("ten rules (CEL) on a call, a CPU second",
               ", ".join(f"{engine} {rate:,.0f}" for engine, rate in rates.items()))


SUMMARY = {"index": summary_of_index, "encode": summary_of_encoder, "cel": summary_of_rules}


def table_of_summary(processors, found):
    """The few rows the README shows, each of the processor that was measured last for its part."""
    def rows_of(lines, part):
        left = [(row["what"], row["figure"]) for row in lines.made["summary"] if row["part"] == part]
        return list(SUMMARY[part](lines)) or left

    table = ["| what | figure | measured on | command |", "| --- | --- | --- | --- |"]
    for part in SUMMARY:
        if lines := last_measured(processors, part, lambda lines: rows_of(lines, part)):
            table += [f"| {what} | {figure} | {lines.name()}, {lines.day(part)} | `scripts/bench {part}` |"
                      for what, figure in rows_of(lines, part)]
    counts = "; ".join(f"{lines.name()}: {sum(row['holds'] for row in rows)} of {len(rows)}" for lines, rows in found)
    return table + [f"| of all that was wanted there, reached | {counts}; [docs/benchmarks.md](docs/benchmarks.md) has "
                    "each, and why the others are missed | | `scripts/bench` |"]


# --------------------------------------------------------------------------------------- writing

def report(root, processors, writing):
    """Prints all tables; with `writing`, puts them and the drawing into the documents."""
    check_comparison()
    check_keeping()
    tables, headings = {}, {part: heading for part, (heading, _) in BLOCKS.items()}
    for part in BLOCKS:
        lines = last_measured(processors, part, lambda lines: lines.results(part))
        if lines and (table := table_of_part(part, lines.results(part))):
            tables[part] = [stamp(lines.results(part)), ""] + table
            print("\n".join([f"### {headings[part]}", ""] + tables[part]) + "\n")
    found = [(lines, rows) for lines in processors if (rows := ratios(lines))]
    if not found:
        return
    tables["ratios"] = block_of_ratios(found)
    print("\n".join(["### Wanted and reached", ""] + tables["ratios"]))
    if writing:
        write(root / "docs/benchmarks.md", tables, headings)
        write(root / "README.md", {"summary": table_of_summary(processors, found)})
        lines = last_measured(processors, "index", lambda lines: lines.results("index"))
        if lines:
            bench_drawing.draw(root / "docs/benchmarks.svg", lines.results("index"))
        print(f"lines: {KEPT.relative_to(root)}/*/*.jsonl")


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
