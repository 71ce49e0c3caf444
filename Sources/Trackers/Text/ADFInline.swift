import Domain

/// Reads the leaves of an Atlassian document.
enum ADFInline {
    /// The runs of an inline node; nil when the node is a block or of unknown type.
    static func read(_ node: JSONValue) -> [MarkdownInline]? {
        let attributes = node["attrs"]
        switch node["type"]?.string {
        case "text": return [text(node)]
        case "hardBreak": return [.lineBreak]
        case "mention": return [.plain(mention(attributes))]
        case "emoji":
            return [.plain(attributes?["text"]?.string ?? attributes?["shortName"]?.string ?? "")]
        case "status": return [.plain(attributes?["text"]?.string ?? "")]
        case "date": return [.plain(date(attributes?["timestamp"]))]
        case "inlineCard": return card(node)
        case "mediaInline": return [image(node)]
        case "placeholder": return []
        default: return nil
        }
    }

    /// A link to what a card shows.
    static func card(_ node: JSONValue) -> [MarkdownInline] {
        let data = node["attrs"]?["data"]
        guard let url = node["attrs"]?["url"]?.string ?? data?["url"]?.string else {
            return [.plain(data?["name"]?.string ?? "")]
        }
        return [.text(data?["name"]?.string ?? url, [], link: url)]
    }

    /// A stand-in for a file, which only a person with access to the tracker can see.
    static func image(_ node: JSONValue) -> MarkdownInline {
        let attributes = node["attrs"]
        let name = attributes?["alt"]?.string ?? attributes?["__fileName"]?.string
        let isImage = attributes?["type"]?.string != "link"
        return .image(
            description: name ?? (isImage ? "image" : "attachment"),
            url: attributes?["url"]?.string ?? ""
        )
    }

    private static func text(_ node: JSONValue) -> MarkdownInline {
        var style: MarkdownStyle = []
        var link: String?
        for mark in node["marks"]?.array ?? [] {
            switch mark["type"]?.string {
            case "strong": style.insert(.strong)
            case "em": style.insert(.emphasis)
            case "strike": style.insert(.strike)
            case "code": style.insert(.code)
            case "link": link = mark["attrs"]?["href"]?.string
            // Underline, sub- and superscript, colours, alignment: Markdown has no words for them.
            default: break
            }
        }
        return .text(withLineFeeds(node["text"]?.string ?? ""), style, link: link)
    }

    private static func mention(_ attributes: JSONValue?) -> String {
        guard let text = attributes?["text"]?.string, !text.isEmpty else {
            return "@" + (attributes?["id"]?.string ?? "unknown")
        }
        return text.hasPrefix("@") ? text : "@" + text
    }

    /// The day of an instant given in milliseconds, usually as a string.
    private static func date(_ value: JSONValue?) -> String {
        guard let milliseconds = value?.integer ?? value?.string.flatMap({ Int64($0) }),
            // The years 1 to 9999; others are not days anyone meant.
            (-62_135_596_800_000...253_402_300_799_999).contains(milliseconds)
        else { return value?.string ?? "" }
        return String(Timestamp(milliseconds: milliseconds).iso8601.prefix(10))
    }
}
