#!/usr/bin/env python3
"""The rules of docs/ARCHITECTURE.md and the style that no compiler checks.

Prints one line a violation and exits 1 when there is one. Before it looks at the tree, each rule
must find what is wrong with a sample that breaks it, so that none passes by looking at nothing.
"""

import pathlib
import re
import statistics
import subprocess
import sys

# What each target may import, besides itself: the layers of docs/ARCHITECTURE.md.
SYSTEM = {"Glibc", "Synchronization", "Dispatch", "Swift", "_Concurrency"}
ALLOWED = {
    "Domain": set(),
    "Firewall": {"CYaml", "Crypto", "Domain"},
    "MCP": {"Domain"},
    "LinearAlgebra": {"CKernels"},
    "HTTPClient": {"CCurl"},
    "VectorIndex": {"LinearAlgebra"},
    "Embeddings": {"Domain", "LinearAlgebra", "HTTPClient", "Crypto"},
    "Trackers": {"Domain", "HTTPClient", "Crypto", "CryptoExtras"},
    "Store": {"CPostgres", "Domain", "GRDB", "GRDBSQLite", "Crypto"},
    "Sync": {"Domain", "Trackers", "Store", "Crypto"},
    "Search": {"Domain", "Store", "Embeddings", "VectorIndex", "Crypto"},
    "Gateway": {"Domain", "Firewall", "MCP", "Store", "Search", "Trackers", "HTTPClient", "Crypto"},
    "API": {"Domain", "Firewall", "Gateway", "MCP", "Search", "Store", "Sync", "Trackers", "Crypto", "CryptoExtras",
            "HTTPTypes", "HummingbirdCore", "HummingbirdHTTP2", "Logging", "NIOCore", "NIOHTTPTypes",
            "NIOPosix", "NIOSSL"},
    "Bootstrap": {"Domain", "Embeddings", "Firewall", "Gateway", "HTTPClient", "MCP", "Search", "Store", "Sync",
                  "Trackers", "VectorIndex", "LinearAlgebra", "ArgumentParser"},
    "preloop": {"API", "Bootstrap", "Domain", "Embeddings", "Firewall", "Gateway", "HTTPClient",
                "MCP", "Search", "Store", "Sync", "Trackers", "VectorIndex", "LinearAlgebra",
                "ArgumentParser", "Logging"},
    "preloop-sync": {"Bootstrap", "Domain", "Embeddings", "Search", "Store", "Sync", "Trackers",
                     "ArgumentParser"},
}
# Foundation is slow to start and treacherous with text; these may use it for files and processes.
FOUNDATION = {"Embeddings", "Store", "Bootstrap", "preloop", "preloop-sync"}
# Each C library has one importing file, or one small family of files with this prefix.
C_IMPORTERS = {"CCurl": "Curl", "CKernels": "", "CPostgres": "Postgres", "CYaml": "YAML"}

AT_THE_TOP = {".gitignore", ".swift-format", "CHANGELOG.md", "LICENSE", "Package.swift", "README.md"}
STRAY_ENDINGS = {".log", ".db", ".pid", ".orig", ".rej", ".profraw"}

FILE_LIMIT, FUNCTION_LIMIT, LINE_LIMIT = 600, 70, 100
UNCHECKED_LIMIT = 3

IMPORT = re.compile(r"^\s*(?:@\w+(?:\(\w+\))?\s+)*(?:(?:package|internal|private|public)\s+)?"
                    r"import\s+(?:(?:struct|class|enum|func|protocol|var|let|typealias)\s+)?(\w+)")
BANNED = [
    (re.compile(r"\btry!"), "`try!`: throw or handle"),
    (re.compile(r"\bas!\s"), "`as!`: cast with `as?`"),
    (re.compile(r"\bfatalError\("), "`fatalError`: throw, or `precondition` for programmer errors"),
    (re.compile(r"^\s*Task\s*(?:\.detached)?\s*(?:\([^)]*\)\s*)?\{"),
     "bare `Task {}`: use a task group"),
    (re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b"), "no unfinished business in the tree"),
]
DECLARATION = re.compile(
    r"^\s*(?:@\w+(?:\([^)]*\))?\s+)*package\s+(?:private\(set\)\s+)?(?:final\s+)?(?:static\s+)?"
    r"(?:indirect\s+)?(?:nonisolated\s+)?(?:mutating\s+)?(?:convenience\s+)?"
    r"(?:struct|class|enum|actor|protocol|func|subscript)\b")
FUNCTION = re.compile(r"^(\s*)(?:@\w+(?:\([^)]*\))?\s+)*(?:[\w()]+\s+)*"
                      r"(?:func\s+\S+|init[?(<]|subscript\b)")


def check_imports(target, name, lines):
    allowed = ALLOWED.get(target, set()) | SYSTEM | {target}
    if target in FOUNDATION:
        allowed |= {"Foundation", "FoundationEssentials"}
    for number, line in enumerate(lines, 1):
        match = IMPORT.match(line)
        if not match:
            continue
        module = match.group(1)
        if module not in allowed:
            yield number, f"{target} must not import {module} (docs/ARCHITECTURE.md)"
        elif module in C_IMPORTERS and not name.startswith(C_IMPORTERS[module]):
            yield number, f"{module} is imported only by {C_IMPORTERS[module]}*.swift"


def check_text(lines, in_sources):
    if len(lines) > FILE_LIMIT:
        yield len(lines), f"{len(lines)} lines; {FILE_LIMIT} is the most"
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_LIMIT:
            yield number, f"{len(line)} columns; {LINE_LIMIT} is the most"
        if in_sources:
            code = line.split("//")[0]
            for pattern, message in BANNED:
                if pattern.search(line if "unfinished" in message else code):
                    yield number, message


def check_documentation(lines):
    for number, line in enumerate(lines, 1):
        if not DECLARATION.match(line):
            continue
        above = number - 2
        while above >= 0 and (lines[above].strip().startswith("@") or lines[above].strip() == ")"):
            above -= 1
        if above < 0 or not lines[above].strip().startswith("///"):
            yield number, "a package declaration without a doc comment"


def functions(lines):
    """Yields (line number, length) of each function with a body, by its brace's indentation."""
    for number, line in enumerate(lines, 1):
        match = FUNCTION.match(line)
        if not match or line.strip().startswith("//"):
            continue
        indent = match.group(1)
        if line.rstrip().endswith("}") and line.count("{") == line.count("}"):
            yield number, 1
            continue
        for end in range(number, len(lines)):
            if lines[end].startswith(indent + "}") and lines[end].strip()[0] == "}":
                opened = any("{" in each for each in lines[number - 1:end])
                if opened:
                    yield number, end - number + 2
                break
            if lines[end].strip() and not lines[end].startswith(indent):
                break
            if lines[end].startswith(indent) and FUNCTION.match(lines[end]) \
                    and FUNCTION.match(lines[end]).group(1) == indent:
                break


def check_functions(lines):
    for number, length in functions(lines):
        if length > FUNCTION_LIMIT:
            yield number, f"a function of {length} lines; {FUNCTION_LIMIT} is the most"


def unchecked_lines(lines):
    """Yields the number of each line of code that takes sendability on trust."""
    for number, line in enumerate(lines, 1):
        code = line.split("//")[0]
        if "@unchecked Sendable" in code or "nonisolated(unsafe)" in code:
            yield number


def check_place(path):
    """What runs leave behind is no part of the project, and at the top lies what a newcomer looks for there."""
    if path.suffix in STRAY_ENDINGS:
        yield 1, "what a run left behind"
    elif len(path.parts) == 1 and path.name not in AT_THE_TOP:
        yield 1, "nothing else lies at the top of the tree"


def lines_of(path):
    lines = path.read_text().split("\n")
    return lines[:-1] if lines and lines[-1] == "" else lines


def tracked(*patterns):
    listing = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", *patterns],
                             capture_output=True, text=True, check=True).stdout
    return [pathlib.Path(line) for line in listing.splitlines() if pathlib.Path(line).exists()]


def main():
    problems, unchecked, lengths = [], [], []
    for path in tracked("Sources/*.swift", "Tests/*.swift", "benchmarks/*.swift"):
        lines = lines_of(path)
        in_sources = path.parts[0] == "Sources"
        found = list(check_text(lines, in_sources)) + list(check_functions(lines))
        if in_sources:
            found += check_imports(path.parts[1], path.name, lines)
            found += check_documentation(lines)
            lengths.append(len(lines))
            unchecked += [f"{path}:{number}" for number in unchecked_lines(lines)]
        problems += [f"{path}:{number}: {message}" for number, message in found]
    for path in tracked():
        problems += [f"{path}: {message}" for _, message in check_place(path)]
    if len(unchecked) > UNCHECKED_LIMIT:
        problems.append(f"{len(unchecked)} unchecked Sendables, {UNCHECKED_LIMIT} is the most: "
                        + ", ".join(unchecked))
    for path in tracked("Sources/*.c", "Sources/*.h"):
        problems += [f"{path}:{number}: {message}"
                     for number, message in check_text(lines_of(path), in_sources=False)]
    median = statistics.median(lengths or [0])
    print("\n".join(problems) if problems else
          f"rules: {len(lengths)} source files, median {median:.0f} lines")
    return 1 if problems else 0


def self_test():
    """Every rule must find what it is for."""
    cases = [
        list(check_imports("Domain", "A.swift", ["import Foundation"])),
        list(check_imports("Search", "A.swift", ["package import HTTPClient"])),
        list(check_imports("HTTPClient", "A.swift", ["import CCurl"])),
        list(check_text(["x"] * (FILE_LIMIT + 1), True)),
        list(check_text(["x" * (LINE_LIMIT + 1)], True)),
        list(check_text(["let a = try! b()"], True)),
        list(check_text(["let a = b as! C"], True)),
        list(check_text(["    fatalError()"], True)),
        list(check_text(["        Task { await x() }"], True)),
        list(check_text(["        Task.detached(priority: .low) { await x() }"], True)),
        list(check_text(["// TO" + "DO later"], True)),
        list(check_documentation(["", "package func run() {"])),
        list(check_functions(["func a() {"] + ["    x()"] * FUNCTION_LIMIT + ["}"])),
        list(unchecked_lines(["final class A: @unchecked Sendable {"])),
        list(check_place(pathlib.Path("serve.log"))),
        list(check_place(pathlib.Path("docs/old.log"))),
        list(check_place(pathlib.Path("release"))),
    ]
    silent = [number for number, found in enumerate(cases) if not found]
    clean = list(check_documentation(["/// Runs.", "package func run() {"]))
    clean += list(check_imports("HTTPClient", "CurlLoop.swift", ["import CCurl"]))
    clean += list(check_functions(["func a() {"] + ["    x()"] * (FUNCTION_LIMIT - 2) + ["}"]))
    clean += list(check_place(pathlib.Path("README.md"))) + list(check_place(pathlib.Path("scripts/test")))
    clean += list(unchecked_lines(["/// `@unchecked Sendable` is safe because nothing moves."]))
    if silent or clean:
        print(f"rules: self-test failed: silent {silent}, false alarm {clean}")
        return 1
    return main()


if __name__ == "__main__":
    sys.exit(self_test())
