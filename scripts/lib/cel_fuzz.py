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
import re
import subprocess
import sys
import time

from cel_expr_python import cel
import cel_expr_python.ext as extensions

from cel_expressions import BINDINGS, TYPED, TYPES, Maker

MISSES = (r"index out of range|is greater than|is less than|is out of range|invalid base64|cannot convert string to"
          r"|conversion failed|` is no (number|duration)")


def kinds(ours, theirs):
    """Whether an answer is a value or an error, of both."""
    return ours[0], theirs[0]


def written(ours, theirs):
    """Whether a text that is written otherwise may be all that differs: the values, or that a place in it is none, or
    that it is no number or base 64."""
    return kinds(ours, theirs) == ("value", "value") or "error" in kinds(ours, theirs) and re.search(
        MISSES, str((ours if ours[0] == "error" else theirs)[1]))


def refused(ours, theirs):
    """Whether one of the checkers refuses what the other takes."""
    return (kinds(ours, theirs) == ("value", "error") and theirs[1].startswith("INVALID_ARGUMENT: ERROR: <input>")
            or kinds(ours, theirs) == ("error", "value") and "no overload of" in ours[1])


def holds_sign(value):
    """Whether U+FFFD stands in a value, also where it was made bytes again, or base 64."""
    text = value[1] if isinstance(value, list) and len(value) == 2 and value[0] == "bytes" else str(value)
    try:
        return "\ufffd" in text or b"\xef\xbf\xbd" in base64.b64decode(text, validate=True)
    except ValueError:
        return False


def no_overload(text):
    """A rule about a value of ours where cel-cpp has no function of this form."""
    return lambda e, a, b: a[0] == "value" and b[0] == "error" and re.search(
        "No matching overloads found : " + text, b[1])


# Differences in behaviour that are intended, each with the reason; the first that fits counts.
# A rule sees the expression, our answer and theirs. One more asks cel-cpp again: see `rebound`.
KNOWN = [
    ("a number in text has no space and no base, and is in range", lambda e, a, b: kinds(a, b) == ("error", "value")
     and re.search(r"` is no number|a double is out of range", a[1])),
    ("a timestamp in text is RFC 3339's, with four digits of the year", lambda e, a, b: kinds(a, b) == ("error", "value")
     and re.search(r"` is no timestamp|no timestamp between", a[1])),
    ("no integer is made of a truth value, nor of a span, nor a span of one, where it is not reached", lambda e, a, b:
     kinds(a, b) == ("error", "value") and re.search(
         r"no such overload `int`|no overload of `(int` takes \((bool|duration)|duration` takes \(int)\)", a[1])),
    ("anything may be looked for in a map, though only some can be there", no_overload("@in")),
    ("an index of a list may be any whole number", no_overload(r"_\[\??_\]\(list, (double|uint64)\)")),
    ("a key that equals another is refused, whatever its numeric type", lambda e, a, b: kinds(a, b) == ("error", "value")
     and "repeated key in a map" in a[1]),
    ("cel-cpp refuses spans of the last second before 2^63 nanoseconds", lambda e, a, b: a[0] == "value"
     and "9223372036s" in e and b == ("error", "OUT_OF_RANGE: integer overflow")),
    ("a regular expression may be too large to be built", lambda e, a, b: kinds(a, b) == ("error", "value")
     and re.search(r"the pattern is too large|repetitions in one another are too many", a[1])),
    ("what may be left out may be of a type that is not known", lambda e, a, b: a[0] == "value" and refused(a, b)
     and re.search(r"expected type 'optional_type\(\w+\)' but found 'dyn'", b[1])),
    ("an alternative that is `dyn` makes what it stands in for `dyn`, in cel-cpp not", lambda e, a, b: a[0] == "value"
     and refused(a, b) and re.search(r"no matching overload for 'orValue' applied to '\(optional_type\(\w+\), \w+\)'", b[1])
     and ".orValue(v" in e),
    ("cel-cpp knows the second variable of a macro no more where `optMap` follows", lambda e, a, b: a[0] == "value"
     and refused(a, b) and re.search(r"\.opt(Flat)?Map\(", e)
     and (name := re.search(r"undeclared reference to '(v\d+)'", b[1]))
     and re.search(rf"\.(all|exists|existsOne|transformList)\(v\d+, {name[1]},", e)),
    ("a part of a text may reach to its end, in cel-cpp not without another after it", lambda e, a, b: ".substring(" in e
     and kinds(a, b) == ("value", "error") and "<start> or <end> is greater than <string>.size()" in b[1]),
    ("base 64 has no white space (RFC 4648, 3.3)", lambda e, a, b: kinds(a, b) == ("error", "value")
     and "invalid base64" in a[1] and re.search(r"\\n|\\t|  x |'x y'", e)),
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
     and "format(" in e and holds_sign(a[1])),
    ("the entries of a map have no order", lambda e, a, b: kinds(a, b) == ("value", "value")
     and re.search(r"(\}|\bm)\)*\.(filter|map|transformList)\(", e)),
]
STALE = "cel-cpp gives a `cel.bind` or `optMap` the element at which an `all` or `exists` before it was left"
NAMED = re.compile(r"cel\.bind\(|\.optMap\(|\.optFlatMap\(")


def rebound(source):
    """The source with a macro over one element in the place of what else names a value, which means the same where that
    value is no error: of each alone, and of all."""
    places = [match.start() for match in NAMED.finditer(source)]
    for start in places:
        yield replaced(source, start)
    # The last one has none in it; what it is called on is there twice afterwards.
    while (places := [match.start() for match in NAMED.finditer(source)]) and len(source) < 20_000:
        source = replaced(source, places[-1])
    yield source


def replaced(source, start):
    """The source with a macro over one element in the place of the `cel.bind` or `optMap` there."""
    call = NAMED.match(source, start)[0]
    parts, end = arguments(source, start + len(call))
    if call == "cel.bind(":
        name, value, body = parts
        return f"{source[:start]}[{value}].map({name},{body})[0]{source[end:]}"
    name, body = parts
    begin = receiver(source, start)
    value = source[begin:start]
    held = body if "Flat" in call else f"optional.of({body})"
    return (f"{source[:begin]}({value}.hasValue() ? [{value}.value()].map({name},{held})[0] : optional.none())"
            f"{source[end:]}")


def receiver(source, end):
    """Where what a method is called on begins, which ends there."""
    place, depth, quoted = end, 0, False
    while place > 0:
        letter = source[place - 1]
        if letter == "'":
            quoted = not quoted
        elif quoted:
            pass
        elif letter in ")]}":
            depth += 1
        elif letter in "([{":
            if depth == 0:
                break
            depth -= 1
        elif depth == 0 and not (letter.isalnum() or letter in "_." or source[place - 2:place] == ".?"):
            break
        place -= 1
    return place


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

    # The package has no module for the macros over two variables, but its library has them by name.
    more = cel.NewEnvConfigFromYaml("extensions:\n- name: two-var-comprehensions\n")
    variables = {name: of(kind) for name, (_, kind) in TYPED.items()}
    return cel.NewEnv(config=more, variables=variables, extensions=loaded)


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
        # An optional, and text that is no UTF-8: cel-cpp's `%s` hands on bytes as they are.
        is_foreign = re.search("Unable to convert|returned a result with an exception set", str(error))
        return "unreadable" if is_foreign else "error", str(error).split("\n")[0]


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
            reason = STALE if is_stale and NAMED.search(source) else next(
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
