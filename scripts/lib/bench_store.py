"""What is wanted of the store, of replicas, and of searches that others disturb; bench_report.py has the other parts."""

from bench_results import ratio

# Writes a second that followers are measured at; fewer are not what is wanted of them.
FOLLOWED_RATE = 200
# What docs/scaling.md reckons with: the index, its table of keys, the pages of both.
REPLICA_BYTES = 1_000
# What starts is asked again after so long by those who watch it (systemd, Kubernetes).
REPLICA_SECONDS = 10

# Heading and columns of each part's table.
TABLES = {
    "store": ("Bulk writes", ("engine", "operation", "rows", "seconds", "rows_per_second")),
    "backends": ("Memory and pgvector", ("filter", "n", "queries", "overlap_vector", "overlap_hybrid") + tuple(
        f"{what}_{share}_ms" for what in ("bare", "bare_200", "bare_rows", "words", "pgvector", "memory")
        for share in ("p50", "p99"))),
    "ladder": ("Steps of the ladder", (
        "engine", "what", "table", "rows", "bytes", "index_bytes", "at_once", "searches_per_second", "p50_ms", "p99_ms",
        "issues", "comments", "wall_s", "issues_per_s", "requests", "peak_mb")),
    "followers": ("Followers", (
        "engine", "followers", "n", "writes_per_second", "p50_ms", "p99_ms", "p99_ms_of_the_slowest", "maximum_ms")),
    "replica": ("A replica", (
        "n", "open_seconds", "feed_rows", "ready_seconds", "resident_before_mb", "resident_mb", "searches_per_second")),
    "wake": ("Wake-up", ("engine", "commits", "p50_ms", "p99_ms", "maximum_ms")),
}


def ratios_of_beside(table):
    """Searches beside a writer."""
    alone = table.chosen("beside", writer="none")
    for row in table.results("beside"):
        if alone and row["writer"] in ("removal", "insertion", "update", "build"):
            # Two threads on two processors that the host shares: some of it is waiting for a processor.
            table.add(f"searches beside {row['writer']}, p99 to that of searches alone", "≤ 2 ×",
                      ratio(row["p99_us"], alone[0]["p99_us"]), most=2)
    for row in table.chosen("beside", writer="invariants"):
        table.add("searches beside writers: broken invariants afterwards", "0", row["violations"], most=0, form="{:.0f}")


def ratios_of_recall(table):
    """What is found when a recall is asked for."""
    for row in table.results("recall"):
        who = "all rows" if row["filter"] == 1 else f"a filter of {row['filter']:.0%}"
        # Of 1,000 queries for ten rows a share near 0.9 has a standard error of 0.003.
        hits = 10 if "recall_at_10" in row else 200
        table.add(f"recall {row['wanted_recall']} asked for, {hits} hits, {who}: recall found",
                  f"≥ {row['wanted_recall'] - 0.005:.3f}", row[f"recall_at_{hits}"], least=row["wanted_recall"] - 0.005,
                  form="{:.4f}")


def ratios_of_writes(table):
    """Bulk writes: ours on either engine beside what writes into the same tables."""
    def rate(engine, operation):
        rows = [row for row in table.chosen("store", operation=operation) if row["engine"].startswith(engine)]
        return rows[-1]["rows_per_second"] if rows else None

    for operation in ("insert", "update"):
        table.add(f"PostgreSQL, issues, {operation}: rows/s to psycopg's executemany with ON CONFLICT", "≥ 5 ×",
                  ratio(rate("postgres", operation), rate("psycopg", operation)), least=5)
        table.add(f"PostgreSQL, issues, {operation}: rows/s to COPY into a table without indexes", "≥ 0.4 ×",
                  ratio(rate("postgres", operation), rate("psycopg", "copy into an unindexed table")), least=0.4)
        table.add(f"SQLite, issues, {operation}: rows/s to sqlite3's executemany", "≥ 1.5 ×",
                  ratio(rate("sqlite", operation), rate("python sqlite3", operation)), least=1.5)


def ratios_of_backends(table):
    """Memory and pgvector on the same questions; the bare query goes the faster of its two ways."""
    for row in table.chosen("backends", benchmark="backends"):
        name = "no filter" if row["filter"] == "none" else f"a filter of {row['filter'].replace('%', ' %')}"
        name = f"{row['queries']:,} questions, {row['n']:,} issues, {name}"
        bare = min(row[each] for each in ("bare_p99_ms", "bare_rows_p99_ms") if each in row)
        for how, overlap in (("vectors", row["overlap_vector"]), ("hybrid", row["overlap_hybrid"])):
            table.add(f"{name}: {how}, ten best of pgvector among those of memory", "≥ 0.98", overlap, least=0.98,
                      form="{:.4f}")
        table.add(f"{name}: hybrid p99 through pgvector, to pgvector's bare query", "≤ 2 ×",
                  ratio(row["pgvector_p99_ms"], bare), most=2)
        table.add(f"{name}: hybrid p99 in memory, to pgvector's bare query", "< 1 ×",
                  ratio(row["memory_p99_ms"], bare), most=1)


def ratios_of_followers(table):
    """How late followers are."""
    for row in table.chosen("followers", benchmark="followers"):
        table.add(f"{row['followers']} followers at {FOLLOWED_RATE} writes/s: p99 until the slowest has a vector, ms",
                  "≤ 250", row["p99_ms_of_the_slowest"], most=250, form="{:.1f}",
                  provided=row["writes_per_second"] >= 0.98 * FOLLOWED_RATE,
                  detail=f"{row['writes_per_second']:.0f} writes/s")


def ratios_of_replica(table):
    """What a replica holds, and how soon it is ready."""
    for row in table.chosen("replica", benchmark="replica"):
        table.add(f"a replica with {row['n']:,} vectors: bytes a vector by which it grows", f"≤ {REPLICA_BYTES:,}",
                  (row["resident_mb"] - row["resident_before_mb"]) * 1e6 / row["n"], most=REPLICA_BYTES, form="{:.0f}")
        table.add(f"a replica with {row['n']:,} vectors: ready from its snapshot and {row['feed_rows']:,} rows of the "
                  "feed, s", f"≤ {REPLICA_SECONDS}", row["ready_seconds"], most=REPLICA_SECONDS, form="{:.2f}")


def ratios_of_wake(table):
    """How soon a commit is known."""
    for row in table.results("wake"):
        table.add(f"a waiting process knows of a commit, p99 of {row['commits']:,}, ms", "≤ 50", row["p99_ms"], most=50,
                  form="{:.2f}")
