package import Domain
import Trackers

extension ProjectCursor {
    /// The form stored now.
    ///
    /// A cursor of another form is read as none: the next scan reads everything
    /// again and writes what differs, so nothing is lost by it.
    private static let version: Int64 = 1

    /// Reads a stored cursor.
    package init(_ json: JSONValue) {
        self.init()
        guard json["v"]?.integer == Self.version else { return }
        hasReadEverything = json["complete"]?.bool ?? false
        path = json["path"]?.string
        watermark = Timestamp(json["watermark"])
        isSettled = json["settled"]?.bool ?? false
        issues = WalkProgress(json["issues"])
        if let since = Timestamp(json["validator"]?["since"]),
            let tag = json["validator"]?["tag"]?.string
        {
            validator = Validator(since: since, tag: tag)
        }
        hasReadComments = json["comments_complete"]?.bool ?? false
        commentWatermark = Timestamp(json["comment_watermark"])
        areCommentsSettled = json["comments_settled"]?.bool ?? false
        comments = WalkProgress(json["comments"])
        census = CensusProgress(json["census"])
        isAuditDue = json["audit_due"]?.bool ?? false
    }

    /// The form that is stored; members without a value are left out.
    package var jsonValue: JSONValue {
        var object = JSONObject()
        object["v"] = .integer(Self.version)
        object["complete"] = .bool(hasReadEverything)
        object["path"] = path.map(JSONValue.string)
        object["watermark"] = watermark?.jsonValue
        object["settled"] = .bool(isSettled)
        object["issues"] = issues?.jsonValue
        object["validator"] = validator.map { validator in
            ["since": validator.since.jsonValue, "tag": .string(validator.tag)]
        }
        object["comments_complete"] = .bool(hasReadComments)
        object["comment_watermark"] = commentWatermark?.jsonValue
        object["comments_settled"] = .bool(areCommentsSettled)
        object["comments"] = comments?.jsonValue
        object["census"] = census?.jsonValue
        object["audit_due"] = .bool(isAuditDue)
        return .object(object)
    }
}

extension ProjectCursor.WalkProgress {
    fileprivate init?(_ json: JSONValue?) {
        guard let json, json.object != nil else { return nil }
        self.init(
            since: Timestamp(json["since"]),
            next: PageToken(json["next"]),
            highest: Timestamp(json["highest"]),
            servedAt: Timestamp(json["served_at"])
        )
    }

    fileprivate var jsonValue: JSONValue {
        var object = JSONObject()
        object["since"] = since?.jsonValue
        object["next"] = next.map { .string($0.rawValue) }
        object["highest"] = highest?.jsonValue
        object["served_at"] = servedAt?.jsonValue
        return .object(object)
    }
}

extension ProjectCursor.CensusProgress {
    fileprivate init?(_ json: JSONValue?) {
        guard let readsEverything = json?["everything"]?.bool,
            let phase = (json?["phase"]?.string).flatMap(Phase.init(rawValue:))
        else { return nil }
        self.init(readsEverything: readsEverything, phase: phase, next: PageToken(json?["next"]))
    }

    fileprivate var jsonValue: JSONValue {
        var object = JSONObject()
        object["everything"] = .bool(readsEverything)
        object["phase"] = .string(phase.rawValue)
        object["next"] = next.map { .string($0.rawValue) }
        return .object(object)
    }
}

extension Timestamp {
    fileprivate init?(_ json: JSONValue?) {
        guard let milliseconds = json?.integer else { return nil }
        self.init(milliseconds: milliseconds)
    }

    fileprivate var jsonValue: JSONValue { .integer(milliseconds) }
}

extension PageToken {
    fileprivate init?(_ json: JSONValue?) {
        guard let text = json?.string else { return nil }
        self.init(text)
    }
}
