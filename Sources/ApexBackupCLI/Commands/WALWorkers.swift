import ApexBackup
import ArgumentParser
import BackupModel

/// The worker that `wal get` starts.
struct WALPrefetchCommand: OperatorCommand {
    static let configuration = CommandConfiguration(
        commandName: "prefetch",
        abstract: "Read WAL ahead for the server of the current directory: 'wal get' starts it.",
        discussion: """
            EXAMPLE
              apex-backup wal prefetch --prefetch 8

            EXIT STATUS
              0 ended   1 failed
            """,
        shouldDisplay: false)

    @OptionGroup var common: CommonOptions
    @OptionGroup var ahead: WALReadAheadOptions

    @Option(help: "The cluster's system identifier; that of the data directory unless given.")
    var systemIdentifier: String?

    @Option(help: "How many seconds to wait for the next segment to be taken.")
    var idle = WALPrefetchWorker.standardIdleSeconds

    func execute(on console: Console) async throws -> Int32 {
        try await WALPrefetchWorker(
            repository: try common.settings(console).repository(), systemIdentifier: systemIdentifier,
            spool: ahead.spool, count: ahead.prefetch, idleTime: Duration.seconds(idle)
        )?.run()
        return 0
    }

    func exitStatus(of error: BackupError) -> Int32 { statusOfFailedWorker }
}

/// The worker that `wal push --async` starts.
struct WALPushAheadCommand: OperatorCommand {
    static let configuration = CommandConfiguration(
        commandName: "push-ahead",
        abstract: "Archive all WAL that waits: 'wal push --async' starts it.",
        discussion: """
            EXAMPLE
              apex-backup wal push-ahead pg_wal

            EXIT STATUS
              0 ended   1 failed
            """,
        shouldDisplay: false)

    @OptionGroup var common: CommonOptions
    @OptionGroup var pushing: WALPushOptions

    @Argument(help: "The directory of the server's WAL.")
    var folder: String

    func execute(on console: Console) async throws -> Int32 {
        let settings = try common.settings(console)
        try await WALPushWorker(
            WALPush(repository: try settings.repository(), level: try pushing.level(for: folder)), folder: folder,
            systemIdentifier: pushing.systemIdentifier, spool: pushing.spool,
            jobs: pushing.jobs ?? settings.policy.jobs ?? WALPushWorker.standardJobs
        )?.run()
        return 0
    }

    func exitStatus(of error: BackupError) -> Int32 { statusOfFailedWorker }
}

/// Where PostgreSQL is the first process of a container it inherits the workers, and takes every other status for the
/// crash of a process of its own.
private let statusOfFailedWorker: Int32 = 1

/// How `wal get` reads ahead.
struct WALReadAheadOptions: ParsableArguments, Sendable {
    @Option(help: "How many segments are read ahead; 0 for none.")
    var prefetch = WALReadAhead.standardCount

    @Option(help: "Where they are kept; pg_wal/.apex-backup unless given.")
    var spool: String?

    func validate() throws {
        guard WALReadAhead.possibleCounts.contains(prefetch) else {
            throw ValidationError("--prefetch takes 0 to \(WALReadAhead.possibleCounts.upperBound).")
        }
    }

    var arguments: [String] { ["--prefetch", "\(prefetch)"] + option("--spool", spool) }
}

/// How `wal push` archives.
struct WALPushOptions: ParsableArguments, Sendable {
    @Option(help: "zstd:1 … zstd:19.")
    var compression = Compression.zstd(level: WALPush.standardLevel)

    @Option(help: "The cluster's system identifier; that of the data directory or of the file unless given.")
    var systemIdentifier: String?

    @Option(help: "With --async: where acknowledgements are kept; pg_wal/.apex-backup unless given.")
    var spool: String?

    @Option(help: "With --async: how many files are archived at once.")
    var jobs: Int?

    func validate() throws {
        if let jobs, !BackupPolicy.possibleJobs.contains(jobs) {
            throw ValidationError("--jobs takes 1 to \(BackupPolicy.possibleJobs.upperBound).")
        }
    }

    func level(for path: String) throws(BackupError) -> Int {
        guard case .zstd(let level) = compression else {
            throw BackupError(
                .usage, "WAL is not compressed with \(compression).", remedy: "Give --compression zstd:1 … zstd:19.",
                unchanged: "'\(path)' was not archived.")
        }
        return level
    }

    var arguments: [String] {
        ["--compression", "\(compression)"] + option("--system-identifier", systemIdentifier)
            + option("--spool", spool) + option("--jobs", jobs.map { "\($0)" })
    }
}

extension CommonOptions {
    /// The options by which a worker of this program finds the same repository.
    var arguments: [String] {
        option("--policy", policy) + option("--repository", repository) + option("--cluster", cluster)
    }
}

/// An option and its value as arguments; none without a value.
func option(_ name: String, _ value: String?) -> [String] { value.map { ["\(name)=\($0)"] } ?? [] }
