package import BackupModel
import BackupStorage

/// Reads ahead for a server that recovers: keeps the next segments in the spool, while it takes them.
///
/// It ends by itself: with the recovery or when no segment was taken for a while, and then leaves none; with the server,
/// which may go on recovering when it is started again; or at the first thing that goes wrong, which `wal get` will meet
/// and tell when it is its turn.
package struct WALPrefetchWorker: Sendable {
    /// The spool, from the data directory.
    static let standardSpool = "pg_wal/\(WALSpool.standardName)"

    /// How long it waits for the next segment to be taken.
    package static let standardIdleSeconds = 60

    private static let jobs = 2
    private static let pause = Duration.milliseconds(20)

    private let archive: WALArchive
    private let size: WALSegmentSize
    private let spool: WALSpool
    private let count: Int
    private let idleTime: Duration

    /// Works beside the server that recovers on the current directory; `nil` if there is none.
    package init?(
        repository: Repository, systemIdentifier: String?, spool: String?, count: Int, idleTime: Duration
    ) throws(BackupError) {
        guard isRecovery("."), isServerRunning(on: "."), let control = try controlFile(inDataDirectory: "."),
            let size = WALSegmentSize(bytes: control.layout.walSegmentSize)
        else { return nil }
        archive = try WALArchive(
            repository, systemIdentifier: systemIdentifier ?? "\(control.systemIdentifier)")
        self.spool = try WALSpool(.get, at: spool ?? Self.standardSpool, for: archive, dataDirectory: ".")
        self.size = size
        self.count = count
        self.idleTime = idleTime
    }

    /// Reads ahead until there is no reason to any more; returns at once if another worker does.
    package func run() async throws {
        guard let life = try spool.becomeWorker() else { return }
        defer { withExtendedLifetime(life) {} }
        // Not what a caller is just announcing: without that nothing is read ahead.
        try spool.directory.removeUnfinished { WALSegmentName(parsing: $0, segmentSize: size) != nil }
        try spool.removeAbandoned()
        try await withThrowingTaskGroup { group in
            for _ in 0..<Self.jobs { group.addTask { try await readAhead() } }
            try await group.waitForAll()
        }
        guard isServerRunning(on: ".") else { return }
        for segment in try spool.segments(size: size) { try spool.directory.remove("\(segment)") }
    }

    private func readAhead() async throws {
        let clocks = archive.repository.environment.clocks
        var asked = try spool.asked(size: size)
        var since = clocks.monotonic()
        // Behind what the server has got the archive ends: it is asked again when the server has got more.
        var isAtEnd = false
        while isRecovery("."), isServerRunning(on: "."), clocks.monotonic() - since < idleTime {
            if let now = try spool.asked(size: size), now != asked {
                (asked, since, isAtEnd) = (now, clocks.monotonic(), false)
            }
            if let asked, !isAtEnd {
                switch try bringNext(after: asked) {
                case .brought: continue
                case .nothing: break
                case .atEnd: isAtEnd = true
                }
            }
            try await clocks.sleep(Self.pause)
        }
    }

    private enum Step { case brought, nothing, atEnd }

    /// Brings the first segment that is lacking and that nobody brings yet.
    private func bringNext(after asked: WALSegmentName) throws(BackupError) -> Step {
        let spooled = try spool.segments(size: size)
        let plan = WALReadAhead.plan(after: asked, spooled: Set(spooled.map(\.segment)), count: count)
        for segment in spooled where plan.remove.contains(segment.segment) {
            try spool.directory.remove("\(segment)")
        }
        for segment in plan.fetch {
            guard let claim = try spool.claimIfFree("\(segment)") else { continue }
            defer { claim.giveBack() }
            // It may have come, or have been taken, since the spool was looked at.
            if try spool.segments(size: size).contains(where: { $0.segment == segment }) { continue }
            if let now = try spool.asked(size: size), now != asked { return .brought }
            return try bring(segment) ? .brought : .atEnd
        }
        return .nothing
    }

    private func bring(_ segment: WALSegmentName) throws(BackupError) -> Bool {
        guard try WALReadAhead.hasRoom(spool.directory.freeBytes(), count: count, size: size) else {
            throw BackupError(
                .repositoryFull, "The spool '\(spool.directory.path)' has no room to read ahead.",
                remedy: "Make room there, or name another place with --spool.")
        }
        guard try archive.isStoredWhole(segment) else { return false }
        let file = try SpoolFile("\(segment)", in: spool.directory)
        guard try archive.readChecked(segment, into: file), isServerRunning(on: ".") else { return false }
        try file.finish { "\(SpooledSegment(segment, modified: $0.modified))" }
        return true
    }
}
