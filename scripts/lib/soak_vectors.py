"""The copies of the vectors: what `preloop doctor --vectors` makes of them, an index of them in the database from the
beginning on, and whether it leads to every row."""

import json
import pathlib

# Of what doctor looks at, what has to be in order and not only usable.
COPIES = ("database", "pgvector", "snapshot", "vectors in pgvector", "vectors in the snapshot", "words index")
# How rows of the mirror are spoiled, by the fault that has to be found.
SPOILING = {
    "missing": "DELETE FROM passage_vectors WHERE passage_id = {first}",
    "stale": "UPDATE passage_vectors SET revision = revision - 1 WHERE passage_id = {first}",
    "different": "UPDATE passage_vectors SET vector = (SELECT vector FROM passage_vectors WHERE passage_id = {last}) "
                 "WHERE passage_id = {first}",
    "surplus": "INSERT INTO passage_vectors SELECT account_id, passage_id + 1000000, model_id, issue_id, revision, dimension, "
               "vector FROM passage_vectors WHERE passage_id = {first}",
}


def dimension(home):
    """How many numbers a vector of the installation's model has."""
    model = pathlib.Path(home.environment["PRELOOP_EMBEDDING_MODEL"])
    return json.loads((model / "1_Pooling/config.json").read_text())["word_embedding_dimension"]


def searches_database(home):
    return home.environment.get("PRELOOP_VECTOR_BACKEND") == "pgvector"


def make_index(home):
    """The mirror and its HNSW index while there are no rows: a scan makes it of more rows than the corpora have."""
    home.run("preloop", "doctor", "--vectors", "--repair", env={**home.environment, "PRELOOP_VECTOR_BACKEND": "memory"})
    length = dimension(home)
    # As the programs make it.
    home.postgres.sql(
        f"CREATE INDEX passage_vectors_hnsw_{length} ON passage_vectors "
        f"USING hnsw ((vector::halfvec({length})) halfvec_ip_ops) WITH (m = 16, ef_construction = 64) "
        f"WHERE dimension = {length}", home.database)


def faults(home, windows):
    """What is wrong with the copies of so many vectors, the mirror on PostgreSQL and the snapshot; empty when nothing is."""
    done = home.run("preloop", "doctor", "--vectors", "--json", codes=(0, 1))
    report = json.loads(done.stdout or b"{}")
    found = [f"{each['check']}: {each['detail']}" for each in report.get("checks", [])
             if each["status"] in ("broken", "missing") or each["status"] != "ok" and each["check"] in COPIES]
    vectors = report.get("vectors") or {}
    if home.database:
        found += unlike("mirror", vectors.get("mirror"), windows, "rows")
    if not searches_database(home):
        found += unlike("snapshot", vectors.get("snapshot"), windows, "vectors")
    elif (walked := rows_by_index(home)) != windows:
        found.append(f"the index in the database leads to {walked} of {windows} rows")
    if done.returncode != 0 and not found:
        found.append(f"doctor ended with {done.returncode}: {done.stderr.decode(errors='replace')[-300:]}")
    return found


def unlike(name, copy, windows, counted):
    """What a copy of the vectors lacks, by doctor's own counts: that it was looked at at all counts too."""
    if copy is None:
        return [f"the {name} was not compared"]
    is_sound = not any(copy["faults"].values()) and not copy.get("graph_faults")
    # A snapshot is as old as its last saving; what changed since is read from the store, and `index verify` did so.
    is_whole = copy.get("waiting", 0) > 0 or copy["windows"] == copy[counted] == windows
    return [] if is_sound and is_whole else [f"the {name} of {windows} windows: {json.dumps(copy)}"]


def rows_by_index(home):
    """How many rows a walk through the whole HNSW index comes by."""
    length = dimension(home)
    settings = {"enable_seqscan": "off", "enable_bitmapscan": "off", "enable_sort": "off", "work_mem": "'64MB'",
                "hnsw.iterative_scan": "relaxed_order", "hnsw.max_scan_tuples": "2147483647",
                "hnsw.scan_mem_multiplier": "100"}
    # The extension knows its settings once its library is there.
    statement = "LOAD 'vector'; " + "".join(f"SET {name} = {value}; " for name, value in settings.items())
    walk = (f"SELECT passage_id FROM passage_vectors WHERE dimension = {length} "
            f"ORDER BY (vector::halfvec({length})) <#> (SELECT vector::halfvec({length}) FROM passage_vectors LIMIT 1)")
    if f"passage_vectors_hnsw_{length}" not in home.postgres.sql(f"{statement}EXPLAIN {walk}", home.database):
        return None
    return int(home.postgres.sql(f"{statement}SELECT count(DISTINCT passage_id) FROM ({walk}) AS found", home.database))


def spoil(home, soak, name):
    """Shows that the check can fail: each way in which a row of the mirror can be wrong is found, and mended."""
    first, last = home.postgres.sql(
        "SELECT min(passage_id), max(passage_id) FROM passage_vectors", home.database).split("|")
    for fault, statement in SPOILING.items():
        home.postgres.sql(statement.format(first=first, last=last), home.database)
        done = home.run("preloop", "doctor", "--vectors", "--json", codes=(0, 1))
        counts = json.loads(done.stdout)["vectors"]["mirror"]["faults"]
        soak.check(f"{name}: a row of the mirror that is {fault} is found",
                   done.returncode == 1 and counts == {**dict.fromkeys(SPOILING, 0), fault: 1}, json.dumps(counts))
        # What is counted before the repair may end it with 1 where the database is searched; the next fault is found alone.
        home.run("preloop", "doctor", "--vectors", "--repair", codes=(0, 1))
    soak.check(f"{name}: what was spoiled is mended", soak.is_indexed(home))
