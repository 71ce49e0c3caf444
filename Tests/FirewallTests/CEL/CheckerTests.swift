import Firewall
import Testing

struct CheckerTests {
    private static let environment = CELEnvironment(variables: [
        .init("x", .int), .init("s", .string), .init("d", .dyn), .init("l", .list(.string)),
        .init("m", .map(.string, .int)), .init("t", .timestamp), .init("o", .optional(.int)),
    ])

    @Test(arguments: [
        ("x + 1", "int"), ("s + 'a'", "string"), ("d.a.b", "dyn"), ("l[0]", "string"),
        ("m.a", "int"), ("m['a']", "int"), ("[1, 2u]", "list(dyn)"), ("[]", "list(dyn)"),
        ("{'a': 1}", "map(string, int)"), ("l.map(e, e.size())", "list(int)"),
        ("m.map(k, k)", "list(string)"), ("l.filter(e, e != '')", "list(string)"),
        ("l.exists(e, e == s)", "bool"), ("o.orValue(1)", "int"), ("m.?a", "optional_type(int)"),
        ("l[?0]", "optional_type(string)"), ("t - t", "duration"), ("t.getHours()", "int"),
        ("type(x)", "type(int)"), ("x > 0 ? s : 'a'", "string"), ("d ? 1 : d", "dyn"),
        ("m.transformMap(k, v, string(v))", "map(string, string)"), ("null", "null"),
        ("o.optMap(v, string(v))", "optional_type(string)"), ("cel.bind(a, s, a)", "string"),
        ("math.greatest(1, 2.0)", "dyn"), ("math.greatest(1, 2)", "int"),
        ("math.least(x, 2, 3)", "int"), ("math.greatest([0.5, 2.5])", "double"),
        ("math.greatest(1, 2.5, 3u)", "dyn"), ("math.least(d)", "dyn"),
        ("size(l) + size(s) + m.size()", "int"), ("ip('1.2.3.4')", "net.IP"),
        ("l.transformList(i, v, i)", "list(int)"),
        ("[o, optional.none()]", "list(optional_type(int))"),
        ("[x] + [].filter(e, e < e)", "list(int)"),
        ("l.first()", "optional_type(string)"), ("[[x]].last().value()", "list(int)"),
        ("d.first()", "optional_type(dyn)"), ("l.last().orValue('')", "string"),
        ("o.optFlatMap(v, dyn(o))", "dyn"), ("o.optFlatMap(v, o)", "optional_type(int)"),
        ("optional.unwrap([o, m.?a])", "list(int)"), ("[l.first()].unwrapOpt()", "list(string)"),
    ])
    func `types are deduced`(source: String, type: String) throws {
        let program = try CELProgram.compile(source, in: Self.environment)
        #expect(program.type.description == type)
    }

    @Test(arguments: [
        ("y", "1:1: undeclared reference to `y` (in container ``)"),
        ("f(x)", "1:1: undeclared reference to `f` (in container ``)"),
        ("x +\n s", "1:3: no overload of `_+_` takes (int, string)"),
        ("x.a", "1:2: type `int` has no field `a`"),
        ("x == s", "1:3: no overload of `_==_` takes (int, string)"),
        ("s.contains(x)", "1:3: no overload of `contains` takes (string, int)"),
        ("x ? 1 : 2", "1:1: needs bool, found int"),
        ("true ? x : s", "1:6: `?:` gives int or string"),
        ("l.all(e, e)", "1:10: needs bool, found string"),
        ("x.all(e, true)", "1:1: type `int` has no elements"),
        ("true && s", "1:9: needs bool, found string"),
        ("[?x]", "1:3: needs an optional, found int"),
        ("a.b.C{}", "1:4: undeclared message type `a.b.C`"),
        ("s in s", "1:3: no overload of `@in` takes (string, string)"),
        ("l.map(e, q)", "1:10: undeclared reference to `q` (in container ``)"),
        ("s.first()", "1:3: no overload of `first` takes (string)"),
        ("l.first() == s", "1:11: no overload of `_==_` takes (optional_type(string), string)"),
        ("l.unwrapOpt()", "1:3: no overload of `unwrapOpt` takes (list(string))"),
        ("optional.unwrap(l)", "1:10: no overload of `optional.unwrap` takes (list(string))"),
        ("math.greatest(l)", "1:6: no overload of `math.@max` takes (list(string))"),
        ("s.foo()", "1:3: undeclared reference to `foo` (in container ``)"),
        ("contains(s, s)", "1:1: no overload of `contains` takes (string, string)"),
    ])
    func `what cannot work is refused with its place`(source: String, message: String) {
        #expect {
            try CELProgram.compile(source, in: Self.environment)
        } throws: { error in
            (error as? CompilationError)?.description == message
                && (error as? CompilationError)?.step == .checking
        }
    }

    @Test func `unchecked expressions fail when they run`() {
        #expect(evaluated("y", checksTypes: false) == "error: 1:1: unknown variable `y`")
        #expect(evaluated("f(1)", checksTypes: false) == "error: 1:1: unbound function `f`")
        #expect(evaluated("1 + 'a'", checksTypes: false) == "error: 1:3: no such overload `_+_`")
        #expect(evaluated("f(1) || true", checksTypes: false) == "true")
        #expect(evaluated("1 == 1.0", checksTypes: false) == "true")
    }
}
