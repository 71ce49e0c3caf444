#!/usr/bin/env python3
"""Compares `preloop cel --jsonl` with cel-cpp (package cel-expr-python) on random expressions.

usage: cel_fuzz.py --preloop PROGRAM [--count N] [--seed N] [--show N]

Expressions are made by type, so that most of them have a value, with some of wrong types and at the edges of ranges.
Both engines get the same expression and bindings. An answer is a value, an error or a refusal before evaluation; the
kinds of error are not compared. A disagreement that a rule of KNOWN explains is counted under its name, and some of each
are printed in the end; all others are printed at once, and the exit status is 1 when there are any.
"""

import argparse
import base64
import collections
import datetime
import json
import math
import pkgutil
import importlib
import random
import re
import subprocess
import sys
import time

from cel_expr_python import cel
import cel_expr_python.ext as extensions

MISSES = r"index out of range|is greater than|is less than|is out of range"


def kinds(ours, theirs):
    """Whether an answer is a value or an error, of both."""
    return ours[0], theirs[0]


def written(ours, theirs):
    """Whether a text that is written otherwise may be all that differs: the values, or that a place in it is none."""
    return kinds(ours, theirs) == ("value", "value") or "error" in kinds(ours, theirs) and re.search(
        MISSES, str((ours if ours[0] == "error" else theirs)[1]))


def refused(ours, theirs):
    """Whether one of the checkers refuses what the other takes."""
    return (kinds(ours, theirs) == ("value", "error") and theirs[1].startswith("INVALID_ARGUMENT: ERROR: <input>")
            or kinds(ours, theirs) == ("error", "value") and "no overload of" in ours[1])


def no_overload(text):
    """A rule about a value of ours where cel-cpp has no function of this form."""
    return lambda e, a, b: a[0] == "value" and b[0] == "error" and re.search(
        "No matching overloads found : " + text, b[1])


# Differences in behaviour that are intended, each with the reason; the first that fits counts.
# A rule sees the expression, our answer and theirs. One more asks cel-cpp again: see `rebound`.
KNOWN = [
    ("a number in text has no space and no base, and is in range", lambda e, a, b: kinds(a, b) == ("error", "value")
     and re.search(r"` is no number|a double is out of range", a[1])),
    ("no integer is made of a truth value, nor of a span where it is not reached", lambda e, a, b:
     kinds(a, b) == ("error", "value")
     and re.search(r"no such overload `int`|no overload of `int` takes \((bool|duration)\)", a[1])),
    ("anything may be looked for in a map, though only some can be there", no_overload("@in")),
    ("an index of a list may be any whole number", no_overload(r"_\[\??_\]\(list, (double|uint64)\)")),
    ("a key that equals another is refused, whatever its numeric type", lambda e, a, b: kinds(a, b) == ("error", "value")
     and "repeated key in a map" in a[1]),
    ("cel-cpp refuses spans of the last second before 2^63 nanoseconds", lambda e, a, b: a[0] == "value"
     and "9223372036s" in e and b == ("error", "OUT_OF_RANGE: integer overflow")),
    ("a regular expression may be too large to be built", lambda e, a, b: kinds(a, b) == ("error", "value")
     and re.search(r"the pattern is too large|repetitions in one another are too many", a[1])),
    ("an element of what is empty has no type, or another one than in cel-cpp", lambda e, a, b: re.search(r"\[\]|\{\}", e)
     and refused(a, b)),
    ("values of a map are `dyn` where one of them is, in cel-cpp of the others' type", lambda e, a, b: a[0] == "value"
     and refused(a, b) and re.search(r"\{.*dyn\(", e)),
    ("seconds in text have the decimals that are needed, not three, six or nine", lambda e, a, b: written(a, b)
     and re.search(r"string\(|format\(", e) and re.search(r"100ms|00\.5Z", e)),
    ("a year in text has four digits", lambda e, a, b: written(a, b)
     and re.search(r"string\(|format\(", e) and "0001-01-01" in e),
    ("not-a-number and infinities are written NaN, +Inf and -Inf", lambda e, a, b: written(a, b)
     and re.search(r"string\(|'%s", e)
     and re.search(r"0\.0/0\.0|1\.0/0\.0|1e300|/ |sqrt|nan|inf", e + json.dumps(b), re.I)),
    ("`%d` and `%s` write doubles in full, as the specification has it", lambda e, a, b: written(a, b) and "format(" in e
     and re.search(r"\d\.\d|1e3|double\(|\bf\b|math\.", e)),
    ("`%s` puts a sign in the place of bytes that are no text", lambda e, a, b: kinds(a, b) == ("value", "value")
     and "format(" in e and "b'\\xff'" in e),
    ("the entries of a map have no order", lambda e, a, b: kinds(a, b) == ("value", "value")
     and re.search(r"(\}|\bm\)*)\.(filter|map)\(", e)),
]
STALE = "cel-cpp gives a `cel.bind` the element at which an `all` or `exists` before it was left"


def rebound(source):
    """The source with a macro over one element in the place of a `cel.bind`, which means the same where its value is
    no error: of each alone, and of all."""
    places = [match.start() for match in re.finditer(r"cel\.bind\(", source)]
    for start in places:
        yield replaced(source, start)
    # The last one has none in it.
    for start in reversed(places):
        source = replaced(source, start)
    yield source


def replaced(source, start):
    """The source with a macro over one element in the place of the `cel.bind` there."""
    (name, value, body), end = arguments(source, start + len("cel.bind("))
    return f"{source[:start]}[{value}].map({name},{body})[0]{source[end:]}"


def arguments(source, begin):
    """The texts of a call's arguments from behind its parenthesis on, and where the call ends."""
    found, depth, quoted = [], 0, False
    for place in range(begin, len(source)):
        letter = source[place]
        if letter == "'":
            quoted = not quoted
        elif quoted:
            continue
        elif letter in "([{":
            depth += 1
        elif depth == 0 and letter in ",)":
            found.append(source[begin:place])
            begin = place + 1
            if letter == ")":
                return found, begin
        elif letter in ")]}":
            depth -= 1
    raise ValueError(source)


STRINGS = ["", "a", "b", "ab", "abc", "hello", "A1", "é", "π", "😀", "a,b,c", "  x ", "1", "-7", "2.5", "true", "z\\n"]
PATTERNS = ["a", "^a", "b$", "[a-c]+", "a|b", "^$", ".", "\\\\d+", "(ab)*", "h.llo", "(?i)A", "\\\\bx", "[^a]", "\\\\pL"]
INTS = ["0", "1", "2", "3", "7", "-1", "-5", "100", "9223372036854775807", "-9223372036854775808", "4611686018427387904"]
UINTS = ["0u", "1u", "2u", "5u", "18446744073709551615u", "9223372036854775808u"]
DOUBLES = ["0.0", "1.0", "-1.5", "2.5", "1e3", "1e300", "-0.0", "0.1", "9007199254740993.0", "(0.0/0.0)", "(1.0/0.0)"]
BYTES = ["b''", "b'a'", "b'abc'", "b'\\xff'", "b'é'"]
TIMES = ["timestamp('2009-02-13T23:31:30Z')", "timestamp(0)", "timestamp('2020-02-29T12:00:00.5Z')",
         "timestamp('0001-01-01T00:00:00Z')", "timestamp('9999-12-31T23:59:59Z')"]
SPANS = ["duration('1s')", "duration('-1.5h')", "duration('100ms')", "duration('0s')", "duration('9223372036s')"]
ZONES = ["'UTC'", "'Europe/Berlin'", "'America/New_York'", "'+05:30'", "'-09:30'", "'Asia/Kathmandu'"]
TYPES = ["bool", "int", "uint", "double", "string", "bytes", "list", "map", "time", "span"]

BINDINGS = {"i": 3, "j": -7, "s": "hello", "f": 2.5, "g": True, "l": [1, 2, 3], "m": {"a": 1, "b": 2}, "ls": ["a", "bc", ""]}
TYPED = {
    "i": ({"t": "int", "v": "3"}, "int"), "j": ({"t": "int", "v": "-7"}, "int"),
    "s": ({"t": "string", "v": "hello"}, "string"), "f": ({"t": "double", "v": "2.5"}, "double"),
    "g": ({"t": "bool", "v": True}, "bool"),
    "l": ({"t": "list", "v": [{"t": "int", "v": str(n)} for n in (1, 2, 3)]}, {"list": "int"}),
    "m": ({"t": "map", "v": [[{"t": "string", "v": k}, {"t": "int", "v": str(v)}] for k, v in (("a", 1), ("b", 2))]},
          {"map": ["string", "int"]}),
    "ls": ({"t": "list", "v": [{"t": "string", "v": v} for v in ("a", "bc", "")]}, {"list": "string"}),
}


class Maker:
    """Makes expressions of a type."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.names = []

    def one(self, *choices):
        return self.random.choice(choices)

    def of(self, kind, depth):
        if self.random.random() < 0.02:
            kind = self.one(*TYPES)
        if self.random.random() < 0.03:
            return f"dyn({getattr(self, kind)(depth)})"
        return getattr(self, kind)(depth)

    def local(self, kind):
        names = [name for name, held in self.names if held == kind]
        return self.one(*names) if names and self.random.random() < 0.6 else None

    def bind(self, kind, make):
        name = f"v{len(self.names)}"
        self.names.append((name, kind))
        try:
            return name, make()
        finally:
            self.names.pop()

    def bool(self, depth):
        if depth <= 0:
            return self.local("bool") or self.one("true", "false", "g")
        d = depth - 1
        kind = self.one("int", "uint", "double", "string", "bytes", "bool", "time", "span")
        pick = self.random.randrange(18)
        if pick < 3:
            return f"({self.of(kind, d)} {self.one('==', '!=', '<', '<=', '>', '>=')} {self.of(kind, d)})"
        if pick < 5:
            return f"({self.of('bool', d)} {self.one('&&', '||')} {self.of('bool', d)})"
        if pick == 5:
            return f"!{self.of('bool', d)}"
        if pick == 6:
            return f"{self.of('string', d)}.{self.one('contains', 'startsWith', 'endsWith')}({self.of('string', d)})"
        if pick == 7:
            return f"({self.of('int', d)} in {self.of('list', d)})"
        if pick == 8:
            return f"({self.of('string', d)} in {self.of('map', d)})"
        if pick in (9, 10):
            macro = self.one("all", "exists", "exists_one")
            held, source = self.one(("int", "list"), ("string", "map"))
            range_ = self.of(source, d)
            name, body = self.bind(held, lambda: self.of("bool", d))
            return f"{range_}.{macro}({name}, {body})"
        if pick == 11:
            return f"({self.of('bool', d)} ? {self.of('bool', d)} : {self.of('bool', d)})"
        if pick == 12:
            return f"has({self.of('map', d)}.{self.one('a', 'b', 'zz')})"
        if pick == 13:
            return f"{self.of('string', d)}.matches('{self.one(*PATTERNS)}')"
        if pick == 14:
            return f"(dyn({self.of(kind, d)}) == dyn({self.of(self.one('int', 'uint', 'double', 'string'), d)}))"
        if pick == 15:
            return f"({self.of('list', d)} == {self.of('list', d)})"
        if pick == 16:
            return f"{self.of('list', d)}.{self.one('first', 'last')}().hasValue()"
        return f"{self.of('map', d)}.?{self.one('a', 'zz')}.hasValue()"

    def int(self, depth):
        if depth <= 0:
            return self.local("int") or self.one(*INTS, "i", "j", "i", "j")
        d = depth - 1
        pick = self.random.randrange(18)
        if pick < 5:
            return f"({self.of('int', d)} {self.one('+', '-', '*', '/', '%')} {self.of('int', d)})"
        if pick == 5:
            return f"-({self.of('int', d)})"
        if pick == 6:
            return f"size({self.of(self.one('string', 'bytes', 'list', 'map'), d)})"
        if pick == 7:
            return f"int({self.of(self.one('uint', 'double', 'string', 'time', 'int'), d)})"
        if pick == 8:
            return f"{self.of('list', d)}[{self.of('int', d)}]"
        if pick == 9:
            return f"{self.of('map', d)}{self.one('.a', '.b', '.zz', chr(91) + chr(39) + 'a' + chr(39) + chr(93))}"
        if pick == 10:
            return f"({self.of('bool', d)} ? {self.of('int', d)} : {self.of('int', d)})"
        if pick == 11:
            part = self.one("getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear",
                            "getHours", "getMinutes", "getSeconds", "getMilliseconds")
            return f"{self.of('time', d)}.{part}({self.one('', *ZONES)})"
        if pick == 12:
            return f"{self.of('string', d)}.{self.one('indexOf', 'lastIndexOf')}({self.of('string', d)})"
        if pick == 13:
            return f"math.{self.one('greatest', 'least', 'bitAnd', 'bitOr', 'bitXor')}({self.of('int', d)}, {self.of('int', d)})"
        if pick == 14:
            value = self.of("int", d)
            name, body = self.bind("int", lambda: self.of("int", d))
            return f"cel.bind({name}, {value}, {body})"
        if pick == 15:
            return f"{self.of('list', d)}[?{self.of('int', d)}].orValue({self.of('int', d)})"
        if pick == 16:
            end = self.one("value()", f"orValue({self.of('int', d)})")
            return f"{self.of('list', d)}.{self.one('first', 'last')}().{end}"
        return f"{self.of('span', d)}.{self.one('getHours', 'getMinutes', 'getSeconds', 'getMilliseconds')}()"

    def uint(self, depth):
        if depth <= 0:
            return self.one(*UINTS)
        d = depth - 1
        if self.random.random() < 0.7:
            return f"({self.of('uint', d)} {self.one('+', '-', '*', '/', '%')} {self.of('uint', d)})"
        return f"uint({self.of(self.one('int', 'double', 'string', 'uint'), d)})"

    def double(self, depth):
        if depth <= 0:
            return self.one(*DOUBLES, "f")
        d = depth - 1
        pick = self.random.randrange(6)
        if pick < 3:
            return f"({self.of('double', d)} {self.one('+', '-', '*', '/')} {self.of('double', d)})"
        if pick == 3:
            return f"double({self.of(self.one('int', 'uint', 'string', 'double'), d)})"
        if pick == 4:
            return f"math.{self.one('ceil', 'floor', 'round', 'trunc', 'abs', 'sign', 'sqrt')}({self.of('double', d)})"
        return f"-({self.of('double', d)})"

    def string(self, depth):
        if depth <= 0:
            return self.local("string") or self.one(*(f"'{text}'" for text in STRINGS), "s", "ls[1]")
        d = depth - 1
        pick = self.random.randrange(11)
        if pick < 3:
            return f"({self.of('string', d)} + {self.of('string', d)})"
        if pick == 3:
            return f"string({self.of(self.one('int', 'uint', 'bool', 'bytes', 'double', 'string', 'time', 'span'), d)})"
        if pick == 4:
            return f"{self.of('string', d)}.{self.one('lowerAscii', 'upperAscii', 'trim', 'reverse')}()"
        if pick == 5:
            return f"{self.of('string', d)}.replace({self.of('string', 0)}, {self.of('string', 0)})"
        if pick == 6:
            return f"{self.of('string', d)}.substring({self.one('0', '1', '2', '5')})"
        if pick == 7:
            return f"{self.of('string', d)}.charAt({self.one('0', '1', '3')})"
        if pick == 8:
            return f"{self.of('string', d)}.split({self.of('string', 0)}).join({self.of('string', 0)})"
        if pick == 9:
            return f"({self.of('bool', d)} ? {self.of('string', d)} : {self.of('string', d)})"
        return f"'%s|%d'.format([{self.of('string', d)}, {self.of('int', d)}])"

    def bytes(self, depth):
        if depth <= 0:
            return self.one(*BYTES)
        return self.one(f"({self.of('bytes', depth - 1)} + {self.of('bytes', depth - 1)})",
                        f"bytes({self.of('string', depth - 1)})")

    def list(self, depth):
        if depth <= 0:
            return self.one("l", "[]", "[1]", "[3, 1, 2]")
        d = depth - 1
        pick = self.random.randrange(6)
        if pick < 2:
            return "[" + ", ".join(self.of("int", d) for _ in range(self.random.randrange(4))) + "]"
        if pick == 2:
            return f"({self.of('list', d)} + {self.of('list', d)})"
        if pick == 3:
            range_ = self.of("list", d)
            name, body = self.bind("int", lambda: self.of("int", d))
            return f"{range_}.map({name}, {body})"
        if pick == 4:
            range_ = self.of("list", d)
            name, body = self.bind("int", lambda: self.of("bool", d))
            return f"{range_}.filter({name}, {body})"
        return f"[?{self.of('map', d)}.?{self.one('a', 'zz')}, {self.of('int', d)}]"

    def map(self, depth):
        if depth <= 0:
            return self.one("m", "{'a': 1}", "{'b': 2, 'a': 3}")
        keys = self.random.sample(["'a'", "'b'", "'c'", "'x y'"], self.random.randrange(4))
        return "{" + ", ".join(f"{key}: {self.of('int', depth - 1)}" for key in keys) + "}"

    def time(self, depth):
        if depth <= 0:
            return self.one(*TIMES)
        return f"({self.of('time', depth - 1)} {self.one('+', '-')} {self.of('span', depth - 1)})"

    def span(self, depth):
        if depth <= 0:
            return self.one(*SPANS)
        return self.one(f"({self.of('span', depth - 1)} {self.one('+', '-')} {self.of('span', depth - 1)})",
                        f"({self.of('time', depth - 1)} - {self.of('time', depth - 1)})")


def normal(value):
    """A plain value of cel-cpp's in the form of ours."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (bytes, bytearray)):
        return ["bytes", base64.b64encode(value).decode()]
    if isinstance(value, int):
        return ["n", value]
    if isinstance(value, float):
        return ["d", "nan" if math.isnan(value) else repr(value)]
    if isinstance(value, datetime.datetime):
        # Microseconds are all that Python's times keep.
        epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
        return ["time", (value - epoch) // datetime.timedelta(microseconds=1)]
    if isinstance(value, datetime.timedelta):
        return ["span", value // datetime.timedelta(microseconds=1)]
    if isinstance(value, dict):
        return ["map", sorted((json.dumps(normal(k)), normal(v)) for k, v in value.items())]
    if isinstance(value, (list, tuple)):
        return [normal(each) for each in value]
    return str(value)


def typed(value):
    kind, held = value["t"], value.get("v")
    if kind in ("null", "bool", "string"):
        return held
    if kind in ("int", "uint"):
        return ["n", int(held)]
    if kind == "double":
        number = float(held)
        return ["d", "nan" if math.isnan(number) else repr(number)]
    if kind == "bytes":
        return ["bytes", held]
    if kind in ("timestamp", "duration"):
        total = int(held["seconds"]) * 10**6 + math.floor(held["nanos"] / 1000)
        return ["time" if kind == "timestamp" else "span", total]
    if kind == "list":
        return [typed(each) for each in held]
    if kind == "map":
        return ["map", sorted((json.dumps(typed(k)), typed(v)) for k, v in held)]
    return str(held)


def environment():
    loaded = []
    for module in pkgutil.iter_modules(extensions.__path__):
        imported = importlib.import_module(f"cel_expr_python.ext.{module.name}")
        loaded += [getattr(imported, name)() for name in dir(imported) if name.startswith("Ext")]
    scalars = {"int": cel.Type.INT, "string": cel.Type.STRING, "double": cel.Type.DOUBLE, "bool": cel.Type.BOOL}

    def of(kind):
        if isinstance(kind, str):
            return scalars[kind]
        if "list" in kind:
            return cel.Type.List(of(kind["list"]))
        return cel.Type.Map(*(of(each) for each in kind["map"]))

    return cel.NewEnv(variables={name: of(kind) for name, (_, kind) in TYPED.items()}, extensions=loaded)


def theirs(env, activation, source):
    try:
        program = env.compile(source)
    except Exception as error:
        return "error", str(error).split("\n")[0]
    try:
        value = program.eval(activation)
        if value.type() == cel.Type.ERROR:
            return "error", str(value.plain_value())
        return "value", normal(value.plain_value())
    except OverflowError:
        return "unreadable", "a time outside of Python's"
    except Exception as error:
        return "error" if "Unable to convert" not in str(error) else "unreadable", str(error).split("\n")[0]


def agree(ours, answer):
    return ours == answer or ours[0] == answer[0] == "error"


def difference(label, source, ours, answer):
    return f"{label} {source}\n   ours   {ours}\n   theirs {answer}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preloop", required=True, help="the program that answers rows")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after so long")
    parser.add_argument("--show", type=int, default=40,
                        help="so many disagreements without a reason, and a tenth as many of each known one")
    options = parser.parse_args()
    env = environment()
    activation = env.Activation(BINDINGS)
    maker = Maker(options.seed)
    row = {"bindings": {name: value for name, (value, _) in TYPED.items()},
           "type_env": [{"name": name, "kind": "ident", "type": kind} for name, (_, kind) in TYPED.items()]}
    process = subprocess.Popen([options.preloop, "cel", "--jsonl"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    totals, explained = collections.Counter(), collections.defaultdict(list)
    began = time.monotonic()
    for _ in range(0, options.count, 200):
        if time.monotonic() - began > options.seconds:
            break
        sources = [maker.of(maker.one(*TYPES), maker.random.randrange(1, 5)) for _ in range(200)]
        sources = [source if len(source) < 4000 else "true" for source in sources]
        process.stdin.write("".join(json.dumps({"id": source, "expr": source, **row}) + "\n" for source in sources))
        process.stdin.flush()
        expected = [theirs(env, activation, source) for source in sources]
        for source, answer in zip(sources, expected):
            line = json.loads(process.stdout.readline())
            ours = ("value", typed(line["value"])) if "value" in line else ("error", line["error"])
            totals["expressions"] += 1
            totals["with a value"] += answer[0] == "value"
            if answer[0] == "unreadable":
                totals["values Python cannot hold"] += 1
                continue
            if agree(ours, answer):
                continue
            # Written otherwise, cel-cpp answers as we do.
            is_stale = any(agree(ours, theirs(env, activation, other)) for other in rebound(source))
            reason = STALE if is_stale and "cel.bind(" in source else next(
                (name for name, holds in KNOWN if holds(source, ours, answer)), None)
            if reason:
                explained[reason].append((source, ours, answer))
                continue
            totals["unexplained"] += 1
            if totals["unexplained"] <= options.show:
                print(difference("DIFFER", source, ours, answer), flush=True)
    process.stdin.close()
    process.wait()
    for reason, found in explained.items():
        # The shortest are the clearest.
        for each in sorted(found, key=lambda each: len(each[0]))[:math.ceil(options.show / 10)]:
            print(difference(f"KNOWN ({reason})", *each))
    counts = {reason: len(found) for reason, found in explained.items()}
    print(json.dumps({**totals, "explained": counts}, ensure_ascii=False))
    return 1 if totals["unexplained"] else 0


if __name__ == "__main__":
    sys.exit(main())
