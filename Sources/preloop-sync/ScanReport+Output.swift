import Domain
import Search
import Sync

extension ScanReport {
    /// What went wrong, one line each.
    var failures: [String] {
        trackers.flatMap { tracker in
            tracker.failures.map { "\(tracker.name): \($0)" }
                + tracker.projects.filter(\.outcome.isFailure).map { project in
                    let detail = project.outcome.detail.map { ": \($0)" } ?? ""
                    return "\(tracker.name) \(project.path) \(project.outcome.name)\(detail)"
                }
        }
    }

    /// What can be done about it, each advice once.
    var hints: [String] {
        var seen: Set<String> = []
        return trackers.flatMap { tracker in
            tracker.hints
                + tracker.projects.filter(\.outcome.isFailure).compactMap(\.hint)
        }.filter { seen.insert($0).inserted }
    }

    /// The members of `--json`: the scan's own form, its sums completed by the index's.
    func members(with index: IndexReport) -> JSONObject {
        var object = jsonValue.object ?? JSONObject()
        var sums = object["totals"]?.object ?? JSONObject()
        let totals = totals
        let added: [(String, Int)] = [
            ("created", totals.issuesCreated + totals.commentsCreated),
            ("changed", totals.issuesChanged + totals.commentsChanged),
            ("deleted", totals.issuesDeleted + totals.commentsDeleted),
            ("embedded", index.embedded),
        ]
        for (key, value) in added { sums[key] = .integer(Int64(value)) }
        object["totals"] = .object(sums)
        object["index"] = index.json
        return object
    }
}
