package import Domain

/// One JSON-RPC 2.0 message.
package enum Message: Sendable, Equatable {
    case request(Request)
    case notification(Notification)
    case response(Response)

    /// A message that wants a response.
    package struct Request: Sendable, Equatable {
        package var id: RequestID
        package var method: String
        /// Empty when the message has none.
        package var parameters: JSONObject

        package init(id: RequestID, method: String, parameters: JSONObject = JSONObject()) {
            self.id = id
            self.method = method
            self.parameters = parameters
        }
    }

    /// A message that wants none.
    package struct Notification: Sendable, Equatable {
        package var method: String
        /// Empty when the message has none.
        package var parameters: JSONObject

        package init(method: String, parameters: JSONObject = JSONObject()) {
            self.method = method
            self.parameters = parameters
        }
    }

    /// The answer to a request.
    package struct Response: Sendable, Equatable {
        /// Nil when the request's could not be read.
        package var id: RequestID?
        package var outcome: Result<JSONObject, RPCError>

        package init(id: RequestID?, outcome: Result<JSONObject, RPCError>) {
            self.id = id
            self.outcome = outcome
        }
    }

    /// As it goes over the wire.
    package var json: JSONValue {
        var object = JSONObject()
        object.append(key: "jsonrpc", value: "2.0")
        switch self {
        case .request(let request):
            object.append(key: "id", value: request.id.json)
            object.append(key: "method", value: .string(request.method))
            Self.append(request.parameters, to: &object)
        case .notification(let notification):
            object.append(key: "method", value: .string(notification.method))
            Self.append(notification.parameters, to: &object)
        case .response(let response):
            object.append(key: "id", value: response.id?.json ?? .null)
            switch response.outcome {
            case .success(let result): object.append(key: "result", value: .object(result))
            case .failure(let error): object.append(key: "error", value: error.json)
            }
        }
        return .object(object)
    }

    private static func append(_ parameters: JSONObject, to object: inout JSONObject) {
        guard !parameters.members.isEmpty else { return }
        object.append(key: "params", value: .object(parameters))
    }

    /// A response that tells of an error.
    package static func failure(_ id: RequestID?, _ error: RPCError) -> Message {
        .response(Response(id: id, outcome: .failure(error)))
    }
}
