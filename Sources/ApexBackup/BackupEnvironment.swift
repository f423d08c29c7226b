public import BackupModel
import BackupStorage
import FoundationEssentials
import PostgresAccess

/// The effects that operations are given: clocks, chance, environment variables, where to tell what happens.
public struct BackupEnvironment: Sendable {
    /// The clocks.
    public var clocks: Clocks
    /// The environment variables of this process, as far as operations may read them.
    public var variables: [String: String]
    /// Sixteen bits of chance for names.
    public var chance: @Sendable () -> UInt16
    /// Told what happens while it happens.
    ///
    /// Called from several threads.
    public var events: @Sendable (BackupEvent) -> Void
    /// The name of this host.
    public var host: String
    /// This process.
    public var process: ProcessIdentity
    /// The version of this program.
    public var toolVersion: String
    /// Whether this program is to end, for threads that belong to no task; a cancelled task is asked itself.
    public var isEnding: @Sendable () -> Bool = { false }
    /// How long a lease lives without a heartbeat; heartbeats come four times as often.
    public var leaseExpiry: Duration

    /// Makes an environment of this host and process.
    public init(
        clocks: Clocks = .system, variables: [String: String] = [:],
        chance: @escaping @Sendable () -> UInt16 = { UInt16.random(in: .min ... .max) },
        leaseExpiry: Duration = .seconds(60), events: @escaping @Sendable (BackupEvent) -> Void = { _ in }
    ) {
        self.clocks = clocks
        self.variables = variables
        self.chance = chance
        self.events = events
        self.leaseExpiry = leaseExpiry
        host = HostFacts.name
        process = HostFacts.currentProcess
        toolVersion = ToolVersion.text
    }

    /// A new name for a run that starts now.
    package func makeRunID() -> RunID { RunID(at: clocks.wall(), chance: chance()) }

    package func warn(_ text: String) { events(.warning(text)) }
    package func note(_ text: String) { events(.note(text)) }
}

/// The version of this program.
public enum ToolVersion {
    /// For example `0.1.0`.
    public static let text = "0.1.0"
}

/// What Linux tells about this host and its processes.
enum HostFacts {
    private static let host = ProcessHost(name: text(of: ProcessHost.nameFile), boot: text(of: ProcessHost.bootFile))

    static let name = host.name.isEmpty ? "unknown" : host.name

    static var boot: String { host.boot }

    static let currentProcess = host.thisProcess(status: text(of: "/proc/self/stat"))

    static let kernel = text(of: "/proc/sys/kernel/osrelease").map { "Linux \($0.prefix { !$0.isNewline })" }

    static let processorCount = ProcessInfo.processInfo.activeProcessorCount

    static let memoryBytes = Int64(ProcessInfo.processInfo.physicalMemory)

    /// Whether `process` is certainly gone; `false` when it lives or cannot be known.
    static func isGone(_ process: ProcessIdentity, on host: String) -> Bool {
        self.host.isGone(process, on: host, status: text(of: ProcessHost.statusFile(of: process.pid)))
    }

    /// Whether `process` certainly lives; `false` when it is gone or cannot be known.
    static func isAlive(_ process: ProcessIdentity, on host: String) -> Bool {
        self.host.isAlive(process, on: host, status: text(of: ProcessHost.statusFile(of: process.pid)))
    }

    private static func text(of path: String) -> String? {
        (try? Data(contentsOf: URL(filePath: path))).map { String(decoding: $0, as: UTF8.self) }
    }
}

extension HostFacts {
    static func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }
}

/// Whether this process may run the file at `path`.
func isExecutable(_ path: String) -> Bool { FileManager.default.isExecutableFile(atPath: path) }

/// Makes room for as many open files as the jobs of a backup need.
///
/// - Throws: an error when this process may not have them: what starts without them stops somewhere, without a word.
package func requireOpenFiles() throws(BackupError) {
    let limit = raiseOpenFileLimit()
    guard limit < 256 else { return }
    throw BackupError(
        .settings, "This program may not open enough files: \(limit).", reason: "it needs 256",
        remedy: "Raise the limit (ulimit -n, or LimitNOFILE of a systemd unit), and run the command again.",
        unchanged: "Nothing was done.")
}
