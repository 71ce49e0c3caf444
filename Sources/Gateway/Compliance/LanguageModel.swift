package import Domain
package import HTTPClient
import MCP

/// A language model behind an endpoint, asked for one JSON object at a time.
package struct LanguageModel: Sendable {
    /// Whose protocol the endpoint speaks.
    package enum Provider: String, Sendable, CaseIterable {
        /// `POST {url}/chat/completions`: OpenAI, Ollama, vLLM, …
        case openai
        /// `POST {url}/messages`.
        case anthropic
    }

    /// Which model, and where.
    package struct Configuration: Sendable {
        package var provider: Provider
        /// The base URL with its version, without a final slash.
        package var url: String
        /// The provider's name of the model.
        package var model: String
        /// Local servers need none.
        package var apiKey: Secret?

        package init(provider: Provider, url: String, model: String, apiKey: Secret? = nil) {
            self.provider = provider
            self.url = url
            self.model = model
            self.apiKey = apiKey
        }
    }

    /// Tokens of an answer: a rewritten description of two pages and its JSON.
    private static let answerTokens: Int64 = 4_096
    /// Models of this size answer within a minute or not at all.
    private static let patience: Duration = .seconds(90)
    /// An answer of that many tokens is below 64 kB.
    private static let answerBytes = 1 << 20

    private let configuration: Configuration
    private let client: RetryingClient

    package init(_ configuration: Configuration, transport: any HTTPTransport) {
        self.configuration = configuration
        var policy = RetryPolicy()
        // A caller waits: one more try is worth it, five are not.
        policy.maximumAttempts = 2
        policy.patience = .seconds(10)
        client = RetryingClient(transport: transport, policy: policy)
    }

    /// The provider's name of the model.
    package var name: String { configuration.model }

    /// Asks for a JSON object.
    ///
    /// - Parameters:
    ///   - instructions: What to do; ours.
    ///   - text: What to do it with; may be written by anybody.
    /// - Returns: The object.
    /// - Throws: ``ToolFailure`` that says why there is no answer.
    func object(_ instructions: String, about text: String) async throws -> JSONValue {
        let response: HTTPResponse
        do {
            response = try await client.send(request(instructions, text)) { outcome in
                RetryDecision(transient: outcome, now: 0)
            }
        } catch RetryError.exchange(.cancelled) {
            throw CancellationError()
        } catch {
            let reason = ToolFailure(cause: error).message
            throw ToolFailure("the model `\(name)` did not answer: \(reason)", kind: .serviceFailed)
        }
        guard response.status == 200 else {
            throw ToolFailure(
                "the model `\(name)` answered with status \(response.status)",
                kind: .serviceFailed
            )
        }
        // What is wrong with an answer that is no JSON helps nobody.
        guard let body = try? JSONParser.parse(response.body), let answer = answer(in: body),
            let object = Self.object(in: answer)
        else { throw ToolFailure("the model `\(name)` gave no JSON object", kind: .serviceFailed) }
        return object
    }

    private func request(_ instructions: String, _ text: String) -> HTTPRequest {
        var headers = [HTTPField("Content-Type", "application/json")]
        let body: JSONValue
        let path: String
        switch configuration.provider {
        case .openai:
            path = "/chat/completions"
            if let key = configuration.apiKey {
                headers.append(HTTPField("Authorization", "Bearer \(key.reveal())"))
            }
            body = [
                "model": .string(configuration.model), "temperature": 0,
                "max_tokens": .integer(Self.answerTokens),
                "response_format": ["type": "json_object"],
                "messages": [
                    ["role": "system", "content": .string(instructions)],
                    ["role": "user", "content": .string(text)],
                ],
            ]
        case .anthropic:
            path = "/messages"
            if let key = configuration.apiKey {
                headers.append(HTTPField("x-api-key", key.reveal()))
            }
            headers.append(HTTPField("anthropic-version", "2023-06-01"))
            body = [
                "model": .string(configuration.model), "temperature": 0,
                "max_tokens": .integer(Self.answerTokens), "system": .string(instructions),
                "messages": [["role": "user", "content": .string(text)]],
            ]
        }
        var limits = HTTPLimits()
        limits.idleTimeout = Self.patience
        limits.totalTimeout = Self.patience
        limits.maximumResponseByteCount = Self.answerBytes
        return HTTPRequest(
            method: "POST",
            url: configuration.url + path,
            headers: headers,
            body: body.serialized(),
            limits: limits
        )
    }

    private func answer(in body: JSONValue) -> String? {
        switch configuration.provider {
        case .openai: body["choices"]?[0]?["message"]?["content"]?.string
        case .anthropic:
            body["content"]?.array?.first { $0["type"] == "text" }?["text"]?.string
        }
    }

    /// The object in an answer that may have words or a fence around it.
    private static func object(in answer: String) -> JSONValue? {
        let bytes = Array(answer.utf8)
        guard let start = bytes.firstIndex(of: UInt8(ascii: "{")),
            let end = bytes.lastIndex(of: UInt8(ascii: "}")), start < end,
            // What is wrong with it helps nobody.
            let value = try? JSONParser.parse(Array(bytes[start...end])), value.object != nil
        else { return nil }
        return value
    }
}
