/// One thing that `doctor` looked at, and what it found.
package struct DoctorFinding: Sendable, Hashable, Codable {
    /// How bad it is.
    package enum Level: String, Sendable, Hashable, Codable, CaseIterable, Comparable {
        case error, warning, note, ok

        /// Whether `lhs` is worse.
        package static func < (lhs: Level, rhs: Level) -> Bool { lhs.rank < rhs.rank }

        private var rank: Int { Self.allCases.firstIndex(of: self) ?? 0 }
    }

    /// What was looked at: stable words that scripts may rely on.
    package enum Code: String, Sendable, Hashable, Codable, CaseIterable {
        case serverUnreachable = "server-unreachable"
        case serverRefused = "server-refused"
        case serverVersion = "server-version"
        case standby
        case roleRights = "role-rights"
        case repository
        case objectStore = "object-store"
        case storageContract = "storage-contract"
        case cluster
        case newestBackup = "newest-backup"
        case walLevel = "wal-level"
        case archiveMode = "archive-mode"
        case archiveLibrary = "archive-library"
        case archiveCommand = "archive-command"
        case archiveCommandPath = "archive-command-path"
        case archiveCommandQuoting = "archive-command-quoting"
        case archiveCommandRepository = "archive-command-repository"
        case archiver
        case archiveRoundTrip = "archive-round-trip"
        case archiveTimeout = "archive-timeout"
        case walSenders = "wal-senders"
        case replicationSlots = "replication-slots"
        case slot
        case slotLimit = "slot-limit"
        case pgWALSpace = "pg-wal-space"
        case synchronousReceiver = "synchronous-receiver"
        case fullPageWrites = "full-page-writes"
        case dataChecksums = "data-checksums"
        case clock
    }

    package var code: Code
    package var level: Level
    /// What was found.
    package var found: String
    /// What it means, where that is not plain.
    package var why: String?
    /// What mends it.
    package var mend: Mend?

    package init(_ code: Code, _ level: Level, _ found: String, why: String? = nil, mend: Mend? = nil) {
        self.code = code
        self.level = level
        self.found = found
        self.why = why
        self.mend = mend
    }

    /// What mends something.
    package struct Mend: Sendable, Hashable, Codable {
        /// What a superuser runs on the server, each with its semicolon.
        package var statements: [String]
        /// Whether the server has to be restarted then.
        package var needsRestart: Bool
        /// What is to be done besides, or instead.
        package var action: String?

        package init(_ statements: [String] = [], needsRestart: Bool = false, action: String? = nil) {
            self.statements = statements
            self.needsRestart = needsRestart
            self.action = action
        }

        /// All of it as a sentence.
        package var text: String {
            var parts: [String] = []
            if !statements.isEmpty { parts.append(statements.joined(separator: " ")) }
            if needsRestart { parts.append("Restart the server.") }
            if let action { parts.append(action) }
            return parts.joined(separator: " ")
        }
    }

    /// A finding about something that could not be looked at for want of a right.
    static func notKnown(_ code: Code, _ what: String, grant: String) -> DoctorFinding {
        DoctorFinding(code, .note, "\(what) is not known: the role may not see it.", mend: Mend([grant]))
    }
}
