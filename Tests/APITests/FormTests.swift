import Domain
import HTTPClient
import Store
import StoreTestSupport
import Testing

@testable import API

/// Bodies that are forms: all of their fields count, or none.
@Suite struct FormTests {
    private static let signIn = "/api/v1/auth/token"

    /// A second password was taken for the first, and one that cannot be read for none.
    @Test(arguments: [
        ("username=ann&password=hunter%zz", "password"),
        ("username=ann&password=hunter%4", "password"),
        ("username=ann&password=hunter%", "password"),
        ("username=ann&password=hunter%FF", "password"),
        ("username=ann&password=hunter&password=hunter2", "password"),
        ("username=ann&username=bob&password=hunter", "username"),
        ("username=ann&scope=%C3&password=hunter", "scope"),
        ("username=ann&password=hunter&%zz=1", "field 3"),
        // What stands behind an `&` may belong to the password.
        ("username=ann&password=x&hunter=%zz", "field 3"),
        ("username=ann&password=x&hunter=1&hunter=2", "field 4"),
    ])
    func `a field that cannot be read or is there twice is refused, and no value is shown`(
        _ sent: (form: String, field: String)
    ) async throws {
        let server = try await RunningServer()
        _ = try await server.add("ann", .viewer)
        let answer = try await server.sendForm(Self.signIn, sent.form)
        #expect(answer.status == 400, "\(answer.text)")
        #expect(answer.headers["Content-Type"] == "application/problem+json")
        #expect(try answer.json["code"] == "malformed_form")
        let fields = try answer.json["errors"]?.array?.compactMap { $0["path"]?.string }
        #expect(fields == [sent.field])
        #expect(try answer.json["detail"]?.string?.contains("`\(sent.field)`") == true)
        #expect(!answer.text.contains("hunter"))
        try await server.stop()
    }

    /// What stands behind an `&` that nobody has escaped was sent back as a name.
    @Test(arguments: [
        ("/api/v1/auth/token", "username=ann&password=x&hunter2", ["field 3"]),
        ("/api/v1/auth/token", "username=a&password=x&hunter=2&&hunter3", ["field 3", "field 4"]),
        ("/api/v1/auth/token", "hunter2&username=ann", ["field 1", "password"]),
        // Nor is it said what it is like.
        ("/api/v1/auth/token", "username=ann&password=x&passwords", ["field 3"]),
        ("/api/v1/auth/refresh", "refresh_token=x&hunter2", ["field 2"]),
    ])
    func `a field that is not known is told by its place, never by its name`(
        _ sent: (path: String, form: String, fields: [String])
    ) async throws {
        let server = try await RunningServer()
        _ = try await server.add("ann", .viewer)
        let answer = try await server.sendForm(sent.path, sent.form)
        #expect(try answer.status == 422 && answer.json["code"] == "invalid_fields")
        let fields = try answer.json["errors"]?.array?.compactMap { $0["path"]?.string }
        #expect(fields == sent.fields, "\(answer.text)")
        for text in ["hunter", "passwords"] { #expect(!answer.text.contains(text)) }
        try await server.stop()
    }

    @Test func `no more unknown fields are told than help`() async throws {
        let server = try await RunningServer()
        let many = (0..<150).map { "a\($0)=1" }.joined(separator: "&")
        let answer = try await server.sendForm(Self.signIn, many)
        #expect(try answer.status == 422 && answer.json["errors"]?.array?.count == 10)
        try await server.stop()
    }

    @Test func `every field that is wrong is named`() async throws {
        let server = try await RunningServer()
        let answer = try await server.sendForm(
            Self.signIn,
            "username=%zz&password=hunter&password=hunter"
        )
        let fields = try answer.json["errors"]?.array?.compactMap { $0["path"]?.string }
        #expect(fields == ["username", "password"])
        let many = Array(repeating: "a=1", count: 201).joined(separator: "&")
        let long = try await server.sendForm(Self.signIn, many)
        #expect(try long.status == 400 && long.json["code"] == "malformed_form")
        #expect(long.text.contains("200 fields at most"), "\(long.text)")
        try await server.stop()
    }

    @Test func `a plus is a space, and what is escaped is itself`() async throws {
        let server = try await RunningServer()
        let password = "p+w with space&=%é"
        let draft = AccountDesk.Draft(name: "ann", password: password, role: .viewer)
        _ = try await server.application.desk.add(draft, to: AccountTable.defaultID)
        for written in ["p%2Bw+with+space%26%3D%25%C3%A9", percentEncoded(password)] {
            let answer = try await server.sendForm(
                Self.signIn,
                "username=ann&password=\(written)&client_id="
            )
            #expect(answer.status == 200, "\(written): \(answer.text)")
        }
        let raw = try await server.sendForm(
            Self.signIn,
            "username=ann&password=p+w+with+space%26%3D%25%C3%A9"
        )
        #expect(raw.status == 401)
        try await server.stop()
    }

    /// Bytes that are no UTF-8 were replaced: any of them signed in for any other.
    @Test func `bytes that are no text are refused as escapes of them are`() throws {
        func fields(_ bytes: [UInt8]) throws(Problem) -> FormFields {
            try FormFields(bytes, known: ["password"])
        }
        let whole = try fields(Array("a=&&b&password=x=y".utf8))
        #expect(whole.members.members.map(\.key) == ["a", "b", "password"])
        #expect(whole["password"] == "x=y" && whole["a"] == nil && whole["c"] == nil)
        for end in [[0xFF], [0xC3], [0xED, 0xA0, 0x80]] as [[UInt8]] {
            let problem = #expect(throws: Problem.self) {
                try fields(Array("password=hunter".utf8) + end)
            }
            #expect(problem?.code == "malformed_form")
            #expect(problem?.fields.map(\.path) == ["password"])
        }
    }

    @Test func `the set-up page takes no second password either`() async throws {
        let server = try await RunningServer()
        let token = try await server.application.desk.setupToken(of: AccountTable.defaultID)
        let link = try #require(token)
        let form = "token=\(link)&username=ann&password=a+good+password"
        let twice = try await server.sendForm("/setup", "\(form)&password=another+one")
        #expect(try twice.status == 400 && twice.json["code"] == "malformed_form")
        #expect(!twice.text.contains("another") && !twice.text.contains(link))
        let broken = try await server.sendForm("/setup", "\(form)%zz")
        #expect(try broken.json["errors"]?[0]?["path"] == "password")
        #expect(try await server.sendForm("/setup", form).status == 201)
        try await server.stop()
    }
}
