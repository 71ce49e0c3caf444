import Domain

/// Reads messages from bytes that nobody has looked at yet.
package struct MessageParser: Sendable {
    /// How much of a stranger's input is read.
    package struct Limits: Sendable, Equatable {
        /// Bytes of a message: a megabyte of text for a description, escaped, with room to spare.
        package var bytes = 4 << 20
        /// Nesting of arrays and objects: arguments of tools nest less than ten levels.
        package var depth = 64
        /// Messages of a batch; each of them may start a call.
        package var batch = 64

        package init() {}
    }

    /// What stood in the bytes.
    package enum Incoming: Sendable, Equatable {
        case message(Message)
        /// A batch, element by element; what is no message is told apart.
        case batch([Element])
    }

    /// One element of a batch.
    package enum Element: Sendable, Equatable {
        case message(Message)
        case invalid(Failure)
    }

    /// What is wrong with a message, and whose it was when that could be read.
    package struct Failure: Error, Sendable, Equatable {
        package var id: RequestID?
        package var error: RPCError

        package init(id: RequestID?, error: RPCError) {
            self.id = id
            self.error = error
        }

        /// The response that tells it.
        package var message: Message { .failure(id, error) }
    }

    package var limits: Limits

    package init(limits: Limits = Limits()) {
        self.limits = limits
    }

    /// Reads one message or a batch.
    ///
    /// - Parameter bytes: UTF-8, without the line end that a stream puts behind it.
    /// - Returns: What stood in them.
    /// - Throws: ``Failure`` with the error to answer with.
    /// - Complexity: O(n) in the number of bytes.
    package func parse(_ bytes: [UInt8]) throws(Failure) -> Incoming {
        let value = try document(bytes)
        guard case .array(let elements) = value else {
            let message = try Self.message(value)
            guard Self.isCall(message) else { return .message(message) }
            return .message(try Self.exact(message, InexactNumbers.first(in: bytes)))
        }
        guard !elements.isEmpty else {
            throw Failure(id: nil, error: .invalidRequest("a batch has at least one message"))
        }
        guard elements.count <= limits.batch else {
            throw Failure(
                id: nil,
                error: .invalidRequest("a batch has at most \(limits.batch) messages")
            )
        }
        let inexact = InexactNumbers.first(in: bytes)
        return .batch(elements.map { Self.element($0, inexact) })
    }

    private static func isCall(_ message: Message) -> Bool {
        guard case .request(let request) = message else { return false }
        return request.method == "tools/call"
    }

    /// A message but for a call whose arguments would reach the tool with other numbers than its
    /// caller's; `inexact` is a number of the document that loses digits.
    private static func exact(_ message: Message, _ inexact: String?) throws(Failure) -> Message {
        guard let inexact, isCall(message), case .request(let request) = message else {
            return message
        }
        let error = RPCError.invalidParameters(
            "the number `\(inexact)` has more digits than are kept; send it as a text, or shorter"
        )
        throw Failure(id: request.id, error: error)
    }

    private func document(_ bytes: [UInt8]) throws(Failure) -> JSONValue {
        guard bytes.count <= limits.bytes else {
            let error = RPCError.invalidRequest("a message has at most \(limits.bytes) bytes")
            throw Failure(id: nil, error: error)
        }
        guard Self.nesting(bytes) <= limits.depth else {
            let error = RPCError.invalidRequest("a message nests at most \(limits.depth) levels")
            throw Failure(id: nil, error: error)
        }
        do throws(JSONError) {
            return try JSONParser.parse(bytes)
        } catch {
            throw Failure(id: nil, error: .parse("\(error)"))
        }
    }

    /// How deep brackets nest, strings left out; looked at before anything is built.
    static func nesting(_ bytes: [UInt8]) -> Int {
        var (depth, deepest) = (0, 0)
        var (isString, isEscaped) = (false, false)
        for byte in bytes {
            if isString {
                if isEscaped {
                    isEscaped = false
                } else if byte == UInt8(ascii: "\\") {
                    isEscaped = true
                } else if byte == UInt8(ascii: "\"") {
                    isString = false
                }
                continue
            }
            switch byte {
            case UInt8(ascii: "\""): isString = true
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                deepest = max(deepest, depth)
            case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
            default: break
            }
        }
        return deepest
    }

    private static func element(_ value: JSONValue, _ inexact: String?) -> Element {
        do throws(Failure) {
            return .message(try exact(try message(value), inexact))
        } catch {
            return .invalid(error)
        }
    }

    /// Reads one message of a parsed document.
    static func message(_ value: JSONValue) throws(Failure) -> Message {
        guard case .object(let object) = value else {
            throw Failure(id: nil, error: .invalidRequest("a message is a JSON object"))
        }
        let id = RequestID(object["id"])
        guard object["jsonrpc"] == "2.0" else {
            throw Failure(id: id, error: .invalidRequest("`jsonrpc` must be \"2.0\""))
        }
        guard let method = object["method"] else {
            return .response(try response(object, id: id))
        }
        guard let name = method.string, !name.isEmpty else {
            throw Failure(id: id, error: .invalidRequest("`method` must be a text"))
        }
        // An unusable id is no missing one: a request must not be taken for a notification.
        guard object["id"] == nil || id != nil else {
            let reason = "`id` must be an integer or a text of at most "
            let error = RPCError.invalidRequest(reason + "\(RequestID.maximumBytes) bytes")
            throw Failure(id: nil, error: error)
        }
        let parameters: JSONObject
        switch object["params"] {
        case nil: parameters = JSONObject()
        case .object(let members): parameters = members
        case .array, .null, .bool, .integer, .double, .string:
            throw Failure(id: id, error: .invalidParameters("`params` must be an object"))
        }
        guard let id else {
            return .notification(Message.Notification(method: name, parameters: parameters))
        }
        return .request(Message.Request(id: id, method: name, parameters: parameters))
    }

    private static func response(
        _ object: JSONObject,
        id: RequestID?
    ) throws(Failure) -> Message.Response {
        switch (object["result"], object["error"]) {
        case (.object(let result), nil) where id != nil:
            return Message.Response(id: id, outcome: .success(result))
        case (nil, .object(let error)):
            guard let code = error["code"]?.integer, let code = Int(exactly: code),
                let message = error["message"]?.string
            else { break }
            let failure = RPCError(code, message, data: error["data"])
            return Message.Response(id: id, outcome: .failure(failure))
        default: break
        }
        throw Failure(
            id: id,
            error: .invalidRequest("a message has a `method`, or an `id` with `result` or `error`")
        )
    }
}
