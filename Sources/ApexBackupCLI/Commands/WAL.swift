import ApexBackup
import ArgumentParser
import BackupModel
import FoundationEssentials

struct WAL: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "wal",
        abstract: "Archive the write-ahead log, and bring it back.",
        discussion: """
            EXAMPLE
              apex-backup wal push pg_wal/000000010000000000000003

            EXIT STATUS
              0 done   1 failed   64 wrong usage   78 wrong settings; 'wal get' has its own
            """,
        subcommands: [
            WALPushCommand.self, WALGetCommand.self, WALReceiveCommand.self, WALHeartbeatCommand.self,
            WALStatusCommand.self, WALIndexCommand.self, WALPrefetchCommand.self, WALPushAheadCommand.self,
        ])
}

struct WALPushCommand: OperatorCommand {
    static let configuration = CommandConfiguration(
        commandName: "push",
        abstract: "Archive a file of WAL: PostgreSQL's archive_command.",
        discussion: """
            archive_command = '/usr/bin/apex-backup wal push --policy /etc/apex-backup/policy.yaml %p'

            The segment must be the one that its name says, of a registered server. It is durable before this ends with \
            0. The same file again is success; another one of the same name never is.

            With --async the files that wait behind it are archived meanwhile, by a worker that ends when none is left: \
            when PostgreSQL asks for them, they are done.

            EXAMPLE
              apex-backup wal push pg_wal/000000010000000000000003

            EXIT STATUS
              0 archived   1 failed   64 wrong usage   78 wrong settings: PostgreSQL keeps the file and asks again
            """)

    @OptionGroup var common: CommonOptions

    @OptionGroup var pushing: WALPushOptions

    @Flag(name: .customLong("async"), help: "Archive what waits behind the file too, several files at once.")
    var isAsynchronous = false

    @Argument(help: "The file's path: %p.")
    var path: String

    func execute(on console: Console) async throws -> Int32 {
        let settings = try common.settings(console)
        let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        let worker = WALWorker(
            arguments: ["wal", "push-ahead", folder] + pushing.arguments + common.arguments,
            environment: settings.environment.variables)
        let result = try WALPush(
            repository: try settings.repository(), level: try pushing.level(for: path)
        ).run(
            path, of: pushing.systemIdentifier,
            ahead: isAsynchronous ? WALLookAhead.Settings(spool: pushing.spool, worker: worker) : nil)
        console.hasDone("Archived \(result.name).")
        if console.isJSON { console.print(json: result) }
        return 0
    }
}

/// How `wal get` tells PostgreSQL what is certain and what is not.
enum WALGetMode: String, ExpressibleByArgument, Sendable {
    /// A server that recovers to a target: it takes 1…125 for the end of the WAL, and promotes.
    case recovery
    /// A standby: it ends with 126 and above, and asks again after 1…125.
    case standby

    /// What a data directory asks for: that of a standby, or the strict one.
    static func standard(in directory: String = ".") -> WALGetMode {
        FileManager.default.fileExists(atPath: "\(directory)/standby.signal") ? .standby : .recovery
    }

    /// The status that says that nothing is known.
    var statusOfFailure: Int32 {
        switch self {
        case .recovery: 126
        case .standby: 75
        }
    }
}

struct WALGetCommand: OperatorCommand {
    static let configuration = CommandConfiguration(
        commandName: "get",
        abstract: "Bring a file of WAL: PostgreSQL's restore_command.",
        discussion: """
            restore_command = '/usr/bin/apex-backup wal get --policy /etc/apex-backup/policy.yaml %f %p'

            PostgreSQL takes the statuses 1 to 125 for the end of the WAL and promotes. So 1 is answered only when the \
            repository itself said that the file is not there, nothing later is, and nobody is storing it just now: a \
            slow upload is waited for, up to ten minutes. A repository that does not answer is asked again for a few \
            seconds. Whatever else goes wrong, wrong arguments included, ends a recovering server (126); a standby asks \
            again (75).

            While a server recovers on the current directory, a worker reads the next segments ahead. It ends with the \
            recovery, or when none was taken for a minute.

            EXAMPLE
              apex-backup wal get 000000010000000000000003 pg_wal/RECOVERYXLOG

            EXIT STATUS
              0 brought   1 certainly absent   126 not known (--mode recovery)   75 not known (--mode standby)
            """)

    @OptionGroup var common: CommonOptions

    @Option(help: "recovery or standby; what the data directory says unless given.")
    var mode: WALGetMode?

    @Option(help: "The cluster's system identifier; that of the data directory unless given.")
    var systemIdentifier: String?

    @Option(help: "A segment of which what is stored is taken when it is not there whole.")
    var partial: String?

    @Option(help: "The same, as long as nothing is stored behind it.")
    var partialAtEnd: String?

    @OptionGroup var ahead: WALReadAheadOptions

    @Argument(help: "The file's name: %f.")
    var name: String

    @Argument(help: "Where to put it: %p.")
    var path: String

    func execute(on console: Console) async throws -> Int32 {
        let settings = try common.settings(console)
        let isRecovery = effectiveMode == .recovery
        let outcome = try await WALGet(
            .init(
                name: name, path: path, systemIdentifier: systemIdentifier, pieces: isRecovery ? pieces : nil,
                prefetch: prefetch(settings.environment),
                patience: isRecovery ? WALGet.patience : WALGet.patienceOfStandby),
            environment: settings.environment
        ) { try settings.repository() }.run()
        if outcome != .absent { console.hasDone("Brought \(name).") }
        if console.isJSON { console.print(json: ["name": name, "outcome": "\(outcome)"]) }
        return outcome == .absent ? 1 : 0
    }

    func exitStatus(of error: BackupError) -> Int32 { effectiveMode.statusOfFailure }

    private var pieces: WALGet.Pieces? {
        partial.map { WALGet.Pieces(segment: $0, atEndOnly: false) }
            ?? partialAtEnd.map { WALGet.Pieces(segment: $0, atEndOnly: true) }
    }

    private func prefetch(_ environment: BackupEnvironment) -> WALPrefetch.Settings {
        let worker = WALWorker(
            arguments: ["wal", "prefetch"] + ahead.arguments + option("--system-identifier", systemIdentifier)
                + common.arguments, environment: environment.variables)
        return WALPrefetch.Settings(count: ahead.prefetch, spool: ahead.spool, worker: worker)
    }

    private var effectiveMode: WALGetMode { mode ?? .standard() }

    /// Whether these are arguments of this command, as far as can be told of arguments that may be wrong, and which mode
    /// they name.
    static func mode(ofArguments arguments: [String]) -> WALGetMode? {
        guard let wal = arguments.firstIndex(of: "wal"), arguments[wal...].contains("get") else { return nil }
        for (index, argument) in arguments.enumerated() {
            if argument == "--mode=standby" { return .standby }
            if argument == "--mode", arguments.dropFirst(index + 1).first == "standby" { return .standby }
            if argument.hasPrefix("--mode") { return .recovery }
        }
        return .standard()
    }
}

struct WALStatusCommand: OperatorCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Say whether the archived WAL is whole, and which moments can be restored.",
        discussion: """
            Without --ask-server the server is not asked: it may be gone. What was committed after the newest archived \
            segment is lost with it. A log folder that was rolled up is not listed again: 'restore --dry-run' and \
            'verify --all' see what was removed from one.

            EXAMPLE
              apex-backup wal status

            EXIT STATUS
              0 nothing is wrong   1 a warning, or something critical   64 wrong usage   78 wrong settings
            """)

    @OptionGroup var common: CommonOptions

    @Flag(help: "Ask the server what it has written and not archived.")
    var askServer = false

    func execute(on console: Console) async throws -> Int32 {
        let settings = try common.settings(console)
        let repository = try settings.repository()
        let server = askServer ? try await ServerWAL.ask(try settings.connection()) : nil
        let reports = try WALArchiveInspection(
            repository: repository, rpo: settings.policy.objectives.rpo, server: server
        ).reports()
        if console.isJSON {
            console.print(json: reports)
        } else {
            if reports.isEmpty { console.print("There is no physical backup, to which WAL could be applied.") }
            for report in reports { show(report, on: console) }
        }
        return reports.allSatisfy { $0.status.level == .ok } ? 0 : 1
    }

    private func show(_ report: WALArchiveInspection.Report, on console: Console) {
        console.print("System identifier \(report.systemIdentifier): \(report.status.level.rawValue)")
        for run in report.segments {
            console.print("  stored       \(run.first) to \(run.last), \(run.count) segments")
        }
        if let end = report.piecesEnd { console.print("  received     up to \(end), in pieces") }
        for gap in report.lost {
            console.print("  lost         \(gap.from) to \(gap.to) on timeline \(gap.timeline)")
        }
        for window in report.windows {
            let from = window.fromTime.map { " (\($0.readable))" } ?? ""
            let missing = window.missing.map { ", then \($0) is missing" } ?? ""
            console.print(
                "  restorable   timeline \(window.timeline): \(window.from)\(from) to \(window.to)\(missing)")
        }
        for gap in report.status.gaps {
            console.print("  missing      \(gap.first) to \(gap.last), \(gap.count) segments: \(gap.state.rawValue)")
        }
        if let lag = report.status.lag {
            console.print("  lag          \(formatBytes(Int64(clamping: lag.bytes))) of finished segments")
        }
        if let bytes = report.status.exposure.bytes {
            console.print("  exposure     \(formatBytes(Int64(clamping: bytes))) of WAL would be lost")
        }
        if let time = report.status.exposure.atMost {
            console.print("  exposure     the last commit that is stored is \(DurationText.format(time)) old")
        }
        console.print(
            "  looked at    \(report.index.listed) log folders; \(report.index.rolledUp) are whole by their roll-ups")
        for finding in report.status.findings {
            console.print("  \(finding.level.rawValue.uppercased()): \(finding.text)")
        }
    }
}
