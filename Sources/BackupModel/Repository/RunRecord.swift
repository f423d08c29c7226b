/// The operations whose attempts are recorded.
public enum Operation: String, Sendable, Hashable, Codable, CaseIterable {
    /// Taking a backup.
    case backup
    /// Reading a backup back.
    case verify
    /// Restoring one.
    case restore
    /// Applying retention.
    case prune
    /// A drill.
    case drill
}

/// The beginning of an attempt: written before anything else happens.
public struct RunStart: Sendable, Hashable, Codable {
    /// The run's name.
    public var id: RunID
    /// What was attempted.
    public var operation: Operation
    /// The backup kind for `backup`, or `nil`.
    public var kind: BackupKind?
    /// When.
    public var at: Timestamp
    /// The host's name.
    public var host: String
    /// Which process on it.
    public var process: ProcessIdentity
    /// The version of this program.
    public var toolVersion: String
    /// SHA-256 of the settings in force, without secrets.
    public var settings: SHA256Digest

    /// Makes the record.
    public init(
        id: RunID, operation: Operation, kind: BackupKind?, at: Timestamp, host: String, process: ProcessIdentity,
        toolVersion: String, settings: SHA256Digest
    ) {
        self.id = id
        self.operation = operation
        self.kind = kind
        self.at = at
        self.host = host
        self.process = process
        self.toolVersion = toolVersion
        self.settings = settings
    }
}

/// A process that cannot be mistaken for a later one with the same number.
public struct ProcessIdentity: Sendable, Hashable, Codable {
    /// The process number.
    public var pid: Int32
    /// Its start in clock ticks since the host booted (`/proc/<pid>/stat`, field 22).
    public var startTicks: UInt64
    /// The host's boot (`/proc/sys/kernel/random/boot_id`).
    public var boot: String
    /// The namespace in which it has that number (`/proc/self/ns/pid`); `nil` if it is not known.
    public var namespace: UInt64?

    /// Makes an identity.
    public init(pid: Int32, startTicks: UInt64, boot: String, namespace: UInt64?) {
        self.pid = pid
        self.startTicks = startTicks
        self.boot = boot
        self.namespace = namespace
    }
}

/// The end of an attempt.
public struct RunEnd: Sendable, Hashable, Codable {
    /// How an attempt ended.
    public enum Result: String, Sendable, Hashable, Codable {
        /// It did what it was asked.
        case succeeded
        /// It did not.
        case failed
        /// It was asked to stop, by a signal.
        case interrupted
        /// It was not allowed to begin.
        case refused
    }

    /// When.
    public var at: Timestamp
    /// How it ended.
    public var result: Result
    /// The exit status of the command.
    public var exitStatus: Int32
    /// The error, when it did not succeed.
    public var error: BackupError?
    /// How long it took.
    public var seconds: Double

    /// Makes the record.
    public init(at: Timestamp, result: Result, exitStatus: Int32, error: BackupError?, seconds: Double) {
        self.at = at
        self.result = result
        self.exitStatus = exitStatus
        self.error = error
        self.seconds = seconds
    }
}
