import ApexBackup
import ArgumentParser
import BackupModel
import Dispatch
import FoundationEssentials
import Glibc
import Synchronization

/// The program: parses arguments, runs the command on threads of its own, and ends with its exit status.
@main
enum EntryPoint {
    static func main() async {
        let arguments = Array(CommandLine.arguments.dropFirst())
        let status = await run(arguments)
        // Whoever reads the output must not take a part of it for all.
        exit(status == 0 && Console.isOutcomeLost ? 1 : status)
    }

    private static func run(_ arguments: [String]) async -> Int32 {
        let parsed: any ParsableCommand
        do {
            parsed = try commandOfServer(arguments) ?? ApexBackupCommand.parseAsRoot(arguments)
        } catch {
            return reportUsage(error, arguments: arguments)
        }
        guard let command = parsed as? any OperatorCommand else {
            do {
                var command = parsed
                try command.run()
                return 0
            } catch {
                return reportUsage(error, arguments: arguments)
            }
        }
        return await run(command)
    }

    /// The command that a server starts for every file of WAL, read without a look at all the others.
    ///
    /// What is wrong with its arguments, and help, is told by the parser of all commands.
    private static func commandOfServer(_ arguments: [String]) -> (any ParsableCommand)? {
        switch arguments.prefix(2) {
        case ["wal", "get"]: try? WALGetCommand.parse(Array(arguments.dropFirst(2)))
        case ["wal", "push"]: try? WALPushCommand.parse(Array(arguments.dropFirst(2)))
        default: nil
        }
    }

    /// Whether a signal asked this program to end.
    static var isEnding: Bool { signalled.load(ordering: .relaxed) }
    private static let signalled = Atomic(false)

    private static func run(_ command: any OperatorCommand) async -> Int32 {
        let console = Console(command: command.common)
        let task = Task(executorPreference: ThreadedExecutor.shared) {
            do {
                try requireOpenFiles()
                return try await command.execute(on: console)
            } catch {
                let known = RunLog.describe(error)
                console.report(known)
                return command.exitStatus(of: known)
            }
        }
        let numbers = [SIGTERM, SIGINT] + (isHangupIgnored ? [] : [SIGHUP])
        let signals = numbers.map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler {
                signalled.store(true, ordering: .relaxed)
                task.cancel()
            }
            source.resume()
            return source
        }
        defer { for source in signals { source.cancel() } }
        return await task.value
    }

    /// Whether this program was started to outlive its terminal, as nohup does.
    private static var isHangupIgnored: Bool {
        guard let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8),
            let line = status.firstMatch(of: /SigIgn:\s*([0-9a-f]+)/), let mask = UInt64(line.1, radix: 16)
        else { return false }
        return mask & (1 << (UInt64(SIGHUP) - 1)) != 0
    }

    /// Moves the example and the exit statuses, which stand in the discussion before the usage, to the end of a help.
    private static func withExampleLast(_ help: String) -> String {
        guard let example = help.firstRange(of: "EXAMPLE\n"), let usage = help.firstRange(of: "USAGE:"),
            example.lowerBound < usage.lowerBound
        else { return help }
        var rest = String(help[usage.lowerBound...])
        while rest.last?.isNewline == true { rest.removeLast() }
        var last = String(help[example.lowerBound..<usage.lowerBound])
        while last.last?.isNewline == true { last.removeLast() }
        return "\(help[..<example.lowerBound])\(rest)\n\n\(last)"
    }

    /// Help and version go to standard output with 0; wrong arguments to standard error with 64.
    private static func reportUsage(_ error: any Error, arguments: [String]) -> Int32 {
        let code = ApexBackupCommand.exitCode(for: error)
        let message = ApexBackupCommand.fullMessage(for: error)
        // A server that asks for help beside a file of WAL would take 0 for the file being archived, or brought.
        let isOfServer = arguments.count > 3 && arguments.first == "wal" && ["get", "push"].contains(arguments[1])
        if code == .success, !isOfServer {
            Console.write("\(withExampleLast(message))\n")
            return 0
        }
        func shown(_ text: String) -> String { withoutControls(hidingPasswords(of: arguments, in: text)) }
        if arguments.contains("--json") {
            let usage = BackupError(
                .usage, shown(ApexBackupCommand.message(for: error)), remedy: "See 'apex-backup --help'.",
                unchanged: "Nothing was done.")
            Console.printJSON(ErrorDocument(error: usage))
        } else {
            Console.writeError(shown(message))
        }
        return WALGetCommand.mode(ofArguments: arguments)?.statusOfFailure ?? ErrorCode.usage.exitStatus
    }
}

/// A command that operates on a repository.
protocol OperatorCommand: ParsableCommand, Sendable {
    /// The options every command has.
    var common: CommonOptions { get }

    /// Does what was asked and returns the exit status; what fails is thrown.
    func execute(on console: Console) async throws -> Int32

    /// The exit status that tells of what failed.
    func exitStatus(of error: BackupError) -> Int32
}

extension OperatorCommand {
    func exitStatus(of error: BackupError) -> Int32 { error.code.exitStatus }
}

/// The root of all commands.
struct ApexBackupCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "apex-backup",
        abstract: "Backs up, restores and drills PostgreSQL: a backup is worth what its last restore proved.",
        discussion: """
            Settings come from a policy file (--policy, APEX_BACKUP_POLICY, /etc/apex-backup/policy.yaml), then \
            APEX_BACKUP_* variables, then flags. Without a file, APEX_DATABASE_URL and --repository are enough.

            EXAMPLE
              export APEX_DATABASE_URL=postgresql://backup@db.example.com/apex
              apex-backup init --repository file:///var/lib/apex-backup
              apex-backup backup --repository file:///var/lib/apex-backup

            EXIT STATUS
              0 done or PASS   1 failed or FAIL   2 NOT VERIFIED   3 clean-up failed
              64 wrong usage   78 wrong settings
            """,
        version: "apex-backup \(ToolVersion.text)",
        subcommands: [
            Init.self, Backup.self, List.self, Show.self, Verify.self, Restore.self, Prune.self, Hold.self,
            Release.self, WAL.self, Mark.self, DoctorCommand.self, Drill.self,
        ])
}
