package import Domain
import MCP

/// Something issues are held against: what a program can check, and what takes judgement.
package struct ComplianceMetric: Sendable, Equatable {
    package var name: String
    /// What calls name it by: `DoR`.
    package var shortName: String
    package var checks: [Check]
    package var questions: [Question]

    /// What a program can check.
    package struct Check: Sendable, Equatable {
        package var id: String
        package var rule: Rule
        /// How much it counts beside the others.
        package var weight: Double
        /// What must be: `the description has acceptance criteria`.
        package var requirement: String
        /// What to do when it is not.
        package var advice: String
        /// Markdown to put into a description that fails; empty when nothing can be put there.
        package var template: String
    }

    /// What takes judgement: answered by a language model, or not at all.
    package struct Question: Sendable, Equatable {
        package var id: String
        package var weight: Double
        /// To be answered with yes or no.
        package var text: String
    }

    /// What a check looks at.
    package enum Rule: Sendable, Equatable {
        /// The title has so many words.
        case titleWords(minimum: Int, maximum: Int)
        /// The description has so many words.
        case bodyWords(minimum: Int)
        /// There is a heading with one of these names, and text below it.
        case section(names: [String])
        /// One of these phrases is in the description.
        case phrase([String])
        /// None of these is in title or description.
        case noPhrase([String])
        /// The description has so many list items.
        case listItems(minimum: Int)
        /// A label, or the tracker's type, is set.
        case classified
        case prioritized
        case assigned
    }
}

/// The metrics of an installation.
package struct MetricCatalogue: Sendable, Equatable {
    package private(set) var metrics: [ComplianceMetric]
    /// The document they were read from.
    package let document: JSONValue

    /// Reads a catalogue.
    ///
    /// - Throws: ``ToolFailure`` that says where the document is wrong.
    package init(_ document: JSONValue) throws(ToolFailure) {
        let violations = Self.schema.violations(of: document)
        guard violations.isEmpty else {
            let lines = violations.map { "\($0)" }.joined(separator: "; ")
            throw ToolFailure(
                "the file of compliance metrics is wrong: \(lines)",
                kind: .broken
            )
        }
        self.document = document
        metrics = (document["metrics"]?.array ?? []).compactMap(Self.metric)
        let names = metrics.map { $0.shortName.lowercased() }
        guard Set(names).count == names.count else {
            throw ToolFailure(
                "the file of compliance metrics has a `short_name` twice",
                kind: .broken
            )
        }
    }

    /// The metric that a call names, by its short or its long name.
    func metric(named name: String) throws(ToolFailure) -> ComplianceMetric {
        let wanted = name.lowercased()
        let found = metrics.first { metric in
            metric.shortName.lowercased() == wanted || metric.name.lowercased() == wanted
        }
        guard let found else {
            let names = metrics.map { "`\($0.shortName)`" }.joined(separator: ", ")
            throw ToolFailure(
                "there is no metric `\(name)`",
                hint: "there are \(names)",
                kind: .notFound
            )
        }
        return found
    }

    private static let schema: JSONSchema = {
        let id = Schema.text("A short name.", maximumLength: 64)
        let weight: JSONValue = ["type": "number", "exclusiveMinimum": 0, "maximum": 100]
        let check = Schema.object(
            [
                "id": id, "weight": weight,
                "rule": Schema.choice(
                    "What is looked at.",
                    [
                        "title_words", "body_words", "section", "phrase", "no_phrase",
                        "list_items", "classified", "prioritized", "assigned",
                    ]
                ),
                "minimum": ["type": "integer", "minimum": 0],
                "maximum": ["type": "integer", "minimum": 0],
                "any_of": Schema.texts("Headings or phrases.", 1...50),
                "requirement": Schema.text("What must be."),
                "advice": Schema.text("What to do when it is not."),
                "template": ["type": "string", "maxLength": 10_000],
            ],
            required: ["id", "rule", "requirement", "advice"]
        )
        let question = Schema.object(
            ["id": id, "weight": weight, "text": Schema.text("To be answered with yes or no.")],
            required: ["id", "text"]
        )
        let metric = Schema.object(
            [
                "name": Schema.text("The whole name."), "short_name": id,
                "checks": ["type": "array", "items": check, "minItems": 1, "maxItems": 50],
                "questions": ["type": "array", "items": question, "maxItems": 20],
            ],
            required: ["name", "short_name", "checks"]
        )
        let document = Schema.object(
            [
                "v": ["const": 1],
                "metrics": ["type": "array", "items": metric, "minItems": 1, "maxItems": 50],
            ],
            required: ["v", "metrics"]
        )
        do throws(JSONSchema.CompilationError) {
            return try JSONSchema(document)
        } catch {
            preconditionFailure("the schema of metrics: \(error)")
        }
    }()

    private static func metric(_ value: JSONValue) -> ComplianceMetric? {
        guard let name = value["name"]?.string, let shortName = value["short_name"]?.string else {
            return nil
        }
        return ComplianceMetric(
            name: name,
            shortName: shortName,
            checks: (value["checks"]?.array ?? []).map(check),
            questions: (value["questions"]?.array ?? []).map { question in
                ComplianceMetric.Question(
                    id: question["id"]?.string ?? "",
                    weight: question["weight"]?.double ?? 1,
                    text: question["text"]?.string ?? ""
                )
            }
        )
    }

    private static func check(_ value: JSONValue) -> ComplianceMetric.Check {
        func number(_ name: String, _ fallback: Int) -> Int {
            value[name]?.integer.flatMap(Int.init(exactly:)) ?? fallback
        }
        let names = value["any_of"]?.array?.compactMap(\.string) ?? []
        let rule: ComplianceMetric.Rule =
            switch value["rule"]?.string ?? "" {
            case "title_words":
                .titleWords(minimum: number("minimum", 1), maximum: number("maximum", 1_000))
            case "body_words": .bodyWords(minimum: number("minimum", 1))
            case "section": .section(names: names)
            case "phrase": .phrase(names)
            case "no_phrase": .noPhrase(names)
            case "list_items": .listItems(minimum: number("minimum", 1))
            case "prioritized": .prioritized
            case "assigned": .assigned
            // The schema lets no other word through.
            default: .classified
            }
        return ComplianceMetric.Check(
            id: value["id"]?.string ?? "",
            rule: rule,
            weight: value["weight"]?.double ?? 1,
            requirement: value["requirement"]?.string ?? "",
            advice: value["advice"]?.string ?? "",
            template: value["template"]?.string ?? ""
        )
    }
}
