"""Lines of the last measurements: .build-release/bench/PART.jsonl."""

import json
import pathlib

RESULTS = pathlib.Path(__file__).resolve().parents[2] / ".build-release/bench"


def results(part):
    path = RESULTS / f"{part}.jsonl"
    return [json.loads(line) for line in path.open()] if path.exists() else []


def chosen(part, **wanted):
    return [row for row in results(part) if all(row.get(key) == value for key, value in wanted.items())]


def ratio(mine, theirs):
    return mine / theirs if mine is not None and theirs else None
