#!/usr/bin/env python3
"""Bulk writes: preloop-bench store beside psycopg and sqlite3, same rows, same schema, one run.

Use: scripts/lib/with-postgres PYTHON benchmarks/peers/store.py PRELOOP-BENCH [ROWS [PAGE]]
(psycopg is installed in PYTHON). Prints one JSON line a measurement, then the ratios.

psycopg and sqlite3 write into the table that the program made, with all its indexes, in one
transaction; COPY writes into a table without any.
"""

import json
import os
import pathlib
import random
import sqlite3
import subprocess
import sys
import tempfile
import time

import psycopg
from psycopg.types.json import Jsonb

import machine

COLUMNS = ("account_id id project_id external_id kind number key title body source state status "
           "labels author assignees priority type created_at updated_at url comment_count "
           "comments_due content_hash revision").split()
CHANGED = ("number key title body source state status labels author assignees priority type "
           "created_at updated_at url comment_count comments_due content_hash revision").split()


def issues(count):
    """Rows of about 1 KB, as issues of real trackers are on the average."""
    words = [f"word{number}" for number in range(5000)]
    choose = random.Random(7)
    for number in range(1, count + 1):
        yield {
            "external_id": str(900_000_000 + number), "number": number, "key": f"o/p#{number}",
            "title": " ".join(choose.choices(words, k=8)),
            "body": " ".join(choose.choices(words, k=100)),
            "labels": choose.choices(words, k=2), "author": choose.choice(words),
            "created_at": 1_600_000_000_000 + number, "updated_at": 1_700_000_000_000 + number,
            "url": f"https://example.com/o/p/issues/{number}",
        }


def upsert(mark):
    values = ", ".join([mark] * len(COLUMNS))
    sets = ", ".join(f"{name} = excluded.{name}" for name in CHANGED)
    return (f"INSERT INTO issues ({', '.join(COLUMNS)}) VALUES ({values}) "
            f"ON CONFLICT (account_id, project_id, kind, external_id) DO UPDATE SET {sets}")


def row(issue, offset, wrap, moment):
    number = issue["number"]
    title = issue["title"] + (" (edited)" if offset else "")
    return (1, number, 1, issue["external_id"], "issue", number, issue["key"], title,
            issue["body"], None, "open", None, wrap(issue["labels"]), issue["author"], wrap([]),
            None, None, moment(issue["created_at"]), moment(issue["updated_at"]), issue["url"],
            None, False, number.to_bytes(32, "big"), number + offset)


def timed(engine, operation, count, work):
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    rate = count / seconds
    print(json.dumps({"subject": "store", "engine": engine, "operation": operation, **machine.stamp("psycopg"),
                      "rows": count, "seconds": round(seconds, 3),
                      "rows_per_second": round(rate)}), flush=True)
    return rate


def ours(bench, database, path, page):
    output = subprocess.run([bench, "store", database, path, page], check=True,
                            capture_output=True, text=True).stdout
    print(output, end="", flush=True)
    lines = [json.loads(line) for line in output.splitlines()]
    return {line["operation"]: line["rows_per_second"] for line in lines}


def postgres(bench, rows, path, page, address):
    import datetime
    moment = lambda ms: datetime.datetime.fromtimestamp(ms / 1000, datetime.timezone.utc)
    schemas = [f"bench_{os.getpid()}_{name}" for name in ("ours", "peer")]
    with psycopg.connect(address, autocommit=True) as connection:
        for schema in schemas:
            connection.execute(f"CREATE SCHEMA {schema}")
    within = lambda schema: f"{address}&options=-csearch_path%3D{schema}"
    # An empty file makes the tables and writes nothing.
    empty = path + ".empty"
    pathlib.Path(empty).touch()
    subprocess.run([bench, "store", within(schemas[1]), empty, page], check=True,
                   capture_output=True)
    first = [row(issue, 0, Jsonb, moment) for issue in rows]
    second = [row(issue, len(rows), Jsonb, moment) for issue in rows]
    rates = {}
    with psycopg.connect(within(schemas[1])) as connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM issues")
        connection.commit()

        def many(data):
            cursor.executemany(upsert("%s"), data)
            connection.commit()

        def copy():
            with cursor.copy(f"COPY raw ({', '.join(COLUMNS)}) FROM STDIN") as stream:
                for item in first:
                    stream.write_row(item)
            connection.commit()

        cursor.execute("CREATE TABLE raw (LIKE issues)")
        connection.commit()
        rates["copy"] = timed("psycopg", "copy into an unindexed table", len(rows), copy)
        rates["insert"] = timed("psycopg", "insert", len(rows), lambda: many(first))
        rates["update"] = timed("psycopg", "update", len(rows), lambda: many(second))
    found = ours(bench, within(schemas[0]), path, page)
    with psycopg.connect(address, autocommit=True) as connection:
        for schema in schemas:
            connection.execute(f"DROP SCHEMA {schema} CASCADE")
    for operation in ("insert", "update"):
        print(f"postgres {operation}: {found[operation] / rates[operation]:.2f} x executemany, "
              f"{found[operation] / rates['copy']:.2f} x COPY")


def sqlite(bench, rows, path, page, folder):
    empty = path + ".empty"
    database = f"{folder}/peer.db"
    subprocess.run([bench, "store", database, empty, page], check=True, capture_output=True)
    texts = lambda value: json.dumps(value)
    connection = sqlite3.connect(database)
    # As the program's own connection is set.
    connection.execute("PRAGMA synchronous = FULL")
    rates = {}
    for operation, offset in (("insert", 0), ("update", len(rows))):
        data = [row(issue, offset, texts, int) for issue in rows]

        def many():
            with connection:
                connection.executemany(upsert("?"), data)

        rates[operation] = timed("python sqlite3", operation, len(rows), many)
    connection.close()
    found = ours(bench, f"{folder}/ours.db", path, page)
    for operation in ("insert", "update"):
        print(f"sqlite {operation}: {found[operation] / rates[operation]:.2f} x executemany")


def main():
    bench = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 20_000
    page = sys.argv[3] if len(sys.argv) > 3 else "1000"
    rows = list(issues(count))
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/issues.jsonl"
        with open(path, "w") as file:
            for issue in rows:
                file.write(json.dumps(issue) + "\n")
        pathlib.Path(path + ".empty").touch()
        postgres(bench, rows, path, page, os.environ["PRELOOP_TEST_DATABASE_URL"])
        sqlite(bench, rows, path, page, folder)


if __name__ == "__main__":
    main()
