import Testing

@testable import Store

@Suite struct LexicalTextTests {
    @Test(arguments: [
        // Porter's own examples, step by step.
        ("caresses", "caress"), ("ponies", "poni"), ("ties", "ti"), ("cats", "cat"),
        ("feed", "feed"), ("agreed", "agre"), ("plastered", "plaster"), ("bled", "bled"),
        ("motoring", "motor"), ("sing", "sing"), ("conflated", "conflat"), ("troubled", "troubl"),
        ("sized", "size"), ("hopping", "hop"), ("tanned", "tan"), ("falling", "fall"),
        ("hissing", "hiss"), ("fizzed", "fizz"), ("failing", "fail"), ("filing", "file"),
        ("happy", "happi"), ("sky", "sky"), ("relational", "relat"), ("conditional", "condit"),
        ("rational", "ration"), ("valenci", "valenc"), ("digitizer", "digit"),
        ("radicalli", "radic"), ("vietnamization", "vietnam"), ("operator", "oper"),
        ("feudalism", "feudal"), ("decisiveness", "decis"), ("hopefulness", "hope"),
        ("sensibiliti", "sensibl"), ("triplicate", "triplic"), ("formative", "form"),
        ("electrical", "electr"), ("goodness", "good"), ("revival", "reviv"),
        ("allowance", "allow"), ("inference", "infer"), ("airliner", "airlin"),
        ("adjustable", "adjust"), ("replacement", "replac"), ("adoption", "adopt"),
        ("homologou", "homolog"), ("communism", "commun"), ("activate", "activ"),
        ("bowdlerize", "bowdler"), ("probate", "probat"), ("rate", "rate"), ("cease", "ceas"),
        ("controll", "control"), ("roll", "roll"), ("is", "is"), ("y", "y"),
    ])
    func `words have Porter's stems`(word: String, stem: String) {
        #expect(String(decoding: PorterStemmer.stem(Array(word.utf8)), as: UTF8.self) == stem)
    }

    @Test func `terms are runs of letters and digits in lower case`() {
        let terms = TextAnalyzer.terms(of: "NPE in Foo::bar_baz(x2) — Größe №7!", limit: 100)
        #expect(
            terms.map(\.text) == ["npe", "in", "foo", "bar", "baz", "x2", "größe", "7"]
        )
    }

    @Test func `characters of scripts without spaces are terms that know their neighbours`() {
        let terms = TextAnalyzer.terms(of: "程序 崩溃abc日", limit: 100)
        #expect(terms.map(\.text) == ["程", "序", "崩", "溃", "abc", "日"])
        #expect(terms.map(\.isAdjacent) == [false, true, false, true, false, false])
    }

    @Test func `a query asks for ideographs in pairs and for words by themselves`() {
        let query = LexicalQuery(text: "程序崩 crashes 溃 crash")
        #expect(
            query.phrases.map(\.terms) == [["程", "序"], ["序", "崩"], ["crash"], ["溃"]]
        )
        #expect(query.phrases.map(\.count) == [1, 1, 2, 1])
    }

    @Test func `the rarest phrases are kept and unknown ones are not asked`() {
        var limits = LexicalQuery.Limits()
        limits.phrases = 2
        var query = LexicalQuery(text: "common rare rarer unknown", limits: limits)
        query.select(documentCount: 1_000) { term in
            ["common": 900, "rare": 10, "rarer": 5][term] ?? 0
        }
        #expect(query.matchExpression == "\"rarer\" OR \"rare\"")
    }

    @Test(arguments: 0..<40)
    func `whatever the bytes, terms hold no separator and stay within limits`(seed: Int) {
        var state = UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 | 1
        var text = ""
        for _ in 0..<2_000 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let bound: UInt64 = state % 3 == 0 ? 0x11_0000 : 0x300
            if let scalar = Unicode.Scalar(UInt32((state >> 33) % bound)) {
                text.unicodeScalars.append(scalar)
            }
        }
        let terms = TextAnalyzer.terms(of: text, limit: 500)
        #expect(terms.count <= 500, "seed \(seed)")
        for term in terms {
            #expect(!term.text.isEmpty && term.text.utf8.count < 80, "seed \(seed)")
            #expect(!term.text.utf8.contains { $0 == 0x22 || $0 <= 0x20 }, "seed \(seed)")
        }
    }
}
