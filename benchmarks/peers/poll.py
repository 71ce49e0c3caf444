#!/usr/bin/env python3
"""Asks for what has changed in each repository by PyGithub: what a scan with nothing to do is compared with.

usage: poll.py --api URL --repository OWNER/NAME ... [--since 2020-01-01T00:00:00]
needs: pip install PyGithub
Prints one JSON line: repositories, issues seen, wall and CPU seconds.
"""
import argparse
import datetime
import json
import os
import resource
import time

started = time.perf_counter()
from github import Auth, Github  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("--api", required=True)
parser.add_argument("--repository", nargs="+", required=True)
parser.add_argument("--since", default="2038-01-01T00:00:00")
options = parser.parse_args()

since = datetime.datetime.fromisoformat(options.since).replace(tzinfo=datetime.timezone.utc)
client = Github(base_url=options.api, auth=Auth.Token(os.environ.get("GITHUB_TOKEN", "none")),
                per_page=100)
seen = 0
for name in options.repository:
    repository = client.get_repo(name, lazy=True)
    seen += sum(1 for _ in repository.get_issues(state="all", sort="updated", direction="desc", since=since))
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({
    "peer": "PyGithub", "repositories": len(options.repository), "issues": seen,
    "wall_s": round(time.perf_counter() - started, 2),
    "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
}))
