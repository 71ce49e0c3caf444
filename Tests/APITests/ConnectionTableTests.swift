import NIOCore
import NIOEmbedded
import TestSupport
import Testing

@testable import API

/// Who has to make room.
///
/// These channels belong to the thread that makes them, so no test here waits for anything.
@Suite struct ConnectionTableTests {
    private struct Line {
        var channel: EmbeddedChannel
        var id: ConnectionTable.ID
        /// Grows with everything that counts as doing something.
        var order: Int
        var isServed = false
    }

    private static let address = "192.0.2.1"

    private func admit(_ table: ConnectionTable, _ address: String = Self.address) throws -> Line {
        let channel = EmbeddedChannel()
        let id = try #require(table.admit(channel, address: address))
        return Line(channel: channel, id: id, order: 0)
    }

    /// Ends channels, which insist on that; those that were closed say so.
    private func end(_ lines: [Line]) {
        for line in lines {
            line.channel.embeddedEventLoop.run()
            _ = try? line.channel.finish()
        }
    }

    private func isClosed(_ line: Line) -> Bool {
        line.channel.embeddedEventLoop.run()
        do {
            _ = try line.channel.finish()
            return false
        } catch {
            return true
        }
    }

    /// Compares with whoever has waited longest by looking at all.
    @Test(arguments: [1, 2, 3] as [UInt64])
    func `the one that has waited longest makes room, whatever the others did meanwhile`(
        seed: UInt64
    ) throws {
        var limits = ServerLimits()
        limits.connectionsPerAddress = 150
        let table = ConnectionTable(limits: limits)
        var random = SeededGenerator(seed: seed)
        var (open, closed, order) = ([Line](), [Line](), 0)
        // Somebody else's never make room for these.
        let other = try admit(table, "192.0.2.2")
        for _ in 0..<1_500 {
            order += 1
            if !open.isEmpty, Int.random(in: 0..<3, using: &random) > 0 {
                let place = Int.random(in: 0..<open.count, using: &random)
                // A third is being served at any time.
                let isServed = Int.random(in: 0..<3, using: &random) == 0
                table.note(open[place].id, isServed ? .serving : .waiting, for: nil)
                open[place].order = order
                open[place].isServed = isServed
                continue
            }
            var expected: Int?
            if open.count == limits.connectionsPerAddress {
                expected = open.indices.filter { !open[$0].isServed }
                    .min { open[$0].order < open[$1].order }
                try #require(expected != nil)
            }
            var line = try admit(table)
            line.order = order
            if let expected {
                let victim = open.remove(at: expected)
                #expect(!table.isConnection(victim.channel), "seed \(seed)")
                closed.append(victim)
            }
            open.append(line)
            #expect(table.counts.open == open.count + 1, "seed \(seed)")
        }
        #expect(closed.count > 200 && table.counts.evicted == closed.count)
        #expect(open.allSatisfy { table.isConnection($0.channel) })
        #expect(table.isConnection(other.channel))
        end(open + closed + [other])
    }

    /// No address has too many: of all of them the one that has waited longest makes room.
    @Test func `where all addresses together have too many, whoever waits longest makes room`()
        throws
    {
        var limits = ServerLimits()
        limits.connections = 4
        limits.connectionsPerAddress = 3
        let table = ConnectionTable(limits: limits)
        let addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.1"]
        let lines = try addresses.map { try admit(table, $0) }
        // The oldest is being served, the second one has done something since.
        table.note(lines[0].id, .serving, for: nil)
        table.note(lines[1].id, .waiting, for: nil)
        let fifth = try admit(table, "192.0.2.4")
        #expect(table.counts.open == 4 && table.counts.evicted == 1)
        #expect(!table.isConnection(lines[2].channel))
        let sixth = try admit(table, "192.0.2.5")
        #expect(table.counts.open == 4 && table.counts.evicted == 2)
        #expect(!table.isConnection(lines[3].channel))
        // Who is served makes no room, and then there is none.
        for line in [lines[1], fifth, sixth] { table.note(line.id, .serving, for: nil) }
        let late = EmbeddedChannel()
        #expect(table.admit(late, address: "192.0.2.6") == nil)
        #expect(table.counts.refused == 1 && table.counts.evicted == 2)
        table.remove(lines[1].id)
        let seventh = try admit(table, "192.0.2.6")
        #expect(table.counts.open == 4 && table.counts.refused == 1)
        #expect([lines[0], fifth, sixth, seventh].allSatisfy { table.isConnection($0.channel) })
        #expect(lines.map(isClosed) == [false, false, true, true])
        end([fifth, sixth, seventh])
        _ = try late.finish()
    }

    /// It was forgotten with the connection, and whoever waited for the answer stayed.
    @Test func `whoever serves a connection that makes room is told, once`() throws {
        var limits = ServerLimits()
        limits.connections = 1
        let table = ConnectionTable(limits: limits)
        let (first, told) = (try admit(table), Counter())
        let isThere = table.watch(first.channel) { _ = told.add() }
        #expect(isThere && told.value == 0)
        let second = try admit(table)
        #expect(told.value == 1 && table.counts.evicted == 1)
        table.remove(first.id)
        #expect(told.value == 1)
        #expect(!table.watch(first.channel, whenGone: nil))
        #expect([first, second].map(isClosed) == [true, false])
    }

    @Test func `whoever reads nothing for longest makes room for answers`() throws {
        var limits = ServerLimits()
        limits.unreadBytes = 100
        let table = ConnectionTable(limits: limits)
        let lines = try (0..<4).map { _ in try admit(table) }
        table.noteWriting(lines[0].id, bytes: 40)
        table.noteStall(lines[1].id, isStalled: true)
        table.noteWriting(lines[1].id, bytes: 30)
        table.noteStall(lines[2].id, isStalled: true)
        table.noteWriting(lines[2].id, bytes: 30)
        #expect(table.counts.evicted == 0)
        // The first has more, and takes it.
        table.noteWriting(lines[3].id, bytes: 1)
        #expect(table.counts.evicted == 1)
        // What was taken counts no more, and what went with a connection neither.
        table.noteWritten(lines[0].id, bytes: 40)
        table.noteWritten(lines[1].id, bytes: 30)
        table.remove(lines[1].id)
        table.noteWriting(lines[3].id, bytes: 69)
        #expect(table.counts.evicted == 1)
        table.noteWriting(lines[3].id, bytes: 1)
        #expect(table.counts.evicted == 2)
        #expect(lines.map(isClosed) == [false, true, true, false])
    }

    @Test func `where nobody has stalled, nobody is closed`() throws {
        var limits = ServerLimits()
        limits.unreadBytes = 10
        let table = ConnectionTable(limits: limits)
        let line = try admit(table)
        table.noteWriting(line.id, bytes: 1_000)
        table.noteStall(line.id, isStalled: true)
        table.noteStall(line.id, isStalled: false)
        table.noteWriting(line.id, bytes: 1_000)
        #expect(table.counts.evicted == 0)
        #expect(!isClosed(line))
    }
}
