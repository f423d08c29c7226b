public import BackupModel
import FoundationEssentials

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
    static let name = firstLine("/proc/sys/kernel/hostname") ?? "unknown"

    static let boot = firstLine("/proc/sys/kernel/random/boot_id") ?? "unknown"

    static let currentProcess: ProcessIdentity = {
        let pid = firstLine("/proc/self/stat").flatMap { Int32($0.prefix { $0 != " " }) } ?? 0
        return ProcessIdentity(pid: pid, startTicks: startTicks(of: pid) ?? 0, boot: boot)
    }()

    static let kernel = firstLine("/proc/sys/kernel/osrelease").map { "Linux \($0)" }

    static let processorCount = ProcessInfo.processInfo.activeProcessorCount

    static let memoryBytes = Int64(ProcessInfo.processInfo.physicalMemory)

    /// Whether `process`, of this host, is certainly gone.
    ///
    /// `false` when it lives or cannot be known.
    static func isGone(_ process: ProcessIdentity, on host: String) -> Bool {
        guard host == name else { return false }
        return process.boot != boot || startTicks(of: process.pid) != process.startTicks
    }

    /// Field 22 of `/proc/<pid>/stat`, counted after the program's name, which may hold anything.
    private static func startTicks(of pid: Int32) -> UInt64? {
        guard let line = firstLine("/proc/\(pid)/stat"), let end = line.lastIndex(of: ")") else { return nil }
        let fields = line[line.index(after: end)...].split(separator: " ")
        return fields.count > 19 ? UInt64(fields[19]) : nil
    }

    private static func firstLine(_ path: String) -> String? {
        guard let data = try? Data(contentsOf: URL(filePath: path)) else { return nil }
        return String(decoding: data, as: UTF8.self).split(separator: "\n").first.map(String.init)
    }
}

extension HostFacts {
    static func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }
}

/// Whether this process may run the file at `path`.
func isExecutable(_ path: String) -> Bool { FileManager.default.isExecutableFile(atPath: path) }
