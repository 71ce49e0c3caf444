"""Random CEL expressions by type, of what both engines have that `cel_fuzz.py` compares.

The package of cel-cpp has no networks, `cel.block`, `optional.unwrap` and `unwrapOpt`, no `existsOne` over one variable and
no `exists_one` over two; `transformMap` and `transformMapEntry` it takes and cannot run. None of these is made here.
"""

import random

STRINGS = ["", "a", "b", "ab", "abc", "hello", "A1", "é", "π", "😀", "a,b,c", "  x ", "1", "-7", "2.5", "true", "z\\n",
           "\\\"q\\\"", "\\\\", "\\t\\x07\\v", "YWJj", "YWI=", "4pyT", "INF", "1s", "2009-02-13T23:31:30+05:30"]
PATTERNS = ["a", "^a", "b$", "[a-c]+", "a|b", "^$", ".", "\\\\d+", "(ab)*", "h.llo", "(?i)A", "\\\\bx", "[^a]", "\\\\pL"]
INTS = ["0", "1", "2", "3", "7", "-1", "-5", "100", "9223372036854775807", "-9223372036854775808", "4611686018427387904"]
UINTS = ["0u", "1u", "2u", "5u", "18446744073709551615u", "9223372036854775808u"]
DOUBLES = ["0.0", "1.0", "-1.5", "2.5", "1e3", "1e300", "-0.0", "0.1", "9007199254740993.0", "(0.0/0.0)", "(1.0/0.0)"]
BYTES = ["b''", "b'a'", "b'abc'", "b'\\xff'", "b'é'"]
TIMES = ["timestamp('2009-02-13T23:31:30Z')", "timestamp(0)", "timestamp('2020-02-29T12:00:00.5Z')",
         "timestamp('0001-01-01T00:00:00Z')", "timestamp('9999-12-31T23:59:59Z')",
         "timestamp('2009-02-13T23:31:30+05:30')", "timestamp('2024-03-31T01:30:00-09:30')",
         "timestamp('2024-10-27T01:30:00+01:00')", "timestamp('1883-11-18T12:00:00Z')", "timestamp('2038-07-01T00:00:00Z')"]
SPANS = ["duration('1s')", "duration('-1.5h')", "duration('100ms')", "duration('0s')", "duration('9223372036s')",
         "duration('1h2m3.004s')", "duration('-7us')"]
ZONES = ["'UTC'", "'Europe/Berlin'", "'America/New_York'", "'+05:30'", "'-09:30'", "'Asia/Kathmandu'", "'America/St_Johns'",
         "'Pacific/Apia'", "'05:45'", "'-00:30'", "'Mars/Olympus'", "''"]
TYPES = ["bool", "int", "uint", "double", "string", "bytes", "list", "map", "time", "span", "texts"]
PLACES = ["0", "1", "2", "3", "5", "63", "64", "-1"]
CLAUSES = {"s": ["string", "int", "uint", "double", "bool", "bytes", "list", "map", "time", "span", "texts"],
           "d": ["int", "uint", "double"], "f": ["double", "int", "uint"], "e": ["double", "int", "uint"],
           ".2f": ["double", "int"], ".0f": ["double"], ".3e": ["double"], ".0e": ["double"],
           "x": ["int", "uint", "string", "bytes"], "X": ["int", "uint", "string", "bytes"], "o": ["int", "uint"],
           "b": ["int", "uint", "bool"]}

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
    """Makes expressions of a type: `list` is of numbers, `texts` a list of texts, `map` from texts to numbers, and
    `optional` holds a number."""

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

    def bound(self, make, *kinds):
        """New names of these types, and what is made in their sight."""
        names = [f"v{len(self.names) + place}" for place in range(len(kinds))]
        self.names += zip(names, kinds)
        try:
            return *names, make()
        finally:
            del self.names[-len(kinds):]

    def bind(self, kind, depth):
        """A `cel.bind` of any type, whose result is of this one."""
        held = self.one(kind, *TYPES)
        value = self.of(held, depth)
        name, body = self.bound(lambda: self.of(kind, depth), held)
        return f"cel.bind({name}, {value}, {body})"

    def choice(self, kind, depth):
        return f"({self.of('bool', depth)} ? {self.of(kind, depth)} : {self.of(kind, depth)})"

    def pairs(self, depth, map_="map"):
        """Something with two variables, and their types."""
        source, *held = self.one(("list", "int", "int"), (map_, "string", "int"), ("texts", "int", "string"))
        return self.of(source, depth), held

    def entry(self, depth):
        """A map without an order that could show: it has an entry at most."""
        return self.one("{'a': 1}", f"{{'b': {self.of('int', depth)}}}", f"{{?'c': {self.of('optional', depth)}}}")

    def transformed(self, kind, depth, map_="entry"):
        """A list of this type's values out of another, or of a map, with or without a condition."""
        range_, held = self.pairs(depth, map_)
        key, value, (condition, body) = self.bound(
            lambda: (self.of("bool", depth), self.of(kind, depth)), *held)
        condition = self.one("", f"{condition}, ")
        return f"{range_}.transformList({key}, {value}, {condition}{body})"

    def extreme(self, kind, depth):
        """A greatest or least of some numbers, mostly of one type."""
        values = [self.of(kind, depth) for _ in range(self.one(1, 2, 2, 3, 4))]
        if self.random.random() < 0.1:
            values.append(self.of(self.one("int", "uint", "double"), depth))
        values = ", ".join(values)
        return f"math.{self.one('greatest', 'least')}({self.one(values, f'[{values}]')})"

    def bits(self, kind, depth):
        """Bit operations of int or uint."""
        pick = self.random.randrange(6)
        if pick < 3:
            return f"math.{('bitAnd', 'bitOr', 'bitXor')[pick]}({self.of(kind, depth)}, {self.of(kind, depth)})"
        if pick == 3:
            return f"math.bitNot({self.of(kind, depth)})"
        places = self.one(*PLACES, self.of("int", depth))
        return f"math.bitShift{self.one('Left', 'Right')}({self.of(kind, depth)}, {places})"

    def bool(self, depth):
        if depth <= 0:
            return self.local("bool") or self.one("true", "false", "g")
        d = depth - 1
        kind = self.one("int", "uint", "double", "string", "bytes", "bool", "time", "span")
        pick = self.random.randrange(25)
        if pick < 3:
            return f"({self.of(kind, d)} {self.one('==', '!=', '<', '<=', '>', '>=')} {self.of(kind, d)})"
        if pick < 5:
            return f"({self.of('bool', d)} {self.one('&&', '||')} {self.of('bool', d)})"
        if pick == 5:
            return f"!{self.of('bool', d)}"
        if pick == 6:
            return f"{self.of('string', d)}.{self.one('contains', 'startsWith', 'endsWith')}({self.of('string', d)})"
        if pick == 7:
            return self.one(f"({self.of('int', d)} in {self.of('list', d)})",
                            f"({self.of('string', d)} in {self.transformed('string', d, 'map')})")
        if pick == 8:
            return f"({self.of('string', d)} in {self.of('map', d)})"
        if pick in (9, 10):
            macro = self.one("all", "exists", "exists_one")
            held, source = self.one(("int", "list"), ("string", "map"), ("string", "texts"))
            range_ = self.of(source, d)
            name, body = self.bound(lambda: self.of("bool", d), held)
            return f"{range_}.{macro}({name}, {body})"
        if pick == 11:
            return self.choice("bool", d)
        if pick == 12:
            return f"has({self.of('map', d)}.{self.one('a', 'b', 'zz')})"
        if pick == 13:
            return f"{self.of('string', d)}.matches('{self.one(*PATTERNS)}')"
        if pick == 14:
            return f"(dyn({self.of(kind, d)}) == dyn({self.of(self.one('int', 'uint', 'double', 'string'), d)}))"
        if pick == 15:
            held = self.one("list", "texts", "map")
            return f"({self.of(held, d)} == {self.of(held, d)})"
        if pick == 16:
            return f"{self.of(self.one('list', 'texts'), d)}.{self.one('first', 'last')}().hasValue()"
        if pick == 17:
            return f"{self.of('optional', d)}.hasValue()"
        if pick in (18, 19):
            range_, held = self.pairs(d)
            key, value, body = self.bound(lambda: self.of("bool", d), *held)
            return f"{range_}.{self.one('all', 'exists', 'existsOne')}({key}, {value}, {body})"
        if pick == 20:
            return f"math.{self.one('isNaN', 'isInf', 'isFinite')}({self.of('double', d)})"
        if pick == 21:
            return self.bind("bool", d)
        if pick == 22:
            return f"({self.of('optional', d)} == {self.of('optional', d)})"
        if pick == 23:
            held = self.one(*TYPES)
            return f"optional.ofNonZeroValue({self.of(held, d)}).hasValue()"
        return f"(type({self.of(kind, d)}) == {self.one('int', 'uint', 'double', 'string', 'bytes', 'bool')})"

    def int(self, depth):
        if depth <= 0:
            return self.local("int") or self.one(*INTS, "i", "j", "i", "j")
        d = depth - 1
        pick = self.random.randrange(22)
        if pick < 5:
            return f"({self.of('int', d)} {self.one('+', '-', '*', '/', '%')} {self.of('int', d)})"
        if pick == 5:
            return f"-({self.of('int', d)})"
        if pick == 6:
            counted = self.of(self.one("string", "bytes", "list", "map", "texts"), d)
            return f"size({self.one(counted, counted, counted, self.transformed(self.one(*TYPES), d, 'map'))})"
        if pick == 7:
            return f"int({self.of(self.one('uint', 'double', 'string', 'time', 'int'), d)})"
        if pick == 8:
            return f"{self.of('list', d)}[{self.of('int', d)}]"
        if pick == 9:
            return f"{self.of('map', d)}{self.one('.a', '.b', '.zz', chr(91) + chr(39) + 'a' + chr(39) + chr(93))}"
        if pick == 10:
            return self.choice("int", d)
        if pick in (11, 12):
            part = self.one("getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear",
                            "getHours", "getMinutes", "getSeconds", "getMilliseconds")
            return f"{self.of('time', d)}.{part}({self.one('', *ZONES)})"
        if pick == 13:
            start = self.one("", "", f", {self.one('0', '1', '2', '4', '-1')}")
            return f"{self.of('string', d)}.{self.one('indexOf', 'lastIndexOf')}({self.of('string', d)}{start})"
        if pick == 14:
            return self.bits("int", d)
        if pick == 15:
            return self.one(self.extreme("int", d), f"math.{self.one('abs', 'sign')}({self.of('int', d)})")
        if pick == 16:
            return self.bind("int", d)
        if pick == 17:
            return f"{self.of('list', d)}[?{self.of('int', d)}].orValue({self.of('int', d)})"
        if pick == 18:
            end = self.one("value()", f"orValue({self.of('int', d)})")
            return f"{self.of('list', d)}.{self.one('first', 'last')}().{end}"
        if pick in (19, 20):
            end = self.one("value()", f"orValue({self.of('int', d)})")
            return f"{self.of('optional', d)}.{end}"
        return f"{self.of('span', d)}.{self.one('getHours', 'getMinutes', 'getSeconds', 'getMilliseconds')}()"

    def uint(self, depth):
        if depth <= 0:
            return self.local("uint") or self.one(*UINTS)
        d = depth - 1
        pick = self.random.randrange(10)
        if pick < 4:
            return f"({self.of('uint', d)} {self.one('+', '-', '*', '/', '%')} {self.of('uint', d)})"
        if pick < 6:
            return self.bits("uint", d)
        if pick == 6:
            return self.one(self.extreme("uint", d), f"math.{self.one('abs', 'sign')}({self.of('uint', d)})")
        if pick == 7:
            return self.bind("uint", d)
        return f"uint({self.of(self.one('int', 'double', 'string', 'uint'), d)})"

    def double(self, depth):
        if depth <= 0:
            return self.local("double") or self.one(*DOUBLES, "f")
        d = depth - 1
        pick = self.random.randrange(9)
        if pick < 3:
            return f"({self.of('double', d)} {self.one('+', '-', '*', '/')} {self.of('double', d)})"
        if pick == 3:
            return f"double({self.of(self.one('int', 'uint', 'string', 'double'), d)})"
        if pick == 4:
            return f"math.{self.one('ceil', 'floor', 'round', 'trunc', 'abs', 'sign')}({self.of('double', d)})"
        if pick == 5:
            return f"math.sqrt({self.of(self.one('int', 'uint', 'double'), d)})"
        if pick == 6:
            return self.extreme("double", d)
        if pick == 7:
            return self.bind("double", d)
        return f"-({self.of('double', d)})"

    def string(self, depth):
        if depth <= 0:
            return self.local("string") or self.one(*(f"'{text}'" for text in STRINGS), "s", "ls[1]")
        d = depth - 1
        pick = self.random.randrange(17)
        if pick < 3:
            return f"({self.of('string', d)} + {self.of('string', d)})"
        if pick == 3:
            return f"string({self.of(self.one('int', 'uint', 'bool', 'bytes', 'double', 'string', 'time', 'span'), d)})"
        if pick == 4:
            return f"{self.of('string', d)}.{self.one('lowerAscii', 'upperAscii', 'trim', 'reverse')}()"
        if pick == 5:
            limit = self.one("", f", {self.one('0', '1', '2', '-1')}")
            return f"{self.of('string', d)}.replace({self.of('string', 0)}, {self.of('string', 0)}{limit})"
        if pick == 6:
            end = self.one("", f", {self.one('0', '1', '2', '5', '-1')}")
            return f"{self.of('string', d)}.substring({self.one('0', '1', '2', '5')}{end})"
        if pick == 7:
            return f"{self.of('string', d)}.charAt({self.one('0', '1', '3', '-1')})"
        if pick == 8:
            return f"{self.of('texts', d)}.join({self.one('', self.of('string', 0))})"
        if pick == 9:
            return self.choice("string", d)
        if pick == 10:
            return f"strings.quote({self.of('string', d)})"
        if pick == 11:
            return f"base64.encode({self.of('bytes', d)})"
        if pick == 12:
            return self.bind("string", d)
        if pick == 13:
            return f"{self.of('texts', d)}[{self.one('0', '1', '2')}]"
        return self.format(d)

    def format(self, depth):
        """A text with clauses, mostly for values of their types."""
        clauses = [self.one(*CLAUSES) for _ in range(self.random.randrange(1, 4))]
        values = [self.of(self.one(*CLAUSES[clause]), depth) for clause in clauses]
        text = "|".join(f"%{clause}" for clause in clauses) + self.one("", "", "", "%%", "é")
        if self.random.random() < 0.03:
            text += self.one("%", "%q", "%.s", "%s", "%.1s")
        return f"'{text}'.format([{', '.join(values)}])"

    def bytes(self, depth):
        if depth <= 0:
            return self.local("bytes") or self.one(*BYTES)
        d = depth - 1
        return self.one(f"({self.of('bytes', d)} + {self.of('bytes', d)})", f"bytes({self.of('string', d)})",
                        f"base64.decode({self.of('string', d)})", self.bind("bytes", d))

    def list(self, depth):
        if depth <= 0:
            return self.local("list") or self.one("l", "[]", "[1]", "[3, 1, 2]")
        d = depth - 1
        pick = self.random.randrange(9)
        if pick < 2:
            return "[" + ", ".join(self.of("int", d) for _ in range(self.random.randrange(4))) + "]"
        if pick == 2:
            return f"({self.of('list', d)} + {self.of('list', d)})"
        if pick == 3:
            held, source = self.one(("int", "list"), ("string", "entry"), ("string", "texts"))
            range_ = self.of(source, d)
            name, (condition, body) = self.bound(lambda: (self.of("bool", d), self.of("int", d)), held)
            return f"{range_}.map({name}, {self.one('', f'{condition}, ')}{body})"
        if pick == 4:
            range_ = self.of("list", d)
            name, body = self.bound(lambda: self.of("bool", d), "int")
            return f"{range_}.filter({name}, {body})"
        if pick in (5, 6):
            return self.transformed("int", d)
        if pick == 7:
            return self.bind("list", d)
        return f"[?{self.of('optional', d)}, {self.of('int', d)}]"

    def texts(self, depth):
        if depth <= 0:
            return self.local("texts") or self.one("ls", "['x']", "['b', 'a']")
        d = depth - 1
        pick = self.random.randrange(6)
        if pick < 2:
            return "[" + ", ".join(self.of("string", d) for _ in range(self.random.randrange(4))) + "]"
        if pick == 2:
            limit = self.one("", f", {self.one('0', '1', '2', '-1')}")
            return f"{self.of('string', d)}.split({self.of('string', 0)}{limit})"
        if pick == 3:
            return self.transformed("string", d)
        if pick == 4:
            return self.bind("texts", d)
        return f"({self.of('texts', d)} + {self.of('texts', d)})"

    def map(self, depth):
        if depth <= 0:
            return self.local("map") or self.one("m", "{'a': 1}", "{'b': 2, 'a': 3}")
        d = depth - 1
        if self.random.random() < 0.1:
            return self.bind("map", d)
        keys = self.random.sample(["'a'", "'b'", "'c'", "'x y'"], self.random.randrange(4))
        entries = [self.one(f"{key}: {self.of('int', d)}", f"{key}: {self.of('int', d)}", f"?{key}: {self.of('optional', d)}")
                   for key in keys]
        return "{" + ", ".join(entries) + "}"

    def optional(self, depth):
        if depth <= 0:
            return self.local("optional") or self.one("optional.of(1)", "optional.none()", "m.?a", "m[?'zz']", "l[?0]")
        d = depth - 1
        pick = self.random.randrange(9)
        if pick == 0:
            return f"optional.{self.one('of', 'ofNonZeroValue')}({self.of('int', d)})"
        if pick == 1:
            return f"{self.of('optional', d)}.or({self.of('optional', d)})"
        if pick == 2:
            source = self.of("optional", d)
            name, body = self.bound(lambda: self.of("int", d), "int")
            return f"{source}.optMap({name}, {body})"
        if pick == 3:
            source = self.of("optional", d)
            name, body = self.bound(lambda: self.of("optional", d), "int")
            return f"{source}.optFlatMap({name}, {body})"
        if pick == 4:
            return f"{self.of('list', d)}.{self.one('first', 'last')}()"
        if pick == 5:
            field = self.one(".?a", ".?zz", f"[?{self.of('string', 0)}]")
            return f"{self.of('map', d)}{field}"
        if pick == 6:
            return f"{self.of('list', d)}[?{self.of('int', d)}]"
        if pick == 7:
            return self.bind("optional", d)
        return self.choice("optional", d)

    def time(self, depth):
        if depth <= 0:
            return self.local("time") or self.one(*TIMES)
        d = depth - 1
        return self.one(f"({self.of('time', d)} {self.one('+', '-')} {self.of('span', d)})",
                        f"({self.of('span', d)} + {self.of('time', d)})",
                        f"timestamp({self.of(self.one('int', 'string', 'time'), d)})")

    def span(self, depth):
        if depth <= 0:
            return self.local("span") or self.one(*SPANS)
        d = depth - 1
        return self.one(f"({self.of('span', d)} {self.one('+', '-')} {self.of('span', d)})",
                        f"({self.of('time', d)} - {self.of('time', d)})",
                        f"duration({self.of(self.one('string', 'span'), d)})")
