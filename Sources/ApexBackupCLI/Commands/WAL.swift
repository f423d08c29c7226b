import ApexBackup
import ArgumentParser
import BackupModel
import FoundationEssentials

struct WAL: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Archive the write-ahead log, and bring it back.",
        discussion: """
            EXAMPLE
              apex-backup wal push pg_wal/000000010000000000000003

            EXIT STATUS
              0 done   1 failed   64 wrong usage   78 wrong settings; 'wal get' has its own
            """,
        subcommands: [WALPushCommand.self, WALGetCommand.self, WALStatusCommand.self])
}

struct WALPushCommand: OperatorCommand {
    static let configuration = CommandConfiguration(
        commandName: "push",
        abstract: "Archive a file of WAL: PostgreSQL's archive_command.",
        discussion: """
            archive_command = '/usr/bin/apex-backup wal push --policy /etc/apex-backup/policy.yaml %p'

            The segment must be the one that its name says, of a registered server. It is durable before this ends with \
            0. The same file again is success; another one of the same name never is.

            EXAMPLE
              apex-backup wal push pg_wal/000000010000000000000003

            EXIT STATUS
              0 archived   1 failed   64 wrong usage   78 wrong settings: PostgreSQL keeps the file and asks again
            """)

    @OptionGroup var common: CommonOptions

    @Option(help: "zstd:1 … zstd:19.")
    var compression = Compression.zstd(level: WALPush.standardLevel)

    @Option(help: "The cluster's system identifier; that of the data directory or of the file unless given.")
    var systemIdentifier: String?

    @Argument(help: "The file's path: %p.")
    var path: String

    func execute(on console: Console) async throws -> Int32 {
        guard case .zstd(let level) = compression else {
            throw BackupError(
                .usage, "WAL is not compressed with \(compression).", remedy: "Give --compression zstd:1 … zstd:19.",
                unchanged: "'\(path)' was not archived.")
        }
        let result = try WALPush(repository: try common.settings(console).repository(), level: level).run(
            path, of: systemIdentifier)
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
            repository itself said that the file is not there, and nothing later is. Whatever else goes wrong, wrong \
            arguments included, ends a recovering server (126); a standby asks again (75).

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

    @Argument(help: "The file's name: %f.")
    var name: String

    @Argument(help: "Where to put it: %p.")
    var path: String

    func execute(on console: Console) async throws -> Int32 {
        let outcome = try await WALGet(
            repository: try common.settings(console).repository(),
            request: .init(
                name: name, path: path, systemIdentifier: systemIdentifier,
                pieces: effectiveMode == .recovery ? pieces : nil)
        ).run()
        if outcome == .delivered { console.hasDone("Brought \(name).") }
        if console.isJSON { console.print(json: ["name": name, "outcome": "\(outcome)"]) }
        return outcome == .delivered ? 0 : 1
    }

    func exitStatus(of error: BackupError) -> Int32 { effectiveMode.statusOfFailure }

    private var pieces: WALGet.Pieces? {
        partial.map { WALGet.Pieces(segment: $0, atEndOnly: false) }
            ?? partialAtEnd.map { WALGet.Pieces(segment: $0, atEndOnly: true) }
    }

    private var effectiveMode: WALGetMode { mode ?? .standard() }

    /// Whether these are arguments of this command, as far as can be told of arguments that may be wrong, and which mode
    /// they name.
    static func mode(ofArguments arguments: [String]) -> WALGetMode? {
        guard zip(arguments, arguments.dropFirst()).contains(where: { $0 == ("wal", "get") }) else { return nil }
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
            The server is not asked. What was committed after the newest archived segment is lost with it.

            EXAMPLE
              apex-backup wal status

            EXIT STATUS
              0 nothing is wrong   1 a warning, or something critical   64 wrong usage   78 wrong settings
            """)

    @OptionGroup var common: CommonOptions

    func execute(on console: Console) async throws -> Int32 {
        let settings = try common.settings(console)
        let reports = try WALArchiveInspection(
            repository: try settings.repository(), rpo: settings.policy.objectives.rpo
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
        for window in report.windows {
            let from = window.fromTime.map { " (\($0.readable))" } ?? ""
            let missing = window.missing.map { ", then \($0) is missing" } ?? ""
            console.print(
                "  restorable   timeline \(window.timeline): \(window.from)\(from) to \(window.to)\(missing)")
        }
        if let time = report.status.exposure.atMost {
            console.print("  exposure     the last commit that is stored is \(DurationText.format(time)) old")
        }
        for finding in report.status.findings {
            console.print("  \(finding.level.rawValue.uppercased()): \(finding.text)")
        }
    }
}
