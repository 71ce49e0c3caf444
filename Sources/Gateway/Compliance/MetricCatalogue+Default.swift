import Domain

extension MetricCatalogue {
    /// The metrics of an installation that has no file of its own.
    package static let standard: MetricCatalogue = {
        let document: JSONValue = [
            "v": 1, "metrics": [definitionOfReady, bugReport, userStory],
        ]
        do throws(ToolFailure) {
            return try MetricCatalogue(document)
        } catch {
            preconditionFailure("the standard metrics: \(error)")
        }
    }()

    private static let placeholders: JSONValue = [
        "id": "placeholders", "rule": "no_phrase",
        "any_of": ["tbd", "to be defined", "lorem ipsum", "???", "<insert"],
        "requirement": "nothing is left to be filled in",
        "advice": "replace the placeholders by what is meant, or say who will find out",
    ]

    private static let acceptance: JSONValue = [
        "id": "acceptance", "rule": "section", "weight": 3,
        "any_of": [
            "acceptance criteria", "definition of done", "done when", "expected result",
            "expected outcome", "requirements",
        ],
        "requirement": "the description has acceptance criteria",
        "advice": "add a section `Acceptance criteria` that says what can be seen when it is done",
        "template": "## Acceptance criteria\n\n- [ ] …",
    ]

    private static let title: JSONValue = [
        "id": "title", "rule": "title_words", "minimum": 3, "maximum": 20,
        "requirement": "the title says in 3 to 20 words what it is about",
        "advice": "write a title that tells the subject and what is wanted or wrong",
    ]

    private static let definitionOfReady: JSONValue = [
        "name": "Definition of Ready", "short_name": "DoR",
        "checks": [
            title,
            [
                "id": "description", "rule": "body_words", "minimum": 30, "weight": 2,
                "requirement": "the description has 30 words or more",
                "advice": "describe what is to be done so that somebody else could do it",
            ],
            [
                "id": "context", "rule": "section", "weight": 2,
                "any_of": [
                    "why", "background", "context", "motivation", "problem", "goal", "summary",
                    "user story",
                ],
                "requirement": "the description says why",
                "advice": "add a section `Why` with the problem it solves and for whom",
                "template": "## Why\n\n…",
            ],
            acceptance, placeholders,
            [
                "id": "classified", "rule": "classified",
                "requirement": "it has a label or a type",
                "advice": "set a label or a type",
            ],
            [
                "id": "prioritized", "rule": "prioritized", "weight": 0.5,
                "requirement": "it has a priority",
                "advice": "set a priority",
            ],
        ],
        "questions": [
            [
                "id": "testable", "weight": 2,
                "text": "Can each acceptance criterion be tested by somebody else?",
            ],
            ["id": "small", "text": "Is it small enough for one iteration?"],
            ["id": "dependencies", "text": "Are dependencies and open questions named?"],
        ],
    ]

    private static let bugReport: JSONValue = [
        "name": "Bug Report", "short_name": "Bug",
        "checks": [
            title,
            [
                "id": "steps", "rule": "section", "weight": 3,
                "any_of": ["steps to reproduce", "reproduction", "how to reproduce", "steps"],
                "requirement": "the steps to reproduce are given",
                "advice": "add a section `Steps to reproduce` with one step a line",
                "template": "## Steps to reproduce\n\n1. …",
            ],
            [
                "id": "expected", "rule": "phrase", "weight": 2,
                "any_of": ["expected", "should"],
                "requirement": "what was expected is said",
                "advice": "say what should have happened",
                "template": "## Expected\n\n…",
            ],
            [
                "id": "actual", "rule": "phrase", "weight": 2,
                "any_of": ["actual", "instead", "observed", "error", "happens", "crash"],
                "requirement": "what happened is said",
                "advice": "say what happened instead, with the exact message",
                "template": "## Actual\n\n…",
            ],
            [
                "id": "environment", "rule": "phrase",
                "any_of": ["version", "environment", "browser", "platform", "commit", "release"],
                "requirement": "the version or environment is named",
                "advice": "name the version and where it runs",
                "template": "## Environment\n\nVersion: …",
            ],
            placeholders,
        ],
        "questions": [
            [
                "id": "reproducible", "weight": 2,
                "text": "Could somebody reproduce it from what is written?",
            ],
            ["id": "single", "text": "Is it about one problem only?"],
        ],
    ]

    private static let userStory: JSONValue = [
        "name": "User Story", "short_name": "Story",
        "checks": [
            title,
            [
                "id": "role", "rule": "phrase", "weight": 2, "any_of": ["as a ", "as an "],
                "requirement": "it says for whom",
                "advice": "begin with `As a …`",
                "template": "As a …, I want …, so that …",
            ],
            [
                "id": "benefit", "rule": "phrase", "weight": 2,
                "any_of": ["so that", "in order to", "because"],
                "requirement": "it says what for",
                "advice": "say `so that …`",
            ],
            acceptance,
            [
                "id": "criteria", "rule": "list_items", "minimum": 2,
                "requirement": "there are two criteria or more, as a list",
                "advice": "list the criteria, one a line",
            ],
            placeholders,
        ],
        "questions": [
            ["id": "valuable", "text": "Is the value to a user clear?"],
            ["id": "independent", "text": "Can it be done without another story?"],
            ["id": "estimable", "text": "Is it clear enough to be estimated?"],
        ],
    ]
}
