import FoundationEssentials
import Glibc
import TestSupport
import Testing

/// SIGKILL at moments that are drawn by chance, but the same in every run of the tests: whatever had been done by then,
/// nothing is lost, nothing half done counts, and the same command succeeds afterwards.
@Suite(.serialized) struct `Killed at any moment` {
    /// Fractions of the time that an undisturbed run takes.
    private static let moments: [Double] = {
        var generator = SeededGenerator(seed: 20_261_121)
        return (0..<30).map { _ in Double.random(in: 0.05..<1, using: &generator) }
    }()

    /// How many of them every test takes.
    private static let rounds = 5

    /// The shorter time of two undisturbed runs: one that something else held up would put the kills after the end.
    private func whole(_ run: () async throws -> Void) async throws -> Duration {
        let clock = ContinuousClock()
        return min(try await clock.measure(run), try await clock.measure(run))
    }

    /// Runs the command, kills it when `fraction` of `whole` has passed, and waits until it is gone.
    ///
    /// Returns whether the kill ended it; if it came too late, `whole` was measured while others took the processors, and
    /// is halved for the next.
    private func kill(
        _ tool: CommandLineTool, _ arguments: [String], after fraction: Double, of whole: inout Duration
    ) async throws -> Bool {
        let running = try await tool.start(arguments)
        // What is tested is a moment, so it has to be waited for.
        try await Task.sleep(for: whole * fraction)
        running.send(SIGKILL)
        let isKilled = try await running.output().signal == SIGKILL
        if !isKilled { whole /= 2 }
        return isKilled
    }

    @Test func `a backup counts whole or not at all, and the next one is not hindered`() async throws {
        try await Workplace.with(rows: 4000, leaseExpiry: "400ms") { place in
            var known: Set<String> = []
            var whole = try await whole { known.insert(try await place.backUp()) }
            var kills = 0
            var hasInterrupted = false
            // On a busy machine the first ones may all come before a run is recorded, or after its commit.
            for (round, fraction) in Self.moments.enumerated() where round < Self.rounds || !hasInterrupted {
                kills += try await kill(place.tool, ["backup"], after: fraction, of: &whole) ? 1 : 0
                let afterKill = Set(try await place.listed())
                // Killed after its commit, it is a backup like any other.
                #expect(afterKill.isSuperset(of: known) && afterKill.count <= known.count + 1, "\(fraction)")
                let states = try await place.runs("backup")
                hasInterrupted = states.contains("interrupted")
                #expect(!states.contains("running"), "\(fraction)")
                // As long as a run takes now: what else the processors do changes.
                whole = try await ContinuousClock().measure { known = afterKill.union([try await place.backUp()]) }
                #expect(Set(try await place.listed()) == known, "\(fraction)")
                let reports = try await place.array("verify", "--all")
                #expect(Set(reports.compactMap { $0["id"]?.text }) == known)
                #expect(reports.allSatisfy { $0["problems"]?.elements.isEmpty == true })
            }
            #expect(kills > 0)
            #expect(hasInterrupted)

            // What they left is found and cleared away, the unfinished files too.
            let leftovers = try await place.array("list", "--all").filter { $0["state"]?.text == "interrupted" }
            #expect(try await !place.array("list", "--all").contains { $0["state"]?.text == "running" })
            let pruned = try await place.succeed("prune", "--apply", "--json").json()
            #expect(pruned["givenUp"]?.elements.count == leftovers.count)
            #expect(pruned["removed"]?.elements.isEmpty == true)
            let files = try FileManager.default.subpathsOfDirectory(atPath: "\(place.repository)/clusters/apex/backups")
            #expect(files.filter { $0.contains("/.") }.isEmpty)
            #expect(files.filter { $0.hasSuffix("/running.json") }.isEmpty)
            #expect(Set(try await place.listed()) == known)
        }
    }

    @Test func `a prune leaves whole backups, and the next one completes it`() async throws {
        let original = try TemporaryDirectory()
        let crafted = try CraftedRepository(at: original.path(of: "repository"))
        let days = 86_400
        for age in 20..<45 { try crafted.addBackup(secondsAgo: age * days) }
        let kept = [try crafted.addBackup(secondsAgo: 2 * days), try crafted.addBackup(secondsAgo: days)]
        let cluster = try await PostgresCluster.shared()
        let arguments = ["prune", "--days", "7", "--apply", "--now-is-right"]

        func copy() throws -> Workplace {
            let place = try Workplace(cluster, database: "unused", leaseExpiry: "400ms")
            try FileManager.default.copyItem(atPath: crafted.path, toPath: place.repository)
            return place
        }
        let undisturbed = [try copy(), try copy()]
        var next = undisturbed.makeIterator()
        var whole = try await whole { _ = try await next.next()?.tool.run(arguments) }
        for place in undisturbed { #expect(try await place.listed() == kept) }
        var kills = 0
        for (round, fraction) in Self.moments.enumerated() where round < Self.rounds || kills == 0 {
            let place = try copy()
            kills += try await kill(place.tool, arguments, after: fraction, of: &whole) ? 1 : 0
            let listed = try await place.listed()
            #expect(listed.suffix(2) == kept, "\(fraction)")
            try await place.succeed("verify", "--all")
            let again = try await place.tool.run(arguments)
            #expect(again.status == 0, "\(fraction): \(again.standardError)")
            #expect(try await place.listed() == kept, "\(fraction)")
            // A folder without a file is none: nothing sees it.
            let files = try place.contents().filter { !$0.value.isEmpty }.keys.map { $0.split(separator: "/") }
            let folders = Set(files.filter { $0.count > 4 && $0[3] == "backups" }.map { String($0[4]) })
            #expect(folders.sorted() == kept, "\(fraction)")
            let runs = try await place.runs("prune")
            #expect(runs.contains("succeeded") && !runs.contains("running"), "\(fraction): \(runs)")
        }
        #expect(kills > 0)
    }

    @Test func `a restore leaves no database under the name that was asked for unless it is whole`() async throws {
        try await Workplace.with(rows: 4000) { place in
            _ = try await place.backUp()
            let target = "\(place.database)_copy"
            let arguments = ["restore", "--to", place.cluster.url(target)]
            let second = "\(target)_2"
            var targets = [target, second].makeIterator()
            var whole = try await whole {
                let name = targets.next() ?? target
                _ = try await place.tool.run("restore", "--to", place.cluster.url(name))
                try await expectWhole(name, place)
            }
            try await drop(second, place)
            var kills = 0
            for (round, fraction) in Self.moments.enumerated() where round < Self.rounds || kills == 0 {
                try await drop(target, place)
                kills += try await kill(place.tool, arguments, after: fraction, of: &whole) ? 1 : 0
                #expect(try await haveRestoresEnded(place), "\(fraction)")
                if try await exists(target, place) {
                    try await expectWhole(target, place)
                } else {
                    let again = try await place.tool.run(arguments)
                    #expect(again.status == 0, "\(fraction): \(again.standardError)")
                    try await expectWhole(target, place)
                    let leftover = try await place.cluster.answer(
                        "SELECT datname FROM pg_database WHERE datname LIKE '\(target)\\_restoring\\_%'")
                    if let leftover {
                        #expect(again.standardError.contains("the database '\(leftover)' is half restored"))
                    }
                }
                #expect(try await place.runs("restore").contains("running") == false)
            }
            try await drop(target, place)
            #expect(kills > 0)
        }
    }

    /// Waits until the server is done with all restores of before, those of other tests too: it carries out in its own
    /// time what a killed run has asked for, and a database is made, or has its name, only then.
    private func haveRestoresEnded(_ place: Workplace) async throws -> Bool {
        let now = try #require(try await place.cluster.answer("SELECT clock_timestamp()"))
        let sessions = """
            SELECT count(*) FROM pg_stat_activity
            WHERE application_name = 'apex-backup restore' AND backend_start < '\(now)'
            """
        return try await eventually { try await place.cluster.answer(sessions) == "0" }
    }

    private func exists(_ database: String, _ place: Workplace) async throws -> Bool {
        try await place.cluster.answer("SELECT 1 FROM pg_database WHERE datname = '\(database)'") != nil
    }

    private func expectWhole(_ database: String, _ place: Workplace) async throws {
        #expect(try await place.cluster.answer("SELECT count(*) FROM t", database: database) == "4000")
        let indexes = try await place.cluster.answer(
            "SELECT count(*) FROM pg_indexes WHERE tablename = 't'", database: database)
        #expect(indexes == "1")
    }

    /// Drops the database, and what killed restores into it have left.
    private func drop(_ database: String, _ place: Workplace) async throws {
        while let name = try await place.cluster.answer(
            "SELECT datname FROM pg_database WHERE datname = '\(database)' OR datname LIKE '\(database)\\_restoring\\_%'"
        ) {
            try await place.cluster.execute("DROP DATABASE IF EXISTS \"\(name)\" WITH (FORCE)")
        }
    }
}
