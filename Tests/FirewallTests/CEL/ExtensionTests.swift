import Firewall
import Testing

struct ExtensionTests {
    @Test(arguments: [
        ("'ab©'.charAt(2)", "\"©\""), ("'tacocat'.indexOf('a', 2)", "5"),
        ("'tacocat'.lastIndexOf('a')", "5"), ("'AbÆ'.lowerAscii()", "\"abÆ\""),
        ("'abæ'.upperAscii()", "\"ABæ\""), ("'aaa'.replace('a', 'b', 2)", "\"bba\""),
        ("'abc'.replace('', '-')", "\"-a-b-c-\""), ("'a,b,c'.split(',')", "[\"a\", \"b\", \"c\"]"),
        ("'a,b,c'.split(',', 2)", "[\"a\", \"b,c\"]"), ("'abc'.split('')", "[\"a\", \"b\", \"c\"]"),
        ("'abc'.split('', 2)", "[\"a\", \"bc\"]"), ("''.split('')", "[\"\"]"),
        ("'hello'.substring(1, 3)", "\"el\""), ("' \\u00a0x\\n'.trim()", "\"x\""),
        ("['a', 'b'].join(', ')", "\"a, b\""), ("'añb'.reverse()", "\"bña\""),
        ("strings.quote('a\"\\n')", #""\"a\\\"\\n\"""#),
        (
            "'%s %d %.2f %x %b %o %e %%'.format(['a', 7, 1.005, 255, 5, 8, 1234.5])",
            "\"a 7 1.00 ff 101 10 1.234500e+03 %\""
        ),
        ("'%s'.format([[1, 'a', {'k': 1.5}, null, true]])", "\"[1, a, {k: 1.5}, null, true]\""),
        ("'%d %X'.format([3.14, 'hi'])", "\"3.14 6869\""),
        ("'%s'.format([b'\\xff\\xffa'])", "\"\u{FFFD}a\""),
        ("'%s'.format([1e22])", "\"10000000000000000000000\""), ("'%d'.format([-0x10])", "\"-16\""),
    ])
    func `strings`(source: String, value: String) {
        #expect(evaluated(source) == value)
    }

    @Test(arguments: [
        ("math.greatest(1, 5, 3)", "5"), ("math.least([3.0, 1.5])", "1.5"),
        ("math.greatest(1, 1.5)", "1.5"), ("math.ceil(1.2)", "2.0"), ("math.round(-2.5)", "-3.0"),
        ("math.trunc(-1.9)", "-1.0"), ("math.abs(-3)", "3"), ("math.sign(-0.5)", "-1.0"),
        ("math.isNaN(0.0 / 0.0)", "true"), ("math.sqrt(81)", "9.0"), ("math.bitXor(5, 1)", "4"),
        ("math.bitShiftLeft(1, 63)", "-9223372036854775808"), ("math.bitShiftRight(-1, 60)", "15"),
        ("math.bitNot(0u)", "18446744073709551615u"), ("math.isFinite(1.0 / 0.0)", "false"),
    ])
    func `mathematics`(source: String, value: String) {
        #expect(evaluated(source) == value)
    }

    @Test(arguments: [
        ("string(ip('2001:DB8:0:0::1'))", "\"2001:db8::1\""), ("isIP('1.2.3.256')", "false"),
        ("isIP('01.2.3.4')", "false"), ("isIP('::ffff:1.2.3.4')", "false"),
        ("isIP('1::2::3')", "false"),
        ("cidr('10.0.0.0/8').containsIP('10.255.0.1')", "true"), ("isCIDR('10.0.0.0/33')", "false"),
        ("cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8')", "true"),
        ("ip('::1').isLoopback()", "true"),
        ("cidr('::/0').containsIP('1.2.3.4')", "false"),
        ("ip('169.254.1.1').isLinkLocalUnicast()", "true"),
        ("cidr('10.0.0.0/8').containsCIDR('10.2.0.0/16')", "true"),
        ("isIP('fe80::1%eth0')", "false"),
        ("string(ip('1:0:0:2:0:0:0:3'))", "\"1:0:0:2::3\""),
        ("string(cidr('::1/128').ip())", "\"::1\""),
        ("cidr('::1/0').masked() == cidr('::/0')", "true"), ("isIP('1:2:3:4:5:6:7:8:9')", "false"),
    ])
    func `networks`(source: String, value: String) {
        #expect(evaluated(source) == value)
    }

    @Test func `base 64`() {
        #expect(evaluated("base64.encode(b'hello')") == "\"aGVsbG8=\"")
        #expect(evaluated("string(base64.decode('aGVsbG8'))") == "\"hello\"")
        #expect(evaluated("base64.decode('a')").hasPrefix("error:"))
        #expect(evaluated("base64.decode('aGVs bG8=')").hasPrefix("error:"))
        for count in 0..<10 {
            let bytes = (0..<count).map { UInt8($0 * 37 & 255) }
            #expect(Base64.decode(Base64.encode(bytes)) == bytes)
        }
    }
}
