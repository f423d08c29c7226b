import FoundationEssentials
import Glibc
import TestSupport
import Testing

@Suite struct `What a loss of power leaves` {
    @Test func `is the whole backup once its manifest has its name: everything of it was made durable before`()
        async throws
    {
        try await Workplace.with { place in
            let trace = try await place.traced("backup")
            let id = try #require(try await place.listed().first)
            let folder = "\(place.repository)/clusters/apex/backups/\(id)"
            let names = try FileManager.default.contentsOfDirectory(atPath: folder)
            #expect(names.count >= 4)
            let commit = try #require(trace.begin { $0.publishes("\(folder)/manifest.json") })
            for name in names {
                let named = try #require(trace.begin { $0.publishes("\(folder)/\(name)") }, "\(name)")
                let temporary = try #require(trace.lines[named]?.source)
                #expect(
                    trace.hasEnded(before: named) { $0.name == "fsync" && $0.path == temporary },
                    "the bytes of \(name) before its name")
                let next = name == "manifest.json" ? trace.lines.count : commit
                #expect(
                    trace.hasEnded(after: named, before: next) { $0.name == "fsync" && $0.path == folder },
                    "the name of \(name) before the commit, and that of the manifest before the end")
            }
        }
    }

    @Test func `of a backup that is removed is never one that counts without its data`() async throws {
        try await Workplace.with { place in
            let removed = try await place.backUp()
            _ = try await place.backUp()
            try await place.succeed("verify", "--all")
            let trace = try await place.traced("prune", "--last", "1", "--minimum", "1", "--apply")
            #expect(try await place.listed().contains(removed) == false)
            let backups = "\(place.repository)/clusters/apex/backups"
            let folder = "\(backups)/\(removed)"
            let facts = "\(folder)/facts"
            let steps = [
                trace.span { $0.publishedPath?.hasPrefix("\(facts)/") == true },
                trace.span { $0.removes(in: folder) && $0.removedPath != "\(folder)/manifest.json" },
                trace.span { $0.removedPath == "\(folder)/manifest.json" },
                trace.span { $0.removes(in: facts) && $0.removedPath?.contains("-tombstone-") == false },
                trace.span { $0.removes(in: facts) && $0.removedPath?.contains("-tombstone-") == true },
            ]
            let folders = [facts, folder, folder, facts, backups]
            for (index, (step, changed)) in zip(steps, folders).enumerated() {
                let step = try #require(step, "step \(index)")
                let next = index + 1 < steps.count ? try #require(steps[index + 1]?.begin) : trace.lines.count
                #expect(step.end < next, "step \(index) is over before the next one")
                #expect(
                    trace.hasEnded(after: step.end, before: next) { $0.name == "fsync" && $0.path == changed },
                    "step \(index) is durable before the next one")
            }
        }
    }
}

extension `What a loss of power leaves` {
    @Test(.needsPhysicalBackups) func `is all WAL that a server was told is stored, whoever stored it`() async throws {
        try await ReceivingPlace.with { place in
            let (cluster, archiving) = (place.cluster, place.archiving)
            // The slot keeps WAL from the segment on that is written now.
            try await cluster.execute("CHECKPOINT")
            try await cluster.execute("SELECT pg_create_physical_replication_slot('\(ReceivingPlace.slot)', true)")
            var paths: [String] = []
            for _ in 0..<2 {
                let segment = try await archiving.writeSegment()
                try await archiving.succeed("wal", "push", "\(archiving.data)/pg_wal/\(segment)")
                paths.append(try archiving.path(of: segment))
            }
            var strace = archiving.tool
            strace.executable = "/usr/bin/strace"
            let file = "\(cluster.directory)/trace"
            let running = try await strace.start([
                "-f", "-y", "-qq", "-o", file, "-e", "trace=fsync", archiving.tool.executable, "wal", "receive",
            ])
            try await place.waitUntilStreaming(unlessEnded: running)
            for process in running.descendants() { kill(process.processIdentifier, SIGTERM) }
            let output = try await running.output()
            #expect(output.status == 0, "\(output.standardError)")
            let trace = SystemCalls(String(decoding: try Data(contentsOf: URL(filePath: file)), as: UTF8.self))
            for path in paths {
                let folder = path.split(separator: "/").dropLast().map { "/\($0)" }.joined()
                for durable in [path, folder, archiving.repository] {
                    #expect(
                        trace.hasEnded(before: trace.lines.count) { $0.name == "fsync" && $0.path == durable },
                        "\(durable)")
                }
            }
        }
    }
}

extension Workplace {
    /// Runs the tool, which must succeed, and returns what it asked of the file system.
    fileprivate func traced(_ arguments: String...) async throws -> SystemCalls {
        var strace = tool
        strace.executable = "/usr/bin/strace"
        let file = path("trace")
        let output = try await strace.run(
            [
                "-f", "-y", "-qq", "-o", file, "-e",
                "trace=fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat", tool.executable,
            ] + arguments)
        guard output.status == 0 else { throw UnexpectedEnd(arguments: arguments, output: output) }
        return SystemCalls(String(decoding: try directory.read("trace"), as: UTF8.self))
    }
}

/// System calls of a program and its threads, as `strace -f -y` writes them.
private struct SystemCalls {
    /// One call that succeeded.
    struct Call {
        var name: String
        /// Of `fsync`: the file.
        var path: String?
        /// Of a call that gives a file its name: the one it had.
        var source: String?
        var publishedPath: String?
        var removedPath: String?
        /// The line at which it had ended.
        var end: Int

        func publishes(_ path: String) -> Bool { publishedPath == path && source?.contains("/.tmp-") == true }

        /// Whether it removes an object of the folder, and no temporary name.
        func removes(in folder: String) -> Bool {
            guard let removedPath, removedPath.hasPrefix("\(folder)/") else { return false }
            let name = removedPath.dropFirst(folder.count + 1)
            return !name.contains("/") && !name.hasPrefix(".") && name != "facts"
        }
    }

    /// By the line at which they began; `nil` for a line that begins none.
    var lines: [Call?]

    init(_ text: String) {
        lines = []
        var unfinished: [Substring: Int] = [:]
        var beginnings: [Substring: Substring] = [:]
        for (number, line) in text.split(separator: "\n").enumerated() {
            lines.append(nil)
            guard let space = line.firstIndex(of: " ") else { continue }
            let thread = line[..<space]
            let rest = line[space...].drop { $0 == " " }
            if rest.hasSuffix("<unfinished ...>") {
                unfinished[thread] = number
                beginnings[thread] = rest.dropLast("<unfinished ...>".count)
            } else if rest.hasPrefix("<... "), let begun = unfinished[thread], let beginning = beginnings[thread] {
                let tail = rest.drop { $0 != ">" }.dropFirst()
                lines[begun] = Self.call(String(beginning) + tail, end: number)
            } else {
                lines[number] = Self.call(String(rest), end: number)
            }
        }
    }

    private static func call(_ text: String, end: Int) -> Call? {
        guard let parenthesis = text.firstIndex(of: "("), text.contains(/\) += 0$/) else { return nil }
        var call = Call(name: String(text[..<parenthesis]), end: end)
        if let match = text.firstMatch(of: /^fsync\(\d+<(.*)>\s*\)/) {
            call.path = String(match.1)
        } else if let match = text.firstMatch(
            of: /^(?:linkat|renameat2)\(\d+<(.*?)>, "(.*?)", \d+<(.*?)>, "(.*?)"/)
        {
            call.source = "\(match.1)/\(match.2)"
            call.publishedPath = "\(match.3)/\(match.4)"
        } else if let match = text.firstMatch(of: /^unlinkat\(\d+<(.*?)>, "(.*?)"/) {
            call.removedPath = "\(match.1)/\(match.2)"
        }
        return call
    }

    /// Where the first such call began.
    func begin(_ matches: (Call) -> Bool) -> Int? { lines.firstIndex { $0.map(matches) == true } }

    /// From the beginning of the first such call to the end of the last.
    func span(_ matches: (Call) -> Bool) -> (begin: Int, end: Int)? {
        guard let first = begin(matches), let last = lines.compactMap({ $0 }).filter(matches).map(\.end).max() else {
            return nil
        }
        return (first, last)
    }

    /// Whether such a call both began after the line `start` and had ended before the line `limit`.
    func hasEnded(after start: Int = -1, before limit: Int, _ matches: (Call) -> Bool) -> Bool {
        lines.enumerated().contains { number, call in
            guard let call else { return false }
            return number > start && call.end < limit && matches(call)
        }
    }
}
