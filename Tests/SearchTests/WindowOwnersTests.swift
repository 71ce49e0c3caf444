import Domain
import Store
import Testing

@testable import Search

@Suite struct WindowOwnersTests {
    @Test func `the store is asked once for what is of one revision`() async throws {
        let owners = WindowOwners()
        var asked: [[Int64]] = []
        func issues(_ windows: [Int64], at revision: Int64) async throws -> [Int64: IssueID] {
            try await owners.owners(of: windows, at: Revision(revision)) { missing in
                asked.append(missing.map(\.rawValue))
                // The third is dead.
                return Dictionary(
                    uniqueKeysWithValues: missing.filter { $0.rawValue != 3 }
                        .map { ($0.rawValue, IssueID($0.rawValue * 10 + revision)) }
                )
            }
        }
        #expect(try await issues([1, 2], at: 1) == [1: IssueID(11), 2: IssueID(21)])
        #expect(try await issues([2, 3, 4], at: 1) == [2: IssueID(21), 4: IssueID(41)])
        #expect(try await issues([1, 2, 4], at: 1).count == 3)
        #expect(asked == [[1, 2], [3, 4]])
        // What was known before a change is not an answer behind it.
        #expect(try await issues([1, 2], at: 2) == [1: IssueID(12), 2: IssueID(22)])
        #expect(asked == [[1, 2], [3, 4], [1, 2]])
    }

    @Test func `windows of issues are asked for once, also where there are none`() async throws {
        let owners = WindowOwners()
        var asked: [[Int64]] = []
        func windows(_ issues: [Int64], at revision: Int64) async throws -> Set<Int64> {
            let found = try await owners.windows(
                of: issues.map { IssueID($0) },
                at: Revision(revision)
            ) { missing in
                asked.append(missing.map(\.rawValue))
                // The second has no windows.
                return missing.filter { $0.rawValue != 2 }.map { issue in
                    (PassageID(issue.rawValue * 10 + revision), issue)
                }
            }
            return Set(found.map(\.0.rawValue))
        }
        #expect(try await windows([1, 2], at: 1) == [11])
        #expect(try await windows([1, 2, 3], at: 1) == [11, 31])
        #expect(asked == [[1, 2], [3]])
        #expect(try await windows([1, 2], at: 2) == [12])
        #expect(asked == [[1, 2], [3], [1, 2]])
    }

    @Test func `what was read for a revision that has gone is not kept`() async throws {
        let owners = WindowOwners()
        var count = 0
        _ = try await owners.owners(of: [1], at: Revision(1)) { _ in
            // Meanwhile another search has a newer index.
            _ = try await owners.owners(of: [2], at: Revision(2)) { _ in [2: IssueID(20)] }
            return [1: IssueID(10)]
        }
        let found = try await owners.owners(of: [1], at: Revision(2)) { _ in
            count += 1
            return [:]
        }
        #expect(found.isEmpty && count == 1)
    }
}
